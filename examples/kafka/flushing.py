"""Group commit: one fdatasync(2) at a time, in a thread, for all who wait when it begins.

Whoever comes while the disk is busy waits for the next round, with all the others. Those who were told together come
again together: a round waits for as many as there were at the last one's end, half of the time that it took at most, so
that they are not split into two groups that take turns. (So do PostgreSQL's commit_siblings and commit_delay.)

A failed fdatasync is final: the system takes the pages for written, and another call would report success. All who wait
get the error, and whoever comes later.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, final

__all__ = ["GroupCommit", "LogBrokenError"]

_LEAST_DELAY: Final = 0.001
"""Seconds: an event loop's turn with a few dozen produces, where a disk is faster than that."""


class LogBrokenError(OSError):
    """The log could not be brought to the disk, or back to what it was: what of it is there nobody knows."""


@final
class GroupCommit:
    """Brings a log to the disk as far as somebody waits for. ``prepare`` is called on the loop, and returns how far a
    round goes and what its thread does.
    """

    def __init__(self, prepare: Callable[[], tuple[int, Callable[[], None]]], *, flushed: int) -> None:
        self._prepare = prepare
        self.flushed = flushed
        """Everything below that offset is on the disk."""
        self.rounds = 0
        self.fault: LogBrokenError | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._expected = 0  # so many waited at the end of the last round,
        self._took = 0.0  # which took so many seconds
        self._came: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a thread is at the files."""
        return self._task is not None

    def assert_sound(self) -> None:
        """Raise LogBrokenError if a round has failed."""
        if self.fault is not None:
            raise LogBrokenError(*self.fault.args)

    async def settle(self, end: int) -> None:
        """Wait until everything below ``end`` is on the disk. Raises LogBrokenError."""
        self.assert_sound()
        if end <= self.flushed:
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((end, told))
        self.start()
        if self._came is not None and len(self._waiting) >= self._expected:
            self._came.set()
        await told

    def start(self) -> None:
        """Begin a round, if none is under way."""
        if self._task is None and self.fault is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._round()
            while self._waiting and self.fault is None:
                await self._gather()
                await self._round()
        finally:
            self._task = None

    async def _gather(self) -> None:
        if len(self._waiting) < self._expected:
            self._came = asyncio.Event()
            try:
                async with asyncio.timeout(max(self._took / 2, _LEAST_DELAY)):
                    await self._came.wait()
            except TimeoutError:
                pass
            self._came = None

    async def _round(self) -> None:
        began = time.monotonic()
        end, work = self._prepare()
        self.rounds += 1
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            self.fail(error)
            return
        self._took = time.monotonic() - began
        self._expected = len(self._waiting)
        self.note(end)

    def fail(self, error: OSError) -> None:
        """Take no more: what is on the disk nobody knows."""
        self.fault = LogBrokenError(error.errno, f"the log could not be brought to the disk: {error}")
        self._tell(self.fault)

    def note(self, end: int) -> None:
        """Take notice that everything below ``end`` is on the disk, unless a round has failed."""
        if self.fault is None:
            self.flushed = max(self.flushed, end)
        self._tell(self.fault)

    def _tell(self, fault: LogBrokenError | None) -> None:
        """Wake those whose records are on the disk; after a fault, all."""
        for wanted, told in self._waiting:
            if told.done():  # it was cancelled
                continue
            if fault is not None:
                told.set_exception(LogBrokenError(*fault.args))
            elif wanted <= self.flushed:
                told.set_result(None)
        self._waiting = [one for one in self._waiting if not one[1].done()]

    async def idle(self) -> None:
        """Wait until no thread is at the files."""
        while self._task is not None:
            await asyncio.wait([self._task])
