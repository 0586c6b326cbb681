"""What may be chosen about a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = ["Flush", "Settings"]

Flush: TypeAlias = Literal["sync", "async"]
"""When what was appended is on the disk: before a producer is told, or some time later."""
_ENTRIES: Final = 300_000
_ENTRY: Final = 20
_HOUR: Final = 3600 * 1000


@dataclass(frozen=True)
class Settings:
    """Sizes in bytes, times in seconds, but for ages, which are in milliseconds as timestamps are.

    The sizes of files are those of a store when it is made; they are kept with it.
    """

    flush: Flush = "async"
    """RocketMQ's flushDiskType, which is ASYNC_FLUSH unless changed."""
    log_file: int = 64 << 20
    """RocketMQ's mappedFileSizeCommitLog is 1 GiB. What is preallocated is gone from the disk, and the last two files
    are checked when a store is opened, so less serves better where a broker is not a machine of its own."""
    queue_file: int = _ENTRIES * _ENTRY
    """RocketMQ's mappedFileSizeConsumeQueue."""
    maps: int = 256
    """Files that are mapped at a time: each has a descriptor, of which a process often has 1024."""
    flush_interval: float = 0.5
    """RocketMQ's flushIntervalCommitLog."""
    flush_least: int = 4 * 4096
    """RocketMQ's flushCommitLogLeastPages. Less than that waits for ``flush_thoroughly``."""
    flush_thoroughly: float = 10.0
    """RocketMQ's flushCommitLogThoroughInterval."""
    keep_ms: int | None = 72 * _HOUR
    """Older messages may be deleted: RocketMQ's fileReservedTime. None: none are."""
    keep_bytes: int | None = None
    """Files of the log beyond so many bytes may be deleted. None: none are."""
