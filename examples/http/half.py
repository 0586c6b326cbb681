"""HTTP/1.x messages out of one direction of a connection, incrementally and sans I/O (RFC 9112).

A parser is a program, written as a generator, that reads as if all bytes were there. Where they are not it yields, and
the next `feed` goes on from there. So the messages do not depend on how the input was cut, as long as none has to be
looked for, and a body is made of slices of whatever was fed.

What bytes that are missing or wrong do to the messages:

1. A gap inside a body of known length, or inside the data of one chunk, costs that message its bytes and nothing else.
2. Anywhere else a gap takes with it where the message ends, as do bytes that no rule allows, another protocol, and a
   capture that begins inside a message. Then the next message is looked for (incoming.py); what lies between belongs
   to no message, and is counted.
3. What a rule allows to refuse, but says how to read, is read, and the message has a fault.
4. Where it is not certain what a response answers, it may have been HEAD: it has no body if a status line stands there.
"""

from __future__ import annotations

from typing import Final, final

from bytebufs import CompositeBuffer, CopyAudit, FrameError, LimitExceeded, SliceBuffer, copy_audit

from .incoming import MAX_HEAD, MAX_TEXT, Ended, Incoming, Lost, Program, text_of
from .message import Kind, Message
from .partner import Partner
from .syntax import (
    CHUNKED,
    UNKNOWN,
    UNTIL_CLOSE,
    Field,
    can_begin,
    chunk_size,
    kind_of,
    read_field,
    request_line,
    shape_of,
    status_line,
)
from .tcp import Ending

__all__ = ["HalfParser"]

MAX_LINES: Final = 256
"""Field lines of a head or of trailers. Apache's LimitRequestFields is 100."""
MAX_CHUNK_LINE: Final = 4096
"""Bytes of a chunk's first line, extensions included, as in Go's net/http."""

_STATUS: Final = b"HTTP/1."
_ENDLESS: Final = 1 << 62


