"""Receive, in small reads and large ones: how much processor time frames cost that are dropped, and what they pin.

Who receives and who sends share a loop and a process: the loop is never idle, as that of a server with much to do, so
that nobody's sleep is measured. A piece is sent once the one before has been taken: so each read has that size, unless
it asks for less. What sending costs is measured apart, and taken off.
"""

from __future__ import annotations

import asyncio
import atexit
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final

from bytebufs import Inbox

from ._harness import CPU, MIB, OURS, TOLD, Action, Cell, Contender, Goal, Sample, by_build, cost_of, size_name
from ._servers import FRAMES, PARSE, PROTOCOL, STREAMS, TASKS, Listening, loop_factory, loops

__all__ = ["plan"]

READS: Final = (1, 64, 1460, 16 << 10, 64 << 10)
SIZES: Final = (64, 1 << 10, 16 << 10, 64 << 10)
QUICK: Final = ((64, 64), (1 << 10, 1 << 10))

_MOST_READS: Final = 2_000
"""A cell of more reads than that for a frame or two would take minutes."""
_PATIENCE: Final = 8
_LEAST_READS: Final = 128
_TURNS: Final = 20
"""Turns of the loop after which all that a peer has left has been closed."""

WAYS: Final[Mapping[str, str]] = {FRAMES: OURS, PARSE: OURS, STREAMS: "asyncio", PROTOCOL: "asyncio"}


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    places = QUICK if quick else [(read, size) for read in READS for size in SIZES if size <= _MOST_READS * read]
    cells: list[Callable[[], Cell]] = [partial(_cell, loop, read, size) for loop in loops() for read, size in places]
    return [*cells, *(partial(_pinned, read, 64 << 10 if quick else MIB) for read in ((64,) if quick else READS))]


def _cell(loop: str, read: int, size: int) -> Cell:
    _close_receivers()
    # So many frames that they end where a read does, and that beginning and ending does not count.
    count = max(2, _LEAST_READS * read // size)
    frame = struct.pack(">I", size - 4) + bytes(size - 4)
    bound = 0.6 if size >= 16 << 10 else 0.7
    goals = [
        goal
        for ours in (FRAMES, PARSE)
        for goal in (
            cost_of(ours, STREAMS, by_build(compiled=bound, pure=None)),
            cost_of(ours, PROTOCOL, by_build(compiled=1.0, pure=None)),
        )
    ]
    contenders = []
    for way, group in WAYS.items():
        receiver = _Receiver(loop, way, count)
        contenders.append(Contender(way, group, partial(partial, receiver.feed, frame * count, read), receiver.clock))
    at = {"loop": loop, "read": size_name(read), "frame": size_name(size)}
    return Cell("receive", at, "frame", count, contenders, goals, patience=_PATIENCE)


class _Receiver:
    """A loop on which somebody receives frames, and says so when he has had as many as were sent."""

    def __init__(self, loop: str, way: str, count: int) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)  # noqa: FBT003  # that is how it is called
        self._waiting = bytearray(4)
        self._runner = asyncio.Runner(loop_factory=loop_factory(loop))
        self._held = self._runner.run(_started(TASKS["drop"][way](str(count)), self._far))
        self._sending = 0
        self._pieces: Iterator[bytes] = iter(())
        self._answer: asyncio.Future[bytes]
        _RECEIVERS.append(self)

    def clock(self, action: Action, repeats: int) -> tuple[float, object]:
        """Return what receiving cost: a ``Meter``."""
        self._sending = 0
        cost, answer = CPU(action, repeats)
        return cost - self._sending, answer

    def feed(self, stream: bytes, read: int) -> bytes:
        """Send all of a stream, a read at a time, and return what the receiver says then."""
        return self._runner.run(self._fed(stream, read))

    async def _fed(self, stream: bytes, read: int) -> bytes:
        loop = asyncio.get_running_loop()
        self._pieces = iter([stream[at : at + read] for at in range(0, len(stream), read)])
        self._answer = loop.create_future()
        loop.call_soon(self._send, loop)
        return await self._answer

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        """Send the next piece if the one before has been taken, or receive the answer, and be called again."""
        began = time.thread_time_ns()
        fcntl.ioctl(self._far.fileno(), termios.FIONREAD, self._waiting)
        if not any(self._waiting):
            piece = next(self._pieces, None)
            if piece is not None:
                self._near.send(piece)
            else:
                with suppress(BlockingIOError):
                    self._answer.set_result(self._near.recv(1))
        if not self._answer.done():
            loop.call_soon(self._send, loop)
        self._sending += time.thread_time_ns() - began

    def close(self) -> None:
        self._near.close()
        self._runner.run(_ended())  # whoever receives sees that, and closes
        self._runner.close()
        self._far.close()


async def _ended() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def _started(start: Listening, sock: socket.socket) -> object:
    return await start(sock)


_RECEIVERS: Final[list[_Receiver]] = []


@atexit.register
def _close_receivers() -> None:
    while _RECEIVERS:
        _RECEIVERS.pop().close()


def _pinned(read: int, nbytes: int) -> Cell:
    """Return the cell of what waits, received in small reads: how many bytes of memory it pins."""
    _close_receivers()

    def share(samples: Mapping[str, Sample]) -> tuple[float, str]:
        return (samples["Inbox"].median - _BLOCK) / nbytes, "bytes shown, and a block"

    contenders = [
        Contender("Inbox", OURS, partial(partial, _pinned_by_inbox, read, nbytes), TOLD),
        Contender("asyncio StreamReader", "asyncio", partial(partial, _pinned_by_reader, read, nbytes), TOLD),
    ]
    at = {"read": size_name(read), "waiting": size_name(nbytes)}
    goal = Goal("bytes pinned against bytes shown", "at most", 1.1, share)
    return Cell("receive, pinned", at, "run", 1, contenders, [goal], unit="bytes")


_BLOCK: Final = 64 << 10


def _pinned_by_inbox(read: int, nbytes: int) -> int:
    near, far = socket.socketpair()
    with near, far:
        inbox = Inbox(limit=nbytes)
        piece = bytes(read)
        for _ in range(nbytes // read):
            near.sendall(piece)
            inbox.receive(far)
        while len(inbox.buffer) < nbytes // read * read:
            inbox.receive(far)
        return inbox.buffer.pinned_nbytes


def _pinned_by_reader(read: int, nbytes: int) -> int:
    async def fed() -> asyncio.StreamReader:
        reader = asyncio.StreamReader(limit=nbytes)
        for _ in range(nbytes // read):
            reader.feed_data(bytes(read))
        return reader

    buffer: bytearray = asyncio.run(fed())._buffer  # type: ignore[attr-defined]
    return buffer.__alloc__()
