"""A small client: requests and their answers over one connection, and what the command line does with them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from bytebufs import CompositeBuffer, LengthPrefixed
from bytebufs.aio import Stream, open_connection

from .codes import PullFlag, Request, Response
from .consumers import tags_of
from .record import HEAD, TAGS, Head, property_of
from .remoting import Command, decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bytebufs import SliceBuffer

__all__ = ["Client", "ClientError", "Received", "records_of"]

_MOST: Final = 32 << 20
"""Bytes of an answer: a broker may have longer messages than this one."""
_PULL_COUNT: Final = 32
_PULL_TIME: Final = 15.0
"""Seconds that a pull may wait at the broker: brokerSuspendMaxTimeMillis of other clients."""


class ClientError(Exception):
    """The broker has refused something."""

    def __init__(self, code: int, remark: str) -> None:
        self.code = code
        super().__init__(f"{_name_of(code)}: {remark}")


class Received(NamedTuple):
    """A message as it is pulled: its body is a slice of what was received."""

    queue: int
    offset: int
    position: int
    properties: str
    body: SliceBuffer


class Client:
    """A connection to a name server and broker. ``async with Client.connect(host, port)`` makes one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[Command]] = {}
        self._turn = asyncio.Lock()
        self._reader = asyncio.create_task(self._read())
        self._name = f"{socket.gethostname()}@{os.getpid()}"

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, host: str, port: int) -> AsyncIterator[Self]:
        """Be connected to where a broker listens. At the end, calls that wait raise ConnectionError."""
        client = cls(await open_connection(host, port))
        try:
            yield client
        finally:
            client._stream.abort()
            await asyncio.wait([client._reader])

    async def _read(self) -> None:
        error = ConnectionError("the broker has hung up")
        try:
            async for frame in self._stream.frames(LengthPrefixed(4, limit=_MOST)):
                answer = decode(frame)
                call = self._calls.pop(answer.opaque, None)
                if call is not None and not call.done():
                    call.set_result(answer)
        except Exception as fault:  # noqa: BLE001  # whatever it is, those who wait are told
            error = ConnectionError(f"the connection has broken: {fault}")
        for call in self._calls.values():
            if not call.done():
                call.set_exception(error)

    async def ask(self, code: int, *, body: bytes = b"", **fields: object) -> Command:
        """Send a request and return its answer, whatever that says."""
        if self._reader.done():
            raise ConnectionError("the broker has hung up")
        number = next(self._numbers)
        texts = {name: str(value) for name, value in fields.items()}
        call = self._calls[number] = asyncio.get_running_loop().create_future()
        try:
            async with self._turn:
                await self._stream.send(encode(Command(code, number, fields=texts, body=body)))
            answer: Command = await call
            return answer
        finally:
            self._calls.pop(number, None)

    async def call(self, code: int, *, body: bytes = b"", **fields: object) -> Command:
        """Send a request and return its answer. Raises ClientError if that is an error."""
        answer = await self.ask(code, body=body, **fields)
        if answer.code != Response.SUCCESS:
            raise ClientError(answer.code, answer.remark)
        return answer

    async def queues(self, topic: str) -> int:
        """Return how many queues a topic has."""
        answer = await self.call(Request.GET_ROUTEINTO_BY_TOPIC, topic=topic)
        [queues] = json.loads(bytes(answer.body))["queueDatas"]
        return int(queues["readQueueNums"])

    async def send(self, topic: str, queue: int, body: bytes, *, tag: str = "", key: str = "") -> Command:
        """Send a message, and return once the broker says that it is stored."""
        properties = "".join(f"{name}\1{value}\2" for name, value in (("TAGS", tag), ("KEYS", key)) if value)
        return await self.call(
            Request.SEND_MESSAGE_V2, body=body, a="examples.rocketmq", b=topic, c="TBW102", d=4, e=queue, f=0,
            g=int(time.time() * 1000), h=0, i=properties, j=0, k="false",
        )  # fmt: skip

    async def beat(self, group: str, topic: str, tags: str) -> None:
        """Say that a member of a group is there."""
        subscription = {"topic": topic, "subString": tags}
        consumer = {"groupName": group, "subscriptionDataSet": [subscription]}
        heartbeat = {"clientID": self._name, "consumerDataSet": [consumer], "producerDataSet": []}
        await self.call(Request.HEART_BEAT, body=json.dumps(heartbeat).encode())

    async def committed(self, group: str, topic: str, queue: int) -> int:
        """Return up to where a group has consumed a queue, or else where that begins."""
        answer = await self.ask(Request.QUERY_CONSUMER_OFFSET, consumerGroup=group, topic=topic, queueId=queue)
        if answer.code == Response.QUERY_NOT_FOUND:
            answer = await self.call(Request.GET_MIN_OFFSET, topic=topic, queueId=queue)
        return answer.number("offset")

    async def commit(self, group: str, topic: str, queue: int, offset: int) -> None:
        """Have the broker remember up to where a group has consumed a queue; it has when this returns."""
        await self.call(
            Request.UPDATE_CONSUMER_OFFSET, consumerGroup=group, topic=topic, queueId=queue, commitOffset=offset
        )

    async def pull(
        self, group: str, topic: str, queue: int, offset: int, *, tags: str = "*", wait: float = _PULL_TIME
    ) -> tuple[list[Received], int]:
        """Return messages of a queue, and the offset behind them. None: there were none in that time."""
        answer = await self.ask(
            Request.PULL_MESSAGE, consumerGroup=group, topic=topic, queueId=queue, queueOffset=offset,
            maxMsgNums=_PULL_COUNT, sysFlag=int(PullFlag.SUBSCRIPTION | (PullFlag.SUSPEND if wait else 0)),
            commitOffset=0, suspendTimeoutMillis=int(wait * 1000), subscription=tags, subVersion=0,
        )  # fmt: skip
        if answer.code in {Response.PULL_NOT_FOUND, Response.PULL_RETRY_IMMEDIATELY, Response.PULL_OFFSET_MOVED}:
            return [], answer.number("nextBeginOffset")
        if answer.code != Response.SUCCESS:
            raise ClientError(answer.code, answer.remark)
        return records_of(answer.body), answer.number("nextBeginOffset")

    async def messages(
        self, group: str, topic: str, queue: int, *, tags: str = "*", follow: bool
    ) -> AsyncIterator[Received]:
        """Yield the messages of a queue, from where the group has stopped: up to its end, or for ever.

        The broker goes by hashes of tags, which different ones may share, so here they are looked at again. Whenever
        more are asked for, those before count as consumed.
        """
        wanted = tags_of(tags)
        offset = await self.committed(group, topic, queue) if group else 0
        while True:
            received, behind = await self.pull(group, topic, queue, offset, tags=tags, wait=_PULL_TIME * follow)
            for message in received:
                if not wanted or property_of(message.properties.encode(), TAGS) in wanted:
                    yield message
            is_end = behind == offset
            offset = behind
            if is_end and not follow:
                return
            if group and not is_end:
                await self.commit(group, topic, queue, offset)


def records_of(body: CompositeBuffer | SliceBuffer | bytes) -> list[Received]:
    """Cut an answer into messages."""
    reader = CompositeBuffer([body]).reader()
    found = []
    while not reader.at_end:
        head = Head(*reader.unpack(HEAD))
        body = reader.take(head.body_size)
        reader.skip(reader.u8())  # the topic
        found.append(Received(head.queue, head.queue_offset, head.position, reader.text(reader.u16()), body))
    return found


def _name_of(code: int) -> str:
    try:
        return Response(code).name
    except ValueError:
        return f"code {code}"
