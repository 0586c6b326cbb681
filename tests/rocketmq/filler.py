"""A process that fills a small disk with a store, for test_disk_full: what it finds wrong it ends by."""

from __future__ import annotations

import asyncio
import errno
import sys
from pathlib import Path

from examples.rocketmq.settings import Settings
from examples.rocketmq.store import Store

from .stores import bodies, message

__all__: list[str] = []

SETTINGS = Settings(flush="sync", log_file=65536, queue_file=4000)


async def _fill(store: Store, kept: list[bytes], size: int) -> None:
    """Put messages until the disk is full."""
    while True:
        body = b"%d;" % len(kept) * size
        try:
            placed = store.put(message(body))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
        await store.settle(placed)
        kept.append(body)


def main(folder: Path) -> None:
    """Fill the disk with long messages, then with short ones; all are there, now and later."""
    store = Store(folder, SETTINGS)
    kept: list[bytes] = []
    for size in (4000, 4000, 10):
        asyncio.run(_fill(store, kept, size))
        assert bodies(store) == kept
    store.close()
    again = Store(folder, SETTINGS)
    assert bodies(again) == kept
    again.close()
    sys.stdout.write(f"full after {len(kept)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
