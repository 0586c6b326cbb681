"""Show the HTTP/1.x messages in a packet capture, put together without copying a byte of them.

    python -m examples.http_reassembly CAPTURE [--export DIR] [--json FILE] [--explain N]

The capture is mapped. Packets, segments, streams and messages are slices of that map, so a body that came in a
hundred segments, out of order and in chunks, is a buffer of parts that lie where the capture has them.

    _capture         packets out of pcap and pcapng
    _packets         TCP segments out of packets
    _tcp             streams out of segments
    _http1_syntax    what the text of a message means
    _http1_half      messages out of one direction of a stream
    _http1           requests, and the responses to them
    _exchange        the messages of a stream, in order

Status: 0 if all of the capture could be read, damaged messages or not; 2 if not, or for wrong arguments; 1 if whoever
read the output went away.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import mmap
import os
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytebufs import BaseBuffer, SliceBuffer, flush, no_copy

from ._capture import CaptureError, Packet, read_packets
from ._exchange import read_messages
from ._http1_half import Message
from ._packets import Skipped, read_segment
from ._tcp import Connections, HalfStream, Stream

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Capture", "Found", "as_json", "find_messages", "main", "map_file", "read_capture"]

LONG_CAPTURE: Final = 32 << 20
"""Bytes of a capture that takes long enough for a progress bar to be of use."""


@dataclass(slots=True)
class Capture:
    """What was read of a capture."""

    packets: int = 0
    connections: Connections = field(default_factory=Connections)
    skipped: Counter[Skipped] = field(default_factory=Counter)
    error: CaptureError | None = None
    """Why the rest of the file could not be read."""


@dataclass(slots=True)
class Found:
    """A message, and where it was found."""

    number: int
    """1 for the first message of the capture."""
    stream: int
    half: HalfStream
    message: Message


# -- reading -------------------------------------------------------------------------------------------------


def map_file(path: Path) -> SliceBuffer:
    """Map a regular file and show all of it. Raises CaptureError for an empty one. Copies: nothing."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CaptureError("not a regular file")
    if status.st_size == 0:
        raise CaptureError("the file is empty")
    with path.open("rb") as file:
        # Never closed by name: the map lives as long as a slice shows a piece of it.
        return SliceBuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def read_capture(packets: Iterable[Packet]) -> Capture:
    """Sort the segments of all packets into streams; an error in the file ends it and is kept. Copies: nothing."""
    capture = Capture()
    try:
        for packet in packets:
            capture.packets = packet.number
            segment = read_segment(packet)
            if isinstance(segment, Skipped):
                capture.skipped[segment] += 1
            else:
                capture.connections.add(segment)
    except CaptureError as error:
        capture.error = error
    return capture


def find_messages(streams: Iterable[Stream]) -> Iterator[Found]:
    """Yield the messages of each stream in turn, responses after their requests."""
    number = 1
    for stream in streams:
        for half, message in read_messages(stream):
            yield Found(number, stream.number, half, message)
            number += 1


def with_progress(packets: Iterator[Packet], size: int) -> Iterator[Packet]:
    """Draw a bar on the way through a long capture, if somebody looks and rich is installed."""
    if size < LONG_CAPTURE or not sys.stderr.isatty():
        return packets
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        return packets
    return _drawn(packets, size, Progress(console=Console(stderr=True), transient=True))


def _drawn(packets: Iterator[Packet], size: int, progress: Progress) -> Iterator[Packet]:
    with progress:
        task = progress.add_task("reading packets", total=size)
        for packet in packets:
            yield packet
            if packet.number % 1024 == 0:
                progress.update(task, completed=packet.stop)


# -- showing -------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Write control characters and the like as escapes, for what a capture says may be meant for a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def line_of(found: Found) -> str:
    """Describe a message in a line, and what is wrong with it in a second."""
    message = found.message
    what = message.method if message.kind == "request" else message.status
    body = f"{counted(len(message.body), 'byte')} in {counted(message.body.part_count, 'part')}"
    line = (
        f"{found.number:>5}  stream {found.stream}  {found.half.sender} > {found.half.receiver}  "
        f"{what or '?'} {message.target or '?'}  {body if message.body else 'no body'}"
    )
    if message.copied:
        line += f", {counted(message.copied, 'byte')} copied"
    return printable(line) + (f"\n       incomplete: {message.error}" if message.error else "")


