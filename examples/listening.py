"""What the example servers share: how they say where they listen, and how they end."""

from __future__ import annotations

import asyncio
import signal

from bytebufs import aio

from .addresses import Address

__all__ = ["serve_until_told"]


async def serve_until_told(server: aio.Server, *, grace: float) -> None:
    """Say where a server listens, wait for SIGTERM or SIGINT, and close it: what has begun has ``grace`` seconds."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)  # until the loop is closed
    print(f"listening on {Address(*server.sockets[0].getsockname()[:2])}", flush=True)
    await told.wait()
    await server.close(grace=grace)
