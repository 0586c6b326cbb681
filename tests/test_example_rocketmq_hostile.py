"""examples/rocketmq and clients that mean no good: each is told or hung up on, and the others are served on."""

from __future__ import annotations

import contextlib
import json
import random
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bytebufs import CompositeBuffer
from examples.rocketmq.__main__ import connections_of
from examples.rocketmq.codes import Request, Response
from examples.rocketmq.limits import Limits
from examples.rocketmq.remoting import Command, encode

from .conftest import IS_QUICK
from .example_rocketmq import HOST, Broker, Talk, bodies, broker, pulling
from .sinks import PATIENCE, eventually

MUTATED: Final = 2_000 if IS_QUICK else 20_000
RANDOM: Final = 100 if IS_QUICK else 1_000
MIB: Final = 1 << 20
MOST: Final = 4 + Limits.head + Limits.body


def assert_serves(running: Broker) -> None:
    """Send a message, and get it."""
    with running.connect() as talk:
        assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="well").code == Response.SUCCESS
        placed = talk.put("well", 0, b"still here")
        assert placed.code == Response.SUCCESS
        answer = talk.pull("well", 0, placed.number("queueOffset"))
        assert bodies(answer) == [b"still here"]


def until_closed(sock: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while got := sock.recv(1 << 16):
            data += got
    return data


def test_random_bytes_end_their_connection_alone(tmp_path: Path) -> None:
    chance = random.Random(14)
    with broker(tmp_path / "data") as running, running.connect() as other:
        for _ in range(RANDOM):
            with socket.create_connection((HOST, running.port), timeout=PATIENCE) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(chance.randbytes(chance.choice([1, 4, 8, 100, 10_000])))
                    sock.shutdown(socket.SHUT_WR)
                until_closed(sock)
        assert other.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
        assert_serves(running)
        running.end()


def good_requests() -> list[bytes]:
    """Return one of each request, as bytes."""
    sent = {"a": "P", "b": "T", "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1, "h": 0, "i": "TAGS\1A\2", "j": 0}
    queue = {"topic": "T", "queueId": 0}
    consumer = {"groupName": "G", "subscriptionDataSet": [{"topic": "T", "subString": "*"}]}
    heartbeat = json.dumps({"clientID": "c", "consumerDataSet": [consumer], "producerDataSet": []}).encode()
    requests: list[tuple[int, dict[str, object], bytes]] = [
        (Request.SEND_MESSAGE_V2, {**sent}, b"body"),
        (Request.SEND_MESSAGE, {"topic": "T", "queueId": 1, "properties": "", "bornTimestamp": 0}, b"body"),
        (Request.PULL_MESSAGE, pulling("T", 0, 0), b""),
        (Request.PULL_MESSAGE, pulling("T", 1, 5, sysFlag=7, suspendTimeoutMillis=5, consumerGroup="H"), b""),
        (Request.QUERY_CONSUMER_OFFSET, {**queue, "consumerGroup": "G"}, b""),
        (Request.UPDATE_CONSUMER_OFFSET, {**queue, "consumerGroup": "G", "commitOffset": 3}, b""),
        (Request.UPDATE_AND_CREATE_TOPIC, {"topic": "U", "readQueueNums": 2, "writeQueueNums": 2, "perm": 6}, b""),
        (Request.SEARCH_OFFSET_BY_TIMESTAMP, {**queue, "timestamp": 5}, b""),
        (Request.GET_MAX_OFFSET, {**queue}, b""),
        (Request.GET_MIN_OFFSET, {**queue}, b""),
        (Request.VIEW_MESSAGE_BY_ID, {"offset": 0}, b""),
        (Request.HEART_BEAT, {}, heartbeat),
        (Request.UNREGISTER_CLIENT, {"clientID": "c", "producerGroup": "P", "consumerGroup": "G"}, b""),
        (Request.CONSUMER_SEND_MSG_BACK, {"offset": 0, "group": "G", "delayLevel": 0, "originMsgId": "x"}, b""),
        (Request.GET_CONSUMER_LIST_BY_GROUP, {"consumerGroup": "G"}, b""),
        (Request.GET_ROUTEINTO_BY_TOPIC, {"topic": "T"}, b""),
        (Request.GET_KV_CONFIG_BY_VALUE, {"namespace": "n", "key": "k"}, b""),
    ]
    assert {code for code, *_ in requests} == set(Request)
    return [
        encode(Command(code, 5, fields={k: str(v) for k, v in fields.items()}, body=body)).tobytes()
        for code, fields, body in requests
    ]


def mutated(request: bytes, chance: random.Random) -> bytes:
    """Change some bytes of what follows the lengths, take some out, or put some in; the lengths mostly fit."""
    head_size = struct.unpack_from(">I", request, 4)[0]
    head, body = bytearray(request[8 : 8 + head_size]), request[8 + head_size :]
    for _ in range(chance.choice([1, 1, 2, 5])):
        at = chance.randrange(len(head))
        how = chance.randrange(6)
        if how == 0:
            head[at] = chance.randrange(256)
        elif how == 1:
            del head[at : at + chance.randrange(1, 10)]
        elif how == 2:
            head[at:at] = chance.choice([b"9" * 30, b'"', b"{", b"-1", b"null", b"\\u0000", b"[]", b",", b"\xff"])
        elif how == 3:
            head[at:at] = head[chance.randrange(len(head)) :][:20]
        elif how == 4:
            body = chance.randbytes(chance.randrange(100))
        else:
            body = body[: chance.randrange(len(body) + 1)]
        if not head:
            break
    word = len(head) if chance.random() < 0.95 else chance.getrandbits(32)
    length = 4 + len(head) + len(body) if chance.random() < 0.98 else chance.getrandbits(chance.choice([3, 8, 31, 32]))
    return struct.pack(">II", length, word) + head + body


def test_mutated_requests_are_answered_or_end_their_connection(tmp_path: Path) -> None:
    chance = random.Random(1429)
    requests = good_requests()
    with broker(tmp_path / "data") as running:
        with running.connect() as talk:
            for request in requests:  # as they are, all are answered, and mean something
                talk.sock.sendall(request)
                assert talk.receive().code != Response.REQUEST_CODE_NOT_SUPPORTED
        base = running.memory()
        left = MUTATED
        while left:
            count = min(left, chance.randrange(1, 60))
            left -= count
            talkative = b"".join(mutated(chance.choice(requests), chance) for _ in range(count))
            with socket.create_connection((HOST, running.port), timeout=PATIENCE) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(talkative)
                    sock.shutdown(socket.SHUT_WR)
                until_closed(sock)
        assert running.memory() < base + 32 * MIB
        assert_serves(running)
        errors = running.end()
        assert "Traceback" not in errors
        assert "exception" not in errors.lower()
    with broker(tmp_path / "data") as again:  # what it has kept of all that can be read
        assert_serves(again)
        again.end()


@pytest.mark.parametrize("length", [MOST + 1, 1 << 31, (1 << 32) - 1])
def test_who_announces_too_much_is_hung_up_on_at_once(tmp_path: Path, length: int) -> None:
    with broker(tmp_path / "data") as running:
        base = running.memory()
        with running.connect() as talk:
            talk.sock.sendall(struct.pack(">I", length) + bytes(1000))
            assert talk.is_closed()
        assert running.memory() < base + 8 * MIB
        assert_serves(running)
        assert f"a request of {length} bytes, more than {MOST}" in running.end()


def test_halves_of_requests_are_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Whatever they end in: a length, a head, a long body. And all of them together get so much memory and no more."""
    long = struct.pack(">I", MOST)
    options = ("--request-time", "1", "--idle-time", "1", "--large", str(16 * MIB))
    with broker(tmp_path / "data", *options) as running, contextlib.ExitStack() as stack:
        assert_serves(running)
        base = running.memory()
        talks = [stack.enter_context(running.connect()) for _ in range(60)]
        halves = [long + bytes(4 * MIB - 1), *[long[:2], good_requests()[0][:-2], long[:4]] * 3]
        for talk, half in zip(talks, halves * 6, strict=True):
            talk.sock.settimeout(0.1)
            with contextlib.suppress(TimeoutError, ConnectionError):  # it is not waited for, and no longer received
                talk.sock.sendall(half)
            talk.sock.settimeout(PATIENCE)
        assert running.memory() < base + (16 + 16) * MIB
        assert_serves(running)
        assert all(talk.is_closed() for talk in talks)
        assert_serves(running)
        running.end()


@contextlib.contextmanager
def many(running: Broker, count: int) -> Iterator[list[Talk]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running.connect()) for _ in range(count)]


def test_a_thousand_idle_connections_are_no_burden_and_are_closed_in_the_end(tmp_path: Path) -> None:
    count = 100 if IS_QUICK else 1000
    options = ("--idle-time", "2" if IS_QUICK else "5")
    alone = ("env",)  # in an interpreter of its own: what is forked has memory to spare, of what was imported before
    with broker(tmp_path / "data", *options, prefix=alone) as running:
        assert_serves(running)
        base = running.memory()
        with many(running, count) as talks:
            assert_serves(running)
            assert running.memory() < base + count * 16_384
            assert all(talk.is_closed() for talk in talks)
        assert_serves(running)
        running.end()


@pytest.mark.parametrize(("descriptors", "connections"), [(1024, 704), (4096, 3776), (320, 80)])
def test_connections_leave_descriptors_for_files(descriptors: int, connections: int) -> None:
    assert connections_of(descriptors) == connections


@pytest.mark.needs("prlimit")
def test_connections_that_take_all_descriptors_keep_nobody_from_storing(tmp_path: Path) -> None:
    """The log could not be written out without one, and that is final."""
    options = ("--flush", "sync", "--idle-time", "60")
    with broker(tmp_path / "data", *options, prefix=("prlimit", "--nofile=320:320")) as running:
        with running.connect() as talk:
            assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
            with contextlib.ExitStack() as stack:
                for _ in range(350):  # beyond its limit they wait with the system, as far as that has room
                    sock = stack.enter_context(socket.socket())
                    sock.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        sock.connect((HOST, running.port))
                for number in range(3):
                    assert talk.put("T", 0, b"%d" % number).code == Response.SUCCESS
        assert_serves(running)
        assert running.end() == ""


def test_a_client_that_does_not_read_its_answers_is_not_served_for_ever(tmp_path: Path) -> None:
    """What it asks for waits in the maps, not in memory; when nothing more can be sent, nothing more is read."""
    with broker(tmp_path / "data", "--idle-time", "1") as running, running.connect() as talk:
        assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
        for _ in range(8):
            assert talk.put("T", 0, bytes(MIB)).code == Response.SUCCESS
        base = running.memory()
        with running.connect() as greedy:
            greedy.sock.settimeout(1)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(100_000):
                    greedy.send(Request.PULL_MESSAGE, **pulling("T", 0, 0))
            assert running.memory() < base + 16 * MIB
            assert_serves(running)
            hung_up = select.poll()
            hung_up.register(greedy.sock, 0)  # nothing but errors
            assert hung_up.poll(PATIENCE * 1000)
        running.end()


def test_pulls_that_wait_are_bounded(tmp_path: Path) -> None:
    """Those of a connection, and those of all: what is more is answered at once."""
    options = ("--waiting", "50", "--outstanding", "40", "--idle-time", "60")
    waits = pulling("T", 0, 0, sysFlag=6, suspendTimeoutMillis=30_000)
    with broker(tmp_path / "data", *options) as running, many(running, 3) as (one, two, three):
        assert one.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
        for _ in range(30):
            one.send(Request.PULL_MESSAGE, **waits)
        assert one.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).code == Response.SUCCESS
        for _ in range(30):
            two.send(Request.PULL_MESSAGE, **waits)
        answers = [two.receive() for _ in range(10)]
        assert {answer.code for answer in answers} == {Response.PULL_NOT_FOUND}
        assert three.put("T", 0, b"news").code == Response.SUCCESS
        assert [bodies(one.receive()) for _ in range(30)] == [[b"news"]] * 30
        assert [bodies(two.receive()) for _ in range(20)] == [[b"news"]] * 20
        assert eventually(lambda: running.process.poll() is None)
        assert running.end() == ""


def test_what_is_no_frame_of_ours_says_so(tmp_path: Path) -> None:
    """Another protocol's client is hung up on: HTTP's first four letters are a length of a gigabyte."""
    with broker(tmp_path / "data") as running:
        with running.connect() as talk:
            talk.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert talk.is_closed()
        with running.connect() as talk:
            head = CompositeBuffer([struct.pack(">II", 6, 1 << 24 | 2), b"{}"])
            talk.sock.sendall(head.tobytes())
            assert talk.is_closed()
        assert "only JSON, 0, is understood" in running.end()
