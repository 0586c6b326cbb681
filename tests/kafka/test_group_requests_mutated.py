"""Whatever bytes come as requests about groups: an answer, or an error that ends that connection alone."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Final

import pytest

from bytebufs import CompositeBuffer, FrameError, SliceBuffer, Underrun
from examples.kafka.coordinator import Coordinator, CoordinatorLimits
from examples.kafka.fields import Message
from examples.kafka.group_handlers import GROUP_HANDLERS
from examples.kafka.members import GroupLimits
from examples.kafka.messages_group import (
    FIND_COORDINATOR,
    HEARTBEAT,
    INIT_PRODUCER_ID,
    JOIN_GROUP,
    LEAVE_GROUP,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC_GROUP,
)
from examples.kafka.offsets import OffsetLimits, Offsets
from examples.kafka.producer_ids import ProducerIds
from examples.kafka.requests import encode_answer, parse_request
from tests.conftest import PROFILE
from tests.kafka.test_group_handlers import Broker, nothing, wire

COUNT: Final = {"quick": 2_000, "short": 5_000, "long": 500_000}.get(PROFILE, 20_000)
LIMITS: Final = CoordinatorLimits(GroupLimits(members=5, gather=0, rebalance=5), groups=20, size=20_000)

_ME: Final[Message] = {"group_id": "g", "generation_id": 1, "member_id": "m"}
_PROTOCOL: Final = {"name": "range", "metadata": b"me"}
_JOIN: Final = _ME | {"session_timeout_ms": 6000, "protocol_type": "consumer", "protocols": [_PROTOCOL]}
_PLACE: Final = {"partition_index": 3, "committed_offset": 42, "committed_metadata": "here"}
REQUESTS: Final = [
    wire(api, version, message)
    for api, message in (
        (FIND_COORDINATOR, {"key": "g", "coordinator_keys": ["g", "h"]}),
        (JOIN_GROUP, _JOIN),
        (JOIN_GROUP, _JOIN | {"member_id": ""}),
        (SYNC_GROUP, _ME | {"assignments": [{"member_id": "m", "assignment": b"all"}]}),
        (HEARTBEAT, _ME),
        (LEAVE_GROUP, _ME),
        (OFFSET_COMMIT, _ME | {"topics": [{"name": "t", "partitions": [_PLACE]}]}),
        (OFFSET_COMMIT, {"group_id": "g", "generation_id": -1, "topics": [{"name": "t", "partitions": [_PLACE]}]}),
        (OFFSET_FETCH, {"group_id": "g", "topics": [{"name": "t", "partition_indexes": [3]}]}),
        (OFFSET_FETCH, {"group_id": "g", "topics": None}),
        (INIT_PRODUCER_ID, {}),
    )
    for version in range(api.oldest, api.newest + 1)
]


def mutated(request: bytes, chance: random.Random) -> bytes:
    """A request of which a few bytes are others, or gone, or there twice."""
    text = bytearray(request)
    for _ in range(chance.choice([0, 1, 1, 2, 5])):
        at = chance.randrange(len(text))
        match chance.randrange(5):
            case 0:
                text[at] ^= 1 << chance.randrange(8)
            case 1:
                text[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                del text[at : at + chance.randrange(1, 9)]
            case 3:
                text[at:at] = text[chance.randrange(len(text)) :][:20]
            case _:
                text[at : at + 4] = chance.choice([b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", bytes(4)])
        if not text:
            break
    return bytes(text)


async def answered(broker: Broker, text: bytes) -> bool:
    """Whether the request is one, and has an answer, at the latest when the group has gone on without it."""
    try:
        request = parse_request(SliceBuffer(text), GROUP_HANDLERS)
    except (Underrun, FrameError):
        return False
    told = await request.handler(broker, request.message, request.context)
    assert told is not None
    assert len(CompositeBuffer(encode_answer(request, told))) > 8
    return True


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_requests_are_answered_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    texts = [mutated(chance.choice(REQUESTS), chance) for _ in range(COUNT // 2)]

    async def ask_all() -> list[bool]:
        offsets = Offsets(tmp_path / "offsets", OffsetLimits(size=10_000, slack=10_000))
        coordinator = Coordinator(offsets, nothing, LIMITS)
        broker = Broker(coordinator, ProducerIds(tmp_path / "ids"))
        told: list[bool] = []
        try:
            async with asyncio.timeout(400):
                for first in range(0, len(texts), 50):  # so many clients at a time
                    told += await asyncio.gather(*[answered(broker, text) for text in texts[first : first + 50]])
                assert coordinator.size <= LIMITS.size
                assert (tmp_path / "offsets").stat().st_size <= 50_000
        finally:
            coordinator.close()
            offsets.close()
        return told

    told = asyncio.run(ask_all())
    assert len(told) // 10 < sum(told) < len(told), "some are right, and some are not"
