"""SliceBuffer: a window that owns what it shows, whatever becomes of what it was cut from."""

from __future__ import annotations

import array
import copy
import gc
import mmap
import os
import pickle
import random
import re
import sys
import threading
import weakref
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bytebufs import (
    COMPILED,
    CompositeBuffer,
    CopyForbidden,
    MappedFile,
    SliceBuffer,
    TruncatedFile,
    copy_audit,
    no_copy,
)
from bytebufs._core.parts import Memory, Run
from bytebufs._core.table import Table
from bytebufs.slice_buffer import _show, cut, load_slice

from .layouts import FakeFile, address, addresses, anonymous_map, chunks, hidden, unaligned_file_map

# -- making one ----------------------------------------------------------------------------------------------


def test_a_slice_shows_one_thing_where_it_lies() -> None:
    owner = bytearray(b"hello, world")
    with no_copy(strict=True):
        b = SliceBuffer(owner, 7)
        assert addresses(b) == list(range(address(owner) + 7, address(owner) + 12))
    assert b == b"world"
    owner[7:12] = b"WORLD"
    assert b == b"WORLD"


def test_every_slice_is_of_the_same_type() -> None:
    b = SliceBuffer(b"abc")
    c = CompositeBuffer([b"abc", b"def"])
    made = [b, b[1:], b[:0], b.strip(), b.toreadonly(), b.compact(), *b.split(b"b"), *b.partition(b"b"), c.freeze()]
    made += [c[1:5], c.take(1), c.take_at_most(9), c.take_all(), SliceBuffer(c)]
    assert {type(x) for x in made} == {SliceBuffer}


@pytest.mark.parametrize(
    ("start", "stop", "shown"),
    [(0, None, b"abcdef"), (2, None, b"cdef"), (2, 4, b"cd"), (6, 6, b""), (0, 0, b""), (True, np.int64(3), b"bc")],
)
def test_bounds_are_counted_from_the_front(start: Any, stop: Any, shown: bytes) -> None:
    for obj in (b"abcdef", bytearray(b"abcdef"), CompositeBuffer([b"abc", b"def"]), SliceBuffer(b"xabcdef", 1)):
        b = SliceBuffer(obj, start, stop)
        assert b == shown
        b._check()


@pytest.mark.parametrize(
    ("start", "stop", "error"),
    [
        (7, None, IndexError),
        (0, 7, IndexError),
        (2**70, None, IndexError),
        (0, 2**70, IndexError),
        (-1, None, ValueError),
        (0, -1, ValueError),
        (3, 2, ValueError),
        (1.0, None, TypeError),
        (0, "2", TypeError),
        (None, None, TypeError),
    ],
)
def test_bounds_do_not_clamp(start: Any, stop: Any, error: type[Exception]) -> None:
    for obj in (b"abcdef", CompositeBuffer([b"abc", b"def"])):
        with pytest.raises(error) as caught:
            SliceBuffer(obj, start, stop)
        assert type(caught.value) is error


@pytest.mark.parametrize("nothing", [b"", bytearray(), memoryview(b""), CompositeBuffer(), FakeFile(b"")])
def test_nothing_makes_an_empty_slice_that_holds_on_to_nothing(nothing: Any) -> None:
    b = SliceBuffer(nothing)
    assert (len(b), b.part_count, b.pinned_nbytes, b.views()) == (0, 0, 0, [])
    b._check()


@pytest.mark.parametrize(
    ("obj", "advice"),
    [
        ("text", "'text'.encode()"),
        (None, "a bytes-like object is wanted"),
        (7, "not int: 7"),
        ([b"ab"], "not list"),
        (memoryview(b"abcd")[::2], "view.tobytes() or numpy.ascontiguousarray(a)"),
        (np.arange(6).reshape(2, 3).T, "numpy.ascontiguousarray(a)"),
    ],
    ids=["str", "None", "int", "list", "strided", "transposed"],
)
def test_what_is_not_bytes_like_is_a_type_error_that_says_what_to_write(obj: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=re.escape(advice)):  # defects.md O7
        SliceBuffer(obj)


