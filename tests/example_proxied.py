"""A proxy in the loop of a test, between a server whose answers are scripted and clients that speak bytes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from bytebufs import aio
from examples.http_proxy.limits import Limits, Patience
from examples.http_proxy.proxy import Proxy

from .sinks import PATIENCE

HOST: Final = "127.0.0.1"

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Script: TypeAlias = Callable[["Call"], Awaitable[bool | None]]
"""Answers a request. False: it has closed the connection, or wants that."""

OK: Final = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\n\r\nok"


class Call:
    """A request as the server behind got it."""

    def __init__(self, head: bytes, reader: Reader, writer: Writer, connection: int) -> None:
        self.head = head
        self.reader = reader
        self.writer = writer
        self.connection = connection
        """Which one of its connections it came by."""

    @property
    def lines(self) -> list[str]:
        return self.head.decode("latin-1").split("\r\n")[:-2]

    async def body(self) -> bytes:
        """Return the body, of a length that was announced or in chunks, with these taken off."""
        length = re.search(rb"\r\nContent-Length: (\d+)\r\n", self.head)
        if length:
            return await self.reader.readexactly(int(length[1]))
        data = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            data += (await self.reader.readexactly(size + 2))[:-2]
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            data += b"|" + line[:-2]
        return data

    async def answer(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()


async def ok(call: Call) -> None:
    """Answer anything."""
    await call.answer(OK)


def answering(data: bytes, *, ends: bool = False) -> Script:
    """Answer by these bytes, and end then, or go on."""

    async def script(call: Call) -> bool:
        await call.answer(data)
        return not ends

    return script


class Place:
    """A proxy, where it is, and what has come to the server behind it."""

    def __init__(self, proxy: Proxy, server: aio.Server, port: int, calls: list[Call], log: list[str]) -> None:
        self.proxy = proxy
        self.server = server
        self.port = port
        self.calls = calls
        self.log = log

    async def connect(self) -> tuple[Reader, Writer]:
        return await asyncio.open_connection(HOST, self.port)

    async def ask(self, *pieces: bytes) -> bytes:
        """Send in a connection of its own, and return all that comes until that ends."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        finally:
            await close(writer)


async def close(writer: Writer) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        pass


async def answer_to(reader: Reader) -> bytes:
    """Read an answer of a length that was announced."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def get(target: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", "Host: h", *fields, "", ""]).encode("latin-1")


async def until(is_so: Callable[[], object]) -> None:
    """Give others their turn until it is so. The test is bounded."""
    while not is_so():  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.001)


@asynccontextmanager
async def proxied(script: Script, limits: Limits | None = None, **patience: float) -> AsyncIterator[Place]:
    """Run a proxy before a server that answers each request by a script."""
    calls: list[Call] = []
    connections = 0
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        here = connections
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            while True:
                call = Call(await reader.readuntil(b"\r\n\r\n"), reader, writer, here)
                calls.append(call)
                if await script(call) is False:
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, asyncio.CancelledError):
            pass  # a task of asyncio's server that is cancelled is reported as an error, by 3.11
        finally:
            writer.close()
            running.discard(task)

    log: list[str] = []
    behind = await asyncio.start_server(serve, HOST, 0)
    try:
        proxy = Proxy(behind.sockets[0].getsockname(), limits or Limits(), Patience(**patience), log.append)
        async with await proxy.start(HOST, 0) as server:
            try:
                yield Place(proxy, server, server.sockets[0].getsockname()[1], calls, log)
            finally:
                proxy.close()
        proxy.close()
    finally:
        behind.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine, for a while at most, and see to it that it leaves no task and reports no error."""

    async def bounded() -> None:
        loop = asyncio.get_running_loop()
        reported: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        async with asyncio.timeout(PATIENCE):
            await main()
            await until(lambda: len(asyncio.all_tasks()) == 1)  # those of asyncio's servers end in a turn or two
        assert not reported, reported

    asyncio.run(bounded())
