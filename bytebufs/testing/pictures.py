"""How an input was cut, as text: a line a piece, with where it lies, how long it is, and its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .._core.layout import MAX_LINES, counted
from ..base_buffer import BaseBuffer
from ..slice_buffer import SliceBuffer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..base_buffer import Part

__all__ = ["picture"]

_MOST_SHOWN: Final = 48
"""Bytes that a line shows of a piece: with the numbers before them they have a line of a terminal, if most print."""


def picture(pieces: Iterable[Part]) -> str:
    r"""Show pieces in the order in which they come.

    >>> print(picture([b"GET /\r", b"", bytearray(b"\n")]))
    7 bytes in 3 pieces
             0          6  b'GET /\r'
             6          6  b''
             6          7  bytearray(b'\n')

    Each line has where the piece begins and ends in the whole, its kind, if that is not bytes, and its bytes. Of long
    pieces the first and last are shown, and so are the first and last 32 of many pieces. A buffer of several parts has
    the seams between them shown as ``|``. Copies: what is shown.
    """
    lines = []
    at = 0
    for piece in pieces:
        buffer = piece if isinstance(piece, BaseBuffer) else SliceBuffer(piece)
        stop = at + len(buffer)
        lines.append(f"{at:>10} {stop:>10}  {_named(piece, buffer)}")
        at = stop
    head = f"{counted(at, 'byte')} in {counted(len(lines), 'piece')}"
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        lines[half:-half] = [f"{'...':>10} {'...':>10}  {len(lines) - MAX_LINES} pieces left out"]
    return "\n".join([head, *lines])


def _named(piece: Part, buffer: BaseBuffer) -> str:
    """Return a piece's bytes as literals, a part each, in the name of what holds them."""
    literals = " | ".join(map(_literal, buffer.views())) or repr(b"")
    return literals if isinstance(piece, bytes) else f"{type(piece).__name__}({literals})"


def _literal(view: memoryview) -> str:
    if len(view) <= _MOST_SHOWN:
        return repr(bytes(view))
    half = _MOST_SHOWN // 2
    return f"{bytes(view[:half])!r} ... {len(view) - 2 * half} more ... {bytes(view[-half:])!r}"
