"""MappedFile: mapping, writing, advising, and closing while something shows it."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bytebufs import ClosedError, CompositeBuffer, MappedFile, SliceBuffer, TruncatedFile, allocate, flush, no_copy

from ..descriptors import descriptors, left_open

PAGE = mmap.ALLOCATIONGRANULARITY
DATA = random.Random(6).randbytes(2 * PAGE + 500)

held: Any = None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


def maps(path: Path) -> int:
    return Path("/proc/self/maps").read_text(encoding="utf-8").count(str(path))


RANGES = [(0, None), (0, 10), (3, None), (PAGE, 20), (PAGE - 1, 2), (PAGE + 7, PAGE), (len(DATA) - 1, 1)]


# -- mapping


@pytest.mark.parametrize(("offset", "length"), RANGES)
@pytest.mark.parametrize("access", ["read", "write", "copy"])
def test_any_range_is_mapped(path: Path, access: Any, offset: int, length: int | None) -> None:  # defects.md O19
    expected = DATA[offset:] if length is None else DATA[offset : offset + length]
    mapped = MappedFile(path, access=access, offset=offset, length=length)
    assert len(mapped) == len(expected)
    whole = mapped[:]
    assert type(whole) is SliceBuffer
    assert whole == expected
    assert whole.readonly == (access == "read")
    assert whole.find(expected[-3:]) == expected.find(expected[-3:])
    for key in (slice(3, 9), slice(-1, None), slice(9, 3), slice(0, 2**70)):
        assert mapped[key] == expected[key]
        mapped[key]._check()


def test_a_map_of_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    before = descriptors()
    for mapped in (MappedFile(tmp_path / "empty"), MappedFile(path, length=0), MappedFile(path, offset=len(DATA))):
        with mapped:
            assert len(mapped) == 0
            assert mapped[:] == mapped[5:9] == b""
            mapped.advise("random")
            mapped.prefetch()
        assert mapped.closed
        with pytest.raises(ClosedError):
            mapped[:]
    mapped = MappedFile(tmp_path / "empty", access="write")
    mapped.flush()
    kept = mapped[:]
    mapped.close()
    mapped.close()
    assert mapped.closed
    assert kept == b""
    assert left_open() == before


def test_descriptors_and_file_objects_are_mapped_too(path: Path) -> None:
    with path.open("r+b") as file:
        for source in (file, file.fileno()):
            MappedFile(source, access="write", offset=3)[1:3].write_at(0, b"??")
    assert path.read_bytes() == DATA[:4] + b"??" + DATA[6:]


def test_slices_merge_with_their_neighbours(path: Path) -> None:
    mapped = MappedFile(path, offset=7)
    assert CompositeBuffer([mapped[:9], mapped[9:20], mapped[20:]]).part_count == 1
    assert CompositeBuffer([mapped[9:20], mapped[:9]]).part_count == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"access": "rw"}, ValueError),
        ({"offset": -1}, ValueError),
        ({"length": -1}, ValueError),
        ({"length": 1.5}, TypeError),
        ({"length": len(DATA) + 1}, TruncatedFile),
        ({"offset": 2**70}, TruncatedFile),
    ],
)
def test_what_cannot_be_mapped_is_refused(path: Path, options: dict[str, Any], error: type[Exception]) -> None:
    before = descriptors()
    with pytest.raises(error):
        MappedFile(path, **options)
    assert left_open() == before
    assert path.stat().st_size == len(DATA)


def test_the_words_for_access_are_told(path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        MappedFile(path, access="rw")  # type: ignore[arg-type]
    assert str(caught.value) == "access is one of 'read', 'write', 'copy', not 'rw'"


def test_writing_needs_a_descriptor_that_may(path: Path) -> None:
    before = descriptors()
    with path.open("rb") as file:
        with pytest.raises(PermissionError):
            MappedFile(file, access="write")
        MappedFile(file, access="copy")[:].write_at(0, b"x")
    assert path.read_bytes() == DATA
    assert left_open() == before


def test_it_is_no_buffer_and_says_what_is(path: Path) -> None:
    mapped = MappedFile(path)
    uses: list[Any] = [iter, memoryview, CompositeBuffer().append, lambda m: 1 in m]
    for use in uses:
        with pytest.raises(TypeError):
            use(mapped)
    with pytest.raises(TypeError) as indexed:
        mapped[0]  # type: ignore[index]
    assert str(indexed.value) == "it is sliced, not indexed: write mapped[:][0], or keep mapped[:], which is a buffer"
    with pytest.raises(ValueError, match=r"write bytes\(mapped\[:\]\)\[::2\]"):
        mapped[::2]
    with pytest.raises(TypeError) as pickled:
        pickle.dumps(mapped)
    expected = "a MappedFile cannot be pickled, its map is this process's own: pickle mapped[:]"
    assert str(pickled.value) == expected


def test_its_repr_names_file_range_and_state(path: Path) -> None:
    mapped = MappedFile(path, access="copy", offset=5, length=10)
    assert repr(mapped) == f"<MappedFile: bytes 5 to 15 of {path}, copy>"
    mapped.close()
    assert repr(mapped) == f"<MappedFile: bytes 5 to 15 of {path}, copy, closed>"


def test_thousands_of_maps_leave_nothing_behind(path: Path) -> None:
    before = descriptors()
    for i in range(2_000):
        mapped = MappedFile(path, offset=i, length=100)
        piece = mapped[:5]
        if i % 3 == 0:
            with mapped:
                pass
        assert piece == DATA[i : i + 5]
        del mapped, piece
    assert (left_open(), maps(path)) == (before, 0)


def test_a_shrunk_file_is_noticed_when_a_slice_is_cut(path: Path) -> None:
    mapped = MappedFile(path, offset=100)
    os.truncate(path, PAGE)
    assert mapped[: PAGE - 100] == DATA[100:PAGE]
    assert mapped[PAGE:PAGE] == b""
    for start, stop in ((0, PAGE - 99), (PAGE, PAGE + 1), (0, len(mapped))):
        with pytest.raises(TruncatedFile) as caught:
            mapped[start:stop]
        assert str(caught.value) == f"{path} ends at byte {PAGE}, expected at least {100 + stop}"


# -- writing


def test_writing_reaches_the_file(path: Path) -> None:
    with MappedFile(path, access="write", offset=PAGE - 5) as mapped:
        b = CompositeBuffer([mapped[3:], b"x"])
        b[:-1].write_at(0, b"written")
        b[:-1].pack_into(">H", 7, 0x4142)
        mapped.flush()
    assert path.read_bytes()[PAGE - 2 : PAGE + 7] == b"writtenAB"
    assert path.stat().st_size == len(DATA)


def test_writing_to_a_copy_does_not(path: Path) -> None:
    mapped = MappedFile(path, access="copy")
    mapped[:5].write_at(0, b"12345")
    assert mapped[:6] == b"12345" + DATA[5:6]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("access", ["read", "copy"])
def test_only_what_writes_to_the_file_is_flushed(path: Path, access: Any) -> None:
    with pytest.raises(TypeError) as caught:
        MappedFile(path, access=access).flush()
    assert str(caught.value) == (f"a MappedFile with access={access!r} does not write to its file: nothing to flush")


@pytest.mark.needs("strace")
def test_a_flush_is_synchronous_and_covers_the_pages(path: Path, tmp_path: Path) -> None:
    """msync with MS_SYNC returns when the range is on the disk: on Linux it is an fdatasync of that range."""
    source = """
