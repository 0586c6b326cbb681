"""Small files that are whole or not there at all, whenever the machine stops.

A file is written beside, brought to the disk, and renamed; then the folder is brought to the disk: it keeps the name.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["new_file", "replace", "sync_folder", "write_all"]


def write_all(file: int, text: bytes) -> None:
    """Write the whole text, however little the system takes at a time."""
    done = 0
    while done < len(text):
        done += os.write(file, memoryview(text)[done:])


def new_file(path: Path, text: bytes) -> int:
    """Make a file that holds the text, on the disk too, and that appends. Its name is not on the disk yet."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        write_all(file, text)
        os.fdatasync(file)
    except OSError:
        os.close(file)
        raise
    return file


def replace(path: Path, text: bytes) -> None:
    """Have a file hold the text, or, after an error, what it held before."""
    beside = path.with_name(path.name + ".new")
    os.close(new_file(beside, text))
    beside.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the system keep the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
