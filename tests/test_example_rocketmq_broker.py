"""examples/rocketmq: what a broker answers, what it keeps, and how messages come in and go out of it."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import weakref
from array import array
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from bytebufs import CopyAudit, SliceBuffer, copy_audit
from bytebufs.aio import Stream, open_connection, start_server
from examples.rocketmq import broker as module
from examples.rocketmq.__main__ import main
from examples.rocketmq.broker import serving
from examples.rocketmq.client import Client, ClientError, records_of
from examples.rocketmq.codes import Request, Response
from examples.rocketmq.connection import Connection, Room
from examples.rocketmq.limits import Limits
from examples.rocketmq.record import Message, message_of
from examples.rocketmq.remoting import Command, encode
from examples.rocketmq.sending import Sending
from examples.rocketmq.settings import Settings
from examples.rocketmq.store import Store
from examples.rocketmq.topics import Topics

from .conftest import do_without
from .example_rocketmq import HOST, Broker, Talk, bodies, broker, here, pulling
from .sinks import PATIENCE, eventually
from .small_disk import on_small_disk

KIB: Final = 1 << 10
MIB: Final = 1 << 20
MOST_BYTES: Final = 4 + Limits.head + Limits.body


def route(talk: Talk, topic: str) -> None:
    """Have a topic made, as a client's first question about it does."""
    assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic=topic).code == Response.SUCCESS


# -- the name server


def test_a_route_leads_to_where_one_has_asked(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        answer = talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T")
        told = json.loads(bytes(answer.body))
        [queues], [its] = told["queueDatas"], told["brokerDatas"]
        assert (queues["readQueueNums"], queues["writeQueueNums"], queues["perm"]) == (4, 4, 6)
        assert its["brokerAddrs"] == {"0": running.address}
        assert queues["brokerName"] == its["brokerName"]
        nothing = talk.ask(Request.GET_KV_CONFIG_BY_VALUE, namespace="N", key="k")
        assert nothing.code == Response.QUERY_NOT_FOUND
        bad = talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="../T")
        assert (bad.code, "no topic named" in bad.remark) == (Response.SYSTEM_ERROR, True)


