"""CompositeBuffer: built from parts that others own, consumed at the front, all or nothing."""

from __future__ import annotations

import array
import copy
import gc
import re
import struct
import types
import weakref
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import cycle, pairwise, product
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import (
    COMPILED,
    BaseBuffer,
    Busy,
    CompositeBuffer,
    CopyForbidden,
    FrameError,
    LengthPrefixed,
    LimitExceeded,
    Part,
    Reader,
    SliceBuffer,
    Underrun,
    copy_audit,
    no_copy,
)
from bytebufs._core.table import Table
from bytebufs.composite_buffer import _BLOCK, load_composite

from .layouts import FakeFile, addresses, anonymous_map, chunks, hidden


def contents(b: BaseBuffer) -> list[bytes]:
    """Return the bytes of each part, after a look at the table's rules."""
    b._check()
    return [bytes(view) for view in b.views()]


def values(*items: Any) -> list[Any]:
    """Return a list in which buffers are compared with bytes."""
    return list(items)


def one_after_another(*calls: Callable[[CompositeBuffer], object]) -> Callable[[CompositeBuffer], object]:
    return lambda b: [call(b) for call in calls]


def refuses(b: CompositeBuffer, call: Callable[[], object], error: type[Exception], words: str = "") -> Any:
    """Assert that a call raises exactly this error and leaves the buffer as it was; return the error."""
    parts, places, edits = contents(b), addresses(b), b._changes()
    with no_copy(strict=True), pytest.raises(error, match=re.escape(words) or None) as caught:
        call()
    assert type(caught.value) is error
    assert (contents(b), addresses(b), b._changes()) == (parts, places, edits)
    return caught.value


NO_SIZES: list[tuple[Any, type[Exception]]] = [
    (-1, ValueError),
    (-(2**70), ValueError),
    (np.int8(-1), ValueError),
    (1.0, TypeError),
    (np.float64(1), TypeError),
    ("1", TypeError),
    (b"1", TypeError),
    (None, TypeError),
]
no_size = pytest.mark.parametrize(("n", "error"), NO_SIZES, ids=[repr(n) for n, _ in NO_SIZES])

# -- building ------------------------------------------------------------------------------------------------


def test_parts_are_referred_to_and_never_copied() -> None:
    data, memory, mapped, numbers = b"abc", bytearray(b"de"), anonymous_map(b"fgh"), array.array("H", b"ijkl")
    with no_copy(strict=True):
        b = CompositeBuffer([data, memory])
        b.append(mapped)
        b += numbers
        b.appendleft(hidden(b"_"))
    assert contents(b) == [b"_", b"abc", b"de", b"fgh", b"ijkl"]
    owners: list[object] = [data, memory, mapped, numbers]
    assert all(view.obj is owner for view, owner in zip(b.views()[1:], owners, strict=True))
    memory[0] = ord("D")
    mapped[0:1] = b"F"
    assert b == b"_abcDeFghijkl"


def test_an_empty_composite_does_everything_with_nothing() -> None:  # defects.md O2
    b = CompositeBuffer()
    assert (len(b), bool(b), list(b), b.views(), b.part_count, b.layout()) == (
        0,
        False,
        [],
        [],
        0,
        "0 bytes in 0 parts",
    )
    assert values(b[:], b[1:], b.take(0), b.take_all(), b.freeze(), b.contiguous()) == [b""] * 6
    assert values(b.take_bytes(0), b.first(), b.take_part()) == [b""] * 3
    assert values(b.find(b"a"), b.find(b""), b.rfind(b""), b.count(b""), b.split(b"a")) == [-1, 0, 0, 1, [b""]]
    assert b.take_until(b"\n", limit=0) is None
    assert b.take_until(b"\n", b"\r", limit=0) is None
    assert not b.skip_until(b"\n")
    b.skip(0)
    b.clear()
    b.truncate(0)
    b.consolidate()
    b.splice(0, 0)
    assert b.compact() == 0
    with pytest.raises(IndexError):
        b[0]
    assert contents(b) == []


@pytest.mark.parametrize(
    "empty",
    [b"", bytearray(), memoryview(b""), SliceBuffer(b"a", 1), CompositeBuffer()],
    ids=lambda empty: type(empty).__name__,
)
def test_empty_parts_are_dropped(empty: Any) -> None:  # defects.md O1
    b = CompositeBuffer([empty, b"ab", empty, empty, b"cd", empty])
    b.append(empty)
    b.appendleft(empty)
    b.insert(1, empty)
    b.extend([empty])
    b += empty
    assert contents(b) == [b"ab", b"cd"]
    assert (b[0], b[1], b[2], b[-1]) == tuple(b"abcd"[i] for i in (0, 1, 2, 3))


def test_inserting_nothing_does_not_cut_a_part_in_two() -> None:
    b = CompositeBuffer([b"abcd"])
    b.insert(2, b"")
    b.splice(1, 1)
    assert contents(b) == [b"abcd"]


def test_a_part_that_goes_on_where_the_last_one_stops_extends_it() -> None:
    owner = bytearray(b"abcdefgh")
    view = memoryview(owner)
    b = CompositeBuffer([view[2:3], view[3:5]])
    b.append(view[5:6])
    b += view[6:]
    b.appendleft(view[1:2])
    b.appendleft(view[:1])
    assert contents(b) == [b"abcdefgh"]
    assert b.view().obj is owner


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (lambda v: v[:2], lambda v: v[3:]),  # a gap
        (lambda v: v[:3], lambda v: v[2:]),  # an overlap
        (lambda v: v[:2], lambda v: v.toreadonly()[2:]),  # writable, then not
        (lambda v: v.toreadonly()[:2], lambda v: v[2:]),
        (lambda v: v[:2], lambda v: memoryview(bytearray(v))[2:]),  # another owner of the same bytes
        (lambda v: v[2:], lambda v: v[:2]),
        (lambda v: v[:2], lambda v: v[:2]),
    ],
    ids=["gap", "overlap", "then read-only", "then writable", "other owner", "back to front", "twice"],
)
def test_nothing_else_merges(left: Callable[[memoryview], Any], right: Callable[[memoryview], Any]) -> None:
    view = memoryview(bytearray(b"aaaa"))
    assert CompositeBuffer([left(view), right(view)]).part_count == 2
    b = CompositeBuffer([right(view)])
    b.appendleft(left(view))
    assert b.part_count == 2
    b = CompositeBuffer([left(view), b"x", right(view)])
    assert b.part_count == 3
    b.splice(len(left(view)), len(left(view)) + 1)
    assert contents(b) == [bytes(left(view)), bytes(right(view))]


@given(cuts=st.sets(st.integers(1, 11)), order=st.randoms(use_true_random=False))
def test_what_was_split_and_joined_again_is_one_part(cuts: set[int], order: Any) -> None:
    """In whatever order the pieces come in, and whether or not they were taken from another composite."""
    owner = b"abcdefghijkl"
    seams = [0, *sorted(cuts), 12]
    source = CompositeBuffer([owner])
    pieces = [source.take(high - low) for low, high in pairwise(seams)]
    first = order.randrange(len(pieces))
    b = CompositeBuffer([pieces[first]])
    for piece in pieces[first + 1 :]:
        b.append(piece)
    for piece in reversed(pieces[:first]):
        b.appendleft(piece)
    assert b.part_count == 1
    assert b.view().obj is owner
    b._check()


def test_the_same_part_may_come_twice() -> None:  # defects.md O8
    memory = bytearray(b"ab")
    b = CompositeBuffer([memory, memory, b"x", memory])
    assert contents(b) == [b"ab", b"ab", b"x", b"ab"]
    assert b.pinned_nbytes == 3
    b.write_at(2, b"Z")
    assert b == b"ZbZbxZb"


def test_a_buffer_may_be_put_into_itself() -> None:  # defects.md O8
    with no_copy(strict=True):
        b = CompositeBuffer([b"ab", b"c"])
        b.append(b)
        assert b == b"abcabc"
        b.appendleft(b)
        assert b == b"abc" * 4
        b += b
        b.truncate(6)
        b.insert(3, b)
        assert b == b"abc" * 4
        b.splice(1, 11, b)
        assert b == b"a" + b"abc" * 4 + b"c"
        b.extend([b, b])
    assert b == (b"a" + b"abc" * 4 + b"c") * 3
    b._check()


def test_a_nested_buffer_is_flattened() -> None:
    inner = CompositeBuffer([b"<<ab", b"cd", b"ef>"])
    inner.skip(2)
    b = CompositeBuffer([b"1", inner, inner[1:5], SliceBuffer(inner)])
    inner.clear()
    assert contents(b) == [b"1", b"ab", b"cd", b"ef>", b"b", b"cd", b"e", b"ab", b"cd", b"ef>"]


def test_appending_to_what_was_taken_from_leaves_no_gap() -> None:  # defects.md N6
    b = CompositeBuffer([bytearray(b"abcdef")])
    b.skip(2)
    b.truncate(2)
    b.append(b"XY")
    assert contents(b) == [b"cd", b"XY"]
    assert b.find(b"dX") == 1


