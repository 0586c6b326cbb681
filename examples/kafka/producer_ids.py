"""Ids for idempotent producers, never the same twice, whatever happens to the broker.

The file holds the first id that is not reserved. A thousand are reserved at a time, as Kafka does; those that a kill
leaves unused are lost, which does not matter: there are 2^63.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from .durable import replace

__all__ = ["ProducerIds"]

BLOCK: Final = 1000


@final
class ProducerIds:
    """Gives ids, from a file that remembers which have been given."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = self._reserved = int(path.read_text()) if path.exists() else 0

    def take(self) -> int:
        """Give an id.

        Raises:
            OSError: the file cannot be written. No id was given.
        """
        if self._next == self._reserved:
            replace(self._path, b"%d" % (self._reserved + BLOCK))
            self._reserved += BLOCK
        self._next += 1
        return self._next - 1