def test_topics_that_were_made_are_there_after_a_kill(tmp_path: Path) -> None:
    with broker(tmp_path / "data", "--no-auto-create") as running, running.connect() as talk:
        assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.TOPIC_NOT_EXIST
        assert talk.put("T", 0, b"x").code == Response.TOPIC_NOT_EXIST
        assert talk.pull("T", 0, 0).code == Response.TOPIC_NOT_EXIST
        made = talk.ask(Request.UPDATE_AND_CREATE_TOPIC, topic="T", readQueueNums=3, writeQueueNums=2, perm=6)
        assert made.code == Response.SUCCESS
        many = talk.ask(Request.UPDATE_AND_CREATE_TOPIC, topic="U", readQueueNums=3000, writeQueueNums=2, perm=6)
        assert many.code == Response.SYSTEM_ERROR
    with broker(tmp_path / "data", "--no-auto-create") as again, again.connect() as talk:
        [queues] = json.loads(bytes(talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").body))["queueDatas"]
        assert (queues["readQueueNums"], queues["writeQueueNums"]) == (3, 2)
        assert talk.put("T", 1, b"x").code == Response.SUCCESS
        assert talk.put("T", 2, b"x").code == Response.SYSTEM_ERROR
        assert talk.pull("T", 2, 0).code == Response.PULL_NOT_FOUND
        assert talk.pull("T", 3, 0).code == Response.SYSTEM_ERROR


def test_permissions_hold(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        for permission, sent, pulled in ((4, Response.NO_PERMISSION, Response.PULL_NOT_FOUND), (2, 0, 1)):
            fields: dict[str, Any] = {"topic": "T", "readQueueNums": 1, "writeQueueNums": 1, "perm": permission}
            assert talk.ask(Request.UPDATE_AND_CREATE_TOPIC, **fields).code == Response.SUCCESS
            assert talk.put("T", 0, b"x").code == sent
            assert talk.pull("T", 0, 0).code == pulled


def test_what_is_not_known_is_said_so(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        answer = talk.ask(12)
        assert (answer.code, answer.remark) == (
            Response.REQUEST_CODE_NOT_SUPPORTED, "this broker does not know code 12",
        )  # fmt: skip
        talk.send(12, flag=2)  # no answer is wanted,
        talk.send(0, flag=1)  # or this is one
        answer = talk.ask(Request.GET_MAX_OFFSET, topic="T")
        assert answer.code == Response.TOPIC_NOT_EXIST
        route(talk, "T")
        answer = talk.ask(Request.GET_MAX_OFFSET, topic="T")
        assert (answer.code, answer.remark) == (Response.SYSTEM_ERROR, "queueId is missing")


# -- messages


def test_messages_are_where_it_is_said_and_as_they_were_sent(tmp_path: Path) -> None:
    with here(tmp_path / "data", flush="sync") as running, running.connect() as talk:
        route(talk, "T")
        sent = [b"", b"one", bytes(100 * KIB), b"three" * 1000]
        for number, body in enumerate(sent):
            answer = talk.put("T", 2, body, f"TAGS\1A\2KEYS\1{number}\2", h=7, f=1, g=1000 + number)
            assert (answer.code, answer.number("queueId"), answer.number("queueOffset")) == (0, 2, number)
            position = int(answer.text("msgId")[16:], 16)
            seen = talk.ask(Request.VIEW_MESSAGE_BY_ID, offset=position)
            assert not isinstance(seen.body, bytes)
            message = message_of(seen.body[:])
            assert (message.topic, message.queue, message.flag, message.sys_flag) == ("T", 2, 7, 1)
            assert (message.born_at, message.properties) == (1000 + number, f"TAGS\1A\2KEYS\1{number}\2".encode())
            assert message.born_host == talk.sock.getsockname()
            assert message.store_host == (HOST, running.port)
            assert bytes(message.body) == body
        pulled = talk.pull("T", 2, 0)
        assert bodies(pulled) == sent
        assert [pulled.number(name) for name in ("nextBeginOffset", "minOffset", "maxOffset")] == [4, 0, 4]
        assert bodies(talk.pull("T", 2, 1, maxMsgNums=1)) == [b"one"]
        assert talk.ask(Request.GET_MAX_OFFSET, topic="T", queueId=2).number("offset") == 4
        assert talk.ask(Request.GET_MIN_OFFSET, topic="T", queueId=2).number("offset") == 0
        assert talk.ask(Request.VIEW_MESSAGE_BY_ID, offset=1).code == Response.SYSTEM_ERROR
        old = talk.ask(Request.SEND_MESSAGE, b"old", topic="T", queueId=-1, producerGroup="P", sysFlag=0, properties="")
        assert old.code == Response.SUCCESS


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"body": bytes(1001)}, "more than 1000"),
        ({"properties": "x" * 32_768}, "properties of more than"),
        ({"f": 4}, "no transactions"),
        ({"m": "true"}, "no batches"),
        ({"properties": "TAGS\1\ud800\2"}, "surrogates not allowed"),
    ],
    ids=["body", "properties", "transaction", "batch", "surrogate"],
)
def test_what_cannot_be_a_message_is_refused(tmp_path: Path, fields: dict[str, Any], complaint: str) -> None:
    with here(tmp_path / "data", body=1000) as running, running.connect() as talk:
        route(talk, "T")
        answer = talk.put("T", 0, **{"body": b"", **fields})
        assert answer.code == Response.MESSAGE_ILLEGAL
        assert complaint in answer.remark
        assert talk.put("T", 0, b"good").number("queueOffset") == 0


def test_pulls_are_limited_by_number_and_size_but_for_the_first(tmp_path: Path) -> None:
    with here(tmp_path / "data", pull_count=5, pull_bytes=100 * KIB) as running, running.connect() as talk:
        route(talk, "T")
        for size in (200 * KIB, 60 * KIB, 60 * KIB, *[10] * 10):
            assert talk.put("T", 0, bytes(size)).code == Response.SUCCESS
        assert [len(body) for body in bodies(talk.pull("T", 0, 0))] == [200 * KIB]
        assert [len(body) for body in bodies(talk.pull("T", 0, 1))] == [60 * KIB]
        assert [len(body) for body in bodies(talk.pull("T", 0, 2))] == [60 * KIB, 10, 10, 10, 10]


