"""What both kinds of buffer do: read, search, cut, compare, decode, write through, and say what they are not.

That the answers are those of `bytes` over every layout is tests/test_conformance.py's matter. Here stands what
`bytes` cannot tell: what is copied and counted, what is shown and pinned, and how an error reads.
"""

from __future__ import annotations

import copy
import ctypes
import hashlib
import io
import mmap
import pickle
import random
import re
import socket
import struct
import sys
import tempfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import (
    COMPILED,
    BaseBuffer,
    CompositeBuffer,
    CopyForbidden,
    Fragmented,
    Part,
    SliceBuffer,
    Underrun,
    base_buffer,
    copy_audit,
    flush,
    no_copy,
)
from bytebufs._core.parts import LazyOwner, Memory, written
from bytebufs.base_buffer import own_separator

from .layouts import FakeFile, address, addresses, anonymous_map, hidden

EXPORTS = sys.version_info >= (3, 12)
"""Whether the interpreter lets a class of Python's own export a buffer (PEP 688)."""


def in_halves(data: bytes) -> CompositeBuffer:
    """Return a composite with a seam in the middle, whose window clips its first entry."""
    half = len(data) // 2
    b = CompositeBuffer([b"<" + data[:half], data[half:]])
    b.skip(1)
    return b


def frozen_halves(data: bytes) -> SliceBuffer:
    """Return a slice with a seam in the middle, whose window clips both entries."""
    half = len(data) // 2
    return CompositeBuffer([b"<" + data[:half], data[half:] + b">"]).freeze()[1:-1]


def in_bytearray(data: bytes) -> SliceBuffer:
    """Return a slice of one part of writable memory."""
    return SliceBuffer(bytearray(b"<" + data + b">"), 1, 1 + len(data))


MAKES: list[Callable[[bytes], BaseBuffer]] = [SliceBuffer, lambda data: SliceBuffer(hidden(data))]
MAKES += [in_halves, frozen_halves, in_bytearray]
every_make = pytest.mark.parametrize(
    "make", MAKES, ids=["one part", "clipped part", "composite", "clipped parts", "bytearray"]
)


def sentence(error: pytest.ExceptionInfo[BaseException]) -> str:
    return str(error.value)


# -- a sequence of bytes -------------------------------------------------------------------------------------


