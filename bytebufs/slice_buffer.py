"""SliceBuffer: a window that owns what it shows and never changes its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, SupportsIndex, final

from mypy_extensions import mypyc_attr

from ._core.holding import compacted
from ._core.numbers import COMPILED
from ._core.parts import Entry, Memory, Owner, Run, entry_of, is_writable, make_entry, shown
from ._core.table import Table
from .base_buffer import BaseBuffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base_buffer import Part

__all__ = ["SliceBuffer"]

_BARE: Final[Any] = object()
"""Tells the constructor to leave the fields to its caller: half the cost of a slice is checking arguments. Compiled,
that costs 3 ns; interpreted 150, so that is got around."""

_new: Final[Any] = object.__new__


@final
@mypyc_attr(free_list_len=1)
class SliceBuffer(BaseBuffer):
    """A run of bytes that others own: zero copy, immutable in shape, valid for as long as it is referred to.

    >>> SliceBuffer(b"hello, world", 7)
    <SliceBuffer: 5 bytes in 1 part: b'world'>

    Shows bytes ``start`` to ``stop`` of one thing; of a CompositeBuffer as it is now. Raises TypeError for what is not
    bytes-like, ValueError for a negative bound or a start after the stop, IndexError for a bound beyond the end: bounds
    do not clamp. Copies: nothing.

    Draining, splicing or closing what it was cut from never changes or breaks it. Only writing to memory that is
    shown (``write_at()``, or the owner's own ways) shows. Several threads may read one slice at once.
    """

    __slots__ = ()

    def __init__(self, obj: Part, start: SupportsIndex = 0, stop: SupportsIndex | None = None) -> None:
        if obj is _BARE or (not COMPILED and hasattr(self, "_source")):
            return  # a slice that is made never changes: compiled, a second call does nothing either
        whole = _whole(obj)
        low, high = whole._exact_range(start, stop)
        part = cut(whole._source, low, high)
        self._source = part._source
        self._start = part._start
        self._stop = part._stop

    def _window(self, start: int, stop: int) -> SliceBuffer:
        if start == self._start and stop == self._stop:
            return self
        source = self._source
        if isinstance(source, Table) and start < stop and source.spans(start, stop):
            return window_on(source, start, stop)  # of the same parts: a slice's table never changes
        return cut(source, start, stop)

    def _entries(self) -> list[Entry]:
        start = self._start
        stop = self._stop
        source = self._source
        if isinstance(source, Table):
            return source.entries(start, stop)
        return [make_entry(source, start, stop)] if start < stop else []

    def _loader(self) -> tuple[Callable[..., SliceBuffer], tuple[object, ...]]:
        return load_slice, ()

    def toreadonly(self) -> SliceBuffer:
        """Return a slice of the same memory through which nothing can be written. Copies: nothing."""
        source = self._source
        if isinstance(source, bytes):
            return self
        entries = self._entries()
        if not any(is_writable(entry) for entry in entries):
            return self
        if len(entries) == 1:
            return cut_entry(_sealed(entries[0]), 0, self._stop - self._start)
        table = Table([], [], 0)
        for entry in entries:
            # Neighbours that only their writability told apart merge.
            table.push(_sealed(entry))
        return _show(table.parts)

    def compact(self) -> SliceBuffer:
        """Return a slice that pins little more than it shows, or itself if nothing is wasted.

        Rewritten is what of an owner is shown, where the owner holds more than twice that and 512 bytes; never maps
        or files. Complexity: O(parts) and what is rewritten. Copies: that ("compact").
        """
        entries, freed = compacted(self._entries())
        return _show(entries) if freed else self

    def __copy__(self) -> SliceBuffer:
        """Return itself: its shape never changes."""
        return self


def cut(source: Owner | Table, start: int, stop: int) -> SliceBuffer:
    """Return a slice of a source, positions unchecked: the one place where slices come from.

    Complexity: O(parts spanned) at the speed of a list slice.
    """
    if start == stop:
        return window_on(b"", 0, 0)
    if isinstance(source, Table):
        i = source.locate(start)
        begin = source.begin(i)
        if stop > source.ends[i]:
            return window_on(source.window(start, stop), start, stop)
        return cut_entry(source.parts[i], start - begin, stop - begin)
    return window_on(source, start, stop)


def cut_entry(entry: Entry, start: int, stop: int) -> SliceBuffer:
    """Return a slice of one entry, counted from its first byte."""
    if isinstance(entry, bytes):
        return window_on(entry, start, stop)
    return window_on(entry.owner, entry.start + start, entry.start + stop)


def _show(entries: list[Entry]) -> SliceBuffer:
    """Return a slice that shows entries, which it takes over."""
    size = 0
    ends = []
    for entry in entries:
        size += len(entry)
        ends.append(size)
    return cut(Table(entries, ends, 0), 0, size)


def load_slice(parts: object) -> SliceBuffer:
    """Return a slice that shows a list of parts: what a pickle of one calls, by this name. Copies: nothing.

    Parts that lie side by side in one memory, as they may when all were received into it, become one. Raises TypeError
    for anything but a list of what may be a part.
    """
    if not isinstance(parts, list):
        raise TypeError(f"a pickled buffer is loaded from a list of its parts, not from {shown(parts)}")
    table = Table([], [], 0)
    for part in parts:
        if isinstance(part, BaseBuffer):
            for entry in part._entries():
                table.push(entry)
        else:
            whole = entry_of(part)
            if whole is not None:
                table.push(whole)
    return _show(table.parts)


def window_on(source: Owner | Table, start: int, stop: int) -> SliceBuffer:
    """Return a slice that shows a range of a source as it is: nothing is looked up."""
    made: SliceBuffer = SliceBuffer(_BARE) if COMPILED else _new(SliceBuffer)
    made._source = source
    made._start = start
    made._stop = stop
    return made


def _whole(obj: Part) -> BaseBuffer:
    """Return anything that may become a part as a buffer."""
    if isinstance(obj, BaseBuffer):
        return obj
    entry = entry_of(obj)
    if entry is None:
        return window_on(b"", 0, 0)
    if isinstance(entry, bytes):
        return window_on(entry, 0, len(entry))
    return window_on(entry.owner, entry.start, entry.stop)


def _sealed(entry: Entry) -> Entry:
    if isinstance(entry, Run) and isinstance(entry.owner, Memory):
        owner = entry.owner
        return Run(Memory(owner.holder, owner.view.toreadonly(), owner.finder, owner.guard), entry.start, entry.stop)
    return entry