def test_no_number_of_parts_leads_to_a_copy() -> None:  # defects.md N12
    with no_copy(strict=True):
        b = CompositeBuffer()
        for i in range(2000):
            b.append(bytes([i % 256]) * 3)
            b.appendleft(b"\n")
        b.insert(2000, b"middle")
    assert b.part_count == 4001
    b._check()


@pytest.mark.parametrize(
    ("part", "advice"),
    [
        ("text", "'text'.encode()"),
        (None, "not NoneType"),
        (7, "not int"),
        ([b"ab"], "not list"),
        (memoryview(b"abcd")[::2], "view.tobytes()"),
    ],
    ids=["str", "None", "int", "list", "strided"],
)
def test_what_is_no_part_is_refused_and_nothing_is_added(part: Any, advice: str) -> None:
    b = CompositeBuffer([b"ab", b"cd"])
    calls: list[Callable[[], object]] = [
        lambda: b.append(part),
        lambda: b.appendleft(part),
        lambda: b.__iadd__(part),
        lambda: b.insert(1, part),
        lambda: b.insert(0, part),
        lambda: b.insert(4, part),
        lambda: b.splice(0, 4, part),
        lambda: b.extend([b"first", part]),
        lambda: CompositeBuffer([b"first", part]),
    ]
    for call in calls:
        refuses(b, call, TypeError, advice)


def test_every_part_is_looked_at_before_the_first_is_added() -> None:
    b = CompositeBuffer([b"ab"])

    def failing() -> Iterator[Any]:
        yield b"cd"
        raise LookupError

    refuses(b, lambda: b.extend(failing()), LookupError)
    refuses(b, lambda: b.extend([b"cd", SliceBuffer(b"x"), 3]), TypeError)  # type: ignore[list-item]
    refuses(b, lambda: b.extend(7), TypeError)  # type: ignore[arg-type]
    more: list[Part] = [b"cd", b, bytearray(b"ef")]
    b.extend(iter(more))
    assert contents(b) == [b"ab", b"cd", b"ab", b"ef"]


