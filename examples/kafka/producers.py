"""Idempotent producers: what is sent again after a lost answer is not written again. Pure; each partition has its own.

A producer has an id and an epoch, and numbers its records in each partition from 0 on; a batch says the number of its
first record. A batch is

1. appended, if it goes on where the producer's last one ended, or begins with 0 in a newer epoch;
2. answered with the place of the one written before, if it is one of the last five (clients have no more under way);
   older ones are said to be duplicates, their place is not known any more;
3. refused as out of order, if one before it is missing: the client sends that one first;
4. refused for ever, if its epoch is older than what is known.

Who was never seen begins with 0. But where its past may be forgotten (the log's beginning is deleted, or more producers
wrote than are remembered), it may begin with any number, as in Kafka since 2.5: else it could never go on. All this is
known from the log alone, so it is rebuilt from it; ``pack`` makes a snapshot that spares reading all of the log.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from typing import Final, NamedTuple, final

from .errors import Error, Refused

__all__ = ["NOBODY", "Mark", "Producers", "Written", "unpack"]

NOBODY: Final = -1
"""The producer id of batches whose producer is not idempotent."""
REMEMBERED: Final = 5
"""Batches of a producer whose place is known: what Kafka keeps, and the most that idempotent clients have under way."""
MOST_PRODUCERS: Final = 1_000
"""Producers remembered for a partition, the least recent are forgotten: about 1 MB. Kafka forgets them after a day."""
_NUMBERS: Final = 1 << 31
"""Sequence numbers go from 0 up to this, and round."""

_HEAD: Final = struct.Struct(">qI?")
_PRODUCER: Final = struct.Struct(">qhB")
_BATCH: Final = struct.Struct(">IIq")
_CHECK: Final = struct.Struct(">I")


@final
class Mark(NamedTuple):
    """What an idempotent producer writes into a batch, and how many records the batch has."""

    producer: int
    epoch: int
    sequence: int
    records: int

    @property
    def last(self) -> int:
        """The number of its last record."""
        return (self.sequence + self.records - 1) % _NUMBERS


@final
class Written(NamedTuple):
    """A batch that is in the log: the numbers of its first and last record, and its offset."""

    first: int
    last: int
    offset: int


@final
class _Past:
    """What is known of one producer: its epoch, and its last batches; there is at least one."""

    __slots__ = ("batches", "epoch")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: deque[Written] = deque(maxlen=REMEMBERED)


@final
class Producers:
    """The producers of one partition.

    >>> producers = Producers()
    >>> first = Mark(producer=7, epoch=0, sequence=0, records=10)
    >>> producers.check(first)
    >>> producers.note(first, offset=100)
    >>> producers.check(first)
    Written(first=0, last=9, offset=100)
    """

    def __init__(self, most: int = MOST_PRODUCERS) -> None:
        self._most = most
        self._known: dict[int, _Past] = {}  # the least recent first
        self._has_forgotten = False

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def check(self, mark: Mark, *, is_past_deleted: bool = False) -> Written | None:
        """Say nothing if the batch is to be appended, or where it has been written before.

        Raises:
            Refused: it is out of order, or of an old epoch.
        """
        if mark.producer == NOBODY:
            return None
        if mark.sequence < 0 or mark.epoch < 0 or mark.records < 1:
            raise Refused(Error.INVALID_RECORD)
        past = self._known.get(mark.producer)
        if past is None:
            if mark.sequence and not (is_past_deleted or self._has_forgotten):
                raise Refused(Error.OUT_OF_ORDER_SEQUENCE_NUMBER)
            return None
        if mark.epoch < past.epoch:
            raise Refused(Error.INVALID_PRODUCER_EPOCH)
        return self._check_sequence(mark, past)

    def note(self, mark: Mark, offset: int) -> None:
        """Remember that a batch stands at ``offset``, and that its producer has been there last."""
        if mark.producer == NOBODY:
            return
        past = self._known.pop(mark.producer, None)
        if past is None or past.epoch != mark.epoch:
            past = _Past(mark.epoch)
        past.batches.append(Written(mark.sequence, mark.last, offset))
        self._known[mark.producer] = past
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
            self._has_forgotten = True

    def pack(self, end: int) -> bytes:
        """Make a snapshot, for a log that ends at offset ``end``."""
        parts = [_HEAD.pack(end, len(self._known), self._has_forgotten)]
        for producer, past in self._known.items():
            parts.append(_PRODUCER.pack(producer, past.epoch, len(past.batches)))
            parts += [_BATCH.pack(*batch) for batch in past.batches]
        snapshot = b"".join(parts)
        return snapshot + _CHECK.pack(zlib.crc32(snapshot))

    @staticmethod
    def _check_sequence(mark: Mark, past: _Past) -> Written | None:
        if mark.epoch > past.epoch:
            if mark.sequence:
                raise Refused(Error.OUT_OF_ORDER_SEQUENCE_NUMBER)
            return None
        newest, oldest = past.batches[-1], past.batches[0]
        if mark.sequence == (newest.last + 1) % _NUMBERS:
            return None
        for written in past.batches:
            if (written.first, written.last) == (mark.sequence, mark.last):
                return written
        known, first, last = ((newest.last - number) % _NUMBERS for number in (oldest.first, mark.sequence, mark.last))
        if known < last <= first < _NUMBERS // 2:  # all of it is older; from half the way round on, it may be newer
            raise Refused(Error.DUPLICATE_SEQUENCE_NUMBER)
        raise Refused(Error.OUT_OF_ORDER_SEQUENCE_NUMBER)


def unpack(snapshot: bytes, most: int = MOST_PRODUCERS) -> tuple[Producers, int] | None:
    """The producers of a snapshot and the end of the log that it was made for, or None: it is not whole."""
    body, check = snapshot[: -_CHECK.size], snapshot[-_CHECK.size :]
    if len(body) < _HEAD.size or check != _CHECK.pack(zlib.crc32(body)):
        return None
    end, count, has_forgotten = _HEAD.unpack_from(body)
    producers, at = Producers(most), _HEAD.size
    for _ in range(count):
        producer, epoch, batches = _PRODUCER.unpack_from(body, at)
        at += _PRODUCER.size
        for _ in range(batches):
            first, last, offset = _BATCH.unpack_from(body, at)
            producers.note(Mark(producer, epoch, first, (last - first) % _NUMBERS + 1), offset)
            at += _BATCH.size
    producers._has_forgotten |= has_forgotten
    return producers, end
