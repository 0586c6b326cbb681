"""A process that writes a log until there is no room, and goes on when there is some again.

    python -m tests.kafka.disk_filler FOLDER [BYTES]

With a number of bytes no file may be larger (RLIMIT_FSIZE); else the folder is to be on a small disk of its own. It
prints what the system said, and fails if a promise was broken.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

from examples.kafka.log import Log

from .told_records import SMALL, append, contents, opened

__all__ = ["BALLAST", "MOST", "main"]

MOST: Final = 20_000
BALLAST: Final = 100_000
"""Bytes of a file that is there only to be removed."""
SETTINGS: Final = replace(SMALL, segment_bytes=128 << 10)


async def fill(log: Log) -> OSError:
    """Append until that fails; what was said to be there is there."""
    while True:
        before = log.end
        try:
            end = append(log, most=MOST)
        except OSError as error:
            assert log.end == before
            return error
        await log.settle(end)
        assert log.end == end


async def fill_twice(folder: Path, room: Path, limit: int | None) -> None:
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    log = opened(folder, SETTINGS)
    error = await fill(log)
    end = log.end
    assert end > 0
    assert contents(log, most=MOST) == end
    again = await fill(log)  # the error was no accident, and has not broken anything
    assert (again.errno, contents(log, most=MOST)) == (error.errno, log.end)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    os.truncate(room, 0)
    for _ in range(3):
        await log.settle(append(log, most=MOST))
    end = log.end
    log.close()
    log = opened(folder, SETTINGS)
    assert contents(log, most=MOST) == log.end == end
    log.close()
    print(errno.errorcode[error.errno or 0])  # noqa: T201


def main(arguments: list[str]) -> None:
    """Fill the disk that a folder is on, or files up to a limit."""
    folder, *limits = arguments
    ballast = Path(folder) / "ballast"
    ballast.write_bytes(bytes(BALLAST))
    asyncio.run(fill_twice(Path(folder) / "log", ballast, int(limits[0]) if limits else None))


if __name__ == "__main__":
    main(sys.argv[1:])
