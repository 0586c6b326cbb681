"""flush() of messages with ranges of files: by reference, in one segment, and never a byte that is not there."""

from __future__ import annotations

import contextlib
import errno
import gc
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bytebufs
from bytebufs import CompositeBuffer, FileRegion, MappedFile, copy_audit, flush
from bytebufs.errors import TruncatedFile

from ..conftest import IS_QUICK
from ..descriptors import descriptors, left_open
from ..sinks import (
    CONTENT,
    MIX_SINKS,
    MIXES,
    PAIRS,
    PATIENCE,
    SINKS,
    Peer,
    build_mix,
    flushed,
    mixed,
    nibbles,
    open_socket,
    shrink,
    tcp_pair,
)

ROOT: Final = Path(bytebufs.__file__).parent.parent

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc, and what a flush takes of memory, are Linux's")

BY_REFERENCE: Final = [
    name
    for name in SINKS
    if name.startswith(("unix", "tcp", "socket desc", "pipe desc", "pipe FileIO", "pipe Buff", "file d", "FileIO"))
]
"""The sinks into which the system sends a file by itself."""


# -- every kind of sink ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SINKS))
def test_every_sink_gets_files_and_memory_in_order(name: str, file: Path) -> None:
    buffer, message = mixed(FileRegion(file))
    with SINKS[name]() as (sink, received):
        for part in (buffer, buffer[3:-3], FileRegion(file, 10, 20), buffer.freeze()):
            with copy_audit() as audit:
                assert flush(part, sink) == len(part)
            assert set(audit.by_reason) == set() if name in BY_REFERENCE else {"fallback"}
        assert received() == message + message[3:-3] + CONTENT[10:30] + message
    assert buffer == message


@pytest.mark.parametrize("timeout", [None, 0.0, PATIENCE], ids=["blocking", "non-blocking", "timeout"])
@pytest.mark.parametrize("pair", list(PAIRS))
def test_a_peer_that_takes_a_few_bytes_at_a_time(pair: str, timeout: float | None, file: Path) -> None:
    here, there = PAIRS[pair]()
    with here, there:
        shrink(here)
        here.settimeout(timeout)
        region = FileRegion(file, 0, 9000)
        buffer = CompositeBuffer([b"h" * 5000, region[7:8000], b"t" * 3000, region[:3000]])
        peer = Peer(there.recv, nibbles())
        assert flush(buffer, here) == len(buffer)
        here.shutdown(socket.SHUT_WR)
        assert peer.received() == buffer


@pytest.mark.parametrize("timeout", [0.05, None], ids=["timeout", "SO_SNDTIMEO"])
def test_a_peer_that_never_reads(timeout: float | None, file: Path) -> None:
    here, there = tcp_pair()
    with here, there, FileOf(64 << 20) as large:
        shrink(here)
        here.settimeout(timeout)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 50_000))
        with pytest.raises(TimeoutError if timeout else BlockingIOError) as caught:
            flush(CompositeBuffer([b"header", FileRegion(large.fileno())]), here)
        went = flushed(caught)
        assert 6 <= went < 64 << 20
        here.shutdown(socket.SHUT_WR)
        assert Peer(there.recv).received() == (b"header" + bytes(went))[:went]


def FileOf(size: int) -> Any:  # noqa: N802  # reads as the constructor that it stands for
    """A sparse file of a size, open."""
    made = tempfile.TemporaryFile()
    made.truncate(size)
    return made


def test_the_far_end_of_a_huge_file() -> None:
    size = 6 << 30
    with FileOf(size) as huge:
        os.pwrite(huge.fileno(), b"the end", size - 7)
        region = FileRegion(huge)
        with open_socket("tcp", timeout=None) as (sink, received):
            assert flush(CompositeBuffer([b"<", region[size - 10 :], b">"]), sink) == 12  # defects.md N17
            assert received() == b"<\0\0\0the end>"


def test_a_composite_that_its_sink_changes(file: Path) -> None:
    buffer = CompositeBuffer([b"abc", FileRegion(file)[:4], b"def"])

    class Sink:
        def write(self, data: memoryview) -> int:
            buffer.append(b"more")
            return 2

    with pytest.raises(RuntimeError, match="changed while it was flushed") as caught:
        flush(buffer, Sink())
    assert flushed(caught) == 2


