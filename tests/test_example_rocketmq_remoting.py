"""examples/rocketmq: commands as bytes and as objects, and the tables that a broker keeps."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, copy_audit
from examples.rocketmq import durable
from examples.rocketmq.consumers import GroupError, Groups, Offsets, tags_of
from examples.rocketmq.limits import Limits
from examples.rocketmq.remoting import Command, FieldError, RemotingError, decode, encode, json_object, read_length
from examples.rocketmq.topics import AUTO_CREATE, RETRY, NoTopicError, Topic, TopicError, Topics

from .sinks import PATIENCE

HEAD: Final = b'{"code":34,"flag":0,"opaque":7,"extFields":{}}'


def frame(head: bytes, body: bytes = b"", *, kind: int = 0, size: int | None = None) -> CompositeBuffer:
    """What follows the length of a command."""
    word = kind << 24 | (len(head) if size is None else size)
    return CompositeBuffer([struct.pack(">I", word) + head + body])


def read(head: bytes, body: bytes = b"") -> Command:
    return decode(frame(head, body)[:])


# -- commands


@given(
    code=st.integers(0, 1 << 30), opaque=st.integers(-(1 << 31), (1 << 31) - 1), flag=st.integers(0, 3),
    remark=st.text(), fields=st.dictionaries(st.text(), st.text()), body=st.binary(),
)  # fmt: skip
def test_a_command_is_read_as_it_was_written(
    code: int, opaque: int, flag: int, remark: str, fields: dict[str, str], body: bytes
) -> None:
    written = encode(Command(code, opaque, flag, remark, fields, body))
    [length] = written.unpack_from(">I")
    assert length == len(written) - 4
    command = decode(written[4:])
    assert bytes(command.body) == body
    command.body = b""
    assert command == Command(code, opaque, flag, remark, fields)
    assert (command.is_response, command.is_oneway) == (bool(flag & 1), bool(flag & 2))


def test_a_body_is_neither_copied_out_nor_in() -> None:
    body = bytes(100_000)
    with copy_audit() as audit:
        command = decode(encode(Command(10, fields={"a": "b"}, body=body))[4:])
        assert len(command.body) == len(body)
    assert audit.nbytes < 1000


def test_fields_are_texts_whatever_they_were_written_as() -> None:
    command = read(b'{"code":1,"extFields":{"a":1,"b":true,"c":"x","d":null,"e":1.5}}')
    assert command.fields == {"a": "1", "b": "true", "c": "x", "e": "1.5"}
    assert (command.number("a"), command.flag_of("b"), command.flag_of("nothing"), command.text("c")) == (
        1,
        True,
        False,
        "x",
    )
    assert command.number("nothing", 5) == 5
    assert read(b'{"code":1,"extFields":null}').fields == {}


@pytest.mark.parametrize(
    ("field", "complaint"),
    [("c", "is no number"), ("nothing", "is missing"), ("big", "is not from 0 to"), ("minus", "is not from 0 to")],
    ids=["text", "missing", "above", "below"],
)
def test_a_field_that_is_no_number_is_told(field: str, complaint: str) -> None:
    command = Command(1, fields={"c": "x", "big": str(1 << 63), "minus": "-1"})
    with pytest.raises(FieldError, match=f"{field} {complaint}"):
        command.number(field)


@pytest.mark.parametrize(
    "bad",
    [
        frame(b""), frame(HEAD, kind=1), frame(HEAD, size=len(HEAD) + 1), frame(HEAD, size=0xFFFFFF),
        frame(b" " * 70_000), CompositeBuffer([b"\0\0\0"]), frame(b"[]"), frame(b"null"), frame(b"\xff"), frame(b"{"),
        frame(b"[" * 60_000), frame(b'{"code":"1"}'), frame(b'{"code":4294967296}'), frame(b'{"code":true}'),
        frame(b'{"opaque":1.5}'), frame(b'{"extFields":[]}'), frame(b'{"extFields":{"a":[]}}'),
        frame(b'{"code":' + b"1" * 5000 + b"}"),
    ],
    ids=[
        "empty", "binary", "longer", "much-longer", "long", "short", "list", "null", "no-utf8", "cut",
        "deep", "code-text", "code-large", "code-true", "opaque-fraction", "fields-list", "field-list", "digits",
    ],
)  # fmt: skip
def test_what_is_no_command_is_refused(bad: CompositeBuffer) -> None:
    with pytest.raises(RemotingError):
        decode(bad[:])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_refused(data: bytes) -> None:
    for start in (b"", struct.pack(">I", len(data))):
        try:
            decode(CompositeBuffer([start + data])[:])
        except RemotingError:
            pass


def test_an_answer_has_the_number_of_its_request() -> None:
    answer = Command(11, 7).answer(0, "well", body=b"x", offset=5)
    assert answer == Command(0, 7, 1, "well", {"offset": "5"}, b"x")
    buffer = CompositeBuffer([encode(answer)])
    assert buffer.parse(read_length, limit=4) == len(buffer)


def test_json_of_a_body_is_an_object() -> None:
    assert json_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(RemotingError):
        json_object(b"1")


# -- tables that survive


def test_a_table_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    assert durable.load(path) == {}
    durable.save(path, '{"a": 1}')
    path.with_suffix(".new").write_text('{"a"')  # a crash in the middle of the next
    assert durable.load(path) == {"a": 1}
    durable.save(path, '{"b": 2}')
    assert durable.load(path) == {"b": 2}
    assert [*tmp_path.iterdir()] == [path]
    path.write_text("[]")
    with pytest.raises(TypeError, match="is not what was written"):
        durable.load(path)


def test_topics_are_made_at_their_first_use_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "topics.json"
    topics = Topics(path, Limits(), auto_create=True)
    assert topics.get("T") is None
    assert topics.at_first_use("T") == topics.get("T") == Topic(4, 4)
    assert topics.at_first_use(RETRY + "G") == Topic(1, 1)
    assert topics.at_first_use(AUTO_CREATE) == Topic(4, 4)
    topics.put("T", Topic(2, 8, 4))
    topics.put("T", Topic(2, 8, 4))
    again = Topics(path, Limits(), auto_create=False)
    assert (again.get("T"), len(again)) == (Topic(2, 8, 4), 2)
    for missing in ("U", RETRY + "H", AUTO_CREATE):
        with pytest.raises(NoTopicError, match="there is no topic"):
            again.at_first_use(missing)
    assert again.of_group(RETRY + "H") == Topic(1, 1)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "a\n", "ä", "x" * 128, AUTO_CREATE], ids=repr
)  # fmt: skip
def test_a_topic_has_a_name_that_is_one(tmp_path: Path, name: str) -> None:
    topics = Topics(tmp_path / "topics.json", Limits(), auto_create=True)
    with pytest.raises(TopicError, match="there is no topic named"):
        topics.put(name, Topic())


def test_topics_and_their_queues_have_limits(tmp_path: Path) -> None:
    topics = Topics(tmp_path / "topics.json", Limits(topics=2, queues=5), auto_create=True)
    for topic in (Topic(0, 1), Topic(1, 0), Topic(6, 1), Topic(1, 6)):
        with pytest.raises(TopicError, match="1 to 5 queues"):
            topics.put("T", topic)
    topics.put("T", Topic(5, 5))
    topics.put("U", Topic(1, 1))
    with pytest.raises(TopicError, match="there may be no more"):
        topics.at_first_use("V")
    topics.put("U", Topic(2, 2))


def test_topics_of_many_groups_are_made_by_one_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat may name a thousand: nobody else is served while the disk is waited for."""
    topics = Topics(tmp_path / "topics.json", Limits(topics=1000), auto_create=False)
    topics.put(RETRY + "1", Topic(2, 2))
    written: list[str] = []
    monkeypatch.setattr(durable, "save", lambda _, text: written.append(text))
    topics.of_groups(f"{RETRY}{number}" for number in range(1000))
    topics.of_groups([RETRY + "5"])
    assert len(written) == 1
    assert (topics.get(RETRY + "1"), topics.get(RETRY + "999"), len(topics)) == (Topic(2, 2), Topic(1, 1), 1000)
    with pytest.raises(TopicError, match="there may be no more"):
        topics.of_groups([RETRY + "5", RETRY + "1000"])


