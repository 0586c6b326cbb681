"""What one operation costs as the parts of a buffer become many: whether that stays flat.

Buffers are filled from nothing to so many parts, or emptied, or looked into. Where they are small it takes many of
them, so that the loop around the operation and the memory in use are alike at every size.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import cache, partial
from itertools import combinations, cycle, islice
from typing import Any, Final, TypeAlias

from bytebufs import CompositeBuffer, Part, SliceBuffer

from ._harness import OURS, Action, Cell, Contender, Goal, Sample

__all__ = ["plan"]

SIZES: Final = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
PART: Final = 16
BISECT: Final = "plain bisect"
COPIES: Final = "copies of plain lists"

_WORD: Final = b"1234567\n89abcdef"

Calls: TypeAlias = "tuple[Callable[[Any], object], Sequence[object]]"
"""What to call, and with what each time."""


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    sizes = SIZES[:2] if quick else SIZES
    times = 100 if quick else 10_000
    return [
        partial(_changing, "append", partial(_appending, _parts), sizes, times, 1.5),
        partial(_changing, "append clipped", partial(_appending, _clipped_parts), sizes, times, 2),
        partial(_changing, "take", _taking, sizes, times, 1.5),
        partial(_changing, "skip", _skipping, sizes, times, 1.5),
        partial(_looking, "index", _indexing, sizes, times),
        partial(_looking, "find", _finding, sizes, times),
        partial(_random_index, sizes, times),
        partial(_freezing, sizes),
    ]


def _cell(operation: str, per: str, count: int, contenders: Sequence[Contender], bound: float) -> Cell:
    return Cell("growth", {"operation": operation}, per, count, contenders, [_flat(bound)])


def _name(parts: int) -> str:
    return f"{parts:,} parts".replace(",", " ")


# -- goals ---------------------------------------------------------------------------------------------------


def _flat(bound: float) -> Goal:
    """Ask that no size costs more than ``bound`` times what a smaller one does."""
    return Goal("cost against fewer parts", "at most", bound, partial(_steepest, None))


def _steepest(rival: str | None, samples: Mapping[str, Sample]) -> tuple[float, str]:
    """Return by how much the cost grows at most from a size to a larger one; as a multiple of a rival's, if given."""
    costs = [
        (name, sample.median / (samples[f"{name}, {rival}"].median if rival else 1))
        for name, sample in samples.items()
        if sample.group == OURS
    ]
    return max((more / less, f"{few} to {many}") for (few, less), (many, more) in combinations(costs, 2))


# -- buffers -------------------------------------------------------------------------------------------------


@cache
def _parts(count: int) -> list[bytes]:
    """Return so many bytes objects of their own, as a socket gives them."""
    return [bytes(bytearray(_WORD)) for _ in range(count)]


@cache
def _clipped_parts(count: int) -> list[SliceBuffer]:
    """Return so many slices that leave out bytes between them, and so never merge."""
    owner = SliceBuffer(_WORD * (2 * count))
    return [owner[at : at + PART] for at in range(0, 2 * PART * count, 2 * PART)]


@cache
def _begins(count: int) -> list[int]:
    return list(range(0, count * PART, PART))


@cache
def _buffer(count: int) -> CompositeBuffer:
    return CompositeBuffer(_parts(count))


# -- operations that change a buffer -------------------------------------------------------------------------


def _changing(operation: str, calls_of: Callable[[int], Calls], sizes: Sequence[int], times: int, bound: float) -> Cell:
    contenders = [
        Contender(
            _name(size),
            OURS,
            partial(_changed, calls_of, size, max(1, times // size)),
            once=True,
            weight=max(1, size / times),
        )
        for size in sizes
    ]
    return _cell(operation, "operation", times, contenders, bound)


def _changed(calls_of: Callable[[int], Calls], size: int, buffers: int) -> Action:
    """Prepare what fills, or empties, so many buffers one after the other."""
    calls: list[Callable[[Any], object]] = []
    arguments: list[object] = []
    for _ in range(buffers):
        more, theirs = calls_of(size)
        calls += [more] * size
        arguments += theirs

    def action() -> None:
        for call, argument in zip(calls, arguments):
            call(argument)

    return action


def _appending(parts_of: Callable[[int], Sequence[Part]], size: int) -> Calls:
    return CompositeBuffer().append, parts_of(size)


def _taking(size: int) -> Calls:
    return copy(_buffer(size)).take, [PART] * size


def _skipping(size: int) -> Calls:
    return copy(_buffer(size)).skip, [PART] * size


# -- operations that only look -------------------------------------------------------------------------------


def _looking(
    operation: str, look: Callable[[CompositeBuffer, list[int]], Action], sizes: Sequence[int], times: int
) -> Cell:
    contenders = [Contender(_name(size), OURS, partial(look, _buffer(size), _ahead(size, times))) for size in sizes]
    return _cell(operation, "operation", times, contenders, 1.5)


def _ahead(size: int, times: int) -> list[int]:
    """Return positions one after the other, from the middle on and round."""
    return list(islice(cycle(range(size * PART)), size * PART // 2, size * PART // 2 + times))


def _indexing(buffer: CompositeBuffer, positions: list[int]) -> Action:
    def action() -> None:
        for at in positions:
            buffer[at]

    return action


def _finding(buffer: CompositeBuffer, positions: list[int]) -> Action:
    """Look for the end of the line, from each position in turn; it is in this part, the next one, or nowhere."""

    def action() -> None:
        find = buffer.find
        for at in positions:
            find(b"\n", at)

    return action


def _random_index(sizes: Sequence[int], times: int) -> Cell:
    contenders = []
    for size in sizes:
        noise = random.Random(size)
        positions = [noise.randrange(size * PART) for _ in range(times)]
        contenders.append(Contender(_name(size), OURS, partial(_indexing, _buffer(size), positions)))
        contenders.append(Contender(f"{_name(size)}, {BISECT}", BISECT, partial(_bisecting, size, positions)))
    goal = Goal(f"growth against that of {BISECT}", "at most", 1.5, partial(_steepest, BISECT))
    return Cell("growth", {"operation": "random index"}, "operation", times, contenders, [goal])


def _bisecting(size: int, positions: list[int]) -> Action:
    """Prepare what one writes by hand: the parts in a list, and where each begins in another."""
    parts = _parts(size)
    begins = _begins(size)

    def action() -> None:
        for at in positions:
            i = bisect_right(begins, at) - 1
            parts[i][at - begins[i]]

    return action


def _freezing(sizes: Sequence[int]) -> Cell:
    """A frozen buffer has lists of its own: copying them grows with the caches that they do not fit in any more."""
    most = sizes[-1]
    contenders = []
    for size in sizes:
        times = most // size
        contenders.append(Contender(_name(size), OURS, partial(_frozen, _buffer(size), times)))
        contenders.append(Contender(f"{_name(size)}, {COPIES}", COPIES, partial(_copied, size, times)))
    goal = Goal(f"growth against that of {COPIES}", "at most", 1.5, partial(_steepest, COPIES))
    return Cell("growth", {"operation": "freeze"}, "part", most, contenders, [goal])


def _frozen(buffer: CompositeBuffer, times: int) -> Action:
    def action() -> None:
        for _ in range(times):
            buffer.freeze()

    return action


def _copied(size: int, times: int) -> Action:
    parts, begins = _parts(size), _begins(size)

    def action() -> None:
        for _ in range(times):
            _ = parts[:], begins[:]

    return action
