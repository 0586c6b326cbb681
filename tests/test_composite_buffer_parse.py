"""parse() rule by rule, pack() and reserve(), and what becomes of all three when parts are joined or rewritten.

The rules of parse() stand in its docstring and in docs/design.md; each has at least one test here.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import itertools
import random
import struct
import types
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from operator import methodcaller
from typing import Any, Final

import numpy as np
import pytest
from google.protobuf.internal import encoder
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bytebufs import (
    BaseBuffer,
    ClosedError,
    CompositeBuffer,
    CopyForbidden,
    FrameError,
    LimitExceeded,
    Reader,
    SliceBuffer,
    Underrun,
    copy_audit,
    no_copy,
)
from bytebufs._core.search import find
from bytebufs.reader import ByteOrder

from .conftest import IS_SHORT
from .layouts import MAKERS, FakeFile, addresses, chunks, hidden

COMPILED: Final = type(CompositeBuffer.append).__name__ != "function"
KINDS: Final = ("bytes", "piece of bytes", "bytearray", "lazy", "slice", "composite")

Change = Callable[[CompositeBuffer], object]


class Runs:
    """A parser that counts its runs, and what it lacked in each."""

    def __init__(self, parser: Callable[[Reader], Any]) -> None:
        self.parser = parser
        self.count = 0
        self.lacked: set[tuple[int, bytes | None]] = set()

    def __call__(self, r: Reader) -> Any:
        self.count += 1
        try:
            return self.parser(r)
        except Underrun as error:
            self.lacked.add((r.position + (0 if error.separator else error.requested), error.separator))
            raise


def body(r: Reader) -> bytes:
    """Read a message: its length in two bytes, then that many bytes."""
    return r.take_bytes(r.u16())


def in_turn(*reads: Callable[[Reader], Any]) -> Callable[[Reader], list[Any]]:
    """Return a parser that makes some reads, of which some may give nothing."""
    return lambda r: [read(r) for read in reads]


def stock() -> CompositeBuffer:
    return CompositeBuffer([b"ab", bytearray(b"cde"), hidden(b"fghi"), b"jkl"])


def state(b: BaseBuffer) -> tuple[list[bytes], list[int], object]:
    """Return all that a change could change: the parts, where their bytes lie, and the count of changes."""
    b._check()
    return [bytes(view) for view in b.views()], addresses(b), b._changes()


def refuses(b: CompositeBuffer, error: type[Exception], call: Callable[[], object], words: str | None = None) -> Any:
    """Assert that a call raises exactly this error and that the buffer is what it was. Return the error."""
    before = state(b)
    with pytest.raises(error, match=words) as caught:
        call()
    assert type(caught.value) is error
    assert state(b) == before
    return caught.value


# -- what is drained -----------------------------------------------------------------------------------------


def test_what_the_reader_passed_is_drained_and_the_value_returned() -> None:
    b = stock()
    value = object()

    def parser(r: Reader) -> object:
        r.skip(1)
        r.take(3)
        r.peek(5)
        return value

    assert b.parse(parser, limit=9) is value
    assert b == b"efghijkl"


def test_a_seek_counts_back_and_forth() -> None:
    def back(r: Reader) -> int:
        r.skip(9)
        r.seek(4)
        return 1

    def forth(r: Reader) -> int:
        r.seek(5)
        return 2

    b = stock()
    assert b.parse(back, limit=9) == 1
    assert b == b"efghijkl"
    assert b.parse(forth, limit=9) == 2
    assert b == b"jkl"
    assert b.parse(in_turn(methodcaller("seek", 3)), limit=9) == [None]
    assert len(b) == 0


def test_what_a_child_reads_is_drained_by_its_parent_alone() -> None:
    def parser(r: Reader) -> int:
        child = r.sub(6)
        child.skip(1)
        return 1

    b = stock()
    assert b.parse(parser, limit=9) == 1
    assert b == b"ghijkl"


@pytest.mark.parametrize("value", [False, 0, b"", "", [], SliceBuffer(b"x", 1)], ids=lambda v: type(v).__name__)
def test_a_false_value_is_an_answer(value: Any) -> None:
    b = CompositeBuffer([b"\1\2"])
    seen = []

    def parser(r: Reader) -> Any:
        r.skip(1)
        return value

    while (answer := b.parse(parser, limit=9)) is not None:
        seen.append(answer)
    assert seen == [value, value]


def test_a_parser_that_reads_nothing_drains_nothing() -> None:
    b = stock()
    before = state(b)
    for _ in range(2):
        assert b.parse(lambda r: "nothing", limit=0) == "nothing"
        assert state(b) == before


def test_the_byte_order_is_the_reader_s() -> None:
    orders: list[tuple[ByteOrder, int]] = [("big", 0x0102), ("little", 0x0201)]
    for byteorder, value in orders:
        assert CompositeBuffer([b"\1", b"\2"]).parse(Reader.u16, limit=2, byteorder=byteorder) == value
    assert CompositeBuffer([b"\1\2"]).parse(Reader.u16, limit=2) == 0x0102


# -- not yet -------------------------------------------------------------------------------------------------


def test_an_underrun_is_none_and_drains_nothing() -> None:
    b = CompositeBuffer([b"\0", bytearray(b"\5he"), b"ll"])
    before = state(b)
    for _ in range(3):
        assert b.parse(body, limit=9) is None
        assert state(b) == before
    assert CompositeBuffer().parse(body, limit=9) is None


def test_slices_taken_before_an_underrun_stay_valid() -> None:
    taken: list[SliceBuffer] = []

    def parser(r: Reader) -> int:
        taken.append(r.take(4))
        return r.u64() + r.u64()

    b = stock()
    assert b.parse(parser, limit=99) is None
    b.clear()
    b.append(b"something else")
    assert taken[0] == b"abcd"
    assert addresses(taken[0])[2] == addresses(taken[0][2:])[0]


def test_a_parser_may_deal_with_an_underrun_itself() -> None:
    def optional(r: Reader) -> bytes:
        first = r.take_bytes(2)
        try:
            return first + r.take_bytes(20)
        except Underrun:
            return first

    b = stock()
    assert b.parse(optional, limit=99) == b"ab"
    assert b == b"cdefghijkl"


def test_an_earlier_underrun_of_the_same_reader_is_not_yet_either() -> None:
    """Which of two failed is told is the parser's business: it waits for that one."""

    def parser(r: Reader) -> int:
        try:
            return r.u64()
        except Underrun as wider:
            with contextlib.suppress(Underrun):
                r.u32()
            raise wider

    runs = Runs(parser)
    b = CompositeBuffer([b"abc"])
    for byte in b"defgh":
        assert b.parse(runs, limit=8) is None
        b.append(bytes([byte]))
    assert runs.count == 1
    assert b.parse(runs, limit=8) == int.from_bytes(b"abcdefgh")


# -- what a parser may not return ----------------------------------------------------------------------------


async def coroutine(r: Reader) -> bytes:
    return r.take_bytes(2)


async def async_generator(r: Reader) -> AsyncIterator[bytes]:
    yield r.take_bytes(2)


def generator(r: Reader) -> Iterator[bytes]:
    yield r.take_bytes(2)


@types.coroutine
def old_coroutine(r: Reader) -> Generator[None, None, bytes]:
    yield
    return r.take_bytes(2)


class Awaitable:
    def __init__(self, r: Reader) -> None:
        r.skip(2)

    def __await__(self) -> Iterator[None]:
        yield


def nothing(r: Reader) -> None:
    r.skip(2)


@pytest.mark.parametrize(
    "parser", [nothing, coroutine, async_generator, generator, old_coroutine, Awaitable], ids=lambda f: f.__name__
)
def test_none_generators_and_awaitables_are_type_errors_and_drain_nothing(parser: Callable[[Reader], Any]) -> None:
    """Warnings are errors here: a coroutine that nobody awaited would fail this test too."""
    b = stock()
    words = (
        "returns its message, and never None"
        if parser is nothing
        else "is a plain function, no generator and not async"
    )
    refuses(b, TypeError, lambda: b.parse(parser, limit=99), words)
    gc.collect()
    assert b.parse(lambda r: r.take_bytes(12), limit=12) == b"abcdefghijkl"


