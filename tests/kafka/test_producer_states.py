"""What is known of producers is the same after a restart, by a snapshot or by the log itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from bytebufs import BaseBuffer, SliceBuffer
from examples.kafka.batch import HEADER, Batch, checksum, header_at
from examples.kafka.errors import Error, Refused
from examples.kafka.log import Log
from examples.kafka.producer_states import SNAPSHOT, ProducerStates
from examples.kafka.producers import Written
from examples.kafka.records import Record, encode
from examples.kafka.settings import LogSettings

PRODUCER: Final = 7


def numbered(sequence: int, count: int, producer: int = PRODUCER) -> BaseBuffer:
    """A batch of an idempotent producer."""
    records = [Record(0, 1000, None, b"%d" % number) for number in range(count)]
    text = bytearray(encode(records).tobytes())
    header = Batch._make(HEADER.unpack_from(text))._replace(
        producer_id=producer, producer_epoch=0, base_sequence=sequence
    )
    HEADER.pack_into(text, 0, *header)
    HEADER.pack_into(text, 0, *header._replace(crc=checksum(SliceBuffer(text))))
    return SliceBuffer(bytes(text))


def opened(folder: Path) -> tuple[Log, ProducerStates]:
    log, states = Log(folder, LogSettings(), now=lambda: 1000), ProducerStates()
    states.find(log)
    return log, states


def append(log: Log, states: ProducerStates, batch: BaseBuffer) -> Written | None:
    header = header_at(batch)
    written = states.check(log, header)
    if written is None:
        states.note(log, header, log.append(batch).base_offset)
    return written


@pytest.mark.parametrize(
    "ends", ["in good order", "by a kill", "with a snapshot cut short", "without room for a snapshot"]
)
def test_a_batch_that_was_written_before_a_restart_is_known_after_it(tmp_path: Path, ends: str) -> None:
    log, states = opened(tmp_path / "t-0")
    assert append(log, states, numbered(0, 3)) is None
    assert append(log, states, numbered(3, 2)) is None
    snapshot = log.folder / SNAPSHOT
    if ends == "without room for a snapshot":
        (log.folder / f"{SNAPSHOT}.new").symlink_to(tmp_path / "nowhere" / "file")  # which stands for that
    if ends != "by a kill":
        states.close()
        assert snapshot.exists() == (ends != "without room for a snapshot")
    if ends == "with a snapshot cut short":
        snapshot.write_bytes(snapshot.read_bytes()[:-1])
    log.close()
    log, states = opened(tmp_path / "t-0")
    assert not snapshot.exists(), "it counts once"
    assert append(log, states, numbered(3, 2)) == Written(3, 4, 3)
    assert append(log, states, numbered(5, 1)) is None
    with pytest.raises(Refused) as caught:
        append(log, states, numbered(7, 1))
    assert caught.value.error is Error.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.end == 6
    log.close()


def test_a_snapshot_of_another_end_does_not_count(tmp_path: Path) -> None:
    log, states = opened(tmp_path / "t-0")
    append(log, states, numbered(0, 3))
    states.close()
    log.append(numbered(3, 2))  # as if the snapshot were older than the log
    log.close()
    log, states = opened(tmp_path / "t-0")
    assert append(log, states, numbered(3, 2)) == Written(3, 4, 3)
    log.close()


def test_who_is_not_idempotent_costs_nothing(tmp_path: Path) -> None:
    log, states = opened(tmp_path / "t-0")
    for _ in range(2):
        assert append(log, states, encode([Record(0, 1000, None, b"x")])) is None
    states.close()
    assert not (log.folder / SNAPSHOT).exists()
    assert log.end == 2
    log.close()
