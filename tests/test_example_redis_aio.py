"""examples/redis_aio.py: many tasks and one connection, to a real redis-server and to ones that misbehave."""

from __future__ import annotations

import asyncio
import random
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pytest
import trustme

from bytebufs import SliceBuffer
from bytebufs.aio import open_unix_connection
from examples import redis_aio
from examples.redis_aio import Client, connect
from examples.redis_resp import RedisError, Value, encode

from .conftest import IS_QUICK
from .sinks import PATIENCE
from .test_example_redis import Server, needs_redis, plain, push, start_redis

MIB: Final = 1 << 20
HELLO: Final = b"%0\r\n"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run a scenario within bounds, and see that it leaves no task."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await scenario
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            _, pending = await asyncio.wait(others, timeout=PATIENCE)  # of asyncio's own servers
            assert not pending, pending

    asyncio.run(bounded())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        found = start_redis(folder) or start_redis(folder)
        assert found, "redis-server does not start"
        yield found
        found.process.terminate()
        found.process.communicate(timeout=PATIENCE)


# -- a real server


@needs_redis
def test_each_task_gets_its_own_replies(server: Server) -> None:
    async def scenario() -> None:
        async def ask(client: Client, me: int) -> None:
            for number in range(12 if IS_QUICK else 50):
                text = b"%d of %d" % (number, me)
                key = b"key:%d" % me
                got = await client.call(
                    encode(b"SET", key, text), encode(b"GET", key), encode(b"NONSENSE"), encode(b"INCR", b"n:%d" % me)
                )
                assert [plain(one) for one in got[:2]] == [plain("OK"), text]
                assert isinstance(got[2], RedisError)
                assert got[3] == number + 1

        async with await connect("127.0.0.1", server.port) as client:
            await client.call(encode(b"FLUSHALL"))
            async with asyncio.TaskGroup() as group:
                for me in range(40):
                    group.create_task(ask(client, me))
            assert await client.call() == []

    run(scenario())


@needs_redis
def test_who_waits_too_long_leaves_and_others_get_what_is_theirs(server: Server) -> None:
    async def scenario() -> None:
        async with await connect("127.0.0.1", server.port) as client, await connect("127.0.0.1", server.port) as other:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await client.call(encode(b"BLPOP", b"nobody's", b"0"))
            waiting = [asyncio.create_task(client.call(encode(b"ECHO", b"%d" % me))) for me in range(10)]
            waiting[3].cancel()
            assert await other.call(encode(b"RPUSH", b"nobody's", b"late")) == [1]
            got = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(got.pop(3), asyncio.CancelledError)
            assert [plain(one[0]) for one in got if isinstance(one, list)] == [
                b"0",
                b"1",
                b"2",
                *map(b"%d".__mod__, range(4, 10)),
            ]

    run(scenario())


@needs_redis
@pytest.mark.parametrize("seed", range(5))
def test_calls_that_are_cancelled_anywhere(server: Server, seed: int) -> None:
    chance = random.Random(seed)
    left: list[int] = []

    async def ask(client: Client, me: int) -> None:
        for number in range(20):
            texts = [b"%d:%d:%d" % (me, number, each) for each in range(chance.randrange(1, 4))]
            got = await client.call(*[encode(b"ECHO", text * chance.choice([1, 1, 5000])) for text in texts])
            for one, text in zip(got, texts, strict=True):
                assert isinstance(one, SliceBuffer)
                assert one.startswith(text)
                assert len(one) % len(text) == 0

    async def scenario() -> None:
        async with await connect("127.0.0.1", server.port) as client:
            tasks = [asyncio.create_task(ask(client, me)) for me in range(30)]
            for _ in range(60):
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                if chance.random() < 0.5:
                    chance.choice(tasks).cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, asyncio.CancelledError):
                    left.append(1)
                elif result is not None:
                    raise result
            assert [plain(one) for one in await client.call(encode(b"ECHO", b"in the end"))] == [b"in the end"]

    run(scenario())
    assert left


@needs_redis
def test_what_was_sent_is_done_whoever_waits_for_it(server: Server) -> None:
    async def scenario() -> None:
        async with await connect("127.0.0.1", server.port) as client:
            task = asyncio.create_task(client.call(encode(b"SET", b"cancelled", b"but set")))
            await asyncio.sleep(0)
            task.cancel()
            [value] = await client.call(encode(b"GET", b"cancelled"))
            assert value == b"but set"
            assert task.cancelled()

    run(scenario())


