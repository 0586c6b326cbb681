"""Fakes take and give what their scripts say, by every call, and are sinks and sources like any others."""

from __future__ import annotations

import asyncio
import io
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bytebufs import BrokenSink, Inbox, Outbox, aio, flush, transfer
from bytebufs.testing import (
    INTERRUPT,
    RESET,
    STALL,
    TIMEOUT,
    FakeFile,
    FakeSocket,
    ScriptedSocket,
    scripted_pair,
    tiny_pair,
    until,
)

DATA = b"hello, world"

Opened = tuple[Any, Callable[[], bytes]]  # a socket, and what says what it has been sent


@contextmanager
def without_descriptor(data: bytes, **scripts: Any) -> Iterator[Opened]:
    with FakeSocket(data, **scripts) as sock:
        yield sock, lambda: bytes(sock.sent)


@contextmanager
def with_descriptor(data: bytes, **scripts: Any) -> Iterator[Opened]:
    here, there = scripted_pair(**scripts)
    with here, there:
        there.sendall(data)
        there.shutdown(socket.SHUT_WR)
        there.setblocking(False)

        def sent() -> bytes:
            try:
                return there.recv(1000)
            except BlockingIOError:
                return b""

        yield here, sent


every_kind = pytest.mark.parametrize("opened", [without_descriptor, with_descriptor], ids=["fake", "scripted"])

Open = Callable[..., Any]


@every_kind
@pytest.mark.parametrize(
    ("send", "taken"),
    [
        (lambda sock: sock.send(DATA), 3),
        (lambda sock: sock.sendmsg([b"he", b"", bytearray(b"llo, world")]), 3),
        (lambda sock: sock.sendall(DATA), None),
        (lambda sock: flush(DATA, sock), len(DATA)),
    ],
    ids=["send", "sendmsg", "sendall", "flush"],
)
def test_what_is_sent(opened: Open, send: Callable[[Any], Any], taken: int | None) -> None:
    with opened(b"", send=3) as (sock, sent):
        assert send(sock) == taken
        assert sent() == DATA[: 3 if taken == 3 else None]
        assert sock.sends.passed == (taken or len(DATA))


def received(sock: Any) -> bytes:
    room = bytearray(8)
    return bytes(room[: sock.recv_into(room)])


def received_in_parts(sock: Any) -> bytes:
    parts = [bytearray(2), bytearray(0), bytearray(5)]
    size, *_ = sock.recvmsg_into(parts)
    return b"".join(parts)[:size]


@every_kind
@pytest.mark.parametrize(
    "receive",
    [
        lambda sock: sock.recv(8),
        received,
        lambda sock: sock.recv_into(memoryview(bytearray(8)), 3) * b"." and DATA[:3],
        received_in_parts,
    ],
    ids=["recv", "recv_into", "recv_into, with a size", "recvmsg_into"],
)
def test_what_is_received(opened: Open, receive: Callable[[Any], bytes]) -> None:
    with opened(DATA, recv=[3, 0, STALL]) as (sock, _):
        assert receive(sock) == b"hel"
        assert sock.recv(5) == b""  # as the script says, though more is there
        with pytest.raises(BlockingIOError):
            sock.recv(5)
        assert sock.recv(100) == DATA[3:]
        assert sock.recv(100) == b""
        assert (sock.receives.passed, sock.receives.calls) == (len(DATA), 5)


@every_kind
def test_flush_goes_on_behind_what_was_taken(opened: Open) -> None:
    with opened(b"", send=[2, STALL, 1, INTERRUPT, 1, TIMEOUT]) as (sock, sent):
        outbox = Outbox()
        outbox.put(DATA)
        assert outbox.flush(sock) == 2
        assert sent() == DATA[:2]
        assert outbox.pending == len(DATA) - 2


@every_kind
def test_a_reset_comes_after_so_many_bytes(opened: Open) -> None:
    with opened(b"", send=until(5, RESET, each=2)) as (sock, sent):
        with pytest.raises(ConnectionResetError):
            flush(DATA, sock)
        assert sent() == b"hello"


@every_kind
def test_who_takes_nothing_is_broken(opened: Open) -> None:
    with opened(b"", send=0) as (sock, _), pytest.raises(BrokenSink):
        flush(DATA, sock)


