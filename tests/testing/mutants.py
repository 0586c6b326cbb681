"""Mutants of a correct buffer: each has one method wrong, as somebody might get it wrong."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import accumulate, cycle
from operator import index
from typing import Any, Final

import pytest

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer
from bytebufs.testing import DiffersFromBytes, check_buffer

from ..layouts import chunks

_METHODS: Final = (
    *("len", "iter", "reversed", "bytes", "contains", "getitem", "int", "float", "buffer"),
    *("eq", "ne", "lt", "le", "gt", "ge"),
)
_NAMED: Final = (
    *(f"__{name}__" for name in _METHODS),
    *("find", "rfind", "index", "rindex", "count", "startswith", "endswith", "removeprefix", "removesuffix"),
    *("partition", "rpartition", "split", "splitlines", "strip", "lstrip", "rstrip", "decode", "hex", "hexdump"),
    *("tobytes", "contiguous", "copy_into", "write_at", "unpack_from", "iter_unpack", "views", "view", "layout"),
)
_FACTS: Final = ("part_count", "is_contiguous", "readonly")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.inner if isinstance(value, Wrapped) else value


def _passed_on(name: str) -> Any:
    def method(self: Wrapped, *args: Any, **options: Any) -> Any:
        found = getattr(self.inner, name)(*map(_plain, args), **options)
        if isinstance(found, (list, tuple)) and all(isinstance(item, BaseBuffer) for item in found):
            return type(found)(map(self.of, found))
        return self.of(found) if isinstance(found, BaseBuffer) else found

    return method


def _fact(name: str) -> property:
    return property(lambda self: getattr(self.inner, name))


_PassedOn: Final[Any] = type(
    "_PassedOn",
    (),
    {name: _passed_on(name) for name in _NAMED} | {name: _fact(name) for name in _FACTS},
)


class Wrapped(_PassedOn):  # type: ignore[misc]  # its methods are made
    """A buffer of ours inside of an object: all is passed on, and what derives from it is wrong in one place."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.inner: BaseBuffer = CompositeBuffer(list(map(bytearray, parts)))

    def of(self, found: Any) -> Any:
        """Return a piece as a buffer of the same kind."""
        piece = type(self)([])
        piece.inner = found if isinstance(found, BaseBuffer) else CompositeBuffer([found])
        return piece

    @property
    def data(self) -> bytes:
        return bytes(self.inner)

    @property
    def parts(self) -> list[bytes]:
        return list(map(bytes, self.inner.views()))


def bytes_of(value: Any) -> Any:
    """Return what is bytes-like as bytes."""
    if isinstance(value, (Wrapped, BaseBuffer, bytearray, memoryview)):
        return bytes(value)
    return tuple(map(bytes_of, value)) if isinstance(value, tuple) else value


