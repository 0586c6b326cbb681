"""A partition's log: offsets, segments, what is read of it, what is deleted, and what is brought to the disk when."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

from bytebufs import BaseBuffer, CompositeBuffer
from examples.kafka.batch import HEADER, CorruptBatchError, checksum, header_at
from examples.kafka.log import BatchTooLargeError, Log, LogBrokenError, OffsetOutOfRangeError
from examples.kafka.records import Record, encode
from examples.kafka.settings import LogSettings

from .told_records import SMALL, append, batch_at, contents, opened, whole_batches

TINY: Final = replace(SMALL, segment_bytes=2_000, index_interval_bytes=300, flush="never")


def at_times(*times: int) -> BaseBuffer:
    return encode([Record(0, time, None, b"x" * 100) for time in times])


def with_codec(records: bytes, codec: int, *, time: int = 0) -> BaseBuffer:
    """A batch whose records are those bytes, under its right checksum."""
    fields = [0, HEADER.size - 12 + len(records), 0, 2, 0, codec, 0, time, time, -1, -1, -1, 1]
    fields[4] = checksum(CompositeBuffer([HEADER.pack(*fields), records]))
    return CompositeBuffer([HEADER.pack(*fields), records])


def test_offsets_and_reading(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", TINY)
    assert (log.start, log.end, len(log.read(0, 100))) == (0, 0, 0)
    while len(log.segments) < 5:
        append(log)
    batches = whole_batches(log)
    assert contents(log) == log.end
    assert [header.base_offset for _, header in log.batches()] == [
        header_at(CompositeBuffer([b])).base_offset for b in batches
    ]
    for segment in log.segments:
        for offset in range(segment.base, segment.end):
            for most in (1, 500, 10_000):
                found = log.read(offset, most)
                first = header_at(found)
                assert first.base_offset <= offset < first.end
                assert len(found) <= most or first.nbytes == len(found)
                assert b"".join(batches).find(found.tobytes()) >= 0
    for offset in (-1, log.end + 1):
        with pytest.raises(OffsetOutOfRangeError):
            log.read(offset, 1)
    log.close()
    log.close()


def test_many_batches_are_one_append_and_one_gathering_write(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    records = CompositeBuffer([batch_at(0), batch_at(1), batch_at(3)])
    with mock.patch.object(os, "writev", wraps=os.writev) as writev:
        assert log.append(records) == (0, 3)
    assert writev.call_count <= 1
    assert contents(log) == log.end == 4
    log.close()


def test_what_is_no_batch_or_too_large_is_not_added(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", replace(SMALL, max_message_bytes=1_000, segment_bytes=3_000))
    good = batch_at(0).tobytes()
    for bad in (b"", b"\0" * 100, good[:-1], good[:30], good + b"x", good[:-1] + bytes([good[-1] ^ 1])):
        with pytest.raises(CorruptBatchError):
            log.append(CompositeBuffer([bad]))
    with pytest.raises(BatchTooLargeError):
        log.append(encode([Record(0, 0, None, bytes(1_000))]))
    with pytest.raises(BatchTooLargeError):
        log.append(CompositeBuffer([at_times(0, 0, 0)] * 10))
    assert log.end == 0
    assert append(log) == log.end
    log.close()


def test_the_names_of_new_files_are_on_the_disk_before_anybody_is_told(tmp_path: Path) -> None:
    """Else a power cut takes what a producer was told is there: fdatasync does not keep a file's name."""
    settings = replace(TINY, flush="sync")
    with mock.patch("examples.kafka.log.sync_folder") as synced:
        log = opened(tmp_path / "log", settings)
        append(log)
        asyncio.run(log.settle(log.end))
        synced.assert_called_once_with(tmp_path / "log")
        append(log)
        asyncio.run(log.settle(log.end))
        log.close()
        opened(tmp_path / "log", settings).close()
        assert synced.call_count == 1, "all is vouched for"
        (tmp_path / "log" / "checkpoint").unlink()
        log = opened(tmp_path / "log", settings)
        asyncio.run(log.settle(log.end))
        assert synced.call_count == 2
        log.close()


