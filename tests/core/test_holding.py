"""Who is kept alive by a window, how much that is, and what undoes a bad ratio."""

from __future__ import annotations

import array
import mmap
import sys
import tracemalloc
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs._core.audit import copy_audit, no_copy
from bytebufs._core.holding import (
    ENTRY_COST,
    SMALL,
    compacted,
    gathered,
    held_beside,
    held_nbytes,
    hold_the_same,
    small_copies,
    waste_of,
)
from bytebufs._core.parts import Entry, LazyOwner, Memory, Run, entry_of, memory_view, zeros
from bytebufs._core.table import Table
from bytebufs.errors import CopyForbidden

KIB = bytes(1024)


class Lazy(LazyOwner):
    def _look(self) -> Memory:
        raise AssertionError("looked at")


class OwnMap(mmap.mmap):
    pass


def entry(obj: Any) -> Entry:
    found = entry_of(obj)
    assert found is not None
    return found


def content(entries: list[Entry]) -> bytes:
    return b"".join(bytes(memory_view(part)) for part in entries)


def view_of(obj: Any) -> memoryview:
    """Return a memoryview, also of what the oldest typeshed does not know to have a buffer."""
    return memoryview(obj)


def held(*parts: Entry) -> tuple[int, int]:
    return held_nbytes(parts, mapped=False), held_nbytes(parts, mapped=True)


# -- what is held --------------------------------------------------------------------------------------------


def test_a_part_holds_all_of_its_owner() -> None:
    assert held() == (0, 0)
    assert held(b"abc") == (3, 0)
    assert held(Run(KIB, 5, 6)) == (1024, 0)
    assert held(entry(memoryview(bytearray(1000))[3:4])) == (1000, 0)
    assert held(entry(memoryview(array.array("H", [1, 2, 3]))[1:])) == (6, 0)
    assert held(entry(view_of(np.zeros(10, ">u4"))[2:3])) == (40, 0)


def test_maps_and_files_are_counted_apart() -> None:
    assert held(entry(mmap.mmap(-1, 5000))) == (0, 5000)
    assert held(entry(memoryview(OwnMap(-1, 5000))[2:3])) == (0, 5000)
    assert held(Run(Lazy(10**12), 5, 6)) == (0, 10**12)
    assert held(b"abc", entry(mmap.mmap(-1, 10)), b"de") == (5, 10)


def test_each_owner_is_counted_once() -> None:
    holder, lazy, numbers = bytearray(100), Lazy(50), array.array("B", bytes(30))
    assert held(KIB, Run(KIB, 0, 1), Run(KIB, 7, 9), KIB) == (1024, 0)
    views = [entry(memoryview(holder)[i : i + 1]) for i in range(0, 10, 2)]
    assert held(*views, entry(memoryview(holder).toreadonly())) == (100, 0)
    assert held(Run(lazy, 0, 1), Run(lazy, 4, 5)) == (0, 50)
    # Each of these is memory of its own here, over a piece; the array behind them is one.
    assert held(*[entry(memoryview(numbers)[i : i + 1]) for i in range(0, 10, 2)]) == (30, 0)


def test_equal_owners_are_not_one() -> None:
    assert held(bytes(bytearray(10)), bytes(bytearray(10))) == (20, 0)
    assert held(entry(bytearray(10)), entry(bytearray(10))) == (20, 0)


def test_what_is_behind_a_buffer_that_nobody_can_ask_counts_as_what_it_shows() -> None:
    shows = memoryview(b"abcd")
    assert held(Run(Memory(object(), shows, None), 0, 2)) == (4, 0)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ methods are from 3.12 on")
def test_an_object_with_a_buffer_method_is_counted() -> None:
    class Exporter:
        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(bytearray(7))

    assert held(entry(Exporter())) == (7, 0)


# -- what is rewritten ---------------------------------------------------------------------------------------


# defects.md O21
@pytest.mark.parametrize(
    ("size", "shown", "wasteful"), [(712, 100, False), (713, 100, True), (514, 1, False), (515, 1, True)]
)
def test_rewritten_is_what_holds_more_than_twice_what_it_shows_and_512(size: int, shown: int, wasteful: bool) -> None:
    whole = bytes(range(256)) * 3
    for owner in (whole[:size], bytearray(whole[:size]), array.array("B", whole[:size])):
        part = entry(memoryview(owner)[7 : 7 + shown])
        entries, freed = compacted([part])
        assert content(entries) == whole[7 : 7 + shown]
        assert held(*entries) == (shown if wasteful else size, 0)
        assert freed == (size - shown if wasteful else 0)
        assert (entries == [part]) == (not wasteful)


