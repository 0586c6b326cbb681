"""A segment: a file of batches, one behind the other, and the two indexes beside it.

    00000000000000000042.log        batches; the first has offset 42
    00000000000000000042.index      where some of them begin
    00000000000000000042.timeindex  when what was before them ended

Batches are written by one gathering call and never read back by one: headers are looked at in a map, and consumers get
regions of the file, which go out by ``sendfile``. After a crash the file is gone through: from the first batch on that
is not the very next, whole and under its checksum, all is cut off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, final

from bytebufs import BaseBuffer, CompositeBuffer, FileRegion, SliceBuffer, flush

from .batch import EPOCH, Batch, CorruptBatchError, checksum, header_at
from .flushing import LogBrokenError
from .index import OFFSETS, TIMES, Index
from .settings import LogSettings

__all__ = ["MOST_RECORDS", "Segment", "Vouched"]

MOST_RECORDS: Final = (1 << 32) - 1
"""Offsets in the indexes have 32 bits. A batch's header alone says how many it has: so a few bytes may say many."""
NEVER: Final = -1
"""The timestamp of no record."""


class Vouched(NamedTuple):
    """What was known of a segment when it was closed: sizes, and checksums of the indexes."""

    size: int
    entries: int
    offsets: int
    times: int
    end: int
    latest: int


_MOST_ENDS: Final = 64
"""Places that are remembered: so many consumers read a segment in turns without looking for theirs."""


class _Place(NamedTuple):
    """Where a batch lies, the offset behind it, and its latest timestamp."""

    at: int
    stop: int
    end: int
    latest: int


