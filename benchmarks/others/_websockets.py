"""websockets: frames from a server, through a Protocol without I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.streams import StreamReader

from bytebufs import CompositeBuffer

from ._place import Note, Place, Stream

__all__ = ["PLACE"]


class _Reader(StreamReader):
    """Does what a StreamReader does, as far as frames need it."""

    def __init__(self) -> None:
        super().__init__()
        self._data = CompositeBuffer()

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        data = self._data
        while len(data) < n:
            if self.eof:
                raise EOFError(f"stream ends after {len(data)} bytes, expected {n} bytes")
            yield
        return data.take_bytes(n)  # type: ignore[return-value]  # bytes do

    def at_eof(self) -> Generator[None, None, bool]:
        while not self._data:
            if self.eof:
                return True
            yield
        return False

    def feed_data(self, data: bytes | bytearray) -> None:
        if self.eof:
            raise EOFError("stream ended")
        self._data.append(data)


def _read(make: Callable[[], StreamReader], stream: Stream, note: Note) -> int:
    protocol = Protocol(CLIENT, state=OPEN, max_size=None)
    protocol.reader = make()
    protocol.parser = protocol.parse()
    next(protocol.parser)
    total = 0
    for chunk in stream.chunks:
        protocol.receive_data(chunk)
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            total += note(frame.data)
    return total


PLACE: Final = Place(
    "websockets",
    written=lambda message: Frame(Opcode.BINARY, message).serialize(mask=False),
    theirs=partial(_read, StreamReader),
    ours=partial(_read, _Reader),
)
