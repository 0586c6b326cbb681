"""A tunnel: bytes both ways, whatever they mean, each way until its own end."""

from __future__ import annotations

import asyncio

from .waiting import Side

__all__ = ["Tunnel"]


class Tunnel:
    """Two sides, of which each gets what the other one sends. It lasts until both have ended, or one fails."""

    def __init__(self, client: Side, upstream: Side, seconds: float) -> None:
        self.nbytes = 0
        """Bytes that have gone to the client."""
        self._moved = 0
        self._client = client
        self._upstream = upstream
        self._seconds = seconds

    async def run(self) -> None:
        """Relay. Raises Failed, in a group: of a side that has failed, or as nothing has moved either way for long."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._one_way(self._client, self._upstream))
            group.create_task(self._one_way(self._upstream, self._client))

    async def _one_way(self, source: Side, sink: Side) -> None:
        buffer = source.stream.buffer
        while buffer or await source.more(seconds=self._seconds, moved=lambda: self._moved):
            self._moved += len(buffer)
            if sink is self._client:
                self.nbytes += len(buffer)
            await sink.put(buffer.take_all())
        await sink.end()
