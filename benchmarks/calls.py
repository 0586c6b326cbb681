"""What each public call costs on a message of 90 bytes, beside what one would write with bytes, bytearray and struct.

A line is two pieces of code, ours and its twin, as they stand in the table. Each is run some hundreds of times in a row
without a call around it, which would cost more than much of what is measured. What changes its object gets a new one
each time; those are made before the clock runs. Ours is run on the message in one part, and in two with the seam in the
middle of what is asked for. The twin has flat bytes: what it would cost him to get them is left out.
"""

from __future__ import annotations

import copy
import io
import mmap
import os
import pickle
import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import indent
from typing import Any, Final

import bytebufs
from bytebufs import COMPILED, BaseBuffer, BufferFile, CompositeBuffer, Reader, SliceBuffer

from ._harness import OURS, Action, Cell, Contender, Goal, Sample, by_build, cost_of

__all__ = ["LINES", "REASONS", "Line", "plan"]

ONE: Final = "one part"
TWO: Final = "two parts"
TWIN: Final = "twin"

A_SLICE: Final = 60
"""Nanoseconds that each slice may cost that a call gives, above what its twin's answer does."""

MESSAGE: Final = b"GET /a/path/of/some/length/index.html HTTP/1.1\r\nHost: example.org\r\nAccept: text/*, */*\r\n\r\n"
SEAM: Final = 45
_WORDS: Final = bytes(range(97, 97 + 26)) * 3 + b"and no more."
_VARINT: Final = MESSAGE[:44] + b"\xac\x02" + MESSAGE[46:]
_CSTRING: Final = MESSAGE[:50] + b"\0" + MESSAGE[51:]
_PREFIXED: Final = b"\x00\x58" + MESSAGE[2:]
_VARINT_PREFIXED: Final = b"\x59" + MESSAGE[1:]
_DIGITS: Final = b"%090d" % 123_456_789
_LINE: Final = _WORDS[:88] + b"\r\n"

_PURE_BOUND: Final = 15
"""The most that a call of the pure build may cost against its twin."""


@dataclass(frozen=True)
class Line:
    """A call, as ours and as its twin.

    It is called after what it is asked of: b is a slice, c a composite, r a reader. Both codes find ``d``, the message
    as bytes; ours also ``b`` and ``c``, a slice and a composite of it, and ``parts``. What is called ``x`` in ours and
    ``y`` in the twin is made anew for each time, by ``fresh`` and ``twin_fresh``. The last expression is the answer,
    and all have the same one unless it says that they ``differ``.
    """

    call: str
    ours: str
    twin: str
    fresh: str = ""
    twin_fresh: str = ""
    of: str = ""
    """The public name that it is a line for, if its own does not say it."""
    slices: int = 0
    bounds: tuple[float, float] = (3, 5)
    """The most that it may cost against its twin, in one part and in two."""
    amount: float | None = None
    """Nanoseconds that it may cost, where no twin does the same: what stands there is for show."""
    in_two: str | None = ""
    """What ours is in two parts, if something else; None if it cannot be asked of two."""
    data: bytes = MESSAGE
    differ: bool = False

    @property
    def covers(self) -> str:
        """The public name that this is a line for."""
        return self.of or self.call


def _on_slice(*rows: tuple[str, str, str] | tuple[str, str, str, int]) -> list[Line]:
    return [
        Line(f"b.{name}", ours, twin, of=f"BaseBuffer.{name}", slices=sum(slices)) for name, ours, twin, *slices in rows
    ]


def _facts(*rows: tuple[str, str, str]) -> list[Line]:
    return [Line(f"b.{name}", ours, twin, of=f"BaseBuffer.{name}", differ=True) for name, ours, twin in rows]


def _on_composite(*rows: tuple[str, str, str] | tuple[str, str, str, int]) -> list[Line]:
    return [
        Line(
            f"c.{name}", ours, twin, "CompositeBuffer(parts)", "bytearray(d)",
            of=f"CompositeBuffer.{name}", slices=sum(slices),
        )
        for name, ours, twin, *slices in rows
    ]  # fmt: skip


def _appended(what: str, name: str) -> Line:
    """Return the line of what has no bytes object below it, or only a piece."""
    return Line(
        f"append of {what}", f"x.append({name}); x", f"y += {name}; y", "CompositeBuffer()", "bytearray()",
        of="CompositeBuffer.append", amount=300, in_two=None,
    )  # fmt: skip


