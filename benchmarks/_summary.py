"""What comes of the results: docs/performance.md, and the few numbers of README.

What is fast and what is not is sorted by what was measured, so the page stays true when the results change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from textwrap import fill, wrap
from typing import Final, NamedTuple

from ._harness import OURS
from ._report import MEASURES, Cost, Outcome, Run, amount

__all__ = [
    "EVEN",
    "NOTE",
    "PAGES",
    "TITLES",
    "WAYS",
    "best_other",
    "gain",
    "headlines",
    "label",
    "set_headlines",
    "summary",
    "table",
    "whole",
]

NOTE: Final = "<!-- Written by `python -m benchmarks._page` from benchmarks/results/. Do not edit. -->"

PAGES: Final[Mapping[str, Sequence[str]]] = {
    "framing": ["cut", "feed"],
    "reading": ["read"],
    "growth": ["growth"],
    "hostile": ["hostile", "hostile, kept"],
    "finding": ["find"],
    "comparing": ["compare"],
    "sending": ["flush"],
    "serving": ["serve", "serve, wall", "serve, calls", "serve, copied"],
    "memory": ["memory"],
    "receiving": ["receive", "receive, pinned"],
    "servers": ["echo", "echo, idle", "send a file"],
    "captures": ["capture", "capture, memory"],
    "logs": ["log, read", "log, append", "log, flush", "log, librdkafka"],
    "programs": ["program"],
    "parsers": ["place"],
    "calls": ["call"],
}
"""The pages of grids, and the measures on each."""

TITLES: Final[Mapping[str, str]] = {
    **{name: MEASURES[measures[0]] for name, measures in PAGES.items()},
    "framing": "Cut a stream into frames",
    "hostile": "What hostile streams cost",
    "serving": "Serve a file",
    "captures": "Put the HTTP of a capture together",
    "logs": "Logs of Kafka's and RocketMQ's kind",
    "receiving": "Receive on asyncio and uvloop",
    "servers": "Servers on asyncio and uvloop",
}

WAYS: Final = "All ways to serve a file"

EVEN: Final = 1.1
"""Who is faster by less than this is not called faster: two runs differ by some percent."""

_FOR_REFERENCE: Final = "netty"  # it does the same in another language


class _Place(NamedTuple):
    """A place of a grid, in words, and which of our ways is meant, where it is not the first."""

    measure: str
    at: Mapping[str, str]
    text: str
    ours: str = ""
    other: str = ""  # what the other is, where its name would not say


_PLACES: Final[Sequence[_Place]] = (
    _Place("cut", {"chunk": "64 Ki", "frame": "1 Mi"}, "take a frame of 1 MiB out of chunks of 64 KiB"),
    _Place("cut", {"chunk": "64 Ki", "frame": "4 Ki"}, "take a frame of 4 KiB out of chunks of 64 KiB"),
    _Place("cut", {"chunk": "1460", "frame": "64 Ki"}, "take a frame of 64 KiB out of chunks of 1460 bytes"),
    _Place("cut", {"chunk": "1460", "frame": "256"}, "take a frame of 256 bytes out of chunks of 1460 bytes"),
    _Place("feed", {"chunk": "64 Ki", "frame": "64 Ki"}, "the next length-prefixed frame of 64 KiB"),
    _Place("feed", {"chunk": "16 Ki", "frame": "256"}, "the next length-prefixed frame of 256 bytes"),
    _Place("read", {"number": "u32", "memory": "bytes", "layout": "1 part"}, "read a u32"),
    _Place("read", {"number": "u64", "memory": "bytes", "layout": "1 part"}, "read a u64"),
    _Place("read", {"number": "varint", "memory": "bytes", "layout": "16 Ki parts"}, "read a varint"),
    _Place(
        "find", {"memory": "bytes", "part": "64 Ki", "needle": "CRLF"}, "find CR LF in parts of 64 KiB, a MiB of them"
    ),
    _Place(
        "find",
        {"memory": "bytes", "part": "1460", "needle": "absent"},
        "find in parts of 1460 bytes what is not there, a MiB of them",
    ),
    _Place(
        "compare",
        {"memory": "bytes", "part": "1460", "layout": "shifted by half a part", "how": "=="},
        "compare two messages that are cut differently, a MiB in parts of 1460 bytes",
    ),
    _Place("flush", {"sink": "file", "total": "64 Mi", "part": "4 Ki"}, "write a part of 4 KiB to a file"),
    _Place(
        "flush",
        {"sink": "socket", "total": "1 Mi", "part": "64"},
        "send a part of 64 bytes, joined with others (`coalesce_below`)",
        "flush, coalescing",
    ),
    _Place("flush", {"sink": "socket", "total": "1 Mi", "part": "64"}, "send a part of 64 bytes as a part"),
    _Place("serve", {"receiver": "apart", "size": "4 Ki"}, "serve a file of 4 KiB"),
    _Place("serve", {"receiver": "apart", "size": "64 Mi"}, "serve a file of 64 MiB"),
    _Place(
        "place",
        {"parser": "websockets", "message": "256 Ki", "chunk": "16 Ki"},
        "a WebSocket message of 256 KiB, in the parser of websockets",
    ),
    _Place(
        "place",
        {"parser": "h11", "message": "60", "chunk": "1460"},
        "an HTTP message of 60 bytes, in the parser of h11",
    ),
    _Place(
        "place",
        {"parser": "redis-py", "message": "60", "chunk": "1460"},
        "an answer of 60 bytes, in the parser of redis-py",
    ),
    _Place(
        "program", {"program": "DNS over TCP", "task": "decode, 16 KiB a chunk"}, "decode a DNS message, many at a time"
    ),
    _Place(
        "program", {"program": "MQTT", "task": "decode, a message a chunk"}, "decode an MQTT packet that comes alone"
    ),
    _Place(
        "program",
        {"program": "PostgreSQL", "task": "encode and send, each alone"},
        "pack and send a small PostgreSQL message",
    ),
    _Place("call", {"call": "c.parse"}, "`parse` a message of 72 bytes behind its length"),
    _Place("call", {"call": "LengthPrefixed.encode"}, "put a length before 90 bytes"),
    _Place("call", {"call": "CompositeBuffer()"}, "make an empty `CompositeBuffer`", other="bytearray()"),
    _Place("call", {"call": "b.__reduce_ex__"}, "pickle a slice of 90 bytes", other="bytes"),
    _Place("call", {"call": "BufferFile.read"}, "`BufferFile.read`, on 90 bytes", other="io.BytesIO"),
)
"""What is told in words, out of the grids: of each the good and the bad."""


def best_other(outcome: Outcome) -> Cost | None:
    """Return the cheapest of those who do the same by other means, if there are any."""
    others = [cost for cost in outcome.costs if cost.group not in (OURS, _FOR_REFERENCE)]
    return min(others, key=lambda cost: cost.median, default=None)


def gain(outcome: Outcome, name: str = "") -> float | None:
    """Return how many times as fast we are as the best other; None where nobody compares."""
    other, ours = best_other(outcome), _ours(outcome, name)
    return None if other is None or outcome.unit != "ns" else other.median / ours.median


def _ours(outcome: Outcome, name: str) -> Cost:
    return next((cost for cost in outcome.costs if cost.name == name), outcome.ours)


def summary(runs: Sequence[Run]) -> str:
    """Return the page that says what is fast, what is not, and when not to use the library."""
    run = _shown(runs)
    return "\n".join([*_opening(run), *_told(run), *_warnings(run, runs), *_contents(runs)])


def _shown(runs: Sequence[Run]) -> Run:
    """Return the run that is told of: of those of most measures the compiled one of the newest Python."""
    counts = {id(run): len({outcome.measure for outcome in run.outcomes}) for run in runs}
    whole = [run for run in runs if counts[id(run)] == max(counts.values())]
    return ([run for run in whole if run.build == "compiled"] or whole)[-1]


def _at(run: Run, measure: str, at: Mapping[str, str]) -> Outcome | None:
    return next((outcome for outcome in run.of(measure) if dict(outcome.at) == at), None)


# -- the page ------------------------------------------------------------------------------------------------


def _opening(run: Run) -> Iterator[str]:
    yield f"""\
