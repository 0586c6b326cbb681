"""A consumer group, event by event."""

from __future__ import annotations

from itertools import count
from typing import Final

import pytest

from examples.kafka.errors import Error
from examples.kafka.groups import Group, State
from examples.kafka.members import OVERHEAD, GroupLimits, Join, Joined, Synced

LIMITS: Final = GroupLimits(members=3, session=(10, 1_000), rebalance=500, gather=20, size=1_000)
RANGE: Final = (("range", b"r"),)


def new_group() -> Group:
    numbers = count()
    return Group(LIMITS, lambda client: f"{client}-{next(numbers)}")


def said(member: str = "", protocols: tuple[tuple[str, bytes], ...] = RANGE, **changed: object) -> Join:
    fields: dict[str, object] = {"kind": "consumer", "session": 100, "rebalance": 300, "client": "c"}
    return Join(member=member, protocols=protocols, **(fields | changed))  # type: ignore[arg-type]


def joined(group: Group, join: Join, now: int = 0) -> Joined:
    """The answer of a join that is answered at once."""
    answers: list[Joined] = []
    group.join(join, answers.append, now)
    assert len(answers) == 1, "not answered at once"
    return answers[0]


def synced(group: Group, member: str, generation: int, given: dict[str, bytes] | None = None, now: int = 0) -> Synced:
    answers: list[Synced] = []
    group.sync(member, generation, given or {}, answers.append, now)
    assert len(answers) == 1, "not answered at once"
    return answers[0]


def formed(*protocols: tuple[tuple[str, bytes], ...], now: int = 0) -> tuple[Group, list[Joined]]:
    """A group of which all members have joined."""
    group, answers = new_group(), list[Joined]()
    for each in protocols:
        group.join(said(protocols=each), answers.append, now)
    group.tick(now + LIMITS.gather)
    assert [answer.error for answer in answers] == [Error.NONE] * len(protocols)
    return group, answers


def stable(members: int) -> tuple[Group, list[str]]:
    """A group of which all members have been assigned the number of their turn. It is 20 o'clock."""
    group, answers = formed(*[RANGE] * members)
    names, got = [answer.member for answer in answers], list[Synced]()
    for name in reversed(names):
        group.sync(name, 1, {each: b"%d" % n for n, each in enumerate(names)}, got.append, 20)
    assert [each.assignment for each in got] == [b"%d" % n for n in range(members)]
    assert group.state is State.STABLE
    return group, names


def test_a_first_member_waits_for_others_and_leads_them() -> None:
    group, answers = new_group(), list[Joined]()
    for _ in range(2):
        group.join(said(), answers.append, 0)
    assert (group.deadline, answers, group.state) == (20, [], State.PREPARING)
    group.tick(19)
    assert not answers
    group.tick(20)
    everyone = (("c-0", b"r"), ("c-1", b"r"))
    assert answers == [
        Joined(Error.NONE, "c-0", 1, "consumer", "range", "c-0", everyone),
        Joined(Error.NONE, "c-1", 1, "consumer", "range", "c-0"),
    ]


def test_a_sync_waits_for_the_leader() -> None:
    group, _ = formed(RANGE, RANGE)
    waiting: list[Synced] = []
    group.sync("c-1", 1, {}, waiting.append, 30)
    assert not waiting
    assert synced(group, "c-0", 1, {"c-1": b"yours", "stranger": b"nobody's"}, 40) == Synced(Error.NONE, b"")
    assert waiting == [Synced(Error.NONE, b"yours")]
    assert synced(group, "c-1", 1, now=50) == Synced(Error.NONE, b"yours"), "asked again"


def test_a_sync_that_is_asked_again_elsewhere_lets_the_first_go() -> None:
    group, _ = formed(RANGE, RANGE)
    first: list[Synced] = []
    second: list[Synced] = []
    group.sync("c-1", 1, {}, first.append, 30)
    group.sync("c-1", 1, {}, second.append, 31)
    assert (first, second) == ([Synced(Error.REBALANCE_IN_PROGRESS)], [])


def test_a_new_member_that_asks_for_its_id_joins_with_it() -> None:
    group = new_group()
    told = joined(group, said(asks_id=True))
    assert told == Joined(Error.MEMBER_ID_REQUIRED, "c-0")
    assert not group.is_idle
    answers: list[Joined] = []
    group.join(said("c-0", asks_id=True), answers.append, 1)
    group.tick(21)
    assert [answer.member for answer in answers] == ["c-0"]


def test_an_id_that_is_not_used_is_forgotten() -> None:
    group = new_group()
    joined(group, said(asks_id=True))
    assert group.deadline == 100
    group.tick(100)
    assert group.is_idle
    assert joined(group, said("c-0")).error is Error.UNKNOWN_MEMBER_ID