def test_offsets_that_are_not_there_are_corrected(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        for asked, code, begin in ((0, Response.PULL_NOT_FOUND, 0), (5, Response.PULL_OFFSET_MOVED, 0)):
            answer = talk.pull("T", 0, asked)
            assert (answer.code, answer.number("nextBeginOffset")) == (code, begin)
        assert talk.put("T", 0, b"x").code == Response.SUCCESS
        for asked, code, begin in ((1, Response.PULL_NOT_FOUND, 1), (2, Response.PULL_OFFSET_MOVED, 1)):
            answer = talk.pull("T", 0, asked)
            assert (answer.code, answer.number("nextBeginOffset")) == (code, begin)


def test_offsets_are_found_by_time(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        talk.put("T", 0, b"before")
        between = int(time.time() * 1000) + 1
        while time.time() * 1000 < between + 1:
            pass
        talk.put("T", 0, b"after")
        for at, offset in ((0, 0), (between, 1), (between + 10**9, 2)):
            answer = talk.ask(Request.SEARCH_OFFSET_BY_TIMESTAMP, topic="T", queueId=0, timestamp=at)
            assert answer.number("offset") == offset


# -- tags


def test_tags_choose(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        for number in range(9):
            talk.put("T", 0, str(number).encode(), f"TAGS\1{'ABC'[number % 3]}\2")
        assert bodies(talk.pull("T", 0, 0, subscription="B")) == [b"1", b"4", b"7"]
        assert bodies(talk.pull("T", 0, 0, subscription="A || C", maxMsgNums=3)) == [b"0", b"2", b"3"]
        none = talk.pull("T", 0, 2, subscription="D")
        assert (none.code, none.number("nextBeginOffset")) == (Response.PULL_RETRY_IMMEDIATELY, 9)
        unknown = talk.pull("T", 0, 0, sysFlag=0)
        assert unknown.code == Response.SUBSCRIPTION_NOT_EXIST
        consumer = {"groupName": "G", "subscriptionDataSet": [{"topic": "T", "subString": "C"}]}
        heartbeat = json.dumps({"clientID": "c", "consumerDataSet": [consumer]}).encode()
        assert talk.ask(Request.HEART_BEAT, heartbeat).code == Response.SUCCESS
        assert bodies(talk.pull("T", 0, 0, sysFlag=0)) == [b"2", b"5", b"8"]
        sql = talk.pull("T", 0, 0, expressionType="SQL92")
        assert sql.code == Response.SUBSCRIPTION_PARSE_FAILED


# -- waiting


def test_a_pull_waits_for_a_message_that_it_wants(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as one, running.connect() as two:
        route(one, "T")
        waits = pulling("T", 0, 0, sysFlag=6, suspendTimeoutMillis=30_000, subscription="B")
        number = one.send(Request.PULL_MESSAGE, **waits)
        assert one.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).code == Response.SUCCESS  # overtakes it
        two.put("T", 1, b"another queue", "TAGS\1B\2")
        two.put("T", 0, b"another tag", "TAGS\1A\2")
        two.put("T", 0, b"this one", "TAGS\1B\2")
        answer = one.receive()
        assert (answer.opaque, bodies(answer), answer.number("nextBeginOffset")) == (number, [b"this one"], 2)


def test_a_pull_that_waits_for_nothing_is_told_so_in_time(tmp_path: Path) -> None:
    with here(tmp_path / "data", pull_time=0.2) as running, running.connect() as talk:
        route(talk, "T")
        nothing = talk.pull("T", 0, 0, sysFlag=6, suspendTimeoutMillis=60_000)
        assert (nothing.code, nothing.number("nextBeginOffset")) == (Response.PULL_NOT_FOUND, 0)
        talk.put("T", 0, b"x", "TAGS\1A\2")
        other = talk.pull("T", 0, 0, sysFlag=6, suspendTimeoutMillis=50, subscription="B")
        assert (other.code, other.number("nextBeginOffset")) == (Response.PULL_RETRY_IMMEDIATELY, 1)


def test_told_to_end_it_answers_the_pulls_that_wait(tmp_path: Path) -> None:
    with broker(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        talk.send(Request.PULL_MESSAGE, **pulling("T", 0, 0, sysFlag=6, suspendTimeoutMillis=30_000))
        assert talk.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).code == Response.SUCCESS
        began = time.monotonic()
        running.process.terminate()
        assert talk.receive().code == Response.PULL_NOT_FOUND
        assert talk.is_closed()
        assert running.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 30  # what it asked to wait


# -- groups


def test_offsets_stay(tmp_path: Path) -> None:
    queue: dict[str, Any] = {"consumerGroup": "G", "topic": "T", "queueId": 0}
    with here(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).number("offset") == 0  # there is nothing to go on with
        talk.put("T", 0, b"x")
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).code == Response.QUERY_NOT_FOUND
        assert talk.ask(Request.UPDATE_CONSUMER_OFFSET, **queue, commitOffset=-1).code == Response.SUCCESS
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).code == Response.QUERY_NOT_FOUND
        assert talk.ask(Request.UPDATE_CONSUMER_OFFSET, **queue, commitOffset=1).code == Response.SUCCESS
        for bad in ({"queueId": 4}, {"topic": "U"}, {"consumerGroup": "a\nb"}):
            refused = talk.ask(Request.UPDATE_CONSUMER_OFFSET, **{**queue, **bad}, commitOffset=1)
            assert refused.code == Response.SYSTEM_ERROR
    with here(tmp_path / "data") as again, again.connect() as talk:
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).number("offset") == 1
        talk.pull("T", 0, 1, sysFlag=5, commitOffset=3)
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).number("offset") == 3
        again.end()
    with here(tmp_path / "data") as third, third.connect() as talk:
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).number("offset") == 3