def _on_reader(*rows: tuple[str, int, str, str] | tuple[str, int, str, str, int]) -> list[Line]:
    return [
        Line(
            f"r.{name}", ours, twin, f"reader_at(b, {at})", f"cursor_at(d, {at})",
            of=f"Reader.{name}", slices=sum(slices),
        )
        for name, at, ours, twin, *slices in rows
    ]  # fmt: skip


def _numbers() -> list[Line]:
    """Return a line for each kind of number; in two parts it lies across the seam, if it has more than a byte."""
    rows = []
    for name, code in _CODES.items():
        size = struct.calcsize(f">{code}")
        at = SEAM - size // 2
        value = f"v = d[{at}]" if name == "u8" else f"(v,) = {name}(d, {at})"
        rows.append((name, at, f"x.{name}()", f"{value}; at = {at} + {size}; v"))
    for name, size, arguments in (("u24", 3, ""), ("i24", 3, ""), ("uint", 5, "5"), ("sint", 5, "5")):
        at = SEAM - size // 2
        signed = name in ("i24", "sint")
        value = f'v = from_bytes(d[{at} : {at + size}], "big", signed={signed})'
        rows.append((name, at, f"x.{name}({arguments})", f"{value}; at = {at} + {size}; v"))
    return _on_reader(*rows)


def _framer(make: str, data: bytes, frame: str, encoded: str) -> list[Line]:
    """Return the lines of a framer: a whole frame comes, or two halves; a payload is encoded."""
    name = make.partition("(")[0]
    return [
        Line(
            f"{name}.feed", "next(x.feed(d))", f"y += d; t = {frame}; del y[:90]; t", make, "bytearray()", slices=1,
            in_two="next(x.feed(parts[0]), None); next(x.feed(parts[1]))", data=data,
        ),
        Line(f"{name}.encode", "x.encode(d)", encoded, make, in_two="x.encode(b)", bounds=(3, 3), data=_WORDS),
    ]  # fmt: skip


_CODES: Final = dict(
    zip(["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"], "BbHhIiQqfd", strict=True)
)
"""The format of each number that struct knows."""

