"""DNS over TCP: messages behind two bytes of length; names that point backwards."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, LengthPrefixed, Reader, SliceBuffer, flush

from ._program import SMALL, Hands, Program, Values

__all__ = ["PROGRAM"]

_LIMIT: Final = 2 + 65_535
_HEAD: Final = Struct(">6H")
_U16: Final = Struct(">H")
_QUESTION: Final = Struct(">HH")
_RECORD: Final = Struct(">HHIH")
_A, _MX, _TXT = 1, 15, 16


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"


def _asked(k: int) -> Values:
    return k % 65536, f"host-{k % 1000}.department.example.org"


def _query(k: int) -> bytes:
    ident, name = _asked(k)
    body = _HEAD.pack(ident, 0x0100, 1, 0, 0, 0) + _name(name) + _QUESTION.pack(_A, 1)
    return _U16.pack(len(body)) + body


def _response(k: int) -> bytes:
    """Return an answer with two addresses, a mail host and a text, whose names point to the question's."""
    ident, name = _asked(k)
    addresses = [b"\xc0\x0c" + _RECORD.pack(_A, 1, 300, 4) + bytes([192, 0, 2, (k + i) % 256]) for i in range(2)]
    host = b"\x04mail\xc0" + bytes([12 + 1 + name.index(".")])
    mail = b"\xc0\x0c" + _RECORD.pack(_MX, 1, 3600, 2 + len(host)) + _U16.pack(10) + host
    text = b"\xc0\x0c" + _RECORD.pack(_TXT, 1, 60, 18) + b"\x11v=spf1 a mx -all."
    records = [*addresses, mail, text]
    body = _HEAD.pack(ident, 0x8180, 1, len(records), 0, 0) + _name(name) + _QUESTION.pack(_A, 1) + b"".join(records)
    return _U16.pack(len(body)) + body


# -- with the library ----------------------------------------------------------------------------------------


def _read_name(r: Reader) -> str:
    labels = []
    back = 0
    while size := r.u8():
        if size >= 0xC0:
            target = (size & 0x3F) << 8 | r.u8()
            back = back or r.position
            if target >= r.position - 2:
                raise ValueError("a name points forwards")
            r.seek(target)
        else:
            labels.append(r.text(size, "ascii"))
    if back:
        r.seek(back)
    return ".".join(labels)


def _read(message: SliceBuffer) -> Values:
    r = message.reader()
    ident, flags, questions, answers, _, _ = r.unpack(_HEAD)
    said: list[str | int] = [ident, flags]
    for _ in range(questions):
        said += _read_name(r), r.u16(), r.u16()
    for _ in range(answers):
        name, kind = _read_name(r), r.u16()
        r.skip(2)
        life = r.u32()
        end = r.u16() + r.position
        said += name, kind, life
        if kind == _A:
            said.append(".".join(map(str, r.take_bytes(4))))
        elif kind == _MX:
            said += r.u16(), _read_name(r)
        elif kind == _TXT:
            said.append(r.text(r.u8(), "ascii"))
        r.seek(end)
    return tuple(said)


def _decode(chunks: Sequence[bytes]) -> list[Values]:
    framer = LengthPrefixed(2, limit=_LIMIT)
    return [_read(message) for chunk in chunks for message in framer.feed(chunk)]


def _send(message: Values, sock: socket.socket) -> int:
    ident, text = message
    query = CompositeBuffer()
    query.pack(_HEAD, ident, 0x0100, 1, 0, 0, 0)
    for label in text.split("."):
        query.pack_u8(len(label))
        query.pack_text(label)
    query.append(b"\0\0\x01\0\x01")
    query.appendleft(_U16.pack(len(query)))
    return flush(query, sock, coalesce_below=SMALL)