def test_if_nothing_is_wasted_the_list_itself_comes_back() -> None:
    lists: list[list[Entry]] = [[], [KIB], [KIB, Run(KIB, 0, 1)], [Run(KIB, 0, 300), b"x", Run(KIB, 600, 900)]]
    with no_copy(strict=True):
        for entries in lists:
            found, freed = compacted(entries)
            assert found is entries
            assert freed == 0


def test_what_an_owner_shows_is_summed_over_all_of_its_parts() -> None:
    whole = bytes(1000)
    one: list[Entry] = [Run(whole, 0, 200)]
    assert compacted(one)[1] == 800
    two: list[Entry] = [Run(whole, 0, 200), b"x", Run(whole, 500, 600)]
    assert compacted(two)[0] is two
    holder = bytearray(1000)
    pieces = [entry(memoryview(holder)[i : i + 100]) for i in (0, 200, 400)]
    assert compacted(pieces)[0] is pieces
    assert compacted(pieces[:2])[1] == 800


def test_maps_and_files_are_never_rewritten() -> None:
    entries: list[Entry] = [Run(Lazy(10**9), 0, 1), entry(memoryview(mmap.mmap(-1, 10_000))[5:6])]
    assert compacted(entries)[0] is entries
    more = [*entries, Run(KIB, 0, 1), *entries]
    rewritten, freed = compacted(more)
    assert freed == 1023
    assert rewritten == [*entries, b"\0", *entries]


def test_neighbours_that_are_rewritten_become_one_and_others_stay_as_they_are() -> None:
    x, y = bytes(range(250)) * 10, bytearray(range(100)) * 10
    stays = [Run(b"0123456789", 2, 4), entry(memoryview(bytearray(50))[1:20])]
    view = memoryview(y)
    entries = [
        Run(x, 1, 3), entry(view[5:7]), b"whole", Run(x, 9, 10), *stays, entry(view[50:53]), Run(x, 0, 1)
    ]  # fmt: skip
    before = content(entries)
    with copy_audit() as audit:
        rewritten, freed = compacted(entries)
    assert rewritten == [b"\1\2\5\6", b"whole", b"\x09", *stays, b"\x32\x33\x34\0"]
    assert content(rewritten) == before
    assert freed == len(x) + len(y) - 9
    assert audit.by_reason == {"compact": 9}
    assert audit.count == 3


def test_compacting_may_be_forbidden() -> None:
    part = Run(KIB, 0, 1)
    entries: list[Entry] = [part]
    with no_copy(), pytest.raises(CopyForbidden):
        compacted(entries)
    assert entries == [part]


def test_what_is_let_go_of_is_what_was_held_before() -> None:
    whole = bytes(5000)
    holder = bytearray(3000)
    entries = [Run(whole, 0, 10), entry(memoryview(holder)[:5]), b"abc", Run(KIB, 0, 1000)]
    before = held(*entries)[0]
    rewritten, freed = compacted(entries)
    assert before - held(*rewritten)[0] == freed == 8000 - 15
    entries.clear()
    holder.append(0)  # nothing shows it any more


def own_memory(size: int) -> Memory:
    return zeros(size)


def test_what_somebody_still_writes_to_is_left_where_it_is() -> None:
    owner = own_memory(1000)
    view = owner.reserve()
    entries: list[Entry] = [Run(owner, 0, 1)]
    assert compacted(entries)[0] is entries
    view[0] = 7
    assert content(entries) == b"\7"
    del view
    assert compacted(entries) == ([b"\7"], 999)


def test_it_is_left_where_it_is_though_other_parts_show_it_too() -> None:
    """A view of it that was appended is memory of its own; to rewrite that would free nothing."""
    owner = own_memory(1000)
    view = owner.reserve()
    entries: list[Entry] = [entry(view[20:22]), Run(owner, 0, 1), entry(view[10:12])]
    assert compacted(entries)[0] is entries


CUTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1999), st.integers(1, 900)), max_size=12)


def cut_out(cuts: list[tuple[int, int, int]]) -> list[Entry]:
    """Return ranges of five owners: two of bytes, two of other memory, and a map."""
    owners: list[Any] = [
        bytes(range(250)) * 8,
        bytearray(range(100)) * 20,
        array.array("B", range(200)) * 10,
        mmap.mmap(-1, 2000),
        bytes(2000),
    ]
    return [entry(memoryview(owners[which])[at : at + size]) for which, at, size in cuts]


@given(CUTS)
def test_whatever_the_parts_the_bytes_stay_and_what_is_freed_is_true(cuts: list[tuple[int, int, int]]) -> None:
    entries = cut_out(cuts)
    before = content(entries)
    total = held(*entries)
    rewritten, freed = compacted(entries)
    assert content(rewritten) == before
    assert held(*rewritten) == (total[0] - freed, total[1])
    assert freed >= 0
    again, more = compacted(rewritten)
    assert more == 0
    assert again is rewritten


