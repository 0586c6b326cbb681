"""ZIP: what the directory at the end of an archive says, and writing an entry of it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, FrameError, Reader, flush

from ._program import SMALL, Hands, Program, Values

__all__ = ["PROGRAM"]

_ENTRY: Final = Struct("<IHHHHHHIIIHHHHHII")
_END: Final = Struct("<IHHHHIIH")
_ENTRY_MARK: Final = 0x02014B50
_END_MARK: Final = b"PK\x05\x06"
_MADE: Final = (_ENTRY_MARK, 0x031E, 20, 0, 8, 0x6A21, 0x5B7A)
"""What is the same for all entries: their mark, who made them, how, and when."""


def _written(k: int) -> Values:
    return f"package/module_{k % 31}/file_{k}.py", k * 2654435761 % 2**32, k * 31 % 9000, k * 97 % 30000, k * 512


def _entry(k: int) -> bytes:
    name, crc, packed, size, offset = _written(k)
    extra = b"UT\x05\x00\x01" + k.to_bytes(4, "little")
    head: bytes = _ENTRY.pack(*_MADE, crc, packed, size, len(name), len(extra), 0, 0, 0, 0, offset)
    encoded: bytes = name.encode()
    return head + encoded + extra


def _archive(count: int) -> list[bytes]:
    """Return an archive whose files are left out, in pieces: each entry, and the end."""
    entries = [_entry(k) for k in range(count)]
    return [*entries, _END.pack(0x06054B50, 0, 0, count, count, sum(map(len, entries)), 0, 0)]


def _date(date: int, time: int) -> str:
    return f"{1980 + (date >> 9)}-{date >> 5 & 15:02}-{date & 31:02} {time >> 11:02}:{time >> 5 & 63:02}"


# -- with the library ----------------------------------------------------------------------------------------


def _decode(chunks: Sequence[bytes]) -> list[Values]:
    archive = CompositeBuffer(chunks)
    end = archive.rfind(_END_MARK)
    _, _, _, _, count, _, offset, _ = archive.unpack_from(_END, end)
    r = archive[offset:end].reader()
    return [_read_entry(r) for _ in range(count)]


def _read_entry(r: Reader) -> Values:
    mark, _, _, _, method, time, date, crc, packed, size, n, extra, comment, _, _, _, offset = r.unpack(_ENTRY)
    if mark != _ENTRY_MARK:
        raise FrameError("no entry begins here", r.position)
    name = r.text(n)
    r.skip(extra + comment)
    return name, method, _date(date, time), crc, packed, size, offset


def _send(message: Values, sock: socket.socket) -> int:
    text, crc, packed, size, offset = message
    name = text.encode()
    entry = CompositeBuffer()
    entry.pack(_ENTRY, *_MADE, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset)
    entry.append(name)
    return flush(entry, sock, coalesce_below=SMALL)


# -- by hand -------------------------------------------------------------------------------------------------


def _decode_by_hand(chunks: Sequence[bytes]) -> list[Values]:
    archive = bytearray()
    for chunk in chunks:
        archive += chunk
    end = archive.rfind(_END_MARK)
    _, _, _, _, count, _, at, _ = _END.unpack_from(archive, end)
    entry = _ENTRY.unpack_from
    found: list[Values] = []
    for _ in range(count):
        mark, _, _, _, method, time, date, crc, packed, size, n, extra, comment, _, _, _, offset = entry(archive, at)
        if mark != _ENTRY_MARK:
            raise ValueError("no entry begins here")
        at += 46
        name = archive[at : at + n].decode()
        at += n + extra + comment
        found.append((name, method, _date(date, time), crc, packed, size, offset))
    return found


def _send_by_hand(message: Values, sock: socket.socket) -> int:
    text, crc, packed, size, offset = message
    name = text.encode()
    entry: bytes = _ENTRY.pack(*_MADE, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset) + name
    sock.sendall(entry)
    return len(entry)


PROGRAM: Final = Program(
    "ZIP directory",
    coming=_archive,
    requests=_archive,
    sent=lambda count: [_written(k) for k in range(count)],
    ours=Hands(_decode, _send),
    by_hand=Hands(_decode_by_hand, _send_by_hand),
)
