"""BaseBuffer: everything that only reads, over a window of one owner or of a table.

A buffer is three fields: a source and the window [start, stop) over it. The source is an owner if the window
lies in one part (positions are the owner's offsets then), or a table (positions are the table's). Single parts
have fast paths where they matter; everything else asks for ``BaseBuffer._table()`` and is written once.
"""

from __future__ import annotations

import mmap
from array import array
from operator import index
from sys import version_info
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeAlias, Union, cast, overload

from ._core.audit import count_copy
from ._core.exporter import Exporter
from ._core.holding import held_nbytes
from ._core.layout import counted, describe, hexdump, preview
from ._core.numbers import COMPILED, uint, uint_in
from ._core.overlap import may_overlap, may_share_file
from ._core.parts import (
    Entry,
    LazyOwner,
    Memory,
    Owner,
    byte_view,
    clip,
    entry_of,
    has_buffer,
    int_of,
    is_writable,
    join,
    lent_view,
    memory_view,
    note_write,
    owner_view,
    pour,
    shown,
    size_of,
)
from ._core.pickling import own, pickled
from ._core.search import BLOCK, FEW, Needle, Window, compare, count, equal, find, occurrences, piece, rfind, scratch
from ._core.table import Table, check, one_run
from .errors import Fragmented, Underrun
from .reader import MOST_BLOCKS, ByteOrder, Layout, Lease, Reader, decoded, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from struct import Struct
    from typing import NoReturn

    from typing_extensions import Buffer

    from .slice_buffer import SliceBuffer

__all__ = ["BaseBuffer", "BytesLike", "Part"]

BytesLike: TypeAlias = Union["Buffer", "BaseBuffer"]
"""Anything with a C-contiguous buffer, and every buffer of this library."""

Part: TypeAlias = Union["Buffer", "BaseBuffer", LazyOwner]
"""What may become a part of a message: anything bytes-like, or a range of a file."""

_WHITESPACE: Final = b" \t\n\r\x0b\x0c"
_EMPTY: Final = memoryview(b"")
_LOOK: Final = 4096
"""Bytes of a file that an iterator looks at at once: a page, beside which asking for the file's size costs little."""

_OF_THE_HEAP: Final = frozenset([bytes, bytearray, array])
"""Types whose objects lie in memory of their own, of which there is no second view at another address."""

_EXPORTS: Final = version_info >= (3, 12)
"""Whether what takes bytes-like objects takes buffers (PEP 688)."""

_WRITABLE: Final = 1
"""The flag of whoever wants to write to what is exported (``PyBUF_WRITABLE``)."""

_UNCHANGING: Final = Lease()
_BYTES: Final = [bytes([value]) for value in range(256)]


