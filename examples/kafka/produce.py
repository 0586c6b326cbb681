"""Produce: the batches of a request go to the log as they were received, and the answer waits until they are safe."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from bytebufs import BaseBuffer

from .batch import Batch, CorruptBatchError, header_at
from .errors import Error, Refused
from .fields import Message
from .log import BatchTooLargeError, Log
from .producer_states import ProducerStates
from .requests import Context
from .store import Store

__all__ = ["ProduceBroker", "produce"]

ACKS: Final = frozenset([-1, 0, 1])
"""All replicas, none, the leader: with one replica the first and the last are the same."""
AHEAD: Final = 3_600_000
"""Milliseconds that a batch may be ahead of our time: Kafka's message.timestamp.after.max.ms. A log goes by the times
of its records: those of years to come would begin a segment each, and keep it for as long."""
MOST_RECORDS: Final = 1 << 20
"""Records that a batch may say that it has: as many as bytes, of which unzipped ones have seven at least. Nobody counts
them, and offsets of which two batches take all that a segment has would begin one each."""
IN_A_TURN: Final = 64
"""Batches that are appended before others have their turn: each is a call of the system."""


class ProduceBroker(Protocol):
    """What it takes to produce."""

    @property
    def store(self) -> Store:
        """The logs."""

    @property
    def producers(self) -> ProducerStates:
        """Their idempotent producers."""


async def produce(broker: ProduceBroker, request: Message, _: Context) -> Message | None:
    """Append to each partition that is named, wait for all of them, and say where the records are."""
    wants_answer = request["acks"] != 0
    appending: list[list[asyncio.Task[Message]]] = []
    number = 0
    async with asyncio.TaskGroup() as group:
        for topic in request["topics"]:
            appending.append([])
            for asked in topic["partitions"]:
                one = _produced(broker, request, topic["name"], asked, settle=wants_answer)
                appending[-1].append(group.create_task(one))
                number += 1
                if not number % IN_A_TURN:
                    await asyncio.sleep(0)
    if not wants_answer:
        return None
    named = zip(request["topics"], appending, strict=True)
    return {"topics": [{"name": topic["name"], "partitions": [one.result() for one in told]} for topic, told in named]}


async def _produced(broker: ProduceBroker, request: Message, topic: str, asked: Message, *, settle: bool) -> Message:
    told = {"index": asked["index"]}
    try:
        log = _log_for(broker, request, topic, asked["index"])
        base, end = _append(broker, log, asked["records"])
        if settle:
            await log.settle(end)
    except Refused as refused:
        return told | {"error_code": refused.error}
    except CorruptBatchError:
        return told | {"error_code": Error.CORRUPT_MESSAGE}
    except BatchTooLargeError:
        return told | {"error_code": Error.MESSAGE_TOO_LARGE}
    except OSError:
        return told | {"error_code": Error.KAFKA_STORAGE_ERROR}
    return told | {"base_offset": base, "log_start_offset": log.start}


def _log_for(broker: ProduceBroker, request: Message, topic: str, partition: int) -> Log:
    if request["acks"] not in ACKS:
        raise Refused(Error.INVALID_REQUIRED_ACKS)
    if request["transactional_id"] is not None:
        raise Refused(Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    log = broker.store.log(topic, partition)
    if log is None:
        raise Refused(Error.UNKNOWN_TOPIC_OR_PARTITION)
    return log


def _append(broker: ProduceBroker, log: Log, records: BaseBuffer | None) -> tuple[int, int]:
    """Append, unless it has been written before. Returns where it stands, and the offset behind it."""
    header = _checked(records)
    assert records is not None
    written = broker.producers.check(log, header)
    if written is not None:
        return written.offset, written.offset + header.records
    appended = log.append(records)
    broker.producers.note(log, header, appended.base_offset)
    return appended.base_offset, appended.last_offset + 1


def _checked(records: BaseBuffer | None) -> Batch:
    """The header of the only batch. From version 3 on there is one; marks of transactions are not clients' to send."""
    if records is None or not len(records):
        raise Refused(Error.INVALID_RECORD)
    header = header_at(records)
    if header.is_transactional or header.is_control:
        raise Refused(Error.INVALID_RECORD)
    if header.nbytes < len(records) or header.records > MOST_RECORDS:
        raise Refused(Error.INVALID_RECORD)
    if header.max_timestamp > time.time() * 1000 + AHEAD:
        raise Refused(Error.INVALID_TIMESTAMP)
    return header
