"""The benchmarks run, on toy sizes; what they say is kept, shown and drawn. What they measure is no test's matter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

import bytebufs
from benchmarks import _figures, _layouts, _netty, _page, _plots, _sinks, _summary, calls, captures, others, programs
from benchmarks.__main__ import BENCHMARKS, main, run_benchmarks
from benchmarks._harness import (
    OURS,
    TOLD,
    Cell,
    Contender,
    Effort,
    Goal,
    Verdict,
    cost_of,
    measure,
    size_name,
    speed_of,
)
from benchmarks._report import MEASURES, Cost, Outcome, Run, amount, count_goals, show, told
from benchmarks.others import _place
from benchmarks.programs import _program

WAYS_TO_SERVE: Final = {
    "FileRegion", "FileRegion, Outbox", "MappedFile", "stable region", "read 64 KiB, send", "mmap, send",
    "mmap, writev", "sendfile", "sendfile with gather", "socket.sendfile",
}  # fmt: skip

CONTENDERS: Final = {
    "cut": {
        "CompositeBuffer", "tornado _StreamBuffer", "urllib3 BytesQueueBuffer", "h11 ReceiveBuffer",
        "asyncio StreamReader", "bytearray, del", "bytearray, offset", "bytearray, offset and view", "io.BytesIO",
        "list, joined", "deque of bytes",
    },
    "feed": {
        "LengthPrefixed.feed", "bytearray, del", "bytearray, offset", "bytearray, offset and view", "list, joined",
        "asyncio StreamReader",
    },
    "read": {"Reader"},
    "growth": {"10 parts", "100 parts"},
    "hostile": {"256", "2 Ki", "16 Ki"},
    "hostile, kept": {"256", "2 Ki"},
    "find": {"CompositeBuffer.find", "bytes.find"},
    "compare": {"CompositeBuffer", "bytes"},
    "flush": {"flush", "flush, coalescing", "Outbox", "os.writev", "join and write"},
    **dict.fromkeys(("serve", "serve, wall", "serve, calls", "serve, copied"), WAYS_TO_SERVE),
    "memory": {
        "CompositeBuffer", "list and os.writev", "list, joined", "bytearray", "io.BytesIO", "tornado _StreamBuffer",
    },
    "receive": {"frames", "parse", "streams", "protocol"},
    "receive, pinned": {"Inbox", "asyncio StreamReader"},
    "echo": {"frames", "parse", "streams", "protocol", "protocol, joining"},
    "echo, idle": {"frames", "streams", "protocol"},
    "send a file": {"FileRegion", "loop.sendfile"},
    "capture": {"one process", "two workers, ten files"},
    "capture, memory": {"one process"},
    "log, read": {"Kafka's log", "sendfile", "mmap, send", "read 64 KiB, send"},
    "log, append": {"Kafka's log", "os.writev"},
    "log, flush": {"group commit", "sync, one by one", "async"},
    "log, librdkafka": {"produce", "consume"},
    "program": {"bytebufs", "bytearray and struct"},
    "place": {"CompositeBuffer", "their buffer"},
    "call": {"one part", "twin"},
}  # fmt: skip
"""Who takes part in every cell of a measure; in some there are more."""


@cache
def quick_run(name: str) -> Run:
    return run_benchmarks([name], quick=True)


def quick_runs() -> Run:
    """Return a run of everything but what starts processes."""
    runs = [quick_run(name) for name in BENCHMARKS if name not in ("memory", "receiving", "echo", "captures", "logs")]
    return Run(**{**vars(runs[0]), "outcomes": [outcome for run in runs for outcome in run.outcomes]})


# -- every benchmark


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_cell_has_all_contenders(name: str) -> None:
    run = quick_run(name)
    assert len(run.outcomes) == len(BENCHMARKS[name](quick=True))
    for outcome in run.outcomes:
        names = [cost.name for cost in outcome.costs]
        assert len(names) == len(set(names))
        assert set(names) >= CONTENDERS[outcome.measure], outcome.at
        assert {cost.group for cost in outcome.costs} >= {OURS}
        assert outcome.verdicts


@pytest.mark.parametrize("name", BENCHMARKS)
def test_cells_are_told_apart_by_where_they_are(name: str) -> None:
    places = [(outcome.measure, *outcome.at.values()) for outcome in quick_run(name).outcomes]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_results_survive_json(name: str) -> None:
    run = quick_run(name)
    assert Run.from_json(run.to_json()) == run


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_full_size_has_the_grid_of_the_toy_size_or_more(name: str) -> None:
    assert len(BENCHMARKS[name](quick=False)) >= len(BENCHMARKS[name](quick=True))


def test_files_that_are_served_by_reference_are_not_copied() -> None:
    """What is told beside the times is counted, so it can be known beforehand."""
    size = 256 << 10
    outcomes = [outcome for outcome in quick_run("serving").outcomes if outcome.at["size"] == "256 Ki"]
    told = {(o.measure, o.at["receiver"]): {s.name: s.median for s in o.costs} for o in outcomes}
    twice = ["stable region", "read 8 KiB, send", "read 64 KiB, send"]
    once = ["MappedFile", "mmap, send", "mmap, writev"]
    never = ["FileRegion", "FileRegion, Outbox", "sendfile", "sendfile with gather", "socket.sendfile"]
    assert {receiver for _, receiver in told} == set(_sinks.receivers())
    for receiver in _sinks.receivers():
        copied, calls = told["serve, copied", receiver], told["serve, calls", receiver]
        assert copied == {**dict.fromkeys(twice, 2 * size), **dict.fromkeys(once, size), **dict.fromkeys(never, 0)}
        assert calls["sendfile with gather"] == 2
        assert calls["FileRegion"] == 3
        assert calls["read 64 KiB, send"] == 1 + 2 * 4
        assert all(wall > 0 for wall in told["serve, wall", receiver].values())


def test_only_the_receiver_that_is_most_like_a_network_has_goals() -> None:
    judged = [outcome for outcome in quick_run("serving").outcomes if any(v.bound for v in outcome.verdicts)]
    assert {outcome.at["receiver"] for outcome in judged} == {_sinks.receivers()[0]}
    assert {outcome.measure for outcome in judged} == {"serve"}
    assert _sinks.receivers()[-1] == "loopback"


@pytest.mark.parametrize(
    "unshare", [None, "echo unshare failed: Operation not permitted >&2; exit 1"], ids=["not there", "forbidden"]
)
def test_without_the_right_to_steer_there_is_the_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unshare: str | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if unshare is not None:
        (tmp_path / "unshare").write_text(f"#!/bin/sh\n{unshare}\n")
        (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setattr(_sinks, "connection", _sinks.connection.__wrapped__)
    with pytest.raises(OSError, match=r"unshare|no processor of its own"):
        _sinks.connection(_sinks.APART)
    assert _sinks.receivers.__wrapped__() == ["loopback"]


@pytest.mark.parametrize(
    ("processor", "mask"),
    [(0, "1"), (1, "2"), (31, "80000000"), (32, "1,00000000"), (100, "10,00000000,00000000,00000000")],
)
def test_the_mask_of_a_processor_is_written_as_the_system_reads_it(processor: int, mask: str) -> None:
    assert _sinks._steered_to({processor})[-1] == mask


@pytest.mark.parametrize("processors", [set(), {0, 1}])
def test_a_receiver_apart_has_a_processor_of_its_own(processors: set[int]) -> None:
    with pytest.raises(OSError, match="no processor of its own"):
        _sinks._steered_to(processors)


def test_every_measure_has_a_title_and_words() -> None:
    found = {outcome.measure for name in BENCHMARKS for outcome in quick_run(name).outcomes}
    without = set() if find_spec("confluent_kafka") else {"log, librdkafka"}
    assert found == set(MEASURES) - without
    assert set(MEASURES) == set(CONTENDERS)
    assert set(_page._EXPLAINED) == set(MEASURES)


@pytest.mark.skipif(not _netty.is_available(), reason="Java and libnetty-java are for reference only")
def test_netty_takes_part_where_it_is() -> None:
    assert _netty.cut(1460, 64, 64 << 10) > 0
    assert _netty.version()


# -- the calls

SPELT: Final = {
    f"__{name}__"
    for name in (
        "len", "bool", "iter", "reversed", "contains", "getitem", "setitem", "delitem", "eq", "ne", "lt", "le", "gt",
        "ge", "bytes", "int", "float", "hash", "buffer", "copy", "deepcopy", "reduce_ex", "add", "radd", "iadd", "mul",
        "rmul", "enter", "exit", "repr", "array", "array_ufunc",
    )
}  # fmt: skip
"""Methods that are called without their names."""


def public_names() -> set[str]:
    """Return what may be called: the public names, and the methods of the classes where they are defined."""
    names = set()
    for name in bytebufs.__all__:
        thing = getattr(bytebufs, name)
        if isinstance(thing, type) and issubclass(thing, BaseException):
            continue
        names.add(name)
        if isinstance(thing, type) and not issubclass(thing, tuple):
            # A compiled class lists the slots that it inherits as its own.
            inherited = {member for base in thing.__mro__[1:-1] for member in vars(base)}
            spelt = SPELT - inherited
            names |= {f"{name}.{member}" for member in vars(thing) if not member.startswith("_") or member in spelt}
    return names


def defined(name: str) -> str:
    """Return a method's name with the class that defines it."""
    cls, dot, member = name.partition(".")
    if not dot:
        return name
    return next(f"{c.__name__}.{member}" for c in getattr(bytebufs, cls).__mro__ if member in vars(c))


