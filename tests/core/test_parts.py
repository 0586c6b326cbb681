"""What becomes a part, whose memory it shows and pins, and which parts merge."""

from __future__ import annotations

import array
import ctypes
import io
import itertools
import mmap
import pickle
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs._core.audit import copy_audit, no_copy
from bytebufs._core.foreign import BLOCK
from bytebufs._core.memory import NATIVE, same
from bytebufs._core.parts import (
    Block,
    Entry,
    LazyOwner,
    Memory,
    Run,
    byte_view,
    clip,
    entry_of,
    has_buffer,
    int_of,
    is_reserved,
    is_writable,
    join,
    lent,
    lent_view,
    make_entry,
    memory_view,
    merged,
    note_write,
    owner_view,
    pour,
    searcher_of,
    shown,
    size_of,
    written,
    zeros,
)
from bytebufs.errors import CopyForbidden

by_ctypes = pytest.mark.skipif(
    NATIVE, reason="about the ctypes calls of _core/foreign.py, which the compiled build, with _native.c, does not make"
)


class OwnBytes(bytes):
    """A subclass may search in ways of its own, so it is never searched through itself."""

    def find(self, *args: Any) -> int:
        raise AssertionError("asked a subclass")


class OwnByteArray(bytearray):
    pass


class OwnMap(mmap.mmap):
    pass


class Point(ctypes.BigEndianStructure):
    _fields_: ClassVar = [("x", ctypes.c_uint16), ("y", ctypes.c_uint8)]  # type: ignore[mutable-override]


