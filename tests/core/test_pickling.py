"""Pickles and deep copies: in parts, each only as far as it is shown, and nothing is copied that is not counted."""

from __future__ import annotations

import copy
import gc
import io
import multiprocessing
import operator
import os
import pickle
import pickletools
import resource
import subprocess
import sys
import weakref
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import (
    BaseBuffer,
    CompositeBuffer,
    CopyForbidden,
    FileRegion,
    MappedFile,
    SliceBuffer,
    TruncatedFile,
    allocate,
    copy_audit,
    no_copy,
)
from bytebufs._core.parts import Run, entry_of
from bytebufs._core.pickling import own, pickled
from bytebufs.composite_buffer import load_composite
from bytebufs.slice_buffer import load_slice

from .. import pickling_peer
from ..conftest import IS_QUICK
from ..layouts import LAYOUTS, MAKERS, SHAPES, Layout, address, addresses, chunks, hidden, hidden_in_bytearray, mixed

PROTOCOLS: Final = range(pickle.HIGHEST_PROTOCOL + 1)
BELOW: Final = range(5)
DATA: Final = bytes(range(50, 80))

every_kind = pytest.mark.parametrize("kind", [SliceBuffer, CompositeBuffer], ids=["slice", "composite"])


def of_kind(kind: type[BaseBuffer], parts: Sequence[Any]) -> Any:
    whole = CompositeBuffer(parts)
    return whole if kind is CompositeBuffer else whole.freeze()


def content(b: BaseBuffer) -> bytes:
    return b"".join(b.views())


def sizes(b: BaseBuffer) -> list[int]:
    return [len(view) for view in b.views()]


def permissions(b: BaseBuffer) -> list[bool]:
    return [view.readonly for view in b.views()]


def dumped(subject: object) -> tuple[bytes, list[pickle.PickleBuffer]]:
    """Return a pickle and the buffers beside it."""
    frames: list[pickle.PickleBuffer] = []
    return pickle.dumps(subject, protocol=5, buffer_callback=frames.append), frames


def carried(subject: Any, receive: Callable[[memoryview], Any] = bytes) -> Any:
    """Return what comes of a buffer whose parts went beside the pickle, and were received as `receive` says."""
    data, frames = dumped(subject)
    return pickle.loads(data, buffers=[receive(frame.raw()) for frame in frames])


def through(subject: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(subject, protocol))


def through_python(subject: Any, protocol: int) -> Any:
    """Go through the pickler and the unpickler that are written in Python."""
    file = io.BytesIO()
    pickle._Pickler(file, protocol).dump(subject)
    return pickle._Unpickler(io.BytesIO(file.getvalue())).load()


def not_bytes(b: BaseBuffer) -> list[int]:
    """Return the sizes of the parts that are no whole bytes objects."""
    return [len(entry) for entry in b._entries() if not isinstance(entry, bytes)]


# -- what goes into a pickle ---------------------------------------------------------------------------------


def entries_of(*parts: Any) -> list[Any]:
    return [entry_of(part) for part in parts]


def test_a_part_is_a_view_of_what_it_shows_from_protocol_5_on() -> None:
    owner, whole = bytearray(b"abcdef"), b"xyz"
    with no_copy(strict=True):
        views = [memoryview(part) for part in pickled(entries_of(memoryview(owner)[1:4], whole), 5)]
    assert [(bytes(view), view.readonly, address(view)) for view in views] == [
        (b"bcd", False, address(owner) + 1),
        (b"xyz", True, address(whole)),
    ]
    assert views[1].obj is whole


@pytest.mark.parametrize("protocol", BELOW)
def test_a_part_is_bytes_below_protocol_5(protocol: int) -> None:
    whole = b"xyz"
    with copy_audit() as audit:
        found = pickled(entries_of(memoryview(bytearray(b"abcdef"))[1:4], whole), protocol)
    assert found == [b"bcd", b"xyz"]
    assert found[1] is whole
    assert (audit.by_reason, audit.count, audit.hidden) == ({"pickle": 3}, 1, 3)


def test_a_protocol_is_a_number() -> None:
    assert pickled([b"abc"], np.int8(2)) == [b"abc"]
    for protocol in (None, "5", 5.0):
        with pytest.raises(TypeError):
            pickled([b"abc"], protocol)  # type: ignore[arg-type]


def test_what_is_owned_is_shared_where_it_never_changes() -> None:
    owner = b"abcdef"
    with no_copy(strict=True):
        piece = own(Run(owner, 1, 4))
        assert isinstance(piece, memoryview)
        assert bytes(piece) == b"bcd"
        assert piece.obj is owner
        assert own(owner) is owner


