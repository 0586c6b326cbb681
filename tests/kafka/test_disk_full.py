"""A full disk: appending says so, nothing is lost that was said to be there, and with room again the log goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..conftest import do_without

FILL = [sys.executable, "-m", "tests.kafka.disk_filler"]


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.strip()


@pytest.mark.parametrize("limit", [65_536, 100_001])
def test_a_file_that_may_not_grow(tmp_path: Path, limit: int) -> None:
    assert run(*FILL, str(tmp_path), str(limit)) == "EFBIG"


@pytest.mark.needs("unshare", "mount")
@pytest.mark.parametrize("kib", [600, 900])
def test_a_full_disk(tmp_path: Path, kib: int) -> None:
    """The disk is a piece of memory, mounted where nobody else sees it; it is gone with the process."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if subprocess.run(
        [*alone, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, check=False
    ).returncode:
        do_without("nothing may be mounted here, not even in a namespace of its own")
    mount = f'mount -t tmpfs -o size={kib}k none "$0" && exec "$@"'
    assert run(*alone, "sh", "-c", mount, str(tmp_path), *FILL, str(tmp_path)) == "ENOSPC"
