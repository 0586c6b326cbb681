"""The index table against a plain list of bytes."""

from __future__ import annotations

import array
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bytebufs._core.numbers import COMPILED
from bytebufs._core.parts import Entry, LazyOwner, Run, clip, entry_of, make_entry, memory_view, owner_view
from bytebufs._core.table import CHANGED, Table, check, one_run

from ..disturbed import Interrupt, at_each_step

interpreted = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")


def content(entry: Entry) -> bytes:
    return bytes(memory_view(entry))


def shown(table: Table, start: int, stop: int) -> bytes:
    return b"".join(table.pieces(start, stop))


def run(obj: Any) -> Run:
    found = entry_of(obj)
    assert isinstance(found, Run)
    return found


def table_of(*pieces: bytes) -> tuple[Table, int, int]:
    """Return a table that was filled from the end, and its window."""
    table = Table([], [], 0)
    for piece in pieces:
        table.push(piece)
    return table, 0, sum(map(len, pieces))


# What a composite does with a table: it moves its window, and shows another table where this one says so.


def drained(table: Table, start: int, stop: int) -> Table:
    """Let go of all in front of ``start``."""
    i, begin = (len(table.parts), start) if start == stop else (table.locate(start), -1)
    return dropped(table, i, begin if start == stop else table.begin(i))


def dropped(table: Table, i: int, begin: int) -> Table:
    if table.outweighed_by(i):
        return table.rest(i, begin)
    if i > table.head:
        table.drop_to(i, begin)
    return table


def fronted(table: Table, entry: Entry, start: int) -> Table:
    """Put an entry in front of ``start``."""
    if table.last_entry() is None:
        return Table([entry], [], start - len(entry))
    return table if table.put_front([entry], start) else table.with_front([entry], start)


def ended(table: Table, start: int, stop: int) -> Table:
    """Drop all from ``stop`` on."""
    if start == stop:
        return Table([], [], start)
    i = table.locate(stop - 1)
    table.cut(i, clip(table.parts[i], 0, stop - table.begin(i)))
    return table


# -- a state machine -----------------------------------------------------------------------------------------

