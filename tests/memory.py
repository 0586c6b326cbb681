"""How much memory something takes, where others take some in the same process, too; and how to let it have little."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def least(measure: Callable[[], int], enough: int) -> int:
    """Measure once, or where that is not below ``enough`` three times, and return the least.

    What some work takes or leaves, it takes or leaves each time. What comes once is not its own: the thread of the test
    runner receives the next tests, and the interpreter lays its table of names anew (compiled code makes some for each
    traceback), which has megabytes.
    """
    found = measure()
    for _ in range(2):
        if found >= enough:
            found = min(found, measure())
    return found


def peak_while(work: Callable[[], object], enough: int) -> int:
    """Return the most bytes that were allocated at a time while some work was done, as ``least`` does."""

    def measure() -> int:
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return least(measure, enough)


def kept_by(fill: Callable[[], object], enough: int) -> tuple[object, int]:
    """Return what a call makes, and the heap memory that it keeps, measured as ``least`` does."""
    made: object = None

    def measure() -> int:
        nonlocal made
        made = None  # what the last call made is not to go meanwhile
        gc.collect()
        tracemalloc.start()
        try:
            made = fill()
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    kept = least(measure, enough)
    return made, kept


@contextmanager
def address_space_for(nbytes: int) -> Iterator[None]:
    """Let the process have so many bytes of addresses more than it has, until the end of the block."""
    gc.collect()  # or what can be had by that is found when memory is missed
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + nbytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
