"""A process that commits offsets, for a test to kill: it says each once it is committed."""

from __future__ import annotations

import sys
from pathlib import Path

from examples.kafka.offsets import Committed, OffsetLimits, Offsets

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Commit to a file until killed."""
    [path] = arguments
    offsets = Offsets(Path(path), OffsetLimits(slack=500))
    for offset in range(1 << 30):
        entries = {("t", 0): Committed(offset, -1, "", 0), ("t", 1): Committed(offset, -1, "x" * 50, 0)}
        offsets.commit("g", entries)
        sys.stdout.write(f"{offset}\n")
        sys.stdout.flush()
