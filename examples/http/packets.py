"""TCP segments out of packets, whatever layers are around them.

Sources: RFC 9293, RFC 7323; those of the layers stand in their modules. Checksums are not looked at: on the sending
host network cards fill them in after the capture.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple, final

from bytebufs import SliceBuffer, Underrun

from . import ethernet, ip, links, tunnels, wireless
from .capture import Packet
from .fragments import Fragments
from .layers import A_FRAGMENT, LINK, PROTOCOL, VLAN, Damaged, Fragment, Key, Layer, Place, network_tag
from .names import DAMAGED, FRAGMENTS, TOO_DEEP, Skipped, skipped

__all__ = [
    "ACK",
    "FIN",
    "FRAGMENTS",
    "RST",
    "SYN",
    "Endpoint",
    "Segment",
    "SegmentReader",
    "Skipped",
    "endpoints",
    "turned",
]

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10

MAX_LAYERS: Final = 64
"""Headers of one packet, inclusive, before TCP's: several times what tunnels in tunnels come to."""
MAX_SCALE: Final = 14
"""The largest shift of a window that counts (RFC 7323, section 2.3)."""


class Endpoint(NamedTuple):
    """One end of a connection."""

    address: bytes
    """4 bytes of IPv4 or 16 of IPv6."""
    port: int

    def __str__(self) -> str:
        """Write it as in a URL."""
        host = ipaddress.ip_address(self.address)
        return f"[{host}]:{self.port}" if host.version == 6 else f"{host}:{self.port}"


@final
class Segment(NamedTuple):
    """A TCP segment."""

    number: int
    """Of its packet in the capture; of fragments, the one that made it whole."""
    flow: bytes
    """Source and destination address, source and destination port, as in the headers: 12 bytes or, of IPv6, 36."""
    network: bytes
    """Which of several networks with the same addresses: 4 bytes for each VLAN, VXLAN and the like, outermost first."""
    seq: int
    """Sequence number, modulo 2**32."""
    ack: int
    flags: int
    window: int
    """As in the header: not scaled."""
    scale: int | None
    """Of a SYN with the window scale option: its shift."""
    payload: SliceBuffer
    """A slice of the capture; of fragments, one of several parts."""
    cut: int
    """Payload bytes that were on the wire behind `payload` and were not captured."""


