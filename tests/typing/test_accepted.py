"""What type checkers have to know. `assert_type` is checked by mypy, and what it is given is run here."""

from __future__ import annotations

import array
import asyncio
import copy
import io
import mmap
import socket
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import Any, assert_type

import numpy as np
import pytest

from bytebufs import (
    BaseBuffer,
    BufferFile,
    BytesLike,
    CompositeBuffer,
    CopyAudit,
    FileRegion,
    FrameError,
    Inbox,
    LimitExceeded,
    Lines,
    MappedFile,
    Part,
    Pool,
    Reader,
    SliceBuffer,
    Transferred,
    Underrun,
    aio,
    allocate,
    copy_audit,
    flush,
    no_copy,
    transfer,
)


def buffers() -> tuple[CompositeBuffer, SliceBuffer]:
    return CompositeBuffer([b"ab,", b"cd\n"]), SliceBuffer(b"xab,cd\n", 1)


def test_ranges_of_files_are_parts_and_give_slices() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"abc")
        region, mapped = FileRegion(file), MappedFile(file, access="copy")
        part: Part = region
        assert_type(region[1:], SliceBuffer)
        assert_type(mapped[1:], SliceBuffer)
        assert_type(allocate(3), SliceBuffer)
        assert CompositeBuffer([part, mapped[:], allocate(1)]) == b"abcabc\0"
        moved = assert_type(transfer(region, io.BytesIO()), Transferred)
        assert_type(moved.nbytes, int)
        assert moved.how == "copy"


def test_an_inbox_receives_from_whatever_has_bytes() -> None:
    inbox = Inbox(Pool(4096, idle=2), limit=100)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"one")
        assert_type(inbox.receive(ours), int)
        theirs.sendall(b"two")
        inbox.receive(ours.fileno())
    inbox.receive(io.BytesIO(b"three"))
    with tempfile.TemporaryFile() as file:
        inbox.receive(file)
    inbox.room()[:4] = b"four"
    inbox.filled(4)
    assert_type(inbox.buffer, CompositeBuffer)
    assert assert_type(inbox.ended, bool)
    assert inbox.buffer == b"onetwothreefour"


async def _handler(stream: aio.Stream) -> int:  # whatever it returns
    async for frame in stream.frames(Lines(limit=100)):
        assert_type(frame, SliceBuffer)
        await stream.send(frame)
        assert_type(await stream.send(CompositeBuffer([b"\n"])), None)
    return 0


def test_a_stream_gives_what_its_parser_returns() -> None:
    def read(r: Reader) -> tuple[int, str]:
        return r.u8(), r.take_bytes(1).decode()

    async def main() -> None:
        handler: aio.Handler = _handler
        async with asyncio.timeout(30), await aio.start_server(handler, "127.0.0.1", 0) as server:
            assert_type(server, aio.Server)
            sock = assert_type(server.sockets, tuple[socket.socket, ...])[0]
            async with await aio.open_connection(*sock.getsockname()) as stream:
                assert_type(stream, aio.Stream)
                await asyncio.create_task(_whole(stream.send(b"\1a\n\2b\n")))
                assert assert_type(await stream.parse(read), tuple[int, str] | None) == (1, "a")
                assert assert_type(await stream.take(1), SliceBuffer) == b"\n"
                messages = assert_type(stream.messages(read), AsyncIterator[tuple[int, str]])
                assert await anext(messages) == (2, "b")
                assert_type(await stream.take_until(b"\n", limit=10), SliceBuffer)
                await stream.send_eof()
                assert not assert_type(await stream.receive(), bool)
                state: aio.State = stream.state
                assert state == "ended"

    async def _whole(sent: Awaitable[None]) -> None:
        await sent

    asyncio.run(main())


def test_a_part_is_anything_bytes_like_and_any_buffer() -> None:
    b, s = buffers()
    parts: list[Part] = [b"1", bytearray(b"2"), memoryview(b"3"), array.array("B", b"4"), mmap.mmap(-1, 1), s, b]
    for part in parts:
        b.append(part)
        b.appendleft(part)
        b.insert(1, part)
        b.splice(0, 1, part)
        assert isinstance(SliceBuffer(part), SliceBuffer)
    b.extend(parts)
    b.extend(part for part in parts)
    b += b"5"
    assert_type(b, CompositeBuffer)
    assert_type(CompositeBuffer(parts, coalesce_below=10), CompositeBuffer)
    several: list[BytesLike] = [b"1", bytearray(b"2"), s, b]
    assert [item == b for item in several] == [False, False, False, True]


def test_both_kinds_read_alike() -> None:
    def reading(b: BaseBuffer) -> None:
        assert_type(b[0], int)
        assert_type(b[0:2], SliceBuffer)
        assert_type(list(b), list[int])
        assert_type(iter(b), Iterator[int])
        assert_type(next(reversed(b)), int)
        assert_type(b.find(b"cd", 1, None), int)
        assert_type(b.find(97) + b.index(b"c", np.int64(1)), int)
        assert_type(b.count(b) + b.rfind(memoryview(b"b")), int)
        assert_type(b"a" in b, bool)
        assert_type(97 in b, bool)
        assert_type(b == b"ab,cd\n", bool)
        assert_type(b < bytearray(b"b"), bool)
        assert_type(b >= b, bool)
        assert_type(b.startswith((b"a", memoryview(b"b"))), bool)
        assert_type(b.partition(b","), tuple[SliceBuffer, SliceBuffer, SliceBuffer])
        assert_type(b.split(b","), list[SliceBuffer])
        assert_type(b.splitlines(), list[SliceBuffer])
        assert_type(b.strip(b"\n"), SliceBuffer)
        assert_type(b.removeprefix(b"a"), SliceBuffer)
        assert_type(b.unpack_from(">H", at=np.int8(1)), tuple[Any, ...])
        assert_type(b.iter_unpack(">H"), Iterator[tuple[Any, ...]])
        assert_type(b.views(), list[memoryview])
        assert_type(b.contiguous(), memoryview)
        assert_type(b.tobytes(), bytes)
        assert_type(bytes(b), bytes)
        assert_type(b.decode(), str)
        assert_type(b.hex(":"), str)
        assert_type(b.copy_into(bytearray(6)), int)
        assert_type((b.part_count, b.is_contiguous, b.readonly), tuple[int, bool, bool])
        assert_type((b.pinned_nbytes, b.mapped_nbytes), tuple[int, int])
        assert_type(b.reader(), Reader)
        assert_type(b.reader("little"), Reader)
        assert_type(b.layout() + b.hexdump(8) + repr(b), str)

    for buffer in buffers():
        reading(buffer)


