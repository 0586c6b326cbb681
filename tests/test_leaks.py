"""Nothing is left behind: no object, no reference, no memory, no descriptor, however often it is done.

Every kind of operation is done over and over: on the compiled build a million times, but for the short profile.
Before and after, the interpreter's allocated blocks are counted, the references to the owners of the bytes, the open
descriptors, and, over a part of the run, all memory, large blocks too. Owners that can be weakly referenced tell
when they go.
"""

from __future__ import annotations

import array
import contextlib
import copy
import gc
import hashlib
import os
import pickle
import socket
import struct
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from bytebufs import (
    COMPILED,
    BrokenSource,
    BufferFile,
    ClosedError,
    CompositeBuffer,
    CopyForbidden,
    Delimited,
    FixedLength,
    Fragmented,
    FrameError,
    Framer,
    Inbox,
    LengthPrefixed,
    LimitExceeded,
    Lines,
    Pool,
    Reader,
    SliceBuffer,
    Underrun,
    VarintPrefixed,
    copy_audit,
    flush,
    no_copy,
)
from bytebufs._core.parts import LazyOwner, Memory
from bytebufs.composite_buffer import load_composite
from bytebufs.slice_buffer import load_slice

from .conftest import IS_QUICK, IS_SHORT
from .memory import least

OPERATIONS: Final = (100_000 if IS_SHORT else 1_000_000) if COMPILED else 10_000

TRACED: Final = 5_000 if IS_QUICK else 20_000
"""Operations under tracemalloc, which slows them."""

SLACK_BLOCKS: Final = 100
"""What the interpreter keeps for itself meanwhile: free lists, caches of methods. One object each time is more."""

SLACK_BYTES: Final = 8 << 20
"""The table of interned names may be laid anew (compiled code makes some for each traceback): megabytes. A large block
an operation, of 512 bytes and more, which is not counted among the blocks, is more."""

OWNER: Final = bytes(range(256)) * 4
MUTABLE: Final = bytearray(OWNER)

Step = Callable[[], object]


# -- the kinds of operations. Each makes a step, and says how many operations that is ------------------------

KINDS: Final[dict[str, tuple[Callable[[], Step], int]]] = {}


def kind(operations: int = 1) -> Callable[[Callable[[], Step]], Callable[[], Step]]:
    """Enter what makes a step of so many operations."""

    def enter(make: Callable[[], Step]) -> Callable[[], Step]:
        KINDS[make.__name__.removeprefix("_").replace("_", " ")] = make, operations
        return make

    return enter


@kind(20)
def _append_and_take() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        for _ in range(5):
            b.append(OWNER)
            b.append(MUTABLE)
            b.take(1_500)
            b.take_all()

    return step


@kind(20)
def _append_and_skip() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        for _ in range(10):
            b.append(OWNER)
            b.skip(1_024)

    return step


@kind(20)
def _small_takes() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        b.append(OWNER)
        for _ in range(17):
            b.take(60)
        b.take_at_most(1_000)
        b.clear()

    return step


@kind(20)
def _take_until() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        for _ in range(10):
            b.append(b"some line\r")
            b.take_until(b"\r\n", limit=100)
            b.append(b"\nrest")
            b.take_until(b"\r\n", limit=100)
        b.clear()

    return step


@kind(20)
def _takes_of_other_kinds() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        for _ in range(2):
            b.extend([OWNER, MUTABLE, b"a;b\r\nmore\r", b"\n"])
            b.first()
            b.take_part()
            b.take_bytes(1_000)
            b.skip_until(b";", b"\r\n")
            b.take_until(b";", b"\r\n", limit=9_000)
            b.skip_until(b"none of it", b"\r")
            b.take_bytes(len(b))

    return step


