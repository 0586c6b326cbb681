"""The members of a consumer group: what they say when they join, and what they are answered.

Times are in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

from .errors import Error

__all__ = ["NO_GENERATION", "OVERHEAD", "GroupLimits", "Join", "Joined", "Member", "Synced"]

NO_GENERATION: Final = -1
"""What a consumer says that is in no group, and commits offsets all the same."""
OVERHEAD: Final = 200
"""Bytes that count for each member, protocol and promised id beside its texts, which may be empty."""


@final
@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What a group may take."""

    members: int = 250
    """Kafka has no limit of its own here (group.max.size); its users report trouble from some hundred on."""
    session: tuple[int, int] = (100, 1_800_000)
    """Shortest and longest session timeout. Kafka: from 6 s; less, so that one can watch a member go."""
    rebalance: int = 3_600_000
    """Longer rebalance timeouts (a consumer's max.poll.interval.ms) count as this."""
    gather: int = 250
    """How long the first members of a group wait for others. Kafka: 3 s (group.initial.rebalance.delay.ms)."""
    size: int = 256 << 10
    """Bytes that a member may say of itself, and that it may be assigned: a thousand topics' names fit."""


@final
@dataclass(frozen=True, slots=True)
class Join:
    """What a member says when it joins."""

    member: str
    """Its id, or nothing: it is new."""
    kind: str
    """The protocol type: ``consumer``, ``connect``."""
    protocols: tuple[tuple[str, bytes], ...]
    """Names of what it can follow, the one it likes best first, with what it says of itself for each."""
    session: int
    rebalance: int
    client: str = ""
    asks_id: bool = False
    """A new member is first told its id, and joins with it then; so one that goes meanwhile is no member."""

    @property
    def size(self) -> int:
        """Bytes that are kept of it."""
        return sum(len(name) + len(text) + OVERHEAD for name, text in self.protocols)


@final
@dataclass(frozen=True, slots=True)
class Joined:
    """The answer to a join. Only the leader is told of the members."""

    error: Error
    member: str = ""
    generation: int = NO_GENERATION
    kind: str = ""
    protocol: str = ""
    leader: str = ""
    members: tuple[tuple[str, bytes], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Synced:
    """The answer to a sync."""

    error: Error
    assignment: bytes = b""


@final
@dataclass(slots=True)
class Member:
    """A member: what it said when it joined, and what it waits for."""

    said: Join
    expires: int
    assignment: bytes = b""
    join: Callable[[Joined], None] | None = None
    sync: Callable[[Synced], None] | None = None
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Know the names of its protocols."""
        self.names = frozenset(name for name, _ in self.said.protocols)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for us, and so cannot be silent."""
        return self.join is not None or self.sync is not None

    def metadata(self, protocol: str) -> bytes:
        """What it says of itself for that protocol."""
        return next(text for name, text in self.said.protocols if name == protocol)

    def answer_join(self, joined: Joined) -> None:
        """Answer its join, if one waits."""
        waiting, self.join = self.join, None
        if waiting is not None:
            waiting(joined)

    def answer_sync(self, synced: Synced) -> None:
        """Answer its sync, if one waits."""
        waiting, self.sync = self.sync, None
        if waiting is not None:
            waiting(synced)
