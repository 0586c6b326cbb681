"""A run of the benchmarks: what it was run on, what came out; as JSON, and as tables for a terminal."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.table import Table
from rich.text import Text

import bytebufs

from . import _netty
from ._harness import OURS, Cell, Sample, Verdict

__all__ = ["MEASURES", "Cost", "Outcome", "Run", "amount", "count_goals", "describe_run", "mark", "show", "told"]

SCHEMA: Final = 2

MEASURES: Final = {
    "cut": "Cut a stream into frames of a fixed length",
    "feed": "Cut a stream into frames behind their length, and read a u32 in each",
    "read": "Read numbers one after the other",
    "growth": "Grow from 10 to 1 000 000 parts",
    "hostile": "Hostile streams: processor time",
    "hostile, kept": "Hostile streams: memory",
    "find": "Find in 64 MiB",
    "compare": "Compare 64 MiB",
    "flush": "Send a message in parts",
    "serve": "Serve a file: processor time",
    "serve, wall": "Serve a file: time that passed",
    "serve, calls": "Serve a file: system calls",
    "serve, copied": "Serve a file: bytes copied",
    "memory": "Memory for a message of 1 GiB",
    "receive": "Receive frames, and drop them",
    "receive, pinned": "Receive in small reads: memory that is pinned",
    "echo": "Echo frames",
    "echo, idle": "Memory of an idle connection",
    "send a file": "Send a file by a server",
    "capture": "Put the HTTP of a capture together",
    "capture, memory": "Put the HTTP of a capture together: memory beside the file",
    "log, read": "Read a log by a consumer",
    "log, append": "Append to a log",
    "log, flush": "Bring messages to the disk",
    "log, librdkafka": "Produce and consume by librdkafka",
    "program": "Programs of small messages",
    "place": "Others' parsers, with our buffer in the place of theirs",
    "call": "What each call costs on a message of 90 bytes",
}
"""The measures, in the order in which they are told."""


_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Cost:
    """What a contender cost for one of what the measure counts.

    The middle of the rounds, and by how many percent the cheapest one was below it, up to 35: a digit is kept of that.
    """

    name: str
    group: str
    median: float
    below: int

    @property
    def minimum(self) -> float:
        """The cheapest round."""
        return self.median * (100 - self.below) / 100


@dataclass(frozen=True)
class Outcome:
    """What came out of a cell: the contenders' costs, and what became of the goals."""

    measure: str
    at: Mapping[str, str]
    per: str
    unit: str
    costs: Sequence[Cost]
    verdicts: Sequence[Verdict]

    @property
    def ours(self) -> Cost:
        """The first of our own contenders."""
        return next(cost for cost in self.costs if cost.group == OURS)

    @classmethod
    def of(cls, cell: Cell, samples: Sequence[Sample], verdicts: Sequence[Verdict]) -> Outcome:
        """Put together what a cell was and what was measured, with as many digits as are kept."""
        costs = []
        for sample in samples:
            cost = sample.median / cell.count
            below = min(len(_DIGITS) - 1, round(100 - 100 * sample.minimum / max(sample.median, 1e-9)))
            costs.append(Cost(sample.name, sample.group, _kept(cost) if cell.unit == "ns" else cost, below))
        return cls(cell.measure, dict(cell.at), cell.per, cell.unit, costs, [_shortened(v) for v in verdicts])


def _kept(value: float, digits: int = 3) -> float:
    """Return a number with three digits, which is more than two runs agree on."""
    return float(f"{value:.{digits}g}")


def _shortened(verdict: Verdict) -> Verdict:
    """Return a verdict with as few digits as do not turn it into another."""
    shorter = (replace(verdict, ratio=_kept(verdict.ratio, digits)) for digits in range(3, 17))
    return next((kept for kept in shorter if kept.reached == verdict.reached), verdict)


