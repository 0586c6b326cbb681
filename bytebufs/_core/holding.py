"""Who is kept alive by a window, how much that is, and how to undo a bad ratio."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final

from .numbers import COMPILED
from .parts import Entry, LazyOwner, Memory, Owner, is_reserved, join, lent_view

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ENTRY_COST",
    "SMALL",
    "compacted",
    "gathered",
    "held_beside",
    "held_nbytes",
    "hold_the_same",
    "small_copies",
    "waste_of",
]

_SLACK: Final = 512
"""Bytes that an owner may waste beyond half of itself: below, a rewrite frees less than its objects cost."""


ENTRY_COST: Final = 88
"""Bytes that a table spends on a whole bytes object: its header, its place in the list, the number where it ends."""
SMALL: Final = 4096
"""A part of so many bytes is worth what it costs, if its owner does not count. Bytes are from an eighth of that on."""

_RUN_COST: Final = 16 if COMPILED else 80
"""What a Run takes beyond that: interpreted, the numbers where it starts and stops are objects."""
_MEMORY_COST: Final = 560
"""The same of the export below it, with the exporting object's own header."""


def _owner_of(entry: Entry) -> Owner:
    """Return whose bytes an entry shows."""
    return entry if isinstance(entry, bytes) else entry.owner


def _is_mapped(owner: Owner) -> bool:
    """Whether an owner is a map or a file, and so not memory of the heap."""
    if isinstance(owner, bytes):
        return False
    return isinstance(owner, LazyOwner) or isinstance(owner.holder, mmap.mmap)


def _holder_nbytes(owner: Owner) -> int:
    """Return the size of the object that an owner keeps alive, whatever piece of it the owner shows."""
    if isinstance(owner, bytes):
        return len(owner)
    if isinstance(owner, LazyOwner):
        return owner.nbytes
    if type(owner.holder) is bytearray:
        return len(owner.holder)
    try:
        return memoryview(owner.holder).nbytes  # type: ignore[arg-type]  # it exported a buffer before
    except TypeError:
        # What stands between a memoryview and a __buffer__ method (PEP 688) exports nothing itself.
        return owner.view.nbytes


def _identity(owner: Owner) -> int:
    """Return a number that two owners share if they keep the same object alive."""
    return id(owner.holder) if isinstance(owner, Memory) else id(owner)


def held_nbytes(entries: Iterable[Entry], *, mapped: bool) -> int:
    """Return the bytes that entries keep alive, each object once: of maps and files, or of everything else."""
    held = {}
    for entry in entries:
        owner = _owner_of(entry)
        if _is_mapped(owner) == mapped:
            held[_identity(owner)] = _holder_nbytes(owner)
    return sum(held.values())


def _are_worth_it(entries: list[Entry]) -> bool:
    """Whether each entry shows so much of a bytes object that this is no waste, whoever else shows of it."""
    for entry in entries:
        if not isinstance(entry, bytes):
            owner = entry.owner
            if not isinstance(owner, bytes) or len(owner) > 2 * len(entry) + _SLACK:
                return False
    return True


def _wasteful(entries: list[Entry]) -> dict[int, int]:
    """Return the identities of owners that are mostly waste, with what each holds."""
    if _are_worth_it(entries):
        return {}
    shown: dict[int, int] = {}
    held: dict[int, int] = {}
    reserved = set()
    for entry in entries:
        owner = _owner_of(entry)
        if not _is_mapped(owner):
            key = _identity(owner)
            shown[key] = shown.get(key, 0) + len(entry)
            held[key] = _holder_nbytes(owner)
            if is_reserved(entry):
                reserved.add(key)
    return {key: held[key] for key in held if held[key] > 2 * shown[key] + _SLACK and key not in reserved}


def compacted(entries: list[Entry]) -> tuple[list[Entry], int]:
    """Return the entries with mostly wasted owners rewritten, and the number of bytes let go of.

    Neighbours that are rewritten become one. Copies: what of those owners is shown ("compact").
    """
    wasteful = _wasteful(entries)
    if not wasteful:
        return entries, 0
    kept: list[Entry] = []
    run: list[Entry] = []
    freed = sum(wasteful.values())
    for entry in entries:
        if _identity(_owner_of(entry)) in wasteful:
            run.append(entry)
            freed -= len(entry)
            continue
        _rewrite(run, kept, "compact")
        kept.append(entry)
    _rewrite(run, kept, "compact")
    return kept, freed


def _rewrite(run: list[Entry], kept: list[Entry], reason: str) -> None:
    if run:
        kept.append(join(reason, [entry if isinstance(entry, bytes) else lent_view(entry) for entry in run]))
        run.clear()


# -- what parts cost beside their bytes ----------------------------------------------------------------------


def waste_of(entries: Iterable[Entry], before: Entry | None = None, worth: int = SMALL) -> int:
    """Return roughly how much more heap memory some entries cost than they show; ``before`` stands in front of them.

    An owner counts with what it holds where less than ``worth`` bytes of it are shown, and once where neighbours share
    it. Maps and files cost what refers to them. One that shows another's memory, as an array may, counts with its own
    size.
    """
    waste = 0
    left: object = None if before is None or isinstance(before, bytes) else _holder(before.owner)
    for entry in entries:
        waste += ENTRY_COST
        if isinstance(entry, bytes):
            left = None
            continue
        owner = entry.owner
        holder = _holder(owner)
        waste += _RUN_COST
        if holder is not left:
            left = holder
            if not isinstance(owner, bytes):
                waste += _MEMORY_COST
            waste += held_beside(entry, worth)
    return waste


def held_beside(entry: Entry | None, worth: int = SMALL) -> int:
    """Return the bytes of the heap that an entry keeps alive beside what it shows, if that is less than ``worth``."""
    if entry is None or isinstance(entry, bytes):
        return 0
    size = entry.stop - entry.start
    if size >= worth or _is_mapped(entry.owner):
        return 0
    return max(0, _holder_nbytes(entry.owner) - size)


def _holder(owner: Owner) -> object:
    return owner.holder if isinstance(owner, Memory) else owner


def hold_the_same(left: Entry, right: Entry) -> bool:
    """Whether two entries keep one object alive, of which each shows some."""
    if isinstance(left, bytes) or isinstance(right, bytes):
        return False
    return _holder(left.owner) is _holder(right.owner)


def gathered(entries: list[Entry], worth: int = SMALL) -> list[Entry]:
    """Return the entries with neighbours joined that are small, or show less than half of an owner that counts.

    Ranges of files stay what they are, and what a reserved view writes to where it is. Copies: those ("coalesce").
    """
    kept: list[Entry] = []
    run: list[Entry] = []
    for entry in entries:
        if _is_gathered(entry, worth):
            run.append(entry)
            continue
        _rewrite(run, kept, "coalesce")
        kept.append(entry)
    _rewrite(run, kept, "coalesce")
    return kept


def small_copies(entries: list[Entry], worth: int = SMALL) -> list[Entry]:
    """Return a copy of each entry; nothing if one of them is not gathered. Copies: those ("coalesce")."""
    for entry in entries:
        if not _is_gathered(entry, worth):
            return []
    return [gathered([entry], worth)[0] for entry in entries]


def _is_gathered(entry: Entry, worth: int) -> bool:
    if isinstance(entry, bytes):
        return len(entry) < SMALL // 8
    size = entry.stop - entry.start
    if size >= SMALL and held_beside(entry, worth) <= size:
        return False
    return not isinstance(entry.owner, LazyOwner) and not is_reserved(entry)
