"""Record batches: their headers, their checksums over whatever parts, and what is none."""

from __future__ import annotations

from typing import Final

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, SliceBuffer
from examples.kafka.batch import HEADER, Batch, CorruptBatchError, batches_of, checksum, header_at, placed
from examples.kafka.records import Record, encode

GOOD: Final = encode([Record(0, 7, b"key", b"value"), Record(0, 9, None, None)], offset=42).tobytes()


def in_parts(data: bytes, size: int) -> CompositeBuffer:
    return CompositeBuffer([data[at : at + size] for at in range(0, len(data), size)])


def header(**instead: int) -> bytes:
    return HEADER.pack(*header_at(SliceBuffer(GOOD))._replace(**instead)) + GOOD[HEADER.size :]


def test_a_header_says_what_stands_there() -> None:
    found = header_at(SliceBuffer(b"before" + GOOD), 6)
    assert found[:4] == (42, len(GOOD) - 12, -1, 2)
    assert found[5:] == (0, 1, 7, 9, -1, -1, -1, 2)
    assert (found.nbytes, found.end) == (len(GOOD), 44)
    assert found.crc == crc32c.crc32c(GOOD[21:])


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        pytest.param(0, (0, False, False), id="plain"),
        pytest.param(4, (4, False, False), id="zstd"),
        pytest.param(8 | 1, (1, False, False), id="gzip-appended-time"),
        pytest.param(16 | 3, (3, True, False), id="transaction"),
        pytest.param(32 | 16, (0, True, True), id="control"),
    ],
)
def test_attributes(attributes: int, told: tuple[int, bool, bool]) -> None:
    found: Batch = header_at(SliceBuffer(header(attributes=attributes)))
    assert (found.codec, found.is_transactional, found.is_control) == told


@given(st.binary(min_size=22, max_size=500), st.integers(1, 60))
def test_a_checksum_is_that_of_the_bytes_whatever_the_parts(data: bytes, size: int) -> None:
    assert checksum(in_parts(data, size)) == crc32c.crc32c(data[21:])


@pytest.mark.parametrize("size", [1, 7, 61, 1_000])
def test_batches_one_behind_the_other(size: int) -> None:
    found = list(batches_of(in_parts(GOOD * 3, size)))
    assert [batch.tobytes() for _, batch in found] == [GOOD] * 3
    assert {said for said, _ in found} == {header_at(SliceBuffer(GOOD))}
    assert list(batches_of(SliceBuffer(b""))) == []


@pytest.mark.parametrize("front", [b"", GOOD], ids=["first", "second"])
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        pytest.param(GOOD[:16], "16 bytes are no batch", id="no-magic"),
        pytest.param(GOOD[:60], "60 bytes are no batch", id="half-a-header"),
        pytest.param(GOOD[:-1], "are there", id="cut"),
        pytest.param(header(magic=1), "version 1", id="message-set"),
        pytest.param(header(magic=0)[:20], "version 0", id="small-message-set"),
        pytest.param(header(length=48), "no batch has", id="shorter-than-a-header"),
        pytest.param(header(length=-1), "no batch has", id="negative-length"),
        pytest.param(header(length=(1 << 31) - 1), "are there", id="longest"),
        pytest.param(header(records=0, last_offset_delta=-1), "no batch has", id="no-records"),
        pytest.param(header(records=-2, last_offset_delta=-3), "no batch has", id="negative-records"),
        pytest.param(header(records=3), "no batch has", id="other-number-of-records"),
        pytest.param(header(crc=0), "checksum", id="checksum"),
        pytest.param(header(producer_id=3), "checksum", id="changed"),
    ],
)
def test_what_is_no_batch(front: bytes, bad: bytes, why: str) -> None:
    with pytest.raises(CorruptBatchError, match=why):
        list(batches_of(in_parts(front + bad, 40)))


def test_a_byte_changed_anywhere_is_seen_but_for_what_brokers_write() -> None:
    for at in range(len(GOOD)):
        changed = GOOD[:at] + bytes([GOOD[at] ^ 0x10]) + GOOD[at + 1 :]
        if at in {*range(8), *range(12, 16)}:
            assert len(list(batches_of(SliceBuffer(changed)))) == 1
        else:
            with pytest.raises(CorruptBatchError):
                list(batches_of(SliceBuffer(changed)))


def test_a_placed_batch_is_the_same_at_another_offset() -> None:
    batch = SliceBuffer(GOOD)
    front, rest = placed(batch, header_at(batch), 1 << 40)
    at_its_place = CompositeBuffer([front, rest])
    assert header_at(at_its_place) == header_at(batch)._replace(base_offset=1 << 40, leader_epoch=0)
    assert [found for _, found in batches_of(at_its_place)] == [at_its_place]
    assert at_its_place[16:] == GOOD[16:]
