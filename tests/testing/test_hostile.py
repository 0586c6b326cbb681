"""The list of hostile streams: its sizes, and what they are made of."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import FrozenInstanceError
from itertools import islice
from typing import Final

import pytest

from bytebufs.testing import HOSTILE, HostileStream

BLOCK: Final = 65536
MOST_EMPTY: Final = 3  # for each byte


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
