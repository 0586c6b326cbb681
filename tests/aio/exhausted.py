"""A server in a process that has no descriptors left, for test_serving.

``main`` is given the name of a loop, and what the server does once it has said that it cannot accept: "close", or
"serve" who has connected, when there are descriptors again.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import Any
from unittest import mock

from bytebufs import aio
from bytebufs.aio import serving

from .loops import LOOPS

__all__ = ["main"]


async def _serve(then: str) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def handler(stream: aio.Stream) -> None:
        await stream.send(b"served")

    async with asyncio.timeout(20), await aio.start_server(handler, "127.0.0.1", 0) as server:
        client = socket.create_connection(server.sockets[0].getsockname())
        client.settimeout(0)
        held = _all_descriptors()
        while not reported:  # noqa: ASYNC110  # nobody else tells
            await asyncio.sleep(0)
        assert reported[0]["message"] == "bytebufs.aio: nothing is accepted for a while", reported
        assert isinstance(reported[0]["exception"], OSError)
        if then == "close":
            await server.close()
            return
        for sock in held:
            sock.close()
        assert await asyncio.get_running_loop().sock_recv(client, 100) == b"served"
        assert len(reported) == 1
        client.close()


def _all_descriptors() -> list[socket.socket]:
    held = []
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    while True:
        try:
            held.append(socket.socket())
        except OSError:
            return held


def main(arguments: list[str]) -> None:
    """Run the server."""
    loop, then = arguments
    pause = mock.patch.object(serving, "_PAUSE", 0.01)
    with pause, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(_serve(then))
