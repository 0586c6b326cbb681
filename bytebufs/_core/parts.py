"""What a part is: whose memory it shows, and how foreign objects become parts.

    owner    bytes, or Memory around anything else that has a buffer, or a LazyOwner
    entry    what a table lists: a whole bytes object is its own entry, every other run is a Run

    b"abcdef"             entry: the object itself, nothing is allocated
    b"abcdef"[1:4]        Run(owner=b"abcdef", start=1, stop=4)
    bytearray, mmap, ...  Run(owner=Memory(...), start, stop)

An owner never changes its size while it is here: ``bytes`` cannot, and ``Memory`` holds an export, which
makes ``bytearray`` and ``mmap`` refuse to resize or close.
"""

from __future__ import annotations

import mmap
import reprlib
import sys
from operator import index
from typing import TYPE_CHECKING, Final, SupportsIndex, TypeAlias, cast, final

from mypy_extensions import mypyc_attr

from .audit import count_copy
from .foreign import is_searchable
from .memory import NATIVE, exported, find, has_buffer, is_flat, offset_in, place_of, rfind
from .owners import Map, Reserved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Buffer

    from .memory import Place

__all__ = [
    "Block",
    "Entry",
    "Finder",
    "Guard",
    "LazyOwner",
    "Memory",
    "Owner",
    "Run",
    "Searcher",
    "byte_view",
    "clip",
    "entry_of",
    "has_buffer",
    "int_of",
    "is_reserved",
    "is_writable",
    "join",
    "lent",
    "lent_view",
    "make_entry",
    "memory_view",
    "merged",
    "note_write",
    "owner_view",
    "pour",
    "searcher_of",
    "shown",
    "size_of",
    "written",
    "zeros",
]

Finder: TypeAlias = "bytes | bytearray | mmap.mmap"
"""What searches its own memory at C speed: it has ``find`` and ``rfind``."""

_NATIVE: Final = NATIVE
_exported: Final = exported
_find: Final = find
_is_flat: Final = is_flat
_offset_in: Final = offset_in
_rfind: Final = rfind

# Bound here, since compiled code looks up at each use what others define.
_BYTEARRAY: Final = bytearray
_MEMORYVIEW: Final = memoryview
_MMAP: Final = mmap.mmap
_MAP: Final = Map
_RESERVED: Final = Reserved

_FEW: Final = 4096
"""So many bytes are copied in less time than a view of them is made in."""

Guard: TypeAlias = "Callable[[int], None]"
"""What raises TruncatedFile if the file below some memory now ends before that many of its bytes."""


@final
class Memory:
    """The export that pins a non-bytes owner, and the object that can search it, if any.

    ``view`` is one-dimensional and of format "B". Byte i of ``view`` is byte i of ``finder``. ``holder`` is what
    the export keeps alive, whether or not ``view`` covers all of it. A map of a file may have a ``guard``.
    """

    __slots__ = ("_place", "finder", "guard", "holder", "view")

    def __init__(self, holder: object, view: memoryview, finder: Finder | None, guard: Guard | None = None) -> None:
        self.guard: Guard | None = guard
        self.holder: object = holder
        self.view: memoryview = view
        self.finder: Finder | None = finder
        self._place: Place | None = None

    def place(self) -> Place:
        """Return where ``view`` lies, for comparing it there."""
        place = self._place
        if place is None:
            place = self._place = place_of(self.view)
        return place

    def find(self, needle: bytes | memoryview, start: int, stop: int) -> int:
        """Return where in ``view`` the first match begins that lies in ``[start, stop)``, or -1 for none."""
        return _find(self.place(), needle, start, stop)

    def rfind(self, needle: bytes | memoryview, start: int, stop: int) -> int:
        """Return where the last one begins, or -1. For short needles, as ``bytes.rfind``."""
        return _rfind(self.place(), needle, start, stop)

    def reserve(self) -> memoryview:
        """Return a writable view of all of it, which ``zeros()`` made.

        While that view lives, or one made of it, the bytearray has a reference more than this Memory adds.
        """
        return memoryview(cast("bytearray", self.holder))

    @property
    def is_reserved(self) -> bool:
        """Whether somebody may still hold a view from ``reserve()``, and write through it.

        A second part that was made of such a view counts as one, too: better kept apart than torn off.
        """
        return type(self.holder) is Reserved and (self.finder is None or _references(self) > _IDLE_REFERENCES)


