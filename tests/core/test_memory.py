"""Where memory begins, which memoryview does not tell."""

from __future__ import annotations

import array
import ctypes
import mmap
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs._core.memory import address_of

HOLDERS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: bytes(range(100)),
    "bytearray": lambda: bytearray(range(100)),
    "array": lambda: array.array("B", range(100)),
    "mmap": lambda: mmap.mmap(-1, 100),
    "ctypes": ctypes.c_char * 100,
}


@given(st.sampled_from(sorted(HOLDERS)), st.integers(0, 99), st.integers(1, 100))
def test_the_difference_of_two_addresses_is_the_offset(kind: str, start: int, stop: int) -> None:
    holder = HOLDERS[kind]()
    view = memoryview(holder).cast("B") if kind != "ctypes" else memoryview(holder)
    assert address_of(view[start:]) - address_of(holder) == start
    assert address_of(view[:stop]) == address_of(holder)


def test_it_is_the_address_that_ctypes_gives() -> None:
    memory = (ctypes.c_char * 10)()
    assert address_of(memory) == ctypes.addressof(memory)
    assert address_of(memoryview(memory)[3:]) == ctypes.addressof(memory) + 3


def test_no_export_is_left_behind() -> None:
    memory = bytearray(10)
    address_of(memory)
    memory.extend(b"more")  # raises BufferError while it is exported
    mapped = mmap.mmap(-1, 10)
    address_of(mapped)
    mapped.close()


def test_no_memory_at_all_has_the_address_zero() -> None:
    make = ctypes.pythonapi.PyMemoryView_FromMemory
    make.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
    make.restype = ctypes.py_object
    readable = 0x100  # PyBUF_READ
    assert address_of(make(None, 0, readable)) == 0


@pytest.mark.parametrize(
    ("thing", "error"),
    [("text", TypeError), (7, TypeError), (memoryview(b"abcd")[::2], BufferError)],
    ids=["str", "int", "strided"],
)
def test_what_has_no_contiguous_buffer_is_refused(thing: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        address_of(thing)
