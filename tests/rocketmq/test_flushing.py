"""When the log is written out, for how many at once, and what follows when it cannot be."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import threading
import time
from typing import TYPE_CHECKING

import pytest

from examples.rocketmq.flushing import Flusher, LogBrokenError
from examples.rocketmq.settings import Settings
from tests.conftest import IS_QUICK

from .stores import SMALL, bodies, message, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYNC = Settings(flush="sync", log_file=1 << 20, queue_file=20_000)
DEADLINE = 30.0
WRITERS = 16


def wait_for(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < end
        threading.Event().wait(0.001)


class Disk:
    """Takes note of what is written out. ``fault`` is raised; while ``gate`` is closed, it is busy."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, start: int, stop: int) -> None:
        self.ranges.append((start, stop))
        assert self.gate.wait(DEADLINE)
        if self.fault:
            raise self.fault


def test_group_commit_needs_an_eighth_of_the_writes(tmp_path: Path) -> None:
    each = 50 if IS_QUICK else 500
    store = open_store(tmp_path, SYNC)

    async def write(queue: int) -> None:
        for number in range(each):
            placed = store.put(message(b"%d" % number, queue=queue))
            await store.settle(placed)

    async def write_all() -> None:
        async with asyncio.timeout(10 * DEADLINE):
            await asyncio.gather(*(write(queue) for queue in range(WRITERS)))

    asyncio.run(write_all())
    rounds = store.rounds
    store.close()
    assert 1 <= rounds <= WRITERS * each / 8
    again = open_store(tmp_path, SYNC)
    assert [bodies(again, queue=q) for q in range(WRITERS)] == [[b"%d" % n for n in range(each)]] * WRITERS
    again.close()


def test_settled_is_what_lies_below_what_was_written_out() -> None:
    disk = Disk()
    flusher = Flusher(disk, SYNC, flushed=0)

    async def settle() -> None:
        disk.gate.clear()
        flusher.appended(10)
        first = asyncio.create_task(flusher.settle(10))
        await asyncio.sleep(0)
        await asyncio.to_thread(wait_for, lambda: disk.ranges == [(0, 10)])
        flusher.appended(30)
        others = [asyncio.create_task(flusher.settle(end)) for end in (20, 30)]
        await asyncio.sleep(0)
        assert not first.done()
        assert flusher.flushed == 0
        disk.gate.set()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(first, *others)
            await flusher.settle(15)  # already there

    asyncio.run(settle())
    flusher.close()
    assert disk.ranges == [(0, 10), (10, 30)]
    assert (flusher.flushed, flusher.rounds) == (30, 2)


def test_who_no_longer_waits_is_no_trouble() -> None:
    disk = Disk()
    flusher = Flusher(disk, SYNC, flushed=0)

    async def give_up() -> None:
        disk.gate.clear()
        flusher.appended(10)
        waiting = [asyncio.create_task(flusher.settle(10)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        disk.gate.set()
        async with asyncio.timeout(DEADLINE):
            await waiting[1]

    asyncio.run(give_up())

    async def leave() -> None:
        disk.gate.clear()
        flusher.appended(20)
        asyncio.get_running_loop().call_soon(asyncio.create_task, flusher.settle(20))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(leave())
    disk.gate.set()
    flusher.close()
    assert flusher.flushed == 20


def test_a_failed_round_is_final() -> None:
    disk = Disk()
    disk.fault = OSError(errno.EIO, "Input/output error")
    flusher = Flusher(disk, SYNC, flushed=0)

    async def settle() -> None:
        flusher.appended(10)
        async with asyncio.timeout(DEADLINE):
            results = await asyncio.gather(*(flusher.settle(10) for _ in range(3)), return_exceptions=True)
            assert [type(result) for result in results] == [LogBrokenError] * 3
            disk.fault = None
            with pytest.raises(LogBrokenError, match="Input/output"):
                await flusher.settle(5)

    asyncio.run(settle())
    with pytest.raises(LogBrokenError) as caught:
        flusher.check()
    assert caught.value.errno == errno.EIO
    with pytest.raises(LogBrokenError):
        flusher.close()
    assert disk.ranges == [(0, 10)]
    assert flusher.flushed == 0


def test_a_store_whose_log_cannot_be_written_out_takes_no_more(tmp_path: Path) -> None:
    store = open_store(tmp_path, SYNC)
    placed = store.put(message(b"one"))
    path = next((tmp_path / "commitlog").iterdir())
    path.rename(tmp_path / "elsewhere")

    async def settle() -> None:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(LogBrokenError):
                await store.settle(placed)

    asyncio.run(settle())
    with pytest.raises(LogBrokenError):
        store.put(message(b"two"))
    assert bodies(store) == [b"one"]
    with pytest.raises(LogBrokenError):
        store.close()
    store.close()
    (tmp_path / "elsewhere").rename(path)
    again = open_store(tmp_path, SYNC)
    assert bodies(again) == [b"one"]
    again.close()


def test_async_nobody_waits_and_four_pages_are_written_out() -> None:
    disk = Disk()
    settings = dataclasses.replace(SYNC, flush="async", flush_interval=0.001)
    flusher = Flusher(disk, settings, flushed=0)
    flusher.appended(4 * 4096 - 1)
    asyncio.run(flusher.settle(4 * 4096 - 1))
    assert disk.ranges == []
    flusher.appended(4 * 4096)
    wait_for(lambda: flusher.flushed == 4 * 4096)
    flusher.close()
    assert disk.ranges == [(0, 4 * 4096)]


def test_async_less_is_written_out_after_a_while() -> None:
    disk = Disk()
    settings = dataclasses.replace(SYNC, flush="async", flush_interval=0.001, flush_thoroughly=0.01)
    flusher = Flusher(disk, settings, flushed=0)
    flusher.appended(1)
    wait_for(lambda: flusher.flushed == 1)
    flusher.close()


def test_what_is_left_is_written_out_at_the_end(tmp_path: Path) -> None:
    store = open_store(tmp_path, SMALL)
    store.put(message(b"one"))
    assert store.rounds == 0
    store.close()
    assert store.rounds == 1
