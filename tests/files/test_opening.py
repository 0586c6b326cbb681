"""Which files ranges are taken from, what is refused, and what becomes of descriptors."""

from __future__ import annotations

import errno
import gc
import gzip
import io
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bytebufs import FileRegion, SliceBuffer, TruncatedFile
from bytebufs.files.opening import descriptor_of, name_of, open_regular, read_at, retried, size_in_file

from ..descriptors import descriptors, left_open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def read_all(file: Any, **options: Any) -> bytes:
    fd, _ = open_regular(file, **options)
    try:
        assert not os.get_inheritable(fd)
        return os.pread(fd, 100, 0)
    finally:
        os.close(fd)


# -- what serves


def test_a_path_is_opened_in_all_its_spellings(path: Path) -> None:
    before = descriptors()
    for spelling in (path, str(path), os.fsencode(path)):
        assert read_all(spelling) == b"0123456789"
        fd, name = open_regular(spelling)
        os.close(fd)
        assert name == str(path)
    assert left_open() == before


@pytest.mark.parametrize("mode", ["rb", "r+b"])
@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_object_gives_a_duplicate(path: Path, mode: str, buffering: int) -> None:
    with path.open(mode, buffering=buffering) as file:
        fd, name = open_regular(file)
        assert fd != file.fileno()
    assert os.pread(fd, 3, 0) == b"012"
    os.close(fd)
    assert name == str(path)


def test_a_descriptor_gives_a_duplicate(path: Path) -> None:
    mine = os.open(path, os.O_RDONLY)
    fd, name = open_regular(mine)
    assert name == f"descriptor {mine}"
    os.close(mine)
    assert os.pread(fd, 3, 7) == b"789"
    os.close(fd)


def test_what_a_file_object_has_buffered_is_written_first() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"not there yet")
        assert os.fstat(file.fileno()).st_size == 0
        assert read_all(file) == b"not there yet"


@pytest.mark.parametrize(
    "make",
    [
        tempfile.TemporaryFile,
        tempfile.NamedTemporaryFile,
        lambda: tempfile.NamedTemporaryFile(buffering=0),
        tempfile.SpooledTemporaryFile,
        lambda: tempfile.SpooledTemporaryFile(max_size=3),
    ],
    ids=["TemporaryFile", "NamedTemporaryFile", "unbuffered", "SpooledTemporaryFile", "rolled over"],
)
def test_the_files_of_tempfile_serve(make: Callable[[], Any]) -> None:
    with make() as file:
        file.write(b"not there yet")
        assert read_all(file) == b"not there yet"
        region = FileRegion(file, 4)
        assert region[:] == b"there yet"
        assert repr(region) == f"<FileRegion: bytes 4 to 13 of {name_of(file)}>"
        file.write(b", and more")
        file.flush()
        assert FileRegion(file)[:] == b"not there yet, and more"


@pytest.mark.parametrize("make", [tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile])
def test_a_text_file_of_tempfile_is_refused(make: Callable[..., Any]) -> None:
    with make(mode="w+", encoding="ascii") as file, pytest.raises(TypeError, match="is open as text"):
        FileRegion(file)


def test_whoever_has_not_imported_tempfile_has_no_such_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tempfile")
    with path.open("rb") as file:
        assert read_all(file) == b"0123456789"
    assert "tempfile" not in sys.modules, "importing it is not light"


def test_memory_files_and_empty_files_serve(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_all(tmp_path / "empty") == b""
    fd = os.memfd_create("x")
    os.write(fd, b"abc")
    assert read_all(fd) == b"abc"
    os.close(fd)


def test_a_writable_path_is_open_for_writing(path: Path) -> None:
    fd, _ = open_regular(path, writable=True)
    os.pwrite(fd, b"X", 0)
    os.close(fd)
    assert path.read_bytes() == b"X123456789"


# -- what is refused


def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = descriptors()
    for file, kind in ((tmp_path / "fifo", "a pipe"), (tmp_path, "a directory"), ("/dev/null", "a character device")):
        with pytest.raises(ValueError) as caught:
            open_regular(file)
        assert str(caught.value) == f"a regular file is wanted, and {file} is {kind}"
    assert left_open() == before


def test_descriptors_of_pipes_sockets_and_others_are_named() -> None:
    pipe = os.pipe()
    left, right = socket.socketpair()
    poll = os.eventfd(0)
    with left, right:
        for fd, kind in ((pipe[0], "a pipe"), (left.fileno(), "a socket"), (poll, "something else")):
            with pytest.raises(ValueError, match=re.escape(f"descriptor {fd} is {kind}")):
                open_regular(fd)
    for fd in (*pipe, poll):
        os.close(fd)


def test_a_file_of_proc_is_refused_because_its_size_is_unknown() -> None:
    before = descriptors()
    with pytest.raises(ValueError) as caught:
        open_regular("/proc/self/status")
    assert str(caught.value) == "/proc/self/status has bytes but no size: read it instead"
    assert left_open() == before


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_a_descriptor_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    fd = os.open(path, os.O_WRONLY)
    with pytest.raises(ValueError) as caught:
        open_regular(fd)
    os.close(fd)
    assert str(caught.value) == f"descriptor {fd} is not open for reading"


def test_other_errors_of_reading_pass() -> None:
    with pytest.raises(OSError) as caught:
        open_regular("/proc/self/mem")  # says that it is empty, and nothing can be read at its beginning
    assert caught.value.errno == errno.EIO


def test_a_text_file_is_refused(path: Path) -> None:
    with path.open(encoding="ascii") as file, pytest.raises(TypeError) as caught:
        descriptor_of(file)
    assert str(caught.value) == f"{path} is open as text: open it in mode 'rb', or give its .buffer"


def test_what_reads_in_a_way_of_its_own_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "x.gz", "wb") as file, pytest.raises(TypeError) as caught:
        descriptor_of(file)
    assert "not GzipFile" in str(caught.value)
    assert "if you mean that, give its fileno()" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (io.BytesIO(b"x"), r"; a part with what it holds is its getbuffer\(\)"),
        (SliceBuffer(b"x"), "; what is bytes-like is a part as it is"),
        (bytearray(b"x"), "; what is bytes-like is a part as it is"),
        (1.5, "not float: 1.5"),
    ],
    ids=["BytesIO", "SliceBuffer", "bytearray", "float"],
)
def test_what_is_no_file_is_told_what_to_write(wrong: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=f"^a path, a descriptor or a file open in binary mode is wanted, .*{advice}$"):
        descriptor_of(wrong)


