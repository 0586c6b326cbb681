"""redis-py: bulk strings through the RESP3 parser, out of a socket that has the next chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import redis
from redis._parsers.resp3 import _RESP3Parser
from redis._parsers.socket import SocketBuffer

from bytebufs import CompositeBuffer, Underrun

from ._place import Note, Place, Stream

__all__ = ["PLACE"]

_READ: Final = 64 << 10
_LONGEST: Final = 1 << 16


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
        self._reader = self._data.reader()

    def _receive(self) -> None:
        data = self._sock.recv(self._read_size)
        if not data:
            raise redis.ConnectionError("Connection closed by server.")
        self._data.append(data)

    def read(self, length: int, timeout: object = None) -> bytes:
        reader = self._reader
        while reader.remaining < length + 2:
            self._receive()
        data = reader.take_bytes(length)
        reader.skip(2)
        return data

    def readline(self, timeout: object = None) -> bytes:
        while True:
            try:
                return self._reader.until(b"\r\n", limit=_LONGEST).tobytes()
            except Underrun:
                self._receive()

    def get_pos(self) -> int:
        return self._reader.position

    def rewind(self, pos: int) -> None:
        self._reader.seek(pos)

    def purge(self) -> None:
        self._data.skip(self._reader.position)
        self._reader = self._data.reader()


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
