"""redis-py: bulk strings through the RESP3 parser, out of a socket that has the next chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import redis
from redis._parsers.resp3 import _RESP3Parser
from redis._parsers.socket import SocketBuffer

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream

__all__ = ["PLACE"]

_READ: Final = 64 << 10


class _Socket:
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)

    def recv(self, most: int) -> bytes:
        return next(self._chunks, b"")

    def settimeout(self, timeout: float | None) -> None:
        """It never waits."""


class _Buffer:
    """Does what a SocketBuffer does, as far as reading needs it: what was read can be read again, until ``purge``."""

    def __init__(self, socket: _Socket, socket_read_size: int, socket_timeout: float | None) -> None:
        self._sock = socket
        self._read_size = socket_read_size
        self._data = CompositeBuffer()
        self._at = 0

    def _receive(self) -> None:
        data = self._sock.recv(self._read_size)
        if not data:
            raise redis.ConnectionError("Connection closed by server.")
        self._data.append(data)

    def read(self, length: int, timeout: object = None) -> bytes:
        at = self._at
        end = at + length
        while len(self._data) < end + 2:
            self._receive()
        self._at = end + 2
        return self._data[at:end].tobytes()

    def readline(self, timeout: object = None) -> bytes:
        at = self._at
        while (end := self._data.find(b"\r\n", at)) < 0:
            self._receive()
        self._at = end + 2
        return self._data[at:end].tobytes()

    def get_pos(self) -> int:
        return self._at

    def rewind(self, pos: int) -> None:
        self._at = pos

    def purge(self) -> None:
        self._data.skip(self._at)
        self._at = 0


def _read(make: Callable[..., Any], stream: Stream, note: Note) -> int:
    parser: Any = _RESP3Parser(_READ)  # type: ignore[no-untyped-call]  # theirs
    parser._buffer = make(_Socket(stream.chunks), _READ, None)
    total = 0
    for _ in range(stream.count):
        total += note(parser.read_response(disable_decoding=True))
    return total


PLACE: Final = Place(
    "redis-py",
    written=lambda message: b"$%d\r\n" % len(message) + message + b"\r\n",
    theirs=partial(_read, SocketBuffer),
    ours=partial(_read, _Buffer),
)
