"""Write the pages on performance from the results that are kept: ``python -m benchmarks._page``.

docs/performance.md is the summary (``_summary``), docs/performance/ has a page for each of PAGES, and README a table.
They are committed, for readers of the source; the plots are drawn when the documentation is built (``_plots``).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from ._figures import drawn, newest
from ._harness import Verdict
from ._report import MEASURES, Outcome, Run, amount, count_goals, mark
from ._summary import NOTE, PAGES, TITLES, WAYS, headlines, label, set_headlines, summary, table, whole

__all__ = ["FOLDER", "RESULTS", "ROOT", "kept", "main", "write"]

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
FOLDER: Final = "performance"
"""The folder of the grids and the plots, beside the summary."""

_MEASURING: Final = f"""\
# How it was measured

{NOTE}

Before you believe any of it:

- These are small benchmarks: one thing done over and over, with warm caches. Your program does other things too, and
  only measuring that tells you what a buffer is worth to it.
- Only the ratios within one run mean something, and only on a machine like that one. Times of two runs do not compare.
- What is measured is the processor time of the process, system calls included, in the median of the rounds (the
  minimum stands beside it). Contenders take turns, round by round, in one process. The garbage collector is off.
- A slice of this library refers to the bytes that came in; most rivals hand out a copy. That is what zero copy is for,
  and why large frames look so good. It also keeps what came in alive for as long as the slice: see `compact()`.
- A goal is what was set before it was measured. One that was missed stands here as it is: ✗, with the goal behind it.
  A ratio without a mark has no goal.

Run it yourself; what was measured in the runs below, the median of every contender and the minimum to a
percent of it, is in `benchmarks/results/`.

