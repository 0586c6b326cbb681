"""Running the trials under one kind of fault, in a child."""

from __future__ import annotations

from ..children import run_child
from ..conftest import IS_QUICK, SHIFT
from .trials import TRIALS

__all__ = ["told_of"]


def told_of(kind: str) -> dict[str, str]:
    """Return what became of each trial, one line each; of every fifth in the quick profile. Fails if one has lost."""
    names = list(TRIALS)[SHIFT % 5 :: 5] if IS_QUICK else list(TRIALS)
    # Else memory that was given back once is kept for the next one, and not missed.
    child = run_child("tests.faults.disturbing", kind, *names, MALLOC_MMAP_THRESHOLD_="65536")
    assert (child.status, child.errors) == (0, ""), child
    told = dict(line.split(": ", 1) for line in child.output.splitlines())
    assert list(told) == names
    assert not [line for line in child.output.splitlines() if ": FAIL" in line], child.output
    return told