# -- groups


@pytest.mark.parametrize(
    ("expression", "tags"),
    [("*", ""), ("", ""), ("a", "a"), ("a || b", "ab"), (" a||b|| ", "ab"), ("a || *", "")],
    ids=repr,
)
def test_subscriptions_name_tags(expression: str, tags: str) -> None:
    assert tags_of(expression) == frozenset(tags)


def test_members_come_and_go() -> None:
    now = 0.0
    groups = Groups(Limits(groups=2, members=2, member_time=10), lambda: now)
    here, there = object(), object()
    groups.hear("G", "b", {"T": "x"}, here)
    groups.hear("G", "a", {"T": "*"}, there)
    groups.hear("H", "a", {}, there)
    assert (groups.members("G"), groups.members("H"), groups.members("I")) == (["a", "b"], ["a"], [])
    assert (groups.subscription("G", "T"), groups.subscription("G", "U"), groups.subscription("I", "T")) == (
        "*",
        None,
        None,
    )
    with pytest.raises(GroupError, match="2 groups"):
        groups.hear("I", "a", {}, here)
    with pytest.raises(GroupError, match="2 members"):
        groups.hear("G", "c", {}, here)
    groups.lose(there)
    assert (groups.members("G"), groups.members("H")) == (["b"], [])
    groups.hear("H", "a", {}, there)
    now = 6
    groups.hear("G", "b", {}, here)
    now = 12
    groups.expire()
    assert (groups.members("G"), groups.members("H")) == (["b"], [])
    groups.leave("G", "nobody")
    groups.leave("I", "nobody")
    groups.leave("G", "b")
    assert groups.members("G") == []


