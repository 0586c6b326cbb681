"""What an inbox receives from: sockets of each kind, TLS, pipes, files, objects; and what it does not."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import os
import selectors
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from bytebufs import BrokenSource, BufferFile, CompositeBuffer, Inbox, Pool, copy_audit, no_copy

from ..sinks import PAIRS, tcp_pair, tls_pair

CONTENT: Final = bytes(range(256)) * 400
PATIENCE: Final = 60
SENT: Final = hashlib.sha256(CONTENT).digest()


def received_from(source: Any, inbox: Inbox | None = None) -> bytes:
    """Receive to the end, by waiting where that is necessary, and return all of it."""
    inbox = Inbox(limit=1 << 20) if inbox is None else inbox
    total = 0
    while True:
        try:
            count = inbox.receive(source)
        except BlockingIOError:
            with selectors.DefaultSelector() as selector:
                selector.register(source, selectors.EVENT_READ)
                assert selector.select(PATIENCE)
            continue
        assert len(inbox.buffer) == total + count
        if not count:
            break
        total += count
    assert inbox.ended
    inbox.buffer._check()
    return bytes(inbox.buffer)


@contextlib.contextmanager
def sending(sock: socket.socket, data: bytes) -> Iterator[None]:
    """Send this meanwhile, from a thread, and end it."""

    def send() -> None:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive()


# -- sockets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 0.0, float(PATIENCE)])
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("block", [100, 65536])
def test_a_stream_socket(kind: str, timeout: float | None, block: int) -> None:
    here, there = PAIRS[kind]()
    with here, there, sending(there, CONTENT):
        here.settimeout(timeout)
        assert hashlib.sha256(received_from(here, Inbox(Pool(block), limit=1 << 20))).digest() == SENT


def test_a_subclass_of_a_socket() -> None:
    class Counted(socket.socket):
        calls = 0

        def recv_into(self, *arguments: Any, **options: Any) -> int:
            self.calls += 1
            return super().recv_into(*arguments, **options)

    here, there = socket.socketpair()
    with there, Counted(fileno=here.detach()) as counted, sending(there, CONTENT):
        assert received_from(counted) == CONTENT
        assert counted.calls > 2


def test_not_now_loses_nothing() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        inbox = Inbox()
        for data in (b"one, ", b"two"):
            with pytest.raises(BlockingIOError):
                inbox.receive(here)
            there.send(data)
            assert inbox.receive(here) == len(data)
        assert inbox.buffer == b"one, two"


def test_the_time_limit_of_a_socket_loses_nothing() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(0.001)
        inbox = Inbox()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                inbox.receive(here)
        there.send(b"late")
        assert inbox.receive(here) == 4
        assert inbox.buffer == b"late"


def test_a_reset_comes_as_it_is() -> None:
    here, there = tcp_pair()
    with here:
        there.send(b"before")
        inbox = Inbox()
        assert inbox.receive(here) == 6
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        there.close()
        with pytest.raises(ConnectionResetError):
            inbox.receive(here)
        assert inbox.buffer == b"before"
        assert not inbox.ended
        assert inbox.receive(here) == 0


def test_a_closed_socket_is_an_error_of_the_system() -> None:
    here, there = socket.socketpair()
    there.close()
    here.close()
    inbox = Inbox()
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        inbox.receive(here)
    assert caught.value.errno == errno.EBADF
    inbox.room()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_socket_of_messages_is_no_source(kind: socket.SocketKind) -> None:
    here, there = socket.socketpair(socket.AF_UNIX, kind)
    with here, there:
        there.send(b"a message")
        inbox = Inbox()
        with pytest.raises(TypeError, match=r"and .* is none: each recv_into is a message"):
            inbox.receive(here)
        assert here.recv(100) == b"a message"
        inbox.room()


# -- TLS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1000, 65536])
def test_a_tls_socket(block: int) -> None:
    with tls_pair() as (near, far):
        inbox = Inbox(Pool(block), limit=1 << 20)

        def send() -> None:
            far.sendall(CONTENT)
            far.unwrap()

        thread = threading.Thread(target=send)
        thread.start()
        got = received_from(near, inbox)
        near.unwrap()
        thread.join(PATIENCE)
        assert got == CONTENT


def test_what_tls_has_decrypted_is_received_too() -> None:
    """A selector that is asked whether there is more says no: it knows of what is encrypted."""
    with tls_pair() as (near, far):
        near.setblocking(False)
        far.sendall(bytes(10_000))
        far.sendall(b"next")
        inbox = Inbox(Pool(2000), limit=1 << 20)
        assert inbox.receive(near) == 10_000
        assert near.pending() == 0
        assert inbox.receive(near) == 4
        with pytest.raises(ssl.SSLWantReadError):
            inbox.receive(near)
        far.sendall(b"and on")
        assert inbox.receive(near) == 6
        assert inbox.buffer == bytes(10_000) + b"nextand on"


def test_what_tls_has_decrypted_goes_a_record_beyond_the_limit() -> None:
    with tls_pair() as (near, far):
        far.sendall(bytes(16_384))
        inbox = Inbox(limit=100)
        assert inbox.receive(near) == 16_384
        assert near.pending() == 0
        assert len(inbox.buffer) == 16_384


def test_the_time_limit_of_a_tls_socket_loses_nothing() -> None:
    with tls_pair() as (near, far):
        near.settimeout(0.001)
        inbox = Inbox()
        with pytest.raises(TimeoutError):
            inbox.receive(near)
        far.sendall(b"late")
        near.settimeout(PATIENCE)
        assert inbox.receive(near) == 4
        assert inbox.buffer == b"late"


class Holding:
    """Holds bytes, as TLS does, and says so in ``pending``, right or wrong."""

    def __init__(self, pieces: list[Any], pending: Any) -> None:
        self.pieces = pieces
        self.pending = pending if not isinstance(pending, int) else lambda: pending
        self.asked = 0

    def recv_into(self, view: memoryview) -> int:
        self.asked += 1
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        size = min(len(view), len(piece))
        view[:size] = piece[:size]
        return size


def test_what_a_source_says_it_holds_is_believed_up_to_a_record() -> None:
    cases: list[tuple[Any, list[Any], bytes]] = [
        (3, [b"abc", b"de", b"f", b"g"], b"abcdef"),
        (9, [b"abc", b"de", b"", b"g"], b"abcde"),
        (9, [b"abc", b"de", BlockingIOError(), b"g"], b"abcde"),
        (1 << 40, [b"abc"] + [bytes(1 << 16)] * 9, b"abc" + bytes(16384)),
        (0, [b"abc", b"de"], b"abc"),
        (-5, [b"abc", b"de"], b"abc"),
        (lambda: 1.5, [b"abc", b"de"], b"abc"),
        ("not callable", [b"abc", b"de"], b"abc"),
        (None, [b"abc", b"de"], b"abc"),
        (5, [b"", b"behind the end"], b""),
    ]
    for pending, pieces, got in cases:
        source = Holding(pieces, pending)
        inbox = Inbox(limit=1 << 20)
        assert inbox.receive(source) == len(got)
        assert inbox.buffer == got
    for pending, pieces in ((3, [b"abc", b"def", b"g"]), (5, [b"abc", b"", b"g"]), (5, [b"", b"behind the end"])):
        source = Holding(pieces, pending)
        Inbox().receive(source)
        assert len(pieces) == 1, "it is asked again"


def test_what_a_source_holds_is_not_received_over_what_is_anothers() -> None:
    pool = Pool()
    inbox, other = Inbox(pool), Inbox(pool)
    inbox.room()
    other.room()[:5] = b"other"
    other.filled(5)
    assert inbox.receive(Holding([bytes(4000), bytes(5000), bytes(5000)], 5000)) == 9000
    assert inbox.buffer == bytes(9000)
    assert other.buffer == b"other"


def test_an_error_of_what_a_source_holds_leaves_what_came_before() -> None:
    inbox = Inbox()
    with pytest.raises(ConnectionResetError):
        inbox.receive(Holding([b"abc", ConnectionResetError(errno.ECONNRESET, "reset")], 5))
    assert inbox.buffer == b"abc"
    inbox.room()


# -- descriptors and files -------------------------------------------------------------------------------------


@contextlib.contextmanager
def pipe_of(data: bytes, *, blocking: bool = True) -> Iterator[int]:
    far, near = os.pipe()
    os.set_blocking(far, blocking)

    def write() -> None:
        with os.fdopen(near, "wb") as sink:
            sink.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield far
    finally:
        os.close(far)
        thread.join(PATIENCE)


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe(blocking: bool) -> None:
    with pipe_of(CONTENT, blocking=blocking) as far:
        assert received_from(far) == CONTENT


def test_a_descriptor_of_a_socket() -> None:
    here, there = socket.socketpair()
    with here, there, sending(there, CONTENT):
        assert received_from(here.fileno()) == CONTENT


def test_from_a_descriptor_nothing_is_copied() -> None:
    with pipe_of(b"a few") as far, no_copy(strict=True):
        assert Inbox().receive(far) == 5


def test_a_descriptor_that_is_closed_is_an_error_of_the_system() -> None:
    inbox = Inbox()
    for descriptor in (-1, 1 << 20):
        with pytest.raises(OSError, match="Bad file descriptor"):
            inbox.receive(descriptor)
    inbox.room()


def test_where_readv_is_missing_bytes_are_read_and_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "readv")
    with pipe_of(CONTENT) as far, copy_audit() as audit:
        assert received_from(far) == CONTENT
    assert audit.by_reason.pop("bytes") == len(CONTENT)
    assert audit.by_reason == {"fallback": len(CONTENT)}


FILES: Final[dict[str, Callable[[Path], Any]]] = {
    "raw": lambda path: path.open("rb", buffering=0),
    "buffered": lambda path: path.open("rb"),
    "small buffer": lambda path: path.open("rb", buffering=10),
    "for both": lambda path: path.open("r+b"),
    "temporary": lambda path: _temporary(path.read_bytes()),
    "gzip": lambda path: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(path.read_bytes()))),
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "BufferFile": lambda path: BufferFile(CompositeBuffer([path.read_bytes()])),
}


def _temporary(data: bytes) -> Any:
    file = tempfile.TemporaryFile()  # who asked for it closes it
    file.write(data)
    file.seek(0)
    return file


@pytest.mark.parametrize("kind", FILES)
def test_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with FILES[kind](path) as file:
        assert received_from(file) == CONTENT


def test_a_file_that_is_begun() -> None:
    with _temporary(CONTENT) as file:
        assert file.read(9) == CONTENT[:9]
        assert received_from(file) == CONTENT[9:]


def test_a_regular_file_by_its_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        assert received_from(file.fileno()) == CONTENT


def test_a_file_that_grows_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    inbox = Inbox()
    with path.open("wb", buffering=0) as log, path.open("rb", buffering=0) as file:
        assert inbox.receive(file) == 0
        log.write(b"a line")
        assert inbox.receive(file) == 6
        assert inbox.buffer == b"a line"


def test_a_buffered_socket() -> None:
    here, there = socket.socketpair()
    with here, there, sending(there, CONTENT), here.makefile("rb") as file:
        assert received_from(file) == CONTENT


def test_a_closed_file_leaves_the_buffer() -> None:
    with io.BytesIO(b"abc") as file:
        inbox = Inbox()
        inbox.receive(file)
    with pytest.raises(ValueError, match="closed file"):
        inbox.receive(file)
    assert inbox.buffer == b"abc"
    with pytest.raises(BrokenSource):
        inbox.receive(file)


class Raw(io.RawIOBase):
    """Gives a few bytes a time, and None between them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.ready = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self.ready = not self.ready
        if not self.ready:
            return None
        size = min(7, len(buffer), len(self.data))
        buffer[:size], self.data = self.data[:size], self.data[size:]
        return size


