"""A plugin for pytest that runs the tests of one module against its mutants, each in a process forked for it.

All is imported and collected once, and each child only exchanges the code of the mutated function. First one child runs
all tests and notes which lines of the module each of them reaches. A mutant then meets the tests that reach its
statement, the quickest first, until one fails.

A mutant that runs for ever is ended by a limit of CPU time (several times what the test took), by one of time (for
what waits for ever), and one that grows, by a limit of memory.
"""

from __future__ import annotations

import ast
import faulthandler
import gc
import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate, zip_longest
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NoReturn

import pytest

from .making import Mutant

MEMORY: Final = 2 << 30
"""Bytes of address space that a child may take beyond what it begins with. The widest test takes some hundred MiB."""

CPU_FACTOR: Final = 6
"""So many times its own CPU time a test may take, and half a second to one and a half: the limit is in whole ones."""

PATIENCE: Final = 20.0
"""Seconds that a child may wait. It computes, if only a little, as long as it does not, however busy the machine is."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")

_TOOL: Final = 3  # of sys.monitoring; `tests.bytecodes` has 4, and the others have names


class Outcome(IntEnum):
    """What became of a mutant, and the exit status that says so."""

    SURVIVED = 0
    KILLED = 77
    TIMED_OUT = 78
    NOT_MADE = 79


@dataclass
class Reach:
    """What one test needs: CPU seconds, and lines of the module that it runs; None for any of them."""

    seconds: float
    lines: set[int] | None


@dataclass
class Result:
    """What became of one mutant."""

    mutant: Mutant
    outcome: Outcome
    tests: int
    seconds: float


@dataclass
class Runner:
    """The plugin. ``report`` is called with each result. A mutant meets ``seconds`` of tests, or little more."""

    module: str
    path: Path
    source: str
    mutants: Sequence[Mutant]
    seconds: float
    report: Callable[[Result], None]
    reached: dict[str, Reach] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    _functions: list[FunctionType] = field(default_factory=list)
    _items: dict[str, pytest.Item] = field(default_factory=dict)
    _code: CodeType = field(init=False)
    _tree: ast.Module = field(init=False)

    def __post_init__(self) -> None:
        self._code = compile(self.source, str(self.path), "exec", dont_inherit=True)
        self._tree = ast.parse(self.source)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Have hypothesis stop at the first example that fails: nobody looks for a smaller one."""
        from hypothesis import Phase, settings  # pytest wants to be there first

        settings.register_profile("mutants", settings(), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._functions = [
            found
            for found in gc.get_objects()
            if isinstance(found, FunctionType) and found.__code__.co_filename == str(self.path)
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        self._items = {item.nodeid: item for item in session.items}
        self.reached, self.failed = self._reach()
        if not self.failed:
            for mutant in self.mutants:
                self.report(self._judge(mutant))
        return True

    # -- what each test reaches

    def _reach(self) -> tuple[dict[str, Reach], list[str]]:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            _be_a_child()
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(self._watched(), stream)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            found: tuple[dict[str, Reach], list[str]] = pickle.load(stream)
        os.waitpid(child, 0)
        return found

    def _watched(self) -> tuple[dict[str, Reach], list[str]]:
        """Run all tests; return what each of them reaches and takes, and which ones failed.

        One that fails when it is watched, but not otherwise, counts as reaching all.
        """
        monitoring = vars(sys)["monitoring"]
        codes = {code for function in self._functions for code in _within(function.__code__)}
        codes |= _within(self._code)
        lines: set[int] = set()

        def note(code: CodeType, line: int) -> object:
            lines.add(line)
            return monitoring.DISABLE

        monitoring.use_tool_id(_TOOL, "mutants")
        monitoring.register_callback(_TOOL, monitoring.events.LINE, note)
        for code in codes:
            monitoring.set_local_events(_TOOL, code, monitoring.events.LINE)
        reached = {}
        again = []
        for item, later in _pairs(list(self._items.values())):
            lines.clear()
            monitoring.restart_events()
            began = time.process_time()
            if _passes(item, later):
                reached[item.nodeid] = Reach(time.process_time() - began, set(lines))
            else:
                again.append(item)
        monitoring.free_tool_id(_TOOL)
        failed = []
        for item, later in _pairs(again):
            began = time.process_time()
            if not _passes(item, later):
                failed.append(item.nodeid)
            reached[item.nodeid] = Reach(time.process_time() - began, None)
        return reached, failed

    # -- one mutant

    def _judge(self, mutant: Mutant) -> Result:
        tests = self._tests_of(mutant)
        if not tests:
            at_import = mutant.function.removesuffix(".__init__") in _called(self._tree.body)
            return Result(mutant, Outcome.NOT_MADE if at_import else Outcome.SURVIVED, 0, 0.0)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _be_a_child()
            self._be_the_mutant(mutant, tests)
        outcome = _wait(child)
        return Result(mutant, outcome, len(tests), time.monotonic() - began)

    def _tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a mutant's statement, or else all that reach its function, the quickest first."""
        for lines in _around(self._tree, mutant.lines):
            if any(reach.lines and reach.lines & lines for reach in self.reached.values()):
                found = [test for test, reach in self.reached.items() if reach.lines is None or reach.lines & lines]
                found.sort(key=lambda test: self.reached[test].seconds)
                sums = accumulate((self.reached[test].seconds for test in found), initial=0.0)
                return [test for test, spent in zip(found, sums, strict=False) if spent < self.seconds]
        return []

    def _be_the_mutant(self, mutant: Mutant, tests: list[str]) -> NoReturn:
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
        status = Outcome.NOT_MADE
        try:
            _exchange(self._functions, self._code, mutant, sys.modules[self.module])
            status = Outcome.SURVIVED
            for item, later in _pairs([self._items[test] for test in tests]):
                _limit_cpu(self.reached[item.nodeid].seconds)
                if not _passes(item, later):
                    status = Outcome.KILLED
                    break
        except BaseException:  # noqa: BLE001  # what a test has raised to end pytest
            if status == Outcome.SURVIVED:
                status = Outcome.KILLED
        os._exit(status)


def _be_a_child() -> None:
    os.setpgid(0, 0)
    faulthandler.disable()  # crashes are to be expected
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)


def _limit_cpu(usual: float) -> None:
    seconds = int(time.process_time() + CPU_FACTOR * usual + 1.5)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _wait(child: int) -> Outcome:
    """Wait for a child, end what it may have left running, and say what became of the mutant."""
    descriptor = os.pidfd_open(child)
    ended = False
    spent, since = -1, time.monotonic()
    while not ended and time.monotonic() - since < PATIENCE:
        ended = bool(select.select([descriptor], [], [], 1.0)[0])
        now = _ticks_of(child)
        if now > spent:
            spent, since = now, time.monotonic()
    os.close(descriptor)
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone, or not yet in a group of its own
        pass
    _, status = os.waitpid(child, 0)
    if not ended or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return Outcome.TIMED_OUT
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) in set(Outcome):
        return Outcome(os.WEXITSTATUS(status))
    return Outcome.KILLED  # it crashed


