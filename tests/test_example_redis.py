"""examples/redis_resp.py: every type, every cut, the limits, and a real redis-server."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, Reader, SliceBuffer, copy_audit, flush, no_copy
from examples.redis_resp import MAX_DEPTH, Aggregate, Client, RedisError, Replies, Value, encode, show

from .example_cuts import Outcome, cut, outcome, same_for_every_cut
from .layouts import addresses

ROOT: Final = Path(__file__).parent.parent
MANY: Final = 100_000
BIG: Final = 64 << 20


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


def run(pieces: list[bytes], limit: int = 10_000) -> Outcome:
    replies = Replies(limit)

    def feed(piece: bytes) -> Replies:
        replies.buffer.append(piece)
        return replies

    return outcome(pieces, feed, lambda: len(replies.buffer), plain)


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
        (b"|1\r\n+ttl\r\n:3600\r\n*1\r\n:7\r\n", ["ttl", 3600, [7]]),
        (b"|0\r\n+bare\r\n", ["bare"]),
    ],
)
def test_a_value_of_each_type(data: bytes, value: Value) -> None:
    [parsed] = parse(data)
    assert parsed == value
    assert isinstance(parsed, bool) == isinstance(value, bool)
    if isinstance(parsed, Aggregate):
        assert parsed.kind == data[:1].decode()


def test_nan() -> None:
    assert [show(value) for value in parse(b",nan\r\n,-nan\r\n")] == ["nan", "nan"]


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
    messages, error, taken = same_for_every_cut(SESSION + ending, lambda pieces: run(pieces, 400))
    assert len(messages) == 13
    assert taken >= len(SESSION)
    assert (error is None) == (ending in {b"", b"$5\r\nhel", b"*2\r\n:1\r\n", b"*2\r\n*3\r\n+a\r\n"})


@pytest.mark.parametrize(
    "data", [b"$4\r\nfour\r\n", b"+" + b"s" * 9 + b"\r\n", b"*2\r\n*1\r\n_\r\n:123\r\n", b"*3\r\n_\r\n_\r\n_\r\n"]
)
def test_the_limit_is_inclusive_for_every_cut(data: bytes) -> None:
    two = data * 2
    assert same_for_every_cut(two, lambda pieces: run(pieces, len(data))).error is None
    for limit in range(1, len(data)):
        found = same_for_every_cut(data, lambda pieces, limit=limit: run(pieces, limit))  # type: ignore[misc]
        assert found.messages == []
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
    assert expected.messages[: len(good)] == [plain(value) for reply in good for value in parse(reply)]
    assert len(expected.messages) >= len(good)
    places = data.draw(st.lists(st.integers(0, len(stream))))
    assert run(cut(stream, places)) == expected


# -- what is hostile


@pytest.mark.parametrize(
    "head",
    [b"$1001\r\n", b"$9223372036854775807\r\n", b"*333\r\n", b"*9999999999999999999\r\n", b"%167\r\n", b"|166\r\n"],
)
def test_a_declared_size_beyond_the_limit_is_refused_at_once(head: bytes) -> None:
    assert run([head], 1000) == ([], (LimitExceeded, "the limit of 1000 bytes is exceeded"), 0)


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
        messages, error, taken = run([bytes([kind]), *[b"1" * 100] * 9], 1000)
        assert (messages, error, taken) == ([], None, 0)
        held = refused_at_1000([bytes([kind]), *[b"1" * 100] * 100])
        assert held <= 1000 + 100


def test_a_limit_counts_all_that_is_nested() -> None:
    item = b"*2\r\n$50\r\n%s\r\n" % bytes(50)
    assert len(run([item] * 16, 1000).messages) == 0
    assert refused_at_1000([item] * 100) <= len(item)


@pytest.mark.parametrize("kind", [b"*1\r\n", b"~1\r\n", b"%1\r\n:1\r\n", b"|0\r\n"])
def test_depth_is_bounded(kind: bytes) -> None:
    deepest = parse(kind * MAX_DEPTH + b"_\r\n", 1 << 20)
    assert len(deepest) == 1
    assert show(deepest[0]).count("[") == MAX_DEPTH
    with pytest.raises(FrameError, match=f"more than {MAX_DEPTH} deep"):
        parse(kind * MANY, 1 << 20)


class CountingReplies(Replies):
    """Counts how often a read was begun."""

    reads = 0

    def _read(self, r: Reader) -> Aggregate:
        self.reads += 1
        return super()._read(r)


def test_the_work_is_linear_in_the_elements_however_small_the_pieces() -> None:
    n = 5_000
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
    with scripted(b"-NOPROTO sorry\r\n") as sock, pytest.raises(RedisError, match="NOPROTO sorry"):
        Client(sock)


def test_a_server_that_hangs_up_is_noticed() -> None:
    with scripted(b"%0\r\n$5\r\nhal") as sock:
        client = Client(sock)
        with pytest.raises(ConnectionError, match="hung up"):
            client.call(encode(b"GET", b"k"))


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
        (b"attrib", [b"key-popularity", [b"key:123", 90], b"Some real reply following the attribute"]),
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
        assert reply.kind == {b"array": "*", b"set": "~", b"map": "%", b"attrib": "|"}[kind]


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
    command = [sys.executable, "-m", "examples.redis_resp", "--port", str(server.port)]
    for arguments, shown in [(["ECHO", "--hé"], "--hé\n"), (["CONFIG", "GET", "save"], "%[save, ]\n")]:
        ran = subprocess.run([*command, *arguments], check=True, capture_output=True, encoding="utf-8", cwd=ROOT)
        assert ran.stdout == shown
