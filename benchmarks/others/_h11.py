"""h11: requests with a body, through its own readers of heads and bodies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import h11
from h11._readers import ContentLengthReader, maybe_read_from_IDLE_client
from h11._receivebuffer import ReceiveBuffer

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream

__all__ = ["PLACE"]

_HEAD: Final = b"POST /a/path HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n"
_MOST: Final = 16 << 10
"""What h11 itself allows a head to have."""


class _Buffer:
    """Does what a ReceiveBuffer does."""

    def __init__(self) -> None:
        self._data = CompositeBuffer()
        self._searched = 0

    def __iadd__(self, data: bytes) -> _Buffer:
        self._data.append(data)
        return self

    def __len__(self) -> int:
        return len(self._data)

    def maybe_extract_at_most(self, count: int) -> bytes | None:
        if not self._data:
            return None
        return self._data.take_at_most(count).tobytes()

    def maybe_extract_lines(self) -> list[bytes] | None:
        data = self._data
        if data.startswith((b"\n", b"\r\n")):
            data.take_until(b"\n", limit=1)
            return []
        end = data.find(b"\n\r\n", self._searched) + 3
        other = data.find(b"\n\n", self._searched, end if end > 2 else None) + 2
        if other > 1:
            end = other
        elif end < 3:
            self._searched = max(0, len(data) - 2)
            return None
        self._searched = 0
        lines = data.take(end).tobytes().split(b"\n")
        del lines[-2:]
        return [line.removesuffix(b"\r") for line in lines]

    def is_next_line_obviously_invalid_request_line(self) -> bool:
        return bool(self._data) and self._data[0] < 0x21


def _read(make: Callable[[], Any], stream: Stream, note: Note) -> int:
    buffer = make()
    body: ContentLengthReader | None = None
    total = 0
    for chunk in stream.chunks:
        buffer += chunk
        while True:
            if body is None:
                request = maybe_read_from_IDLE_client(buffer)
                if request is None:
                    break
                body = ContentLengthReader(int(dict(request.headers)[b"content-length"]))
            event = body(buffer)
            if event is None:
                break
            if isinstance(event, h11.Data):
                total += note(event.data)
            else:
                body = None
    return total


PLACE: Final = Place(
    "h11",
    written=lambda message: _HEAD % len(message) + message,
    theirs=partial(_read, ReceiveBuffer),
    ours=partial(_read, _Buffer),
)
