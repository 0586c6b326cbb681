"""Show the HTTP/1.x messages in packet captures, or in connections as they pass, without copying a byte of them.

    python -m examples.http_reassembly CAPTURE... [--export DIR] [--json FILE] [--explain N]
                                       [--workers N | --scheduler ADDRESS]
    python -m examples.http_reassembly --listen [HOST:]PORT --to HOST:PORT [--export DIR] [--json FILE]

Captures are mapped. Packets, segments, streams and messages are slices of these maps, so a body that came in a
hundred segments, out of order and in chunks, is a buffer of parts that lie where the captures have them. Several
captures, in any order, are taken for one that was cut into files. Messages are shown as they end.

With --listen it is a relay: whoever connects to it is connected to --to, bytes go both ways as they are, and the
messages among them are shown, as if they stood in a capture of the clients' side. Its first line is "listening on
HOST:PORT"; port 0 is one that is free. It ends on SIGTERM and SIGINT: no client is let in any more, and what is under
way is handed on to its end, at most 10 seconds long.

    http.capture        packets out of pcap and pcapng
    http.packets        TCP segments out of packets, through the layers in links, wireless, ethernet, ip, tunnels and
                        fragments; layers and names are what these share
    http.connections    which connection a segment belongs to
    http.stream         both sides of a connection; http.tcp: one side, of what came in arrivals, by its numbers
    http.syntax         what the text of a message means
    http.half           messages out of one direction of a connection, which is in incoming
    http.exchange       requests, and the responses to them
    http.reassembly     all of these, packet by packet
    http.captures       files, one after the other
    http.cluster        files, each read by somebody else: http.parts, by Dask: http.tasks
    http.report         messages in words
    http.live           connections as they pass

Status: 0 if all of the captures could be read, damaged messages or not; 2 if not, or for wrong arguments; 1 if whoever
read the output went away.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from .addresses import Address, address_of, listening_address
from .http.capture import CaptureError, Packet
from .http.captures import Results, in_order, read_all
from .http.message import Message
from .http.packets import Skipped
from .http.reassembly import Counts, Found, Reassembly
from .http.report import Row, Wanted, as_json, export, printable, row_of, summary_of, summary_of_streams

__all__ = ["as_json", "find_messages", "main", "read_capture"]


# -- for programs --------------------------------------------------------------------------------------------


class Connected(NamedTuple):
    """The connections of a capture."""

    streams: list[list[Found]]
    """What was found in each, in the order in which they began."""


@dataclass(frozen=True, slots=True)
class Capture:
    """All that is in a capture."""

    connections: Connected
    counts: Counts
    error: CaptureError | None
    """Why the rest of the file could not be read."""

    @property
    def skipped(self) -> Counter[Skipped]:
        """Packets that gave no segment."""
        return self.counts.skipped


def read_capture(packets: Iterable[Packet]) -> Capture:
    """Read all that is in a capture; an error in the file ends it and is kept. Copies: nothing."""
    reassembly = Reassembly()
    found: list[Found] = []
    error = None
    try:
        found += reassembly.read(packets)
    except CaptureError as reason:
        error = reason
    found += reassembly.end()
    streams: list[list[Found]] = [[] for _ in range(reassembly.counts.streams)]
    for one in found:
        streams[one.stream].append(one)
    return Capture(Connected(streams), reassembly.counts, error)


def find_messages(streams: Iterable[Iterable[Found]]) -> Iterator[Found]:
    """Yield the messages of streams in the order in which they ended, responses after their requests."""
    found = sorted((one for stream in streams for one in stream), key=lambda one: one.moment)
    yield from (one for one in found if isinstance(one.what, Message))


# -- the program ---------------------------------------------------------------------------------------------


class _Options(argparse.Namespace):
    captures: list[Path]
    export: Path | None
    json: Path | None
    explain: int | None
    workers: int | None
    scheduler: str | None
    listen: Address | None
    to: Address | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    options = _parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run_live(options, options.listen, options.to) if options.listen and options.to else _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has seen enough; what is still buffered must go nowhere at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(error)
    return status


def _parse(arguments: Sequence[str] | None) -> _Options:
    parser = argparse.ArgumentParser(
        prog="http_reassembly", description="Show the HTTP/1.x messages in packet captures (pcap or pcapng)."
    )
    parser.add_argument("captures", metavar="CAPTURE", type=Path, nargs="*", help="files of one capture, in any order")
    parser.add_argument("--export", metavar="DIR", type=Path, help="write each body to a file in DIR")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write a JSON object a message to FILE")
    parser.add_argument("--explain", metavar="N", type=int, help="show only message N, and where its bytes lie")
    spread = parser.add_mutually_exclusive_group()
    spread.add_argument("--workers", metavar="N", type=int, help="read the files in N processes, by Dask")
    spread.add_argument("--scheduler", metavar="ADDRESS", help="have the files read by a Dask cluster")
    parser.add_argument("--listen", metavar="[HOST:]PORT", type=listening_address, help="relay from here, and show it")
    parser.add_argument("--to", metavar="HOST:PORT", type=address_of, help="whom to relay to")
    options = parser.parse_args(arguments, _Options())
    _check(parser, options)
    return options


def _check(parser: argparse.ArgumentParser, options: _Options) -> None:
    if (options.listen is None) != (options.to is None):
        parser.error("--listen and --to go together")
    if options.listen is not None:
        if options.captures:
            parser.error("a capture, or --listen: not both")
        for name in ("explain", "workers", "scheduler"):
            if getattr(options, name) is not None:
                parser.error(f"--{name} is for captures, not for what passes")
    elif not options.captures:
        parser.error("the following arguments are required: CAPTURE")
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers wants a number from 1 on, not {options.workers}")


def _run(options: _Options) -> int:
    results = Results()
    wanted = _wanted(options)
    paths, results.problems = in_order(options.captures)
    messages = 0
    if paths:
        if options.workers is None and options.scheduler is None:
            rows: Iterable[tuple[Row, int]] = (
                (row_of(found, wanted), found.stream) for found in read_all(paths, results)
            )
        else:
            from .http.cluster import read_all as spread  # which needs Dask

            rows = spread(paths, results, wanted, workers=options.workers, scheduler=options.scheduler)
        with _Listing(options) as listing:
            for row, stream in rows:
                listing.add(row, stream)
        messages = listing.messages
        if options.explain is None:
            print(summary_of(results.counts, messages, listing.incomplete))
    status = 0
    if paths and options.explain is not None and not 1 <= options.explain <= messages:
        status = _complain(f"no message {options.explain} among {messages}")
    for path, error in results.problems:
        status = _complain(f"{path}: {error}")
    return status


def _run_live(options: _Options, listen: Address, to: Address) -> int:
    from .http.live import Relay  # which needs asyncio's loop, and signals

    wanted = _wanted(options)
    with _Listing(options) as listing:

        def show(found: Found) -> None:
            listing.add(row_of(found, wanted), found.stream)
            listing.flush()

        def complain(problem: str) -> None:
            _complain(problem)

        async def run() -> Relay:
            relay = Relay(to, show, complain, wanted, options.export)
            await relay.run(listen, lambda address: print(f"listening on {address}", flush=True))
            return relay

        relay = asyncio.run(run())
        print(summary_of_streams(relay.counts, listing.messages, listing.incomplete))
    return 0


def _wanted(options: _Options) -> Wanted:
    return Wanted(json=options.json is not None, bodies=options.export is not None, places=options.explain is not None)


class _Listing:
    """Prints, writes and exports messages, and counts them, and those that are incomplete."""

    def __init__(self, options: _Options) -> None:
        self.messages = 0
        self.incomplete = 0
        self._export = options.export
        self._explain = options.explain
        if options.export:
            options.export.mkdir(parents=True, exist_ok=True)
        self._lines = options.json.open("w", encoding="ascii") if options.json else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lines:
            self._lines.close()

    def add(self, row: Row, stream: int) -> None:
        """Take in one more."""
        self.messages += row.is_message
        self.incomplete += not row.is_complete
        if self._explain is None:
            print(row.text(self.messages, stream))
        elif row.is_message and self._explain == self.messages:
            print(row.text(self.messages, stream) + row.places)
        if self._lines and row.json is not None:
            row.json["stream"] = stream
            print(json.dumps(row.json), file=self._lines)
        if self._export:
            export(row, self.messages, self._export)

    def flush(self) -> None:
        """Let everybody see what there is."""
        sys.stdout.flush()
        if self._lines:
            self._lines.flush()


def _complain(problem: object) -> int:
    print(printable(f"http_reassembly: {problem}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
