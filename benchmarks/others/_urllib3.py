"""urllib3: a body that is read in pieces of another size than it comes in, as after a decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, cast

from urllib3.response import BytesQueueBuffer, HTTPResponse

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream

__all__ = ["PLACE"]


class _Buffer:
    """Does what a BytesQueueBuffer does."""

    def __init__(self) -> None:
        self._data = CompositeBuffer()

    def __len__(self) -> int:
        return len(self._data)

    def put(self, data: bytes) -> None:
        self._data.append(data)

    def get(self, n: int) -> bytes:
        if not self._data:
            raise RuntimeError("buffer is empty")
        return self._data.take_at_most(n).tobytes()

    def get_all(self) -> bytes:
        return self._data.take_all().tobytes()


class _Body:
    """A file that gives the next chunk, whatever it is asked for: so does a decoder."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(chunks)
        self.closed = False

    def read(self, amt: int | None = None) -> bytes:
        return next(self._chunks, b"")

    def close(self) -> None:
        self.closed = True


def _read(make: Callable[[], Any], stream: Stream, note: Note) -> int:
    response = HTTPResponse(body=cast("Any", _Body(stream.chunks)), preload_content=False)
    response._decoded_buffer = make()
    total = 0
    for _ in range(stream.count):
        total += note(response.read(stream.size))
    return total


PLACE: Final = Place(
    "urllib3",
    written=lambda message: message,
    theirs=partial(_read, BytesQueueBuffer),
    ours=partial(_read, _Buffer),
)
