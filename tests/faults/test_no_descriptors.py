"""Calls without a descriptor to be had. (What a server does that cannot accept is in `tests.aio.test_serving`.)"""

from __future__ import annotations

from ..children import run_child


def test_what_needs_a_descriptor_is_refused_and_works_again() -> None:
    child = run_child("tests.faults.starved_descriptors")
    assert (child.status, child.errors) == (0, "")