@every_kind
def test_an_inbox_receives_what_comes(opened: Open) -> None:
    with opened(DATA, recv=[3, STALL, INTERRUPT, TIMEOUT, 4]) as (sock, _):
        inbox = Inbox()
        assert inbox.receive(sock) == 3
        for error in (BlockingIOError, InterruptedError, TimeoutError):
            with pytest.raises(error):
                inbox.receive(sock)
        while inbox.receive(sock):
            pass
        assert bytes(inbox.buffer) == DATA
        assert inbox.ended


@every_kind
def test_a_file_is_transferred(opened: Open) -> None:
    with tempfile.TemporaryFile() as file, opened(b"", send=[3, 4]) as (sock, sent):
        file.write(DATA)
        file.seek(0)
        assert transfer(file, sock).nbytes == len(DATA)
        assert sent() == DATA


def test_a_closed_fake_does_nothing_any_more() -> None:
    sock = FakeSocket(DATA)
    assert sock.gettimeout() is None
    sock.settimeout(1.5)
    assert sock.gettimeout() == 1.5
    sock.close()
    for call in (lambda: sock.recv(1), lambda: sock.send(b"a")):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()


def test_room_that_is_not_there_is_refused_as_by_a_socket() -> None:
    here, there = scripted_pair()
    with here, there, FakeSocket(DATA) as fake:
        for sock in (here, fake):
            with pytest.raises(ValueError, match="negative buffersize"):
                sock.recv(-1)
            with pytest.raises(ValueError, match="buffer too small"):
                sock.recv_into(bytearray(2), 3)
            assert sock.receives.calls == 0


def test_a_scripted_socket_is_a_socket() -> None:
    here, there = scripted_pair(send=3, recv=2)
    with here, there, tempfile.TemporaryFile() as file:
        assert isinstance(here, ScriptedSocket)
        file.write(DATA)
        file.seek(0)
        assert here.sendfile(file) == len(DATA)
        assert there.recv(100) == DATA
        with here.makefile("rwb") as stream:
            stream.write(DATA)
            stream.flush()
            assert there.recv(100) == DATA
            there.sendall(b"line\n")
            assert stream.readline() == b"line\n"
        assert here.receives.calls == 3


def test_what_a_raw_file_takes_and_gives() -> None:
    file = FakeFile(DATA, write=[3, STALL, RESET], read=[4, STALL])
    assert (file.readable(), file.writable()) == (True, True)
    assert (file.write(DATA), file.write(DATA)) == (3, None)
    with pytest.raises(ConnectionResetError):
        file.write(DATA)
    assert bytes(file.sent) == b"hel"
    assert (file.read(100), file.read(100), file.read(100), file.read(100)) == (b"hell", None, b"o, world", b"")


def test_a_raw_file_is_a_sink_and_a_source() -> None:
    file = FakeFile(DATA, write=[3, STALL])
    with pytest.raises(BlockingIOError):
        flush(DATA, file)
    assert flush(DATA[3:], file) == len(DATA) - 3
    assert bytes(file.sent) == DATA
    inbox = Inbox()
    assert inbox.receive(file) == len(DATA)
    assert io.BufferedReader(FakeFile(DATA, read=1)).read() == DATA


def test_tiny_pairs_stop_half_way() -> None:
    here, there = tiny_pair()
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        outbox = Outbox()
        outbox.put(bytes(100_000))
        got = 0
        turns = 0
        while outbox.pending or got < 100_000:
            outbox.flush(here)
            got += len(there.recv(100_000))
            turns += 1
        assert got == 100_000
        assert turns > 1


@pytest.mark.parametrize("script", [1, [STALL, 1, STALL, 2]], ids=["bytewise", "stalling"])
def test_a_stream_of_asyncios_sends_and_receives_by_a_script(script: Any) -> None:
    async def main() -> None:
        here, there = scripted_pair(send=script, recv=script)
        with there:
            stream = await aio.open_connection(sock=here)
            there.sendall(b"question\n")
            assert await stream.take_until(b"\n") == b"question"
            await stream.send(b"answer\n")
            await stream.flush()
            assert there.recv(100) == b"answer\n"
            await stream.aclose()

    asyncio.run(asyncio.wait_for(main(), 60))
