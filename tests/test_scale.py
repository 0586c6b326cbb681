"""A million parts, messages beyond 4 GiB, and work that grows with what is done and not with what is there.

No test here is timed. What is counted is the entries that are moved, the looks that are taken at a part, and the pages
that are touched; times are printed for whoever wants to see them (`pytest -rP tests/test_scale.py`).
"""

from __future__ import annotations

import array
import copy
import mmap
import os
import resource
import struct
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bytebufs import (
    COMPILED,
    CompositeBuffer,
    FileRegion,
    FixedLength,
    LengthPrefixed,
    Outbox,
    Reader,
    SliceBuffer,
    Underrun,
    VarintPrefixed,
    no_copy,
)

from .conftest import IS_QUICK
from .layouts import FakeFile, address

SIZES = (1_000, 10_000, 100_000) if IS_QUICK else (10_000, 100_000, 1_000_000)


# -- draining ------------------------------------------------------------------------------------------------


SLACK: Final = 16
"""Dead entries that a short table keeps."""


def moved_while(b: CompositeBuffer, step: Callable[[], object]) -> int:
    """Empty a buffer step by step and return how many entries of its table were moved or overwritten for that."""
    table = b._index
    moved = 0
    while b:
        held, head = len(table.parts), table.head
        step()
        cut = held - len(table.parts)
        moved += len(table.parts) if cut else table.head - head
        assert table.head <= max(SLACK, len(table.parts) - table.head)  # the dead do not outweigh the living
    return moved


@pytest.mark.parametrize("count", SIZES)
def test_draining_one_byte_parts_one_by_one_is_linear(count: int) -> None:  # defects.md N13, O10, O14
    began = time.perf_counter()
    b = CompositeBuffer()
    for _ in range(count):
        b.append(b"x")
    appended = time.perf_counter()
    moved = moved_while(b, lambda: b.skip(1))
    drained = time.perf_counter()
    sys.stdout.write(f"{count:>9} appends {appended - began:.3f} s, drained one by one {drained - appended:.3f} s\n")
    assert moved <= 2 * count
    assert len(b._index.parts) <= SLACK


@pytest.mark.parametrize(
    ("count", "step"),
    [
        (SIZES[1], lambda b: b.take(1)),
        (SIZES[1], lambda b: b.take_part()),
        (SIZES[1], lambda b: b.take_bytes(1)),
        (SIZES[1], lambda b: b.take_until(b"x", limit=0)),
        (SIZES[1], lambda b: b.skip_until(b"x")),
    ],
    ids=["take", "take_part", "take_bytes", "take_until", "skip_until"],
)
def test_taking_one_by_one_is_linear(count: int, step: Callable[[CompositeBuffer], object]) -> None:
    b = CompositeBuffer([b"x"] * count)
    assert moved_while(b, lambda: step(b)) <= 2 * count


def test_prepending_and_draining_in_turn_moves_a_few_entries_each() -> None:  # defects.md N13
    b = CompositeBuffer([b"x"] * 50_000)
    table = b._index
    moved = 0
    for _ in range(5_000):
        held = len(table.parts)
        b.appendleft(b"y")
        moved += len(table.parts) if len(table.parts) != held else 1
        held = len(table.parts)
        b.skip(1)
        moved += len(table.parts) if len(table.parts) != held else 1
    assert moved <= 3 * 50_000
    b._check()


