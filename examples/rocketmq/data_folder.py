"""What is kept about a store beside its data: a lock, the sizes of its files, and a checkpoint."""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from . import durable
from .consume_queue import ENTRY
from .record import BLANK, HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import Settings

__all__ = ["Checkpoint", "QueueKey", "Sizes", "StoreError", "StoreLockedError", "hold", "sizes_of"]

QueueKey: TypeAlias = tuple[str, int]
"""A topic, and a queue of it."""
_SIZES: Final = "sizes.json"


class StoreError(Exception):
    """A folder is no store, or not one any more."""


class StoreLockedError(StoreError):
    """Somebody else has the store open."""


def hold(folder: Path) -> int:
    """Lock a folder and return the descriptor that holds the lock. Raises StoreLockedError. Sources: flock(2)."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StoreLockedError(f"{folder} is in use by another broker: {error}") from None
    return descriptor


@dataclass(frozen=True)
class Sizes:
    """Of the files of a store. Never changed: where a byte is follows from them."""

    log_file: int
    queue_file: int

    def __post_init__(self) -> None:
        for value in (self.log_file, self.queue_file):
            if not isinstance(value, int):
                raise TypeError(f"{value!r} is no size")
        if self.log_file <= HEAD.size + BLANK.size or self.queue_file < ENTRY.size or self.queue_file % ENTRY.size:
            raise ValueError(f"no store can have files of {self.log_file} and {self.queue_file} bytes")


def sizes_of(folder: Path, settings: Settings | None = None) -> Sizes:
    """Return the sizes of a store; those of the settings, which are kept then, if there is none yet.

    Raises StoreError if nobody knows them: taking others would be the end of the data.
    """
    try:
        found = durable.load(folder / _SIZES)
        if found:
            return Sizes(**found)
    except (ValueError, TypeError) as error:
        raise StoreError(f"{folder / _SIZES} does not say of what sizes the files are: {error}") from None
    if settings is None or any((folder / "commitlog").glob("*")):
        raise StoreError(f"there is no {folder / _SIZES}, so nobody knows of what sizes the files are")
    sizes = Sizes(settings.log_file, settings.queue_file)
    durable.save(folder / _SIZES, json.dumps(asdict(sizes)))
    return sizes


@dataclass
class Checkpoint:
    """A position at which a file of the log begins, and up to which offset each queue went there."""

    position: int = 0
    ends: dict[QueueKey, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint. If it is none, everything has to be gone through: so says one at 0."""
        try:
            found = durable.load(path)
            ends = {(topic, int(queue)): int(end) for topic, queue, end in found["ends"]}
            checkpoint = cls(int(found["position"]), ends)
            return checkpoint if checkpoint.text() == json.dumps(found) else cls()
        except (ValueError, TypeError, KeyError):
            return cls()

    def text(self) -> str:
        """Return what ``load`` reads: with a CRC, since what is believed wrongly would hide messages."""
        fields = {"position": self.position, "ends": [[*key, end] for key, end in self.ends.items()]}
        return json.dumps({**fields, "crc": zlib.crc32(json.dumps(fields).encode())})
