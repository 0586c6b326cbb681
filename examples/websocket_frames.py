"""WebSocket: messages out of bytes and frames to send, by RFC 6455; no handshake, no extensions, no I/O.

A payload that is not masked is a slice of what was received, and the fragments of a message are one buffer without
being joined. Masking has to make new bytes, a block at a time. A text is looked at as it comes, in blocks: what cannot
become UTF-8 is an error at its first wrong byte, wherever frames and pieces end.
"""

from __future__ import annotations

import os
from codecs import getincrementaldecoder
from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import ClassVar, Final, NamedTuple

from bytebufs import BytebufsError, CompositeBuffer, FrameError, LimitExceeded, Part, Reader, SliceBuffer

_SMALL: Final = 256  # bytes: less of a peer who masks is joined with more, as a part of its own costs more than that
_BLOCK: Final = 65536  # bytes masked or looked at at a time; a multiple of 4: the key begins anew with each block


class Opcode(IntEnum):
    """What a frame is (section 5.2); from CLOSE on they are control frames."""

    CONTINUATION, TEXT, BINARY = 0, 1, 2
    CLOSE, PING, PONG = 8, 9, 10


class Frame(NamedTuple):
    """A frame, or a whole message as if it had come in one frame."""

    opcode: Opcode
    payload: SliceBuffer
    fin: bool = True


class ProtocolError(FrameError):
    """What breaks a rule of the RFC. The connection is to be failed (7.1.7), by a close frame with ``code``."""

    code: ClassVar[int] = 1002


class NotUtf8(ProtocolError):
    """A text, or the reason of a close frame, that is not UTF-8 (8.1)."""

    code: ClassVar[int] = 1007


def close_code(error: BytebufsError) -> int:
    """Return the status code for the close frame that answers an error of Messages (7.4.1).

    Send ``encode(Opcode.CLOSE, close_code(error).to_bytes(2, "big"), masked=...)``.
    """
    return error.code if isinstance(error, ProtocolError) else 1009 if isinstance(error, LimitExceeded) else 1011


