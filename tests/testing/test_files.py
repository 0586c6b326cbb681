"""A file shrinks when it is told, or when it is read for the n-th time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bytebufs import FileRegion, TruncatedFile, flush
from bytebufs.testing import FakeSocket, ShrinkingFile


def read_into(file: ShrinkingFile) -> bytes:
    room = bytearray(100)
    return bytes(room[: file.readinto(room)])


READS: list[Callable[[ShrinkingFile], bytes]] = [
    read_into,
    lambda file: file.read(100),
    lambda file: file.read(),
    lambda file: file.read(None),
    lambda file: file.readall(),
]


@pytest.mark.parametrize("read", READS, ids=["readinto", "read some", "read", "read None", "readall"])
def test_it_shrinks_at_the_nth_read(read: Callable[[ShrinkingFile], bytes]) -> None:
    with ShrinkingFile(b"hello, world", to=8, at_read=3) as file:
        for _ in range(2):
            assert file.read(2) in (b"he", b"ll")
        assert read(file) == b"o, w"
        file.seek(0)
        assert read(file) == b"hello, w"


def test_it_shrinks_while_it_is_sent() -> None:
    with ShrinkingFile(b"a" * 100_000, to=10) as file:
        region = FileRegion(file.fileno())
        sock = FakeSocket(send=[1000, file.shrink])
        with pytest.raises(TruncatedFile):
            flush(region, sock)
        assert 1000 <= len(sock.sent) < 100_000


def test_it_stays_as_it_is_until_told() -> None:
    with ShrinkingFile(b"hello", to=0) as file:
        assert file.read() == b"hello"
        file.shrink()
        file.seek(0)
        assert file.read() == b""


@pytest.mark.parametrize(("to", "at_read"), [(6, None), (-1, None), (1, 0)], ids=["longer", "negative", "never"])
def test_a_file_that_would_not_shrink_is_refused(to: int, at_read: int | None) -> None:
    with pytest.raises(ValueError, match=f"does not shrink to {to} at read {at_read}"):
        ShrinkingFile(b"hello", to=to, at_read=at_read)
