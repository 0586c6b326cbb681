"""CompositeBuffer: one message built from parts that others own, consumed at the front."""

from __future__ import annotations

from collections import deque
from io import BytesIO
from sys import maxsize, version_info
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, Final, Self, SupportsIndex, TypeVar, final

from mypy_extensions import mypyc_attr

from ._core.audit import count_copy
from ._core.holding import ENTRY_COST, SMALL, compacted, gathered, held_beside, hold_the_same, small_copies, waste_of
from ._core.numbers import COMPILED, uint, uint_in
from ._core.packed import packed_float, packed_int, packed_uint, packed_varint
from ._core.parts import (
    Block,
    Entry,
    LazyOwner,
    Memory,
    Owner,
    Run,
    clip,
    entry_of,
    has_buffer,
    is_reserved,
    join,
    make_entry,
    memory_view,
    merged,
    shown,
    size_of,
    written,
    zeros,
)
from ._core.search import BLOCK, FEW
from ._core.seeker import Looks
from ._core.table import Table, let_go
from .base_buffer import BaseBuffer, own_separator
from .errors import Busy, FrameError, LimitExceeded, Underrun, underrun
from .reader import Lease, Reader, Wait, layout_of
from .slice_buffer import SliceBuffer, cut, cut_entry, load_slice, window_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from struct import Struct

    from ._core.packed import Real
    from ._core.seeker import Seeker
    from .base_buffer import BytesLike, Part
    from .reader import ByteOrder

__all__ = ["CompositeBuffer"]

_T = TypeVar("_T")

_NO_PARTS: Final[Iterable[Part]] = ()

_BLOCK: Final = 4096
"""Bytes of a block that small parts are copied to: one page, so that a slice of it pins little."""

_HEADER: Final = 64
"""Bytes that are packed one after another without a block: making one costs more than most headers."""

_MOST_SPARE: Final = 1 << 20
"""Bytes that tiny parts may cost beside what they show, however far the limit is."""

_FEW_PARTS: Final = 8
"""Whole bytes objects that cost little beside themselves: nothing is reckoned for so few."""

_OWN: Final = 1024
"""Bytes of a page that what keeps the parts may take itself."""

_SHORTENS: Final = version_info >= (3, 12)
"""Whether lists may be cut off in place. On 3.11 the collector, and with it anything, runs inside allocations: also in
the one of a list's slice, which then copies what is not there any more."""

_UNHEARD_OF: Final = maxsize // 2
"""More bytes than any machine has: sizes beyond that would be an OverflowError, and this is a MemoryError."""


