"""Every way to lay out the same bytes: kinds of owners, lists of parts, and what was done to make a buffer of them.

Whatever reads a buffer has to give one answer for all of them. `LAYOUTS` is the list of whole ways, by name.
"""

from __future__ import annotations

import copy
import ctypes
import io
import mmap
import tempfile
from array import array
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Final

from ..composite_buffer import CompositeBuffer
from ..files import FileRegion, MappedFile, allocate
from ..receiving import Inbox, Pool
from ..slice_buffer import SliceBuffer
from .cuts import chunks, hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..base_buffer import BaseBuffer, Part

__all__ = ["LAYOUTS", "Layout"]

# -- owners --------------------------------------------------------------------------------------------------


def anonymous_map(data: bytes) -> mmap.mmap:
    """Return memory of the process's own that holds the data, which must not be empty."""
    mapped = mmap.mmap(-1, len(data))
    mapped[:] = data
    return mapped


def unaligned_file_map(data: bytes) -> memoryview:
    """Return a piece of a read-only file map that begins at an offset, and not at a page's first byte."""
    lead, tail = b"lead in", b"tail"
    offset = mmap.ALLOCATIONGRANULARITY
    with tempfile.TemporaryFile() as file:
        file.seek(offset)
        file.write(lead + data + tail)
        file.flush()
        mapped = mmap.mmap(file.fileno(), len(lead + data + tail), access=mmap.ACCESS_READ, offset=offset)
    return memoryview(mapped)[len(lead) : len(lead) + len(data)]


def _mapped_file(data: bytes) -> SliceBuffer:
    """Return a writable slice of a mapped file, from a place where no page begins."""
    lead, tail = b"lead in", b"tail"
    with tempfile.TemporaryFile() as file:
        file.write(lead + data + tail)
        return MappedFile(file, access="copy", offset=3)[len(lead) - 3 : -len(tail)]


