"""Two streams, connected to each other, against a model of bytes: nothing is lost, repeated or reordered.

Each direction carries items, of which each is taken by a call of its kind: so many bytes, a line, a message, a frame,
whatever has come. A program, drawn from a seed, says how they are split, which calls are cancelled after how many turns
of the loop, where a side stalls, and how it ends: by ``send_eof()``, ``aclose()``, ``abort()`` or a reset.
"""

from __future__ import annotations

import asyncio
import random
import socket
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import (
    ClosedError,
    CompositeBuffer,
    FileRegion,
    LengthPrefixed,
    LimitExceeded,
    Reader,
    SliceBuffer,
    Underrun,
    aio,
)
from bytebufs.aio import links

from .loops import WAYS, connected, raw, reset, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bytebufs import Part

_T = TypeVar("_T")

_LARGEST: Final = 20_000
_TRIES: Final = 4
"""Calls that are cancelled before one is waited for."""

Item = tuple[str, bytes]
"""The call that takes it, and its bytes as they are sent."""


class Cut(Exception):
    """The other side has ended, or gone, before an item was whole."""


def items(rng: random.Random) -> list[Item]:
    return [_item(rng) for _ in range(rng.randrange(25))]


def _item(rng: random.Random) -> Item:
    size = rng.choice([0, 1, 2, rng.randrange(300), rng.randrange(300), rng.randrange(_LARGEST)])
    body = rng.randbytes(size)
    kind = rng.choice(["take", "line", "parse", "message", "frame", "receive"])
    if kind == "line":
        return kind, body.replace(b"\n", b"\r") + b"\n"
    if kind in ("parse", "message", "frame"):
        return kind, size.to_bytes(2, "big") + body
    return kind, body


async def _stall(rng: random.Random) -> None:
    for _ in range(rng.choice([0, 0, 1, 3, 20])):
        await asyncio.sleep(0)


async def disturbed(rng: random.Random, call: Callable[[], Awaitable[_T]], check: Callable[[], None]) -> _T:
    """Make a call, cancelled now and then after some turns, or by a timeout, until one comes through."""
    for _ in range(rng.choice([0, 0, 1, _TRIES])):
        if rng.randrange(3):
            task = asyncio.ensure_future(call())
            for _ in range(rng.randrange(5)):
                await asyncio.sleep(0)
            task.cancel()
            try:
                return await task
            except asyncio.CancelledError:
                check()
        else:
            try:
                async with asyncio.timeout(rng.choice([0, 0.0001])):
                    return await call()
            except TimeoutError:
                check()
    return await call()


