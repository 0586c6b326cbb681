"""A record batch, version 2: what producers send, the log keeps, and consumers get, byte for byte.

    0   base offset           8   |  all that a broker writes: neither is under the checksum
    12  partition leader epoch 4  |
    8   length of what follows 4     16  magic 1     17  CRC-32C of what follows, to the end 4
    21  attributes 2     23  offset of the last record, from the first 4     27  first, 35  latest timestamp 8 each
    43  producer id 8     51  producer epoch 2     53  number of its first record 4     57  records 4     61  records

The checksum is told over the parts as they lie: nothing is joined. Sources: the protocol guide (kafka.apache.org),
KIP-98.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple, final

from crc32c import crc32c

from bytebufs import BaseBuffer, SliceBuffer

__all__ = ["HEADER", "MAGIC", "Batch", "CorruptBatchError", "batches_of", "checksum", "header_at", "placed"]

HEADER: Final = Struct(">qiibIhiqqqhii")
MAGIC: Final = 2
_MAGIC_AT: Final = 16
_PREFIX: Final = 12
"""Bytes in front of what the length counts."""
_CHECKED_FROM: Final = 21
_PLACE: Final = Struct(">qii")
"""What a broker writes: the base offset, the length as it was, the leader's epoch."""
EPOCH: Final = 0
"""The epoch of the only leader that a partition ever has."""


class CorruptBatchError(Exception):
    """Bytes that are no batch, or not the one that was written."""


@final
class Batch(NamedTuple):
    """The header of a batch, in the order of its bytes."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def nbytes(self) -> int:
        """Bytes of the whole batch."""
        return _PREFIX + self.length

    @property
    def end(self) -> int:
        """The offset behind its last record."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def codec(self) -> int:
        """How its records are compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4 zstd."""
        return self.attributes & 7

    @property
    def is_transactional(self) -> bool:
        """Whether it belongs to a transaction."""
        return bool(self.attributes & 16)

    @property
    def is_control(self) -> bool:
        """Whether its records are marks of transactions, which brokers alone write."""
        return bool(self.attributes & 32)


def header_at(buffer: BaseBuffer, at: int = 0) -> Batch:
    """Read the header of the batch that begins there. Raises CorruptBatchError for what can be none.

    The batch may be cut short: who wants all of it compares ``nbytes`` with what is there. The checksum is not told.
    """
    available = len(buffer) - at
    if available <= _MAGIC_AT:
        raise CorruptBatchError(f"{available} bytes are no batch")
    magic = buffer[at + _MAGIC_AT]
    if magic != MAGIC:  # the others have other headers
        raise CorruptBatchError(f"a batch of version {magic}")
    if available < HEADER.size:
        raise CorruptBatchError(f"{available} bytes are no batch")
    found = Batch._make(buffer.unpack_from(HEADER, at))
    if found.nbytes < HEADER.size or found.records < 1 or found.last_offset_delta != found.records - 1:
        raise CorruptBatchError(f"no batch has a header that says {found}")
    return found


def checksum(batch: BaseBuffer) -> int:
    """Tell the CRC-32C of a whole batch, part by part. Copies: nothing."""
    crc = 0
    for view in batch[_CHECKED_FROM:].views():
        crc = crc32c(view, crc)
    return crc


def batches_of(records: BaseBuffer) -> Iterator[tuple[Batch, SliceBuffer]]:
    """Yield each of the batches that lie one behind the other, with its bytes. Raises CorruptBatchError.

    All but the offsets is checked: who writes them has those of his own.
    """
    at = 0
    while at < len(records):
        found = header_at(records, at)
        if found.nbytes > len(records) - at:
            raise CorruptBatchError(f"of a batch of {found.nbytes} bytes {len(records) - at} are there")
        batch = records[at : at + found.nbytes]
        if checksum(batch) != found.crc:
            raise CorruptBatchError(f"a batch of {found.nbytes} bytes has not the checksum that it says")
        yield found, batch
        at += found.nbytes


def placed(batch: BaseBuffer, header: Batch, offset: int) -> tuple[bytes, SliceBuffer]:
    """Return a batch as it stands in the log at an offset: what a broker writes, and a slice of the rest."""
    return _PLACE.pack(offset, header.length, EPOCH), batch[_PLACE.size :]
