"""Stream: its calls, and what each does in each of its states."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from bytebufs import (
    Busy,
    ClosedError,
    CompositeBuffer,
    FileRegion,
    LengthPrefixed,
    LimitExceeded,
    Lines,
    Pool,
    Reader,
    SliceBuffer,
    TruncatedFile,
    Underrun,
    aio,
    no_copy,
)
from bytebufs.aio import stream as stream_module
from bytebufs.aio.stream import Stream

from .loops import KINDS, LOOPS, WAYS, connected, reset, run, serving

if TYPE_CHECKING:
    from pathlib import Path

PLAIN: Final = [way for way in WAYS if not way.startswith("tls")]
MUCH: Final = bytes(8 << 20)
"""More than a peer that does not read can be sent."""


def message(r: Reader) -> bytes:
    return r.take_bytes(r.u8())


async def turns(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def begun(call: Awaitable[Any]) -> asyncio.Future[Any]:
    """Return a call that has begun to wait."""
    future = asyncio.ensure_future(call)
    await turns()
    assert not future.done()
    return future


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody else tells
        await asyncio.sleep(0)  # nothing else is to tell


async def receive_all(stream: aio.Stream) -> None:
    while await stream.receive():
        pass


async def send_often(stream: aio.Stream) -> None:
    """The first bytes that a peer no longer wants make it say so."""
    for _ in range(9):
        await stream.send(b"x")
        await stream.flush()
        await turns()


async def cancelled(waiting: asyncio.Future[Any]) -> None:
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# -- the states -----------------------------------------------------------------------------------------------


async def _sent(stream: aio.Stream) -> None:
    await stream.send(b"x")


async def _aborted(stream: aio.Stream) -> None:
    stream.abort()


CALLS: Final[dict[str, Callable[[aio.Stream], Awaitable[object]]]] = {
    "receive": lambda stream: stream.receive(),
    "parse": lambda stream: stream.parse(message),
    "messages": lambda stream: anext(stream.messages(message), None),
    "frames": lambda stream: anext(stream.frames(LengthPrefixed(1, limit=255)), None),
    "take": lambda stream: stream.take(1),
    "take_until": lambda stream: stream.take_until(b"\n"),
    "send": _sent,
    "flush": lambda stream: stream.flush(),
    "send_eof": lambda stream: stream.send_eof(),
    "aclose": lambda stream: stream.aclose(),
    "abort": _aborted,
}


WAITS: Final = "waits"
NOTHING: Final = None
SAME: Final = "the same state"

READING: Final = ("receive", "parse", "messages", "frames", "take", "take_until")
AT_THE_END: Final = {
    "receive": False, "parse": None, "messages": None, "frames": None, "take": Underrun, "take_until": Underrun,
}  # fmt: skip
"""What the calls that receive say when the peer has ended, and nothing is left."""

TRANSITIONS: Final[dict[str, dict[str, tuple[object, str]]]] = {
    "open": {
        **dict.fromkeys(READING, (WAITS, "open")),
        "send": (NOTHING, "open"),
        "flush": (NOTHING, "open"),
        "send_eof": (NOTHING, "receiving"),
        "aclose": (NOTHING, "closed"),
        "abort": (NOTHING, "closed"),
    },
    "receiving": {
        **dict.fromkeys(READING, (WAITS, "receiving")),
        "send": (ClosedError, "receiving"),
        "flush": (NOTHING, "receiving"),
        "send_eof": (NOTHING, "receiving"),
        "aclose": (NOTHING, "closed"),
        "abort": (NOTHING, "closed"),
    },
    "sending": {
        **{call: (answer, "sending") for call, answer in AT_THE_END.items()},
        "send": (NOTHING, "sending"),
        "flush": (NOTHING, "sending"),
        "send_eof": (NOTHING, "ended"),
        "aclose": (NOTHING, "closed"),
        "abort": (NOTHING, "closed"),
    },
    "ended": {
        **{call: (answer, "ended") for call, answer in AT_THE_END.items()},
        "send": (ClosedError, "ended"),
        "flush": (NOTHING, "ended"),
        "send_eof": (NOTHING, "ended"),
        "aclose": (NOTHING, "closed"),
        "abort": (NOTHING, "closed"),
    },
    "closing": {
        **dict.fromkeys(READING, (ClosedError, "closing")),
        "send": (ClosedError, "closing"),
        "flush": (ClosedError, "closing"),
        "send_eof": (ClosedError, "closing"),
        "aclose": (NOTHING, "closing"),
        "abort": (NOTHING, "closed"),
    },
    "closed": {
        **dict.fromkeys(READING, (ClosedError, "closed")),
        "send": (ClosedError, "closed"),
        "flush": (ClosedError, "closed"),
        "send_eof": (ClosedError, "closed"),
        "aclose": (NOTHING, "closed"),
        "abort": (NOTHING, "closed"),
    },
}
"""What each call does in each state, and in which state the stream is then."""


async def bring(stream: aio.Stream, peer: aio.Stream, state: str) -> asyncio.Future[None] | None:
    """Bring a stream into a state, in which it stays; by the task that is returned, if there is one."""
    if state in ("receiving", "ended"):
        await stream.send_eof()
    if state in ("sending", "ended"):
        await peer.send_eof()
        assert not await stream.receive()
    closing = None
    if state == "closing":
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.send(MUCH), 0)
        closing = await begun(stream.aclose())
    if state == "closed":
        await stream.aclose()
    assert stream.state == state
    return closing


@pytest.mark.parametrize("way", PLAIN)
@pytest.mark.parametrize("state", TRANSITIONS)
def test_each_call_in_each_state(state: str, way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        for call, (answer, then) in TRANSITIONS[state].items():
            async with connected(kind) as (stream, peer):
                closing = await bring(stream, peer, state)
                before = (stream.pending, bytes(stream.buffer))
                if answer == WAITS:
                    waiting = await begun(CALLS[call](stream))
                    await cancelled(waiting)
                elif isinstance(answer, type):
                    with pytest.raises(answer):
                        await CALLS[call](stream)
                    assert (stream.pending, bytes(stream.buffer)) == before
                else:
                    assert await CALLS[call](stream) == answer
                assert stream.state == then, call
                if closing is not None:
                    stream.abort()
                    with pytest.raises(ClosedError):
                        await closing

    run(main, loop)


def test_over_tls_both_ways_end_at_once() -> None:
    async def main() -> None:
        async with connected("tls") as (stream, peer):
            with pytest.raises(NotImplementedError, match=r"await stream\.aclose\(\)"):
                await stream.send_eof()
            assert stream.state == "open"
            await stream.send(b"all of it")
            await stream.aclose()
            assert await peer.take(9) == b"all of it"
            assert not await peer.receive()
            assert peer.state == "sending"
            await turns(10)
            with pytest.raises(ConnectionResetError):
                await peer.send(b"x")

    run(main)


@pytest.mark.parametrize("way", PLAIN)
def test_eof_comes_after_all_that_was_sent_though_it_was_cancelled(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=1 << 16) as (stream, peer):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.send(MUCH), 0)
            ending = await begun(stream.send_eof())
            assert stream.state == "receiving"
            with pytest.raises(ClosedError, match="sending side"):
                await stream.send(b"x")
            with pytest.raises(Busy):
                await stream.send_eof()
            await cancelled(ending)
            again = await begun(stream.send_eof())
            assert await peer.take(len(MUCH)) == MUCH
            assert not await peer.receive()
            await again
            await stream.send_eof()

    run(main, loop)


def test_it_shows_what_it_is() -> None:
    async def main() -> None:
        async with connected("tcp", limit=1000) as (stream, peer):
            assert stream.limit == 1000
            address = peer.get_extra_info("sockname")
            assert repr(stream) == f"<Stream: open, with {address!r}, 0 bytes received, 0 to be sent>"
            assert stream.get_extra_info("peername") == address
            assert stream.get_extra_info("nothing", 7) == 7
            await stream.send(b"abc")
            assert stream.pending == 3
            await stream.aclose()
            assert repr(stream) == f"<Stream: closed, with {address!r}, 0 bytes received, 0 to be sent>"
            assert stream.get_extra_info("socket") is None

    run(main)


def test_arguments_are_looked_at() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for limit, high, low in [(0, 2, 1), (1, 1, 2), (1, 2, -1), (-1, 2, 1)]:
            with pytest.raises(ValueError):
                Stream(loop, Pool(), limit, high, low, 1.0)

    run(main)


# -- receiving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_it_receives_by_every_call(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            await peer.send(b"\x02ab\x01c\x03deftwenty\n12345rest")
            assert await stream.parse(message) == b"ab"
            assert await anext(stream.messages(message)) == b"c"
            assert await anext(stream.frames(LengthPrefixed(1, limit=9))) == b"def"
            assert await stream.take_until(b"\n") == b"twenty"
            assert await stream.take(5) == b"12345"
            assert await stream.receive()
            assert stream.buffer == b"rest"
            waiting = await begun(stream.receive())
            await peer.send(b"!")
            assert await waiting
            assert stream.buffer.take(5) == b"rest!"

    run(main, loop)


def test_what_no_call_has_waited_for_is_received_at_once() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            await peer.send(b"abc")
            await until(lambda: len(stream.buffer) == 3)
            assert await stream.receive()
            await peer.send(b"def")
            await until(lambda: len(stream.buffer) == 6)
            assert await stream.receive()
            waiting = await begun(stream.receive())
            await cancelled(waiting)

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_iterators_end_with_the_peer(kind: str) -> None:
    async def main() -> None:
        async with connected(kind) as (stream, peer):
            await peer.send(b"\x01a\x01b")
            await peer.aclose()
            assert [found async for found in stream.messages(message)] == [b"a", b"b"]
            assert [found async for found in stream.messages(message)] == []
        async with connected(kind) as (stream, peer):
            await peer.send(b"a\nb\n")
            await peer.aclose()
            lines = stream.frames(Lines(10))
            assert [bytes(found) async for found in lines] == [b"a", b"b"]
            assert [found async for found in lines] == []

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_inside_of_a_message_leaves_it_there(kind: str) -> None:
    async def main() -> None:
        async with connected(kind) as (stream, peer):
            await peer.send(b"\x05hel")
            await peer.aclose()
            calls: list[tuple[Callable[[], Awaitable[object]], int]] = [
                (lambda: stream.parse(message), 6),
                (lambda: anext(stream.messages(message)), 6),
                (lambda: anext(stream.frames(LengthPrefixed(1, limit=9))), 6),
                (lambda: stream.take(7), 7),
                (lambda: stream.take_until(b"\n"), 5),
            ]
            for call, requested in calls:
                with pytest.raises(Underrun) as caught:
                    await call()
                assert (caught.value.requested, caught.value.available) == (requested, 4)
                assert stream.buffer == b"\x05hel"

    run(main)


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_of_what_is_looked_at(kind: str) -> None:
    async def main() -> None:
        async with connected(kind, limit=10) as (stream, peer):
            await peer.send(b"\xff" + bytes(300))
            with pytest.raises(LimitExceeded):
                await receive_all(stream)
            assert len(stream.buffer) == 10
            with pytest.raises(LimitExceeded):
                await stream.parse(message)
            with pytest.raises(LimitExceeded):
                await stream.take_until(b"\n")
            with pytest.raises(LimitExceeded):
                await anext(stream.messages(message))
            with pytest.raises(LimitExceeded):
                await anext(stream.frames(LengthPrefixed(1, limit=9)))
            assert len(stream.buffer) < 64  # a framer looks at a few more
            assert await stream.parse(message, limit=256) == bytes(255)
            assert await stream.take(45) == bytes(45)

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_a_cancelled_call_that_allowed_more_leaves_the_stream_whole(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=1000) as (stream, peer):
            waiting = await begun(stream.take(50_001))
            await peer.send(bytes(range(250)) * 200)
            await until(lambda: len(stream.buffer) == 50_000)
            await cancelled(waiting)
            await peer.send(b"more")
            await turns(20)
            assert len(stream.buffer) == 50_000  # it receives no more now
            with pytest.raises(LimitExceeded):
                await receive_all(stream)
            assert await stream.take(50_000) == bytes(range(250)) * 200
            assert await stream.take(4) == b"more"

    run(main, loop)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_put_back_does_not_end_it(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=10) as (stream, peer):
            await peer.send(b"abc")
            assert await stream.receive()
            stream.buffer.append(bytes(20))
            await peer.send(b"def")
            await turns(20)
            with pytest.raises(LimitExceeded):
                await receive_all(stream)
            assert await stream.take(26) == b"abc" + bytes(20) + b"def"

    run(main, loop)


def test_only_one_task_receives() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, _):
            messages = stream.messages(message)
            frames = stream.frames(LengthPrefixed(1, limit=9))
            waiting = await begun(stream.receive())
            stream.buffer.append(b"\x01a")
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: anext(messages), lambda: anext(frames), stream.receive,
                lambda: stream.parse(message), lambda: stream.take(1), lambda: stream.take_until(b"a"),
            ]  # fmt: skip
            for call in calls:
                with pytest.raises(Busy, match="receiving side"):
                    await call()
            assert stream.buffer == b"\x01a"
            await cancelled(waiting)

    run(main)


@pytest.mark.parametrize("call", READING)
def test_closing_ends_a_call_that_waits(call: str) -> None:
    async def main() -> None:
        for close in (aio.Stream.aclose, _aborted):
            async with connected("tcp") as (stream, _):
                waiting = await begun(CALLS[call](stream))
                await close(stream)
                with pytest.raises(ClosedError):
                    await waiting

    run(main)


def test_what_has_come_may_be_taken_when_it_is_closed() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            await peer.send(b"\x01abc\nde")
            assert await stream.receive()
            await stream.aclose()
            assert await stream.parse(message) == b"a"
            assert await stream.take_until(b"\n") == b"bc"
            assert await stream.take(1) == b"d"
            with pytest.raises(ClosedError):
                await stream.take(2)
            assert stream.buffer == b"e"

    run(main)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("unix")])
def test_a_reset_is_an_error_of_each_side(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            await peer.send(b"before")
            assert await stream.take(1) == b"b"
            reset(peer)
            for _ in range(2):
                with pytest.raises(ConnectionResetError):
                    await stream.take(6)
            assert stream.buffer == b"efore"
            with pytest.raises(ConnectionError):
                await send_often(stream)
            with pytest.raises(ConnectionError):
                await stream.send(b"x")
            with pytest.raises(ConnectionError):
                await stream.flush()
            assert stream.pending == 0
            await stream.aclose()  # everybody has been told

    run(main, loop)


# -- sending --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_it_sends_every_kind_of_part(way: str, tmp_path: Path) -> None:
    kind, loop = way.split("-")
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 1000)

    async def main() -> None:
        async with connected(kind, limit=1 << 20) as (stream, peer):
            expected = b"bytes" + b"array" + b"slice" + b"ab" + file.read_bytes() + b"region" + b"end"
            await stream.send(b"bytes")
            await stream.send(bytearray(b"array"))
            await stream.send(SliceBuffer(b"slice"))
            composite = CompositeBuffer([b"a", b"b"])
            await stream.send(composite)
            composite.append(b"not this")
            await stream.send(FileRegion(file))
            await stream.send(CompositeBuffer([b"re", b"gion"]))
            await stream.send(b"end")
            await stream.send(b"")
            taking = asyncio.ensure_future(peer.take(len(expected)))
            await stream.flush()
            assert stream.pending == 0
            assert await taking == expected
            with pytest.raises(TypeError):
                await stream.send("text")  # type: ignore[arg-type]

    run(main, loop)


def test_what_is_sent_in_a_turn_goes_at_once() -> None:
    async def main() -> None:
        async with connected("unix") as (stream, peer):
            await stream.send(b"one, ")
            await stream.send(b"two, ")
            assert stream.pending == 10
            await turns(1)
            assert stream.pending == 0
            assert await peer.take(10) == b"one, two, "
            await stream.send(b"three")
            waiting = await begun(stream.receive())  # who waits has nothing more to say now
            assert stream.pending == 0
            await cancelled(waiting)

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_send_waits_above_the_high_mark_until_the_low_one(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=1 << 16, high=100_000, low=50_000) as (stream, peer):
            waiting = await begun(stream.send(MUCH))
            with pytest.raises(Busy, match="sending side"):
                await stream.send(b"x")
            with pytest.raises(Busy, match="sending side"):
                await stream.flush()
            taken = 0
            assert stream.pending > 100_000
            while not waiting.done():
                taken += len(await peer.take(10_000))
            await waiting
            assert stream.pending <= 50_000
            flushing = asyncio.ensure_future(stream.flush())
            assert len(await peer.take(len(MUCH) - taken)) == len(MUCH) - taken
            await flushing

    run(main, loop)


def test_send_may_be_made_a_task_and_awaited_late() -> None:
    async def main() -> None:
        async with connected("tcp", high=10, low=5, limit=1000) as (stream, peer):
            await asyncio.gather(stream.send(b"0123456789"))
            await asyncio.wait_for(stream.send(b"0123456789ab"), 9)
            late = stream.send(b"0123456789ab")
            await peer.take(34)
            await turns()
            await late
            small = stream.send(b"x")
            await small
            assert isinstance(small, Coroutine)

    run(main)


def test_an_answer_that_waits_for_nothing_is_closed_and_thrown_into_as_a_coroutine() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, _):
            done: Any = stream.send(b"x")
            done.close()
            with pytest.raises(StopIteration):
                done.send(None)
            with pytest.raises(KeyError):
                done.throw(KeyError)
            with pytest.raises(KeyError):
                done.throw(KeyError, KeyError("x"))

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_a_cancelled_send_has_queued_its_part_whole(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=1 << 16) as (stream, peer):
            waiting = await begun(stream.send(MUCH))
            await cancelled(waiting)
            waiting = await begun(stream.send(b"end"))
            await cancelled(waiting)
            assert await peer.take(len(MUCH) + 3) == MUCH + b"end"
            await stream.flush()

    run(main, loop)


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_has_become_shorter_ends_sending_and_is_told_once(way: str, tmp_path: Path) -> None:
    kind, loop = way.split("-")
    file = tmp_path / "file"

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            file.write_bytes(bytes(1000))
            region = FileRegion(file)
            file.write_bytes(b"")
            await stream.send(region)
            with pytest.raises(TruncatedFile):
                await stream.aclose()
            assert stream.state == "closed"
        async with connected(kind) as (stream, peer):
            await stream.send(region)
            with pytest.raises(TruncatedFile):
                await stream.flush()
            with pytest.raises(TruncatedFile):
                await stream.send(b"x")
            reset(peer)
            with suppress(ConnectionError):
                assert not await stream.receive()
            with pytest.raises(TruncatedFile):  # still the first
                await stream.send(b"x")
            await stream.aclose()
        if kind == "tls":
            return
        async with connected(kind) as (stream, peer):
            await stream.send(region)
            with pytest.raises(TruncatedFile):
                await stream.send_eof()
            await peer.send(b"but it still receives")
            assert await stream.take(21) == b"but it still receives"

    run(main, loop)


@pytest.mark.parametrize("way", WAYS)
def test_a_reset_ends_who_waits_to_send(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        for call in ("send", "flush", "aclose"):
            async with connected(kind) as (stream, peer):
                if call == "send":
                    waiting = await begun(stream.send(MUCH))
                else:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(stream.send(MUCH), 0)
                    waiting = await begun(CALLS[call](stream))
                reset(peer)
                with pytest.raises(ConnectionError):
                    await waiting
                assert stream.pending == 0

    run(main, loop)


def test_eof_to_a_peer_that_has_gone_is_an_error() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            reset(peer)
            with pytest.raises(ConnectionResetError):
                await stream.receive()
            for _ in range(2):
                with pytest.raises(OSError):
                    await stream.send_eof()

    run(main)


def test_callbacks_have_a_context_of_their_own() -> None:
    async def main() -> None:
        for kind in KINDS:
            with no_copy():
                async with connected(kind, limit=1 << 20) as (stream, peer):
                    pass
                context = connected(kind, limit=1 << 20)
                stream, peer = await context.__aenter__()
                waiting = await begun(peer.receive())
            many = CompositeBuffer([b"ab"] * 100)
            await stream.send(many)
            assert await waiting
            assert await peer.take(200) == b"ab" * 100
            await context.__aexit__(None, None, None)

    run(main)


# -- the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_aclose_sends_what_is_pending(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=1 << 20) as (stream, peer):
            with suppress(TimeoutError):
                await asyncio.wait_for(stream.send(bytes(1 << 20)), 0)

            async def take_all() -> None:
                assert len(await peer.take(1 << 20)) == 1 << 20
                assert not await peer.receive()

            taking = asyncio.ensure_future(take_all())
            await stream.aclose()
            await taking

    run(main, loop)


@pytest.mark.parametrize("way", WAYS)
def test_aclose_waits_no_longer_than_it_may(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, close_timeout=0.01) as (stream, peer):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stream.send(MUCH), 0)
            with pytest.raises(TimeoutError, match=r"bytes were not taken in 0\.01 seconds"):
                await stream.aclose()
            assert stream.state == "closed"
            assert await peer.receive()

    run(main, loop)


def test_aclose_says_nothing_of_a_peer_that_only_does_not_end() -> None:
    async def main() -> None:
        async with connected("tls", close_timeout=0.01, limit=1) as (stream, peer):
            await stream.send(b"all of it")
            await peer.take(1)
            await stream.aclose()  # it does not read what TLS says at the end
            assert stream.state == "closed"

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_a_cancelled_aclose_aborts(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, _):
            closing = await bring_to_closing(stream)
            await cancelled(closing)
            assert (stream.state, stream.pending) == ("closed", 0)
            await stream.aclose()

    async def bring_to_closing(stream: aio.Stream) -> asyncio.Future[None]:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.send(MUCH), 0)
        return await begun(stream.aclose())

    run(main, loop)


def test_aborting_ends_whoever_waits() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, _):
            sending = await begun(stream.send(MUCH))
            receiving = await begun(stream.receive())
            closing = await begun(stream.aclose())
            with pytest.raises(ClosedError):
                await receiving
            stream.abort()
            for waiting in (sending, closing):
                with pytest.raises(ClosedError):
                    await waiting
            stream.abort()

    run(main)


def test_a_block_closes_it() -> None:
    async def fail(stream: aio.Stream, part: bytes) -> None:
        async with stream:
            with suppress(TimeoutError):
                await asyncio.wait_for(stream.send(part), 0)
            raise KeyError

    async def use(stream: aio.Stream) -> None:
        async with stream:
            await stream.send(b"x")
            await stream.receive()

    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            async with stream as same:
                assert same is stream
                await stream.send(b"x")
            assert await peer.take(1) == b"x"
        async with connected("tcp") as (stream, peer):
            with pytest.raises(KeyError):
                await fail(stream, b"x")
            assert await peer.take(1) == b"x"
        async with connected("tcp", close_timeout=0) as (stream, peer):
            with pytest.raises(KeyError):  # which is not hidden by what closing says
                await fail(stream, MUCH)
            assert stream.state == "closed"

        async with connected("tcp") as (stream, peer):
            using = await begun(use(stream))
            await cancelled(using)
            assert stream.state == "closed"

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_a_closed_stream_is_let_go_of_at_once(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        for close in (aio.Stream.aclose, _aborted):
            gone = await use(close)
            await turns(10)
            assert gone() is None

    async def use(close: Callable[[aio.Stream], Awaitable[None]]) -> weakref.ref[aio.Stream]:
        done = asyncio.Event()

        async def handler(stream: aio.Stream) -> None:
            await stream.send(b"x")
            await done.wait()
            reset(stream)

        async with serving(handler, kind) as (_, connect):
            stream = await connect()
            await stream.take(1)
            done.set()
            with suppress(ConnectionError):
                await stream.receive()
            await close(stream)
            return weakref.ref(stream)

    gc.disable()
    try:
        run(main, loop)
    finally:
        gc.enable()


def test_a_stream_that_nobody_closes_is_closed_with_a_warning() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        stream = await aio.open_unix_connection(sock=ours)
        theirs.close()
        assert not await stream.receive()
        await asyncio.sleep(0)  # now nothing but this refers to it: the callback that has woken us has ended
        del stream
        with pytest.warns(ResourceWarning, match="unclosed <Stream: sending"):
            gc.collect()
        assert ours.fileno() == -1

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()


@pytest.mark.parametrize("loop", ["asyncio", "unwatched"])
def test_a_stream_may_outlive_its_loop(loop: str) -> None:
    async def main() -> aio.Stream:
        ours, theirs = socket.socketpair()
        theirs.close()
        return await aio.open_unix_connection(sock=ours)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        stream = runner.run(main())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of asyncio's transport, which nobody closed
        stream.abort()
        assert stream.state == "closed"
        del stream
        gc.collect()


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_to_finish_takes_what_has_come_and_no_more(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            messages = stream.messages(message)
            await peer.send(b"\x01a\x01")
            assert await anext(messages) == b"a"
            stream._finish()  # as a server does that closes
            waiting = await begun(anext(messages))
            await peer.send(b"b\x01c")
            await peer.flush()
            assert await waiting == b"b"
            assert [found async for found in messages] == [b"c"]
        async with connected(kind) as (stream, peer):
            waiting = await begun(anext(stream.messages(message), None))
            stream._finish()
            assert await waiting is None
            assert stream.state == "open"

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reset_after_the_end_is_an_error_of_sending_only(loop: str) -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            await peer.send_eof()
            assert not await stream.receive()
            reset(peer)
            with pytest.raises(ConnectionError):
                await send_often(stream)
            assert not await stream.receive()

    run(main, loop)


def test_few_outboxes_are_kept_for_streams_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_SPARES", 1)

    async def main() -> None:
        async with connected("tcp", high=5432, low=1) as (stream, peer):
            for sender in (stream, peer):
                await sender.send(b"x")
            for receiver in (stream, peer):
                assert await receiver.take(1) == b"x"
            await stream.flush()
            waiting = [asyncio.ensure_future(receiver.receive()) for receiver in (stream, peer)]
            await until(lambda: stream._outbox is peer._outbox is None)
            assert len(stream_module._SPARE[5432, 1]) == 1
            for sender in (stream, peer):
                await sender.send(b"y")
            assert await asyncio.gather(*waiting) == [True, True]
            assert stream.buffer == peer.buffer == b"y"

    run(main)
