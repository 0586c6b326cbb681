"""Layers: the link types of captures but those of 802.11.

Sources: the tcpdump group's registry of link types (draft-ietf-opsawg-pcaplinktype), and for headers that it has no
description of, libpcap's gencode.c, tcpdump and Wireshark; RFC 2427 (Frame Relay), RFC 2625 (Fibre Channel), RFC 2684
(ATM), RFC 4391 (InfiniBand).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .layers import (
    ETHERTYPE,
    LINK,
    LLC,
    NLPID,
    U8,
    U16,
    U32,
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
from .names import Skipped, skipped

__all__ = ["LAYERS"]

CHECK: Final = 4
"""Bytes of Ethernet's frame check sequence."""

# -- IP, or a family of addresses before it ------------------------------------------------------------------

_FAMILIES: Final = {2: WITHIN_IPV4, **dict.fromkeys((10, 24, 26, 28, 30), WITHIN_IPV6)}
"""AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, Solaris, FreeBSD, and macOS."""
_ENCRYPTED: Final = 8  # bytes of OpenBSD's header behind the family: which keys, and flags
_IPNET: Final = Struct("!xB22x")
_PFLOG: Final = Struct("!B")


def _raw(place: Place) -> Key | Skipped:
    return ip_version(place) or skipped("IP version", place.look(U8)[0] >> 4)


def _loopback(place: Place) -> Key | Skipped:
    """An address family in the byte order of the host that captured, which may be another than the file's."""
    (family,) = place.take(U32)
    family = min(family, int.from_bytes(family.to_bytes(4, "big"), "little"))
    return _FAMILIES.get(family) or skipped("address family", family)


def _openbsd_ipsec(place: Place) -> Key | Skipped:
    found = _loopback(place)
    place.at += _ENCRYPTED
    return found


def _solaris(place: Place) -> Key | Skipped:
    (family,) = place.take(_IPNET)
    return _FAMILIES.get(family) or skipped("address family", family)


def _pflog(place: Place) -> Key | Skipped:
    """The header says how long it is without the padding that rounds it to words of four bytes."""
    (size,) = place.look(U8)
    place.at += size + -size % 4
    return _raw(place)


_NFLOG: Final = {"<": Struct("<HH"), ">": Struct(">HH")}
_NFLOG_PAYLOAD: Final = 9


def _nflog(place: Place) -> Key | Skipped:
    """Attributes in the byte order of the host that captured: the one in which the first length is possible."""
    at = place.at = place.at + 4
    length, _ = place.look(_NFLOG["<"])
    form = _NFLOG["<" if 4 <= length <= place.stop - at else ">"]
    while True:
        length, kind = place.look(form)
        if length < 4:
            raise Damaged
        if kind & 0x7FFF == _NFLOG_PAYLOAD:
            place.narrow(min(place.stop, place.at + length))
            place.at += 4
            return _raw(place)
        place.at += length + -length % 4


# -- Linux' cooked packets -----------------------------------------------------------------------------------

_COOKED: Final = Struct("!2xH10xH")
_COOKED_V2: Final = Struct("!H6xH10x")
_LINUX_LLC: Final = 4  # ETH_P_802_2
_LINUX_WIRELESS: Final = {801: (LINK, 105), 802: (LINK, 119), 803: (LINK, 127)}  # ARPHRD_IEEE80211 and following


def _linux_cooked(place: Place) -> Key:
    hardware, kind = place.take(_COOKED)
    return _linux(hardware, kind)


def _linux_cooked_v2(place: Place) -> Key:
    kind, hardware = place.take(_COOKED_V2)
    return _linux(hardware, kind)


def _linux(hardware: int, kind: int) -> Key:
    if kind == _LINUX_LLC:
        return LLC
    return _LINUX_WIRELESS.get(hardware, (ETHERTYPE, kind))


# -- lines ---------------------------------------------------------------------------------------------------

_CISCO: Final = (0x0F, 0x8F)  # its addresses, of one station and of all
_CISCO_HDLC: Final = Struct("!xxH")
_UNNUMBERED: Final = 3


def _hdlc(place: Place) -> Key:
    """PPP, or Cisco's protocol by its addresses."""
    return (LINK, 104) if place.look(U8)[0] in _CISCO else WITHIN_PPP


def _cisco_hdlc(place: Place) -> Key:
    return ETHERTYPE, place.take(_CISCO_HDLC)[0]


def _pppd(place: Place) -> Key:
    """A byte for the direction in the place of the address."""
    place.at += 1
    if place.look(U8)[0] == _UNNUMBERED:
        place.at += 1
    return WITHIN_PPP


def _frame_relay(place: Place) -> Key:
    """An address up to the byte that is odd; then what RFC 2427 has, or an EtherType as Cisco does."""
    while not place.take(U8)[0] & 1:
        pass
    if place.look(U8)[0] != _UNNUMBERED:
        return ETHERTYPE, place.take(U16)[0]
    place.at += 1
    (kind,) = place.take(U8)
    return NLPID, kind or place.take(U8)[0]  # 0 is a pad


