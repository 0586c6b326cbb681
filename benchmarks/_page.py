"""Write docs/performance.md from the results that are kept: ``python -m benchmarks._page``. And draw its plots.

The page is committed, for readers of the source; the plots are drawn when the documentation is built (``_plots``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._harness import OURS, Verdict
from ._report import MEASURES, Outcome, Run, amount, count_goals, mark

__all__ = ["PLOTS", "RESULTS", "ROOT", "headlines", "kept", "main", "plot", "set_headlines", "write"]

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
PLOTS: Final = "performance"
"""The folder of the plots, beside the page."""

_INTRODUCTION: Final = """\
# Performance

<!-- Written by `python -m benchmarks._page` from benchmarks/results/. Do not edit. -->

What the library costs, against what one would write instead. Before you believe any of it:

- These are small benchmarks: one thing done over and over, with warm caches. Your program does other things too, and
  only measuring that tells you what a buffer is worth to it.
- Only the ratios within one run mean something, and only on a machine like that one. Times of two runs do not compare.
- What is measured is the processor time of the process, system calls included, in the median of the rounds (the
  minimum stands beside it). Contenders take turns, round by round, in one process. The garbage collector is off.
- A slice of this library refers to the bytes that came in; most rivals hand out a copy. That is what zero copy is for,
  and why large frames look so good. It also keeps what came in alive for as long as the slice: see `compact()`.
- A goal is what was set before it was measured. One that was missed stands here as it is: ✗, with the goal behind it.
  A dot means that no goal was set for that place.

Run it yourself; what was measured in the runs below, the median of every contender and the minimum to a
percent of it, is in `benchmarks/results/`.

```console
$ make bench                                # both builds, all of it, and this page: up to 20 minutes
$ python -m benchmarks framing search       # some of it
$ python -m benchmarks --quick              # toy sizes, to see that everything runs: the numbers mean nothing
```

## Who takes part

Each is written as somebody who knows it well would write it, and hands on what its users get.

- *Buffers*, which somebody else wrote and which offer "append" and "take": tornado's `_StreamBuffer`, urllib3's
  `BytesQueueBuffer`, h11's `ReceiveBuffer`, asyncio's `StreamReader` (without a loop, which would only add to it).
- *Loops*, written out around what the language has: a `bytearray` with slice and `del`, or with an offset and a rare
  `del`, or with views of it; `io.BytesIO`; a list of chunks that are joined; a `deque` of bytes.
- `struct.unpack_from`, `bytes.find` and `bytes ==` on bytes that lie flat in memory already.
- `os.writev`, `socket.sendall`, and joining first; `os.sendfile`, `socket.sendfile`, reading and mapping for files.
- `bytes`, `bytearray` and `struct`, call by call; whole programs that are written with them; and the parsers of h11,
  websockets, tornado, aiohttp, urllib3, redis-py and h2 with the buffers that they have.
- Netty's `CompositeByteBuf`, where Java is, for reference: what the same design does in a language that is compiled.

Left out, and why:

- aiohttp's `StreamReader` is a deque with an offset, as urllib3's buffer is, behind the futures of asyncio's.
- The readers of websockets and anyio are a `bytearray` with `del`, as h11's and asyncio's are.
- Twisted's length-prefixed receivers join chunks and slice out of them: the loop over joined bytes.
- `io.BufferedReader` pulls from a file; here the bytes are pushed, as an event loop does.
- numpy has no append that does not copy everything: it would be the join.
- construct, kaitai, protobuf and the like decode what lies in one piece: they come after a buffer, not in place of one.
"""

_LINES: Final = cycler(linestyle=["-", "--", ":"]) * cycler(
    color=["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#999999"]
)
"""Eighteen lines that can be told apart."""

_EXPLAINED: Final = {
    "cut": """\
Chunks are appended, frames are taken while there are enough bytes. Goals: the best buffer, the best loop.""",
    "feed": """\
`LengthPrefixed.feed` against loops that do the same by hand; each reads a number in every frame that it gets. Goals:
the best loop over a bytearray, the best over joined bytes.""",
    "read": """\
`Reader` over 256 KiB, in one part or in parts of 16 KiB with numbers across the seams. The rival is
`struct.unpack_from`, or for a varint a loop written out in place, on flat bytes. The ratio is of costs: less is
better.""",
    "growth": """\
The cost of one operation (of freezing, by part). The first number is of 10 parts; the ratio is by how much the cost
grows at most from fewer parts to more. For a random index it is held against the growth of a plain `bisect` over a
list, for freezing against that of copying two plain lists: those run out of cache, too.""",
    "find": """\
