"""What is known of idempotent producers, for all logs of a broker: kept over restarts, or rebuilt from the logs.

A broker that ends in good order leaves a snapshot in each log's folder. It counts if the log ends where it did then,
and is taken away when it is read: so one that is there is never out of date. Without one the headers of all batches
are gone through when the first idempotent producer comes; logs that none writes to cost nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from .batch import Batch
from .durable import replace
from .log import Log
from .producers import NOBODY, Mark, Producers, Written, unpack

__all__ = ["ProducerStates", "mark_of"]

SNAPSHOT: Final = "producers"


def mark_of(header: Batch) -> Mark:
    """What a batch says of its producer."""
    return Mark(header.producer_id, header.producer_epoch, header.base_sequence, header.records)


@final
class ProducerStates:
    """The producers of each log that is written to by idempotent ones."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Log, Producers]] = {}

    def find(self, log: Log) -> None:
        """Take up a snapshot, if there is one. To be called before anything is appended."""
        path = log.folder / SNAPSHOT
        try:
            unpacked = unpack(path.read_bytes())
        except FileNotFoundError:
            return
        path.unlink()
        if unpacked is not None and unpacked[1] == log.end:
            self._known[log.folder] = log, unpacked[0]

    def check(self, log: Log, header: Batch) -> Written | None:
        """Say nothing if a batch is to be appended, or where it has been written before. Raises Refused."""
        if header.producer_id == NOBODY:
            return None
        return self._of(log).check(mark_of(header), is_past_deleted=log.start > 0)

    def note(self, log: Log, header: Batch, offset: int) -> None:
        """Remember that a batch has been appended."""
        if header.producer_id != NOBODY:
            self._of(log).note(mark_of(header), offset)

    def close(self) -> None:
        """Leave snapshots. To be called when nothing is appended any more."""
        for log, producers in self._known.values():
            try:
                replace(log.folder / SNAPSHOT, producers.pack(log.end))
            except OSError:
                pass  # then the log will be gone through

    def _of(self, log: Log) -> Producers:
        known = self._known.get(log.folder)
        if known is None:
            known = self._known[log.folder] = log, _rebuilt(log)
        return known[1]


def _rebuilt(log: Log) -> Producers:
    producers = Producers()
    for _, header in log.batches():
        producers.note(mark_of(header), header.base_offset)
    return producers
