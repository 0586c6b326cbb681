"""The log of a partition: segments, of which the last one is written to.

A producer's batches are checked and go to the file as they were received, behind sixteen bytes each that are the
broker's, and say at which offset: by one gathering write, without a copy. Consumers get regions of the file. With one
replica the high watermark is the end of the log.

What is known of closed segments stands in ``checkpoint``: then opening them looks at no more than their last batches.
What nobody vouches for, as after a crash, is gone through from its beginning, cut at the first batch that is not valid,
and indexed anew; later segments are dropped, for between them something would be missing. (Kafka does so, too.)
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, final

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer

from .batch import Batch, CorruptBatchError, batches_of, placed
from .checkpoint import read_checkpoint, write_checkpoint
from .durable import sync_folder
from .flushing import GroupCommit, LogBrokenError
from .records import times
from .segment import MOST_RECORDS, Segment
from .settings import LogSettings

__all__ = ["Appended", "BatchTooLargeError", "Log", "LogBrokenError", "OffsetOutOfRangeError"]


_MOST_LOOKED_AT: Final = 10_000
"""Records of a batch that are looked at for a time: as many as librdkafka puts into one (batch.num.messages)."""
_MOST_UNZIPPED: Final = 8 << 20
"""Bytes that they may have: eight times as many as a batch."""


class OffsetOutOfRangeError(Exception):
    """There is no such offset in the log, or not any more."""


class BatchTooLargeError(Exception):
    """A batch has more bytes than the settings let it have."""


@final
class Appended(NamedTuple):
    """Where batches stand: the offset of the first record, and of the last."""

    base_offset: int
    last_offset: int


@final
class Log:
    """A log in a folder of its own. Belongs to one thread, that of the loop; ``now`` tells milliseconds since 1970."""

    def __init__(self, folder: Path, settings: LogSettings, *, now: Callable[[], int]) -> None:
        """Open the log, or make one. Raises OSError."""
        self.folder = folder
        self.settings = settings
        self._now = now
        folder.mkdir(parents=True, exist_ok=True)
        self._segments = self._opened()
        # What a crash has left may be in the system's memory only: as good as not flushed.
        self._is_named = self._is_vouched_for()  # whether its files' names are on the disk: fdatasync keeps none
        self._commit = GroupCommit(self._prepare_commit, flushed=self.end if self._is_named else self.start)
        self._dirty = [segment for segment in self._segments[:-1] if not segment.was_vouched]
        self._syncing: list[Segment] = []  # a thread may be at these
        self._fault: OSError | None = None
        self._flushed_at = now()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_closed = False

    # -- opening and closing -----------------------------------------------------------------------------------

    def _opened(self) -> list[Segment]:
        vouched = read_checkpoint(self.folder)
        bases = sorted(int(path.stem) for path in self.folder.glob("*.log") if path.stem.isdecimal())
        segments: list[Segment] = []
        for base in bases or [0]:
            if segments and base != segments[-1].end:
                self._drop(base)
                continue
            if segments:
                segments[-1].trim()
            segments.append(Segment(self.folder, base, self.settings, vouched.get(base)))
        return segments

    def _is_vouched_for(self) -> bool:
        return all(segment.was_vouched for segment in self._segments)

    def _drop(self, base: int) -> None:
        for suffix in (".log", ".index", ".timeindex"):
            (self.folder / f"{base:020}{suffix}").unlink(missing_ok=True)

    def _vouch(self, segments: list[Segment]) -> None:
        """Vouch for those that are on the disk."""
        unsure = {*self._dirty, *self._syncing}
        write_checkpoint(self.folder, [segment for segment in segments if segment not in unsure])

    def close(self) -> None:
        """Bring it to the disk, however it is flushed, and close the files. Who waits for more is told."""
        if self._is_closed:
            return
        self._is_closed = True
        self._wake()
        try:
            if self._fault is None and self._commit.fault is None:
                self._flush()
                self._vouch(self._segments)
        finally:
            for segment in self._segments:
                segment.close()

    # -- writing -----------------------------------------------------------------------------------------------

    @property
    def start(self) -> int:
        """The first offset that is kept."""
        return self._segments[0].base

    @property
    def end(self) -> int:
        """The offset that the next record gets: the high watermark, too."""
        return self._segments[-1].end

    def append(self, batches: BaseBuffer) -> Appended:
        """Check batches and add them. Raises CorruptBatchError, BatchTooLargeError, OSError; then nothing was added.

        LogBrokenError, an OSError, if it is not known any more what the files hold. Copies: nothing.
        """
        checked = list(batches_of(batches))
        for header, _ in checked:
            if header.nbytes > self.settings.max_message_bytes:
                raise BatchTooLargeError(f"a batch of {header.nbytes} bytes: {self.settings.max_message_bytes} may be")
        if len(batches) > self.settings.segment_bytes:
            raise BatchTooLargeError(f"batches of {len(batches)} bytes: a segment has {self.settings.segment_bytes}")
        if sum(header.records for header, _ in checked) > MOST_RECORDS:
            raise BatchTooLargeError(f"a segment has at most {MOST_RECORDS} records")
        if not checked:
            raise CorruptBatchError("no batch")
        self.assert_sound()
        self._roll_if_due(len(batches), [header for header, _ in checked])
        base = self.end
        self._write(checked)
        self._wake()
        if self.settings.flush == "async" and self.end - self._commit.flushed >= self.settings.flush_messages:
            self._flush_soon()
        return Appended(base, self.end - 1)

    def _write(self, checked: list[tuple[Batch, SliceBuffer]]) -> None:
        offset, parts = self.end, CompositeBuffer()
        for header, batch in checked:
            parts.extend(placed(batch, header, offset))
            offset += header.records
        active = self._segments[-1]
        try:
            active.append(parts, [header for header, _ in checked])
        except LogBrokenError as error:
            self._fault = error
            raise

    def assert_sound(self) -> None:
        """Raise LogBrokenError if it is not known any more what the files hold."""
        self._commit.assert_sound()
        if self._fault is not None:
            raise LogBrokenError(*self._fault.args)

    def _roll_if_due(self, nbytes: int, headers: list[Batch]) -> None:
        """Begin a segment for batches that are too much for the last one, or too long after its first."""
        active = self._segments[-1]
        latest, records = max(header.max_timestamp for header in headers), sum(header.records for header in headers)
        is_late = 0 <= self.settings.segment_ms < latest - active.first_at
        is_full = (
            active.size + nbytes > self.settings.segment_bytes or active.end + records - active.base > MOST_RECORDS
        )
        if active.size and (is_late or is_full):
            self._roll()

    def _roll(self) -> None:
        """Begin a segment. One that cannot be made leaves all as it was."""
        following = Segment(self.folder, self.end, self.settings)
        self._dirty.append(self._segments[-1])
        self._segments.append(following)
        try:
            sync_folder(self.folder)
        except OSError as error:
            self._commit.fail(error)
            raise
        self._segments[-2].trim()
        self._vouch(self._segments[:-1])

    # -- to the disk -------------------------------------------------------------------------------------------

    async def settle(self, offset: int) -> None:
        """Wait, if flushing is sync, until everything below ``offset`` is on the disk. Raises LogBrokenError."""
        if self.settings.flush == "sync":
            await self._commit.settle(offset)

    def flush(self) -> None:
        """Bring it to the disk now, unless that is never done. Blocks. Raises OSError, and then the log is broken."""
        if self.settings.flush != "never":
            self._flush()

    def _flush(self) -> None:
        self.assert_sound()
        end, work = self._prepare_commit()
        try:
            work()
        except OSError as error:
            self._commit.fail(error)
            raise
        self._commit.note(end)

    def _prepare_commit(self) -> tuple[int, Callable[[], None]]:
        segments = self._syncing = [*self._dirty, self._segments[-1]]
        self._dirty = []
        self._flushed_at = self._now()

        def work() -> None:
            for segment in segments:
                segment.sync()
            if not self._is_named:
                sync_folder(self.folder)
                self._is_named = True
            segments.clear()

        return self.end, work

    def _flush_soon(self) -> None:
        try:
            self._commit.start()
        except RuntimeError:  # no loop runs here
            self.flush()

    def tend(self) -> None:
        """Do what is due by the time: call it every now and then. Deletes old segments; async flush begins here."""
        is_late = self._now() - self._flushed_at >= self.settings.flush_ms
        if self.settings.flush == "async" and self.end > self._commit.flushed and is_late:
            self._flush_soon()
        self._retain()

    def _retain(self) -> None:
        """Delete the oldest segments, but for what a thread is at. One that cannot be deleted stays, and all behind it:
        else the next start would find that something is missing in between.
        """
        while len(self._segments) > 1 and self._is_outlived(self._segments[0]):
            if self._segments[0] in self._syncing:
                return
            self._segments[0].path.unlink(missing_ok=True)
            gone = self._segments.pop(0)
            self._dirty = [segment for segment in self._dirty if segment is not gone]
            gone.delete()

    def _is_outlived(self, segment: Segment) -> bool:
        size, age = self.settings.retention_bytes, self.settings.retention_ms
        if segment.latest >= 0 and 0 <= age < self._now() - segment.latest:
            return True
        return 0 <= size <= sum(other.size for other in self._segments) - segment.size

    async def aclose(self) -> None:
        """Wait for who is at the files, and close them."""
        await self._commit.idle()
        self.close()

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self, offset: int, most: int) -> BaseBuffer:
        """Return whole batches from the one that holds ``offset`` on: as regions of a file, which nobody has read.

        At most ``most`` bytes, but always one batch; of one segment. Empty at the end of the log. Raises
        OffsetOutOfRangeError. Complexity: a bisection of segments, one of an index, and 4 KiB of headers.
        """
        if not self.start <= offset <= self.end:
            raise OffsetOutOfRangeError(f"offset {offset} of {self.folder.name}: {self.start} to {self.end} are there")
        if offset == self.end:
            return CompositeBuffer()
        return self._segment_of(offset).read(offset, most)

    def _segment_of(self, offset: int) -> Segment:
        return self._segments[bisect_right(self._segments, offset, key=lambda segment: segment.base) - 1]

    def offset_for_time(self, ms: int) -> tuple[int, int] | None:
        """Return the offset and the timestamp of the first record at that time or later, if there is one.

        Of a batch whose records cannot be read here, or are too many to be looked at, it is the first one: then some
        may be earlier.
        """
        for segment in self._segments:
            found = segment.batch_for_time(ms) if segment.latest >= ms else None
            if found is not None:
                return self._record_for_time(*found, ms)
        return None

    def _record_for_time(self, batch: SliceBuffer, header: Batch, ms: int) -> tuple[int, int]:
        try:
            for offset, time in islice(times(batch, header, most=_MOST_UNZIPPED) or (), _MOST_LOOKED_AT):
                is_one = header.base_offset <= offset < header.end and time <= header.max_timestamp
                if is_one and time >= ms:
                    return offset, time
        except CorruptBatchError:
            pass  # its checksum is right: so it was made
        return header.base_offset, header.base_timestamp

    def batches(self) -> Iterator[tuple[SliceBuffer, Batch]]:
        """Yield each batch, as a region of a file, and its header."""
        for segment in self._segments:
            yield from segment.batches()

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments, for whoever looks at the log."""
        return tuple(self._segments)

    async def grown(self, past: int) -> None:
        """Wait until the log ends behind ``past``, or is closed."""
        while self.end <= past and not self._is_closed:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            finally:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)
