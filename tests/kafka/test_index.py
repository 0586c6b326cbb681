"""A sparse index: what bisection finds, against looking at all; what it leaves of its file; and full disks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kafka.index import OFFSETS, TIMES, Index


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40),
    wanted=st.integers(-1, 130),
)
def test_bisection_finds_what_a_search_does(
    steps: list[tuple[int, int]], wanted: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = Index(tmp_path_factory.mktemp("index") / "index", TIMES, 50)
    first = second = 0
    entries = []
    for more, further in steps:
        first, second = first + more, second + further
        index.append(first, second)
        entries.append((first, second))
    assert [index[i] for i in range(len(index))] == entries
    assert index.last == (entries or [(0, 0)])[-1]
    assert index.up_to(wanted) == next((entry for entry in reversed(entries) if entry[0] <= wanted), None)
    assert index.below(wanted) == next((entry for entry in reversed(entries) if entry[0] < wanted), None)
    assert index.second_up_to(wanted) == next((entry for entry in reversed(entries) if entry[1] <= wanted), None)
    for outside in (-1, len(entries)):
        with pytest.raises(IndexError):
            index[outside]
    index.close()


def test_a_file_has_its_blocks_while_it_is_open_and_is_cut_after(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = Index(path, OFFSETS, 1_000)
    assert path.stat().st_size == 8_000
    assert path.stat().st_blocks * 512 >= 8_000
    for i in range(1_001):  # the last finds no room
        index.append(i, 10 * i)
    assert (len(index), index.last) == (1_000, (999, 9_990))
    index.cut(10)
    check = index.checksum()
    index.close()
    index.close()
    assert path.stat().st_size == 80
    index = Index(path, OFFSETS, 1_000, count=10)
    assert (index.checksum(), index.last) == (check, (9, 90))
    index.close()


def test_a_full_disk_is_an_error_when_it_is_made(tmp_path: Path) -> None:
    with (
        mock.patch.object(os, "posix_fallocate", side_effect=OSError(errno.ENOSPC, "full")),
        pytest.raises(OSError, match="full"),
    ):
        Index(tmp_path / "index", OFFSETS, 1_000)
