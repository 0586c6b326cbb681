"""flush() of memory over every kind of sink. Real sockets, pipes and files wherever they can do it."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bytebufs
from bytebufs._core.audit import no_copy
from bytebufs.composite_buffer import CompositeBuffer
from bytebufs.errors import BrokenSink, CopyForbidden
from bytebufs.sending.channels import channel_to
from bytebufs.sending.flushing import flush, send_some
from bytebufs.sending.plan import CALL_MAX, IOV_MAX, Piece, Plan
from bytebufs.slice_buffer import SliceBuffer

from ..sinks import (
    PAIRS,
    PATIENCE,
    SINKS,
    Calls,
    OnlyWrite,
    Opened,
    Peer,
    huge_map,
    message_of,
    nibbles,
    open_socket,
    shrink,
    tls_contexts,
    tls_pair,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = PAIRS[request.param]()
    with here, there:
        yield here, there


# -- every kind of sink gets exactly the message ---------------------------------------------------------------


@pytest.fixture(params=list(SINKS))
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    with SINKS[request.param]() as opened:
        yield opened


def test_every_sink_gets_the_message_in_order_and_the_buffer_stays(opened: Opened) -> None:
    sink, received = opened
    many, few = message_of(3000), message_of(4, most=300_000, seed=2)
    with no_copy():
        assert flush(many[0], sink) == len(many[1])  # defects.md N14, N15, O12
        assert flush(few[0], sink) == len(few[1])
        assert flush(few[0][7:-7], sink) == len(few[1]) - 14
        assert flush(b"the end", sink) == 7
    assert received() == many[1] + few[1] + few[1][7:-7] + b"the end"
    assert many[0] == many[1]
    assert few[0] == few[1]


@pytest.mark.parametrize(
    "parts",
    [[b"x" * 100] * 3000, [b"y" * 200_000, *[b"x" * 10] * 150], [b"y" * 200_000, *[b"x" * 10] * 1000]],
    ids=["small", "large and few", "large and many"],
)
def test_every_sink_gets_what_is_joined_for_it_however_little_it_takes_at_once(
    opened: Opened, parts: list[bytes]
) -> None:
    sink, received = opened
    buffer = CompositeBuffer(parts)
    for coalesce_below in (1000, 300, 10):
        assert flush(buffer, sink, coalesce_below=coalesce_below) == len(buffer)
    assert received() == bytes(buffer) * 3


def test_every_sink_takes_an_empty_buffer_without_a_call(opened: Opened) -> None:
    sink, received = opened
    for empty in (CompositeBuffer(), SliceBuffer(b""), b"", memoryview(b"abc")[:0]):
        assert flush(empty, sink) == 0  # defects.md O2
    assert received() == b""


def test_an_empty_buffer_makes_no_call_even_on_what_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb", 0) as raw, path.open("wb") as buffered, io.BytesIO() as memory, socket.socket() as sock:
        pass
    for sink in (raw, buffered, memory, sock, -1):
        assert flush(b"", sink) == 0
        assert flush(CompositeBuffer(), sink) == 0


@pytest.mark.skipif(bytebufs.COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
@pytest.mark.parametrize("name", ["in_one_batch", "Plan", "_send_all"])
def test_an_interrupt_around_the_first_call_tells_what_went(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    source, sink = os.pipe()
    with open(source, "rb", 0) as pipe, open(sink, "wb", 0) as file:  # noqa: PTH123  # descriptors
        os.set_blocking(sink, False)
        monkeypatch.setattr(f"bytebufs.sending.flushing.{name}", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            flush(CompositeBuffer([bytes(50_000)] * 4), sink)
        file.close()
        assert len(pipe.readall()) == caught.value.bytes_flushed  # type: ignore[attr-defined]


# -- what a buffer may be ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "buffer",
    [
        b"\1\0\2\0",
        bytearray(b"\1\0\2\0"),
        memoryview(struct.pack("<2h", 1, 2)).cast("h"),
        memoryview(b"\1\0\2\0").cast("B", (2, 2)),
        memoryview(b"\1\0\2\0").cast("i").cast("B").cast("i", ()),
        SliceBuffer(b"<\1\0\2\0>")[1:-1],
    ],
    ids=["bytes", "bytearray", "typed", "two dimensions", "none", "slice"],
)
def test_any_bytes_like_object_goes(buffer: Any) -> None:
    sink = io.BytesIO()  # defects.md O4: and nothing but what it shows
    assert flush(buffer, sink) == 4
    assert sink.getvalue() == b"\1\0\2\0"


@pytest.mark.parametrize(
    ("buffer", "hint"),
    [("text", "encode"), ([b"a", b"b"], "bytes-like"), (7, "bytes-like"), (memoryview(b"abcd")[::2], "tobytes")],
    ids=["str", "list", "int", "strided"],
)
def test_other_objects_are_type_errors(buffer: Any, hint: str) -> None:
    sink = io.BytesIO()
    with pytest.raises(TypeError, match=hint):
        flush(buffer, sink)
    assert sink.getvalue() == b""


def test_one_part_beyond_2_gib() -> None:
    size = (2 << 30) + (200 << 20)
    calls = Calls(os.writev, lambda: size)
    with huge_map(size) as memory, Path("/dev/null").open("wb", 0) as null, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", calls)
        patch.setattr(os, "write", lambda fd, piece: calls(fd, [piece]))
        assert flush(CompositeBuffer([b"head", memory, b"tail"]), null) == size + 8
        assert calls.taken == [CALL_MAX, CALL_MAX, size + 8 - 2 * CALL_MAX]  # defects.md N17, O12
        assert flush(memoryview(memory), OnlyCounts()) == size


class OnlyCounts:
    def write(self, data: Buffer) -> int:
        return memoryview(data).nbytes


# -- what a sink may not be ----------------------------------------------------------------------------------


@pytest.mark.parametrize("buffer", [b"", b"abc"])
def test_text_files_are_refused(buffer: bytes, tmp_path: Path) -> None:
    with (tmp_path / "text").open("w", encoding="ascii") as file:
        for sink in (file, io.StringIO()):
            with pytest.raises(TypeError, match=r"takes text.*\.buffer"):
                flush(buffer, sink)  # type: ignore[arg-type]  # the mistake under test
        assert flush(buffer, cast(io.BufferedWriter, file.buffer)) == len(buffer)


@pytest.mark.parametrize("buffer", [b"", b"abc"])
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_sockets_that_are_not_streams_are_refused(buffer: bytes, kind: socket.SocketKind) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, kind)
    with here, there:
        with pytest.raises(TypeError, match=r"wants a stream socket.*sendmsg\(buffer\.views\(\)\)"):
            flush(buffer, here)
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)


@pytest.mark.parametrize("buffer", [b"", b"abc"])
@pytest.mark.parametrize("sink", [None, "path", 1.5, [], object()], ids=lambda sink: type(sink).__name__)
def test_what_is_no_sink_is_refused(buffer: bytes, sink: Any) -> None:
    with pytest.raises(TypeError, match=f"descriptor, .* file, .* send or write, not {type(sink).__name__}"):
        flush(buffer, sink)


def test_closed_sinks_raise_their_own_error(tmp_path: Path) -> None:
    for mode, buffering in (("wb", 0), ("wb", -1), ("r+b", -1)):
        (tmp_path / "file").touch()
        file = (tmp_path / "file").open(mode, buffering)
        file.close()
        with pytest.raises(ValueError, match="closed file"):
            flush(b"abc", file)
    assert (tmp_path / "file").read_bytes() == b""
    for timeout in (None, 0.0, PATIENCE):
        with socket.socket() as sock:
            sock.settimeout(timeout)
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            flush(b"abc", sock)
        assert flushed(caught) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        flush(b"abc", -1)


def flushed(caught: pytest.ExceptionInfo[BaseException]) -> int:
    """How many bytes went before an error, as the error tells."""
    number: int = caught.value.bytes_flushed  # type: ignore[attr-defined]  # what flush adds
    return number


# -- sockets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 0.0, PATIENCE], ids=["blocking", "non-blocking", "timeout"])
def test_a_peer_that_takes_a_few_bytes_at_a_time(
    pair: tuple[socket.socket, socket.socket], timeout: float | None
) -> None:
    here, there = pair
    shrink(here)
    here.settimeout(timeout)
    buffer, message = message_of(5000)
    peer = Peer(there.recv, nibbles())
    assert flush(buffer, here) == len(message)
    here.shutdown(socket.SHUT_WR)
    assert peer.received() == message
    assert buffer == message


def test_a_kernel_that_takes_a_few_bytes_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer, message = message_of(5000)
    calls = Calls(os.writev, nibbles())
    monkeypatch.setattr(os, "writev", calls)
    with tempfile.TemporaryFile() as file:
        assert flush(buffer, file.fileno()) == len(message)  # defects.md N22, O6
        file.seek(0)
        assert file.read() == message
    assert sum(calls.offered) <= 2 * 5000 + IOV_MAX + Plan.SLACK * len(calls.taken)


def test_a_blocking_socket_takes_all_parts_in_as_few_calls_as_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(socket.socket.sendmsg, lambda: 1 << 30)

    def sendmsg(sock: socket.socket, *args: Any) -> int:
        return calls(sock, *args)

    monkeypatch.setattr(socket.socket, "sendmsg", sendmsg, raising=False)
    with open_socket("unix", timeout=None) as (sink, received):
        flush(CompositeBuffer([b"ab"] * 2500), sink)
        assert received() == b"ab" * 2500
    assert calls.offered == [1024, 1024, 452]  # defects.md N15


@pytest.mark.parametrize("as_descriptor", [False, True])
def test_a_peer_that_resets(pair: tuple[socket.socket, socket.socket], as_descriptor: bool) -> None:
    here, there = pair
    there.sendall(b"never read")  # unread data, or this option, makes closing a reset
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    shrink(here)
    buffer, message = message_of(300, most=10_000)

    def read_a_little() -> None:
        for _ in range(10):
            assert there.recv(1000)
        there.close()

    reader = threading.Thread(target=read_a_little, daemon=True)
    reader.start()
    with pytest.raises((ConnectionResetError, BrokenPipeError)) as caught:
        flush(buffer, here.fileno() if as_descriptor else here)
    reader.join(PATIENCE)
    assert caught.value.errno in {errno.ECONNRESET, errno.EPIPE}
    assert 0 < flushed(caught) < len(message)
    assert buffer == message


@pytest.mark.parametrize("kind", [*PAIRS, "tls"])
def test_a_peer_that_never_reads_meets_the_timeout(kind: str) -> None:
    here: socket.socket
    there: socket.socket
    with contextlib.ExitStack() as stack:
        if kind == "tls":
            here, there = stack.enter_context(tls_pair())
        else:
            here, there = map(stack.enter_context, PAIRS[kind]())
            shrink(here)
        here.settimeout(0.05)
        buffer, message = message_of(2000, most=10_000)
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="timed out") as caught:
            flush(buffer, here)
        assert time.monotonic() - before >= 0.05
        assert here.gettimeout() == 0.05
        went = flushed(caught)
        assert 0 < went < len(message)
        assert buffer == message
        if kind != "tls":  # its last record may have gone in part
            here.shutdown(socket.SHUT_WR)
            assert Peer(there.recv).received() == message[:went]


@pytest.mark.parametrize("kind", [*PAIRS, "tls"])
def test_the_timeout_is_the_total(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is always just ready again does not prolong it for ever."""
    here: socket.socket
    with contextlib.ExitStack() as stack:
        if kind == "tls":
            here, _ = stack.enter_context(tls_pair())
            send = ssl.SSLSocket.send
            monkeypatch.setattr(ssl.SSLSocket, "send", lambda self, data: send(self, data[:1]))
        else:
            here, _ = map(stack.enter_context, PAIRS[kind]())
            plain = socket.socket.send
            monkeypatch.setattr(socket.socket, "send", lambda self, data, *args: plain(self, data[:1], *args))
        here.settimeout(PATIENCE)
        clock = itertools.count(step=PATIENCE / 10)  # each look at it takes that long
        monkeypatch.setattr(time, "monotonic", lambda: next(clock))
        with pytest.raises(TimeoutError, match="timed out") as caught:
            flush(b"x" * 1000, here)
        assert flushed(caught) == 10


