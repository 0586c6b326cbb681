"""Whether a copy reads what it writes to: against what really lies where, and against what cannot be known."""

from __future__ import annotations

import ctypes
import mmap
import os
from array import array
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import FileRegion, MappedFile, allocate
from bytebufs._core.overlap import may_overlap, may_share_file
from bytebufs._core.parts import owner_view

SIZE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(bytes(range(256)) * 64)
    return made


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    made = os.open(path, os.O_RDWR)
    yield made
    os.close(made)


RANGE = st.tuples(st.integers(0, 40), st.integers(1, 8))


@given(targets=st.lists(RANGE, min_size=1, max_size=4), pieces=st.lists(RANGE, min_size=1, max_size=4))
def test_pieces_of_one_memory_overlap_where_they_do(
    targets: list[tuple[int, int]], pieces: list[tuple[int, int]]
) -> None:
    """Also through an array that was made over it."""
    memory = bytearray(48)
    into = [memoryview(memory)[at : at + n] for at, n in targets]
    out_of = [memoryview(memory)[at : at + n] for at, n in pieces]
    over: Any = np.frombuffer(memory, np.uint8)
    expected = any(t < p + m and p < t + n for t, n in targets for p, m in pieces)
    assert may_overlap(into, out_of) is expected
    assert may_overlap([memoryview(over)[at : at + n] for at, n in targets], out_of) is expected
    assert may_overlap(into, [b"bytes", *[memoryview(over)[at : at + n] for at, n in pieces]]) is expected


OWNERS: dict[str, Any] = {
    "bytearray": partial(bytearray, SIZE),
    "array": lambda: array("d", bytes(SIZE)),
    "numpy": lambda: np.zeros(SIZE, np.uint8),
    "ctypes": ctypes.c_char * SIZE,
    "foreign map": partial(mmap.mmap, -1, SIZE),
    "map": lambda: allocate(SIZE).view(),
}


def views_of(owner: Any) -> list[memoryview]:
    view = memoryview(owner).cast("B")
    return [view[:100], view[200:]]


