"""Which bytes of a message go next: pure code that knows no descriptor.

    message    |abc|defgh|FILE.......|ij|k|      position 4: "abcd" went
    gather()        |efgh|                       memory, up to the next range of a file
    file                 |FILE.......|           what follows it, to be sent from where it lies
    advance(4)
    gather()    nothing: the file is next
    file                 |FILE.......|
    advance(9)
    gather()                      |..| ...

Rules:

1. Peek, call, advance by what the sink took, any number of bytes. Peeking changes nothing that shows.
2. What is offered is a gapless prefix of what has not gone: whole bytes objects as they are, else views.
3. Nothing is built in proportion to the number of parts: a batch has at most ``IOV_MAX`` entries, ``VIEWS_MAX`` of
   them made for it, and where parts end is used only as far as somebody has looked that up before. Where small parts
   are joined, that is looked up for all, and a bounded number of them is joined at a time.
4. A sink that takes a few bytes a call must not cost a whole batch each time. So after a short count a call offers at
   most twice the entries that the last one finished, and ``SLACK``: those offered in all are at most three times the
   entries there are, plus ``iov_max``, plus ``SLACK`` a call.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, TypeAlias, cast, final

from mypy_extensions import mypyc_attr

from .._core.audit import count_copy, is_audited
from .._core.parts import Entry, Guard, LazyOwner, Memory, Run, clip, join, make_entry, memory_view
from .._core.search import scratch
from .._core.table import Table

if TYPE_CHECKING:
    from ..base_buffer import BaseBuffer

__all__ = ["CALL_MAX", "CHANGED", "IOV_MAX", "VIEWS_MAX", "Piece", "Plan", "assert_whole", "in_one_batch"]

IOV_MAX: Final = 1024
"""Entries a call: UIO_MAXIOV of Linux, IOV_MAX of macOS and the BSDs. One more is EINVAL or EMSGSIZE."""

CALL_MAX: Final = 1 << 30
"""Bytes a call. Linux silently takes no more than 0x7ffff000, macOS and the BSDs refuse more than INT_MAX."""

VIEWS_MAX: Final = 512
"""Views made for a call: 184 bytes each, and with what the call itself sets up, 1 024 would take 290 KiB."""

_WHOLE: Final = 1 << 20
"""Bytes of a message that may be joined whole: by blocks, a socket's reader is woken for each, which costs twice."""
_WHOLE_PARTS: Final = 1 << 14
"""Parts of one. Joining takes 80 bytes for each, and 264 for one that is no bytes object."""

_BLOCK: Final = 1 << 16
"""Bytes that are joined to one entry in longer ones: a block of this size still lies in the nearer caches."""
_BLOCK_PARTS: Final = 1 << 10
"""Parts of one."""
_FEW: Final = 16
"""Parts that are asked one by one what they are in less time than an error takes that says so."""
_BLOCKS: Final = 2 * _BLOCK
"""Bytes that are joined for a call. With what joining takes that is less than 256 KiB."""

CHANGED: Final = "the buffer changed while it was flushed"

Piece: TypeAlias = "bytes | memoryview"
"""Whole bytes objects go to the kernel as they are: making a view of one costs several times its iovec entry."""


