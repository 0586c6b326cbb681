"""From a way that fails to the smallest: in bytes, pieces and kinds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bytebufs.testing.cuts import Way, without_empties
from bytebufs.testing.shrinking import shrunk

LONG = Way(tuple(b"%04d" % i for i in range(100)), ("bytes", "slice") * 50)


def as_it_is(way: Way) -> Way:
    return way


def holds(what: bytes) -> Callable[[Way], bool]:
    return lambda way: what in b"".join(way.pieces)


@pytest.mark.parametrize(
    ("fails", "pieces"),
    [
        (lambda way: True, ()),
        (lambda way: len(way.pieces) > 2, (b"", b"", b"")),
        (lambda way: len(b"".join(way.pieces)) > 3, (b"aaaa",)),
        (holds(b"00420043"), (b"00420043",)),
        (lambda way: holds(b"0042")(way) and len(way.pieces) > 1, (b"0042", b"")),
        (lambda way: any(piece.endswith(b"42") for piece in way.pieces[:-1]), (b"42", b"")),
    ],
    ids=["anything", "three pieces", "four bytes", "some bytes", "some bytes and a seam", "bytes at a seam"],
)
def test_the_smallest_is_found(fails: Callable[[Way], bool], pieces: tuple[bytes, ...]) -> None:
    found = shrunk(LONG, fails, plainest="bytes", data_too=True, allowed=as_it_is)
    assert found == Way(pieces, ("bytes",) * len(pieces))


def test_a_run_of_any_length_is_left_out() -> None:
    def fails(way: Way) -> bool:
        """Say whether a number is cut, behind objects that are whole or not there."""
        return len(way.pieces) == 2 and way.pieces[0] in (b'{"a":1} 1', b"1")

    way = Way((b'{"a":1} 1', b"2"), ("bytes", "bytes"))
    found = shrunk(way, fails, plainest="bytes", data_too=True, allowed=as_it_is)
    assert found.pieces[0] == b"1"


def test_what_is_not_allowed_is_not_tried() -> None:
    found = shrunk(LONG, lambda way: len(way.pieces) > 1, plainest="bytes", data_too=True, allowed=without_empties)
    assert found.pieces == (b"a", b"a")


def test_a_kind_that_matters_stays() -> None:
    found = shrunk(LONG, lambda way: "slice" in way.kinds[1:], plainest="bytes", data_too=True, allowed=as_it_is)
    assert found == Way((b"", b""), ("bytes", "slice"))


def test_without_the_data_the_cut_alone_shrinks() -> None:
    found = shrunk(LONG, lambda way: len(way.pieces) > 1, plainest="bytes", data_too=False, allowed=as_it_is)
    assert b"".join(found.pieces) == b"".join(LONG.pieces)
    assert len(found.pieces) == 2


def test_a_length_shrinks_with_what_it_counts() -> None:
    def fails(way: Way) -> bool:
        data = b"".join(way.pieces)
        return len(data) > 2 and data[0] == len(data) - 1

    way = Way((b"\x0bhel", b"lo world"), ("bytes", "bytes"))
    assert shrunk(way, fails, plainest="bytes", data_too=True, allowed=as_it_is).pieces == (b"\2aa",)


def test_it_ends_however_long_it_might_go_on() -> None:
    calls = 0

    def fails(way: Way) -> bool:
        nonlocal calls
        calls += 1
        return False

    way = Way((bytes(range(256)),), ("bytes",))
    assert shrunk(way, fails, plainest="bytes", data_too=True, allowed=as_it_is) == way
    assert calls == 5000
