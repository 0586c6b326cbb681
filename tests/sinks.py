"""Where tests send things: peers that read, connections to them, and every kind of sink that there is."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import mmap
import os
import random
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trustme
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, FileRegion, MappedFile, SliceBuffer
from bytebufs.sending.plan import IOV_MAX, Piece
from bytebufs.testing import FakeFile, FakeSocket

if TYPE_CHECKING:
    from typing_extensions import Buffer

CONTENT: Final = random.Random(7).randbytes(300_000)
"""What tests put into files."""

PATIENCE = 60  # seconds that a thread or a child may take before a test fails instead of hanging


def eventually(is_so: Callable[[], bool]) -> bool:
    """Ask over and over until it is so, or for a minute."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.001)  # what is waited for needs the processor
    return False


class Peer:
    """Reads until the end of the stream in a thread of its own, at most ``appetite()`` bytes a time."""

    def __init__(self, read: Callable[[int], bytes], appetite: Callable[[], int] = lambda: 1 << 20) -> None:
        self._read = read
        self._appetite = appetite
        self._got: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while got := self._read(self._appetite()):
            self._got.append(got)

    def received(self) -> bytes:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the peer never saw the end of the stream"
        return b"".join(self._got)


def nibbles(seed: int = 1) -> Callable[[], int]:
    """The appetite of a peer that takes 1 to 7 bytes at a time."""
    chance = random.Random(seed)
    return lambda: chance.randint(1, 7)


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    return here, there


PAIRS: dict[str, Callable[[], tuple[socket.socket, socket.socket]]] = {
    "unix": socket.socketpair,
    "tcp": tcp_pair,
}


@functools.cache
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's and a server's, who trust each other."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return client, server


@contextlib.contextmanager
def tls_pair() -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    client, server = tls_contexts()
    here, there = socket.socketpair()
    with server.wrap_socket(there, server_side=True, do_handshake_on_connect=False) as far:
        greeting = threading.Thread(target=far.do_handshake, daemon=True)
        greeting.start()
        with client.wrap_socket(here, server_hostname="localhost") as near:
            greeting.join(PATIENCE)
            yield near, far


def shrink(sock: socket.socket) -> None:
    """Let the kernel hold as little as it can for a sender, so that writes stop half-way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


def message_of(parts: int, *, most: int = 40, seed: int = 1) -> tuple[CompositeBuffer, bytes]:
    """A composite of that many parts of random sizes up to ``most``, and the bytes that it shows."""
    chance = random.Random(seed)
    pieces = [chance.randbytes(chance.randint(1, most)) for _ in range(parts)]
    return CompositeBuffer(pieces), b"".join(pieces)


def huge_map(size: int) -> mmap.mmap:
    """Memory that is promised and never touched, so it may be larger than the machine's."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))


def flushed(caught: pytest.ExceptionInfo[BaseException]) -> int:
    """How many bytes went before an error, as the error tells."""
    number: int = caught.value.bytes_flushed  # type: ignore[attr-defined]  # what flush adds
    return number