LINES: Final[Sequence[Line]] = [
    # -- reading, on a slice
    *_on_slice(
        ("__len__", "len(b)", "len(d)"),
        ("__bool__", "bool(b)", "bool(d)"),
        ("__iter__", "sum(b)", "sum(d)"),
        ("__reversed__", "sum(reversed(b))", "sum(reversed(d))"),
        ("__contains__", 'b"Host" in b', 'b"Host" in d'),
        ("__eq__", "b == e", "d == e"),
        ("__lt__", "b < e", "d < e"),
        ("__bytes__", "bytes(b)", "bytes(a)"),
        ("find", 'b.find(b"Host")', 'd.find(b"Host")'),
        ("rfind", 'b.rfind(b"GET")', 'd.rfind(b"GET")'),
        ("index", 'b.index(b"Host")', 'd.index(b"Host")'),
        ("rindex", 'b.rindex(b"GET")', 'd.rindex(b"GET")'),
        ("count", 'b.count(b"\\r\\n")', 'd.count(b"\\r\\n")'),
        ("startswith", "b.startswith(head)", "d.startswith(head)"),
        ("endswith", "b.endswith(tail)", "d.endswith(tail)"),
        ("partition", 'b.partition(b"\\r\\n")', 'd.partition(b"\\r\\n")', 3),
        ("rpartition", 'b.rpartition(b"\\r\\nHost")', 'd.rpartition(b"\\r\\nHost")', 3),
        ("split", 'b.split(b"\\r\\n")', 'd.split(b"\\r\\n")', 6),
        ("splitlines", "b.splitlines()", "d.splitlines()", 5),
        ("strip", "b.strip()", "d.strip()", 1),
        ("lstrip", 'b.lstrip(b"GET ")', 'd.lstrip(b"GET ")', 1),
        ("rstrip", "b.rstrip()", "d.rstrip()", 1),
        ("removeprefix", 'b.removeprefix(b"GET ")', 'd.removeprefix(b"GET ")', 1),
        ("removesuffix", 'b.removesuffix(b"\\r\\n")', 'd.removesuffix(b"\\r\\n")', 1),
        ("unpack_from", 'b.unpack_from(">HI", 42)', 'unpack_from(">HI", d, 42)'),
        ("iter_unpack", 'list(b.iter_unpack(">HI"))', 'list(iter_unpack(">HI", d))'),
        ("contiguous", "b.contiguous()", "memoryview(d)"),
        ("tobytes", "b.tobytes()", "bytes(a)"),
        ("copy_into", "b.copy_into(into)", "into[:90] = d; len(d)"),
        ("decode", "b.decode()", "d.decode()"),
        ("hex", "b.hex()", "d.hex()"),
    ),
    Line("b.__int__", "int(b)", "int(d)", of="BaseBuffer.__int__", data=_DIGITS),
    Line("b.__float__", "float(b)", "float(d)", of="BaseBuffer.__float__", data=_DIGITS),
    *_facts(
        ("reader", "b.reader()", "BytesIO(d)"),
        ("views", "b.views()", "[memoryview(d)]"),
        ("readonly", "b.readonly", "view.readonly"),
        ("part_count", "b.part_count", "len(parts)"),
        ("is_contiguous", "b.is_contiguous", "view.contiguous"),
        ("pinned_nbytes", "b.pinned_nbytes", "getsizeof(d)"),
        ("mapped_nbytes", "b.mapped_nbytes", "getsizeof(d)"),
        ("__reduce_ex__", "dumps(b, 5)", "dumps(d, 5)"),
    ),
    Line(
        "startswith one of two", 'b.startswith((b"PUT", b"GET"))', 'd.startswith((b"PUT", b"GET"))',
        of="BaseBuffer.startswith",
    ),
    Line("b.__getitem__", "b[50]", "d[50]", of="BaseBuffer.__getitem__"),
    Line("a slice of 50", "b[10:60]", "d[10:60]", slices=1, of="BaseBuffer.__getitem__"),
    Line("tobytes of a slice of 5", "b[43:48].tobytes()", "d[43:48]", slices=1, of="BaseBuffer.tobytes"),
    Line("decode of a slice of 5", "b[43:48].decode()", "d[43:48].decode()", slices=1, of="BaseBuffer.decode"),
    Line("== of a slice of 5", 'b[43:48] == b"/1.1\\r"', 'd[43:48] == b"/1.1\\r"', slices=1, of="BaseBuffer.__eq__"),
    Line("b.view", "b.view()", "memoryview(d)", in_two=None, of="BaseBuffer.view"),
    Line("b.write_at", 'w.write_at(43, b"1234")', 'a[43:47] = b"1234"', of="BaseBuffer.write_at"),
    Line("b.pack_into", 'w.pack_into(">I", 43, 7)', 'pack_into(">I", a, 43, 7)', of="BaseBuffer.pack_into"),
    Line("b.__deepcopy__", "deepcopy(b)", "bytes(a)", of="BaseBuffer.__deepcopy__"),
    Line("SliceBuffer", "SliceBuffer(d)", "memoryview(d)", slices=1, in_two="SliceBuffer(c)"),
    Line("SliceBuffer.toreadonly", "w.toreadonly()", "view.toreadonly()", slices=1),
    Line("SliceBuffer.compact", "b.compact()", "bytes(d)"),
    Line("SliceBuffer.__copy__", "copy(b)", "copy(d)"),
    # -- the same on a composite: what parsers ask of one
    Line("len of a composite", "len(c)", "len(a)", of="BaseBuffer.__len__"),
    Line("a byte of a composite", "c[50]", "a[50]", of="BaseBuffer.__getitem__"),
    Line("a slice of a composite", "c[10:60]", "a[10:60]", slices=1, of="BaseBuffer.__getitem__"),
    Line("find in a composite", 'c.find(b"Host")', 'a.find(b"Host")', of="BaseBuffer.find"),
    Line("startswith of a composite", "c.startswith(head)", "a.startswith(head)", of="BaseBuffer.startswith"),
    Line("== of a composite", "c == e", "a == e", of="BaseBuffer.__eq__"),
    Line("bytes of a composite", "bytes(c)", "bytes(a)", of="BaseBuffer.__bytes__"),
    Line("a reader of a composite", "c.reader()", "BytesIO(d)", of="BaseBuffer.reader", differ=True),
    # -- building and consuming
    Line("CompositeBuffer()", "CompositeBuffer()", "bytearray()", of="CompositeBuffer", bounds=(1.5, 1.5), in_two=None),
    Line(
        "CompositeBuffer of parts", "CompositeBuffer(parts)", "bytearray(p) + q",
        of="CompositeBuffer", bounds=(2.5, 2.5)
    ),
    *_on_composite(
        ("append", "x.append(d); x", "y += d; y"),
        ("__iadd__", "x += d; x", "y += d; y"),
        ("appendleft", "x.appendleft(d); x", "y[:0] = d; y"),
        ("extend", "x.extend([d, d]); x", "y += d; y += d; y"),
        ("insert", "x.insert(43, d); x", "y[43:43] = d; y"),
        ("take", "x.take(50)", "t = y[:50]; del y[:50]; t", 1),
        ("take_all", "x.take_all()", "t = bytes(y); y.clear(); t", 1),
        ("take_bytes", "x.take_bytes(50)", "t = bytes(y[:50]); del y[:50]; t"),
        ("take_at_most", "x.take_at_most(50)", "t = y[:50]; del y[:50]; t", 1),
        ("skip", "x.skip(50); x", "del y[:50]; y"),
        ("truncate", "x.truncate(40); x", "del y[40:]; y"),
        ("clear", "x.clear(); x", "y.clear(); y"),
        ("take_until", 'x.take_until(b"\\r\\n", limit=90)', 'i = y.find(b"\\r\\n"); t = y[:i]; del y[: i + 2]; t', 1),
        ("skip_until", 'x.skip_until(b"\\r\\n"); x', 'del y[: y.find(b"\\r\\n") + 2]; y'),
        ("splice", 'x.splice(20, 60, b"xy"); x', 'y[20:60] = b"xy"; y'),
        ("freeze", "x.freeze()", "bytes(y)", 1),
        ("__copy__", "copy(x)", "y.copy()"),
        ("consolidate", "x.consolidate(); x", 'b"".join(whole)'),
        ("compact", "x.compact(); x", "bytes(y)"),
        ("pack", 'x.pack(">HI", 1, 2); x', 'y += pack(">HI", 1, 2); y'),
        ("pack_u8", "x.pack_u8(7); x", "y.append(7); y"),
        ("pack_u16", "x.pack_u16(300); x", 'y += pack(">H", 300); y'),
        ("pack_u32", "x.pack_u32(300); x", 'y += pack(">I", 300); y'),
        ("pack_u64", "x.pack_u64(300); x", 'y += pack(">Q", 300); y'),
        ("pack_f64", "x.pack_f64(0.5); x", 'y += pack(">d", 0.5); y'),
        ("pack_text", 'x.pack_text("some text"); x', 'y += "some text".encode(); y'),
        ("insert_varint", "x.insert_varint(10, 300); x", "y[10:10] = varint(300); y"),
        ("pack_varint", "x.pack_varint(300); x", "y += varint(300); y"),
        ("pack_uint", "x.pack_uint(300, 3); x", 'y += (300).to_bytes(3, "big"); y'),
        ("reserve", "x.reserve(4)", "y += bytes(4); bytes(4)"),
        ("parse", "x.parse(read_message, limit=90)", "n = y[0]; t = y[1 : 1 + n]; del y[: 1 + n]; t", 1),
    ),
    Line(
        "c.first", "x.first()", "memoryview(y)", "CompositeBuffer(parts)", "bytearray(d)",
        of="CompositeBuffer.first", slices=1, differ=True,
    ),
    Line(
        "c.take_part", "x.take_part()", "t = bytes(y); y.clear(); t", "CompositeBuffer(parts)", "bytearray(d)",
        of="CompositeBuffer.take_part", slices=1, differ=True,
    ),
    Line(
        "parse that waits", "x.parse(read_more, limit=900)", "None if len(y) < 200 else y[:200]",
        "CompositeBuffer(parts)", "bytearray(d)", of="CompositeBuffer.parse", amount=600,
    ),
    Line(
        "parse of an empty buffer", "x.parse(read_more, limit=900)", "None if len(y) < 200 else y[:200]",
        "CompositeBuffer()", "bytearray()", of="CompositeBuffer.parse", amount=60, in_two=None,
    ),
    _appended("a view", "view"),
    _appended("a piece of a bytearray", "piece"),
    _appended("a bytearray", "a"),
    _appended("a map", "mapped"),
    # -- the typed cursor
    *_numbers(),
    *_on_reader(
        ("take", 35, "x.take(20)", "d[35:55]", 1),
        ("array", 35, 'x.array("H", 10)', 't = array("H", d[35:55]); t.byteswap(); t'),
        ("until", 0, 'x.until(b"\\r\\n", limit=90)', 'i = d.find(b"\\r\\n"); d[:i]', 1),
        ("line", 0, "x.line(limit=90)", 'i = d.find(b"\\n"); t = d[:i]; t[:-1] if t.endswith(b"\\r") else t', 1),
        ("take_rest", 35, "x.take_rest()", "d[35:]", 1),
        ("at_end", 55, "x.at_end", "y.tell() == len(d)"),
        ("peek_u8", 45, "x.peek_u8()", "d[45]"),
        ("peek_u32", 43, "x.peek_u32()", "(v,) = u32(d, 43); v"),
        ("unpack", 42, 'x.unpack(">HI")', 'unpack_from(">HI", d, 42)'),
        ("skip", 35, "x.skip(20); x.position", "y.seek(20, 1)"),
        ("peek", 35, "x.peek(20)", "d[35:55]", 1),
        ("expect", 35, "x.expect(literal)", "None if d.startswith(literal, 35) else 0"),
        ("position", 55, "x.position", "y.tell()"),
        ("remaining", 55, "x.remaining", "len(d) - y.tell()"),
        ("seek", 35, "x.seek(55); x.position", "y.seek(55)"),
    ),
    Line(
        "r.cstring", "x.cstring(limit=90)", "i = d.index(0, 35); d[35:i]", "reader_at(b, 35)", of="Reader.cstring",
        slices=1, data=_CSTRING,
    ),
    Line("r.limited", "x.limited(80)", "view[:80]", "reader_at(b, 35)", of="Reader.limited", differ=True),
    Line("r.sub", "x.sub(20)", "view[35:55]", "reader_at(b, 35)", differ=True, of="Reader.sub"),
    Line("r.take_bytes", "x.take_bytes(20)", "d[35:55]", "reader_at(b, 35)", bounds=(1.5, 5), of="Reader.take_bytes"),
    Line("r.text", "x.text(20)", "d[35:55].decode()", "reader_at(b, 35)", bounds=(1.5, 5), of="Reader.text"),
    Line("r.varint", "x.varint()", "unvarint(d, 44)[0]", "reader_at(b, 44)", data=_VARINT, of="Reader.varint"),
    Line(
        "r.zigzag", "x.zigzag()", "n = unvarint(d, 44)[0]; n >> 1 ^ -(n & 1)", "reader_at(b, 44)", data=_VARINT,
        of="Reader.zigzag",
    ),
    # -- framers
    *_framer("FixedLength(90)", MESSAGE, "y[:90]", "bytearray(d)"),
    *_framer("LengthPrefixed(2, limit=92)", _PREFIXED, "y[2 : 2 + u16(y)[0]]", 'len(d).to_bytes(2, "big") + d'),
    *_framer("VarintPrefixed(91)", _VARINT_PREFIXED, "y[1 : 1 + y[0]]", "varint(len(d)) + d"),
    *_framer('Delimited(b"\\r\\n", limit=92)', _LINE, 'y[: y.find(b"\\r\\n")]', 'd + b"\\r\\n"'),
    *_framer("Lines(90)", _LINE, 'y[: y.find(b"\\r\\n")]', 'd + b"\\n"'),
    Line("Framer.pending", "x.pending", "len(y)", "FixedLength(9)", "bytearray()", in_two=None),
    Line("Framer.end", "x.end()", "None if not y else 0", "FixedLength(9)", "bytearray()", in_two=None),
    Line(
        "Framer.detach", "x.detach()", "bytearray(y)", "FixedLength(9)", "bytearray()", in_two=None, differ=True,
    ),
    # -- as a file
    Line("BufferFile", "BufferFile(b)", "cursor_at(d, 0)", differ=True),
    *[
        Line(f"BufferFile.{name}", f"x.{call}", f"y.{call}", "file_at(b, 20)", "cursor_at(d, 20)")
        for name, call in (
            ("read", "read(30)"), ("readline", "readline()"), ("readinto", "readinto(into)"), ("seek", "seek(5)"),
            ("tell", "tell()"),
        )
    ],
    # -- sending; there is nobody at the other end
    Line("flush", "flush(b, null)", "write(null, d)"),
    Line(
        "Outbox.put", "x.put(d); x.pending", "y += d; len(y)", "Outbox()", "bytearray()",
        in_two="x.put(b); x.pending",
    ),
    Line(
        "Outbox.flush", "x.put(d); x.flush(null)", "y += d; n = write(null, y); del y[:n]; n", "Outbox()",
        "bytearray()", in_two="x.put(b); x.flush(null)",
    ),
    Line("Outbox.pending", "x.pending", "len(y)", "Outbox()", "bytearray()", in_two=None),
    # -- audits
    Line("copy_audit", "with copy_audit():\n    pass", "None", amount=1000, in_two=None),
    Line("no_copy", "with no_copy():\n    pass", "None", amount=1000, in_two=None),
]  # fmt: skip