def explanation_of(found: Found) -> str:
    """Tell where each part of a message lies: all of the file is mapped, so the map's offsets are the file's."""
    head, body = found.message.head.layout(), found.message.body.layout()
    return f"{line_of(found)}\nhead, [from:to] in the file: {head}\nbody, [from:to] in the file: {body}"


def as_json(found: Found) -> dict[str, object]:
    """Return what ``--json`` writes of a message."""
    message = found.message
    asked = message.kind == "request"
    return {
        "stream": found.stream,
        "src": str(found.half.sender),
        "dst": str(found.half.receiver),
        "kind": message.kind,
        **({"method": message.method} if asked else {"status": message.status}),
        "target": message.target,
        "headers": message.headers,
        "trailers": message.trailers,
        "body_length": len(message.body),
        "body_sha256": digest(message.body),
        "parts": message.body.part_count,
        "copied": message.copied,
        "complete": message.complete,
        "error": message.error,
    }


def digest(body: BaseBuffer) -> str:
    """Return the SHA-256 of a buffer. Copies: nothing."""
    sha256 = hashlib.sha256()
    for view in body.views():
        sha256.update(view)
    return sha256.hexdigest()


def export(found: Found, directory: Path) -> None:
    """Write a body to a file of its own, named by the message's number alone. Copies: nothing, or it fails."""
    message = found.message
    name = f"{found.number:06}.{'body' if message.complete else 'partial'}"
    with (directory / name).open("wb") as file, no_copy():
        flush(message.body, file)


def summary_of(capture: Capture, counts: Counter[str]) -> str:
    """Say how much there was, and what was left out."""
    streams = len(capture.connections.streams)
    return "; ".join(
        [
            f"{counted(counts['messages'], 'message')}, {counts['incomplete']:,} of them incomplete",
            f"{counted(streams, 'TCP stream')}, {streams - counts['streams']:,} of them not HTTP/1",
            counted(capture.packets, "packet"),
            *[f"{counted(number, 'packet')} {reason.value}" for reason, number in capture.skipped.items()],
        ]
    )


# -- the program ---------------------------------------------------------------------------------------------


class _Options(argparse.Namespace):
    capture: Path
    export: Path | None
    json: Path | None
    explain: int | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    options = _parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has seen enough; what is still buffered must go nowhere at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CaptureError, OSError) as error:
        return _complain(options, error)
    return status


def _parse(arguments: Sequence[str] | None) -> _Options:
    parser = argparse.ArgumentParser(
        prog="http_reassembly", description="Show the HTTP/1.x messages in a packet capture (pcap or pcapng)."
    )
    parser.add_argument("capture", metavar="CAPTURE", type=Path)
    parser.add_argument("--export", metavar="DIR", type=Path, help="write each body to a file in DIR")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write a JSON object a message to FILE")
    parser.add_argument("--explain", metavar="N", type=int, help="show only message N, and where its bytes lie")
    return parser.parse_args(arguments, _Options())


def _run(options: _Options) -> int:
    file = map_file(options.capture)
    capture = read_capture(with_progress(read_packets(file), len(file)))
    if capture.error and not capture.packets:
        raise capture.error
    counts = _report(find_messages(capture.connections.streams), options)
    if options.explain is None:
        print(summary_of(capture, counts))
    elif not 1 <= options.explain <= counts["messages"]:
        return _complain(options, f"no message {options.explain} among {counts['messages']}")
    return _complain(options, capture.error) if capture.error else 0


def _report(messages: Iterable[Found], options: _Options) -> Counter[str]:
    """Print, write and export the messages, and count them."""
    counts: Counter[str] = Counter()
    stream = -1
    if options.export:
        options.export.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lines = stack.enter_context(options.json.open("w", encoding="ascii")) if options.json else None
        for found in messages:
            counts["messages"] += 1
            counts["streams"] += found.stream != stream
            stream = found.stream
            counts["incomplete"] += not found.message.complete
            if options.explain in (None, found.number):
                print(line_of(found) if options.explain is None else explanation_of(found))
            if lines:
                print(json.dumps(as_json(found)), file=lines)
            if options.export and found.message.body:
                export(found, options.export)
    return counts


def _complain(options: _Options, problem: object) -> int:
    print(printable(f"http_reassembly: {options.capture}: {problem}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
