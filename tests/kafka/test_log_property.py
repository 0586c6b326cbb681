"""A log against a list of batches: whatever is done to it, and however it is left and opened again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bytebufs import CompositeBuffer
from examples.kafka.batch import HEADER, checksum, header_at
from examples.kafka.log import BatchTooLargeError, Log, OffsetOutOfRangeError
from examples.kafka.records import Record, encode

from ..in_memory import FOLDERS
from .told_records import SMALL, opened

SETTINGS: Final = replace(
    SMALL, segment_bytes=1_500, segment_ms=500, retention_ms=2_000, index_interval_bytes=250, flush="never"
)
TIMES: Final = st.integers(0, 5_000)
VALUES: Final = st.integers(0, 300)
BATCHES: Final = st.lists(st.lists(st.tuples(TIMES, VALUES), min_size=1, max_size=3), min_size=1, max_size=3)


class LogMachine(RuleBasedStateMachine):
    """The model: each batch as consumers get it, and the times of all records. Deleting takes whole segments."""

    @initialize(sizes=st.lists(VALUES, max_size=30))
    def begin(self, sizes: list[int]) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=FOLDERS))
        self.now = 0
        self.batches: list[bytes] = []
        self.times: list[int] = []
        self.log = self.opened("0")
        self.copies = 0
        for number, size in enumerate(sizes):
            self.append([[(100 * number, size)]])

    def opened(self, name: str) -> Log:
        return Log(self.folder / name, SETTINGS, now=lambda: self.now)

    @property
    def first(self) -> int:
        """Which batch is the first that is kept."""
        return next((i for i, batch in enumerate(self.batches) if base_of(batch) >= self.log.start), len(self.batches))

    @rule(batches=BATCHES)
    def append(self, batches: list[list[tuple[int, int]]]) -> None:
        offset = len(self.times)
        made = [encode([Record(0, time, b"k", bytes(size)) for time, size in batch]) for batch in batches]
        if sum(map(len, made)) > SETTINGS.segment_bytes:
            with pytest.raises(BatchTooLargeError):
                self.log.append(CompositeBuffer(made))
            return
        appended = self.log.append(CompositeBuffer(made))
        for batch, records in zip(made, batches, strict=True):
            base = len(self.times)
            self.batches.append(base.to_bytes(8, "big") + batch[8:12].tobytes() + bytes(4) + batch[16:].tobytes())
            self.times += [time for time, _ in records]
            assert header_at(batch).records == len(records)
        assert appended == (offset, len(self.times) - 1)

    @rule(data=st.data(), most=st.integers(0, 4_000))
    def read(self, data: st.DataObject, most: int) -> None:
        offset = data.draw(st.integers(self.log.start, self.log.end))
        found = self.log.read(offset, most).tobytes()
        if offset == self.log.end:
            assert found == b""
            return
        at = max(i for i, batch in enumerate(self.batches) if base_of(batch) <= offset)
        assert found.startswith(self.batches[at])
        number = 1
        while len(b"".join(self.batches[at : at + number])) < len(found):
            number += 1
        assert found == b"".join(self.batches[at : at + number])
        assert number == 1 or len(found) <= most
        following = at + number
        if following < len(self.batches) and len(found) + len(self.batches[following]) <= most:
            known = {segment.base + first for segment in self.log.segments for first, _ in segment.offsets}
            assert base_of(self.batches[following]) in known

    @rule(data=st.data())
    def find_time(self, data: st.DataObject) -> None:
        start = self.log.start
        ms = data.draw(TIMES | st.sampled_from(self.times or [0]))
        wanted = next((start + i for i, time in enumerate(self.times[start:]) if time >= ms), None)
        assert self.log.offset_for_time(ms) == (None if wanted is None else (wanted, self.times[wanted]))

    @rule(offset=st.integers(1, 1 << 62), is_before=st.booleans())
    def read_outside(self, offset: int, is_before: bool) -> None:
        with pytest.raises(OffsetOutOfRangeError):
            self.log.read(self.log.start - offset if is_before else self.log.end + offset, 100)

    @rule(by=st.integers(0, 3_000))
    def retain(self, by: int) -> None:
        self.now += by
        segments = [(segment.base, segment.latest) for segment in self.log.segments]
        self.log.tend()
        *old, last = segments
        kept = next((i for i, (_, latest) in enumerate(old) if not 0 <= latest < self.now - 2_000), len(old))
        assert self.log.start == [*old, last][kept][0]
        assert len(list(self.log.folder.glob("*.log"))) == len(self.log.segments) == len(segments) - kept

    @rule()
    def reopen(self) -> None:
        start, name = self.log.start, self.log.folder.name
        self.log.close()
        self.log = self.opened(name)
        assert self.log.start == start

    @rule()
    def crash(self) -> None:
        start = self.log.start
        self.go_on_with_a_copy()
        assert self.log.start == start

    @precondition(lambda self: len(self.batches) > self.first)
    @rule(data=st.data())
    def crash_with_a_loss(self, data: st.DataObject) -> None:
        """What of the last segment was not on the disk yet is not there; its indexes may hold anything."""
        last = self.log.segments[-1]
        size = data.draw(st.integers(0, last.size))
        indexes = data.draw(st.sampled_from([b"", b"\xff" * 40, bytes(24)]))
        kept = [batch for batch in self.batches if base_of(batch) < last.base]
        for batch in self.batches[len(kept) :]:
            size -= len(batch)
            if size < 0:
                break
            kept.append(batch)
        self.go_on_with_a_copy(last.path.name, indexes, kept)

    def go_on_with_a_copy(self, name: str = "", indexes: bytes = b"", kept: list[bytes] | None = None) -> None:
        """Copy the files while they are open; then the old ones are gone."""
        self.copies += 1
        copy = self.folder / str(self.copies)
        shutil.copytree(self.log.folder, copy)
        if kept is not None:
            self.lose(copy / name, indexes, kept)
        self.log.close()
        shutil.rmtree(self.log.folder)
        self.log = self.opened(copy.name)

    def lose(self, path: Path, indexes: bytes, kept: list[bytes]) -> None:
        base = int(path.stem)
        whole = sum(len(batch) for batch in kept if base_of(batch) >= base)
        with path.open("r+b") as file:
            file.truncate(min(whole + 30, path.stat().st_size))  # and the first bytes of the next batch
        for suffix in (".index", ".timeindex"):
            path.with_suffix(suffix).write_bytes(indexes)
        self.batches = kept
        del self.times[header_at(CompositeBuffer([kept[-1]])).end if kept else 0 :]

    @invariant()
    def all_is_there(self) -> None:
        if hasattr(self, "log"):
            assert self.log.end == len(self.times)
            assert [batch.tobytes() for batch, _ in self.log.batches()] == self.batches[self.first :]

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.folder)


def base_of(batch: bytes) -> int:
    return int.from_bytes(batch[:8], "big")


TestLog = LogMachine.TestCase
TestLog.on_disk = 5  # type: ignore[attr-defined]


def of_so_many(records: int) -> CompositeBuffer:
    """A batch whose header says so many records. What is in it nobody looks at."""
    fields = [0, HEADER.size - 12, 0, 2, 0, 4, records - 1, 0, 0, -1, -1, -1, records]
    fields[4] = checksum(CompositeBuffer([HEADER.pack(*fields)]))
    return CompositeBuffer([HEADER.pack(*fields)])


def test_offsets_in_indexes_have_32_bits(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", replace(SETTINGS, index_interval_bytes=1))
    most = (1 << 31) - 1
    for _ in range(5):
        log.append(of_so_many(most))
    assert [segment.base for segment in log.segments] == [0, 2 * most, 4 * most]
    with pytest.raises(BatchTooLargeError):
        log.append(CompositeBuffer([of_so_many(most)] * 3))
    log.append(CompositeBuffer([of_so_many(1), of_so_many(most), of_so_many(most)]))
    assert log.end == 7 * most + 1
    for offset in range(0, log.end, most // 3):
        header = header_at(log.read(offset, 1))
        assert header.base_offset <= offset < header.end
    log.close()
    again = opened(tmp_path / "log", SETTINGS)
    assert (again.start, again.end) == (0, 7 * most + 1)
    again.close()
