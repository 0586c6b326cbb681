"""The data directory: topics and partitions that are there again, names that are taken, and a lock."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from examples.kafka.errors import Error, Refused
from examples.kafka.store import MOST_PARTITIONS, Store, StoreLockedError

from .told_records import SMALL, append, contents

LOCK: Final = "import sys; from pathlib import Path; from examples.kafka.store import Store; Store(Path(sys.argv[1]))"


def test_topics_are_there_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", SMALL)
    assert store.topics() == {}
    store.create("one")
    store.create("three-3", 12)
    log = store.log("three-3", 11)
    assert log is not None
    append(log)
    asyncio.run(store.aclose())
    store = Store(tmp_path / "data", SMALL)
    assert store.topics() == {"one": 1, "three-3": 12}
    assert [(topic, number) for topic, number, _ in store.logs()][-1] == ("three-3", 11)
    again = store.log("three-3", 11)
    assert again is not None
    assert contents(again) == again.end == 1
    store.tend()
    for topic, partition in (("one", 1), ("one", -1), ("two", 0)):
        assert store.log(topic, partition) is None
    store.close()
    store.close()


@pytest.mark.parametrize(
    ("name", "partitions", "error"),
    [
        ("", 1, Error.INVALID_TOPIC_EXCEPTION),
        (".", 1, Error.INVALID_TOPIC_EXCEPTION),
        ("..", 1, Error.INVALID_TOPIC_EXCEPTION),
        ("../up", 1, Error.INVALID_TOPIC_EXCEPTION),
        ("new\n", 1, Error.INVALID_TOPIC_EXCEPTION),
        ("ä", 1, Error.INVALID_TOPIC_EXCEPTION),
        ("x" * 250, 1, Error.INVALID_TOPIC_EXCEPTION),
        ("there", 1, Error.TOPIC_ALREADY_EXISTS),
        ("none", 0, Error.INVALID_PARTITIONS),
        ("less", -2, Error.INVALID_PARTITIONS),
        ("many", MOST_PARTITIONS, Error.POLICY_VIOLATION),
    ],
    ids=["empty", "dot", "dots", "path", "line", "letter", "long", "there", "none", "less", "many"],
)
def test_topics_that_cannot_be(tmp_path: Path, name: str, partitions: int, error: Error) -> None:
    store = Store(tmp_path / "data", SMALL)
    store.create("there")
    with pytest.raises(Refused) as refused:
        store.create(name, partitions)
    assert refused.value.error is error
    assert store.topics() == {"there": 1}
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_topic_that_could_not_be_made_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "data", SMALL)
    full = OSError(errno.ENOSPC, "full")
    with mock.patch.object(os, "posix_fallocate", side_effect=full), pytest.raises(OSError, match="full"):
        store.create("topic", 3)
    assert store.topics() == {}
    store.create("topic", 3)
    assert store.topics() == {"topic": 3}
    store.close()


def test_two_never_have_one_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = Store(data)
    with pytest.raises(StoreLockedError):
        Store(data)
    other = [sys.executable, "-c", LOCK, str(data)]
    assert "StoreLockedError" in subprocess.run(other, capture_output=True, text=True, check=False, timeout=60).stderr
    store.close()
    assert not subprocess.run(other, check=False, timeout=60).returncode
    Store(data).close()
