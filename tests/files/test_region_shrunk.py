"""Files that shrink: an error that says so, where touching the memory would end the process."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bytebufs import CompositeBuffer, FileRegion, TruncatedFile

PAGE = mmap.ALLOCATIONGRANULARITY

SURVIVOR = """
import os, sys
from bytebufs import CompositeBuffer, FileRegion, MappedFile, SliceBuffer, TruncatedFile

path, size, looked_before = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "looked before"

def looks(b):
    yield lambda: b[size // 2]
    yield lambda: b[-1]
    yield lambda: b.find(b"x")
    yield lambda: b.rfind(b"x")
    yield lambda: b.count(b"x")
    yield lambda: b.count(b"xy")
    yield lambda: b"x" in b
    yield lambda: b == bytes(len(b))
    yield lambda: b == bytearray(len(b))
    yield lambda: b < bytes(len(b))
    yield lambda: b.endswith(bytes(20))
    yield lambda: bytes(b)
    yield lambda: b.tobytes()
    yield lambda: b.decode("latin-1")
    yield lambda: b.hex()
    yield lambda: b.hexdump()
    yield lambda: b.copy_into(bytearray(len(b)))
    yield lambda: b.views()
    yield lambda: b.contiguous()
    yield lambda: b.split(b"\\n")
    yield lambda: b.strip(b"\\0")
    yield lambda: list(b)
    yield lambda: list(reversed(b))
    yield lambda: b.unpack_from(">I", len(b) - 4)
    yield lambda: b.reader().take_bytes(len(b))
    yield lambda: [r for r in [b.reader()] if not r.skip(len(b) - 4)][0].u32()

regions = [FileRegion(path, 0), FileRegion(path, 3)]
buffers = [make(region) for region in regions for make in (
    SliceBuffer,
    lambda region: region[2:],
    lambda region: CompositeBuffer([region]),
    lambda region: CompositeBuffer([region[:50], b"--", region[50:]]),
)]
if looked_before:
    assert all(b.find(b"x") < 0 for b in buffers)
mapped = MappedFile(path, offset=3)
os.truncate(path, 0)

raised = 0
for b in buffers:
    for look in looks(b):
        try:
            look()
        except TruncatedFile as error:
            assert error.found == 0 and error.expected == size, error
            raised += 1
        else:
            raise SystemExit(f"nothing was raised for {b!r}")
    assert len(b[1:]) == len(b) - 1 and repr(b) and b.layout()  # these need no bytes
try:
    mapped[:]
except TruncatedFile:
    raised += 1
print(raised, len(buffers) * len(list(looks(b))) + 1)
"""

HALF_WAY = """
import os, sys
from bytebufs import CompositeBuffer, FileRegion, TruncatedFile

path = sys.argv[1]
def iterators(region):
    for b in (region[:], region[5:-5], CompositeBuffer([b"ab", region]), CompositeBuffer([region, b"ab"])[1:]):
        yield iter(b)
        yield reversed(b)

size = os.stat(path).st_size
for i, iterator in enumerate(iterators(FileRegion(path))):
    for _ in range(3):
        next(iterator)
    os.truncate(path, 0)
    try:
        sum(iterator)
    except TruncatedFile as error:
        assert (error.expected, error.found) == (size, 0)
        print(i)
    os.truncate(path, size)
"""

VICTIM = """
import mmap, os, sys
file = open(sys.argv[1], "rb")
mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(sys.argv[1], 0)
mapped.find(b"x")
"""


def run(source: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", source, *map(str, args)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parent.parent.parent,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(bytes(3 * PAGE))
    return path


def test_a_map_that_nobody_checks_ends_the_process(path: Path) -> None:
    assert run(VICTIM, path).returncode == -signal.SIGBUS


@pytest.mark.parametrize("before", ["looked before", "never looked"])
def test_every_look_at_a_shrunk_region_raises(path: Path, before: str) -> None:
    found = run(SURVIVOR, path, 3 * PAGE, before)
    assert found.stderr == ""
    assert found.returncode == 0
    raised, expected = found.stdout.split()
    assert raised == expected


def test_a_file_that_shrinks_while_somebody_iterates_raises(path: Path) -> None:
    found = run(HALF_WAY, path)
    assert found.stderr == ""
    assert found.stdout.split() == [str(i) for i in range(8)]


def test_the_error_says_which_file_and_where(path: Path) -> None:
    region = FileRegion(path, 10, 100)
    os.truncate(path, 50)
    with pytest.raises(TruncatedFile) as caught:
        bytes(region[:5])
    assert str(caught.value) == f"{path} ends at byte 50, expected at least 110"
    assert isinstance(caught.value, OSError)


def test_a_region_is_whole_up_to_where_it_is_asked(path: Path) -> None:
    region = FileRegion(path, 10, 100)
    os.truncate(path, 50)
    region._assert_whole(40)
    with pytest.raises(TruncatedFile) as caught:
        region._assert_whole(41)
    assert (caught.value.expected, caught.value.found) == (51, 50)


def test_a_file_that_has_grown_again_is_whole(path: Path) -> None:
    region = FileRegion(path, 10, 100)
    b = CompositeBuffer([b"x", region])
    os.truncate(path, 0)
    with pytest.raises(TruncatedFile):
        b.find(b"y")
    os.truncate(path, 110)
    assert b.find(b"y") == -1
