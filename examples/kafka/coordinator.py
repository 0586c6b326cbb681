"""The groups of a broker, on its event loop: joins and syncs that wait, timers that wake groups, offsets that are kept.

Groups are made at the first join and forgotten when the last member has gone; their offsets are not. All of them
together are bounded: by their number, their members' number, and the bytes that members say of themselves and are
assigned. Where there is no room, who comes is told that the coordinator is not available, which clients take as a
reason to ask again later.

A member whose connection breaks while it waits is still waited for until its timeouts are over, as in Kafka: most
come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar, final
from uuid import uuid4

from .errors import Error, Refused
from .groups import Group
from .members import GroupLimits, Join, Joined, Synced
from .offsets import Committed, Offsets, Place

__all__ = ["Coordinator", "CoordinatorLimits"]

CLIENT: Final = 64
"""Letters of a client's name that its members' ids begin with."""

Answer = TypeVar("Answer")


@final
@dataclass(frozen=True, slots=True)
class CoordinatorLimits:
    """How much all groups may have together. What their offsets may have, ``OffsetLimits`` says."""

    group: GroupLimits = field(default_factory=GroupLimits)
    groups: int = 10_000
    """Groups that have members."""
    size: int = 64 << 20
    """Bytes that all members say of themselves and are assigned."""


@final
class Coordinator:
    """The groups. ``settle`` returns once what was committed is as safe as the broker promises."""

    def __init__(
        self,
        offsets: Offsets,
        settle: Callable[[], Awaitable[None]],
        limits: CoordinatorLimits | None = None,
    ) -> None:
        self._offsets = offsets
        self._settle = settle
        self._limits = CoordinatorLimits() if limits is None else limits
        self._groups: dict[str, Group] = {}
        self._sizes: dict[str, int] = {}
        self.size = 0
        """Bytes that are kept for all members."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def close(self) -> None:
        """Stop the timers. Whoever waits, waits on: those tasks are the server's to end."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def join(self, name: str, said: Join) -> Joined:
        """Let a member in, and wait for the generation to begin."""
        if not 0 < len(name.encode()) <= self._offsets.limits.name:
            return Joined(Error.INVALID_GROUP_ID, said.member)
        group = self._groups.get(name)
        if self.size + said.size > self._limits.size or (group is None and len(self._groups) >= self._limits.groups):
            return Joined(Error.COORDINATOR_NOT_AVAILABLE, said.member)
        if group is None:
            group = self._groups[name] = Group(self._limits.group, _new_id)
        waiting, answer = _waiting(Joined)
        group.join(said, answer, _now())
        self._look_after(name, group)
        return await waiting

    async def sync(self, name: str, member: str, generation: int, given: Mapping[str, bytes]) -> Synced:
        """Wait for what the leader gives."""
        group = self._groups.get(name)
        if group is None:
            return Synced(Error.UNKNOWN_MEMBER_ID)
        if self.size + sum(map(len, given.values())) > self._limits.size:
            return Synced(Error.COORDINATOR_NOT_AVAILABLE)
        waiting, answer = _waiting(Synced)
        group.sync(member, generation, given, answer, _now())
        self._look_after(name, group)
        return await waiting

    def heartbeat(self, name: str, member: str, generation: int) -> Error:
        """Hear of a member. Its timer runs on, and finds out when it rings."""
        group = self._groups.get(name)
        return Error.UNKNOWN_MEMBER_ID if group is None else group.heartbeat(member, generation, _now())

    def leave(self, name: str, member: str) -> Error:
        """Let a member go."""
        group = self._groups.get(name)
        if group is None:
            return Error.UNKNOWN_MEMBER_ID
        error = group.leave(member, _now())
        self._look_after(name, group)
        return error

    async def commit(
        self, name: str, member: str, generation: int, entries: Mapping[Place, Committed]
    ) -> dict[Place, Error]:
        """Keep offsets, and say of each whether it is kept."""
        group = self._groups.get(name) or Group(self._limits.group, _new_id)
        if (error := group.commit(member, generation, _now())) is not Error.NONE:
            return dict.fromkeys(entries, error)
        errors = {place: self._offsets.check(name, place, entry) for place, entry in entries.items()}
        kept = {place: entry for place, entry in entries.items() if errors[place] is Error.NONE}
        return errors | dict.fromkeys(kept, await self._keep(name, kept))

    def committed(self, name: str) -> Mapping[Place, Committed]:
        """What a group has committed."""
        return self._offsets.of(name)

    # ------------------------------------------------------------------------------------------------------------

    async def _keep(self, name: str, entries: Mapping[Place, Committed]) -> Error:
        try:
            self._offsets.commit(name, entries, self._groups.keys())
            await self._settle()
        except Refused as refused:
            return refused.error
        except OSError:
            return Error.KAFKA_STORAGE_ERROR
        return Error.NONE

    def _look_after(self, name: str, group: Group) -> None:
        """Know a group's size, wake it when it wants to be, or forget it. To be called after all but heartbeats."""
        size = group.size
        self.size += size - self._sizes.pop(name, 0)
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()
        if group.is_idle:
            del self._groups[name]
            return
        self._sizes[name] = size
        deadline = group.deadline
        assert deadline is not None, "whoever is in it is waited for, or may fall silent"
        self._timers[name] = asyncio.get_running_loop().call_at(deadline / 1000, self._wake, name, group)

    def _wake(self, name: str, group: Group) -> None:
        group.tick(_now())
        self._look_after(name, group)


def _now() -> int:
    """The loop's time in ms, rounded up: a timer that rings is not too early."""
    return -int(-asyncio.get_running_loop().time() * 1000 // 1)


def _new_id(client: str) -> str:
    return f"{client[:CLIENT]}-{uuid4()}"


def _waiting(_: type[Answer]) -> tuple[asyncio.Future[Answer], Callable[[Answer], None]]:
    """What waits for an answer, and what gives it. Who waits may have been cancelled meanwhile."""
    waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def answer(given: Answer) -> None:
        if not waiting.done():
            waiting.set_result(given)

    return waiting, answer
