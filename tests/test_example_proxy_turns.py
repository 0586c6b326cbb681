"""examples/http_proxy: who speaks when: Expect, answers that come early, Upgrade, and the end of the proxy."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Final

import pytest

from bytebufs import aio
from examples.http_proxy.limits import Limits
from examples.http_proxy.waiting import GONE, Failed, Side, while_it_moves

from .example_proxied import OK, Call, Place, Reader, Writer, answer_to, answering, close, get, ok, proxied, run, until

CLOSE: Final = "Connection: close"
SOON: Final = 0.05

# -- Expect ----------------------------------------------------------------------------------------------------


def test_a_client_is_told_to_go_on_by_the_server_behind() -> None:
    async def main() -> None:
        async def script(call: Call) -> None:
            assert "Expect: 100-continue" in call.lines
            await call.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await call.body() == b"hello"
            await call.answer(OK)

        async with proxied(script) as place:
            reader, writer = await place.connect()
            for _ in range(2):  # the connection stays
                writer.write(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\nVia: 1.1 bytebufs\r\n\r\n"
                writer.write(b"hello")
                assert b"Connection: close" not in await answer_to(reader)
            await close(writer)

    run(main)


def test_a_client_that_is_told_not_to_go_on_sends_no_body() -> None:
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

    async def main() -> None:
        async with proxied(answering(refusal)) as place:
            answer = await place.ask(get("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
            assert answer.startswith(b"HTTP/1.1 417 Expectation Failed\r\n")
            assert b"\r\nConnection: close\r\n" in answer  # what comes next may be the body, or a request
            assert place.proxy.upstreams.idle == 0

    run(main)


@pytest.mark.parametrize("expect", [("Expect: 100-continue",), ()])
def test_a_client_need_not_send_on_while_it_is_answered(expect: tuple[str, ...]) -> None:
    async def main() -> None:
        async def slow(call: Call) -> None:
            await call.answer(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 20\r\n\r\n")
            for _ in range(20):
                await asyncio.sleep(SOON / 4)
                await call.answer(b"x")

        async with proxied(slow, body_time=SOON) as place:
            answer = await place.ask(get("/", "Content-Length: 5", *expect, method="POST"))
            assert answer.endswith(b"x" * 20)

    run(main)


def test_the_server_behind_has_its_time_to_tell_a_client_to_go_on() -> None:
    """It is not the client who is late, although nothing of the body comes."""

    async def main() -> None:
        async def script(call: Call) -> None:
            await asyncio.sleep(4 * SOON)
            await call.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
            await call.body()
            await call.answer(OK)

        async with proxied(script, body_time=SOON) as place:
            reader, writer = await place.connect()
            writer.write(get("/", CLOSE, "Content-Length: 5", "Expect: 100-continue", method="POST"))
            await reader.readuntil(b" 100 Continue\r\nVia: 1.1 bytebufs\r\n\r\n")
            writer.write(b"hello")
            assert (await reader.read()).endswith(b"ok")
            await close(writer)

    run(main)


# -- answers before the request has ended ----------------------------------------------------------------------


@pytest.mark.parametrize("ends", [False, True])
def test_an_early_answer_arrives_though_the_body_is_not_wanted(ends: bool) -> None:
    size = 50_000_000

    async def main() -> None:
        early = answering(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", ends=ends)
        async with proxied(early) as place:
            reader, writer = await place.connect()
            writer.write(get("/", f"Content-Length: {size}", method="POST"))
            body = asyncio.ensure_future(pour(writer, size))
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
            assert answer.endswith(b"\r\n\r\nno")
            assert b"\r\nConnection: close\r\n" in answer
            body.cancel()
            await asyncio.gather(body, return_exceptions=True)
            await close(writer)

    run(main)


async def pour(writer: Writer, size: int) -> None:
    for _ in range(size // 50_000):
        writer.write(bytes(50_000))
        await writer.drain()


def test_both_ways_at_a_time() -> None:
    """A server that answers while it reads: each piece comes back before the next one is sent."""

    async def main() -> None:
        async def mirror(call: Call) -> bool:
            await call.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while (line := await call.reader.readuntil(b"\r\n")) != b"0\r\n":
                await call.answer(line + await call.reader.readexactly(int(line, 16) + 2))
            await call.answer(b"0\r\n\r\n")
            return False

        async with proxied(mirror) as place:
            reader, writer = await place.connect()
            writer.write(get("/", "Transfer-Encoding: chunked", method="POST"))
            await reader.readuntil(b"\r\n\r\n")
            for piece in (b"5\r\nhello\r\n", b"7\r\n, world\r\n", b"1\r\n!\r\n"):
                writer.write(piece)
                assert await reader.readexactly(len(piece)) == piece
            writer.write(b"0\r\n\r\n")
            assert await reader.read() == b"0\r\n\r\n"
            await close(writer)

    run(main)


def test_a_client_that_errs_while_its_answer_comes_sees_it_cut() -> None:
    async def main() -> None:
        async def begins(call: Call) -> bool:
            await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            await call.reader.read()
            return False

        async with proxied(begins) as place:
            reader, writer = await place.connect()
            writer.write(get("/", "Transfer-Encoding: chunked", method="POST"))
            await reader.readuntil(b"hello")
            writer.write(b"oops\r\n")
            assert await reader.read() == b""
            await close(writer)
            assert place.log == [line for line in place.log if " 200 5 " in line and "the client has sent" in line]

    run(main)


# -- Upgrade ---------------------------------------------------------------------------------------------------

UPGRADE: Final = ("Connection: keep-alive, Upgrade", "Upgrade: echo/1, chat")
SWITCHED: Final = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\nX: y\r\n\r\n"


async def switches(call: Call) -> bool:
    """Echo, in words of few letters, until the client ends, and say good-bye then."""
    assert call.lines[2:4] == ["Connection: upgrade", "Upgrade: echo/1, chat"]
    await call.answer(SWITCHED, b"hello ")
    while got := await call.reader.read(100):
        await call.answer(got)
    await call.answer(b" bye")
    return False


async def switched(place: Place, also: bytes = b"") -> tuple[Reader, Writer]:
    reader, writer = await place.connect()
    writer.write(get("/", *UPGRADE) + also)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head == (
        b"HTTP/1.1 101 Switching Protocols\r\nX: y\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n"
        b"Via: 1.1 bytebufs\r\n\r\n"
    )
    assert await reader.readexactly(6) == b"hello "
    return reader, writer


def test_after_101_bytes_go_both_ways_until_each_has_ended() -> None:
    async def main() -> None:
        async with proxied(switches) as place:
            reader, writer = await switched(place, b"early, ")
            assert await reader.readexactly(7) == b"early, "
            for size in (1, 100, 300_000):
                writer.write(bytes(size))
                assert await reader.readexactly(size) == bytes(size)
            writer.write_eof()
            assert await reader.read() == b" bye"
            await close(writer)
            await until(lambda: place.log)
            assert place.log[0].startswith(f"GET / 101 {6 + 7 + 300_101 + 4} ")

    run(main)


def test_the_server_behind_may_end_first() -> None:
    async def main() -> None:
        got: list[bytes] = []

        async def half(call: Call) -> bool:
            await call.answer(SWITCHED, b"hello ")
            call.writer.write_eof()
            got.append(await call.reader.read())
            return False

        async with proxied(half) as place:
            reader, writer = await switched(place)
            assert await reader.read() == b""
            writer.write(b"and more")
            writer.write_eof()
            await until(lambda: got and place.log)
            assert got == [b"and more"]
            await close(writer)

    run(main)


@pytest.mark.parametrize("way", ["client", "server"])
def test_a_tunnel_lasts_while_anything_moves(way: str) -> None:
    long = 8 * SOON  # so that a busy machine may be late

    async def main() -> None:
        async def talks(call: Call) -> bool:
            await call.answer(SWITCHED, b"hello ")
            for _ in range(6 * (way == "server")):
                await call.answer(b"x")
                await asyncio.sleep(long / 4)
            await call.reader.read()
            return False

        async with proxied(talks, tunnel_time=long) as place:
            reader, writer = await switched(place)
            for _ in range(6 * (way == "client")):
                writer.write(b"x")
                await asyncio.sleep(long / 4)
            if way == "server":
                assert await reader.readexactly(6) == b"x" * 6
            assert not place.log
            with pytest.raises(ConnectionResetError):  # it was cut, and does not look otherwise
                await reader.read()
            await until(lambda: place.log)
            assert f"has sent nothing for {long:g} s" in place.log[0]
            await close(writer)

    run(main)


@pytest.mark.parametrize("also", [("Content-Length: 0",), ()])
def test_who_does_not_switch_answers(also: tuple[str, ...]) -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            reader, writer = await place.connect()
            for _ in range(2):
                writer.write(get("/", *UPGRADE, *also))
                assert (await answer_to(reader)).endswith(b"ok")
            assert len({call.connection for call in place.calls}) == 1
            await close(writer)

    run(main)


@pytest.mark.parametrize(
    "request_",
    [
        get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
        get("/", "Connection: Upgrade", "Upgrade: websocket, H2C"),
        get("/", "Upgrade: websocket"),
        get("/", "Connection: upgrade"),
        get("/", "Connection: upgrade, keep-alive", "Upgrade: websocket", version="1.0"),
        get("/", "Connection: upgrade", "Upgrade: websocket", "Content-Length: 2", method="POST") + b"ab",
    ],
)
def test_what_may_not_be_switched_to_is_not_asked_for(request_: bytes) -> None:
    async def main() -> None:
        async def script(call: Call) -> None:
            assert not [line for line in call.lines if line.lower().startswith(("upgrade", "connection", "http2"))]
            if b"Length" in call.head:
                await call.body()
            await call.answer(OK)

        async with proxied(script) as place:
            reader, writer = await place.connect()
            writer.write(request_)
            assert (await answer_to(reader)).endswith(b"ok")
            await close(writer)

    run(main)


# -- the end ---------------------------------------------------------------------------------------------------


def test_what_has_begun_is_answered_when_the_proxy_is_closed() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def waits(call: Call) -> None:
            await gate.wait()
            await call.answer(OK)

        async with proxied(waits) as place:
            busy, half, idle = [await place.connect() for _ in range(3)]
            busy[1].write(get())
            half[1].write(get()[:-1])
            await until(lambda: place.calls and place.server.connections == 3)
            closing = asyncio.ensure_future(place.server.close(grace=30))
            await until(lambda: not place.server.is_serving())
            half[1].write(b"\n")
            assert await idle[0].read() == b""
            await until(lambda: len(place.calls) == 2)
            gate.set()
            for reader, _ in (busy, half):
                answer = await reader.read()
                assert answer.endswith(b"ok")
                assert b"\r\nConnection: close\r\n" in answer
            for _, writer in (busy, half, idle):
                await close(writer)
            await closing

    run(main)


def test_requests_that_have_come_before_the_end_are_answered_in_turn() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def waits(call: Call) -> None:
            await gate.wait()
            await call.answer(OK)

        async with proxied(waits) as place:
            reader, writer = await place.connect()
            writer.write(get("/1") + get("/2") + get("/3"))
            await until(lambda: place.calls)
            closing = asyncio.ensure_future(place.server.close(grace=30))
            await until(lambda: not place.server.is_serving())
            gate.set()
            answers = await reader.read()
            assert [answers.count(word) for word in (b"200 OK", b"Connection: close")] == [3, 1]
            await close(writer)
            await closing

    run(main)


def test_what_does_not_end_in_time_is_cut() -> None:
    async def main() -> None:
        async def never(call: Call) -> bool:
            await call.reader.read()
            return False

        async with proxied(never, Limits()) as place:
            reader, writer = await place.connect()
            writer.write(get())
            sending, upload = await place.connect()
            upload.write(get("/", "Content-Length: 5", method="POST"))
            await until(lambda: len(place.calls) == 2)
            await place.server.close(grace=SOON)
            assert await reader.read() == await sending.read() == b""
            assert sorted(re.sub(r"\d+\.\d+", "t", line) for line in place.log) == [
                "GET / - 0 t the proxy has ended",
                "POST / - 0 t the proxy has ended",
            ]
            await close(writer)
            await close(upload)

    run(main)


# -- waiting ---------------------------------------------------------------------------------------------------


def test_a_wait_goes_on_while_something_moves() -> None:
    async def main() -> None:
        calls = 0

        async def call() -> str:
            nonlocal calls
            calls += 1
            if calls == 3:
                return "done"
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        assert await while_it_moves(call, SOON / 5, lambda: calls) == "done"
        calls = 0
        with pytest.raises(TimeoutError):
            await while_it_moves(call, SOON / 5, lambda: None)
        assert calls == 1

        async def fails() -> None:
            raise TimeoutError("of the system")

        with pytest.raises(TimeoutError, match="of the system"):
            await while_it_moves(fails, 60, lambda: None)

    run(main)


def test_who_takes_little_is_waited_for_and_who_takes_nothing_is_not() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs.setblocking(False)
        async with await aio.open_unix_connection(sock=ours, close_timeout=SOON) as stream:
            side = Side(stream, "client", sends=60, takes=4 * SOON, cut=400, late=408, lost=GONE)
            putting = asyncio.ensure_future(side.put(bytes(300_000)))
            began = loop.time()
            while not putting.done():
                await loop.sock_recv(theirs, 8192)
                await asyncio.sleep(SOON / 2)
            await putting
            assert loop.time() - began > 4 * SOON
            with pytest.raises(Failed, match="taken") as caught:
                await side.put(bytes(300_000))
            assert (caught.value.status, caught.value.why) == (GONE, "the client has taken nothing for 0.2 s")
            stream.abort()
        theirs.close()

    run(main)