def encode(opcode: Opcode, payload: Part = b"", *, fin: bool = True, masked: bool) -> CompositeBuffer:
    """Return a frame; a client's is masked, a server's is not (5.1). Copies: a payload that is masked, else nothing.

    ValueError for a control frame that nobody may send, such as a close frame with half a status code, or with one that
    only stands for what was not received (1005, 1006, 1015), that is reserved, or that nobody has registered. Whether a
    text is UTF-8 is for its sender to see to.
    """
    body = SliceBuffer(payload)
    size, head, bit = len(body), fin << 7 | opcode, masked << 7
    if opcode >= Opcode.CLOSE and (size > 125 or not fin):
        raise ValueError("a control frame is whole and has at most 125 bytes of payload (RFC 6455, 5.5)")
    if opcode == Opcode.CLOSE:
        try:
            close_reason(body)
        except FrameError as error:
            raise ValueError(f"a close frame that nobody may send: {error}") from None
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
    # 1012 to 1014 are registered with IANA; whatever else is below 3000 is reserved (7.4.2).
    allowed = (1000 <= code <= 1014 and code not in {1004, 1005, 1006}) or 3000 <= code <= 4999
    _forbid(not allowed, f"7.4: the status code {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise NotUtf8("RFC 6455, 5.5.1: a reason that is not UTF-8") from None


def _forbid(broken: int, rule: str) -> None:
    if broken:
        raise ProtocolError(f"RFC 6455, {rule}")


class _Ahead(NamedTuple):
    """The head of a frame of text that is not whole."""

    start: int  # of the payload
    size: int
    key: bytes


class Messages:
    """Iterating takes the messages and control frames that are whole out of ``buffer``, which their receiver fills.

    ``masked`` says whether the peer masks: a client does. A message has at most ``limit`` bytes. Behind a close frame
    all is dropped unseen, whatever it is (1.4), and counted in ``discarded``. After an error iterating raises the same
    error again; ``close_code(error)`` is what to answer.
    """

    def __init__(self, *, masked: bool, limit: int) -> None:
        small = _SMALL if masked else 0  # what is masked is copied anyway
        self.buffer = CompositeBuffer(coalesce_below=small)
        self.discarded = 0
        self._masked = masked
        self._limit = limit
        self._opcode = Opcode.CONTINUATION  # of the message that is not whole yet, if there is one
        self._fragments = CompositeBuffer(coalesce_below=small)
        self._closed = False
        self._failed: BytebufsError | None = None
        self._text = getincrementaldecoder("utf-8")()  # what it gives is not wanted, but what it refuses
        self._ahead: _Ahead | None = None
        self._seen = 0  # bytes of that frame's payload that were looked at

    def __iter__(self) -> Iterator[Frame]:
        try:
            yield from self._frames()
        except (FrameError, LimitExceeded) as error:
            self._failed = error
            raise

    def _frames(self) -> Iterator[Frame]:
        if self._failed:
            raise self._failed.with_traceback(None)
        # A header has at most 14 bytes (5.2), a control frame's payload 125 whatever the limit (5.5).
        most = max(self._limit, 125) + 14
        while not self._closed and (frame := self.buffer.parse(self._read, limit=most)) is not None:
            if frame.opcode >= Opcode.CLOSE:
                self._closed = frame.opcode is Opcode.CLOSE
                yield frame
                continue
            self._opcode = frame.opcode or self._opcode
            self._fragments.append(frame.payload)
            if frame.fin:
                message = Frame(self._opcode, self._fragments.take_all())
                self._opcode = Opcode.CONTINUATION
                yield message
        if self._closed:
            self.discarded += len(self.buffer)
            self.buffer.clear()
        elif self._ahead:
            self._look_ahead(self._ahead)

    def _read(self, r: Reader) -> Frame:
        head = r.u8()
        opcode = self._opcode_of(head)
        size = self._size(r, opcode)
        key = r.take_bytes(4) if self._masked else b""
        is_text = (opcode or self._opcode) is Opcode.TEXT
        self._ahead = _Ahead(r.position, size, key) if is_text else None
        payload = mask(r.take(size), key) if key else r.take(size)
        # From here on the frame is whole, and this is not run for it again.
        if opcode is Opcode.CLOSE:
            close_reason(payload)
        if is_text:
            self._look_at(payload[self._seen :], is_last=head > 127)
            self._ahead, self._seen = None, 0
        return Frame(opcode, payload, head > 127)

    def _look_ahead(self, frame: _Ahead) -> None:
        """Look at what has come of a text whose frame is not whole."""
        stop = min(len(self.buffer) - frame.start, frame.size)
        more, turn = self.buffer[frame.start + self._seen : frame.start + stop], self._seen % 4
        self._look_at(mask(more, frame.key[turn:] + frame.key[:turn]) if frame.key else more)
        self._seen = stop

    def _look_at(self, text: SliceBuffer, *, is_last: bool = False) -> None:
        try:
            for view in text.views():
                for at in range(0, len(view), _BLOCK):
                    self._text.decode(view[at : at + _BLOCK])
            # For the sake of "surrogatepass" the decoder waits for the third byte of a surrogate.
            held = bytes(self._text.getstate()[0])
            self._text.decode(b"", is_last or b"\xed\xa0" <= held < b"\xee")
        except UnicodeDecodeError:
            raise NotUtf8("RFC 6455, 8.1: a text that is not UTF-8") from None

    def _opcode_of(self, head: int) -> Opcode:
        _forbid(head & 0x70, "5.2: a reserved bit, and no extension")
        _forbid(head & 15 not in list(Opcode), f"5.2: the reserved opcode {head & 15}")
        opcode = Opcode(head & 15)
        _forbid(opcode >= Opcode.CLOSE and head < 128, "5.5: a fragmented control frame")
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