def test_what_is_owned_is_copied_where_it_may_change() -> None:
    memory = bytearray(b"abcdef")
    [writable, fixed] = entries_of(memoryview(memory)[1:4], memoryview(memory)[1:4].toreadonly())
    with copy_audit() as audit:
        copies = [own(writable), own(fixed)]
    assert (copies, [type(part) for part in copies]) == ([b"bcd", b"bcd"], [bytearray, bytes])
    assert (audit.by_reason, audit.count) == ({"pickle": 6}, 2)
    with no_copy():
        for entry in (writable, fixed):
            with pytest.raises(CopyForbidden):
                own(entry)


# -- every layout, every way ---------------------------------------------------------------------------------


def assert_loaded(loaded: Any, b: BaseBuffer) -> None:
    """Assert that what was loaded is the buffer again, as far as its bytes and parts go."""
    loaded._check()
    assert type(loaded) is type(b)
    assert content(loaded) == content(b)
    assert sizes(loaded) == sizes(b)
    assert loaded == b


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize("data", [b"", b"a", DATA], ids=["empty", "a byte", "more"])
def test_every_layout_comes_back_as_it_is(layout: Layout, data: bytes) -> None:
    b = layout.make(data)
    copied = not_bytes(b)
    for protocol in BELOW:
        with copy_audit() as audit:
            packed = pickle.dumps(b, protocol)
        assert audit.by_reason == ({"pickle": sum(copied)} if copied else {})
        assert audit.count == len(copied)
        with no_copy(strict=True):
            loaded = pickle.loads(packed)
        assert_loaded(loaded, b)
        assert loaded.readonly or not data
    with no_copy(strict=True):
        in_band, carried_along = through(b, 5), carried(b)
        kept = carried(b, lambda frame: frame)
    assert_loaded(in_band, b)
    assert permissions(in_band) == permissions(b)
    assert_loaded(carried_along, b)
    assert_loaded(kept, b)
    assert permissions(kept) == permissions(b)
    assert addresses(kept) == addresses(b)
    with copy_audit() as audit:
        deep = copy.deepcopy(b)
    assert set(audit.by_reason) <= {"pickle"}
    assert_loaded(deep, b)
    assert permissions(deep) == permissions(b)
    b._check()


KINDS: Final = [name for name in MAKERS if name != "lazy, not searchable"]
PIECES: Final = st.lists(st.tuples(st.sampled_from(KINDS), st.binary(min_size=1, max_size=40)), max_size=12)
WAYS: Final[dict[str, Callable[[Any], Any]]] = {
    **{f"protocol {protocol}": partial(through, protocol=protocol) for protocol in PROTOCOLS},
    "in Python, protocol 4": lambda b: through_python(b, 4),
    "in Python, protocol 5": lambda b: through_python(b, 5),
    "beside it, bytes": carried,
    "beside it, bytearrays": lambda b: carried(b, bytearray),
    "beside it, the same memory": lambda b: carried(b, lambda frame: frame),
    "beside it, arrays": lambda b: carried(b, lambda frame: np.frombuffer(frame, np.uint8)),
    "deep copy": copy.deepcopy,
}


@given(PIECES, st.sampled_from(list(SHAPES)), st.data())
def test_any_mixture_comes_back_in_every_way(pieces: list[tuple[str, bytes]], shape: str, data: st.DataObject) -> None:
    b = SHAPES[shape]([MAKERS[kind](chunk) for kind, chunk in pieces])
    if isinstance(b, SliceBuffer):
        start = data.draw(st.integers(0, len(b)))
        b = b[start : data.draw(st.integers(start, len(b)))]
    before = content(b), sizes(b), permissions(b)
    mutable = [len(view) for view in b.views() if not isinstance(view.obj, bytes)]
    for way, go in WAYS.items():
        with copy_audit() as audit:
            loaded = go(b)
        assert_loaded(loaded, b)
        below = way.endswith(tuple("01234"))
        copied = mutable if way == "deep copy" else not_bytes(b) if below else []
        assert (audit.by_reason, audit.count) == ({"pickle": sum(copied)} if copied else {}, len(copied))
        assert permissions(loaded) == ([True] * len(before[1]) if below or way == "beside it, bytes" else before[2])
        assert (content(b), sizes(b), permissions(b)) == before
    b._check()


# -- out of band ---------------------------------------------------------------------------------------------


@every_kind
def test_the_buffers_beside_a_pickle_are_the_parts_themselves(kind: type[BaseBuffer]) -> None:
    parts = [b"whole", bytearray(b"writable"), hidden(b"a piece"), np.arange(6, dtype=np.uint16), allocate(99)]
    b = of_kind(kind, parts)
    with no_copy(strict=True):
        data, frames = dumped(b)
    assert len(data) < 150
    assert [address(frame) for frame in frames] == [address(view) for view in b.views()]
    assert [(frame.raw().nbytes, frame.raw().readonly) for frame in frames] == list(zip(sizes(b), permissions(b)))


