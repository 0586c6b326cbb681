"""Hypothesis strategies: bytes in pieces, and buffers that lay bytes out in every way.

All shrink their payload and the way it is laid out alike: to few bytes, in one part, of an object of type bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from hypothesis import strategies as st

from .arrangements import COMPOSITES, LAYOUTS, MAKERS, SLICES, Layout
from .cuts import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base_buffer import BaseBuffer, Part
    from ..composite_buffer import CompositeBuffer

__all__ = ["buffers", "composites", "fragmentations", "layouts"]

_B = TypeVar("_B")

_Payload: TypeAlias = "bytes | st.SearchStrategy[bytes] | None"

_MOST_BYTES: Final = 16
"""Bytes of a piece, if nobody says which: an example of eight pieces fits on a screen."""

_MOST_PIECES: Final = 8
"""Pieces, if nobody says how many. A parser fails at one seam or two; a table of parts is searched from eight on."""

# What makes several parts of one piece is left out: of three parts the least example is three pieces of a byte each.
_KINDS: Final = [make for kind, make in MAKERS.items() if kind != "composite"]
_COMPOSITES: Final = [shape for name, shape in COMPOSITES.items() if name != "drained into"]
_SLICES: Final = [shape for name, shape in SLICES.items() if name != "clipped slice"]


@st.composite
def _cut(draw: st.DrawFn, data: st.SearchStrategy[bytes], max_pieces: int) -> list[bytes]:
    content = draw(data)
    places = draw(st.lists(st.integers(0, len(content)), max_size=max_pieces - 1))
    return list(cut(content, places)) if content or places else []


def fragmentations(
    data: _Payload = None, *, alphabet: bytes | None = None, max_pieces: int = _MOST_PIECES
) -> st.SearchStrategy[list[bytes]]:
    r"""Draw bytes in pieces, as a stream may bring them; some of them may be empty.

    ``data`` is bytes, a strategy for bytes, or None: then each piece has bytes of the ``alphabet``, by default of all.
    Shrinks to one piece, and no bytes to no piece; best where ``data`` is not a strategy, whose bytes and seams are
    drawn apart. An alphabet of few bytes finds what is rare among all: ``alphabet=b"a\r\n"``.
    """
    if data is not None:
        return _cut(st.just(data) if isinstance(data, bytes) else data, max_pieces)
    piece = st.binary(max_size=_MOST_BYTES)
    if alphabet is not None:
        piece = st.lists(st.sampled_from(alphabet), max_size=_MOST_BYTES).map(bytes)
    return st.lists(piece, max_size=max_pieces)


@st.composite
def _parts(draw: st.DrawFn, data: _Payload, alphabet: bytes | None) -> list[Part]:
    pieces = draw(fragmentations(data, alphabet=alphabet))
    return [draw(st.sampled_from(_KINDS))(piece) if piece else piece for piece in pieces]


def _applied(shape: Callable[[list[Part]], _B], parts: list[Part]) -> _B:
    return shape(parts)


def buffers(data: _Payload = None, *, alphabet: bytes | None = None) -> st.SearchStrategy[BaseBuffer]:
    """Draw a buffer of either class that shows ``data``, which is as for ``fragmentations``.

    Its parts are of all kinds of owners: memory that is writable or not, maps, ranges of files, other buffers. Some are
    shown by a window that clips them, some were drained to, put in front, spliced in. Shrinks to a SliceBuffer of one
    bytes object.
    """
    return st.builds(_applied, st.sampled_from([*_SLICES, *_COMPOSITES]), _parts(data, alphabet))


def composites(data: _Payload = None, *, alphabet: bytes | None = None) -> st.SearchStrategy[CompositeBuffer]:
    """Draw a CompositeBuffer that shows ``data``; see ``buffers``."""
    return st.builds(_applied, st.sampled_from(_COMPOSITES), _parts(data, alphabet))


def layouts() -> st.SearchStrategy[Layout]:
    """Draw one of LAYOUTS: ``layout.make(data)`` is a buffer of these bytes. Shrinks to a SliceBuffer of one part."""
    return st.sampled_from(LAYOUTS)
