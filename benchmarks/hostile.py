"""What those cost who mean no good: processor time for each byte that they send, and memory that they have one keep.

Each stream of ``bytebufs.testing.HOSTILE`` meets those who take that kind of stream, with a limit of 8 KiB. What is
whole is taken and dropped. Who is refused is hung up on: what he would have sent after that costs nothing.

Time is that of taking, and of telling an error; chunks are made, and sent, before the clock runs. Memory is the most
that is allocated after any chunk, beside what was there before the first (tracemalloc).
"""

from __future__ import annotations

import gc
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import islice
from typing import Final, Protocol

from bytebufs import (
    BytebufsError,
    CompositeBuffer,
    Delimited,
    Framer,
    Inbox,
    LengthPrefixed,
    Lines,
    Pool,
    Reader,
    VarintPrefixed,
)
from bytebufs.testing import HOSTILE, HostileStream
from examples.redis_resp import Replies
from examples.web.refused import Refused
from examples.web.request import Requests
from examples.websocket_frames import Messages

from ._harness import OURS, TOLD, Cell, Contender, Goal, Sample, size_name

__all__ = ["BOUND", "GROWTH", "TAKERS", "kept", "plan", "spent"]

LIMIT: Final = HostileStream.LIMIT
BLOCK: Final = 1 << 16
BOUND: Final = LIMIT + BLOCK
"""Bytes that one connection may keep: the limit, and a block."""
GROWTH: Final = 1.3
"""Of the cost of a byte, where eight times as many come."""

SIZE: Final = 1 << 13
"""As much as may wait: what a byte costs at most, of one who is refused then."""
TIMES: Final = 8
"""Growth is told from so many times that size on: in the first, a frame as long as the limit is not whole."""
_DEAR: Final = "a byte of each large chunk"
"""What receiving it costs is nothing to what it costs to make, and would be lost in that."""
_BATCH: Final = 256  # chunks that are made before the clock runs
_FEW: Final = 3000
_LEAST: Final = 2_000_000  # nanoseconds that are measured: less tells of caches


class Taker(Protocol):
    """Takes chunks as they come, and drops what is in them."""

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take what is whole. Raises BytebufsError or Refused: then the connection ends."""


class _Framed:
    def __init__(self, make: Callable[[], Framer]) -> None:
        self._framer = make()

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        for _ in self._framer.feed(chunk):
            pass


class _Parsed:
    """A buffer as a server has one: small parts are joined."""

    def __init__(self) -> None:
        self._buffer = CompositeBuffer(coalesce_below=256)

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        self._buffer.append(chunk)
        _parse_lines(self._buffer)


class _Received:
    """An inbox behind a socket."""

    def __init__(self) -> None:
        self._inbox = Inbox(_pool(), limit=LIMIT + 2)

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        ours, theirs = _sockets()
        left = len(chunk)
        if left:
            theirs.sendall(chunk)
        while left:
            left -= self._inbox.receive(ours)
            try:
                _parse_lines(self._inbox.buffer)
            except BytebufsError:
                if left:
                    ours.recv(left)
                raise


@cache
def _sockets() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


@cache
def _pool() -> Pool:
    return Pool()


def _parse_lines(buffer: CompositeBuffer) -> None:
    while buffer.parse(_line, limit=LIMIT + 2) is not None:
        pass


def _line(r: Reader) -> object:
    return r.line(limit=LIMIT)


class _Iterated:
    """One of the examples' parsers, which have a buffer and are iterated over."""

    def __init__(self, make: Callable[[], Replies | Messages]) -> None:
        self._parser = make()

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        self._parser.buffer.append(chunk)
        for _ in self._parser:
            pass


class _Requested:
    def __init__(self) -> None:
        self._requests = Requests()

    def take(self, chunk: bytes | bytearray | memoryview) -> None:
        self._requests.buffer.append(chunk)
        while self._requests.take() is not None:
            pass


def _nearly() -> Framer:
    return Delimited(*[b"a" * k + b"b" for k in (1, 16, 255)], limit=LIMIT)


