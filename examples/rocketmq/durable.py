"""A small table that survives: a file of JSON, written anew as a whole beside the old one, and put in its place.

What a crash leaves is the old table or the new one, never a part of one: the new file is on the disk before it gets the
name, and the name is, before anybody is told.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

__all__ = ["load", "save"]


def load(path: Path) -> dict[str, Any]:
    """Read the table: empty, if there never was one. Raises ValueError if the file is none, TypeError if no table.

    Nothing is touched, the next table neither, which a broker may be writing: what a crash left of one is overwritten.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{path} is not what was written there")
    return value


def save(path: Path, text: str) -> None:
    """Replace the table by what ``json.dumps`` made of the new one."""
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
