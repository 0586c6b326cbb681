"""From an input and a cut that fail to the smallest: fewest bytes, fewest pieces, the plainest bytes.

Greedy, and the same every time. What is tried, over and over until nothing helps any more:

1. All pieces are of the plainest kind.
2. A piece is left out, or joined to the next one.
3. A run of bytes is left out: half of them, a quarter, ... one; where few are left, every run.
4. A byte is made smaller by the number of bytes that are left out behind it, as where it is a length.
5. A byte becomes an ``a``, or a zero if it is none of text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .cuts import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["shrunk"]

_MOST_RUNS: Final = 5_000
"""Inputs that are tried. One of a thousand bytes takes some hundreds."""

_FEW: Final = 32
"""Bytes of which every run is left out: some hundreds of inputs. It finds a message before the one that matters."""


class _Search:
    """The smallest way that fails so far, and how many more may be tried."""

    def __init__(self, way: Way, fails: Callable[[Way], bool], allowed: Callable[[Way], Way]) -> None:
        self.best = way
        self._allowed = allowed
        self._fails = fails
        self._seen = {way}
        self._left = _MOST_RUNS

    def take(self, candidates: Iterator[Way]) -> bool:
        """Move on to the first candidate that fails."""
        for way in map(self._allowed, candidates):
            if self._left and way not in self._seen:
                self._left -= 1
                self._seen.add(way)
                if self._fails(way):
                    self.best = way
                    return True
        return False


def shrunk(
    way: Way, fails: Callable[[Way], bool], *, plainest: str, data_too: bool, allowed: Callable[[Way], Way]
) -> Way:
    """Return the smallest way that fails. Without ``data_too`` only the cut and the kinds are made smaller.

    ``allowed`` makes of a way one that may be tried.
    """
    search = _Search(way, fails, allowed)
    passes: list[Callable[[Way], Iterator[Way]]] = [lambda way: _plainer_kinds(way, plainest), _joined]
    if data_too:
        passes += [_without_pieces, _without_runs, _with_smaller_lengths, _plainer_bytes]
    while any(search.take(candidates(search.best)) for candidates in passes):
        pass
    return search.best


def _plainer_kinds(way: Way, plainest: str) -> Iterator[Way]:
    yield Way(way.pieces, (plainest,) * len(way.kinds))
    for i in range(len(way.kinds)):
        yield Way(way.pieces, (*way.kinds[:i], plainest, *way.kinds[i + 1 :]))


def _joined(way: Way) -> Iterator[Way]:
    pieces, kinds = way
    count = len(pieces)
    size = count // 2
    while size:  # many at once, first
        for i in range(0, count - size, size):
            stop = i + size + 1
            yield Way((*pieces[:i], b"".join(pieces[i:stop]), *pieces[stop:]), (*kinds[: i + 1], *kinds[stop:]))
        size //= 2


def _without_pieces(way: Way) -> Iterator[Way]:
    pieces, kinds = way
    size = len(pieces)
    while size:
        for i in range(0, len(pieces), size):
            yield Way((*pieces[:i], *pieces[i + size :]), (*kinds[:i], *kinds[i + size :]))
        size //= 2


def _without_runs(way: Way) -> Iterator[Way]:
    sizes = [len(piece) for piece in way.pieces]
    size = max(sizes, default=0)
    are_few = sum(sizes) <= _FEW
    while size:
        for i, piece in enumerate(way.pieces):
            for at in range(0, len(piece), 1 if are_few else size):
                yield _with(way, i, piece[:at] + piece[at + size :])
        size = size - 1 if are_few else size // 2


def _with_smaller_lengths(way: Way) -> Iterator[Way]:
    """Yield ways without some bytes, and with a smaller byte before them."""
    data = b"".join(way.pieces)
    for at, byte in enumerate(data):
        for less in range(min(byte, len(data) - at - 1), 0, -1):
            shorter = _without(way, at + 1, at + 1 + less)
            yield _with_byte(shorter, at, byte - less)


def _plainer_bytes(way: Way) -> Iterator[Way]:
    for at, byte in enumerate(b"".join(way.pieces)):
        plainer = ord("a") if 32 <= byte < 127 or byte in b"\t\n\r" else 0
        if byte != plainer:
            yield _with_byte(way, at, plainer)


def _with(way: Way, i: int, piece: bytes) -> Way:
    return Way((*way.pieces[:i], piece, *way.pieces[i + 1 :]), way.kinds)


def _without(way: Way, start: int, stop: int) -> Way:
    """Leave out a range of the data, wherever the seams are."""
    pieces = []
    at = 0
    for piece in way.pieces:
        pieces.append(piece[: max(start - at, 0)] + piece[max(stop - at, 0) :])
        at += len(piece)
    return Way(tuple(pieces), way.kinds)


def _with_byte(way: Way, at: int, byte: int) -> Way:
    """Put another byte at a place of the data, in whichever piece that is."""
    i = 0
    while at >= len(way.pieces[i]):
        at -= len(way.pieces[i])
        i += 1
    piece = way.pieces[i]
    return _with(way, i, piece[:at] + bytes([byte]) + piece[at + 1 :])
