"""A process that writes a log under sync flush, for tests to kill: four writers, who tell what they were promised.

``main`` is given the folder. Each line is an offset: all records below it are said to be on the disk.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from examples.kafka.log import Log

from .told_records import append, opened

__all__ = ["MOST", "main"]

MOST: Final = 20_000
"""Bytes of a value, so that a kill may come between the pages of one write."""
WRITERS: Final = 4


async def write(log: Log) -> None:
    while True:
        end = append(log, most=MOST)
        await log.settle(end)
        print(end, flush=True)  # noqa: T201


async def write_all(folder: Path) -> None:
    log = opened(folder)
    print(log.end, flush=True)  # noqa: T201
    async with asyncio.TaskGroup() as writers:
        for _ in range(WRITERS):
            writers.create_task(write(log))


def main(arguments: list[str]) -> None:
    """Write until killed."""
    [folder] = arguments
    asyncio.run(write_all(Path(folder)))
