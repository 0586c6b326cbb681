"""FileRegion: ranges of files as parts, sent by reference."""

from __future__ import annotations

import copy
import gzip
import mmap
import os
import pickle
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bytebufs import COMPILED, CompositeBuffer, FileRegion, SliceBuffer, TruncatedFile, copy_audit, no_copy
from bytebufs._core.parts import LazyOwner

from ..descriptors import descriptors, left_open

PAGE = mmap.ALLOCATIONGRANULARITY
DATA = random.Random(5).randbytes(2 * PAGE + 500)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


def maps(path: Path) -> int:
    return Path("/proc/self/maps").read_text(encoding="utf-8").count(str(path))


def run(source: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a program of its own, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *map(str, args)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent.parent,
    )


@pytest.fixture
def fstats(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the descriptors that somebody asks the size of."""
    asked: list[int] = []
    fstat = os.fstat

    def noting(fd: int) -> os.stat_result:
        asked.append(fd)
        return fstat(fd)

    monkeypatch.setattr(os, "fstat", noting)
    return asked


# -- making one


def test_a_region_shows_a_range_of_a_file(path: Path) -> None:
    for start, count in ((0, 10), (7, 100), (PAGE, 5), (PAGE - 1, PAGE + 2), (len(DATA) - 1, 1), (0, len(DATA))):
        region = FileRegion(path, start, count)
        assert len(region) == region.nbytes == count
        assert region[:] == DATA[start : start + count]
        assert (region.offset, region.stable, region.name) == (start, False, str(path))


def test_no_count_is_all_up_to_the_end(path: Path) -> None:
    assert len(FileRegion(path)) == len(DATA)
    assert FileRegion(path, 100)[:] == DATA[100:]


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
def test_making_one_that_is_interrupted_leaves_no_descriptor(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    before = descriptors()
    monkeypatch.setattr(LazyOwner, "__init__", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            FileRegion(path)
    assert left_open() == before


def test_an_empty_region_is_no_part(path: Path) -> None:
    for region in (FileRegion(path, 5, 0), FileRegion(path, len(DATA))):
        assert not region
        assert len(region) == 0
        b = CompositeBuffer([b"a", region, b"b"])
        assert b == b"ab"
        assert b.part_count == 2
        assert region[:] == b""
        assert SliceBuffer(region) == b""


def test_numbers_of_other_libraries_serve(path: Path) -> None:
    np = pytest.importorskip("numpy")
    assert FileRegion(path, np.int64(3), np.uint8(4))[np.int32(1) :] == DATA[4:7]


@pytest.mark.parametrize(
    ("offset", "count", "error"),
    [(-1, 1, ValueError), (0, -1, ValueError), (1.0, 1, TypeError), (0, "1", TypeError), (None, 1, TypeError)],
)
def test_numbers_that_are_none_are_refused(path: Path, offset: Any, count: Any, error: type[Exception]) -> None:
    before = descriptors()
    with pytest.raises(error):
        FileRegion(path, offset, count)
    assert left_open() == before


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [(0, len(DATA) + 1, len(DATA) + 1), (len(DATA), 1, len(DATA) + 1), (2**80, None, 2**80), (1, 2**80, 2**80 + 1)],
)
def test_a_range_beyond_the_end_shows_the_numbers(path: Path, offset: int, count: int | None, expected: int) -> None:
    before = descriptors()
    with pytest.raises(TruncatedFile) as caught:
        FileRegion(path, offset, count)
    assert left_open() == before
    assert str(caught.value) == f"{path} ends at byte {len(DATA)}, expected at least {expected}"


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    for file in (tmp_path, "/dev/zero", "/proc/self/status"):
        with pytest.raises(ValueError):
            FileRegion(file)
    with gzip.open(tmp_path / "x.gz", "wb") as packed, pytest.raises(TypeError):
        FileRegion(packed)


def test_the_file_may_be_closed_and_its_number_given_to_another(path: Path, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"other" * 1000)
    mine = os.open(path, os.O_RDONLY)
    region = FileRegion(mine, 10, 20)
    os.close(mine)
    other = os.open(tmp_path / "other", os.O_RDONLY)
    assert other == mine
    assert region[:] == DATA[10:30]
    os.close(other)


def test_the_path_may_be_replaced(path: Path, tmp_path: Path) -> None:
    region = FileRegion(path, 0, 10)
    (tmp_path / "other").write_bytes(b"other" * 1000)
    (tmp_path / "other").replace(path)
    assert region[:] == DATA[:10]
    path.unlink()
    assert FileRegion(region._fd, 10, 10)[:] == DATA[10:20]


def test_a_file_object_may_be_closed_and_keeps_its_position() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.seek(7)
        region = FileRegion(file, 3, 50)
        assert region[:] == DATA[3:53]
        assert file.tell() == 7
    assert region[:] == DATA[3:53]


# -- what it is and is not


def test_slices_are_buffers_over_the_region(path: Path) -> None:
    region = FileRegion(path, 100, 50)
    data = DATA[100:150]
    for key in (slice(None), slice(3, 9), slice(-5, None), slice(40, 10), slice(10, 2**70), slice(-(2**70), 4)):
        cut = region[key]
        assert type(cut) is SliceBuffer
        assert cut == data[key]
        assert cut.readonly
        cut._check()


def test_an_index_or_a_step_is_refused_with_what_to_write(path: Path) -> None:
    region = FileRegion(path)
    with pytest.raises(TypeError) as caught:
        region[3]  # type: ignore[index]
    assert str(caught.value) == "it is sliced, not indexed: write region[:][3], or keep region[:], which is a buffer"
    with pytest.raises(ValueError) as step:
        region[::2]
    assert str(step.value) == "a slice of a file has step 1: write bytes(region[:])[::2] for a copy"


def test_it_is_a_part_and_no_buffer(path: Path) -> None:
    region = FileRegion(path, 0, 4)
    uses: list[Any] = [iter, bytes, memoryview, lambda r: 1 in r, lambda r: r + b"x"]
    for use in uses:
        with pytest.raises(TypeError):
            use(region)
    assert isinstance(region, LazyOwner)


def test_it_is_copied_by_itself_and_pickled_by_its_bytes(path: Path) -> None:  # tests/test_pickling.py has more
    region = FileRegion(path, 3, 20)
    assert copy.copy(region) is region
    loaded = pickle.loads(pickle.dumps(region))
    assert (type(loaded), bytes(loaded)) == (SliceBuffer, DATA[3:23])


def test_its_repr_names_file_and_range(path: Path) -> None:
    assert repr(FileRegion(path, 5, 10)) == f"<FileRegion: bytes 5 to 15 of {path}>"
    assert repr(FileRegion(path, 5, 10, stable=True)) == f"<FileRegion: bytes 5 to 15 of {path}, stable>"


def test_a_layout_tells_where_in_which_file_the_bytes_lie(path: Path) -> None:
    lines = CompositeBuffer([b"ab", FileRegion(path, 5, 100)[10:20]]).layout().splitlines()
    assert lines[-1].split("  ")[-1] == f"[10:20] of FileRegion of 100, from byte 5 of {path}"
    assert maps(path) == 0


def test_slices_of_one_region_that_touch_merge(path: Path) -> None:
    region = FileRegion(path, 10, 100)
    b = CompositeBuffer([region[:40], region[40:60]])
    assert b.part_count == 1
    b.append(region[60:])
    b.append(region[:5])
    assert b.part_count == 2
    assert b == DATA[10:110] + DATA[10:15]
    cut = CompositeBuffer([b[:33], b[33:77], b[77:]])
    assert cut.part_count == 2
    assert CompositeBuffer([FileRegion(path, 0, 5), FileRegion(path, 5, 5)]).part_count == 2


def test_it_counts_as_mapped_and_not_as_pinned(path: Path) -> None:
    region = FileRegion(path, 10, 100)
    b = CompositeBuffer([b"abc", region[:5], b"-", region[50:]])
    assert (b.mapped_nbytes, b.pinned_nbytes) == (100, 4)
    assert b.compact() == 0


def test_a_region_is_read_only(path: Path) -> None:
    with pytest.raises(TypeError):
        CompositeBuffer([FileRegion(path)]).write_at(0, b"x")
    view = FileRegion(path)[:].view()
    assert view.readonly
    assert path.read_bytes() == DATA


# -- looking, and not looking


NO_LOOK: dict[str, Callable[[CompositeBuffer], object]] = {
    "len": len,
    "bool": bool,
    "repr": repr,
    "layout": CompositeBuffer.layout,
    "slicing": lambda b: b[3:5000][1:],
    "take": lambda b: b.take(10),
    "skip": lambda b: b.skip(10),
    "truncate": lambda b: b.truncate(10),
    "splice": lambda b: b.splice(5, 10, b"x"),
    "insert": lambda b: b.insert(7, b"x"),
    "freeze": CompositeBuffer.freeze,
    "copy": copy.copy,
    "nesting": lambda b: CompositeBuffer([b, b]),
    "comparing lengths": lambda b: (b == b"abc", b != b"abc", b == CompositeBuffer([b"x", b])),
    "the same parts": lambda b: b == b.freeze(),
    "facts": lambda b: (b.part_count, b.is_contiguous, b.readonly, b.pinned_nbytes, b.mapped_nbytes),
    "compact": CompositeBuffer.compact,
    "reading nothing": lambda b: b[5:5].tobytes(),
}


@pytest.mark.parametrize("name", NO_LOOK)
def test_what_needs_no_bytes_neither_maps_nor_asks(path: Path, fstats: list[int], name: str) -> None:
    region = FileRegion(path, 3)
    b = CompositeBuffer([region])
    fstats.clear()
    NO_LOOK[name](b)
    assert fstats == []
    assert maps(path) == 0


LOOKS: dict[str, Callable[[SliceBuffer], object]] = {
    "index": lambda b: b[17],
    "find": lambda b: b.find(b"no such bytes"),
    "rfind": lambda b: b.rfind(b"no such bytes"),
    "count": lambda b: b.count(b"no such bytes"),
    "in": lambda b: b"no such bytes" in b,
    "equal": lambda b: b == DATA[3:],
    "startswith": lambda b: b.startswith(DATA[3:100]),
    "endswith": lambda b: b.endswith(DATA[-100:]),
    "bytes": bytes,
    "decode": lambda b: b.decode("latin-1"),
    "view": SliceBuffer.view,
    "views": SliceBuffer.views,
    "contiguous": SliceBuffer.contiguous,
    "copy_into": lambda b: b.copy_into(bytearray(len(b))),
    "unpack_from": lambda b: b.unpack_from(">IQ", 5),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_asks_for_the_size_once_and_maps_once(path: Path, fstats: list[int], name: str) -> None:
    region = FileRegion(path, 3)
    b = region[:]
    fstats.clear()
    LOOKS[name](b)
    assert fstats == [region._fd]
    assert maps(path) == 1
    LOOKS[name](b[10:])
    LOOKS[name](CompositeBuffer([b, b"x"])[:-1])
    assert maps(path) == 1


@pytest.mark.parametrize("iterate", [iter, reversed])
def test_an_iterator_asks_for_the_size_again_before_each_page(
    path: Path, fstats: list[int], iterate: Callable[[SliceBuffer], Iterator[int]]
) -> None:
    region = FileRegion(path, 3)
    fstats.clear()
    assert sorted(iterate(region[:])) == sorted(DATA[3:])
    assert set(fstats) == {region._fd}
    assert len(DATA) // 4096 <= len(fstats) <= len(DATA) // 4096 + 2
    assert maps(path) == 1


def test_a_map_goes_with_its_last_reader(path: Path) -> None:
    before = descriptors()
    region = FileRegion(path, 3)
    view = region[5:10].view()
    del region
    assert maps(path) == 1
    assert view == DATA[8:13]
    del view
    assert maps(path) == 0
    assert left_open() == before


def test_thousands_of_regions_leave_nothing_behind(path: Path) -> None:
    with path.open("rb") as file:
        before = descriptors()
        for i in range(3_000):
            region = FileRegion(file, i, 100)
            if i % 3 == 0:
                assert region[:3] == DATA[i : i + 3]
            with pytest.raises(TruncatedFile):
                FileRegion(file, len(DATA), 1)
            del region
        assert left_open() == before
        assert maps(path) == 0


def test_threads_that_look_first_at_once_share_one_map(path: Path) -> None:
    for _ in range(20):
        region = FileRegion(path, 5)
        whole = region[:]
        barrier = threading.Barrier(8)
        found: list[memoryview] = []

        def look(barrier: threading.Barrier = barrier, whole: SliceBuffer = whole, found: Any = found) -> None:
            barrier.wait(30)
            assert whole.find(DATA[-10:]) == len(DATA) - 15
            found.append(whole.view())

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(view.obj) for view in found}) == 1
        assert len(found) == 8
        assert maps(path) == 1


def test_searching_copies_nothing(path: Path) -> None:
    b = CompositeBuffer([b"head", FileRegion(path, 3), b"tail"])
    with no_copy(strict=True):
        assert b.find(DATA[PAGE : PAGE + 20]) == 4 + PAGE - 3
        assert b.rfind(DATA[PAGE : PAGE + 20]) == 4 + PAGE - 3
        assert b.find(DATA[-5:] + b"ta") == 4 + len(DATA) - 3 - 5
        assert b == CompositeBuffer([b"head", DATA[3:], b"tail"])


def test_bytes_of_a_region_are_a_counted_copy(path: Path) -> None:
    with copy_audit() as audit:
        assert bytes(FileRegion(path, 3, 100)[:]) == DATA[3:103]
    assert audit.by_reason == {"bytes": 100}


def test_changes_of_the_file_show(path: Path) -> None:
    region = FileRegion(path, 3, 100)
    assert region[:4] == DATA[3:7]
    with path.open("r+b") as file:
        file.seek(4)
        file.write(b"??")
    assert region[:4] == DATA[3:4] + b"??" + DATA[6:7]


def test_the_far_end_of_a_sparse_file_of_6_gib(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    size = 6 << 30
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 5)
        file.write(b"end\n!")
    region = FileRegion(path, size - 10)
    assert region[:] == bytes(5) + b"end\n!"
    assert region[:].find(b"\n") == 8
    whole = FileRegion(path, 1)
    b = CompositeBuffer([b"x", whole, b"y"])
    assert len(b) == size + 1
    assert b[size - 5 :] == b"end\n!y"
    assert b.rfind(b"end", size - 100) == size - 5
    assert b.mapped_nbytes == size - 1


def test_prefetching_is_advice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []
    region = FileRegion(path, 100, 1000)
    monkeypatch.setattr(os, "posix_fadvise", lambda *args: asked.append(args))
    region.prefetch()
    region.prefetch(10, 20)
    region.prefetch(1000)
    assert asked == [
        (region._fd, 100, 1000, os.POSIX_FADV_WILLNEED),
        (region._fd, 110, 20, os.POSIX_FADV_WILLNEED),
    ]
    for offset, count, stop in ((0, 1001, 1001), (1001, None, 1001), (999, 2, 1001)):
        with pytest.raises(IndexError) as caught:
            region.prefetch(offset, count)
        assert str(caught.value) == f"[{offset}:{stop}] reaches beyond the 1000 bytes that are there"
    with pytest.raises(ValueError):
        region.prefetch(-1)
    monkeypatch.undo()
    region.prefetch()
    monkeypatch.delattr(os, "posix_fadvise")
    region.prefetch()
    assert maps(path) == 0


# -- processes


def test_the_end_of_the_interpreter_is_silent(path: Path) -> None:
    source = """
import sys
from bytebufs import CompositeBuffer, FileRegion, MappedFile
class Cycle: pass
cycle = Cycle()
cycle.itself = cycle
cycle.region = FileRegion(sys.argv[1], 3)
cycle.slice = cycle.region[5:10]
assert len(bytes(cycle.slice)) == 5
sys.kept = CompositeBuffer([FileRegion(sys.argv[1]), MappedFile(sys.argv[1])[:]])
sys.modules["another"] = FileRegion(sys.argv[1])
"""
    found = run(source, path)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_forked_child_reads_what_its_parent_does(path: Path) -> None:
    """In a process of its own: who has threads, as pytest's workers do, is warned not to fork."""
    source = """
import os, sys
from bytebufs import FileRegion
region = FileRegion(sys.argv[1], 3, 1000)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
with open(sys.argv[1], "rb") as file:
    print(region[:] == file.read()[3:1003], flush=True)
"""
    found = run(source, path)
    assert (found.returncode, found.stdout) == (0, "True\nTrue\n")


def test_garbage_gives_its_descriptors_back_when_they_run_out(path: Path) -> None:
    source = """
import gc, resource, sys
from bytebufs import FileRegion, MappedFile
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
gc.disable()
class Cycle: pass
for i in range(400):
    cycle = Cycle()
    cycle.itself = cycle
    cycle.region = (FileRegion, MappedFile)[i % 2](sys.argv[1])
    assert len(bytes(cycle.region[:5])) == 5
kept = []
try:
    while True:
        kept.append(FileRegion(sys.argv[1]))
except OSError as error:
    print(error.strerror)
"""
    found = run(source, path)
    assert (found.stdout, found.stderr) == ("Too many open files\n", "")


def test_garbage_gives_its_memory_back_when_it_runs_out() -> None:
    source = """
import gc, resource
from bytebufs import allocate
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
gc.disable()
class Cycle: pass
for i in range(30):
    cycle = Cycle()
    cycle.itself = cycle
    cycle.block = allocate(200 << 20)
try:
    allocate(2 << 30)
except MemoryError as error:
    print(error)
"""
    found = run(source)
    assert (found.stdout, found.stderr) == (f"{2 << 30} bytes of memory cannot be had\n", "")


def test_what_is_for_the_buffers_is_not_for_users(path: Path) -> None:
    region = FileRegion(path)
    assert [name for name in dir(region) if not name.startswith("_")] == [
        "name", "nbytes", "offset", "prefetch", "stable",
    ]  # fmt: skip
    assert (region.offset, region.nbytes, region.stable) == (0, len(region), False)