@mypyc_attr(allow_interpreted_subclasses=True)
class LazyOwner:
    """An owner whose bytes are produced when somebody looks at them, such as a range of a file.

    Its length is known from the start, so slicing, measuring and merging never look. It counts as mapped, not
    as heap memory, and is read-only. Derive from it and define ``_look()``.

    One whose bytes lie in a regular file names it, and is then sent from there without being looked at: ``_fd`` is
    the descriptor (-1 for none) and ``offset`` the place of the first byte in the file. If it is ``stable``, what is
    sent are the bytes as they are when they are sent, not as they will be when the peer reads them.
    """

    def __init__(self, nbytes: int, *, fd: int = -1, offset: int = 0, stable: bool = False) -> None:
        self.nbytes = nbytes
        self._fd = fd
        self.offset = offset
        self.stable = stable

    def _describe(self) -> str:
        """Return who it is, in a few words for people. Never looks."""
        return f"{type(self).__name__} of {self.nbytes}"

    def _look(self) -> Memory:
        """Return all of it as memory, exactly ``nbytes`` long. Called at every look: keep the answer."""
        raise NotImplementedError

    def _assert_whole(self, stop: int) -> None:
        """Raise TruncatedFile if the file now ends before byte ``stop`` of this owner. Asked before bytes are sent."""


Owner: TypeAlias = "bytes | Memory | LazyOwner"

Searcher: TypeAlias = "Finder | Memory"
"""What searches the bytes of an owner, by the owner's own offsets."""


@final
class Run:
    """Bytes ``start`` to ``stop`` of ``owner``; immutable, never empty, and never the whole of a bytes object."""

    __slots__ = ("owner", "start", "stop")

    def __init__(self, owner: Owner, start: int, stop: int) -> None:
        self.owner: Owner = owner
        self.start: int = start
        self.stop: int = stop

    def __len__(self) -> int:
        # Never negative: compiled, that would be an error without an exception, which ends the process.
        return self.stop - self.start if self.stop > self.start else 0


Entry: TypeAlias = "bytes | Run"


@final
class Block:
    """Memory of our own that is filled from the front; views of what is filled are read-only and never move."""

    __slots__ = ("_memory", "_used", "owner")

    def __init__(self, nbytes: int) -> None:
        self._memory = bytearray(nbytes)
        self.owner: Owner = Memory(self._memory, memoryview(self._memory).toreadonly(), self._memory)
        self._used = 0

    @property
    def room(self) -> int:
        """Bytes that can still be added."""
        return len(self._memory) - self._used

    def add(self, data: memoryview) -> Run:
        """Copy bytes, for which there must be room, and return the run that shows them."""
        start = self._used
        stop = start + len(data)
        self._used = stop
        self._memory[start:stop] = data
        return Run(self.owner, start, stop)

    def continues(self, last: Run, size: int) -> bool:
        """Whether so many bytes more would lie directly behind a run of this block."""
        return last.stop == self._used and size <= len(self._memory) - self._used

    def lengthened(self, last: Run, data: bytes) -> Run:
        """Copy bytes behind a run that goes on here, and return the run that shows both."""
        start = self._used
        stop = start + len(data)
        self._used = stop
        self._memory[start:stop] = data
        return Run(self.owner, last.start, stop)


def zeros(nbytes: int) -> Memory:
    """Return zeros that ``Memory.reserve()`` gives a view of; what else shows them is read-only."""
    memory = Reserved(nbytes)
    return Memory(memory, memoryview(memory).toreadonly(), memory)


def _references(memory: Memory) -> int:
    return sys.getrefcount(memory.holder)


_IDLE_REFERENCES: Final = _references(zeros(1))
"""What one Memory alone, without any view, adds to the references that an object has."""


# -- entries -------------------------------------------------------------------------------------------------


def make_entry(owner: Owner, start: int, stop: int) -> Entry:
    """Return the entry for a range of an owner: the owner itself where the range is all of a bytes object.

    Raises RuntimeError for a range that holds no byte: then bounds were looked up that hold no more.
    """
    if start >= stop:
        raise RuntimeError("the buffer changed while it was read")
    if isinstance(owner, bytes) and start == 0 and stop == len(owner):
        return owner
    return Run(owner, start, stop)