class BaseBuffer(Exporter):
    """Bytes that lie in one or more parts, read as if they were one ``bytes`` object. Reading never consumes.

    Not made directly: SliceBuffer and CompositeBuffer derive from it.
    """

    __slots__ = ("_source", "_start", "_stop")

    _source: Owner | Table
    _start: int
    _stop: int

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("a BaseBuffer is not made directly: write SliceBuffer(data) or CompositeBuffer(parts)")

    # -- what the two kinds of buffer differ in

    def _window(self, start: int, stop: int) -> SliceBuffer:
        """Cut out a range of source positions: the one way in which slices are made."""
        raise NotImplementedError

    def _loader(self) -> tuple[Callable[..., BaseBuffer], tuple[object, ...]]:
        """The function, of a module, that makes such a buffer of a list of parts, and what it is given besides."""
        raise NotImplementedError

    def _changes(self) -> object:
        """A value that differs after any change of the bytes' arrangement; iterators compare it."""
        return None

    def _edit_count(self) -> int:
        """A number that differs after any change but of the front and the end."""
        return 0

    def _forget_looks(self) -> None:
        """Take note that bytes are written to: what was looked for in them may be there now."""

    def _forget_if_written(self) -> None:
        """Take note of what other buffers have written since. What never grows remembers no search."""

    def _snapshot(self) -> SliceBuffer:
        """Return all of it as a slice: what takes long looks at that, whatever becomes of this buffer meanwhile."""
        return self._window(self._start, self._stop)

    # -- for readers, which stand below this module

    def _needle(self, sub: BytesLike | SupportsIndex) -> Needle:
        return _needle(sub)

    def _own_needle(self, sub: BytesLike | SupportsIndex) -> bytes:
        needle = _needle(sub)
        return needle if isinstance(needle, bytes) else join("needle", [needle])

    # -- reaching the parts

    def _table(self) -> Table:
        source = self._source
        return source if isinstance(source, Table) else one_run(source, self._start, self._stop)

    def _below(self, start: int, stop: int) -> tuple[bytes, int]:
        """Return the bytes object that a range lies within, and the place in it, or -1 if there is none.

        What a message in one part is asked first, whatever is asked of it: nothing is built for the answer.
        """
        source = self._source
        if isinstance(source, Table):
            if start == stop:
                return b"", 0
            i = source.locate(start)
            begin = source.begin(i)
            if stop > source.ends[i] or start < begin:
                return b"", -1  # of several parts, or drained since the range was looked up
            entry = source.parts[i]
            if isinstance(entry, bytes):
                return entry, start - begin
            start += entry.start - begin
            source = entry.owner
        if isinstance(source, bytes):
            return source, start
        return b"", -1

    def _few(self, start: int, stop: int) -> bytes | None:
        """Return a range as bytes to look at, wherever they lie, or None where those are not few.

        So whatever is asked of a small message is asked of ``bytes``, in one place for all layouts: to copy it takes a
        few nanoseconds, and to walk through its parts hundreds. It is scratch, and not counted as a copy.
        """
        if stop - start > FEW:
            return None
        source = self._source
        if isinstance(source, bytes):
            return source[start:stop]
        if isinstance(source, Table):
            return scratch(source, start, stop)
        return piece(source, start, stop)

    def _few_of_memory(self) -> bytes | None:
        """As ``_few()`` of all of it, but None where a file would have to be looked at: it may not be needed."""
        source = self._source
        if isinstance(source, Table):
            if self._stop - self._start > FEW:
                return None
            for entry in source.parts:
                if not isinstance(entry, bytes) and isinstance(entry.owner, LazyOwner):
                    return None
        elif isinstance(source, LazyOwner):
            return None
        return self._few(self._start, self._stop)

    def _copied(self, reason: str) -> bytes:
        """Return all of it as bytes. Copies: that, or nothing if it is exactly one ``bytes`` object."""
        start = self._start
        size = self._stop - start
        owner, at = self._below(start, start + size)
        if at >= 0:
            if size == len(owner):
                return owner  # compiled, a slice is a copy though it is of everything
            count_copy(reason, size)
            return owner[at : at + size]
        few = self._few(start, start + size)
        if few is None:
            return join(reason, self._pieces())
        count_copy(reason, size)
        return few

    def _exact_source(self) -> Owner | Table:
        """The source, in which nothing lies behind the window."""
        return self._source

    def _pieces(self) -> list[bytes | memoryview]:
        return [entry if isinstance(entry, bytes) else lent_view(entry) for entry in self._entries()]

    def _entries(self) -> list[Entry]:
        raise NotImplementedError

    def _listed(self) -> tuple[list[Entry], int]:
        return self._entries(), self._stop - self._start

    def _check(self) -> None:
        """Assert every invariant of the index table. For tests; O(parts)."""
        assert self._start <= self._stop
        check(self._table(), self._start, self._stop)

    # -- a sequence of bytes

    def __len__(self) -> int:
        """Return the number of bytes. O(1). OverflowError above ``sys.maxsize``: sparse files make such messages."""
        return self._stop - self._start

    def _size(self) -> int:
        """Return the number of bytes, which may be more than ``len()`` can tell."""
        return self._stop - self._start

    def __bool__(self) -> bool:
        """Whether there are any bytes."""
        return self._stop > self._start

    @overload
    def __getitem__(self, key: SupportsIndex) -> int: ...

    @overload
    def __getitem__(self, key: slice) -> SliceBuffer: ...

    def __getitem__(self, key: SupportsIndex | slice) -> int | SliceBuffer:
        """Return a byte as an int for an index, or a SliceBuffer for a slice.

        Slices clamp as those of ``bytes`` do. Raises IndexError for an index beyond the bytes, ValueError for a
        step other than 1. Complexity: O(log parts), O(1) in the part last touched; a slice O(parts it spans).
        Copies: nothing.
        """
        if isinstance(key, int):
            at = key
        elif isinstance(key, slice):
            return self._cut(key)
        else:
            at = index(key)
        size = self._stop - self._start
        if at < 0:
            at += size
        if not 0 <= at < size:
            raise IndexError(f"index {key} is out of range for {size} bytes")
        return self._byte(self._start + at)

    def _cut(self, key: slice) -> SliceBuffer:
        step = key.step
        if step is not None and index(step) != 1:
            raise ValueError(f"a slice of a buffer has step 1: write bytes(b)[::{step}] for a copy")
        low, high = self._clamped_range(key.start, key.stop)
        return self._window(low, high)

    def _byte(self, position: int) -> int:
        source = self._source
        if isinstance(source, bytes):
            return source[position]
        if isinstance(source, Table):
            i = source.locate(position)
            at = position - source.begin(i)
            entry = source.parts[i]
            if isinstance(entry, bytes):
                return entry[at]
            source, position = entry.owner, entry.start + at
        if isinstance(source, bytes):
            return source[position]
        return owner_view(source)[position]

    def _range(self, start: SupportsIndex | None, stop: SupportsIndex | None) -> tuple[int, int]:
        """Turn the arguments of a search into source positions. As in ``bytes``, start may lie beyond the end.

        The arguments become numbers before the bounds are read: what does that may change this buffer.
        """
        low = 0
        if start is not None:
            low = start if isinstance(start, int) else index(start)
        if stop is None:
            high = size = self._stop - self._start
        else:
            high = stop if isinstance(stop, int) else index(stop)
            size = self._stop - self._start
            if high < 0:
                high = _from_end(high, size)
            elif high > size:
                high = size
        if low < 0:
            low = _from_end(low, size)
        return self._start + low, self._start + high

    def _clamped_range(self, start: SupportsIndex | None, stop: SupportsIndex | None) -> tuple[int, int]:
        """Turn the ends of a slice into source positions in the window, the first not after the second."""
        low, high = self._range(start, stop)
        low = min(low, self._stop)
        return low, max(low, high)

    def _exact_range(self, start: SupportsIndex, stop: SupportsIndex | None) -> tuple[int, int]:
        """Turn bounds that do not clamp into source positions.

        Raises IndexError beyond the end, ValueError for a negative bound or a start after the stop.
        """
        low = size_of(start)
        high = -1 if stop is None else size_of(stop)
        size = self._stop - self._start
        if stop is None:
            high = size
        if low > size or high > size:
            raise IndexError(f"[{low}:{high}] reaches beyond the {size} bytes that are there")
        if low > high:
            raise ValueError(f"the start {low} lies after the stop {high}")
        return self._start + low, self._start + high

    def __iter__(self) -> Iterator[int]:
        """Iterate over the bytes as ints. RuntimeError as soon as a composite has changed."""
        # A generator does nothing until it is asked: what counts is how the buffer is now.
        return self._forward(self._changes())

    def _forward(self, changes: object) -> Iterator[int]:
        self._assert_unchanged(changes)
        position = self._start
        while position < self._stop:
            try:
                block, _, position = self._block_at(position)
            except IndexError:  # somebody changed it while it was looked up
                self._assert_unchanged(changes)
                raise
            for value in block:
                yield value
                if changes is not None:
                    self._assert_unchanged(changes)

    def __reversed__(self) -> Iterator[int]:
        """Iterate over the bytes as ints from the end. RuntimeError as soon as a composite has changed."""
        return self._backward(self._changes())

    def _backward(self, changes: object) -> Iterator[int]:
        self._assert_unchanged(changes)
        position = self._stop
        while position > self._start:
            try:
                block, position, _ = self._block_at(position - 1)
            except IndexError:
                self._assert_unchanged(changes)
                raise
            for value in reversed(block):
                yield value
                if changes is not None:
                    self._assert_unchanged(changes)

    def _assert_unchanged(self, changes: object) -> None:
        """Raise RuntimeError unless ``changes``, which an iterator began with, still holds."""
        if changes is not None and changes != self._changes():
            raise RuntimeError("the buffer changed while it was iterated over")

    def _block_at(self, position: int) -> tuple[bytes | memoryview, int, int]:
        """Return the part that holds a position, clipped to the window, and where it begins and ends.

        Of a part that has to be looked at, such as a file, a few KiB, as they are now: it may shrink while somebody
        iterates.
        """
        table = self._table()
        i = table.locate(position)
        begin = table.begin(i)
        start, stop = max(begin, self._start), min(table.ends[i], self._stop)
        entry = table.parts[i]
        if isinstance(entry, bytes) or not isinstance(entry.owner, LazyOwner):
            return memory_view(clip(entry, start - begin, stop - begin)), start, stop
        first = position - position % _LOOK
        start, stop = max(start, first), min(stop, first + _LOOK)
        return scratch(table, start, stop), start, stop

    def __contains__(self, item: BytesLike | SupportsIndex) -> bool:
        """Whether a byte, given as an int, or a run of bytes occurs. Complexity: linear."""
        if isinstance(item, bytes):
            return self.find(item) >= 0
        if not isinstance(item, (int, BaseBuffer)) and hasattr(item, "__index__"):
            # Integers of numpy have a buffer, too. For ``in`` bytes take the number, for ``find`` the buffer.
            try:
                return self.find(index(cast("SupportsIndex", item))) >= 0
            except TypeError:  # an array
                pass
        return self.find(item) >= 0

    # -- comparing

    def __eq__(self, other: object) -> bool:
        """Whether ``other``, anything bytes-like, holds the same bytes; the layout does not matter.

        Complexity: linear at the speed of memcmp, O(1) for parts that both share. Copies: nothing.
        """
        same = self._same(other)
        return NotImplemented if same is None else same

    def __ne__(self, other: object) -> bool:
        """Whether ``other`` is bytes-like and holds other bytes."""
        same = self._same(other)
        return NotImplemented if same is None else not same

    def _same(self, other: object) -> bool | None:
        if type(other) is bytes:
            return len(other) == self._stop - self._start and self._has_at(self._start, other)
        if isinstance(other, BaseBuffer) and other._source is not self._source:
            if self._stop - self._start != other._stop - other._start:
                return False
            x = self._few_of_memory()
            y = None if x is None else other._few_of_memory()
            if y is not None:
                return x == y
        operand = _operand(other)
        if operand is None:
            return None
        table, start, stop = operand
        size = self._stop - self._start
        return stop - start == size and equal(self._table(), self._start, table, start, size)

    def _has_at(self, at: int, other: bytes) -> bool:
        """Whether these bytes stand at a source position, behind which there are as many."""
        size = len(other)
        few = self._few(at, at + size)
        if few is not None:
            return few == other
        owner, begin = self._below(at, at + size)
        if begin >= 0:
            return owner.startswith(other, begin)
        return equal(self._table(), at, one_run(other, 0, size), 0, size)

    def __lt__(self, other: BytesLike) -> bool:
        """Order as ``bytes`` do: by unsigned bytes, then by length. Complexity: as ``==``."""
        order = self._order(other)
        return NotImplemented if order is None else order < 0

    def __le__(self, other: BytesLike) -> bool:
        """Order as ``bytes`` do: by unsigned bytes, then by length. Complexity: as ``==``."""
        order = self._order(other)
        return NotImplemented if order is None else order <= 0

    def __gt__(self, other: BytesLike) -> bool:
        """Order as ``bytes`` do: by unsigned bytes, then by length. Complexity: as ``==``."""
        order = self._order(other)
        return NotImplemented if order is None else order > 0

    def __ge__(self, other: BytesLike) -> bool:
        """Order as ``bytes`` do: by unsigned bytes, then by length. Complexity: as ``==``."""
        order = self._order(other)
        return NotImplemented if order is None else order >= 0

    def _order(self, other: object) -> int | None:
        few = self._few_of_memory()
        if few is not None:
            flat = other if type(other) is bytes else None
            if isinstance(other, BaseBuffer):
                flat = other._few_of_memory()
            if flat is not None:
                return -1 if few < flat else int(few != flat)
        operand = _operand(other)
        return None if operand is None else compare((self._table(), self._start, self._stop), operand)

    def __hash__(self) -> int:
        """Refuse: the memory below may change."""
        raise TypeError(f"a {type(self).__name__} has no hash, its memory may change: use bytes(b)")

    # -- searching

    def find(
        self,
        sub: BytesLike | SupportsIndex,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> int:
        """Return the lowest index in ``[start, end)`` where ``sub`` begins, or -1. As ``bytes.find``.

        ``sub`` is an int from 0 to 255 or bytes-like. Complexity: linear in the range, whatever the layout.
        Copies: nothing; a needle that lies in several parts is joined, and one of more than 32 KiB is looked for across
        seams in blocks of up to twice its size (both counted as "needle").
        """
        needle = _needle(sub)
        if start is None and end is None:
            low, high = self._start, self._stop
        else:
            low, high = self._range(start, end)
        if len(needle) == 0:
            return low - self._start if low <= high else -1
        source = self._source
        if isinstance(source, bytes):
            found = source.find(needle, low, high)
            return found - self._start if found >= 0 else -1
        # Compiled, a table is searched as it is: most is found in the very first part.
        few = None if COMPILED and isinstance(source, Table) else self._few(low, high) if low < high else b""
        found = find(self._table(), low, high, needle) if few is None else few.find(needle)
        return found + low - self._start if found >= 0 else -1

    def rfind(
        self,
        sub: BytesLike | SupportsIndex,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> int:
        """Return the highest index in ``[start, end)`` where ``sub`` begins, or -1. Otherwise as ``find()``.

        Linear, too, which ``bytes.rfind`` is not. Where the last matches of a needle of more than 12 KiB overlap, up to
        five times the needle is copied ("needle").
        """
        needle = _needle(sub)
        low, high = self._range(start, end)
        if len(needle) == 0:
            return high - self._start if low <= high else -1
        few = None if COMPILED and isinstance(self._source, Table) else self._few(low, high) if low < high else b""
        found = rfind(self._table(), low, high, needle) if few is None else few.rfind(needle)
        return found + low - self._start if found >= 0 else -1

    def index(
        self,
        sub: BytesLike | SupportsIndex,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> int:
        """Return what ``find()`` returns, or raise ValueError where that is -1."""
        return _present(self.find(sub, start, end), sub)

    def rindex(
        self,
        sub: BytesLike | SupportsIndex,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> int:
        """Return what ``rfind()`` returns, or raise ValueError where that is -1."""
        return _present(self.rfind(sub, start, end), sub)

    def count(
        self,
        sub: BytesLike | SupportsIndex,
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> int:
        """Return how often ``sub`` occurs in ``[start, end)`` without overlaps. Otherwise as ``find()``."""
        needle = _needle(sub)
        low, high = self._range(start, end)
        if len(needle) == 0:
            return high - low + 1 if low <= high else 0
        few = self._few(low, high) if low < high else b""
        return count(self._table(), low, high, needle) if few is None else few.count(needle)

    def startswith(
        self,
        prefix: BytesLike | tuple[BytesLike, ...],
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> bool:
        """Whether the bytes in ``[start, end)`` begin with ``prefix``, or with one of a tuple. As for ``bytes``.

        Complexity: linear in the prefix. Copies: nothing.
        """
        if type(prefix) is bytes:
            low, high = self._range(start, end)
            return len(prefix) <= high - low and self._has_at(low, prefix)
        operands, error = _settled(prefix)
        low, high = self._range(start, end)
        for operand in operands:
            if isinstance(operand, bytes):
                if len(operand) <= high - low and self._has_at(low, operand):
                    return True
                continue
            table, begin, stop = _window_of(operand)
            size = stop - begin
            if size <= high - low and equal(self._table(), low, table, begin, size):
                return True
        if error is not None:
            raise error
        return False

    def endswith(
        self,
        suffix: BytesLike | tuple[BytesLike, ...],
        start: SupportsIndex | None = None,
        end: SupportsIndex | None = None,
    ) -> bool:
        """Whether the bytes in ``[start, end)`` end with ``suffix``, or with one of a tuple. As for ``bytes``.

        Complexity: linear in the suffix. Copies: nothing.
        """
        if type(suffix) is bytes:
            low, high = self._range(start, end)
            return len(suffix) <= high - low and self._has_at(high - len(suffix), suffix)
        operands, error = _settled(suffix)
        low, high = self._range(start, end)
        for operand in operands:
            if isinstance(operand, bytes):
                if len(operand) <= high - low and self._has_at(high - len(operand), operand):
                    return True
                continue
            table, begin, stop = _window_of(operand)
            size = stop - begin
            if size <= high - low and equal(self._table(), high - size, table, begin, size):
                return True
        if error is not None:
            raise error
        return False

    # -- cutting

    def partition(self, sep: BytesLike) -> tuple[SliceBuffer, SliceBuffer, SliceBuffer]:
        """Cut at the first ``sep``: the slices before, of, and after it; everything and two empty ones if none.

        Complexity: linear. Copies: nothing but what ``find()`` does for a long separator.
        """
        needle = _separator(sep)
        whole = self._snapshot()
        at = whole.find(needle)
        start, stop = whole._start, whole._stop
        if at < 0:
            return whole, whole._window(start, start), whole._window(start, start)
        at += start
        end = at + len(needle)
        return whole._window(start, at), whole._window(at, end), whole._window(end, stop)

    def rpartition(self, sep: BytesLike) -> tuple[SliceBuffer, SliceBuffer, SliceBuffer]:
        """Cut at the last ``sep``: the slices before, of, and after it; two empty ones and everything if none.

        Complexity: linear. Copies: nothing but what ``rfind()`` does for a long separator.
        """
        needle = _separator(sep)
        whole = self._snapshot()
        at = whole.rfind(needle)
        start, stop = whole._start, whole._stop
        if at < 0:
            return whole._window(start, start), whole._window(start, start), whole
        at += start
        end = at + len(needle)
        return whole._window(start, at), whole._window(at, end), whole._window(end, stop)

    def split(self, sep: BytesLike | None = None, maxsplit: SupportsIndex = -1) -> list[SliceBuffer]:
        """Return the slices between the separators, at most ``maxsplit`` cuts from the left if that is not negative.

        Raises TypeError without a separator: splitting on white space is for text. Complexity: linear. Copies:
        nothing but what ``find()`` does for a long separator.
        """
        if sep is None:
            raise TypeError("split() on white space is for text: write bytes(b).split(), or give a separator")
        needle = _separator(sep)
        cuts = int_of(maxsplit)
        pieces = []
        whole = self._snapshot()
        start = whole._start
        few = whole._few(start, whole._stop)
        if few is not None:
            for one in few.split(needle, min(max(cuts, -1), FEW)):
                end = start + len(one)
                pieces.append(whole._window(start, end))
                start = end + len(needle)
            return pieces
        if cuts != 0:
            for found in occurrences(whole._table(), start, whole._stop, needle):
                pieces.append(whole._window(start, found))
                start = found + len(needle)
                if len(pieces) == cuts:
                    break
        pieces.append(whole._window(start, whole._stop))
        return pieces

    def splitlines(self, keepends: bool = False) -> list[SliceBuffer]:  # noqa: FBT001, FBT002  # as bytes.splitlines
        """Return the lines as slices; they end at LF, CR or CR LF, as those of ``bytes``.

        Complexity: linear. Copies: nothing.
        """
        lines = []
        whole = self._snapshot()
        start = whole._start
        few = whole._few(start, whole._stop)
        if few is not None:
            for line in few.splitlines(keepends=True):
                end = start + len(line)
                lines.append(whole._window(start, end if keepends else end - _line_end_of(line)))
                start = end
            return lines
        for stop, end in whole._line_ends():
            lines.append(whole._window(start, end if keepends else stop))
            start = end
        if start < whole._stop:
            lines.append(whole._window(start, whole._stop))
        return lines

    def _line_ends(self) -> Iterator[tuple[int, int]]:
        """Yield where each line stops and where its line end does."""
        table = self._table()
        feeds = occurrences(table, self._start, self._stop, b"\n")
        feed = next(feeds, self._stop)
        for at in occurrences(table, self._start, self._stop, b"\r"):
            while feed < at:
                yield feed, feed + 1
                feed = next(feeds, self._stop)
            if feed == at + 1 < self._stop:
                yield at, at + 2
                feed = next(feeds, self._stop)
            else:
                yield at, at + 1
        while feed < self._stop:
            yield feed, feed + 1
            feed = next(feeds, self._stop)

    def strip(self, chars: BytesLike | None = None) -> SliceBuffer:
        """Return the slice without leading and trailing bytes that are in ``chars`` (ASCII white space if None).

        Complexity: linear in what is stripped. Copies: nothing.
        """
        unwanted = _byte_set(chars)
        few = self._few(self._start, self._stop)
        if few is not None:
            rest = few.lstrip(unwanted)
            start = self._start + len(few) - len(rest)
            return self._window(start, start + len(rest.rstrip(unwanted)))
        return self._lstripped(unwanted)._rstripped(unwanted)

    def lstrip(self, chars: BytesLike | None = None) -> SliceBuffer:
        """Return the slice without leading bytes that are in ``chars``. Otherwise as ``strip()``."""
        return self._lstripped(_byte_set(chars))

    def rstrip(self, chars: BytesLike | None = None) -> SliceBuffer:
        """Return the slice without trailing bytes that are in ``chars``. Otherwise as ``strip()``."""
        return self._rstripped(_byte_set(chars))

    def _lstripped(self, unwanted: bytes) -> SliceBuffer:
        few = self._few(self._start, self._stop)
        if few is not None:
            return self._window(self._stop - len(few.lstrip(unwanted)), self._stop)
        table, position, size = self._table(), self._start, len(_WHITESPACE)
        while position < self._stop:
            block = scratch(table, position, min(position + size, self._stop))
            kept = len(block.lstrip(unwanted))
            position += len(block) - kept
            if kept:
                break
            size = min(2 * size, BLOCK)
        return self._window(position, self._stop)

    def _rstripped(self, unwanted: bytes) -> SliceBuffer:
        few = self._few(self._start, self._stop)
        if few is not None:
            return self._window(self._start, self._start + len(few.rstrip(unwanted)))
        table, position, size = self._table(), self._stop, len(_WHITESPACE)
        while position > self._start:
            block = scratch(table, max(position - size, self._start), position)
            kept = len(block.rstrip(unwanted))
            position -= len(block) - kept
            if kept:
                break
            size = min(2 * size, BLOCK)
        return self._window(self._start, position)

    def removeprefix(self, prefix: BytesLike) -> SliceBuffer:
        """Return the slice after ``prefix``, or all of it if it begins otherwise. Copies: nothing."""
        if type(prefix) is bytes:
            begins = self.startswith(prefix)
            return self._window(self._start + len(prefix) if begins else self._start, self._stop)
        table, begin, stop = _window_of(prefix)
        size = stop - begin
        at = self._start
        if size <= self._stop - at and equal(self._table(), at, table, begin, size):
            at += size
        return self._window(at, self._stop)

    def removesuffix(self, suffix: BytesLike) -> SliceBuffer:
        """Return the slice before ``suffix``, or all of it if it ends otherwise. Copies: nothing."""
        if type(suffix) is bytes:
            ends = self.endswith(suffix)
            return self._window(self._start, self._stop - len(suffix) if ends else self._stop)
        table, begin, stop = _window_of(suffix)
        size = stop - begin
        at = self._stop
        if size <= at - self._start and equal(self._table(), at - size, table, begin, size):
            at -= size
        return self._window(self._start, at)

    # -- numbers

    def unpack_from(self, fmt: str | bytes | Struct, at: SupportsIndex = 0) -> tuple[Any, ...]:
        r"""Return the values that ``struct`` decodes from byte ``at`` on, also across seams.

        >>> from bytebufs import SliceBuffer
        >>> SliceBuffer(b"\x00\x05hello").unpack_from(">H")
        (5,)

        The format begins with its byte order (``<``, ``>``, ``!`` or ``=``), else ValueError: without one struct pads
        as a C compiler would. Where nothing in it has one (``"4s"``, ``"BBB"``) none is wanted. Raises Underrun if
        there are fewer bytes. Copies: nothing.
        """
        layout = layout_of(fmt)
        offset = size_of(at)
        size = self._stop - self._start
        if layout.size > size - offset:
            raise Underrun(layout.size, max(0, size - offset))
        position = self._start + offset
        source = self._source
        if isinstance(source, bytes):
            if COMPILED and layout.is_uint:
                return (uint(source, position, layout.size, little=layout.little),)
            return layout.unpack_from(source, position)
        if not isinstance(source, Table):
            return layout.unpack_from(owner_view(source), position)
        return layout.unpack_from(scratch(source, position, position + layout.size), 0)

    def iter_unpack(self, fmt: str | bytes | Struct) -> Iterator[tuple[Any, ...]]:
        """Iterate over all the bytes as records of one format, also across seams.

        Raises ValueError if the size of the format is 0 or does not divide the number of bytes, RuntimeError as
        soon as a composite has changed. Copies: nothing.
        """
        layout = layout_of(fmt)
        size = self._stop - self._start
        if layout.size == 0 or size % layout.size:
            raise ValueError(f"records of {layout.size} bytes do not fill {size} bytes")
        return self._records(layout, self._changes())

    def _records(self, layout: Layout, changes: object) -> Iterator[tuple[Any, ...]]:
        self._assert_unchanged(changes)
        table = self._table()
        for at in range(self._start, self._stop, layout.size):
            try:
                data = scratch(table, at, at + layout.size)
            except IndexError:
                self._assert_unchanged(changes)
                raise
            yield layout.unpack_from(data, 0)
            self._assert_unchanged(changes)

    def reader(self, byteorder: ByteOrder = "big") -> Reader:
        """Return a reader at the front, which never drains. Copies: nothing.

        On a CompositeBuffer it is live: bytes that are appended become readable, any other change makes its next call a
        RuntimeError.
        """
        return Reader(self, self._lend(), byteorder)

    def _lend(self) -> Lease:
        """Return what tells readers that the buffer has changed under them: in a slice, nothing ever does."""
        return _UNCHANGING

    def _uint(self, at: int, size: int, *, little: bool) -> int:
        """Return an unsigned number that lies within the bytes."""
        position = self._start + at
        table = self._table()
        i = table.locate(position)
        entry = table.parts[i]
        skip = position - table.begin(i)
        if isinstance(entry, bytes):
            if skip + size <= len(entry):
                return uint(entry, skip, size, little=little)
        elif isinstance(entry.owner, Memory) and skip + size <= entry.stop - entry.start:
            return uint_in(entry.owner.view, entry.start + skip, size, little=little)
        return uint(scratch(table, position, position + size), 0, size, little=little)

    # -- facts

    @property
    def part_count(self) -> int:
        """The number of parts; 0 if empty. O(1), but for a composite whose last lookup is long ago: O(log parts)."""
        source = self._source
        if self._start == self._stop:
            return 0
        if isinstance(source, Table):
            first = source.locate(self._start)
            return source.locate(self._stop - 1) - first + 1
        return 1

    @property
    def is_contiguous(self) -> bool:
        """Whether the bytes lie in one part at most, so that ``view()`` has them."""
        return self.part_count <= 1

    @property
    def readonly(self) -> bool:
        """Whether any part refuses to be written to. An empty buffer is read-only. O(parts)."""
        if isinstance(self._source, bytes):
            return True
        entries = self._entries()
        for entry in entries:
            if not is_writable(entry):
                return True
        return not entries

    @property
    def pinned_nbytes(self) -> int:
        """Heap bytes that the parts keep alive, shown or not, each owner once. Maps and files apart. O(parts)."""
        return held_nbytes(self._entries(), mapped=False)

    @property
    def mapped_nbytes(self) -> int:
        """Bytes of maps and files that the parts keep open, shown or not, each owner once. O(parts)."""
        return held_nbytes(self._entries(), mapped=True)

    # -- memory, copied or not

    def views(self) -> list[memoryview]:
        """Return one memoryview a part: in order, clipped at both ends, none empty. What ``writev`` wants.

        Complexity: O(parts). Copies: nothing.
        """
        return [memory_view(entry) for entry in self._entries()]

    def view(self) -> memoryview:
        """Return all of it as one memoryview, writable where its memory is. Copies: nothing.

        Raises Fragmented if the bytes lie in several parts.
        """
        parts = self.part_count
        if parts > 1:
            raise Fragmented(parts)
        source = self._source
        if isinstance(source, bytes):
            return memoryview(source)[self._start : self._stop]
        return memory_view(self._entries()[0]) if parts else _EMPTY[:]

    def __buffer__(self, flags: int) -> memoryview:
        """Export all of it to what takes bytes (PEP 688, 3.12 and newer), however it is cut: ``contiguous()``.

        Read-only, also in one part. Raises BufferError for whoever wants to write, before anything is copied.
        """
        if flags & _WRITABLE:
            raise BufferError("a buffer is exported read-only: write into b.view(), or by b.write_at(at, data)")
        return self.contiguous()

    def contiguous(self) -> memoryview:
        """Return all of it as one read-only memoryview. Copies: only if it lies in several parts ("contiguous")."""
        if self.part_count <= 1:
            view = self.view()
            return view if view.readonly else view.toreadonly()
        return memoryview(self._copied("contiguous"))

    def __bytes__(self) -> bytes:
        """Return a copy. Copies: everything ("bytes"), or nothing if the buffer is exactly one ``bytes`` object."""
        return self._copied("bytes")

    def __int__(self) -> int:
        """Return the number that the bytes spell, as ``int(bytes(b))``. Copies: as ``bytes(b)`` ("bytes")."""
        return int(self._copied("bytes"))

    def __float__(self) -> float:
        """Return the number that the bytes spell, as ``float(bytes(b))``. Copies: as ``bytes(b)`` ("bytes")."""
        return float(self._copied("bytes"))

    def tobytes(self) -> bytes:
        """Return a copy. Copies: everything ("tobytes"), or nothing if the buffer is exactly one ``bytes`` object."""
        return self._copied("tobytes")

    def copy_into(self, dest: Buffer, start: SupportsIndex | None = None, stop: SupportsIndex | None = None) -> int:
        """Copy ``[start, stop)`` to the front of a writable bytes-like object and return the number of bytes.

        Slice rules apply to the range. Raises ValueError if ``dest`` is shorter, TypeError if it is read-only; then
        nothing was written. Copies: the range ("copy_into"); once more where several parts of it lie in the memory of
        ``dest``, or may do so through another map of one file ("fallback").
        """
        target = writable_view(dest)
        low, high = self._clamped_range(start, stop)
        size = high - low
        if target.nbytes < size:
            raise ValueError(f"{size} bytes do not fit into {target.nbytes}")
        few = self._few(low, high)
        if few is not None:
            count_copy("copy_into", size)
            target[:size] = few
            return size
        targets = [target if target.nbytes == size else target[:size]]
        pieces = _apart(targets, self._table().pieces(low, high))
        count_copy("copy_into", size)
        pour(targets, pieces)
        return size

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the text. As ``bytes.decode``. Copies: everything ("decode")."""
        count_copy("decode", self._stop - self._start)
        few = self._few(self._start, self._stop)
        if few is not None:
            return str(few, encoding, errors)
        return decoded(self._table(), self._start, self._stop, encoding, errors)

    def hex(self, sep: str | bytes | None = None, bytes_per_sep: SupportsIndex = 1) -> str:
        """Return the bytes as hexadecimal digits. As ``bytes.hex``. Copies: everything ("hex")."""
        group = int_of(bytes_per_sep)
        if sep is None:
            group = 0
            mark = ""
        else:
            b"-".hex(sep)  # refuses what is no separator
            mark = sep if isinstance(sep, str) else str(sep, "ascii")
        whole = self._snapshot()
        count_copy("hex", whole._size())
        text = ""
        for digits in _digits(whole._table(), whole._start, whole._stop, mark, group):
            # Joining them at the end would take the text twice. It grows where it is, or else is copied: for that
            # case there are not many blocks.
            text += digits
        return text

    # -- writing through to memory

    def write_at(self, at: SupportsIndex, data: BytesLike) -> None:
        """Write bytes through to the memory below, in place, where every buffer that shows it sees them.

        Raises IndexError if they do not fit in from byte ``at`` on, TypeError if a part there is read-only: every part
        is checked before the first byte is written. ``data`` may overlap the place it is written to.

        Copies: nothing beside what is written; where parts of ``data`` lie in the memory below them, ``data``
        ("fallback").
        """
        offset = size_of(at)
        if type(data) is bytes and self._write_few(offset, data):
            return
        table, start, stop = _window_of(data)
        size = stop - start
        if size > self._size() - offset:
            raise IndexError(f"{size} bytes at {offset} do not fit into {self._size()} bytes")
        target = self._window(self._start + offset, self._start + offset + size)
        if size and target.readonly:
            raise TypeError(f"bytes {offset} to {offset + size} are not writable in every part")
        targets = target.views()
        pieces = _apart(targets, table.pieces(start, stop))
        self._forget_looks()
        try:
            pour(targets, pieces)
        finally:
            note_write()

    def _write_few(self, offset: int, data: bytes) -> bool:
        """Write bytes that fit into one part in place, if that is writable memory. False, and nothing written, else."""
        size = len(data)
        start = self._start + offset
        stop = start + size
        if stop > self._stop or not size:
            return False
        source = self._source
        if isinstance(source, Table):
            i = source.locate(start)
            if stop > source.ends[i]:
                return False
            entry = source.parts[i]
            if isinstance(entry, bytes):
                return False
            shift = entry.start - source.begin(i)
            start += shift
            stop += shift
            source = entry.owner
        if not isinstance(source, Memory) or source.view.readonly:
            return False
        self._forget_looks()
        try:
            source.view[start:stop] = data
        finally:
            note_write()
        return True

    def pack_into(self, fmt: str | bytes | Struct, at: SupportsIndex, *values: Any) -> None:
        """Write values that ``struct`` encodes through to memory from byte ``at`` on. Errors as ``write_at()``."""
        self.write_at(at, layout_of(fmt).pack(*values))

    # -- for people

    def hexdump(self, width: SupportsIndex = 16) -> str:
        """Return offset, hex digits and ASCII, ``width`` bytes (1 to 256) a line; at most some 64 lines."""
        columns = int_of(width)
        return hexdump(self._table(), self._start, self._stop, columns)

    def layout(self) -> str:
        """Return which bytes lie where: a line a part, at most some 64 lines. Never looks at the bytes."""
        return describe(self._table(), self._start, self._stop)

    def __repr__(self) -> str:
        """Name the kind, the size, the parts, and the first bytes."""
        sample = preview(self._table(), self._start, self._stop)
        size = f"{counted(self._size(), 'byte')} in {counted(self.part_count, 'part')}"
        return f"<{type(self).__name__}: {size}{': ' if sample else ''}{sample}>"

    # -- for other processes

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[object, ...]:
        """Pickle it part by part, each only as far as it is shown; loaded, it is of the same kind, in the same parts.

        From protocol 5 on a part is a ``pickle.PickleBuffer``. With a ``buffer_callback`` no byte is touched, and the
        loader's ``buffers`` become the parts. Without one pickle writes the bytes into its stream; loaded, read-only
        parts are ``bytes`` and writable ones ``bytearray``. Below protocol 5 all are ``bytes``. A range of a file goes
        by its bytes. Raises TruncatedFile if its file has shrunk.

        Complexity: O(parts). Copies: nothing; below protocol 5 what is not a whole ``bytes`` object ("pickle").
        """
        load, options = self._loader()
        return load, (pickled(self._entries(), protocol), *options)

    def __deepcopy__(self, memo: object) -> BaseBuffer:
        """Return one of the same kind, in the same parts, whose bytes nobody else can change; writable parts stay so.

        Parts that show the same memory get memory of their own each. Raises TruncatedFile if a file below has shrunk.
        Copies: what is not ``bytes``, ranges of files too ("pickle").
        """
        load, options = self._loader()
        return load([own(entry) for entry in self._entries()], *options)

    # -- what it is not

    def __add__(self, other: Any) -> Any:
        """Refuse, and name what joins without copying."""
        raise TypeError("buffers are not added, that would copy: write CompositeBuffer([a, b])")

    def __radd__(self, other: Any) -> Any:
        """Leave ``bytes + b`` and ``bytearray += b`` to those, from Python 3.12 on. Refuse anything else.

        They copy, as they do with a memoryview; of several parts first what ``contiguous()`` does. Before 3.12 they
        take that.
        """
        if isinstance(other, (bytes, bytearray)):
            if _EXPORTS:
                return NotImplemented
            raise TypeError(f"{type(other).__name__} takes a buffer only from Python 3.12 on: add b.contiguous()")
        raise TypeError("buffers are not added, that would copy: write CompositeBuffer([a, b])")

    def __mul__(self, times: object) -> NoReturn:
        """Refuse, and name what repeats without copying."""
        raise TypeError("a buffer is not multiplied: write CompositeBuffer([b] * n), which copies nothing")

    def __rmul__(self, times: object) -> NoReturn:
        """Refuse, and name what repeats without copying."""
        raise TypeError("a buffer is not multiplied: write CompositeBuffer([b] * n), which copies nothing")

    def __setitem__(self, key: object, value: object) -> NoReturn:
        """Refuse: writing bytes and changing the structure are two verbs."""
        raise TypeError(
            "a buffer takes no item assignment: write_at(at, data) writes to memory, splice(start, stop, part) "
            "of a CompositeBuffer changes the structure"
        )

    def __delitem__(self, key: object) -> NoReturn:
        """Refuse, and name what takes bytes away."""
        raise TypeError(
            "nothing is deleted from a buffer by del: write skip(n) for the front of a CompositeBuffer, "
            "splice(start, stop) for its middle"
        )


# -- arguments -----------------------------------------------------------------------------------------------


def _line_end_of(line: bytes) -> int:
    """Return how many bytes of a line are its end."""
    last = line[len(line) - 1]
    if last == 10:  # LF
        return 2 if len(line) > 1 and line[len(line) - 2] == 13 else 1
    return 1 if last == 13 else 0  # CR


def _from_end(at: int, size: int) -> int:
    """Turn a negative end of a slice into an offset: it counts from the end, and nothing is below 0."""
    at += size
    return at if at > 0 else 0


def _window_of(obj: BytesLike | Table) -> Window:
    """Return a table and a window that show anything bytes-like. Raises TypeError for anything else."""
    if isinstance(obj, BaseBuffer):
        return obj._table(), obj._start, obj._stop
    table = obj if isinstance(obj, Table) else _table_of(obj)
    return table, 0, table.ends[0] if table.ends else 0


def _table_of(obj: Buffer) -> Table:
    """Return a table of one foreign object."""
    entry = entry_of(obj)
    return Table([], [], 0) if entry is None else Table([entry], [len(entry)], 0)


def _settled(obj: BytesLike | tuple[BytesLike, ...]) -> tuple[list[bytes | BaseBuffer | Table], Exception | None]:
    """Return what one or several operands are, so that nothing of the caller's runs when their bounds are read.

    What is not bytes-like ends the list. As with ``bytes``, its error is raised only if none before it is the answer.
    """
    operands: list[bytes | BaseBuffer | Table] = []
    for operand in obj if isinstance(obj, tuple) else (obj,):
        try:
            if type(operand) is bytes or isinstance(operand, BaseBuffer):
                operands.append(operand)  # compiled, to ask for a tuple of types costs 100 ns
            else:
                operands.append(_table_of(operand))
        except (TypeError, ValueError, BufferError) as error:
            return operands, error
    return operands, None


def writable_view(dest: Buffer) -> memoryview:
    """Return memory that is to be filled as bytes. Raises TypeError for what is read-only, as buffers export theirs."""
    if isinstance(dest, BaseBuffer):  # asked before it copies itself in vain
        raise TypeError(f"a {type(dest).__name__} is exported read-only: write into it by dest.write_at(0, b)")
    view = byte_view(dest)
    if view.readonly:
        raise TypeError(f"writable memory is wanted, this {type(dest).__name__} is read-only")
    return view


def _operand(obj: Any) -> Window | None:
    """Return the window of what a buffer is compared with, or None where it cannot be compared."""
    try:
        if isinstance(obj, bytes) or isinstance(obj, BaseBuffer) or has_buffer(obj):  # noqa: SIM101  # as above
            return _window_of(obj)
    except (TypeError, ValueError):  # strided, released or closed: not bytes-like, or not any more
        pass
    return None


def _needle(sub: BytesLike | SupportsIndex) -> Needle:
    """Return what is searched for as contiguous bytes. Raises ValueError for an int that is no byte."""
    if isinstance(sub, bytes):
        return sub
    if isinstance(sub, BaseBuffer):
        return sub.view() if sub.is_contiguous else join("needle", sub._pieces())
    if _is_number(sub):
        value = index(cast("SupportsIndex", sub))
        if not 0 <= value <= 255:
            raise ValueError(f"a byte is 0 to 255, not {value}")
        return _BYTES[value]
    return byte_view(cast("Buffer", sub))


def _is_number(sub: object) -> bool:
    """Whether something stands for a byte. Numbers that have a buffer, as those of numpy, are bytes-like instead."""
    return isinstance(sub, int) or (hasattr(sub, "__index__") and not has_buffer(sub))


def _separator(sep: BytesLike) -> Needle:
    """Return a separator as contiguous bytes. Raises ValueError if it is empty, TypeError if not bytes-like."""
    if not isinstance(sep, bytes) and _is_number(sep):
        raise TypeError(f"a separator is bytes-like, not a number: write bytes([{shown(sep)}])")
    needle = _needle(sep)
    if len(needle) == 0:
        raise ValueError("empty separator")
    return needle


def own_separator(sep: BytesLike) -> bytes:
    """Return a separator that can be remembered. Copies: what is not ``bytes`` ("needle")."""
    needle = _separator(sep)
    return needle if isinstance(needle, bytes) else join("needle", [needle])


def _present(found: int, sub: object) -> int:
    if found < 0:
        raise ValueError(f"{shown(sub)} is not in the buffer")
    return found


def _byte_set(chars: BytesLike | None) -> bytes:
    """Return each byte that occurs in ``chars``, once where those are many. White space for None."""
    if chars is None:
        return _WHITESPACE
    if type(chars) is bytes and len(chars) <= len(_BYTES):
        return chars
    table, start, stop = _window_of(chars)
    if stop - start <= len(_BYTES):
        return scratch(table, start, stop)
    found: set[int] = set()
    for at in range(start, stop, BLOCK):
        found.update(scratch(table, at, min(at + BLOCK, stop)))
        if len(found) == len(_BYTES):
            break
    return bytes(found)


def _digits(table: Table, start: int, stop: int, mark: str, group: int) -> Iterator[str]:
    """Yield a window as hexadecimal digits, block by block, with a mark between groups of bytes as in ``bytes.hex``.

    Groups are counted from the right, or, if ``group`` is negative, from the left; 0 is none.
    """
    size = stop - start
    width = group if group > 0 else -group
    if width == 0 or width > size:
        width = size
    origin = size if group > 0 else 0
    block = max(BLOCK // 2, size // MOST_BLOCKS)  # its digits take twice as much
    at = 0
    while at < size:
        end = min(at + block, size)
        if width > block:  # up to the next mark, if that is not too far
            end = min(end, at + width - (at - origin) % width)
        elif end < size:
            end -= (end - origin) % width
        data = scratch(table, start + at, start + end)
        digits = data.hex(mark, width if group > 0 else -width) if mark and width <= block else data.hex()
        is_marked = end < size and (end - origin) % width == 0
        yield digits + mark if is_marked else digits
        at = end


def _may_overlap(targets: list[memoryview], pieces: list[bytes | memoryview]) -> bool:
    """Whether pieces have to be read before any is written, because they may lie in the memory that is written to."""
    if len(targets) == 1 and len(pieces) == 1:
        # A memmove, which is safe as it is, but where two maps show one place.
        piece = pieces[0]
        if isinstance(piece, bytes):
            return False
        mapped = isinstance(piece.obj, mmap.mmap) and piece.obj is not targets[0].obj
        return mapped and may_share_file(targets, pieces)
    read = {id(piece.obj): type(piece.obj) for piece in pieces if isinstance(piece, memoryview)}
    if not read:
        return False
    written = {id(target.obj): type(target.obj) for target in targets}
    heap = _OF_THE_HEAP.issuperset(read.values()) and _OF_THE_HEAP.issuperset(written.values())
    if heap and written.keys().isdisjoint(read):
        return False
    return may_overlap(targets, pieces)


def _apart(targets: list[memoryview], pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Return pieces that can be written over the targets one after another.

    Copies: all of them, where some may lie in the memory that others are written to ("fallback").
    """
    return [join("fallback", pieces)] if _may_overlap(targets, pieces) else pieces
