"""examples/protobuf_stream.py: what the protobuf package writes, every cut, and what no message may be."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2, proto, struct_pb2, timestamp_pb2, unknown_fields
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import assume, given
from hypothesis import strategies as st

from bytebufs import FrameError, LimitExceeded, Reader, SliceBuffer, Underrun, VarintPrefixed, no_copy
from bytebufs.testing import Outcome, check_fragmentation, fragmentations, outcome_of
from examples.protobuf_stream import MAX_DEPTH, MAX_WORDS, Field, Wire, delimited, fields, lines, messages

from .conftest import PLACES, RANDOM_CUTS
from .layouts import addresses

ROOT: Final = Path(__file__).parent.parent
Type = descriptor_pb2.FieldDescriptorProto.Type
MANY: Final = 100_000


def stream_of(*items: Message) -> bytes:
    """Write messages as the package does."""
    stream = io.BytesIO()
    for item in items:
        proto.serialize_length_prefixed(item, stream)
    return stream.getvalue()


def reader_of(data: bytes) -> Reader:
    return SliceBuffer(data).reader()


# -- a schema that has everything


def everything() -> descriptor_pb2.FileDescriptorProto:
    """Describe a message with fields of each type: one, many, and many that are packed; and with groups."""
    file = descriptor_pb2.FileDescriptorProto(name="everything.proto", package="everything", syntax="proto2")
    enum = file.enum_type.add(name="Colour")
    for name, number in ("RED", 0), ("GREEN", 1), ("FAR", -(2**31)):
        enum.value.add(name=name, number=number)
    message = file.message_type.add(name="Everything")
    group = message.nested_type.add(name="Group")
    group.field.add(name="x", number=1, type=Type.TYPE_INT32, label="LABEL_OPTIONAL")
    group.field.add(
        name="inner", number=2, type=Type.TYPE_MESSAGE, label="LABEL_OPTIONAL", type_name=".everything.Everything"
    )
    for kind in Type.values():
        label = Type.Name(kind).removeprefix("TYPE_").lower()
        type_name = {
            Type.TYPE_ENUM: ".everything.Colour",
            Type.TYPE_GROUP: ".everything.Everything.Group",
            Type.TYPE_MESSAGE: ".everything.Everything",
        }.get(kind)
        for start, prefix, rule in (0, "one", "LABEL_OPTIONAL"), (100, "many", "LABEL_REPEATED"):
            message.field.add(name=f"{prefix}_{label}", number=start + kind, type=kind, label=rule, type_name=type_name)
        if kind not in {Type.TYPE_STRING, Type.TYPE_BYTES, Type.TYPE_GROUP, Type.TYPE_MESSAGE}:
            packed = message.field.add(
                name=f"packed_{label}", number=2000 + kind, type=kind, label="LABEL_REPEATED", type_name=type_name
            )
            packed.options.packed = True
    return file


@cache
def everything_class() -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(everything())
    return GetMessageClass(pool.FindMessageTypeByName("everything.Everything"))


INT32: Final = st.integers(-(2**31), 2**31 - 1)
INT64: Final = st.integers(-(2**63), 2**63 - 1)
UINT32: Final = st.integers(0, 2**32 - 1)
UINT64: Final = st.integers(0, 2**64 - 1)

VALUES: Final[dict[int, st.SearchStrategy[Any]]] = {
    Type.TYPE_DOUBLE: st.floats(allow_nan=False),
    Type.TYPE_FLOAT: st.floats(allow_nan=False, width=32),
    Type.TYPE_INT64: INT64,
    Type.TYPE_UINT64: UINT64,
    Type.TYPE_INT32: INT32,
    Type.TYPE_FIXED64: UINT64,
    Type.TYPE_FIXED32: UINT32,
    Type.TYPE_BOOL: st.booleans(),
    Type.TYPE_STRING: st.text(max_size=9),
    Type.TYPE_BYTES: st.binary(max_size=9),
    Type.TYPE_UINT32: UINT32,
    Type.TYPE_ENUM: st.sampled_from([0, 1, -(2**31)]),
    Type.TYPE_SFIXED32: INT32,
    Type.TYPE_SFIXED64: INT64,
    Type.TYPE_SINT32: INT32,
    Type.TYPE_SINT64: INT64,
}


@st.composite
def filled(draw: st.DrawFn, kind: type[Message] | None = None, depth: int = 3) -> Any:
    """Draw a message with some of its fields set."""
    message = (kind or everything_class())()
    schemas: list[Any] = list(message.DESCRIPTOR.fields)
    for field in draw(st.lists(st.sampled_from(schemas), max_size=5 if depth else 0)):
        if field.message_type is not None:
            value = draw(filled(GetMessageClass(field.message_type), depth - 1))
            target = getattr(message, field.name)
            (target.add() if field.is_repeated else target).CopyFrom(value)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(VALUES[field.type], max_size=4)))
        else:
            setattr(message, field.name, draw(VALUES[field.type]))
    return message


# -- reading by a schema what the walker finds


def signed(number: int) -> int:
    """Undo the two's complement of 64 bits in which int32, int64 and enums are written."""
    return number - (number >> 63 << 64)


def zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


VARINTS: Final[dict[int, Callable[[int], int]]] = {
    Type.TYPE_INT64: signed,
    Type.TYPE_INT32: signed,
    Type.TYPE_ENUM: signed,
    Type.TYPE_UINT64: int,
    Type.TYPE_UINT32: int,
    Type.TYPE_BOOL: bool,
    Type.TYPE_SINT32: zigzag,
    Type.TYPE_SINT64: zigzag,
}
READS: Final[dict[int, Callable[[Reader], Any]]] = {
    Type.TYPE_DOUBLE: Reader.f64_le,
    Type.TYPE_FLOAT: Reader.f32_le,
    Type.TYPE_FIXED64: Reader.u64_le,
    Type.TYPE_FIXED32: Reader.u32_le,
    Type.TYPE_SFIXED32: Reader.i32_le,
    Type.TYPE_SFIXED64: Reader.i64_le,
    Type.TYPE_STRING: lambda r: r.text(r.remaining),
    Type.TYPE_BYTES: lambda r: r.take_bytes(r.remaining),
    **{kind: partial(lambda convert, r: convert(r.varint()), convert) for kind, convert in VARINTS.items()},
}


def values_of(schema: Any, field: Field, rest: Iterator[Field]) -> Iterator[Any]:
    """Yield what a field says: one value, or those that are packed in it."""
    if schema.message_type is not None:
        inside = rest if isinstance(field.value, int) or field.wire is Wire.SGROUP else fields(field.value)
        yield rebuilt(GetMessageClass(schema.message_type), inside)
    elif isinstance(field.value, int):
        yield VARINTS[schema.type](field.value)
    elif schema.type in {Type.TYPE_STRING, Type.TYPE_BYTES}:
        yield READS[schema.type](field.value)
    else:
        while field.value.remaining:
            yield READS[schema.type](field.value)


def rebuilt(kind: type[Message], found: Iterator[Field]) -> Message:
    """Return the message that some fields make, by its schema; a group ends with its EGROUP."""
    message = kind()
    for field in found:
        if field.wire is Wire.EGROUP:
            break
        schema: Any = kind.DESCRIPTOR.fields_by_number[field.number]
        for value in values_of(schema, field, found):
            target = getattr(message, schema.name)
            if schema.message_type is None:
                target.append(value) if schema.is_repeated else setattr(message, schema.name, value)
            elif schema.message_type.GetOptions().map_entry:
                target[value.key].CopyFrom(value.value)
            else:
                (target.add() if schema.is_repeated else target).MergeFrom(value)
                if not schema.is_repeated:
                    target.SetInParent()
    return message