@pytest.mark.parametrize(
    "one",
    [
        b"abc",
        bytearray(b"abc"),
        memoryview(b"abc"),
        SliceBuffer(b"abc"),
        CompositeBuffer([b"abc"]),
        np.zeros(3),
        FakeFile(b"3"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_one_part_in_place_of_several_is_a_classic_mistake(one: Any) -> None:
    b = CompositeBuffer()
    for call in (lambda: b.extend(one), lambda: CompositeBuffer(one)):
        refuses(b, call, TypeError, "write append(part) or CompositeBuffer([part])")


def test_text_in_place_of_parts_is_to_be_encoded() -> None:
    b = CompositeBuffer()
    for call in (lambda: b.extend("abc"), lambda: CompositeBuffer("abc")):  # type: ignore[arg-type]
        refuses(b, call, TypeError, "encode it first ('abc'.encode())")


# -- small parts joined on the way in ------------------------------------------------------------------------


def test_small_parts_are_copied_together_if_asked_for() -> None:
    memory = bytearray(b"cd")
    b = CompositeBuffer([b"a", b"b"], coalesce_below=3)
    with copy_audit() as audit:
        b.append(memory)
        b.append(b"long")
        b.append(b"e")
        b.extend([b"f", b"g", b"longer", b"h"])
    assert contents(b) == [b"abcd", b"long", b"efg", b"longer", b"h"]
    assert audit.by_reason == {"coalesce": 6}
    memory[:] = b"XX"
    assert b == b"abcdlongefglongerh"  # a snapshot
    assert b[:4].readonly


def test_a_flood_of_one_byte_parts_stays_few() -> None:
    b = CompositeBuffer(coalesce_below=64)
    for i in range(10_000):
        b.append(bytes([i % 251]))
    assert b.part_count <= 3
    assert b == bytes(i % 251 for i in range(10_000))
    assert CompositeBuffer([b"x"] * _BLOCK, coalesce_below=2).part_count == 1
    assert CompositeBuffer([b"x"] * (_BLOCK + 1), coalesce_below=2).part_count == 2
    first = b.take(10)
    b.append(b"x" * 63)
    assert first == bytes(range(10))
    assert CompositeBuffer([bytes(9000)[:4999], b"x"], coalesce_below=5000).part_count == 1
    b._check()


def test_what_merges_as_it_is_is_not_copied() -> None:
    view = memoryview(b"abcdefgh")
    with no_copy():
        b = CompositeBuffer([view[:4]], coalesce_below=4)
        b.append(view[4:5])
        b.extend([view[5:6], view[6:]])
    assert contents(b) == [b"abcdefgh"]


def test_coalescing_counts_before_it_copies() -> None:
    b = CompositeBuffer([b"long enough"], coalesce_below=4)
    error = refuses(b, lambda: b.extend([b"x", b"long enough", b"yz"]), CopyForbidden)
    assert (error.reason, error.nbytes) == ("coalesce", 3)
    refuses(b, lambda: b.append(b"x"), CopyForbidden)
    with no_copy():
        b.append(b"abcd")
        b.append(b"")
        b.appendleft(b"x")
        b.insert(3, b"y")
    assert contents(b) == [b"x", b"lo", b"y", b"ng enough", b"abcd"]


def test_a_copy_goes_on_in_a_block_of_its_own() -> None:
    b = CompositeBuffer([b"a", b"b"], coalesce_below=3)
    twin = copy.copy(b)
    b.append(b"c")
    twin.append(b"d")
    assert values(b, twin) == [b"abc", b"abd"]
    assert b[:2].view().obj is twin[:2].view().obj
    twin._check()


@no_size
def test_the_size_below_which_parts_are_copied_is_a_size(n: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        CompositeBuffer(coalesce_below=n)


def test_behind_a_part_that_goes_on_in_the_last_one_small_ones_are_coalesced() -> None:
    chunk = SliceBuffer(bytes(range(100)))
    b = CompositeBuffer([chunk[:50]], coalesce_below=10)
    with copy_audit() as audit:
        b.append(CompositeBuffer([chunk[50:53], b"xy", b"z"]))
    assert audit.by_reason == {"coalesce": 3}
    assert bytes(b) == bytes(range(53)) + b"xyz"
    assert b.part_count == 2


def test_parts_of_a_buffer_are_coalesced_as_parts_are() -> None:
    b = CompositeBuffer([b"ab"], coalesce_below=10)
    with copy_audit() as audit:
        b.append(CompositeBuffer([b"cd", bytearray(b"ef"), bytes(20)]))
        b.append(SliceBuffer(b"gh"))
    assert audit.by_reason == {"coalesce": 6}
    assert bytes(b) == b"abcdef" + bytes(20) + b"gh"
    assert b.part_count == 3


# -- consuming -----------------------------------------------------------------------------------------------


def stock() -> CompositeBuffer:
    """Return 12 bytes in four parts, the first of which is clipped."""
    b = CompositeBuffer([b"<abc", bytearray(b"defg"), b"h", hidden(b"ijkl")])
    b.skip(1)
    return b


@pytest.mark.parametrize("n", range(13))
def test_the_first_bytes_are_taken_as_a_slice(n: int) -> None:
    b = stock()
    places = addresses(b)
    with no_copy(strict=True):
        taken = b.take(n)
    assert type(taken) is SliceBuffer
    assert (addresses(taken), addresses(b)) == (places[:n], places[n:])
    assert values(taken, b) == [b"abcdefghijkl"[:n], b"abcdefghijkl"[n:]]
    taken._check()
    b._check()


@pytest.mark.parametrize("n", [13, 14, 2**31, 2**63, 2**70])
def test_more_than_there_is_is_an_underrun_and_nothing_moves(n: int) -> None:  # defects.md O13
    b = stock()
    for call in (b.take, b.take_bytes, b.skip):
        error = refuses(b, lambda: call(n), Underrun)  # noqa: B023  # called at once
        assert (error.requested, error.available, error.separator) == (n, 12, None)
    refuses(b, lambda: b.truncate(n), ValueError, f"12 bytes cannot be truncated to {n}")
    assert b.take_at_most(n) == b"abcdefghijkl"
    assert len(b) == 0


@no_size
def test_a_size_is_a_number_and_not_negative(n: Any, error: type[Exception]) -> None:  # defects.md O16
    b = stock()
    calls: list[Callable[[], object]] = [
        lambda: b.take(n),
        lambda: b.take_bytes(n),
        lambda: b.insert_varint(n, 1),
        lambda: b.take_at_most(n),
        lambda: b.skip(n),
        lambda: b.truncate(n),
        lambda: b.take_until(b"z", limit=n),
        lambda: b.take_until(b"d", limit=n),
        lambda: b.splice(n, 3),
        lambda: b.splice(0, n),
        lambda: b.insert(n, b"x"),
        lambda: b.reserve(n),
    ]
    for call in calls:
        refuses(b, call, error)
    if n is not None:
        refuses(b, lambda: b.consolidate(0, n), error)
    refuses(b, lambda: b.consolidate(n), error)


def test_sizes_are_integers_of_any_kind() -> None:
    b = stock()
    assert b.take(True) == b"a"
    assert b.take(np.int64(1)) == b"b"
    assert b.take_at_most(np.uint8(200))[:1] == b"c"
    b = stock()
    b.skip(np.int16(2))
    b.truncate(np.uint64(3))
    b.splice(np.int8(0), True, b"_")
    b.insert(np.int64(3), b"!")
    b.consolidate(False, np.int32(2))
    assert b == b"_de!"
    assert b.take_until(b"!", limit=np.int64(3)) == b"_de"


def test_taking_everything_in_steps() -> None:
    b = stock()
    assert b.take_at_most(5) == b"abcde"
    b.skip(1)
    assert b.take_all() == b"ghijkl"
    assert values(len(b), b.take_all(), b.take_at_most(3)) == [0, b"", b""]
    b.append(b"more")
    assert b.take(4) == b"more"


@pytest.mark.parametrize("n", range(13))
def test_bytes_are_taken_as_a_copy_that_was_asked_for(n: int) -> None:
    b = stock()
    b.append(b"more")
    with no_copy(), copy_audit() as audit:
        taken = b.take_bytes(n)
    assert type(taken) is bytes
    assert taken == b"abcdefghijkl"[:n]
    assert audit.by_reason == ({"take_bytes": n} if n else {})
    assert b == b"abcdefghijkl"[n:] + b"more"
    b._check()
    if len(b) > 1:
        b = CompositeBuffer([bytearray(b"ab"), b"cd"])
        assert refuses(b, lambda: b.take_bytes(3), CopyForbidden).nbytes == 3


def test_a_whole_bytes_object_is_taken_as_it_is() -> None:
    whole = b"whole"
    for one in (whole, whole * 50_000):
        b = CompositeBuffer([one, b"rest"])
        with no_copy(strict=True):
            assert b.take_bytes(len(one)) is one
    b = CompositeBuffer([whole, b"rest"])
    b.skip(1)
    with copy_audit() as audit:
        assert b.take_bytes(4) == b"hole"
    assert audit.by_reason == {"take_bytes": 4}


def test_of_much_each_part_is_let_go_of_when_it_is_copied() -> None:
    """When the first is gone, what is written to the second is in time to be copied."""
    first: Any = array.array("B", b"1" * 50_000)
    second = bytearray(b"2" * 50_000)
    said: list[bytes] = []

    def gone() -> None:
        second[:] = b"!" * 50_000
        said.append(b"".join(b.views()))
        b.append(b", more")

    weakref.finalize(first, gone)
    b = CompositeBuffer([b"drained", first, second, FakeFile(b"3" * 10), b"4567"])
    del first
    b.skip(7)
    with copy_audit() as audit:
        assert b.take_bytes(100_012) == b"1" * 50_000 + b"!" * 50_000 + b"3" * 10 + b"45"
    assert audit.by_reason == {"take_bytes": 100_012}
    assert said == [b"67"]
    assert b == b"67, more"
    b._check()


def test_much_that_cannot_be_looked_at_is_not_taken() -> None:
    class Gone(FakeFile):
        def _look(self) -> Any:
            raise OSError("it has gone")

    b = CompositeBuffer([bytearray(100_000), Gone(b"xyz")])
    with pytest.raises(OSError, match="it has gone"):
        b.take_bytes(100_003)
    assert len(b) == 100_003
    b = CompositeBuffer([bytearray(99_999), b"x"])
    assert refuses(b, lambda: b.take_bytes(100_000), CopyForbidden).nbytes == 100_000


def test_the_first_part_is_shown_and_taken() -> None:
    b = CompositeBuffer([b"abc", bytearray(b"de"), b"f"])
    b.skip(1)
    with no_copy(strict=True):
        assert values(b.first(), b.first()) == [b"bc", b"bc"]
        assert values(*[b.take_part() for _ in range(4)]) == [b"bc", b"de", b"f", b""]
    assert contents(b) == []
    b = CompositeBuffer([memoryview(b"<abc>")[1:4]])
    b.truncate(2)
    assert b.first() == b.take_part() == b"ab"
    b.appendleft(b"new")
    shown = b.first()
    b.clear()
    assert shown == b"new"


@pytest.mark.parametrize("n", range(13))
def test_truncating_keeps_the_front(n: int) -> None:
    b = stock()
    places = addresses(b)
    with no_copy(strict=True):
        b.truncate(n)
    assert addresses(b) == places[:n]
    b._check()
    b.append(b"new")
    assert b == b"abcdefghijkl"[:n] + b"new"  # defects.md N6
    b._check()


def test_clearing_leaves_what_was_taken() -> None:
    b = stock()
    taken = b.take(5)
    b.clear()
    assert values(len(b), taken) == [0, b"abcde"]
    b.append(b"x")
    assert contents(b) == [b"x"]


def test_what_is_drained_is_let_go_of_at_once() -> None:  # defects.md O14, O21
    owners: list[Any] = [array.array("B", b"abcd") for _ in range(6)]
    alive = [weakref.ref(owner) for owner in owners]

    def living() -> list[int]:
        return [i for i, ref in enumerate(alive) if ref() is not None]

    b = CompositeBuffer(owners)
    del owners
    b.skip(4)
    assert living() == [1, 2, 3, 4, 5]
    b.skip(3)
    assert living() == [1, 2, 3, 4, 5]
    b.skip(1)
    assert living() == [2, 3, 4, 5]
    b.truncate(13)
    assert living() == [2, 3, 4, 5]
    b.truncate(12)
    assert living() == [2, 3, 4]
    b.splice(4, 8)
    assert living() == [2, 4]
    taken = b.take(4)
    assert living() == [2, 4]
    del taken
    assert living() == [4]
    b.consolidate()
    assert living() == [4]  # one part has no seam
    b.append(b"x")
    b.consolidate()
    assert living() == []


def test_bytes_of_a_part_behind_short_ones_that_are_gone_are_those_at_the_front() -> None:
    b = CompositeBuffer([b"a", b"bc", b"defghijklm"])
    b.skip(1)
    assert b.take_bytes(1) == b"b"
    b.skip(1)
    assert b.take_bytes(2) == b"de"
    assert b.take_bytes(3) == b"fgh"


# -- up to a separator ---------------------------------------------------------------------------------------


@given(
    data=st.lists(st.sampled_from(b"aab\r\n"), max_size=16).map(bytes),
    sep=st.sampled_from([b"\n", b"\r\n", b"aab", b"\n\n\n", b"aaaab"]),
    limit=st.integers(0, 18),
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8).filter(any),
    keepends=st.booleans(),
)
def test_the_answer_does_not_depend_on_how_the_bytes_came(
    data: bytes, sep: bytes, limit: int, sizes: list[int], keepends: bool
) -> None:
    """All at once or piece by piece, with a question after each: the same pieces, then None or the same error."""

    def answers(pieces: list[bytes]) -> list[object]:
        b = CompositeBuffer()
        found: list[object] = []
        for piece in pieces:
            b.append(hidden(piece))
            while True:
                before = addresses(b)
                try:
                    with no_copy(strict=True):
                        taken = b.take_until(sep, limit=limit, keepends=keepends)
                except LimitExceeded as error:
                    return [*found, error.limit, addresses(b) == before]
                b._check()
                if taken is None:
                    assert addresses(b) == before
                    break
                found.append(bytes(taken))
        return found

    pieces = list(chunks(data, cycle(sizes)))
    expected: list[object] = []
    rest = data
    while (at := rest.find(sep)) >= 0 and at <= limit:
        expected.append(rest[: at + keepends * len(sep)])
        rest = rest[at + len(sep) :]
    starts = range(max(0, len(rest) - len(sep) + 1), len(rest))
    first_open = next((k for k in starts if sep.startswith(rest[k:])), len(rest))
    if (at if at >= 0 else first_open) > limit:
        expected += [limit, True]  # the error's limit, and nothing moved
    assert answers([data]) == answers(pieces) == answers([data[i : i + 1] for i in range(len(data))]) == expected


@pytest.mark.parametrize(("came", "answer"), [(b"abc", None), (b"abc\r", None), (b"abcd", 0), (b"abc\rx", 0)])
def test_a_limit_is_exceeded_as_soon_as_that_is_certain(came: bytes, answer: Any) -> None:
    b = CompositeBuffer([came[i : i + 1] for i in range(len(came))])
    if answer is None:
        assert b.take_until(b"\r\n", limit=3) is None
    else:
        assert refuses(b, lambda: b.take_until(b"\r\n", limit=3), LimitExceeded).limit == 3


def test_a_separator_is_taken_away_with_what_stands_before_it() -> None:
    b = CompositeBuffer([b"one\r", b"\ntwo\r\nthree"])
    with no_copy(strict=True):
        assert b.take_until(b"\r\n", limit=3) == b"one"
        assert b.take_until(b"\r\n", limit=10, keepends=True) == b"two\r\n"
        assert b.take_until(b"\r\n", limit=5) is None
    assert b == b"three"
    assert b.take_until(bytearray(b"r"), limit=2) == b"th"


@pytest.mark.parametrize("keepends", [False, True])
def test_the_limit_does_not_count_the_separator(keepends: bool) -> None:
    b = CompositeBuffer([b"abc\r\n\r\n"])
    refuses(b, lambda: b.take_until(b"\r\n", limit=2, keepends=keepends), LimitExceeded)
    assert b.take_until(b"\r\n", limit=3, keepends=keepends) == b"abc" + keepends * b"\r\n"
    assert b.take_until(b"\r\n", limit=0, keepends=keepends) == keepends * b"\r\n"


def test_a_separator_is_bytes_like_and_not_empty() -> None:
    b = stock()
    refuses(b, lambda: b.take_until(b"", limit=9), ValueError, "empty separator")
    refuses(b, lambda: b.take_until("c", limit=9), TypeError, "'c'.encode()")  # type: ignore[arg-type]
    refuses(b, lambda: b.take_until(99, limit=9), TypeError, "bytes([99])")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        b.take_until(b"c")  # type: ignore[call-arg]
    assert refuses(b, lambda: b.take_until(bytearray(b"c"), limit=9), CopyForbidden).reason == "needle"


EDITS: dict[str, Callable[[CompositeBuffer], object]] = {
    "appended": lambda b: b.append(b"b\nc"),
    "prepended": lambda b: b.appendleft(b"\n"),
    "a separator put in": lambda b: b.insert(1, b"\n"),
    "a separator made by a cut": lambda b: b.splice(3, 4),
    "its second half put in": lambda b: b.insert(3, b"\n"),
    "drained": lambda b: b.skip(2),
    "drained to the end": one_after_another(lambda b: b.skip(len(b)), lambda b: b.append(b"\r\n")),
    "taken and put back": lambda b: b.appendleft(b.take(3)),
    "truncated and appended": one_after_another(lambda b: b.truncate(3), lambda b: b.append(b"\n")),
    "cleared and appended": one_after_another(lambda b: b.clear(), lambda b: b.append(b"\r\n")),
    "consolidated": lambda b: b.consolidate(),
    "replaced": lambda b: b.splice(0, len(b), b"x\r\ny"),
    "nothing": lambda b: None,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("sep", [b"\n", b"\r\n"])
def test_where_looking_stopped_is_forgotten_when_the_bytes_change(
    edit: Callable[[CompositeBuffer], object], sep: bytes
) -> None:  # defects.md N3
    b = CompositeBuffer([b"aa\r", b"bcd"])
    assert b.take_until(sep, limit=100) is None
    edit(b)
    data = b.tobytes()
    assert b.take_until(sep, limit=100) == (data.partition(sep)[0] if sep in data else None)
    assert b == (data.partition(sep)[2] if sep in data else data)


def test_each_separator_is_looked_for_from_the_front() -> None:
    b = CompositeBuffer([b"a;b,c"])
    assert b.take_until(b"\n", limit=100) is None
    assert b.take_until(b",", limit=100) == b"a;b"
    b = CompositeBuffer([b"a;b,c"])
    with pytest.raises(LimitExceeded):
        b.take_until(b",", limit=1)
    assert b.take_until(b",", limit=3) == b"a;b"


def first_separator(data: bytes, seps: list[bytes]) -> tuple[int, bytes | None]:
    """Return the first place where a separator stands or may still come, and which it is, if that is decided."""
    for at in range(len(data) + 1):
        rest = data[at:]
        if any(len(rest) < len(sep) and sep.startswith(rest) for sep in seps):
            return at, None
        found = [sep for sep in seps if rest.startswith(sep)]
        if found:
            return at, max(found, key=len)
    raise AssertionError("at the end anything may come")


SEVERAL = st.lists(st.lists(st.sampled_from(b"ab\r\n"), min_size=1, max_size=3).map(bytes), min_size=1, max_size=3)
LETTERS = st.lists(st.sampled_from(b"ab\r\n"), max_size=24).map(bytes)
SIZES = st.lists(st.integers(0, 5), min_size=1, max_size=8).filter(any)


@given(data=LETTERS, seps=SEVERAL, limit=st.integers(0, 8), sizes=SIZES, keepends=st.booleans())
def test_several_separators_give_what_the_rule_says_however_the_bytes_came(
    data: bytes, seps: list[bytes], limit: int, sizes: list[int], keepends: bool
) -> None:
    expected: list[object] = []
    rest = data
    while True:
        at, sep = first_separator(rest, seps)
        if at > limit:
            expected.append(LimitExceeded)
            break
        if sep is None:
            break
        expected.append(rest[: at + keepends * len(sep)])
        rest = rest[at + len(sep) :]

    found: list[object] = []
    b = CompositeBuffer()
    for piece in chunks(data, cycle(sizes)):
        b.append(piece)
        try:
            while found[-1:] != [LimitExceeded]:
                taken = b.take_until(seps[0], *seps[1:], limit=limit, keepends=keepends)
                if taken is None:
                    break
                found.append(bytes(taken))
        except LimitExceeded:
            found.append(LimitExceeded)
    assert found == (expected if data else [])
    assert b == rest


@given(data=LETTERS, seps=SEVERAL, sizes=SIZES)
def test_what_is_skipped_does_not_depend_on_how_the_bytes_came(
    data: bytes, seps: list[bytes], sizes: list[int]
) -> None:
    ends = 0
    rest = data
    while (found := first_separator(rest, seps))[1] is not None:
        ends += 1
        rest = rest[found[0] + len(found[1]) :]
    b = CompositeBuffer()
    for piece in chunks(data, cycle(sizes)):
        b.append(piece)
        with no_copy(strict=True):
            while b.skip_until(seps[0], *seps[1:]):
                ends -= 1
        b._check()
    assert ends == 0
    assert b == rest[found[0] :], "what may be the beginning of a separator stays"


def test_what_exceeded_a_limit_is_skipped_and_the_next_is_taken() -> None:
    b = CompositeBuffer([b"much too long", b" a line\r"])
    refuses(b, lambda: b.take_until(b"\r\n", limit=9), LimitExceeded)
    reader = b.reader()
    assert not b.skip_until(b"\r\n")
    assert b == b"\r"
    with pytest.raises(RuntimeError):
        reader.u8()
    reader = b.reader()
    assert not b.skip_until(b"\r\n")
    assert reader.u8() == ord("\r"), "nothing was drained"
    b.append(b"\nshort\r\n")
    assert b.skip_until(b"\r\n")
    assert b.take_until(b"\r\n", limit=9) == b"short"


def test_separators_that_are_skipped_are_bytes_like_and_not_empty() -> None:
    b = stock()
    for call in (b.skip_until, lambda *seps: b.take_until(*seps, limit=9)):
        skip: Any = call
        refuses(b, lambda: skip(b""), ValueError, "empty separator")  # noqa: B023  # called at once
        refuses(b, lambda: skip(b"x", b""), ValueError, "empty separator")  # noqa: B023
        refuses(b, lambda: skip(b"x", "c"), TypeError, "'c'.encode()")  # noqa: B023
        refuses(b, lambda: skip(b"x", 99), TypeError, "bytes([99])")  # noqa: B023
        assert refuses(b, lambda: skip(b"x", bytearray(b"c")), CopyForbidden).reason == "needle"  # noqa: B023
    assert b.skip_until(bytearray(b"x"), memoryview(b"c"))
    assert b == b"defghijkl"


# -- splicing ------------------------------------------------------------------------------------------------


@given(
    start=st.integers(0, 12), size=st.integers(0, 12), new=st.sampled_from([b"", b"X", b"XYZ"]), nested=st.booleans()
)
def test_a_range_is_replaced_by_a_part(start: int, size: int, new: bytes, nested: bool) -> None:
    b = stock()
    places = addresses(b)
    stop = min(start + size, 12)
    part = CompositeBuffer([new[:1], new[1:]]) if nested else SliceBuffer(new)
    with no_copy(strict=True):
        b.splice(start, stop, part)
    assert addresses(b) == places[:start] + addresses(part) + places[stop:]
    assert b == b"abcdefghijkl"[:start] + new + b"abcdefghijkl"[stop:]
    b._check()
    b.append(b"end")
    assert b[-3:] == b"end"
    assert b.find(b"end") == len(b) - 3


def test_removing_a_part_leaves_no_index_beyond_the_end() -> None:  # defects.md N5
    b = stock()
    assert b[11] == ord("l")
    b.splice(3, 7)
    assert (len(b), b[7], b.find(b"l")) == (8, ord("l"), 7)
    refuses(b, lambda: b[8], IndexError)
    b.splice(4, 8)
    assert (b[-1], b == b"abch") == (ord("h"), True)
    refuses(b, lambda: b.take(5), Underrun)


@pytest.mark.parametrize(
    ("start", "stop", "error"),
    [(13, 13, IndexError), (0, 13, IndexError), (2**70, 2**70, IndexError), (5, 4, ValueError), (13, 12, IndexError)],
)
def test_a_range_lies_within_the_bytes(start: int, stop: int, error: type[Exception]) -> None:
    b = stock()
    refuses(b, lambda: b.splice(start, stop, b"x"), error)
    refuses(b, lambda: b.consolidate(start, stop), error)
    if start == stop:
        refuses(b, lambda: b.insert(start, b"x"), error)


def test_a_splice_has_an_end() -> None:
    """An end that is None would cut off everything: too much for a slip."""
    b = stock()
    refuses(b, lambda: b.splice(3, None), TypeError)  # type: ignore[arg-type]


def test_a_part_may_be_put_in_anywhere() -> None:
    for at in range(13):
        b = stock()
        b.insert(at, b"|")
        assert b == b"abcdefghijkl"[:at] + b"|" + b"abcdefghijkl"[at:]
        b._check()


@given(steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.integers(0, 40)), max_size=30))
def test_a_lookup_is_right_whatever_was_looked_up_before_a_change(steps: list[tuple[int, int, int]]) -> None:
    """The part last touched, and the ends that are known, after every kind of change."""  # defects.md N3
    b, model = CompositeBuffer(), bytearray()
    for i, (kind, x, y) in enumerate(steps):
        new = bytes([65 + i, 97 + i])
        if kind == 0:
            b.append(new)
            model += new
        elif kind == 1:
            b.appendleft(new)
            model[:0] = new
        elif kind == 2:
            n = x % (len(model) + 1)
            b.skip(n)
            del model[:n]
        elif kind == 3:
            low, high = sorted([x % (len(model) + 1), y % (len(model) + 1)])
            b.splice(low, high, new)
            model[low:high] = new
        else:
            n = x % (len(model) + 1)
            b.truncate(n)
            del model[n:]
        if model:
            at = y % len(model)
            assert values(b[at], b[at - len(model)], b[at : at + 3]) == [model[at], model[at], model[at : at + 3]]
            assert b.find(model[at:]) == model.find(model[at:])
        b._check()
    assert b == model


# -- the whole -----------------------------------------------------------------------------------------------


def test_a_frozen_composite_goes_on() -> None:
    b = stock()
    places = addresses(b)
    with no_copy(strict=True):
        frozen = b.freeze()
    b.append(b"more")
    b.skip(3)
    assert addresses(frozen) == places
    assert values(frozen, b) == [b"abcdefghijkl", b"defghijklmore"]


def test_a_copy_shares_the_parts_and_goes_its_own_way() -> None:
    b = stock()
    b.skip(1)
    with no_copy(strict=True):
        twin = copy.copy(b)
    assert type(twin) is CompositeBuffer
    assert addresses(twin) == addresses(b)
    twin.append(b"x")
    b.skip(4)
    b.splice(1, 2)
    assert values(twin, b) == [b"bcdefghijklx", b"fhijkl"]
    twin.write_at(2, b"DE")
    assert twin == b"bcDEfghijklx"
    twin._check()


def test_a_composite_is_loaded_from_a_list_of_parts_and_coalesces_none() -> None:  # tests/test_pickling.py has more
    b = CompositeBuffer([b"long enough", b"a"], coalesce_below=4)
    load, arguments = b._loader()
    assert load is load_composite
    with no_copy(strict=True):
        loaded = load([b"a", b"b"], *arguments)
    loaded._check()
    assert contents(loaded) == [b"a", b"b"]
    loaded.append(b"c")
    loaded.append(b"d")
    assert contents(loaded) == [b"a", b"b", b"cd"]
    for parts, below, error in ((b"abc", 0, TypeError), ([b"abc", 1], 0, TypeError), ([], "1", TypeError)):
        with pytest.raises(error):
            load_composite(parts, below)  # type: ignore[arg-type]


def test_consolidating_is_the_one_structural_copy() -> None:
    b = stock()
    before, kept = b.freeze(), addresses(b)
    refused = refuses(b, b.consolidate, CopyForbidden)
    assert (refused.reason, refused.nbytes) == ("consolidate", 12)
    with copy_audit() as audit:
        b.consolidate(1, 6)
    assert audit.by_reason == {"consolidate": 5}
    assert contents(b) == [b"a", b"bcdef", b"g", b"h", b"ijkl"]
    assert (addresses(b)[:1], addresses(b)[6:]) == (kept[:1], kept[6:])
    with copy_audit() as audit:
        b.consolidate(7)
        b.consolidate()
        b.consolidate()
    assert audit.by_reason == {"consolidate": 5 + 12}
    assert (contents(b), b.is_contiguous) == ([b"abcdefghijkl"], True)
    assert addresses(before) == kept


def test_a_range_without_a_seam_is_not_consolidated() -> None:
    b = stock()
    parts, changes = contents(b), b._changes()
    with no_copy():
        for start, stop in [(0, 0), (0, 3), (1, 2), (7, 8), (8, None), (12, None), (12, 12)]:
            b.consolidate(start, stop)
    assert (contents(b), b._changes()) == (parts, changes)


def test_compacting_says_how_much_it_let_go_of() -> None:
    large, memory = bytes(range(256)) * 8, bytearray(3000)
    b = CompositeBuffer([large[:1] * 600, hidden(b"ab"), memoryview(large)[5:9], memory])
    b.truncate(610)
    frozen = b.freeze()
    assert b.pinned_nbytes == 600 + 8 + 2048 + 3000
    with copy_audit() as audit:
        freed = b.compact()
    assert (freed, audit.by_reason) == (2048 + 3000 - 8, {"compact": 8})
    assert b.pinned_nbytes == 600 + 8 + 8
    assert contents(b) == [bytes(600), b"ab", large[5:9] + bytes(4)]
    assert b.compact() == 0
    assert frozen.pinned_nbytes == 600 + 8 + 2048 + 3000
    assert b == frozen


def test_compacting_may_be_refused_and_then_changes_nothing() -> None:
    b = CompositeBuffer([memoryview(bytes(5000))[7:9], b"x"])
    refuses(b, b.compact, CopyForbidden)
    with no_copy():
        assert CompositeBuffer([SliceBuffer(anonymous_map(bytes(5000)), 1, 2), FakeFile(bytes(5000))]).compact() == 0


# -- packed values -------------------------------------------------------------------------------------------


def test_packed_values_are_appended_and_share_a_block() -> None:
    b = CompositeBuffer([b"head"])
    with no_copy(strict=True):
        b.pack(">HB", 0x4142, 0x43)
        view = b[4:].view()
        b.pack(struct.Struct("<H"), 0x4544)
        b.pack(b">0s", b"")
        b.pack_uint(0x464748, 3)
        b.pack_uint(1, np.int64(2), "little")
        b.pack_uint(0, 0)
        b.pack_varint(300)
        b.pack_varint(127)
        b.pack_varint(128)
        b.pack_varint(0)
        b.pack_varint(np.uint64(2**64 - 1))
    assert contents(b) == [b"head", b"ABCDEFGH\x01\x00\xac\x02\x7f\x80\x01\x00" + b"\xff" * 9 + b"\x01"]
    assert bytes(view) == b"ABC"
    assert b.readonly


WHOLE: list[tuple[str, int, bool, Literal["big", "little"]]] = [
    (f"{kind}{bits}{suffix}", bits // 8, kind == "i", "little" if suffix == "_le" else "big")
    for kind in "ui"
    for bits in (8, 16, 24, 32, 64)
    for suffix in ("", "_be", "_le")
    if not (suffix and bits == 8)
]


def test_a_refusal_is_a_whole_sentence() -> None:
    b = CompositeBuffer([b"abc"])
    parsed: list[str] = []

    def fn(_: Reader) -> bool:
        with pytest.raises(RuntimeError) as caught:
            b.skip(1)
        parsed.append(str(caught.value))
        return True

    b.parse(fn, limit=9)
    assert parsed[0] == "the buffer is being parsed: the parser may read it, but not change or parse it"
    sentences: list[tuple[Callable[[], object], str]] = [
        (
            lambda: b.extend(b"abc"),  # type: ignore[arg-type]
            "several parts are wanted, b'abc' is one: write append(part) or CompositeBuffer([part])",
        ),
        (lambda: b.truncate(4), "3 bytes cannot be truncated to 4"),
    ]
    if not COMPILED:
        sentences.append((lambda: b.pack_text(7), "a str is wanted, not 7: write append(part) for bytes"))  # type: ignore[arg-type]
    for refused, expected in sentences:
        with pytest.raises((TypeError, ValueError)) as caught:
            refused()
        assert str(caught.value) == expected


def test_a_parser_that_returns_nothing_or_later_is_refused_in_words() -> None:
    def generator(_: Reader) -> Iterator[int]:
        yield 1

    for fn, reason in (
        (lambda _: None, "a parser returns its message, and never None"),
        (generator, "a parser is a plain function, no generator and not async"),
    ):
        with pytest.raises(TypeError) as caught:
            CompositeBuffer([b"abc"]).parse(fn, limit=9)
        assert str(caught.value).endswith(f": {reason}")


def test_busy_says_what_is_in_use() -> None:
    b = CompositeBuffer([b"abc"])
    b._locked = True
    with pytest.raises(Busy) as caught:
        b.skip(1)
    assert caught.value.what == "the buffer"
    b._locked = False


def test_bytes_that_are_taken_are_counted_by_that_name() -> None:
    for parts in ([b"abcdef"], [b"abc", b"def"], [bytearray(b"abcdef")]):
        b = CompositeBuffer(parts)
        with copy_audit() as audit:
            assert b.take_bytes(4) == b"abcd"
        assert audit.by_reason == {"take_bytes": 4}
        with copy_audit() as audit:
            assert b.take_bytes(0) == b""
        assert audit.count == 0


def test_numbers_are_packed_by_the_names_that_they_are_read_by() -> None:
    for name, size, signed, order in WHOLE:
        low, high = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
        b = CompositeBuffer([b"head"])
        pack = getattr(b, f"pack_{name}")
        numbers: list[Any] = [low, high, 1, high // 3, np.int8(5)]
        with no_copy(strict=True):
            for number in numbers:
                pack(number)
        assert contents(b) == [b"head", b"".join([int(n).to_bytes(size, order, signed=signed) for n in numbers])]
        r = b[4:].reader()
        assert [getattr(r, name)() for _ in numbers] == numbers
        for wrong, error in ((low - 1, ValueError), (high + 1, ValueError), (2**70, ValueError), (1.0, TypeError)):
            refuses(b, lambda: pack(wrong), error)  # noqa: B023  # called at once
        refuses(b, lambda: pack("1"), TypeError)  # noqa: B023


def test_floats_are_packed_by_the_names_that_they_are_read_by() -> None:
    for (bits, code), (suffix, mark) in product([(32, "f"), (64, "d")], [("", ">"), ("_be", ">"), ("_le", "<")]):
        b = CompositeBuffer([b"head"])
        pack = getattr(b, f"pack_f{bits}{suffix}")
        numbers = [0.5, -2, float("inf"), np.float32(1.25), 1e-3]
        for number in numbers:
            pack(number)
        assert b[4:] == struct.pack(f"{mark}5{code}", *numbers)
        refuses(b, lambda: pack("1.0"), TypeError, "a number is wanted")  # noqa: B023
        refuses(b, lambda: pack(10**400), ValueError, f"does not fit into {bits} bits")  # noqa: B023


def test_text_is_packed_as_it_is_encoded() -> None:
    b = CompositeBuffer([b"head"])
    with no_copy(strict=True):
        b.pack_text("naïve ")
        b.pack_text("naïve ", "latin-1")
        b.pack_text("")
        b.pack_text("€" * 1000, encoding="utf-16-le")
    assert b == b"head" + "naïve ".encode() + "naïve ".encode("latin-1") + ("€" * 1000).encode("utf-16-le")
    refuses(b, lambda: b.pack_text("€", "latin-1"), UnicodeEncodeError)
    refuses(b, lambda: b.pack_text("€", "no such encoding"), LookupError)
    refuses(b, lambda: b.pack_text(b"x"), TypeError, "" if COMPILED else "write append(part) for bytes")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 20_000])
def test_a_varint_of_a_length_is_put_in_when_that_is_known(size: int) -> None:
    b = CompositeBuffer([b"head"])
    at = len(b)
    b.append(b"x" * size)
    b.insert_varint(at, len(b) - at)
    framed = CompositeBuffer([b"head"])
    framed.pack_varint(size)
    framed.append(b"x" * size)
    assert b == framed
    b._check()
    r = b[at:].reader()
    assert r.varint(minimal=True) == r.remaining == size
    refuses(b, lambda: b.insert_varint(len(b) + 1, 1), IndexError)
    refuses(b, lambda: b.insert_varint(0, -1), ValueError)
    refuses(b, lambda: b.insert_varint(0, 2**64), ValueError)


def test_packing_much_needs_more_than_a_block() -> None:
    b = CompositeBuffer(coalesce_below=4)
    views = []
    for i in range(3000):
        b.pack(">I", i)
        views.append(b[-4:].view())
    b.pack(">5000s", b"x" * 5000)
    assert b.part_count <= 5
    assert [bytes(view) for view in views] == [struct.pack(">I", i) for i in range(3000)]
    assert b[12000:] == b"x" * 5000


def test_what_cannot_be_packed_is_not() -> None:  # defects.md O20
    b: Any = stock()
    calls: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: b.pack("H", 1), ValueError),
        (lambda: b.pack(">H", 65536), struct.error),
        (lambda: b.pack(">H"), struct.error),
        (lambda: b.pack_varint(-1), ValueError),
        (lambda: b.pack_varint(2**64), ValueError),
        (lambda: b.pack_varint(1.0), TypeError),
        (lambda: b.pack_uint(-1, 2), ValueError),
        (lambda: b.pack_uint(65536, 2), ValueError),
        (lambda: b.pack_uint(1, -2), ValueError),
        (lambda: b.pack_uint(1, 0), ValueError),
        (lambda: b.pack_uint(1.0, 2), TypeError),
        (lambda: b.pack_uint(1, "2"), TypeError),
        (lambda: b.pack_uint(1, 2, "middle"), ValueError),
    ]
    for call, error in calls:
        refuses(b, call, error)


