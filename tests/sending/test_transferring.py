"""transfer(): each rung of the ladder, every kind of source and sink, and sources that end too early."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import random
import select
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from bytebufs import (
    CopyForbidden,
    FileRegion,
    Transferred,
    TruncatedFile,
    copy_audit,
    no_copy,
    transfer,
)

from ..children import run_child
from ..descriptors import descriptors, left_open
from ..filtered import NO_FILTER

DATA: Final = random.Random(9).randbytes(300_000)
RUNGS: Final = ("sendfile", "copy_file_range", "splice")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


class Receiver:
    """Reads all that comes to a descriptor, in a thread of its own."""

    def __init__(self, fd: int) -> None:
        self.received = bytearray()
        self._fd = fd
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while chunk := os.read(self._fd, 50_000):
            self.received += chunk

    def result(self) -> bytes:
        self._thread.join(60)
        assert not self._thread.is_alive()
        return bytes(self.received)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        try:
            os.close(fd)
        except OSError:  # the test has closed it
            pass


# -- sources and sinks


RANGES: Final = [(0, None), (0, 10), (7, 100_001), (4097, None), (len(DATA), None), (5, 0)]


@pytest.mark.parametrize(("offset", "count"), RANGES)
def test_a_range_of_a_file_goes_to_a_file(path: Path, out: Path, offset: int, count: int | None) -> None:
    expected = DATA[offset:] if count is None else DATA[offset : offset + count]
    with out.open("wb") as sink:
        result = transfer(path, sink, offset, count)
    assert result == Transferred(len(expected), "sendfile" if expected else "nothing")
    assert out.read_bytes() == expected


def test_every_kind_of_source_serves(path: Path, out: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    with path.open("rb") as buffered, path.open("rb", buffering=0) as raw:
        for source in (path, str(path), os.fsencode(path), fd, buffered, raw, FileRegion(path)):
            with out.open("wb") as sink:
                assert transfer(source, sink, 3, 1000).nbytes == 1000
            assert out.read_bytes() == DATA[3:1003]
        assert (os.lseek(fd, 0, os.SEEK_CUR), buffered.tell(), raw.tell()) == (0, 0, 0)
    os.close(fd)


def test_what_the_source_has_buffered_goes_too(out: Path) -> None:
    with tempfile.TemporaryFile() as file, out.open("wb") as sink:
        file.write(b"not there yet")
        assert transfer(file, sink).nbytes == 13
    assert out.read_bytes() == b"not there yet"


def test_order_is_kept_with_what_the_sink_has_buffered(path: Path, out: Path) -> None:
    with out.open("wb") as sink:
        sink.write(b"before ")
        transfer(path, sink, 0, 10)
        sink.write(b" after")
    assert out.read_bytes() == b"before " + DATA[:10] + b" after"


def test_offsets_count_in_a_region(path: Path, out: Path) -> None:
    region = FileRegion(path, 100, 50)
    with out.open("wb") as sink:
        assert transfer(region, sink) == (50, "sendfile")
        assert transfer(region, sink, 10, 5) == (5, "sendfile")
    assert out.read_bytes() == DATA[100:150] + DATA[110:115]
    for offset, count, stop in ((0, 51, 51), (51, None, 51), (50, 1, 51)):
        with pytest.raises(IndexError) as caught, out.open("wb") as sink:
            transfer(region, sink, offset, count)
        expected = f"[{offset}:{stop}] reaches beyond the 50 bytes of <FileRegion: bytes 100 to 150 of {path}>"
        assert str(caught.value) == expected


def test_a_stable_region_is_copied_and_counted_as_such(path: Path, out: Path) -> None:
    region = FileRegion(path, 3, 100_000, stable=True)
    with copy_audit() as audit, out.open("wb") as sink:
        assert transfer(region, sink) == (100_000, "copy")
    assert audit.by_reason == {"stable": 100_000}
    assert out.read_bytes() == DATA[3:100_003]


def test_a_socket_is_sent_to_by_reference(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    receiver = Receiver(pair[1].fileno())
    with no_copy():
        assert transfer(path, pair[0], 5) == (len(DATA) - 5, "sendfile")
    pair[0].shutdown(socket.SHUT_WR)
    assert receiver.result() == DATA[5:]


def test_a_pipe_is_written_to(path: Path, pipe: tuple[int, int]) -> None:
    receiver = Receiver(pipe[0])
    assert transfer(path, pipe[1], 5) == (len(DATA) - 5, "sendfile")
    os.close(pipe[1])
    assert receiver.result() == DATA[5:]


def test_a_file_that_is_only_appended_to_is_copied_to(path: Path, out: Path) -> None:
    out.write_bytes(b"log: ")
    with copy_audit() as audit, out.open("ab") as sink:
        assert transfer(path, sink, 0, 100_000) == (100_000, "copy")
    assert audit.by_reason == {"fallback": 100_000}
    assert audit.count == 2
    assert out.read_bytes() == b"log: " + DATA[:100_000]


def test_a_sink_with_a_write_of_its_own_is_copied_to(path: Path, out: Path) -> None:
    memory = io.BytesIO()
    assert transfer(path, memory, 7, 100_000) == (100_000, "copy")
    assert memory.getvalue() == DATA[7:100_007]
    with gzip.open(out, "wb") as packed:
        assert transfer(path, packed, 7).how == "copy"
    with gzip.open(out, "rb") as packed:
        assert packed.read() == DATA[7:]


def test_tls_is_copied_to(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("a.test").configure_cert(server)
    authority.configure_trust(client)
    received = bytearray()

    def serve() -> None:
        with server.wrap_socket(pair[1], server_side=True) as stream:
            while len(received) < len(DATA):
                received.extend(stream.recv(50_000))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with client.wrap_socket(pair[0], server_hostname="a.test") as sink:
        assert transfer(path, sink) == (len(DATA), "copy")
        thread.join(60)
    assert received == DATA


def test_what_cannot_take_or_give_bytes_is_refused(path: Path, out: Path) -> None:
    before = descriptors()
    with out.open("w", encoding="ascii") as text, pytest.raises(TypeError, match="takes text"):
        transfer(path, text, 0, 0)  # type: ignore[arg-type]
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(TypeError, match="stream socket"):
        transfer(path, datagrams)
    with pytest.raises(TypeError):
        transfer(path, object())  # type: ignore[arg-type]
    with gzip.open(out, "wb") as packed, pytest.raises(TypeError, match="not GzipFile"):
        transfer(packed, 1)
    for numbers in ((-1, 1), (0, -1)):
        with pytest.raises(ValueError):
            transfer(path, 1, *numbers)
    with pytest.raises(FileNotFoundError):
        transfer(out.parent / "missing", 1)
    with pytest.raises(IsADirectoryError), out.open("wb") as sink:
        transfer(out.parent, sink)
    assert left_open() == before


# -- the ladder


@pytest.mark.parametrize("taken_away", range(4))
def test_each_rung_serves_where_the_ones_above_are_missing(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, taken_away: int
) -> None:
    for name in RUNGS[:taken_away]:
        monkeypatch.delattr(os, name)
    # A file is not spliced into a file: that rung refuses.
    how = {0: "sendfile", 1: "copy_file_range", 2: "copy", 3: "copy"}[taken_away]
    with out.open("wb") as sink:
        sink.write(b"<")
        assert transfer(path, sink, 7) == (len(DATA) - 7, how)
        sink.write(b">")
    assert out.read_bytes() == b"<" + DATA[7:] + b">"


@pytest.mark.parametrize(("taken_away", "how"), [(0, "sendfile"), (2, "splice"), (1, "splice"), (3, "copy")])
def test_each_rung_serves_a_pipe(
    path: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, taken_away: int, how: str
) -> None:
    for name in RUNGS[:taken_away]:
        monkeypatch.delattr(os, name)
    receiver = Receiver(pipe[0])
    assert transfer(path, pipe[1], 7) == (len(DATA) - 7, how)
    os.close(pipe[1])
    assert receiver.result() == DATA[7:]


REFUSALS: Final = [
    *[errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSOCK, errno.EXDEV, errno.EPERM, errno.EACCES, errno.EIO],
    *[errno.ENOMEM, errno.EOVERFLOW, errno.ETXTBSY],
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda number: errno.errorcode[number])
def test_a_call_that_is_refused_gives_way(path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, refusal: int) -> None:
    def refuse(*args: object, **options: object) -> int:
        raise OSError(refusal, "no")

    for name in RUNGS:
        monkeypatch.setattr(os, name, refuse)
    with out.open("wb") as sink:
        assert transfer(path, sink, 7) == (len(DATA) - 7, "copy")
    assert out.read_bytes() == DATA[7:]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.EPERM], ids=lambda number: errno.errorcode[number])
def test_a_call_that_fails_after_a_byte_does_not_give_way(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sendfile, calls = os.sendfile, iter([100, 50])

    def short(target: int, source: int, offset: int, count: int) -> int:
        if (most := next(calls, None)) is None:
            raise OSError(number, "no")
        return sendfile(target, source, offset, most)

    monkeypatch.setattr(os, "sendfile", short)
    with out.open("wb") as sink, pytest.raises(OSError, match="no") as caught:
        transfer(path, sink, 7)
    assert caught.value.errno == number
    assert caught.value.bytes_flushed == 150  # type: ignore[attr-defined]
    assert out.read_bytes() == DATA[7:157]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOMEM], ids=lambda number: errno.errorcode[number])
def test_what_is_wrong_with_the_file_and_not_with_the_call_is_raised(
    path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A disk that is broken: each call says so, and the last one is believed."""

    def broken(*args: object, **options: object) -> int:
        raise OSError(number, "broken")

    for name in (*RUNGS, "pread"):
        monkeypatch.setattr(os, name, broken)
    with out.open("wb") as sink, pytest.raises(OSError, match="broken") as caught:
        transfer(path, sink, 7)
    assert caught.value.errno == number
    assert caught.value.bytes_flushed == 0  # type: ignore[attr-defined]
    assert out.read_bytes() == b""


