"""Whatever members do, a consumer group keeps its promises; and members that behave come to an end.

The members here behave as clients do: they join, the leader gives each member the generation's number and the member's
name, they send heartbeats, and they join again where they are told to. But they also die, leave, stop listening (their
answers are lost and they ask again), or come from a generation long gone. What they do not know, the rules check:
each question is answered once, generations only grow, one generation has one leader and one protocol, and nobody is
assigned what the leader of its generation did not give it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from examples.kafka.errors import Error
from examples.kafka.groups import Group, State
from examples.kafka.members import GroupLimits, Join, Joined, Synced

LIMITS: Final = GroupLimits(members=4, session=(10, 1_000), rebalance=400, gather=20, size=1_000)
SESSION: Final = 100
Answer = TypeVar("Answer")
PROTOCOLS: Final = st.permutations(["range", "sticky"]).map(tuple)


@dataclass(eq=False)
class Client:
    """A client that follows the protocol. ``wants`` is what it does when it has its next turn."""

    protocols: tuple[str, ...]
    asks_id: bool
    name: str = ""
    generation: int = -1
    wants: str = "join"
    given: dict[str, bytes] = field(default_factory=dict)
    assignment: bytes | None = None
    next_heartbeat: int = 0


class GroupMachine(RuleBasedStateMachine):
    """One group, its clients, and a clock."""

    def __init__(self) -> None:
        super().__init__()
        numbers = count()
        self.group = Group(LIMITS, lambda client: f"{client}-{next(numbers)}")
        self.now = 0
        self.clients: list[Client] = []
        self.open: set[int] = set()
        self.questions = count()
        self.told: dict[int, tuple[str, str]] = {}
        self.leaders_gave: dict[int, dict[str, bytes]] = {}
        self.last = 0

    # ------------------------------------------------------------------------------------------------- questions

    def once(self, then: Callable[[Answer], None]) -> Callable[[Answer], None]:
        """Take an answer once."""
        number = next(self.questions)
        self.open.add(number)

        def answered(answer: Answer) -> None:
            self.open.remove(number)  # KeyError: answered twice
            then(answer)

        return answered

    def ask_join(self, client: Client) -> None:
        client.wants, client.assignment = "nothing", None

        def answered(answer: Joined) -> None:
            self.check_joined(answer)
            if client.wants != "nothing":
                return  # it has asked something else since
            client.name = answer.member if answer.error is not Error.UNKNOWN_MEMBER_ID else ""
            client.wants = "join"
            if answer.error is Error.NONE:
                client.generation, client.wants = answer.generation, "sync"
                client.given = {name: b"%d %s" % (answer.generation, name.encode()) for name, _ in answer.members}

        protocols = tuple((name, name.encode()) for name in client.protocols)
        join = Join(client.name, "consumer", protocols, SESSION, 300, "c", client.asks_id)
        self.group.join(join, self.once(answered), self.now)

    def check_joined(self, answer: Joined) -> None:
        if answer.error is not Error.NONE:
            return
        assert self.told.setdefault(answer.generation, (answer.leader, answer.protocol)) == (
            answer.leader,
            answer.protocol,
        )
        assert bool(answer.members) == (answer.leader == answer.member)
        assert all(text == answer.protocol.encode() for _, text in answer.members)
        assert answer.generation == self.group.generation

    def ask_sync(self, client: Client) -> None:
        client.wants = "nothing"
        generation, name = client.generation, client.name
        if client.given:
            self.leaders_gave[generation] = client.given

        def answered(answer: Synced) -> None:
            if answer.error is Error.NONE:
                assert answer.assignment == self.leaders_gave[generation][name]
            if client.wants != "nothing":
                return
            client.assignment = answer.assignment if answer.error is Error.NONE else None
            client.wants = "heartbeat" if answer.error is Error.NONE else "join"
            if answer.error is Error.UNKNOWN_MEMBER_ID:
                client.name = ""

        self.group.sync(name, generation, client.given, self.once(answered), self.now)

    def ask_heartbeat(self, client: Client) -> None:
        client.next_heartbeat = self.now + SESSION // 4
        error = self.group.heartbeat(client.name, client.generation, self.now)
        if error is Error.NONE:
            assert client.assignment in {None, self.leaders_gave[client.generation][client.name]}
        else:
            client.wants = "join"
            if error is not Error.REBALANCE_IN_PROGRESS:
                client.name = ""

    def turn(self, client: Client) -> None:
        match client.wants:
            case "join":
                self.ask_join(client)
            case "sync":
                self.ask_sync(client)
            case "heartbeat" if self.now >= client.next_heartbeat:
                self.ask_heartbeat(client)

    # ----------------------------------------------------------------------------------------------------- rules

    @rule(protocols=PROTOCOLS, asks_id=st.booleans())
    def comes(self, protocols: tuple[str, ...], asks_id: bool) -> None:
        self.clients.append(Client(protocols, asks_id))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def acts(self, data: st.DataObject) -> None:
        self.turn(data.draw(st.sampled_from(self.clients)))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def dies(self, data: st.DataObject) -> None:
        self.clients.remove(data.draw(st.sampled_from(self.clients)))

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.clients.remove(client)
        known = client.name in self.group.members or client.name in self.group.promised
        assert (self.group.leave(client.name, self.now) is Error.NONE) == known
        assert client.name not in self.group.members

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), protocols=PROTOCOLS)
    def loses_its_connection(self, data: st.DataObject, protocols: tuple[str, ...]) -> None:
        client = data.draw(st.sampled_from(self.clients))
        client.wants, client.protocols = "join", protocols

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), back=st.integers(1, 3))
    def something_old_arrives(self, data: st.DataObject, back: int) -> None:
        client = data.draw(st.sampled_from(self.clients))
        generation, answers = self.group.generation - back, list[Synced]()
        self.group.sync(client.name, generation, {client.name: b"wrong"}, answers.append, self.now)
        assert answers[0].error in {Error.ILLEGAL_GENERATION, Error.UNKNOWN_MEMBER_ID}
        assert self.group.heartbeat(client.name, generation, self.now) is not Error.NONE
        if generation >= 0:
            assert self.group.commit(client.name, generation, self.now) is not Error.NONE

    @rule(passed=st.integers(1, 150))
    def time_passes(self, passed: int) -> None:
        self.pass_to(self.now + passed)

    @rule()
    def all_come_to_an_end(self) -> None:
        """Left alone, those that behave share a stable generation; the dead are out, and nobody waits for ever."""
        del self.clients[LIMITS.members :]
        until = self.now + 2 * LIMITS.rebalance + 4 * SESSION
        while self.now < until:
            for client in self.clients:
                self.turn(client)
            self.pass_to(self.now + 10)
        assert not self.open
        assert {client.name for client in self.clients} == set(self.group.members)
        assert not self.group.promised
        if self.clients:
            assert self.group.state is State.STABLE
            for client in self.clients:
                assert client.assignment == b"%d %s" % (self.group.generation, client.name.encode())
        else:
            assert (self.group.is_idle, self.group.state) == (True, State.EMPTY)

    def pass_to(self, later: int) -> None:
        """Wake the group exactly when it wants to be."""
        while (due := self.group.deadline) is not None and due <= later:
            self.now = max(self.now, due)
            self.group.tick(self.now)
            assert self.group.deadline is None or self.group.deadline > self.now, "it would wake for ever"
        self.now = later

    @invariant()
    def generations_grow_and_limits_hold(self) -> None:
        assert self.group.generation >= self.last
        self.last = self.group.generation
        assert len(self.group.members) + len(self.group.promised) <= LIMITS.members
        assert self.group.state is not State.STABLE or self.group.leader in self.group.members
        waiting = [m for m in self.group.members.values() if m.is_waiting]
        assert len(waiting) == len(self.open)


TestGroup = GroupMachine.TestCase
