"""What connections may do, and room for the requests that are under way.

A request is in memory from its first byte until its answer is made. Small ones are bounded by the number of
connections; larger ones take room that all of them share, and whoever finds none is not read from until there is some:
it waits with the system, and so do its client's sends. Those who have room must have sent all within ``arriving``
seconds, so that a slow one keeps other large ones waiting no longer than that, and small ones not at all. Producers
have a room of their own: others' requests may wait for long, for a group or for a log to grow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import final

__all__ = ["ConnectionLimits", "Room"]


@final
@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection may do, and all of them together."""

    request: int = 16 << 20
    """Bytes of a request: sixteen times what clients send by default. Kafka: 100 MiB."""
    small: int = 32 << 10
    """Bytes of a request that needs no room: half of what a connection's buffer takes."""
    under_way: int = 64 << 20
    """Bytes of all larger ones to produce together, of which ``request`` is a part. Kafka: queued.max.request.bytes, no
    limit."""
    beside: int = 32 << 20
    """Bytes of all other larger ones together."""
    answers: int = 128 << 20
    """Bytes of all answers of more than ``small``, records aside. The largest tells all that members of groups say of
    themselves; who finds no room is not answered."""
    arriving: float = 15.0
    """Seconds from a request's length to its end: clients send by default a mebibyte at most."""
    idle: float = 600.0
    """Seconds without a request, or with an answer that is not taken: Kafka's connections.max.idle.ms."""
    connections: int = 4_000
    """Connections at a time; others wait with the system."""


@final
class Room:
    """Bytes that may be taken, in the order of asking, and are given back."""

    def __init__(self, nbytes: int) -> None:
        self._free = nbytes
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def free(self) -> int:
        """Bytes that nobody has."""
        return self._free

    @asynccontextmanager
    async def of(self, nbytes: int) -> AsyncIterator[None]:
        """Wait until there are so many bytes, and have them for the block. Who asks for none never waits."""
        if nbytes:
            async with self._turn:
                while self._free < nbytes:
                    self._freed.clear()
                    await self._freed.wait()
                self._free -= nbytes
        try:
            yield
        finally:
            self._free += nbytes
            self._freed.set()
