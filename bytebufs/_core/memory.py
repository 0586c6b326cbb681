"""Where memory lies, and comparing and searching it there: what memoryview does not tell, and does only slowly.

Compiled, a small file of C does it, else ``foreign``, by ctypes. Both have the same names and answers. A place,
which ``place_of()`` tells once and for all, is what the others take for memory; a ``bytes`` object is its own.
"""

from __future__ import annotations

from typing import Final

from .foreign import Place

try:
    from ._native import address_of, exported, find, has_buffer, is_flat, offset_in, place_of, rfind, same
except ImportError:
    from .foreign import address_of, exported, find, has_buffer, is_flat, offset_in, place_of, rfind, same

__all__ = [
    "NATIVE",
    "Place",
    "address_of",
    "exported",
    "find",
    "has_buffer",
    "is_flat",
    "offset_in",
    "place_of",
    "rfind",
    "same",
]

NATIVE: Final = find.__module__ != "bytebufs._core.foreign"
"""Whether it is the C that does it: then to search memory where it lies costs less than anything else."""
