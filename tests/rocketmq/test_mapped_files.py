"""Files of one size, as one run of bytes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from examples.rocketmq.mapped_files import MappedFiles, Maps, write_out

from ..descriptors import descriptors, left_open


def filled(folder: Path, count: int = 3, maps: Maps | None = None) -> MappedFiles:
    files = MappedFiles(folder, 10, Maps(8) if maps is None else maps)
    for number in range(count):
        files.make(number * 10)
        files.memory(number * 10).writable.write_at(0, bytes([48 + number]) * 10)
    return files


def content(files: MappedFiles) -> bytes:
    return b"".join(files.memory(first).shown.tobytes() for first in files.firsts)


def test_files_are_named_by_their_first_byte_and_preallocated(tmp_path: Path) -> None:
    files = MappedFiles(tmp_path / "f", 1 << 20, Maps(8))
    assert (files.start, files.stop, files.file_count, files.has(0)) == (0, 0, 0, False)
    files.make(0)
    files.make(1)
    files.make(1 << 20)
    names = sorted(path.name for path in files.folder.iterdir())
    assert names == ["00000000000000000000", "00000000000001048576"]
    status = files.path(0).stat()
    assert status.st_size == 1 << 20
    assert status.st_blocks * 512 >= 1 << 20
    assert files.memory(0).shown.count(0) == 1 << 20


def test_memory_is_what_was_written_also_when_opened_again(tmp_path: Path) -> None:
    filled(tmp_path)
    files = MappedFiles(tmp_path, 10, Maps(8))
    assert not files.was_damaged
    assert content(files) == b"0" * 10 + b"1" * 10 + b"2" * 10
    assert files.memory(15).shown == b"1" * 10
    assert files.memory(0).shown.readonly
    assert not files.memory(0).writable.readonly


def test_what_is_not_one_of_the_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "readme").write_text("text")
    filled(tmp_path, 1)
    assert not MappedFiles(tmp_path, 10, Maps(8)).was_damaged
    assert (tmp_path / "readme").exists()


def test_only_the_next_file_can_be_made(tmp_path: Path) -> None:
    files = filled(tmp_path, 1)
    with pytest.raises(ValueError, match="next"):
        files.make(20)


def test_the_first_file_may_be_any(tmp_path: Path) -> None:
    files = MappedFiles(tmp_path, 10, Maps(8))
    files.make(57)
    assert (files.start, files.stop, files.first_of(57)) == (50, 60, 50)


def test_a_file_that_cannot_be_made_is_not_there(tmp_path: Path) -> None:
    files = MappedFiles(tmp_path, 1 << 62, Maps(8))
    with pytest.raises(OSError) as caught:
        files.make(0)
    assert caught.value.errno in {errno.EFBIG, errno.ENOSPC}
    assert [*tmp_path.iterdir()] == []
    assert files.file_count == 0


def test_files_behind_a_gap_go(tmp_path: Path) -> None:
    filled(tmp_path).path(10).unlink()
    files = MappedFiles(tmp_path, 10, Maps(8))
    assert files.was_damaged
    assert files.firsts == [0]
    assert [path.name for path in tmp_path.iterdir()] == [f"{0:020}"]


def test_files_that_begin_nowhere_go(tmp_path: Path) -> None:
    (tmp_path / f"{5:020}").write_bytes(b"x" * 10)
    assert MappedFiles(tmp_path, 10, Maps(8)).firsts == []


@pytest.mark.parametrize("size", [0, 4, 15])
def test_files_of_a_wrong_size_get_theirs(tmp_path: Path, size: int) -> None:
    os.truncate(filled(tmp_path).path(10), size)
    files = MappedFiles(tmp_path, 10, Maps(8))
    assert files.was_damaged
    assert content(files) == b"0" * 10 + (b"1" * size)[:10].ljust(10, b"\0") + b"2" * 10


@pytest.mark.parametrize("offset", [0, 1, 10, 14, 20, 29, 30])
def test_cutting_leaves_zeros(tmp_path: Path, offset: int) -> None:
    files = filled(tmp_path)
    files.cut(offset)
    kept = (b"0" * 10 + b"1" * 10 + b"2" * 10)[:offset]
    assert content(files) == kept.ljust(-(-offset // 10) * 10, b"\0")


def test_deleting_the_first_and_all(tmp_path: Path) -> None:
    files = filled(tmp_path)
    files.delete_first()
    assert (files.start, files.stop) == (10, 30)
    files.clear()
    assert [*tmp_path.iterdir()] == []


def test_slices_of_a_file_stay_when_it_is_deleted_and_pin_it(tmp_path: Path) -> None:
    maps = Maps(8)
    files = filled(tmp_path, maps=maps)
    held = files.memory(0).shown[2:5]
    files.delete_first()
    assert held == b"000"
    [text] = maps.pinned()
    assert f"{0:020}" in text
    del held
    assert maps.pinned() == []


def test_only_so_many_files_are_mapped(tmp_path: Path) -> None:
    maps = Maps(2)
    files = filled(tmp_path, 20, maps)
    before = descriptors()
    for first in files.firsts:
        assert files.memory(first).shown.startswith(bytes([48 + first // 10]))
        assert len(maps) <= 2
    assert left_open() <= before
    maps.close()
    assert len(maps) == 0


def test_the_files_of_a_range(tmp_path: Path) -> None:
    files = filled(tmp_path)
    assert [int(path.name) for path in files.paths(9, 20)] == [0, 10]
    assert [int(path.name) for path in files.paths(10, 21)] == [10, 20]
    assert [*files.paths(10, 10)] == []
    for path in files.paths(0, 30):
        write_out(path)
