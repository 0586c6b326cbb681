"""What changes a composite, a framer, an outbox and an inbox, each beside what it does in a model of plain bytes.

For the tests that disturb a change half-way: by code of the caller's that runs inside it, by an exception at any
bytecode, by memory that is not to be had, by other threads. An ``Op`` is a real call and its model; a history of
calls is right if the model explains it with the disturbed one before, behind, or between the others, and nothing else.
"""

from __future__ import annotations

import copy
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, SupportsIndex, TypeAlias

import numpy as np

from bytebufs import (
    Busy,
    CompositeBuffer,
    Delimited,
    FixedLength,
    Framer,
    Inbox,
    LengthPrefixed,
    Lines,
    Outbox,
    Part,
    Pool,
    Reader,
    SliceBuffer,
    VarintPrefixed,
    flush,
)

State: TypeAlias = Any
"""What a model knows: the bytes of a composite or framer, ``Box`` for an outbox, ``Letters`` for an inbox. Compared by
==."""

Maker: TypeAlias = Callable[[bytes], Part]
"""Makes the owner of some bytes, in a way that a test can notice when it goes."""


class Caller:
    """How a call's arguments are written: plainly. A test derives from it, to act while they are asked for."""

    def size(self, n: int) -> SupportsIndex:
        return n

    def part(self, data: bytes) -> Part:
        return data

    def parts(self, parts: list[Part]) -> Iterable[Part]:
        return parts

    def sink(self) -> Any:
        return Sink()


class Sink:
    """Takes each piece whole, and is told of it before and behind."""

    def __init__(self, tell: Callable[[], None] = lambda: None) -> None:
        self.got = b""
        self._tell = tell

    def write(self, piece: Any) -> int:
        self._tell()
        self.got += bytes(piece)
        self._tell()
        return len(piece)


PLAIN: Final = Caller()


@dataclass(frozen=True)
class Op:
    """A call. Its model returns the state behind it and the answer, or raises what the call's error must also be."""

    name: str
    run: Callable[[Any, Caller], object]
    model: Callable[[State], tuple[State, object]]
    changes: bool = True
    consumes: bool = False


class Outcome(NamedTuple):
    """What a call came to: an answer, in plain bytes, or an exception."""

    answer: object
    error: BaseException | None = None


def plainly(answer: object) -> object:
    """Return an answer as what models answer."""
    if isinstance(answer, (CompositeBuffer, SliceBuffer, memoryview)):
        return bytes(answer)
    if isinstance(answer, list):
        return b"".join([bytes(view) for view in answer])
    return answer


def outcome(op: Op, subject: Any, caller: Caller = PLAIN) -> Outcome:
    try:
        return Outcome(plainly(op.run(subject, caller)))
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is what is judged
        return Outcome(None, error)


def could_be(op: Op, state: State, found: Outcome) -> State | None:
    """Return the state behind a call that came to this, or None if the model says otherwise."""
    try:
        after, answer = op.model(state)
    except Exception as wanted:  # noqa: BLE001  # the kinds that a model raises are those that it allows
        return state if isinstance(found.error, type(wanted)) else None
    return after if found.error is None and found.answer == answer else None


def replay(state: State, history: Iterable[tuple[Op, Outcome]]) -> State | None:
    """Return the state behind some calls in this order, or None if the model says that they came to something else."""
    for op, found in history:
        state = could_be(op, state, found)
        if state is None:
            return None
    return state


def explained(
    before: State,
    outer: tuple[Op, Outcome],
    inner: Sequence[tuple[Op, Outcome]],
    is_final: Callable[[State], bool],
    *,
    may_refuse: bool,
) -> bool:
    """Whether the inner calls, and the outer one before, between or behind them, come to this. Others did not happen.

    What changes may be refused by a RuntimeError: inside the outer call if ``may_refuse``; the outer one only if an
    inner one has changed something under it. Reading may be refused as Busy, where it comes between two stores.
    """
    done = [
        (op, found)
        for op, found in inner
        if not (may_refuse and isinstance(found.error, RuntimeError if op.changes else Busy))
    ]
    histories = [[*done[:i], outer, *done[i:]] for i in range(len(done) + 1)]
    if isinstance(outer[1].error, RuntimeError) and any(op.changes and not found.error for op, found in done):
        histories.append(done)
    return any(state is not None and is_final(state) for state in (replay(before, history) for history in histories))


