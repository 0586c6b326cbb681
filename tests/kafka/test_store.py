"""A data directory: whose it is, the topics in it, and what is left if something fails."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from unittest import mock

import pytest

from examples.kafka.errors import Error, Refused
from examples.kafka.log import Log
from examples.kafka.store import MOST_PARTITIONS, Store, StoreLockedError, is_topic_name

from ..forked import run_program
from .told_records import SMALL, append, contents


def elsewhere(data: Path) -> str:
    """What another process gets that opens it."""
    status, said, errors = run_program("tests.kafka.another", str(data))
    assert (status, errors) == (0, "")
    return said


def refused(store: Store, topic: str, partitions: int = 1) -> Error:
    with pytest.raises(Refused) as caught:
        store.create(topic, partitions)
    return caught.value.error


def test_two_never_have_one_directory(tmp_path: Path) -> None:
    store = Store(tmp_path / "data")
    with pytest.raises(StoreLockedError, match="in use"):
        Store(tmp_path / "data")
    assert elsewhere(tmp_path / "data") == "locked"
    store.close()
    store.close()
    assert elsewhere(tmp_path / "data") == "open"


def test_topics_are_there_again(tmp_path: Path) -> None:
    with mock.patch("time.time_ns", return_value=5_000_000):
        store = Store(tmp_path, SMALL, partitions=2)
        store.create("used")
    store.create("made-with-1", 3)
    for i in range(3):
        log = store.log("made-with-1", i)
        assert log is not None
        while log.end < 5 * i:
            append(log)
    assert store.topics() == {"used": 2, "made-with-1": 3}
    asyncio.run(store.aclose())
    assert store.topics() == {}
    again = Store(tmp_path, SMALL)
    assert again.topics() == {"used": 2, "made-with-1": 3}
    assert [(topic, number) for topic, number, _ in again.logs()] == [
        *[("made-with-1", i) for i in range(3)],
        *[("used", i) for i in range(2)],
    ]
    for i in range(3):
        log = again.log("made-with-1", i)
        assert log is not None
        assert contents(log) == log.end >= 5 * i
    again.tend()
    for topic, number in (("used", 2), ("used", -1), ("unknown", 0)):
        assert again.log(topic, number) is None
    again.close()


def test_what_is_no_partition_is_left_alone(tmp_path: Path) -> None:
    for name in ("no topic-0", "gap-1", "twice-0", "twice-00", "none", "offsets-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "file-0").write_bytes(b"")
    store = Store(tmp_path)
    assert store.topics() == {"twice": 1}
    store.close()
    assert list((tmp_path / "gap-1").iterdir()) == []


@pytest.mark.parametrize(
    ("topic", "partitions", "error"),
    [
        pytest.param("", 1, Error.INVALID_TOPIC_EXCEPTION, id="empty"),
        pytest.param("..", 1, Error.INVALID_TOPIC_EXCEPTION, id="folder-above"),
        pytest.param("../up", 1, Error.INVALID_TOPIC_EXCEPTION, id="way-out"),
        pytest.param("nul\0", 1, Error.INVALID_TOPIC_EXCEPTION, id="nul"),
        pytest.param("line\n", 1, Error.INVALID_TOPIC_EXCEPTION, id="line"),
        pytest.param("x" * 250, 1, Error.INVALID_TOPIC_EXCEPTION, id="long"),
        pytest.param("there", 1, Error.TOPIC_ALREADY_EXISTS, id="there"),
        pytest.param("new", 0, Error.INVALID_PARTITIONS, id="none"),
        pytest.param("new", -2, Error.INVALID_PARTITIONS, id="negative"),
        pytest.param("new", MOST_PARTITIONS, Error.POLICY_VIOLATION, id="too-many"),
        pytest.param("new", (1 << 31) - 1, Error.POLICY_VIOLATION, id="far-too-many"),
    ],
)
def test_what_is_not_created(tmp_path: Path, topic: str, partitions: int, error: Error) -> None:
    store = Store(tmp_path / "data")
    store.create("there")
    before = sorted(tmp_path.rglob("*"))
    assert refused(store, topic, partitions) == error
    assert sorted(tmp_path.rglob("*")) == before
    store.close()


def test_names() -> None:
    for name in ("a", "A.b_c-9", "...", "x" * 249):
        assert is_topic_name(name)


@pytest.mark.parametrize("failing", ["posix_fallocate", "fsync"])
def test_a_topic_that_could_not_be_made_is_not_there(tmp_path: Path, failing: str) -> None:
    store = Store(tmp_path, SMALL)
    (tmp_path / "topic-1").mkdir()  # of a topic whose first partition somebody has removed
    left, real = 4, getattr(os, failing)

    def fail(*given: int) -> None:
        nonlocal left
        left -= 1
        if left < 1 or failing == "fsync":
            raise OSError(errno.ENOSPC, "no room")
        real(*given)

    with mock.patch.object(os, failing, fail), pytest.raises(OSError, match="no room"):
        store.create("topic", 3)
    assert store.topics() == {}
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["topic-1"]
    store.create("topic", 3)
    store.close()
    again = Store(tmp_path, SMALL)
    assert again.topics() == {"topic": 3}
    again.close()


def test_a_log_that_cannot_be_opened_gives_the_lock_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("topic")
    store.create("zopic")
    store.close()
    with (
        mock.patch.object(os, "posix_fallocate", side_effect=OSError(errno.ENOSPC, "no room")),
        pytest.raises(OSError, match="no room"),
    ):
        Store(tmp_path)
    assert elsewhere(tmp_path) == "open"


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_a_log_that_cannot_be_closed_does_not_keep_the_others(tmp_path: Path, how: str) -> None:
    store = Store(tmp_path, SMALL)
    store.create("topic", 3)
    logs = [log for _, _, log in store.logs()]
    for log in logs:
        append(log)
    with (
        mock.patch.object(os, "fdatasync", side_effect=OSError(errno.EIO, "the disk is gone")),
        pytest.raises(OSError, match="the disk is gone"),
    ):
        store.close() if how == "close" else asyncio.run(store.aclose())
    assert not [name for name in open_files() if name.startswith(str(tmp_path))]
    assert elsewhere(tmp_path) == "open"


def open_files() -> list[str]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(descriptor.readlink()))
        except FileNotFoundError:  # that of the folder itself
            continue
    return found


def test_each_log_is_tended_whichever_fails(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("t", 3)
    with mock.patch.object(Log, "tend", side_effect=OSError("no")) as tend, pytest.raises(OSError, match="no"):
        store.tend()
    assert tend.call_count == 3
    store.close()
