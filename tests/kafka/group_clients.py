"""Programs that use a broker by clients that nobody here wrote, each in a process of its own, which may be killed.

    python -m tests.kafka.group_clients member  CLIENT HOST:PORT [SESSION_MS]    consume in a group until killed
    python -m tests.kafka.group_clients consume CLIENT HOST:PORT COUNT           so many, then commit and leave
    python -m tests.kafka.group_clients produce CLIENT HOST:PORT COUNT EVERY     0, 1, ..., by an idempotent producer
    python -m tests.kafka.group_clients seek    CLIENT HOST:PORT OFFSET MS       what is there, and what is then

A member says "assigned PARTITION ..." and "got PARTITION OFFSET VALUE", a line each; what consumes says the values. A
producer says "sent" after each EVERY records, most of them not acknowledged yet, and waits for a line. Who seeks says
the record at the offset, and the first one at that time or later, or "nothing". Settings are the clients' defaults, but
for what a test is about: where a group begins that has committed nothing, and SESSION_MS, which says how soon a member
that dies is missed. The group is ``group``, the topic is ``topic``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final

__all__ = ["CLIENTS", "main"]

PATIENCE: Final = 120


def say(*words: object) -> None:
    """Print a line at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def say_assigned(partitions: Iterable[Any]) -> None:
    """Print what is assigned."""
    say("assigned", *sorted(each.partition for each in partitions))


def pause(number: int, every: int) -> None:
    """Say so after each ``every`` records, and wait until the test has done what it does."""
    if (number + 1) % every == 0:
        say("sent")
        sys.stdin.readline()


# --------------------------------------------------------------------------------------------------- confluent-kafka


def confluent_settings(address: str) -> dict[str, Any]:
    return {"bootstrap.servers": address, "group.id": "group", "auto.offset.reset": "earliest"}


