"""One long run of bytes in files of one size, each named by the offset of its first byte: ``00000000000000001024``.

A file is preallocated when it is made: that is where a full disk shows, as an error, and not as a signal (SIGBUS) when
the map is written to. What nobody has written yet is zeros. Files are mapped when they are wanted; at most so many are
at a time, since each map has a descriptor.
"""

from __future__ import annotations

import os
import re
import weakref
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bytebufs import MappedFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bytebufs import SliceBuffer

__all__ = ["MappedFiles", "Maps", "Memory", "sync_folder", "write_out"]

_DIGITS: Final = 20
"""So that names sort as the offsets do, which have up to 63 bits."""
_NAME: Final = re.compile(rf"[0-9]{{{_DIGITS}}}", re.ASCII)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_out(path: Path) -> None:
    """Have what a file holds on the disk, what was written to it through maps, too.

    An error that the system had in writing it back is told to the next who asks, so a new descriptor will do.
    Sources: fdatasync(2), and msync(2): dirty pages of a shared map are the file's.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Memory:
    """A file's map, all of it: to be written to, and to be cut for others."""

    writable: SliceBuffer
    shown: SliceBuffer


class Maps:
    """The maps that are kept, of all files: those used last. Others are mapped again when they are wanted.

    A map that is let go of stays as long as somebody holds a slice of it, also if its file is deleted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._maps: OrderedDict[Path, tuple[MappedFile, Memory]] = OrderedDict()
        self._parting: list[tuple[str, weakref.ref[object]]] = []

    def get(self, path: Path) -> Memory:
        """Return a file's memory."""
        kept = self._maps.get(path)
        if kept is None:
            while len(self._maps) >= self._most:
                self.drop(next(iter(self._maps)))
            mapped = MappedFile(path, access="write")
            kept = self._maps[path] = mapped, Memory(mapped[:], mapped[:].toreadonly())
        self._maps.move_to_end(path)
        return kept[1]

    def drop(self, path: Path) -> None:
        """Let go of a file's map, because the file is going to be cut or deleted."""
        kept = self._maps.pop(path, None)
        if kept is not None:
            self._parting = [(name, map_) for name, map_ in self._parting if map_() is not None]
            self._parting.append((str(path), weakref.ref(kept[1].shown.view().obj)))
            with kept[0]:  # unmapped at the end of this, or when the last slice goes
                del kept

    def pinned(self) -> list[str]:
        """Return the files whose maps were let go of here, but stay because somebody holds slices of them."""
        return [name for name, map_ in self._parting if map_() is not None]

    def __len__(self) -> int:
        return len(self._maps)

    def close(self) -> None:
        """Let go of all."""
        for path in [*self._maps]:
            self.drop(path)


class MappedFiles:
    """The files of one folder."""

    def __init__(self, folder: Path, file_size: int, maps: Maps) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file_size = file_size
        self._maps = maps
        self.firsts = sorted(int(path.name) for path in folder.iterdir() if _NAME.fullmatch(path.name))
        self.was_damaged = False
        """Whether files were found with a wrong size, or some missing in between: nothing can be taken as written."""
        self._mend()

    def _mend(self) -> None:
        """Keep the files up to the first gap, and give each its size: what is missing of it is zeros."""
        wanted = [*range(self.firsts[0], self.firsts[-1] + 1, self.file_size)] if self.firsts else []
        whole = next((i for i, (a, b) in enumerate(zip(self.firsts, wanted, strict=False)) if a != b), len(self.firsts))
        if self.firsts and self.firsts[0] % self.file_size:
            whole = 0
        if whole < len(self.firsts):
            self.was_damaged = True
            self._delete(self.firsts[whole:])
        for first in self.firsts:
            if self.path(first).stat().st_size != self.file_size:
                self.was_damaged = True
                self._allocate(self.path(first))

    def path(self, first: int) -> Path:
        """Return where the file is whose first byte has this offset."""
        return self.folder / f"{first:0{_DIGITS}}"

    @property
    def start(self) -> int:
        """The offset of the first byte that is kept."""
        return self.firsts[0] if self.firsts else 0

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return len(self.firsts)

    @property
    def stop(self) -> int:
        """The offset behind the last file."""
        return self.firsts[-1] + self.file_size if self.firsts else 0

    def first_of(self, offset: int) -> int:
        """Return the offset at which the file with this byte begins, or would."""
        return offset - offset % self.file_size

    def has(self, offset: int) -> bool:
        """Whether there is a file with this byte."""
        return self.start <= offset < self.stop

    def memory(self, offset: int) -> Memory:
        """Return all of the file that has this byte."""
        return self._maps.get(self.path(self.firsts[bisect_right(self.firsts, offset) - 1]))

    def make(self, offset: int) -> None:
        """Have a file for this byte: the next one, or the first. Its name is not on the disk yet.

        Raises OSError, ENOSPC say, and none is made.
        """
        if self.has(offset):
            return
        first = self.first_of(offset)
        if self.firsts and first != self.stop:
            raise ValueError(f"byte {offset} is neither in {self.folder} nor in the next file")
        path = self.path(first)
        try:
            self._allocate(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self.firsts.append(first)

    def _allocate(self, path: Path) -> None:
        self._maps.drop(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, min(os.fstat(descriptor).st_size, self.file_size))
            os.posix_fallocate(descriptor, 0, self.file_size)
        finally:
            os.close(descriptor)

    def cut(self, offset: int) -> None:
        """Have zeros from a byte on, durably: later files go, and what lies behind it in its own.

        Nothing that was there may be taken for a record when others of its size have been written before it.
        """
        self._delete([first for first in self.firsts if first >= offset])
        if self.has(offset):
            path = self.path(self.first_of(offset))
            self._maps.drop(path)
            os.truncate(path, offset - self.first_of(offset))
            self._allocate(path)
            write_out(path)

    def delete_first(self) -> None:
        """Delete the oldest file. Slices that are held of it stay as they are."""
        self._delete(self.firsts[:1])

    def clear(self) -> None:
        """Delete all files."""
        self._delete(self.firsts[:])

    def _delete(self, firsts: list[int]) -> None:
        for first in reversed(firsts):
            self._maps.drop(self.path(first))
            self.path(first).unlink()
            self.firsts.remove(first)
        if firsts:
            sync_folder(self.folder)

    def paths(self, start: int, stop: int) -> Iterator[Path]:
        """Return the files that have bytes of a range. Another thread may ask."""
        return (self.path(first) for first in self.firsts[:] if first < stop and start < first + self.file_size)