@every_kind
def test_of_an_owner_only_what_is_shown_goes(kind: type[BaseBuffer]) -> None:
    owner, memory = bytes(1_000_000), bytearray(1_000_000)
    b = of_kind(kind, [SliceBuffer(owner, 5, 15), memoryview(memory)[7:10]])
    assert [frame.raw().nbytes for frame in dumped(b)[1]] == [10, 3]
    for protocol in PROTOCOLS:
        packed = pickle.dumps(b, protocol)
        assert len(packed) < 300
        assert pickle.loads(packed).pinned_nbytes == 13


def test_of_many_parts_only_those_shown_go() -> None:
    b = CompositeBuffer([bytes([i]) * 10 for i in range(100)])
    data, frames = dumped(b[55:78])
    assert [bytes(frame) for frame in frames] == [bytes([5]) * 5, bytes([6]) * 10, bytes([7]) * 8]
    assert len(data) < 100
    drained = b.take(55)
    assert (len(dumped(drained)[1]), len(dumped(b)[1])) == (6, 95)


@pytest.mark.parametrize(
    "received", [bytes, bytearray, memoryview, pickle.PickleBuffer], ids=lambda kind: kind.__name__
)
@every_kind
def test_what_the_loader_has_becomes_the_parts(kind: type[BaseBuffer], received: Callable[[bytes], Any]) -> None:
    b = of_kind(kind, [b"first", hidden(b"second")])
    data, frames = dumped(b)
    buffers = [received(bytes(frame)) for frame in frames]
    with no_copy(strict=True):
        loaded = pickle.loads(data, buffers=buffers)
    assert_loaded(loaded, b)
    assert [address(view) for view in loaded.views()] == [address(buffer) for buffer in buffers]
    assert loaded.readonly  # they were, so pickle sees to it


@every_kind
def test_a_writable_part_is_writable_where_the_memory_is(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [bytearray(b"one"), b"two"])
    loaded = carried(b, bytearray)
    loaded.write_at(0, b"ONE")
    assert (content(loaded), content(b), permissions(loaded)) == (b"ONEtwo", b"onetwo", [False, True])
    assert permissions(carried(b, bytes)) == [True, True]


@every_kind
def test_parts_that_were_received_side_by_side_are_one_part(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"first", b"second", bytearray(b"third")])
    data, frames = dumped(b)
    block = memoryview(bytearray(b"".join(frames)))
    cuts = list(chunks(bytes(range(16)), sizes(b)))
    loaded = pickle.loads(data, buffers=[block[cut[0] : cut[-1] + 1] for cut in cuts])
    loaded._check()
    assert loaded == b
    assert (sizes(loaded), permissions(loaded)) == ([11, 5], [True, False])
    assert loaded.find(b"second") == 5


@every_kind
def test_parts_in_shared_memory(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"first", bytearray(b"second")])
    data, frames = dumped(b)
    shared = SharedMemory(create=True, size=64)
    try:
        block = shared.buf
        assert block is not None
        buffers = [block[:5], block[6:12]]
        for buffer, frame in zip(buffers, frames, strict=True):
            buffer[:] = frame.raw()
        with no_copy(strict=True):
            loaded = pickle.loads(data, buffers=buffers)
        assert_loaded(loaded, b)
        block[0] = ord("F")
        loaded.write_at(5, b"S")
        assert bytes(block[:12]) == b"First\0Second"
        with pytest.raises(BufferError):
            shared.close()  # no use after free
        del loaded, block, buffers, buffer
    finally:
        shared.close()
        shared.unlink()


def test_buffers_of_this_library_may_be_what_was_received() -> None:
    b = SliceBuffer(bytearray(b"a message"))
    data, _ = dumped(b)
    loaded = pickle.loads(data, buffers=[CompositeBuffer([b"a mes", b"sage"])])
    assert loaded == b
    assert sizes(loaded) == [5, 4]
    halves = load_slice([b[:4], b[4:]])
    halves._check()
    assert (halves, sizes(halves)) == (b, [9])


def test_a_callback_that_returns_true_takes_a_part_in_band() -> None:
    b = CompositeBuffer([b"small", bytearray(1000), b"small, too"])
    beside = []

    def is_small(frame: pickle.PickleBuffer) -> bool:
        if frame.raw().nbytes < 100:
            return True
        beside.append(frame)
        return False

    packed = pickle.dumps(b, protocol=5, buffer_callback=is_small)
    assert len(beside) == 1
    assert_loaded(pickle.loads(packed, buffers=beside), b)


def test_a_pickle_without_its_buffers_is_refused() -> None:
    data, frames = dumped(CompositeBuffer([b"one", b"two"]))
    for buffers in (None, [], frames[:1]):
        with pytest.raises(pickle.UnpicklingError):
            pickle.loads(data, buffers=buffers)