def test_a_send_timeout_of_a_blocking_socket_is_not_waited_out_again() -> None:
    here, there = socket.socketpair()
    with here, there:
        shrink(here)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 10_000))
        for sink in (here, here.fileno()):
            with pytest.raises(BlockingIOError) as caught:
                flush(bytes(1 << 20), sink)
            assert flushed(caught) < 1 << 20


def test_a_socket_closed_while_it_is_flushed() -> None:
    class Sink:
        """A socket that somebody closes after its first call."""

        def __init__(self) -> None:
            self.sock, self.peer = socket.socketpair()
            self.sock.settimeout(0)

        def fileno(self) -> int:
            return self.sock.fileno()

        def send(self, data: Buffer) -> int:
            try:
                return self.sock.send(data)
            except BlockingIOError:
                self.sock.close()
                raise

    sink = Sink()
    with sink.peer, pytest.raises(OSError, match="Bad file descriptor") as caught:
        flush(bytes(10 << 20), sink)
    assert 0 < flushed(caught) < 10 << 20


CHILD = """
import signal, socket
from bytebufs.sending.flushing import flush
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for timeout in (None, 0.0, 9.0):
    for as_buffer in (bytes(10), bytes(10_000_000)):
        here, there = socket.socketpair()
        here.settimeout(timeout)
        there.close()
        try:
            flush(as_buffer, here)
        except BrokenPipeError as error:
            print(error.bytes_flushed)
"""


