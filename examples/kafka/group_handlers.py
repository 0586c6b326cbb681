"""What the broker answers to the messages of ``messages_group``: out of the coordinator, into the tables' names.

One broker is the coordinator of every group. It keeps no transactions: who asks for a transactional id is not let in.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from .coordinator import Coordinator
from .errors import Error
from .fields import Api, Message
from .members import Join
from .messages_group import (
    FIND_COORDINATOR,
    HEARTBEAT,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    LEAVE_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC_GROUP,
)
from .offsets import Committed, Place
from .producer_ids import ProducerIds

__all__ = ["GROUP_HANDLERS", "NODE", "GroupBroker", "GroupContext"]

NODE: Final = 0
"""The broker's number in what it says of itself: it is the only one."""
_GROUP_KEY: Final = 0
"""The kind of key that names a group; the other kind names a transaction."""
_ASKS_ID_SINCE: Final = 4
"""The version of JoinGroup since which new members are first told their id (KIP-394)."""
_NOTHING: Final = Committed(-1, -1, "", 0)


class GroupBroker(Protocol):
    """What the handlers need of the broker."""

    @property
    def coordinator(self) -> Coordinator:
        """Its groups."""

    @property
    def producer_ids(self) -> ProducerIds:
        """Ids that it gives."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that clients reach it by."""


class GroupContext(Protocol):
    """What the handlers need to know of a request."""

    @property
    def version(self) -> int:
        """Its version."""

    @property
    def client(self) -> str:
        """What its client calls itself."""


async def find_coordinator(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Say that it is this broker."""
    if request["key_type"] == _GROUP_KEY:
        host, port = broker.address
        found = {"node_id": NODE, "host": host, "port": port}
    else:
        found = {"error_code": Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "node_id": -1, "port": -1}
    return found | {"coordinators": [found | {"key": key} for key in request["coordinator_keys"]]}


async def join_group(broker: GroupBroker, request: Message, context: GroupContext) -> Message:
    """Wait for the group's next generation."""
    session, rebalance = request["session_timeout_ms"], request["rebalance_timeout_ms"]
    said = Join(
        request["member_id"],
        request["protocol_type"],
        tuple((protocol["name"], protocol["metadata"]) for protocol in request["protocols"]),
        session,
        session if rebalance < 0 else rebalance,
        context.client,
        asks_id=context.version >= _ASKS_ID_SINCE,
    )
    joined = await broker.coordinator.join(request["group_id"], said)
    return {
        "error_code": joined.error,
        "generation_id": joined.generation,
        "protocol_name": joined.protocol,
        "leader": joined.leader,
        "member_id": joined.member,
        "members": [{"member_id": name, "metadata": metadata} for name, metadata in joined.members],
    }


async def sync_group(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Wait for what the leader assigns."""
    given = {each["member_id"]: each["assignment"] for each in request["assignments"]}
    group, member, generation = request["group_id"], request["member_id"], request["generation_id"]
    synced = await broker.coordinator.sync(group, member, generation, given)
    return {"error_code": synced.error, "assignment": synced.assignment}


async def heartbeat(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Hear of a member."""
    group, member, generation = request["group_id"], request["member_id"], request["generation_id"]
    return {"error_code": broker.coordinator.heartbeat(group, member, generation)}


async def leave_group(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Let a member go."""
    return {"error_code": broker.coordinator.leave(request["group_id"], request["member_id"])}


async def offset_commit(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Keep offsets, of whatever topics: one that is not there yet harms nobody."""
    now = int(time.time() * 1000)
    entries: dict[Place, Committed] = {
        (topic["name"], each["partition_index"]): Committed(
            each["committed_offset"], each["committed_leader_epoch"], each["committed_metadata"] or "", now
        )
        for topic in request["topics"]
        for each in topic["partitions"]
    }
    group, member, generation = request["group_id"], request["member_id"], request["generation_id"]
    errors = await broker.coordinator.commit(group, member, generation, entries)

    def answer(topic: Message) -> Message:
        indexes = [each["partition_index"] for each in topic["partitions"]]
        told = [{"partition_index": index, "error_code": errors[topic["name"], index]} for index in indexes]
        return {"name": topic["name"], "partitions": told}

    return {"topics": [answer(topic) for topic in request["topics"]]}


async def offset_fetch(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Say what a group has committed: -1 where it has not; of all that it has, if no topics are named. Each once."""
    known = broker.coordinator.committed(request["group_id"])
    wanted: dict[str, dict[int, None]] = {}
    if request["topics"] is None:
        for topic, index in known:
            wanted.setdefault(topic, {})[index] = None
    for asked in request["topics"] or ():
        wanted.setdefault(asked["name"], {}).update(dict.fromkeys(asked["partition_indexes"]))

    def answer(topic: str, index: int) -> Message:
        offset, leader_epoch, metadata, _ = known.get((topic, index), _NOTHING)
        told = {"partition_index": index, "committed_offset": offset, "committed_leader_epoch": leader_epoch}
        return told | {"metadata": metadata}

    return {
        "topics": [
            {"name": name, "partitions": [answer(name, each) for each in indexes]} for name, indexes in wanted.items()
        ]
    }


async def init_producer_id(broker: GroupBroker, request: Message, _: GroupContext) -> Message:
    """Give an id, unless it is for transactions. Who has one and asks for a newer epoch gets a new id as well."""
    if request["transactional_id"] is not None:
        return {"error_code": Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED}
    try:
        return {"producer_id": broker.producer_ids.take(), "producer_epoch": 0}
    except OSError:
        return {"error_code": Error.KAFKA_STORAGE_ERROR}


GROUP_HANDLERS: Final[dict[int, tuple[Api, Callable[[Any, Message, Any], Awaitable[Message]]]]] = {
    FIND_COORDINATOR.key: (FIND_COORDINATOR, find_coordinator),
    JOIN_GROUP.key: (JOIN_GROUP, join_group),
    SYNC_GROUP.key: (SYNC_GROUP, sync_group),
    HEARTBEAT.key: (HEARTBEAT, heartbeat),
    LEAVE_GROUP.key: (LEAVE_GROUP, leave_group),
    OFFSET_COMMIT.key: (OFFSET_COMMIT, offset_commit),
    OFFSET_FETCH.key: (OFFSET_FETCH, offset_fetch),
    INIT_PRODUCER_ID.key: (INIT_PRODUCER_ID, init_producer_id),
}
"""By their keys: the messages, and what answers them."""
