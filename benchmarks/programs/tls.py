"""TLS 1.2 and 1.3 on the outside: records, the hellos in them, alerts; data goes through as it is."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, FrameError, LengthPrefixed, Reader, SliceBuffer, flush

from ._program import SMALL, Hands, Program, Values

__all__ = ["PROGRAM"]

_LIMIT: Final = (16 << 10) + 256 + 5
_HEAD: Final = Struct(">BHH")
_U16: Final = Struct(">H")
_ALERT, _HANDSHAKE, _DATA = 21, 22, 23
_SERVER_NAME, _PROTOCOLS = 0, 16
_CIPHERS: Final = (0x1301, 0x1302, 0x1303, 0xC02B, 0xC02F, 0xC02C, 0xC030)


def _prefixed(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def _record(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(kind, 0x0303, len(body)) + body


def _hello(k: int) -> bytes:
    noise = random.Random(k)
    name = f"host-{k % 100}.example.org".encode()
    extensions = {
        _SERVER_NAME: _prefixed(2, b"\0" + _prefixed(2, name)),
        10: b"\0\x04\0\x1d\0\x17",
        _PROTOCOLS: _prefixed(2, b"\x02h2\x08http/1.1"),
        51: noise.randbytes(36),
    }
    body = b"".join(
        [
            b"\x03\x03", noise.randbytes(32), _prefixed(1, noise.randbytes(32)),
            _prefixed(2, b"".join(map(_U16.pack, _CIPHERS))), b"\x01\0",
            _prefixed(2, b"".join(_U16.pack(kind) + _prefixed(2, data) for kind, data in extensions.items())),
        ]
    )  # fmt: skip
    return _record(_HANDSHAKE, b"\x01" + _prefixed(3, body))


def _coming(count: int) -> list[bytes]:
    records = []
    for k in range(count):
        if k % 10 == 0:
            records.append(_hello(k))
        elif k % 10 == 9:
            records.append(_record(_ALERT, bytes([1, k % 100])))
        else:
            records.append(_record(_DATA, bytes([k % 256]) * (30 + k * 17 % 200)))
    return records


# -- with the library ----------------------------------------------------------------------------------------


def _framer() -> LengthPrefixed:
    """Return what cuts records: a kind, a version, and the length of what follows."""
    return LengthPrefixed(2, offset=3, strip=0, limit=_LIMIT)


def _read(record: SliceBuffer) -> Values:
    r = record.reader()
    kind = r.u8()
    version = r.u16()
    r.skip(2)
    if kind == _DATA:
        return "data", version, r.remaining
    if kind == _ALERT:
        return "alert", r.u8(), r.u8()
    if kind == _HANDSHAKE and r.u8() == 1:
        return _read_hello(r.sub(r.u24()))
    raise FrameError(f"no record of kind {kind} is expected", 0)


def _read_hello(r: Reader) -> Values:
    version = r.u16()
    noise = r.take(32).hex()
    session = r.take(r.u8()).hex()
    ciphers = r.array("H", r.u16() // 2).tolist()
    r.skip(r.u8())
    server, protocols = "", []
    extensions = r.sub(r.u16())
    while not extensions.at_end:
        kind = extensions.u16()
        data = extensions.sub(extensions.u16())
        if kind == _SERVER_NAME:
            data.skip(3)
            server = data.text(data.u16(), "ascii")
        elif kind == _PROTOCOLS:
            data.skip(2)
            while not data.at_end:
                protocols.append(data.text(data.u8(), "ascii"))
    return "hello", version, noise, session, server, *ciphers, *protocols


def _decode(chunks: Sequence[bytes]) -> list[Values]:
    framer = _framer()
    return [_read(record) for chunk in chunks for record in framer.feed(chunk)]


def _send(message: Values, sock: socket.socket) -> int:
    (text,) = message
    data = text.encode()
    record = CompositeBuffer()
    record.pack(_HEAD, _DATA, 0x0303, len(data))
    record.append(data)
    return flush(record, sock, coalesce_below=SMALL)


def _answer(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    framer = _framer()
    for chunk in chunks:
        out = CompositeBuffer()
        for record in framer.feed(chunk):
            said = _read(record)
            if said[0] == "hello":
                session = bytes.fromhex(said[3])
                out.pack(">BHHBB", _HANDSHAKE, 0x0303, 42 + len(session), 2, 0)
                out.pack(">HH", 38 + len(session), 0x0303)
                out.append(_RANDOM)
                out.pack_u8(len(session))
                out.append(session)
                out.pack(">HB", said[5], 0)
            elif said[0] == "data":
                out.append(record)
        yield flush(out, sock, coalesce_below=SMALL)


# -- by hand -------------------------------------------------------------------------------------------------

_RANDOM: Final = bytes(range(32))
_SERVER_HELLO: Final = Struct(">BHHBBHH32sB")
_CHOSEN: Final = Struct(">HB")


def _hello_by_hand(stream: bytearray, at: int) -> Values:
    u16 = _U16.unpack_from
    (version,) = u16(stream, at)
    noise = stream[at + 2 : at + 34].hex()
    at += 34
    n = stream[at]
    session = stream[at + 1 : at + 1 + n].hex()
    at += 1 + n
    (n,) = u16(stream, at)
    ciphers = Struct(f">{n // 2}H").unpack_from(stream, at + 2) if n != 14 else _SEVEN.unpack_from(stream, at + 2)
    at += 2 + n
    at += 1 + stream[at]
    (n,) = u16(stream, at)
    at += 2
    end = at + n
    server, protocols = "", []
    while at < end:
        kind, n = _TWO.unpack_from(stream, at)
        at += 4
        stop = at + n
        if kind == _SERVER_NAME:
            (n,) = u16(stream, at + 3)
            server = stream[at + 5 : at + 5 + n].decode("ascii")
        elif kind == _PROTOCOLS:
            at += 2
            while at < stop:
                n = stream[at]
                protocols.append(stream[at + 1 : at + 1 + n].decode("ascii"))
                at += 1 + n
        at = stop
    return "hello", version, noise, session, server, *ciphers, *protocols


_TWO: Final = Struct(">HH")
_SEVEN: Final = Struct(">7H")


def _records_by_hand(stream: bytearray, found: list[tuple[Values, int, int]]) -> int:
    """Find the records that are whole, and where each lies. Return where they end."""
    head = _HEAD.unpack_from
    at = 0
    end = len(stream)
    while at + 5 <= end:
        kind, version, size = head(stream, at)
        if size > _LIMIT:
            raise ValueError("the record is too long")
        stop = at + 5 + size
        if stop > end:
            break
        if kind == _DATA:
            said: Values = ("data", version, size)
        elif kind == _ALERT:
            said = ("alert", stream[at + 5], stream[at + 6])
        elif kind == _HANDSHAKE and stream[at + 5] == 1:
            said = _hello_by_hand(stream, at + 9)
        else:
            raise ValueError(f"no record of kind {kind} is expected")
        found.append((said, at, stop))
        at = stop
    return at


def _decode_by_hand(chunks: Sequence[bytes]) -> list[Values]:
    stream = bytearray()
    found: list[tuple[Values, int, int]] = []
    for chunk in chunks:
        stream += chunk
        del stream[: _records_by_hand(stream, found)]
    return [said for said, _, _ in found]


def _send_by_hand(message: Values, sock: socket.socket) -> int:
    (text,) = message
    data = text.encode()
    record = _HEAD.pack(_DATA, 0x0303, len(data)) + data
    sock.sendall(record)
    return len(record)


def _answer_by_hand(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    stream = bytearray()
    for chunk in chunks:
        stream += chunk
        found: list[tuple[Values, int, int]] = []
        end = _records_by_hand(stream, found)
        out = bytearray()
        for said, at, stop in found:
            if said[0] == "hello":
                session = bytes.fromhex(said[3])
                n = len(session)
                out += _SERVER_HELLO.pack(_HANDSHAKE, 0x0303, 42 + n, 2, 0, 38 + n, 0x0303, _RANDOM, n)
                out += session
                out += _CHOSEN.pack(said[5], 0)
            elif said[0] == "data":
                out += stream[at:stop]
        del stream[:end]
        if out:
            sock.sendall(out)
        yield len(out)


PROGRAM: Final = Program(
    "TLS records",
    coming=_coming,
    requests=_coming,
    sent=lambda count: [("some text to be sent " * (1 + k % 11),) for k in range(count)],
    ours=Hands(_decode, _send, _answer),
    by_hand=Hands(_decode_by_hand, _send_by_hand, _answer_by_hand),
)
