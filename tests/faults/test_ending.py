"""The end of the interpreter, with maps, leases, servers and half-fed framers alive: silent, and with status 0."""

from __future__ import annotations

import pytest

from ..children import run_child
from .ending import CASES


@pytest.mark.parametrize("case", CASES)
def test_the_end_of_the_interpreter_is_silent(case: str) -> None:
    child = run_child("tests.faults.ending", case)
    assert (child.status, child.errors) == (0, "")
    assert child.output == "used" * case.startswith("used") or case == "kept by sys"