def test_a_generation_waits_for_who_was_told_its_id() -> None:
    group, _ = formed(RANGE)
    joined(group, said(asks_id=True), 30)
    answers: list[Joined] = []
    group.join(said("c-0", (("range", b"new"),)), answers.append, 40)
    assert not answers
    assert group.leave("c-1", 50) is Error.NONE, "it thinks better of it"
    assert [answer.generation for answer in answers] == [2]


@pytest.mark.parametrize(
    ("join", "error"),
    [
        pytest.param(said("stranger"), Error.UNKNOWN_MEMBER_ID, id="unknown"),
        pytest.param(said(session=9), Error.INVALID_SESSION_TIMEOUT, id="short-session"),
        pytest.param(said(session=1_001), Error.INVALID_SESSION_TIMEOUT, id="long-session"),
        pytest.param(said(protocols=()), Error.INCONSISTENT_GROUP_PROTOCOL, id="no-protocol"),
        pytest.param(said(kind=""), Error.INCONSISTENT_GROUP_PROTOCOL, id="no-kind"),
        pytest.param(said(kind="connect"), Error.INCONSISTENT_GROUP_PROTOCOL, id="other-kind"),
        pytest.param(said(protocols=(("sticky", b""),)), Error.INCONSISTENT_GROUP_PROTOCOL, id="other-protocol"),
        pytest.param(said(protocols=(("range", b"." * 1_000),)), Error.INVALID_REQUEST, id="too-large"),
        pytest.param(said(protocols=(*RANGE, *[("", b"")] * 4)), Error.INVALID_REQUEST, id="too-many"),
    ],
)
def test_a_join_is_refused(join: Join, error: Error) -> None:
    group, _ = formed(RANGE)
    before = group.state
    assert joined(group, join, 30).error is error
    assert (group.state, len(group.members)) == (before, 1)


def test_a_group_takes_no_more_members_than_its_limit() -> None:
    group, _ = stable(2)
    assert joined(group, said(asks_id=True), 30).error is Error.MEMBER_ID_REQUIRED
    assert joined(group, said(), 30).error is Error.GROUP_MAX_SIZE_REACHED
    assert group.size == 2 * (len("range") + len("r") + len("c-0")) + 2 + 5 * OVERHEAD


def test_the_protocol_is_one_that_all_follow_and_most_like_best() -> None:
    a, b, c = ("a", b"1"), ("b", b"2"), ("c", b"3")
    _, answers = formed((c, a, b), (a, b), (b, a))
    assert {answer.protocol for answer in answers} == {"a"}
    assert answers[0].members == (("c-0", b"1"), ("c-1", b"1"), ("c-2", b"1"))


def test_who_joins_a_stable_group_has_all_join_again() -> None:
    group, names = stable(2)
    answers: list[Joined] = []
    group.join(said(), answers.append, 30)
    assert group.heartbeat(names[0], 1, 40) is Error.REBALANCE_IN_PROGRESS
    assert synced(group, names[0], 1, now=40) == Synced(Error.REBALANCE_IN_PROGRESS)
    for name in names:
        assert not answers
        group.join(said(name), answers.append, 50)
    assert sorted((a.generation, a.member, a.leader, len(a.members)) for a in answers) == [
        (2, "c-0", "c-0", 3),
        (2, "c-1", "c-0", 0),
        (2, "c-2", "c-0", 0),
    ]
    assert group.heartbeat(names[0], 1, 60) is Error.ILLEGAL_GENERATION
    assert group.heartbeat(names[0], 2, 60) is Error.NONE


def test_a_member_that_did_not_hear_its_answer_is_told_again() -> None:
    group, answers = formed(RANGE, RANGE)
    assert joined(group, said("c-0"), 30) == answers[0]
    assert joined(group, said("c-1"), 30) == answers[1]
    synced(group, "c-0", 1, now=40)
    assert joined(group, said("c-1"), 50) == answers[1]
    assert group.state is State.STABLE


def test_a_leader_that_joins_a_stable_group_again_begins_a_new_generation() -> None:
    group, names = stable(1)
    assert joined(group, said(names[0]), 30).generation == 2


def test_a_member_that_says_something_new_begins_a_new_generation() -> None:
    group, _ = formed(RANGE, RANGE)
    waiting: list[Synced] = []
    group.sync("c-1", 1, {}, waiting.append, 25)
    answers: list[Joined] = []
    group.join(said("c-0", (("range", b"new"),)), answers.append, 30)
    assert waiting == [Synced(Error.REBALANCE_IN_PROGRESS)]
    group.join(said("c-1"), answers.append, 40)
    assert answers[0].members == (("c-0", b"new"), ("c-1", b"r"))