def test_offsets_that_were_told_to_be_kept_are_after_a_kill(tmp_path: Path) -> None:
    queue: dict[str, Any] = {"consumerGroup": "G", "topic": "T", "queueId": 0}
    with broker(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        assert talk.ask(Request.UPDATE_CONSUMER_OFFSET, **queue, commitOffset=1).code == Response.SUCCESS
    with broker(tmp_path / "data") as again, again.connect() as talk:
        assert talk.ask(Request.QUERY_CONSUMER_OFFSET, **queue).number("offset") == 1


def beat(talk: Talk, group: str, member: str) -> None:
    data = {"clientID": member, "consumerDataSet": [{"groupName": group}], "producerDataSet": [{"groupName": "P"}]}
    assert talk.ask(Request.HEART_BEAT, json.dumps(data).encode()).code == Response.SUCCESS


def members(talk: Talk, group: str) -> list[str]:
    answer = talk.ask(Request.GET_CONSUMER_LIST_BY_GROUP, consumerGroup=group)
    return list(json.loads(bytes(answer.body))["consumerIdList"]) if answer.code == Response.SUCCESS else []


def test_members_are_those_who_are_connected(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        assert members(talk, "G") == []
        beat(talk, "G", "a")
        with running.connect() as other:
            beat(other, "G", "b")
            assert members(talk, "G") == members(other, "G") == ["a", "b"]
        while members(talk, "G") != ["a"]:
            pass
        gone = talk.ask(Request.UNREGISTER_CLIENT, clientID="a", producerGroup="", consumerGroup="G")
        assert gone.code == Response.SUCCESS
        assert members(talk, "G") == []
        for bad in (b"", b"[]", b'{"clientID":1}', b'{"clientID":"a","consumerDataSet":[1]}', b" " * 70_000):
            assert talk.ask(Request.HEART_BEAT, bad).code == Response.SYSTEM_ERROR
        bad_name = json.dumps({"clientID": "a", "consumerDataSet": [{"groupName": "a b"}]}).encode()
        assert talk.ask(Request.HEART_BEAT, bad_name).code == Response.SYSTEM_ERROR


def test_what_is_sent_back_comes_again_until_it_is_dead(tmp_path: Path) -> None:
    with here(tmp_path / "data", auto_create=False) as running, running.connect() as talk:
        talk.ask(Request.UPDATE_AND_CREATE_TOPIC, topic="T", readQueueNums=1, writeQueueNums=1, perm=6)
        first = talk.put("T", 0, b"hard", "TAGS\1A\2").text("msgId")
        position = int(first[16:], 16)
        back: dict[str, Any] = {
            "group": "G",
            "delayLevel": 0,
            "originMsgId": first,
            "originTopic": "T",
            "maxReconsumeTimes": 2,
        }
        for times, topic in enumerate(["%RETRY%G", "%RETRY%G", "%DLQ%G"], 1):
            assert talk.ask(Request.CONSUMER_SEND_MSG_BACK, **back, offset=position).code == Response.SUCCESS
            pulled = talk.pull(topic, 0, 0 if topic.startswith("%D") else times - 1)
            assert not isinstance(pulled.body, bytes)
            [message] = records_of(pulled.body)
            position = message.position
            assert message.body == b"hard"
            assert message.properties == f"TAGS\1A\2RETRY_TOPIC\1T\2ORIGIN_MESSAGE_ID\1{first}\2"
            assert message_of(pulled.body[:]).reconsume_times == times
        assert talk.ask(Request.CONSUMER_SEND_MSG_BACK, **{**back, "delayLevel": -1}, offset=position).code == 0
        assert len(bodies(talk.pull("%DLQ%G", 0, 0))) == 2
        half = talk.ask(Request.CONSUMER_SEND_MSG_BACK, **{**back, "originMsgId": "\udc00"}, offset=0)
        assert half.code == Response.MESSAGE_ILLEGAL
        assert talk.ask(Request.CONSUMER_SEND_MSG_BACK, **back, offset=1).code == Response.SYSTEM_ERROR
        bad = talk.ask(Request.CONSUMER_SEND_MSG_BACK, **{**back, "group": "a/b"}, offset=position)
        assert bad.code == Response.SYSTEM_ERROR


# -- how bytes move


@asynccontextmanager
async def answering(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Have a broker in this task's context, so that its copies are counted."""
    with closing(Store(folder, Settings())) as store:
        async with serving(store, folder, Limits(), HOST, 0, auto_create=True) as server:
            host, port = server.sockets[0].getsockname()
            yield host, port


def moved(folder: Path, sizes: list[int]) -> CopyAudit:
    """Send messages of these sizes, pull them, and return what was copied for that by the broker and the client."""

    async def session() -> CopyAudit:
        with copy_audit() as audit:
            async with asyncio.timeout(PATIENCE), answering(folder) as address, Client.connect(*address) as client:
                await client.queues("T")
                for size in sizes:
                    await client.send("T", 0, bytes(size))
                offset = 0
                while offset < len(sizes):
                    received, behind = await client.pull("G", "T", 0, offset)
                    assert [len(message.body) for message in received] == sizes[offset:behind]
                    offset = behind
        return audit

    return asyncio.run(session())


def test_payload_is_copied_into_the_map_and_nowhere_else(tmp_path: Path) -> None:
    sizes = [100 * KIB, 0, 5, 300 * KIB, *[1000] * 100]
    audit = moved(tmp_path, sizes)
    assert audit.hidden == 0, audit
    asked = {reason: nbytes for reason, nbytes in audit.by_reason.items() if reason != "copy_into"}
    assert sum(asked.values()) < 100_000, audit  # heads, of requests and answers


@pytest.mark.parametrize("code", [Request.SEND_MESSAGE, Request.SEND_MESSAGE_V2])
def test_a_body_is_let_go_of_while_its_producer_waits_for_the_disk(tmp_path: Path, code: Request) -> None:
    """Else all that a connection has outstanding would be held: a thousand bodies."""
    memory = array("B", bytes(1000))
    alive = weakref.ref(memory)
    names = {"topic": "T", "b": "T"}
    request = Command(code, fields=names, body=SliceBuffer(memory))
    del memory
    connection = cast(Connection, SimpleNamespace(here=(HOST, 1), peer=(HOST, 2)))
    with closing(Store(tmp_path, Settings(flush="sync"))) as store:
        topics = Topics(tmp_path / "topics.json", Limits(), auto_create=True)
        answer = Sending(store, topics, Limits()).handlers[code](request, connection)
        request.body = b""  # as the connection does
        gc.collect()
        assert alive() is None
        assert not isinstance(answer, Command)
        assert asyncio.run(settled(answer)).code == Response.SUCCESS


async def settled(answer: Awaitable[Command]) -> Command:
    return await answer


@pytest.mark.needs("strace")
def test_many_messages_leave_by_one_gathering_call(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    trial = subprocess.run(["strace", "-o", log, "true"], check=False, capture_output=True, timeout=PATIENCE)
    if trial.returncode and b"ptrace" in trial.stderr:
        do_without("this machine forbids tracing")
    calls = "trace=sendmsg,sendto,write,writev,pwrite64,read,readv,pread64,sendfile"
    prefix = ("strace", "-D", "-f", "-e", calls, "-o", str(log))  # -D: the broker is our child, not strace
    with broker(tmp_path / "data", prefix=prefix) as running, running.connect() as talk:
        route(talk, "T")
        for number in range(32):
            talk.put("T", 0, b"message %02d" % number * 10)
            talk.put("T", 1, b"in between: neighbours in the log would be one part")
        assert len(bodies(talk.pull("T", 0, 0))) == 32
        running.end()
        assert eventually(lambda: "exited with 0" in log.read_text())
    lines = log.read_text().splitlines()
    lengths = [int(match[1]) for line in lines if (match := re.search(r"sendmsg\(.*msg_iovlen=(\d+)", line))]
    assert max(lengths) >= 32
    assert sum(length >= 32 for length in lengths) == 1
    carrying = [
        line
        for line in lines
        if "message 00" in line and re.search(r"\b(readv?|pread64|writev?|pwrite64|sendto|sendfile)\(", line)
    ]
    assert carrying == []  # the log is written to, and read, as memory


# -- limits, and what goes wrong


def test_each_fault_ends_its_connection_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = {
        struct.pack(">I", MOST_BYTES + 1): f"a request of {MOST_BYTES + 1} bytes",
        struct.pack(">III", 100, 5, 0): "bytes",
        struct.pack(">II", 4, 5): "a head of 5 bytes",
        encode(Command(0, 1 << 31)).tobytes(): "opaque is no 32-bit number",
    }
    with here(tmp_path / "data", request_time=30.0) as running:
        for fault, complaint in faults.items():
            with running.connect() as talk:
                talk.sock.sendall(fault)
                talk.sock.shutdown(socket.SHUT_WR)
                assert talk.is_closed()
            assert eventually(lambda complaint=complaint: complaint in capsys.readouterr().err)  # type: ignore[misc]


def test_what_takes_too_long_or_says_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SWEEP", 0.01)
    with here(tmp_path / "data", request_time=0.05, idle_time=30.0) as running, running.connect() as talk:
        talk.sock.sendall(struct.pack(">I", 100_000) + b"x")
        assert talk.is_closed()
    with here(tmp_path / "data", idle_time=0.2) as running, running.connect() as talk:
        assert talk.is_closed()


def test_nothing_goes_on_behind_a_connection_whatever_ends_it(tmp_path: Path) -> None:
    async def session() -> None:
        begun, stopped, broken = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def never(request: Command) -> Command:
            begun.set()
            try:
                return await asyncio.Future[Command]()
            finally:
                stopped.set()

        def fault(*_: object) -> Command:
            raise RuntimeError

        async def serve(stream: Stream) -> None:
            with pytest.raises(RuntimeError):
                await Connection(stream, {1: lambda request, _: never(request), 2: fault}, Limits(), Room(0)).run()
            broken.set()

        async with (
            asyncio.timeout(PATIENCE),
            await start_server(serve, HOST, 0) as server,
            await open_connection(*server.sockets[0].getsockname()) as client,
        ):
            for code, event in ((1, begun), (2, broken)):
                await client.send(encode(Command(code)))
                await event.wait()
            await stopped.wait()

    asyncio.run(session())


def test_who_sends_many_requests_at_once_does_not_keep_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 30
    looks = []
    get = Store.get

    def slowly(store: Store, topic: str, queue: int, *limits: Any) -> Any:
        looks.append(topic)
        time.sleep(0.02)
        return get(store, topic, queue, *limits)

    monkeypatch.setattr(Store, "get", slowly)
    with here(tmp_path / "data") as running, running.connect() as hasty, running.connect() as other:
        route(other, "T")
        pull = encode(Command(Request.PULL_MESSAGE, fields={k: str(v) for k, v in pulling("T", 0, 0).items()}))
        hasty.sock.sendall(pull.tobytes() * count)
        assert eventually(lambda: bool(looks))
        assert other.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).code == Response.SUCCESS
        assert len(looks) < count
        assert [hasty.receive().code for _ in range(count)] == [Response.PULL_NOT_FOUND] * count


def test_pulls_that_pass_over_much_give_way_to_others(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "data", Settings())) as store:
        for tag in ["A"] * 2000 + ["B"]:
            store.put(Message("T", 0, b"", properties=f"TAGS\1{tag}\2".encode()))
    with here(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        passed = talk.pull("T", 0, 0, subscription="B")
        assert (passed.code, passed.number("nextBeginOffset")) == (Response.PULL_RETRY_IMMEDIATELY, 800)
        for _ in range(5):
            talk.send(
                Request.PULL_MESSAGE, **pulling("T", 0, 0, subscription="B", sysFlag=6, suspendTimeoutMillis=9000)
            )
        assert [talk.receive().number("nextBeginOffset") for _ in range(5)] == [2001] * 5


def test_pulls_of_who_has_gone_wait_no_longer(tmp_path: Path) -> None:
    with here(tmp_path / "data", waiting=1) as running, running.connect() as talk:
        assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
        waits = pulling("T", 0, 0, sysFlag=6, suspendTimeoutMillis=30_000)
        with running.connect() as gone:
            gone.send(Request.PULL_MESSAGE, **waits)
            assert gone.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).code == Response.SUCCESS
            assert talk.ask(Request.PULL_MESSAGE, **waits).code == Response.PULL_NOT_FOUND
        talk.sock.settimeout(0.2)
        is_waiting = False
        while not is_waiting:  # as soon as there is room for it
            try:
                talk.ask(Request.PULL_MESSAGE, **waits)
            except TimeoutError:
                is_waiting = True


def test_one_request_at_a_time_is_enough(tmp_path: Path) -> None:
    """Where no more may be outstanding, the next is read when the one before is answered."""
    with here(tmp_path / "data", outstanding=1, flush="sync") as running, running.connect() as talk:
        assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
        body = bytes(200_000)
        numbers = [talk.send(Request.SEND_MESSAGE_V2, body, b="T", e=0, f=0, g=0, h=0, i="") for _ in range(5)]
        assert [talk.receive().opaque for _ in range(5)] == numbers
        assert talk.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).number("offset") == 5


@pytest.mark.parametrize("group", ["a\nb", "", "x" * 128])
def test_no_group_is_kept_that_is_none(tmp_path: Path, group: str) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        assert talk.ask(Request.GET_ROUTEINTO_BY_TOPIC, topic="T").code == Response.SUCCESS
        bad = talk.pull("T", 0, 0, sysFlag=5, commitOffset=1, consumerGroup=group)
        assert bad.code == Response.SYSTEM_ERROR
        long = json.dumps({"clientID": "x" * 256}).encode()
        assert talk.ask(Request.HEART_BEAT, long).code == Response.SYSTEM_ERROR
    with here(tmp_path / "data") as again, again.connect() as talk:
        assert talk.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).number("offset") == 0