def test_offsets_are_on_the_disk_when_it_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "offsets.json"

    async def session() -> None:
        async with asyncio.timeout(PATIENCE):
            offsets = Offsets(path, Limits(offsets=2))
            keeper = asyncio.create_task(offsets.keep())
            offsets.put("G", "T", 0, 5)
            offsets.put("G", "T", 1, 6)
            await asyncio.gather(offsets.settle(), offsets.settle())
            assert dict(Offsets(path, Limits()).items()) == {("G", "T", 0): 5, ("G", "T", 1): 6}
            offsets.put("G", "T", 1, 4)
            offsets.put("G", "T", 1, 4)
            with pytest.raises(GroupError, match="no group"):
                offsets.put("a b", "T", 1, 4)
            with pytest.raises(GroupError, match="2 offsets"):
                offsets.put("H", "T", 1, 4)
            offsets.finish()
            await keeper
        again = Offsets(path, Limits())
        assert (again.get("G", "T", 1), again.get("G", "T", 2)) == (4, None)

    asyncio.run(session())


def test_offsets_that_nobody_waits_for_are_written_some_time_later(tmp_path: Path) -> None:
    path = tmp_path / "offsets.json"

    async def session() -> None:
        offsets = Offsets(path, Limits(offsets_time=0.01))
        keeper = asyncio.create_task(offsets.keep())
        offsets.put("G", "T", 0, 5)
        async with asyncio.timeout(PATIENCE):
            while not path.exists():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
        offsets.finish()
        await keeper
        assert json.loads(path.read_text()) == {"G\nT\n0": 5}

    asyncio.run(session())


def test_offsets_that_change_during_the_last_writing_are_written_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "offsets.json"
    is_writing, may_write = threading.Event(), threading.Event()
    save = durable.save

    def slowly(path: Path, text: str) -> None:
        is_writing.set()
        assert may_write.wait(PATIENCE)
        save(path, text)

    async def session() -> None:
        async with asyncio.timeout(PATIENCE):
            offsets = Offsets(path, Limits(offsets_time=0.01))
            offsets.put("G", "T", 0, 5)
            keeper = asyncio.create_task(offsets.keep())
            assert await asyncio.to_thread(is_writing.wait, PATIENCE)
            offsets.put("G", "T", 0, 6)  # with a pull: nobody waits for it
            offsets.finish()
            may_write.set()
            await keeper

    monkeypatch.setattr(durable, "save", slowly)
    asyncio.run(session())
    assert json.loads(path.read_text()) == {"G\nT\n0": 6}


def test_offsets_that_cannot_be_written_are_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    async def session() -> None:
        async with asyncio.timeout(PATIENCE):
            offsets = Offsets(folder / "offsets.json", Limits())
            keeper = asyncio.create_task(offsets.keep())
            offsets.put("G", "T", 0, 5)
            with pytest.raises(FileNotFoundError):
                await offsets.settle()
            folder.mkdir()
            await offsets.settle()
            offsets.finish()
            await keeper

    asyncio.run(session())