def test_a_join_that_is_asked_again_elsewhere_lets_the_first_go() -> None:
    group, names = stable(2)
    first: list[Joined] = []
    second: list[Joined] = []
    group.join(said(names[0]), first.append, 30)
    group.join(said(names[0]), second.append, 31)
    assert [answer.error for answer in first] == [Error.REBALANCE_IN_PROGRESS]
    group.join(said(names[1]), first.append, 32)
    assert [answer.generation for answer in second] == [2]


def test_a_silent_member_is_out() -> None:
    group, names = stable(2)
    assert group.heartbeat(names[1], 1, 60) is Error.NONE
    group.tick(119)
    assert group.state is State.STABLE
    group.tick(120)
    assert (group.state, set(group.members)) == (State.PREPARING, {names[1]})
    answer = joined(group, said(names[1]), 130)
    assert (answer.generation, answer.leader) == (2, names[1])
    assert group.heartbeat(names[0], 1, 140) is Error.UNKNOWN_MEMBER_ID


def test_who_does_not_join_again_in_time_is_out() -> None:
    group, names = stable(2)
    answers: list[Joined] = []
    group.join(said(names[0]), answers.append, 30)
    for now in range(50, 330, 50):
        assert group.heartbeat(names[1], 1, now) is Error.REBALANCE_IN_PROGRESS
        group.tick(now)
    assert not answers
    group.tick(330)
    assert [len(answer.members) for answer in answers] == [1]


def test_who_does_not_sync_in_time_is_out() -> None:
    group, _ = formed(RANGE, RANGE)
    waiting: list[Synced] = []
    group.sync("c-1", 1, {}, waiting.append, 30)
    for now in range(50, 320, 50):
        assert group.heartbeat("c-0", 1, now) is Error.NONE
        group.tick(now)
    assert not waiting
    group.tick(320)
    assert waiting == [Synced(Error.REBALANCE_IN_PROGRESS)]
    assert set(group.members) == {"c-1"}


def test_a_rebalance_timeout_without_end_has_one() -> None:
    group = new_group()
    answers: list[Joined] = []
    group.join(said(rebalance=1 << 30), answers.append, 0)
    group.tick(20)
    assert group.heartbeat("c-0", 1, 500) is Error.NONE
    group.tick(520)
    assert group.is_idle


def test_who_leaves_is_out_at_once_and_the_last_leaves_nothing() -> None:
    group, names = stable(2)
    assert group.leave(names[0], 30) is Error.NONE
    assert group.leave(names[0], 30) is Error.UNKNOWN_MEMBER_ID
    assert group.heartbeat(names[1], 1, 40) is Error.REBALANCE_IN_PROGRESS
    assert group.leave(names[1], 50) is Error.NONE
    assert (group.is_idle, group.state, group.deadline) == (True, State.EMPTY, None)


def test_who_leaves_while_it_waits_is_answered() -> None:
    group, names = stable(2)
    joins: list[Joined] = []
    group.join(said(names[0]), joins.append, 30)
    group.leave(names[0], 40)
    assert [answer.error for answer in joins] == [Error.UNKNOWN_MEMBER_ID]
    group, _ = formed(RANGE, RANGE)
    syncs: list[Synced] = []
    group.sync("c-1", 1, {}, syncs.append, 30)
    group.leave("c-1", 40)
    assert syncs == [Synced(Error.UNKNOWN_MEMBER_ID)]


def test_a_sync_is_refused_that_is_out_of_date_or_too_large() -> None:
    group, _ = formed(RANGE)
    assert synced(group, "stranger", 1) == Synced(Error.UNKNOWN_MEMBER_ID)
    assert synced(group, "c-0", 0) == Synced(Error.ILLEGAL_GENERATION)
    assert synced(group, "c-0", 1, {"c-0": b"." * 1_001}) == Synced(Error.INVALID_REQUEST)


def test_offsets_are_committed_by_members_of_the_present_generation() -> None:
    group, _ = formed(RANGE)
    assert group.commit("c-0", 1, 30) is Error.REBALANCE_IN_PROGRESS
    synced(group, "c-0", 1, now=40)
    assert group.commit("c-0", 1, 50) is Error.NONE
    assert group.commit("c-0", 0, 50) is Error.ILLEGAL_GENERATION
    assert group.commit("", -1, 50) is Error.UNKNOWN_MEMBER_ID, "there are members"
    group.join(said(), lambda _: None, 60)
    assert group.commit("c-0", 1, 70) is Error.NONE, "it commits before it joins again"


def test_offsets_are_committed_by_consumers_without_a_group() -> None:
    group = new_group()
    assert group.commit("", -1, 0) is Error.NONE
    assert group.commit("", 0, 0) is Error.UNKNOWN_MEMBER_ID
    assert group.commit("c-0", -1, 0) is Error.UNKNOWN_MEMBER_ID
