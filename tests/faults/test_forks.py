"""Forks: what a child does with its copy of a buffer, a pool or an outbox, its parent never sees."""

from __future__ import annotations

from ..children import run_child
from .disturbed_trials import told_of
from .forking import CASES


def test_a_child_uses_its_copy_and_the_parent_its_own() -> None:
    assert set(told_of("forks").values()) == {"forked"}


def test_a_fork_in_the_middle_of_things_leaves_both_whole() -> None:
    child = run_child("tests.faults.forking", *CASES)
    assert (child.status, child.output.splitlines(), child.errors) == (0, list(CASES), "")
