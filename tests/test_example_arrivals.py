"""examples/http/arrivals.py: bytes out of order, overlapping, with holes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import SliceBuffer, no_copy
from examples.http.arrivals import Arrivals

from .conftest import IS_QUICK

Event = bytes | int
"""Bytes, or how many are missing."""


def append(events: list[Event], event: Event) -> None:
    """Join bytes to bytes, and a gap to a gap."""
    last = events.pop() if events and type(events[-1]) is type(event) else type(event)()
    events.append(last + event)  # type: ignore[operator]


def all_of(arrivals: Arrivals, at: int = 0) -> list[Event]:
    """Take everything out, holes and all."""
    events: list[Event] = []
    while True:
        while (found := arrivals.pull(at)) is not None:
            if isinstance(found, int):
                append(events, found - at)
                at = found
            else:
                append(events, bytes(found))
                at += len(found)
        if not arrivals:
            return events
        append(events, arrivals.first - at)
        at = arrivals.first


def of(pieces: Iterable[tuple[int, bytes | int]]) -> Arrivals:
    """Put pieces, each with its place; a number stands for bytes that were cut off."""
    arrivals = Arrivals()
    for at, piece in pieces:
        if isinstance(piece, int):
            arrivals.put(at, at + piece, None, 0)
        else:
            arrivals.put(at, at + len(piece), SliceBuffer(piece), 0)
    return arrivals


def test_nothing() -> None:
    assert all_of(Arrivals()) == []
    assert Arrivals().pull(5) is None


def test_in_order_and_out_of_order() -> None:
    assert all_of(of([(0, b"abc"), (3, b"de")])) == [b"abcde"]
    assert all_of(of([(5, b"f"), (3, b"de"), (0, b"abc")])) == [b"abcdef"]


def test_a_hole_is_waited_for() -> None:
    arrivals = of([(3, b"de")])
    assert arrivals.pull(0) is None
    assert len(arrivals) == 1
    assert arrivals.first == 3
    arrivals.put(0, 3, SliceBuffer(b"abc"), 0)
    assert all_of(arrivals) == [b"abcde"]


def test_of_overlapping_bytes_the_first_to_come_win() -> None:
    assert all_of(of([(2, b"CDE"), (0, b"abcdefg")])) == [b"abCDEfg"]
    assert all_of(of([(1, b"BC"), (4, b"E"), (0, b"abcdef"), (0, b"uvwxyz!")])) == [b"aBCdEf!"]
    assert all_of(of([(0, b"aaaaaa"), (2, b"bb"), (4, b"cccc")])) == [b"aaaaaacc"]


def test_what_lies_below_is_passed_over() -> None:
    assert all_of(of([(0, b"abc"), (1, b"xyz")]), 3) == [b"z"]
    assert all_of(of([(0, b"abc")]), 3) == []


def test_any_byte_that_came_is_better_than_one_that_was_cut_off() -> None:
    assert all_of(of([(0, b"ab"), (2, 8), (10, b"k")])) == [b"ab", 8, b"k"]
    assert all_of(of([(0, 10), (2, b"cd")])) == [2, b"cd", 6]
    assert all_of(of([(0, 5), (3, 5), (0, b"a")])) == [b"a", 7]


def test_it_can_forget() -> None:
    arrivals = of([(3, b"de"), (9, 4), (20, b"xyz")])
    assert arrivals.clear() == 5
    assert all_of(arrivals) == []


def test_pieces_are_slices_of_what_came() -> None:
    owner = SliceBuffer(b"abcdefgh")
    arrivals = Arrivals()
    with no_copy(strict=True):
        arrivals.put(0, 8, owner, 0)
        arrivals.put(2, 4, SliceBuffer(b"xx"), 0)
        found = arrivals.pull(0)
    assert isinstance(found, SliceBuffer)
    assert found.view().obj is owner.view().obj


@given(st.data())
def test_any_order_of_any_pieces_gives_the_whole(data: st.DataObject) -> None:
    whole = bytes(range(256)) * 4
    edges = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=20))})
    pieces = list(pairwise(edges))
    more = data.draw(st.lists(st.tuples(st.integers(0, 1023), st.integers(1, 300)), max_size=10))
    pieces += [(start, min(start + size, len(whole))) for start, size in more]
    assert all_of(of((a, whole[a:b]) for a, b in data.draw(st.permutations(pieces)))) == [whole]


def first_wins(size: int, pieces: Sequence[tuple[int, bytes | int]]) -> list[Event]:
    """The oracle, byte by byte."""
    cells: list[bytes | None] = [None] * size
    top = 0
    for at, piece in pieces:
        top = max(top, at + (piece if isinstance(piece, int) else len(piece)))
        for offset, byte in enumerate(b"" if isinstance(piece, int) else piece, at):
            cells[offset] = cells[offset] or bytes([byte])
    events: list[Event] = []
    for cell in cells[:top]:
        append(events, 1 if cell is None else cell)
    return events


Pieces = list[tuple[int, bytes | int]]


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=12) | st.integers(1, 20)), max_size=25))
@example([(0, b"a"), (2, b"c"), (0, b"xyz")])
@example([(0, 20), (5, b"a"), (3, b"xyz"), (1, 30)])
def test_overlaps_holes_and_cuts_are_those_of_the_oracle(pieces: Pieces) -> None:
    assert all_of(of(pieces)) == first_wins(100, pieces)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=12)), max_size=25),
    st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_when_it_is_asked_changes_only_who_was_first(pieces: Pieces, asks: list[bool]) -> None:
    """What was handed out stays; all else is as if it had been asked once, without what came too late."""
    arrivals = Arrivals()
    at = 0
    out = b""
    kept: Pieces = []
    for (place, piece), ask in zip(pieces, asks, strict=False):
        assert isinstance(piece, bytes)
        arrivals.put(place, place + len(piece), SliceBuffer(piece), 0)
        kept.append((max(place, at), piece[max(at - place, 0) :]))
        while ask and isinstance(found := arrivals.pull(at), SliceBuffer):
            out += bytes(found)
            at += len(found)
    expected = first_wins(100, kept)
    events: list[Event] = [out] if out else []
    for event in all_of(arrivals, at):
        append(events, event)
    assert events == expected


def test_many_in_reverse_wait_for_one() -> None:
    """Insertion one by one would take minutes for what a heap does at once."""
    count = 5_000 if IS_QUICK else 100_000
    assert all_of(of((n, b"x") for n in reversed(range(count)))) == [b"x" * count]


def test_many_that_overlap_leave_nothing() -> None:
    arrivals = of((n % 500, b"x" * 100) for n in range(5_000 if IS_QUICK else 20_000))
    assert all_of(arrivals) == [b"x" * 599]
    assert not arrivals._ready


def test_which_came_first_behind_the_hole() -> None:
    arrivals = Arrivals()
    arrivals.put(5, 7, SliceBuffer(b"fg"), 31)
    arrivals.put(9, 10, SliceBuffer(b"j"), 30)
    assert arrivals.order(0) is None
    assert (arrivals.first, arrivals.first_order, len(arrivals)) == (5, 31, 2)
    assert arrivals.order(5) == 31