def test_no_sigpipe_on_sockets() -> None:
    root = Path(bytebufs.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n" * 6, "")


# -- signals -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def handling(number: int, handler: Callable[..., None]) -> Iterator[None]:
    previous = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, previous)


@pytest.mark.parametrize("timeout", [None, 0.0, PATIENCE], ids=["blocking", "non-blocking", "timeout"])
def test_signals_cost_nothing(pair: tuple[socket.socket, socket.socket], timeout: float | None) -> None:
    here, there = pair
    shrink(here)
    here.settimeout(timeout)
    rung = []
    buffer, message = message_of(400, most=2000)
    peer = Peer(there.recv, lambda: 1000)
    rounds = 0
    with handling(signal.SIGALRM, lambda *args: rung.append(1)):  # PEP 475
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            while not (rounds and rung):  # a fast machine may be done before the first
                assert flush(buffer, here) == len(message)
                assert flush(buffer, here.fileno()) == len(message)
                rounds += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    here.shutdown(socket.SHUT_WR)
    assert peer.received() == rounds * 2 * message


@pytest.mark.parametrize("blocking", [True, False])
def test_a_handler_that_raises_gets_through(blocking: bool) -> None:
    source, target = os.pipe()
    os.set_blocking(target, blocking)
    main = threading.get_ident()
    interrupted = threading.Event()

    def interrupt(*args: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def interrupt_once_bytes_came() -> None:
        select.select([source], [], [], PATIENCE)
        while not interrupted.wait(0.01):  # one that comes just before the call wakes nobody: CPython's race
            signal.pthread_kill(main, signal.SIGUSR1)

    interrupting = threading.Thread(target=interrupt_once_bytes_came, daemon=True)
    try:
        with handling(signal.SIGUSR1, interrupt):
            interrupting.start()
            with pytest.raises(KeyboardInterrupt) as caught:
                flush(bytes(1 << 20), target)
            interrupting.join(PATIENCE)
        assert flushed(caught) <= len(os.read(source, 1 << 20))  # the least that went
    finally:
        os.close(source)
        os.close(target)


# -- descriptors and files -----------------------------------------------------------------------------------


def test_bytes_flushed_tells_where_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer, message = message_of(3000)
    room = iter([1000, 1, 20_000])

    def writev(fd: int, batch: list[Piece]) -> int:
        taken = next(room, None)
        if taken is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, b"".join(batch)[:taken])

    with (tmp_path / "file").open("wb", 0) as file:
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", writev)
            with pytest.raises(OSError, match="No space left") as caught:
                flush(buffer, file)
        assert flushed(caught) == file.tell()
        flush(buffer[flushed(caught) :], file)
    assert (tmp_path / "file").read_bytes() == message