class Lazy(LazyOwner):
    """A fake range of a file that counts how often somebody looks at it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data))
        self.memory = Memory(data, memoryview(data), data)
        self.looks = 0

    def _look(self) -> Memory:
        self.looks += 1
        return self.memory


def mapped(data: bytes, kind: type[mmap.mmap] = mmap.mmap) -> mmap.mmap:
    memory = kind(-1, len(data))
    memory[:] = data
    return memory


def memory_without_an_owner(data: bytes) -> memoryview:
    """Return a memoryview whose `obj` is None, as C code makes them."""
    make = ctypes.pythonapi.PyMemoryView_FromMemory
    make.argtypes = (ctypes.c_char_p, ctypes.c_ssize_t, ctypes.c_int)
    make.restype = ctypes.py_object
    readable = 0x100  # PyBUF_READ
    view: memoryview = make(data, len(data), readable)
    return view


def view_of(obj: Any) -> memoryview:
    """Return a memoryview, also of what the oldest typeshed does not know to have a buffer."""
    return memoryview(obj)


def entry(obj: Any) -> Entry:
    found = entry_of(obj)
    assert found is not None
    return found


def run(obj: Any) -> Run:
    found = entry_of(obj)
    assert isinstance(found, Run)
    return found


def memory(obj: Any) -> Memory:
    owner = run(obj).owner
    assert isinstance(owner, Memory)
    return owner


def searcher(part: Run) -> Any:
    owner = part.owner
    assert not isinstance(owner, LazyOwner)
    return owner if isinstance(owner, bytes) else owner.finder


def holder_of(obj: Any) -> Any:
    return memory(obj).holder


def content(part: Entry) -> bytes:
    return bytes(memory_view(part))


# -- what may be a part --------------------------------------------------------------------------------------

ABC = b"abcdef"
KEPT = b"kept alive by the module"

# defects.md O7
WHOLE: dict[str, tuple[Callable[[], Any], bytes]] = {
    "bytes": (lambda: ABC, ABC),
    "bytes subclass": (lambda: OwnBytes(ABC), ABC),
    "bytearray": (lambda: bytearray(ABC), ABC),
    "bytearray subclass": (lambda: OwnByteArray(ABC), ABC),
    "array of bytes": (lambda: array.array("B", ABC), ABC),
    "array of words": (lambda: array.array("H", [1, 0x203]), struct.pack("=2H", 1, 0x203)),
    "array of doubles": (lambda: array.array("d", [1.5]), struct.pack("=d", 1.5)),
    "mmap": (lambda: mapped(ABC), ABC),
    "mmap subclass": (lambda: mapped(ABC, OwnMap), ABC),
    "memoryview": (lambda: memoryview(ABC), ABC),
    "memoryview of a memoryview": (lambda: memoryview(memoryview(bytearray(ABC))), ABC),
    "read-only memoryview": (lambda: memoryview(bytearray(ABC)).toreadonly(), ABC),
    "chars": (lambda: memoryview(bytearray(ABC)).cast("c"), ABC),
    "signed bytes": (lambda: memoryview(ABC).cast("b"), ABC),
    "words": (lambda: memoryview(bytearray(ABC)).cast("H"), ABC),
    "two dimensions": (lambda: memoryview(ABC).cast("B", [2, 3]), ABC),
    "three dimensions of words": (lambda: memoryview(ABC * 4).cast("B").cast("H", [2, 3, 2]), ABC * 4),
    "no dimension": (lambda: memoryview(b"abcd").cast("I", []), b"abcd"),
    "step of one": (lambda: memoryview(ABC)[1:5:1], b"bcde"),
    "backwards, but of one byte": (lambda: memoryview(ABC)[2:1:-1], b"c"),
    "BytesIO": (lambda: io.BytesIO(ABC).getbuffer(), ABC),
    "PickleBuffer": (lambda: pickle.PickleBuffer(bytearray(ABC)), ABC),
    "no owner": (lambda: memory_without_an_owner(KEPT), KEPT),
    "ctypes array": (lambda: (ctypes.c_ubyte * 6)(*ABC), ABC),
    "ctypes words": (lambda: (ctypes.c_uint16.__ctype_be__ * 2)(1, 2), b"\0\1\0\2"),
    "ctypes scalar": (lambda: ctypes.c_uint32.__ctype_be__(5), b"\0\0\0\5"),
    "ctypes structure": (lambda: Point(0x102, 3), b"\1\2\3\0"),
    "numpy": (lambda: np.frombuffer(ABC, np.uint8), ABC),
    "numpy piece": (lambda: np.frombuffer(ABC, np.uint8)[2:4], b"cd"),
    "numpy words": (lambda: np.array([1, 2], "=u2"), struct.pack("=2H", 1, 2)),
    "numpy big-endian": (lambda: np.array([1, 2], ">u4"), struct.pack(">2I", 1, 2)),
    "numpy big-endian piece": (lambda: view_of(np.array([1, 2, 3], ">u4"))[1:], struct.pack(">2I", 2, 3)),
    "numpy matrix": (lambda: np.arange(6, dtype=np.uint8).reshape(2, 3), bytes(range(6))),
    "numpy big-endian matrix": (lambda: np.arange(4, dtype=">i2").reshape(2, 2), struct.pack(">4h", 0, 1, 2, 3)),
    "numpy column, in both orders": (lambda: np.array([[7], [8]], np.uint8, order="F"), b"\7\x08"),
    "numpy structures": (lambda: np.array([(1, 2)], [("a", ">u2"), ("b", "u1")]), b"\0\1\2"),
    "numpy no dimension": (lambda: np.array(5, ">u2"), b"\0\5"),
    "numpy half floats": (lambda: np.array([1.0], "<f2"), b"\0\x3c"),
    "numpy text": (lambda: np.array(["a"], "<U1"), b"a\0\0\0"),
    "numpy truths": (lambda: np.array([True, False]), b"\1\0"),
    "numpy read-only": (lambda: np.frombuffer(bytes(ABC), ">u2"), ABC),
}
each_kind = pytest.mark.parametrize(("make", "expected"), WHOLE.values(), ids=WHOLE)


@each_kind
def test_any_contiguous_buffer_becomes_a_part_that_shows_its_bytes(make: Callable[[], Any], expected: bytes) -> None:
    with no_copy(strict=True):
        found = entry(make())  # the caller keeps nothing
        view = memory_view(found)
    assert bytes(view) == expected
    assert (view.format, view.ndim, view.itemsize, len(view)) == ("B", 1, 1, len(expected))
    assert len(found) == len(expected)


@each_kind
def test_it_shows_the_memory_itself_and_writes_through_where_that_is_writable(
    make: Callable[[], Any], expected: bytes
) -> None:
    obj = make()
    found = entry(obj)
    assert is_writable(found) == (not memoryview(obj).readonly)
    if is_writable(found):
        memory_view(found)[0] = 0xEE
        assert bytes(memoryview(obj))[0] == 0xEE
    else:
        assert memory_view(found).readonly


@each_kind
def test_what_searches_the_memory_counts_its_bytes_as_the_part_does(make: Callable[[], Any], expected: bytes) -> None:
    found = entry(make())
    owner = found if isinstance(found, bytes) else found.owner
    start = 0 if isinstance(found, bytes) else found.start
    stop = start + len(expected)
    searcher = searcher_of(owner, len(expected))
    if searcher is None:
        assert not NATIVE
        assert isinstance(owner, Memory)
        searcher = owner
    assert searcher.find(expected, start, stop) == searcher.rfind(expected, start, stop) == start
    assert searcher.find(b"not there", start, stop) == searcher.rfind(b"not there", start, stop) == -1
    if isinstance(owner, Memory) and owner.finder is not None:
        assert owner.finder.find(expected, start, stop) == start
        assert len(owner.finder) == len(owner.view)


# defects.md O1
@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        OwnBytes,
        bytearray,
        lambda: memoryview(b""),
        lambda: memoryview(b"abc")[2:2],
        lambda: memoryview(bytearray(4)).cast("I")[:0],
        lambda: array.array("d"),
        ctypes.c_int * 0,
        lambda: np.zeros(0),
        lambda: np.zeros((2, 0, 3)),
        lambda: np.zeros((0, 2), ">i4", order="F"),
        lambda: Lazy(b""),
    ],
    ids=[
        "bytes",
        "bytes subclass",
        "bytearray",
        "memoryview",
        "nothing of something",
        "words",
        "array",
        "ctypes",
        "numpy",
        "zero in the shape",
        "zero in the shape, big-endian",
        "lazy",
    ],
)
def test_what_is_empty_becomes_no_part(make: Callable[[], Any]) -> None:
    assert entry_of(make()) is None


# defects.md O7
@pytest.mark.parametrize(
    "make",
    [
        lambda: memoryview(ABC)[::2],
        lambda: memoryview(ABC)[::-1],
        lambda: memoryview(bytearray(ABC)).cast("H")[::2],
        lambda: np.arange(10)[::3],
        lambda: np.zeros((3, 3))[:, 1],
        lambda: np.zeros((2, 3), order="F"),
        lambda: np.zeros((2, 3), ">i2").T,
        lambda: np.broadcast_to(np.zeros(1), 5),
    ],
    ids=["every second", "backwards", "words", "numpy", "column", "F order", "transposed", "broadcast"],
)
def test_strided_memory_is_refused_with_what_to_write_instead(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"is strided: write view\.tobytes\(\) or numpy\.ascontiguousarray\(a\) first"):
        entry_of(make())


def test_text_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(TypeError, match=r"a str is not bytes: encode it first \('naïve'\.encode\(\)\)"):
        entry_of("naïve")  # type: ignore[arg-type]


def test_a_refusal_shows_what_was_given() -> None:
    with pytest.raises(TypeError, match=r"^a bytes-like object is wanted \(bytes, .*\), not list: \[1, 2\]$"):
        entry_of([1, 2])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^the memory of <memory at 0x[0-9a-f]+> is strided: "):
        entry_of(memoryview(b"abcdef")[::2])


@pytest.mark.parametrize(
    "thing", [None, 7, 1.5, [1, 2], (b"a",), {}, io.BytesIO(b"abc")], ids=lambda t: type(t).__name__
)
def test_what_has_no_buffer_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"a bytes-like object is wanted .*, not {type(thing).__name__}: "):
        entry_of(thing)
    assert not has_buffer(thing)


def test_a_refusal_is_short_however_long_the_thing() -> None:
    with pytest.raises(TypeError) as caught:
        entry_of([0] * 1_000_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_a_released_memoryview_and_a_closed_map_are_refused() -> None:
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released"):
        entry_of(view)
    closed = mapped(ABC)
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        entry_of(closed)


@each_kind
def test_has_buffer_says_yes_to_every_kind(make: Callable[[], Any], expected: bytes) -> None:
    assert has_buffer(make())


def test_has_buffer_says_yes_to_strided_memory_and_no_to_text() -> None:
    assert has_buffer(memoryview(ABC)[::2])
    assert not has_buffer("text")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ methods are from 3.12 on")
def test_an_object_with_a_buffer_method_becomes_a_part() -> None:
    class Exporter:
        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(bytearray(ABC))

    found = entry(Exporter())
    assert content(found) == ABC
    assert is_writable(found)
    assert searcher(run(Exporter())) is None


# -- whose memory it is --------------------------------------------------------------------------------------


def test_a_whole_bytes_object_is_its_own_entry() -> None:
    assert entry_of(ABC) is ABC
    assert entry_of(memoryview(ABC)) is ABC
    assert entry_of(memoryview(memoryview(ABC)[:])) is ABC


@pytest.mark.parametrize("make", [bytes, bytearray, mapped], ids=["bytes", "bytearray", "mmap"])
@given(data=st.data())
def test_a_view_of_a_piece_finds_its_owner_and_its_offset(make: Callable[[bytes], Any], data: st.DataObject) -> None:
    """Through views of views, casts and read-only views: all of it is lost to memoryview, and found again."""
    whole = bytes(range(240))
    holder = make(whole)
    view = memoryview(holder)
    start = 0
    for _ in range(data.draw(st.integers(0, 3))):
        begin = data.draw(st.integers(0, len(view) - 1))
        end = data.draw(st.integers(begin + 1, len(view)))
        view = view[begin:end]
        start += begin
    size = len(view)
    readonly = data.draw(st.booleans()) or isinstance(holder, bytes)
    if readonly:
        view = view.toreadonly()
    shapes: list[Callable[[memoryview], memoryview]] = [lambda v: v, lambda v: v.cast("b")]
    if size % 2 == 0:
        shapes += [lambda v: v.cast("H"), lambda v: v.cast("B", [2, len(v) // 2])]
    found = entry(data.draw(st.sampled_from(shapes))(view))
    # defects.md N19: a read-only view, too, knows where it begins
    assert content(found) == whole[start : start + size]
    assert is_writable(found) == (not readonly)
    if isinstance(holder, bytes):
        assert (found is holder) == (size == len(whole))
        if isinstance(found, Run):
            assert found.owner is holder
            assert (found.start, found.stop) == (start, start + size)
    else:
        assert isinstance(found, Run)
        assert searcher(found) is holder
        assert (found.start, found.stop) == (start, start + size)
        assert len(owner_view(found.owner)) == len(whole), "neighbours can merge with it"


@pytest.mark.parametrize("make", [bytes, bytearray, mapped], ids=["bytes", "bytearray", "mmap"])
def test_a_piece_is_found_at_either_end_and_if_it_is_one_byte(make: Callable[[bytes], Any]) -> None:
    view = memoryview(make(ABC))
    places = [(0, 1), (5, 6), (0, 5), (1, 6)]
    found = [run(view[start:stop]) for start, stop in places]
    assert [(part.start, part.stop) for part in found] == places


def test_an_owner_that_cannot_search_keeps_the_piece_that_was_shown() -> None:
    numbers = array.array("H", [1, 2, 3])
    owner = memory(memoryview(numbers)[1:])
    assert owner.holder is numbers
    assert owner.finder is None
    assert owner.view == memoryview(struct.pack("=2H", 2, 3))


@pytest.mark.parametrize("kind", [OwnBytes, OwnByteArray], ids=lambda kind: kind.__name__)
def test_a_subclass_is_kept_but_not_asked_to_search(kind: Callable[[bytes], Any]) -> None:
    holder: Any = kind(ABC)
    assert holder_of(holder) is holder
    assert memory(holder).finder is None
    assert content(entry(memoryview(holder)[2:4])) == b"cd"


def test_a_map_of_a_file_may_begin_anywhere_in_it() -> None:
    page = mmap.ALLOCATIONGRANULARITY
    with tempfile.TemporaryFile() as file:
        file.write(bytes(page) + b"-the file-")
        file.flush()
        region = mmap.mmap(file.fileno(), 10, offset=page, access=mmap.ACCESS_READ)
        # defects.md O19: positions count from where the map begins, not the file
        found = run(memoryview(region)[5:9])
        assert content(found) == b"file"
        assert (found.start, found.stop) == (5, 9)
        assert not is_writable(found)


def test_memory_without_an_owner_is_held_by_its_view() -> None:
    view = memory_without_an_owner(KEPT)
    nobody: Any = view.obj
    assert nobody is None
    owner = memory(view[5:10])
    assert isinstance(owner.holder, memoryview)
    assert bytes(owner.view) == b"alive"


@by_ctypes
@pytest.mark.parametrize("make", [bytearray, mapped], ids=["bytearray", "mmap"])
def test_without_ctypes_a_piece_is_still_right_but_cannot_search(
    make: Callable[[bytes], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bytebufs._core.foreign._calls", lambda: None)
    holder: Any = make(ABC)
    whole, piece = run(memoryview(holder)), run(memoryview(holder)[2:5])
    assert searcher(whole) is holder, "all of it needs no address"
    assert searcher(piece) is None
    assert content(piece) == b"cde"
    assert is_writable(piece)
    left, right = run(memoryview(holder)[:2]), run(memoryview(holder)[2:])
    assert merged(left, right) is None
    with pytest.raises(BufferError):
        holder.close() if make is mapped else holder.clear()


@by_ctypes
def test_without_ctypes_a_piece_of_bytes_is_still_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs._core.foreign._calls", lambda: None)
    piece = run(memoryview(ABC)[2:5])
    assert content(piece) == b"cde"
    assert holder_of(memoryview(ABC)[2:5]) is ABC
    assert not is_writable(piece)
    assert entry_of(memoryview(ABC)) is ABC


def test_ctypes_is_loaded_only_for_a_view_of_a_piece() -> None:
    """And not even then, where C does it."""
    program = """
