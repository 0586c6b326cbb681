"""Looking for separators in bytes that are still coming, without looking at a byte again and again.

A separator ends what stands before it. Where several are given, the one that begins first counts, and of those
that begin at the same place the longest. The answer never depends on how the bytes were cut:

    separators  "\\n" and "\\n\\n"          "ab"  "c\\n"  ...   undecided: the next byte may make it the longer one
    separator   "\\r\\n", limit 3          "abc" "\\r"   ...   may still come: 3 bytes stand before it
                                         "abc" "d"    ...   cannot come any more within the limit

How the work stays linear in the bytes, for each separator, whatever they are:

1. Where a separator is found is remembered, also when another one came first.
2. Where it has not come, ``_from`` is the first place where it may still begin, and all from there up to ``_seen`` is
   its beginning. The next bytes are held against the rest of it; if they go wrong, its borders say where it may begin
   instead (Knuth, Morris, Pratt). Only behind ``_seen`` it is searched for.

       ...xx\\r\\n\\r|          separator "\\r\\n\\r\\n"
            ^       ^
         _from    _seen

3. Several are looked for in windows that double, until one is found: one that never comes costs no more than those that
   do come, also when each is looked for by a new Seeker.

An interrupt may end a call between any two steps. So each store leaves what is true by itself: a place that was found,
a later place before which nothing begins, a later end of what is its beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from .search import BLOCK, borders, find, first_open, scratch

if TYPE_CHECKING:
    from .table import Table

__all__ = ["Looks", "Seeker"]

AHEAD: Final = 128
"""The first window for several separators: a line or two. Each later one of the same seeker is twice as long, up to
4 KiB, so that few lines end at its end."""
MOST_AHEAD: Final = 4096

_NO_BORDERS: Final = [0]
"""What there is for one and two bytes."""

_MOST_LOOKS: Final = 4
"""Searches that are remembered side by side: a line, a blank line, and two more."""


@final
class Seeker:
    """Looks for one of some separators in a table that only grows at its end and is drained at its front.

    After ``seek()``, ``begin`` and ``end`` are the positions of what was found, or, if nothing was, the earliest
    ones that a separator could still have. Both are what limits are held against.
    """

    __slots__ = ("_ahead", "_at", "_borders", "_from", "_reached", "_seen", "begin", "end", "longest", "separators")

    def __init__(self, separators: tuple[bytes, ...], position: int) -> None:
        self.separators: tuple[bytes, ...] = separators
        n = len(separators)
        longest = 0
        for sep in separators:
            longest = max(longest, len(sep))
        self.longest: int = longest
        # Of each separator: a place before which it does not begin, how far all behind that is its beginning, and
        # behind the first byte of where it was found.
        self._from = [position] * n
        self._seen = [position] * n
        self._at = [position] * n
        self._borders: list[list[int] | None] | None = None
        self._reached = position
        self._ahead = AHEAD
        self.begin: int = position
        self.end: int = position

    def seek(self, table: Table, start: int, stop: int, limit: int) -> bool:
        """Look for a separator that begins in the window, at most ``limit`` bytes after its start.

        Returns whether it is found and no later byte could change that.
        """
        reach = min(stop, start + limit + self.longest)
        if len(self.separators) > 1:
            ahead = self._ahead
            end = self._reached
            if end <= start:
                end = self._reached = start + ahead
            while end < reach:
                if self._seek_to(table, start, end):
                    return True
                end = self._reached = end + ahead
                ahead *= 2
                self._ahead = min(ahead, MOST_AHEAD)
        return self._seek_to(table, start, reach)

    def _seek_to(self, table: Table, start: int, reach: int) -> bool:
        """Look at nothing from ``reach`` on."""
        # The first that is found, and the longest of those.
        begin = end = reach + self.longest
        for k, sep in enumerate(self.separators):
            if self._look(table, k, start, reach):
                at = self._at[k] - 1
                if at < begin or (at == begin and at + len(sep) > end):
                    begin = at
                    end = at + len(sep)
        self.begin = begin
        self.end = end
        if end <= reach - self.longest:
            return True
        # The earliest places that the others may still have.
        open_begin = open_end = reach + self.longest
        for k, sep in enumerate(self.separators):
            if self._at[k] <= self._from[k]:
                at = self._open(table, k, reach)
                open_begin = min(open_begin, at)
                open_end = min(open_end, at + len(sep))
        if end <= reach and begin < open_begin:
            return True
        # Nothing was found, or what has only begun could come before it or be longer.
        self.begin = min(begin, open_begin)
        self.end = min(end, open_end)
        return False

    def _open(self, table: Table, k: int, reach: int) -> int:
        """Return the first place where one separator, which was not found, may begin; ``reach`` if it has not begun."""
        at = self._from[k]
        if at >= reach:
            return reach
        if self._seen[k] < reach:
            sep = self.separators[k]
            at = first_open(table, at, reach, sep, _NO_BORDERS if len(sep) <= 2 else self._borders_of(k))
            # In this order: what is its beginning from a later place on is so up to ``_seen`` as well.
            self._from[k] = at
            self._seen[k] = reach
        return at

    def _look(self, table: Table, k: int, start: int, reach: int) -> bool:
        """Say whether one separator is found; else nothing begins before ``_from``, which is not before ``start``."""
        at = self._from[k]
        seen = self._seen[k]
        if at < start:
            at = start
        elif seen >= reach and self._at[k] <= at:
            return False  # nothing has come
        if self._at[k] > at:
            return True
        sep = self.separators[k]
        m = len(sep)
        if seen > at:
            at = self._follow(table, k, at, seen, reach)
            if at < seen:
                if reach - at >= m:
                    self._at[k] = at + 1
                    return True
                self._from[k] = at
                self._seen[k] = reach
                return False
        if reach - at >= m:
            offset = find(table, at, reach, sep)
            if offset >= 0:
                self._at[k] = at + offset + 1
                return True
            at = reach - m + 1
        self._from[k] = at
        return False

    def _follow(self, table: Table, k: int, start: int, seen: int, reach: int) -> int:
        """Return where what had begun before ``seen`` goes on as far as there are bytes; else a place behind it.

        Nothing begins between ``start`` and there. What goes on may be whole.
        """
        sep = self.separators[k]
        fallbacks = self._borders_of(k)
        known = seen - self._from[k]
        while seen - known < start:
            known = fallbacks[known - 1]
        at = seen
        stop = min(reach, seen + len(sep))
        while at < stop:
            for byte in scratch(table, at, min(at + BLOCK, stop)):
                while known and byte != sep[known]:
                    known = fallbacks[known - 1]
                if byte == sep[known]:
                    known += 1
                at += 1
                if known == len(sep) or known <= at - seen:
                    return at - known
        return at - known

    def _borders_of(self, k: int) -> list[int]:
        """Return the borders of a separator, which are worked out at the first need."""
        sep = self.separators[k]
        if len(sep) <= 2:
            return _NO_BORDERS
        if self._borders is None:
            self._borders = [None] * len(self.separators)
        found = self._borders[k]
        if found is None:
            found = self._borders[k] = borders(sep)
        return found


@final
class Looks:
    """The last few searches in one buffer, side by side, each of which goes on where it stopped.

    Whoever holds it lets go of it when bytes change that were looked at. A search is not forgotten by asking for others
    in between, up to four.
    """

    __slots__ = ("_seekers",)

    def __init__(self) -> None:
        self._seekers: list[Seeker] = []

    def seeker_for(self, separators: tuple[bytes, ...], position: int) -> Seeker:
        """Return the seeker that looked for the same, or a new one that begins at a position and is remembered.

        Nothing may be looked for in front of where the last ``Seeker.seek()`` began.
        """
        seeker = self.known(separators)
        if seeker is None:
            seeker = Seeker(separators, position)
            self.keep(seeker)
        return seeker

    def seeker_of(self, separator: bytes, position: int) -> Seeker:
        """As ``seeker_for()`` of a single separator: what is asked for once a line."""
        for seeker in self._seekers:
            if seeker.separators[0] == separator and len(seeker.separators) == 1:
                return seeker
        return self.seeker_for((separator,), position)

    def has_only(self, seeker: Seeker) -> bool:
        """Whether this is all that is remembered."""
        return len(self._seekers) == 1 and self._seekers[0] is seeker

    def known(self, separators: tuple[bytes, ...]) -> Seeker | None:
        """Return the seeker that looked for the same, or None."""
        for seeker in self._seekers:
            if seeker.separators == separators:
                return seeker
        return None

    def keep(self, seeker: Seeker) -> None:
        """Remember a seeker in place of one for the same, or of the oldest one."""
        others = [other for other in self._seekers if other.separators != seeker.separators]
        self._seekers = [*others[1 - _MOST_LOOKS :], seeker]