def test_a_full_device() -> None:
    with Path("/dev/full").open("wb", 0) as full, pytest.raises(OSError, match="No space left") as caught:
        flush(b"abc", full)
    assert flushed(caught) == 0


def test_a_file_at_its_size_limit_takes_what_fits(tmp_path: Path) -> None:
    """A short write of a regular file, then EFBIG: the kernel's own partial write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    buffer, message = message_of(2000)
    with (tmp_path / "file").open("wb") as file:
        file.write(b"before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                flush(buffer, file)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert flushed(caught) == 10_000 - 6
        assert file.tell() == 10_000
        file.write(b"after")
    assert (tmp_path / "file").read_bytes() == b"before" + message[: 10_000 - 6] + b"after"


def test_a_pipe_without_a_reader() -> None:
    for blocking in (True, False):
        source, target = os.pipe()
        os.close(source)
        os.set_blocking(target, blocking)
        with os.fdopen(target, "wb", 0) as sink, pytest.raises(BrokenPipeError) as caught:
            flush(b"abc", sink)
        assert flushed(caught) == 0


def test_a_reader_that_leaves_while_flush_waits() -> None:
    source, target = os.pipe()
    os.set_blocking(target, False)

    def leave_once_bytes_came() -> None:
        select.select([source], [], [], PATIENCE)
        time.sleep(0.05)  # by now it most likely waits
        os.close(source)

    leaving = threading.Thread(target=leave_once_bytes_came, daemon=True)
    leaving.start()
    with os.fdopen(target, "wb", 0) as sink, pytest.raises(BrokenPipeError) as caught:
        flush(bytes(1 << 20), sink)
    leaving.join(PATIENCE)
    assert 0 < flushed(caught) < 1 << 20


def test_a_buffered_writer_keeps_order_and_position(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.write(b"one,")
        flush(CompositeBuffer([b"tw", b"o,"]), file)
        assert file.tell() == 8
        file.write(b"three,")
        flush(b"four,", file)
        file.seek(0)
        flush(b"ONE", file)
        assert file.tell() == 3
        file.write(b";")
        file.seek(0, os.SEEK_END)
        flush(b"five", file)
        file.truncate()
    assert path.read_bytes() == b"ONE;two,three,four,five"


def test_a_buffered_writer_that_appends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old,")
    with path.open("ab") as file:
        flush(b"new,", file)
        assert file.tell() == 8
        file.write(b"more,")
        file.seek(0)
        flush(b"end", file)
        assert file.tell() == 16
    assert path.read_bytes() == b"old,new,more,end"


def test_a_buffered_random_with_read_ahead_writes_where_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    with path.open("r+b") as file:
        assert file.read(3) == b"\0\1\2"
        flush(CompositeBuffer([b"ab", b"cd"]), file)
        assert file.tell() == 7
        assert file.read(1) == b"\7"
        file.seek(20)
        assert file.read(1) == b"\x14"
        file.write(b"X")
        flush(b"Y", file)
        assert file.peek(1)[:1] == b"\x17"
        file.seek(-1, os.SEEK_CUR)
        assert file.read(2) == b"Y\x17"
    assert path.read_bytes()[:24] == b"\0\1\2abcd" + bytes(range(7, 21)) + b"XY\x17"


# Without read1: before 3.13 it forgets what was written and not flushed, whoever wrote it.
OPERATIONS = ["flush", "write", "read", "peek", "readline", "seek", "seek on", "tell"]


@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 40)), max_size=30))
def test_a_buffered_random_after_flush_is_like_one_that_was_written_to(operations: list[tuple[str, int]]) -> None:
    """Whatever it read ahead or has still to write, against BytesIO."""
    content = bytes(range(10, 200))
    oracle = io.BytesIO(content)
    with cast(io.BufferedRandom, tempfile.TemporaryFile(buffering=16)) as file:
        file.write(content)
        file.seek(0)
        for operation, n in operations:
            match operation:
                case "flush":
                    assert flush(CompositeBuffer([b"f" * n, b"l" * n]), file) == 2 * n
                    oracle.write(b"f" * n + b"l" * n)
                case "write":
                    assert file.write(b"w" * n) == oracle.write(b"w" * n)
                case "read":
                    assert file.read(n) == oracle.read(n)
                case "peek":
                    assert oracle.getbuffer()[oracle.tell() :].tobytes().startswith(file.peek(n))
                case "readline":
                    assert file.readline(n) == oracle.readline(n)
                case "seek":
                    assert file.seek(n) == oracle.seek(n)
                case "seek on":
                    by = max(n - 20, -oracle.tell())
                    assert file.seek(by, os.SEEK_CUR) == oracle.seek(by, os.SEEK_CUR)
                case _:
                    assert file.tell() == oracle.tell()
        file.seek(0)
        assert file.read() == oracle.getvalue()


def test_what_waits_in_a_buffered_writer_that_cannot_be_waited_for() -> None:
    here, there = socket.socketpair()
    shrink(here)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 10_000))
    with there:
        with here.dup() as twin, os.fdopen(here.detach(), "wb", buffering=1 << 20) as file:
            file.write(bytes(1 << 19))
            with pytest.raises(BlockingIOError) as caught:
                flush(b"abc", file)
            assert flushed(caught) == 0
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 0))
            peer = Peer(there.recv)
            file.flush()
        assert peer.received() == bytes(1 << 19)


def test_a_number_of_a_kind_of_its_own_is_a_descriptor() -> None:
    class Descriptor(int):
        pass

    with tempfile.TemporaryFile() as file:
        flush(b"abc", Descriptor(file.fileno()))
        file.seek(0)
        assert file.read() == b"abc"


# -- without blocking ----------------------------------------------------------------------------------------


def send(buffer: CompositeBuffer, sink: Any, most: int) -> int:
    """Make a turn, and return how many bytes went."""
    channel = channel_to(sink)
    plan = Plan(buffer, iov_max=channel.iov_max, call_max=most)
    send_some(plan, channel, most)
    return plan.position


def test_a_turn_ends_when_the_sink_is_full() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        shrink(here)
        buffer = CompositeBuffer([bytes(100_000)] * 10)
        went = send(buffer, here, 1 << 20)
        assert 0 < went < 1_000_000
        assert send(buffer, here, 1 << 20) == 0
        assert len(there.recv(1 << 20)) <= went


def test_a_turn_ends_when_enough_went(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        assert send(CompositeBuffer([bytes(1000)] * 10), file, 2500) == 2500
        assert send(CompositeBuffer([bytes(1000)] * 2), file, 2500) == 2000


def test_a_turn_waits_for_no_one_but_says_whom_to_wait_for() -> None:
    here, there = socket.socketpair()
    here.setblocking(False)
    with (
        there,
        tls_contexts()[0].wrap_socket(here, server_hostname="localhost", do_handshake_on_connect=False) as sink,
        pytest.raises(ssl.SSLWantReadError),
    ):
        send(CompositeBuffer([b"abc"]), sink, 100)


@pytest.mark.parametrize(
    ("error", "exact"),
    [
        (BrokenPipeError(errno.EPIPE, "x"), True),
        (CopyForbidden("fallback", 3), True),
        (KeyboardInterrupt(), False),
        (OSError("of a handler"), False),
        (TimeoutError("timed out"), False),
    ],
    ids=repr,
)
def test_what_an_error_of_a_call_leaves_known(error: BaseException, exact: bool) -> None:
    with tempfile.TemporaryFile() as file, socket.socket() as sock:
        assert channel_to(file.fileno()).is_exact_after(error) is exact
        assert channel_to(sock).is_exact_after(error) is exact
        sock.settimeout(1)
        assert channel_to(sock).is_exact_after(error) is (exact or isinstance(error, TimeoutError))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "x"), BlockingIOError(), KeyboardInterrupt()], ids=repr)
def test_what_an_error_of_an_object_leaves_known(error: BaseException) -> None:
    class Sink:
        def write(self, data: Buffer) -> int:
            raise error

    channel = channel_to(Sink())
    assert channel.is_exact_after(OSError(errno.EIO, "while a file is read"))
    with pytest.raises(type(error)):
        channel.write([b"abc"], more=False)
    assert channel.is_exact_after(error) is isinstance(error, BlockingIOError)


def test_what_waits_in_a_buffered_writer_goes_first_also_through_a_full_pipe() -> None:
    source, target = os.pipe()
    os.set_blocking(target, False)
    full = os.write(target, bytes(1 << 20))
    with os.fdopen(target, "wb") as file:
        file.write(b"first,")
        making_room = threading.Timer(0.05, os.read, [source, full])
        making_room.start()
        flush(b"second", file)
        making_room.join(PATIENCE)
    assert os.read(source, 100) == b"first,second"
    os.close(source)


def test_subclasses_of_files_are_asked_not_bypassed(tmp_path: Path) -> None:
    class Shouting(io.FileIO):
        def write(self, data: Buffer) -> int:
            return super().write(bytes(data).upper())

    class ShoutingBuffer(io.BufferedWriter):
        def write(self, data: Buffer) -> int:
            return super().write(bytes(data).upper())

    path = tmp_path / "file"
    opens: list[Callable[[], Any]] = [
        lambda: Shouting(path, "w"),
        lambda: io.BufferedWriter(Shouting(path, "w")),
        lambda: ShoutingBuffer(io.FileIO(path, "w")),
    ]
    for make in opens:
        with make() as file:
            flush(CompositeBuffer([b"lo", b"ud"]), file)
        assert path.read_bytes() == b"LOUD"


# -- objects with write or send ------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [-1, 0, 4, 1 << 70, True, "3", 1.0], ids=repr)
@pytest.mark.parametrize("method", ["write", "send"])
def test_a_count_that_cannot_be_breaks_the_sink(answer: object, method: str) -> None:
    seen = []

    def take(self: object, data: Buffer) -> object:
        seen.append(bytes(data))
        return answer

    sink = type("Sink", (), {method: take})()
    with pytest.raises(BrokenSink, match=f"took {answer!r} of 3 bytes") as caught:
        flush(CompositeBuffer([b"abc", b"def"]), sink)
    assert flushed(caught) == 0
    assert seen == [b"abc"]


class NotNow(io.RawIOBase):
    """Takes ``room`` bytes, then says None."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int | None:
        taken = bytes(data)[: self.room]
        self.room -= len(taken)
        self.got += taken
        return len(taken) or None


