"""The sparse indexes: found by bisection as by looking at all, preallocated, and given back."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kafka.index import OFFSETS, TIMES, Index

from ..descriptors import descriptors, left_open

ENTRIES: Final = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30).map(
    lambda pairs: list(zip(sorted(first for first, _ in pairs), sorted(second for _, second in pairs), strict=True))
)


def entries(index: Index) -> list[tuple[int, int]]:
    return list(index)


def last(found: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    return next(iter(list(found)[::-1]), None)


@given(wanted=ENTRIES, number=st.integers(-1, 51), is_of_times=st.booleans())
def test_bisection_finds_what_looking_at_all_finds(
    wanted: list[tuple[int, int]], number: int, is_of_times: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = Index(tmp_path_factory.mktemp("index") / "i", TIMES if is_of_times else OFFSETS, 30)
    for entry in wanted:
        index.append(*entry)
    assert entries(index) == wanted
    assert index.last == (wanted[-1] if wanted else (0, 0))
    assert index.up_to(number) == last(entry for entry in wanted if entry[0] <= number)
    assert index.second_up_to(number) == last(entry for entry in wanted if entry[1] <= number)
    assert index.below(number) == last(entry for entry in wanted if entry[0] < number)
    index.close()


def test_entries_stand_in_the_file_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "i"
    index = Index(path, TIMES, 100)
    assert path.stat().st_size == 1_200
    assert path.stat().st_blocks * 512 >= 1_200, "the blocks are there before they are written to"
    index.append(-1, 0)
    index.append(1 << 40, (1 << 32) - 1)
    text = bytes.fromhex("ffffffffffffffff 00000000 0000010000000000 ffffffff")
    assert index.checksum() == zlib.crc32(text)
    index.close()
    index.close()
    assert path.read_bytes() == text, "what no entry needs is given back"


def test_as_many_are_opened_as_are_said_to_be_there(tmp_path: Path) -> None:
    path = tmp_path / "i"
    path.write_bytes(b"".join(OFFSETS.pack(i, 10 * i) for i in range(5)))
    index = Index(path, OFFSETS, 2, count=3)
    assert entries(index) == [(0, 0), (1, 10), (2, 20)]
    index.append(9, 9)
    assert len(index) == 3, "a full one takes none"
    with pytest.raises(IndexError):
        index[3]
    with pytest.raises(IndexError):
        index[-1]
    index.cut(5)
    assert len(index) == 3
    index.cut(1)
    index.append(7, 70)
    assert entries(index) == [(0, 0), (7, 70)]
    index.close()
    again = Index(path, OFFSETS, 10, count=2)
    assert entries(again) == [(0, 0), (7, 70)]
    again.append(8, 80)
    assert again.last == (8, 80)
    again.close()
    longer = Index(path, OFFSETS, 10, count=4)  # the file is shorter than somebody says
    assert entries(longer) == [(0, 0), (7, 70), (8, 80), (0, 0)]
    longer.close()


def test_an_index_that_gets_no_blocks_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors()
    fail = OSError(errno.ENOSPC, "no room")
    with mock.patch.object(os, "posix_fallocate", side_effect=fail), pytest.raises(OSError, match="no room"):
        Index(tmp_path / "i", OFFSETS, 10)
    assert left_open() == before
    assert (tmp_path / "i").stat().st_size == 0


def test_closing_fails_once_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors()
    index = Index(tmp_path / "i", OFFSETS, 10)
    fail = OSError(errno.EIO, "the disk is gone")
    with mock.patch.object(os, "ftruncate", side_effect=fail), pytest.raises(OSError, match="is gone"):
        index.close()
    index.close()
    assert left_open() == before


def test_an_index_that_is_trimmed_has_what_it_had_and_takes_no_more(tmp_path: Path) -> None:
    index = Index(tmp_path / "i", OFFSETS, 100)
    index.append(1, 2)
    index.trim()
    index.append(3, 4)
    assert entries(index) == [(1, 2)]
    assert index.path.stat().st_size == OFFSETS.size
    index.close()
