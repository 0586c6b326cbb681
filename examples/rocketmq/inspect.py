"""A picture of a store for people: its files, what is in them, and what is kept alive though it was deleted.

It only reads, and asks for no lock: a broker may be at work meanwhile, and what it is writing then looks unfinished.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from bytebufs import MappedFile

from . import record
from .consume_queue import ENTRY
from .data_folder import Checkpoint, sizes_of
from .record import BLANK, BLANK_MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bytebufs import BaseBuffer

    from .record import Head

__all__ = ["picture"]


def picture(folder: Path) -> str:
    """Return what there is in a data directory, as lines of text. Raises StoreError if it is none."""
    sizes = sizes_of(folder)
    checkpoint = Checkpoint.load(folder / "checkpoint.json")
    lines = [
        f"{folder}: files of {sizes.log_file} bytes, of queues {sizes.queue_file}; checkpoint at {checkpoint.position}",
        "log",
        *(f"  {path.name}  {_log_file(path)}" for path in _files(folder / "commitlog")),
        "queues",
        *(f"  {line}" for line in _queues(folder / "consumequeue")),
        "pinned",
        *(f"  {line}" for line in _pinned(folder)),
    ]
    return "\n".join(lines)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.name.isdecimal())


def _log_file(path: Path) -> str:
    """Say what is in a file of the log."""
    with MappedFile(path) as mapped:
        memory = mapped[:]
    heads = [*_records(memory, int(path.name))]
    used = sum(head.size for head in heads)
    if not heads:
        return f"0 records, then {_rest(memory)}"
    first, last = _clock(heads[0].stored_at), _clock(heads[-1].stored_at)
    return f"{len(heads)} records in {used} bytes, stored {first} to {last}, then {_rest(memory[used:])}"


def _records(memory: BaseBuffer, first: int) -> Iterator[Head]:
    """Go through the records that are whole, from a file's first byte on."""
    at = 0
    while (head := record.head_at(memory, at)) and record.is_record(head, first + at, len(memory) - at):
        if not record.is_whole(memory[at : at + head.size]):
            return
        yield head
        at += head.size


def _rest(rest: BaseBuffer) -> str:
    if len(rest) >= BLANK.size and rest.unpack_from(BLANK) == (len(rest), BLANK_MAGIC):
        return f"a blank of {len(rest)}"
    zeros = rest.count(0) == len(rest)
    return f"{len(rest)} free" if zeros else f"{len(rest)} that are no record"


def _clock(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def _queues(folder: Path) -> Iterator[str]:
    """Say of each queue which entries it has, and how many messages have no tag, or which hash of one."""
    for topic in sorted(folder.glob("*")):
        for queue in sorted(topic.glob("*"), key=lambda path: path.name.zfill(10)):
            files = _files(queue)
            entries = [entry for path in files for entry in _entries(path)]
            if not entries:
                yield f"{topic.name} {queue.name}  0 entries in {len(files)} files"
                continue
            tags = Counter(hash_ for *_, hash_ in entries)
            shown = ", ".join(f"{hash_}: {count}" for hash_, count in tags.most_common(5))
            first = int(files[0].name) // ENTRY.size
            name = f"{topic.name} {queue.name}"
            yield f"{name}  {len(entries)} entries in {len(files)} files, from {first} on; tags {shown}"


def _entries(path: Path) -> list[tuple[int, ...]]:
    """Return the entries of a file that were written."""
    with MappedFile(path) as mapped:
        memory = mapped[: path.stat().st_size // ENTRY.size * ENTRY.size]
    return [entry for entry in memory.iter_unpack(ENTRY) if entry[1] > 0]


def _pinned(folder: Path) -> Iterator[str]:
    """Say which deleted files of a store a process still has mapped. Sources: proc_pid_maps(5)."""
    start = f"{folder.resolve()}/"
    for maps in sorted(Path("/proc").glob("[0-9]*/maps")):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            for line in maps.read_text(errors="replace").splitlines():
                name = line.partition("/")[1:]
                path = "".join(name)
                if path.startswith(start) and path.endswith(" (deleted)"):
                    yield f"{path.removeprefix(start)} by process {maps.parent.name}"