class Side:
    """What one of the two does, and what has come of it."""

    def __init__(self, rng: random.Random, stream: aio.Stream, outgoing: list[Item], incoming: list[Item], file: Path):
        self.rng = rng
        self.stream = stream
        self.outgoing = outgoing
        self.incoming = incoming
        self.file = file
        self.kept: list[tuple[object, bytes]] = []  # buffers that were taken, and what they have to show for ever
        self.sent = bytearray()
        self.due = b"".join(data for _, data in incoming)
        self.taken = 0

    # -- receiving

    def check(self) -> None:
        """What is in the buffer is what comes next."""
        shown = bytes(self.stream.buffer)
        assert shown == self.due[self.taken : self.taken + len(shown)]

    def took(self, data: object, expected: bytes) -> None:
        assert data == expected
        self.kept.append((data, expected))
        self.taken += len(expected)

    async def receive_all(self) -> None:
        """Take each item by its call, up to an end or an error."""
        for kind, data in self.incoming:
            await _stall(self.rng)
            before = self.taken
            try:
                await getattr(self, f"_receive_by_{kind}")(data)
            except Cut:
                assert self.taken >= before
                return
            except (ConnectionError, ClosedError):
                self.check()
                return
            self.check()
        assert self.taken == len(self.due)

    async def _disturbed(self, call: Callable[[], Awaitable[_T]]) -> _T:
        try:
            return await disturbed(self.rng, call, self.check)
        except Underrun as error:
            self.check()
            while await self.stream.receive():
                pass  # what came while a cancelled call waited
            self.check()
            raise Cut from error

    async def _receive_by_take(self, data: bytes) -> None:
        self.took(await self._disturbed(lambda: self.stream.take(len(data))), data)

    async def _receive_by_line(self, data: bytes) -> None:
        line = await self._disturbed(lambda: self.stream.take_until(b"\n", limit=_LARGEST))
        self.took(CompositeBuffer([line, b"\n"]), data)

    async def _receive_by_parse(self, data: bytes) -> None:
        body = await self._disturbed(lambda: self.stream.parse(_message, limit=2 + _LARGEST))
        self._took_body(body, data)

    async def _receive_by_message(self, data: bytes) -> None:
        messages = self.stream.messages(_message, limit=2 + _LARGEST)
        self._took_body(await self._disturbed(lambda: anext(messages, None)), data)

    async def _receive_by_frame(self, data: bytes) -> None:
        frames = self.stream.frames(LengthPrefixed(2, limit=_LARGEST))
        self._took_body(await self._disturbed(lambda: anext(frames, None)), data)

    def _took_body(self, body: SliceBuffer | None, data: bytes) -> None:
        if body is None:
            assert not self.stream.buffer
            raise Cut
        self.took(CompositeBuffer([data[:2], body]), data)

    async def _receive_by_receive(self, data: bytes) -> None:
        buffer = self.stream.buffer
        at = 0
        while at < len(data):
            if not buffer and not await self._disturbed(self.stream.receive):
                raise Cut
            n = min(len(data) - at, len(buffer))
            self.took(buffer.take(n), data[at : at + n])
            at += n

    # -- sending

    async def send_all(self) -> None:
        """Send all items, split anew, as parts of every kind."""
        data = b"".join(data for _, data in self.outgoing)
        at = 0
        rng = self.rng
        try:
            while at < len(data):
                n = min(len(data) - at, rng.choice([1, 2, 100, rng.randrange(1, 5000), _LARGEST]))
                await self._send(data[at : at + n])
                at += n
                await _stall(rng)
                if not rng.randrange(5):
                    await disturbed(rng, self.stream.flush, lambda: None)
        except (ConnectionError, ClosedError):
            pass
        assert data.startswith(self.sent)

    def _part(self, data: bytes) -> Part:
        match self.rng.randrange(5):
            case 0:
                return bytearray(data)
            case 1:
                middle = len(data) // 2
                return CompositeBuffer([data[:middle], memoryview(data)[middle:]])
            case 2 | 3:
                with self.file.open("ab") as file:
                    offset = file.tell()
                    file.write(data)
                return FileRegion(self.file, offset, len(data))
            case _:
                return data

    async def _send(self, data: bytes) -> None:
        before = self.stream.pending
        waiting = self.stream.send(self._part(data))
        assert self.stream.pending == before + len(data)
        self.sent += data
        if self.rng.randrange(3):
            await waiting
            return
        task = asyncio.ensure_future(waiting)
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _message(r: Reader) -> SliceBuffer:
    return r.take(r.u16())


_SMALL: Final = {"limit": 4096, "high": 2048}
"""So that both sides are to wait for each other."""


def play(seed: int, way: str, how: Callable[[Side, Side, bool], Awaitable[None]]) -> None:
    """Run a program, and show that it leaves nothing."""
    kind, loop = way.split("-")
    rng = random.Random(seed)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with connected(kind, **(_SMALL if rng.randrange(2) else {})) as (ours, theirs):
                if kind == "unix" and rng.randrange(2):  # TCP with so little has to wait for timers
                    for stream in (ours, theirs):
                        raw(stream).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                out, back = items(rng), items(rng)
                here = Side(rng, ours, out, back, Path(folder, "here"))
                there = Side(rng, theirs, back, out, Path(folder, "there"))
                await how(here, there, kind == "tls")
                for side in (here, there):
                    for data, expected in side.kept:
                        assert data == expected

    run(main, loop)


