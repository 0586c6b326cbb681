"""Entries of 20 bytes, and whether they could be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.rocketmq.consume_queue import ENTRY, ConsumeQueue, Entry
from examples.rocketmq.mapped_files import MappedFiles, Maps

if TYPE_CHECKING:
    from pathlib import Path

IN_A_FILE = 4


def opened(folder: Path) -> ConsumeQueue:
    return ConsumeQueue(MappedFiles(folder, IN_A_FILE * ENTRY.size, Maps(4)))


def entry(number: int) -> Entry:
    return Entry(1000 + 100 * number, 90, number)


def filled(folder: Path, count: int = 10, begin: int = 0) -> ConsumeQueue:
    queue = opened(folder)
    queue.begin(begin)
    for number in range(begin, begin + count):
        queue.prepare()
        queue.append(entry(number))
    return queue


def trusted(folder: Path, end: int = 10, start: int = 0, stop: int = 2000) -> bool:
    return opened(folder).trust(end, start, stop)


def test_entries_lie_at_twenty_times_their_offset(tmp_path: Path) -> None:
    queue = filled(tmp_path, 3)
    assert (queue.start, queue.end) == (0, 3)
    assert (tmp_path / f"{0:020}").read_bytes()[20:40] == (1100).to_bytes(8, "big") + (90).to_bytes(4, "big") + (
        1
    ).to_bytes(8, "big")
    assert queue[2] == entry(2)


def test_offsets_without_an_entry(tmp_path: Path) -> None:
    queue = filled(tmp_path, 3, begin=5)
    for offset in (4, 8, -1):
        with pytest.raises(IndexError):
            queue[offset]


@pytest.mark.parametrize("begin", [0, 3, 4, 6])
def test_ranges_are_read_across_files(tmp_path: Path, begin: int) -> None:
    queue = filled(tmp_path, 10, begin)
    for start in range(begin, begin + 11):
        for stop in range(start, begin + 11):
            assert [*queue.entries(start, stop)] == [entry(number) for number in range(start, stop)]


def test_a_file_holds_whole_entries(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whole number"):
        ConsumeQueue(MappedFiles(tmp_path, 30, Maps(4)))


def test_what_was_written_is_trusted(tmp_path: Path) -> None:
    filled(tmp_path)
    queue = opened(tmp_path)
    assert queue.trust(10, 0, 2000)
    assert (queue.start, queue.end) == (0, 10)
    assert trusted(tmp_path, end=7)
    assert trusted(tmp_path / "new", end=0)


def test_more_than_there_is_or_behind_the_log_is_not(tmp_path: Path) -> None:
    filled(tmp_path)
    assert not trusted(tmp_path, end=11)
    assert not trusted(tmp_path, end=13)
    assert not trusted(tmp_path, stop=1989)
    assert trusted(tmp_path, stop=1990)


@pytest.mark.parametrize("number", [0, 4, 9])
@pytest.mark.parametrize(
    "wrong", [Entry(0, 0, 0), Entry(1 << 40, 90, 1), Entry(0, 2000, 1), Entry(-5, 90, 1), Entry(1500, -1, 0)], ids=str
)
def test_garbage_is_not_trusted(tmp_path: Path, number: int, wrong: Entry) -> None:
    filled(tmp_path)
    path = tmp_path / f"{number // IN_A_FILE * IN_A_FILE * ENTRY.size:020}"
    data = bytearray(path.read_bytes())
    ENTRY.pack_into(data, number % IN_A_FILE * ENTRY.size, *wrong)
    path.write_bytes(data)
    assert not trusted(tmp_path)


def test_a_file_of_a_wrong_size_is_not_trusted(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / f"{0:020}").write_bytes(b"")
    assert not trusted(tmp_path)


def test_messages_that_are_gone_are_left_out(tmp_path: Path) -> None:
    queue = filled(tmp_path)
    queue.forget(1450)
    assert (queue.start, queue.end) == (5, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{80:020}", f"{160:020}"]
    queue.forget(99_999)
    assert (queue.start, queue.end) == (10, 10)
    assert [path.name for path in tmp_path.iterdir()] == [f"{160:020}"]
    again = opened(tmp_path)
    assert again.trust(10, 99_999, 100_000)
    assert (again.start, again.end) == (10, 10)


def test_a_queue_that_began_later_has_nothing_before(tmp_path: Path) -> None:
    filled(tmp_path, 3, begin=6)
    queue = opened(tmp_path)
    assert queue.trust(9, 1600, 2000)
    assert (queue.start, queue.end) == (6, 9)
    assert not trusted(tmp_path, end=9, start=0)
