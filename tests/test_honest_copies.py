"""Every documented call, on megabytes in many parts: it takes no more memory than its result and what the audit says.

A list of functions that may copy sees no copy in a function that is listed. Here the interpreter is asked instead: the
most that was allocated at a time, while a call ran, is held against what it returned and what it counted.
"""

from __future__ import annotations

import copy
import ctypes
import sys
import tempfile
import tracemalloc
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import bytebufs
from bytebufs import (
    COMPILED,
    BaseBuffer,
    BufferFile,
    CompositeBuffer,
    CopyAudit,
    CopyForbidden,
    Delimited,
    FileRegion,
    FixedLength,
    Framer,
    Inbox,
    LengthPrefixed,
    Lines,
    MappedFile,
    Outbox,
    Part,
    Pool,
    Reader,
    SliceBuffer,
    VarintPrefixed,
    allocate,
    copy_audit,
    flush,
    no_copy,
    transfer,
)

from .memory import least

LINE: Final = b"0123456789abcdef" * 15 + b"0123456789abcde\n"
DATA: Final = LINE * (1 << 13)
SIZE: Final = len(DATA)
BOUND: Final = 1 << 18
"""What may come on top: blocks of 64 KiB, and lists with an item for each part."""

SLICE: Final = 256
"""A slice of one part: the object, and two numbers."""

RECORDS: Final = (b"\x00\x00\xff\xfc" + LINE * 255 + LINE[:252]) * 32
VARINTS: Final = (b"\xfc\xff\x03" + LINE * 255 + LINE[:252]) * 32

Call = Callable[[Any], object]

# -- the same bytes in parts of every kind


def mapped(data: bytes) -> Part:
    block = allocate(len(data))
    block.write_at(0, data)
    return block


class Ground:
    """A file with some bytes, and ways to show them."""

    def __init__(self, data: bytes, folder: Path) -> None:
        self.data = data
        self.path = folder / "data"
        self.path.write_bytes(data)
        self.region = FileRegion(self.path)

    def parts(self, layout: str) -> list[Part]:
        """Cut the bytes up. Odd sizes, so that nothing begins where a number or a page does."""
        kinds: Mapping[str, Callable[[int, int], Part]] = {
            "bytes": lambda start, stop: self.data[start:stop],
            "bytearray": lambda start, stop: bytearray(self.data[start:stop]),
            "array": lambda start, stop: array("B", self.data[start:stop]),
            "map": lambda start, stop: mapped(self.data[start:stop]),
            "file": lambda start, stop: self.region[start:stop],
        }
        sizes = cycle([4999, 70_001, 16_383, 501, 33_333])
        parts: list[Part] = []
        at = 0
        # Slices of one region that touch would merge.
        of_one = [layout, "bytes"] if layout == "file" else [layout]
        for kind in cycle(kinds if layout == "mixed" else of_one):
            stop = min(at + next(sizes), len(self.data))
            parts.append(kinds[kind](at, stop))
            at = stop
            if at == len(self.data):
                return parts
        raise AssertionError("cycles have no end")


LAYOUTS: Final = ("mixed", "bytes", "bytearray", "array", "map", "file")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(DATA, tmp_path_factory.mktemp("ground"))


# -- measuring


def size_of(result: object) -> int:
    """Return what a result has of its own, as far as it is plain: bytes, text, numbers, and lists of them."""
    if isinstance(result, list | tuple):
        return sys.getsizeof(result) + sum(map(size_of, result))
    if isinstance(result, bytes | bytearray | str | int | array):
        return sys.getsizeof(result)
    return SLICE if isinstance(result, SliceBuffer) else 0


def taken_by(call: Call, subject: object, audit: CopyAudit) -> tuple[int, int]:
    """Return the most that a call allocated, and what it may allocate by what it returned and counted."""
    tracemalloc.start()
    try:
        result = call(subject)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    own = size_of(result)
    if isinstance(result, str) and not COMPILED:
        own *= 2  # a text that grows stays where it is only where the interpreter has come to expect a text
    # Not what was asked for: that is the result, or lies where the caller wanted it.
    return peak, max(own, audit.hidden)


