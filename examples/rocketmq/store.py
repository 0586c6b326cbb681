"""All together: the log, the queues built behind it, and what a broker asks of them.

    data/
      lock                          held by flock(2): two brokers never write one log
      sizes.json                    of the files, chosen when the store was made
      checkpoint.json               how far back opening has to look
      commitlog/00000000000000000000 ...
      consumequeue/topic/queue/00000000000000000000 ...

Only the log is written out; queues are made anew from it where they are wrong. A checkpoint, kept whenever a file of
the log is full, says where the file before began, and how long the queues were there: the log is gone through from
there when it is opened, and entries of older messages are looked at. Anything strange, and all of it is gone through.

One thread, the event loop's, calls a store; only writing out has a thread of its own. Consumers get messages when they
are in the log, as with RocketMQ, also before they are on the disk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from bytebufs import CompositeBuffer

from . import durable, record
from .commitlog import CommitLog, Kept
from .consume_queue import ENTRY, ConsumeQueue, Entry
from .data_folder import Checkpoint, QueueKey, StoreError, StoreLockedError, hold, sizes_of
from .flushing import Flusher
from .mapped_files import MappedFiles, Maps, sync_folder, write_out
from .retention import delete_old

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from bytebufs import SliceBuffer

    from .record import Message
    from .settings import Settings

__all__ = ["Found", "Placed", "Status", "Store", "StoreError", "StoreLockedError"]

Status: TypeAlias = Literal["found", "no match", "end", "too small", "too large", "no queue"]
"""How looking for messages went: some; only such as the tags leave out; none yet; below and beyond what there is."""
_MOST_LOOKED_AT: Final = 16_000 // ENTRY.size
"""Entries that one call passes over: RocketMQ's maxFilterMessageCount is 16 000 bytes of them. Some milliseconds."""
_LOG: Final = "commitlog"
_QUEUES: Final = "consumequeue"


class Placed(NamedTuple):
    """Where a message was put: in the log, and in its queue."""

    position: int
    size: int
    queue: int
    offset: int
    stored_at: int


class Found(NamedTuple):
    """Messages of a queue: records one behind the other, slices of the maps."""

    status: Status
    records: SliceBuffer
    total: int
    next_offset: int
    min_offset: int
    max_offset: int


def _now() -> int:
    return time.time_ns() // 1_000_000


