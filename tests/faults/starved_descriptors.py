"""Calls that need a descriptor while there is none: refused in the system's words, with nothing changed and none lost.

    python -m tests.faults.starved_descriptors

Prints nothing.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from bytebufs import FileRegion, Inbox, MappedFile, Outbox, flush, transfer
from bytebufs.aio import Stream, open_connection, open_unix_connection, start_server, start_unix_server

from ..descriptors import descriptors, left_open
from .trials import alternating, content_of

CONTENT: Final = content_of(300_000)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Take all that the process may have."""
    held = []
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        yield
    finally:
        for fd in held:
            os.close(fd)


def refused(call: Callable[[], Any]) -> None:
    """A call is refused for want of a descriptor, twice, and works once there are some; it keeps none."""
    before = descriptors()
    with no_descriptors():
        for _ in range(2):
            try:
                call()
            except OSError as error:
                assert error.errno == errno.EMFILE, error  # noqa: PT017  # no pytest here
                assert getattr(error, "bytes_flushed", 0) == 0  # noqa: PT017
            else:
                raise AssertionError("it needs none")
    assert left_open() == before
    call()


def served(call: Callable[[], Any]) -> None:
    """A call needs no descriptor."""
    with no_descriptors():
        call()


def files(file: Any) -> None:
    refused(lambda: FileRegion(file.name))
    refused(lambda: FileRegion(file))
    refused(lambda: MappedFile(file.name))
    refused(lambda: MappedFile(file))
    region = FileRegion(file)
    look = served if sys.version_info >= (3, 13) else refused  # before that, a map keeps one of its own
    look(lambda: region[:] == CONTENT)
    assert region[:].find(CONTENT[-5:]) == len(CONTENT) - 5


def sending(file: Any) -> None:
    b = alternating(CONTENT)
    b.splice(0, 100_000, FileRegion(file, 0, 100_000)[:])
    outbox = Outbox()
    outbox.put(b)
    with tempfile.TemporaryFile(buffering=0) as target:
        served(lambda: flush(b, target))
        served(lambda: transfer(file, target))
        served(lambda: [outbox.flush(target) for _ in range(3)])
        assert not outbox.pending
        refused(lambda: transfer(file.name, target))
        target.seek(0)
        assert target.read() == 4 * CONTENT
    b._check()
    assert b == CONTENT


def waiting() -> None:
    """Waiting for a sink in non-blocking mode needs none, nor does receiving."""
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        inbox = Inbox(limit=len(CONTENT))
        outbox = Outbox()
        outbox.put(CONTENT)
        with no_descriptors():
            while outbox.pending or len(inbox.buffer) < len(CONTENT):
                outbox.flush(here)
                inbox.receive(there)
        inbox.buffer._check()
        assert inbox.buffer == CONTENT


async def connections(folder: str) -> None:
    async def echo(stream: Stream) -> None:
        while await stream.receive():
            await stream.send(stream.buffer.take(len(stream.buffer)))

    async def refused_to(make: Callable[[], Any]) -> None:
        before = descriptors()
        with no_descriptors():
            for _ in range(2):
                try:
                    await make()
                except OSError as error:
                    assert error.errno == errno.EMFILE, error  # noqa: PT017
                else:
                    raise AssertionError("it needs none")
        assert left_open() == before

    async with asyncio.timeout(60), await start_server(echo, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        async with await open_connection(*address) as stream:
            await stream.send(b"before")
            assert await stream.take(6) == b"before"
            await refused_to(lambda: open_connection(*address))
            await refused_to(lambda: open_unix_connection(f"{folder}/none"))
            await refused_to(lambda: start_server(echo, "127.0.0.1", 0))
            await refused_to(lambda: start_unix_server(echo, f"{folder}/socket"))
            with no_descriptors():
                await stream.send(b"while")
                assert await stream.take(5) == b"while"
        async with await open_connection(*address) as stream:
            await stream.send(b"after")
            assert await stream.take(5) == b"after"


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        files(file)
        sending(file)
    waiting()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(connections(folder))


if __name__ == "__main__":
    main()