@given(filled())
def test_fields_of_every_type_are_read_as_they_were_written(message: Message) -> None:
    assert rebuilt(everything_class(), fields(reader_of(message.SerializeToString()))) == message


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda items: st.lists(items, max_size=4) | st.dictionaries(st.text(max_size=4), items, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_structs_are_read_as_they_were_written(content: dict[str, Any]) -> None:
    message = struct_pb2.Struct()
    message.update(content)
    assert rebuilt(struct_pb2.Struct, fields(reader_of(message.SerializeToString()))) == message


def described(file: Any) -> descriptor_pb2.FileDescriptorProto:
    message = descriptor_pb2.FileDescriptorProto()
    file.DESCRIPTOR.CopyToProto(message)
    return message


@pytest.mark.parametrize("file", [descriptor_pb2, struct_pb2, timestamp_pb2], ids=lambda file: file.__name__)
def test_descriptions_of_files_are_read_as_they_were_written(file: Any) -> None:
    message = described(file)
    [frame] = messages([stream_of(message)], limit=1 << 20)
    with no_copy():
        assert rebuilt(descriptor_pb2.FileDescriptorProto, fields(frame.reader())) == message


# -- streams

STAMP: Final = timestamp_pb2.Timestamp(seconds=-5, nanos=7)
EMPTY: Final = empty_pb2.Empty()


@given(st.lists(filled(), max_size=5), st.integers(1, 50))
def test_a_stream_that_the_package_wrote(items: list[Message], step: int) -> None:
    stream = stream_of(*items)
    parts = [stream[at : at + step] for at in range(0, len(stream), step)]
    with no_copy():
        # A limit that leaves room for what so many parts cost: beyond, they would be gathered.
        found = list(messages(parts, limit=1 << 16))
    assert [everything_class().FromString(bytes(frame)) for frame in found] == items


@given(st.lists(filled(), max_size=5))
def test_a_stream_for_the_package_to_read(items: list[Message]) -> None:
    stream = io.BytesIO(b"".join(bytes(delimited(item.SerializeToString())) for item in items))
    assert stream.getvalue() == stream_of(*items)
    for item in items:
        assert proto.parse_length_prefixed(everything_class(), stream) == item


def test_messages_and_what_is_in_them_are_slices() -> None:
    message = described(struct_pb2).SerializeToString()
    with no_copy(strict=True):
        stream = delimited(message)
        [frame] = messages([stream], limit=1 << 20)
        name = next(fields(frame.reader())).value
        assert isinstance(name, Reader)
        text = name.take(name.remaining)
    assert addresses(frame) == addresses(SliceBuffer(message))
    assert addresses(text) == addresses(SliceBuffer(message))[2 : 2 + len(b"google/protobuf/struct.proto")]


# -- every cut


def plain(field: Field) -> object:
    return field.number, field.wire, field.value if isinstance(field.value, int) else bytes(rest_of(field.value))


def rest_of(r: Reader) -> SliceBuffer:
    return r.take(r.remaining)


def plain_fields(frame: SliceBuffer) -> list[object]:
    return list(map(plain, fields(frame.reader())))


def run(pieces: list[bytes], limit: int = 10_000) -> Outcome:
    return outcome_of(VarintPrefixed(limit), pieces, plain=plain_fields)


def check(data: bytes, limit: int = 10_000) -> Outcome:
    return check_fragmentation(
        lambda: VarintPrefixed(limit), data, plain=plain_fields, limit=PLACES, random_cuts=RANDOM_CUTS
    )


STREAM: Final = stream_of(STAMP, EMPTY, described(timestamp_pb2), STAMP)


@pytest.mark.parametrize(
    "ending", [b"", b"\x80", b"\x03\x08\x01", b"\xff" * 10, b"\x90\x4f", b"\x01\x08", b"\x02\x0a\x01", b"\x01\x0c\x00"]
)
def test_no_cut_changes_anything(ending: bytes) -> None:
    found = check(STREAM + ending)
    assert len(found.results) == 4
    assert found.results[0] == [(1, Wire.VARINT, 2**64 - 5), (2, Wire.VARINT, 7)]
    assert found.results[1] == []
    kind = found.error and found.error[0]
    assert (kind is None) == (ending == b"")
    assert (kind is Underrun) == (ending in {b"\x80", b"\x03\x08\x01"})


@pytest.mark.parametrize(
    ("limit", "error"),
    [(13, None), (12, (LimitExceeded, "the limit of 12 bytes is exceeded by the 13 that are announced (at byte 0)"))],
)
def test_the_limit_of_a_message_is_inclusive(limit: int, error: object) -> None:
    assert check(stream_of(STAMP, STAMP), limit).error == error


@given(st.lists(filled(), max_size=3), st.binary(max_size=5), st.data())
def test_no_cut_changes_any_stream(items: list[Message], rest: bytes, data: st.DataObject) -> None:
    stream = stream_of(*items) + rest
    assert run(data.draw(fragmentations(stream))) == run([stream])


@pytest.mark.parametrize("ending", [b"\x80", b"\x03\x08\x01"])
def test_a_stream_that_ends_in_a_message_is_said_to(ending: bytes) -> None:
    found = messages([STREAM, ending], limit=10_000)
    assert [len(next(found)) for _ in range(4)] == [13, 0, len(described(timestamp_pb2).SerializeToString()), 13]
    with pytest.raises(Underrun):
        next(found)


# -- what is malformed, and what is hostile


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "a field reaches beyond its message: 1 bytes were asked for, 0 are there"),
        (b"\x08\x80", "a field reaches beyond its message: 2 bytes were asked for, 1 are there"),
        (b"\x80", "a field reaches beyond its message: 2 bytes were asked for, 1 are there"),
        (b"\x09" + bytes(7), "a field reaches beyond its message: 8 bytes were asked for, 7 are there"),
        (b"\x0d" + bytes(3), "a field reaches beyond its message: 4 bytes were asked for, 3 are there"),
        (b"\x0a\x02a", "a field reaches beyond its message: 2 bytes were asked for, 1 are there"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "a field reaches beyond its message: 18446744073709551615 bytes were"),
        (b"\x08" + b"\xff" * 10, "the varint has more than 64 bits"),
        (b"\x80" * 5 + b"\x01", "the varint has more than 5 bytes"),
        (b"\x00\x01", "no field has the number 0 and the wire type 0"),
        (b"\x0e", "no field has the number 1 and the wire type 6"),
        (b"\x0f", "no field has the number 1 and the wire type 7"),
        (b"\xf8\xff\xff\xff\x1f\x00", "no field has the number 1073741823 and the wire type 0"),
        (b"\x0c", "the end of a group 1 that has not begun"),
        (b"\x0b\x14", "the end of a group 2 that has not begun"),
        (b"\x0b\x13\x14", "the group 1 has no end"),
    ],
)
def test_what_is_malformed_is_said_so(data: bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=re.escape(reason)):
        list(fields(reader_of(data)))
    [field] = fields(reader_of(wrapped(data)))
    assert isinstance(field.value, Reader)
    with pytest.raises(FrameError, match=re.escape(reason)):
        list(fields(field.value))


