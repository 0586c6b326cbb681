"""examples/http_proxy: what is refused, what takes too long, and what is cut. Nothing of it reaches the other side."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from contextlib import closing
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.http_proxy.limits import Limits, Patience
from examples.http_proxy.proxy import Proxy

from .conftest import IS_QUICK
from .example_proxied import HOST, OK, Call, answer_to, answering, close, get, ok, proxied, run, until

CLOSE: Final = "Connection: close"
SOON: Final = 0.05


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12])


# -- requests that two readers could read as two things --------------------------------------------------------

POST: Final = "POST / HTTP/1.1\r\nHost: h\r\n"
SMUGGLED: Final = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

HOSTILE: Final[dict[str, tuple[str, int]]] = {
    "length and chunks": (f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}", 400),
    "chunks and length": (f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{SMUGGLED}", 400),
    "two lengths": (f"{POST}Content-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
    "two equal lengths": (f"{POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400),
    "a list of lengths": (f"{POST}Content-Length: 0, 0\r\n\r\n", 400),
    "a list of different lengths": (f"{POST}Content-Length: 0, 5\r\n\r\n", 400),
    "a signed length": (f"{POST}Content-Length: +5\r\n\r\nhello", 400),
    "a negative length": (f"{POST}Content-Length: -5\r\n\r\n", 400),
    "a length in hexadecimal": (f"{POST}Content-Length: 0x5\r\n\r\nhello", 400),
    "a length with a space": (f"{POST}Content-Length: 1 0\r\n\r\n", 400),
    "an empty length": (f"{POST}Content-Length:\r\n\r\n", 400),
    "another coding": (f"{POST}Transfer-Encoding: gzip\r\n\r\n", 400),
    "no such coding": (f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "an empty coding": (f"{POST}Transfer-Encoding:\r\n\r\n", 501),
    "chunked first": (f"{POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked in quotes": (f'{POST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "gzip, then chunked": (f"{POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "chunked, and an empty member": (f"{POST}Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 501),
    "chunks in HTTP/1.0": ("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded field": (f"{POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded first field": ("GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400),
    "a space before the colon": (f"{POST}Content-Length : 5\r\n\r\nhello", 400),
    "a tab before the colon": (f"{POST}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    "a bare LF": (f"{POST}X: y\nContent-Length: 5\r\n\r\nhello", 400),
    "bare LFs only": ("GET / HTTP/1.1\nHost: h\n\n", 400),
    "a bare LF at the end": ("GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
    "a bare LF after an empty line": (f"{POST}\n{SMUGGLED}", 400),
    "a bare CR in a value": (f"{POST}X: y\rContent-Length: 5\r\n\r\nhello", 400),
    "a bare CR in front": ("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "a bare CR in the target": ("GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "a NUL in a value": (f"{POST}X: a\0b\r\n\r\n", 400),
    "a vertical tab in front of a value": (f"{POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a field without a name": (f"{POST}: x\r\n\r\n", 400),
    "a field without a colon": (f"{POST}Content-Length\r\n\r\n", 400),
    "a name with a space": (f"{POST}X Y: z\r\n\r\n", 400),
    "no host": ("GET / HTTP/1.1\r\nX: y\r\n\r\n", 400),
    "no fields": ("GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "a bad host": ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "a list of hosts": ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "a user in the target": ("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "a relative target": ("GET index.html HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "a fragment": ("GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "two spaces": ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "a target with a space": ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "no version": ("GET /\r\nHost: h\r\n\r\n", 400),
    "another protocol": ("\x16\x03\x01\r\n\r\n", 400),
    "a method of a bad name": ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9": ("GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505),
    "a secure target": ("GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 421),
    "a tunnel": ("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501),
    "a trace": ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", 501),
    "the last hop": ("OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n", 200),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_are_refused(name: str) -> None:
    request, expected = HOSTILE[name]

    async def main() -> None:
        async with proxied(ok) as place:
            answer = await place.ask(request.encode("latin-1"))
            assert status(answer) == expected
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"\r\nConnection: close\r\n" in answer
            assert not place.calls
            assert [line.split()[2] for line in place.log] == [str(expected)]

    run(main)


CHUNKS: Final[dict[str, str]] = {
    "no size": "\r\nhello\r\n0\r\n\r\n",
    "a sign": "+5\r\nhello\r\n0\r\n\r\n",
    "a minus": "-1\r\n\r\n0\r\n\r\n",
    "0x": "0x5\r\nhello\r\n0\r\n\r\n",
    "a letter": "5g\r\nhello\r\n0\r\n\r\n",
    "a leading space": " 5\r\nhello\r\n0\r\n\r\n",
    "more than 64 bits": "10000000000000000\r\nhello\r\n0\r\n\r\n",
    "a bare LF": "5\nhello\r\n0\r\n\r\n",
    "a bare CR in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a NUL in an extension": "5;a\0b\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer": "5\r\nhello, world\r\n0\r\n\r\n",
    "a chunk that is longer by a letter": "5\r\nhello!\r\n0\r\n\r\n",
    "a chunk that is shorter": "5\r\nhell\r\n0\r\n\r\n",
    "LF behind a chunk": "5\r\nhello\n0\r\n\r\n",
    "a long line": f"5;{'a' * 5000}\r\nhello\r\n0\r\n\r\n",
    "a bad trailer": "5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
    "a folded trailer": "5\r\nhello\r\n0\r\nA: b\r\n c\r\n\r\n",
    "LF in a trailer": "5\r\nhello\r\n0\r\nA: b\n\r\n",
    "many trailers": "5\r\nhello\r\n0\r\n" + 101 * "A: b\r\n" + "\r\n",
    "long trailers": "5\r\nhello\r\n0\r\n" + 2 * f"A: {'a' * 30_000}\r\n" + "\r\n",
}
"""Bodies, as they stand behind the head."""


@pytest.mark.parametrize("name", CHUNKS)
def test_bad_chunks_are_never_finished(name: str) -> None:
    """Neither towards the server behind, where they are a request, nor towards the client."""
    body = CHUNKS[name].encode("latin-1")

    async def main() -> None:
        async def waits(call: Call) -> None:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await call.body()
            assert not call.reader.at_eof() or b"0\r\n" not in await call.reader.read()

        async with proxied(waits) as place:
            assert status(await place.ask(get("/", "Transfer-Encoding: chunked", method="POST"), body)) == 400

        head = b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"
        async with proxied(answering(head + body)) as place:
            answer = await place.ask(get())
            assert status(answer) == 200
            assert not answer.endswith(b"0\r\n\r\n")
            assert b"\r\nX" not in answer
            (line,) = place.log
            assert line.startswith("GET / 200 ")
            assert "the server behind has sent" in line
            assert (await place.ask(get("/", CLOSE))) == answer.replace(b"Via", b"Connection: close\r\nVia", 1)

    run(main)


# -- answers that are none -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"hello\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 700 What\r\n\r\n",
        b"HTTP/1.1 099 What\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n",
        b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + bytes(b"x" * 40_000) + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
    ],
    ids=range(20),
)
def test_an_answer_that_is_none_is_a_bad_gateway(answer: bytes) -> None:
    async def main() -> None:
        async with proxied(answering(answer, ends=True)) as place:
            got = await place.ask(get("/", CLOSE))
            assert status(got.replace(b"HTTP/1.1 103 Early Hints\r\nVia: 1.1 bytebufs\r\n\r\n", b"")) == 502
            assert place.proxy.upstreams.idle == 0

    run(main)


def test_a_client_keeps_its_connection_where_the_server_behind_fails() -> None:
    async def main() -> None:
        async with proxied(answering(b"hello\r\n\r\n", ends=True)) as place:
            reader, writer = await place.connect()
            answer = b""
            for version, method in (("1.1", "GET"), ("1.1", "POST"), ("1.0", "GET")):
                writer.write(get("/", "Connection: keep-alive", method=method, version=version))
                answer = await answer_to(reader)
                assert status(answer) == 502
                assert answer.endswith(b"502 Bad Gateway: the answer has no status line\n")
            assert b"\r\nConnection: keep-alive\r\n" in answer
            writer.write(get("/", CLOSE, method="HEAD"))
            assert (await reader.read()).endswith(b"\r\nConnection: close\r\n\r\n")
            await close(writer)

    run(main)


def test_no_server_behind_is_a_bad_gateway() -> None:
    async def main() -> None:
        with closing(socket.create_server((HOST, 0))) as nobody:
            address = nobody.getsockname()
        log: list[str] = []
        proxy = Proxy(address, Limits(), Patience(), log.append)
        async with await proxy.start(HOST, 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(get("/", CLOSE))
            assert (await reader.read()).endswith(b"the server behind cannot be reached: Connection refused\n")
            await close(writer)
        assert " 502 " in log[0]

    run(main)


# -- limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (get(f"/{'a' * 1200}"), 414),
        (b"a" * 1200, 414),
        (get("/", f"X: {'a' * 1200}"), 431),
        (get("/", *["X: y"] * 9), 431),
        (get("/", "Content-Length: 9", method="POST") + b"123456789", 413),
        (get("/", "Transfer-Encoding: chunked", method="POST") + b"9\r\n123456789\r\n0\r\n\r\n", 413),
        (get("/", "Transfer-Encoding: chunked", method="POST") + b"8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n", 413),
        (get("/", CLOSE, "Transfer-Encoding: chunked", method="POST") + b"8\r\n12345678\r\n0\r\n\r\n", 200),
        (get("/", CLOSE, "Content-Length: 8", method="POST") + b"12345678", 200),
        (get("/", CLOSE, *["X: y"] * 6), 200),
    ],
)
def test_limits_are_kept(request_: bytes, expected: int) -> None:
    async def main() -> None:
        async def script(call: Call) -> None:
            if call.head.startswith(b"POST"):
                await call.body()
            await call.answer(OK)

        limits = Limits(head=1000, fields=8, chunk_line=100, body=8, window=2048)
        async with proxied(script, limits) as place:
            assert status(await place.ask(request_)) == expected

    run(main)


@pytest.mark.parametrize("linger", [10.0, SOON])
def test_what_a_refused_client_still_sends_is_thrown_away_for_a_while(linger: float) -> None:
    """Closed at once, it would be told of a reset, and the answer might be lost before it is read."""

    async def main() -> None:
        async with proxied(ok, Limits(body=8), linger_time=linger) as place:
            reader, writer = await place.connect()
            writer.write(get("/", "Content-Length: 1000000", method="POST"))
            assert status(await reader.read()) == 413
            if linger == SOON:
                await until(lambda: not place.server.connections)
            else:
                for _ in range(10):
                    writer.write(bytes(100_000))
                    await writer.drain()
                assert place.server.connections == 1
            await close(writer)

    run(main)


def test_a_line_that_does_not_fit_in_the_window_is_no_limit() -> None:
    with pytest.raises(ValueError, match="4096 bytes of a line do not come through a window of 100"):
        Limits(head=100, window=100)


def test_more_clients_than_allowed_are_told() -> None:
    async def main() -> None:
        async with proxied(ok, Limits(connections=2, refused=1)) as place:
            clients = [await place.connect() for _ in range(2)]
            for reader, writer in clients:
                writer.write(get())
                await answer_to(reader)
            answer = await place.ask(get())
            assert status(answer) == 503
            assert b"\r\nRetry-After: 1\r\n" in answer
            assert "- - 503 " in place.log[-1]
            await close(clients[0][1])
            await until(lambda: place.server.connections <= 1)
            assert status(await place.ask(get("/", CLOSE))) == 200
            await close(clients[1][1])

    run(main)


# -- what takes too long ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"G", 408),
        (get()[:-2], 408),
        (get("/", "Content-Length: 2", method="POST") + b"1", 408),
        (get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhel", 408),
        (get("/", "Transfer-Encoding: chunked", method="POST") + b"5\r", 408),
        (get("/", CLOSE), 504),
        (get("/", CLOSE, "Content-Length: 2", method="POST") + b"12", 504),
        (get("/", "Content-Length: 2", "Expect: 100-continue", method="POST"), 504),
    ],
)
def test_whoever_keeps_the_other_waiting_is_named(request_: bytes, expected: int) -> None:
    async def main() -> None:
        async def silent(call: Call) -> bool:
            await call.reader.read()
            return False

        async with proxied(silent, head_time=SOON, body_time=SOON, answer_time=SOON) as place:
            assert status(await place.ask(request_)) == expected
            assert place.proxy.upstreams.idle == 0

    run(main)


def test_a_client_may_take_its_time_for_a_body_if_some_of_it_comes() -> None:
    """The time for the answer begins behind it."""

    async def main() -> None:
        async def script(call: Call) -> None:
            await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", await call.body())

        async with proxied(script, answer_time=4 * SOON) as place:  # the body takes longer
            reader, writer = await place.connect()
            writer.write(get("/", CLOSE, "Content-Length: 20", method="POST"))
            for _ in range(20):
                writer.write(b"x")
                await asyncio.sleep(SOON / 4)
            assert (await reader.read()).endswith(b"x" * 20)
            await close(writer)

    run(main)


def test_clients_that_ask_for_nothing_are_parted_with() -> None:
    async def main() -> None:
        async with proxied(ok, idle_time=SOON) as place:
            assert await place.ask() == b""
            assert await place.ask(b"\r\n") == b""
            reader, writer = await place.connect()
            writer.write(get())
            assert (await reader.read()).endswith(b"ok")
            await close(writer)
            assert len(place.log) == 1

    run(main)


def test_who_floods_with_empty_lines_is_parted_with() -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            lines = 17_000 if IS_QUICK else 100_000  # more bytes than a head may have
            answer = await place.ask(b"\r\n" * lines + get("/", CLOSE))
            assert status(answer) == 200

    run(main)


def test_a_server_behind_that_cannot_be_reached_in_time() -> None:
    """One whose queue is full: the system answers nothing then (listen(2))."""

    async def main() -> None:
        with closing(socket.create_server((HOST, 0), backlog=0)) as full:
            fillers = [socket.socket() for _ in range(8)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            log: list[str] = []
            proxy = Proxy(full.getsockname(), Limits(), Patience(connect_time=SOON), log.append)
            async with await proxy.start(HOST, 0) as server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(get("/", CLOSE))
                assert status(await reader.read()) == 504
                await close(writer)
            for filler in fillers:
                filler.close()

    run(main)


def test_who_takes_nothing_is_cut_off() -> None:
    async def main() -> None:
        async def floods(call: Call) -> None:
            await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            while True:
                await call.answer(bytes(1 << 20))

        async with proxied(floods, send_time=SOON) as place:
            sock = socket.create_connection((HOST, place.port))
            sock.sendall(get())
            await until(lambda: place.log)
            assert "the client has taken nothing for 0.05 s" in place.log[0]
            sock.close()

        async def deaf(call: Call) -> bool:
            await asyncio.get_running_loop().create_future()
            return False

        async with proxied(deaf, send_time=SOON, answer_time=SOON) as place:
            reader, writer = await place.connect()
            writer.write(get("/", "Content-Length: 100000000", method="POST") + bytes(100_000_000))
            assert status(await reader.read()) == 504
            await close(writer)

    run(main)


# -- what is cut -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
def test_an_answer_that_is_cut_is_seen_to_be(framing: str, resets: bool) -> None:
    async def main() -> None:
        async def cut(call: Call) -> bool:
            body = b"hello" if "Length" in framing else b"5\r\nhello\r\n"
            await call.answer(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode() + body)
            if resets:
                call.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            return False

        async with proxied(cut) as place:
            answer = await place.ask(get())
            assert answer.endswith((b"hello", b"hello\r\n"))
            assert "the server behind has" in place.log[0]
            assert status(await place.ask(get())) == 200  # it lives

    run(main)


@pytest.mark.parametrize(
    ("version", "framing"), [("1.1", "X: y"), ("1.0", "X: y"), ("1.0", "Transfer-Encoding: chunked")]
)
def test_an_answer_until_the_end_that_is_cut_ends_by_a_reset(version: str, framing: str) -> None:
    async def main() -> None:
        begun = asyncio.Event()

        async def cut(call: Call) -> bool:
            await call.answer(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhello\r\n".encode())
            await begun.wait()
            call.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            return False

        async with proxied(cut) as place:
            reader, writer = await place.connect()
            writer.write(get("/", version=version))
            await reader.readuntil(b"hello")
            begun.set()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            await close(writer)

    run(main)


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("resets", [False, True])
def test_a_request_that_is_cut_is_never_finished(framing: str, resets: bool) -> None:
    async def main() -> None:
        ended: list[bytes] = []

        async def script(call: Call) -> bool:
            try:
                ended.append(await call.reader.read())
            except ConnectionError:
                ended.append(b"")
            return False

        async with proxied(script) as place:
            reader, writer = await place.connect()
            body = b"hello" if "Length" in framing else b"5\r\nhello\r\n"
            writer.write(get("/", framing, method="POST") + body)
            await until(lambda: place.calls)
            if resets:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await close(writer)
            else:
                writer.write_eof()
                assert status(await reader.read()) == 400
                await close(writer)
            await until(lambda: ended and place.log)
            assert ended[0] in (b"", body)
            assert place.log[0].split()[:3] == ["POST", "/", "499" if resets else "400"]

    run(main)


def test_a_client_that_goes_in_the_middle_of_a_head() -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            reader, writer = await place.connect()
            writer.write(get()[:-2])
            writer.write_eof()
            assert status(await reader.read()) == 400
            await close(writer)
            reader, writer = await place.connect()
            writer.write(b"\r")  # of an empty line, perhaps: no request
            writer.write_eof()
            assert await reader.read() == b""
            await close(writer)
            for data in (b"", get()[:-2]):  # and by a reset
                reader, writer = await place.connect()
                writer.write(data)
                await writer.drain()
                before = len(place.log)
                await until(lambda: place.server.connections == 1)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await close(writer)
                await until(lambda: not place.server.connections)
                assert len(place.log) - before <= 1
            assert not place.calls

    run(main)


# -- anything at all -------------------------------------------------------------------------------------------

TALK: Final = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\0",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"5\r\nhel",
        b"hello",
        b"x" * 3000,
    ),
    *(
        b"GET / HTTP/1.1\r\n",
        b"HEAD / HTTP/1.0\r\n",
        b"POST /a HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"Host: h\r\n",
    ),
    *(
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\n",
    ),
    *(
        b"Upgrade: x\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\r\n",
        get(),
        get("/", "Connection: keep-alive", version="1.0"),
    ),
    *(
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 S\r\n",
        b"HTTP/1.0 204 N\r\n",
        OK,
        b"HTTP/1.",
    ),
)
"""What clients and servers say, in pieces."""


@given(st.lists(st.sampled_from(TALK), max_size=12), st.lists(st.sampled_from(TALK), max_size=8), st.booleans())
def test_whatever_both_sides_say_the_proxy_comes_to_an_end_with_them(
    said: list[bytes], answered: list[bytes], ends: bool
) -> None:
    async def main() -> None:
        limits = Limits(head=2000, chunk_line=100, window=4096, body=1000, fields=10)
        script = answering(b"".join(answered), ends=ends)
        times = ("head_time", "idle_time", "body_time", "send_time", "answer_time", "tunnel_time", "linger_time")
        async with proxied(script, limits, **dict.fromkeys(times, SOON)) as place:
            reader, writer = await place.connect()
            for piece in said:
                writer.write(piece)
                await asyncio.sleep(0)
            if ends:
                writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            await close(writer)
            await until(lambda: not place.server.connections)
            assert all(re.fullmatch(r"\S+ \S+ [1-5]\d\d \d+ \d+\.\d{3}( .*)?", line) for line in place.log)

    run(main)
