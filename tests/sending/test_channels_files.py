"""The channels, sending ranges of files: by reference or read, in one segment, whatever a system lacks."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import re
import socket
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import bytebufs
from bytebufs import CompositeBuffer, FileRegion, copy_audit, flush, no_copy
from bytebufs._core.parts import LazyOwner, Memory
from bytebufs.errors import CopyForbidden, TruncatedFile

from ..sinks import (
    CONTENT,
    PATIENCE,
    SINKS,
    eventually,
    flushed,
    mixed,
    open_socket,
    refusing,
    tcp_pair,
)

ROOT: Final = Path(bytebufs.__file__).parent.parent

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO and TCP_CORK are Linux's")


# -- files that are read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SINKS))
def test_a_stable_region_is_read_in_bounded_pieces(name: str, file: Path) -> None:
    buffer = CompositeBuffer([b"header", FileRegion(file, stable=True), b"trailer"])
    with SINKS[name]() as (sink, received):
        with copy_audit() as audit:
            flush(buffer, sink)
        assert received() == b"header" + CONTENT + b"trailer"
    assert audit.by_reason == {"stable": len(CONTENT)}
    assert audit.count == 5  # 64 KiB each


@pytest.mark.parametrize("name", ["tls", "gzip", "object with write", "BufferedWriter, appending"])
def test_reading_a_file_can_be_forbidden(name: str, file: Path) -> None:
    with SINKS[name]() as (sink, received):
        with no_copy(), pytest.raises(CopyForbidden) as caught:
            flush(CompositeBuffer([b"header", FileRegion(file)]), sink)
        assert (caught.value.reason, flushed(caught)) == ("fallback", 6)
        assert received() == b"header"


def test_what_is_read_and_not_taken_is_not_read_again(file: Path) -> None:
    with SINKS["object with short writes"]() as (sink, received), copy_audit() as audit:
        flush(FileRegion(file), sink)
        assert received() == CONTENT
    assert audit.by_reason == {"fallback": len(CONTENT)}


def test_a_sink_may_keep_what_it_was_given_of_a_file(file: Path) -> None:
    kept: list[memoryview] = []

    class Sink:
        def write(self, data: memoryview) -> None:
            kept.append(data)

    flush(CompositeBuffer([FileRegion(file), b"end"]), Sink())
    assert b"".join(kept) == CONTENT + b"end"


def test_bytes_that_lie_in_no_file_are_looked_at() -> None:
    class Made(LazyOwner):
        def _look(self) -> Memory:
            return Memory(data, memoryview(data), data)

    data = b"made when looked at"
    buffer = CompositeBuffer([b"<", Made(len(data)), b">"])
    with open_socket("unix", timeout=None) as (sink, received):
        assert flush(buffer, sink) == len(data) + 2
        assert received() == b"<" + data + b">"


def test_a_region_that_was_looked_at_is_still_sent_from_its_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = FileRegion(file)
    assert region[:].find(CONTENT[1000:1010]) == 1000
    sent: list[int] = []
    sendfile = os.sendfile

    def counted(*args: int) -> int:
        sent.append(sendfile(*args))
        return sent[-1]

    monkeypatch.setattr(os, "sendfile", counted)
    with open_socket("tcp", timeout=None) as (sink, received):
        flush(CompositeBuffer([b"x", region]), sink)
        assert received() == b"x" + CONTENT
    assert sum(sent) == len(CONTENT)


def test_a_file_that_ended_for_a_moment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error holds what others can hold on to, and take elsewhere: no descriptor."""
    monkeypatch.setattr(os, "sendfile", lambda *args: 0)
    region = FileRegion(file, 7, 100)
    with tempfile.TemporaryFile() as sink, pytest.raises(TruncatedFile) as caught:
        flush(region, sink.fileno())
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.file, again.expected, again.found) == (str(file), 107, 7)


# -- segments ------------------------------------------------------------------------------------------------


