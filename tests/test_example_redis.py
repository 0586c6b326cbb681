"""examples/redis_resp.py: every type, every cut, the limits, and a real redis-server."""

from __future__ import annotations

import errno
import math
import os
import re
import runpy
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, Reader, SliceBuffer, copy_audit, flush, no_copy
from bytebufs.testing import Outcome, check_fragmentation, fragmentations, outcome_of
from examples.redis_resp import MAX_DEPTH, Aggregate, Client, RedisError, Replies, Value, encode, show

from .conftest import IS_QUICK, PLACES, RANDOM_CUTS
from .fed import Fed
from .layouts import addresses

ROOT: Final = Path(__file__).parent.parent
MANY: Final = 7_000 if IS_QUICK else 100_000
"""Commands, or elements of a reply: their replies are more than one read takes (64 KiB)."""

BIG: Final = (16 if IS_QUICK else 64) << 20


def plain(value: Value) -> object:
    """Return what compares by content and kind: NaN too, and 1 apart from True."""
    match value:
        case Aggregate():
            return value.kind, [plain(item) for item in value]
        case RedisError():
            return "error", str(value)
        case SliceBuffer():
            return bytes(value)
        case _:
            return type(value).__name__, repr(value)


def check(data: bytes, limit: int) -> Outcome:
    return check_fragmentation(lambda: Fed(Replies(limit)), data, plain=plain, limit=PLACES, random_cuts=RANDOM_CUTS)


def run(pieces: list[bytes], limit: int = 10_000) -> Outcome:
    return outcome_of(Fed(Replies(limit)), pieces, plain=plain)


def parse(data: bytes, limit: int = 10_000) -> list[Value]:
    replies = Replies(limit)
    replies.buffer.append(data)
    return list(replies)


# -- what a server says


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b"+\r\n", ""),
        (b"+na\xc3\xafve \xff\r\n", "naïve \\xff"),
        (b":0\r\n", 0),
        (b":+17\r\n", 17),
        (b":-9223372036854775808\r\n", -(2**63)),
        (b"(-%d\r\n" % 7**300, -(7**300)),
        (b",1.5\r\n", 1.5),
        (b",-10\r\n", -10.0),
        (b",1.e-7\r\n", 1e-7),
        (b",inf\r\n", float("inf")),
        (b",-inf\r\n", float("-inf")),
        (b"#t\r\n", True),
        (b"#f\r\n", False),
        (b"_\r\n", None),
        (b"$5\r\nhello\r\n", b"hello"),
        (b"$0\r\n\r\n", b""),
        (b"$4\r\n\r\n\r\n\r\n", b"\r\n\r\n"),
        (b"=9\r\nmkd:# Hi\n\r\n", b"# Hi\n"),
        (b"*0\r\n", []),
        (b"*3\r\n:1\r\n*2\r\n+a\r\n_\r\n*0\r\n", [1, ["a", None], []]),
        (b"~2\r\n#t\r\n:1\r\n", [True, 1]),
        (b"%2\r\n$1\r\na\r\n:1\r\n*1\r\n:2\r\n%0\r\n", [b"a", 1, [2], []]),
        (b">2\r\n+message\r\n+hi\r\n", ["message", "hi"]),
        (b"|1\r\n+ttl\r\n:3600\r\n*1\r\n:7\r\n", [7]),
        (b"|0\r\n+bare\r\n", "bare"),
    ],
)
def test_a_value_of_each_type(data: bytes, value: Value) -> None:
    [parsed] = parse(data)
    assert parsed == value
    assert isinstance(parsed, bool) == isinstance(value, bool)
    if isinstance(parsed, Aggregate) and data[:1] != b"|":
        assert parsed.kind == data[:1].decode()


@pytest.mark.parametrize("text", ["nan", "-nan", "NAN", "-NaN", "+nan", "nan()", "nan(0x7ff)", "-NAN(char_seq_9)"])
def test_every_libc_s_nan_is_one(text: str) -> None:
    [value] = parse(b",%s\r\n" % text.encode())
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("INF", math.inf), ("-Inf", -math.inf), ("+inf", math.inf), ("1E3", 1e3), ("1e+3", 1e3), ("2e-400", 0.0)],
)
def test_doubles_are_spelled_in_more_than_one_way(text: str, value: float) -> None:
    assert parse(b",%s\r\n" % text.encode()) == [value]


# -- attributes


def attributes_of(data: bytes) -> list[tuple[object, object]]:
    """Return the attributes of a reply, each with the value behind it."""
    replies = Replies()
    replies.buffer.append(data)
    [_] = replies
    return [(plain(attribute), plain(value)) for attribute, value in replies.attributes]


def test_attributes_are_no_part_of_a_reply() -> None:
    ttl = ("|", [("str", "'ttl'"), ("int", "9")])
    assert attributes_of(b"|1\r\n+ttl\r\n:9\r\n:7\r\n") == [(ttl, ("int", "7"))]
    data = b"*3\r\n:1\r\n|1\r\n+ttl\r\n:9\r\n-ERR no\r\n:3\r\n"
    [value] = parse(data)
    assert show(value) == "*[1, ERR no, 3]"
    assert attributes_of(data) == [(ttl, ("error", "ERR no"))]