@pytest.mark.parametrize(
    "memory",
    [
        array.array("d", [1.5, -2.0]),
        memoryview(array.array("i", [1, 2, 3, 4])).cast("B").cast("i", (2, 2)),
        np.arange(12, dtype=">i4").reshape(3, 4),
        np.array(5.5),
        np.array([(1, 2.0)], dtype=[("a", "<i2"), ("b", ">f8")]),
        np.arange(10, dtype=np.uint8)[3:7],
        memoryview(b"read-only"),
        memoryview(b"abcd")[1:3].cast("c"),
    ],
    ids=["typed", "two dimensions", "big-endian", "no dimension", "structured", "piece", "read-only", "chars"],
)
def test_typed_and_shaped_memory_becomes_bytes_in_place(memory: Any) -> None:  # defects.md O7
    plain = memory.tobytes()
    with no_copy(strict=True):
        b = SliceBuffer(memory)
        assert [view.format for view in b.views()] == ["B"]
        assert address(b.view()) == np.asarray(memory).__array_interface__["data"][0]
    assert b == plain
    assert b.readonly == memoryview(memory).readonly
    assert (len(b), b[1:-1]) == (len(plain), plain[1:-1])


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0)], ids=str)
def test_a_zero_in_a_shape_is_nothing(shape: tuple[int, ...]) -> None:  # defects.md O7
    empty: Any = np.zeros(shape)
    assert len(SliceBuffer(empty)) == 0
    assert CompositeBuffer([empty, b"a"]).part_count == 1


def test_a_view_may_be_released_by_whoever_handed_it_in() -> None:
    owner = bytearray(b"abcdef")
    with memoryview(owner) as whole, whole[1:4] as view:
        b = SliceBuffer(view)
        c = CompositeBuffer([view, whole])
    assert b == b"bcd"
    assert c == b"bcdabcdef"
    with pytest.raises(ValueError, match="released memoryview"):
        SliceBuffer(view)


def test_a_slice_of_a_composite_is_a_snapshot() -> None:
    c = CompositeBuffer([b"abc", b"def"])
    b = SliceBuffer(c, 1, 5)
    c.append(b"ghi")
    c.skip(4)
    assert b == b"bcde"
    assert b.part_count == 2


def test_a_slice_has_no_room_for_anything_else() -> None:
    b: Any = SliceBuffer(b"abc")
    with pytest.raises(AttributeError):
        b.note = 1
    with pytest.raises(TypeError):
        weakref.ref(b)
    assert not hasattr(b, "__dict__")
    shaping = {"append", "appendleft", "extend", "insert", "splice", "take", "skip", "truncate", "clear", "consolidate"}
    assert not shaping & set(dir(b))
    assert copy.copy(b) is b


def test_slices_are_cut_from_one_owner_a_table_or_a_list_of_entries() -> None:
    """The one place where slices come from gives back a single part wherever one is enough."""
    data = b"abcdef"
    table = Table([data, b"gh"], [], 0)
    assert cut(data, 2, 4)._source is data
    assert cut(table, 0, 6)._source is data
    assert cut(table, 3, 3)._source == b""
    assert cut(table, 7, 8) == b"h"
    across = cut(table, 5, 7)
    assert isinstance(across._source, Table)
    assert (across == b"fg", across[1:2]._source) == (True, b"gh")
    assert _show([data])._source is data
    assert _show([]) == b""
    assert _show([b"ab", b"cd"]) == b"abcd"


# -- it owns what it shows -----------------------------------------------------------------------------------

TAIL = bytes(range(65, 75)) + bytes(2000)


def drain_one_by_one(c: CompositeBuffer) -> None:
    while c:
        c.skip(1)


FATES: dict[str, Callable[[CompositeBuffer], object]] = {
    "drained": lambda c: c.skip(len(c)),
    "drained within the slice": lambda c: c.skip(5),
    "drained by one": drain_one_by_one,
    "taken": lambda c: c.take(7),
    "spliced": lambda c: c.splice(2, 9, b"other bytes"),
    "cut out of": lambda c: c.splice(4, 6),
    "prepended to": lambda c: c.appendleft(b"other"),
    "appended to": lambda c: c.extend([b"x"] * 100),
    "extended by its last part": lambda c: c.append(memoryview(TAIL)[3:]),
    "truncated": lambda c: c.truncate(3),
    "cleared": lambda c: c.clear(),
    "consolidated": lambda c: c.consolidate(),
    "compacted": lambda c: c.compact(),
    "put into itself": lambda c: c.insert(4, c),
}


