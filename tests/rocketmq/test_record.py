"""The layout of a record, and what is none."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer, copy_audit
from examples.rocketmq import record
from examples.rocketmq.record import HEAD, Message, MessageError


def encoded(message: Message, *, position: int = 1000, queue_offset: int = 5) -> bytes:
    sized = record.size_of(message)
    parts = record.parts_of(sized, position=position, queue_offset=queue_offset, stored_at=77)
    whole = CompositeBuffer(parts).tobytes()
    assert len(whole) == sized.size
    return whole


def test_every_field_lies_where_clients_look_for_it() -> None:
    message = Message(
        "topic", 3, b"body", b"TAGS\1a\2", flag=9, sys_flag=8, born_at=66, born_host=("1.2.3.4", 5), reconsume_times=4,
        store_host=("6.7.8.9", 10),
    )  # fmt: skip
    data = encoded(message)
    assert struct.unpack(">iI", data[:8]) == (len(data), 0xDAA320A7)
    assert struct.unpack(">iiqqiq", data[12:48]) == (3, 9, 5, 1000, 8, 66)
    assert data[48:56] == bytes([1, 2, 3, 4, 0, 0, 0, 5])
    assert struct.unpack(">q", data[56:64]) == (77,)
    assert data[64:72] == bytes([6, 7, 8, 9, 0, 0, 0, 10])
    assert struct.unpack(">iqi", data[72:88]) == (4, 0, 4)
    assert data[88:] == b"body" + b"\x05topic" + b"\x00\x07TAGS\1a\2"


def test_the_crc_is_over_all_but_itself() -> None:
    data = encoded(Message("topic", 0, b"body"))
    assert struct.unpack(">I", data[8:12]) == (zlib.crc32(data[:8] + data[12:]),)
    assert record.is_whole(SliceBuffer(data))


def test_a_body_in_parts_is_neither_joined_nor_copied() -> None:
    body = CompositeBuffer([b"one", b"two", b"three"]).freeze()
    with copy_audit() as audit:
        parts = record.parts_of(record.size_of(Message("t", 0, body)), position=0, queue_offset=0, stored_at=0)
    assert audit.nbytes == 0
    assert record.is_whole(SliceBuffer(CompositeBuffer(parts).tobytes()))


@given(
    st.binary(max_size=100), st.text("abc_%|-", min_size=1, max_size=127), st.binary(max_size=100),
    st.integers(0, 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip
def test_what_is_encoded_is_decoded(
    body: bytes, topic: str, properties: bytes, queue: int, flag: int, born_at: int
) -> None:
    message = Message(topic, queue, body, properties, flag=flag, born_at=born_at, born_host=("255.0.1.2", 65535))
    found = record.message_of(SliceBuffer(encoded(message)))
    assert isinstance(found.body, BaseBuffer)
    assert found == Message(topic, queue, found.body, properties, flag, 0, born_at, ("255.0.1.2", 65535))
    assert found.body == body


def test_no_record_survives_the_change_of_a_byte() -> None:
    data = bytearray(encoded(Message("topic", 0, b"body", b"a\1b\2")))
    for at in range(len(data)):
        data[at] ^= 0x10
        head = record.head_at(SliceBuffer(data), 0)
        assert head is not None
        assert not record.is_record(head, 1000, len(data)) or not record.is_whole(SliceBuffer(data)[: head.size])
        data[at] ^= 0x10


def test_a_record_elsewhere_is_none() -> None:
    data = SliceBuffer(encoded(Message("topic", 0, b"body")))
    head = record.head_at(data, 0)
    assert head is not None
    assert record.is_record(head, 1000, len(data))
    assert not record.is_record(head, 1001, len(data))
    assert not record.is_record(head, 1000, len(data) - 1)
    assert record.head_at(data, len(data) - HEAD.size + 1) is None
    assert record.head_at(data, -1) is None


@pytest.mark.parametrize("tail", [b"\x01t", b"\x02t\x00\x00", b"\x01t\x00\x01", b"\x01t\x00\x00z"], ids=repr)
def test_a_record_whose_sizes_disagree_is_not_whole_though_its_crc_is_right(tail: bytes) -> None:
    data = bytearray(HEAD.pack(HEAD.size + len(tail), record.MAGIC, 0, 0, 0, 0, 0, 0, 0, b"", 0, b"", 0, 0, 0) + tail)
    struct.pack_into(">I", data, 8, record.crc_of(memoryview(data)))
    assert not record.is_whole(SliceBuffer(data))


@pytest.mark.parametrize(
    "message",
    [
        Message("", 0, b""),
        Message("t" * 128, 0, b""),
        Message("é" * 64, 0, b""),
        Message("..", 0, b""),
        Message("a/b", 0, b""),
        Message("a\0b", 0, b""),
        Message("t", -1, b""),
        Message("t", 0, b"", b"p" * 32768),
        Message("t", 0, b"", born_host=("::1", 1)),
        Message("t", 0, b"", born_host=("1.2.3.x", 1)),
        Message("t", 0, b"", born_host=("1.2.3.256", 1)),
        Message("t", 0, b"", born_host=("1.2.3.4", -1)),
        Message("t", 0, b"", flag=1 << 31),
    ],
    ids=["none", "long", "long-utf8", "above", "slash", "nul", "queue", "properties", "ipv6", "letters", "256", "port",
         "flag"],
)  # fmt: skip
def test_there_is_no_record_of_such_a_message(message: Message) -> None:
    with pytest.raises(MessageError):
        encoded(message)


@pytest.mark.parametrize(
    ("tag", "value"),
    [("", 0), ("a", 97), ("TagA", 2598919), ("hello world", 1794106052), ("polygenelubricants", -(2**31)), ("é", 233)],
)
def test_tags_hash_as_in_java(tag: str, value: int) -> None:
    assert record.hash_of(tag) == value


def test_the_tag_is_one_of_the_properties() -> None:
    assert record.tag_hash_of(b"KEYS\1k\2TAGS\1a\2") == 97
    assert record.tag_hash_of(b"TAGS2\1a\2") == 0
    assert record.tag_hash_of(b"") == 0
    assert record.property_of(SliceBuffer(b"a\1b\2c\1d"), b"c") == "d"
