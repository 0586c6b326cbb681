"""Which connection a segment belongs to: streams, told apart by addresses, ports, networks and sequence numbers.

A segment goes to the stream of its addresses and ports in whose windows it lies. What fits into none is a stray, and is
kept aside until others show what it was (RFC 9293, section 3.10.7.4; RFC 5961, section 4):

1. A SYN begins another connection if the one before is over, or if it is acknowledged: by a SYN ACK, or by going on
   behind it. Else it changes nothing: its receiver has answered it with a challenge ACK. A SYN ACK that answers a
   connection's SYN shows where its side begins, whatever was taken for that before.
2. Segments that go on in each other, or from or up to what the other side acknowledges, show that the capture has lost
   much: the stream goes on there. Where it cannot, for it is over or farther on already, they are another connection,
   unless it has had them before.
3. Other bytes of a stray belong to no stream. They are counted.

The same addresses in two VLANs are two connections. Tags may be seen in one direction only, or not on every packet: a
segment without one belongs to whichever connection it fits into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Final, final

from .numbers import LEAST_WINDOW, MASK, MOST_WINDOW
from .packets import ACK, RST, SYN, Segment, turned
from .stream import Stream
from .tcp import PATIENCE, HalfStream

__all__ = ["Connections"]

MOST_STRAYS: Final = 16
"""Segments that are kept aside for a stream."""
ENOUGH: Final = 3
"""Segments that go on in each other, so that a stream goes on there."""
MOST_ALIKE: Final = 64
"""Connections with the same addresses and ports, open or over since less than PATIENCE packets. All are looked at for
what does not go on in the last; of more the oldest ends."""


@final
class Connections:
    """Sorts segments into streams, which are numbered from 0 by the segment that showed that there is one."""

    def __init__(self, on_open: Callable[[Stream], None], on_over: Callable[[Stream], None]) -> None:
        """`on_open` gives a stream's halves who takes what they bring; `on_over` is told when nothing more comes."""
        self.opened = 0
        self._on_open = on_open
        self._on_over = on_over
        self._routes: dict[bytes, HalfStream] = {}
        self._timers: list[tuple[float, int, Stream]] = []  # a heap, the next to come on top
        self.now: float = 0
        """The packet that is looked at, or at which a stream has waited for long enough; infinite for the end."""
        self.is_timer = False

    def add(self, segment: Segment) -> None:
        """Take a segment in. Complexity: O(1), or O(log n) in the segments that wait. Copies: nothing."""
        self.now = now = segment[0]
        if self._timers and self._timers[0][0] < now:
            self.wait_until(now)
        half = self._routes.get(segment[1])
        if half is None or not half.take(segment):
            self._sort(segment, half)

    def wait_until(self, number: float) -> None:
        """Take in that up to a packet nothing else has come. What happens does not depend on when this is told."""
        self.is_timer = True
        while self._timers and self._timers[0][0] < number:
            self.now, _, stream = heappop(self._timers)
            self._look_after(stream)
        self.now = number
        self.is_timer = False

    def end(self) -> None:
        """Take in that the capture ends: so do all streams, in the order in which they began."""
        self.now = inf
        while streams := set(self._streams()):
            for stream in sorted(streams, key=lambda stream: stream.number):
                self._finish(stream)
        self._timers.clear()

    # -- where a segment belongs

    def _sort(self, segment: Segment, first: HalfStream | None) -> None:
        if first is not None and first.top is not None and _is_of_network(first, segment) and _fits(first, segment):
            self._give(first, segment)  # nearly always
            return
        found: HalfStream | None = None
        blank: HalfStream | None = None
        neighbour: HalfStream | None = None
        half = first
        count = 0
        while half is not None and found is None:
            count += 1
            if count > MOST_ALIKE:
                self._finish(half.stream)
            elif _is_of_network(half, segment):
                neighbour = neighbour or half
                if _fits(half, segment):
                    found, blank = (half, blank) if half.top is not None else (None, blank or half)
            elif segment.flags & SYN and any(_answers(segment, stray) for stray in half.stream.strays):
                neighbour = half  # tags are seen in this direction only
            half = half.next
        found = found or blank
        if found is not None:
            self._give(found, segment)
        elif neighbour is None or (segment.flags & (SYN | RST) == SYN and neighbour.stream.is_over):
            if segment.flags & SYN or segment.payload or segment.cut:  # nothing else shows a connection
                self._give(self._open(segment), segment)
        else:
            self._keep_aside(neighbour, segment)

    def _give(self, half: HalfStream, segment: Segment) -> None:
        half.add(segment, self.now)
        stream = half.stream
        stream.told_at = self.now
        if stream.strays and not segment.flags & SYN:
            self._judge(half, segment)
        if stream.waits:
            self._wait(stream, self.now)

    def _open(self, segment: Segment) -> HalfStream:
        other = turned(segment.flow)
        stream = Stream(self.opened, segment.flow, other)
        self.opened += 1
        one, two = stream.halves
        one.next = self._routes.get(segment.flow)
        self._routes[segment.flow] = one
        if other != segment.flow:  # or it talks to itself
            two.next = self._routes.get(other)
            self._routes[other] = two
        self._on_open(stream)
        return one

    # -- strays

    def _keep_aside(self, half: HalfStream, segment: Segment) -> None:
        stream = half.stream
        stream.strays.append(segment)
        if segment.payload:
            stream.stray_count += 1
            stream.stray_bytes += len(segment.payload)
        self._judge(half, segment)
        del stream.strays[:-MOST_STRAYS]

    def _judge(self, half: HalfStream, segment: Segment) -> None:
        """See whether a segment shows what those that were kept aside are."""
        stream = half.stream
        is_stray = segment in stream.strays
        if is_stray:
            for stray in stream.strays:
                if _answers(segment, stray):
                    self._take_back(stream, self._open(stray), stray)
                    return
            if _shows_its_side(segment, half):
                stream.stray_bytes += half.move(half.place(segment.seq + 1))
                self._take_back(stream, half)
                return
        for side, ack in ((half, half.ack), (half.peer, segment.ack if segment.flags & ACK else None)):
            run = _run(stream.strays, side, ack)
            if run and not side.has_had(run[0].seq):
                self._take_back(stream, self._go_on_at(run[0], side), run[0])
                return
        if not is_stray:
            self._look_through(stream)

    def _go_on_at(self, segment: Segment, half: HalfStream) -> HalfStream:
        """Go on where several segments say that the sender is; in another connection, if in this one it cannot be."""
        stream = half.stream
        if half.is_shown(ENOUGH):
            stream.begin()
        place = half.place(segment.seq)
        is_elsewhere = not half.fits(segment) and not half.peer.can_have_sent(segment.ack)
        if stream.is_over or stream.is_bare or is_elsewhere or (half.begun and place < half.at):
            return self._open(segment)
        stream.stray_bytes += half.move(place)
        return half

    def _look_through(self, stream: Stream) -> None:
        """See whether any that was kept aside fits by now."""
        halves = stream.by_flow()
        if any(_fits(halves[stray.flow], stray) for stray in stream.strays):
            self._take_back(stream, stream.halves[0])

    def _take_back(self, stream: Stream, into: HalfStream, first: Segment | None = None) -> None:
        """Give what was kept aside to the stream that has shown itself, as far as it fits there."""
        strays, stream.strays = stream.strays, []
        halves = into.stream.by_flow()
        for stray in sorted(strays, key=lambda stray: stray is not first):
            half = halves[stray.flow]
            if (stray is first or _is_expected(half, stray)) and _fits(half, stray):
                if stray.payload:
                    stream.stray_count -= 1
                    stream.stray_bytes -= len(stray.payload)
                self._give(half, stray)
            else:
                stream.strays.append(stray)

    # -- time

    def watch(self, stream: Stream) -> None:
        """Call `stream.overdue` when PATIENCE packets have come."""
        stream.asked_at = self.now
        self._wait(stream, self.now)

    def _wait(self, stream: Stream, since: float) -> None:
        if not stream.is_timed:
            stream.is_timed = True
            heappush(self._timers, (since + PATIENCE, stream.number, stream))

    def _look_after(self, stream: Stream) -> None:
        """Do what is due, and look again when more of it will be."""
        stream.is_timed = False
        long_ago = self.now - PATIENCE
        if stream.is_finished:
            return
        if stream.is_over:
            if stream.told_at <= long_ago:
                self._finish(stream)
            else:
                self._wait(stream, stream.told_at)
            return
        stream.wait_no_longer(self.now, long_ago)
        if stream.overdue is not None and stream.asked_at <= long_ago:
            overdue, stream.overdue = stream.overdue, None
            overdue()
        since = [half.since for half in stream.halves if half.waits]
        if stream.overdue is not None:
            since.append(stream.asked_at)
        if later := [number for number in since if number > long_ago]:
            self._wait(stream, min(later))

    def _finish(self, stream: Stream) -> None:
        stream.is_finished = True
        self._look_through(stream)
        stream.finish()
        for half in stream.halves:
            before: HalfStream | None = None
            other = self._routes.get(half.flow)
            while other is not None and other is not half:
                before, other = other, other.next
            if other is None:
                continue
            if before is not None:
                before.next = half.next
            elif half.next is not None:
                self._routes[half.flow] = half.next
            else:
                del self._routes[half.flow]
        self._on_over(stream)

    def is_due(self, number: int) -> bool:
        """Whether `wait_until` has anything to do."""
        return bool(self._timers) and self._timers[0][0] < number

    def is_live(self, flow: bytes) -> bool:
        """Whether there is a stream of a flow that has not ended."""
        return flow in self._routes

    def _streams(self) -> Iterator[Stream]:
        for first in self._routes.values():
            half: HalfStream | None = first
            while half is not None:
                yield half.stream
                half = half.next


