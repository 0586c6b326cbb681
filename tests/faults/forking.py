"""Forks in the middle of things: parent and child each go on with what was theirs.

    python -m tests.faults.forking CASE

A program: who has threads, as pytest's workers do, is warned not to fork.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from typing import Final, NoReturn

from bytebufs import (
    CompositeBuffer,
    FileRegion,
    Inbox,
    LengthPrefixed,
    MappedFile,
    Outbox,
    Pool,
    Reader,
    allocate,
    flush,
)
from bytebufs.aio import Stream, open_connection, start_server

from .trials import alternating, content_of

CONTENT: Final = content_of(100_000)


def in_child(use: Callable[[], object]) -> None:
    """Have a child use its copy and end, and wait for that. Fails if the child does."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        # A loop may have a thread that looks names up. Python 3.12 and newer warn of that; the child leaves it alone.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child has failed"
    else:
        _end_with(use)


def _end_with(use: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        use()
        status = 0
    except BaseException:  # noqa: BLE001  # it goes no further than this process
        traceback.print_exc()
    finally:
        os._exit(status)


def in_a_flush() -> None:
    """Each process sends to its own copy of an object."""
    b = alternating(CONTENT)
    came: list[bytes] = []

    class Sink:
        def write(self, data: memoryview) -> int:
            if len(came) == 5:
                came.append(b"")
                if not (pid := os.fork()):
                    _end_with(lambda: go_on(self))
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            came.append(bytes(data[:3000]))
            return min(len(data), 3000)

    def go_on(sink: Sink) -> None:
        flush(b[len(b"".join(came)) :], sink)
        whole()

    def whole() -> None:
        b._check()
        assert b"".join(came) == CONTENT

    assert flush(b, Sink()) == len(CONTENT)
    whole()


def in_a_parser() -> None:
    """A message that a child has parsed is taken from the child's buffer alone."""
    b = alternating(CONTENT)

    def message(r: Reader) -> bytes:
        first = r.take_bytes(1000)
        in_child(lambda: r.take_bytes(99_000) == CONTENT[1000:] or os._exit(2))
        return first + r.take_bytes(99_000)

    assert b.parse(message, limit=100_000) == CONTENT
    b._check()
    assert not b


def in_a_frame() -> None:
    """A framer that is half fed goes on in both."""
    framer = LengthPrefixed(4, limit=200_000)
    stream = len(CONTENT).to_bytes(4, "big") + CONTENT
    assert not list(framer.feed(stream[:50_000]))

    def rest() -> None:
        [frame] = framer.feed(stream[50_000:])
        assert frame == CONTENT
        framer._buffer._check()

    in_child(rest)
    rest()


def with_a_pool() -> None:
    """Parent and child receive into the same block, each its own: neither sees what the other one got."""
    pool = Pool(65536)
    first, second = Inbox(pool, limit=65536), Inbox(pool, limit=65536)
    room = first.room()
    room[:5] = b"first"
    first.filled(5)
    kept = first.buffer.take(5)

    def use(name: bytes) -> None:
        here, there = socket.socketpair()
        for inbox in (first, second):
            there.send(name * 1000)
            while len(inbox.buffer) < 1000 * len(name):
                inbox.receive(here)
            assert inbox.buffer == name * 1000, bytes(inbox.buffer[:20])
            inbox.buffer._check()
        assert kept == b"first"
        here.close()
        there.close()

    in_child(lambda: use(b"child"))
    use(b"parent")


def with_a_lease() -> None:
    """Memory that is lent out to be filled is each process's own."""
    inbox = Inbox(limit=100)
    room = inbox.room()
    b = CompositeBuffer([b"x"])
    lease = b.reserve(5)

    def fill(name: bytes) -> None:
        room[:5] = lease[:5] = name
        inbox.filled(5)
        assert inbox.buffer == name
        assert b == b"x" + name
        b._check()

    in_child(lambda: fill(b"child"))
    assert bytes(room[:5]) != b"child"
    fill(b"other")


def with_memory() -> None:
    """What ``allocate`` gives is not shared with children; nor is what is mapped with access="copy"."""
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        mapped = MappedFile(file, access="copy")
        region = CompositeBuffer([FileRegion(file)])
        block = allocate(100_000)
        block.write_at(0, b"before")

        def write(name: bytes) -> None:
            block.write_at(0, name)
            mapped[:].write_at(0, name)
            assert block[:6] == mapped[:6] == name
            assert region == CONTENT

        in_child(lambda: write(b"child!"))
        assert block[:6] == b"before"
        assert mapped[:] == CONTENT
        write(b"parent")


def with_a_shared_map() -> None:
    """A map that writes to its file does so in a child, too: the parent sees it, as it would see any writer."""
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        mapped = MappedFile(file, access="write")
        whole = mapped[:]
        in_child(lambda: whole.write_at(0, b"child"))
        assert whole[:5] == b"child"
        assert whole[5:] == CONTENT[5:]


def with_an_outbox() -> None:
    """What a child lets go of, its parent still sends."""
    outbox = Outbox()
    sent: list[int] = []
    outbox.put(alternating(CONTENT), on_sent=lambda: sent.append(os.getpid()))
    in_child(outbox.close)
    with tempfile.TemporaryFile(buffering=0) as file:
        while outbox.pending:
            outbox.flush(file)
        file.seek(0)
        assert file.read() == CONTENT
    assert sent == [os.getpid()]


def with_a_server() -> None:
    """A child that leaves by ``os._exit``, having looked at what had come, harms no connection of its parent's."""

    async def echo(stream: Stream) -> None:
        while await stream.receive():
            await stream.send(stream.buffer.take(len(stream.buffer)))

    async def main() -> None:
        async with asyncio.timeout(60), await start_server(echo, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            async with await open_connection(*address) as old:
                await old.send(b"first")
                while await old.receive() and len(old.buffer) < 5:
                    pass
                in_child(lambda: old.buffer.take_bytes(5) == b"first" or os._exit(2))
                assert old.buffer == b"first"
                await old.send(b"more")
                assert await old.take(9) == b"firstmore"
                async with await open_connection(*address) as new:
                    await new.send(b"new")
                    assert await new.take(3) == b"new"

    asyncio.run(main())


CASES: Final[dict[str, Callable[[], None]]] = {
    "in a flush": in_a_flush,
    "in a parser": in_a_parser,
    "in a frame": in_a_frame,
    "with a pool": with_a_pool,
    "with a lease": with_a_lease,
    "with memory": with_memory,
    "with a shared map": with_a_shared_map,
    "with an outbox": with_an_outbox,
    "with a server": with_a_server,
}

if __name__ == "__main__":
    for case in sys.argv[1:]:
        CASES[case]()
        print(case)  # noqa: T201
