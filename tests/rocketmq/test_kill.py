"""kill -9 while a process writes: what it was promised is there, and nothing that is wrong."""

from __future__ import annotations

import random
import select
from typing import TYPE_CHECKING

from examples.rocketmq.store import Store
from tests.conftest import PROFILE
from tests.forked import Program

from .stores import bodies
from .writer import KILLED, QUEUES, body_of

if TYPE_CHECKING:
    from pathlib import Path

KILLS = {"quick": 4, "short": 4, "ci": 20, "long": 200}[PROFILE]
MOST_PROMISED = 200


def written_until_killed(folder: Path, chance: random.Random) -> dict[int, int]:
    """Let a process write, kill it at a moment, and return the last offset that each queue was promised."""
    with Program("tests.rocketmq.writer", str(folder)) as process:
        assert process.stdout.readline() == "open\n"
        lines = [process.stdout.readline() for _ in range(chance.randrange(MOST_PROMISED))]
        select.select([], [], [], chance.random() * 0.005)  # to be anywhere between two lines
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
    promised: dict[int, int] = {}
    for line in lines:
        if line.endswith("\n"):
            queue, offset = map(int, line.split())
            promised[queue] = offset
    return promised


def test_all_that_was_promised_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(14)
    before: dict[int, int] = {}
    for number in range(KILLS):
        folder = tmp_path / str(number // 10)  # a new one now and then: all of it is read each time
        if number % 10 == 0:
            before = dict.fromkeys(range(QUEUES), -1)
        before |= written_until_killed(folder, chance)
        store = Store(folder, KILLED)
        for queue, offset in before.items():
            found = bodies(store, queue=queue)
            assert found == [body_of(queue, number) for number in range(len(found))]
            assert len(found) > offset
        store.close()