# -- composites ----------------------------------------------------------------------------------------------

CONTENT: Final = b"0123456789abcdefghijklmnopqrs|uvwxyzABCDEFGHIJKLM"
PIECE: Final = b"<piece>"
LONG: Final = b"[" + bytes(range(97, 123)) * 60 + b"]"
"""More than packed values share a block for."""


def _part_of(data: bytes) -> memoryview:
    return memoryview(b"(" + data + b")")[1:-1]


def _first(n: int) -> Callable[[State], tuple[State, object]]:
    def model(state: bytes) -> tuple[bytes, bytes]:
        if n > len(state):
            raise EOFError
        return state[n:], state[:n]

    return model


def _skipped(n: int) -> Callable[[State], tuple[State, object]]:
    return lambda state: (_first(n)(state)[0], None)


def _placed(start: int, stop: int, data: bytes) -> Callable[[State], tuple[State, object]]:
    def model(state: bytes) -> tuple[bytes, None]:
        if max(start, stop) > len(state):
            raise IndexError
        return state[:start] + data + state[stop:], None

    return model


def _kept(n: int) -> Callable[[State], tuple[State, object]]:
    def model(state: bytes) -> tuple[bytes, None]:
        if n > len(state):
            raise ValueError
        return state[:n], None

    return model


def _until(sep: bytes, *, keepends: bool = False) -> Callable[[State], tuple[State, object]]:
    def model(state: bytes) -> tuple[bytes, bytes | None]:
        at = state.find(sep)
        if at < 0:
            return state, None
        return state[at + len(sep) :], state[: at + len(sep) * keepends]

    return model


def _skipped_until(sep: bytes) -> Callable[[State], tuple[State, object]]:
    """Skip a separator that nothing at the end begins."""

    def model(state: bytes) -> tuple[bytes, bool]:
        at = state.find(sep)
        return (b"", False) if at < 0 else (state[at + len(sep) :], True)

    return model


def _added(data: bytes) -> Callable[[State], tuple[State, object]]:
    return lambda state: (state + data, None)


def _added_left(data: bytes) -> Callable[[State], tuple[State, object]]:
    return lambda state: (data + state, None)


def _iadd(b: CompositeBuffer, c: Caller) -> None:
    b += c.part(PIECE)


def _consolidated(b: CompositeBuffer, c: Caller) -> None:
    if len(b) < 40:
        raise IndexError
    b.consolidate(c.size(7), c.size(40))


def _range_consolidated(state: bytes) -> tuple[bytes, None]:
    if len(state) < 40:
        raise IndexError
    return state, None


def _twelve(reader: Reader) -> SliceBuffer:
    return reader.take(12)


def _too_many(reader: Reader) -> SliceBuffer:
    return reader.take(9999)


def _parsed(n: int) -> Callable[[State], tuple[State, object]]:
    return lambda state: (state[n:], state[:n]) if n <= len(state) else (state, None)


def _nothing(call: Callable[[CompositeBuffer, Caller], object]) -> Callable[[Any, Caller], object]:
    """Leave an answer out that depends on the layout."""

    def run(b: CompositeBuffer, c: Caller) -> None:
        call(b, c)

    return run


def _flushed(b: CompositeBuffer, c: Caller) -> bytes:
    """Send it, and return what came. An error has sent the beginning."""
    sink, before = c.sink(), bytes(b)
    try:
        assert flush(b, sink) == len(sink.got)
    finally:
        # What changed it may have come before the first byte went.
        assert before.startswith(sink.got) or bytes(b).startswith(sink.got), (before, sink.got)
    got: bytes = sink.got
    return got


