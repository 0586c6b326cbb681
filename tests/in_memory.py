"""Folders in memory, where there are such, for tests that make and remove thousands of small files.

A disk takes some milliseconds to remove a file, or to be told to keep one, which is most of what they would take.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["FOLDERS", "path_in_memory"]

_ROOM: Final = 1 << 30
"""Bytes that are free where they are. A container may have a sixteenth of that, and who fills it by a map is killed."""


def _folders(place: str = "/dev/shm") -> str | None:
    return place if os.access(place, os.W_OK) and shutil.disk_usage(place).free > _ROOM else None


FOLDERS: Final = _folders()
"""Where they are; None is where all temporary files are."""


@pytest.fixture(name="tmp_path")
def path_in_memory() -> Iterator[Path]:
    """Instead of pytest's `tmp_path`, in modules that import this."""
    with tempfile.TemporaryDirectory(dir=FOLDERS) as folder:
        yield Path(folder)