def data_segments(sock: socket.socket) -> int:
    """How many TCP segments with data went out: tcpi_data_segs_out of tcp(7)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    number: int = struct.unpack_from("I", info, 156)[0]
    return number


def held_back(sock: socket.socket) -> int:
    """How many bytes wait to be sent: SIOCOUTQNSD of linux/sockios.h. Asked at once it tells without a clock."""
    return _asked(sock, 0x894B)


def unacknowledged(sock: socket.socket) -> int:
    """How many bytes the other side has not acknowledged: SIOCOUTQ of tcp(7). Until then Nagle's rule holds back."""
    return _asked(sock, termios.TIOCOUTQ)


def _asked(sock: socket.socket, request: int) -> int:
    number: int = struct.unpack("i", fcntl.ioctl(sock, request, bytes(4)))[0]
    return number


MESSAGES: Final[dict[str, Callable[[FileRegion], CompositeBuffer]]] = {
    "header, file": lambda r: CompositeBuffer([b"h" * 100, r[:500]]),
    "many headers, file": lambda r: CompositeBuffer([b"hh"] * 50 + [r[:500]]),
    "file, trailer": lambda r: CompositeBuffer([r[:500], b"t" * 100]),
    "file, file": lambda r: CompositeBuffer([r[:500], r[1000:1500]]),
    "header, file, trailer": lambda r: CompositeBuffer([b"h" * 100, r[:500], b"t" * 100]),
    "two responses": lambda r: CompositeBuffer([b"h" * 100, r[:500], b"h" * 100, r[1000:1500]]),
}


@LINUX
@pytest.mark.parametrize("message", list(MESSAGES))
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("nodelay", [False, True])
@pytest.mark.parametrize("timeout", [None, 0.0, PATIENCE], ids=["blocking", "non-blocking", "timeout"])
def test_a_small_message_is_one_segment_at_once(
    message: str, stable: bool, nodelay: bool, timeout: float | None, file: Path
) -> None:
    here, there = tcp_pair()
    with here, there:
        here.settimeout(timeout)
        there.settimeout(PATIENCE)
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
        buffer = MESSAGES[message](FileRegion(file, stable=stable))
        for number in (1, 2):
            flush(buffer, here)
            assert held_back(here) == 0
            assert there.recv(10_000) == buffer
            assert data_segments(here) == number
            assert eventually(lambda: unacknowledged(here) == 0)
        assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0


@LINUX
@pytest.mark.parametrize("message", list(MESSAGES))
def test_the_callers_cork_stays(message: str, file: Path) -> None:
    here, there = tcp_pair()
    with here, there:
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        buffer = MESSAGES[message](FileRegion(file))
        flush(buffer, here)
        flush(buffer, here)
        assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 1
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        assert there.recv(10_000) == bytes(buffer) * 2
        assert data_segments(here) == 1


@LINUX
def test_a_handler_that_raises_as_the_cork_goes_in(file: Path) -> None:
    class Signalled(socket.socket):
        def setsockopt(self, *args: Any) -> None:
            super().setsockopt(*args)
            if args[1:] == (socket.TCP_CORK, 1):
                raise KeyboardInterrupt

    here, there = tcp_pair()
    with Signalled(fileno=here.detach()) as sink, there:
        with pytest.raises(KeyboardInterrupt):
            flush(CompositeBuffer([b"header", FileRegion(file), b"trailer"]), sink)
        assert sink.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0


@pytest.mark.parametrize("timeout", [None, 0.0, PATIENCE], ids=["blocking", "non-blocking", "timeout"])
@pytest.mark.parametrize("stable", [False, True])
def test_what_is_no_tcp_has_nothing_to_let_go(stable: bool, timeout: float | None, file: Path) -> None:
    buffer, message = mixed(FileRegion(file, stable=stable))
    with open_socket("unix", timeout=timeout) as (sink, received):
        assert flush(buffer, sink) == len(message)
        assert received() == message