@pytest.mark.parametrize("fate", FATES.values(), ids=FATES)
def test_a_slice_is_not_changed_by_what_becomes_of_its_parent(fate: Callable[[CompositeBuffer], object]) -> None:
    c = CompositeBuffer([b"abc", bytearray(b"def"), hidden(b"ghi"), memoryview(TAIL)[:3]])  # defects.md N4
    pieces = [c[1:11], c[3:6], c.freeze(), c[4:5], c[2:10][1:-1]]
    content = [bytes(piece) for piece in pieces]
    places = [addresses(piece) for piece in pieces]
    fate(c)
    gc.collect()
    for piece, data, where in zip(pieces, content, places, strict=True):
        piece._check()
        assert piece == data
        assert addresses(piece) == where
    c._check()


def test_slices_outlive_everything_they_were_cut_from() -> None:
    owner: Any = array.array("B", b"abcdefgh")
    alive = weakref.ref(owner)
    c = CompositeBuffer([owner, b"xyz"])
    b = c[2:10][1:]
    del owner, c
    gc.collect()
    assert alive() is not None
    assert b == b"defghxy"
    b = b[5:]
    assert alive() is None
    assert b == b"xy"


def test_a_slice_keeps_exactly_the_parts_that_it_spans() -> None:
    owners: list[Any] = [array.array("B", b"abcd") for _ in range(5)]
    alive = [weakref.ref(owner) for owner in owners]
    b = CompositeBuffer(owners).freeze()
    del owners
    assert [ref() is not None for ref in alive] == [True] * 5
    b = b[5:14]
    assert [ref() is not None for ref in alive] == [False, True, True, True, False]
    b = b[3:7]
    assert [ref() is not None for ref in alive] == [False, False, True, False, False]
    assert b == b"abcd"
    b = b[2:2]
    assert [ref() is not None for ref in alive] == [False] * 5


def test_memory_that_is_shown_can_neither_be_resized_nor_closed() -> None:  # defects.md O18
    memory, mapped = bytearray(b"abcd"), anonymous_map(b"efgh")
    c = CompositeBuffer([memory, mapped])
    b = c[2:6]
    c.clear()
    attempts: list[Callable[[], object]] = [lambda: memory.append(1), memory.clear, mapped.close, memory.pop]
    for resize in attempts:
        with pytest.raises(BufferError):
            resize()
    memory[2] = ord("C")
    assert b == b"Cdef"[:1] + b"def"
    del b
    memory.append(ord("e"))
    mapped.close()
    assert (len(memory), mapped.closed) == (5, True)


def test_the_first_to_go_does_not_take_the_memory_with_it() -> None:
    memory = bytearray(b"abcd")
    first, second = SliceBuffer(memory), SliceBuffer(memory)[1:3]
    del first
    with pytest.raises(BufferError):
        memory.pop()
    del second
    memory.pop()


def test_the_name_of_a_map_may_be_dropped() -> None:
    mapped = anonymous_map(b"abcd")
    b = SliceBuffer(mapped, 1)
    del mapped
    gc.collect()
    assert b == b"bcd"


def test_a_file_may_be_mapped_at_an_offset_and_shown_from_any_byte() -> None:  # defects.md O19
    for size in (1, 100, 5000):
        data = bytes(i % 251 for i in range(size))
        b = SliceBuffer(unaligned_file_map(data))
        assert b == data
        assert (b[size - 1], b.find(data[-1:]), b.readonly) == (data[-1], data.find(data[-1:]), True)
        assert b.view().nbytes == size
        assert isinstance(b.view().obj, mmap.mmap)


# -- reading only --------------------------------------------------------------------------------------------


def test_a_read_only_slice_shows_what_others_write() -> None:
    memory = bytearray(b"<abcd>")
    b = SliceBuffer(memory, 1, 5)
    with no_copy(strict=True):
        sealed = b.toreadonly()
        assert addresses(sealed) == addresses(b)  # defects.md N19
    assert sealed.readonly
    assert not b.readonly
    for write in (sealed.write_at, sealed[1:].write_at, CompositeBuffer([sealed]).write_at):
        with pytest.raises(TypeError):
            write(0, b"X")
    with pytest.raises(TypeError):
        sealed.view()[0] = 1
    b.write_at(0, b"X")
    assert sealed == b"Xbcd"


def test_what_is_read_only_already_is_itself() -> None:
    for b in (SliceBuffer(b"abc"), SliceBuffer(b""), CompositeBuffer([b"ab", b"cd"]).freeze()[1:]):
        assert b.toreadonly() is b
    sealed = SliceBuffer(bytearray(b"abc")).toreadonly()
    assert sealed.toreadonly() is sealed


