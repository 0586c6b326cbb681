"""A connection: what both of its sides sent, in the order of the capture."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import final

from .packets import Segment
from .tcp import HalfStream

__all__ = ["Stream"]


@final
class Stream:
    """A connection: two half-streams, first the one whose segment came first."""

    __slots__ = (
        *("asked_at", "halves", "is_finished", "is_timed", "number", "overdue", "stray_bytes", "stray_count"),
        *("strays", "told_at"),
    )

    def __init__(self, number: int, flow: bytes, turned: bytes) -> None:
        self.number = number
        self.is_timed = False
        self.is_finished = False
        self.told_at: float = 0
        """The packet that brought the last of it which was not plain."""
        self.overdue: Callable[[], None] | None = None
        """Who waits, and is to be told when it has been long enough."""
        self.asked_at: float = 0
        """The packet from which on they have waited."""
        self.strays: list[Segment] = []
        """The last that fitted nowhere."""
        self.stray_count = 0
        """All with bytes that never did."""
        self.stray_bytes = 0
        one, other = HalfStream(self, flow), HalfStream(self, turned)
        one.peer, other.peer = other, one
        self.halves = one, other

    def by_flow(self) -> dict[bytes, HalfStream]:
        """Give the half-streams by their flows; the first, if it talks to itself."""
        return {half.flow: half for half in reversed(self.halves)}

    @property
    def is_reset(self) -> bool:
        """Whether a side has reset it."""
        return any(half.is_reset for half in self.halves)

    @property
    def is_over(self) -> bool:
        """Whether both sides have closed, or one has reset."""
        return self.is_reset or all(half.is_closed for half in self.halves)

    @property
    def is_bare(self) -> bool:
        """Whether it consists of SYNs alone."""
        return all(half.is_bare for half in self.halves)

    @property
    def waits(self) -> bool:
        """Whether anything is waited for."""
        return self.is_over or any(half.waits for half in self.halves)

    def wait_no_longer(self, now: float, long_ago: float) -> None:
        """Begin what nothing lower came for, and give up holes that were acknowledged, as far as that was long ago."""
        waiting = [half for half in self.halves if half.waits and half.since <= long_ago]
        for half in waiting:
            if not half.begun:
                half.begin()
            elif half.has_lost():
                half.give_up()
        self._hand_on()
        for half in waiting:
            half.settle(now)

    def begin(self) -> None:
        """Begin what has not, at the lowest place that was seen."""
        for half in self.halves:
            if half.top is not None:
                half.begin()
        self._hand_on()

    def finish(self) -> None:
        """Take in that no more comes. Complexity: O(n log n) in the segments that wait."""
        self.begin()
        while holes := [(half.hole_order, half) for half in self.halves if half.hole_order is not None]:
            min(holes, key=itemgetter(0))[1].give_up()
            self._hand_on()
        for half in self.halves:
            half.finish()

    def _hand_on(self) -> None:
        """Hand on what is there on both sides, in the order of the capture."""
        while ready := [(order, half) for half in self.halves if (order := half.next_order) is not None]:
            min(ready, key=itemgetter(0))[1].step()