def test_every_public_call_has_a_line_or_a_reason() -> None:
    lines = {defined(line.covers) for line in calls.LINES} | {line.covers for line in calls.LINES}
    assert sorted(public_names() - lines - set(calls.REASONS)) == []
    assert sorted(lines & set(calls.REASONS)) == []


def test_every_reason_is_for_something_that_is_there() -> None:
    for name in calls.REASONS:
        cls, dot, member = name.partition(".")
        assert hasattr(bytebufs, cls), name
        assert not dot or hasattr(getattr(bytebufs, cls), member), name


def test_lines_have_names_of_their_own() -> None:
    names = [line.call for line in calls.LINES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("line", calls.LINES, ids=lambda line: line.call)
def test_a_line_asks_the_same_of_all(line: calls.Line) -> None:
    ways = calls._ways(line)
    assert {len(way.names["parts"]) for way in ways} <= {1, 2}
    if not line.differ:
        calls._check(line, ways)


def test_a_line_that_differs_is_found_out() -> None:
    line = calls.Line("find", 'b.find(b"Host")', 'd.find(b"GET")')
    with pytest.raises(AssertionError, match="find"):
        calls._check(line, calls._ways(line))


# -- the programs


@pytest.mark.parametrize("program", programs.PROGRAMS, ids=lambda program: program.name)
def test_a_program_decodes_the_same_however_its_bytes_are_cut(program: _program.Program) -> None:
    stream = b"".join(program.coming(12))
    whole = program.by_hand.decode([stream])
    assert len(whole) >= 12
    assert all(isinstance(value, (str, int)) for values in whole for value in values)
    for hands in (program.ours, program.by_hand):
        for size in (1, 7, 100, len(stream)):
            assert hands.decode(_layouts.split(stream, size)) == whole


@pytest.mark.parametrize("program", programs.PROGRAMS, ids=lambda program: program.name)
def test_a_program_that_does_something_else_is_found_out(program: _program.Program) -> None:
    wrong = replace(program, by_hand=replace(program.by_hand, decode=lambda chunks: [("nothing",)]))
    with pytest.raises(AssertionError, match=program.name):
        measure(_program.cell(wrong, _program.tasks_of(program)[0], 5), Effort(rounds=1, least=0))


# -- others' parsers


@pytest.mark.parametrize("place", others.PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("chunk", [1, 7, 1460])
@pytest.mark.parametrize("size", [1, 60, 5000])
def test_a_parser_reads_the_same_with_either_buffer(place: _place.Place, chunk: int, size: int) -> None:
    messages = 100 if chunk > 1 else 16  # of which each has a head, too, that comes in such chunks
    check = _place.cell(place, size, chunk, min(messages * size, 6000)).check
    assert check is not None
    check()


def test_a_parser_that_reads_something_else_is_found_out() -> None:
    wrong = replace(others.PLACES[0], theirs=lambda stream, note: note(b"nothing"))
    with pytest.raises(AssertionError, match="h11 reads something else"):
        measure(_place.cell(wrong, 60, 1460, 600), Effort(rounds=1, least=0))


# -- results


def test_results_tell_what_they_were_measured_on() -> None:
    run = quick_run("growth")
    data = json.loads(run.to_json())
    assert list(data) == [
        "schema", "date", "quick", "rounds", "host", "python", "build", "bytebufs", "rivals", "casts", "goals", "kinds",
        "measures",
    ]  # fmt: skip
    assert {"system", "machine", "processor", "processors", "memory", "compiler"} == set(data["host"])
    assert {"aiohttp", "h11", "h2", "redis", "tornado", "urllib3", "websockets"} <= set(data["rivals"])
    assert data["build"] == ("compiled" if bytebufs.COMPILED else "pure")
    assert list(data["measures"]) == ["growth"]


def test_results_have_a_line_for_each_place_and_three_digits() -> None:
    outcome = quick_run("growth").outcomes[0]
    costs = [Cost("10 parts", OURS, 123e5, 2), Cost("100 parts", OURS, 0.0123, 0)]
    run = Run(**{**vars(quick_run("growth")), "outcomes": [Outcome(**{**vars(outcome), "costs": costs})] * 2})
    assert Run.from_json(run.to_json()) == run
    lines = run.to_json().splitlines()
    (first, second) = [line for line in lines if line.startswith("[")]
    assert first.startswith('[0,0,[123e5,0.0123],"20",[')
    assert second == first.removesuffix(",")
    cell = _cell([_costing("mine", 1234567, group=OURS), _costing("its", 0)])
    kept = Outcome.of(cell, *measure(cell, Effort(rounds=1, least=0)))
    assert [(cost.median, cost.minimum) for cost in kept.costs] == [(1.23e6, 1.23e6), (0, 0)]


@pytest.mark.parametrize(("ratio", "kept"), [(1.0004, 1.0), (1.051, 1.05), (1.0503, 1.05), (1.06, 1.06)])
def test_no_goal_is_reached_by_leaving_out_digits(ratio: float, kept: float) -> None:
    cell = _cell([_costing("mine", ratio, group=OURS), _costing("its", 1)], [cost_of("mine", "its", 1.05)])
    (verdict,) = Outcome.of(cell, *measure(cell, Effort(rounds=1, least=0))).verdicts
    assert verdict.reached == (ratio <= 1.05)
    assert verdict.ratio == pytest.approx(kept, abs=0.002)


def test_results_of_another_schema_are_refused() -> None:
    text = quick_run("growth").to_json().replace('"schema": 2', '"schema": 1')
    with pytest.raises(ValueError, match="schema 1, not 2"):
        Run.from_json(text)


def test_the_command_keeps_shows_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["growth", "--quick", "--json", str(tmp_path / "results"), "--plot", str(tmp_path / "plots")])
    (kept,) = (tmp_path / "results").iterdir()
    run = Run.from_json(kept.read_text(encoding="utf-8"))
    assert kept.name == f"{run.name}.json"
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"goals.svg", f"growth-{run.name}.svg"}
    assert "random index" in capsys.readouterr().out
    main(["growth", "--quick", "--json", str(tmp_path / "named.json")])
    assert Run.from_json((tmp_path / "named.json").read_text(encoding="utf-8")).quick