def test_what_only_looks_a_little_like_them_is_an_answer() -> None:
    for value in (iter([1]), range(3), (), lambda: None, CompositeBuffer, Underrun(1, 0), NotImplemented):
        assert stock().parse(lambda r: value, limit=9) is value  # noqa: B023  # called at once


# -- errors --------------------------------------------------------------------------------------------------


def of_a_child(r: Reader) -> int:
    r.skip(2)
    return r.sub(3).u32()


def of_a_taken_slice(r: Reader) -> int:
    return r.take(3).reader().u32()


def of_a_slice_of_it_all(r: Reader) -> int:
    r.u64()
    return SliceBuffer(b"abc").reader().u32()


def of_unpack_from(r: Reader) -> Any:
    return r.take(3).unpack_from(">I")


def of_another_composite(r: Reader) -> Any:
    return CompositeBuffer([r.take(3)]).take(4)


def of_a_child_s_separator(r: Reader) -> Any:
    return r.sub(3).until(b"\n", limit=9)


def of_its_own_making(r: Reader) -> Any:
    raise Underrun(4, 3)


def of_a_child_after_one_of_its_own(r: Reader) -> Any:
    with contextlib.suppress(Underrun):
        r.take(90)
    return r.sub(3).take(4)


@pytest.mark.parametrize(
    "parser",
    [
        of_a_child, of_a_taken_slice, of_a_slice_of_it_all, of_unpack_from, of_another_composite,
        of_a_child_s_separator, of_its_own_making, of_a_child_after_one_of_its_own,
    ],
    ids=lambda f: f.__name__,
)  # fmt: skip
def test_an_underrun_of_anything_else_can_never_become_right(parser: Callable[[Reader], Any]) -> None:
    runs = Runs(parser)
    b = stock()
    for n in (1, 2):
        error = refuses(b, FrameError, lambda: b.parse(runs, limit=99), "can never become right")
        assert isinstance(error.__cause__, Underrun)
        said = str(error.__cause__).partition(" (at byte")[0]
        assert said in str(error)
        assert getattr(error, "at", -1) == error.__cause__.at
        assert runs.count == n, "it is not waited for"


def test_what_can_never_become_right_tells_its_place_in_the_message() -> None:
    def message(r: Reader) -> int:
        r.skip(1)
        child = r.sub(8)
        child.skip(2)
        return child.sub(4).sub(3).u32()

    raw = bytes(12)
    for cut in range(9, len(raw)):
        b = CompositeBuffer([raw[:cut], raw[cut:]])
        with pytest.raises(FrameError, match=r"right: 4 bytes were asked for, 3 are there \(at byte 3\)$") as error:
            b.parse(message, limit=99)
        assert error.value.at == 3


@pytest.mark.parametrize(
    "error",
    [LookupError("x"), FrameError("bad", 3), EOFError("not ours"), StopIteration(), KeyboardInterrupt(), SystemExit(3)],
    ids=lambda e: type(e).__name__,
)
def test_any_other_exception_passes_and_nothing_is_drained(error: BaseException) -> None:
    def parser(r: Reader) -> Any:
        r.skip(4)
        raise error

    b = stock()
    before = state(b)
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            b.parse(parser, limit=9)
        assert caught.value is error
        assert state(b) == before
    b.append(b"m")
    assert b.parse(lambda r: r.take_bytes(13), limit=13) == b"abcdefghijklm"


def test_an_underrun_in_the_cause_of_another_error_is_that_other_error() -> None:
    def parser(r: Reader) -> Any:
        try:
            return r.take(99)
        except Underrun as error:
            raise LookupError("no") from error

    b = stock()
    refuses(b, LookupError, lambda: b.parse(parser, limit=99))


def test_arguments_are_checked_before_anything_else() -> None:
    b, runs = stock(), Runs(body)
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {"limit": -1}),
        (TypeError, {"limit": 1.0}),
        (TypeError, {"limit": "1"}),
        (TypeError, {"limit": None}),
        (ValueError, {"limit": 9, "byteorder": "middle"}),
    ]
    for error, options in wrong:
        refuses(b, error, functools.partial(b.parse, runs, **options))
    with pytest.raises(TypeError):
        b.parse(runs)  # type: ignore[call-arg]
    refuses(b, TypeError, lambda: b.parse(b"no parser", limit=9))  # type: ignore[arg-type]
    assert runs.count == 0
    assert b.parse(lambda r: r.take_bytes(1), limit=np.int64(1)) == b"a"
    assert b.parse(lambda r: r.take_bytes(1), limit=2**70) == b"b"


# -- the limit -----------------------------------------------------------------------------------------------

READS: Final[Mapping[str, tuple[bytes, Callable[[Reader], Any]]]] = {
    "u8": (b"x", Reader.u8),
    "u16": (b"xx", Reader.u16),
    "u24": (b"xxx", Reader.u24),
    "f64": (bytes(8), Reader.f64),
    "uint": (bytes(7), methodcaller("uint", 7)),
    "varint": (b"\x80\x80\x01", Reader.varint),
    "take": (b"abcd", methodcaller("take", 4)),
    "take_bytes": (b"abcd", methodcaller("take_bytes", 4)),
    "peek": (b"abcd", methodcaller("peek", 4)),
    "skip and peek": (b"abcd", in_turn(methodcaller("skip", 2), methodcaller("peek", 2))),
    "seek": (b"abcd", in_turn(methodcaller("seek", 4))),
    "there and back": (b"abcd", in_turn(methodcaller("skip", 4), methodcaller("seek", 0))),
    "text": (b"abcd", methodcaller("text", 4)),
    "array": (b"abcd", methodcaller("array", "H", 2)),
    "unpack": (b"abcd", methodcaller("unpack", ">HH")),
    "expect": (b"abcd", in_turn(methodcaller("expect", b"abcd"))),
    "until": (b"ab\r\n", methodcaller("until", b"\r\n", limit=2)),
    "line": (b"ab\r\n", methodcaller("line", limit=2)),
    "sub": (b"abcd", methodcaller("sub", 4)),
}


@pytest.mark.parametrize("name", READS)
def test_a_read_may_end_at_the_limit_and_not_one_byte_behind(name: str) -> None:
    raw, parser = READS[name]
    for kind in KINDS:
        for cut in range(len(raw)):
            whole = [MAKERS[kind](piece) for piece in (raw[:cut], raw[cut:], b"and more") if piece]
            assert CompositeBuffer(whole).parse(parser, limit=len(raw)) is not None
            b = CompositeBuffer(whole)
            for limit in range(len(raw)):
                error = refuses(b, LimitExceeded, functools.partial(b.parse, parser, limit=limit))
                assert error.limit == limit


def test_what_has_not_come_is_held_against_the_limit_as_well() -> None:
    """defects.md O20: a length from the wire is refused at once, not waited for, and never allocated."""
    for length in (8, 9, 0xFFFF):
        b, runs = CompositeBuffer([struct.pack(">H", length)]), Runs(body)
        if length == 8:
            assert b.parse(runs, limit=10) is None
        else:
            refuses(b, LimitExceeded, functools.partial(b.parse, runs, limit=10))
        assert runs.count == 1
    enormous = CompositeBuffer([b"\xff" * 8])
    refuses(enormous, LimitExceeded, lambda: enormous.parse(lambda r: r.take_bytes(r.u64()), limit=1 << 30))
    assert enormous.parse(lambda r: r.take_bytes(r.u64()), limit=1 << 70) is None


def test_the_limit_counts_from_the_front_of_each_message() -> None:
    b = CompositeBuffer([b"\0\3abc" * 5])
    seen = 0
    while b.parse(body, limit=5) is not None:
        seen += 1
    assert (seen, len(b)) == (5, 0)


def test_a_parser_that_deals_with_the_limit_itself_may_go_on() -> None:
    def parser(r: Reader) -> bytes:
        with pytest.raises(LimitExceeded):
            r.take(5)
        return r.take_bytes(4)

    assert stock().parse(parser, limit=4) == b"abcd"


# -- what is remembered --------------------------------------------------------------------------------------


def test_a_parser_runs_again_only_once_the_offset_is_reached() -> None:
    runs = Runs(body)
    b = CompositeBuffer()
    counts = []
    for byte in b"\0\5hello":
        assert b.parse(runs, limit=9) is None
        counts.append(runs.count)
        b.append(bytes([byte]))
    assert counts == [0, 1, 2, 2, 2, 2, 2]
    assert b.parse(runs, limit=9) == b"hello"
    assert (runs.count, len(runs.lacked)) == (3, 2)