The needle stands at the very end, or nowhere. The rival has bytes that were joined before.""",
    "compare": """\
Two messages of the same content that share no memory. The rival has bytes that were joined before.""",
    "flush": """\
All of a message, to a TCP connection within the machine (to a receiver *apart*, where there is one: see below, where
files are served) or to a file in memory. Goals: the cost of `os.writev` in batches that were made before; where
`coalesce_below=2048` joins small parts, that of `b"".join` and one write; and for an Outbox, into which the message is
put and which sends it in turns of 2 MiB, that of `flush`. The ratios are of costs: less is better.""",
    "serve": """\
A header of 200 bytes and a file, to a TCP connection within the machine. The file is open and in memory; who maps, maps
for each serving. The receiver has a processor of its own, as a client has. On a loopback the receiver's half of TCP is
done by the sender all the same, on the sender's time. So there are two kinds of receiver: *apart*, where all that comes
in is worked on by the receiver's processor (RPS, on a loopback of its own), the sender's acknowledgements, alas, too;
and *loopback*, as it is. The one charges the sender for less than a network would, the other for much more. Goals, for
the first of them that there is: the cost of reading 64 KiB at a time, and that of a loop over `os.sendfile` behind a
header that was sent with `MSG_MORE`; and for show what an Outbox adds, which sends 2 MiB a turn.

What no goal says: by `sendfile` the receiver copies pages that no cache has seen lately, so that *in time* it may lose
against reading or mapping. Over a network card that fetches the bytes itself that is not so. And up to 64 KiB nearly
all of the cost is that of the calls: there a bare loop over `os.sendfile` misses the first goal, too (see below).""",
    "serve, wall": """\
The time that passed in the rounds above, waiting for the receiver included.""",
    "serve, calls": """\
The calls that Python made for one serving. Ours asks whether the file is whole (`fstat`) before its length is sent.""",
    "serve, copied": """\
Bytes of the file that were read into the process, and bytes that the system copied out of it: twice the file by
reading, once by a map, none by `sendfile`.""",
    "memory": """\
The peak of resident memory, above what the process had. All of it comes in by 64 KiB, and is sent to a socket. Goals:
the peak against the payload, and the bytes that sending alone needs.""",
    "program": """\
Six protocols, each spoken twice: with this library as its documentation teaches it, and by hand with a bytearray,
offsets and `struct`. All values are used as str or int, answers are sent through a socket. Goals: the cost against the
program by hand.

Most places are missed, by a fifth in the median. What the profile shows: to decode, a call into the library for each
value (30 to 60 ns, of which the value itself is a quarter) where the program by hand indexes a bytearray; to send,
some 500 ns of `flush` beside a system call of 950, for finding out what the sink is, what it may take and whether
somebody counts copies, and 50 ns for each piece that is packed. What was tried: no table, no exception and no view
where one part will do, readers that keep what they have at hand, one bytes object for a header, one entry for a small
message. What would be needed: several values in one call (`unpack` does that where a protocol lets it), and a sink
that is asked once.""",
    "place": """\
The parser is the one that each project ships; only what holds the bytes that came in is exchanged, for one that does
the same by this library's public calls. It hands out bytes, copied, where theirs does: a message that is wanted in one
piece of its own is what is measured, not zero copy. Goal: the cost with their own buffer, and for the median of all
places 0.9 times that.

What is missed is missed where little more is done than to hand out bytes: redis-py reads a line and a string for each
answer and goes back to a place in between, for which its own buffer, a BytesIO, moves a number; ours makes a Reader
anew whenever something is let go of. h2 wants a memoryview of nine bytes first, and a frame in two parts is copied
twice.""",
    "call": """\
Each public call on a message of 90 bytes, in one part and in two with the seam in the middle of what is asked for,
beside the same by bytes, bytearray or struct, which has flat bytes in both. In their names `b` is a slice, `c` a
composite and `r` a reader; the code of both stands in `benchmarks/calls.py`, and so does why some have no line. Goals:
the cost against that twin, in one part and in two. A slice may cost 60 ns above what its twin costs, for that it copies
nothing; what no twin does (to wait, to take in memory of others, to audit) has a goal in time.

