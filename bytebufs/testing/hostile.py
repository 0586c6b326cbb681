"""Hostile streams: what those send who want a parser to fail, to keep memory for ever, or to work for nothing.

A stream costs its sender n bytes. What it may cost a receiver is linear work, and memory up to his limit: for each of
these streams that is worth a test. They are endless, and told apart by what they try; ``make(n)`` cuts n bytes off.

Where something is one byte too long, that is of ``HostileStream.LIMIT``: a parser under test is to have that limit.
Lengths have 4 bytes, big-endian; lines end with CR and LF. A parser of another format gets the rest of the list, and
what its author adds: a stream of one's own is a ``HostileStream``, too.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, count, cycle, repeat
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["HOSTILE", "HostileStream"]

_Chunk: TypeAlias = "bytes | bytearray | memoryview"
_Pieces: TypeAlias = "Callable[[], Iterator[_Chunk]]"

_LIMIT: Final = 8192
"""What servers of HTTP let a line of a head have: nginx 8 KiB (large_client_header_buffers), Apache 8 190 bytes."""
_SEGMENT: Final = 1460
"""Bytes of a TCP segment in Ethernet's frames: what one receives at a time from a peer who does nothing unusual."""
_BLOCK: Final = 65536
"""Bytes that programs receive into at a time, and our Pool."""
_INFLATED: Final = 1 << 20
"""Zeros in each piece of what is compressed."""


@dataclass(frozen=True, slots=True)
class HostileStream:
    r"""A stream that somebody sends who means no good.

    >>> lines = HostileStream("empty lines", "work for nothing", "lines", lambda: iter([b"\r\n"] * 100))
    >>> list(lines.make(5))
    [b'\r\n', b'\r\n', b'\r']

    ``tries`` says what it is after, ``protocol`` for what kind of parser it is meant ("any" for all), and ``pieces()``
    yields its chunks, as they are to arrive, without end.
    """

    name: str
    tries: str
    protocol: str
    pieces: _Pieces

    LIMIT: ClassVar[int] = _LIMIT
    """The limit of a frame, or of a head, that some of the streams exceed by 1 byte, and others reach."""

    def make(self, n: int) -> Iterator[_Chunk]:
        """Yield its first n bytes, in chunks, of which some may be empty.

        The chunks are made as they are asked for, those that can be written to anew each time.
        """
        left = n
        pieces = self.pieces()
        while left > 0:
            piece = next(pieces, None)
            if piece is None:
                raise ValueError(f"{self.name!r} ends {left} bytes before {n}: pieces() is to have no end")
            given = [piece[:left] if len(piece) > left else piece]
            left -= len(piece)
            del piece  # who asks what a parser keeps is not to find that it is kept here
            yield given.pop()

    def __str__(self) -> str:
        """Return its name: how tests are called that have it for a parameter."""
        return self.name


# -- ways to arrive ------------------------------------------------------------------------------------------


def _each(*units: bytes, head: bytes = b"") -> _Pieces:
    """Have some pieces come in turn, behind a head."""
    return lambda: chain([head], cycle(units)) if head else cycle(units)


def _packed(unit: bytes, *, head: bytes = b"") -> _Pieces:
    """Have a head come, and a unit over and over, in segments."""
    return partial(_segments, unit, head)


def _singly(unit: bytes, *, head: bytes = b"") -> _Pieces:
    """Have a head come, and a unit over and over, byte by byte."""
    return lambda: (data[k : k + 1] for data in chain([head], repeat(unit)) for k in range(len(data)))


