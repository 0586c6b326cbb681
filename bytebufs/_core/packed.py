"""Numbers as the bytes that a message has for them. What does not fit is a ValueError, before anything moves."""

from __future__ import annotations

from operator import index
from struct import Struct
from typing import Final, Literal, SupportsFloat, SupportsIndex, TypeAlias

from .parts import shown

__all__ = ["Real", "packed_float", "packed_int", "packed_uint", "packed_varint"]

Real: TypeAlias = "SupportsFloat | SupportsIndex"
"""What struct takes for a float."""

_F32: Final = {"big": Struct(">f").pack, "little": Struct("<f").pack}
_F64: Final = {"big": Struct(">d").pack, "little": Struct("<d").pack}


def packed_uint(value: SupportsIndex, size: int, byteorder: Literal["big", "little"]) -> bytes:
    """Return an unsigned number in ``size`` bytes."""
    number = value if isinstance(value, int) else index(value)
    if number < 0 or number.bit_length() > 8 * size:
        raise ValueError(f"{number} is not an unsigned number of {size} bytes")
    return number.to_bytes(size, byteorder)


def packed_int(value: SupportsIndex, size: int, byteorder: Literal["big", "little"]) -> bytes:
    """Return a signed number in ``size`` bytes, at least one: two's complement."""
    number = value if isinstance(value, int) else index(value)
    if (number if number >= 0 else ~number).bit_length() >= 8 * size:
        raise ValueError(f"{number} is not a signed number of {size} bytes")
    return number.to_bytes(size, byteorder, signed=True)


def packed_float(value: Real, size: int, byteorder: Literal["big", "little"]) -> bytes:
    """Return an IEEE 754 number in 4 or 8 bytes, of 4 the nearest one. TypeError for what is no number."""
    if not isinstance(value, float) and not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise TypeError(f"a number is wanted, not {shown(value)}")
    reason = ""
    try:
        number = float(value)
        return _F32[byteorder](number) if size == 4 else _F64[byteorder](number)
    except OverflowError as error:
        reason = str(error)
    # Not in an except block: mypyc knows no `from None`.
    raise ValueError(f"{shown(value)} does not fit into {8 * size} bits: {reason}")


def packed_varint(value: SupportsIndex) -> bytes:
    """Return an unsigned LEB128 number of at most 64 bits, as short as it can be."""
    number = index(value)
    if not 0 <= number < 1 << 64:
        raise ValueError(f"a varint is an unsigned number of at most 64 bits, not {number}")
    groups = 0
    size = 0
    while number > 0x7F:
        groups |= (number & 0x7F | 0x80) << size
        number >>= 7
        size += 8
    return (groups | number << size).to_bytes(size // 8 + 1, "little")
