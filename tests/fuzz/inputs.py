"""What the targets make of an input: numbers, pieces, and parts of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeVar, final

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer

T = TypeVar("T")

MOST_CUTS: Final = 7

Piece = bytes | bytearray | memoryview | BaseBuffer
"""What parts are made here: of those that there are, those with a length."""


@final
class Program:
    """An input read from its front: each byte a choice. Behind the end all choices are 0."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        """Whether the end is still to come."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """Take a byte."""
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, n: int) -> int:
        """Take a byte as a number from 0 to n - 1."""
        return self.byte() % n

    def some(self, n: int) -> bytes:
        """Take so many bytes, or fewer at the end."""
        at = self._at
        self._at = at + n
        return self._data[at : at + n]

    def rest(self) -> bytes:
        """Take all that is left."""
        return self.some(len(self._data))


def as_part(piece: bytes, kind: int) -> Piece:
    """Return a piece as a part, of one of four kinds: what owns its memory, and whether it lies in one place."""
    if kind == 1:
        return bytearray(piece)
    if kind == 2:
        return memoryview(b"<" + piece + b">")[1:-1]
    if kind == 3:
        middle = len(piece) // 2
        return CompositeBuffer([piece[:middle], piece[middle:]])
    return piece


def cut(program: Program) -> tuple[bytes, list[bytes], int]:
    """Take the places of some cuts, and all that is left: return that whole, in pieces, and what kinds those are of."""
    kinds = program.byte()
    places = [program.byte() for _ in range(kinds & MOST_CUTS)]
    data = program.rest()
    size = len(data) + 1
    pieces = [data[start:stop] for start, stop in pairwise([0, *sorted(place % size for place in places), len(data)])]
    return data, pieces, kinds >> 3


def parts_of(pieces: list[bytes], kinds: int) -> list[Piece]:
    """Return the pieces as parts: mostly bytes, and of other kinds as a number of five bits says."""
    return [as_part(piece, (kinds >> number % 4) & 3) for number, piece in enumerate(pieces)]


def joined(pieces: list[bytes]) -> SliceBuffer:
    """Return a buffer of these parts that stays as it is."""
    return CompositeBuffer(pieces).freeze()


def said(error: BaseException) -> tuple[type[BaseException], str]:
    """Return what of an error has to be the same however an input was cut."""
    return type(error), str(error)


def answered(call: Callable[[], T], *errors: type[BaseException]) -> T | tuple[type[BaseException], str]:
    """Return what a call returns, or which of the documented errors it raises."""
    try:
        return call()
    except errors as error:
        return said(error)
