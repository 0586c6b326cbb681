"""The same bytes in parts of one kind of memory or another."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

from bytebufs import CompositeBuffer

__all__ = ["KINDS", "build", "split"]

_GAP: Final = 64
"""Bytes between the parts of one map, as between the payloads in a capture: neighbours would merge."""


def split(data: bytes, part: int, *, first: int | None = None) -> list[bytes]:
    """Return the data in pieces of ``part`` bytes, the first of another length if one is given."""
    begin = part if first is None else first
    return [data[:begin], *[data[at : at + part] for at in range(begin, len(data), part)]]


def build(kind: str, pieces: Sequence[bytes]) -> CompositeBuffer:
    """Return a buffer of these pieces in memory of a kind."""
    buffer = CompositeBuffer(KINDS[kind](pieces))
    assert buffer.part_count == len(pieces)
    return buffer


def _mapped(pieces: Sequence[bytes]) -> list[memoryview]:
    begins = list(accumulate([len(piece) + _GAP for piece in pieces], initial=0))
    memory = mmap.mmap(-1, begins[-1])
    view = memoryview(memory)
    for begin, piece in zip(begins, pieces, strict=False):
        view[begin : begin + len(piece)] = piece
    return [view[begin : begin + len(piece)] for begin, piece in zip(begins, pieces, strict=False)]


def _viewed(pieces: Sequence[bytes]) -> list[memoryview]:
    """Return views of what has no ``find`` of its own, as numpy's arrays have none."""
    return [memoryview(array("B", piece)) for piece in pieces]


KINDS: Final[dict[str, Callable[[Sequence[bytes]], Sequence[bytes | bytearray | memoryview]]]] = {
    "bytes": lambda pieces: pieces,
    "bytearray": lambda pieces: [bytearray(piece) for piece in pieces],
    "mmap": _mapped,
    "views": _viewed,
}