_FOR_PEOPLE: Final = "text for people: no program waits for it"
_BY_SYSTEM: Final = "what it costs is what the system's calls cost: see the benchmarks of sending and receiving"
_REFUSES: Final = "raises, and says what to write instead"
_AS: Final = "is the same code as {}"
_ATTRIBUTE: Final = "a field that is looked at, as {}"

REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("BaseBuffer.hexdump", "BaseBuffer.layout", "BaseBuffer.__repr__", "Reader.__repr__", "Framer.__repr__",
         "Outbox.__repr__", "Inbox.__repr__", "Pool.__repr__", "CopyAudit.__repr__",
         "BufferFile.__repr__", "FileRegion.__repr__", "MappedFile.__repr__"),
        _FOR_PEOPLE,
    ),
    **dict.fromkeys(
        ("FileRegion", "MappedFile", "allocate", "transfer", "Transferred",
         "FileRegion.prefetch", "FileRegion.__getitem__",
         "FileRegion.__len__", "FileRegion.__iter__", "FileRegion.__copy__", "FileRegion.__eq__",
         "FileRegion.__reduce_ex__", "FileRegion.__del__",
         "MappedFile.access", "MappedFile.advise", "MappedFile.close", "MappedFile.closed", "MappedFile.flush",
         "MappedFile.prefetch", "MappedFile.__getitem__", "MappedFile.__len__", "MappedFile.__iter__",
         "MappedFile.__enter__", "MappedFile.__exit__", "MappedFile.__reduce_ex__",
         "Inbox", "Inbox.receive", "Inbox.room", "Inbox.filled", "Inbox.rest", "Inbox.buffer", "Inbox.ended",
         "Inbox.limit", "Pool", "Pool.block", "Pool.lent", "Pool.made", "Pool.nbytes", "Pool.reused", "Pool.trim",
         "Pool.waiting"),
        _BY_SYSTEM,
    ),
    **dict.fromkeys(
        ("BaseBuffer.__hash__", "BaseBuffer.__add__", "BaseBuffer.__radd__", "BaseBuffer.__mul__",
         "BaseBuffer.__rmul__", "BaseBuffer.__setitem__", "BaseBuffer.__delitem__", "BaseBuffer.__array__",
         "BaseBuffer.__array_ufunc__", "Reader.__reduce_ex__", "Framer.__reduce_ex__", "Outbox.__reduce_ex__",
         "Inbox.__reduce_ex__", "Pool.__reduce_ex__",
         "CopyAudit.__reduce_ex__"),
        _REFUSES,
    ),
    **{
        f"{call}{name}_{order}": _AS.format(f"{call}{name}")
        for call in ("Reader.", "Reader.peek_", "CompositeBuffer.pack_")
        for name in ("u16", "u24", "u32", "u64", "i16", "i24", "i32", "i64", "f32", "f64")
        for order in ("be", "le")
    },
    **{
        f"Reader.peek_{name}": _AS.format("Reader.peek_u8 or peek_u32, but for the read that is undone")
        for name in ("u16", "u24", "u64", "i8", "i16", "i24", "i32", "i64", "f32", "f64")
    },
    **{
        f"CompositeBuffer.pack_{name}": _AS.format("CompositeBuffer.pack_u32, or pack_f64, in another size")
        for name in ("u24", "i8", "i16", "i24", "i32", "i64", "f32")
    },
    "BaseBuffer.__le__": _AS.format("BaseBuffer.__lt__"),
    "BaseBuffer.__gt__": _AS.format("BaseBuffer.__lt__"),
    "BaseBuffer.__ge__": _AS.format("BaseBuffer.__lt__"),
    "BaseBuffer.__ne__": _AS.format("BaseBuffer.__eq__"),
    "BaseBuffer.__buffer__": "Python 3.12 and newer only; BaseBuffer.contiguous has a line",
    "Framer.encode": "each format has a line for its own",
    "Framer.skipped": _ATTRIBUTE.format("Framer.pending"),
    "Reader.byteorder": _ATTRIBUTE.format("Reader.position"),
    "Outbox.paused": _ATTRIBUTE.format("Outbox.pending"),
    "Outbox.close": "once in an outbox's life",
    "Outbox.__enter__": "once in an outbox's life",
    "Outbox.__exit__": "once in an outbox's life",
    "Outbox": "once in a connection's life",
    "CopyAudit": "made by copy_audit",
    **dict.fromkeys(
        ("CopyAudit.nbytes", "CopyAudit.count", "CopyAudit.by_reason", "CopyAudit.hidden"), "looked at when all is done"
    ),
    "BufferFile.read1": _AS.format("BufferFile.read"),
    "BufferFile.readinto1": _AS.format("BufferFile.readinto"),
    "BufferFile.readable": _ATTRIBUTE.format("BufferFile.tell"),
    "BufferFile.seekable": _ATTRIBUTE.format("BufferFile.tell"),
    "BufferFile.close": "once in a file's life",
    "BaseBuffer": "not made by users",
    "Framer": "not made by users",
    "Reader": "made by BaseBuffer.reader",
    **dict.fromkeys(
        ("FixedLength", "LengthPrefixed", "VarintPrefixed", "Delimited", "Lines"), "once in a connection's life"
    ),
    "BytesLike": "a name for annotations",
    "Part": "a name for annotations",
    "COMPILED": "a constant",
}  # fmt: skip
"""Why a public name has no line."""