What is missed most: `BufferFile`, which is interpreted beside a file object of C; what changes or rewrites several
parts (`consolidate`, `write_at`), pickles and deep copies, for each of which objects are made that a twin has
already; framers that look for separators in a payload of several parts before they promise that it comes back; and
searches that cross a seam, which begin a search that can be gone on with. `CompositeBuffer()` makes four objects
where `bytearray()` makes one. Of a `parse` that waits, half is the exception on its way through the parser, which
Python raises, catches and frees.""",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._page", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", metavar="DIR")
    options = parser.parse_args(arguments)
    runs = kept(options.results)
    if not runs:
        parser.error(f"there are no results in {options.results}: run python -m benchmarks --json {options.results}")
    write(runs, options.docs)
    readme = options.docs.parent / "README.md"
    if readme.exists() and any(run.build == "compiled" for run in runs):
        readme.write_text(set_headlines(readme.read_text(encoding="utf-8"), headlines(runs)), encoding="utf-8")


def kept(results: Path) -> list[Run]:
    """Return the runs whose results are kept in a folder."""
    return [Run.from_json(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]


def write(runs: Sequence[Run], docs: Path) -> None:
    """Write the page of some runs into a folder of documents."""
    text = "\n".join([_INTRODUCTION, *_overview(runs), *(line for m in MEASURES for line in _section(m, runs))])
    (docs / "performance.md").write_text(text, encoding="utf-8")


_MARKS: Final = ("<!-- measured: `make bench` writes this -->\n", "<!-- end of measured -->\n")

_HEADLINES: Final[Sequence[tuple[str, Mapping[str, str], str]]] = (
    ("cut", {"chunk": "64 Ki", "frame": "4 Ki"}, "take a frame of 4 KiB out of chunks of 64 KiB"),
    ("feed", {"chunk": "16 Ki", "frame": "256"}, "the next length-prefixed frame of 256 bytes, a u32 read in it"),
    ("read", {"number": "u32", "memory": "bytes", "layout": "1 part"}, "read a u32"),
    ("find", {"memory": "bytes", "part": "64 Ki", "needle": "CRLF"}, "find across parts of 64 KiB, a MiB"),
    ("flush", {"sink": "file", "total": "1 Mi", "part": "4 Ki"}, "write a part of 4 KiB to a file"),
    ("call", {"call": "c.parse"}, "parse a message of 72 bytes behind its length"),
    ("call", {"call": "LengthPrefixed.encode"}, "put a length before 90 bytes"),
    ("program", {"program": "MQTT", "task": "decode, a message a chunk"}, "decode an MQTT packet that comes alone"),
    (
        "program",
        {"program": "PostgreSQL", "task": "answer, 16 KiB a chunk"},
        "answer a PostgreSQL query, many at a time",
    ),
)


_SAID: Final = {"twin": "by hand", "bytearray and struct": "by hand"}


def headlines(runs: Sequence[Run]) -> str:
    """Return the few numbers that a reader wants first: of the last compiled run, with the rivals' names."""
    run = [run for run in runs if run.build == "compiled"][-1]
    lines = [
        f"What it costs, compiled, on Python {run.python} ({run.host['processor']}; medians of processor time):",
        "",
    ]
    rows = []
    for measure, at, text in _HEADLINES:
        outcome = next((o for o in _outcomes(run, measure) if dict(o.at) == at), None)
        if outcome is None:  # not of this run
            continue
        costs = {sample.name: sample.median for sample in outcome.costs if sample.group != OURS}
        ours = amount(outcome.ours.median, outcome.unit)
        rivals = dict.fromkeys(verdict.against for verdict in outcome.verdicts if verdict.against in costs)
        theirs = ", ".join(f"{_SAID.get(name, name)} {amount(costs[name], outcome.unit)}" for name in rivals)
        rows.append([text, ours, theirs])
    lines.extend(_rows(["", "bytebufs", "the best others"], rows))
    lines.append("`make bench` reproduces it; the [whole grid](docs/performance.md) has the lost places, too.")
    return "\n".join(lines) + "\n"


def set_headlines(readme: str, text: str) -> str:
    """Return a README with the numbers between its marks replaced."""
    begin, end = _MARKS
    before, _, rest = readme.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no place for what was measured: {begin!r} and {end!r} are wanted")
    return before + begin + text + end + after


# -- text ----------------------------------------------------------------------------------------------------


