"""What other buffer libraries got wrong, done here as it was done there. Most rows have a home in other files too."""

from __future__ import annotations

import random
import re
import select
import socket
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from bytebufs import CompositeBuffer, FileRegion, SliceBuffer, TruncatedFile, Underrun, no_copy, transfer

from .layouts import addresses, hidden
from .memory import peak_while

ROWS = {f"N{i}" for i in (*range(1, 8), 12, 13, 16, 17, 18, 19)} | {
    f"O{i}" for i in chain(range(1, 10), range(11, 20), (21, 22))
}
"""The rows that buffers and files answer for; those about framing and flushing have tests beside what does that."""


def test_every_row_that_is_answered_for_here_is_cited_at_a_test() -> None:
    cited: set[str] = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        for line in re.findall(r"# defects\.md (.*)", path.read_text(encoding="utf-8")):
            cited.update(re.findall(r"\b[NO]\d+\b", line))
    assert ROWS - cited == set()


def test_a_backwards_search_stays_inside_its_parts() -> None:  # defects.md N1
    b = CompositeBuffer([b"abc", hidden(b"def")])  # the second part has bytes before it that are not shown
    for needle in (b"<", b"\n", b"c<", b">"):
        assert b.rfind(needle) == b.find(needle) == -1
    assert b.rfind(b"cd") == 2
    assert b.rfind(b"c", 0, 3) == 2
    assert b[3:].rfind(b"c") == -1


def test_a_needle_may_begin_at_an_offset_of_its_owner() -> None:  # defects.md N2
    choose = random.Random(2)
    for _ in range(500):
        data = bytes(choose.choices(b"ab", k=choose.randrange(1, 30)))
        start = choose.randrange(len(data))
        needle = data[start : choose.randrange(start, len(data) + 1)]
        inside = CompositeBuffer([b"bba", bytearray(b"ab" + needle), b"ab"]).freeze()[5 : 5 + len(needle)]
        half = choose.randrange(len(data))
        for b in (SliceBuffer(b"ab" + data, 2), CompositeBuffer([hidden(data[:half]), hidden(data[half:])])):
            assert b.find(inside) == data.find(needle)
            assert b.rfind(inside) == data.rfind(needle)
            assert b.count(inside) == data.count(needle)


def test_no_lookup_survives_a_change_of_structure() -> None:  # defects.md N3
    b = CompositeBuffer([b"aaa", b"bbb", b"ccc"])
    assert b[4] == ord("b")  # the part that was touched last
    b.splice(0, 3)
    assert b[4] == ord("c")
    b.appendleft(b"dddd")
    assert b[4] == ord("b")
    b.skip(6)
    assert bytes([b[0], b[1], b[3]]) == b"bcc"
    b.consolidate()
    assert b[3] == ord("c")
    b.clear()
    b.append(b"xy")
    assert (b[0], b[1]) == tuple(b"xy")


def test_a_live_slice_shows_the_same_bytes_after_its_parent_drains() -> None:  # defects.md N4
    b = CompositeBuffer([bytearray(b"first"), b"second", b"third"])
    live = b[3:14]
    places = addresses(live)
    b.skip(9)
    b.append(b"fourth")
    b.skip(5)
    assert live == b"stsecondthi"
    assert addresses(live) == places


def test_taking_a_part_out_leaves_no_index_beyond_the_end() -> None:  # defects.md N5
    b = CompositeBuffer([b"abc", b"def"])
    assert b[5] == ord("f")
    b.splice(3, 6)
    assert (len(b), b.find(b"d"), b[-1]) == (3, -1, ord("c"))
    for at in (3, 5):
        with pytest.raises(IndexError):
            b[at]
    with pytest.raises(Underrun):
        b.take(4)


def test_appending_after_writing_puts_nothing_in_between() -> None:  # defects.md N6
    b = CompositeBuffer([bytearray(16)])
    b.write_at(0, b"hello")
    b.truncate(5)
    b.append(b", world")
    assert b == b"hello, world"


@pytest.mark.parametrize("at", [6, 7, -7])
def test_an_index_at_the_end_is_an_index_error(at: int) -> None:  # defects.md N7
    for b in (SliceBuffer(b"abcdef"), CompositeBuffer([b"abc", b"def"]), CompositeBuffer([b"abc", b"def"]).freeze()):
        with pytest.raises(IndexError):
            b[at]