def test_a_buffered_file_that_fills_up_says_what_it_took() -> None:
    """BlockingIOError with characters_written is a short count; the next one, without, is raised."""
    raw = NotNow(5)
    buffer = CompositeBuffer([b"abcdefghijklm", b"nop"])
    with io.BufferedWriter(raw, 4) as file:
        with pytest.raises(BlockingIOError) as caught:
            flush(buffer, file)
        assert flushed(caught) == 9  # five through it, four in it
        raw.room = 100
        flush(buffer[flushed(caught) :], file)
        file.flush()
        assert raw.got == b"abcdefghijklmnop"


def test_a_sink_that_is_not_ready_and_has_no_descriptor() -> None:
    with NotNow(5) as sink, pytest.raises(BlockingIOError, match="not ready") as caught:
        flush(CompositeBuffer([b"abc", b"def", b"ghi"]), sink)
    assert flushed(caught) == 5


def test_a_sink_that_is_never_ready_though_its_descriptor_blocks(tmp_path: Path) -> None:
    """No spinning on a descriptor that poll always finds ready."""

    class Sink(NotNow):
        def fileno(self) -> int:
            return file.fileno()

    with (tmp_path / "file").open("wb") as file, Sink(5) as sink, pytest.raises(BlockingIOError) as caught:
        flush(b"abcdefg", sink)
    assert flushed(caught) == 5


