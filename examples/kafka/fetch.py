"""Fetch: what a consumer gets are regions of the logs' files, which ``sendfile`` sends; nobody reads them here.

A request that finds less than its ``min_bytes`` waits until a log has grown, for ``max_wait_ms`` at most. The answer
has at most ``max_bytes`` and of each partition ``partition_max_bytes``, but for the first batch, which always goes:
else a consumer with small limits would stand still.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from bytebufs import CompositeBuffer

from .errors import Error
from .fields import Message
from .log import Log, OffsetOutOfRangeError
from .requests import Context
from .store import Store

__all__ = ["FetchBroker", "fetch"]

LONGEST_WAIT: Final = 60_000
"""Milliseconds that a request waits, whatever it says: clients ask for half a second."""
MOST: Final = 55 << 20
"""Bytes of an answer, whatever the request says: Kafka's fetch.max.bytes."""
IN_A_TURN: Final = 64
"""Partitions that are read before others have their turn: a look at headers takes each half a millisecond at most."""


class FetchBroker(Protocol):
    """What it takes to fetch."""

    @property
    def store(self) -> Store:
        """The logs."""


async def fetch(broker: FetchBroker, request: Message, _: Context) -> Message:
    """Answer once there is enough, or it has taken long enough. There are no sessions: each request says it all."""
    if request["session_id"]:
        return {"error_code": Error.FETCH_SESSION_ID_NOT_FOUND}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(max(request["max_wait_ms"], 0), LONGEST_WAIT) / 1000
    while True:
        logs = _logs(broker.store, request)  # as they were before: what grows meanwhile has grown
        answer, size, is_urgent = await _fetched(broker.store, request)
        left = deadline - loop.time()
        if size >= request["min_bytes"] or is_urgent or left <= 0:
            return answer
        await _until_one_grows(logs, left)


def _logs(store: Store, request: Message) -> dict[Log, int]:
    """The logs that are asked for, and where they end."""
    named = (store.log(topic["name"], each["index"]) for topic in request["topics"] for each in topic["partitions"])
    return {log: log.end for log in named if log is not None}


async def _until_one_grows(logs: dict[Log, int], seconds: float) -> None:
    waiting = [asyncio.create_task(log.grown(end)) for log, end in logs.items()]
    if not waiting:
        await asyncio.sleep(seconds)
        return
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _fetched(store: Store, request: Message) -> tuple[Message, int, bool]:
    """An answer of what is there now, the bytes of its records, and whether it has to be said at once."""
    number = 0
    most = min(max(request["max_bytes"], 0), MOST)
    topics, size, is_urgent = [], 0, False
    for topic in request["topics"]:
        partitions = []
        for asked in topic["partitions"]:
            number += 1
            if not number % IN_A_TURN:
                await asyncio.sleep(0)
            told = _of_partition(store.log(topic["name"], asked["index"]), asked, most - size, may_exceed=not size)
            size += len(told["records"])
            is_urgent |= told["error_code"] is not Error.NONE
            partitions.append(told)
        topics.append({"name": topic["name"], "partitions": partitions})
    return {"topics": topics}, size, is_urgent


def _of_partition(log: Log | None, asked: Message, room: int, *, may_exceed: bool) -> Message:
    told = {"index": asked["index"], "error_code": Error.NONE, "records": CompositeBuffer()}
    if log is None:
        return told | {"error_code": Error.UNKNOWN_TOPIC_OR_PARTITION}
    told |= {"high_watermark": log.end, "last_stable_offset": log.end, "log_start_offset": log.start}
    most = min(max(asked["partition_max_bytes"], 0), max(room, 0))
    if not most and not may_exceed:
        return told
    try:
        found = log.read(asked["fetch_offset"], most)
    except OffsetOutOfRangeError:
        return told | {"error_code": Error.OFFSET_OUT_OF_RANGE}
    except OSError:
        return told | {"error_code": Error.KAFKA_STORAGE_ERROR}
    return told | {"records": found} if len(found) <= most or may_exceed else told