class Store:
    """A folder with a log and its queues. ``now`` gives milliseconds since 1970."""

    def __init__(self, folder: Path, settings: Settings, *, now: Callable[[], int] = _now) -> None:
        """Open a store, made if there is none, and bring it in order.

        Raises StoreLockedError if somebody has it, StoreError if the folder is something else, OSError.
        """
        self.folder = folder
        self.settings = settings
        self.grown: list[Callable[[str, int], None]] = []
        """Called with topic and queue when there is a new message."""
        self._now = now
        (folder / _LOG).mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            self._lock = hold(folder)
            undo.callback(os.close, self._lock)
            self._sizes = sizes_of(folder, settings)
            self.maps = Maps(settings.maps)
            undo.callback(self.maps.close)
            self.log = CommitLog(MappedFiles(folder / _LOG, self._sizes.log_file, self.maps))
            self.queues: dict[QueueKey, ConsumeQueue] = {}
            self._last = 0  # when the last message was stored
            self._roll = Checkpoint()  # the last file that was begun,
            self._due: Checkpoint | None = None  # and the one before, once there is one
            self._saved = 0
            self._open()
            self._write_out(max(self._saved, self.log.start), self.log.end)  # what a killed broker left to the system
            self._flusher = Flusher(self._write_out, settings, flushed=self.log.end)
            undo.pop_all()
        self._is_open = True

    # -- opening

    def _open(self) -> None:
        checkpoint = Checkpoint.load(self.folder / "checkpoint.json")
        if self.log.files.was_damaged or not self._trusts(checkpoint):
            self._rebuild(checkpoint.ends)
        else:
            self._saved = checkpoint.position
            self._go_through(checkpoint)
        for queue in self.queues.values():
            queue.forget(self.log.start)

    def _trusts(self, checkpoint: Checkpoint) -> bool:
        """Take the queues as they were at the checkpoint, if all of them could be right."""
        at, start = checkpoint.position, self.log.start
        if at == 0 or at % self._sizes.log_file or not self.log.files.has(at):
            return False
        self.queues = {key: self._files_of(*key) for key in checkpoint.ends}
        return all(queue.trust(checkpoint.ends[key], start, at) for key, queue in self.queues.items())

    def _rebuild(self, ends: dict[QueueKey, int]) -> None:
        """Make all queues anew. Of those without messages only a checkpoint knows how long they had been."""
        self.queues.clear()
        self.maps.close()
        shutil.rmtree(self.folder / _QUEUES, ignore_errors=True)
        self._go_through(Checkpoint(self.log.start))
        for key in ends.keys() - self.queues.keys():
            self._queue(*key, begin=ends[key]).prepare()
            for checkpoint in filter(None, (self._due, self._roll)):
                checkpoint.ends[key] = ends[key]

    def _go_through(self, checkpoint: Checkpoint) -> None:
        self._roll = checkpoint
        for kept in self.log.recover(checkpoint.position):
            self._note_roll(kept.position)
            head = kept.head
            queue = self._queue(record.topic_of(kept.bytes), head.queue, begin=head.queue_offset)
            queue.prepare()
            queue.append(Entry(kept.position, head.size, record.tag_hash_of(record.properties_of(kept.bytes))))
            self._last = max(self._last, head.stored_at)

    def _queue(self, topic: str, queue: int, *, begin: int = 0) -> ConsumeQueue:
        """Return a queue. One that there was none of begins at an offset, whatever files may lie there."""
        found = self.queues.get((topic, queue))
        if found is None:
            found = self._files_of(topic, queue)
            found.begin(begin)
            self.queues[topic, queue] = found
        return found

    def _files_of(self, topic: str, queue: int) -> ConsumeQueue:
        folder = self.folder / _QUEUES / topic / str(queue)
        return ConsumeQueue(MappedFiles(folder, self._sizes.queue_file, self.maps))

    # -- writing

    def put(self, message: Message) -> Placed:
        """Append a message. Copies: all of it, into the map.

        Raises MessageError if there can be no such record, LogBrokenError after a failed writing out, OSError if files
        cannot be made, ENOSPC say: then nothing has been added.
        """
        self._flusher.check()
        sized = record.size_of(message)
        queue = self._queue(message.topic, message.queue)
        queue.prepare()
        position = self.log.place_for(sized)
        stored_at = max(self._now(), self._last)  # never backwards: messages are found by time
        offset = queue.end
        self.log.append(sized, position, queue_offset=offset, stored_at=stored_at)
        self._note_roll(position)  # only now: one that was refused has begun no file
        queue.append(Entry(position, sized.size, record.tag_hash_of(message.properties)))
        self._last = stored_at
        self._flusher.appended(self.log.end)
        for call in self.grown:
            call(message.topic, message.queue)
        return Placed(position, sized.size, message.queue, offset, stored_at)

    async def settle(self, placed: Placed) -> None:
        """Wait until a message is as safe as flushing makes it before its producer is told. Raises LogBrokenError."""
        await self._flusher.settle(placed.position + placed.size)

    def _note_roll(self, position: int) -> None:
        """Where a file of the log begins, have the beginning of the one before kept as a checkpoint."""
        if position % self._sizes.log_file == 0 and position > self._roll.position:
            self._due, self._roll = self._roll, Checkpoint(position, {key: q.end for key, q in self.queues.items()})

    def _write_out(self, start: int, stop: int) -> None:
        """Write out a range of the log; then what is due of checkpoints. Runs in a thread of its own."""
        for path in self.log.files.paths(start, stop):
            write_out(path)
        if self.log.files.first_of(stop) != self.log.files.first_of(start) or start == self.log.start:
            sync_folder(self.log.files.folder)  # a file may be new
        due = self._due
        if due is not None and self._saved < due.position <= stop:
            with contextlib.suppress(OSError):  # on a full disk the one before serves, too
                durable.save(self.folder / "checkpoint.json", due.text())
                self._saved = due.position

    # -- reading

    def min_offset(self, topic: str, queue: int) -> int:
        """Return the first offset of a queue that is kept."""
        found = self.queues.get((topic, queue))
        return found.start if found else 0

    def max_offset(self, topic: str, queue: int) -> int:
        """Return the offset that the next message of a queue will get."""
        found = self.queues.get((topic, queue))
        return found.end if found else 0

    def get(
        self,
        topic: str,
        queue: int,
        offset: int,
        most_count: int,
        most_bytes: int,
        tag_hashes: AbstractSet[int] = frozenset(),
    ) -> Found:
        """Return messages of a queue from an offset on, at least one if there is one. Copies: nothing.

        With hashes of tags, messages with other tags are passed over: different tags may share one, so who is to get
        them looks again. ``next_offset`` says where to go on.
        """
        found = self.queues.get((topic, queue))
        if found is None:
            return Found("no queue", CompositeBuffer().freeze(), 0, 0, 0, 0)
        if offset < found.start:
            return _nothing("too small", found, found.start)
        if offset >= found.end:
            return _nothing("end" if offset == found.end else "too large", found, found.end)
        records, count, at = CompositeBuffer(), 0, offset
        for entry in found.entries(offset, min(found.end, offset + _MOST_LOOKED_AT)):
            if not tag_hashes or entry.tag_hash in tag_hashes:
                if count == most_count or (count and len(records) + entry.size > most_bytes):
                    break
                records.append(self._kept(entry, queue, at).bytes)
                count += 1
            at += 1
        return Found("found" if count else "no match", records.freeze(), count, at, found.start, found.end)

    def _kept(self, entry: Entry, queue: int, offset: int) -> Kept:
        kept = self.log.glance(entry.position)
        if kept is None or (kept.head.size, kept.head.queue, kept.head.queue_offset) != (entry.size, queue, offset):
            raise StoreError(
                f"offset {offset} of queue {queue} is not at {entry.position} of the log: open the store again"
            )
        return kept

    def record_at(self, position: int) -> SliceBuffer | None:
        """Return the record at a position of the log, if one begins there. Copies: nothing."""
        kept = self.log.at(position) if 0 <= position < self.log.end else None
        return kept.bytes if kept else None

    def message_at(self, position: int) -> Message | None:
        """Return the message at a position of the log, if one begins there. Copies: not the body."""
        found = self.record_at(position)
        return record.message_of(found) if found else None

    def offset_at_time(self, topic: str, queue: int, ms: int) -> int:
        """Return the offset of the first message that was stored at a time or later; the end, if there is none."""
        found = self.queues.get((topic, queue))
        if found is None:
            return 0
        return bisect_left(found, ms, found.start, found.end, key=self._stored_at)

    def _stored_at(self, entry: Entry) -> int:
        kept = self.log.glance(entry.position)
        return kept.head.stored_at if kept else 0

    # -- keeping and closing

    def delete_old(self) -> int:
        """Delete what the settings say need not be kept, and return how many files of the log went."""
        deleted = delete_old(self.log, self.settings, now=self._now(), below=self._saved)
        if deleted:
            for queue in self.queues.values():
                queue.forget(self.log.start)
        return deleted

    @property
    def rounds(self) -> int:
        """How often the log was written out."""
        return self._flusher.rounds

    def close(self) -> None:
        """Write out what is left and let go of the folder. Slices that are held stay. Raises LogBrokenError."""
        if self._is_open:
            self._is_open = False
            try:
                self._flusher.close()
            finally:
                self.maps.close()
                os.close(self._lock)


def _nothing(status: Status, queue: ConsumeQueue, next_offset: int) -> Found:
    return Found(status, CompositeBuffer().freeze(), 0, next_offset, queue.start, queue.end)
