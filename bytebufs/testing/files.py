"""A file that shrinks at a given moment, as a log does that is truncated while somebody sends it."""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["ShrinkingFile"]


class ShrinkingFile(io.FileIO):
    r"""A real file without a name, open for reading and writing at its first byte, that shrinks to ``to`` bytes.

    >>> from bytebufs import FileRegion, SliceBuffer
    >>> from bytebufs.testing import ShrinkingFile
    >>> with ShrinkingFile(b"hello, world", to=3) as file:
    ...     region = FileRegion(file.fileno())
    ...     file.shrink()
    ...     bytes(SliceBuffer(region))
    Traceback (most recent call last):
    bytebufs.errors.TruncatedFile: ...

    It does so when told by ``shrink()``, which may stand in the script of a fake that the file is sent to; or, with
    ``at_read=n``, just before the n-th time that it is read through this object. Who reads by the descriptor, as
    FileRegion and MappedFile do, is not counted. Raises ValueError if it would not shrink.
    """

    def __init__(self, data: Buffer, *, to: int, at_read: int | None = None) -> None:
        size = memoryview(data).nbytes
        if not 0 <= to <= size or (at_read is not None and at_read < 1):
            raise ValueError(f"a file of {size} bytes does not shrink to {to} at read {at_read}")
        with tempfile.NamedTemporaryFile() as place:
            super().__init__(place.name, "r+")
        self.write(data)
        self.seek(0)
        self._to = to
        self._left = at_read

    def shrink(self) -> None:
        """Cut the file off, now."""
        self.truncate(self._to)

    def _count(self) -> None:
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self.shrink()

    def readinto(self, buffer: Buffer, /) -> int:
        """Read into the front of ``buffer``, at the given time from a shorter file."""
        self._count()
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to so many bytes, at the given time from a shorter file."""
        self._count()
        return super().read(-1 if size is None else size)

    def readall(self) -> bytes:
        """Read all that is left, at the given time of a shorter file."""
        self._count()
        return super().readall()
