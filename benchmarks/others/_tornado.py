"""tornado: lines and bodies out of an IOStream, whose descriptor always has the next chunk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Final

from tornado.iostream import BaseIOStream

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream

__all__ = ["PLACE"]


class _Stream(BaseIOStream):
    """A stream that is given chunks."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__(max_buffer_size=1 << 24)
        self._chunks: Iterator[bytes] = iter(chunks)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        chunk = next(self._chunks, None)
        if chunk is None:
            return None
        buf[: len(chunk)] = chunk
        return len(chunk)

    def close_fd(self) -> None:
        """There is none."""


class _OurStream(_Stream):
    """Holds what came in a buffer of ours."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        super().__init__(chunks)
        self._data = CompositeBuffer()

    def _read_to_buffer(self) -> int | None:
        memory = bytearray(self.read_chunk_size)  # new each time and copied out of, as theirs is
        came = self.read_from_fd(memory)
        if not came:
            return 0
        with memoryview(memory) as view:
            self._data.append(bytes(view[:came]))
        self._read_buffer_size += came
        return came

    def _find_read_pos(self) -> int | None:
        if self._read_bytes is not None:
            return self._read_bytes if self._read_buffer_size >= self._read_bytes else None
        assert self._read_delimiter is not None
        at = self._data.find(self._read_delimiter)
        return None if at < 0 else at + len(self._read_delimiter)

    def _consume(self, loc: int) -> bytes:
        self._read_buffer_size -= loc
        return self._data.take(loc).tobytes()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _read(make: Callable[[Sequence[bytes]], BaseIOStream], stream: Stream, note: Note) -> int:
    return _loop().run_until_complete(_read_all(make, stream, note))


async def _read_all(make: Callable[[Sequence[bytes]], BaseIOStream], stream: Stream, note: Note) -> int:
    source = make(stream.chunks)
    total = 0
    for _ in range(stream.count):
        line = await source.read_until(b"\r\n")
        total += note(await source.read_bytes(int(line)))
    return total


PLACE: Final = Place(
    "tornado",
    written=lambda message: b"%d\r\n" % len(message) + message,
    theirs=partial(_read, _Stream),
    ours=partial(_read, _OurStream),
)