TAKERS: Final[Mapping[str, tuple[str, Callable[[], Taker]]]] = {
    "Lines": ("any lines", partial(_Framed, lambda: Lines(LIMIT))),
    "Delimited": ("separators", partial(_Framed, _nearly)),
    "LengthPrefixed": ("any lengths", partial(_Framed, lambda: LengthPrefixed(4, limit=LIMIT + 4))),
    "VarintPrefixed": ("any varints", partial(_Framed, lambda: VarintPrefixed(LIMIT))),
    "parse": ("any lines", _Parsed),
    "Inbox": ("any lines", _Received),
    "examples/web": ("HTTP/1.1", _Requested),
    "examples/redis_resp": ("RESP", partial(_Iterated, lambda: Replies(LIMIT))),
    "examples/websocket_frames": ("WebSocket", partial(_Iterated, lambda: Messages(masked=True, limit=LIMIT))),
}
"""Who takes what: the kinds of streams, and what makes one."""


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    places = [(s, name) for s in HOSTILE for name, (kinds, _) in TAKERS.items() if s.protocol in kinds.split()]
    if quick:
        places = places[::20]
    size = 256 if quick else SIZE
    return [
        *(partial(_cost_cell, stream, name, size) for stream, name in places if stream.name != _DEAR),
        *(partial(_kept_cell, stream, name, size) for stream, name in places),
    ]


def _at(stream: HostileStream, name: str) -> dict[str, str]:
    return {"for": stream.protocol, "stream": stream.name, "taken by": name}


def _cost_cell(stream: HostileStream, name: str, size: int) -> Cell:
    make = TAKERS[name][1]
    contenders = [
        Contender(size_name(n), OURS, partial(partial, spent, make, stream, n, _LEAST if size == SIZE else 0), TOLD)
        for n in (size, TIMES * size, TIMES * TIMES * size)
    ]
    return Cell("hostile", _at(stream, name), "byte", 1, contenders, [Goal("growth", "at most", GROWTH, _growth)])


def _kept_cell(stream: HostileStream, name: str, size: int) -> Cell:
    make = TAKERS[name][1]
    contenders = [
        Contender(size_name(n), OURS, partial(partial, kept, make, stream, n), TOLD) for n in (TIMES * size, size)
    ]
    goal = Goal("bytes", "at most", BOUND, _most, unit="bytes")
    return Cell("hostile, kept", _at(stream, name), "connection", 1, contenders, [goal], unit="bytes")


def _growth(samples: Mapping[str, Sample]) -> tuple[float, str]:
    """Return by how much a byte costs more where more of them come; of the cheapest rounds, which nothing disturbed."""
    _, few, many = samples.values()
    return many.minimum / few.minimum, few.name


def _most(samples: Mapping[str, Sample]) -> tuple[float, str]:
    return max(sample.median for sample in samples.values()), "bytes"


# -- what is measured ----------------------------------------------------------------------------------------


def spent(make: Callable[[], Taker], stream: HostileStream, n: int, least: float = 0) -> float:
    """Return the nanoseconds of processor time that each of n bytes costs; of so many in all, at least."""
    cost = times = 0
    while not times or cost < least:
        cost += sum(_costs(make, stream, n))
        times += 1
    return cost / times / n


def _costs(make: Callable[[], Taker], stream: HostileStream, n: int) -> Iterator[int]:
    chunks = stream.make(n)
    taker = make()
    while batch := list(islice(chunks, _BATCH)):
        began = time.process_time_ns()
        try:
            for chunk in batch:
                taker.take(chunk)
        except (BytebufsError, Refused):
            chunks = iter(())
        yield time.process_time_ns() - began


@cache
def kept(make: Callable[[], Taker], stream: HostileStream, n: int) -> float:
    """Return how many bytes are allocated at most after a chunk has come, beside what was before the first.

    That is the same each time, so it is asked once.
    """
    _kept(make, stream, min(n, _FEW))  # what is made once only
    gc.collect()
    tracemalloc.start()
    try:
        return _kept(make, stream, n)
    finally:
        tracemalloc.stop()


def _kept(make: Callable[[], Taker], stream: HostileStream, n: int) -> int:
    chunks = stream.make(n)
    taker = make()
    before = _allocated()
    most = 0
    try:
        while (chunk := next(chunks, None)) is not None:
            taker.take(chunk)
            del chunk
            most = max(most, _allocated() - before)
    except (BytebufsError, Refused):
        pass  # what it kept before
    return most


def _allocated() -> int:
    return tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
