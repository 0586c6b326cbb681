"""Sinks, sources and callbacks that come back into what called them: transfers, pools and streams.

Into composites, framers, outboxes and inboxes, at every moment, they come in `tests.test_reentrancy`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from bytebufs import Busy, CompositeBuffer, FileRegion, Inbox, Outbox, Pool, SliceBuffer, flush, transfer
from bytebufs.aio import Stream, open_connection, start_server

from ..aio.loops import run
from .trials import content_of

CONTENT: Final = content_of(300_000)


@pytest.fixture
def file() -> Iterator[Any]:
    with tempfile.TemporaryFile() as made:
        made.write(CONTENT)
        made.flush()
        yield made


class Sink:
    """Does something in the middle, once."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.got = b""
        self._act = act
        self._has_acted = False

    def write(self, data: memoryview) -> int:
        self.got += data
        if len(self.got) > 100_000 and not self._has_acted:
            self._has_acted = True
            self._act()
        return len(data)


def test_a_sink_of_a_transfer_may_transfer_the_same_file(file: Any) -> None:
    inner = Sink(lambda: None)
    outer = Sink(lambda: transfer(file, inner))
    assert transfer(file, outer) == (len(CONTENT), "copy")
    assert inner.got == outer.got == CONTENT


def test_a_sink_of_a_transfer_may_close_its_own_descriptor_of_the_file() -> None:
    """A region has a descriptor of its own."""
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        region = FileRegion(file)
        sink = Sink(file.close)
        transfer(region, sink)
        assert sink.got == CONTENT


def test_a_sink_of_a_transfer_that_shrinks_the_file_is_told(file: Any) -> None:
    sink = Sink(lambda: os.truncate(file.fileno(), 150_000))
    with pytest.raises(OSError, match="ends at byte") as caught:
        transfer(file, sink)
    assert getattr(caught.value, "bytes_flushed", None) == len(sink.got)
    assert CONTENT.startswith(sink.got)


def test_a_sink_of_a_flush_may_flush_and_send_the_same_buffer(file: Any) -> None:
    b = CompositeBuffer([CONTENT[:150_000], FileRegion(file, 150_000)])
    inner = Sink(lambda: None)
    outer = Sink(lambda: flush(b, inner))
    assert flush(b, outer) == len(CONTENT)
    assert inner.got == outer.got == CONTENT
    b._check()


def test_a_source_may_use_the_pool_that_it_is_received_into_by() -> None:
    pool = Pool(4096)
    inbox, other = Inbox(pool, limit=65536), Inbox(pool, limit=65536)

    class Source:
        def __init__(self) -> None:
            self.count = 0

        def recv_into(self, view: memoryview) -> int:
            self.count += 1
            pool.trim()
            room = other.room()
            size = min(len(view), len(room), 100)
            room[:size] = b"o" * size
            other.filled(size)
            if self.count % 3 == 0:
                other.buffer.clear()
                other.rest()
                pool.trim()
            view[:size] = bytes([self.count % 256]) * size
            return size

    source = Source()
    expected = b""
    for _ in range(200):
        received = inbox.receive(source)
        expected += bytes([source.count % 256]) * received
        assert inbox.buffer == expected
        assert other.buffer == b"o" * len(other.buffer)
    inbox.buffer._check()
    other.buffer._check()


def test_a_block_whose_last_slice_is_dropped_in_the_middle_may_be_trimmed() -> None:
    """While another one is received into, of which nothing is shown yet."""
    pool = Pool(1024, idle=1)
    inbox = Inbox(pool, limit=65536)
    kept: list[SliceBuffer] = []

    class Source:
        def __init__(self, content: bytes) -> None:
            self.content = content

        def recv_into(self, view: memoryview) -> int:
            kept.clear()
            pool.trim()
            size = min(len(view), len(self.content))
            view[:size] = self.content[:size]
            return size

    for number in range(50):
        content = bytes([number]) * 500
        size = inbox.receive(Source(content))
        kept.append(inbox.buffer.take(size))
        assert kept == [content[:size]]
        assert pool.nbytes <= 2048


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a class may export a buffer by itself from 3.12 on")
def test_a_part_that_puts_itself_when_it_is_asked_for_its_buffer() -> None:
    outbox = Outbox()

    class Part:
        def __init__(self) -> None:
            self.asked = 0

        def __buffer__(self, flags: int) -> memoryview:
            self.asked += 1
            if self.asked < 5:
                outbox.put(self)
            return memoryview(b"part%d" % self.asked)

    outbox.put(Part())
    sink = Sink(lambda: None)
    outbox.flush(sink)
    assert sink.got == b"part5" * 5
    assert not outbox.pending


def test_callbacks_of_a_stream_come_back_into_it() -> None:
    """A parser that sends, a part that is let go of in the middle of a flush and sends, a reader in a parser."""
    told: list[str] = []

    async def echo(stream: Stream) -> None:
        def message(r: Any) -> bytes:
            data: bytes = r.take_bytes(r.u8())
            if not told:
                with pytest.raises(RuntimeError):
                    stream.buffer.clear()  # not while it is parsed
                told.append("parsed")
            return data

        async for data in stream.messages(message):
            with pytest.raises(Busy):
                await _twice(stream)
            await stream.send(data)

    async def _twice(stream: Stream) -> None:
        waiting = stream.receive()
        waiting.send(None)
        try:
            await stream.receive()
        finally:
            waiting.close()

    async def main() -> None:
        async with (
            await start_server(echo, "127.0.0.1", 0) as server,
            await open_connection(*server.sockets[0].getsockname()) as stream,
        ):
            for size in (1, 100, 255):
                await stream.send(bytes([size]) + bytes(size))
                assert await stream.take(size) == bytes(size)

    run(main)
    assert told == ["parsed"]