def _is_of_network(half: HalfStream, segment: Segment) -> bool:
    """Whether nothing that was seen speaks against its having come through the same network."""
    known = half.network or half.peer.network
    return not known or not segment.network or segment.network == known


def _fits(half: HalfStream, segment: Segment) -> bool:
    if segment.flags & SYN:
        return _is_its_syn(half, segment)
    if half.top is None and segment.flags & RST:  # then only its answer tells (RFC 9293, section 3.10.7.3)
        return half.peer.can_have_sent(segment.ack) if segment.flags & ACK else segment.seq == half.ack
    if not half.fits(segment) or (half.ended and half.is_new(segment)):
        return False
    # What the other side says may be what the capture lost.
    return not (segment.flags & ACK and half.trusts) or half.peer.can_have_sent(segment.ack, unseen=MOST_WINDOW)


def _is_expected(half: HalfStream, segment: Segment) -> bool:
    """Whether a segment goes with what the other side has said, where this one has said nothing yet."""
    if half.top is not None:
        return True
    if segment.flags & ACK:
        return half.peer.can_have_sent(segment.ack)
    return half.ack is not None and (segment.seq + half.window - half.ack) & MASK <= 2 * half.window


def _is_its_syn(half: HalfStream, segment: Segment) -> bool:
    """Whether a SYN is the one with which a half-stream began, or can have begun."""
    if half.start is not None:
        return (segment.seq + 1 - half.start) & MASK == 0
    if half.top is not None:
        return not half.begun and 0 <= half.at - half.place(segment.seq) - 1 <= LEAST_WINDOW
    return not segment.flags & ACK or _acknowledges_seen(segment, half.peer)


