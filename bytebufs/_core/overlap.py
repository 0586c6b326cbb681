"""Whether bytes that are to be copied lie in the memory that they are to be copied to.

If they do, in more than one piece, they have to be read before any is written, and that is a copy more. So it is found
out, and not guessed:

1. What owns its memory alone (``bytes``, ``bytearray``, ``array``, a map, an array of numpy that was made over nothing)
   lies in nothing else.
2. Of everything else, and of two pieces of one object, the addresses tell. Where the interpreter does not let us know
   them, they count as overlapping.
3. Two maps may show one file at two addresses. Maps of ours know their file. A foreign ``mmap.mmap`` does not tell, so
   two maps of which one is foreign count as overlapping, unless the other shows no file at all.

Most copies are of ``bytes``, or from ``bytearray`` to others: whoever copies sees to those himself.
"""

from __future__ import annotations

import mmap
from array import array
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .memory import address_of, offset_in
from .owners import Map, Reserved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["may_overlap", "may_share_file"]

_Range: TypeAlias = "tuple[int, int]"

_OWN: Final = frozenset([bytes, bytearray, array, mmap.mmap, Map, Reserved])
"""Types whose objects lie in memory of their own. Subclasses may export anything."""

_DEEPEST: Final = 64
"""Views upon views that are followed. Nobody piles so many, but a cycle would have no end."""


def may_overlap(targets: Sequence[memoryview], pieces: Iterable[bytes | memoryview]) -> bool:
    """Whether some of the pieces lie in memory that is written to. Complexity: O(k log k) for k pieces and targets."""
    views = [piece for piece in pieces if isinstance(piece, memoryview) and type(piece.obj) is not bytes]
    written = {id(target.obj): target.obj for target in targets}
    read = {id(view.obj): view.obj for view in views}
    if not written.keys().isdisjoint(read) or not all(map(_owns_its_memory, [*written.values(), *read.values()])):
        into, out_of = _ranges(targets), _ranges(views)
        if into is None or out_of is None or _meet(into, out_of):
            return True
    return may_share_file(targets, views)


def may_share_file(targets: Iterable[memoryview], pieces: Iterable[bytes | memoryview]) -> bool:
    """Whether some of the pieces may show, through another map, bytes of a file that are written to."""
    into, foreign_targets = _files([target for target in targets if not _stays_private(target)])
    if not into and not foreign_targets:
        return False
    out_of, foreign_sources = _files([piece for piece in pieces if isinstance(piece, memoryview)])
    if (into and foreign_sources) or (foreign_targets and (out_of or len(foreign_targets | foreign_sources) > 1)):
        return True
    return any(file in out_of and _meet(into[file], out_of[file]) for file in into)


def _owns_its_memory(obj: Any) -> bool:
    """Whether the memory that an object exports is no other object's, too. Asked are only those that are known."""
    kind = type(obj)
    if kind in _OWN or isinstance(obj, Map):
        return True
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return obj.base is None and bool(obj.flags["OWNDATA"])
    return any(base.__module__ == "_ctypes" for base in kind.__mro__) and bool(obj._b_needsfree_)


def _ranges(views: Iterable[memoryview]) -> list[_Range] | None:
    """Return where in memory some views begin and stop, or None where one of them cannot be known."""
    found = []
    for view in views:
        begin = address_of(view)
        if not begin:
            return None
        found.append((begin, begin + view.nbytes))
    return found


def _meet(some: list[_Range], others: list[_Range]) -> bool:
    """Whether one of some ranges overlaps one of the others: all in order, and how far each kind has reached."""
    some_stop = others_stop = -1
    for begin, stop, is_other in sorted([(*r, False) for r in some] + [(*r, True) for r in others]):
        if begin < (some_stop if is_other else others_stop):
            return True
        if is_other:
            others_stop = max(others_stop, stop)
        else:
            some_stop = max(some_stop, stop)
    return False


def _map_below(view: memoryview) -> mmap.mmap | None:
    """Return the map that a view shows, through arrays of numpy that were made over it, or None if it shows none."""
    below: Any = view.obj
    for _ in range(_DEEPEST):
        if isinstance(below, memoryview):
            below = below.obj
        elif type(below).__module__.partition(".")[0] == "numpy":
            below = getattr(below, "base", None)
        else:
            break
    return below if isinstance(below, mmap.mmap) else None


def _stays_private(view: memoryview) -> bool:
    shown = _map_below(view)
    return isinstance(shown, Map) and shown.is_private


def _files(views: Iterable[memoryview]) -> tuple[dict[tuple[int, int], list[_Range]], set[int]]:
    """Return the ranges that views show of each file, and the identities of maps that do not tell."""
    ranges: dict[tuple[int, int], list[_Range]] = {}
    silent = set()
    for view in views:
        shown = _map_below(view)
        if shown is None or (isinstance(shown, Map) and shown.file is None):
            continue
        file = shown.file if isinstance(shown, Map) else None
        at = -1 if file is None else _place_in(shown, view)
        if file is not None and at >= 0:
            device, inode, first = file
            ranges.setdefault((device, inode), []).append((first + at, first + at + view.nbytes))
        else:
            silent.add(id(shown))
    return ranges, silent


def _place_in(shown: mmap.mmap, view: memoryview) -> int:
    """Return where in a map a view begins, or -1 if nobody can tell."""
    return 0 if view.nbytes == len(shown) else offset_in(view, shown)
