"""A script says what each call does, in all the forms in which people write it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest

from bytebufs.testing import INTERRUPT, RESET, STALL, TIMEOUT, Fault, Script, until


def passed(script: Script, calls: int) -> list[int]:
    """Return how many of 10 bytes each of so many calls passes."""
    found = []
    for _ in range(calls):
        found.append(script.allow(10))
        script.passed += found[-1]
    return found


def endless() -> Iterator[int]:
    yield from cycle([3, 4])


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (None, [10, 10, 10]),
        (3, [3, 3, 3]),
        (30, [10, 10, 10]),
        (0, [0, 0, 0]),
        ([1, None, 2], [1, 10, 2, 10]),
        (endless(), [3, 4, 3]),
        (lambda passed: passed + 1, [1, 2, 4, 8]),
        (until(5, 0), [5, 0, 0]),
        (until(5, 0, each=2), [2, 2, 1, 0]),
    ],
    ids=["all", "few", "many", "none", "in turn", "endless", "by what has passed", "until", "until, in steps"],
)
def test_numbers_are_bytes_at_most(steps: Any, wanted: list[int]) -> None:
    script = Script(steps)
    assert passed(script, len(wanted)) == wanted
    assert (script.calls, script.passed) == (len(wanted), sum(wanted))


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (STALL, BlockingIOError),
        (RESET, ConnectionResetError),
        (INTERRUPT, InterruptedError),
        (TIMEOUT, TimeoutError),
        (KeyError("mine"), KeyError),
        (KeyboardInterrupt, KeyboardInterrupt),
    ],
    ids=["STALL", "RESET", "INTERRUPT", "TIMEOUT", "an exception", "its class"],
)
def test_faults_are_raised(step: Any, error: type[BaseException]) -> None:
    for steps, before in ((step, 0), ([2, step], 2), (until(2, step), 2)):
        script = Script(steps)
        with pytest.raises(error):
            passed(script, 2)
        assert script.passed == before


def test_each_fault_is_a_new_exception() -> None:
    assert repr(RESET) == "RESET"
    assert isinstance(RESET, Fault)
    assert RESET.error() is not RESET.error()


def test_something_may_happen_between_two_calls() -> None:
    seen: list[str] = []
    script = Script([1, lambda: seen.append("now"), lambda: seen.append("and"), 2])
    assert passed(script, 1) == [1]
    assert seen == []
    assert passed(script, 1) == [2]
    assert seen == ["now", "and"]


@pytest.mark.parametrize("step", [-1, "3", 1.5], ids=repr)
def test_other_steps_are_refused(step: Any) -> None:
    with pytest.raises(ValueError, match="a step is a number of bytes"):
        Script([step]).allow(10)