class Reversed(io.FileIO):
    """A file that reads otherwise than its descriptor."""


def test_subclasses_and_what_is_no_file_are_refused(path: Path) -> None:
    with Reversed(path) as raw, io.BufferedReader(raw) as buffered:
        for file in (raw, buffered, io.BytesIO(b"x"), True, 1.5, None, object()):
            with pytest.raises(TypeError, match=r"^a path, a descriptor or a file open in binary mode is wanted, not "):
                descriptor_of(file)


def test_a_detached_or_closed_file_is_refused(path: Path) -> None:
    file = path.open("rb")
    file.detach().close()
    with pytest.raises(TypeError):
        descriptor_of(file)
    file = path.open("rb")
    file.close()
    with pytest.raises(ValueError, match="closed file"):
        descriptor_of(file)


def test_the_systems_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "missing")
    with pytest.raises(OSError) as caught:
        open_regular(-1)
    assert caught.value.errno == errno.EBADF


def test_names() -> None:
    assert name_of(Path("/a/b")) == "/a/b"
    assert name_of(b"/a\xff") == os.fsdecode(b"/a\xff")
    assert name_of(7) == "descriptor 7"
    with tempfile.TemporaryFile() as file:
        assert name_of(file) == f"descriptor {file.fileno()}"
    assert name_of(None) == "None"


# -- trying again


class Scarce:
    """A call that fails at first, as one does that has run out of something."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)

    def __call__(self) -> str:
        if self.failures:
            raise OSError(self.failures.pop(0), "scarce")
        return "made"


@pytest.mark.parametrize("shortage", [errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_a_shortage_is_met_by_collecting_garbage_once(shortage: int) -> None:
    collected: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        collected.append(phase)

    gc.callbacks.append(note)
    try:
        assert retried(Scarce(shortage)) == "made"
        assert "start" in collected
        with pytest.raises(OSError, match="scarce"):
            retried(Scarce(shortage, shortage))
    finally:
        gc.callbacks.remove(note)


def test_other_failures_are_not_tried_again() -> None:
    call = Scarce(errno.EACCES)
    with pytest.raises(PermissionError):
        retried(call)
    assert call.failures == []


# -- reading and measuring


@pytest.mark.parametrize("platform_has_pread", [True, False])
def test_reading_at_a_place(path: Path, monkeypatch: pytest.MonkeyPatch, platform_has_pread: bool) -> None:
    if not platform_has_pread:
        monkeypatch.delattr(os, "pread")
    with path.open("rb") as file:
        assert read_at(file.fileno(), 3, 4) == b"456"
        assert read_at(file.fileno(), 30, 8) == b"89"
        assert read_at(file.fileno(), 3, 10) == b""


def test_how_many_bytes_a_range_has(path: Path) -> None:
    with path.open("rb") as file:
        fd = file.fileno()
        assert size_in_file(fd, "f", 0, None) == 10
        assert size_in_file(fd, "f", 4, None) == 6
        assert size_in_file(fd, "f", 10, None) == size_in_file(fd, "f", 10, 0) == 0
        assert size_in_file(fd, "f", 4, 6) == 6
        for start, count, expected in ((4, 7, 11), (11, None, 11), (2**70, None, 2**70), (0, 2**70, 2**70)):
            with pytest.raises(TruncatedFile) as caught:
                size_in_file(fd, "f", start, count)
            assert (caught.value.file, caught.value.expected, caught.value.found) == ("f", expected, 10)
