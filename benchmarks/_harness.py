"""Cells, contenders and goals, and how a cell is measured.

1. The contenders of a cell run in one process, in turns: a round of each, then the next round, beginning with another
   one each time. So what else the machine does hits all of them alike.
2. What is measured is the processor time that this process uses, its system calls included. On an idle machine that is
   the time that passes; on another one it still is what the work costs.
3. A round repeats its action so often that it lasts some milliseconds. Setting up and dropping is not timed.
4. The garbage collector is off during a round, and what was there before the cell is frozen.
5. The contenders of a cell give the same answer, or the run fails.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal, TypeAlias, cast

import bytebufs

__all__ = [
    "CPU",
    "MIB",
    "OURS",
    "TOLD",
    "Action",
    "Cell",
    "Contender",
    "Effort",
    "Goal",
    "Meter",
    "Sample",
    "Verdict",
    "by_build",
    "cost_of",
    "measure",
    "size_name",
    "speed_of",
]

MIB: Final = 1 << 20
OURS: Final = "ours"

Action: TypeAlias = Callable[[], object]


Meter: TypeAlias = Callable[[Action, int], "tuple[float, object]"]
"""Does an action some times, and returns what all of that cost and the last answer."""


def _processor_time(action: Action, repeats: int) -> tuple[float, object]:
    times = range(repeats - 1)
    start = time.process_time_ns()
    for _ in times:
        action()
    answer = action()
    return time.process_time_ns() - start, answer


def _told(action: Action, repeats: int) -> tuple[float, object]:
    return math.fsum(cast("float", action()) for _ in range(repeats)), None


CPU: Final[Meter] = _processor_time
TOLD: Final[Meter] = _told
"""The action's answer is its cost."""


@dataclass(frozen=True)
class Contender:
    """One way to do what a cell measures. ``prepare`` is not timed, the action that it returns is.

    What was prepared for an action that can be done only ``once`` is prepared anew each time. An action that does more
    than the cell counts says how many times as much in ``weight``.
    """

    name: str
    group: str
    prepare: Callable[[], Action]
    meter: Meter = CPU
    once: bool = False
    weight: float = 1


@dataclass(frozen=True)
class Sample:
    """What a contender cost, one number a round, for one action."""

    name: str
    group: str
    repeats: int
    rounds: Sequence[float]

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.rounds)

    @property
    def minimum(self) -> float:
        """The cheapest round."""
        return min(self.rounds)


@dataclass(frozen=True)
class Goal:
    """A number to reach: a ratio of medians, or an amount of a unit; against whom, and where it is to be.

    Without a bound it is for show.
    """

    title: str
    sense: Literal["at least", "at most"]
    bound: float | None
    ratio: Callable[[Mapping[str, Sample]], tuple[float, str]]
    unit: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a goal."""

    title: str
    sense: Literal["at least", "at most"]
    bound: float | None
    against: str
    ratio: float
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None where none was set."""
        if self.bound is None:
            return None
        return self.ratio >= self.bound if self.sense == "at least" else self.ratio <= self.bound


@dataclass(frozen=True)
class Cell:
    """One place of a measure's grid. An action does ``count`` things of the kind ``per``.

    Its rounds last ``patience`` times as long as the effort says: longer where another process has a part, since a few
    milliseconds tell more of when that was woken, and shorter where preparing takes much longer than the action.
    """

    measure: str
    at: Mapping[str, str]
    per: str
    count: float
    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    unit: str = "ns"
    check: Callable[[], None] | None = field(default=None)
    patience: float = 1


@dataclass(frozen=True)
class Effort:
    """How long to measure: the rounds, and the nanoseconds that each lasts at least."""

    rounds: int
    least: float


def by_build(*, compiled: float | None, pure: float | None) -> float | None:
    """Return the bound that holds for the build that runs."""
    return compiled if bytebufs.COMPILED else pure


def speed_of(ours: str, group: str, bound: float | None) -> Goal:
    """Ask that ``ours`` has at least ``bound`` times the speed of the best of a group."""

    def ratio(samples: Mapping[str, Sample]) -> tuple[float, str]:
        best = min((sample for sample in samples.values() if sample.group == group), key=lambda s: s.median)
        return best.median / samples[ours].median, best.name

    return Goal(f"speed against the best {group}", "at least", bound, ratio)


def cost_of(ours: str, rival: str, bound: float | None) -> Goal:
    """Ask that ``ours`` costs at most ``bound`` times what ``rival`` does."""

    def ratio(samples: Mapping[str, Sample]) -> tuple[float, str]:
        return samples[ours].median / samples[rival].median, rival

    return Goal(f"cost of {ours} against {rival}", "at most", bound, ratio)


def size_name(nbytes: int) -> str:
    """Write a size as people do: 64, 4 Ki, 1 Mi."""
    for shift, prefix in ((30, "Gi"), (20, "Mi"), (10, "Ki")):
        if nbytes >= 1 << shift and nbytes % (1 << shift) == 0:
            return f"{nbytes >> shift} {prefix}"
    return str(nbytes)


def measure(cell: Cell, effort: Effort) -> tuple[list[Sample], list[Verdict]]:
    """Measure every contender of a cell and hold the result against its goals.

    Leaves what it found frozen (``gc.freeze``), so that the next cell need not look at it again.
    """
    if cell.check is not None:
        cell.check()
    gc.collect()
    gc.freeze()
    repeats = _calibrate(cell, effort)
    rounds: list[list[float]] = [[] for _ in cell.contenders]
    for turn in range(effort.rounds):
        for k in range(len(cell.contenders)):
            which = (turn + k) % len(cell.contenders)
            rounds[which].append(_round(cell.contenders[which], repeats[which]))
    samples = [Sample(c.name, c.group, n, r) for c, n, r in zip(cell.contenders, repeats, rounds, strict=True)]
    return samples, [_judge(goal, samples) for goal in cell.goals]


def _calibrate(cell: Cell, effort: Effort) -> list[int]:
    """Return how often each contender has to act in a round. Acts twice: the first time warms up."""
    answers = {}
    repeats = []
    for contender in cell.contenders:
        if contender.meter is TOLD:
            repeats.append(1)
            continue
        _, answers[contender.name] = contender.meter(contender.prepare(), 1)
        cost, _ = contender.meter(contender.prepare(), 1)
        repeats.append(max(1, math.ceil(cell.patience * effort.least / max(cost, 1))))
    if len(set(map(repr, answers.values()))) > 1:
        raise AssertionError(f"the contenders of {cell.measure} {dict(cell.at)} disagree: {answers}")
    return repeats


def _round(contender: Contender, repeats: int) -> float:
    """Return what an action costs on the average of a round."""
    turns, times = (repeats, 1) if contender.once else (1, repeats)
    gc.collect()
    gc.disable()
    try:
        return (
            math.fsum(contender.meter(contender.prepare(), times)[0] for _ in range(turns)) / repeats / contender.weight
        )
    finally:
        gc.enable()


def _judge(goal: Goal, samples: Sequence[Sample]) -> Verdict:
    ratio, against = goal.ratio({sample.name: sample for sample in samples})
    return Verdict(goal.title, goal.sense, goal.bound, against, ratio, goal.unit)
