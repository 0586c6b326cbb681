"""What ``memory`` promises, for whoever has no compiled ``_native``: by ctypes, which tells addresses.

CPython only. Elsewhere no address is known, and 0 stands for it: what can be done without is done without. ctypes is
loaded at the first need, since that takes longer than loading all of this library: when somebody hands in a view of a
piece of something, or compares two things of which none is ``bytes`` or a bytearray.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

if TYPE_CHECKING:
    import mmap

    from typing_extensions import Buffer

__all__ = [
    "Place",
    "address_of",
    "exported",
    "find",
    "has_buffer",
    "is_flat",
    "is_searchable",
    "offset_in",
    "place_of",
    "rfind",
    "same",
]

BLOCK: Final = 65536
"""Bytes that are joined at a time, and fewer are never searched by a call through ctypes: that costs as much."""

_PyBUF_SIMPLE: Final = 0

_PEP_688: Final = sys.version_info >= (3, 12)

_MEMMEM_IS_LINEAR: Final = sys.platform == "linux"
"""As those of glibc and musl are. Of others nobody here knows."""


# -- buffers -------------------------------------------------------------------------------------------------


def exported(obj: Any) -> memoryview | None:
    """Return what an object exports, contiguous or not, or None if it has no buffer."""
    try:
        return memoryview(obj)
    except TypeError:
        if _PEP_688 and hasattr(type(obj), "__buffer__"):
            raise  # it has one, which fails in its own words
        return None


def has_buffer(obj: object) -> bool:
    """Whether an object has a buffer, be it one that does not export anything now."""
    if isinstance(obj, (tuple, list)):
        return False  # what is mostly asked for
    try:
        return exported(obj) is not None
    except Exception:  # noqa: BLE001  # whatever an object of somebody else raises here
        return True


def is_flat(view: memoryview) -> bool:
    """Whether a view is contiguous, one-dimensional and of format "B"."""
    return view.c_contiguous and view.format == "B" and view.ndim == 1


# -- addresses -----------------------------------------------------------------------------------------------


@final
class _Calls:
    """What is called of CPython and the C library. ImportError, AttributeError or OSError where that cannot be had."""

    def __init__(self) -> None:
        import ctypes

        # Py_buffer, as in CPython's Include/pybuffer.h (stable ABI since 3.11): eleven fields, none wider than an
        # address, of which the first one says where the memory begins. The others are nobody's business here.
        self.py_buffer = ctypes.c_void_p * 11
        # Prototypes of our own: those of ``pythonapi`` are everybody's.
        reference = ctypes.POINTER(self.py_buffer)
        get = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, reference, ctypes.c_int)
        self.get_buffer = get(("PyObject_GetBuffer", ctypes.pythonapi))
        self.release_buffer = ctypes.PYFUNCTYPE(None, reference)(("PyBuffer_Release", ctypes.pythonapi))
        # Without letting go of the interpreter's lock, as bytes objects do these: that costs as much as 4 KiB.
        library = ctypes.PyDLL(None)
        self.memcmp = library.memcmp
        self.memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self.memchr = library.memchr
        self.memchr.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
        self.memchr.restype = ctypes.c_void_p
        if _MEMMEM_IS_LINEAR:
            self.memmem = library.memmem
            self.memmem.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t)
            self.memmem.restype = ctypes.c_void_p

    def address_of(self, memory: Buffer) -> int:
        raw = self.py_buffer()
        self.get_buffer(memory, raw, _PyBUF_SIMPLE)
        try:
            return raw[0] or 0
        finally:
            self.release_buffer(raw)


def _calls() -> _Calls | None:
    try:
        return _loaded_calls()
    except OSError:  # no file to spare to load ctypes from; another time there may be
        return None


@cache
def _loaded_calls() -> _Calls | None:
    try:
        return _Calls()
    except (ImportError, AttributeError):  # not CPython, or one without ctypes
        return None


def address_of(memory: Buffer) -> int:
    """Return where memory begins, valid as long as the caller holds an export of it; 0 if nobody can tell."""
    calls = _calls()
    return 0 if calls is None else calls.address_of(memory)


def offset_in(piece: memoryview, whole: bytes | bytearray | mmap.mmap) -> int:
    """Return the place in an object where a view of some of it begins.

    -1 if it does not lie in there as one run, or nobody can tell.
    """
    if not piece.c_contiguous:
        return -1
    begin = address_of(whole)
    if not begin:
        return -1
    offset = address_of(piece) - begin
    return offset if 0 <= offset <= len(whole) - piece.nbytes else -1


# -- comparing and searching ---------------------------------------------------------------------------------


@final
class Pinned:
    """Some memory, and its address, or 0 if nobody can tell. The view pins it."""

    __slots__ = ("address", "view")

    def __init__(self, address: int, view: memoryview) -> None:
        self.address: int = address
        self.view: memoryview = view


Place: TypeAlias = "bytes | bytearray | Pinned"
"""Where some memory lies: what has methods to compare and search it, or an address. The C takes its view for it."""


def place_of(view: memoryview) -> Place:
    """Return where the memory of a flat view lies: what the functions below take. It pins what the view does."""
    holder = view.obj
    if type(holder) is bytearray and len(holder) == len(view):
        return holder  # pinned by whoever holds the view
    return Pinned(address_of(view), view)


def same(x: Place, x_at: int, y: Place, y_at: int, n: int) -> bool:
    """Whether ``n`` bytes are the same in two places. Raises IndexError if they are not all there."""
    _assert_within(x, x_at, x_at + n)
    _assert_within(y, y_at, y_at + n)
    if not isinstance(x, Pinned):
        return x.startswith(_view_of(y)[y_at : y_at + n], x_at)
    if not isinstance(y, Pinned):
        return y.startswith(x.view[x_at : x_at + n], y_at)
    calls = _calls()
    if calls is not None and x.address and y.address:
        return bool(calls.memcmp(x.address + x_at, y.address + y_at, n) == 0)
    return all(
        _joined(x.view, x_at + k, x_at + min(k + BLOCK, n)).startswith(y.view[y_at + k : y_at + min(k + BLOCK, n)])
        for k in range(0, n, BLOCK)
    )


def is_searchable(place: Place, size: int) -> bool:
    """Whether to search so many bytes where they lie costs less than to join them in blocks."""
    return size >= BLOCK and _MEMMEM_IS_LINEAR and not (isinstance(place, Pinned) and place.address == 0)


def find(place: Place, needle: bytes | memoryview, start: int, stop: int) -> int:
    """Return where the first match in ``[start, stop)`` begins, or -1 for none. IndexError if that is not all there."""
    _assert_within(place, start, stop)
    if not isinstance(place, Pinned):
        return place.find(needle, start, stop)
    m = len(needle)
    if m == 0:
        return start
    calls = _calls()
    if calls is not None and _MEMMEM_IS_LINEAR and place.address:
        begin, size = place.address + start, stop - start
        if m == 1:
            found = calls.memchr(begin, needle[0], size)
        else:
            found = calls.memmem(begin, size, needle if isinstance(needle, bytes) else address_of(needle), m)
        return -1 if found is None else found - place.address
    step = max(BLOCK, m)
    for at in range(start, stop - m + 1, step):
        offset = _joined(place.view, at, min(at + step + m - 1, stop)).find(needle)
        if offset >= 0:
            return at + offset
    return -1


def rfind(place: Place, needle: bytes | memoryview, start: int, stop: int) -> int:
    """Return where the last match in ``[start, stop)`` begins, or -1. For short needles, as ``bytes.rfind``."""
    _assert_within(place, start, stop)
    if not isinstance(place, Pinned):
        return place.rfind(needle, start, stop)
    m = len(needle)
    if m == 0:
        return stop
    step = max(BLOCK, m)
    for at in reversed(range(start, stop - m + 1, step)):
        offset = _joined(place.view, at, min(at + step + m - 1, stop)).rfind(needle)
        if offset >= 0:
            return at + offset
    return -1


def _assert_within(place: Place, start: int, stop: int) -> None:
    size = len(place.view) if isinstance(place, Pinned) else len(place)
    if not 0 <= start <= stop <= size:
        raise IndexError(f"[{start}:{stop}] does not lie in {size} bytes")


def _view_of(place: Place) -> memoryview:
    return place.view if isinstance(place, Pinned) else memoryview(place)


def _joined(view: memoryview, start: int, stop: int) -> bytes:
    """Return a stretch of memory as what has methods, for nobody to keep."""
    return b"".join([view[start:stop]])
