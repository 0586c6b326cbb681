"""A disk that is full: an error, and nothing that was promised is lost."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ..small_disk import on_small_disk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.needs("unshare", "mount")
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    fill = [sys.executable, "-m", "tests.rocketmq.filler", str(tmp_path / "data")]
    command = [*on_small_disk(tmp_path, 400), *fill]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.removeprefix("full after ")) > 10