def _overview(runs: Sequence[Run]) -> Iterator[str]:
    yield "## The runs"
    yield ""
    yield from _rows(["", *(run.name for run in runs)], [[name, *cells] for name, cells in _facts(runs).items()])
    yield "Goals reached, of those that were set:"
    yield ""
    measures = [
        [title, *(_score(run, measure) for run in runs)]
        for measure, title in MEASURES.items()
        if any(_outcomes(run, measure) for run in runs)
    ]
    yield from _rows(["", *(run.name for run in runs)], measures)
    yield f"![How far each place is from its goal]({PLOTS}/goals.svg)"
    yield ""


def _facts(runs: Sequence[Run]) -> dict[str, list[str]]:
    return {
        "Date": [run.date for run in runs],
        "Python": [f"{run.python}, {run.host['compiler']}" for run in runs],
        "bytebufs": [f"{run.bytebufs}, {run.build}" for run in runs],
        "Rivals": [", ".join(f"{name} {number}" for name, number in run.rivals.items()) for run in runs],
        "Rounds": [f"{run.rounds}{', toy sizes: means nothing' if run.quick else ''}" for run in runs],
        "Processor": [f"{run.host['processors']} × {run.host['processor']}, {run.host['machine']}" for run in runs],
        "Memory": [run.host["memory"] for run in runs],
        "System": [run.host["system"] for run in runs],
    }


def _score(run: Run, measure: str) -> str:
    reached, goals = count_goals(_outcomes(run, measure))
    return f"{reached} of {goals}" if goals else "·"


def _outcomes(run: Run, measure: str) -> list[Outcome]:
    return [outcome for outcome in run.outcomes if outcome.measure == measure]


def _section(measure: str, runs: Sequence[Run]) -> Iterator[str]:
    """Yield a measure's table: a row for each place, a column for each run."""
    by_place = [{tuple(o.at.values()): o for o in _outcomes(run, measure)} for run in runs]
    places = dict.fromkeys(place for outcomes in by_place for place in outcomes)
    if not places:
        return
    example = next(outcome for outcomes in by_place for outcome in outcomes.values())
    yield f"## {MEASURES[measure]}"
    yield ""
    yield _EXPLAINED[measure]
    yield f"In each field: our median (minimum) for a {example.per}, then the ratio for each goal."
    yield ""
    rows = [[*place, *(_field(outcomes.get(place)) for outcomes in by_place)] for place in places]
    yield from _rows([*example.at, *(run.name for run in runs)], rows)
    if measure == "serve":
        yield from _servings(runs)
    if measure == "place":
        yield f"The median of all places: {', '.join(_middle(run, measure) for run in runs)}."
        yield ""
    for run in runs if measure in _DRAWN else ():
        if _outcomes(run, measure):
            yield f"![{MEASURES[measure]}, {run.name}]({PLOTS}/{measure}-{run.name}.svg)"
            yield ""


def _middle(run: Run, measure: str) -> str:
    """Return the median of a measure's ratios in a run."""
    ratios = [verdict.ratio for outcome in _outcomes(run, measure) for verdict in outcome.verdicts]
    return f"{run.name} {median(ratios):.3g}" if ratios else f"{run.name} –"


def _servings(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a table for each run and receiver: all that is known of each way to serve a file."""
    measures = [measure for measure in MEASURES if measure.startswith("serve")]
    for run in runs:
        for receiver in dict.fromkeys(outcome.at["receiver"] for outcome in _outcomes(run, measures[0])):
            by_measure = [[o for o in _outcomes(run, measure) if o.at["receiver"] == receiver] for measure in measures]
            names = dict.fromkeys(sample.name for outcome in by_measure[0] for sample in outcome.costs)
            yield (
                f"All of them, {run.name}, receiver: {receiver}. "
                "Processor time · time that passed · system calls · bytes copied."
            )
            yield ""
            rows = [[name, *(_serving(name, place) for place in zip(*by_measure, strict=True))] for name in names]
            yield from _rows(["", *(outcome.at["size"] for outcome in by_measure[0])], rows)


def _serving(name: str, place: Sequence[Outcome]) -> str:
    costs = [(s.median, outcome.unit) for outcome in place for s in outcome.costs if s.name == name]
    return " · ".join(amount(cost, unit) for cost, unit in costs)


def _field(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    ours = outcome.ours
    middle, least = (amount(cost, outcome.unit) for cost in (ours.median, ours.minimum))
    return " · ".join([f"{middle} ({least})", *map(_ratio, outcome.verdicts)])


def _ratio(verdict: Verdict) -> str:
    text = f"{_number(verdict, verdict.ratio)} {mark(verdict)}"
    if verdict.reached is False and verdict.bound is not None:
        sign = "≥" if verdict.sense == "at least" else "≤"
        return f"**{text}** ({sign} {_number(verdict, verdict.bound)})"
    return text


def _number(verdict: Verdict, value: float) -> str:
    return amount(value, verdict.unit) if verdict.unit else f"{value:.3g}"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


# -- plots ---------------------------------------------------------------------------------------------------


def plot(runs: Sequence[Run], folder: Path) -> None:
    """Draw every plot into a folder as SVG, and remove those that were there."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.svg"):
        stale.unlink()
    # The same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "bytebufs", "svg.fonttype": "none", "font.size": 8, "axes.grid": True}):
        _save(_goals_figure(runs), folder / "goals.svg")
        for run in runs:
            for measure, draw in _DRAWN.items():
                outcomes = _outcomes(run, measure)
                if outcomes:
                    _save(draw(run, outcomes), folder / f"{measure}-{run.name}.svg")


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})