@kind(24)
def _edits() -> Step:
    b = CompositeBuffer([OWNER])

    def step() -> None:
        for _ in range(3):
            b.splice(10, 20, MUTABLE)
            b.insert(5, OWNER)
            b.appendleft(OWNER)
            b.extend([OWNER, MUTABLE])
            b.append(b)
            b.truncate(3_000)
            b.__iadd__(OWNER)  # in a closure `+=` would make a name of its own
            b.truncate(1_024)

    return step


@kind(48)
def _packs() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        for _ in range(6):
            b.pack(">HI", 1, 2)
            b.pack_varint(300)
            b.pack_uint(70_000, 3)
            b.pack_i64_le(-1)
            b.pack_f32(0.5)
            b.pack_text("naïve")
            b.insert_varint(3, 70_000)
            b.reserve(4)[:] = b"1234"
        b.clear()

    return step


@kind(4)
def _consolidate_and_compact() -> Step:
    def step() -> None:
        b = CompositeBuffer([OWNER[:600], MUTABLE, OWNER])
        b.consolidate(100, 1_500)
        b.skip(1_600)
        b.compact()
        b.freeze().compact()

    return step


@kind(4)
def _coalesce() -> Step:
    def step() -> None:
        b = CompositeBuffer(coalesce_below=10)
        b.append(b"abc")
        b.append(b"abc")
        b.append(OWNER)

    return step


def _whole() -> SliceBuffer:
    return CompositeBuffer([OWNER, MUTABLE, memoryview(OWNER)[100:600], OWNER]).freeze()


@kind(20)
def _slices() -> Step:
    b = _whole()
    s = SliceBuffer(OWNER)

    def step() -> None:
        for _ in range(4):
            s[1:5]  # made, and dropped
            b[3:9]
            b[3:2_000][1_020:1_500]
            SliceBuffer(MUTABLE, 1, 9)

    return step


@kind(20)
def _indices_and_iterators() -> Step:
    b = _whole()

    def step() -> None:
        for at in range(1_015, 1_030):
            b[at]
        list(b[1_020:1_028])
        list(reversed(b[1_020:1_028]))
        next(iter(b))
        list(b[:8].iter_unpack(">H"))
        5 in b  # noqa: B015

    return step


@kind(10)
def _searches() -> Step:
    b = _whole()
    needle = CompositeBuffer([OWNER[-3:], OWNER[:3]]).freeze()

    def step() -> None:
        b.find(OWNER[-3:] + OWNER[:3])
        b.find(needle)
        b.rfind(b"\x05\x06")
        b.count(b"\x05")
        b.find(7)
        b.index(MUTABLE[:4])
        b.startswith((b"x", OWNER))
        b.endswith(needle)
        b.find(b"none of it", 1_000)
        b.rindex(b"\xff")

    return step


@kind(10)
def _cuts() -> Step:
    b = _whole()

    def step() -> None:
        b.split(b"\x05", 3)
        b.partition(b"\xff\x00")
        b.rpartition(b"\xff\x00")
        b.splitlines()
        b.strip(b"\x00\xff")
        b.removeprefix(OWNER)
        b.removesuffix(OWNER)
        b[:20].toreadonly()
        copy.copy(b)
        b.reader().sub(9)

    return step


@kind(10)
def _comparisons() -> Step:
    b, twin = _whole(), _whole()
    flat = bytes(b)

    def step() -> None:
        b == twin  # noqa: B015
        b == flat  # noqa: B015
        flat != b  # noqa: B015
        b < twin  # noqa: B015
        b >= MUTABLE  # noqa: B015
        b == 5  # noqa: B015
        b[:9] == OWNER[:9]  # noqa: B015
        b[:9] == MUTABLE[:9]  # noqa: B015
        b[1_000:1_040] == twin[1_000:1_040]  # noqa: B015
        b[9:] == twin[9:]  # noqa: B015

    return step