def test_a_callback_may_change_the_buffer() -> None:
    b = CompositeBuffer([b"one", bytearray(b"two"), hidden(b"three")])
    frames: list[pickle.PickleBuffer] = []

    def take_over(frame: pickle.PickleBuffer) -> None:
        frames.append(frame)
        b.clear()

    data = pickle.dumps(b, protocol=5, buffer_callback=take_over)
    assert pickle.loads(data, buffers=frames) == b"onetwothree"
    assert not b


def test_a_part_is_pinned_as_long_as_its_buffer_is_held() -> None:
    memory = array("B", b"abc")
    data, frames = dumped(SliceBuffer(memory))
    with pytest.raises(BufferError):
        memory.append(1)
    frames.clear()
    memory.append(1)
    assert data


# -- in band -------------------------------------------------------------------------------------------------


@every_kind
def test_whole_bytes_are_bytes_again(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"whole", hidden(b"piece"), bytearray(b"writable"), memoryview(bytearray(b"view")).toreadonly()])
    owners = [type(view.obj) for view in through(b, 5).views()]
    assert owners == [bytes, bytes, bytearray, bytes]
    for protocol in BELOW:
        assert [type(view.obj) for view in through(b, protocol).views()] == [bytes] * 4


def test_large_parts_are_handed_to_a_file_as_they_are(path: Path) -> None:
    """So that the memory which pickling to a file takes is bounded, however large the parts are."""

    class Sink:
        def write(self, data: Any) -> None:
            written.append(data)

    path.write_bytes(DATA * 4_000)
    parts: list[Any] = [bytes(100_000), bytearray(100_000), hidden(bytes(100_000))]
    parts += [FileRegion(path, 7), MappedFile(path)[3:]]
    b = CompositeBuffer(parts)
    written: list[Any] = []
    with no_copy(strict=True):
        pickle.dump(b, Sink(), 5)
    large = [data for data in written if memoryview(data).nbytes >= 100_000]
    assert [address(data) for data in large] == [address(view) for view in b.views()]
    assert pickle.loads(b"".join(written)) == b


def test_what_is_in_a_pickle_is_a_snapshot() -> None:
    memory = bytearray(b"before")
    b = SliceBuffer(memory)
    packed = [pickle.dumps(b, protocol) for protocol in PROTOCOLS]
    b.write_at(0, b"BEFORE")
    loaded = [pickle.loads(data) for data in packed]
    loaded[-1].write_at(0, b"x")
    assert loaded == [b"before"] * 5 + [b"xefore"]
    assert memory == b"BEFORE"


@every_kind
def test_no_copy_refuses_below_protocol_5(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"whole", bytearray(b"writable"), hidden(b"piece")])
    for protocol in BELOW:
        written = io.BytesIO()
        with copy_audit() as audit, no_copy(), pytest.raises(CopyForbidden) as caught:
            pickle.dump(b, written, protocol)
        assert (caught.value.reason, caught.value.nbytes) == ("pickle", 8)
        assert audit.count == 0
        with no_copy(strict=True):
            pickle.dumps(of_kind(kind, [b"whole", b"bytes"]), protocol)
    with no_copy(strict=True):
        pickle.dumps(b, 5)


def test_a_read_only_slice_of_writable_memory_comes_back_read_only() -> None:
    memory = bytearray(b"memory")
    for loaded in (
        through(SliceBuffer(memory).toreadonly(), 5),
        carried(SliceBuffer(memory).toreadonly(), lambda frame: frame),
        carried(SliceBuffer(memory).toreadonly(), bytearray),
        through(CompositeBuffer([memoryview(memory).toreadonly()]), 5),
    ):
        assert loaded.readonly
        with pytest.raises(TypeError):
            loaded.write_at(0, b"x")