# -- what parts cost beside their bytes ----------------------------------------------------------------------


def cost_and_taken(make: Callable[[], Entry]) -> tuple[int, int]:
    """Return what a thousand parts are said to cost, and what they take."""
    make()
    tracemalloc.start()
    try:
        table = Table([make() for _ in range(1000)], [], 0)
        table.locate(sum(map(len, table.parts)) - 1)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    return waste_of(table.parts) + sum(map(len, table.parts)), taken


def test_what_many_small_parts_cost_is_what_they_take() -> None:
    """Never less than half of it, and never much more, for every kind of owner."""
    makers: list[Callable[[], Entry]] = [
        lambda: bytes(bytearray(3)),
        lambda: entry(bytearray(3)),
        lambda: entry(memoryview(bytearray(2000))[5:6]),
        lambda: entry(array.array("B", b"abc")),
        lambda: Run(bytes(bytearray(500)), 5, 6),
    ]
    for make in makers:
        cost, taken = cost_and_taken(make)
        assert taken / 2 <= cost <= taken * 1.5


def test_small_parts_of_one_owner_cost_something_each() -> None:
    """Interpreted and compiled: it is reckoned by build."""
    shared, places = bytes(10_000), count(1000)
    cost, taken = cost_and_taken(lambda: Run(shared, next(places), next(places)))
    assert taken / 2 <= cost <= taken * 1.5


def test_what_an_owner_costs_counts_once_and_each_entry_by_itself() -> None:
    whole = bytes(1000)
    one = waste_of([Run(whole, 0, 10)])
    assert waste_of([]) == 0
    assert waste_of([b"abc"]) == waste_of([KIB]) == ENTRY_COST
    assert waste_of([b"abc", b"defg", b"h"]) == 3 * ENTRY_COST
    assert one == 990 + waste_of([Run(whole, 0, 1000)])
    assert waste_of([Run(whole, 0, 10), b"x", Run(whole, 20, 30)]) == 2 * one + ENTRY_COST
    assert waste_of([Run(whole, 0, 10), Run(whole, 20, 30)]) < 2 * one - 900, "neighbours share it"
    assert waste_of([Run(whole, 20, 30)], Run(whole, 0, 10)) < one - 900
    assert waste_of([Run(whole, 20, 30)], b"x") == one
    holder = bytearray(1000)
    export = waste_of([entry(holder)])
    pieces = [entry(memoryview(holder)[at : at + 1]) for at in (0, 2, 4)]
    assert waste_of(pieces[:1]) == 999 + export
    assert waste_of(pieces) - waste_of(pieces[:1]) < waste_of(pieces[:1]) - 999


def test_maps_and_files_cost_only_what_refers_to_them() -> None:
    lazy, mapped = Lazy(10**12), entry(memoryview(mmap.mmap(-1, 5000))[5:6])
    assert waste_of([mapped]) == waste_of([entry(bytearray(1))])
    assert waste_of([Run(lazy, 0, 1)]) == waste_of([Run(lazy, 0, 10**11)]) == waste_of([mapped])


def test_what_a_large_part_leaves_of_its_owner_does_not_count() -> None:
    holder = bytearray(1 << 20)
    assert waste_of([entry(memoryview(holder)[5 : 5 + SMALL])]) == waste_of([entry(bytearray(1))])


def test_what_a_large_part_leaves_counts_where_more_is_asked_to_be_worth_it() -> None:
    whole = memoryview(bytearray(4 * SMALL))
    third, half = entry(whole[5 : 5 + SMALL]), entry(whole[5 : 5 + 2 * SMALL])
    none = waste_of([third])
    assert waste_of([third], None, 5000) == none + 3 * SMALL
    assert waste_of([third], None, SMALL) == none
    assert held_beside(third, 5000) == 3 * SMALL
    assert held_beside(half, 5 * SMALL) == 2 * SMALL
    with copy_audit() as audit:
        assert small_copies([third], 5000) == [bytes(SMALL)]
        assert small_copies([half], 5 * SMALL) == small_copies([third]) == []
        assert gathered([b"a", third, half, b"b"], 5 * SMALL) == [b"a" + bytes(SMALL), half, b"b"]
        assert gathered([third, third]) == [third, third]
    assert audit.by_reason == {"coalesce": 2 * SMALL + 1}


