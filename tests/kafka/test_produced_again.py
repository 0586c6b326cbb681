"""A batch whose answer was lost with its connection is sent again, and written once."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bytebufs import CompositeBuffer, SliceBuffer
from examples.kafka.errors import Error
from examples.kafka.fields import Api, Message, encode, parse
from examples.kafka.messages import LIST_OFFSETS, METADATA, PRODUCE
from tests.kafka.running import RunningBroker
from tests.kafka.test_producer_states import numbered

TOPIC: Final = "topic"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RunningBroker]:
    with RunningBroker(tmp_path / "data", "--flush", "sync") as running:
        with connected(running) as sock:
            ask(sock, METADATA, 1, {"topics": [{"name": TOPIC}]})
        yield running


def connected(broker: RunningBroker) -> socket.socket:
    host, port = broker.address.split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def send(sock: socket.socket, api: Api, version: int, message: Message) -> None:
    header = api.key.to_bytes(2, "big") + version.to_bytes(2, "big") + bytes(4) + b"\xff\xff"
    text = CompositeBuffer([header, *encode(api.request, version, message)]).tobytes()
    sock.sendall(len(text).to_bytes(4, "big") + text)


def ask(sock: socket.socket, api: Api, version: int, message: Message) -> Message:
    send(sock, api, version, message)
    with sock.makefile("rb") as file:
        text = file.read(int.from_bytes(file.read(4), "big"))
    return parse(api.answer, version, SliceBuffer(text)[4:].reader())


def batch(sequence: int, count: int) -> Message:
    """A request to produce so many records of an idempotent producer."""
    partition = {"index": 0, "records": numbered(sequence, count)}
    return {"acks": -1, "timeout_ms": 30_000, "topics": [{"name": TOPIC, "partitions": [partition]}]}


def produce(sock: socket.socket, sequence: int, count: int) -> tuple[int, int]:
    """The error, and the offset."""
    told = ask(sock, PRODUCE, 7, batch(sequence, count))["topics"][0]["partitions"][0]
    return told["error_code"], told["base_offset"]


def end(sock: socket.socket) -> int:
    asked = {"replica_id": -1, "topics": [{"name": TOPIC, "partitions": [{"index": 0, "timestamp": -1}]}]}
    return int(ask(sock, LIST_OFFSETS, 1, asked)["topics"][0]["partitions"][0]["offset"])


@pytest.mark.parametrize("restarts", ["never", "by a kill", "in good order"])
def test_a_batch_is_written_once_however_often_its_connection_is_lost(broker: RunningBroker, restarts: str) -> None:
    for attempt in range(4):
        with connected(broker) as sock:
            send(sock, PRODUCE, 7, batch(0, 10))
            if attempt % 2:  # it has been written, and the answer is lost; else nobody knows
                sock.recv(1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if restarts == "by a kill":
        broker.restart()
    elif restarts == "in good order":
        assert broker.stop() == 0
        broker.start()
    with connected(broker) as sock:
        assert produce(sock, 0, 10) == (0, 0)
        assert produce(sock, 10, 5) == (0, 10)
        assert produce(sock, 0, 10) == (0, 0)
        assert produce(sock, 16, 5) == (Error.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
        assert end(sock) == 15


def test_batches_that_arrive_together_by_several_connections_are_written_once(broker: RunningBroker) -> None:
    """The client has given the first connection up; the broker has not heard of that."""
    socks = [connected(broker) for _ in range(10)]
    try:
        for sock in socks:
            send(sock, PRODUCE, 7, batch(0, 10))
        for sock in socks:
            assert sock.recv(4, socket.MSG_WAITALL)
        with connected(broker) as sock:
            assert end(sock) == 10
    finally:
        for sock in socks:
            sock.close()
