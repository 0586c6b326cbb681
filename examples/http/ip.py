"""Layers: IPv4, IPv6, and the headers that may stand between them and what they carry.

Sources: RFC 791, RFC 8200, RFC 7045 (which extension headers there are), RFC 4302 (AH), RFC 3378 (EtherIP). Checksums
are not looked at: on the sending host network cards fill them in after the capture.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .layers import (
    A_FRAGMENT,
    PROTOCOL,
    WITHIN_ETHERNET,
    WITHIN_IPV4,
    WITHIN_IPV6,
    WITHIN_MPLS,
    Damaged,
    Key,
    Layer,
    Place,
    skip,
)

__all__ = ["LAYERS"]

_IPV4: Final = Struct("!BxH2sHxBxx8s")
_IPV6: Final = Struct("!B3xHBx32s")
_EXTENSION: Final = Struct("!BB")
_FRAGMENT: Final = Struct("!BxH4s")


def _ipv4(place: Place) -> Key:
    at = place.at
    first, total, ident, fragment, protocol, addresses = place.data.unpack_from(_IPV4, at)
    header = (first & 15) * 4
    # A network card that cuts segments itself (TSO) is handed packets too long for the field: it is 0 then.
    size = total or place.stop - at
    if first >> 4 != 4 or header < 20 or size < header:
        raise Damaged
    place.addresses = addresses
    place.narrow(at + size)
    place.at = at + header
    if fragment & 0x3FFF:  # more fragments, and the offset of this one in units of 8 bytes
        place.fragment = ident + bytes([protocol]), protocol, (fragment & 0x1FFF) * 8, bool(fragment & 0x2000)
        return A_FRAGMENT
    return PROTOCOL, protocol


def _ipv6(place: Place) -> Key:
    first, size, following, addresses = place.take(_IPV6)
    if first >> 4 != 6:
        raise Damaged
    place.addresses = addresses
    if size:  # 0 is a jumbogram (RFC 2675), or TSO as above
        place.narrow(place.at + size)
    return PROTOCOL, following


def _extension(place: Place) -> Key:
    following, units = place.look(_EXTENSION)
    place.at += 8 + 8 * units
    return PROTOCOL, following


def _authentication(place: Place) -> Key:
    following, words = place.look(_EXTENSION)
    place.at += 8 + 4 * words
    return PROTOCOL, following


def _fragment(place: Place) -> Key:
    following, offset, ident = place.take(_FRAGMENT)
    if not offset & 0xFFF9:  # neither offset nor more: an atomic one (RFC 6946)
        return PROTOCOL, following
    place.fragment = ident, following, offset & 0xFFF8, bool(offset & 1)
    return A_FRAGMENT


LAYERS: Final[dict[Key, Layer]] = {
    WITHIN_IPV4: _ipv4,
    WITHIN_IPV6: _ipv6,
    (PROTOCOL, 4): _ipv4,
    (PROTOCOL, 41): _ipv6,
    (PROTOCOL, 44): _fragment,
    (PROTOCOL, 51): _authentication,
    # Hop-by-hop options, routing, destination options, mobility, HIP, shim6.
    **{(PROTOCOL, number): _extension for number in (0, 43, 60, 135, 139, 140)},
    (PROTOCOL, 94): _ipv4,  # KA9Q's number for IP in IP
    (PROTOCOL, 97): skip(2, WITHIN_ETHERNET),  # EtherIP
    (PROTOCOL, 137): skip(0, WITHIN_MPLS),  # RFC 4023
    (PROTOCOL, 143): skip(0, WITHIN_ETHERNET),  # RFC 8986
}
