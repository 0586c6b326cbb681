"""Several composites that share parts do random things for a long time, each answer compared with a model's.

    python -m tests.differential [--steps N] [--seed S] [--verbose]

A round is a world of its own, with a seed of its own: S, S + 1, … The one that failed is named, and fails alone.

The model: every byte of every owner has a cell, a number; what a buffer shows is an array of cells, each with a bit for
"may be written to". So memory that several buffers show changes in all of them at once. Where the library decides what
is copied (joining, compacting, coalescing), those bytes that lie elsewhere now get cells of their own.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import faulthandler
import fcntl
import io
import mmap
import os
import pickle
import random
import socket
import struct
import sys
import tempfile
import time
import zlib
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bytebufs import (
    COMPILED,
    BaseBuffer,
    BufferFile,
    CompositeBuffer,
    Delimited,
    FileRegion,
    LengthPrefixed,
    LimitExceeded,
    MappedFile,
    Outbox,
    Reader,
    SliceBuffer,
    Underrun,
    allocate,
    flush,
)

from .places import BytesSubclass, address

Cells = NDArray[np.int64]

ROUND: Final = 150
"""Steps of a world."""

MOST: Final = 1500
"""Bytes that a composite is not let grow far beyond."""

MOST_IN_FLIGHT: Final = 100
"""Parts that a pipe or a socket takes whose other end is read afterwards: each takes a page of it, however small."""

ALPHABET: Final = b"aab;;\r\n \x00\x02\x05\xff"
"""So few that needles are found, and prefixes of them."""

NONE: Final = np.zeros(0, np.int64)

EXPORTS: Final = sys.version_info >= (3, 12)
"""Whether what takes bytes takes buffers (PEP 688)."""


@dataclass
class Live:
    """A composite, and what it has to show. `readers` have positions; None where they may have been revoked."""

    b: CompositeBuffer
    cells: Cells
    coalesces: bool = False
    readers: list[tuple[Reader, int]] = field(default_factory=list)
    revoked: list[Reader] = field(default_factory=list)
    is_stale: bool = False  # written to from behind: what it remembers of looking may be wrong, as documented

    def revoke(self) -> None:
        self.revoked += [reader for reader, _ in self.readers]
        self.readers.clear()


class Number:
    """An integer that is none."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __index__(self) -> int:
        return self._n


def addresses(buffer: BaseBuffer) -> Cells:
    """Return where each byte lies."""
    found = [np.arange(start := address(view), start + len(view)) for view in buffer.views()]
    return np.concatenate(found) if found else NONE


def bits(buffer: BaseBuffer) -> Cells:
    """Return 1 for each byte that may be written to, else 0."""
    views = buffer.views()
    return np.repeat(np.array([not view.readonly for view in views], np.int64), [len(view) for view in views])


def ctypes_array(data: bytes) -> Any:
    return (ctypes.c_ubyte * len(data)).from_buffer_copy(data)


def anonymous(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, len(data))
    memory[:] = data
    return memory


def directly(data: bytes) -> SliceBuffer:
    block = allocate(len(data))
    block.write_at(0, data)
    return block


OWNERS: Final[dict[str, tuple[Callable[[bytes], Any], int, bool]]] = {
    "bytes": (bytes, 1, False),
    "bytes subclass": (BytesSubclass, 1, False),
    "bytearray": (bytearray, 1, True),
    "array": (lambda data: array("B", data), 1, True),
    "array of doubles": (lambda data: array("d", data), 8, True),
    "ctypes": (ctypes_array, 1, True),
    "numpy": (lambda data: np.frombuffer(bytearray(data), np.uint8), 1, True),
    "numpy, big-endian": (lambda data: np.frombuffer(bytearray(data), ">u2"), 2, True),
    "map": (anonymous, 1, True),
    "direct memory": (directly, 1, True),
}
"""How an owner is made, what its length is a multiple of, and whether it may be written to."""


