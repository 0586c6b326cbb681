"""Opening the files that ranges are taken from: which files serve, and which are refused and why."""

from __future__ import annotations

import errno
import gc
import io
import os
import stat
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, cast

from .._core.parts import shown
from ..base_buffer import BaseBuffer
from ..errors import TruncatedFile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BinaryFile",
    "File",
    "Path",
    "descriptor_of",
    "is_plain_file",
    "kind_of",
    "name_of",
    "open_regular",
    "read_at",
    "retried",
    "size_in_file",
]

Path: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"


class BinaryFile(Protocol):
    """A file object of the standard library, opened in binary mode, whose bytes are its descriptor's."""

    def fileno(self) -> int:
        """Return the descriptor."""

    def flush(self) -> object:
        """Write what is buffered."""


File: TypeAlias = "int | Path | BinaryFile"
"""What names a file: a path, a descriptor, or a file opened in binary mode."""

_SHORT: Final = frozenset([errno.ENOMEM, errno.EMFILE, errno.ENFILE])
"""What garbage may hold: address space, maps, descriptors."""

# A pipe that nobody writes to would block here for ever; a regular file does not care.
_FLAGS: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

_T = TypeVar("_T")


def retried(make: Callable[[], _T]) -> _T:
    """Return ``make()``. If memory, maps or descriptors have run out, collect garbage and try once more."""
    try:
        return make()
    except OSError as error:
        if error.errno not in _SHORT:
            raise
    gc.collect()
    return make()


def _unwrapped(file: Any) -> object:
    """Return the file that one of ``tempfile`` hands everything on to; any other as it is.

    One that is kept in memory so far is written to a file of the system first, as ``fileno()`` does.
    """
    tempfile = sys.modules.get("tempfile")  # who has such a file has imported it
    if tempfile is not None:
        if type(file) is tempfile.SpooledTemporaryFile:
            file.rollover()
            return _unwrapped(getattr(file, "_file", None))
        if type(file) is getattr(tempfile, "_TemporaryFileWrapper", None):
            return getattr(file, "file", None)
    return file


def is_plain_file(file: object) -> bool:
    """Whether what a file object reads and writes are the bytes of its descriptor: not so of gzip and its like."""
    if type(file) is io.FileIO:
        return True
    # A subclass may change what is read. Only a buffer that was detached or never made has no raw file.
    return type(file) in {io.BufferedReader, io.BufferedWriter, io.BufferedRandom} and (
        type(getattr(file, "raw", None)) is io.FileIO
    )


def name_of(file: object) -> str:
    """Return what to call a file in a sentence."""
    name = file if isinstance(file, (int, str, bytes, os.PathLike)) else getattr(file, "name", file)
    if isinstance(name, int):
        return f"descriptor {name}"
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else shown(name)


def open_regular(file: File, *, writable: bool = False) -> tuple[int, str]:
    """Return a descriptor of a regular file, which the caller owns and closes, and what to call the file.

    A path is opened; a descriptor or the one of a file object is duplicated, after what the object has buffered
    was written. Not inherited by programs that are run. Raises TypeError for what names no file or is read in
    another way than by its descriptor, ValueError for what is no regular file or is not open for reading.
    """
    name = name_of(_unwrapped(file))
    if isinstance(file, (str, bytes, os.PathLike)):
        path, flags = file, _FLAGS | (os.O_RDWR if writable else os.O_RDONLY)
        fd = retried(lambda: os.open(path, flags))
    else:
        given = descriptor_of(file)
        fd = retried(lambda: os.dup(given))
    try:
        _assert_serves(fd, name)
    except BaseException:
        os.close(fd)
        raise
    return fd, name


def descriptor_of(file: object) -> int:
    """Return the descriptor that a number or a file object stands for, after what the object has buffered was written.

    Raises TypeError for what names no file, or is read in another way than by its descriptor.
    """
    if isinstance(file, int) and not isinstance(file, bool):
        return file
    file = _unwrapped(file)
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{name_of(file)} is open as text: open it in mode 'rb', or give its .buffer")
    if not is_plain_file(file):
        raise TypeError(
            f"a path, a descriptor or a file open in binary mode is wanted, not {type(file).__name__}: {shown(file)}"
            f"{_advice(file)}"
        )
    plain = cast("BinaryFile", file)
    plain.flush()  # what its buffer holds is not in the file yet
    return plain.fileno()


def _advice(file: object) -> str:
    """Return what to write in place of something that is no file."""
    if isinstance(file, io.BytesIO):
        return "; a part with what it holds is its getbuffer()"
    if isinstance(file, (BaseBuffer, bytearray, memoryview)):
        return "; what is bytes-like is a part as it is"
    if not hasattr(file, "fileno"):
        return ""
    return "; what such an object reads need not be what its descriptor holds, so if you mean that, give its fileno()"


def kind_of(mode: int) -> str:
    """Return in words what a file that is not regular is."""
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def read_at(fd: int, nbytes: int, at: int) -> bytes:
    """Read up to ``nbytes`` at a place in a file; where the platform can, without its shared position."""
    if hasattr(os, "pread"):
        return os.pread(fd, nbytes, at)
    os.lseek(fd, at, os.SEEK_SET)
    return os.read(fd, nbytes)


def _assert_serves(fd: int, name: str) -> None:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"a regular file is wanted, and {name} is {kind_of(status.st_mode)}")
    try:
        # Files of /proc are made when they are read: until then nobody knows how long they are.
        endless = status.st_size == 0 and read_at(fd, 1, 0) and os.fstat(fd).st_size == 0
        os.read(fd, 0)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        raise ValueError(f"{name} is not open for reading") from None
    if endless:
        raise ValueError(f"{name} has bytes but no size: read it instead")


def size_in_file(fd: int, name: str, start: int, count: int | None) -> int:
    """Return ``count``, or if that is None the bytes from ``start`` to the end of the file.

    Raises TruncatedFile if the file ends before all of them.
    """
    size = os.fstat(fd).st_size
    expected = start if count is None else start + count
    if expected > size:
        raise TruncatedFile(name, expected, size)
    return size - start if count is None else count