def test_several_who_wait_are_told_once_of_all_that_came(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as one, running.connect() as two:
        route(one, "T")
        waits = pulling("T", 0, 0, sysFlag=6, suspendTimeoutMillis=30_000)
        for _ in range(3):
            one.send(Request.PULL_MESSAGE, **waits)
        assert one.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).number("offset") == 0
        sent = {"b": "T", "e": "0", "f": "0", "g": "0", "h": "0", "i": ""}
        both = [encode(Command(Request.SEND_MESSAGE_V2, n, fields=sent, body=b"%d" % n)).tobytes() for n in (1, 2)]
        two.sock.sendall(b"".join(both))  # they come in one turn
        assert {tuple(bodies(one.receive())) for _ in range(3)} <= {(b"1",), (b"1", b"2")}


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with here(tmp_path / "data") as running, running.connect() as talk:
        route(talk, "T")
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        queue = {"consumerGroup": "G", "topic": "T", "queueId": 0}
        refused = talk.ask(Request.UPDATE_CONSUMER_OFFSET, b"", **queue, commitOffset=1)
        assert refused.code == Response.SERVICE_NOT_AVAILABLE
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        assert talk.ask(Request.UPDATE_CONSUMER_OFFSET, b"", **queue, commitOffset=2).code == Response.SUCCESS


