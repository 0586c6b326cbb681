"""Layers: tunnels in IP and in UDP.

Sources: RFC 2784 and 2890 (GRE), RFC 1701 (its routes), RFC 2637 (PPTP), RFC 7637 (NVGRE), draft-foschiano-erspan,
draft-wilson-wrec-wccp-v2 (WCCP); RFC 7348 (VXLAN), draft-ietf-nvo3-vxlan-gpe, RFC 8926 (Geneve), 3GPP TS 29.281
(GTP-U), RFC 4380 (Teredo), RFC 2661 (L2TP), RFC 6830 (LISP), RFC 7510 (MPLS in UDP), RFC 8086 (GRE in UDP).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .layers import (
    ETHERTYPE,
    GENEVE,
    LINK,
    NEXT,
    PORT,
    PROTOCOL,
    U8,
    U16,
    VXLAN,
    WITHIN_ETHERNET,
    WITHIN_GRE,
    WITHIN_IPV6,
    WITHIN_MPLS,
    WITHIN_PPP,
    Damaged,
    Key,
    Layer,
    Place,
    ip_version,
    skip,
)
from .names import Skipped, reason, skipped

__all__ = ["LAYERS"]

# -- GRE -----------------------------------------------------------------------------------------------------

_GRE: Final = Struct("!HH")
_CHECKSUM, _ROUTING, _KEY, _SEQUENCE, _ACKNOWLEDGEMENT = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
_ROUTE: Final = Struct("!HxB")
_CALL: Final = Struct("!HH")
_NO_PAYLOAD: Final = Skipped("of GRE without a payload")
_ERSPAN, _ERSPAN_3, _WCCP = 0x88BE, 0x22EB, 0x883E


def _gre(place: Place) -> Key | Skipped:
    flags, kind = place.take(_GRE)
    version = flags & 7
    if version > 1:
        return skipped("GRE version", version)
    length = None
    if version == 1:
        length, _ = place.take(_CALL)
    elif flags & _KEY:
        place.at += 4
    if flags & (_CHECKSUM | _ROUTING):
        place.at += 4
    if flags & _SEQUENCE:
        place.at += 4
    if version == 1 and flags & _ACKNOWLEDGEMENT:
        place.at += 4
    if flags & _ROUTING:
        while any(route := place.take(_ROUTE)):
            place.at += route[1]
    if length is not None:
        place.narrow(min(place.stop, place.at + length))
    if place.at >= place.stop:
        return _NO_PAYLOAD
    if kind == _ERSPAN:
        return _erspan(place, numbered=bool(flags & _SEQUENCE))
    return ETHERTYPE, kind


def _erspan(place: Place, *, numbered: bool) -> Key:
    """Type II has a header and sequence numbers in GRE, type I neither."""
    if numbered:
        place.at += 8
    return WITHIN_ETHERNET


_ERSPAN_HEADER: Final = Struct("!10xH")
_FRAME_TYPES: Final = {0: WITHIN_ETHERNET}


def _erspan_3(place: Place) -> Key | Skipped:
    """The last bit says that there is a subheader; five others, what is behind."""
    (flags,) = place.take(_ERSPAN_HEADER)
    if flags & 1:
        place.at += 8
    kind = flags >> 10 & 31
    return _FRAME_TYPES.get(kind) or ip_version(place) or skipped("ERSPAN frame type", kind)


def _wccp(place: Place) -> Key | Skipped:
    """Version 2 has a header, version 1 none."""
    if not ip_version(place):
        place.at += 4
    return _ip(place, "WCCP")


def _ip(place: Place, what: str) -> Key | Skipped:
    return ip_version(place) or reason(f"of {what} without IP")


# -- UDP -----------------------------------------------------------------------------------------------------

_UDP: Final = Struct("!HHHxx")
_NO_TUNNEL: Final = skipped(PROTOCOL, 17)
TEREDO: Final = 3544


def _udp(place: Place) -> Key | Skipped:
    """A tunnel by the port that it is sent to; Teredo's servers and relays answer from theirs."""
    source, destination, length = place.take(_UDP)
    if length >= _UDP.size:
        place.narrow(min(place.stop, place.at - _UDP.size + length))
    if (PORT, destination) in _PORTS:
        return PORT, destination
    return (PORT, TEREDO) if source == TEREDO else _NO_TUNNEL