async def _talk(here: Side, there: Side) -> None:
    async with asyncio.TaskGroup() as group:
        for side in (here, there):
            group.create_task(side.send_all())
            group.create_task(side.receive_all())


async def _end_in_order(here: Side, there: Side, is_tls: bool) -> None:
    """All is said, all is taken, and both close: not one error."""
    rng = here.rng
    sides = [here, there]
    rng.shuffle(sides)

    async def send(side: Side) -> None:
        await side.send_all()
        assert side.sent == b"".join(data for _, data in side.outgoing)
        if not is_tls:
            await disturbed(rng, side.stream.send_eof, lambda: None)
            with pytest.raises(ClosedError):
                await side.stream.send(b"x")

    async with asyncio.TaskGroup() as group:
        for side in sides:
            group.create_task(send(side))
            group.create_task(side.receive_all())
    for side in sides:
        assert side.taken == len(side.due)
    if not is_tls:
        for side in sides:
            assert not await disturbed(rng, side.stream.receive, side.check)
            assert side.stream.state == "ended"
    async with asyncio.TaskGroup() as group:
        for side in sides:
            group.create_task(side.stream.aclose())


async def _end_one_way(here: Side, there: Side, is_tls: bool) -> None:
    """One side ends when it has said all, in the middle of what the other says: that gets all, and then the end.

    Not so over TLS: asyncio, told to close, takes what the peer still sends as an error, and throws away the rest.
    """
    heard = asyncio.create_task(here.receive_all())

    async def say_and_close() -> None:
        await here.send_all()
        await _stall(here.rng)
        if is_tls:
            await heard
        await here.stream.aclose()

    async def hear_and_close() -> None:
        await there.receive_all()
        assert there.taken == len(there.due)
        with suppress(ConnectionError):  # what it has sent itself came too late
            assert not await there.stream.receive()
        assert not there.stream.buffer
        with suppress(ConnectionError):
            await there.stream.aclose()

    async with asyncio.TaskGroup() as group:
        for doing in (say_and_close, hear_and_close, there.send_all):
            group.create_task(doing())
    await heard


async def _go_at_any_time(here: Side, there: Side, is_tls: bool) -> None:
    """One side goes at any moment: what has come until then are the bytes of a front."""
    rng = here.rng

    async def go() -> None:
        for _ in range(rng.randrange(150)):
            await asyncio.sleep(0)
        match rng.randrange(4):
            case 0:
                here.stream.abort()
            case 1:
                reset(here.stream)
            case 2:
                with suppress(ConnectionError, ClosedError):
                    await here.stream.aclose()
            case _:
                closing = asyncio.create_task(here.stream.aclose())
                for _ in range(rng.randrange(4)):
                    await asyncio.sleep(0)
                closing.cancel()
                with suppress(asyncio.CancelledError, ConnectionError, ClosedError):
                    await closing
                here.stream.abort()  # it may not have begun

    async def hear() -> None:
        await there.receive_all()
        with suppress(ConnectionError, LimitExceeded):
            while await there.stream.receive():
                pass

    async with asyncio.TaskGroup() as group:
        for doing in (go, hear, here.receive_all, here.send_all, there.send_all):
            group.create_task(doing())
    for side, other in ((here, there), (there, here)):
        came = side.taken + len(side.stream.buffer)
        assert came <= len(other.sent)
        side.check()


HOWS: Final = {"in order": _end_in_order, "one way": _end_one_way, "any time": _go_at_any_time}


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("tls-eager", "tls-debugging", "tls-unwatched")])
@given(seed=st.integers(0, 2**64))
def test_nothing_is_lost_repeated_or_reordered(seed: int, way: str, how: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if how == "any time":
            patch.setattr(links, "_LINGER", 0.01)  # nobody waits for those who go
        play(seed, way, HOWS[how])