def test_headers_that_are_packed_grow_to_64_bytes_and_what_follows_goes_to_a_block() -> None:
    b = CompositeBuffer()
    for i in range(6):
        b.pack("10s", b"%d" % i)
        assert b.part_count == 1
    b.pack("4s", b"last")
    assert b.part_count == 1
    b.pack("B", 1)
    assert b.part_count == 2
    b.pack("10s", b"x")
    assert b.part_count == 2
    assert len(b) == 75


# -- a place that is filled later ----------------------------------------------------------------------------


def test_a_reserved_place_is_filled_later_wherever_its_bytes_are() -> None:
    b = CompositeBuffer([b"magic"])
    with no_copy(strict=True):
        length = b.reserve(4)
        b.append(b"body")
        taken = b.take(7)
        shown = b[:2]
        length[:] = b"1234"
    assert values(taken, shown, b) == [b"magic12", b"34", b"34body"]
    assert taken.readonly
    assert shown.readonly


def test_nothing_moves_a_place_that_somebody_may_still_fill() -> None:
    for keep in (lambda view: view, lambda view: view[1:3], lambda view: memoryview(view).cast("H")):
        b = CompositeBuffer([b"ab", b"cd"])
        held: Any = keep(b.reserve(4))
        b.extend([b"ef", b"gh"])
        b.consolidate()
        assert contents(b) == [b"abcd", bytes(4), b"efgh"]
        held[0] = held[0] + 1
        assert b[4:8] != bytes(4)
        b.consolidate(5)
        b.consolidate(0, 7)
        assert [len(part) for part in contents(b)] == [4, 4, 4]
        held.release()
        del held
        b.consolidate()
        assert b.part_count == 1
        b._check()


