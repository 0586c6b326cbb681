"""aiohttp: lines and bodies out of a StreamReader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final, cast

from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream, driven

__all__ = ["PLACE"]

_LIMIT: Final = 1 << 20


class _Protocol:
    """A connection that is there, and never asked to pause."""

    connected = True

    def pause_reading(self) -> None:
        """The stream is longer than the limit: the chunks are there already."""

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002  # theirs
        """Nothing was paused."""


class _Reader(StreamReader):
    """Holds what came in a buffer of ours; it is asked whether it is empty, and given chunks, as the deque is."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._data = CompositeBuffer()
        self._buffer = cast("Any", self._data)

    async def readuntil(self, separator: bytes = b"\n", *, max_size: int | None = None) -> bytes:
        limit = max_size or self._high_water
        while (line := self._data.take_until(separator, limit=limit, keepends=True)) is None:
            await self._wait("readuntil")
        return self._went(line.tobytes())

    def _read_nowait(self, n: int) -> bytes:
        self._timer.assert_timeout()
        return self._went((self._data.take_all() if n == -1 else self._data.take_at_most(n)).tobytes())

    def _went(self, data: bytes) -> bytes:
        self._size -= len(data)
        self._cursor += len(data)
        if self._size < self._low_water:
            self._protocol.resume_reading()
        return data


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return a loop for futures to belong to; it never runs."""
    return asyncio.new_event_loop()


def _read(make: Callable[..., StreamReader], stream: Stream, note: Note) -> int:
    reader = make(cast("BaseProtocol", _Protocol()), _LIMIT, loop=_loop())
    coming = iter(stream.chunks)
    return driven(_read_all(reader, stream.count, note), lambda: reader.feed_data(next(coming)))


async def _read_all(reader: StreamReader, count: int, note: Note) -> int:
    total = 0
    for _ in range(count):
        line = await reader.readuntil(b"\r\n")
        total += note(await reader.readexactly(int(line)))
    return total


PLACE: Final = Place(
    "aiohttp",
    written=lambda message: b"%d\r\n" % len(message) + message,
    theirs=partial(_read, StreamReader),
    ours=partial(_read, _Reader),
)
