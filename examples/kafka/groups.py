"""A consumer group: who is in it, in which generation, and who waits for whom. Pure: it knows no socket and no clock.

A group goes round through these states (the names are Kafka's own, shortened):

    EMPTY ──join──▶ PREPARING ──all have joined, or too late──▶ COMPLETING ──the leader's sync──▶ STABLE
                        ▲                                           │                               │
                        └───────── somebody joins, leaves, or is not heard of for too long ─────────┘

1. Who joins waits. Once all members have asked again, or the longest of their rebalance timeouts is over, those that
   have not are out, a new generation begins and each join is answered. The first generation waits for
   ``GroupLimits.gather`` instead, so that members that start together need not begin twice.
2. The leader is told what all members said of themselves, and sends for each what it is to do (its assignment) with
   its sync. The others' syncs wait for that. The broker looks into neither.
3. A member that is not heard of for its session timeout is out. One that waits for an answer of ours is not silent.
4. Whatever names another generation than the present one is refused: that member's work is no longer its own.

Time is in milliseconds, and comes as ``now`` with each event. ``deadline`` says when ``tick`` is due. An answer is
given by calling what came with the question, once: at once, or in the course of a later event. Not here: static members
(``group.instance.id``); versions of messages that know them are not offered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import final

from .errors import Error, Refused
from .members import NO_GENERATION, OVERHEAD, GroupLimits, Join, Joined, Member, Synced

__all__ = ["Group", "State"]


@final
class State(Enum):
    """Where a group is on its way round."""

    EMPTY = auto()
    PREPARING = auto()
    COMPLETING = auto()
    STABLE = auto()


@final
class Group:
    """One group. ``new_id`` makes a member's id from its client's name, never the same twice."""

    def __init__(self, limits: GroupLimits, new_id: Callable[[str], str]) -> None:
        self.state = State.EMPTY
        self.generation = 0
        self.kind = ""
        self.protocol = ""
        self.leader = ""
        self.members: dict[str, Member] = {}
        self.promised: dict[str, int] = {}
        """Ids that were told and not used yet, and when they are forgotten."""
        self._limits = limits
        self._new_id = new_id
        self._opens = self._closes = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody is in it: then it may be forgotten, as no id is ever given again."""
        return not self.members and not self.promised

    @property
    def size(self) -> int:
        """Bytes that are kept for its members, and for ids that were promised."""
        texts = sum(len(name) + each.said.size + len(each.assignment) for name, each in self.members.items())
        return texts + OVERHEAD * (len(self.members) + len(self.promised))

    @property
    def deadline(self) -> int | None:
        """When ``tick`` is due, if nothing happens before."""
        times = [*self.promised.values(), *(m.expires for m in self.members.values() if not m.is_waiting)]
        if self.state is State.PREPARING:
            times.append(self._opens if self._all_have_joined() else self._closes)
        elif self.state is State.COMPLETING:
            times.append(self._closes)
        return min(times, default=None)

    # ------------------------------------------------------------------------------------------------ what comes

    def join(self, said: Join, answer: Callable[[Joined], None], now: int) -> None:
        """Let a member in, or in again. The answer comes when the generation begins."""
        try:
            self._check(said)
            if said.member in self.members:
                self._join_again(self.members[said.member], said, answer, now)
            else:
                self._join_new(said, answer, now)
        except Refused as refused:
            answer(Joined(refused.error, said.member))

    def sync(
        self, name: str, generation: int, given: Mapping[str, bytes], answer: Callable[[Synced], None], now: int
    ) -> None:
        """Tell a member its assignment, once the leader has given it."""
        error = self._heard(name, generation, now)
        if error is Error.NONE and self.state is State.PREPARING:
            error = Error.REBALANCE_IN_PROGRESS
        if error is Error.NONE and any(len(text) > self._limits.size for text in given.values()):
            error = Error.INVALID_REQUEST
        if error is not Error.NONE:
            return answer(Synced(error))
        member = self.members[name]
        if self.state is State.STABLE:
            return answer(Synced(Error.NONE, member.assignment))
        member.answer_sync(Synced(Error.REBALANCE_IN_PROGRESS))  # it has asked again, on another connection
        member.sync = answer
        if name == self.leader:
            self._settle(given, now)
        return None

    def heartbeat(self, name: str, generation: int, now: int) -> Error:
        """Hear of a member, and say whether it is to join again."""
        error = self._heard(name, generation, now)
        if error is Error.NONE and self.state is State.PREPARING:
            return Error.REBALANCE_IN_PROGRESS
        return error

    def commit(self, name: str, generation: int, now: int) -> Error:
        """Say whether offsets may be committed in a member's name."""
        if generation == NO_GENERATION and not name and not self.members:
            return Error.NONE
        error = self._heard(name, generation, now)
        if error is Error.NONE and self.state is State.COMPLETING:
            return Error.REBALANCE_IN_PROGRESS  # it does not know yet whether the partition is still its own
        return error

    def leave(self, name: str, now: int) -> Error:
        """Let a member go."""
        if self.promised.pop(name, None) is None:
            if name not in self.members:
                return Error.UNKNOWN_MEMBER_ID
            self._remove(name, now)
        self.tick(now)
        return Error.NONE

    def tick(self, now: int) -> None:
        """Do what is due by the clock."""
        for name in [name for name, expires in self.promised.items() if expires <= now]:
            del self.promised[name]
        for name in [name for name, m in self.members.items() if not m.is_waiting and m.expires <= now]:
            self._remove(name, now)
        if self.state is State.COMPLETING and self._closes <= now:
            for name in [name for name, member in self.members.items() if member.sync is None]:
                self._remove(name, now)
        if self.state is State.PREPARING and (self._closes <= now or (self._opens <= now and self._all_have_joined())):
            self._begin(now)

    # ---------------------------------------------------------------------------------------------------- joining

    def _check(self, said: Join) -> None:
        shortest, longest = self._limits.session
        if not shortest <= said.session <= longest:
            raise Refused(Error.INVALID_SESSION_TIMEOUT)
        if said.size > self._limits.size:
            raise Refused(Error.INVALID_REQUEST)
        if said.member and said.member not in self.members and said.member not in self.promised:
            raise Refused(Error.UNKNOWN_MEMBER_ID)
        others = [member for name, member in self.members.items() if name != said.member]
        common = frozenset(name for name, _ in said.protocols).intersection(*(member.names for member in others))
        if not common or not said.kind or any(member.said.kind != said.kind for member in others):
            raise Refused(Error.INCONSISTENT_GROUP_PROTOCOL)

    def _join_new(self, said: Join, answer: Callable[[Joined], None], now: int) -> None:
        name = said.member
        if self.promised.pop(name, None) is None:
            if len(self.members) + len(self.promised) >= self._limits.members:
                raise Refused(Error.GROUP_MAX_SIZE_REACHED)
            name = self._new_id(said.client)
            if said.asks_id:
                self.promised[name] = now + said.session
                return answer(Joined(Error.MEMBER_ID_REQUIRED, name))
        self.members[name] = Member(said, now + said.session, join=answer)
        self._prepare(now)
        return self.tick(now)

    def _join_again(self, member: Member, said: Join, answer: Callable[[Joined], None], now: int) -> None:
        """Begin a new generation, unless it has only not heard our answer, or asks for nothing new."""
        is_new = said.protocols != member.said.protocols
        may_ask = self.state is State.STABLE and said.member == self.leader  # leaders ask so when topics have changed
        if self.state is not State.PREPARING and not is_new and not may_ask:
            member.expires = now + said.session
            return answer(self._joined(said.member))
        member.answer_join(Joined(Error.REBALANCE_IN_PROGRESS, said.member))  # it has asked again, elsewhere
        self.members[said.member] = Member(said, now + said.session, member.assignment, answer, member.sync)
        self._prepare(now)
        return self.tick(now)

    # ---------------------------------------------------------------------------------------------- going round

    def _prepare(self, now: int) -> None:
        """Have all members join again."""
        if self.state is State.PREPARING:
            return
        for member in self.members.values():
            if member.sync is not None:
                member.expires = now + member.said.session
            member.answer_sync(Synced(Error.REBALANCE_IN_PROGRESS))
        is_first = self.state is State.EMPTY
        self.state = State.PREPARING
        self._opens = now + self._limits.gather if is_first else now
        self._closes = self._opens if is_first else now + self._patience()

    def _begin(self, now: int) -> None:
        """Begin a generation of those that have joined."""
        self.members = {name: member for name, member in self.members.items() if member.join is not None}
        self.generation += 1
        if not self.members:
            self.state, self.protocol, self.kind, self.leader = State.EMPTY, "", "", ""
            return
        self.state = State.COMPLETING
        self._closes = now + self._patience()
        self.kind = next(iter(self.members.values())).said.kind
        self.protocol = self._choose()
        if self.leader not in self.members:
            self.leader = next(iter(self.members))
        for name, member in self.members.items():
            member.expires = now + member.said.session
            member.answer_join(self._joined(name))

    def _settle(self, given: Mapping[str, bytes], now: int) -> None:
        """Hand out what the leader gave."""
        self.state = State.STABLE
        for name, member in self.members.items():
            member.assignment = given.get(name, b"")
            if member.sync is not None:
                member.expires = now + member.said.session
            member.answer_sync(Synced(Error.NONE, member.assignment))

    def _remove(self, name: str, now: int) -> None:
        member = self.members.pop(name)
        member.answer_join(Joined(Error.UNKNOWN_MEMBER_ID))
        member.answer_sync(Synced(Error.UNKNOWN_MEMBER_ID))
        self._prepare(now)

    def _heard(self, name: str, generation: int, now: int) -> Error:
        """Hear of a member, unless it is out of date."""
        member = self.members.get(name)
        if member is None:
            return Error.UNKNOWN_MEMBER_ID
        if generation != self.generation:
            return Error.ILLEGAL_GENERATION
        member.expires = now + member.said.session
        return Error.NONE

    def _all_have_joined(self) -> bool:
        return not self.promised and all(member.join is not None for member in self.members.values())

    def _patience(self) -> int:
        longest = max((member.said.rebalance for member in self.members.values()), default=0)
        return min(longest, self._limits.rebalance)

    def _choose(self) -> str:
        """Take the protocol that most members like best, of those that all can follow."""
        common = frozenset.intersection(*(member.names for member in self.members.values()))
        votes = Counter(
            next(name for name, _ in member.said.protocols if name in common) for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def _joined(self, name: str) -> Joined:
        told = self.members.items() if name == self.leader else ()
        members = tuple((other, member.metadata(self.protocol)) for other, member in told)
        return Joined(Error.NONE, name, self.generation, self.kind, self.protocol, self.leader, members)
