"""A disk without room: the error counts what went, and once there is room, the rest follows once."""

from __future__ import annotations

from pathlib import Path

from ..children import run_child
from ..small_disk import on_small_disk
from .disk_filler import WAYS


def test_what_went_before_a_disk_was_full_is_told_and_the_rest_follows(tmp_path: Path) -> None:
    child = run_child("tests.faults.disk_filler", str(tmp_path), under=on_small_disk(tmp_path, 1024))
    assert (child.status, child.output.splitlines(), child.errors) == (0, list(WAYS), "")
