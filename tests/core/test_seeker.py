"""Seeker: separators in bytes that are still coming, against a search of everything at every step."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer
from bytebufs._core import seeker as _seeker
from bytebufs._core.search import find
from bytebufs._core.seeker import AHEAD, MOST_AHEAD, Looks, Seeker
from bytebufs._core.table import Table

from ..conftest import IS_QUICK, IS_SHORT
from ..counting import counted
from ..disturbed import STRIDE, interrupted, under
from ..layouts import MAKERS, FakeFile, chunks

COMPILED: Final = type(CompositeBuffer.append).__name__ != "function"

interpreted = pytest.mark.skipif(COMPILED, reason="inside compiled code nothing is counted, traced or replaced")

FAR: Final = 1 << 62
"""A limit that nothing reaches."""

LONG: Final = 1_000 if IS_QUICK else 2_000 if IS_SHORT else 5_000
"""Bytes that come one by one. Who looks again at half of them each time has three times as many lines as may be.

A tenth of them where there are many separators, each with its own lines.
"""

SEEKS: Final = 1_000 if IS_QUICK else 10_000
"""Chunks that are looked at when they have come, one after the other."""

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


@interpreted
@pytest.mark.parametrize("seed", range(4))
def test_what_is_found_never_depends_on_the_cut_however_little_is_looked_at(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many streams, always the same ones, of which a few bytes are looked at in turn."""
    dice = random.Random(seed)
    for _ in range(250):
        monkeypatch.setattr(_seeker, "AHEAD", ahead := dice.choice([1, 2, 3, 8]))
        monkeypatch.setattr(_seeker, "MOST_AHEAD", dice.choice([1, 2, 4]) * ahead)
        seps = [bytes(dice.choices(b"ab\r\n", k=dice.randint(1, 4))) for _ in range(dice.choice([1, 2, 2, 3]))]
        raw = bytes(dice.choices(b"ab\r\n", k=dice.randrange(30)))
        before = dice.choice([0, 0, 1, 3])
        buffer = CompositeBuffer([b"." * 3])
        buffer.skip(3 - before)
        buffer.appendleft(b"." * before)
        buffer.skip(2 * before)
        seeker = Seeker(tuple(seps), buffer._start)
        data, drained = b"", 0
        limit = dice.choice([0, 1, 2, 3, 5, 12, FAR])
        for chunk in chunks(raw, dice.choices(range(1, 6), k=30)):
            buffer.append(MAKERS[dice.choice(["bytes", "bytes", "bytearray", "lazy"])](chunk))
            data += chunk
            if dice.random() < 0.2:
                continue
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


@interpreted
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


@interpreted
def test_one_separator_is_searched_for_at_once_and_several_in_windows_that_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = count_searched(monkeypatch)
    table = CompositeBuffer([b"x" * 20_000])._table()
    assert not Seeker((b";",), 1_000).seek(table, 1_000, 20_000, FAR)
    assert searched == [19_000]
    searched.clear()
    assert not Seeker((b";", b"!"), 1_000).seek(table, 1_000, 20_000, FAR)
    assert searched[::2] == searched[1::2]
    assert searched[::2] == [AHEAD, *(AHEAD << k for k in range(7)), 2_616]


