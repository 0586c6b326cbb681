"""Memory that is mapped: files, and memory of the process's own."""

from __future__ import annotations

import mmap
import os
import sys
from typing import TYPE_CHECKING, Final, Literal, SupportsIndex, TypeAlias, final

from .._core.parts import Memory, Owner, size_of
from ..errors import ClosedError
from ..slice_buffer import SliceBuffer, cut
from .mapping import anonymous, guard_of, map_file, page_start
from .opening import open_regular, size_in_file
from .ranges import bounds, clamped
from .referrers import count_views, holders

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import NoReturn

    from .opening import File

__all__ = ["Access", "Advice", "MappedFile", "allocate"]

Access: TypeAlias = Literal["read", "write", "copy"]
"""What may be done to a MappedFile: look; write to the file; write to memory that starts as the file."""

Advice: TypeAlias = Literal["normal", "random", "sequential", "willneed", "dontneed"]
"""What the system is told about pages, as in madvise(2)."""

_ACCESS: Final = {"read": mmap.ACCESS_READ, "write": mmap.ACCESS_WRITE, "copy": mmap.ACCESS_COPY}
_ADVICE: Final = ("normal", "random", "sequential", "willneed", "dontneed")


@final
class MappedFile:
    """A file, or a range of one, mapped into memory. Slicing it gives SliceBuffers; it never resizes the file.

    With ``access="write"`` their ``write_at`` and ``pack_into`` write to the file, with ``"copy"`` to private memory
    that starts as the file. Used in a ``with`` block it is closed at its end to new slices, and unmapped when the
    last slice is gone. Flushing a slice sends what the memory holds then, by ``writev``.

    A map of a file that shrinks is memory that is gone: touching it ends the process (SIGBUS). The file's size is
    checked when a slice is cut, and again when one is flushed; between those nobody asks. Where files may shrink, use
    a FileRegion.
    """

    __slots__ = ("_guard", "_idle_references", "_map", "_name", "_nbytes", "_offset", "_slack", "_source", "access")

    def __init__(
        self,
        file: File,
        *,
        access: Access = "read",
        offset: SupportsIndex = 0,
        length: SupportsIndex | None = None,
    ) -> None:
        """Map ``length`` bytes from ``offset`` on, or all up to the end as it is now. Any offset; none may be left.

        ``file`` is as for a FileRegion; a descriptor is to be open for writing, too, if ``access`` is "write". Where
        memory, maps or descriptors have run out, garbage is collected and the call made once more.

        Raises TruncatedFile if the file ends before the range does; else as FileRegion.
        """
        if access not in _ACCESS:
            raise ValueError(f"access is one of {', '.join(map(repr, _ACCESS))}, not {access!r}")
        self.access: Access = access
        """What may be done with its memory, as it was asked for."""
        self._offset = size_of(offset)
        wanted = None if length is None else size_of(length)
        fd, self._name = open_regular(file, writable=access == "write")
        self._map: mmap.mmap | None = None
        self._slack = 0
        try:
            self._nbytes = size_in_file(fd, self._name, self._offset, wanted)
            if self._nbytes:
                self._map, self._slack = map_file(fd, self._name, self._offset, self._nbytes, _ACCESS[access])
        finally:
            os.close(fd)  # the map has its own
        self._guard = None if self._map is None else guard_of(self._map, self._name, self._offset - self._slack)
        self._source: Owner | None = b"" if self._map is None else self._memory_of(self._map)
        self._idle_references = self._references()

    def __getitem__(self, key: slice) -> SliceBuffer:
        """Return a SliceBuffer of a range; slice rules apply. Copies: nothing.

        Raises ClosedError after closing, TruncatedFile if the file now ends before the range does. Complexity: one
        ``fstat``.
        """
        source = self._open_source()
        start, stop = clamped(key, self._nbytes, "mapped")
        if self._guard is not None and start < stop:
            self._guard(self._slack + stop)
        return cut(source, self._slack + start, self._slack + stop)

    def __len__(self) -> int:
        """Return the number of bytes, also after closing."""
        return self._nbytes

    __iter__ = None
    """It is no buffer: iterate over ``mapped[:]``."""

    def flush(self, offset: SupportsIndex = 0, length: SupportsIndex | None = None) -> None:
        """Write what was changed in a range back to the disk; once it returns, that is durable.

        Pages are written whole. An error of the system is final: the pages count as written then, so neither try again
        nor go on with that file. Raises TypeError unless ``access`` is "write", IndexError for a range beyond the map,
        ClosedError after closing. Sources: msync(2) with MS_SYNC.
        """
        if self.access != "write":
            raise TypeError(f"a MappedFile with access={self.access!r} does not write to its file: nothing to flush")
        self._over_pages(offset, length, lambda mapped, start, nbytes: mapped.flush(start, nbytes))

    def advise(self, advice: Advice, offset: SupportsIndex = 0, length: SupportsIndex | None = None) -> None:
        """Tell the system how a range will be used. Does nothing where the platform has no such call.

        Raises ValueError for another word, and for "dontneed" with ``access="copy"``, which would undo what was
        written; IndexError for a range beyond the map, ClosedError after closing. Sources: madvise(2).
        """
        if advice not in _ADVICE:
            raise ValueError(f"advice is one of {', '.join(map(repr, _ADVICE))}, not {advice!r}")
        if advice == "dontneed" and self.access == "copy":
            raise ValueError("'dontneed' would throw away what was written to a MappedFile with access='copy'")
        option = getattr(mmap, f"MADV_{advice.upper()}", None)
        if option is None:
            self._open_source()
            return
        self._over_pages(offset, length, lambda mapped, start, nbytes: mapped.madvise(option, start, nbytes))

    def prefetch(self, offset: SupportsIndex = 0, length: SupportsIndex | None = None) -> None:
        """Ask the system to read a range ahead: touching cold pages blocks. Does not wait. Errors as ``advise()``."""
        self.advise("willneed", offset, length)

    def _over_pages(
        self,
        offset: SupportsIndex,
        length: SupportsIndex | None,
        call: Callable[[mmap.mmap, int, int], None],
    ) -> None:
        """Make a call for the pages of a range, unless that is empty."""
        self._open_source()
        mapped = self._map
        start, stop = bounds(offset, length, self._nbytes)
        if mapped is not None and start < stop:
            first = page_start(self._slack + start)
            call(mapped, first, self._slack + stop - first)

    def _open_source(self) -> Owner:
        source = self._source
        if source is None:
            raise ClosedError(repr(self))
        return source

    # -- closing

    @property
    def closed(self) -> bool:
        """Whether it gives no slices any more. What was cut before stays mapped."""
        return self._source is None

    def close(self) -> None:
        """Unmap the file now; after that nothing can be cut. Closing twice does nothing, nor does it after a ``with``.

        Raises BufferError while slices or views show the map, saying how many and, as far as can be found out, who
        holds them; then it stays open. The end of a ``with`` block is more patient.
        """
        mapped = self._map
        if mapped is None:
            self._source = None
            return
        shown = self._references() - self._idle_references
        if shown > 0:
            raise BufferError(self._shown_by(f"{shown} slice{'s'[: shown > 1]}"))
        self._source = None
        try:
            mapped.close()
        except BufferError:
            views = count_views(mapped)
            self._source = self._memory_of(mapped)
            raise BufferError(self._shown_by(f"{views} memoryview{'s'[: views != 1]}")) from None
        self._map = self._guard = None

    def __enter__(self) -> MappedFile:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it to new slices. Unmapped when the last slice and view are gone, now if there are none."""
        self._source = None
        self._map = self._guard = None

    def _memory_of(self, mapped: mmap.mmap) -> Memory:
        return Memory(mapped, memoryview(mapped), mapped, self._guard)

    def _references(self) -> int:
        """Return how many references the memory has: one more for each slice, and each part of a composite."""
        return sys.getrefcount(self._source)

    def _shown_by(self, what: str) -> str:
        source = self._source
        found = holders(source) if isinstance(source, Memory) else ""
        return f"{self!r} is shown by {what}{f', held by {found}' if found else ''}: let go of them first"

    def __repr__(self) -> str:
        """Name the file, the range and the access. Never looks at the bytes."""
        stop = self._offset + self._nbytes
        state = ", closed" if self.closed else ""
        return f"<MappedFile: bytes {self._offset} to {stop} of {self._name}, {self.access}{state}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: its map means nothing elsewhere."""
        raise TypeError("a MappedFile cannot be pickled, its map is this process's own: pickle mapped[:]")


def allocate(nbytes: SupportsIndex) -> SliceBuffer:
    """Return zeroed memory outside the heap, to be received into and written to; private to the process.

    >>> block = allocate(65536)
    >>> view = block.view()        # writable: sock.recv_into(view), file.readinto(view)
    >>> view[:5] = b"hello"
    >>> block[:5] == b"hello"
    True

    It is given back to the system when nothing shows it any more, and counts as ``mapped_nbytes``. Whole pages are
    used. A child that is forked has its own copy. Raises MemoryError if there is not so much, ValueError for a
    negative size. Copies: nothing.
    """
    size = size_of(nbytes)
    return SliceBuffer(anonymous(size)) if size else SliceBuffer(b"")
