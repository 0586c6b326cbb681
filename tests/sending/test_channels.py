"""The channels: by which calls each kind of sink takes bytes, which sinks are refused, and what errors leave known."""

from __future__ import annotations

import errno
import io
import os
import selectors
import socket
import ssl
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs.composite_buffer import CompositeBuffer
from bytebufs.errors import BrokenSink, CopyForbidden
from bytebufs.sending.channels import Channel, SystemChannel, channel_to, event_wanted
from bytebufs.sending.flushing import flush
from bytebufs.sending.plan import Piece
from bytebufs.testing import STALL, FakeFile, until

from ..sinks import (
    Peer,
    flushed,
    message_of,
    refusing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


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
        with pytest.raises(TypeError, match=r"a sink is a stream socket.*sendmsg\(buffer\.views\(\)\)"):
            flush(buffer, here)
        there.setblocking(False)
        with pytest.raises(BlockingIOError):
            there.recv(1)


@pytest.mark.parametrize("buffer", [b"", b"abc"])
@pytest.mark.parametrize("sink", [None, "path", 1.5, [], object()], ids=lambda sink: type(sink).__name__)
def test_what_is_no_sink_is_refused(buffer: bytes, sink: Any) -> None:
    with pytest.raises(TypeError, match=f"descriptor, .* file .* send or write, not {type(sink).__name__}"):
        flush(buffer, sink)


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_is_no_descriptor(value: bool) -> None:
    with pytest.raises(TypeError, match=r"a sink is a descriptor.* not bool"):
        flush(b"abc", value)


def test_a_number_of_a_kind_of_its_own_is_a_descriptor() -> None:
    class Descriptor(int):
        pass

    with tempfile.TemporaryFile() as file:
        flush(b"abc", Descriptor(file.fileno()))
        file.seek(0)
        assert file.read() == b"abc"


# -- files ---------------------------------------------------------------------------------------------------


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


def test_a_buffered_file_that_fills_up_says_what_it_took() -> None:
    """BlockingIOError with characters_written is a short count; the next one, without, is raised."""
    room = 5
    raw = FakeFile(write=lambda passed: room - passed or STALL)
    buffer = CompositeBuffer([b"abcdefghijklm", b"nop"])
    with io.BufferedWriter(raw, 4) as file:
        with pytest.raises(BlockingIOError) as caught:
            flush(buffer, file)
        assert flushed(caught) == 9  # five through it, four in it
        room = 100
        flush(buffer[flushed(caught) :], file)
        file.flush()
        assert raw.sent == b"abcdefghijklmnop"


def test_a_sink_that_is_not_ready_and_has_no_descriptor() -> None:
    with FakeFile(write=until(5, STALL)) as sink, pytest.raises(BlockingIOError, match="not ready") as caught:
        flush(CompositeBuffer([b"abc", b"def", b"ghi"]), sink)
    assert flushed(caught) == 5


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


# -- errors --------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (BlockingIOError(errno.EAGAIN, "x"), selectors.EVENT_WRITE),
        (ssl.SSLWantWriteError(), selectors.EVENT_WRITE),
        (ssl.SSLWantReadError(), selectors.EVENT_READ),
        (ssl.SSLEOFError(), 0),
        (BrokenPipeError(errno.EPIPE, "x"), 0),
        (TimeoutError("timed out"), 0),
    ],
    ids=repr,
)
def test_what_is_to_be_waited_for_after_an_error(error: OSError, event: int) -> None:
    assert event_wanted(error) == event


def test_ssl_is_not_loaded_for_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "ssl")
    with pytest.raises(OSError, match="Bad file descriptor"):
        flush(CompositeBuffer([b"abc", bytearray(b"def")] * 20), -1)
    assert event_wanted(BrokenPipeError(errno.EPIPE, "x")) == 0
    assert "ssl" not in sys.modules


def test_a_gathering_call_that_takes_nothing_is_no_refusal() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        channel = channel_to(ours)
        assert channel.write([b"ab", b"c"], more=False) == 3
        with pytest.raises(BlockingIOError):
            all(channel.write([bytes(1 << 16)] * 2, more=False) for _ in range(1000))
        assert theirs.recv(3) == b"abc"


# -- calls that are missing or refused -----------------------------------------------------------------------


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


def test_the_kinds_of_channel_say_what_they_lack() -> None:
    with pytest.raises(NotImplementedError):
        Channel(None).write([b""], more=False)
    with pytest.raises(NotImplementedError):
        SystemChannel(None)._fileno()
