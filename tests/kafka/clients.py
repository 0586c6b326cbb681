"""Clients that nobody here wrote, in their default settings: each writes records to a topic, and reads them.

What a settings' dictionary has beyond the address is what a test asks for: a codec, acknowledgements.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, Final, NamedTuple

__all__ = ["CLIENTS", "CODECS", "EPOCH", "Record", "consume", "offset_for_time", "produce", "records"]

CLIENTS: Final = ["confluent_kafka", "kafka", "aiokafka"]
CODECS: Final = {
    "confluent_kafka": ["none", "gzip", "snappy", "lz4", "zstd"],
    "kafka": ["none", "gzip"],
    "aiokafka": ["none", "gzip"],
}
"""By the clients: the codecs that they have without a further package."""
LARGEST: Final = 998_000
"""Bytes: with its key and headers it is what all three send by default, a million or a mebibyte."""
EPOCH: Final = 1_700_000_000_000
"""Milliseconds: of the first record."""
PATIENCE: Final = 120
_NOISE: Final = random.Random(14).randbytes(LARGEST + 1009)


class Record(NamedTuple):
    """What is sent and has to come back."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp: int


def records(count: int, largest: int) -> Iterator[Record]:
    """Yield records of mixed sizes, the same each time: most of them small, every ``largest``-th as large as may be."""
    for number in range(count):
        size = LARGEST if number % largest == largest - 1 else (number * 7919) % (5 if number % 3 else 1009)
        start = number % 1009
        key = None if number % 5 == 0 else b"%d" % number
        headers = [("number", b"%d" % number), ("", b"")][: number % 3]
        yield Record(key, _NOISE[start : start + size], headers, EPOCH + number)


def produce(client: str, address: str, topic: str, what: Iterable[Record], **settings: Any) -> None:
    """Write records to partition 0 and wait until all of them are acknowledged."""
    _PRODUCE[client](address, topic, what, settings)


def consume(client: str, address: str, topic: str, offset: int, count: int) -> list[tuple[int, Record]]:
    """Read so many records of partition 0 from an offset on, with their offsets."""
    return _CONSUME[client](address, topic, offset, count)


def offset_for_time(client: str, address: str, topic: str, ms: int) -> int:
    """Ask for the first record of partition 0 at a time or later."""
    return _FOR_TIME[client](address, topic, ms)


# --------------------------------------------------------------------------------------------------- confluent-kafka


def _confluent_produce(address: str, topic: str, what: Iterable[Record], settings: dict[str, Any]) -> None:
    failed: list[Any] = []
    renamed = {name.replace("compression", "compression.type"): value for name, value in settings.items()}
    producer = import_module("confluent_kafka").Producer({"bootstrap.servers": address, **renamed})

    def told(error: Any, _: Any) -> None:
        if error is not None:
            failed.append(error)

    for key, value, headers, ms in what:
        while True:
            try:
                producer.produce(topic, value, key, partition=0, headers=headers, timestamp=ms, on_delivery=told)
                break
            except BufferError:  # its queue is full
                producer.poll(1)
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0
    assert failed == []


def _confluent_consumer(address: str) -> Any:
    return import_module("confluent_kafka").Consumer({"bootstrap.servers": address, "group.id": "reader"})


def _confluent_consume(address: str, topic: str, offset: int, count: int) -> list[tuple[int, Record]]:
    consumer = _confluent_consumer(address)
    consumer.assign([import_module("confluent_kafka").TopicPartition(topic, 0, offset)])
    got: list[tuple[int, Record]] = []
    while len(got) < count:
        messages = consumer.consume(min(count - len(got), 1000), PATIENCE)
        assert messages
        for each in messages:
            assert each.error() is None
            record = Record(each.key(), each.value(), each.headers() or [], each.timestamp()[1])
            got.append((each.offset(), record))
    consumer.close()
    return got


def _confluent_for_time(address: str, topic: str, ms: int) -> int:
    consumer = _confluent_consumer(address)
    [found] = consumer.offsets_for_times([import_module("confluent_kafka").TopicPartition(topic, 0, ms)], PATIENCE)
    consumer.close()
    return int(found.offset)


# ------------------------------------------------------------------------------------------------------ kafka-python


