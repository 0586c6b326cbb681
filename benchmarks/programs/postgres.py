"""PostgreSQL 3.0: a client that reads rows and sends extended queries, and a server that answers simple ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, FrameError, LengthPrefixed, SliceBuffer, flush

from ._program import SMALL, Hands, Program, Values

__all__ = ["PROGRAM"]

_LIMIT: Final = 1 << 20
_HEAD: Final = Struct(">BI")
_U16: Final = Struct(">H")
_I32: Final = Struct(">i")
_FIELD: Final = Struct(">IHIhih")
_ROW, _FIELDS, _DONE, _READY, _QUERY = b"DTCZQ"
_COLUMNS: Final = (("id", 23), ("name", 25), ("total", 23), ("note", 25))


def _message(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(kind, 4 + len(body)) + body


def _row(k: int) -> bytes:
    values = [str(k), f"customer no. {k % 97}", str(k * 13 % 9973), "to be delivered on a Tuesday" if k % 3 else ""]
    return _message(_ROW, _U16.pack(4) + b"".join(_I32.pack(len(v)) + v.encode() for v in values))


def _described(columns: Sequence[tuple[str, int]]) -> bytes:
    fields = [name.encode() + b"\0" + _FIELD.pack(16384, k, oid, 4, -1, 0) for k, (name, oid) in enumerate(columns)]
    return _message(_FIELDS, _U16.pack(len(columns)) + b"".join(fields))


def _coming(count: int) -> list[bytes]:
    """Return the answers to queries of some rows each."""
    messages: list[bytes] = []
    while len(messages) < count:
        rows = 1 + len(messages) % 17
        messages.append(_described(_COLUMNS))
        messages += [_row(len(messages) + k) for k in range(rows)]
        messages += [_message(_DONE, f"SELECT {rows}".encode() + b"\0"), _message(_READY, b"I")]
    return messages[:count]


def _query(k: int) -> bytes:
    return _message(_QUERY, f"SELECT name, total FROM orders WHERE id = {k} FOR UPDATE".encode() + b"\0")


# -- with the library ----------------------------------------------------------------------------------------


def _framer() -> LengthPrefixed:
    """Return what cuts messages: a kind, and a length that counts itself."""
    return LengthPrefixed(4, offset=1, adjust=-4, strip=0, limit=_LIMIT)


def _read(message: SliceBuffer) -> Values:
    r = message.reader()
    kind = r.u8()
    r.skip(4)
    if kind == _ROW:
        row: list[str | int] = []
        for k in range(r.u16()):
            size = r.i32()
            row.append("NULL" if size < 0 else int(r.take_bytes(size)) if k % 2 == 0 and k < 3 else r.text(size))
        return "row", *row
    if kind == _FIELDS:
        fields: list[str | int] = []
        for _ in range(r.u16()):
            fields.append(r.cstring(limit=63).decode())
            _, _, oid, size, _, _ = r.unpack(_FIELD)
            fields += oid, size
        return "fields", *fields
    if kind == _DONE:
        return "done", r.cstring(limit=63).decode()
    if kind == _READY:
        return "ready", r.u8()
    if kind == _QUERY:
        return "query", r.text(r.remaining - 1)
    raise FrameError(f"no message of kind {kind} is expected", 0)


def _decode(chunks: Sequence[bytes]) -> list[Values]:
    framer = _framer()
    return [_read(message) for chunk in chunks for message in framer.feed(chunk)]


def _send(message: Values, sock: socket.socket) -> int:
    statement, *parameters = message
    name = statement.encode()
    out = CompositeBuffer((b"\0", name, b"\0\0\0"))
    out.pack_u16(len(parameters))
    for parameter in parameters:
        value = parameter.encode()
        out.pack_u32(len(value))
        out.append(value)
    out.appendleft(_HEAD.pack(0x42, 6 + len(out)))
    out.append(b"\0\0E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04")
    return flush(out, sock, coalesce_below=SMALL)


def _answer(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    framer = _framer()
    for chunk in chunks:
        out = CompositeBuffer()
        for message in framer.feed(chunk):
            _, text = _read(message)
            name, total = _found(text)
            value = name.encode()
            out.append(_DESCRIBED)
            out.pack(">BIHI", _ROW, 14 + len(value) + len(total), 2, len(value))
            out.append(value)
            out.pack_u32(len(total))
            out.append(total)
            out.append(_DONE_AND_READY)
        yield flush(out, sock, coalesce_below=SMALL)


# -- the server's part that is no matter of bytes ------------------------------------------------------------

_DESCRIBED: Final = _described(_COLUMNS[1:3])
_DONE_AND_READY: Final = _message(_DONE, b"SELECT 1\0") + _message(_READY, b"I")


def _found(text: str) -> tuple[str, bytes]:
    ident = int(text.split()[8])
    return f"customer no. {ident % 97}", b"%d" % (ident * 13 % 9973)


# -- by hand -------------------------------------------------------------------------------------------------

_ROW_HEAD: Final = Struct(">BIHI")


def _messages_by_hand(stream: bytearray, found: list[Values]) -> None:
    """Take the messages that are whole out of a stream."""
    head, u16, i32, field = _HEAD.unpack_from, _U16.unpack_from, _I32.unpack_from, _FIELD.unpack_from
    at = 0
    end = len(stream)
    while at + 5 <= end:
        kind, size = head(stream, at)
        if not 4 <= size <= _LIMIT:
            raise ValueError("the message is too long")
        stop = at + 1 + size
        if stop > end:
            break
        at += 5
        if kind == _ROW:
            row: list[str | int] = []
            (n,) = u16(stream, at)
            at += 2
            for k in range(n):
                (size,) = i32(stream, at)
                at += 4
                if size < 0:
                    row.append("NULL")
                    continue
                value = stream[at : at + size]
                at += size
                row.append(int(value) if k % 2 == 0 and k < 3 else value.decode())
            found.append(("row", *row))
        elif kind == _FIELDS:
            fields: list[str | int] = []
            (n,) = u16(stream, at)
            at += 2
            for _ in range(n):
                z = stream.index(0, at, stop)
                name = stream[at:z].decode()
                _, _, oid, size, _, _ = field(stream, z + 1)
                fields += name, oid, size
                at = z + 19
            found.append(("fields", *fields))
        elif kind == _DONE:
            found.append(("done", stream[at : stream.index(0, at, stop)].decode()))
        elif kind == _READY:
            found.append(("ready", stream[at]))
        elif kind == _QUERY:
            found.append(("query", stream[at : stop - 1].decode()))
        else:
            raise ValueError(f"no message of kind {kind} is expected")
        at = stop
    del stream[:at]


def _decode_by_hand(chunks: Sequence[bytes]) -> list[Values]:
    stream = bytearray()
    found: list[Values] = []
    for chunk in chunks:
        stream += chunk
        _messages_by_hand(stream, found)
    return found


def _send_by_hand(message: Values, sock: socket.socket) -> int:
    statement, *parameters = message
    pieces = [b"\0", statement.encode(), b"\0\0\0", _U16.pack(len(parameters))]
    for parameter in parameters:
        value = parameter.encode()
        pieces += _I32.pack(len(value)), value
    pieces.append(b"\0\0")
    body = b"".join(pieces)
    out = b"".join((_HEAD.pack(0x42, 4 + len(body)), body, b"E\0\0\0\x09\0\0\0\0\0S\0\0\0\x04"))
    sock.sendall(out)
    return len(out)


def _answer_by_hand(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    stream = bytearray()
    for chunk in chunks:
        stream += chunk
        queries: list[Values] = []
        _messages_by_hand(stream, queries)
        out = bytearray()
        for _, text in queries:
            name, total = _found(text)
            value = name.encode()
            out += _DESCRIBED
            out += _ROW_HEAD.pack(_ROW, 14 + len(value) + len(total), 2, len(value))
            out += value
            out += _I32.pack(len(total))
            out += total
            out += _DONE_AND_READY
        if out:
            sock.sendall(out)
        yield len(out)


PROGRAM: Final = Program(
    "PostgreSQL",
    coming=_coming,
    requests=lambda count: [_query(k) for k in range(count)],
    sent=lambda count: [("find_order", str(k), f"customer no. {k % 97}", "EUR") for k in range(count)],
    ours=Hands(_decode, _send, _answer),
    by_hand=Hands(_decode_by_hand, _send_by_hand, _answer_by_hand),
)
