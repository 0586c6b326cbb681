"""What is deleted: whole files of the log, the oldest first, when they are too old or there are too many.

The last message of a file is no later than the first of the next, so one look at that tells whether all are old.
Files that opening a store would go through are kept: the last two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .commitlog import CommitLog
    from .settings import Settings

__all__ = ["delete_old"]


def delete_old(log: CommitLog, settings: Settings, *, now: int, below: int) -> int:
    """Delete old files that end at ``below`` or before, and return how many. Slices held of them stay what they are."""
    deleted = 0
    while log.start + log.files.file_size <= below and _is_old(log, settings, now):
        log.files.delete_first()
        deleted += 1
    return deleted


def _is_old(log: CommitLog, settings: Settings, now: int) -> bool:
    if settings.keep_bytes is not None and log.files.stop - log.start > settings.keep_bytes:
        return True
    following = log.glance(log.start + log.files.file_size)
    return settings.keep_ms is not None and following is not None and following.head.stored_at < now - settings.keep_ms