def _file_region(data: bytes, *, offset: int = 0) -> FileRegion:
    """Return a range of a file that has other bytes on both sides."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(offset) + data + b"tail")
        return FileRegion(file, offset, len(data))


def _direct(data: bytes) -> SliceBuffer:
    block = allocate(len(data))
    block.write_at(0, data)
    return block


def _two_dimensional(data: bytes) -> memoryview:
    """Return the data as a read-only view of two rows, or of one if they are odd in number."""
    rows = 2 if len(data) % 2 == 0 else 1
    return memoryview(data).cast("B", (rows, len(data) // rows))


def _pooled(data: bytes) -> SliceBuffer:
    """Return what was received into a block of a pool, behind other bytes."""
    inbox = Inbox(Pool(len(data) + 64))
    inbox.receive(io.BytesIO(b"before" + data))
    inbox.buffer.skip(6)
    return inbox.buffer.freeze()


# -- parts that show some data -------------------------------------------------------------------------------


def hidden_in_bytearray(chunk: bytes) -> memoryview:
    """Return a view of a piece of a bytearray that has other bytes on both sides of it."""
    return memoryview(bytearray(b"((" + chunk + b")\n"))[2:-2]


def _one_owner_back_to_front(data: bytes) -> list[Part]:
    """Return two pieces of one owner that are shown in the opposite order: they may not merge."""
    half = len(data) // 2
    owner = SliceBuffer(data[half:] + data[:half])
    return [owner[len(data) - half :], owner[: len(data) - half]]


def _neighbours_in_one_owner(data: bytes) -> list[Part]:
    """Return pieces of one owner in its own order: they merge into one."""
    owner = memoryview(b"<" + data + b">")
    return [owner[1 + at : 1 + min(at + 3, len(data))] for at in range(0, len(data), 3)]


MAKERS: Final[dict[str, Callable[[bytes], Part]]] = {
    "bytes": lambda data: data,
    "piece of bytes": hidden,
    "bytearray": bytearray,
    "piece of a bytearray": hidden_in_bytearray,
    "read-only view of a bytearray": lambda data: memoryview(bytearray(data)).toreadonly(),
    "map": anonymous_map,
    "unaligned file map": unaligned_file_map,
    "mapped file": _mapped_file,
    "file region": _file_region,
    "unaligned file region": lambda data: _file_region(data, offset=mmap.ALLOCATIONGRANULARITY + 3),
    "piece of a file region": lambda data: _file_region(b"<" + data + b">\n")[1 : 1 + len(data)],
    "direct memory": _direct,
    "pooled": _pooled,
    "array": lambda data: array("B", data),
    "typed array": lambda data: array("H", data) if len(data) % 2 == 0 else array("b", data),
    "two dimensions": _two_dimensional,
    "ctypes": lambda data: (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
    "slice": lambda data: SliceBuffer(b"[" + data + b"]", 1, 1 + len(data)),
    "composite": lambda data: CompositeBuffer([data[: len(data) // 2], data[len(data) // 2 :]]),
}
"""A part that shows some data, which is not empty, by the kind of its owner."""


def mixed(data: bytes) -> list[Part]:
    """Return parts of every kind in turn, of 1 to 5 bytes."""
    kinds = cycle(MAKERS.values())
    return [make(chunk) for make, chunk in zip(kinds, chunks(data, cycle([1, 2, 3, 5])), strict=False)]


PARTS: Final[dict[str, Callable[[bytes], list[Part]]]] = {
    "one part": lambda data: [data],
    "halves": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
    "empties between": lambda data: [b"", *(p for c in chunks(data, cycle([2])) for p in (c, bytearray())), b""],
    "one-byte parts": lambda data: list(chunks(data, cycle([1]))),
    "one-byte pieces": lambda data: [hidden(chunk) for chunk in chunks(data, cycle([1]))],
    "pieces of bytearrays": lambda data: [hidden_in_bytearray(chunk) for chunk in chunks(data, cycle([3]))],
    "back to front": _one_owner_back_to_front,
    "neighbours": _neighbours_in_one_owner,
    "mixed": mixed,
}
"""Lists of parts that show some data, which may be empty."""


# -- buffers over parts --------------------------------------------------------------------------------------


def _frozen(parts: list[Part]) -> SliceBuffer:
    return CompositeBuffer(parts).freeze()


def _slice_of_slices(parts: list[Part]) -> SliceBuffer:
    """Cut the outside away bit by bit, so that the window clips the first and the last entry."""
    whole = CompositeBuffer([hidden(b"\nxx"), *parts, hidden(b"yy\n")]).freeze()
    while len(whole) > 3 and whole[0] == ord("\n"):
        whole = whole[1:-1]
    return whole[1:][1:-2]


def _clipped_slice(parts: list[Part]) -> SliceBuffer:
    """Show the parts through a window that begins and ends inside entries that hold more."""
    data = b"".join(_frozen(parts).views())
    pieces = list(chunks(data, cycle([2, 3])))
    if not pieces:
        return SliceBuffer(b"ab", 1, 1)
    pieces[0] = b"\n\n" + pieces[0]
    pieces[-1] += b"\n\n\n"
    return CompositeBuffer(pieces).freeze()[2:-3]


def _drained(parts: list[Part]) -> CompositeBuffer:
    """Drain whole parts and half of one: the table's base is positive, and its head entry clipped."""
    b = CompositeBuffer([b"gone", b"\n", bytearray(b"gone\n"), *parts])
    b.skip(3)
    b.take(7)
    return b


def _drained_into(parts: list[Part]) -> CompositeBuffer:
    """Drain to the inside of the first entry and truncate to the inside of the last, among many entries."""
    data = b"".join(_frozen(parts).views())
    pieces = [b"x", *chunks(b"\n" + data + b"\n\n", cycle([2, 3, 1])), b"yy", b"z"]
    b = CompositeBuffer(pieces)
    b.skip(1)
    b.skip(1)
    b.truncate(len(data))
    return b


def _prepended(parts: list[Part]) -> CompositeBuffer:
    """Build from the back: the table's base is negative."""
    b = CompositeBuffer()
    for part in reversed(parts):
        b.appendleft(part)
    return b