import sys
from bytebufs._core.parts import entry_of
for thing in (b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(bytearray(b"abc")).toreadonly()):
    entry_of(thing)
print("ctypes" in sys.modules)
entry_of(memoryview(b"abc")[1:])
print("ctypes" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", str(not NATIVE)]


@by_ctypes
def test_memory_without_a_method_is_searched_where_it_lies_if_it_is_large() -> None:
    large = memory(array.array("B", bytes(BLOCK) + ABC))
    assert searcher_of(large, BLOCK) is large
    assert searcher_of(large, BLOCK - 1) is None
    assert large.find(ABC, 0, BLOCK + 6) == large.rfind(ABC, 0, BLOCK + 6) == BLOCK


@by_ctypes
def test_large_memory_of_which_nobody_tells_where_it_lies_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bytebufs._core.foreign._calls", lambda: None)
    assert searcher_of(memory(array.array("B", bytes(BLOCK))), BLOCK) is None


def test_where_c_does_it_all_memory_is_searched_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    if not NATIVE:
        monkeypatch.setattr("bytebufs._core.parts._NATIVE", True)
    assert searcher_of(ABC, 6) is ABC
    for owner in (memory(bytearray(ABC)), memory(array.array("B", ABC)), memory(memoryview(mapped(ABC))[1:])):
        assert searcher_of(owner, 1) is owner
    lazy = Lazy(ABC)
    assert searcher_of(lazy, 6) is lazy.memory


@by_ctypes
def test_a_piece_of_an_owner_is_told_without_an_error_on_the_way() -> None:
    """Raising and catching costs more than all the rest: no exception is made for what is as it should be."""
    holder = bytearray(ABC)
    things: list[Any] = [
        ABC, holder, mapped(ABC), array.array("B", ABC), memoryview(ABC)[1:], memoryview(holder)[1:3],
        memoryview(holder)[1:3].toreadonly(), memoryview(mapped(ABC))[2:4], memoryview(array.array("B", ABC))[2:],
    ]  # fmt: skip
    raised: list[object] = []

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "exception":
            raised.append(argument)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for thing in things:
            entry_of(thing)
        for thing in ((), [], (b"a",), [b"a"]):
            has_buffer(thing)
    finally:
        sys.settrace(before)
    assert raised == []


# -- pinning -------------------------------------------------------------------------------------------------

# defects.md O18
RESIZES: list[Callable[[bytearray], object]] = [
    lambda b: b.append(0),
    lambda b: b.extend(b"more"),
    lambda b: b.clear(),
    lambda b: b.pop(),
    lambda b: b.__delitem__(slice(1)),
]


@pytest.mark.parametrize("resize", RESIZES, ids=["append", "extend", "clear", "pop", "del"])
@pytest.mark.parametrize(
    "show",
    [lambda b: b, lambda b: memoryview(b)[2:3], lambda b: memoryview(b).toreadonly()],
    ids=["all", "piece", "read-only"],
)
def test_a_bytearray_cannot_be_resized_while_it_is_shown(
    resize: Callable[[bytearray], object], show: Callable[[bytearray], Any]
) -> None:
    holder = bytearray(ABC)
    found = entry(show(holder))
    expected = content(found)
    with pytest.raises(BufferError):
        resize(holder)
    assert (bytes(holder), content(found)) == (ABC, expected)
    del found
    resize(holder)
    assert bytes(holder) != ABC


@pytest.mark.parametrize(
    "show",
    [lambda m: m, lambda m: memoryview(m)[2:3], lambda m: memoryview(m).toreadonly()],
    ids=["all", "piece", "read-only"],
)
@pytest.mark.parametrize("kind", [mmap.mmap, OwnMap], ids=lambda kind: kind.__name__)
def test_a_map_cannot_be_closed_or_resized_while_it_is_shown(
    show: Callable[[mmap.mmap], Any], kind: type[mmap.mmap]
) -> None:
    holder = mapped(ABC, kind)
    found = entry(show(holder))
    with pytest.raises(BufferError):
        holder.close()
    with pytest.raises(BufferError):
        holder.resize(1000)
    assert content(found)[:1] in {b"a", b"c"}
    del found
    holder.close()
    assert holder.closed


@pytest.mark.parametrize("start", [0, 2], ids=["all", "a piece"])
@pytest.mark.parametrize("make", [bytes, bytearray, mapped, OwnBytes], ids=["bytes", "bytearray", "mmap", "subclass"])
def test_the_caller_may_release_his_memoryview(make: Callable[[bytes], Any], start: int) -> None:
    with memoryview(make(ABC)) as view, view[start:] as piece:
        found = entry(piece)
    assert content(found) == ABC[start:]


def test_the_caller_may_release_a_view_that_had_to_be_cast() -> None:
    numbers = np.array([1, 2, 3], ">u2")
    with view_of(numbers) as view, view[1:] as piece:
        found = entry(piece)
    assert content(found) == b"\0\2\0\3"


def test_a_view_that_was_handed_out_may_be_released_too() -> None:
    found = entry(bytearray(ABC))
    memory_view(found).release()
    assert content(found) == ABC


def test_the_owner_lives_exactly_as_long_as_the_part() -> None:
    numbers = array.array("B", ABC)
    alive = weakref.ref(numbers)
    found = clip(entry(numbers), 1, 3)
    del numbers
    assert alive() is not None
    assert content(found) == b"bc"
    del found
    assert alive() is None


def test_a_change_of_content_shows() -> None:
    holder = bytearray(ABC)
    found = entry(memoryview(holder)[1:3].toreadonly())
    holder[1:3] = b"XY"
    assert content(found) == b"XY"


# -- entries and runs ----------------------------------------------------------------------------------------


def test_the_whole_of_a_bytes_object_is_the_object_and_nothing_else_is() -> None:
    assert make_entry(ABC, 0, 6) is ABC
    for start, stop in [(0, 5), (1, 6), (2, 3)]:
        part = make_entry(ABC, start, stop)
        assert isinstance(part, Run)
        assert (part.owner, part.start, part.stop, len(part)) == (ABC, start, stop, stop - start)
    owner = memory(bytearray(ABC))
    assert isinstance(make_entry(owner, 0, 6), Run)


OWNERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": entry,
    "run of bytes": lambda data: Run(b"<" + data + b">", 1, len(data) + 1),
    "bytearray": lambda data: entry(bytearray(data)),
    "array": lambda data: entry(array.array("B", data)),
    "lazy": lambda data: entry(Lazy(data)),
}


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
@given(data=st.data())
def test_clipping_counts_from_the_entry_and_nests(make: Callable[[bytes], Entry], data: st.DataObject) -> None:
    model = bytes(range(10))
    part = make(model)
    for _ in range(3):
        start = data.draw(st.integers(0, len(model) - 1))
        stop = data.draw(st.integers(start + 1, len(model)))
        clipped = clip(part, start, stop)
        if (start, stop) == (0, len(model)):
            assert clipped is part, "nothing is allocated"
        part, model = clipped, model[start:stop]
        assert content(part) == model
        assert len(part) == len(model)


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
@given(cuts=st.lists(st.integers(1, 9), max_size=5))
def test_what_was_cut_apart_merges_to_one_entry_again(make: Callable[[bytes], Entry], cuts: list[int]) -> None:
    model = bytes(range(10))
    part = make(model)
    edges = sorted({0, 10, *cuts})
    pieces = [clip(part, start, stop) for start, stop in itertools.pairwise(edges)]
    whole = pieces[0]
    for piece in pieces[1:]:
        both = merged(whole, piece)
        assert both is not None
        whole = both
    assert content(whole) == model
    if isinstance(part, bytes):
        assert whole is part
    else:
        assert isinstance(whole, Run)
        assert (whole.owner, whole.start, whole.stop) == (part.owner, part.start, part.stop)


