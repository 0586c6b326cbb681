"""The descriptors that this process has open, for tests of what closes them."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path


def descriptors() -> set[int]:
    """Return their numbers, and that of the listing. What earlier tests have left in cycles is closed first."""
    gc.collect()
    return left_open()


def left_open() -> set[int]:
    """Return the same behind what is to have closed its own: nothing that the collector would have to close."""
    return {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208  # they are no paths


def descriptors_below(folder: Path) -> int:
    """Return how many there are of files in a folder."""
    found = 0
    for number in descriptors():
        with suppress(FileNotFoundError):  # that of the listing
            found += folder in Path(f"/proc/self/fd/{number}").readlink().parents
    return found
