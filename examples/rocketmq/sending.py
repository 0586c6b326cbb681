"""Messages that come in: from producers, and back from consumers that have failed on them.

A body is copied once, out of the memory that it was received into, to its place in the log. A message that a consumer
sends back goes to the topic of the group's failures, from where its members get it again, at once: delays, which
RocketMQ has levels of, are not kept here. One that has failed too often goes to the topic of the dead, which nobody
subscribes to.
"""

from __future__ import annotations

import random
import socket
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .codes import Request, Response
from .record import Message
from .remoting import FieldError
from .topics import DEAD, RETRY, WRITE, is_name

if TYPE_CHECKING:
    from .connection import Address, Answer, Connection, Handler
    from .limits import Limits
    from .remoting import Command
    from .store import Placed, Store
    from .topics import Topics

__all__ = ["Sending", "properties_of", "properties_text"]

V2: Final = {
    "producerGroup": "a", "topic": "b", "queueId": "e", "sysFlag": "f", "bornTimestamp": "g", "flag": "h",
    "properties": "i", "reconsumeTimes": "j", "batch": "m",
}  # fmt: skip
"""What SEND_MESSAGE_V2 calls the fields of SEND_MESSAGE, to be shorter."""
_TRANSACTION: Final = 0b1100
"""Of ``sysFlag``: the message is part of a transaction."""
_TIMES: Final = 16
"""That a message is tried again: the maxReconsumeTimes of consumers."""
_LEAST_32: Final = -(1 << 31)
_MOST_32: Final = (1 << 31) - 1


def properties_of(text: str) -> dict[str, str]:
    """Read the properties of a message: names and values, by characters that are in neither."""
    pairs = (item.partition("\1") for item in text.split("\2") if item)
    return {name: value for name, _, value in pairs}


def properties_text(properties: dict[str, str]) -> str:
    """Write the properties of a message."""
    return "".join(f"{name}\1{value}\2" for name, value in properties.items())


class Sending:
    """Answers to those who send messages."""

    def __init__(self, store: Store, topics: Topics, limits: Limits) -> None:
        self._store = store
        self._topics = topics
        self._limits = limits
        self.handlers: dict[int, Handler] = {
            Request.SEND_MESSAGE: self._send,
            Request.SEND_MESSAGE_V2: self._send_v2,
            Request.CONSUMER_SEND_MSG_BACK: self._send_back,
        }

    def _send_v2(self, request: Command, connection: Connection) -> Answer:
        request.fields = {name: request.fields[short] for name, short in V2.items() if short in request.fields}
        return self._send(request, connection)  # the very one, whose body is let go of while it waits for the disk

    def _send(self, request: Command, connection: Connection) -> Answer:
        complaint = self._complaint(request)
        if complaint:
            return request.answer(Response.MESSAGE_ILLEGAL, complaint)
        name = request.text("topic")
        topic = self._topics.at_first_use(name)
        if not topic.permissions & WRITE:
            return request.answer(Response.NO_PERMISSION, f"nothing may be sent to {name}")
        queue = request.number("queueId", -1, least=-1, most=topic.write - 1)
        message = Message(
            topic=name,
            queue=queue if queue >= 0 else random.randrange(topic.write),
            body=request.body,
            properties=request.text("properties", "").encode(),
            flag=request.number("flag", 0, least=_LEAST_32, most=_MOST_32),
            sys_flag=request.number("sysFlag", 0, least=_LEAST_32, most=_MOST_32),
            born_at=request.number("bornTimestamp", 0),
            born_host=connection.peer,
            store_host=connection.here,
            reconsume_times=request.number("reconsumeTimes", 0, most=_MOST_32),
        )
        return self._stored(request, self._store.put(message), connection)

    def _complaint(self, request: Command) -> str:
        """Return why a message is none that can be kept, or nothing."""
        limits = self._limits
        if len(request.body) > limits.body:
            return f"a body of {len(request.body)} bytes, more than {limits.body}"
        if len(request.text("properties", "").encode()) > limits.properties:
            return f"properties of more than {limits.properties} bytes"
        if request.number("sysFlag", 0, least=_LEAST_32, most=_MOST_32) & _TRANSACTION:
            return "there are no transactions here"
        if request.flag_of("batch"):
            return "there are no batches here"
        return ""

    def _send_back(self, request: Command, connection: Connection) -> Answer:
        group = request.text("group")
        if not is_name(RETRY + group, self._limits.name):
            raise FieldError(f"there can be no group {group[: self._limits.name]!r}")
        failed = self._store.message_at(request.number("offset"))
        if failed is None:
            return request.answer(Response.SYSTEM_ERROR, "there is no such message")
        properties = properties_of(failed.properties.decode(errors="replace"))
        properties.setdefault("RETRY_TOPIC", failed.topic)
        properties.setdefault("ORIGIN_MESSAGE_ID", request.text("originMsgId", ""))
        times = failed.reconsume_times + 1
        is_dead = request.number("delayLevel", 0, least=_LEAST_32, most=_MOST_32) < 0 or times > request.number(
            "maxReconsumeTimes", _TIMES
        )
        name = (DEAD if is_dead else RETRY) + group
        self._topics.of_group(name)
        again = replace(
            failed, topic=name, queue=0, properties=properties_text(properties).encode(), reconsume_times=times
        )
        return self._stored(request, self._store.put(again), connection)

    async def _stored(self, request: Command, placed: Placed, connection: Connection) -> Command:
        await self._store.settle(placed)
        return request.answer(
            Response.SUCCESS,
            msgId=_id_of(connection.here, placed.position),
            queueId=placed.queue,
            queueOffset=placed.offset,
        )


def _id_of(host: Address, position: int) -> str:
    """Name a message for ever: by the broker's address and its position in the log."""
    return (socket.inet_aton(host[0]) + struct.pack(">IQ", host[1], position)).hex().upper()
