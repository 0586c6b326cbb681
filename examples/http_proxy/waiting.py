"""Waiting for one side of an exchange: for bytes of it, or until it has taken some; never for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar, final

from bytebufs import Part, aio

from ..web.refused import Refused

__all__ = ["GONE", "Failed", "Side", "while_it_moves"]

_T = TypeVar("_T")

GONE: Final = 499
"""The client has gone, or takes nothing: the status of nginx's log. Nobody is answered so."""


def nothing() -> None:
    """Move: by nothing."""


async def while_it_moves(call: Callable[[], Awaitable[_T]], seconds: float, moved: Callable[[], object]) -> _T:
    """Await ``call()``, and anew each so many seconds, if ``moved()`` has another answer by then: else TimeoutError.

    So a wait lasts as long as it should where what is waited for has to wait itself.
    """
    while True:
        before = moved()
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except TimeoutError:
            if moved() == before:
                raise


class Failed(Refused):
    """One side has failed: what the client is told, if it can be told."""

    def __init__(self, side: Side, status: int, why: str) -> None:
        super().__init__(status, why=f"the {side.name} {why}")
        self.side = side


@final
class Side:
    """The client, or the server behind. Raises Failed, with the status that fits, for all that goes wrong with it."""

    def __init__(
        self, stream: aio.Stream, name: str, *, sends: float, takes: float, cut: int, late: int, lost: int
    ) -> None:
        self.stream = stream
        self.name = name
        self._sends = sends
        self._takes = takes
        self._cut = cut
        self._late = late
        self._lost = lost

    async def more(self, *, seconds: float = 0, moved: Callable[[], object] = nothing) -> bool:
        """Wait for bytes, as long as a body may pause if nothing else is said. False: it has ended."""
        seconds = seconds or self._sends
        try:
            return await while_it_moves(self.stream.receive, seconds, moved)
        except TimeoutError:
            raise Failed(self, self._late, f"has sent nothing for {seconds:g} s") from None
        except OSError as error:
            raise Failed(self, self._lost, f"has failed: {error}") from None

    async def put(self, part: Part) -> None:
        """Send a part, and wait until there is room for the next one. It waits on while anything goes."""
        first = iter((part,))
        # When a wait is over the part has been taken all the same: then nothing is added, but waited for.
        await self._sent(lambda: self.stream.send(next(first, b"")))

    async def end(self) -> None:
        """Say that nothing more is sent, behind all that was."""
        await self._sent(self.stream.send_eof)

    async def _sent(self, call: Callable[[], Awaitable[None]]) -> None:
        try:
            await while_it_moves(call, self._takes, lambda: self.stream.pending)
        except TimeoutError:
            raise Failed(self, self._lost, f"has taken nothing for {self._takes:g} s") from None
        except OSError as error:
            raise Failed(self, self._lost, f"has failed: {error}") from None

    def cut_off(self, where: str) -> Failed:
        """Return an error: it has ended too early, or sends what cannot be read."""
        return Failed(self, self._cut, f"has ended {where}")

    def unreadable(self, why: str) -> Failed:
        """Return an error: it sends what cannot be read."""
        return Failed(self, self._cut, f"has sent {why}")