def _acknowledges_seen(segment: Segment, half: HalfStream) -> bool:
    """Whether a segment acknowledges a place in what was seen of the other side, if any was."""
    start = half.at if half.start is None else half.start
    return half.top is None or start <= half.place(segment.ack) <= half.top


def _shows_its_side(segment: Segment, half: HalfStream) -> bool:
    """Whether a SYN ACK answers a connection's SYN, so that what came before of its side was none of it."""
    if segment.flags & (SYN | ACK) != SYN | ACK or half.peer.start is None:
        return False
    is_agreed = half.trusts or (half.start is not None and half.acked == half.start)  # each has answered the other
    return not is_agreed and (half.is_bare or not half.begun) and _acknowledges_seen(segment, half.peer)


def _answers(segment: Segment, syn: Segment) -> bool:
    """Whether a segment that fits nowhere goes on behind a SYN, or acknowledges it."""
    if not syn.flags & SYN:
        return False
    behind = (syn.seq + 1) & MASK
    if segment.flow == syn.flow:
        return segment.seq == behind and not segment.flags & SYN
    return bool(segment.flags & ACK) and segment.ack == behind


def _run(strays: Sequence[Segment], half: HalfStream, ack: int | None) -> list[Segment]:
    """Return segments that go on in each other: ENOUGH, or as many as lead to, or on from, what was acknowledged."""
    run: list[Segment] = []
    for stray in strays:
        if stray.flow != half.flow or not stray.payload:
            continue
        if run and stray.seq != _behind(run[-1]):
            run = []
        run.append(stray)
        if len(run) == ENOUGH:
            return run
        # What lies in the window was refused for what it acknowledges itself.
        if ack in (stray.seq, _behind(stray)) and not half.fits(run[0]):
            return run
    return []


def _behind(segment: Segment) -> int:
    return (segment.seq + len(segment.payload) + segment.cut) & MASK
