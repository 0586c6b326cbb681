"""Children: programs of the tests that may crash, run where what is tested is imported from where it is here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import bytebufs

from .sinks import PATIENCE

HERE: Final = Path(__file__).parent.parent


class Child(NamedTuple):
    """How a child ended, and what it said."""

    status: int
    output: str
    errors: str


def run_child(
    module: str, *arguments: str, patience: float = 10 * PATIENCE, under: Sequence[str] = (), **environment: str
) -> Child:
    """Run a module of the tests to its end. A status below zero is the signal that killed it.

    `under` is the beginning of a command that runs the rest of it.
    """
    paths = [str(Path(bytebufs.__file__).parent.parent), str(HERE)]
    ended = subprocess.run(
        [*under, sys.executable, "-P", "-W", "error", "-m", module, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"} | environment,
        cwd=HERE,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=patience,
        check=False,
    )
    return Child(ended.returncode, ended.stdout, ended.stderr)
