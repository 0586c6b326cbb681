"""Operations that want more memory than the process may have: RLIMIT_AS, so that it is the system that refuses.

Where one allocation after the other fails, small ones too, is `tests.test_no_memory`; here they are as large as data.
"""

from __future__ import annotations

import pytest

from ..children import run_child
from .disturbed_trials import told_of

MAPS = {"FileRegion", "MappedFile"}
"""What tells of missing memory as the system does: OSError, with ENOMEM."""


def test_an_operation_without_memory_is_as_before_and_goes_on() -> None:
    told = told_of("memory")
    for name, line in told.items():
        if line != "needs none":
            assert line.startswith("OSError(12, " if name in MAPS else "MemoryError("), (name, line)
    assert len({*told.values()} - {"needs none"}) > 0


@pytest.mark.parametrize("who", ["server", "client"])
def test_a_stream_without_memory_fails_alone(who: str) -> None:
    child = run_child("tests.faults.starved_streams", who)
    assert (child.status, child.errors) == (0, "")
