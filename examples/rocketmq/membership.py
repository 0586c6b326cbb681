"""What consumers say of themselves: that they are there, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .codes import Request, Response
from .remoting import FieldError, json_object
from .topics import RETRY, is_name

if TYPE_CHECKING:
    from .connection import Answer, Connection, Handler
    from .consumers import Groups, Offsets
    from .limits import Limits
    from .remoting import Command
    from .store import Store
    from .topics import Topics

__all__ = ["Membership"]


class Membership:
    """Answers to heartbeats, and about offsets."""

    def __init__(self, store: Store, groups: Groups, offsets: Offsets, topics: Topics, limits: Limits) -> None:
        self._store = store
        self._groups = groups
        self._offsets = offsets
        self._topics = topics
        self._limits = limits
        self.handlers: dict[int, Handler] = {
            Request.HEART_BEAT: self._hear,
            Request.UNREGISTER_CLIENT: self._leave,
            Request.GET_CONSUMER_LIST_BY_GROUP: self._list,
            Request.QUERY_CONSUMER_OFFSET: self._query,
            Request.UPDATE_CONSUMER_OFFSET: self._update,
        }

    def _hear(self, request: Command, connection: Connection) -> Command:
        if len(request.body) > self._limits.head:
            raise FieldError(f"a heartbeat of {len(request.body)} bytes, more than {self._limits.head}")
        heartbeat = json_object(request.body)
        member = _text(heartbeat, "clientID")
        if len(member) > self._limits.member_name:
            raise FieldError(f"a member's name of {len(member)} characters, more than {self._limits.member_name}")
        groups = []
        for data in _objects(heartbeat, "consumerDataSet"):
            group = self._group(_text(data, "groupName"))
            subscriptions = {
                _text(subscription, "topic"): _text(subscription, "subString")
                for subscription in _objects(data, "subscriptionDataSet")
            }
            self._groups.hear(group, member, subscriptions, connection)
            groups.append(RETRY + group)
        self._topics.of_groups(groups)
        return request.answer(Response.SUCCESS)

    def _leave(self, request: Command, _: Connection) -> Command:
        self._groups.leave(request.text("consumerGroup", ""), request.text("clientID"))
        return request.answer(Response.SUCCESS)

    def _list(self, request: Command, _: Connection) -> Command:
        group = request.text("consumerGroup")
        members = self._groups.members(group)
        if not members:
            return request.answer(Response.SYSTEM_ERROR, f"nobody is in the group {group}")
        return request.answer(Response.SUCCESS, body=json.dumps({"consumerIdList": members}).encode())

    def _query(self, request: Command, _: Connection) -> Command:
        group, topic, queue = request.text("consumerGroup"), request.text("topic"), request.number("queueId")
        offset = self._offsets.get(group, topic, queue)
        if offset is None and self._store.max_offset(topic, queue) == 0:
            offset = 0  # whether from the first or from the last message on, it begins there
        if offset is None:
            return request.answer(Response.QUERY_NOT_FOUND, f"{group} has no offset in queue {queue} of {topic}")
        return request.answer(Response.SUCCESS, offset=offset)

    def _update(self, request: Command, _: Connection) -> Answer:
        offset = request.number("commitOffset", least=-1)
        if offset < 0:
            return request.answer(Response.SUCCESS)  # ali-ons says -1 of a queue of which it has consumed nothing
        topic, queue = request.text("topic"), request.number("queueId")
        known = self._topics.get(topic)
        if known is None or queue >= known.read:
            raise FieldError(f"there is no queue {queue} of {topic[: self._limits.name]}")
        self._offsets.put(request.text("consumerGroup"), topic, queue, offset)
        return self._updated(request)

    async def _updated(self, request: Command) -> Command:
        await self._offsets.settle()
        return request.answer(Response.SUCCESS)

    def _group(self, name: str) -> str:
        if not is_name(RETRY + name, self._limits.name):
            raise FieldError(f"there can be no group {name[: self._limits.name]!r}")
        return name


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        raise FieldError(f"{name} is missing")
    return value


def _objects(data: Mapping[str, Any], name: str) -> Iterable[Mapping[str, Any]]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FieldError(f"{name} is no list of objects")
    return value
