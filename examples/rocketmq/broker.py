"""The broker, and the name server in front of it: a store, tables, and a connection for each client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from bytebufs.aio import start_server

from .connection import Connection, Room
from .consumers import Groups, Offsets
from .membership import Membership
from .pulling import Pulling
from .routes import Routes
from .sending import Sending
from .topics import Topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bytebufs.aio import Server, Stream

    from .connection import Handler
    from .limits import Limits
    from .store import Store

__all__ = ["Broker", "serving"]

_SWEEP: Final = 1.0
"""Seconds between two looks for connections and members that have gone silent."""
_CLEAN: Final = 10
"""So many looks are between two deletions of old files: RocketMQ's cleanResourceInterval is 10 seconds."""


class Broker:
    """What answers requests, and what it has to know for that. ``serving`` makes one that listens."""

    def __init__(self, store: Store, folder: Path, limits: Limits, *, auto_create: bool) -> None:
        self._store = store
        self._limits = limits
        self._room = Room(limits.large)
        self._groups = Groups(limits)
        self._connections: set[Connection] = set()
        self._offsets = Offsets(folder / "offsets.json", limits)
        topics = Topics(folder / "topics.json", limits, auto_create=auto_create)
        pulling = Pulling(store, self._groups, self._offsets, topics, limits)
        self._handlers: dict[int, Handler] = {
            **Routes(topics).handlers,
            **Sending(store, topics, limits).handlers,
            **pulling.handlers,
            **Membership(store, self._groups, self._offsets, topics, limits).handlers,
        }

    async def serve(self, stream: Stream) -> None:
        """Answer one client."""
        connection = Connection(stream, self._handlers, self._limits, self._room)
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._groups.lose(connection)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep offsets, and look after who has gone silent. At the end all offsets are on the disk."""
        sweeper = asyncio.create_task(self._sweep())
        keeper = asyncio.create_task(self._offsets.keep())
        try:
            yield
        finally:
            sweeper.cancel()
            self._offsets.finish()
            await keeper

    async def _sweep(self) -> None:
        turn = 0
        while True:
            turn += 1
            await asyncio.sleep(_SWEEP)
            self._groups.expire()
            for connection in [*self._connections]:
                if connection.is_idle():
                    connection.abort()
            if turn % _CLEAN == 0:
                with contextlib.suppress(OSError):  # the next time, perhaps
                    self._store.delete_old()


@contextlib.asynccontextmanager
async def serving(
    store: Store, folder: Path, limits: Limits, host: str, port: int, *, auto_create: bool
) -> AsyncIterator[Server]:
    """Have a broker that listens, with its tables in a folder. At the end what it has begun has ``grace_time``."""
    broker = Broker(store, folder, limits, auto_create=auto_create)
    async with broker.running():
        server = await start_server(
            broker.serve, host, port,
            family=socket.AF_INET,  # a record has no room for other addresses
            limit=limits.small, connections=limits.connections,
        )  # fmt: skip
        try:
            yield server
        finally:
            await server.close(grace=limits.grace_time)