def clip(entry: Entry, start: int, stop: int) -> Entry:
    """Return bytes ``start`` to ``stop`` of an entry, counted from its own first byte."""
    if isinstance(entry, bytes):
        return make_entry(entry, start, stop)
    if start == 0 and stop == entry.stop - entry.start:
        return entry
    return make_entry(entry.owner, entry.start + start, entry.start + stop)


def merged(left: Entry, right: Entry) -> Entry | None:
    """Return the one entry that shows both, if ``right`` goes on where ``left`` stops in the same owner.

    A whole bytes object neither continues anything nor is continued by anything.
    """
    if isinstance(left, bytes) or isinstance(right, bytes):
        return None
    if left.stop != right.start or not _same_owner(left.owner, right.owner):
        return None
    return make_entry(left.owner, left.start, right.stop)


def _same_owner(left: Owner, right: Owner) -> bool:
    if left is right:
        return True
    if not isinstance(left, Memory) or not isinstance(right, Memory):
        return False
    # Two exports of one bytearray or mmap count their bytes alike: each covers all of it.
    return left.finder is not None and left.finder is right.finder and left.view.readonly == right.view.readonly


# -- looking at memory ---------------------------------------------------------------------------------------


def owner_view(owner: Owner) -> memoryview:
    """Return all of an owner's memory. A LazyOwner is made to produce it."""
    if isinstance(owner, bytes):
        return memoryview(owner)
    if isinstance(owner, Memory):
        return owner.view
    return owner._look().view


def memory_view(entry: Entry) -> memoryview:
    """Return exactly the bytes of an entry as a new memoryview."""
    if isinstance(entry, bytes):
        return memoryview(entry)
    return owner_view(entry.owner)[entry.start : entry.stop]


def lent_view(entry: Entry) -> memoryview:
    """Return exactly the bytes of an entry as a memoryview that may be the owner's own: for looking at, not to keep."""
    view = owner_view(entry if isinstance(entry, bytes) else entry.owner)
    return view if isinstance(entry, bytes) or len(entry) == len(view) else view[entry.start : entry.stop]


def lent(entry: Run) -> bytes | memoryview:
    """Return the bytes of an entry for joining with others: as ``lent_view()``, or, if they are few, a copy."""
    owner = entry.owner
    if isinstance(owner, bytes) and entry.stop - entry.start <= _FEW:
        return owner[entry.start : entry.stop]
    return lent_view(entry)


def searcher_of(owner: Owner, size: int) -> Searcher | None:
    """Return what searches an owner's memory where it lies, or None if ``size`` bytes of it are better joined."""
    if isinstance(owner, bytes):
        return owner
    memory = owner if isinstance(owner, Memory) else owner._look()
    if _NATIVE:
        return memory
    finder = memory.finder
    return memory if finder is None and is_searchable(memory.place(), size) else finder


def is_reserved(entry: Entry) -> bool:
    """Whether somebody holds a view from ``reserve()`` that must go on writing to these very bytes."""
    return isinstance(entry, Run) and isinstance(entry.owner, Memory) and entry.owner.is_reserved


def is_writable(entry: Entry) -> bool:
    """Whether an entry's memory can be written to."""
    return isinstance(entry, Run) and isinstance(entry.owner, Memory) and not entry.owner.view.readonly


# -- foreign objects become entries --------------------------------------------------------------------------


def byte_view(obj: Buffer) -> memoryview:
    """Return a new one-dimensional "B" view of any C-contiguous buffer, an export of our own.

    The caller may release his memoryview afterwards. Raises TypeError for what has no buffer and for strided
    views, with what to write instead.
    """
    view = _exported(obj)
    if view is None:
        if isinstance(obj, str):
            raise TypeError(f"a str is not bytes: encode it first ({shown(obj)}.encode())")
        raise TypeError(
            "a bytes-like object is wanted (bytes, bytearray, memoryview, mmap, array, a buffer, a slice of a "
            f"MappedFile), not {type(obj).__name__}: {shown(obj)}"
        )
    if _is_flat(view):
        return view
    if not view.c_contiguous:
        raise TypeError(
            f"the memory of {shown(obj)} is strided: write view.tobytes() or numpy.ascontiguousarray(a) first"
        )
    if view.nbytes == 0:
        return memoryview(b"")  # zero in a shape does not cast
    return view.cast("B")  # from any format, also from those that memoryview cannot read