def framed(reader: Reader) -> SliceBuffer:
    return reader.take(reader.u8() % 16)


def lined(reader: Reader) -> SliceBuffer:
    return reader.until(b";", limit=10_000)


class Files:
    """What all worlds read and write: one file behind a region, one behind a map, a pipe, a pair of sockets."""

    def __init__(self) -> None:
        chance = random.Random(0)
        self.content = bytes(chance.choices(ALPHABET, k=2000))
        self._file = tempfile.TemporaryFile()
        self._file.write(self.content)
        self._file.flush()
        self.region = FileRegion(self._file)
        self.far, self.near = os.pipe()
        fcntl.fcntl(self.near, fcntl.F_SETPIPE_SZ, 1 << 20)
        self.there, self.here = socket.socketpair()

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._file, self.there, self.here):
            one.close()
        os.close(self.far)
        os.close(self.near)

    def mapped(self, access: Any) -> SliceBuffer:
        with tempfile.TemporaryFile() as file:
            file.write(self.content)
            file.flush()
            return MappedFile(file, access=access, offset=3)[:]

    def flushed(self, kind: int, part: Any, outbox: bool) -> tuple[int, bytes]:
        """Send it into one of three kinds of sink. Returns what was said to have gone, and what came."""
        if getattr(part, "part_count", 1) > MOST_IN_FLIGHT:
            kind = 2
        sink: Any = (self.near, self.here, io.BytesIO())[kind]
        if outbox:
            box = Outbox()
            box.put(part)
            box.put(b"")
            size = 0
            while box.pending:
                size += box.flush(sink)
        else:
            size = flush(part, sink)
        if kind == 2:
            return size, sink.getvalue()
        got = b""
        while len(got) < size:
            got += os.read(self.far, size - len(got)) if kind == 0 else self.there.recv(size - len(got))
        return size, got


