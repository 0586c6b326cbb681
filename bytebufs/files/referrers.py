"""Who still shows a map, as text for the one who wants to close it. Best effort: the collector tells what it tracks."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

from .._core.parts import Run
from .._core.table import Table
from ..base_buffer import BaseBuffer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._core.parts import Memory

__all__ = ["count_views", "holders"]

_MOST: Final = 5
"""Holders that a sentence names."""


def count_views(target: object) -> int:
    """Return how many memoryviews show an object, at least."""
    managed = [found for found in _referrers([target]) if type(found).__name__ == "managedbuffer"]
    return sum(type(found) is memoryview for found in _referrers(managed))


def holders(memory: Memory) -> str:
    """Return who holds the buffers that show some memory, in a few words; "" where nobody is found.

    Not found are local variables of functions that run. Complexity: O(objects in the process).
    """
    buffers = _buffers_over(memory)
    named = sorted({_text(referrer, buffers) for referrer in _referrers(buffers)})
    more = len(named) - _MOST
    return ", ".join([*named[:_MOST], f"{more} more"] if more > 0 else named)


def _buffers_over(memory: Memory) -> list[object]:
    """Return the buffers that show some memory: alone, or by runs in lists of tables."""
    first = _referrers([memory])
    lists = [found for found in _referrers([run for run in first if isinstance(run, Run)]) if type(found) is list]
    tables = [found for found in _referrers(lists) if isinstance(found, Table)]
    return [found for found in [*first, *_referrers(tables)] if isinstance(found, BaseBuffer)]


def _referrers(targets: Sequence[object]) -> list[object]:
    """Return what refers to any of the targets, but for what this very call is made of."""
    given = tuple(targets)
    return [found for found in gc.get_referrers(*given) if found is not given and found is not targets]


def _text(referrer: object, buffers: list[object]) -> str:
    """Name what refers to a buffer. Runs no code of others: a repr might."""
    if isinstance(referrer, dict):
        wanted = {id(buffer) for buffer in buffers}
        # A copy at one go: another thread may change the dict meanwhile. A subclass has methods of its own.
        own = dict.copy(referrer)
        keys = [key for key, value in zip(own, own.values()) if id(value) in wanted and type(key) is str]
        module = dict.get(referrer, "__name__")
        owner = f"{module}." if type(module) is str else ""
        return ", ".join(f"{owner}{key}" for key in keys) or "a dict"
    return f"a {type(referrer).__name__}"
