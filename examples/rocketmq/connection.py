"""One client's connection: its requests one behind the other, their answers as they are ready.

Requests that can be answered at once are, in their order. One that has to wait, for a disk or for a message, is waited
for by a task of its own, and the next request is read meanwhile: clients send all theirs over one connection. Answers
carry the number of their request, so their order is nobody's concern.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from bytebufs import ClosedError, LimitExceeded, Underrun

from .codes import Response
from .consumers import GroupError
from .data_folder import StoreError
from .record import MessageError
from .remoting import Command, FieldError, RemotingError, decode, encode, read_length
from .topics import NoTopicError, TopicError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bytebufs import SliceBuffer
    from bytebufs.aio import Stream

    from .limits import Limits

__all__ = ["Address", "Answer", "Connection", "Handler", "Room", "wake"]

Address: TypeAlias = tuple[str, int]
Answer: TypeAlias = "Command | Awaitable[Command]"
Handler: TypeAlias = "Callable[[Command, Connection], Answer]"
"""What answers a request: at once, or later."""

_LENGTH: Final = 4
_TURN: Final = 0.005
"""Seconds for which requests that have come together are answered before others have their turn: what CPython has for
threads (sys.getswitchinterval)."""
_CODES: Final[dict[type[Exception], Response]] = {
    NoTopicError: Response.TOPIC_NOT_EXIST,
    MessageError: Response.MESSAGE_ILLEGAL,
    UnicodeError: Response.MESSAGE_ILLEGAL,  # half of a surrogate pair, which JSON can say
    OSError: Response.SERVICE_NOT_AVAILABLE,  # a full disk, or a broken one
    FieldError: Response.SYSTEM_ERROR,
    TopicError: Response.SYSTEM_ERROR,
    GroupError: Response.SYSTEM_ERROR,
    RemotingError: Response.SYSTEM_ERROR,  # the body is no JSON
    StoreError: Response.SYSTEM_ERROR,
}
_REFUSALS: Final = tuple(_CODES)
"""What a handler may raise, and how that is answered."""


class Room:
    """Bytes that all connections together may receive beyond what each has anyway."""

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes
        self._news = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def of(self, nbytes: int) -> AsyncIterator[None]:
        """Have room for so many, once others have left it."""
        async with self._news:
            await self._news.wait_for(lambda: self._left >= nbytes)
            self._left -= nbytes
        try:
            yield
        finally:
            self._left += nbytes
            async with self._news:
                self._news.notify_all()


class Connection:
    """A connection, and who is at its ends."""

    def __init__(self, stream: Stream, handlers: Mapping[int, Handler], limits: Limits, room: Room) -> None:
        self.here: Address = stream.get_extra_info("sockname")[:2]
        self.peer: Address = stream.get_extra_info("peername")[:2]
        self.is_ending = False
        """No further request comes: what waits for messages need not wait any longer."""
        self.parked: set[asyncio.Future[None]] = set()
        """What waits for messages."""
        self._stream = stream
        self._handlers = handlers
        self._limits = limits
        self._room = room
        self._turn = asyncio.Lock()
        self._waiting: set[asyncio.Task[None]] = set()
        self._clock = asyncio.get_running_loop().time
        self._alive = self._since = self._clock()

    async def run(self) -> None:
        """Answer requests until the client has sent its last one, or the broker is closing.

        However it ends, nothing goes on behind it.
        """
        try:
            await self._requests()
            self._release()
            while self._waiting:
                await asyncio.wait(self._waiting)
        finally:
            for task in self._waiting:
                task.cancel()

    async def _requests(self) -> None:
        try:
            async for length in self._stream.messages(read_length, limit=_LENGTH):
                await self._receive(length)
        except (RemotingError, Underrun, LimitExceeded, ClosedError, OSError) as error:  # faults of the client
            print(f"rocketmq: {self.peer}: {str(error) or type(error).__name__}", file=sys.stderr)

    def _release(self) -> None:
        self.is_ending = True
        for news in self.parked:
            wake(news)

    def is_idle(self) -> bool:
        """Whether nothing has been asked or answered for too long."""
        return self._clock() - self._alive > self._limits.idle_time

    def abort(self) -> None:
        """Hang up."""
        self._stream.abort()

    async def _receive(self, length: int) -> None:
        """Receive a request whose length is known, and see to its answer."""
        limits = self._limits
        most = 4 + limits.head + limits.body
        if length > most:
            raise RemotingError(f"a request of {length} bytes, more than {most}")
        self._alive = self._clock()
        if self._alive - self._since > _TURN:
            await asyncio.sleep(0)
            self._since = self._clock()
        if length <= len(self._stream.buffer):
            await self._answer(await self._stream.take(length))
            return
        async with asyncio.timeout(limits.request_time) as patience:
            async with self._room.of(length if length > limits.small else 0):
                frame = await self._stream.take(length)
                patience.reschedule(None)
                await self._answer(frame)

    async def _answer(self, frame: SliceBuffer) -> None:
        request = decode(frame, most_head=self._limits.head)
        if request.is_response:
            return  # to what? This broker asks nothing
        answer = self._handle(request)
        request.body = b""  # so that what it was received into is free again, however long the answer takes
        if isinstance(answer, Command):
            await self._send(request, answer)
            return
        task = asyncio.create_task(self._answer_later(request, answer))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        while len(self._waiting) >= self._limits.outstanding:
            await asyncio.wait(self._waiting, return_when=asyncio.FIRST_COMPLETED)

    def _handle(self, request: Command) -> Answer:
        handler = self._handlers.get(request.code)
        if handler is None:
            return request.answer(Response.REQUEST_CODE_NOT_SUPPORTED, f"this broker does not know code {request.code}")
        try:
            return handler(request, self)
        except _REFUSALS as error:
            return _refused(request, error)

    async def _answer_later(self, request: Command, answer: Awaitable[Command]) -> None:
        try:
            ready = await answer
        except _REFUSALS as error:
            ready = _refused(request, error)
        with contextlib.suppress(ClosedError, OSError):  # whoever reads the requests is told, too
            await self._send(request, ready)

    async def _send(self, request: Command, answer: Command) -> None:
        self._alive = self._clock()
        if not request.is_oneway:
            async with self._turn:
                await self._stream.send(encode(answer))


def wake(news: asyncio.Future[None]) -> None:
    """Have what waits for messages look again. It may have been told so already, and not have had its turn."""
    if not news.done():
        news.set_result(None)


def _refused(request: Command, error: Exception) -> Command:
    """Answer what cannot be done: by fault of the client, or of the disk."""
    code = next(code for kind, code in _CODES.items() if isinstance(error, kind))
    return request.answer(code, str(error))