@every_kind
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_buffer_in_two_places_is_one_again(kind: type[BaseBuffer], protocol: int) -> None:
    b = of_kind(kind, [b"abc", b"def"])
    first, second, key = through([b, b, {"b": b}], protocol)
    assert first is second is key["b"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_composite_was_made_with_comes_back(protocol: int) -> None:
    b = CompositeBuffer([b"long enough", b"a", b"b"], coalesce_below=4)
    b.appendleft(b"long, too")
    for loaded in (through(b, protocol), carried(b), copy.deepcopy(b)):
        assert_loaded(loaded, b)  # what was small stays as it was
        loaded.append(b"c")
        loaded.append(b"d")
        assert sizes(loaded) == [9, 11, 2, 2]


def test_a_loaded_composite_is_as_good_as_new() -> None:
    b = CompositeBuffer([b"GET / HT", b"TP/1.1\r\nHost: "])
    assert b.take_until(b"\n\n", limit=99) is None
    reader = b.reader()
    loaded = through(b, 5)
    loaded.append(b"x\r\n")
    assert reader.u8() == ord("G")  # the other one has not changed
    assert loaded.take_until(b"\r\n", limit=99) == b"GET / HTTP/1.1"
    assert loaded.parse(lambda r: r.line(limit=99), limit=99) == b"Host: x"
    assert len(b) == 22


def test_a_parser_may_pickle_what_it_parses() -> None:
    b = CompositeBuffer([b"ab", b"cd"])
    loaded = b.parse(lambda r: (through(b, 5), through(b, 2), r.u8()), limit=9)
    assert loaded == (b"abcd", b"abcd", ord("a"))
    assert b == b"bcd"


def test_reserved_bytes_go_as_they_are_now() -> None:
    b = CompositeBuffer([b"length: "])
    with b.reserve(2) as length:
        length[:] = b"42"
        loaded = through(b, 5), carried(b), through(b, 1), copy.deepcopy(b)
        length[:] = b"43"
    assert list(loaded) == [b"length: 42"] * 4
    assert all(each.readonly for each in loaded)
    assert b == b"length: 43"


# -- many and large ------------------------------------------------------------------------------------------


def test_a_hundred_thousand_parts() -> None:
    count = 20_000 if IS_QUICK else 100_000
    b = CompositeBuffer([b"%05d" % i for i in range(count)])
    with no_copy(strict=True):
        data, frames = dumped(b)
        assert (len(frames), len(data) < 5 * count) == (count, True)
        loaded = [pickle.loads(data, buffers=frames), through(b, 5), through(b, 2), copy.deepcopy(b)]
        loaded.append(through(b[1:-1], 5))
    assert [each.part_count for each in loaded] == [count] * 5
    assert loaded[0] == loaded[1] == loaded[2] == loaded[3] == b
    assert loaded[4] == b[1:-1]


def test_pickling_and_loading_look_at_each_part_a_few_times() -> None:
    def calls(count: int) -> int:
        called = 0
        b = CompositeBuffer(mixed(bytes(count)))

        def note(_frame: object, event: str, _argument: object) -> None:
            nonlocal called
            called += event in {"call", "c_call"}

        sys.setprofile(note)
        try:
            carried(b, lambda frame: frame)
        finally:
            sys.setprofile(None)
        return called

    few, many = calls(1_000), calls(10_000)
    assert many < 11 * few


def test_gigabytes_are_not_touched(tmp_path: Path) -> None:
    path, size = tmp_path / "sparse", 6 << 30
    path.touch()
    os.truncate(path, size)
    region = FileRegion(path)
    mapped = MappedFile(path)
    b = CompositeBuffer([region, b"--", mapped[1 : size - 1], region[5:-5]])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with no_copy(strict=True):
        data, frames = dumped(b)
        loaded = pickle.loads(data, buffers=frames)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 1_000  # pages, of some million
    assert len(data) < 200
    assert (len(loaded), sizes(loaded)) == (3 * size - 10, sizes(b))
    assert loaded[size : size + 2] == b"--"


# -- files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA * 1000)
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_region_is_pickled_by_its_bytes(path: Path, protocol: int) -> None:
    region = FileRegion(path, 10, 1000)
    with copy_audit() as audit:
        packed = pickle.dumps((region, region[5:10], region), protocol)
    # The region is a part, no buffer; what stands for it is one.
    assert audit.by_reason == ({} if protocol == 5 else {"pickle": 1005})
    path.unlink()
    whole, piece, again = pickle.loads(packed)
    assert (type(whole), whole, piece) == (SliceBuffer, (DATA * 1000)[10:1010], (DATA * 1000)[15:20])
    assert whole is again
    assert type(whole.view().obj) is bytes
    assert CompositeBuffer([b"it stands for ", whole]).endswith((DATA * 1000)[1000:1010])


def test_a_region_goes_beside_a_pickle_by_its_map(path: Path) -> None:
    region = FileRegion(path, 10, 1000)
    with no_copy(strict=True):
        data, [frame] = dumped(region)
    assert (frame.raw().nbytes, address(frame)) == (1000, address(region[:].view()))
    assert frame.raw().readonly
    loaded = pickle.loads(data, buffers=[frame])
    del region, frame
    gc.collect()
    assert loaded == (DATA * 1000)[10:1010]  # the map stays as long as something shows it


def test_no_region_at_all(path: Path) -> None:
    empty = FileRegion(path, 10, 0)
    loaded = [through(empty, protocol) for protocol in PROTOCOLS] + [carried(empty), copy.deepcopy(empty)]
    assert [(type(each), len(each)) for each in loaded] == [(SliceBuffer, 0)] * 8


def test_a_copy_of_a_region_is_itself_and_a_deep_one_its_bytes(path: Path) -> None:
    region = FileRegion(path, 10, 1000)
    with no_copy(strict=True):
        assert copy.copy(region) is region
    with copy_audit() as audit:
        deep: Any = copy.deepcopy(region)
    assert (type(deep), audit.by_reason) == (SliceBuffer, {"pickle": 1000})
    path.write_bytes(bytes(30_000))
    assert deep == (DATA * 1000)[10:1010]


def test_a_shrunk_file_is_an_error_and_nothing_is_copied(path: Path) -> None:
    region, mapped = FileRegion(path, 10), MappedFile(path)
    subjects: list[Any] = [region, region[5:], CompositeBuffer([b"x", region[:9]]), mapped[:], mapped[7:].toreadonly()]
    subjects.append(CompositeBuffer([bytearray(b"x"), mapped[29_000:], b"y"]))
    os.truncate(path, 100)
    with copy_audit() as audit:
        for subject in subjects:
            for protocol in PROTOCOLS:
                with pytest.raises(TruncatedFile) as caught:
                    pickle.dumps(subject, protocol)
                assert caught.value.found == 100
            with pytest.raises(TruncatedFile):
                dumped(subject)
        assert audit.count == 0
        for subject in subjects:
            with pytest.raises(TruncatedFile):
                copy.deepcopy(subject)
    # Of a map only what is shown has to be there.
    assert through(mapped_before(path, 100), 5) == DATA * 3 + DATA[:10]


def mapped_before(path: Path, size: int) -> SliceBuffer:
    return MappedFile(path, length=size)[:]


def test_of_a_map_that_shrank_the_bytes_before_the_end_go(path: Path) -> None:
    piece = MappedFile(path)[5:50]
    os.truncate(path, 50)
    assert through(piece, 5) == through(piece, 3) == carried(piece) == copy.deepcopy(piece) == (DATA * 2)[5:50]
    os.truncate(path, 49)
    with pytest.raises(TruncatedFile) as caught:
        dumped(piece)
    assert (caught.value.expected, caught.value.found) == (50, 49)


def test_a_map_tells_that_frames_show_it(path: Path) -> None:
    mapped = MappedFile(path)
    frames = dumped(mapped[5:])[1]
    with pytest.raises(BufferError, match="is shown by 1 memoryview"):
        mapped.close()
    frames.clear()
    mapped.close()


def test_a_mapped_file_is_refused_and_its_slices_are_not(path: Path) -> None:
    with MappedFile(path, access="copy") as mapped:
        kept = mapped[3:20]
        attempts: list[Callable[[object], object]] = [partial(pickle.dumps, protocol=n) for n in PROTOCOLS]
        for attempt in (*attempts, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"pickle mapped\[:\]"):
                attempt(mapped)
    loaded = through(kept, 5)  # it is closed by now
    kept.write_at(0, b"other")
    assert (loaded, loaded.readonly) == (DATA[3:20], False)


# -- deep copies ---------------------------------------------------------------------------------------------


@every_kind
def test_a_deep_copy_is_not_reached_by_what_is_written_to_the_other(kind: type[BaseBuffer], path: Path) -> None:
    memory, viewed = bytearray(b"memory"), bytearray(b"viewed")
    parts = [memory, memoryview(viewed)[1:].toreadonly(), FileRegion(path, 0, 5), MappedFile(path, access="copy")[:5]]
    b = of_kind(kind, parts)
    before = content(b)
    with copy_audit() as audit:
        deep = copy.deepcopy(b)
    assert (audit.by_reason, audit.count, audit.hidden) == ({"pickle": 21}, 4, 21)
    assert permissions(deep) == [False, True, True, False]
    b.write_at(0, b"MEMORY")
    viewed[:] = b"VIEWED"
    path.write_bytes(bytes(30_000))
    b.write_at(16, b"other")
    assert content(deep) == before != content(b)
    deep.write_at(0, b"third ")
    assert (bytes(memory), deep[:6]) == (b"MEMORY", b"third ")


@every_kind
def test_a_deep_copy_shares_bytes(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"whole", hidden(b"piece"), SliceBuffer(bytes(1000), 5, 9)])
    with no_copy(strict=True):
        deep = copy.deepcopy(b)
    assert addresses(deep) == addresses(b)
    assert deep is not b
    if isinstance(deep, CompositeBuffer):
        deep.skip(3)
        assert len(b) == 14


