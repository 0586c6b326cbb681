"""What all tests share: how hard hypothesis tries, and which tests need a program from outside.

The environment chooses the profile: `BYTEBUFS_PROFILE=quick` (the default: every test, of those that go through tables
a share, and of what is large a small piece), `short` (whole tables, and the same examples every time), `ci` (everything
at its size, and many examples) or `long` (for as long as one likes to wait).
"""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import sys
import unittest
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

from bytebufs import COMPILED

collect_ignore: Final = ["imported.py"]
"""No module to look for doctests in: to import it is to import the clients of brokers, with all that they warn of."""

MACHINE_EXAMPLES: Final = {"quick": 10, "short": 50, "ci": 1_000, "long": 200_000}
"""Runs of each state machine, by profile. One run is up to 50 steps (hypothesis' default).

A machine that works on a disk says how much longer that takes: ``TestMachine.on_disk = 20``. It has fewer runs.
"""

MOST_CASES: Final = 4
"""So many of a test's parameters the profile `quick` takes, evenly spread."""

SHIFT: Final = 2 * (sys.version_info.minor - 13) + COMPILED
"""Each Python and each build takes others of them, and always the same."""

# Deadlines are off everywhere: on a busy machine they report the machine. too_slow likewise.
_COMMON: Final = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", _COMMON, max_examples=10, derandomize=True)
settings.register_profile("short", _COMMON, max_examples=50, derandomize=True)
settings.register_profile("ci", _COMMON, max_examples=150)
settings.register_profile("long", _COMMON, max_examples=100_000)

PROFILE: Final = os.environ.get("BYTEBUFS_PROFILE", "quick")
IS_QUICK: Final = PROFILE == "quick"
IS_SHORT: Final = PROFILE in {"quick", "short"}

PLACES: Final = 40 if IS_QUICK else 500
"""So many places at most of an input are cut, where a parser is fed in pieces."""

RANDOM_CUTS: Final = 25 if IS_QUICK else 100
"""So many times it is cut at random besides."""

_SOURCE: Final = Path(__file__).parent.parent / "bytebufs"

# Where Debian keeps what only root has on its path: nginx, tcpdump.
_PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def pytest_configure(config: pytest.Config) -> None:
    if PROFILE not in MACHINE_EXAMPLES:
        raise pytest.UsageError(f"BYTEBUFS_PROFILE={PROFILE}: choose from {', '.join(MACHINE_EXAMPLES)}")
    settings.load_profile(PROFILE)


def pytest_report_header(config: pytest.Config) -> str:
    return (
        f"profile: {PROFILE} ({settings.get_profile(PROFILE).max_examples} examples a property, "
        f"{MACHINE_EXAMPLES[PROFILE]} a state machine)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give every state machine its number of runs, whatever else its settings say; mark doctests of the source."""
    if IS_QUICK:
        _leave_some(config, items)
    for item in items:
        if _SOURCE in item.path.parents:
            item.add_marker(pytest.mark.checkout)
    machines = {item.cls for item in items if isinstance(item, pytest.Function) and item.cls is not None}
    for machine in machines:
        if issubclass(machine, unittest.TestCase) and isinstance(getattr(machine, "settings", None), settings):
            runs = max(MACHINE_EXAMPLES[PROFILE] // getattr(machine, "on_disk", 1), 10)
            machine.settings = settings(machine.settings, max_examples=runs)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Have the garbage collector rest while modules are loaded, since they stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hide all that is loaded from the collector: tests have it look for what they left, and that alone is quick."""
    given(none())(lambda _: None)()  # hypothesis asks the collector who refers to its random numbers, once
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Let the package run at its own speed again, where the test watched its bytecodes."""
    bytecodes = sys.modules.get(f"{__package__}.bytecodes")  # loaded by whoever watches: this file stands by itself
    if bytecodes is not None:
        bytecodes.leave_the_package()


@pytest.fixture
def nothing_hidden() -> Iterator[None]:
    """Show the collector all that is loaded, for tests that ask it who refers to something."""
    gc.unfreeze()
    yield
    gc.collect()  # or what the test has left in cycles stays
    gc.freeze()


def _leave_some(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect most of a long table of parameters."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {
        item.nodeid
        for table in tables.values()
        for item in (table if len(table) <= MOST_CASES else _spread(table, MOST_CASES))
    }
    left_out = [item for item in items if item.nodeid not in kept]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.nodeid in kept]


def _spread(table: list[pytest.Item], number: int) -> list[pytest.Item]:
    return [table[i * len(table) // number + (i + SHIFT) % (len(table) // number)] for i in range(number)]


NOT_YET: Final = {"aiokafka": (3, 15), "confluent_kafka": (3, 15)}
"""Packages that have no wheel yet for this Python and newer ones."""


def do_without(what: str) -> NoReturn:
    """Skip a test for want of something; in CI that is a failure: no test is lost there without a word."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} (under CI=true what a test needs has to be there)", pytrace=False)
    pytest.skip(what, allow_module_level=True)


def needed(package: str) -> Any:
    """Import a package that a test needs. Where it is not installed the test is skipped, and in CI it fails."""
    name = package.partition(".")[0]
    try:
        with warnings.catch_warnings():  # what it does while it is imported is its own affair
            warnings.simplefilter("ignore")
            return importlib.import_module(package)
    except ModuleNotFoundError:
        if sys.version_info >= NOT_YET.get(name, (4,)):
            pytest.skip(f"{name} has no wheel for this Python yet", allow_module_level=True)
        do_without(f"not installed: {name}")


def missing_programs(item: pytest.Item) -> list[str]:
    """Return the programs in the test's `needs` marks that are not installed here."""
    wanted = [program for mark in item.iter_markers("needs") for program in mark.args]
    return [program for program in wanted if shutil.which(program, path=_PATH) is None]


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = missing_programs(item)
    if missing:
        do_without(f"not installed: {', '.join(missing)}")
