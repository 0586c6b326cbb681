"""A sparse index: entries of one size, one behind the other, in a map of a preallocated file; found by bisection.

offset index  (relative offset, position), 8 bytes: the first batch behind each 4 KiB of the segment
time index    (timestamp, relative offset), 12 bytes: before that offset no record of the segment is later than that

The file has its blocks when it is mapped (posix_fallocate), so that a full disk is an error when the index is made, and
no SIGBUS when it is written to. Trimming or closing it gives back what no entry needs.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, final

from bytebufs import MappedFile

__all__ = ["OFFSETS", "TIMES", "Index"]

OFFSETS: Final = Struct(">II")
TIMES: Final = Struct(">qI")


@final
class Index:
    """An index in a file. Entries are only added at the end; both of their numbers never fall."""

    def __init__(self, path: Path, layout: Struct, most: int, *, count: int = 0) -> None:
        """Open or make the file, with room for so many entries; the first ``count`` of them are those that it holds."""
        self.path = path
        self._layout = layout
        self._most = max(most, count)
        self._count = count
        size = self._most * layout.size
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(file, count * layout.size)  # what was behind them is garbage
            os.posix_fallocate(file, 0, size)
            self._mapped = MappedFile(file, access="write", length=size)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._view = self._mapped[:].view()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the entries, the first one first."""
        return (self[i] for i in range(self._count))

    def __getitem__(self, i: int) -> tuple[int, int]:
        """Return an entry, counted from 0."""
        if not 0 <= i < self._count:
            raise IndexError(f"entry {i} of {self._count}")
        first, second = self._layout.unpack_from(self._view, i * self._layout.size)
        return first, second

    @property
    def last(self) -> tuple[int, int]:
        """The last entry, (0, 0) if there is none."""
        return self[self._count - 1] if self._count else (0, 0)

    @property
    def is_full(self) -> bool:
        """Whether it has no room for an entry."""
        return self._count == self._most

    def append(self, first: int, second: int) -> None:
        """Add an entry. A full index takes none: then there is more to scan."""
        if not self.is_full:
            self._layout.pack_into(self._view, self._count * self._layout.size, first, second)
            self._count += 1

    def up_to(self, first: int) -> tuple[int, int] | None:
        """Return the last entry whose first number is at most that, if any."""
        i = bisect_right(range(self._count), first, key=self._first)
        return self[i - 1] if i else None

    def below(self, first: int) -> tuple[int, int] | None:
        """Return the last entry whose first number is less than that, if any."""
        i = bisect_left(range(self._count), first, key=self._first)
        return self[i - 1] if i else None

    def second_up_to(self, second: int) -> tuple[int, int] | None:
        """Return the last entry whose second number is at most that, if any."""
        i = bisect_right(range(self._count), second, key=self._second)
        return self[i - 1] if i else None

    def _first(self, i: int) -> int:
        first: int = self._layout.unpack_from(self._view, i * self._layout.size)[0]
        return first

    def _second(self, i: int) -> int:
        second: int = self._layout.unpack_from(self._view, i * self._layout.size)[1]
        return second

    def cut(self, count: int) -> None:
        """Forget all but so many entries."""
        self._count = min(self._count, count)

    def checksum(self) -> int:
        """Tell the CRC-32 of its entries."""
        return zlib.crc32(self._view[: self._count * self._layout.size])

    def trim(self) -> None:
        """Give back what no entry needs. It takes no more of them. Raises OSError."""
        self._most = self._count
        os.ftruncate(self._file, self._count * self._layout.size)

    def close(self) -> None:
        """Give back what no entry needs, and the map."""
        if not self._mapped.closed:
            self._view.release()
            self._mapped.close()
            try:
                os.ftruncate(self._file, self._count * self._layout.size)
            finally:
                os.close(self._file)
