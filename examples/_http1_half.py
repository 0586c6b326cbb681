"""HTTP/1.x messages out of one direction of a connection, incrementally and sans I/O (RFC 9112).

A parser is a program, written as a generator, that reads from a CompositeBuffer as if all bytes were there. Where
they are not it yields, and the next `feed` goes on from there. So the messages do not depend on how the input was
cut, and a body is made of slices of whatever was fed.

What bytes that are missing or wrong do to the messages:

1. A gap inside a body of known length, or inside the data of one chunk, costs that message its bytes and nothing else.
2. A gap anywhere else takes with it where the message ends. Parsing goes on right behind a gap, this one or a later
   one, if a start line stands there; what lies between belongs to no message.
3. Bytes that no rule allows leave no way to tell where the next message begins: one error, and the rest of that
   half-stream is not parsed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, SliceBuffer

from ._http1_syntax import CHUNKED, UNTIL_CLOSE, Field, Framing, add_field, chunk_size
from ._tcp import Ending

__all__ = ["HalfParser", "Kind", "Message", "Program"]

MAX_HEAD: Final = 65_536
"""Bytes of a start line and its fields, or of trailers. Apache allows 8 KiB a line, h11 16 KiB in all, Go 1 MiB."""
MAX_LINES: Final = 256
"""Field lines of a head or of trailers. Apache's LimitRequestFields is 100."""
MAX_CHUNK_LINE: Final = 4096
"""Bytes of a chunk's first line, extensions included, as in Go's net/http."""

_T = TypeVar("_T")
Program: TypeAlias = Generator[None, None, _T]
"""What yields where it needs more input, and returns a T in the end."""

Kind: TypeAlias = Literal["request", "response"]


class _Lost(Exception):
    """``nbytes`` of the stream are missing here."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


class _Ended(Exception):
    """The stream ends here."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


@dataclass(slots=True, eq=False)
class Message:
    """A request or a response, whole or not. Head and body are slices of what was fed."""

    kind: Kind
    method: str | None = None
    status: int | None = None
    target: str | None = None
    """Of a response: the target of its request, if that is known."""
    version: str = ""
    headers: list[Field] = field(default_factory=list)
    trailers: list[Field] = field(default_factory=list)
    head: CompositeBuffer = field(default_factory=CompositeBuffer)
    body: CompositeBuffer = field(default_factory=CompositeBuffer)
    """Without the framing of chunks; a content coding is left as it is."""
    has_head: bool = False
    """Whether the head is all there and right."""
    answers: int | None = None
    """Of a response: which request it answers, if that is known; -1 is the last one before the capture."""
    missing: int = 0
    """Bytes of the body that the capture does not hold."""
    hole: int | None = None
    """The offset in the body where the first of them is missing."""
    error: str | None = None
    copied: int = 0
    """Payload bytes copied to put it together without having been asked for."""

    @property
    def complete(self) -> bool:
        """Whether all of it is there, and right."""
        return self.error is None

    def lose(self, nbytes: int) -> None:
        """Note that bytes are missing where the body ends now."""
        if self.hole is None:
            self.hole = len(self.body)
        self.missing += nbytes

    def where(self) -> str:
        """Say how far the message has come."""
        if self.has_head:
            return f"at byte {len(self.body) + self.missing} of the body"
        return "inside the head" if self.head else f"where a {self.kind} should begin"

    def finish(self, reason: str | None) -> None:
        """Say what is wrong with it: `reason`, and the holes in the body."""
        holes = None if self.hole is None else f"{self.missing} bytes missing from byte {self.hole} of the body on"
        self.error = "; ".join(filter(None, [holes, reason])) or None