@pytest.mark.parametrize("wrap", [lambda raw: raw, io.BufferedReader], ids=["raw", "buffered"])
def test_a_file_that_is_not_ready(wrap: Callable[[Any], Any]) -> None:
    source = wrap(Raw(CONTENT[:1000]))
    inbox = Inbox()
    refusals = []
    while not inbox.ended:
        try:
            inbox.receive(source)
        except BlockingIOError as error:
            refusals.append(error.errno)
    assert len(refusals) > 100
    assert {*refusals} == {errno.EAGAIN}
    assert inbox.buffer == CONTENT[:1000]


def test_of_several_calls_that_of_a_connection_is_made() -> None:
    class Both:
        def recv_into(self, view: memoryview) -> int:
            view[:3] = b"abc"
            return 3

        def readinto(self, view: memoryview) -> int:
            raise AssertionError

    inbox = Inbox()
    assert inbox.receive(Both()) == 3


# -- what is no source ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", [None, True, 1.5, "path", b"bytes", io.StringIO("text"), object(), Inbox], ids=lambda s: type(s).__name__
)
def test_what_is_no_source_is_refused_in_words(source: Any) -> None:
    inbox = Inbox()
    told = (
        "^a source is a stream socket, a descriptor, a file opened in binary mode or an object with recv_into or "
        f"readinto, not {type(source).__name__}$"
    )
    with pytest.raises(TypeError, match=told):
        inbox.receive(source)
    inbox.room()[:1] = b"x"
    inbox.filled(1)
    assert inbox.buffer == b"x"