def calls_while(work: Callable[[], object]) -> int:
    """Return how many functions are called, of Python and of C."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.skipif(COMPILED, reason="calls inside compiled modules are not seen")
def test_an_append_and_a_drain_cost_the_same_number_of_calls_whatever_is_there() -> None:
    def run(count: int) -> int:
        b = CompositeBuffer()

        def work() -> None:
            for _ in range(count):
                b.append(b"x")
            for _ in range(count):
                b.skip(1)

        return calls_while(work)

    few, many = run(1_000), run(8_000)
    assert few > 1_000
    assert many <= 8.1 * few


def test_each_drained_part_is_let_go_of_at_once() -> None:  # defects.md O14, O21
    count = 20_000
    alive: list[weakref.ref[Any]] = []

    def owners() -> Iterator[Any]:
        for _ in range(count):
            owner: Any = array.array("B", b"x")
            alive.append(weakref.ref(owner))
            yield owner

    b = CompositeBuffer(owners())
    living = count
    for i in range(count):
        assert alive[i]() is not None
        b.skip(1)
        assert alive[i]() is None
        living -= 1
        if i % 2_000 == 0:
            assert sum(ref() is not None for ref in alive) == living


def test_a_stream_of_frames_in_one_chunk_is_split_without_copying_the_rest() -> None:  # defects.md O22
    frame = b"\x00\x05hello"
    chunk = frame * 20_000
    b = CompositeBuffer([chunk])
    place = address(chunk)
    with no_copy(strict=True):
        for i in range(20_000):
            (size,) = b.unpack_from(">H")
            b.skip(2)
            taken = b.take(size)
            if i % 1_000 == 0:
                assert address(taken.view()) == place + i * len(frame) + 2
                assert b.part_count == (i < 19_999)
                assert taken == b"hello"
    assert len(b) == 0


# -- looking at each byte a bounded number of times -----------------------------------------------------------


def lazy_parts(data: bytes, size: int = 1) -> list[FakeFile]:
    return [FakeFile(data[at : at + size], searchable=False) for at in range(0, len(data), size)]


def test_a_separator_is_looked_for_in_linear_time_however_slowly_it_comes() -> None:
    b = CompositeBuffer()
    parts = lazy_parts(b"a" * 3_000 + b"\r" + b"a" * 999 + b"\r\n")
    for part in parts:
        assert b.take_until(b"\r\n", limit=100_000) is None
        b.append(part)
    assert b.take_until(b"\r\n", limit=100_000) == b"a" * 3_000 + b"\r" + b"a" * 999
    assert max(part.looks for part in parts) <= 12
    assert sum(part.looks for part in parts) <= 8 * len(parts)


@pytest.mark.parametrize("size", [1, 7, 5_000])
@pytest.mark.parametrize("length", [1, 2, 50, 4_000])
def test_a_search_is_linear_also_for_needles_longer_than_the_parts(size: int, length: int) -> None:
    """The needle almost matches everywhere."""
    data = b"a" * 20_000
    needle = b"a" * (length - 1) + b"b"
    parts = lazy_parts(data, size)
    b = CompositeBuffer(parts)
    for search in (b.find, b.rfind, b.count):
        for part in parts:
            part.looks = 0
        assert search(needle) in (-1, 0)
        blocks = 1 + size // 64  # a part that is longer than a block is looked at once a block
        assert sum(part.looks for part in parts) <= (4 + 2 * blocks) * len(parts) + 20


def test_comparing_looks_at_each_part_a_few_times() -> None:
    data = b"ab" * 5_000
    parts, others = lazy_parts(data, 3), lazy_parts(data, 7)
    assert CompositeBuffer(parts) == CompositeBuffer(others)
    assert sum(part.looks for part in (*parts, *others)) <= 6 * (len(parts) + len(others))


def test_a_comparison_stops_where_it_is_decided() -> None:
    parts = lazy_parts(b"ab" * 1_000)
    b = CompositeBuffer(parts)
    assert b != b"b" + bytes(1_999)
    assert b > b"aaab"
    assert not b.startswith(b"abx")
    assert sum(part.looks for part in parts) <= 40


# -- a million parts -----------------------------------------------------------------------------------------


def test_a_million_parts() -> None:  # defects.md N12, O12
    count = 120_000 if IS_QUICK else 1_000_000
    with no_copy(strict=True):
        b = CompositeBuffer([b"a"] * (count - 3))
        b.extend([b"\r", b"\n", b"z"])
        b.appendleft(b"<")
        assert (len(b), b.part_count) == (count + 1, count + 1)
        assert (b[0], b[1], b[count // 2], b[-1], b[count - 2]) == tuple(b"<aaz\r")
        assert b.find(b"\r\n") == b.rfind(b"a\r\nz") + 1 == count - 2
        assert b.count(b"a") == count - 3
        assert (b.startswith(b"<aaaa"), b.endswith(b"\r\nz")) == (True, True)
        middle = b[count // 2 : count // 2 + 1000]
        assert (middle.part_count, middle == b"a" * 1000) == (1000, True)
        assert b == b"<" + b"a" * (count - 3) + b"\r\nz"
        assert len(b[-100_000:].views()) == 100_000
        b.splice(count // 2, count // 2 + 10, b"middle")
        assert b.find(b"middle") == count // 2
        b._check()
        assert len(b.take_until(b"\r\n", limit=2 * count) or b"") == count - 6
        assert b == b"z"


# -- beyond 4 GiB --------------------------------------------------------------------------------------------

GIB = 1 << 30
FAR = 5 * GIB


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mmap.mmap]:
    """A map of 5 GiB, of which a few bytes are not zero."""
    path: Path = tmp_path_factory.mktemp("sparse") / "file"
    with path.open("w+b") as file:
        os.ftruncate(file.fileno(), FAR)
        for at, data in [(0, b"begin"), (2 * GIB - 2, b"2GiB"), (4 * GIB - 3, b"needle"), (FAR - 3, b"end")]:
            os.pwrite(file.fileno(), data, at)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    path.unlink()
    yield mapped
    mapped.close()  # BufferError here would mean that a test's buffer still lives


def touched() -> int:
    """Return how many pages this process has touched for the first time so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt


