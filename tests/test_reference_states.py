"""docs/reference/aio.md: what its table says of each call in each state of a stream is what happens."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, get_args

import pytest

from bytebufs import ClosedError, FixedLength, Reader, Underrun, aio

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "aio.md"

PENDING: Final = 8 << 20
"""Bytes that are on their way in each state: more than two sockets hold, so that what waits for them waits."""

Call = Callable[[aio.Stream], Awaitable[object]]

RECEIVING: Final[Mapping[str, Call]] = {
    "receive": lambda stream: stream.receive(),
    "parse": lambda stream: stream.parse(Reader.u16),
    "messages": lambda stream: anext(stream.messages(Reader.u16)),
    "frames": lambda stream: anext(stream.frames(FixedLength(2))),
    "take": lambda stream: stream.take(2),
    "take_until": lambda stream: stream.take_until(b"b"),
}


async def _abort(stream: aio.Stream) -> None:
    stream.abort()


OTHERS: Final[Mapping[str, Call]] = {
    "send": lambda stream: stream.send(b"x"),
    "send_eof": lambda stream: stream.send_eof(),
    "flush": lambda stream: stream.flush(),
    "aclose": lambda stream: stream.aclose(),
    "abort": _abort,
}


def _table() -> dict[tuple[str, str], str]:
    """Return what the page says, by row and state."""
    section = PAGE.read_text(encoding="utf-8").partition("## States")[2]
    head, _, *lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    states = [cell.strip() for cell in head.split("|")[1:]]
    assert states == list(get_args(aio.State))
    table = {}
    for line in lines:
        row, *cells = (cell.strip().replace("`", "") for cell in line.split("|"))
        table.update({(row, state): cell for state, cell in zip(states, cells, strict=True)})
    return table


TABLE: Final = _table()


async def _in_state(state: str, theirs: socket.socket, ours: socket.socket) -> aio.Stream:
    """Return a stream in a state, with two bytes in its buffer, and more to be sent than goes."""
    stream = await aio.open_unix_connection(sock=ours)
    theirs.sendall(b"ab")
    while len(stream.buffer) < 2:
        await stream.receive()
    await _begun(stream.send(bytes(PENDING)))
    if state in {"receiving", "ended"}:
        await _begun(stream.send_eof())
    if state in {"sending", "ended"}:
        theirs.shutdown(socket.SHUT_WR)
        while await stream.receive():
            pass
    if state == "closed":
        stream.abort()
    assert state in {stream.state, "closing"}
    return stream


async def _begun(call: Awaitable[object]) -> None:
    """Begin a call, and cancel it where it waits."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await call


async def _outcome(call: Call, stream: aio.Stream) -> object:
    """Return what a call gives or raises, or "waits"."""
    pending = stream.pending
    waiting = asyncio.ensure_future(_run(call, stream))
    for _ in range(5):
        await asyncio.sleep(0)
    if waiting.done():
        return await waiting
    waiting.cancel()
    outcome = "waits" if stream.pending <= pending else "queues"
    with suppress(asyncio.CancelledError):
        await waiting
    return outcome


async def _run(call: Call, stream: aio.Stream) -> object:
    try:
        return await call(stream)
    except Exception as error:  # noqa: BLE001  # the outcome, whatever it is
        return error


def _try(state: str, use: Callable[[aio.Stream], Awaitable[None]]) -> None:
    """Use a stream that is in a state, and leave nothing behind."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        async with asyncio.timeout(30):
            with theirs:
                stream = await _in_state(state, theirs, ours)
                closing = asyncio.ensure_future(stream.aclose()) if state == "closing" else None
                await asyncio.sleep(0)
                try:
                    assert stream.state == state
                    await use(stream)
                finally:
                    stream.abort()
                    if closing is not None:
                        with suppress(ClosedError):
                            await closing

    asyncio.run(main())


@pytest.mark.parametrize("state", get_args(aio.State))
@pytest.mark.parametrize("name", RECEIVING)
def test_what_has_come_is_given(name: str, state: str) -> None:
    async def use(stream: aio.Stream) -> None:
        outcome = await _outcome(RECEIVING[name], stream)
        assert not isinstance(outcome, Exception)
        assert outcome != "waits"

    assert TABLE["what receives, if all it wants is in buffer", state] == "gives it"
    if name != "receive":  # it wants what no call has seen
        _try(state, use)


@pytest.mark.parametrize("state", get_args(aio.State))
@pytest.mark.parametrize("name", RECEIVING)
def test_what_has_not_come_is_waited_for_or_never_comes(name: str, state: str) -> None:
    said = TABLE["what receives, otherwise", state]

    async def use(stream: aio.Stream) -> None:
        stream.buffer.skip(2)
        outcome = await _outcome(RECEIVING[name], stream)
        if said == "the end":
            kinds = {
                "take": Underrun,
                "take_until": Underrun,
                "messages": StopAsyncIteration,
                "frames": StopAsyncIteration,
            }
            assert isinstance(outcome, kinds[name]) if name in kinds else outcome in (False, None)
        else:
            assert (type(outcome).__name__ if isinstance(outcome, Exception) else outcome) == said

    _try(state, use)


@pytest.mark.parametrize("state", get_args(aio.State))
@pytest.mark.parametrize("name", OTHERS)
def test_what_sends_and_closes_does_what_the_table_says(name: str, state: str) -> None:
    said = TABLE[name, state]

    async def use(stream: aio.Stream) -> None:
        states: list[Any] = []
        outcome = await _outcome(lambda stream: _watched(OTHERS[name], stream, states), stream)
        if said.startswith("to "):
            assert states == [said.removeprefix("to ")]
        elif said == "nothing":
            assert states == [state]
            assert not isinstance(outcome, Exception)
        else:
            assert (type(outcome).__name__ if isinstance(outcome, Exception) else outcome) == said

    _try(state, use)


async def _watched(call: Call, stream: aio.Stream, states: list[Any]) -> object:
    """Make a call, and note in which state the stream is once it waits or has ended."""
    asyncio.get_running_loop().call_soon(lambda: states.append(stream.state))
    return await call(stream)
