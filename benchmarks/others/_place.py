"""What a place is in which our buffer stands for another, and how it is measured."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

from .. import _layouts
from .._harness import OURS, Cell, Contender, by_build, cost_of, size_name

__all__ = ["CHUNKS", "OUR_BUFFER", "SIZES", "THEIRS", "Note", "Place", "Stream", "cell", "driven"]

_T = TypeVar("_T")

SIZES: Final = (60, 4 << 10, 256 << 10)
CHUNKS: Final = (1460, 16 << 10)
MOST: Final = 4000
"""Messages in a stream, however small they are."""

THEIRS: Final = "their buffer"
OUR_BUFFER: Final = "CompositeBuffer"

Note: TypeAlias = Callable[[bytes | bytearray | memoryview], int]
"""What is done with each piece of a message: ``len`` while the clock runs, and keeping it while it does not."""


@dataclass(frozen=True)
class Stream:
    """What comes in: so many messages of a size, in chunks."""

    chunks: Sequence[bytes]
    count: int
    size: int


@dataclass(frozen=True)
class Place:
    """A parser: how a message is written for it, and how messages are read, with either buffer.

    Who reads returns how many bytes came out.
    """

    name: str
    written: Callable[[bytes], bytes]
    theirs: Callable[[Stream, Note], int]
    ours: Callable[[Stream, Note], int]


def cell(place: Place, size: int, chunk: int, nbytes: int) -> Cell:
    """Return the cell in which a parser reads messages of a size out of chunks of another."""
    count = min(MOST, max(4, nbytes // size))
    messages = _messages(size, count)
    stream = Stream(_layouts.split(b"".join(map(place.written, messages)), chunk), count, size)
    read = [(OUR_BUFFER, OURS, place.ours), (THEIRS, "rival", place.theirs)]
    return Cell(
        "place",
        {"parser": place.name, "message": size_name(size), "chunk": size_name(chunk)},
        "message",
        count,
        [Contender(name, group, partial(partial, run, stream, len)) for name, group, run in read],
        [cost_of(OUR_BUFFER, THEIRS, by_build(compiled=1, pure=None))],
        check=partial(_check, place, stream, b"".join(messages)),
    )


def _messages(size: int, count: int) -> list[bytes]:
    noise = random.Random(size).randbytes(size + count).translate(bytes(97 + k % 16 for k in range(256)))
    return [noise[k : k + size] for k in range(count)]


def _check(place: Place, stream: Stream, messages: bytes) -> None:
    """Assert that all comes out of both that was put in."""
    for read in (place.ours, place.theirs):
        came = bytearray()
        read(stream, partial(_keep, came))
        assert came == messages, f"{place.name} reads something else"


def _keep(came: bytearray, piece: bytes | bytearray | memoryview) -> int:
    came += piece
    return len(piece)


def driven(reading: Coroutine[object, None, _T], feed: Callable[[], object]) -> _T:
    """Run a coroutine that only waits for bytes, and feed more whenever it does: no loop is measured."""
    while True:
        try:
            reading.send(None)
        except StopIteration as stop:
            answer: _T = stop.value
            return answer
        feed()