class World:
    """Composites, slices and owners, and the model of them all."""

    def __init__(self, chance: random.Random, files: Files) -> None:
        self.chance = chance
        self.files = files
        self.memory = np.zeros(1 << 16, np.uint8)
        self.used = 0
        self.step = ""
        self.kept: list[object] = []
        region = self.new(files.content)
        self.owners: list[tuple[Any, Cells]] = [(files.region, region << 1)]
        for access in ("copy", "write"):
            mapped = files.mapped(access)
            self.owners.append((mapped, self.new(files.content[3:]) << 1 | 1))
        self.slices: list[tuple[SliceBuffer, Cells]] = []
        self.reserved: list[tuple[memoryview, Cells]] = []
        self.live = [Live(CompositeBuffer(), NONE) for _ in range(self.chance.randint(1, 3))]
        self.live.append(Live(CompositeBuffer(coalesce_below=8), NONE, coalesces=True))

    # -- the model

    def new(self, content: bytes) -> Cells:
        """Return cells for bytes that nobody else shows."""
        while self.used + len(content) > len(self.memory):
            self.memory = np.concatenate([self.memory, np.zeros_like(self.memory)])
        self.memory[self.used : self.used + len(content)] = np.frombuffer(content, np.uint8)
        self.used += len(content)
        return np.arange(self.used - len(content), self.used)

    def shown(self, cells: Cells) -> bytes:
        found: bytes = self.memory[cells >> 1].tobytes()
        return found

    def size(self, n: int) -> Any:
        """Spell a number as callers do."""
        kinds: list[Callable[[int], Any]] = [int, int, int, np.int64, Number]
        if n in {0, 1}:
            kinds.append(bool)
        if 0 <= n < 200:
            kinds.append(np.uint8)
        return self.chance.choice(kinds)(n)

    def data(self, most: int = 30) -> bytes:
        return bytes(self.chance.choices(ALPHABET, k=self.chance.choice([1, 2, 3, 5, 8, most])))

    def window(self, size: int) -> tuple[int, int]:
        low = self.chance.randint(0, size)
        return low, self.chance.randint(low, size)

    def part(self) -> tuple[Any, Cells]:
        """Return something to append, and its cells."""
        chance = self.chance
        kind = chance.randrange(12)
        if kind < 6 or not self.slices:
            name = chance.choice(list(OWNERS))
            make, multiple, writable = OWNERS[name]
            content = self.data() * multiple
            owner, cells = make(content), self.new(content) << 1 | writable
            self.owners.append((owner, cells))
            return owner, cells
        if kind < 8:
            return self._piece(*chance.choice(self.owners))
        if kind < 10:
            whole, cells = chance.choice(self.slices)
            low, high = self.window(len(whole))
            return whole[low:high], cells[low:high]
        if kind == 10:
            other = chance.choice(self.live)
            if len(other.b) < MOST // 3:
                return other.b, other.cells
        return b"", NONE

    def _piece(self, owner: Any, cells: Cells) -> tuple[Any, Cells]:
        chance = self.chance
        if isinstance(owner, (FileRegion, SliceBuffer)):
            low, high = self.window(len(owner))
            high = min(high, low + 60)
            return owner[low:high], cells[low:high]
        view = memoryview(owner).cast("B")
        low, high = self.window(len(view))
        piece, cells = view[low:high], cells[low:high]
        kind = chance.randrange(4)
        if kind == 0:
            return piece.toreadonly(), cells & ~1
        if kind == 1 and len(piece) % 2 == 0 and len(piece):
            return piece.cast("H"), cells
        if kind == 2 and len(piece) % 2 == 0 and len(piece):
            return piece.cast("B", (2, len(piece) // 2)), cells
        return piece, cells

    # -- what holds after each step

    def check(self, live: Live) -> None:
        b, wanted = live.b, self.shown(live.cells)
        b._check()
        assert len(b) == len(wanted)
        assert bytes(b) == wanted
        assert np.array_equal(bits(b), live.cells & 1), "what may be written to"

    def check_all(self) -> None:
        for live in self.live:
            self.check(live)
        for whole, cells in self.slices[-40:]:
            whole._check()
            assert bytes(whole) == self.shown(cells)

    def moved(self, live: Live, before: Cells, low: int = 0) -> None:
        """Give cells of their own to the bytes from `low` on that lie elsewhere now than at these addresses."""
        after = addresses(live.b)[low : low + len(before)]
        elsewhere = np.flatnonzero(before != after) + low
        if len(elsewhere):
            content = self.shown(live.cells[elsewhere])
            live.cells = live.cells.copy()
            live.cells[elsewhere] = self.new(content) << 1 | bits(live.b)[elsewhere]

    def placed(self, live: Live, low: int, high: int, part: Any, cells: Cells, change: Callable[[], object]) -> None:
        """Put a part in the place of a range. A composite that coalesces may have copied it."""
        before = addresses(part if isinstance(part, BaseBuffer) else SliceBuffer(part)) if live.coalesces else NONE
        change()
        live.cells = np.concatenate([live.cells[:low], cells, live.cells[high:]])
        if live.coalesces:
            self.moved(live, before, low)

    # -- steps: building

    def append(self, live: Live) -> None:
        part, cells = self.part()
        n = len(live.cells)
        change = self.chance.choice([live.b.append, live.b.__iadd__])
        self.placed(live, n, n, part, cells, lambda: change(part))
        if isinstance(part, memoryview) and self.chance.randrange(2):
            part.release()

    def appendleft(self, live: Live) -> None:
        part, cells = self.part()
        self.placed(live, 0, 0, part, cells, lambda: live.b.appendleft(part))
        live.readers.clear()

    def extend(self, live: Live) -> None:
        if live.coalesces:
            part, cells = self.part()
            n = len(live.cells)
            self.placed(live, n, n, part, cells, lambda: live.b.extend([part]))
        else:
            found = [self.part() for _ in range(self.chance.randint(0, 4))]
            live.b.extend(iter([part for part, _ in found]))
            live.cells = np.concatenate([live.cells, *[cells for _, cells in found]])

    def splice(self, live: Live) -> None:
        part, cells = self.part()
        low, high = self.window(len(live.b))
        if self.chance.randrange(4):
            high = min(high, low + self.chance.choice([0, 0, 3, 20]))
        change = (
            (lambda: live.b.insert(self.size(low), part))
            if low == high and self.chance.randrange(2)
            else (lambda: live.b.splice(self.size(low), self.size(high), part))
        )
        self.placed(live, low, high, part, cells, change)
        live.readers.clear()

    def refused(self, live: Live) -> None:
        n = len(live.b)
        more = self.size(n + self.chance.randint(1, 3))
        b = live.b
        calls: list[tuple[type[Exception], Callable[[], object]]] = [
            (Underrun, lambda: b.take(more)),
            (Underrun, lambda: b.skip(more)),
            (ValueError, lambda: b.truncate(more)),
            (IndexError, lambda: b.insert(more, b"x")),
            (IndexError, lambda: b.splice(0, more, b"x")),
            (IndexError, lambda: b[n]),
            (ValueError, lambda: b.take(-1)),
            (TypeError, lambda: b.append("text")),  # type: ignore[arg-type]
            (TypeError, lambda: b.extend([b"x", 5])),  # type: ignore[list-item]
            (TypeError, lambda: b.skip(1.0)),  # type: ignore[arg-type]
            (ValueError, lambda: b.consolidate(1, 0) if n else b.take(-1)),
        ]
        kind, call = self.chance.choice(calls)
        try:
            call()
        except kind:
            return
        raise AssertionError(f"no {kind.__name__}")

    def pack(self, live: Live) -> None:
        n = self.chance.randrange(1 << 14)
        kind = self.chance.randrange(8)
        if kind == 0:
            live.b.pack(">HB", n, 7)
            content = struct.pack(">HB", n, 7)
        elif kind == 1:
            live.b.pack_varint(self.size(n))
            content = bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])
        elif kind == 2:
            live.b.pack_uint(self.size(n), self.size(3), "little")
            content = n.to_bytes(3, "little")
        elif kind == 3:
            live.b.pack_i24_le(self.size(-n))
            content = (-n).to_bytes(3, "little", signed=True)
        elif kind == 4:
            live.b.pack_f64(n / 7)
            content = struct.pack(">d", n / 7)
        elif kind == 5:
            live.b.pack_text(";é", "utf-16-le")
            content = ";é".encode("utf-16-le")
        elif kind == 6:
            at = self.chance.randint(0, len(live.b))
            content = bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])
            live.b.insert_varint(self.size(at), self.size(n))
            cells = self.new(content) << 1 | bits(live.b)[at : at + len(content)]
            live.cells = np.concatenate([live.cells[:at], cells, live.cells[at:]])
            live.readers.clear()
            return
        else:
            size = self.chance.randrange(7)
            view = live.b.reserve(self.size(size))
            content = bytes(size)
            cells = self.new(content) << 1
            self.reserved.append((view, cells))
            live.cells = np.concatenate([live.cells, cells])
            return
        live.cells = np.concatenate([live.cells, self.new(content) << 1 | bits(live.b)[-len(content) :]])

    # -- steps: consuming

    def took(self, live: Live, n: int, taken: SliceBuffer, low: int = 0, high: int | None = None) -> None:
        cells = live.cells[low : n if high is None else high]
        live.cells = live.cells[n:]
        if n:
            live.revoke()
        else:
            live.readers.clear()
        assert bytes(taken) == self.shown(cells)
        taken._check()
        self.slices.append((taken, cells))

    def take(self, live: Live) -> None:
        n = self.chance.choice([0, 1, 1, 2, 2, 3, 5, 5, 9, 17, 60, 10_000 if self.chance.randrange(6) == 0 else 4])
        n = len(live.b) // 2 if len(live.b) > MOST else min(n, len(live.b))
        kind = self.chance.randrange(5)
        if kind == 0:
            live.b.skip(self.size(n))
            self.took(live, n, SliceBuffer(self.shown(live.cells[:n])))
            self.slices.pop()
        elif kind == 1:
            self.took(live, n, live.b.take(self.size(n)))
        elif kind == 2:
            taken = live.b.take_bytes(self.size(n))
            self.took(live, n, SliceBuffer(taken))
            self.slices.pop()
        elif kind == 3:
            n = len(live.b.views()[0]) if live.b else 0
            assert bytes(live.b.first()) == self.shown(live.cells[:n])
            self.took(live, n, live.b.take_part())
        else:
            asked = self.chance.choice([n, len(live.b) + 5])
            n = min(asked, len(live.b))
            self.took(live, n, live.b.take_at_most(self.size(asked)))

    def take_until(self, live: Live) -> None:
        self.forget(live)
        content = self.shown(live.cells)
        sep = self.chance.choice([b";", b"\r\n", b"b;", b"aab", b";;;"])
        if self.chance.randrange(3) == 0:
            self.take_until_one(live, content)
            return
        limit = self.chance.choice([5, 40, 10_000])
        keepends = bool(self.chance.randrange(2))
        at = content.find(sep)
        begin = at
        if at < 0:
            begin = next(
                i for i in range(max(0, len(content) - len(sep) + 1), len(content) + 1) if sep.startswith(content[i:])
            )
        try:
            taken = live.b.take_until(sep, limit=self.size(limit), keepends=keepends)
        except LimitExceeded:
            assert begin > limit
            return
        assert begin <= limit
        if at < 0:
            assert taken is None
        else:
            assert taken is not None
            self.took(live, at + len(sep), taken, 0, at + len(sep) * keepends)

    def take_until_one(self, live: Live, content: bytes) -> None:
        """Take up to one of several separators, or drop what stands before it. The earliest counts, then the longest.

        Where a longer one may still come, and where none has come, it is not said here what happens: nothing is asked.
        """
        seps = self.chance.choice([(b"\r\n", b";"), (b";", b";;", b"aa"), (b"\x00", b"ab;")])
        found = [(at, -len(sep)) for sep in seps if (at := content.find(sep)) >= 0]
        if not found or any(sep.startswith(content[min(found)[0] :]) for sep in seps):
            return
        at, size = min(found)
        end = at - size
        if self.chance.randrange(2):
            taken = live.b.take_until(*seps, limit=10_000)
            assert taken is not None
            self.took(live, end, taken, 0, at)
        else:
            assert live.b.skip_until(*seps)
            self.took(live, end, SliceBuffer(content[:end]))
            self.slices.pop()

    def parse(self, live: Live) -> None:
        self.forget(live)
        content = self.shown(live.cells)
        if self.chance.randrange(2):
            found = live.b.parse(framed, limit=10_000)
            low, high = 1, 1 + (content[0] % 16 if content else 0)
            end = high if content and high <= len(content) else -1
        else:
            found = live.b.parse(lined, limit=10_000)
            low, high = 0, content.find(b";")
            end = high + 1 if high >= 0 else -1
        if end < 0:
            assert found is None
        else:
            assert found is not None
            self.took(live, end, found, low, high)

    def forget(self, live: Live) -> None:
        """Undo what it remembers, by a change that leaves it as it was, if somebody wrote to it from behind."""
        if live.is_stale:
            live.b.appendleft(b"?")
            live.b.skip(1)
            live.is_stale = False
            live.readers.clear()

    def truncate(self, live: Live) -> None:
        size = len(live.b)
        fewer = 0 if self.chance.randrange(8) == 0 else size // 2
        n = self.chance.choice([fewer, max(0, size - 3), max(0, size - 20), size])
        if n == 0 and self.chance.randrange(2):
            live.b.clear()
        else:
            live.b.truncate(self.size(n))
        if n < len(live.cells):
            live.revoke()
        live.cells = live.cells[:n]

    # -- steps: the whole

    def consolidate(self, live: Live) -> None:
        before = addresses(live.b)
        kept = live.b.freeze()
        if self.chance.randrange(8):
            low, high = self.window(len(live.b))
            live.b.consolidate(self.size(low), self.size(high))
        else:
            live.b.consolidate()
        self.moved(live, before)
        live.readers.clear()
        assert bytes(kept) == self.shown(live.cells)

    def compact(self, live: Live) -> None:
        before = addresses(live.b)
        kept = live.b.freeze()
        live.b.compact()
        self.moved(live, before)
        live.readers.clear()
        assert bytes(kept) == self.shown(live.cells)

    def copies(self, live: Live) -> None:
        kind = self.chance.randrange(4)
        if kind == 0:
            self.slices.append((live.b.freeze(), live.cells))
        elif kind == 1:
            twin = copy.copy(live.b)
            self.live[self.chance.randrange(len(self.live))] = Live(twin, live.cells, live.coalesces)
        elif kind == 2:
            twin = copy.deepcopy(live.b)
            cells = self.new(self.shown(live.cells)) << 1 | bits(twin)
            self.live[self.chance.randrange(len(self.live))] = Live(twin, cells, live.coalesces)
        else:
            protocol = self.chance.choice([2, 3, 4, 5])
            outside: list[Any] = []
            take_outside = outside.append if protocol == 5 and self.chance.randrange(2) else None
            pickled = pickle.dumps(live.b, protocol, buffer_callback=take_outside)
            loaded = pickle.loads(pickled, buffers=outside if take_outside else None)
            loaded._check()
            assert bytes(loaded) == self.shown(live.cells)

    def slicing(self, live: Live) -> None:
        low, high = self.window(len(live.b))
        piece = live.b[low - len(live.b) if low < len(live.b) and self.chance.randrange(2) else low : self.size(high)]
        self.slices.append((piece, live.cells[low:high]))
        assert bytes(piece) == self.shown(live.cells[low:high])

    # -- steps: writing

    def written(self, cells: Cells, data: bytes, by: Live | None) -> None:
        self.memory[cells >> 1] = np.frombuffer(data, np.uint8)
        for live in self.live:
            live.readers.clear()
            live.is_stale |= live is not by

    def write(self, live: Live) -> None:
        data = self.data(4)
        kind = self.chance.randrange(4)
        if kind == 0 and self.reserved:
            view, cells = self.chance.choice(self.reserved)
            if len(cells):
                at = self.chance.randrange(len(cells))
                view[at] = data[0]
                self.written(cells[at : at + 1], data[:1], None)
            return
        if kind == 1:
            owner, cells = self.chance.choice(self.owners)
            if not isinstance(owner, (FileRegion, SliceBuffer)) and cells[0] & 1:
                at = self.chance.randrange(len(cells))
                memoryview(owner).cast("B")[at] = data[0]
                self.written(cells[at : at + 1], data[:1], None)
            return
        target: BaseBuffer = live.b
        cells = live.cells
        if kind == 2 and self.slices:
            target, cells = self.chance.choice(self.slices)
        if len(cells) < len(data):
            return
        at = self.chance.randint(0, len(cells) - len(data))
        cells = cells[at : at + len(data)]
        if len(set(cells.tolist())) < len(cells):
            return  # memory that it shows twice: the order of writing is not promised
        try:
            target.write_at(self.size(at), data)
        except TypeError:
            assert not (cells & 1).all()
        else:
            assert (cells & 1).all()
            self.written(cells, data, live if target is live.b else None)

    # -- steps: looking

    def search(self, live: Live) -> None:
        b: BaseBuffer = live.b
        cells = live.cells
        if self.slices and self.chance.randrange(2):
            b, cells = self.chance.choice(self.slices)
        content = self.shown(cells)
        low, high = self.window(len(content))
        needle = self.chance.choice([self.data(4), content[low : min(high, low + 9)], b";", b"\r\n", b""])
        start = self.chance.choice([0, low, low - len(content) - 1])
        end = self.chance.choice([len(content), high, high - len(content) - 1])
        wanted: Any = bytearray(needle) if self.chance.randrange(2) else needle
        for name in ("find", "rfind", "count", "startswith", "endswith"):
            ours = getattr(b, name)(wanted, self.size(start) if start >= 0 else start, end)
            assert ours == getattr(content, name)(needle, start, end), (name, needle, start, end)
        assert (wanted in b) == (needle in content)
        if needle:
            for name in ("partition", "rpartition", "split"):
                mine = [bytes(piece) for piece in getattr(b, name)(wanted)]
                assert mine == list(getattr(content, name)(needle)), name
        assert [bytes(line) for line in b.splitlines(keepends=True)] == content.splitlines(keepends=True)
        assert bytes(b.strip(b"a;")) == content.strip(b"a;")

    def compare(self, live: Live) -> None:
        content = self.shown(live.cells)
        others: list[tuple[Any, bytes]] = [(other.b, self.shown(other.cells)) for other in self.live]
        others += [(whole, self.shown(cells)) for whole, cells in self.slices[-3:]]
        others += [(content, content), (bytearray(content[:-1] + b"b"), content[:-1] + b"b")]
        other, shown = self.chance.choice(others)
        assert (live.b == other) == (content == shown)
        assert (live.b < other) == (content < shown)
        assert (live.b >= other) == (content >= shown)

    def look(self, live: Live) -> None:
        content = self.shown(live.cells)
        b = live.b
        low, high = self.window(len(content))
        kind = self.chance.randrange(9)
        if kind == 0:
            assert list(b) == list(content)
            assert list(reversed(b)) == list(reversed(content))
        elif kind == 1:
            assert b.hex() == content.hex()
            assert b.decode("latin-1") == content.decode("latin-1")
        elif kind == 2:
            room = bytearray(high - low)
            b.copy_into(room, self.size(low), self.size(high))
            assert room == content[low:high]
        elif kind == 3:
            assert b.hexdump() is not None
            assert b.layout() is not None
            assert repr(b)
        elif kind == 4 and low < len(content):
            assert b[self.size(low)] == content[low]
            assert b[low - len(content)] == content[low]
        elif kind == 5 and high - low >= 4:
            assert b.unpack_from(">HBb", low) == struct.unpack_from(">HBb", content, low)
        elif kind == 6:
            assert bytes(b.contiguous()) == content
            assert not EXPORTS or zlib.crc32(b) == zlib.crc32(content)
        elif kind == 7:
            file, model = BufferFile(b), io.BytesIO(content)
            for _ in range(3):
                size = self.chance.randint(0, 20)
                file.seek(low)
                model.seek(low)
                assert file.read(self.size(size)) == model.read(size)
                assert file.readline() == model.readline()
        else:
            assert b.pinned_nbytes + b.mapped_nbytes >= 0
            it = iter(b)
            if content:
                assert next(it) == content[0]
                live.b.append(b"x")
                live.cells = np.concatenate([live.cells, self.new(b"x") << 1 | bits(live.b)[-1:]])
                try:
                    next(it)
                except RuntimeError:
                    return
                raise AssertionError("went on over a composite that changed")

    def flushing(self, live: Live) -> None:
        target: Any = live.b
        cells = live.cells
        if self.chance.randrange(2):
            target, cells = self.part()
        size, got = self.files.flushed(self.chance.randrange(3), target, outbox=bool(self.chance.randrange(2)))
        assert (size, got) == (len(cells), self.shown(cells))

    def frames(self, live: Live) -> None:
        """Feed what a composite shows to a framer that sees it whole, and to one that gets it in pieces."""
        content = self.shown(live.cells)
        for make in (lambda: Delimited(b";", b";;", limit=10_000), lambda: LengthPrefixed(1, limit=300)):
            whole, cut = make(), make()
            frames = [bytes(frame) for frame in whole.feed(live.b)]
            found: list[bytes] = []
            at = 0
            while at < len(content):
                n = self.chance.choice([1, 2, 7, 100])
                found += [bytes(frame) for frame in cut.feed(live.b[at : at + n])]
                at += n
            assert found == frames
            assert cut.pending == whole.pending
            left = bytes(whole.detach())
            assert left == cut.detach() == content[len(content) - len(left) :]

    def reading(self, live: Live) -> None:
        """Read on where a reader stands, or find that it was revoked."""
        content = self.shown(live.cells)
        if live.revoked:
            reader = live.revoked.pop()
            try:
                reader.u8()
            except RuntimeError:
                return
            raise AssertionError("a reader lived on behind a change")
        if not live.readers or self.chance.randrange(3) == 0:
            live.readers.append((live.b.reader(), 0))
        i = self.chance.randrange(len(live.readers))
        reader, at = live.readers[i]
        n = self.chance.choice([1, 2, 4, 9])
        assert reader.at_end == (at == len(content))
        got = b""
        try:
            got = self.chance.choice(READS)(reader, n)
        except Underrun as error:
            available = error.available
        else:
            available = -1
            live.readers[i] = (reader, at + n)
        if available >= 0:
            assert (at + n > len(content), available) == (True, len(content) - at)
            return
        assert got == content[at : at + n]
        assert len(got) == n

    # -- all of it

    def play(self, steps: int) -> None:
        for live in self.live * 8:
            self.append(live)
        for number in range(steps):
            self.move(number)
            if number % 16 == 0:
                self.check_all()
        self.check_all()

    def move(self, number: int) -> None:
        """Take a step, and look at what it changed."""
        live = self.chance.choice(self.live)
        step = World.take if len(live.cells) > MOST else self.chance.choice(STEPS)
        self.step = f"step {number}, {step.__name__}"
        step(self, live)
        self.check(live)