import sys
from bytebufs import MappedFile
mapped = MappedFile(sys.argv[1], access="write", offset=10)
mapped[:].write_at(0, b"x")
mapped.flush()
mapped.flush(5000, 100)
mapped.flush(5, 0)
"""
    trace = tmp_path / "trace"
    subprocess.run(
        [str(shutil.which("strace")), "-e", "trace=msync", "-o", trace, sys.executable, "-c", source, path],
        check=True,
        timeout=60,
        cwd=Path(__file__).parent.parent.parent,
    )
    calls = [line.partition(", ")[2] for line in trace.read_text().splitlines() if line.startswith("msync(")]
    assert [call.split(" =")[0].strip() for call in calls] == [
        f"{len(DATA)}, MS_SYNC)",
        f"{5010 + 100 - PAGE}, MS_SYNC)",
    ]


def test_ranges_beyond_the_map_are_refused(path: Path) -> None:
    mapped = MappedFile(path, access="write", length=100)
    for call in (mapped.flush, mapped.prefetch, lambda *args: mapped.advise("normal", *args)):
        for offset, length, stop in ((0, 101, 101), (101, None, 101), (100, 1, 101)):
            with pytest.raises(IndexError) as caught:
                call(offset, length)
            assert str(caught.value) == f"[{offset}:{stop}] reaches beyond the 100 bytes that are there"
        with pytest.raises(ValueError):
            call(-1)


def test_advice_changes_no_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = MappedFile(path, offset=3)
    words: Any
    for words in ("normal", "random", "sequential", "willneed", "dontneed"):
        mapped.advise(words)
        mapped.advise(words, PAGE, 10)
        assert mapped[:] == DATA[3:]
    mapped.prefetch()
    monkeypatch.delattr(mmap, "MADV_WILLNEED")
    mapped.prefetch()


def test_advice_that_is_none_is_refused(path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        MappedFile(path).advise("remove")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "advice is one of 'normal', 'random', 'sequential', 'willneed', 'dontneed', not 'remove'"
    )
    mapped = MappedFile(path, access="copy")
    mapped[:].write_at(0, b"kept")
    with pytest.raises(ValueError, match="would throw away what was written"):
        mapped.advise("dontneed")
    assert mapped[:4] == b"kept"


def test_a_map_goes_to_a_sink_without_a_copy(path: Path) -> None:
    source, sink = os.pipe()
    with no_copy(strict=True):
        assert flush(CompositeBuffer([b"head ", MappedFile(path, offset=3)[:1000]]), sink) == 1005
    assert os.read(source, 2000) == b"head " + DATA[3:1003]
    os.close(source)
    os.close(sink)


@pytest.mark.parametrize("access", ["read", "write", "copy"])
@pytest.mark.parametrize("left", [0, 50, PAGE + 7])
def test_a_file_that_shrinks_is_noticed_when_a_slice_is_flushed(path: Path, access: Any, left: int) -> None:
    mapped = MappedFile(path, access=access, offset=100)
    buffer = CompositeBuffer([b"header", mapped[:], b"between", mapped[7:9]])
    os.truncate(path, left)
    for message in (buffer, buffer.freeze(), buffer[:-1]):
        sink = io.BytesIO()
        with pytest.raises(TruncatedFile) as caught:
            flush(message, sink)
        assert (caught.value.file, caught.value.expected, caught.value.found) == (str(path), len(DATA), left)
        assert caught.value.bytes_flushed == len(sink.getvalue()) == 6  # type: ignore[attr-defined]
    os.truncate(path, len(DATA))
    assert flush(buffer, io.BytesIO()) == len(buffer)


def test_a_slice_of_what_is_left_of_a_file_can_be_flushed(path: Path) -> None:
    mapped = MappedFile(path, offset=100)
    part = mapped[: PAGE - 100]
    whole = mapped[:]
    os.truncate(path, PAGE)
    sink = io.BytesIO()
    assert flush(part, sink) == flush(whole[: PAGE - 100], sink) == PAGE - 100
    assert sink.getvalue() == DATA[100:PAGE] * 2


# -- closing


def test_closing_unmaps_at_once(path: Path) -> None:
    before = descriptors()
    mapped = MappedFile(path)
    assert mapped[:5].tobytes() == DATA[:5]
    mapped.close()
    assert mapped.closed
    assert (left_open(), maps(path)) == (before, 0)
    mapped.close()
    assert len(mapped) == len(DATA)


USES_OF_A_CLOSED_ONE: dict[str, Callable[[MappedFile], object]] = {
    "slice": lambda m: m[:5],
    "empty slice": lambda m: m[5:5],
    "flush": lambda m: m.flush(),
    "prefetch": lambda m: m.prefetch(),
    "advise": lambda m: m.advise("random"),
}


@pytest.mark.parametrize("name", USES_OF_A_CLOSED_ONE)
def test_a_closed_one_is_a_closed_error(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    mapped = MappedFile(path, access="write")
    mapped.close()
    with pytest.raises(ClosedError) as caught:
        USES_OF_A_CLOSED_ONE[name](mapped)
    assert str(caught.value) == f"<MappedFile: bytes 0 to {len(DATA)} of {path}, write, closed> is closed"
    monkeypatch.delattr(mmap, "MADV_RANDOM")
    with pytest.raises(ClosedError):
        mapped.advise("random")


@pytest.mark.usefixtures("nothing_hidden")
def test_closing_with_live_slices_says_how_many_and_who(path: Path) -> None:
    global held  # noqa: PLW0603 - what a collector can name
    mapped = MappedFile(path)
    held = mapped[5:10]
    local = [mapped[:], mapped[3:]]
    try:
        with pytest.raises(BufferError) as caught:
            mapped.close()
        assert str(caught.value) == (
            f"<MappedFile: bytes 0 to {len(DATA)} of {path}, read> is shown by 3 slices, held by a list, "
            f"{__name__}.held: let go of them first"
        )
        assert not mapped.closed
        local.clear()
        with pytest.raises(BufferError, match="is shown by 1 slice, held by "):
            mapped.close()
        assert mapped[5:10] == held == DATA[5:10]
    finally:
        held = None
    mapped.close()
    assert maps(path) == 0


def test_a_part_of_a_composite_is_a_live_slice(path: Path) -> None:
    mapped = MappedFile(path)
    b = CompositeBuffer([b"head", mapped[:5], b"tail"])
    with pytest.raises(BufferError, match="is shown by 1 slice"):
        mapped.close()
    b.skip(9)
    mapped.close()
    assert b == b"tail"


def test_closing_with_a_live_view_says_how_many(path: Path) -> None:
    mapped = MappedFile(path, offset=3)
    views = [mapped[:5].view(), mapped[5:].view()]
    with pytest.raises(BufferError) as caught:
        mapped.close()
    assert "is shown by 2 memoryviews: let go of them first" in str(caught.value)
    assert not mapped.closed
    assert mapped[:5] == views[0]
    del views[0]
    with pytest.raises(BufferError, match="is shown by 1 memoryview: "):
        mapped.close()
    views.clear()
    mapped.close()
    assert maps(path) == 0


def test_a_failed_close_keeps_nothing_alive(path: Path) -> None:
    mapped = MappedFile(path)
    piece = mapped[:5]
    for _ in range(3):
        with pytest.raises(BufferError):
            mapped.close()
    del piece
    mapped.close()
    assert maps(path) == 0


def test_leaving_a_block_closes_to_new_slices_and_unmaps_with_the_last(path: Path) -> None:
    before = descriptors()
    with MappedFile(path) as mapped:
        piece = mapped[3:10]
        view = mapped[10:20].view()
    assert mapped.closed
    with pytest.raises(ClosedError):
        mapped[:]
    mapped.close()
    assert piece == DATA[3:10]
    assert view == DATA[10:20]
    assert maps(path) == 1
    del piece
    assert maps(path) == 1
    del view
    assert (left_open(), maps(path)) == (before, 0)


def test_leaving_a_block_by_an_error_does_not_hide_it(path: Path) -> None:
    def fail() -> None:
        with MappedFile(path) as mapped:
            piece = mapped[3:10]
            raise LookupError(len(piece))

    with pytest.raises(LookupError, match="7"):
        fail()


# -- direct memory


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_direct_memory_is_received_into(pair: tuple[socket.socket, socket.socket]) -> None:
    block = allocate(100_000)
    assert type(block) is SliceBuffer
    assert (len(block), block.readonly, block.pinned_nbytes, block.mapped_nbytes) == (100_000, False, 0, 100_000)
    assert block.count(0) == 100_000
    pair[0].sendall(b"hello, world")
    n = pair[1].recv_into(block.view())
    message = CompositeBuffer([block[:5], block[5:n]])
    assert message == b"hello, world"
    assert message.part_count == 1
    block.write_at(0, b"J")
    block.pack_into(">H", 99_998, 7)
    assert message == b"Jello, world"
    assert block.unpack_from(">H", 99_998) == (7,)
    assert block.find(b"\x07") == 99_999


def test_direct_memory_of_no_bytes() -> None:
    assert allocate(0) == b""


@pytest.mark.parametrize(
    ("size", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (1 << 70, MemoryError)]
)
def test_sizes_of_direct_memory_that_cannot_be(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        allocate(size)
