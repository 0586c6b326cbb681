"""Checks of what a buffer shows: as a sequence, as text, in pieces, and as facts about itself."""

from __future__ import annotations

import hashlib
import operator
import sys
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from ..errors import Fragmented
from .alike import BOUNDS, DATA, FAR, NO_NUMBERS, NUMBERS, check, equal, raises, same, sliced

if TYPE_CHECKING:
    from collections.abc import Callable

    from .alike import Check, Make

__all__ = ["READING"]

READING: Final[dict[str, Check]] = {}


@check(READING, data=DATA)
def _a_sequence_of_bytes(make: Make, data: bytes) -> None:
    """``len``, ``bool``, iteration both ways, ``bytes``."""
    b = make(data)
    for what in (len, bool, bytes, list):
        same(b, data, what)
    same(b, data, lambda sequence: list(reversed(sequence)))
    equal(b, bytes, lambda sequence: type(bytes(sequence)))


@check(READING, data=DATA, at=NUMBERS | NO_NUMBERS | st.none())
def _an_index(make: Make, data: bytes, at: Any) -> None:
    """``b[i]``."""
    b = make(data)
    for i in (at, *range(-len(data) - 1, len(data) + 1)):
        same(b, data, operator.getitem, i)


@check(READING, data=DATA, start=BOUNDS | NO_NUMBERS, stop=BOUNDS, start2=BOUNDS, stop2=BOUNDS | NO_NUMBERS)
def _a_slice(make: Make, data: bytes, start: Any, stop: Any, start2: Any, stop2: Any) -> None:
    """``b[start:stop]``, and a slice of that."""
    b = make(data)
    same(b, data, sliced(start, stop))
    same(b, data, lambda whole: whole[start:stop:1][start2:stop2])


@check(READING, data=DATA, step=st.integers(-3, 3) | FAR)
def _a_step(make: Make, data: bytes, step: Any) -> None:
    """``b[start:stop:step]``: ValueError for all but 1, since it would have to copy."""
    b = make(data)
    if operator.index(step) == 1:
        same(b, data, sliced(1, -1, step))
    else:
        raises(b, ValueError, sliced(1, -1, step))


@check(
    READING,
    data=st.text("aé€😀\n", max_size=8).map(str.encode) | st.binary(max_size=8),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1", "utf-16-le", "utf-8-sig", "no such encoding"]),
    errors=st.sampled_from(["strict", "ignore", "replace", "backslashreplace"]),
)
def _decoding(make: Make, data: bytes, encoding: str, errors: str) -> None:
    """``decode``."""
    b = make(data)
    same(b, data, "decode")
    same(b, data, "decode", encoding, errors)
    same(b, data, "decode", encoding=encoding, errors=errors)


@check(
    READING, data=DATA, sep=st.sampled_from([":", b"-", " ", "", "::", "é", 1]), group=st.integers(-4, 4) | NO_NUMBERS
)
def _hexing(make: Make, data: bytes, sep: Any, group: Any) -> None:
    """``hex``."""
    b = make(data)
    same(b, data, "hex")
    same(b, data, "hex", sep)
    same(b, data, "hex", sep, group)


@check(READING, data=st.binary(max_size=40), width=st.integers(1, 20))
def _dumping(make: Make, data: bytes, width: int) -> None:
    """``hexdump``: an offset, bytes in hex, and those that print, a row each."""
    b = make(data)
    rows = [data[at : at + width] for at in range(0, len(data), width)]
    wanted = [(f"{i * width:08x}", row, _printed(row)) for i, row in enumerate(rows)]
    equal(b, wanted, lambda buffer: [_row(row, width) for row in buffer.hexdump(width).splitlines()])


def _row(row: str, width: int) -> tuple[str, bytes, str]:
    offset, _, rest = row.partition("  ")
    return offset, bytes.fromhex(rest[: 3 * width - 1]), rest[3 * width + 1 :]


def _printed(row: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)


@check(READING, data=DATA)
def _views_and_facts(make: Make, data: bytes) -> None:
    """``views``, ``view``, ``part_count``, ``is_contiguous``, ``readonly``, ``layout``."""
    b = make(data)
    views = b.views()
    equal(b, data, lambda buffer: b"".join(buffer.views()))
    equal(b, [True] * len(views), lambda buffer: [_is_plain(view) for view in buffer.views()])
    readonly = [view.readonly for view in views]
    equal(b, len(views), operator.attrgetter("part_count"))
    equal(b, len(views) <= 1, operator.attrgetter("is_contiguous"))
    equal(b, not views or any(readonly), operator.attrgetter("readonly"))
    equal(b, len(views), lambda buffer: buffer.layout().count("\n"))
    if len(views) > 1:
        raises(b, Fragmented, "view")
    else:
        equal(b, data, "view")
        equal(b, readonly or [True], lambda buffer: [buffer.view().readonly])


def _is_plain(view: memoryview) -> bool:
    """Whether it is what a system call takes, and not empty: some would take that for the end."""
    kind: object = type(view)
    return kind is memoryview and view.nbytes > 0 and view.format == "B" and view.ndim == 1 and view.c_contiguous


_USES: Final[tuple[Callable[[Any], object], ...]] = (
    (lambda buffer: hashlib.sha256(buffer).digest(), lambda buffer: b"".join([buffer, buffer]))
    if sys.version_info >= (3, 12)
    else ()
)
"""Calls of other people's that take a buffer, where the interpreter asks it for its memory."""


@check(READING, data=DATA)
def _exporting(make: Make, data: bytes) -> None:
    """The buffer protocol, from Python 3.12 on."""
    b = make(data)
    equal(b, data, "__buffer__", 0)
    equal(b, True, lambda buffer: buffer.__buffer__(0).readonly)  # noqa: FBT003  # what it answers
    for use in _USES:
        same(b, data, use)


@check(READING, data=DATA)
def _no_hash(make: Make, data: bytes) -> None:
    """``hash``: TypeError, since what it shows may change."""
    raises(make(data), TypeError, hash)