def test_what_is_behind_an_attribute_is_what_it_is() -> None:
    error, nested, push = parse(
        b"|1\r\n+a\r\n:1\r\n-ERR no\r\n" + b"|0\r\n|1\r\n+b\r\n%0\r\n!3\r\nBAD\r\n" + b"|0\r\n>2\r\n+message\r\n_\r\n"
    )
    assert isinstance(error, RedisError)
    assert isinstance(nested, RedisError)
    assert isinstance(push, Aggregate)
    assert (push.kind, push) == (">", ["message", None])


def test_attributes_may_have_attributes() -> None:
    inner, outer = attributes_of(b"|1\r\n|0\r\n+a\r\n:1\r\n:2\r\n")
    assert inner == (("|", []), ("str", "'a'"))
    assert outer == (("|", [("str", "'a'"), ("int", "1")]), ("int", "2"))


def test_attributes_are_those_of_the_last_reply() -> None:
    replies = Replies()
    replies.buffer.append(b"|0\r\n:1\r\n:2\r\n|0\r\n:3\r\n|0")
    assert [(value, replies.attributes) for value in replies] == [(1, [([], 1)]), (2, []), (3, [([], 3)])]
    assert replies.attributes == [([], 3)]


def test_errors_are_values() -> None:
    outer, blob = parse(b"*2\r\n-ERR no\r\n:1\r\n!9\r\nSYNTAX \r\n\r\n")
    assert isinstance(outer, Aggregate)
    assert [str(outer[0]), outer[1], str(blob)] == ["ERR no", 1, "SYNTAX \r\n"]
    assert isinstance(outer[0], RedisError)
    assert isinstance(blob, RedisError)


def test_a_blob_is_a_slice_of_what_was_received() -> None:
    received = b"*2\r\n$4\r\nfour\r\n$6\r\nsixsix\r\n"
    with no_copy():
        [values] = parse(received)
    assert isinstance(values, Aggregate)
    whole = addresses(SliceBuffer(received))
    assert [addresses(value) for value in values if isinstance(value, SliceBuffer)] == [whole[8:12], whole[18:24]]


def test_show() -> None:
    [value] = parse(b"%1\r\n$1\r\nk\r\n~2\r\n:1\r\n_\r\n")
    assert show(value) == "%[k, ~[1, None]]"


# -- what is malformed


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"?", "no type begins with '?'"),
        (b"\r\n", "no type begins with '\\r'"),
        (b"+a\nb\r\n", r"malformed: 'a\nb'"),
        (b"-a\rb\r\n", r"malformed: 'a\rb'"),
        (b":\r\n", "malformed: ''"),
        (b":1_0\r\n", "malformed: '1_0'"),
        (b": 1\r\n", "malformed: ' 1'"),
        (b":1\n\r\n", r"malformed: '1\n'"),
        (b":\xd9\xa3\r\n", "malformed: '٣'"),
        (b"(1.0\r\n", "malformed: '1.0'"),
        (b"(%s\r\n" % (b"1" * 4301), "malformed: '1111"),
        (b",1_0\r\n", "malformed: '1_0'"),
        (b",infinity\r\n", "malformed: 'infinity'"),
        (b",nan(\r\n", "malformed: 'nan('"),
        (b",nan(1))\r\n", "malformed: 'nan(1))'"),
        (b",1e999\r\n", "a double too large: '1e999'"),
        (b",\r\n", "malformed: ''"),
        (b",.5\r\n", "malformed: '.5'"),
        (b"#true\r\n", "malformed: 'true'"),
        (b"_0\r\n", "malformed: '0'"),
        (b"$-1\r\n", "malformed: '-1'"),
        (b"$?\r\n", "malformed: '?'"),
        (b"*+1\r\n", "malformed: '+1'"),
        (b"$3\r\nabcde", r"b'\r\n' is expected, not b'd'"),
        (b"$3\r\nabc\rx", r"b'\r\n' is expected, not b'\rx'"),
        (b"=3\r\ntxt\r\n", "malformed: 'txt'"),
        (b"=4\r\ntext\r\n", "malformed: 'text'"),
        (b"*1\r\n>1\r\n", "a push inside"),
        (b"*1\r\n|0\r\n>1\r\n", "a push inside"),
        (b"|1\r\n>1\r\n", "a push inside"),
        (b">1\r\n>1\r\n", "a push inside"),
    ],
)
def test_what_is_malformed_is_said_so_again_and_again(data: bytes, reason: str) -> None:
    replies = Replies()
    replies.buffer.append(b"+good\r\n" + data)
    values = iter(replies)
    assert next(values) == "good"
    for _ in range(2):
        with pytest.raises(FrameError, match=re.escape(reason)):
            next(iter(replies))
        replies.buffer.append(b"+more\r\n")


# -- every cut

SESSION: Final = (
    b"%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n+proto\r\n:3\r\n"
    b"+OK\r\n-ERR unknown\r\n:-1\r\n(12345678901234567890\r\n,3.25\r\n,nan\r\n#t\r\n_\r\n"
    b"=8\r\ntxt:a\r\nb\r\n!7\r\nERR a\r\n\r\n"
    b">3\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n_\r\n"
    b"*3\r\n*2\r\n:1\r\n*0\r\n~1\r\n$2\r\n\r\n\r\n|1\r\n+ttl\r\n:9\r\n%1\r\n#f\r\n,1e3\r\n"
)