@final
@mypyc_attr(free_list_len=1)
class Plan:
    """Which bytes of a buffer go next. ``position`` is how many went, ``left`` how many have not.

    ``file`` is the range of a file that ``gather()`` found behind what it returned, or None. Where it returned
    nothing, that range is what goes next. ``mapped`` says who knows of what it returned whether it is whole, and up to
    where he is to be asked.
    """

    SLACK: Final = 8

    __slots__ = (
        "_at", "_buffer", "_call_max", "_coalescer", "_edits", "_ends", "_i", "_iov_max", "_is_memory", "_near",
        "_offered", "_over", "_parts", "_start", "_stop", "_whole", "file", "left", "mapped", "position", "width",
    )  # fmt: skip

    def __init__(
        self, buffer: BaseBuffer, *, iov_max: int = IOV_MAX, call_max: int = CALL_MAX, coalesce_below: int = 0
    ) -> None:
        edits = buffer._edit_count()
        start = buffer._start
        stop = buffer._stop
        source = buffer._exact_source()
        self.position: int = 0
        self.left: int = stop - start
        self.file: Run | None = None
        self.mapped: dict[Guard, int] = {}
        self.width: int = iov_max
        self._iov_max = iov_max
        self._call_max = call_max
        self._buffer = buffer
        self._edits = edits
        self._start = start
        self._stop = stop
        self._near = stop - start  # bytes left in _parts; fewer than in all while parts are joined
        self._offered = 0
        self._is_memory = True  # what was offered
        self._whole = 0  # entries finished if all that was offered is taken; 0: they have to be counted
        self._coalescer: _Coalescer | None = None
        if isinstance(source, Table):
            self._parts = source.parts
            self._ends = source.ends
            self._i = source.head
            self._at = start - source.base
            if self._near and self._at >= len(source.parts[self._i]):  # what memory was lacking to let go of
                self._i = source.locate(start)
                self._at = start - source.begin(self._i)
            # Only a slice clips its last entry, and a slice knows all its ends.
            known = len(source.ends)
            self._over = source.ends[known - 1] - stop if self._near and known == len(source.parts) else 0
            if coalesce_below and self._near:
                whole = _is_joined_whole(stop - start, len(source.parts) - source.head, coalesce_below)
                source.locate(stop - 1)
                self._coalescer = _Coalescer(source, start, stop, coalesce_below, whole=whole)
                self._near = 0
        else:
            self._parts = [make_entry(source, start, stop)] if start < stop else []
            self._ends = [stop]
            self._i = 0
            self._at = 0
            self._over = 0

    def gather(self) -> list[Piece]:
        """Return the memory to offer next, none where a file is next or nothing is left. Sets ``file``.

        RuntimeError if the buffer has changed since the plan was made.
        """
        self._assert_unchanged()
        pieces = self._gather()
        self._assert_unchanged()  # whoever changes the buffer while this is put together is met, too
        return pieces

    def _assert_unchanged(self) -> None:
        buffer = self._buffer
        if self._start != buffer._start or self._stop != buffer._stop or self._edits != buffer._edit_count():
            raise RuntimeError(CHANGED)

    def _gather(self) -> list[Piece]:
        if self.mapped:
            self.mapped = {}
        if not self._near:
            if not self.left:
                self.file = None
                return []
            self._refill()
        self._is_memory = True
        i = self._i
        parts = self._parts
        batch = parts[i : i + self.width]
        if _are_bytes(batch):
            n = len(batch)
            offered = self._nbytes(batch)
            if offered <= self._call_max:
                self._offered = offered
                self._whole = n
                self.file = self._file_behind(i + n, offered)
                pieces = cast("list[Piece]", batch)
                if self._over and i + n == len(parts):
                    pieces[n - 1] = memoryview(pieces[n - 1])[: len(pieces[n - 1]) - self._over]
                if self._at:
                    pieces[0] = memoryview(pieces[0])[self._at :]
                return pieces
        return self._gather_one_by_one(batch)

    def advance(self, taken: int) -> None:
        """Move past the first ``taken`` bytes of what was offered, or of ``file``: any number of them."""
        self.position += taken
        self.left -= taken
        self._near -= taken
        i = self._i
        whole = self._whole
        if whole and taken == self._offered:
            gone = whole
            self._at = 0
        else:
            gone = 0
            at = self._at + taken
            parts = self._parts
            while i + gone < len(parts) and at >= len(parts[i + gone]):  # fewer if the buffer changed: gather() tells
                at -= len(parts[i + gone])
                gone += 1
            self._at = at
        self._i = i + gone
        room = 2 * gone + self.SLACK
        if (taken < self._offered and self._is_memory) or room > self.width:
            self.width = min(self._iov_max, room)

    @property
    def place(self) -> tuple[int, int]:
        """In which entry of the buffer's table the next byte is, and how far into it; not where parts are joined."""
        return self._i, self._at

    def resume(self, batch: list[Piece], taken: int, start: int, edits: int) -> None:
        """Go on after a first call that was made without the plan, offered ``batch`` and took ``taken`` bytes of it.

        What was joined for that is not joined again. ``start`` and ``edits`` are the buffer's from before that call:
        RuntimeError if it has changed since.
        """
        if start != self._start or edits != self._edits or sum([len(piece) for piece in batch]) != self.left:
            raise RuntimeError(CHANGED)
        if self._coalescer is not None:
            self._coalescer = None
            self._near = self.left
            self._offer_instead(cast("list[Entry]", batch))
        if taken:
            self.gather()
            self.advance(taken)

    def _refill(self) -> None:
        coalescer = self._coalescer
        assert coalescer is not None
        self._parts = []  # blocks that have gone: two windows at a time would be twice the memory
        entries, self._near = coalescer.window()
        self._offer_instead(entries)

    def _offer_instead(self, entries: list[Entry]) -> None:
        self._parts = entries
        self._ends = []
        self._i = 0
        self._at = 0
        self._over = 0

    def _nbytes(self, batch: list[Entry]) -> int:
        """Return how many bytes a batch of whole bytes objects offers; without adding up, where that is known."""
        stop = self._i + len(batch)
        if stop == len(self._parts):
            return self._near
        if stop <= len(self._ends):
            return self._ends[stop - 1] - self._start - self.position
        total = -self._at
        for entry in batch:
            total += len(entry)
        return total

    def _gather_one_by_one(self, entries: list[Entry]) -> list[Piece]:
        batch: list[Piece] = []
        limit = room = min(self._call_max, self._near)
        at = self._at
        views = 0
        is_cut = False
        mapped = self.mapped
        for entry in entries:
            if not isinstance(entry, bytes) and _is_file(entry):
                break
            size = min(room, len(entry) - at)
            is_cut = at + size < len(entry)
            if not isinstance(entry, bytes):
                _note_if_mapped(entry, entry.start + at + size, mapped)
            if isinstance(entry, bytes) and not at and not is_cut:
                batch.append(entry)
            else:
                batch.append(memory_view(clip(entry, at, at + size)))
                views += 1
            at = 0
            room -= size
            if not room or views == VIEWS_MAX:
                break
        self._offered = limit - room
        self._whole = 0 if is_cut else len(batch)
        if not batch:
            self.file = self._file_here(entries[0])
        elif is_cut:
            self.file = None
        else:
            self.file = self._file_behind(self._i + len(batch), self._offered)
        return batch

    def _file_behind(self, i: int, offered: int) -> Run | None:
        """Return the range of a file that entry ``i`` shows, if one begins where what is offered ends."""
        if offered == self._near or i >= len(self._parts):
            return None
        entry = self._parts[i]
        if isinstance(entry, bytes) or not _is_file(entry):
            return None
        return Run(entry.owner, entry.start, min(entry.stop, entry.start + self._near - offered))

    def _file_here(self, entry: Entry) -> Run:
        """Return what has not gone of a file; it is offered whole."""
        assert isinstance(entry, Run)
        start = entry.start + self._at
        size = min(self._near, entry.stop - start)
        self._offered = size
        self._whole = 1
        self._is_memory = False
        return Run(entry.owner, start, start + size)


