"""TCP streams out of segments, sans I/O: what each side of each connection sent, in order, with the holes named.

Rules (RFC 9293 names what a receiver does; here is what a reader of a capture can do):

1. A capture is a file, so nothing is decided before its end: a half-stream keeps the slices of its segments and sorts
   them when it is asked for its events. What came late, twice or in pieces needs no further thought.
2. Where segments overlap, the bytes that came first win, as with most receivers: a keep-alive probe's garbage
   byte or a retransmission with other bytes changes nothing.
3. Bytes that nobody brought are a gap: lost from the capture, or cut off by its snapshot length.
4. Sequence numbers are unwrapped to places that count on beyond 4 GiB. Each is taken to be the one nearest to the
   place that was last; a segment farther off than the largest window (RFC 7323, section 2.2) moves no other.
5. Without a SYN a half-stream begins with the lowest sequence number seen. Behind a FIN there is nothing.
6. A SYN with another initial sequence number on the same ports is another connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from heapq import heappop, heappush
from typing import Final, NamedTuple, final

from bytebufs import SliceBuffer

from ._packets import FIN, RST, SYN, Endpoint, Segment

__all__ = ["Connections", "Ending", "Gap", "HalfStream", "Stream"]

_MODULUS: Final = 1 << 32
_LARGEST_WINDOW: Final = 1 << 30


class Ending(Enum):
    """How a half-stream ends; the value is a clause for people."""

    CLOSED = "the connection was closed"
    RESET = "the connection was reset"
    CUT = "the capture ends"


class Gap(NamedTuple):
    """Bytes of a stream that the capture does not hold."""

    nbytes: int


class _Arrival(NamedTuple):
    """A payload, where it belongs, and which it was in the order of the capture."""

    at: int
    order: int
    payload: SliceBuffer

    @property
    def stop(self) -> int:
        """The place behind it."""
        return self.at + len(self.payload)


@final
class HalfStream:
    """What one side of a connection sends."""

    def __init__(self, sender: Endpoint, receiver: Endpoint) -> None:
        self.sender = sender
        self.receiver = receiver
        self.begins_with_syn = False
        self.reset = False
        self._arrivals: list[_Arrival] = []
        self._near: int | None = None  # the place that the next sequence number is expected close to
        self._span: tuple[int, int] | None = None  # the places of the first byte and behind the last
        self._fin: int | None = None

    def add(self, segment: Segment) -> None:
        """Take a segment in. Complexity: O(1). Copies: nothing."""
        if segment.flags & RST:
            return  # what a reset carries is a note for people (RFC 9293, section 3.5.3)
        at = self._place(segment.seq)
        if self._near is None or abs(at - self._near) <= _LARGEST_WINDOW:
            self._near = at
        if segment.flags & SYN:
            at += 1  # a SYN takes the number before the first byte
            self.begins_with_syn = True
            self._reach(at, at)
        stop = at + len(segment.payload) + segment.cut
        if segment.payload:
            self._arrivals.append(_Arrival(at, len(self._arrivals), segment.payload))
        if segment.flags & FIN and self._fin is None:
            self._fin = stop
        if at < stop or segment.flags & FIN:
            self._reach(at, stop)

    def is_other(self, seq: int) -> bool:
        """Say whether a SYN of this number begins another connection than this half-stream's."""
        return self._span is not None and self._place(seq) + 1 != self._span[0]

    @property
    def ending(self) -> Ending:
        """How it ends; a reset behind a FIN changes nothing."""
        if self._fin is not None:
            return Ending.CLOSED
        return Ending.RESET if self.reset else Ending.CUT

    def events(self) -> Iterator[SliceBuffer | Gap]:
        """Yield the bytes in order, as slices of the capture, and the gaps between them.

        Complexity: O(n log n) in the segments, O(n) where they came in order. Copies: nothing.
        """
        at, end = self._span or (0, 0)
        if self._fin is not None:
            end = self._fin
        later = sorted(self._arrivals, reverse=True)
        ready: list[tuple[int, _Arrival]] = []  # a heap of what has begun: the first to come is on top
        while at < end:
            while later and later[-1].at <= at:
                arrival = later.pop()
                heappush(ready, (arrival.order, arrival))
            while ready and ready[0][1].stop <= at:
                heappop(ready)
            stop = min(later[-1].at, end) if later else end
            if ready:
                first = ready[0][1]
                stop = min(stop, first.stop)
                yield first.payload[at - first.at : stop - first.at]
            else:
                yield Gap(stop - at)
            at = stop

    def _place(self, seq: int) -> int:
        """Unwrap a sequence number: of the places it may mean, the one nearest to where numbers were last."""
        if self._near is None:
            return seq
        return self._near + (seq - self._near + _MODULUS // 2) % _MODULUS - _MODULUS // 2

    def _reach(self, at: int, stop: int) -> None:
        first, last = self._span or (at, stop)
        self._span = first if self.begins_with_syn else min(first, at), max(last, stop)


@final
class Stream:
    """A connection: two half-streams, first the one whose segment came first."""

    def __init__(self, number: int, first: Segment) -> None:
        self.number = number
        self.halves = HalfStream(first.src, first.dst), HalfStream(first.dst, first.src)
        self.spoke_first: HalfStream | None = None
        """Whose bytes came first in the capture."""

    def add(self, segment: Segment, side: int) -> None:
        """Take in a segment that the half-stream `side` sends."""
        self.halves[side].add(segment)
        if self.spoke_first is None and segment.payload:
            self.spoke_first = self.halves[side]
        if segment.flags & RST:
            for half in self.halves:
                half.reset = True


@final
class Connections:
    """Sorts segments into streams, which are numbered from 0 by their first segment."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self._current: dict[tuple[Endpoint, Endpoint], tuple[Stream, int]] = {}

    def add(self, segment: Segment) -> None:
        """Take a segment in. Complexity: O(1). Copies: nothing."""
        key = segment.src, segment.dst
        found = self._current.get(key)
        if found is None or (segment.flags & SYN and found[0].halves[found[1]].is_other(segment.seq)):
            found = self._open(segment)
        stream, side = found
        stream.add(segment, side)

    def _open(self, segment: Segment) -> tuple[Stream, int]:
        stream = Stream(len(self.streams), segment)
        self.streams.append(stream)
        self._current[segment.dst, segment.src] = stream, 1
        self._current[segment.src, segment.dst] = stream, 0
        return stream, 0
