"""Captures for the tests of examples/: packets and files written with struct, and a conversation to put in them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from inspect import GEN_CLOSED, getgeneratorstate
from typing import Final, NamedTuple

from bytebufs import SliceBuffer
from examples.http.capture import read_packets
from examples.http.exchange import Exchange
from examples.http.half import HalfParser
from examples.http.message import Leftover, Message
from examples.http.report import as_json, digest
from examples.http.tcp import Ending
from examples.http_reassembly import find_messages, read_capture

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
CLIENT: Final = bytes([10, 0, 0, 1])
SERVER: Final = bytes([10, 0, 0, 2])
CLIENT6: Final = bytes.fromhex("20010db8") + bytes(11) + b"\x01"
SERVER6: Final = bytes.fromhex("20010db8") + bytes(11) + b"\x02"
PORT: Final = 40_000


class Gap(NamedTuple):
    """Bytes of a stream that the capture does not hold."""

    nbytes: int


Event = bytes | Gap
"""What happens in a half-stream: bytes, or a gap."""


# -- packets -------------------------------------------------------------------------------------------------


class Tcp(NamedTuple):
    """A segment to write; `seq` may lie beyond 2**32."""

    seq: int
    payload: bytes = b""
    flags: int = ACK
    from_client: bool = True
    port: int = PORT
    options: bytes = b""

    def pack(self) -> bytes:
        ports = (self.port, 80) if self.from_client else (80, self.port)
        offset = (20 + len(self.options)) // 4 << 4
        head = struct.pack("!HHIIBBHHH", *ports, self.seq % 2**32, 0, offset, self.flags, 65535, 0, 0)
        return head + self.options + self.payload


def ipv4(
    segment: Tcp, *, options: bytes = b"", fragment: int = 0, protocol: int = 6, total: int | None = None
) -> bytes:
    body = segment.pack()
    header = 20 + len(options)
    src, dst = (CLIENT, SERVER) if segment.from_client else (SERVER, CLIENT)
    length = header + len(body) if total is None else total
    return (
        struct.pack("!BBHHHBBH4s4s", 0x40 | header // 4, 0, length, 0, fragment, 64, protocol, 0, src, dst)
        + options
        + body
    )


def ipv6(segment: Tcp, *, extensions: Sequence[tuple[int, bytes]] = (), length: int | None = None) -> bytes:
    """Write an IPv6 packet; an extension is its number and its bytes but the first, which is filled in."""
    kinds = [*(kind for kind, _ in extensions), 6]
    between = b"".join(bytes([following]) + rest for following, (_, rest) in zip(kinds[1:], extensions, strict=True))
    body = between + segment.pack()
    src, dst = (CLIENT6, SERVER6) if segment.from_client else (SERVER6, CLIENT6)
    return struct.pack("!IHBB", 0x6000_0000, len(body) if length is None else length, kinds[0], 64) + src + dst + body


def ethernet(packet: bytes, *, kind: int | None = None, tags: Sequence[int] = (), pad: int = 0) -> bytes:
    kinds = [*tags, (0x0800 if packet[0] >> 4 == 4 else 0x86DD) if kind is None else kind]
    between = b"".join(struct.pack("!HH", following, 7) for following in kinds)[:-2]
    return bytes(12) + between + packet + bytes(pad)


# -- files ---------------------------------------------------------------------------------------------------


def pcap(
    packets: Iterable[bytes], *, order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, snap: int = 1 << 20
) -> bytes:
    out = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for packet in packets:
        kept = packet[:snap]
        out += [struct.pack(f"{order}IIII", 1, 2, len(kept), len(packet)), kept]
    return b"".join(out)


def block(kind: int, body: bytes, *, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", len(body) + 12)
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<", *, version: int = 1, options: bytes = b"") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, version, 0, -1) + options, order=order)


def interface(link: int = 1, *, order: str = "<", snap: int = 0) -> bytes:
    return block(1, struct.pack(f"{order}HHI", link, 0, snap), order=order)


def enhanced(packet: bytes, *, order: str = "<", index: int = 0, original: int | None = None) -> bytes:
    size = len(packet) if original is None else original
    return block(6, struct.pack(f"{order}IIIII", index, 0, 0, len(packet), size) + packet, order=order)


def old_packet(packet: bytes, *, order: str = "<", index: int = 0) -> bytes:
    return block(2, struct.pack(f"{order}HHIIII", index, 0, 0, 0, len(packet), len(packet)) + packet, order=order)


def simple(packet: bytes, *, order: str = "<", original: int | None = None) -> bytes:
    return block(3, struct.pack(f"{order}I", len(packet) if original is None else original) + packet, order=order)


def pcapng(packets: Iterable[bytes], *, order: str = "<", link: int = 1) -> bytes:
    return b"".join(
        [section(order), interface(link, order=order), *(enhanced(packet, order=order) for packet in packets)]
    )


# -- conversations -------------------------------------------------------------------------------------------


def talk(
    *turns: bytes, size: int = 1000, isn: tuple[int, int] = (100, 5000), port: int = PORT, handshake: bool = True
) -> list[Tcp]:
    """Return the segments of a conversation: client and server take turns, and both close in the end."""
    seq = [isn[0], isn[1]]
    segments = []
    if handshake:
        segments = [Tcp(seq[0], b"", SYN, True, port), Tcp(seq[1], b"", SYN | ACK, False, port)]
    seq = [seq[0] + 1, seq[1] + 1]
    for turn, data in enumerate(turns):
        side = turn % 2
        for at in range(0, len(data), size):
            segments.append(Tcp(seq[side], data[at : at + size], ACK | PSH, not side, port))
            seq[side] += len(data[at : at + size])
    segments += [Tcp(seq[0], b"", FIN | ACK, True, port), Tcp(seq[1], b"", FIN | ACK, False, port)]
    return segments


def frames(segments: Iterable[Tcp]) -> list[bytes]:
    return [ethernet(ipv4(segment)) for segment in segments]


def messages_in(capture: bytes) -> list[dict[str, object]]:
    """Return what `--json` would write for a capture. Raises the CaptureError that ended it."""
    read = read_capture(read_packets(SliceBuffer(capture)))
    if read.error:
        raise read.error
    return [as_json(found, found.message) for found in find_messages(read.connections.streams)]


# -- HTTP without packets ------------------------------------------------------------------------------------


def feed(parser: HalfParser, events: Iterable[Event]) -> None:
    for event in events:
        if isinstance(event, Gap):
            parser.gap(event.nbytes)
        else:
            parser.feed(SliceBuffer(event))


class Talk:
    """An exchange, and what it tells: side 0 is the client, unless the bytes say otherwise."""

    def __init__(self, *, joins: tuple[bool, bool] = (False, False)) -> None:
        self.exchange = Exchange(self._tell, joins=joins.__getitem__, watch=self._watch)
        self.told: list[tuple[int, Message | Leftover]] = []
        self.watches = 0
        self._sent = [b"", b""]
        self._lost = [0, 0]

    def _tell(self, side: int, what: Message | Leftover) -> None:
        self.told.append((side, what))

    def _watch(self) -> None:
        self.watches += 1

    def say(self, *events: Event, side: int = 0) -> Talk:
        feed(self.exchange.parsers[side], events)
        self._sent[side] += b"".join(event for event in events if isinstance(event, bytes))
        self._lost[side] += sum(event.nbytes for event in events if isinstance(event, Gap))
        return self

    def hear(self, *events: Event) -> Talk:
        return self.say(*events, side=1)

    def end(self, ending: Ending = Ending.CLOSED, *, first: int = 0) -> Talk:
        for side in (first, 1 - first):
            self.exchange.parsers[side].end(ending)
        self._check()
        return self

    def messages(self, side: int | None = None) -> list[Message]:
        return [what for at, what in self.told if isinstance(what, Message) and side in (None, at)]

    def left(self, side: int | None = None) -> list[Leftover]:
        return [what for at, what in self.told if isinstance(what, Leftover) and side in (None, at)]

    def _check(self) -> None:
        """Check that each byte went to a message, or is told of, and that nothing waits."""
        for side, parser in enumerate(self.exchange.parsers):
            assert getgeneratorstate(parser._program) == GEN_CLOSED
            assert (parser.fed, parser.missing) == (len(self._sent[side]), self._lost[side])
            assert parser.unparsed == sum(left.nbytes for left in self.left(side))
            messages = self.messages(side)
            assert all(message.is_done for message in messages)
            lost = sum(left.missing for left in self.left(side)) + sum(message.missing for message in messages)
            assert lost <= parser.missing
            kept = sum(len(message.head) + len(message.body) for message in messages)
            between = parser.fed - parser.unparsed - kept  # what frames chunks, and empty lines between messages
            assert between >= 0
            if b"chunked" not in self._sent[side]:
                assert between <= self._sent[side].count(b"\r") + self._sent[side].count(b"\n")
            text = self._sent[side].decode("latin-1")
            assert all(left.text in text and ("\n" not in left.text) for left in self.left(side))


def exchange(
    asked: Iterable[Event], answered: Iterable[Event], ending: Ending = Ending.CLOSED
) -> tuple[list[Message], list[Message]]:
    """Parse both directions of a connection."""
    talk = Talk().say(*asked).hear(*answered).end(ending)
    return talk.messages(0), talk.messages(1)


def facts(message: Message) -> tuple[object, ...]:
    """Return all of a message that may not depend on how its bytes were cut."""
    return (
        *(message.kind, message.method, message.status, message.target, message.version),
        *(message.request and message.request.method, message.switched),
        *(tuple(message.headers), tuple(message.trailers), len(message.body), digest(message.body)),
        *(message.missing, message.hole, message.error, message.copied),
    )
