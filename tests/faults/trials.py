"""Operations on real buffers, sockets, pipes and files, each to be disturbed and then brought to its end.

A trial conserves bytes: what has come out of it and what is left in it are its content, in this order, before, after
a fault, and at the end, when nothing is left.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from bytebufs import (
    BrokenSink,
    BrokenSource,
    CompositeBuffer,
    Delimited,
    FileRegion,
    Inbox,
    LengthPrefixed,
    MappedFile,
    Outbox,
    Pool,
    SliceBuffer,
    allocate,
    flush,
    transfer,
)
from bytebufs.aio import Stream, open_connection, start_server

__all__ = ["TRIALS", "Trial"]

_T = TypeVar("_T")

_PARTS: Final = 16

PATIENCE: Final = 60
"""Seconds that a thread may take before a trial fails instead of hanging."""


class Trial(ABC):
    """An operation and the content that it has to bring through."""

    error: type[Exception] = MemoryError
    """What is documented for a lack of memory."""
    needs_memory = True
    """Whether it wants a piece of memory as large as its content, or half of it."""
    blocks = False
    """Whether it waits for somebody else."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.came: list[bytes] = []
        self.is_calling = False
        """Whether it is the library that is interrupted."""
        self.is_over = False
        """Whether nothing is to interrupt it any more."""
        self.released = threading.Event()
        """Until then the other side leaves it waiting."""

    def begin(self) -> None:
        """Have the others begin who take part in it."""
        self.came.clear()

    def call(self, call: Callable[[], _T]) -> _T:
        """Make a call that may be interrupted."""
        self.is_calling = True
        try:
            return call()
        finally:
            self.is_calling = False

    @abstractmethod
    def go(self) -> None:
        """Go on to the end. After an error: again."""

    @abstractmethod
    def buffers(self) -> list[CompositeBuffer]:
        """Return what may not be half-changed."""

    def left(self) -> bytes:
        """Return what has not come."""
        return b"".join(bytes(b) for b in self.buffers())

    def assert_whole(self) -> None:
        """Nothing is lost, doubled or half-changed."""
        for buffer in self.buffers():
            buffer._check()
        came = b"".join(self.came)
        left = self.left()
        assert len(came) + len(left) == len(self.content), (len(came), len(left), len(self.content))
        assert came + left == self.content, "other bytes"

    def assert_done(self) -> None:
        self.assert_whole()
        assert b"".join(self.came) == self.content, "not all has come"

    def go_on(self) -> str:
        """Go on behind an exception out of a signal handler, or be told that nothing may. Returns which."""
        self.go()
        self.assert_done()
        return "went on"

    def close(self) -> None:
        """Give back what is the system's."""
        self.is_over = True