SHARED = bytes(range(200))
ARRAYS = [run(array.array("B", SHARED)), run(bytearray(SHARED))]


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Whole bytes objects, and ranges of a few owners, some of which go on where others stop."""
    if draw(st.booleans()):
        return draw(st.binary(min_size=1, max_size=6))
    start = draw(st.integers(0, 19))
    stop = draw(st.integers(start + 1, 20))
    return make_entry(draw(st.sampled_from([SHARED, *(part.owner for part in ARRAYS)])), start, stop)


class TableMachine(RuleBasedStateMachine):
    """A table, the window over it, and the bytes that it ought to show."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table([], [], 0)
        self.start = self.stop = 0
        self.model = b""
        self.kept: list[tuple[Table, int, int, bytes]] = []

    @initialize(base=st.integers(-5, 5))
    def begin(self, base: int) -> None:
        self.table = Table([], [], base)
        self.start = self.stop = base

    @rule(entry=entries())
    def push(self, entry: Entry) -> None:
        self.table.push(entry)
        self.stop += len(entry)
        self.model += content(entry)

    @rule(more=st.lists(entries(), min_size=1, max_size=9))
    def extend(self, more: list[Entry]) -> None:
        apart = Table([], [], 0)
        for entry in more:
            apart.push(entry)
        self.table.extend(apart.parts, self.stop)
        self.stop += sum(map(len, more))
        self.model += b"".join(map(content, more))

    @rule(more=st.lists(entries(), min_size=1, max_size=9))
    def extend_and_take_it_back(self, more: list[Entry]) -> None:
        """As after an exception that came before the window had moved."""
        apart = Table([], [], 0)
        for entry in more:
            apart.push(entry)
        self.table.extend(apart.parts, self.stop)
        if self.model:
            assert b"".join(map(content, self.table.entries(self.start, self.stop))) == self.model
        self.table.trim(self.stop)

    @rule(more=st.lists(entries(), min_size=1, max_size=9))
    def put_several_in_front(self, more: list[Entry]) -> None:
        apart = Table([], [], 0)
        for entry in more:
            apart.push(entry)
        size = sum(map(len, more))
        if not self.model:
            self.table = Table(apart.parts, [], self.start - size)
        elif not self.table.put_front(apart.parts, self.start):
            self.table = self.table.with_front(apart.parts, self.start)
        self.start -= size
        self.model = b"".join(map(content, more)) + self.model

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def move_the_front_and_drop_nothing(self, data: st.DataObject) -> None:
        """As where there was no memory for that: the next drain does it."""
        n = data.draw(st.integers(0, len(self.model) - 1))
        self.start += n
        self.model = self.model[n:]

    @rule(pieces=st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=9))
    def append_whole_bytes_without_asking(self, pieces: list[bytes]) -> None:
        """What the fast path of a composite does: nothing can merge with a whole bytes object."""
        for piece in pieces:
            self.table.parts.append(piece)
            self.stop += len(piece)
            self.model += piece

    @rule(entry=entries())
    def push_left(self, entry: Entry) -> None:
        self.table = fronted(self.table, entry, self.start)
        self.start -= len(entry)
        self.model = content(entry) + self.model

    @rule(data=st.data())
    def push_what_continues(self, data: st.DataObject) -> None:
        """What goes on where the last entry stops, or stops where the first one starts, is no entry more."""
        parts = self.table.entries(self.start, self.stop)
        if parts and isinstance(parts[-1], Run) and parts[-1].stop < len(owner_view(parts[-1].owner)):
            last = parts[-1]
            most = len(owner_view(last.owner))
            self.push(make_entry(last.owner, last.stop, data.draw(st.integers(last.stop + 1, most))))
            assert len(self.table.entries(self.start, self.stop)) == len(parts)
        parts = self.table.entries(self.start, self.stop)
        if parts and isinstance(parts[0], Run) and parts[0].start > 0:
            first = parts[0]
            self.push_left(make_entry(first.owner, data.draw(st.integers(0, first.start - 1)), first.start))
            assert len(self.table.entries(self.start, self.stop)) == len(parts)

    @rule(data=st.data())
    def drain(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(0, len(self.model)))
        self.start += n
        self.table = drained(self.table, self.start, self.stop)
        self.model = self.model[n:]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def drain_exactly_one_entry(self, data: st.DataObject) -> None:
        n = len(self.table.entries(self.start, self.stop)[0])
        self.start += n
        self.table = drained(self.table, self.start, self.stop)
        self.model = self.model[n:]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def drop_to_a_place_that_is_known(self, data: st.DataObject) -> None:
        """What was sent: whoever did it counted the entries, and nobody looked up where they end."""
        self.table = drained(self.table, self.start, self.stop)
        sizes = [len(entry) for entry in self.table.all_entries(self.start)]
        i = data.draw(st.integers(0, len(sizes)))
        within = data.draw(st.integers(0, sizes[i] - 1)) if i < len(sizes) else 0
        n = sum(sizes[:i]) + within
        # An entry that was drained in part begins in front of the window.
        begin = self.table.base if i == 0 else self.start + n - within
        self.start += n
        self.table = dropped(self.table, self.table.head + i, begin)
        self.model = self.model[n:]

    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(0, len(self.model)))
        self.stop = self.start + n
        self.table = ended(self.table, self.start, self.stop)
        self.model = self.model[:n]

    @rule(parts=st.lists(st.binary(min_size=1, max_size=5), max_size=4))
    def reset(self, parts: list[bytes]) -> None:
        self.table = Table(list(parts), [], self.start)
        self.model = b"".join(parts)
        self.stop = self.start + len(self.model)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def locate(self, data: st.DataObject) -> None:
        """Anywhere, and near the last place, which is remembered."""
        at = data.draw(st.integers(0, len(self.model) - 1))
        for offset in (at, min(at + 1, len(self.model) - 1), max(at - 1, 0), at):
            i = self.table.locate(self.start + offset)
            skip = self.start + offset - self.table.begin(i)
            assert 0 <= skip < len(self.table.parts[i])
            assert content(self.table.parts[i])[skip] == self.model[offset]
            assert self.table.ends[i] == self.table.begin(i) + len(self.table.parts[i])

    @rule(data=st.data())
    def look_at_a_window(self, data: st.DataObject) -> None:
        low = data.draw(st.integers(0, len(self.model)))
        high = data.draw(st.integers(low, len(self.model)))
        start, stop = self.start + low, self.start + high
        parts = self.table.entries(start, stop)
        assert all(len(part) for part in parts)
        assert b"".join(map(content, parts)) == self.model[low:high]
        pieces = self.table.pieces(start, stop)
        assert [bytes(piece) for piece in pieces] == [content(part) for part in parts]
        assert [piece is part for piece, part in zip(pieces, parts, strict=True)] == [
            isinstance(part, bytes) for part in parts
        ]
        if low < high:
            window = self.table.window(start, stop)
            check(window, start, stop)
            assert len(window.parts) == len(window.ends) == len(parts)
            self.kept.append((window, start, stop, self.model[low:high]))

    @invariant()
    def it_shows_what_the_model_holds(self) -> None:
        check(self.table, self.start, self.stop)
        assert self.stop - self.start == len(self.model)
        if self.model:
            assert b"".join(map(content, self.table.all_entries(self.start))) == self.model

    @rule()
    def look_at_all(self) -> None:
        """No invariant: it looks up where every entry ends, and most of a table's life is before that."""
        assert shown(self.table, self.start, self.stop) == self.model
        check(self.table, self.start, self.stop)

    @invariant()
    def the_last_entry_is_the_last(self) -> None:
        last = self.table.last_entry()
        assert (last is None) == (not self.model)
        if last is not None:
            assert last is self.table.parts[-1]

    def teardown(self) -> None:
        """Windows that were cut before go on showing what they did, whatever happened to the table."""
        self.look_at_all()
        for window, start, stop, expected in self.kept:
            check(window, start, stop)
            assert shown(window, start, stop) == expected


TestTable = TableMachine.TestCase


# -- looking up ----------------------------------------------------------------------------------------------


def test_each_position_is_in_the_entry_that_holds_it_from_seam_to_seam() -> None:
    for order in (range(10), reversed(range(10)), [0, 9, 3, 2, 8, 5, 6, 4, 1, 7]):
        table, _, _ = table_of(b"abc", b"defgh", b"ij")
        assert {at: table.locate(at) for at in order} == dict(enumerate([0, 0, 0, 1, 1, 1, 1, 1, 2, 2]))


def test_ends_are_known_only_as_far_as_somebody_looked() -> None:
    table, start, stop = table_of(*[b"ab"] * 1000)
    assert table.ends == []
    table.locate(5)
    assert table.ends == [2, 4, 6]
    table.locate(0)
    assert len(table.ends) == 3
    check(table, start, stop)
    table.locate(stop - 1)
    assert len(table.ends) == 1000