_VXLAN: Final = Struct("!BxxBI")
_INSTANCE, _NEXT_PROTOCOL = 0x08, 0x04


def _vxlan(place: Place) -> Key | Skipped:
    flags, _, network = place.take(_VXLAN)
    if not flags & _INSTANCE:
        return _NO_TUNNEL
    place.tag(VXLAN, network >> 8)
    return WITHIN_ETHERNET


def _vxlan_gpe(place: Place) -> Key | Skipped:
    flags, following, _ = place.look(_VXLAN)
    found = _vxlan(place)
    return (NEXT, following) if flags & _NEXT_PROTOCOL and found is not _NO_TUNNEL else found


_GENEVE: Final = Struct("!BxHI")


def _geneve(place: Place) -> Key | Skipped:
    words, kind, network = place.take(_GENEVE)
    if words >> 6:  # the version
        return _NO_TUNNEL
    place.at += (words & 0x3F) * 4
    place.tag(GENEVE, network >> 8)
    return ETHERTYPE, kind


_GTP: Final = Struct("!BBH4x")
_GTP_MORE: Final = Struct("!3xB")
_GTP_DATA: Final = 255


def _gtp(place: Place) -> Key | Skipped:
    flags, kind, length = place.take(_GTP)
    if flags >> 4 != 3:  # version 1, and not GTP'
        return _NO_TUNNEL
    if kind != _GTP_DATA:
        return reason("of GTP-U signalling")
    place.narrow(min(place.stop, place.at + length))
    more = place.take(_GTP_MORE)[0] if flags & 7 else 0
    while more:
        size = place.look(U8)[0] * 4
        if not size:
            raise Damaged
        place.at += size
        (more,) = place.data.unpack_from(U8, place.at - 1)
    return _ip(place, "GTP-U")


_TEREDO_SIZES: Final = Struct("!xxBB")
_TEREDO_AUTHENTICATION, _TEREDO_ORIGIN = 1, 0


def _teredo(place: Place) -> Key | Skipped:
    if place.look(U16)[0] == _TEREDO_AUTHENTICATION:
        identifier, value = place.take(_TEREDO_SIZES)
        place.at += identifier + value + 9  # with a nonce, and whether it is confirmed
    if place.look(U16)[0] == _TEREDO_ORIGIN:
        place.at += 8
    return WITHIN_IPV6 if ip_version(place) == WITHIN_IPV6 else _NO_TUNNEL


_CONTROL, _LENGTH, _NUMBERED, _PADDED = 0x8000, 0x4000, 0x0800, 0x0200


def _l2tp(place: Place) -> Key | Skipped:
    (flags,) = place.take(U16)
    if flags & 15 != 2:
        return _NO_TUNNEL
    if flags & _CONTROL:
        return reason("of L2TP control messages")
    place.at += 2 if flags & _LENGTH else 0
    place.at += 4  # tunnel, session
    place.at += 4 if flags & _NUMBERED else 0
    if flags & _PADDED:
        (size,) = place.take(U16)
        place.at += size
    return WITHIN_PPP


def _lisp(place: Place) -> Key | Skipped:
    place.at += 8
    return _ip(place, "LISP")


_PORTS: Final[dict[Key, Layer]] = {
    (PORT, 1701): _l2tp,
    (PORT, 2152): _gtp,
    (PORT, TEREDO): _teredo,
    (PORT, 4341): _lisp,
    (PORT, 4754): skip(0, WITHIN_GRE),
    (PORT, 4789): _vxlan,
    (PORT, 4790): _vxlan_gpe,
    (PORT, 6081): _geneve,
    (PORT, 6635): skip(0, WITHIN_MPLS),
    (PORT, 8472): _vxlan,  # Linux', before there was a number
    (PORT, 37008): skip(0, (LINK, 128)),
}

LAYERS: Final[dict[Key, Layer]] = {
    (ETHERTYPE, _ERSPAN_3): _erspan_3,
    (ETHERTYPE, _WCCP): _wccp,
    (PROTOCOL, 17): _udp,
    WITHIN_GRE: _gre,
    **_PORTS,
}