def test_a_gap_an_overlap_or_the_wrong_order_does_not_merge() -> None:
    owner = memory(bytearray(ABC))
    for left, right in [((0, 2), (3, 5)), ((0, 3), (2, 5)), ((3, 6), (0, 3)), ((0, 3), (0, 3)), ((2, 4), (0, 2))]:
        assert merged(Run(owner, *left), Run(owner, *right)) is None
        assert merged(Run(ABC, *left), Run(ABC, *right)) is None


def test_two_whole_bytes_objects_never_merge_even_if_they_are_one() -> None:
    assert merged(ABC, ABC) is None
    assert merged(ABC, Run(ABC, 1, 2)) is None
    assert merged(Run(ABC, 1, 2), ABC) is None


def test_equal_owners_that_are_not_the_same_do_not_merge() -> None:
    twin = bytes(bytearray(ABC))
    assert merged(Run(ABC, 0, 3), Run(twin, 3, 6)) is None
    assert merged(run(memoryview(bytearray(ABC))[:3]), run(memoryview(bytearray(ABC))[3:])) is None
    assert merged(Run(Lazy(ABC), 0, 3), Run(Lazy(ABC), 3, 6)) is None
    assert merged(Run(ABC, 0, 3), run(memoryview(bytearray(ABC))[3:])) is None
    assert merged(run(memoryview(bytearray(ABC))[:3]), Run(Lazy(ABC), 3, 6)) is None