def theirs(found: Any) -> Iterator[object]:
    """Yield what the package found in a message that it has no schema for, groups as we have them."""
    for field in found:
        if field.wire_type == Wire.SGROUP:
            yield field.field_number, Wire.SGROUP, b""
            yield from theirs(field.data)
            yield field.field_number, Wire.EGROUP, b""
        else:
            size = {Wire.I64: 8, Wire.I32: 4}.get(field.wire_type, 0)
            yield field.field_number, field.wire_type, field.data.to_bytes(size, "little") if size else field.data


BYTES: Final = st.sampled_from([8, 9, 10, 11, 12, 13, 14, 0x80, 0xFF, 0, 1, 2]) | st.integers(0, 255)


@given(st.lists(BYTES, max_size=20).map(bytes))
def test_the_package_finds_the_same_fields_in_any_bytes(data: bytes) -> None:
    try:
        ours = list(map(plain, fields(reader_of(data))))
    except FrameError as error:
        # It takes the field number 0, which the encoding page forbids, and varints of more bits, which it cuts off.
        assume("has the number 0" not in error.reason and "more than 64 bits" not in error.reason)
        with pytest.raises(DecodeError):
            empty_pb2.Empty.FromString(data)
    else:
        assert ours == list(theirs(unknown_fields.UnknownFieldSet(empty_pb2.Empty.FromString(data))))


