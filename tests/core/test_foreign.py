"""Memory where it lies: by ctypes and by C the answers are the same, and those of `bytes`; and what is done without."""

from __future__ import annotations

import array
import ctypes
import errno
import mmap
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final, NoReturn

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import COMPILED
from bytebufs._core import foreign, memory
from bytebufs._core.foreign import BLOCK, Pinned, address_of, find, is_searchable, offset_in, place_of, rfind, same

from ..memory import peak_while

WAYS: Final[dict[str, Any]] = {"foreign": foreign}
if memory.NATIVE:
    WAYS["native"] = import_module("bytebufs._core._native")

each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
from_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ methods are from 3.12 on")


def in_a_map(data: bytes) -> mmap.mmap:
    made = mmap.mmap(-1, max(len(data), 1))
    made[: len(data)] = data
    return made


HOLDERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "array": lambda data: array.array("B", data),
    "mmap": in_a_map,
    "ctypes": lambda data: (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
    "numpy": lambda data: np.frombuffer(data, np.uint8),
}


def view_of(holder: Any, start: int = 0, stop: int | None = None) -> memoryview:
    return memoryview(holder).cast("B")[start:stop]


def places_of(way: Any, data: bytes) -> list[Any]:
    """Every kind of place with these bytes; those of views have others before and after them in their owner."""
    views = [view_of(make(b"ab" + data + b"ba"), 2, len(data) + 2) for make in HOLDERS.values()]
    whole = [view_of(bytearray(data)), view_of(bytearray(data)).toreadonly()]
    return [data, *map(way.place_of, [*views, *whole])]


def few_letters(max_size: int = 30) -> st.SearchStrategy[bytes]:
    """Text in which partial, overlapping and periodic matches abound, and one byte that has its highest bit set."""
    return st.lists(st.sampled_from([0, 97, 255]), max_size=max_size).map(bytes)


# -- comparing and searching


@each_way
@given(few_letters(), few_letters(4), st.data())
@example(b"a" * 70 + b"\xff" + b"a" * 70, b"a" * 65, None)
@example(b"ab" * 200, b"ba" * 140, None)
@example(bytes(300), b"\0", None)
def test_it_finds_what_bytes_find(way: Any, text: bytes, needle: bytes, data: st.DataObject | None) -> None:
    start, stop = 0, len(text)
    if data is not None:
        stop = data.draw(st.integers(0, len(text)))
        start = data.draw(st.integers(0, stop))
    for place in places_of(way, text):
        for form in (needle, memoryview(b"ab" + needle + b"ba")[2:-2]):
            assert way.find(place, form, start, stop) == text.find(needle, start, stop)
            assert way.rfind(place, form, start, stop) == text.rfind(needle, start, stop)


def nowhere(data: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Pinned]:
    """Places of which nobody can tell where they lie, to be searched a few bytes at a time."""
    monkeypatch.setattr(foreign, "BLOCK", 4)
    return [Pinned(0, view_of(bytearray(b"ab" + data + b"ba"), 2, len(data) + 2)), Pinned(0, view_of(data))]


