"""Find and compare across seams, against the same on bytes that were joined before the clock ran.

The rival's join is left out; who has parts would pay for it first.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import copy
from functools import lru_cache, partial
from typing import Final

from bytebufs import CompositeBuffer

from . import _layouts
from ._harness import MIB, OURS, Action, Cell, Contender, size_name, speed_of

__all__ = ["plan"]

RIVAL: Final = "flat bytes"

FIND_PARTS: Final = (64 << 10, 1460)
EQUAL_PARTS: Final = (64 << 10, 16 << 10, 1460)
SHIFTED: Final = "shifted by half a part"

_LETTERS: Final = bytes(97 + k % 16 for k in range(256))

_LINES: Final = b"Accept-Language: de, en;q=0.8\r\nX-Forwarded-For: 192.0.2.17\r\n"
"""Header lines: where the needle is an empty line, every one of them almost is."""

NEEDLES: Final = {
    "1 byte": b"\n",
    "4 bytes": b"STOP",
    "CRLF": b"\r\n",
    "absent": b"NOT HERE",
    "near misses": b"\r\n\r\n",
}


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells of both measures, to be made when their turn comes."""
    nbytes = MIB // 4 if quick else 64 * MIB
    finding = [
        partial(_find, needle, memory, part, nbytes)
        for memory in _layouts.KINDS
        for part in FIND_PARTS
        for needle in NEEDLES
    ]
    comparing = [
        partial(_compare, how, memory, part, layout, nbytes)
        for memory in _layouts.KINDS
        for part in EQUAL_PARTS
        for layout in ("same", SHIFTED)
        for how in ("==", "startswith")
    ]
    return [*finding, *comparing]


# -- find ----------------------------------------------------------------------------------------------------


def _find(needle: str, memory: str, part: int, nbytes: int) -> Cell:
    sought = NEEDLES[needle]
    text = "lines" if needle == "near misses" else "letters"
    ours, flat = _laid_out(text, memory, part, nbytes)
    if needle != "absent":
        # At the very end, so that all of it is searched.
        ours = copy(ours)
        ours.append(sought)
        flat += sought
    return Cell(
        "find",
        {"memory": memory, "part": size_name(part), "needle": needle},
        "MiB",
        nbytes / MIB,
        [
            Contender("CompositeBuffer.find", OURS, lambda: lambda: ours.find(sought)),
            Contender("bytes.find", RIVAL, lambda: lambda: flat.find(sought)),
        ],
        [speed_of("CompositeBuffer.find", RIVAL, _find_bound(needle, memory, part))],
    )


def _find_bound(needle: str, memory: str, part: int) -> float:
    if part < 64 << 10:
        return 0.45
    if memory == "views":
        return 0.3
    if memory == "bytes":
        return 0.75 if needle == "1 byte" else 0.9
    return 0.6 if needle == "1 byte" else 0.75


@lru_cache(maxsize=1)
def _laid_out(text: str, memory: str, part: int, nbytes: int) -> tuple[CompositeBuffer, bytes]:
    flat = _text(text, nbytes)
    return _layouts.build(memory, _layouts.split(flat, part)), flat


def _text(kind: str, nbytes: int) -> bytes:
    if kind == "lines":
        return (_LINES * (nbytes // len(_LINES) + 1))[:nbytes]
    block = random.Random(5).randbytes(min(nbytes, MIB)).translate(_LETTERS)
    return block * (nbytes // len(block))


# -- compare -------------------------------------------------------------------------------------------------


def _compare(how: str, memory: str, part: int, layout: str, nbytes: int) -> Cell:
    left, right, flat, same = _pair(memory, part, layout, nbytes)
    if how == "==":
        actions: tuple[Action, Action] = (lambda: left == right, lambda: flat == same)
    else:
        actions = (lambda: left.startswith(right), lambda: flat.startswith(same))
    return Cell(
        "compare",
        {"memory": memory, "part": size_name(part), "layout": layout, "how": how},
        "MiB",
        nbytes / MIB,
        [
            Contender("CompositeBuffer", OURS, lambda: actions[0]),
            Contender("bytes", RIVAL, lambda: actions[1]),
        ],
        [speed_of("CompositeBuffer", RIVAL, _compare_bound(memory, part, layout))],
    )


@lru_cache(maxsize=1)
def _pair(memory: str, part: int, layout: str, nbytes: int) -> tuple[CompositeBuffer, CompositeBuffer, bytes, bytes]:
    """Return two buffers and two bytes objects of the same content, none of which shares memory with another."""
    flat = _text("letters", nbytes)
    left, right = (
        _layouts.build(memory, _layouts.split(bytes(bytearray(flat)), part, first=first))
        for first in (part, part // 2 if layout == SHIFTED else part)
    )
    return left, right, flat, bytes(bytearray(flat))


def _compare_bound(memory: str, part: int, layout: str) -> float | None:
    if layout == SHIFTED:
        return {64 << 10: 0.6, 16 << 10: 0.3}.get(part)
    if part == 64 << 10:
        return 0.8
    return 0.6 if memory == "bytes" else None