# -- rings, ATM, Fibre Channel, InfiniBand -------------------------------------------------------------------

_FDDI_LLC: Final = 0x50  # upper bits of the frame control of LLC frames (tcpdump, fddi.h)
_ROUTED: Final = 0x80  # in the first byte of a source address: the frame has a route
_ATM: Final = Struct("!B3x")


def _token_ring(place: Place) -> Key:
    (source,) = place.data.unpack_from(U8, place.at + 8)
    place.at += 14
    if source & _ROUTED:
        place.at += place.look(U8)[0] & 0x1F
    return LLC


def _fddi(place: Place) -> Key | Skipped:
    (control,) = place.look(U8)
    place.at += 13
    return LLC if control & 0xF0 == _FDDI_LLC else skipped("FDDI frame control", control)


def _atm(place: Place) -> Key:
    """LLC, or plain IP, which Linux calls classical."""
    return ip_version(place) or LLC


def _sun_atm(place: Place) -> Key | Skipped:
    (kind,) = place.take(_ATM)
    if kind & 15 == 1:  # LAN emulation: whose, then Ethernet
        place.at += 2
        return WITHIN_ETHERNET
    return _atm(place) if kind & 15 == 2 else skipped("ATM traffic", kind & 15)


# -- Ethernet, with something before, within or behind -------------------------------------------------------


def _check_behind(size: int) -> Layer:
    """Return a layer of so many bytes before Ethernet with its check sequence."""

    def layer(place: Place) -> Key:
        place.at += size
        place.narrow(place.stop - CHECK)
        return WITHIN_ETHERNET

    return layer


_PKTAP: Final = Struct("<I4xI")


def _pktap(place: Place) -> Key:
    """Apple's header: its length, and what link type is behind it."""
    size, link = place.look(_PKTAP)
    if size < _PKTAP.size:
        raise Damaged
    place.at += size
    return LINK, link


_ERF: Final = Struct("!8xBxHHH")
_ERF_MORE: Final = 0x80
_ERF_KINDS: Final = {1: (LINK, 50), **dict.fromkeys((2, 11, 16, 20), WITHIN_ETHERNET), 22: WITHIN_IPV4, 23: WITHIN_IPV6}


def _erf(place: Place) -> Key | Skipped:
    """Endace's header, with others of 8 bytes behind; Ethernet has two bytes more in front."""
    more, _, _, size = place.take(_ERF)
    kind = more & 0x7F
    while more & _ERF_MORE:
        (more,) = place.look(U8)
        place.at += 8
    found = _ERF_KINDS.get(kind)
    if found == WITHIN_ETHERNET:
        place.at += 2
        place.narrow(min(place.stop, place.at + size) - CHECK)
    return found or skipped("ERF type", kind)


LAYERS: Final[dict[Key, Layer]] = {
    (LINK, 0): _loopback,
    (LINK, 6): _token_ring,
    (LINK, 8): skip(16, (LINK, 101)),
    (LINK, 9): skip(0, WITHIN_PPP),
    (LINK, 10): _fddi,
    **{(LINK, number): _atm for number in (11, 19, 100, 106)},
    **{(LINK, number): _raw for number in (12, 14, 101)},  # 12 and 14 are what some systems wrote into files
    (LINK, 50): _hdlc,
    (LINK, 51): skip(0, (ETHERTYPE, 0x8864)),
    (LINK, 104): _cisco_hdlc,
    (LINK, 107): _frame_relay,
    (LINK, 108): _loopback,
    (LINK, 109): _openbsd_ipsec,
    (LINK, 113): _linux_cooked,
    (LINK, 117): _pflog,
    (LINK, 122): skip(16, LLC),
    (LINK, 123): _sun_atm,
    (LINK, 138): typed(16),  # two addresses of 8 bytes
    (LINK, 166): _pppd,
    **{(LINK, number): _erf for number in (175, 176, 197)},
    (LINK, 204): skip(1, WITHIN_PPP),
    (LINK, 205): skip(1, (LINK, 104)),
    (LINK, 206): skip(1, (LINK, 107)),
    (LINK, 219): skip(0, WITHIN_MPLS),
    (LINK, 226): _solaris,
    (LINK, 228): skip(0, WITHIN_IPV4),
    (LINK, 229): skip(0, WITHIN_IPV6),
    (LINK, 239): _nflog,
    (LINK, 240): _check_behind(4),
    (LINK, 241): _check_behind(4 + 8),  # with preamble
    (LINK, 242): typed(40, 2),  # InfiniBand's global routing header, and something reserved
    (LINK, 258): _pktap,
    (LINK, 276): _linux_cooked_v2,
    (LINK, 281): typed(12 + 4),  # a switch's own tag between addresses and type
    (LINK, 282): skip(4, WITHIN_ETHERNET),
    (LINK, 284): typed(12 + 4),
    (LINK, 285): typed(12 + 8),
}
