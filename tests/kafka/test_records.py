"""The records in a batch: written and read again, by a plain reference too, and what is none."""

from __future__ import annotations

import gzip
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer
from examples.kafka.batch import HEADER, CorruptBatchError, batches_of, checksum, header_at
from examples.kafka.records import Record, decode, encode, times

from ..conftest import needed

FIELDS: Final = st.none() | st.binary(max_size=200)
RECORDS: Final = st.lists(
    st.builds(
        Record,
        st.just(0),
        st.integers(0, 1 << 41),
        FIELDS,
        FIELDS,
        st.lists(st.tuples(st.text(max_size=20), FIELDS), max_size=3),
    ),
    min_size=1,
    max_size=10,
)


def kafka_python() -> Any:
    return needed("kafka.record.default_records")


def plain(records: list[Record]) -> list[tuple[object, ...]]:
    """Records as plain values, which compare with any."""

    def field(value: SliceBuffer | bytes | None) -> bytes | None:
        return value.tobytes() if isinstance(value, SliceBuffer) else value

    return [
        (offset, timestamp, field(key), field(value), [(name, field(said)) for name, said in headers])
        for offset, timestamp, key, value, headers in records
    ]


def decoded(batch: BaseBuffer) -> list[Record]:
    found = decode(batch, header_at(batch))
    assert found is not None
    return list(found)


def made(records: bytes, *, codec: int = 0, count: int = 1) -> CompositeBuffer:
    """A batch of such bytes, under its right checksum."""
    fields = [0, HEADER.size - 12 + len(records), 0, 2, 0, codec, count - 1, 0, 0, -1, -1, -1, count]
    fields[4] = checksum(CompositeBuffer([HEADER.pack(*fields), records]))
    return CompositeBuffer([HEADER.pack(*fields), records])


@given(RECORDS, st.integers(0, 1 << 60))
def test_what_is_encoded_is_decoded(records: list[Record], base: int) -> None:
    batch = encode(records, offset=base)
    assert [header.end - base for header, _ in batches_of(batch)] == [len(records)]
    assert plain(decoded(batch)) == plain([record._replace(offset=base + i) for i, record in enumerate(records)])


@given(RECORDS)
def test_others_read_what_is_encoded(records: list[Record]) -> None:
    theirs = kafka_python().DefaultRecordBatch(bytearray(encode(records).tobytes()))
    assert theirs.validate_crc()
    found = [Record(one.offset, one.timestamp, one.key, one.value, one.headers) for one in theirs]
    assert plain(found) == plain([record._replace(offset=i) for i, record in enumerate(records)])


@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
def test_what_others_encode_is_decoded(codec: int) -> None:
    builder = kafka_python().DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 1 << 20)
    for number in range(200):
        builder.append(number, 1_000 + number, b"key %d" % number, bytes(number), [("header", b"%d" % number)])
    batch = SliceBuffer(bytes(builder.build()))
    assert header_at(batch).codec == codec
    parts = CompositeBuffer([batch[:100], batch[100:500], batch[500:]])
    wanted = [Record(i, 1_000 + i, b"key %d" % i, bytes(i), [("header", b"%d" % i)]) for i in range(200)]
    assert plain(decoded(parts)) == plain(wanted)


@pytest.mark.parametrize("codec", [2, 3, 4, 7], ids=["snappy", "lz4", "zstd", "unknown"])
def test_what_takes_another_library(codec: int) -> None:
    batch = made(b"anything", codec=codec)
    assert decode(batch, header_at(batch)) is None
    assert times(batch, header_at(batch)) is None


def test_times_alone() -> None:
    batch = encode([Record(0, 1_000 + i, b"key", bytes(i), [("header", b"")]) for i in range(5)], offset=7)
    assert list(times(batch, header_at(batch)) or ()) == [(7 + i, 1_000 + i) for i in range(5)]
    zipped = made(gzip.compress(bytes(101)), codec=1)
    with pytest.raises(CorruptBatchError):
        times(zipped, header_at(zipped), most=100)


ONE: Final = b"\x0c\0\0\0\x01\x01\0"  # 6 bytes: no attributes, times and offsets of 0, no key, no value, no headers


@pytest.mark.parametrize("records", [ONE, b"\x0c\0\0\0\x7f\x01\0"], ids=["minus-one", "minus-sixty-four"])
def test_a_key_of_a_negative_length_is_none(records: bytes) -> None:
    assert plain(decoded(made(records))) == [(0, 0, None, None, [])]


@pytest.mark.parametrize(
    ("records", "codec", "count"),
    [
        pytest.param(b"", 0, 1, id="none"),
        pytest.param(ONE, 0, 2, id="fewer-than-told"),
        pytest.param(ONE, 0, (1 << 31) - 1, id="far-fewer-than-told"),
        pytest.param(ONE + ONE, 0, 1, id="more-than-told"),
        pytest.param(ONE[:-1], 0, 1, id="cut"),
        pytest.param(b"\x0b" + ONE[1:], 0, 1, id="negative-length"),
        pytest.param(b"\x0c\0\0\0\x01\x01\x02", 0, 1, id="header-that-is-not-there"),
        pytest.param(b"\x10\0\0\0\x01\x01\x02\x01\x01", 0, 1, id="header-without-a-name"),
        pytest.param(b"\x12\0\0\0\x01\x01\x02\x02\xff\x01", 0, 1, id="header-whose-name-is-no-text"),
        pytest.param(b"\xff" * 11, 0, 1, id="endless-varint"),
        pytest.param(b"not compressed", 1, 1, id="no-gzip"),
        pytest.param(gzip.compress(ONE)[:-9], 1, 2, id="cut-gzip"),
        pytest.param(gzip.compress(bytes((64 << 20) + 1)), 1, 1, id="bomb"),
    ],
)
def test_what_is_no_record(records: bytes, codec: int, count: int) -> None:
    batch = made(records, codec=codec, count=count)
    with pytest.raises(CorruptBatchError):
        decoded(batch)


@given(st.binary(max_size=100), st.integers(1, 5))
def test_bytes_are_records_or_corrupt(records: bytes, count: int) -> None:
    batch = made(records, count=count)
    try:
        assert len(decoded(batch)) == count
    except CorruptBatchError:
        pass