@pytest.mark.parametrize(
    "ending",
    [
        b"",
        b"$5\r\nhel",
        b"*2\r\n:1\r\n",
        b"*2\r\n*3\r\n+a\r\n",
        b"$3\r\nabc\r.",
        b"*1\r\n:x\r\n",
        b"*\r\n",
        b"$9999\r\nx",
    ],
)
def test_no_cut_changes_anything(ending: bytes) -> None:
    found = check(SESSION + ending, 400)
    assert len(found.results) == 13
    assert found.taken is not None
    assert found.taken >= len(SESSION)
    assert (found.error is None) == (ending in {b"", b"$5\r\nhel", b"*2\r\n:1\r\n", b"*2\r\n*3\r\n+a\r\n"})


@pytest.mark.parametrize(
    "data", [b"$4\r\nfour\r\n", b"+" + b"s" * 9 + b"\r\n", b"*2\r\n*1\r\n_\r\n:123\r\n", b"*3\r\n_\r\n_\r\n_\r\n"]
)
def test_the_limit_is_inclusive_for_every_cut(data: bytes) -> None:
    assert check(data * 2, len(data)).error is None
    for limit in range(1, len(data)):
        found = check(data, limit)
        assert found.results == []
        assert found.error == (LimitExceeded, str(LimitExceeded(limit)))


def simple(text: str) -> bytes:
    return text.replace("\r", "").replace("\n", "").encode()


SCALARS: Final = st.one_of(
    st.just(b"_\r\n"),
    st.booleans().map(lambda flag: b"#%c\r\n" % b"ft"[flag]),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: b":%d\r\n" % n),
    st.integers().map(lambda n: b"(%d\r\n" % n),
    st.floats().map(lambda x: b",%s\r\n" % repr(x).encode()),
    st.text(max_size=9).map(lambda text: b"+%s\r\n" % simple(text)),
    st.text(max_size=9).map(lambda text: b"-%s\r\n" % simple(text)),
    st.binary(max_size=9).map(lambda blob: b"$%d\r\n%s\r\n" % (len(blob), blob)),
)