def test_appending_asks_for_no_ends_and_goes_on_from_those_that_are_known() -> None:
    table, _, _ = table_of(b"abc", b"d")
    table.locate(3)
    table.push(b"ef")
    assert table.ends == [3, 4]
    assert [table.locate(at) for at in range(6)] == [0, 0, 0, 1, 2, 2]


# defects.md N3
@pytest.mark.parametrize("guess", [0, 1, 2, 3, 7, 1000])
def test_whatever_was_touched_last_a_lookup_is_right(guess: int) -> None:
    for known in range(4):
        table, _, _ = table_of(b"abc", b"defgh", b"ij")
        if known:
            table.locate([0, 2, 7, 9][known])
        for at in range(10):
            table.last = guess
            assert table.locate(at) == (at >= 3) + (at >= 8)


# defects.md N3
def test_the_entry_touched_last_is_forgotten_when_the_entries_move() -> None:
    table, _, stop = table_of(b"abc", b"defgh", b"ij")
    assert table.locate(8) == 2
    table = fronted(table, b"xy", 0)  # makes room: the indices shift
    assert content(table.parts[table.locate(8)]) == b"ij"
    assert content(table.parts[table.locate(-2)]) == b"xy"
    table = drained(table, 3, stop)
    assert content(table.parts[table.locate(3)]) == b"defgh"
    table = ended(table, 3, 5)
    assert content(table.parts[table.locate(4)]) == b"de"


def test_a_lookup_in_the_entry_touched_last_or_the_one_after_it_does_not_search() -> None:
    table, _, _ = table_of(*[b"abc"] * 100)
    table.locate(299)
    assert table.locate(150) == table.last == 50
    table.ends[:49] = [10**9] * 49  # a search would stumble over them
    table.ends[60:90] = [-1] * 30
    assert [table.locate(at) for at in (150, 151, 152, 153, 155, 156)] == [50, 50, 50, 51, 51, 52]


def test_an_entry_may_be_longer_than_memory() -> None:
    table = Table([b"x", Run(LazyOwner(1 << 64), 0, 1 << 64), b"y"], [], 0)
    assert [table.locate(at) for at in (0, 1, 1 << 64, (1 << 64) + 1)] == [0, 1, 1, 2]


def test_a_lookup_in_the_first_entry_or_the_second_does_not_search() -> None:
    table, _, _ = table_of(*[b"abc"] * 100)
    table.locate(299)
    assert table.locate(0) == table.last == 0
    table.ends[2:99] = [-1] * 97  # a search would stumble over them
    assert [table.locate(at) for at in (0, 2, 3, 5)] == [0, 0, 1, 1]


def test_a_lookup_that_goes_forward_to_the_last_entry_known_does_not_search() -> None:
    table, _, _ = table_of(*[b"abc"] * 100)
    table.locate(149)
    assert table.locate(144) == 48
    table.ends[:47] = [10**9] * 47
    assert table.locate(147) == 49


def test_entries_are_clipped_at_both_ends() -> None:
    table, _, _ = table_of(b"abc", b"defgh", b"ij")
    assert [content(e) for e in table.entries(1, 9)] == [b"bc", b"defgh", b"i"]
    assert [content(e) for e in table.entries(4, 6)] == [b"ef"]
    assert [content(e) for e in table.entries(3, 8)] == [b"defgh"]
    assert table.entries(3, 8)[0] is table.parts[1]
    assert [content(e) for e in table.entries(0, 8)] == [b"abc", b"defgh"]
    assert table.entries(4, 4) == []
    assert Table([], [], 7).entries(7, 7) == []


def test_a_window_holds_exactly_what_it_spans_and_copies_no_entry() -> None:
    table, _, _ = table_of(b"abc", b"defgh", b"ij", b"klm")
    window = table.window(4, 9)
    assert (window.parts, window.ends, window.base) == ([b"defgh", b"ij"], [8, 10], 3)
    assert all(ours is theirs for ours, theirs in zip(window.parts, table.parts[1:3], strict=True))
    assert shown(window, 4, 9) == b"efghi"


def test_a_window_is_whole_before_anybody_looks_into_it() -> None:
    """Threads may share it: a lookup writes nothing but `last`."""
    table, _, stop = table_of(*[b"ab"] * 50)
    window = table.window(11, stop)
    before = (list(window.parts), list(window.ends), window.base, window.head)
    for at in range(11, stop):
        window.locate(at)
    assert (window.parts, window.ends, window.base, window.head) == before


def test_one_run_counts_by_the_offsets_of_its_owner() -> None:
    owner = run(bytearray(b"0123456789")).owner
    table = one_run(owner, 3, 7)
    check(table, 3, 7)
    assert shown(table, 4, 6) == b"45"
    assert one_run(b"abc", 0, 3).parts == [b"abc"]
    empty = one_run(b"abc", 2, 2)
    check(empty, 2, 2)
    assert empty.last_entry() is None
    assert empty.base == 2


def test_a_short_piece_is_copied_among_others_and_shown_where_it_is_alone() -> None:
    """What joins them copies them anyway, and of one piece nothing is joined."""
    table = Table([Run(SHARED, 0, 3), b"abc", Run(SHARED, 4, 6)], [], 0)
    assert [type(piece) for piece in table.pieces(0, 8)] == [bytes, bytes, bytes]
    assert [type(piece) for piece in table.pieces(0, 3)] == [memoryview]
    assert table.pieces(3, 6)[0] is table.parts[1]


