"""Threads that share by mistake what belongs to one of them get errors, never a crash; a slice may be shared.

`BYTEBUFS_THREAD_SECONDS` says how long each test takes, if half a second (beyond the profile `quick` two) is too short.
"""

from __future__ import annotations

import os
from typing import Final

import pytest

from .children import run_child
from .conftest import IS_QUICK
from .sinks import PATIENCE

SECONDS: Final = float(os.environ.get("BYTEBUFS_THREAD_SECONDS", "0.5" if IS_QUICK else "2"))


@pytest.mark.parametrize("seed", [0, 1])
def test_threads_that_share_by_mistake_get_errors_and_slices_are_right(seed: int) -> None:
    child = run_child("tests.misused", str(SECONDS), str(seed), patience=SECONDS + PATIENCE)
    assert child.status == 0, child.errors[-3000:]
    assert not child.errors, child.errors[-3000:]
    last = child.output.splitlines()[-1].split()
    assert last[2:] == ["WRONG", "0"], child.output[-3000:]
    assert int(last[1]) > 100