class HalfParser(ABC):
    """What the two directions have in common."""

    kind: Kind

    def __init__(self, *, mid_stream: bool = False) -> None:
        """Begin at the front of a half-stream, or, if `mid_stream`, where the capture happened to begin."""
        self.messages: list[Message] = []
        self._in = CompositeBuffer()
        self._events: deque[SliceBuffer | _Lost | _Ended] = deque()
        self._counting = True  # whether no message has been missed so far
        self._program = self._run(mid_stream=mid_stream)

    def feed(self, part: SliceBuffer) -> None:
        """Take in the next bytes. Complexity: linear in all bytes fed. Copies: nothing but the text of heads."""
        self._put(part)

    def gap(self, nbytes: int) -> None:
        """Take in that the next `nbytes` bytes are missing."""
        self._put(_Lost(nbytes))

    def end(self, ending: Ending) -> None:
        """Take in that nothing follows, and why."""
        self._put(_Ended(ending))

    def _put(self, event: SliceBuffer | _Lost | _Ended) -> None:
        self._events.append(event)
        self._go_on()

    def _go_on(self) -> None:
        next(self._program, None)

    # -- one message after another

    def _run(self, *, mid_stream: bool) -> Program[None]:
        framed = True
        if mid_stream:
            framed = yield from self._join()
        while framed:
            framed = yield from self._next(Message(self.kind))
        while True:
            self._events.clear()
            self._in.clear()
            yield

    def _next(self, message: Message) -> Program[bool]:
        """Read a message. False: what follows is not parsed."""
        try:
            yield from self._read(message)
        except _Lost as lost:
            self._leave_partial_line(message)
            self._finish(message, f"{lost.nbytes} bytes missing {message.where()}")
            return (yield from self._resynchronise())
        except _Ended as end:
            self._leave_partial_line(message)
            if message.head:
                self._finish(message, f"{end.ending.value} {message.where()}")
            return False
        except FrameError as error:
            self._finish(message, error.reason)
            return False
        self._finish(message, None)
        return (yield from self._follow(message))

    def _leave_partial_line(self, message: Message) -> None:
        rest = self._in.take_all()
        if not message.has_head:
            message.head.append(rest)

    def _finish(self, message: Message, reason: str | None) -> None:
        message.finish(reason)
        self.messages.append(message)

    def _join(self) -> Program[bool]:
        """Begin anywhere: with a message if a start line stands here, else with a message whose front is unseen."""
        if (yield from self._at_start_line()):
            return True
        if self._in or not isinstance(self._events[0], _Ended):
            self._finish(Message(self.kind), "the capture begins inside it")
        return (yield from self._resynchronise())

    def _resynchronise(self) -> Program[bool]:
        """Go on where a start line stands: here, or behind a later gap. False: the stream ended before."""
        self._counting = False
        while not (yield from self._at_start_line()):
            try:
                while True:
                    self._in.clear()
                    yield from self._more()
            except _Lost:
                pass
            except _Ended:
                return False
        return True

    def _at_start_line(self) -> Program[bool]:
        """Say whether a start line comes next. Consumes nothing."""
        looked = 0
        while (end := self._in.find(b"\n", looked, MAX_HEAD)) < 0:
            looked = len(self._in)
            if looked >= MAX_HEAD:
                return False
            try:
                yield from self._more()
            except (_Lost, _Ended) as interruption:
                self._events.appendleft(interruption)
                return False
        return self._is_start_line(_text(self._in[:end]))

    # -- one message

    def _read(self, message: Message) -> Program[None]:
        yield from self._read_head(message)
        framing = self._framing(message)
        message.has_head = True
        if framing == CHUNKED:
            yield from self._read_chunks(message)
        elif framing == UNTIL_CLOSE:
            yield from self._read_until_close(message)
        else:
            yield from self._read_counted(message, framing)

    def _read_head(self, message: Message) -> Program[None]:
        line = yield from self._field_line(message.head)
        while not line and self.kind == "request":  # a server ignores empty lines there (RFC 9112, section 2.2)
            message.head.clear()
            line = yield from self._field_line(message.head)
        self._start(message, line)
        yield from self._read_fields(message.headers, message.head)

    def _read_fields(self, fields: list[Field], block: CompositeBuffer) -> Program[None]:
        for _ in range(MAX_LINES + 1):  # and the empty one
            line = yield from self._field_line(block)
            if not line:
                return
            add_field(fields, line)
        raise FrameError(f"more than {MAX_LINES} field lines")

    def _field_line(self, block: CompositeBuffer) -> Program[str]:
        """Move a line of a head or of trailers to `block`, and return its text."""
        # LF alone also ends a line (RFC 9112, section 2.2).
        line = yield from self._take_until(
            b"\n", MAX_HEAD - len(block), f"head or trailers of more than {MAX_HEAD} bytes"
        )
        block.append(line)
        return _text(line)

    def _read_counted(self, message: Message, nbytes: int) -> Program[None]:
        """Move the next `nbytes` bytes to the body, and step over gaps that lie within them."""
        while nbytes:
            part = self._in.take_at_most(nbytes)
            message.body.append(part)
            nbytes -= len(part)
            if nbytes:
                try:
                    yield from self._more()
                except _Lost as lost:
                    inside = min(lost.nbytes, nbytes)
                    message.lose(inside)
                    nbytes -= inside
                    if inside < lost.nbytes:
                        self._events.appendleft(_Lost(lost.nbytes - inside))

    def _read_until_close(self, message: Message) -> Program[None]:
        while True:
            message.body.append(self._in.take_all())
            try:
                yield from self._more()
            except _Lost as lost:
                message.lose(lost.nbytes)
            except _Ended as end:
                if end.ending is not Ending.CLOSED:
                    raise
                self._events.appendleft(end)
                return

    def _read_chunks(self, message: Message) -> Program[None]:
        """Read a chunked body: each chunk's data becomes a part or goes on in the last (RFC 9112, section 7.1)."""
        while size := (yield from self._read_chunk_size()):
            yield from self._read_counted(message, size)
            while len(self._in) < 2:
                yield from self._more()
            if self._in.take(2) != b"\r\n":
                raise FrameError("a chunk longer than its size")
        yield from self._read_fields(message.trailers, CompositeBuffer())

    def _read_chunk_size(self) -> Program[int]:
        # In the framing of chunks CR LF alone ends a line: readers who differ in that see different bodies.
        line = yield from self._take_until(b"\r\n", MAX_CHUNK_LINE, f"a chunk size in more than {MAX_CHUNK_LINE} bytes")
        return chunk_size(_text(line))

    # -- input

    def _take_until(self, end: bytes, limit: int, otherwise: str) -> Program[SliceBuffer]:
        """Take a line with its end. Raises FrameError, which says `otherwise`, if it has more than `limit` bytes."""
        try:
            while (line := self._in.take_until(end, limit=limit, keepends=True)) is None:
                yield from self._more()
        except LimitExceeded:
            raise FrameError(otherwise) from None
        return line

    def _more(self) -> Program[None]:
        """Wait until there is more in `_in`. Raises _Lost or _Ended if that is what comes next."""
        while not self._events:
            yield
        event = self._events.popleft()
        if isinstance(event, Exception):
            raise event
        self._in.append(event)

    # -- what the two directions differ in

    @abstractmethod
    def _is_start_line(self, line: str) -> bool: ...

    @abstractmethod
    def _start(self, message: Message, line: str) -> None:
        """Read the start line. Raises FrameError."""

    @abstractmethod
    def _framing(self, message: Message) -> Framing:
        """Tell from the head how the body is framed. Raises FrameError."""

    @abstractmethod
    def _follow(self, message: Message) -> Program[bool]:
        """Do what a complete message asks for. False: what follows on the connection is not HTTP/1."""


def _text(line: SliceBuffer) -> str:
    return line.decode("latin-1").removesuffix("\n").removesuffix("\r")
