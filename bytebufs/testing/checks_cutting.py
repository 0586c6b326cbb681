"""Checks of what cuts a buffer: the pieces are those of bytes, and show the very memory, of which nothing is copied."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from .._core.audit import no_copy
from .._core.foreign import address_of
from ..base_buffer import BaseBuffer
from ..composite_buffer import CompositeBuffer
from ..slice_buffer import SliceBuffer
from .alike import (
    BYTES,
    DATA,
    NEEDLES,
    NO_BYTES,
    NUMBERS,
    Argument,
    Unlike,
    arguments,
    as_they_are,
    check,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .alike import Check, Make

__all__ = ["CUTTING"]

CUTTING: Final[dict[str, Check]] = {}

# None is a separator of bytes, but none of a buffer.
_SEPARATORS: Final = arguments(NEEDLES) | as_they_are(NO_BYTES.filter(lambda value: value is not None) | BYTES)


@check(CUTTING, data=DATA, affix=arguments(NEEDLES) | as_they_are(NO_BYTES), size=st.integers(0, 5))
def _removing_ends(make: Make, data: bytes, affix: Argument, size: int) -> None:
    """``removeprefix``, ``removesuffix``."""
    b = make(data)
    for name, end in (("removeprefix", data[:size]), ("removesuffix", data[size:])):
        same(b, data, name, affix)
        same(b, data, name, end)


@check(CUTTING, data=DATA, sep=_SEPARATORS)
def _parting(make: Make, data: bytes, sep: Argument) -> None:
    """``partition``, ``rpartition``."""
    b = make(data)
    same(b, data, "partition", sep)
    same(b, data, "rpartition", sep)


@check(CUTTING, data=DATA, sep=_SEPARATORS, cuts=NUMBERS)
def _splitting(make: Make, data: bytes, sep: Argument, cuts: Any) -> None:
    """``split``."""
    b = make(data)
    most = Argument(max(-1, min(cuts.__index__(), sys.maxsize)), cuts)  # bytes know no larger number
    same(b, data, "split", sep)
    same(b, data, "split", sep, most)
    same(b, data, "split", sep=sep, maxsplit=most)
    same(b, data, "split", b"a", 2)
    same(b, data, "split", b"a", 1.0)


@check(CUTTING, data=DATA, keepends=st.booleans())
def _lines(make: Make, data: bytes, *, keepends: bool) -> None:
    """``splitlines``."""
    b = make(data)
    same(b, data, "splitlines")
    same(b, data, "splitlines", keepends)
    same(b, data, "splitlines", keepends=keepends)


@check(CUTTING, data=DATA, chars=arguments(NEEDLES) | as_they_are(NO_BYTES | BYTES))
def _stripping(make: Make, data: bytes, chars: Argument) -> None:
    """``strip``, ``lstrip``, ``rstrip``."""
    b = make(data)
    for name in ("strip", "lstrip", "rstrip"):
        same(b, data, name)
        same(b, data, name, chars)


_CUTS: Final[dict[str, Callable[[Any, int, int], Sequence[Any]]]] = {
    "a slice": lambda b, start, stop: [b[start:stop]],
    "a slice of a slice": lambda b, start, stop: [b[start:][:stop]],
    "partition": lambda b, _, __: b.partition(b"\n"),
    "rpartition": lambda b, _, __: b.rpartition(b"a"),
    "split": lambda b, _, __: b.split(b"a"),
    "splitlines": lambda b, _, __: b.splitlines(keepends=True),
    "strip": lambda b, _, __: [b.strip()],
    "lstrip": lambda b, _, __: [b.lstrip(b"a")],
    "rstrip": lambda b, _, __: [b.rstrip(b"a")],
    "removeprefix": lambda b, _, __: [b.removeprefix(b"a")],
    "removesuffix": lambda b, _, __: [b.removesuffix(b"\n")],
    "contiguous": lambda b, _, __: [b.contiguous()] if b.is_contiguous else [],
}
"""Ways to cut a buffer between two places, by name."""

_CUTS_OF_OURS: Final[dict[str, Callable[[Any, int, int], Sequence[Any]]]] = {
    "toreadonly": lambda b, _, __: [SliceBuffer(b).toreadonly()],
    "in a SliceBuffer": lambda b, start, stop: [SliceBuffer(b, min(start, len(b)), min(max(start, stop), len(b)))],
    "in a CompositeBuffer": lambda b, start, stop: [CompositeBuffer([b[start:stop]])],
}
"""As above, of a buffer that ours take as a part."""


@check(CUTTING, data=DATA, start=st.integers(0, 24), stop=st.integers(0, 24))
def _cutting_copies_nothing(make: Make, data: bytes, start: int, stop: int) -> None:
    """Pieces lie where the buffer has them; inside ``no_copy`` none of these calls is refused."""
    b = make(data)
    places = _places(b)
    with no_copy(strict=True):
        for name, cut in (_CUTS | _CUTS_OF_OURS if isinstance(b, BaseBuffer) else _CUTS).items():
            at = 0
            for piece in cut(b, start, stop):
                found = _places(piece)
                if (at := _end_of(found, places, at)) < 0:
                    raise Unlike(f"where the bytes of {name} lie", found, f"a part of {places}")
                if isinstance(piece, BaseBuffer):
                    piece._check()


def _places(buffer: Any) -> list[int]:
    """Return where each byte lies."""
    found: list[int] = []
    for view in [buffer] if isinstance(buffer, memoryview) else buffer.views():
        start = address_of(view)
        found.extend(range(start, start + len(view)))
    return found


def _end_of(piece: list[int], places: list[int], at: int) -> int:
    """Return where a piece ends in a list, if it lies there at ``at`` or behind it, else -1."""
    for start in range(at, len(places) - len(piece) + 1):
        if places[start : start + len(piece)] == piece:
            return start + len(piece)
    return -1
