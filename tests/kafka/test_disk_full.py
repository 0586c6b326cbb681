"""A full disk: appending says so, nothing is lost that was said to be there, and with room again the log goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..forked import run_program
from ..small_disk import on_small_disk

FILLER = "tests.kafka.disk_filler"


@pytest.mark.parametrize("limit", [65_536, 100_001])
def test_a_file_that_may_not_grow(tmp_path: Path, limit: int) -> None:
    assert run_program(FILLER, str(tmp_path), str(limit)) == (0, "EFBIG\n", "")


@pytest.mark.needs("unshare", "mount")
@pytest.mark.parametrize("kib", [600, 900])
def test_a_full_disk(tmp_path: Path, kib: int) -> None:
    command = [*on_small_disk(tmp_path, kib), sys.executable, "-m", FILLER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "ENOSPC\n"
