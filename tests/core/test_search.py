"""Finding and comparing across seams: `bytes` is the oracle, whatever the layout, and the work is linear."""

from __future__ import annotations

import array
import mmap
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise, product
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import COMPILED
from bytebufs._core import search as _search
from bytebufs._core.audit import copy_audit, no_copy
from bytebufs._core.parts import Entry, LazyOwner, Memory, Run, entry_of
from bytebufs._core.search import (
    BLOCK,
    FEW,
    SHORT,
    borders,
    compare,
    count,
    equal,
    find,
    first_open,
    occurrences,
    rfind,
    scratch,
)
from bytebufs._core.table import Table
from bytebufs.errors import CopyForbidden

from ..counting import counted

interpreted = pytest.mark.skipif(COMPILED, reason="a compiled module has its constants built in")


class Lazy(LazyOwner):
    """Counts the looks: a part of it is looked at once for every time that it is joined."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self.memory = Memory(data, memoryview(data), data)
        self.looks = 0

    def _look(self) -> Memory:
        self.looks += 1
        return self.memory


def entry(obj: Any) -> Entry:
    found = entry_of(obj)
    assert found is not None
    return found


def in_a_map(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


# Every kind of part but the first has other bytes before and after it in its owner.
# defects.md N1
KINDS: dict[str, Callable[[bytes], Entry]] = {
    "bytes": lambda data: data,
    "range of bytes": lambda data: entry(memoryview(b"ab" + data + b"ba")[2:-2]),
    "bytearray": lambda data: entry(memoryview(bytearray(b"ab" + data + b"ba"))[2:-2]),
    "mmap": lambda data: entry(memoryview(in_a_map(b"ab" + data + b"ba"))[2:-2]),
    "array": lambda data: entry(array.array("B", data)),
    "lazy": lambda data: Run(Lazy(b"ab" + data + b"ba"), 2, len(data) + 2),
}
MORE_KINDS: dict[str, Callable[[bytes], Entry]] = {
    **KINDS,
    "beginning of bytes": lambda data: entry(memoryview(data + b"ba")[:-2]),
    "beginning of a lazy one": lambda data: Run(Lazy(data + b"ba"), 0, len(data)),
    "whole bytearray": lambda data: entry(bytearray(data)),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def cut(data: bytes, edges: list[int]) -> list[bytes]:
    """Cut data at these places; cuts on one place or at the ends make no empty pieces."""
    return [data[low:high] for low, high in pairwise(sorted({0, len(data), *edges}))]


def table_of(pieces: list[bytes], kind: str = "bytes", base: int = 0) -> Table:
    return Table([KINDS[kind](piece) for piece in pieces], [], base)


@st.composite
def layouts(draw: st.DrawFn, texts: st.SearchStrategy[bytes]) -> tuple[Table, int, int, bytes]:
    """A window that may clip its table at both ends, anywhere on the line of positions, and the bytes that it shows."""
    before, data, after = draw(st.binary(max_size=3)), draw(texts), draw(st.binary(max_size=3))
    whole = before + data + after
    pieces = cut(whole, draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=len(pieces), max_size=len(pieces)))
    base = draw(st.integers(-20, 20))
    # An empty window may lie before, between and after the entries.
    parts = [KINDS[kind](piece) for kind, piece in zip(kinds, pieces, strict=True)]
    start = base + len(before)
    return Table(parts, [], base), start, start + len(data), data


def few_letters(min_size: int = 0, max_size: int = 30) -> st.SearchStrategy[bytes]:
    """Text in which partial, overlapping and periodic matches abound."""
    return st.lists(st.sampled_from([97, 98]), min_size=min_size, max_size=max_size).map(bytes)


needles = few_letters(1, 8)


@contextmanager
def knobs(
    direct: int, first_block: int, block: int, short: int = SHORT, *, few: int = FEW, run: int = 64
) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_search, "FEW", few)
        patch.setattr(_search, "_RUN", run)
        patch.setattr(_search, "SHORT", short)
        patch.setattr(_search, "DIRECT", direct)
        patch.setattr(_search, "FIRST_BLOCK", first_block)
        patch.setattr(_search, "BLOCK", block)
        yield


def places(data: bytes, needle: bytes) -> list[int]:
    """Return where the needle begins, without overlaps, by the simplest means."""
    found = []
    at = data.find(needle)
    while at >= 0:
        found.append(at)
        at = data.find(needle, at + len(needle))
    return found


def check_searches(table: Table, start: int, stop: int, data: bytes, needle: bytes) -> None:
    """Compare every search with `bytes`, for the needle as it is and as a view of a piece."""
    # defects.md N2: a needle that itself begins at an offset
    for form in (needle, memoryview(b"ab" + needle + b"ba")[2:-2]):
        assert find(table, start, stop, form) == data.find(needle)
        assert rfind(table, start, stop, form) == data.rfind(needle)
        assert count(table, start, stop, form) == data.count(needle)
        assert [at - start for at in occurrences(table, start, stop, form)] == places(data, needle)


# -- finding -------------------------------------------------------------------------------------------------


@given(layouts(few_letters()), needles)
def test_searches_agree_with_bytes(layout: tuple[Table, int, int, bytes], needle: bytes) -> None:
    check_searches(*layout, needle)


@interpreted
@pytest.mark.parametrize("direct", [1, 2, 3, 8])
@pytest.mark.parametrize("block", [1, 2, 3, 8])
@given(
    layout=layouts(few_letters()), needle=needles, first_block=st.sampled_from([1, 2, 3, 8]),
    short=st.sampled_from([0, 2, 8]),
)  # fmt: skip
def test_searches_agree_with_bytes_wherever_the_seams_of_the_blocks_lie(
    direct: int, block: int, layout: tuple[Table, int, int, bytes], needle: bytes, first_block: int, short: int
) -> None:
    with knobs(direct, first_block, block, short):
        check_searches(*layout, needle)


@interpreted
@pytest.mark.parametrize("short", [0, SHORT])
@pytest.mark.parametrize("direct", [1, 2, 3])
def test_every_short_text_in_every_layout_of_up_to_three_parts(direct: int, short: int) -> None:
    """Exhaustive where it is small: each text of 6 bytes from two letters, each needle of up to 4."""
    needles = [bytes(word) for m in range(1, 5) for word in product(b"ab", repeat=m)]
    with knobs(direct, 1, 2, short):
        for letters in product(b"ab", repeat=6):
            text = bytes(letters)
            for low, high in [(0, 0), (1, 3), (2, 3), (3, 5), (1, 5), (2, 4)]:
                table = table_of(cut(text, [low, high]))
                for needle in needles:
                    assert find(table, 0, 6, needle) == text.find(needle)
                    assert rfind(table, 0, 6, needle) == text.rfind(needle)
                    assert count(table, 0, 6, needle) == text.count(needle)


def some_layout(dice: random.Random, text: bytes) -> tuple[Table, int, int, bytes]:
    """As `layouts`, of more parts, and most of them short."""
    before, after = dice.choice([b"", b"ab", b"abba"]), dice.choice([b"", b"ba", b"a"])
    whole = before + text + after
    pieces = cut(whole, [dice.randrange(len(whole) + 1) for _ in range(dice.choice([0, 1, 2, 5, 9]))] if whole else [])
    base = dice.randint(-20, 20)
    parts = [MORE_KINDS[dice.choice(["bytes", *MORE_KINDS])](piece) for piece in pieces]
    start = base + len(before)
    return Table(parts, [], base), start, start + len(text), text


@interpreted
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_searches_agree_with_bytes_where_every_size_that_matters_is_small(seed: int) -> None:
    """Many layouts, always the same ones: what takes a kibibyte otherwise happens in some of them."""
    dice = random.Random(seed)
    for _ in range(500):
        text = bytes(dice.choice(b"aab") for _ in range(dice.randrange(dice.choice([4, 16, 48]))))
        at = dice.randrange(len(text) + 1)
        size = dice.choice([1, 1, 2, 3, 4, 6, 9])
        needle = text[at : at + size] if dice.random() < 0.6 else bytes(dice.choice(b"ab") for _ in range(size))
        needle = needle or b"ba"
        with knobs(
            dice.choice([1, 2, 4, 8]), dice.choice([1, 2, 4]), dice.choice([4, 8, 16]), dice.choice([0, 2, 8]), few=0
        ):
            table, start, stop, _ = layout = some_layout(dice, text)
            check_searches(*layout, needle)
            opens = next(
                i for i in range(max(len(text) - len(needle) + 1, 0), len(text) + 1) if needle.startswith(text[i:])
            )
            assert first_open(table, start, stop, needle, borders(needle)) == start + opens


@interpreted
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_comparing_agrees_with_bytes_where_both_sides_are_cut_alike_in_part(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(120):
        pieces = [
            bytes(dice.choice(b"ab") for _ in range(dice.choice([1, 2, 2, 2, 3]))) for _ in range(dice.randint(3, 12))
        ]
        other = pieces.copy()
        for _ in range(dice.choice([0, 0, 1, 2])):
            i = dice.randrange(len(other))
            other[i : i + 2] = [b"".join(other[i : i + 2])]
        if dice.random() < 0.5:
            i = dice.randrange(len(other))
            other[i] = other[i][:-1] + dice.choice([b"a", b"b", b"c"])
        x, y = b"".join(pieces), b"".join(other)
        skip = dice.choice([0, 0, 1, len(pieces[0])])
        left, right = (
            Table([KINDS[dice.choice(["bytes", *KINDS])](p) for p in side], [], dice.randint(-9, 9))
            for side in (pieces, other)
        )
        with knobs(1, 1, dice.choice([1, 2, 8]), run=dice.choice([1, 2, 3, 64])):
            check_comparison(
                (left, left.base + skip, left.base + len(x), x[skip:]),
                (right, right.base + skip, right.base + len(y), y[skip:]),
            )


# defects.md O17
@each_kind
@pytest.mark.parametrize("edges", [[], [1], [4], [2, 3], [1, 2, 3, 4], [2, 2]], ids=str)
def test_a_needle_as_long_as_the_window_or_longer(kind: str, edges: list[int]) -> None:
    table = table_of(cut(b"abcab", edges), kind)
    for needle in (b"abcab", b"abcaX", b"Xbcab", b"abcaba", b"babcab", b"abcab" * 100):
        check_searches(table, 0, 5, b"abcab", needle)


# defects.md O17
@each_kind
def test_a_needle_over_three_parts_and_more(kind: str) -> None:
    text = b"..needle..needl-needlneedle"
    for size in (1, 2, 3, 4):
        table = table_of([text[i : i + size] for i in range(0, len(text), size)], kind)
        check_searches(table, 0, len(text), text, b"needle")


@each_kind
def test_a_match_outside_the_window_does_not_count(kind: str) -> None:
    table = table_of([b"needle", b"needle", b"needle"], kind, base=-4)
    for start, stop in [(-3, 13), (-4, 13), (-3, 14), (3, 7), (2, 8), (2, 7), (3, 8)]:
        check_searches(table, start, stop, (b"needle" * 3)[start + 4 : stop + 4], b"needle")


# defects.md O2
@pytest.mark.parametrize("needle", [b"a", b"abc"])
def test_nothing_is_found_in_an_empty_window(needle: bytes) -> None:
    table = table_of([b"abc", b"abc"])
    for at in (0, 1, 3, 6):
        check_searches(table, at, at, b"", needle)
    check_searches(Table([], [], 5), 5, 5, b"", needle)


def test_occurrences_do_not_overlap() -> None:
    table = table_of([b"aa", b"a", b"aaaa"])
    assert list(occurrences(table, 0, 7, b"aa")) == [0, 2, 4]
    assert list(occurrences(table, 1, 7, b"aaa")) == [1, 4]
    assert list(occurrences(table, 1, 6, b"aaa")) == [1]


def test_searching_does_not_copy() -> None:
    table = table_of([b"ab"] * 100, "bytearray")
    with no_copy(strict=True):
        check_searches(table, 0, 200, b"ab" * 100, b"babab")


# -- around the real sizes, which both builds have -----------------------------------------------------------

SIZES = [1, 2, 63, 64, 65, 127, 128, 129, 1000, 4095, 4096, 4097, 9000, 65_535, 65_536, 65_537]


@st.composite
def big_layouts(draw: st.DrawFn) -> tuple[Table, int, int, bytes, bytes]:
    """Parts of every size that a rule turns on, a needle, and pieces of the needle around the seams."""
    sizes = draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=6))
    needle = draw(
        st.sampled_from([b"b", b"ba", b"aab", b"bab" * 7, b"ab" * 40 + b"b", b"a" * 4096 + b"b", b"ba" * 3000])
    )
    data = bytearray(b"a" * sum(sizes))
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    for _ in range(draw(st.integers(0, 4))):
        near = draw(st.sampled_from([0, *ends])) + draw(st.integers(-len(needle) - 1, 1))
        at = max(0, min(near, len(data) - len(needle)))
        part = needle[draw(st.integers(0, 1)) :]
        if at + len(part) <= len(data):
            data[at : at + len(part)] = part
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=len(sizes), max_size=len(sizes)))
    pieces = cut(bytes(data), ends)
    table = Table([KINDS[kind](piece) for kind, piece in zip(kinds, pieces, strict=True)], [], 0)
    start = draw(st.integers(0, min(2, sizes[0] - 1)))
    stop = len(data) - draw(st.integers(0, min(2, len(data) - start)))
    return table, start, stop, bytes(data[start:stop]), needle


@given(big_layouts())
def test_searches_agree_with_bytes_around_the_sizes_where_the_rules_change(
    layout: tuple[Table, int, int, bytes, bytes],
) -> None:
    check_searches(*layout)


@each_kind
@pytest.mark.parametrize("size", [64, 4095, 4096, 4097, 65_536])
def test_a_needle_at_every_place_around_a_seam(kind: str, size: int) -> None:
    needle = b"needle!"
    for offset in range(-len(needle) - 1, 2):
        data = bytearray(2 * size)
        data[size + offset : size + offset + len(needle)] = needle
        table = table_of([bytes(data[:size]), bytes(data[size:])], kind)
        check_searches(table, 0, 2 * size, bytes(data), needle)


@each_kind
def test_a_needle_behind_many_blocks(kind: str) -> None:
    """Blocks double from first to last; each seam of theirs is one where a match may straddle."""
    data = bytearray(300_000)
    table_pieces = 3_000
    needle = b"needle"
    for at in (60, 64, 190, 448, 65_530, 131_000, 200_000, 299_994):
        data[at : at + 6] = needle
    pieces = cut(bytes(data), list(range(0, len(data), len(data) // table_pieces)))
    check_searches(table_of(pieces, kind), 0, len(data), bytes(data), needle)


# -- the work ------------------------------------------------------------------------------------------------


def scattered(n: int, size: int, byte: bytes = b".") -> tuple[Table, Lazy]:
    """Return n parts of one lazy owner that do not merge. Looks times size is how many bytes were joined."""
    lazy = Lazy(byte * size)
    return Table([Run(lazy, 0, size)] * n, [], 0), lazy


def count_joined(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the sizes of all windows that are joined from now on."""
    joined: list[int] = []

    def counting(table: Table, start: int, stop: int) -> bytes:
        joined.append(stop - start)
        return scratch(table, start, stop)

    monkeypatch.setattr(_search, "scratch", counting)
    return joined


