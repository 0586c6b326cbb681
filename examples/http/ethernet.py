"""Layers: Ethernet and what stands between it and IP: VLAN tags, 802.2, PPP, MPLS.

Sources: IEEE 802.1Q, 802.1ah, 802.3; RFC 1042 (802.2), RFC 2516 (PPPoE), RFC 1661 and 3518 (PPP), RFC 3032, 4385 and
4448 (MPLS), RFC 8300 (NSH), RFC 2427 and 2684 (NLPID, bridged frames).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .layers import (
    ETHERTYPE,
    LLC,
    NEXT,
    NLPID,
    PPP,
    SAP,
    SERVICE,
    SNAP,
    U8,
    U16,
    U32,
    VLAN,
    WITHIN_ETHERNET,
    WITHIN_IPV4,
    WITHIN_IPV6,
    WITHIN_MPLS,
    WITHIN_PPP,
    Damaged,
    Key,
    Layer,
    Place,
    ip_version,
    skip,
    typed,
)
from .names import Skipped, reason, skipped

__all__ = ["LAYERS"]

# -- Ethernet ------------------------------------------------------------------------------------------------

_LARGEST_LENGTH: Final = 1500
"""What is no larger is a length, and no type (IEEE 802.3, 3.2.6)."""
_TAG: Final = Struct("!HH")
_JUMBO: Final = 0x8870  # a length that does not fit, with LLC behind it


def _with_length(place: Place, length: int) -> Key:
    """End the layer where a length in the place of an EtherType says; LLC is behind it."""
    place.narrow(min(place.stop, place.at + length))
    return LLC


def _ethernet(place: Place) -> Key:
    (kind,) = place.data.unpack_from(U16, place.at + 12)
    place.at += 14
    return (ETHERTYPE, kind) if kind > _LARGEST_LENGTH else _with_length(place, kind)


def _vlan(place: Place) -> Key:
    tag, kind = place.take(_TAG)
    place.tag(VLAN, tag & 0xFFF)
    return (ETHERTYPE, kind) if kind > _LARGEST_LENGTH else _with_length(place, kind)


def _backbone(place: Place) -> Key:
    """802.1ah: flags and a service's number, then a whole frame."""
    (tag,) = place.take(U32)
    place.tag(SERVICE, tag & 0xFF_FFFF)
    return WITHIN_ETHERNET


# -- 802.2 ---------------------------------------------------------------------------------------------------

_LLC_HEADER: Final = Struct("!BBB")
_SNAP: Final = Struct("!3sH")
_ETHERTYPES: Final = {b"\0\0\0", b"\0\0\xf8"}  # RFC 1042; 802.1H's "bridge tunnel"
_BRIDGED: Final = b"\0\x80\xc2"
_ETHERNET_BRIDGED: Final = frozenset([1, 7])  # with a check sequence at its end, and without


def _llc(place: Place) -> Key:
    sap, _, control = place.take(_LLC_HEADER)
    if control & 3 != 3:
        place.at += 1  # numbered frames have a byte more
    return SAP, sap


def _snap(place: Place) -> Key:
    organization, kind = place.take(_SNAP)
    if organization in _ETHERTYPES:
        return ETHERTYPE, kind
    if organization == _BRIDGED and kind in _ETHERNET_BRIDGED:
        return WITHIN_ETHERNET
    return SNAP, int.from_bytes(organization, "big")


def _snap_in_llc(place: Place) -> Key:
    """Bridged frames are padded where LLC is in front (RFC 2684, section 5.2), and elsewhere not (RFC 2427)."""
    found = _snap(place)
    if found == WITHIN_ETHERNET:
        place.at += 2
    return found


def _osi(place: Place) -> Key:
    return NLPID, place.take(U8)[0]


# -- PPP -----------------------------------------------------------------------------------------------------

_SESSION: Final = Struct("!BBHH")
_BRIDGE: Final = Struct("!BB")


def _pppoe(place: Place) -> Key:
    kind, code, _, length = place.take(_SESSION)
    if kind != 0x11 or code:
        raise Damaged
    place.narrow(min(place.stop, place.at + length))
    return WITHIN_PPP


def _ppp(place: Place) -> Key:
    (start,) = place.look(U16)
    if start == 0xFF03:  # address and control, which may be left out
        place.at += 2
    (protocol,) = place.take(U8)
    if not protocol & 1:  # the last byte of a protocol is odd, the first even, and left out if it is 0
        protocol = protocol << 8 | place.take(U8)[0]
    return PPP, protocol


