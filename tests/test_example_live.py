"""examples/http/live.py: real clients and servers, with the relay between them, and what it shows of what they say."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from bytebufs import SliceBuffer, copy_audit, no_copy
from bytebufs.aio import open_connection
from examples.addresses import Address
from examples.http import live
from examples.http.live import MOST_OPEN, MOST_WAITING, Relay, Watcher, _Passage
from examples.http.message import Leftover, Shed
from examples.http.reassembly import Found
from examples.http.report import Wanted, row_of
from examples.http.tcp import Ending
from examples.http_reassembly import main

from .conftest import IS_QUICK
from .example_wire import frames, pcap, talk
from .memory import peak_while
from .sinks import PATIENCE

ROOT: Final = Path(__file__).parent.parent
HERE: Final = "127.0.0.1"
KIB: Final = 1 << 10
MIB: Final = 1 << 20

GET: Final = b"GET /a HTTP/1.1\r\nHost: example\r\n\r\n"
HELLO: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CONTENT: Final = random.Random(13).randbytes(3 * MIB)
FLOW: Final = bytes([10, 0, 0, 1, 10, 0, 0, 2]) + struct.pack("!HH", 40_000, 80)


# -- the program


class Program:
    """The relay as a process of its own."""

    def __init__(self, to: tuple[str, int], *arguments: str) -> None:
        command = [sys.executable, "-m", "examples.http_reassembly", "--listen", "0", "--to", f"{to[0]}:{to[1]}"]
        self.process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        match = re.fullmatch(r"listening on (127\.0\.0\.1):(\d+)\n", self.process.stdout.readline())
        assert match is not None
        self.address = match[1], int(match[2])

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self) -> tuple[int, list[str], str]:
        """Send SIGTERM, and return the status, the rest of what it says, and its complaints."""
        self.process.send_signal(signal.SIGTERM)
        out, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out.splitlines(), errors


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server((HERE, 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


@contextmanager
def passage(program: Program, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Give a client and its server, with the relay between them."""
    with socket.create_connection(program.address, PATIENCE) as client:
        server, _ = listener.accept()
        with server:
            server.settimeout(PATIENCE)
            yield client, server


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"ended after {len(data)} of {size} bytes"
        data += piece
    return data


def everything(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Program, socket.socket]]:
    """Give a relay, and the listener behind it, for tests that do not look at what it says."""
    with listening() as listener, Program(listener.getsockname()) as program:
        yield program, listener
        assert program.end()[0] == 0