READS: Final[list[Callable[[Reader, int], bytes]]] = [
    lambda r, n: bytes(r.sub(n).take(n)),
    lambda r, n: r.take_bytes(n),
    lambda r, n: bytes(r.sub(n).take_rest()),
    lambda r, n: r.take_bytes(n) if r.peek(n) else b"",
    lambda r, n: bytes([r.peek_u8()]) + r.take_bytes(n)[1:],
    lambda r, n: r.limited(r.position + n).take_bytes(n) and r.take_bytes(n),
]
"""Ways to read so many bytes, at least one."""

STEPS: Final = [
    *[World.append] * 8, *[World.appendleft] * 3, World.extend, *[World.splice] * 3, World.pack, World.refused,
    *[World.take] * 4, *[World.take_until] * 2, *[World.parse] * 2, World.truncate, World.consolidate,
    World.compact,
    World.copies, World.slicing, *[World.write] * 2, World.search, World.compare, World.look, World.flushing,
    World.frames, *[World.reading] * 3,
]  # fmt: skip


def run(steps: int, seed: int, tell: Callable[[str], None]) -> None:
    """Play so many steps. Raises AssertionError that names the seed of the round."""
    with Files() as files:
        for number in range(-(-steps // ROUND)):
            tell(f"seed {seed + number}")
            world = World(random.Random(seed + number), files)
            try:
                world.play(ROUND)
            except Exception as error:
                raise AssertionError(f"seed {seed + number}, {world.step}: {error!r}") from error


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="composites against a model")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="name each round's seed before it: for one that crashes")
    asked = parser.parse_args(arguments)
    faulthandler.enable()
    began = time.process_time()
    run(asked.steps, asked.seed, tell if asked.verbose else lambda line: None)
    took = time.process_time() - began
    build = "compiled" if COMPILED else "pure"
    sys.stdout.write(
        f"{asked.steps} steps from seed {asked.seed} on, {build}, Python {sys.version.split()[0]}: {took:.1f} s\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
