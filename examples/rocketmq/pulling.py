"""Messages that go out: a queue from an offset on, by tags, or one by its place in the log.

What leaves are slices of the maps, and the system calls take them from there: a pull of many messages is one gathering
``sendmsg``. A pull at the end of a queue waits until something comes in there, or its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .codes import PullFlag, Request, Response
from .connection import wake
from .consumers import tags_of
from .record import hash_of
from .remoting import Command, FieldError
from .routes import MASTER
from .topics import READ, NoTopicError

if TYPE_CHECKING:
    from .connection import Answer, Connection, Handler
    from .consumers import Groups, Offsets
    from .limits import Limits
    from .store import Found, Status, Store
    from .topics import Topics

__all__ = ["Pulling"]

_CODES: Final[dict[Status, Response]] = {
    "found": Response.SUCCESS,
    "no match": Response.PULL_RETRY_IMMEDIATELY,
    "end": Response.PULL_NOT_FOUND,
    "no queue": Response.PULL_NOT_FOUND,
    "too small": Response.PULL_OFFSET_MOVED,
    "too large": Response.PULL_OFFSET_MOVED,
}
"""How a pull went, to clients. Each comes with the offset to go on at."""
_WAITS_FOR: Final = frozenset({"no match", "end", "no queue"})


@dataclass
class _Pull:
    """Messages that somebody wants."""

    topic: str
    queue: int
    offset: int
    count: int
    hashes: frozenset[int]


class Pulling:
    """Answers to those who want messages."""

    def __init__(self, store: Store, groups: Groups, offsets: Offsets, topics: Topics, limits: Limits) -> None:
        self._store = store
        self._groups = groups
        self._offsets = offsets
        self._topics = topics
        self._limits = limits
        self._waiting = 0
        self._passing = asyncio.Lock()
        """Held by the one pull that passes over entries, of all those that wait and do so."""
        self._parked: dict[tuple[str, int], set[asyncio.Future[None]]] = {}
        store.grown.append(self._grown)
        self.handlers: dict[int, Handler] = {
            Request.PULL_MESSAGE: self._pull,
            Request.GET_MAX_OFFSET: self._max_offset,
            Request.GET_MIN_OFFSET: self._min_offset,
            Request.SEARCH_OFFSET_BY_TIMESTAMP: self._search,
            Request.VIEW_MESSAGE_BY_ID: self._view,
        }

    # -- pulls

    def _pull(self, request: Command, connection: Connection) -> Answer:
        topic, queue = self._queue_of(request)
        flags = PullFlag(request.number("sysFlag", 0, most=(1 << 31) - 1))
        group = request.text("consumerGroup")
        if flags & PullFlag.COMMIT_OFFSET:
            self._offsets.put(group, topic, queue, request.number("commitOffset"))
        expression = request.text("subscription", "*") if flags & PullFlag.SUBSCRIPTION else None
        if expression is None:
            expression = self._groups.subscription(group, topic)
        if expression is None:
            return request.answer(Response.SUBSCRIPTION_NOT_EXIST, f"{group} has not said what it wants of {topic}")
        if request.text("expressionType", "TAG") not in {"TAG", ""}:
            return request.answer(Response.SUBSCRIPTION_PARSE_FAILED, "only tags are understood here")
        count = min(request.number("maxMsgNums", least=1), self._limits.pull_count)
        hashes = frozenset(map(hash_of, tags_of(expression)))
        pull = _Pull(topic, queue, request.number("queueOffset"), count, hashes)
        found = self._get(pull)
        patience = min(request.number("suspendTimeoutMillis", 0) / 1000, self._limits.pull_time)
        may_wait = flags & PullFlag.SUSPEND and patience and self._waiting < self._limits.waiting
        if found.status in _WAITS_FOR and may_wait:
            self._waiting += 1
            return self._later(request, pull, patience, connection)
        return _answered(request, found)

    def _get(self, pull: _Pull) -> Found:
        found = self._store.get(pull.topic, pull.queue, pull.offset, pull.count, self._limits.pull_bytes, pull.hashes)
        return found._replace(status="too large") if found.status == "no queue" and pull.offset else found

    async def _later(self, request: Command, pull: _Pull, patience: float, connection: Connection) -> Command:
        """Wait for messages, until the time is over, or no answer is wanted. What tags leave out is passed over."""
        asked = pull.offset
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while (found := self._get(pull)).status in _WAITS_FOR and not connection.is_ending:
                        pull.offset = found.next_offset
                        if found.status == "no match":
                            async with self._passing:  # one a turn of the loop: there may be thousands
                                await asyncio.sleep(0)
                        else:
                            await self._growth(pull.topic, pull.queue, connection)
        finally:
            self._waiting -= 1
        if found.status == "end" and pull.offset != asked:
            found = found._replace(status="no match")
        return _answered(request, found)

    async def _growth(self, topic: str, queue: int, connection: Connection) -> None:
        """Wait until there is a new message in a queue, or the connection ends."""
        news = asyncio.get_running_loop().create_future()
        parked = self._parked.setdefault((topic, queue), set())
        parked.add(news)
        connection.parked.add(news)
        try:
            await news
        finally:
            connection.parked.discard(news)
            parked.discard(news)
            if not parked and self._parked.get((topic, queue)) is parked:
                del self._parked[topic, queue]

    def _grown(self, topic: str, queue: int) -> None:
        for news in self._parked.get((topic, queue), ()):
            wake(news)

    # -- the rest

    def _max_offset(self, request: Command, _: Connection) -> Command:
        return request.answer(Response.SUCCESS, offset=self._store.max_offset(*self._queue_of(request)))

    def _min_offset(self, request: Command, _: Connection) -> Command:
        return request.answer(Response.SUCCESS, offset=self._store.min_offset(*self._queue_of(request)))

    def _search(self, request: Command, _: Connection) -> Command:
        topic, queue = self._queue_of(request)
        return request.answer(
            Response.SUCCESS, offset=self._store.offset_at_time(topic, queue, request.number("timestamp"))
        )

    def _view(self, request: Command, _: Connection) -> Command:
        record = self._store.record_at(request.number("offset"))
        if record is None:
            return request.answer(Response.SYSTEM_ERROR, "there is no such message")
        return request.answer(Response.SUCCESS, body=record)

    def _queue_of(self, request: Command) -> tuple[str, int]:
        """Return the topic and queue of a request. Raises FieldError if there are none such."""
        name = request.text("topic")
        topic = self._topics.get(name)
        if topic is None:
            raise NoTopicError(name)
        if not topic.permissions & READ:
            raise FieldError(f"nothing may be read of {name}")
        return name, request.number("queueId", most=topic.read - 1)


def _answered(request: Command, found: Found) -> Command:
    return request.answer(
        _CODES[found.status],
        body=found.records,
        nextBeginOffset=found.next_offset,
        minOffset=found.min_offset,
        maxOffset=found.max_offset,
        suggestWhichBrokerId=MASTER,
    )