def _answer(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    framer = LengthPrefixed(2, limit=_LIMIT)
    for chunk in chunks:
        out = CompositeBuffer()
        for query in framer.feed(chunk):
            ident, _, _, kind, _ = _read(query)
            question = query[_HEAD.size :]
            out.pack(">7H", _HEAD.size + len(question) + 16, ident, 0x8180, 1, 1, 0, 0)
            out.append(question)
            out.pack(">HHHIH4s", 0xC00C, kind, 1, 300, 4, b"\xc0\x00\x02\x01")
        yield flush(out, sock, coalesce_below=SMALL)


# -- by hand -------------------------------------------------------------------------------------------------


def _name_by_hand(stream: bytearray, begin: int, at: int) -> tuple[str, int]:
    labels = []
    back = 0
    while size := stream[at]:
        if size >= 0xC0:
            target = begin + ((size & 0x3F) << 8 | stream[at + 1])
            back = back or at + 2
            if target >= at:
                raise ValueError("a name points forwards")
            at = target
        else:
            labels.append(stream[at + 1 : at + 1 + size].decode("ascii"))
            at += 1 + size
    return ".".join(labels), back or at + 1


def _message_by_hand(stream: bytearray, begin: int) -> Values:
    ident, flags, questions, answers, _, _ = _HEAD.unpack_from(stream, begin)
    said: list[str | int] = [ident, flags]
    at = begin + 12
    for _ in range(questions):
        name, at = _name_by_hand(stream, begin, at)
        kind, cls = _QUESTION.unpack_from(stream, at)
        at += 4
        said += name, kind, cls
    for _ in range(answers):
        name, at = _name_by_hand(stream, begin, at)
        kind, _, life, size = _RECORD.unpack_from(stream, at)
        at += 10
        said += name, kind, life
        if kind == _A:
            said.append(".".join(map(str, stream[at : at + 4])))
        elif kind == _MX:
            said += _U16.unpack_from(stream, at)[0], _name_by_hand(stream, begin, at + 2)[0]
        elif kind == _TXT:
            said.append(stream[at + 1 : at + 1 + stream[at]].decode("ascii"))
        at += size
    return tuple(said)


def _decode_by_hand(chunks: Sequence[bytes]) -> list[Values]:
    u16 = _U16.unpack_from
    stream = bytearray()
    found = []
    for chunk in chunks:
        stream += chunk
        at = 0
        end = len(stream)
        while at + 2 <= end:
            stop = at + 2 + u16(stream, at)[0]
            if stop > end:
                break
            found.append(_message_by_hand(stream, at + 2))
            at = stop
        del stream[:at]
    return found


def _send_by_hand(message: Values, sock: socket.socket) -> int:
    ident, text = message
    pieces = [_HEAD.pack(ident, 0x0100, 1, 0, 0, 0)]
    for label in text.split("."):
        pieces += bytes((len(label),)), label.encode()
    pieces.append(b"\0\0\x01\0\x01")
    body = b"".join(pieces)
    query = _U16.pack(len(body)) + body
    sock.sendall(query)
    return len(query)


_ANSWER_HEAD: Final = Struct(">7H")
_ANSWER: Final = Struct(">HHHIH4s")


def _answer_by_hand(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    u16 = _U16.unpack_from
    stream = bytearray()
    for chunk in chunks:
        stream += chunk
        at = 0
        end = len(stream)
        out = bytearray()
        while at + 2 <= end:
            stop = at + 2 + u16(stream, at)[0]
            if stop > end:
                break
            ident, _, _, kind, _ = _message_by_hand(stream, at + 2)
            question = stream[at + 14 : stop]
            out += _ANSWER_HEAD.pack(28 + len(question), ident, 0x8180, 1, 1, 0, 0)
            out += question
            out += _ANSWER.pack(0xC00C, kind, 1, 300, 4, b"\xc0\x00\x02\x01")
            at = stop
        del stream[:at]
        if out:
            sock.sendall(out)
        yield len(out)


PROGRAM: Final = Program(
    "DNS over TCP",
    coming=lambda count: [_response(k) for k in range(count)],
    requests=lambda count: [_query(k) for k in range(count)],
    sent=lambda count: [_asked(k) for k in range(count)],
    ours=Hands(_decode, _send, _answer),
    by_hand=Hands(_decode_by_hand, _send_by_hand, _answer_by_hand),
)