@pytest.mark.parametrize("make", [bytearray, mapped], ids=["bytearray", "mmap"])
def test_two_exports_of_one_memory_merge_if_they_are_equally_writable(make: Callable[[bytes], Any]) -> None:
    view = memoryview(make(ABC))
    for left, right in [(view[:3], view[3:]), (view[:3].toreadonly(), view[3:].toreadonly())]:
        both = merged(run(left), run(right))
        assert both is not None
        assert content(both) == ABC
        assert is_writable(both) == (not left.readonly)
    assert merged(run(view[:3].toreadonly()), run(view[3:])) is None
    assert merged(run(view[:3]), run(view[3:].toreadonly())) is None


def test_neighbours_in_memory_that_cannot_search_do_not_merge() -> None:
    """Two exports of one array may count their bytes from different places."""
    view = memoryview(array.array("B", ABC))
    assert merged(run(view[:3]), run(view[3:])) is None


def test_only_memory_that_is_not_read_only_can_be_written_to() -> None:
    assert is_writable(entry(bytearray(ABC)))
    assert not is_writable(ABC)
    assert not is_writable(Run(ABC, 0, 2))
    assert not is_writable(entry(memoryview(bytearray(ABC)).toreadonly()))
    assert not is_writable(entry(Lazy(ABC)))