def test_a_declared_length_beyond_the_limit_is_refused_at_once() -> None:
    sentence = f"the limit of 1000 bytes is exceeded by the {2**64 - 1} that are announced (at byte 0)"
    assert run([b"\xff" * 9 + b"\x01"], 1000) == Outcome([], (LimitExceeded, sentence), 0)


def test_a_length_without_an_end_is_refused() -> None:
    error = (FrameError, "the varint has more than 64 bits (at byte 0)")
    assert run([b"\x80"] * MANY) == Outcome([], error, 0)


def wrapped(message: bytes, depth: int = 1) -> bytes:
    """Return a message as the field 1 of another one, and that as the field 1 of another one, ..."""
    for _ in range(depth):
        message = b"\x0a" + bytes(delimited(message))
    return message


def test_depth_is_bounded() -> None:
    assert len(list(lines(reader_of(wrapped(b"\x08\x01", MAX_DEPTH))))) == 2 * MAX_DEPTH + 1
    assert [field.number for field in fields(reader_of(b"\x08\x01"), MAX_DEPTH)] == [1]
    with pytest.raises(FrameError, match=f"messages nested more than {MAX_DEPTH} deep"):
        list(fields(reader_of(b"\x08\x01"), MAX_DEPTH + 1))
    assert len(list(fields(reader_of(b"\x0b" * MAX_DEPTH + b"\x0c" * MAX_DEPTH)))) == 2 * MAX_DEPTH
    for read in (fields, lines):
        with pytest.raises(FrameError, match=f"groups nested more than {MAX_DEPTH} deep"):
            list(read(reader_of(b"\x0b" * MANY)))


def groups(depth: int) -> bytes:
    return b"\x0b" * depth + b"\x08\x01" + b"\x0c" * depth