def test_one_part_of_more_than_4_gib(sparse: mmap.mmap) -> None:  # defects.md N17, O11, O12
    before = touched()
    with no_copy(strict=True):
        b = SliceBuffer(sparse)
        assert (len(b), b.part_count, b.mapped_nbytes, b.pinned_nbytes) == (FAR, 1, FAR, 0)
        assert (b[0], b[FAR - 1], b[-FAR], b[4 * GIB]) == tuple(b"bdbd")
        assert b[4 * GIB - 3 : 4 * GIB + 3] == b"needle"
        near = b[4 * GIB - 5_000 :]
        assert near.find(b"needle", 0, 10_000) == 4_997
        assert b.find(b"needle", 4 * GIB - 100_000) == 4 * GIB - 3
        assert b.rfind(b"end") == FAR - 3
        assert b.find(b"\0", 3 * GIB) == 3 * GIB
        assert b.endswith(b"\0end")
        assert b.startswith(b"dle", 4 * GIB)
        assert b.unpack_from(">I", 4 * GIB - 1) == struct.unpack(">I", b"edle")
        assert b.view().nbytes == FAR
        assert b.split(b"begin", 1)[1][:1] == b"\0"
        r = b.reader()
        r.seek(4 * GIB - 3)
        assert (r.take(6), r.position) == (SliceBuffer(b"needle"), 4 * GIB + 3)
        with pytest.raises(IndexError):
            b[FAR]
    # The whole would be 1.3 million pages, or 80 000 where the kernel maps 16 at a fault.
    assert touched() - before < 5_000


def test_a_message_of_15_gib(sparse: mmap.mmap) -> None:  # defects.md N17, O11
    before = touched()
    with no_copy(strict=True):
        b = CompositeBuffer([sparse, b"<seam>", sparse, memoryview(sparse)[FAR - 3 :], sparse])
        size = 3 * FAR + 9
        assert (len(b), b.part_count, b.mapped_nbytes) == (size, 5, FAR)
        assert b.find(b"end<seam>begin", FAR - 100) == FAR - 3
        assert b[FAR + 6 + 4 * GIB :][:3] == b"dle"
        assert b.rfind(b"endend", 0, 2 * FAR + 10) == b.find(b"endbegin", 2 * FAR) - 3 == 2 * FAR + 3
        b.skip(4 * GIB)
        assert b.take(3) == b"dle"
        assert b.unpack_from(">3s", GIB - 6) == (b"end",)
        taken = b.take(FAR)
        assert (len(taken), taken.part_count, len(b)) == (FAR, 3, size - FAR - 4 * GIB - 3)
        b.appendleft(taken[-(2**33) :])
        b.truncate(4 * GIB + 1)
        b.splice(2**32, 2**32 + 1, b"!")
        assert b.endswith(b"!")
        assert len(b) == 2**32 + 1
        b._check()
    assert touched() - before < 5_000


def test_pieces_of_a_large_map_merge_to_the_whole(sparse: mmap.mmap) -> None:
    whole = SliceBuffer(sparse)
    b = CompositeBuffer()
    for at in range(0, FAR, GIB):
        b.append(memoryview(sparse)[at : at + GIB])
    c = CompositeBuffer([whole[at : at + GIB] for at in range(0, FAR, GIB)])
    for merged in (b, c):
        merged._check()
        assert (merged.part_count, len(merged)) == (1, FAR)
    before = touched()
    assert c == whole  # what both share is not looked at
    assert b != whole[1:]
    assert touched() - before < 1_000