@each_way
@pytest.mark.parametrize("by", ["address", "no address"])
def test_much_is_looked_for_and_compared_as_bytes_do(way: Any, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many texts, always the same ones."""
    if by == "no address" and way is not foreign:
        return
    dice = random.Random(7)
    for _ in range(150):
        text = bytes(dice.choices(b"\0aa\xff", k=dice.randrange(dice.choice([4, 12, 40]))))
        start, stop = sorted(dice.choices(range(len(text) + 1), k=2))
        at = dice.randint(start, stop)
        needle = (
            text[at : at + dice.choice([0, 1, 1, 2, 3, 6])] if dice.random() < 0.7 else bytes(dice.choices(b"\0a", k=2))
        )
        places = places_of(way, text) if by == "address" else nowhere(text, monkeypatch)
        for place in places:
            for form in (needle, memoryview(b"ab" + needle + b"ba")[2:-2]):
                assert way.find(place, form, start, stop) == text.find(needle, start, stop)
                assert way.rfind(place, form, start, stop) == text.rfind(needle, start, stop)
        shift = dice.randrange(4)
        other = bytearray(b"xyz"[:shift] + text)
        if text and dice.random() < 0.5:
            other[shift + dice.randrange(len(text))] ^= 1
        n = stop - start
        twins = places_of(way, bytes(other)) if by == "address" else nowhere(bytes(other), monkeypatch)
        for x in places:
            y = dice.choice(twins)
            wanted = text[start:stop] == other[start + shift : stop + shift]
            assert way.same(x, start, y, start + shift, n) == wanted
            assert way.same(y, start + shift, x, start, n) == wanted


@each_way
@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("needle", [b"\n", b"\r\n", b"0123456789" * 30], ids=len)
def test_it_finds_what_is_anywhere_in_much(way: Any, size: int, needle: bytes) -> None:
    ends = size - len(needle)
    for at in {0, 1, BLOCK - 2 * len(needle), BLOCK - 1, BLOCK, ends - 1, ends} & {*range(ends + 1)}:
        text = bytes(at) + needle + bytes(size - at - len(needle))
        place = way.place_of(view_of(array.array("B", text)))
        assert way.find(place, needle, 0, size) == way.rfind(place, needle, 0, size) == at
        assert way.find(place, needle, at + 1, size) == -1
        assert way.rfind(place, needle, 0, at + len(needle) - 1) == -1


@each_way
@given(few_letters(), few_letters(3), few_letters(3), st.data())
def test_the_same_bytes_are_the_same_wherever_they_lie(
    way: Any, text: bytes, before: bytes, after: bytes, data: st.DataObject
) -> None:
    other = before + text + after
    n = data.draw(st.integers(0, len(text)))
    x_at = data.draw(st.integers(0, len(text) - n))
    y_at = data.draw(st.integers(0, len(other) - n))
    expected = text[x_at : x_at + n] == other[y_at : y_at + n]
    for x in places_of(way, text):
        for y in places_of(way, other):
            assert way.same(x, x_at, y, y_at, n) is expected
            assert way.same(y, y_at, x, x_at, n) is expected


@each_way
def test_the_last_of_many_bytes_counts(way: Any) -> None:
    size = 2 * BLOCK + 3
    for x in places_of(way, bytes(size)):
        for y in places_of(way, bytes(size - 1) + b"\x80"):
            assert way.same(x, 0, y, 0, size - 1)
            assert not way.same(x, 0, y, 0, size)


BEYOND: Final[list[tuple[int, int]]] = [(0, 7), (7, 7), (4, 3), (-1, 2), (0, -1), (-3, -2), (0, 2**62), (2**80, 2**81)]


@each_way
@pytest.mark.parametrize(("start", "stop"), BEYOND, ids=str)
def test_nothing_is_looked_at_outside_of_the_memory(way: Any, start: int, stop: int) -> None:
    for place in places_of(way, b"abcdef"):
        for search in (way.find, way.rfind):
            with pytest.raises(IndexError) as caught:
                search(place, b"a", start, stop)
            if way is foreign:
                assert str(caught.value) == f"[{start}:{stop}] does not lie in 6 bytes"
        for x, x_at, y, y_at in ((place, start, bytes(9), 0), (bytes(9), 0, place, start)):
            with pytest.raises(IndexError):
                way.same(x, x_at, y, y_at, stop - start if start != 7 else 1)


@each_way
def test_sizes_that_no_memory_has_do_not_wrap(way: Any) -> None:
    for x_at, y_at, n in ((1, 0, sys.maxsize), (0, 1, sys.maxsize), (sys.maxsize, sys.maxsize, sys.maxsize)):
        with pytest.raises(IndexError):
            way.same(b"abc", x_at, b"abc", y_at, n)


# -- where it lies


@each_way
@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
@given(st.integers(0, 99), st.integers(1, 100))
def test_a_piece_has_its_place_in_the_whole(way: Any, make: Callable[[bytes], Any], start: int, size: int) -> None:
    holder = make(bytes(range(200)))
    piece = view_of(holder, start, start + size)
    assert way.address_of(piece) - way.address_of(holder) == start
    assert way.offset_in(piece, holder) == start
    assert way.offset_in(piece.toreadonly(), holder) == start


@each_way
def test_what_lies_elsewhere_or_is_strided_has_no_place(way: Any) -> None:
    holder = bytearray(100)
    view = memoryview(holder)
    assert way.offset_in(memoryview(bytearray(10)), holder) == -1
    assert way.offset_in(view[::2], holder) == way.offset_in(view[::-1], holder) == -1
    inner: Any = (ctypes.c_char * 50).from_buffer(holder, 50)
    front: Any = (ctypes.c_char * 50).from_buffer(holder)
    outer = memoryview(holder)[40:60]
    assert way.offset_in(view[60:], inner) == 10
    assert way.offset_in(view[30:50], front) == 30
    assert way.offset_in(outer, front) == way.offset_in(view[50:60], front) == -1
    assert way.offset_in(outer, inner) == way.offset_in(view[99:], bytes(10)) == way.offset_in(view, inner) == -1


@each_way
def test_it_is_the_address_that_ctypes_gives(way: Any) -> None:
    holder = (ctypes.c_char * 10)()
    assert way.address_of(holder) == ctypes.addressof(holder)
    assert way.address_of(memoryview(holder)[3:]) == ctypes.addressof(holder) + 3


@each_way
def test_no_memory_at_all_has_the_address_zero(way: Any) -> None:
    make = ctypes.pythonapi.PyMemoryView_FromMemory
    make.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
    make.restype = ctypes.py_object
    readable = 0x100  # PyBUF_READ
    assert way.address_of(make(None, 0, readable)) == 0


# -- what has a buffer


class Failing:
    def __buffer__(self, flags: int) -> memoryview:
        raise TypeError("not today")


def closed_map() -> mmap.mmap:
    made = mmap.mmap(-1, 1)
    made.close()
    return made


def released_view() -> memoryview:
    view = memoryview(b"a")
    view.release()
    return view


@each_way
@pytest.mark.parametrize("thing", ["a", 1, None, (), (b"a",), [], [b"a"], {}, object], ids=repr)
def test_what_has_no_buffer_is_told_without_an_error(way: Any, thing: object) -> None:
    assert way.has_buffer(thing) is False
    assert way.exported(thing) is None


@each_way
@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_what_has_one_exports_all_of_it(way: Any, make: Callable[[bytes], Any]) -> None:
    for thing in (make(b"abcdef"), memoryview(make(b"abcdef"))[::2]):
        assert way.has_buffer(thing) is True
        view = way.exported(thing)
        assert type(view) is memoryview
        assert view is not thing
        assert view.tobytes() == memoryview(thing).tobytes()


@each_way
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (closed_map, ValueError),
        (released_view, ValueError),
        (lambda: np.zeros(3, "M8[s]"), ValueError),
        pytest.param(Failing, TypeError, marks=from_312),
    ],
    ids=["closed", "released", "dates", "failing"],
)
def test_what_fails_to_export_its_buffer_has_one(way: Any, make: Callable[[], Any], error: type[Exception]) -> None:
    thing = make()
    assert way.has_buffer(thing) is True
    with pytest.raises(error) as caught:
        way.exported(thing)
    with pytest.raises(error) as expected:
        memoryview(thing)
    assert str(caught.value) == str(expected.value)


@each_way
@pytest.mark.parametrize(
    ("view", "flat"),
    [
        (memoryview(b"abcd"), True),
        (memoryview(b""), True),
        (memoryview(bytearray(b"abcd"))[1:3], True),
        (memoryview(b"abcd")[::2], False),
        (memoryview(b"abcd")[::-1], False),
        (memoryview(b"abcd").cast("b"), False),
        (memoryview(b"abcd").cast("H"), False),
        (memoryview(b"abcd").cast("B", [2, 2]), False),
        (memoryview(np.zeros((2, 0, 3), np.uint8)), False),
        (memoryview(np.zeros(3, ">i4")), False),
    ],
    ids=["bytes", "none", "piece", "second", "backwards", "signed", "words", "rows", "no rows", "big-endian"],
)
def test_flat_is_what_len_and_index_count_bytes_of(way: Any, view: memoryview, flat: bool) -> None:
    assert way.is_flat(view) is flat


# -- nothing is kept, and nothing moves


CALLS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "address_of": lambda way, obj: way.address_of(obj),
    "offset_in": lambda way, obj: way.offset_in(memoryview(obj)[1:2], obj),
    "exported": lambda way, obj: way.exported(obj),
    "has_buffer": lambda way, obj: way.has_buffer(obj),
    "is_flat": lambda way, obj: way.is_flat(memoryview(obj)),
    "same": lambda way, obj: way.same(way.place_of(memoryview(obj)), 0, way.place_of(memoryview(obj)), 1, 2),
    "find": lambda way, obj: way.find(way.place_of(memoryview(obj)), memoryview(obj)[1:2], 0, 3),
    "rfind": lambda way, obj: way.rfind(way.place_of(memoryview(obj)), memoryview(obj)[1:2], 0, 3),
    "beyond": lambda way, obj: way.find(way.place_of(memoryview(obj)), b"a", 0, 99),
    "no needle": lambda way, obj: way.find(way.place_of(memoryview(obj)), "a", 0, 3),
    "not the same": lambda way, obj: way.same(way.place_of(memoryview(obj)), 0, 7, 0, 3),
    "no offset": lambda way, obj: way.rfind(way.place_of(memoryview(obj)), b"a", None, 3),
    "strided": lambda way, obj: way.address_of(memoryview(obj)[::2]),
}


@each_way
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("make", [bytearray, in_a_map], ids=["bytearray", "mmap"])
def test_no_export_and_no_reference_is_left_behind(way: Any, call: Callable[[Any, Any], object], make: Any) -> None:
    holder = make(b"abc")
    before = sys.getrefcount(holder)
    for _ in range(3):
        try:
            call(way, holder)
        except (AttributeError, BufferError, IndexError, TypeError, ctypes.ArgumentError):
            pass
    assert sys.getrefcount(holder) == before
    # Each raises BufferError while it is exported.
    if isinstance(holder, bytearray):
        holder.clear()
    else:
        holder.close()


@each_way
@pytest.mark.parametrize("thing", ["text", 7, None], ids=repr)
def test_what_has_no_buffer_is_refused(way: Any, thing: Any) -> None:
    with pytest.raises(TypeError):
        way.address_of(thing)
    with pytest.raises(BufferError):
        way.address_of(memoryview(b"abcd")[::2])


# -- by ctypes, and without it


def pinned(data: bytes) -> Any:
    return place_of(memoryview(array.array("B", data)))


@pytest.fixture(params=["no ctypes", "another interpreter"])
def without_addresses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no ctypes":
        monkeypatch.setitem(sys.modules, "ctypes", None)  # importing it is an ImportError now
    else:
        monkeypatch.delattr(ctypes, "pythonapi")
    monkeypatch.setattr(foreign, "_loaded_calls", foreign._loaded_calls.__wrapped__)


@pytest.mark.usefixtures("without_addresses")
def test_where_nobody_knows_addresses_there_is_none() -> None:
    holder = bytearray(b"abc")
    assert address_of(holder) == 0
    assert offset_in(memoryview(holder)[1:], holder) == -1
    place = pinned(b"abc")
    assert isinstance(place, Pinned)
    assert place.address == 0
    assert not is_searchable(place, 1 << 30)
    assert is_searchable(place_of(memoryview(holder)), 1 << 30), "a whole bytearray needs no address"


@pytest.mark.usefixtures("without_addresses")
@pytest.mark.parametrize("size", [3, BLOCK, 2 * BLOCK + 7])
def test_where_nobody_knows_addresses_it_goes_by_stretches(size: int) -> None:
    text = bytes(size - 2) + b"\r\n"
    place = pinned(text)
    assert same(place, 0, pinned(text), 0, size)
    assert not same(place, 0, pinned(bytes(size)), 0, size)
    assert same(place, 0, pinned(bytes(size)), 0, size - 2)
    for needle in (b"\n", b"\r\n", memoryview(b"\r\n")):
        assert find(place, needle, 0, size) == rfind(place, needle, 0, size) == size - len(needle)
    assert find(place, b"\r\n\n", 0, size) == rfind(place, b"\r\n\n", 0, size) == -1


def test_where_there_was_no_file_to_spare_addresses_are_known_once_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> NoReturn:
        raise OSError(errno.EMFILE, "none left")

    text = bytes(BLOCK) + b"\r\n"
    monkeypatch.setattr(foreign, "_loaded_calls", cache(foreign._loaded_calls.__wrapped__))
    with monkeypatch.context() as patch:
        patch.setattr(foreign, "_Calls", load)
        place = pinned(text)
        assert isinstance(place, Pinned)
        assert place.address == 0
        assert find(place, b"\r\n", 0, len(text)) == BLOCK
        assert same(place, 0, place, 0, len(text))
    known = pinned(text)
    assert isinstance(known, Pinned)
    assert known.address
    assert same(place, 0, known, 0, len(text))
    assert same(known, 0, place, 0, len(text))
    assert same(known, 0, pinned(text), 0, len(text))
    assert not same(known, 0, pinned(bytes(len(text))), 0, len(text))


def test_where_addresses_are_known_nothing_is_copied_to_be_looked_at() -> None:
    size = 4 * BLOCK
    x, y = pinned(bytes(size)), pinned(bytes(size))

    def look() -> None:
        assert same(x, 0, y, 0, size)
        assert find(x, b"\1", 0, size) == find(x, b"\0\1", 0, size) == -1

    assert peak_while(look, BLOCK) < BLOCK


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to count")
def test_where_nobody_knows_addresses_each_byte_is_copied_once_but_for_what_a_match_straddles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(foreign, "BLOCK", 8)
    copied: list[int] = []
    joined = foreign._joined

    def counted(view: memoryview, start: int, stop: int) -> bytes:
        found = joined(view, start, stop)
        copied.append(len(found))
        return found

    monkeypatch.setattr(foreign, "_joined", counted)
    for size in range(40):
        place, other = Pinned(0, memoryview(bytes(size))), Pinned(0, memoryview(bytes(size)))
        assert same(place, 0, other, 0, size)
        assert sum(copied) == size
        copied.clear()
        for needle in (b"\1", b"\1\0\0", b"\1" * 8):
            places = size - len(needle) + 1
            straddling = max(0, places - 1) // 8 * (len(needle) - 1)
            for search in (find, rfind):
                assert search(place, needle, 0, size) == -1
                assert sum(copied) <= size + straddling
                copied.clear()


def test_addresses_that_were_found_out_before_do_not_meet_one_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    known, unknown = pinned(b"abc"), pinned(b"abc")
    unknown.address = 0
    assert same(known, 0, unknown, 0, 3)
    assert same(unknown, 1, known, 1, 2)


def test_where_the_c_library_may_be_slow_it_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    place = pinned(bytes(2 * BLOCK) + b"abc")
    assert is_searchable(place, BLOCK)
    monkeypatch.setattr(foreign, "_MEMMEM_IS_LINEAR", False)
    monkeypatch.setattr(foreign, "_loaded_calls", foreign._loaded_calls.__wrapped__)
    assert not is_searchable(place, BLOCK)
    assert find(place, b"abc", 0, 2 * BLOCK + 3) == 2 * BLOCK


def test_a_few_bytes_are_better_joined() -> None:
    place = pinned(b"abc")
    assert not is_searchable(place, BLOCK - 1)
    assert is_searchable(place, BLOCK)
    assert is_searchable(b"abc", BLOCK)


def test_ctypes_is_loaded_at_the_first_need() -> None:
    program = """
import sys
from bytebufs._core import foreign
view = memoryview(bytearray(b"abc"))
place = foreign.place_of(view)
assert foreign.find(place, b"c", 0, 3) == 2 and foreign.same(place, 0, b"abc", 0, 3)
assert foreign.has_buffer(view) and foreign.is_flat(view) and foreign.exported(1) is None
print("ctypes" in sys.modules)
foreign.address_of(view)
print("ctypes" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"]


# -- by C


@pytest.mark.skipif(not memory.NATIVE, reason="calls the functions of _native.c, which only the compiled build has")
class TestNative:
    way: Final = WAYS.get("native")

    def test_it_counts_its_arguments(self) -> None:
        native: Any = self.way
        for name, arguments in (("find", 4), ("rfind", 4), ("same", 5), ("offset_in", 2)):
            for given_count in {0, arguments - 1, arguments + 1}:
                with pytest.raises(TypeError, match=rf"{name}\(\) takes {arguments} arguments, not {given_count}"):
                    getattr(native, name)(*[b"a"] * given_count)

    @pytest.mark.parametrize("thing", ["0", 1.0, None, b"1"], ids=repr)
    def test_offsets_are_ints(self, thing: Any) -> None:
        native: Any = self.way
        calls: list[Callable[[], object]] = [
            lambda: native.find(b"abc", b"a", thing, 3),
            lambda: native.rfind(b"abc", b"a", 0, thing),
            lambda: native.same(b"abc", thing, b"abc", 0, 1),
            lambda: native.same(b"abc", 0, b"abc", thing, 1),
            lambda: native.same(b"abc", 0, b"abc", 0, thing),
        ]
        for call in calls:
            with pytest.raises(TypeError):
                call()

    def test_whichever_has_no_buffer_is_refused(self) -> None:
        native: Any = self.way
        holder = bytearray(b"abc")
        for x, y in ((holder, "text"), ("text", holder)):
            for call, arguments in (
                (native.find, (x, y, 0, 3)),
                (native.rfind, (x, y, 0, 3)),
                (native.offset_in, (x, y)),
                (native.same, (x, 0, y, 0, 1)),
            ):
                with pytest.raises(TypeError):
                    call(*arguments)
        holder.clear()

    @from_312
    @pytest.mark.parametrize("name", ["find", "same"])
    def test_memory_is_held_while_another_exports_its_own(self, name: str) -> None:
        """Exporting runs anybody's code: what is held already cannot be resized or released by it."""
        native: Any = self.way
        holder = bytearray(b"abc")
        view = memoryview(holder)
        met: list[str] = []

        class Meddling:
            def __buffer__(self, flags: int) -> memoryview:
                for meddle in (view.release, holder.clear):
                    try:
                        meddle()
                    except BufferError as error:
                        met.append(str(error))
                return memoryview(b"c")

        found = native.find(view, Meddling(), 0, 3) if name == "find" else native.same(view, 2, Meddling(), 0, 1)
        assert found == (2 if name == "find" else True)
        assert len(met) == 2
        view.release()
        holder.clear()

    def test_a_long_search_backwards_is_as_that_of_bytes(self) -> None:
        native: Any = self.way
        text = bytearray(b"ab" * 5000 + b"\xe1b" + b"ba" * 5000)  # 0xE1 and "a" agree in their last six bits
        for needle in (b"\xe1b", b"bb\xe1"[1:], b"ab\xe1", b"b" * 3, b"aba" * 20, b"\xa1\xe1"):
            assert native.rfind(text, needle, 0, len(text)) == text.rfind(needle)
