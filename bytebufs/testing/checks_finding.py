"""Checks of searches and comparisons: what lies where, what it begins with, and whether it is the same."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from .alike import (
    BOUNDS,
    BYTES,
    DATA,
    NEEDLES,
    NO_BYTES,
    NO_NUMBERS,
    WRAPPERS,
    Argument,
    arguments,
    as_they_are,
    check,
    equal,
    same,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .alike import Check, Make

__all__ = ["FINDING"]

FINDING: Final[dict[str, Check]] = {}

_SEARCHES: Final = ("find", "rfind", "index", "rindex", "count")


@check(
    FINDING,
    data=DATA,
    sub=arguments(NEEDLES) | as_they_are(BYTES | NO_BYTES),
    piece=st.tuples(st.integers(0, 23), st.integers(1, 5), st.integers(1, 2), st.sampled_from(WRAPPERS)),
    start=BOUNDS,
    end=BOUNDS,
)
def _searching(
    make: Make, data: bytes, sub: Argument, piece: tuple[int, int, int, Callable[[bytes], Any]], start: Any, end: Any
) -> None:
    """``find``, ``rfind``, ``index``, ``rindex``, ``count``."""
    b = make(data)
    at, size, times, wrap = piece
    at %= len(data) + 1  # else it would lie behind the end of most
    taken = data[at : at + size] * times
    for name in _SEARCHES:
        for needle in (sub, Argument(taken, wrap(taken))):
            same(b, data, name, needle)
            same(b, data, name, needle, start)
            same(b, data, name, needle, start, end)


@check(FINDING, data=DATA, start=NO_NUMBERS)
def _searching_from_nowhere(make: Make, data: bytes, start: Any) -> None:
    """Searches between what are no numbers."""
    b = make(data)
    for name in (*_SEARCHES, "startswith", "endswith"):
        same(b, data, name, b"a", start)
        same(b, data, name, b"a", 0, start)


@check(FINDING, data=DATA, item=arguments(NEEDLES) | as_they_are(BYTES | NO_BYTES))
def _containing(make: Make, data: bytes, item: Argument) -> None:
    """``item in b``."""
    b = make(data)
    same(b, data, operator.contains, item)


@check(
    FINDING, data=DATA, affixes=st.lists(arguments(NEEDLES), max_size=3), start=BOUNDS, end=BOUNDS, bad=NO_BYTES | BYTES
)
def _beginnings_and_ends(make: Make, data: bytes, affixes: list[Argument], start: Any, end: Any, bad: Any) -> None:
    """``startswith``, ``endswith``, with tuples too."""
    b = make(data)
    asked: list[Any] = [*affixes, tuple(affixes), (*affixes, bad), bad, data[:3], data[-3:], data]
    for affix in asked:
        for name in ("startswith", "endswith"):
            same(b, data, name, affix)
            same(b, data, name, affix, start, end)


_ORDERS: Final = (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge)


@check(
    FINDING,
    data=DATA,
    other=DATA,
    at=st.integers(0, 23),
    byte=st.integers(0, 255),
    cut=st.integers(0, 24),
    wrap=st.sampled_from(WRAPPERS),
)
def _comparing(
    make: Make, data: bytes, other: bytes, at: int, byte: int, cut: int, wrap: Callable[[bytes], Any]
) -> None:
    """``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, from both sides, with all that is bytes-like."""
    b = make(data)
    changed = data[:at] + bytes([byte]) + data[at + 1 :] if at < len(data) else data
    for value in (data, other, data[:cut], data + other[:1], changed):
        for order in _ORDERS:
            same(b, data, order, Argument(value, wrap(value)))
            same(b, data, order, Argument(value, make(value)))
            equal(wrap(value), order(value, data), order, Argument(data, b))
    for order in _ORDERS:
        equal(b, order(0, 0), order, Argument(data, b))


@check(FINDING, data=DATA, stranger=st.sampled_from([None, "a", "", 1, 1.0, [97], (), object()]))
def _comparing_with_strangers(make: Make, data: bytes, stranger: Any) -> None:
    """Comparisons with what is not bytes-like."""
    b = make(data)
    strangers: list[Any] = [stranger, data.decode(), list(data)]  # the last two hold the same characters, or numbers
    for other in strangers:
        for order in _ORDERS:
            same(b, data, order, other)
            same(other, other, order, Argument(data, b))
