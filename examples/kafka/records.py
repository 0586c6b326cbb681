"""The records in a batch: for the command line, for ``inspect`` and for finding a time. The broker never looks inside.

Lengths and differences are zigzag varints. Source: the protocol guide (kafka.apache.org), "Record".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar, final

from crc32c import crc32c

from bytebufs import BaseBuffer, BytebufsError, CompositeBuffer, Reader, SliceBuffer

from .batch import HEADER, MAGIC, Batch, CorruptBatchError

__all__ = ["Record", "decode", "encode", "times"]

Read = TypeVar("Read")

_GZIP = 1
_MOST_UNZIPPED = 64 << 20
"""Bytes: a thousand times as many fit into a batch that is taken."""


@final
class Record(NamedTuple):
    """A record. ``offset`` and ``timestamp`` (milliseconds since 1970) are absolute."""

    offset: int
    timestamp: int
    key: SliceBuffer | bytes | None
    value: SliceBuffer | bytes | None
    headers: Sequence[tuple[str, SliceBuffer | bytes | None]] = ()


def decode(batch: BaseBuffer, header: Batch) -> Iterator[Record] | None:
    """Return the records of a whole batch, as slices of it; None if it takes another library to decompress them.

    Raises CorruptBatchError, at the latest when they are taken.
    """
    data = _data(batch, header, _MOST_UNZIPPED)
    return None if data is None else _each(data, header, _record)


def times(batch: BaseBuffer, header: Batch, *, most: int = _MOST_UNZIPPED) -> Iterator[tuple[int, int]] | None:
    """Return the offset and the timestamp of each record, like ``decode``; ``most`` bytes are decompressed."""
    data = _data(batch, header, most)
    return None if data is None else _each(data, header, _time)


def _data(batch: BaseBuffer, header: Batch, most: int) -> BaseBuffer | None:
    if header.codec == 0:
        return batch[HEADER.size :]
    return _unzipped(batch[HEADER.size :], most) if header.codec == _GZIP else None


def _unzipped(compressed: BaseBuffer, most: int) -> BaseBuffer:
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    out = CompositeBuffer()
    try:
        for view in compressed.views():
            out.append(unzip.decompress(view, most + 1 - len(out)))
            if len(out) > most:
                raise CorruptBatchError(f"more than {most} bytes of records")
        out.append(unzip.flush())
    except zlib.error as error:
        raise CorruptBatchError(f"records that are no gzip: {error}") from None
    return out


def _each(data: BaseBuffer, header: Batch, read: Callable[[Reader, Batch], Read]) -> Iterator[Read]:
    reader = data.reader()
    try:
        for _ in range(header.records):
            yield read(reader.sub(reader.zigzag()), header)
    except (BytebufsError, ValueError) as error:  # ValueError: a size that is negative
        raise CorruptBatchError(f"records that are none: {error}") from None
    if not reader.at_end:
        raise CorruptBatchError(f"{reader.remaining} bytes behind the last record")


def _time(reader: Reader, header: Batch) -> tuple[int, int]:
    reader.skip(1)  # attributes, of which there are none
    timestamp = header.base_timestamp + reader.zigzag()
    return header.base_offset + reader.zigzag(), timestamp


def _record(reader: Reader, header: Batch) -> Record:
    offset, timestamp = _time(reader, header)
    key, value = _field(reader), _field(reader)
    headers = [(reader.text(reader.zigzag()), _field(reader)) for _ in range(reader.zigzag())]
    return Record(offset, timestamp, key, value, headers)


def _field(reader: Reader) -> SliceBuffer | None:
    size = reader.zigzag()
    return None if size < 0 else reader.take(size)


def encode(records: Sequence[Record], *, offset: int = 0) -> CompositeBuffer:
    """Return a batch of records, not compressed, by no idempotent producer. Keys and values are not copied."""
    base, latest = records[0].timestamp, max(record.timestamp for record in records)
    data = CompositeBuffer()
    for number, record in enumerate(records):
        one = _encoded(record, number, record.timestamp - base)
        data.append(_zigzag(len(one)))
        data.append(one)
    last = len(records) - 1
    rest = HEADER.pack(0, 0, 0, 0, 0, 0, last, base, latest, -1, -1, -1, len(records))[21:]
    crc = crc32c(rest)
    for view in data.views():
        crc = crc32c(view, crc)
    length = HEADER.size - 12 + len(data)
    front = HEADER.pack(offset, length, -1, MAGIC, crc, 0, last, base, latest, -1, -1, -1, len(records))
    return CompositeBuffer([front, data])


def _encoded(record: Record, number: int, after: int) -> CompositeBuffer:
    out = CompositeBuffer([b"\0" + _zigzag(after) + _zigzag(number)])
    _put(out, record.key)
    _put(out, record.value)
    out.append(_zigzag(len(record.headers)))
    for name, value in record.headers:
        _put(out, name.encode())
        _put(out, value)
    return out


def _put(out: CompositeBuffer, field: SliceBuffer | bytes | None) -> None:
    out.append(_zigzag(-1 if field is None else len(field)))
    if field is not None:
        out.append(field)


def _zigzag(value: int) -> bytes:
    out = CompositeBuffer()
    out.pack_varint(value * 2 if value >= 0 else -value * 2 - 1)
    return out.tobytes()
