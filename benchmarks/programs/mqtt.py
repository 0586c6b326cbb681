"""MQTT 3.1.1: packets behind a varint, read by ``parse``."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, FrameError, Reader, flush

from ._program import SMALL, Hands, Program, Values

__all__ = ["PROGRAM"]

_LIMIT: Final = 64 << 10
_U16: Final = Struct(">H")
_PUBLISH, _SUBSCRIBE, _PING = 3, 8, 12


def _published(k: int) -> Values:
    reading = ", ".join(f"{(k * 37 + i) % 1000 / 10}" for i in range(4 + k % 9))
    return "publish", f"site/{k % 7}/sensor/{k % 50}/temperature", k % 65535 + 1, f'{{"readings": [{reading}]}}'


def _packet(k: int) -> bytes:
    if k % 10 == 9:
        return b"\xc0\x00"
    if k % 10 == 8:
        topics = [f"site/{k % 7}/#".encode(), f"alarm/{k}".encode()]
        wanted = b"".join(_U16.pack(len(t)) + t + bytes([k % 2]) for t in topics)
        return b"\x82" + _varint(2 + len(wanted)) + _U16.pack(k % 65535 + 1) + wanted
    _, topic, ident, text = _published(k)
    body: bytes = _U16.pack(len(topic)) + topic.encode() + _U16.pack(ident) + text.encode()
    return b"\x32" + _varint(len(body)) + body


# -- with the library ----------------------------------------------------------------------------------------


def _read_packet(r: Reader) -> Values:
    head = r.u8()
    body = r.sub(r.varint(max_bytes=4))
    kind = head >> 4
    if kind == _PUBLISH:
        topic = body.text(body.u16())
        ident = body.u16() if head & 6 else 0
        return "publish", topic, ident, body.text(body.remaining)
    if kind == _SUBSCRIBE:
        ident = body.u16()
        topics: list[str | int] = []
        while not body.at_end:
            topics += body.text(body.u16()), body.u8()
        return "subscribe", ident, *topics
    if kind == _PING:
        return ("ping",)
    raise FrameError(f"no packet of kind {kind} is expected", r.position)


def _decode(chunks: Sequence[bytes]) -> list[Values]:
    buffer = CompositeBuffer()
    found = []
    for chunk in chunks:
        buffer.append(chunk)
        while (packet := buffer.parse(_read_packet, limit=_LIMIT)) is not None:
            found.append(packet)
    return found


def _send(message: Values, sock: socket.socket) -> int:
    _, topic, ident, text = message
    name, payload = topic.encode(), text.encode()
    packet = CompositeBuffer()
    packet.pack_u8(0x32)
    packet.pack_varint(4 + len(name) + len(payload))
    packet.pack_u16(len(name))
    packet.append(name)
    packet.pack_u16(ident)
    packet.append(payload)
    return flush(packet, sock, coalesce_below=SMALL)


def _answer(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    buffer = CompositeBuffer()
    for chunk in chunks:
        buffer.append(chunk)
        answers = CompositeBuffer()
        while (packet := buffer.parse(_read_packet, limit=_LIMIT)) is not None:
            kind = packet[0]
            if kind == "publish":
                answers.pack(">BBH", 0x40, 2, packet[2])
            elif kind == "subscribe":
                answers.pack(">BBH", 0x90, 2 + (len(packet) - 2) // 2, packet[1])
                for granted in packet[3::2]:
                    answers.pack_u8(granted)
            else:
                answers.append(b"\xd0\x00")
        yield flush(answers, sock, coalesce_below=SMALL)


# -- by hand -------------------------------------------------------------------------------------------------

_ACK: Final = Struct(">BBH")


def _varint(value: int) -> bytes:
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))


def _packets_by_hand(stream: bytearray, found: list[Values]) -> None:
    """Take the packets that are whole out of a stream."""
    u16 = _U16.unpack_from
    at = 0
    end = len(stream)
    while at + 2 <= end:
        size = stream[at + 1]
        body = at + 2
        if size > 0x7F:
            size &= 0x7F
            shift = 7
            while body < end:
                byte = stream[body]
                body += 1
                size |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 21:
                    raise ValueError("the length has more than 4 bytes")
            else:
                break
        if size > _LIMIT:
            raise ValueError("the packet is too long")
        stop = body + size
        if stop > end:
            break
        head = stream[at]
        kind = head >> 4
        if kind == _PUBLISH:
            (n,) = u16(stream, body)
            body += 2
            topic = stream[body : body + n].decode()
            body += n
            ident = 0
            if head & 6:
                (ident,) = u16(stream, body)
                body += 2
            found.append(("publish", topic, ident, stream[body:stop].decode()))
        elif kind == _SUBSCRIBE:
            (ident,) = u16(stream, body)
            body += 2
            topics: list[str | int] = []
            while body < stop:
                (n,) = u16(stream, body)
                body += 2
                topics += stream[body : body + n].decode(), stream[body + n]
                body += n + 1
            found.append(("subscribe", ident, *topics))
        elif kind == _PING:
            found.append(("ping",))
        else:
            raise ValueError(f"no packet of kind {kind} is expected")
        at = stop
    del stream[:at]


def _decode_by_hand(chunks: Sequence[bytes]) -> list[Values]:
    stream = bytearray()
    found: list[Values] = []
    for chunk in chunks:
        stream += chunk
        _packets_by_hand(stream, found)
    return found


def _send_by_hand(message: Values, sock: socket.socket) -> int:
    _, topic, ident, text = message
    name, payload = topic.encode(), text.encode()
    size = _varint(4 + len(name) + len(payload))
    packet = b"".join((b"\x32", size, _U16.pack(len(name)), name, _U16.pack(ident), payload))
    sock.sendall(packet)
    return len(packet)


def _answer_by_hand(chunks: Sequence[bytes], sock: socket.socket) -> Iterator[int]:
    stream = bytearray()
    for chunk in chunks:
        stream += chunk
        packets: list[Values] = []
        _packets_by_hand(stream, packets)
        answers = bytearray()
        for packet in packets:
            kind = packet[0]
            if kind == "publish":
                answers += _ACK.pack(0x40, 2, packet[2])
            elif kind == "subscribe":
                answers += _ACK.pack(0x90, 2 + (len(packet) - 2) // 2, packet[1])
                answers += bytes(packet[3::2])
            else:
                answers += b"\xd0\x00"
        if answers:
            sock.sendall(answers)
        yield len(answers)


PROGRAM: Final = Program(
    "MQTT",
    coming=lambda count: [_packet(k) for k in range(count)],
    requests=lambda count: [_packet(k) for k in range(count)],
    sent=lambda count: [_published(k) for k in range(count)],
    ours=Hands(_decode, _send, _answer),
    by_hand=Hands(_decode_by_hand, _send_by_hand, _answer_by_hand),
)
