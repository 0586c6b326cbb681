"""Requests about groups and what they are answered, as they stand on the wire, in each version that is offered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from bytebufs import CompositeBuffer, FrameError, SliceBuffer, Underrun
from examples.kafka.coordinator import Coordinator, CoordinatorLimits
from examples.kafka.errors import Error
from examples.kafka.fields import NEVER, Api, Message, encode, parse
from examples.kafka.group_handlers import GROUP_HANDLERS
from examples.kafka.members import GroupLimits
from examples.kafka.messages import API_VERSIONS
from examples.kafka.messages_group import (
    FIND_COORDINATOR,
    HEARTBEAT,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    LEAVE_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC_GROUP,
)
from examples.kafka.offsets import Offsets
from examples.kafka.producer_ids import ProducerIds
from examples.kafka.requests import Context, Handlers, encode_answer, parse_request, told_versions

CORRELATION: Final = 0x01020304


async def nothing() -> None:
    pass


async def versions(_broker: object, _message: Message, _context: Context) -> Message:
    return {"api_keys": told_versions(HANDLERS)}


HANDLERS: Final[Handlers] = {**GROUP_HANDLERS, API_VERSIONS.key: (API_VERSIONS, versions)}


@dataclass
class Broker:
    """What the handlers need."""

    coordinator: Coordinator
    producer_ids: ProducerIds
    address: tuple[str, int] = ("host", 9092)


def wire(api: Api, version: int, message: Message) -> bytes:
    """A request, its length left out."""
    header = api.key.to_bytes(2, "big") + version.to_bytes(2, "big") + CORRELATION.to_bytes(4, "big") + b"\0\2me"
    tags = b"\0" if version >= api.request.flexible else b""
    return CompositeBuffer([header, tags, *encode(api.request, version, message)]).tobytes()


async def ask(broker: Broker, api: Api, version: int, message: Message) -> Message:
    """Send a request and understand the answer."""
    request = parse_request(SliceBuffer(wire(api, version, message)), HANDLERS)
    assert request.context == Context(version, "me")
    told = await request.handler(broker, request.message, request.context)
    assert told is not None
    answer = CompositeBuffer(encode_answer(request, told)).reader()
    assert answer.u32_be() == answer.remaining
    assert answer.u32_be() == CORRELATION
    if version >= api.answer.flexible and api is not API_VERSIONS:
        assert answer.u8() == 0
    understood = parse(api.answer, version, answer)
    assert answer.at_end
    return understood


def run(folder: Path, test: Callable[[Broker], Awaitable[None]]) -> None:
    async def bounded() -> None:
        offsets = Offsets(folder / "offsets")
        coordinator = Coordinator(offsets, nothing, CoordinatorLimits(GroupLimits(gather=0)))
        try:
            async with asyncio.timeout(30):
                await test(Broker(coordinator, ProducerIds(folder / "ids")))
        finally:
            coordinator.close()
            offsets.close()

    asyncio.run(bounded())


def test_who_names_a_partition_often_is_told_of_it_once(tmp_path: Path) -> None:
    """Else a request of four bytes for each had an answer of 4 KiB of metadata for each."""

    async def test(broker: Broker) -> None:
        partition = {"partition_index": 3, "committed_offset": 42, "committed_metadata": "m" * 4000}
        message = {"group_id": "g", "generation_id": -1, "topics": [{"name": "t", "partitions": [partition]}]}
        await ask(broker, OFFSET_COMMIT, OFFSET_COMMIT.newest, message)
        often = [{"name": "t", "partition_indexes": [3, 4, 3]}, {"name": "t", "partition_indexes": [3]}]
        told = await ask(broker, OFFSET_FETCH, OFFSET_FETCH.newest, {"group_id": "g", "topics": often})
        (topic,) = told["topics"]
        found = [(each["partition_index"], each["committed_offset"]) for each in topic["partitions"]]
        assert found == [(3, 42), (4, -1)]

    run(tmp_path, test)


@pytest.mark.parametrize("back", range(5))
def test_a_member_of_a_group_from_its_join_to_its_leave(tmp_path: Path, back: int) -> None:
    """In the newest version of each message, and in each older one as far as there is one."""

    def version(api: Api) -> int:
        return max(api.newest - back, api.oldest)

    async def test(broker: Broker) -> None:
        join = {
            "group_id": "g", "session_timeout_ms": 6000, "rebalance_timeout_ms": 9000, "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b"me"}],
        }  # fmt: skip
        joined = await ask(broker, JOIN_GROUP, version(JOIN_GROUP), join)
        if version(JOIN_GROUP) >= 4:
            assert joined["error_code"] == Error.MEMBER_ID_REQUIRED
            joined = await ask(broker, JOIN_GROUP, version(JOIN_GROUP), join | {"member_id": joined["member_id"]})
        name = joined["member_id"]
        assert name.startswith("me-")
        members = [{"member_id": name, "metadata": b"me"}]
        assert joined == {
            "throttle_time_ms": 0, "error_code": 0, "generation_id": 1, "protocol_name": "range", "leader": name,
            "member_id": name, "members": members,
        }  # fmt: skip
        me = {"group_id": "g", "generation_id": 1, "member_id": name}
        given = {"assignments": [{"member_id": name, "assignment": b"all"}]}
        synced = await ask(broker, SYNC_GROUP, version(SYNC_GROUP), me | given)
        assert (synced["error_code"], synced["assignment"]) == (0, b"all")
        assert (await ask(broker, HEARTBEAT, version(HEARTBEAT), me))["error_code"] == 0
        partition = {"partition_index": 3, "committed_offset": 42, "committed_metadata": "here"}
        commit = {
            "topics": [
                {"name": "t", "partitions": [partition, partition | {"partition_index": 4, "committed_metadata": None}]}
            ]
        }
        committed = await ask(broker, OFFSET_COMMIT, version(OFFSET_COMMIT), me | commit)
        fine = [{"partition_index": 3, "error_code": 0}, {"partition_index": 4, "error_code": 0}]
        assert committed["topics"] == [{"name": "t", "partitions": fine}]
        wanted = {"group_id": "g", "topics": [{"name": "t", "partition_indexes": [3, 5]}]}
        fetched = await ask(broker, OFFSET_FETCH, version(OFFSET_FETCH), wanted)
        assert [each["committed_offset"] for each in fetched["topics"][0]["partitions"]] == [42, -1]
        assert [each["metadata"] for each in fetched["topics"][0]["partitions"]] == ["here", ""]
        assert (await ask(broker, LEAVE_GROUP, version(LEAVE_GROUP), me))["error_code"] == 0
        assert (await ask(broker, HEARTBEAT, version(HEARTBEAT), me))["error_code"] == Error.UNKNOWN_MEMBER_ID

    run(tmp_path, test)


def test_all_that_a_group_has_committed(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        partitions = [{"partition_index": index, "committed_offset": index} for index in range(3)]
        commit = {"group_id": "g", "generation_id": -1, "topics": [{"name": n, "partitions": partitions} for n in "tu"]}
        await ask(broker, OFFSET_COMMIT, 6, commit)
        fetched = await ask(broker, OFFSET_FETCH, 7, {"group_id": "g", "topics": None})
        told = {topic["name"]: [p["committed_offset"] for p in topic["partitions"]] for topic in fetched["topics"]}
        assert told == {"t": [0, 1, 2], "u": [0, 1, 2]}
        assert (await ask(broker, OFFSET_FETCH, 7, {"group_id": "h", "topics": None}))["topics"] == []

    run(tmp_path, test)


@pytest.mark.parametrize("version", range(5))
def test_this_broker_coordinates_all_groups_and_no_transactions(tmp_path: Path, version: int) -> None:
    async def test(broker: Broker) -> None:
        found = await ask(broker, FIND_COORDINATOR, version, {"key": "g", "coordinator_keys": ["g"]})
        found = found["coordinators"][0] if version >= 4 else found
        assert (found["error_code"], found["node_id"], found["host"], found["port"]) == (0, 0, "host", 9092)
        if version:
            found = await ask(broker, FIND_COORDINATOR, version, {"key": "x", "key_type": 1, "coordinator_keys": ["x"]})
            found = found["coordinators"][0] if version >= 4 else found
            assert found["error_code"] == Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED

    run(tmp_path, test)


@pytest.mark.parametrize("version", range(5))
def test_producers_get_ids(tmp_path: Path, version: int) -> None:
    async def test(broker: Broker) -> None:
        ids = [(await ask(broker, INIT_PRODUCER_ID, version, {}))["producer_id"] for _ in range(3)]
        assert ids == [0, 1, 2]
        refused = await ask(broker, INIT_PRODUCER_ID, version, {"transactional_id": "x"})
        assert refused["error_code"] == Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        broken = Broker(broker.coordinator, ProducerIds(tmp_path / "nowhere" / "ids"))
        assert (await ask(broken, INIT_PRODUCER_ID, version, {}))["error_code"] == Error.KAFKA_STORAGE_ERROR

    run(tmp_path, test)


def test_a_version_of_api_versions_that_is_not_known_is_told_which_is(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        text = wire(API_VERSIONS, 3, {}).replace(b"\0\x12\0\3", b"\0\x12\0\x09")
        request = parse_request(SliceBuffer(text), HANDLERS)
        told = await request.handler(broker, request.message, request.context)
        assert told is not None
        answer = CompositeBuffer(encode_answer(request, told))[8:].reader()
        assert parse(API_VERSIONS.answer, 0, answer) == {
            "error_code": 35, "api_keys": [{"api_key": 18, "min_version": 0, "max_version": 3}], "throttle_time_ms": 0
        }  # fmt: skip
        assert answer.at_end
        offered = await ask(broker, API_VERSIONS, 3, {})
        assert {each["api_key"] for each in offered["api_keys"]} == set(HANDLERS)

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param(b"\x7f\xff\0\0\0\0\0\0\xff\xff", FrameError, id="unknown-api"),
        pytest.param(b"\0\x0b\0\x05\0\0\0\0\xff\xff", FrameError, id="unknown-version"),
        pytest.param(b"\0\x0b\xff\xff\0\0\0\0\xff\xff", FrameError, id="negative-version"),
        pytest.param(b"\0\x0b\0", Underrun, id="no-header"),
        pytest.param(wire(HEARTBEAT, 2, {})[:-1], Underrun, id="too-short"),
        pytest.param(wire(HEARTBEAT, 2, {}) + b"\0", FrameError, id="too-long"),
    ],
)
def test_what_is_no_request_is_an_error(text: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_request(SliceBuffer(text), HANDLERS)


def test_no_message_is_offered_in_a_version_that_knows_static_members() -> None:
    assert (JOIN_GROUP.newest, SYNC_GROUP.newest, HEARTBEAT.newest, LEAVE_GROUP.newest) == (4, 2, 2, 2)
    assert JOIN_GROUP.request.flexible == NEVER
