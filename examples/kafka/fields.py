"""The protocol's wire types, and messages described by tables: one description each, for all its versions.

A ``Schema`` is rows of ``Field``: a name, a type, the versions that have it, and what it is where it is absent. From
the version ``flexible`` on, lengths are varints (one more than the length, so that 0 is null) and each structure ends
with tagged fields: those that come are passed over, none is sent. Source: the protocol guide
(kafka.apache.org/protocol) and KIP-482.

What is parsed is small and becomes Python's own values, but for RECORDS: that is a slice of what was received. What is
encoded is a list of parts: the small fields joined, and each buffer of RECORDS as it is. A length that is more than
what is there is Underrun; whatever else can never become right is FrameError, as are more than ``MOST_ITEMS`` items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, TypeAlias, final

from bytebufs import BaseBuffer, FrameError, Reader

__all__ = [
    "BOOL",
    "BYTES",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "MOST_ITEMS",
    "NEVER",
    "NULLABLE_STRING",
    "RECORDS",
    "STRING",
    "UUID",
    "Api",
    "Array",
    "Field",
    "Kind",
    "Message",
    "Schema",
    "Writer",
    "encode",
    "parse",
    "pass_tags",
    "read_nullable",
]

Message: TypeAlias = dict[str, Any]
"""Values by the names of their fields; structures are Messages, arrays are lists."""

MOST_ITEMS: Final = 20_000
"""Items that all arrays of a message may have together: a byte of a request could else become 100 of memory, or a look
into a file; a store has 1 000 partitions."""
NEVER: Final = 1 << 15
"""A version that does not come: there are 2^15 at most."""


@final
class Source:
    """Where a message is parsed from, in which encoding, and how many items it has had."""

    __slots__ = ("is_flexible", "items", "reader", "version")

    def __init__(self, reader: Reader, version: int, *, is_flexible: bool) -> None:
        self.reader = reader
        self.version = version
        self.is_flexible = is_flexible
        self.items = 0

    def count(self, number: int) -> int:
        """Check how many items an array is said to have: each takes a byte at least."""
        self.items += max(number, 0)
        if self.items > MOST_ITEMS or number > self.reader.remaining:
            raise FrameError(f"an array is said to have {number} items")
        return number

    def length(self, *, wide: bool) -> int:
        """Read a length; -1 is null."""
        if self.is_flexible:
            return self.reader.varint(max_bytes=5) - 1
        length = self.reader.i32_be() if wide else self.reader.i16_be()
        if length < -1:
            raise FrameError(f"a length is {length}")
        return length

    def tags(self) -> None:
        """Pass over tagged fields."""
        if self.is_flexible:
            pass_tags(self.reader)


@final
class Writer:
    """A message that is being encoded: small fields are joined, buffers stand between them."""

    __slots__ = ("_small", "is_flexible", "parts", "version")

    def __init__(self, version: int, *, is_flexible: bool) -> None:
        self.version = version
        self.is_flexible = is_flexible
        self.parts: list[bytes | BaseBuffer] = []
        self._small = bytearray()

    def put(self, text: bytes) -> None:
        """Add a few bytes."""
        self._small += text

    def put_varint(self, number: int) -> None:
        """Add a number, 7 bits a byte."""
        while number > 0x7F:
            self._small.append(number & 0x7F | 0x80)
            number >>= 7
        self._small.append(number)

    def put_length(self, length: int, *, wide: bool) -> None:
        """Add a length; -1 is null."""
        if self.is_flexible:
            self.put_varint(length + 1)
        else:
            self.put(length.to_bytes(4 if wide else 2, "big", signed=True))

    def put_buffer(self, buffer: BaseBuffer) -> None:
        """Add a buffer as a part of its own."""
        self._close()
        self.parts.append(buffer)

    def put_tags(self) -> None:
        """Add that there are no tagged fields."""
        if self.is_flexible:
            self._small.append(0)

    def finish(self) -> list[bytes | BaseBuffer]:
        """All parts."""
        self._close()
        return self.parts

    def _close(self) -> None:
        if self._small:
            self.parts.append(bytes(self._small))
            self._small.clear()


@final
@dataclass(frozen=True, slots=True)
class Kind:
    """A wire type: how it is read and written, and what stands for one that is absent."""

    read: Callable[[Source], Any]
    write: Callable[[Writer, Any], None]
    default: Any


@final
@dataclass(frozen=True, slots=True)
class Field:
    """A row: the versions from ``since`` to ``until`` have it."""

    name: str
    kind: Kind
    since: int = 0
    until: int = NEVER
    default: Any = None
    """What it is where it is absent, if that is not what its type says."""

    def is_in(self, version: int) -> bool:
        """Whether that version has it."""
        return self.since <= version <= self.until

    @property
    def absent(self) -> Any:
        """What it is where it is absent."""
        return self.kind.default if self.default is None else self.default


@final
class Schema:
    """A message, or the one direction of one."""

    __slots__ = ("fields", "flexible")

    def __init__(self, *fields: Field, flexible: int = NEVER) -> None:
        self.fields = fields
        self.flexible = flexible


@final
@dataclass(frozen=True, slots=True)
class Api:
    """A kind of request and its answer, and the versions of both that are offered."""

    key: int
    oldest: int
    newest: int
    request: Schema
    answer: Schema


def pass_tags(reader: Reader) -> None:
    """Pass over tagged fields."""
    for _ in range(reader.varint(max_bytes=5)):  # each takes two bytes at least, or it is Underrun
        reader.varint(max_bytes=5)
        reader.skip(reader.varint(max_bytes=5))


def read_nullable(reader: Reader) -> str | None:
    """Read a text, or null, as headers have them in every version."""
    return _read_text(Source(reader, 0, is_flexible=False))


def parse(schema: Schema, version: int, reader: Reader) -> Message:
    """Read a message. Copies: all but RECORDS."""
    source = Source(reader, version, is_flexible=version >= schema.flexible)
    return _read_fields(schema.fields, source)


def encode(schema: Schema, version: int, message: Message) -> list[bytes | BaseBuffer]:
    """Make the parts of a message. What it does not say is what the fields' types or rows say."""
    writer = Writer(version, is_flexible=version >= schema.flexible)
    _write_fields(schema.fields, writer, message)
    return writer.finish()


