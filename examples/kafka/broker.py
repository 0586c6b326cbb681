"""The broker: a store, its groups, and the loop that answers one connection.

A connection's requests are answered one after the other, as Kafka does; a client that waits for a group or a long poll
has other connections for other things. What is received meanwhile stays with the system beyond a few hundred KiB, and
so does what a client does not read: a slow one stalls nobody but itself.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from typing import Final, final

from bytebufs import BaseBuffer, CompositeBuffer, FrameError, LimitExceeded, Reader, Underrun, aio

from .coordinator import Coordinator
from .fetch import fetch
from .fields import Message
from .flushing import GroupCommit
from .group_handlers import GROUP_HANDLERS
from .limits import ConnectionLimits, Room
from .messages import API_VERSIONS, CREATE_TOPICS, FETCH, LIST_OFFSETS, METADATA, PRODUCE
from .offsets import Offsets
from .produce import produce
from .producer_ids import ProducerIds
from .producer_states import ProducerStates
from .requests import Context, Handlers, encode_answer, parse_request, told_versions
from .store import Store
from .topics import create_topics, list_offsets, metadata

__all__ = ["HANDLERS", "Broker"]


@final
class Broker:
    """A broker over a store, which it closes with itself."""

    def __init__(self, store: Store, limits: ConnectionLimits | None = None) -> None:
        self.store = store
        self.limits = ConnectionLimits() if limits is None else limits
        self.address = ("", 0)
        """What clients are told to connect to: to be set once it is known."""
        self.producer_ids = ProducerIds(store.data / "producer-ids")
        self.producers = ProducerStates()
        for _, _, log in store.logs():
            self.producers.find(log)
        self.room = Room(self.limits.under_way)
        """For large requests to produce."""
        self.room_beside = Room(self.limits.beside)
        """For other large ones: those may wait long, for a group or a log to grow, and keep no producer out."""
        self.room_for_answers = Room(self.limits.answers)
        """For what large answers hold in memory: regions of files, which records are, take none."""
        self._offsets = Offsets(store.data / "offsets")
        self._commits = GroupCommit(lambda: (self._offsets.written, self._offsets.flush), flushed=0)
        self.coordinator = Coordinator(self._offsets, self._settle)

    async def serve(self, stream: aio.Stream) -> None:
        """Answer a client until it has gone, or does what is no request."""
        try:
            await self._answer_all(stream)
        except (Underrun, LimitExceeded, ValueError, OSError) as error:  # FrameError, UnicodeDecodeError; TimeoutError
            print(f"kafka: {stream.get_extra_info('peername')}: {error}", file=sys.stderr)

    async def tend(self) -> None:
        """Do what is due by the time, for ever."""
        while True:
            await asyncio.sleep(self.store.settings.flush_ms / 1000)
            try:
                self.store.tend()
            except OSError as error:  # as of a file that cannot be deleted: the others are tended on
                print(f"kafka: {error}", file=sys.stderr)

    async def aclose(self) -> None:
        """Bring all to the disk and close it."""
        self.coordinator.close()
        await self._commits.idle()
        self._offsets.close()
        self.producers.close()
        await self.store.aclose()

    async def _answer_all(self, stream: aio.Stream) -> None:
        lengths = stream.messages(Reader.i32_be)
        while True:
            async with asyncio.timeout(self.limits.idle):
                length = await anext(lengths, None)
            if length is None:
                return
            if not 0 < length <= self.limits.request:
                raise FrameError(f"a request of {length} bytes: {self.limits.request} may be")
            await self._send(stream, await self._answered(stream, length))

    async def _answered(self, stream: aio.Stream, length: int) -> list[bytes | BaseBuffer]:
        """Receive a request, and make the parts of its answer. Its memory is free again when this returns."""
        async with asyncio.timeout(self.limits.arriving):
            key = await stream.take(min(length, 2))
        room = self.room if key == PRODUCE.key.to_bytes(2) else self.room_beside
        async with room.of(length if length > self.limits.small else 0):
            async with asyncio.timeout(self.limits.arriving):
                frame = CompositeBuffer([key, await stream.take(length - len(key))])
            request = parse_request(frame, HANDLERS)
            answer = await request.handler(self, request.message, request.context)
            return [] if answer is None else encode_answer(request, answer)

    async def _send(self, stream: aio.Stream, parts: list[bytes | BaseBuffer]) -> None:
        held = sum(len(part) for part in parts if isinstance(part, bytes))
        if self.limits.small < held > self.room_for_answers.free:
            raise OSError(errno.ENOBUFS, f"there is no room for an answer of {held} bytes")
        async with (
            self.room_for_answers.of(held if held > self.limits.small else 0),
            asyncio.timeout(self.limits.idle),
        ):
            for part in parts:
                await stream.send(part)

    async def _settle(self) -> None:
        if self.store.settings.flush == "sync":
            await self._commits.settle(self._offsets.written)


async def _api_versions(_broker: Broker, _message: Message, _context: Context) -> Message:
    return {"api_keys": told_versions(HANDLERS)}


HANDLERS: Final[Handlers] = {
    PRODUCE.key: (PRODUCE, produce),
    FETCH.key: (FETCH, fetch),
    LIST_OFFSETS.key: (LIST_OFFSETS, list_offsets),
    METADATA.key: (METADATA, metadata),
    API_VERSIONS.key: (API_VERSIONS, _api_versions),
    CREATE_TOPICS.key: (CREATE_TOPICS, create_topics),
    **GROUP_HANDLERS,
}
"""All that is offered."""