# Performance

{NOTE}

What is fast, what is not, and when not to use the library.

**What is saved is copies, and what is paid for is calls.** A slice refers to the bytes that came in, however many they
are; but each value that is asked for is a call into the library, however small it is. So the library wins where a call
is about many bytes, and loses where it is about few.

The numbers are of the {run.build} build on Python {run.python} ({run.host["processor"]}): medians of processor time.
*The best other* is the cheapest of all who do the same by other means: buffers of other projects, loops written by
hand, or a call of `bytes`, `struct` or `os` on bytes that lie in one piece already, whose joining is not counted.
These are small benchmarks on one machine, where only ratios mean something. What else to know before you believe them
stands in [how it was measured](performance/measuring.md).
"""
    rows = []
    for name, measures in PAGES.items():
        for measure in measures:
            gains = [g for outcome in run.of(measure) if (g := gain(outcome)) is not None]
            if gains and measure in _COMPARED:
                counts = [sum(kind == _kind(g) for g in gains) for kind in _KINDS]
                page = f"[{label(MEASURES[measure])}](performance/{name}.md)"
                rows.append([page, _times(median(gains)), *map(str, counts)])
    if rows:
        yield (
            "How many times as fast as the best other we are, in the median of all places of a grid; and in how many\n"
            "of them we are faster, as fast within a tenth, or slower:"
        )
        yield ""
        yield from table(["", "median", *_KINDS], rows)


_COMPARED: Final = frozenset({
    "cut", "feed", "read", "find", "compare", "flush", "serve", "receive", "echo", "send a file", "capture",
    "log, read", "log, append", "program",
    "place", "call",
})  # fmt: skip
"""The measures in which others do the same, in processor time."""

_KINDS: Final = ("faster", "even", "slower")


def _kind(gained: float) -> str:
    return "faster" if gained >= EVEN else "even" if gained > 1 / EVEN else "slower"


_HEADS: Final = {
    "faster": ("What is fast", "times as fast"),
    "even": ("What makes little difference", "times as fast"),
    "slower": ("What costs more", "times the cost"),
}


def _told(run: Run) -> Iterator[str]:
    """Yield a table for each kind of place, the most extreme first."""
    told = []
    for place in _PLACES:
        outcome = _at(run, place.measure, place.at)
        gained = None if outcome is None else gain(outcome, place.ours)
        if outcome is not None and gained is not None:
            told.append((gained, place, outcome))
    for kind in _KINDS:
        some = [(gained, place, outcome) for gained, place, outcome in told if _kind(gained) == kind]
        if some:
            title, unit = _HEADS[kind]
            yield f"## {title}"
            yield ""
            some.sort(key=lambda one: one[0], reverse=kind != "slower")
            rows = [_row(place, outcome, 1 / gained if kind == "slower" else gained) for gained, place, outcome in some]
            yield from table(["", unit, "bytebufs", "the best other"], rows)
        bounds = list(map(_item, _bounds(run))) if kind == "faster" else []
        if bounds:
            yield "\n".join(["And what does not grow:", "", *bounds, ""])


def _row(place: _Place, outcome: Outcome, ratio: float) -> list[str]:
    ours, other = _ours(outcome, place.ours), best_other(outcome)
    assert other is not None  # for there is a ratio
    costs = [whole(amount(cost.median, outcome.unit)) for cost in (ours, other)]
    return [label(place.text), _times(ratio), costs[0], f"{whole(place.other or _said(other.name))} {costs[1]}"]


def _bounds(run: Run) -> Iterator[str]:
    """Yield what does not grow: memory, and costs when parts become many."""
    whole = _at(run, "memory", {"task": "reassemble and flush", "payload": "1 Gi"})
    if whole is not None:
        costs = {cost.name: amount(cost.median, whole.unit) for cost in whole.costs}
        yield (
            "**[Memory](performance/memory.md).** To put a message of 1 GiB together and send it takes "
            f"{costs[whole.ours.name]} at its peak. A list that is joined takes {costs['list, joined']}."
        )
    ratios = [
        verdict.ratio for outcome in run.of("growth") for verdict in outcome.verdicts if verdict.bound is not None
    ]
    if ratios:
        yield (
            "**[Many parts](performance/growth.md).** From 10 parts to 1 000 000 no operation comes to cost more than "
            f"{_times(max(ratios))} times as much, beyond what the processor's caches do to any list."
        )


def _warnings(run: Run, runs: Sequence[Run]) -> Iterator[str]:
    yield "## When not to use it"
    yield ""
    yield from map(_item, _reasons(run, runs))
    yield ""
    yield from _programs(run)


def _reasons(run: Run, runs: Sequence[Run]) -> Iterator[str]:
    """Yield why one would not use it, each with its number; what the results do not show is not said."""
    small = [g for outcome in run.of("program") if (g := gain(outcome)) is not None]
    if small and median(small) < 1:
        yield (
            "**For small messages of which you want every value**, if that is all that your program does. Six "
            "protocols, whose messages have 60 to 200 bytes, were written twice, by the library and by hand around a "
            f"`bytearray`: by the library a message costs {_times(1 / median(small))} times as much in the median "
            "([all of them](#six-protocols-by-the-library-and-by-hand)). What that pays for: everything has a limit, "
            "and nothing depends on how the bytes were cut."
        )
    ratios = _pure_against_compiled(run, runs)
    if ratios:
        yield (
            "**Where nothing can be compiled**, if speed is what you came for. The pure build does the same for "
            f"{_times(median(ratios))} times the cost in the median, and for up to {_times(max(ratios))} times."
        )
    yield (
        "**For bytes that lie in one piece, and are looked at once.** `bytes`, `memoryview`, `struct` and `re` take "
        "them as they are, and mostly cost less a call."
    )
    yield (
        '**If all of it is wanted in one piece in the end**, and nothing before. `b"".join` of a list is one copy; out '
        "of a buffer it is one, too."
    )
    file = _against(run, "call", {"call": "BufferFile.read"}, "twin")
    if file:
        yield (
            "**As a file, for speed.** `BufferFile` is there for what takes nothing but files. A small `read` of one "
            f"costs {file[0]}, of an `io.BytesIO` {file[1]}."
        )
    served = _against(run, "serve", {"receiver": "apart", "size": "4 Ki"}, "read 64 KiB, send")
    if served:
        yield (
            f"**For small files that do not change.** To send one of 4 KiB costs {served[0]} as a `FileRegion`, and "
            f"{served[1]} if it is read and sent. Better still, keep its bytes."
        )
    yield (
        "**To keep small pieces for long.** A slice of 20 bytes keeps alive the chunk of 64 KiB that it came in. "
        "`compact()` gives it memory of its own; `pinned_nbytes` tells how much is kept."
    )


def _against(run: Run, measure: str, at: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Return what something costs here and there, if it was measured and costs more here."""
    outcome = _at(run, measure, at)
    other = None if outcome is None else next((cost for cost in outcome.costs if cost.name == name), None)
    if outcome is None or other is None or outcome.ours.median <= other.median:
        return None
    return amount(outcome.ours.median, outcome.unit), amount(other.median, outcome.unit)