def _read_fields(fields: Sequence[Field], source: Source) -> Message:
    version = source.version
    message = {field.name: field.kind.read(source) if field.is_in(version) else field.absent for field in fields}
    source.tags()
    return message


def _write_fields(fields: Sequence[Field], writer: Writer, message: Message) -> None:
    for field in fields:
        if field.is_in(writer.version):
            field.kind.write(writer, message.get(field.name, field.absent))
    writer.put_tags()


# ------------------------------------------------------------------------------------------------------------- types


def _number(code: str, read: Callable[[Reader], int]) -> Kind:
    pack = Struct(">" + code).pack
    return Kind(lambda source: read(source.reader), lambda writer, value: writer.put(pack(value)), 0)


def _read_text(source: Source) -> str | None:
    """Read a text, or null."""
    length = source.length(wide=False)
    return None if length < 0 else source.reader.text(length)


def _put_text(writer: Writer, text: str | None) -> None:
    """Add a text, or null."""
    encoded = b"" if text is None else text.encode()
    writer.put_length(-1 if text is None else len(encoded), wide=False)
    writer.put(encoded)


def _read_string(source: Source) -> str:
    text = _read_text(source)
    if text is None:
        raise FrameError("a text is null")
    return text


def _read_bytes(source: Source) -> bytes:
    return source.reader.take_bytes(max(source.length(wide=True), 0))


def _write_bytes(writer: Writer, text: bytes) -> None:
    writer.put_length(len(text), wide=True)
    writer.put(text)


def _read_records(source: Source) -> BaseBuffer | None:
    length = source.length(wide=True)
    return None if length < 0 else source.reader.take(length)


def _write_records(writer: Writer, records: BaseBuffer | None) -> None:
    writer.put_length(-1 if records is None else len(records), wide=True)
    if records is not None and len(records):
        writer.put_buffer(records)


def Array(*fields: Field | Kind, nullable: bool = False) -> Kind:  # noqa: N802  it stands among the types
    """An array of structures, or of values of one type. Null is an empty one, unless the message tells them apart."""

    def read_item(source: Source) -> Any:
        return only.read(source) if only is not None else _read_fields(rows, source)

    def read(source: Source) -> list[Any] | None:
        number = source.count(source.length(wide=True))
        return None if number < 0 and nullable else [read_item(source) for _ in range(number)]

    def write(writer: Writer, items: Sequence[Any] | None) -> None:
        writer.put_length(-1 if items is None else len(items), wide=True)
        for item in items or ():
            if only is not None:
                only.write(writer, item)
            else:
                _write_fields(rows, writer, item)

    rows = [field for field in fields if isinstance(field, Field)]
    only = next((field for field in fields if isinstance(field, Kind)), None)
    return Kind(read, write, None if nullable else ())


BOOL: Final = Kind(
    lambda source: source.reader.u8() != 0, lambda writer, value: writer.put(b"\1" if value else b"\0"), default=False
)
INT8: Final = _number("b", Reader.i8)
INT16: Final = _number("h", Reader.i16_be)
INT32: Final = _number("i", Reader.i32_be)
INT64: Final = _number("q", Reader.i64_be)
UUID: Final = Kind(lambda source: source.reader.take_bytes(16), lambda writer, value: writer.put(value), bytes(16))
STRING: Final = Kind(_read_string, _put_text, "")
NULLABLE_STRING: Final = Kind(_read_text, _put_text, None)
BYTES: Final = Kind(_read_bytes, _write_bytes, b"")
RECORDS: Final = Kind(_read_records, _write_records, None)
