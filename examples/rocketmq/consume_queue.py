"""A queue of a topic, as consumers see it: for each message an entry of 20 bytes, in mapped files.

    0  8  position in the log        8  4  size        12  8  hash of the tag

The entry at queue offset n lies at byte 20 n, so finding a message is a multiplication, and what a consumer's tags
leave out is passed over without a look at the log. Entries are written behind the log and never written out by us:
whatever is wrong with them, they are made anew from it.
"""

from __future__ import annotations

from bisect import bisect_left
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .mapped_files import MappedFiles

__all__ = ["ENTRY", "ConsumeQueue", "Entry"]

ENTRY: Final = Struct(">qiq")


class Entry(NamedTuple):
    """Where a message is."""

    position: int
    size: int
    tag_hash: int


class ConsumeQueue:
    """Entries from ``start`` up to ``end``, counted as queue offsets."""

    def __init__(self, files: MappedFiles) -> None:
        if files.file_size % ENTRY.size:
            raise ValueError(f"a file of {files.file_size} bytes holds no whole number of entries")
        self._files = files
        self.start = self.end = 0

    def prepare(self) -> None:
        """Have a file for the next entry, and its map. Raises OSError, and nothing has changed."""
        at = self.end * ENTRY.size
        self._files.make(at)
        self._files.memory(at)  # without a descriptor left for it, a message would be in the log and in no queue

    def append(self, entry: Entry) -> None:
        """Add the entry that there is a file for."""
        at = self.end * ENTRY.size
        self._files.memory(at).writable.write_at(at - self._files.first_of(at), ENTRY.pack(*entry))
        self.end += 1

    def begin(self, offset: int) -> None:
        """Begin anew, at an offset, with no entries."""
        self._files.clear()
        self.start = self.end = offset

    def __getitem__(self, offset: int) -> Entry:
        """Return the entry at a queue offset, from ``start`` on and below ``end``."""
        if not self.start <= offset < self.end:
            raise IndexError(f"queue offset {offset} is not from {self.start} to {self.end}")
        at = offset * ENTRY.size
        return Entry(*self._files.memory(at).shown.unpack_from(ENTRY, at - self._files.first_of(at)))

    def __len__(self) -> int:
        """Return up to where there are entries: an end for bisection, which begins at ``start``."""
        return self.end

    def entries(self, start: int, stop: int) -> Iterator[Entry]:
        """Return the entries of a range that is within the queue's."""
        at, stop = start * ENTRY.size, stop * ENTRY.size
        while at < stop:
            first = self._files.first_of(at)
            here = self._files.memory(at).shown[at - first : stop - first]
            for fields in here.iter_unpack(ENTRY):
                yield Entry(*fields)
            at += len(here)

    def trust(self, end: int, log_start: int, log_end: int) -> bool:
        """Take the entries below an offset as they are, if they could be right: each behind the one before.

        Those of messages that are no longer kept may be missing, or never have been written.
        """
        start = min(self._files.start // ENTRY.size, end)
        if self._files.was_damaged or end * ENTRY.size > self._files.stop:
            return False
        gone = before = 0
        for entry in self.entries(start, end):
            is_unwritten = not any(entry) and not before and log_start
            if not is_unwritten and (entry.size <= 0 or not before <= entry.position <= log_end - entry.size):
                return False
            before = entry.position + entry.size
            gone += entry.position < log_start
        self.start, self.end = start + gone, end
        return True

    def forget(self, log_start: int) -> None:
        """Leave out messages that the log no longer has, and delete files without others, but for the last."""
        self.start = bisect_left(self, log_start, self.start, self.end, key=lambda entry: entry.position)
        while self._files.file_count > 1 and self._files.start + self._files.file_size <= self.start * ENTRY.size:
            self._files.delete_first()
