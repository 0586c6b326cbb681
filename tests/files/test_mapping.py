"""Maps of ranges of files at any offset, and memory of the process's own."""

from __future__ import annotations

import errno
import mmap
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bytebufs import TruncatedFile
from bytebufs._core.owners import Map
from bytebufs.files import mapping
from bytebufs.files.mapping import anonymous, guard_of, map_file, map_searchable, page_start

PAGE = mmap.ALLOCATIONGRANULARITY
DATA = random.Random(1).randbytes(3 * PAGE + 100)


@pytest.fixture
def fd() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(DATA)
        file.flush()
        yield file.fileno()


RANGES = [(0, 1), (0, len(DATA)), (PAGE, 10), (3, 10), (PAGE - 1, 2), (2 * PAGE + 17, PAGE + 83), (len(DATA) - 1, 1)]


def test_where_pages_start() -> None:
    assert [page_start(at) for at in (0, 1, PAGE - 1, PAGE, 2**40 + 5)] == [0, 0, 0, PAGE, 2**40]


@pytest.mark.parametrize(("start", "nbytes"), RANGES)
def test_a_map_begins_at_a_page_and_tells_where_the_range_does(fd: int, start: int, nbytes: int) -> None:
    mapped, at = map_file(fd, "f", start, nbytes, mmap.ACCESS_READ)
    assert 0 <= at < PAGE
    assert len(mapped) == at + nbytes
    assert mapped[at:] == DATA[start : start + nbytes]


@pytest.mark.parametrize(("start", "nbytes"), RANGES)
def test_searchable_memory_finds_by_the_ranges_own_offsets(fd: int, start: int, nbytes: int) -> None:
    memory = map_searchable(fd, "f", start, nbytes, os.fstat(fd))
    expected = DATA[start : start + nbytes]
    assert memory.view == expected
    assert memory.view.readonly
    finder = memory.finder
    assert isinstance(finder, mmap.mmap)
    assert finder.find(expected[-1:]) == expected.find(expected[-1:])
    assert finder.rfind(expected[:1]) == expected.rfind(expected[:1])
    choose = random.Random(start)
    for _ in range(50):
        low = choose.randrange(nbytes)
        high = choose.randrange(low, nbytes) + 1
        at = choose.randrange(low, high)
        for needle in (expected[at : min(at + 3, high)], b"no such thing", expected[at : at + 1]):
            assert finder.find(needle, low, high) == expected.find(needle, low, high)
            assert finder.rfind(needle, low, high) == expected.rfind(needle, low, high)
            assert finder.find(memoryview(needle), low, high) == expected.find(needle, low, high)


def test_searchable_memory_lives_without_the_descriptor(fd: int) -> None:
    mine = os.dup(fd)
    memory = map_searchable(mine, "f", 5, 20, os.fstat(mine))
    os.close(mine)
    assert memory.view == DATA[5:25]


@pytest.mark.parametrize("start", [0, 3, PAGE, 4 * PAGE])
def test_a_range_beyond_the_end_is_a_truncated_file(fd: int, start: int) -> None:
    """Whoever maps has asked for the size before; the file may have shrunk since."""
    makers: list[Callable[[int, str, int, int], object]] = [
        lambda fd, name, start, n: map_searchable(fd, name, start, n, os.fstat(fd)),
        lambda fd, name, start, n: map_file(fd, name, start, n, mmap.ACCESS_READ),
    ]
    for make in makers:
        with pytest.raises(TruncatedFile) as caught:
            make(fd, "f", start, len(DATA) + 1)
        assert (caught.value.expected, caught.value.found) == (start + len(DATA) + 1, len(DATA))


def test_errors_of_the_system_pass(fd: int) -> None:
    readable = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    with pytest.raises(PermissionError):
        map_file(readable, "f", 0, 10, mmap.ACCESS_WRITE)
    os.close(readable)


# -- memory of the process's own


def test_anonymous_memory_is_zeroed_and_writable() -> None:
    memory = anonymous(PAGE + 1)
    assert memory[:] == bytes(PAGE + 1)
    memory[0] = 1
    assert memory[0] == 1


def test_anonymous_memory_is_not_shared_with_children() -> None:
    """In a process of its own: who has threads, as pytest's workers do, is warned not to fork."""
    source = """
import os
from bytebufs.files.mapping import anonymous
memory = anonymous(1)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    print(memory[0])
else:
    memory[0] = 7
"""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert found.stdout == "0\n"


@pytest.mark.parametrize("nbytes", [1 << 56, 1 << 63, 1 << 100])
def test_more_memory_than_there_is(nbytes: int) -> None:
    with pytest.raises(MemoryError) as caught:
        anonymous(nbytes)
    assert str(caught.value) == f"{nbytes} bytes of memory cannot be had"


def test_other_errors_of_allocating_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> mmap.mmap:
        raise OSError(errno.EPERM, "locked down")

    monkeypatch.setattr(mapping, "Map", refuse)
    with pytest.raises(PermissionError):
        anonymous(1)


def test_a_guard_says_whether_the_file_of_a_map_is_whole(fd: int) -> None:
    mapped, slack = map_file(fd, "its name", PAGE + 3, 10, mmap.ACCESS_READ)
    guard = guard_of(mapped, "its name", PAGE + 3 - slack)
    guard(slack + 10)
    os.truncate(fd, PAGE + 5)
    guard(slack + 2)
    with pytest.raises(TruncatedFile) as caught:
        guard(slack + 3)
    assert str(caught.value) == f"its name ends at byte {PAGE + 5}, expected at least {PAGE + 6}"


def test_a_map_of_a_file_knows_which_and_where(fd: int) -> None:
    status = os.fstat(fd)
    for access in (mmap.ACCESS_READ, mmap.ACCESS_COPY):
        mapped, slack = map_file(fd, "f", PAGE + 3, 10, access)
        assert mapped.file == (status.st_dev, status.st_ino, PAGE + 3 - slack)
        assert mapped.is_private is (access == mmap.ACCESS_COPY)
    memory = map_searchable(fd, "f", 5, 10, status)
    assert isinstance(memory.holder, Map)
    assert memory.holder.file == (status.st_dev, status.st_ino, 0)
    private = anonymous(5)
    assert (private.file, private.is_private) == (None, True)


def test_what_does_not_fit_into_the_address_space_says_what_to_do(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> Map:
        raise OSError(errno.ENOMEM, "no room")

    monkeypatch.setattr(mapping, "Map", refuse)
    with pytest.raises(OSError, match="10 bytes cannot be mapped at once, take smaller ranges of it") as caught:
        map_searchable(fd, "its name", 0, 10, os.fstat(fd))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOMEM, "its name")
