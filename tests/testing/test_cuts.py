"""Ways to cut an input, and the kinds of pieces."""

from __future__ import annotations

from itertools import cycle

import pytest

from bytebufs.testing.cuts import KINDS, Way, at_once, chunks, cut, hidden, made, ways, without_empties


def test_cuts_at_equal_places_give_an_empty_piece() -> None:
    assert cut(b"abc", [2, 1, 2]) == (b"a", b"b", b"", b"c")
    assert cut(b"abc", []) == (b"abc",)


def test_chunks_end_with_what_is_left() -> None:
    assert list(chunks(b"abcdefg", [1, 2])) == [b"a", b"bc", b"defg"]
    assert list(chunks(b"abcd", cycle([3]))) == [b"abc", b"d"]
    assert list(chunks(b"abc", [3])) == [b"abc"]
    assert list(chunks(b"", [3])) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", b"a", b"abc"], ids=repr)
def test_a_piece_of_each_kind_shows_its_bytes(kind: str, data: bytes) -> None:
    [piece] = made(Way((data,), (kind,)))
    assert bytes(piece) == data  # type: ignore[arg-type]


def test_what_is_hidden_has_others_on_both_sides() -> None:
    view = hidden(b"ab")
    assert bytes(view) == b"ab"
    assert len(memoryview(view.obj)) > 2


def test_no_bytes_do_not_come() -> None:
    assert at_once(b"", "bytes") == Way((), ())
    assert at_once(b"a", "slice") == Way((b"a",), ("slice",))


def test_empties_go_with_their_kinds() -> None:
    assert without_empties(Way((b"", b"a", b""), ("slice", "bytes", "reused"))) == Way((b"a",), ("bytes",))


@pytest.mark.parametrize("data", [b"", b"a", b"abcd"], ids=repr)
def test_all_ways_have_all_bytes(data: bytes) -> None:
    found = list(ways(data, kinds=["bytes", "slice"], random_cuts=9, limit=3, seed=0))
    assert all(b"".join(way.pieces) == data and len(way.pieces) == len(way.kinds) for way in found)
    assert {kind for way in found for kind in way.kinds} == {"bytes", "slice"}