# -- what the code of a line finds ---------------------------------------------------------------------------


def _reader_at(buffer: BaseBuffer, at: int) -> Reader:
    reader = buffer.reader()
    reader.skip(at)
    return reader


def _cursor_at(data: bytes, at: int) -> io.BytesIO:
    cursor = io.BytesIO(data)
    cursor.seek(at)
    return cursor


def _file_at(buffer: BaseBuffer, at: int) -> BufferFile:
    file = BufferFile(buffer)
    file.seek(at)
    return file


def _read_message(r: Reader) -> SliceBuffer:
    return r.take(r.u8())


def _read_more(r: Reader) -> SliceBuffer:
    return r.take(200)


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _unvarint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


_NULL: Final = os.open(os.devnull, os.O_WRONLY)


def _names(data: bytes, parts: list[bytes]) -> dict[str, Any]:
    """Return all that the code of a line may use."""
    pages = mmap.mmap(-1, mmap.PAGESIZE)
    pages[: len(data)] = data
    writable = memoryview(bytearray(data))
    halves = [writable] if len(parts) == 1 else [writable[:SEAM], memoryview(bytearray(data[SEAM:]))]
    return {
        **{name: getattr(bytebufs, name) for name in bytebufs.__all__},
        **{name: struct.Struct(f">{code}").unpack_from for name, code in _CODES.items()},
        "d": data, "e": bytes(bytearray(data)), "p": data[:SEAM], "q": data[SEAM:], "whole": [data],
        "a": bytearray(data), "view": memoryview(data), "piece": memoryview(bytearray(data + data))[45:135],
        "mapped": memoryview(pages)[: len(data)], "into": memoryview(bytearray(len(data))),
        "parts": parts, "b": CompositeBuffer(parts).freeze(), "c": CompositeBuffer(parts),
        "w": CompositeBuffer(halves).freeze(),
        "head": data[:60], "tail": data[30:], "literal": data[35:55],
        "array": array, "BytesIO": io.BytesIO, "copy": copy.copy, "cursor_at": _cursor_at, "deepcopy": copy.deepcopy,
        "dumps": pickle.dumps, "file_at": _file_at,
        "from_bytes": int.from_bytes, "getsizeof": sys.getsizeof, "iter_unpack": struct.iter_unpack, "null": _NULL,
        "pack": struct.pack, "pack_into": struct.pack_into, "read_message": _read_message, "read_more": _read_more,
        "reader_at": _reader_at, "unpack_from": struct.unpack_from, "unvarint": _unvarint, "varint": _varint,
        "write": os.write,
    }  # fmt: skip


