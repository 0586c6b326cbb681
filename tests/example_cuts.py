"""Every way to cut an input, for the tests of parsers in examples/: the answer may not depend on it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

from bytebufs import BytebufsError

T = TypeVar("T")

RANDOM_CUTS: Final = 200


class Outcome(NamedTuple):
    """What came of an input: the messages as plain values, the error that ended it, and how many bytes were taken."""

    messages: list[object]
    error: tuple[type[BaseException], str] | None
    taken: int


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut data at some places; two that are equal give an empty piece."""
    return [data[start:stop] for start, stop in pairwise([0, *sorted(places), len(data)])]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Yield the data whole, cut once at every place, 200 times at random, into bytes, and with empties between."""
    yield [data]
    for place in range(len(data) + 1):
        yield cut(data, [place])
    rng = random.Random(len(data))
    for _ in range(RANDOM_CUTS):
        yield cut(data, rng.choices(range(len(data) + 1), k=rng.randint(2, 20)))
    yield cut(data, range(1, len(data)))
    yield cut(data, [*range(len(data)), *range(len(data))])


def outcome(
    pieces: Sequence[bytes],
    feed: Callable[[bytes], Iterable[T]],
    pending: Callable[[], int],
    plain: Callable[[T], object],
) -> Outcome:
    """Feed pieces until they end or one is an error. ``pending`` tells how many bytes the parser still holds."""
    messages: list[object] = []
    fed = 0
    try:
        for piece in pieces:
            fed += len(piece)
            messages.extend(plain(message) for message in feed(piece))  # keeps those before an error
    except BytebufsError as error:
        return Outcome(messages, (type(error), str(error)), fed - pending())
    return Outcome(messages, None, fed - pending())


def same_for_every_cut(data: bytes, run: Callable[[list[bytes]], Outcome]) -> Outcome:
    """Return what comes of the data, the same for all of ``cuts(data)``."""
    expected = run([data])
    for pieces in cuts(data):
        assert run(pieces) == expected, pieces
    return expected
