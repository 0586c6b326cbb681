"""Small stores for tests, and what is in them read back as plain bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.rocketmq import record
from examples.rocketmq.record import HEAD, Head, Message
from examples.rocketmq.settings import Settings
from examples.rocketmq.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bytebufs import BaseBuffer

__all__ = ["LOG_FILE", "QUEUE_FILE", "SMALL", "bodies", "heads", "message", "messages", "open_store"]

LOG_FILE = 1024
QUEUE_FILE = 100
SMALL = Settings(log_file=LOG_FILE, queue_file=QUEUE_FILE, maps=8)


def open_store(folder: Path, settings: Settings = SMALL) -> Store:
    """Open a store whose clock stands still."""
    return Store(folder, settings, now=lambda: 1_000)


def message(body: bytes, *, topic: str = "topic", queue: int = 0, tag: str = "") -> Message:
    """Return a message, with a tag if one is given."""
    properties = f"TAGS\1{tag}\2" if tag else ""
    return Message(topic=topic, queue=queue, body=body, properties=properties.encode())


def heads(records: BaseBuffer) -> Iterator[tuple[Head, BaseBuffer]]:
    """Cut what ``get`` gives into records, each with its head. Each has to be whole."""
    at = 0
    while at < len(records):
        head = Head(*records.unpack_from(HEAD, at))
        one = records[at : at + head.size].compact()
        assert one.is_contiguous
        assert record.is_whole(one)
        yield head, one
        at += head.size


def messages(store: Store, topic: str = "topic", queue: int = 0) -> list[Message]:
    """Return all messages of a queue, as they were put."""
    found: list[Message] = []
    offset = store.min_offset(topic, queue)
    while (got := store.get(topic, queue, offset, 7, 1000)).status == "found":
        for head, one in heads(got.records):
            assert (head.queue, head.queue_offset) == (queue, offset)
            offset += 1
            found.append(record.message_of(one))
        assert offset == got.next_offset
    assert offset == store.max_offset(topic, queue)
    return found


def bodies(store: Store, topic: str = "topic", queue: int = 0) -> list[bytes]:
    """Return the bodies of all messages of a queue."""
    return [one.body if isinstance(one.body, bytes) else one.body.tobytes() for one in messages(store, topic, queue)]
