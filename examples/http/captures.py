"""Capture files: mapped, in the order in which they were written, and the messages in all of them."""

from __future__ import annotations

import gc
import mmap
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from bytebufs import SliceBuffer

from .capture import CaptureError, Packet, read_packets
from .reassembly import Counts, Found, Reassembly

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["Problem", "Results", "first_time", "in_order", "map_file", "progress_bar", "read_all", "seldom_collected"]

LONG_CAPTURE: Final = 32 << 20
"""Bytes of captures that take long enough for a progress bar to be of use."""
STEP: Final = 1024
"""Packets after which it moves."""


class Problem(NamedTuple):
    """Why a file could not be read, or not to its end."""

    path: Path
    error: CaptureError | OSError


@dataclass(slots=True)
class Results:
    """What is known when all has been read."""

    counts: Counts = field(default_factory=Counts)
    problems: list[Problem] = field(default_factory=list)


def map_file(path: Path) -> SliceBuffer:
    """Map a regular file and show all of it. Raises CaptureError for an empty one. Copies: nothing."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CaptureError("not a regular file")
    if status.st_size == 0:
        raise CaptureError("the file is empty")
    with path.open("rb") as file:
        # Never closed by name: the map lives as long as a slice shows a piece of it.
        return SliceBuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def first_time(path: Path) -> float:
    """Return the time of the first packet; infinity for a file without one. Raises as map_file() and read_packets()."""
    return next((packet.time for packet in read_packets(map_file(path))), inf)


def in_order(paths: Iterable[Path]) -> tuple[list[Path], list[Problem]]:
    """Sort captures by the times of their first packets, and by name; leave out those that cannot be read."""
    times: list[tuple[float, Path]] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            times.append((first_time(path), path))
        except (CaptureError, OSError) as error:
            problems.append(Problem(path, error))
    return [path for _, path in sorted(times)], problems


def read_all(paths: Sequence[Path], results: Results) -> Iterator[Found]:
    """Yield what is in captures, which are taken for one, as it ends; afterwards `results` has the rest."""
    reassembly = Reassembly()
    results.counts = reassembly.counts
    size = sum(path.stat().st_size for path in paths)
    with seldom_collected(), progress_bar(size, "reading packets") as bar:
        for path in paths:
            try:
                file = map_file(path)
                before = reassembly.counts.packets
                yield from reassembly.read(bar.along(read_packets(file, before), len(file)))
            except (CaptureError, OSError) as error:
                results.problems.append(Problem(path, error))
        yield from reassembly.end()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for garbage less often in a block: packets, which are many, are none, and streams, which are, are few."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Bar:
    """A bar on the terminal, or nothing."""

    def __init__(self, progress: Progress | None, what: str, size: int) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task(what, total=size)

    def __enter__(self) -> _Bar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def along(self, packets: Iterator[Packet], size: int) -> Iterator[Packet]:
        """Move while the packets of a file of so many bytes come by."""
        return packets if self._progress is None else self._moved(packets, size)

    def _moved(self, packets: Iterator[Packet], size: int) -> Iterator[Packet]:
        done = 0
        for packet in packets:
            yield packet
            if packet.number % STEP == 0:
                self.move(packet.start - done)
                done = packet.start
        self.move(size - done)

    def move(self, nbytes: int) -> None:
        """Move on by so many bytes."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, nbytes)


def progress_bar(size: int, what: str) -> _Bar:
    """Return a bar for so many bytes: one is drawn if that takes long, somebody looks, and rich is installed."""
    if size < LONG_CAPTURE or not sys.stderr.isatty():
        return _Bar(None, what, size)
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        return _Bar(None, what, size)
    return _Bar(Progress(console=Console(stderr=True), transient=True), what, size)