def test_what_an_owner_holds_beside_what_is_shown_is_a_part_of_what_it_costs() -> None:
    whole = bytes(1000)
    assert held_beside(Run(whole, 5, 15)) == 990
    assert held_beside(entry(memoryview(bytearray(1000))[5:15])) == 990
    assert held_beside(entry(memoryview(bytearray(1 << 20))[5 : 5 + SMALL])) == 0
    assert (
        held_beside(None)
        == held_beside(whole)
        == held_beside(entry(bytearray(10)))
        == held_beside(Run(Lazy(10**12), 0, 1))
        == 0
    )
    assert held_beside(entry(memoryview(mmap.mmap(-1, 5000))[5:6])) == 0


def test_parts_of_one_object_hold_the_same_whoever_exports_it() -> None:
    whole, memory = bytes(1000), bytearray(1000)
    first, second = entry(memoryview(memory)[1:2]), entry(memoryview(memory)[3:4])
    assert hold_the_same(first, second)
    assert hold_the_same(Run(whole, 0, 1), Run(whole, 2, 3))
    assert not hold_the_same(Run(whole, 0, 1), Run(bytes(bytearray(1000)), 0, 1))
    assert not hold_the_same(Run(whole, 0, 1), first)
    assert not hold_the_same(whole, Run(whole, 0, 1))
    assert not hold_the_same(first, whole)


# -- what is gathered ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "joined"), [(1, True), (SMALL // 8 - 1, True), (SMALL // 8, False), (5000, False)])
def test_gathered_is_what_is_small(size: int, joined: bool) -> None:
    entries: list[Entry] = [bytes([65 + i]) * size for i in range(5)]
    with copy_audit() as audit:
        found = gathered(entries)
    assert content(found) == content(entries)
    if joined:
        assert len(found) == 1
        assert audit.by_reason == {"coalesce": 5 * size}
    else:
        assert all(ours is theirs for ours, theirs in zip(found, entries, strict=True))
        assert audit.by_reason == {}


def test_what_is_large_parts_those_that_are_gathered() -> None:
    large = [KIB, entry(bytearray(SMALL)), Run(bytes(2 * SMALL), 1, 1 + SMALL)]
    little = entry(bytearray(SMALL - 1))
    entries = [b"a", entry(bytearray(b"b")), large[0], b"c", large[1], large[2], b"d", Run(bytes(5000), 1, 2), little]
    with copy_audit() as audit:
        found = gathered(entries)
    assert audit.by_reason == {"coalesce": 2 + 1 + SMALL}
    assert found == [b"ab", large[0], b"c", large[1], large[2], b"d" + bytes(SMALL)]
    assert waste_of(found) < waste_of(entries) / 2


def test_small_is_what_shows_little_wherever_that_is_in_its_owner() -> None:
    ends = [Run(bytes(2 * SMALL), at, at + 2) for at in (0, SMALL - 1, SMALL, 2 * SMALL - 2)]
    assert gathered([*ends]) == [bytes(8)]


def test_gathering_leaves_files_and_what_is_still_written_to() -> None:
    owner = own_memory(1000)
    view = owner.reserve()
    lazy = Run(Lazy(100), 0, 1)
    written = Run(owner, 0, 1)
    entries: list[Entry] = [b"a", b"b", lazy, b"c", written, b"d", b"e"]
    assert gathered(entries) == [b"ab", lazy, b"c", written, b"de"]
    view[0] = 7
    assert content([written]) == b"\7"
    del view
    assert gathered(entries) == [b"ab", lazy, b"c\7de"]


def test_each_is_copied_by_itself_if_all_of_them_are_small() -> None:
    small: list[Entry] = [Run(b"abcdef", 1, 3), entry(bytearray(b"xyz"))]
    with copy_audit() as audit:
        assert small_copies(small) == [b"bc", b"xyz"]
    assert audit.by_reason == {"coalesce": 5}
    with no_copy():
        assert small_copies([*small, Run(Lazy(100), 0, 1)]) == []
        with pytest.raises(CopyForbidden):
            small_copies(small)


def test_gathering_may_be_forbidden() -> None:
    entries: list[Entry] = [b"a", b"b"]
    with no_copy(), pytest.raises(CopyForbidden):
        gathered(entries)
    assert entries == [b"a", b"b"]


@given(CUTS, st.lists(st.binary(min_size=1, max_size=200), max_size=20), st.randoms(use_true_random=False))
def test_gathering_keeps_the_bytes_and_wastes_less(
    cuts: list[tuple[int, int, int]], small: list[bytes], chance: Random
) -> None:
    entries: list[Entry] = [*cut_out(cuts), *small]
    chance.shuffle(entries)
    before, wasted = content(entries), waste_of(entries)
    found = gathered(entries)
    assert content(found) == before
    assert waste_of(found) <= wasted
