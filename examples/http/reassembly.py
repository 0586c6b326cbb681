"""The HTTP messages in packets: all layers put together, one packet after the other.

Messages come as they end, so memory is in proportion to the connections that are open. What happens at a packet
depends on that packet's connection alone: whoever has all packets of a connection, and their numbers, finds the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, final

from .capture import Packet
from .connections import Connections
from .exchange import Exchange
from .message import Leftover, Message
from .packets import FRAGMENTS, Endpoint, Segment, SegmentReader, Skipped
from .stream import Stream

__all__ = ["Counts", "Found", "Moment", "Reassembly"]


class Moment(NamedTuple):
    """When something was found: what orders all that is found, in whichever order it was looked for."""

    number: float
    """The packet, counted over all captures; infinite for the end."""
    by_waiting: bool
    """Whether it came of nothing having come for so long."""
    opened: tuple[float, int]
    """The packet that showed that there is the stream, and which it was of those that it showed."""
    place: int
    """Which it is of its stream."""


@dataclass(slots=True)
class Found:
    """A message, or bytes that no message took, and where they were found."""

    what: Message | Leftover
    stream: int
    flow: bytes
    """Of the connection: that of its first segment."""
    src: Endpoint
    dst: Endpoint
    moment: Moment
    before: int = 0
    """Bytes of the same side, since the message before, that no message took."""

    @property
    def message(self) -> Message:
        """What was found, where that is a message."""
        assert isinstance(self.what, Message)
        return self.what


@dataclass(slots=True)
class Counts:
    """How much there was."""

    packets: int = 0
    streams: int = 0
    http: int = 0
    """Streams with messages."""
    fed: int = 0
    """Bytes of all streams."""
    missing: int = 0
    """Bytes that the captures do not hold."""
    unparsed: int = 0
    """Bytes, of streams with messages, that no message took."""
    other: int = 0
    """Bytes of streams without."""
    strays: int = 0
    """Segments that belong to no connection."""
    stray_bytes: int = 0
    skipped: Counter[Skipped] = field(default_factory=Counter)
    """Packets that gave no segment."""

    @classmethod
    def of(cls, exchange: Exchange) -> Counts:
        """Count what a connection said."""
        counts = cls(streams=1, http=int(exchange.is_http))
        for parser in exchange.parsers:
            counts.fed += parser.fed
            counts.missing += parser.missing
            if exchange.is_http:
                counts.unparsed += parser.unparsed
            else:
                counts.other += parser.fed
        return counts

    def add(self, other: Counts) -> None:
        """Add what others counted."""
        self.packets += other.packets
        self.streams += other.streams
        self.http += other.http
        self.fed += other.fed
        self.missing += other.missing
        self.unparsed += other.unparsed
        self.other += other.other
        self.strays += other.strays
        self.stray_bytes += other.stray_bytes
        self.skipped.update(other.skipped)


@final
class _Conversation:
    """What a stream says: its messages, with where and when they were found."""

    def __init__(self, stream: Stream, connections: Connections, ready: list[Found]) -> None:
        self.exchange = Exchange(self._tell, joins=self._joins, watch=self._watch)
        self._stream = stream
        self._connections = connections
        self.ready = ready
        self.opened = connections.now, stream.number
        self._count = 0
        self._left = [0, 0]  # of each side, since its last message
        for half, parser in zip(stream.halves, self.exchange.parsers, strict=True):
            half.sink = parser

    def _joins(self, side: int) -> bool:
        return self._stream.halves[side].start is None

    def _watch(self) -> None:
        self._stream.overdue = self.exchange.overdue
        self._connections.watch(self._stream)

    def _tell(self, side: int, what: Message | Leftover) -> None:
        connections, stream = self._connections, self._stream
        half = stream.halves[side]
        self._count += 1
        moment = Moment(connections.now, connections.is_timer, self.opened, self._count)
        found = Found(what, stream.number, stream.halves[0].flow, half.sender, half.receiver, moment)
        if isinstance(what, Message):
            found.before, self._left[side] = self._left[side], 0
        else:
            self._left[side] += what.nbytes
        self.ready.append(found)

    def counts(self) -> Counts:
        """Return what there was, in the end."""
        stream = self._stream
        counts = Counts.of(self.exchange)
        counts.strays = stream.stray_count
        counts.stray_bytes = stream.stray_bytes
        return counts


@final
class Reassembly:
    """Takes packets, or segments, and gives the messages in them."""

    def __init__(self, on_over: Callable[[bytes, tuple[float, int], Counts], None] | None = None) -> None:
        """Begin. `on_over`, if there is one, is told of each stream by which flow it began, when, and its counts."""
        self.counts = Counts()
        self._on_over = on_over
        self.reader = SegmentReader()
        self.connections = Connections(self._open, self._over)
        self.ready: list[Found] = []
        self._conversations: dict[int, _Conversation] = {}

    def read(self, packets: Iterable[Packet]) -> Iterator[Found]:
        """Yield what ends as packets come, whose numbers go on behind those that came before. Raises CaptureError."""
        read, waiting = self.reader.read, self.reader.waiting
        add, ready = self.connections.add, self.ready
        number = self.counts.packets
        try:
            for packet in packets:
                number = packet.number
                segment = read(packet)
                if type(segment) is Segment:
                    add(segment)
                elif segment is not None:
                    self.skip(segment)
                if waiting:
                    self._take_from(waiting)
                if ready:
                    yield from self.taken()
        finally:
            self.counts.packets = number

    def skip(self, reason: Skipped, packets: int = 1) -> None:
        """Count packets that gave no segment."""
        if packets:
            self.counts.skipped[reason] += packets

    def wait_until(self, number: float) -> Iterator[Found]:
        """Take in that up to a packet nothing else has come, and yield what that ends."""
        self.connections.wait_until(number)
        yield from self.taken()

    def end(self) -> Iterator[Found]:
        """Yield what the end of the captures ends."""
        self.skip(FRAGMENTS, len(self.reader.left()))
        self.connections.wait_until(self.counts.packets)
        self.connections.end()
        yield from self.taken()

    def taken(self) -> list[Found]:
        """Take away what was found."""
        found = self.ready.copy()
        self.ready.clear()
        return found

    def _take_from(self, waiting: list[Segment | Skipped]) -> None:
        for one in waiting:
            if isinstance(one, Segment):
                self.connections.add(one)
            else:
                self.skip(one)
        waiting.clear()

    def _open(self, stream: Stream) -> None:
        self._conversations[stream.number] = _Conversation(stream, self.connections, self.ready)

    def _over(self, stream: Stream) -> None:
        conversation = self._conversations.pop(stream.number)
        counts = conversation.counts()
        self.counts.add(counts)
        if self._on_over is not None:
            self._on_over(stream.halves[0].flow, conversation.opened, counts)
