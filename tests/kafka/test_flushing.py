"""Group commit: who is told when, and what happens to those who wait when it fails or they are gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from examples.kafka.flushing import GroupCommit, LogBrokenError


class Disk:
    """Something to be brought to the disk, which takes as long as the test likes."""

    def __init__(self) -> None:
        self.end = 0
        self.may_end = threading.Event()
        self.error: OSError | None = None

    def prepare(self) -> tuple[int, Callable[[], None]]:
        def work() -> None:
            assert self.may_end.wait(60)
            if self.error is not None:
                raise self.error

        return self.end, work


def run(test: Callable[[Disk, GroupCommit], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        disk = Disk()
        commit = GroupCommit(disk.prepare, flushed=0)
        async with asyncio.timeout(60):
            await test(disk, commit)
            await commit.idle()
        assert not commit.is_busy

    asyncio.run(bounded())


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def test_who_comes_meanwhile_waits_for_the_next_round() -> None:
    async def test(disk: Disk, commit: GroupCommit) -> None:
        disk.end = 1
        first = asyncio.create_task(commit.settle(1))
        await turns()
        assert commit.is_busy
        disk.end = 3
        others = [asyncio.create_task(commit.settle(end)) for end in (2, 3)]
        await turns()
        disk.may_end.set()
        await first
        assert commit.flushed == 1
        assert not any(other.done() for other in others)
        await asyncio.gather(*others)
        assert (commit.flushed, commit.rounds) == (3, 2)
        await commit.settle(3)
        assert commit.rounds == 2, "what is there needs no round"

    run(test)


def test_those_who_come_together_again_are_one_round() -> None:
    async def write(disk: Disk, commit: GroupCommit, times: int) -> None:
        for _ in range(times):
            disk.end += 1
            await commit.settle(disk.end)

    async def test(disk: Disk, commit: GroupCommit) -> None:
        disk.may_end.set()
        await asyncio.gather(*[write(disk, commit, 20) for _ in range(16)])
        assert commit.rounds <= 16 * 20 / 8

    run(test)


def test_a_failure_is_told_to_all_and_for_ever() -> None:
    async def test(disk: Disk, commit: GroupCommit) -> None:
        disk.end = 2
        waiting = [asyncio.create_task(commit.settle(end)) for end in (1, 2)]
        await turns()
        waiting.append(asyncio.create_task(commit.settle(3)))
        await turns()
        disk.error = OSError(5, "the disk is gone")
        disk.may_end.set()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(one) for one in told] == [LogBrokenError] * 3
        disk.error = None
        for end in (0, 3):
            with pytest.raises(LogBrokenError, match="the disk is gone"):
                await commit.settle(end)
        commit.note(2)
        assert commit.flushed == 0, "what failed once is not believed again"
        commit.start()
        assert commit.rounds == 1

    run(test)


def test_who_is_gone_is_not_told() -> None:
    async def test(disk: Disk, commit: GroupCommit) -> None:
        disk.end = 2
        gone, there = (asyncio.create_task(commit.settle(end)) for end in (1, 2))
        await turns()
        gone.cancel()
        await turns()
        disk.may_end.set()
        await there
        assert gone.cancelled()
        assert commit.flushed == 2

    run(test)


def test_those_who_were_told_together_are_waited_for() -> None:
    async def test(disk: Disk, commit: GroupCommit) -> None:
        disk.end = 4
        first = [asyncio.create_task(commit.settle(end)) for end in (1, 2, 3, 4)]
        await turns()
        late = asyncio.create_task(commit.settle(9))
        await turns()
        asyncio.get_running_loop().call_later(0.2, disk.may_end.set)  # a round waits for half of that
        await asyncio.gather(*first)
        disk.end = 9
        await asyncio.gather(late, *[commit.settle(end) for end in (5, 6, 7, 8)])
        assert commit.flushed == 9
        disk.may_end.clear()
        disk.end = 10
        last = asyncio.create_task(commit.settle(10))
        await turns()
        idle = asyncio.create_task(commit.idle())
        await turns()
        assert not idle.done()
        disk.may_end.set()
        await asyncio.gather(last, idle)

    run(test)


def test_a_round_that_reached_nobody_is_followed_at_once() -> None:
    async def test(disk: Disk, commit: GroupCommit) -> None:
        disk.end = 1
        waiting = asyncio.create_task(commit.settle(2))
        await turns()
        disk.end = 2
        disk.may_end.set()
        await waiting
        assert (commit.flushed, commit.rounds) == (2, 2)

    run(test)