@needs_redis
def test_subscriptions_between_calls_of_other_tasks(server: Server) -> None:
    async def scenario() -> None:
        async with await connect("127.0.0.1", server.port) as client, await connect("127.0.0.1", server.port) as other:
            news = asyncio.create_task(client.call(encode(b"SUBSCRIBE", b"news", b"more")))
            echo = asyncio.create_task(client.call(encode(b"ECHO", b"x")))
            assert [plain(one) for one in await news] == [plain_push(b"subscribe", b"more", 2)]
            assert [plain(one) for one in await echo] == [b"x"]
            for channel in (b"news", b"more"):
                assert plain(await client.next_push()) == plain_push(b"subscribe", channel, 1 + (channel == b"more"))
            nothing = asyncio.create_task(client.next_push())
            await asyncio.sleep(0)
            nothing.cancel()
            for number in range(3):
                assert await other.call(encode(b"PUBLISH", b"news", b"%d" % number)) == [1]
            for number in range(3):
                assert plain(await client.next_push()) == plain_push(b"message", b"news", b"%d" % number)
            [last] = await client.call(encode(b"UNSUBSCRIBE"))
            assert last in client.pushes
            assert len(client.pushes) == 2

    run(scenario())


def plain_push(*items: bytes | int) -> object:
    return ">", [item if isinstance(item, bytes) else plain(item) for item in items]


@needs_redis
def test_a_big_string_over_a_unix_socket(server: Server) -> None:
    content = random.Random(1).randbytes(MIB) * 16

    async def scenario() -> None:
        stream = await open_unix_connection(server.path, limit=20 * MIB)
        async with await Client.begin(stream) as client:
            got = await asyncio.gather(
                client.call(encode(b"SET", b"big", content)),
                client.call(encode(b"GET", b"big")),
                client.call(encode(b"DEBUG", b"PROTOCOL", b"attrib")),
            )
            assert [plain(one) for one in got[1]] == [content]
            [(attribute, value)] = got[2].attributes
            assert attribute.kind == "|"
            assert value == got[2][0]
            assert got[0].attributes == []

    run(scenario())