def _ops(*ops: Op) -> dict[str, Op]:
    return {op.name: op for op in ops}


def _whole(state: State) -> tuple[State, object]:
    return state, state


def _same(state: State) -> tuple[State, object]:
    return state, None


_THREE: Final[list[Part]] = [b"<one>", _part_of(b"<two>"), b"<three>"]

CHANGES: Final = _ops(
    Op("append", lambda b, c: b.append(c.part(PIECE)), _added(PIECE)),
    Op("append a bytearray", lambda b, c: b.append(bytearray(PIECE)), _added(PIECE)),
    Op("append a view", lambda b, c: b.append(_part_of(PIECE)), _added(PIECE)),
    Op("append a buffer", lambda b, c: b.append(CompositeBuffer(_THREE)), _added(b"<one><two><three>")),
    Op("append itself", lambda b, c: b.append(b), lambda state: (state + state, None)),
    Op("+=", _iadd, _added(PIECE)),
    Op("appendleft", lambda b, c: b.appendleft(c.part(PIECE)), _added_left(PIECE)),
    Op("appendleft a buffer", lambda b, c: b.appendleft(CompositeBuffer(_THREE)), _added_left(b"<one><two><three>")),
    Op("extend", lambda b, c: b.extend(c.parts([c.part(PIECE), *_THREE])), _added(PIECE + b"<one><two><three>")),
    Op("insert", lambda b, c: b.insert(c.size(17), c.part(PIECE)), _placed(17, 17, PIECE)),
    Op("insert at the front", lambda b, c: b.insert(c.size(0), c.part(PIECE)), _placed(0, 0, PIECE)),
    Op("splice the front", lambda b, c: b.splice(c.size(0), c.size(9), c.part(PIECE)), _placed(0, 9, PIECE)),
    Op("splice the middle", lambda b, c: b.splice(c.size(8), c.size(33), c.part(PIECE)), _placed(8, 33, PIECE)),
    Op("splice the end", lambda b, c: b.splice(c.size(34), c.size(49), c.part(PIECE)), _placed(34, 49, PIECE)),
    Op("splice a buffer", lambda b, c: b.splice(8, 33, CompositeBuffer(_THREE)), _placed(8, 33, b"<one><two><three>")),
    Op("cut the middle", lambda b, c: b.splice(c.size(11), c.size(37)), _placed(11, 37, b"")),
    Op("pack", lambda b, c: b.pack(">HI", c.size(258), 5), _added(b"\1\2\0\0\0\5")),
    Op("pack much", lambda b, c: b.pack(f">{len(LONG)}s", LONG), _added(LONG)),
    Op("pack_varint", lambda b, c: b.pack_varint(c.size(300)), _added(b"\xac\2")),
    Op("pack_uint", lambda b, c: b.pack_uint(c.size(258), c.size(3)), _added(b"\0\1\2")),
    Op("pack_u32", lambda b, c: b.pack_u32(c.size(258)), _added(b"\0\0\1\2")),
    Op("pack_i16_le", lambda b, c: b.pack_i16_le(c.size(258)), _added(b"\2\1")),
    Op("pack_f32", lambda b, c: b.pack_f32(c.size(2)), _added(b"\x40\0\0\0")),
    Op("pack_text", lambda b, c: b.pack_text("h\u00e9"), _added(b"h\xc3\xa9")),
    Op("insert_varint", lambda b, c: b.insert_varint(c.size(9), c.size(300)), _placed(9, 9, b"\xac\2")),
    Op("reserve", lambda b, c: b.reserve(c.size(6)), lambda state: (state + bytes(6), bytes(6))),
    Op("take few", lambda b, c: b.take(c.size(2)), _first(2), consumes=True),
    Op("take five", lambda b, c: b.take(c.size(5)), _first(5), consumes=True),
    Op("take many", lambda b, c: b.take(c.size(43)), _first(43), consumes=True),
    Op("take_all", lambda b, c: b.take_all(), lambda state: (b"", state), consumes=True),
    Op("take_at_most", lambda b, c: b.take_at_most(c.size(31)), lambda s: (s[31:], s[:31]), consumes=True),
    Op("take_bytes few", lambda b, c: b.take_bytes(c.size(2)), _first(2), consumes=True),
    Op("take_bytes many", lambda b, c: b.take_bytes(c.size(43)), _first(43), consumes=True),
    Op("take_bytes all", lambda b, c: b.take_bytes(c.size(49)), _first(49), consumes=True),
    Op("skip few", lambda b, c: b.skip(c.size(3)), _skipped(3), consumes=True),
    Op("skip many", lambda b, c: b.skip(c.size(41)), _skipped(41), consumes=True),
    Op("skip all", lambda b, c: b.skip(c.size(49)), _skipped(49), consumes=True),
    Op("truncate", lambda b, c: b.truncate(c.size(13)), _kept(13)),
    Op("clear", lambda b, c: b.clear(), lambda state: (b"", None)),
    Op("take_until", lambda b, c: b.take_until(b"|", limit=c.size(9999)), _until(b"|"), consumes=True),
    Op(
        "take_until with its end",
        lambda b, c: b.take_until(c.part(b"rs|u"), limit=c.size(9999), keepends=True),
        _until(b"rs|u", keepends=True),
        consumes=True,
    ),
    Op(
        "take_until what is not there",
        lambda b, c: b.take_until(b"##", limit=c.size(9999)),
        _until(b"##"),
        changes=False,
    ),
    Op(
        "take_until one of several",
        lambda b, c: b.take_until(b"##", c.part(b"rs|u"), b"|u", limit=c.size(9999)),
        _until(b"rs|u"),
        consumes=True,
    ),
    Op("skip_until", lambda b, c: b.skip_until(c.part(b"|")), _skipped_until(b"|"), consumes=True),
    Op("skip_until what is not there", lambda b, c: b.skip_until(b"##"), _skipped_until(b"##"), consumes=True),
    Op("parse", lambda b, c: b.parse(_twelve, limit=c.size(99999)), _parsed(12), consumes=True),
    Op("parse too early", lambda b, c: b.parse(_too_many, limit=c.size(99999)), _parsed(9999)),
    Op("consolidate", lambda b, c: b.consolidate(), _same),
    Op("consolidate the middle", _consolidated, _range_consolidated),
    Op("compact", _nothing(lambda b, c: b.compact()), _same),
    Op("copy", lambda b, c: copy.copy(b), _whole, changes=False),
    Op("freeze", lambda b, c: b.freeze(), _whole, changes=False),
    Op("flush", _flushed, _whole, changes=False),
)
"""Each call that changes a composite, and some that walk all of it."""