def in_one_batch(buffer: BaseBuffer, coalesce_below: int, size: int) -> list[Piece]:
    """Return a message of ``size`` bytes that is offered whole in one call, as most are.

    Nothing where that takes a plan; also where the buffer changes meanwhile, which the plan tells.
    """
    edits = buffer._edit_count()
    start = buffer._start
    stop = buffer._stop
    batch = _whole_batch(buffer, start, stop, coalesce_below) if 0 < stop - start == size else []
    unchanged = start == buffer._start and stop == buffer._stop and edits == buffer._edit_count()
    return batch if unchanged else []


def _whole_batch(buffer: BaseBuffer, start: int, stop: int, coalesce_below: int) -> list[Piece]:
    source = buffer._exact_source()
    if not isinstance(source, Table):
        return _pieces([make_entry(source, start, stop)])
    parts = source.parts
    n = len(parts)
    count = n - source.head
    size = stop - start
    is_clipped = start != source.base or (n == len(source.ends) and source.ends[n - 1] != stop)
    if coalesce_below and count > 1:
        if is_audited():
            return []
        if _is_joined_whole(size, count, coalesce_below):
            whole = b"" if is_clipped else _joined(parts if count == n else parts[n - count :])
            if not whole and _are_memory(parts, source.head):
                whole = scratch(source, start, stop)
            count_copy("coalesce", len(whole))
            return [whole] if whole else []
        if size > _BLOCK or count > _BLOCK_PARTS:
            return []  # some neighbours may be small
    if is_clipped or size > CALL_MAX:
        return []
    if count > IOV_MAX:
        return []
    batch = parts[n - count :]
    if _are_bytes(batch):
        return cast("list[Piece]", batch)
    return _pieces(batch) if count <= _FEW else []


def _pieces(entries: list[Entry]) -> list[Piece]:
    """Return the memory of entries, none if one of them is another's than the process's own."""
    if not _are_memory(entries, 0):
        return []
    return [entry if isinstance(entry, bytes) else memory_view(entry) for entry in entries]


def _is_joined_whole(nbytes: int, count: int, below: int) -> bool:
    return nbytes < below * count and nbytes <= _WHOLE and count <= _WHOLE_PARTS


def _joined(entries: list[Entry]) -> bytes:
    """Return entries joined, or nothing if they are not all whole bytes objects: many are not asked one by one."""
    if len(entries) <= _FEW and not _are_bytes(entries):
        return b""
    try:
        return b"".join(cast("list[bytes]", entries))
    except TypeError:
        return b""


