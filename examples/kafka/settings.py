"""How a partition's log is kept. The names are Kafka's own, with underscores, and so are the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, final

__all__ = ["Flush", "LogSettings"]

Flush: TypeAlias = Literal["sync", "async", "never"]
"""When the log is brought to the disk: before a producer is told, from time to time, or when the system likes."""


@final
@dataclass(frozen=True)
class LogSettings:
    """Sizes in bytes, times in milliseconds; -1 is no limit."""

    segment_bytes: int = 1 << 30
    """A segment that would grow beyond this is followed by another one. At most 2 GiB: positions have 32 bits."""
    segment_ms: int = 7 * 24 * 3_600_000
    """Nor does one take more, once it is so old: so that old records can go."""
    retention_bytes: int = -1
    """Whole segments are deleted, the oldest first, while the others have so much."""
    retention_ms: int = 7 * 24 * 3_600_000
    """Whole segments are deleted whose latest record is older."""
    index_interval_bytes: int = 4096
    """The indexes have an entry for the first batch behind so many bytes."""
    max_message_bytes: int = 1_048_588
    """Of a batch, its header included."""
    flush: Flush = "never"
    flush_messages: int = 10_000
    """By async flush: so many records may wait (log.flush.interval.messages, which has no default)."""
    flush_ms: int = 500
    """By async flush: a record waits so long, and a round of ``Log.tend`` (RocketMQ's flush interval)."""

    def __post_init__(self) -> None:
        if not 0 < self.segment_bytes <= (1 << 31) - 1 or self.index_interval_bytes < 1:
            raise ValueError(
                f"no log has segments of {self.segment_bytes} bytes, indexed by {self.index_interval_bytes}"
            )
        if self.flush not in {"sync", "async", "never"}:
            raise ValueError(f"flush is sync, async or never, not {self.flush!r}")

    @property
    def index_entries(self) -> int:
        """Entries that the index of a full segment has at most."""
        return self.segment_bytes // self.index_interval_bytes + 1