def _lines_figure(panel: Sequence[str], x: str, run: Run, outcomes: Sequence[Outcome]) -> Figure:
    """Draw what each contender costs against ours along one axis of the grid; a panel for each place on the others."""
    panels: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        panels.setdefault(", ".join(f"{key} {outcome.at[key]}" for key in panel), []).append(outcome)
    figure, all_axes = _grid(len(panels))
    for axes, (title, places) in zip(all_axes, panels.items(), strict=False):
        axes.set_prop_cycle(_LINES)
        for name in dict.fromkeys(sample.name for outcome in places for sample in outcome.costs):
            points = [(o.at[x], s.median / o.ours.median) for o in places for s in o.costs if s.name == name]
            labels, costs = [label for label, _ in points], [cost for _, cost in points]
            axes.plot(labels, costs, label=name, linewidth=2.5 if name == places[0].ours.name else 1)
        axes.set(title=title, xlabel=x, ylabel="times our cost", yscale="log")
    return _titled(figure, all_axes[0], f"{MEASURES[outcomes[0].measure]}: {run.name}; above 1 costs more than ours")


def _growth_figure(run: Run, outcomes: Sequence[Outcome]) -> Figure:
    figure, (axes,) = _grid(1)
    for outcome in outcomes:
        ours = [sample for sample in outcome.costs if sample.group == OURS]
        costs = [sample.median for sample in ours]
        axes.plot([sample.name for sample in ours], costs, marker=".", label=outcome.at["operation"])
    axes.set(ylabel="nanoseconds", yscale="log")
    return _titled(figure, axes, f"{MEASURES['growth']}: {run.name}; flat is good")


_DRAWN: Final[dict[str, Callable[[Run, Sequence[Outcome]], Figure]]] = {
    "cut": partial(_lines_figure, ["chunk"], "frame"),
    "feed": partial(_lines_figure, ["chunk"], "frame"),
    "flush": partial(_lines_figure, ["sink", "total"], "part"),
    "growth": _growth_figure,
}
"""The measures that have a plot for each run."""


def _goals_figure(runs: Sequence[Run]) -> Figure:
    """Draw for every place how far it is from its goal: to the right of 1 it was reached."""
    figure, (axes,) = _grid(1)
    measures = list(MEASURES)
    for k, run in enumerate(runs):
        points = [
            (margin, measures.index(outcome.measure) + 0.7 * (k + 0.5) / len(runs) - 0.35)
            for outcome in run.outcomes
            for margin in map(_margin, outcome.verdicts)
            if margin is not None
        ]
        margins, rows = [margin for margin, _ in points], [row for _, row in points]
        axes.scatter(margins, rows, s=6, alpha=0.6, label=run.name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(
        xscale="log", xlabel="how many times better than the goal", yticks=range(len(measures)), yticklabels=measures
    )
    axes.invert_yaxis()
    return _titled(figure, axes, "Goals: reached to the right of the line")


def _margin(verdict: Verdict) -> float | None:
    if verdict.bound is None:
        return None
    least = 1e-9  # an amount may be 0
    return verdict.ratio / verdict.bound if verdict.sense == "at least" else verdict.bound / max(verdict.ratio, least)


def _grid(panels: int) -> tuple[Figure, list[Axes]]:
    columns = min(panels, 2)
    rows = -(-panels // columns)
    figure = Figure(figsize=(8, 4 if panels == 1 else 2.6 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _titled(figure: Figure, axes: Axes, title: str) -> Figure:
    figure.suptitle(title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure


if __name__ == "__main__":
    main()