```console
$ make bench                                # both builds, all of it, and these pages: about an hour
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
- asyncio's streams and Protocols, on its own loop and on uvloop; `loop.sendfile`; tshark.
- Netty's `CompositeByteBuf`, where Java is, for reference: what the same design does in a language that is compiled.

Left out, and why:

- aiohttp's `StreamReader` is a deque with an offset, as urllib3's buffer is, behind the futures of asyncio's.
- The readers of websockets and anyio are a `bytearray` with `del`, as h11's and asyncio's are.
- Twisted's length-prefixed receivers join chunks and slice out of them: the loop over joined bytes.
- `io.BufferedReader` pulls from a file; here the bytes are pushed, as an event loop does.
- numpy has no append that does not copy everything: it would be the join.
- construct, kaitai, protobuf and the like decode what lies in one piece: they come after a buffer, not in place of one.
"""

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
    "hostile": """\
Streams of those who mean no good, `bytebufs.testing.HOSTILE`, each taken by those who take its kind, with a limit of
8 KiB. The number is the processor time for each byte of the first 8 KiB, and the ratio what a byte of 512 KiB costs
against one of 64 KiB, of the cheapest rounds: the goal asks for linear work. Who is refused is hung up on: what he
would have sent after that costs nothing, so that the ratio falls towards an eighth.""",
    "hostile, kept": """\
The most that is allocated after any chunk of 64 KiB of the stream, beside what was before it began (tracemalloc). Goal:
the limit and a block of 64 KiB.""",
    "find": """\
The needle stands at the very end, or nowhere. The rival has bytes that were joined before.""",
    "compare": """\
Two messages of the same content that share no memory. The rival has bytes that were joined before.""",
    "flush": """\
All of a message, to a TCP connection within the machine (to a receiver *apart*, where there is one: what that is stands
[where files are served](serving.md)) or to a file in memory. Goals: the cost of `os.writev` in batches that were made
before; where `coalesce_below=2048` joins small parts, that of `b"".join` and one write; and for an Outbox, into which
the message is put and which sends it in turns of 2 MiB, that of `flush`. The ratios are of costs: less is better.""",
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
all of the cost is that of the calls: there a bare loop over `os.sendfile` misses the first goal, too, as the page of
[all ways](ways.md) shows.""",
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
    "receive": """\
Frames behind a length of 4 bytes come through a socket, by so many bytes a read, and are dropped: by
`stream.frames(framer)` and `stream.messages(fn)`, by `readexactly` of asyncio's StreamReader, and by a Protocol that
keeps a bytearray and an offset in it. The sender shares its loop, which therefore is never idle, and sends no more
before a read has taken all that was sent; what sending costs is taken off. Goals, of ours in both ways: the cost of
StreamReader and of the Protocol.

Where a read brings less than a frame or two, most of the cost is that of a turn of the loop and of two system calls,
which all have alike: a goal of less than their part cannot be reached. What was tried: the task is woken in the
callback, and only when its frame is whole; numbers are read where they lie; nothing is made for bytes that go on where
the last ones ended. What would be needed for messages of some bytes by `messages(fn)`: a Reader costs more than to cut
out a frame by hand.""",
    "receive, pinned": """\
As many bytes as wait are received, by so many a read, and nothing is taken. The number is what the buffer keeps alive;
the goal is that, less one block, against what it shows.""",
    "echo": """\
Frames behind a length of 4 bytes are sent back, over TCP within the machine. The server is a process of its own, whose
processor time counts. *many* sends without waiting for answers, *one* sends the next frame when it has the answer, and
of the connections that are *busy* each has one frame under way, while those that are *idle* only exist. Beside ours,
asyncio's streams (`readexactly`, `write`, `drain`), and a Protocol over a bytearray that writes each answer; and one
that joins all answers that are due for what came in and writes once, which few do: what the same can cost without
streams. Goals: the cost of streams and of the Protocol; for show that of the one that joins, and of ours with
`messages(fn)` against streams.

On uvloop, whose streams are compiled but for the two classes that users see, a frame at a time takes as many system
calls as theirs does, and more of the interpreter: some sixteen calls of ours, none of which takes much. What was tried:
the socket is asked for an error only where sending did not show that there is none; parts of memory go without a plan;
a task's answers go once, when its callback ends. What would be needed: `bytebufs.aio` compiled, whose coroutines cost
more then than they do now.""",
    "echo, idle": """\
Each connection has had one answer and waits. *resident* is by how much the server's memory grows for each, *allocated*
is what tracemalloc says, which does not see what is allocated in C. Goal: half of what a connection of asyncio's
streams takes; the Protocol, which has no task, is for show.

What takes the most is the task of a connection and the coroutines in it, which streams have as well; of ours are the
stream, its inbox, a link and a waiter. What was tried: no outbox and no queue of callbacks while nothing is sent, a
coroutine less while a task waits, memory to receive into given back. On uvloop, half of what streams take is less than
a task with a coroutine.""",
    "send a file": """\
A file is sent for each byte that comes, over TCP within the machine; the processor time of the server. By hand it is
`loop.sendfile`, or where a loop has none `read` and `write` of 64 KiB.""",
    "capture": """\
The HTTP of a capture is put together, by the example of this library, in a process of its own, and by tshark, where
that is; listed, or with the bodies written to files. Processor time of the process and its children, Python's start
included. `python -m benchmarks.captures` does it with a larger capture, and tells more.""",
    "capture, memory": """\
The most memory that the process had beside the files that it maps, its interpreter's included.""",
    "log, read": """\
A consumer is sent all of a log of 15 KiB batches, a MiB at a time behind a header of 100 bytes, to a TCP connection
within the machine (the receivers are those [where files are served](serving.md)). Ours looks for the batches by the
index, and sends them as regions of the file; a broker's protocol is not in it. Goal: the cost of `os.sendfile` for the
same ranges, which have been looked for beforehand.

What ours does besides is a bisection of the index and what `flush` asks, 15 µs together, and a twentieth of the cost if
nothing were in a cache; on this virtual machine two rounds of the same differ by a fifth.""",
    "log, append": """\
A producer's batch, in blocks of 64 KiB as it was received, is checked by its checksum and written to a file in memory,
behind the offset that it gets; the indexes are kept. Goal: 0.8 times the speed of `os.writev` of the same blocks, which
checks nothing.

Of a batch of a MiB the checksum takes a tenth; what else is missing is the reading of headers and the indexes, 10 to 20
µs of Python a batch, which of a small one is nearly all. What would be needed: the checks in compiled code. (Kafka's
producers send what they have, up to 16 KiB to 1 MiB a batch.)""",
    "log, flush": """\
Messages of 1 KiB are appended by so many writers at a time, each of whom waits until his is on the disk: together with
others' (group commit), or one after the other, each by an fdatasync of its own; and with async flush, where nobody
waits. The time that passed, on a disk. Goal: with 16 writers, eight times the speed of one after the other.

All sixteen share each fdatasync: of 16 messages there is one. What is missing is that this disk takes 0.4 ms for it,
while to append a message and to wake its writer takes the loop 30 to 50 µs, which sixteen cannot share; where a disk
takes a millisecond the goal is reached.""",
    "log, librdkafka": """\
The Kafka broker in a process of its own, and confluent-kafka, which is librdkafka, in ours, with its default settings;
the time that passed, of client and broker together, on two processors.""",
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


_LEGEND: Final = """\
✓ is a goal that was reached, **✗** one that was missed, with the goal behind it; what has no mark had no goal.
[How it was measured](measuring.md) says more, and [the summary](../performance.md) what comes of it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the pages."""
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
    """Return the runs whose results are kept in a folder, those of the newest Python last."""
    runs = [Run.from_json(path.read_text(encoding="utf-8")) for path in results.glob("*.json")]
    return sorted(runs, key=lambda run: ([int(number) for number in run.python.split(".")[:2]], run.build))


def write(runs: Sequence[Run], docs: Path) -> None:
    """Write the pages of some runs into a folder of documents, and remove those that were there."""
    folder = docs / FOLDER
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.md"):
        stale.unlink()
    (docs / f"{FOLDER}.md").write_text(summary(runs), encoding="utf-8")
    (folder / "measuring.md").write_text("\n".join([_MEASURING, *_overview(runs)]), encoding="utf-8")
    for name, measures in PAGES.items():
        if any(run.of(measure) for run in runs for measure in measures):
            (folder / f"{name}.md").write_text("\n".join(_grids(name, measures, runs)), encoding="utf-8")
    if any(run.of("serve") for run in runs):
        (folder / "ways.md").write_text("\n".join(_ways(runs)), encoding="utf-8")


def _overview(runs: Sequence[Run]) -> Iterator[str]:
    yield "## The runs"
    yield ""
    yield from table(["", *(run.name for run in runs)], [[name, *cells] for name, cells in _facts(runs).items()])
    yield "Goals reached, of those that were set:"
    yield ""
    scores = [
        [label(title), *(_score(run, measure) for run in runs)]
        for measure, title in MEASURES.items()
        if any(count_goals(run.of(measure))[1] for run in runs)
    ]
    yield from table(["", *(run.name for run in runs)], scores)
    yield _picture("How far each place is from its goal", "goals")
    yield ""


def _facts(runs: Sequence[Run]) -> dict[str, list[str]]:
    return {
        "Date": [run.date.partition("T")[0] for run in runs],
        "Python": [f"{run.python}, {run.host['compiler']}" for run in runs],
        "bytebufs": [f"{run.bytebufs}, {run.build}" for run in runs],
        "Rivals": [", ".join(f"{name} {number}" for name, number in run.rivals.items()) for run in runs],
        "Rounds": [f"{run.rounds}{', toy sizes: means nothing' if run.quick else ''}" for run in runs],
        "Processor": [f"{run.host['processors']} × {run.host['processor']}, {run.host['machine']}" for run in runs],
        "Memory": [run.host["memory"] for run in runs],
        "System": [run.host["system"] for run in runs],
    }


def _score(run: Run, measure: str) -> str:
    reached, goals = count_goals(run.of(measure))
    return f"{reached} of {goals}" if goals else "–"


def _grids(name: str, measures: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    """Yield a page: a section for each measure, and at the end what is drawn of them."""
    yield f"# {TITLES[name]}"
    yield ""
    yield NOTE
    yield ""
    if len(measures) == 1:
        yield from _section(measures[0], runs, "##")
    else:
        for measure in measures:
            if any(run.of(measure) for run in runs):
                yield f"## {MEASURES[measure]}"
                yield ""
                yield from _section(measure, runs, "###")
    yield from _plots(measures, runs)


def _section(measure: str, runs: Sequence[Run], level: str) -> Iterator[str]:
    """Yield what a measure is about, and a table for each build."""
    yield _EXPLAINED[measure]
    yield ""
    per = next(outcome.per for run in runs for outcome in run.of(measure))
    article = "an" if per[0] in "aeiou" else "a"
    yield f"In each field: our median (minimum) for {article} {per}, then the ratio for each goal. {_LEGEND}"
    yield ""
    for build in ("compiled", "pure"):
        yield from _table(level, [run for run in runs if run.build == build and run.of(measure)], measure)
    if measure == "place":
        yield f"The median of all places: {', '.join(_middle(run) for run in runs if run.of('place'))}."
        yield ""


def _table(level: str, runs: Sequence[Run], measure: str) -> Iterator[str]:
    """Yield a table of the runs of one build: a row for each place, a column for each run."""
    if not runs:
        return
    yield f"{level} {runs[0].build.capitalize()}"
    yield ""
    by_place = [{tuple(o.at.values()): o for o in run.of(measure)} for run in runs]
    places = dict.fromkeys(place for outcomes in by_place for place in outcomes)
    rows = [[*map(_named, place), *(_field(outcomes.get(place)) for outcomes in by_place)] for place in places]
    axes = next(outcome.at for outcomes in by_place for outcome in outcomes.values())
    yield from table([*axes, *(run.name for run in runs)], rows)


def _named(value: str) -> str:
    """Return where a place lies on an axis; a call as code, which would be read as emphasis."""
    return f"`{value}`" if "_" in value or "." in value or "(" in value else label(value)


def _middle(run: Run) -> str:
    """Return the median of the ratios of others' parsers in a run."""
    return f"{run.name} {median(v.ratio for outcome in run.of('place') for v in outcome.verdicts):.3g}"


def _ways(runs: Sequence[Run]) -> Iterator[str]:
    """Yield a page with all that is known of each way to serve a file: a table for each run and receiver."""
    yield f"# {WAYS}"
    yield ""
    yield NOTE
    yield ""
    yield "Processor time · time that passed · system calls · bytes copied, of the newest Python of each build."
    yield "What the receivers are, and what was expected, stands [where files are served](serving.md)."
    yield ""
    measures = PAGES["serving"]
    for run in newest(runs, "serve"):
        for receiver in dict.fromkeys(outcome.at["receiver"] for outcome in run.of("serve")):
            by_measure = [[o for o in run.of(measure) if o.at["receiver"] == receiver] for measure in measures]
            names = dict.fromkeys(sample.name for outcome in by_measure[0] for sample in outcome.costs)
            rows = [
                [whole(name), *(_serving(name, place) for place in zip(*by_measure, strict=True))] for name in names
            ]
            yield f"## {run.name}, receiver: {receiver}"
            yield ""
            yield from table(["", *(outcome.at["size"] for outcome in by_measure[0])], rows)


def _serving(name: str, place: Sequence[Outcome]) -> str:
    costs = [(s.median, outcome.unit) for outcome in place for s in outcome.costs if s.name == name]
    return _fields(amount(cost, unit) for cost, unit in costs)


def _field(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    ours = outcome.ours
    middle, least = (amount(cost, outcome.unit) for cost in (ours.median, ours.minimum))
    return _fields([f"{middle} ({least})", *map(_ratio, outcome.verdicts)])


def _fields(facts: Iterable[str]) -> str:
    """Put facts into one field, so that a line of it ends between two of them, and never inside of one."""
    return f"{whole(' ·')} ".join(map(whole, facts))


def _ratio(verdict: Verdict) -> str:
    ratio = _number(verdict, verdict.ratio)
    if verdict.bound is None:
        return ratio
    if verdict.reached:
        return f"{ratio} {mark(verdict)}"
    sign = "≥" if verdict.sense == "at least" else "≤"
    return f"**{ratio} {mark(verdict)}** ({sign} {_number(verdict, verdict.bound)})"


def _number(verdict: Verdict, value: float) -> str:
    return amount(value, verdict.unit) if verdict.unit else f"{value:.3g}"


def _plots(measures: Sequence[str], runs: Sequence[Run]) -> Iterator[str]:
    pictures = [
        _picture(f"{MEASURES[measure]}, {run.name}", f"{measure}-{run.name}")
        for measure in measures
        for run in drawn(measure, runs)
    ]
    if pictures:
        yield "## Drawn"
        yield ""
        yield "Of the newest Python of each build. A picture alone, and larger, is behind each of them."
        yield ""
    for picture in pictures:
        yield picture
        yield ""


def _picture(title: str, name: str) -> str:
    """Return a plot that leads to itself: on a narrow screen it can be read there."""
    return f"[![{title}]({name}.svg)]({name}.svg)"


if __name__ == "__main__":
    main()