def test_a_full_disk_is_no_refusal(path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "sendfile", full)
    with no_copy(), out.open("wb") as sink, pytest.raises(OSError, match="full") as caught:
        transfer(path, sink)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("number", "others"),
    [(errno.EPERM, ["writev", "sendmsg"]), (errno.EACCES, ["writev", "sendmsg"]), (errno.ENOSYS, []), (errno.EIO, [])],
)
def test_a_filter_of_the_system_s_calls_is_no_obstacle(number: int, others: list[str]) -> None:
    """As containers have them. It cannot be taken off any more, so it is put on a child."""
    child = run_child("tests.filtered", str(number), *RUNGS, *others)
    if child.status == NO_FILTER:
        assert os.environ.get("CI") != "true", f"under CI=true this has to run: {child.output}"
        pytest.skip(child.output)  # in words: which machine's calls are not known, or what the system says to a filter
    assert (child.status, child.errors) == (0, "")
    assert child.output.splitlines() == [
        *[
            "transfer to a file: copy",
            "transfer to a log: copy",
            "transfer to a pipe: copy",
            "transfer from a pipe: copy",
        ],
        *["flush to a file: fallback", "flush to a log: fallback", "flush to a pipe: fallback"],
        "flush to a socket: fallback",
    ]


def test_other_errors_are_not_taken_for_a_refusal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    for name in RUNGS:
        monkeypatch.delattr(os, name)
    with Path("/dev/full").open("wb", buffering=0) as sink, pytest.raises(OSError) as caught:
        transfer(path, sink)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.bytes_flushed == 0  # type: ignore[attr-defined]