def test_a_large_place_is_not_compacted_away_while_it_may_be_filled() -> None:
    b = CompositeBuffer()
    view: Any = b.reserve(2000)
    b.skip(1990)
    assert b.compact() == 0
    view[1990:] = b"0123456789"
    assert b == b"0123456789"
    del view
    gc.collect()
    assert b.compact() == 1990
    assert values(b, b.pinned_nbytes) == [b"0123456789", 10]


def test_a_range_that_cuts_a_reserved_place_is_put_together_again() -> None:
    for start, stop in [(0, None), (1, None), (4, None), (6, None), (0, 6), (5, 7), (1, 11)]:
        b = CompositeBuffer([b"abcd"])
        view = b.reserve(4)
        b.extend([b"ef", b"gh"])
        b.consolidate(start, stop)
        b._check()
        view[:] = b"1234"
        assert b == b"abcd1234efgh"


def test_no_bytes_may_be_reserved() -> None:
    b = stock()
    assert b.reserve(0).nbytes == 0
    assert b == b"abcdefghijkl"


# -- parsing -------------------------------------------------------------------------------------------------


def message(r: Reader) -> bytes:
    return r.take_bytes(r.u8())


def test_a_message_is_taken_wholly_or_not_at_all() -> None:
    b = CompositeBuffer([b"\x03ab", b"c\x02d"])
    assert b.parse(message, limit=10) == b"abc"
    assert b.parse(message, limit=10) is None
    assert b == b"\x02d"
    b.append(b"e\x00")
    assert b.parse(message, limit=10) == b"de"
    assert b.parse(message, limit=10) == b""
    assert b.parse(message, limit=10) is None
    assert len(b) == 0