SEARCHES: dict[str, Callable[[Table, int, int, bytes], object]] = {
    "find": find,
    "rfind": rfind,
    "count": count,
    "occurrences": lambda table, start, stop, needle: list(occurrences(table, start, stop, needle)),
}
each_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)


@each_search
@pytest.mark.parametrize("m", [1, 2, 5_000, 70_000])
def test_searching_one_byte_parts_joins_each_byte_at_most_twice(search: Callable[..., object], m: int) -> None:
    n = 100_000
    table, lazy = scattered(n, 1)
    search(table, 0, n, b"x" * m)
    assert n - m <= lazy.looks <= 2 * n + 4


@each_search
@pytest.mark.parametrize(("size", "m"), [(10, 11), (100, 150), (1_000, 5_000), (4_095, 4_096), (5_000, 5_001)])
def test_searching_for_a_needle_longer_than_the_parts_is_linear(
    search: Callable[..., object], size: int, m: int
) -> None:
    n = 400
    table, lazy = scattered(n, size)
    search(table, 0, n * size, b"." * (m - 1) + b"x")
    # A block is clipped at both ends, so that up to two parts of each are looked at for a few bytes.
    assert lazy.looks <= 4 * n


@each_search
@pytest.mark.parametrize("needle", [b"ab", b"a", b"abab"], ids=["two", "one", "four"])
def test_many_matches_are_linear_too(search: Callable[..., object], needle: bytes) -> None:
    n = 50_000
    table, lazy = scattered(n, 2)
    lazy.memory = Memory(b"ab", memoryview(b"ab"), b"ab")
    search(table, 0, 2 * n, needle)
    assert lazy.looks <= 2 * n + 4