def test_measures_that_are_not_taken_again_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    main(["growth", "--quick", "--json", str(path)])
    grown = Run.from_json(path.read_text(encoding="utf-8")).of("growth")
    main(["reading", "--quick", "--json", str(path)])
    both = Run.from_json(path.read_text(encoding="utf-8"))
    assert {outcome.measure for outcome in both.outcomes} == {"growth", "read"}
    assert both.of("growth") == grown
    main(["growth", "--quick", "--json", str(path)])
    again = Run.from_json(path.read_text(encoding="utf-8"))
    assert len(again.outcomes) == len(both.outcomes)
    assert again.beside(Run(**{**vars(both), "quick": False})) == again


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["framing", "speed"])
    assert "no benchmark is called speed" in capsys.readouterr().err


def test_tables_name_every_measure_and_count_the_goals() -> None:
    run = quick_runs()
    out = StringIO()
    show(run, Console(file=out, width=250))
    told = {outcome.measure for outcome in run.outcomes}
    assert [title for key, title in MEASURES.items() if (title in out.getvalue()) != (key in told)] == []
    assert len(told) > len(MEASURES) / 2
    reached, goals = count_goals(run.outcomes)
    assert f"{reached} of {goals} goals reached" in out.getvalue()


# -- the page


def _links(text: str) -> set[str]:
    """Return where the links and pictures of a page lead to, within the documentation."""
    return {found.partition("#")[0] for found in re.findall(r"\]\(([^)\s]+)\)", text)} - {""}