def test_a_composite_that_its_sink_changes_without_taking_anything() -> None:
    buffer = CompositeBuffer([b"abc", b"def"])
    here, there = socket.socketpair()
    here.setblocking(False)

    class Sink:
        fileno = here.fileno

        def write(self, data: memoryview) -> int:
            buffer.skip(1)
            raise BlockingIOError(errno.EAGAIN, "not now")

    with here, there, pytest.raises(RuntimeError, match="changed while it was flushed") as caught:
        flush(buffer, Sink())
    assert flushed(caught) == 0


def test_a_composite_that_a_signal_handler_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = CompositeBuffer([b"abc", b"def"])
    writev = os.writev

    def change(fd: int, batch: list[bytes]) -> int:
        buffer.appendleft(b"x")
        return writev(fd, batch[:1])

    monkeypatch.setattr(os, "writev", change)
    with tempfile.TemporaryFile() as sink, pytest.raises(RuntimeError, match="changed while") as caught:
        flush(buffer, sink.fileno())
    assert flushed(caught) == 3


@pytest.mark.parametrize("change", ["clear", "replace", "skip", "appendleft"])
def test_a_composite_that_a_signal_handler_changes_before_the_first_call(change: str) -> None:
    buffer = CompositeBuffer([bytearray(b"abc"), b"def"] * 10)  # more than go without a plan

    def replace() -> None:
        buffer.clear()
        buffer.append(b"XYZXYZ!!")

    changes: dict[str, Callable[[], object]] = {
        "clear": buffer.clear,
        "replace": replace,
        "skip": lambda: buffer.skip(1),
        "appendleft": lambda: buffer.appendleft(b"--"),
    }

    class Signalled(socket.socket):
        def gettimeout(self) -> float | None:
            changes[change]()
            return super().gettimeout()

    here, there = socket.socketpair()
    with Signalled(fileno=here.detach()) as sink, there:
        with pytest.raises(RuntimeError, match="changed while it was flushed") as caught:
            flush(buffer, sink)
        assert flushed(caught) == 0
        sink.close()
        assert there.recv(100) == b""


@pytest.mark.parametrize(("change", "taken"), [("clear", 1), ("skip", 3), ("skip", 1), ("appendleft", 1)])
def test_a_composite_that_shrinks_in_its_sink(change: str, taken: int) -> None:
    buffer = CompositeBuffer([b"abc", b"def", b"ghi"])
    changes: dict[str, Callable[[], object]] = {
        "clear": buffer.clear,
        "skip": partial(buffer.skip, 5),
        "appendleft": partial(buffer.appendleft, b"zz"),
    }

    class Sink:
        def write(self, data: memoryview) -> int:
            changes[change]()
            return taken

    with pytest.raises(RuntimeError, match="changed while it was flushed") as caught:
        flush(buffer, Sink())
    assert flushed(caught) == taken


def test_what_a_region_shows_stays_when_its_file_is_closed_or_replaced(file: Path, tmp_path: Path) -> None:
    gc.collect()  # or what other tests have left may be closed meanwhile, and its number taken
    with file.open("rb") as opened:
        region = FileRegion(opened, 0, 10)
        number = opened.fileno()
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    other.replace(file)
    with file.open("rb") as opened:
        assert opened.fileno() == number  # the descriptor that was given now is another file
        with open_socket("tcp", timeout=None) as (sink, received):
            flush(region, sink)
            assert received() == CONTENT[:10]


def test_a_full_device(file: Path) -> None:
    with Path("/dev/full").open("wb", 0) as full, pytest.raises(OSError, match="No space left") as caught:
        flush(FileRegion(file), full)
    assert flushed(caught) == 0


# -- random mixes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIX_SINKS)
@given(parts=MIXES, data=st.data())
def test_random_mixes_arrive_whatever_a_call_takes(
    name: str, parts: list[tuple[str, int]], data: st.DataObject
) -> None:
    chance = random.Random(data.draw(st.integers(0, 1000), label="appetite"))
    with tempfile.NamedTemporaryFile() as place, pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        place.write(CONTENT)
        place.flush()
        buffer, message = build_mix(parts, Path(place.name))
        start = data.draw(st.integers(0, len(message)), label="start")
        stop = data.draw(st.integers(start, len(message)), label="stop")
        sink, received = stack.enter_context(SINKS[name]())
        few: Callable[[int], int] = lambda most: chance.choice([1, chance.randint(1, most), most])
        writev, sendfile, sendmsg = os.writev, os.sendfile, socket.socket.sendmsg

        def first(batch: list[Any]) -> list[Any]:
            if chance.random() < 0.1:
                raise BlockingIOError(errno.EAGAIN, "not now")
            return [*batch[:-1], batch[-1][: few(len(batch[-1]))]][: few(len(batch))]

        patch.setattr(os, "writev", lambda fd, batch: writev(fd, first(batch)))
        patch.setattr(os, "sendfile", lambda out, into, at, n: sendfile(out, into, at, few(n)))
        patch.setattr(socket.socket, "sendmsg", lambda self, batch, *args: sendmsg(self, first(batch), *args))
        at = start
        while at < stop:
            try:
                at += flush(buffer[at:stop], sink)
            except BlockingIOError as error:  # a sink that blocks has nothing to wait for
                at += error.bytes_flushed  # type: ignore[attr-defined]
        assert received() == message[start:stop]