def test_short_calls_are_gone_on_with(path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sendfile = os.sendfile
    choose = random.Random(1)
    monkeypatch.setattr(os, "sendfile", lambda o, i, at, n: sendfile(o, i, at, min(n, choose.randint(1, 30_000))))
    with out.open("wb") as sink:
        assert transfer(path, sink, 7) == (len(DATA) - 7, "sendfile")
    assert out.read_bytes() == DATA[7:]


def test_copying_can_be_forbidden(path: Path) -> None:
    memory = io.BytesIO()
    with no_copy(), pytest.raises(CopyForbidden) as caught:
        transfer(path, memory)
    assert caught.value.bytes_flushed == 0  # type: ignore[attr-defined]
    assert memory.getvalue() == b""


# -- sources that are read from where they stand


@pytest.mark.parametrize("with_splice", [True, False])
def test_a_pipe_is_read_to_its_end(
    pipe: tuple[int, int], out: Path, monkeypatch: pytest.MonkeyPatch, with_splice: bool
) -> None:
    if not with_splice:
        monkeypatch.delattr(os, "splice")
    os.write(pipe[1], DATA[:60_000])
    with out.open("wb") as sink:
        assert transfer(pipe[0], sink, 0, 10) == (10, "splice" if with_splice else "copy")
        os.close(pipe[1])
        assert transfer(pipe[0], sink).nbytes == 59_990
        assert transfer(pipe[0], sink) == (0, "nothing")
    assert out.read_bytes() == DATA[:60_000]


def test_a_socket_is_read_to_its_end(pair: tuple[socket.socket, socket.socket], out: Path) -> None:
    pair[0].sendall(DATA[:60_000])
    pair[0].shutdown(socket.SHUT_WR)
    with out.open("wb") as sink:
        assert transfer(pair[1].fileno(), sink) == (60_000, "copy")
    assert out.read_bytes() == DATA[:60_000]


def test_a_file_of_proc_is_read_to_its_end(out: Path) -> None:
    with out.open("wb") as sink:
        result = transfer("/proc/self/limits", sink)
    assert result.nbytes > 500
    assert out.read_bytes() == Path("/proc/self/limits").read_bytes()
    with out.open("wb") as sink, pytest.raises(TruncatedFile) as caught:
        transfer("/proc/self/limits", sink, 10, 1 << 20)
    assert (caught.value.expected, caught.value.found) == ((1 << 20) + 10, result.nbytes)
    assert caught.value.bytes_flushed == result.nbytes - 10  # type: ignore[attr-defined]


def test_a_pipe_has_no_offsets(pipe: tuple[int, int]) -> None:
    with pytest.raises(ValueError) as caught:
        transfer(pipe[0], pipe[1], 5)
    assert str(caught.value) == f"descriptor {pipe[0]} is a pipe, which has no offset 5"


def test_a_pipe_that_was_read_ahead_is_refused(pipe: tuple[int, int]) -> None:
    raw = io.FileIO(pipe[0], "rb", closefd=False)
    with io.BufferedReader(raw) as file:
        with pytest.raises(TypeError, match="may have been read ahead"):
            transfer(file, pipe[1])
        assert transfer(raw, pipe[1], 0, 0) == (0, "nothing")


def test_a_pipe_that_ends_too_early(pipe: tuple[int, int], out: Path) -> None:
    os.write(pipe[1], b"abcde")
    os.close(pipe[1])
    with out.open("wb") as sink, pytest.raises(TruncatedFile) as caught:
        transfer(pipe[0], sink, 0, 9)
    assert (caught.value.expected, caught.value.found) == (9, 5)
    assert caught.value.bytes_flushed == 5  # type: ignore[attr-defined]
    assert out.read_bytes() == b"abcde"


# -- sources that end too early


@pytest.mark.parametrize(
    ("offset", "count", "expected"), [(0, len(DATA) + 1, len(DATA) + 1), (len(DATA) + 1, None, len(DATA) + 1)]
)
def test_a_short_file_is_found_out_before_a_byte_moves(
    path: Path, out: Path, offset: int, count: int | None, expected: int
) -> None:
    with out.open("wb") as sink, pytest.raises(TruncatedFile) as caught:
        transfer(path, sink, offset, count)
    assert str(caught.value) == f"{path} ends at byte {len(DATA)}, expected at least {expected}"
    assert caught.value.bytes_flushed == 0  # type: ignore[attr-defined]
    assert out.read_bytes() == b""


@pytest.mark.parametrize(("offset", "count", "expected"), [(5, None, 5), (0, 7, 7), (3, 4, 7)])
def test_an_empty_file_has_nothing_to_give(
    tmp_path: Path, out: Path, offset: int, count: int | None, expected: int
) -> None:
    (tmp_path / "empty").touch()
    with out.open("wb") as sink:
        assert transfer(tmp_path / "empty", sink) == (0, "nothing")
        with pytest.raises(TruncatedFile) as caught:
            transfer(tmp_path / "empty", sink, offset, count)
    assert (caught.value.expected, caught.value.found) == (expected, 0)


def test_a_shrunk_region_is_found_out(path: Path, out: Path) -> None:
    region = FileRegion(path, 100)
    os.truncate(path, 200)
    with out.open("wb") as sink:
        assert transfer(region, sink, 0, 100).nbytes == 100
        with pytest.raises(TruncatedFile) as caught:
            transfer(region, sink, 0, 101)
    assert (caught.value.expected, caught.value.found) == (201, 200)


@pytest.mark.parametrize("taken_away", range(4))
@pytest.mark.parametrize("left", [0, 1000, 150_000])
def test_a_file_that_shrinks_on_the_way(
    path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket], taken_away: int, left: int
) -> None:  # defects.md N18
    """It ends with an error and the right numbers: no spin, no padding."""
    for name in RUNGS[:taken_away]:
        monkeypatch.delattr(os, name)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    pair[0].setblocking(False)
    received = bytearray()

    def shrink_and_read() -> None:
        while select.select([pair[0]], [], [], 0.01)[0] or not _is_full(pair[0]):
            pass
        os.truncate(path, left)
        while chunk := pair[1].recv(50_000):
            received.extend(chunk)

    thread = threading.Thread(target=shrink_and_read, daemon=True)
    thread.start()
    with pytest.raises(TruncatedFile) as caught:
        transfer(path, pair[0])
    pair[0].shutdown(socket.SHUT_WR)
    thread.join(60)
    assert not thread.is_alive()
    assert caught.value.expected == len(DATA)
    assert caught.value.found == left
    assert caught.value.bytes_flushed == len(received)  # type: ignore[attr-defined]


