"""A consumer in a process of its own: it says what it is assigned and what it gets, a line each, until it is killed.

    python -m tests.kafka.group_member CLIENT HOST:PORT GROUP TOPIC [SESSION_MS]

    assigned 0 2 5
    got PARTITION OFFSET VALUE

Settings are the clients' defaults, but for where a group begins that has committed nothing, and SESSION_MS, which says
how soon a member that dies is missed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = ["CLIENTS", "main"]


def say(*words: object) -> None:
    """Print a line at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def say_assigned(partitions: Iterable[Any]) -> None:
    """Print what is assigned."""
    say("assigned", *sorted(each.partition for each in partitions))


def confluent(address: str, group: str, topic: str, session: int | None) -> None:
    """Consume by librdkafka."""
    from confluent_kafka import Consumer

    settings: dict[str, Any] = {"bootstrap.servers": address, "group.id": group, "auto.offset.reset": "earliest"}
    if session is not None:
        settings |= {"session.timeout.ms": session, "heartbeat.interval.ms": session // 4}
    consumer = Consumer(settings)
    consumer.subscribe([topic], on_assign=lambda _, partitions: say_assigned(partitions))
    while True:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            say("got", message.partition(), message.offset(), (message.value() or b"").decode())


def kafka_python(address: str, group: str, topic: str, session: int | None) -> None:
    """Consume by kafka-python."""
    from kafka import ConsumerRebalanceListener, KafkaConsumer

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc, unused-ignore]
        def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        def on_partitions_assigned(self, assigned: Any) -> None:
            say_assigned(consumer.assignment())

    times = {} if session is None else {"session_timeout_ms": session, "heartbeat_interval_ms": session // 4}
    consumer = KafkaConsumer(bootstrap_servers=address, group_id=group, auto_offset_reset="earliest", **times)
    consumer.subscribe([topic], listener=Listener())
    for message in consumer:
        say("got", message.partition, message.offset, message.value.decode())


def aiokafka(address: str, group: str, topic: str, session: int | None) -> None:
    """Consume by aiokafka."""
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc, unused-ignore]
        async def on_partitions_revoked(self, revoked: Any) -> None:
            pass

        async def on_partitions_assigned(self, assigned: Any) -> None:
            say_assigned(assigned)

    async def consume() -> None:
        times = {} if session is None else {"session_timeout_ms": session, "heartbeat_interval_ms": session // 4}
        consumer = AIOKafkaConsumer(bootstrap_servers=address, group_id=group, auto_offset_reset="earliest", **times)
        consumer.subscribe([topic], listener=Listener())
        await consumer.start()
        async for message in consumer:
            say("got", message.partition, message.offset, message.value.decode())

    asyncio.run(consume())


CLIENTS: Final[dict[str, Callable[[str, str, str, int | None], None]]] = {
    "confluent_kafka": confluent,
    "kafka": kafka_python,
    "aiokafka": aiokafka,
}
"""By the names of their modules."""


def main(arguments: list[str]) -> None:
    """Consume until killed."""
    client, address, group, topic, *session = arguments
    CLIENTS[client](address, group, topic, int(session[0]) if session else None)


if __name__ == "__main__":
    main(sys.argv[1:])
