"""The table of targets: a function of some bytes each, which asserts; how long its inputs are, and seeds for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from .brokers import kafka_batches, kafka_requests, rocketmq
from .captures import captures, packets
from .framers import framers
from .parsing import parsing
from .readers import readers
from .streams import inboxes, outboxes
from .tables import tables
from .web import exchanges, requests
from .wires import protobufs, replies, websockets
from .worlds import worlds

HERE: Final = Path(__file__).parent


class Target(NamedTuple):
    """What is fuzzed: whatever the bytes are, it returns."""

    run: Callable[[bytes], None]
    most: int
    """Bytes of an input: short ones are tried more often, and say more."""

    @property
    def name(self) -> str:
        """What its folders of inputs are called."""
        return self.run.__name__

    def inputs(self, kind: str) -> list[Path]:
        """Return the files of its ``corpus``, or of its ``crashes``."""
        return sorted(path for path in (HERE / kind / self.name).glob("*") if path.is_file())


TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        Target(framers, 64),
        Target(readers, 96),
        Target(parsing, 64),
        Target(tables, 96),
        Target(worlds, 128),
        Target(inboxes, 96),
        Target(outboxes, 64),
        Target(captures, 1024),
        Target(packets, 256),
        Target(exchanges, 256),
        Target(requests, 256),
        Target(replies, 96),
        Target(websockets, 96),
        Target(protobufs, 96),
        Target(kafka_requests, 192),
        Target(kafka_batches, 256),
        Target(rocketmq, 192),
    )
}