def test_a_part_of_more_than_2_gib_among_others(sparse: mmap.mmap) -> None:  # defects.md O12
    large = SliceBuffer(sparse, 1, 3 * GIB + 1)
    b = CompositeBuffer([b"ab", large, b"cd", large])
    assert b.find(b"cdegin", 3 * GIB - 50) == 3 * GIB + 2
    assert b.find(b"2GiB", 2 * GIB - 50, 2 * GIB + 50) == 2 * GIB - 1
    assert (b[-1], len(b.views()[1])) == (0, 3 * GIB)
    b.skip(2 * GIB)
    assert b.take(3) == b"GiB"
    assert len(b) == 4 * GIB + 1


# -- more than len() can tell --------------------------------------------------------------------------------

MEMORY: Final = Path("/dev/shm")  # its files may be longer than 16 TiB, where ext4's end
FEW: Final = IS_QUICK and MEMORY.is_dir()
LAPS: Final = 1 << 17 if FEW else 1 << 20
LAP: Final = (1 << 63) // LAPS + (1 << 64) // LAPS**2


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SliceBuffer]:
    """Give a million laps of a file of 8 TiB that holds four bytes, or 2**17 of one of 64 TiB: over 2**63 bytes."""
    with tempfile.TemporaryDirectory(dir=MEMORY if FEW else tmp_path_factory.mktemp("endless")) as folder:
        path = Path(folder, "sparse")
        path.write_bytes(b"head")
        os.truncate(path, LAP)
        b = CompositeBuffer([FileRegion(path)])
        while b.part_count < LAPS:
            b.append(b)
        yield b.freeze()


def test_a_message_may_be_longer_than_len_can_tell(endless: SliceBuffer) -> None:
    b = CompositeBuffer([endless])
    last = (LAPS - 1) * LAP
    assert last > sys.maxsize
    with pytest.raises(OverflowError):
        len(b)
    with pytest.raises(OverflowError):
        len(b[:])
    assert b
    assert repr(b) == f"<CompositeBuffer: {LAPS * LAP} bytes in {LAPS} parts>"
    assert (b[last], b[-1], b[LAP - 1]) == (ord("h"), 0, 0)
    assert b[last : last + 6] == b"head\0\0"
    assert len(b[last:]) == LAP
    assert b.startswith(b"head\0")
    assert copy.copy(b)[last + 2] == ord("a")
    with pytest.raises(IndexError, match=str(LAPS * LAP)):
        b.write_at(LAPS * LAP, b"x")
    with pytest.raises(Underrun, match=str(LAPS * LAP)):
        b.take(LAPS * LAP + 1)
    b.splice(last, last + 4, b"tail")
    assert b.take(last).startswith(b"head")
    assert len(b) == LAP
    assert b.take(4) == b"tail"


def test_a_reader_goes_beyond_what_len_can_tell(endless: SliceBuffer) -> None:
    last = (LAPS - 1) * LAP
    r = endless.reader()
    assert r.remaining == LAPS * LAP
    r.seek(last - 1)
    assert (r.position, r.u8(), r.position) == (last - 1, 0, last)
    assert (r.u16_be(), bytes(r.take(2)), r.position) == (0x6865, b"ad", last + 4)
    r.skip(LAP - 5)
    assert r.remaining == 1
    far = endless.reader()
    for _ in range(4):
        far.skip(last // 4)
    assert (far.position, bytes(far.peek(4))) == (last, b"head")
    with pytest.raises(Underrun):
        r.u16()
    assert (r.varint(), r.remaining) == (0, 0)

    def message(r: Reader) -> SliceBuffer:
        r.skip(last)
        return r.take(4)

    assert CompositeBuffer([endless]).parse(message, limit=LAPS * LAP) == b"head"


def test_framers_take_more_than_len_can_tell(endless: SliceBuffer) -> None:
    framer = FixedLength(5)
    assert next(framer.feed(endless)) == b"head\0"
    assert framer.pending == LAPS * LAP - 5
    varints = VarintPrefixed(limit=200)
    assert len(next(varints.feed(endless))) == ord("h")
    payload = endless[(LAPS // 2 - 1) * LAP :]
    assert LengthPrefixed(8, limit=1 << 70).encode(payload)[:12] == ((LAPS // 2 + 1) * LAP).to_bytes(8) + b"head"


def test_an_outbox_takes_more_than_len_can_tell(endless: SliceBuffer) -> None:
    outbox = Outbox()
    outbox.put(endless)
    outbox.put(b"x")
    with Path(os.devnull).open("wb", buffering=0) as sink:
        outbox.flush(sink)
        assert 0 < LAPS * LAP + 1 - outbox.pending < 1 << 30
    outbox.close()
    assert outbox.pending == 0
