"""docs/security.md: each limit has the default that the page says, none is left out, and costs are those measured."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import bytebufs
from benchmarks import _page
from benchmarks._report import Run, amount
from benchmarks._summary import table
from bytebufs import COMPILED, aio

PAGE: Final = Path(__file__).parent.parent / "docs" / "security.md"
RESULTS: Final = Path(__file__).parent.parent / "benchmarks" / "results"

UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
GIVEN: Final = "to be given"

BOUNDING: Final = {"limit", "high", "block", "max_bytes", "coalesce_below", "connections", "backlog", "close_timeout"}
"""Parameters of that name bound something, wherever they stand."""
ELSEWHERE: Final = {
    "LimitExceeded(limit)": "tells which limit it was",
    "Framer(limit)": "is not made directly",
    "Reader(limit)": "is made by parse() and reader(): parse's limit",
    "flush(coalesce_below)": "bounds parts that one has oneself",
    "aio.Stream(limit)": "is made by a server, or open_connection",
    "aio.Stream(high)": "is made by a server, or open_connection",
    "aio.Stream(close_timeout)": "is made by a server, or open_connection",
    "aio.Stream.messages(limit)": "that of the stream, if none is given",
    "aio.Stream.parse(limit)": "that of the stream, if none is given",
    "aio.Stream.take_until(limit)": "that of the stream, if none is given",
    **{f"aio.start_unix_server({name})": "as of start_server" for name in BOUNDING},
    **{f"aio.open_unix_connection({name})": "as of open_connection" for name in BOUNDING},
}
"""What bounds something, and has no row of its own; why."""


def rows() -> dict[str, str]:
    """Return what the page says of each limit."""
    text = PAGE.read_text(encoding="utf-8").partition("## Every limit")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    assert len(found) == len(dict(found)), "a limit has two rows"
    return dict(found)


def told(default: str) -> object:
    if default == GIVEN:
        return inspect.Parameter.empty
    number, unit = default.split()
    return int(number) * UNITS.get(unit, 1)


def in_source(where: str) -> object:
    """Return the default of a parameter, `Class.method(name)`, or the value of what stands in an example."""
    if where.startswith("examples."):
        module, _, name = where.rpartition(".")
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:
            module, _, cls = module.rpartition(".")
            return getattr(getattr(importlib.import_module(module), cls), name)
    path, _, parameter = where.removesuffix(")").partition("(")
    thing: object = bytebufs
    for name in path.split("."):
        thing = getattr(thing, name)
    assert callable(thing)
    return inspect.signature(thing).parameters[parameter].default


def public() -> Iterator[tuple[str, object]]:
    for prefix, module in (("", bytebufs), ("aio.", aio)):
        for name in module.__all__:
            thing = getattr(module, name)
            yield prefix + name, thing
            if inspect.isclass(thing):
                for member, method in vars(thing).items():
                    if not member.startswith("_"):
                        yield f"{prefix}{name}.{member}", method


@pytest.mark.checkout
@pytest.mark.skipif(COMPILED, reason="compiled functions do not tell their defaults, and have those of the source")
def test_limits_are_those_of_the_source() -> None:
    said = rows()
    assert len(said) > 30
    assert {where: in_source(where) for where in said} == {where: told(default) for where, default in said.items()}


@pytest.mark.skipif(COMPILED, reason="compiled functions do not tell their parameters")
def test_no_limit_is_left_out() -> None:
    found = set()
    for name, thing in public():
        if inspect.isroutine(thing) or inspect.isclass(thing):
            try:
                parameters = set(inspect.signature(thing).parameters)
            except ValueError:  # an exception without a constructor of its own
                continue
            found |= {f"{name}({parameter})" for parameter in parameters & BOUNDING}
    assert sorted(found - set(rows()) - set(ELSEWHERE)) == []


@pytest.mark.parametrize(("default", "value"), [("64 KiB", 65536), ("1 MiB", 1 << 20), ("10 s", 10), ("0 bytes", 0)])
def test_numbers_are_read_with_their_units(default: str, value: int) -> None:
    assert told(default) == value


def most(run: Run, measure: str, taker: str) -> tuple[float, str]:
    """Return the largest number of a taker's, and of which stream."""
    found = [outcome for outcome in run.of(measure) if outcome.at["taken by"] == taker]
    return max((max(cost.median for cost in outcome.costs), outcome.at["stream"]) for outcome in found)


def costs(run: Run) -> list[str]:
    """Return the table: for each who takes streams, the dearest byte, and the most that was kept."""
    lines = []
    for taker in dict.fromkeys(outcome.at["taken by"] for outcome in run.of("hostile")):
        time, slow = most(run, "hostile", taker)
        size, large = most(run, "hostile, kept", taker)
        lines.append([f"`{taker}`", f"{amount(time, 'ns')}: {slow}", f"{amount(size, 'bytes')}: {large}"])
    return list(table(["taken by", "time a byte", "kept"], lines))


@pytest.mark.checkout
def test_costs_are_those_that_were_measured() -> None:
    run = [run for run in _page.kept(RESULTS) if run.build == "compiled" and run.of("hostile")][-1]
    text = PAGE.read_text(encoding="utf-8")
    published = text.partition("<!-- costs -->\n")[2].partition("<!-- /costs -->")[0]
    assert published.strip() == "\n".join(costs(run)).strip()
