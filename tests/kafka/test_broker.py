"""The broker itself: how records pass it, by which calls of the system, and what hostile clients can do to it."""

from __future__ import annotations

import asyncio
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from bytebufs import CompositeBuffer, CopyAudit, LengthPrefixed, aio, copy_audit
from examples.kafka.broker import HANDLERS, Broker
from examples.kafka.client import Client
from examples.kafka.errors import Error
from examples.kafka.fields import Message, encode, parse
from examples.kafka.limits import ConnectionLimits
from examples.kafka.messages import API_VERSIONS, FETCH, LIST_OFFSETS, METADATA, PRODUCE
from examples.kafka.records import Record
from examples.kafka.records import encode as encode_records
from examples.kafka.settings import LogSettings
from examples.kafka.store import Store
from tests.conftest import IS_QUICK, do_without
from tests.kafka.running import RunningBroker

PATIENCE: Final = 120
MUTATIONS: Final = 1_000 if IS_QUICK else 20_000
FLOOD: Final = 48 if IS_QUICK else 100
"""Connections that send 8 MiB each of a request that is longer."""
IDLE: Final = 100 if IS_QUICK else 1_000
BIG: Final = Record(0, 1_700_000_000_000, b"key", bytes(range(256)) * 3900, [("name", b"value")])
"""Nearly as large as a record may be."""

Address = tuple[str, int]


@asynccontextmanager
async def serving(data: Path, limits: ConnectionLimits | None = None) -> AsyncIterator[tuple[Broker, list[CopyAudit]]]:
    """Serve in this process; whatever goes wrong unseen is raised at the end. Each connection has an audit."""
    wrong: list[dict[str, Any]] = []
    audits: list[CopyAudit] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    broker = Broker(Store(data, LogSettings(segment_bytes=64 << 20)), limits)

    async def audited(stream: aio.Stream) -> None:
        with copy_audit() as audit:
            audits.append(audit)
            await broker.serve(stream)

    async with asyncio.timeout(PATIENCE * 5):
        try:
            async with await aio.start_server(audited, "127.0.0.1", 0, backlog=1024) as server:
                broker.address = server.sockets[0].getsockname()[:2]
                yield broker, audits
                await server.close(grace=0)
        finally:
            await broker.aclose()
    assert wrong == []


@asynccontextmanager
async def client_of(broker: Broker) -> AsyncIterator[Client]:
    async with await aio.open_connection(*broker.address) as stream:
        yield Client(stream)


async def until(is_so: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0)


async def is_served(broker: Broker) -> None:
    """Somebody who does nothing wrong writes and reads."""
    async with asyncio.timeout(PATIENCE), client_of(broker) as client:
        assert await client.partitions("good") == 1
        offset = await client.produce("good", 0, [Record(0, 1, b"k", b"v")])
        records = client.records("good", 0, offset)
        assert (await anext(records)).offset == offset


def run(data: Path, what: Callable[[Broker], Awaitable[None]], limits: ConnectionLimits | None = None) -> None:
    """Do something with a broker, and see that others are served afterwards."""

    async def main() -> None:
        async with serving(data, limits) as (broker, _):
            await what(broker)
            await is_served(broker)

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------------ copies


def test_no_byte_of_a_record_is_copied(tmp_path: Path) -> None:
    async def main() -> list[CopyAudit]:
        async with serving(tmp_path) as (broker, audits), client_of(broker) as client:
            assert await client.partitions("topic") == 1
            assert [await client.produce("topic", 0, [BIG]) for _ in range(5)] == list(range(5))
            records = client.records("topic", 0, 0)
            for number in range(5):
                record = await anext(records)
                assert (record.offset, record.key) == (number, BIG.key)
                assert record.value == BIG.value
            await records.aclose()  # type: ignore[attr-defined]
        return audits

    [audit] = asyncio.run(main())
    assert audit.hidden == 0, audit
    assert audit.nbytes < 500, audit  # names of topics and clients


