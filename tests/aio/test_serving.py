"""Servers: where they listen, whom they serve, and how they end."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from bytebufs import FileRegion, LengthPrefixed, Pool, Reader, aio
from bytebufs.aio import serving as serving_module

from ..forked import run_program
from .loops import LOOPS, WAYS, client_context, connected, run, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MUCH: Final = bytes(8 << 20)


def message(r: Reader) -> bytes:
    return r.take_bytes(r.u8())


async def echo(stream: aio.Stream) -> None:
    async for body in stream.messages(message):
        await stream.send(bytes([len(body)]) + body)


async def turns(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody else tells
        await asyncio.sleep(0)


# -- where it listens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_it_serves(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with serving(echo, kind) as (server, connect):
            assert server.is_serving()
            assert "0 connections" in repr(server)
            async with await connect() as one, await connect() as two:
                for stream in (one, two):
                    await stream.send(b"\x05hello")
                    assert await stream.take(6) == b"\x05hello"
                assert server.connections == 2
        assert repr(server) == "<Server: closed, 0 connections>"
        assert not server.is_serving()
        assert server.sockets == ()
        await server.close()

    run(main, loop)


def test_it_listens_at_several_hosts() -> None:
    async def main() -> None:
        async with await aio.start_server(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
            addresses = [sock.getsockname() for sock in server.sockets]
            assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2"]
            for host, port in addresses:
                async with await aio.open_connection(host, port) as stream:
                    await stream.send(b"\x01a")
                    assert await stream.take(2) == b"\x01a"
        async with await aio.start_server(echo, port=0) as server:
            assert server.sockets
        async with await aio.start_server(echo, "", 0) as server:
            assert server.sockets

    run(main)


def test_it_listens_on_a_socket_that_is_there() -> None:
    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        async with await aio.start_server(echo, sock=sock) as server:
            assert server.sockets == (sock,)
            async with await aio.open_connection(*sock.getsockname()) as stream:
                await stream.send(b"\x01a")
                assert await stream.take(2) == b"\x01a"
        assert sock.fileno() == -1
        sock = socket.socket(socket.AF_UNIX)
        sock.bind("")
        async with (
            await aio.start_unix_server(echo, sock=sock),
            await aio.open_unix_connection(sock.getsockname()) as stream,
        ):
            await stream.send(b"\x01a")
            assert await stream.take(2) == b"\x01a"

    run(main)


def test_several_servers_share_a_port() -> None:
    async def main() -> None:
        async with await aio.start_server(echo, "127.0.0.1", 0, reuse_port=True) as one:
            port = one.sockets[0].getsockname()[1]
            async with await aio.start_server(echo, "127.0.0.1", port, reuse_port=True, reuse_address=False):
                pass
            with pytest.raises(OSError) as caught:
                await aio.start_server(echo, "127.0.0.1", port)
            assert caught.value.__notes__ == [f"while binding to {('127.0.0.1', port)!r}"]

    run(main)


def test_a_socket_that_cannot_listen_is_closed() -> None:
    async def main() -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            with pytest.raises(OverflowError):
                await aio.start_server(echo, sock=sock, backlog=1 << 40)
            assert sock.fileno() == -1
        with pytest.raises(OverflowError):
            await aio.start_unix_server(echo, "\0bytebufs-test", backlog=1 << 40)

    run(main)


def test_places_of_the_file_system_are_cleared(tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(os.fspath(path))
        async with await aio.start_unix_server(echo, os.fsencode(path)):
            assert path.is_socket()
        assert not path.exists()
        async with await aio.start_unix_server(echo, path):
            path.unlink()
            path.write_text("of somebody else")
        assert path.read_text() == "of somebody else"
        with pytest.raises(OSError) as caught:
            await aio.start_unix_server(echo, path)
        assert caught.value.__notes__ == [f"while binding to {os.fspath(path)!r}"]
        async with await aio.start_unix_server(echo, tmp_path / "other"):
            (tmp_path / "other").unlink()
        async with await aio.start_unix_server(echo, b"\0bytebufs-abstract"):
            (await aio.open_unix_connection(b"\0bytebufs-abstract")).abort()

    run(main)


def test_arguments_are_looked_at() -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as sock:
            wrong: list[tuple[type[Exception], str, Callable[[], Awaitable[object]]]] = [
                (TypeError, "async def handler", lambda: aio.start_server(None, port=0)),  # type: ignore[arg-type]
                (TypeError, "SSLContext", lambda: aio.start_server(echo, port=0, ssl=True)),  # type: ignore[arg-type]
                (Exception, "server", lambda: aio.start_server(echo, port=0, ssl=client_context())),
                (ValueError, "not both", lambda: aio.start_server(echo, port=0, sock=sock)),
                (ValueError, "host and port", lambda: aio.start_server(echo)),
                (ValueError, "stream socket", lambda: aio.start_server(echo, sock=datagrams)),
                (ValueError, "stream socket", lambda: aio.start_unix_server(echo, sock=datagrams)),
                (ValueError, "one of them", lambda: aio.start_unix_server(echo)),
                (ValueError, "one of them", lambda: aio.start_unix_server(echo, "path", sock=sock)),
                (ValueError, "at least 1", lambda: aio.start_server(echo, port=0, connections=0)),
                (ValueError, "at least 1", lambda: aio.start_server(echo, port=0, limit=0)),
                (ValueError, "watermark", lambda: aio.start_server(echo, port=0, high=1, low=2)),
                (ValueError, "ssl_handshake", lambda: aio.start_server(echo, port=0, ssl_handshake_timeout=1)),
            ]
            for kind, words, call in wrong:
                with pytest.raises(kind, match=words):
                    await call()
            assert sock.fileno() >= 0

    run(main)


def test_addresses_that_are_not_there_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        found: list[Any] = []

        async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
            return found

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        with pytest.raises(OSError, match="has no address"):
            await aio.start_server(echo, "nowhere", 0)
        # A family that is switched off, and one whose address nobody has.
        found.append((9999, socket.SOCK_STREAM, 0, "", None))
        found.append((socket.AF_INET6, socket.SOCK_STREAM, 0, "", ("2001:db8::1", 0)))
        with pytest.raises(OSError, match="can be listened on"):
            await aio.start_server(echo, "nowhere", 0)
        found.append((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)))
        async with await aio.start_server(echo, "somewhere", 0) as server:
            assert len(server.sockets) == 1

        def no_socket(*_: Any) -> NoReturn:
            raise OSError(errno.EMFILE, "none left")

        monkeypatch.setattr(socket, "socket", no_socket)
        with pytest.raises(OSError, match="none left"):
            await aio.start_server(echo, "somewhere", 0)
        monkeypatch.undo()

    run(main)


def test_its_streams_are_made_as_it_says() -> None:
    async def main() -> None:
        pool = Pool()
        async with connected("tcp", limit=1234, pool=pool) as (stream, peer):
            await stream.send(b"x")
            await peer.take(1)
            assert peer.limit == 1234
            assert pool.made == 1

    run(main)


# -- whom it serves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
def test_others_wait_while_there_are_as_many_as_there_may_be(loop: str) -> None:
    async def main() -> None:
        async with serving(echo, "tcp", connections=2) as (server, connect):
            streams = [await connect() for _ in range(5)]
            for stream in streams:
                await stream.send(b"\x01a")
            served = 0
            while streams:
                answers = [asyncio.ensure_future(stream.take(2)) for stream in streams]
                await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
                await turns(20)
                assert server.connections == min(2, len(streams))
                done = [answer.done() for answer in answers]
                for answer in answers:
                    answer.cancel()
                await asyncio.wait(answers)
                for stream, is_done in zip(streams.copy(), done, strict=True):
                    if is_done:
                        served += 1
                        await stream.aclose()
                        streams.remove(stream)
            assert served == 5

    run(main, loop)


@pytest.mark.parametrize("way", WAYS)
def test_an_error_of_a_handler_is_reported_once_and_closes(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        reported: list[dict[str, Any]] = []
        running = asyncio.get_running_loop()
        running.set_exception_handler(lambda _, context: reported.append(context))

        async def handler(stream: aio.Stream) -> None:
            await stream.send(b"said before")
            raise KeyError("x")

        async with serving(handler, kind) as (server, connect):
            async with await connect() as stream:
                assert await stream.take(11) == b"said before"
                assert not await stream.receive()
            await until(lambda: not server.connections)
        assert len(reported) == 1
        assert reported[0]["message"] == "bytebufs.aio: the handler of a connection has failed"
        assert isinstance(reported[0]["exception"], KeyError)
        assert isinstance(reported[0]["stream"], aio.Stream)

    run(main, loop)


def test_an_eager_handler_that_ends_at_once_is_a_connection_like_others() -> None:
    async def handler(stream: aio.Stream) -> None:
        stream.abort()

    async def main() -> None:
        async with serving(handler, "tcp") as (_, connect), await connect() as stream:
            assert not await stream.receive()

    run(main, "eager")


def test_what_a_handler_sent_and_cannot_be_sent_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "file"

    async def handler(stream: aio.Stream) -> None:
        file.write_bytes(bytes(1000))
        region = FileRegion(file)
        file.write_bytes(b"")
        await stream.send(region)

    async def main() -> None:
        async with serving(handler, "tcp") as (_, connect), await connect() as stream:
            assert not await stream.receive()

    run(main, reports=1)


def test_a_client_that_does_not_take_what_was_sent_is_no_error() -> None:
    async def handler(stream: aio.Stream) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stream.send(MUCH), 0)

    async def main() -> None:
        async with serving(handler, "tcp", close_timeout=0.01) as (server, connect), await connect():
            await until(lambda: server.connections == 1)
            await until(lambda: server.connections == 0)

    run(main)


def test_a_failed_handshake_is_no_error() -> None:
    async def main() -> None:
        async with serving(echo, "tls") as (server, connect):
            host, port = server.sockets[0].getsockname()
            async with await aio.open_connection(host, port) as plain:
                await plain.send(b"this is no TLS\r\n\r\n")
                with suppress(ConnectionError):
                    while await plain.receive():
                        plain.buffer.clear()
            async with await connect() as stream:
                await stream.send(b"\x01a")
                assert await stream.take(2) == b"\x01a"

    run(main)


def test_a_client_that_never_ends_its_handshake_is_let_go_of() -> None:
    async def main() -> None:
        async with serving(echo, "tls", ssl_handshake_timeout=0.01) as (server, _):
            host, port = server.sockets[0].getsockname()
            async with await aio.open_connection(host, port) as silent:
                with suppress(ConnectionError):
                    assert not await silent.receive()
            await until(lambda: not server.connections)

    run(main)


def test_another_error_than_of_the_system_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attach(*_: Any) -> None:
        raise KeyError

    async def main() -> None:
        async with serving(echo, "tcp") as (_, connect):
            monkeypatch.setattr(serving_module, "attach_accepted", attach)
            async with await connect() as stream:
                assert not await stream.receive()

    run(main, reports=1)


# -- its end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_was_accepted_is_answered(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        began = asyncio.Event()

        async def handler(stream: aio.Stream) -> None:
            async for body in stream.messages(message):
                began.set()
                await turns(20)
                await stream.send(body)

        async with serving(handler, kind) as (server, connect):
            busy, half, idle = [await connect() for _ in range(3)]
            for stream in (half, idle):
                await stream.send(b"\x01i")
                assert await stream.take(1) == b"i"
            await half.send(b"\x03ha")
            await half.flush()
            began.clear()
            await busy.send(b"\x04busy\x04more")
            await began.wait()
            closing = asyncio.create_task(server.close())
            again = asyncio.create_task(server.close())
            await turns()
            assert not server.is_serving()
            await half.send(b"l")
            assert await half.take(3) == b"hal"
            assert await busy.take(8) == b"busymore"
            for stream in (busy, half, idle):
                assert not await stream.receive()
                await stream.aclose()
            await closing
            await again

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_has_just_connected_is_served(loop: str) -> None:
    async def main() -> None:
        async with serving(echo, "tcp") as (server, _):
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.sendall(b"\x05hello")
                await server.close()
                assert client.recv(100) == b"\x05hello"
                assert client.recv(100) == b""

    run(main, loop)


def test_messages_that_have_come_over_tls_are_answered() -> None:
    async def main() -> None:
        async with serving(echo, "tls") as (server, connect):
            stream = await connect()
            await stream.send(b"\x01a")
            assert await stream.take(2) == b"\x01a"
            await stream.send(b"\x01b")
            await stream.flush()
            closing = asyncio.create_task(server.close())  # the system has it, and nobody has looked yet
            assert await stream.take(2) == b"\x01b"
            assert not await stream.receive()
            await stream.aclose()
            await closing

    run(main)


def test_frames_end_too() -> None:
    async def handler(stream: aio.Stream) -> None:
        async for frame in stream.frames(LengthPrefixed(1, limit=255)):
            await stream.send(frame)

    async def main() -> None:
        async with serving(handler, "tcp") as (server, connect), await connect() as stream:
            await stream.send(b"\x01a")
            assert await stream.take(1) == b"a"
            await server.close()
            assert not await stream.receive()

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_stuck_handlers_are_cancelled_after_the_grace(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        cancelled = []

        async def handler(stream: aio.Stream) -> None:
            try:
                await stream.take(1000)
            except asyncio.CancelledError:
                cancelled.append(stream)
                raise

        async with serving(handler, kind) as (server, connect), await connect() as stream:
            await stream.send(b"x")
            await until(lambda: server.connections == 1)
            await turns(20)
            await server.close(grace=0.01)
            assert [stuck.state for stuck in cancelled] == ["closed"]
            with suppress(ConnectionError):
                assert not await stream.receive()

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_no_grace_at_all_closes_whom_nobody_has_looked_at(loop: str) -> None:
    async def main() -> None:
        async with serving(echo, "tcp") as (server, _):
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                await server.close(grace=0)
                with suppress(ConnectionError):
                    assert client.recv(100) == b""

    run(main, loop)


def test_a_handler_may_say_good_bye() -> None:
    async def handler(stream: aio.Stream) -> None:
        try:
            await stream.receive()
        except asyncio.CancelledError:
            await stream.send(b"bye")
            await stream.aclose()

    async def main() -> None:
        async with serving(handler, "tcp") as (server, connect), await connect() as stream:
            await until(lambda: server.connections == 1)
            await turns()
            await server.close(grace=0)
            assert await stream.take(3) == b"bye"

    run(main)


def test_a_cancelled_close_cancels_the_handlers() -> None:
    async def main() -> None:
        ended = []

        async def handler(stream: aio.Stream) -> None:
            try:
                await stream.take(9)
            finally:
                try:
                    await turns(30)
                finally:
                    ended.append(stream)

        async with serving(handler, "tcp") as (server, connect), await connect():
            await until(lambda: server.connections == 1)
            await turns()
            closing = asyncio.create_task(server.close(grace=1000))
            await turns()
            closing.cancel()
            await turns()
            assert not closing.done()
            closing.cancel()  # again: it is waited for all the same
            with pytest.raises(asyncio.CancelledError):
                await closing
            assert len(ended) == 1
            assert server.connections == 0

    run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_serving_for_ever_ends_with_close_or_when_cancelled(loop: str) -> None:
    async def main() -> None:
        async with serving(echo, "tcp") as (server, connect):
            forever = asyncio.create_task(server.serve_forever())
            await turns()
            await server.close()
            await forever
        async with serving(echo, "tcp") as (server, connect), await connect() as stream:
            forever = asyncio.create_task(server.serve_forever())
            await until(lambda: server.connections == 1)
            await turns()
            forever.cancel()
            with pytest.raises(asyncio.CancelledError):
                await forever
            assert server.connections == 0
            with suppress(ConnectionError):
                assert not await stream.receive()

    run(main, loop)


def test_an_exception_closes_it_at_once() -> None:
    async def use() -> None:
        async with serving(echo, "tcp") as (server, connect):
            await connect_and_fail(server, connect)

    async def connect_and_fail(server: aio.Server, connect: Callable[[], Awaitable[aio.Stream]]) -> None:
        async with await connect():
            await until(lambda: server.connections == 1)
            raise KeyError

    async def main() -> None:
        with pytest.raises(KeyError):
            await use()

    run(main)


def test_a_handler_may_close_its_server() -> None:
    async def main() -> None:
        servers: list[aio.Server] = []

        async def handler(stream: aio.Stream) -> None:
            await servers[0].close()
            await stream.send(b"closed")

        async with serving(handler, "tcp") as (server, connect):
            servers.append(server)
            async with await connect() as stream:
                assert await stream.take(6) == b"closed"
                assert not await stream.receive()
            await until(lambda: not server.connections)

    for loop in ("asyncio", "eager"):
        run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_handshakes_do_not_hold_it_up(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_NEW", 0.01)

    async def main() -> None:
        async with serving(echo, "tls") as (server, _):
            host, port = server.sockets[0].getsockname()
            async with await aio.open_connection(host, port) as silent:
                await until(lambda: server.connections == 1)
                await server.close(grace=1000)
                with suppress(ConnectionError):
                    assert not await silent.receive()

    run(main, loop)


def test_a_server_closes_in_the_middle_of_handshakes() -> None:
    async def main() -> None:
        for n in range(12):
            async with serving(echo, "tls") as (server, connect):
                connecting = asyncio.ensure_future(connect())
                await turns(n)
                await server.close(grace=0)
                try:
                    stream = await connecting
                except OSError:
                    continue
                with suppress(ConnectionError):
                    assert not await stream.receive()
                await stream.aclose()

    run(main)


# -- what the system has not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["serve", "close"])
@pytest.mark.parametrize("loop", LOOPS)
def test_without_descriptors_nothing_is_accepted_for_a_while(loop: str, then: str) -> None:
    assert run_program("tests.aio.exhausted", loop, then) == (0, "", "")


def test_a_client_that_is_gone_when_it_is_accepted_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listener(socket.socket):
        errors: Final = [ConnectionAbortedError("gone"), InterruptedError()]

        def accept(self) -> Any:
            if self.errors:
                raise self.errors.pop()
            return super().accept()

    async def main() -> None:
        listener = Listener()
        listener.bind(("127.0.0.1", 0))
        async with await aio.start_server(echo, sock=listener):
            async with await aio.open_connection(*listener.getsockname()) as stream:
                await stream.send(b"\x01a")
                assert await stream.take(2) == b"\x01a"
                Listener.errors.append(ConnectionAbortedError("gone"))
            async with await aio.open_connection(*listener.getsockname()) as stream:
                await stream.send(b"\x01a")
                assert await stream.take(2) == b"\x01a"

    for loop in ("asyncio", "unwatched"):
        run(main, loop)


@pytest.mark.parametrize("then", ["serve", "close"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "unwatched"])
def test_it_accepts_again_once_there_are_descriptors(loop: str, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_PAUSE", 0.001 if then == "serve" else 1000)

    class Listener(socket.socket):
        errors: Final = [OSError(errno.EMFILE, "none left")]

        def accept(self) -> Any:
            if self.errors:
                raise self.errors.pop()
            return super().accept()

    async def main() -> None:
        listener = Listener()
        listener.bind(("127.0.0.1", 0))
        async with await aio.start_server(echo, sock=listener) as server:
            stream = await aio.open_connection(*listener.getsockname())
            await stream.send(b"\x01a")
            await stream.flush()
            await until(lambda: not Listener.errors)
            if then == "close":
                await server.close()
            assert await stream.take(2) == b"\x01a"
            await stream.aclose()

    run(main, loop, reports=1)


def test_it_accepts_a_few_in_a_turn_then_others_have_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_ACCEPTS", 1)

    async def main() -> None:
        async with serving(echo, "tcp") as (_, connect):
            streams = [await connect() for _ in range(3)]
            for stream in streams:
                await stream.send(b"\x01a")
                assert await stream.take(2) == b"\x01a"
                await stream.aclose()

    run(main)


def test_all_that_the_system_has_accepted_is_answered_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "_ACCEPTS", 1)

    async def main() -> None:
        server = await aio.start_server(echo, "127.0.0.1", 0)
        clients = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(3)]  # not seen yet
        for client in clients:
            client.sendall(b"\x01a")
            client.shutdown(socket.SHUT_WR)
        await server.close()
        for client in clients:
            with client:
                assert client.recv(100) == b"\x01a"
                assert not client.recv(100)

    run(main)