def endpoints(flow: bytes) -> tuple[Endpoint, Endpoint]:
    """Return source and destination of a flow."""
    stop = len(flow) - 4
    ports = int.from_bytes(flow[stop : stop + 2], "big"), int.from_bytes(flow[stop + 2 :], "big")
    return Endpoint(flow[: stop // 2], ports[0]), Endpoint(flow[stop // 2 : stop], ports[1])


def turned(flow: bytes) -> bytes:
    """Return the flow of the other direction."""
    stop = len(flow) - 4
    return flow[stop // 2 : stop] + flow[: stop // 2] + flow[stop + 2 :] + flow[stop : stop + 2]


_new: Final = tuple.__new__  # half the cost of Segment(...), which is made once a packet

_LAYERS: Final[dict[Key, Layer]] = {
    **links.LAYERS,
    **wireless.LAYERS,
    **ethernet.LAYERS,
    **ip.LAYERS,
    **tunnels.LAYERS,
}
_TCP: Final = (PROTOCOL, 6)

# What most packets are: TCP in IPv4 without options or in IPv6, in Ethernet with one VLAN tag or none. They are told by
# one look from the EtherType to TCP's window; all others go through the table.
_FOUR: Final = Struct("!HHHxxHxB2x12sIIBBH")
_SIX: Final = Struct("!6xHBx36sIIBBH")
_FOUR_SIZE: Final = 2 + 20 + 20
_SIX_SIZE: Final = 2 + 40 + 20
_TYPE_AT: Final = {1: 12, 113: 14}  # the EtherType, in Ethernet and in Linux' cooked packets
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_TAGGED: Final = 0x8100
_TCP_HEADER: Final = Struct("!4sIIBBH")


@final
class SegmentReader:
    """Makes segments of packets; IP fragments are kept until they make a datagram."""

    def __init__(self, left: Iterable[Fragment] = ()) -> None:
        """Begin, if with fragments that another reader had left, so that those to come may complete them."""
        self.waiting: list[Segment | Skipped] = []
        """What else there is beside what `read()` returned, for the caller to take away: further segments of a packet
        that holds several (802.11's A-MSDU), and kept fragments that were given up since, one `Skipped` for each."""
        self.joined = 0
        """Datagrams that were put together from fragments."""
        self._fragments = Fragments()
        self.waiting += self.take(left)

    def read(self, packet: Packet) -> Segment | Skipped | None:
        """Return the TCP segment that a packet carries, or why there is none; None for a fragment that is kept.

        Never raises. Copies: nothing.
        """
        number, link_type, data, original, _, time = packet
        at = _TYPE_AT.get(link_type, -1)
        size = len(data)
        if at >= 0 and size >= at + _FOUR_SIZE:
            network = b""
            kind, first, total, fragment, protocol, flow, seq, ack, offset, flags, window = data.unpack_from(_FOUR, at)
            if kind == _TAGGED and size >= at + 4 + _FOUR_SIZE:
                network = network_tag(VLAN, first & 0xFFF)
                at += 4
                kind, first, total, fragment, protocol, flow, seq, ack, offset, flags, window = data.unpack_from(
                    _FOUR, at
                )
            if kind == _IPV4 and first >> 8 == 0x45 and not fragment & 0x3FFF:
                start = at + 22
                stop = at + 2 + total
            elif kind == _IPV6 and first >> 12 == 6 and size >= at + _SIX_SIZE:
                total, protocol, flow, seq, ack, offset, flags, window = data.unpack_from(_SIX, at)
                start = at + 42
                stop = start + total
            else:
                protocol = start = stop = 0
            if protocol == 6 and not flags & SYN and offset >= 0x50:
                start += (offset >> 4) * 4
                if start <= stop <= size:
                    return _new(Segment, (number, flow, network, seq, ack, flags, window, None, data[start:stop], 0))
                if start < size < stop:
                    cut = stop - size
                    return _new(Segment, (number, flow, network, seq, ack, flags, window, None, data[start:], cut))
        place = Place(data, 0, max(original, size))
        found = self._read(place, (LINK, link_type), number, time)
        if place.later or self._fragments.given_up:
            self._wait(place, number, time)
        return found

    def left(self) -> list[Fragment]:
        """Return the fragments that made no datagram, which can be pickled; they are kept no more."""
        return self._fragments.left()

    def take(self, left: Iterable[Fragment]) -> list[Segment | Skipped]:
        """Go on with the fragments that another reader had left; return what they complete with those kept here."""
        found = []
        for fragment in left:
            place = Place(fragment.data, 0, fragment.size)
            key = self._join(place, fragment)
            found.append(self._read(place, key, fragment.number, fragment.time) if key else None)
            self._wait(place, fragment.number, fragment.time)
        return [one for one in found if one is not None]

    def _read(self, place: Place, key: Key, number: int, time: float) -> Segment | Skipped | None:
        """Read layer after layer."""
        try:
            for _ in range(MAX_LAYERS):
                layer = _LAYERS.get(key)
                if layer is not None:
                    found = layer(place)
                    if isinstance(found, Skipped):
                        return found
                    key = found
                elif key == _TCP:
                    return _segment(place, number)
                elif key != A_FRAGMENT:
                    return skipped(*key)
                else:
                    joined = self._join(place, _fragment(place, number, time))
                    if joined is None:
                        return None
                    key = joined
        except (Underrun, Damaged):
            return DAMAGED
        return TOO_DEEP

    def _join(self, place: Place, fragment: Fragment) -> Key | None:
        """Keep a fragment; go to the front of the datagram that it completes, and return what that carries."""
        whole = self._fragments.add(fragment)
        if whole is None:
            return None
        self.joined += 1
        place.data, place.at, place.stop = whole.data(), 0, whole.reach
        place.network, place.addresses = fragment.network, fragment.addresses
        return PROTOCOL, whole.protocol

    def _wait(self, place: Place, number: int, time: float) -> None:
        """Read what else a packet holds, and count what was given up."""
        while place.later:
            key, other = place.later.pop(0)
            found = self._read(other, key, number, time)
            place.later += other.later
            if found is not None:
                self.waiting.append(found)
        self.waiting += [FRAGMENTS] * self._fragments.given_up
        self._fragments.given_up = 0


def _fragment(place: Place, number: int, time: float) -> Fragment:
    ident, protocol, offset, more = place.fragment
    data = place.data[min(place.at, len(place.data)) :]
    size = place.stop - place.at
    return Fragment(number, time, place.network, place.addresses, ident, protocol, offset, more, size, data)


def _segment(place: Place, number: int) -> Segment:
    at, stop, data = place.at, place.stop, place.data
    ports, seq, ack, offset, flags, window = data.unpack_from(_TCP_HEADER, at)
    start = at + (offset >> 4) * 4
    if start < at + 20 or start > stop:
        raise Damaged
    size = len(data)
    scale = _scale(data, at + 20, min(start, size)) if flags & SYN else None
    payload = data[start:] if start < size else _NO_PAYLOAD
    cut = stop - max(start, size)
    return _new(Segment, (number, place.addresses + ports, place.network, seq, ack, flags, window, scale, payload, cut))


_NO_PAYLOAD: Final = SliceBuffer(b"")


def _scale(data: SliceBuffer, at: int, stop: int) -> int | None:
    """Return the shift of the window scale option among what was captured of the options."""
    options: tuple[int, ...] = data.unpack_from(f"{stop - at}B", at) if at < stop else ()
    at = 0
    while at + 2 < len(options) and options[at] != _END_OF_OPTIONS:
        kind, size, shift = options[at : at + 3]
        if kind == _NO_OPERATION:
            at += 1
        elif kind == _WINDOW_SCALE and size == 3:
            return min(shift, MAX_SCALE)
        elif size < 2:
            break
        else:
            at += size
    return None


_END_OF_OPTIONS, _NO_OPERATION, _WINDOW_SCALE = 0, 1, 3
