"""A run of the benchmarks: what it was run on, what came out; as JSON, and as tables for a terminal."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

import bytebufs

from . import _netty
from ._harness import OURS, Cell, Sample, Verdict

__all__ = ["MEASURES", "Outcome", "Run", "amount", "count_goals", "describe_run", "mark", "show", "told"]

SCHEMA: Final = 1

MEASURES: Final = {
    "cut": "Cut a stream into frames of a fixed length",
    "feed": "Cut a stream into frames behind their length, and read a u32 in each",
    "read": "Read numbers one after the other",
    "growth": "Grow from 10 to 1 000 000 parts",
    "find": "Find in 64 MiB",
    "compare": "Compare 64 MiB",
    "flush": "Send a message in parts",
    "serve": "Serve a file: processor time",
    "serve, wall": "Serve a file: time that passed",
    "serve, calls": "Serve a file: system calls",
    "serve, copied": "Serve a file: bytes copied",
    "memory": "Memory for a message of 1 GiB",
}
"""The measures, in the order in which they are told."""


@dataclass(frozen=True)
class Outcome:
    """What came out of a cell: the contenders' costs, by action, and what became of the goals."""

    measure: str
    at: Mapping[str, str]
    per: str
    count: float
    unit: str
    samples: Sequence[Sample]
    verdicts: Sequence[Verdict]

    @property
    def ours(self) -> Sample:
        """The first of our own contenders."""
        return next(sample for sample in self.samples if sample.group == OURS)

    @classmethod
    def of(cls, cell: Cell, samples: Sequence[Sample], verdicts: Sequence[Verdict]) -> Outcome:
        """Put together what a cell was and what was measured."""
        return cls(cell.measure, dict(cell.at), cell.per, cell.count, cell.unit, list(samples), list(verdicts))


@dataclass(frozen=True)
class Run:
    """A run: when, where, with what, and the outcomes."""

    schema: int
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

    def to_json(self) -> str:
        """Return all of it as text; medians and minima, which could be worked out, are added for other readers."""
        data = asdict(self)
        for outcome, row in zip(self.outcomes, data["outcomes"], strict=True):
            for sample, cells in zip(outcome.samples, row["samples"], strict=True):
                cells |= {"median": sample.median, "minimum": sample.minimum}
            for verdict, cells in zip(outcome.verdicts, row["verdicts"], strict=True):
                cells["reached"] = verdict.reached
        return json.dumps(data, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Run:
        """Read what :meth:`to_json` wrote. Raises ValueError for another schema."""
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise ValueError(f"these results are of schema {data['schema']}, not {SCHEMA}")
        data["outcomes"] = [_outcome(row) for row in data["outcomes"]]
        return cls(**data)


def _outcome(row: dict[str, Any]) -> Outcome:
    samples = [Sample(**_without(cells, "median", "minimum")) for cells in row["samples"]]
    verdicts = [Verdict(**_without(cells, "reached")) for cells in row["verdicts"]]
    return Outcome(**{**row, "samples": samples, "verdicts": verdicts})


def _without(cells: dict[str, Any], *derived: str) -> dict[str, Any]:
    return {key: value for key, value in cells.items() if key not in derived}


# -- where it ran --------------------------------------------------------------------------------------------


def describe_run(outcomes: Sequence[Outcome], *, quick: bool, rounds: int) -> Run:
    """Put outcomes together with what they were measured on and with."""
    rivals = {name: _version(name) for name in ("tornado", "urllib3", "h11")}
    netty = _netty.version()
    return Run(
        schema=SCHEMA,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        quick=quick,
        rounds=rounds,
        host=_host(),
        python=platform.python_version(),
        build="compiled" if bytebufs.COMPILED else "pure",
        bytebufs=_version("bytebufs"),
        rivals=rivals if netty is None else {**rivals, "netty": netty},
        outcomes=list(outcomes),
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
    if verdict.is_amount:
        goal = "" if verdict.bound is None else f" {sign} {amount(verdict.bound, 'bytes')}"
        return f"{amount(verdict.ratio, 'bytes')}{goal} {mark(verdict)}"
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
    columns = list(zip(*(outcome.verdicts for outcome in outcomes), strict=True))
    for verdicts in columns:
        titles = {verdict.title for verdict in verdicts}
        table.add_column(titles.pop() if len(titles) == 1 else "ratio")
    is_told = [len({verdict.against for verdict in verdicts}) > 1 for verdicts in columns]
    for outcome in outcomes:
        row = [Text(value) for value in outcome.at.values()]
        row.append(Text(amount(outcome.ours.median / outcome.count, outcome.unit)))
        for verdict, names in zip(outcome.verdicts, is_told, strict=True):
            row.append(Text(told(verdict), style=_STYLES[verdict.reached]))
            if names:
                row[-1].append(f"  {verdict.against}", style="not bold dim")
        table.add_row(*row)
    return table