_OF_THE_SYSTEM: Final = frozenset({"flush", "serve", "serve, wall"})
"""Measures where most of the cost is the system's, which has no builds."""


def _pure_against_compiled(run: Run, runs: Sequence[Run]) -> list[float]:
    """Return how many times the pure build of the same Python costs what the compiled one does, where both were run."""
    pure = [other for other in runs if other.build == "pure" and other.python == run.python]
    if run.build == "pure" or not pure:
        return []
    costs = {(o.measure, *o.at.values()): o.ours.median for o in pure[-1].outcomes}
    places = {(o.measure, *o.at.values()): o.ours.median for o in run.outcomes if o.unit == "ns"}
    return [costs[place] / cost for place, cost in places.items() if place in costs and place[0] not in _OF_THE_SYSTEM]


def _item(text: str) -> str:
    return fill(text, 120, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _programs(run: Run) -> Iterator[str]:
    outcomes = {(o.at["program"], o.at["task"]): o for o in run.of("program")}
    if not outcomes:
        return
    tasks = dict.fromkeys(task for _, task in outcomes)
    yield "### Six protocols, by the library and by hand"
    yield ""
    yield "What a message costs by the library, and how many times that is what it costs by hand: below 1 is cheaper."
    yield ""
    rows = [
        [whole(program), *(_cost(outcomes.get((program, task))) for task in tasks)]
        for program in dict.fromkeys(program for program, _ in outcomes)
    ]
    yield from table(["", *tasks], rows)


def _cost(outcome: Outcome | None) -> str:
    gained = None if outcome is None else gain(outcome)
    return "" if outcome is None or gained is None else whole(f"{amount(outcome.ours.median, 'ns')} · {1 / gained:.2f}")


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.2g}"