def test_only_what_can_be_written_is_sealed() -> None:
    c = CompositeBuffer([b"ab", array.array("B", b"cd"), FakeFile(b"ef"), anonymous_map(b"gh"), bytearray(b"ij")])
    sealed = c[1:9].toreadonly()
    assert [view.readonly for view in sealed.views()] == [True] * 5
    assert addresses(sealed) == addresses(c)[1:9]
    sealed._check()


def test_a_read_only_slice_of_a_file_that_shrinks_is_not_pickled(tmp_path: Path) -> None:
    """As the slice that it was made of: to touch what is not there any more would end the process."""
    path = tmp_path / "data"
    path.write_bytes(b"x" * 3 * mmap.PAGESIZE)
    with MappedFile(path, access="copy") as mapped:
        b = mapped[mmap.PAGESIZE :]
        sealed = b.toreadonly()
        assert sealed is not b
        assert pickle.loads(pickle.dumps(sealed)) == sealed
        os.truncate(path, mmap.PAGESIZE)
        for shown in (b, sealed):
            with pytest.raises(TruncatedFile, match=str(path)):
                pickle.dumps(shown)
        del b, sealed, shown


def test_neighbours_that_only_differ_in_being_writable_become_one() -> None:
    memory = bytearray(b"abcdef")
    c = CompositeBuffer([memoryview(memory)[:2], memoryview(memory).toreadonly()[2:4], memoryview(memory)[4:]])
    assert c.part_count == 3
    sealed = c.freeze().toreadonly()
    sealed._check()
    assert sealed.part_count == 1
    assert sealed == b"abcdef"


# -- letting go of waste -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shown", "held", "wasted"), [(1, 514, 0), (1, 515, 514), (100, 712, 0), (100, 713, 613)])
def test_an_owner_is_wasted_when_it_holds_more_than_twice_what_is_shown_and_512(
    shown: int, held: int, wasted: int
) -> None:
    for owner in (bytes(held), bytearray(held), array.array("B", bytes(held))):
        b = SliceBuffer(owner, 3, 3 + shown)
        with copy_audit() as audit:
            compact = b.compact()
        assert (compact is b) == (wasted == 0)
        assert compact == b
        assert (b.pinned_nbytes, compact.pinned_nbytes) == (held, held - wasted)
        assert audit.by_reason == ({"compact": shown} if wasted else {})


def test_what_is_shown_of_an_owner_is_added_up() -> None:
    owner = bytes(1000)
    b = CompositeBuffer([memoryview(owner)[:122], b"x", memoryview(owner)[500:622]]).freeze()
    assert b.compact() is b
    assert b[1:].compact() is not b
    assert (b[1:].compact().pinned_nbytes, b[1:].pinned_nbytes) == (244, 1001)


def test_neighbours_that_are_rewritten_become_one_part() -> None:
    one, other, kept = bytes(2000), bytearray(2000), b"kept"
    b = CompositeBuffer([memoryview(one)[5:9], memoryview(other)[5:9], kept, memoryview(one)[:2]]).freeze()
    places = addresses(b)
    compact = b.compact()
    compact._check()
    assert [len(view) for view in compact.views()] == [8, 4, 2]
    assert addresses(compact)[8:12] == places[8:12]
    assert compact == b
    assert compact.pinned_nbytes == 14
    assert addresses(b) == places


def test_maps_and_files_are_never_rewritten() -> None:
    with no_copy():
        for owner in (anonymous_map(bytes(9000)), FakeFile(bytes(9000)), unaligned_file_map(bytes(9000))):
            b = SliceBuffer(owner, 1, 2)
            assert b.compact() is b


def test_a_rewrite_that_is_forbidden_leaves_the_slice() -> None:
    b = SliceBuffer(bytes(5000), 7, 9)
    with no_copy(), pytest.raises(CopyForbidden) as caught:
        b.compact()
    assert (caught.value.reason, caught.value.nbytes) == ("compact", 2)
    assert (len(b), b.pinned_nbytes) == (2, 5000)


def test_compacting_lets_the_owner_go() -> None:
    owner: Any = array.array("B", bytes(5000))
    alive = weakref.ref(owner)
    b = SliceBuffer(owner, 10, 20)
    del owner
    b = b.compact()
    assert alive() is None
    assert b == bytes(10)