def test_on_an_empty_buffer_no_parser_runs_and_nothing_is_remembered() -> None:
    """The loop that the docs teach asks once more when all has been taken, once for each chunk that came."""
    runs, other = Runs(methodcaller("take", 3)), Runs(lambda r: True)
    b = CompositeBuffer([b"abcd"])
    assert b.parse(runs, limit=9) == b"abc"
    assert b.parse(runs, limit=9) is None
    b.clear()
    for empty in (b, CompositeBuffer(), CompositeBuffer([b"", FakeFile(b"")])):
        for parser in (runs, other):
            assert empty.parse(parser, limit=0) is None
        for wrong, error in ((-1, ValueError), (1.5, TypeError)):
            with pytest.raises(error):
                empty.parse(runs, limit=wrong)  # type: ignore[arg-type]
    assert (runs.count, other.count) == (2, 0)
    b.append(b"xyz")
    assert b.parse(runs, limit=9) == b"xyz"


def test_inside_of_a_parser_that_left_nothing_parse_is_refused_as_ever() -> None:
    b = CompositeBuffer([b"abc"])

    def parser(r: Reader) -> bytes:
        found = r.take_bytes(3)
        with pytest.raises(RuntimeError, match="is being parsed"):
            b.parse(parser, limit=3)
        return found

    assert b.parse(parser, limit=3) == b"abc"


def test_the_offset_counts_from_the_front_wherever_the_reader_was() -> None:
    def parser(r: Reader) -> Any:
        r.skip(3)
        child = r.sub(2)
        r.seek(1)
        return child.u16() + r.unpack(">HI")[0]

    runs = Runs(parser)
    b = CompositeBuffer([b"gone"])
    b.skip(4)
    for byte in b"abcdefg":
        b.append(bytes([byte]))
        assert (b.parse(runs, limit=9) is None) == (byte != ord("g"))
    assert runs.count == 4  # for 3, 5 and 7 bytes, and the one that has them all


@pytest.mark.parametrize(
    ("parser", "missing"),
    [
        (Reader.u32, 4),
        (Reader.varint, 2),
        (methodcaller("take", 7), 7),
        (methodcaller("peek", 6), 6),
        (methodcaller("sub", 5), 5),
        (methodcaller("text", 5), 5),
        (methodcaller("array", "H", 3), 6),
        (methodcaller("unpack", ">HHI"), 8),
        (in_turn(methodcaller("expect", b"\x80\x80\x80\x80")), 4),
        (in_turn(methodcaller("seek", 9)), 9),
        (in_turn(Reader.u8, methodcaller("skip", 5)), 6),
    ],
    ids=["u32", "varint", "take", "peek", "sub", "text", "array", "unpack", "expect", "seek", "behind another"],
)
def test_every_read_says_what_it_waits_for(parser: Callable[[Reader], Any], missing: int) -> None:
    runs = Runs(parser)
    b = CompositeBuffer([b"\x80"])
    while True:
        assert b.parse(runs, limit=99) is None
        assert runs.count == 1
        if len(b) == missing - 1:
            break
        b.append(b"\x80")
    b.append(b"\x01" if parser is Reader.varint else b"\x80")
    with contextlib.suppress(UnicodeDecodeError):
        b.parse(runs, limit=99)
    assert runs.count == 2


def test_a_varint_is_waited_for_as_a_whole() -> None:
    for raw, most in ((b"\xff" * 9 + b"\x01", 10), (b"\x80" * 3, 3), (b"\xff" * 10, 12)):
        runs = Runs(methodcaller("varint", max_bytes=most))
        b = CompositeBuffer()
        for byte in raw[:-1]:
            b.append(bytes([byte]))
            assert b.parse(runs, limit=99) is None
        assert runs.count == 1
        b.append(raw[-1:])
        if raw[-1] < 0x80:
            assert b.parse(runs, limit=99) == 2**64 - 1
        else:
            with pytest.raises(FrameError, match="the varint has more than"):
                b.parse(runs, limit=99)
        assert runs.count == 2


def test_a_varint_that_passes_the_limit_is_an_error_as_soon_as_its_next_byte_would() -> None:
    b = CompositeBuffer()
    for _ in range(4):
        b.append(b"\x80")
        assert b.parse(Reader.varint, limit=5) is None
    b.append(b"\x80")
    with pytest.raises(LimitExceeded):
        b.parse(Reader.varint, limit=5)


def test_what_is_written_over_bytes_that_were_read_is_a_reason_to_run_again() -> None:
    b = CompositeBuffer([bytearray(b"\x09123")])
    runs = Runs(lambda r: r.take_bytes(r.u8()))
    assert b.parse(runs, limit=99) is None
    b.write_at(0, b"\x02")
    assert b.parse(runs, limit=99) == b"12"
    assert runs.count == 2


class Protocol:
    """A parser that is a method: each look at it makes another object, which is equal."""

    def __init__(self) -> None:
        self.runs = 0

    def parse(self, r: Reader) -> int:
        self.runs += 1
        return r.u64()


def test_what_is_missing_is_kept_for_an_equal_parser() -> None:
    protocol, other = Protocol(), Protocol()
    b = CompositeBuffer([b"abc"])
    for _ in range(3):
        assert b.parse(protocol.parse, limit=9) is None
    assert protocol.runs == 1
    assert b.parse(other.parse, limit=9) is None
    assert b.parse(protocol.parse, limit=9) is None
    assert (protocol.runs, other.runs) == (2, 1), "another parser in between, and it is forgotten"
    partial = [functools.partial(Protocol.parse, protocol) for _ in range(2)]
    for parser in (*partial, *partial):
        assert b.parse(parser, limit=9) is None
    assert protocol.runs == 6, "partials are equal only to themselves"


def test_another_byte_order_is_another_parser() -> None:
    runs = Runs(Reader.u64)
    b = stock()
    b.truncate(4)
    orders: list[ByteOrder] = ["big", "big", "little", "little", "big"]
    counts = []
    for byteorder in orders:
        assert b.parse(runs, limit=9, byteorder=byteorder) is None
        counts.append(runs.count)
    assert counts == [1, 1, 2, 2, 3]


def test_a_limit_that_is_smaller_now_is_held_against_what_is_missing() -> None:
    runs = Runs(Reader.u64)
    b = CompositeBuffer([b"abc"])
    assert b.parse(runs, limit=20) is None
    assert b.parse(runs, limit=8) is None
    assert b.parse(runs, limit=99) is None
    assert runs.count == 1
    refuses(b, LimitExceeded, lambda: b.parse(runs, limit=7))
    assert runs.count == 2


FORGETTING: Final[Mapping[str, Change]] = {
    "take": lambda b: b.take(1),
    "take_at_most": lambda b: b.take_at_most(1),
    "take_until": lambda b: b.take_until(b"b", limit=9),
    "skip": lambda b: b.skip(1),
    "appendleft": lambda b: b.appendleft(b"x"),
    "insert": lambda b: b.insert(1, b"x"),
    "splice": lambda b: b.splice(1, 2),
    "splice in place": lambda b: b.splice(1, 2, b"x"),
    "splice at the end": lambda b: b.splice(5, 6, b"x"),
    "truncate": lambda b: b.truncate(5),
    "clear": lambda b: b.clear(),
    "consolidate": lambda b: b.consolidate(),
    "compact": lambda b: b.compact(),
    "skip and put back": lambda b: b.appendleft(b.take(2)),
    "another parser": lambda b: b.parse(lambda r: r.u64(), limit=9),
    "another parser's error": lambda b: refuses(b, TypeError, lambda: b.parse(nothing, limit=9)),
}
KEEPING: Final[Mapping[str, Change]] = {
    "append": lambda b: b.append(b"x"),
    "append nothing": lambda b: b.append(b""),
    "+=": lambda b: b.__iadd__(b"x"),
    "extend": lambda b: b.extend([b"", b"x"]),
    "insert at the end": lambda b: b.insert(len(b), b"x"),
    "pack": lambda b: b.pack(">B", 1),
    "pack_varint": lambda b: b.pack_varint(1),
    "pack_uint": lambda b: b.pack_uint(1, 1),
    "reserve": lambda b: b.reserve(1),
    "take nothing": lambda b: b.take(0),
    "take_until that finds nothing": lambda b: b.take_until(b"\n", limit=99),
    "truncate to all": lambda b: b.truncate(len(b)),
    "consolidate one part": lambda b: b.consolidate(0, 2),
    "find": lambda b: b.find(b"c"),
    "a reader": lambda b: b.reader().u16(),
    "freeze": lambda b: b.freeze(),
    "copy": copy.copy,
    "repr": repr,
}