READS: Final = _ops(
    Op("bytes", lambda b, c: bytes(b), _whole, changes=False),
    Op("views", lambda b, c: b.views(), _whole, changes=False),
    Op("len", lambda b, c: len(b), lambda state: (state, len(state)), changes=False),
    Op("find", lambda b, c: b.find(b"B"), lambda state: (state, state.find(b"B")), changes=False),
)

ACTS: Final = READS | _ops(
    Op("append", lambda b, c: b.append(b"{act}"), _added(b"{act}")),
    Op("append an array", lambda b, c: b.append(array("B", b"{act}")), _added(b"{act}")),
    Op("appendleft", lambda b, c: b.appendleft(b"{act}"), _added_left(b"{act}")),
    Op("take", lambda b, c: b.take(11), _first(11)),
    Op("take_all", lambda b, c: b.take_all(), lambda state: (b"", state)),
    Op("skip", lambda b, c: b.skip(6), _skipped(6)),
    Op("clear", lambda b, c: b.clear(), lambda state: (b"", None)),
    Op("truncate", lambda b, c: b.truncate(len(b) // 2), lambda state: (state[: len(state) // 2], None)),
    Op("splice", lambda b, c: b.splice(2, 5, b"{act}"), _placed(2, 5, b"{act}")),
    Op("consolidate", lambda b, c: b.consolidate(), _same),
    Op("compact", _nothing(lambda b, c: b.compact()), _same),
    Op("insert", lambda b, c: b.insert(4, b"{act}"), _placed(4, 4, b"{act}")),
    Op("extend", lambda b, c: b.extend([b"{a", b"ct}"]), _added(b"{act}")),
    Op("reserve", lambda b, c: b.reserve(3), lambda state: (state + bytes(3), bytes(3))),
    Op("pack", lambda b, c: b.pack(">H", 258), _added(b"\1\2")),
)
"""What somebody else does to a composite meanwhile."""


def _chunks(size: int, content: bytes = CONTENT) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def _every_other(make: Maker, chunks: list[bytes]) -> list[Part]:
    return [chunk if i % 2 else make(chunk) for i, chunk in enumerate(chunks)]


def _clipped(make: Maker) -> CompositeBuffer:
    b = CompositeBuffer(_every_other(make, _chunks(7, b"gone, " + CONTENT)))
    b.skip(6)
    return b


def _cut_at_both_ends(make: Maker) -> CompositeBuffer:
    b = CompositeBuffer([make(b"<<" + CONTENT[:20]), b"-", make(CONTENT[20:] + b">>")])
    b.splice(22, 23)
    b.skip(2)
    b.truncate(len(CONTENT))
    return b


def _room_in_front(make: Maker) -> CompositeBuffer:
    b = CompositeBuffer()
    for chunk in reversed(_chunks(6)):
        b.appendleft(make(chunk))
    return b


def _dead(entries: int) -> Callable[[Maker], CompositeBuffer]:
    """Leave as many entries in front that are gone, among as many as let them stay there."""

    def layout(make: Maker) -> CompositeBuffer:
        b = CompositeBuffer([b"xy"] * entries + _every_other(make, _chunks(2)))
        for _ in range(entries):
            b.skip(2)
        return b

    return layout


def _wasteful(make: Maker) -> CompositeBuffer:
    """Show little of much, so that there is something to compact."""
    b = CompositeBuffer()
    for chunk in _chunks(9):
        owner: Any = make(chunk + bytes(2000))
        b.append(memoryview(owner)[: len(chunk)])
    return b


def _coalescing(make: Maker) -> CompositeBuffer:
    b = CompositeBuffer(coalesce_below=8)
    for chunk in _chunks(9):
        b.append(make(chunk))
    return b


def _looked_at(make: Maker) -> CompositeBuffer:
    """Leave behind what a composite remembers: where entries end, a reader, a separator, a parser that waits."""
    b = CompositeBuffer(_every_other(make, _chunks(6)))
    b.reader().u8()
    assert b[-1] == CONTENT[-1]
    assert b.take_until(b"#", limit=9999) is None
    assert b.parse(_too_many, limit=99999) is None
    return b


COMPOSITES: Final[dict[str, Callable[[Maker], CompositeBuffer]]] = {
    "one part": lambda make: CompositeBuffer([make(CONTENT)]),
    "bytes": lambda make: CompositeBuffer(_chunks(8)),
    "many parts": lambda make: CompositeBuffer([make(chunk) for chunk in _chunks(5)]),
    "mixed": lambda make: CompositeBuffer(_every_other(make, _chunks(4))),
    "clipped": _clipped,
    "cut at both ends": _cut_at_both_ends,
    "room in front": _room_in_front,
    "many dead": _dead(20),
    "as many dead as may be": _dead(24),
    "wasteful": _wasteful,
    "coalescing": _coalescing,
    "looked at": _looked_at,
}
"""Composites that show CONTENT, by what their tables have been through."""


def numpy_array(data: bytes) -> Any:
    return np.frombuffer(bytearray(data), np.uint8)


# -- framers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Format:
    """A framer, and where its frames end: (what comes out, how many bytes it took), or None while it is not whole."""

    make: Callable[[], Framer]
    first: Callable[[bytes], tuple[bytes, int] | None]
    frames: tuple[bytes, ...]

    @property
    def stream(self) -> bytes:
        framer = self.make()
        return b"".join([bytes(framer.encode(frame)) for frame in self.frames])


def _counted(header: int) -> Callable[[bytes], tuple[bytes, int] | None]:
    def first(data: bytes) -> tuple[bytes, int] | None:
        size = int.from_bytes(data[:header], "big")
        whole = header <= len(data) and header + size <= len(data)
        return (data[header : header + size], header + size) if whole else None

    return first


def _ended(data: bytes, sep: bytes) -> tuple[bytes, int] | None:
    at = data.find(sep)
    return None if at < 0 else (data[:at], at + len(sep))


def _line(data: bytes) -> tuple[bytes, int] | None:
    found = _ended(data, b"\n")
    return None if found is None else (found[0].removesuffix(b"\r"), found[1])


_FRAMES: Final = (b"one", b"", b"three", b"four and more", b"5", b"sixth frame")

FORMATS: Final = {
    "FixedLength": Format(
        lambda: FixedLength(4), lambda data: (data[:4], 4) if len(data) >= 4 else None, (b"abcd", b"efgh", b"ijkl")
    ),
    "Delimited": Format(lambda: Delimited(b"; ", limit=50), lambda data: _ended(data, b"; "), _FRAMES),
    "Lines": Format(lambda: Lines(limit=50), _line, _FRAMES),
    "LengthPrefixed": Format(lambda: LengthPrefixed(2, limit=50), _counted(2), _FRAMES),
    "VarintPrefixed": Format(lambda: VarintPrefixed(limit=50), _counted(1), _FRAMES),
}


def _next_frame(framer: Framer, caller: Caller) -> SliceBuffer | None:
    return next(framer.feed(b""), None)


def _none_left(state: bytes) -> tuple[bytes, None]:
    if state:
        raise EOFError
    return state, None


DETACHED: Final = "detached"
"""The state of a framer whose bytes were handed over."""


def framer_ops(form: Format) -> dict[str, Op]:
    """Return what is done to a framer, whose model is the bytes that it holds, all of some streams but a byte; or
    DETACHED."""

    def unless_detached(model: Callable[[bytes], tuple[State, object]]) -> Callable[[State], tuple[State, object]]:
        def of_state(state: State) -> tuple[State, object]:
            if state == DETACHED:
                raise ValueError
            return model(state)

        return of_state

    def next_frame(state: bytes) -> tuple[bytes, bytes | None]:
        found = form.first(state)
        return (state, None) if found is None else (state[found[1] :], found[0])

    def feed(framer: Framer, caller: Caller) -> None:
        framer.feed(caller.part(more))

    more = form.stream[-1:] + form.stream[:-1]
    encoded = bytes(form.make().encode(form.frames[0]))
    return _ops(
        Op("feed", feed, unless_detached(lambda state: (state + more, None))),
        Op("next", _next_frame, unless_detached(next_frame), consumes=True),
        Op("pending", lambda framer, c: framer.pending, lambda s: (s, 0 if s == DETACHED else len(s)), changes=False),
        Op("end", lambda framer, c: framer.end(), unless_detached(_none_left)),
        Op(
            "detach", lambda framer, c: framer.detach(), unless_detached(lambda state: (DETACHED, state)), consumes=True
        ),
        Op("encode", lambda framer, c: framer.encode(form.frames[0]), lambda state: (state, encoded), changes=False),
    )


# -- outboxes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    """The model of an outbox: what waits, what came to the sink, and whether it is closed."""

    waiting: bytes
    came: bytes = b""
    is_closed: bool = False

    def open(self) -> None:
        if self.is_closed:
            raise ValueError


@dataclass
class Sending:
    """An outbox and its sink, as one subject."""

    sink: Sink
    outbox: Outbox = field(default_factory=lambda: Outbox(high=20, low=4))


def _box_put(data: bytes) -> Callable[[Box], tuple[Box, object]]:
    def model(box: Box) -> tuple[Box, None]:
        box.open()
        return Box(box.waiting + data, box.came), None

    return model


def _box_flush(box: Box) -> tuple[Box, int]:
    box.open()
    return Box(b"", box.came + box.waiting), len(box.waiting)


OUTBOX_OPS: Final = _ops(
    Op("put", lambda s, c: s.outbox.put(c.part(PIECE)), _box_put(PIECE)),
    Op("put a buffer", lambda s, c: s.outbox.put(CompositeBuffer(_THREE)), _box_put(b"<one><two><three>")),
    Op("flush", lambda s, c: s.outbox.flush(s.sink), _box_flush, consumes=True),
    Op("close", lambda s, c: s.outbox.close(), lambda box: (Box(b"", box.came, is_closed=True), None)),
    Op("pending", lambda s, c: s.outbox.pending, lambda box: (box, len(box.waiting)), changes=False),
)


# -- inboxes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Letters:
    """The model of an inbox: what waits, what is in the source, and what was written to the room that is out."""

    waiting: bytes
    coming: bytes
    room: bytes = b""


PER_READ: Final = 5
"""Bytes that the source of ``Receiving`` gives at a time."""


@dataclass
class Receiving:
    """An inbox and its source, as one subject. The source is told of each read, before and behind it."""

    tell: Callable[[], None]
    coming: bytes = b""
    inbox: Inbox = field(default_factory=lambda: Inbox(Pool(64, idle=2), limit=200))

    def readinto(self, view: memoryview) -> int:
        self.tell()
        given = self.coming[: min(PER_READ, len(view))]
        view[: len(given)] = given
        self.coming = self.coming[len(given) :]
        self.tell()
        return len(given)


def _letters_receive(letters: Letters) -> tuple[Letters, int]:
    given = letters.coming[:PER_READ]
    return Letters(letters.waiting + given, letters.coming[PER_READ:]), len(given)


def _letters_filled(n: int) -> Callable[[State], tuple[State, object]]:
    def model(letters: Letters) -> tuple[Letters, None]:
        if n > len(letters.room):
            raise ValueError
        return Letters(letters.waiting + letters.room[:n], letters.coming), None

    return model


def _letters_take(n: int) -> Callable[[State], tuple[State, object]]:
    def model(letters: Letters) -> tuple[Letters, bytes]:
        if n > len(letters.waiting):
            raise EOFError
        return Letters(letters.waiting[n:], letters.coming, letters.room), letters.waiting[:n]

    return model


NOTHING_YET: Final = bytes(4)
"""What is in a room to begin with, or anything else."""


INBOX_OPS: Final = _ops(
    Op("receive", lambda r, c: r.inbox.receive(r), _letters_receive, consumes=True),
    Op(
        "room",
        lambda r, c: r.inbox.room() is not None,
        lambda letters: (Letters(letters.waiting, letters.coming, letters.room or NOTHING_YET), True),
    ),
    Op("filled", lambda r, c: r.inbox.filled(c.size(3)), _letters_filled(3)),
    Op("rest", lambda r, c: r.inbox.rest(), _same),
    Op("take what waits", lambda r, c: r.inbox.buffer.take(c.size(4)), _letters_take(4), consumes=True),
    Op(
        "put in by hand",
        lambda r, c: r.inbox.buffer.append(c.part(b"<own>")),
        lambda letters: (Letters(letters.waiting + b"<own>", letters.coming, letters.room), None),
    ),
    Op(
        "look",
        lambda r, c: (bytes(r.inbox.buffer), r.inbox.ended),
        lambda letters: (letters, (letters.waiting, False)),
        changes=False,
    ),
)


# -- moments ------------------------------------------------------------------------------------------------


def in_steps(total: int, most: int, offset: int = 0) -> Iterator[int]:
    """Return at most so many numbers below a total, evenly spread, beginning with a different one for each offset."""
    stride = max(1, -(-total // most))
    return iter(range(offset % stride, total, stride))
