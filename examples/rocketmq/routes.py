"""The name server: which broker has a topic, and how many queues of it. This one knows a single broker, itself.

In RocketMQ it is a program of its own, which brokers register with. Clients see no difference: they ask one address for
routes and are sent to another, here the very one that they have connected to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from .codes import Request, Response
from .topics import READ, WRITE, Topic

if TYPE_CHECKING:
    from .connection import Connection, Handler
    from .remoting import Command
    from .topics import Topics

__all__ = ["BROKER", "MASTER", "Routes"]

BROKER: Final = "broker-a"
"""The broker's name: clients keep what they know of a queue under it, so it is always the same."""
MASTER: Final = "0"
"""The number of a broker that may be written to. There are no others here."""


class Routes:
    """Answers to whoever asks for topics, or makes some."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.handlers: dict[int, Handler] = {
            Request.GET_ROUTEINTO_BY_TOPIC: self._route,
            Request.GET_KV_CONFIG_BY_VALUE: self._configuration,
            Request.UPDATE_AND_CREATE_TOPIC: self._create,
        }

    def _route(self, request: Command, connection: Connection) -> Command:
        name = request.text("topic")
        topic = self._topics.at_first_use(name)
        host, port = connection.here
        queues = {
            "brokerName": BROKER, "readQueueNums": topic.read, "writeQueueNums": topic.write,
            "perm": topic.permissions, "topicSynFlag": 0,
        }  # fmt: skip
        brokers = {"cluster": BROKER, "brokerName": BROKER, "brokerAddrs": {MASTER: f"{host}:{port}"}}
        route = {"queueDatas": [queues], "brokerDatas": [brokers], "filterServerTable": {}}
        return request.answer(Response.SUCCESS, body=json.dumps(route).encode())

    def _configuration(self, request: Command, _: Connection) -> Command:
        return request.answer(Response.QUERY_NOT_FOUND, f"nothing is configured for {request.text('key')}")

    def _create(self, request: Command, _: Connection) -> Command:
        topic = Topic(
            request.number("writeQueueNums"),
            request.number("readQueueNums"),
            request.number("perm", READ | WRITE, most=READ | WRITE),
        )
        self._topics.put(request.text("topic"), topic)
        return request.answer(Response.SUCCESS)
