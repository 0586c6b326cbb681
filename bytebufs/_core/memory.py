"""Where a memoryview begins in memory, which memoryview itself does not tell, and comparing memory by that.

Interpreted, CPython only, and imported the first time that somebody hands in a view of a piece of something, or
compares two things that are not ``bytes``: loading ctypes takes longer than loading all of this library.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["address_of", "memcmp"]

_PyBUF_SIMPLE = 0


class _PyBuffer(ctypes.Structure):
    """``Py_buffer``, as laid out in CPython's ``Include/pybuffer.h`` (stable ABI since 3.11)."""

    _fields_: ClassVar = [  # type: ignore[mutable-override]  # typeshed's ctypes.Structure predates the check
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


def address_of(memory: Buffer) -> int:
    """Return the address of the first byte of ``memory``, valid as long as the caller holds an export of it."""
    raw = _PyBuffer()
    _get_buffer(memory, raw, _PyBUF_SIMPLE)
    try:
        return raw.buf or 0
    finally:
        _release_buffer(raw)


# Without letting go of the interpreter's lock, as comparing two bytes objects does: that costs as much as 4 KiB.
memcmp = ctypes.PyDLL(None).memcmp
memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