def six_bytes() -> CompositeBuffer:
    """Return six bytes, of which the last pins far more than itself."""
    return CompositeBuffer([b"ab", bytearray(b"cde"), memoryview(b"f" + bytes(9000))[:1]])


@pytest.mark.parametrize("name", FORGETTING)
def test_another_parser_or_a_change_other_than_at_the_end_makes_it_run_again(name: str) -> None:
    for parser in (methodcaller("take", 9), methodcaller("until", b"\n", limit=90)):
        runs = Runs(parser)
        b = six_bytes()
        for n in (1, 2):
            assert b.parse(runs, limit=99) is None
            assert b.parse(runs, limit=99) is None
            assert runs.count == n
            if n == 1:
                FORGETTING[name](b)
                if not b:
                    b.append(b"xy")


@pytest.mark.parametrize("name", KEEPING)
def test_growth_at_the_end_and_looking_are_no_reason_to_run_again(name: str) -> None:
    for parser in (methodcaller("take", 9), methodcaller("until", b"\n", limit=90)):
        runs = Runs(parser)
        b = six_bytes()
        assert b.parse(runs, limit=99) is None
        KEEPING[name](b)
        assert b.parse(runs, limit=99) is None
        assert runs.count == 1
        b.append(b"xyz\n")
        assert b.parse(runs, limit=99) is not None
        assert runs.count == 2


def test_an_error_is_no_reason_to_wait() -> None:
    def parser(r: Reader) -> int:
        r.skip(3)
        raise FrameError("bad")

    runs = Runs(parser)
    b = stock()
    for n in (1, 2, 3):
        refuses(b, FrameError, lambda: b.parse(runs, limit=9))
        assert runs.count == n


def test_the_next_message_is_waited_for_on_its_own() -> None:
    runs = Runs(body)
    b = CompositeBuffer([b"\0\3abc\0\3d"])
    assert b.parse(runs, limit=9) == b"abc"
    assert b.parse(runs, limit=9) is None
    b.append(b"e")
    assert b.parse(runs, limit=9) is None
    assert runs.count == 2
    b.append(b"f\0\0")
    assert b.parse(runs, limit=9) == b"def"
    assert b.parse(runs, limit=9) == b""
    assert runs.count == 4


def test_a_varint_is_taken_as_soon_as_its_last_byte_is_there() -> None:
    """However many bytes come at once, and whatever comes with that: the parser runs once in vain."""
    for length, step, behind in itertools.product(range(1, 10), (1, 2, 3, 5), (0, 4)):
        value = 1 << (7 * length - 1)
        b, packed = CompositeBuffer(), CompositeBuffer()
        packed.pack_varint(value)
        data = bytes(packed) + bytes([0x80]) * behind
        runs: list[int] = []

        def varint(reader: Reader, runs: list[int] = runs) -> int:
            runs.append(reader.position)
            return reader.varint()

        for at in range(0, length, step):
            b.append(data[at : at + step])
            found = b.parse(varint, limit=20)
            assert found == (value if at + step >= length else None)
        assert len(packed) == length
        assert len(runs) == (1 if length <= step else 2)


# -- separators ----------------------------------------------------------------------------------------------


def test_for_a_separator_parse_itself_goes_on_looking() -> None:
    runs = Runs(methodcaller("until", b"\r\n", limit=20))
    b = CompositeBuffer()
    for byte in b"GET /\r HTTP\r\r":
        b.append(bytes([byte]))
        assert b.parse(runs, limit=99) is None
    assert runs.count == 1
    b.append(b"\n")
    assert b.parse(runs, limit=99) == b"GET /\r HTTP\r"
    assert runs.count == 2


def test_a_separator_is_looked_for_from_where_the_read_began() -> None:
    def parser(r: Reader) -> tuple[bytes, bytes]:
        head = r.take_bytes(3)
        return head, bytes(r.line(limit=5))

    runs = Runs(parser)
    b = CompositeBuffer([b"a\nb"])
    for byte in b"cd\r":
        assert b.parse(runs, limit=99) is None
        b.append(bytes([byte]))
    assert b.parse(runs, limit=99) is None
    b.append(b"\n")
    assert b.parse(runs, limit=99) == (b"a\nb", b"cd")
    assert runs.count == 2


def parsed(b: CompositeBuffer, parser: Callable[[Reader], Any], limit: int) -> Any:
    """Return what a parser answers, or the limit that it exceeds."""
    try:
        return b.parse(parser, limit=limit)
    except LimitExceeded as error:
        return error.limit


@pytest.mark.parametrize(
    ("parser", "limit", "of"),
    [
        (methodcaller("until", b"\r\n", limit=5), 99, 5),
        (methodcaller("until", b"\r\n", limit=50), 7, 7),
        (methodcaller("line", limit=5), 99, 5),
        (methodcaller("line", limit=50), 6, 6),
    ],
    ids=["until", "until, of the message", "line", "line, of the message"],
)
def test_a_separator_that_can_come_no_more_within_the_limit_is_told_at_once(
    parser: Callable[[Reader], Any], limit: int, of: int
) -> None:
    for filler in (b"xxxxxxxxx", b"xxxxx\rxxx"):
        runs = Runs(parser)
        b = CompositeBuffer()
        answer = None
        for byte in filler:
            b.append(bytes([byte]))
            if (answer := parsed(b, runs, limit)) is not None:
                break
        assert answer == of
        assert len(b) <= 7
        assert runs.count == 2, "once to learn what is waited for, once to say that it cannot come"


def test_a_smaller_limit_is_held_against_a_separator_too() -> None:
    runs = Runs(methodcaller("until", b"\n", limit=90))
    b = CompositeBuffer([b"abcdef"])
    assert b.parse(runs, limit=99) is None
    assert b.parse(runs, limit=7) is None
    assert runs.count == 1
    refuses(b, LimitExceeded, lambda: b.parse(runs, limit=6))


def test_one_separator_after_another_costs_one_run_each() -> None:
    def parser(r: Reader) -> list[bytes]:
        lines = []
        while line := bytes(r.line(limit=20)):
            lines.append(line)
        return lines

    runs = Runs(parser)
    b = CompositeBuffer()
    stream = b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: y\r\n\r\n"
    for byte in stream:
        assert b.parse(runs, limit=99) is None
        b.append(bytes([byte]))
    assert b.parse(runs, limit=99) == [b"HTTP/1.1 200 OK", b"Server: x", b"Date: y"]
    assert runs.count == 1 + 4


# -- inside a parser -----------------------------------------------------------------------------------------

MEDDLING: Final[Mapping[str, Change]] = {
    "append": lambda b: b.append(b"x"),
    "append a bytearray": lambda b: b.append(bytearray(b"x")),
    "append itself": lambda b: b.append(b),
    "+=": lambda b: b.__iadd__(b"x"),
    "extend": lambda b: b.extend([b"x"]),
    "appendleft": lambda b: b.appendleft(b"x"),
    "insert": lambda b: b.insert(3, b"x"),
    "insert in front": lambda b: b.insert(0, b"x"),
    "insert at the end": lambda b: b.insert(12, b"x"),
    "splice": lambda b: b.splice(0, 2),
    "take": lambda b: b.take(1),
    "take all of a part": lambda b: b.take(2),
    "take_all": lambda b: b.take_all(),
    "take_at_most": lambda b: b.take_at_most(99),
    "take_until": lambda b: b.take_until(b"c", limit=9),
    "skip": lambda b: b.skip(1),
    "truncate": lambda b: b.truncate(2),
    "clear": lambda b: b.clear(),
    "pack": lambda b: b.pack(">B", 1),
    "pack much": lambda b: b.pack(">2000s", b"x"),
    "pack_varint": lambda b: b.pack_varint(1),
    "pack_uint": lambda b: b.pack_uint(1, 1),
    "reserve": lambda b: b.reserve(1),
    "reserve nothing": lambda b: b.reserve(0),
    "consolidate": lambda b: b.consolidate(),
    "parse": lambda b: b.parse(body, limit=1 << 20),
}
LOOKING: Final[Mapping[str, Change]] = {
    "len": len,
    "index": lambda b: b[3],
    "slice": lambda b: b[2:9].compact(),
    "find": lambda b: b.find(b"fg"),
    "compare": lambda b: b == b"abcdefghijkl",
    "iterate": list,
    "a reader": lambda b: b.reader().u64(),
    "freeze": lambda b: b.freeze(),
    "copy": lambda b: copy.copy(b).take(5),
    "write_at": lambda b: b.write_at(2, b"c"),
    "another buffer's parse": lambda b: CompositeBuffer([b[:4]]).parse(Reader.u32, limit=9),
    "another buffer's wait": lambda b: CompositeBuffer([b[:4]]).parse(Reader.u64, limit=9),
}


