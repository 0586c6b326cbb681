"""Run the benchmarks: ``python -m benchmarks [NAME ...] [--quick] [--json FILE] [--plot DIR]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import (
    calls,
    captures,
    echo,
    flushing,
    framing,
    growth,
    hostile,
    logs,
    memory,
    others,
    programs,
    reading,
    receiving,
    search,
    serving,
)
from ._harness import Cell, Effort, measure
from ._report import Outcome, Run, describe_run, show
from ._servers import close_servers

__all__ = ["main", "run_benchmarks"]

BENCHMARKS: Final = {
    "framing": framing.plan,
    "reading": reading.plan,
    "growth": growth.plan,
    "hostile": hostile.plan,
    "search": search.plan,
    "flushing": flushing.plan,
    "serving": serving.plan,
    "memory": memory.plan,
    "receiving": receiving.plan,
    "echo": echo.plan,
    "captures": captures.plan,
    "logs": logs.plan,
    "programs": programs.plan,
    "others": others.plan,
    "calls": calls.plan,
}

QUICK: Final = Effort(rounds=1, least=0)
REAL: Final = Effort(rounds=5, least=5e6)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line names, show it, and keep it where that says."""
    options = _parse(arguments)
    run = run_benchmarks(options.names or list(BENCHMARKS), quick=options.quick)
    show(run, Console())
    if options.json:
        _keep(run, options.json)
    if options.plot:
        from . import _figures

        _figures.plot([run], options.plot)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which benchmarks: {', '.join(BENCHMARKS)}; or all")
    parser.add_argument("--quick", action="store_true", help="toy sizes: only to see that everything runs")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="keep the results; without that suffix a folder, for PYTHON-BUILD.json",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw them")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}: choose from {', '.join(BENCHMARKS)}")
    return options


def run_benchmarks(names: Sequence[str], *, quick: bool) -> Run:
    """Measure every cell of the named benchmarks. A progress bar tells how far it is, if somebody looks."""
    effort = QUICK if quick else REAL
    cells: list[tuple[str, Callable[[], Cell]]] = [(n, make) for n in names for make in BENCHMARKS[n](quick=quick)]
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    outcomes = []
    try:
        with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("", total=len(cells))
            for name, make in cells:
                progress.update(task, description=name)
                cell = make()
                outcomes.append(Outcome.of(cell, *measure(cell, effort)))
                progress.advance(task)
    finally:
        close_servers()
    return describe_run(outcomes, quick=quick, rounds=effort.rounds)


def _keep(run: Run, place: Path) -> None:
    path = place if place.suffix == ".json" else place / f"{run.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():  # measures that were not taken now
        run = run.beside(Run.from_json(path.read_text(encoding="utf-8")))
    path.write_text(run.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
