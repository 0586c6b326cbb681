"""Seeker: separators in bytes that are still coming, against a search of everything at every step."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer
from bytebufs._core.search import find
from bytebufs._core.seeker import AHEAD, Looks, Seeker

from ..layouts import MAKERS, FakeFile, chunks

COMPILED: Final = type(CompositeBuffer.append).__name__ != "function"

FAR: Final = 1 << 62
"""A limit that nothing reaches."""

# -- the rules, by looking at everything ---------------------------------------------------------------------


def candidates(data: bytes, start: int, seps: Sequence[bytes]) -> Iterator[tuple[int, int, bool]]:
    """Yield where a separator begins, where it ends, and whether all of it has come."""
    for at in range(start, len(data) + 1):
        for sep in seps:
            here = data[at : at + len(sep)]
            if sep.startswith(here):
                yield at, at + len(sep), here == sep


def expected(data: bytes, start: int, seps: Sequence[bytes]) -> tuple[bool, int, int]:
    """Return whether it is decided which separator comes first, and where it begins and ends.

    If it is not decided, the earliest begin and the earliest end that a separator may still have.
    """
    all_of_them = list(candidates(data, start, seps))
    whole = [(begin, end) for begin, end, came in all_of_them if came]
    if whole:
        begin, end = min(whole, key=lambda place: (place[0], -place[1]))
        rivals = [at for at, _, came in all_of_them if not came and at <= begin]
        if not rivals:
            return True, begin, end
        return False, min(begin, *rivals), min(end, *(end for _, end, came in all_of_them if not came))
    return False, min(begin for begin, _, _ in all_of_them), min(end for _, end, _ in all_of_them)


def assert_seeks(seeker: Seeker, buffer: CompositeBuffer, data: bytes, drained: int, limit: int) -> bool:
    """Assert that a seek in a buffer, which shows the data without what was drained, follows the rules.

    Return whether it found something within the limit.
    """
    start = buffer._start
    found = seeker.seek(buffer._table(), start, buffer._stop, limit)
    decided, begin, end = expected(data, drained, seeker.separators)
    if begin - drained > limit:
        assert seeker.begin - start > limit, "it cannot come within the limit any more"
        return False
    assert (found, seeker.begin - start, seeker.end - start) == (decided, begin - drained, end - drained)
    return found


SEPS: Final = st.lists(st.lists(st.sampled_from(b"ab\r\n"), min_size=1, max_size=4).map(bytes), min_size=1, max_size=3)
BYTES: Final = st.lists(st.sampled_from(b"ab\r\n"), max_size=30).map(bytes)


@given(
    seps=SEPS, raw=BYTES, sizes=st.lists(st.integers(1, 5), max_size=30), limit=st.integers(0, 12) | st.just(FAR),
    kind=st.sampled_from(["bytes", "bytearray", "lazy", "slice"]), before=st.integers(0, 3),
)  # fmt: skip
@example(seps=[b"\n", b"\r\n"], raw=b"abc\r\nb\n", sizes=[1] * 8, limit=3, kind="bytes", before=1)
@example(seps=[b"a", b"ab"], raw=b"aab", sizes=[1] * 3, limit=0, kind="bytes", before=0)
@example(seps=[b"bab", b"aba"], raw=b"ababab", sizes=[2] * 3, limit=FAR, kind="bytes", before=0)
def test_what_is_found_never_depends_on_the_cut(
    seps: list[bytes], raw: bytes, sizes: list[int], limit: int, kind: str, before: int
) -> None:
    buffer = CompositeBuffer([b"." * 3])
    buffer.skip(before)
    buffer.appendleft(b"." * before)
    buffer.skip(3)
    seeker = Seeker(tuple(seps), buffer._start)
    data, drained = b"", 0
    for chunk in chunks(raw, sizes):
        buffer.append(MAKERS[kind](chunk))
        data += chunk
        while assert_seeks(seeker, buffer, data, drained, limit):
            taken = seeker.end - buffer._start
            buffer.skip(taken)
            drained += taken


@given(seps=SEPS, raw=BYTES, steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 12))))
def test_what_is_drained_and_other_limits_are_nothing_to_it(
    seps: list[bytes], raw: bytes, steps: list[tuple[int, int, int]]
) -> None:
    buffer = CompositeBuffer()
    seeker = Seeker(tuple(seps), 0)
    data, drained = b"", 0
    for grow, drain, limit in steps:
        buffer.append(raw[len(data) : len(data) + grow])
        data = raw[: len(data) + grow]
        assert_seeks(seeker, buffer, data, drained, limit)
        drain = min(drain, len(buffer))
        buffer.skip(drain)
        drained += drain
        assert_seeks(seeker, buffer, data, drained, limit)
        assert_seeks(seeker, buffer, data, drained, FAR)


# -- one example of each rule --------------------------------------------------------------------------------


def seek(data: bytes, *seps: bytes, limit: int = FAR) -> tuple[bool, int, int]:
    buffer = CompositeBuffer([data])
    seeker = Seeker(seps, 0)
    return seeker.seek(buffer._table(), 0, len(data), limit), seeker.begin, seeker.end


def test_the_separator_that_begins_first_counts_and_of_those_the_longest() -> None:
    assert seek(b"xx;yy,", b",", b";") == (True, 2, 3)
    assert seek(b"xx--->", b"-", b"---", b"--") == (True, 2, 5)
    assert seek(b"xxabcdyy", b"bc", b"abcd", b"b") == (True, 2, 6)
    assert seek(b"aaab", b"aab", b"ab") == (True, 1, 4)


def test_it_waits_while_an_earlier_or_a_longer_one_may_still_come() -> None:
    assert seek(b"xx\n", b"\n", b"\n\n") == (False, 2, 3)
    assert seek(b"xx\n\n", b"\n", b"\n\n") == (True, 2, 4)
    assert seek(b"xx\ny", b"\n", b"\n\n") == (True, 2, 3)
    assert seek(b"xabc", b"c", b"abcd") == (False, 1, 4)
    assert seek(b"xabce", b"c", b"abcd") == (True, 3, 4)
    assert seek(b"xabcd", b"c", b"abcd") == (True, 1, 5)


def test_what_has_not_come_may_begin_where_the_bytes_end_in_a_beginning_of_it() -> None:
    assert seek(b"", b"\r\n") == (False, 0, 2)
    assert seek(b"abc", b"\r\n") == (False, 3, 5)
    assert seek(b"abc\r", b"\r\n") == (False, 3, 5)
    assert seek(b"abc\r\r", b"\r\n") == (False, 4, 6)
    assert seek(b"abc\r", b"\r\n", b"\n") == (False, 3, 5)


def test_a_separator_may_begin_exactly_at_the_limit() -> None:
    assert seek(b"abc\r\n", b"\r\n", limit=3) == (True, 3, 5)
    assert seek(b"abc\r", b"\r\n", limit=3) == (False, 3, 5)  # defects.md N8
    assert seek(b"abc", b"\r\n", limit=3) == (False, 3, 5)
    for data in (b"abcd", b"abc\rd", b"abcd\r\n", b"abcd" * 100 + b"\r\n"):
        assert seek(data, b"\r\n", limit=3)[1] > 3


def test_no_byte_behind_the_limit_is_looked_at() -> None:
    """A needle that could end there, and not one byte more: whatever is behind it makes no difference."""
    within, behind = FakeFile(b"x" * 8), FakeFile(b"\r\n" * 5000)
    buffer = CompositeBuffer([within, behind])
    seeker = Seeker((b"\r\n",), 0)
    for _ in range(10):
        seeker.seek(buffer._table(), 0, len(buffer), 6)
        assert seeker.begin > 6
    assert within.looks > 0
    assert behind.looks == 0


# -- the work ------------------------------------------------------------------------------------------------


def count_searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the sizes of all windows that are searched from now on."""
    searched: list[int] = []

    def counting(table: Any, start: int, stop: int, needle: bytes) -> int:
        searched.append(max(0, stop - start))
        return find(table, start, stop, needle)

    monkeypatch.setattr("bytebufs._core.seeker.find", counting)
    return searched