def test_building_a_message_of_20_mib_allocates_none_of_it() -> None:  # defects.md N12
    part = bytes(1 << 20)

    def build() -> None:
        with no_copy(strict=True):
            b = CompositeBuffer()
            for _ in range(20):
                b.append(memoryview(part))
                b.append(b"|")
        assert (len(b), b.part_count) == (20 * (1 << 20) + 20, 40)

    assert peak_while(build, 1 << 16) < 1 << 16


def test_a_range_of_a_file_is_a_component_like_any_other(tmp_path: Path) -> None:  # defects.md N16
    (tmp_path / "file").write_bytes(b"0123456789\nabcdef")
    region = FileRegion(tmp_path / "file", 3, 12)
    b = CompositeBuffer([b"head", region, b"tail"])
    assert (b.part_count, len(b)) == (3, 20)
    assert b == b"head" + b"3456789\nabcd" + b"tail"
    assert b.find(b"dtail") == 15
    assert b.take_until(b"\n", limit=100) == b"head3456789"
    b.splice(1, 3, region[:2])
    assert b == b"a34dtail"
    assert CompositeBuffer([region[:5], region[5:]]).part_count == 1


def test_a_file_that_shrinks_ends_every_loop_over_it(tmp_path: Path) -> None:  # defects.md N18
    path = tmp_path / "file"
    path.write_bytes(bytes(100_000))
    region = FileRegion(path)
    b = CompositeBuffer([b"head", region])
    path.write_bytes(bytes(10))
    left, right = socket.socketpair()
    loops: list[Callable[[], object]] = [
        lambda: list(b),
        lambda: b.split(b"x"),
        lambda: b.take_until(b"x", limit=10**6),
        lambda: transfer(path, left, 5, 6),
        lambda: transfer(region, left),
    ]
    with left, right:
        for loop in loops:
            with pytest.raises(TruncatedFile):
                loop()
        left.shutdown(socket.SHUT_WR)
        assert right.recv(1) == b""


def test_a_read_only_slice_begins_where_its_parts_begin() -> None:  # defects.md N19
    b = CompositeBuffer([memoryview(bytearray(b"xxabc"))[2:], memoryview(bytearray(b"xdefx"))[1:4]])
    sealed = b.freeze().toreadonly()
    assert [bytes(view) for view in sealed.views()] == [b"abc", b"def"]
    assert sealed[2:4] == b"cd"
    assert [bytes(view) for view in sealed[1:5].views()] == [b"bc", b"de"]


def test_what_is_sent_of_a_slice_does_not_leak_what_was_cut_off() -> None:  # defects.md O4, O5, O9
    b = CompositeBuffer([b"secret-abc", b"def", b"ghi-secret"]).freeze()[7:-7]
    left, right = socket.socketpair()
    with left, right:
        assert left.sendmsg(b.views()) == 9
        assert right.recv(100) == b"abcdefghi"


def test_a_partial_send_loses_and_repeats_nothing() -> None:  # defects.md O6
    """Peek, send, drain what the kernel took: inside a part, at a seam and across seams; EAGAIN takes nothing."""
    message = bytes(range(256)) * 2_000
    b = CompositeBuffer([message[at : at + 1 + at % 977] for at in _starts(len(message))])
    left, right = socket.socketpair()
    left.setblocking(False)
    received = bytearray()
    full = threading.Event()

    def drain() -> None:
        full.wait()
        while chunk := right.recv(1_003):
            received.extend(chunk)

    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    with left, right:
        while b:
            before = len(b)
            try:
                sent = left.sendmsg(b[:50_000].views())
            except BlockingIOError:
                assert len(b) == before
                full.set()
                assert select.select([], [left], [], 60)[1]
                continue
            b.skip(sent)
            assert len(b) == before - sent
        full.set()
        left.shutdown(socket.SHUT_WR)
        reader.join()
    assert received == message


def _starts(size: int) -> list[int]:
    starts, at = [], 0
    while at < size:
        starts.append(at)
        at += 1 + at % 977
    return starts


def test_an_over_long_read_destroys_nothing() -> None:  # defects.md O13
    b = CompositeBuffer([b"ab", bytearray(b"cd"), b"ef"])
    places = addresses(b)
    for read in (b.take, b.skip):
        with pytest.raises(Underrun):
            read(7)
    assert addresses(b) == places
    assert b.take(6) == b"abcdef"