class BlindAtSeams(Wrapped):
    """Looks into each part alone."""

    def find(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        found = super().find(sub, start, end)
        wanted, at = bytes_of(sub), 0
        for part in self.parts:
            if isinstance(wanted, bytes) and at < found < at + len(part) < found + len(wanted):
                return -1
            at += len(part)
        return found


class OffByOneAtSeams(Wrapped):
    def find(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        found = super().find(sub, start, end)
        return found + 1 if found == len(b"".join(self.parts[:1])) - 1 else found


class ForgetsTheStart(Wrapped):
    """A backwards scan that leaves the range at its front."""

    def rfind(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        return super().rfind(sub, 0, end)


class CountsOverlaps(Wrapped):
    def count(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        wanted = bytes_of(sub)
        if not isinstance(wanted, bytes) or len(wanted) < 2:
            return super().count(sub, start, end)
        data = self.data[start:end]
        return sum(data.startswith(wanted, i) for i in range(len(data)))


class FindsEmptyBeyondTheEnd(Wrapped):
    def find(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        wanted = bytes_of(sub)
        return 0 if isinstance(wanted, bytes) and not wanted else super().find(sub, start, end)


class RaisesTheWrongError(Wrapped):
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int) and key == len(self):
            raise ValueError
        return super().__getitem__(key)


class IndexesPastTheFront(Wrapped):
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int) and key == -len(self) - 1 and self.parts:
            return self.data[-1]
        return super().__getitem__(key)


class CutsOneTooMany(Wrapped):
    """Forgets to clip the last part."""

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice) and type(key.stop) is int and 0 < key.stop < len(self) and key.start is None:
            return self.of(self.data[: key.stop + 1])
        return super().__getitem__(key)


class RefusesBackwardSlices(Wrapped):
    def __getitem__(self, key: Any) -> Any:
        bounds = [bound for bound in (key.start, key.stop) if type(bound) is int] if isinstance(key, slice) else []
        if len(bounds) == 2 and 0 <= bounds[1] < bounds[0]:
            raise ValueError
        return super().__getitem__(key)


class ContainsAnyNumber(Wrapped):
    def __contains__(self, item: Any) -> Any:
        return False if isinstance(item, int) and item == 256 else super().__contains__(item)


class ComparesTheFirstPart(Wrapped):
    def __eq__(self, other: object) -> Any:
        first, wanted = b"".join(self.parts[:1]), bytes_of(other)
        if isinstance(wanted, bytes):
            return len(wanted) == len(self) and wanted.startswith(first)
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]


class OrdersSigned(Wrapped):
    def __lt__(self, other: Any) -> Any:
        wanted = bytes_of(other)
        if not isinstance(wanted, bytes):
            return super().__lt__(other)
        return [byte ^ 128 for byte in self.data] < [byte ^ 128 for byte in wanted]


class OrdersByLength(Wrapped):
    def __gt__(self, other: Any) -> Any:
        wanted = bytes_of(other)
        if not isinstance(wanted, bytes):
            return super().__gt__(other)
        return (len(self), self.data) > (len(wanted), wanted)


class IgnoresTheEnd(Wrapped):
    def startswith(self, prefix: Any, start: Any = None, end: Any = None) -> Any:
        return super().startswith(prefix, start)


class TriesOneOfATuple(Wrapped):
    def endswith(self, suffix: Any, start: Any = None, end: Any = None) -> Any:
        return super().endswith(suffix[:1] if isinstance(suffix, tuple) else suffix, start, end)


class RemovesAsSet(Wrapped):
    def removeprefix(self, prefix: Any) -> Any:
        return self.of(self.data.lstrip(bytes_of(prefix)))


class PartsAtTheLast(Wrapped):
    def partition(self, sep: Any) -> Any:
        return self.rpartition(sep) if self.data.count(bytes_of(sep)) else super().partition(sep)


class PutsTheRestInFront(Wrapped):
    def rpartition(self, sep: Any) -> Any:
        found = super().rpartition(sep)
        return found if found[1] else (found[2], found[1], found[0])


class DropsTheLastPiece(Wrapped):
    def split(self, sep: Any, maxsplit: Any = -1) -> Any:
        found = super().split(sep, maxsplit)
        return found[:-1] if len(found) > 1 and not found[-1] else found


class SplitsOnceMore(Wrapped):
    def split(self, sep: Any, maxsplit: Any = -1) -> Any:
        return super().split(sep, maxsplit + 1 if type(maxsplit) is int and maxsplit == 2 else maxsplit)


class SplitsCrLfAtSeams(Wrapped):
    def splitlines(self, keepends: bool = False) -> Any:
        if len(self.parts) == 2 and self.parts[0].endswith(b"\r") and self.parts[1].startswith(b"\n"):
            return [self.of(line) for part in self.parts for line in part.splitlines(keepends)]
        return super().splitlines(keepends)


class EndsLinesAtFormFeeds(Wrapped):
    def splitlines(self, keepends: bool = False) -> Any:
        return [self.of(line.encode()) for line in self.data.replace(b" ", b"\x0c").decode().splitlines(keepends)]


class StripsTheFirstPart(Wrapped):
    def lstrip(self, chars: Any = None) -> Any:
        first = b"".join(self.parts[:1])
        return self.of(first.lstrip(bytes_of(chars)) + self.data[len(first) :])


class IteratesUnclipped(Wrapped):
    def __iter__(self) -> Any:
        return iter(self.data + b"\n" if len(self.parts) > 1 else self.data)


class ReversesEachPart(Wrapped):
    def __reversed__(self) -> Any:
        return iter([byte for part in self.parts for byte in reversed(part)])


class DecodesEachPart(Wrapped):
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> Any:
        return "".join(part.decode(encoding, errors) for part in self.parts)


class HexesEachPart(Wrapped):
    def hex(self, *args: Any) -> Any:
        return "".join(part.hex(*args) for part in self.parts)


class HasEmptyViews(Wrapped):
    def views(self) -> Any:
        return [memoryview(b""), *super().views()]


class HasUnclippedViews(Wrapped):
    def views(self) -> Any:
        return [memoryview(bytes(view) + b"\n" if len(view) == 2 else view) for view in super().views()]


class ReadsNumbersInTheFirstPart(Wrapped):
    def __int__(self) -> Any:
        return int(b"".join(self.parts[:1]))


class ExportsTheFirstPart(Wrapped):
    def __buffer__(self, flags: int) -> Any:
        return memoryview(b"".join(self.parts[:1]))


class ForgetsATail(Wrapped):
    def tobytes(self) -> Any:
        return b"".join(self.parts[:2])


class CopiesWhatFits(Wrapped):
    def copy_into(self, dest: Any, start: Any = None, stop: Any = None) -> Any:
        data = self.data[start:stop][: len(dest)]
        memoryview(dest)[: len(data)] = data
        return len(data)


class WritesTheFirstPart(Wrapped):
    def write_at(self, at: Any, data: Any) -> None:
        others = self.inner.views()[1:]
        before = [bytes(view) for view in others]
        super().write_at(at, data)
        for view, was in zip(others, before, strict=True):
            view[:] = was


class WritesBeforeItChecks(Wrapped):
    def write_at(self, at: Any, data: Any) -> None:
        if 0 <= index(at) < len(self):
            self.inner.write_at(at, bytes_of(data)[: len(self) - index(at)])
        super().write_at(at, data)


class UnpacksFromTheEnd(Wrapped):
    def unpack_from(self, fmt: Any, at: Any = 0) -> Any:
        return super().unpack_from(fmt, index(at) + len(self) if -len(self) <= index(at) < 0 else at)


class DumpsPastTheEnd(Wrapped):
    def hexdump(self, width: int) -> Any:
        return super().hexdump(width) + (f"\n{len(self):08x}  " if len(self) % width == 0 else "")


class HashesItsBytes(Wrapped):
    def __hash__(self) -> int:
        return hash(self.data)


class IgnoresSteps(Wrapped):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(slice(key.start, key.stop) if isinstance(key, slice) else key)


class RoundsWhereItLooks(Wrapped):
    def find(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        return super().find(sub, int(start) if isinstance(start, float) else start, end)


class ReadsText(Wrapped):
    def __eq__(self, other: object) -> Any:
        return super().__eq__(other.encode() if isinstance(other, str) else other)

    __hash__ = None  # type: ignore[assignment]


class CopiesAcrossSeams(Wrapped):
    """A slice of several parts is joined."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return self.of(b"".join(found.parts)) if isinstance(found, Wrapped) and found.part_count > 1 else found


class UnpacksTheOtherWay(Wrapped):
    """What lies across a seam is read as little-endian, whatever was said."""

    def unpack_from(self, fmt: Any, at: Any = 0) -> Any:
        found = super().unpack_from(fmt, at)
        if fmt == ">H" and any(index(at) + 1 == seam for seam in accumulate(map(len, self.parts))):
            return struct.unpack("<H", struct.pack(">H", *found))
        return found


class WrapsAroundTwice(Wrapped):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key % len(self) if type(key) is int and -2 * len(self) <= key < 0 else key)


class FindsTheFirstFromBehind(Wrapped):
    def rindex(self, sub: Any, start: Any = None, end: Any = None) -> Any:
        return super().index(sub, start, end)


MUTANTS: Final[dict[type[Wrapped], str]] = {
    BlindAtSeams: "searching",
    OffByOneAtSeams: "searching",
    ForgetsTheStart: "searching",
    CountsOverlaps: "searching",
    FindsEmptyBeyondTheEnd: "searching",
    RaisesTheWrongError: "an_index",
    IndexesPastTheFront: "an_index",
    CutsOneTooMany: "a_slice",
    RefusesBackwardSlices: "a_slice",
    ContainsAnyNumber: "containing",
    ComparesTheFirstPart: "comparing",
    OrdersSigned: "comparing",
    OrdersByLength: "comparing",
    IgnoresTheEnd: "beginnings_and_ends",
    TriesOneOfATuple: "beginnings_and_ends",
    RemovesAsSet: "removing_ends",
    PartsAtTheLast: "parting",
    PutsTheRestInFront: "parting",
    DropsTheLastPiece: "splitting",
    SplitsOnceMore: "splitting",
    SplitsCrLfAtSeams: "lines",
    EndsLinesAtFormFeeds: "lines",
    StripsTheFirstPart: "stripping",
    IteratesUnclipped: "a_sequence_of_bytes",
    ReversesEachPart: "a_sequence_of_bytes",
    DecodesEachPart: "decoding",
    HexesEachPart: "hexing",
    HasEmptyViews: "views_and_facts",
    HasUnclippedViews: "views_and_facts",
    ReadsNumbersInTheFirstPart: "numbers_as_text",
    ExportsTheFirstPart: "exporting",
    ForgetsATail: "copying",
    CopiesWhatFits: "copying",
    WritesTheFirstPart: "writing",
    WritesBeforeItChecks: "writing",
    UnpacksFromTheEnd: "unpacking",
    DumpsPastTheEnd: "dumping",
    HashesItsBytes: "no_hash",
    IgnoresSteps: "a_step",
    RoundsWhereItLooks: "searching_from_nowhere",
    ReadsText: "comparing_with_strangers",
    CopiesAcrossSeams: "cutting_copies_nothing",
    UnpacksTheOtherWay: "unpacking",
    WrapsAroundTwice: "an_index",
    FindsTheFirstFromBehind: "searching",
}
"""Each mutant with the check that must not let it pass."""


def make(kind: type[Wrapped], data: bytes) -> Wrapped:
    """Return a buffer in parts of 2, 1 and 3 bytes."""
    return kind(list(chunks(data, cycle([2, 1, 3]))))


def failure(mutant: type[Wrapped], **options: Any) -> DiffersFromBytes:
    """Return how the check that is meant for a mutant finds it."""
    with pytest.raises(DiffersFromBytes) as caught:
        check_buffer(lambda data: make(mutant, data), checks=[MUTANTS[mutant]], max_examples=1000, **options)
    return caught.value


RIGHT: Final[Sequence[Callable[[bytes], Any]]] = (
    SliceBuffer,
    lambda data: CompositeBuffer([bytearray(data)]),
    lambda data: CompositeBuffer([data[:2], bytearray(data[2:])]),
    lambda data: make(Wrapped, data),
)
"""Buffers that pass all checks: of one part and of several, writable or not, and of a class of somebody's own."""
