"""h2: DATA frames, put together for hyperframe to parse."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from h2.frame_buffer import FrameBuffer
from hyperframe.frame import DataFrame, Frame

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream

__all__ = ["PLACE"]


class _Buffer(FrameBuffer):
    """Holds what came in a buffer of ours; hyperframe copies what it keeps of a frame."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = CompositeBuffer()

    def add_data(self, data: bytes) -> None:  # type: ignore[override]  # nothing but bytes comes here
        self._buffer.append(data)

    def __next__(self) -> Frame:
        buffer = self._buffer
        if len(buffer) < 9:
            raise StopIteration
        frame, length = Frame.parse_frame_header(memoryview(buffer[:9].tobytes()))
        if len(buffer) < length + 9:
            raise StopIteration
        self._validate_frame_length(length)
        buffer.skip(9)
        frame.parse_body(buffer.take(length).contiguous())
        new_frame = self._update_header_buffer(frame)
        return new_frame if new_frame is not None else self.__next__()


def _read(make: Callable[[], FrameBuffer], stream: Stream, note: Note) -> int:
    buffer = make()
    buffer.max_frame_size = 1 << 24
    total = 0
    for chunk in stream.chunks:
        buffer.add_data(chunk)
        for frame in buffer:
            assert isinstance(frame, DataFrame)
            total += note(frame.data)
    return total


def _written(message: bytes) -> bytes:
    return len(message).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + message


PLACE: Final = Place("h2", _written, theirs=partial(_read, FrameBuffer), ours=partial(_read, _Buffer))
