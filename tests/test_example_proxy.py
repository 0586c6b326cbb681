"""examples/http_proxy: what goes through, what is kept alive, what is repeated, and what ends when."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import copy_audit
from examples.http_proxy.limits import Limits

from .example_proxied import OK, Call, Script, answer_to, answering, close, get, ok, proxied, run, until

KIB: Final = 1 << 10
MIB: Final = 1 << 20
CLOSE: Final = "Connection: close"
VIA: Final = "Via: 1.1 bytebufs"


def dated(data: bytes) -> bytes:
    """Return an answer without the date that the proxy gives it."""
    return re.sub(rb"\r\nDate: [A-Z][^\r]*", b"", data)


# -- heads and bodies ------------------------------------------------------------------------------------------


def test_a_request_is_rewritten_for_the_server_behind() -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            request = get("/a?b", "X-Forwarded-For: 192.0.2.1", "Keep-Alive: 5", "Connection: close, X-Hop", "X-Hop: 1")
            assert (await place.ask(request)).startswith(b"HTTP/1.1 200 OK\r\n")
            assert place.calls[0].lines == [
                "GET /a?b HTTP/1.1",
                "Host: h",
                "X-Forwarded-For: 192.0.2.1, 127.0.0.1",
                'Forwarded: for=127.0.0.1;host="h";proto=http',
                VIA,
            ]
            assert re.fullmatch(r"GET /a\?b 200 2 \d+\.\d{3}", place.log[0])

    run(main)


@pytest.mark.parametrize(
    ("request_", "answer", "expected"),
    [
        pytest.param(
            get("/", CLOSE),
            b"HTTP/1.1 200 Fine, thank you\r\nDate: now\r\nKeep-Alive: 5\r\nX: y\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 200 Fine, thank you\r\nDate: now\r\nX: y\r\nContent-Length: 5\r\nConnection: close\r\n"
            b"Via: 1.1 bytebufs\r\n\r\nhello",
            id="counted",
        ),
        pytest.param(
            get("/", CLOSE),
            b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b"3;ext=1\r\nhel\r\n002\r\nlo\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\nKeep-Alive: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\nVia: 1.1 bytebufs\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 7\r\n\r\n",
            id="chunked",
        ),
        pytest.param(
            get("/", version="1.0"),
            b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nhel\r\n2\r\nlo\r\n0\r\nX: 7\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\nhello",
            id="chunked for HTTP/1.0",
        ),
        pytest.param(
            get("/"),
            b"HTTP/1.0 200 OK\r\nDate: now\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\nVia: 1.0 bytebufs\r\n\r\nhello",
            id="until close",
        ),
        pytest.param(
            get("/", CLOSE, method="HEAD"),
            b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\n",
            id="HEAD",
        ),
        pytest.param(
            get("/", CLOSE, method="HEAD"),
            b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate: now\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\n",
            id="HEAD of chunks",
        ),
        pytest.param(
            get("/", CLOSE),
            b"HTTP/1.1 204 No Content\r\nDate: now\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\nDate: now\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\n",
            id="204",
        ),
        pytest.param(
            get("/", CLOSE),
            b"HTTP/1.1 304 Not Modified\r\nDate: now\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\nDate: now\r\nContent-Length: 5\r\n"
            b"Connection: close\r\nVia: 1.1 bytebufs\r\n\r\n",
            id="304",
        ),
        pytest.param(
            get("/", CLOSE),
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 9\r\n\r\n" + OK,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nVia: 1.1 bytebufs\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\nok",
            id="103",
        ),
        pytest.param(
            get("/", "Connection: Keep-Alive, close", version="1.0"),
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
            b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 2\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\nok",
            id="103 for HTTP/1.0",
        ),
        pytest.param(
            get("/", CLOSE),
            b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200\r\nContent-Length: 0\r\nConnection: close\r\nVia: 1.1 bytebufs\r\n\r\n",
            id="no date, no reason",
        ),
    ],
)
def test_answers_arrive_in_the_form_that_the_client_knows(request_: bytes, answer: bytes, expected: bytes) -> None:
    async def main() -> None:
        async with proxied(answering(answer, ends=b"1.0 200" in answer)) as place:
            assert dated(await place.ask(request_)) == expected
        async with proxied(in_bytes(answer)) as place:  # and however it is cut
            assert joined(dated(await place.ask(request_))) == joined(expected)

    run(main)


def in_bytes(answer: bytes) -> Script:
    async def script(call: Call) -> bool:
        for at in range(len(answer)):
            await call.answer(answer[at : at + 1])
            await asyncio.sleep(0)
        return b"1.0 200" not in answer

    return script


def joined(answer: bytes) -> bytes:
    """Return an answer without its chunks: they may be cut anywhere."""
    head, _, body = answer.rpartition(b"\r\n\r\n" if b"chunked" not in answer else b"bytebufs\r\n\r\n")
    return head + b"|" + re.sub(rb"[0-9a-f]+\r\n([^\r]*)\r\n", rb"\1", body)


@pytest.mark.parametrize("size", [0, 1, 100, 64 * KIB, 300_001, 2 * MIB])
def test_bodies_of_requests_arrive_whole(size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]

    async def echo(call: Call) -> None:
        body = await call.body()
        await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)

    async def main() -> None:
        async with proxied(echo) as place:
            counted = get("/", f"Content-Length: {size}", CLOSE, method="POST")
            assert (await place.ask(counted, content)).partition(b"\r\n\r\n")[2] == content
            chunked = get("/", "Transfer-Encoding: chunked", CLOSE, method="POST")
            chunks = [b"%X;a=b\r\n%b\r\n" % (len(part), part) for part in (content[:7], content[7:]) if part]
            got = await place.ask(chunked, *chunks, b"0\r\nX-Sum: 5\r\n\r\n")
            assert got.partition(b"\r\n\r\n")[2] == content + b"|X-Sum: 5"
            assert "Transfer-Encoding: chunked" in place.calls[1].lines

    run(main)


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=400), st.sampled_from(["", ";a", ' ;a="b"'])), max_size=6),
    st.lists(st.integers(1, 300), min_size=1, max_size=12),
)
def test_chunks_arrive_whole_however_they_are_cut(chunks: list[tuple[bytes, str]], sizes: list[int]) -> None:
    """On the way there, by the cuts of the client, and back, by others."""
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(data), extension.encode(), data) for data, extension in chunks)
    body += b"0\r\nX: y\r\n\r\n"
    whole = b"".join(data for data, _ in chunks)

    async def echo(call: Call) -> None:
        assert await call.body() == whole + b"|X: y"
        await call.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *cut(body, sizes[::-1]))

    async def main() -> None:
        async with proxied(echo, Limits(head=500, chunk_line=100, window=512, high=600, low=100)) as place:
            reader, writer = await place.connect()
            for _ in range(2):
                for piece in cut(get("/", "Transfer-Encoding: chunked", method="PUT") + body, sizes):
                    writer.write(piece)
                    await asyncio.sleep(0)
                head = await reader.readuntil(b"\r\n\r\n")
                assert b"Connection: close" not in head
                assert await Call(head, reader, writer, 0).body() == whole + b"|X: y"
            await close(writer)

    run(main)


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def test_bodies_are_not_copied() -> None:
    size = 4 * MIB

    async def echo(call: Call) -> None:
        await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, await call.body())

    async def main() -> None:
        async with proxied(echo) as place:
            for framing in (f"Content-Length: {size}", "Transfer-Encoding: chunked"):
                body = bytes(size) if "Length" in framing else b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size))
                assert len(await place.ask(get("/", framing, CLOSE, method="PUT"), body)) > size

    with copy_audit() as audit:
        run(main)
    # Heads as text, and the lines between chunks: these are joined where many of them wait.
    assert audit.nbytes < 4096
    assert {"decode"} <= audit.by_reason.keys() <= {"decode", "coalesce"}


# -- connections -----------------------------------------------------------------------------------------------


def test_both_connections_are_kept() -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            reader, writer = await place.connect()
            for count in range(1, 4):
                writer.write(get(f"/{count}"))
                assert (await answer_to(reader)).endswith(b"\r\nVia: 1.1 bytebufs\r\n\r\nok")
                assert place.calls[-1].lines[0] == f"GET /{count} HTTP/1.1"
            writer.write(b"\r\n" + get("/4") + get("/5") + get("/6", CLOSE))
            rest = await reader.read()
            assert [rest.count(word) for word in (b"200 OK", b"Connection: close")] == [3, 1]
            assert [call.connection for call in place.calls] == [1] * 6
            assert place.proxy.upstreams.idle == 1
            await close(writer)

    run(main)


def test_an_old_client_keeps_its_connection_if_it_asks() -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            reader, writer = await place.connect()
            writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n")
            assert b"\r\nConnection: keep-alive\r\n" in await answer_to(reader)
            assert place.calls[0].lines[1] == f"Host: {place.proxy.upstreams.name}"
            assert not any(line.startswith("Expect") for line in place.calls[0].lines)
            writer.write(get("/", version="1.0"))
            assert b"\r\nConnection: close\r\n" in await reader.read()
            await close(writer)

    run(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than that",
    ],
)
def test_a_connection_that_ends_is_not_used_again(answer: bytes) -> None:
    async def main() -> None:
        async with proxied(answering(answer)) as place:
            reader, writer = await place.connect()
            for _ in range(2):
                writer.write(get())
                assert (await answer_to(reader)).endswith(b"ok")
            assert [call.connection for call in place.calls] == [1, 2]
            await close(writer)

    run(main)


def test_connections_that_wait_are_few_and_end() -> None:
    """Those that are too many, those that the server behind has ended, and those that have waited for long enough."""

    async def main() -> None:
        gate = asyncio.Event()

        async def together(call: Call) -> None:
            if sum(one.lines[0] == "GET /gate HTTP/1.1" for one in place.calls) == 4:
                gate.set()
            if call.lines[0] == "GET /gate HTTP/1.1":
                await gate.wait()
            await call.answer(OK)

        async with proxied(together, Limits(idle=2), reuse_time=0.05) as place:
            await asyncio.gather(*(place.ask(get("/gate", CLOSE)) for _ in range(4)))
            assert len({call.connection for call in place.calls}) == 4
            assert place.proxy.upstreams.idle <= 2
            await until(lambda: not place.proxy.upstreams.idle)
            await place.ask(get("/", CLOSE))
            assert place.calls[-1].connection == 5

    run(main)


def test_what_the_server_behind_has_ended_is_not_taken() -> None:
    async def main() -> None:
        async def once(call: Call) -> bool:
            await call.answer(OK)
            return call.connection != 1

        async with proxied(once) as place:
            await place.ask(get("/", CLOSE))
            (waiting,) = place.proxy.upstreams._idle
            await until(lambda: waiting.state != "open")
            assert (await place.ask(get("/", CLOSE))).endswith(b"ok")
            assert [call.connection for call in place.calls] == [1, 2]

    run(main)


def test_what_nobody_has_asked_for_answers_nobody() -> None:
    """An answer too many, which comes while the connection waits, is not that to the next request."""

    async def main() -> None:
        async with proxied(ok) as place:
            await place.ask(get("/", CLOSE))
            (waiting,) = place.proxy.upstreams._idle
            await place.calls[0].answer(OK.replace(b"ok", b"no"))
            await until(lambda: waiting.buffer)
            assert (await place.ask(get("/", CLOSE))).endswith(b"ok")
            assert [call.connection for call in place.calls] == [1, 2]

    run(main)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_a_request_on_an_old_connection_is_repeated_once(method: str) -> None:
    async def main() -> None:
        first = set[int]()

        async def dies(call: Call) -> bool:
            if call.connection in first:
                return False  # the second one by this connection
            first.add(call.connection)
            await call.answer(OK if method != "HEAD" else OK[:-2])
            return True

        async with proxied(dies) as place:
            await place.ask(get("/", CLOSE, method=method))
            assert b" 200 OK\r\n" in await place.ask(get("/", CLOSE, method=method))
            assert [call.connection for call in place.calls] == [1, 1, 2]

    run(main)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (get("/", CLOSE, "Content-Length: 0", method="POST"), b""),
        (get("/", CLOSE, method="PATCH"), b""),
        (get("/", CLOSE, "Content-Length: 2", method="PUT"), b"ab"),
    ],
)
def test_a_request_that_may_not_be_repeated_gets_a_new_connection(head: bytes, body: bytes) -> None:
    async def main() -> None:
        async with proxied(ok) as place:
            await place.ask(get("/", CLOSE))
            assert place.proxy.upstreams.idle == 1
            assert (await place.ask(head, body)).endswith(b"ok")
            assert [call.connection for call in place.calls] == [1, 2]

        async def nothing(call: Call) -> bool:
            return False

        async with proxied(nothing) as place:
            assert (await place.ask(head, body)).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
            assert len(place.calls) == 1

    run(main)


def test_nothing_is_repeated_of_which_an_answer_has_come() -> None:
    async def main() -> None:
        async def cut(call: Call) -> bool:
            if len(place.calls) == 1:
                await call.answer(OK)
                return True
            await call.answer(b"HTTP/1.1 103 Early Hints\r\n\r\n" if len(place.calls) == 2 else b"HTTP/1.1 2")
            return False

        async with proxied(cut) as place:
            await place.ask(get("/", CLOSE))
            assert b"\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n" in await place.ask(get("/", CLOSE))
            assert (await place.ask(get("/", CLOSE))).startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
            assert len(place.calls) == 3

    run(main)