@kind(12)
def _views_and_copies() -> Step:
    b, one = _whole()[1_000:1_100], SliceBuffer(MUTABLE, 3, 99)
    target = bytearray(200)

    def step() -> None:
        b.views()
        one.view()
        one.contiguous()
        b.contiguous()
        bytes(b)
        b.tobytes()
        b.copy_into(target)
        one.decode("latin-1")
        b.hex(":")
        one.write_at(0, b"\x03")
        one.pack_into(">H", 1, 0x0405)
        b.unpack_from(">Q", 20)

    return step


@kind(13)
def _pickles_and_deep_copies() -> Step:
    b = CompositeBuffer([OWNER[:9], MUTABLE, memoryview(OWNER)[3:700]])
    subjects: list[Any] = [b, b[5:1_500]]

    def step() -> None:
        # Not loaded by pickle: the interpreter's cache of attributes would keep names of each pickle.
        for subject in subjects:
            frames: list[pickle.PickleBuffer] = []
            pickle.dumps(subject, 4)
            pickle.dumps(subject, 5)
            pickle.dumps(subject, 5, buffer_callback=frames.append)
            load_slice(frames)
            load_composite(frames, 0)
            copy.deepcopy(subject)
        with contextlib.suppress(CopyForbidden), no_copy():
            pickle.dumps(b, 4)

    return step


@kind(6)
def _files() -> Step:
    parts = _whole()
    room = bytearray(10)

    def step() -> None:
        file = BufferFile(parts)
        file.read(9)
        file.readline(9)
        file.readinto(room)
        file.seek(1_000)
        file.close()

    return step


@kind(4)
def _numbers_as_text() -> Step:
    parts = CompositeBuffer([b"12", bytearray(b"34")])

    def step() -> None:
        int(parts)
        float(parts)
        for number in (int, float):
            with contextlib.suppress(ValueError):
                number(parts[:0])

    return step


@kind(8)
def _exports() -> Step:
    one, parts = SliceBuffer(OWNER), _whole()

    def step() -> None:
        one.__buffer__(0)
        b"".join(parts.views())
        if sys.version_info >= (3, 12):
            memoryview(one)
            memoryview(parts)
            np.frombuffer(parts, np.uint8)
            hashlib.sha256(parts)
            with contextlib.suppress(CopyForbidden), no_copy():
                memoryview(parts)
            with contextlib.suppress(TypeError):
                struct.pack_into("B", parts, 0, 1)

    return step


@kind(7)
def _facts_and_texts() -> Step:
    b = _whole()

    def step() -> None:
        repr(b)
        b[:9].hexdump()
        b.layout()
        b.pinned_nbytes  # noqa: B018
        b.part_count  # noqa: B018
        b.readonly  # noqa: B018
        len(b)

    return step


@kind(46)
def _reader_numbers() -> Step:
    one, parts = SliceBuffer(OWNER, 1), CompositeBuffer([OWNER[1:6], MUTABLE[6:9], OWNER])

    def read(r: Reader) -> None:
        r.u8(), r.u16(), r.u24(), r.u32(), r.u64()
        r.i8(), r.i16_le(), r.i32_le(), r.i64_le(), r.f32(), r.f64_le()
        r.varint(), r.zigzag(), r.uint(5), r.sint(7)
        r.unpack(">HB")
        r.array("H", 3)
        r.peek_u8(), r.peek_i24_le(), r.peek_f64()
        r.seek(9)
        r.skip(2)
        assert (r.position, r.remaining) != (0, 0)

    def step() -> None:
        read(one.reader())
        read(parts.reader("little"))

    return step


@kind(28)
def _reader_bytes() -> Step:
    parts = CompositeBuffer([b"a line\r", b"\nanother\nHTTP", bytearray(b"/1.1"), b"-text and more"])

    def step() -> None:
        for _ in range(2):
            r = parts.reader()
            r.line(limit=99)
            r.until(b"\n", limit=99)
            r.expect(b"HTTP/1")
            r.take(2)
            r.take_bytes(2)
            r.text(3)
            r.peek(2)
            r.sub(3).take(2)
            r.skip(1)
            r.seek(0)
            r.limited(5).take_rest()
            r.until(b"\n", b"\r\n", limit=99)
            with contextlib.suppress(Underrun):
                r.cstring(limit=99)
            assert not r.at_end

    return step


