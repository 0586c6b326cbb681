"""A client that is just enough for the command line: one connection, one request at a time, the broker's own tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, final

from bytebufs import LengthPrefixed, Underrun, aio

from .batch import batches_of
from .errors import Error, Refused
from .fields import Api, Message, encode, parse, pass_tags
from .messages import FETCH, LIST_OFFSETS, METADATA, PRODUCE
from .records import Record, decode
from .records import encode as encode_records

__all__ = ["Client"]

NAME: Final = b"bytebufs"
MOST: Final = 64 << 20
"""Bytes of an answer: more than a broker sends."""
TIMEOUT_MS: Final = 30_000
WAIT_MS: Final = 500
"""How long a fetch may wait for more: what Kafka's own clients say."""
ROOM: Final = 1 << 20
"""Bytes that a fetch asks for, of a partition: as much as a batch may have."""


@final
class Client:
    """A client on a stream, which somebody else closes."""

    def __init__(self, stream: aio.Stream) -> None:
        self._stream = stream
        self._frames = stream.frames(LengthPrefixed(4, limit=MOST))
        self._correlation = 0

    async def ask(self, api: Api, message: Message) -> Message:
        """Send a request in the newest version, and return its answer."""
        self._correlation += 1
        front = api.key.to_bytes(2) + api.newest.to_bytes(2) + self._correlation.to_bytes(4)
        front += len(NAME).to_bytes(2) + NAME + (b"\0" if api.newest >= api.request.flexible else b"")
        parts = encode(api.request, api.newest, message)
        await self._stream.send((len(front) + sum(map(len, parts))).to_bytes(4) + front)
        for part in parts:
            await self._stream.send(part)
        answer = await anext(self._frames, None)
        if answer is None:
            raise Underrun(4, 0)
        reader = answer.reader()
        assert reader.i32_be() == self._correlation
        if api.newest >= api.answer.flexible:
            pass_tags(reader)
        return parse(api.answer, api.newest, reader)

    async def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has, which may make it."""
        told = (await self.ask(METADATA, {"topics": [{"name": topic}]}))["topics"][0]
        return len(_checked(told)["partitions"])

    async def produce(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Write a batch and return the offset of its first record, once it is as safe as the broker promises."""
        asked = {"index": partition, "records": encode_records(records)}
        message = {"acks": -1, "timeout_ms": TIMEOUT_MS, "topics": [{"name": topic, "partitions": [asked]}]}
        return int(_only(await self.ask(PRODUCE, message))["base_offset"])

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Return the first offset, and the one behind the last."""
        start, end = [
            _only(await self.ask(LIST_OFFSETS, _about(topic, {"index": partition, "timestamp": time})))["offset"]
            for time in (-2, -1)
        ]
        return start, end

    async def records(self, topic: str, partition: int, offset: int) -> AsyncIterator[Record]:
        """Yield records, from an offset on; waits for those that are not there yet. Others' compression is refused."""
        while True:
            asked = {"index": partition, "fetch_offset": offset, "partition_max_bytes": ROOM}
            limits = {"replica_id": -1, "max_wait_ms": WAIT_MS, "min_bytes": 1, "max_bytes": MOST}
            found = _only(await self.ask(FETCH, limits | _about(topic, asked)))
            for header, batch in batches_of(found["records"]):
                decoded = decode(batch, header)
                if decoded is None:
                    raise Refused(Error.UNSUPPORTED_COMPRESSION_TYPE)
                for record in decoded:
                    if record.offset >= offset:
                        yield record
                offset = header.end


def _about(topic: str, partition: Message) -> Message:
    return {"topics": [{"name": topic, "partitions": [partition]}]}


def _only(answer: Message) -> Message:
    """The only partition of an answer. Raises Refused with its error."""
    return _checked(answer["topics"][0]["partitions"][0])


def _checked(told: Message) -> Message:
    if told["error_code"]:
        raise Refused(Error(told["error_code"]))
    return told