@every_kind
def test_a_deep_copy_of_a_whole_keeps_what_is_one(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [bytearray(b"abc")])
    graph: dict[str, Any] = {"first": b, "again": [b], "other": of_kind(kind, [bytearray(b"abc")])}
    graph["self"] = graph
    with copy_audit() as audit:
        deep = copy.deepcopy(graph)
    assert deep["first"] is deep["again"][0] is not b
    assert deep["first"] is not deep["other"]
    assert deep["self"] is deep
    assert audit.nbytes == 6
    memo: dict[int, Any] = {}
    assert copy.deepcopy(b, memo) is copy.deepcopy(b, memo)


@every_kind
def test_parts_over_one_memory_get_memories_of_their_own(kind: type[BaseBuffer]) -> None:
    memory = bytearray(b"ab")
    deep = copy.deepcopy(of_kind(kind, [memory, b"-", memory]))
    deep.write_at(0, b"A")
    assert deep == b"Ab-ab"


@every_kind
def test_a_deep_copy_is_refused_by_no_copy(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"bytes", bytearray(b"memory")])
    with copy_audit() as audit, no_copy(), pytest.raises(CopyForbidden) as caught:
        copy.deepcopy([b])
    assert (caught.value.reason, caught.value.nbytes, audit.count) == ("pickle", 6, 0)