def test_nobody_is_told_of_records_whose_file_has_no_name(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", replace(TINY, flush="sync"))
    append(log)
    failing = mock.patch("examples.kafka.log.sync_folder", side_effect=OSError("no"))
    with failing, pytest.raises(LogBrokenError, match="no"):
        asyncio.run(log.settle(log.end))
    log.close()


def test_a_segment_that_cannot_be_deleted_stays_and_so_do_those_behind_it(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", replace(TINY, retention_bytes=3_000))
    while len(log.segments) < 5:
        append(log)
    first, end = log.segments[0], log.end
    with mock.patch.object(Path, "unlink", side_effect=OSError("no")), pytest.raises(OSError, match="no"):
        log.tend()
    assert (log.start, log.segments[0]) == (0, first)
    assert contents(log) == end
    log.close()
    log = opened(tmp_path / "log", replace(TINY, retention_bytes=3_000))
    assert contents(log) == end
    log.tend()
    assert (log.start > 0, log.end) == (True, end)
    log.close()


def test_indexes_of_segments_that_are_full_hold_nothing_for_more(tmp_path: Path) -> None:
    """Else each segment had megabytes on the disk, and a few bytes are enough to begin one: by their times."""
    log = opened(tmp_path / "log", TINY)
    for _ in range(2):
        while len(log.segments) < 5:
            append(log)
        for segment in log.segments[:-1]:
            for index, size in ((segment.offsets, 8), (segment.times, 12)):
                assert index.path.stat().st_size == size * len(index) > 0
        assert contents(log) == log.end
        log.close()
        log = opened(tmp_path / "log", TINY)
    log.close()


def test_times_are_found_in_whatever_order_they_are(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", TINY)
    times = [100, 50, 300, 200, 250, 400, 20, 500] * 8
    for number, time in enumerate(times):
        log.append(at_times(time + 10 * (number // 8), time))
    flat = [(time + 10 * (number // 8), time)[i] for number, time in enumerate(times) for i in range(2)]
    for ms in range(0, 620, 10):
        wanted = next(((offset, time) for offset, time in enumerate(flat) if time >= ms), None)
        assert log.offset_for_time(ms) == wanted
    log.close()


def test_times_in_records_that_cannot_be_read(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", replace(SMALL, segment_bytes=1 << 20))
    log.append(with_codec(b"garbage", 0, time=10))
    log.append(with_codec(b"garbage", 1, time=20))
    log.append(with_codec(b"zstandard", 4, time=30))
    log.append(with_codec(gzip.compress(bytes(9 << 20)), 1, time=40))  # more than is unzipped for it
    assert [log.offset_for_time(ms) for ms in (10, 20, 30, 40, 41)] == [(0, 10), (1, 20), (2, 30), (3, 40), None]
    log.close()


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(b"\0\x02\x02\x01\x01\0", id="a-later-offset"),
        pytest.param(b"\0\x02\x01\x01\x01\0", id="an-earlier-offset"),
        pytest.param(b"\0" + b"\xfe" + b"\xff" * 8 + b"\1" + b"\0\x01\x01\0", id="a-time-of-more-than-64-bits"),
    ],
)
def test_records_that_are_not_where_their_batch_is_are_not_told(tmp_path: Path, record: bytes) -> None:
    log = opened(tmp_path / "log", replace(SMALL, segment_bytes=1 << 20))
    log.append(with_codec(bytes([2 * len(record)]) + record, 0, time=10))
    assert log.offset_for_time(9) == (0, 10)
    log.close()


@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
def test_a_look_for_a_time_has_an_end(tmp_path: Path, codec: int) -> None:
    log = opened(tmp_path / "log", replace(SMALL, segment_bytes=1 << 20))
    batch = encode([Record(0, time, None, b"") for time in range(101)])
    fields = [*header_at(batch)]
    records = batch[HEADER.size :].tobytes()
    records = gzip.compress(records) if codec else records
    fields[1], fields[5] = HEADER.size - 12 + len(records), codec
    fields[4] = checksum(CompositeBuffer([HEADER.pack(*fields), records]))
    log.append(CompositeBuffer([HEADER.pack(*fields), records]))
    with mock.patch("examples.kafka.log._MOST_LOOKED_AT", 100):
        assert [log.offset_for_time(ms) for ms in (99, 100)] == [(99, 99), (0, 0)]
    assert log.offset_for_time(100) == (100, 100)
    log.close()


def test_segments_follow_one_another_by_age(tmp_path: Path) -> None:
    log = opened(tmp_path / "log", replace(SMALL, segment_ms=100))
    for time in (0, 50, 100, 101, 150, 201, 202):
        log.append(at_times(time))
    assert [segment.base for segment in log.segments] == [0, 3, 6]
    log.close()


def test_what_is_too_much_or_too_old_is_deleted(tmp_path: Path) -> None:
    now = 0
    settings = replace(TINY, segment_bytes=400, retention_bytes=1_000, retention_ms=1_000)
    log = Log(tmp_path / "log", settings, now=lambda: now)
    for time in range(20):
        log.append(at_times(time, time))
    first = log.read(0, 1)
    log.tend()
    assert log.start > 0
    kept = sum(segment.size for segment in log.segments)
    assert 1_000 <= kept < 1_000 + log.segments[0].size
    assert header_at(first).base_offset == 0, "who was given a region keeps it"
    with pytest.raises(OffsetOutOfRangeError):
        log.read(0, 1)
    now = 1_020
    log.tend()
    assert len(log.segments) == 1
    start, end = log.start, log.end
    log.close()
    log = opened(tmp_path / "log", settings)
    assert (log.start, log.end) == (start, end)
    log.close()


def test_for_ever_is_minus_one(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", replace(TINY, retention_ms=-1, retention_bytes=-1, segment_ms=-1), now=lambda: 1 << 60)
    for _ in range(40):
        append(log)
    log.tend()
    assert log.start == 0
    log.close()


def run(log: Log, test: Any) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()
        await log.aclose()

    asyncio.run(bounded())


def test_sixteen_writers_share_their_rounds(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    messages = 20

    async def write() -> None:
        for _ in range(messages):
            await log.settle(append(log))

    async def test() -> None:
        with mock.patch.object(os, "fdatasync", wraps=os.fdatasync) as synced:
            await asyncio.gather(*[write() for _ in range(16)])
        assert synced.call_count <= 16 * messages / 8

    run(log, test)


def test_a_failed_flush_is_final(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")

    async def test() -> None:
        end = append(log)
        with (
            mock.patch.object(os, "fdatasync", side_effect=OSError(errno.EIO, "the disk is gone")),
            pytest.raises(LogBrokenError),
        ):
            await log.settle(end)
        with pytest.raises(LogBrokenError):
            append(log)
        with pytest.raises(LogBrokenError):
            await log.settle(end)
        assert contents(log) == log.end == end

    run(log, test)


def test_a_failed_flush_in_the_loops_own_thread_is_final(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    append(log)
    with (
        mock.patch.object(os, "fdatasync", side_effect=OSError(errno.EIO, "the disk is gone")),
        pytest.raises(OSError, match="the disk is gone"),
    ):
        log.flush()
    with pytest.raises(LogBrokenError):
        append(log)
    log.close()


def test_what_cannot_be_cut_back_is_final(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")
    end = append(log)
    fail = OSError(errno.EIO, "the disk is gone")
    with mock.patch("examples.kafka.segment.flush", side_effect=fail):
        with pytest.raises(OSError, match="the disk is gone"):
            append(log)
        log.assert_sound()
        with mock.patch.object(os, "ftruncate", side_effect=fail), pytest.raises(LogBrokenError):
            append(log)
    with pytest.raises(LogBrokenError):
        append(log)
    assert contents(log) == log.end == end
    log.close()


@pytest.mark.parametrize("flush", ["async", "never"])
def test_who_does_not_wait_is_told_at_once(tmp_path: Path, flush: Any) -> None:
    now = 0
    log = Log(tmp_path / "log", replace(SMALL, flush=flush, flush_messages=10, flush_ms=500), now=lambda: now)

    async def test() -> None:
        nonlocal now
        with mock.patch.object(os, "fdatasync", wraps=os.fdatasync) as synced:
            await log.settle(append(log))
            assert not synced.call_count
            now = 1_000
            log.tend()
            await log._commit.idle()
            assert synced.call_count == (flush == "async"), "by time"
            while log.end < 12:
                append(log)
            await log._commit.idle()
            assert synced.call_count == 2 * (flush == "async"), "by messages"

    run(log, test)


def test_who_waits_for_more_is_woken(tmp_path: Path) -> None:
    log = opened(tmp_path / "log")

    async def test() -> None:
        waiting = [asyncio.create_task(log.grown(0)) for _ in range(3)]
        gone = asyncio.create_task(log.grown(0))
        last = asyncio.create_task(log.grown(1_000))
        await asyncio.sleep(0)
        gone.cancel()
        append(log)
        await asyncio.gather(*waiting)
        assert not last.done()
        log.close()
        await last

    run(log, test)


def test_settings_that_no_log_has() -> None:
    for wrong in ({"segment_bytes": 0}, {"segment_bytes": 1 << 31}, {"index_interval_bytes": 0}, {"flush": "often"}):
        with pytest.raises(ValueError, match=r"often|no log"):
            LogSettings(**wrong)
