"""Kafka and RocketMQ: requests, batches, commands and records, where their bytes are cut and where they are wrong."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any, Final

from bytebufs import BaseBuffer, CompositeBuffer, FrameError, SliceBuffer, Underrun
from examples.kafka.batch import HEADER, CorruptBatchError, batches_of, checksum
from examples.kafka.broker import HANDLERS
from examples.kafka.fields import encode, parse
from examples.kafka.records import decode, times
from examples.kafka.requests import Request, parse_request
from examples.rocketmq import record, remoting

from .inputs import Program, answered, cut, joined

_CHECKSUM: Final = struct.Struct(">I")
_CHECKSUM_AT: Final = 17
_MOST_UNZIPPED: Final = 10_000


def _plain(value: Any) -> object:
    """Return a value of a message with all bytes as bytes."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.tobytes() if isinstance(value, BaseBuffer) else value


def _request(frame: BaseBuffer) -> object:
    request = answered(partial(parse_request, frame, HANDLERS), FrameError, Underrun)
    if not isinstance(request, Request):
        return request
    return request.api.key, request.correlation, request.context, _plain(request.message)


def kafka_requests(data: bytes) -> None:
    """Understand a request, in one piece and in several; what is understood can be said, and is understood the same."""
    whole, pieces, _ = cut(Program(data))
    expected = _request(SliceBuffer(whole))
    assert _request(joined(pieces)) == expected
    request = answered(partial(parse_request, SliceBuffer(whole), HANDLERS), FrameError, Underrun)
    if isinstance(request, Request) and request.message:
        version, schema = request.context.version, request.api.request
        parts = encode(schema, version, request.message)
        again = parse(schema, version, CompositeBuffer(parts).freeze().reader())
        assert _plain(again) == _plain(request.message)


def _records(batches: BaseBuffer) -> object:
    found: list[object] = []
    try:
        for header, batch in batches_of(batches):
            records = decode(batch, header)
            timed = times(batch, header, most=_MOST_UNZIPPED)
            found.append((header, None if records is None else [_plain(one) for one in records]))
            assert (records is None) == (timed is None)
            found.append(None if timed is None else list(timed))
    except CorruptBatchError as error:
        return found, str(error)
    return found


def kafka_batches(data: bytes) -> None:
    """Read the records of batches, of which the first is given the checksum that it should have."""
    whole, pieces, _ = cut(Program(data))
    assert _records(joined(pieces)) == _records(SliceBuffer(whole))
    if len(whole) >= HEADER.size:
        size = min(max(HEADER.unpack_from(whole)[1] + 12, HEADER.size), len(whole))
        crc = _CHECKSUM.pack(checksum(SliceBuffer(whole[:size])))
        right = whole[:_CHECKSUM_AT] + crc + whole[_CHECKSUM_AT + _CHECKSUM.size :]
        at = len(pieces[0])
        assert _records(joined([right[:at], right[at:]])) == _records(SliceBuffer(right))


def _command(frame: SliceBuffer) -> object:
    command = answered(partial(remoting.decode, frame), remoting.RemotingError)
    if not isinstance(command, remoting.Command):
        return command
    return command.code, command.opaque, command.flag, command.remark, command.fields, _plain(command.body)


def rocketmq(data: bytes) -> None:
    """Understand a command, and say it anew; look at the same bytes as a record of the log."""
    whole, pieces, _ = cut(Program(data))
    expected = _command(SliceBuffer(whole))
    assert _command(joined(pieces)) == expected
    command = answered(partial(remoting.decode, SliceBuffer(whole)), remoting.RemotingError)
    if isinstance(command, remoting.Command):
        for name in command.fields:
            answered(partial(command.number, name), remoting.FieldError)
        frame = remoting.encode(command)
        assert frame.reader().u32() == len(frame) - 4
        assert _command(frame[4:]) == expected
    _look_at_record(whole)
    assert record.property_of(joined(pieces), record.TAGS) == record.property_of(whole, record.TAGS)
    record.tag_hash_of(whole)


def _look_at_record(whole: bytes) -> None:
    head = record.head_at(SliceBuffer(whole), 0)
    if head is None or not record.is_record(head, head.position, len(whole)):
        return
    memory = SliceBuffer(bytearray(whole[: head.size]))
    right = record.crc_of(memory.view())
    memory.pack_into(">I", 8, right)
    if record.is_whole(memory):
        assert len(record.properties_of(memory)) <= len(memory)
        answered(partial(record.topic_of, memory), UnicodeDecodeError)