def test_a_parser_does_not_run_again_before_what_it_wanted_has_come() -> None:
    runs = []

    def counted(r: Reader) -> bytes:
        runs.append(len(b))
        return message(r)

    b = CompositeBuffer()
    for byte in b"\x05hello\x01":
        answer = b.parse(counted, limit=10)
        assert answer is None
        b.append(bytes([byte]))
        if len(b) == 6:
            assert b.parse(counted, limit=10) == b"hello"
    assert runs == [1, 6], "never on a buffer that is empty"


def test_a_parser_that_waits_for_a_separator_runs_again_when_it_has_come() -> None:
    runs = []

    def line(r: Reader) -> bytes:
        runs.append(len(b))
        return bytes(r.until(b"\r\n", limit=6))

    b = CompositeBuffer()
    for byte in b"hello\r\nw":
        assert b.parse(line, limit=10) is None
        b.append(bytes([byte]))
        if len(b) == 7:
            assert b.parse(line, limit=10) == b"hello"
    assert runs == [1, 7]
    b.append(b"orld!!!")
    refuses(b, lambda: b.parse(line, limit=10), LimitExceeded)


def test_a_smaller_limit_counts_at_once_and_a_sufficient_one_runs_nothing() -> None:
    runs = []

    def number(r: Reader) -> int:
        runs.append("number")
        return r.u32()

    b = CompositeBuffer([b"drained", b"ab"])
    b.skip(7)
    assert b.parse(number, limit=9) is None
    assert b.parse(number, limit=4) is None
    assert b.parse(number, limit=4) is None
    assert len(runs) == 1
    refuses(b, lambda: b.parse(number, limit=3), LimitExceeded)
    b.append(b"cd")
    assert b.parse(number, limit=4) == 0x61626364