def excess(call: Call, make: Callable[[], object]) -> int:
    """Return by how much a call exceeds what it may allocate, with copies counted and with hidden ones refused."""
    found = []
    subject = make()
    with copy_audit() as audit:
        peak, allowed = taken_by(call, subject, audit)
        found.append(peak - allowed)
    subject = make()
    with no_copy() as audit:
        try:
            peak, allowed = taken_by(call, subject, audit)
        except CopyForbidden:
            peak, allowed = 0, 0
        assert audit.hidden == 0
        found.append(peak - allowed)
    return max(found)


def assert_honest(call: Call, make: Callable[[], object], more: int = 0) -> None:
    # What else the process does meanwhile does not come three times.
    found = least(lambda: excess(call, make) - more, BOUND + 1)
    assert found <= BOUND, f"{found} bytes that nobody counted"


def spent(iterator: Iterator[object]) -> None:
    """Go through an iterator, not for ever: what is hidden in one is there at its beginning."""
    deque(islice(iterator, 3000), maxlen=0)


# -- what the calls are given

TARGETS: Final[Mapping[str, Any]] = {
    "bytearray": bytearray(SIZE),
    "array": array("d", bytes(SIZE)),
    "numpy": np.zeros(SIZE, np.uint8),
    "ctypes": (ctypes.c_char * SIZE)(),
    "map": allocate(SIZE).view(),
    "slice of ctypes": memoryview((ctypes.c_char * (SIZE + 9)).from_buffer(bytearray(SIZE + 9)))[9:],
}
OTHER: Final = CompositeBuffer([memoryview(DATA)[k : k + 99_991] for k in range(0, SIZE, 99_991)]).freeze()
ARRAYS: Final = CompositeBuffer([array("B", DATA[k : k + 99_991]) for k in range(0, SIZE, 99_991)]).freeze()
CHARS: Final = memoryview(bytearray(b"\t\n" * (SIZE // 2)))


def refused(error: type[BaseException], call: Call) -> Call:
    def check(subject: object) -> None:
        with pytest.raises(error):
            call(subject)

    return check


def copied_into(target: str) -> Call:
    return lambda b: b.copy_into(TARGETS[target])


READING: Final[Mapping[str, Call]] = {
    "len": len,
    "bool": bool,
    "iter": lambda b: spent(iter(b)),
    "reversed": lambda b: spent(reversed(b)),
    "index of one": lambda b: b[SIZE // 2],
    "slice": lambda b: b[1:-1],
    "in": lambda b: b"nowhere" in b,
    "==": lambda b: b == DATA,
    "== of parts": lambda b: b == ARRAYS,
    "!=": lambda b: b != OTHER,
    "<": lambda b: b < ARRAYS,
    "<=": lambda b: b <= DATA,
    ">": lambda b: b > bytearray(b"0"),
    ">=": lambda b: b >= OTHER,
    "bytes": bytes,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "reduce 5": lambda b: b.__reduce_ex__(5) and None,
    "reduce 4": lambda b: b.__reduce_ex__(4),
    "repr": repr,
    "find": lambda b: b.find(b"nowhere"),
    "find a buffer": lambda b: b.find(OTHER[:5]),
    "rfind": lambda b: b.rfind(b"nowhere"),
    "index": lambda b: b.index(b"e\n0", SIZE // 2),
    "rindex": lambda b: b.rindex(b"e\n0", 0, SIZE // 2),
    "count": lambda b: b.count(b"e\n0"),
    "startswith": lambda b: b.startswith((b"x", DATA)),
    "endswith": lambda b: b.endswith(ARRAYS),
    "partition": lambda b: b.partition(b"e\n0"),
    "rpartition": lambda b: b.rpartition(b"e\n0"),
    "split": lambda b: b.split(b"\n", 5),
    "splitlines": lambda b: b.splitlines(),
    "strip": lambda b: b.strip(CHARS),
    "lstrip": lambda b: b.lstrip(CHARS),
    "rstrip": lambda b: b.rstrip(ARRAYS),
    "removeprefix": lambda b: b.removeprefix(ARRAYS),
    "removesuffix": lambda b: b.removesuffix(DATA),
    "unpack_from": lambda b: b.unpack_from(">QI", 5001),
    "iter_unpack": lambda b: spent(b.iter_unpack(">QIHBx")),
    "reader": lambda b: b.reader(),
    "part_count": attrgetter("part_count"),
    "is_contiguous": attrgetter("is_contiguous"),
    "readonly": attrgetter("readonly"),
    "pinned_nbytes": attrgetter("pinned_nbytes"),
    "mapped_nbytes": attrgetter("mapped_nbytes"),
    "views": lambda b: b.views(),
    "view": refused(BufferError, lambda b: b.view()),
    "contiguous": lambda b: b.contiguous(),
    "tobytes": lambda b: b.tobytes(),
    **{f"copy_into {name}": copied_into(name) for name in TARGETS},
    "copy_into": lambda b: b.copy_into(TARGETS["bytearray"], 5),
    "decode": lambda b: b.decode(),
    "decode strange": lambda b: b.decode("utf-16-le"),
    "decode with errors": refused(UnicodeDecodeError, lambda b: b[: SIZE // 9].decode("utf-32")),
    "hex": lambda b: b.hex(),
    "hex in groups": lambda b: b.hex(":", 7),
    "hex in large groups": lambda b: b.hex(":", -100_000),
    "write_at": lambda b: writable(b).write_at(0, DATA),
    "write_at parts": lambda b: writable(b).write_at(5, ARRAYS[5:]),
    "pack_into": lambda b: writable(b).pack_into(">QI", 4995, 1, 2),
    "hexdump": lambda b: b.hexdump(),
    "layout": lambda b: b.layout(),
}
"""Calls of both kinds of buffer. A name may say more behind the name of what is called."""


def writable(b: BaseBuffer) -> BaseBuffer:
    """Return the buffer, or where that refuses to be written to, one that does not, of many parts."""
    return SCRATCH if b.readonly else b


SCRATCH: Final = CompositeBuffer(
    [part for k in range(0, SIZE, 100_000) for part in (bytearray(50_000), np.zeros(50_000, np.uint8))]
)

OF_A_SLICE: Final[Mapping[str, Call]] = {
    "SliceBuffer": lambda b: SliceBuffer(b, 5, SIZE - 5),
    "toreadonly": lambda b: b.toreadonly(),
    "compact": lambda b: CompositeBuffer([part[: len(part) // 4] for part in b.views()]).freeze().compact(),
}


def line(r: Reader) -> SliceBuffer:
    return r.line(limit=1000)


def filled(count: int, **options: Any) -> CompositeBuffer:
    b = CompositeBuffer(**options)
    for _ in range(count):
        b.append(LINE * 4)
    return b


NUMBERS: Final = [
    f"{kind}{bits}{order}"
    for kind, sizes in (("u", (16, 24, 32, 64)), ("i", (16, 24, 32, 64)), ("f", (32, 64)))
    for bits in sizes
    for order in ("", "_be", "_le")
]


def packed(name: str) -> Call:
    def pack_all(b: CompositeBuffer) -> None:
        pack = getattr(b, name)
        for _ in range(5000):
            pack(77)

    return pack_all


OF_A_COMPOSITE: Final[Mapping[str, Call]] = {
    "CompositeBuffer": lambda b: CompositeBuffer([b, b]),
    "CompositeBuffer coalescing": lambda b: filled(2000, coalesce_below=2048),
    "append": lambda b: b.append(ARRAYS),
    "+=": lambda b: b.__iadd__(bytearray(5)),
    "appendleft": lambda b: b.appendleft(ARRAYS),
    "extend": lambda b: b.extend([ARRAYS, DATA]),
    "insert": lambda b: b.insert(SIZE // 2, ARRAYS),
    "splice": lambda b: b.splice(5, SIZE - 5, OTHER),
    "pack": lambda b: b.pack(">QI", 1, 2),
    "pack_varint": lambda b: b.pack_varint(300),
    "pack_uint": lambda b: b.pack_uint(300, 8),
    **{f"pack_{name}": packed(f"pack_{name}") for name in ["u8", "i8", *NUMBERS]},
    "pack_text": lambda b: b.pack_text("text" * 500),
    "insert_varint": lambda b: b.insert_varint(SIZE // 2, 300),
    "reserve": lambda b: len(b.reserve(8)),
    "take": lambda b: b.take(SIZE - 1),
    "take_all": lambda b: b.take_all(),
    "take_at_most": lambda b: b.take_at_most(SIZE // 2),
    "take_bytes": lambda b: b.take_bytes(SIZE - 1),
    "first": lambda b: b.first(),
    "take_part": lambda b: b.take_part(),
    "skip": lambda b: b.skip(SIZE // 2),
    "truncate": lambda b: b.truncate(SIZE // 2),
    "clear": lambda b: b.clear(),
    "take_until": lambda b: b.take_until(b"nowhere", limit=2 * SIZE),
    "take_until one of two": lambda b: b.take_until(b"nowhere", b"\xff", limit=2 * SIZE),
    "skip_until": lambda b: b.skip_until(b"nowhere", b"\xff"),
    "parse": lambda b: b.parse(line, limit=2000),
    "parse that waits": lambda b: b.parse(lambda r: r.until(b"nowhere", limit=2 * SIZE), limit=4 * SIZE),
    "freeze": lambda b: b.freeze(),
    "consolidate": lambda b: b.consolidate(),
    "compact": lambda b: b.compact(),
    "compact waste": lambda b: CompositeBuffer([part[: len(part) // 4] for part in b.views()]).compact(),
}


def number(name: str) -> Call:
    def read_all(r: Reader) -> None:
        read = getattr(r, name)
        for _ in range(5000):
            read()

    return read_all


OF_A_READER: Final[Mapping[str, Call]] = {
    "byteorder": attrgetter("byteorder"),
    "position": attrgetter("position"),
    "remaining": attrgetter("remaining"),
    "at_end": attrgetter("at_end"),
    "seek": lambda r: r.seek(SIZE),
    **{name: number(name) for name in ["u8", "i8", *NUMBERS, "varint", "zigzag"]},
    **{f"peek_{name}": number(f"peek_{name}") for name in ["u8", "i8", *NUMBERS]},
    "uint": lambda r: r.uint(SIZE),
    "sint": lambda r: r.sint(SIZE),
    "unpack": lambda r: r.unpack(f">{SIZE}s"),
    "array": lambda r: r.array("H", SIZE // 2),
    "array of l": lambda r: r.array("l", SIZE // 16),
    "take": lambda r: r.take(SIZE),
    "peek": lambda r: r.peek(SIZE),
    "take_bytes": lambda r: r.take_bytes(SIZE),
    "text": lambda r: r.text(SIZE),
    "text with errors": refused(UnicodeDecodeError, lambda r: r.text(SIZE // 9, "utf-32")),
    "skip": lambda r: r.skip(SIZE),
    "expect": lambda r: r.expect(DATA),
    "sub": lambda r: r.sub(SIZE),
    "limited": lambda r: r.limited(SIZE),
    "take_rest": lambda r: r.take_rest(),
    "until": refused(EOFError, lambda r: r.until(b"nowhere", limit=SIZE)),
    "until one of two": refused(EOFError, lambda r: r.until(b"nowhere", b"\xff", limit=SIZE)),
    "line": lambda r: [r.line(limit=1000) for _ in range(100)] and None,
    "cstring": refused(EOFError, lambda r: r.cstring(limit=SIZE)),
}

MORE: Final[Mapping[str, int]] = {
    # A number or a record is decoded from bytes of its own, which are no payload; its size is its format's.
    "Reader.uint": SIZE,
    "Reader.sint": 2 * SIZE,
    "Reader.unpack": SIZE,
    # The error shows the bytes that it is about.
    "BaseBuffer.decode with errors": 2 * (SIZE // 9),
    "Reader.text with errors": 2 * (SIZE // 9),
}
"""What a call may allocate besides, and why."""


FRAMERS: Final[Mapping[str, Callable[[], Framer]]] = {
    "FixedLength": lambda: FixedLength(70_000),
    "Delimited": lambda: Delimited(b"e\n0123", limit=SIZE),
    "Lines": lambda: Lines(limit=SIZE),
    "LengthPrefixed": lambda: LengthPrefixed(4, limit=SIZE),
    "VarintPrefixed": lambda: VarintPrefixed(limit=SIZE),
}
PAYLOADS: Final[Mapping[str, bytes]] = {"LengthPrefixed": RECORDS, "VarintPrefixed": VARINTS}


def of_a_framer(kind: str) -> Mapping[str, Call]:
    make = FRAMERS[kind]
    framer = make()

    def detached(b: BaseBuffer) -> None:
        other = make()
        other.feed(b)
        other.detach()

    payload = ARRAYS[:70_000] if kind == "FixedLength" else CompositeBuffer([bytearray(70_000), b"x" * 70_000]).freeze()
    return {
        "feed": lambda b: spent(make().feed(b)),
        "pending": lambda b: framer.pending,
        "skipped": lambda b: framer.skipped,
        "end": lambda b: make().end(),
        "detach": detached,
        "encode": lambda b: make().encode(payload),
    }


class Sink:
    """An object that takes everything."""

    def write(self, data: memoryview) -> int:
        return len(data)


def sent(sink: object) -> Call:
    def send(b: BaseBuffer) -> None:
        out = Outbox()
        out.put(b)
        while out.pending:
            out.flush(sink)  # type: ignore[arg-type]

    return send


# -- the calls


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", READING)
def test_reading_a_slice_takes_what_it_counts(ground: Ground, layout: str, name: str) -> None:
    b = CompositeBuffer(ground.parts(layout)).freeze()
    assert_honest(READING[name], lambda: b, MORE.get(f"BaseBuffer.{name}", 0))


@pytest.mark.parametrize("name", READING)
def test_reading_a_composite_takes_what_it_counts(ground: Ground, name: str) -> None:
    b = CompositeBuffer(ground.parts("mixed"))
    assert_honest(READING[name], lambda: b, MORE.get(f"BaseBuffer.{name}", 0))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_memoryview_takes_what_it_counts(ground: Ground, layout: str) -> None:
    def exported(b: Any) -> None:
        try:
            memoryview(b)
        except BufferError:
            assert not b.is_contiguous

    assert_honest(exported, CompositeBuffer(ground.parts(layout)).freeze)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", OF_A_SLICE)
def test_a_slice_takes_what_it_counts(ground: Ground, layout: str, name: str) -> None:
    assert_honest(OF_A_SLICE[name], CompositeBuffer(ground.parts(layout)).freeze)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", OF_A_COMPOSITE)
def test_a_composite_takes_what_it_counts(ground: Ground, layout: str, name: str) -> None:
    parts = ground.parts(layout)
    assert_honest(OF_A_COMPOSITE[name], lambda: CompositeBuffer(parts))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", OF_A_READER)
def test_a_reader_takes_what_it_counts(ground: Ground, layout: str, name: str) -> None:
    b = CompositeBuffer(ground.parts(layout))
    assert_honest(OF_A_READER[name], b.reader, MORE.get(f"Reader.{name}", 0))


@pytest.mark.parametrize("layout", ["mixed", "bytes"])
@pytest.mark.parametrize("kind", FRAMERS)
def test_a_framer_takes_what_it_counts(tmp_path: Path, layout: str, kind: str) -> None:
    parts = Ground(PAYLOADS.get(kind, DATA), tmp_path).parts(layout)
    for call in of_a_framer(kind).values():
        assert_honest(call, lambda: CompositeBuffer(parts))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sending_takes_what_it_counts(ground: Ground, layout: str, tmp_path: Path) -> None:
    parts = ground.parts(layout)
    with (tmp_path / "sink").open("wb", buffering=0) as file:
        for sink in (file, Sink()):
            for call in (lambda b: flush(b, sink), lambda b: flush(b, sink, coalesce_below=9000), sent(sink)):  # noqa: B023
                assert_honest(call, lambda: CompositeBuffer(parts))


def moved_in_a_file(path: Path) -> None:
    """Copy between two maps of one file, in several parts, from where nothing is written to."""
    source, target = MappedFile(path)[:], MappedFile(path, access="write")[:]
    halves = CompositeBuffer([source[: SIZE // 4], b"-", source[SIZE // 4 : SIZE // 2 - 1]])
    with copy_audit() as audit:
        target.write_at(SIZE // 2, halves)
    assert audit.nbytes == 0


def transferred(path: Path) -> None:
    with tempfile.TemporaryFile("wb", buffering=0) as file:
        transfer(path, file)


def as_a_file(name: str, *arguments: Any) -> Call:
    """Call a method of a BufferFile over many parts: the bytes of a file, which is looked at before, cut up."""

    def call(path: Path) -> object:
        file = BufferFile(ARRAYS)
        return getattr(file, name)(*arguments)

    return call


OF_A_FILE: Final[Mapping[str, Call]] = {
    "BufferFile": lambda path: BufferFile(ARRAYS),
    "BufferFile.read": as_a_file("read", SIZE - 1),
    "BufferFile.read1": as_a_file("read1", SIZE // 2),
    "BufferFile.readline": as_a_file("readline"),
    "BufferFile.readinto": as_a_file("readinto", TARGETS["bytearray"]),
    "BufferFile.readinto1": as_a_file("readinto1", TARGETS["numpy"]),
    "BufferFile.seek": as_a_file("seek", SIZE),
    "BufferFile.tell": as_a_file("tell"),
    "BufferFile.close": as_a_file("close"),
    "BufferFile.readable": as_a_file("readable"),
    "BufferFile.seekable": as_a_file("seekable"),
    "FileRegion": FileRegion,
    "FileRegion.slice": lambda path: FileRegion(path)[5:-5],
    "FileRegion.view": lambda path: FileRegion(path, 5)[:].view(),
    "FileRegion.prefetch": lambda path: FileRegion(path).prefetch(),
    "FileRegion.pickle": lambda path: FileRegion(path).__reduce_ex__(4),
    "MappedFile": MappedFile,
    "MappedFile.slice": lambda path: MappedFile(path)[5:],
    "MappedFile.access": lambda path: MappedFile(path).access,
    "MappedFile.flush": lambda path: MappedFile(path, access="write").flush(),
    "MappedFile.advise": lambda path: MappedFile(path).advise("random"),
    "MappedFile.prefetch": lambda path: MappedFile(path).prefetch(),
    "MappedFile.close": lambda path: MappedFile(path).close(),
    "MappedFile.closed": lambda path: MappedFile(path).closed,
    "MappedFile over itself": moved_in_a_file,
    "transfer": transferred,
    "transfer to an object": lambda path: transfer(path, Sink()),
    "allocate": lambda path: allocate(SIZE),
}


@pytest.mark.parametrize("name", OF_A_FILE)
def test_files_take_what_they_count(ground: Ground, tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    assert_honest(OF_A_FILE[name], lambda: path)


def received(make_source: Callable[[], Any]) -> Call:
    """Receive all of it through a few blocks, and drop it."""

    def receive(_: object) -> None:
        inbox = Inbox(Pool(1 << 14, idle=3), limit=1 << 15)
        with make_source() as source:
            while inbox.receive(source):
                inbox.buffer.clear()
                inbox.rest()

    return receive


def received_by_hand(_: object) -> None:
    pool = Pool(1 << 14, idle=3)
    inbox = Inbox(pool)
    left = SIZE
    while left:
        room = inbox.room()
        size = min(left, len(room))
        room[:size] = memoryview(DATA)[:size]
        inbox.filled(size)
        inbox.buffer.clear()
        left -= size
    assert (pool.lent + pool.waiting, pool.nbytes // pool.block, pool.trim() >= 0) == (pool.made, pool.made, True)


@pytest.mark.parametrize("buffering", [0, 1 << 10])
def test_receiving_takes_what_it_counts(ground: Ground, tmp_path: Path, buffering: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    assert_honest(received(lambda: path.open("rb", buffering=buffering)), lambda: None)
    assert_honest(received_by_hand, lambda: None)


# -- nothing is left out


def documented(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


FIELDS: Final = frozenset({"fd", "nbytes", "offset", "stable"})
"""What a range of a file knows of itself: compiled, these are found in its class."""


def named(calls: Mapping[str, Call]) -> set[str]:
    return {name.split()[0] for name in calls}


def test_every_documented_call_is_measured() -> None:
    reading = documented(BaseBuffer)
    assert reading - named(READING) == set()
    assert documented(SliceBuffer) - reading - named(OF_A_SLICE) == set()
    assert documented(CompositeBuffer) - reading - named(OF_A_COMPOSITE) == set()
    assert documented(Reader) - named(OF_A_READER) == set()
    for kind in FRAMERS:
        assert documented(getattr(bytebufs, kind)) - named(of_a_framer(kind)) == set(), kind
    calls = {name.removeprefix("BufferFile.") for name in named(OF_A_FILE)}
    assert {name for name in vars(BufferFile) if not name.startswith("_")} - calls == set()
    for holder in (FileRegion, MappedFile):
        calls = {name.removeprefix(f"{holder.__name__}.") for name in named(OF_A_FILE)}
        assert documented(holder) - calls - FIELDS == set()
    assert documented(Outbox) - {"put", "flush", "pending", "paused", "close"} == set()
    assert documented(Inbox) - {"receive", "room", "filled", "rest", "buffer", "ended", "limit"} == set()
    assert documented(Pool) - {"block", "lent", "made", "nbytes", "reused", "trim", "waiting"} == set()


ELSEWHERE: Final = frozenset(
    {"BaseBuffer", "Framer", "SliceBuffer", "CompositeBuffer", "Reader", "Inbox", "Outbox", "Pool", "flush", *FRAMERS}
)
"""Public names whose calls are measured above under other names."""

WITHOUT_PAYLOAD: Final = frozenset(
    {"COMPILED", "BytesLike", "CopyAudit", "Part", "Transferred", "copy_audit", "no_copy"}
)


def test_every_public_name_is_measured_or_has_no_payload() -> None:
    errors = {name for name in bytebufs.__all__ if name in vars(bytebufs.errors)}
    measured = {name.partition(".")[0] for name in named(OF_A_FILE)}
    assert set(bytebufs.__all__) - errors - measured - ELSEWHERE - WITHOUT_PAYLOAD == set()


# -- and it would be seen


HIDING: Final[Mapping[str, Call]] = {
    "join": lambda b: len(b"".join(b.views())),
    "target": lambda b: b.copy_into(bytearray(SIZE)),
    "beside the result": lambda b: (b.tobytes(), b"".join(b.views()))[0],
    "of what was counted": lambda b: bytes(b.contiguous()) and None,
}


@pytest.mark.parametrize("name", HIDING)
def test_a_hidden_copy_is_seen(ground: Ground, name: str) -> None:
    b = CompositeBuffer(ground.parts("mixed")).freeze()
    with pytest.raises(AssertionError, match="nobody counted"):
        assert_honest(HIDING[name], lambda: b)
