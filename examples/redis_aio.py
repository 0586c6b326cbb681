"""Redis from many tasks at a time, over one connection: redis_resp's protocol on asyncio.

    async with await connect("127.0.0.1") as client:
        [value] = await client.call(encode(b"GET", b"key"))

Commands of several tasks are sent as they are given, those of one turn of the loop by one system call, and nobody waits
for another one's reply before he sends. Each call takes its own replies, whichever others are cut short: the protocol
has no numbers, so a reply that nobody waits for any more is awaited all the same, and dropped.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections import deque
from types import TracebackType
from typing import Final, Self

from bytebufs import ClosedError, CompositeBuffer
from bytebufs.aio import Stream, open_connection

from .redis_resp import LIMIT, Aggregate, Command, Dialogue, RedisError, Replies, Value, encode, is_push, unasked

__all__ = ["MOST_PUSHES", "Answers", "Client", "connect"]

MOST_PUSHES: Final = 100_000
"""What the server said unasked and nobody has taken: then the client is broken. Redis itself hangs up on who leaves
32 MiB unread, or 8 MiB for a minute (client-output-buffer-limit pubsub); but what waits here has been read."""


class Answers(list[Value]):
    """The replies to the commands of a call, and the attributes that came with them, each beside its value."""

    def __init__(self) -> None:
        super().__init__()
        self.attributes: list[tuple[Aggregate, Value]] = []


class _Call:
    """A call that waits."""

    def __init__(self, size: int) -> None:
        self.answers = Answers()
        self.done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._size = size

    def add(self, value: Value, attributes: list[tuple[Aggregate, Value]]) -> None:
        """Take in the next reply."""
        self.answers.append(value)
        self.answers.attributes += attributes
        if len(self.answers) == self._size:
            self.end(is_answered=True)

    def end(self, *, is_answered: bool) -> None:
        """Let it wait no longer."""
        if not self.done.done():
            self.done.set_result(is_answered)


class Client:
    """A connection that speaks RESP3, for any number of tasks. ``connect`` makes one, or ``begin`` over a stream.

    ``async with`` closes it. Once the connection has ended, or the server has said what is no RESP3, every call that
    waits and every later one raises ConnectionError, which says why: make another client.
    """

    def __init__(self, stream: Stream) -> None:
        self.pushes: deque[Value] = deque()
        """What the server has said unasked, up to MOST_PUSHES: ``next_push`` empties it, or whoever reads it."""
        self._stream = stream
        self._replies = Replies()
        self._replies.buffer = stream.buffer
        self._dialogue = Dialogue()
        self._calls: deque[_Call] = deque()  # one for each command that waits
        self._turn = asyncio.Lock()
        self._pushed = asyncio.Event()
        self._broken = ""
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def begin(cls, stream: Stream) -> Self:
        """Speak RESP3 over a stream, which is closed with the client. Its ``limit`` is that of a reply."""
        client = cls(stream)
        try:
            [hello] = await client.call(encode(b"HELLO", b"3"))
            if isinstance(hello, RedisError):
                raise hello
        except BaseException:
            await client.abort()
            raise
        return client

    async def call(self, *commands: CompositeBuffer) -> Answers:
        """Send commands, one behind the other, and return their replies, one for each: errors too.

        That of SUBSCRIBE and its like is the last of the pushes that confirm it; they are in ``pushes``, too, as all.
        While the server takes nothing, calls wait to send, in their order. Cancelled before that, nothing was sent;
        afterwards all was, and will be done. So ``asyncio.timeout()`` may stand around it, and others do not notice.

        Raises ValueError for what is no command, or one that replies cannot be told apart after, and ConnectionError.
        """
        waiting = list(map(Command, commands))
        call = _Call(len(waiting))
        async with self._turn:
            self._assert_usable()
            if not commands:
                return call.answers
            try:
                sent = self._stream.send(CompositeBuffer(commands))  # all of it, whatever happens to us
                self._dialogue.waiting.extend(waiting)
                self._calls.extend([call] * len(waiting))
                await sent
            except (OSError, ClosedError) as error:  # closed by the reader, which has met the end first
                self._fail(f"sending failed: {error!r}")
                call.end(is_answered=False)
        if not await call.done:
            self._assert_usable()
        return call.answers

    async def next_push(self) -> Value:
        """Take the first of ``pushes``, and wait for one if there is none. Raises ConnectionError if none can come."""
        while not self.pushes:
            self._assert_usable()
            self._pushed.clear()
            await self._pushed.wait()
        return self.pushes.popleft()

    async def aclose(self) -> None:
        """Close the connection. Calls that wait raise ConnectionError. Again: nothing."""
        self._break("it was closed")
        try:
            await self._stream.aclose()
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Close the connection at once: what waits to be sent is not."""
        self._break("it was closed")
        self._stream.abort()
        await asyncio.wait([self._reader])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await (self.aclose() if error is None else self.abort())

    def _assert_usable(self) -> None:
        if self._broken:
            raise ConnectionError(f"this client is broken, make another one: {self._broken}")

    # -- what comes

    async def _read(self) -> None:
        """Give each reply to its call, until the end."""
        try:
            while await self._stream.receive():
                for value in self._replies:
                    self._take(value)
                    if self._broken:
                        return
            self._fail(f"the server has hung up with {len(self._calls)} replies due")
        except Exception as error:  # noqa: BLE001  # whatever it is, who waits is told
            self._fail(f"what came could not be read: {error!r}")

    def _take(self, value: Value) -> None:
        if is_push(value):
            self.pushes.append(value)
            self._pushed.set()
            if len(self.pushes) > MOST_PUSHES:
                self._fail(f"more than {MOST_PUSHES} pushes were not taken")
        elif not self._calls:
            self._fail(unasked(value))
            return
        if self._dialogue.takes(value):
            self._calls.popleft().add(value, self._replies.attributes)

    def _fail(self, why: str) -> None:
        """End all, and the connection, unless that is under way."""
        if not self._broken:
            self._break(why)
            self._stream.abort()

    def _break(self, why: str) -> None:
        """End all that waits, and all that would."""
        self._broken = self._broken or why
        self._pushed.set()
        for call in self._calls:
            call.end(is_answered=False)


async def connect(host: str, port: int = 6379, *, ssl: tls.SSLContext | None = None) -> Client:
    """Connect to a server, and greet it. Raises OSError, and RedisError if it speaks no RESP3."""
    return await Client.begin(await open_connection(host, port, ssl=ssl, limit=LIMIT))
