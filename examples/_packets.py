"""A TCP segment out of a packet: link layer, IPv4 or IPv6, TCP.

Sources: the tcpdump group's registry of link types, IEEE 802.1Q, RFC 791, RFC 8200, RFC 9293. Checksums are not
looked at: on the sending host network cards fill them in after the capture.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from bytebufs import SliceBuffer, Underrun

from ._capture import Packet

__all__ = ["ACK", "FIN", "RST", "SYN", "Endpoint", "Segment", "Skipped", "read_segment"]

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10


class Skipped(Enum):
    """Why a packet gives no segment."""

    LINK_TYPE = "of an unknown link type"
    NOT_IP = "without IP"
    NOT_TCP = "without TCP"
    FRAGMENT = "in fragments, which are not put together"
    DAMAGED = "with cut or damaged headers"


class Endpoint(NamedTuple):
    """One end of a connection."""

    address: bytes
    """4 bytes of IPv4 or 16 of IPv6."""
    port: int

    def __str__(self) -> str:
        """Write it as in a URL."""
        host = ipaddress.ip_address(self.address)
        return f"[{host}]:{self.port}" if host.version == 6 else f"{host}:{self.port}"


class Segment(NamedTuple):
    """A TCP segment."""

    src: Endpoint
    dst: Endpoint
    seq: int
    """Sequence number, modulo 2**32."""
    flags: int
    payload: SliceBuffer
    """A slice of the capture."""
    cut: int
    """Payload bytes that were on the wire behind `payload` and were not captured."""


class _Damaged(Exception):
    """A header contradicts itself."""


class _Datagram(NamedTuple):
    """An IP packet: the offsets count from the front of the captured data."""

    src: bytes
    dst: bytes
    protocol: int
    fragment: bool
    start: int
    """Where its payload begins."""
    stop: int
    """Where its payload stops, which may lie beyond what was captured."""


def read_segment(packet: Packet) -> Segment | Skipped:
    """Return the TCP segment that a packet carries, or why there is none. Never raises.

    IP fragments are not put together. Copies: nothing.
    """
    link = _LINKS.get(packet.link_type)
    if link is None:
        return Skipped.LINK_TYPE
    try:
        protocol, at = link(packet.data)
        network = _NETWORKS.get(protocol)
        if network is None:
            return Skipped.NOT_IP
        datagram = network(packet.data, at, max(packet.original_length, len(packet.data)))
        if datagram.protocol != _TCP:
            return Skipped.NOT_TCP
        return Skipped.FRAGMENT if datagram.fragment else _tcp(packet.data, datagram)
    except (Underrun, _Damaged):
        return Skipped.DAMAGED


# -- link layers: each returns an EtherType and where its packet begins -----------------------------------------

_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_VLAN_TAGS: Final = frozenset([0x8100, 0x88A8, 0x9100])  # 802.1Q, 802.1ad, and what came before 802.1ad
_FAMILIES: Final = {2: _IPV4, 10: _IPV6, 24: _IPV6, 28: _IPV6, 30: _IPV6}
"""AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, and macOS."""
_VERSIONS: Final = {4: _IPV4, 6: _IPV6}
_UNKNOWN: Final = 0

_U16: Final = Struct("!H")


def _tagged(data: SliceBuffer, at: int, start: int) -> tuple[int, int]:
    """Read the EtherType at `at` of a packet that begins at `start`, behind however many VLAN tags."""
    (kind,) = data.unpack_from(_U16, at)
    while kind in _VLAN_TAGS:
        (kind,) = data.unpack_from(_U16, start + 2)
        start += 4
    return kind, start


def _ethernet(data: SliceBuffer) -> tuple[int, int]:
    return _tagged(data, 12, 14)


def _linux_cooked(data: SliceBuffer) -> tuple[int, int]:
    return _tagged(data, 14, 16)


def _linux_cooked_v2(data: SliceBuffer) -> tuple[int, int]:
    return _tagged(data, 0, 20)


def _loopback(data: SliceBuffer) -> tuple[int, int]:
    """An address family in the byte order of the host that captured, which may be another than the file's."""
    (little,) = data.unpack_from("<I")
    (big,) = data.unpack_from(">I")
    return _FAMILIES.get(min(little, big), _UNKNOWN), 4