@kind(10)
def _parse() -> Step:
    b = CompositeBuffer()

    def message(r: Reader) -> SliceBuffer:
        return r.take(r.u16())

    def step() -> None:
        for _ in range(5):
            b.append(b"\x00\x04ab")
            b.parse(message, limit=99)
            b.append(b"cd")
            b.parse(message, limit=99)

    return step


@kind(10)
def _parse_until() -> Step:
    b = CompositeBuffer()

    def step() -> None:
        for _ in range(5):
            b.append(b"some")
            b.parse(lambda r: r.line(limit=99), limit=99)
            b.append(b" text\r\n")
            b.parse(lambda r: r.line(limit=99), limit=99)

    return step


def _fed(make: Callable[[], Framer], stream: bytes) -> Step:
    framer = make()
    cut = len(stream) // 2 + 1

    def step() -> None:
        list(framer.feed(stream[:cut]))
        list(framer.feed(MUTABLE[:0]))
        for _ in framer.feed(stream[cut:]):
            pass

    return step


FORMATS: Final[dict[str, tuple[Callable[[], Framer], bytes]]] = {
    "FixedLength": (lambda: FixedLength(4), b"abcd"),
    "Delimited": (lambda: Delimited(b";", b"\r\n", limit=9), b"abc;"),
    "Lines": (lambda: Lines(9), b"abc\r\n"),
    "LengthPrefixed": (lambda: LengthPrefixed(2, limit=99), b"\x00\x03abc"),
    "VarintPrefixed": (lambda: VarintPrefixed(99), b"\x03abc"),
}
for _name, (_make, _frame) in FORMATS.items():
    KINDS[f"{_name} frames"] = partial(_fed, _make, _frame * 50), 50


@kind(5)
def _encode() -> Step:
    framers = [make() for make, _ in FORMATS.values()]

    def step() -> None:
        for framer in framers:
            framer.encode(b"abcd")

    return step


class Given:
    """A source that gives as much as it is asked for, up to 300 bytes, and now and then nothing, or an error."""

    def __init__(self) -> None:
        self._turn = 0

    def readinto(self, view: memoryview) -> int | None:
        self._turn += 1
        if self._turn % 7 == 0:
            raise BlockingIOError
        if self._turn % 11 == 0:
            return None
        return min(len(view), 300)


