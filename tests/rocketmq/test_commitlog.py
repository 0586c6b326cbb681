"""Records one behind the other, and where one file ends and the next begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import SliceBuffer
from examples.rocketmq import record
from examples.rocketmq.commitlog import CommitLog
from examples.rocketmq.mapped_files import MappedFiles, Maps
from examples.rocketmq.record import BLANK, HEAD, MessageError

from .stores import message

if TYPE_CHECKING:
    from pathlib import Path

FILE = 512
OVERHEAD = HEAD.size + len(b"\x05topic") + 2
MOST = FILE - BLANK.size - OVERHEAD
"""Bytes of the longest body."""


def opened(folder: Path) -> CommitLog:
    return CommitLog(MappedFiles(folder, FILE, Maps(4)))


def put(log: CommitLog, body: bytes, queue_offset: int = 0) -> int:
    sized = record.size_of(message(body))
    position = log.place_for(sized)
    log.append(sized, position, queue_offset=queue_offset, stored_at=0)
    return position


def recovered(folder: Path) -> list[int]:
    return [kept.position for kept in opened(folder).recover(0)]


def test_records_lie_one_behind_the_other(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert [put(log, b"x" * 10), put(log, b""), put(log, b"y")] == [0, OVERHEAD + 10, 2 * OVERHEAD + 10]
    assert log.end == 3 * OVERHEAD + 11
    kept = log.at(OVERHEAD + 10)
    assert kept is not None
    assert kept.head.body_size == 0
    assert recovered(tmp_path) == [0, OVERHEAD + 10, 2 * OVERHEAD + 10]


@pytest.mark.parametrize(
    ("spare", "second"), [(0, FILE), (OVERHEAD - 1, FILE), (OVERHEAD, FILE - BLANK.size - OVERHEAD)]
)
def test_a_record_straddles_no_files(tmp_path: Path, spare: int, second: int) -> None:
    log = opened(tmp_path)
    assert put(log, b"x" * (MOST - spare)) == 0
    assert put(log, b"") == second
    assert recovered(tmp_path) == [0, second]
    if second == FILE:
        assert log.files.memory(0).shown.unpack_from(BLANK, FILE - BLANK.size - spare) == (
            BLANK.size + spare,
            0xCBD43194,
        )


def test_a_record_longer_than_a_file_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(MessageError, match="hold up to"):
        put(log, b"x" * (MOST + 1))
    assert log.files.file_count == 0
    assert put(log, b"x" * MOST) == 0


def test_nothing_is_at_positions_where_nothing_was_put(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.at(0) is None
    put(log, b"x" * 20)
    for position in (*range(1, FILE + 2), -1, 1 << 62):
        assert log.at(position) is None


def test_a_record_moved_elsewhere_is_none(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, b"x")
    memory = log.files.memory(0)
    memory.writable.write_at(log.end, memory.shown[: log.end].tobytes())
    assert log.glance(log.end) is None
    assert recovered(tmp_path) == [0]


def test_a_record_whose_body_changed_is_seen_at_a_glance_only(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, b"x")
    log.files.memory(0).writable.write_at(HEAD.size, b"y")
    assert log.glance(0) is not None
    assert log.at(0) is None
    assert recovered(tmp_path) == []


def test_what_lies_behind_the_end_is_wiped_out(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for _ in range(6):
        put(log, b"x" * 50)
    end = log.end
    log.files.memory(0).writable.write_at(0, b"\xff")
    assert end > FILE
    again = opened(tmp_path)
    assert [*again.recover(0)] == []
    assert (again.end, again.files.stop) == (0, 0)


def test_recovery_changes_nothing_where_all_is_well(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for _ in range(6):
        put(log, b"x" * 50)
    before = [path.stat().st_mtime_ns for path in log.files.paths(0, log.end)]
    again = opened(tmp_path)
    assert len([*again.recover(0)]) == 6
    assert again.end == log.end
    assert [path.stat().st_mtime_ns for path in log.files.paths(0, log.end)] == before


def test_a_damaged_blank_ends_the_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    put(log, b"x" * (MOST - 1))
    put(log, b"y")
    log.files.memory(0).writable.write_at(FILE - BLANK.size - 1, b"\0" * BLANK.size)
    assert recovered(tmp_path) == [0]


@given(st.lists(st.integers(0, MOST), max_size=20))
def test_all_that_was_put_is_found(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = opened(folder)
    wanted = [bytes([i]) * size for i, size in enumerate(sizes)]
    positions = [put(log, body, i) for i, body in enumerate(wanted)]
    found = [*opened(folder).recover(0)]
    assert [kept.position for kept in found] == positions
    assert [SliceBuffer(kept.bytes, HEAD.size, HEAD.size + kept.head.body_size) for kept in found] == wanted