@interpreted
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
    assert len(searched) <= found + 3 * (len(data) // MOST_AHEAD + 10)
    assert max(searched) <= 2 * MOST_AHEAD


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


# -- what looks like the beginning of one, for long ----------------------------------------------------------

NEAR_MISSES: Final = {
    "16": (b"a" * 15 + b"b",),
    "256": (b"a" * 255 + b"b",),
    "4096": (b"a" * 4095 + b"b",),
    "of a period": (b"ab" * 300 + b"c",),
    "29 prefixes of one another": tuple(b"a" * k + b"b" for k in range(1, 30)),
    "200": tuple(bytes([i // 16 + 65, i % 16 + 65, 1]) for i in range(200)),
    "rare beside frequent": (b"aab", b"a" * 500 + b"b"),
}


@interpreted
@pytest.mark.parametrize("seps", NEAR_MISSES.values(), ids=NEAR_MISSES)
@pytest.mark.parametrize("text", [b"a", b"ab", b"aaaaaac"], ids=bytes.decode)
def test_a_near_miss_costs_the_same_for_each_byte_however_long_it_is(seps: tuple[bytes, ...], text: bytes) -> None:
    """Some lines a byte and separator, and for each what its borders take once."""
    n = LONG // 10 if len(seps) > 2 else LONG
    data = (text * n)[:n]
    buffer, seeker = CompositeBuffer(), Seeker(seps, 0)
    total = 0
    with counted() as work:
        for at in range(n):
            buffer.append(data[at : at + 1])
            before = work.total
            found = seeker.seek(buffer._table(), buffer._start, at + 1, FAR)
            total += work.total - before
            if found:
                buffer.skip(seeker.end - buffer._start)
    assert total <= len(seps) * 150 * n + 8 * sum(len(sep) for sep in seps)


@interpreted
@pytest.mark.parametrize("chunk", [2, 15, 16, 17, 300, 5_000])
def test_a_near_miss_in_chunks_is_searched_for_at_the_speed_of_c(chunk: int) -> None:
    """The bytes at the seams alone are looked at one by one."""
    n, m = min(20_000, SEEKS * chunk), 256
    buffer, seeker = CompositeBuffer(), Seeker((b"a" * (m - 1) + b"b",), 0)
    with counted() as work:
        for at in range(0, n, chunk):
            buffer.append(b"a" * chunk)
            seeker.seek(buffer._table(), 0, at + chunk, FAR)
    assert work.lines <= 100 * (n // chunk + 1) + 20 * min(n, (n // chunk + 1) * 2 * m) + 10 * m
    assert work.nbytes <= 6 * n + 4 * m * (n // chunk + 1)


@interpreted
def test_one_that_never_comes_is_not_searched_for_by_each_new_seeker() -> None:
    """Each looks ahead over some lines, and not to the end."""
    n = 300
    buffer = CompositeBuffer([(b"x" * 9 + b"\n") * n])
    with counted() as work:
        for at in range(0, 10 * n, 10):
            seeker = Seeker((b"\r\n", b"\n"), at)
            assert seeker.seek(buffer._table(), at, 10 * n, FAR)
            assert seeker.begin == at + 9
    assert work.nbytes <= n * (2 * AHEAD + 10)


@given(
    seps=SEPS, raw=BYTES, sizes=st.lists(st.integers(1, 5), max_size=30), ahead=st.integers(1, 5),
    block=st.integers(1, 3),
)  # fmt: skip
@interpreted
def test_what_is_found_does_not_depend_on_windows_and_blocks(
    seps: list[bytes], raw: bytes, sizes: list[int], ahead: int, block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bytebufs._core.seeker.AHEAD", ahead)
        patch.setattr("bytebufs._core.seeker.BLOCK", block)
        buffer, seeker = CompositeBuffer(), Seeker(tuple(seps), 0)
        data, drained = b"", 0
        for chunk in chunks(raw, sizes):
            buffer.append(chunk)
            data += chunk
            while assert_seeks(seeker, buffer, data, drained, FAR):
                taken = seeker.end - buffer._start
                buffer.skip(taken)
                drained += taken


# -- interrupts ----------------------------------------------------------------------------------------------


STREAMS: Final = {
    "found": ((b"\r\n",), [b"ab\r", b"\ncd", b"\r\n"]),
    "a near miss": ((b"aab",), [b"a", b"a", b"aaa", b"b", b"aab"]),
    "several": ((b"\n", b"\r\n", b"\n\n"), [b"x\r", b"\r\n", b"\n", b"y\n", b"zz"]),
    "of a period": ((b"abab!", b"aba?"), [b"abab", b"ab", b"ab?abab", b"!", b"aba", b"?"]),
}


def answers_of_new_ones(seps: tuple[bytes, ...], pieces: list[bytes], position: int) -> Iterator[tuple[bool, int, int]]:
    """Yield what a new seeker answers behind each piece, and where it found that."""
    table, stop, start = Table([], [], position), position, position
    for piece in pieces:
        table.push(piece)
        stop += len(piece)
        fresh = Seeker(seps, start)
        found = fresh.seek(table, start, stop, FAR)
        yield found, fresh.begin, fresh.end
        if found:
            start = fresh.end


@interpreted
@pytest.mark.parametrize("position", [0, -3, -1_000])
@pytest.mark.parametrize("stream", STREAMS)
def test_a_call_that_was_interrupted_anywhere_changes_no_later_answer(stream: str, position: int) -> None:
    """Each seek of a stream is broken off at each step; then it and all later ones answer as a new seeker does."""
    seps, pieces = STREAMS[stream]
    answers = list(answers_of_new_ones(seps, pieces, position))
    interrupts = 0
    for broken in range(len(pieces)):
        step = broken % STRIDE
        came = True
        while came:
            came = False
            table, stop, start = Table([], [], position), position, position
            seeker = Seeker(seps, position)
            for k, piece in enumerate(pieces):
                table.push(piece)
                stop += len(piece)
                if k == broken:
                    came = under(interrupted(step), partial(seeker.seek, table, start, stop, FAR)).error is not None
                found = seeker.seek(table, start, stop, FAR)
                assert (found, seeker.begin, seeker.end) == answers[k], (broken, step)
                if found:
                    start = seeker.end
            step += STRIDE
            interrupts += came
    assert interrupts > 200 // STRIDE


# -- several searches side by side ---------------------------------------------------------------------------


def test_looks_go_on_side_by_side() -> None:
    looks = Looks()
    first = looks.seeker_for((b"\r\n",), 5)
    assert (first.separators, first.begin, first.end) == ((b"\r\n",), 5, 5)
    others = [looks.seeker_for(seps, 5) for seps in ((b"\n",), (b"\n", b"\r\n"), (b"\r\n", b"\n"))]
    assert looks.seeker_for((b"\r\n",), 9) is first
    assert [looks.seeker_for(other.separators, 9) for other in others] == others


def test_a_single_separator_is_looked_up_by_itself() -> None:
    """The same look as for all separators at once, and none of those that have others beside it."""
    looks = Looks()
    both = looks.seeker_for((b"\n", b"\r\n"), 5)
    single = looks.seeker_of(b"\n", 6)
    assert single is not both
    assert (single.separators, single.begin) == ((b"\n",), 6)
    assert looks.seeker_of(b"\n", 9) is looks.seeker_for((b"\n",), 9) is single
    assert looks.seeker_for((b"\n", b"\r\n"), 9) is both
    other = looks.seeker_for((b"\r\n",), 7)
    assert looks.seeker_of(b"\r\n", 9) is other
    for sep in (b"a", b"b"):
        looks.seeker_of(sep, 9)
    assert looks.known((b"\n", b"\r\n")) is None, "the oldest is forgotten, as for the others"
    assert looks.known((b"\n",)) is single


def test_the_oldest_look_is_forgotten_for_a_fifth() -> None:
    looks = Looks()
    kept = [looks.seeker_for((sep,), 0) for sep in (b"a", b"b", b"c", b"d", b"e")]
    assert [looks.known(seeker.separators) for seeker in kept] == [None, *kept[1:]]
    again = looks.seeker_for((b"a",), 3)
    assert again is not kept[0]
    assert looks.known((b"b",)) is None
    assert looks.known((b"c",)) is kept[2]


def test_a_look_takes_the_place_of_one_for_the_same() -> None:
    looks = Looks()
    looks.seeker_for((b"a",), 0)
    other = looks.seeker_for((b"b",), 0)
    newer = Seeker((b"a",), 7)
    looks.keep(newer)
    looks.keep(newer)
    assert looks.known((b"a",)) is newer
    assert looks.known((b"b",)) is other
    looks.keep(other)
    for sep in (b"c", b"d", b"e"):
        looks.seeker_of(sep, 9)
    assert looks.known((b"b",)) is other, "what is kept again is the newest"
    assert looks.known((b"a",)) is None


def test_a_separator_that_began_is_forgotten_with_the_bytes_that_are_drained() -> None:
    buffer = CompositeBuffer([b"xaabaa"])
    seeker = Seeker((b"aabaac",), 0)
    assert not seeker.seek(buffer._table(), 0, 6, FAR)
    assert seeker.begin == 1
    for drained, begin in ((2, 4), (4, 4), (5, 5), (6, 6)):
        buffer.skip(drained - buffer._start)
        assert not seeker.seek(buffer._table(), drained, 6, FAR)
        assert (seeker.begin, seeker.end) == (begin, begin + 6)
        buffer.append(b"")
    buffer.append(b"aabaac")
    assert seeker.seek(buffer._table(), 6, 12, FAR)
    assert (seeker.begin, seeker.end) == (6, 12)


def test_it_says_whether_a_seeker_is_all_that_is_remembered() -> None:
    looks = Looks()
    seeker = looks.seeker_of(b"a", 0)
    assert looks.has_only(seeker)
    assert not looks.has_only(Seeker((b"a",), 0))
    looks.seeker_of(b"b", 0)
    assert not looks.has_only(seeker)