# -- files that shrink -----------------------------------------------------------------------------------------

SHRINKING: Final = [
    "tcp socket", "tcp socket, non-blocking", "tcp socket, timeout", "unix socket", "tls", "tls, non-blocking",
    "socket descriptor", "pipe descriptor, non-blocking", "FileIO", "BufferedWriter, appending", "object with write",
    "object with short writes",
]  # fmt: skip


@contextlib.contextmanager
def within_a_second() -> Iterator[None]:
    gc.disable()  # to go through all that tests hold may take a slow machine as long
    try:
        begin = time.process_time(), time.monotonic()
        yield
        assert time.process_time() - begin[0] < 1
        assert time.monotonic() - begin[1] < 10
    finally:
        gc.enable()


@pytest.mark.parametrize("name", SHRINKING)
@pytest.mark.parametrize("stable", [False, True])
def test_a_file_that_has_shrunk_is_an_error_before_anything_is_sent(name: str, stable: bool, file: Path) -> None:
    region = FileRegion(file, 1000, stable=stable)
    buffer = CompositeBuffer([b"header", region])
    os.truncate(file, 5000)
    with SINKS[name]() as (sink, received):
        with within_a_second(), pytest.raises(TruncatedFile) as caught:
            flush(buffer, sink)
        assert (caught.value.expected, caught.value.found) == (len(CONTENT), 5000)
        assert str(file) in str(caught.value)
        assert flushed(caught) == 0
        assert flush(buffer[: 6 + 4000], sink) == 4006  # what is there can be sent
        assert received() == b"header" + CONTENT[1000:5000]