def _drained_and_prepended(parts: list[Part]) -> CompositeBuffer:
    """Put back what was taken: dead entries, then live ones in their place."""
    b = CompositeBuffer([hidden(b"\ngone"), b"\n", *parts])
    b.skip(6)
    if b:
        b.appendleft(b.take(1))
        front = b.take(len(b) // 2)
        b.appendleft(b"gone")
        b.skip(4)
        b.appendleft(front)
    return b


def _spliced(parts: list[Part]) -> CompositeBuffer:
    """Build from the middle, and cut out again what did not belong there."""
    b = CompositeBuffer([b"ab", b"cd"])
    at = 2
    for part in parts:
        b.insert(at, part)
        at = len(b) - 2
    b.insert(at, b"\n\n")
    b.splice(at, at + 2)
    b.splice(0, 2)
    b.splice(len(b) - 2, len(b))
    return b


def _nested(parts: list[Part]) -> CompositeBuffer:
    """Put buffers into buffers: they are flattened."""
    half = len(parts) // 2
    return CompositeBuffer([CompositeBuffer([_frozen(parts[:half])]), CompositeBuffer([CompositeBuffer(parts[half:])])])


def _consolidated(parts: list[Part]) -> CompositeBuffer:
    b = CompositeBuffer(parts)
    b.consolidate(len(b) // 3, len(b) - len(b) // 3)
    return b


def _used_before(parts: list[Part]) -> CompositeBuffer:
    """Look things up first: the table's ends are complete and the entry last touched is the last."""
    b = CompositeBuffer(parts)
    if b:
        assert b[-1] == b[len(b) - 1]
    return b


SLICES: Final[dict[str, Callable[[list[Part]], SliceBuffer]]] = {
    "frozen": _frozen,
    "slice of slices": _slice_of_slices,
    "clipped slice": _clipped_slice,
    "read-only": lambda parts: _frozen(parts).toreadonly(),
}
"""Slices that show some parts, by how they came about."""

COMPOSITES: Final[dict[str, Callable[[list[Part]], CompositeBuffer]]] = {
    "CompositeBuffer": CompositeBuffer,
    "drained": _drained,
    "drained into": _drained_into,
    "prepended": _prepended,
    "drained and prepended": _drained_and_prepended,
    "spliced": _spliced,
    "nested": _nested,
    "coalesced": lambda parts: CompositeBuffer(parts, coalesce_below=3),
    "consolidated": _consolidated,
    "used before": _used_before,
    "copied": lambda parts: copy.copy(_drained(parts)),
}
"""Composites that show some parts, by what was done to make them."""


@dataclass(frozen=True)
class Layout:
    """One way to lay out bytes. `make` takes any bytes, empty ones too."""

    name: str
    make: Callable[[bytes], BaseBuffer]

    def __repr__(self) -> str:
        return self.name


def _of_one(make: Callable[[bytes], Part]) -> Callable[[bytes], BaseBuffer]:
    return lambda data: SliceBuffer(make(data)) if data else SliceBuffer(b"x", 1)


def _composite_of_one(make: Callable[[bytes], Part]) -> Callable[[bytes], BaseBuffer]:
    return lambda data: CompositeBuffer([make(data)] if data else [])


def _shaped(
    shape: Callable[[list[Part]], BaseBuffer], parts: Callable[[bytes], list[Part]]
) -> Callable[[bytes], BaseBuffer]:
    return lambda data: shape(parts(data))


def layouts_of(makers: Mapping[str, Callable[[bytes], Part]]) -> tuple[Layout, ...]:
    """Return each kind of owner in a slice and in a composite, and each shape over some lists of parts."""
    found = []
    for kind, make in makers.items():
        found.append(Layout(f"SliceBuffer: {kind}", _of_one(make)))
        found.append(Layout(f"CompositeBuffer: {kind}", _composite_of_one(make)))
    for shape, build in {**COMPOSITES, **SLICES}.items():
        for arrangement, parts in PARTS.items():
            if arrangement in {"halves", "one-byte pieces", "mixed"} or shape in {"CompositeBuffer", "frozen"}:
                found.append(Layout(f"{shape}: {arrangement}", _shaped(build, parts)))
    return tuple(found)


LAYOUTS: Final[Sequence[Layout]] = layouts_of(MAKERS)
"""Ways to lay out bytes, the plainest first: for a test that goes through all of them."""