@pytest.mark.skipif(COMPILED, reason="a compiled module has its constants built in: none can be patched")
def test_the_compiled_way_to_look_up_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs._core.table.COMPILED", True)
    for order in (range(10), reversed(range(10)), [0, 9, 3, 2, 8, 5, 6, 4, 1, 7]):
        table, start, stop = table_of(b"abc", b"defgh", b"ij")
        assert {at: table.locate(at) for at in order} == dict(enumerate([0, 0, 0, 1, 1, 1, 1, 1, 2, 2]))
        check(table, start, stop)


@pytest.mark.parametrize("known", [0, 1, 3])
def test_a_position_behind_the_last_entry_says_that_something_changed(known: int) -> None:
    """Whoever asks took it from the window: the entries were there."""
    table, start, stop = table_of(b"abc", b"defgh", b"ij")
    if known:
        table.locate([0, 0, 3, 9][known])
    with pytest.raises(RuntimeError, match=CHANGED):
        table.locate(stop)
    check(table, start, stop)
    assert [table.locate(at) for at in (0, 3, 9)] == [0, 1, 2]


@interpreted
def test_a_position_in_front_of_the_first_entry_says_so_where_entries_were_drained_meanwhile() -> None:
    table, _, _ = table_of(b"abc", b"defgh", b"ij")
    table.drop_to(1, 3)
    with pytest.raises(RuntimeError, match=CHANGED):
        table._begin_anew(2)


class Meddled(list[Any]):
    """A list that has something done once, while a slice of it is made: a collector may run in there."""

    meddle: Callable[[], object] | None = None

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice) and (meddle := self.meddle) is not None:
            self.meddle = None
            meddle()
        return super().__getitem__(key)


@pytest.mark.parametrize("look", ["entries", "all_entries", "window", "pieces"])
@pytest.mark.parametrize("change", ["nothing", "drain", "prepend"])
def test_what_is_changed_while_it_is_listed_says_so_and_shows_nothing_wrong(change: str, look: str) -> None:
    parts = Meddled([b"dead", b"abc", b"defgh", b"ij", b"klm"])
    table = Table(parts, [], 0)
    stop = 17
    table = drained(table, 4, stop)
    looks: dict[str, Callable[[], object]] = {
        "entries": lambda: table.entries(5, 15),
        "all_entries": lambda: table.all_entries(5),
        "window": lambda: table.window(5, 15),
        "pieces": lambda: table.pieces(5, 15),
    }
    if change == "nothing":
        looks[look]()
        return
    changes: dict[str, Callable[[], object]] = {
        "drain": lambda: table.drop_to(2, 7),
        "prepend": lambda: table.put_front([b"xy"], 4),
    }
    parts.meddle = changes[change]
    with pytest.raises(RuntimeError, match=CHANGED):
        looks[look]()
    start, expected = (7, b"defghijklm") if change == "drain" else (2, b"xyabcdefghijklm")
    check(table, start, stop)
    assert shown(table, start, stop) == expected


@pytest.mark.parametrize("look", ["entries", "all_entries"])
def test_what_is_extended_to_the_front_while_it_is_listed_says_so(look: str) -> None:
    """Then the first entry is at its place still, but begins elsewhere."""
    owner = run(bytearray(b"0123456789")).owner
    parts = Meddled([Run(owner, 4, 8), b"abc"])
    table = Table(parts, [], 0)
    parts.meddle = lambda: table.put_front([Run(owner, 2, 4)], 0)
    with pytest.raises(RuntimeError, match=CHANGED):
        _ = table.entries(1, 6) if look == "entries" else table.all_entries(1)
    check(table, -2, 7)
    assert shown(table, -2, 7) == b"234567abc"


def cut_and_grown(table: Table) -> None:
    """Cut, and as long as before, of other entries."""
    table.cut(3, b"a")
    for _ in range(8):
        table.push(b"xyz")


@interpreted
@pytest.mark.parametrize("then", ["no more", "more is added", "and looked up"])
def test_a_cut_in_the_middle_of_a_lookup_leaves_the_table_right(then: str) -> None:
    """As a signal handler makes one that takes from the end: it shortens the entry that is looked at, or drops it."""

    def cut(table: Table) -> None:
        if then == "no more":
            table.cut(3, b"a")
            return
        cut_and_grown(table)
        if then == "and looked up":
            table.locate(20)

    for at in (5, 7, 13):
        for table, found in at_each_step(lambda: table_of(*[b"ab"] * 8)[0], methodcaller("locate", at), cut):
            sizes = list(map(len, table.parts))
            stop = sum(sizes)
            check(table, 0, stop)
            assert found.error is None or (isinstance(found.error, RuntimeError | IndexError) and at >= 7)
            assert [table.locate(i) for i in range(stop)] == [k for k, size in enumerate(sizes) for _ in range(size)]