def test_a_separator_is_waited_for_exactly_up_to_the_limits() -> None:
    """Within 6 bytes behind the first, and within the whole message's limit; the parser runs when either is passed."""
    runs = []

    def field(r: Reader) -> bytes:
        runs.append(len(b))
        r.skip(1)
        return bytes(r.until(b"\r\n", limit=6))

    for come, limit, exceeded in [(7, 9, False), (7, 8, True), (6, 8, False), (8, 99, True)]:
        b = CompositeBuffer([b"drained", b"x"])
        b.skip(7)
        assert b.parse(field, limit=99) is None
        b.append(b"y" * (come - 1))
        del runs[:]
        if exceeded:
            refuses(b, lambda: b.parse(field, limit=limit), LimitExceeded)  # noqa: B023  # called at once
            assert runs == [come]
        else:
            assert b.parse(field, limit=limit) is None
            assert runs == []
            b.append(b"\r\n")
            assert b.parse(field, limit=limit) == b"y" * (come - 1)


def test_what_was_missing_is_forgotten_by_another_parser_order_or_change() -> None:
    runs = []

    def one(r: Reader) -> int:
        runs.append("one")
        return r.u32()

    def other(r: Reader) -> int:
        runs.append("other")
        return r.u32()

    b = CompositeBuffer([b"ab"])

    def ask(fn: Callable[[Reader], int], order: Literal["big", "little"] = "little") -> None:
        assert b.parse(fn, limit=9, byteorder=order) is None

    ask(one, "big")
    ask(one, "big")
    ask(other, "big")
    ask(other)
    ask(other)
    b.skip(1)
    ask(other)
    b.appendleft(b"x")
    ask(other)
    b.truncate(1)
    ask(other)
    b.append(b"y")
    ask(other)
    assert runs == ["one", "other", "other", "other", "other", "other"]
    refuses(b, lambda: b.parse(other, limit=3, byteorder="little"), LimitExceeded)


def test_a_seek_back_counts() -> None:
    def peeking(r: Reader) -> int:
        value = r.u16()
        r.seek(1)
        return value

    b = CompositeBuffer([b"\x01\x02\x03"])
    assert b.parse(peeking, limit=9) == 0x0102
    assert b == b"\x02\x03"


async def awaitable() -> bytes:
    return b""


@types.coroutine
def old_coroutine() -> Generator[None, None, None]:
    yield


class Awaitable:
    def __await__(self) -> Iterator[None]:
        yield


def test_a_parser_answers_with_a_message() -> None:
    def parser(answer: Callable[[], Any], r: Reader) -> Any:
        r.skip(2)
        return answer()

    answers: list[Callable[[], Any]] = [lambda: None, awaitable, lambda: (x for x in b""), old_coroutine, Awaitable]
    for answer in answers:
        b = stock()
        refuses(b, partial(b.parse, partial(parser, answer), limit=9), TypeError, "a parser ")


def test_any_error_of_a_parser_passes_through_and_drains_nothing() -> None:
    b = stock()

    def wrong(r: Reader) -> bytes:
        r.skip(3)
        raise LookupError("of its own")

    refuses(b, lambda: b.parse(wrong, limit=9), LookupError, "of its own")
    refuses(b, lambda: b.parse(message, limit=-1), ValueError)
    refuses(b, lambda: b.parse(message, limit=1.0), TypeError)  # type: ignore[arg-type]
    refuses(b, lambda: b.parse(message, limit=9, byteorder="middle"), ValueError)  # type: ignore[arg-type]


def test_an_underrun_of_another_reader_can_never_become_right() -> None:
    b = stock()

    def through_a_body(r: Reader) -> int:
        return r.take(2).reader().u32()

    def through_a_child(r: Reader) -> int:
        return r.sub(2).u32()

    def by_hand(r: Reader) -> int:
        raise Underrun(1, 0)

    for parser in (through_a_body, through_a_child, by_hand):
        error = refuses(b, lambda: b.parse(parser, limit=99), FrameError, "can never become right")  # noqa: B023
        assert isinstance(error.__cause__ or error.__context__, Underrun)  # a compiled raise knows no `from`


def test_a_read_beyond_the_limit_is_refused_whether_or_not_the_bytes_are_there() -> None:
    reads: list[Callable[[Reader], object]] = [Reader.u32, lambda r: r.take(99), lambda r: r.unpack(">HH")]
    for b in (stock(), CompositeBuffer([b"ab"])):
        for read in reads:
            refuses(b, lambda: b.parse(read, limit=3), LimitExceeded)  # noqa: B023  # called at once


def test_a_read_that_ends_at_the_limit_is_allowed() -> None:
    b = stock()
    assert b.parse(lambda r: r.take(12), limit=12) == b"abcdefghijkl"


MEDDLING: list[Callable[[CompositeBuffer], object]] = [
    lambda b: b.append(b"x"),
    lambda b: b.append(bytearray(b"x")),
    lambda b: b.extend([b"x"]),
    lambda b: b.appendleft(b"x"),
    lambda b: b.insert(3, b"x"),
    lambda b: b.splice(0, 2),
    lambda b: b.take(1),
    lambda b: b.take_all(),
    lambda b: b.take_bytes(1),
    lambda b: b.take_part(),
    lambda b: b.take_until(b"c", limit=9),
    lambda b: b.take_until(b"x", b"c", limit=9),
    lambda b: b.skip_until(b"c"),
    lambda b: b.insert_varint(1, 1),
    lambda b: b.pack_u8(1),
    lambda b: b.pack_text("x"),
    lambda b: b.skip(1),
    lambda b: b.truncate(2),
    lambda b: b.clear(),
    lambda b: b.pack(">B", 1),
    lambda b: b.pack_varint(1),
    lambda b: b.reserve(1),
    lambda b: b.parse(message, limit=200),
]


@pytest.mark.parametrize("change", MEDDLING, ids=range(len(MEDDLING)))
def test_a_parser_may_not_change_what_it_parses(change: Callable[[CompositeBuffer], object]) -> None:
    b = stock()

    def meddling(r: Reader) -> bytes:
        refuses(b, lambda: change(b), RuntimeError, "the buffer is being parsed")
        return b"done"

    assert b.parse(meddling, limit=9) == b"done"
    assert b == b"abcdefghijkl"
    change(b)


def test_a_reader_is_closed_after_its_parser_and_what_it_took_is_not() -> None:
    taken: list[Any] = []

    def taking(r: Reader) -> int:
        taken.extend([r, r.take(5)])
        return r.u32()

    b = CompositeBuffer([b"abc", b"defg"])
    assert b.parse(taking, limit=20) is None
    with pytest.raises(ValueError, match="the reader is closed"):
        taken[0].u8()
    b.clear()
    assert taken[1] == b"abcde"


def test_a_live_reader_sees_what_is_appended_and_fails_after_any_other_change() -> None:
    changes: list[Callable[[CompositeBuffer], object]] = [
        lambda b: b.skip(1),
        lambda b: b.take(1),
        lambda b: b.take(5),
        lambda b: b.appendleft(b"x"),
        lambda b: b.splice(1, 2),
        lambda b: b.truncate(3),
        lambda b: b.consolidate(),
        lambda b: b.take_until(b"c", limit=9),
        lambda b: b.skip_until(b"c"),
        lambda b: b.take_bytes(4),
        lambda b: b.take_part(),
        lambda b: b.insert_varint(2, 300),
    ]
    for change in changes:
        b = stock()
        r, other = b.reader(), b.reader("little")
        r.skip(12)
        b.append(b"!")
        assert r.u8() == ord("!")
        change(b)
        for reader in (r, other):
            with pytest.raises(RuntimeError, match="changed under its reader"):
                reader.u8()
        assert b.reader().u8() == b[0]


def test_a_separator_that_is_written_over_bytes_already_searched_is_seen() -> None:
    writes: list[Callable[[CompositeBuffer], None]] = [
        lambda b: b.write_at(2, b";"),
        lambda b: b.pack_into(">B", 2, 59),
    ]
    for write in writes:
        b = CompositeBuffer([bytearray(b"abcdef")])
        assert b.take_until(b";", limit=99) is None
        write(b)
        assert b.take_until(b";", limit=99) == b"ab"
        assert b == b"def"


def test_a_number_behind_the_front_is_peeked_at_wherever_it_lies() -> None:
    raw = bytes(range(1, 12))
    for cut in range(len(raw) + 1):
        for kind in (bytes, bytearray):
            b = CompositeBuffer([b"xy", kind(raw[:cut]), raw[cut:]])
            b.skip(2)
            for at in range(4):
                assert b._peek_uint(at, 4, little=False) == int.from_bytes(raw[at : at + 4])
            assert b == raw