@every_make
def test_a_buffer_is_a_sequence_of_ints(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    assert len(b) == 6
    assert b
    assert not make(b"")
    assert list(b) == list(b"abcdef")
    assert list(reversed(b)) == list(b"fedcba")
    assert [b[i] for i in (0, 2, 3, 5, -1, -6)] == list(b"acdffa")
    assert b[np.int64(3)] == b[True + 2] == ord("d")


@every_make
@pytest.mark.parametrize("at", [6, -7, 2**70, -(2**70)])
def test_an_index_beyond_the_end_is_an_index_error(make: Callable[[bytes], BaseBuffer], at: int) -> None:
    with pytest.raises(IndexError, match=rf"index {at} is out of range for 6 bytes"):  # defects.md N7
        make(b"abcdef")[at]


def test_a_byte_is_read_from_whatever_owner_holds_it() -> None:
    owners: list[Part] = [b"ab", bytearray(b"ab"), FakeFile(b"ab"), hidden(b"ab")]
    assert [SliceBuffer(owner)[1] for owner in owners] == [ord("b")] * 4
    b = CompositeBuffer(owners)
    assert [b[i] for i in range(8)] == list(b"abababab")


@every_make
def test_slices_clamp_and_may_run_backwards_to_nothing(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    assert type(b[1:3]) is SliceBuffer
    assert b[1:4] == b"bcd"
    assert b[-2:] == b"ef"
    assert b[-100:100] == b[-(2**70) : 2**70] == b[:] == b[None:None:None] == b"abcdef"
    assert b[4:2] == b[6:] == b[100:200] == b[2:2] == b""  # defects.md O3
    assert b[1 : np.int64(3) : 1] == b"bc"


@every_make
@pytest.mark.parametrize("step", [2, -1, 0, 2**70])
def test_a_step_is_refused_with_the_copy_to_write_instead(make: Callable[[bytes], BaseBuffer], step: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"write bytes(b)[::{step}]")):
        make(b"abcdef")[::step]


@every_make
def test_ranges_that_are_no_slices_do_not_clamp(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    assert SliceBuffer(b, 2, 4) == b"cd"
    assert SliceBuffer(b, 6) == SliceBuffer(b, 3, 3) == b""
    for start, stop, error in [(0, 7, IndexError), (7, None, IndexError), (-1, None, ValueError), (3, 2, ValueError)]:
        with pytest.raises(error):
            SliceBuffer(b, start, stop)


def test_a_step_is_an_integer() -> None:
    with pytest.raises(TypeError):
        SliceBuffer(b"ab")[::1.0]


def test_the_whole_of_a_slice_is_that_slice() -> None:
    b = SliceBuffer(b"abc")
    assert b[:] is b
    assert b.strip() is b


@every_make
def test_an_int_or_a_run_of_bytes_is_in_a_buffer(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcd")
    assert b"bc" in b
    assert bytearray(b"bc") in b
    assert SliceBuffer(b"xbcx", 1, 3) in b
    assert b"" in b
    assert ord("a") in b
    assert 0 not in b
    assert b"ac" not in b
    assert np.array([98, 99], np.uint8) in b


@every_make
def test_an_integer_of_numpy_is_looked_for_as_a_number(make: Callable[[bytes], BaseBuffer]) -> None:
    """It has a buffer of 8 bytes, too; `in` bytes takes the number, and `find` the buffer."""
    assert np.int64(98) in make(b"abcd")
    assert np.int64(0) not in make(b"abcd")
    assert make(b"bb" + struct.pack("=q", 98)).find(np.int64(98)) == 2
    with pytest.raises(ValueError, match="a byte is 0 to 255, not 256"):
        np.int64(256) in make(b"abcd")  # noqa: B015  # the point is the error


@every_make
@pytest.mark.parametrize("number", [256, -1, 2**70])
def test_a_number_that_is_no_byte_is_a_value_error(make: Callable[[bytes], BaseBuffer], number: int) -> None:
    for ask in (make(b"ab").__contains__, make(b"ab").find, make(b"ab").count):
        with pytest.raises(ValueError, match=f"a byte is 0 to 255, not {number}"):
            ask(number)


# -- iterating while something changes -----------------------------------------------------------------------

LAST = b"ghi"

CHANGES: dict[str, Callable[[CompositeBuffer], object]] = {
    "append": lambda b: b.append(b"z"),
    "append more of the last part": lambda b: b.append(memoryview(LAST)[2:3]),
    "extend": lambda b: b.extend([b"x", b"y"]),
    "appendleft": lambda b: b.appendleft(b"z"),
    "insert": lambda b: b.insert(3, b"z"),
    "splice": lambda b: b.splice(1, 2),
    "take": lambda b: b.take(1),
    "take_all": lambda b: b.take_all(),
    "take_at_most": lambda b: b.take_at_most(3),
    "take_until": lambda b: b.take_until(b"d", limit=9),
    "skip": lambda b: b.skip(1),
    "truncate": lambda b: b.truncate(7),
    "clear": lambda b: b.clear(),
    "consolidate": lambda b: b.consolidate(),
    "take and put back": lambda b: b.appendleft(b.take(2)),
}


def changing() -> CompositeBuffer:
    return CompositeBuffer([b"abc", b"def", memoryview(LAST)[:2]])


ITERATORS: dict[str, Callable[[BaseBuffer], Iterator[object]]] = {
    "iter": iter,
    "reversed": reversed,
    "iter_unpack": lambda b: b.iter_unpack(">B"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("iterate", ITERATORS.values(), ids=ITERATORS)
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 8], ids=str)
def test_an_iterator_raises_once_a_composite_has_changed(
    iterate: Callable[[BaseBuffer], Iterator[object]], change: Callable[[CompositeBuffer], object], steps: int
) -> None:  # defects.md O15
    b = changing()
    iterator = iterate(b)
    for _ in range(steps):
        next(iterator)
    change(b)
    with pytest.raises(RuntimeError, match="the buffer changed while it was iterated over"):
        next(iterator)


@pytest.mark.parametrize("iterate", ITERATORS.values(), ids=ITERATORS)
def test_an_iterator_over_nothing_raises_as_well(iterate: Callable[[BaseBuffer], Iterator[object]]) -> None:
    b = CompositeBuffer()
    iterator = iterate(b)
    b.append(b"abc")
    with pytest.raises(RuntimeError):
        next(iterator)


@pytest.mark.parametrize("iterate", ITERATORS.values(), ids=ITERATORS)
def test_what_is_no_change_does_not_disturb_an_iterator(iterate: Callable[[BaseBuffer], Iterator[object]]) -> None:
    b = changing()
    iterator = iterate(b)
    found = [next(iterator), next(iterator)]
    b.append(b"")
    b.truncate(len(b))
    b.consolidate(0, 3)
    b.skip(0)
    assert b.take_until(b"\n", limit=100) is None
    assert b.find(b"i") == -1
    assert [*found, *iterator] == list(iterate(b))


@pytest.mark.parametrize("iterate", ITERATORS.values(), ids=ITERATORS)
def test_nothing_disturbs_an_iterator_over_a_slice(iterate: Callable[[BaseBuffer], Iterator[object]]) -> None:
    b = changing()
    iterator, expected = iterate(b.freeze()), list(iterate(b.freeze()))
    found = [next(iterator)]
    b.clear()
    assert [*found, *iterator] == expected


@pytest.mark.parametrize("size", [1, 4096, 10_000])
def test_an_iterator_looks_at_what_is_lazy_page_by_page(size: int) -> None:
    class Made(LazyOwner):
        looks = 0

        def _look(self) -> Memory:
            self.looks += 1
            return Memory(data, memoryview(data), data)

    data = random.Random(size).randbytes(size)
    made = Made(size)
    buffer = CompositeBuffer([b"abc", made, b"def"])
    expected = b"abc" + data + b"def"
    for iterate, message in ((iter, expected), (reversed, expected[::-1])):
        for cut in (slice(None), slice(2, -2)):
            made.looks = 0
            assert bytes(iterate(buffer[cut])) == message[cut]
            assert size / 4096 <= made.looks <= size // 4096 + 2
    assert list(buffer) == list(expected)


# -- comparing -----------------------------------------------------------------------------------------------


@every_make
def test_buffers_are_compared_by_content_both_ways_round(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"ab\x80d")
    for other in (b"ab\x80d", bytearray(b"ab\x80d"), memoryview(b"ab\x80d"), in_halves(b"ab\x80d"), hidden(b"ab\x80d")):
        assert b == other
        assert other == b
        assert (b == other) is not (b != other)
        assert b <= other
        assert b >= other
    assert b < b"ab\x81"  # unsigned
    assert b > b"ab\x7f\xff\xff"
    assert b > b"ab"  # then by length
    less, more = b"ab", b"b"
    assert less < b
    assert more >= b
    assert b != b"ab\x80e"
    assert b != b"ab\x80"


@every_make
def test_typed_memory_is_compared_by_its_bytes(make: Callable[[bytes], BaseBuffer]) -> None:
    assert make(struct.pack("=HH", 1, 2)) == array("H", [1, 2])
    assert make(struct.pack(">HH", 1, 2)) == np.array([1, 2], ">u2")


@every_make
@pytest.mark.parametrize("stranger", [None, "abc", 3, [97, 98, 99], object()], ids=lambda x: type(x).__name__)
def test_what_is_not_bytes_like_is_unequal_and_has_no_order(make: Callable[[bytes], BaseBuffer], stranger: Any) -> None:
    b = make(b"abc")
    assert b != stranger
    assert (b == stranger) is False
    for order in (b.__lt__, b.__le__, b.__gt__, b.__ge__, b.__eq__, b.__ne__):
        assert order(stranger) is NotImplemented


def test_buffers_of_different_length_are_compared_without_looking() -> None:
    lazy = FakeFile(b"abc")
    assert SliceBuffer(lazy) != b"ab"
    assert CompositeBuffer([lazy, b"x"]) != b"abc"
    assert lazy.looks == 0
    assert SliceBuffer(lazy) == b"abc"
    assert lazy.looks > 0


def test_what_two_buffers_share_is_not_looked_at_when_they_are_compared() -> None:
    lazy = FakeFile(b"abc")
    assert SliceBuffer(lazy) == CompositeBuffer([lazy])
    assert lazy.looks == 0


@every_make
def test_a_buffer_has_no_hash(make: Callable[[bytes], BaseBuffer]) -> None:
    with pytest.raises(TypeError, match=re.escape("its memory may change: use bytes(b)")):
        hash(make(b"abc"))


# -- searching -----------------------------------------------------------------------------------------------


@every_make
def test_searching_takes_bytes_ints_and_anything_bytes_like(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcabcab")
    for needle in (b"ca", bytearray(b"ca"), memoryview(b"xcax")[1:3], SliceBuffer(b"xca", 1), array("B", b"ca")):
        assert b.find(needle) == b.index(needle) == 2
        assert b.rfind(needle) == b.rindex(needle) == 5
        assert b.count(needle) == 2
    assert (b.find(ord("b")), b.rfind(ord("b")), b.count(ord("b"))) == (1, 7, 3)
    assert (b.find(b"ca", 3), b.rfind(b"ca", None, 6), b.count(b"ca", -4, 2**70)) == (5, 2, 1)
    assert (b.find(b"zz"), b.rfind(b"zz"), b.count(b"zz")) == (-1, -1, 0)


@every_make
def test_an_empty_needle_is_found_as_in_bytes(make: Callable[[bytes], BaseBuffer]) -> None:  # defects.md O17
    b, data = make(b"abcd"), b"abcd"
    for start in (None, 0, 3, 4, 5, -1, 2**70):
        for end in (None, 0, 3, 4, 5, -1):
            assert b.find(b"", start, end) == data.find(b"", start, end)
            assert b.rfind(b"", start, end) == data.rfind(b"", start, end)
            assert b.count(b"", start, end) == data.count(b"", start, end)


@every_make
def test_an_index_of_what_is_not_there_is_a_value_error(make: Callable[[bytes], BaseBuffer]) -> None:
    for ask in (make(b"abcd").index, make(b"abcd").rindex):
        with pytest.raises(ValueError, match="b'zz' is not in the buffer"):
            ask(b"zz")


@every_make
@pytest.mark.parametrize("needle", ["a", None, 1.0, [97]], ids=lambda x: type(x).__name__)
def test_a_needle_is_bytes_like_or_an_int(make: Callable[[bytes], BaseBuffer], needle: Any) -> None:
    for name in ("find", "rfind", "index", "rindex", "count", "__contains__", "startswith", "endswith"):
        with pytest.raises(TypeError):
            getattr(make(b"abcd"), name)(needle)


def test_a_str_needle_is_told_to_encode() -> None:
    with pytest.raises(TypeError, match=re.escape("'a'.encode()")):
        SliceBuffer(b"abc").find("a")  # type: ignore[arg-type]


def test_only_a_needle_in_several_parts_is_copied() -> None:
    b = in_halves(b"abcdef")
    with no_copy(strict=True):
        assert b.find(hidden(b"cd")) == b.rfind(SliceBuffer(bytearray(b"cd"))) == 2
    with copy_audit() as audit:
        assert b.find(in_halves(b"cd")) == 2
    assert audit.by_reason == {"needle": 2}
    with no_copy(), pytest.raises(CopyForbidden):
        b.count(in_halves(b"cd"))


@every_make
def test_a_beginning_or_an_end_may_be_one_of_several(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    with no_copy(strict=True):
        assert b.startswith(b"abcd")
        assert b.startswith(in_halves(b"abcdef"))
        assert b.startswith((b"x", bytearray(b"abc")))
        assert b.startswith(b"cd", 2)
        assert not b.startswith(b"cd", 2, 3)
        assert not b.startswith(())
        assert not b.startswith(b"abcdefg")
        assert b.endswith(b"cdef")
        assert b.endswith((b"x", in_halves(b"def")))
        assert b.endswith(b"cd", 1, 4)
        assert not b.endswith(b"cd", 3, 4)
        assert not b.endswith(b"abcde")
        assert not b.startswith(b"", 7)
        assert not b.endswith(b"", 7)


# -- cutting -------------------------------------------------------------------------------------------------


@every_make
def test_cutting_shows_the_same_memory_and_copies_nothing(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b" k: v: w\r\n")
    places = addresses(b)
    with no_copy(strict=True):
        assert [bytes_of(piece) for piece in b.partition(b": ")] == [b" k", b": ", b"v: w\r\n"]
        assert [bytes_of(piece) for piece in b.rpartition(b": ")] == [b" k: v", b": ", b"w\r\n"]
        assert [bytes_of(piece) for piece in b.partition(b"?")] == [b" k: v: w\r\n", b"", b""]
        assert [bytes_of(piece) for piece in b.rpartition(b"?")] == [b"", b"", b" k: v: w\r\n"]
        assert [addresses(piece) for piece in b.split(b": ")] == [places[0:2], places[4:5], places[7:10]]
        assert [addresses(piece) for piece in b.split(b": ", 1)] == [places[0:2], places[4:10]]
        assert [addresses(piece) for piece in b.split(b": ", maxsplit=0)] == [places]
        assert [addresses(piece) for piece in b.splitlines()] == [places[:8]]
        assert [addresses(piece) for piece in b.splitlines(keepends=True)] == [places]
        assert addresses(b.strip()) == places[1:8]
        assert addresses(b.lstrip(b" k")) == places[2:]
        assert addresses(b.rstrip(b"\nw\r")) == places[:7]
        assert addresses(b.removeprefix(b" k")) == places[2:]
        assert addresses(b.removesuffix(b"\r\n")) == places[:8]
        assert addresses(b.removeprefix(b"k")) == addresses(b.removesuffix(b"\r")) == places


def bytes_of(buffer: BaseBuffer) -> bytes:
    """Return the bytes without asking the buffer for a copy."""
    return b"".join(buffer.views())


@every_make
def test_lines_end_at_every_line_end_that_bytes_know(make: Callable[[bytes], BaseBuffer]) -> None:
    for data in (b"a\nb\rc\r\nd", b"\r", b"\n", b"\r\n", b"\n\r", b"a\r", b"\r\r\n\n", b"", b"ab\r\n", b"\x0ba\x0cb"):
        b = make(data)
        assert [bytes_of(line) for line in b.splitlines()] == data.splitlines()
        assert [bytes_of(line) for line in b.splitlines(keepends=True)] == data.splitlines(keepends=True)


def test_a_line_that_ends_with_the_window_shows_nothing_beyond_it() -> None:
    """What was cut off begins with a line feed: it would make a CR LF."""
    assert bytes_of(SliceBuffer(b"a\r\nb", 0, 2).splitlines(keepends=True)[0]) == b"a\r"
    assert bytes_of(SliceBuffer(b"a\rb", 0, 2).splitlines(keepends=True)[0]) == b"a\r"
    b = CompositeBuffer([b"x\r", b"\ny"]).freeze()[1:2]
    assert [bytes_of(line) for line in b.splitlines(keepends=True)] == [b"\r"]


@every_make
@pytest.mark.parametrize("blank", [0, 5, 6, 7, 300, 5000], ids=str)
def test_however_much_is_stripped(make: Callable[[bytes], BaseBuffer], blank: int) -> None:
    b = make(b" " * blank + b"a b" + b"\n" * blank)
    assert b.strip() == b"a b"
    assert b.lstrip() == b"a b" + b"\n" * blank
    assert b.rstrip(b"\n") == b" " * blank + b"a b"
    assert b.strip(in_halves(b"\n b")) == b"a"
    assert b.strip(b"") == b
    assert make(b" " * blank).strip() == b""
    assert make(b" " * blank).rstrip() == b""


@every_make
def test_splitting_on_white_space_is_for_text(make: Callable[[bytes], BaseBuffer]) -> None:
    with pytest.raises(TypeError, match=re.escape("write bytes(b).split(), or give a separator")):
        make(b"a b").split()


@every_make
@pytest.mark.parametrize("name", ["split", "partition", "rpartition"])
def test_a_separator_is_bytes_like_and_not_empty(make: Callable[[bytes], BaseBuffer], name: str) -> None:
    cut = getattr(make(b"abc"), name)
    for empty in (b"", bytearray(), CompositeBuffer()):
        with pytest.raises(ValueError, match="empty separator"):
            cut(empty)
    with pytest.raises(TypeError, match=re.escape("write bytes([97])")):
        cut(97)
    with pytest.raises(TypeError, match="not a number"):  # nor is one of a class of somebody's own
        cut(type("Index", (), {"__index__": lambda _: 97})())
    assert list(map(bytes, cut(np.uint8(98)))) == list(map(bytes, cut(b"b")))  # numpy's are bytes-like
    with pytest.raises(TypeError, match=re.escape("'b'.encode()")):
        cut("b")


@every_make
def test_the_number_of_cuts_is_an_integer(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"a,b,c")
    assert len(b.split(b",", np.int64(1))) == len(b.split(b",", True)) == 2
    assert len(b.split(b",", 2**70)) == len(b.split(b",", -(2**70))) == 3
    with pytest.raises(TypeError):
        b.split(b",", 1.0)  # type: ignore[arg-type]


def test_a_slice_that_is_appended_adds_as_many_bytes_as_it_shows() -> None:
    for whole in (SliceBuffer(b"abcdefgh"), in_halves(b"abcdefgh").freeze()):
        b = CompositeBuffer([b"x"])
        b.append(whole[3:6])
        assert len(b) == 4
        b.append(b"y")
        assert bytes(b) == b"xdefy"


# -- numbers -------------------------------------------------------------------------------------------------


@every_make
@pytest.mark.parametrize("form", [str, str.encode, struct.Struct], ids=["str", "bytes", "Struct"])
def test_numbers_are_decoded_across_seams(make: Callable[[bytes], BaseBuffer], form: Callable[[str], Any]) -> None:
    data = bytes(range(12))
    b = make(data)
    with no_copy(strict=True):
        assert b.unpack_from(form(">HI"), 3) == struct.unpack_from(">HI", data, 3)
        assert b.unpack_from(form("<Q")) == struct.unpack_from("<Q", data)
        assert b.unpack_from(form("!B"), np.int8(11)) == (11,)
        assert b.unpack_from(form("=0s"), 12) == (b"",)
        assert list(b.iter_unpack(form(">HB"))) == list(struct.iter_unpack(">HB", data))
        assert list(make(b"").iter_unpack(form(">H"))) == []


@every_make
@pytest.mark.parametrize(("at", "available"), [(5, 3), (7, 1), (8, 0), (9, 0), (2**70, 0)])
def test_too_few_bytes_are_an_underrun_that_says_how_many(
    make: Callable[[bytes], BaseBuffer], at: int, available: int
) -> None:
    with pytest.raises(Underrun) as caught:
        make(b"abcdefgh").unpack_from(">I", at)
    assert (caught.value.requested, caught.value.available, caught.value.separator) == (4, available, None)


def test_nothing_is_found_in_an_empty_range() -> None:
    for b in (SliceBuffer(b"aXXb"), CompositeBuffer([b"aX", b"Xb"])):
        for start, stop in ((2, 2), (3, 2), (4, 9)):
            assert [look(b"X", start, stop) for look in (b.find, b.rfind, b.count)] == [-1, -1, 0]


def test_a_separator_that_is_kept_is_bytes_and_a_copy_of_what_is_not() -> None:
    sep = b"\r\n"
    with copy_audit() as audit:
        assert own_separator(sep) is sep
    assert audit.count == 0
    with copy_audit() as audit:
        kept = own_separator(bytearray(sep))
    assert (type(kept), kept, audit.by_reason) == (bytes, sep, {"needle": 2})


def test_a_number_that_bytes_spell_is_a_copy_of_them() -> None:
    b = SliceBuffer(b"<42>", 1, 3)
    with copy_audit() as audit:
        assert (int(b), float(b)) == (42, 42.0)
    assert audit.by_reason == {"bytes": 4}


def test_numbers_are_decoded_wherever_the_seams_lie() -> None:
    data = b"\x81\xf2\x03\x84\xe5\x06\x97\xf8\x09"
    for cut in range(len(data) + 1):
        for kind in (bytes, bytearray):
            b = CompositeBuffer([kind(data[:cut]), kind(data[cut:])])
            for at in range(3):
                for fmt in ("<H", ">I", ">HI", "<3s", ">Hxb"):
                    assert b.unpack_from(fmt, at) == struct.unpack_from(fmt, data, at)
                for size in (1, 2, 3, 4):
                    assert b._uint(at, size, little=True) == int.from_bytes(data[at : at + size], "little")


@every_make
def test_the_byte_order_of_a_format_is_said(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdefgh")
    for fmt in ("H", "@H", "4sH", b"I", struct.Struct("H")):
        for ask in (b.unpack_from, b.iter_unpack, lambda fmt: b.pack_into(fmt, 0, 1)):
            with pytest.raises(ValueError, match="has no byte order: begin it with '<' or '>'"):
                ask(fmt)


@every_make
def test_a_place_to_decode_from_is_not_negative_and_an_integer(make: Callable[[bytes], BaseBuffer]) -> None:
    with pytest.raises(ValueError, match="not negative: -1"):
        make(b"abc").unpack_from(">B", -1)
    for at in (1.0, "1", None):
        with pytest.raises(TypeError):
            make(b"abc").unpack_from(">B", at)  # type: ignore[arg-type]


@every_make
@pytest.mark.parametrize("fmt", [">H", ">0s", "<Q"])
def test_records_fill_the_bytes_exactly(make: Callable[[bytes], BaseBuffer], fmt: str) -> None:
    with pytest.raises(ValueError, match=f"records of {struct.calcsize(fmt)} bytes do not fill 5 bytes"):
        make(b"abcde").iter_unpack(fmt)


@every_make
def test_a_reader_begins_at_the_front_and_does_not_drain(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"\x00\x01\x02\x00")
    with no_copy(strict=True):
        assert (b.reader().u16(), b.reader("little").u32()) == (1, 0x00020100)
    assert len(b) == 4
    assert (b._uint(1, 3, little=False), b._uint(0, 2, little=True)) == (0x010200, 0x0100)


def test_a_number_that_goes_on_in_the_next_part_is_not_read_on_in_the_memory_of_the_first() -> None:
    for first in (memoryview(bytearray(b"--ab--"))[2:4], memoryview(b"--ab--")[2:4], b"ab"):
        b = CompositeBuffer([b"xy", first, b"cdef"]).freeze()[1:]
        for at, size in product(range(4), range(1, 5)):
            found = [b._uint(at, size, little=little) for little in (False, True)]
            data = b"yabcdef"[at : at + size]
            assert found == [int.from_bytes(data, "big"), int.from_bytes(data, "little")]


# -- facts ---------------------------------------------------------------------------------------------------


def test_a_buffer_says_in_how_many_parts_it_lies() -> None:
    assert (SliceBuffer(b"ab").part_count, SliceBuffer(b"ab").is_contiguous) == (1, True)
    assert (SliceBuffer(b"").part_count, CompositeBuffer().is_contiguous) == (0, True)  # defects.md O2
    b = CompositeBuffer([b"ab", b"", b"cd", b"ef"])  # defects.md O1
    assert (b.part_count, b.is_contiguous) == (3, False)
    assert (b[1:4].part_count, b[2:4].part_count, b[2:4].is_contiguous) == (2, 1, True)
    b.skip(2)
    assert b.part_count == 2
    b.skip(3)
    assert (b.part_count, b.is_contiguous) == (1, True)


def test_whether_it_is_read_only_is_judged_part_by_part() -> None:
    b = CompositeBuffer([bytearray(b"ab"), b"cd", array("B", b"ef")])
    assert b.readonly
    assert not b[:2].readonly
    assert b[1:3].readonly
    assert not b[4:].readonly
    assert SliceBuffer(b"").readonly
    assert b[2:2].readonly
    assert SliceBuffer(memoryview(bytearray(b"ab")).toreadonly()).readonly
    assert SliceBuffer(FakeFile(b"ab")).readonly
    assert not SliceBuffer(anonymous_map(b"ab")).readonly


def test_what_is_pinned_counts_each_owner_once_and_maps_apart() -> None:
    owner, memory = bytes(1000), bytearray(300)
    b = CompositeBuffer([memoryview(owner)[:3], memory, memoryview(owner)[7:9], memory, anonymous_map(b"abcd" * 10)])
    assert (b.pinned_nbytes, b.mapped_nbytes) == (1300, 40)
    b.append(FakeFile(b"lazy"))
    assert (b.pinned_nbytes, b.mapped_nbytes) == (1300, 44)
    assert (b[3:5].pinned_nbytes, b[3:5].mapped_nbytes) == (300, 0)
    b.skip(2)
    assert b.pinned_nbytes == 1300
    b.skip(1 + 300 + 2)
    assert b.pinned_nbytes == 300
    assert (SliceBuffer(b"").pinned_nbytes, SliceBuffer(b"").mapped_nbytes) == (0, 0)


# -- memory, copied or not -----------------------------------------------------------------------------------


def test_views_are_clipped_and_never_empty() -> None:  # defects.md O4, O5, O9, N19
    owner = bytearray(b"<<abc")
    b = CompositeBuffer([owner, b"", b"def", memoryview(b"xghix")[1:4]])
    b.skip(2)
    b.truncate(8)
    with no_copy(strict=True):
        views = b.views()
    assert [bytes(view) for view in views] == [b"abc", b"def", b"gh"]
    assert [bytes(view) for view in b[1:7].views()] == [b"bc", b"def", b"g"]
    assert all(view.format == "B" and view.ndim == 1 for view in views)
    assert views[0].obj is owner
    assert address(views[0]) == address(owner) + 2
    assert [view.readonly for view in views] == [False, True, True]
    assert CompositeBuffer().views() == SliceBuffer(b"ab", 1, 1).views() == []


@every_make
def test_what_is_sent_part_by_part_arrives_whole(make: Callable[[bytes], BaseBuffer]) -> None:
    left, right = socket.socketpair()
    with left, right:
        assert left.sendmsg(make(b"hello, world").views()) == 12
        assert right.recv(100) == b"hello, world"


def test_one_part_is_one_view_of_the_owners_memory() -> None:
    owner = bytearray(b"abcdef")
    b = SliceBuffer(owner, 1, 5)
    with no_copy(strict=True):
        view = b.view()
        assert view.obj is owner
        view[0] = ord("X")
    assert owner == b"aXcdef"
    data = b"abcdef"
    assert SliceBuffer(data).view().obj is data
    assert SliceBuffer(data, 2).view().readonly
    assert SliceBuffer(data, 2, 2).view().nbytes == 0


def test_one_view_over_several_parts_is_refused_with_what_to_write() -> None:
    for b in (in_halves(b"abcd"), frozen_halves(b"abcd")):
        with pytest.raises(Fragmented) as caught:
            b.view()
        assert caught.value.parts == 2
        assert "for v in b.views()" in sentence(caught)
        assert "contiguous()" in sentence(caught)
        assert isinstance(caught.value, BufferError)


@every_make
def test_contiguous_memory_is_read_only_and_copied_only_if_fragmented(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    with copy_audit() as audit:
        view = b.contiguous()
    assert bytes(view) == b"abcdef"
    assert view.readonly
    assert audit.by_reason == ({} if b.is_contiguous else {"contiguous": 6})
    assert SliceBuffer(bytearray(b"abcdef")).contiguous().readonly
    if b.is_contiguous:
        assert address(view) == addresses(b)[0]
    else:
        with no_copy(), pytest.raises(CopyForbidden):
            b.contiguous()


@every_make
def test_a_buffer_is_taken_where_bytes_are_where_classes_can_export(make: Callable[[bytes], BaseBuffer]) -> None:
    b: Any = make(b"abcdef" * 100)
    data = bytes_of(b)
    if EXPORTS:
        left, right = socket.socketpair()
        with copy_audit() as audit, left, right:
            assert memoryview(b) == data
            assert hashlib.sha256(b).digest() == hashlib.sha256(data).digest()
            assert zlib.crc32(b) == zlib.crc32(data)
            assert b"".join([b, b"x", b]) == data + b"x" + data
            assert left.send(b) == len(data)
            assert right.recv(1000) == data
            assert np.frombuffer(b, np.uint8).tobytes() == data
            assert struct.unpack_from(">H", b, 1) == struct.unpack_from(">H", data, 1)
        assert audit.by_reason == ({} if b.is_contiguous else {"contiguous": 8 * len(data)})
    else:
        for call in (memoryview, hashlib.sha256, zlib.crc32, lambda b: b"".join([b]), np.frombuffer):
            with pytest.raises((TypeError, AttributeError)):
                call(b)
    for view in b.views():  # the way that goes everywhere
        assert np.frombuffer(view, np.uint8).tobytes() == view
        assert hashlib.sha256(view).digest() == hashlib.sha256(bytes(view)).digest()


@every_make
def test_what_is_exported_is_read_only_and_copied_only_if_fragmented(make: Callable[[bytes], BaseBuffer]) -> None:
    """Called by the interpreter from 3.12 on."""
    b = make(b"abcdef")
    with copy_audit() as audit:
        view = b.__buffer__(0)
    assert bytes(view) == b"abcdef"
    assert view.readonly
    assert audit.by_reason == ({} if b.is_contiguous else {"contiguous": 6})
    with copy_audit() as audit, pytest.raises(BufferError, match=r"read-only: write into b\.view\(\)"):
        b.__buffer__(1)
    assert audit.count == 0
    with no_copy():
        if b.is_contiguous:
            assert address(b.__buffer__(0)) == addresses(b)[0]
        else:
            with pytest.raises(CopyForbidden):
                b.__buffer__(0)


@pytest.mark.skipif(not EXPORTS, reason="before 3.12 only classes in C can export a buffer")
def test_where_copies_are_forbidden_so_it_is_in_several_parts() -> None:
    b: Any = in_halves(b"abcd")
    with no_copy():
        for call in (memoryview, hashlib.sha256, zlib.crc32, b"abcd".find, bytearray, np.frombuffer):
            with pytest.raises(CopyForbidden):
                call(b)
        for words in (lambda: b"".join([b]), lambda: b"" + b, lambda: str(b, "ascii")):
            with pytest.raises(TypeError):  # the interpreter's own, whatever the reason
                words()
        # These ask the buffer itself if they get no memory.
        assert bytearray(b"abcd") == b
        assert memoryview(b"abcd") == b


@pytest.mark.skipif(not EXPORTS, reason="before 3.12 only classes in C can export a buffer")
@every_make
def test_nobody_receives_into_an_exported_buffer(make: Callable[[bytes], BaseBuffer]) -> None:
    b: Any = make(b"abcdef")
    b = b.freeze() if isinstance(b, CompositeBuffer) else b
    left, right = socket.socketpair()
    with left, right, copy_audit() as audit:
        left.send(b"abc")
        for refused in (right.recv_into, io.BytesIO(b"abc").readinto, lambda b: struct.pack_into("B", b, 0, 1)):
            with pytest.raises((BufferError, TypeError)):
                refused(b)
        owner = bytearray(b"......")
        assert right.recv_into(SliceBuffer(owner, 1, 4).view()) == 3
        assert owner == b".abc.."
    assert audit.count == 0


@pytest.mark.skipif(not EXPORTS, reason="before 3.12 only classes in C can export a buffer")
def test_what_was_exported_stays_when_the_buffer_lets_it_go() -> None:
    """numpy keeps the object and not its export where that needs no release: then it would look at freed memory."""
    data = bytes(range(256)) * 100
    for parts in ([data[:1000], data[1000:]], [bytearray(data)], [data + b"x"]):
        b: Any = CompositeBuffer(parts)
        array = np.frombuffer(b, np.uint8)
        del parts[:]
        b.clear()
        fillers = [bytes([1]) * len(data) for _ in range(20)]
        assert array.tobytes()[: len(data)] == data
        assert len(fillers) == 20


NUMBERS: Final = (
    b"12", b"-7", b" 1_000\n", b"0x10", b"", b"1.5", b"-1e3", b"nan", b"inf", b"1__0", b"\xff1", b"\x001", b"9" * 5_000,
)  # fmt: skip


@every_make
@pytest.mark.parametrize("number", [int, float])
@pytest.mark.parametrize("data", NUMBERS)
def test_a_number_is_read_as_of_bytes(
    make: Callable[[bytes], BaseBuffer], number: Callable[[Any], float], data: bytes
) -> None:
    b = make(data)
    try:
        wanted = repr(number(data))
    except ValueError as error:
        with pytest.raises(ValueError, match=re.escape(str(error))):
            number(b)
    else:
        with copy_audit() as audit:
            assert repr(number(b)) == wanted
        assert audit.by_reason == ({} if make is SliceBuffer else {"bytes": len(data)})
        if audit.count:
            with no_copy(strict=True), pytest.raises(CopyForbidden):
                number(b)
    with pytest.raises(TypeError):
        int(b, 16)  # type: ignore[call-overload]  # no more than of a memoryview


COPIES: dict[str, tuple[Callable[[BaseBuffer], object], object]] = {
    "bytes": (bytes, b"abcdef"),
    "tobytes": (BaseBuffer.tobytes, b"abcdef"),
    "decode": (BaseBuffer.decode, "abcdef"),
    "hex": (BaseBuffer.hex, "616263646566"),
    "copy_into": (lambda b: b.copy_into(bytearray(6)), 6),
}


@every_make
@pytest.mark.parametrize("reason", COPIES)
def test_a_copy_that_was_asked_for_is_counted_by_its_name(make: Callable[[bytes], BaseBuffer], reason: str) -> None:
    call, answer = COPIES[reason]
    b = make(b"abcdef")
    whole = reason in {"bytes", "tobytes"} and make is SliceBuffer  # the bytes object itself: nothing is copied
    with copy_audit() as audit, no_copy():
        assert call(b) == answer
    assert audit.by_reason == ({} if whole else {reason: 6})
    assert audit.hidden == 0
    if not whole:
        with no_copy(strict=True), pytest.raises(CopyForbidden) as caught:
            call(b)
        assert (caught.value.reason, caught.value.nbytes) == (reason, 6)
    with copy_audit() as audit:
        assert call(make(b"")) in (b"", "", 0)
    assert audit.count == 0


def test_the_bytes_of_exactly_one_bytes_object_are_that_object() -> None:
    data = b"a bytes object"
    with no_copy(strict=True):
        assert bytes(SliceBuffer(data)) is data
        assert SliceBuffer(data).tobytes() is data
        assert bytes(CompositeBuffer([data])) is data
        assert bytes(CompositeBuffer([b"x", data]).freeze()[1:]) is data


@given(
    pieces=st.lists(st.tuples(st.sampled_from(["bytes", "piece", "memory"]), st.binary(max_size=5)), max_size=4),
    window=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    asked=st.tuples(st.sampled_from([0, 1, 2, 3]), st.sampled_from([0, 1, 2, 3])),
)
@example(pieces=[("bytes", b"abc")], window=(0, 3), asked=(0, 3))
@example(pieces=[("bytes", b"abc"), ("piece", b"de")], window=(3, 5), asked=(0, 1))
def test_what_lies_within_one_bytes_object_is_read_there_and_counted_as_any_other(
    pieces: list[tuple[str, bytes]], window: tuple[int, int], asked: tuple[int, int]
) -> None:
    kinds: dict[str, Callable[[bytes], Part]] = {"bytes": bytes, "piece": hidden, "memory": bytearray}
    parts = [kinds[kind](data) for kind, data in pieces]
    whole = b"".join(data for _, data in pieces)
    low, high = (min(place, len(whole)) for place in sorted(window))
    model = whole[low:high]
    first, last = asked
    composite = CompositeBuffer(parts)
    composite.skip(low)
    composite.truncate(high - low)
    with pytest.MonkeyPatch.context() as patch:
        if not COMPILED:
            patch.setattr("bytebufs.composite_buffer.COMPILED", True)  # as always there: no constant to set
        for b in (composite, composite.freeze(), CompositeBuffer(parts).freeze()[low:high]):
            entries = b._entries()
            exact = len(entries) == 1 and isinstance(entries[0], bytes)
            for reason, copying in (("bytes", bytes), ("tobytes", type(b).tobytes)):
                with copy_audit() as audit:
                    assert copying(b) == model
                assert audit.by_reason == ({reason: len(model)} if model and not exact else {})
            with copy_audit() as audit:
                assert b.decode("latin-1") == model.decode("latin-1")
                assert b == model
                assert b != model + b"x"
                assert b != bytes(reversed(model)) or model == model[::-1]
                for operand in (model[first:last], model[last:], model + b"x", b"x", b""):
                    assert b.startswith(operand) == model.startswith(operand)
                    assert b.endswith(operand) == model.endswith(operand)
                    assert b.startswith(operand, first, -last) == model.startswith(operand, first, -last)
                    assert b.endswith(operand, -last, 1 - first) == model.endswith(operand, -last, 1 - first)
            assert audit.by_reason == ({"decode": len(model)} if model else {})


@pytest.mark.skipif(COMPILED, reason="sets the interpreted build on the ways that the compiled one always goes")
def test_a_place_that_was_looked_up_before_a_drain_is_within_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs.composite_buffer.COMPILED", True)
    piece = hidden(b"abcdef")
    b = CompositeBuffer([b"abc", piece])
    assert b._below(3, 5) == (piece.obj, 3)
    b.take(3)
    b.appendleft(b"x")
    b.skip(1)
    assert b._below(1, 3) == (b"", -1), "the piece's own memory goes on in front of it"
    assert b._below(3, 3) == (b"", 0)
    b.clear()
    with pytest.raises(RuntimeError, match="changed"):
        b._below(3, 5)


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537])
def test_large_and_small_are_compared_alike(size: int) -> None:
    data = bytes(size)
    for b in (SliceBuffer(data), SliceBuffer(hidden(data)), CompositeBuffer([data[:9], data[9:]])):
        with no_copy(strict=True):
            assert b == data
            assert b != data[1:]
            assert b != b"x" + data[1:]
            assert b != data[1:] + b"x"
        with copy_audit() as audit:
            assert b.decode("ascii") == data.decode("ascii")
        assert audit.by_reason == {"decode": size}


@every_make
def test_a_reader_looks_for_what_find_looks_for(make: Callable[[bytes], BaseBuffer]) -> None:
    for sep in (b", ", bytearray(b", "), SliceBuffer(b", "), CompositeBuffer([b",", b" "])):
        r = make(b"one, two, three").reader()
        assert r.until(sep, limit=9) == b"one"
        r.seek(3)
        r.expect(sep)
        assert r.take_bytes(3) == b"two"
        r.expect(ord(","))
        assert r.until(ord("t"), limit=9) == b" "


@pytest.mark.skipif(COMPILED, reason="a compiled module has its constants built in: none can be patched")
def test_before_python_3_12_nothing_is_added_to_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs.base_buffer._EXPORTS", False)
    b: Any = SliceBuffer(b"abc")
    for other in (b"x", bytearray(b"x")):
        with pytest.raises(TypeError, match=rf"^{type(other).__name__} takes a buffer only from Python 3.12 on"):
            b.__radd__(other)


class Lying(bytes):
    """Bytes whose methods say anything: only what they hold counts."""

    def __len__(self) -> int:
        return 2

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = bytes.__hash__


def test_bytes_with_methods_of_their_own_are_taken_for_what_they_hold() -> None:
    for b in (SliceBuffer(b"abc"), CompositeBuffer([b"a", b"bc"]), SliceBuffer(bytearray(b"abc"))):
        for data in (b"abc", b"ab", b"bc", b"xyz"):
            lying = Lying(data)
            assert (b == lying) == (bytes(b) == data)
            assert (b != lying) == (bytes(b) != data)
            assert b.startswith(lying) == bytes(b).startswith(data)
            assert b.endswith(lying) == bytes(b).endswith(data)


@every_make
def test_a_copy_into_other_memory_takes_a_range(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    for dest in (bytearray(b"........"), array("H", b"........"), anonymous_map(b"........")):
        assert b.copy_into(dest, 1, -1) == 4
        assert bytes(memoryview(dest)) == b"bcde...."
        assert b.copy_into(memoryview(dest).cast("B")[2:], 3) == 3
        assert bytes(memoryview(dest)) == b"bcdef..."
        assert b.copy_into(dest, 4, 2) == 0


@every_make
def test_a_copy_that_does_not_fit_writes_nothing(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    dest = bytearray(b".....")
    with copy_audit() as audit:
        with pytest.raises(ValueError, match="6 bytes do not fit into 5"):
            b.copy_into(dest)
        with pytest.raises(TypeError, match="writable memory is wanted, this bytes is read-only"):
            b.copy_into(b"......")
        with pytest.raises(TypeError):
            b.copy_into("......")  # type: ignore[arg-type]
        for other in (in_bytearray(b"......"), in_halves(b"......")):
            with pytest.raises(TypeError, match=r"exported read-only: write into it by dest\.write_at\(0, b\)"):
                b.copy_into(other)
        with pytest.raises(TypeError):
            b.copy_into(dest, 1.0)  # type: ignore[arg-type]
    with no_copy(strict=True), pytest.raises(CopyForbidden):
        b.copy_into(dest, 0, 3)
    assert dest == b"....."
    assert audit.count == 0


@every_make
def test_text_is_decoded_across_seams(make: Callable[[bytes], BaseBuffer]) -> None:
    text = "aé€😀" * 3
    assert make(text.encode()).decode() == text
    assert make(text.encode("utf-16-be")).decode("utf-16-be") == text
    assert make(b"a\xff\xffb").decode("ascii", "replace") == "a\ufffd\ufffdb"
    assert make(b"a\xff\xffb").decode(errors="ignore") == "ab"
    with pytest.raises(UnicodeDecodeError):
        make(b"a\xff\xffb").decode()
    assert make(b"").decode() == ""


@every_make
def test_hexadecimal_digits_are_grouped_as_those_of_bytes(make: Callable[[bytes], BaseBuffer]) -> None:
    b, data = make(b"abcde"), b"abcde"
    assert b.hex() == data.hex()
    assert b.hex(":") == data.hex(":")
    assert b.hex("-", 2) == data.hex("-", 2)
    assert b.hex(b" ", bytes_per_sep=np.int64(-2)) == data.hex(b" ", -2)


class Taker:
    """A sink that takes two bytes at a time."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: memoryview) -> int:
        self.taken += data[:2]
        return min(2, len(data))


@every_make
def test_exactly_what_is_shown_goes_to_a_sink(make: Callable[[bytes], BaseBuffer]) -> None:
    """Also where it is cut out of something larger; and the same for a slice of it."""
    b = make(b"abcdefg")
    for shown, expected in ((b, b"abcdefg"), (b[2:-1], b"cdef"), (b[1:2], b"b")):
        sink = Taker()
        with no_copy():
            assert flush(shown, sink) == len(expected)
        assert sink.taken == expected


# -- writing through -----------------------------------------------------------------------------------------


def test_what_is_written_lands_in_the_memory_of_every_part() -> None:
    left, right, mapped = bytearray(b"<abc"), array("B", b"def"), anonymous_map(b"ghi>")
    b = CompositeBuffer([memoryview(left)[1:], right, memoryview(mapped)[:3]])
    shown = b.freeze()
    with no_copy(strict=True):
        b.write_at(2, b"123456")
        shown.write_at(8, bytearray(b"!"))
        b.write_at(0, SliceBuffer(b"xyz", 2))
        b.write_at(9, b"")
        shown.pack_into(">H", 1, 0x4142)
        b.pack_into("<0s", 9, b"")
    assert [bytes(left), bytes(right), mapped[:]] == [b"<zAB", b"234", b"56!>"]
    assert b == shown == b"zAB23456!"


@pytest.mark.parametrize(
    ("at", "error"),
    [(-1, ValueError), (6, IndexError), (8, IndexError), (2**70, IndexError), (1.0, TypeError), ("1", TypeError)],
    ids=str,
)
def test_what_does_not_fit_is_not_written(at: Any, error: type[Exception]) -> None:
    memory = [bytearray(b"abcd"), bytearray(b"efg")]
    for b in (CompositeBuffer(memory), CompositeBuffer(memory).freeze()):
        with pytest.raises(error):
            b.write_at(at, b"12")
        with pytest.raises(error):
            b.pack_into(">H", at, 1)
    assert memory == [b"abcd", b"efg"]


def test_nothing_is_written_where_one_part_is_read_only() -> None:
    first, last = bytearray(b"ab"), bytearray(b"ef")
    b = CompositeBuffer([first, b"cd", last])
    for at in (0, 1, 2, 3):
        with pytest.raises(TypeError, match=f"bytes {at} to {at + 3} are not writable in every part"):
            b.write_at(at, b"123")
    assert [bytes(first), bytes(last)] == [b"ab", b"ef"]
    b.write_at(0, b"12")
    b.write_at(4, b"3")
    b.write_at(3, b"")
    assert b == b"12cd3f"
    with pytest.raises(TypeError):
        b.write_at(0, "12")  # type: ignore[arg-type]
    with pytest.raises(struct.error):
        b.pack_into(">B", 0, 256)
    assert b == b"12cd3f"


@given(size=st.integers(1, 12), source=st.integers(0, 12), target=st.integers(0, 12), cuts=st.sets(st.integers(0, 24)))
def test_what_is_written_may_overlap_what_it_is_written_to(size: int, source: int, target: int, cuts: set[int]) -> None:
    """The bytes are read as they were, whichever way round the parts are passed through."""
    memory = bytearray(range(24))
    seams = [0, *sorted(cuts - {0, 24}), 24]
    views = [memoryview(memory)[low:high] for low, high in pairwise(seams)]
    # Each part an owner of its own, so that none of them merge.
    parts: list[Any] = [np.frombuffer(view, np.uint8) for view in views]
    b = CompositeBuffer(parts)
    expected = bytearray(memory)
    expected[target : target + size] = memory[source : source + size]
    b.write_at(target, b[source : source + size])
    assert memory == expected


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_parts_of_one_object_and_views_of_its_memory_overlap(shift: int) -> None:
    """One side in several parts of a bytearray, the other too, or of arrays that lie in it."""
    for both in (True, False):
        memory = bytearray(b"abcdefghijkl")
        array_over: Any = memory if both else np.frombuffer(memory, np.uint8)
        source = CompositeBuffer([memoryview(memory)[2:4], memoryview(memory)[5:8]])
        target = CompositeBuffer(
            [memoryview(array_over)[2 + shift : 4 + shift], memoryview(array_over)[5 + shift : 8 + shift]]
        )
        for b, data in ((target, source), (source, target)):
            expected = bytes(data)
            b.write_at(0, data)
            assert b == expected


def test_two_maps_of_one_file_overlap_as_well() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"abcdefgh")
        file.flush()
        one, other = mmap.mmap(file.fileno(), 8), mmap.mmap(file.fileno(), 8)
    SliceBuffer(one).write_at(1, CompositeBuffer([memoryview(other)[0:3], memoryview(other)[2:5]]))
    assert one[:] == other[:] == b"aabccdeh"


def test_memory_that_is_not_shared_is_written_without_a_copy_in_between() -> None:
    """Two parts of bytes to two parts of a map, and of a bytearray to another."""
    mapped, memory = anonymous_map(b"........"), bytearray(b"....")
    CompositeBuffer([memoryview(mapped)[:3], memoryview(mapped)[4:]]).write_at(1, CompositeBuffer([b"ab", b"cde"]))
    assert mapped[:] == b".ab.cde."
    CompositeBuffer([memoryview(mapped)[:3], memoryview(mapped)[4:]]).write_at(0, CompositeBuffer([b"AB", b"CDE"]))
    assert mapped[:] == b"ABC.DEe."
    CompositeBuffer([memory, mapped]).write_at(2, CompositeBuffer([bytearray(b"12"), bytearray(b"34")]))
    assert [bytes(memory), mapped[:3]] == [b"..12", b"34C"]
    SliceBuffer(memory).copy_into(memoryview(memory)[:3], 1)
    assert memory == b".122"


def test_a_slice_of_ctypes_memory_writes_to_it() -> None:
    record = (ctypes.c_uint16 * 2)(0, 0)
    SliceBuffer(record).pack_into("<H", 2, 0x1234)
    assert record[1] == struct.unpack("=H", struct.pack("<H", 0x1234))[0]


# -- for people ----------------------------------------------------------------------------------------------


def test_a_hexdump_shows_offsets_digits_and_text() -> None:
    b = in_halves(b"GET / HTTP/1.1\r\n\x00\xff")
    assert b.hexdump() == (
        "00000000  47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..\n"
        "00000010  00 ff                                            .."
    )
    assert b[:3].hexdump(2) == "00000000  47 45  GE\n00000002  54     T"
    assert b[:0].hexdump() == ""
    for width in (0, -1, 257, 2**70):
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            b.hexdump(width)
    with pytest.raises(TypeError):
        b.hexdump(1.0)  # type: ignore[arg-type]


def test_text_for_people_is_bounded() -> None:
    b = CompositeBuffer([b"ab", b"cd"] * 50_000)
    assert len(b.hexdump().splitlines()) <= 65
    assert len(b.layout().splitlines()) <= 66
    assert len(b.layout()) < 8000
    assert len(repr(b)) < 200
    assert b.hexdump(1).splitlines()[-1] == "00030d3f  64  d"
    assert "99936 parts left out" in b.layout()


def test_a_layout_says_who_holds_which_bytes() -> None:
    b = CompositeBuffer([b"abc", memoryview(bytearray(b"defg"))[1:3], FakeFile(b"lazy")])
    rows = [row.split(maxsplit=2) for row in b.layout().splitlines()]
    assert rows == [
        ["9", "bytes", "in 3 parts"],
        ["0", "3", "[0:3] of bytes of 3"],
        ["3", "5", "[1:3] of bytearray of 4, writable"],
        ["5", "9", "[0:4] of FakeFile of 4"],
    ]
    assert SliceBuffer(b"").layout() == "0 bytes in 0 parts"


def test_a_repr_shows_the_first_bytes() -> None:
    assert repr(in_halves(b"ab")) == "<CompositeBuffer: 2 bytes in 2 parts: b'ab'>"
    assert repr(SliceBuffer(b"")) == "<SliceBuffer: 0 bytes in 0 parts>"
    assert repr(SliceBuffer(bytes(30))).endswith("\\x00'...>")


def test_neither_measuring_nor_cutting_nor_describing_looks_at_lazy_bytes() -> None:
    lazy = FakeFile(b"0123456789" * 10)
    with no_copy(strict=True):
        b = CompositeBuffer([lazy])
        b.append(SliceBuffer(lazy, 5))
        b.appendleft(b[3:20])
        b.skip(2)
        taken = b.take(30)
        assert (len(taken), bool(taken), taken.part_count, taken.readonly, taken.mapped_nbytes) == (
            30,
            True,
            2,
            True,
            100,
        )
        assert "FakeFile" in taken.layout()
        assert repr(taken) == "<SliceBuffer: 30 bytes in 2 parts>"
        assert taken.compact() is taken
        assert taken != b"short"
    assert lazy.looks == 0
    assert taken[0] == ord("5")
    assert lazy.looks == 1


class Unreadable(LazyOwner):
    def _look(self) -> Any:
        raise OSError("gone")


def test_the_error_of_a_lazy_owner_passes_through_and_changes_nothing() -> None:
    b = CompositeBuffer([b"ab", Unreadable(4), b"cd\n"])
    for call in (
        lambda: b.find(b"zz"),
        b.tobytes,
        lambda: b.take_until(b"\n", limit=99),
        lambda: b == b"ab" + bytes(7),
    ):
        with pytest.raises(OSError, match="gone"):
            call()
    b._check()
    assert len(b) == 9
    b.skip(6)
    assert b.take_until(b"\n", limit=99) == b"cd"


# -- for other processes; tests/test_pickling.py has more -----------------------------------------------------


@every_make
def test_it_is_pickled_and_copied_deeply_as_it_is(make: Callable[[bytes], BaseBuffer]) -> None:
    b = make(b"abcdef")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        loaded = pickle.loads(pickle.dumps(b, protocol))
        assert (type(loaded), loaded.part_count, bytes_of(loaded)) == (type(b), b.part_count, b"abcdef")
    deep = copy.deepcopy(b)
    assert (type(deep), deep.part_count, bytes_of(deep)) == (type(b), b.part_count, b"abcdef")


# -- what it is not ------------------------------------------------------------------------------------------


@every_make
def test_classic_mistakes_are_type_errors_that_name_the_right_call(make: Callable[[bytes], BaseBuffer]) -> None:
    b: Any = make(b"abc")
    mistakes: list[tuple[Callable[[], object], str]] = [
        (lambda: b + b"x", "CompositeBuffer([a, b])"),
        (lambda: (b"x",) + b, "CompositeBuffer([a, b])"),  # noqa: RUF005
        (lambda: b + b, "CompositeBuffer([a, b])"),
        (lambda: b * 2, "CompositeBuffer([b] * n)"),
        (lambda: 2 * b, "CompositeBuffer([b] * n)"),
        (lambda: b.__setitem__(0, 1), "write_at(at, data)"),
        (lambda: b.__setitem__(slice(0, 1), b"x"), "splice(start, stop, part)"),
        (lambda: b.__delitem__(slice(None, 1)), "skip(n)"),
        (lambda: b.__delitem__(0), "splice(start, stop)"),
        (b.split, "bytes(b).split()"),
        (lambda: hash(b), "use bytes(b)"),
        (lambda: CompositeBuffer(b), "append(part)"),
        (lambda: CompositeBuffer().extend(b), "CompositeBuffer([part])"),
    ]
    for mistake, advice in mistakes:
        with pytest.raises(TypeError, match=re.escape(advice)):
            mistake()
    assert bytes_of(b) == b"abc"


NOT_ADDED: Final = "buffers are not added, that would copy: write CompositeBuffer([a, b])"
NOT_MULTIPLIED: Final = "a buffer is not multiplied: write CompositeBuffer([b] * n), which copies nothing"

SENTENCES: list[tuple[Callable[[Any], object], str]] = [
    (lambda b: b + b"x", NOT_ADDED),
    (lambda b: 1 + b, NOT_ADDED),
    (lambda b: b * 2, NOT_MULTIPLIED),
    (lambda b: 2 * b, NOT_MULTIPLIED),
    (
        lambda b: b.__setitem__(0, 1),
        (
            "a buffer takes no item assignment: write_at(at, data) writes to memory, splice(start, stop, part) "
            "of a CompositeBuffer changes the structure"
        ),
    ),
    (
        lambda b: b.__delitem__(0),
        (
            "nothing is deleted from a buffer by del: write skip(n) for the front of a CompositeBuffer, "
            "splice(start, stop) for its middle"
        ),
    ),
    (lambda b: b.__buffer__(1), "a buffer is exported read-only: write into b.view(), or by b.write_at(at, data)"),
    (hash, "a SliceBuffer has no hash, its memory may change: use bytes(b)"),
    (lambda b: b[6], "index 6 is out of range for 6 bytes"),
    (lambda b: b[::2], "a slice of a buffer has step 1: write bytes(b)[::2] for a copy"),
    (lambda b: SliceBuffer(b, 2, 7), "[2:7] reaches beyond the 6 bytes that are there"),
    (lambda b: SliceBuffer(b, 3, 2), "the start 3 lies after the stop 2"),
    (lambda b: b.copy_into(bytearray(5)), "6 bytes do not fit into 5"),
    (lambda b: b.copy_into(bytes(6)), "writable memory is wanted, this bytes is read-only"),
    (lambda b: b.copy_into(b), "a SliceBuffer is exported read-only: write into it by dest.write_at(0, b)"),
    (lambda b: b.write_at(4, b"xyz"), "3 bytes at 4 do not fit into 6 bytes"),
    (lambda b: b.write_at(4, b"xy"), "bytes 4 to 6 are not writable in every part"),
    (lambda b: b.split(), "split() on white space is for text: write bytes(b).split(), or give a separator"),
    (lambda b: b.split(10), "a separator is bytes-like, not a number: write bytes([10])"),
    (lambda b: b.split(b""), "empty separator"),
    (lambda b: b.find(256), "a byte is 0 to 255, not 256"),
    (lambda b: b.index(b"x"), "b'x' is not in the buffer"),
    (lambda b: b.iter_unpack(">I"), "records of 4 bytes do not fill 6 bytes"),
]


def test_a_refusal_is_a_whole_sentence() -> None:
    for mistake, expected in SENTENCES:
        with pytest.raises((TypeError, ValueError, IndexError, BufferError)) as caught:
            mistake(SliceBuffer(b"abcdef"))
        assert str(caught.value) == expected


@pytest.mark.parametrize(
    "make",
    [lambda data: SliceBuffer(b"<" + data, 1), lambda data: CompositeBuffer([bytearray(data)])],
    ids=["slice", "composite"],
)
def test_bytes_take_a_buffer_to_their_end_as_they_take_a_memoryview(make: Callable[[bytes], Any]) -> None:
    b = make(b"tail")
    grown = whole = bytearray(b"head, ")
    if sys.version_info >= (3, 12):
        assert b"head, " + b == b"head, tail"
        assert type(b"head, " + b) is bytes
        assert grown + b == bytearray(b"head, tail")
        grown += b
        assert grown is whole, "in place"
        assert whole == b"head, tail"
    else:
        for head in (b"head, ", whole):
            with pytest.raises(TypeError, match=r"add b.contiguous\(\)"):
                _ = head + b
        with pytest.raises(TypeError, match=r"add b.contiguous\(\)"):
            grown += b
        grown += b.contiguous()
        assert grown is whole
        assert whole == b"head, tail"
    for other in ("str", [1], memoryview(b"x"), 5, None):
        with pytest.raises(TypeError):
            _ = other + b


@every_make
def test_item_assignment_and_del_are_statements_that_fail(make: Callable[[bytes], BaseBuffer]) -> None:
    b: Any = make(b"abc")
    with pytest.raises(TypeError, match="takes no item assignment"):
        b[0] = 1
    with pytest.raises(TypeError, match="nothing is deleted from a buffer by del"):
        del b[:1]


def test_the_base_is_not_a_buffer_by_itself() -> None:
    with pytest.raises(NotImplementedError):
        BaseBuffer._window(SliceBuffer(b"x"), 0, 0)
    with pytest.raises(NotImplementedError):
        BaseBuffer._entries(SliceBuffer(b"x"))
    with pytest.raises(NotImplementedError):
        BaseBuffer._loader(SliceBuffer(b"x"))


def test_what_cannot_be_looked_at_is_not_equal_and_has_no_order() -> None:
    released = memoryview(b"abc")
    released.release()
    closed = mmap.mmap(-1, 3)
    closed.close()
    for other in (released, closed, memoryview(b"aXbXdX")[::2]):
        for buffer in (SliceBuffer(b"abc"), CompositeBuffer([b"a", b"bc"])):
            assert buffer != other
            with pytest.raises(TypeError):
                buffer < other  # noqa: B015


@pytest.mark.skipif(COMPILED, reason="a compiled module has its constants built in: none can be patched")
def test_single_numbers_that_are_decoded_by_hand_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = bytes(range(200, 220))
    monkeypatch.setattr("bytebufs.base_buffer.COMPILED", True)
    for order in "<>!=":
        for code in "BHILQ":
            fmt = order + code
            assert SliceBuffer(raw).unpack_from(fmt, 3) == struct.unpack_from(fmt, raw, 3)


# -- what the caller's own methods do meanwhile ---------------------------------------------------------------


class Meddling:
    """A number that changes a buffer when it is asked for."""

    def __init__(self, value: int, meddle: Callable[[], object]) -> None:
        self.value = value
        self.meddle = meddle

    def __index__(self) -> int:
        self.meddle()
        return self.value


MEDDLED: dict[str, tuple[Callable[[CompositeBuffer, Any], object], Callable[[bytes], object]]] = {
    "index": (lambda b, n: b[n(-1)], lambda d: d[-1]),
    "slice": (lambda b, n: bytes(b[n(1) : n(-1) : n(1)]), lambda d: d[1:-1]),
    "slice open": (lambda b, n: bytes(b[n(-2) :]), lambda d: d[-2:]),
    "find": (lambda b, n: b.find(n(ord("x")), n(-3), n(9)), lambda d: d.find(b"x", -3, 9)),
    "rfind": (lambda b, n: b.rfind(b"x", n(0), n(-1)), lambda d: d.rfind(b"x", 0, -1)),
    "count": (lambda b, n: b.count(b"x", n(-9)), lambda d: d.count(b"x", -9)),
    "startswith": (lambda b, n: b.startswith((b"y", b"x"), n(-1)), lambda d: d.startswith(b"x", -1)),
    "startswith one": (lambda b, n: b.startswith(b"xb", n(0), n(99)), lambda d: d.startswith(b"xb")),
    "endswith": (lambda b, n: b.endswith(b"x", n(0), n(99)), lambda d: d.endswith(b"x", 0, 99)),
    "split": (lambda b, n: [bytes(s) for s in b.split(b"x", n(1))], lambda d: d.split(b"x", 1)),
    "copy_into": (lambda b, n: b.copy_into(bytearray(99), n(1), n(-1)), lambda d: len(d[1:-1])),
    "hexdump": (lambda b, n: b.hexdump(n(16)), lambda d: SliceBuffer(d).hexdump(16)),
    "hex": (lambda b, n: b.hex(":", n(2)), lambda d: d.hex(":", 2)),
    "unpack_from": (lambda b, n: b.unpack_from(">B", n(0)), lambda d: (d[0],)),
    "SliceBuffer": (lambda b, n: bytes(SliceBuffer(b, n(1), n(2))), lambda d: d[1:2]),
    "write_at": (lambda b, n: b.write_at(n(0), b"yx"), lambda d: None),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, bytearray) for name in MEDDLED] + [(name, bytes) for name in MEDDLED if name != "write_at"],
)
@pytest.mark.parametrize("change", ["drain", "append", "prepend", "splice"])
def test_the_answer_is_of_the_bytes_that_are_there_after_the_callers_methods(
    name: str, change: str, kind: type[bytes | bytearray]
) -> None:
    """They run before any bound is read: what they leave is what is looked at."""
    call, expected = MEDDLED[name]
    b = CompositeBuffer([kind(b"xaxbxc"), kind(b"dxex"), kind(b"fx")])
    changes: dict[str, Callable[[], object]] = {
        "drain": lambda: b.skip(2),
        "append": lambda: b.append(kind(b"zx")),
        "prepend": lambda: b.appendleft(kind(b"xq")),
        "splice": lambda: b.splice(1, 3),
    }
    left = [changes[change]]
    answer = call(b, lambda value: Meddling(value, lambda: left and left.pop()()))
    assert not left
    b._check()
    after = bytes(b)
    if name == "write_at":
        assert after.startswith(b"yx")
    else:
        assert answer == expected(after)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
@pytest.mark.parametrize("name", ["startswith", "endswith", "find", "==", "<", "removeprefix", "removesuffix", "strip"])
def test_so_it_is_where_a_buffer_is_made_when_it_is_asked_for(name: str) -> None:
    b = CompositeBuffer([b"xx", b"yy", b"xx"])

    class Made:
        def __buffer__(self, flags: int) -> memoryview:
            if b:
                b.skip(len(b))
            return memoryview(b"xx")

    made: Any = Made()
    answers: dict[str, Callable[[], object]] = {
        "startswith": lambda: b.startswith((b"no", b, made)),
        "endswith": lambda: b.endswith((b"no", made)),
        "find": lambda: b.find(made) >= 0,
        "==": lambda: b == made,
        "<": lambda: b > made,
        "removeprefix": lambda: len(b.removeprefix(made)) > 0,
        "removesuffix": lambda: len(b.removesuffix(made)) > 0,
        "strip": lambda: len(b.strip(made)) > 0,
    }
    # Of itself everything begins with everything: what is asked is the emptied buffer.
    assert answers[name]() is (name == "startswith")
    b._check()


# -- text and copies, piece by piece --------------------------------------------------------------------------


@given(
    data=st.binary(max_size=90), cuts=st.sets(st.integers(1, 89)), block=st.integers(2, 40), group=st.integers(-45, 45)
)
@example(data=bytes(range(90)), cuts={50}, block=16, group=3)
@example(data=bytes(range(90)), cuts={50}, block=16, group=-3)
def test_hexadecimal_digits_are_those_of_bytes_in_whatever_blocks(
    data: bytes, cuts: set[int], block: int, group: int
) -> None:
    seams = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    b = CompositeBuffer([data[low:high] for low, high in pairwise(seams)])
    with pytest.MonkeyPatch.context() as patch:
        if not COMPILED:
            patch.setattr(base_buffer, "BLOCK", block)
            patch.setattr(base_buffer, "MOST_BLOCKS", 1000)
        assert b.hex() == data.hex()
        assert b.hex("-", group) == data.hex("-", group)
        assert b.hex(b"-", group) == data.hex("-", group)
        assert b.hex("-", group * 10**12) == (data.hex() if group else data.hex("-", 0))


def test_what_is_no_separator_of_digits_is_refused() -> None:
    b = in_halves(b"abcd")
    for sep, error in (("ab", ValueError), ("", ValueError), ("é", ValueError), (1, TypeError)):
        with pytest.raises(error):
            b.hex(sep)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        b.hex(":", 1.0)  # type: ignore[arg-type]


def test_many_bytes_that_are_stripped_are_looked_at_once_each() -> None:
    chars = CompositeBuffer([b" \t" * 200, b"x" * 100_000])
    assert in_halves(b" x\tabc\tx ").strip(chars) == b"abc"
    assert in_halves(b"abc").strip(CompositeBuffer([bytes(range(256)), b"x" * 70_000])) == b""
    assert in_halves(b"abc").strip(CompositeBuffer([b"x" * 70_000, b"ac", b"x" * 70_000])) == b"b"
    assert in_halves(b"abc").strip(b"") == b"abc"


def test_a_copy_that_overlaps_is_counted_and_refused_before_anything_is_written() -> None:
    memory = bytearray(b"abcdefgh")
    source = CompositeBuffer([memoryview(memory)[2:4], memoryview(memory)[:2]])
    target = CompositeBuffer([memoryview(memory)[:3], memoryview(memory)[4:]])
    with no_copy(), pytest.raises(CopyForbidden):
        target.write_at(0, source)
    assert memory == b"abcdefgh"
    with copy_audit() as audit:
        source.copy_into(memory)  # so few are looked at flat in any case
    assert (bytes(memory), audit.by_reason) == (b"cdabefgh", {"copy_into": 4})
    memory = bytearray(b"abcd" * 512)
    source = CompositeBuffer([memoryview(memory)[1:1025], memoryview(memory)[:1]])
    expected = bytes(source) + memory[1025:]
    with no_copy(), pytest.raises(CopyForbidden):
        source.copy_into(memory)
    assert memory == b"abcd" * 512
    with copy_audit() as audit:
        source.copy_into(memory)
    assert (bytes(memory), audit.by_reason) == (expected, {"fallback": 1025, "copy_into": 1025})


def test_one_piece_of_another_map_of_the_file_is_read_before_it_is_written() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(range(256)) * 40)
        file.flush()
        one, other = mmap.mmap(file.fileno(), 10_000), mmap.mmap(file.fileno(), 10_000)
    expected = other[:9000]
    with copy_audit() as audit:
        SliceBuffer(one).write_at(7, memoryview(other)[:9000])
        SliceBuffer(one).write_at(8, memoryview(one)[7:9000])
        SliceBuffer(one).write_at(0, b"bytes")
        SliceBuffer(one).write_at(9001, bytes(400))
        SliceBuffer(one).write_at(9500, memoryview(bytearray(b"other"))[1:])
    assert (one[9:9001], audit.by_reason) == (expected[1:8993], {"fallback": 9000})
    assert one[9500:9504] == b"ther"


def test_writes_are_noted_after_they_are_made() -> None:
    b = SliceBuffer(bytearray(4))
    before = written()
    b.write_at(0, b"a")
    b.pack_into(">H", 1, 7)
    assert written() == before + 2
    with pytest.raises(IndexError):
        b.write_at(4, b"a")
    assert written() == before + 2


class Shrinking(LazyOwner):
    """A look at it empties a buffer and ends as a lookup in what was emptied does."""

    def __init__(self) -> None:
        super().__init__(4)
        self.shown: CompositeBuffer | None = None

    def _look(self) -> Memory:
        if self.shown is not None:
            self.shown.clear()
        raise IndexError("list index out of range")


@pytest.mark.parametrize(
    "iterate", [iter, reversed, lambda b: b.iter_unpack(">H")], ids=["iter", "reversed", "records"]
)
def test_a_change_in_the_middle_of_a_look_is_a_runtime_error(iterate: Callable[[Any], Iterator[object]]) -> None:
    owner = Shrinking()
    b = CompositeBuffer([owner])
    with pytest.raises(IndexError):
        next(iterate(b))
    owner.shown = b
    with pytest.raises(RuntimeError, match="changed while it was iterated over"):
        next(iterate(b))


def test_parts_of_bytes_overlap_nothing() -> None:
    dest = bytearray(6)
    with no_copy():
        CompositeBuffer([b"abc", b"def"]).copy_into(dest)
    assert dest == b"abcdef"


# -- few bytes, which are looked at flat, and more ----------------------------------------------------------------


def in_thirds(data: bytes) -> CompositeBuffer:
    k = len(data) // 3
    return CompositeBuffer([data[:k], bytearray(data[k : 2 * k]), hidden(data[2 * k :])])


def asked(b: Any, of: Callable[[bytes], Any]) -> list[Any]:
    """Return what a buffer, or bytes, answers. What it is asked about are bytes, or what ``of`` makes of them."""
    return [
        b == of(bytes(b)), b == of(bytes(b)[1:]), b < of(bytes(b) + b"x"), b > of(bytes(b)[:-1]), b <= of(b"a"),
        b.find(of(b"\n")), b.find(of(b"wanting")), b.rfind(of(b"line")), b.rfind(of(b"wanting")), b.count(of(b"i")),
        b.find(of(b"\n"), 30, 5), b.rfind(of(b"\n"), 30, 5), b.count(of(b"\n"), 30, 5), of(b"line") in b,
        b.startswith(of(b"  line")), b.startswith((of(b"x"), of(b"  line"))), b.startswith((of(b"x"), of(b"y"))),
        b.endswith(of(b"\r\n ")), b.endswith((of(b"x"), of(b" "))), b.endswith((of(b"x"), of(b"y"))),
        b.endswith((of(b"x" * 9999), of(b"y"))), b.startswith((of(b"x" * 9999), of(b"y"))),
        *map(bytes, b.split(of(b"\n"))), *map(bytes, b.split(of(b"\n"), 2)), *map(bytes, b.split(of(b"\n"), 0)),
        *map(bytes, b.partition(of(b"\n"))), *map(bytes, b.rpartition(of(b"\n"))),
        *map(bytes, b.partition(of(b"wanting"))), *map(bytes, b.rpartition(of(b"wanting"))),
        *map(bytes, b.splitlines()), *map(bytes, b.splitlines(keepends=True)),
        bytes(b.strip()), bytes(b.lstrip()), bytes(b.rstrip()), bytes(b.strip(of(b" l\r\n"))),
        bytes(b.removeprefix(of(b"  line"))), bytes(b.removeprefix(of(b"no"))),
        bytes(b.removesuffix(of(b"\n "))), bytes(b.removesuffix(of(b"no"))), bytes(b), b.decode(), b.hex(),
    ]  # fmt: skip


FLAT: Final[dict[str, Callable[[bytes], BaseBuffer]]] = {
    "one part": SliceBuffer,
    "composite": lambda data: CompositeBuffer([data]),
    "thirds": in_thirds,
    "frozen thirds": lambda data: in_thirds(data).freeze(),
    "in a bytearray": lambda data: SliceBuffer(bytearray(b"<" + data + b">"), 1, 1 + len(data)),
}


@pytest.mark.parametrize("end", [b"\r\n ", b"\n\n ", b"\rx ", b"x\r\n"])
@pytest.mark.parametrize("size", [0, 1, 2, 90, 1023, 1024, 1025, 1030, 3000])
@pytest.mark.parametrize("name", FLAT)
def test_what_is_asked_of_few_bytes_and_of_more_is_what_bytes_answer(name: str, size: int, end: bytes) -> None:
    make = FLAT[name]
    data = (b"  " + b"line one\r\nlinetwo\r\rli\nx" * 200)[: max(0, size - 3)] + end[: min(size, 3)]
    b = make(data)
    wanted = asked(data, bytes)
    assert asked(b, bytes) == wanted
    assert asked(b, in_halves if size > 2000 else SliceBuffer) == wanted
    assert asked(b, bytearray) == wanted
    assert b == make(data)


def test_few_bytes_are_written_in_place_and_more_or_others_as_ever() -> None:
    memory, other = bytearray(b"abcdefgh"), bytearray(b"ijklmnop")
    b = CompositeBuffer([memory, b"fixed", memoryview(other)[2:6]])
    whole = SliceBuffer(memory)
    whole.write_at(1, b"BC")
    b.write_at(3, b"DE")
    b.write_at(7, b"")
    b.write_at(13, b"KLM")
    assert (bytes(memory), bytes(other)) == (b"aBCDEfgh", b"ijKLMnop")
    for at, data in ((6, b"GHI"), (9, b"x"), (16, b"yz"), (3, b"x" * 99)):
        with pytest.raises((TypeError, IndexError)):
            b.write_at(at, data)
    for readonly in (SliceBuffer(b"abc"), SliceBuffer(memoryview(memory).toreadonly())):
        with pytest.raises(TypeError, match="not writable"):
            readonly.write_at(0, b"x")
    assert (bytes(memory), bytes(other)) == (b"aBCDEfgh", b"ijKLMnop")


def test_a_few_bytes_of_a_file_are_not_looked_at_to_be_compared_with_themselves() -> None:
    lazy = FakeFile(b"abcdef")
    several = CompositeBuffer([b"x", lazy])
    for left, right in ((SliceBuffer(lazy), SliceBuffer(lazy)), (several, several.freeze())):
        assert left == right
        assert not left < right
    assert lazy.looks == 0
    assert SliceBuffer(lazy) == SliceBuffer(b"abcdef")
    assert lazy.looks


def test_much_is_copied_out_of_one_part_and_of_several_wherever_it_goes() -> None:
    data = random.Random(1).randbytes(3000)
    for make in FLAT.values():
        dest = bytearray(4000)
        with copy_audit() as audit:
            assert make(data).copy_into(dest) == 3000
        assert audit.by_reason == {"copy_into": 3000}
        assert dest[:3000] == data


def test_what_all_buffers_share_is_no_buffer() -> None:
    for wrong in (), (b"x",), ([b"x", b"y"], 3):
        with pytest.raises(
            TypeError, match=r"not made directly: write SliceBuffer\(data\) or CompositeBuffer\(parts\)$"
        ):
            BaseBuffer(*wrong)
    with pytest.raises(TypeError, match="not made directly"):
        BaseBuffer(parts=[b"x"])


@every_make
def test_a_bound_counts_wherever_a_match_may_lie(make: Callable[[bytes], BaseBuffer]) -> None:
    data = b"abcabcab"
    b = make(data)
    assert b.find(b"ca", None, 3) == -1
    assert b.rfind(b"abcabc", 0, 6) == 0
    assert not b <= b"ab"
    assert np.int64(97) in b
    assert b.find(255) == -1
    for start, end in ((0, 8), (1, 8), (3, 7)):
        assert b.index(b"b", start, end) == data.index(b"b", start, end)
        assert b.rindex(b"b", start, end) == data.rindex(b"b", start, end)
    assert b.index(b"abc") == 0
    assert b.rindex(b"abcabcab") == 0
    for cut in ("partition", "rpartition"):
        assert list(map(bytes, getattr(b, cut)(data))) == [b"", data, b""]


# -- the same whatever stands around the bytes, and in whatever they are given ------------------------------------


def windows_on(content: bytes) -> list[BaseBuffer]:
    """Return buffers of some bytes: whole, in the middle of others, in pieces, behind what was drained."""
    drained = CompositeBuffer([b"..", *(content[k : k + 3] for k in range(0, len(content), 3))])
    drained.skip(2)
    middle = SliceBuffer(memoryview(bytearray(b"--" + content + content)))[2 : 2 + len(content)]
    return [SliceBuffer(content), middle, drained, drained[:]]


def operands_of(content: bytes) -> list[Any]:
    """Return all that may be given for some bytes."""
    whole = SliceBuffer(b"--" + content + content)
    return [content, bytearray(content), array("B", content), whole[2 : 2 + len(content)], CompositeBuffer([content])]


def test_beginnings_and_ends_are_those_of_bytes() -> None:
    for content in (b"", b"a", b"abcab", b"abcabc" * 200):
        size = len(content)
        affixes = {
            b"",
            content[:1],
            content[:2],
            content[-2:],
            content,
            content[1:],
            b"x",
            content + b"x",
            b"x" + content,
        }
        for buffer in windows_on(content):
            for affix in affixes:
                for operand in operands_of(affix):
                    assert buffer.removeprefix(operand) == content.removeprefix(affix)
                    assert buffer.removesuffix(operand) == content.removesuffix(affix)
                    for start, end in (
                        (None, None),
                        (1, None),
                        (None, 2),
                        (size, None),
                        (1, 3),
                        (-2, None),
                        (None, -1),
                    ):
                        told = (buffer.startswith(operand, start, end), buffer.endswith(operand, start, end))
                        assert told == (content.startswith(affix, start, end), content.endswith(affix, start, end))
                        assert (
                            buffer.startswith((b"no", operand), start, end),
                            buffer.endswith((operand,), start, end),
                        ) == told
    for wrong in ((b"no", "c"), ("a",)):
        with pytest.raises(TypeError):
            SliceBuffer(b"x").startswith(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            SliceBuffer(b"x").endswith(wrong)  # type: ignore[arg-type]
    other: Any
    for other in ((b"x",), "x", 1):
        with pytest.raises(TypeError):
            SliceBuffer(b"x").removeprefix(other)
        with pytest.raises(TypeError):
            SliceBuffer(b"x").removesuffix(other)


def test_lines_are_those_of_bytes_however_long_they_are_and_whatever_ends_them() -> None:
    for ends in product((b"", b"\n", b"\r", b"\r\n", b"\n\n", b"x"), repeat=3):
        for content in (b"x".join(ends), b"x" * 1100 + b"".join(ends)):
            for buffer in windows_on(content)[1:3]:
                assert buffer.splitlines() == content.splitlines()
                assert buffer.splitlines(keepends=True) == content.splitlines(keepends=True)


def test_places_are_those_of_bytes_in_each_range() -> None:
    content = b"abcabcab"
    for buffer in windows_on(content):
        for part in (b"ab", b"c", b"", b"bc"):
            for start, end in product((None, 0, 1, 3, 4, 8, -3), (None, 0, 2, 5, 8, -2)):
                found = (buffer.find(part, start, end), buffer.rfind(part, start, end), buffer.count(part, start, end))
                first, last, times = (
                    content.find(part, start, end),
                    content.rfind(part, start, end),
                    content.count(part, start, end),
                )
                assert found == (first, last, times)
                for search, place in ((buffer.index, first), (buffer.rindex, last)):
                    if place < 0:
                        with pytest.raises(ValueError, match=r"^"):
                            search(part, start, end)
                    else:
                        assert search(part, start, end) == place


def test_digits_are_grouped_as_those_of_bytes_at_each_size() -> None:
    for size in (0, 1, 2, 3, 7, 8, 9, 2000):
        content = bytes(k % 251 for k in range(size))
        for buffer in windows_on(content):
            assert buffer.hex() == content.hex()
            for group in (*range(-9, 10), size, -size, size + 1):
                assert buffer.hex("-", group) == content.hex("-", group), (size, group)


def test_digits_are_grouped_as_those_of_bytes_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    if COMPILED:
        pytest.skip("a compiled module has its constants built in: none can be patched")
    monkeypatch.setattr("bytebufs.base_buffer.BLOCK", 8)
    for most in (1, 3, 1000):
        monkeypatch.setattr("bytebufs.base_buffer.MOST_BLOCKS", most)
        for size in range(24):
            content = bytes(range(size))
            for buffer in windows_on(content)[1:3]:
                for group in range(-14, 15):
                    assert buffer.hex(":", group) == content.hex(":", group), (most, size, group)


def test_what_is_copied_to_be_told_is_counted_as_that() -> None:
    content = b"abc" * 500
    _, middle, pieces, _ = windows_on(content)
    for call, told in (
        (pieces.hex, {"hex": 1500}),
        (pieces.tobytes, {"tobytes": 1500}),
        (middle.tobytes, {"tobytes": 1500}),
        (lambda: pieces.reader().until(bytearray(b"ca"), limit=9), {"needle": 2}),
    ):
        with copy_audit() as audit:
            call()
        assert audit.by_reason == told
