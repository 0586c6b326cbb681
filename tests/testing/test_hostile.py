"""The list of hostile streams: its sizes, and that every framer meets every stream within its limit, however cut."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import FrozenInstanceError
from itertools import islice, pairwise
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
MOST_EMPTY: Final = 3  # for each byte

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


def named(name: str) -> HostileStream:
    [stream] = [stream for stream in HOSTILE if stream.name == name]
    return stream


# -- the list ------------------------------------------------------------------------------------------------


def test_each_has_a_name_of_its_own_and_says_what_it_tries() -> None:
    assert len({stream.name for stream in HOSTILE}) == len(HOSTILE)
    assert [str(stream) for stream in HOSTILE] == [stream.name for stream in HOSTILE]
    assert all(stream.tries and stream.protocol for stream in HOSTILE)
    protocols = list(dict.fromkeys(stream.protocol for stream in HOSTILE))
    assert [stream.protocol for stream in HOSTILE] == sorted(
        (stream.protocol for stream in HOSTILE), key=protocols.index
    )


@pytest.mark.parametrize("n", [0, 1, 5, 100, 5000])
def test_each_has_as_many_bytes_as_are_asked_for(n: int) -> None:
    for stream in HOSTILE:
        chunks = list(stream.make(n))
        assert sum(map(len, chunks)) == n, stream
        assert len(chunks) <= (MOST_EMPTY + 1) * n, stream


def test_each_goes_on_without_end() -> None:
    for stream in HOSTILE:
        assert len(list(islice(stream.pieces(), 300))) == 300, stream


def test_each_is_the_same_again_with_memory_of_its_own() -> None:
    for stream in HOSTILE:
        first, second = list(stream.make(3000)), list(stream.make(3000))
        assert first == second, stream
        assert not any(this is that for this, that in zip(first, second) if not isinstance(this, bytes)), (
            f"who writes to a chunk of {stream} writes to that of the next one"
        )


def test_a_shorter_one_is_the_beginning_of_a_longer_one() -> None:
    for stream in HOSTILE:
        assert b"".join(stream.make(3000)).startswith(b"".join(stream.make(777))), stream


def test_one_that_ends_is_refused_where_it_does() -> None:
    short = HostileStream("short", "nothing", "any", lambda: iter([b"ab", b"c"]))
    assert list(short.make(3)) == [b"ab", b"c"]
    chunks = short.make(5)
    assert [next(chunks), next(chunks)] == [b"ab", b"c"]
    with pytest.raises(ValueError, match="'short' ends 2 bytes before 5"):
        next(chunks)


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        HOSTILE[0].name = "other"  # type: ignore[misc]


def test_what_is_to_unfold_does() -> None:
    data = b"".join(named("a bomb").make(20_000))
    inflated = zlib.decompressobj(31).decompress(data)
    assert len(inflated) > 500 * len(data)
    assert not inflated.strip(b"\0")
    request = b"".join(named("a body that unfolds").make(20_000))
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.endswith(b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked")
    pieces = []
    while len(body) > 2000:
        size, _, body = body.partition(b"\r\n")
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    with pytest.raises(EOFError, match="ended before"):
        gzip.decompress(b"".join(pieces))
    assert len(zlib.decompressobj(31).decompress(b"".join(pieces))) > 10_000_000


def test_large_chunks_are_kept_by_a_byte() -> None:
    chunk = next(named("a byte of each large chunk").make(1))
    assert isinstance(chunk, memoryview)
    assert (len(chunk), len(chunk.obj)) == (1, BLOCK)  # type: ignore[arg-type]  # a bytearray


# -- our framers ---------------------------------------------------------------------------------------------


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

        framer, kept = kept_by(flood)
        assert framer is not None
        assert kept <= 2 * LIMIT + PAGE + waste, name
