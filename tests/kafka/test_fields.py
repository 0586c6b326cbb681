"""Wire types and tables: what is encoded is parsed as the same, in every version; what is wrong is said to be."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, FrameError, SliceBuffer, Underrun
from examples.kafka.fields import (
    BOOL,
    BYTES,
    INT8,
    INT16,
    INT32,
    INT64,
    MOST_ITEMS,
    NULLABLE_STRING,
    RECORDS,
    STRING,
    UUID,
    Array,
    Field,
    Message,
    Schema,
    encode,
    parse,
)

EVERYTHING: Final = Schema(
    Field("small", INT8),
    Field("short", INT16, since=1),
    Field("number", INT32, until=2, default=-1),
    Field("long", INT64),
    Field("truth", BOOL),
    Field("id", UUID, since=2),
    Field("text", STRING),
    Field("maybe", NULLABLE_STRING),
    Field("bytes", BYTES),
    Field("numbers", Array(INT32)),
    Field("rows", Array(Field("name", STRING), Field("value", INT16, since=2), nullable=True)),
    flexible=3,
)
VALUES: Final = st.fixed_dictionaries(
    {
        "small": st.integers(-128, 127),
        "short": st.integers(-(1 << 15), (1 << 15) - 1),
        "number": st.integers(-(1 << 31), (1 << 31) - 1),
        "long": st.integers(-(1 << 63), (1 << 63) - 1),
        "truth": st.booleans(),
        "id": st.binary(min_size=16, max_size=16),
        "text": st.text(max_size=200),
        "maybe": st.none() | st.text(max_size=200),
        "bytes": st.binary(max_size=300),
        "numbers": st.lists(st.integers(-9, 9)),
        "rows": st.none()
        | st.lists(st.fixed_dictionaries({"name": st.text(), "value": st.integers(0, 9)}), max_size=3),
    }
)


def joined(parts: list[Any]) -> bytes:
    return CompositeBuffer(parts).tobytes()


def parsed(schema: Schema, version: int, text: bytes) -> Message:
    """Parse it out of a buffer whose parts are small, to its very end."""
    reader = CompositeBuffer([text[at : at + 3] for at in range(0, len(text), 3)]).reader()
    message = parse(schema, version, reader)
    assert reader.at_end
    return message


@given(VALUES, st.integers(0, 4))
def test_what_is_encoded_is_parsed_as_the_same(message: Message, version: int) -> None:
    expected = dict(message)
    for name, is_absent, absent in (
        ("short", version < 1, 0),
        ("number", version > 2, -1),
        ("id", version < 2, bytes(16)),
    ):
        expected[name] = absent if is_absent else expected[name]
    if version < 2 and message["rows"] is not None:
        expected["rows"] = [{"name": row["name"], "value": 0} for row in message["rows"]]
    assert parsed(EVERYTHING, version, joined(encode(EVERYTHING, version, message))) == expected


@pytest.mark.parametrize(
    ("version", "wire"),
    [
        pytest.param(0, b"\0\x02hi \xff\xff \0\0\0\x01\0\0\0\x07", id="fixed"),
        pytest.param(1, b"\x03hi \0 \x02\0\0\0\x07 \0", id="flexible"),
    ],
)
def test_lengths_are_as_the_protocol_has_them(version: int, wire: bytes) -> None:
    schema = Schema(Field("a", STRING), Field("b", NULLABLE_STRING), Field("c", Array(INT32)), flexible=1)
    message = {"a": "hi", "b": None, "c": [7]}
    wire = wire.replace(b" ", b"")
    assert joined(encode(schema, version, message)) == wire
    assert parsed(schema, version, wire) == message


def test_tagged_fields_are_passed_over() -> None:
    schema = Schema(Field("a", INT8), flexible=0)
    assert parsed(schema, 0, b"\x07" + b"\x02" + b"\x00\x03abc" + b"\x90\x01\x00") == {"a": 7}


@pytest.mark.parametrize("version", [0, 1])
def test_records_are_a_slice_and_a_part(version: int) -> None:
    """What is received is neither copied when it is parsed nor when it is encoded."""
    schema = Schema(Field("before", INT8), Field("records", RECORDS), Field("after", INT8), flexible=1)
    memory = bytearray(b"x" * 1000)
    parts = encode(schema, version, {"before": 1, "records": SliceBuffer(memory), "after": 2})
    assert [len(part) for part in parts] == [3 if version else 5, 1000, 2 if version else 1]
    records = parse(schema, version, CompositeBuffer(parts).reader())["records"]
    assert len(records) == 1000
    memory[0] = ord("y")
    assert records.tobytes() == bytes(memory)


@pytest.mark.parametrize("version", [0, 1])
def test_no_records_are_null_or_nothing(version: int) -> None:
    schema = Schema(Field("records", RECORDS), flexible=1)
    for records, length in ((None, None), (SliceBuffer(b""), 0)):
        again = parsed(schema, version, joined(encode(schema, version, {"records": records})))["records"]
        assert (None if again is None else len(again)) == length


def test_what_a_message_does_not_say_is_what_the_table_says() -> None:
    assert parsed(EVERYTHING, 2, joined(encode(EVERYTHING, 2, {}))) == {
        "small": 0, "short": 0, "number": -1, "long": 0, "truth": False, "id": bytes(16), "text": "", "maybe": None,
        "bytes": b"", "numbers": [], "rows": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "version", "wire", "error"),
    [
        pytest.param(STRING, 0, b"\xff\xff", FrameError, id="null-text"),
        pytest.param(STRING, 0, b"\xff\xfe", FrameError, id="length-below-null"),
        pytest.param(STRING, 0, b"\x00\x02\xff\xff", FrameError, id="no-utf-8"),
        pytest.param(STRING, 0, b"\x00\x02a", Underrun, id="short-text"),
        pytest.param(STRING, 1, b"\xff\xff\xff\xff\x0f", Underrun, id="4-GiB-of-text"),
        pytest.param(STRING, 1, b"\xff\xff\xff\xff\xff\x0f", FrameError, id="endless-varint"),
        pytest.param(BYTES, 0, b"\x7f\xff\xff\xff", Underrun, id="2-GiB-of-bytes"),
        pytest.param(RECORDS, 0, b"\x7f\xff\xff\xff", Underrun, id="2-GiB-of-records"),
        pytest.param(Array(INT8), 0, b"\x7f\xff\xff\xff", FrameError, id="2-G-items"),
        pytest.param(Array(INT8), 1, b"\xff\xff\xff\xff\x0f", FrameError, id="4-G-items"),
        pytest.param(Array(INT8), 0, b"\0\0\0\x05abcd", FrameError, id="an-item-too-few"),
        pytest.param(INT8, 1, b"\x01\xff\xff\xff\xff\x0f", Underrun, id="4-G-tags"),
        pytest.param(INT64, 0, b"1234567", Underrun, id="short-number"),
    ],
)
def test_what_can_never_become_right_is_an_error(kind: Any, version: int, wire: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parsed(Schema(Field("field", kind), flexible=1), version, wire)


def test_all_arrays_together_have_a_limit() -> None:
    schema = Schema(Field("rows", Array(Field("items", Array(INT8)))))
    most = (MOST_ITEMS - 2) // 2
    wire = joined(encode(schema, 0, {"rows": [{"items": [0] * most}, {"items": [0] * most}]}))
    assert len(parse(schema, 0, SliceBuffer(wire).reader())["rows"]) == 2
    wire = joined(encode(schema, 0, {"rows": [{"items": [0] * most}, {"items": [0] * (most + 1)}]}))
    with pytest.raises(FrameError, match="items"):
        parse(schema, 0, SliceBuffer(wire).reader())


@given(st.binary(max_size=200), st.integers(0, 4))
def test_random_bytes_are_a_message_or_an_error(wire: bytes, version: int) -> None:
    try:
        message = parse(EVERYTHING, version, SliceBuffer(wire).reader())
    except (Underrun, FrameError):
        return
    parsed(EVERYTHING, version, joined(encode(EVERYTHING, version, message)))