@LINUX
def test_a_socket_that_is_closed_meanwhile_raises_its_own_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the one of letting go what it held back, which comes after that."""
    sendfile = os.sendfile

    def closing(*args: int) -> int:
        sink.close()
        return sendfile(*args)

    monkeypatch.setattr(os, "sendfile", closing)
    sink, there = tcp_pair()
    with sink, there:
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            flush(CompositeBuffer([b"header", FileRegion(file)]), sink)
        assert flushed(caught) == 6
        there.settimeout(PATIENCE)
        assert there.recv(10) == b"header"


CALLS: Final = """
import os, socket, sys
from bytebufs import CompositeBuffer, FileRegion, flush
server = socket.create_server(("127.0.0.1", 0))
here = socket.create_connection(server.getsockname())
there, _ = server.accept()
region = FileRegion(sys.argv[1])
buffer = CompositeBuffer([b"header, ", b"still", region[5:200000]])
os.write(2, b"BEGIN")
flush(buffer, here)
os.write(2, b"END")
assert len(there.recv(1 << 20)) > 0
"""


@LINUX
@pytest.mark.needs("strace")
def test_the_system_calls_are_one_sendmsg_and_sendfile(file: Path, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    run = subprocess.run(
        ["strace", "-f", "-o", log, sys.executable, "-c", CALLS, file],
        check=False, cwd=ROOT, timeout=PATIENCE, capture_output=True, text=True,
    )  # fmt: skip
    if "ptrace" in run.stderr and run.returncode:
        pytest.skip("this machine forbids ptrace, as some containers do")
    assert run.returncode == 0, run.stderr
    # What is asked about files, and memory for Python's own objects, is not what is counted.
    beside = {"fstat", "newfstatat", "statx", "brk", "mmap", "munmap", "mremap", "madvise"}
    calls = re.findall(r"^\d+ +(\w+)\((.*)$", log.read_text(), re.MULTILINE)
    begin = next(i for i, (name, args) in enumerate(calls) if name == "write" and '"BEGIN"' in args)
    end = next(i for i, (name, args) in enumerate(calls) if name == "write" and '"END"' in args)
    between = calls[begin + 1 : end]
    names = [name for name, _ in between]
    assert [name for name in names if name not in beside] == ["sendmsg", "sendfile"]
    assert names.count("sendmsg") == 1
    assert re.search(r"MSG_NOSIGNAL\|MSG_MORE|MSG_MORE\|MSG_NOSIGNAL", dict(between)["sendmsg"])
    # How the position is shown, and where it went, differs from strace to strace.
    assert re.search(r"\[5(\]? => \[?200000)?\], 199995\) = 199995", dict(between)["sendfile"])


@LINUX
@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("trailer", [b"", b"trailer"])
@pytest.mark.parametrize("left", [0, 100])
def test_a_header_is_not_held_back_for_a_file_that_is_gone(
    stable: bool, trailer: bytes, left: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileRegion, "_assert_whole", lambda self, stop: None)  # it shrinks right after the question
    region = FileRegion(file, stable=stable)
    os.truncate(file, left)
    here, there = tcp_pair()
    with here, there:
        with pytest.raises(TruncatedFile) as caught:
            flush(CompositeBuffer([b"header", region, trailer]), here)
        assert held_back(here) == 0
        there.settimeout(PATIENCE)
        assert (caught.value.expected, caught.value.found) == (len(CONTENT), left)
        assert flushed(caught) == 6 + left
        assert there.recv(1000)[:6] == b"header"
        assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0


@LINUX
def test_what_the_caller_holds_back_stays_so(file: Path) -> None:
    region = FileRegion(file, stable=True)
    here, there = tcp_pair()
    with here, there:
        here.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        with no_copy(), pytest.raises(CopyForbidden):
            flush(CompositeBuffer([b"header", region]), here)
        assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 1


@LINUX
def test_a_header_is_not_held_back_when_a_copy_is_forbidden(file: Path) -> None:
    here, there = tcp_pair()
    with here, there:
        with no_copy(), pytest.raises(CopyForbidden):
            flush(CompositeBuffer([b"header", FileRegion(file, stable=True)]), here)
        assert held_back(here) == 0
        there.settimeout(PATIENCE)
        assert there.recv(1000) == b"header"


# -- calls that are missing or refused -----------------------------------------------------------------------


REFUSALS: Final = [
    *[errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTSOCK, errno.EPERM, errno.EACCES, errno.EIO, errno.ENOMEM],
    errno.EOVERFLOW,
]


@pytest.mark.parametrize("number", [*REFUSALS, None], ids=lambda n: n and errno.errorcode[n])
@pytest.mark.parametrize("name", ["tcp socket", "pipe descriptor", "FileIO", "BufferedWriter"])
def test_without_sendfile(name: str, number: int | None, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if number is None:
        monkeypatch.delattr(os, "sendfile")  # Windows
    else:
        monkeypatch.setattr(os, "sendfile", refusing(number))
    buffer, message = mixed(FileRegion(file))
    with SINKS[name]() as (sink, received):
        with copy_audit() as audit:
            assert flush(buffer, sink) == len(message)
        assert received() == message
    assert set(audit.by_reason) == {"fallback"}


def test_without_any_of_the_calls(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sendfile", "writev", "pread"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(socket.socket, "sendmsg", property())
    buffer, message = mixed(FileRegion(file))
    for name in ("tcp socket", "pipe descriptor", "FileIO", "object with write"):
        with SINKS[name]() as (sink, received):
            assert flush(buffer, sink) == len(message)
            assert received() == message


def test_a_target_that_sendfile_refuses(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    fd = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        with copy_audit() as audit:
            flush(CompositeBuffer([b"header", FileRegion(file)]), fd)
    finally:
        os.close(fd)
    assert audit.by_reason == {"fallback": len(CONTENT)}
    assert target.read_bytes() == b"header" + CONTENT


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.EPERM], ids=lambda n: errno.errorcode[n])
def test_a_refusal_after_the_first_byte_of_a_file_is_an_error(
    number: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendfile = os.sendfile
    calls = iter([lambda out, into, at, n: sendfile(out, into, at, 10), refusing(number)])

    def next_call(*args: int) -> int:
        return next(calls)(*args)

    monkeypatch.setattr(os, "sendfile", next_call)
    with tempfile.TemporaryFile() as target, pytest.raises(OSError) as caught:
        flush(FileRegion(file), target.fileno())
    assert caught.value.errno == number
    assert flushed(caught) == 10


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOMEM], ids=lambda n: errno.errorcode[n])
def test_a_file_that_cannot_be_read_either_is_an_error(
    number: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sendfile", refusing(number))
    monkeypatch.setattr(os, "pread", refusing(number))
    with tempfile.TemporaryFile() as target, pytest.raises(OSError) as caught:
        flush(CompositeBuffer([b"head", FileRegion(file)]), target.fileno())
    assert caught.value.errno == number
    assert flushed(caught) == 4


@pytest.mark.parametrize("order", ["good bad good bad", "bad good bad"])
def test_a_file_that_cannot_be_sent_says_nothing_of_others(
    order: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad, asked = FileRegion(file), FileRegion(file), list[int]()
    sendfile = os.sendfile

    def choosy(out: int, into: int, at: int, n: int) -> int:
        asked.append(into)
        if into == bad._fd:  # on a file system that cannot
            raise OSError(errno.EINVAL, "Invalid argument")
        return sendfile(out, into, at, n)

    monkeypatch.setattr(os, "sendfile", choosy)
    regions = [good if name == "good" else bad for name in order.split()]
    with tempfile.TemporaryFile() as sink, copy_audit() as audit:
        assert flush(CompositeBuffer(regions), sink.fileno()) == len(regions) * len(CONTENT)
        sink.seek(0)
        assert sink.read() == CONTENT * len(regions)
    copied = order.count("bad") if order.startswith("good") else 3
    assert audit.by_reason == {"fallback": copied * len(CONTENT)}
    assert asked.count(bad._fd) == 1


def test_an_attribute_error_from_elsewhere_is_not_a_missing_call(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(*args: object) -> int:
        raise AttributeError("raised by a signal handler")

    for name in ("sendfile", "writev"):
        monkeypatch.setattr(os, name, handler)
        with tempfile.TemporaryFile() as target, pytest.raises(AttributeError, match="signal handler"):
            flush(CompositeBuffer([b"a", b"b", FileRegion(file)]), target.fileno())
