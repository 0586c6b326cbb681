"""TCP segments for the tests of examples/http: conversations to disturb, and what comes of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

from bytebufs import SliceBuffer
from examples.http.connections import Connections
from examples.http.packets import ACK, FIN, RST, SYN, Segment, turned
from examples.http.stream import Stream
from examples.http.tcp import Ending, HalfStream

Event = bytes | int | Ending
"""Bytes, how many are missing, or the end."""

CLIENT: Final = bytes([10, 0, 0, 1])
SERVER: Final = bytes([10, 0, 0, 2])
ISNS: Final = 1_000_000, 3_000_000_000
"""Of the client and of the server."""


def flow_of(port: int = 40_000) -> bytes:
    return CLIENT + SERVER + struct.pack("!HH", port, 80)


FLOW: Final = flow_of()


class Recorder:
    """A sink that writes down what it is given."""

    def __init__(self) -> None:
        self.told: list[SliceBuffer | int | Ending] = []

    def feed(self, part: SliceBuffer, /) -> None:
        assert self._is_open()
        assert len(part)
        self.told.append(part)

    def gap(self, nbytes: int, /) -> None:
        assert self._is_open()
        assert nbytes > 0
        self.told.append(nbytes)

    def end(self, ending: Ending, /) -> None:
        assert self._is_open()
        self.told.append(ending)

    def _is_open(self) -> bool:
        return not self.told or not isinstance(self.told[-1], Ending)

    @property
    def parts(self) -> list[SliceBuffer]:
        return [one for one in self.told if isinstance(one, SliceBuffer)]

    @property
    def events(self) -> list[Event]:
        """Bytes that follow on each other in one, and gaps likewise."""
        events: list[Event] = []
        for kind, group in groupby(self.told, type):
            if kind is SliceBuffer:
                events.append(b"".join(map(bytes, group)))  # type: ignore[arg-type]
            elif kind is int:
                events.append(sum(group))  # type: ignore[arg-type]
            else:
                events += group  # type: ignore[arg-type]
        return events


class Talk:
    """A connection to be: `c` and `s` make a segment of the client or of the server, `at` a place in its stream.

    Where nothing else is said it goes on where that side is, and acknowledges all that the other has sent.
    """

    def __init__(
        self,
        isns: tuple[int, int] = ISNS,
        *,
        port: int = 40_000,
        networks: tuple[bytes, bytes] = (b"", b""),
        window: int = 65_535,
        scale: int | None = None,
        acks: Callable[[int], int] = lambda ack: ack,
    ) -> None:
        self.segments: list[Segment] = []
        self.isns = isns
        self.places = [-1, -1]
        self._flows = flow_of(port), turned(flow_of(port))
        self._networks = networks
        self._window = window
        self._scale = scale
        self._acks = acks

    def c(self, payload: bytes = b"", flags: int = ACK, **fields: int) -> Talk:
        return self._say(0, payload, flags, **fields)

    def s(self, payload: bytes = b"", flags: int = ACK, **fields: int) -> Talk:
        return self._say(1, payload, flags, **fields)

    def segment(
        self,
        side: int,
        payload: bytes = b"",
        flags: int = ACK,
        *,
        at: int | None = None,
        ack: int | None = None,
        window: int | None = None,
        cut: int = 0,
    ) -> Segment:
        """Return a segment without saying it; `at` and `ack` are places in streams."""
        at = self.places[side] if at is None else at
        ack = self.places[1 - side] if ack is None else ack
        return Segment(
            0,
            self._flows[side],
            self._networks[side],
            (self.isns[side] + 1 + at) % 2**32,
            self._acks((self.isns[1 - side] + 1 + ack) % 2**32 if flags & ACK else 0),
            flags,
            self._window if window is None else window,
            self._scale if flags & SYN else None,
            SliceBuffer(payload),
            cut,
        )

    def _say(self, side: int, payload: bytes, flags: int, **fields: int) -> Talk:
        segment = self.segment(side, payload, flags, **fields)
        self.segments.append(segment)
        at = fields.get("at", self.places[side])
        taken = len(payload) + segment.cut + bool(flags & SYN) + bool(flags & FIN)
        if not flags & RST:
            self.places[side] = max(self.places[side], at + taken)
        return self

    def open(self) -> Talk:
        return self.c(b"", SYN).s(b"", SYN | ACK).c()

    def close(self) -> Talk:
        return self.c(b"", FIN | ACK).s(b"", FIN | ACK).c()


class Played:
    """What came of segments."""

    def __init__(self) -> None:
        self.connections = Connections(self._open, self._over)
        self.sinks: list[tuple[Recorder, Recorder]] = []
        self.streams: list[Stream] = []
        self.over: list[Stream] = []

    def _open(self, stream: Stream) -> None:
        assert stream.number == len(self.streams)
        sinks = Recorder(), Recorder()
        for half, sink in zip(stream.halves, sinks, strict=True):
            half.sink = sink
        self.streams.append(stream)
        self.sinks.append(sinks)

    def _over(self, stream: Stream) -> None:
        assert stream not in self.over
        self.over.append(stream)

    def end(self) -> Played:
        self.connections.end()
        assert sorted(stream.number for stream in self.over) == list(range(len(self.streams)))
        halves = [half for stream in self.streams for half in stream.halves]
        assert not any(self.connections.is_live(half.flow) for half in halves)
        return self

    @property
    def events(self) -> list[list[list[Event]]]:
        return [[sink.events for sink in sinks] for sinks in self.sinks]

    @property
    def strays(self) -> tuple[int, int]:
        """How many segments with bytes belong to nothing, and how many bytes."""
        return sum(s.stray_count for s in self.streams), sum(s.stray_bytes for s in self.streams)


def numbered(segments: Iterable[Segment], start: int = 1) -> list[Segment]:
    return [segment._replace(number=number) for number, segment in enumerate(segments, start)]


def play(segments: Iterable[Segment]) -> Played:
    """Let segments be all of a capture."""
    played = Played()
    for segment in numbered(segments):
        played.connections.add(segment)
    return played.end()


def streams_of(segments: Iterable[Segment]) -> list[list[list[Event]]]:
    """Return what the halves of each stream brought, without how they ended."""
    return [
        [[event for event in half if not isinstance(event, Ending)] for half in stream]
        for stream in play(segments).events
    ]


class OneHalf:
    """A half-stream alone, with a peer that says nothing."""

    def __init__(self) -> None:
        self.half: HalfStream = Stream(0, FLOW, turned(FLOW)).halves[0]
        self.sink = Recorder()
        self.half.sink = self.sink

    def add(self, segments: Iterable[Segment]) -> OneHalf:
        for segment in segments:
            if not self.half.take(segment):
                self.half.add(segment, segment.number)
        return self

    def end(self) -> Sequence[Event]:
        self.half.stream.finish()
        return self.sink.events
