"""A body, piece by piece: slices of the receive buffer, without the framing, and with that of the other side.

A body that ends too early is never finished on the other side: the last chunk is not sent, or fewer bytes than were
announced, and who waits for it sees the connection close. So nothing that was cut looks whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, SliceBuffer

from ..http.syntax import CHUNKED, UNTIL_CLOSE, Field, Framing, chunk_size
from ..web.refused import Refused
from .fields import end_to_end, lines_of
from .heads import read_fields
from .limits import Limits
from .waiting import Side, nothing

__all__ = ["Body", "relay"]

_CRLF: Final = b"\r\n"


@final
class Body:
    """What is still to come of a body."""

    def __init__(
        self, side: Side, framing: Framing, limits: Limits, *, most: int = 0, moved: Callable[[], object] = nothing
    ) -> None:
        self.trailers: list[Field] = []
        """Those behind the last chunk, once that has come."""
        self.nbytes = 0
        """Bytes that have come."""
        self._side = side
        self._framing = framing
        self._limits = limits
        self._most = most
        self._moved = moved
        self._left = max(framing, 0)
        self._is_in_chunk = False

    async def next(self) -> SliceBuffer | None:
        """Take what is there, once something is. None: this was all.

        Raises Failed if the side ends too early, is late, or sends what cannot be read; Refused for more than ``most``.
        """
        buffer = self._side.stream.buffer
        if self._framing == UNTIL_CLOSE:
            if not buffer and not await self._more():
                return None
            part = buffer.take_all()
        else:
            if not self._left and (self._framing != CHUNKED or not await self._begin_chunk()):
                return None
            if not buffer and not await self._more():
                raise self._side.cut_off(f"{self._left} bytes before the end of a body")
            part = buffer.take_at_most(self._left)
            self._left -= len(part)
        self.nbytes += len(part)
        return part

    async def _more(self) -> bool:
        return await self._side.more(moved=self._moved)

    async def _begin_chunk(self) -> bool:
        """Go on to the next chunk. False: there is none (RFC 9112, section 7.1)."""
        if self._is_in_chunk and await self._line(len(_CRLF)):
            raise self._side.unreadable("a chunk longer than its size")
        line = await self._line(self._limits.chunk_line)
        try:
            size = chunk_size(line)
        except FrameError as error:
            raise self._side.unreadable(error.reason) from None
        if 0 < self._most < self.nbytes + size:
            raise Refused(413, why=f"more than {self._most} bytes")
        self._left = size
        self._is_in_chunk = size > 0
        if not size:
            await self._end()
        return self._is_in_chunk

    async def _end(self) -> None:
        """Take the trailers: fields behind the last chunk."""
        lines: list[str] = []
        left = self._limits.head
        while line := await self._line(max(left, 0)):
            lines.append(line)
            left -= len(line) + len(_CRLF)
        try:
            self.trailers = read_fields("\r\n".join(lines), self._limits.fields, 400)
        except Refused as refused:
            raise self._side.unreadable(refused.why) from None

    async def _line(self, limit: int) -> str:
        """Take a line, which ends with CR LF."""
        buffer = self._side.stream.buffer
        try:
            while (line := buffer.take_until(b"\n", limit=limit, keepends=True)) is None:
                if not await self._more():
                    raise self._side.cut_off("before the last chunk")
        except LimitExceeded:
            raise self._side.unreadable("a line that is too long, between chunks") from None
        text = line.decode("latin-1")
        if not text.endswith("\r\n"):
            raise self._side.unreadable("a line that does not end with CR LF, between chunks")
        return text[:-2]


async def relay(body: Body, sink: Side, *, chunked: bool) -> None:
    """Send a body on as it comes, and wait where the other side does not keep up. Copies: nothing."""
    while (part := await body.next()) is not None:
        await sink.put(CompositeBuffer([b"%x\r\n" % len(part), part, _CRLF]) if chunked else part)
    if chunked:
        await sink.put(b"0\r\n" + lines_of(end_to_end(body.trailers, trailers=True)))