@interpreted
@pytest.mark.parametrize("at", [0, 7, 30, 99])
@pytest.mark.parametrize("other", [0, 31, 99])
def test_a_lookup_in_the_middle_of_a_lookup_leaves_both_right(other: int, at: int) -> None:
    """As a signal handler makes one that reads."""

    def look(table: Table) -> None:
        assert table.locate(other) == other // 2

    for table, found in at_each_step(lambda: table_of(*[b"ab"] * 50)[0], lambda table: table.locate(at), look):
        assert found == (at // 2, None)
        check(table, 0, 100)
        assert [table.locate(position) for position in range(100)] == [position // 2 for position in range(100)]


@interpreted
def test_a_lookup_of_a_place_nearby_in_the_middle_of_a_lookup_leaves_both_right() -> None:
    """It may end in the very entry that was looked for, or in the next one."""
    for at, other in ((8, 9), (8, 10), (8, 6)):
        for table, found in at_each_step(
            lambda: table_of(*[b"ab"] * 8)[0], methodcaller("locate", at), methodcaller("locate", other)
        ):
            assert found == (at // 2, None)
            check(table, 0, 16)
            assert [table.locate(position) for position in range(16)] == [position // 2 for position in range(16)]


@interpreted
@pytest.mark.parametrize("at", [0, 7, 10, 30, 99])
def test_a_drain_in_the_middle_of_a_lookup_leaves_the_table_right(at: int) -> None:
    """As a signal handler makes one that takes."""

    def drain(table: Table) -> None:
        table.drop_to(5, 10)

    refused = 0
    for table, found in at_each_step(lambda: table_of(*[b"ab"] * 50)[0], lambda table: table.locate(at), drain):
        if table.head:  # or else the lookup had fewer steps
            assert found.error is None or (isinstance(found.error, RuntimeError) and at < 10)
            refused += found.error is not None
            check(table, 10, 100)
            assert [table.locate(position) for position in range(10, 100)] == [
                position // 2 for position in range(10, 100)
            ]
    assert bool(refused) == (at < 10)


# -- changing ------------------------------------------------------------------------------------------------


def test_what_continues_the_last_entry_extends_it_also_where_its_end_is_known() -> None:
    owner = run(bytearray(b"0123456789")).owner
    for look in (False, True):
        table = Table([], [], 0)
        table.push(b"ab")
        table.push(Run(owner, 0, 3))
        if look:
            table.locate(4)
        table.push(Run(owner, 3, 4))
        table.push(Run(owner, 4, 9))
        assert len(table.parts) == 2
        assert table.locate(10) == 1
        check(table, 0, 11)
        assert shown(table, 0, 11) == b"ab012345678"


@pytest.mark.parametrize("more", [[(3, 5)], [(3, 4), (6, 7)], [(3, 4), (6, 8), (0, 1)]], ids=len)
@pytest.mark.parametrize("known", [0, 1, 2])
def test_of_several_entries_at_once_the_first_may_continue_the_last(known: int, more: list[tuple[int, int]]) -> None:
    owner = run(bytearray(b"0123456789")).owner
    table, _, _ = table_of(b"ab")
    table.push(Run(owner, 0, 3))
    if known:
        table.locate([0, 0, 4][known])
    table.extend([Run(owner, *cut) for cut in more], 5)
    stop = 5 + sum(b - a for a, b in more)
    assert len(table.parts) == 1 + len(more)
    assert len(table.ends) == known
    check(table, 0, stop)
    assert shown(table, 0, stop) == b"ab012" + b"".join(b"0123456789"[a:b] for a, b in more)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("cut", range(13))
def test_trimming_cuts_off_all_behind_the_window_wherever_that_ends(cut: int, known: bool) -> None:
    owner = run(bytearray(b"0123456789")).owner
    parts: list[Entry] = [b"dead", b"abc", Run(owner, 2, 6), b"def", Run(owner, 8, 10)]
    table = drained(Table(parts, [], 0), 4, 16)
    if known:
        table.locate(15)
    table.trim(4 + cut)
    check(table, 4, 4 + cut)
    assert shown(table, 4, 4 + cut) == b"abc2345def89"[:cut]
    table.push(b"next")
    check(table, 4, 8 + cut)
    assert shown(table, 4, 8 + cut) == b"abc2345def89"[:cut] + b"next"


def test_what_goes_before_the_first_entry_extends_it_also_when_that_was_drained_in_part() -> None:
    owner = run(bytearray(b"0123456789")).owner
    table = Table([], [], 0)
    table.push(Run(owner, 2, 6))
    table.push(b"z")
    table = drained(table, 2, 5)
    table = fronted(table, Run(owner, 3, 4), 2)  # "3" before "45": the drained "23" is not what comes back
    assert len(table.parts) - table.head == 2
    check(table, 1, 5)
    assert shown(table, 1, 5) == b"345z"
    table = fronted(table, Run(owner, 0, 2), 1)
    check(table, -1, 5)
    assert shown(table, -1, 5) == b"01345z"


@pytest.mark.parametrize("room", [True, False], ids=["where there is room", "where there is none"])
def test_the_last_of_several_that_go_in_front_extends_the_first_entry(room: bool) -> None:
    owner = run(bytearray(b"0123456789")).owner
    table = Table([*[b"dead"] * 4, Run(owner, 4, 6), b"z"], [], 0)
    table = table.rest(4, 16) if not room else drained(table, 16, 19)
    assert table.put_front([b"ab", Run(owner, 2, 4)], 16) == room
    if not room:
        table = table.with_front([b"ab", Run(owner, 2, 4)], 16)
    check(table, 12, 19)
    live = table.entries(12, 19)
    assert [content(entry) for entry in live] == [b"ab", b"2345", b"z"]


def test_what_goes_in_front_where_there_is_no_room_extends_the_first_entry_or_does_not() -> None:
    def ahead(last: Entry) -> list[list[Entry]]:
        return [[last], [b"ab", last], [b"ab", b"cd", last], [b"ab", b"cd", b"ef", last]]

    for front in (*ahead(Run(OWNER, 2, 4)), *ahead(b"xy")):
        table = Table([Run(OWNER, 4, 6), b"z"], [], 0).with_front(front, 0)
        start = -sum(map(len, front))
        check(table, start, 3)
        assert shown(table, start, 3) == b"".join(map(content, front)) + b"45z"


def test_what_goes_on_behind_the_last_entry_leaves_the_ends_in_front_of_it_known() -> None:
    owner = run(bytearray(b"0123456789")).owner
    table = Table([b"abc", Run(owner, 2, 4)], [], 0)
    table.locate(4)
    table.push(Run(owner, 4, 6))
    assert (len(table.parts), table.ends) == (2, [3])
    table.locate(6)
    table.trim(5)
    assert (len(table.parts), table.ends) == (2, [3])
    check(table, 0, 5)


@pytest.mark.parametrize("known", [False, True])
def test_the_last_entries_are_shown_by_others_and_the_ends_stay(known: bool) -> None:
    whole = b"abcdefgh"
    table = Table([b"x", Run(whole, 0, 1), Run(whole, 2, 4)], [], 0)
    if known:
        table.locate(3)
    table.show_instead([b"a", b"cd"])
    check(table, 0, 4)
    assert table.entries(0, 4) == [b"x", b"a", b"cd"]
    table.show_instead([])
    assert table.entries(1, 4) == [b"a", b"cd"]


def test_putting_back_what_was_taken_gives_the_entry_itself_back() -> None:
    whole = b"abcdef"
    table, _, stop = table_of(whole, b"z")
    table = drained(table, 4, stop)
    table = fronted(table, make_entry(whole, 0, 4), 4)
    assert table.parts[table.head] is whole


def test_a_drained_first_entry_is_clipped_before_something_goes_in_front_of_it() -> None:
    table, _, stop = table_of(b"abcdef", b"z")
    table = drained(table, 4, stop)
    table = fronted(table, b"XY", 4)
    check(table, 2, 7)
    assert shown(table, 2, 7) == b"XYefz"


# defects.md N12
def test_nothing_is_ever_joined_behind_your_back() -> None:
    pieces = [b"%d" % i for i in range(10_000)]
    table, start, _ = table_of(*pieces)
    for piece in pieces:
        table = fronted(table, piece, start)
        start -= len(piece)
    live = table.parts[table.head :]
    assert len(live) == 20_000
    assert all(entry is piece for entry, piece in zip(live, pieces[::-1] + pieces, strict=True))


# defects.md O8
def test_the_same_part_may_stand_in_a_table_twice() -> None:
    part = run(bytearray(b"ab"))
    table = Table([], [], 0)
    for _ in range(3):
        table.push(part)
    table = fronted(table, part, 0)
    check(table, -2, 6)
    assert shown(table, -2, 6) == b"abababab"


# defects.md O14
@pytest.mark.parametrize("step", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_drained_entries_are_let_go_of_at_once(count: int, step: int) -> None:
    owners = [array.array("B", b"abc") for _ in range(count)]
    alive = [weakref.ref(owner) for owner in owners]
    table = Table([run(owner) for owner in owners], [], 0)
    owners.clear()
    stop = 3 * count
    for start in range(step, stop + 1, step):
        table = drained(table, start, stop)
        assert [ref() is not None for ref in alive] == [3 * (i + 1) > start for i in range(count)]
        check(table, start, stop)


def test_what_is_cut_off_is_let_go_of_at_once() -> None:
    owners = [array.array("B", b"abc") for _ in range(4)]
    alive = [weakref.ref(owner) for owner in owners]
    table = Table([run(owner) for owner in owners], [], 0)
    owners.clear()
    for stop, left in [(10, 4), (9, 3), (4, 2), (3, 1), (1, 1), (0, 0)]:
        table = ended(table, 0, stop)
        check(table, 0, stop)
        assert [ref() is not None for ref in alive] == [True] * left + [False] * (4 - left)


def test_a_queue_that_never_runs_empty_does_not_grow() -> None:
    table, start, stop = table_of(*[b"ab"] * 10)
    for _ in range(1_000):
        table.push(b"ab")
        stop += 2
        start += 2
        table = drained(table, start, stop)
        assert len(table.parts) <= 10 + 16 + 1
    check(table, start, stop)


class Counted(list[Any]):
    """A list that counts the slots that are moved, filled or copied, at the front, in the middle or elsewhere."""

    work = 0

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            return super().__getitem__(key)
        found = Counted(super().__getitem__(key))
        Counted.work += len(found)
        return found

    def __delitem__(self, key: Any) -> None:
        Counted.work += len(self)
        super().__delitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, slice):
            start, stop, _ = key.indices(len(self))
            Counted.work += max(len(value), stop - start)
            if len(value) != stop - start:
                Counted.work += len(self) - start
        super().__setitem__(key, value)


def counted_table(n: int) -> tuple[Table, int, int]:
    Counted.work = 0
    return Table(Counted([b"ab"] * n), Counted(), 0), 0, 2 * n


# defects.md N13
@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_draining_part_by_part_is_linear(step: int) -> None:
    n = 10_000
    table, _, stop = counted_table(n)
    for start in range(step, stop, step):
        table = drained(table, start, stop)
    assert Counted.work <= 8 * n


# defects.md N13
def test_prepending_part_by_part_is_linear() -> None:
    n = 10_000
    table, start, _ = counted_table(0)
    for i in range(n):
        table = fronted(table, b"ab", start - 2 * i)
    assert Counted.work <= 16 * n
    check(table, -2 * n, 0)


# defects.md N13
@pytest.mark.parametrize("depth", [1, 2, 5, 100])
def test_taking_and_putting_back_in_turn_costs_no_more_than_what_is_moved(depth: int) -> None:
    """As a parser does that looks at a message's head and gives it back."""
    n, turns = 10_000, 1_000
    table, start, stop = counted_table(n)
    for _ in range(turns):
        for _ in range(depth):
            table = fronted(table, b"xy", start)
            start -= 2
        start += 2 * depth
        table = drained(table, start, stop)
    assert Counted.work <= 8 * n + 8 * turns * depth
    check(table, start, stop)


@given(st.lists(st.tuples(st.sampled_from(["left", "right", "drain"]), st.integers(1, 40)), max_size=60))
def test_the_dead_never_outweigh_the_living_by_much(steps: list[tuple[str, int]]) -> None:
    table = Table([], [], 0)
    start = stop = 0
    most = 0
    for step, n in steps:
        for _ in range(n):
            if step == "left":
                table = fronted(table, b"ab", start)
                start -= 2
            elif step == "right":
                table.push(b"ab")
                stop += 2
            elif start < stop:
                start += 2
                table = drained(table, start, stop)
        most = max(most, (stop - start) // 2)
        check(table, start, stop)
        assert len(table.parts) <= 2 * most + 16


# -- interrupted ---------------------------------------------------------------------------------------------

OWNER: Final = run(bytearray(b"0123456789")).owner


class Cut(NamedTuple):
    """A table that a change is made of, under the window that the caller has set for it; and what that shows."""

    table: Table
    start: int
    stop: int
    content: bytes


def cut_in_the_middle(known: int) -> Cut:
    """A table with dead entries, of which the window clips the first that is alive, and some that are known to ends."""
    parts: list[Entry] = [*[b"dead"] * 4, b"abc", Run(OWNER, 2, 5), b"def", b"g", Run(OWNER, 5, 7)]
    table = Table(parts, [], 0)
    table.drop_to(4, 16)
    if known:
        table.locate(16 + known)
    return Cut(table, 17, 28, b"bc234defg56")


def left_behind(cut: Cut, position: int) -> Cut:
    """Move the front, as whoever drains does first."""
    return Cut(cut.table, position, cut.stop, cut.content[position - cut.start :])


def whole_after_all(cut: Cut) -> None:
    """Assert that the window shows what it did, and that the table can be used."""
    table, start, stop, content = cut
    table.trim(stop)
    check(table, start, stop)
    assert shown(table, start, stop) == content
    table.push(b"next")
    table = fronted(table, b"xy", start)
    check(table, start - 2, stop + 4)
    assert shown(table, start - 2, stop + 4) == b"xy" + content + b"next"
    table = drained(table, stop, stop + 4)
    check(table, stop, stop + 4)
    assert shown(table, stop, stop + 4) == b"next"


PREPENDED: Final[dict[str, list[Entry]]] = {
    "one": [b"one"],
    "several": [b"one", Run(OWNER, 8, 9), b"two"],
    "too many": [b"one", b"two", b"three", b"four", b"five"],
}


@interpreted
@pytest.mark.parametrize(
    "entries",
    PREPENDED.values(),
    ids=PREPENDED,
)
def test_what_is_put_in_front_shows_wholly_or_not_at_all_when_it_is_interrupted(entries: Sequence[Entry]) -> None:
    before = cut_in_the_middle(0)
    added = b"".join(map(content, entries))
    for cut, found in at_each_step(
        partial(cut_in_the_middle, 0), lambda cut: cut.table.put_front(list(entries), cut.start)
    ):
        table = cut.table
        if table.base < before.table.base:  # it was done: the window may be moved over it
            check(table, cut.start - len(added), cut.stop)
            assert shown(table, cut.start - len(added), cut.stop) == added + cut.content
        else:
            assert found.error or len(entries) > 4
            table.trim(cut.stop)
            assert all(not part for part in table.parts[: table.head]), "holds what was not added"
        whole_after_all(cut)


@interpreted
@pytest.mark.parametrize("first", [b"more", Run(OWNER, 7, 9)], ids=["another", "what goes on"])
@pytest.mark.parametrize("known", [0, 11])
def test_what_is_added_behind_is_cut_off_again_when_it_is_interrupted(known: int, first: Entry) -> None:
    for cut, _ in at_each_step(
        partial(cut_in_the_middle, known), lambda cut: cut.table.extend([first, b"and", b"more"], cut.stop)
    ):
        whole_after_all(cut)


@interpreted
@pytest.mark.parametrize("known", [0, 4, 11], ids="known {}".format)
@pytest.mark.parametrize(("i", "begin"), [(5, 19), (6, 22), (8, 26), (9, 28)])
def test_what_is_drained_is_gone_or_goes_with_the_next_drain_when_it_is_interrupted(
    i: int, begin: int, known: int
) -> None:
    for cut, found in at_each_step(
        lambda: left_behind(cut_in_the_middle(known), begin), lambda cut: bool(cut.table.drop_to(i, begin))
    ):
        assert cut.table.head in {4, i}
        assert found.error or cut.table.head == i
        assert found.error is None or isinstance(found.error, Interrupt)
        whole_after_all(cut)


@interpreted
def test_the_first_entry_is_drained_or_goes_with_the_next_drain_when_it_is_interrupted() -> None:
    for cut, found in at_each_step(lambda: left_behind(cut_in_the_middle(4), 19), lambda cut: cut.table.drop_first(19)):
        assert cut.table.head in {4, 5}
        assert found.error or (cut.table.head, found.answer) == (5, b"abc")
        assert found.error is None or isinstance(found.error, Interrupt)
        if not found.error:
            check(cut.table, cut.start, cut.stop)
        whole_after_all(cut)


# -- the check bites -----------------------------------------------------------------------------------------


def healthy() -> tuple[Table, int, int]:
    """A table with dead entries, an incomplete list of ends, and a window that clips the first entry."""
    owner = run(bytearray(b"0123456789")).owner
    parts: list[Entry] = [b"dead", b"abc", Run(owner, 2, 5), b"def", Run(SHARED, 0, 3), Run(SHARED, 4, 6)]
    table = Table(parts, [], 0)
    table = drained(table, 5, 18)
    table.locate(8)
    assert (table.head, table.base, table.ends) == (1, 4, [4, 7, 10])
    check(table, 5, 18)
    return table, 5, 18


def set_part(i: int, entry: Entry) -> Callable[[Table], None]:
    return lambda table: table.parts.__setitem__(i, entry)


def set_end(i: int, end: int) -> Callable[[Table], None]:
    return lambda table: table.ends.__setitem__(i, end)


def change(name: str, value: int) -> Callable[[Table], None]:
    return lambda table: setattr(table, name, value)


CORRUPTIONS: dict[str, Callable[[Table], None]] = {
    "a negative head": change("head", -1),
    "a head beyond the ends": change("head", 4),
    "a head before a dead entry": change("head", 0),
    "a head after a live entry": change("head", 2),
    "a drained entry that is still held": set_part(0, b"dead"),
    "more ends than entries": lambda table: table.ends.extend([13, 16, 18, 20]),
    "an end too far": set_end(1, 8),
    "an end too near": set_end(2, 9),
    "a base too high": change("base", 5),
    "a base too low": change("base", 3),
    "a negative guess": change("last", -1),
    "an empty entry": set_part(3, b""),
    "an empty entry in between": lambda table: table.parts.insert(3, b""),
    "an empty run": set_part(3, Run(SHARED, 5, 5)),
    "an entry that its neighbour goes on from": set_part(4, Run(SHARED, 1, 4)),
    "an entry too long": set_part(1, b"abcd"),
    "an entry too few": lambda table: table.parts.__delitem__(-1),
    "an entry too many": lambda table: table.parts.append(b"x"),
    "no entry at all": lambda table: table.trim(table.base),
}


def test_check_finds_what_is_broken() -> None:
    for name, corrupt in CORRUPTIONS.items():
        table, start, stop = healthy()
        corrupt(table)
        try:
            check(table, start, stop)
        except AssertionError:
            continue
        pytest.fail(f"check() lets pass {name}")


@pytest.mark.parametrize(("start", "stop"), [(3, 18), (5, 16), (5, 15), (5, 19)], ids=str)
def test_check_finds_a_window_that_is_not_the_tables(start: int, stop: int) -> None:
    table, _, _ = healthy()
    with pytest.raises(AssertionError):
        check(table, start, stop)


def test_check_lets_pass_a_window_that_clips_the_last_entry_as_slices_do() -> None:
    table, start, stop = healthy()
    check(table, start, stop - 1)


def test_check_lets_pass_what_is_left_in_front_of_the_window() -> None:
    """The next drain lets go of it."""
    table, _, stop = healthy()
    check(table, 8, stop)
    assert b"".join(map(content, table.all_entries(8))) == b"34def" + SHARED[:3] + SHARED[4:6]
    check(table, stop, stop)


def test_check_finds_a_window_over_nothing() -> None:
    check(Table([], [], 3), 3, 3)
    with pytest.raises(AssertionError):
        check(Table([b"abc"], [], 0), 1, 1)
    with pytest.raises(AssertionError):
        check(Table([], [], 3), 3, 4)


@pytest.mark.parametrize("known", [0, 1, 20, 50])
@pytest.mark.parametrize("step", [1, 2, 7, 16, 17, 49, 50])
def test_draining_to_a_place_that_is_known_looks_nothing_up(known: int, step: int) -> None:
    table, _, stop = table_of(*[bytes([65 + k]) * 2 for k in range(50)])
    if known:
        table.locate(2 * known - 1)
    for i in [*range(0, 50, step), 50]:
        dead = table.base // 2 - table.head
        table = dropped(table, i - dead, 2 * i)
        assert len(table.ends) - table.head == max(known - i, 0)
        check(table, 2 * i, stop)
        assert all(not part for part in table.parts[: table.head])
    assert table.last_entry() is None


def test_a_window_spans_a_table_that_begins_in_its_first_entry_and_ends_in_its_last() -> None:
    table = Table([b"abc", b"de", b"fgh"], [13, 15, 18], 10)
    assert [(a, b) for a in range(10, 18) for b in range(a + 1, 19) if table.spans(a, b)] == [
        (a, b) for a in (10, 11, 12) for b in (16, 17, 18)
    ]
    assert not Table([b"abc"], [13], 10).spans(10, 13)
    assert Table([b"abc", b"de"], [13, 15], 10).spans(12, 14)
    assert not Table([b"abc", b"de"], [13, 15], 10).spans(12, 13)


@pytest.mark.parametrize("known", [0, 2, 4, 15])
def test_what_was_dropped_is_returned_so_that_it_ends_where_the_caller_lets_go(known: int) -> None:
    pieces = [b"abc", b"defgh", b"ij", b"klm", b"n", b"op"]
    table, _, stop = table_of(*pieces)
    table.locate(known)
    assert table.drop_to(1, 3) is pieces[0]
    assert table.drop_to(3, 10) == pieces[1:3]
    assert table.drop_to(3, 10) == []
    assert table.drop_to(6, stop) == pieces[3:]
    check(table, stop, stop)
