"""The picture of a store."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from examples.rocketmq.data_folder import StoreError
from examples.rocketmq.inspect import picture

from .stores import LOG_FILE, SMALL, message, open_store

if TYPE_CHECKING:
    from pathlib import Path


def test_a_picture_says_what_is_in_the_files(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    sizes = [store.put(message(b"x" * 300, queue=number % 2, tag="a")).size for number in range(3)]
    lines = picture(tmp_path).splitlines()
    assert lines[0] == f"{tmp_path}: files of 1024 bytes, of queues 100; checkpoint at 0"
    stored = "stored 1970-01-01T00:00:01Z to 1970-01-01T00:00:01Z"
    assert lines[1:] == [
        "log",
        f"  {0:020}  2 records in {2 * sizes[0]} bytes, {stored}, then a blank of {LOG_FILE - 2 * sizes[0]}",
        f"  {LOG_FILE:020}  1 records in {sizes[0]} bytes, {stored}, then {LOG_FILE - sizes[0]} free",
        "queues",
        "  topic 0  2 entries in 1 files, from 0 on; tags 97: 2",
        "  topic 1  1 entries in 1 files, from 0 on; tags 97: 1",
        "pinned",
    ]
    store.close()


def test_a_picture_leaves_alone_what_a_broker_is_writing(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    for name in ("sizes.new", "checkpoint.new"):
        (tmp_path / name).write_text("{")
    picture(tmp_path)
    assert {path.name for path in tmp_path.glob("*.new")} == {"sizes.new", "checkpoint.new"}


def test_a_picture_shows_what_is_wrong(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    one = store.put(message(b"x"))
    store.put(message(b"y", queue=1))
    store.close()
    path = next((tmp_path / "commitlog").iterdir())
    with path.open("r+b") as file:
        file.seek(one.size + 90)
        file.write(b"?")
    (tmp_path / "consumequeue/topic/1" / f"{0:020}").write_bytes(b"\0" * 95)
    text = picture(tmp_path)
    assert f"1 records in {one.size} bytes" in text
    assert f"{LOG_FILE - one.size} that are no record" in text
    assert "topic 1  0 entries in 1 files" in text
    with path.open("r+b") as file:
        file.write(b"?")
    assert f"0 records, then {LOG_FILE} that are no record" in picture(tmp_path)


def test_a_picture_shows_what_is_pinned(tmp_path: Path) -> None:
    store = open_store(tmp_path, dataclasses.replace(SMALL, keep_bytes=0))
    for number in range(9):
        store.put(message(b"%d" % number * 500))
    store.close()
    again = open_store(tmp_path, dataclasses.replace(SMALL, keep_bytes=0))
    held = again.get("topic", 0, 0, 1, 1).records
    assert again.delete_old() == 7
    assert f"\n  commitlog/{0:020} (deleted) by process " in picture(tmp_path)
    del held
    assert picture(tmp_path).endswith("\npinned")
    again.close()


def test_there_is_no_picture_of_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        picture(tmp_path)