def _is_full(sock: socket.socket) -> bool:
    return not select.select([], [sock], [], 0)[1]


# -- waiting


@pytest.mark.parametrize("taken_away", range(4))
def test_a_sink_in_non_blocking_mode_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket], taken_away: int
) -> None:  # defects.md O6
    for name in RUNGS[:taken_away]:
        monkeypatch.delattr(os, name)
    pair[0].setblocking(False)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    receiver = Receiver(pair[1].fileno())
    assert transfer(path, pair[0], 7).nbytes == len(DATA) - 7
    pair[0].shutdown(socket.SHUT_WR)
    assert receiver.result() == DATA[7:]


@pytest.mark.parametrize("taken_away", [0, 1, 3])
def test_pipes_in_non_blocking_mode_are_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int], taken_away: int
) -> None:
    """File to pipe to pipe: the one in the middle is now empty, now full, and so is the one behind it."""
    for name in RUNGS[:taken_away]:
        monkeypatch.delattr(os, name)
    second = os.pipe()
    for fd in (*pipe, second[1]):
        os.set_blocking(fd, False)

    def feed() -> None:
        transfer(path, pipe[1])
        os.close(pipe[1])

    first = threading.Thread(target=feed, daemon=True)
    receiver = Receiver(second[0])
    first.start()
    assert transfer(pipe[0], second[1]) == (len(DATA), "splice" if taken_away < 3 else "copy")
    os.close(second[1])
    assert receiver.result() == DATA
    first.join(60)
    os.close(second[0])


