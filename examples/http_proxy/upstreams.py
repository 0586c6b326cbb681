"""Connections to the server behind: new ones, and those that wait for the next request."""

from __future__ import annotations

import asyncio
import os
from typing import Final, final

from bytebufs import aio

from ..addresses import Address
from ..web.refused import Refused
from .limits import Limits, Patience

__all__ = ["Upstreams"]


@final
class Upstreams:
    """The server behind. The connection that was used last is used next: so those that are too many end in time."""

    def __init__(self, address: tuple[str, int], limits: Limits, patience: Patience) -> None:
        self.name: Final = str(Address(*address))
        """Its host and port, for who is asked for no other one."""
        self._address = address
        self._limits = limits
        self._patience = patience
        self._idle: dict[aio.Stream, asyncio.TimerHandle] = {}  # the last one was used last

    @property
    def idle(self) -> int:
        """How many connections wait."""
        return len(self._idle)

    def take(self) -> aio.Stream | None:
        """Return a connection that waits, as far as one can know; None if there is none."""
        while self._idle:
            stream, timer = self._idle.popitem()
            timer.cancel()
            if _is_clean(stream):
                return stream
            stream.abort()
        return None

    async def connect(self) -> aio.Stream:
        """Connect. Raises Refused."""
        limits, seconds = self._limits, self._patience.connect_time
        try:
            async with asyncio.timeout(seconds):
                return await aio.open_connection(
                    *self._address, limit=limits.window, high=limits.high, low=limits.low
                )  # fmt: skip
        except TimeoutError:
            raise Refused(504, why=f"the server behind has not answered for {seconds:g} s") from None
        except OSError as error:
            # asyncio's own sentences show where it is, which is not for clients.
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else "no address"
            raise Refused(502, why=f"the server behind cannot be reached: {reason}") from None

    def put(self, stream: aio.Stream) -> None:
        """Have a connection wait for the next request, behind which nothing of the last one is left."""
        if not _is_clean(stream) or len(self._idle) >= self._limits.idle:
            stream.abort()
            return
        loop = asyncio.get_running_loop()
        self._idle[stream] = loop.call_later(self._patience.reuse_time, self._expire, stream)

    def _expire(self, stream: aio.Stream) -> None:
        del self._idle[stream]
        stream.abort()

    def close(self) -> None:
        """Close those that wait."""
        while self._idle:
            stream, timer = self._idle.popitem()
            timer.cancel()
            stream.abort()


def _is_clean(stream: aio.Stream) -> bool:
    """Whether nothing has come that nobody has asked for, and nothing is still to go."""
    return stream.state == "open" and not stream.buffer and not stream.pending