def test_errors_of_a_sink_come_as_they_are() -> None:
    class Sink(OnlyWrite):
        def write(self, data: Buffer) -> None:
            if self.got:
                raise LookupError("mine")
            super().write(data)

    with pytest.raises(LookupError, match="mine") as caught:
        flush(CompositeBuffer([b"abc", b"def"]), Sink())
    assert flushed(caught) == 3


def test_a_sink_may_keep_the_views() -> None:
    kept: list[memoryview] = []

    class Sink:
        def write(self, data: memoryview) -> None:
            kept.append(data)

    buffer = CompositeBuffer([b"abc", bytearray(b"def")])
    flush(buffer, Sink())
    assert [bytes(view) for view in kept] == [b"abc", b"def"]
    kept.clear()
    assert buffer == b"abcdef"


# -- TLS -----------------------------------------------------------------------------------------------------


def test_tls_that_wants_to_read_or_write_first() -> None:
    """Without a handshake made before, sending makes it, and asks for both events in turn."""
    client, server = tls_contexts()
    here, there = socket.socketpair()
    here.settimeout(0)
    shrink(here)
    buffer, message = message_of(100, most=50_000)
    with (
        client.wrap_socket(here, server_hostname="localhost", do_handshake_on_connect=False) as sink,
        server.wrap_socket(there, server_side=True, do_handshake_on_connect=False) as far,
    ):
        peer = Peer(far.recv)
        assert flush(buffer, sink) == len(message)
        sink.shutdown(socket.SHUT_WR)
        assert peer.received() == message