# -- running it ----------------------------------------------------------------------------------------------

_BRIEFLY: Final = 0.1
"""Where each call has a new object, most of the time goes into making those: thousands of calls a round are enough."""

_UNROLLED: Final = 10
"""How often code stands in its loop, so that the loop costs next to nothing."""


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    return [partial(_cell, line, 20 if quick else 400) for line in LINES]


def _cell(line: Line, count: int) -> Cell:
    ways = _ways(line)
    return Cell(
        "call",
        {"call": line.call},
        "call",
        count,
        [
            Contender(
                way.name, OURS if way.name != TWIN else "rival", partial(way.prepare, count), once=bool(way.fresh)
            )
            for way in ways
        ],
        _goals(line, [way.name for way in ways if way.name != TWIN], count),
        check=None if line.differ else partial(_check, line, ways),
        patience=_BRIEFLY if line.fresh else 1,
    )


@dataclass(frozen=True)
class _Way:
    """A piece of code, and what it finds."""

    name: str
    code: str
    fresh: str
    names: Mapping[str, Any]

    @property
    def statements(self) -> list[str]:
        return self.code.split("; ")

    @property
    def variable(self) -> str:
        """What the new objects are called."""
        return "y" if self.name == TWIN else "x"

    def prepare(self, count: int) -> Action:
        """Return what runs the code so often: on one and the same object, or on new ones that are made here."""
        if not self.fresh:
            return partial(self._compile("_", _UNROLLED), range(count // _UNROLLED))
        return partial(self._compile(self.variable, 1), [eval(self.fresh, {**self.names}) for _ in range(count)])

    def _compile(self, variable: str, times: int) -> Callable[[object], None]:
        """Return a function that goes through what it is given; every name in it is local."""
        used = [name for name in compile(self.code, "line", "exec").co_names if name in self.names]
        body = indent("\n".join(self.statements * times), " " * 8)
        scope = {**self.names}
        exec(
            f"def run({', '.join(['objects', *(f'{n}={n}' for n in used)])}):\n    for {variable} in objects:\n{body}",
            scope,
        )
        run: Callable[[object], None] = scope["run"]
        return run

    def answer(self) -> object:
        """Run the code once, and return the value of its last expression."""
        scope = {**self.names, self.variable: eval(self.fresh, {**self.names}) if self.fresh else None}
        *before, last = self.statements
        exec("\n".join(before), scope)
        try:
            value = eval(last, scope)
        except SyntaxError:  # it is no expression
            exec(last, scope)
            value = None
        return _plain(value)


def _ways(line: Line) -> list[_Way]:
    one = _names(line.data, [line.data])
    two = _names(line.data, [line.data[:SEAM], line.data[SEAM:]])
    ways = [_Way(ONE, line.ours, line.fresh, one)]
    if line.in_two is not None:
        ways.append(_Way(TWO, line.in_two or line.ours, line.fresh, two))
    return [*ways, _Way(TWIN, line.twin, line.twin_fresh, one)]


def _check(line: Line, ways: Sequence[_Way]) -> None:
    """Assert that all give the same answer."""
    answers = {way.name: way.answer() for way in ways}
    assert all(answer == answers[TWIN] for answer in answers.values()), f"{line.call}: {answers}"


def _plain(value: object) -> object:
    """Return what can be compared: bytes for all that is made of them."""
    if isinstance(value, (BaseBuffer, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


# -- goals ---------------------------------------------------------------------------------------------------


def _goals(line: Line, ours: Sequence[str], count: int) -> list[Goal]:
    if line.amount is not None:
        bound = by_build(compiled=line.amount, pure=None)
        return [Goal(f"cost in {name}", "at most", bound, partial(_amount, name, count), "ns") for name in ours]
    bounds = [by_build(compiled=bound, pure=_PURE_BOUND) for bound in line.bounds]
    if not line.slices:
        return [cost_of(name, TWIN, bound) for name, bound in zip(ours, bounds)]
    allowed = A_SLICE * line.slices * count if COMPILED else 0
    title = (
        f"cost of {{}} less {A_SLICE} ns for each slice, against {TWIN}" if COMPILED else f"cost of {{}} against {TWIN}"
    )
    return [
        Goal(title.format(name), "at most", bound, partial(_cost_without, name, allowed))
        for name, bound in zip(ours, bounds)
    ]


def _amount(name: str, count: int, samples: Mapping[str, Sample]) -> tuple[float, str]:
    return samples[name].median / count, TWIN


def _cost_without(name: str, allowed: float, samples: Mapping[str, Sample]) -> tuple[float, str]:
    return max(0, samples[name].median - allowed) / samples[TWIN].median, TWIN