def _raw(data: SliceBuffer) -> tuple[int, int]:
    (first,) = data.unpack_from("!B")
    return _VERSIONS.get(first >> 4, _UNKNOWN), 0


def _raw_ipv4(_data: SliceBuffer) -> tuple[int, int]:
    return _IPV4, 0


def _raw_ipv6(_data: SliceBuffer) -> tuple[int, int]:
    return _IPV6, 0


_LINKS: Final[dict[int, Callable[[SliceBuffer], tuple[int, int]]]] = {
    0: _loopback,
    1: _ethernet,
    12: _raw,  # DLT_RAW, as some systems wrote it into files
    14: _raw,  # DLT_RAW of OpenBSD
    101: _raw,
    108: _loopback,
    113: _linux_cooked,
    228: _raw_ipv4,
    229: _raw_ipv6,
    276: _linux_cooked_v2,
}


# -- IP: each returns the datagram at an offset of a packet that was `length` bytes on the wire -------------------

_TCP: Final = 6
_IPV4_HEADER: Final = Struct("!BxHxxHxBxx4s4s")
_IPV6_HEADER: Final = Struct("!B3xHBx16s16s")
_EXTENSIONS: Final = frozenset([0, 43, 60])  # hop-by-hop options, routing, destination options
_FRAGMENT: Final = 44


def _ipv4(data: SliceBuffer, at: int, length: int) -> _Datagram:
    first, total, fragment, protocol, src, dst = data.unpack_from(_IPV4_HEADER, at)
    header = (first & 15) * 4
    # A network card that cuts segments itself (TSO) is handed packets too long for the field: it is 0 then.
    size = total or length - at
    if first >> 4 != 4 or header < 20 or size < header:
        raise _Damaged
    # The lowest 14 bits: more fragments, and the offset of this one.
    return _Datagram(src, dst, protocol, bool(fragment & 0x3FFF), at + header, at + size)


def _ipv6(data: SliceBuffer, at: int, length: int) -> _Datagram:
    first, size, protocol, src, dst = data.unpack_from(_IPV6_HEADER, at)
    if first >> 4 != 6:
        raise _Damaged
    start = at + 40
    stop = start + size if size else length  # 0: a jumbogram (RFC 2675), or TSO as above
    fragment = False
    while protocol in _EXTENSIONS or protocol == _FRAGMENT:
        following, units, offset = data.unpack_from("!BBH", start)
        if protocol == _FRAGMENT:
            fragment = fragment or bool(offset & 0xFFF9)  # neither offset nor more: an atomic one (RFC 6946)
            units = 0
        protocol = following
        start += 8 + 8 * units
    return _Datagram(src, dst, protocol, fragment, start, stop)


_NETWORKS: Final = {_IPV4: _ipv4, _IPV6: _ipv6}


# -- TCP -----------------------------------------------------------------------------------------------------

_TCP_HEADER: Final = Struct("!HHI4xBB")
_NO_PAYLOAD: Final = SliceBuffer(b"")


def _tcp(data: SliceBuffer, datagram: _Datagram) -> Segment:
    """Read a segment; what Ethernet padded lies behind the datagram and is left out."""
    at, stop = datagram.start, datagram.stop
    sport, dport, seq, offset, flags = data.unpack_from(_TCP_HEADER, at)
    start = at + (offset >> 4) * 4
    if start < at + 20 or start > stop:
        raise _Damaged
    captured = max(start, min(stop, len(data)))
    payload = data[start:captured] if start < captured else _NO_PAYLOAD
    return Segment(Endpoint(datagram.src, sport), Endpoint(datagram.dst, dport), seq, flags, payload, stop - captured)
