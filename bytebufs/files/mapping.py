"""Maps of memory: ranges of files, at any offset, and memory of the process's own."""

from __future__ import annotations

import errno
import mmap
import os
import sys
from typing import Any, Final, TypeVar

from .._core.owners import Map
from .._core.parts import Guard, Memory
from ..errors import TruncatedFile
from .opening import retried

__all__ = ["anonymous", "guard_of", "map_file", "map_searchable", "page_start"]

# A map has a descriptor of its own. Whoever keeps one anyway can do without, where the interpreter lets him.
_WITHOUT_DESCRIPTOR: Final[dict[str, Any]] = {"trackfd": False} if sys.version_info >= (3, 13) else {}

# By default such memory is shared with forked children: what they write would show here.
_PRIVATE: Final[dict[str, Any]] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
)

_Map = TypeVar("_Map", bound=Map)


class _ShiftedMap(Map):
    """A map that is searched from ``shift`` on, where a range begins that does not begin a page.

    Bounds count from there and are not negative, as those of a ``Finder``.
    """

    __slots__ = ("shift",)

    shift: int

    def find(self, sub: Any, start: int | None = 0, end: int | None = None) -> int:
        stop = len(self) if end is None else end + self.shift
        found = super().find(sub, (start or 0) + self.shift, stop)
        return found - self.shift if found >= 0 else -1

    def rfind(self, sub: Any, start: int | None = 0, end: int | None = None) -> int:
        stop = len(self) if end is None else end + self.shift
        found = super().rfind(sub, (start or 0) + self.shift, stop)
        return found - self.shift if found >= 0 else -1


def page_start(position: int) -> int:
    """Return the last position up to this one where a map may begin."""
    return position - position % mmap.ALLOCATIONGRANULARITY


def map_file(fd: int, name: str, start: int, nbytes: int, access: int) -> tuple[Map, int]:
    """Return a map that shows ``nbytes``, at least 1, of a file, and where in it byte ``start`` of the file lies.

    Raises TruncatedFile if the file ends before.
    """
    return _map(Map, fd, name, start, nbytes, {"access": access}, os.fstat(fd))


def map_searchable(fd: int, name: str, start: int, nbytes: int, status: os.stat_result) -> Memory:
    """Return exactly such a range as memory that is read-only and searches itself.

    The map needs ``fd`` no more. ``status`` is what ``fstat`` says of it.
    """
    options = {"access": mmap.ACCESS_READ, **_WITHOUT_DESCRIPTOR}
    if page_start(start) == start:
        plain, _ = _map(Map, fd, name, start, nbytes, options, status)
        return Memory(plain, memoryview(plain), plain)
    shifted, slack = _map(_ShiftedMap, fd, name, start, nbytes, options, status)
    shifted.shift = slack
    return Memory(shifted, memoryview(shifted)[slack:], shifted)


def guard_of(mapped: mmap.mmap, name: str, first: int) -> Guard:
    """Return what raises TruncatedFile if the file of a map, which shows it from byte ``first`` on, ends before a byte.

    The byte is counted in the map. Complexity: one ``fstat``.
    """

    def assert_whole(stop: int) -> None:
        found = mapped.size()
        if found < first + stop:
            raise TruncatedFile(name, first + stop, found)

    return assert_whole


def _map(
    kind: type[_Map], fd: int, name: str, start: int, nbytes: int, options: dict[str, Any], status: os.stat_result
) -> tuple[_Map, int]:
    first = page_start(start)
    slack = start - first
    try:
        made = retried(lambda: kind(fd, slack + nbytes, offset=first, **options))
    except ValueError:  # "mmap length is greater than file size": it shrank since somebody asked
        raise TruncatedFile(name, start + nbytes, os.fstat(fd).st_size) from None
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        raise OSError(
            errno.ENOMEM, f"{nbytes} bytes cannot be mapped at once, take smaller ranges of it", name
        ) from None
    made.file = status.st_dev, status.st_ino, first
    made.is_private = options["access"] == mmap.ACCESS_COPY
    return made, slack


def anonymous(nbytes: int) -> Map:
    """Return private writable memory, at least 1 byte, that is not of the heap. Raises MemoryError."""
    try:
        made = retried(lambda: Map(-1, nbytes, **_PRIVATE))
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        raise MemoryError(f"{nbytes} bytes of memory cannot be had") from None
    made.file = None
    made.is_private = True
    return made
