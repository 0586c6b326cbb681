"""WebSocket: messages out of bytes and frames to send, by RFC 6455; no handshake, no extensions, no I/O.

A payload that is not masked is a slice of what was received, and the fragments of a message are one buffer without
being joined. Masking has to make new bytes, a block at a time. Whether a text is UTF-8 its ``decode()`` tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import Final, NamedTuple

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, Part, Reader, SliceBuffer

_BLOCK: Final = 65536  # bytes masked at a time; a multiple of 4, so that the key begins anew with each block


class Opcode(IntEnum):
    """What a frame is (section 5.2); from CLOSE on they are control frames."""

    CONTINUATION, TEXT, BINARY = 0, 1, 2
    CLOSE, PING, PONG = 8, 9, 10


class Frame(NamedTuple):
    """A frame, or a whole message as if it had come in one frame."""

    opcode: Opcode
    payload: SliceBuffer
    fin: bool = True


def encode(opcode: Opcode, payload: Part = b"", *, fin: bool = True, masked: bool) -> CompositeBuffer:
    """Return a frame; a client's is masked, a server's is not (5.1). Copies: a payload that is masked, else nothing."""
    body = SliceBuffer(payload)
    size, head, bit = len(body), fin << 7 | opcode, masked << 7
    if opcode >= Opcode.CLOSE and (size > 125 or not fin):
        raise ValueError("a control frame is whole and has at most 125 bytes of payload (RFC 6455, 5.5)")
    frame = CompositeBuffer()
    if size < 126:
        frame.pack(">BB", head, bit | size)
    elif size < 1 << 16:
        frame.pack(">BBH", head, bit | 126, size)
    else:
        frame.pack(">BBQ", head, bit | 127, size)
    key = os.urandom(4) if masked else b""  # not to be foreseen (5.3)
    frame.extend([key, mask(body, key) if masked else body])
    return frame


@cache
def _xor_table(byte: int) -> bytes:
    return bytes([byte ^ value for value in range(256)])


def mask(payload: SliceBuffer, key: bytes) -> SliceBuffer:
    """Mask a payload, or unmask it: byte i is XORed with byte i % 4 of the key (5.3). Copies: it ("copy_into")."""
    masked = CompositeBuffer()
    for at in range(0, len(payload), _BLOCK):
        block = bytearray(min(_BLOCK, len(payload) - at))
        payload.copy_into(block, at, at + _BLOCK)
        for i, byte in enumerate(key):
            block[i::4] = block[i::4].translate(_xor_table(byte))  # the fastest of what Python has for it
        masked.append(block)
    return masked.freeze()


def close_reason(payload: SliceBuffer) -> tuple[int, str]:
    """Return the code of a CLOSE frame, as 16 bits, and the reason behind it; 1005 if there are none (7.1.5)."""
    if not payload:
        return 1005, ""
    _forbid(len(payload) == 1, "5.5.1: half a status code")
    [code] = payload.unpack_from(">H")
    allowed = (1000 <= code <= 1014 and code not in {1004, 1005, 1006}) or 3000 <= code <= 4999
    _forbid(not allowed, f"7.4: the status code {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError("RFC 6455, 5.5.1: a reason that is not UTF-8") from None


def _forbid(broken: int, rule: str) -> None:
    if broken:
        raise FrameError(f"RFC 6455, {rule}")


class Messages:
    """Iterating takes the messages and control frames that are whole out of ``buffer``, which their receiver fills.

    ``masked`` says whether the peer masks: a client does. A message has at most ``limit`` bytes. After an error
    iterating raises the same error again.
    """

    def __init__(self, *, masked: bool, limit: int) -> None:
        self.buffer = CompositeBuffer()
        self._masked = masked
        self._limit = limit
        self._opcode = Opcode.CONTINUATION  # of the message that is not whole yet, if there is one
        self._fragments = CompositeBuffer()
        self._closed = False

    def __iter__(self) -> Iterator[Frame]:
        # A header has at most 14 bytes (5.2), a control frame's payload 125 whatever the limit (5.5).
        while (frame := self.buffer.parse(self._read, limit=max(self._limit, 125) + 14)) is not None:
            if frame.opcode >= Opcode.CLOSE:
                self._closed |= frame.opcode is Opcode.CLOSE
                yield frame
                continue
            self._opcode = frame.opcode or self._opcode
            self._fragments.append(frame.payload)
            if frame.fin:
                message = Frame(self._opcode, self._fragments.take_all())
                self._opcode = Opcode.CONTINUATION
                yield message

    def _read(self, r: Reader) -> Frame:
        head = r.u8()
        opcode = self._opcode_of(head)
        size = self._size(r, opcode)
        key = r.take_bytes(4) if self._masked else b""
        payload = mask(r.take(size), key) if key else r.take(size)
        if opcode is Opcode.CLOSE:
            close_reason(payload)
        return Frame(opcode, payload, head > 127)

    def _opcode_of(self, head: int) -> Opcode:
        _forbid(head & 0x70, "5.2: a reserved bit, and no extension")
        _forbid(head & 15 not in list(Opcode), f"5.2: the reserved opcode {head & 15}")
        opcode = Opcode(head & 15)
        _forbid(opcode >= Opcode.CLOSE and head < 128, "5.5: a fragmented control frame")
        _forbid(opcode < Opcode.CLOSE and self._closed, "5.5.1: data after a close frame")
        _forbid(opcode == 0 and not self._opcode, "5.4: a continuation of nothing")
        _forbid(0 < opcode < Opcode.CLOSE and self._opcode, "5.4: a message inside another one")
        return opcode

    def _size(self, r: Reader, opcode: Opcode) -> int:
        second = r.u8()
        _forbid((second > 127) != self._masked, f"5.1: a frame that is {'not ' * self._masked}masked")
        size = second & 127
        _forbid(opcode >= Opcode.CLOSE and size > 125, "5.5: a control frame of more than 125 bytes")
        if size > 125:
            least, size = (126, r.u16()) if size == 126 else (1 << 16, r.u64())
            _forbid(size >> 63, "5.2: a 64-bit length with its highest bit set")
            _forbid(size < least, "5.2: a length in more bytes than it needs")
        if opcode < Opcode.CLOSE and size > self._limit - len(self._fragments):
            raise LimitExceeded(self._limit)
        return size