@pytest.mark.parametrize("name", SHRINKING)
def test_a_second_file_that_has_shrunk_is_an_error_before_what_leads_to_it(
    name: str, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(CONTENT)
    buffer = CompositeBuffer([b"one", FileRegion(file), b"two", FileRegion(other), b"three"])
    other.write_bytes(b"")
    with SINKS[name]() as (sink, received):
        with within_a_second(), pytest.raises(TruncatedFile) as caught:
            flush(buffer, sink)
        assert flushed(caught) == 3 + len(CONTENT)
        assert received() == b"one" + CONTENT


@pytest.mark.parametrize("name", SHRINKING)
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("left", [0, 3000, 70_000])
def test_a_file_that_shrinks_meanwhile(
    name: str, stable: bool, left: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the check and, if ``left`` allows, some of it was sent: no padding, no spin, the exact position."""
    region = FileRegion(file, stable=stable)
    sendfile, pread, step = os.sendfile, os.pread, max(1, left // 4)

    def shrinking(call: Callable[..., Any], fewer: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
        def shrunk(*args: Any) -> Any:
            if left == 0:
                os.truncate(file, 0)
            answer = call(*fewer(*args))
            os.truncate(file, left)
            return answer

        return shrunk

    monkeypatch.setattr(os, "sendfile", shrinking(sendfile, lambda out, into, at, n: (out, into, at, min(n, step))))
    monkeypatch.setattr(os, "pread", shrinking(pread, lambda fd, n, at: (fd, min(n, step), at)))
    with SINKS[name]() as (sink, received):
        with within_a_second(), pytest.raises(TruncatedFile) as caught:
            flush(CompositeBuffer([b"header", region, b"trailer"]), sink)
        assert (caught.value.expected, caught.value.found) == (len(CONTENT), left)
        assert flushed(caught) == 6 + left
        assert received() == b"header" + CONTENT[:left]


@pytest.mark.parametrize("views", [0, 600])
def test_a_file_is_asked_before_the_call_that_leads_to_it(views: int, file: Path) -> None:
    """What goes in the calls before that one has gone: 1 024 parts each, or 512 views."""
    head: list[Any] = [memoryview(bytearray(b"ab"))[1:] for _ in range(views)] or [b"h"] * 1500
    buffer = CompositeBuffer([*head, FileRegion(file)])
    os.truncate(file, 100)
    with open_socket("tcp", timeout=None) as (sink, received):
        with pytest.raises(TruncatedFile) as caught:
            flush(buffer, sink)
        assert flushed(caught) == len(received()) == (512 if views else 1024)


@pytest.mark.parametrize("name", [*SHRINKING, "gzip", "BytesIO"])
@pytest.mark.parametrize("left", [0, 5000])
def test_a_mapped_file_that_has_shrunk_is_an_error_before_anything_is_sent(name: str, left: int, file: Path) -> None:
    mapped = MappedFile(file, offset=1000)
    message = CompositeBuffer([mapped[:], b"trailer"])
    os.truncate(file, left)
    with SINKS[name]() as (sink, received):
        for buffer in (message, message[:-3]):
            for below in (0, 1 << 20):
                with pytest.raises(TruncatedFile) as caught:
                    flush(buffer, sink, coalesce_below=below)
                assert (caught.value.file, caught.value.expected) == (str(file), len(CONTENT))
                assert (caught.value.found, flushed(caught)) == (left, 0)
        assert received() == b""


def test_a_mapped_file_is_asked_once_a_call(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def guard_of(mapped: mmap.mmap, name: str, first: int) -> Callable[[int], None]:
        return asked.append

    monkeypatch.setattr("bytebufs.files.mapped.guard_of", guard_of)
    mapped = MappedFile(file)
    buffer = CompositeBuffer([b"one", mapped[5:10], b"two", mapped[:3], b"three", mapped[100:200]])
    asked.clear()
    with tempfile.TemporaryFile() as sink:
        flush(buffer, sink.fileno())
        assert asked == [200]
        flush(buffer, sink.fileno(), coalesce_below=1000)
        assert asked == [200, 200]


# -- what it costs ---------------------------------------------------------------------------------------------

PEAK: Final = """
import mmap, os, socket, sys, tempfile, tracemalloc
from bytebufs import CompositeBuffer, FileRegion, flush

here, there = socket.socketpair()
pid = os.fork()
if not pid:
    here.close()
    memory = bytearray(1 << 20)
    while there.recv_into(memory):
        pass
    os._exit(0)
there.close()
with tempfile.TemporaryFile() as file:
    file.truncate(512 << 20)
    region = FileRegion(file)
view = memoryview(mmap.mmap(-1, 1 << 20))
block = bytes(64 << 10)
buffer = CompositeBuffer()
count = int(sys.argv[1])
for i in range(count):
    buffer.append(block)                                    # 64 KiB
    buffer.append(region[i << 17 : (i + 1 << 17) - 4096])   # 124 KiB
    buffer.append(view[(i % 100) * 8192 :][:4096])          # 4 KiB
    for j in range(128):
        buffer.append(block[: 1 + j % 7])
    buffer.append(block[:-1])                               # 64 KiB less one
for i in range(2000):
    buffer.append(view[(i % 100) * 8192 :][:100])           # more views than a call takes
tracemalloc.start()
assert flush(buffer, here) == len(buffer) >= count << 18
print(tracemalloc.get_traced_memory()[1])
here.close()
os.waitpid(pid, 0)
"""


@LINUX
def test_flushing_a_gibibyte_takes_no_memory() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PEAK, "512" if IS_QUICK else "4096"],
        check=False, cwd=ROOT, timeout=5 * PATIENCE, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert 1000 < int(run.stdout) < 256 << 10


def maps() -> int:
    return sum("content" in line for line in Path("/proc/self/maps").read_text().splitlines())


@LINUX
@pytest.mark.parametrize("resets", [False, True])
def test_descriptors_and_maps_come_back(resets: bool, file: Path) -> None:
    gc.collect()
    before = descriptors(), maps()
    for round_ in range(20 if IS_QUICK else 100):
        here, there = tcp_pair()
        with here, there:
            here.settimeout(PATIENCE)
            reader = threading.Thread(target=_read_or_reset, args=(there, resets and round_ % 2 == 0), daemon=True)
            reader.start()
            with contextlib.suppress(ConnectionError):
                for _ in range(100):
                    flush(CompositeBuffer([b"header", FileRegion(file, 0, 20_000), b"trailer"]), here)
            with contextlib.suppress(OSError):
                here.shutdown(socket.SHUT_WR)
            reader.join(PATIENCE)
    assert (left_open(), maps()) == before


def _read_or_reset(there: socket.socket, reset: bool) -> None:
    if reset:
        there.recv(500_000)
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        return
    with contextlib.suppress(OSError):
        while there.recv(1 << 20):
            pass