def test_without_grace_nothing_is_waited_for(tmp_path: Path) -> None:
    with here(tmp_path / "data", grace_time=0.0) as running, running.connect() as talk:
        route(talk, "T")
        talk.send(Request.PULL_MESSAGE, **pulling("T", 0, 0, sysFlag=6, suspendTimeoutMillis=30_000))
        assert talk.ask(Request.GET_MAX_OFFSET, topic="T", queueId=0).number("offset") == 0
        talk.sock.shutdown(socket.SHUT_WR)
        running.end()


# -- the program


def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines = [b"line %d" % number for number in range(200)]
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(lines))
    with broker(tmp_path / "data", "--queue-file", "20000") as running, path.open() as file:  # inspect reads them
        where = ["--broker", running.address, "--topic", "T"]
        monkeypatch.setattr(sys, "stdin", file)
        assert main(["produce", *where, "--tag", "A"]) == 0
        assert capfdbinary.readouterr().out == b"200 messages are stored\n"
        for expected in (lines, []):
            assert main(["consume", *where, "--group", "G", "--tags", "A"]) == 0
            assert sorted(capfdbinary.readouterr().out.splitlines()) == sorted(expected)
        assert main(["consume", *where, "--tags", "B"]) == 0
        assert capfdbinary.readouterr().out == b""
        assert main(["consume", *where]) == 0
        assert len(capfdbinary.readouterr().out.splitlines()) == 200
        assert main(["serve", "--data", str(tmp_path / "data"), "--listen", f"{HOST}:0"]) == 2
        assert capfdbinary.readouterr().err.startswith(b"rocketmq: ")
        assert running.end() == ""
    assert main(["inspect", "--data", str(tmp_path / "data")]) == 0
    assert b"00000000000000000000" in capfdbinary.readouterr().out


