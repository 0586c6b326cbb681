"""The log: all messages of all topics, one behind the other, in mapped files.

    |record|record|record|blank.....|record|record|0000000000
    0                               file_size     end

A record never straddles two files, so that each is one slice of one map. Where the next does not fit, the rest of the
file is a blank: eight bytes that say so, for which there always is room. Behind the end there are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import record
from .record import BLANK, BLANK_MAGIC, Head, MessageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bytebufs import SliceBuffer

    from .mapped_files import MappedFiles
    from .record import Sized

__all__ = ["CommitLog", "Kept"]

_START_OF_WRITING: Final = 8
"""A record's size and magic are written last: what was begun looks like nothing. Its CRC would tell, too."""


@dataclass(frozen=True)
class Kept:
    """A record in the log."""

    position: int
    head: Head
    bytes: SliceBuffer
    """A slice of the map. It stays what it is also when the file is deleted."""


class CommitLog:
    """Appends records and finds them. It does not write out: that is a matter of flushing."""

    def __init__(self, files: MappedFiles) -> None:
        self.files = files
        self.end = files.start
        """Where the next record goes. Known when ``recover`` has been through."""

    @property
    def start(self) -> int:
        """The first position that is kept."""
        return self.files.start

    def place_for(self, sized: Sized) -> int:
        """Return where a record of this size goes, with a file there. Nothing is written.

        Raises MessageError if no file could hold it, OSError if the next file cannot be made.
        """
        size, most = sized.size, self.files.file_size - BLANK.size
        if size > most:
            raise MessageError(f"a record of {size} bytes: files of {self.files.file_size} bytes hold up to {most}")
        position = self.end
        if self.end % self.files.file_size + size > most:
            position = self.files.first_of(self.end) + self.files.file_size
        self.files.make(position)
        return position

    def append(self, sized: Sized, position: int, *, queue_offset: int, stored_at: int) -> None:
        """Write a record to the place that there is for it. Copies: all of it, into the map."""
        parts = record.parts_of(sized, position=position, queue_offset=queue_offset, stored_at=stored_at)
        if position != self.end:
            self._write_blank()
        memory = self.files.memory(position).writable
        start = at = position - self.files.first_of(position)
        head = parts[0]
        memory.write_at(at + _START_OF_WRITING, head[_START_OF_WRITING:])
        for part in parts[1:]:
            at += len(head) if at == start else 0
            memory.write_at(at, part)
            at += len(part)
        memory.write_at(start, head[:_START_OF_WRITING])
        self.end = position + sized.size

    def _write_blank(self) -> None:
        at = self.end - self.files.first_of(self.end)
        blank = BLANK.pack(self.files.file_size - at, BLANK_MAGIC)
        self.files.memory(self.end).writable.write_at(at, blank)

    def at(self, position: int) -> Kept | None:
        """Return the record at a position, if one that is whole begins there. Any number may be asked for."""
        kept = self.glance(position)
        return kept if kept is not None and record.is_whole(kept.bytes) else None

    def glance(self, position: int) -> Kept | None:
        """Return what looks like a record from its head: its CRC is not computed, so its bytes are not looked at."""
        if not self.files.has(position):
            return None
        memory = self.files.memory(position).shown
        at = position - self.files.first_of(position)
        head = record.head_at(memory, at)
        if head is None or not record.is_record(head, position, len(memory) - BLANK.size - at):
            return None
        return Kept(position, head, memory[at : at + head.size])

    def recover(self, start: int) -> Iterator[Kept]:
        """Go through all records from the first of a file on, up to the first that is not whole; then that is the end.

        Whatever lies behind the end is wiped out, on the disk too, before anything else is written.
        """
        self.end = max(start, self.start)
        while self.files.has(self.end):
            kept = self.at(self.end)
            if kept is not None:
                yield kept
                self.end += kept.head.size
            elif self._is_blank(self.end):
                self.end = self.files.first_of(self.end) + self.files.file_size
            else:
                break
        if any(self._is_dirty(first) for first in self.files.firsts if first + self.files.file_size > self.end):
            self.files.cut(self.end)

    def _is_blank(self, position: int) -> bool:
        memory = self.files.memory(position).shown
        at = position - self.files.first_of(position)
        return len(memory) - at >= BLANK.size and memory.unpack_from(BLANK, at) == (len(memory) - at, BLANK_MAGIC)

    def _is_dirty(self, first: int) -> bool:
        """Whether there is anything but zeros behind the end."""
        memory = self.files.memory(first).shown
        rest = memory[max(self.end - first, 0) :]
        return bool(rest) and rest.count(0) != len(rest)
