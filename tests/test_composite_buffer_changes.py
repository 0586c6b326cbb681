"""How a composite changes: wholly or not at all, whatever comes into the middle of it, and in bounded memory."""

from __future__ import annotations

import array
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import (
    COMPILED,
    Busy,
    CompositeBuffer,
    CopyForbidden,
    Part,
    Reader,
    SliceBuffer,
    copy_audit,
    flush,
    no_copy,
)
from bytebufs._core.holding import ENTRY_COST, waste_of
from bytebufs._core.parts import Memory
from bytebufs._core.seeker import Seeker
from bytebufs._core.table import Table

from .changes import ACTS, CHANGES, COMPOSITES, CONTENT, PLAIN, Outcome, Sink, explained, outcome
from .disturbed import Interrupt, assert_whole, at_each_step, interrupted, says_that_it_is_broken, steps_of, under
from .layouts import FakeFile

interpreted = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")
patched = pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")


def small() -> CompositeBuffer:
    """Return a composite in few parts of both kinds, one dead and the first clipped, that somebody reads."""
    b = CompositeBuffer([b"gone", b"-abc", bytearray(b"def"), b"gh", memoryview(b"<ij>")[1:3]])
    b.skip(5)
    b.reader().u8()
    return b


WHOLE: Final = b"abcdefghij"

IN_USE: Final = "^the buffer is in use$"


def five(reader: Reader) -> bytes:
    return reader.take_bytes(5)


def _last_owner(b: CompositeBuffer) -> Any:
    """Return the owner of the last part, which is not all of it."""
    last: Any = b._index.last_entry()
    return last.owner


SMALL_CHANGES: Final[dict[str, tuple[Callable[[CompositeBuffer], object], bytes]]] = {
    "append": (lambda b: b.append(b"xy"), WHOLE + b"xy"),
    "append what goes on": (lambda b: b.append(b[8:]), WHOLE + b"ij"),
    "append a run": (lambda b: b._append_run(b"<xy>", 1, 3), WHOLE + b"xy"),
    "append a run that goes on": (lambda b: b._append_run(_last_owner(b), 3, 4), WHOLE + b">"),
    "append a buffer": (lambda b: b.append(CompositeBuffer([b"x", bytearray(b"y")])), WHOLE + b"xy"),
    "appendleft": (lambda b: b.appendleft(b"x"), b"x" + WHOLE),
    "appendleft a buffer": (lambda b: b.appendleft(CompositeBuffer([b"xy", bytearray(b"z")])), b"xyz" + WHOLE),
    "splice": (lambda b: b.splice(2, 7, b"--"), b"ab--hij"),
    "reserve": (lambda b: b.reserve(2), WHOLE + b"\0\0"),
    "pack": (lambda b: b.pack(">H", 258), WHOLE + b"\1\2"),
    "take few": (lambda b: b.take(2), b"cdefghij"),
    "take a part": (lambda b: b.take(3), b"defghij"),
    "take several": (lambda b: b.take(7), b"hij"),
    "take all": (lambda b: b.take_all(), b""),
    "take_bytes few": (lambda b: b.take_bytes(2), b"cdefghij"),
    "take_bytes several": (lambda b: b.take_bytes(7), b"hij"),
    "take_part": (lambda b: b.take_part(), b"defghij"),
    "skip few": (lambda b: b.skip(2), b"cdefghij"),
    "skip several": (lambda b: b.skip(7), b"hij"),
    "skip what was sent": (lambda b: b._drain_to(b._index.head + 2, 1, 7), b"hij"),
    "truncate": (lambda b: b.truncate(4), b"abcd"),
    "take_until": (lambda b: b.take_until(b"fg", limit=9), b"hij"),
    "take_until one of two": (lambda b: b.take_until(b"fg", b"gh", limit=9), b"hij"),
    "skip_until": (lambda b: b.skip_until(b"fg"), b"hij"),
    "skip_until what is not there": (lambda b: b.skip_until(b"jx"), b"j"),
    "parse": (lambda b: b.parse(five, limit=9), b"fghij"),
    "consolidate": (lambda b: b.consolidate(1, 9), WHOLE),
    "first": (lambda b: b.first(), WHOLE),
    "freeze": (lambda b: b.freeze(), WHOLE),
    "bytes": (bytes, WHOLE),
}


@interpreted
@pytest.mark.parametrize("name", SMALL_CHANGES)
def test_a_change_that_is_interrupted_is_made_or_not_and_the_next_one_works(name: str) -> None:
    call, after = SMALL_CHANGES[name]
    seen = set()
    for b, found in at_each_step(small, call):
        content = assert_whole(b)
        seen.add(content)
        assert content in {WHOLE, after}
        assert found.error or content == after
        if says_that_it_is_broken(b):  # between the last store of a parse and its end comes only a tracer
            assert name == "parse"
            continue
        b.append(b"next")
        b.skip(len(content))
        assert assert_whole(b) == b"next"
    assert after in seen


PACKED_BEHIND: Final[dict[str, Callable[[], CompositeBuffer]]] = {
    "a part": small,
    "a header": lambda: packed(WHOLE),
    "a long header": lambda: packed(WHOLE * 10, WHOLE * 10, WHOLE * 10),
}


def packed(*items: bytes) -> CompositeBuffer:
    b = CompositeBuffer()
    for item in items:
        b.pack(f"{len(item)}s", item)
    return b


@interpreted
def test_what_is_packed_and_interrupted_is_there_or_not_wherever_it_goes() -> None:
    for name, make in PACKED_BEHIND.items():
        before = bytes(make())
        seen = set()
        for b, _ in at_each_step(make, lambda b: b.pack(">H", 258)):
            content = assert_whole(b)
            seen.add(content)
            b.append(b"next")
            assert assert_whole(b) == content + b"next", name
        assert seen == {before, before + b"\1\2"}, name


@interpreted
def test_after_a_parse_that_was_interrupted_no_parse_is_said_to_be_under_way() -> None:
    told = 0
    for b, found in at_each_step(small, lambda b: b.parse(five, limit=9)):
        if says_that_it_is_broken(b):  # as above
            continue
        told += found.error is not None
        b.append(Meeting(b"?", partial(b.append, b"in between")))
        with pytest.raises(Busy, match=IN_USE):
            b.take_until(b"!", limit=99)
        assert assert_whole(b)[-1:] == b"?"
    assert told > 10