def test_a_source_in_non_blocking_mode_is_waited_for(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[0], False)
    memory = io.BytesIO()

    def feed() -> None:
        os.write(pipe[1], b"late")
        os.close(pipe[1])

    feeder = threading.Timer(0.01, feed)
    feeder.start()
    assert transfer(pipe[0], memory) == (4, "copy")
    assert memory.getvalue() == b"late"
    feeder.join()


def test_a_full_buffered_pipe_is_waited_for(path: Path, pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    filled = os.write(pipe[1], b"." * (1 << 20))
    with pytest.raises(BlockingIOError):
        os.write(pipe[1], b".")
    with io.BufferedWriter(io.FileIO(pipe[1], "wb", closefd=False)) as sink:
        sink.write(b"held back")
        receiver = Receiver(pipe[0])
        assert transfer(path, sink, 0, 1000).nbytes == 1000
    os.close(pipe[1])
    assert receiver.result()[filled:] == b"held back" + DATA[:1000]


@pytest.mark.parametrize("taken_away", range(4))
def test_a_sockets_timeout_is_the_total(
    path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket], taken_away: int
) -> None:
    for name in RUNGS[:taken_away]:
        monkeypatch.delattr(os, name)
    pair[0].settimeout(0.05)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with pytest.raises(TimeoutError) as caught:
        transfer(path, pair[0])
    taken = caught.value.bytes_flushed  # type: ignore[attr-defined]
    assert 0 < taken < len(DATA)
    pair[0].shutdown(socket.SHUT_WR)
    assert len(pair[1].makefile("rb").read()) == taken