def aggregates(items: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    def joined(kind: str, each: int, more: int) -> st.SearchStrategy[bytes]:
        sizes = st.integers(0, 4)
        return sizes.flatmap(
            lambda size: st.lists(items, min_size=each * size + more, max_size=each * size + more).map(
                lambda parts: b"%s%d\r\n%s" % (kind.encode(), size, b"".join(parts))
            )
        )

    return joined("*", 1, 0) | joined("~", 1, 0) | joined("%", 2, 0) | joined("|", 2, 1)


REPLIES: Final = st.recursive(SCALARS, aggregates, max_leaves=12)


@given(st.lists(REPLIES, max_size=4), st.binary(max_size=4), st.data())
def test_no_cut_changes_any_replies(good: list[bytes], rest: bytes, data: st.DataObject) -> None:
    stream = b"".join(good) + rest
    expected = run([stream])
    assert expected.results[: len(good)] == [plain(value) for reply in good for value in parse(reply)]
    assert len(expected.results) >= len(good)
    assert run(data.draw(fragmentations(stream))) == expected


# -- what is hostile


@pytest.mark.parametrize(
    "head",
    [b"$1001\r\n", b"$9223372036854775807\r\n", b"*333\r\n", b"*9999999999999999999\r\n", b"%167\r\n", b"|166\r\n"],
)
def test_a_declared_size_beyond_the_limit_is_refused_at_once(head: bytes) -> None:
    assert run([head], 1000) == Outcome([], (LimitExceeded, "the limit of 1000 bytes is exceeded"), 0)


def refused_at_1000(pieces: list[bytes]) -> int:
    """Feed pieces until the limit of 1000 bytes is said to be exceeded; return how many are held then."""
    replies = Replies(1000)

    def feed() -> None:
        for piece in pieces:
            replies.buffer.append(piece)
            assert list(replies) == []

    with pytest.raises(LimitExceeded, match="limit of 1000 bytes"):
        feed()
    return len(replies.buffer)


def test_a_line_without_an_end_is_refused_at_the_limit() -> None:
    for kind in b"+-:(,#_$!=*~>%|":
        assert run([bytes([kind]), *[b"1" * 100] * 9], 1000) == Outcome([], None, 0)
        held = refused_at_1000([bytes([kind]), *[b"1" * 100] * 100])
        assert held <= 1000 + 100


def test_a_limit_counts_all_that_is_nested() -> None:
    item = b"*2\r\n$50\r\n%s\r\n" % bytes(50)
    assert len(run([item] * 16, 1000).results) == 0
    assert refused_at_1000([item] * 100) <= len(item)


@pytest.mark.parametrize("kind", [b"*1\r\n", b"~1\r\n", b"%1\r\n:1\r\n", b"|0\r\n"])
def test_depth_is_bounded(kind: bytes) -> None:
    deepest = parse(kind * MAX_DEPTH + b"_\r\n", 1 << 20)
    assert len(deepest) == 1
    assert show(deepest[0]).count("[") == (0 if kind[:1] == b"|" else MAX_DEPTH)
    with pytest.raises(FrameError, match=f"more than {MAX_DEPTH} deep"):
        parse(kind * MANY, 1 << 20)


class CountingReplies(Replies):
    """Counts how often a read was begun."""

    reads = 0

    def _read(self, r: Reader) -> Aggregate:
        self.reads += 1
        return super()._read(r)


def test_the_work_is_linear_in_the_elements_however_small_the_pieces() -> None:
    n = 500 if IS_QUICK else 2_000
    data = b"*%d\r\n" % n + b"$3\r\nabc\r\n" * n
    replies = CountingReplies()
    values = []
    for at in range(0, len(data), 2):
        replies.buffer.append(data[at : at + 2])
        values += list(replies)
    [value] = values
    assert value == [b"abc"] * n
    assert replies.reads <= 5 * (n + 1)  # its type, its line, its bytes, its end, and once more


# -- commands


def test_a_command_shows_what_it_was_given() -> None:
    value = bytes(1000)
    composite = CompositeBuffer([b"in ", bytearray(b"two")])
    with no_copy(strict=True):
        command = encode(b"SET", value, composite, b"")
    assert command == b"*4\r\n$3\r\nSET\r\n$1000\r\n%s\r\n$6\r\nin two\r\n$0\r\n\r\n" % value
    assert addresses(command)[20:1020] == addresses(SliceBuffer(value))


@given(st.lists(st.binary(max_size=20), min_size=1))
def test_a_command_is_an_array_of_blobs(arguments: list[bytes]) -> None:
    [value] = parse(bytes(encode(*arguments)))
    assert value == arguments


@contextmanager
def scripted(answer: bytes) -> Iterator[socket.socket]:
    """Give a socket on whose other end an answer waits, and then the end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        yield ours


def test_a_server_that_speaks_no_resp3_is_refused() -> None:
    for head in (b"", b"|1\r\n+why\r\n+test\r\n", b"|0\r\n|0\r\n", b">1\r\n+hi\r\n"):
        with scripted(head + b"-NOPROTO sorry\r\n") as sock, pytest.raises(RedisError, match="NOPROTO sorry"):
            Client(sock)


def test_a_server_that_hangs_up_is_noticed() -> None:
    with scripted(b"%0\r\n$5\r\nhal") as sock:
        client = Client(sock)
        with pytest.raises(ConnectionError, match=r"hung up with 1 replies due$"):
            client.call(encode(b"GET", b"k"))


@contextmanager
def answering(
    *answers: bytes | Callable[[bytes], bytes], timeout: float = 60, room: int | None = None
) -> Iterator[Client]:
    """Give the client of a server that answers each command by the next of these, HELLO apart; the last serves on.

    ``room`` is how many bytes their sockets hold.
    """
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        if room is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)

    def serve() -> None:
        commands, left = Replies(), [b"%0\r\n", *answers]
        with suppress(OSError):
            while chunk := theirs.recv(65536):
                commands.buffer.append(chunk)
                for command in commands:
                    assert isinstance(command, Aggregate)
                    answer = left.pop(0) if len(left) > 1 else left[0]
                    [*_, last] = command
                    assert isinstance(last, SliceBuffer)
                    theirs.sendall(answer if isinstance(answer, bytes) else answer(bytes(last)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with theirs, ours:
        ours.settimeout(60)
        client = Client(ours)
        ours.settimeout(timeout)
        yield client
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(60)
        assert not thread.is_alive()


def assert_broken(client: Client, why: str) -> None:
    for _ in range(2):
        with pytest.raises(ConnectionError, match=f"this client is broken, make another one: .*{why}"):
            client.call(encode(b"GET", b"another"))
    client.pushes.clear()
    with pytest.raises(ConnectionError, match=why):
        client.next_push()


@pytest.mark.parametrize("late", [b"", b"$3\r\nfo", b"*2\r\n:1\r\n", b"+a\r\n", b">1\r\n+message\r\n"])
def test_no_call_gets_the_reply_of_one_that_was_cut_short(late: bytes) -> None:
    with answering(late, b"", timeout=0.01) as client:
        with pytest.raises(TimeoutError, match=r"^timed out: nothing came for 0\.01 s$"):
            client.call(encode(b"GET", b"foo"), encode(b"GET", b"bar"), encode(b"GET", b"baz"))
        assert_broken(client, "TimeoutError")


@pytest.mark.parametrize(
    ("answer", "error"),
    [(b"+a\r\n:x\r\n", FrameError), (b"*999999999999\r\n", LimitExceeded), (b"HTTP/1.1 400 \r\n", FrameError)],
)
def test_what_is_malformed_breaks_the_client(answer: bytes, error: type[Exception]) -> None:
    with answering(answer) as client:
        with pytest.raises(error):
            client.call(encode(b"GET", b"a"), encode(b"GET", b"b"))
        assert_broken(client, error.__name__)


class Interrupted(socket.socket):
    """A socket whose next calls are interrupted, as by a signal handler that raises: before it, or behind it."""

    where = ""

    def recv(self, *arguments: Any) -> bytes:
        found = super().recv(*arguments) if self.where == "behind" else b""
        if self.where:
            raise KeyboardInterrupt
        return found or super().recv(*arguments)


@pytest.mark.parametrize("where", ["before", "behind"])
def test_an_interrupt_breaks_the_client(where: str) -> None:
    with scripted(b"%0\r\n") as sock, Interrupted(fileno=sock.detach()) as ours:
        client = Client(ours)
        ours.where = where
        with pytest.raises(KeyboardInterrupt):
            client.call(encode(b"GET", b"k"))
        ours.where = ""
        assert_broken(client, "KeyboardInterrupt")


def test_a_server_that_ends_in_the_middle_breaks_the_client_and_its_last_words_are_told() -> None:
    with scripted(b"%0\r\n") as sock:
        client = Client(sock)
        with pytest.raises(ConnectionError, match="hung up with 2 replies due"):
            client.call(encode(b"GET", b"a"), encode(b"GET", b"b"))
        assert_broken(client, "hung up")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"%0\r\n")
        client = Client(ours)
        theirs.sendall(b"-ERR max number of clients reached\r\n")
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(
            ConnectionError, match=r"1 replies due; the last it said: ERR max number of clients reached$"
        ):
            client.call(encode(b"GET", b"a"), encode(b"GET", b"b"))


def test_a_reply_that_nobody_asked_for_breaks_the_client_and_no_call_gets_it() -> None:
    with answering(b"$1\r\na\r\n$1\r\nb\r\n") as client:
        assert client.call(encode(b"GET", b"a")) == [b"a"]
        assert_broken(client, "a reply that nobody had asked for: b")


def test_a_call_inside_of_another_one_is_refused() -> None:
    class Nested(socket.socket):
        client: Client | None = None

        def recv(self, *arguments: Any) -> bytes:
            if self.client:
                with pytest.raises(ConnectionError, match="another call is under way"):
                    self.client.call(encode(b"GET", b"inner"))
            return super().recv(*arguments)

    ours, theirs = socket.socketpair()
    with theirs, Nested(fileno=ours.detach()) as sock:
        theirs.sendall(b"%0\r\n")
        sock.client = Client(sock)
        theirs.sendall(b"+outer\r\n")
        assert sock.client.call(encode(b"GET", b"outer")) == ["outer"]
        theirs.setblocking(False)
        assert b"inner" not in theirs.recv(1000)


@pytest.mark.parametrize(
    "command",
    [
        encode(b"monitor"),
        encode(b"RESET"),
        encode(b"CLIENT", b"Reply", b"OFF"),
        encode(b"HELLO", b"2"),
        encode(b"PSYNC", b"?", b"-1"),
        encode(),
        CompositeBuffer([b"PING\r\n"]),
        CompositeBuffer(),
    ],
    ids=repr,
)
def test_what_replies_cannot_be_told_apart_after_is_not_sent(command: CompositeBuffer) -> None:
    with answering(b"+PONG\r\n") as client:
        with pytest.raises(
            ValueError, match=r"replies could not be told apart after|a command is what encode\(\) returns"
        ):
            client.call(encode(b"PING"), command)
        assert client.call(encode(b"PING"), encode(b"client", b"replyx")) == ["PONG", "PONG"]
        assert client.call() == []


@pytest.mark.parametrize(
    ("size", "count", "room"),
    [(1 << 20, 8 if IS_QUICK else 32, None), (10, 2_000 if IS_QUICK else 20_000, 8 << 10 if IS_QUICK else None)],
)
def test_replies_are_read_while_commands_are_sent(size: int, count: int, room: int | None) -> None:
    """The peer holds no more than its socket does, a part of all: it reads on once its answer has gone."""
    with answering(lambda blob: b"$%d\r\n%s\r\n" % (len(blob), blob), room=room) as client:
        blobs = [b"%d" % i + bytes(size) for i in range(count)]
        with no_copy():
            replies = client.call(*[encode(b"ECHO", blob) for blob in blobs])
        assert replies == blobs
        assert client.call(encode(b"ECHO", b"more")) == [b"more"]


@pytest.mark.parametrize("timeout", [None, 0, 60])
def test_a_socket_s_mode_is_what_it_was(timeout: float | None) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"%0\r\n")
        ours.settimeout(timeout)
        client = Client(ours)
        assert ours.gettimeout() == timeout
        theirs.sendall(b"+a\r\n")
        assert client.call(encode(b"GET", b"a")) == ["a"]
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError):
            client.call(encode(b"GET", b"a"))
        assert ours.gettimeout() == timeout


def test_attributes_of_a_call_and_behind_them_pushes() -> None:
    answer = b"|1\r\n+a\r\n:1\r\n>1\r\n+message\r\n|0\r\n+OK\r\n"
    with answering(answer, b"+bare\r\n") as client:
        assert client.call(encode(b"GET", b"k")) == ["OK"]
        assert client.pushes == [["message"]]
        assert [(show(a), show(value)) for a, value in client.attributes] == [("|[a, 1]", ">[message]"), ("|[]", "OK")]
        assert client.call(encode(b"GET", b"k")) == ["bare"]
        assert client.attributes == []


def test_tls() -> None:
    authority = trustme.CA()
    server, context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("redis.test").configure_cert(server)
    authority.configure_trust(context)
    ours, theirs = socket.socketpair()
    blobs = [bytes([i]) * 300_000 for i in range(40)]

    def serve() -> None:
        commands = Replies()
        # The client goes away without a word, which OpenSSL may tell as a broken pipe.
        with suppress(BrokenPipeError), server.wrap_socket(theirs, server_side=True) as stream:
            while chunk := stream.recv(65536):
                commands.buffer.append(chunk)
                for command in commands:
                    assert isinstance(command, Aggregate)
                    last = command[-1]
                    assert isinstance(last, SliceBuffer)
                    stream.sendall(b"$%d\r\n%s\r\n" % (len(last), bytes(last)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with context.wrap_socket(ours, server_hostname="redis.test") as sock:
        sock.settimeout(60)
        client = Client(sock)
        assert client.call(*[encode(b"ECHO", blob) for blob in blobs]) == blobs
    thread.join(60)
    assert not thread.is_alive()


# -- what is subscribed to


def push(*items: bytes | int | None) -> bytes:
    texts = (b"_" if item is None else b":%d" % item if isinstance(item, int) else b"+%s" % item for item in items)
    return b">%d\r\n%s\r\n" % (len(items), b"\r\n".join(texts))


def test_what_is_subscribed_to_is_confirmed_by_pushes() -> None:
    message = push(b"message", b"a", b"hello")
    one = push(b"subscribe", b"b", 1) + message + push(b"subscribe", b"a", 2) + push(b"subscribe", b"a", 2)
    with answering(one, b"+OK\r\n" + message, push(b"unsubscribe", b"a", 1)) as client:
        [confirmed, reply, gone] = client.call(
            encode(b"Subscribe", b"b", b"a", b"a"), encode(b"SET", b"k", b"v"), encode(b"UNSUBSCRIBE", b"a")
        )
    assert [show(value) for value in (confirmed, reply, gone)] == [">[subscribe, a, 2]", "OK", ">[unsubscribe, a, 1]"]
    assert [item[0] for item in client.pushes if isinstance(item, list)] == [
        *["subscribe", "message", "subscribe", "subscribe", "message", "unsubscribe"]
    ]


@pytest.mark.parametrize("kind", [b"", b"p", b"s"])
def test_all_that_is_subscribed_to_is_let_go_of(kind: bytes) -> None:
    on, off = kind + b"subscribe", kind + b"unsubscribe"
    both = push(on, b"a", 1) + push(on, b"b", 2)
    taken = push(off, b"a", 0)  # unasked: a shard that has moved
    with answering(
        both, push(off, b"b", 1) + taken, push(off, None, 0), push(on, b"c", 1), push(off, b"c", 0)
    ) as client:
        for command in ([on, b"a", b"b"], [off], [off], [on, b"c"], [off]):
            [reply] = client.call(encode(*command))
            assert isinstance(reply, Aggregate)
        assert len(client.pushes) == 7


def test_a_subscription_that_is_refused_is_an_error() -> None:
    with answering(b"|0\r\n-NOPERM no\r\n", b"+QUEUED\r\n", push(b"subscribe", b"a", 1)) as client:
        [error] = client.call(encode(b"SUBSCRIBE", b"a", b"b"))
        assert isinstance(error, RedisError)
        assert client.call(encode(b"PSUBSCRIBE", b"*")) == ["QUEUED"]
        assert client.call(encode(b"SUBSCRIBE", b"a")) == [["subscribe", "a", 1]]


def test_a_confirmation_that_does_not_come_breaks_the_client() -> None:
    answer = push(b"subscribe", b"other", 1) + push(b"psubscribe", b"news", 1) + push(b"subscribe", b"a")
    with answering(answer, timeout=0.01) as client:
        with pytest.raises(TimeoutError):
            client.call(encode(b"SUBSCRIBE", b"news"))
        assert_broken(client, "TimeoutError")


def test_waiting_for_a_push() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"%0\r\n" + push(b"one"))
        client = Client(ours)
        ours.settimeout(0.01)
        assert client.next_push() == ["one"]
        theirs.sendall(push(b"two") + push(b"three")[:7])
        assert client.next_push() == ["two"]
        for _ in range(2):
            with pytest.raises(TimeoutError):
                client.next_push()
        theirs.sendall(push(b"three")[7:] + b"+OK\r\n")
        assert client.call(encode(b"PING")) == ["OK"]
        assert client.next_push() == ["three"]
        theirs.sendall(b"+unasked\r\n")
        with pytest.raises(ConnectionError, match="nobody had asked for: unasked"):
            client.next_push()
        assert_broken(client, "unasked")


def test_a_connection_that_the_system_gives_up_is_broken() -> None:
    class Lost(socket.socket):
        is_lost = False

        def recv(self, *arguments: Any) -> bytes:
            if self.is_lost:
                raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
            return super().recv(*arguments)

    with scripted(b"%0\r\n") as sock, Lost(fileno=sock.detach()) as ours:
        client = Client(ours)
        ours.is_lost = True
        with pytest.raises(TimeoutError, match="Connection timed out"):
            client.next_push()
        assert_broken(client, "Connection timed out")


# -- a real server

needs_redis = pytest.mark.needs("redis-server", "redis-cli")


class Server:
    """A redis-server of our own, on a Unix socket and a free port of the loopback."""

    def __init__(self, process: subprocess.Popen[str], path: str, port: int) -> None:
        self.process = process
        self.path = path
        self.port = port

    @contextmanager
    def client(self) -> Iterator[Client]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(self.path)
            yield Client(sock)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def start_redis(folder: str) -> Server | None:
    """Start a server and wait until it accepts connections; None if it ends before that."""
    path, port = f"{folder}/redis", free_port()
    options = f"--port {port} --bind 127.0.0.1 --unixsocket {path} --dir {folder} --appendonly no --daemonize no"
    process = subprocess.Popen(
        ["redis-server", *options.split(), "--save", "", "--enable-debug-command", "yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    for line in process.stdout:
        if "eady to accept connections" in line:
            return Server(process, path, port)
    process.wait()
    process.stdout.close()
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="redis") as folder:  # the path of a socket has to be short
        # Another process may take the free port in between: then once more.
        found = start_redis(folder) or start_redis(folder)
        assert found, "redis-server does not start"
        yield found
        found.process.terminate()
        found.process.communicate(timeout=60)


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as client:
        client.call(encode(b"FLUSHALL"))
        yield client


@needs_redis
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (b"string", b"Hello World"),
        (b"integer", 12345),
        (b"double", 3.141),
        (b"null", None),
        (b"array", [0, 1, 2]),
        (b"set", [0, 1, 2]),
        (b"map", [0, False, 1, True, 2, False]),
        (b"attrib", b"Some real reply following the attribute"),
        (b"verbatim", b"This is a verbatim\nstring"),
        (b"true", True),
        (b"false", False),
        (b"bignum", 1234567999999999999999999999999999999),
    ],
    ids=lambda kind: kind.decode() if isinstance(kind, bytes) else "",
)
def test_redis_sends_each_type(client: Client, kind: bytes, value: Value) -> None:
    [reply] = client.call(encode(b"DEBUG", b"PROTOCOL", kind))
    assert reply == value
    assert isinstance(reply, bool) == isinstance(value, bool)
    if isinstance(reply, Aggregate):
        assert reply.kind == {b"array": "*", b"set": "~", b"map": "%"}[kind]
    attributes = [([b"key-popularity", [b"key:123", 90]], value)] if kind == b"attrib" else []
    assert client.attributes == attributes


@needs_redis
def test_redis_sends_errors(client: Client) -> None:
    [error, *replies] = client.call(
        encode(b"NONSENSE"), encode(b"SET", b"k", b"text"), encode(b"MULTI"), encode(b"INCR", b"k"), encode(b"EXEC")
    )
    assert str(error).startswith("ERR unknown command 'NONSENSE'")
    assert replies[:3] == ["OK", "OK", "QUEUED"]
    assert isinstance(replies[3], Aggregate)
    assert list(map(show, replies[3])) == ["ERR value is not an integer or out of range"]


@needs_redis
def test_redis_sends_nested_structures(client: Client) -> None:
    script = b"redis.setresp(3); return {1, {2, {3, {'x', {double=1.5}, {map={k={set={m=true}}}}, false}}}}"
    client.call(encode(b"XADD", b"s", b"1-1", b"field", b"value"), encode(b"XGROUP", b"CREATE", b"s", b"g", b"0"))
    nested, stream, commands = client.call(
        encode(b"EVAL", script, b"0"), encode(b"XINFO", b"STREAM", b"s", b"FULL"), encode(b"COMMAND", b"DOCS", b"SET")
    )
    assert show(nested) == "*[1, *[2, *[3, *[x, 1.5, %[k, ~[m]], False]]]]"
    assert "groups, *[%[name, g, last-delivered-id, 0-0" in show(stream)
    assert show(commands).startswith("%[set, %[summary, Set")  # "Set the string value", later "Sets"


@needs_redis
def test_redis_says_unasked_what_changed(server: Server, client: Client) -> None:
    client.call(encode(b"CLIENT", b"TRACKING", b"ON"), encode(b"GET", b"k"))
    with server.client() as other:
        assert other.call(encode(b"SET", b"k", b"new")) == ["OK"]
    assert client.call(encode(b"GET", b"k")) == [b"new"]
    assert [show(push) for push in client.pushes] == [">[invalidate, *[k]]"]


@needs_redis
def test_redis_publishes(server: Server, client: Client) -> None:
    subscribe = [
        encode(b"SUBSCRIBE", b"news", b"talk"),
        encode(b"PSUBSCRIBE", b"n?ws"),
        encode(b"SSUBSCRIBE", b"shard"),
    ]
    *confirmed, pong = client.call(*subscribe, encode(b"PING"))
    assert [show(value) for value in confirmed] == [
        ">[subscribe, talk, 2]",
        ">[psubscribe, n?ws, 3]",
        ">[ssubscribe, shard, 1]",
    ]
    assert pong == "PONG"
    assert len(client.pushes) == 4
    client.pushes.clear()
    big = os.urandom(1 << 20)
    with server.client() as other:
        assert other.call(encode(b"PUBLISH", b"news", big), encode(b"SPUBLISH", b"shard", b"x")) == [2, 1]
    assert [client.next_push() for _ in range(3)] == [
        [b"message", b"news", big], [b"pmessage", b"n?ws", b"news", big], [b"smessage", b"shard", b"x"],
    ]  # fmt: skip
    gone = client.call(*[encode(name) for name in (b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE", b"UNSUBSCRIBE")])
    assert [show(item) for item in gone][1:] == [
        *[">[punsubscribe, n?ws, 0]", ">[sunsubscribe, shard, 0]", ">[unsubscribe, None, 0]"]
    ]
    assert len(client.pushes) == 5
    assert client.call(encode(b"GET", b"none")) == [None]


@needs_redis
def test_redis_refuses_a_subscription(server: Server, client: Client) -> None:
    client.call(encode(b"ACL", b"SETUSER", b"deaf", b"on", b"nopass", b"+@all", b"resetchannels"))
    [_, refused, also, value] = client.call(
        encode(b"AUTH", b"deaf", b"x"), encode(b"SUBSCRIBE", b"a", b"b"), encode(b"SUBSCRIBE"), encode(b"ECHO", b"next")
    )
    assert isinstance(refused, RedisError)
    assert isinstance(also, RedisError)
    assert value == b"next"


@needs_redis
def test_redis_answers_too_late(server: Server) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(server.path)
        client = Client(sock)
        sock.settimeout(0.01)
        with pytest.raises(TimeoutError):
            client.call(encode(b"BLPOP", b"late", b"0"))
        with server.client() as other:
            other.call(encode(b"RPUSH", b"late", b"foreign"))
        with pytest.raises(ConnectionError, match="TimeoutError"):
            client.call(encode(b"GET", b"mine"))


@needs_redis
def test_a_pipeline_of_32_mib(client: Client) -> None:
    blobs = [os.urandom(1 << 20) for _ in range(32)]
    with no_copy():
        replies = client.call(*[encode(b"ECHO", blob) for blob in blobs])
    assert replies == blobs


@needs_redis
def test_a_pipeline_of_many_commands(client: Client) -> None:
    client.call(encode(b"DEBUG", b"POPULATE", b"%d" % MANY, b"k"))
    with no_copy():
        replies = client.call(*[encode(b"GET", b"k:%d" % i) for i in range(MANY)])
    assert replies == [b"value:%d" % i for i in range(MANY)]


@needs_redis
def test_a_list_of_many_elements(client: Client) -> None:
    elements = [b"%d" % i for i in range(MANY)]
    client.call(*[encode(b"RPUSH", b"l", *elements[at : at + 1000]) for at in range(0, MANY, 1000)])
    with no_copy():
        [reply] = client.call(encode(b"LRANGE", b"l", b"0", b"-1"))
    assert reply == elements


@needs_redis
def test_a_big_string_is_sent_and_received_without_a_copy(client: Client) -> None:
    big = os.urandom(BIG)
    with copy_audit() as audit, no_copy():
        status, value = client.call(encode(b"SET", b"big", big), encode(b"GET", b"big"))
    assert status == "OK"
    assert isinstance(value, SliceBuffer)
    assert value == big
    assert audit.nbytes < 1000  # the lines before it, as text
    assert value.pinned_nbytes < BIG + 2 * 65536


@needs_redis
def test_redis_cli_sends_our_commands_by_the_mass(server: Server, client: Client, tmp_path: Path) -> None:
    commands = CompositeBuffer([encode(b"SET", b"k%d" % i, b"%d" % i) for i in range(MANY)])
    with (tmp_path / "commands").open("wb+") as file:
        flush(commands, file)
        file.seek(0)
        piped = subprocess.run(
            ["redis-cli", "-s", server.path, "--pipe"], stdin=file, check=True, capture_output=True, text=True
        )
    assert f"errors: 0, replies: {MANY}" in piped.stdout
    assert client.call(encode(b"DBSIZE"), encode(b"GET", b"k%d" % (MANY - 1))) == [MANY, b"%d" % (MANY - 1)]


@needs_redis
def test_the_command_line(server: Server) -> None:
    command = [sys.executable, "-m", "examples.redis_resp", "--port", str(server.port), "ECHO", "--hé"]
    ran = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
    assert ran.stdout == "--hé\n"


@needs_redis
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["CONFIG", "GET", "save"], "%[save, ]\n"),
        (["SUBSCRIBE", "news"], ">[subscribe, news, 1]\n"),
        (
            ["DEBUG", "PROTOCOL", "attrib"],
            "|[key-popularity, *[key:123, 90]] Some real reply following the attribute\n",
        ),
    ],
)
def test_the_command_line_shows_all_of_a_reply(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    shown: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["redis_resp", "--port", str(server.port), *arguments])
    runpy.run_path(str(ROOT / "examples" / "redis_resp.py"), run_name="__main__")
    assert capsys.readouterr().out == shown
