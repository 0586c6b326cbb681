"""`CompositeBuffer.parse`: whatever a parser reads, what comes of a stream does not depend on how it was cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bytebufs import BytebufsError, CompositeBuffer, Reader, Underrun
from bytebufs.testing import Outcome

from .inputs import Piece, Program, cut, parts_of, said

_MOST_MESSAGES: Final = 8
_LIMIT: Final = 64
_BEHIND: Final = b"\x01;\r\n\x00\x00aab" * (2 * _LIMIT // 9)
"""What comes behind every stream: more than any limit, so that nothing waits that could be told to be wrong sooner."""
_SEPARATORS: Final = (b"\n", b";", b"\r\n", b"aab", b"\x00\x00")


def _parser(steps: bytes) -> Callable[[Reader], str]:
    """Return what reads a message as some bytes say: each is a kind of read, and a number."""
    reads = [_READS[step % len(_READS)] for step in steps]

    def parse(r: Reader) -> str:
        size = 1
        read = []
        for step, one in zip(steps, reads, strict=True):
            value = one(r, step // len(_READS), size)
            size = value % 64 if isinstance(value, int) else size
            read.append(value)
        return repr(read)

    return parse


def _otherwise(r: Reader, n: int, size: int) -> object:
    """Read something, or something else if there is none; that more is wanted is for parse() to see."""
    try:
        return r.cstring(limit=size + n).tobytes()
    except Underrun:
        raise
    except BytebufsError:
        return r.u8()


_READS: Final[tuple[Callable[[Reader, int, int], object], ...]] = (
    lambda r, n, size: r.u8(),
    lambda r, n, size: r.u16_le() if n & 1 else r.u24_be(),
    lambda r, n, size: r.take(size).tobytes(),
    lambda r, n, size: r.take_bytes(size),
    lambda r, n, size: r.varint(max_bytes=n % 5 + 1, minimal=n % 2 == 1),
    lambda r, n, size: r.until(_SEPARATORS[n % 5], _SEPARATORS[n % 3], limit=size + n).tobytes(),
    lambda r, n, size: r.line(limit=size + n).tobytes(),
    lambda r, n, size: r.expect(bytes([n, 59])[n % 2 :]),
    lambda r, n, size: r.sub(size).take_rest().tobytes() if n & 1 else r.sub(size).u16(),
    lambda r, n, size: r.skip(size),
    lambda r, n, size: r.seek(n % (r.position + 1)),
    lambda r, n, size: r.unpack(">HB"),
    lambda r, n, size: r.text(size),
    lambda r, n, size: r.peek_u16(),
    lambda r, n, size: r.limited(r.position + size).u8(),
    lambda r, n, size: r.f64(),
    _otherwise,
)


def _parsed(parts: list[Piece], steps: bytes, limit: int) -> Outcome:
    buffer = CompositeBuffer()
    parser = _parser(steps)
    messages: list[object] = []
    fed = 0
    try:
        for part in parts:
            fed += len(part)
            buffer.append(part)
            while len(messages) < _MOST_MESSAGES:
                before = len(buffer)
                message = buffer.parse(parser, limit=limit)
                if message is None:
                    assert len(buffer) == before <= limit, "more waits than a message may have"
                    break
                messages.append(message)
                if len(buffer) == before:  # a parser that takes nothing would do so for ever
                    return Outcome(messages[:1], None, 0)
    except BytebufsError as error:
        buffer._check()
        return Outcome(messages, said(error), fed - len(buffer))
    buffer._check()
    return Outcome(messages, None, fed - len(buffer))


def parsing(data: bytes) -> None:
    """Parse an input whole and in pieces by a parser that its front describes."""
    program = Program(data)
    steps = program.some(program.below(7) + 1)
    limit = program.below(_LIMIT)
    whole, pieces, kinds = cut(program)
    expected = _parsed([whole, _BEHIND], steps, limit)
    found = _parsed([*parts_of(pieces, kinds), _BEHIND], steps, limit)
    assert found == expected, (found, expected, pieces)