def test_what_the_kinds_differ_in() -> None:
    b, s = buffers()
    assert_type(copy.copy(b), CompositeBuffer)
    assert_type(copy.copy(s), SliceBuffer)
    assert_type(b.compact(), int)
    assert_type(s.compact(), SliceBuffer)
    assert_type(s.view(), memoryview)
    assert_type(b.freeze(), SliceBuffer)
    assert_type(b.take(np.uint8(1)), SliceBuffer)
    assert_type(b.take_until(b",", limit=10, keepends=True), SliceBuffer | None)
    assert_type(b.take_at_most(1), SliceBuffer)
    assert_type(b.take_until(b";", bytearray(b","), limit=10), SliceBuffer | None)
    assert_type(b.skip_until(b";"), bool)
    assert_type(b.take_bytes(np.int8(0)), bytes)
    assert_type(b.first(), SliceBuffer)
    assert_type(b.take_part(), SliceBuffer)
    assert_type(b.take_all(), SliceBuffer)
    b.pack_u16(np.int16(300))
    b.pack_f32_le(np.float32(0.5))
    b.pack_text("text", encoding="ascii")
    b.insert_varint(np.int8(1), np.int64(300))
    file = BufferFile(b)
    assert_type(file.read(np.int8(2)), bytes)
    assert_type(file.readinto(bytearray(1)), int)
    assert_type(list(io.TextIOWrapper(BufferFile(s))), list[str])
    assert max([s, b[:]]) == s


@dataclass
class Message:
    kind: int
    text: str


def message(r: Reader) -> Message:
    return Message(assert_type(r.u8(), int), assert_type(r.text(2), str))


def test_a_parser_gives_what_its_function_gives_or_none() -> None:
    b = CompositeBuffer([b"\x01a"])
    assert assert_type(b.parse(message, limit=10), Message | None) is None
    b.append(b"b")
    assert b.parse(message, limit=10) == Message(1, "ab")
    reader = SliceBuffer(b"\x01\x02ab").reader(byteorder="little")
    assert_type(reader.u16(), int)
    assert_type(reader.peek(1), SliceBuffer)
    assert_type(reader.take(1), SliceBuffer)
    assert_type(reader.take_bytes(1), bytes)
    reader = SliceBuffer(b"\x01\x02ab\0c;d\n").reader()
    assert_type(reader.peek_u16() + reader.peek_i24_le(), int)
    assert_type(reader.peek_f32(), float)
    assert_type(reader.limited(4), Reader)
    assert_type(reader.cstring(limit=9), SliceBuffer)
    assert_type(reader.until(b"\n", 59, limit=9), SliceBuffer)
    assert_type(reader.at_end, bool)
    assert_type(reader.take_rest(), SliceBuffer)
    framer = Lines(9)
    framer.feed(b"a\nb")
    assert_type(framer.detach(), CompositeBuffer)


def test_numbers_are_read_and_what_takes_bytes_takes_a_buffer() -> None:
    for b in (SliceBuffer(b"12"), CompositeBuffer([b"1", b"2"])):
        assert_type(int(b), int)
        assert_type(float(b), float)
        if sys.version_info >= (3, 12):
            assert_type(memoryview(b), memoryview)
            assert zlib.crc32(b) == zlib.crc32(b"12")


def test_errors_carry_typed_facts() -> None:
    b, _ = buffers()
    with pytest.raises(Underrun) as underrun:
        b.take(7)
    assert_type(underrun.value.requested + underrun.value.available, int)
    assert_type(underrun.value.separator, bytes | None)
    with pytest.raises(LimitExceeded) as exceeded:
        b.take_until(b"\n", limit=2)
    assert_type(exceeded.value.limit, int)
    error = FrameError("reason", at=2)
    assert_type((error.reason, error.at), tuple[str, int | None])


def test_copies_are_counted_and_bytes_are_sent() -> None:
    b, s = buffers()
    with copy_audit() as audit:
        bytes(b)
    assert_type(audit, CopyAudit)
    assert_type(audit.by_reason, dict[str, int])
    assert_type((audit.nbytes, audit.count, audit.hidden), tuple[int, int, int])
    left, right = socket.socketpair()
    with left, right, no_copy(strict=True) as audit:
        assert assert_type(flush(s, left), int) == 6


def test_classic_mistakes_pass_type_checkers_and_are_errors_when_run() -> None:
    """The methods are there to name the right call, and so type checkers see them."""
    b, s = buffers()
    with pytest.raises(TypeError, match="write_at"):
        b[0] = 1
    with pytest.raises(TypeError, match="skip"):
        del b[:2]
    with pytest.raises(TypeError, match="CompositeBuffer"):
        b + s
    with pytest.raises(TypeError, match="CompositeBuffer"):
        s * 2
    with pytest.raises(TypeError, match="hash"):
        hash(s)
    with pytest.raises(TypeError, match="white space"):
        b.split()
