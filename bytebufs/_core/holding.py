"""Who is kept alive by a window, how much that is, and how to undo a bad ratio."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Final

from .parts import Entry, LazyOwner, Memory, Owner, is_reserved, join, memory_view

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

__all__ = ["ENTRY_COST", "compacted", "gathered", "held_nbytes", "waste_of"]

_SLACK: Final = 512
"""Bytes that an owner may waste beyond half of itself: below, a rewrite frees less than its objects cost."""


ENTRY_COST: Final = 88
"""Bytes that a table spends on a whole bytes object: its header, its place in the list, the number where it ends."""
_RUN_COST: Final = 112
_MEMORY_COST: Final = 560
"""The same of a Run, and of the export below it, with the exporting object's own header."""


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


def _wasteful(entries: list[Entry]) -> dict[int, int]:
    """Return the identities of owners that are mostly waste, with what each holds."""
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
    return {key: n for key, n in held.items() if n > 2 * shown[key] + _SLACK and key not in reserved}


def compacted(entries: list[Entry]) -> tuple[list[Entry], int]:
    """Return the entries with mostly wasted owners rewritten, and the number of bytes let go of.

    Neighbours that are rewritten become one. Copies: what of those owners is shown ("compact").
    """
    wasteful = _wasteful(entries)
    if not wasteful:
        return entries, 0
    kept, copied = _rewritten(entries, wasteful, "compact")
    return kept, sum(wasteful.values()) - copied


def _rewritten(entries: list[Entry], unwanted: Container[int], reason: str) -> tuple[list[Entry], int]:
    """Return the entries with runs of those of some owners joined, and how many bytes those have."""
    kept: list[Entry] = []
    run: list[Entry] = []
    copied = 0
    for entry in entries:
        if _identity(_owner_of(entry)) in unwanted:
            run.append(entry)
            copied += len(entry)
            continue
        _rewrite(run, kept, reason)
        kept.append(entry)
    _rewrite(run, kept, reason)
    return kept, copied


def _rewrite(run: list[Entry], kept: list[Entry], reason: str) -> None:
    if run:
        kept.append(join(reason, [memory_view(entry) for entry in run]))
        run.clear()


# -- what parts cost beside their bytes ----------------------------------------------------------------------


def _costs(entries: Iterable[Entry]) -> tuple[dict[int, int], dict[int, int]]:
    """Return, of each owner by identity, what it and its entries cost in all, and what is shown of it."""
    cost: dict[int, int] = {}
    shown: dict[int, int] = {}
    for entry in entries:
        owner = _owner_of(entry)
        key = _identity(owner)
        if key not in cost:
            held = 0 if _is_mapped(owner) else _holder_nbytes(owner)
            cost[key] = held + (0 if isinstance(owner, bytes) else _MEMORY_COST)
        cost[key] += ENTRY_COST + (0 if isinstance(entry, bytes) else _RUN_COST)
        shown[key] = shown.get(key, 0) + len(entry)
    return cost, shown


def waste_of(entries: Iterable[Entry]) -> int:
    """Return roughly how much more heap memory some entries cost than they show. Maps cost what refers to them."""
    cost, shown = _costs(entries)
    return max(0, sum(cost.values()) - sum(shown.values()))


def gathered(entries: list[Entry]) -> list[Entry]:
    """Return the entries with neighbours joined whose owners cost more than twice what is shown of them.

    Ranges of files stay what they are, and what a reserved view writes to where it is. Copies: those ("coalesce").
    """
    cost, shown = _costs(entries)
    kept = set()
    for entry in entries:
        owner = _owner_of(entry)
        if isinstance(owner, LazyOwner) or is_reserved(entry):
            kept.add(_identity(owner))
    return _rewritten(entries, {key for key in cost if cost[key] > 2 * shown[key] and key not in kept}, "coalesce")[0]