# -- many threads read one slice -----------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run some work in several threads that the interpreter switches between as often as it can."""
    failures: list[BaseException] = []
    begin = threading.Barrier(count)

    def guarded(number: int) -> None:
        try:
            begin.wait()
            work(number)
        except BaseException as error:  # noqa: BLE001  # whatever a thread raises fails the test
            failures.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []


def test_many_threads_read_one_slice() -> None:
    """Each jumps about in it, so that the part last touched is never the one that a thread has touched last."""
    kinds: Any = cycle([bytes, bytearray, hidden, bytes, FakeFile])
    data = bytes(random.Random(7).choices(b"abcd", k=900))
    parts: list[Any] = [make(chunk) for make, chunk in zip(kinds, chunks(data, cycle([3, 1, 2])), strict=False)]
    shared = CompositeBuffer([b"<", *parts, b">"]).freeze()[1:-1]

    def read(seed: int) -> None:
        choose = random.Random(seed)
        for _ in range(60):
            i = choose.randrange(890)
            j = i + choose.randrange(2, 60)
            assert (shared[i], bytes(shared[i:j])) == (data[i], data[i:j])
            assert (shared.find(data[i : i + 6], 400), len(shared)) == (data.find(data[i : i + 6], 400), 900)
            assert (shared[i:j].rfind(b"ad"), shared.startswith(data[i:j], i)) == (data[i:j].rfind(b"ad"), True)
            assert shared.unpack_from(">H", i) == (data[i] * 256 + data[i + 1],)

    in_threads(6, read)
    shared._check()


def test_threads_that_read_different_parts_do_not_disturb_one_another() -> None:
    """Each reads the same byte again and again: mostly from the part last touched, unless another came between."""
    shared = CompositeBuffer([bytes([number]) * (number + 1) for number in range(40)]).freeze()
    places = [shared.find(number) for number in range(40)]

    def read(number: int) -> None:
        mine = 5 * number
        place = places[mine] + mine // 2
        for _ in range(8_000):
            assert shared[place] == mine

    in_threads(8, read)
    shared._check()


@pytest.mark.skipif(COMPILED, reason="sets the interpreted build on the way that the compiled one always goes")
def test_slices_that_are_made_by_the_constructor_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs.slice_buffer.COMPILED", True)
    b = CompositeBuffer([b"abc", b"def"])
    assert [bytes(part) for part in (b[1:3], b[2:5], b.take(4))] == [b"bc", b"cde", b"abcd"]


# -- loading; tests/test_pickling.py has more


def test_a_slice_is_loaded_from_a_list_of_parts() -> None:
    memory = bytearray(b"<<memory>>")
    parts = [b"bytes", b"", memoryview(memory)[2:4], memoryview(memory)[4:8], CompositeBuffer([b"ab", b"cd"])]
    load, arguments = SliceBuffer(b"abc")._loader()
    assert (load, arguments) == (load_slice, ())
    with no_copy(strict=True):
        loaded = load_slice(parts)
    loaded._check()
    assert [bytes(view) for view in loaded.views()] == [b"bytes", b"memory", b"ab", b"cd"]
    assert load_slice([]).part_count == 0
    for bad in (None, b"abc", (b"abc",), [1], ["abc"], [b"abc", None]):
        with pytest.raises(TypeError, match=r"a list of its parts|bytes-like|encode it first"):
            load_slice(bad)


def test_a_slice_that_is_made_is_not_made_again() -> None:
    """In both builds a second call of the constructor does nothing."""
    s = SliceBuffer(b"abc")
    s.__init__(b"other")
    assert s == b"abc"
    cut_out = SliceBuffer(bytearray(b"abcdef"))[2:4]
    cut_out.__init__(b"other", 1)
    assert cut_out == b"cd"


def test_what_is_made_read_only_holds_and_searches_the_same_memory() -> None:
    data = bytearray(b"abcdef")
    (sealed,) = SliceBuffer(data, 1, 5).toreadonly()._entries()
    assert isinstance(sealed, Run)
    assert isinstance(sealed.owner, Memory)
    assert sealed.owner.holder is sealed.owner.finder is data
    assert sealed.owner.view.readonly


def test_what_is_cut_from_the_front_ends_where_it_is_told_to() -> None:
    for b in (SliceBuffer(b"abcdef"), CompositeBuffer([bytearray(b"abc"), bytearray(b"def")]).freeze()):
        assert b[:4] == b"abcd"
        assert b.toreadonly() == b"abcdef"
    with pytest.raises(TypeError, match=r"from a list of its parts, not from \(b'abc',\)$"):
        load_slice((b"abc",))
