"""Put mistakes into modules, one at a time, and demand that the module's own tests notice.

    python -m tests.mutants [--sample N] [--seed S] [--seconds T] [--again] [--results FOLDER] [MODULE ...]
    python -m tests.mutants --table [--results FOLDER]

A mutant that no test notices is printed, and the status says so, unless `survivors.tsv` beside this lists it: with a
kind, which docs/mutants.md explains. What is listed and has not survived is printed too. With `--sample 100` only so
many of each module are tried, the same for the same seed. One that meets T seconds of tests, the quickest first, has
survived: ten, if nothing is said. `--again` tries those that have survived the last time, and those that are new.

`--table` tries nothing. It puts the list in order and the figures of all modules, as they were tried last, into the
page.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Final

from ..cover_by_module import ROOT, own_tests
from .listed import OPEN, PAGE, Figures, Listing, change_of, last_outcomes, page_with, read_list, write_list

if TYPE_CHECKING:
    from .making import Mutant

MODULES: Final = [
    *(f"bytebufs/_core/{name}.py" for name in ["table", "parts", "search", "seeker"]),
    "bytebufs/composite_buffer.py",
    "bytebufs/base_buffer.py",
    "bytebufs/framing.py",
    "bytebufs/reader.py",
    "bytebufs/sending/plan.py",
    "bytebufs/sending/outbox.py",
    "bytebufs/receiving/inbox.py",
    "bytebufs/slice_buffer.py",
    *(
        f"bytebufs/_core/{name}.py"
        for name in ["audit", "exporter", "foreign", "holding", "layout", "memory", "numbers", "overlap", "owners"]
    ),
    *(f"bytebufs/_core/{name}.py" for name in ["packed", "pickling"]),
]
"""What is tried where no module is named."""

RESULTS: Final = ROOT / ".ci-cache" / "mutants"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="MODULE")
    parser.add_argument("--sample", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args(arguments)
    if not hasattr(sys, "monitoring"):
        parser.error("which lines a test reaches is asked of sys.monitoring, which came with Python 3.12")
    if options.table:
        return _write_page(options.results)
    options.results.mkdir(parents=True, exist_ok=True)
    if len(options.modules) == 1:
        return _run(options.modules[0], options)
    rest = list(arguments)[: len(arguments) - len(options.modules)] if options.modules is not MODULES else arguments
    statuses = [
        subprocess.run([sys.executable, "-m", "tests.mutants", *rest, module], cwd=ROOT, check=False).returncode
        for module in options.modules
    ]
    return max(statuses)


def _run(module: str, options: argparse.Namespace) -> int:
    """Try the mutants of one module; print those that survive and are not listed, and a line of figures."""
    import pytest

    from .making import mutants
    from .running import Outcome, Result, Runner

    file = _results(options.results, module)
    source = (ROOT / module).read_text(encoding="utf-8")
    found = list(mutants(source))
    chosen = _chosen(found, module, options, file)
    outcomes: Counter[Outcome] = Counter()
    listing = _listing(module)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, file.open("a" if options.again else "w") as stream:

        def report(result: Result) -> None:
            outcomes[result.outcome] += 1
            line = {"mutant": str(result.mutant), "outcome": result.outcome.name, "tests": result.tests}
            print(json.dumps({**line, "seconds": round(result.seconds, 2)}), file=stream, flush=True)
            if result.outcome == Outcome.SURVIVED and not listing.take(change_of(str(result.mutant))):
                print(f"{module}:{result.mutant}  (survived {result.tests} tests)", flush=True)

        runner = Runner(_dotted(module), ROOT / module, source, chosen, options.seconds, report)
        arguments = ["-q", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}/tests"]
        status = pytest.main([*arguments, *map(str, own_tests(Path(module)))], plugins=[runner])
    for failed in runner.failed:
        print(f"fails without any mutant: {failed}")
    if not (options.sample or status or runner.failed):
        for line in listing.left(change_of(str(mutant)) for mutant in found):
            print(f"{module}: {line}")
    killed, late, left = (outcomes[one] for one in (Outcome.KILLED, Outcome.TIMED_OUT, Outcome.SURVIVED))
    tried = killed + late + left
    unlisted = left - listing.taken.total()
    spent = sum(sum(getrusage(who)[:2]) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    print(
        f"{module}: {len(found)} mutants, {tried} tried, {killed} killed, {late} timed out, {left} survived "
        f"({listing.equivalent} equivalent, {listing.taken[OPEN]} open, {unlisted} not listed): "
        f"{100 * (killed + late) / max(tried, 1):.1f} %, {time.monotonic() - began:.0f} s, {spent:.0f} s of CPU time",
        flush=True,
    )
    return int(bool(status or runner.failed or unlisted))


def _chosen(found: Sequence[Mutant], module: str, options: argparse.Namespace, file: Path) -> Sequence[Mutant]:
    chosen = found
    if 0 < options.sample < len(found):
        numbers = random.Random(f"{options.seed} {module}").sample(range(len(found)), options.sample)
        chosen = [found[number] for number in sorted(numbers)]
    if options.again:
        times = Counter(change_of(str(mutant)) for mutant in chosen)
        last = last_outcomes(file, times.elements())
        chosen = [mutant for mutant in chosen if _is_due(last, times, change_of(str(mutant)))]
    return chosen


def _is_due(last: Mapping[str, Sequence[str]], times: Mapping[str, int], change: str) -> bool:
    """Say whether one of the mutants that make a change has survived, or has not been tried."""
    return "SURVIVED" in last[change] or len(last[change]) < times[change]


def _write_page(results: Path) -> int:
    """Write the figures of the last results; return 1 if some are missing, or if they and the list disagree."""
    from .making import mutants

    write_list(read_list())
    figures: dict[str, Figures] = {}
    troubles = []
    for module in MODULES:
        changes = [change_of(str(mutant)) for mutant in mutants((ROOT / module).read_text(encoding="utf-8"))]
        file = _results(results, module)
        if not changes:
            continue
        if not file.exists():
            troubles.append(f"{module}: no results")
            continue
        last = last_outcomes(file, changes)
        outcomes = Counter(outcome for several in last.values() for outcome in several)
        listing = _listing(module)
        unlisted = [
            change
            for change, several in last.items()
            for outcome in several
            if outcome == "SURVIVED" and not listing.take(change)
        ]
        if untried := len(changes) - outcomes.total():
            troubles.append(f"{module}: {untried} not tried")
        troubles += [f"{module}: not listed: {change}" for change in unlisted]
        troubles += [f"{module}: {line}" for line in listing.left(changes)]
        killed, late, left = (outcomes[outcome] for outcome in ("KILLED", "TIMED_OUT", "SURVIVED"))
        equivalent = listing.equivalent
        figures[module] = Figures(killed + late + left, killed, late, equivalent, left - equivalent)
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), figures, read_list()), encoding="utf-8")
    print("".join(f"{trouble}\n" for trouble in troubles), end="")
    return int(bool(troubles))


def _listing(module: str) -> Listing:
    return Listing(line for line in read_list() if line.module == module)


def _results(folder: Path, module: str) -> Path:
    return folder / f"{_dotted(module)}.jsonl"


def _dotted(module: str) -> str:
    return module.removesuffix(".py").replace("/", ".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