@interpreted
@each_search
@pytest.mark.parametrize(("size", "m"), [(1, 2), (2, 1_000), (3, 20_000), (1_000, 5_000), (4_095, 9_000)])
def test_the_bytes_that_are_joined_are_twice_the_window_at_most(
    search: Callable[..., object], size: int, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = count_joined(monkeypatch)
    n = 80_000 // size
    table, _ = scattered(n, size)
    search(table, 0, n * size, b"." * (m - 1) + b"x")
    assert n * size - m <= sum(joined) <= 2 * n * size
    assert max(joined) <= max(_search.BLOCK, 2 * m)


@interpreted
@pytest.mark.parametrize("search", [find, rfind], ids=["find", "rfind"])
@pytest.mark.parametrize("kind", ["bytes", "range of bytes", "bytearray", "mmap"])
def test_big_parts_are_searched_where_they_lie_and_only_the_seams_are_joined(
    search: Callable[..., object], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = count_joined(monkeypatch)
    parts, m = 10, 50
    table = table_of([bytes(10_000)] * parts, kind)
    search(table, 0, parts * 10_000, b"x" * m)
    assert joined == [2 * (m - 1)] * (parts - 1)


@interpreted
def test_a_match_nearby_is_found_without_joining_much(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = count_joined(monkeypatch)
    table = table_of([b"ab", b"cd", *[b"." * 10] * 10_000])
    assert find(table, 0, 100_004, b"b") == 1
    assert joined == [], "the first part is searched where it lies"
    assert find(table, 0, 100_004, b"bc") == 1
    assert 0 < sum(joined) <= 4096
    joined.clear()
    table = table_of([*[b"." * 10] * 10_000, b"ab", b"cd"])
    assert rfind(table, 0, 100_004, b"bc") == 100_001
    assert sum(joined) <= 4096


JOINED: Final[dict[str, tuple[list[int], int, int, list[int]]]] = {
    "blocks double": ([10] * 20_000, 2, 200_000, [*(64 << k for k in range(11)), 65_536, 3_459]),
    "a block holds two needles": ([10] * 400, 40, 4_000, [80, 128, 256, 512, 1_024, 2_048, 186]),
    "two needles are less than a block": ([10] * 200, 30, 2_000, [64, 128, 256, 512, 1_024, 161]),
    "all that is little": ([10] * 102 + [3], 40, 1_023, [1_023]),
    "all that is just as little": ([10] * 102 + [4], 40, 1_024, [1_024]),
    "seams of what is just big enough": ([4_096] * 3, 2, 12_288, [2, 2]),
    "what is as big as the needle, not less": ([5_000] * 5, 5_001, 25_000, [10_002, 10_002, 10_002, 9_994]),
    "from big to big": ([5_000, 10, 20, 5_000, 10, 5_000], 3, 15_040, [34, 14]),
    "over one byte": ([5_000, 50, 1, 5_000], 3, 10_051, [55]),
    "what is big beyond the window": ([10] * 150 + [5_000], 2, 1_600, [64, 128, 256, 512, 635]),
    "what is big behind the block": ([20] * 3 + [5_000], 30, 5_060, [64, 54]),
}
"""Parts, the size of a needle that is not there, how much is searched, and what of that is joined: rules 1 to 3."""


@interpreted
def test_what_is_joined_is_what_the_rules_say_and_backwards_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = count_joined(monkeypatch)
    for case, (sizes, m, shown, expected) in JOINED.items():
        for base in (0, 70_000):
            start, stop = base + sum(sizes) - shown, base + shown
            assert find(table_of([b"." * size for size in sizes], base=base), base, stop, b"x" * m) == -1
            assert joined == expected, (case, base)
            joined.clear()
            backwards = table_of([b"." * size for size in reversed(sizes)], base=base)
            assert rfind(backwards, start, base + sum(sizes), b"x" * m) == -1
            assert joined == expected, (case, base, "backwards")
            joined.clear()


@interpreted
def test_what_is_in_the_first_part_or_for_one_byte_in_any_is_found_without_joining(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined = count_joined(monkeypatch)
    for kind in ("bytes", "range of bytes", "bytearray", "whole bytearray", "mmap"):
        make = MORE_KINDS[kind]
        parts = [make(bytes([k % 100]) * 10) for k in range(200)]
        table = Table(parts, [], 3)
        for byte in (1, 50, 99, 100):
            expected = b"".join(bytes([k % 100]) * 10 for k in range(200)).find(byte)
            assert find(table, 3, 2_003, bytes([byte])) == expected, (kind, byte)
        for m in (2, SHORT):
            needle = b"x" * m
            assert find(Table([make(needle), *parts], [], 3), 3, 2_003 + m, needle) == 0
            assert rfind(Table([*parts, make(needle)], [], 3), 3, 2_003 + m, needle) == 2_000
        assert joined == [], kind
    # What has no methods for it is joined where it is small, wherever it lies.
    small, rest, base = KINDS["array"](b"xy"), [b"." * 1_000] * 2, 70_000
    assert find(Table([small, *rest], [], base), base, base + 2_002, b"xy") == 0
    assert find(Table([*rest, small], [], base), base, base + 2_002, b"y") == 2_001
    assert rfind(Table([*rest, small], [], base), base, base + 2_002, b"xy") == 2_000
    assert joined == [64, 2, 64]


@interpreted
def test_a_small_range_of_an_array_is_searched_for_a_byte_without_a_look_at_the_rest() -> None:
    """Asking an array whether it has a byte is quicker, but asks all of it."""

    class Watched(bytearray):
        asked = 0

        def __contains__(self, byte: Any) -> bool:
            self.asked += 1
            return super().__contains__(byte)

    small, big = Watched(b"." * 10), Watched(b"." * 1_000)
    ranges = [Run(Memory(big, memoryview(big), big), at, at + 5) for at in range(100, 900, 10)]
    whole = Run(Memory(small, memoryview(small), small), 0, 10)
    table = Table([b"." * 1_000, *ranges, whole, b"x"], [], 0)
    assert find(table, 0, 1_411, b"x") == 1_410
    assert (small.asked, big.asked) == (1, 0)


LONG: Final[dict[str, Callable[[int], tuple[bytes, bytes]]]] = {
    "a near miss": lambda n: (b"a" * n, b"ab" + b"a" * (n // 2)),
    "a near miss at its end": lambda n: (b"a" * n, b"a" * (n // 2) + b"b"),
    "matches that overlap": lambda n: (b"a" * n, b"a" * (n // 2)),
    "matches that overlap, far from the end": lambda n: (b"a" * (n // 2) + b"b" * (n // 2), b"a" * (n // 8)),
    "matches by every third byte": lambda n: (b"aab" * (n // 3), b"aab" * (n // 12)),
    "one, far from the end": lambda n: (b"xa" + b"a" * n, b"xa" + b"a" * (n // 3)),
    "one, at the end": lambda n: (b"a" * n + b"x" + b"a" * 99, b"x" + b"a" * 99),
    "short beside what is searched": lambda n: (b"a" * n, b"ab" + b"a" * 98),
}
"""What is hard to search backwards: a text and a needle, both of a size in proportion to n."""


def last_place(text: bytes, needle: bytes) -> int:
    """Return what ``rfind`` does, which takes too long for some of these."""
    turned = text[::-1].find(needle[::-1])
    return -1 if turned < 0 else len(text) - turned - len(needle)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("case", LONG)
@pytest.mark.parametrize("n", [200, 3_000, 100_000])
def test_long_needles_are_found_from_the_end_too(kind: str, case: str, n: int) -> None:
    text, needle = LONG[case](n)
    for size in (len(text), len(text) // 2 + 1, 5_000, 700):
        table = table_of(cut(text, list(range(0, len(text), size))), kind, base=3)
        for start, stop in ((0, len(text)), (1, len(text)), (0, len(text) - 1), (n // 3, n - 7)):
            found = rfind(table, start + 3, stop + 3, needle)
            assert found == last_place(text[start:stop], needle), (size, start, stop)


class CountingFinder:
    """Searches as bytes do, and counts what that costs: the window and the needle forwards, their product backwards."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.work = 0

    def find(self, needle: bytes, start: int = 0, stop: int | None = None) -> int:
        self.work += len(needle) + (len(self.data) if stop is None else stop) - start
        return self.data.find(needle, start, stop)

    def rfind(self, needle: bytes, start: int = 0, stop: int | None = None) -> int:
        self.work += len(needle) * ((len(self.data) if stop is None else stop) - start)
        return self.data.rfind(needle, start, stop)


@interpreted
@pytest.mark.parametrize("case", LONG)
def test_searching_backwards_for_a_long_needle_is_linear(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    work = count_joined(monkeypatch)
    for n in (3_000, 6_000, 12_000, 24_000, 48_000, 96_000):
        text, needle = LONG[case](n)
        finder: Any = CountingFinder(text)
        table = Table([Run(Memory(None, memoryview(text), finder), 0, len(text))], [], 0)
        work.clear()
        assert rfind(table, 0, len(text), needle) == last_place(text, needle)
        assert sum(work) + finder.work <= 8 * n


@pytest.mark.parametrize(("m", "is_counted"), [(BLOCK // 2, False), (BLOCK // 2 + 2, True), (200_000, True)])
@each_search
def test_what_a_long_needle_makes_long_is_counted_and_may_be_forbidden(
    search: Callable[..., object], m: int, is_counted: bool
) -> None:
    n = 300_000
    table = table_of([b"." * 1_000] * (n // 1_000))
    needle = b"x" * m
    with copy_audit() as audit:
        search(table, 0, n, needle)
    assert (audit.by_reason.get("needle", 0) > 0) == is_counted
    assert audit.nbytes <= 2 * n
    with no_copy():
        if is_counted:
            with pytest.raises(CopyForbidden):
                search(table, 0, n, needle)
        else:
            search(table, 0, n, needle)


@each_search
def test_a_long_needle_in_one_part_is_looked_for_without_a_copy(search: Callable[..., object]) -> None:
    # An array has no methods for it, and not every C library one that is linear.
    for kind in KINDS if sys.platform == "linux" else set(KINDS) - {"array"}:
        table = table_of([b"." * 300_000], kind)
        with no_copy(strict=True):
            search(table, 0, 300_000, b"x" + b"." * 100_000)
            search(table, 0, 300_000, b"." * 8_000)


def test_matches_that_overlap_are_turned_round_and_counted_if_they_are_long() -> None:
    table = table_of([b"." * 300_000])
    with copy_audit() as audit:
        assert rfind(table, 0, 300_000, b"." * 100_000) == 200_000
    assert 100_000 < audit.by_reason["needle"] <= 500_000
    with no_copy(), pytest.raises(CopyForbidden):
        rfind(table, 0, 300_000, b"." * 100_000)
    # What all places but the first may match is taken, and turned, and the needle is: no more than a block is free.
    for m, more, counted_bytes in ((21_845, 1, 0), (21_846, 1, 3 * 21_846), (21_844, 3, 0), (21_845, 3, 65_539)):
        with copy_audit() as audit:
            assert rfind(table_of([b"." * (m + more)]), 0, m + more, b"." * m) == more
        assert audit.by_reason.get("needle", 0) == counted_bytes, (m, more)


# -- scratch and the open end --------------------------------------------------------------------------------


def test_scratch_is_the_bytes_object_itself_where_the_window_is_one() -> None:
    whole = b"abc"
    table = Table([b"x", whole, b"y"], [], 0)
    assert scratch(table, 1, 4) is whole
    assert scratch(table, 0, 5) == b"xabcy"
    assert scratch(table, 2, 4) == b"bc"
    assert scratch(table, 2, 2) == b""


@each_kind
def test_scratch_is_clipped_bytes_of_any_kind_of_part(kind: str) -> None:
    table = table_of([b"abc", b"def"], kind)
    for start in range(7):
        for stop in range(start, 7):
            found = scratch(table, start, stop)
            assert type(found) is bytes
            assert found == b"abcdef"[start:stop]


@given(layouts(few_letters()), needles)
def test_a_match_may_still_begin_where_the_end_is_a_proper_prefix_of_the_needle(
    layout: tuple[Table, int, int, bytes], needle: bytes
) -> None:
    table, start, stop, data = layout
    expected = next(at for at in range(len(data) + 1) if len(data) - at < len(needle) and needle.startswith(data[at:]))
    assert first_open(table, start, stop, needle, borders(needle)) == start + expected


@interpreted
@given(layouts(few_letters()), needles)
def test_the_end_of_a_window_may_be_longer_than_a_block(layout: tuple[Table, int, int, bytes], needle: bytes) -> None:
    table, start, stop, data = layout
    expected = next(at for at in range(len(data) + 1) if len(data) - at < len(needle) and needle.startswith(data[at:]))
    with knobs(1, 1, 2):
        assert first_open(table, start, stop, needle, borders(needle)) == start + expected


@given(few_letters(1, 20))
@example(b"abacabab")
def test_the_borders_of_every_prefix_are_the_longest(needle: bytes) -> None:
    for m, border in enumerate(borders(needle), 1):
        prefix = needle[:m]
        assert border == max(k for k in range(m) if prefix.endswith(prefix[:k]))


@interpreted
@pytest.mark.parametrize("m", [16, 256, 4096])
@pytest.mark.parametrize("needle", ["periodic", "a near miss", "nothing alike"])
def test_the_open_place_is_found_in_steps_linear_in_the_needle(m: int, needle: str) -> None:
    """Each step of the automaton looks one border up, or takes one byte."""
    looked = 0

    class Counting(list[int]):
        def __getitem__(self, i: Any) -> Any:
            nonlocal looked
            looked += 1
            return super().__getitem__(i)

    sep = {"periodic": b"ab" * (m // 2), "a near miss": b"a" * (m - 1) + b"b", "nothing alike": bytes(range(16)) * m}
    text = {"periodic": b"ab" * m, "a near miss": b"a" * (m // 2) + b"c" + b"a" * m, "nothing alike": b"\0" * 16 * m}
    table = table_of([text[needle]])
    first_open(table, 0, len(text[needle]), sep[needle], Counting(borders(sep[needle])))
    assert looked <= 2 * len(sep[needle])


@pytest.mark.parametrize(
    ("text", "needle", "expected"),
    [
        (b"", b"\r\n", 0),
        (b"ab", b"\r\n", 2),
        (b"ab\r", b"\r\n", 2),
        (b"ab\r\r", b"\r\n", 3),
        (b"abab", b"ababc", 0),
        (b"xabab", b"abac", 3),
        (b"xabaab", b"abab", 4),
        (b"ab", b"a", 2),
        (b"\n", b"\n", 1),
    ],
)
def test_the_first_open_place(text: bytes, needle: bytes, expected: int) -> None:
    for edges in ([], [1], [1, 2, 3]):
        table = table_of(cut(text, edges) if text else [], base=-2)
        assert first_open(table, -2, len(text) - 2, needle, borders(needle)) == expected - 2


# -- comparing -----------------------------------------------------------------------------------------------


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


def order(x: bytes, y: bytes) -> int:
    return (x > y) - (x < y)


def check_comparison(left: tuple[Table, int, int, bytes], right: tuple[Table, int, int, bytes]) -> None:
    x, x_start, x_stop, x_data = left
    y, y_start, y_stop, y_data = right
    assert sign(compare((x, x_start, x_stop), (y, y_start, y_stop))) == order(x_data, y_data)
    for size in range(min(len(x_data), len(y_data)) + 1):
        assert equal(x, x_start, y, y_start, size) == (x_data[:size] == y_data[:size])


@given(layouts(few_letters(max_size=12)), layouts(few_letters(max_size=12)))
def test_comparing_agrees_with_bytes(left: tuple[Table, int, int, bytes], right: tuple[Table, int, int, bytes]) -> None:
    check_comparison(left, right)


@given(data=st.data(), text=few_letters())
def test_equal_bytes_in_different_layouts_are_equal_and_one_byte_less_is_not(data: st.DataObject, text: bytes) -> None:
    left = data.draw(layouts(st.just(text)))
    check_comparison(left, data.draw(layouts(st.just(text))))
    if text:
        i = data.draw(st.integers(0, len(text) - 1))
        other = bytearray(text)
        other[i] ^= data.draw(st.sampled_from([1, 0x80]))
        check_comparison(left, data.draw(layouts(st.just(bytes(other)))))


@interpreted
@pytest.mark.parametrize("block", [1, 2, 3, 8])
@given(left=layouts(few_letters(max_size=12)), right=layouts(few_letters(max_size=12)))
def test_comparing_agrees_with_bytes_wherever_the_stretches_end(
    block: int, left: tuple[Table, int, int, bytes], right: tuple[Table, int, int, bytes]
) -> None:
    with knobs(1, 1, block):
        check_comparison(left, right)


@pytest.mark.parametrize("right", KINDS)
@pytest.mark.parametrize("left", KINDS)
def test_every_kind_of_part_compares_with_every_other(left: str, right: str) -> None:
    """Longer than a stretch, with the difference anywhere; what lies beside a part in its owner must not count."""
    size = 150_000
    base = bytes(size)
    x = KINDS[left](base)
    assert equal(Table([x], [], 0), 0, Table([KINDS[right](base)], [], 0), 0, size)
    assert compare((Table([x], [], 0), 0, size), (Table([KINDS[right](base)], [], 0), 0, size)) == 0
    for at in (0, 1, 65_535, 65_536, 65_537, size - 1):
        other = bytearray(base)
        other[at] = 1
        y = Table([KINDS[right](bytes(other))], [], 0)
        assert not equal(Table([x], [], 0), 0, y, 0, size)
        assert equal(Table([x], [], 0), 0, y, 0, at)
        assert equal(Table([x], [], 0), at + 1, y, at + 1, size - at - 1)
        assert compare((Table([x], [], 0), 0, size), (y, 0, size)) < 0
        assert compare((y, 0, size), (Table([x], [], 0), 0, size)) > 0


@pytest.mark.parametrize("right", KINDS)
@pytest.mark.parametrize("left", KINDS)
def test_a_part_may_be_compared_from_its_middle(left: str, right: str) -> None:
    x, y = Table([KINDS[left](b"0123456789")], [], 0), Table([KINDS[right](b"..34567.")], [], 0)
    assert equal(x, 3, y, 2, 5)
    assert not equal(x, 3, y, 2, 6)
    assert not equal(x, 3, y, 1, 5)
    assert not equal(x, 2, y, 2, 5)


def test_bytes_are_compared_unsigned_and_then_by_length() -> None:
    def ordered(x: bytes, y: bytes) -> int:
        return sign(compare((table_of([x]), 0, len(x)), (table_of([y]), 0, len(y))))

    assert ordered(b"\x7f", b"\x80") == -1
    assert ordered(b"\xff", b"\x00\x00") == 1
    assert ordered(b"ab", b"abc") == -1
    assert ordered(b"abc", b"ab") == 1
    assert ordered(b"b", b"abc") == 1


def test_nothing_is_equal_to_nothing_and_comes_before_everything() -> None:
    nothing = (Table([], [], 3), 3, 3)
    assert equal(nothing[0], 3, table_of([b"abc"]), 1, 0)
    assert compare(nothing, nothing) == 0
    assert compare(nothing, (table_of([b"a"]), 0, 1)) < 0
    assert compare((table_of([b"a"]), 0, 1), nothing) > 0


def test_the_same_range_of_the_same_owner_is_equal_without_a_look() -> None:
    lazy = Lazy(b"abcabc")
    table, other = Table([Run(lazy, 0, 6)], [], 0), Table([Run(lazy, 0, 2), Run(lazy, 2, 6)], [], 0)
    assert equal(table, 0, other, 0, 6)
    assert compare((table, 0, 6), (other, 0, 6)) == 0
    assert lazy.looks == 0
    assert equal(table, 0, other, 3, 3), "other places of the same owner have to be looked at"
    assert not equal(table, 0, other, 1, 3)
    assert lazy.looks > 0


@pytest.mark.parametrize("edges", [[], [1 << 40], [5, 1 << 63, (1 << 63) + 1]], ids=str)
def test_what_is_shared_is_ordered_in_a_step_a_part_whatever_its_size(edges: list[int]) -> None:
    """Never looked at; a look would raise, and a step for each 64 KiB would go on for weeks."""
    size = 1 << 64
    owner = LazyOwner(size)
    places = [0, *edges, size]
    left = Table([Run(owner, 0, size)], [], 7)
    right = Table([Run(owner, low, high) for low, high in pairwise(places)], [], -3)
    assert equal(left, 7, right, -3, size)
    assert compare((left, 7, 7 + size), (right, -3, size - 3)) == 0
    assert compare((left, 8, 7 + size), (right, -2, size - 4)) > 0
    assert compare((left, 7, 6 + size), (right, -3, size - 3)) < 0
    assert compare((right, -3, size - 3), (left, 7, 7 + size)) == 0


def test_what_is_behind_something_shared_is_looked_at_alone() -> None:
    size = 1 << 64
    owner, small, big = LazyOwner(size), Lazy(b"a" * 100_000), Lazy(b"a" * 99_999 + b"b")
    left, right = (Table([b"x", Run(owner, 0, size), Run(lazy, 0, 100_000)], [], 0) for lazy in (small, big))
    stop = size + 100_001
    assert compare((left, 0, stop), (right, 0, stop)) < 0
    assert compare((right, 0, stop), (left, 0, stop)) > 0
    assert compare((left, 0, stop - 1), (right, 0, stop - 1)) == 0
    assert not equal(left, 0, right, 0, stop)


@each_kind
def test_one_entry_on_both_sides_is_equal_to_itself(kind: str) -> None:
    table = table_of([b"abcab"], kind)
    other = Table(table.parts[:], [], 10)
    for x, y, size in ((1, 11, 4), (0, 10, 5), (0, 13, 2), (0, 12, 2)):
        data = b"abcab"
        expected = data[x : x + size] == data[y - 10 : y - 10 + size]
        assert equal(table, x, other, y, size) == expected
        assert (compare((table, x, x + size), (other, y, y + size)) == 0) == expected


@interpreted
def test_no_more_than_a_block_is_joined_to_tell_which_is_less(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = count_joined(monkeypatch)
    for kind in KINDS:
        joined.clear()
        left, right = table_of([b"a" * 300_000], kind), table_of([b"a" * 299_999 + b"b"], kind)
        assert compare((left, 0, 300_000), (right, 0, 300_000)) < 0
        assert joined
        assert max(joined) <= BLOCK


def test_comparing_does_not_copy() -> None:
    with no_copy(strict=True):
        for kind in KINDS:
            x, y = table_of([b"ab"] * 50, kind), table_of([b"abab"] * 25, "array")
            assert equal(x, 0, y, 0, 100)
            assert compare((x, 0, 100), (y, 0, 99)) > 0


@example(n=1)
@given(n=st.integers(1, 200))
def test_comparing_takes_one_step_from_seam_to_seam(n: int) -> None:
    """Two looks at each of the lazy parts at most: one for what searches it, one for its memory."""
    table, lazy = scattered(n, 3)
    other = table_of([b"." * 5] * (3 * n // 5 + 1))
    assert equal(table, 0, other, 0, 3 * n)
    assert lazy.looks <= 2 * (n + len(other.parts))


# -- one byte, and what is cut alike -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("size", [1, 2, 5])
def test_one_byte_is_found_in_whichever_entry_it_is(kind: str, size: int) -> None:
    pieces = [bytes([65 + k]) * size for k in range(20)]
    data = b"".join(pieces)
    table = table_of(pieces, kind, base=-7)
    for start in range(0, len(data), 3):
        for stop in range(start, len(data) + 1, 7):
            for needle in (b"A", b"C", b"M", b"T", b"z"):
                found = find(table, start - 7, stop - 7, needle)
                assert found == data[start:stop].find(needle), (start, stop, needle)


def test_one_byte_is_not_looked_for_in_what_an_owner_does_not_show() -> None:
    owner = bytearray(b"x" * 100 + b"abc" + b"x" * 100)
    first, second = entry_of(memoryview(owner)[100:102]), entry_of(memoryview(owner)[102:103])
    assert first is not None
    assert second is not None
    table = Table([b"1", first, b"2", second], [], 0)
    assert find(table, 0, 5, b"x") == -1
    assert find(table, 0, 5, b"c") == 4


@pytest.mark.parametrize("differs", [None, 0, 63, 64, 100, 191, 192, 199])
def test_many_entries_that_are_cut_alike_are_compared_as_lists(differs: int | None) -> None:
    pieces = [bytes([k]) * 3 for k in range(200)]
    left = table_of(pieces)
    others = [bytes(bytearray(piece)) for piece in pieces]
    if differs is not None:
        others[differs] = b"\xff\xff\xfe"
    right = table_of(others, base=50)
    for start, stop in ((0, 600), (1, 600), (0, 599), (200, 590)):
        same = differs is None or not start < 3 * differs + 3 <= 3 * differs + 3 or not 3 * differs < stop
        expected = b"".join(pieces)[start:stop] == b"".join(others)[start:stop]
        assert equal(left, start, right, start + 50, stop - start) == expected
        assert same or not expected


@interpreted
def test_what_is_cut_alike_takes_less_than_a_line_for_each_entry() -> None:
    n = 6_400
    for pieces in ([b"abc"] * n, [b"a"] * n):
        left, right = (table_of([bytes(bytearray(piece)) for piece in pieces], base=base) for base in (0, 9))
        size = n * len(pieces[0])
        left.locate(size - 1)  # where entries end is worked out once, a few lines each
        right.locate(size + 8)
        with counted() as work:
            assert equal(left, 0, right, 9, size)
        assert work.lines < n


@interpreted
def test_what_is_cut_alike_in_part_is_seldom_compared_as_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in a run, though nine of ten entries are alike."""
    tried = 0

    def counting(*arguments: Any) -> int:
        nonlocal tried
        tried += 1
        return equal_entries(*arguments)

    equal_entries = _search._equal_entries
    monkeypatch.setattr(_search, "_equal_entries", counting)
    n = 6_400
    left = table_of([b"abc"] * n)
    right = table_of([*([b"abc"] * 8), b"a", b"bcabc"] * (n // 10))
    assert equal(left, 0, right, 0, 3 * n)
    assert 0 < tried <= n // 64 + 1


def test_much_memory_that_has_no_methods_is_compared() -> None:
    left, right, other = (
        Memory(None, memoryview(array.array("B", content)), None)
        for content in (b"abc" * 50_000, b"abc" * 50_000, b"abc" * 49_999 + b"abd")
    )
    size = 150_000
    tables = {name: Table([Run(owner, 0, size)], [], 0) for name, owner in (("l", left), ("r", right), ("o", other))}
    assert equal(tables["l"], 0, tables["r"], 0, size)
    assert not equal(tables["l"], 0, tables["o"], 0, size)
    assert equal(tables["l"], 0, tables["o"], 0, size - 1)


def test_one_byte_is_passed_over_in_whole_arrays() -> None:
    table = Table([entry(bytearray(b"abc")), entry(bytearray(b"def")), entry(bytearray(b"gxi"))], [], 0)
    assert find(table, 0, 9, b"x") == 7
    assert find(table, 0, 9, b"z") == -1


def test_two_exports_of_one_array_are_equal_where_they_show_the_same() -> None:
    owner = bytearray(b"abcabc")
    left, right = (Table([entry(owner)], [], 0) for _ in range(2))
    assert equal(left, 1, right, 1, 4)
    assert compare((left, 1, 5), (right, 1, 5)) == 0
    assert equal(left, 0, right, 3, 3)
    assert not equal(left, 0, right, 1, 3)


@pytest.mark.parametrize("byte", [b"a", b"f", b"i", b"j", b"z"])
@pytest.mark.parametrize("stop", [3, 5, 7, 9, 11])
def test_a_byte_behind_a_part_that_lacks_it_is_found_in_memory_too(byte: bytes, stop: int) -> None:
    data = b"abcdefghijk"
    table = Table([b"abc", entry(bytearray(b"defg")), KINDS["bytearray"](b"hijk")], [], 0)
    assert find(table, 0, stop, byte) == data[:stop].find(byte)
