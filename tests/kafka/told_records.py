"""Records that their offsets tell all of: so whoever reads a log knows what has to be in it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

from bytebufs import BaseBuffer
from examples.kafka.batch import header_at
from examples.kafka.log import Log
from examples.kafka.records import Record, decode, encode
from examples.kafka.settings import LogSettings

__all__ = ["SMALL", "append", "batch_at", "contents", "opened", "whole_batches"]

SMALL: Final = LogSettings(segment_bytes=64 << 10, index_interval_bytes=512, flush="sync", retention_ms=-1)
"""Segments that are soon full."""


def opened(folder: Path, settings: LogSettings = SMALL) -> Log:
    return Log(folder, settings, now=lambda: 0)


def _record_at(offset: int, most: int) -> Record:
    chance = random.Random(offset)
    value = chance.randbytes(chance.randrange(most))
    return Record(offset, 1_000 + offset, b"%d" % offset, value, [("offset", b"%d" % offset)])


def batch_at(offset: int, *, most: int = 300) -> BaseBuffer:
    """A batch of one to three records, for that place in a log. ``most`` bounds its values."""
    return encode([_record_at(offset + i, most) for i in range(1 + offset % 3)])


def append(log: Log, *, most: int = 300) -> int:
    """Append the next batch, and return the offset behind it."""
    return log.append(batch_at(log.end, most=most)).last_offset + 1


def whole_batches(log: Log) -> list[bytes]:
    """Each batch of a log, as consumers get it who want one at a time."""
    found, offset = [], log.start
    while offset < log.end:
        batch = log.read(offset, 1)
        header = header_at(batch)
        assert header.base_offset == offset
        assert header.nbytes == len(batch)
        found.append(batch.tobytes())
        offset = header.end
    return found


def contents(log: Log, *, most: int = 300) -> int:
    """Check that each record of a log is the one for its offset, and return how many there are."""
    offset = log.start
    while offset < log.end:
        batch = log.read(offset, 1)
        header = header_at(batch)
        records = decode(batch, header)
        assert records is not None
        for record in records:
            wanted = _record_at(offset, most)
            assert (record.offset, record.timestamp, record.key, record.value) == wanted[:4]
            assert list(record.headers) == list(wanted.headers)
            offset += 1
    return offset - log.start
