"""Connecting: by which addresses, with which arguments, and what is left if it fails: nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from bytebufs import Pool, aio
from bytebufs.aio import connecting

from .loops import LOOPS, client_context, descriptors, run, server_context, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path


async def greet(stream: aio.Stream) -> None:
    with suppress(ConnectionError):  # of a client that has been cancelled
        await stream.send(b"hello")
        await stream.receive()


async def turns(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def greeted(stream: aio.Stream) -> None:
    async with stream:
        assert await stream.take(5) == b"hello"


def unused_port() -> int:
    """Return a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("loop", LOOPS)
def test_it_connects_by_name_address_and_socket(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(greet, "tcp") as (server, _):
            host, port = server.sockets[0].getsockname()
            await greeted(await aio.open_connection(host, port))
            await greeted(await aio.open_connection("localhost", port, family=socket.AF_INET))
            sock = socket.create_connection((host, port))
            stream = await aio.open_connection(sock=sock)
            assert stream.get_extra_info("socket") is sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await greeted(stream)
            assert sock.fileno() == -1
        async with await aio.start_unix_server(greet, tmp_path / "socket"):
            await greeted(await aio.open_unix_connection(tmp_path / "socket"))
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(str(tmp_path / "socket"))
            await greeted(await aio.open_unix_connection(sock=sock))

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_it_connects_by_tls(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(greet, "tls") as (server, _):
            host, port = server.sockets[0].getsockname()
            options: dict[str, Any] = {"ssl": client_context(), "ssl_handshake_timeout": 9, "ssl_shutdown_timeout": 9}
            stream = await aio.open_connection("localhost", port, family=socket.AF_INET, **options)
            assert stream.get_extra_info("sslcontext") is options["ssl"]
            assert stream.get_extra_info("ssl_object") is not None
            assert stream.get_extra_info("peername") == (host, port)
            await greeted(stream)
            sock = socket.create_connection((host, port))
            await greeted(await aio.open_connection(sock=sock, server_hostname="localhost", **options))
        async with await aio.start_unix_server(greet, tmp_path / "socket", ssl=server_context()):
            await greeted(await aio.open_unix_connection(tmp_path / "socket", server_hostname="localhost", **options))

    run(main, loop)


def test_streams_of_a_thread_share_a_pool() -> None:
    pools = {connecting._own_pool(), connecting._own_pool()}
    thread = threading.Thread(target=lambda: pools.add(connecting._own_pool()))
    thread.start()
    thread.join()
    assert len(pools) == 2

    async def main() -> None:
        pool = Pool()
        async with serving(greet, "tcp") as (_, connect):
            await greeted(await connect(pool=pool))
            assert pool.made == 1

    run(main)


def test_marks_and_limits_are_of_the_stream() -> None:
    async def main() -> None:
        async with serving(greet, "tcp") as (_, connect):
            async with await connect(limit=1000, high=100) as stream:
                assert stream.limit == 1000
                assert stream._spare.low == 25  # a quarter
            for wrong in ({"limit": 0}, {"high": 1, "low": 2}, {"high": -4}):
                with pytest.raises(ValueError):
                    await connect(**wrong)

    run(main)


def test_arguments_are_looked_at_before_anything_is_done() -> None:
    async def main() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as datagrams, socket.socket() as sock:
            tls = client_context()
            wrong: list[tuple[str, Callable[[], Awaitable[object]]]] = [
                ("not both", lambda: aio.open_connection("localhost", 1, sock=sock)),
                ("are wanted", aio.open_connection),
                ("stream socket", lambda: aio.open_connection(sock=datagrams)),
                ("server_hostname", lambda: aio.open_connection(sock=sock, ssl=tls)),
                ("server_hostname", lambda: aio.open_connection("localhost", 1, server_hostname="x")),
                ("ssl_handshake_timeout", lambda: aio.open_connection("localhost", 1, ssl_handshake_timeout=1)),
                ("ssl_shutdown_timeout", lambda: aio.open_connection("localhost", 1, ssl_shutdown_timeout=1)),
                ("not both", lambda: aio.open_unix_connection("path", sock=sock)),
                ("is wanted", aio.open_unix_connection),
                ("stream socket", lambda: aio.open_unix_connection(sock=datagrams)),
                ("server_hostname", lambda: aio.open_unix_connection("path", ssl=tls)),
                # What TLS itself refuses. uvloop would keep the socket.
                ("idna", lambda: aio.open_connection(sock=sock, ssl=tls, server_hostname=".org")),
                ("idna", lambda: aio.open_connection(".org", 1, ssl=True)),
                ("wants a server_hostname", lambda: aio.open_connection(sock=sock, ssl=tls, server_hostname="")),
                ("wants a server_hostname", lambda: aio.open_unix_connection("path", ssl=True, server_hostname="")),
            ]
            for words, call in wrong:
                with pytest.raises(ValueError, match=words):
                    await call()
            assert sock.fileno() >= 0

    run(main)


# -- addresses ------------------------------------------------------------------------------------------------

NOWHERE: Final = ("127.0.0.1", 0)


def resolve(monkeypatch: pytest.MonkeyPatch, addresses: Sequence[tuple[int, Any]]) -> None:
    """Have the running loop find these addresses, by family, whatever it is asked for."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 0, "", where) for family, where in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("delay", [None, 0, 1000])
def test_addresses_are_tried_until_one_answers(delay: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(greet, "tcp") as (server, _):
            where = server.sockets[0].getsockname()
            closed = ("127.0.0.1", unused_port())
            resolve(monkeypatch, [(socket.AF_INET, closed), (socket.AF_INET, closed), (socket.AF_INET, where)])
            await greeted(await aio.open_connection("somewhere", 1, happy_eyeballs_delay=delay))

    run(main)


def test_the_last_error_has_notes_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        closed = ("127.0.0.1", unused_port())
        resolve(monkeypatch, [(socket.AF_INET, closed), (9999, closed), (socket.AF_INET, closed)])
        with pytest.raises(ConnectionRefusedError) as caught:
            await aio.open_connection("somewhere", 1)
        assert len(caught.value.__notes__) == 2
        assert caught.value.__notes__[0].startswith("before that: [Errno 111]")
        resolve(monkeypatch, [])
        with pytest.raises(OSError, match="'nowhere' has no address"):
            await aio.open_connection("nowhere", 1)

    run(main)


def test_the_first_that_answers_is_taken_and_the_others_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(greet, "tcp") as (server, _):
            where = server.sockets[0].getsockname()
            resolve(monkeypatch, [(socket.AF_INET, where)] * 8)
            await greeted(await aio.open_connection("somewhere", 1, happy_eyeballs_delay=0))
        loop = asyncio.get_running_loop()
        begun: list[Any] = []
        release = asyncio.Event()

        async def sock_connect(sock: socket.socket, where: Any) -> None:
            begun.append(where)
            if where != "quick":
                await release.wait()

        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        resolve(monkeypatch, [(socket.AF_INET, "slow"), (socket.AF_INET, "quick")])
        (await aio.open_connection("somewhere", 1, happy_eyeballs_delay=0)).abort()
        assert begun == ["slow", "quick"]

    run(main)


def test_several_that_answer_in_one_turn_and_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        release = asyncio.Event()
        wrong: list[object] = []

        async def sock_connect(sock: socket.socket, where: object) -> None:
            await release.wait()
            if where in wrong:
                raise KeyError(where)

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
        resolve(monkeypatch, [(socket.AF_INET, n) for n in range(6)])
        for at_fault in ([], [0, 1, 2, 3, 4, 5]):
            wrong[:] = at_fault
            release.clear()
            opening = asyncio.ensure_future(aio.open_connection("somewhere", 1, happy_eyeballs_delay=1e-9))
            await asyncio.sleep(0.01)
            release.set()
            if at_fault:
                with pytest.raises(KeyError):
                    await opening
            else:
                (await opening).abort()

    run(main)


def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        tried: list[object] = []

        async def sock_connect(sock: socket.socket, where: object) -> None:
            tried.append(where)
            raise ConnectionRefusedError

        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
        six, four = socket.AF_INET6, socket.AF_INET
        resolve(monkeypatch, [(six, "6a"), (six, "6b"), (six, "6c"), (four, "4a"), (four, "4b")])
        for options, order in (
            ({}, ["6a", "6b", "6c", "4a", "4b"]),
            ({"happy_eyeballs_delay": 1000}, ["6a", "4a", "6b", "4b", "6c"]),
            ({"interleave": 2}, ["6a", "6b", "4a", "6c", "4b"]),
            ({"happy_eyeballs_delay": 1000, "interleave": 0}, ["6a", "6b", "6c", "4a", "4b"]),
        ):
            tried.clear()
            with pytest.raises(ConnectionRefusedError):
                await aio.open_connection("somewhere", 1, **options)  # type: ignore[arg-type]
            assert tried == order

    run(main)


def test_it_connects_from_an_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(greet, "tcp") as (server, _):
            host, port = server.sockets[0].getsockname()
            stream = await aio.open_connection(host, port, local_addr=("127.0.0.2", 0))
            assert stream.get_extra_info("sockname")[0] == "127.0.0.2"
            await greeted(stream)
            with pytest.raises(OSError) as caught:
                await aio.open_connection(host, port, local_addr=("127.0.0.1", port))
            assert caught.value.errno in (98, 48)
            with pytest.raises(OSError, match="no local address is of the same family"):
                await aio.open_connection(host, port, local_addr=("::1", 0))

    run(main)


# -- what is left ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
def test_errors_leave_no_descriptor(loop: str, tmp_path: Path) -> None:
    async def main() -> None:
        before = descriptors()
        with pytest.raises(ConnectionRefusedError):
            await aio.open_connection("127.0.0.1", unused_port())
        with pytest.raises(FileNotFoundError):
            await aio.open_unix_connection(tmp_path / "nothing")
        await turns(10)
        assert descriptors() == before

        async def refuse(stream: aio.Stream) -> None:
            await stream.send(b"this is no TLS\r\n")

        async with serving(refuse, "tcp") as (server, _):
            host, port = server.sockets[0].getsockname()
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await aio.open_connection(host, port, ssl=client_context())
        async with serving(greet, "tls") as (server, _):
            host, port = server.sockets[0].getsockname()
            with pytest.raises(ssl.SSLCertVerificationError):
                await aio.open_connection(host, port, ssl=True)

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("kind", ["tcp", "unix", "tls"])
def test_cancelling_at_any_moment_leaves_nothing(kind: str, loop: str) -> None:
    async def main() -> None:
        async with serving(greet, kind) as (_, connect):
            for n in range(15):
                connecting = asyncio.ensure_future(connect())
                await turns(n)
                connecting.cancel()
                with suppress(asyncio.CancelledError):
                    (await connecting).abort()
                await turns()

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_handshake_that_never_ends_is_given_up(loop: str) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        with theirs:
            with pytest.raises((ConnectionAbortedError, TimeoutError)):
                await aio.open_unix_connection(sock=ours, ssl=context, server_hostname="", ssl_handshake_timeout=0.01)
            assert ours.fileno() == -1

    run(main, loop)
