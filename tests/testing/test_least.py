"""The smallest example that fails is found, with the error that it raised, as it was raised."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from bytebufs.testing.least import least_failing


def test_the_least_is_found_with_its_error() -> None:
    def run(number: int) -> None:
        if number >= 17:
            error = KeyError(number)
            error.add_note("mine")
            raise error

    failed = least_failing(st.integers(0, 10_000), run, max_examples=200, random_seed=0)
    assert failed is not None
    number, error = failed
    assert number == 17
    assert error.args == (17,)
    assert error.__notes__ == ["mine"]


def test_nothing_is_found_where_nothing_fails() -> None:
    seen: list[int] = []
    assert least_failing(st.integers(), seen.append, max_examples=20, random_seed=0) is None
    assert len(seen) == 20


def test_the_same_is_drawn_each_time_and_something_else_by_another_seed() -> None:
    drawn: list[list[int]] = [[], [], []]
    for seen, seed in zip(drawn, [1, 1, 2], strict=True):
        least_failing(st.integers(), seen.append, max_examples=20, random_seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_error_of_hypothesis_own_goes_on() -> None:
    with pytest.raises(Exception, match="empty"):
        least_failing(st.nothing(), lambda _: None, max_examples=20, random_seed=0)