def test_a_sink_that_stays_full_meets_the_timeout(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while pair[0].send(bytes(1 << 16)):
            pass
    pair[0].settimeout(0.05)
    with pytest.raises(TimeoutError) as caught:
        transfer(path, pair[0])
    assert caught.value.bytes_flushed == 0  # type: ignore[attr-defined]


def test_a_receiver_that_dribbles_does_not_stretch_the_timeout(
    path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    clock = iter([0.0, 5.0, 11.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock, 11.0))
    sendfile = os.sendfile
    monkeypatch.setattr(os, "sendfile", lambda o, i, at, n: sendfile(o, i, at, 10))
    pair[0].settimeout(10)
    with pytest.raises(TimeoutError) as caught:
        transfer(path, pair[0])
    assert caught.value.bytes_flushed == 20  # type: ignore[attr-defined]


def test_a_sink_that_blocks_by_itself_and_says_not_now_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Its "not now" is a timeout of the system's, SO_SNDTIMEO: waiting for it would be for ever."""

    def refuse(*args: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "not now")

    monkeypatch.setattr(os, "sendfile", refuse)
    with pytest.raises(BlockingIOError):
        transfer(path, pair[0])


def test_a_broken_connection_says_how_far_it_came(path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    with pytest.raises(BrokenPipeError) as caught:
        transfer(path, pair[0])
    assert caught.value.bytes_flushed == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("accepts", [0, 70_000, 131_072])
def test_a_sink_that_fails_on_the_way_says_how_far_it_came(path: Path, accepts: int) -> None:
    class Full:
        taken = 0

        def write(self, data: Any) -> int:
            if self.taken == accepts:
                raise OSError(errno.ENOSPC, "full")
            n = min(len(data), accepts - self.taken)
            self.taken += n
            return n

    with pytest.raises(OSError, match="full") as caught:
        transfer(path, Full(), 7)
    assert caught.value.bytes_flushed == accepts  # type: ignore[attr-defined]


def test_an_interrupt_while_it_copies_says_how_far_it_came(path: Path) -> None:
    class Interrupted(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell():
                raise KeyboardInterrupt
            return super().write(data)

    sink = Interrupted()
    with pytest.raises(KeyboardInterrupt) as caught:
        transfer(path, sink)
    assert sink.getvalue() == DATA[:65536]
    assert caught.value.bytes_flushed == 65536  # type: ignore[attr-defined]


def test_an_error_that_takes_no_attributes_comes_as_it_is(path: Path) -> None:
    class Closed(Exception):
        def __setattr__(self, name: str, value: object) -> None:
            raise TypeError(name)

    class Sink:
        def write(self, data: object) -> int:
            raise Closed

    with pytest.raises(Closed):
        transfer(path, Sink())


def test_a_plain_subclass_of_a_socket_is_sent_to_by_reference(
    path: Path, pair: tuple[socket.socket, socket.socket]
) -> None:
    class Named(socket.socket):
        pass

    with Named(fileno=pair[0].detach()) as sink, no_copy():
        assert transfer(path, sink, 0, 1000) == (1000, "sendfile")
    assert pair[1].recv(2000) == DATA[:1000]


def test_a_file_of_sys_ends_where_its_bytes_do(path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such files say that they have a page. Here one is made up, since not every machine has them."""
    fstat = os.fstat

    def longer(fd: int) -> Any:
        status = list(fstat(fd))
        status[6] += 4096
        return os.stat_result(status)

    monkeypatch.setattr(os, "fstat", longer)
    with out.open("wb") as sink:
        assert transfer(path, sink) == (len(DATA), "sendfile")
        with pytest.raises(TruncatedFile) as caught:
            transfer(path, sink, 0, len(DATA) + 1)
    assert (caught.value.expected, caught.value.found) == (len(DATA) + 1, len(DATA))
    assert out.read_bytes() == DATA * 2


def test_true_is_no_descriptor(path: Path) -> None:
    with pytest.raises(TypeError, match="not bool"):
        transfer(path, True)


def test_the_far_end_of_a_sparse_file_of_6_gib(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 6 << 30
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size)
        file.seek(size - 4)
        file.write(b"end!")
    for rung in ("", *RUNGS):
        if rung:
            monkeypatch.delattr(os, rung)
        with out.open("wb") as sink:
            assert transfer(tmp_path / "sparse", sink, size - 6).nbytes == 6
        assert out.read_bytes() == b"\0\0end!"
