"""bytebufs/_core/packed.py: numbers as struct and int write them, and what does not fit."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any, Final, Literal

import numpy as np
import pytest
from google.protobuf.internal import encoder
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs._core.packed import packed_float, packed_int, packed_uint, packed_varint

ORDERS: Final[tuple[Literal["big"], Literal["little"]]] = ("big", "little")
MARKS: Final = {"big": ">", "little": "<"}


@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("size", range(1, 10))
def test_whole_numbers_are_written_as_int_does_or_refused(size: int, byteorder: Literal["big", "little"]) -> None:
    bits = 8 * size
    for near in (0, 1, 1 << bits - 1, 1 << bits, -1, -(1 << bits - 1), -(1 << bits), 1 << 200, -(1 << 200)):
        for number in range(near - 2, near + 3):
            if 0 <= number < 1 << bits:
                assert packed_uint(number, size, byteorder) == number.to_bytes(size, byteorder)
            else:
                with pytest.raises(ValueError, match=f"{number} is not an unsigned number of {size} bytes"):
                    packed_uint(number, size, byteorder)
            if -(1 << bits - 1) <= number < 1 << bits - 1:
                assert packed_int(number, size, byteorder) == number.to_bytes(size, byteorder, signed=True)
            else:
                with pytest.raises(ValueError, match=f"{number} is not a signed number of {size} bytes"):
                    packed_int(number, size, byteorder)


def test_whole_numbers_may_be_numbers_of_numpy_and_nothing_but_whole() -> None:
    assert packed_uint(np.uint8(255), 1, "big") == packed_int(np.int64(-1), 1, "big") == b"\xff"
    assert packed_varint(np.uint64(300)) == b"\xac\x02"
    for wrong in (1.0, "1", None, b"1", np.float64(1)):
        given: Any = wrong
        for pack in (lambda n: packed_uint(n, 4, "big"), lambda n: packed_int(n, 4, "big"), packed_varint):
            with pytest.raises(TypeError):
                pack(given)


def test_what_does_not_fit_is_told_with_why() -> None:
    with pytest.raises(TypeError, match=r"^a number is wanted, not '1'$"):
        packed_float("1", 8, "big")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^1e\+300 does not fit into 32 bits: float too large to pack with f format$"):
        packed_float(1e300, 4, "big")
    with pytest.raises(ValueError, match=r"^1000.*000 does not fit into 64 bits: int too large to convert to float$"):
        packed_float(10**400, 8, "little")


@given(value=st.floats() | st.integers(-(2**70), 2**70))
@example(value=3.4028235677973366e38)  # the first that a single does not have
@example(value=3.4028235677973362e38)
@pytest.mark.parametrize("byteorder", ORDERS)
def test_floats_are_written_as_struct_does_or_refused(byteorder: Literal["big", "little"], value: float) -> None:
    assert packed_float(value, 8, byteorder) == struct.pack(MARKS[byteorder] + "d", value)
    try:
        single = struct.pack(MARKS[byteorder] + "f", value)
    except OverflowError:
        with pytest.raises(ValueError, match="does not fit into 32 bits"):
            packed_float(value, 4, byteorder)
    else:
        assert packed_float(value, 4, byteorder) == single


def test_what_has_a_float_may_be_one_and_nothing_else() -> None:
    for value in (True, np.float32(0.5), np.int16(-3), Fraction(1, 3), math.inf):
        assert packed_float(value, 8, "big") == struct.pack(">d", value)

    class Index:
        def __index__(self) -> int:
            return 3

    whole: Any = Index()  # as float() takes it
    assert packed_float(whole, 4, "little") == struct.pack("<f", 3)
    with pytest.raises(ValueError, match="does not fit into 64 bits"):
        packed_float(10**400, 8, "little")
    for wrong in ("1.5", None, b"1", 1j, [1.0]):
        given: Any = wrong
        for size in (4, 8):
            with pytest.raises(TypeError, match="a number is wanted"):
                packed_float(given, size, "big")


@given(st.integers(0, 2**64 - 1) | st.sampled_from([0, 127, 128, 2**14 - 1, 2**14, 2**63 - 1, 2**63, 2**64 - 1]))
def test_a_varint_is_what_protobuf_writes(value: int) -> None:
    written: list[bytes] = []
    encoder._EncodeVarint(written.append, value)  # type: ignore[attr-defined]
    assert packed_varint(value) == b"".join(written)


@pytest.mark.parametrize("value", [-1, -(2**70), 2**64, 2**70])
def test_a_varint_has_64_bits_and_no_sign(value: int) -> None:
    with pytest.raises(ValueError, match="at most 64 bits"):
        packed_varint(value)
