"""What is left of a store whose files were changed, cut, or replaced while it was closed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from examples.rocketmq.record import Message, MessageError
from tests.conftest import IS_QUICK
from tests.in_memory import path_in_memory  # noqa: F401  # a fixture

from .stores import LOG_FILE, bodies, message, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from examples.rocketmq.store import Placed


def filled(folder: Path, sizes: list[int]) -> tuple[list[bytes], list[Placed]]:
    """Make a store of messages with bodies of these sizes; return the bodies, and where they are."""
    store = open_store(folder)
    wanted = [bytes([97 + i]) * size for i, size in enumerate(sizes)]
    placed = [store.put(message(body, tag="t")) for body in wanted]  # no zeros at the end
    store.close()
    return wanted, placed


def log_file(folder: Path, position: int) -> Path:
    return folder / "commitlog" / f"{position // LOG_FILE * LOG_FILE:020}"


def what_is_left(folder: Path) -> list[bytes]:
    """Open a store, and once more, after something was put into it; return the bodies."""
    store = open_store(folder)
    left = bodies(store)
    store.put(message(b"new"))
    store.close()
    again = open_store(folder)
    assert bodies(again) == [*left, b"new"]
    again.close()
    return left


STEP = 13 if IS_QUICK else 1

# Sizes so that the last record lies beside the one before, in the next file, or in the third.
SIZES = {"beside": [5, 6, 7], "next": [5, 800, 50], "third": [700, 800, 50]}


@pytest.mark.parametrize("sizes", [*SIZES.values()], ids=[*SIZES])
def test_a_last_record_with_any_byte_changed_is_gone_and_no_other(tmp_path: Path, sizes: list[int]) -> None:
    wanted, placed = filled(tmp_path / "whole", sizes)
    last = placed[-1]
    for at in range(0, last.size, STEP):
        folder = tmp_path / "changed"
        shutil.copytree(tmp_path / "whole", folder)
        path = log_file(folder, last.position)
        data = bytearray(path.read_bytes())
        data[last.position % LOG_FILE + at] ^= 1 << at % 8
        path.write_bytes(data)
        assert what_is_left(folder) == wanted[:-1]
        shutil.rmtree(folder)


@pytest.mark.parametrize("sizes", [*SIZES.values()], ids=[*SIZES])
def test_a_log_cut_anywhere_in_the_last_two_records_keeps_those_before(tmp_path: Path, sizes: list[int]) -> None:
    wanted, placed = filled(tmp_path / "whole", sizes)
    for number in (-1, -2):
        one = placed[number]
        for at in range(one.size - 1, -1, -STEP * (1 if one.size < 300 else 7)):
            folder = tmp_path / "cut"
            shutil.copytree(tmp_path / "whole", folder)
            with log_file(folder, one.position).open("r+b") as file:
                file.truncate(one.position % LOG_FILE + at)
            assert what_is_left(folder) == wanted[:number]
            shutil.rmtree(folder)


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff" * 100, b"\0" * 100, b"garbage" * 9], ids=["none", "ones", "zeros", "text"]
)
@pytest.mark.parametrize("count", [3, 30])
def test_garbage_in_a_consume_queue_is_made_good(tmp_path: Path, count: int, garbage: bytes) -> None:
    wanted, _ = filled(tmp_path, [100] * count)
    for path in (tmp_path / "consumequeue" / "topic" / "0").iterdir():
        path.write_bytes(garbage)
    assert what_is_left(tmp_path) == wanted


def test_consume_queues_that_are_gone_are_made_anew(tmp_path: Path) -> None:
    wanted, _ = filled(tmp_path, [100] * 30)
    shutil.rmtree(tmp_path / "consumequeue")
    assert what_is_left(tmp_path) == wanted


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "{}", '{"position": 3, "ends": []}', '{"position": 1024, "ends": []}',
     '{"position": 1024, "ends": [["topic", 0, 99]]}', '{"position": 1048576, "ends": []}'],
)  # fmt: skip
def test_a_checkpoint_that_is_none_costs_nothing_but_time(tmp_path: Path, text: str | None) -> None:
    wanted, _ = filled(tmp_path, [100] * 30)
    path = tmp_path / "checkpoint.json"
    assert path.exists()
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    store = open_store(tmp_path)
    found = bodies(store)
    store.close()
    assert found == wanted


def test_a_stale_record_of_the_same_size_never_rises_again(tmp_path: Path) -> None:
    _, placed = filled(tmp_path, [50, 50, 50])
    path = log_file(tmp_path, 0)
    data = bytearray(path.read_bytes())
    data[placed[1].position + 95] ^= 1
    path.write_bytes(data)
    store = open_store(tmp_path)
    assert bodies(store) == [b"a" * 50]
    assert store.put(message(b"B" * 50, tag="t")) == placed[1]
    crashed = tmp_path / "crashed"
    shutil.copytree(tmp_path, crashed, ignore=shutil.ignore_patterns("crashed"))
    store.close()
    for folder in (tmp_path, crashed):
        again = open_store(folder)
        assert bodies(again) == [b"a" * 50, b"B" * 50]
        again.close()


def test_a_log_without_its_middle_is_what_lies_before(tmp_path: Path) -> None:
    wanted, placed = filled(tmp_path, [700] * 5)
    log_file(tmp_path, placed[2].position).unlink()
    assert what_is_left(tmp_path) == wanted[:2]


def test_a_message_that_was_refused_where_a_file_would_begin_leaves_no_checkpoint(tmp_path: Path) -> None:
    """Those that are put after it go to the file before, so how long queues are at the beginning is not known yet."""
    store = open_store(tmp_path)
    store.put(message(b"first"))
    with pytest.raises(MessageError, match="does not fit"):
        store.put(Message("topic", 0, bytes(LOG_FILE - 200), reconsume_times=1 << 31))
    while store.log.end < 2 * LOG_FILE:  # so that a checkpoint is due at the first roll
        store.put(message(b"later" * 20))
    wanted = bodies(store)
    store.close()
    again = open_store(tmp_path)
    assert bodies(again) == wanted
    again.close()
