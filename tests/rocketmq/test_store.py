"""Messages of many topics in one log, read by queue and offset: against a plain model, and as what leaves."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bytebufs import MappedFile, SliceBuffer, copy_audit, flush
from examples.rocketmq import mapped_files
from examples.rocketmq.data_folder import StoreError, StoreLockedError
from examples.rocketmq.record import MessageError, hash_of
from examples.rocketmq.settings import Settings
from examples.rocketmq.store import Store

from ..descriptors import descriptors_below
from ..in_memory import FOLDERS
from .stores import LOG_FILE, SMALL, bodies, heads, message, open_store

TOPICS = ["topic", "%RETRY%group", "with-dash_1"]
ALL = 1 << 30


def test_messages_are_read_by_queue_and_offset(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    placed = [store.put(message(b"%d" % number, queue=number % 2)) for number in range(10)]
    assert [(one.queue, one.offset) for one in placed] == [(number % 2, number // 2) for number in range(10)]
    found = store.get("topic", 1, 2, 2, ALL)
    assert [head.position for head, _ in heads(found.records)] == [placed[5].position, placed[7].position]
    assert found[:1] + found[2:] == ("found", 2, 4, 0, 5)
    store.close()


@pytest.mark.parametrize(
    ("offset", "status", "following"),
    [(-1, "too small", 0), (0, "found", 3), (2, "found", 3), (3, "end", 3), (4, "too large", 3)],
)
def test_how_it_went(tmp_path: Path, offset: int, status: str, following: int) -> None:
    store = open_store(tmp_path)
    for number in range(3):
        store.put(message(b"%d" % number))
    found = store.get("topic", 0, offset, 9, ALL)
    assert (found.status, found.next_offset, found.min_offset, found.max_offset) == (status, following, 0, 3)
    store.close()


def test_a_queue_that_is_not_there(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.get("topic", 0, 0, 9, ALL).status == "no queue"
    assert (store.min_offset("topic", 0), store.max_offset("topic", 0)) == (0, 0)
    assert store.offset_at_time("topic", 0, 0) == 0
    assert store.message_at(0) is None
    store.close()


def test_bytes_are_limited_but_for_the_first(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    sizes = [store.put(message(b"x" * size)).size for size in (100, 100, 100, 400)]
    assert store.get("topic", 0, 0, 9, 2 * sizes[0]).total == 2
    assert store.get("topic", 0, 0, 9, 2 * sizes[0] - 1).total == 1
    assert store.get("topic", 0, 3, 9, 1).total == 1
    store.close()


def test_tags_leave_out_others(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for tag in ("a", "b", "c", "a", "b", "c", ""):
        store.put(message(b"of " + tag.encode(), tag=tag))
    found = store.get("topic", 0, 0, 9, ALL, {hash_of("a"), hash_of("c")})
    assert (found.total, found.next_offset) == (4, 7)
    found = store.get("topic", 0, 0, 2, ALL, {hash_of("b")})
    assert (found.total, found.next_offset) == (2, 7)
    found = store.get("topic", 0, 0, 1, ALL, {hash_of("b")})
    assert (found.total, found.next_offset) == (1, 4)
    found = store.get("topic", 0, 2, 9, ALL, {hash_of("z")})
    assert (found.status, found.total, found.next_offset) == ("no match", 0, 7)
    store.close()


def test_messages_are_slices_of_the_maps_and_leave_without_a_copy(tmp_path: Path) -> None:
    store = open_store(tmp_path, Settings(log_file=1 << 16, queue_file=100))
    for number in range(40):
        store.put(message(b"%d" % number * 50, queue=number // 3 % 2))
    ours, theirs = socket.socketpair()
    with copy_audit() as audit, ours, theirs:
        found = store.get("topic", 0, 0, 9, ALL)
        assert found.records.mapped_nbytes == 1 << 16
        assert found.records.pinned_nbytes == 0
        assert found.records.readonly
        assert found.records.part_count == 3  # three neighbours are one
        assert flush(found.records, ours) == len(found.records)
        received = theirs.recv(1 << 16)
    assert (audit.nbytes, audit.hidden) == (0, 0)
    assert received == found.records
    store.close()
    assert received == found.records


def test_a_message_is_found_by_its_position(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(9):
        store.put(message(b"m%d" % number))
    placed = store.put(message(b"this", tag="a", queue=3))
    found = store.message_at(placed.position)
    assert found is not None
    assert (found.topic, found.queue, found.body == b"this", found.properties) == ("topic", 3, True, b"TAGS\1a\2")
    for position in (placed.position + 1, placed.position - 1, placed.position + placed.size, -1, ALL):
        assert store.message_at(position) is None
        assert store.record_at(position) is None
    store.close()


def test_messages_are_found_by_time_which_never_goes_back(tmp_path: Path) -> None:
    times = iter([10, 20, 20, 15, 30])
    store = Store(tmp_path, SMALL, now=lambda: next(times))
    assert [store.put(message(b"")).stored_at for _ in range(5)] == [10, 20, 20, 20, 30]
    wanted = {0: 0, 10: 0, 11: 1, 20: 1, 21: 4, 30: 4, 31: 5}
    assert {ms: store.offset_at_time("topic", 0, ms) for ms in wanted} == wanted
    store.close()
    again = Store(tmp_path, SMALL, now=lambda: 7)
    assert again.put(message(b"")).stored_at == 30
    again.close()


def test_messages_are_stored_at_the_time_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path, SMALL)
    before = time.time_ns() // 1_000_000
    assert before <= store.put(message(b"")).stored_at <= time.time_ns() // 1_000_000
    store.close()


def test_whoever_waits_is_told_of_new_messages(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    news: list[tuple[str, int, int]] = []
    store.grown.append(lambda topic, queue: news.append((topic, queue, store.max_offset(topic, queue))))
    store.put(message(b"", queue=4))
    store.put(message(b"", topic="other"))
    assert news == [("topic", 4, 1), ("other", 0, 1)]
    store.close()


def test_what_is_too_long_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(MessageError):
        store.put(message(b"x" * LOG_FILE))
    assert store.put(message(b"y")).offset == 0
    store.close()


def test_a_store_has_one_user(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreLockedError, match="in use"):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()


def test_the_sizes_of_files_are_those_of_the_beginning(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put(message(b"x" * 500))
    store.close()
    again = open_store(tmp_path, Settings(log_file=LOG_FILE * 2, queue_file=200))
    assert bodies(again) == [b"x" * 500]
    assert next((tmp_path / "commitlog").iterdir()).stat().st_size == LOG_FILE
    again.close()


@pytest.mark.parametrize(
    "text",
    [None, "", "[]", "1", "{}", '{"log_file": 10, "queue_file": 100}', '{"log_file": "1024", "queue_file": 100}',
     '{"log_file": 1024, "queue_file": 30}', '{"other": 1}'],
)  # fmt: skip
def test_without_the_sizes_nothing_is_touched(tmp_path: Path, text: str | None) -> None:
    store = open_store(tmp_path)
    store.put(message(b"x"))
    store.close()
    path = tmp_path / "sizes.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    before = next((tmp_path / "commitlog").iterdir()).read_bytes()
    with pytest.raises(StoreError, match=r"sizes\.json"):
        open_store(tmp_path)
    assert next((tmp_path / "commitlog").iterdir()).read_bytes() == before


def test_an_entry_that_became_garbage_meanwhile_gives_no_wrong_message(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(3):
        store.put(message(b"%d" % number))
    path = next((tmp_path / "consumequeue/topic/0").iterdir())
    entries = path.read_bytes()
    with path.open("r+b") as file:
        file.write(entries[20:40] + entries[:20])
    with pytest.raises(StoreError, match="open the store again"):
        store.get("topic", 0, 0, 1, ALL)
    with path.open("r+b") as file:
        file.write(b"\xff" * 20)
    with pytest.raises(StoreError, match="open the store again"):
        store.get("topic", 0, 0, 1, ALL)
    assert store.offset_at_time("topic", 0, 1) == 1
    store.close()
    again = open_store(tmp_path)
    assert bodies(again) == [b"0", b"1", b"2"]
    again.close()


def test_descriptors_are_bounded(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    before = descriptors_below(tmp_path)
    for number in range(100):
        store.put(message(b"x" * 200, queue=number % 20))
    assert all(len(bodies(store, queue=queue)) == 5 for queue in range(20))
    assert descriptors_below(tmp_path) <= before + SMALL.maps
    store.close()


@pytest.mark.parametrize("what", ["commitlog", "consumequeue"])
def test_a_message_that_cannot_be_mapped_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Not in the log without being in its queue: the next would get the same offset."""

    def without_descriptors(path: Path, *, access: Literal["write"]) -> MappedFile:
        if what in path.parts:
            raise OSError(errno.EMFILE, "too many open files")
        return MappedFile(path, access=access)

    store = open_store(tmp_path)
    store.put(message(b"before"))
    store.maps.close()
    with monkeypatch.context() as patch:
        patch.setattr(mapped_files, "MappedFile", without_descriptors)
        with pytest.raises(OSError, match="too many open files"):
            store.put(message(b"never"))
    store.put(message(b"after"))
    assert bodies(store) == [b"before", b"after"]
    store.close()
    again = open_store(tmp_path)
    assert bodies(again) == [b"before", b"after"]
    again.close()


