"""One TCP connection out of its segments, sans I/O: what each side sent, in order, with the holes named.

It is read as its receivers took it (RFC 9293, section 3.10.7.4; RFC 5961), as far as one who only looks on can tell:

1. A segment counts if it lies in the window that the other side has offered, or close behind. What does not is kept
   aside: `connections` says what happens to it. So no stray SYN, FIN, RST or byte tears or ends anything.
2. Bytes go on in order, each once. Where segments overlap, those that came first win, as with most receivers: a
   keep-alive probe's garbage byte (RFC 1122, section 4.2.3.6) or a retransmission with other bytes changes nothing.
3. Bytes that nobody brings are a gap. A hole is given up when the receiver has acknowledged what follows and the
   capture does not bring it within PATIENCE packets since all before it is there, when MOST_PENDING segments wait
   behind it, or in the end. What a snapshot length cut off is a gap at once.
4. Without a SYN a half-stream begins with the lowest number among its first segments, for they may be out of order.
5. Of several FINs that one counts behind which there are no bytes. It ends its half-stream when it is acknowledged, or
   in the end, unless by then the other side has acknowledged less than lies before it. Bytes behind the one that was
   acknowledged are strays. A RST ends both halves in the end, unless they went on.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol, final

from bytebufs import SliceBuffer

from .arrivals import Arrivals
from .numbers import MASK, Numbers
from .packets import ACK, FIN, RST, SYN, Endpoint, Segment, endpoints

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["PATIENCE", "Ending", "HalfStream", "Sink"]

PATIENCE: Final = 4096
"""Packets of the capture in which what is out of order is awaited."""
MOST_PENDING: Final = 16_384
"""Segments of a half-stream that wait behind a hole, whether or not anybody acknowledged it."""
MOST_FINS: Final = 16
"""FINs of a half-stream that may be the right one, the nearest."""


class Ending(Enum):
    """How a half-stream ends; the value is a clause for people."""

    CLOSED = "the connection was closed"
    RESET = "the connection was reset"
    CUT = "the capture ends"


class Sink(Protocol):
    """Who takes what a half-stream brings."""

    def feed(self, part: SliceBuffer, /) -> None:
        """Take the next bytes: (the rest of) what one segment carries."""

    def gap(self, nbytes: int, /) -> None:
        """Take in that the next bytes are missing."""

    def end(self, ending: Ending, /) -> None:
        """Take in that nothing follows, and why."""


_FLAGS: Final = SYN | FIN | RST


@final
class HalfStream(Numbers):
    """What one side of a connection sends."""

    __slots__ = (
        *("_arrivals", "_fins", "_rst", "_waits_at", "ended", "flow", "network", "next", "peer", "since", "sink"),
        *("stream", "waits"),
    )

    def __init__(self, stream: Stream, flow: bytes) -> None:
        super().__init__()
        self.stream = stream
        self.flow = flow
        self.peer: HalfStream = self
        self.sink: Sink | None = None
        self.next: HalfStream | None = None
        """Of an older connection with the same addresses and ports."""
        self.network: bytes | None = None
        self.ended = False
        self.waits = False
        """Whether anything waits for what may come."""
        self.since: float = 0
        """The packet from which on it has waited for what it waits for."""
        self._waits_at = 0
        self._arrivals = Arrivals()
        self._fins: list[int] = []  # the lowest first
        self._rst: int | None = None

    @property
    def sender(self) -> Endpoint:
        """Who sends."""
        return endpoints(self.flow)[0]

    @property
    def receiver(self) -> Endpoint:
        """Who is sent to."""
        return endpoints(self.flow)[1]

    def is_new(self, segment: Segment) -> bool:
        """Whether a segment has bytes that lie behind all that was handed on."""
        return bool(segment.payload) and self.place(segment.seq) + len(segment.payload) > self.at

    @property
    def is_closed(self) -> bool:
        """Whether a FIN is what comes next."""
        return self.begun and self.at in self._fins

    @property
    def is_reset(self) -> bool:
        """Whether a RST came, and nothing behind it."""
        return self._rst is not None

    # -- segments

    def take(self, segment: Segment) -> bool:
        """Hand on the next segment in order, if that is all there is to do: what nearly every segment is."""
        _, _, network, seq, ack, flags, window, _, payload, cut = segment
        if not self.plain or seq != self.at & MASK or flags & _FLAGS or cut or network != self.network:
            return False
        peer = self.peer
        if peer.waits or window > self.offered or ((peer.at - ack) & MASK > peer.window and peer.begun):
            return False
        peer.ack = ack
        if payload:
            self.at += len(payload)
            if self.sink is not None:
                self.sink.feed(payload)
        return True

    def add(self, segment: Segment, now: float) -> None:
        """Take in, at a packet, a segment that fits. Complexity: O(log n) in those that wait. Copies: nothing."""
        self._top, self.plain = self.top, False
        place = self.place(segment.seq)
        if segment.flags & ACK:
            self.peer.ack = segment.ack
            self.trusts = self.trusts or (self.peer.top is not None and self.peer.top & MASK == segment.ack)
        self.offer(segment, self.peer)
        if segment.network or self.network is None:
            self.network = segment.network
        if segment.flags & RST:
            if not self.begun or place >= self.at:  # what it carries is a note for people (RFC 9293, section 3.5.3)
                self._rst = place
        elif not self.ended:
            if segment.flags & SYN:
                # A SYN takes the number before the first byte. One that comes again may be far behind.
                self.start = place = place + 1 if self.start is None else self.start
                self._reach(place, place)
                self.begin(place)
            stop = place + len(segment.payload)
            if segment.payload:
                self._wait(place, stop, segment.payload, segment.number)
            if segment.cut:
                self._wait(stop, stop + segment.cut, None, segment.number)
            if segment.flags & FIN:
                self._close(stop + segment.cut)
            self._hand_on()
        self.settle(now)
        self.peer.settle(now)

    def begin(self, place: int | None = None) -> None:
        """Let the first byte be at a place, or, where there is no SYN, at the lowest."""
        if not self.begun:
            self.begun = True
            self.first = self.at = self.at if place is None else place

    def is_shown(self, enough: int) -> bool:
        """Whether what waits is that many segments, or was acknowledged, so that it is none astray."""
        return self.top is not None and (len(self._arrivals) >= enough or self.peer.trusts)

    def move(self, place: int) -> int:
        """Go on at a place far ahead, or begin there: several segments say so. Return the bytes that this drops."""
        self.trusts = False  # or they would have fitted
        if self.begun and not self.is_bare:
            top = self.top
            self._top, self.plain = place if top is None or top < place else top, False
            return 0
        self.begun, self.start = False, None
        self._fins.clear()
        self.at = self._top = place
        return self._arrivals.clear()

    def _wait(self, at: int, stop: int, payload: SliceBuffer | None, number: int) -> None:
        if self.begun and stop <= self.at:
            return
        self._arrivals.put(at, stop, payload, number)
        self._reach(at, stop)

    def _reach(self, at: int, stop: int) -> None:
        if self._top is None:
            self.at = self._top = at  # now the places are known of FINs that came before
            self._fins = sorted(place for fin in self._fins if at <= (place := self.place(fin)) <= at + self.window)
        self._top = max(self._top, stop)
        if not self.begun:
            self.at = min(self.at, at)
        while self._fins and self._fins[0] < stop:
            self._fins.pop(0)  # bytes lie behind it
        if self._rst is not None and self._rst < stop:
            self._rst = None

    def _close(self, place: int) -> None:
        if place >= (self.at if self.top is None else self.top) and place not in self._fins:
            self._fins = sorted([*self._fins, place])[:MOST_FINS]

    # -- what comes next

    def _hand_on(self) -> None:
        """Hand on all that is there up to the next hole."""
        while self.begun and self.step():
            pass

    def step(self) -> bool:
        """Hand on the next bytes, and tell whether there were any."""
        found = self._arrivals.pull(self.at)
        if found is None:
            return False
        if isinstance(found, int):
            self._skip_to(found)
        else:
            self._put(found)
        return True

    @property
    def next_order(self) -> int | None:
        """Which came, in the order of the capture, what is to be handed on next; None if there is nothing."""
        return self._arrivals.order(self.at) if self.begun else None

    @property
    def hole_order(self) -> int | None:
        """Which came what lies behind the next hole; None if there is none."""
        return self._arrivals.first_order if self._arrivals else None

    def _put(self, part: SliceBuffer) -> None:
        self.at += len(part)
        if self.sink is not None:
            self.sink.feed(part)

    def _skip_to(self, place: int) -> None:
        nbytes = place - self.at
        self.at = place
        if self.sink is not None:
            self.sink.gap(nbytes)

    def settle(self, now: float) -> None:
        """See whether it has ended, and whether anything waits, and since when."""
        self._top = self.top
        if self._fins and self.is_closed and not self.ended and self.acked == self.at + 1:
            self._end(Ending.CLOSED)
        if self._arrivals and len(self._arrivals) > MOST_PENDING:
            self.give_up()
            self._hand_on()
        did_wait = self.waits
        self.waits = not self.ended and (
            (not self.begun and self._top is not None) or bool(self._fins or self._arrivals) or self._rst is not None
        )
        if self.waits:
            self.plain = False
            if not did_wait or self._waits_at != self.at:
                self.since, self._waits_at = now, self.at
        else:
            self.plain = self.begun and not self.ended and self._top == self.at and self.network is not None

    def give_up(self) -> None:
        """Call the next hole a gap."""
        self._skip_to(self._arrivals.first)

    def has_lost(self) -> bool:
        """Whether the other side has acknowledged bytes that are not there."""
        acked = self.acked
        return bool(self._arrivals) and acked is not None and acked > self.at

    def finish(self) -> None:
        """Take in that no more comes: all bytes have been handed on."""
        if self.ended:
            return
        ending = Ending.RESET if self.stream.is_reset else Ending.CUT
        if self._fins and not self._is_refused(self._fins[0]):
            ending = Ending.CLOSED
            if self.begun and self._fins[0] > self.at:
                self._skip_to(self._fins[0])
        self._end(ending)
        self.waits = self.plain = False

    def _is_refused(self, fin: int) -> bool:
        """Whether the other side, whose word counts, never had more than there is: then a FIN farther on is wrong."""
        return fin > self.at and self.peer.trusts and self.acked is not None and self.acked <= self.at

    def _end(self, ending: Ending) -> None:
        self.ended = True
        if self.sink is not None:
            self.sink.end(ending)
