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
from typing import TYPE_CHECKING, Any

import pytest

import bytebufs
from bytebufs._core.audit import no_copy
from bytebufs.composite_buffer import CompositeBuffer
from bytebufs.sending.channels import channel_to
from bytebufs.sending.flushing import flush, send_some
from bytebufs.sending.plan import CALL_MAX, IOV_MAX, Piece, Plan
from bytebufs.slice_buffer import SliceBuffer
from bytebufs.testing import STALL, FakeFile, until

from ..sinks import (
    PAIRS,
    PATIENCE,
    SINKS,
    Calls,
    OnlyWrite,
    Opened,
    Peer,
    flushed,
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
@pytest.mark.parametrize("name", ["in_one_batch", "Plan", "send_all"])
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


# -- objects with write or send ------------------------------------------------------------------------------


def test_a_sink_that_is_never_ready_though_its_descriptor_blocks(tmp_path: Path) -> None:
    """No spinning on a descriptor that poll always finds ready."""

    class Sink(FakeFile):
        def fileno(self) -> int:
            return file.fileno()

    with (
        (tmp_path / "file").open("wb") as file,
        Sink(write=until(5, STALL)) as sink,
        pytest.raises(BlockingIOError) as caught,
    ):
        flush(b"abcdefg", sink)
    assert flushed(caught) == 5


def test_errors_of_a_sink_come_as_they_are() -> None:
    class Sink(OnlyWrite):
        def write(self, data: Buffer) -> None:
            if self.sent:
                raise LookupError("mine")
            super().write(data)

    with pytest.raises(LookupError, match="mine") as caught:
        flush(CompositeBuffer([b"abc", b"def"]), Sink())
    assert flushed(caught) == 3


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