@patched
@pytest.mark.parametrize("name", ["append", "append a buffer", "append what goes on", "appendleft", "splice", "pack"])
def test_what_cannot_be_cut_off_for_lack_of_memory_is_cut_off_by_the_next_change(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(table: Table, stop: int) -> None:
        raise MemoryError

    call, after = SMALL_CHANGES[name]
    call(small())  # from here on what is cached is there
    frayed = 0
    for at in range(steps_of(partial(call, small()))):
        b = small()
        with monkeypatch.context() as patch:
            patch.setattr(Table, "trim", no_memory)
            found = under(interrupted(at), partial(call, b))
            assert isinstance(found.error, (Interrupt, MemoryError))
            assert bytes(b) in {WHOLE, after}, "it may be read meanwhile"
            if b._frayed and b._locked:
                frayed += 1
                with pytest.raises(MemoryError):
                    b.skip(1)
        content = bytes(b)
        b.append(b"next")
        assert assert_whole(b) == content + b"next"
    assert frayed > 10


MET: Final = [
    "append", "append a buffer", "appendleft", "splice the middle", "take five", "take many", "take_all",
    "take_at_most", "take_bytes many", "skip few", "skip many", "truncate", "take_until", "skip_until", "parse",
    "consolidate", "freeze", "copy", "reserve",
]  # fmt: skip


@interpreted
@pytest.mark.parametrize("act", ["bytes", "append", "skip", "splice"])
@pytest.mark.parametrize("name", MET)
def test_who_comes_into_the_middle_of_a_change_reads_the_whole_or_is_told_that_it_is_busy(name: str, act: str) -> None:
    """As a signal handler, a finalizer or the collector may."""
    op, inner = CHANGES[name], ACTS[act]
    came: list[Outcome] = []

    def meet(b: CompositeBuffer) -> None:
        came.append(outcome(inner, b))

    def make() -> CompositeBuffer:
        came.clear()
        return COMPOSITES["mixed"](bytearray)

    met = 0
    for b, found in at_each_step(make, lambda b: op.run(b, PLAIN), meet):
        met += len(came)
        content = assert_whole(b)
        assert explained(
            CONTENT,
            (op, found),
            [(inner, one) for one in came],
            lambda state, content=content: state == content,  # type: ignore[misc]
            may_refuse=True,
        ), (content, found, came)
        b.append(b"next")
        assert assert_whole(b) == content + b"next"
    assert met > 10


@interpreted
def test_what_is_sent_in_the_middle_of_a_change_is_whole() -> None:
    """Not more of what is added than the window shows."""
    for name in ("append a buffer", "appendleft a buffer", "take several", "splice"):
        call, after = SMALL_CHANGES[name]
        sinks: list[Sink] = []

        def send(b: CompositeBuffer, sinks: list[Sink] = sinks) -> None:
            sinks.append(Sink())
            try:
                flush(b, sinks[-1])
            except (Busy, RuntimeError):
                sinks.pop()

        for b, found in at_each_step(small, call, send):
            assert found.error is None
            assert assert_whole(b) == after
        assert {sink.got for sink in sinks} == {WHOLE, after}


@patched
@pytest.mark.parametrize(("method", "name"), [("extend", "append a buffer"), ("lengthen", "append a run that goes on")])
def test_what_is_sent_while_more_is_added_is_what_was_there(
    method: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, after = SMALL_CHANGES[name]
    b = CompositeBuffer([b"abc", bytearray(b"defgh"), memoryview(b"<ij>")[1:3]])
    add = getattr(Table, method)
    sink = Sink()

    def meet(table: Table, *arguments: Any) -> None:
        add(table, *arguments)
        flush(b, sink)

    with monkeypatch.context() as patch:
        patch.setattr(Table, method, meet)
        call(b)
    assert sink.got == WHOLE
    assert assert_whole(b) == after


class Meeting(FakeFile):
    """A file that is looked at for the first time: then something is done."""

    def __init__(self, data: bytes, act: Callable[[], object]) -> None:
        super().__init__(data)
        self.act: Callable[[], object] | None = act

    def _look(self) -> Memory:
        act, self.act = self.act, None
        if act:
            act()
        return super()._look()


def test_looking_for_a_separator_may_run_who_reads_and_refuses_who_changes() -> None:
    """What is no whole bytes object is asked for its bytes, which may be anybody's code."""
    content = b"one; two; three"
    came: list[Any] = []
    b = CompositeBuffer([b"gone", b"one"])

    def meet() -> None:
        sink = Sink()
        came.extend([bytes(b), len(b), b[4:7].tobytes(), flush(b, sink), sink.got, b.freeze().tobytes()])
        for change in (lambda: b.append(b"x"), lambda: b.take(1), lambda: b.skip(1), b.clear, b.consolidate):
            with pytest.raises(Busy, match=IN_USE):
                change()
        with pytest.raises(Busy, match=IN_USE):
            b.take_until(b";", limit=9)
        with pytest.raises(Busy, match=IN_USE):
            b.parse(five, limit=9)

    b.append(Meeting(b"; tw", meet))
    b.extend([b"o; ", bytearray(b"three")])
    b.skip(4)
    assert b.take_until(b"; ", limit=9) == b"one"
    assert came == [content, len(content), content[4:7], len(content), content, content]
    assert assert_whole(b) == content[5:]


def test_between_two_tables_nothing_is_shown() -> None:
    """Only a tracer comes there; half of both would be wrong bytes."""
    b = small()
    table = b._source
    b._source = Table([b"something else"], [], b._start)
    for look in (bytes, lambda b: b.views(), lambda b: CompositeBuffer([b])):
        with pytest.raises(Busy, match=IN_USE):
            look(b)
    with pytest.MonkeyPatch.context() as patch:
        if not COMPILED:
            patch.setattr("bytebufs.composite_buffer.COMPILED", True)
        with pytest.raises(Busy, match=IN_USE):
            b.tobytes()
    b._source = table
    assert assert_whole(b) == WHOLE


GONE_FROM_UNDER: Final[dict[str, tuple[type, str, Callable[[CompositeBuffer], object]]]] = {
    "take_bytes": (Table, "pieces", lambda b: b.take_bytes(7)),
    "first": (Table, "locate", lambda b: b.first()),
    "take_part": (Table, "locate", lambda b: b.take_part()),
    "take_until": (Seeker, "seek", lambda b: b.take_until(b"fg", limit=9)),
    "skip_until": (Seeker, "seek", lambda b: b.skip_until(b"fg", b"gh")),
}


@patched
@pytest.mark.parametrize("name", GONE_FROM_UNDER)
def test_what_another_thread_takes_away_while_it_is_looked_up_is_busy(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interpreted, one may come in just before the other has seen that."""

    def gone(*_: object) -> object:
        raise IndexError

    kind, method, call = GONE_FROM_UNDER[name]
    b = small()
    with monkeypatch.context() as patch:
        patch.setattr(kind, method, gone)
        with pytest.raises(Busy, match=IN_USE):
            call(b)
    assert assert_whole(b) == WHOLE


@patched
@pytest.mark.parametrize("name", ["take_bytes", "take_part"])
def test_what_another_thread_changes_while_it_is_looked_up_is_busy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the first change of all, which moves neither end."""
    _, method, call = GONE_FROM_UNDER[name]
    b = CompositeBuffer([b"abc", bytearray(b"defghij")])
    look_up = getattr(Table, method)

    def changed(table: Table, *arguments: int) -> object:
        monkeypatch.undo()
        b.splice(4, 5, b"-")
        return look_up(table, *arguments)

    monkeypatch.setattr(Table, method, changed)
    with pytest.raises(Busy, match=IN_USE):
        call(b)
    assert assert_whole(b) == b"abcd-fghij"


CHANGED_BEFORE: Final[
    dict[str, tuple[str, Callable[[CompositeBuffer], object], Callable[[CompositeBuffer], object]]]
] = {
    "take": ("_detach", lambda b: b.take(5), lambda b: b.skip(1)),
    "take all": ("_detach", lambda b: b.take_all(), lambda b: b.splice(4, 5, b"-")),
    "skip": ("_drain", lambda b: b.skip(5), lambda b: b.skip(1)),
    "take many bytes": ("_drain", lambda b: b.take_bytes(len(b)), lambda b: b.splice(4, 5, b"-")),
}
"""What drains, by which method, and what another thread does before that has locked."""


@patched
@pytest.mark.parametrize("name", CHANGED_BEFORE)
def test_what_another_thread_changes_before_it_is_drained_is_busy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though as much is there as has been asked for."""
    method, call, change = CHANGED_BEFORE[name]
    b = CompositeBuffer([b"abc", bytearray(b"defghij" * 10_000)])
    drain = getattr(CompositeBuffer, method)

    def late(b: CompositeBuffer, *arguments: int) -> object:
        monkeypatch.undo()
        change(b)
        return drain(b, *arguments)

    model = CompositeBuffer([b])
    change(model)
    monkeypatch.setattr(CompositeBuffer, method, late)
    with pytest.raises(Busy, match=IN_USE):
        call(b)
    assert assert_whole(b) == bytes(model)


@patched
def test_what_another_thread_drains_while_it_is_copied_to_be_looked_at_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    b = small()
    freeze = CompositeBuffer.freeze

    def late(b: CompositeBuffer) -> SliceBuffer:
        b.skip(1)
        return freeze(b)

    start = b._start
    assert b._few(start, start + 2) == b"ab"
    monkeypatch.setattr(CompositeBuffer, "freeze", late)
    assert b._few(start, start + 2) is None


IN_THE_MIDDLE: Final[dict[str, tuple[type, str, Callable[[CompositeBuffer], object], bytes]]] = {
    "truncate": (Table, "locate", lambda b: b.truncate(4), b"abcd"),
    "drain what was sent": (CompositeBuffer, "_drop_to", lambda b: b._drain_to(b._index.head + 2, 1, 7), b"hij"),
}
"""What changes a small composite, a method that this calls in its middle, and what is there then."""


@patched
@pytest.mark.parametrize("name", IN_THE_MIDDLE)
def test_another_change_in_the_middle_of_one_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, method, call, after = IN_THE_MIDDLE[name]
    b = small()
    inner = getattr(kind, method)
    met = []

    def meet(table: object, *arguments: int) -> object:
        with pytest.raises(Busy, match=IN_USE):
            b.append(b"more")
        met.append(name)
        return inner(table, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(kind, method, meet)
        call(b)
    assert met
    assert assert_whole(b) == after
    b.append(b"next")
    assert assert_whole(b) == after + b"next"


@patched
@pytest.mark.parametrize(
    ("where", "method", "call"),
    [
        ("bytebufs.composite_buffer", "cut", lambda b: b.freeze()),
        ("bytebufs.composite_buffer.CompositeBuffer", "_drop_to", lambda b: b._drain_to(b._index.head + 2, 1, 7)),
    ],
    ids=["freeze", "drain what was sent"],
)
def test_what_fails_in_the_middle_leaves_no_lock(
    where: str, method: str, call: Callable[[CompositeBuffer], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise Interrupt

    b = small()
    with monkeypatch.context() as patch:
        patch.setattr(f"{where}.{method}", fail)
        with pytest.raises(Interrupt):
            call(b)
    content = bytes(b)
    b.append(b"next")
    assert assert_whole(b) == content + b"next"


def test_who_owned_what_was_sent_goes_when_that_is_done() -> None:
    owner = array.array("B", b"abc")
    b = CompositeBuffer([owner, b"def"])
    weakref.finalize(owner, b.append, b"!").atexit = False
    del owner
    b._drain_to(1, 1, 4)
    assert assert_whole(b) == b"ef!"
    b.append(b"?")
    assert assert_whole(b) == b"ef!?"


# -- while there is no memory --------------------------------------------------------------------------------


@patched
@pytest.mark.parametrize("dead", [0, 20])
@pytest.mark.parametrize(
    "take",
    [lambda b, n: b.take(n), lambda b, n: b.skip(n), lambda b, n: b.take_at_most(n)],
    ids=["take", "skip", "most"],
)
def test_draining_needs_no_memory_to_be_done_and_lets_go_with_the_next(
    take: Callable[[CompositeBuffer, int], Any], dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(table: Table, *args: object) -> object:
        raise MemoryError

    owners = [array.array("B", b"%02d" % i) for i in range(30)]
    alive = [weakref.ref(owner) for owner in owners]
    b = CompositeBuffer([*[b"xy"] * dead, *owners])
    owners.clear()
    for _ in range(dead):
        b.skip(2)
    whole = bytes(b)
    with monkeypatch.context() as patch:
        for name in ("rest", "drop_to"):
            patch.setattr(Table, name, no_memory)
        taken = take(b, 41)
        assert assert_whole(b) == whole[41:]
        assert taken is None or taken == whole[:41]
    del taken
    assert all(ref() is not None for ref in alive), "there was no memory for that"
    b.skip(4)
    assert assert_whole(b) == whole[45:]
    assert [ref() is not None for ref in alive] == [i >= 22 for i in range(30)]


@patched
def test_what_is_left_in_front_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(table: Table, *args: object) -> object:
        raise MemoryError

    b = CompositeBuffer([b"one", b"two", b"three", b"four"])
    with monkeypatch.context() as patch:
        patch.setattr(Table, "drop_to", no_memory)
        b.skip(7)
    b.appendleft(b"front, ")
    assert assert_whole(b) == b"front, hreefour"
    assert b.take_all() == b"front, hreefour"


# -- lists that stay short -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2])
def test_a_queue_that_is_drained_part_by_part_holds_few_dead(size: int) -> None:
    b = CompositeBuffer([b"ab"] * 10)
    for _ in range(500):
        b.append(b"ab")
        for _ in range(2 // size):
            assert len(b.take(size)) == size
        b._check()
        assert len(b._index.parts) <= 10 + 16 + 1


@pytest.mark.parametrize("keep", [0, 1, 2, 70, 71, 78, 79, 80])
def test_truncating_lets_go_of_what_is_cut_off(keep: int) -> None:
    owners = [array.array("B", b"%02d" % i) for i in range(40)]
    alive = [weakref.ref(owner) for owner in owners]
    b = CompositeBuffer(owners)
    owners.clear()
    whole = bytes(b)
    frozen = b[10:12]
    reader = b.reader()
    b.truncate(keep)
    assert assert_whole(b) == whole[:keep]
    assert [ref() is not None for ref in alive] == [2 * i < keep or i == 5 for i in range(40)]
    assert frozen == b"05"
    if keep < 80:
        with pytest.raises(RuntimeError):
            reader.u8()
    b.append(b"next")
    assert assert_whole(b) == whole[:keep] + b"next"


# -- bounded memory ------------------------------------------------------------------------------------------

KINDS: Final[dict[str, Callable[[bytes], Any]]] = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "piece of much": lambda data: memoryview(bytes(50) + data + bytes(50))[50 : 50 + len(data)],
}


def add_within(b: CompositeBuffer, part: Any) -> None:
    """As framers and outboxes do."""
    b._make_room()
    b._append_within(part)


RECEIVED: Final = SliceBuffer(bytearray(b"cdefgh"))


def begun() -> CompositeBuffer:
    """Return a composite that ends with the front of what was received."""
    return CompositeBuffer([b"ab", RECEIVED[:2]])


def test_slices_that_go_on_where_the_last_part_stops_extend_it() -> None:
    b = begun()
    for i in range(2, 6):
        add_within(b, RECEIVED[i : i + 1])
        assert assert_whole(b) == b"abcdefgh"[: i + 3]
    assert b.part_count == 2
    assert [b[i] for i in range(8)] == list(b"abcdefgh"), "where each part ends is known by now"
    add_within(b, RECEIVED[:1])
    add_within(b, RECEIVED[2:3])
    assert assert_whole(b) == b"abcdefghce"
    assert b.part_count == 4
    b.skip(len(b))
    add_within(b, RECEIVED[3:4])
    assert assert_whole(b) == b"f"


@interpreted
def test_a_part_that_is_extended_and_interrupted_is_as_before_or_after() -> None:
    seen = set()
    for b, found in at_each_step(begun, lambda b: b._append_within(RECEIVED[2:4])):
        content = assert_whole(b)
        assert found.error or content == b"abcdef"
        seen.add(content)
        b.append(b"next")
        assert assert_whole(b) == content + b"next"
    assert seen == {b"abcd", b"abcdef"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1000, 5000])
def test_tiny_parts_are_gathered_before_they_keep_more_than_twice_the_limit(limit: int, kind: str) -> None:
    b = CompositeBuffer()
    b._keep_within(limit)
    data = bytes(range(250)) * (limit // 250)
    most = 0
    add_within(CompositeBuffer(), KINDS[kind](b"x"))  # from here on what is imported at the first need is there
    tracemalloc.start()
    try:
        with copy_audit() as audit:
            for at in range(limit):
                add_within(b, KINDS[kind](data[at : at + 1]))
                most = max(most, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert assert_whole(b) == data
    assert most <= 2 * limit + 4096 + 2000, "and what the last two parts hold"
    assert set(audit.by_reason) == {"coalesce"}
    # What was joined is joined again while it is still small.
    assert audit.by_reason["coalesce"] <= 100 * limit


def test_what_costs_little_beside_its_bytes_is_never_gathered() -> None:
    b = CompositeBuffer()
    b._keep_within(1000)
    with no_copy(strict=True):
        for i in range(100):
            add_within(b, bytes([i]) * 5000)
    assert b.part_count == 100


def test_parts_that_are_worth_their_memory_are_no_reason_to_copy_the_last_one() -> None:
    b = CompositeBuffer()
    b._keep_within(1000)
    with no_copy(strict=True):
        for _ in range(60):
            add_within(b, bytes(5000))
        add_within(b, memoryview(bytearray(900))[:2])
        add_within(b, b"x")
    assert b.part_count == 62


def test_what_cannot_be_moved_does_not_put_off_the_gathering_of_what_comes_behind_it() -> None:
    """Wherever it stands when all is gathered, also last."""
    reserving = CompositeBuffer()
    view = reserving.reserve(1 << 16)
    for before in range(16):
        b = bounded()
        for _ in range(before):
            add_within(b, bytearray(b"x"))
        add_within(b, reserving[:2])
        for _ in range(200):
            add_within(b, bytearray(b"x"))
            assert b.part_count < 100, before
        assert assert_whole(b) == b"x" * before + b"\0\0" + b"x" * 200
    view.release()


def test_gathering_that_is_forbidden_adds_nothing() -> None:
    b = CompositeBuffer()
    b._keep_within(0)
    fed = 0
    with no_copy(), pytest.raises(CopyForbidden):  # noqa: PT012  # which one it is does not matter
        for _ in range(1000):
            add_within(b, bytearray(b"x"))
            fed += 1
    assert assert_whole(b) == b"x" * fed
    add_within(b, b"y")
    assert assert_whole(b) == b"x" * fed + b"y"


LARGE: Final = 50_000


def little_of_much(data: bytes) -> memoryview:
    """Return a view of some bytes in memory that nothing else refers to."""
    return memoryview(bytearray(b"<" + data + bytes(LARGE)))[1 : 1 + len(data)]


def bits_of_much(data: bytes) -> list[memoryview]:
    """Return views of each of some bytes, which do not touch, in memory that nothing else refers to."""
    whole = little_of_much(b"-".join([data[k : k + 1] for k in range(len(data))]))
    return [whole[2 * k : 2 * k + 1] for k in range(len(data))]


def bounded(*parts: Any, drained: int = 0) -> CompositeBuffer:
    """Return a composite that takes care of what it keeps, and knows what its parts waste."""
    b = CompositeBuffer(parts)
    b.skip(drained)
    b._keep_within(1000)
    b._wasted = waste_of(b._entries())
    return b


LAST: Final[dict[str, tuple[Callable[[], CompositeBuffer], bytes, int]]] = {
    "only": (lambda: bounded(little_of_much(b"abcd")), b"abcd", 4),
    "only, drained": (lambda: bounded(little_of_much(b"--abcd"), drained=2), b"abcd", 4),
    "only, behind the dead": (lambda: bounded(b"-", little_of_much(b"-abcd"), drained=2), b"abcd", 4),
    "behind others": (lambda: bounded(b"ab", bytearray(b"cd"), little_of_much(b"ef")), b"abcdef", 2),
    "several of one": (lambda: bounded(b"ab", *bits_of_much(b"cdef")), b"abcdef", 4),
    "several of one, behind the dead": (lambda: bounded(b"-", b"ab", *bits_of_much(b"cd"), drained=1), b"abcd", 2),
    "behind one drained": (lambda: bounded(b"--ab", little_of_much(b"cd"), drained=2), b"abcd", 2),
}
"""Ends with a part that shows little of much: what makes it, what it shows, and how much of that is the last part's."""


@pytest.mark.parametrize("name", LAST)
def test_of_two_parts_that_show_little_of_much_the_first_is_copied(name: str) -> None:
    """And both behind more than one other: of a message in so many pieces the next is not the last."""
    make, content, size = LAST[name]
    copies = size if name.startswith("several") else 1
    b, looked_up = make(), make()
    assert bytes([looked_up[i] for i in range(len(content))]) == content
    for each in (b, looked_up):
        both = each.part_count > 2
        with copy_audit() as audit:
            each._append_within(little_of_much(b"xyz"))
        assert audit.by_reason == {"coalesce": size + 3 if both else size}
        assert assert_whole(each) == content + b"xyz"
        assert bytes([each[i] for i in range(len(each))]) == content + b"xyz"
        assert 0 <= each.pinned_nbytes - (0 if both else LARGE) < 100
        assert 0 <= waste_of(each._entries()) - each._wasted <= ENTRY_COST * copies


@interpreted
@pytest.mark.parametrize("name", LAST)
def test_copying_the_last_part_when_interrupted_shows_the_same(name: str) -> None:
    make, content, _ = LAST[name]
    seen = set()
    for b, found in at_each_step(make, lambda b: b._append_within(little_of_much(b"xyz"))):
        shown = assert_whole(b)
        assert found.error or shown == content + b"xyz"
        seen.add(shown)
        b.append(b"next")
        assert assert_whole(b) == shown + b"next"
    assert seen == {content, content + b"xyz"}


@pytest.mark.parametrize("name", LAST)
def test_copying_the_last_part_that_is_forbidden_takes_nothing_in(name: str) -> None:
    make, content, _ = LAST[name]
    b = make()
    pinned = b.pinned_nbytes
    with no_copy(), pytest.raises(CopyForbidden):
        b._append_within(little_of_much(b"xyz"))
    assert assert_whole(b) == content
    assert b.pinned_nbytes == pinned
    b._append_within(little_of_much(b"xyz"))
    assert assert_whole(b) == content + b"xyz"


def test_what_is_worth_its_memory_or_cannot_be_moved_is_not_copied_as_the_last_part() -> None:
    reserving = CompositeBuffer()
    view = reserving.reserve(LARGE)
    view[:2] = b"ab"
    file = FakeFile(b"ab" + bytes(LARGE))
    b = bounded()
    for last in (
        b"ab",
        bytearray(b"ab"),
        little_of_much(b"ab" * 2048),
        SliceBuffer(file)[:2],
        reserving[:2],
        CompositeBuffer([b"--", reserving[:2]]),
    ):
        b = bounded(last)
        content, wasted = bytes(b), b._wasted
        looks = file.looks
        with no_copy():
            b._append_within(little_of_much(b"xyz"))
        assert b._wasted > wasted + LARGE, "what it wastes is still known"
        assert file.looks == looks
        assert assert_whole(b) == content + b"xyz"
    view[:2] = b"AB"
    assert assert_whole(b) == b"--ABxyz"
    empty = bounded(little_of_much(b"ab"), drained=2)
    with no_copy():
        empty._append_within(little_of_much(b"xyz"))
    assert assert_whole(empty) == b"xyz"


@pytest.mark.parametrize("before", [(), (b"be", bytearray(b"fore"))])
def test_the_owner_of_a_last_part_that_is_copied_goes_when_that_is_done(before: tuple[Any, ...]) -> None:
    owner = array.array("B", b"ab" + bytes(LARGE))
    b = bounded(*before, memoryview(owner)[:2])
    content = bytes(b)
    met: list[bytes] = []

    def act() -> None:
        met.append(assert_whole(b))
        b.append(b", ")

    weakref.finalize(owner, act).atexit = False
    del owner
    b._append_within(little_of_much(b"xyz"))
    assert met == [content]
    assert assert_whole(b) == content + b", xyz"


@pytest.mark.parametrize("drained", [0, 1])
def test_what_the_first_part_holds_as_well_is_not_copied_as_the_last(drained: int) -> None:
    b = bounded(*bits_of_much(b"abc"[1 - drained :]), drained=drained)
    with no_copy():
        b._append_within(little_of_much(b"xyz"))
    assert assert_whole(b) == b"bcxyz"
    with copy_audit() as audit:
        add_within(b, b"!")
    assert audit.by_reason == {"coalesce": 5}
    assert assert_whole(b) == b"bcxyz!"
    assert b.pinned_nbytes < 100


def test_what_is_left_behind_is_copied_whatever_comes_next_but_not_what_goes_on_in_it() -> None:
    for part in (b"x", bytearray(b"x"), CompositeBuffer([b"x"])):
        b = bounded(b"ab", little_of_much(b"cd"))
        with copy_audit() as audit:
            for nothing in (b"", CompositeBuffer()):
                b._append_within(nothing)
            assert audit.by_reason == {}
            b._append_within(part)
        assert audit.by_reason == {"coalesce": 2}
        assert assert_whole(b) == b"abcdx"
    one, two = bits_of_much(b"cd")
    b = bounded(b"ab", one)
    with no_copy():
        b._append_within(two)
    assert assert_whole(b) == b"abcd"
    only = bounded(little_of_much(b"cd"))
    with no_copy():
        only._append_within(b"x")
    assert assert_whole(only) == b"cdx"


def test_what_has_been_drained_wastes_nothing_any_more() -> None:
    for n in (1, 2, 40):
        b = bounded(*(little_of_much(b"ab") for _ in range(n)))
        b.skip(2 * n)
        with no_copy():
            add_within(b, b"x")
            add_within(b, little_of_much(b"yz"))
        assert assert_whole(b) == b"xyz"
        assert b._wasted < LARGE + 1000
    b = bounded(*[bytearray(b"-") for _ in range(100)], little_of_much(b"ab"), drained=100)
    with no_copy():
        add_within(b, b"x")
    assert assert_whole(b) == b"abx"


@pytest.mark.parametrize(
    "between", [[], [b"-"], [bytes(600)], [bytearray(b"-")]], ids=["nothing", "a byte", "bytes", "bytearray"]
)
def test_what_large_parts_leave_counts_where_that_is_asked_for(between: list[Part]) -> None:
    """And of them the first and the last may be held, as of small ones."""
    for size in (5_000, 20_000):
        b, content = CompositeBuffer(), b""
        b._keep_within(30_000, 1 << 20)
        for k in range(10):
            data = bytes([k]) * size
            for part in (little_of_much(data), *between):
                add_within(b, part)
                content += bytes(SliceBuffer(part))
                assert assert_whole(b) == content
                assert b.pinned_nbytes <= len(b) + 30_000 + 4096 + 2 * LARGE
        kept = CompositeBuffer()
        kept._keep_within(30_000)
        with no_copy():
            for _ in range(10):
                add_within(kept, little_of_much(bytes(size)))


def test_what_was_drained_is_no_reason_to_copy_what_waits_of_a_large_chunk() -> None:
    for before in (b"-", bytearray(b"-")):
        b = bounded()
        for _ in range(5):
            add_within(b, little_of_much(b".."))
            b.clear()
        add_within(b, before)
        add_within(b, little_of_much(b"abc"))
        b._wasted += 10 * LARGE  # as if what has been drained were still counted
        with no_copy():
            b._make_room()
        assert assert_whole(b) == b"-abc"
        assert LARGE < b._wasted < LARGE + 2000


def test_what_large_parts_leave_counts_where_each_leaves_less_than_may_be_wasted() -> None:
    for between in ([], [b"-"], [bytearray(b"-")]):
        b = CompositeBuffer()
        b._keep_within(30_000, 1 << 20)
        with copy_audit() as audit:
            for _ in range(12):
                for part in (memoryview(bytearray(40_000))[:15_000], *between):
                    add_within(b, part)
                assert b.pinned_nbytes <= len(b) + 30_000 + 4096 + 2 * 40_000
        assert assert_whole(b) == (bytes(15_000) + b"-" * len(between)) * 12
        assert 0 < audit.nbytes <= 2 * len(b)


def test_of_large_parts_those_that_are_half_of_their_owner_are_never_copied() -> None:
    b = CompositeBuffer()
    b._keep_within(1000, 1 << 20)
    with no_copy(strict=True):
        for _ in range(20):
            add_within(b, memoryview(bytearray(10_000))[:5000])
    assert b.part_count == 20


def of_large(size: int, of: int = LARGE) -> memoryview:
    """Return a view of the front of memory that nothing else refers to."""
    return memoryview(bytearray(of))[:size]


def test_what_is_reckoned_for_parts_is_what_they_keep_beside_what_they_show() -> None:
    """Once where neighbours show of the same memory, nothing for what only makes the last part longer."""
    for worth in (4096, 1 << 20):
        b = CompositeBuffer()
        b._keep_within(1 << 19, worth)
        chunk = SliceBuffer(bytearray(LARGE))
        for part in (of_large(5000), chunk[:6000], chunk[7000:13_000], chunk[14_000:14_100], of_large(100)):
            b._append_within(part)
            assert b._wasted == waste_of(b._entries(), None, worth)
        for stop in (9000, 15_000):
            one = CompositeBuffer([chunk[stop - 6000 : stop - 3000]])
            one._keep_within(1 << 19, worth)
            one._append_within(chunk[stop - 3000 : stop])
            assert one.part_count == 1
            assert one._wasted == 0, "it was not there when the first part came"


def test_what_is_reckoned_behind_a_part_that_cannot_be_moved_is_what_comes_beside_it() -> None:
    reserving = CompositeBuffer()
    view = reserving.reserve(LARGE)
    b = bounded(b"a", reserving[:2])
    before, wasted = b._entries(), b._wasted
    with no_copy():
        b._append_within(CompositeBuffer([reserving[4:5], of_large(3)]))
    assert b._wasted - wasted == waste_of(b._entries()) - waste_of(before)
    view.release()


def test_of_three_large_parts_the_last_is_copied_where_what_it_leaves_counts() -> None:
    for worth, copied in ((4096, {}), (1 << 20, {"coalesce": 5000})):
        b = CompositeBuffer([b"-"])
        b._keep_within(30_000, worth)
        with copy_audit() as audit:
            b._append_within(of_large(5000))
            b._append_within(of_large(6000))
        assert audit.by_reason == copied
        assert b._wasted == waste_of(b._entries()[2 if copied else 1 :], None, worth), (
            "that of bytes is known by number"
        )
        assert assert_whole(b) == b"-" + bytes(11_000)


def test_a_large_part_behind_several_is_copied_at_once_where_what_it_leaves_counts() -> None:
    for worth, copied in ((4096, {}), (1 << 20, {"coalesce": 5000})):
        b = CompositeBuffer([b"a", b"b", b"c"])
        b._keep_within(30_000, worth)
        with copy_audit() as audit:
            b._append_within(of_large(5000))
        assert audit.by_reason == copied
        assert b._wasted == waste_of(b._entries()[3:], None, worth)
        assert assert_whole(b) == b"abc" + bytes(5000)


def test_where_much_is_wasted_already_the_last_part_is_copied_for_less() -> None:
    for first, copied in ((of_large(10), {"coalesce": 20}), (bytes(10), {})):
        b = bounded()
        b._append_within(first)
        b._append_within(of_large(20, 1500))
        with copy_audit() as audit:
            b._append_within(b"next")
        assert audit.by_reason == copied
        assert assert_whole(b) == bytes(30) + b"next"


def test_of_parts_that_were_drained_none_counts_as_one_before_the_last() -> None:
    b = bounded(*[b"--"] * 3, of_large(2), drained=6)
    assert b._index.head
    with no_copy():
        b._append_within(b"x")
    assert assert_whole(b) == bytes(2) + b"x"


def test_what_goes_on_in_the_memory_of_the_last_part_leaves_nothing_behind() -> None:
    chunk = of_large(100)
    b = bounded(b"a", b"b", b"c", chunk[:2])
    with no_copy():
        b._append_within(chunk[4:5])
    assert assert_whole(b) == b"abc" + bytes(3)


def test_parts_that_were_drained_are_no_reason_to_gather() -> None:
    b = CompositeBuffer([b"x"] * 34)
    b._keep_within(0)
    b.skip(16)
    assert b._index.head == 16
    with no_copy():
        b._make_room()
    assert b.part_count == 18
    b.extend([b"x"] * 20)
    with copy_audit() as audit:
        b._make_room()
    assert audit.by_reason == {"coalesce": 38}
    assert b.part_count == 1


GATHERED: Final[dict[str, tuple[Callable[[], list[Any]], dict[int, int]]]] = {
    "bytes": (lambda: [bytes([i % 250]) for i in range(300)], {4096: 1, 1 << 20: 1}),
    "fewer bytes": (lambda: [bytes([i]) for i in range(150)], {4096: 150, 1 << 20: 150}),
    "bytearrays": (lambda: [bytearray(b"x") for _ in range(60)], {4096: 1, 1 << 20: 1}),
    "large, and small": (lambda: [*(of_large(5000) for _ in range(9)), of_large(9)], {4096: 10, 1 << 20: 1}),
    "small, and large": (lambda: [*(of_large(9) for _ in range(9)), of_large(5000)], {4096: 2, 1 << 20: 1}),
    "large and worth it": (lambda: [of_large(5000, 9000) for _ in range(20)], {4096: 20, 1 << 20: 20}),
    "large, of one": (lambda: [SliceBuffer(bytes(LARGE))[:5000]], {4096: 1, 1 << 20: 1}),
}
"""Parts, and how many there are once all that is worth less than so much has been gathered, within 30 000 bytes."""


def test_when_all_is_looked_at_what_is_known_of_it_is_what_is_there() -> None:
    """And when to look again counts from there, without what the last part holds."""
    for make, left in GATHERED.values():
        for worth, count in left.items():
            b = CompositeBuffer(make())
            b._keep_within(30_000, worth)
            content, before = bytes(b), b.part_count
            with copy_audit() as audit:
                b._exclusively(b._gather)
            assert assert_whole(b) == content
            assert b.part_count == count
            assert (audit.nbytes > 0) == (count < before)
            entries = b._entries()
            wasted = waste_of(entries, None, worth)
            assert b._wasted == wasted - len(entries) * ENTRY_COST
            rest = wasted - _held_by_last(entries, worth)
            spare = b._spare
            assert b._alarm == max(spare, rest + max(spare // 2, rest // 16))


def test_what_somebody_takes_before_it_is_gathered_is_not_there() -> None:
    """As a signal handler may, between the look at what it costs and the lock."""
    b = bounded(*[bytearray(b"x") for _ in range(100)])
    taken = b.take_all()
    b._exclusively(b._gather)
    assert assert_whole(b) == b""
    add_within(b, bytearray(b"next"))
    assert assert_whole(b) == b"next"
    assert taken == b"x" * 100


def _held_by_last(entries: list[Any], worth: int) -> int:
    last = entries[-1]
    if isinstance(last, bytes) or len(last) >= worth:
        return 0
    return len(last.owner if isinstance(last.owner, bytes) else last.owner.holder) - len(last)


def test_pieces_of_one_chunk_keep_it_once_and_are_not_copied() -> None:
    b = bounded()
    chunk = SliceBuffer(bytes(LARGE))
    with no_copy():
        for at in range(0, 16, 2):
            add_within(b, chunk[at : at + 1])
    assert assert_whole(b) == bytes(8)
    assert b.part_count == 8


@patched
def test_what_has_been_looked_at_is_not_looked_at_again_with_every_part(monkeypatch: pytest.MonkeyPatch) -> None:
    b = bounded()
    chunk = SliceBuffer(bytes(LARGE))
    looked: list[int] = []
    gather = CompositeBuffer._gather

    def counted(b: CompositeBuffer) -> object:
        looked.append(b.part_count)
        return gather(b)

    monkeypatch.setattr(CompositeBuffer, "_gather", counted)
    for at in range(0, 120, 2):
        add_within(b, chunk[at : at + 1])
    assert assert_whole(b) == bytes(60)
    assert 0 < len(looked) < 12


def test_memory_of_a_last_part_that_is_copied_counts_where_the_next_part_shows_of_it_too() -> None:
    b = bounded()
    old = SliceBuffer(bytes(LARGE))
    add_within(b, old[:1])
    for _ in range(50):
        new = SliceBuffer(bytes(LARGE))
        add_within(b, CompositeBuffer([old[5:6], new[:1]]))
        old = new
        assert b.pinned_nbytes < 3 * LARGE
    assert assert_whole(b) == bytes(101)


@given(st.lists(st.tuples(st.sampled_from(list(KINDS)), st.binary(max_size=80), st.integers(0, 60)), max_size=80))
def test_gathering_never_shows(steps: list[tuple[str, bytes, int]]) -> None:
    b, model = CompositeBuffer(), b""
    b._keep_within(0)
    for kind, data, n in steps:
        add_within(b, KINDS[kind](data))
        model += data
        taken = b.take_at_most(n)
        assert taken == model[:n]
        model = model[n:]
        assert assert_whole(b) == model


# -- what others are told ------------------------------------------------------------------------------------


def test_a_reader_that_waits_for_a_separator_finds_one_that_is_written_meanwhile() -> None:
    b = CompositeBuffer([bytearray(b"abcdef"), bytearray(b"gh")])
    reader = b.reader()
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.until(b";", limit=100)
    b.write_at(3, b",")
    for _ in range(2):
        with pytest.raises(EOFError):
            reader.until(b";", limit=100)
    b.write_at(3, b";")
    assert reader.until(b";", limit=100) == b"abc"


def test_what_is_written_to_memory_is_looked_at_anew_however_that_came_in() -> None:
    ways: list[Callable[[CompositeBuffer, bytearray], object]] = [
        lambda b, part: b.append(part),
        lambda b, part: b.appendleft(part),
        lambda b, part: b.extend([b"--", part]),
        lambda b, part: b.splice(2, 3, part),
        lambda b, part: b._append_run(CompositeBuffer([part])._index.parts[0].owner, 0, 3),  # type: ignore[union-attr]
    ]
    for bring_in in ways:
        b, memory = CompositeBuffer([b"abc", b"def"]), bytearray(b"xyz")
        bring_in(b, memory)
        assert b.take_until(b";", limit=99) is None
        CompositeBuffer([memory]).write_at(1, b";")
        front = b.take_until(b";", limit=99)
        assert front is not None
        assert front[-1:] == b"x"


def test_what_was_looked_for_in_vain_is_remembered_when_something_else_is_found() -> None:
    b = CompositeBuffer([b"one\ntwo\n"])
    assert b.take_until(b";", limit=99) is None
    assert b.take_until(b"\n", limit=99) == b"one"
    assert b._looks is not None
    assert b._looks.known((b";",))
    assert b.take_until(b";", limit=99) is None
    assert b.take_until(b"\n", limit=99) == b"two"


@pytest.mark.parametrize("change", ["skip", "append", "parse"])
def test_a_parser_whose_comparison_changes_the_buffer_is_asked_anew(change: str) -> None:
    """Comparing parsers runs code of the caller's."""

    class Parser:
        def __init__(self, n: int) -> None:
            self.n = n
            self.act: Callable[[], object] | None = None

        def __call__(self, reader: Reader) -> bytes:
            return reader.take_bytes(self.n)

        def __eq__(self, other: object) -> bool:
            act, self.act = self.act, None
            if act:
                act()
            return self is other

        __hash__ = None  # type: ignore[assignment]

    b = CompositeBuffer([b"abc", b"def"])
    parser = Parser(8)
    assert b.parse(parser, limit=100) is None
    acts: dict[str, Callable[[], object]] = {
        "skip": lambda: b.skip(2),
        "append": lambda: b.append(b"ghijk"),
        "parse": lambda: b.parse(Parser(7), limit=100),
    }
    parser.act = acts[change]
    found = b.parse(parser, limit=100)
    assert found == (b"abcdefgh" if change == "append" else None)
    assert assert_whole(b) == {"skip": b"cdef", "append": b"ijk", "parse": b"abcdef"}[change]
    b.append(b"0123456")
    assert b.parse(parser, limit=100) == {"skip": b"cdef0123", "append": b"ijk01234", "parse": b"abcdef01"}[change]


def in_three_owners() -> tuple[CompositeBuffer, list[weakref.ref[Any]]]:
    """Return a composite in parts of 3, 3 and 4 bytes, and what tells whether their owners are alive."""
    owners = [array.array("B", data) for data in (b"abc", b"def", b"ghij")]
    return CompositeBuffer(owners), [weakref.ref(owner) for owner in owners]


def take_and_see_what_lives() -> None:
    """Take every number of bytes of three parts: with what was taken, the parts that it spanned are gone."""
    for n in range(1, 11):
        b, alive = in_three_owners()
        taken: Any = b.take(n)
        assert taken == WHOLE[:n]
        del taken
        assert [ref() is not None for ref in alive] == [n < 3, n < 6, n < 10], n
        assert assert_whole(b) == WHOLE[n:]


def test_with_what_was_taken_its_parts_are_let_go_of() -> None:
    take_and_see_what_lives()
    whole = bytes(bytearray(1000))
    count = sys.getrefcount(whole)
    b = CompositeBuffer([whole, b"more"])
    assert b.take(1000) == bytes(1000)
    assert sys.getrefcount(whole) == count
    assert assert_whole(b) == b"more"


def test_parts_of_a_separator_are_let_go_of_with_what_stands_before_it() -> None:
    for keepends in (False, True):
        owners = [array.array("B", byte) for byte in (b"a", b"b")]
        alive = [weakref.ref(owner) for owner in owners]
        b = CompositeBuffer([b"x", b"y", *owners, b"cd"])
        owners.clear()
        taken = b.take_until(b"ab", limit=9, keepends=keepends)
        assert taken == (b"xyab" if keepends else b"xy")
        del taken
        assert [ref() for ref in alive] == [None, None]
        assert assert_whole(b) == b"cd"


def test_both_ways_to_copy_count_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled one is taken interpreted, too."""
    b = small()
    for _ in range(2):
        with copy_audit() as audit:
            assert (bytes(b), b.tobytes()) == (WHOLE, WHOLE)
        assert audit.by_reason == {"bytes": len(WHOLE), "tobytes": len(WHOLE)}
        if not COMPILED:
            monkeypatch.setattr("bytebufs.composite_buffer.COMPILED", True)


@pytest.mark.skipif(COMPILED, reason="a compiled module has its constants built in: none can be patched")
def test_the_compiled_way_to_take_lets_go_of_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs.composite_buffer.COMPILED", True)
    take_and_see_what_lives()


def test_what_is_taken_behind_a_header_does_not_keep_the_part_of_the_header() -> None:
    for header, n in ((3, 8), (3, 10), (4, 8), (6, 9), (7, 10)):
        b, alive = in_three_owners()
        taken = b._detach(0, header, n, n)
        assert taken == WHOLE[header:n]
        assert [ref() is not None for ref in alive] == [False, header < 6, True]
        assert taken.part_count == 1 + (header < 6)
        assert assert_whole(b) == WHOLE[n:]


@patched
def test_a_check_lets_go_first_of_what_no_memory_was_left_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(table: Table, *args: object) -> object:
        raise MemoryError

    b = small()
    content = bytes(b)
    with monkeypatch.context() as patch:
        patch.setattr(Table, "trim", no_memory)
        patch.setattr(CompositeBuffer, "_grow", lambda b, entries, size: b._index.parts.extend(entries) or no_memory(b))
        with pytest.raises(MemoryError):
            b.append(bytearray(b"more"))
    assert b._frayed
    assert assert_whole(b) == content
    assert not b._frayed


@patched
def test_bytes_that_somebody_takes_while_a_separator_is_looked_for_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread may by mistake, interpreted."""

    def taken(b: CompositeBuffer, separator: bytes) -> None:
        raise IndexError("list index out of range")

    b = CompositeBuffer([b"one;two"])
    with monkeypatch.context() as patch:
        patch.setattr(CompositeBuffer, "_look_for", taken)
        with pytest.raises(Busy, match=IN_USE):
            b.take_until(b";", limit=9)
    assert b.take_until(b";", limit=9) == b"one"


@interpreted
def test_a_separator_that_was_found_is_where_it_was_or_the_buffer_is_busy() -> None:
    """Also where neither end has moved: a change in the middle, between looking and draining."""

    def change(b: CompositeBuffer) -> None:
        try:
            b.splice(1, 2, b";")
        except (Busy, IndexError):
            return  # it is at work, or so little is left
        changed.append(b)

    calls: dict[str, tuple[bytes, Callable[[CompositeBuffer], object], set[bytes]]] = {
        "found": (b"one;two", lambda b: b.take_until(b";", limit=9), {b"two", b"t;o", b"e;two", b"o;e;two"}),
        "one of two": (b"one;two", lambda b: b.take_until(b";", b"!", limit=9), {b"two", b"t;o", b"e;two", b"o;e;two"}),
        "not there": (b"onetwo", lambda b: b.skip_until(b";"), {b"", b"etwo", b"o;etwo"}),
    }
    for name, (data, call, after) in calls.items():
        changed: list[CompositeBuffer] = []
        busy = 0
        for b, found in at_each_step(lambda data=data: CompositeBuffer([data]), call, change):  # type: ignore[misc]
            assert found.error is None or isinstance(found.error, Busy)
            busy += found.error is not None
            assert assert_whole(b) in after, (name, found)
        assert busy
        assert changed


def test_a_finalizer_in_the_middle_of_a_mend_is_told_that_the_buffer_is_busy() -> None:
    """What a change left that was cut short is let go of by the next one; that is a change, too."""
    b = CompositeBuffer([b"abc", b"de", b"fgh"])
    b.skip(3)
    met: list[object] = []

    def act() -> None:
        met.append(bytes(b))
        try:
            b.append(b"in between")
        except Busy as error:
            met.append(type(error))

    owner = array.array("B", b"laid among the dead")
    weakref.finalize(owner, act).atexit = False
    b._index.parts[0] = CompositeBuffer([owner])._entries()[0]
    b._index.parts.append(b"left behind")
    del owner
    b._locked = b._frayed = True
    b.append(b"next")
    assert met == [b"defgh", Busy]
    assert assert_whole(b) == b"defghnext"


def test_runs_of_one_owner_are_one_part_and_others_are_not() -> None:
    memory = bytearray(b"0123456789")
    b = CompositeBuffer([b"before, ", memoryview(memory)[:2]])
    owner = _last_owner(b)
    b._append_run(owner, 2, 4)
    b._append_run(owner, 4, 5)
    assert (assert_whole(b), b.part_count) == (b"before, 01234", 2)
    b._append_run(owner, 6, 7)
    b._append_run(CompositeBuffer([memory])._index.parts[0].owner, 7, 9)  # type: ignore[union-attr]
    assert (assert_whole(b), b.part_count) == (b"before, 01234678", 3)
    b.clear()
    b._append_run(owner, 9, 10)
    assert (assert_whole(b), b.part_count) == (b"9", 1)
    b.skip(1)
    reader = b.reader()
    b._append_run(owner, 0, 3)
    assert reader.take_bytes(3) == b"012"
    with pytest.raises(RuntimeError, match="the buffer is being parsed"):
        b.parse(lambda r: b._append_run(owner, 3, 4), limit=9)
    assert assert_whole(b) == b"012"
    gathering = CompositeBuffer(coalesce_below=9)
    with copy_audit() as audit:
        gathering._append_run(owner, 0, 3)
        gathering._append_run(owner, 5, 6)
    assert assert_whole(gathering) == b"0125"
    assert audit.by_reason == {"coalesce": 4}


@interpreted
def test_what_is_cut_off_while_a_position_is_looked_up_is_gone_and_no_more() -> None:
    """As a signal handler does it, in place, where most of the parts stay."""

    def looked_into() -> CompositeBuffer:
        b = CompositeBuffer([b"ab"] * 20)
        assert b[30] == ord("a")
        return b

    for b, _ in at_each_step(looked_into, lambda b: b[39], lambda b: b.truncate(33)):
        kept = bytes(b)
        assert kept == (b"ab" * 20)[: len(b)]
        b._check()
        b.extend([b"xyz"] * 9)
        assert [b[i] for i in range(len(b))] == list(kept + b"xyz" * 9)
