"""The picture of a data directory: while a broker is at work, after it, and of damaged files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from examples.kafka.inspect import picture
from examples.kafka.records import Record, encode
from examples.kafka.store import Store

from .told_records import SMALL, append


def test_a_picture_of_all_there_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert list(picture_of(Store(data), data)) == [f"{data}: a broker is at work"]
    store = Store(data, replace(SMALL, segment_bytes=1_000, index_interval_bytes=300))
    store.create("topic", 2)
    log = store.log("topic", 0)
    assert log is not None
    while len(log.segments) < 3:
        append(log)
    while_open = "\n".join(picture(data))
    assert "a broker is at work" in while_open
    assert "topic-0: 3 segments" in while_open
    assert "topic-1: 1 segment, 0 bytes" in while_open
    assert f"offsets {log.segments[1].base} to {log.segments[1].end - 1}, {log.segments[1].size:,} bytes" in while_open
    assert f"index: {len(log.segments[0].offsets)} entries, and " in while_open
    assert "1970-01-01T00:00:01" in while_open
    assert "recovery" not in while_open
    store.close()
    closed = "\n".join(picture(data))
    assert "nobody is at work" in closed
    assert "entries, and 0 bytes held for more" in closed


def picture_of(store: Store, data: Path) -> list[str]:
    lines = list(picture(data))
    store.close()
    return lines


def test_a_picture_of_damage(tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = Store(data)
    store.create("topic")
    log = store.log("topic", 0)
    assert log is not None
    log.append(encode([Record(0, 1 << 60, None, None)]))
    log.append(encode([Record(0, 1 << 60, None, b"x" * 100)]))
    store.close()
    path = data / "topic-0" / f"{0:020}.log"
    whole = path.read_bytes()

    def said(text: bytes) -> str:
        path.write_bytes(text)
        return "\n".join(picture(data))

    assert f"latest {1 << 60} ms" in said(whole)
    assert "1 batch, 1 record" in said(whole[:-1])
    assert "that recovery cuts off" in said(whole[:-1])
    assert "that recovery cuts off" in said(whole + bytes(100))
    assert "has not its checksum" in said(whole[:-1] + b"y")
    assert "0 batches" in said(b"")
    path.with_suffix(".index").unlink()
    (data / ".lock").unlink()
    assert "index: not there, to be rebuilt" in said(whole)
    assert "nobody is at work" in said(whole)


def test_a_segment_that_is_deleted_meanwhile(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create("topic")
    lines = picture(tmp_path)
    assert [next(lines) for _ in range(2)][1] == "topic-0: 1 segment, 0 bytes"
    (tmp_path / "topic-0" / f"{0:020}.log").unlink()
    assert list(lines) == [f"  {0:020}.log: not there any more"]
    store.close()
