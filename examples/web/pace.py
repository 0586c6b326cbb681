"""How fast a client must take an answer: fast enough not to hold a connection for ever, at no time without a pause."""

from __future__ import annotations

from typing import Final, final

__all__ = ["Pace"]


@final
class Pace:
    """Counts what a client takes from one look to the next; between them goes a fixed time.

    1. From look to look it takes ``least`` bytes. A lower bound of one byte would not do: who takes just that keeps
       a connection, and a file, for as long as he likes.
    2. What it takes beyond that counts for the next look, up to ``least``, and it begins with that. For what is seen
       is what the client's *system* has taken: a buffer full at once, and then nothing until the program has read much
       of it.

    So a steady reader is kept, if it reads ``least`` from look to look, and what it reads in two of them is ``least``
    more than its system buffers. Who takes nothing more is cut off at one of the next three looks.
    """

    def __init__(self, least: int, taken: int) -> None:
        """Begin: ``taken`` is what the client has taken by now, since whenever."""
        self._least: Final = max(1, least)
        self._taken = taken
        self._saved = self._least

    def is_kept(self, taken: int) -> bool:
        """Look: tell whether the client has taken enough, now that it has taken so much."""
        self._saved += taken - self._taken - self._least
        self._taken = taken
        if self._saved < 0:
            return False
        self._saved = min(self._saved, self._least)
        return True
