"""A clock moves only when told; by a loop that goes by it, time limits are over at once: what is ready comes first."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time

import pytest

from bytebufs import aio
from bytebufs.testing import FakeClock

DAY = 24 * 3600


def test_it_moves_only_when_told() -> None:
    clock = FakeClock(100.0)
    assert clock.time() == clock.monotonic() == 100.0
    clock.sleep(1.5)
    clock.advance(0)
    assert clock.time() == clock.monotonic() == 101.5
    assert repr(clock) == "<FakeClock: 101.5>"
    for seconds in (-1, math.nan):
        with pytest.raises(ValueError, match="does not go back"):
            clock.advance(seconds)


def test_timers_are_due_in_their_order() -> None:
    clock = FakeClock()
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, clock.monotonic()))

    async def main() -> None:
        await asyncio.gather(sleeper("late", 2 * DAY), sleeper("early", DAY), sleeper("at once", 0))

    clock.run(main())
    assert [name for name, _ in seen] == ["at once", "early", "late"]
    assert [at for _, at in seen] == pytest.approx([0, DAY, 2 * DAY])


def test_a_streams_time_limit_is_over_at_once() -> None:
    clock = FakeClock()

    async def main() -> None:
        here, there = socket.socketpair()
        with there:
            stream = await aio.open_connection(sock=here)
            try:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(DAY):
                        await stream.take_until(b"\n")
                there.send(b"line\n")  # what is there comes before any timer
                async with asyncio.timeout(DAY):
                    assert await stream.take_until(b"\n") == b"line"
            finally:
                stream.abort()

    clock.run(main())
    assert clock.monotonic() == pytest.approx(DAY)


def test_who_tells_the_clock_makes_timers_due() -> None:
    clock = FakeClock()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        due = loop.create_future()
        loop.call_later(10, due.set_result, None)
        clock.advance(10)
        await due
        return loop.time()

    assert clock.run(main()) == 10


def test_patience_waits_for_other_threads() -> None:
    clock = FakeClock()
    here, there = socket.socketpair()
    may_send = threading.Event()

    def send_late() -> None:
        may_send.wait()
        there.send(b"x")

    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        here.setblocking(False)
        may_send.set()
        async with asyncio.timeout(DAY):
            return await loop.sock_recv(here, 1)

    peer = threading.Thread(target=send_late)
    peer.start()
    began = time.monotonic()
    with here, there:
        assert clock.run(main(), patience=60) == b"x"
        peer.join()
    assert clock.monotonic() == 0
    assert time.monotonic() - began < DAY
