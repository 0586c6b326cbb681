"""When the log is written out: one thread does it, for all who wait.

sync   A producer is told when its message is on the disk. Whoever comes while the disk is busy waits for the next round
       with all the others: group commit, one fdatasync(2) for many.
async  Every 500 ms, if four pages are waiting, and every 10 s in any case. Nobody waits.

A round begins when somebody waits. So that those who were told together, and come again together, share one round and
are not split into two groups that take turns, it gives as many as there were at the end of the last round half of that
round's time to come. (PostgreSQL's commit_delay and commit_siblings have that purpose; here the disk sets the delay.)

A failed fdatasync is final: the system takes the pages for written, and another call would report success. All who wait
get the error, and whoever comes later.
"""

from __future__ import annotations

import contextlib
import threading
import time
from asyncio import AbstractEventLoop, Future, get_running_loop
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from .settings import Settings

__all__ = ["Flusher", "LogBrokenError"]

_LEAST_DELAY: Final = 0.001
"""Seconds: an event loop's turn with a few dozen messages, where a disk is faster than that."""


class LogBrokenError(OSError):
    """The log could not be written out: what of it is on the disk nobody knows. Only opening it again can tell."""


class _Waiting(NamedTuple):
    end: int
    loop: AbstractEventLoop
    told: Future[None]


class Flusher:
    """The thread that writes out. ``write_out`` is called in it, with the range that has to be on the disk then."""

    def __init__(self, write_out: Callable[[int, int], None], settings: Settings, *, flushed: int) -> None:
        self._write_out = write_out
        self._settings = settings
        self.flushed = flushed
        """Everything below is on the disk."""
        self.rounds = 0
        self.fault: LogBrokenError | None = None
        self._end = flushed
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._expected = 0  # how many were there at the end of the last round,
        self._took = 0.0  # and how long that took
        self._thorough_at = time.monotonic() + settings.flush_thoroughly
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="flush", daemon=True)
        self._thread.start()

    def appended(self, end: int) -> None:
        """Take notice of how far the log goes now."""
        self._end = end

    def check(self) -> None:
        """Raise LogBrokenError if writing out has failed."""
        if self.fault is not None:
            raise LogBrokenError(*self.fault.args)

    async def settle(self, end: int) -> None:
        """Wait, if flushing is sync, until everything below ``end`` is on the disk. Raises LogBrokenError."""
        loop = get_running_loop()
        with self._changed:
            self.check()
            if self._settings.flush == "async" or end <= self.flushed:
                return
            told = loop.create_future()
            self._waiting.append(_Waiting(end, loop, told))
            self._changed.notify()
        await told

    def close(self) -> None:
        """Write out what is left, and end the thread. Raises LogBrokenError if that fails, or did before."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self.check()

    def _run(self) -> None:
        while self.fault is None and not self._is_closing:
            with self._changed:
                self._changed.wait_for(self._is_called, self._settings.flush_interval)
                if self._waiting:
                    self._gather()
            if self._is_called() or self._is_due():
                self._round()
        if self.fault is None:
            self._round()

    def _is_called(self) -> bool:
        return bool(self._waiting) or self._is_closing

    def _gather(self) -> None:
        delay = max(self._took / 2, _LEAST_DELAY)
        self._changed.wait_for(lambda: len(self._waiting) >= self._expected or self._is_closing, delay)

    def _is_due(self) -> bool:
        behind = self._end - self.flushed
        return behind >= self._settings.flush_least or (behind > 0 and time.monotonic() >= self._thorough_at)

    def _round(self) -> None:
        end, began, fault = self._end, time.monotonic(), None
        try:
            if end > self.flushed:
                self.rounds += 1
                self._write_out(self.flushed, end)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not be forgotten
            fault = LogBrokenError(getattr(error, "errno", None), f"the log could not be written out: {error}")
        now = time.monotonic()
        self._took, self._thorough_at = now - began, now + self._settings.flush_thoroughly
        self._tell(self.flushed if fault else end, fault)

    def _tell(self, flushed: int, fault: LogBrokenError | None) -> None:
        """Wake those whose messages are on the disk; after a fault, all."""
        with self._changed:
            self.flushed, self.fault = flushed, fault
            self._expected = len(self._waiting)
            ready = [one for one in self._waiting if fault or one.end <= flushed]
            self._waiting = [one for one in self._waiting if not fault and one.end > flushed]
        for loop in {one.loop for one in ready}:
            with contextlib.suppress(RuntimeError):  # it is closed: nobody waits there any more
                loop.call_soon_threadsafe(self._wake, [one.told for one in ready if one.loop is loop])

    def _wake(self, told: list[Future[None]]) -> None:
        for one in told:
            if not one.done():
                one.set_exception(LogBrokenError(*self.fault.args)) if self.fault else one.set_result(None)
