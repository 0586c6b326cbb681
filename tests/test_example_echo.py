"""examples/echo_frames.py: each frame comes back, whatever was before it, and the end loses none."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import aio, copy_audit
from examples.echo_frames import LIMIT, echo, main

from .sinks import PATIENCE, eventually

ROOT: Final = Path(__file__).parent.parent
HOST: Final = "127.0.0.1"


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def run(talk: bytes, sizes: list[int]) -> bytes:
    """Send bytes to the server in pieces, end, and return all that comes back."""

    async def session() -> bytes:
        async with asyncio.timeout(PATIENCE), await aio.start_server(echo, HOST, 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            got = asyncio.ensure_future(reader.read())
            at = 0
            with contextlib.suppress(ConnectionError):
                for size in sizes:
                    writer.write(talk[at : at + size])
                    at += size
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write(talk[at:])
                await writer.drain()
                writer.write_eof()
            try:
                return await got
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    return asyncio.run(session())


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 500), max_size=20))
def test_every_frame_comes_back_however_it_is_cut(payloads: list[bytes], sizes: list[int]) -> None:
    talk = b"".join(map(frame, payloads))
    assert run(talk, sizes) == talk


@pytest.mark.parametrize("size", [65_536, LIMIT - 4])
def test_what_frames_hold_is_not_copied(size: int) -> None:
    talk = frame(random.Random(size).randbytes(size)) * 5
    with copy_audit() as audit:
        assert run(talk, []) == talk
    assert audit.nbytes <= 5 * 4  # lengths, which may be joined to what is behind them


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        (b"\0\0", "bytes"),
        (b"\0\0\0\5hell", "bytes"),
        (struct.pack(">I", LIMIT - 3), f"{LIMIT}"),
        (b"\xff\xff\xff\xff" + bytes(100), f"{LIMIT}"),
    ],
)
def test_what_is_no_frame_ends_the_connection_behind_those_that_are(
    last: bytes, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good = frame(b"hello") + frame(b"")
    assert run(good + last, []) == good
    said = capsys.readouterr().err
    assert re.match(r"echo_frames: \('127\.0\.0\.1', \d+\): ", said)
    assert complaint in said


def test_a_client_that_does_not_read_is_waited_for() -> None:
    """The server keeps little for it: what it does not take fills the system's buffers, and then the client's."""

    async def session() -> None:
        async with (
            asyncio.timeout(PATIENCE),
            await aio.start_server(echo, HOST, 0) as server,
            await aio.open_connection(*server.sockets[0].getsockname()) as stream,
        ):
            (ours,) = await accepted(server)
            piece = frame(bytes(100_000))
            sent = 0
            while stream.pending < 1 << 20:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await stream.send(piece)
                sent += len(piece)
                assert ours.pending <= (64 << 10) + len(piece)
                assert len(ours.buffer) <= LIMIT
            while sent:
                await stream.receive()
                sent -= len(stream.buffer.take_all())

    asyncio.run(session())


async def accepted(server: aio.Server) -> list[aio.Stream]:
    while not server.connections:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.001)
    return list(server._connections.values())


# -- the program -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def program() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run it as a process of its own, and give that and the port."""
    command = [sys.executable, "-m", "examples.echo_frames", "--listen", f"{HOST}:0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", process.stdout.readline())
            assert match is not None
            yield process, int(match[1])
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_under_load_what_was_sent_before_the_signal_comes_back(number: int) -> None:
    """From clients that send all the time, that wait to be accepted, and that have sent half of a frame."""
    with program() as (process, port):
        load = [Client(port, index) for index in range(8)]
        assert eventually(lambda: all(client.received > 10 for client in load))
        half = socket.create_connection((HOST, port), timeout=PATIENCE)
        half.sendall(frame(b"hello")[:-1])
        idle = socket.create_connection((HOST, port), timeout=PATIENCE)
        idle.sendall(frame(b"a"))
        assert receive(idle, 5) == frame(b"a")
        process.send_signal(signal.SIGSTOP)
        waiting = [socket.create_connection((HOST, port), timeout=PATIENCE) for _ in range(80)]
        for sock in waiting:
            sock.sendall(frame(b"wait") * 2)
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        for sock in waiting:
            with sock:
                assert receive(sock, 16) == frame(b"wait") * 2
                assert sock.recv(1) == b""
        with half, idle:
            half.sendall(b"o")
            assert receive(half, 9) == frame(b"hello")
            assert half.recv(1) == idle.recv(1) == b""
        for client in load:
            client.end()
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert not [line for line in process.stderr if "reset" not in line]


class Client:
    """Sends frames in a thread, each once the last one has come back, until the connection ends."""

    def __init__(self, port: int, index: int) -> None:
        self.received = 0
        self._fault = ""
        self._sock = socket.create_connection((HOST, port), timeout=PATIENCE)
        self._thread = threading.Thread(target=self._run, args=(index,), daemon=True)
        self._thread.start()

    def _run(self, index: int) -> None:
        chance = random.Random(index)
        with self._sock:
            while True:
                sent = frame(chance.randbytes(chance.choice([0, 1, 100, 5000])))
                try:
                    self._sock.sendall(sent)
                    got = receive(self._sock, len(sent))
                except ConnectionError:
                    return
                if got != sent:
                    self._fault = "" if not got else f"{len(got)} bytes of {len(sent)}"
                    return
                self.received += 1

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert not self._fault


def receive(sock: socket.socket, nbytes: int) -> bytes:
    data = b""
    while len(data) < nbytes and (got := sock.recv(nbytes - len(data))):
        data += got
    return data


class Told(io.StringIO):
    """A terminal that sends a signal once a program says where it listens."""

    def write(self, text: str) -> int:
        if text.startswith("listening on "):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def test_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Told()
    monkeypatch.setattr(sys, "stdout", told)
    assert main(["--listen", f"{HOST}:0"]) == 0
    assert re.fullmatch(r"listening on 127\.0\.0\.1:\d+\n", told.getvalue())


def test_where_nobody_can_listen_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as taken:
        assert main(["--listen", f"{HOST}:{taken.getsockname()[1]}"]) == 2
    assert "echo_frames: " in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--listen", "nowhere"])