@pytest.mark.checkout
def test_the_pages_are_written_from_kept_results(tmp_path: Path) -> None:
    results, docs = tmp_path / "results", tmp_path / "docs"
    results.mkdir()
    docs.mkdir()
    for build, run in (("compiled", quick_run("growth")), ("pure", quick_runs())):
        (results / f"{build}.json").write_text(Run(**{**vars(run), "build": build}).to_json(), encoding="utf-8")
    folder = docs / "performance"
    folder.mkdir()
    for stale in ("stale.md", "stale.svg"):
        (folder / stale).touch()
    _page.main(["--results", str(results), "--docs", str(docs)])
    _figures.plot(_page.kept(results), folder)
    measuring = (folder / "measuring.md").read_text(encoding="utf-8")
    assert measuring.index("Before you believe") < measuring.index("## The runs")
    assert "Left out, and why" in measuring
    grids = set(_summary.PAGES) - {"memory", "receiving", "servers", "captures", "logs"}
    assert {path.stem for path in folder.glob("*.md")} == {"measuring", "ways", *grids}
    for name in grids:
        text = (folder / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {_summary.TITLES[name]}\n")
        assert {"Compiled", "Pure"} & set(re.findall(r"^##+ (.*)$", text, re.MULTILINE))
        for key in _summary.PAGES[name] if len(_summary.PAGES[name]) > 1 else ():
            assert f"\n## {MEASURES[key]}\n" in text
    calls_page = (folder / "calls.md").read_text(encoding="utf-8")
    assert "\n| `b.__len__` | " in calls_page  # not b.len, in bold
    assert "\n| a slice of 50 | " in calls_page.replace("\xa0", " ")
    led_to = {(page.parent / link).resolve() for page in docs.rglob("*.md") for link in _links(page.read_text("utf-8"))}
    assert led_to == {path.resolve() for path in docs.rglob("*.*")}
    assert len(list(folder.glob("*.svg"))) == 1 + 1 + 4  # all goals, and of each build what it has


def test_every_measure_has_a_place_on_one_page() -> None:
    assert sorted(measure for measures in _summary.PAGES.values() for measure in measures) == sorted(MEASURES)
    assert set(_summary.TITLES) == set(_summary.PAGES)


def test_runs_of_any_python_have_a_column_the_newest_last(tmp_path: Path) -> None:
    for number, build in (("3.9.1", "compiled"), ("3.14.0", "compiled"), ("3.13.0", "pure"), ("3.13.0", "compiled")):
        run = Run(**{**vars(quick_run("growth")), "python": number, "build": build})
        (tmp_path / f"{run.name}.json").write_text(run.to_json(), encoding="utf-8")
    runs = _page.kept(tmp_path)
    assert [run.name for run in runs] == ["3.9-compiled", "3.13-compiled", "3.13-pure", "3.14-compiled"]
    _page.write(runs, tmp_path)
    page = (tmp_path / "performance" / "growth.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| operation \| (.*) \|$", page, re.MULTILINE) == [
        "3.9-compiled | 3.13-compiled | 3.14-compiled",
        "3.13-pure",
    ]
    assert [run.name for run in _figures.drawn("growth", runs)] == ["3.14-compiled", "3.13-pure"]
    assert "on Python 3.14.0" in (tmp_path / "performance.md").read_text(encoding="utf-8")


def test_a_page_shows_what_was_lost_and_what_was_won(tmp_path: Path) -> None:
    outcome = quick_run("growth").outcomes[0]
    verdicts = [
        Verdict("speed", "at least", 2, "a rival", 1.5),
        Verdict("speed", "at least", 2, "a rival", 2.5),
        Verdict("cost", "at most", None, "a rival", 3),
        Verdict("bytes", "at most", 1024, "bytes", 2048, unit="bytes"),
    ]
    run = Run(**{**vars(quick_run("growth")), "outcomes": [Outcome(**{**vars(outcome), "verdicts": verdicts})]})
    _page.write([run], tmp_path)
    page = (tmp_path / "performance" / "growth.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| append \| (.*) \|$", page, re.MULTILINE)
    facts = row.split(" ")
    assert facts[1:] == "**1.5_✗**_(≥_2)_· 2.5_✓_· 3_· **2_KiB_✗**_(≤_1_KiB)".replace("_", "\xa0").split(" ")


# -- the summary


def _priced(measure: str, at: dict[str, str], costs: dict[str, float], unit: str = "ns") -> Outcome:
    """Return what would come out if the first of these were ours, and the others by other means."""
    ours = next(iter(costs))
    kept = [Cost(name, OURS if name == ours else "rival", cost, 0) for name, cost in costs.items()]
    return Outcome(measure, at, "thing", unit, kept, [])


def _told(outcomes: Sequence[Outcome], *more: Run) -> str:
    run = Run(**{**vars(quick_run("growth")), "build": "compiled", "outcomes": outcomes})
    return _summary.summary([run, *more])


READ: Final = {"number": "u32", "memory": "bytes", "layout": "1 part"}
TYPED: Final = {"program": "MQTT", "task": "decode, a message a chunk"}


@pytest.mark.parametrize(
    ("theirs", "title", "row", "counts"),
    [
        (220, "What is fast", "2.2 | 100 ns | struct 220 ns", "2.2 | 1 | 0 | 0"),
        (109, "What makes little difference", "1.09 | 100 ns | struct 109 ns", "1.09 | 0 | 1 | 0"),
        (92, "What makes little difference", "0.92 | 100 ns | struct 92 ns", "0.92 | 0 | 1 | 0"),
        (50, "What costs more", "2 | 100 ns | struct 50 ns", "0.50 | 0 | 0 | 1"),
    ],
)
def test_the_summary_sorts_by_what_was_measured(theirs: float, title: str, row: str, counts: str) -> None:
    page = _told([_priced("read", READ, {"Reader": 100, "struct": theirs, "slow": 999})]).replace("\xa0", " ")
    titles = {"What is fast", "What makes little difference", "What costs more"}
    assert titles & set(re.findall(r"^## (.*)$", page, re.MULTILINE)) == {title}
    assert f"| read a u32 | {row} |\n" in page
    assert f"](performance/reading.md) | {counts} |\n" in page


def test_the_best_other_is_the_cheapest_that_is_written_in_python() -> None:
    outcome = _priced("read", READ, {"Reader": 100, "loop": 300, "struct": 200})
    netty = Cost("CompositeByteBuf", "netty", 1, 0)
    with_netty = replace(outcome, costs=[*outcome.costs, netty])
    best = _summary.best_other(with_netty)
    assert best is not None
    assert best.name == "struct"
    assert _summary.gain(with_netty) == 2
    assert _summary.gain(replace(outcome, costs=outcome.costs[:1])) is None
    assert _summary.gain(replace(outcome, unit="bytes")) is None


def test_the_summary_warns_of_what_costs_more_and_of_nothing_else() -> None:
    served = {"receiver": "apart", "size": "4 Ki"}
    file = {"call": "BufferFile.read"}
    dear = [
        _priced("program", TYPED, {"bytebufs": 300, "by hand": 200}),
        _priced("call", file, {"one part": 300, "twin": 20}),
        _priced("serve", served, {"FileRegion": 3000, "read 64 KiB, send": 2000}),
    ]
    pure = Run(
        **{**vars(quick_run("growth")), "build": "pure", "outcomes": [_priced("call", file, {"one part": 1500})]}
    )
    page = _told(dear, pure)
    assert "a message costs 1.50 times as much" in " ".join(page.split())
    assert "costs 300 ns, of an `io.BytesIO` 20 ns" in " ".join(page.split())
    assert "costs 3 µs as a `FileRegion`, and 2 µs" in " ".join(page.split())
    assert "for 5 times the cost in the median" in " ".join(page.split())
    assert "| MQTT | 300 ns · 1.50 |" in " ".join(page.split())
    cheap = [
        replace(o, costs=[replace(cost, median=cost.median if cost.group == OURS else 9e9) for cost in o.costs])
        for o in dear
    ]
    page = _told(cheap)
    for words in ("For small messages", "As a file, for speed", "For small files", "Where nothing can be compiled"):
        assert words not in page
    assert "## When not to use it" in page


def test_the_summary_tells_what_does_not_grow() -> None:
    peaks: dict[str, float] = {"CompositeBuffer": 1 << 30, "list, joined": 2 << 30}
    whole = _priced("memory", {"task": "reassemble and flush", "payload": "1 Gi"}, peaks, "bytes")
    page = _told([whole, _priced("read", READ, {"Reader": 1, "struct": 9})])
    assert "send it takes 1 GiB at its peak. A list that is joined takes 2 GiB." in " ".join(page.split())


def test_a_summary_without_a_compiled_run_is_of_the_last() -> None:
    runs = [Run(**{**vars(quick_run("growth")), "build": "pure", "python": python}) for python in ("3.11.1", "3.12.1")]
    assert "of the pure build on Python 3.12.1" in _summary.summary(runs)


def test_the_plots_are_drawn_where_the_documentation_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "a.json").write_text(quick_run("growth").to_json(), encoding="utf-8")
    monkeypatch.setattr(_page, "RESULTS", results)
    monkeypatch.setattr(_page, "ROOT", tmp_path)
    _plots.on_startup(command="build", dirty=False)
    drawn = {path.name for path in (tmp_path / "docs" / "performance").iterdir()}
    assert drawn == {"goals.svg", f"growth-{quick_run('growth').name}.svg"}