def test_a_shallow_copy_shares_everything() -> None:
    s = SliceBuffer(bytearray(b"abc"))
    b = CompositeBuffer([s, b"def"])
    with no_copy(strict=True):
        twin = copy.copy(b)
        assert copy.copy(s) is s
    s.write_at(0, b"A")
    b.skip(4)
    assert twin == b"Abcdef"
    assert b == b"ef"


# -- what is called by a pickle ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "module", "name"),
    [
        (SliceBuffer, "bytebufs.slice_buffer", "load_slice"),
        (CompositeBuffer, "bytebufs.composite_buffer", "load_composite"),
    ],
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_pickle_names_one_function(kind: type[BaseBuffer], module: str, name: str, protocol: int) -> None:
    class Noting(pickle.Unpickler):
        def find_class(self, found_module: str, found_name: str) -> Any:
            found.append((found_module, found_name))
            return super().find_class(found_module, found_name)

    b = of_kind(kind, [b"ab", bytearray(b"cd")])
    found: list[tuple[str, str]] = []
    packed = pickle.dumps(b, protocol)
    assert Noting(io.BytesIO(packed)).load() == b
    # A bytearray has an opcode from protocol 5 on; below, parts are bytes.
    assert found == [(module, name)]
    assert sum(opcode.name == "REDUCE" for opcode, _, _ in pickletools.genops(packed)) == 1


BAD_PARTS: Final[dict[str, Any]] = {
    "None": None,
    "an int": 5,
    "bytes": b"abc",
    "no bytes": b"",
    "str": "abc",
    "a tuple": (b"abc",),
    "an iterator": iter([b"abc"]),
    "a buffer": SliceBuffer(b"abc"),
    "a list of ints": [1, 2],
    "a list with None": [b"abc", None],
    "a list of str": ["abc"],
    "a list in a list": [[b"abc"]],
    "a list of types": [bytes],
    "a strided view": [memoryview(b"abcdef")[::2]],
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_anything_else_than_parts_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError) as sliced:
        load_slice(BAD_PARTS[name])
    with pytest.raises(TypeError) as composed:
        load_composite(BAD_PARTS[name], 0)
    assert str(sliced.value) == str(composed.value)
    assert says_what_is_wanted(str(sliced.value))


def says_what_is_wanted(sentence: str) -> bool:
    """Whether a sentence says what is wanted, or what to write."""
    return any(
        words in sentence for words in ("a list of its parts", "a bytes-like object is wanted", "encode", "write")
    )


def test_the_size_below_which_parts_are_coalesced_is_a_size() -> None:
    for below, error in ((None, TypeError), ("3", TypeError), (3.0, TypeError), (b"3", TypeError), (-1, ValueError)):
        with pytest.raises(error):
            load_composite([b"abc"], below)  # type: ignore[arg-type]
    assert load_composite([b"abc"], 2**70) == b"abc"
    for arguments in ((), ([b"abc"],), ([b"abc"], 0, 0)):
        with pytest.raises(TypeError):
            load_composite(*arguments)


def test_a_released_buffer_is_refused() -> None:
    data, [frame] = dumped(SliceBuffer(bytearray(b"abc")))
    frame.release()
    with pytest.raises(ValueError, match="released"):
        pickle.loads(data, buffers=[frame])


def test_what_was_loaded_takes_nothing_over_from_its_list() -> None:
    parts: list[Any] = [b"ab", b"", bytearray(b"cd"), memoryview(b"")]
    s, b = load_slice(parts), load_composite(parts, 0)
    parts.clear()
    b.append(b"ef")
    assert s == b"abcd"
    assert b == b"abcdef"
    assert s.part_count == 2
    s._check()
    b._check()


SOME: Final = st.binary(max_size=5)
JUNK: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | SOME | SOME.map(bytearray) | SOME.map(hidden) | SOME.map(SliceBuffer),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=8,
)  # fmt: skip