CHUNKED: Final = (
    b"POST /c?d=e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\nT: u\r\n\r\n"
)
TALKS: Final = {
    "one": [GET, HELLO],
    "several": [GET, HELLO, CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n", b"HEAD / HTTP/1.0\r\n\r\n", HELLO[:-5]],
    "pipelined": [GET + CHUNKED + GET, HELLO + b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n" + HELLO],
    "until the end": [GET, b"HTTP/1.1 200 OK\r\n\r\nall that comes"],
    "interim": [
        b"PUT /big HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"abc",
        b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    ],
    "another protocol": [
        b"GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        b"\x81\x05hello",
        b"\x81\x05hello",
    ],
    "refused": [b"GET /a b c HTTP/1.1\r\n\r\n" + GET, HELLO],
    "damaged": [GET, b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", GET, HELLO],
    "broken off": [GET, HELLO[:-2]],
    "no HTTP": [b"\x16\x03\x01 and so on", b"\x15\x03\x01"],
    "nothing": [],
}


def as_if_captured(lines: list[str], program: Program) -> list[str]:
    """Return lines with the addresses of a capture by talk()."""
    here = re.compile(r"127\.0\.0\.1:(\d+)")
    server = str(program.address[1])
    return [here.sub(lambda found: "10.0.0.2:80" if found[1] == server else "10.0.0.1:40000", line) for line in lines]


@pytest.mark.parametrize("name", TALKS)
def test_what_passes_is_shown_as_what_is_captured(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = TALKS[name]
    capture = tmp_path / "x.pcap"
    capture.write_bytes(pcap(frames(talk(*turns))))
    assert main([str(capture), "--json", str(tmp_path / "captured"), "--export", str(tmp_path / "a")]) == 0
    *expected, summary = capsys.readouterr().out.splitlines()
    given = ["--json", str(tmp_path / "live"), "--export", str(tmp_path / "b")]
    with (
        listening() as listener,
        Program(listener.getsockname(), *given) as program,
        passage(program, listener) as (client, server),
    ):
        for turn, data in enumerate(turns):
            (server if turn % 2 else client).sendall(data)
            assert exactly(client if turn % 2 else server, len(data)) == data
        client.shutdown(socket.SHUT_WR)
        assert everything(server) == b""
        server.shutdown(socket.SHUT_WR)
        assert everything(client) == b""
        status, lines, errors = program.end()
    assert (status, errors) == (0, "")
    assert as_if_captured(lines[:-1], program) == expected
    assert summary == f"{lines[-1]}; {len(talk(*turns))} packets"
    assert messages_in(tmp_path / "live") == messages_in(tmp_path / "captured")
    assert files_in(tmp_path / "b") == files_in(tmp_path / "a")


def messages_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) | {"src": "", "dst": ""} for line in path.read_text().splitlines()]


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_messages_are_shown_while_the_connection_goes_on() -> None:
    with (
        listening() as listener,
        Program(listener.getsockname()) as program,
        passage(program, listener) as (client, server),
    ):
        for number in (1, 3):
            client.sendall(GET)
            assert exactly(server, len(GET)) == GET
            assert program.line().endswith("GET /a  no body")
            server.sendall(HELLO)
            line = program.line()
            assert line.startswith(f"{number + 1:>5}  stream 0  127.0.0.1:{program.address[1]} > 127.0.0.1:")
            assert line.endswith("200 /a  5 bytes in 1 part")


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[str, int]]:
    with socket.create_server((HERE, 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "www").mkdir()
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr crit; events {{ }}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/t; proxy_temp_path {folder}/t1;\n"
        f"fastcgi_temp_path {folder}/t2; uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;\n"
        f"server {{ listen {HERE}:{port}; root {folder}/www; }} }}\n"
    )
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        until_connected((HERE, port), process)
        yield HERE, port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def until_connected(address: tuple[str, int], process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with suppress(ConnectionRefusedError), socket.create_connection(address, PATIENCE):
            return
        time.sleep(0.001)
    raise AssertionError(process.returncode)


@pytest.mark.needs("nginx", "curl")
def test_curl_gets_through_what_nginx_has(tmp_path: Path) -> None:
    sizes = [0, 1, 64 * KIB, 3 * MIB]
    with nginx(tmp_path) as address:
        for size in sizes:
            (tmp_path / "www" / f"{size}.bin").write_bytes(CONTENT[:size])
        given = ["--json", str(tmp_path / "json"), "--export", str(tmp_path / "out")]
        with Program(address, *given) as program:
            urls = [f"http://{HERE}:{program.address[1]}/{name}" for name in [*(f"{size}.bin" for size in sizes), "no"]]
            outputs = [str(tmp_path / f"{at}") for at in range(len(urls))]
            command = ["curl", "--silent", "--show-error"]
            for url, output in zip(urls, outputs, strict=True):
                command += ["--output", output, url]
            subprocess.run(command, check=True, timeout=PATIENCE)
            status, lines, errors = program.end()
    assert (status, errors) == (0, "")
    for size, output in zip(sizes, outputs, strict=False):
        assert Path(output).read_bytes() == CONTENT[:size]
    found = messages_in(tmp_path / "json")
    assert [(each["kind"], each["target"], each["error"]) for each in found] == [
        (kind, url[url.rindex("/") :], None) for url in urls for kind in ("request", "response")
    ]
    assert [each["body_sha256"] for each in found[1::2]] == [digest_of(output) for output in outputs]
    assert lines[-1] == "10 messages, 0 of them incomplete; 1 TCP stream, 0 of them not HTTP/1"
    exported = files_in(tmp_path / "out")
    assert exported["000008.body"] == CONTENT
    assert sorted(exported) == ["000004.body", "000006.body", "000008.body", "000010.body"]


def digest_of(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# -- bytes are relayed as they are


def test_bytes_pass_untouched_both_ways_and_half_closes_with_them() -> None:
    with (
        listening() as listener,
        Program(listener.getsockname()) as program,
        passage(program, listener) as (client, server),
    ):
        for source, target in ((client, server), (server, client)):
            sender = threading.Thread(target=lambda sock=source: (sock.sendall(CONTENT), sock.shutdown(socket.SHUT_WR)))
            sender.start()
            assert everything(target) == CONTENT
            sender.join(PATIENCE)
        status, lines, _ = program.end()
        assert status == 0
        assert lines[-1].endswith(f"1 TCP stream, 1 of them not HTTP/1 ({2 * len(CONTENT):,} bytes)")


def test_who_does_not_read_stops_who_sends(shared: tuple[Program, socket.socket]) -> None:
    with passage(*shared) as (client, server):
        client.settimeout(0)
        sent = 0
        hashed = hashlib.sha256()
        while select.select([], [client], [], 1)[1]:
            piece = CONTENT[sent % len(CONTENT) :][: 64 * KIB]
            count = client.send(piece)
            hashed.update(piece[:count])
            sent += count
            assert sent < 64 * MIB, "nothing stops it"
        client.shutdown(socket.SHUT_WR)
        received = everything(server)
        assert len(received) == sent
        assert hashlib.sha256(received).digest() == hashed.digest()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("ended", [False, True])
def test_a_reset_is_passed_on(shared: tuple[Program, socket.socket], side: int, *, ended: bool) -> None:
    with passage(*shared) as ends:
        one, other = ends[side], ends[1 - side]
        one.sendall(b"the last words")
        assert exactly(other, 14) == b"the last words"
        if ended:
            one.shutdown(socket.SHUT_WR)
            assert other.recv(1) == b""
        reset(one)
        if not ended:
            with pytest.raises(ConnectionResetError):
                other.recv(1)
        else:  # its end was told before: poll(2) tells of the rest
            poll = select.poll()
            poll.register(other, 0)
            assert poll.poll(PATIENCE * 1000)


def test_what_was_said_before_a_reset_is_heard() -> None:
    with (
        listening() as listener,
        Program(listener.getsockname()) as program,
        passage(program, listener) as (client, server),
    ):
        client.sendall(GET)
        reset(client)
        heard = b""
        with suppress(ConnectionResetError):
            while piece := server.recv(100):
                heard += piece
        assert heard in (GET, b"")  # a reset may overtake in our own system what it had to send
        status, lines, _ = program.end()
        assert status == 0
        assert lines[0].endswith("GET /a  no body")


def test_a_server_that_is_not_there() -> None:
    with listening() as gone:
        address = gone.getsockname()
    with Program(address) as program:
        for _ in range(2):
            # The reset may come before connect() has looked whether it is connected.
            with pytest.raises(ConnectionResetError), socket.create_connection(program.address, PATIENCE) as client:
                client.recv(1)
        status, lines, errors = program.end()
    assert status == 0
    assert lines[-1].startswith("0 messages, 0 of them incomplete; 2 TCP streams")
    assert [line.partition(": [")[0] for line in errors.splitlines()] == [
        f"http_reassembly: stream {number}: 127.0.0.1:{address[1]}" for number in (0, 1)
    ]
    assert "Connect call failed" in errors or "refused" in errors


# -- the end


def test_what_is_under_way_is_answered_at_the_end() -> None:
    with (
        listening() as listener,
        Program(listener.getsockname()) as program,
        passage(program, listener) as (busy, server),
        passage(program, listener) as (idle, other),
        passage(program, listener) as (silent, _),
    ):
        busy.sendall(GET)
        assert exactly(server, len(GET)) == GET
        idle.sendall(GET)
        assert exactly(other, len(GET)) == GET
        other.sendall(HELLO)
        assert exactly(idle, len(HELLO)) == HELLO
        program.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == silent.recv(1) == other.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(program.address, PATIENCE).close()
        for piece in (HELLO[:20], HELLO[20:]):
            server.sendall(piece)
            assert exactly(busy, len(piece)) == piece
        assert busy.recv(1) == server.recv(1) == b""
        out, _errors = program.process.communicate(timeout=PATIENCE)
        assert program.process.returncode == 0
        assert out.splitlines()[-1].startswith("4 messages, 0 of them incomplete; 3 TCP streams, 1 of them not")


class Answering:
    """A server that answers each request, and counts them."""

    def __init__(self, listener: socket.socket) -> None:
        self.answered = 0
        self._lock = threading.Lock()
        self._listener = listener
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            sock.settimeout(PATIENCE)
            data = b""
            while piece := sock.recv(1000):
                data += piece
                while data.startswith(GET):
                    data = data[len(GET) :]
                    with self._lock:
                        self.answered += 1
                    sock.sendall(HELLO)


def test_the_end_under_load() -> None:
    """Each client asks until it is told no more: no answer is cut short, and none that was given is lost."""
    whole = [0] * 16
    damaged: list[bytes] = []
    many = threading.Event()

    def ask(me: int, address: tuple[str, int]) -> None:
        with suppress(ConnectionError), socket.create_connection(address, PATIENCE) as sock:
            while True:
                sock.sendall(GET)
                data = b""
                with suppress(ConnectionResetError):
                    while len(data) < len(HELLO) and (piece := sock.recv(100)):
                        data += piece
                if data != HELLO:
                    if data:
                        damaged.append(data)
                    return
                whole[me] += 1
                if sum(whole) > 200:  # what is shown of it fits into a pipe
                    many.set()

    with listening() as listener:
        server = Answering(listener)
        with Program(listener.getsockname()) as program:
            clients = [
                threading.Thread(target=ask, args=(me, program.address), daemon=True) for me in range(len(whole))
            ]
            for client in clients:
                client.start()
            assert many.wait(PATIENCE)
            status, lines, errors = program.end()
            for client in clients:
                client.join(PATIENCE)
                assert not client.is_alive()
    assert (status, errors, damaged) == (0, "", [])
    assert sum(whole) == server.answered
    assert lines[-1].startswith(f"{2 * sum(whole):,} messages, 0 of them incomplete; ")


def test_who_reads_its_output_goes_away() -> None:
    with (
        listening() as listener,
        Program(listener.getsockname()) as program,
        passage(program, listener) as (client, server),
    ):
        assert program.process.stdout is not None
        program.process.stdout.close()
        client.sendall(GET)
        assert exactly(server, len(GET)) == GET
        server.sendall(HELLO)
        assert exactly(client, len(HELLO)) == HELLO
        assert program.process.wait(PATIENCE) == 1
        assert program.process.stderr is not None
        assert program.process.stderr.read() == ""
        program.process.stderr.close()


def test_a_file_that_cannot_be_written_ends_it(tmp_path: Path) -> None:
    with listening() as listener, Program(listener.getsockname(), "--json", "/dev/full") as program:
        with passage(program, listener) as (client, server):
            client.sendall(GET)
            assert exactly(server, len(GET)) == GET
            client.close()
            server.close()
        _, errors = program.process.communicate(timeout=PATIENCE)
    assert program.process.returncode == 2
    assert errors.startswith("http_reassembly: [Errno 28]")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--listen", "0"], "--listen and --to go together"),
        (["--to", "h:1"], "--listen and --to go together"),
        (["--listen", "0", "--to", "h:1", "x.pcap"], "a capture, or --listen: not both"),
        (["--listen", "0", "--to", "h:1", "--explain", "1"], "--explain is for captures, not for what passes"),
        (["--listen", "0", "--to", "h:1", "--workers", "1"], "--workers is for captures, not for what passes"),
        (["--listen", "0", "--to", "h:1", "--scheduler", "a"], "--scheduler is for captures, not for what passes"),
        (["--listen", "0", "--to", "7"], "argument --to: HOST:PORT is wanted, not '7'"),
        (["--listen", "0", "--to", "h:0"], "argument --to: nobody can be connected to at port 0: 'h:0'"),
        (["--listen", "::1:7", "--to", "h:1"], "argument --listen: '::1:7' is no [HOST:]PORT"),
        (["--listen", "65536", "--to", "h:1"], "argument --listen: '65536' is no [HOST:]PORT"),
        ([], "the following arguments are required: CAPTURE"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"error: {why}" in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with listening() as listener:
        port = listener.getsockname()[1]
        assert main(["--listen", f"127.0.0.1:{port}", "--to", "127.0.0.1:1"]) == 2
    assert "Errno 98" in capsys.readouterr().err


def test_over_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        listener.settimeout(PATIENCE)
        command = [sys.executable, "-m", "examples.http_reassembly", "--listen", "[::1]:0"]
        command += ["--to", f"[::1]:{listener.getsockname()[1]}"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            match = re.fullmatch(r"listening on \[::1\]:(\d+)\n", process.stdout.readline())
            assert match is not None
            with socket.create_connection(("::1", int(match[1])), PATIENCE) as client:
                server, _ = listener.accept()
                with server:
                    client.sendall(GET)
                    assert exactly(server, len(GET)) == GET
                    assert f"[::1]:{client.getsockname()[1]} > [::1]:{match[1]}  GET /a" in process.stdout.readline()
            process.terminate()
            process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


# -- who looks on


Shown = tuple[int | str | None, int, str | None]


def shown(found: Found) -> Shown:
    """Return method, status or "left", with size and error. Of what has been shown nothing is kept."""
    what = found.what
    if isinstance(what, Leftover):
        return "left", what.nbytes, None
    return what.method or what.status, what.size, what.error


class Looking:
    """A watcher, and what it has shown."""

    def __init__(self, shed: Callable[[], Shed] = Shed) -> None:
        self.found: list[Found] = []
        self.shown: list[Shown] = []
        self.watcher = Watcher(0, FLOW, self._show, shed)

    def _show(self, found: Found) -> None:
        self.found.append(found)
        self.shown.append(shown(found))

    def feed(self, side: int, data: bytes) -> None:
        self.watcher.feed(side, SliceBuffer(data))


def body_of(size: int) -> bytes:
    return (CONTENT * (size // len(CONTENT) + 1))[:size]


@pytest.mark.parametrize("chunked", [False, True])
def test_of_a_big_body_no_more_than_a_front_is_kept(tmp_path: Path, *, chunked: bool) -> None:
    size = (8 if IS_QUICK else 32) * MIB
    looking = Looking(lambda: Shed(tmp_path / "x"))
    piece = CONTENT[:MIB]

    def pass_by() -> None:
        looking.feed(0, GET)
        looking.feed(1, b"HTTP/1.1 200 OK\r\n")
        looking.feed(1, b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // MIB):
            for at in range(0, MIB, 64 * KIB):
                if chunked:
                    looking.feed(1, b"10000\r\n")
                looking.feed(1, piece[at : at + 64 * KIB])
                if chunked:
                    looking.feed(1, b"\r\n")
        if chunked:
            looking.feed(1, b"0\r\n\r\n")

    assert peak_while(pass_by, MIB) < MIB
    assert looking.shown == [("GET", 0, None), (200, size, None)]
    assert looking.watcher.is_idle
    shed = looking.found[1].message.shed
    assert shed is not None
    assert shed.sha256 is not None
    assert shed.nbytes <= size
    assert not list(tmp_path.iterdir())  # nobody gave it a name


def test_the_digest_of_a_big_body_is_that_of_all_of_it() -> None:
    for size in (64 * KIB, 64 * KIB + 1, 3 * MIB):
        digests: list[object] = []

        def show(found: Found, to: list[object] = digests) -> None:
            to.append(row_of(found, Wanted(json=True)).json)

        watcher = Watcher(0, FLOW, show)
        data = GET[:-4] + b"\r\nContent-Length: %d\r\n\r\n" % size + CONTENT[:size]
        for at in range(0, len(data), 40_000):
            watcher.feed(0, SliceBuffer(data)[at : at + 40_000])
        [row] = digests
        assert isinstance(row, dict)
        assert row["body_sha256"] == hashlib.sha256(CONTENT[:size]).hexdigest()
        assert row["body_length"] == size


def test_a_gap_in_the_count_of_what_was_let_go_of_is_none() -> None:
    looking = Looking()
    looking.feed(0, b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MIB)
    looking.feed(0, CONTENT[: 200 * KIB])
    looking.watcher.end(0, Ending.CLOSED)
    looking.watcher.end(0, Ending.RESET)  # it has ended
    assert looking.shown == [
        ("PUT", 200 * KIB, f"the connection was closed at byte {200 * KIB} of the body")
    ]  # fmt: skip


def test_a_trickle_keeps_no_blocks() -> None:
    looking = Looking()
    block = bytes(64 * KIB)

    def trickle() -> None:
        for byte in b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000:
            held = bytearray(block)
            held[0] = byte
            looking.watcher.feed(0, SliceBuffer(held)[:1])

    assert peak_while(trickle, MIB) < MIB
    assert not looking.watcher.is_idle


def test_who_wants_another_protocol_is_not_waited_for_without_end() -> None:
    looking = Looking()
    looking.feed(0, b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n")

    def flood() -> None:
        for _ in range(16):
            looking.feed(0, CONTENT[:MIB])

    assert peak_while(flood, 3 * MIB) < 3 * MIB
    looking.watcher.give_up("enough")
    assert sum(one.what.nbytes for one in looking.found if isinstance(one.what, Leftover)) == 16 * MIB


def test_a_server_that_speaks_first_is_not_waited_for_without_end() -> None:
    looking = Looking()
    looking.feed(1, HELLO)
    assert looking.found == []
    for _ in range(2 * MOST_WAITING // len(HELLO)):
        looking.feed(1, HELLO)
    assert looking.shown[:2] == [(200, 5, None)] * 2
    assert len(looking.found) == 2 * MOST_WAITING // len(HELLO) + 1


def test_requests_that_nobody_answers() -> None:
    looking = Looking()
    for _ in range(MOST_OPEN):
        looking.feed(0, GET)
    assert not looking.watcher.given_up
    looking.feed(0, GET)
    assert looking.watcher.given_up == f"more than {MOST_OPEN} messages wait for others"
    looking.feed(0, GET)
    looking.watcher.end(1, Ending.CLOSED)
    assert looking.shown == [("GET", 0, None)] * (MOST_OPEN + 1)
    assert not looking.watcher.is_idle


def test_answers_before_the_end_of_a_request() -> None:
    looking = Looking()
    looking.feed(0, b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    for _ in range(MOST_OPEN + 1):
        looking.feed(1, b"HTTP/1.1 102 Wait\r\n\r\n")
    assert looking.watcher.given_up
    assert looking.shown[0] == ("PUT", 0, "the capture ends at byte 0 of the body")
    assert len(looking.found) >= MOST_OPEN


# -- what goes wrong


class Running:
    """A relay in this process, between streams of asyncio's."""

    def __init__(self, to: Address, show: Callable[[Found], None], spool: Path | None = None) -> None:
        self.complaints: list[str] = []
        self.relay = Relay(to, show, self.complaints.append, Wanted(bodies=spool is not None), spool)
        self.listens: asyncio.Future[Address] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self.relay.run(Address(HERE, 0), self.listens.set_result))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*(await self.listens))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes."""
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def alone(scenario: Callable[[Address], Any]) -> None:
    """Run a scenario with a server that sends everything back."""

    async def run() -> None:
        async with asyncio.timeout(PATIENCE), await asyncio.start_server(answer, HERE, 0) as server:
            await scenario(Address(*server.sockets[0].getsockname()))
            if others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)  # the server's see that nobody is there

    asyncio.run(run())


def test_no_byte_is_copied_on_its_way(tmp_path: Path) -> None:
    async def scenario(to: Address) -> None:
        found: list[Shown] = []
        head = b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(CONTENT)
        with no_copy(), copy_audit() as audit:
            running = Running(to, lambda one: found.append(shown(one)), tmp_path)
            reader, writer = await running.connect()
            writer.write(head + CONTENT)
            assert await reader.readexactly(len(head + CONTENT)) == head + CONTENT
            writer.close()
            await writer.wait_closed()
            running.relay.stop()
            await running.task
        assert found[0] == ("PUT", len(CONTENT), None)
        assert audit.hidden == 0
        assert audit.nbytes < len(CONTENT) // 100  # heads as text, and what is too small to be kept as it is

    alone(scenario)


def test_a_failure_of_who_looks_on_is_told_and_bytes_go_on(tmp_path: Path) -> None:
    async def scenario(to: Address) -> None:
        found: list[Shown] = []
        running = Running(to, lambda one: found.append(shown(one)), tmp_path / "not there")
        reader, writer = await running.connect()
        data = b"PUT / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MIB + CONTENT[:MIB]
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        writer.close()
        await writer.wait_closed()
        running.relay.stop()
        await running.task
        [complaint] = running.complaints
        assert complaint.startswith("stream 0 is not shown any further: FileNotFoundError: ")

    alone(scenario)


def test_what_cannot_be_shown_ends_the_relay_in_order() -> None:
    async def scenario(to: Address) -> None:
        def show(found: Found) -> None:
            raise OSError(f"no room for {found.message.method}")

        running = Running(to, show)
        reader, writer = await running.connect()
        writer.write(GET)
        assert await reader.readexactly(len(GET)) == GET
        writer.write(GET)
        writer.write_eof()
        assert await reader.read() in (GET, b"")
        with pytest.raises(OSError, match="no room for GET"):
            await running.task
        writer.close()
        await writer.wait_closed()

    alone(scenario)


def test_who_does_not_end_is_ended_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "GRACE", 0.05)

    async def scenario(to: Address) -> None:
        found: list[Shown] = []
        running = Running(to, lambda one: found.append(shown(one)))
        reader, writer = await running.connect()
        writer.write(GET[:-2])  # not all of it
        assert await reader.readexactly(len(GET) - 2) == GET[:-2]
        running.relay.stop()
        await running.task
        assert found == [("GET", 0, "the capture ends inside the head"), ("left", len(GET) - 2, None)]
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    alone(scenario)


def test_a_client_that_is_gone_at_once() -> None:
    async def scenario(to: Address) -> None:
        running = Running(to, lambda _: None)
        where = await running.listens
        for _ in range(3):
            reset(socket.create_connection(where))  # before the relay has had its turn
        await asyncio.sleep(0)
        running.relay.stop()
        await running.task
        assert running.complaints == []
        assert running.relay.counts.streams == 0

    alone(scenario)


def test_a_reset_is_seen_while_another_one_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK", 0.01)

    async def scenario(to: Address) -> None:
        found: list[Shown] = []
        running = Running(to, lambda one: found.append(shown(one)))
        for ended in (False, True):
            _, writer = await running.connect()
            writer.write(GET)
            if ended:
                writer.write_eof()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        running.relay.stop()
        await running.task
        assert running.complaints == []
        assert running.relay.counts.streams <= 2

    alone(scenario)


def test_the_end_of_who_only_sends_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK", 0.01)
    server_side: list[bytes] = []

    async def run() -> None:
        over = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server_side.append(await reader.read())  # up to the client's end
            heard.set()
            poll = select.poll()
            poll.register(writer.get_extra_info("socket"), 0)
            assert await asyncio.to_thread(poll.poll, PATIENCE * 1000)  # of a reset
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            over.set()

        heard = asyncio.Event()
        async with asyncio.timeout(PATIENCE), await asyncio.start_server(silent, HERE, 0) as server:
            running = Running(Address(*server.sockets[0].getsockname()), lambda _: None)
            _, writer = await running.connect()
            writer.write(GET)
            writer.write_eof()
            await heard.wait()
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            await over.wait()
            running.relay.stop()
            await running.task

    asyncio.run(run())
    assert server_side == [GET]


def test_nobody_there_in_this_process() -> None:
    async def scenario(_: Address) -> None:
        with listening() as gone:
            to = Address(*gone.getsockname())
        running = Running(to, lambda _: None)
        reader, writer = await running.connect()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        running.relay.stop()
        await running.task
        [complaint] = running.complaints
        assert complaint.startswith(f"stream 0: {to}: ")

    alone(scenario)


def test_an_idle_client_is_let_go_of_and_one_that_asks_is_answered_before() -> None:
    async def scenario(to: Address) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(HELLO)
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, HERE, 0) as server:
            found: list[Shown] = []
            running = Running(Address(*server.sockets[0].getsockname()), lambda one: found.append(shown(one)))
            reader, writer = await running.connect()
            for _ in range(2):
                writer.write(GET)
                assert await reader.readexactly(len(HELLO)) == HELLO
            writer.write(GET)  # is in the relay's system when it looks
            running.relay.stop()
            assert await reader.read() in (HELLO, b"")
            await running.task
            assert found[:4] == [("GET", 0, None), (200, 5, None)] * 2
            assert len(found) % 2 == 0
            writer.close()
            await writer.wait_closed()

    alone(scenario)


class Lost(socket.socket):
    """A connection that the system gives up."""

    def recv_into(self, *_: Any) -> int:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def test_a_connection_that_the_system_gives_up_is_no_end_of_ours() -> None:
    async def scenario(to: Address) -> None:
        one, other = socket.socketpair()
        with other:
            shows: list[Found] = []
            relay = Relay(to, shows.append, lambda _: None, Wanted(), None)
            async with await open_connection(sock=Lost(fileno=one.detach())) as client:
                watcher = Watcher(0, FLOW, shows.append)
                other.send(GET)
                await _Passage(relay, 0, client, watcher).run()
                assert client.state == "closed"
            with suppress(ConnectionResetError):
                assert other.recv(1) == b""

    alone(scenario)
