"""What is answered about topics and their logs: Metadata, CreateTopics, ListOffsets, Produce, Fetch; no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

from bytebufs import BaseBuffer, CompositeBuffer, SliceBuffer
from examples.kafka.batch import HEADER, Batch, checksum
from examples.kafka.broker import HANDLERS, Broker
from examples.kafka.errors import Error
from examples.kafka.fields import Api, Message, encode, parse
from examples.kafka.messages import CREATE_TOPICS, FETCH, LIST_OFFSETS, METADATA, PRODUCE
from examples.kafka.records import Record
from examples.kafka.records import encode as encode_records
from examples.kafka.requests import encode_answer, parse_request
from examples.kafka.settings import LogSettings
from examples.kafka.store import Store
from tests.kafka.test_producer_states import numbered

SETTINGS: Final = LogSettings(max_message_bytes=10_000, flush_ms=50)


def run(folder: Path, test: Callable[[Broker], Awaitable[None]], *, auto_create: bool = True) -> None:
    async def bounded() -> None:
        broker = Broker(Store(folder / "data", SETTINGS, auto_create=auto_create))
        broker.address = ("host", 9092)
        try:
            async with asyncio.timeout(60):
                await test(broker)
        finally:
            await broker.aclose()

    asyncio.run(bounded())


async def ask(broker: Broker, api: Api, message: Message, version: int = -1) -> Message:
    """Send a request, in the newest version if none is told, and understand the answer."""
    version = api.newest if version < 0 else version
    header = api.key.to_bytes(2, "big") + version.to_bytes(2, "big") + bytes(4) + b"\xff\xff"
    tags = b"\0" if version >= api.request.flexible else b""
    text = CompositeBuffer([header, tags, *encode(api.request, version, message)])
    request = parse_request(text, HANDLERS)
    told = await request.handler(broker, request.message, request.context)
    if told is None:
        return {}
    answer = CompositeBuffer(encode_answer(request, told)).reader()
    answer.skip(9 if version >= api.answer.flexible else 8)
    understood = parse(api.answer, version, answer)
    assert answer.at_end
    return understood


def batch(count: int = 1, size: int = 10, *, at: int = 1000, attributes: int = 0) -> BaseBuffer:
    """A batch; of a kind that the attributes say."""
    text = bytearray(encode_records([Record(0, at + n, None, b"x" * size) for n in range(count)]).tobytes())
    header = Batch._make(HEADER.unpack_from(text))._replace(attributes=attributes)
    HEADER.pack_into(text, 0, *header)
    HEADER.pack_into(text, 0, *header._replace(crc=checksum(SliceBuffer(text))))
    return SliceBuffer(bytes(text))


async def produce(broker: Broker, records: BaseBuffer | None, topic: str = "t", **changed: Any) -> Message:
    partitions = [{"index": 0, "records": records}]
    message = {"acks": -1, "topics": [{"name": topic, "partitions": partitions}]} | changed
    answer = await ask(broker, PRODUCE, message)
    return answer["topics"][0]["partitions"][0] if answer else answer


async def fetch(broker: Broker, offset: int = 0, topic: str = "t", **changed: Any) -> list[Message]:
    """The answer about each partition; of one, if the request names no topics."""
    asked = {"index": 0, "fetch_offset": offset, "partition_max_bytes": changed.pop("of_partition", 1 << 20)}
    message = {"max_bytes": 1 << 20, "min_bytes": 1, "topics": [{"name": topic, "partitions": [asked]}]} | changed
    answer = await ask(broker, FETCH, message)
    return [partition for topic in answer["topics"] for partition in topic["partitions"]]


# ------------------------------------------------------------------------------------------------------------ topics


@pytest.mark.parametrize("version", range(METADATA.newest + 1))
def test_a_topic_is_made_when_it_is_first_asked_for(tmp_path: Path, version: int) -> None:
    async def test(broker: Broker) -> None:
        told = await ask(broker, METADATA, {"topics": [{"name": "t"}]}, version)
        (host,) = told["brokers"]
        assert (host["node_id"], host["host"], host["port"]) == (0, "host", 9092)
        (topic,) = told["topics"]
        assert (topic["error_code"], topic["name"], len(topic["partitions"])) == (0, "t", 1)
        assert topic["partitions"][0]["leader_id"] == 0
        every = await ask(broker, METADATA, {"topics": None if version else []}, version)
        assert [each["name"] for each in every["topics"]] == ["t"]

    run(tmp_path, test)


def test_who_names_a_topic_often_is_told_of_it_once(tmp_path: Path) -> None:
    """Else a request of a few bytes for each of its topics had an answer of a thousand partitions for each."""

    async def test(broker: Broker) -> None:
        broker.store.create("t", 3)
        told = await ask(broker, METADATA, {"topics": [{"name": name} for name in "tutut"]})
        assert [(each["name"], len(each["partitions"])) for each in told["topics"]] == [("t", 3), ("u", 1)]

    run(tmp_path, test)


def test_a_topic_is_not_made_where_client_or_broker_do_not_want_it(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        wanted = {"topics": [{"name": "t"}], "allow_auto_topic_creation": not broker.store.auto_create}
        (topic,) = (await ask(broker, METADATA, wanted))["topics"]
        assert topic["error_code"] == Error.UNKNOWN_TOPIC_OR_PARTITION
        assert not broker.store.topics()

    run(tmp_path, test)
    run(tmp_path, test, auto_create=False)


def test_no_topic_has_a_name_that_is_a_path(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        for name in ("", ".", "..", "a/b", "x" * 250, "é"):
            (topic,) = (await ask(broker, METADATA, {"topics": [{"name": name}]}))["topics"]
            assert topic["error_code"] == Error.INVALID_TOPIC_EXCEPTION

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({}, Error.NONE, id="fine"),
        pytest.param({"num_partitions": -1}, Error.NONE, id="default-number"),
        pytest.param({"num_partitions": 0}, Error.INVALID_PARTITIONS, id="no-partitions"),
        pytest.param({"num_partitions": 1 << 30}, Error.POLICY_VIOLATION, id="many-partitions"),
        pytest.param({"replication_factor": 3}, Error.INVALID_REPLICATION_FACTOR, id="replicas"),
        pytest.param({"name": "there"}, Error.TOPIC_ALREADY_EXISTS, id="is-there"),
        pytest.param({"configs": [{"name": "retention.ms", "value": "1"}]}, Error.INVALID_CONFIG, id="configs"),
        pytest.param(
            {"assignments": [{"partition_index": 0, "broker_ids": [1]}]},
            Error.INVALID_REPLICA_ASSIGNMENT,
            id="elsewhere",
        ),
        pytest.param({"assignments": [{"partition_index": 0, "broker_ids": [0]}]}, Error.NONE, id="assigned"),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_topics_are_made_or_refused(tmp_path: Path, changed: Message, error: Error, validate_only: bool) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("there")
        topic = {"name": "new", "num_partitions": 3, "replication_factor": 1} | changed
        told = await ask(broker, CREATE_TOPICS, {"topics": [topic], "validate_only": validate_only})
        assert told["topics"][0]["error_code"] == error
        assert ("new" in broker.store.topics()) == (error is Error.NONE and not validate_only)

    run(tmp_path, test)


@pytest.mark.parametrize("version", range(LIST_OFFSETS.oldest, LIST_OFFSETS.newest + 1))
def test_offsets_are_found_by_time(tmp_path: Path, version: int) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        for first in (1000, 2000):
            await produce(broker, batch(10, at=first))
        asked = [{"index": index, "timestamp": ms} for index, ms in ((0, -2), (0, -1), (0, 1500), (0, 3000), (7, -1))]
        told = await ask(broker, LIST_OFFSETS, {"topics": [{"name": "t", "partitions": asked}]}, version)
        partitions = told["topics"][0]["partitions"]
        assert [each["offset"] for each in partitions] == [0, 20, 10, -1, -1]
        assert [each["timestamp"] for each in partitions] == [-1, -1, 2000, -1, -1]
        assert [each["error_code"] for each in partitions] == [0, 0, 0, 0, Error.UNKNOWN_TOPIC_OR_PARTITION]

    run(tmp_path, test)


def _many() -> Message:
    """A request of any of these kinds, for many partitions."""
    asked = {"index": 0, "timestamp": 1005, "fetch_offset": 0, "partition_max_bytes": 1, "records": batch()}
    return {"topics": [{"name": "t", "partitions": [asked] * 400}], "acks": -1, "max_bytes": 1, "min_bytes": 1}


@pytest.mark.parametrize("api", [LIST_OFFSETS, PRODUCE, FETCH], ids=["list-offsets", "produce", "fetch"])
def test_others_have_their_turn_while_many_partitions_are_looked_at(tmp_path: Path, api: Api) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        await produce(broker, batch(10))
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        going = asyncio.create_task(other())
        await ask(broker, api, _many())
        assert turns >= 6
        going.cancel()

    run(tmp_path, test)


def test_what_is_written_while_a_fetch_looks_around_ends_its_wait(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        broker.store.create("u")
        asked = {"index": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
        often = [{"name": "t", "partitions": [asked]}, {"name": "u", "partitions": [asked] * 300}]
        waiting = asyncio.create_task(fetch(broker, topics=often, max_wait_ms=50_000))
        await asyncio.sleep(0)  # it has looked at some
        await produce(broker, batch())
        told = await waiting
        assert len(told[0]["records"]) == len(batch())

    run(tmp_path, test)


# ----------------------------------------------------------------------------------------------------------- produce


@pytest.mark.parametrize(
    ("records", "changed", "error"),
    [
        pytest.param(batch(), {"topic": "other"}, Error.UNKNOWN_TOPIC_OR_PARTITION, id="unknown-topic"),
        pytest.param(batch(), {"acks": 2}, Error.INVALID_REQUIRED_ACKS, id="acks"),
        pytest.param(batch(), {"transactional_id": "x"}, Error.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, id="transaction"),
        pytest.param(batch(attributes=16), {}, Error.INVALID_RECORD, id="transactional"),
        pytest.param(batch(attributes=32), {}, Error.INVALID_RECORD, id="control"),
        pytest.param(batch(size=10_000), {}, Error.MESSAGE_TOO_LARGE, id="too-large"),
        pytest.param(batch(at=1 << 62), {}, Error.INVALID_TIMESTAMP, id="of-years-to-come"),
        pytest.param(None, {}, Error.INVALID_RECORD, id="null"),
        pytest.param(SliceBuffer(b""), {}, Error.INVALID_RECORD, id="nothing"),
        pytest.param(batch()[:-1], {}, Error.CORRUPT_MESSAGE, id="cut-short"),
        pytest.param(batch()[:50], {}, Error.CORRUPT_MESSAGE, id="half-a-header"),
        pytest.param(SliceBuffer(batch().tobytes()[:-1] + b"?"), {}, Error.CORRUPT_MESSAGE, id="checksum"),
        pytest.param(SliceBuffer(bytes(100)), {}, Error.CORRUPT_MESSAGE, id="zeros"),
        pytest.param(numbered(5, 1), {}, Error.OUT_OF_ORDER_SEQUENCE_NUMBER, id="out-of-order"),
        pytest.param(CompositeBuffer([numbered(0, 1), batch()]), {}, Error.INVALID_RECORD, id="two-batches"),
        pytest.param(CompositeBuffer([batch(), numbered(0, 1)]), {}, Error.INVALID_RECORD, id="two-batches-reversed"),
        pytest.param(CompositeBuffer([batch(), batch()]), {}, Error.INVALID_RECORD, id="two-that-are-fine"),
        pytest.param(CompositeBuffer([batch(), batch(attributes=32)]), {}, Error.INVALID_RECORD, id="control-behind"),
    ],
)
def test_records_are_refused(tmp_path: Path, records: BaseBuffer | None, changed: Message, error: Error) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        assert (await produce(broker, records, **changed))["error_code"] == error
        assert [log.end for _, _, log in broker.store.logs()] == [0]
        assert (await produce(broker, batch()))["base_offset"] == 0, "and nothing has remained of them"

    run(tmp_path, test)


def test_a_batch_that_says_more_records_than_there_can_be_is_refused(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        for count, error in ((1 << 20, Error.NONE), ((1 << 20) + 1, Error.INVALID_RECORD)):
            text = bytearray(batch().tobytes())
            header = Batch._make(HEADER.unpack_from(text))._replace(records=count, last_offset_delta=count - 1)
            HEADER.pack_into(text, 0, *header)
            HEADER.pack_into(text, 0, *header._replace(crc=checksum(SliceBuffer(text))))
            assert (await produce(broker, SliceBuffer(bytes(text))))["error_code"] == error
        assert [log.end for _, _, log in broker.store.logs()] == [1 << 20]

    run(tmp_path, test)


def test_one_who_wants_no_answer_gets_none(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        assert not await produce(broker, batch(3), acks=0)
        assert (await produce(broker, batch(2), acks=1))["base_offset"] == 3

    run(tmp_path, test)


# ------------------------------------------------------------------------------------------------------------- fetch


def test_a_fetch_has_limits_but_for_its_first_batch(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t", 2)
        one = len(batch(1, 1000))
        for _ in range(5):
            await produce(broker, batch(1, 1000))
        for most, batches in ((1, 1), (one, 1), (2 * one - 1, 1), (2 * one, 2), (10 * one, 5)):
            for limit in ("max_bytes", "of_partition"):
                (told,) = await fetch(broker, 0, "t", **{limit: most})
                assert len(told["records"]) == batches * one
                assert (told["high_watermark"], told["log_start_offset"]) == (5, 0)
        asked = {"index": 0, "fetch_offset": 3, "partition_max_bytes": 1 << 20}
        twice = [{"name": "t", "partitions": [asked, asked]}]
        sizes = [len(told["records"]) for told in await fetch(broker, topics=twice, max_bytes=3 * one)]
        assert sizes == [2 * one, one], "the second has what the first has left"
        sizes = [len(told["records"]) for told in await fetch(broker, topics=twice, max_bytes=one)]
        assert sizes == [one, 0]

    run(tmp_path, test)


def test_a_fetch_waits_for_as_much_as_it_wants(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        one = len(batch())
        waiting = asyncio.create_task(fetch(broker, min_bytes=2 * one, max_wait_ms=50_000))
        await produce(broker, batch())
        done, _ = await asyncio.wait([waiting], timeout=0.05)
        assert not done
        await produce(broker, batch())
        (told,) = await waiting
        assert len(told["records"]) == 2 * one

    run(tmp_path, test)


def test_a_fetch_that_waits_long_enough_is_answered_with_what_there_is(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        began = time.monotonic()
        (told,) = await fetch(broker, max_wait_ms=50)
        assert (told["error_code"], len(told["records"])) == (0, 0)
        assert time.monotonic() - began >= 0.05
        assert await fetch(broker, topics=[], max_wait_ms=10) == []

    run(tmp_path, test)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        pytest.param({"offset": 2}, Error.OFFSET_OUT_OF_RANGE, id="behind-the-end"),
        pytest.param({"offset": -1}, Error.OFFSET_OUT_OF_RANGE, id="negative"),
        pytest.param({"topic": "other"}, Error.UNKNOWN_TOPIC_OR_PARTITION, id="unknown-topic"),
    ],
)
def test_a_fetch_of_what_is_not_there_is_told_so_at_once(tmp_path: Path, changed: Message, error: Error) -> None:
    async def test(broker: Broker) -> None:
        broker.store.create("t")
        await produce(broker, batch())
        (told,) = await fetch(broker, max_wait_ms=50_000, **changed)
        assert told["error_code"] == error

    run(tmp_path, test)


def test_there_are_no_sessions(tmp_path: Path) -> None:
    async def test(broker: Broker) -> None:
        told = await ask(broker, FETCH, {"session_id": 7, "max_wait_ms": 50_000})
        assert told["error_code"] == Error.FETCH_SESSION_ID_NOT_FOUND

    run(tmp_path, test)


def test_what_fails_when_it_is_due_is_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def test(broker: Broker) -> None:
        done = asyncio.Event()
        with mock.patch.object(Store, "tend") as tend:
            tend.side_effect = lambda: done.set() if tend.call_count == 2 else _fail()
            tending = asyncio.create_task(broker.tend())
            await done.wait()
            tending.cancel()

    run(tmp_path, test)
    assert capsys.readouterr().err == "kafka: no\n"


def _fail() -> None:
    raise OSError("no")
