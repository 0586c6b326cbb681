"""The kit's layouts, more that only this project needs, and what shows where bytes lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from bytebufs import BaseBuffer, Part, SliceBuffer
from bytebufs._core.parts import LazyOwner, Memory
from bytebufs.testing import Layout, arrangements
from bytebufs.testing.arrangements import (
    COMPOSITES,
    PARTS,
    SLICES,
    anonymous_map,
    hidden_in_bytearray,
    mixed,
    unaligned_file_map,
)
from bytebufs.testing.cuts import chunks, hidden

from .places import BytesSubclass, address, addresses

__all__ = [
    "LAYOUTS",
    "MAKERS",
    "PARTS",
    "SHAPES",
    "BytesSubclass",
    "FakeFile",
    "Layout",
    "address",
    "addresses",
    "anonymous_map",
    "chunks",
    "hidden",
    "hidden_in_bytearray",
    "mixed",
    "unaligned_file_map",
]


class FakeFile(LazyOwner):
    """A lazy owner: its bytes are there only once somebody has looked. Counts the looks."""

    def __init__(self, data: bytes, *, searchable: bool = True) -> None:
        super().__init__(len(data))
        self.looks = 0
        self._memory = Memory(data, memoryview(data), data if searchable else None)

    def _look(self) -> Memory:
        self.looks += 1
        return self._memory


def structured_array(data: bytes) -> Any:
    """Return the data as a numpy array of a format that memoryview cannot cast."""
    whole = np.frombuffer(data, np.uint8)
    return whole.view(">u2") if len(data) % 2 == 0 else whole.view([("a", "u1")])


def numpy_array(data: bytes) -> Any:
    """Return the data as a writable numpy array. (By numpy's stubs an array is a buffer only from 3.12 on.)"""
    return np.frombuffer(bytearray(data), np.uint8)


MAKERS: Final[dict[str, Callable[[bytes], Part]]] = arrangements.MAKERS | {
    "bytes subclass": BytesSubclass,
    "numpy": numpy_array,
    "big-endian numpy": structured_array,
    "lazy": FakeFile,
    "lazy, not searchable": lambda data: FakeFile(data, searchable=False),
    "piece of a lazy owner": lambda data: SliceBuffer(FakeFile(b"<" + data + b">\n"), 1, 1 + len(data)),
}
"""A part that shows some data, which is not empty, by the kind of its owner."""

SHAPES: Final[dict[str, Callable[[list[Part]], BaseBuffer]]] = {**COMPOSITES, **SLICES}

LAYOUTS: Final[Sequence[Layout]] = arrangements.layouts_of(MAKERS)