@needs_redis
def test_the_server_dies() -> None:
    async def scenario(server: Server) -> None:
        client = await connect("127.0.0.1", server.port)
        waiting = [asyncio.create_task(client.call(encode(b"BLPOP", b"k", b"0"), encode(b"PING"))) for _ in range(5)]
        waiting.append(asyncio.create_task(client.next_push()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with server.client() as other:
            other.call(encode(b"PING"))
        server.process.kill()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(result, ConnectionError), result
        for attempt in (client.call(encode(b"PING")), client.next_push()):
            with pytest.raises(ConnectionError, match="this client is broken, make another one: "):
                await attempt
        await client.aclose()
        await client.aclose()
        server.process.communicate(timeout=PATIENCE)
        with pytest.raises(OSError, match="Connect call failed"):
            await connect("127.0.0.1", server.port)

    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        found = start_redis(folder) or start_redis(folder)
        assert found, "redis-server does not start"
        run(scenario(found))


# -- servers that misbehave

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def playing(part: Peer, **options: Any) -> AsyncIterator[int]:
    """Have a server that greets, and then plays its part with each client."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"HELLO\r\n$1\r\n3\r\n")
            await part(reader, writer)
            await reader.read()
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, **options) as server:
        yield server.sockets[0].getsockname()[1]


def saying(*words: bytes) -> Peer:
    """Greet, and say something after each command."""

    async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        for word in words:
            await reader.readuntil(b"PING\r\n")
            writer.write(word)

    return part


PING: Final = encode(b"PING")


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (b"?\r\n", r"what came could not be read: FrameError\("),
        (b"+ok\r\n+more\r\n", "the server sent a reply that nobody had asked for: more"),
        (b"*3000000000\r\n", r"what came could not be read: LimitExceeded\("),
        (push(b"a", 1) * 11, "more than 10 pushes were not taken"),
    ],
)
def test_what_breaks_a_client(word: bytes, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_aio, "MOST_PUSHES", 10)

    async def scenario() -> None:
        async with playing(saying(word)) as port, await connect("127.0.0.1", port) as client:
            with suppress(ConnectionError):
                assert await client.call(PING) == ["ok"]
            with pytest.raises(ConnectionError, match=why):
                await until_none_comes(client)
            with pytest.raises(ConnectionError, match=why):
                await client.call(PING)

    run(scenario())


async def until_none_comes(client: Client) -> None:
    while True:
        await client.next_push()


def test_a_server_that_hangs_up() -> None:
    async def scenario() -> None:
        async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(HELLO)
            await reader.readuntil(b"PING\r\n")
            writer.write(b"+one\r\n+tw")
            writer.write_eof()

        async with playing(part) as port, await connect("127.0.0.1", port) as client:
            with pytest.raises(ConnectionError, match="the server has hung up with 1 replies due"):
                await client.call(PING, PING)

    run(scenario())


def test_a_server_that_speaks_no_resp3() -> None:
    async def scenario() -> None:
        async def part(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"-ERR unknown command 'HELLO'\r\n")

        async with playing(part) as port:
            with pytest.raises(RedisError, match="unknown command"):
                await connect("127.0.0.1", port)

    run(scenario())


def test_a_call_that_waits_to_send_may_leave_and_is_not_sent() -> None:
    big = bytes(16 * MIB)
    heard: list[int] = []

    async def scenario() -> None:
        reads = asyncio.Event()

        async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(HELLO)
            await reads.wait()
            while not heard or heard[-1]:
                data = await reader.read(MIB)
                heard.append(len(data) if b"PING" not in data else 0)
                assert b"ECHO" not in data
            writer.write(b"+big\r\n+pong\r\n")

        async with playing(part) as port, await connect("127.0.0.1", port) as client:
            first = asyncio.create_task(client.call(encode(b"SET", b"k", big)))
            await asyncio.sleep(0)
            second = asyncio.create_task(client.call(encode(b"ECHO", b"never")))
            third = asyncio.create_task(client.call(PING))
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.sleep(0)
            reads.set()
            assert [await first, await third] == [["big"], ["pong"]]
            assert second.cancelled()

    run(scenario())
    assert sum(heard) > len(big) - MIB


@pytest.mark.parametrize("big", [False, True])
def test_a_reset_while_something_is_sent(*, big: bool) -> None:
    async def scenario() -> None:
        async def part(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(HELLO)
            await writer.drain()
            await go.wait()
            writer.transport.abort()

        go = asyncio.Event()
        async with playing(part) as port, await connect("127.0.0.1", port) as client:
            waiting = asyncio.create_task(client.call(encode(b"SET", b"k", bytes(16 * MIB if big else 1))))
            await asyncio.sleep(0)
            go.set()
            with pytest.raises(ConnectionError, match="this client is broken"):
                await waiting
            with pytest.raises(ConnectionError, match="this client is broken"):
                await client.call(PING)

    run(scenario())


def test_closing_ends_calls_and_sends_what_was_given() -> None:
    heard: list[bytes] = []

    async def scenario() -> None:
        async def part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(HELLO)
            heard.append(await reader.read())

        async with playing(part) as port:
            client = await connect("127.0.0.1", port)
            waiting = asyncio.create_task(client.call(PING))
            await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(ConnectionError, match="it was closed"):
                await waiting
            with pytest.raises(ConnectionError, match="it was closed"):
                await client.next_push()
            with pytest.raises(RuntimeError, match="of the user"):
                async with await connect("127.0.0.1", port):
                    raise RuntimeError("of the user")

    run(scenario())
    assert heard[0] == bytes(PING)


@pytest.mark.parametrize("command", [encode(b"MONITOR"), encode(b"CLIENT", b"REPLY", b"OFF"), encode()])
def test_what_replies_cannot_be_told_apart_after_is_not_sent(command: Any) -> None:
    async def scenario() -> None:
        async with playing(saying(b"+pong\r\n")) as port, await connect("127.0.0.1", port) as client:
            with pytest.raises(ValueError, match=r"replies could not|a command is"):
                await client.call(PING, command)
            assert await client.call(PING) == ["pong"]

    run(scenario())


def test_tls() -> None:
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)

    async def scenario() -> None:
        serving = playing(saying(b"+pong\r\n"), ssl=theirs)
        async with serving as port, await connect("localhost", port, ssl=ours) as client:
            got: list[Value] = await client.call(PING)
            assert got == ["pong"]

    run(scenario())