@kind(20)
def _receive() -> Step:
    pool = Pool(1000, idle=2)
    inboxes = [Inbox(pool, limit=2000), Inbox(pool, limit=2000)]
    source = Given()

    def step() -> None:
        for inbox in inboxes:
            for _ in range(4):
                with contextlib.suppress(BlockingIOError, LimitExceeded):
                    inbox.receive(source)
            inbox.buffer.skip(len(inbox.buffer) // 2)
            inbox.buffer.take_all()
            inbox.rest()
            inbox.room()[:3] = b"abc"
            with contextlib.suppress(ValueError):
                inbox.filled(9999)
            inbox.filled(3)
        pool.lent, repr(pool)

    return step


@kind(3)
def _inboxes_that_come_and_go() -> Step:
    pool = Pool(1000, idle=2)

    def step() -> None:
        inbox = Inbox(pool)
        inbox.room()
        inbox.filled(500)
        with contextlib.suppress(BrokenSource):
            inbox.receive(Lying())
        pool.trim()

    return step


class Lying:
    def readinto(self, view: memoryview) -> int:
        return len(view) + 1


@kind(2)
def _detached_framers() -> Step:
    def step() -> None:
        lines = Lines(99)
        lines.feed(b"a line\nand")
        lines.feed(b" more")
        lines.detach()
        with contextlib.suppress(ClosedError):
            lines.feed(b"more")

    return step


@kind(2)
def _frames_not_taken() -> Step:
    def step() -> None:
        lines = Lines(99)
        lines.feed(b"a\nb\nc")  # an iterator that nobody asks
        next(lines.feed(b"d\ne\nf"))

    return step


@kind(4)
def _bad_frames() -> Step:
    lines = Lines(3, on_error="skip")

    def step() -> None:
        list(lines.feed(b"too long\nok\n"))
        closed = LengthPrefixed(1, includes_header=True, limit=9)
        with contextlib.suppress(FrameError):
            list(closed.feed(b"\x00"))
        with contextlib.suppress(ValueError):
            FixedLength(3).encode(b"ab")

    return step


@kind(6)
def _errors_of_a_composite() -> Step:
    b = CompositeBuffer([OWNER, MUTABLE])

    def step() -> None:
        with contextlib.suppress(Underrun):
            b.take(5_000)
        with contextlib.suppress(LimitExceeded):
            b.take_until(b"none of it", limit=5)
        with contextlib.suppress(TypeError):
            b.append("text")  # type: ignore[arg-type]
        with contextlib.suppress(Fragmented):
            b.view()
        with contextlib.suppress(IndexError):
            b[5_000]
        with contextlib.suppress(ValueError):
            b.skip(-1)

    return step


@kind(5)
def _errors_of_a_call() -> Step:
    b: Any = CompositeBuffer([OWNER, MUTABLE])

    def step() -> None:
        with contextlib.suppress(TypeError):
            b.take()
        with contextlib.suppress(TypeError):
            b.take(1.5)
        with contextlib.suppress(TypeError):
            b.extend([OWNER, MUTABLE, 5])
        with contextlib.suppress(TypeError):
            b.decode(5)
        with contextlib.suppress(TypeError):
            hash(b)

    return step


@kind(5)
def _errors_of_a_reader() -> Step:
    b = CompositeBuffer([OWNER])

    def step() -> None:
        r = b.reader()
        with contextlib.suppress(Underrun):
            r.take(5_000)
        with contextlib.suppress(FrameError):
            r.expect(b"\x00\x01\x03")
        with contextlib.suppress(LimitExceeded):
            r.until(b"\xff", limit=5)
        with contextlib.suppress(ZeroDivisionError):
            b.parse(lambda r: r.u8() // 0, limit=9)
        with contextlib.suppress(struct.error):
            b.pack(">B", 300)

    return step


@kind(2)
def _readers_that_their_buffer_left() -> Step:
    def step() -> None:
        b = CompositeBuffer([OWNER])
        r = b.reader()
        r.u8()
        b.skip(1)
        with contextlib.suppress(RuntimeError):
            r.u8()

    return step


@kind(4)
def _audits() -> Step:
    b = _whole()[1_000:1_100]

    def step() -> None:
        with copy_audit():
            bytes(b)
        with no_copy(), contextlib.suppress(CopyForbidden):
            b.contiguous()

    return step


@kind(4)
def _iterators_left_behind() -> Step:
    b = CompositeBuffer([OWNER, MUTABLE])

    def step() -> None:
        walk = iter(b)
        next(walk)
        b.append(b"x")
        with contextlib.suppress(RuntimeError):
            next(walk)
        next(b.iter_unpack("<B"))
        b.truncate(2_048)

    return step


# -- nothing is left -----------------------------------------------------------------------------------------


def _descriptors() -> int:
    """Return the number of open descriptors."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.is_dir() else 0


def _references() -> list[int]:
    """Count the references to what operations use, and in a debug interpreter all of them."""
    everything: Callable[[], int] = getattr(sys, "gettotalrefcount", lambda: 0)
    return [sys.getrefcount(OWNER), sys.getrefcount(MUTABLE), _descriptors(), everything() // 1_000]


def _blocks_left_by(step: Step, times: int) -> int:
    """Do a step so often, demand that it leaves no reference, and return how many blocks of memory it does leave."""
    gc.collect()
    references, blocks = _references(), sys.getallocatedblocks()
    for _ in range(times):
        step()
    gc.collect()
    assert _references() == references
    return sys.getallocatedblocks() - blocks


def assert_nothing_is_left(step: Step, times: int, traced: int) -> None:
    """Do a step so often, and compare what there is before and after it."""
    for _ in range(max(20, times // 20)):  # until free lists and caches are filled
        step()
    assert least(lambda: _blocks_left_by(step, times), SLACK_BLOCKS) < SLACK_BLOCKS
    tracemalloc.start(1)
    try:
        for _ in range(traced):
            step()
        gc.collect()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < SLACK_BYTES


@pytest.fixture(scope="module", autouse=True)
def alone() -> None:
    """Keep what other tests left out of the counts, and out of every collection's way."""
    gc.collect()
    gc.freeze()


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_left_of_a_million(name: str) -> None:
    make, operations = KINDS[name]
    step = make()
    assert_nothing_is_left(step, OPERATIONS // operations, TRACED // operations)


# Flushing is mostly the kernel's: fewer calls, of many parts each.


def test_nothing_is_left_of_flushes_to_a_file() -> None:
    b = CompositeBuffer([OWNER[:9], MUTABLE, memoryview(OWNER)[3:9]] * 4)
    with Path(os.devnull).open("wb", buffering=0) as sink:
        assert_nothing_is_left(lambda: flush(b, sink), OPERATIONS // 12, 2_000)


def test_nothing_is_left_of_flushes_to_a_socket() -> None:
    b = CompositeBuffer([OWNER[:9], bytes(20), memoryview(OWNER)[3:9]] * 4)
    left, right = socket.socketpair()
    room = bytearray(1_000)
    with left, right:

        def step() -> None:
            flush(b, left)
            right.recv_into(room)

        assert_nothing_is_left(step, OPERATIONS // 12, 2_000)


def test_nothing_is_left_of_failed_flushes() -> None:
    b = CompositeBuffer([OWNER, MUTABLE])
    left, right = socket.socketpair()
    right.close()

    def step() -> None:
        with contextlib.suppress(OSError):
            flush(b, left)
        with contextlib.suppress(TypeError):
            flush(b, 1.5)  # type: ignore[arg-type]

    with left:
        assert_nothing_is_left(step, OPERATIONS // 100, 1_000)


def test_nothing_is_left_of_threads_that_read_one_slice() -> None:
    whole = _whole()

    def work() -> None:
        for _ in range(OPERATIONS // 400):
            whole.find(b"\xff\x00")
            whole[1_000:1_100] == whole[1_000:1_100]  # noqa: B015
            whole[1_030]
            whole.part_count  # noqa: B018

    def round_of_threads() -> None:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    round_of_threads()
    assert least(lambda: _blocks_left_by(round_of_threads, 4), SLACK_BLOCKS) < SLACK_BLOCKS


# -- owners are let go of ------------------------------------------------------------------------------------


class Owner(bytearray):
    """Memory that can be weakly referenced, and can refer to what shows it."""

    held: Any


class Array(array.array):  # type: ignore[type-arg]  # generic for type checkers only
    held: Any


class Numbers(np.ndarray):
    held: Any


class Lazy(LazyOwner):
    """Bytes that are produced when they are looked at."""

    held: Any

    def _look(self) -> Memory:
        memory = bytearray(self.nbytes)
        return Memory(memory, memoryview(memory), memory)


OWNERS: Final[dict[str, Callable[[], Any]]] = {
    "bytearray": lambda: Owner(OWNER),
    "array": lambda: Array("B", OWNER),
    "numpy": lambda: np.frombuffer(bytearray(OWNER), np.uint8).view(Numbers),
    "lazy": lambda: Lazy(len(OWNER)),
}


def _in_a_parser(owner: Any) -> object:
    """A composite that waits for a parser, which refers to it."""
    b = CompositeBuffer([owner])

    def message(r: Reader) -> bytes:
        return r.take_bytes(len(b) + 1)

    assert b.parse(message, limit=9_999) is None
    return b


def _error_with_its_frames(owner: Any) -> BaseException:
    b = CompositeBuffer([owner])
    try:
        b.take(9_999)
    except Underrun as error:
        return error
    raise AssertionError


def _begun(walk: Iterator[object]) -> object:
    next(walk)
    return walk


HOLDERS: Final[dict[str, Callable[[Any], object]]] = {
    "slice": lambda owner: SliceBuffer(owner)[1:9],
    "composite": lambda owner: CompositeBuffer([b"a", owner, b"b"]),
    "slice of parts": lambda owner: CompositeBuffer([b"a", owner, b"b"])[:9],
    "taken": lambda owner: CompositeBuffer([owner, b"b"]).take(1_025),
    "composite of slices": lambda owner: CompositeBuffer([SliceBuffer(owner)[1:9], SliceBuffer(owner)[2:]]),
    "copy": lambda owner: copy.copy(CompositeBuffer([owner])),
    "reader": lambda owner: SliceBuffer(owner).reader(),
    "child of a reader": lambda owner: CompositeBuffer([owner]).reader().sub(9),
    "iterator": lambda owner: iter(CompositeBuffer([owner])),
    "iterator that was begun": lambda owner: _begun(iter(CompositeBuffer([owner]))),
    "backwards": lambda owner: _begun(reversed(SliceBuffer(owner))),
    "records": lambda owner: _begun(SliceBuffer(owner).iter_unpack(">H")),
    "views": lambda owner: CompositeBuffer([owner, b"b"]).views(),
    "frames": lambda owner: FixedLength(9).feed(owner),
    "frames that were begun": lambda owner: _begun(FixedLength(9).feed(owner)),
    "method": lambda owner: CompositeBuffer([owner]).append,
    "parser": _in_a_parser,
    "error": _error_with_its_frames,
    "split": lambda owner: SliceBuffer(owner).split(b"\x05"),
}
# A view shows what was looked at, and not who produced it.
PAIRS: Final = [(owner, holder) for owner in OWNERS for holder in HOLDERS if (owner, holder) != ("lazy", "views")]
every_pair = pytest.mark.parametrize(("owns", "holds"), PAIRS)


@every_pair
def test_an_owner_goes_with_what_holds_it(owns: str, holds: str) -> None:
    owner = OWNERS[owns]()
    gone = weakref.ref(owner)
    held = HOLDERS[holds](owner)
    del owner
    assert gone() is not None
    del held
    gc.collect()
    assert gone() is None


@every_pair
def test_an_owner_that_refers_to_its_holder_is_collected(owns: str, holds: str) -> None:
    owner = OWNERS[owns]()
    gone = weakref.ref(owner)
    owner.held = HOLDERS[holds](owner)
    gc.collect()
    assert gone() is not None
    del owner
    gc.collect()
    assert gone() is None


def test_two_owners_that_refer_to_each_other_through_buffers_are_collected() -> None:
    one, two = Owner(OWNER), Owner(OWNER)
    gone = [weakref.ref(one), weakref.ref(two)]
    one.held = CompositeBuffer([two, b"a", one])
    two.held = [SliceBuffer(one), Lines(99).feed(one), one.held.reader()]
    del one, two
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


@pytest.mark.parametrize(
    "end",
    [
        lambda b: b.skip(len(b)),
        lambda b: b.clear(),
        lambda b: b.take_all() and None,
        lambda b: b.splice(0, len(b)),
        lambda b: b.truncate(1),
        lambda b: b.consolidate(),
    ],
    ids=["skip", "clear", "take_all", "splice", "truncate", "consolidate"],
)
def test_a_composite_lets_go_of_what_it_gave_up(end: Callable[[CompositeBuffer], object]) -> None:
    owner = Owner(OWNER)
    gone = weakref.ref(owner)
    b = CompositeBuffer([b"a", owner])
    del owner
    end(b)
    assert gone() is None