@final
class Segment:
    """The batches from ``base`` up to ``end``. Opening it without a ``vouched`` that fits scans all of it."""

    def __init__(self, folder: Path, base: int, settings: LogSettings, vouched: Vouched | None = None) -> None:
        self.base = base
        self.end = base
        self.size = 0
        self.latest = NEVER
        """The latest timestamp of its records."""
        self.first_at = NEVER
        """The latest timestamp of its first batch: how old the segment is."""
        self.path = folder / f"{base:020}.log"
        self.was_vouched = False
        """Whether it was not gone through from its beginning, and nothing was cut off: all of it is on the disk."""
        self._settings = settings
        self._ends: dict[int, int] = {}  # positions of offsets at which reads have ended
        self._behind: list[_Place] = []  # the batches behind the last entry of the indexes, that of the entry first
        self._region: FileRegion | None = None
        self._vouch: Vouched | None = None  # as it was told last: segments only grow
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._open(vouched)
        except BaseException:
            os.close(self._file)
            raise

    def _open(self, vouched: Vouched | None) -> None:
        size = os.fstat(self._file).st_size
        entries = vouched.entries if vouched is not None and vouched.size == size else 0
        self.offsets = Index(self.path.with_suffix(".index"), OFFSETS, self._settings.index_entries, count=entries)
        try:
            times = self.path.with_suffix(".timeindex")
            self.times = Index(times, TIMES, self._settings.index_entries, count=entries)
        except BaseException:
            self.offsets.close()
            raise
        if vouched is not None and entries and self._is_vouched(vouched):
            self._scan_from_entry(size)
            self.was_vouched = self.size == size
        else:
            self.offsets.cut(0)
            self.times.cut(0)
            self._scan(0, size)
        if self.size < size:
            self._region = None  # it shows what is cut off
            os.ftruncate(self._file, self.size)
        if self.size:
            self.first_at = header_at(self._bytes(0, self.size)).max_timestamp

    def _is_vouched(self, vouched: Vouched) -> bool:
        return self.offsets.checksum() == vouched.offsets and self.times.checksum() == vouched.times

    def vouch(self) -> Vouched:
        """Return what makes opening it quick, as long as its files stay as they are."""
        if self._vouch is None or self._vouch.size != self.size:
            self._vouch = Vouched(
                self.size, len(self.offsets), self.offsets.checksum(), self.times.checksum(), self.end, self.latest
            )
        return self._vouch

    # -- recovery ----------------------------------------------------------------------------------------------

    def _scan_from_entry(self, size: int) -> None:
        """Go through what is behind the last entries: the indexes are right."""
        self.end = self.base + self.offsets.last[0]
        self.latest = self.times.last[0] if len(self.times) else NEVER
        self._scan(self.offsets.last[1], size)

    def _scan(self, at: int, size: int) -> None:
        """Take the batches from there on, as long as each is whole and the next one, and index what is not."""
        self.size = at
        if at == size:
            return
        found = self._bytes(0, size)
        while self.size < size:
            header = self._valid_at(found, size)
            if header is None:
                break
            self._note(header)
        if self.size == at and len(self.offsets):  # not even the batch of the last entry is there
            self.offsets.cut(len(self.offsets) - 1)
            self.times.cut(len(self.offsets))
            self._scan_from_entry(at)  # what is behind the one before it is to be known

    def _valid_at(self, found: SliceBuffer, size: int) -> Batch | None:
        try:
            header = header_at(found, self.size)
        except CorruptBatchError:
            return None
        stop = self.size + header.nbytes
        if header.base_offset != self.end or header.leader_epoch != EPOCH or stop > size:
            return None
        return header if checksum(found[self.size : stop]) == header.crc else None

    def _note(self, header: Batch) -> None:
        """Take notice of a batch that begins where the segment has ended so far."""
        if not self.size:
            self.first_at = header.max_timestamp
        if self._is_to_be_indexed():
            self.offsets.append(self.end - self.base, self.size)
            self.times.append(self.latest, self.end - self.base)
            self._behind.clear()
        at = self.size
        self.size += header.nbytes
        self.end += header.records
        self._behind.append(_Place(at, self.size, self.end, header.max_timestamp))
        self.latest = max(self.latest, header.max_timestamp)

    def _is_to_be_indexed(self) -> bool:
        if not len(self.offsets):
            return True
        if self.offsets.is_full:  # it was made by other settings: then there is more to scan
            return False
        at = self.offsets.last[1]
        return self.size > at and self.size - at >= self._settings.index_interval_bytes

    # -- writing -----------------------------------------------------------------------------------------------

    def append(self, batches: CompositeBuffer, headers: list[Batch]) -> None:
        """Write batches by one gathering call. Raises OSError, as ENOSPC; then nothing was added.

        LogBrokenError if what was written of them could not be cut off again.
        """
        try:
            flush(batches, self._file)
        except BaseException as error:
            self._cut_back(error)
            raise
        for header in headers:
            self._note(header)

    def _cut_back(self, error: BaseException) -> None:
        try:
            os.ftruncate(self._file, self.size)
        except OSError as other:
            raise LogBrokenError(other.errno, f"{self.path} is not cut back to {self.size} bytes: {other}") from error

    def trim(self) -> None:
        """Give back what the indexes hold for more: nothing is appended any more. Raises OSError."""
        self.offsets.trim()
        self.times.trim()

    def sync(self) -> None:
        """Bring it to the disk. Sources: fdatasync(2)."""
        os.fdatasync(self._file)

    # -- reading -----------------------------------------------------------------------------------------------

    def _bytes(self, start: int, stop: int) -> SliceBuffer:
        if self._region is None or len(self._region) < stop:
            self._region = FileRegion(self._file, 0, max(stop, self.size))
        return self._region[start:stop]

    def read(self, offset: int, most: int) -> BaseBuffer:
        """Return whole batches from the one that holds ``offset`` on, at least that one, as a region of the file.

        As many as ``most`` bytes have room for; or up to the last that an index knows of them, which spares a look at
        the headers behind it.
        """
        at = self._ends.get(offset, -1)
        if at < 0:
            at = next(place.at for place in self._places(offset) if place.end > offset)
        stop, end = self._stop_of(at, offset, at + most)
        self._note_end(end, stop)
        return self._bytes(at, stop)

    def _stop_of(self, at: int, offset: int, most: int) -> tuple[int, int]:
        """Return where to stop reading from a batch on, and the offset there: at that position, if it can be."""
        stop, end = at, offset
        entry = self.offsets.second_up_to(most)
        if entry is not None and entry[1] > at:
            stop, end = entry[1], self.base + entry[0]
            if entry != self.offsets.last:
                return stop, end
        for place in self._places_from(entry):
            if place.stop > most and stop > at:
                break
            if place.stop > stop:
                stop, end = place.stop, place.end
        return stop, end

    def _note_end(self, offset: int, position: int) -> None:
        """Remember where a read has ended: the next one goes on there."""
        if len(self._ends) == _MOST_ENDS:
            del self._ends[next(iter(self._ends))]
        self._ends[offset] = position

    def _places(self, offset: int) -> Iterator[_Place]:
        """Yield the batches, from one on that begins at most at that offset."""
        return self._places_from(self.offsets.up_to(offset - self.base))

    def _places_from(self, entry: tuple[int, int] | None) -> Iterator[_Place]:
        if entry == self.offsets.last:
            yield from tuple(self._behind)  # nothing is looked at
            return
        at = 0 if entry is None else entry[1]
        while at < self.size:
            header = header_at(self._bytes(at, self.size))
            yield _Place(at, at + header.nbytes, header.end, header.max_timestamp)
            at += header.nbytes

    def batch_for_time(self, ms: int) -> tuple[SliceBuffer, Batch] | None:
        """Return the first batch that has a record at that time or later."""
        entry = self.times.below(ms)
        for place in self._places(self.base + (0 if entry is None else entry[1])):
            if place.latest >= ms:
                batch = self._bytes(place.at, place.stop)
                return batch, header_at(batch)
        return None

    def batches(self) -> Iterator[tuple[SliceBuffer, Batch]]:
        """Yield each batch as a region of the file, and its header."""
        for place in self._places_from(None):
            batch = self._bytes(place.at, place.stop)
            yield batch, header_at(batch)

    def close(self) -> None:
        """Close the files. What was read of it stays: regions have descriptors of their own."""
        self.offsets.close()
        self.times.close()
        self._region = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def delete(self) -> None:
        """Close and remove the files."""
        self.close()
        for path in (self.path, self.offsets.path, self.times.path):
            path.unlink(missing_ok=True)
