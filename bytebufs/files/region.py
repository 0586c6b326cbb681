"""FileRegion: a range of a file as a part of a message, sent by reference and mapped once somebody looks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, SupportsIndex, final

from .._core.parts import LazyOwner, Memory, size_of
from ..errors import TruncatedFile
from ..slice_buffer import SliceBuffer, cut
from .mapping import map_searchable
from .opening import open_regular, size_in_file
from .ranges import bounds, clamped

if TYPE_CHECKING:
    from collections.abc import Callable

    from .opening import File

__all__ = ["FileRegion"]


@final
class FileRegion(LazyOwner):
    """A range of a regular file as a part of a message: searchable like memory, sent by ``sendfile``.

    It is a part, not a buffer: append it, or slice it, which gives a SliceBuffer. Slices of one region that touch merge
    when they are put together. Every region has a descriptor of its own: make one for a file and slice that.

    Nothing is read or mapped until somebody looks at bytes; measuring, slicing, ``repr`` and ``layout()`` never do.
    Then the region is mapped once, read-only. Its bytes are what the file holds: if others write to it, they change.
    Sent, they are what the file holds when the *peer* reads, so send files that are only appended to, or make it
    ``stable``. Immutable; several threads may use one at once. It tells its ``name``, ``offset`` and ``nbytes``, and
    whether it is ``stable``.
    """

    def __init__(
        self,
        file: File,
        offset: SupportsIndex = 0,
        count: SupportsIndex | None = None,
        *,
        stable: bool = False,
    ) -> None:
        """Take ``count`` bytes from ``offset`` on, or all up to the end as it is now.

        ``file`` is a path, a descriptor open for reading, or a file opened in binary mode, those of ``tempfile``
        included (one that is in memory so far is written out). The region keeps its own duplicate: closing yours, or
        replacing the path, changes nothing. What a file object has buffered is written first. ``stable=True`` sends
        what the file holds at the time of the call, through a bounded buffer (counted as "stable").

        Raises TruncatedFile if the file ends before the range does, ValueError for a negative bound and for what is no
        regular file (pipes, devices, directories, files of /proc), TypeError for text files, gzip files and the like.
        Files of /sys say that they are longer than they are, so that sending one is TruncatedFile: read them.
        """
        start = size_of(offset)
        wanted = None if count is None else size_of(count)
        self.name: str
        self._fd, self.name = open_regular(file)  # from now on it is closed with the region, whatever interrupts this
        try:
            nbytes = size_in_file(self._fd, self.name, start, wanted)
        except BaseException:
            fd, self._fd = self._fd, -1
            os.close(fd)  # now: a traceback may keep the region for long
            raise
        super().__init__(nbytes, fd=self._fd, offset=start, stable=stable)

    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        # As a default: at the end of the interpreter the module may be gone before the region.
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            _close(fd)

    def _describe(self) -> str:
        """Return the size and where in which file it lies."""
        return f"{super()._describe()}, from byte {self.offset} of {self.name}"

    def _look(self) -> Memory:
        """Return the bytes as memory, mapped at the first call.

        Raises TruncatedFile if the file has shrunk. Complexity: one ``fstat`` a call.
        """
        status = self._whole(self.nbytes)
        memory: Memory | None = self.__dict__.get("_memory")
        if memory is None:
            # Threads may come here together. All get the map of the first one: this is atomic, and needs no lock.
            made = map_searchable(self._fd, self.name, self.offset, self.nbytes, status)
            memory = self.__dict__.setdefault("_memory", made)
        return memory

    def _assert_whole(self, stop: int) -> None:
        """Raise TruncatedFile if the file now ends before byte ``stop`` of the region."""
        self._whole(stop)

    def _whole(self, stop: int) -> os.stat_result:
        """Return what the system says of the file, which must not end before byte ``stop`` of the region."""
        status = os.fstat(self._fd)
        if status.st_size < self.offset + stop:
            raise TruncatedFile(self.name, self.offset + stop, status.st_size)
        return status

    def prefetch(self, offset: SupportsIndex = 0, count: SupportsIndex | None = None) -> None:
        """Ask the system to read a range of the region ahead, without waiting: sending cold pages blocks.

        Does nothing where the platform has no such call. Raises IndexError for a range beyond the region.
        """
        start, stop = bounds(offset, count, self.nbytes)
        if stop > start and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._fd, self.offset + start, stop - start, os.POSIX_FADV_WILLNEED)

    def __getitem__(self, key: slice) -> SliceBuffer:
        """Return a SliceBuffer of a range; slice rules apply. Copies: nothing, and nothing is mapped."""
        return cut(self, *clamped(key, self.nbytes, "region"))

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self.nbytes

    __iter__ = None
    """It is a part, not a buffer: iterate over ``region[:]``."""

    def __repr__(self) -> str:
        """Name the file and the range. Never looks at the bytes."""
        stop = self.offset + self.nbytes
        return f"<FileRegion: bytes {self.offset} to {stop} of {self.name}{', stable' if self.stable else ''}>"

    def __copy__(self) -> FileRegion:
        """Return itself: it never changes."""
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[object, ...]:
        """Pickle its bytes, for its descriptor means nothing elsewhere: what is loaded is a SliceBuffer of them.

        As ``region[:]`` is pickled; see there. A deep copy is such a slice, too.
        """
        return self[:].__reduce_ex__(protocol)
