"""Every framer meets every hostile stream within its limit, however cut.

Apart from the tests of the list, as it takes long where lines are counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final, TypeAlias

import pytest

from bytebufs import Delimited, FixedLength, FrameError, Framer, LengthPrefixed, LimitExceeded, Lines, VarintPrefixed
from bytebufs.framing import OnError
from bytebufs.testing import HOSTILE, HostileStream
from tests.conftest import IS_QUICK
from tests.memory import kept_by

Chunk: TypeAlias = bytes | bytearray | memoryview

LIMIT: Final = HostileStream.LIMIT
N: Final = 2 * LIMIT + 1000
"""So many bytes that a frame of the limit has ended, and one that is longer has, too."""
PAGE: Final = 4096
BLOCK: Final = 65536

FRAMERS: Final[dict[str, Callable[[OnError], Framer]]] = {
    "delimited": lambda on_error: Delimited(b"\r\n", limit=LIMIT, on_error=on_error),
    "nearly the same": lambda on_error: Delimited(
        *[b"a" * k + b"b" for k in (1, 2, 255)], limit=LIMIT, on_error=on_error
    ),
    "lines": lambda on_error: Lines(LIMIT, on_error=on_error),
    "lengths": lambda on_error: LengthPrefixed(4, limit=LIMIT + 4, on_error=on_error),
    "varints": lambda on_error: VarintPrefixed(LIMIT, on_error=on_error),
    "fixed": lambda on_error: FixedLength(LIMIT),
}


def at_once(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    yield b"".join(chunks)


def one_by_one_where_it_matters(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Yield single bytes at the front, and about the limit and twice the limit."""
    data = b"".join(chunks)
    single = [k for middle in (0, LIMIT, 2 * LIMIT) for k in range(max(0, middle - 50), middle + 50)]
    return (data[start:stop] for start, stop in pairwise([*single, len(data)]))


def at_random(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    chance = random.Random(15)
    for data in at_once(chunks):
        at = 0
        while at < len(data):
            size = chance.choice([0, 1, 2, 3, 100, 2000])
            yield data[at : at + size]
            at += size


CUTS: Final[dict[str, Callable[[Iterable[Chunk]], Iterable[Chunk]]]] = {
    "as it comes": lambda chunks: chunks,
    "at once": at_once,
    "one by one where it matters": one_by_one_where_it_matters,
    "at random": at_random,
}


def enough(stream: HostileStream) -> int:
    """Fewer of what is slow to make."""
    return 2000 if "each large chunk" in stream.name else N


def meets(framer: Framer, chunks: Iterable[Chunk]) -> tuple[list[bytes], str, int, int]:
    """Feed all, and return the frames, the documented error, what was skipped, and what waited at most."""
    frames: list[bytes] = []
    most = 0
    try:
        for chunk in chunks:
            frames.extend(map(bytes, framer.feed(chunk)))
            most = max(most, framer.pending)
    except (FrameError, LimitExceeded) as error:
        return frames, repr(error), framer.skipped, most
    return frames, "", framer.skipped, most


@pytest.mark.parametrize("stream", HOSTILE, ids=str)
def test_a_framer_says_what_is_wrong_or_goes_on_however_it_was_cut(stream: HostileStream) -> None:
    for name, make in FRAMERS.items():
        for on_error in ("raise", "skip"):
            told = set()
            for how, cut in CUTS.items():
                frames, error, skipped, most = meets(make(on_error), cut(stream.make(enough(stream))))
                assert most <= LIMIT + 255, (name, how)  # its longest separator, all but a byte
                told.add((tuple(frames), error, skipped))
            assert len(told) == 1, (name, told)


@pytest.mark.parametrize("stream", [stream for stream in HOSTILE if stream.protocol == "any"], ids=str)
def test_a_framer_keeps_no_more_memory_than_its_limit_allows(stream: HostileStream) -> None:
    n = LIMIT - 10 if IS_QUICK else N  # nobody has ever more than before he is refused
    waste = 2 * BLOCK if "large chunk" in stream.name else 0  # the last two parts
    for name in ("delimited", "lengths"):

        def flood(name: str = name) -> object:
            framer = FRAMERS[name]("skip")
            meets(framer, stream.make(min(n, enough(stream))))
            return framer

        most = 2 * LIMIT + PAGE + waste
        framer, kept = kept_by(flood, most)
        assert framer is not None
        assert kept <= most, name
