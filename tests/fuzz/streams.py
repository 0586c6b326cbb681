"""Inboxes and outboxes: whatever a source or a sink does, no byte is lost, doubled or moved, and limits hold."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, final

from bytebufs import (
    BrokenSink,
    BrokenSource,
    ClosedError,
    CompositeBuffer,
    Inbox,
    LimitExceeded,
    Outbox,
    Pool,
    SliceBuffer,
    Underrun,
)

from .inputs import Program, as_part

_BLOCK: Final = 256
_LOOP: Final = bytes(range(251))
"""What streams consist of, over and over: of a length that no block is a multiple of."""
_MOST_SLICES: Final = 8


def _content(start: int, size: int) -> bytes:
    """Return so many bytes of a stream, from a place on."""
    at = start % len(_LOOP)
    return (_LOOP * ((at + size) // len(_LOOP) + 1))[at : at + size]


@final
class _Wire:
    """A source: it gives bytes of a stream, or does what else an input says."""

    def __init__(self, program: Program) -> None:
        self.sent = 0
        self._program = program

    def recv_into(self, view: memoryview) -> int | None:
        """Give some bytes, none, or an error."""
        kind, size = self._program.below(16), self._program.byte()
        if kind == 0:
            return None
        if kind == 1:
            raise BlockingIOError(errno.EAGAIN, "not now")
        if kind == 2:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if kind == 3:
            return 0
        if kind == 4 and size > 250:
            raise ValueError("from within")
        if kind == 5 and size > 250:
            return len(view) + 1
        size = min(size, len(view))
        view[:size] = _content(self.sent, size)
        self.sent += size
        return size


@final
class _Receiving:
    """An inbox, how far its stream has come, how far it was taken, and what of it is kept."""

    def __init__(self, program: Program, pool: Pool, limit: int) -> None:
        self.program = program
        self.limit = limit
        self.inbox = Inbox(pool, limit=limit)
        self.wire = _Wire(program)
        self.taken = 0
        self.kept: list[tuple[SliceBuffer, int]] = []

    def receive(self) -> None:
        """Receive once."""
        before = self.wire.sent
        try:
            count = self.inbox.receive(self.wire)
        except (BlockingIOError, ConnectionResetError, LimitExceeded):
            count = 0
        except (ValueError, BrokenSource):
            self.wire.sent = self.taken + len(self.inbox.buffer)  # what came of a broken read is in nobody's buffer
            return
        assert count == self.wire.sent - before

    def fill(self) -> None:
        """Write to the room oneself."""
        size = self.program.byte()
        try:
            room = self.inbox.room()
        except LimitExceeded:
            assert len(self.inbox.buffer) >= self.limit
            return
        except BrokenSource:
            return
        assert 0 < len(room) <= self.limit - len(self.inbox.buffer)
        size = min(size, len(room))
        room[:size] = _content(self.wire.sent, size)
        self.inbox.filled(size)
        self.wire.sent += size

    def take(self) -> None:
        """Take what has come, or some of it, and keep it or not."""
        kind, size = self.program.byte(), self.program.byte()
        buffer = self.inbox.buffer
        try:
            taken = buffer.take_at_most(size) if kind & 1 else buffer.take(size)
        except Underrun:
            assert size > len(buffer)
            return
        if kind & 2:
            self.kept.append((taken, self.taken))
            del self.kept[:-_MOST_SLICES]
        self.taken += len(taken)

    def forget(self) -> None:
        """Drop what was kept, and take no memory while nothing comes."""
        if self.program.below(2):
            self.kept.clear()
        self.inbox.rest()

    def compact(self) -> None:
        """Copy what waits, so that it keeps no block."""
        self.inbox.buffer.compact()

    def check(self) -> None:
        """See that each byte is where it should be, and that no more waits than may."""
        buffer = self.inbox.buffer
        buffer._check()
        assert len(buffer) == self.wire.sent - self.taken
        assert len(buffer) <= self.limit
        assert buffer.tobytes() == _content(self.taken, len(buffer))
        for taken, start in self.kept:
            assert taken.tobytes() == _content(start, len(taken)), "what was taken has changed"


def inboxes(data: bytes) -> None:
    """Receive as an input says, into blocks so small that they are lent again and again."""
    program = Program(data)
    pool = Pool(_BLOCK)
    limits = program.byte()
    both = [_Receiving(program, pool, limit) for limit in (limits % 16 * 40 + 1, limits // 16 * 40 + 1)]
    while program.has_more:
        code = program.byte()
        one = both[code & 1]
        step = _STEPS[code // 2 % len(_STEPS)]
        step(one)
        for each in both:
            each.check()


_STEPS: Final = (
    _Receiving.receive, _Receiving.receive, _Receiving.receive, _Receiving.fill, _Receiving.take, _Receiving.take,
    _Receiving.forget, _Receiving.compact,
)  # fmt: skip


@final
class _Sink:
    """A connection: it takes some bytes, or does what else an input says."""

    def __init__(self, program: Program) -> None:
        self.got = bytearray()
        self._program = program

    def send(self, view: memoryview) -> int | None:
        """Take some, none or all, or fail."""
        kind, size = self._program.below(16), self._program.byte()
        if kind == 0:
            raise BlockingIOError(errno.EAGAIN, "not now")
        if kind == 1:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        if kind == 2:
            size = len(view)
        taken = bytes(view[:size])
        self.got += taken
        return None if kind == 2 else len(taken)


@final
class _Sending:
    """An outbox, what was put in, and who was told of what."""

    def __init__(self, program: Program) -> None:
        high = program.byte()
        self.program = program
        self.sink = _Sink(program)
        self.put_in = b""
        self.told: list[int] = []
        self.wanted: list[int] = []
        self.pauses: list[bool] = []
        self.outbox = Outbox(
            high, high // 2, on_pause=lambda: self.pauses.append(True), on_resume=lambda: self.pauses.append(False)
        )

    def put(self) -> None:
        """Put in a part, of bytes that stay as they are."""
        kind = self.program.byte()
        piece = _content(len(self.put_in), self.program.byte())
        self.outbox.put(as_part(piece, kind & 3), on_sent=self._telling() if kind & 4 else None)
        self.put_in += piece

    def put_many(self) -> None:
        """Put in many tiny parts."""
        for _ in range(self.program.below(100)):
            piece = _content(len(self.put_in), 1)
            self.outbox.put(piece)
            self.put_in += piece

    def put_composite(self) -> None:
        """Put in a composite, and change it afterwards: what was put in stays."""
        size = self.program.byte()
        piece = _content(len(self.put_in), size)
        buffer = CompositeBuffer([piece[: size // 3], bytearray(piece[size // 3 :])])
        self.outbox.put(buffer)
        buffer.append(b"more")
        buffer.skip(1)
        self.put_in += piece

    def _telling(self) -> Callable[[], None]:
        number = len(self.wanted)
        self.wanted.append(number)
        return lambda: self._tell(number)

    def _tell(self, number: int) -> None:
        self.told.append(number)
        if self.program.below(8) == 1:
            self.put()

    def flush(self) -> None:
        """Send what the sink takes."""
        before = len(self.sink.got)
        try:
            sent = self.outbox.flush(self.sink)
        except (BlockingIOError, ConnectionResetError) as error:
            sent = error.bytes_flushed  # type: ignore[union-attr]  # what flush adds
        assert sent == len(self.sink.got) - before
        if "broken" in repr(self.outbox):
            assert not self.outbox.paused
            self.outbox.put(b"x")  # raises BrokenSink
            raise AssertionError("a broken outbox goes on")

    def check(self) -> None:
        """See that what has gone and what waits is what was put in, in its order."""
        got = self.sink.got
        assert self.put_in.startswith(got), "not what was put in"
        assert self.outbox.pending == len(self.put_in) - len(got)
        self.outbox._queue._check()
        assert self.told == self.wanted[: len(self.told)], "told out of order"
        if not self.outbox.pending:
            assert not self.outbox.paused
        assert self.pauses == [number % 2 == 0 for number in range(len(self.pauses))]
        assert self.outbox.paused == bool(self.pauses and self.pauses[-1])


def outboxes(data: bytes) -> None:
    """Put in and send as an input says; in the end all of it goes, and everybody is told."""
    program = Program(data)
    sending = _Sending(program)
    while program.has_more:
        code = program.byte()
        try:
            _SENDS[code % len(_SENDS)](sending)
        except BrokenSink:
            return
        sending.check()
    try:
        _send_all(sending)
    except BrokenSink:
        return
    sending.outbox.close()
    try:
        sending.outbox.put(b"x")
    except ClosedError:
        return
    raise AssertionError("an outbox went on after its end")


@final
class _Open:
    """A connection that takes all."""

    def __init__(self) -> None:
        self.got = bytearray()

    def send(self, view: memoryview) -> None:
        """Take all."""
        self.got += view


def _send_all(sending: _Sending) -> None:
    sink = _Open()
    while sending.outbox.flush(sink):
        pass  # the last call sends nothing: by that those are told whose parts were empty
    assert sending.sink.got + sink.got == sending.put_in
    assert sending.told == sending.wanted


_SENDS: Final = (
    _Sending.put, _Sending.put, _Sending.put_many, _Sending.put_composite, _Sending.flush, _Sending.flush,
    _Sending.flush,
)  # fmt: skip
