"""Have libFuzzer search each target for some seconds: `python -m tests.fuzz [--seconds N] [--seed N] [TARGET...]`.

It needs atheris: `make fuzz` installs it. An input that breaks a target is written to its folder below `crashes`, and
is a test from then on.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from bytebufs import COMPILED

from .searching import WARM
from .targets import HERE, TARGETS, Target

_TIMEOUT: Final = 10
"""Seconds of one run that are a hang. One takes a millisecond, and rarely ten."""
_MOST_MEMORY: Final = 512
"""MiB of the process: a hundred are the interpreter's and what it has imported."""
_BESIDE: Final = ("INFO", "WARNING", "#", "look")
"""How lines of libFuzzer begin, and our own, that say nothing of what went wrong."""
_PAGES_A_MEBIBYTE: Final = (1 << 20) // os.sysconf("SC_PAGE_SIZE")


class Result(NamedTuple):
    """What came of a search."""

    failed: bool
    runs: int
    seconds: float
    """Of the processor."""
    edges: int
    looks: list[tuple[int, int, int]]
    """Runs, blocks of memory, and pages."""

    def __str__(self) -> str:
        warm, last = self.looks[WARM - 1 : WARM], self.looks[WARM:][-1:]  # none of which stands for another one
        memory = "".join(f"{one[1]:>9} blocks {one[2] / _PAGES_A_MEBIBYTE:>5.0f} MiB" for one in (*warm, *last))
        return f"{self.runs:>9} runs {self.seconds:>6.0f} s {self.edges:>5} edges{memory}{' FAILED' * self.failed}"


def search(target: Target, found: Path, options: argparse.Namespace) -> Result:
    """Search one target for so many seconds. What is new and right is kept in a folder, what is wrong in another."""
    found.mkdir(parents=True, exist_ok=True)
    known = HERE / "corpus" / target.name
    with tempfile.TemporaryDirectory() as crashes:
        command = [
            sys.executable, "-P", "-m", "tests.fuzz.searching", target.name, f"-max_total_time={options.seconds}",
            f"-seed={options.seed}", f"-max_len={target.most}", f"-timeout={_TIMEOUT}", f"-rss_limit_mb={_MOST_MEMORY}",
            f"-artifact_prefix={crashes}/", "-print_final_stats=1", str(found), *[str(known)] * known.exists(),
        ]  # fmt: skip
        before = _seconds()
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        result = result_of(done.stderr, failed=done.returncode != 0, seconds=_seconds() - before)
        if result.failed:
            sys.stdout.write("".join(f"{line}\n" for line in done.stderr.splitlines() if not line.startswith(_BESIDE)))
            _keep(Path(crashes), options.crashes / target.name)
    return result


def _keep(crashes: Path, folder: Path) -> None:
    """Move what broke a target to where it is a test."""
    for path in crashes.iterdir():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
        sys.stdout.write(f"kept as a test: {folder / path.name}\n")


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def result_of(told: str, *, failed: bool, seconds: float) -> Result:
    """Read what libFuzzer says, and what our own looks say."""
    runs = re.findall(r"^stat::number_of_executed_units: *(\d+)", told, re.MULTILINE)
    edges = re.findall(r"^#\d+\t.* cov: (\d+)", told, re.MULTILINE)
    looks = re.findall(r"^look: (\d+) runs, (\d+) blocks, (\d+) pages", told, re.MULTILINE)
    return Result(
        failed, int(runs[-1]) if runs else 0, seconds, int(edges[-1]) if edges else 0,
        [(int(count), int(blocks), int(pages)) for count, blocks, pages in looks],
    )  # fmt: skip


def main() -> None:
    """Search, target by target, and tell in a line what came of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="have libFuzzer search for what breaks")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"all, or some of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer; 0 is another one each time")
    parser.add_argument("--found", type=Path, help="a folder for inputs that show something new, to go on from there")
    parser.add_argument("--crashes", type=Path, default=HERE / "crashes", help="where inputs go that break a target")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target: {', '.join(sorted(unknown))}")
    build = "compiled" if COMPILED else "pure"
    sys.stdout.write(f"{build}, Python {sys.version.split()[0]}, seed {options.seed}, {options.seconds} s a target\n")
    failed = False
    with tempfile.TemporaryDirectory() as aside:
        for name in options.targets or TARGETS:
            result = search(TARGETS[name], (options.found or Path(aside)) / name, options)
            sys.stdout.write(f"{name:<16}{result}\n")
            sys.stdout.flush()
            failed |= result.failed
    sys.exit(failed)


if __name__ == "__main__":
    main()
