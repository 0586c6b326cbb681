"""A broker's groups on an event loop: who waits is answered in time, and all of them together are bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest

from examples.kafka.coordinator import Coordinator, CoordinatorLimits
from examples.kafka.errors import Error
from examples.kafka.members import GroupLimits, Join, Joined, Synced
from examples.kafka.offsets import Committed, OffsetLimits, Offsets

QUICK: Final = GroupLimits(session=(10, 60_000), gather=1)
TOGETHER: Final = CoordinatorLimits(GroupLimits(session=(10, 60_000), gather=300))
"""With time for several to join before a generation begins, on a busy machine, too."""
AT_5: Final = Committed(5, -1, "", 0)


async def nothing() -> None:
    pass


async def broken() -> None:
    raise OSError("the disk is gone")


def said(member: str = "", *, session: int = 30_000, text: bytes = b"", client: str = "c") -> Join:
    return Join(member, "consumer", (("range", text),), session, 30_000, client)


def run(
    folder: Path,
    test: Callable[[Coordinator], Coroutine[Any, Any, None]],
    limits: CoordinatorLimits | None = None,
    settle: Callable[[], Awaitable[None]] = nothing,
) -> None:
    async def bounded() -> None:
        offsets = Offsets(folder / "offsets", OffsetLimits(size=200))
        coordinator = Coordinator(offsets, settle, limits or CoordinatorLimits(QUICK))
        try:
            async with asyncio.timeout(30):
                await test(coordinator)
        finally:
            coordinator.close()
            offsets.close()

    asyncio.run(bounded())


def test_members_join_sync_and_commit(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        joined = await asyncio.gather(*[coordinator.join("g", said(client="x" * 100)) for _ in range(3)])
        assert {answer.generation for answer in joined} == {1}
        assert joined[0].member.startswith("x" * 64 + "-")
        names = [answer.member for answer in joined]
        given = {name: name.encode() for name in names}
        order = sorted(names, key=lambda name: name == joined[0].leader)  # the leader comes last
        synced = await asyncio.gather(*[coordinator.sync("g", name, 1, given) for name in order])
        assert synced == [Synced(Error.NONE, name.encode()) for name in order]
        assert coordinator.heartbeat("g", names[0], 1) is Error.NONE
        assert await coordinator.commit("g", names[0], 1, {("t", 0): AT_5}) == {("t", 0): Error.NONE}
        assert coordinator.committed("g") == {("t", 0): AT_5}
        assert [coordinator.leave("g", name) for name in names] == [Error.NONE] * 3
        assert coordinator.committed("g") == {("t", 0): AT_5}, "offsets outlast members"

    run(tmp_path, test, TOGETHER)


def test_a_silent_member_is_out_by_the_clock(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        silent, other = await asyncio.gather(
            coordinator.join("g", said(session=400)), coordinator.join("g", said(session=30_000))
        )
        await asyncio.gather(*[coordinator.sync("g", each.member, 1, {}) for each in (silent, other)])
        while coordinator.heartbeat("g", other.member, 1) is Error.NONE:  # noqa: ASYNC110  members ask so, too
            await asyncio.sleep(0.005)
        again = await coordinator.join("g", said(other.member))
        assert (again.generation, [name for name, _ in again.members]) == (2, [other.member])
        assert coordinator.heartbeat("g", silent.member, 2) is Error.UNKNOWN_MEMBER_ID

    run(tmp_path, test, TOGETHER)


def test_who_stops_waiting_harms_nobody(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        gone = asyncio.create_task(coordinator.join("g", said(session=400)))
        stays = asyncio.create_task(coordinator.join("g", said()))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays).generation == 1

    run(tmp_path, test, TOGETHER)


def test_a_group_that_is_not_there(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        assert coordinator.heartbeat("g", "m", 1) is Error.UNKNOWN_MEMBER_ID
        assert coordinator.leave("g", "m") is Error.UNKNOWN_MEMBER_ID
        assert await coordinator.sync("g", "m", 1, {}) == Synced(Error.UNKNOWN_MEMBER_ID)
        assert await coordinator.commit("g", "m", 1, {("t", 0): AT_5}) == {("t", 0): Error.UNKNOWN_MEMBER_ID}
        assert (await coordinator.join("g", said("m"))).error is Error.UNKNOWN_MEMBER_ID
        assert await coordinator.commit("g", "", -1, {("t", 0): AT_5}) == {("t", 0): Error.NONE}

    run(tmp_path, test)


@pytest.mark.parametrize("name", ["", "g" * 256], ids=["none", "long"])
def test_a_name_that_no_group_may_have(tmp_path: Path, name: str) -> None:
    async def test(coordinator: Coordinator) -> None:
        assert await coordinator.join(name, said("m")) == Joined(Error.INVALID_GROUP_ID, "m")
        assert await coordinator.commit(name, "", -1, {("t", 0): AT_5}) == {("t", 0): Error.INVALID_GROUP_ID}

    run(tmp_path, test)


def test_there_are_no_more_groups_than_the_limit(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        first = await coordinator.join("a", said())
        assert (await coordinator.join("b", said())).error is Error.COORDINATOR_NOT_AVAILABLE
        assert (await coordinator.join("a", said("stranger"))).error is Error.UNKNOWN_MEMBER_ID
        coordinator.leave("a", first.member)
        assert (await coordinator.join("b", said())).error is Error.NONE

    run(tmp_path, test, CoordinatorLimits(QUICK, groups=1))


def test_all_that_members_say_has_a_limit(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        first = await coordinator.join("a", said(text=b"." * 500))
        assert (await coordinator.join("b", said(text=b"." * 500))).error is Error.COORDINATOR_NOT_AVAILABLE
        given = {first.member: b"." * 500}
        assert await coordinator.sync("a", first.member, 1, given) == Synced(Error.COORDINATOR_NOT_AVAILABLE)
        assert (await coordinator.sync("a", first.member, 1, {first.member: b"."})).error is Error.NONE
        coordinator.leave("a", first.member)
        assert (await coordinator.join("b", said(text=b"." * 500))).error is Error.NONE

    run(tmp_path, test, CoordinatorLimits(QUICK, size=1000))


def test_of_a_commit_each_part_is_answered(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        entries = {("t", 0): AT_5, ("t", 1): Committed(5, -1, "." * 5000, 0)}
        expected = {("t", 0): Error.NONE, ("t", 1): Error.OFFSET_METADATA_TOO_LARGE}
        assert await coordinator.commit("g", "", -1, entries) == expected
        assert coordinator.committed("g") == {("t", 0): AT_5}
        many = {("t", partition): AT_5 for partition in range(100)}
        assert set((await coordinator.commit("g", "", -1, many)).values()) == {Error.INVALID_COMMIT_OFFSET_SIZE}

    run(tmp_path, test)


def test_a_commit_that_is_not_on_the_disk_is_an_error(tmp_path: Path) -> None:
    async def test(coordinator: Coordinator) -> None:
        answer = await coordinator.commit("g", "", -1, {("t", 0): AT_5})
        assert answer == {("t", 0): Error.KAFKA_STORAGE_ERROR}

    run(tmp_path, test, settle=broken)