@pytest.mark.skipif(COMPILED, reason="compiled modules call each other directly: nothing can be counted in between")
@pytest.mark.parametrize(
    "seps",
    [(b";",), (b"\r\n",), (b"\n", b"\r\n"), (b";", b",", b"!"), (b"\r\n\r\n",), (b"x" * 30 + b";",)],
    ids=["one", "two", "line", "three", "four bytes", "what is there begins like it"],
)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_bytes_are_searched_a_bounded_number_of_times(
    seps: tuple[bytes, ...], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """defects.md N11. Once for each separator; again only what still looks like the beginning of one."""
    total = 21_000
    searched = count_searched(monkeypatch)
    buffer, seeker = CompositeBuffer(), Seeker(seps, 0)
    for _ in range(0, total, chunk):
        buffer.append(b"x" * chunk)
        assert not seeker.seek(buffer._table(), 0, len(buffer), FAR)
    begun = 30 * total // chunk if seps[0].startswith(b"x") else 0
    assert sum(searched) <= total * len(seps) + begun
    assert seeker.begin == total - (30 if begun else 0)


@pytest.mark.skipif(COMPILED, reason="compiled modules call each other directly: nothing can be counted in between")
def test_a_rare_separator_is_not_looked_for_again_for_every_frequent_one(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = count_searched(monkeypatch)
    rng = random.Random(1)
    data = b"".join(b"x" * rng.randrange(20) + b"\n" for _ in range(5_000)) + b"\0"
    buffer = CompositeBuffer([data])
    seeker = Seeker((b"\n", b"\0", b"never"), 0)
    found = 0
    while buffer and seeker.seek(buffer._table(), buffer._start, buffer._stop, FAR):
        buffer.skip(seeker.end - buffer._start)
        found += 1
    assert found == 5_001
    # One search finds the next frequent one; all go on into each new window, which are doubled where it has none.
    assert len(searched) <= found + 3 * (len(data) // AHEAD + 2)
    assert sum(searched[1::]) <= AHEAD * len(searched)


@pytest.mark.parametrize("sep", [b";", b"\r\n", b"\r\n\r\n", b"\0" * 20])
def test_every_byte_is_looked_at_twice_at_most(sep: bytes) -> None:
    """In both builds: each byte is a part of its own that counts who looks at it."""
    parts = [FakeFile(b"x") for _ in range(3_000)]
    buffer, seeker = CompositeBuffer(), Seeker((sep,), 0)
    for part in parts:
        buffer.append(part)
        assert not seeker.seek(buffer._table(), 0, len(buffer), FAR)
    assert max(part.looks for part in parts) <= 2


def test_what_looks_like_the_beginning_of_one_is_looked_at_again() -> None:
    sep = b"xxx;"
    parts = [FakeFile(b"x") for _ in range(3_000)]
    buffer, seeker = CompositeBuffer(), Seeker((sep,), 0)
    for part in parts:
        buffer.append(part)
        assert not seeker.seek(buffer._table(), 0, len(buffer), FAR)
    assert max(part.looks for part in parts) <= 2 * len(sep)
    buffer.append(b";")
    assert seeker.seek(buffer._table(), 0, len(buffer), FAR)
    assert (seeker.begin, seeker.end) == (2_997, 3_001)
