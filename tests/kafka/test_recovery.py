"""What a log makes of files that are not as it left them: a prefix of what was written, never a wrong record."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.kafka.log import Log
from examples.kafka.settings import LogSettings
from tests.conftest import IS_QUICK
from tests.in_memory import (
    FOLDERS,
    path_in_memory,  # noqa: F401  # a fixture
)

from .told_records import SMALL, append, contents, opened, whole_batches

TINY: Final = replace(SMALL, segment_bytes=1_500, index_interval_bytes=300, flush="never")
STEP: Final = 17 if IS_QUICK else 1
"""Quickly, each so many bytes are tried, begun at another one for each end."""
ENDS: Final = ("crashed", "closed")


@pytest.fixture(params=ENDS)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A log of several segments, as a crash leaves it, or a broker that ends in good order."""
    return written(tmp_path / "left", request.param, TINY, 10)


def written(folder: Path, how: str, settings: LogSettings, batches: int) -> Path:
    log = opened(folder.with_name("open"), settings)
    for _ in range(batches):
        append(log)
    if how == "crashed":
        shutil.copytree(log.folder, folder)
    log.close()
    if how == "closed":
        shutil.copytree(log.folder, folder)
    return folder


@contextmanager
def reopened(left: Path, change: Callable[[Path], object], *, goes_on: bool = True) -> Iterator[Log]:
    """What a log makes of a changed copy. Whatever it is, it can be written to, and opened again: so it ``goes_on``."""
    folder = left.with_name("copy")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(left, folder)
    change(folder)
    log = opened(folder, TINY)
    try:
        yield log
        assert contents(log) == log.end
        end = append(log) if goes_on else log.end
    finally:
        log.close()
    if goes_on:
        _assert_ends(folder, end)


def _assert_ends(folder: Path, end: int) -> None:
    again = opened(folder, TINY)
    assert contents(again) == again.end == end
    again.close()


def last_log(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def batches_of(left: Path) -> list[bytes]:
    with reopened(left, lambda _: None) as log:
        return whole_batches(log)


def records_of(batches: list[bytes]) -> int:
    return sum(int.from_bytes(batch[57:61], "big") for batch in batches)


def flip(path: Path, at: int, bits: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
def test_each_byte_of_the_last_batch_flipped(left: Path, bits: int) -> None:
    batches = batches_of(left)
    size = last_log(left).stat().st_size
    for at in range(size - len(batches[-1]) + bits % STEP, size, STEP):
        with reopened(left, lambda folder, at=at: flip(last_log(folder), at, bits), goes_on=not at % 10) as log:  # type: ignore[misc]
            assert log.end == records_of(batches[:-1]), f"byte {at} of {size}"


def test_files_cut_at_each_byte_of_the_last_two_batches(left: Path) -> None:
    batches = batches_of(left)
    sizes = {path.name: path.stat().st_size for path in left.glob("*.log")}
    total, gone = sum(sizes.values()), len(batches[-1]) + len(batches[-2])

    def cut(folder: Path, size: int) -> None:
        """Leave so many bytes of all segments together."""
        for name in sorted(sizes):
            with (folder / name).open("r+b") as file:
                file.truncate(min(size, sizes[name]))
            size -= min(size, sizes[name])

    for size in (*range(total - gone, total, STEP), total - len(batches[-1]), total - 1):
        kept = batches[:-1] if size >= total - len(batches[-1]) else batches[:-2]
        with reopened(left, lambda folder, size=size: cut(folder, size), goes_on=not size % 10) as log:  # type: ignore[misc]
            assert whole_batches(log) == kept, f"{size} bytes of {total}"


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
def test_an_index_cut_or_garbage_or_gone_is_rebuilt(left: Path, suffix: str) -> None:
    batches, chance = batches_of(left), random.Random(14)

    def remade(change: Callable[[Path], object]) -> None:
        def change_all(folder: Path) -> None:
            for path in folder.glob(f"*{suffix}"):
                change(path)

        with reopened(left, change_all) as log:
            assert whole_batches(log) == batches
            for offset in range(log.end):
                assert log.offset_for_time(1_000 + offset) == (offset, 1_000 + offset)

    remade(Path.unlink)
    for size in (0, 1, 7, 11, 100, 10_000):
        remade(lambda path, size=size: path.write_bytes(chance.randbytes(size)))  # type: ignore[misc]
    for at in range(0, min(path.stat().st_size for path in left.glob(f"*{suffix}")), 5 if IS_QUICK else 1):
        remade(lambda path, at=at: flip(path, at, 0xFF))  # type: ignore[misc]


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"0\n{}", b'1\n{"0": [1]}', b"{}"])
def test_a_checkpoint_that_is_none_vouches_for_nothing(left: Path, text: bytes) -> None:
    batches = batches_of(left)
    with reopened(left, lambda folder: (folder / "checkpoint").write_bytes(text)) as log:
        assert whole_batches(log) == batches


@pytest.mark.parametrize("tail", ["zeros", "an old batch", "the first bytes of a batch", "noise"])
def test_what_stands_behind_the_last_batch_is_cut_off(left: Path, tail: str) -> None:
    batches = batches_of(left)
    garbage = {
        "zeros": bytes(5_000),
        "an old batch": batches[-2],
        "the first bytes of a batch": batches[0][:40],
        "noise": random.Random(14).randbytes(999),
    }[tail]

    def add(folder: Path) -> None:
        with last_log(folder).open("ab") as file:
            file.write(garbage)

    with reopened(left, add) as log:
        assert whole_batches(log) == batches


def test_behind_a_segment_that_is_gone_nothing_is_kept(left: Path) -> None:
    names = sorted(path.name for path in left.glob("*.log"))
    assert len(names) > 2
    with reopened(left, lambda folder: (folder / names[1]).unlink()) as log:
        assert log.end == int(names[1].removesuffix(".log"))
        assert [path.name for path in log.folder.glob("*.log")] == names[:1]


@given(data=st.data())
def test_damage_anywhere_after_a_crash_leaves_a_prefix(data: st.DataObject) -> None:
    with TemporaryDirectory(dir=FOLDERS) as folder:
        _damage_anywhere(data, Path(folder))


def _damage_anywhere(data: st.DataObject, folder: Path) -> None:
    left = written(folder / "left", "crashed", TINY, 12)
    (left / "checkpoint").unlink(missing_ok=True)  # what is vouched for is not gone through
    batches = batches_of(left)
    path = data.draw(st.sampled_from(sorted(left.glob("*.log"))))
    size = path.stat().st_size
    at = data.draw(st.integers(0, max(size - 1, 0)))
    instead = data.draw(st.binary(max_size=100))

    def damage(folder: Path) -> None:
        text = (folder / path.name).read_bytes()
        (folder / path.name).write_bytes(text[:at] + instead + text[at + len(instead) :])

    with reopened(left, damage) as log:
        found = whole_batches(log)
        assert found == batches[: len(found)]
