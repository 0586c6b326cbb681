"""A process that writes to a store, sync, and says what it has been promised: for test_kill."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from examples.rocketmq.settings import Settings
from examples.rocketmq.store import Store

from .stores import message

__all__ = ["KILLED", "QUEUES", "body_of", "main"]

KILLED = Settings(flush="sync", log_file=8192, queue_file=2000, maps=16)
"""Small files, so that the moments lie between them, too."""
QUEUES = 8


def body_of(queue: int, offset: int) -> bytes:
    """Return what the message at an offset says."""
    return b"%d/%d;" % (queue, offset) * (1 + (queue * 7 + offset * 13) % 60)


async def _write(store: Store, queue: int) -> None:
    while True:
        body = body_of(queue, store.max_offset("topic", queue))
        placed = store.put(message(body, queue=queue))
        await store.settle(placed)
        os.write(1, b"%d %d\n" % (queue, placed.offset))


async def _write_all(folder: Path) -> None:
    store = Store(folder, KILLED)
    os.write(1, b"open\n")
    await asyncio.gather(*(_write(store, queue) for queue in range(QUEUES)))


def main(arguments: list[str]) -> None:
    """Write to the store in a folder until killed."""
    [folder] = arguments
    asyncio.run(_write_all(Path(folder)))
