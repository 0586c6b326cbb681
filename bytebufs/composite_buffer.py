"""CompositeBuffer: one message built from parts that others own, consumed at the front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self, SupportsIndex, final

from ._audit import count_copy
from ._holding import compacted
from ._parts import Block, Entry, entry_of, has_buffer, join, memory_view, merged, shown, size_of
from ._search import find, first_open
from ._table import Table
from .base_buffer import BaseBuffer, as_separator
from .errors import LimitExceeded, Underrun
from .slice_buffer import SliceBuffer, cut

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .base_buffer import BytesLike, Part

__all__ = ["CompositeBuffer"]

_BLOCK: Final = 4096
"""Bytes of a block that small parts are copied to: one page, so that a slice of it pins little."""


@final
class CompositeBuffer(BaseBuffer):
    r"""A message in parts: append what comes in, take what is whole; no byte moves.

    >>> b = CompositeBuffer([b"HTTP/1.1 20", b"0 OK\r\nServer: x\r\n"])
    >>> bytes(b.take_until(b"\r\n", limit=1000))
    b'HTTP/1.1 200 OK'
    >>> len(b)
    11

    A part is anything bytes-like, a buffer, or a range of a file; it is referred to, never copied, unless
    ``coalesce_below`` is given: then parts with fewer bytes are copied together into a block at the end (counted as
    "coalesce"; a snapshot, if their memory is mutable), which guards against floods of tiny parts.

    Belongs to one thread at a time. Every method that takes bytes away does so wholly or not at all.
    """

    __slots__ = ("_block", "_coalesce_below", "_edits", "_index", "_looked")

    def __init__(self, parts: Iterable[Part] = (), *, coalesce_below: SupportsIndex = 0) -> None:
        """Begin with these parts. Raises TypeError for one bytes-like object in place of several parts."""
        table = Table([], [], 0)
        self._source = table
        self._index = table
        self._start = 0
        self._stop = 0
        self._coalesce_below = size_of(coalesce_below)
        self._block: Block | None = None
        # Counts the changes other than appending and draining, which show in _stop and _start alone.
        self._edits = 0
        self._looked: tuple[bytes, int, int] | None = None
        self.extend(parts)

    def _window(self, start: int, stop: int) -> SliceBuffer:
        return cut(self._index, start, stop)

    def _changes(self) -> object:
        return self._edits, self._start, self._stop

    # -- building

    def append(self, part: Part) -> None:
        """Add a part at the end. Complexity: amortised O(1); a buffer in n parts O(n). Copies: nothing.

        An empty part is dropped; one that goes on where the last part stops, in the same owner, extends that. A buffer
        may be appended to itself. Raises TypeError for what is not bytes-like; then nothing was added.
        """
        if type(part) is bytes and len(part) > self._coalesce_below:
            self._index.parts.append(part)
            self._stop += len(part)
        else:
            self._append_entries(_entries_of(part))

    def _append_entries(self, entries: list[Entry]) -> None:
        if self._coalesce_below:
            entries = self._coalesced(entries)
        table = self._index
        for entry in entries:
            table.push(entry)
            self._stop += len(entry)

    def _coalesced(self, entries: list[Entry]) -> list[Entry]:
        """Return the entries with those that are small, and do not merge as they are, copied to the tail block."""
        copied = []
        last = self._index.last_entry()
        for entry in entries:
            small = len(entry) < self._coalesce_below and (last is None or merged(last, entry) is None)
            copied.append(small)
            last = None if small else entry
        count_copy("coalesce", sum([len(e) for e, small in zip(entries, copied, strict=True) if small]))
        return [self._copy_to_block(e) if small else e for e, small in zip(entries, copied, strict=True)]

    def _copy_to_block(self, entry: Entry) -> Entry:
        size = len(entry)
        block = self._block
        if block is None or size > block.room:
            block = self._block = Block(max(_BLOCK, 4 * self._coalesce_below))
        return block.add(memory_view(entry))

    def __iadd__(self, part: Part) -> Self:  # type: ignore[misc]  # __add__ always raises
        """Append a part, as :meth:`append`."""
        self.append(part)
        return self

    def extend(self, parts: Iterable[Part]) -> None:
        """Append several parts. Every one is looked at before the first is added, so an error adds none.

        Raises TypeError for one bytes-like object in place of several parts.
        """
        one: object = parts
        if isinstance(one, (str, BaseBuffer)) or has_buffer(one):
            raise TypeError(
                f"several parts are wanted, {shown(parts)} is one: write append(part) or CompositeBuffer([part])"
            )
        entries: list[Entry] = []
        for part in parts:
            entries.extend(_entries_of(part))
        self._append_entries(entries)

    def appendleft(self, part: Part) -> None:
        """Add a part in front. Complexity and errors as :meth:`append`. Copies: nothing."""
        self._prepend_entries(_entries_of(part))

    def _prepend_entries(self, entries: list[Entry]) -> None:
        self._edits += 1
        for entry in reversed(entries):
            self._index.push_left(entry, self._start)
            self._start -= len(entry)

    def insert(self, at: SupportsIndex, part: Part) -> None:
        """Put a part in front of byte ``at``. Complexity and errors as :meth:`splice`. Copies: nothing."""
        self.splice(at, at, part)

    def splice(self, start: SupportsIndex, stop: SupportsIndex, part: Part = b"") -> None:
        """Put a part in the place of bytes ``start`` to ``stop``: insert, delete, replace.

        Raises IndexError for a position beyond the end, ValueError for a negative one or a start after the stop; then
        nothing was changed. Complexity: O(parts); inserting at either end amortised O(1). Copies: nothing.
        """
        low, high = self._exact_range(start, stop)
        entries = _entries_of(part)
        if low == self._stop:
            self._append_entries(entries)
        elif high == self._start:
            self._prepend_entries(entries)
        else:
            joined = self._index.entries(self._start, low)
            _extend_merging(joined, entries)
            _extend_merging(joined, self._index.entries(high, self._stop))
            self._rebuild(joined, len(self) - (high - low) + sum([len(entry) for entry in entries]))

    def _rebuild(self, entries: list[Entry], size: int) -> None:
        self._edits += 1
        self._index.reset(entries, self._start)
        self._stop = self._start + size

    # -- consuming

    def take(self, n: SupportsIndex) -> SliceBuffer:
        """Return the first ``n`` bytes as a slice, and drain them. Underrun if there are fewer: nothing moved then.

        Complexity: O(parts spanned), O(1) within one. Copies: nothing.
        """
        stop = self._front(n)
        taken = cut(self._index, self._start, stop)
        self._drain(stop)
        return taken

    def take_all(self) -> SliceBuffer:
        """Return everything as a slice, and drain it. Complexity: O(parts). Copies: nothing."""
        return self.take(self._stop - self._start)

    def take_at_most(self, n: SupportsIndex) -> SliceBuffer:
        """Return the first ``n`` bytes, or all if there are fewer, and drain them. Otherwise as :meth:`take`."""
        return self.take(min(size_of(n), self._stop - self._start))

    def skip(self, n: SupportsIndex) -> None:
        """Drain the first ``n`` bytes. Underrun if there are fewer: nothing moved then. O(parts dropped)."""
        self._drain(self._front(n))

    def truncate(self, n: SupportsIndex) -> None:
        """Keep the first ``n`` bytes and drop the rest. Raises ValueError if there are fewer.

        Complexity: O(parts dropped), and O(log parts).
        """
        size = size_of(n)
        if size > self._stop - self._start:
            raise ValueError(f"{self._stop - self._start} bytes cannot be truncated to {size}")
        stop = self._start + size
        if stop < self._stop:
            self._edits += 1
            self._index.cut(self._start, stop)
            self._stop = stop

    def clear(self) -> None:
        """Drop everything. Slices that were taken live on."""
        self.truncate(0)

    def take_until(self, sep: BytesLike, *, limit: SupportsIndex, keepends: bool = False) -> SliceBuffer | None:
        """Return the bytes before ``sep``, with it if ``keepends``, and drain both; None if it has not come yet.

        Raises LimitExceeded when more than ``limit`` bytes stand before it, as soon as that is certain; then, as with
        None, nothing moved. The answer does not depend on how the input was cut. The place where looking stopped is
        remembered until something other than the front or the end changes, so that the total work is linear in the
        bytes that came in. Copies: nothing.
        """
        needle = _own_separator(sep)
        most = size_of(limit)
        found = self._look_for(needle)
        if found < 0:
            if first_open(self._index, self._start, self._stop, needle) - self._start > most:
                raise LimitExceeded(most)
            return None
        if found > most:
            raise LimitExceeded(most)
        stop = self._start + found
        end = stop + len(needle)
        taken = cut(self._index, self._start, end if keepends else stop)
        self._drain(end)
        return taken

    def _look_for(self, needle: bytes) -> int:
        """Return how far from the front a separator is, or -1, going on where looking for the same one stopped."""
        at = self._start
        if self._looked is not None:
            sep, looked, edits = self._looked
            if edits == self._edits and sep == needle:
                at = max(at, looked)
        found = find(self._index, at, self._stop, needle)
        looked = at + found if found >= 0 else max(at, self._stop - len(needle) + 1)
        self._looked = (needle, looked, self._edits)
        return looked - self._start if found >= 0 else -1

    def _front(self, n: SupportsIndex) -> int:
        """Return the position ``n`` bytes after the front. Raises Underrun if that lies beyond the end."""
        size = n if isinstance(n, int) and n >= 0 else size_of(n)
        if size > self._stop - self._start:
            raise Underrun(size, self._stop - self._start)
        return self._start + size

    def _drain(self, position: int) -> None:
        self._start = position
        self._index.drain(position, self._stop)

    # -- the whole

    def freeze(self) -> SliceBuffer:
        """Return everything as a slice; the composite goes on. Complexity: O(parts). Copies: nothing."""
        return cut(self._index, self._start, self._stop)

    def consolidate(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None) -> None:
        """Join the parts of a range into one, in place. The one structural copy, and only where a range has seams.

        Raises IndexError for a position beyond the end, ValueError for a start after the stop. Copies: the range
        ("consolidate"), or nothing if it lies in one part. Slices cut before keep the old parts.
        """
        low, high = self._exact_range(start, stop)
        pieces = self._index.pieces(low, high)
        if len(pieces) > 1:
            self.splice(low - self._start, high - self._start, join("consolidate", pieces))

    def compact(self) -> int:
        """Rewrite, in place, what pins mostly waste, and return the number of bytes let go of.

        Rewritten is what of an owner is shown, where the owner holds more than twice that and 512 bytes; never maps
        or files. Slices cut before go on pinning what they show. Complexity: O(parts) and what is rewritten. Copies:
        that ("compact").
        """
        entries, freed = compacted(self._entries())
        if freed:
            self._rebuild(entries, self._stop - self._start)
        return freed

    def __copy__(self) -> CompositeBuffer:
        """Return another composite of the same parts. Complexity: O(parts). Copies: nothing."""
        twin = CompositeBuffer(coalesce_below=self._coalesce_below)
        twin._rebuild(self._entries(), len(self))
        return twin


def _entries_of(part: Part) -> list[Entry]:
    """Return the entries that show a part, which may be a buffer: it is flattened."""
    if isinstance(part, BaseBuffer):
        return part._entries()
    entry = entry_of(part)
    return [] if entry is None else [entry]


def _own_separator(sep: BytesLike) -> bytes:
    """Return a separator that can be remembered. Copies: what is not ``bytes`` ("needle")."""
    needle = as_separator(sep)
    return needle if isinstance(needle, bytes) else join("needle", [needle])


def _extend_merging(entries: list[Entry], more: list[Entry]) -> None:
    """Extend a list of entries by another, which may go on in the same owner."""
    both = merged(entries[-1], more[0]) if entries and more else None
    if both is None:
        entries.extend(more)
    else:
        entries[-1] = both
        entries.extend(more[1:])
