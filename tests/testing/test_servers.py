"""Whole servers as parsers: each piece arrives as one, and the answers are compared."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bytebufs import Lines, aio
from bytebufs.testing import Connection, DependsOnCuts, check_fragmentation, serving

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Starts a server of asyncio's whose handler gets what was read each time, and remembers that."""

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self.answer = answer
        self.reads: list[list[bytes]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reads: list[bytes] = []
        self.reads.append(reads)
        while got := await reader.read(1 << 16):
            reads.append(got)
            answer = self.answer(got)
            if answer is None:
                break
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async def tcp(self) -> asyncio.Server:
        return await asyncio.start_server(self.handle, "127.0.0.1", 0)

    async def tcp6(self) -> asyncio.Server:
        return await asyncio.start_server(self.handle, "::1", 0)

    def unix(self, path: Path) -> Callable[[], Awaitable[asyncio.Server]]:
        return lambda: asyncio.start_unix_server(self.handle, path)


def starts(server: Server, folder: Path) -> dict[str, Callable[[], Awaitable[asyncio.Server]]]:
    return {"tcp": server.tcp, "tcp6": server.tcp6, "unix": server.unix(folder / "socket")}


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells what a peer has read")
@pytest.mark.parametrize("kind", ["tcp", "tcp6", "unix"])
def test_each_piece_arrives_as_one(kind: str, tmp_path: Path) -> None:
    server = Server(bytes.upper)
    with serving(starts(server, tmp_path)[kind]) as address:
        pieces = [b"a", b"bc", b"", b"d" * 5000, *(b"%d" % i for i in range(100))]
        with Connection(address) as connection:
            for piece in pieces:
                connection.feed(piece)
            assert connection.end() == b"".join(pieces).upper()
    assert server.reads == [[piece for piece in pieces if piece]]


def test_a_right_server_passes() -> None:
    with serving(Server(bytes.upper).tcp) as address:
        assert check_fragmentation(lambda: Connection(address), b"abcdef").results == [b"ABCDEF"]


def test_a_server_that_looks_at_what_it_reads_fails() -> None:
    server = Server(lambda got: b"pong" if got == b"ping\n" else b"")
    with serving(server.tcp) as address, pytest.raises(DependsOnCuts) as caught:
        check_fragmentation(lambda: Connection(address), b"ping\n")
    assert caught.value.pieces == (b"p", b"ing\n")


def test_a_server_of_ours() -> None:
    async def answer(stream: aio.Stream) -> None:
        async for line in stream.frames(Lines(limit=100)):
            await stream.send(bytes(line) + b"!")

    with serving(lambda: aio.start_server(answer, "127.0.0.1", 0)) as address:
        assert check_fragmentation(lambda: Connection(address), b"ab\ncd\n").results == [b"ab!cd!"]


def test_an_answer_may_tell_where_it_ends() -> None:
    with serving(Server(bytes.upper).tcp) as address:
        connect = lambda: Connection(address, until=lambda answer: answer.endswith(b"\n"))
        assert check_fragmentation(connect, b"ab\n").results == [b"AB\n"]


def test_a_handler_may_end_after_its_server() -> None:
    ends: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(100):
            writer.write(b"ok")
        for _ in range(10):
            await asyncio.sleep(0)
        writer.close()
        ends.append("closed")

    start = lambda: asyncio.start_server(handle, "127.0.0.1", 0)
    with serving(start) as address, Connection(address, until=bool) as connection:
        connection.feed(b"ab")
        assert connection.end() == b"ok"
    assert ends == ["closed"]


def test_a_server_may_close_before_all_was_sent() -> None:
    with serving(Server(lambda got: None if b"x" in got else got).tcp) as address, Connection(address) as connection:
        connection.feed(b"ab")
        connection.feed(b"x")
        for _ in range(3):
            connection.feed(b"more")
        assert connection.end() == b"ab"


def test_a_long_piece_is_sent_while_the_answer_is_received() -> None:
    data = bytes(8 << 20)
    with serving(Server(bytes).tcp) as address, Connection(address) as connection:
        connection.feed(data)
        assert connection.end() == data


@pytest.mark.parametrize("is_fed", [True, False], ids=["while it is sent to", "while its answer is awaited"])
def test_a_server_may_reset_the_connection(is_fed: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Connection(server.getsockname()) as connection:
        there, _ = server.accept()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()
        if is_fed:
            connection.feed(b"ab")
        assert connection.end() == b""


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, Connection(deaf.getsockname(), patience=0.01) as connection:
        with pytest.raises(TimeoutError, match="take what was sent"):
            connection.feed(b"ab")
        with pytest.raises(TimeoutError, match="end its answer"):
            connection.end()


def test_bytes_alone_are_sent() -> None:
    with serving(Server(bytes).tcp) as address, Connection(address) as connection:
        with pytest.raises(TypeError, match="not bytearray"):
            connection.feed(bytearray(b"ab"))  # type: ignore[arg-type]
        assert connection.end() == b""


def test_a_server_that_does_not_start_says_why() -> None:
    async def start() -> asyncio.Server:
        raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken"), serving(start):
        pass