@dataclass(frozen=True)
class Run:
    """A run: when, where, with what, and the outcomes."""

    date: str
    quick: bool
    rounds: int
    host: Mapping[str, str]
    python: str
    build: str
    bytebufs: str
    rivals: Mapping[str, str]
    outcomes: Sequence[Outcome]

    @property
    def name(self) -> str:
        """The interpreter and the build: what tells results from each other, and names their file."""
        return f"{self.python.rpartition('.')[0]}-{self.build}"

    def of(self, measure: str) -> list[Outcome]:
        """Return what came out for a measure."""
        return [outcome for outcome in self.outcomes if outcome.measure == measure]

    def to_json(self) -> str:
        """Return all of it as text, a line for each place.

        What places have in common stands in front of them: the casts (who takes part, with his group), the goals (the
        last of their facts is whom they were held against), the kinds of place (what is counted, in which unit, the
        cast and the goals), and for each measure its axes with the values on them. A place is where it lies on each
        axis, its kind, the medians of the cast, by how many percent the cheapest rounds were below them (a digit for
        each, of base 36), and for each goal the ratio.
        """
        kinds = list(dict.fromkeys(map(_kind, self.outcomes)))
        casts = list(dict.fromkeys(cast for *_, cast, _ in kinds))
        goals = list(dict.fromkeys(goal for *_, theirs in kinds for goal in theirs))
        facts = {
            "schema": SCHEMA,
            **{key: value for key, value in vars(self).items() if key != "outcomes"},
            "casts": casts,
            "goals": goals,
            "kinds": [[per, unit, casts.index(cast), *map(goals.index, theirs)] for per, unit, cast, theirs in kinds],
        }
        lines = [f"{_compact(key)}: {_compact(value)}," for key, value in facts.items()]
        blocks = []
        for measure in dict.fromkeys(outcome.measure for outcome in self.outcomes):
            outcomes = [outcome for outcome in self.outcomes if outcome.measure == measure]
            axes = {axis: list(dict.fromkeys(o.at[axis] for o in outcomes)) for axis in outcomes[0].at}
            places = ",\n".join(_place(o, axes, kinds.index(_kind(o))) for o in outcomes)
            blocks.append(f'{_compact(measure)}: {{"axes": {_compact(axes)}, "places": [\n{places}\n]}}')
        return "\n".join(["{", *lines, '"measures": {', ",\n".join(blocks), "}}"]) + "\n"

    def beside(self, other: Run) -> Run:
        """Return this run with what another one has of measures that this has not; nothing, if one is of toy sizes."""
        others = MEASURES.keys() - {outcome.measure for outcome in self.outcomes}
        if self.quick != other.quick:
            return self
        both = [*self.outcomes, *(outcome for outcome in other.outcomes if outcome.measure in others)]
        return replace(self, outcomes=sorted(both, key=lambda outcome: list(MEASURES).index(outcome.measure)))

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Read what ``to_json()`` wrote. Raises ValueError for another schema."""
        data = json.loads(text)
        schema = data.pop("schema")
        if schema != SCHEMA:
            raise ValueError(f"these results are of schema {schema}, not {SCHEMA}")
        casts, goals = data.pop("casts"), data.pop("goals")
        kinds = [
            (per, unit, casts[cast], [goals[goal] for goal in theirs]) for per, unit, cast, *theirs in data.pop("kinds")
        ]
        data["outcomes"] = [
            _outcome(measure, block["axes"], place, *kinds[place[-4]])
            for measure, block in data.pop("measures").items()
            for place in block["places"]
        ]
        return cls(**data)


_Cast: TypeAlias = "tuple[tuple[str, str], ...]"
_Goal: TypeAlias = "tuple[str, str, float | None, str, str]"


def _kind(outcome: Outcome) -> tuple[str, str, _Cast, tuple[_Goal, ...]]:
    """Return what a place has in common with others."""
    cast = tuple((cost.name, cost.group) for cost in outcome.costs)
    goals = tuple((v.title, v.sense, v.bound, v.unit, v.against) for v in outcome.verdicts)
    return outcome.per, outcome.unit, cast, goals


def _place(outcome: Outcome, axes: Mapping[str, list[str]], kind: int) -> str:
    where = [axes[axis].index(value) for axis, value in outcome.at.items()]
    medians = [cost.median for cost in outcome.costs]
    below = "".join(_DIGITS[cost.below] for cost in outcome.costs)
    return _compact([*where, kind, medians, below, [verdict.ratio for verdict in outcome.verdicts]])


def _outcome(
    measure: str,
    axes: Mapping[str, Sequence[str]],
    place: Sequence[Any],
    per: str,
    unit: str,
    cast: Sequence[tuple[str, str]],
    goals: Sequence[Any],
) -> Outcome:
    *where, _, medians, below, ratios = place
    return Outcome(
        measure,
        {axis: values[k] for (axis, values), k in zip(axes.items(), where, strict=True)},
        per,
        unit,
        [
            Cost(name, group, median, int(digit, 36))
            for (name, group), median, digit in zip(cast, medians, below, strict=True)
        ],
        [
            Verdict(title, sense, bound, against, ratio, of)
            for (title, sense, bound, of, against), ratio in zip(goals, ratios, strict=True)
        ],
    )


def _compact(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return _NO_FRACTION.sub(_shortly, text)


_NO_FRACTION: Final = re.compile(r"(?<=[\[,])(\d+?)(0*)\.0(?=[\],])")


def _shortly(number: re.Match[str]) -> str:
    """Write a whole number without a fraction, and in front of many zeros with an exponent."""
    digits, zeros = number.groups()
    return f"{digits}e{len(zeros)}" if len(zeros) > 2 else digits + zeros


# -- where it ran --------------------------------------------------------------------------------------------


def describe_run(outcomes: Sequence[Outcome], *, quick: bool, rounds: int) -> Run:
    """Put outcomes together with what they were measured on and with."""
    rivals = {name: _version(name) for name in ("aiohttp", "h11", "h2", "redis", "tornado", "urllib3", "websockets")}
    netty = _netty.version()
    return Run(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=quick,
        rounds=rounds,
        host=_host(),
        python=platform.python_version(),
        build="compiled" if bytebufs.COMPILED else "pure",
        bytebufs=_version("bytebufs"),
        rivals=rivals if netty is None else {**rivals, "netty": netty},
        outcomes=sorted(outcomes, key=lambda outcome: list(MEASURES).index(outcome.measure)),
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout
        return "not installed"


def _host() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _line_of("/proc/cpuinfo", "model name") or platform.processor(),
        "processors": str(os.cpu_count()),
        "memory": _line_of("/proc/meminfo", "MemTotal"),
        "compiler": platform.python_compiler(),
    }


def _line_of(file: str, key: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


# -- numbers for people --------------------------------------------------------------------------------------


def amount(value: float, unit: str) -> str:
    """Write a time or a size with three digits; what is counted, with all of them."""
    if unit == "calls":
        return f"{value:,.0f} {unit}"
    steps = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)) if unit == "bytes" else (("ms", 1e6), ("µs", 1e3))
    for name, size in steps:
        if value >= size:
            return f"{value / size:.3g} {name}" if value < 1000 * size else f"{value / size:.0f} {name}"
    return f"{value:.3g} {unit}"


def mark(verdict: Verdict) -> str:
    """Say whether a goal was reached: yes, no, or that there was none."""
    return {True: "✓", False: "✗", None: "·"}[verdict.reached]


def told(verdict: Verdict) -> str:
    """Write a ratio, against whom, and the goal."""
    sign = "≥" if verdict.sense == "at least" else "≤"
    if verdict.unit:
        goal = "" if verdict.bound is None else f" {sign} {amount(verdict.bound, verdict.unit)}"
        return f"{amount(verdict.ratio, verdict.unit)}{goal} {mark(verdict)}"
    goal = "" if verdict.bound is None else f" {sign} {verdict.bound:g}"
    return f"{verdict.ratio:.2f}{goal} {mark(verdict)}"


def count_goals(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    """Return how many goals were reached, and how many there were."""
    answers = [verdict.reached for outcome in outcomes for verdict in outcome.verdicts]
    return sum(answer is True for answer in answers), sum(answer is not None for answer in answers)


# -- tables --------------------------------------------------------------------------------------------------

_STYLES: Final = {True: "green", False: "bold red", None: "dim"}


def show(run: Run, console: Console) -> None:
    """Print a table for each measure: our cost, and each goal with its ratio."""
    for measure, title in MEASURES.items():
        outcomes = [outcome for outcome in run.outcomes if outcome.measure == measure]
        if outcomes:
            console.print(_table(title, outcomes))
    reached, goals = count_goals(run.outcomes)
    console.print(
        f"{run.name}, bytebufs {run.bytebufs}, {', '.join(f'{k} {v}' for k, v in run.rivals.items())}: "
        f"{reached} of {goals} goals reached"
    )


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    table = Table(*outcomes[0].at, f"ours, a {outcomes[0].per}", title=title, title_justify="left")
    columns = list(zip_longest(*(outcome.verdicts for outcome in outcomes)))
    for verdicts in columns:
        titles = {verdict.title for verdict in verdicts if verdict}
        table.add_column(titles.pop() if len(titles) == 1 else "ratio")
    is_told = [len({verdict.against for verdict in verdicts if verdict}) > 1 for verdicts in columns]
    for outcome in outcomes:
        row = [Text(value) for value in outcome.at.values()]
        row.append(Text(amount(outcome.ours.median, outcome.unit)))
        for verdict, names in zip(outcome.verdicts, is_told):
            row.append(Text(told(verdict), style=_STYLES[verdict.reached]))
            if names:
                row[-1].append(f"  {verdict.against}", style="not bold dim")
        table.add_row(*row)
    return table
