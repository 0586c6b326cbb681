"""The index table: which entry holds which position.

    parts  [ dead | dead | fgh | ij ]      entries; whole bytes objects or Runs
    ends   [   0  |   3  |  8 ]            absolute; as long as any lookup has needed so far
    head   2                               the first live entry
    base   3                               where that entry begins

Positions are absolute and never renumbered: draining moves the head, prepending moves it back, and a base
may become negative. A table knows no length: the buffer over it holds the window [start, stop) that it shows,
which may clip the first entry, and in a slice the last one too.

Rules, asserted by ``check()``:

1. ``parts[:head]`` are placeholders and hold no reference to anything drained. Draining cuts them off when they
   are more than half of the list, and more than a few.
2. ``ends[i]`` is where ``parts[i]`` ends, if that is alive; ``ends`` covers at least the dead entries and at most all.
3. No live entry is empty, and none continues its left neighbour in the same owner.
4. ``last`` is a guess, checked before each use: an index, whatever happened to the table since.

How a table changes, so that nothing that runs in between meets half of a change (finalizers, the collector, signal
handlers, threads), and no exception leaves one:

5. The window decides. It lies within the entries, and who reads goes by positions in it, so that a table may hold more
   on either side: what grows, grows the table first and then the window; what shrinks, shrinks the window first. The
   one store that moves the window is the change; all that can fail has been done before it.
6. What is left in front of the window, because memory had run out or an exception came, is let go of by the next drain.
   What is left behind it, or among the dead, goes before anything else is changed (``Table.trim()``).
7. Lists are lengthened in place, never shortened (but by ``Table.trim()``): whoever is in the middle of reading one
   goes on in it. What cannot be done so is another table, which the buffer exchanges for this one.
8. No reference that may be the last one is dropped in here. It is returned, and the caller lets it go when all is done:
   compiled code drops what a field or an item of a list held *before* it stores what comes instead.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final

from mypy_extensions import mypyc_attr

from .numbers import COMPILED
from .parts import Entry, Owner, clip, lent, lent_view, make_entry, merged

__all__ = ["CHANGED", "Table", "check", "let_go", "one_run"]

CHANGED: Final = "the buffer changed while it was read"

_DEAD: Final = b""

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
        self.parts: list[Entry] = parts
        self.ends: list[int] = ends
        self.head: int = 0
        self.base: int = base
        self.last: int = 0

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
        if not COMPILED and i > self.head and position < ends[i - 1]:
            return bisect_right(ends, position, self.head)  # a signal handler has looked it up meanwhile
        end = self.begin(i)
        while i < len(parts):
            entry = parts[i]
            size = len(entry) if isinstance(entry, bytes) else entry.stop - entry.start
            end += size
            if COMPILED:
                ends.append(end)
            else:
                ends[i:] = [end]  # where it belongs, whatever that handler did, unless it changed what is up to here
                if i < self.head or i >= len(parts) or parts[i] is not entry or len(ends) != i + 1:
                    return self._begin_anew(position)
                if self.begin(i) + size != end:
                    return self._begin_anew(position)
            if position < end:
                return i
            i += 1
        raise RuntimeError(CHANGED)

    def _begin_anew(self, position: int) -> int:
        """Forget where entries end, which somebody changed meanwhile, and look up once more."""
        self.ends[:] = [self.base] * self.head
        if position < self.base:
            raise RuntimeError(CHANGED)
        return self._grow(position)

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return the entries of a window, the first and last one clipped to it.

        Complexity: O(parts) at the speed of a list slice.
        """
        if start == stop:
            return []
        ends = self.ends
        n = len(ends)
        if start == self.base and n == len(self.parts) and n > self.head and stop == ends[n - 1]:
            return self._between(self.head, n)
        i = self.locate(start)
        skip = start - self.begin(i)
        j = self.locate(stop - 1)
        keep = stop - self.begin(j)
        found = self._between(i, j + 1)
        j -= i
        found[j] = clip(found[j], 0, keep)
        if skip:
            found[0] = clip(found[0], skip, len(found[0]))
        return found

    def all_entries(self, start: int) -> list[Entry]:
        """Return every entry of a window that begins at ``start`` and goes to the end of the last one.

        As ``entries()``, but nothing is looked up. The window must not be empty.
        """
        skip = start - self.base
        if skip == 0:
            return self._between(self.head, len(self.parts))
        i = self.head
        if skip >= len(self.parts[i]):  # rule 6
            i = self.locate(start)
            skip = start - self.begin(i)
        found = self._between(i, len(self.parts))
        found[0] = clip(found[0], skip, len(found[0]))
        return found

    def _between(self, i: int, j: int) -> list[Entry]:
        """Return the entries from ``i`` up to ``j``.

        RuntimeError if making the list had them drained or prepended to: an allocation may run the collector.
        """
        head = self.head
        base = self.base
        found = self.parts[i:j]
        if head != self.head or base != self.base:
            raise RuntimeError(CHANGED)
        return found

    def pieces(self, start: int, stop: int) -> list[bytes | memoryview]:
        """Return a window as what ``b"".join`` takes: whole bytes objects as they are, else views, not to be kept.

        Where it is joined anyway, of few bytes a copy, which costs less than a view.
        """
        entries = self.entries(start, stop)
        if len(entries) == 1:
            return [e if isinstance(e, bytes) else lent_view(e) for e in entries]
        return [e if isinstance(e, bytes) else lent(e) for e in entries]

    def window(self, start: int, stop: int) -> Table:
        """Return a table of exactly the entries that a non-empty window spans, for a slice to keep."""
        i = self.locate(start)
        return self.span(i, self.locate(stop - 1) + 1)

    def span(self, i: int, j: int) -> Table:
        """Return a table of the entries from ``i`` up to ``j``, all known to ``ends``."""
        begin = self.begin(i)
        ends = self.ends[i:j]
        return Table(self._between(i, j), ends, begin)

    def spans(self, start: int, stop: int) -> bool:
        """Whether a window within a slice's table, which is complete, lies in its first entry and in its last."""
        ends = self.ends
        n = len(ends)
        return n > 1 and start < ends[0] and stop > ends[n - 2]

    def last_entry(self) -> Entry | None:
        """Return the last entry, or None if there is none. In a slice the window may clip it."""
        return self.parts[-1] if len(self.parts) > self.head else None

    # -- changing; the caller holds the window, and moves it

    def push(self, entry: Entry) -> None:
        """Add an entry at the end, merging it with the last one: for whoever fills a table that nobody else has yet."""
        last = self.last_entry()
        both = None if last is None else merged(last, entry)
        if both is None:
            self.parts.append(entry)
        else:
            self.parts[-1] = both
            del self.ends[len(self.parts) - 1 :]

    def extend(self, entries: list[Entry], end: int) -> None:
        """Add entries, of which none continues its left neighbour, behind the last one, which ends at ``end``.

        The window does not show them yet. After an exception there may be a part of them: trim().
        Complexity: O(entries).
        """
        parts = self.parts
        last = self.last_entry()
        both = None if last is None else merged(last, entries[0])
        if both is None:
            parts.extend(entries)
            return
        self.lengthen(both, end + len(entries[0]))
        if len(entries) > 1:
            parts.extend(entries[1:])

    def lengthen(self, last: Entry, end: int) -> None:
        """Put an entry in the place of the last one, which shows the same and more behind it, and ends at ``end``.

        The window does not show that yet. After an exception it may be there: trim().
        """
        n = len(self.parts)
        self.parts[n - 1] = last
        if len(self.ends) >= n:
            self.ends[n - 1] = end

    def show_instead(self, entries: list[Entry]) -> None:
        """Put entries in the place of as many last ones, each of which shows the same: wherever this ends, so it is.

        None of them continues its left neighbour. The caller holds those that go.
        """
        i = len(self.parts) - len(entries)
        for entry in entries:
            self.parts[i] = entry
            i += 1

    def trim(self, stop: int) -> None:
        """Let go of what an exception left behind ``stop``, where the window ends, or among the dead.

        Looks nothing up.
        """
        parts = self.parts
        parts[: self.head] = [_DEAD] * self.head
        end = self.base
        i = self.head
        while i < len(parts) and end < stop:
            end += len(parts[i])
            i += 1
        del parts[i:]
        del self.ends[i:]
        if end > stop:
            last = parts[i - 1]
            parts[i - 1] = clip(last, 0, len(last) - (end - stop))
            del self.ends[max(i - 1, self.head) :]

    def cut(self, i: int, last: Entry) -> None:
        """Make ``last`` the last entry, in the place of entry ``i``: the window ends with it already."""
        del self.ends[i:]
        del self.parts[i + 1 :]
        self.parts[i] = last

    def put_front(self, entries: list[Entry], start: int) -> bool:
        """Put entries in front of ``start``, where the window begins, which does not show them yet.

        False, and nothing done, where there is no room for them. No entry continues its left neighbour, but the last
        one may be continued by what the window begins with. The window is not empty. After an exception some of them
        may lie among the dead: trim().
        """
        head = self.head
        parts = self.parts
        first = parts[head]
        if start - self.base >= len(first):
            return False  # rule 6
        joined = clip(first, start - self.base, len(first))
        n = len(entries)
        begin = start
        both = merged(entries[n - 1], joined)
        if both is not None:
            joined = both
            n -= 1
            begin -= len(entries[n])
        if n > head:
            return False
        base = self.base
        try:
            begin = self._lay(entries, n, begin)
            # And nothing of anybody else's runs between these three.
            parts[head] = joined
            self.head = head - n
            self.base = begin
        except BaseException:
            parts[head] = first
            self.head = head
            self.base = base
            raise  # what is laid already goes with trim()
        return True

    def _lay(self, entries: list[Entry], n: int, end: int) -> int:
        """Put the first ``n`` entries in front of the head, where what is dead is not looked at: they do not show yet.

        Returns where they begin.

        On its own: on 3.13 an exception at the end of a loop's round passes by the handlers of its function.
        """
        i = self.head
        while n:
            i -= 1
            n -= 1
            self.parts[i] = entries[n]
            self.ends[i] = end
            end -= len(entries[n])
        return end

    def with_front(self, entries: list[Entry], start: int) -> Table:
        """Return another table that has entries in front of ``start``, as ``put_front()``, and room for more."""
        base = start
        for entry in entries:
            base -= len(entry)
        live = self.all_entries(start)
        both = merged(entries[-1], live[0])
        if both is not None:
            live[0] = both
            entries = entries[:-1]
        room = (len(entries) + len(live)) // 2 + _SPARE
        made = Table([_DEAD] * room + entries + live, [base] * room, base)
        made.head = room
        return made

    def outweighed_by(self, i: int) -> bool:
        """Whether the entries in front of entry ``i``, and what is dead already, are more than is left where it is."""
        return i > _SLACK and 2 * i > len(self.parts)

    def rest(self, i: int, begin: int) -> Table:
        """Return another table, of the entries from ``i`` on, which begins at ``begin`` and may be behind the last."""
        return Table(self.parts[i:], self.ends[i:], begin)

    def drop_to(self, i: int, begin: int) -> object:
        """Let go of every entry in front of entry ``i``, which begins at ``begin`` and may be behind the last.

        The window begins there or behind it already. Where the others ended need not be known. Returns what held them.
        """
        parts = self.parts
        ends = self.ends
        head = self.head
        dropped: object = parts[head] if i - head == 1 else parts[head:i]
        try:
            if i - len(ends) == 1:
                ends.append(begin)
            elif i > len(ends):
                # The same number for all: nobody asks for theirs, and what is behind them begins there.
                ends.extend([begin] * (i - len(ends)))
            self._bury(head, i, begin)
        except BaseException:
            if len(ends) >= i:
                self._bury(head, i, begin)  # half of it may be done
            raise
        return dropped

    def drop_first(self, end: int) -> Entry:
        """Let go of the first entry, which ends at ``end``, as ``ends`` knows: the most common of all. Returns it."""
        parts = self.parts
        head = self.head
        first = parts[head]
        try:
            self.base = end
            self.head = head + 1
            parts[head] = _DEAD
        except BaseException:
            self._bury(head, head + 1, end)
            raise
        return first

    def _bury(self, head: int, i: int, begin: int) -> None:
        self.base = begin
        self.head = i
        parts = self.parts
        while head < i:  # one by one: assigning a slice of three costs 80 ns more
            parts[head] = _DEAD
            head += 1


def let_go(held: object) -> None:
    """Do nothing, and so hold on to something until here: compiled, a local variable ends with its last use.

    Called as the last act of a change, with what it took out: from here on finalizers may run.
    """


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
    if start < stop:
        assert head < len(parts)
        assert table.base <= start
        assert position - len(parts[-1]) < stop <= position
    else:
        assert not parts[head:] or table.base <= start == position
