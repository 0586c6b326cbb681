"""Who holds which bytes, as text for people: right where it is short, bounded where it is not."""

from __future__ import annotations

import array
import mmap
import string
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, SliceBuffer
from bytebufs._core.audit import no_copy
from bytebufs._core.layout import MAX_LINES, MAX_WIDTH, PREVIEW, describe, hexdump, preview
from bytebufs._core.owners import Map
from bytebufs._core.parts import Entry, LazyOwner, Memory, Run, entry_of, zeros
from bytebufs._core.table import Table

from ..conftest import IS_QUICK


class Region(LazyOwner):
    """A fake range of a file, at which nobody may look."""

    def _look(self) -> Memory:
        raise AssertionError("looked at")


def entry(obj: Any) -> Entry:
    found = entry_of(obj)
    assert found is not None
    return found


def table_of(*objects: Any) -> Table:
    return Table([entry(obj) if not isinstance(obj, Run) else obj for obj in objects], [], 0)


# -- the listing ---------------------------------------------------------------------------------------------


def test_a_line_a_part_says_where_it_is_in_the_buffer_and_in_whose_memory() -> None:
    mapped = mmap.mmap(-1, 100)
    table = table_of(
        b"abc",
        memoryview(b"0123456789")[2:5],
        bytearray(4),
        memoryview(bytearray(50)).toreadonly()[10:12],
        memoryview(mapped)[20:30],
        memoryview(array.array("H", [1, 2, 3]))[1:],
        Run(Region(10**12), 10**11, 10**11 + 5),
    )
    expected = """\
31 bytes in 7 parts
         0          3  [0:3] of bytes of 3
         3          6  [2:5] of bytes of 10
         6         10  [0:4] of bytearray of 4, writable
        10         12  [10:12] of bytearray of 50, read-only
        12         22  [20:30] of mmap of 100, writable
        22         26  [0:4] of array of 4, writable
        26         31  [100000000000:100000000005] of Region of 1000000000000"""
    assert describe(table, 0, 31) == expected


def test_a_window_is_listed_as_it_is_clipped_and_from_zero() -> None:
    table = Table([b"abcdef", b"x", entry(bytearray(b"012345"))], [], -100)
    expected = """\
8 bytes in 3 parts
         0          4  [2:6] of bytes of 6
         4          5  [0:1] of bytes of 1
         5          8  [0:3] of bytearray of 6, writable"""
    assert describe(table, -98, -90) == expected
    assert describe(table, -98, -98) == "0 bytes in 0 parts"


def test_one_is_one_part_of_one_byte() -> None:
    assert describe(table_of(b"x"), 0, 1) == "1 byte in 1 part\n         0          1  [0:1] of bytes of 1"
    assert describe(table_of(b"xyz"), 0, 3).splitlines()[0] == "3 bytes in 1 part"


@pytest.mark.parametrize("n", [MAX_LINES - 1, MAX_LINES, MAX_LINES + 1, 100_000 if IS_QUICK else 1_000_000])
def test_of_many_parts_the_first_and_the_last_are_listed(n: int) -> None:
    lines = describe(Table([b"ab"] * n, [], 0), 0, 2 * n).splitlines()
    assert lines[0] == f"{2 * n} bytes in {n} parts"
    shown = [int(line.split()[0]) for line in lines[1:] if "..." not in line]
    if n <= MAX_LINES:
        assert shown == list(range(0, 2 * n, 2))
    else:
        half = MAX_LINES // 2
        assert shown == [*range(0, 2 * half, 2), *range(2 * (n - half), 2 * n, 2)]
        assert lines[1 + half] == f"       ...        ...  {n - MAX_LINES} parts left out"
        assert len(lines) == MAX_LINES + 2


def test_a_listing_is_short_for_huge_parts_too() -> None:
    huge = 2**62
    table = Table([Run(Region(huge), 0, huge)] * 100, [], 0)
    assert len(describe(table, 0, 100 * huge)) < 200 * (MAX_LINES + 2)


# -- the dump ------------------------------------------------------------------------------------------------


def test_a_dump_shows_offset_hex_and_text() -> None:
    table = table_of(b"Hello, w", bytearray(b"orld\n\x00\x7f\x80"), b"~ \xff")
    expected = """\
00000000  48 65 6c 6c 6f 2c 20 77 6f 72 6c 64 0a 00 7f 80  Hello, world....
00000010  7e 20 ff                                         ~ ."""
    assert hexdump(table, 0, 19, 16) == expected
    assert hexdump(table, 1, 4, 2) == "00000000  65 6c  el\n00000002  6c     l"
    assert hexdump(table, 3, 5, 1) == "00000000  6c  l\n00000001  6f  o"
    assert hexdump(table, 5, 5, 16) == ""


def test_a_dump_shows_ascii_that_can_be_printed_and_dots_for_the_rest() -> None:
    """string.printable without the five kinds of white space that would break the line."""
    shown = hexdump(table_of(bytes(range(256))), 0, 256, 256)[-256:]
    printable = string.digits + string.ascii_letters + string.punctuation + " "
    assert shown == "".join(c if c in printable else "." for c in map(chr, range(256)))


