"""Topics: their names, and how many queues each has. Kept in ``topics.json`` beside the log."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from . import durable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .limits import Limits

__all__ = ["AUTO_CREATE", "DEAD", "READ", "RETRY", "WRITE", "NoTopicError", "Topic", "TopicError", "Topics", "is_name"]

AUTO_CREATE: Final = "TBW102"
"""The topic that clients ask for when there is none of a name: new ones are made after its pattern."""
RETRY: Final = "%RETRY%"
"""With a group's name behind it, the topic of what its consumers have failed on."""
DEAD: Final = "%DLQ%"
"""... and of what they have failed on too often."""
READ: Final = 4
WRITE: Final = 2
"""Permissions, as routes tell them."""
_QUEUES: Final = 4
"""Of a topic that is made at its first use: the defaultTopicQueueNums of producers."""
_SHOWN: Final = 127
_NAME: Final = re.compile(r"[%|a-zA-Z0-9_-]+", re.ASCII)


def is_name(name: str, most: int) -> bool:
    """Whether a topic or group may be called so. No name is that of a folder above, or of two things."""
    return len(name) <= most and _NAME.fullmatch(name) is not None


class TopicError(ValueError):
    """There can be no such topic."""


class NoTopicError(ValueError):
    """There is no such topic."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no topic {name[:_SHOWN]}")


@dataclass(frozen=True)
class Topic:
    """How many queues there are to write to and to read from, and whether one may."""

    write: int = _QUEUES
    read: int = _QUEUES
    permissions: int = READ | WRITE


class Topics:
    """All topics of a broker, by name."""

    def __init__(self, path: Path, limits: Limits, *, auto_create: bool) -> None:
        self.auto_create = auto_create
        self._path = path
        self._limits = limits
        self._topics = {name: Topic(**fields) for name, fields in durable.load(path).items()}

    def __len__(self) -> int:
        return len(self._topics)

    def get(self, name: str) -> Topic | None:
        """Return a topic, if there is one. The pattern for new ones is there if they may be made."""
        if name == AUTO_CREATE and self.auto_create:
            return Topic()
        return self._topics.get(name)

    def at_first_use(self, name: str) -> Topic:
        """Return a topic. One that is not there is made, unless that was forbidden. Raises NoTopicError, TopicError."""
        topic = self.get(name)
        if topic is not None:
            return topic
        if not self.auto_create:
            raise NoTopicError(name)
        return self.of_group(name) if name.startswith((RETRY, DEAD)) else self._made(name, Topic())

    def of_group(self, name: str) -> Topic:
        """Return a topic that a group needs for itself: it is made in any case. Raises TopicError."""
        return self.get(name) or self._made(name, Topic(1, 1))

    def of_groups(self, names: Iterable[str]) -> None:
        """Have such topics, all that are missing by one writing, or none of them. Raises TopicError."""
        self._put({name: Topic(1, 1) for name in names if self.get(name) is None})

    def _made(self, name: str, topic: Topic) -> Topic:
        self.put(name, topic)
        return topic

    def put(self, name: str, topic: Topic) -> None:
        """Make a topic, or change it. It is on the disk when this returns. Raises TopicError."""
        self._put({name: topic})

    def _put(self, wanted: dict[str, Topic]) -> None:
        for name, topic in wanted.items():
            self._check(name, topic)
        topics = {**self._topics, **wanted}
        if len(topics) > max(len(self._topics), self._limits.topics):
            raise TopicError(f"there may be no more than {self._limits.topics} topics")
        if topics == self._topics:
            return
        durable.save(self._path, json.dumps({key: asdict(value) for key, value in topics.items()}, indent=1))
        self._topics = topics

    def _check(self, name: str, topic: Topic) -> None:
        if not is_name(name, self._limits.name) or name == AUTO_CREATE:
            raise TopicError(
                f"there is no topic named {name[:200]!r}: up to {self._limits.name} of A-Z a-z 0-9 _ - % |"
            )
        if not 1 <= min(topic.write, topic.read) <= max(topic.write, topic.read) <= self._limits.queues:
            raise TopicError(f"a topic has 1 to {self._limits.queues} queues, not {topic.write} and {topic.read}")
