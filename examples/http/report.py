"""Messages in words: for people, as JSON, and as files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bytebufs import BaseBuffer, CompositeBuffer, flush, no_copy

from .message import Leftover, Message, Shed
from .reassembly import Counts, Found, Moment

__all__ = [
    "Row",
    "Wanted",
    "as_json",
    "counted",
    "digest",
    "export",
    "printable",
    "row_of",
    "summary_of",
    "summary_of_streams",
]


def printable(text: str) -> str:
    """Write control characters and the like as escapes, for what a capture says may be meant for a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be said of each message beside its line."""

    json: bool = False
    bodies: bool = False
    places: bool = False


@dataclass(slots=True)
class Row:
    """What is said of a message, or of bytes that no message took, whichever process found it."""

    moment: Moment
    is_message: bool
    is_complete: bool
    line: str
    """Behind the number of the message and of the stream."""
    more: str = ""
    """Lines below."""
    json: dict[str, object] | None = None
    body: CompositeBuffer | None = None
    shed: Shed | None = None
    """What came before it."""
    places: str = ""

    def text(self, number: int, stream: int) -> str:
        """Write it with its numbers."""
        return f"{number if self.is_message else '':>5}  stream {stream}  {self.line}{self.more}"


def row_of(found: Found, wanted: Wanted) -> Row:
    """Say of something that was found what is wanted."""
    what = found.what
    ends = f"{found.src} > {found.dst}  "
    if isinstance(what, Leftover):
        missing = f", and {counted(what.missing, 'byte')} missing" if what.missing else ""
        text = f": {what.text!r}" if what.text else ""
        line = f"{ends}{counted(what.nbytes, 'byte')} in no message{missing}{text}"
        return Row(found.moment, is_message=False, is_complete=True, line=printable(line))
    body = f"{counted(what.size, 'byte')} in {counted(what.parts, 'part')}"
    name = what.method if what.kind == "request" else what.status
    line = f"{ends}{'?' if name is None else f'{name:03}' if isinstance(name, int) else name} {what.target or '?'}  "
    line += body if what.size else "no body"
    if what.copied:
        line += f", {counted(what.copied, 'byte')} copied"
    more = f"\n       incomplete: {printable(what.error)}" if what.error else ""
    row = Row(found.moment, is_message=True, is_complete=what.complete, line=printable(line), more=more)
    if wanted.json:
        row.json = as_json(found, what)
    if wanted.bodies and what.size:
        row.body, row.shed = what.body, what.shed
    if wanted.places:
        row.places = (
            f"\nhead, [from:to] in the file: {what.head.layout()}\nbody, [from:to] in the file: {what.body.layout()}"
        )
    return row


def as_json(found: Found, message: Message) -> dict[str, object]:
    """Return what ``--json`` writes of a message."""
    asked = message.kind == "request"
    return {
        "stream": found.stream,
        "src": str(found.src),
        "dst": str(found.dst),
        "kind": message.kind,
        **({"method": message.method} if asked else {"status": message.status}),
        "target": message.target,
        "headers": message.headers,
        "trailers": message.trailers,
        "body_length": message.size,
        "body_sha256": digest(message.body, message.shed),
        "parts": message.parts,
        "copied": message.copied,
        "complete": message.complete,
        "error": message.error,
        "unparsed_before": found.before,
    }


def digest(body: BaseBuffer, before: Shed | None = None) -> str:
    """Return the SHA-256 of a buffer, and what came before. Copies: nothing."""
    sha256 = before.sha256.copy() if before and before.sha256 else hashlib.sha256()
    for view in body.views():
        sha256.update(view)
    return sha256.hexdigest()


def export(row: Row, number: int, directory: Path) -> None:
    """Write a body to a file of its own, named by the message's number alone. Copies: nothing, or it fails."""
    body, shed = row.body, row.shed
    if body is None:
        return
    path = directory / f"{number:06}.{'body' if row.is_complete else 'partial'}"
    if shed is not None:
        shed.take(body)
        shed.move(path)
        return
    with path.open("wb") as file, no_copy():
        flush(body, file)


def summary_of(counts: Counts, messages: int, incomplete: int) -> str:
    """Say how much there was in captures, and what was left out."""
    clauses = [summary_of_streams(counts, messages, incomplete), counted(counts.packets, "packet")]
    clauses += [f"{counted(number, 'packet')} {reason.value}" for reason, number in counts.skipped.most_common()]
    return "; ".join(clauses)


def summary_of_streams(counts: Counts, messages: int, incomplete: int) -> str:
    """Say how much there was in connections, and what was left out."""
    streams = f"{counted(counts.streams, 'TCP stream')}, {counts.streams - counts.http:,} of them not HTTP/1"
    if counts.other:
        streams += f" ({counted(counts.other, 'byte')})"
    clauses = [f"{counted(messages, 'message')}, {incomplete:,} of them incomplete", streams]
    if counts.unparsed:
        clauses.append(f"{counted(counts.unparsed, 'byte')} in no message")
    if counts.missing:
        clauses.append(f"{counted(counts.missing, 'byte')} missing")
    if counts.strays:
        clauses.append(f"{counted(counts.stray_bytes, 'byte')} in {counted(counts.strays, 'segment')} of no connection")
    return "; ".join(clauses)