@final
@mypyc_attr(free_list_len=1)
class CompositeBuffer(BaseBuffer):
    r"""A message in parts: append what comes in, take what is whole; no byte moves.

    >>> b = CompositeBuffer([b"HTTP/1.1 20", b"0 OK\r\nServer: x\r\n"])
    >>> bytes(b.take_until(b"\r\n", limit=1000))
    b'HTTP/1.1 200 OK'
    >>> len(b)
    11

    A part is anything bytes-like, a buffer, or a range of a file; it is referred to, never copied, unless
    ``coalesce_below`` is given: then parts with fewer bytes are copied together into a block at the end (counted as
    "coalesce"; a snapshot, if their memory is mutable), which guards against floods of tiny parts. Raises TypeError for
    one bytes-like object in place of several parts.

    Belongs to one thread at a time. Every method that changes it does so wholly or not at all, whatever exception
    comes, MemoryError and interrupts too; what it lets go of goes as its last act, so that finalizers may use the
    buffer. Who comes into the middle of a change may read; to change it is Busy, or inside of ``parse`` a RuntimeError,
    and does nothing.
    """

    __slots__ = (
        "_alarm", "_awaited", "_block", "_coalesce_below", "_edits", "_frayed", "_index", "_lent", "_locked",
        "_looks", "_may_be_written", "_packed", "_parsing", "_spare", "_wasted", "_worth", "_writes",
    )  # fmt: skip

    def __init__(self, parts: Iterable[Part] = _NO_PARTS, *, coalesce_below: SupportsIndex = 0) -> None:
        if not COMPILED and hasattr(self, "_index"):
            return  # called a second time, which the compiled build ignores
        table = Table([], [], 0)
        self._source = table
        self._index = table
        self._start = 0
        self._stop = 0
        self._coalesce_below = min(size_of(coalesce_below), _UNHEARD_OF // 4)
        self._block: Block | None = None
        self._packed: bytes | None = None  # what was packed last, if not into the block
        # Counts the changes other than appending and draining, which show in _stop and _start alone.
        self._edits = 0
        self._looks: Looks | None = None
        self._lent: Lease | None = None
        self._locked = False  # nobody but who set it may change anything
        self._frayed = False  # he was cut short
        self._parsing = False  # it was parse()
        self._may_be_written = False  # other than bytes may be in it: what append() adds by itself are bytes
        self._writes = 0  # how often anything had been written to when something was looked for in it
        self._awaited: Wait | None = None
        self._spare = _UNHEARD_OF  # bytes of memory that its parts may cost beside what they show
        self._alarm = _UNHEARD_OF  # when to look what they do cost
        self._wasted = 0  # what those did that are not bytes, when somebody looked, and since
        self._worth = SMALL  # bytes of a part from which on what it leaves of its memory does not count
        if parts is not _NO_PARTS:
            self.extend(parts)

    def _window(self, start: int, stop: int) -> SliceBuffer:
        return cut(self._index, start, stop)

    def _loader(self) -> tuple[Callable[..., CompositeBuffer], tuple[object, ...]]:
        return load_composite, (self._coalesce_below,)

    def _entries(self) -> list[Entry]:
        return self._listed()[0]

    def _listed(self) -> tuple[list[Entry], int]:
        """The entries as they are now, and how many bytes they show. Nobody changes them while they are listed."""
        locked = self._locked
        try:
            self._locked = True
            if self._source is not self._index:
                raise Busy("the buffer")  # only a tracer comes between the stores of an exchange
            size = self._stop - self._start
            if not size:
                entries: list[Entry] = []
            elif locked:
                entries = self._index.entries(self._start, self._stop)  # it may hold more than it shows
            else:
                # Its last entry is never clipped: unlike in a slice, where it ends need not be looked up.
                entries = self._index.all_entries(self._start)
            if not locked:  # or, interpreted, another thread has it, or has given it back meanwhile
                self._locked = False
        except BaseException:
            if not locked:
                self._locked = False
            raise
        return entries, size

    def _snapshot(self) -> SliceBuffer:
        return self.freeze()

    def _check(self) -> None:
        if self._frayed:
            self._mend()
        BaseBuffer._check(self)

    def _few(self, start: int, stop: int) -> bytes | None:
        if self._source is not self._index:
            return None  # only a tracer comes between the stores of an exchange
        if COMPILED or stop - start > FEW:
            return BaseBuffer._few(self, start, stop)
        # Interpreted, others come between looking up and looking: a slice is looked at, which nobody changes.
        front = self._start
        whole = self.freeze()
        shift = whole._start - front
        return whole._few(start + shift, stop + shift) if front == self._start else None

    def _below(self, start: int, stop: int) -> tuple[bytes, int]:
        # Interpreted, others may come between looking up and looking.
        if not COMPILED or self._source is not self._index:
            return b"", -1
        return BaseBuffer._below(self, start, stop)

    def _copied(self, reason: str) -> bytes:
        if COMPILED or self._source is not self._index:
            return BaseBuffer._copied(self, reason)
        return self.freeze()._copied(reason)

    def _exact_source(self) -> Owner | Table:
        return Table(self._entries(), [], self._start) if self._locked else self._index

    # -- telling others of changes

    def _changes(self) -> object:
        return self._edits, self._start, self._stop

    def _edit_count(self) -> int:
        return self._edits

    def _lend(self) -> Lease:
        if self._lent is None:
            self._lent = Lease()
        return self._lent

    def _revoke(self) -> None:
        """Make the readers out there fail at their next call."""
        if self._lent is not None:
            self._lent.revoke()
            self._lent = None

    def _refuse_if_locked(self) -> None:
        """Raise if a change is under way below us, in another thread, or was cut short in a way that nobody mended."""
        if self._locked:
            if self._parsing:
                raise RuntimeError("the buffer is being parsed: the parser may read it, but not change or parse it")
            if not self._mend():
                raise Busy("the buffer")

    def _forget_if_written(self) -> None:
        """Look anew where some buffer of ours has written to memory since, and it may be the memory of these parts."""
        if self._writes != written():
            self._writes = written()
            if self._may_be_written:
                self._forget_looks()

    def _forget_looks(self) -> None:
        if self._lent is not None:
            self._lent.writes += 1  # a live reader looks again, too
        self._looks = None
        gone = self._awaited
        self._awaited = None
        let_go(gone)

    # -- changing: by these few ways, and no others (the rules are those of the table)

    def _grow(self, entries: list[Entry], size: int) -> object:
        """Add entries of that size at the end: all, or none. The caller has locked, and cuts back.

        None of them continues its left neighbour. Returns what held what was shown before, if that was nothing.
        """
        if not entries:
            return None
        self._may_be_written = True
        stop = self._stop + size
        if self._start == self._stop and self._lent is None:
            return self._exchange(Table(entries, [], self._start), self._start, stop)
        self._index.extend(entries, self._stop)
        self._stop = stop
        return None

    def _exclusively(self, change: Callable[..., object], *arguments: object) -> None:
        """Make a change that returns what it took out, which goes last. The most common ones spell this out."""
        self._refuse_if_locked()
        try:
            self._locked = True
            gone = change(*arguments)
            self._locked = False
        except BaseException:
            self._cut_back()
            raise
        let_go(gone)

    def _cut_back(self) -> None:
        """End a change that did not come to its end; the window tells whether it was made."""
        if self._locked:
            self._frayed = True
            self._mend()

    def _mend(self) -> bool:
        """Let go of what was added and not shown. If there is no memory even for that, the next change does it.

        That may run finalizers: while it is not done, who wants to change something is told Busy. False where nothing
        is to be mended, or somebody else is at it, or, interpreted, another thread was quicker.
        """
        if not self._frayed:
            return False
        try:
            self._frayed = False
            self._index.trim(self._stop)
            self._locked = False
        except BaseException:
            self._frayed = self._locked
            raise
        return True

    def _leave(self, position: int) -> object:
        """Move the front to a position, and let go at once of what lies before it. Returns that. The caller has locked.

        Complexity: O(entries dropped), amortised.
        """
        table = self._index
        i = table.head
        begin = table.base
        if position > begin and position > self._start:
            first = table.parts[i]
            end = begin + (len(first) if isinstance(first, bytes) else first.stop - first.start)
            if position == end:
                return self._leave_first(position)  # the two most common places look nothing up
            if position == self._stop:
                i = len(table.parts)
                begin = position
            elif position > end:
                i = table.locate(position)
                begin = table.begin(i)
        self._start = position
        return self._drop_to(i, begin)

    def _leave_first(self, end: int) -> object:
        """Move the front to where the first entry ends, and let go of that. As ``_leave()``."""
        table = self._index
        i = table.head + 1
        if table.outweighed_by(i):
            self._start = end
            return self._drop_to(i, end)
        if len(table.ends) < i:
            table.ends.append(
                0 if COMPILED else end
            )  # nobody will ask; but interpreted, others may run before it is dead
        self._start = end
        return table.drop_first(end)

    def _drop_to(self, i: int, begin: int) -> object:
        """Let go of the entries in front of entry ``i``, which begins at ``begin``. Returns them."""
        table = self._index
        if i == table.head:
            return None
        try:
            if table.outweighed_by(i):
                return self._exchange(table.rest(i, begin), self._start, self._stop)
            return table.drop_to(i, begin)
        except MemoryError:
            return None  # what was asked for is done, and the next drain lets go of these, too

    def _exchange(self, table: Table, start: int, stop: int) -> object:
        """Show a window of another table, and return the one that was shown before. The caller has locked.

        Between the stores runs nothing of anybody's: they make no call. Only a tracer comes there.
        """
        old = self._index
        old_start = self._start
        old_stop = self._stop
        try:
            self._source = table
            self._start = start
            self._stop = stop
            self._index = table  # last: until then it says that these disagree
        except BaseException:
            self._source = old
            self._index = old
            self._start = old_start
            self._stop = old_stop
            raise
        return old

    def _edit(self) -> None:
        """Prepare for a change other than appending and draining: what was looked up or promised holds no more."""
        self._revoke()
        self._edits += 1
        self._forget_looks()

    def _rebuild(self, entries: list[Entry], size: int) -> object:
        """Show these entries instead, and return what held those that were shown. The caller has locked."""
        made = Table(entries, [], self._start)
        stop = self._start + size
        self._may_be_written = True
        self._edit()
        return self._exchange(made, self._start, stop)

    # -- building

    def append(self, part: Part) -> None:
        """Add a part at the end. Complexity: amortised O(1); a buffer in n parts O(n). Copies: nothing.

        An empty part is dropped; one that goes on where the last part stops, in the same owner, extends that. A buffer
        may be appended to itself. Raises TypeError for what is not bytes-like; then nothing was added.
        """
        if type(part) is bytes and (size := len(part)) > self._coalesce_below and not self._locked:
            try:
                self._locked = True
                stop = self._stop + size
                self._index.parts.append(part)
                self._stop = stop
                self._locked = False
            except BaseException:
                self._cut_back()
                raise
        elif isinstance(part, BaseBuffer) and not self._coalesce_below:
            self._append(part)
        else:
            self._append(_entries_of(part))

    def _append(self, part: BaseBuffer | list[Entry]) -> None:
        self._refuse_if_locked()
        gone: object = None
        try:
            self._locked = True
            if isinstance(part, list):
                gone = self._grow_by(part)
            else:
                # In a buffer no entry continues the one before it: only the first may merge. The others cost a slice.
                entries, size = part._listed()
                gone = self._grow(entries, size)
            self._locked = False
        except BaseException:
            self._cut_back()
            raise
        let_go(gone)

    def _append_run(self, owner: Owner, start: int, stop: int) -> None:
        """Add bytes of an owner, which mostly go on where the last part stops: what is received comes so."""
        if not self._goes_on(owner, start, stop):
            self._append([Run(owner, start, stop)])

    def _goes_on(self, source: object, start: int, stop: int) -> bool:
        """Append bytes of an owner, if the last part stops where they begin: as ``_append()``, with nothing made."""
        if not isinstance(source, Memory) or self._start == self._stop or self._locked:
            return False
        table = self._index
        last = table.parts[-1]
        if isinstance(last, bytes) or last.owner is not source or last.stop != start:
            return False
        end = self._stop + stop - start
        try:
            self._locked = True
            table.lengthen(Run(source, last.start, stop), end)
            self._stop = end
            self._locked = False
        except BaseException:
            self._cut_back()
            raise
        return True

    def _grow_by(self, entries: list[Entry]) -> object:
        if self._coalesce_below:
            entries = self._coalesced(entries)
        return self._grow(entries, _size(entries))

    def _coalesced(self, entries: list[Entry]) -> list[Entry]:
        """Return the entries with those that are small, and do not merge as they are, copied to the tail block."""
        below = self._coalesce_below
        last = self._index.last_entry()
        # Only the first one may go on in what is before it.
        merges = 1 if entries and last is not None and merged(last, entries[0]) is not None else 0
        merging, rest = entries[:merges], entries[merges:]
        count_copy("coalesce", sum([len(entry) for entry in rest if len(entry) < below]))
        for entry in rest:
            _extend_merging(merging, [self._copy_to_block(memory_view(entry)) if len(entry) < below else entry])
        return merging

    # -- bounded memory

    def _keep_within(self, limit: int, worth: int = SMALL) -> None:
        """Let ``_append_within()`` see to it that little more than twice so much memory is kept for that many bytes.

        That is a page more, and what the first part holds and the last. Beside what is shown, it is never more than
        1 MiB. What parts of ``worth`` bytes and more leave of their memory does not count.
        """
        self._spare = self._alarm = min(limit, _MOST_SPARE) + _BLOCK - _OWN
        self._worth = worth

    def _append_within(self, part: Part) -> None:
        """Append a part, as ``append()``, once ``_make_room()`` has been called."""
        if type(part) is bytes and self._wasted <= self._spare:
            self.append(part)
        elif not (isinstance(part, BaseBuffer) and self._goes_on(part._source, part._start, part._stop)):
            entries = _entries_of(part)
            waste = waste_of(entries, self._index.last_entry(), self._worth)
            if waste > self._spare or (self._wasted > self._spare and self._leaves_last_behind(entries)):
                self._exclusively(self._copy_last)
                if len(self._index.parts) - self._index.head > 2:  # of so many pieces, this is hardly the last one
                    entries = small_copies(entries, self._worth) or entries
                # What the last one held, these may hold without it.
                waste = waste_of(entries, self._index.last_entry(), self._worth)
            self._append(entries)
            self._wasted += waste

    def _leaves_last_behind(self, entries: list[Entry]) -> bool:
        """Whether the last part will be neither first nor last once these are added, and they do not hold its memory.

        Then nobody is left who may keep much for it.
        """
        parts = self._index.parts
        return len(parts) - self._index.head > 1 and bool(entries) and not hold_the_same(parts[-1], entries[0])

    def _copy_last(self) -> object:
        """If the last part keeps much more than it shows, keep that alone: another one may keep as much, elsewhere.

        With it go those before it that hold the same memory, unless the first part does. Returns what held them.
        Copies: those ("coalesce"). Complexity: amortised O(1), since nothing is copied here again.
        """
        table = self._index
        if self._start == self._stop:
            return None
        n = len(table.parts)
        i = n - 1
        while i > table.head and hold_the_same(table.parts[i - 1], table.parts[i]):
            i -= 1
        is_only = table.head == n - 1
        if i == table.head and not is_only:
            return None
        run = table.entries(self._start, self._stop) if is_only else table.parts[i:]
        wasted = waste_of(run, None, self._worth)
        if wasted <= (self._spare // 16 if self._wasted > self._spare else self._spare):
            return None
        copied = small_copies(run, self._worth)
        if not copied:
            return None
        gone: object = run
        if is_only:
            gone = self._rebuild(copied, self._stop - self._start)
        else:
            table.show_instead(copied)
        self._wasted = max(0, self._wasted - wasted)
        return gone

    def _make_room(self) -> None:
        """If what waits costs too much beside its bytes, gather what is small of it.

        Copies: nothing, or that ("coalesce"), until it is no longer small.
        """
        table = self._index
        n = len(table.parts) - table.head
        if not n:
            self._wasted = 0
        few = n <= _FEW_PARTS and not self._wasted
        cost = n * ENTRY_COST + self._wasted
        if not few and cost > self._alarm and cost - held_beside(table.last_entry(), self._worth) > self._alarm:
            self._exclusively(self._gather)

    def _gather(self) -> object:
        """Join small neighbours, if in all they cost more than may be spared; and say when to look again.

        What the last part holds does not count: it may be a large chunk, of which a tail waits for the next one.
        """
        entries = self._entries()
        if not entries:
            return None  # who came before it was locked, as a signal handler may, has taken everything
        worth = self._worth
        wasted = waste_of(entries, None, worth)
        rest = wasted - held_beside(entries[-1], worth)
        gone: object = None
        if rest > self._spare // 2:
            entries = gathered(entries, worth)
            wasted = waste_of(entries, None, worth)
            rest = wasted - held_beside(entries[-1], worth)
            gone = self._rebuild(entries, self._size())
        self._wasted = max(0, wasted - len(entries) * ENTRY_COST)
        # Where that is far already, of ranges of files, not at every part.
        self._alarm = max(self._spare, rest + max(self._spare // 2, rest // 16))
        return gone

    def _copy_to_block(self, data: memoryview) -> Entry:
        block = self._block
        if block is None or len(data) > block.room:
            block = self._block = Block(max(_BLOCK, 4 * self._coalesce_below))
        return block.add(data)

    def __iadd__(self, part: Part) -> Self:  # type: ignore[misc]  # __add__ always raises
        """Append a part, as ``append()``."""
        self.append(part)
        return self

    def extend(self, parts: Iterable[Part]) -> None:
        """Append several parts. Every one is looked at before the first is added, so an error adds none.

        Raises TypeError for one bytes-like object in place of several parts.
        """
        one: object = parts
        is_several = type(one) is tuple or type(one) is list
        if not is_several and (isinstance(one, (str, BaseBuffer, LazyOwner)) or has_buffer(one)):
            if isinstance(one, str):
                entry_of(one)  # type: ignore[arg-type]  # which says what to do with text
            raise TypeError(
                f"several parts are wanted, {shown(parts)} is one: write append(part) or CompositeBuffer([part])"
            )
        entries: list[Entry] = []
        for part in parts:
            if type(part) is bytes:
                if part:
                    entries.append(part)
            else:
                _extend_merging(entries, _entries_of(part))
        self._append(entries)

    def appendleft(self, part: Part) -> None:
        """Add a part in front. Complexity and errors as ``append()``. Copies: nothing."""
        self._prepend(_entries_of(part))

    def _prepend(self, entries: list[Entry]) -> None:
        """Add entries in front: all, or none. None of them continues its left neighbour."""
        self._refuse_if_locked()
        gone: object = None
        try:
            self._locked = True
            gone = self._put_front(entries)
            self._locked = False
        except BaseException:
            self._cut_back()
            raise
        let_go(gone)

    def _put_front(self, entries: list[Entry]) -> object:
        if not entries:
            return None
        self._may_be_written = True
        table = self._index
        start = self._start - _size(entries)
        if self._start == self._stop:
            made = Table(entries, [], start)
            self._edit()
            return self._exchange(made, start, self._stop)
        self._edit()
        if table.put_front(entries, self._start):
            self._start = start
            return None
        return self._exchange(table.with_front(entries, self._start), start, self._stop)

    def insert(self, at: SupportsIndex, part: Part) -> None:
        """Put a part in front of byte ``at``. Complexity and errors as ``splice()``. Copies: nothing."""
        self.splice(at, at, part)

    def splice(self, start: SupportsIndex, stop: SupportsIndex, part: Part = b"") -> None:
        """Put a part in the place of bytes ``start`` to ``stop``: insert, delete, replace.

        Raises IndexError for a position beyond the end, ValueError for a negative one or a start after the stop; then
        nothing was changed. Complexity: O(parts); inserting at either end amortised O(1). Copies: nothing.
        """
        first, last = size_of(start), size_of(stop)
        entries = _entries_of(part)
        self._exclusively(self._put_between, first, last, entries)

    def _put_between(self, first: int, last: int, entries: list[Entry]) -> object:
        low, high = self._exact_range(first, last)
        if low == self._stop:
            return self._grow_by(entries)
        if high == self._start:
            return self._put_front(entries)
        joined = self._index.entries(self._start, low)
        _extend_merging(joined, entries)
        _extend_merging(joined, self._index.entries(high, self._stop))
        return self._rebuild(joined, self._size() - (high - low) + _size(entries))

    def pack(self, fmt: str | bytes | Struct, *values: Any) -> None:
        """Append values as ``struct`` encodes them. The format begins with its byte order, if anything in it has one.

        Small packs share a block; a view of one that was handed out never moves. Raises struct.error for values that
        do not fit.
        """
        self._append_packed(layout_of(fmt).pack(*values))

    def pack_varint(self, value: SupportsIndex) -> None:
        """Append an unsigned LEB128 number. Raises ValueError if it is negative or has more than 64 bits."""
        self._append_packed(packed_varint(value))

    def insert_varint(self, at: SupportsIndex, value: SupportsIndex) -> None:
        r"""Put an unsigned LEB128 number in front of byte ``at``: a length that is known when all behind it is there.

        >>> b = CompositeBuffer([b"\x30"])
        >>> b.pack_text("a/topic")
        >>> b.insert_varint(1, len(b) - 1)
        >>> bytes(b)
        b'0\x07a/topic'

        It is as short as it can be, which a place that was reserved for it would not let it be. Errors as
        ``pack_varint()`` and ``splice()``. Complexity: O(parts). Copies: nothing.
        """
        encoded = packed_varint(value)
        self.splice(at, at, encoded)

    def pack_uint(self, value: SupportsIndex, n: SupportsIndex, byteorder: ByteOrder = "big") -> None:
        """Append an unsigned number of ``n`` bytes. Raises ValueError if it is negative or does not fit."""
        self._append_packed(packed_uint(value, min(size_of(n), _UNHEARD_OF), byteorder))

    def pack_text(self, text: str, encoding: str = "utf-8") -> None:
        """Append text as ``str.encode`` encodes it, with its errors: then nothing was added. Copies: nothing else."""
        if not isinstance(text, str):
            raise TypeError(f"a str is wanted, not {shown(text)}: write append(part) for bytes")
        self._append_packed(text.encode(encoding))

    def pack_u8(self, value: SupportsIndex) -> None:
        """Append an unsigned byte. Raises ValueError if the number does not fit, as do all of these."""
        self._append_packed(packed_uint(value, 1, "big"))

    def pack_i8(self, value: SupportsIndex) -> None:
        """Append a signed byte."""
        self._append_packed(packed_int(value, 1, "big"))

    def pack_u16(self, value: SupportsIndex) -> None:
        """Append an unsigned 16-bit number, big-endian."""
        self._append_packed(packed_uint(value, 2, "big"))

    def pack_u16_be(self, value: SupportsIndex) -> None:
        """Append an unsigned 16-bit number, big-endian."""
        self._append_packed(packed_uint(value, 2, "big"))

    def pack_u16_le(self, value: SupportsIndex) -> None:
        """Append an unsigned 16-bit number, little-endian."""
        self._append_packed(packed_uint(value, 2, "little"))

    def pack_u24(self, value: SupportsIndex) -> None:
        """Append an unsigned 24-bit number, big-endian."""
        self._append_packed(packed_uint(value, 3, "big"))

    def pack_u24_be(self, value: SupportsIndex) -> None:
        """Append an unsigned 24-bit number, big-endian."""
        self._append_packed(packed_uint(value, 3, "big"))

    def pack_u24_le(self, value: SupportsIndex) -> None:
        """Append an unsigned 24-bit number, little-endian."""
        self._append_packed(packed_uint(value, 3, "little"))

    def pack_u32(self, value: SupportsIndex) -> None:
        """Append an unsigned 32-bit number, big-endian."""
        self._append_packed(packed_uint(value, 4, "big"))

    def pack_u32_be(self, value: SupportsIndex) -> None:
        """Append an unsigned 32-bit number, big-endian."""
        self._append_packed(packed_uint(value, 4, "big"))

    def pack_u32_le(self, value: SupportsIndex) -> None:
        """Append an unsigned 32-bit number, little-endian."""
        self._append_packed(packed_uint(value, 4, "little"))

    def pack_u64(self, value: SupportsIndex) -> None:
        """Append an unsigned 64-bit number, big-endian."""
        self._append_packed(packed_uint(value, 8, "big"))

    def pack_u64_be(self, value: SupportsIndex) -> None:
        """Append an unsigned 64-bit number, big-endian."""
        self._append_packed(packed_uint(value, 8, "big"))

    def pack_u64_le(self, value: SupportsIndex) -> None:
        """Append an unsigned 64-bit number, little-endian."""
        self._append_packed(packed_uint(value, 8, "little"))

    def pack_i16(self, value: SupportsIndex) -> None:
        """Append a signed 16-bit number, big-endian."""
        self._append_packed(packed_int(value, 2, "big"))

    def pack_i16_be(self, value: SupportsIndex) -> None:
        """Append a signed 16-bit number, big-endian."""
        self._append_packed(packed_int(value, 2, "big"))

    def pack_i16_le(self, value: SupportsIndex) -> None:
        """Append a signed 16-bit number, little-endian."""
        self._append_packed(packed_int(value, 2, "little"))

    def pack_i24(self, value: SupportsIndex) -> None:
        """Append a signed 24-bit number, big-endian."""
        self._append_packed(packed_int(value, 3, "big"))

    def pack_i24_be(self, value: SupportsIndex) -> None:
        """Append a signed 24-bit number, big-endian."""
        self._append_packed(packed_int(value, 3, "big"))

    def pack_i24_le(self, value: SupportsIndex) -> None:
        """Append a signed 24-bit number, little-endian."""
        self._append_packed(packed_int(value, 3, "little"))

    def pack_i32(self, value: SupportsIndex) -> None:
        """Append a signed 32-bit number, big-endian."""
        self._append_packed(packed_int(value, 4, "big"))

    def pack_i32_be(self, value: SupportsIndex) -> None:
        """Append a signed 32-bit number, big-endian."""
        self._append_packed(packed_int(value, 4, "big"))

    def pack_i32_le(self, value: SupportsIndex) -> None:
        """Append a signed 32-bit number, little-endian."""
        self._append_packed(packed_int(value, 4, "little"))

    def pack_i64(self, value: SupportsIndex) -> None:
        """Append a signed 64-bit number, big-endian."""
        self._append_packed(packed_int(value, 8, "big"))

    def pack_i64_be(self, value: SupportsIndex) -> None:
        """Append a signed 64-bit number, big-endian."""
        self._append_packed(packed_int(value, 8, "big"))

    def pack_i64_le(self, value: SupportsIndex) -> None:
        """Append a signed 64-bit number, little-endian."""
        self._append_packed(packed_int(value, 8, "little"))

    def pack_f32(self, value: Real) -> None:
        """Append an IEEE 754 32-bit number, big-endian."""
        self._append_packed(packed_float(value, 4, "big"))

    def pack_f32_be(self, value: Real) -> None:
        """Append an IEEE 754 32-bit number, big-endian."""
        self._append_packed(packed_float(value, 4, "big"))

    def pack_f32_le(self, value: Real) -> None:
        """Append an IEEE 754 32-bit number, little-endian."""
        self._append_packed(packed_float(value, 4, "little"))

    def pack_f64(self, value: Real) -> None:
        """Append an IEEE 754 64-bit number, big-endian."""
        self._append_packed(packed_float(value, 8, "big"))

    def pack_f64_be(self, value: Real) -> None:
        """Append an IEEE 754 64-bit number, big-endian."""
        self._append_packed(packed_float(value, 8, "big"))

    def pack_f64_le(self, value: Real) -> None:
        """Append an IEEE 754 64-bit number, little-endian."""
        self._append_packed(packed_float(value, 8, "little"))

    def _append_packed(self, data: bytes) -> None:
        size = len(data)
        if size > _BLOCK // 4:
            self.append(data)
        elif size:
            if self._locked:
                self._refuse_if_locked()
            gone: object = None
            try:
                self._locked = True
                gone = self._grow_by_packed(data, size)
                self._locked = False
            except BaseException:
                self._cut_back()
                raise
            let_go(gone)

    def _grow_by_packed(self, data: bytes, size: int) -> object:
        """Add what was packed: a header as bytes that grow by being made anew, and what is longer in a block."""
        table = self._index
        stop = self._stop + size
        last = table.last_entry()
        packed = self._packed
        block = self._block
        if packed is not None and last is packed:
            if len(packed) + size > _HEADER:
                return self._grow([self._copy_to_block(memoryview(data))], size)
            both = packed + data
            self._packed = both
            table.lengthen(both, stop)
        elif block is not None and isinstance(last, Run) and last.owner is block.owner:
            if not block.continues(last, size):
                return self._grow([self._copy_to_block(memoryview(data))], size)
            table.lengthen(block.lengthened(last, data), stop)
        else:
            self._packed = data
            table.parts.append(data)
        self._stop = stop
        return None

    def reserve(self, n: SupportsIndex) -> memoryview:
        """Append ``n`` zero bytes and return a writable view of them, for a length that is known only later.

        It writes to its bytes wherever they now are, in slices and drained parts too: while it is alive, neither
        ``consolidate()`` nor ``compact()`` moves them.
        """
        size = size_of(n)
        owner = zeros(min(size, _UNHEARD_OF))
        view = owner.reserve()
        self._exclusively(self._grow, [make_entry(owner, 0, size)] if size else [], size)
        return view

    # -- consuming

    def take(self, n: SupportsIndex) -> SliceBuffer:
        """Return the first ``n`` bytes as a slice, and drain them. Underrun if there are fewer: nothing moved then.

        Complexity: O(parts spanned), O(1) within one. Copies: nothing.
        """
        size = n if isinstance(n, int) and n >= 0 else size_of(n)
        start = self._start
        if size > self._stop - start:
            raise underrun(size, self._stop - start)
        return self._detach(start, start, start + size, start + size)

    def _detach(self, front: int, begin: int, stop: int, position: int, edits: int = -1) -> SliceBuffer:
        """Return a range as a slice, and drain everything in front of a position, which is not before its stop.

        ``front`` is where the window began when these were reckoned, and ``edits`` how often it had been changed, if
        that matters. If they are others since, somebody else is at work.
        """
        if self._locked:
            self._refuse_if_locked()
        gone: object = None
        try:
            self._locked = True
            if front != self._start or position > self._stop or (edits >= 0 and edits != self._edits):
                raise Busy("the buffer")
            if self._lent is not None:
                self._revoke()
            table = self._index
            if begin == stop:
                taken = cut(table, begin, stop)
                gone = self._leave(position)
            else:
                # Most frames end inside the first part, or with it: nothing needs to be looked up for them.
                entry = table.parts[table.head]
                base = table.base
                if isinstance(entry, bytes):
                    end = base + len(entry)
                    if position < end:
                        taken = window_on(entry, begin - base, stop - base)
                        self._start = position
                        self._locked = False
                        return taken
                else:
                    end = base + entry.stop - entry.start
                if position <= end:
                    taken = cut_entry(entry, begin - base, stop - base)
                    if position < end:
                        self._start = position
                    else:
                        gone = self._leave_first(position)
                else:
                    i = table.locate(stop - 1)
                    first = table.begin(i)
                    if begin >= first:
                        taken = cut_entry(table.parts[i], begin - first, stop - first)
                    else:
                        head = table.head if begin < end else table.locate(begin)
                        taken = window_on(table.span(head, i + 1), begin, stop)
                    end = table.ends[i]
                    if position < end:
                        self._start = position
                        gone = self._drop_to(i, first)
                    elif position == end:
                        self._start = position
                        gone = self._drop_to(i + 1, end)
                    else:
                        gone = self._leave(position)
            self._locked = False
        except BaseException:
            self._locked = False
            raise
        if COMPILED:
            let_go(gone)
        return taken

    def _peek_uint(self, at: int, size: int, *, little: bool) -> int:
        """Return an unsigned number ``at`` bytes behind the front; it lies within the bytes."""
        table = self._index
        entry = table.parts[table.head]
        begin = self._start - table.base + at
        if isinstance(entry, bytes):
            if begin + size <= len(entry):
                return uint(entry, begin, size, little=little)
        elif isinstance(entry.owner, Memory) and begin + size <= entry.stop - entry.start:
            return uint_in(entry.owner.view, entry.start + begin, size, little=little)
        return self._uint(at, size, little=little)

    def take_bytes(self, n: SupportsIndex) -> bytes:
        """Return the first ``n`` bytes as ``bytes``, and drain them. Underrun if there are fewer: nothing moved then.

        Of more than 64 KiB each part is let go of as soon as it is copied, so that much is hardly ever there twice.
        Complexity: O(n). Copies: them ("take_bytes"), or nothing if they are exactly one ``bytes`` object.
        """
        size = n if isinstance(n, int) and n >= 0 else size_of(n)
        self._refuse_if_locked()
        start = self._start
        stop = start + size
        if stop > self._stop:
            raise underrun(size, self._stop - start)
        edits = self._edits
        table = self._index
        try:
            entry = table.parts[table.head] if size else b""
            begin = start - table.base
            if isinstance(entry, bytes) and begin + size < len(entry):  # most messages, and a list less
                count_copy("take_bytes", size)
                taken = entry[begin : begin + size]
            else:
                pieces = table.pieces(start, stop)
                entry = b""  # only they hold it now
                if size > BLOCK and len(pieces) > 1:
                    return self._poured_out(pieces, start, stop, edits)
                taken = join("take_bytes", pieces)
        except IndexError:
            raise Busy("the buffer")  # noqa: B904  # interpreted, another thread has changed it meanwhile
        self._drain(start, stop, edits)
        return taken

    def _poured_out(self, pieces: list[bytes | memoryview], start: int, stop: int, edits: int) -> bytes:
        """Drain bytes, and return them: a part at a time, each let go of when it is copied.

        Once they are drained there is no way back. So all that can fail comes before; what comes behind allocates
        nothing, and is one call of C: the parts are copied out of a queue, over zeros that have the right size already.
        """
        count_copy("take_bytes", stop - start)
        out = BytesIO(bytes(stop - start))
        queue: deque[bytes | memoryview | None] = deque(pieces)
        queue.append(None)
        pieces.clear()
        parts: Any = iter(queue.popleft, None)
        pour: Any = out.writelines
        poured: Any = out.getvalue
        self._drain(start, stop, edits)
        pour(parts)
        taken: bytes = poured()
        return taken

    def first(self) -> SliceBuffer:
        """Return the first part as a slice, an empty one if there is none. Complexity: O(1). Copies: nothing."""
        locked = self._locked
        try:
            self._locked = True
            part = cut(self._index, self._start, self._end_of_first())
            if not locked:  # or, interpreted, another thread has it, or has given it back meanwhile
                self._locked = False
        except BaseException:
            if not locked:
                self._locked = False
            raise
        return part

    def take_part(self) -> SliceBuffer:
        """Return the first part as a slice, and drain it: an empty one if there is none.

        >>> b = CompositeBuffer([b"abc", b"de"])
        >>> while b:
        ...     print(bytes(b.take_part()))
        b'abc'
        b'de'

        Complexity: O(1). Copies: nothing.
        """
        edits = self._edits
        start = self._start
        end = self._end_of_first()
        return self._detach(start, start, end, end, edits)

    def _end_of_first(self) -> int:
        """Return where the first part ends, or where the window does."""
        start = self._start
        if start == self._stop:
            return start
        table = self._index
        table.last = table.head  # a guess, so that nothing is searched for; whoever uses it checks it
        try:
            end = table.ends[table.locate(start)]
        except IndexError:
            raise Busy("the buffer")  # noqa: B904  # interpreted, another thread has changed it meanwhile
        return end if end < self._stop else self._stop

    def take_all(self) -> SliceBuffer:
        """Return everything as a slice, and drain it. Complexity: O(parts). Copies: nothing."""
        edits, start, stop = self._edits, self._start, self._stop
        return self._detach(start, start, stop, stop, edits)

    def take_at_most(self, n: SupportsIndex) -> SliceBuffer:
        """Return the first ``n`` bytes, or all if there are fewer, and drain them. Otherwise as ``take()``."""
        size = size_of(n)
        start = self._start
        stop = min(start + size, self._stop)
        return self._detach(start, start, stop, stop)

    def skip(self, n: SupportsIndex) -> None:
        """Drain the first ``n`` bytes. Underrun if there are fewer: nothing moved then. O(parts dropped)."""
        size = n if isinstance(n, int) and n >= 0 else size_of(n)
        start = self._start
        if size > self._stop - start:
            raise underrun(size, self._stop - start)
        self._drain(start, start + size)

    def truncate(self, n: SupportsIndex) -> None:
        """Keep the first ``n`` bytes and drop the rest. Raises ValueError if there are fewer.

        Complexity: O(parts dropped), and O(log parts); on Python 3.11 O(parts).
        """
        size = size_of(n)
        self._refuse_if_locked()
        gone: object = None
        try:
            self._locked = True
            gone = self._end_at(size)
            self._locked = False
        except BaseException:
            self._cut_back()
            raise
        let_go(gone)

    def _end_at(self, size: int) -> object:
        table = self._index
        start = self._start
        stop = start + size
        if stop > self._stop:
            raise ValueError(f"{self._stop - start} bytes cannot be truncated to {size}")
        if stop == self._stop:
            return None
        i = table.locate(stop - 1) if size else 0
        if i == 0 or not _SHORTENS or 3 * (len(table.parts) - i) + 8 > len(table.parts):
            # So far shortened, a list is made anew, for which there may be no memory.
            made = Table(table.entries(start, stop), [], start)
            self._edit()
            return self._exchange(made, start, stop)
        last = clip(table.parts[i], 0, stop - table.begin(i))
        gone = table.parts[i:]
        self._edit()
        self._stop = stop
        table.cut(i, last)
        return gone

    def clear(self) -> None:
        """Drop everything. Slices that were taken live on."""
        self.truncate(0)

    def take_until(
        self, sep: BytesLike, *seps: BytesLike, limit: SupportsIndex, keepends: bool = False
    ) -> SliceBuffer | None:
        """Return the bytes before ``sep``, with it if ``keepends``, and drain both; None if it has not come yet.

        Of several separators, the one that begins first counts, and of those that begin together the longest: the
        answer is None while a longer one may still come.

        Raises LimitExceeded when more than ``limit`` bytes stand before it, as soon as that is certain; then, as with
        None, nothing moved: ``skip_until()`` gets past them. The answer does not depend on how the input was cut. The
        place where looking stopped is remembered, of the last four sets of separators, until something other than the
        front or the end changes, so that the total work is linear in the bytes that came in. What is written to bytes
        that were looked at is noticed if it goes through ``write_at`` or ``pack_into`` of any buffer; what goes through
        the memory's owner or a view of it is not. Copies: a separator that is not ``bytes`` ("needle"), and what
        ``find()`` does for a long one.
        """
        return self._take_until(_separators(sep, seps), size_of(limit), keepends=keepends, drops=False)

    def skip_until(self, sep: BytesLike, *seps: BytesLike) -> bool:
        r"""Drain the bytes before ``sep``, and ``sep`` too; say whether it has come. For what exceeded a limit.

        >>> b = CompositeBuffer([b"much too long"])
        >>> b.skip_until(b"\r\n")
        False
        >>> b.extend([b", really\r", b"\nnext\r\n"])
        >>> b.skip_until(b"\r\n"), bytes(b)
        (True, b'next\r\n')

        Until it has come, everything is drained but what may be its beginning: call it again when more has come.
        Otherwise as ``take_until()``.
        """
        return self._take_until(_separators(sep, seps), _UNHEARD_OF, keepends=False, drops=True) is not None

    def _take_until(
        self, separators: tuple[bytes, ...], most: int, *, keepends: bool, drops: bool
    ) -> SliceBuffer | None:
        self._refuse_if_locked()
        if COMPILED and len(separators) == 1 and self._looks is None and self._start < self._stop:
            # Nothing has been looked for in vain, and mostly it stands in the first part. Interpreted, others come in.
            table = self._index
            entry = table.parts[table.head]
            if isinstance(entry, bytes):
                front = self._start
                sep = separators[0]
                at = front - table.base
                end = at + most + len(sep)
                if end > len(entry):
                    end = len(entry)
                k = entry.find(sep, at, end)
                if k >= 0:
                    stop = front + k - at
                    end = stop + len(sep)
                    return self._detach(front, front, end if keepends else stop, end, self._edits)
        try:
            self._locked = True  # looking may ask for a file's bytes
            start = self._start
            edits = self._edits
            seeker = self._look_for(separators)
            found = seeker.seek(self._index, start, self._stop, most)
            self._locked = False
        except IndexError:
            # Interpreted, another thread may have changed it before it saw the lock.
            self._locked = False
            raise Busy("the buffer")  # noqa: B904  # mypyc knows no `from None`
        except BaseException:
            self._locked = False
            raise
        begin = seeker.begin
        if begin - start > most:
            raise LimitExceeded(most)
        if found:
            looks = self._looks
            if looks is not None and looks.has_only(seeker):
                self._looks = None  # it is not looked for in vain any more
            return self._detach(start, start, seeker.end if keepends else begin, seeker.end, edits)
        if drops and begin > start:
            self._drain(start, begin, edits)
        return None

    def _look_for(self, separators: tuple[bytes, ...]) -> Seeker:
        """Return the seeker that looked for these before, and goes on where it stopped, or a new one."""
        self._forget_if_written()
        looks = self._looks
        if looks is None:
            looks = self._looks = Looks()
        if len(separators) == 1:
            return looks.seeker_of(separators[0], self._start)
        return looks.seeker_for(separators, self._start)

    def _drain(self, front: int, position: int, edits: int = -1) -> None:
        """Drain everything in front of a position; ``front`` and ``edits`` as for ``_detach()``."""
        self._refuse_if_locked()
        gone: object = None
        try:
            self._locked = True
            if front != self._start or position > self._stop or (edits >= 0 and edits != self._edits):
                raise Busy("the buffer")
            self._revoke()
            gone = self._leave(position)
            self._locked = False
        except BaseException:
            self._locked = False
            raise
        let_go(gone)

    def _drain_to(self, i: int, within: int, n: int) -> None:
        """Drain the first ``n`` bytes, of which the last ``within`` are in entry ``i``: the place need not be found."""
        self._refuse_if_locked()
        gone: object = None
        try:
            self._locked = True
            self._revoke()
            start = self._start + n
            self._start = start
            gone = self._drop_to(i, start - within)
            self._locked = False
        except BaseException:
            self._locked = False
            raise
        let_go(gone)

    # -- parsing

    def parse(self, fn: Callable[[Reader], _T], *, limit: SupportsIndex, byteorder: ByteOrder = "big") -> _T | None:
        r"""Call ``fn`` with a reader at the front: one message is taken wholly, or nothing is and None is returned.

        >>> b = CompositeBuffer([b"\x05he", b"llo\x03f"])
        >>> def message(r: Reader) -> bytes:
        ...     return r.take_bytes(r.u8())
        >>> while (m := b.parse(message, limit=256)) is not None:
        ...     print(m)
        b'hello'

        What ``fn`` returns is returned, after what its reader passed is drained (a seek back counts). When it reads
        more than there is, nothing is drained, None is returned, and ``fn`` does not run again before what it wanted is
        there, nor on an empty buffer. It must therefore not return None itself: TypeError, as for a generator or an
        awaitable. Test the answer by ``is not None``: an empty message is false.

        Raises LimitExceeded as soon as a read, successful or not, would end more than ``limit`` bytes behind the front;
        FrameError if another reader underruns inside ``fn`` (a child, or one over a slice), which no later byte
        can mend; RuntimeError if ``fn``, or who comes into its middle, changes this buffer or parses it, or if it asks
        its reader for ``remaining``. Any other exception passes through. After any of these nothing is drained. Slices
        that ``fn`` took stay valid. Afterwards the reader is closed.

        ``fn`` runs at most once more than it has different underruns, so parse a message of many separately awaited
        items one item at a time. Copies: nothing.
        """
        most = size_of(limit)
        if self._start == self._stop and not self._locked:
            return None  # as the documented loop asks once a chunk
        self._forget_if_written()
        awaited = self._awaited
        wait: Wait | None = None
        if awaited is not None and awaited.byteorder == byteorder and awaited.fn == fn:
            wait = awaited if awaited.front == self._start else None
            is_due = wait is None or self._is_due(wait, most)
            if awaited is not self._awaited:
                wait = None  # comparing the parsers, or looking, ran somebody who changed or parsed this
            elif not is_due:
                return None
        gone: object = None
        stale: object = None
        lease = Lease()
        reader = Reader(self, lease, byteorder, most)
        reader._hint = wait
        self._refuse_if_locked()
        is_ours = False
        try:
            try:
                self._locked = True
                self._parsing = True
                is_ours = True
                if reader._front != self._start:
                    raise Busy("the buffer")
                stale = self._awaited  # whose parser may have a finalizer
                self._awaited = None
                value = fn(reader)
                if value is None or (not _is_plain(value) and _is_postponed(value)):
                    raise TypeError(
                        f"{shown(fn)} returned {shown(value)}: "
                        + (
                            "a parser returns its message, and never None"
                            if value is None
                            else "a parser is a plain function, no generator and not async"
                        )
                    )
                end = reader._here()
                if self._lent is not None:
                    self._revoke()
                gone = self._leave(end)
            except Underrun as error:
                wait = reader._wait_for(error)
                if wait is None:
                    raise _never_right(error)  # noqa: B904  # it has its cause, which mypyc would leave out
                wait.fn = fn
                wait.byteorder = byteorder
                wait.front = self._start
                self._awaited = wait
                return None
            finally:
                self._locked = False
                self._parsing = False
                is_ours = False
                lease.close()
                reader._failed = None  # its traceback has the parser's frame, and that has the reader
        finally:
            if is_ours:  # an interrupt came just before that
                self._locked = False
                self._parsing = False
        let_go(gone)
        let_go(awaited)
        let_go(stale)
        return value

    def _due(self) -> int:
        """Return a position before which ``parse()`` need not be asked again, for the same."""
        wait = self._awaited
        return wait.position if wait is not None and wait.seeker is None and wait.front == self._start else 0

    def _is_due(self, wait: Wait, limit: int) -> bool:
        """Whether running the parser that waits for this can end otherwise than it did last time."""
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
        locked = self._locked
        try:
            self._locked = True
            whole = cut(self._index, self._start, self._stop)
            if not locked:  # or, interpreted, another thread has it, or has given it back meanwhile
                self._locked = False
        except BaseException:
            if not locked:
                self._locked = False
            raise
        return whole

    def consolidate(self, start: SupportsIndex = 0, stop: SupportsIndex | None = None) -> None:
        """Join the parts of a range into one, in place. The one structural copy, and only where a range has seams.

        Raises IndexError for a position beyond the end, ValueError for a start after the stop. Copies: the range
        ("consolidate"), or nothing if it lies in one part. Slices cut before keep the old parts. What a view from
        ``reserve()`` still writes to stays a part of its own.
        """
        first = size_of(start)
        last = None if stop is None else size_of(stop)
        if COMPILED and not self._locked:  # interpreted, others come between looking up and looking
            low, high = self._exact_range(first, last)
            if low == high or high <= self._index.ends[self._index.locate(low)]:
                return
        self._exclusively(self._join, first, last)

    def _join(self, first: int, last: int | None) -> object:
        low, high = self._exact_range(first, last)
        entries = self._index.entries(low, high)
        joined = _joined(entries)
        if len(joined) == len(entries):
            return None
        rebuilt = self._index.entries(self._start, low)
        # What is not joined may go on in the part that the range cuts.
        _extend_merging(rebuilt, joined)
        _extend_merging(rebuilt, self._index.entries(high, self._stop))
        return self._rebuild(rebuilt, self._size())

    def compact(self) -> int:
        """Rewrite, in place, what pins mostly waste, and return the number of bytes let go of.

        Rewritten is what of an owner is shown, where the owner holds more than twice that and 512 bytes; never maps
        or files. Slices cut before go on pinning what they show. Complexity: O(parts) and what is rewritten. Copies:
        that ("compact").
        """
        freed = [0]
        self._exclusively(self._compact, freed)
        return freed[0]

    def _compact(self, freed: list[int]) -> object:
        entries, freed[0] = compacted(self._entries())
        return self._rebuild(entries, self._size()) if freed[0] else None

    def __copy__(self) -> CompositeBuffer:
        """Return another composite of the same parts. Complexity: O(parts). Copies: nothing."""
        twin = CompositeBuffer()
        twin._coalesce_below = self._coalesce_below
        entries, size = self._listed()
        twin._grow(entries, size)
        return twin


def load_composite(parts: object, coalesce_below: SupportsIndex) -> CompositeBuffer:
    """Return a composite of a list of parts: what a pickle of one calls, by this name. As ``load_slice()``."""
    loaded = CompositeBuffer(coalesce_below=coalesce_below)
    whole = load_slice(parts)
    loaded._rebuild(whole._entries(), whole._size())  # not appended: they are not to be coalesced again
    return loaded


def _separators(sep: BytesLike, seps: tuple[BytesLike, ...]) -> tuple[bytes, ...]:
    if not seps:
        return (own_separator(sep),)
    return tuple([own_separator(one) for one in (sep, *seps)])


def _never_right(error: Underrun) -> FrameError:
    """Return what an underrun is that no later byte can mend."""
    sentence = Underrun(error.requested, error.available, error.separator)
    hopeless = FrameError(f"what a message holds can never become right: {sentence}", error.at)
    hopeless.__cause__ = error
    return hopeless


def _is_plain(value: object) -> bool:
    """Whether a parser returned what most do: told one by one, which compiled looks up nothing."""
    return (
        isinstance(value, tuple)  # noqa: SIM101
        or isinstance(value, bytes)
        or isinstance(value, str)
        or isinstance(value, SliceBuffer)
        or isinstance(value, int)
        or isinstance(value, list)
        or isinstance(value, dict)
    )


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


def _size(entries: list[Entry]) -> int:
    size = 0
    for entry in entries:
        size += len(entry) if isinstance(entry, bytes) else entry.stop - entry.start
    return size


def _extend_merging(entries: list[Entry], more: list[Entry]) -> None:
    """Extend a list of entries by another, which may go on in the same owner."""
    both = merged(entries[-1], more[0]) if entries and more else None
    if both is None:
        entries.extend(more)
    else:
        entries[-1] = both
        entries.extend(more[1:])