@pytest.mark.parametrize("name", MEDDLING)
def test_a_change_or_a_parse_inside_a_parser_is_refused_before_anything_moves(name: str) -> None:
    b = stock()
    outside = b.reader()

    def careless(r: Reader) -> bytes:
        r.skip(1)
        MEDDLING[name](b)
        return b"done"

    def careful(r: Reader) -> bytes:
        r.skip(1)
        refuses(b, RuntimeError, lambda: MEDDLING[name](b), "the buffer is being parsed")
        assert r.u8() == ord("b")
        assert outside.u8() == ord("a"), "readers are not ended by what did not happen"
        return b"done"

    refuses(b, RuntimeError, lambda: b.parse(careless, limit=9), "the buffer is being parsed")
    assert b.parse(careful, limit=9) == b"done"
    assert b == b"cdefghijkl"
    MEDDLING[name](stock())


@pytest.mark.parametrize("name", LOOKING)
def test_looking_at_what_is_parsed_is_allowed(name: str) -> None:
    b = stock()

    def parser(r: Reader) -> bytes:
        LOOKING[name](b)
        return r.take_bytes(3)

    assert b.parse(parser, limit=9) == b"abc"


def test_after_any_end_of_a_parser_the_buffer_can_be_changed_again() -> None:
    ends: list[Callable[[Reader], Any]] = [Reader.u8, lambda r: r.take(99), nothing, of_a_child, lambda r: 1 // 0]
    for end in ends:
        b = stock()
        with contextlib.suppress(TypeError, FrameError, ZeroDivisionError):
            b.parse(end, limit=99)
        b.append(b"m")
        b.skip(1)
        assert b[-1:] == b"m"


@pytest.mark.parametrize(
    "end",
    [Reader.u8, methodcaller("take", 99), methodcaller("take", 999), nothing, of_a_child, coroutine],
    ids=["answer", "underrun", "limit", "None", "error", "coroutine"],
)
def test_the_reader_and_its_children_are_closed_afterwards(end: Callable[[Reader], Any]) -> None:
    kept: list[Reader] = []

    def parser(r: Reader) -> Any:
        kept.extend([r, r.sub(3)])
        r.seek(0)
        r.peek(1)
        kept[1].u8()
        return end(r)

    b = stock()
    with contextlib.suppress(TypeError, FrameError, LimitExceeded):
        b.parse(parser, limit=99)
    for reader in kept:
        for use in (reader.u8, reader.varint, lambda: reader.position, lambda: reader.take(0)):  # noqa: B023
            with pytest.raises(ClosedError, match="the reader is closed"):
                use()


def test_a_parse_that_drains_ends_the_readers_outside_and_one_that_waits_does_not() -> None:
    b = stock()
    r = b.reader()
    assert b.parse(methodcaller("take", 99), limit=99) is None
    assert r.u8() == ord("a")
    assert b.parse(Reader.u8, limit=99) == ord("a")
    with pytest.raises(RuntimeError, match="changed under its reader"):
        r.u8()


class Watched(bytearray):
    """A bytearray of which one can tell whether it is still there."""


@pytest.mark.parametrize(
    "parser",
    [
        methodcaller("take", 99),
        methodcaller("until", b"\n", limit=90),
        Reader.varint,
        lambda r: [r.u8() for _ in range(99)],
        of_a_child,
        of_a_taken_slice,
        of_a_child_after_one_of_its_own,
        lambda r: r.take(999),
        nothing,
        generator,
        coroutine,
    ],
    ids=[
        "take", "until", "varint", "one by one", "child", "slice", "child and own", "limit", "None", "generator",
        "coroutine",
    ],
)  # fmt: skip
def test_a_parser_that_did_not_succeed_keeps_nothing_alive(parser: Callable[[Reader], Any]) -> None:
    """defects.md O14. An error that stays in a frame of its own traceback is a cycle, which only gc undoes."""

    def taking(r: Reader) -> Any:
        held = r.take(2)  # lives in this frame, and that in the traceback
        return parser(r) if held else None

    gc.disable()
    try:
        memory = Watched(b"\x80" * 6)
        watch = weakref.ref(memory)
        b = CompositeBuffer([memory])
        del memory
        with contextlib.suppress(TypeError, FrameError, LimitExceeded):
            b.parse(taking, limit=100)
        assert watch() is not None
        b.clear()
        assert watch() is None
    finally:
        gc.enable()


def test_parsing_copies_nothing() -> None:
    def parser(r: Reader) -> tuple[SliceBuffer, SliceBuffer, SliceBuffer, Reader]:
        return r.take(r.u16()), r.until(b";", limit=9), r.line(limit=9), r.sub(3)

    raw = b"\0\4bodysep;line\r\nsub"
    for kind in KINDS:
        b = CompositeBuffer([MAKERS[kind](piece) for piece in chunks(raw, [3] * 9)])
        where = addresses(b)
        with no_copy(strict=True):
            answer = b.parse(parser, limit=99)
        assert answer is not None
        assert [addresses(part) for part in answer[:3]] == [where[2:6], where[6:9], where[10:14]]


# -- any cut -------------------------------------------------------------------------------------------------


def message(r: Reader) -> tuple[Any, ...]:
    """Read a message of one of several shapes, with reads of every kind."""
    kind = r.u8()
    if kind == 0:
        return kind, r.take_bytes(r.varint())
    if kind == 1:
        return kind, bytes(r.line(limit=12)), r.u16_le()
    if kind == 2:
        return kind, [r.u32() for _ in range(r.u8())]
    if kind == 3:
        child = r.sub(r.u8())
        return kind, child.take_bytes(child.remaining), bytes(r.until(b"--", limit=8))
    raise FrameError("unknown", r.position)


MESSAGES: Final = st.one_of(
    st.binary(max_size=12).map(lambda raw: b"\0" + encoder_varint(len(raw)) + raw),
    st.lists(st.sampled_from(b"ab\r"), max_size=9).map(lambda raw: b"\1" + bytes(raw) + b"\r\n\1\2"),
    st.lists(st.integers(0, 2**32 - 1), max_size=3).map(lambda n: struct.pack(f">BB{len(n)}I", 2, len(n), *n)),
    st.tuples(st.binary(max_size=4), st.lists(st.sampled_from(b"a-b"), max_size=5).map(bytes))
    .filter(lambda pair: (pair[1] + b"--").index(b"--") == len(pair[1]))
    .map(lambda pair: b"\3" + bytes([len(pair[0])]) + pair[0] + pair[1] + b"--"),
)
ENDINGS: Final = st.sampled_from(
    [b"", b"\4", b"\1abc", b"\1" + b"x" * 13, b"\0\xff\xff\x01", b"\0" + b"\xff" * 10, b"\3\2a"]
)


def encoder_varint(value: int) -> bytes:
    made: Any = encoder
    return bytes(made._VarintBytes(value))


def all_messages(b: CompositeBuffer, parser: Callable[[Reader], Any], found: list[Any]) -> None:
    while (answer := b.parse(parser, limit=40)) is not None:
        found.append(answer)


def fed(stream: bytes, parts: Sequence[Any]) -> tuple[list[Any], str, bytes]:
    """Return the messages of a stream that comes in parts, the error that ends it, and what is left."""
    b, runs = CompositeBuffer(), Runs(message)
    found: list[Any] = []
    size = 0

    def counted(r: Reader) -> Any:
        before = len(found)
        answer = runs(r)
        assert runs.count <= len(runs.lacked) + 1, "once more than it has different underruns, at most"
        assert len(found) == before
        runs.count = 0
        runs.lacked.clear()
        return answer

    for part in parts:
        b.append(part)
        size += len(part)
        try:
            all_messages(b, counted, found)
        except (FrameError, LimitExceeded) as error:
            return found, repr(error), b""  # how much was there then depends on the cut
        b._check()
    assert size == len(stream)
    return found, "", bytes(b)


@given(messages=st.lists(MESSAGES, max_size=5), ending=ENDINGS, data=st.data())
def test_the_messages_and_the_error_do_not_depend_on_the_cut(
    messages: list[bytes], ending: bytes, data: st.DataObject
) -> None:
    stream = b"".join(messages) + ending
    whole = fed(stream, [stream])
    assert len(whole[0]) == len(messages)
    assert fed(stream, list(chunks(stream, [1] * len(stream)))) == whole
    sizes = data.draw(st.lists(st.integers(1, 9), max_size=20))
    parts = [MAKERS[data.draw(st.sampled_from(KINDS))](piece) for piece in chunks(stream, sizes)]
    assert fed(stream, [piece for part in parts for piece in (b"", SliceBuffer(part))]) == whole


# -- the work is linear --------------------------------------------------------------------------------------

LONG: Final = 20_000 if IS_SHORT else 100_000

WORK: Final[Mapping[str, tuple[Callable[[Reader], SliceBuffer], bytes, int]]] = {
    "a length in a header": (lambda r: r.take(r.u32()), (LONG - 4).to_bytes(4) + bytes(LONG - 4), 3),
    "a varint": (lambda r: r.take(r.varint()), encoder_varint(LONG - 3) + bytes(LONG - 3), 3),
    "a byte at the end": (methodcaller("until", b"\n", limit=LONG), b"x" * (LONG - 1) + b"\n", 2),
    "a line end": (methodcaller("line", limit=LONG), b"x" * (LONG - 2) + b"\r\n", 2),
    "an empty line": (methodcaller("until", b"\r\n\r\n", limit=LONG), b"header\r\n" * (LONG // 8) + b"\r\n", 2),
    "what nearly is the end": (methodcaller("until", b"\r\n", limit=LONG), b"\r" * (LONG - 1) + b"\n", 2),
}


@pytest.mark.parametrize("name", WORK)
def test_a_long_message_in_100_000_parts_costs_few_runs_and_one_search(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """defects.md N11, O10."""
    parser, stream, most = WORK[name]
    searched = 0

    def counting(table: Any, start: int, stop: int, needle: bytes) -> int:
        nonlocal searched
        searched += max(0, stop - start)
        return find(table, start, stop, needle)

    if not COMPILED:  # compiled modules call each other directly: nothing can be counted in between
        monkeypatch.setattr("bytebufs._core.seeker.find", counting)
    runs = Runs(parser)
    b = CompositeBuffer()
    for k in range(len(stream)):
        assert b.parse(runs, limit=2 * LONG) is None
        b.append(stream[k : k + 1])
    answer = b.parse(runs, limit=2 * LONG)
    assert answer is not None
    assert len(stream) >= LONG
    assert len(answer) >= LONG - 4
    assert len(b) == 0
    assert runs.count <= most <= len(runs.lacked) + 1
    assert most <= 3
    assert searched <= 2 * len(stream)


@pytest.mark.parametrize("name", WORK)
def test_every_byte_is_looked_at_a_few_times_whoever_looks(name: str) -> None:
    """In both builds: each byte is a part of its own that counts who looks at it."""
    parser, stream, _ = WORK[name]
    parts = [FakeFile(stream[k : k + 1]) for k in range(LONG // 20)]
    b = CompositeBuffer()
    for part in parts:
        b.append(part)
        assert b.parse(parser, limit=2 * LONG) is None
    assert sum(part.looks for part in parts) <= 4 * len(parts)


# -- pack ----------------------------------------------------------------------------------------------------

PACKS: Final = st.one_of(
    st.integers(0, 2**64 - 1).map(lambda v: (("pack_varint", (v,)), encoder_varint(v))),
    st.tuples(st.integers(0, 2**40), st.integers(6, 12), st.sampled_from(["big", "little"])).map(
        lambda args: (("pack_uint", args), args[0].to_bytes(args[1], args[2]))  # type: ignore[arg-type]
    ),
    st.integers(-(2**31), 2**31 - 1).map(lambda v: (("pack", ("<ih", v, 7)), struct.pack("<ih", v, 7))),
    st.binary(max_size=40).map(lambda raw: (("pack", (f">{len(raw)}s", raw)), raw)),
    st.sampled_from([1000, 1024, 1025, 4096, 5000]).map(lambda n: (("pack", (f"={n}x",)), bytes(n))),
    st.binary(max_size=9).map(lambda raw: (("append", (raw,)), raw)),
)


@given(steps=st.lists(PACKS, max_size=40), coalesce=st.sampled_from([0, 0, 6]), drains=st.lists(st.integers(0, 60)))
def test_packs_equal_struct_and_no_view_ever_moves(
    steps: list[tuple[tuple[str, tuple[Any, ...]], bytes]], coalesce: int, drains: list[int]
) -> None:
    b, model = CompositeBuffer(coalesce_below=coalesce), b""
    handed_out: list[tuple[SliceBuffer, memoryview, list[int], bytes]] = []
    for k, ((name, args), raw) in enumerate(steps):
        before = len(b)
        getattr(b, name)(*args)
        model += raw
        assert b == model
        b._check()
        piece = b[before:]
        if raw and piece.is_contiguous:
            handed_out.append((piece, piece.view(), addresses(piece), raw))
        n = min(drains[k], len(b)) if k < len(drains) else 0
        assert b.take(n) == model[:n]
        model = model[n:]
    for piece, view, where, raw in handed_out:
        assert piece == raw
        assert bytes(view) == raw
        assert addresses(piece) == where
        assert view.readonly


def test_a_header_is_one_bytes_object_what_is_longer_shares_a_block_and_large_packs_have_their_own() -> None:
    b = CompositeBuffer([b"head"])
    with no_copy(strict=True):
        for k in range(16):
            b.pack(">I", k)
        assert (b.part_count, b.pinned_nbytes) == (2, 4 + 64), "no block for a header"
        assert bytes(b[4:]) == struct.pack(">16I", *range(16))
        for k in range(240):
            b.pack(">I", k)
        assert (b.part_count, len(b)) == (3, 4 + 64 + 960)
        b.pack(">3000s", b"x")
        assert b.part_count == 4
        b.pack(">I", 1)
        b.pack_varint(1)
        assert b.part_count == 5
        assert b[-5:].pinned_nbytes <= 4096, "a slice of small packs pins a page at most"
    assert b[1028:4028] == b"x" + bytes(2999)


def test_a_header_that_grows_is_made_anew_and_what_shows_it_stays() -> None:
    b = CompositeBuffer()
    b.pack(">I", 0x61626364)
    taken, first, r = b.freeze(), b.take(1), b.reader()
    assert r.u8() == ord("b")
    b.pack(">H", 0x6566)
    assert b.part_count == 1
    assert (r.u16(), r.u16(), r.remaining) == (0x6364, 0x6566, 0)
    assert [bytes(x) for x in (taken, first, b)] == [b"abcd", b"a", b"bcdef"]
    whole = b.take_bytes(5)
    b.append(whole)
    b.pack(">s", b"g")
    b._check()
    assert [whole, bytes(b)] == [b"bcdef", b"bcdefg"]


ENDING: Final[Mapping[str, Change]] = {
    "truncate": lambda b: b.truncate(len(b) - 1),
    "append": lambda b: b.append(b"other"),
    "append memory": lambda b: b.append(bytearray(b"other")),
    "append itself": lambda b: b.append(b),
    "splice": lambda b: b.splice(len(b) - 2, len(b)),
    "reserve": lambda b: b.reserve(3),
    "clear": lambda b: b.clear(),
    "consolidate": lambda b: b.consolidate(),
    "pack more": lambda b: b.pack(">70s", b"longer than a header"),
}


@pytest.mark.parametrize("name", ENDING)
def test_what_was_packed_goes_on_only_where_it_still_ends(name: str) -> None:
    for before in ((), (b"before",), (bytearray(b"before"),)):
        for size in (3, 61, 64, 65, 1024):
            b = CompositeBuffer(before)
            b.pack(f">{size}s", b"a" * size)
            ENDING[name](b)
            model = bytes(b)
            slices = [b.freeze(), b[-2:]]
            contents = [bytes(part) for part in slices]
            for more in (b"bc", b"d", b"e" * 63, b"f"):
                b.pack(f">{len(more)}s", more)
                model += more
                b._check()
            assert b == model
            assert [bytes(part) for part in slices] == contents


def test_packs_after_a_drain_go_on_in_the_block() -> None:
    b = CompositeBuffer()
    b.pack(">I", 1)
    first = b.take(3)
    b.pack(">I", 2)
    assert b.part_count == 1
    b.clear()
    b.pack(">I", 3)
    assert b == b"\0\0\0\3"
    assert first == b"\0\0\0"


def test_composites_pack_into_blocks_of_their_own() -> None:
    b = CompositeBuffer()
    b.pack(">H", 0x6162)
    twin, other = copy.copy(b), CompositeBuffer([b])
    for buffer, letter in ((b, b"1"), (twin, b"2"), (other, b"3")):
        buffer.pack(">s", letter)
    assert [bytes(buffer) for buffer in (b, twin, other)] == [b"ab1", b"ab2", b"ab3"]


def test_what_does_not_fit_is_refused_and_nothing_is_appended() -> None:  # defects.md O16, O20
    b: Any = stock()
    wrong: list[tuple[type[Exception], Callable[[], object]]] = [
        (ValueError, lambda: b.pack("I", 1)),
        (ValueError, lambda: b.pack("@I", 1)),
        (struct.error, lambda: b.pack(">B", 256)),
        (struct.error, lambda: b.pack(">B", -1)),
        (struct.error, lambda: b.pack(">BB", 1)),
        (struct.error, lambda: b.pack(">B", "1")),
        (struct.error, lambda: b.pack(">Z", 1)),
        (ValueError, lambda: b.pack_varint(-1)),
        (ValueError, lambda: b.pack_varint(2**64)),
        (TypeError, lambda: b.pack_varint(1.0)),
        (TypeError, lambda: b.pack_varint("1")),
        (ValueError, lambda: b.pack_uint(256, 1)),
        (ValueError, lambda: b.pack_uint(-1, 1)),
        (ValueError, lambda: b.pack_uint(1, 0)),
        (ValueError, lambda: b.pack_uint(0, -1)),
        (TypeError, lambda: b.pack_uint(1.0, 1)),
        (TypeError, lambda: b.pack_uint(1, 1.0)),
        (ValueError, lambda: b.pack_uint(1, 1, "network")),
        (MemoryError, lambda: b.pack_uint(1, 2**70)),
        (MemoryError, lambda: b.reserve(2**70)),
        (ValueError, lambda: b.reserve(-1)),
        (TypeError, lambda: b.reserve(1.0)),
        (TypeError, lambda: b.reserve("1")),
    ]
    for error, call in wrong:
        refuses(b, error, call)


def test_numbers_at_their_bounds_are_packed() -> None:
    b = CompositeBuffer()
    b.pack_uint(2**24 - 1, 3)
    b.pack_uint(1, 3, "little")
    b.pack_uint(0, 0)
    b.pack_uint(True, np.int8(1))
    b.pack_varint(np.uint64(2**64 - 1))
    b.pack(struct.Struct("!H"), 0xFFFF)
    assert b == b"\xff\xff\xff\1\0\0\1" + b"\xff" * 9 + b"\1\xff\xff"


# -- reserve -------------------------------------------------------------------------------------------------


def test_a_reserved_place_is_appended_now_as_zeros_and_filled_later() -> None:
    b = CompositeBuffer([b"magic"])
    with no_copy(strict=True):
        length = b.reserve(4)
        b.append(b"body")
        assert b == b"magic\0\0\0\0body"
        assert (length.nbytes, length.readonly, length.format, length.ndim) == (4, False, "B", 1)
        length[:] = len(b).to_bytes(4)
    assert b == b"magic\0\0\0\x0dbody"
    assert b.part_count == 3


def test_a_reserved_place_can_be_written_through_its_view_alone() -> None:
    b = CompositeBuffer()
    view = b.reserve(4)
    assert b.readonly
    assert b.view().readonly
    with pytest.raises(TypeError):
        b.write_at(0, b"x")
    view[0] = 1
    assert b == b"\1\0\0\0"


def test_the_view_writes_to_its_bytes_wherever_they_now_are() -> None:
    b = CompositeBuffer([b"ab"])
    view = b.reserve(6)
    b.append(b"cd")
    slices = [b[1:5], b.freeze(), copy.copy(b), CompositeBuffer([b, b[4:]]), b.reader().peek(6)]
    drained = b.take(4)
    b.appendleft(b"front")
    b.splice(6, 7, b"middle")
    view[:] = b"123456"
    assert [bytes(one) for one in slices] == [b"b123", b"ab123456cd", b"ab123456cd", b"ab123456cd3456cd", b"ab1234"]
    assert drained == b"ab12"
    assert b == b"front3middle56cd"
    b.clear()
    del b
    view[0] = ord("x")
    assert drained == b"abx2"


def test_nothing_may_be_reserved() -> None:
    b = stock()
    before = state(b)
    view = b.reserve(0)
    assert (view.nbytes, view.readonly) == (0, False)
    assert state(b) == before


def test_neighbours_that_are_reserved_do_not_run_into_each_other() -> None:
    b = CompositeBuffer()
    views = [b.reserve(2) for _ in range(3)]
    assert b.part_count == 3
    for view, letters in zip(views, (b"ab", b"cd", b"ef"), strict=True):
        view[:] = letters
    assert b == b"abcdef"


HOLDS: Final[Mapping[str, Callable[[memoryview], Any]]] = {
    "the view": lambda view: view,
    "a piece of it": lambda view: view[1:3],
    "a view of it": memoryview,
    "a cast": lambda view: view.cast("H"),
    "a piece of a cast": lambda view: view.cast("H")[1:],
    "an array over it": lambda view: np.frombuffer(view, np.uint8),
    "a composite over it": lambda view: CompositeBuffer([view]),
}


@pytest.mark.parametrize("name", HOLDS)
def test_what_somebody_can_still_write_to_is_neither_joined_nor_rewritten(name: str) -> None:
    b = CompositeBuffer([b"ab", b"cd"])
    view = b.reserve(4)
    b.extend([b"ef", b"gh"])
    held = HOLDS[name](view)
    del view
    b.consolidate()
    assert [bytes(part) for part in b.views()] == [b"abcd", bytes(4), b"efgh"]
    b.consolidate(3, 9)
    assert b.part_count == 3
    b._check()
    if isinstance(held, CompositeBuffer):
        held.write_at(0, b"1")
    else:
        held[0] = ord("1")
    assert b"1" in b
    del held
    b.consolidate()
    assert b.part_count == 1
    assert b"1" in b


def test_a_released_view_holds_nothing() -> None:
    b = CompositeBuffer([b"ab"])
    with b.reserve(2) as view:
        view[:] = b"12"
        b.consolidate()
        assert b.part_count == 2
    b.consolidate()
    assert [bytes(part) for part in b.views()] == [b"ab12"]


def test_joining_is_counted_without_what_stays_where_it_is() -> None:
    b = CompositeBuffer([b"ab", b"cd"])
    view = b.reserve(100)
    b.extend([b"ef", b"gh", b"i"])
    with copy_audit() as audit:
        b.consolidate()
    assert audit.by_reason == {"consolidate": 9}
    with no_copy():
        b.consolidate()
    alone = CompositeBuffer([b"ab"])
    other = alone.reserve(4)
    alone.append(b"cd")
    with no_copy():
        alone.consolidate()
    assert alone.part_count == 3
    assert view.nbytes + other.nbytes == 104


def test_compacting_leaves_what_somebody_can_still_write_to() -> None:
    for hold in HOLDS.values():
        b = CompositeBuffer()
        view = b.reserve(4000)
        b.skip(3990)
        tail = b.freeze()
        held = hold(view[3990:])
        del view
        assert b.compact() == 0
        assert tail.compact() is tail
        before = addresses(b)
        if isinstance(held, CompositeBuffer):
            held.write_at(0, b"12")
        else:
            held[0] = 1
        assert bytes(b) == bytes(tail) != bytes(10)
        del held
        assert b.compact() == 3990
        assert addresses(b) != before
        assert b == tail


def test_a_part_that_is_reserved_is_kept_apart_by_every_composite_that_shows_it() -> None:
    b = CompositeBuffer([b"ab"])
    view = b.reserve(2)
    others = [copy.copy(b), CompositeBuffer([b"x", b, b"y"]), CompositeBuffer([b.take(3), b"z"])]
    for other in others:
        other.consolidate()
        other._check()
    view[:] = b"12"
    assert [bytes(other) for other in others] == [b"ab12", b"xab12y", b"ab1z"]


class Reservations(RuleBasedStateMachine):
    """Whoever holds a view of a reserved place writes to it everywhere; nothing that is done to buffers undoes that.

    The model is a list of cells, one a byte: a list of one number, the same object wherever that byte is shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.buffers: list[tuple[BaseBuffer, list[list[int]]]] = []
        self.buffer = CompositeBuffer()
        self.cells: list[list[int]] = []
        self.views: list[tuple[memoryview, list[list[int]]]] = []

    @rule(raw=st.binary(min_size=1, max_size=4), how=st.sampled_from(["append", "pack", "appendleft"]))
    def add(self, raw: bytes, how: str) -> None:
        cells = [[byte] for byte in raw]
        if how == "pack":
            self.buffer.pack(f">{len(raw)}s", raw)
        else:
            getattr(self.buffer, how)(raw)
        self.cells = cells + self.cells if how == "appendleft" else self.cells + cells

    @rule(n=st.integers(1, 6) | st.just(1500))
    def reserve(self, n: int) -> None:
        cells = [[0] for _ in range(n)]
        self.views.append((self.buffer.reserve(n), cells))
        self.cells = self.cells + cells

    @rule(which=st.integers(0, 99), start=st.integers(0, 3), stop=st.integers(1, 6))
    def narrow(self, which: int, start: int, stop: int) -> None:
        if self.views:
            view, cells = self.views[which % len(self.views)]
            self.views[which % len(self.views)] = view[start:stop], cells[start:stop]

    @rule(which=st.integers(0, 99), at=st.integers(0, 1500), value=st.integers(1, 255))
    def write(self, which: int, at: int, value: int) -> None:
        if self.views:
            view, cells = self.views[which % len(self.views)]
            if cells:
                view[at % len(cells)] = value
                cells[at % len(cells)][0] = value

    @rule(which=st.integers(0, 99))
    def forget(self, which: int) -> None:
        if self.views:
            del self.views[which % len(self.views)]

    @rule(n=st.integers(0, 12) | st.just(1490), slices=st.booleans())
    def drain(self, n: int, slices: bool) -> None:
        n = min(n, len(self.cells))
        if slices:
            self.buffers.append((self.buffer.take(n), self.cells[:n]))
        else:
            self.buffer.skip(n)
        self.cells = self.cells[n:]

    @rule(start=st.integers(0, 12), stop=st.none() | st.integers(12, 20))
    def consolidate(self, start: int, stop: int | None) -> None:
        size = len(self.cells)
        self.buffer.consolidate(min(start, size), None if stop is None else min(stop, size))

    @rule()
    def compact(self) -> None:
        self.buffer.compact()

    @rule(which=st.integers(0, 99))
    def compact_a_slice(self, which: int) -> None:
        slices = [k for k, (one, _) in enumerate(self.buffers) if isinstance(one, SliceBuffer)]
        if slices:
            k = slices[which % len(slices)]
            one, cells = self.buffers[k]
            assert isinstance(one, SliceBuffer)
            self.buffers[k] = one.compact(), cells

    @rule()
    def freeze_and_copy(self) -> None:
        twin = copy.copy(self.buffer)
        twin.consolidate()
        self.buffers += [(self.buffer.freeze(), self.cells), (twin, self.cells)]

    @rule(limit=st.integers(0, 9))
    def parse(self, limit: int) -> None:
        with contextlib.suppress(LimitExceeded):
            taken = self.buffer.parse(lambda r: r.take(3), limit=limit)
            if taken is not None:
                self.buffers.append((taken, self.cells[:3]))
                self.cells = self.cells[3:]

    @invariant()
    def every_byte_is_what_was_written_last(self) -> None:
        for buffer, cells in [(self.buffer, self.cells), *self.buffers[-8:]]:
            buffer._check()
            assert bytes(buffer) == bytes(cell[0] for cell in cells)


TestReservations = Reservations.TestCase


# -- what joining and rewriting mean to the others -----------------------------------------------------------


def test_joining_ends_readers_only_where_it_joins_something() -> None:
    b = stock()
    r = b.reader()
    b.consolidate(0, 2)
    b.consolidate(3, 5)
    assert r.u8() == ord("a")
    b.consolidate(0, 3)
    with pytest.raises(RuntimeError, match="changed under its reader"):
        r.u8()
    r = b.reader()
    b.consolidate(5, 5)
    assert r.u64() == int.from_bytes(b"abcdefgh")


def test_rewriting_ends_readers_only_where_it_frees_something() -> None:
    b = stock()
    r = b.reader()
    assert b.compact() == 0
    assert r.u8() == ord("a")
    b = six_bytes()
    r = b.reader()
    assert b.compact() > 0
    with pytest.raises(RuntimeError, match="changed under its reader"):
        r.u8()


def test_joining_keeps_what_was_taken_and_lets_the_parser_begin_anew() -> None:
    kept: list[SliceBuffer] = []

    def parser(r: Reader) -> SliceBuffer:
        kept.append(r.take(3))
        return r.take(20)

    runs = Runs(parser)
    b = stock()
    where = addresses(b)
    assert b.parse(runs, limit=99) is None
    b.consolidate()
    b.append(b"x" * 11)
    assert b.parse(runs, limit=99) == b"defghijkl" + b"x" * 11
    assert [bytes(one) for one in kept] == [b"abc", b"abc"]
    assert addresses(kept[0]) == where[:3]
    assert addresses(kept[1]) != where[:3]


def test_joining_inside_no_copy_is_refused_and_a_parser_goes_on_waiting() -> None:
    runs = Runs(methodcaller("take", 20))
    b = stock()
    assert b.parse(runs, limit=99) is None
    with no_copy():
        refuses(b, CopyForbidden, b.consolidate)
    assert b.parse(runs, limit=99) is None
    assert runs.count == 1


def test_a_message_is_the_same_whatever_was_done_to_the_parts_before() -> None:
    rng = random.Random(3)
    stream = b"".join(struct.pack(">H", n) + bytes([65 + n]) * n for n in range(12))
    for _ in range(50):
        b = CompositeBuffer()
        found: list[bytes] = []
        for piece in chunks(stream, iter(lambda: rng.randrange(1, 9), 0)):
            b.append(MAKERS[rng.choice(KINDS)](piece))
            change = rng.randrange(4)
            if change == 0:
                b.consolidate(rng.randrange(len(b) + 1))
            elif change == 1:
                b.compact()
            elif change == 2:
                b.appendleft(b.take(rng.randrange(len(b) + 1)))
            while (answer := b.parse(body, limit=99)) is not None:
                found.append(answer)
        assert found == [bytes([65 + n]) * n for n in range(12)]
        assert len(b) == 0


# -- who waits for the rest


def test_it_tells_where_a_parser_has_what_it_waits_for() -> None:
    def message(reader: Reader) -> bytes:
        return reader.take_bytes(reader.u8())

    b = CompositeBuffer([b"\1x\5he"])
    assert b._due() == 0
    assert b.parse(message, limit=10) == b"x"
    assert b.parse(message, limit=10) is None
    assert b._due() == 8
    b.append(b"l")
    assert b.parse(message, limit=10) is None
    assert b._due() == 8
    b.append(b"lo")
    assert b.parse(message, limit=10) == b"hello"
    assert b._due() == 0


def test_it_does_not_tell_where_a_separator_comes_or_of_what_was_drained_meanwhile() -> None:
    def line(reader: Reader) -> SliceBuffer:
        return reader.line(limit=10)

    b = CompositeBuffer([b"abc"])
    assert b.parse(line, limit=20) is None
    assert b._due() == 0
    c = CompositeBuffer([b"abc"])
    assert c.parse(lambda reader: reader.take(5), limit=20) is None
    assert c._due() == 5
    c.skip(1)
    assert c._due() == 0
