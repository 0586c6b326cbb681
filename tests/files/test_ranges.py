"""Ranges of files as arguments, against those of `bytes`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs.files.ranges import bounds, clamped

ENDS = st.none() | st.integers(-30, 30) | st.sampled_from([2**70, -(2**70)])


@given(st.integers(0, 20), ENDS, ENDS, st.sampled_from([None, 1]))
def test_a_slice_is_clamped_as_that_of_bytes_is(
    size: int, start: int | None, stop: int | None, step: int | None
) -> None:
    data = bytes(range(size))
    low, high = clamped(slice(start, stop, step), size, "region")
    assert 0 <= low <= high <= size
    assert data[low:high] == data[start:stop:step]


@pytest.mark.parametrize("step", [2, -1, 0])
def test_a_step_is_refused_with_what_to_write(step: int) -> None:
    with pytest.raises(ValueError, match=r"bytes\(mapped\[:\]\)\[::-1\]" if step < 0 else "step"):
        clamped(slice(0, 5, step), 10, "mapped")


@pytest.mark.parametrize("key", [3, -1, b"x", (1, 2)])
def test_an_index_is_refused_with_what_to_write(key: Any) -> None:
    with pytest.raises(TypeError) as caught:
        clamped(key, 10, "mapped")
    assert f"write mapped[:][{key!r}]" in str(caught.value)


@given(st.integers(0, 40), st.none() | st.integers(0, 40), st.integers(0, 20))
def test_a_count_is_not_clamped(offset: int, count: int | None, size: int) -> None:
    data = bytes(range(size))
    if offset + (count or 0) > size:
        with pytest.raises(IndexError) as caught:
            bounds(offset, count, size)
        assert str(caught.value).startswith(f"[{offset}:{offset + (count or 0)}] ")
        assert f" {size} bytes" in str(caught.value)
    else:
        start, stop = bounds(offset, count, size)
        assert stop - start == (size - offset if count is None else count)
        assert data[start:stop] == data[offset : None if count is None else offset + count]


def test_numbers_of_other_libraries_serve() -> None:
    assert bounds(np.int64(3), np.uint8(4), 10) == (3, 7)
    assert clamped(slice(np.int64(-3), None), 10, "region") == (7, 10)


@pytest.mark.parametrize("number", [-1, -(2**70)])
def test_negative_numbers_are_refused(number: int) -> None:
    for offset, count in ((number, 1), (number, None), (1, number)):
        with pytest.raises(ValueError, match="negative"):
            bounds(offset, count, 10)


def test_what_is_no_number_is_refused() -> None:
    for wrong in (1.0, "1", b"1"):
        offset: Any = wrong
        with pytest.raises(TypeError):
            bounds(offset, 1, 10)
        with pytest.raises(TypeError):
            bounds(1, offset, 10)