def cut(content: bytes, parts: int = _PARTS) -> list[memoryview]:
    """Return a content in about so many parts that are views."""
    size = max(1, len(content) // parts)
    return [memoryview(content)[at : at + size] for at in range(0, len(content), size)]


def alternating(content: bytes) -> CompositeBuffer:
    """Return a content in parts that do not merge."""
    return CompositeBuffer([bytearray(part) if number % 2 else bytes(part) for number, part in enumerate(cut(content))])


# -- taking and joining ----------------------------------------------------------------------------------------


class Taking(Trial):
    """A call that takes all bytes of a composite at once."""

    def __init__(self, content: bytes, call: Callable[[CompositeBuffer], bytes]) -> None:
        super().__init__(content)
        self._buffer = alternating(content)
        self._call = call

    def go(self) -> None:
        if self._buffer:
            self.came.append(self._call(self._buffer))

    def buffers(self) -> list[CompositeBuffer]:
        return [self._buffer]


class Changing(Trial):
    """A call that changes how the bytes lie; afterwards they are taken part by part."""

    def __init__(self, content: bytes, call: Callable[[CompositeBuffer], object]) -> None:
        super().__init__(content)
        self._buffer = alternating(content)
        self._call = call

    def go(self) -> None:
        if self._buffer:
            self._call(self._buffer)
            self.came += map(bytes, self._buffer.views())
            self._buffer.clear()

    def buffers(self) -> list[CompositeBuffer]:
        return [self._buffer]


def _parse(b: CompositeBuffer) -> bytes:
    size = len(b)
    taken = b.parse(lambda r: r.take_bytes(size), limit=size)
    assert taken is not None
    return taken


def _reserve(b: CompositeBuffer) -> None:
    size = len(b)
    b.reserve(size)
    b.truncate(size)


def _compact(b: CompositeBuffer) -> None:
    whole = CompositeBuffer()
    for part in list(b.views()):
        owner = bytearray(3 * len(part))
        owner[: len(part)] = part
        whole.append(memoryview(owner)[: len(part)])
    whole.compact()
    assert whole == b


def _splice(b: CompositeBuffer) -> None:
    size = len(b)
    b.splice(size // 2, size // 2, bytes(size))
    try:
        b.splice(size // 2, size // 2 + size, b"")
    except MemoryError:
        b.truncate(size // 2)
        raise


class Doubling(Trial):
    """A buffer appended to itself: its list of parts has to be longer than there is memory for."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content[:4])
        self._least = max(1024, len(content) // 16)  # a place in a list is 8 bytes
        self._buffer = CompositeBuffer([b"ab", b"cd"])
        self.content = b"abcd"

    def go(self) -> None:
        while self._buffer.part_count < self._least:
            self._buffer.append(self._buffer[:])
        assert self._buffer[-4:] == b"abcd"
        self._buffer.truncate(4)
        self.came.append(self._buffer.take_bytes(4))

    def buffers(self) -> list[CompositeBuffer]:
        return [self._buffer]

    def left(self) -> bytes:
        left = self._buffer
        assert left.count(b"abcd") * 4 == len(left)
        return bytes(left[:4])


class Framing(Trial):
    """A framer that is fed piece by piece, whose frames are joined."""

    def __init__(self, content: bytes, *, delimited: bool) -> None:
        super().__init__(content)
        size = len(content)
        self._framer = Delimited(b"\r\n\r\n\r\n", limit=size) if delimited else LengthPrefixed(4, limit=size + 4)
        self._stream = CompositeBuffer([content, b"\r\n\r\n\r\n"] if delimited else [size.to_bytes(4), content])
        self._overhead = len(self._stream) - size
        self._frames: list[SliceBuffer] = []

    def go(self) -> None:
        while self._stream:
            piece = self._stream[: max(1, len(self.content) // _PARTS)]
            memory = bytearray(piece)
            self._frames += self._framer.feed(memory)
            self._stream.skip(len(piece))
        while self._frames:
            self.came.append(bytes(self._frames[0]))
            del self._frames[0]

    def buffers(self) -> list[CompositeBuffer]:
        return [self._framer._buffer, self._stream]

    def assert_whole(self) -> None:
        for buffer in self.buffers():
            buffer._check()
        there = sum(len(b) for b in [*self.came, *map(bytes, self._frames), *map(bytes, self.buffers())])
        assert there in {len(self.content), len(self.content) + self._overhead}, there

    def left(self) -> bytes:
        return b""


# -- memory and maps -------------------------------------------------------------------------------------------


class Mapping(Trial):
    """A file that is looked at by way of a map."""

    error: type[Exception] = OSError

    def __init__(self, content: bytes, look: Callable[[Any], bytes]) -> None:
        super().__init__(content)
        self._file = tempfile.TemporaryFile()
        self._file.write(content)
        self._file.flush()
        self._look = look

    def go(self) -> None:
        if not self.came:
            self.came.append(self._look(self._file))

    def buffers(self) -> list[CompositeBuffer]:
        return []

    def left(self) -> bytes:
        self._file.seek(0)
        return b"" if self.came else self._file.read()

    def close(self) -> None:
        self._file.close()


def _of_region(file: Any) -> bytes:
    region = FileRegion(file)
    looked_at = CompositeBuffer([b"", region])
    assert looked_at.find(b"no such bytes") == -1
    return b"".join(map(bytes, looked_at.views()))


def _of_map(file: Any) -> bytes:
    return b"".join(map(bytes, MappedFile(file)[:].views()))


class Allocating(Trial):
    """Memory outside the heap, filled and shown."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._buffer = alternating(content)

    def go(self) -> None:
        if self._buffer:
            block = allocate(len(self.content))
            self._buffer.copy_into(block.view())
            self._buffer.clear()
            self.came.append(bytes(block))

    def buffers(self) -> list[CompositeBuffer]:
        return [self._buffer]


# -- receiving -------------------------------------------------------------------------------------------------


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have threads that are started here spared signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_thread(call: Callable[[], object]) -> threading.Thread:
    with undisturbed():
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
    return thread


def connected(kind: str) -> tuple[socket.socket, socket.socket]:
    """Return two ends of a connection; what the first one sends is soon more than the system holds."""
    if kind == "unix":
        here, there = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            here = socket.create_connection(server.getsockname())
            there, _ = server.accept()
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    return here, there


class Receiving(Trial):
    """An inbox whose source gives a little at a time, in blocks so large that there may be no memory for one."""

    blocks = True

    def __init__(self, content: bytes, kind: str) -> None:
        super().__init__(content)
        self._pool = Pool(max(4096, len(content) // 2))
        self._inbox = Inbox(self._pool, limit=len(content))
        self._kind = kind
        self._to, self._from = self._ends()
        self._sender: threading.Thread | None = None

    def _ends(self) -> tuple[Any, Any]:
        if self._kind in {"pipe", "descriptor"}:
            there, here = os.pipe()
            return os.fdopen(here, "wb", 0), os.fdopen(there, "rb", 0)
        return connected(self._kind)

    def _send(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError), self._to:  # who is broken reads no more
            for number, piece in enumerate(cut(self.content, 100)):
                if number == 50:
                    self.released.wait(PATIENCE)
                if isinstance(self._to, socket.socket):
                    self._to.sendall(piece)
                else:
                    view = piece
                    while view:
                        view = view[self._to.write(view) :]

    def begin(self) -> None:
        self._sender = in_thread(self._send)

    def go(self) -> None:
        source = self._from.fileno() if self._kind == "descriptor" else self._from
        while not self._inbox.ended:
            if len(self._inbox.buffer) > len(self.content) // 4:
                self._take(len(self._inbox.buffer) // 2)
            self.call(lambda: self._inbox.receive(source))
        self._take(len(self._inbox.buffer))

    def _take(self, size: int) -> None:
        self.came.append(bytes(self._inbox.buffer[:size]))
        self._inbox.buffer.skip(size)

    def go_on(self) -> str:
        try:
            return super().go_on()
        except BrokenSource:
            self.assert_whole()
            return "is broken"

    def buffers(self) -> list[CompositeBuffer]:
        return [self._inbox.buffer]

    def assert_whole(self) -> None:
        self._inbox.buffer._check()
        assert self.content.startswith(b"".join(self.came) + bytes(self._inbox.buffer)), "other bytes"

    def close(self) -> None:
        self._from.close()
        if self._sender is None:
            self._to.close()
        else:
            self._sender.join(PATIENCE)


# -- sending ---------------------------------------------------------------------------------------------------


class Sink:
    """An object that takes some bytes at a time."""

    def __init__(self, came: list[bytes]) -> None:
        self._came = came

    def write(self, data: memoryview) -> int:
        self._came.append(bytes(data[:4000]))
        return min(4000, len(data))


class Sending(Trial):
    """What goes to somebody who reads slowly: by `flush`, by an Outbox, by `transfer`."""

    needs_memory = False
    blocks = True

    def __init__(self, content: bytes, way: str, sink: str, *, of_file: bool = False) -> None:
        super().__init__(content)
        self._way = way
        self._kind = sink
        self._buffer = alternating(content)
        self._outbox = Outbox()
        self._file = tempfile.TemporaryFile()
        self._file.write(content)
        self._file.flush()
        if of_file:
            half = len(content) // 2
            self._buffer = CompositeBuffer([content[:half], FileRegion(self._file, half)])
        self._outbox.put(self._buffer)
        self.went = 0
        self._to, self._from = self._ends()
        self._reader: threading.Thread | None = None

    def _ends(self) -> tuple[Any, Any]:
        if self._kind == "pipe":
            there, here = os.pipe()
            return os.fdopen(here, "wb", 0), os.fdopen(there, "rb", 0)
        if self._kind == "file":
            return tempfile.TemporaryFile(buffering=0), None
        if self._kind == "object":
            return Sink(self.came), None
        return connected(self._kind)

    def _read(self) -> None:
        self.released.wait(PATIENCE)
        read = self._from.recv if isinstance(self._from, socket.socket) else self._from.read
        while piece := read(30_000):
            self.came.append(piece)

    def begin(self) -> None:
        if self._from is not None:
            self._reader = in_thread(self._read)

    def go(self) -> None:
        if self._way == "outbox":
            while self._outbox.pending:
                self.went += self.call(lambda: self._outbox.flush(self._to))
            return
        call: Callable[[], object] = lambda: flush(self._buffer[self.went :], self._to)
        if self._way == "transfer":
            call = lambda: transfer(self._file, self._to, self.went)
        try:
            self.call(call)
        except BaseException as error:
            self.went += getattr(error, "bytes_flushed", 0)
            raise
        self.went = len(self.content)

    def go_on(self) -> str:
        if self._way == "outbox":
            try:
                return super().go_on()
            except BrokenSink:
                self._assert_came_at_least(len(self.content) - self._outbox.pending)
                return "is broken"
        self._assert_came_at_least(self.went)
        return "is told the least"

    def _assert_came_at_least(self, went: int) -> None:
        """What came is a beginning, and no shorter than is said. (How much more the sink took, nobody knows.)"""
        came = self._all_that_came()
        assert self.content.startswith(came), "other bytes came"
        assert went <= len(came), (went, len(came))

    def _all_that_came(self) -> bytes:
        if self._kind == "file":
            self._to.seek(0)
            self.came.append(self._to.read())
        elif self._reader is not None:
            self._to.close()
            self._reader.join(PATIENCE)
            assert not self._reader.is_alive(), "the reader never saw an end"
        return b"".join(self.came)

    def buffers(self) -> list[CompositeBuffer]:
        return [self._buffer, self._outbox._queue]

    def assert_whole(self) -> None:
        for buffer in self.buffers():
            buffer._check()
        assert self._buffer == self.content
        if self._way == "outbox":
            assert self._outbox.pending == len(self._outbox._queue)
            assert self.content.endswith(bytes(self._outbox._queue))

    def assert_done(self) -> None:
        self.assert_whole()
        assert self._all_that_came() == self.content, "other bytes came"

    def close(self) -> None:
        for file in (self._file, self._to, self._from):
            if hasattr(file, "close"):
                file.close()


class Echoing(Trial):
    """A server of this library's that sends back what a client of this library's sends."""

    needs_memory = False

    def go(self) -> None:
        self.came.clear()
        asyncio.run(self._exchange())

    async def _exchange(self) -> None:
        size = len(self.content)

        async def echo(stream: Stream) -> None:
            while await stream.receive():
                await stream.send(stream.buffer.take(len(stream.buffer)))

        async with (
            await start_server(echo, "127.0.0.1", 0, limit=65536) as server,
            await open_connection(*server.sockets[0].getsockname(), limit=size) as stream,
        ):
            for piece in cut(self.content):
                await stream.send(piece)
                self.came.append(bytes(await stream.take(len(piece))))
            await stream.send_eof()
            assert not await stream.receive()

    def buffers(self) -> list[CompositeBuffer]:
        return []

    def left(self) -> bytes:
        return b"" if self.came else self.content


TRIALS: Final[dict[str, Callable[[bytes], Trial]]] = {
    "take_bytes": lambda c: Taking(c, lambda b: b.take_bytes(len(b))),
    "parse": lambda c: Taking(c, _parse),
    "bytes": lambda c: Changing(c, bytes),
    "contiguous": lambda c: Changing(c, lambda b: b.contiguous()),
    "consolidate": lambda c: Changing(c, lambda b: b.consolidate()),
    "compact": lambda c: Changing(c, _compact),
    "splice": lambda c: Changing(c, _splice),
    "reserve": lambda c: Changing(c, _reserve),
    "hex": lambda c: Changing(c, lambda b: b.hex()),
    "append": Doubling,
    "LengthPrefixed": lambda c: Framing(c, delimited=False),
    "Delimited": lambda c: Framing(c, delimited=True),
    "FileRegion": lambda c: Mapping(c, _of_region),
    "MappedFile": lambda c: Mapping(c, _of_map),
    "allocate": Allocating,
    "receive-unix": lambda c: Receiving(c, "unix"),
    "receive-tcp": lambda c: Receiving(c, "tcp"),
    "receive-pipe": lambda c: Receiving(c, "pipe"),
    "receive-descriptor": lambda c: Receiving(c, "descriptor"),
    "flush-tcp": lambda c: Sending(c, "flush", "tcp"),
    "flush-pipe": lambda c: Sending(c, "flush", "pipe"),
    "flush-file": lambda c: Sending(c, "flush", "file"),
    "flush-object": lambda c: Sending(c, "flush", "object"),
    "flush-region-tcp": lambda c: Sending(c, "flush", "tcp", of_file=True),
    "flush-region-object": lambda c: Sending(c, "flush", "object", of_file=True),
    "outbox-tcp": lambda c: Sending(c, "outbox", "tcp"),
    "outbox-region-unix": lambda c: Sending(c, "outbox", "unix", of_file=True),
    "outbox-pipe": lambda c: Sending(c, "outbox", "pipe"),
    "transfer-tcp": lambda c: Sending(c, "transfer", "tcp"),
    "transfer-pipe": lambda c: Sending(c, "transfer", "pipe"),
    "transfer-file": lambda c: Sending(c, "transfer", "file"),
    "transfer-object": lambda c: Sending(c, "transfer", "object"),
    "aio": Echoing,
}


def content_of(size: int) -> bytes:
    """Return bytes that differ wherever one looks."""
    return random.Random(size).randbytes(size)