class Sent(NamedTuple):
    """What was put: where it ended, its body and tag."""

    end: int
    body: bytes
    tag: str


class StoreMachine(RuleBasedStateMachine):
    """A store beside lists of what was put into each queue."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=FOLDERS))
        self.copies = 0
        self.folder = self.root / "0"
        self.store = open_store(self.folder)
        self.sent: dict[tuple[str, int], list[Sent]] = {}
        self.held: list[tuple[SliceBuffer, bytes]] = []

    def teardown(self) -> None:
        self.store.close()
        self.held.clear()
        shutil.rmtree(self.root)

    @rule(topic=st.sampled_from(TOPICS), queue=st.integers(0, 2), body=st.binary(max_size=300),
          tag=st.sampled_from(["", "a", "b"]))  # fmt: skip
    def put(self, topic: str, queue: int, body: bytes, tag: str) -> None:
        queued = self.sent.setdefault((topic, queue), [])
        placed = self.store.put(message(body, topic=topic, queue=queue, tag=tag))
        assert placed.offset == len(queued)
        queued.append(Sent(placed.position + placed.size, body, tag))

    @rule(topic=st.sampled_from(TOPICS), queue=st.integers(0, 2), offset=st.integers(0, 9), count=st.integers(1, 9),
          most=st.integers(0, 2000), tag=st.sampled_from(["", "a", "b"]))  # fmt: skip
    def get(self, topic: str, queue: int, offset: int, count: int, most: int, tag: str) -> None:
        found = self.store.get(topic, queue, offset, count, most, {hash_of(tag)} if tag else set())
        wanted = self.sent.get((topic, queue), [])[offset : found.next_offset] if found.total else []
        wanted = [one for one in wanted if tag in {"", one.tag}]
        got = [one[88 : 88 + head.body_size].tobytes() for head, one in heads(found.records)]
        assert got == [one.body for one in wanted]
        assert len(got) == found.total <= count
        self.held.append((found.records, found.records.tobytes()))
        del self.held[:-5]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.folder)

    @rule()
    def crash(self) -> None:
        """Go on with what is in the files now, as after kill -9."""
        self.copies += 1
        folder = self.root / str(self.copies)
        shutil.copytree(self.folder, folder)
        self.store.close()
        self.folder = folder
        self.store = open_store(folder)

    @rule(data=st.data())
    @precondition(lambda self: any(self.sent.values()))
    def garble_a_queue(self, data: st.DataObject) -> None:
        self.store.close()
        path = data.draw(st.sampled_from(sorted((self.folder / "consumequeue").glob("*/*/*"))))
        path.write_bytes(data.draw(st.binary(max_size=120)))
        self.store = open_store(self.folder)

    @rule(data=st.data())
    @precondition(lambda self: any(self.sent.values()))
    def cut_the_log(self, data: st.DataObject) -> None:
        """Lose the end of the last file: messages that reach into it are gone, all others stay.

        Those of which only zeros were lost stay, too: a file is filled up with them. Slices show what the file holds.
        """
        self.store.close()
        path = max((self.folder / "commitlog").iterdir())
        cut = data.draw(st.integers(0, LOG_FILE))
        base, lost = int(path.name), path.read_bytes()[cut:]
        with path.open("r+b") as file:
            file.truncate(cut)
        self.held.clear()
        for queued in self.sent.values():
            queued[:] = [one for one in queued if not any(lost[: max(one.end - base - cut, 0)])]
        self.store = open_store(self.folder)

    @invariant()
    def all_that_was_put_is_there(self) -> None:
        for (topic, queue), queued in self.sent.items():
            assert bodies(self.store, topic, queue) == [one.body for one in queued]
        for slice_, content in self.held:
            assert slice_ == content


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.on_disk = 20  # type: ignore[attr-defined]


def test_settling_when_flushing_is_async_waits_for_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    asyncio.run(store.settle(store.put(message(b""))))
    assert store.rounds == 0
    store.close()