# -- owners whose bytes are produced when looked at ----------------------------------------------------------


def test_nobody_looks_at_a_lazy_owner_before_bytes_are_wanted() -> None:
    lazy = Lazy(ABC)
    part = run(lazy)
    left, right = clip(part, 0, 2), clip(clip(part, 1, 6), 1, 5)
    both = merged(left, right)
    assert both is not None
    assert [len(part), len(left), len(right), len(both)] == [6, 2, 4, 6]
    assert not is_writable(part)
    assert isinstance(repr(part), str)
    assert lazy.looks == 0
    assert content(right) == b"cdef"
    assert lazy.looks == 1
    assert searcher_of(lazy, 6) is (lazy.memory if NATIVE else ABC)
    assert bytes(owner_view(lazy)) == ABC
    assert lazy.looks == 3


def test_a_lazy_owner_keeps_where_its_bytes_lie_in_a_file() -> None:
    nowhere, somewhere = LazyOwner(5), LazyOwner(5, fd=3, offset=7, stable=True)
    assert (nowhere._fd, nowhere.offset, nowhere.stable) == (-1, 0, False)
    assert (somewhere._fd, somewhere.offset, somewhere.stable) == (3, 7, True)
    assert entry_of(LazyOwner(0)) is None


def test_a_lazy_owner_has_to_say_how_it_is_looked_at() -> None:
    lazy = LazyOwner(5)
    assert len(entry(lazy)) == 5
    assert lazy._describe() == "LazyOwner of 5"
    with pytest.raises(NotImplementedError):
        lazy._look()


# -- a block -------------------------------------------------------------------------------------------------


def test_a_block_is_filled_from_the_front_and_what_is_in_it_is_one_run() -> None:
    block = Block(10)
    assert block.room == 10
    parts = [block.add(memoryview(piece)) for piece in (b"ab", b"c", b"defgh")]
    assert [content(part) for part in parts] == [b"ab", b"c", b"defgh"]
    assert block.room == 2
    first = merged(parts[0], parts[1])
    assert first is not None
    both = merged(first, parts[2])
    assert both is not None
    assert content(both) == b"abcdefgh"
    assert content(block.add(memoryview(b"ij"))) == b"ij"
    assert block.room == 0


def test_what_a_block_shows_is_held_and_searched_as_the_bytearray_it_is() -> None:
    owner = Block(6).owner
    assert isinstance(owner, Memory)
    assert type(owner.holder) is type(owner.finder) is bytearray
    assert owner.holder is owner.finder


