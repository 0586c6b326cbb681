"""What of a buffer goes into a pickle, and into a deep copy: part by part, each only as far as it is shown.

    protocol    a part goes as                     what this library copies
    5           a PickleBuffer over its memory     nothing
    0 to 4      bytes                              what is not a whole bytes object ("pickle")

What becomes of a PickleBuffer is for the pickler to say. With a ``buffer_callback`` it is handed out and no byte is
touched. Without one pickle writes the bytes into its own stream, which is what was asked for: as with ``flush``, what
leaves the process is not counted.
"""

from __future__ import annotations

from operator import index
from typing import TYPE_CHECKING, Final, SupportsIndex

from .audit import count_copy
from .parts import Entry, Memory, is_writable, join, memory_view

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pickle import PickleBuffer

__all__ = ["own", "pickled"]

_OUT_OF_BAND: Final = 5
"""The first protocol that has buffers (PEP 574)."""


def pickled(entries: Iterable[Entry], protocol: SupportsIndex) -> list[bytes] | list[PickleBuffer]:
    """Return what stands for entries in a pickle. Raises TruncatedFile before anything is copied.

    Copies: below protocol 5 all but whole bytes objects ("pickle").
    """
    pieces = [_whole(entry) for entry in entries]
    if index(protocol) < _OUT_OF_BAND:
        return [join("pickle", [piece]) for piece in pieces]
    # Here, and not above: whoever pickles has loaded it.
    from pickle import PickleBuffer

    return [PickleBuffer(piece) for piece in pieces]


def own(entry: Entry) -> bytes | bytearray | memoryview:
    """Return a part with the bytes of an entry that nobody else can change, writable if the entry is.

    Copies: what is not ``bytes`` ("pickle").
    """
    piece = _whole(entry)
    if isinstance(piece, bytes) or isinstance(piece.obj, bytes):
        return piece
    if not is_writable(entry):
        return join("pickle", [piece])
    count_copy("pickle", len(piece))
    return bytearray(piece)


def _whole(entry: Entry) -> bytes | memoryview:
    """Return the bytes of an entry. Raises TruncatedFile if they lie in a file that now ends before them."""
    if isinstance(entry, bytes):
        return entry
    owner = entry.owner
    if isinstance(owner, Memory) and owner.guard is not None:
        owner.guard(entry.stop)
    return memory_view(entry)
