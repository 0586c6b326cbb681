"""Fill a small disk by each way of writing, make room, and go on: a program, as only it sees that disk.

    python -m tests.faults.disk_filler FOLDER

Prints each way that is through.
"""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from bytebufs import FileRegion, MappedFile, Outbox, flush, transfer

from .trials import alternating, content_of

CONTENT: Final = content_of(900_000)
BALLAST: Final = 600_000


def disk_is_full(call: Callable[[], object]) -> OSError:
    """Return the error of a call that is to find no room."""
    try:
        call()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return error
        raise
    raise AssertionError("there was room")


def source() -> BinaryIO:
    """Return a file with the content, which lies on another disk."""
    file = tempfile.TemporaryFile()
    file.write(CONTENT)
    file.flush()
    return file


def by_flush(target: Path, room: Path, *, buffering: int = 0, of_file: bool = False) -> None:
    b = alternating(CONTENT)
    if of_file:
        with source() as file:
            b.splice(0, 500_000, FileRegion(file, 0, 500_000)[:])
    with target.open("wb", buffering) as file:
        error = disk_is_full(lambda: flush(b, file))
        went = error.bytes_flushed  # type: ignore[attr-defined]  # as is documented
        assert 0 < went == target.stat().st_size < len(b)
        again = disk_is_full(lambda: flush(b[went:], file))
        assert again.bytes_flushed == 0  # type: ignore[attr-defined]
        b._check()
        room.unlink()
        flush(b[went:], file)
    assert target.read_bytes() == b == CONTENT


def by_outbox(target: Path, room: Path) -> None:
    told = []
    outbox = Outbox()
    outbox.put(alternating(CONTENT), on_sent=lambda: told.append(1))
    with target.open("wb", 0) as file:
        for turn in range(2):
            error = disk_is_full(lambda: outbox.flush(file))
            assert (error.bytes_flushed > 0) == (turn == 0)  # type: ignore[attr-defined]
            assert target.stat().st_size + outbox.pending == len(CONTENT)
            outbox._queue._check()
        assert not told
        room.unlink()
        while outbox.pending:
            outbox.flush(file)
        assert told == [1]
    assert target.read_bytes() == CONTENT


def by_transfer(target: Path, room: Path) -> None:
    with source() as full, target.open("wb", 0) as file:
        error = disk_is_full(lambda: transfer(full, file))
        went = error.bytes_flushed  # type: ignore[attr-defined]
        assert 0 < went == file.tell() == target.stat().st_size
        room.unlink()
        transfer(full, file, went)
    assert target.read_bytes() == CONTENT


def by_copy(target: Path, room: Path) -> None:
    """Memory that starts as a file is written to however full the disk is."""
    target.write_bytes(CONTENT[:100_000])
    with (room.parent / "more").open("wb", 0) as file:
        disk_is_full(lambda: flush(bytes(1 << 20), file))
    mapped = MappedFile(target, access="copy")
    changed = mapped[:]
    changed.write_at(0, bytes(100_000))
    assert changed == bytes(100_000)
    assert target.read_bytes() == CONTENT[:100_000]


def by_write(target: Path, room: Path) -> None:
    """What a map writes to lies on the disk already: a file of a full disk is changed in place."""
    target.write_bytes(CONTENT[:100_000])
    with (room.parent / "more").open("wb", 0) as file:
        disk_is_full(lambda: flush(bytes(1 << 20), file))
    mapped = MappedFile(target, access="write")
    mapped[:].write_at(0, b"changed")
    mapped.flush()
    assert target.read_bytes() == b"changed" + CONTENT[7:100_000]


WAYS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "flush": by_flush,
    "outbox": by_outbox,
    "transfer": by_transfer,
    "buffered": lambda target, room: by_flush(target, room, buffering=1 << 16),
    "region": lambda target, room: by_flush(target, room, of_file=True),
    "copy": by_copy,
    "write": by_write,
}

if __name__ == "__main__":
    for name, way in WAYS.items():
        at = Path(sys.argv[1]) / name
        at.mkdir()
        (at / "ballast").write_bytes(bytes(BALLAST))
        way(at / "file", at / "ballast")
        shutil.rmtree(at)
        print(name)  # noqa: T201
