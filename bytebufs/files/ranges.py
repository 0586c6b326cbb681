"""Ranges of files as arguments: slices, which clamp, and an offset with a count, which do not."""

from __future__ import annotations

from typing import SupportsIndex

from .._core.parts import size_of

__all__ = ["bounds", "clamped"]


def clamped(key: slice, size: int, name: str) -> tuple[int, int]:
    """Return the ends of a slice as positions, by the rules of ``bytes``."""
    if not isinstance(key, slice):
        raise TypeError(f"it is sliced, not indexed: write {name}[:][{key!r}], or keep {name}[:], which is a buffer")
    start, stop, step = key.indices(size)
    if step != 1:
        raise ValueError(f"a slice of a file has step 1: write bytes({name}[:])[::{step}] for a copy")
    return start, max(start, stop)


def bounds(offset: SupportsIndex, count: SupportsIndex | None, size: int) -> tuple[int, int]:
    """Return where a range begins and stops, which must lie within ``size`` bytes."""
    start = size_of(offset)
    stop = max(start, size) if count is None else start + size_of(count)
    if stop > size:
        raise IndexError(f"[{start}:{stop}] reaches beyond the {size} bytes that are there")
    return start, stop
