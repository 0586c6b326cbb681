"""Groups of consumers: who is in one, what they subscribe to, and up to where they have consumed.

Who is in a group is known from heartbeats and forgotten without: clients share the queues of a topic among the members
that they are told of, each by the same rule. Offsets are kept in ``offsets.json`` beside the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from . import durable
from .topics import is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from .limits import Limits

__all__ = ["GroupError", "Groups", "Offsets", "tags_of"]

_Key: TypeAlias = tuple[str, str, int]
"""A group, a topic, and a queue of that."""
_EVERYTHING: Final = "*"


class GroupError(ValueError):
    """There can be no such group, or not so much of it."""


def tags_of(expression: str) -> frozenset[str]:
    """Return the tags of a subscription, ``a || b``. None at all: every message."""
    tags = frozenset(tag.strip() for tag in expression.split("||"))
    return frozenset() if _EVERYTHING in tags else tags - {""}


@dataclass
class _Group:
    """Members, each with the time of the last heartbeat and the connection that it came by."""

    members: dict[str, tuple[float, object]] = field(default_factory=dict)
    subscriptions: dict[str, str] = field(default_factory=dict)


class Groups:
    """The groups whose members are connected."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._now = now
        self._groups: dict[str, _Group] = {}

    def hear(self, group: str, member: str, subscriptions: dict[str, str], connection: object) -> None:
        """Take in a heartbeat: the expressions of a member, by topic. Raises GroupError beyond a limit."""
        known = self._groups.get(group)
        if known is None:
            if len(self._groups) >= self._limits.groups:
                raise GroupError(f"there are {self._limits.groups} groups, and there may be no more")
            known = self._groups[group] = _Group()
        if member not in known.members and len(known.members) >= self._limits.members:
            raise GroupError(f"the group has {self._limits.members} members, and may have no more")
        known.members[member] = self._now(), connection
        known.subscriptions = subscriptions

    def leave(self, group: str, member: str) -> None:
        """Let a member go."""
        known = self._groups.get(group)
        if known is None:
            return
        known.members.pop(member, None)
        if not known.members:
            del self._groups[group]

    def lose(self, connection: object) -> None:
        """Let those go who came by a connection that has ended."""
        self._drop(lambda _, by: by is connection)

    def expire(self) -> None:
        """Let those go who have not been heard of for too long."""
        oldest = self._now() - self._limits.member_time
        self._drop(lambda heard, _: heard < oldest)

    def _drop(self, is_gone: Callable[[float, object], bool]) -> None:
        for name, group in [*self._groups.items()]:
            for member in [member for member, seen in group.members.items() if is_gone(*seen)]:
                self.leave(name, member)

    def members(self, group: str) -> list[str]:
        """Return who is in a group, in an order that is the same for all."""
        known = self._groups.get(group)
        return sorted(known.members) if known else []

    def subscription(self, group: str, topic: str) -> str | None:
        """Return what the group's last heartbeat said of a topic."""
        known = self._groups.get(group)
        return known.subscriptions.get(topic) if known else None


class Offsets:
    """Up to where each group has consumed each queue: the offset of the next message.

    They are written as a whole, by one thread at a time: whoever wants his written waits for the writing that begins
    after he came, together with all who came meanwhile.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._offsets = {_key_of(name): int(value) for name, value in durable.load(path).items()}
        self._changes = self._written = 0
        self._fault: OSError | None = None  # of the last writing
        self._is_last = False
        self._wanted = asyncio.Event()
        self._news = asyncio.Condition()

    def get(self, group: str, topic: str, queue: int) -> int | None:
        """Return an offset, if the group has one."""
        return self._offsets.get((group, topic, queue))

    def items(self) -> Iterable[tuple[_Key, int]]:
        """Return all of them."""
        return sorted(self._offsets.items())

    def put(self, group: str, topic: str, queue: int, offset: int) -> None:
        """Change an offset; it is written some time later. Raises GroupError if there can be none such, or no more."""
        if not is_name(group, self._limits.name):
            raise GroupError(f"there can be no group {group[: self._limits.name]!r}")
        key = group, topic, queue
        if key not in self._offsets and len(self._offsets) >= self._limits.offsets:
            raise GroupError(f"there are {self._limits.offsets} offsets, and there may be no more")
        if self._offsets.get(key) != offset:
            self._offsets[key] = offset
            self._changes += 1

    async def settle(self) -> None:
        """Wait until what was changed is on the disk. Raises the system's error if it cannot be."""
        until = self._changes
        self._fault = None
        self._wanted.set()
        async with self._news:
            await self._news.wait_for(lambda: self._written >= until or self._fault)
        if self._written < until and self._fault is not None:
            raise self._fault

    async def keep(self) -> None:
        """Write what changes, at once if anybody waits for it, until it is finished."""
        while not self._is_last:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._limits.offsets_time):
                    await self._wanted.wait()
            self._wanted.clear()
            await self._write()
        await self._write()  # what has changed while the last was being written

    def finish(self) -> None:
        """Have ``keep`` write what has changed, and end."""
        self._is_last = True
        self._wanted.set()

    async def _write(self) -> None:
        changes = self._changes
        if changes == self._written:
            return
        try:
            await asyncio.to_thread(_save, self._path, self._offsets.copy())
        except OSError as error:  # a full disk may have room again
            self._fault = error
        else:
            self._written = changes
        async with self._news:
            self._news.notify_all()


def _save(path: Path, offsets: dict[_Key, int]) -> None:
    """Write all offsets. Of a hundred thousand the text alone takes longer than an event loop may stand still."""
    durable.save(path, json.dumps({"\n".join(map(str, key)): value for key, value in offsets.items()}, indent=1))


def _key_of(name: str) -> _Key:
    group, topic, queue = name.split("\n")
    return group, topic, int(queue)