@final
class HalfParser:
    """The messages of one direction. Each byte that is fed is taken by one, or counted as unparsed."""

    _audit: CopyAudit
    """The one that is open while the program runs."""

    __slots__ = (
        *("_audit", "_body", "_copied", "_in", "_is_running", "_partner", "_program", "_room"),
        *("current", "fed", "kind", "missing"),
    )

    def __init__(self, partner: Partner) -> None:
        self.kind: Kind | None = None
        """Which kind of messages; None before the first."""
        self.current: Message | None = None
        """The message of which more is to come."""
        self.fed = 0
        """Bytes that were fed."""
        self.missing = 0
        """Bytes in gaps."""
        self._partner = partner
        self._in = Incoming(self._can_begin)
        self._room = 0  # bytes that may go to _body as they come
        self._body = CompositeBuffer()
        self._copied = 0  # by audits that are over, less what was charged
        self._is_running = False
        self._program = self._run()

    @property
    def unparsed(self) -> int:
        """Bytes that no message took."""
        return self._in.unparsed

    @property
    def waits(self) -> bool:
        """Whether what has come waits for the other direction to be understood."""
        return bool(self._in.events)

    @property
    def is_between(self) -> bool:
        """Whether no message has begun that has not ended."""
        return self.current is None and not self._in.data and not self._in.events

    # -- what comes

    def feed(self, part: SliceBuffer, /) -> None:
        """Take in the next bytes. Complexity: linear in all bytes fed. Copies: nothing but the text of heads."""
        size = len(part)
        self.fed += size
        room = self._room
        if size <= room:  # nearly every part: of a body that is known to go on
            self._body.append(part)
            self._room = room - size
            if size < room:
                return
        else:
            self._in.events.append(part)
        self.go_on()

    def gap(self, nbytes: int, /) -> None:
        """Take in that the next `nbytes` bytes are missing."""
        self.missing += nbytes
        self._in.events.append(Lost(nbytes))
        self.go_on()

    def end(self, ending: Ending, /) -> None:
        """Take in that nothing follows, and why."""
        self._in.events.append(Ended(ending))
        self.go_on()
        self._partner.ended(self)

    def go_on(self) -> None:
        """Read on, as far as what has come allows."""
        if self._is_running:
            return  # and looks again by itself at what it waits for
        self._is_running = True
        with copy_audit() as audit:
            self._audit = audit
            next(self._program, None)
        self._is_running = False
        self._copied += audit.hidden

    # -- one message after another

    def _run(self) -> Program[None]:
        while not self._in.events:
            yield
        going = True
        if self._partner.joins(self):
            going = yield from self._search()
        while going:
            going = yield from self._next()
        self._tell_left()
        self._in.events.clear()

    def _next(self) -> Program[bool]:
        """Read a message. False: the stream has ended."""
        message = None
        try:
            line = yield from self._in.line()
            if line is None or not self._begins(line):
                self._refuse(line or "")
                return (yield from self._search())
            message = self._begun(line)
            yield from self._read(message)
        except (Lost, Ended) as interruption:
            if message is None and self.kind is not None and (self._in.data or isinstance(interruption, Lost)):
                message = Message(self.kind)
            self._break_off(message, interruption)
            return isinstance(interruption, Lost) and (yield from self._search())
        except FrameError as error:
            assert message is not None
            self._finish(message, error.reason)
            return (yield from self._search())
        self._finish(message, None)
        while (goes_on := self._partner.goes_on(self, message)) is None:
            yield
        if goes_on:
            return True
        self._in.mark()
        return (yield from self._search())

    def _begun(self, line: str) -> Message:
        """Return a message whose start line is right, but still there."""
        self._tell_left()
        message = self.current = Message(self.kind or "request")
        if self.kind == "request":
            message.method, message.target, message.version = request_line(line)
        else:
            message.version, message.status = status_line(line)
        return message

    def _break_off(self, message: Message | None, interruption: Lost | Ended) -> None:
        """Give the line that is not whole to the message that is not, if there is one."""
        if message is None:
            self._in.leave(len(self._in.data), interruption.nbytes)
            return
        rest = self._in.data.take_all()
        if not message.has_head:
            message.head.append(rest)
        self._finish(message, f"{interruption} {message.where()}")

    def _finish(self, message: Message, reason: str | None) -> None:
        if reason is not None:
            message.faults.append(reason)
        message.copied = self._copied + self._audit.hidden
        self._copied = -self._audit.hidden
        message.is_done = True
        self.current = None
        self._partner.done(self, message)

    # -- where a message begins

    def _refuse(self, line: str) -> None:
        """Take in what stands where a message should begin: a message, if it was meant to be one."""
        if self.kind is not None and shape_of(line) == self.kind:
            self._tell_left()
            message = Message(self.kind)
            message.head.append(self._in.data.take_until(b"\n", limit=MAX_HEAD, keepends=True) or b"")
            shown = f"{line[:MAX_TEXT]!r}{'...' * (len(line) > MAX_TEXT)}"
            self._finish(message, f"not a {self.kind} line: {shown}")

    def _can_begin(self, front: str) -> bool:
        return can_begin(front, self.kind)

    def _begins(self, line: str) -> bool:
        """Whether a line begins a message of this direction."""
        kind = kind_of(line)
        if kind is not None and self.kind is None:
            self._partner.decide(self, kind)
        return kind is not None and self.kind == kind

    def _search(self) -> Program[bool]:
        """Go on where the next start line is found. False: the stream ended before."""
        self._partner.lose(self)
        return (yield from self._in.search(self._begins))

    def _tell_left(self) -> None:
        left, self._in.left = self._in.left, None
        if left is not None:
            self._partner.left(self, left._replace(text=left.text.partition("\n")[0].removesuffix("\r")))

    # -- one message

    def _read(self, message: Message) -> Program[None]:
        yield from self._read_head(message)
        message.has_head = True
        while not self._partner.headed(self, message):
            yield
        framing, fault = self._partner.framing(message)
        if framing == UNKNOWN:
            raise FrameError(fault or "its length is not known")
        if fault is not None:
            message.faults.append(fault)
        if framing and not self._partner.is_sure(message) and (yield from self._in.is_next(_STATUS)):
            return  # the request may have been HEAD: hardly any body begins like that
        if framing == CHUNKED:
            yield from self._read_chunks(message)
        elif framing == UNTIL_CLOSE:
            yield from self._read_until_close(message)
        else:
            yield from self._read_counted(message, framing)

    def _read_head(self, message: Message) -> Program[None]:
        try:
            head = self._in.data.take_until(b"\n\r\n", b"\n\n", limit=MAX_HEAD - 2, keepends=True)
        except LimitExceeded:
            head = None
        if head is None:
            yield from self._field_line(message.head)  # the start line
            yield from self._read_fields(message, message.headers, message.head)
            return
        message.head.append(head)  # nearly always all of it is there
        lines = head.decode("latin-1").split("\n")[1:-2]
        if len(lines) > MAX_LINES:
            raise FrameError(f"more than {MAX_LINES} field lines")
        found = [read_field(message.headers, line.removesuffix("\r")) for line in lines]
        message.faults += [fault for fault in found if fault is not None]

    def _read_fields(self, message: Message, fields: list[Field], block: CompositeBuffer) -> Program[None]:
        for _ in range(MAX_LINES + 1):  # and the empty one
            line = yield from self._field_line(block)
            if not line:
                return
            fault = read_field(fields, line)
            if fault is not None:
                message.faults.append(fault)
        raise FrameError(f"more than {MAX_LINES} field lines")

    def _field_line(self, block: CompositeBuffer) -> Program[str]:
        """Move a line of a head or of trailers to `block`, and return its text."""
        # LF alone also ends a line (RFC 9112, section 2.2).
        line = yield from self._in.take_until(
            b"\n", MAX_HEAD - len(block), f"head or trailers of more than {MAX_HEAD} bytes"
        )
        block.append(line)
        return text_of(line)

    def _read_counted(self, message: Message, nbytes: int) -> Program[None]:
        """Move the next `nbytes` bytes to the body, and step over gaps that lie within them."""
        while nbytes:
            part = self._in.data.take_at_most(nbytes)
            message.body.append(part)
            nbytes -= len(part)
            while nbytes and not self._in.events:
                self._body, self._room = message.body, nbytes
                yield
                nbytes, self._room = self._room, 0
            if nbytes:
                try:
                    yield from self._in.more()
                except Lost as lost:
                    inside = min(lost.nbytes, nbytes)
                    message.lose(inside)
                    nbytes -= inside
                    if inside < lost.nbytes:
                        self._in.events.appendleft(Lost(lost.nbytes - inside))

    def _read_until_close(self, message: Message) -> Program[None]:
        while True:
            message.body.append(self._in.data.take_all())
            try:
                yield from self._read_counted(message, _ENDLESS)
            except Ended as end:
                if end.ending is not Ending.CLOSED:
                    raise
                self._in.events.appendleft(end)
                return

    def _read_chunks(self, message: Message) -> Program[None]:
        """Read a chunked body: each chunk's data becomes a part or goes on in the last (RFC 9112, section 7.1)."""
        while size := (yield from self._read_chunk_size()):
            yield from self._read_counted(message, size)
            while len(self._in.data) < 2:
                yield from self._in.more()
            if self._in.data.take(2) != b"\r\n":
                raise FrameError("a chunk longer than its size")
        yield from self._read_fields(message, message.trailers, CompositeBuffer())

    def _read_chunk_size(self) -> Program[int]:
        # In the framing of chunks CR LF alone ends a line: readers who differ in that see different bodies.
        line = yield from self._in.take_until(
            b"\r\n", MAX_CHUNK_LINE, f"a chunk size in more than {MAX_CHUNK_LINE} bytes"
        )
        return chunk_size(text_of(line))
