"""A clock that moves only when told, and a loop of asyncio's that goes by it: time limits are over at once.

The loop waits for nothing but descriptors: where only a timer is left to wait for, the clock jumps to that.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["FakeClock"]

_T = TypeVar("_T")


class FakeClock:
    """A clock that stands still until it is told.

    >>> from bytebufs.testing import FakeClock
    >>> clock = FakeClock()
    >>> clock.advance(1.5)
    >>> clock.monotonic()
    1.5

    Give its ``time``, ``monotonic`` or ``sleep`` to what takes such functions, or ``run`` coroutines by it.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def __repr__(self) -> str:
        """Say how late it is."""
        return f"<FakeClock: {self._now}>"

    def time(self) -> float:
        """Return how late it is, as ``time.time``."""
        return self._now

    def monotonic(self) -> float:
        """Return how late it is, as ``time.monotonic``."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let so much time pass. Raises ValueError for less than none, and for what is no number."""
        if not seconds >= 0:  # NaN, too
            raise ValueError(f"a clock does not go back, by {-seconds} s")
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Let so much time pass, as ``time.sleep`` does."""
        self.advance(seconds)

    def run(self, main: Coroutine[Any, Any, _T], *, patience: float = 0.0) -> _T:
        """Run a coroutine in a new loop that goes by this clock, as ``asyncio.run`` does; return its result.

        >>> import asyncio
        >>> from bytebufs.testing import FakeClock
        >>> clock = FakeClock()
        >>> clock.run(asyncio.sleep(3600, "done"))
        'done'
        >>> clock.monotonic()
        3600.0

        Where nothing is ready, the clock jumps to the next timer, after so many seconds of real ``patience``: some are
        needed where a peer is another thread or process, that may be slow to answer.
        """
        with asyncio.Runner(loop_factory=lambda: self.loop(patience=patience)) as runner:
            return runner.run(main)

    def loop(self, *, patience: float = 0.0) -> asyncio.AbstractEventLoop:
        """Return a new loop that goes by this clock; see ``run``."""
        return _Loop(self, patience)


class _Selector(selectors.DefaultSelector):
    """Waits for descriptors, and lets the time pass that it was to wait for nothing else."""

    def __init__(self, clock: FakeClock, patience: float) -> None:
        super().__init__()
        self._clock = clock
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(self._patience)
        if not ready:
            self._clock.advance(timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock, patience: float) -> None:
        self._clock = clock
        super().__init__(_Selector(clock, patience))

    def time(self) -> float:
        return self._clock.monotonic()