@pytest.mark.parametrize("make", [bytearray, mapped], ids=["bytearray", "mmap"])
def test_memory_that_can_search_is_held_and_searched_as_it_was_given(make: Callable[[bytes], Any]) -> None:
    whole = make(ABC)
    for shown_as in (whole, memoryview(whole)):
        owner = run(shown_as).owner
        assert isinstance(owner, Memory)
        assert owner.holder is owner.finder is whole


def test_what_a_block_shows_is_read_only_and_never_moves() -> None:
    block = Block(6)
    view = memory_view(block.add(memoryview(b"ab")))
    block.add(memoryview(b"cdef"))
    assert view.readonly
    assert bytes(view) == b"ab"


def test_what_goes_on_in_a_block_is_one_run_where_there_is_room() -> None:
    block = Block(8)
    first = block.add(memoryview(b"abc"))
    assert (block.continues(first, 5), block.continues(first, 6)) == (True, False)
    both = block.lengthened(first, b"de")
    assert (bytes(lent_view(both)), bytes(lent_view(first)), block.room) == (b"abcde", b"abc", 3)
    assert not block.continues(first, 1)  # it is not the last any more
    assert block.continues(both, 3)


def test_a_block_takes_a_snapshot() -> None:
    source = bytearray(b"ab")
    part = Block(4).add(memoryview(source))
    source[:] = b"XY"
    assert content(part) == b"ab"


def test_two_blocks_do_not_merge() -> None:
    left, right = Block(2), Block(4)
    right.add(memoryview(b"--"))
    assert merged(left.add(memoryview(b"ab")), right.add(memoryview(b"cd"))) is None


# -- memory that somebody goes on writing to -----------------------------------------------------------------


def own_memory(size: int) -> Memory:
    """Return read-only memory that nobody else refers to, as a composite makes it."""
    return zeros(size)


def test_a_reserved_view_writes_to_what_the_part_shows() -> None:
    owner = own_memory(6)
    part = Run(owner, 2, 6)
    view = owner.reserve()
    assert (len(view), view.readonly, is_writable(part)) == (6, False, False)
    view[:] = ABC
    assert content(part) == b"cdef"


def test_memory_is_reserved_exactly_as_long_as_a_view_lives() -> None:
    owner = own_memory(6)
    part = Run(owner, 2, 6)
    assert not is_reserved(part)
    view = owner.reserve()
    assert is_reserved(part)
    piece = view[1:3].cast("b")
    del view
    assert is_reserved(part), "a view of the view writes there too"
    part, other = Run(owner, 0, 1), memory_view(part)
    assert is_reserved(part)
    del piece
    assert not is_reserved(part), "views of the part itself are read-only"
    assert len(other) == 4


def test_the_mark_lies_with_the_bytes_whoever_shows_them() -> None:
    """Parts made of a view of them are marked, too, and so is what they merge to."""
    view = zeros(6).reserve()
    part = entry(view[2:4])
    assert is_reserved(part)
    assert is_reserved(entry(view.toreadonly()[:2]))
    for both in (merged(entry(view.toreadonly()[:2]), entry(view.toreadonly()[2:])), merged(part, entry(view[4:]))):
        assert both is not None
        assert is_reserved(both)
    view[3] = 65
    assert content(part) == b"\0A"
    del view
    both = None
    assert not is_reserved(part), "nobody else knows of them"


def test_reserved_bytes_are_marked_as_long_as_a_view_lives() -> None:
    owner = zeros(6)
    part = Run(owner, 2, 6)
    assert not is_reserved(part)
    view = owner.reserve()
    piece = view[1:3].cast("b")
    del view
    assert is_reserved(part)
    other = memory_view(part)
    del piece
    assert not is_reserved(part), "views of the part itself are read-only"
    assert len(other) == 4


@by_ctypes
def test_reserved_bytes_that_cannot_be_found_in_their_owner_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    view = zeros(6).reserve()
    monkeypatch.setattr("bytebufs._core.foreign._calls", lambda: None)
    part = entry(view[2:4])
    del view
    assert is_reserved(part)


def test_nothing_else_is_ever_reserved() -> None:
    holder = bytearray(ABC)
    view = memoryview(holder)
    for part in (ABC, Run(ABC, 0, 2), entry(holder), entry(view[2:]), entry(Lazy(ABC)), entry(own_memory(4).view)):
        assert not is_reserved(part)
    assert len(view) == 6


# -- views, copies, numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_each_view_is_a_new_one_of_exactly_the_bytes(make: Callable[[bytes], Entry]) -> None:
    part = make(ABC)
    assert memory_view(part) is not memory_view(part)
    assert content(part) == ABC
    assert content(clip(part, 2, 5)) == b"cde"


def test_a_byte_view_is_an_export_of_our_own() -> None:
    for given_view in (memoryview(bytearray(ABC)), memoryview(bytearray(ABC)).cast("H")):
        view = byte_view(given_view)
        given_view.release()
        assert (bytes(view), view.format, view.ndim) == (ABC, "B", 1)


