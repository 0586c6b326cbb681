"""kill -9 while a log is written: what is left is a prefix, and holds each record that was said to be on the disk."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Final

from tests.conftest import IS_QUICK, PROFILE
from tests.forked import Program

from .log_writer import MOST
from .told_records import contents, opened

KILLS: Final = 200 if PROFILE == "long" else 4 if IS_QUICK else 20
PROMISES: Final = 60
"""A writer is killed at the latest when it has told so many."""


def killed(folder: Path, promises: int) -> int:
    """Have a process write, kill it once it has told so many promises, and return the farthest of all that it told."""
    with Program("tests.kafka.log_writer", str(folder)) as writer:
        told = [int(writer.stdout.readline()) for _ in range(promises)]
        writer.kill()
        told += [int(line) for line in writer.stdout if line.endswith("\n")]  # what was told before the kill was seen
    return max(told)


def test_a_killed_log_is_a_prefix_with_all_that_was_promised(tmp_path: Path) -> None:
    chance = random.Random(14)
    folder, promised = tmp_path / "log", 0
    for number in range(KILLS):
        promised = max(promised, killed(folder, 1 + chance.randrange(PROMISES)))
        copy = tmp_path / "copy"  # the next writer gets what this one left, not what we made of it
        shutil.copytree(folder, copy)
        log = opened(copy)
        try:
            assert log.start == 0
            assert log.end >= promised, f"kill {number}: {promised} were promised"
            assert contents(log, most=MOST) == log.end
        finally:
            log.close()
        shutil.rmtree(copy)
        if number % 20 == 19:  # begin anew, or each check takes longer than the one before
            shutil.rmtree(folder)
            promised = 0