def _ticks_of(child: int) -> int:
    """Return how long a process has computed, in ticks of the clock."""
    status = Path(f"/proc/{child}/stat").read_text(encoding="ascii", errors="replace")
    user, system = status.rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def _passes(item: pytest.Item, later: pytest.Item | None) -> bool:
    reports: list[pytest.TestReport] = []

    class Listener:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            reports.append(report)

    listener = Listener()
    item.config.pluginmanager.register(listener)
    item.ihook.pytest_runtest_protocol(item=item, nextitem=later)
    item.config.pluginmanager.unregister(listener)
    return not any(report.failed for report in reports)


def _pairs(items: list[pytest.Item]) -> Iterator[tuple[pytest.Item, pytest.Item | None]]:
    return zip_longest(items, items[1:])


# -- lines


def _around(tree: ast.Module, lines: tuple[int, int]) -> Iterator[set[int]]:
    """Yield the lines of the statement that holds these, without its body, and those of the function."""
    holding = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and node.lineno <= lines[0] and lines[1] <= (node.end_lineno or 0)
    ]
    if not holding:
        return
    innermost = max(holding, key=lambda node: (node.lineno, -(node.end_lineno or 0)))
    body = getattr(innermost, "body", None)
    last = max(innermost.lineno, body[0].lineno - 1) if body else innermost.end_lineno
    yield {*range(innermost.lineno, (last or 0) + 1), *range(lines[0], lines[1] + 1)}
    for node in holding:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield set(range(node.lineno, (node.end_lineno or 0) + 1))


def _called(body: list[ast.stmt]) -> set[str]:
    """Return the names of functions that are called when a module is imported."""
    statements = [node for node in body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    calls = [node.func for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}


# -- exchanging code


def _exchange(functions: Iterable[FunctionType], code: CodeType, mutant: Mutant, module: ModuleType) -> None:
    """Have the mutated function's code in the functions that are there, and its defaults if they are mutated."""
    source = mutant.source()
    mutated = compile(source, code.co_filename, "exec", dont_inherit=True)
    exchanged = 0
    for old, new in zip(_outermost(code), _outermost(mutated), strict=True):
        if old != new:
            inner = {code.co_qualname: code for code in _within(new)}
            for function in functions:
                if function.__code__ in _within(old):
                    function.__code__ = inner[function.__code__.co_qualname]
                    exchanged += 1
    if not exchanged:
        exchanged = _exchange_defaults(functions, mutant, ast.parse(source), module)
    if not exchanged:
        raise LookupError(f"no function to exchange: {mutant}")


def _exchange_defaults(functions: Iterable[FunctionType], mutant: Mutant, tree: ast.Module, module: ModuleType) -> int:
    exchanged = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.lineno <= mutant.lines[0] < node.body[0].lineno:
            for function in functions:
                if function.__code__.co_firstlineno == min([node.lineno, *(d.lineno for d in node.decorator_list)]):
                    function.__defaults__ = tuple(_value(default, module) for default in node.args.defaults)
                    function.__kwdefaults__ = {
                        argument.arg: _value(default, module)
                        for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                        if default is not None
                    }
                    exchanged += 1
    return exchanged


def _value(default: ast.expr, module: ModuleType) -> Any:
    return eval(ast.unparse(default), module.__dict__)


def _outermost(code: CodeType) -> list[CodeType]:
    """Return the code of each function that is in no other one, in the order of the source."""
    found: list[CodeType] = []
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & 0x02:  # CO_NEWLOCALS: a function, not the body of a class
                found.append(inner)
            else:
                found += _outermost(inner)
    return found


def _within(code: CodeType) -> set[CodeType]:
    return {code}.union(*(_within(inner) for inner in code.co_consts if isinstance(inner, CodeType)))