def refusing(number: int) -> Callable[..., int]:
    """Return what stands for a call of the system that answers with this error."""

    def call(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    return call


def mixed(region: FileRegion) -> tuple[CompositeBuffer, bytes]:
    """Files at the front, in the middle, twice in a row and at the end; memory of other kinds between."""
    buffer = CompositeBuffer(
        [
            region[5:6], b"header", region[100:200_000], region[17:4000], bytearray(b"between"), b"them",
            SliceBuffer(b"<clipped>", 1, 8), region[299_000:], b"trailer", region[:1],
        ]
    )  # fmt: skip
    return buffer, bytes(buffer)


class Calls:
    """Stands in for a system call: passes at most ``appetite()`` bytes on, and keeps count of what it saw."""

    def __init__(self, through: Callable[..., int], appetite: Callable[[], int]) -> None:
        self._through = through
        self._appetite = appetite
        self.offered: list[int] = []
        self.taken: list[int] = []

    def __call__(self, sink: Any, batch: list[Piece], *args: Any) -> int:
        assert len(batch) <= IOV_MAX
        views = [memoryview(piece) for piece in batch]
        assert all(view.format == "B" and view.ndim == 1 and len(view) for view in views)
        allowed = self._appetite()
        few = []
        for view in views:
            few.append(view[:allowed])
            allowed -= len(few[-1])
            if not allowed:
                break
        self.offered.append(len(batch))
        self.taken.append(self._through(sink, few, *args))
        return self.taken[-1]


# -- messages ------------------------------------------------------------------------------------------------

MIXES = st.lists(
    st.tuples(st.sampled_from(["bytes", "bytearray", "clipped", "region", "stable", "mapped"]), st.integers(0, 5000)),
    max_size=12,
)


def build_mix(parts: list[tuple[str, int]], path: Path) -> tuple[CompositeBuffer, bytes]:
    """A message in parts of these kinds, those of files from one that holds CONTENT, and its bytes."""
    region, stable = FileRegion(path), FileRegion(path, stable=True)
    mapped = MappedFile(path, offset=13)
    buffer = CompositeBuffer()
    for kind, size in parts:
        data = CONTENT[size : 2 * size]
        match kind:
            case "bytearray":
                buffer.append(bytearray(data))
            case "clipped":
                buffer.append(memoryview(b"<" + data + b">")[1:-1])
            case "region":
                buffer.append(region[size : 2 * size])
            case "stable":
                buffer.append(stable[size : 2 * size])
            case "mapped":
                buffer.append(mapped[size : 2 * size])
            case _:
                buffer.append(data)
    return buffer, bytes(buffer)


# -- sinks ---------------------------------------------------------------------------------------------------


class OnlyWrite:
    """A writer as people write them: no count, no descriptor, no base class."""

    def __init__(self) -> None:
        self.sent = bytearray()

    def write(self, data: Buffer) -> None:
        self.sent += data


class OnlySend(FakeSocket):
    """As if a socket had nothing but ``send``; its ``write`` must not be preferred."""

    def write(self, data: Buffer) -> int:
        raise AssertionError("a sink with send is a connection")


def few(seed: int = 5) -> Callable[[int], int]:
    """The appetite of a sink that takes 1 to 1 000 bytes a call."""
    chance = random.Random(seed)
    return lambda _: chance.randint(1, 1000)


class RawWriter(io.RawIOBase):
    """A raw file in Python over a descriptor: short counts, and None for "not now"."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int | None:
        try:
            return os.write(self._fd, memoryview(data)[:5000])
        except BlockingIOError:
            return None


class LoudSocket(socket.socket):
    """A socket whose class counts what passes its ``send``: flush may not go around it."""

    sent = 0

    def send(self, data: Buffer, flags: int = 0) -> int:
        taken = super().send(data, flags)
        self.sent += taken
        return taken


Opened = tuple[Any, "Callable[[], bytes]"]  # a sink, and what ends it and says what it got


@contextlib.contextmanager
def open_socket(pair: str, *, timeout: float | None, as_descriptor: bool = False) -> Iterator[Opened]:
    here, there = PAIRS[pair]()
    with here, there:
        shrink(here)
        here.settimeout(timeout)
        peer = Peer(there.recv)

        def received() -> bytes:
            here.shutdown(socket.SHUT_WR)
            return peer.received()

        yield here.fileno() if as_descriptor else here, received


@contextlib.contextmanager
def open_loud_socket() -> Iterator[Opened]:
    here, there = socket.socketpair()
    with LoudSocket(fileno=here.detach()) as loud, there:
        peer = Peer(there.recv)

        def received() -> bytes:
            loud.shutdown(socket.SHUT_WR)
            got = peer.received()
            assert len(got) == loud.sent
            return got

        yield loud, received


@contextlib.contextmanager
def open_tls(*, timeout: float | None) -> Iterator[Opened]:
    with tls_pair() as (here, there):
        here.settimeout(timeout)
        peer = Peer(there.recv)

        def received() -> bytes:
            here.shutdown(socket.SHUT_WR)
            return peer.received()

        yield here, received


@contextlib.contextmanager
def open_pipe(wrap: Callable[[int], Any], *, blocking: bool) -> Iterator[Opened]:
    source, target = os.pipe()
    os.set_blocking(target, blocking)
    peer = Peer(lambda n: os.read(source, n))
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, source)
        stack.callback(peer.received)  # before the descriptor that it reads is closed
        target_is_open = stack.enter_context(contextlib.ExitStack())
        target_is_open.callback(os.close, target)
        sink = wrap(target)

        def received() -> bytes:
            if isinstance(sink, io.BufferedWriter):
                sink.flush()
            target_is_open.close()
            return peer.received()

        yield sink, received


@contextlib.contextmanager
def open_file(mode: str, buffering: int = -1, *, as_descriptor: bool = False) -> Iterator[Opened]:
    with tempfile.NamedTemporaryFile() as place, Path(place.name).open(mode, buffering) as file:

        def received() -> bytes:
            assert file.tell() == os.fstat(file.fileno()).st_size  # the file knows where it stands
            file.close()
            return Path(place.name).read_bytes()

        yield file.fileno() if as_descriptor else file, received


@contextlib.contextmanager
def open_gzip() -> Iterator[Opened]:
    with tempfile.NamedTemporaryFile() as place, gzip.open(place.name, "wb") as file:

        def received() -> bytes:
            file.close()
            return gzip.decompress(Path(place.name).read_bytes())

        yield file, received


@contextlib.contextmanager
def open_temporary(make: Callable[[], Any]) -> Iterator[Opened]:
    with make() as file:

        def received() -> bytes:
            file.seek(0)
            got: bytes = file.read()
            return got

        yield file, received


@contextlib.contextmanager
def open_writer(writer: OnlyWrite | FakeFile | FakeSocket) -> Iterator[Opened]:
    yield writer, lambda: bytes(writer.sent)


@contextlib.contextmanager
def open_bytesio() -> Iterator[Opened]:
    file = io.BytesIO()
    yield file, file.getvalue


@contextlib.contextmanager
def open_makefile() -> Iterator[Opened]:
    with open_socket("unix", timeout=None) as (sock, received), sock.makefile("wb") as file:

        def all_received() -> bytes:
            file.flush()
            return received()

        yield file, all_received


def unbuffered(fd: int) -> io.FileIO:
    return io.FileIO(fd, "w", closefd=False)


def buffered(fd: int) -> io.BufferedWriter:
    return io.BufferedWriter(unbuffered(fd))


SINKS: dict[str, Callable[[], contextlib.AbstractContextManager[Opened]]] = {
    "unix socket": lambda: open_socket("unix", timeout=None),
    "unix socket, non-blocking": lambda: open_socket("unix", timeout=0.0),
    "unix socket, timeout": lambda: open_socket("unix", timeout=PATIENCE),
    "tcp socket": lambda: open_socket("tcp", timeout=None),
    "tcp socket, non-blocking": lambda: open_socket("tcp", timeout=0.0),
    "tcp socket, timeout": lambda: open_socket("tcp", timeout=PATIENCE),
    "socket descriptor": lambda: open_socket("tcp", timeout=None, as_descriptor=True),
    "socket descriptor, non-blocking": lambda: open_socket("tcp", timeout=0.0, as_descriptor=True),
    "socket of a class with its own send": open_loud_socket,
    "socket.makefile()": open_makefile,
    "tls": lambda: open_tls(timeout=None),
    "tls, non-blocking": lambda: open_tls(timeout=0.0),
    "tls, timeout": lambda: open_tls(timeout=PATIENCE),
    "pipe descriptor": lambda: open_pipe(int, blocking=True),
    "pipe descriptor, non-blocking": lambda: open_pipe(int, blocking=False),
    "pipe FileIO": lambda: open_pipe(unbuffered, blocking=True),
    "pipe FileIO, non-blocking": lambda: open_pipe(unbuffered, blocking=False),
    "pipe BufferedWriter": lambda: open_pipe(buffered, blocking=True),
    "pipe BufferedWriter, non-blocking": lambda: open_pipe(buffered, blocking=False),
    "pipe raw file": lambda: open_pipe(RawWriter, blocking=True),
    "pipe raw file, non-blocking": lambda: open_pipe(RawWriter, blocking=False),
    "file descriptor": lambda: open_file("wb", as_descriptor=True),
    "FileIO": lambda: open_file("wb", 0),
    "BufferedWriter": lambda: open_file("wb"),
    "BufferedWriter, appending": lambda: open_file("ab"),
    "BufferedRandom": lambda: open_file("r+b"),
    "NamedTemporaryFile": lambda: open_temporary(tempfile.NamedTemporaryFile),
    "TemporaryFile": lambda: open_temporary(tempfile.TemporaryFile),
    "SpooledTemporaryFile": lambda: open_temporary(functools.partial(tempfile.SpooledTemporaryFile, 1000)),
    "gzip": open_gzip,
    "BytesIO": open_bytesio,
    "object with write": lambda: open_writer(OnlyWrite()),
    "object with short writes": lambda: open_writer(FakeFile(write=few())),
    "object with send": lambda: open_writer(OnlySend(send=few())),
}

MIX_SINKS: Final = [
    "tcp socket", "tcp socket, non-blocking", "unix socket, non-blocking", "tls, non-blocking",
    "pipe descriptor, non-blocking", "FileIO", "object with short writes",
]  # fmt: skip
"""One of each way to send: what properties of random messages are tried over."""
