"""What is known of a log's segments that are on the disk, so that opening them again need not go through them.

Segments only grow. So a file that has the very size that it had then is what it was, and stays vouched for after any
crash; one of another size is gone through from its beginning.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .durable import replace
from .segment import Segment, Vouched

__all__ = ["read_checkpoint", "write_checkpoint"]

_NAME: Final = "checkpoint"


def write_checkpoint(folder: Path, segments: Iterable[Segment]) -> None:
    """Vouch for segments. Raises OSError; then those are vouched for that were before."""
    text = json.dumps({segment.base: segment.vouch() for segment in segments})
    replace(folder / _NAME, f"{zlib.crc32(text.encode())}\n{text}".encode())


def read_checkpoint(folder: Path) -> dict[int, Vouched]:
    """Return what is vouched for, by the offsets that segments begin at: nothing, if it is no checkpoint."""
    try:
        check, text = (folder / _NAME).read_text("utf-8").split("\n", 1)
        if int(check) != zlib.crc32(text.encode()):
            return {}
        return {int(base): Vouched(*facts) for base, facts in json.loads(text).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
