"""Ways to cut an input, and the kinds of objects that the pieces may be: what a check of fragmentation goes through."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from ..composite_buffer import CompositeBuffer
from ..slice_buffer import SliceBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..base_buffer import Part

__all__ = ["KINDS", "REUSED", "Way", "at_once", "cut", "made", "ways"]

REUSED: Final = "reused"
"""The kind of piece that lies in memory which is overwritten once the parser has returned, as `recv_into` does it."""


def hidden(chunk: bytes) -> memoryview:
    """Return a view of a piece of bytes that has other bytes on both sides of it."""
    return memoryview(b"\n<<" + chunk + b">>\n")[3:-3]


KINDS: Final[dict[str, Callable[[bytes], Part]]] = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "memoryview": hidden,
    "slice": lambda data: SliceBuffer(b"<" + data + b">", 1, 1 + len(data)),
    "composite": lambda data: CompositeBuffer([data[: len(data) // 2], bytearray(data[len(data) // 2 :])]),
    REUSED: lambda data: memoryview(bytearray(data)),
}
"""What a piece may be, by name."""


class Way(NamedTuple):
    """Pieces of an input, and the kind of each."""

    pieces: tuple[bytes, ...]
    kinds: tuple[str, ...]


def made(way: Way) -> list[Part]:
    """Return the pieces as objects of their kinds."""
    return [KINDS[kind](piece) for piece, kind in zip(way.pieces, way.kinds)]


def at_once(data: bytes, kind: str) -> Way:
    """Return the way in which all comes at once, and no bytes do not come at all."""
    return Way((data,), (kind,)) if data else Way((), ())


def cut(data: bytes, places: Iterable[int]) -> tuple[bytes, ...]:
    """Cut data at some places; two that are equal give an empty piece."""
    return tuple(data[start:stop] for start, stop in pairwise([0, *sorted(places), len(data)]))


def chunks(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Cut data into chunks of the given sizes; what is left over is the last one."""
    at = 0
    for size in sizes:
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size
    if at < len(data):
        yield data[at:]


def without_empties(way: Way) -> Way:
    """Return a way without its empty pieces, for a parser that takes one for the end."""
    kept = [(piece, kind) for piece, kind in zip(way.pieces, way.kinds) if piece]
    return Way(tuple(piece for piece, _ in kept), tuple(kind for _, kind in kept))


def ways(data: bytes, *, kinds: Sequence[str], random_cuts: int, limit: int, seed: int) -> Iterator[Way]:
    """Yield ways to cut the data, those first in which a failure is easiest to read."""
    size = len(data)
    chance = random.Random(seed)
    places = _spread(size, limit)
    everywhere = list(range(1, size))
    for k in places:
        yield _alike(cut(data, [k]), kinds[0])
    for kind in kinds:
        yield _alike((data,), kind)
        yield _alike(cut(data, everywhere), kind)
    yield _alike(cut(data, [*range(size + 1), *range(size + 1)]), kinds[0])  # single bytes, two empties between each
    for k in places:
        yield _alike(cut(data, [k, k]), kinds[k % len(kinds)])
        yield _alike(cut(data, [k, min(k + 1, size)]), kinds[k % len(kinds)])
    for _ in range(random_cuts):
        pieces = cut(data, chance.choices(range(size + 1), k=chance.randint(2, 20)))
        yield Way(pieces, tuple(chance.choices(kinds, k=len(pieces))))


def _alike(pieces: tuple[bytes, ...], kind: str) -> Way:
    return Way(pieces, (kind,) * len(pieces))


def _spread(size: int, limit: int) -> list[int]:
    """Return the places at which to cut: all, both ends too, or so many of them, evenly spread."""
    if size < limit:
        return list(range(size + 1))
    return sorted({i * size // limit for i in range(limit)} | {size})
