"""Memory of our own making that has to be told from everybody else's: maps, and places that are filled later.

Both stay interpreted: a native class cannot derive from these builtins.
"""

from __future__ import annotations

import mmap

__all__ = ["Map", "Reserved"]


class Map(mmap.mmap):
    """A map that this library made, and that therefore knows what it shows.

    ``file`` is the device, the inode, and the place in the file of the map's first byte; None where no file lies below,
    so that nothing else shows this memory. What is written to a ``is_private`` map never reaches its file.
    """

    __slots__ = ("file", "is_private")

    file: tuple[int, int, int] | None
    is_private: bool


class Reserved(bytearray):
    """Bytes that somebody may fill later, through a view that he was given.

    The mark lies with the bytes, not with those who show them: whoever makes a part of a view of them meets it, too.
    """

    __slots__ = ()
