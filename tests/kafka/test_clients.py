"""confluent-kafka, kafka-python and aiokafka, each in its default settings, against the broker as a process."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import Final

import pytest

from tests.conftest import IS_QUICK, PROFILE, needed
from tests.kafka.clients import CLIENTS, CODECS, EPOCH, consume, offset_for_time, produce, records
from tests.kafka.running import RunningBroker

COUNT: Final = 500 if IS_QUICK else 1_000_000 if PROFILE == "long" else 10_000
LARGEST: Final = 200 if IS_QUICK else 10_000 if PROFILE == "long" else 2_000
"""Every so-manieth record is as large as clients send by default."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with RunningBroker(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running
        assert running.stop() == 0


@pytest.mark.parametrize(
    ("client", "codec"), [(client, codec) for client in CLIENTS for codec in CODECS[client]], ids=lambda each: each
)
def test_records_come_back_in_order_none_lost_or_doubled(broker: RunningBroker, client: str, codec: str) -> None:
    needed(client)
    topic = f"all-{client}-{codec}"
    produce(client, broker.address, topic, records(COUNT, LARGEST), compression=codec)
    got = consume(client, broker.address, topic, 0, COUNT)
    assert [offset for offset, _ in got] == list(range(COUNT))
    for (_, came), sent in zip(got, records(COUNT, LARGEST), strict=True):
        assert came == sent


@pytest.mark.parametrize("reader", CLIENTS)
def test_what_one_has_written_the_others_read(broker: RunningBroker, reader: str) -> None:
    for writer in CLIENTS:
        needed(reader)
        needed(writer)
        topic = f"from-{writer}-to-{reader}"
        produce(writer, broker.address, topic, records(50, 40), compression="gzip")
        assert [record for _, record in consume(reader, broker.address, topic, 0, 50)] == list(records(50, 40))


@pytest.mark.parametrize("acks", [0, 1, "all"], ids=lambda acks: f"acks={acks}")
@pytest.mark.parametrize("client", CLIENTS)
def test_each_kind_of_acknowledgement(broker: RunningBroker, client: str, acks: int | str) -> None:
    needed(client)
    topic = f"acks-{client}-{acks}"
    produce(client, broker.address, topic, records(20, 10), acks=acks)
    assert [record for _, record in consume(client, broker.address, topic, 0, 20)] == list(records(20, 10))


@pytest.mark.parametrize("client", CLIENTS)
def test_seeking_by_offset_and_by_time(broker: RunningBroker, client: str) -> None:
    needed(client)
    topic = f"seek-{client}"
    produce(client, broker.address, topic, records(300, 1000))
    for offset in (0, 1, 150, 299):
        assert consume(client, broker.address, topic, offset, 1)[0][0] == offset
        assert offset_for_time(client, broker.address, topic, EPOCH + offset) == offset
    assert offset_for_time(client, broker.address, topic, EPOCH - 5) == 0


def fetch_request(topic: bytes, correlation: int) -> bytes:
    """A fetch of all that there is, version 4."""
    head = struct.pack(">hhih", 1, 4, correlation, -1) + struct.pack(">iiiib", -1, 500, 1, 50 << 20, 0)
    body = struct.pack(">ih", 1, len(topic)) + topic + struct.pack(">iiqi", 1, 0, 0, 50 << 20)
    return struct.pack(">i", len(head + body)) + head + body


@pytest.mark.parametrize("client", CLIENTS)
def test_who_does_not_read_what_he_has_asked_for_stalls_nobody(broker: RunningBroker, client: str) -> None:
    needed(client)
    topic = f"slow-{client}"
    produce(client, broker.address, topic, records(20, 2))
    host, _, port = broker.address.rpartition(":")
    asked = b"".join(fetch_request(topic.encode(), number) for number in range(20))
    slow = [socket.create_connection((host, int(port))) for _ in range(10)]
    try:
        for each in slow:
            each.sendall(asked)
        assert slow[0].recv(1)  # it has begun to be sent to
        produce(client, broker.address, topic, records(20, 2))
        assert [record for _, record in consume(client, broker.address, topic, 20, 20)] == list(records(20, 2))
    finally:
        for each in slow:
            each.close()
