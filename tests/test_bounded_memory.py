"""Limits bound memory, not only bytes: what a flood of tiny parts, of every kind of owner, leaves in the process."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import pytest

import bytebufs
from bytebufs import (
    COMPILED,
    CompositeBuffer,
    CopyForbidden,
    Delimited,
    FileRegion,
    FixedLength,
    Lines,
    Outbox,
    Part,
    SliceBuffer,
    VarintPrefixed,
    copy_audit,
    no_copy,
)
from bytebufs.testing import STALL, FakeSocket

from .conftest import IS_QUICK
from .memory import kept_by

BLOCK: Final = 4096
CHUNK: Final = 1 << 16

LIMITS: Final = [1 << 10, 1 << 13 if IS_QUICK else 1 << 16]

NUMBERS: Final = bytes(range(1, 10)) * 2  # no separator in it, and slices of it are objects of their own


LARGE: Final = {"view of a large chunk": CHUNK, "slice of a large chunk": CHUNK}
"""What a part holds: the last one that came, and the one before, may wait for what completes them."""


def _of_a_composite(k: int) -> CompositeBuffer:
    return CompositeBuffer([bytearray(b"x"), b"y"])


TINY: Final[dict[str, Callable[[int], Part]]] = {
    "one byte": lambda k: NUMBERS[k % 9 : k % 9 + 1],
    "two bytes": lambda k: bytes(bytearray(NUMBERS[k % 9 : k % 9 + 2])),
    "bytearray": lambda k: bytearray(b"x"),
    "array": lambda k: array.array("B", b"x"),
    "view of a bytearray": lambda k: memoryview(bytearray(b"xyz"))[1:2],
    "view of a large chunk": lambda k: memoryview(bytearray(CHUNK))[k : k + 1],
    "slice of a large chunk": lambda k: SliceBuffer(bytes(CHUNK))[7:8],
    "map": lambda k: bytebufs.allocate(1),
    "composite": _of_a_composite,
}


def counts(kind: str) -> int:
    """Fewer of what is slow to make."""
    if kind == "map":
        return 1500
    if kind in LARGE:
        return 800 if IS_QUICK else 1500
    return 3_000 if IS_QUICK else 12_000


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("name", ["delimited", "lines", "fixed", "varint"])
@pytest.mark.parametrize("limit", LIMITS)
def test_a_framer_keeps_at_most_twice_its_limit_and_a_block(name: str, kind: str, limit: int) -> None:
    makers: dict[str, Callable[[], Any]] = {
        "delimited": lambda: Delimited(b"\xff\xff\xff", limit=limit),
        "lines": lambda: Lines(limit),
        "fixed": lambda: FixedLength(limit),
        "varint": lambda: VarintPrefixed(limit),
    }
    make = TINY[kind]

    def flood() -> object:
        framer = makers[name]()
        if name == "varint":
            framer.feed({1 << 10: b"\xff\x07", 1 << 13: b"\xff\x3f", 1 << 16: b"\xff\xff\x03"}[limit])
        for k in range(min(counts(kind), (limit - 10) // 2)):
            for _ in framer.feed(make(k)):
                raise AssertionError("nothing is whole")
        return framer

    most = 2 * limit + BLOCK + LARGE.get(kind, 0)
    framer, kept = kept_by(flood, most)
    assert framer is not None
    assert kept <= most


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("high", LIMITS)
def test_an_outbox_keeps_at_most_twice_its_watermark_and_a_block(kind: str, high: int) -> None:
    make = TINY[kind]

    def flood() -> object:
        outbox = Outbox(high, 0)
        k = 0
        while not outbox.paused and k < counts(kind):
            outbox.put(make(k))
            k += 1
        return outbox

    most = 2 * high + BLOCK + LARGE.get(kind, 0)
    _, kept = kept_by(flood, most)
    assert kept <= most


@pytest.mark.parametrize("kind", [kind for kind in TINY if kind != "composite"])
def test_a_composite_that_coalesces_keeps_little_more_than_it_shows(kind: str) -> None:
    make = TINY[kind]
    n = counts(kind)

    def flood() -> object:
        buffer = CompositeBuffer(coalesce_below=64)
        for k in range(n):
            buffer.append(make(k))
        return buffer

    most = 2 * n + BLOCK
    buffer, kept = kept_by(flood, most)
    assert isinstance(buffer, CompositeBuffer)
    assert kept <= 2 * len(buffer) + BLOCK


def test_each_byte_is_gathered_a_few_times_and_counted() -> None:
    framer = Lines(1 << 16)
    with copy_audit() as audit:
        for k in range(20_000):
            framer.feed(NUMBERS[k % 9 : k % 9 + 1])
    assert set(audit.by_reason) == {"coalesce"}
    assert audit.nbytes <= 3 * framer.pending
    [line] = framer.feed(b"\n")
    assert line == bytes([k % 9 + 1 for k in range(20_000)])


def test_large_slices_of_one_owner_are_never_copied() -> None:
    held = memoryview(bytearray(1 << 22))
    outbox = Outbox(1 << 20)
    with no_copy(strict=True):
        for k in range(8):
            outbox.put(b"a header of an answer")
            outbox.put(held[k << 16 : (k << 16) + (1 << 15)])


@pytest.mark.parametrize("shared", [True, False])
def test_what_waits_is_looked_at_as_often_as_it_grows_and_not_at_each_part(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views that do not touch, of one large block, or of two in turn."""
    if COMPILED:
        pytest.skip("inside compiled code nothing can be counted")
    looked = 0
    waste_of = bytebufs.composite_buffer.waste_of  # type: ignore[attr-defined]

    def counting(entries: Any, *before: Any) -> int:
        nonlocal looked
        looked += len(entries)
        return int(waste_of(entries, *before))

    monkeypatch.setattr("bytebufs.composite_buffer.waste_of", counting)
    for n in (400, 800, 1600, 3200):
        looked = 0
        blocks = [memoryview(bytearray(1 << 22)) for _ in range(1 if shared else 2)]
        framer = FixedLength(1 << 22)
        for k in range(n):
            framer.feed(blocks[k % len(blocks)][200 * k : 200 * k + 100])
        assert looked <= (4 if shared else 50) * n