def test_tls_that_waits_for_the_other_side_does_not_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = tls_contexts()
    here, there = socket.socketpair()
    here.settimeout(0)
    calls: list[int] = []
    send = ssl.SSLSocket.send

    def counted(self: ssl.SSLSocket, data: memoryview) -> int:
        calls.append(len(data))
        try:
            return send(self, data)
        finally:
            if len(calls) == 1:  # the other side answers later, and not while this call is still made
                greeting.start()

    monkeypatch.setattr(ssl.SSLSocket, "send", counted)
    with (
        client.wrap_socket(here, server_hostname="localhost", do_handshake_on_connect=False) as sink,
        server.wrap_socket(there, server_side=True, do_handshake_on_connect=False) as far,
    ):
        greeting = threading.Timer(0.05, far.do_handshake)
        flush(b"abc", sink)
        greeting.join(PATIENCE)
        assert far.recv(10) == b"abc"
    assert 2 <= len(calls) < 10


def test_tls_in_memory_has_nothing_to_wait_for() -> None:
    sink = tls_contexts()[0].wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError) as caught:
        flush(b"abc", sink)
    assert flushed(caught) == 0


def test_ssl_is_not_loaded_for_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ssl")
    with pytest.raises(OSError, match="Bad file descriptor"):
        flush(CompositeBuffer([b"abc", bytearray(b"def")]), -1)
    assert "ssl" not in sys.modules


