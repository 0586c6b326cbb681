"""check_buffer finds each mutant of a correct buffer, in few bytes and parts, and says what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer
from bytebufs.testing import CHECKS, DiffersFromBytes, check_buffer

from ..conftest import IS_QUICK
from .mutants import MUTANTS, ForgetsATail, Wrapped, failure, make


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_caught_in_few_bytes_and_parts(mutant: type[Wrapped]) -> None:
    found = failure(mutant)
    assert found.check == MUTANTS[mutant]
    assert len(found.data) <= 8
    assert make(Wrapped, found.data).part_count <= 4


def test_every_check_catches_a_mutant() -> None:
    assert set(MUTANTS.values()) == set(CHECKS)


def test_a_wrapped_buffer_passes_all() -> None:
    check_buffer(lambda data: make(Wrapped, data), max_examples=3 if IS_QUICK else 30)


@pytest.mark.parametrize("name", ["BlindAtSeams", "ReadsText", "UnpacksTheOtherWay"])
def test_the_examples_that_are_drawn_unless_told_otherwise_are_enough(name: str) -> None:
    mutant = next(mutant for mutant in MUTANTS if mutant.__name__ == name)
    with pytest.raises(DiffersFromBytes):
        check_buffer(lambda data: make(mutant, data), checks=[MUTANTS[mutant]])


class FindsNothingBehindTheEighth(Wrapped):
    def find(self, *args: Any) -> int:
        found = super().find(*args)
        return found if found < 8 else -1


def test_what_is_wrong_only_of_many_bytes_is_found() -> None:
    with pytest.raises(DiffersFromBytes) as caught:
        check_buffer(lambda data: make(FindsNothingBehindTheEighth, data), checks=["searching"])
    assert len(caught.value.data) == 9


def test_a_failure_says_what_was_asked_of_which_bytes() -> None:
    found = failure(ForgetsATail)
    assert (found.data, found.found, found.wanted) == (b"aaaa", b"aaa", b"aaaa")
    assert str(found).splitlines()[:5] == [
        "copying: the buffer does not answer as bytes do",
        "data       b'aaaa'",
        "asked      b.tobytes()",
        "came       b'aaa'",
        "expected   b'aaaa'",
    ]
    assert found.layout in str(found)
    assert "4 bytes in 3 parts" in found.layout


class HasNoLayout(Wrapped):
    def layout(self) -> str:
        raise LookupError("lost")


def test_errors_of_the_buffers_own_are_failures_like_any_others() -> None:
    with pytest.raises(DiffersFromBytes) as caught:
        check_buffer(lambda data: make(HasNoLayout, data), checks=["views_and_facts"], max_examples=20)
    assert (caught.value.data, caught.value.wanted, caught.value.found) == (b"", 0, LookupError)
    assert "came       LookupError" in str(caught.value)
    assert "layout() raised LookupError('lost')" in str(caught.value)


def test_a_buffer_that_cannot_be_made_is_one_too() -> None:
    def refuse(data: bytes) -> BaseBuffer:
        if len(data) > 2:
            raise MemoryError(len(data))
        return SliceBuffer(data)

    with pytest.raises(DiffersFromBytes) as caught:
        check_buffer(SliceBuffer, refuse, checks=["a_step"], max_examples=100)
    assert (caught.value.call, len(caught.value.data)) == (None, 3)
    assert isinstance(caught.value.__cause__, MemoryError)
    assert "step       " in str(caught.value)
    assert "raised     MemoryError(3)" in str(caught.value)
    assert "layout() raised MemoryError(3)" in caught.value.layout


def test_checks_are_known_by_name() -> None:
    with pytest.raises(ValueError, match="there is no check 'nothing'; there are a_sequence_of_bytes, "):
        check_buffer(SliceBuffer, checks=["lines", "nothing"])


def test_the_same_is_drawn_each_time() -> None:
    drawn: list[list[bytes]] = [[], [], []]
    for seen, seed in zip(drawn, [1, 1, 2], strict=True):

        def noting(data: bytes, seen: list[bytes] = seen) -> CompositeBuffer:
            seen.append(data)
            return CompositeBuffer([data])

        check_buffer(noting, checks=["no_hash"], max_examples=20, random_seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]
