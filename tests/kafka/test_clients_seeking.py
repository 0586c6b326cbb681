"""Consumers go where they like, by offset and by time; one that does not read stalls nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

import pytest

from bytebufs import CompositeBuffer
from examples.kafka.fields import encode
from examples.kafka.messages import FETCH
from tests.conftest import needed
from tests.forked import run_program
from tests.kafka.group_clients import CLIENTS, PATIENCE
from tests.kafka.running import RunningBroker

needed("confluent_kafka")

FIRST: Final = 1_700_000_000_000
"""The first record's time; each is a second later."""
COUNT: Final = 300
LARGE: Final = "x" * 900_000


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker with records of known times, in many batches, a few of them compressed."""
    confluent = needed("confluent_kafka")
    with RunningBroker(tmp_path_factory.mktemp("kafka") / "data") as running:
        for first in range(0, COUNT, 30):
            codec = "gzip" if first % 60 else "none"
            producer = confluent.Producer({"bootstrap.servers": running.address, "compression.type": codec})
            for number in range(first, first + 30):
                producer.produce("topic", str(number).encode(), partition=0, timestamp=FIRST + 1000 * number)
            assert producer.flush(PATIENCE) == 0
        producer = confluent.Producer({"bootstrap.servers": running.address})
        for _ in range(20):
            producer.produce("large", LARGE.encode(), partition=0)
            assert producer.flush(PATIENCE) == 0
        yield running


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("offset", "ms", "expected"),
    [
        pytest.param(0, FIRST + 1000 * 123, ["0", "123"], id="exact"),
        pytest.param(299, FIRST + 1000 * 44 + 1, ["299", "45"], id="between-two"),
        pytest.param(150, 0, ["150", "0"], id="before-all"),
        pytest.param(31, FIRST + 1000 * COUNT, ["31", "nothing"], id="after-all"),
    ],
)
def test_a_consumer_seeks(broker: RunningBroker, client: str, offset: int, ms: int, expected: list[str]) -> None:
    needed(client)
    seek = ["seek", client, broker.address, str(offset), str(ms)]
    status, said, errors = run_program("tests.kafka.group_clients", *seek, patience=PATIENCE)
    assert (status, said.split()) == (0, expected), errors


def fetch_of_all() -> bytes:
    """A request for 20 MB, as it stands on the wire."""
    partition = {"index": 0, "fetch_offset": 0, "partition_max_bytes": 50 << 20}
    message = {"max_bytes": 50 << 20, "topics": [{"name": "large", "partitions": [partition]}]}
    header = FETCH.key.to_bytes(2, "big") + (11).to_bytes(2, "big") + bytes(4) + b"\xff\xff"
    text = CompositeBuffer([header, *encode(FETCH.request, 11, message)]).tobytes()
    return len(text).to_bytes(4, "big") + text


def received(sock: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        more = sock.recv(min(count - len(got), 1 << 20))
        assert more, "the connection has ended"
        got += more
    return bytes(got)


def test_consumers_that_do_not_read_stall_nobody(broker: RunningBroker) -> None:
    confluent = needed("confluent_kafka")
    host, port = broker.address.split(":")
    slow = [socket.create_connection((host, int(port)), timeout=PATIENCE) for _ in range(20)]
    try:
        for sock in slow:
            sock.sendall(fetch_of_all() * 10)
        lengths = [int.from_bytes(received(sock, 4), "big") for sock in slow]  # their answers are under way
        consumer = confluent.Consumer({"bootstrap.servers": broker.address, "group.id": "fast"})
        consumer.assign([confluent.TopicPartition("large", 0, 0)])
        for _ in range(20):
            (message,) = consumer.consume(1, PATIENCE)
            assert message.value() == LARGE.encode()
        consumer.close()
        assert min(lengths) > 20 * len(LARGE)
        assert len(received(slow[-1], lengths[-1])) == lengths[-1], "what was slow goes on once it reads"
    finally:
        for sock in slow:
            sock.close()