class Told(io.StringIO):
    """A terminal that sends a signal once a program says where it listens."""

    def write(self, text: str) -> int:
        if text.startswith("listening on "):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


@pytest.mark.parametrize("flush", ["sync", "async", "never"])
def test_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush: str) -> None:
    told = Told()
    monkeypatch.setattr(sys, "stdout", told)
    assert main(["serve", "--data", str(tmp_path / "data"), "--listen", f"{HOST}:0", "--flush", flush]) == 0
    assert re.fullmatch(r"listening on 127\.0\.0\.1:\d+\n", told.getvalue())


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with broker(tmp_path / "data", "--no-auto-create") as running:
        assert main(["consume", "--broker", running.address, "--topic", "T"]) == 2
        assert "TOPIC_NOT_EXIST: there is no topic T" in capsys.readouterr().err
        address = running.address
    assert main(["consume", "--broker", address, "--topic", "T"]) == 2
    assert capsys.readouterr().err.startswith("rocketmq: ")


def test_a_client_gets_no_tag_that_only_has_the_same_hash(tmp_path: Path) -> None:
    async def session(address: tuple[str, int]) -> list[bytes]:
        async with Client.connect(*address) as client:
            await client.queues("T")
            for tag in ("Aa", "BB", "", "Aa"):  # Java's "Aa" and "BB" are a well-known pair
                await client.send("T", 0, tag.encode(), tag=tag)
            return [one.body.tobytes() async for one in client.messages("G", "T", 0, tags="Aa", follow=False)]

    with here(tmp_path / "data") as running:
        assert asyncio.run(session((HOST, running.port))) == [b"Aa", b"Aa"]