@pytest.mark.needs("strace")
def test_a_produce_is_one_gathering_write_and_a_fetch_sendfile(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    trial = subprocess.run(["strace", "-o", log, "true"], check=False, capture_output=True, timeout=PATIENCE)
    if trial.returncode and b"ptrace" in trial.stderr:
        do_without("this machine forbids tracing")
    serve = [sys.executable, "-m", "examples.kafka", "serve", "--data", str(tmp_path / "data"), "--listen", "0"]
    process = subprocess.Popen(
        [str(shutil.which("strace")), "-D", "-f", "-y", "-o", log, *serve], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        host, _, port = process.stdout.readline().removeprefix("listening on ").strip().rpartition(":")
        asyncio.run(_write_and_read(host, int(port)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    while "+++ exited with 0 +++" not in log.read_text(errors="replace").splitlines()[-1]:
        pass  # the tracer ends a little later
    lines = [line.split(maxsplit=1)[1] for line in log.read_text(errors="replace").splitlines()]
    about = [line for line in lines if re.search(r"\d{20}\.log>", line)]
    calls = [line.partition("(")[0] for line in about]
    assert calls.count("writev") + calls.count("pwritev") == 3, about
    # That it may be read is found out by reading nothing; headers of batches are looked at in a map.
    reads = [line for line in about if re.match(r"p?read|write\(|pwrite64", line) and not line.endswith(', "", 0) = 0')]
    assert reads == []
    sent = [int(line.rpartition(" = ")[2]) for line in about if re.match(r"sendfile\(.* = \d+$", line)]
    assert sum(sent) == 3 * len(encode_records([BIG]))


async def _write_and_read(host: str, port: int) -> None:
    async with asyncio.timeout(PATIENCE), await aio.open_connection(host, port) as stream:
        client = Client(stream)
        await client.partitions("topic")
        for _ in range(3):
            await client.produce("topic", 0, [BIG])
        limits = {"replica_id": -1, "max_wait_ms": 0, "min_bytes": 1, "max_bytes": 50 << 20}
        asked = {"index": 0, "fetch_offset": 0, "partition_max_bytes": 50 << 20}
        answer = await client.ask(FETCH, limits | {"topics": [{"name": "topic", "partitions": [asked]}]})
        assert len(answer["topics"][0]["partitions"][0]["records"]) == 3 * len(encode_records([BIG]))


# ----------------------------------------------------------------------------------------------------------- hostile


def framed(message: bytes) -> bytes:
    return struct.pack(">i", len(message)) + message


def corpus() -> list[tuple[int, int, bytes]]:
    """A request of each kind in each version, with its key and version; some say more than what is the default."""
    records = encode_records([Record(0, 1, b"k", b"v" * 100, [("h", b"x")])] * 3)
    topic = {"name": "good", "partitions": [{"index": 0, "records": records, "fetch_offset": 0, "timestamp": 5}]}
    said: dict[int, Message] = {
        PRODUCE.key: {"acks": -1, "topics": [topic]},
        FETCH.key: {"topics": [topic], "max_bytes": 1 << 20},
        LIST_OFFSETS.key: {"topics": [topic]},
        METADATA.key: {"topics": [{"name": "good"}]},
    }
    found = []
    for key, (api, _) in HANDLERS.items():
        for version in range(api.oldest, api.newest + 1):
            parts = encode(api.request, version, said.get(key, {}))
            front = struct.pack(">hhih", key, version, 7, 2) + b"me" + b"\0" * (version >= api.request.flexible)
            message = CompositeBuffer(parts).tobytes()
            found.append((key, version, front + message))
    return found


def test_each_version_that_is_offered_is_answered_in_it(tmp_path: Path) -> None:
    async def ask_all(broker: Broker) -> None:
        async with await aio.open_connection(*broker.address) as stream:
            answers = stream.frames(LengthPrefixed(4, limit=1 << 20))
            for key, version, request in corpus():
                await stream.send(framed(request))
                answer = await anext(answers)
                api, reader = HANDLERS[key][0], answer.reader()
                assert reader.i32_be() == 7
                if version >= api.answer.flexible and api is not API_VERSIONS:
                    assert reader.u8() == 0
                parse(api.answer, version, reader)
                assert reader.at_end, (key, version)

    run(tmp_path, ask_all)


def mutated(request: bytes, chance: random.Random) -> bytes:
    """Change a request in one to four places: bytes, lengths, its end."""
    out = bytearray(request)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(out)) if out else 0
        match chance.randrange(5):
            case 0:
                out[at : at + 1] = chance.randbytes(1)
            case 1:
                out[at : at + 4] = chance.choice([b"\x80\0\0\0", b"\x7f\xff\xff\xff", b"\xff" * 4, b"\0" * 4])
            case 2:
                del out[at:]
            case 3:
                out[at:at] = out[at : at + chance.randint(1, 40)]
            case _:
                out[at:at] = chance.randbytes(chance.randint(1, 9))
    return bytes(out)


async def talk(broker: Broker, said: bytes) -> None:
    """Say something and go, once it is answered or after a moment."""
    reader, writer = await asyncio.open_connection(*broker.address)
    with suppress(ConnectionError, TimeoutError):
        writer.write(said)
        async with asyncio.timeout(0.05):
            await reader.read(1 << 16)
    writer.transport.abort()


async def talk_all(broker: Broker, sayings: list[bytes]) -> None:
    waiting = iter(sayings)

    async def some() -> None:
        for said in waiting:
            await talk(broker, said)

    async with asyncio.TaskGroup() as group:
        for _ in range(32):
            group.create_task(some())


def test_mutated_requests_harm_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(20_000)
    requests = [request for _, _, request in corpus()]
    sayings = [framed(mutated(chance.choice(requests), chance)) for _ in range(MUTATIONS)]
    run(tmp_path, lambda broker: talk_all(broker, sayings))
    assert "kafka: " in capsys.readouterr().err  # it says why it closes a connection


def test_random_bytes_harm_nobody(tmp_path: Path) -> None:
    chance = random.Random(14)
    run(tmp_path, lambda broker: talk_all(broker, [chance.randbytes(chance.randint(1, 500)) for _ in range(200)]))


async def closes(broker: Broker, said: bytes) -> None:
    """Say something, after which the broker has to close the connection without an answer."""
    reader, writer = await asyncio.open_connection(*broker.address)
    writer.write(said)
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("length", [-1, 0, -(1 << 31), (1 << 31) - 1, (16 << 20) + 1])
def test_a_length_that_may_not_be_ends_the_connection(tmp_path: Path, length: int) -> None:
    run(tmp_path, lambda broker: closes(broker, struct.pack(">i", length) + b"x" * 100))


@pytest.mark.parametrize(
    "head",
    [struct.pack(">hhih", 999, 0, 1, -1), struct.pack(">hhih", PRODUCE.key, 2, 1, -1), b"\0"],
    ids=["no such API", "no such version", "no head"],
)
def test_what_is_not_offered_ends_the_connection(tmp_path: Path, head: bytes) -> None:
    run(tmp_path, lambda broker: closes(broker, framed(head)))


def test_an_unknown_version_of_api_versions_has_an_answer_in_version_0(tmp_path: Path) -> None:
    async def ask(broker: Broker) -> None:
        reader, writer = await asyncio.open_connection(*broker.address)
        writer.write(framed(struct.pack(">hhih", API_VERSIONS.key, 99, 5, -1) + b"whatever"))
        length = struct.unpack(">i", await reader.readexactly(4))[0]
        answer = struct.unpack(">ihihhh", await reader.readexactly(length))
        assert answer == (5, Error.UNSUPPORTED_VERSION, 1, API_VERSIONS.key, API_VERSIONS.oldest, API_VERSIONS.newest)
        writer.close()

    run(tmp_path, ask)


def test_half_requests_that_never_end_are_closed(tmp_path: Path) -> None:
    limits = ConnectionLimits(arriving=0.3, idle=0.3)

    async def wait_for_the_end(broker: Broker) -> None:
        halves = [b"", b"\0\0", struct.pack(">i", 1000) + b"x" * 10, struct.pack(">i", 1 << 20) + b"x" * 500_000]
        async with asyncio.TaskGroup() as group:
            for said in halves * 5:
                group.create_task(closes(broker, said))

    run(tmp_path, wait_for_the_end, limits)


def test_large_requests_wait_for_room_and_small_ones_do_not(tmp_path: Path) -> None:
    limits = ConnectionLimits(request=1 << 20, under_way=2 << 20, arriving=10 * PATIENCE)

    async def fill(broker: Broker) -> None:
        host, port = broker.address
        slow = [socket.create_connection((host, port)) for _ in range(10)]
        for each in slow:
            each.sendall(struct.pack(">ih", 1 << 20, PRODUCE.key) + b"x" * 1000)
        await until(lambda: broker.room.free == 0)
        await is_served(broker)  # nobody else has any room
        assert broker.room.free == 0
        for each in slow:
            each.close()
        async with asyncio.timeout(PATIENCE), client_of(broker) as client:
            await client.partitions("big")
            assert await client.produce("big", 0, [BIG]) == 0
        await until(lambda: broker.room.free == limits.under_way)

    run(tmp_path, fill, limits)


def test_large_requests_that_wait_and_answers_that_nobody_takes_keep_no_producer_out(tmp_path: Path) -> None:
    limits = ConnectionLimits(request=1 << 20, under_way=1 << 20, beside=1 << 20)

    async def fill(broker: Broker) -> None:
        host, port = broker.address
        broker.store.create("t", 200)
        asked = [{"index": index, "partition_max_bytes": 1} for index in range(200)]
        waits = {"min_bytes": 1, "max_wait_ms": 60_000, "topics": [{"name": "t", "partitions": asked}]}
        refused = [{"name": "x" * 30_000, "partitions": [{"index": 0, "records": None}]}] * 20
        with socket.create_connection((host, port)) as waiting, socket.create_connection((host, port)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            text = CompositeBuffer(encode(FETCH.request, 4, waits)).tobytes()
            front = b"\0\1\0\4" + bytes(4) + b"\x7f\xff" + b"c" * 0x7FFF
            await asyncio.get_running_loop().run_in_executor(None, waiting.sendall, framed(front + text))
            await until(lambda: broker.room_beside.free < limits.beside)
            front = b"\0\0\0\3" + bytes(4) + b"\xff\xff"
            text = CompositeBuffer(encode(PRODUCE.request, 3, {"acks": -1, "topics": refused})).tobytes()
            await asyncio.get_running_loop().run_in_executor(None, deaf.sendall, framed(front + text))
            async with asyncio.timeout(PATIENCE), client_of(broker) as client:
                await client.partitions("big")
                assert await client.produce("big", 0, [BIG]) == 0

    run(tmp_path, fill, limits)


def test_an_answer_that_finds_no_room_ends_the_connection(tmp_path: Path) -> None:
    limits = ConnectionLimits(answers=100_000)

    async def ask_much(broker: Broker) -> None:
        message = {"topics": [{"name": str(number) + "x" * 3_000} for number in range(40)]}
        text = CompositeBuffer(encode(METADATA.request, 4, message)).tobytes()
        await closes(broker, framed(b"\0\3\0\4" + bytes(4) + b"\xff\xff" + text))
        assert broker.room_for_answers.free == limits.answers

    run(tmp_path, ask_much, limits)


def test_requests_under_way_take_no_more_memory_than_they_may(tmp_path: Path) -> None:
    with RunningBroker(tmp_path) as running:
        host, _, port = running.address.rpartition(":")
        flood = {socket.create_connection((host, int(port))): 8 << 20 for _ in range(FLOOD)}
        for each in flood:
            each.setblocking(False)
            each.send(struct.pack(">i", 16 << 20))
        chunk = bytes(1 << 18)
        while writable := select.select([], [each for each, left in flood.items() if left > 0], [], 0.5)[1]:
            for each in writable:
                flood[each] -= each.send(chunk)
        asyncio.run(_write_a_little(host, int(port)))
        assert running.peak < 256 << 20  # of 8 MiB for each connection
        for each in flood:
            each.close()
        assert running.stop() == 0


async def _write_a_little(host: str, port: int) -> None:
    async with asyncio.timeout(PATIENCE), await aio.open_connection(host, port) as stream:
        client = Client(stream)
        await client.partitions("topic")
        assert await client.produce("topic", 0, [Record(0, 1, None, b"v")]) == 0


def test_many_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    async def idle(broker: Broker) -> None:
        there = [await asyncio.open_connection(*broker.address) for _ in range(IDLE)]
        await is_served(broker)
        for _, writer in there:
            writer.close()

    run(tmp_path, idle)
