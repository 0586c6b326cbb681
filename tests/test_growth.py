"""Growth: whatever is searched, compared or consumed, twice as much of it is twice the work, for hostile bytes too.

Work is counted, as lines of the package and bytes that C looks at, so that no clock is asked.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, Final

import pytest

from bytebufs import (
    COMPILED,
    BaseBuffer,
    CompositeBuffer,
    Delimited,
    FrameError,
    LengthPrefixed,
    LimitExceeded,
    Lines,
    Reader,
    SliceBuffer,
    Underrun,
    VarintPrefixed,
)
from bytebufs._core.parts import LazyOwner
from bytebufs.testing import HOSTILE, HostileStream

from .conftest import IS_QUICK, IS_SHORT
from .counting import Work, counted

pytestmark = pytest.mark.skipif(COMPILED, reason="inside compiled code nothing is counted")

FAR: Final = 1 << 40
"""A limit that nothing reaches."""

FEW: Final = (800, 1_600) if IS_QUICK else (250, 500, 1_000, 2_000)
SIZES: Final = FEW if IS_SHORT else (500, 1_000, 2_000, 4_000)
BEYOND_FEW: Final = (6_000, 12_000)
"""Where what is looked at flat, up to 1 KiB, is not all, not even of a quarter."""

Job = Callable[[int], Callable[[], object]]
"""Makes something of a size, and returns what is counted."""


def works(job: Job, sizes: tuple[int, ...] = SIZES) -> list[Work]:
    found = []
    for n in sizes:
        call = job(n)
        with counted() as work:
            call()
        found.append(work)
    return found


def assert_linear(job: Job, sizes: tuple[int, ...] = SIZES) -> None:
    """Twice as much may cost a tenth more than twice the work: what doubles in steps, as blocks do, is not smooth."""
    totals = [work.total for work in works(job, sizes)]
    assert totals[-1] > 0
    assert all(second <= 2.2 * first + 1_000 for first, second in pairwise(totals)), totals
    assert totals[-1] <= 1.1 * sizes[-1] / sizes[0] * totals[0] + 4_000, totals


def test_the_check_bites() -> None:
    def each_with_each(n: int) -> Callable[[], object]:
        b = CompositeBuffer([b"a"] * (n // 10))
        return lambda: [b.find(b"b") for _ in range(n // 10)]

    with pytest.raises(AssertionError):
        assert_linear(each_with_each)


def test_each_turn_of_a_loop_on_one_line_counts() -> None:
    with counted(__file__) as work:
        assert sum(number for number in range(1_000)) == 499_500
    assert 1_000 < work.lines < 1_010


# -- searching -----------------------------------------------------------------------------------------------


def in_a_map(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


LAYOUTS: Final[Mapping[str, Callable[[bytes], BaseBuffer]]] = {
    "one part": SliceBuffer,
    "halves": lambda data: CompositeBuffer([data[: len(data) // 2], data[len(data) // 2 :]]),
    "one-byte parts": lambda data: CompositeBuffer([data[k : k + 1] for k in range(len(data))]),
    "parts of 1 and 100": lambda data: CompositeBuffer(
        [part for k in range(0, len(data), 101) for part in (data[k : k + 1], data[k + 1 : k + 101])]
    ),
    "arrays": lambda data: CompositeBuffer([bytearray(data[k : k + 50]) for k in range(0, len(data), 50)]),
    "a map": lambda data: SliceBuffer(in_a_map(data)),
}

NEEDLES: Final[Mapping[str, Callable[[int], tuple[bytes, bytes]]]] = {
    "one byte that is not there": lambda n: (b"a" * n, b"b"),
    "two bytes that come often": lambda n: (b"ab" * (n // 2), b"ab"),
    "nearly there": lambda n: (b"a" * n, b"a" * 49 + b"b"),
    "nearly there, backwards": lambda n: (b"a" * n, b"b" + b"a" * 49),
    "half of all, wrong at its end": lambda n: (b"a" * n, b"a" * (n // 2) + b"b"),
    "half of all, wrong at its beginning": lambda n: (b"a" * n, b"b" + b"a" * (n // 2)),
    "half of all, wrong at its second byte": lambda n: (b"a" * n, b"ab" + b"a" * (n // 2)),
    "half of all, everywhere": lambda n: (b"a" * n, b"a" * (n // 2)),
    "a quarter, of a period": lambda n: (b"aab" * (n // 3), b"aab" * (n // 12) + b"b"),
}

SEARCHES: Final[Mapping[str, Callable[[BaseBuffer, bytes], object]]] = {
    "find": lambda b, needle: b.find(needle),
    "rfind": lambda b, needle: b.rfind(needle),
    "index": lambda b, needle: needle in b and b.index(needle),
    "rindex": lambda b, needle: needle in b and b.rindex(needle),
    "count": lambda b, needle: b.count(needle),
    "in": lambda b, needle: needle in b,
    "startswith": lambda b, needle: b.startswith((needle, b"x" + needle)),
    "endswith": lambda b, needle: b.endswith((needle, needle + b"x")),
    "partition": lambda b, needle: b.partition(needle),
    "rpartition": lambda b, needle: b.rpartition(needle),
    "split": lambda b, needle: b.split(needle),
    "split a few": lambda b, needle: b.split(needle, 3),
    "strip": lambda b, needle: b.strip(needle[:100]),
    "removeprefix": lambda b, needle: b.removeprefix(needle),
    "splitlines": lambda b, needle: b.splitlines(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("needle", NEEDLES)
@pytest.mark.parametrize("search", SEARCHES)
def test_searching_is_linear(search: str, needle: str, layout: str) -> None:
    def job(n: int) -> Callable[[], object]:
        text, sub = NEEDLES[needle](n)
        b = LAYOUTS[layout](text)
        return lambda: SEARCHES[search](b, sub)

    assert_linear(job, BEYOND_FEW)


@pytest.mark.parametrize("line", [b"\r", b"\n", b"\r\n", b"xxxxxxx\n", b"\n\r\r"], ids=repr)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_splitting_into_lines_is_linear(line: bytes, layout: str) -> None:
    def job(n: int) -> Callable[[], object]:
        b = LAYOUTS[layout](line * (n // len(line)))
        return lambda: b.splitlines(keepends=True)

    assert_linear(job, BEYOND_FEW)


# -- comparing -----------------------------------------------------------------------------------------------

PAIRS: Final[Mapping[str, Callable[[int], tuple[BaseBuffer, BaseBuffer]]]] = {
    "one and two": lambda n: (CompositeBuffer([b"a"] * n), CompositeBuffer([b"aa"] * (n // 2))),
    "nearly cut alike": lambda n: (
        CompositeBuffer(([b"a"] * 64 + [b"aa"]) * (n // 50)), CompositeBuffer(([b"a"] * 64 + [b"a", b"a"]) * (n // 50)),
    ),
    "alike for a while": lambda n: (
        CompositeBuffer(([b"a" * 100] + [b"a"] * 100) * (n // 100)),
        CompositeBuffer(([b"a" * 100] + [b"a"] * 98 + [b"aa"]) * (n // 100)),
    ),
    "bytes and arrays": lambda n: (
        CompositeBuffer([b"a"] * n), CompositeBuffer([bytearray(b"a") for _ in range(n)]),
    ),
    "wrong at the end": lambda n: (CompositeBuffer([b"a"] * n), CompositeBuffer([b"a"] * (n - 1) + [b"b"])),
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("compared", ["==", "<", "<=", ">", ">="])
def test_comparing_is_linear(compared: str, pair: str) -> None:
    calls: dict[str, Callable[[Any, Any], object]] = {
        "==": lambda x, y: x == y, "<": lambda x, y: x < y, "<=": lambda x, y: x <= y, ">": lambda x, y: x > y,
        ">=": lambda x, y: x >= y,
    }  # fmt: skip

    def job(n: int) -> Callable[[], object]:
        x, y = PAIRS[pair](n)
        return lambda: calls[compared](x, y)

    assert_linear(job, BEYOND_FEW)


@pytest.mark.parametrize("compared", ["==", "<", "<=", ">", ">="])
def test_what_is_shared_costs_the_same_however_long_it_is(compared: str) -> None:
    calls: dict[str, Callable[[Any, Any], object]] = {
        "==": lambda x, y: x[:-1] == y, "<": lambda x, y: x < y, "<=": lambda x, y: x <= y, ">": lambda x, y: x > y,
        ">=": lambda x, y: x >= y,
    }  # fmt: skip

    def job(n: int) -> Callable[[], object]:
        x = SliceBuffer(LazyOwner(n << 20))  # who looks at it fails
        y = x[:-1]
        return lambda: calls[compared](x, y)

    totals = [work.total for work in works(job)]
    assert max(totals) <= min(totals) + 20, totals


# -- consuming -----------------------------------------------------------------------------------------------


def polls(byte: bytes, *calls: Callable[[CompositeBuffer], object]) -> Job:
    """Append byte by byte, and make all the calls after each."""

    def job(n: int) -> Callable[[], object]:
        b = CompositeBuffer()

        def run() -> None:
            for _ in range(n):
                b.append(byte)
                for call in calls:
                    call(b)

        return run

    return job


def takes(sep: bytes) -> Callable[[CompositeBuffer], object]:
    return lambda b: b.take_until(sep, limit=FAR)


def parses(fn: Callable[[Reader], object]) -> Callable[[CompositeBuffer], object]:
    return lambda b: b.parse(fn, limit=FAR)


CONSUMED: Final[Mapping[str, Job]] = {
    "take_until": polls(b"x", takes(b"\r\n")),
    "take_until what begins": polls(b"\r", takes(b"\r\n")),
    "take_until what is nearly there": polls(b"a", takes(b"a" * 255 + b"b")),
    "take_until two in turn": polls(b"x", takes(b"\r\n"), takes(b"\n")),
    "take_until three in turn": polls(b"\r", takes(b"\r\n"), takes(b"\n"), takes(b"\r\r\n")),
    "take_until one of two": polls(b"x", lambda b: b.take_until(b"\r\n", b"\n\n", limit=FAR)),
    "take_until one of two that begin": polls(b"\r", lambda b: b.take_until(b"\r\n", b"\r\r\n", limit=FAR)),
    "skip_until": polls(b"x", lambda b: b.skip_until(b"\r\n")),
    "skip_until what is nearly there": polls(b"a", lambda b: b.skip_until(b"a" * 30 + b"b")),
    "parse a line": polls(b"\r", parses(lambda r: r.line(limit=FAR))),
    "parse until": polls(b"a", parses(lambda r: r.until(b"a" * 30 + b"b", limit=FAR))),
    "parse lines as they come": polls(b"x\n", parses(lambda r: r.line(limit=FAR))),
}


@pytest.mark.parametrize("job", CONSUMED.values(), ids=CONSUMED)
def test_consuming_is_linear(job: Job) -> None:
    assert_linear(job, FEW)


TAKES: Final[Mapping[str, Callable[[CompositeBuffer], object]]] = {
    "first": lambda b: b.first() and b.take(1),
    "take_part": lambda b: b.take_part(),
    "take_bytes": lambda b: b.take_bytes(1),
    "take_bytes of many": lambda b: b.take_bytes(min(50, len(b))),
    "take_until one of two": lambda b: b.take_until(b"x", b"xy", limit=FAR),
    "skip_until": lambda b: b.skip_until(b"x"),
}


@pytest.mark.parametrize("take", TAKES)
def test_emptying_it_is_linear(take: str) -> None:
    def job(n: int) -> Callable[[], object]:
        b = CompositeBuffer([b"x"] * n)

        def run() -> None:
            while len(b) > 1:  # of the last one a longer separator may begin
                TAKES[take](b)

        return run

    assert_linear(job, SIZES[-3:])


def test_parsing_lines_that_have_all_come_is_linear() -> None:
    """None is looked for the end that never comes: CR and LF, to the end of all."""

    def job(n: int) -> Callable[[], object]:
        b = CompositeBuffer([b"x\n" * n])
        return lambda: [b.parse(lambda r: r.line(limit=FAR), limit=FAR) for _ in range(n)]

    assert_linear(job)


def test_parsing_a_long_literal_is_linear() -> None:
    def job(n: int) -> Callable[[], object]:
        literal = b"a" * n
        b = CompositeBuffer()

        def message(r: Reader) -> int:
            r.expect(literal)
            return 1

        def run() -> None:
            for _ in range(n):
                b.append(b"a")
                b.parse(message, limit=FAR)

        return run

    assert_linear(job)


READS: Final[Mapping[str, Callable[[Reader], object]]] = {
    "line": lambda r: r.line(limit=FAR),
    "until": lambda r: r.until(b"\r\n\r\n", limit=FAR),
    "until what is nearly there": lambda r: r.until(b"x" * 40 + b"!", limit=FAR),
    "until one of two": lambda r: r.until(b"x" * 40 + b"!", b"\r\n", limit=FAR),
    "cstring": lambda r: r.cstring(limit=FAR),
}


@pytest.mark.parametrize("names", [*[(name,) for name in READS], tuple(READS)[:4]], ids=" and ".join)
def test_polling_a_live_reader_is_linear(names: tuple[str, ...]) -> None:
    def job(n: int) -> Callable[[], object]:
        b = CompositeBuffer()
        r = b.reader()

        def run() -> None:
            for _ in range(n):
                b.append(b"x")
                for name in names:
                    with pytest.raises(Underrun):
                        READS[name](r)

        return run

    assert_linear(job, FEW)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("line", [b"x\n", b"x\r\n", b"xxxxxxxxxxx\n"], ids=repr)
def test_reading_lines_is_linear(layout: str, line: bytes) -> None:
    def job(n: int) -> Callable[[], object]:
        r = LAYOUTS[layout](line * n).reader()
        return lambda: [r.line(limit=FAR) for _ in range(n)]

    assert_linear(job)


# -- framers -------------------------------------------------------------------------------------------------


def feeds(make: Callable[[], Any], text: bytes, chunk: int = 1) -> Job:
    def job(n: int) -> Callable[[], object]:
        framer = make()
        data = (text * n)[:n]
        return lambda: [list(framer.feed(data[at : at + chunk])) for at in range(0, n, chunk)]

    return job


FRAMED: Final[Mapping[str, Job]] = {
    "16 bytes, nearly there": feeds(lambda: Delimited(b"a" * 15 + b"b", limit=FAR), b"a"),
    "256 bytes, nearly there": feeds(lambda: Delimited(b"a" * 255 + b"b", limit=FAR), b"a"),
    "256 bytes, nearly there, in chunks": feeds(lambda: Delimited(b"a" * 255 + b"b", limit=FAR), b"a", 100),
    "half there": feeds(lambda: Delimited(b"a" * 255 + b"b", limit=FAR), b"a" * 128 + b"c"),
    "20 separators": feeds(lambda: Delimited(*[bytes([65 + k, 65, 1]) for k in range(20)], limit=FAR), b"A"),
    "9 prefixes of one another": feeds(lambda: Delimited(*[b"a" * k + b"b" for k in range(1, 10)], limit=FAR), b"a"),
    "rare beside frequent": feeds(lambda: Delimited(b";", b"\r\n\r\n", limit=FAR), b"x;\r\n\r", 64),
    "too long, skipped": feeds(lambda: Delimited(b"\r\n", limit=3, on_error="skip"), b"\r"),
    "lines": feeds(lambda: Lines(FAR), b"x\n", 100),
    "lines, only CR": feeds(lambda: Lines(FAR), b"\r"),
    "length prefixes": feeds(lambda: LengthPrefixed(2, limit=FAR), b"\0\5abcde", 3),
    "length prefixes, skipped": feeds(lambda: LengthPrefixed(2, limit=4, on_error="skip"), b"\0\5abcde", 3),
    "one long frame": feeds(lambda: LengthPrefixed(4, limit=FAR), b"\0\1\0\0"),
    "varint prefixes": feeds(lambda: VarintPrefixed(limit=FAR), b"\5abcde"),
}


@pytest.mark.parametrize("job", FRAMED.values(), ids=FRAMED)
def test_framing_is_linear(job: Job) -> None:
    assert_linear(job)


# -- hostile streams -----------------------------------------------------------------------------------------

HOSTILE_SIZES: Final = (2_000, 4_000)
"""Below the limit of 8 KiB, where who is refused costs nothing more, and above the size of a segment."""

TAKERS: Final[Mapping[str, Callable[[], Callable[[Any], object]]]] = {
    "Lines": lambda: fed(Lines(HostileStream.LIMIT)),
    "Delimited": lambda: fed(Delimited(*[b"a" * k + b"b" for k in (1, 16, 255)], limit=HostileStream.LIMIT)),
    "LengthPrefixed": lambda: fed(LengthPrefixed(4, limit=HostileStream.LIMIT + 4)),
    "VarintPrefixed": lambda: fed(VarintPrefixed(HostileStream.LIMIT)),
    "parse": lambda: parsed_by_lines(CompositeBuffer(coalesce_below=256)),
}


def fed(framer: Any) -> Callable[[Any], object]:
    return lambda chunk: list(framer.feed(chunk))


def parsed_by_lines(b: CompositeBuffer) -> Callable[[Any], object]:
    def line(r: Reader) -> bytes:  # the same each time: what it waits for is remembered of it
        return bytes(r.line(limit=HostileStream.LIMIT))

    def take(chunk: Any) -> None:
        b.append(chunk)
        while b.parse(line, limit=HostileStream.LIMIT + 2) is not None:
            pass

    return take


@pytest.mark.parametrize("stream", HOSTILE, ids=str)
@pytest.mark.parametrize("taker", TAKERS)
def test_hostile_streams_are_linear_work(taker: str, stream: HostileStream) -> None:
    """Byte by byte: what came in large chunks is looked at as often as others choose."""

    def job(n: int) -> Callable[[], object]:
        data = b"".join(stream.make(n))
        take = TAKERS[taker]()

        def run() -> None:
            with suppress(FrameError, LimitExceeded):
                for k in range(n):
                    take(data[k : k + 1])

        return run

    assert_linear(job, HOSTILE_SIZES)