def _kafka_produce(address: str, topic: str, what: Iterable[Record], settings: dict[str, Any]) -> None:
    kafka = import_module("kafka")
    codec = {"compression_type": settings.pop("compression", None)}
    if codec["compression_type"] == "none":
        codec = {}
    acks = {"acks": settings["acks"], "enable_idempotence": settings["acks"] == "all"} if "acks" in settings else {}
    producer = kafka.KafkaProducer(bootstrap_servers=address, **codec, **acks)
    sent = [producer.send(topic, value, key, headers, partition=0, timestamp_ms=ms) for key, value, headers, ms in what]
    producer.flush(PATIENCE)
    for each in sent:
        each.get(PATIENCE)
    producer.close()


def _kafka_consumer(address: str, topic: str) -> tuple[Any, Any]:
    kafka = import_module("kafka")
    consumer, partition = kafka.KafkaConsumer(bootstrap_servers=address), kafka.TopicPartition(topic, 0)
    consumer.assign([partition])
    return consumer, partition


def _kafka_consume(address: str, topic: str, offset: int, count: int) -> list[tuple[int, Record]]:
    consumer, partition = _kafka_consumer(address, topic)
    consumer.seek(partition, offset)
    got: list[tuple[int, Record]] = []
    while len(got) < count:
        found = consumer.poll(PATIENCE * 1000)
        assert found
        got += [(at.offset, Record(at.key, at.value, list(at.headers), at.timestamp)) for at in found[partition]]
    consumer.close()
    return got[:count]


def _kafka_for_time(address: str, topic: str, ms: int) -> int:
    consumer, partition = _kafka_consumer(address, topic)
    found = consumer.offsets_for_times({partition: ms})
    consumer.close()
    return int(found[partition].offset)


# ---------------------------------------------------------------------------------------------------------- aiokafka


def _aiokafka_produce(address: str, topic: str, what: Iterable[Record], settings: dict[str, Any]) -> None:
    codec = settings.pop("compression", "none")
    chosen = settings if codec == "none" else {"compression_type": codec, **settings}

    async def run() -> None:
        async with asyncio.timeout(PATIENCE * 10), _aiokafka("AIOKafkaProducer", address, **chosen) as producer:
            sent = [
                await producer.send(topic, value, key, partition=0, timestamp_ms=ms, headers=headers)
                for key, value, headers, ms in what
            ]
            await producer.flush()
            await asyncio.gather(*sent)

    asyncio.run(run())


def _aiokafka(kind: str, address: str, **settings: Any) -> Any:
    return getattr(import_module("aiokafka"), kind)(bootstrap_servers=address, **settings)


def _aiokafka_consume(address: str, topic: str, offset: int, count: int) -> list[tuple[int, Record]]:
    async def run() -> list[tuple[int, Record]]:
        partition = import_module("aiokafka").TopicPartition(topic, 0)
        got: list[tuple[int, Record]] = []
        async with asyncio.timeout(PATIENCE * 10), _aiokafka("AIOKafkaConsumer", address) as consumer:
            consumer.assign([partition])
            consumer.seek(partition, offset)
            while len(got) < count:
                each = await consumer.getone()
                got.append((each.offset, Record(each.key, each.value, list(each.headers), each.timestamp)))
        return got

    return asyncio.run(run())


def _aiokafka_for_time(address: str, topic: str, ms: int) -> int:
    async def run() -> int:
        partition = import_module("aiokafka").TopicPartition(topic, 0)
        async with asyncio.timeout(PATIENCE), _aiokafka("AIOKafkaConsumer", address) as consumer:
            return int((await consumer.offsets_for_times({partition: ms}))[partition].offset)

    return asyncio.run(run())


_PRODUCE: Final = {"confluent_kafka": _confluent_produce, "kafka": _kafka_produce, "aiokafka": _aiokafka_produce}
_CONSUME: Final = {"confluent_kafka": _confluent_consume, "kafka": _kafka_consume, "aiokafka": _aiokafka_consume}
_FOR_TIME: Final = {"confluent_kafka": _confluent_for_time, "kafka": _kafka_for_time, "aiokafka": _aiokafka_for_time}