def _are_memory(entries: list[Entry], i: int) -> bool:
    """Whether entries from ``i`` on can be read without asking a file."""
    while i < len(entries):
        entry = entries[i]
        if not isinstance(entry, bytes):
            owner = entry.owner
            if not isinstance(owner, bytes) and (not isinstance(owner, Memory) or owner.guard is not None):
                return False
        i += 1
    return True


def _are_bytes(entries: list[Entry]) -> bool:
    """Whether entries can be offered as they are."""
    for entry in entries:  # noqa: SIM110  # all() over a generator costs four times as much
        if not isinstance(entry, bytes):
            return False
    return True


def _is_file(entry: Run) -> bool:
    """Whether an entry is sent from a file."""
    owner = entry.owner
    return isinstance(owner, LazyOwner) and owner._fd >= 0


def _note_if_mapped(entry: Run, stop: int, mapped: dict[Guard, int]) -> None:
    """Note that a run is shown up to ``stop`` of its owner, if that is memory which ends with a file."""
    owner = entry.owner
    if isinstance(owner, Memory) and owner.guard is not None:
        mapped[owner.guard] = max(stop, mapped.get(owner.guard, 0))


def assert_whole(mapped: dict[Guard, int]) -> None:
    """Raise TruncatedFile if one of these files now ends before what is shown of it. Complexity: an ``fstat`` each."""
    for guard in mapped:
        guard(mapped[guard])


@final
class _Coalescer:
    """Joins stretches of small parts, a window of entries at a time.

    A stretch is the ``whole``, or else as many parts as fit into a block. It is joined if its parts have fewer than
    ``below`` bytes on the average: then each entry that is saved costs fewer than so many copied bytes. The table knows
    where they end, so that nothing is asked of the parts themselves: to look at each one's size costs a tenth of
    joining and sending them.
    """

    __slots__ = ("_at", "_below", "_block", "_i", "_most", "_stop", "_table")

    def __init__(self, table: Table, start: int, stop: int, below: int, *, whole: bool) -> None:
        self._table = table
        self._block = _WHOLE if whole else _BLOCK
        self._most = _WHOLE_PARTS if whole else _BLOCK_PARTS
        self._i = table.locate(start)
        self._at = start
        self._stop = stop
        self._below = below

    def window(self) -> tuple[list[Entry], int]:
        """Return the next entries, stretches of small ones joined, and how many bytes they show."""
        begin = self._at
        entries: list[Entry] = []
        copied = 0
        while self._at < self._stop and copied <= _BLOCKS - _BLOCK and len(entries) < IOV_MAX:
            stretch, size = self._stretch()
            if len(stretch) > 1 and size < self._below * len(stretch):
                copied += size
                _join(stretch, size, entries)
            else:
                entries += stretch
        return entries, self._at - begin

    def _stretch(self) -> tuple[list[Entry], int]:
        """Return as many entries as fit into a block, at least one, and their size; move past them."""
        table = self._table
        i = self._i
        start = self._at
        ends = table.ends
        j = min(bisect_right(ends, start + self._block, i + 1), i + self._most)
        stop = ends[j - 1]
        stretch = table.parts[i:j]
        if stop > self._stop:
            last = stretch[j - 1 - i]
            stretch[j - 1 - i] = clip(last, 0, len(last) - (stop - self._stop))
            stop = self._stop
        begin = table.begin(i)
        if start > begin:
            stretch[0] = clip(stretch[0], start - begin, len(stretch[0]))
        self._i = j
        self._at = stop
        return stretch, stop - start


def _join(stretch: list[Entry], size: int, entries: list[Entry]) -> None:
    """Add the memory of a stretch, joined, and ranges of files as they are. Copies: the memory ("coalesce")."""
    if not is_audited() or _are_bytes(stretch):
        count_copy("coalesce", size)
        try:
            entries.append(b"".join(cast("list[bytes]", stretch)))
        except TypeError:
            pass  # not all are bytes, and so nothing was copied; nor was it counted, since nobody counts
        else:
            return
    run: list[Entry] = []
    for entry in stretch:
        if isinstance(entry, bytes) or not _is_file(entry):
            run.append(entry)
        else:
            _join_run(run, entries)
            entries.append(entry)
    _join_run(run, entries)


def _join_run(run: list[Entry], entries: list[Entry]) -> None:
    if len(run) > 1:
        mapped: dict[Guard, int] = {}
        for entry in run:
            if not isinstance(entry, bytes):
                _note_if_mapped(entry, entry.stop, mapped)
        assert_whole(mapped)
        entries.append(join("coalesce", [e if isinstance(e, bytes) else memory_view(e) for e in run]))
    else:
        entries += run
    run.clear()