def test_the_page_wants_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _page.main(["--results", str(tmp_path), "--docs", str(tmp_path)])
    assert "there are no results" in capsys.readouterr().err


# -- the harness


def _costing(name: str, *costs: float, group: str = "rival", log: list[str] | None = None) -> Contender:
    """Return a contender that tells these costs, one a round."""
    coming = iter(costs)

    def action() -> float:
        if log is not None:
            log.append(name)
        return next(coming)

    return Contender(name, group, lambda: action, TOLD)


def _cell(contenders: Sequence[Contender], goals: Sequence[Goal] = (), check: Callable[[], None] | None = None) -> Cell:
    return Cell("cut", {"size": "1"}, "run", 1, contenders, goals, check=check)


def test_contenders_take_turns_and_each_begins_once() -> None:
    log: list[str] = []
    contenders = [_costing(name, 1, 2, 3, log=log) for name in "abc"]
    samples, _ = measure(_cell(contenders), Effort(rounds=3, least=0))
    assert "".join(log) == "abcbcacab"
    assert [(sample.median, sample.minimum) for sample in samples] == [(2, 1)] * 3


def test_goals_are_held_against_medians_and_the_best_rival() -> None:
    contenders = [
        _costing("mine", 10, 1, 4, group=OURS),
        _costing("slow", 20, 20, 20),
        _costing("good", 8, 8, 1),
    ]
    goals = [speed_of("mine", "rival", 2), speed_of("mine", "rival", 2.1), cost_of("mine", "slow", None)]
    _, verdicts = measure(_cell(contenders, goals), Effort(rounds=3, least=0))
    assert [(v.ratio, v.against, v.reached) for v in verdicts] == [
        (2, "good", True),
        (2, "good", False),
        (0.2, "slow", None),
    ]


