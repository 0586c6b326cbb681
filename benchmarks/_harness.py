"""Cells, contenders and goals, and how a cell is measured.

1. The contenders of a cell run in one process, in turns: a round of each, then the next round, beginning with another
   one each time. So what else the machine does hits all of them alike.
2. A round repeats its action so often that it lasts some milliseconds. Setting up and dropping results are not timed.
3. The garbage collector is off during a round, and what was there before the cell is frozen.
4. The contenders of a cell give the same answer, or the run fails.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal, TypeAlias

import bytebufs

__all__ = [
    "CPU",
    "MIB",
    "OURS",
    "TOLD",
    "WALL",
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


@dataclass(frozen=True)
class Meter:
    """How the cost of an action is taken: in which unit, and how much of it makes a round that can be trusted."""

    unit: str
    take: Callable[[Action], tuple[float, object]]
    least: float


def _wall(action: Action) -> tuple[float, object]:
    start = time.perf_counter_ns()
    answer = action()
    return time.perf_counter_ns() - start, answer


def _cpu(action: Action) -> tuple[float, object]:
    start = time.process_time_ns()
    answer = action()
    return time.process_time_ns() - start, answer


def _told(action: Action) -> tuple[float, object]:
    answer = action()
    assert isinstance(answer, int)
    return answer, None


WALL: Final = Meter("ns", _wall, 5e6)
CPU: Final = Meter("ns of this process", _cpu, 5e6)
TOLD: Final = Meter("", _told, 0)
"""The action's answer is the cost."""


@dataclass(frozen=True)
class Contender:
    """One way to do what a cell measures. ``prepare`` is not timed, the action that it returns is."""

    name: str
    group: str
    prepare: Callable[[], Action]
    meter: Meter = WALL


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
    """A number to reach: a ratio of medians (or an amount), against whom, and where it is to be. No bound: for show."""

    title: str
    sense: Literal["at least", "at most"]
    bound: float | None
    ratio: Callable[[Mapping[str, Sample]], tuple[float, str]]
    is_amount: bool = False


@dataclass(frozen=True)
class Verdict:
    """What became of a goal."""

    title: str
    sense: Literal["at least", "at most"]
    bound: float | None
    against: str
    ratio: float
    is_amount: bool

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None where none was set."""
        if self.bound is None:
            return None
        return self.ratio >= self.bound if self.sense == "at least" else self.ratio <= self.bound


@dataclass(frozen=True)
class Cell:
    """One place of a measure's grid. An action does ``count`` things of the kind ``per``."""

    measure: str
    at: Mapping[str, str]
    per: str
    count: int
    contenders: Sequence[Contender]
    goals: Sequence[Goal] = ()
    unit: str = "ns"
    check: Callable[[], None] | None = field(default=None)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

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
    """Measure every contender of a cell and hold the result against its goals."""
    if cell.check is not None:
        cell.check()
    gc.collect()
    gc.freeze()
    try:
        repeats = _calibrate(cell, effort)
        rounds: list[list[float]] = [[] for _ in cell.contenders]
        for turn in range(effort.rounds):
            for k in range(len(cell.contenders)):
                which = (turn + k) % len(cell.contenders)
                rounds[which].append(_round(cell.contenders[which], repeats[which]))
    finally:
        gc.unfreeze()
    samples = [Sample(c.name, c.group, n, r) for c, n, r in zip(cell.contenders, repeats, rounds, strict=True)]
    return samples, [_judge(goal, samples) for goal in cell.goals]


def _calibrate(cell: Cell, effort: Effort) -> list[int]:
    """Return how often each contender has to act in a round. Acts twice: the first time warms up."""
    answers = {}
    repeats = []
    for contender in cell.contenders:
        _, answers[contender.name] = contender.meter.take(contender.prepare())
        cost, _ = contender.meter.take(contender.prepare())
        repeats.append(max(1, math.ceil(min(contender.meter.least, effort.least) / max(cost, 1))))
    given = {repr(answer) for answer in answers.values() if answer is not None}
    if len(given) > 1:
        raise AssertionError(f"the contenders of {cell.measure} {dict(cell.at)} disagree: {answers}")
    return repeats


def _round(contender: Contender, repeats: int) -> float:
    """Return what an action costs on the average of a round."""
    gc.collect()
    gc.disable()
    try:
        return math.fsum(contender.meter.take(contender.prepare())[0] for _ in range(repeats)) / repeats
    finally:
        gc.enable()


def _judge(goal: Goal, samples: Sequence[Sample]) -> Verdict:
    ratio, against = goal.ratio({sample.name: sample for sample in samples})
    return Verdict(goal.title, goal.sense, goal.bound, against, ratio, goal.is_amount)
