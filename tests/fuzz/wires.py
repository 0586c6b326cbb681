"""RESP, WebSocket and protobuf: what comes of a stream does not depend on how it was cut, and is encoded as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar, cast

from bytebufs import BytebufsError, CompositeBuffer, FrameError, LimitExceeded, SliceBuffer, Underrun
from bytebufs.testing import Outcome
from examples import protobuf_stream
from examples.redis_resp import Aggregate, RedisError, Replies, Value
from examples.websocket_frames import Frame, Messages, Opcode, close_code, encode

from .inputs import Piece, Program, cut, joined, parts_of, said

T = TypeVar("T")

_LIMIT: Final = 200
_BEHIND: Final = bytes(2 * _LIMIT)
"""What comes behind every stream: more than any limit, so that nothing waits that could be told to be wrong sooner."""
_HEAD: Final = 14
"""Bytes in front of a WebSocket's payload, at most."""
_CONTROL: Final = 125
"""Bytes of a WebSocket's control frame, whatever the limit."""


def _outcome(
    buffer: CompositeBuffer, values: Iterable[T], spelled: Callable[[T], object], parts: list[Piece], most: int
) -> Outcome:
    """Put parts into a buffer, and iterate over what is whole."""
    found: list[object] = []
    fed = 0
    try:
        for part in parts:
            fed += len(part)
            buffer.append(part)
            found.extend(map(spelled, values))
            assert len(buffer) <= most, "more is kept than the limit"
    except (FrameError, LimitExceeded) as error:
        buffer._check()
        return Outcome(found, said(error), fed - len(buffer))
    buffer._check()
    return Outcome(found, None, fed - len(buffer))


def _spelled(value: Value) -> object:
    if isinstance(value, Aggregate):
        return value.kind, [_spelled(item) for item in value]
    if isinstance(value, RedisError):
        return RedisError, str(value)
    return value.tobytes() if isinstance(value, SliceBuffer) else (type(value), repr(value))


def replies(data: bytes) -> None:
    """Take replies of Redis."""
    program = Program(data)
    limit = program.below(_LIMIT)
    whole, pieces, kinds = cut(program)
    one, other = Replies(limit), Replies(limit)
    expected = _outcome(one.buffer, one, _spelled, [whole, _BEHIND], limit)
    found = _outcome(other.buffer, other, _spelled, [*parts_of(pieces, kinds), _BEHIND], limit)
    assert found == expected, (found, expected, pieces)


def _framed(frame: Frame) -> object:
    return frame.opcode, frame.payload.tobytes(), frame.fin


def _messages(parts: list[Piece], limit: int, *, masked: bool) -> tuple[Outcome, int]:
    messages = Messages(masked=masked, limit=limit)
    outcome = _outcome(messages.buffer, messages, _framed, parts, max(limit, _CONTROL) + _HEAD)
    if outcome.error is not None:
        try:
            next(iter(messages))
        except BytebufsError as error:
            assert said(error) == outcome.error
            assert close_code(error) in {1002, 1007, 1009}
        else:
            raise AssertionError("it went on after an error")
    return outcome, messages.discarded


def websockets(data: bytes) -> None:
    """Take messages of a WebSocket, and encode them anew."""
    program = Program(data)
    options, limit = program.byte(), program.below(_LIMIT)
    masked = bool(options & 1)
    whole, pieces, kinds = cut(program)
    behind = [_BEHIND] if options & 2 else []
    expected = _messages([whole, *behind], limit, masked=masked)
    found = _messages([*parts_of(pieces, kinds), *behind], limit, masked=masked)
    if behind or expected[0].error == found[0].error:
        assert found == expected, (found, expected, pieces)
    again = Messages(masked=masked, limit=limit)
    for opcode, payload, is_last in cast("list[tuple[Opcode, bytes, bool]]", expected[0].results):
        again.buffer.append(encode(opcode, payload, masked=masked))
        assert opcode < Opcode.CLOSE or len(payload) <= _CONTROL
        assert is_last, "a message is told of as if it had come in one frame"
    assert [_framed(frame) for frame in again] == expected[0].results


def protobufs(data: bytes) -> None:
    """Show the messages of a stream, as one would without a schema."""
    program = Program(data)
    limit = program.below(_LIMIT)
    whole, pieces, kinds = cut(program)
    expected = _shown([whole], limit)
    assert _shown(parts_of(pieces, kinds), limit) == expected
    assert _lines(SliceBuffer(whole)) == _lines(joined(pieces))


def _shown(parts: list[Piece], limit: int) -> tuple[list[object], object]:
    shown: list[object] = []
    try:
        for message in protobuf_stream.messages(parts, limit=limit):
            shown.append(_lines(message))
            assert protobuf_stream.delimited(message)[-len(message) :] == message or not message
    except (FrameError, LimitExceeded, Underrun) as error:
        return shown, said(error)
    return shown, None


def _lines(message: SliceBuffer) -> object:
    try:
        return list(protobuf_stream.lines(message.reader()))
    except FrameError as error:
        return said(error)
