"""A picture of a data directory in words: partitions, segments, indexes, and what of it is held for more to come.

Nothing is written or locked, so it may be looked at while a broker is at work. Headers are read from the files' maps, a
checksum is told of the last batch alone.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from struct import Struct

from bytebufs import FileRegion, SliceBuffer

from .batch import Batch, CorruptBatchError, checksum, header_at
from .index import OFFSETS, TIMES

__all__ = ["picture"]


def picture(data: Path) -> Iterator[str]:
    """Yield the lines of a picture of all that is in a data directory."""
    yield f"{data}: {'a broker is at work' if _is_locked(data / '.lock') else 'nobody is at work'}"
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        yield from _of_partition(folder)


def _is_locked(lock: Path) -> bool:
    if not lock.exists():
        return False
    descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _of_partition(folder: Path) -> Iterator[str]:
    logs = sorted(folder.glob("[0-9]" * 20 + ".log"))
    size = sum(path.stat().st_size for path in logs if path.exists())
    yield f"{folder.name}: {_many(len(logs), 'segment')}, {_many(size, 'byte')}"
    for path in logs:
        try:
            yield from _of_segment(path)
        except FileNotFoundError:  # the broker that is at work has deleted it
            yield f"  {path.name}: not there any more"


def _of_segment(path: Path) -> Iterator[str]:
    region = FileRegion(path)[:]
    found = list(_batches(region))
    size = sum(header.nbytes for _, header in found)
    yield f"  {path.name}: {_many(len(found), 'batch')}, {_many(sum(header.records for _, header in found), 'record')}"
    if found:
        last = found[-1][1]
        latest = max(header.max_timestamp for _, header in found)
        yield f"    offsets {found[0][1].base_offset} to {last.end - 1}, {_many(size, 'byte')}, latest {_date(latest)}"
        is_right = checksum(region[size - last.nbytes : size]) == last.crc
        yield f"    the last batch has {'its' if is_right else 'not its'} checksum"
    if size < len(region):
        yield f"    from byte {size} on no batch: {_many(len(region) - size, 'byte')} that recovery cuts off"
    yield _of_index(path.with_suffix(".index"), OFFSETS, 1)
    yield _of_index(path.with_suffix(".timeindex"), TIMES, 1)


def _batches(region: SliceBuffer) -> Iterator[tuple[int, Batch]]:
    at = 0
    while at < len(region):
        try:
            header = header_at(region, at)
        except CorruptBatchError:
            return
        if header.nbytes > len(region) - at:
            return
        yield at, header
        at += header.nbytes


def _of_index(path: Path, layout: Struct, rising: int) -> str:
    """Tell of an index how much of it is entries: the rest is pinned on the disk, so that the map can be written to."""
    if not path.exists():
        return f"    {path.suffix[1:]}: not there, to be rebuilt"
    region = FileRegion(path)[:]
    room = len(region) // layout.size
    used = 0
    before = -1
    while used < room and (entry := region.unpack_from(layout, used * layout.size))[rising] > before:
        before = entry[rising]
        used += 1
    held = len(region) - used * layout.size
    return f"    {path.suffix[1:]}: {_many(used, 'entry')}, and {_many(held, 'byte')} held for more"


def _date(ms: int) -> str:
    try:
        return (
            datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds") if ms >= 0 else "without a time"
        )
    except (OverflowError, ValueError):
        return f"{ms} ms"


def _many(number: int, what: str) -> str:
    plural = {"entry": "entries", "batch": "batches"}.get(what, what + "s")
    return f"{number:,} {what if number == 1 else plural}"
