"""A disk that is full: an error, and nothing that was promised is lost."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.needs("unshare", "mount")
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    disk = shlex.quote(str(tmp_path))
    fill = shlex.join([sys.executable, "-m", "tests.rocketmq.filler", str(tmp_path / "data")])
    apart = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    done = subprocess.run(
        [*apart, "sh", "-c", f"mount -t tmpfs -o size=400k none {disk} && exec {fill}"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.removeprefix("full after ")) > 10
