"""What is deleted, and what is kept."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from bytebufs import SliceBuffer
from examples.rocketmq.store import Store

from .stores import LOG_FILE, SMALL, bodies, message

if TYPE_CHECKING:
    from pathlib import Path

    from examples.rocketmq.settings import Settings

BODY = b"x" * 300
"""Of which two fit into a file."""


class Clock:
    """Milliseconds, that a test sets."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


def opened(folder: Path, clock: Clock, **changes: int | None) -> Store:
    settings: Settings = dataclasses.replace(SMALL, **changes)  # type: ignore[arg-type]
    return Store(folder, settings, now=clock)


def filled(folder: Path, clock: Clock, count: int = 20, **changes: int | None) -> Store:
    """Return a store with so many messages, one a second, all written out and with its checkpoint."""
    store = opened(folder, clock, **changes)
    for number in range(count):
        clock.ms = number * 1000
        store.put(message(b"%03d" % number + BODY))
    store.close()
    return opened(folder, clock, **changes)


def numbers(store: Store) -> list[int]:
    return [int(body[:3]) for body in bodies(store)]


def test_nothing_is_deleted_unless_asked_for(tmp_path: Path) -> None:
    clock = Clock()
    store = filled(tmp_path, clock, keep_ms=None)
    clock.ms = 1 << 50
    assert store.delete_old() == 0
    store.close()


def test_the_oldest_files_go_beyond_a_size(tmp_path: Path) -> None:
    store = filled(tmp_path, Clock(), keep_bytes=4 * LOG_FILE)
    assert store.delete_old() == 6
    assert store.delete_old() == 0
    assert numbers(store) == [*range(12, 20)]
    assert (store.min_offset("topic", 0), store.max_offset("topic", 0)) == (12, 20)
    assert store.log.files.stop - store.log.start == 4 * LOG_FILE
    store.close()


def test_files_go_when_all_in_them_is_too_old(tmp_path: Path) -> None:
    clock = Clock()
    store = filled(tmp_path, clock, keep_ms=10_000)
    assert store.delete_old() == 4
    assert numbers(store) == [*range(8, 20)]
    clock.ms += 1001
    assert store.delete_old() == 1
    store.close()


def test_the_last_two_files_stay(tmp_path: Path) -> None:
    clock = Clock()
    store = filled(tmp_path, clock, keep_ms=0, keep_bytes=0)
    clock.ms = 1 << 50
    assert store.delete_old() == 8
    assert numbers(store) == [16, 17, 18, 19]
    store.close()


def test_what_was_deleted_stays_so_and_offsets_go_on(tmp_path: Path) -> None:
    clock = Clock()
    store = filled(tmp_path, clock, keep_bytes=3 * LOG_FILE)
    store.put(message(b"once", topic="other"))
    store.delete_old()
    store.close()
    again = opened(tmp_path, clock)
    assert numbers(again) == [*range(14, 20)]
    assert again.put(message(b"020")).offset == 20
    again.close()


def test_the_offsets_of_a_queue_without_messages_go_on(tmp_path: Path) -> None:
    clock = Clock()
    for broken in ("nothing", "queue"):
        folder = tmp_path / broken
        store = opened(folder, clock, keep_bytes=3 * LOG_FILE)
        for _ in range(7):
            store.put(message(BODY, topic="rare"))
        store.close()
        store = filled(folder, clock, keep_bytes=3 * LOG_FILE)
        assert store.delete_old() > 3
        assert (store.min_offset("rare", 0), store.max_offset("rare", 0)) == (7, 7)
        store.close()
        if broken == "queue":
            for path in (folder / "consumequeue" / "topic" / "0").iterdir():
                path.write_bytes(b"?" * path.stat().st_size)
        for _ in range(2):
            again = opened(folder, clock)
            assert (again.min_offset("rare", 0), again.max_offset("rare", 0)) == (7, 7)
            assert numbers(again)[-1] == 19
            again.close()


def test_messages_that_somebody_holds_are_not_lost(tmp_path: Path) -> None:
    store = filled(tmp_path, Clock(), keep_bytes=0)
    held = store.get("topic", 0, 0, 3, 1 << 20).records
    copy = held.tobytes()
    assert isinstance(held, SliceBuffer)
    assert store.delete_old() == 8
    assert held == copy
    assert len(store.maps.pinned()) == 2
    store.close()
    assert held == copy
    del held
    assert store.maps.pinned() == []


def test_asking_for_what_is_gone(tmp_path: Path) -> None:
    store = filled(tmp_path, Clock(), keep_bytes=0)
    store.delete_old()
    found = store.get("topic", 0, 3, 10, 1 << 20)
    assert (found.status, found.next_offset, found.min_offset) == ("too small", 16, 16)
    assert store.message_at(0) is None
    assert store.offset_at_time("topic", 0, 0) == 16
    store.close()
