"""A segment: what is found in it by offset and by time, what opening it takes, and what it does if it cannot."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from bytebufs import BaseBuffer, CompositeBuffer
from examples.kafka.batch import batches_of, checksum, header_at, placed
from examples.kafka.flushing import LogBrokenError
from examples.kafka.records import Record, encode
from examples.kafka.segment import Segment, Vouched

from ..descriptors import descriptors, left_open
from .told_records import SMALL, batch_at

BASE: Final = 1 << 40
SETTINGS: Final = replace(SMALL, index_interval_bytes=600)
NUMBER: Final = 30


def add(segment: Segment, batches: BaseBuffer) -> None:
    parts, headers, offset = CompositeBuffer(), [], segment.end
    for header, batch in batches_of(batches):
        parts.extend(placed(batch, header, offset))
        headers.append(header)
        offset += header.records
    segment.append(parts, headers)


def filled(folder: Path, number: int = NUMBER) -> Segment:
    segment = Segment(folder, BASE, SETTINGS)
    for _ in range(number):
        add(segment, batch_at(segment.end))
    return segment


def entries(segment: Segment) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    return list(segment.offsets), list(segment.times)


def found_in(segment: Segment) -> list[bytes]:
    return [batch.tobytes() for batch, _ in segment.batches()]


def facts(segment: Segment) -> tuple[object, ...]:
    return segment.size, segment.end, segment.latest, segment.first_at, entries(segment), found_in(segment)


def test_an_empty_one(tmp_path: Path) -> None:
    segment = Segment(tmp_path, BASE, SETTINGS)
    assert facts(segment) == (0, BASE, -1, -1, ([], []), [])
    assert segment.batch_for_time(0) is None
    assert segment.vouch()[:2] == (0, 0)
    segment.close()


def test_each_offset_is_found_with_as_much_as_there_is_room_for(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    batches = found_in(segment)
    places = []
    at = 0
    for batch in batches:
        places.append((at, header_at(CompositeBuffer([batch])).end))
        at += len(batch)
    assert len(segment.offsets) > 3
    whole = b"".join(batches)
    assert whole == segment.path.read_bytes()
    for offset in range(BASE, segment.end):
        begin = next(at for at, end in places if end > offset)
        stops = [at for at, _ in places if at > begin] + [len(whole)]
        for most in (0, 1, 400, 1_000, 3_000, 1 << 20):
            found = segment.read(offset, most).tobytes()
            most_stop = max((stop for stop in stops if stop <= begin + most), default=stops[0])
            known = max((at for _, at in segment.offsets if begin < at <= begin + most), default=begin)
            assert found == whole[begin : begin + len(found)]
            assert begin + len(found) in {known, most_stop} - {begin}
            assert len(found) == most_stop - begin or known != segment.offsets.last[1]
    segment.close()


def test_what_no_index_knows_is_read_as_far_as_there_is_room(tmp_path: Path) -> None:
    segment = Segment(tmp_path, BASE, replace(SETTINGS, index_interval_bytes=1 << 20))
    for _ in range(4):
        add(segment, batch_at(segment.end))
    sizes = [len(batch) for batch in found_in(segment)]
    assert len(segment.offsets) == 1
    limits = [(0, 1), (sizes[0], 1), (sum(sizes[:2]), 2), (sum(sizes[:3]) - 1, 2), (sum(sizes), 4), (1 << 20, 4)]
    for most, stop in limits:
        assert len(segment.read(BASE, most)) == sum(sizes[:stop])
    segment.close()


def test_so_many_consumers_as_there_are_offsets_go_on_where_they_ended(tmp_path: Path) -> None:
    segment = filled(tmp_path, 100)
    batches = found_in(segment)
    for _ in range(2):
        offset = BASE
        for batch in batches:
            assert segment.read(offset, 1).tobytes() == batch
            offset = header_at(CompositeBuffer([batch])).end
    assert len(segment._ends) < len(batches)
    segment.close()


def test_indexes_are_sparse(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    offsets, times = entries(segment)
    starts = {}
    at, latest = 0, -1
    for batch, header in segment.batches():
        starts[header.base_offset - BASE] = (at, latest)
        at, latest = at + len(batch), max(latest, header.max_timestamp)
    assert offsets == [(offset, starts[offset][0]) for offset, _ in offsets]
    assert times == [(starts[offset][1], offset) for offset, _ in offsets]
    gaps = [after - before for (_, before), (_, after) in pairwise(offsets)]
    assert min(gaps) >= 600
    assert offsets[0] == (0, 0)
    segment.close()


def test_the_first_batch_for_a_time(tmp_path: Path) -> None:
    segment = Segment(tmp_path, BASE, SETTINGS)
    times = [100, 50, 300, 200, 400, 20] * 5
    for number, time in enumerate(times):
        add(segment, encode([Record(0, time + number, None, bytes(200))]))
    for ms in range(0, 450, 5):
        wanted = next((BASE + i for i, time in enumerate(times) if time + i >= ms), None)
        found = segment.batch_for_time(ms)
        assert (found and found[1].base_offset) == wanted
    segment.close()


@pytest.mark.parametrize("number", [1, NUMBER])
def test_opening_what_is_vouched_for_looks_at_its_end_alone(tmp_path: Path, number: int) -> None:
    segment = filled(tmp_path, number)
    vouched, at = segment.vouch(), segment.offsets.last[1]
    behind = len(list(batches_of(segment.read(BASE, 1 << 20)[at:])))
    segment.close()
    with mock.patch("examples.kafka.segment.checksum", wraps=checksum) as told:
        Segment(tmp_path, BASE, SETTINGS, vouched).close()
        assert told.call_count == behind
        Segment(tmp_path, BASE, SETTINGS).close()
        assert told.call_count == behind + number


def test_opened_again_it_is_the_same(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    before, vouched = facts(segment), segment.vouch()
    segment.close()
    wrong = [vouched._replace(**{name: getattr(vouched, name) + 1}) for name in ("size", "offsets", "times")]
    for known in (vouched, None, *wrong, vouched._replace(entries=0), Vouched(vouched.size, 10_000, 0, 0, 0, 0)):
        again = Segment(tmp_path, BASE, SETTINGS, known)
        assert again.was_vouched == (known == vouched)
        assert facts(again) == before
        again.close()
    again = Segment(tmp_path, BASE, SETTINGS, vouched)
    add(again, batch_at(again.end))
    assert len(found_in(again)) == NUMBER + 1
    again.close()


def test_with_more_batches_than_the_indexes_have_room_for_each_is_found(tmp_path: Path) -> None:
    """So it is if a log is opened with smaller segments than it was made with, and nobody vouches for them."""
    filled(tmp_path).close()
    segment = Segment(tmp_path, BASE, replace(SETTINGS, segment_bytes=1_200))
    assert len(segment.offsets) == len(segment.times) == 3
    for offset in range(BASE, segment.end):
        first = header_at(segment.read(offset, 1))
        assert first.base_offset <= offset < first.end
    segment.close()


def test_what_follows_one_that_is_not_the_next_is_cut_off(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    before = facts(segment)
    segment.close()
    batch = batch_at(0)
    strange = CompositeBuffer(placed(batch, header_at(batch), segment.end + 1))
    other_leader = CompositeBuffer([batch])
    for tail in (strange.tobytes(), other_leader.tobytes(), bytes(100), b"x"):
        with segment.path.open("ab") as file:
            file.write(tail)
        again = Segment(tmp_path, BASE, SETTINGS)
        assert facts(again) == before
        again.close()
        assert segment.path.stat().st_size == before[0]


def test_a_lost_batch_of_the_last_entry_loses_its_entry(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    vouched, last = segment.vouch(), segment.offsets.last
    kept = [batch for batch in found_in(segment) if header_at(CompositeBuffer([batch])).end <= BASE + last[0]]
    segment.close()
    data = bytearray(segment.path.read_bytes())
    data[last[1] + 70] ^= 1
    segment.path.write_bytes(data)
    again = Segment(tmp_path, BASE, SETTINGS, vouched)
    assert not again.was_vouched
    assert found_in(again) == kept
    assert len(again.offsets) == len(again.times) == vouched.entries - 1
    for offset in range(BASE, again.end):
        assert again.read(offset, 1).tobytes() in kept
    while again.end < segment.end:
        add(again, batch_at(again.end))
    assert found_in(again)[: len(kept)] == kept
    again.close()


def test_what_was_read_outlives_the_segment(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    first = segment.read(BASE, 1)
    wanted = found_in(segment)[0]
    segment.sync()
    segment.delete()
    segment.delete()
    assert list(tmp_path.iterdir()) == []
    assert first.tobytes() == wanted


def test_a_write_that_fails_adds_nothing(tmp_path: Path) -> None:
    segment = filled(tmp_path, 3)
    before = facts(segment)

    def half(batches: BaseBuffer, file: int) -> None:
        os.write(file, batches.tobytes()[:50])
        raise OSError(errno.ENOSPC, "no room")

    with mock.patch("examples.kafka.segment.flush", half):
        with pytest.raises(OSError, match="no room"):
            add(segment, batch_at(segment.end))
        assert facts(segment) == before
        assert segment.path.stat().st_size == segment.size
        with (
            mock.patch.object(os, "ftruncate", side_effect=OSError(errno.EIO, "the disk is gone")),
            pytest.raises(LogBrokenError, match="not cut back"),
        ):
            add(segment, batch_at(segment.end))
    segment.close()


@pytest.mark.parametrize("calls", [0, 1], ids=["offsets", "times"])
def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path, calls: int) -> None:
    before = descriptors()
    outcomes = [None] * calls + [OSError(errno.ENOSPC, "no room")]
    real = os.posix_fallocate

    def allocate(*given: int) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        real(*given)

    with mock.patch.object(os, "posix_fallocate", allocate), pytest.raises(OSError, match="no room"):
        Segment(tmp_path, BASE, SETTINGS)
    assert left_open() == before


def test_a_full_segment_gives_back_what_its_indexes_held_for_more(tmp_path: Path) -> None:
    segment = filled(tmp_path)
    wanted, vouched = facts(segment), segment.vouch()
    segment.trim()
    assert segment.offsets.path.stat().st_size == vouched.entries * 8
    assert facts(segment) == wanted
    assert segment.vouch() is vouched
    add(segment, batch_at(segment.end))
    assert segment.vouch().size == segment.size > vouched.size
    segment.close()
