"""Protocol Buffers: messages out of a varint-delimited stream, and the fields of each, without a schema.

    python -m examples.protobuf_stream < STREAM

shows the messages as ``protoc --decode_raw`` would, and beside each guess what else it may be: whether bytes are a
message only its schema knows. A message is a slice of what was read, and whatever is nested in it is read where it
lies: nothing is copied but the text that is shown.

Sources: the encoding page of the Protocol Buffers documentation, and the one on techniques, "streaming multiple
messages": each message stands behind its length, a varint, as writeDelimitedTo() and serialize_length_prefixed() write.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from enum import IntEnum
from functools import partial
from typing import Final, NamedTuple

from bytebufs import BytebufsError, CompositeBuffer, FrameError, Part, Reader, SliceBuffer, Underrun, VarintPrefixed

LIMIT: Final = 64 << 20
"""Bytes of a message that is shown. The documentation advises against messages of more than 1 MB."""

MAX_DEPTH: Final = 100
"""Messages and groups inside one another, counted together: the default of the C++ and the Java library."""

MAX_WORDS: Final = 256
"""Bytes that are shown as text, if they can be, though they may be a message: the longer, the less that is chance."""


class Wire(IntEnum):
    """How a value is written: the low three bits of its tag."""

    VARINT, I64, LEN, SGROUP, EGROUP, I32 = range(6)


class Field(NamedTuple):
    """A field as it stands on the wire: what it means only the schema knows.

    The value of a VARINT is a number; that of an I64, a LEN or an I32 is a reader of its bytes. The fields of a group
    come between SGROUP and EGROUP, whose values are empty.
    """

    number: int
    wire: Wire
    value: int | Reader


_SIZES: Final = {Wire.I64: 8, Wire.SGROUP: 0, Wire.EGROUP: 0, Wire.I32: 4}


def messages(parts: Iterable[Part], *, limit: int) -> Iterator[SliceBuffer]:
    """Yield the messages of a stream, each of at most ``limit`` bytes. Underrun if it ends in one. Copies: nothing."""
    framer = VarintPrefixed(limit)
    for part in parts:
        yield from framer.feed(part)
    framer.end()


def delimited(message: Part) -> CompositeBuffer:
    """Return a serialized message behind its length. Copies: nothing."""
    stream = CompositeBuffer()
    stream.pack_varint(len(SliceBuffer(message)))
    stream.append(message)
    return stream


def fields(r: Reader, depth: int = 0) -> Iterator[Field]:
    """Yield the fields from a reader's position to its end. FrameError where they are malformed. Copies: nothing.

    Go on with ``fields(field.value, depth + 1)`` where a message is nested, ``while field.value.remaining`` in packed
    numbers. What is nested more than MAX_DEPTH deep, groups too, is a FrameError.
    """
    if depth > MAX_DEPTH:
        raise FrameError(f"messages nested more than {MAX_DEPTH} deep")
    groups: list[int] = []
    while r.remaining:
        field = _field(r)
        if field.wire is Wire.SGROUP:
            groups.append(field.number)
        elif field.wire is Wire.EGROUP and (not groups or groups.pop() != field.number):
            raise FrameError(f"the end of a group {field.number} that has not begun")
        if depth + len(groups) > MAX_DEPTH:
            raise FrameError(f"groups nested more than {MAX_DEPTH} deep")
        yield field
    if groups:
        raise FrameError(f"the group {groups[-1]} has no end")


def _field(r: Reader) -> Field:
    try:
        number, wire = divmod(r.varint(max_bytes=5), 8)
        if not 0 < number < 1 << 29 or wire > Wire.I32:
            raise FrameError(f"no field has the number {number} and the wire type {wire}")
        if wire == Wire.VARINT:
            return Field(number, Wire.VARINT, r.varint())
        size = r.varint() if wire == Wire.LEN else _SIZES[Wire(wire)]
        return Field(number, Wire(wire), r.sub(size))
    except Underrun as error:  # not that bytes are still to come: the message is all there
        raise FrameError(f"a field reaches beyond its message: {error}") from error


def lines(r: Reader, depth: int = 0) -> Iterator[str]:
    """Yield a message as text. What may be a message inside it, or may be text or bytes, says so in a comment.

    FrameError where it is malformed. What only looks like a message is none: neither that, nor how deep it seems to be
    nested, makes the one that it is in malformed.
    """
    level = depth
    for number, wire, value in fields(r, depth):
        level -= wire is Wire.EGROUP
        indent = "  " * level
        if wire is Wire.SGROUP:
            yield f"{indent}{number} {{"
            level += 1
        elif wire is Wire.EGROUP:
            yield f"{indent}}}"
        elif isinstance(value, Reader) and wire is Wire.LEN:
            yield from _guesses(number, value, level)
        else:
            yield f"{indent}{number}: {_number(wire, value)}"


def _guesses(number: int, r: Reader, depth: int) -> Iterator[str]:
    """Yield bytes as what they look like, and what else they may be."""
    indent, raw = "  " * depth, r.take_rest()
    r.seek(0)
    if not _looks_like_a_message(r, min(depth + 1, MAX_DEPTH)):
        yield f"{indent}{number}: {_quoted(raw)}"
    elif depth == MAX_DEPTH:
        yield f"{indent}{number}: {_quoted(raw)}  # or a message, nested more than {MAX_DEPTH} deep"
    elif len(raw) <= MAX_WORDS and _is_text(raw):
        yield f"{indent}{number}: {_quoted(raw)}  # or a message"
    else:
        yield f"{indent}{number} {{  # or {len(raw)} bytes"
        yield from lines(r, depth + 1)
        yield f"{indent}}}"


def _looks_like_a_message(r: Reader, depth: int) -> bool:
    try:
        return sum(1 for _ in fields(r, depth)) > 0
    except FrameError:
        return False
    finally:
        r.seek(0)


def _is_text(raw: SliceBuffer) -> bool:
    try:
        return raw.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _quoted(raw: SliceBuffer) -> str:
    """Return bytes as text in quotes, on one line: what is no character is escaped, so that none can feign a line."""
    text = raw.decode(errors="surrogateescape")
    if not text.isprintable() or '"' in text or "\\" in text:
        text = "".join(_ESCAPES.get(c) or (c if c.isprintable() else ascii(c)[1:-1]) for c in text)
    return f'"{text}"'


# Bytes that are no UTF-8 are decoded as these surrogates (PEP 383).
_ESCAPES: Final = {chr(0xDC00 + byte): f"\\x{byte:02x}" for byte in range(128, 256)} | {'"': '\\"', "\\": "\\\\"}


def _number(wire: Wire, value: int | Reader) -> str:
    if isinstance(value, int):
        return str(value)
    return f"0x{value.u64_le():016x}" if wire is Wire.I64 else f"0x{value.u32_le():08x}"


def main() -> None:
    """Show the messages of a stream that comes from the standard input."""
    parts = iter(partial(os.read, sys.stdin.fileno(), 65536), b"")
    try:
        for message in messages(parts, limit=LIMIT):
            print(*lines(message.reader()), "", sep="\n")
    except BytebufsError as error:
        sys.exit(f"protobuf_stream: {error}")


if __name__ == "__main__":
    main()
