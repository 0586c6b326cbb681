"""Put mistakes into modules, one at a time, and demand that the module's own tests notice.

    python -m tests.mutants [--sample N] [--seed S] [--seconds T] [--again] [--results FOLDER] [MODULE ...]

A mutant that no test notices is printed. docs/mutants.md says which ones are left, and why. With `--sample 100` only so
many of each module are tried, the same for the same seed. One that meets T seconds of tests, the quickest first, has
survived: ten, if nothing is said. `--again` tries those that have survived the last time.
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
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING, Final

from ..cover_by_module import ROOT, own_tests

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
    options = parser.parse_args(arguments)
    if not hasattr(sys, "monitoring"):
        parser.error("which lines a test reaches is asked of sys.monitoring, which came with Python 3.12")
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
    """Try the mutants of one module; print those that survive and a line of figures."""
    import pytest

    from .making import mutants
    from .running import Outcome, Result, Runner

    dotted = module.removesuffix(".py").replace("/", ".")
    file = options.results / f"{dotted}.jsonl"
    source = (ROOT / module).read_text(encoding="utf-8")
    found = list(mutants(source))
    chosen = _chosen(found, module, options, file)
    outcomes: Counter[Outcome] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, file.open("a" if options.again else "w") as stream:

        def report(result: Result) -> None:
            outcomes[result.outcome] += 1
            line = {"mutant": str(result.mutant), "outcome": result.outcome.name, "tests": result.tests}
            print(json.dumps({**line, "seconds": round(result.seconds, 2)}), file=stream, flush=True)
            if result.outcome == Outcome.SURVIVED:
                print(f"{module}:{result.mutant}  (survived {result.tests} tests)", flush=True)

        runner = Runner(dotted, ROOT / module, source, chosen, options.seconds, report)
        arguments = ["-q", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder}/tests"]
        status = pytest.main([*arguments, *map(str, own_tests(Path(module)))], plugins=[runner])
    for failed in runner.failed:
        print(f"fails without any mutant: {failed}")
    killed, late, left = (outcomes[one] for one in (Outcome.KILLED, Outcome.TIMED_OUT, Outcome.SURVIVED))
    tried = killed + late + left
    spent = sum(sum(getrusage(who)[:2]) for who in (RUSAGE_SELF, RUSAGE_CHILDREN))
    print(
        f"{module}: {len(found)} mutants, {tried} tried, {killed} killed, {late} timed out, {left} survived: "
        f"{100 * (killed + late) / max(tried, 1):.1f} %, {time.monotonic() - began:.0f} s, {spent:.0f} s of CPU time",
        flush=True,
    )
    return int(bool(status or runner.failed))


def _chosen(found: Sequence[Mutant], module: str, options: argparse.Namespace, file: Path) -> Sequence[Mutant]:
    if options.again:
        last = {_changed(line["mutant"]): line["outcome"] for line in map(json.loads, file.read_text().splitlines())}
        return [mutant for mutant in found if last.get(_changed(str(mutant))) == "SURVIVED"]
    if not 0 < options.sample < len(found):
        return found
    numbers = random.Random(f"{options.seed} {module}").sample(range(len(found)), options.sample)
    return [found[number] for number in sorted(numbers)]


def _changed(mutant: str) -> str:
    """Return what a mutant changes, wherever that stands by now."""
    return mutant.partition(": ")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
