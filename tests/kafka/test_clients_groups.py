"""Consumer groups, offsets and idempotent producers, by clients that nobody here wrote."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import PROFILE, needed
from tests.forked import Program, run_program
from tests.kafka.group_clients import CLIENTS
from tests.kafka.running import RunningBroker

needed("confluent_kafka")  # makes the topics

PARTITIONS: Final = 6
CLIENT: Final = "tests.kafka.group_clients"
PATIENCE: Final = 120
"""Seconds after which a test gives up."""
SESSION: Final = [] if PROFILE == "long" else ["2000"]
"""How soon a dead member is missed: by default up to 45 s, which the profile `long` alone waits."""


class Members:
    """Consumers in processes of their own, and all that they say, in order."""

    def __init__(self, client: str, address: str) -> None:
        self._arguments = ["member", client, address, *SESSION]
        self._said: queue.Queue[tuple[int, list[str]]] = queue.Queue()
        self._processes: dict[int, Program] = {}
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
        with Path(os.devnull).open("w") as nowhere:
            process = Program(CLIENT, *self._arguments, errors=nowhere.fileno())
        self._processes[number] = process
        thread = threading.Thread(target=self._listen, args=(number, process))
        self._threads.append(thread)
        thread.start()

    def kill(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.wait(PATIENCE)
        self.assigned.pop(number, None)

    def _listen(self, number: int, process: Program) -> None:
        with process:
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
    admin = needed("confluent_kafka.admin")
    client = admin.AdminClient({"bootstrap.servers": address})
    client.create_topics([admin.NewTopic(topic, partitions, 1)])[topic].result(PATIENCE)


def produced(address: str, topic: str, values: list[str], partitions: int = 1) -> None:
    """Produce values, to each partition in turn."""
    producer = needed("confluent_kafka").Producer({"bootstrap.servers": address})
    for number, value in enumerate(values):
        producer.produce(topic, value.encode(), partition=number % partitions)
    assert producer.flush(PATIENCE) == 0


def consumed(address: str, topic: str, count: int) -> list[str]:
    """All records of a topic's only partition, which are so many; and none comes after them."""
    confluent = needed("confluent_kafka")
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
    needed(client)
    made(broker.address, "topic", PARTITIONS)
    first, second, third = ([f"{name}{n}" for n in range(60)] for name in "abc")
    with Members(client, broker.address) as members:
        for number in range(3):
            members.add(number)
        members.until(lambda: members.shares(3))
        produced(broker.address, "topic", first, PARTITIONS)
        members.until(lambda: set(members.got) == set(first))
        if not SESSION:  # else a busy machine may have missed one that lives, and had its last records read again
            assert set(members.got.values()) == {1}, "nobody gets what another one has got"
        members.kill(1)
        produced(broker.address, "topic", second, PARTITIONS)
        members.until(lambda: members.shares(2) and set(members.got) == {*first, *second})
        broker.restart()
        produced(broker.address, "topic", third, PARTITIONS)
        members.until(lambda: set(members.got) == {*first, *second, *third})
        assert all(len(places) == 1 for places in members.places.values()), "each record is in the log once"


def consumed_in_group(client: str, address: str, count: int) -> list[str]:
    """So many values, by a consumer that commits them and leaves."""
    status, said, errors = run_program(CLIENT, "consume", client, address, str(count), patience=PATIENCE)
    assert status == 0, errors
    return said.split()


@pytest.mark.parametrize("client", CLIENTS)
def test_committed_offsets_survive_a_kill(broker: RunningBroker, client: str) -> None:
    needed(client)
    made(broker.address, "topic", 1)
    values = [str(n) for n in range(30)]
    produced(broker.address, "topic", values)
    assert consumed_in_group(client, broker.address, 10) == values[:10]
    broker.restart()
    assert consumed_in_group(client, broker.address, 20) == values[10:]


@pytest.mark.parametrize("client", CLIENTS)
def test_an_idempotent_producer_loses_and_doubles_nothing(broker: RunningBroker, client: str) -> None:
    """The broker is killed and started again while it is written to: answers are lost, and records sent again."""
    needed(client)
    kills, every = {"quick": 2, "long": 50}.get(PROFILE, 8), 500
    made(broker.address, "topic", 1)
    count = every * (kills + 1)
    with Program(CLIENT, "produce", client, broker.address, str(count), str(every)) as producer:
        for _ in range(kills):
            assert producer.stdout.readline() == "sent\n"
            producer.stdin.write("go on\n")
            producer.stdin.flush()
            broker.restart()
        producer.stdin.write("go on\n")
        producer.stdin.close()
        assert producer.wait(PATIENCE) == 0
    assert consumed(broker.address, "topic", count) == [str(n) for n in range(count)]