@given(JUNK, JUNK)
def test_whatever_a_pickle_says_gives_a_buffer_or_an_error(parts: Any, below: Any) -> None:
    def loads() -> Iterator[BaseBuffer]:
        yield load_slice(parts)
        yield load_composite(parts, below)

    try:
        for loaded in loads():
            loaded._check()
            assert loaded == b"".join(bytes(part) for part in parts)
    except (TypeError, ValueError):
        pass


# -- other processes -----------------------------------------------------------------------------------------


@every_kind
def test_through_a_pipe_to_a_spawned_child_and_back(kind: type[BaseBuffer]) -> None:
    b = of_kind(kind, [b"head", bytearray(100_000), hidden_in_bytearray(b"tail")])
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    child = spawn.Process(target=pickling_peer.answer, args=(there,), daemon=True)
    child.start()
    there.close()
    try:
        with no_copy(strict=True):
            pickling_peer.send(here, b)
        assert here.poll(60)
        piece, name, layout = pickling_peer.receive(here)
    finally:
        child.join(60)
        here.close()
    assert child.exitcode == 0
    assert (name, sizes(piece)) == (kind.__name__, [2, 100_000, 2])
    assert piece == b[2:-2]
    assert layout.splitlines()[0] == "100008 bytes in 3 parts"


def test_a_connection_of_multiprocessing_pickles_by_its_default_protocol() -> None:
    b = CompositeBuffer([b"bytes", bytearray(b"memory")])
    here, there = multiprocessing.Pipe()
    with here, there, copy_audit() as audit:
        here.send(b)
        assert_loaded(there.recv(), b)
    assert audit.by_reason == ({"pickle": 6} if pickle.DEFAULT_PROTOCOL < 5 else {})


def test_a_process_pool_takes_and_returns_buffers() -> None:
    b = CompositeBuffer([b"hello, ", bytearray(b"wor"), b"ld"])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        piece = pool.submit(operator.itemgetter(slice(4, 11)), b).result(60)
        layout = pool.submit(operator.methodcaller("layout"), b).result(60)
    assert (type(piece), piece, sizes(piece)) == (SliceBuffer, b"o, worl", [3, 3, 1])
    assert layout.splitlines()[0] == "12 bytes in 3 parts"


@every_kind
def test_dask_serializes_it_part_by_part(kind: type[BaseBuffer]) -> None:
    protocol = import_module("distributed.protocol")
    b = of_kind(kind, [b"head" * 10, bytearray(100_000), hidden(b"tail")])
    with no_copy(strict=True):
        header, frames = protocol.serialize(b)
        loaded = protocol.deserialize(header, frames)
    assert len(frames[0]) < 150
    assert [address(frame) for frame in frames[1:]] == [address(view) for view in b.views()]
    assert_loaded(loaded, b)
    assert permissions(loaded) == permissions(b) == [True, False, True]
    assert addresses(loaded) == addresses(b)


CLUSTER: Final = """
import operator
from bytebufs import CompositeBuffer
from distributed import Client, LocalCluster

b = CompositeBuffer([b"head" * 10, bytearray(100_000), b"tail"])
layout = operator.methodcaller("layout")
with (
    LocalCluster(1, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None) as cluster,
    Client(cluster, timeout=120) as client,
):
    print(client.submit(layout, b).result(120).splitlines()[0])
    scattered = client.scatter(b)
    print(client.submit(layout, scattered).result(120).splitlines()[0])
    piece = client.submit(operator.itemgetter(slice(39, -3)), scattered).result(120)
    print(type(piece).__name__, [len(view) for view in piece.views()], piece == b[39:-3])
"""


PATIENT: Final = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "120s", "DASK_DISTRIBUTED__NANNY__START_TIMEOUT": "120s"}
"""For machines that do much else."""


def test_dask_carries_it_to_another_process_in_its_parts(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CLUSTER],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=Path(__file__).parent.parent.parent,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "DASK_TEMPORARY_DIRECTORY": str(tmp_path), **PATIENT},
    )
    assert run.stdout.splitlines() == [
        "100044 bytes in 3 parts",
        "100044 bytes in 3 parts",
        "SliceBuffer [1, 100000, 1] True",
    ], run.stderr
    assert run.returncode == 0, run.stderr


def test_a_pickler_that_is_gone_holds_nothing() -> None:
    owners = [array("B", b"abc") for _ in range(3)]
    b = CompositeBuffer(owners)
    for protocol in PROTOCOLS:
        through(b, protocol)
    carried(b)
    copy.deepcopy(b)
    dead = [weakref.ref(owner) for owner in owners]
    del b, owners
    gc.collect()
    assert [ref() for ref in dead] == [None] * 3