def _bridged_ppp(place: Place) -> Key | Skipped:
    """RFC 3518: flags, and the kind of frame, of which 1 is Ethernet."""
    flags, kind = place.take(_BRIDGE)
    if kind != 1:
        return reason(f"of bridged frames of kind {kind} in PPP")
    if flags & 0x40:
        place.at += 4  # a LAN's number
    return WITHIN_ETHERNET


# -- MPLS, NSH -----------------------------------------------------------------------------------------------


def _mpls(place: Place) -> Key | Skipped:
    """Labels up to the one with the bottom bit. Nothing says what is behind them: its first four bits do, mostly."""
    bottom = 0
    while not bottom:
        bottom = place.take(U32)[0] & 0x100
    version = ip_version(place)
    if version is not None:
        return version
    first = place.look(U8)[0] >> 4
    # Ethernet has a control word in front, of which the first bits are 0, or has not (RFC 4448, section 4.6); many an
    # address begins with 0, too.
    behind = _is_ethernet(place, 4)
    if first == 0 and (behind or not _is_ethernet(place, 0)):
        place.at += 4
        return WITHIN_ETHERNET
    return WITHIN_ETHERNET if _is_ethernet(place, 0) else skipped("MPLS payload with first bits", first)


def _is_ethernet(place: Place, skipping: int) -> bool:
    """Guess whether an Ethernet frame begins here, by its type."""
    at = place.at + skipping + 12
    return len(place.data) >= at + 2 and place.data.unpack_from(U16, at)[0] in _LIKELY


_NSH: Final = Struct("!HBB")


def _nsh(place: Place) -> Key:
    start = place.at
    words, _, kind = place.take(_NSH)
    place.at = start + (words & 0x3F) * 4
    if place.at < start + 8:
        raise Damaged
    return NEXT, kind


LAYERS: Final[dict[Key, Layer]] = {
    WITHIN_ETHERNET: _ethernet,
    # 802.1Q, 802.1ad, and what came before that; RFC 1701's bridging; the last is of a length beyond 1500.
    **{(ETHERTYPE, number): _vlan for number in (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)},
    (ETHERTYPE, 0x6558): skip(0, WITHIN_ETHERNET),
    (ETHERTYPE, 0x8847): _mpls,
    (ETHERTYPE, 0x8848): _mpls,
    (ETHERTYPE, 0x8864): _pppoe,
    (ETHERTYPE, 0x880B): skip(0, WITHIN_PPP),
    (ETHERTYPE, 0x8870): skip(0, LLC),
    (ETHERTYPE, 0x88E7): _backbone,
    (ETHERTYPE, 0x8909): typed(6),  # Cisco's metadata
    (ETHERTYPE, 0x8926): typed(4),  # VN-Tag, and what became of it: 802.1BR's E-TAG
    (ETHERTYPE, 0x893F): typed(6),
    (ETHERTYPE, 0x892F): typed(4),  # HSR (IEC 62439-3), and 802.1CB's R-TAG
    (ETHERTYPE, 0xF1C1): typed(4),
    (ETHERTYPE, 0x894F): _nsh,
    LLC: _llc,
    (SAP, 0x06): skip(0, WITHIN_IPV4),
    (SAP, 0xAA): _snap_in_llc,
    (SAP, 0xFE): _osi,
    (NLPID, 0x80): _snap,
    (NLPID, 0x8E): skip(0, WITHIN_IPV6),
    (NLPID, 0xCC): skip(0, WITHIN_IPV4),
    (NLPID, 0xCF): skip(0, WITHIN_PPP),
    WITHIN_PPP: _ppp,
    (PPP, 0x0021): skip(0, WITHIN_IPV4),
    (PPP, 0x0031): _bridged_ppp,
    (PPP, 0x0057): skip(0, WITHIN_IPV6),
    (PPP, 0x0281): skip(0, WITHIN_MPLS),
    (PPP, 0x0283): skip(0, WITHIN_MPLS),
    # The same numbers in NSH and VXLAN-GPE.
    (NEXT, 1): skip(0, WITHIN_IPV4),
    (NEXT, 2): skip(0, WITHIN_IPV6),
    (NEXT, 3): skip(0, WITHIN_ETHERNET),
    (NEXT, 4): _nsh,
    (NEXT, 5): skip(0, WITHIN_MPLS),
}
_LIKELY: Final = {0x0800, 0x0806, 0x86DD} | {number for kind, number in LAYERS if kind == ETHERTYPE}