def little(size: int, shown: int = 5) -> memoryview:
    """Return a view of a few bytes of so many."""
    return memoryview(bytes(size))[1 : 1 + shown]


def some(size: int) -> list[Part]:
    """Return several views that do not touch, of so many bytes."""
    block = memoryview(bytes(size))
    return [block[2 * k + 1 : 2 * k + 2] for k in range(3)]


SPARE: Final = (1 << 16) + 3072

MIXTURES: Final[dict[str, Callable[[], Iterator[Part]]]] = {
    "one view among bytes": lambda: chain([b"x", little(1 << 22)], repeat(b"y", 50)),
    "views and bytes in turn": lambda: chain.from_iterable((little(1 << 22), b"y") for _ in range(50)),
    "views and bytearrays in turn": lambda: chain.from_iterable((little(1 << 22), bytearray(30)) for _ in range(50)),
    "views and composites in turn": lambda: chain.from_iterable(
        (little(1 << 22), CompositeBuffer([b"x", b"y"])) for _ in range(50)
    ),
    "several views of each of some blocks": lambda: chain([b"x"], *(some(1 << 22) for _ in range(50))),
    "several views of each, and bytes": lambda: chain(*([*some(1 << 22), b"y"] for _ in range(50))),
    "views of less than may be wasted": lambda: (little(SPARE - 1000) for _ in range(50)),
    "views of half of what may be wasted": lambda: (little(SPARE // 2 + 1000) for _ in range(50)),
    "such views behind parts that are worth it": lambda: chain(
        (bytes(520) for _ in range(64)), (little(SPARE - 1000) for _ in range(50))
    ),
    "views of a page of each": lambda: (little(1 << 20, BLOCK + k) for k in range(15)),
    "views of a third of each": lambda: (little(3 << 13, 1 << 13) for _ in range(7)),
    "views of a third of each, and bytes": lambda: chain.from_iterable(
        (little(3 << 13, 1 << 13), b"y") for _ in range(7)
    ),
    "larger views and parts that are worth it, in turn": lambda: chain.from_iterable(
        (little(SPARE - 2000, 600), bytes(520)) for _ in range(50)
    ),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_only_what_the_first_part_holds_and_the_last_comes_on_top_whatever_is_mixed(name: str) -> None:
    framer = FixedLength(1 << 16)
    fed = b""
    for part in MIXTURES[name]():
        fed += bytes(CompositeBuffer([part]))
        framer.feed(part)
        del part
        buffer = framer._buffer
        buffer._check()
        ends = SliceBuffer(buffer.first()).pinned_nbytes + buffer[-1:].pinned_nbytes
        assert buffer.pinned_nbytes <= 2 * (1 << 16) + BLOCK + ends
    assert framer.detach() == fed


def test_ranges_of_files_between_them_keep_no_views_alive(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    region = FileRegion(path)
    outbox = Outbox(1 << 16)
    for k in range(300):
        outbox.put(little(1 << 20))
        outbox.put(region[2 * k : 2 * k + 1])
        assert outbox._queue.pinned_nbytes <= 2 * (1 << 16) + BLOCK + 2 * (1 << 20)


@pytest.mark.parametrize("kind", ["bytearray", "two bytes", "view of a bytearray", "view of a large chunk"])
def test_what_is_put_in_by_callbacks_is_bounded_too(kind: str) -> None:
    """While no other puts come."""
    make, rounds, high = TINY[kind], 100, 16384

    def flood() -> object:
        outbox = Outbox(high, 0)

        def more() -> None:
            for k in range(40):
                outbox.put(make(k))

        for _ in range(rounds):
            outbox.put(b"x", on_sent=more)
        for _ in range(rounds):
            outbox.flush(FakeSocket(send=[1, STALL]))
        assert outbox.pending >= 40 * rounds
        return outbox

    most = 2 * high + BLOCK + LARGE.get(kind, 0)
    _, kept = kept_by(flood, most)
    assert kept <= most


def test_parts_that_are_worth_their_memory_are_never_copied() -> None:
    with no_copy(strict=True):
        framer = FixedLength(1 << 20)
        for _ in range(300):
            framer.feed(bytes(1460))
            framer.feed(bytearray(30))
        lines = Lines(80)
        for _ in range(50):  # a few bytes of each chunk wait for the next one
            assert len(list(lines.feed(memoryview(bytearray(b"a line\n" * 1000 + b"tail"))))) == 1000


def test_where_copies_are_forbidden_a_flood_is_refused_and_loses_nothing() -> None:
    framer = Lines(64)
    fed = 0
    with no_copy():
        for k in range(10_000):
            part = NUMBERS[k % 9 : k % 9 + 1]
            try:
                framer.feed(part)
            except CopyForbidden:
                break
            fed += 1
    assert 20 < fed < 1000
    assert framer.pending == fed