def test_joining_one_bytes_object_is_no_copy() -> None:
    with no_copy(strict=True):
        assert join("bytes", [ABC]) is ABC
        assert join("compact", []) == b""


@pytest.mark.parametrize(
    "pieces", [[ABC, b"g"], [memoryview(ABC)], [memoryview(bytearray(ABC))[2:], ABC]], ids=["two", "view", "mixed"]
)
def test_joining_anything_else_is_one_copy_of_all_of_it(pieces: Sequence[bytes | memoryview]) -> None:
    expected = b"".join(pieces)
    with copy_audit() as audit:
        assert join("needle", pieces) == expected
    assert audit.by_reason == {"needle": len(expected)}
    assert audit.count == 1
    with no_copy(), pytest.raises(CopyForbidden):
        join("needle", pieces)


@pytest.mark.parametrize("value", [0, 1, 2**31, 2**63, 2**70])
def test_a_size_is_any_number_from_zero_up(value: int) -> None:
    assert size_of(value) == value


def test_a_size_may_come_as_anything_with_an_index() -> None:
    assert size_of(np.int64(5)) == 5
    assert type(size_of(np.uint8(5))) is int


# defects.md O16
@pytest.mark.parametrize("value", [-1, -(2**70), np.int8(-1)], ids=["-1", "huge", "numpy"])
def test_a_negative_size_is_a_value_error_that_shows_it(value: int) -> None:
    with pytest.raises(ValueError, match=f"is not negative: {int(value)}"):
        size_of(value)


@pytest.mark.parametrize("value", [1.0, "1", b"1", None, np.float64(1)], ids=lambda t: type(t).__name__)
def test_what_is_no_whole_number_is_no_size(value: Any) -> None:
    with pytest.raises(TypeError):
        size_of(value)


@pytest.mark.parametrize(
    "thing", [b"x" * 10_000, "x" * 10_000, list(range(10_000)), np.zeros((100, 100))], ids=lambda t: type(t).__name__
)
def test_what_is_shown_in_a_sentence_is_short(thing: object) -> None:
    assert 0 < len(shown(thing)) < 120


def test_what_is_short_is_shown_as_it_is() -> None:
    assert shown(b"abc") == "b'abc'"


def test_every_write_counts() -> None:
    before = written()
    note_write()
    note_write()
    assert written() == before + 2


def test_memory_keeps_its_guard() -> None:
    guard: Callable[[int], None] = list[int]().append
    assert Memory(ABC, memoryview(ABC), ABC, guard).guard is guard
    assert Memory(ABC, memoryview(ABC), ABC).guard is None


def test_memory_knows_its_place() -> None:
    for holder in (bytearray(b"abcdef"), mapped(b"abcdef"), array.array("B", b"abcdef")):
        owner = Memory(holder, memoryview(holder), None)
        place = owner.place()
        assert owner.place() is place
        assert same(place, 1, b"xbcdx", 1, 3)
        assert not same(place, 0, b"xbcdx", 0, 3)


def test_a_view_to_look_at_may_be_the_owner_s_own() -> None:
    owner = bytearray(b"abcdef")
    memory = Memory(owner, memoryview(owner), owner)
    assert lent_view(Run(memory, 0, 6)) is memory.view
    assert bytes(lent_view(Run(memory, 1, 3))) == b"bc"
    assert bytes(lent_view(b"xy")) == b"xy"


def test_an_entry_of_no_bytes_cannot_be_made() -> None:
    """Bounds that hold no more would make one."""
    for owner in (ABC, Memory(ABC, memoryview(ABC), ABC)):
        for start, stop in ((3, 3), (4, 2), (6, 0)):
            with pytest.raises(RuntimeError, match=r"^the buffer changed while it was read$"):
                make_entry(owner, start, stop)
            with pytest.raises(RuntimeError, match="changed while it was read"):
                clip(Run(owner, 0, 5), start, stop)
    assert [len(Run(ABC, 4, stop)) for stop in (0, 4, 5)] == [0, 0, 1]


def test_numbers_become_ints() -> None:
    assert [int_of(value) for value in (-5, True, np.int64(7))] == [-5, 1, 7]
    for wrong in (1.0, "1"):
        with pytest.raises(TypeError):
            int_of(wrong)  # type: ignore[arg-type]


@given(cuts=st.sets(st.integers(1, 11)), seams=st.sets(st.integers(1, 11)))
def test_pieces_are_poured_over_targets_however_both_are_cut(cuts: set[int], seams: set[int]) -> None:
    data, memory = bytes(range(12)), bytearray(12)
    pieces = [data[low:high] for low, high in itertools.pairwise([0, *sorted(cuts), 12])]
    pour([memoryview(memory)[low:high] for low, high in itertools.pairwise([0, *sorted(seams), 12])], pieces)
    assert memory == data


def test_writes_are_counted() -> None:
    before = written()
    note_write()
    assert written() == before + 1


def test_few_bytes_are_lent_as_a_copy_and_more_as_a_view() -> None:
    data = bytes(5000)
    assert type(lent(Run(data, 1, 4097))) is bytes
    view = lent(Run(data, 1, 4098))
    assert type(view) is memoryview
    assert view.obj is data
    memory = entry_of(bytearray(b"abc"))
    assert isinstance(memory, Run)
    assert type(lent(memory)) is memoryview