def test_contenders_that_disagree_are_found_out() -> None:
    contenders = [Contender(str(answer), OURS, lambda answer=answer: lambda: answer) for answer in (1, 2)]  # type: ignore[misc]
    with pytest.raises(AssertionError, match="disagree"):
        measure(_cell(contenders), Effort(rounds=1, least=0))


def test_a_check_comes_first() -> None:
    def check() -> None:
        raise AssertionError("other frames")

    with pytest.raises(AssertionError, match="other frames"):
        measure(_cell([_costing("mine")], check=check), Effort(rounds=1, least=0))


def test_an_action_is_repeated_until_the_round_is_long_enough() -> None:
    calls: list[None] = []
    prepared: list[int] = []

    def prepare() -> Callable[[], object]:
        prepared.append(len(calls))
        return lambda: calls.append(None)

    often = Contender("often", OURS, prepare)
    (sample,), _ = measure(_cell([often]), Effort(rounds=2, least=1e5))
    assert sample.repeats > 1
    assert len(calls) == 2 + 2 * sample.repeats
    assert len(prepared) == 2 + 2
    calls.clear()
    prepared.clear()
    (sample,), _ = measure(_cell([Contender("once", OURS, prepare, once=True)]), Effort(rounds=2, least=1e5))
    assert len(prepared) == len(calls) == 2 + 2 * sample.repeats