@pytest.mark.parametrize("lines", [1, MAX_LINES // 2, MAX_LINES - 1, MAX_LINES, MAX_LINES + 1, 10_000])
@pytest.mark.parametrize("last", [1, 4])
def test_of_a_long_dump_the_middle_is_left_out(lines: int, last: int) -> None:
    size = 4 * (lines - 1) + last
    data = bytes(i % 251 for i in range(size))
    half = MAX_LINES // 2
    dumped = hexdump(table_of(data), 0, size, 4).splitlines()
    if lines <= MAX_LINES:
        numbers = list(range(lines))
    else:
        assert dumped.pop(half) == f"... {lines - MAX_LINES} lines left out"
        numbers = [*range(half), *range(lines - half, lines)]
    for line, k in zip(dumped, numbers, strict=True):
        assert line.startswith(f"{4 * k:08x}  {data[4 * k : 4 * k + 4].hex(' '):<11}  ")


@given(st.binary(max_size=300), st.integers(1, 40), st.lists(st.integers(1, 300)))
def test_a_dump_does_not_depend_on_the_layout_and_can_be_read_back(data: bytes, width: int, edges: list[int]) -> None:
    places = sorted({0, len(data), *(edge for edge in edges if edge < len(data))})
    table = Table([data[low:high] for low, high in pairwise(places)], [], 0)
    dumped = hexdump(table, 0, len(data), width)
    assert dumped == hexdump(Table([b"x" + data + b"y"], [], 0), 1, len(data) + 1, width)
    if len(data) <= width * MAX_LINES:
        hexes = [line[10 : 10 + 3 * width - 1] for line in dumped.splitlines()]
        assert bytes.fromhex(" ".join(hexes)) == data


def test_a_dump_is_bounded_and_looks_only_at_what_it_shows() -> None:
    n = 10**5 if IS_QUICK else 10**6
    hidden = Run(Region(10**12), 0, 10**12)
    table = Table([*[b"ab"] * n, hidden, *[b"ab"] * n], [], 0)
    for width in (1, 16, MAX_WIDTH):
        dumped = hexdump(table, 0, 4 * n + 10**12, width)
        assert len(dumped.splitlines()) == MAX_LINES + 1
        assert len(dumped) <= (MAX_LINES + 1) * (4 * MAX_WIDTH + 30)


@pytest.mark.parametrize("width", [0, -1, MAX_WIDTH + 1, 10**20])
def test_the_width_of_a_dump_is_a_few_bytes(width: int) -> None:
    with pytest.raises(ValueError, match=f"is 1 to {MAX_WIDTH} bytes, not {width}"):
        hexdump(table_of(b"abc"), 0, 3, width)
    assert hexdump(table_of(b"abc"), 0, 3, MAX_WIDTH).endswith("  abc")


# -- the first bytes -----------------------------------------------------------------------------------------


def test_a_preview_is_the_first_bytes_across_seams() -> None:
    for size, cut in product((1, PREVIEW - 1, PREVIEW, PREVIEW + 1, 10_000), (1, 5, PREVIEW)):
        data = bytes(65 + i % 26 for i in range(size))
        pieces = [b"<" + data[:cut], data[cut:]] if cut < size else [b"<" + data]
        expected = repr(data[:PREVIEW]) + ("..." if size > PREVIEW else "")
        assert preview(table_of(*pieces), 1, size + 1) == expected


def test_a_preview_of_nothing_is_empty() -> None:
    assert preview(table_of(b"abc"), 2, 2) == ""
    assert preview(Table([], [], 0), 0, 0) == ""


def test_a_preview_is_left_out_where_a_file_would_have_to_be_looked_at() -> None:
    region = Run(Region(100), 0, 100)
    assert preview(table_of(region), 0, 100) == ""
    assert preview(table_of(b"head", region), 0, 104) == ""
    assert preview(table_of(b"head", region), 0, 4) == "b'head'"
    assert preview(table_of(b"a" * PREVIEW, region), 0, 100) == repr(b"a" * PREVIEW) + "..."


def test_a_buffer_over_a_file_is_measured_cut_and_shown_without_a_look() -> None:
    whole = SliceBuffer(Region(10**12))
    b = CompositeBuffer([b"head", whole[5:], whole[:5]])
    b.append(whole[5:7])
    b.skip(10)
    piece = b.take(10**9)
    assert (len(whole), len(piece), len(b)) == (10**12, 10**9, 10**12 - 10**9 - 4)
    assert [buffer.part_count for buffer in (whole, piece, b)] == [1, 1, 2]
    assert repr(whole).startswith("<SliceBuffer: 1000000000000 bytes in 1 part")
    assert "[11:1000000011] of Region of 1000000000000" in piece.layout()
    assert "[0:7] of Region of 1000000000000" in b.layout(), "what was cut apart is one part again"
    assert (b.readonly, b.mapped_nbytes, b.pinned_nbytes) == (True, 10**12, 0)
    assert whole != b
    assert piece == piece[:]


def test_nothing_here_is_a_payload_copy() -> None:
    table = table_of(bytearray(1000), b"abc")
    with no_copy(strict=True):
        assert describe(table, 0, 1003)
        assert hexdump(table, 0, 1003, 16)
        assert preview(table, 0, 1003)


def test_memory_of_our_own_is_called_what_everybody_calls_it() -> None:
    table = Table([Run(zeros(4), 0, 4), entry(Map(-1, 8))], [], 0)
    expected = """\
12 bytes in 2 parts
         0          4  [0:4] of bytearray of 4, read-only
         4         12  [0:8] of mmap of 8, writable"""
    assert describe(table, 0, 12) == expected