@pytest.mark.parametrize("source", OWNERS)
@pytest.mark.parametrize("target", OWNERS)
def test_what_owns_its_memory_overlaps_nothing_and_nobody_asks_for_addresses(
    target: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, out_of = views_of(OWNERS[target]()), views_of(OWNERS[source]())
    monkeypatch.setattr("bytebufs._core.overlap.address_of", None)
    # Two maps of which nobody knows whose they are may show one file.
    assert may_overlap(into, out_of) is (target == source == "foreign map")


def test_what_may_lie_in_anything_is_asked_for_its_address() -> None:
    memory = (ctypes.c_char * SIZE)()
    apart: Any = (ctypes.c_char * 100).from_buffer(memory, 300)
    inside: Any = (ctypes.c_char * 100).from_buffer(memory, 50)
    owner = memoryview(memory).cast("B")
    assert not may_overlap([owner[:100], owner[100:300]], [memoryview(apart).cast("B")])
    assert may_overlap([owner[:100], owner[100:300]], [memoryview(inside).cast("B")])


class Heir(bytearray):
    """It might export anything."""


def test_where_addresses_are_not_known_everything_may_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs._core.overlap.address_of", lambda memory: 0)
    assert may_overlap(views_of(bytearray(SIZE)), views_of(Heir(SIZE)))
    assert may_overlap(views_of(Heir(SIZE)), views_of(bytearray(SIZE)))
    assert not may_overlap(views_of(bytearray(SIZE)), views_of(bytearray(SIZE)))


def test_one_address_that_is_not_known_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    heir, own = views_of(Heir(SIZE)), views_of(bytearray(SIZE))
    monkeypatch.setattr("bytebufs._core.overlap.address_of", lambda memory: 0 if type(memory.obj) is Heir else 1)
    assert may_overlap(heir, own)
    assert may_overlap(own, heir)


def test_a_name_says_nothing_about_who_owns_the_memory() -> None:
    """What is called as the arrays of numpy are, or lies in a module of its, need not have what those have."""
    named: Any = type("ndarray", (bytearray,), {})(SIZE)
    placed: Any = type("Odd", (bytearray,), {"__module__": "numpy.odd"})(SIZE)
    for odd in (named, placed):
        assert not may_overlap(views_of(odd), views_of(bytearray(SIZE)))
        assert may_overlap(views_of(odd), [memoryview(odd)])


# -- maps


def pieces(mapped: MappedFile, *cuts: int) -> list[memoryview]:
    return [mapped[low:high].view() for low, high in pairwise(cuts)]


@pytest.mark.parametrize("offset", [0, 100, 5000])
def test_maps_of_ours_know_where_in_which_file_they_lie(path: Path, tmp_path: Path, offset: int) -> None:
    writable, readable = MappedFile(path, access="write"), MappedFile(path, offset=offset)
    into = pieces(writable, 6000, 6100, 7000)
    low, high = 6000 - offset, 7000 - offset
    assert not may_overlap(into, pieces(readable, 0, low // 2, low))
    assert not may_overlap(into, pieces(readable, high, high + 1, high + 2))
    assert may_overlap(into, pieces(readable, low - 2, low - 1, low + 1))
    assert may_overlap(into, pieces(readable, high - 1, high + 1))
    other = tmp_path / "other"
    other.write_bytes(path.read_bytes())
    assert not may_overlap(into, pieces(MappedFile(other), 0, 10_000))


@pytest.mark.parametrize("offset", [0, 100, 5000])
def test_a_region_is_a_map_as_well(path: Path, offset: int) -> None:
    into = pieces(MappedFile(path, access="write"), 6000, 6100, 7000)
    view = owner_view(FileRegion(path, offset))
    assert may_overlap(into, [view])
    assert may_overlap(into, [view[6999 - offset :]])
    assert not may_overlap(into, [view[7000 - offset :]])


def test_what_is_written_to_a_private_map_reaches_no_file(path: Path) -> None:
    private, shared = MappedFile(path, access="copy"), MappedFile(path, access="write")
    assert not may_overlap(pieces(private, 0, 10, 20), pieces(shared, 0, 5, 20))
    assert may_overlap(pieces(shared, 0, 10, 20), pieces(private, 0, 5, 20)), (
        "until it is written to, it shows the file"
    )


def test_foreign_maps_do_not_tell(path: Path, fd: int) -> None:
    one, other = mmap.mmap(fd, SIZE), mmap.mmap(fd, SIZE)
    ours = MappedFile(path, access="write")
    assert may_overlap([memoryview(one)[:10]], [memoryview(other)[20:30]])
    assert may_overlap([memoryview(one)[:10]], pieces(ours, 100, 200))
    assert may_overlap(pieces(ours, 100, 200), [memoryview(one)[:10]])
    assert may_overlap([memoryview(one)[:10], memoryview(other)[:10]], [memoryview(one)[20:30]])
    assert not may_overlap([memoryview(one)[:10]], [memoryview(one)[20:30], b"x"])
    assert not may_overlap([memoryview(one)[:10]], [allocate(5).view()])
    assert not may_overlap([allocate(5).view()], [memoryview(one)[:10]])
    assert not may_overlap([memoryview(one)[:10]], [memoryview(bytearray(5))])


def test_arrays_over_maps_are_maps(path: Path) -> None:
    over: Any = np.memmap(path, np.uint8, "r+")
    inside: Any = np.asarray(over)[100:]
    ours = MappedFile(path)
    assert may_overlap([memoryview(inside)], pieces(ours, 0, 5, 10))
    assert may_overlap([memoryview(inside.view(np.ma.MaskedArray))], pieces(ours, 0, 5, 10)), "of any class of numpy"
    known: Any = np.frombuffer(MappedFile(path, access="write")[5000:].view(), np.uint8)
    assert may_overlap([memoryview(known)], pieces(ours, 5000, 5001, 5002))
    assert not may_overlap([memoryview(known)], pieces(ours, 0, 4000, 5000))


def test_all_of_a_map_begins_where_the_map_does_and_what_is_no_map_hides_none(path: Path) -> None:
    whole = MappedFile(path, access="write")[:].view()
    assert may_share_file([whole], pieces(MappedFile(path), 0, 1))
    assert may_share_file([memoryview(bytearray(5)), whole], [memoryview(b"abc"), *pieces(MappedFile(path), 0, 1)])


def test_a_map_whose_place_nobody_knows_is_as_a_foreign_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into = pieces(MappedFile(path, access="write"), 0, 10)
    out_of = pieces(MappedFile(path, offset=8192), 100, 110)
    assert not may_share_file(into, out_of)
    monkeypatch.setattr("bytebufs._core.overlap.offset_in", lambda piece, whole: -1)
    assert may_share_file(into, out_of)


def test_a_cycle_of_arrays_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(np.ndarray[Any, Any]):
        __module__ = "numpy.odd"

        @property
        def base(self) -> Any:
            return self

    odd = np.zeros(5, np.uint8).view(Odd)
    assert not may_share_file([memoryview(odd)], [memoryview(odd)])
