"""Demand that each module of the package is covered, lines and branches, by its own test files alone.

    python -m tests.cover_by_module [MODULE ...]

`bytebufs/_core/parts.py` is tested by `tests/core/test_parts.py` and any `tests/core/test_parts_*.py`. `__init__`
modules are exempt. Modules of examples that are to be covered have their tests in a table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
WORKERS: Final = min(4, 1 + (os.cpu_count() or 1))

EXAMPLES: Final = (
    {
        f"examples/http/{module}.py": f"tests/test_example_{tests}.py"
        for tests, modules in {
            "capture": ["capture"],
            "packets": ["packets"],
            "fragments": ["fragments"],
            "layers": ["ethernet", "ip", "layers", "links", "names", "tunnels", "wireless"],
            "arrivals": ["arrivals"],
            "numbers": ["numbers"],
            "tcp": ["tcp"],
            "connections": ["connections"],
            "live": ["live"],
        }.items()
        for module in modules
    }
    | {
        f"examples/rocketmq/{module}.py": f"tests/test_example_rocketmq_{tests}.py"
        for tests, modules in {
            "remoting": ["consumers", "durable", "remoting", "topics"],
            "broker": ["broker", "codes", "limits", "membership", "pulling", "routes", "sending"],
        }.items()
        for module in modules
    }
    | {
        f"examples/{system}/{module}.py": f"tests/{system}/test_{module}.py"
        for system, modules in {
            "kafka": [
                "batch",
                "coordinator",
                "durable",
                "flushing",
                "group_handlers",
                "index",
                "inspect",
                "offsets",
                "producer_ids",
                "producer_states",
                "producers",
                "records",
                "segment",
                "store",
            ],
            "rocketmq": ["commitlog", "flushing", "inspect", "mapped_files", "record", "retention"],
        }.items()
        for module in modules
    }
    | {"examples/redis_aio.py": "tests/test_example_redis_aio.py"}
)
"""Modules of examples, and the file with their tests."""


@dataclass(frozen=True)
class Result:
    """What a module's own tests cover of it. `trouble` says why there is nothing to count."""

    module: str
    seconds: float = 0.0
    percent: float = 0.0
    statements: int = 0
    lines: Sequence[int] = ()
    branches: Sequence[tuple[int, int]] = ()
    trouble: str = ""

    @property
    def complete(self) -> bool:
        return not (self.lines or self.branches or self.trouble)

    @property
    def missing(self) -> str:
        """Lines, and branches that leave from lines that did run; a negative target leaves the function."""
        if self.trouble:
            return self.trouble.splitlines()[0]
        branches = [
            f"{start}->{'exit' if stop < 0 else stop}" for start, stop in self.branches if start not in self.lines
        ]
        return ", ".join([*map(str, self.lines), *branches])


def modules() -> Iterator[Path]:
    """Yield the package's modules, `__init__` and `__main__` left out, and those of examples that have their tests."""
    for path in sorted((ROOT / "bytebufs").rglob("*.py")):
        if not path.stem.startswith("__"):
            yield path.relative_to(ROOT)
    yield from map(Path, EXAMPLES)


def own_tests(module: Path) -> list[Path]:
    """Return the files with the module's tests: the first is there or should be."""
    if module.as_posix() in EXAMPLES:
        return [Path(EXAMPLES[module.as_posix()])]
    parts = [part.lstrip("_") for part in module.with_suffix("").parts[1:]]
    first = Path("tests", *parts[:-1], f"test_{parts[-1]}.py")
    more = sorted((ROOT / first.parent).glob(f"{first.stem}_*.py"))
    return [first, *[path.relative_to(ROOT) for path in more]]


def measure(modules: Sequence[Path]) -> list[Result]:
    """Run the tests that some modules have in common under coverage, once."""
    tests = own_tests(modules[0])
    if not (ROOT / tests[0]).exists():
        return [Result(str(module), trouble=f"{tests[0]} is missing") for module in modules]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder, "data"), Path(folder, "report.json")
        coverage = [sys.executable, "-m", "coverage"]
        pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, tests)]
        run = _run([*coverage, "run", f"--source={modules[0].parts[0]}", f"--data-file={data}", *pytest])
        seconds = time.monotonic() - began
        if run.returncode:
            trouble = f"{tests[0]} fails\n{run.stdout}{run.stderr}"
            return [Result(str(module), seconds, trouble=trouble) for module in modules]
        _run([*coverage, "combine", f"--data-file={data}", folder])
        included = f"--include={','.join(map(str, modules))}"
        made = _run([*coverage, "json", f"--data-file={data}", included, "--fail-under=0", "-o", str(report)])
        files = json.loads(report.read_text(encoding="utf-8"))["files"] if made.returncode == 0 else {}
    return [_result(str(module), seconds, files.get(str(module)), made.stdout + made.stderr) for module in modules]


def _result(module: str, seconds: float, found: dict[str, Any] | None, said: str) -> Result:
    if found is None:
        return Result(module, seconds, trouble=f"never imported\n{said}")
    return Result(
        module,
        seconds,
        found["summary"]["percent_covered"],
        found["summary"]["num_statements"],
        found["missing_lines"],
        [(start, stop) for start, stop in found["missing_branches"]],
    )


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environ = {"BYTEBUFS_PROFILE": "short", **os.environ}  # a share of the tables covers a share of the code
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL, env=environ
    )


def main(arguments: Sequence[str]) -> int:
    """Print a line for each module, then what went wrong at length; return 1 if anything did."""
    chosen = [path for path in modules() if not arguments or path.stem in arguments or str(path) in arguments]
    width = max((len(str(path)) for path in chosen), default=0)
    print(f"{'module':<{width}}  {'seconds':>7}  {'lines':>5}  {'cover':>7}  missing")
    results = []
    groups: dict[tuple[Path, ...], list[Path]] = {}
    for module in chosen:
        groups.setdefault(tuple(own_tests(module)), []).append(module)
    with ThreadPoolExecutor(WORKERS) as pool:
        for result in chain.from_iterable(pool.map(measure, groups.values())):
            results.append(result)
            print(
                f"{result.module:<{width}}  {result.seconds:7.1f}  {result.statements:5}  "
                f"{result.percent:6.2f}%  {result.missing}".rstrip(),
                flush=True,
            )
    incomplete = [result for result in results if not result.complete]
    for result in incomplete:
        if "\n" in result.trouble:
            print(f"\n{result.module}: {result.trouble}")
    print(f"{len(results) - len(incomplete)} of {len(results)} modules are fully covered by their own tests")
    return 1 if incomplete or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
