"""Another process that opens a data directory, and says whether it may."""

from __future__ import annotations

import sys
from pathlib import Path

from examples.kafka.store import Store, StoreLockedError

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Open a data directory, and close it."""
    [data] = arguments
    try:
        Store(Path(data)).close()
    except StoreLockedError:
        sys.stdout.write("locked")
    else:
        sys.stdout.write("open")