def _contents(runs: Sequence[Run]) -> Iterator[str]:
    yield "## All that was measured"
    yield ""
    for name, measures in PAGES.items():
        if any(run.of(measure) for run in runs for measure in measures):
            more = "; [all ways to do so](performance/ways.md)" if name == "serving" else ""
            yield f"- [{TITLES[name]}](performance/{name}.md){more}"
    yield "- [How it was measured](performance/measuring.md): who takes part, on what, which goals were reached"
    yield ""
    yield "`make bench` measures all of it anew and writes these pages, in about an hour."
    yield ""


def whole(text: str) -> str:
    """Return text that no line ends in: what a narrow table shows is read as one."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def label(text: str) -> str:
    """Return text whose lines are not shorter than need be, however narrow its column would be made."""
    return " ".join(map(whole, wrap(text, 26, break_long_words=False, break_on_hyphens=False)))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, and an empty one."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


# -- README --------------------------------------------------------------------------------------------------


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


def _said(name: str) -> str:
    return {"twin": "by hand", "bytearray and struct": "by hand"}.get(name, name)


def headlines(runs: Sequence[Run]) -> str:
    """Return the few numbers that a reader wants first: of the newest compiled run, with the rivals' names."""
    run = _shown(runs)
    lines = [
        f"Medians of processor time, compiled, on Python {run.python} ({run.host['processor']}):",
        "",
    ]
    rows = []
    for measure, at, text in _HEADLINES:
        outcome = _at(run, measure, at)
        if outcome is None:  # not of this run
            continue
        costs = {sample.name: sample.median for sample in outcome.costs if sample.group != OURS}
        ours = amount(outcome.ours.median, outcome.unit)
        rivals = dict.fromkeys(verdict.against for verdict in outcome.verdicts if verdict.against in costs)
        theirs = ", ".join(f"{_said(name)} {amount(costs[name], outcome.unit)}" for name in rivals)
        rows.append([text, ours, theirs])
    lines.extend(table(["", "bytebufs", "the best others"], rows))
    lines.append(
        "`make bench` reproduces it. [The page on performance](docs/performance.md) says what is fast, what is not, "
        "and when not\nto use the library."
    )
    return "\n".join(lines) + "\n"


def set_headlines(readme: str, text: str) -> str:
    """Return a README with the numbers between its marks replaced."""
    begin, end = _MARKS
    before, _, rest = readme.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no place for what was measured: {begin!r} and {end!r} are wanted")
    return before + begin + text + end + after