@pytest.mark.parametrize("depth", [1, MAX_DEPTH // 2, MAX_DEPTH])
def test_messages_and_groups_are_counted_together(depth: int) -> None:
    """Both are levels of the same tree, and of the stacks of those who read it."""
    assert len(list(fields(reader_of(groups(MAX_DEPTH - depth)), depth))) == 2 * (MAX_DEPTH - depth) + 1
    with pytest.raises(FrameError, match=f"groups nested more than {MAX_DEPTH} deep"):
        list(fields(reader_of(groups(MAX_DEPTH - depth + 1)), depth))
    whole = list(lines(reader_of(wrapped(groups(MAX_DEPTH - depth), depth))))
    assert len(whole) == 2 * MAX_DEPTH + 1
    assert whole[MAX_DEPTH] == "  " * MAX_DEPTH + "1: 1"
    # One more, and what looked like a message is taken for bytes: that may be what it is.
    assert len(list(lines(reader_of(wrapped(groups(MAX_DEPTH - depth + 1), depth))))) == 2 * depth - 1


@pytest.mark.parametrize("deeper", [1, 2, 9 * MAX_DEPTH])
def test_bytes_that_look_like_too_deep_a_message_are_shown_as_bytes(deeper: int) -> None:
    """The message that they are in is whole and well: no guess may make it malformed."""
    data = b"\x08\x05" + wrapped(b"\x08\x01", MAX_DEPTH + deeper) + b"\x10\x06"
    found = list(lines(reader_of(data)))
    assert (found[0], found[-1]) == ("1: 5", "2: 6")
    assert len(found) == 2 * MAX_DEPTH + 3
    [deepest] = [line for line in found if "deep" in line]
    assert deepest.startswith("  " * MAX_DEPTH + '1: "')
    assert deepest.endswith(f'"  # or a message, nested more than {MAX_DEPTH} deep')


# -- as text


def test_a_message_as_text() -> None:
    message = everything_class()(
        one_bool=True, one_float=1.5, one_double=-2.0, one_string="naïve", many_bytes=[b"\xff"]
    )
    message.one_group.x = 3  # type: ignore[attr-defined]  # made by its schema
    message.one_message.one_uint32 = 7  # type: ignore[attr-defined]
    assert list(lines(reader_of(message.SerializeToString(deterministic=True)))) == [
        "1: 0xc000000000000000",
        "2: 0x3fc00000",
        "8: 1",
        '9: "naïve"',
        "10 {",
        "  1: 3",
        "}",
        "11 {  # or 2 bytes",
        "  13: 7",
        "}",
        '112: "\\xff"',
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"PX", ['1: "PX"  # or a message']),  # also 10: 88
        (b"R&" + b"a" * 38, [f'1: "R&{"a" * 38}"  # or a message']),  # also 10: "aaa..."
        ("Rфы".encode(), ['1: "Rфы"']),
        (b"", ['1: ""']),
        (b"hello", ['1: "hello"']),
        (b"\x08\x01", ["1 {  # or 2 bytes", "  1: 1", "}"]),
        (b"\x0a\x02PX", ["1 {  # or 4 bytes", '  1: "PX"  # or a message', "}"]),
        (b"P\xff\x01", ["1 {  # or 3 bytes", "  10: 255", "}"]),
        (b'say "\\x" \xff\n}\x00\xc3\xa9\xe2\x80\xa8', ['1: "say \\"\\\\x\\" \\xff\\n}\\x00é\\u2028"']),
    ],
)
def test_what_bytes_may_be_is_not_taken_for_granted(value: bytes, shown: list[str]) -> None:
    assert list(lines(reader_of(b"\x0a" + bytes(delimited(value))))) == shown


def test_long_text_that_is_a_message_is_shown_as_one() -> None:
    for size, count in ((MAX_WORDS, 1), (MAX_WORDS + 2, 2 + MAX_WORDS // 2 + 1)):
        assert len(list(lines(reader_of(b"\x0a" + bytes(delimited(b"PX" * (size // 2))))))) == count


@given(st.lists(BYTES, max_size=40).map(bytes))
def test_whatever_bytes_are_they_can_be_shown(data: bytes) -> None:
    found = list(lines(reader_of(b"\x0a" + bytes(delimited(data)) + b"\x10\x01")))
    assert found[-1] == "2: 1"
    assert all(line.isprintable() for line in found)
    assert sum(line.count("{") for line in found if '"' not in line) == sum(line.strip() == "}" for line in found)


def test_the_command_line() -> None:
    command = [sys.executable, "-m", "examples.protobuf_stream"]
    shown = subprocess.run(command, check=True, capture_output=True, input=stream_of(STAMP, EMPTY, STAMP), cwd=ROOT)
    stamp = b"1: 18446744073709551611\n2: 7\n\n"
    assert shown.stdout == stamp + b"\n" + stamp
    broken = subprocess.run(command, check=False, capture_output=True, input=b"\x02\x08\x01\x05", cwd=ROOT)
    assert broken.returncode == 1
    assert broken.stdout == b"1: 1\n\n"
    assert broken.stderr == b"protobuf_stream: 6 bytes were asked for, 1 are there (at byte 3)\n"


@pytest.mark.parametrize("name", ["protobuf_stream", "redis_resp", "websocket_frames"])
def test_a_protocol_is_as_short_as_the_docs_say(name: str) -> None:
    assert "each in less than 350 lines" in (ROOT / "docs" / "howto" / "parsers.md").read_text(encoding="utf-8")
    assert len((ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 350
