"""What topics there are, where they begin and end, and new ones: Metadata, CreateTopics, ListOffsets."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from .errors import Error, Refused
from .fields import Message
from .group_handlers import NODE
from .requests import Context
from .store import Store

__all__ = ["TopicsBroker", "create_topics", "list_offsets", "metadata"]

CLUSTER: Final = "bytebufs"
EARLIEST: Final = -2
LATEST: Final = -1
"""What clients say in place of a time."""


class TopicsBroker(Protocol):
    """What it takes to tell of topics."""

    @property
    def store(self) -> Store:
        """The logs."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that clients reach it by."""


async def metadata(broker: TopicsBroker, request: Message, context: Context) -> Message:
    """Tell of topics, all of them if none is named; those that are not there yet may be made by that."""
    host, port = broker.address
    asked = request["topics"]
    names = list(dict.fromkeys(topic["name"] for topic in asked or ()))  # each once: an answer is no longer than all
    if asked is None or (context.version == 0 and not asked):
        names = sorted(broker.store.topics())
    may_create = request["allow_auto_topic_creation"] and broker.store.auto_create
    return {
        "brokers": [{"node_id": NODE, "host": host, "port": port}],
        "cluster_id": CLUSTER,
        "controller_id": NODE,
        "topics": [_described(broker.store, name, may_create=may_create) for name in names],
    }


def _described(store: Store, name: str, *, may_create: bool) -> Message:
    try:
        if store.log(name, 0) is None:
            if not may_create:
                raise Refused(Error.UNKNOWN_TOPIC_OR_PARTITION)
            store.create(name)
    except Refused as refused:
        return {"name": name, "error_code": refused.error}
    except OSError:
        return {"name": name, "error_code": Error.KAFKA_STORAGE_ERROR}
    here = {"leader_id": NODE, "replica_nodes": [NODE], "isr_nodes": [NODE]}
    return {"name": name, "partitions": [here | {"index": index} for index in range(store.topics()[name])]}


async def create_topics(broker: TopicsBroker, request: Message, _: Context) -> Message:
    """Make topics, or only say whether they could be made."""
    return {"topics": [_created(broker.store, topic, request["validate_only"]) for topic in request["topics"]]}


def _created(store: Store, topic: Message, validate_only: bool) -> Message:  # noqa: FBT001  as the request has it
    name = topic["name"]
    try:
        partitions = _wanted_partitions(topic)
        if validate_only:
            store.check_new(name, partitions)
        else:
            store.create(name, partitions)
    except Refused as refused:
        return {"name": name, "error_code": refused.error}
    except OSError:
        return {"name": name, "error_code": Error.KAFKA_STORAGE_ERROR}
    return {"name": name, "num_partitions": store.topics().get(name, partitions), "replication_factor": 1}


def _wanted_partitions(topic: Message) -> int:
    """How many partitions: -1 is as many as a topic gets at its first use."""
    assigned = topic["assignments"]
    if topic["configs"]:
        raise Refused(Error.INVALID_CONFIG)  # settings are those of the broker
    if any(each["broker_ids"] != [NODE] for each in assigned):
        raise Refused(Error.INVALID_REPLICA_ASSIGNMENT)
    if not assigned and topic["replication_factor"] not in {-1, 1}:
        raise Refused(Error.INVALID_REPLICATION_FACTOR)
    return len(assigned) or int(topic["num_partitions"])


async def list_offsets(broker: TopicsBroker, request: Message, _: Context) -> Message:
    """Say which record is the first at a time or later, or the first or next of all."""
    return {
        "topics": [
            {
                "name": topic["name"],
                "partitions": [await _offset(broker.store, topic["name"], asked) for asked in topic["partitions"]],
            }
            for topic in request["topics"]
        ]
    }


async def _offset(store: Store, topic: str, asked: Message) -> Message:
    told = {"index": asked["index"]}
    log = store.log(topic, asked["index"])
    if log is None:
        return told | {"error_code": Error.UNKNOWN_TOPIC_OR_PARTITION}
    if asked["timestamp"] in {EARLIEST, LATEST}:
        return told | {"offset": log.start if asked["timestamp"] == EARLIEST else log.end, "leader_epoch": 0}
    await asyncio.sleep(0)  # a look into a batch: others have their turn between two of them
    found = log.offset_for_time(asked["timestamp"])
    return told if found is None else told | {"offset": found[0], "timestamp": found[1], "leader_epoch": 0}
