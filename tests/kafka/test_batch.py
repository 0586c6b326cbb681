"""Record batches: what is one, its checksum over parts, and the records in it."""

from __future__ import annotations

import gzip

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer
from examples.kafka.batch import HEADER, CorruptBatchError, batches_of, checksum, header_at, placed
from examples.kafka.records import Record, decode, encode

FIELDS = st.none() | st.binary(max_size=40)
RECORDS = st.lists(
    st.builds(
        Record,
        st.just(0),
        st.integers(0, 1 << 41),
        FIELDS,
        FIELDS,
        st.lists(st.tuples(st.text(max_size=5), FIELDS), max_size=3),
    ),
    min_size=1,
    max_size=6,
)


def plain(record: Record) -> tuple[object, ...]:
    def text(field: object) -> bytes | None:
        return None if field is None else bytes(CompositeBuffer([field]).tobytes())  # type: ignore[list-item]

    headers = [(name, text(value)) for name, value in record.headers]
    return record.timestamp, text(record.key), text(record.value), headers


@given(records=RECORDS, offset=st.integers(0, 1 << 60), sizes=st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_records_come_back_whatever_parts_they_lie_in(records: list[Record], offset: int, sizes: list[int]) -> None:
    whole = encode(records, offset=offset).tobytes()
    parts, at = CompositeBuffer(), 0
    for size in sizes * 100:
        parts.append(whole[at : at + size])
        at += size
    parts.append(whole[at:])
    [(header, batch)] = batches_of(parts)
    assert (header.base_offset, header.records, header.nbytes) == (offset, len(records), len(whole))
    assert header.crc == checksum(batch) == crc32c(whole[21:])
    found = list(decode(batch, header) or ())
    assert [plain(record) for record in found] == [plain(record) for record in records]
    assert [record.offset for record in found] == [offset + i for i in range(len(records))]
    moved = CompositeBuffer(list(placed(batch, header, 77)))
    assert header_at(moved).base_offset == 77
    assert checksum(moved) == header.crc


@given(records=RECORDS, data=st.data())
def test_no_other_bytes_are_that_batch(records: list[Record], data: st.DataObject) -> None:
    whole = encode(records).tobytes()
    at = data.draw(st.integers(12, len(whole) - 1) | st.integers(8, 11))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CorruptBatchError):
        list(batches_of(CompositeBuffer([changed]))) if at not in range(12, 16) else _never(changed)
    with pytest.raises(CorruptBatchError):
        list(batches_of(CompositeBuffer([whole[: data.draw(st.integers(1, len(whole) - 1))]])))


def _never(changed: bytearray) -> None:
    """The leader's epoch is the broker's to write, and not under the checksum."""
    list(batches_of(CompositeBuffer([changed])))
    raise CorruptBatchError


def test_compressed_records() -> None:
    records = [Record(0, 5, b"key", b"value" * 10)]
    whole = encode(records).tobytes()
    header = header_at(CompositeBuffer([whole]))
    zipped = CompositeBuffer([whole[: HEADER.size], gzip.compress(whole[HEADER.size :])])
    assert [plain(record) for record in decode(zipped, header._replace(attributes=1)) or ()] == [plain(records[0])]
    assert decode(zipped, header._replace(attributes=4)) is None
    for garbage in (b"garbage", b""):
        with pytest.raises(CorruptBatchError):
            list(decode(CompositeBuffer([whole[: HEADER.size], garbage]), header._replace(attributes=1)) or ())
    with pytest.raises(CorruptBatchError):
        list(decode(CompositeBuffer([whole, b"more"]), header) or ())


def test_kinds_of_batches() -> None:
    header = header_at(encode([Record(0, 0, None, None)]))
    assert (header.codec, header.is_transactional, header.is_control, header.end) == (0, False, False, 1)
    other = header._replace(attributes=4 | 16 | 32)
    assert (other.codec, other.is_transactional, other.is_control) == (4, True, True)
