"""Bytes of a stream that came out of order, and wait for those before them: pure code, places and slices."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, NamedTuple, final

from bytebufs import SliceBuffer

__all__ = ["Arrivals"]

_CUT: Final = 1 << 62
"""Added to the order of what was cut off: any byte that came is better."""


class _Arrival(NamedTuple):
    """Bytes, where they belong, and which they were in the order of the capture."""

    at: int
    order: int
    stop: int
    payload: SliceBuffer | None
    """None: they were cut off by the snapshot length."""


@final
class Arrivals:
    """What has arrived. Where arrivals overlap, the bytes of the first to come are the ones."""

    __slots__ = ("_later", "_order", "_ready")

    def __init__(self) -> None:
        self._order = 0
        self._later: list[_Arrival] = []  # a heap, the lowest place on top
        self._ready: list[tuple[int, _Arrival]] = []  # a heap of what has begun: the first to come is on top

    def __len__(self) -> int:
        """Return how many wait behind a hole, once `pull` has given all it can."""
        return len(self._later)

    @property
    def first(self) -> int:
        """The place where the first of them begins."""
        return self._later[0].at

    def put(self, at: int, stop: int, payload: SliceBuffer | None, number: int) -> None:
        """Take in what packet `number` brought. Complexity: O(log n) in those that wait. Copies: nothing."""
        self._order = max(self._order + 1, number)
        heappush(self._later, _Arrival(at, self._order + (_CUT if payload is None else 0), stop, payload))

    def order(self, at: int) -> int | None:
        """Return which came, in the order of the capture, what comes next at a place; None for a hole."""
        later, ready = self._later, self._ready
        while later and later[0].at <= at:
            self._make_ready()
        while ready and ready[0][1].stop <= at:
            heappop(ready)
        return ready[0][0] if ready else None

    @property
    def first_order(self) -> int:
        """Which came what lies behind the first hole."""
        return self._later[0].order

    def pull(self, at: int) -> SliceBuffer | int | None:
        """Return what comes next at a place: bytes; or where bytes that were cut off stop; or None, for a hole."""
        order = self.order(at)
        if order is None:
            return None
        later, (_, first) = self._later, self._ready[0]
        stop = first.stop
        while later and later[0].at < stop:
            if later[0].order < order:
                stop = later[0].at
            else:
                self._make_ready()
        return stop if first.payload is None else first.payload[at - first.at : stop - first.at]

    def clear(self) -> int:
        """Forget all of it, and return the number of bytes."""
        dropped = sum(len(arrival.payload) for arrival in self._later if arrival.payload is not None)
        self._later.clear()
        self._ready.clear()
        return dropped

    def _make_ready(self) -> None:
        arrival = heappop(self._later)
        heappush(self._ready, (arrival.order, arrival))
