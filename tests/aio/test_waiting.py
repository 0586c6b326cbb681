"""bytebufs/aio/waiting.py: who waits to receive, is woken in the callback that received, and may be cancelled."""

from __future__ import annotations

import asyncio
import selectors
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bytebufs import LengthPrefixed, aio
from bytebufs.errors import Busy, ClosedError

from .loops import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPS = ("asyncio", "uvloop", "eager", "debugging")


@asynccontextmanager
async def paired() -> AsyncIterator[tuple[aio.Stream, socket.socket]]:
    """Give a stream, and the socket at its other end."""
    near, far = socket.socketpair()
    far.setblocking(False)
    with far:
        async with await aio.open_connection(sock=near) as stream:
            yield stream, far


async def parked(task: asyncio.Task[Any], stream: aio.Stream) -> None:
    """Let a task go on until it waits to receive."""
    while not task.done() and not stream._reader.is_awaited:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0)


class Counting(selectors.DefaultSelector):
    """A selector that counts how often it was asked."""

    asked = 0

    def select(self, timeout: float | None = None) -> Any:
        self.asked += 1
        return super().select(timeout)


def test_a_message_is_answered_in_the_turn_in_which_it_came() -> None:
    selector = Counting()
    asked = []

    async def main() -> None:
        async with paired() as (stream, far):

            async def echo() -> None:
                async for frame in stream.frames(LengthPrefixed(1, limit=100, strip=0)):
                    await stream.send(frame)

            task = asyncio.create_task(echo())
            await parked(task, stream)
            for _ in range(20):
                before = selector.asked
                far.send(b"\3abc")
                await asyncio.sleep(0)  # before it, the loop asks what is ready; after it, it calls who is
                await asyncio.sleep(0)
                assert far.recv(100) == b"\3abc"
                asked.append(selector.asked - before)
            far.shutdown(socket.SHUT_WR)
            await task

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(main())
    assert asked == [2] * 20


def test_a_task_is_not_woken_before_its_frame_is_whole() -> None:
    steps = []

    async def main() -> None:
        async with paired() as (stream, far):

            async def one() -> bytes:
                async for frame in stream.frames(LengthPrefixed(1, limit=100)):
                    return bytes(frame)
                raise AssertionError("there was one")

            task = asyncio.create_task(one())
            await parked(task, stream)
            for byte in b"\3ab":
                far.send(bytes([byte]))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                steps.append(len(stream.buffer))
            far.send(b"c")
            assert await task == b"abc"

    run(main)
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("message", [None, "why"])
def test_a_wait_that_is_cancelled_has_taken_nothing(loop: str, message: str | None) -> None:
    async def main() -> None:
        async with paired() as (stream, far):
            task = asyncio.create_task(stream.take(3))
            await parked(task, stream)
            task.cancel() if message is None else task.cancel(message)
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.args == (() if message is None else (message,))
            far.send(b"abc")
            assert await stream.take(3) == b"abc"

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_that_is_woken_and_cancelled_is_cancelled(loop: str) -> None:
    async def main() -> None:
        async with paired() as (stream, _):
            task = asyncio.create_task(stream.take(3))
            await parked(task, stream)
            stream.abort()  # wakes it, in the next turn
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_bytes_that_come_before_a_cancelled_task_runs_are_left(loop: str) -> None:
    async def main() -> None:
        async with paired() as (stream, far):
            task = asyncio.create_task(stream.take(3))
            await parked(task, stream)
            far.send(b"abc")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await stream.take(3) == b"abc"

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_closing_wakes_who_waits_in_a_turn_of_his_own(loop: str) -> None:
    """A task may close what another one waits for; no task runs inside of another."""

    async def main() -> None:
        async with paired() as (stream, _):
            task = asyncio.create_task(stream.receive())
            await parked(task, stream)
            stream.abort()
            assert not task.done()
            with pytest.raises(ClosedError):
                await task

    run(main, loop)


def test_a_coroutine_that_is_closed_while_it_waits_waits_no_more() -> None:
    async def main() -> None:
        async with paired() as (stream, far):
            waiting = stream.take(3)
            waiting.send(None)
            with pytest.raises(Busy):
                await stream.take(1)
            waiting.close()
            far.send(b"abc")
            assert await stream.take(3) == b"abc"

    run(main)


def test_bytes_come_where_nobody_waits() -> None:
    async def main() -> None:
        async with paired() as (stream, far):
            task = asyncio.create_task(stream.take(1))
            far.send(b"abc")
            assert await task == b"a"
            far.send(b"def")
            while len(stream.buffer) < 5:  # noqa: ASYNC110  # nobody waits for it
                await asyncio.sleep(0)
            assert stream.buffer == b"bcdef"

    run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_bytes_that_come_after_the_buffer_was_emptied_are_told_of(loop: str) -> None:
    """Emptying it takes its end back: that says nothing of what a call has waited for."""

    async def main() -> None:
        async with paired() as (stream, far):
            for _ in range(3):
                far.send(b"abc")
                assert await stream.receive()
                stream.buffer.clear()
            far.send(b"de")
            while not stream.buffer:  # noqa: ASYNC110  # nobody waits for it
                await asyncio.sleep(0)
            assert await stream.receive()
            assert stream.buffer == b"de"

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_timeout_may_stand_around_a_wait(loop: str) -> None:
    async def main() -> None:
        async with paired() as (stream, far):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await stream.take(3)
            far.send(b"abc")
            assert await stream.take(3) == b"abc"

    run(main, loop)


def test_an_interrupt_of_the_task_leaves_the_callback_and_what_was_sent_goes() -> None:
    """As from a callback of the loop's own: KeyboardInterrupt is nothing that a task keeps for itself."""

    async def main() -> None:
        async with paired() as (stream, far):

            async def interrupted() -> None:
                await stream.take(1)
                await stream.send(b"sent")
                raise KeyboardInterrupt

            def receive() -> None:
                with pytest.raises(KeyboardInterrupt):
                    stream._link._on_readable()  # type: ignore[attr-defined]
                received.append(far.recv(100))

            task = asyncio.create_task(interrupted())
            await parked(task, stream)
            far.send(b"x")
            asyncio.get_running_loop().call_soon(receive)
            while not task.done():  # noqa: ASYNC110  # awaiting it would raise
                await asyncio.sleep(0)
            with pytest.raises(KeyboardInterrupt):
                task.result()

    received: list[bytes] = []
    run(main)
    assert received == [b"sent"]