def _segments(unit: bytes, waiting: bytes) -> Iterator[bytes]:
    more = unit * (_SEGMENT // len(unit) + 1)
    while True:
        if len(waiting) < _SEGMENT:
            waiting += more
        yield waiting[:_SEGMENT]
        waiting = waiting[_SEGMENT:]


def _in_arrays() -> Iterator[bytearray]:
    return (bytearray(b"x") for _ in count())


def _with_empties() -> Iterator[bytes]:
    return cycle([b"", b"x", b"", b""])


def _of_large_chunks() -> Iterator[memoryview]:
    """Yield a byte of each of many large chunks, which it keeps alive."""
    return (memoryview(bytearray(_BLOCK))[:1] for _ in count())


def _beside_long_lines() -> Iterator[bytearray]:
    """Yield large chunks of long lines, and a short one at the end of each: who keeps that keeps the chunk."""
    long = b"x" * (_LIMIT - 2) + b"\r\n"
    while True:
        yield bytearray(long * (_BLOCK // _LIMIT) + b"kept\r\n")


def _noise() -> Iterator[bytes]:
    chance = random.Random(15)
    return (chance.randbytes(chance.randint(1, _SEGMENT)) for _ in count())


def _seams_everywhere() -> Iterator[bytes]:
    """Yield pieces of one byte between pieces that grow, so that a search goes across a seam at every distance."""
    return chain.from_iterable((b"a", b"a" * size) for size in cycle(range(1, 300)))


# -- lengths -------------------------------------------------------------------------------------------------


def _length(size: int) -> bytes:
    return size.to_bytes(4, "big")


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _framed(size: int) -> bytes:
    """Return a frame behind its length."""
    return _length(size) + b"x" * size


# -- what unfolds --------------------------------------------------------------------------------------------


@cache
def _bomb() -> tuple[bytes, bytes]:
    """Return the head of a gzip stream, and a piece of it that stands for a mebibyte of zeros and may come again."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = deflate.compress(b"") + deflate.flush(zlib.Z_FULL_FLUSH)
    return head, deflate.compress(bytes(_INFLATED)) + deflate.flush(zlib.Z_FULL_FLUSH)


def _gzip() -> Iterator[bytes]:
    head, piece = _bomb()
    return chain([head], repeat(piece))


def _gzip_in_chunks() -> Iterator[bytes]:
    head, piece = _bomb()
    request = _POST + b"Content-Encoding: gzip\r\n" + _CHUNKED
    return chain([request + _chunk(head)], repeat(_chunk(piece)))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Return a frame of a client of WebSocket, whose mask changes nothing."""
    return bytes([fin << 7 | opcode, 128 | len(payload)]) + bytes(4) + payload


_GET: Final = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"
_MASK: Final = bytes(4)

_TEXT, _BINARY, _CONTINUATION, _PING, _PONG = 1, 2, 0, 9, 10  # RFC 6455, section 5.2


def _streams(protocol: str, *facts: tuple[str, str, _Pieces]) -> Iterable[HostileStream]:
    return (HostileStream(name, tries, protocol, pieces) for name, tries, pieces in facts)


HOSTILE: Final[tuple[HostileStream, ...]] = (
    *_streams(
        "any",
        ("bytes one by one", "objects worth 50 bytes for each, and looks for nothing", _singly(b"x")),
        ("arrays of one byte", "objects worth hundreds of bytes for each", _in_arrays),
        ("a byte of each large chunk", "64 KiB kept for each byte", _of_large_chunks),
        ("empty chunks between", "work for no byte, and an end of input that is none", _with_empties),
        ("NULs", "ends of C strings, and zeros for numbers", _packed(b"\0")),
        ("NULs one by one", "the same, with looks for nothing", _singly(b"\0")),
        ("all ones", "numbers that are negative, or huge", _packed(b"\xff")),
        ("not UTF-8", "decoders", _packed(b"\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xfe\x80a\xe2\x82")),
        ("characters in pieces", "decoders that look at each piece alone", _singly("\U0001f600".encode())),
        ("digits", "numbers whose conversion is quadratic", _packed(b"9")),
        ("spaces", "regular expressions that try each of them again", _packed(b" ")),
        ("noise", "what nobody thought of", _noise),
    ),
    *_streams(
        "lines",
        ("no separator", "memory without end", _packed(b"x")),
        ("half a separator", "a look for its other half, each time", _packed(b"\r")),
        ("half a separator, one by one", "all of it looked at with each byte", _singly(b"\r")),
        ("separators only", "an object for each two bytes", _packed(b"\r\n")),
        ("line feeds only", "an object for each byte", _packed(b"\n")),
        ("separators in two pieces", "what looks at each piece alone", _each(b"\n", b"x\r")),
        ("line feeds first", "which of two separators it is", _packed(b"\n\r\r")),
        ("tiny lines", "more work a byte than large ones", _packed(b"x\r\n")),
        ("tiny and long lines", "estimates of what comes", _packed(b"x" * (_LIMIT - 2) + b"\r\nx\r\n")),
        ("lines as long as the limit", "off by one", _packed(b"x" * _LIMIT + b"\r\n")),
        ("lines longer than the limit", "off by one", _packed(b"x" * (_LIMIT + 1) + b"\r\n")),
        ("a tiny line beside long ones", "64 KiB kept for each line that is kept", _beside_long_lines),
    ),
    *_streams(
        "separators",
        ("prefixes of one another", "for a^k b: each begun match tried again", _packed(b"a")),
        ("prefixes, one by one", "the same, with each byte", _singly(b"a")),
        ("seams for a search", "for b and many a: a search begun again at each seam", _seams_everywhere),
        ("half of a long one", "for 2k bytes: k of them, over and over", _packed(b"a" * 128 + b"c")),
    ),
    *_streams(
        "lengths",
        ("a length of 4 GiB", "memory for what is only said", _packed(b"x", head=_length(0xFFFFFFFF))),
        ("a length that is negative", "signs", _packed(b"x", head=_length(0x80000000))),
        ("lengths of 0", "an object for each length, or no progress", _packed(_length(0))),
        ("lengths of 0, one by one", "the same, with looks for nothing", _singly(_length(0))),
        ("frames of one byte", "more work a byte than large ones", _packed(_framed(1))),
        ("lengths in two pieces", "what looks at each piece alone", _each(b"\0\0", b"\0\1x")),
        ("frames as long as the limit", "off by one", _packed(_framed(_LIMIT))),
        ("frames longer than the limit", "off by one", _packed(_framed(_LIMIT + 1))),
        ("tiny and long frames", "estimates of what comes", _packed(_framed(_LIMIT) + _framed(1))),
        ("a length, and then hardly anything", "memory, for as long as he likes", _singly(_framed(_LIMIT))),
    ),
    *_streams(
        "varints",
        ("a varint without end", "a number of any size, added up in quadratic time", _packed(b"\x80")),
        ("a varint without end, one by one", "all of it read with each byte", _singly(b"\xff")),
        ("overlong zeros", "work for nothing, and two spellings of one number", _packed(b"\x80" * 9 + b"\0")),
        ("varints above 2**64", "overflow", _packed(b"\xff" * 9 + b"\x7f")),
        ("varints longer than the limit", "off by one", _packed(_varint(_LIMIT + 1) + b"x" * (_LIMIT + 1))),
        ("varint frames of the limit", "off by one", _packed(_varint(_LIMIT) + b"x" * _LIMIT)),
        ("messages in messages", "the stack, field 1 in field 1", _packed(b"\x0a\x7f")),
    ),
    *_streams(
        "HTTP/1.1",
        ("a target without end", "memory", _packed(b"x", head=b"GET /")),
        ("a field without end", "memory", _packed(b"x", head=_GET + b"A: ")),
        ("fields without end", "an object for each 5 bytes", _packed(b"a:b\r\n", head=_GET)),
        ("a head, byte by byte", "slow loris: all of it looked at with each byte", _singly(b"a:b\r\n", head=_GET)),
        ("a field in folds", "lines joined one by one", _packed(b" x\r\n", head=_GET + b"A: b\r\n")),
        ("fields without a colon", "what a line without one is", _packed(b"a\r\n", head=_GET)),
        ("empty lines first", "what a server may skip (RFC 9112, 2.2)", _packed(b"\r\n")),
        ("pipelined requests", "answers that nobody reads", _packed(_GET + b"\r\n")),
        ("a length in digits", "a conversion that is quadratic", _packed(b"9", head=_POST + b"Content-Length: ")),
        (
            "a body of 2**63 bytes",
            "overflow",
            _packed(b"x", head=_POST + b"Content-Length: 9223372036854775808\r\n\r\n"),
        ),
        ("two lengths", "smuggling", _packed(b"0\r\n\r\n", head=_POST + b"Content-Length: 1\r\n" + _CHUNKED)),
        ("a chunk's extension", "memory that no limit counts", _packed(b"x", head=_POST + _CHUNKED + b"1;")),
        ("zeros before a chunk's size", "memory that no limit counts", _packed(b"0", head=_POST + _CHUNKED)),
        ("a chunk of 2**64 bytes", "overflow", _packed(b"x", head=_POST + _CHUNKED + b"f" * 16 + b"\r\n")),
        ("chunks of one byte", "6 bytes and an object for each", _packed(b"1\r\nx\r\n", head=_POST + _CHUNKED)),
        ("trailers without end", "memory behind the body", _packed(b"a:b\r\n", head=_POST + _CHUNKED + b"0\r\n")),
        ("a body that unfolds", "a thousand bytes of zeros for each", _gzip_in_chunks),
    ),
    *_streams(
        "gzip",
        ("a bomb", "a thousand bytes of zeros for each", _gzip),
    ),
    *_streams(
        "RESP",
        ("arrays in arrays", "the stack", _packed(b"*1\r\n")),
        ("arrays of 2**31", "memory for what is only said", _packed(b"*2147483647\r\n")),
        ("an array of empty arrays", "an object for each 4 bytes", _packed(b"*0\r\n", head=b"*2147483647\r\n")),
        ("empty strings", "an object for each 6 bytes", _packed(b"$0\r\n\r\n")),
        ("a string of 2**60 bytes", "memory for what is only said", _packed(b"x", head=b"$1152921504606846976\r\n")),
        ("a negative string", "signs", _packed(b"$-2\r\n")),
        ("a simple string without end", "memory", _packed(b"x", head=b"+")),
        ("a big number without end", "a conversion that is quadratic", _packed(b"9", head=b"(")),
        ("attributes only", "what belongs to no reply, and no limit counts", _packed(b"|1\r\n+a\r\n+b\r\n")),
    ),
    *_streams(
        "WebSocket",
        (
            "fragments of no byte",
            "an object for each 6 bytes, and no limit counts",
            _packed(_frame(_CONTINUATION, fin=False), head=_frame(_BINARY, fin=False)),
        ),
        (
            "fragments of one byte",
            "an object for each 7 bytes",
            _packed(_frame(_CONTINUATION, b"x", fin=False), head=_frame(_BINARY, fin=False)),
        ),
        ("messages of no byte", "work for nothing", _packed(_frame(_TEXT))),
        ("pings", "an answer for each", _packed(_frame(_PING))),
        (
            "pings in a message",
            "answers, and no progress",
            _packed(_frame(_PING, b"x"), head=_frame(_BINARY, fin=False)),
        ),
        ("pongs", "work for nothing", _packed(_frame(_PONG))),
        ("a frame of 2**63 bytes", "signs", _packed(b"x", head=b"\x82\xff\x80" + bytes(7) + _MASK)),
        (
            "a frame of 2**62 bytes",
            "memory for what is only said",
            _packed(b"x", head=b"\x82\xff\x40" + bytes(7) + _MASK),
        ),
        ("text byte by byte", "all of it decoded with each byte", _singly(b"x", head=b"\x81\xfe\x1f\xff" + _MASK)),
    ),
)
"""The list, each kind of protocol after the other; names are unique."""
