"""Captures read by several processes or machines: one task a file.

Whoever reads a file reads all of it as if it were alone. Only what was open at the end of a file and goes on in a later
one has to be put together again, here: for that, who reads a file says where the packets are of what was open at its
end, and of what did not begin in it. What is found, its order and its numbers are those of one process, for what
happens at a packet depends on the packets of that connection alone.

Bodies go from process to process only if they are to be exported. The workers have to see the files by the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from math import inf
from pathlib import Path
from typing import Final
from zlib import crc32

from .captures import Problem, Results, map_file, progress_bar
from .packets import FRAGMENTS, Segment, SegmentReader, Skipped
from .parts import FileRead, Part, pair_of, read_file, segments_of
from .reassembly import Counts, Moment, Reassembly
from .report import Row, Wanted, row_of
from .tasks import Submit, submitting

__all__ = ["read_all"]

GROUPS: Final = 8
"""Tasks among which what has to be put together is divided."""


def read_all(
    paths: Sequence[Path], results: Results, wanted: Wanted, *, workers: int | None, scheduler: str | None
) -> Iterator[tuple[Row, int]]:
    """Yield all that is in captures, with the number of its stream; afterwards `results` has the rest.

    Raises OSError where Dask is not installed, or the scheduler is not there.
    """
    sizes = [path.stat().st_size for path in paths]
    with submitting(workers, scheduler) as submit:
        with progress_bar(sum(sizes), "reading files") as bar:
            read: list[FileRead] = submit(
                read_file, [(path, wanted) for path in paths], lambda number: bar.move(sizes[number])
            )
        results.problems += [Problem(path, one.error) for path, one in zip(paths, read, strict=True) if one.error]
        return _Merger(paths, read, results.counts, wanted).rows(submit)


# -- what others do ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Piece:
    """A part that belongs together with others, and where it is."""

    path: Path
    base: int
    """Packets in the files before."""
    part: Part


@dataclass(slots=True)
class _Joined:
    """What was found in parts that belong together."""

    rows: list[Row]
    counts: Counts = field(default_factory=Counts)
    openings: list[tuple[float, int]] = field(default_factory=list)


def _join(pieces: Sequence[_Piece], late: Sequence[Segment], last: int, wanted: Wanted) -> _Joined:
    """Put parts together, up to a last packet."""
    joined = _Joined([])

    def count(_flow: bytes, opened: tuple[float, int], counts: Counts) -> None:
        joined.counts.add(counts)
        joined.openings.append(opened)

    maps = {piece.path: map_file(piece.path) for piece in pieces}
    segments = list(late)
    for piece in pieces:
        segments += segments_of(maps[piece.path], piece.part, piece.base)
    reassembly = Reassembly(count)
    for segment in sorted(segments, key=lambda segment: segment.number):
        reassembly.connections.add(segment)
    found = chain(reassembly.wait_until(last), reassembly.end())
    joined.rows += [row_of(one, wanted) for one in found]
    return joined


# -- what is left to do here ---------------------------------------------------------------------------------


class _Merger:
    """Puts files together, of which each was read as if it were alone."""

    def __init__(self, paths: Sequence[Path], read: Sequence[FileRead], counts: Counts, wanted: Wanted) -> None:
        self._paths = paths
        self._read = read
        self._counts = counts
        self._wanted = wanted
        self._bases = [0, *accumulate(one.counts.packets for one in read)]
        self._rows: list[Row] = []
        self._openings: list[tuple[float, int]] = []

    def rows(self, submit: Submit) -> Iterator[tuple[Row, int]]:
        """Return all of it in order, with the numbers of the streams."""
        last = self._bases[-1]
        late = self._late()
        crossing = self._crossing({pair_of(segment.flow) for segment in late})
        groups: dict[int, list[_Piece]] = {number: [] for number in range(GROUPS)}
        for number, (path, one) in enumerate(zip(self._paths, self._read, strict=True)):
            self._counts.packets += one.counts.packets
            self._counts.skipped.update(one.counts.skipped)
            for pair, parts in one.parts.items():
                for index, part in enumerate(parts):
                    if (number, pair, index) in crossing:
                        groups[_group(pair)].append(_Piece(path, self._bases[number], part))
                    else:
                        self._counts.add(part.counts)
                        self._openings += [_opened(opened, self._bases[number]) for opened in part.openings]
                        self._rows += [_placed(row, self._bases[number], last) for row in part.rows]
        tasks = [
            (pieces, [segment for segment in late if _group(pair_of(segment.flow)) == number], last, self._wanted)
            for number, pieces in groups.items()
            if pieces
        ]
        for joined in submit(_join, tasks, lambda _number: None):
            self._counts.add(joined.counts)
            self._openings += joined.openings
            self._rows += joined.rows
        numbers = {opened: number for number, opened in enumerate(sorted(self._openings))}
        self._rows.sort(key=lambda row: row.moment)
        return ((row, numbers[row.moment.opened]) for row in self._rows)

    def _late(self) -> list[Segment]:
        """Put together the fragments that no file could, and count those that are left even so."""
        reader = SegmentReader()
        left = [
            fragment._replace(number=fragment.number + base)
            for one, base in zip(self._read, self._bases, strict=False)
            for fragment in one.left
        ]
        whole = reader.take(sorted(left, key=lambda fragment: fragment.number))
        segments = [one for one in whole if isinstance(one, Segment)]
        self._counts.skipped.update(one for one in whole if isinstance(one, Skipped))
        if still_left := reader.left():
            self._counts.skipped[FRAGMENTS] += len(still_left)
        return segments

    def _crossing(self, late: set[bytes]) -> set[tuple[int, bytes, int]]:
        """Return the parts that belong together with one in another file, by file, endpoints and index."""
        crossing: set[tuple[int, bytes, int]] = set()
        still_open: dict[bytes, tuple[int, bytes, int]] = {}
        for number, one in enumerate(self._read):
            for pair, parts in one.parts.items():
                if pair in late or pair in still_open:
                    # What ended in a file alone may not have ended with what came before it.
                    crossing.update((number, pair, index) for index in range(len(parts)))
                    crossing.add(still_open.setdefault(pair, (number, pair, 0)))
                elif parts[-1].is_open:
                    still_open[pair] = number, pair, len(parts) - 1
        return crossing


def _group(pair: bytes) -> int:
    return crc32(pair) % GROUPS


def _opened(opened: tuple[float, int], base: int) -> tuple[float, int]:
    return opened[0] + base, opened[1]


def _placed(row: Row, base: int, last: int) -> Row:
    """Count the packets of a moment from the front of the first file; what comes behind the last is the end."""
    number, by_waiting, opened, place = row.moment
    number += base
    if number > last or (number == last and by_waiting):
        number, by_waiting = inf, False
    row.moment = Moment(number, by_waiting, _opened(opened, base), place)
    return row
