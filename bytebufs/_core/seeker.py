"""Looking for separators in bytes that are still coming, without looking at a byte twice.

A separator ends what stands before it. Where several are given, the one that begins first counts, and of those
that begin at the same place the longest. The answer never depends on how the bytes were cut:

    separators  "\\n" and "\\n\\n"          "ab"  "c\\n"  ...   undecided: the next byte may make it the longer one
    separator   "\\r\\n", limit 3          "abc" "\\r"   ...   may still come: 3 bytes stand before it
                                         "abc" "d"    ...   cannot come any more within the limit

Each separator's next place is remembered, also when another one came first, so that a rare separator is not looked
for again and again; and where it has not come, the first place where it may still begin, so that nothing is searched
until there are bytes enough from there on to hold it. The work is linear in the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from .search import find, first_open

if TYPE_CHECKING:
    from .table import Table

__all__ = ["Seeker"]


@final
class Seeker:
    """Looks for one of some separators in a table that only grows at its end and is drained at its front.

    After :meth:`seek`, ``begin`` and ``end`` are the positions of what was found, or, if nothing was, the earliest
    ones that a separator could still have. Both are what limits are held against.
    """

    __slots__ = ("_found", "_next", "begin", "end", "longest", "separators")

    def __init__(self, separators: tuple[bytes, ...], position: int) -> None:
        self.separators = separators
        self.longest = max([len(sep) for sep in separators])
        # Of each separator: where it is, if found, else a place before which it does not begin.
        self._next = [position] * len(separators)
        self._found = [False] * len(separators)
        self.begin = position
        self.end = position

    def seek(self, table: Table, start: int, stop: int, limit: int) -> bool:
        """Look for a separator that begins in the window, at most ``limit`` bytes after its start.

        Returns whether it is found and no later byte could change that.
        """
        reach = min(stop, start + limit + self.longest)
        self._nearest(table, start, reach)
        if self.end <= reach - self.longest:
            return True
        begin, end = self._earliest(table, start, reach)
        if self.end <= reach and self.begin < begin:
            return True
        # Nothing was found, or what has only begun could come before it or be longer.
        self.begin = min(self.begin, begin)
        self.end = min(self.end, end)
        return False

    def _nearest(self, table: Table, start: int, reach: int) -> None:
        """Set ``begin`` and ``end`` to the first separator, and the longest of those; beyond reach if there is none."""
        self.begin = self.end = reach + self.longest
        for k, sep in enumerate(self.separators):
            at = self._locate(table, k, start, reach)
            if at < self.begin or (at == self.begin and at + len(sep) > self.end):
                self.begin = at
                self.end = at + len(sep)

    def _locate(self, table: Table, k: int, start: int, reach: int) -> int:
        """Return where one separator is; beyond reach if it is not."""
        sep = self.separators[k]
        at = self._next[k]
        if self._found[k] and at >= start:
            return at
        at = max(at, start)
        offset = find(table, at, reach, sep) if reach - at >= len(sep) else -1
        self._found[k] = offset >= 0
        self._next[k] = at + offset if offset >= 0 else max(at, reach - len(sep) + 1)
        return at + offset if offset >= 0 else reach + self.longest

    def _earliest(self, table: Table, start: int, reach: int) -> tuple[int, int]:
        """Return the first places where one that was not found may still begin, and end; beyond reach if all were."""
        begin = end = reach + self.longest
        for k, sep in enumerate(self.separators):
            if not self._found[k]:
                at = first_open(table, max(start, self._next[k]), reach, sep)
                self._next[k] = max(self._next[k], at)
                begin = min(begin, at)
                end = min(end, at + len(sep))
        return begin, end
