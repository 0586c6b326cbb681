"""What groups commit is there again after a kill, whatever the kill has left of the last commit."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Final
from unittest import mock

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from examples.kafka.errors import Error, Refused
from examples.kafka.offsets import MAGIC, Committed, OffsetLimits, Offsets, Place
from tests.forked import Program
from tests.in_memory import FOLDERS

DAY: Final = 24 * 3600 * 1000
ENTRY: Final = 8 + 30
"""Bytes of an entry without its texts."""


def at(offset: int, metadata: str = "", time: int = 0) -> Committed:
    return Committed(offset, -1, metadata, time)


@contextmanager
def opened(path: Path, limits: OffsetLimits | None = None) -> Iterator[Offsets]:
    offsets = Offsets(path, limits)
    try:
        yield offsets
    finally:
        offsets.close()


def test_what_is_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "offsets"
    with opened(path) as offsets:
        assert offsets.of("g") == {}
        offsets.commit("g", {("t", 0): at(5, "é"), ("t", 1): at(6)})
        offsets.commit("g", {("t", 1): Committed(7, 3, "", 99)})
        offsets.commit("h", {("t", 1): at(1 << 60)})
        offsets.flush()
    with opened(path) as offsets:
        assert offsets.of("g") == {("t", 0): at(5, "é"), ("t", 1): Committed(7, 3, "", 99)}
        assert offsets.of("h") == {("t", 1): at(1 << 60)}
    assert not list(tmp_path.glob("*.new"))


def test_of_a_commit_that_is_not_whole_nothing_is_read(tmp_path: Path) -> None:
    """Cut at every byte of the last entry, each of its bytes flipped: the one before stands, new ones follow."""
    path = tmp_path / "offsets"
    with opened(path) as offsets:
        offsets.commit("g", {("t", 0): at(5)})
        first = path.stat().st_size
        offsets.commit("g", {("t", 0): at(6, "six")})
    whole = path.read_bytes()
    for cut in range(first, len(whole)):
        for text in (whole[:cut], whole[:cut] + bytes([whole[cut] ^ 0x55]) + whole[cut + 1 :]):
            path.write_bytes(text)
            with opened(path) as offsets:
                assert offsets.of("g") == {("t", 0): at(5)}
                offsets.commit("g", {("t", 1): at(7)})
            with opened(path) as offsets:
                assert offsets.of("g") == {("t", 0): at(5), ("t", 1): at(7)}


def test_a_file_whose_very_beginning_is_cut_off_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "offsets"
    path.write_bytes(b"offs")
    with opened(path) as offsets:
        offsets.commit("g", {("t", 0): at(5)})
    with opened(path) as offsets:
        assert offsets.of("g")


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "offsets"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="no file of offsets"):
        Offsets(path)
    assert path.read_bytes() == b"something else"


def test_the_file_is_written_anew_when_most_of_it_no_longer_counts(tmp_path: Path) -> None:
    path, limits = tmp_path / "offsets", OffsetLimits(slack=1000)
    with opened(path, limits) as offsets:
        offsets.commit("kept", {("t", 0): at(1)})
        sizes = []
        for offset in range(100):
            offsets.commit("g", {("t", 0): at(offset)})
            sizes.append(path.stat().st_size)
        offsets.flush()
    assert max(sizes) <= 1000 + 2 * 2 * (ENTRY + 5) + ENTRY + 5
    assert sizes != sorted(sizes)
    with opened(path, limits) as offsets:
        assert (offsets.of("kept"), offsets.of("g")) == ({("t", 0): at(1)}, {("t", 0): at(99)})


def test_without_room_for_a_new_file_the_old_one_goes_on(tmp_path: Path) -> None:
    """A link that leads nowhere stands for the disk that has no room."""
    path, limits = tmp_path / "offsets", OffsetLimits(slack=200)
    beside, sizes = tmp_path / "offsets.new", list[int]()
    with opened(path, limits) as offsets:
        beside.symlink_to(tmp_path / "nowhere" / "file")
        for offset in range(30):
            offsets.commit("g", {("t", 0): at(offset)})
            sizes.append(path.stat().st_size)
        assert not beside.is_symlink(), "it has been tried"
    assert max(sizes) > 2 * (ENTRY + 2) + 200 + ENTRY + 2
    assert sizes != sorted(sizes), "and tried again"
    with opened(path, limits) as offsets:
        assert offsets.of("g") == {("t", 0): at(29)}


def test_a_full_disk_refuses_a_commit_and_keeps_the_others(tmp_path: Path) -> None:
    """The limit of a file's size stands for the disk: the system says so in the middle of a write."""
    path = tmp_path / "offsets"
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with opened(path) as offsets:
        offsets.commit("g", {("t", 0): at(5)})
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                offsets.commit("g", {("t", 0): at(6)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert (path.stat().st_size, offsets.of("g")) == (size + 10, {("t", 0): at(5)})
        offsets.commit("g", {("t", 0): at(7)})
        assert path.stat().st_size == 2 * size - len(MAGIC), "nothing is left of the one that failed"
    with opened(path) as offsets:
        assert offsets.of("g") == {("t", 0): at(7)}


@pytest.mark.parametrize(
    ("group", "topic", "metadata", "error"),
    [
        pytest.param("g", "t", "é" * 2048, Error.NONE, id="fits"),
        pytest.param("g", "t", "é" * 2048 + ".", Error.OFFSET_METADATA_TOO_LARGE, id="metadata"),
        pytest.param("", "t", "", Error.INVALID_GROUP_ID, id="no-group"),
        pytest.param("g" * 256, "t", "", Error.INVALID_GROUP_ID, id="group"),
        pytest.param("g", "t" * 256, "", Error.INVALID_TOPIC_EXCEPTION, id="topic"),
    ],
)
def test_texts_have_limits(tmp_path: Path, group: str, topic: str, metadata: str, error: Error) -> None:
    with opened(tmp_path / "offsets") as offsets:
        assert offsets.check(group, (topic, 0), at(1, metadata)) is error


def test_without_room_what_is_old_goes_and_what_is_new_is_refused(tmp_path: Path) -> None:
    limits = OffsetLimits(size=3 * (ENTRY + 5), age=7 * DAY)
    with opened(tmp_path / "offsets", limits) as offsets:
        offsets.commit("live", {("t", 0): at(1)})
        offsets.commit("dead", {("t", 0): at(1, time=DAY)})
        offsets.commit("idle", {("t", 0): at(1, time=2 * DAY)})
        for time in (0, 8 * DAY):
            with pytest.raises(Refused) as caught:
                offsets.commit("more", {("t", 0): at(1, time=time)}, live={"live"})
            assert caught.value.error is Error.INVALID_COMMIT_OFFSET_SIZE
        offsets.commit("more", {("t", 0): at(1, time=8 * DAY + 1)}, live={"live"})
        assert [group for group in ("live", "dead", "idle", "more") if offsets.of(group)] == ["live", "idle", "more"]


def test_without_room_what_takes_the_place_of_others_is_kept(tmp_path: Path) -> None:
    """Else whoever fills it, in no group's name, would keep all groups from going on."""
    with opened(tmp_path / "offsets", OffsetLimits(size=2 * (ENTRY + 2))) as offsets:
        offsets.commit("g", {("t", 0): at(1)})
        offsets.commit("h", {("t", 0): at(1)})
        offsets.commit("g", {("t", 0): at(2)})
        for entries in ({("t", 0): at(3, "m")}, {("t", 0): at(3), ("t", 1): at(3)}):
            with pytest.raises(Refused):
                offsets.commit("g", entries)
        assert offsets.of("g") == {("t", 0): at(2)}


def test_what_is_committed_after_a_rename_that_failed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "offsets"
    with opened(path, OffsetLimits(slack=0)) as offsets:
        with mock.patch("pathlib.Path.rename", side_effect=OSError("no")) as rename:
            for offset in range(30):
                offsets.commit("g", {("t", 0): at(offset)})
        assert rename.called
        assert [each.name for each in tmp_path.iterdir()] == ["offsets"]
    with opened(path) as offsets:
        assert offsets.of("g") == {("t", 0): at(29)}


def test_a_new_file_is_flushed_with_its_name(tmp_path: Path) -> None:
    with opened(tmp_path / "offsets", OffsetLimits(slack=0)) as offsets:
        for offset in range(30):
            offsets.commit("g", {("t", 0): at(offset)})
        failing = mock.patch("examples.kafka.offsets.sync_folder", side_effect=OSError("no"))
        with failing, pytest.raises(OSError, match="no"):
            offsets.flush()
        with mock.patch("examples.kafka.offsets.sync_folder") as synced:
            offsets.flush()
            offsets.flush()
        synced.assert_called_once_with(tmp_path)
        offsets.commit("g", {("t", 0): at(99)})
    with opened(tmp_path / "offsets") as offsets:
        assert offsets.of("g") == {("t", 0): at(99)}


@pytest.mark.parametrize("lines", [1, 50, 777])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "offsets"
    with Program("tests.kafka.committing", str(path)) as process:
        for _ in range(lines):
            acknowledged = int(process.stdout.readline())
        process.kill()
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    with opened(path) as offsets:
        found = [offsets.of("g")["t", partition].offset for partition in (0, 1)]
    assert all(acknowledged <= offset <= acknowledged + 1 for offset in found)


class OffsetsMachine(RuleBasedStateMachine):
    """Commits and restarts, against a dictionary; each slack is small, so that the file is written anew often."""

    @initialize(slack=st.sampled_from([0, 100, 1000]))
    def begin(self, slack: int) -> None:
        self.folder = Path(mkdtemp(dir=FOLDERS))
        self.limits = OffsetLimits(slack=slack)
        self.offsets = Offsets(self.folder / "offsets", self.limits)
        self.model: dict[str, dict[Place, Committed]] = {"g": {}, "h": {}}

    @rule(
        group=st.sampled_from(["g", "h"]),
        entries=st.dictionaries(
            st.tuples(st.sampled_from(["t", "u"]), st.integers(0, 2)),
            st.builds(Committed, st.integers(0, 1 << 62), st.integers(-1, 9), st.text(max_size=9), st.integers(0, 9)),
        ),
    )
    def commits(self, group: str, entries: Mapping[Place, Committed]) -> None:
        self.offsets.commit(group, entries)
        self.model[group].update(entries)
        self.compare()

    @rule()
    def restarts(self) -> None:
        self.offsets.close()
        self.offsets = Offsets(self.folder / "offsets", self.limits)
        self.compare()

    def compare(self) -> None:
        for group, known in self.model.items():
            assert self.offsets.of(group) == known

    def teardown(self) -> None:
        if hasattr(self, "offsets"):
            self.offsets.close()
            (self.folder / "offsets").unlink()
            self.folder.rmdir()


TestOffsets = OffsetsMachine.TestCase
TestOffsets.on_disk = 5  # type: ignore[attr-defined]