def entry_of(obj: Buffer | LazyOwner) -> Entry | None:
    """Return the entry that shows all of a foreign object, or None if it is empty.

    Where a view's memory belongs to a bytes, bytearray or mmap, that object becomes the owner: it can be
    searched, and views of neighbouring ranges merge.
    """
    kind = type(obj)
    if kind is bytes:
        return cast("bytes", obj) or None
    if isinstance(obj, LazyOwner):
        return Run(obj, 0, obj.nbytes) if obj.nbytes else None
    # Of a view that shows an owner, nothing is made: its place in that is asked for.
    given = cast("memoryview", obj) if kind is _MEMORYVIEW else byte_view(obj)
    finder = _as_finder(given.obj)
    if finder is not None and given.nbytes:
        if finder is obj:
            return Run(Memory(finder, given, finder), 0, given.nbytes)
        found = _entry_below(given, finder)
        if found is not None:
            return found
    view = byte_view(obj) if given is obj else given
    size = view.nbytes
    if size == 0:
        return None
    # None for memory that no object owns, though typeshed knows of no such view.
    holder: object = view.obj
    return Run(Memory(view if holder is None else holder, view, None), 0, size)


def _entry_below(view: memoryview, finder: Finder) -> Entry | None:
    """Return the entry of what a view, not an empty one, shows of its owner, or None if nobody can tell."""
    size = view.nbytes
    start = 0 if size == len(finder) and view.c_contiguous else _offset_in(view, finder)
    if start < 0:
        return None
    return make_entry(_owner(finder, readonly=view.readonly), start, start + size)


def _as_finder(holder: object) -> Finder | None:
    """Return an object that can search its own memory; subclasses may do so in ways of their own, and cannot."""
    kind = type(holder)
    if kind is bytes or kind is _BYTEARRAY or kind is _MMAP or kind is _MAP or kind is _RESERVED:
        return cast("Finder", holder)
    return None


def _owner(finder: Finder, *, readonly: bool) -> Owner:
    if isinstance(finder, bytes):
        return finder
    whole = cast("memoryview", _exported(finder))  # as memoryview(finder), in less time
    return Memory(finder, whole.toreadonly() if readonly else whole, finder)


# -- copies and numbers --------------------------------------------------------------------------------------


def pour(targets: Sequence[memoryview], pieces: Sequence[bytes | memoryview]) -> None:
    """Write pieces, one after another, over targets of the same total size."""
    rest = memoryview(b"")
    waiting = iter(pieces)
    for target in targets:
        at = 0
        size = len(target)
        while at < size:
            if not rest:
                rest = memoryview(next(waiting))
            n = min(len(rest), size - at)
            target[at : at + n] = rest[:n]
            rest = rest[n:]
            at += n


@final
class _Tally:
    """How often something happened."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


_writes: Final = _Tally()


def written() -> int:
    """Return how often memory was written to through any buffer of this library: what was looked for may be there."""
    return _writes.count


def note_write() -> None:
    """Say that memory was written to, after it was."""
    _writes.count += 1


def join(reason: str, pieces: Sequence[bytes | memoryview]) -> bytes:
    """Return the pieces joined: the one payload copy that makes a new bytes object, counted as ``reason``."""
    first = pieces[0] if len(pieces) == 1 else None
    if isinstance(first, bytes):
        return first
    count_copy(reason, sum([len(piece) for piece in pieces]))
    return b"".join(pieces)


def int_of(value: SupportsIndex) -> int:
    """Return a number as an int. Raises TypeError for float and str."""
    return value if isinstance(value, int) else index(value)


def size_of(value: SupportsIndex) -> int:
    """Return a size or position as an int. Raises TypeError for float and str, ValueError if negative."""
    size = value if isinstance(value, int) else index(value)
    if size < 0:
        raise ValueError(f"a size or position is not negative: {size}")
    return size


def shown(obj: object) -> str:
    """Return a repr short enough for a sentence, also of objects whose own would be endless."""
    return reprlib.repr(obj)