def test_an_action_of_more_weight_is_charged_less() -> None:
    contenders = [
        Contender(name, OURS, lambda: lambda: 12.0, TOLD, weight=weight) for name, weight in (("one", 1), ("three", 3))
    ]
    samples, _ = measure(_cell(contenders), Effort(rounds=1, least=0))
    assert [sample.median for sample in samples] == [12, 4]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(12.345, "ns", "12.3 ns"), (1234, "ns", "1.23 µs"), (5e6, "ns", "5 ms"), (0, "bytes", "0 bytes"),
     (12345, "calls", "12,345 calls"), (1 << 30, "bytes", "1 GiB"), (1023 << 10, "bytes", "1023 KiB"),
     (200, "bytes", "200 bytes")],
)  # fmt: skip
def test_numbers_have_three_digits_and_a_unit(value: float, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_sizes_are_named_as_people_do() -> None:
    assert [size_name(n) for n in (64, 1460, 4096, 1 << 20, 3 << 30)] == ["64", "1460", "4 Ki", "1 Mi", "3 Gi"]


def test_a_ratio_stands_beside_its_goal() -> None:
    assert told(Verdict("speed", "at least", 2, "x", 1.234)) == "1.23 ≥ 2 ✗"
    assert told(Verdict("cost", "at most", None, "x", 1.234)) == "1.23 ·"
    assert told(Verdict("bytes", "at most", 2048, "x", 1024, unit="bytes")) == "1 KiB ≤ 2 KiB ✓"


KEPT: Final = Path(__file__).parent.parent / "benchmarks" / "results"


@pytest.mark.checkout
def test_what_is_published_is_what_was_measured(tmp_path: Path) -> None:
    """The page and the README's numbers are those of the results that are kept, and nobody has edited them."""
    runs = _page.kept(KEPT)
    assert sum(path.stat().st_size for path in KEPT.iterdir()) <= 200_000
    assert {run.build for run in runs} == {"compiled", "pure"}
    assert not any(run.quick for run in runs)
    _page.write(runs, tmp_path)
    docs = KEPT.parent.parent / "docs"
    written = {path.relative_to(tmp_path): path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.md")}
    published = [docs / "performance.md", *(docs / "performance").glob("*.md")]
    assert {path.relative_to(docs): path.read_text(encoding="utf-8") for path in published} == written
    readme = (KEPT.parent.parent / "README.md").read_text(encoding="utf-8")
    assert readme == _summary.set_headlines(readme, _summary.headlines(runs))


@pytest.mark.checkout
def test_every_place_that_is_told_of_was_measured() -> None:
    run = _summary._shown(_page.kept(KEPT))
    for place in _summary._PLACES:
        (outcome,) = [outcome for outcome in run.of(place.measure) if dict(outcome.at) == place.at]
        assert not place.ours or place.ours in [cost.name for cost in outcome.costs if cost.group == OURS]


def test_the_headlines_are_of_what_was_measured() -> None:
    run = Run(**{**vars(quick_runs()), "build": "compiled"})
    text = _summary.headlines([run])
    assert "| put a length before 90 bytes |" in text
    without = Run(**{**vars(run), "outcomes": [outcome for outcome in run.outcomes if outcome.measure != "call"]})
    assert "put a length" not in _summary.headlines([without])


def test_numbers_without_a_place_are_refused() -> None:
    with pytest.raises(ValueError, match="no place for what was measured"):
        _summary.set_headlines("# bytebufs\n", "fast\n")


@pytest.mark.checkout
@pytest.mark.needs("tshark")
def test_the_cost_of_captures_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    captures.main(["--mib", "1", "--connections", "30"])
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title.endswith(" bytes, 30 connections")
    assert [line[:28].strip() for line in lines] == [
        "one process",
        "one process, ten files",
        "two workers, ten files",
        "one process, JSON",
        "one process, exporting",
        "tshark, listing",
        "tshark, exporting",
    ]
