"""Folders in memory, where there are such, for tests that make and remove thousands of small files.

A disk takes some milliseconds to remove a file, or to be told to keep one, which is most of what they would take.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["FOLDERS", "path_in_memory"]

FOLDERS: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where they are; None is where all temporary files are."""


@pytest.fixture(name="tmp_path")
def path_in_memory() -> Iterator[Path]:
    """Instead of pytest's `tmp_path`, in modules that import this."""
    with tempfile.TemporaryDirectory(dir=FOLDERS) as folder:
        yield Path(folder)