def confluent_member(address: str, session: int | None = None) -> None:
    settings = confluent_settings(address)
    if session is not None:
        settings |= {"session.timeout.ms": session, "heartbeat.interval.ms": session // 4}
    consumer = import_module("confluent_kafka").Consumer(settings)
    consumer.subscribe(["topic"], on_assign=lambda _, partitions: say_assigned(partitions))
    while True:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            say("got", message.partition(), message.offset(), message.value().decode())


def confluent_consume(address: str, count: int) -> None:
    consumer = import_module("confluent_kafka").Consumer(confluent_settings(address) | {"enable.auto.commit": False})
    consumer.subscribe(["topic"])
    while count:
        for message in consumer.consume(count, 1):
            assert message.error() is None
            say(message.value().decode())
            count -= 1
    consumer.commit(asynchronous=False)
    consumer.close()


def confluent_produce(address: str, count: int, every: int) -> None:
    errors: list[Any] = []
    producer = import_module("confluent_kafka").Producer({"bootstrap.servers": address, "enable.idempotence": True})
    for number in range(count):
        producer.produce("topic", b"%d" % number, on_delivery=lambda error, _: errors.append(error))
        producer.poll(0)
        pause(number, every)
    assert producer.flush(PATIENCE) == 0
    assert errors == [None] * count


def confluent_seek(address: str, offset: int, ms: int) -> None:
    confluent = import_module("confluent_kafka")
    consumer = confluent.Consumer(confluent_settings(address))
    found = consumer.offsets_for_times([confluent.TopicPartition("topic", 0, ms)], PATIENCE)[0].offset
    consumer.assign([confluent.TopicPartition("topic", 0, offset)])
    say(consumer.consume(1, PATIENCE)[0].value().decode())
    if found < 0:  # that is how it says the end
        say("nothing")
    else:
        consumer.seek(confluent.TopicPartition("topic", 0, found))
        say(consumer.consume(1, PATIENCE)[0].value().decode())
    consumer.close()


# ------------------------------------------------------------------------------------------------------ kafka-python


def kafka_settings(address: str) -> dict[str, Any]:
    return {"bootstrap_servers": address, "group_id": "group", "auto_offset_reset": "earliest"}


def kafka_member(address: str, session: int | None = None) -> None:
    kafka = import_module("kafka")

    class Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc, name-defined]
        def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        def on_partitions_assigned(self, assigned: Any) -> None:
            say_assigned(consumer.assignment())

    times = {} if session is None else {"session_timeout_ms": session, "heartbeat_interval_ms": session // 4}
    consumer = kafka.KafkaConsumer(**kafka_settings(address), **times)
    consumer.subscribe(["topic"], listener=Listener())
    for message in consumer:
        say("got", message.partition, message.offset, message.value.decode())


def kafka_consume(address: str, count: int) -> None:
    consumer = import_module("kafka").KafkaConsumer("topic", **kafka_settings(address), enable_auto_commit=False)
    for _ in range(count):
        say(next(consumer).value.decode())
    consumer.commit()
    consumer.close()


def kafka_produce(address: str, count: int, every: int) -> None:
    producer = import_module("kafka").KafkaProducer(bootstrap_servers=address, enable_idempotence=True)
    futures = []
    for number in range(count):
        futures.append(producer.send("topic", b"%d" % number))
        pause(number, every)
    for future in futures:
        future.get(PATIENCE)
    producer.close()


def kafka_seek(address: str, offset: int, ms: int) -> None:
    kafka = import_module("kafka")
    consumer, partition = kafka.KafkaConsumer(bootstrap_servers=address), kafka.TopicPartition("topic", 0)
    consumer.assign([partition])
    consumer.seek(partition, offset)
    say(next(consumer).value.decode())
    found = consumer.offsets_for_times({partition: ms})[partition]
    if found is None:
        say("nothing")
    else:
        consumer.seek(partition, found.offset)
        say(next(consumer).value.decode())
    consumer.close()


# ---------------------------------------------------------------------------------------------------------- aiokafka


def aiokafka_member(address: str, session: int | None = None) -> None:
    aiokafka = import_module("aiokafka")

    class Listener(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc, name-defined]
        async def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        async def on_partitions_assigned(self, assigned: Any) -> None:
            say_assigned(assigned)

    async def consume() -> None:
        times = {} if session is None else {"session_timeout_ms": session, "heartbeat_interval_ms": session // 4}
        consumer = aiokafka.AIOKafkaConsumer(**kafka_settings(address), **times)
        consumer.subscribe(["topic"], listener=Listener())
        await consumer.start()
        async for message in consumer:
            say("got", message.partition, message.offset, message.value.decode())

    asyncio.run(consume())


def aiokafka_consume(address: str, count: int) -> None:
    aiokafka = import_module("aiokafka")

    async def consume() -> None:
        settings = kafka_settings(address)
        async with aiokafka.AIOKafkaConsumer("topic", **settings, enable_auto_commit=False) as consumer:
            for _ in range(count):
                say((await consumer.getone()).value.decode())
            await consumer.commit()

    asyncio.run(consume())


def aiokafka_produce(address: str, count: int, every: int) -> None:
    aiokafka = import_module("aiokafka")

    async def produce() -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=address, enable_idempotence=True) as producer:
            futures = []
            for number in range(count):
                futures.append(await producer.send("topic", b"%d" % number))
                await asyncio.to_thread(pause, number, every)
            await asyncio.gather(*futures)

    asyncio.run(produce())


def aiokafka_seek(address: str, offset: int, ms: int) -> None:
    aiokafka = import_module("aiokafka")

    async def seek() -> None:
        async with aiokafka.AIOKafkaConsumer(bootstrap_servers=address) as consumer:
            partition = aiokafka.TopicPartition("topic", 0)
            consumer.assign([partition])
            consumer.seek(partition, offset)
            say((await consumer.getone()).value.decode())
            found = (await consumer.offsets_for_times({partition: ms}))[partition]
            if found is None:
                say("nothing")
            else:
                consumer.seek(partition, found.offset)
                say((await consumer.getone()).value.decode())

    asyncio.run(seek())


PROGRAMS: Final[dict[str, dict[str, Callable[..., None]]]] = {
    "member": {"confluent_kafka": confluent_member, "kafka": kafka_member, "aiokafka": aiokafka_member},
    "consume": {"confluent_kafka": confluent_consume, "kafka": kafka_consume, "aiokafka": aiokafka_consume},
    "seek": {"confluent_kafka": confluent_seek, "kafka": kafka_seek, "aiokafka": aiokafka_seek},
    "produce": {"confluent_kafka": confluent_produce, "kafka": kafka_produce, "aiokafka": aiokafka_produce},
}
CLIENTS: Final = tuple(PROGRAMS["member"])
"""The names of their modules."""


def main(arguments: list[str]) -> None:
    """Run a program."""
    program, client, address, *numbers = arguments
    PROGRAMS[program][client](address, *map(int, numbers))


if __name__ == "__main__":
    main(sys.argv[1:])
