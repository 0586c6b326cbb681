"""A disk that is soon full: a piece of memory, mounted where nobody else sees it, and gone with the program."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from .conftest import do_without

__all__ = ["on_small_disk"]


def on_small_disk(at: Path, kib: int) -> list[str]:
    """Return what to put in front of a command that is to have such a disk in a folder."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    mount = f"mount -t tmpfs -o size={kib}k none {shlex.quote(str(at))}"
    if subprocess.run([*alone, "sh", "-c", mount], capture_output=True, check=False).returncode:
        do_without("nothing may be mounted here, not even in a namespace of its own")
    return [*alone, "sh", "-c", f'{mount} && exec "$@"', "sh"]
