"""CompositeBuffer: one message built from parts that others own, consumed at the front."""

from __future__ import annotations

from operator import index
from sys import maxsize
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, Self, SupportsIndex, TypeVar, final

from ._core.audit import count_copy
from ._core.holding import compacted
from ._core.numbers import uint
from ._core.parts import (
    Block,
    Entry,
    Memory,
    entry_of,
    has_buffer,
    is_reserved,
    make_entry,
    memory_view,
    merged,
    shown,
    size_of,
)
from ._core.seeker import Seeker
from ._core.table import Table
from .base_buffer import BaseBuffer, own_separator
from .errors import FrameError, LimitExceeded, Underrun
from .reader import Lease, Reader, Wait, layout_of
from .slice_buffer import SliceBuffer, cut, cut_entry, load_slice, window_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from struct import Struct

    from .base_buffer import BytesLike, Part
    from .reader import ByteOrder

__all__ = ["CompositeBuffer", "load_composite"]

_T = TypeVar("_T")

_BLOCK: Final = 4096
"""Bytes of a block that small parts are copied to: one page, so that a slice of it pins little."""

_UNHEARD_OF: Final = maxsize // 2
"""More bytes than any machine has: sizes beyond that would be an OverflowError, and this is a MemoryError."""


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

    __slots__ = (
        "_awaited", "_block", "_coalesce_below", "_edits", "_index", "_lent", "_parsing", "_seeker",
    )  # fmt: skip

    def __init__(self, parts: Iterable[Part] = (), *, coalesce_below: SupportsIndex = 0) -> None:
        """Begin with these parts. Raises TypeError for one bytes-like object in place of several parts."""
        table = Table([], [], 0)
        self._source = table
        self._index = table
        self._start = 0
        self._stop = 0
        self._coalesce_below = min(size_of(coalesce_below), _UNHEARD_OF // 4)
        self._block: Block | None = None
        # Counts the changes other than appending and draining, which show in _stop and _start alone.
        self._edits = 0
        self._seeker: Seeker | None = None
        self._lent: Lease | None = None
        self._parsing = False
        self._awaited: _Awaited | None = None
        self.extend(parts)

    def _window(self, start: int, stop: int) -> SliceBuffer:
        return cut(self._index, start, stop)

    def _loader(self) -> tuple[Callable[..., CompositeBuffer], tuple[object, ...]]:
        return load_composite, (self._coalesce_below,)

    def _entries(self) -> list[Entry]:
        # Its last entry is never clipped: unlike in a slice, where it ends need not be looked up.
        return [] if self._start == self._stop else self._index.all_entries(self._start)

    # -- telling others of changes

    def _changes(self) -> object:
        return self._edits, self._start, self._stop

    def _lend(self) -> Lease:
        if self._lent is None:
            self._lent = Lease()
        return self._lent

    def _revoke(self) -> None:
        """Make the readers out there fail at their next call."""
        if self._lent is not None:
            self._lent.revoke()
            self._lent = None

    def _refuse_in_parse(self) -> None:
        if self._parsing:
            raise RuntimeError("the buffer is being parsed: the parser may read it, but not change or parse it")

    def _edit(self) -> None:
        """Prepare for a change other than appending and draining: what was looked up or promised holds no more."""
        self._refuse_in_parse()
        self._revoke()
        self._edits += 1
        self._forget_looks()

    def _forget_looks(self) -> None:
        self._seeker = None
        self._awaited = None

    # -- building

    def append(self, part: Part) -> None:
        """Add a part at the end. Complexity: amortised O(1); a buffer in n parts O(n). Copies: nothing.

        An empty part is dropped; one that goes on where the last part stops, in the same owner, extends that. A buffer
        may be appended to itself. Raises TypeError for what is not bytes-like; then nothing was added.
        """
        if type(part) is bytes and len(part) > self._coalesce_below and not self._parsing:
            self._index.parts.append(part)
            self._stop += len(part)
        elif isinstance(part, BaseBuffer) and not self._coalesce_below:
            self._append_buffer(part)
        else:
            self._append_entries(_entries_of(part))

    def _append_buffer(self, buffer: BaseBuffer) -> None:
        self._refuse_in_parse()
        entries, size = buffer._entries(), buffer._size()
        if self._start == self._stop:
            self._index.reset(entries, self._start)
        elif entries:
            # In a buffer no entry continues the one before it: only the first may merge. The others cost a list slice.
            self._index.push(entries[0])
            self._index.parts.extend(entries[1:])
        self._stop += size

    def _append_entries(self, entries: list[Entry]) -> None:
        self._refuse_in_parse()
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
        return [self._copy_to_block(memory_view(e)) if small else e for e, small in zip(entries, copied, strict=True)]

    def _copy_to_block(self, data: memoryview) -> Entry:
        block = self._block
        if block is None or len(data) > block.room:
            block = self._block = Block(max(_BLOCK, 4 * self._coalesce_below))
        return block.add(data)

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
        self._edit()
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
        low, high = self._exact_range(start, size_of(stop))
        entries = _entries_of(part)
        if low == self._stop:
            self._append_entries(entries)
        elif high == self._start:
            self._prepend_entries(entries)
        else:
            joined = self._index.entries(self._start, low)
            _extend_merging(joined, entries)
            _extend_merging(joined, self._index.entries(high, self._stop))
            self._rebuild(joined, self._size() - (high - low) + sum([len(entry) for entry in entries]))

    def _rebuild(self, entries: list[Entry], size: int) -> None:
        self._edit()
        self._index.reset(entries, self._start)
        self._stop = self._start + size

    def pack(self, fmt: str | bytes | Struct, *values: Any) -> None:
        """Append values as ``struct`` encodes them; the format begins with its byte order, else ValueError.

        Small packs share a block; a view of one that was handed out never moves. Raises struct.error for values that
        do not fit.
        """
        self._append_packed(layout_of(fmt).struct.pack(*values))

    def pack_varint(self, value: SupportsIndex) -> None:
        """Append an unsigned LEB128 number. Raises ValueError if it is negative or has more than 64 bits."""
        number = index(value)
        if not 0 <= number < 1 << 64:
            raise ValueError(f"a varint is an unsigned number of at most 64 bits, not {number}")
        encoded = bytearray()
        while number > 0x7F:
            encoded.append(number & 0x7F | 0x80)
            number >>= 7
        encoded.append(number)
        self._append_packed(encoded)

    def pack_uint(self, value: SupportsIndex, n: SupportsIndex, byteorder: ByteOrder = "big") -> None:
        """Append an unsigned number of ``n`` bytes. Raises ValueError if it is negative or does not fit."""
        number, size = index(value), size_of(n)
        if number < 0 or number.bit_length() > 8 * size:
            raise ValueError(f"{number} is not an unsigned number of {size} bytes")
        self._append_packed(number.to_bytes(min(size, _UNHEARD_OF), byteorder))

    def _append_packed(self, data: bytes | bytearray) -> None:
        self._refuse_in_parse()
        if len(data) > _BLOCK // 4:
            self.append(bytes(data))
        elif data:
            self._index.push(self._copy_to_block(memoryview(data)))
            self._stop += len(data)

    def reserve(self, n: SupportsIndex) -> memoryview:
        """Append ``n`` zero bytes and return a writable view of them, for a length that is known only later.

        It writes to its bytes wherever they now are, in slices and drained parts too: while it is alive, neither
        :meth:`consolidate` nor :meth:`compact` moves them.
        """
        self._refuse_in_parse()
        size = size_of(n)
        owner = _zeros(size)
        if size:
            self._index.push(make_entry(owner, 0, size))
            self._stop += size
        return owner.reserve()

    # -- consuming

    def take(self, n: SupportsIndex) -> SliceBuffer:
        """Return the first ``n`` bytes as a slice, and drain them. Underrun if there are fewer: nothing moved then.

        Complexity: O(parts spanned), O(1) within one. Copies: nothing.
        """
        size = n if isinstance(n, int) and n >= 0 else size_of(n)
        start = self._start
        if size > self._stop - start:
            raise Underrun(size, self._stop - start)
        return self._detach(start, start + size, start + size)

    def _detach(self, begin: int, stop: int, position: int) -> SliceBuffer:
        """Drain everything in front of a position, and return a range of that as a slice."""
        if begin == stop or self._lent is not None or self._parsing:
            taken = cut(self._index, begin, stop)
            self._drain(position)
            return taken
        table = self._index
        # Most frames end inside the first part, or with it: nothing needs to be looked up for them.
        entry = table.parts[table.head]
        base = table.base
        self._start = position
        if isinstance(entry, bytes):
            end = base + len(entry)
            if position < end:
                return window_on(entry, begin - base, stop - base)
        else:
            end = base + entry.stop - entry.start
        if position <= end:
            taken = cut_entry(entry, begin - base, stop - base)
            if position == end:
                table.drop_to(table.head + 1, end)
            return taken
        i = table.locate(stop - 1)
        first = table.begin(i)
        if begin >= first:
            taken = cut_entry(table.parts[i], begin - first, stop - first)
        else:
            taken = window_on(table.span(table.head if begin < end else table.locate(begin), i + 1), begin, stop)
        table.drop_behind(i, position, self._stop)
        return taken

    def _peek_uint(self, at: int, size: int, *, little: bool) -> int:
        """Return an unsigned number ``at`` bytes behind the front; it lies within the bytes."""
        table = self._index
        entry = table.parts[table.head]
        begin = self._start - table.base + at
        if isinstance(entry, bytes) and begin + size <= len(entry):
            return uint(entry, begin, size, little=little)
        return self._uint(at, size, little=little)

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
            self._edit()
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
        seeker = self._seeker_for(own_separator(sep))
        most = size_of(limit)
        found = seeker.seek(self._index, self._start, self._stop, most)
        if seeker.begin - self._start > most:
            raise LimitExceeded(most)
        if not found:
            return None
        return self._detach(self._start, seeker.end if keepends else seeker.begin, seeker.end)

    def _seeker_for(self, sep: bytes) -> Seeker:
        """Return the seeker that looked for the same separator last, or a new one."""
        seeker = self._seeker
        if seeker is None or seeker.separators[0] != sep:
            seeker = self._seeker = Seeker((sep,), self._start)
        return seeker

    def _front(self, n: SupportsIndex) -> int:
        """Return the position ``n`` bytes after the front. Raises Underrun if that lies beyond the end."""
        size = n if isinstance(n, int) and n >= 0 else size_of(n)
        if size > self._stop - self._start:
            raise Underrun(size, self._stop - self._start)
        return self._start + size

    def _drain(self, position: int) -> None:
        self._refuse_in_parse()
        self._revoke()
        self._start = position
        self._index.drain(position, self._stop)

    def _drain_to(self, i: int, within: int, n: int) -> None:
        """Drain the first ``n`` bytes, of which the last ``within`` are in entry ``i``: the place need not be found."""
        self._refuse_in_parse()
        self._revoke()
        self._start += n
        self._index.drop_to(i, self._start - within)

    # -- parsing

    def parse(self, fn: Callable[[Reader], _T], *, limit: SupportsIndex, byteorder: ByteOrder = "big") -> _T | None:
        """Call ``fn`` with a reader at the front: one message is taken wholly, or nothing is and None is returned.

        >>> b = CompositeBuffer([b"\x05he", b"llo\x03f"])
        >>> def message(r: Reader) -> bytes:
        ...     return r.take_bytes(r.u8())
        >>> while (m := b.parse(message, limit=256)) is not None:
        ...     print(m)
        b'hello'

        What ``fn`` returns is returned, after what its reader passed is drained (a seek back counts). When it reads
        more than there is, nothing is drained, None is returned, and ``fn`` does not run again before what it wanted is
        there. It must therefore not return None itself: TypeError, as for a generator or an awaitable. Test the answer
        by ``is not None``: an empty message is false.

        Raises LimitExceeded as soon as a read, successful or not, would end more than ``limit`` bytes behind the front;
        FrameError if another reader underruns inside ``fn`` (a child, or one over a slice), which no later byte
        can mend; RuntimeError if ``fn`` changes this buffer or parses it. Any other exception passes through. After any
        of these nothing is drained. Slices that ``fn`` took stay valid. Afterwards the reader is closed.

        ``fn`` runs at most once more than it has different underruns, so parse a message of many separately awaited
        items one item at a time. Copies: nothing.
        """
        self._refuse_in_parse()
        most = size_of(limit)
        if not self._is_due(fn, most, byteorder):
            return None
        awaited = self._awaited
        self._awaited = None
        lease = Lease()
        reader = Reader(self, lease, byteorder, most)
        reader._hint = None if awaited is None else awaited.wait
        self._parsing = True
        try:
            value = fn(reader)
            if value is None or _is_postponed(value):
                raise TypeError(f"{shown(fn)} returned {shown(value)}: a parser returns its message, and never None")
            end = self._start + reader.position
        except Underrun as error:
            wait = reader._wait_for(error)
            if wait is None:
                raise _never_right(error)  # noqa: B904  # it has its cause, which mypyc would leave out
            self._awaited = _Awaited(fn, byteorder, self._start, wait)
            return None
        finally:
            self._parsing = False
            lease.close()
            reader._failures = None  # their tracebacks have the parser's frame, and that has the reader
        self._drain(end)
        return value

    def _is_due(self, fn: object, limit: int, byteorder: ByteOrder) -> bool:
        """Whether running ``fn`` can end otherwise than it did last time."""
        awaited = self._awaited
        if awaited is None or awaited.start != self._start or awaited.byteorder != byteorder or awaited.fn != fn:
            return True
        wait = awaited.wait
        seeker = wait.seeker
        if seeker is None:
            if wait.varint_stop and self._stop >= wait.position:
                self._follow_varint(wait)
            return self._stop >= wait.position or wait.position - self._start > limit
        found = seeker.seek(self._index, wait.position, self._stop, wait.limit)
        return found or seeker.begin - wait.position > wait.limit or seeker.end - self._start > limit

    def _follow_varint(self, wait: Wait) -> None:
        """Look for the last byte of a varint in what has come; while it is missing, wait for the byte behind that."""
        position = wait.position
        while position <= self._stop and position < wait.varint_stop and self._byte(position - 1) > 0x7F:
            position += 1
        wait.position = position

    # -- the whole

    def freeze(self) -> SliceBuffer:
        """Return everything as a slice; the composite goes on. Complexity: O(parts). Copies: nothing."""
        return cut(self._index, self._start, self._stop)

    def consolidate(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None) -> None:
        """Join the parts of a range into one, in place. The one structural copy, and only where a range has seams.

        Raises IndexError for a position beyond the end, ValueError for a start after the stop. Copies: the range
        ("consolidate"), or nothing if it lies in one part. Slices cut before keep the old parts. What a view from
        :meth:`reserve` still writes to stays a part of its own.
        """
        low, high = self._exact_range(start, stop)
        entries = self._index.entries(low, high)
        joined = _joined(entries)
        if len(joined) < len(entries):
            rebuilt = self._index.entries(self._start, low)
            # What is not joined may go on in the part that the range cuts.
            _extend_merging(rebuilt, joined)
            _extend_merging(rebuilt, self._index.entries(high, self._stop))
            self._rebuild(rebuilt, self._size())

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
        twin._rebuild(self._entries(), self._size())
        return twin


def load_composite(parts: object, coalesce_below: SupportsIndex) -> CompositeBuffer:
    """Return a composite of a list of parts: what a pickle of one calls, by this name. As :func:`load_slice`."""
    loaded = CompositeBuffer(coalesce_below=coalesce_below)
    whole = load_slice(parts)
    loaded._rebuild(whole._entries(), whole._size())  # not appended: they are not to be coalesced again
    return loaded


@final
class _Awaited:
    """Which parser waits for what, and where the front was."""

    __slots__ = ("byteorder", "fn", "start", "wait")

    def __init__(self, fn: object, byteorder: ByteOrder, start: int, wait: Wait) -> None:
        self.fn = fn
        self.byteorder = byteorder
        self.start = start
        self.wait = wait


def _zeros(size: int) -> Memory:
    """Return memory of our own, read-only. Only the owner itself refers to the bytearray: `reserve()` counts that."""
    memory = bytearray(min(size, _UNHEARD_OF))
    return Memory(memory, memoryview(memory).toreadonly(), memory)


def _never_right(error: Underrun) -> FrameError:
    """Return what an underrun is that no later byte can mend."""
    hopeless = FrameError(f"what a message holds can never become right: {error}")
    hopeless.__cause__ = error
    return hopeless


def _is_postponed(value: object) -> bool:
    """Whether a parser was written as a generator or a coroutine, of any kind, which has not read anything yet."""
    if isinstance(value, CoroutineType):
        value.close()  # or Python warns that nobody awaited it
        return True
    return isinstance(value, (GeneratorType, AsyncGeneratorType)) or hasattr(type(value), "__await__")


def _joined(entries: list[Entry]) -> list[Entry]:
    """Return entries with every run of neighbours joined that nobody can still write to by a reserved view.

    Copies: what is joined ("consolidate").
    """
    runs: list[list[Entry]] = [[]]
    for entry in entries:
        if is_reserved(entry):
            runs.append([entry])
            runs.append([])
        else:
            runs[-1].append(entry)
    count_copy("consolidate", sum([len(e) for run in runs if len(run) > 1 for e in run]))
    return [run[0] if len(run) == 1 else b"".join([memory_view(e) for e in run]) for run in runs if run]


def _entries_of(part: Part) -> list[Entry]:
    """Return the entries that show a part, which may be a buffer: it is flattened."""
    if isinstance(part, BaseBuffer):
        return part._entries()
    entry = entry_of(part)
    return [] if entry is None else [entry]


def _extend_merging(entries: list[Entry], more: list[Entry]) -> None:
    """Extend a list of entries by another, which may go on in the same owner."""
    both = merged(entries[-1], more[0]) if entries and more else None
    if both is None:
        entries.extend(more)
    else:
        entries[-1] = both
        entries.extend(more[1:])