# -- calls that are missing or refused -----------------------------------------------------------------------


def refusing(number: int) -> Callable[..., int]:
    def call(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


REFUSALS = [errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EMSGSIZE]


@pytest.mark.parametrize("number", [*REFUSALS, None], ids=lambda n: n and errno.errorcode[n])
def test_without_writev(number: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if number is None:
        monkeypatch.delattr(os, "writev")  # Windows
    else:
        monkeypatch.setattr(os, "writev", refusing(number))
    buffer, message = message_of(2000)
    with (tmp_path / "file").open("wb") as file:
        file.write(b"<")
        assert flush(buffer, file) == len(message)
        file.write(b">")
    assert (tmp_path / "file").read_bytes() == b"<" + message + b">"


@pytest.mark.parametrize("number", [*REFUSALS, None], ids=lambda n: n and errno.errorcode[n])
def test_without_sendmsg(
    number: int | None, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    missing = property()  # reading it is an AttributeError
    monkeypatch.setattr(socket.socket, "sendmsg", missing if number is None else refusing(number), raising=False)
    buffer, message = message_of(2000)
    peer = Peer(there.recv)
    assert flush(buffer, here) == len(message)
    here.shutdown(socket.SHUT_WR)
    assert peer.received() == message


def test_a_socket_whose_class_takes_sendmsg_away() -> None:
    class Simple(socket.socket):
        def sendmsg(self, *args: object) -> int:
            raise NotImplementedError  # as SSLSocket does

    here, there = socket.socketpair()
    with Simple(fileno=here.detach()) as sock, there:
        flush(CompositeBuffer([b"abc", b"def"]), sock)
        assert there.recv(10) == b"abcdef"


def test_a_refusal_after_the_first_byte_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([os.writev, refusing(errno.EINVAL)])

    def writev(fd: int, batch: list[Piece]) -> int:
        return next(calls)(fd, batch[:1])

    monkeypatch.setattr(os, "writev", writev)
    with tempfile.TemporaryFile() as file, pytest.raises(OSError, match="Invalid argument") as caught:
        flush(CompositeBuffer([b"abc", b"def", b"ghi"]), file.fileno())
    assert flushed(caught) == 3


def test_a_refusal_by_the_simple_call_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", refusing(errno.EINVAL))
    monkeypatch.setattr(os, "write", refusing(errno.EINVAL))
    with pytest.raises(OSError, match="Invalid argument") as caught:
        flush(CompositeBuffer([b"abc", b"def"]), 1)
    assert flushed(caught) == 0


def test_an_error_that_is_no_refusal_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", refusing(errno.EIO))
    monkeypatch.setattr(os, "write", refusing(errno.EINVAL))
    with pytest.raises(OSError, match="Input/output error"):
        flush(CompositeBuffer([b"abc", b"def"]), 1)


def test_an_error_that_takes_no_attributes_comes_as_it_is() -> None:
    @dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    class Sink:
        def write(self, data: memoryview) -> int:
            raise Frozen(7)

    class Handled(socket.socket):
        def gettimeout(self) -> float | None:
            raise Frozen(8)

    here, there = socket.socketpair()
    with Handled(fileno=here.detach()) as handled, there:
        for sink, code in ((Sink(), 7), (handled, 8)):
            with pytest.raises(Frozen) as caught:
                flush(b"abc", sink)
            assert caught.value.code == code
            assert not hasattr(caught.value, "bytes_flushed")


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_descriptor(value: bool) -> None:
    with pytest.raises(TypeError, match=r"flush wants a descriptor.* not bool"):
        flush(b"abc", value)
