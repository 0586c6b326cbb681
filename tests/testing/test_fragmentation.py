"""check_fragmentation: right parsers pass, wrong ones fail with the smallest input and cut."""

from __future__ import annotations

import pytest

from bytebufs import Lines
from bytebufs.testing import DependsOnCuts, check_fragmentation


def test_a_framer_passes() -> None:
    outcome = check_fragmentation(lambda: Lines(limit=8), b"one\r\ntwo\nth")
    assert outcome.results == [b"one", b"two"]
    assert outcome.taken == 9
    assert outcome.remainder == b"th"


def test_a_parser_without_memory_fails() -> None:
    with pytest.raises(DependsOnCuts) as caught:
        check_fragmentation(lambda: bytes.split, b"one two")
    assert caught.value.pieces == (b"a", b"a")
