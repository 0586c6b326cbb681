"""AMQP 0-9-1: a consumer that is given messages, each in three frames, and acknowledges them; a publisher."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, FrameError, LengthPrefixed, SliceBuffer, flush

from ._program import SMALL, Hands, Program, Values

__all__ = ["PROGRAM"]

_LIMIT: Final = 128 << 10
_HEAD: Final = Struct(">BHI")
_METHOD: Final = Struct(">HH")
_PROPERTIES: Final = Struct(">HHQH")
_U64: Final = Struct(">Q")
_DELIVER: Final = (60, 60)
_PUBLISH: Final = (60, 40)
_CONTENT_TYPE, _DELIVERY_MODE = 0x8000, 0x1000
_END: Final = 0xCE


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(kind, 1, len(body)) + body + b"\xce"


def _text(k: int) -> str:
    return f'{{"order": {k}, "customer": "customer no. {k % 97}", "total": {k * 13 % 9973}}}' + " " * (k * 7 % 120)


def _delivery(k: int) -> bytes:
    """Return a message as a broker gives it."""
    body = _text(k).encode()
    route = _short("orders") + _short(f"eu.de.{k % 9}")
    method = _METHOD.pack(*_DELIVER) + _short("ctag1.3f") + _U64.pack(k) + b"\0" + route
    header = _PROPERTIES.pack(60, 0, len(body), _CONTENT_TYPE | _DELIVERY_MODE) + _short("application/json") + b"\x02"
    return _frame(1, method) + _frame(2, header) + _frame(3, body)


# -- with the library ----------------------------------------------------------------------------------------


def _framer() -> LengthPrefixed:
    """Return what cuts frames: a kind, a channel, a length, the payload and an end byte."""
    return LengthPrefixed(4, offset=3, adjust=1, strip=0, limit=_LIMIT)


def _read(frame: SliceBuffer) -> Values:
    r = frame.reader()
    kind, channel, size = r.unpack(_HEAD)
    if kind == 3:
        said: Values = ("body", channel, r.text(size))
    elif kind == 2:
        _, _, nbytes, flags = r.unpack(_PROPERTIES)
        content = r.text(r.u8()) if flags & _CONTENT_TYPE else ""
        mode = r.u8() if flags & _DELIVERY_MODE else 0
        said = ("header", channel, nbytes, content, mode)
    elif kind == 1 and (r.u16(), r.u16()) == _DELIVER:
        tag = r.text(r.u8())
        number = r.u64()
        again = r.u8()
        said = ("deliver", channel, tag, number, again, r.text(r.u8()), r.text(r.u8()))
    else:
        raise FrameError(f"no frame of kind {kind} is expected", 0)
    r.expect(b"\xce")
    return said


def _decode(chunks: Sequence[bytes]) -> list[Values]:
    framer = _framer()
    return [_read(frame) for chunk in chunks for frame in framer.feed(chunk)]


def _send(message: Values, sock: socket.socket) -> int:
    exchange, key, text = message
    where, whither, body = exchange.encode(), key.encode(), text.encode()
    out = CompositeBuffer()
    out.pack(">BHIHHHB", 1, 1, 9 + len(where) + len(whither), *_PUBLISH, 0, len(where))
    out.append(where)
    out.pack_u8(len(whither))
    out.append(whither)
    out.pack(">BBBHIHHQH", 0, _END, 2, 1, 32, 60, 0, len(body), _CONTENT_TYPE | _DELIVERY_MODE)
    out.append(b"\x10application/json\x02\xce")
    out.pack(_HEAD, 3, 1, len(body))
    out.append(body)
    out.append(b"\xce")
    return flush(out, sock, coalesce_below=SMALL)


def _answer(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    framer = _framer()
    number = 0
    for chunk in chunks:
        out = CompositeBuffer()
        for frame in framer.feed(chunk):
            said = _read(frame)
            if said[0] == "deliver":
                number = said[3]
            elif said[0] == "body":
                out.pack(">BHIHHQBB", 1, 1, 13, 60, 80, number, 0, _END)
        yield flush(out, sock, coalesce_below=SMALL)


# -- by hand -------------------------------------------------------------------------------------------------


def _frames_by_hand(stream: bytearray, found: list[Values]) -> None:
    """Take the frames that are whole out of a stream."""
    head = _HEAD.unpack_from
    at = 0
    end = len(stream)
    while at + 7 <= end:
        kind, channel, size = head(stream, at)
        if size > _LIMIT:
            raise ValueError("the frame is too long")
        at += 7
        stop = at + size
        if stop >= end:
            at -= 7
            break
        if stream[stop] != _END:
            raise ValueError("the frame has no end")
        if kind == 3:
            found.append(("body", channel, stream[at:stop].decode()))
        elif kind == 2:
            _, _, nbytes, flags = _PROPERTIES.unpack_from(stream, at)
            at += 14
            content, mode = "", 0
            if flags & _CONTENT_TYPE:
                n = stream[at]
                content = stream[at + 1 : at + 1 + n].decode()
                at += 1 + n
            if flags & _DELIVERY_MODE:
                mode = stream[at]
            found.append(("header", channel, nbytes, content, mode))
        elif kind == 1 and _METHOD.unpack_from(stream, at) == _DELIVER:
            at += 4
            n = stream[at]
            tag = stream[at + 1 : at + 1 + n].decode()
            at += 1 + n
            number, again, n = _DELIVERED.unpack_from(stream, at)
            at += 10
            exchange = stream[at : at + n].decode()
            at += n
            found.append(
                ("deliver", channel, tag, number, again, exchange, stream[at + 1 : at + 1 + stream[at]].decode())
            )
        else:
            raise ValueError(f"no frame of kind {kind} is expected")
        at = stop + 1
    del stream[:at]


def _decode_by_hand(chunks: Sequence[bytes]) -> list[Values]:
    stream = bytearray()
    found: list[Values] = []
    for chunk in chunks:
        stream += chunk
        _frames_by_hand(stream, found)
    return found


_DELIVERED: Final = Struct(">QBB")
_PUBLISHED: Final = Struct(">BHIHHHB")
_HEADER: Final = Struct(">BBBHIHHQH")
_ACK: Final = Struct(">BHIHHQBB")


def _send_by_hand(message: Values, sock: socket.socket) -> int:
    exchange, key, text = message
    where, whither, body = exchange.encode(), key.encode(), text.encode()
    out = b"".join(
        (
            _PUBLISHED.pack(1, 1, 9 + len(where) + len(whither), *_PUBLISH, 0, len(where)), where,
            bytes((len(whither),)), whither,
            _HEADER.pack(0, _END, 2, 1, 32, 60, 0, len(body), _CONTENT_TYPE | _DELIVERY_MODE),
            b"\x10application/json\x02\xce", _HEAD.pack(3, 1, len(body)), body, b"\xce",
        )
    )  # fmt: skip
    sock.sendall(out)
    return len(out)


def _answer_by_hand(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    stream = bytearray()
    number = 0
    for chunk in chunks:
        stream += chunk
        frames: list[Values] = []
        _frames_by_hand(stream, frames)
        out = bytearray()
        for said in frames:
            if said[0] == "deliver":
                number = said[3]
            elif said[0] == "body":
                out += _ACK.pack(1, 1, 13, 60, 80, number, 0, _END)
        if out:
            sock.sendall(out)
        yield len(out)


PROGRAM: Final = Program(
    "AMQP 0-9-1",
    coming=lambda count: [_delivery(k) for k in range(count)],
    requests=lambda count: [_delivery(k) for k in range(count)],
    sent=lambda count: [("orders", f"eu.de.{k % 9}", _text(k)) for k in range(count)],
    ours=Hands(_decode, _send, _answer),
    by_hand=Hands(_decode_by_hand, _send_by_hand, _answer_by_hand),
)
