"""Unsigned numbers out of bytes, at the speed of the build that runs.

Compiled, four indexes and shifts cost 4 ns, a call of ``struct`` or ``int.from_bytes`` 60 to 130; interpreted it is
the other way round. So whoever decodes a number once a frame or a field asks ``COMPILED`` which way to go.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mypy_extensions import i64

__all__ = ["COMPILED", "uint", "uint_in"]


_TWO_TO_64: Final = 1 << 64


def _by_hand(data: bytes, start: i64, stop: i64, *, little: bool) -> i64:
    """Return the number in at most 8 bytes; of 8, with the highest bit as its sign."""
    value: i64 = 0
    if little:
        while stop > start:
            stop -= 1
            value = value << 8 | data[stop]
    else:
        while start < stop:
            value = value << 8 | data[start]
            start += 1
    return value


COMPILED: Final = not hasattr(_by_hand, "__code__")
"""Whether this module, and with it all that matter for speed, was compiled when the package was installed."""


def uint(data: bytes, at: i64, size: i64, *, little: bool) -> int:
    """Return the unsigned number in ``size`` bytes, at most 8, from index ``at`` on, which must be there."""
    if not COMPILED:
        return int.from_bytes(data[at : at + size], "little" if little else "big")
    signed = _by_hand(data, at, at + size, little=little)
    number: int = signed
    return number if signed >= 0 else number + _TWO_TO_64


def _unpackers(order: str) -> list[Any]:
    """Return what unpacks a number, by its size; None where ``struct`` knows none of that size."""
    codes = {1: "B", 2: "H", 4: "I", 8: "Q"}
    return [Struct(order + codes[size]).unpack_from if size in codes else None for size in range(9)]


_BIG: Final = _unpackers(">")
_LITTLE: Final = _unpackers("<")


def uint_in(view: memoryview, at: int, size: int, *, little: bool) -> int:
    """As ``uint()``, in memory that is not bytes, of which no copy is made first."""
    unpack = (_LITTLE if little else _BIG)[size]
    if unpack is None:
        return int.from_bytes(view[at : at + size], "little" if little else "big")
    number: int = unpack(view, at)[0]
    return number
