"""check_buffer finds each mutant of a correct buffer, in few bytes and parts, and says what is wrong with it."""

from __future__ import annotations

import pytest

from bytebufs.testing import CHECKS, check_buffer

from ..conftest import IS_QUICK
from .mutants import MUTANTS, BlindAtSeams, Wrapped, failure, make


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught_in_few_bytes_and_parts(mutant: type[Wrapped]) -> None:
    found = failure(mutant)
    assert found.check == MUTANTS[mutant]
    assert len(found.data) <= 8
    assert make(Wrapped, found.data).part_count <= 4


def test_every_check_catches_a_mutant() -> None:
    assert set(MUTANTS.values()) == set(CHECKS)


def test_a_wrapped_buffer_passes_all() -> None:
    check_buffer(lambda data: make(Wrapped, data), max_examples=5 if IS_QUICK else 50)


def test_a_failure_says_what_was_asked_of_which_bytes() -> None:
    found = failure(BlindAtSeams)
    assert (found.data, found.found, found.wanted) == (b"aab", -1, 1)
    assert str(found).splitlines()[:4] == [
        "searching: the buffer does not answer as bytes do",
        "data       b'aab'",
        f"asked      {found.call}",
        "came       -1",
    ]
    assert found.layout in str(found)
    assert "3 bytes in 2 parts" in found.layout