def test_a_client_learns_of_the_end(tmp_path: Path) -> None:
    async def session(running: Broker) -> None:
        async with asyncio.timeout(PATIENCE), Client.connect(HOST, running.port) as client:
            await client.queues("T")
            waiting = asyncio.create_task(client.pull("G", "T", 0, 0))
            await client.beat("G", "T", "*")
            with pytest.raises(ClientError, match="REQUEST_CODE_NOT_SUPPORTED"):
                await client.call(12)
            running.process.kill()
            with pytest.raises(ConnectionError):
                await waiting
            with pytest.raises(ConnectionError):
                await client.queues("T")

    with broker(tmp_path / "data") as running:
        asyncio.run(session(running))


@pytest.mark.needs("unshare", "mount")
def test_a_full_disk_is_an_error_to_the_client_and_nothing_that_was_stored_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    prefix = tuple(on_small_disk(folder, 4096))
    with broker(folder, "--log-file", str(MIB), "--queue-file", "20000", prefix=prefix) as running:
        with running.connect() as talk:
            route(talk, "T")
            answers: list[Command] = []
            while not answers or answers[-1].code == Response.SUCCESS:
                answers.append(talk.put("T", 0, b"%05d" % len(answers) * 20_000))
            assert answers[-1].code == Response.SERVICE_NOT_AVAILABLE
            assert "No space left" in answers[-1].remark
            stored: list[bytes] = []
            while len(stored) < len(answers) - 1:
                stored += bodies(talk.pull("T", 0, len(stored)))
            assert [body[:5] for body in stored] == [b"%05d" % number for number in range(len(stored))]
            assert talk.put("T", 0, b"small").code in (Response.SUCCESS, Response.SERVICE_NOT_AVAILABLE)
        running.end()
