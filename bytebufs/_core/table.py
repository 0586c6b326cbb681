"""The index table: which entry holds which position.

    parts  [ dead | dead | fgh | ij ]      entries; whole bytes objects or Runs
    ends   [   0  |   3  |  8 ]            absolute; as long as any lookup has needed so far
    head   2                               the first live entry
    base   3                               where that entry begins

Positions are absolute and never renumbered: draining moves the head, prepending moves it back, and a base
may become negative. A table knows no length: the buffer over it holds the window [start, stop) that it shows,
which may clip the first entry, and in a slice the last one too.

Rules, asserted by :func:`check`:

1. ``parts[:head]`` are placeholders and hold no reference to anything drained. Draining cuts them off when they
   are more than half of the list, and more than a few.
2. ``ends[i]`` is where ``parts[i]`` ends, if that is alive; ``ends`` covers at least the dead entries and at most all.
3. No live entry is empty, and none continues its left neighbour in the same owner.
4. ``last`` is a guess, checked before each use: an index, whatever happened to the table since.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final

from mypy_extensions import mypyc_attr

from .parts import Entry, Owner, clip, lent_view, make_entry, merged

__all__ = ["Table", "check", "one_run"]

_DEAD: Final = b""
_UNKNOWN: Final = 0
"""Where a dead entry ended, if nobody had looked: nobody will. A number for each would be an object for each."""

_SLACK: Final = 16
"""Placeholders that are left where they are: moving the rest of a short list would be most of what draining costs."""

_SPARE: Final = 8
"""Room made in front at the first prepend; later half as much again as there are entries: n prepends cost O(n), and
the room is no more than draining leaves, so that prepending and draining in turn cost O(1) each."""


@final
@mypyc_attr(free_list_len=1)
class Table:
    """Entries and where they end. A slice's table is complete and never changes, but for ``last``."""

    __slots__ = ("base", "ends", "head", "last", "parts")

    def __init__(self, parts: list[Entry], ends: list[int], base: int) -> None:
        self.parts = parts
        self.ends = ends
        self.head = 0
        self.base = base
        self.last = 0

    # -- looking up

    def begin(self, i: int) -> int:
        """Return where entry ``i`` begins; it must be live, and all before it known to ``ends``."""
        return self.ends[i - 1] if i > self.head else self.base

    def locate(self, position: int) -> int:
        """Return the index of the entry that holds ``position``, which must lie in the window.

        Complexity: O(1) in the entry last touched and the one behind it, else O(log parts), and O(1) amortised for
        each entry that nobody has looked up yet.
        """
        i = self.last
        ends = self.ends
        known = len(ends)
        if self.head <= i < known and position < ends[i] and position >= self.begin(i):
            return i
        if known == self.head or position >= ends[known - 1]:
            i = self._grow(position)
        elif self.head <= i < known - 1 and ends[i] <= position < ends[i + 1]:
            i += 1  # the next one: most lookups go forward
        else:
            i = bisect_right(ends, position, self.head)
        self.last = i
        return i

    def _grow(self, position: int) -> int:
        """Extend ``ends`` up to the entry that holds ``position`` and return its index."""
        parts = self.parts
        ends = self.ends
        i = len(ends)
        end = self.begin(i)
        while True:
            entry = parts[i]
            end += len(entry) if isinstance(entry, bytes) else entry.stop - entry.start
            ends.append(end)
            if position < end:
                return i
            i += 1

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return the entries of a window, the first and last one clipped to it.

        Complexity: O(parts) at the speed of a list slice.
        """
        if start == stop:
            return []
        i = self.locate(start)
        j = self.locate(stop - 1)
        found = self.parts[i : j + 1]
        j -= i
        found[j] = clip(found[j], 0, stop - self.begin(i + j))
        found[0] = clip(found[0], start - self.begin(i), len(found[0]))
        return found

    def all_entries(self, start: int) -> list[Entry]:
        """Return every entry of a window that begins at ``start`` and goes to the end of the last one.

        As :meth:`entries`, but nothing is looked up. The window must not be empty.
        """
        head = self.head
        found = self.parts[head:] if head else self.parts[:]
        found[0] = clip(found[0], start - self.base, len(found[0]))
        return found

    def pieces(self, start: int, stop: int) -> list[bytes | memoryview]:
        """Return a window as what ``b"".join`` takes: whole bytes objects as they are, else views, not to be kept."""
        return [e if isinstance(e, bytes) else lent_view(e) for e in self.entries(start, stop)]

    def window(self, start: int, stop: int) -> Table:
        """Return a table of exactly the entries that a non-empty window spans, for a slice to keep."""
        i = self.locate(start)
        return self.span(i, self.locate(stop - 1) + 1)

    def span(self, i: int, j: int) -> Table:
        """Return a table of the entries from ``i`` up to ``j``, all known to ``ends``."""
        return Table(self.parts[i:j], self.ends[i:j], self.begin(i))

    def last_entry(self) -> Entry | None:
        """Return the last entry, or None if there is none. In a slice the window may clip it."""
        return self.parts[-1] if len(self.parts) > self.head else None

    # -- changing; the caller holds the window and moves it

    def push(self, entry: Entry) -> None:
        """Add an entry at the end, merging it with the last one if it continues that."""
        parts = self.parts
        n = len(parts)
        last = self.last_entry()
        if last is not None:
            both = merged(last, entry)
            if both is not None:
                parts[n - 1] = both
                if len(self.ends) == n:
                    self.ends[n - 1] += len(entry)
                return
        parts.append(entry)

    def push_left(self, entry: Entry, start: int) -> None:
        """Add an entry in front of ``start``, the first position of the window."""
        if self.head < len(self.parts):
            first = self._clip_head(start)
            both = merged(entry, first)
            if both is not None:
                self.parts[self.head] = both
                self.base = start - len(entry)
                return
        if self.head == 0:
            self._make_room()
        # An entry in front ends where the window began: known at once.
        self.head -= 1
        self.parts[self.head] = entry
        self.ends[self.head] = start
        self.base = start - len(entry)

    def _clip_head(self, start: int) -> Entry:
        """Cut from the first entry what the window has drained of it, and return what is left."""
        head = self.head
        first = clip(self.parts[head], start - self.base, len(self.parts[head]))
        self.parts[head] = first
        self.base = start
        return first

    def _make_room(self) -> None:
        room = len(self.parts) // 2 + _SPARE
        self.parts[0:0] = [_DEAD] * room
        self.ends[0:0] = [self.base] * room
        self.head = room
        self.last = 0

    def drain(self, start: int, stop: int) -> None:
        """Let go at once of every entry in front of ``start``, the new first position; ``stop`` is the end.

        Complexity: O(entries dropped), amortised.
        """
        if start == stop:
            self._empty(start)
            return
        first = self.parts[self.head]
        end = self.base + (len(first) if isinstance(first, bytes) else first.stop - first.start)
        if start > end:
            self.drop(self.locate(start))
        elif start == end:  # the two most common ends of a drain look nothing up
            self.drop_to(self.head + 1, end)

    def drop(self, i: int) -> None:
        """Let go at once of every entry in front of entry ``i``, not the first; ``ends`` knows where it begins."""
        self.drop_to(i, self.ends[i - 1])

    def drop_to(self, i: int, begin: int) -> None:
        """Let go at once of every entry in front of entry ``i``, which begins at ``begin`` and may be behind the last.

        Where the others ended need not be known.
        """
        parts, ends = self.parts, self.ends
        self.base = begin
        if i > _SLACK and 2 * i > len(parts):
            del parts[:i]
            del ends[:i]
            self.head = 0
            self.last = 0
        else:
            head = self.head
            for dead in range(head, i):
                parts[dead] = _DEAD
            missing = i - len(ends)
            if missing == 1:
                ends.append(_UNKNOWN)
            elif missing > 0:
                ends.extend([_UNKNOWN] * missing)
            self.head = i

    def drop_behind(self, i: int, position: int, stop: int) -> None:
        """Let go of what lies in front of a position in entry ``i`` or behind it; ``stop`` is the end of the window."""
        end = self.ends[i]
        if position < end:
            self.drop(i)
        elif position == end and i + 1 < len(self.parts):
            self.drop(i + 1)
        else:
            self.drain(position, stop)

    def _empty(self, base: int) -> None:
        self.parts.clear()
        self.ends.clear()
        self.head = 0
        self.base = base
        self.last = 0

    def cut(self, start: int, stop: int) -> None:
        """Drop everything from position ``stop`` on; ``start`` is the first position of the window."""
        if start == stop:
            self._empty(start)
            return
        i = self.locate(stop - 1)
        del self.parts[i + 1 :]
        del self.ends[i + 1 :]
        self.parts[i] = clip(self.parts[i], 0, stop - self.begin(i))
        self.ends[i] = stop

    def reset(self, parts: list[Entry], base: int) -> None:
        """Begin anew with these entries. New lists: an iterator over the old ones sees no half-way state."""
        self.parts = parts
        self.ends = []
        self.head = 0
        self.base = base
        self.last = 0


def one_run(owner: Owner, start: int, stop: int) -> Table:
    """Return a table that shows a range of one owner, in which positions are the owner's own offsets."""
    if start == stop:
        return Table([], [], start)
    return Table([make_entry(owner, start, stop)], [stop], start)


def check(table: Table, start: int, stop: int) -> None:
    """Assert every rule at the top of this module for a table under the window [start, stop).

    Complexity: O(parts).
    """
    head, parts, ends = table.head, table.parts, table.ends
    assert 0 <= head <= len(ends) <= len(parts), (head, len(ends), len(parts))
    assert all(dead is _DEAD for dead in parts[:head])
    assert table.last >= 0
    position = table.base
    left: Entry | None = None
    for i, entry in enumerate(parts[head:], head):
        assert len(entry) > 0, entry
        assert left is None or merged(left, entry) is None, (left, entry)
        position += len(entry)
        assert i >= len(ends) or ends[i] == position, (i, ends[i], position)
        left = entry
    if head < len(parts):
        assert table.base <= start < table.base + len(parts[head])
        assert position - len(parts[-1]) < stop <= position
    else:
        assert start == stop
