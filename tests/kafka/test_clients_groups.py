"""Consumer groups, offsets and idempotent producers, by clients that nobody here wrote."""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import IS_QUICK
from tests.kafka.group_member import CLIENTS
from tests.kafka.running import RunningBroker

PARTITIONS: Final = 6
PATIENCE: Final = 120
"""Seconds after which a test gives up."""
SESSION: Final = ["2000"] if IS_QUICK else []
"""How soon a dead member is missed: by default up to 45 s, which the quick profile does not wait."""


class Members:
    """Consumers in processes of their own, and all that they say, in order."""

    def __init__(self, client: str, address: str) -> None:
        self._command = [sys.executable, "-P", "-m", "tests.kafka.group_member", client, address, "group", "topic"]
        self._said: queue.Queue[tuple[int, list[str]]] = queue.Queue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._threads: list[threading.Thread] = []
        self.assigned: dict[int, list[int]] = {}
        self.got: Counter[str] = Counter()
        self.places: dict[str, set[tuple[int, int]]] = {}

    def __enter__(self) -> Members:
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._processes):
            self.kill(number)
        for thread in self._threads:
            thread.join()

    def add(self, number: int) -> None:
        process = subprocess.Popen(
            [*self._command, *SESSION], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._processes[number] = process
        thread = threading.Thread(target=self._listen, args=(number, process))
        self._threads.append(thread)
        thread.start()

    def kill(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.wait()
        self.assigned.pop(number, None)

    def _listen(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.endswith("\n"):
                    self._said.put((number, line.split()))

    def until(self, condition: Callable[[], bool]) -> None:
        """Hear what they say until it is so."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            number, words = self._said.get(timeout=max(deadline - time.monotonic(), 0.001))
            if words[0] == "got":
                self.got[words[3]] += 1
                self.places.setdefault(words[3], set()).add((int(words[1]), int(words[2])))
            elif number in self._processes:
                self.assigned[number] = [int(word) for word in words[1:]]

    def shares(self, count: int) -> bool:
        """Whether so many members share all partitions, each has one or more, and none has another's."""
        shared = sorted(partition for each in self.assigned.values() for partition in each)
        return shared == list(range(PARTITIONS)) and len([each for each in self.assigned.values() if each]) == count


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    with RunningBroker(tmp_path / "data", "--flush", "sync") as running:
        yield running


def made(address: str, topic: str, partitions: int) -> None:
    """Make a topic, and wait until it is there."""
    admin = pytest.importorskip("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": address})
    client.create_topics([admin.NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)


def produced(address: str, topic: str, values: list[str], partitions: int = 1) -> None:
    """Produce values, to each partition in turn."""
    producer = pytest.importorskip("confluent_kafka").Producer({"bootstrap.servers": address})
    for number, value in enumerate(values):
        producer.produce(topic, value.encode(), partition=number % partitions)
    assert producer.flush(PATIENCE) == 0


def consumed(address: str, topic: str, count: int) -> list[str]:
    """All records of a topic's only partition, which are so many; and none comes after them."""
    confluent = pytest.importorskip("confluent_kafka")
    consumer = confluent.Consumer({"bootstrap.servers": address, "group.id": "reader", "enable.auto.commit": False})
    try:
        partition = confluent.TopicPartition(topic, 0, 0)
        consumer.assign([partition])
        values: list[str] = []
        deadline = time.monotonic() + PATIENCE
        while len(values) < count and time.monotonic() < deadline:
            values += [message.value().decode() for message in consumer.consume(1000, 0.2) if message.error() is None]
        assert consumer.get_watermark_offsets(partition, PATIENCE) == (0, count)
        return values
    finally:
        consumer.close()


@pytest.mark.parametrize("client", CLIENTS)
def test_a_group_of_three_loses_a_member_and_the_broker_and_no_record(broker: RunningBroker, client: str) -> None:
    pytest.importorskip(client)
    made(broker.address, "topic", PARTITIONS)
    first, second, third = ([f"{name}{n}" for n in range(60)] for name in "abc")
    with Members(client, broker.address) as members:
        for number in range(3):
            members.add(number)
        members.until(lambda: members.shares(3))
        produced(broker.address, "topic", first, PARTITIONS)
        members.until(lambda: set(members.got) == set(first))
        assert set(members.got.values()) == {1}, "nobody gets what another one has got"
        members.kill(1)
        produced(broker.address, "topic", second, PARTITIONS)
        members.until(lambda: members.shares(2) and set(members.got) == {*first, *second})
        broker.restart()
        produced(broker.address, "topic", third, PARTITIONS)
        members.until(lambda: set(members.got) == {*first, *second, *third})
        assert all(len(places) == 1 for places in members.places.values()), "each record is in the log once"


def confluent_position(address: str, count: int) -> list[str]:
    confluent = pytest.importorskip("confluent_kafka")
    settings = {
        "bootstrap.servers": address,
        "group.id": "g",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = confluent.Consumer(settings)
    try:
        consumer.subscribe(["topic"])
        values: list[str] = []
        while len(values) < count:
            values += [m.value().decode() for m in consumer.consume(count - len(values), 1) if m.error() is None]
        consumer.commit(asynchronous=False)
        return values
    finally:
        consumer.close()


def kafka_python_position(address: str, count: int) -> list[str]:
    kafka = pytest.importorskip("kafka")
    consumer = kafka.KafkaConsumer(
        "topic", bootstrap_servers=address, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False
    )
    try:
        values = [next(consumer).value.decode() for _ in range(count)]
        consumer.commit()
        return values
    finally:
        consumer.close()


def aiokafka_position(address: str, count: int) -> list[str]:
    aiokafka = pytest.importorskip("aiokafka")

    async def consume() -> list[str]:
        consumer = aiokafka.AIOKafkaConsumer(
            "topic", bootstrap_servers=address, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False
        )
        async with asyncio.timeout(PATIENCE):
            await consumer.start()
            try:
                values = [(await consumer.getone()).value.decode() for _ in range(count)]
                await consumer.commit()
                return values
            finally:
                await consumer.stop()

    return asyncio.run(consume())


@pytest.mark.parametrize(
    "consume",
    [confluent_position, kafka_python_position, aiokafka_position],
    ids=["confluent_kafka", "kafka", "aiokafka"],
)
def test_committed_offsets_survive_a_kill(broker: RunningBroker, consume: Callable[[str, int], list[str]]) -> None:
    made(broker.address, "topic", 1)
    values = [str(n) for n in range(30)]
    produced(broker.address, "topic", values)
    assert consume(broker.address, 10) == values[:10]
    broker.restart()
    assert consume(broker.address, 20) == values[10:]


def confluent_producing(address: str, values: list[str], sent: Callable[[], None]) -> None:
    producer = pytest.importorskip("confluent_kafka").Producer(
        {"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 0}
    )
    errors: list[Any] = []
    for value in values:
        producer.produce("topic", value.encode(), on_delivery=lambda error, _: errors.append(error))
        producer.poll(0)
        sent()
    assert producer.flush(PATIENCE) == 0
    assert errors == [None] * len(values)


def kafka_python_producing(address: str, values: list[str], sent: Callable[[], None]) -> None:
    producer = pytest.importorskip("kafka").KafkaProducer(bootstrap_servers=address, enable_idempotence=True)
    try:
        futures = []
        for value in values:
            futures.append(producer.send("topic", value.encode()))
            sent()
        for future in futures:
            future.get(PATIENCE)
    finally:
        producer.close()


def aiokafka_producing(address: str, values: list[str], sent: Callable[[], None]) -> None:
    aiokafka = pytest.importorskip("aiokafka")

    async def produce() -> None:
        async with asyncio.timeout(PATIENCE):
            async with aiokafka.AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True) as producer:
                futures = []
                for value in values:
                    futures.append(await producer.send("topic", value.encode()))
                    await asyncio.to_thread(sent)
                await asyncio.gather(*futures)

    asyncio.run(produce())


@pytest.mark.parametrize(
    "produce",
    [confluent_producing, kafka_python_producing, aiokafka_producing],
    ids=["confluent_kafka", "kafka", "aiokafka"],
)
def test_an_idempotent_producer_loses_and_doubles_nothing(
    broker: RunningBroker, produce: Callable[[str, list[str], Callable[[], None]], None]
) -> None:
    """The broker is killed and started again while it is written to: answers are lost, and records sent again."""
    kills = 3 if IS_QUICK else 20
    made(broker.address, "topic", 1)
    values = [str(n) for n in range(500 * (kills + 1))]
    count = 0

    def sent() -> None:
        nonlocal count
        count += 1
        if count % 500 == 0 and count < len(values):
            broker.restart()

    produce(broker.address, values, sent)
    assert consumed(broker.address, "topic", len(values)) == values