@pytest.mark.parametrize(("i", "within", "n"), [(0, 0, 0), (0, 2, 2), (1, 0, 3), (1, 1, 4), (2, 1, 6), (3, 0, 7)])
def test_what_was_sent_is_drained_by_its_place(i: int, within: int, n: int) -> None:
    b = CompositeBuffer([b"abc", b"de", b"fg"])
    reader = b.reader()
    b._drain_to(i, within, n)
    b._check()
    assert b == b"abcdefg"[n:]
    with pytest.raises(RuntimeError, match="changed under its reader"):
        reader.u8()


def test_a_reserved_place_stays_where_it_is_also_in_parts_made_of_views_of_it() -> None:
    b = CompositeBuffer()
    view = b.reserve(8)
    halves: list[list[Part]] = [[view.toreadonly()[:4], b[4:8]], [b[:4], view[4:]], [view.toreadonly()], [b[:]]]
    for parts in halves:
        shown = CompositeBuffer(parts)
        shown.append(b"tail")
        shown.consolidate()
        shown.compact()
        view[5] += 1
        assert shown == bytes(view) + b"tail"


def test_a_number_that_goes_on_in_the_next_part_is_not_read_on_in_the_memory_of_the_first() -> None:
    for first in (memoryview(bytearray(b"--ab--"))[2:4], memoryview(b"--ab--")[2:4], b"ab"):
        b = CompositeBuffer([b"gone", first, b"cdef"])
        b.skip(4)
        for at in range(3):
            for size in (1, 2, 3, 4):
                for little in (False, True):
                    expected = int.from_bytes(b"abcdef"[at : at + size], "little" if little else "big")
                    assert b._peek_uint(at, size, little=little) == expected
        assert b.reader().u32() == int.from_bytes(b"abcd", "big")


def test_a_reader_of_an_empty_buffer_reads_what_is_appended() -> None:
    for part in (b"abc", bytearray(b"abc"), CompositeBuffer([b"a", b"bc"])):
        b = CompositeBuffer([b"gone"])
        b.skip(4)
        reader = b.reader()
        with pytest.raises(Underrun):
            reader.u8()
        b.append(part)
        assert reader.u16() == 0x6162
        assert reader.remaining == 1


# -- what is written to bytes that were looked at --------------------------------------------------------------


ASKING: dict[str, Callable[[CompositeBuffer], object]] = {
    "take_until": lambda b: b.take_until(b";", limit=100),
    "parse": lambda b: b.parse(_until_semicolon, limit=200),
}


def _until_semicolon(reader: Reader) -> SliceBuffer:
    return reader.until(b";", limit=100)


@pytest.mark.parametrize("ask", ASKING)
@pytest.mark.parametrize("how", ["another buffer", "a slice of it", "a slice taken before", "packed"])
def test_a_separator_written_through_any_buffer_is_seen(how: str, ask: str) -> None:
    memory = bytearray(b"aaaaaaaaaa")
    b = CompositeBuffer([b"bb", memory])
    before = b[2:]
    other = CompositeBuffer([memory])
    assert ASKING[ask](b) is None
    writers: dict[str, Callable[[], object]] = {
        "another buffer": lambda: other.write_at(3, b";"),
        "a slice of it": lambda: b[4:].write_at(1, b";"),
        "a slice taken before": lambda: before.write_at(3, b";"),
        "packed": lambda: other.pack_into(">B", 3, ord(";")),
    }
    writers[how]()
    assert ASKING[ask](b) == b"bbaaa"


def test_writing_elsewhere_makes_nobody_look_again_at_bytes() -> None:
    """They cannot be written to: so the work stays linear whatever the rest of the process writes."""
    b, other = CompositeBuffer(), CompositeBuffer([bytearray(8)])
    b.append(b"x" * 100)
    assert b.take_until(b";", limit=1000) is None
    looks = b._looks
    other.write_at(0, b";")
    assert b.take_until(b";", limit=1000) is None
    assert b._looks is looks


def test_a_second_init_changes_nothing_be_it_inside_a_parser() -> None:
    b = CompositeBuffer([b"abcdef"])

    def parser(r: Reader) -> SliceBuffer:
        b.__init__([b"ZZZZZZZZ"])
        return r.take(3)

    assert b.parse(parser, limit=10) == b"abc"
    b.__init__([b"other"])
    assert bytes(b) == b"def"


@pytest.mark.parametrize("limit", [0, 3, 4, 5, 99])
def test_a_separator_in_the_first_part_is_found_at_once(limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not COMPILED:
            patch.setattr("bytebufs.composite_buffer.COMPILED", True)  # as always there: no constant to set
        for parts in ([b"xabcd;ef;g"], [b"xabc", b"d;ef;g"], [b"xabcd", b";ef;g"], [hidden(b"xabcd;ef;g")], [b"x"]):
            for keepends in (False, True):
                b = CompositeBuffer(parts)
                b.skip(1)
                taken: Any = None
                if limit < 4 and len(parts[-1]) > 1:
                    with pytest.raises(LimitExceeded):
                        b.take_until(b";", limit=limit, keepends=keepends)
                    assert b.skip_until(b";")
                elif b:
                    taken = b.take_until(b";", limit=limit, keepends=keepends)
                    assert taken == (b"abcd;" if keepends else b"abcd")
                assert b == (b"ef;g" if len(parts[-1]) > 1 else b"")
                assert b.take_until(b";", limit=9) == (b"ef" if b"ef;g" in b"".join(parts) else None)
                assert b.take_until(b";", limit=9) is None


def test_a_range_in_one_part_is_joined_already() -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not COMPILED:
            patch.setattr("bytebufs.composite_buffer.COMPILED", True)  # as always there: no constant to set
        b = CompositeBuffer([b"abc", b"de", b"fgh"])
        slices = b.reader()
        for start, stop in ((0, 0), (0, 3), (1, 2), (3, 5), (5, 8), (8, 8)):
            b.consolidate(start, stop)
        assert slices.take_bytes(8) == b"abcdefgh", "nothing has changed under its reader"
        with pytest.raises(IndexError):
            b.consolidate(0, 9)
        b.consolidate(2, 4)
        assert [bytes(view) for view in b.views()] == [b"ab", b"cd", b"e", b"fgh"]
        assert b == b"abcdefgh"


@pytest.mark.parametrize(
    "read", [CompositeBuffer.first, CompositeBuffer.freeze, CompositeBuffer.views], ids=["first", "freeze", "views"]
)
def test_a_read_leaves_the_lock_of_another_thread_to_it(read: Callable[[CompositeBuffer], object]) -> None:
    b = CompositeBuffer([b"abc", b"de"])
    b._locked = True
    read(b)
    assert b._locked
    table, b._index = b._index, Table([], [], 0)  # as if that thread were exchanging it
    with pytest.raises((IndexError, RuntimeError)):
        read(b)
    assert b._locked
    with pytest.raises(Busy, match=r"^the buffer is in use$"):
        b.append(b"f")
    b._index = table
    b._locked = False
    b.append(b"f")
    assert bytes(b) == b"abcdef"


def test_errors_of_parsing_say_what_was_wrong() -> None:
    def nothing(r: Reader) -> None:
        r.u8()

    async def later(r: Reader) -> int:
        return r.u8()

    def changing(r: Reader) -> bytes:
        b.skip(1)
        return r.take_bytes(1)

    b = CompositeBuffer([b"abc"])
    with pytest.raises(TypeError, match=r"^<function .*> returned None: a parser returns its message, and never None$"):
        b.parse(nothing, limit=9)
    with pytest.raises(TypeError, match=r"^<function .*> returned <coroutine .*>: a parser is a plain function, no"):
        b.parse(later, limit=9)
    with pytest.raises(RuntimeError):
        b.parse(changing, limit=9)
    for read, missing in (
        (lambda r: r.sub(2).until(b"zz", limit=9), r"until b'zz'|b'zz'"),
        (lambda r: r.sub(2).u32(), r"4"),
    ):
        with pytest.raises(FrameError, match=missing):
            b.parse(read, limit=9)
    assert b == b"abc"


def test_lengths_are_found_in_whatever_order_and_wherever_they_are_cut() -> None:
    for little in (False, True):
        header = (5).to_bytes(4, "little" if little else "big")
        for data in (bytes, bytearray):
            for cut in range(5):
                framer = LengthPrefixed(4, byteorder="little" if little else "big", limit=99)
                stream = b"-" + header + b"frame" + header + b"other"
                for parts in (stream[1:], SliceBuffer(data(stream))[1:]):
                    fed = list(framer.feed(parts[:cut])) + list(framer.feed(parts[cut:]))
                    assert fed == [b"frame", b"other"]


def test_a_copy_of_all_is_counted_as_what_it_is_made_for() -> None:
    for n in (100, 100_000):
        b = CompositeBuffer([bytes(n), bytes(n)])
        for copy_all, reason in ((b.tobytes, "tobytes"), (partial(bytes, b), "bytes")):
            with copy_audit() as audit:
                assert copy_all() == bytes(2 * n)
            assert audit.by_reason == {reason: 2 * n}
