"""examples/http_proxy as a program, between nginx and curl, wrk, a thousand clients, and servers that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import pytest

from examples.http_proxy.__main__ import main

from .conftest import _PATH, IS_QUICK, PROFILE
from .example_proxied import HOST, answer_to, close, get
from .sinks import PATIENCE, eventually

ROOT: Final = Path(__file__).parent.parent
KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

SIZES: Final = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB, *([GIB] if PROFILE == "long" else []))
LONGEST: Final = 10 * PATIENCE
"""Seconds that a GiB may take on a busy machine."""

MOST: Final = 8 * MIB
"""What one client may cost: the watermarks are some 200 KiB, and the rest is the allocator's."""

CLOSE: Final = "Connection: close"


class Program:
    """A program of ours that listens, as a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", self.process.stdout.readline())
        assert match is not None
        self.port = int(match[1])
        self.url = f"http://{HOST}:{self.port}"
        self.lines: list[str] = []
        self.base = self.memory()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, number: int | None = signal.SIGTERM) -> tuple[int, str]:
        """End it, if nobody has yet, and return its status and what it complained of."""
        if self.process.poll() is None and number is not None:
            self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        self._reader.join(PATIENCE)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        complaints = "" if self.process.stderr.closed else self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.returncode, complaints

    def memory(self, key: str = "VmRSS") -> int:
        """Return the bytes that a line of its status tells (proc(5))."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{key}:"))) * KIB


def proxy(port: int, *options: str) -> Program:
    return Program("examples.http_proxy", "--listen", f"{HOST}:0", "--to", f"{HOST}:{port}", *options)


# -- nginx -----------------------------------------------------------------------------------------------------

NGINX: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/www;
        location /up/ {{ dav_methods PUT; create_full_put_path on; }}
        location /chunked/ {{ alias {folder}/www/; ssi on; ssi_types *; ssi_min_file_chunk 1k; }}
        location /slow/ {{ alias {folder}/www/; limit_rate 100k; }}
    }}
}}
"""
"""Files that go through its include filter lose their length: they come in chunks."""


def free_port() -> int:
    with socket.create_server((HOST, 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Run nginx over a folder's www, and give its port."""
    (folder / "www" / "up").mkdir(parents=True, exist_ok=True)
    program = shutil.which("nginx", path=_PATH)
    assert program is not None
    port = free_port()
    config = folder / "config"
    config.write_text(NGINX.format(folder=folder, port=port))
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([program, "-c", str(config), "-p", str(folder)], stdout=output, stderr=output)
    try:
        assert eventually(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "output").read_text()
        yield port
    finally:
        process.kill()
        process.wait()


def content(size: int) -> Iterator[bytes]:
    """Give ``size`` bytes that repeat nowhere near."""
    chance = random.Random(size)
    while size > 0:
        part = chance.randbytes(min(size, MIB))
        size -= len(part)
        yield part


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder with a file of each size; a GiB is not left lying about."""
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "www").mkdir()
    for size in SIZES:
        with (folder / "www" / f"{size}.bin").open("wb") as file:
            file.writelines(content(size))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def behind(folder: Path) -> Iterator[int]:
    """Give the port of nginx."""
    with nginx(folder) as port:
        yield port


@pytest.fixture(scope="module")
def through(behind: int) -> Iterator[Program]:
    """Give a proxy before nginx."""
    with proxy(behind) as program:
        yield program


def curl(*arguments: str, stdin: IO[bytes] | None = None) -> subprocess.CompletedProcess[bytes]:
    command = ["curl", "-sS", "--max-time", str(LONGEST), *arguments]
    return subprocess.run(command, check=True, stdin=stdin, capture_output=True, timeout=LONGEST)


@pytest.mark.needs("nginx", "curl")
@pytest.mark.parametrize("place", ["", "chunked/"])
@pytest.mark.parametrize("size", SIZES)
def test_downloads_are_right_to_the_byte(folder: Path, through: Program, tmp_path: Path, size: int, place: str) -> None:
    target = tmp_path / "got"
    got = curl("-D", "-", "-o", str(target), f"{through.url}/{place}{size}.bin")
    assert (b"\r\nTransfer-Encoding: chunked\r\n" in got.stdout) == bool(place and size)
    if size:  # else curl makes no file
        assert digest_of(target) == digest_of(folder / "www" / f"{size}.bin")
    target.unlink(missing_ok=True)
    assert through.memory("VmHWM") < through.base + MOST


@pytest.mark.needs("nginx", "curl")
@pytest.mark.parametrize("framing", ["counted", "chunked", "old"])
@pytest.mark.parametrize("size", SIZES)
def test_uploads_are_right_to_the_byte(folder: Path, through: Program, size: int, framing: str) -> None:
    source = folder / "www" / f"{size}.bin"
    name = f"up/{size}.{framing}"
    options = ["-T", "-" if framing == "chunked" else str(source), "-w", "%{http_code}", "-o", os.devnull]
    with source.open("rb") as file:
        got = curl(*options, *(["-0"] if framing == "old" else []), f"{through.url}/{name}", stdin=file)
    assert got.stdout == b"201"
    assert digest_of(folder / "www" / name) == digest_of(source)
    (folder / "www" / name).unlink()
    assert through.memory("VmHWM") < through.base + MOST


SERVERS: Final = {
    "http.server": ("http.server", "0", "--bind", HOST, "-d"),  # whose answers end with the connection
    "static_server": ("examples.static_server", "--listen", f"{HOST}:0"),
}


@pytest.mark.needs("curl")
@pytest.mark.parametrize("name", SERVERS)
def test_other_servers_behind(folder: Path, name: str) -> None:
    command = [sys.executable, "-u", "-m", *SERVERS[name], str(folder / "www")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            port = re.search(r"(?: port |1:)(\d+)", server.stdout.readline())
            assert port is not None
            with proxy(int(port[1])) as program:
                got = curl(f"{program.url}/{5 * MIB}.bin").stdout
                assert hashlib.sha256(got).hexdigest() == digest_of(folder / "www" / f"{5 * MIB}.bin")
                assert curl("-o", os.devnull, "-w", "%{http_code}", f"{program.url}/none").stdout == b"404"
                assert f"Content-Length: {5 * MIB}".encode() in curl("-I", f"{program.url}/{5 * MIB}.bin").stdout
        finally:
            server.kill()


@pytest.mark.needs("nginx", "curl")
def test_many_requests_over_one_connection_and_over_many(through: Program, folder: Path) -> None:
    sizes = [size for size in SIZES if size < 5 * MIB] * 5
    urls = [argument for size in sizes for argument in ("-o", os.devnull, f"{through.url}/{size}.bin")]
    counts = curl("-w", "%{num_connects} %{http_code} %{size_download}\n", *urls).stdout.decode().splitlines()
    assert counts == [f"{int(not at)} 200 {size}" for at, size in enumerate(sizes)]
    got = curl("-Z", "-w", "%{http_code} %{size_download}\n", *urls).stdout.decode().splitlines()
    assert sorted(got) == sorted(f"200 {size}" for size in sizes)


# -- many clients ----------------------------------------------------------------------------------------------

IDLE: Final = 100 if IS_QUICK else 900
SLOW: Final = 25
"""So many read slowly, and as many write slowly; twice as many are quick.

Of fewer, what the heap grows by itself would be too large a share."""

SHARE: Final = 256 * KIB
"""What a client may cost at most: a window of 64 KiB, watermarks of 64 KiB and as much above them,
and what the allocator makes of that."""


@pytest.mark.needs("nginx")
def test_a_thousand_clients_of_which_most_are_idle_and_some_are_slow(folder: Path, behind: int) -> None:
    """Slow ones write a head byte by byte, or do not read what they get. Memory stays within the watermarks."""
    raise_descriptors()
    size = 5 * MIB
    expected = digest_of(folder / "www" / f"{size}.bin")

    async def slow_reader(port: int, go: asyncio.Event) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (HOST, port))
        await loop.sock_sendall(sock, get(f"/{size}.bin", CLOSE))
        await go.wait()
        hashed, got = hashlib.sha256(), b""
        while b"\r\n\r\n" not in got:
            got += await loop.sock_recv(sock, 100)
        got = got.partition(b"\r\n\r\n")[2]
        while got:
            hashed.update(got)
            got = await loop.sock_recv(sock, 64 * KIB)
        sock.close()
        assert hashed.hexdigest() == expected

    async def slow_writer(port: int, go: asyncio.Event) -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        head = get("/1.bin", CLOSE)
        for at in range(len(head)):
            writer.write(head[at : at + 1])
            if at == len(head) - 2:
                await go.wait()
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
        await close(writer)

    async def quick(port: int) -> None:
        for _ in range(2 if IS_QUICK else 4):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(get(f"/{64 * KIB}.bin", CLOSE))
            assert (await reader.read()).partition(b"\r\n\r\n")[0].startswith(b"HTTP/1.1 200 OK\r\n")
            await close(writer)

    async def serve_all(program: Program) -> None:
        async with asyncio.timeout(PATIENCE):
            port, go = program.port, asyncio.Event()
            idle = [await asyncio.open_connection(HOST, port) for _ in range(IDLE)]
            for reader, writer in idle[::9]:
                writer.write(get("/1.bin"))
                await answer_to(reader)
            before = program.memory()
            async with asyncio.TaskGroup() as group:
                for slow in (slow_reader, slow_writer):
                    for _ in range(SLOW):
                        group.create_task(slow(port, go))
                peak = 0
                for _ in range(2):
                    await asyncio.gather(*(quick(port) for _ in range(2 * SLOW)))
                    peak = max(peak, program.memory())
                go.set()
            peak = max(peak, program.memory())
            assert peak - before < 4 * SLOW * SHARE  # half of them are quick
            for _, writer in idle:
                writer.write(get("/1.bin", CLOSE))
            for reader, writer in idle:
                assert (await reader.read()).startswith(b"HTTP/1.1 200 OK\r\n")
                await close(writer)

    with proxy(
        behind, "--connections", "1100"
    ) as program:  # who ends and comes again may be counted twice for a moment
        asyncio.run(serve_all(program))
        assert program.end() == (0, "")
    assert all(line.split()[2] == "200" for line in program.lines)


def raise_descriptors() -> None:
    """A thousand clients are a thousand descriptors of ours."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if least < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))


@pytest.mark.needs("nginx")
def test_memory_is_bounded_where_a_client_does_not_read(through: Program) -> None:
    with socket.create_connection((HOST, through.port), timeout=PATIENCE) as sock:
        before = through.memory()
        answers = 4 if IS_QUICK else 10
        sock.sendall(get(f"/{5 * MIB}.bin") * (answers - 1) + get(f"/{5 * MIB}.bin", CLOSE))
        assert eventually(lambda: is_full(sock))
        assert through.memory() < before + MOST
        left = answers * 5 * MIB
        while got := sock.recv(MIB):
            left -= len(got)
            assert through.memory() < before + MOST
        assert left < 0  # there were heads, too


def is_full(sock: socket.socket) -> bool:
    """Whether nothing more comes: what has come for a socket is as much as the last time somebody looked."""
    before = waiting(sock)
    for _ in range(20):
        select.select([], [], [], 0.01)
        if waiting(sock) != before:
            return False
    return before > 0


def waiting(sock: socket.socket) -> int:
    """Return how many bytes have come that nobody has read (SIOCINQ, tcp(7))."""
    count: int = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]
    return count


def test_memory_is_bounded_where_the_server_behind_does_not_read() -> None:
    with (
        socket.create_server((HOST, 0)) as server,
        proxy(server.getsockname()[1]) as program,
        socket.create_connection((HOST, program.port), timeout=PATIENCE) as sock,
    ):
        before = program.memory()
        sock.sendall(get("/", f"Content-Length: {GIB}", method="POST"))
        peer, _ = server.accept()
        sock.setblocking(False)
        sent = 0
        while select.select([], [sock], [], 0.5)[1]:  # until all that holds something is full
            sent += sock.send(bytes(MIB))
            assert program.memory() < before + MOST
        with peer:
            assert eventually(lambda: is_full(peer))
            assert program.memory() < before + MOST
            assert sent < GIB


STOPPED: Final = """
local answers = 0

function response()
  answers = answers + 1
  if answers == %d then wrk.thread:stop() end
end
"""
"""A script of wrk: after so many answers it rests for what is left of its time, which it counts in whole seconds."""


@pytest.mark.needs("nginx", "wrk")
@pytest.mark.parametrize("size", [1, 64 * KIB + 1])
def test_wrk_sees_no_error(through: Program, tmp_path: Path, size: int) -> None:
    before = len(through.lines)
    script = tmp_path / "stop.lua"
    script.write_text(STOPPED % (500 if IS_QUICK else 1 << 30))
    command = ["wrk", "-t1", "-c64", f"-d{1 if IS_QUICK else 2}s", "--timeout", "30s", "-s", str(script)]
    command.append(f"{through.url}/{size}.bin")
    report = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    requests = re.search(r"(\d+) requests in", report)
    assert requests is not None
    assert int(requests[1]) > 50
    assert "Socket errors" not in report
    assert "Non-2xx" not in report
    assert eventually(lambda: len(through.lines) - before >= int(requests[1]))
    # Those that wrk leaves when its time is up are told of, too.
    assert {line.split()[2] for line in through.lines[before : before + int(requests[1])]} <= {"200", "499"}


# -- the server behind is killed -------------------------------------------------------------------------------

STREAMER: Final = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
clients = []
for _ in range({clients}):
    client, _ = server.accept()
    while b"\\r\\n\\r\\n" not in client.recv(65536): pass
    client.sendall(b"HTTP/1.1 200 OK\\r\\n{framing}\\r\\n\\r\\n")
    clients.append(client)
while True:
    for client in clients:
        client.sendall({piece!r})
"""
"""A server whose answers come to no end before it does."""


@pytest.mark.needs("curl")
@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
def test_a_server_that_is_killed_leaves_no_body_that_looks_whole(framing: str) -> None:
    clients = 3 if IS_QUICK else 5
    body = b"x" * 4096
    piece = body if "Length" in framing else b"1000\r\n" + body + b"\r\n"
    source = STREAMER.format(clients=clients, framing=framing, piece=piece)
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            with proxy(port) as program:
                curls = [
                    subprocess.Popen(
                        ["curl", "-sS", "--max-time", str(PATIENCE), program.url],
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                    )
                    for _ in range(clients)
                ]
                for one in curls:
                    assert one.stdout is not None
                    assert len(one.stdout.read(100_000)) == 100_000
                server.kill()
                server.wait()
                for one in curls:
                    assert one.stdout is not None
                    got, complaint = one.communicate(timeout=PATIENCE)
                    assert got.count(b"x") == len(got)
                    # 18: fewer bytes than announced, or no last chunk.
                    assert one.returncode == 18, complaint
                assert eventually(lambda: len(program.lines) >= clients)
                assert [line.split()[:3] for line in program.lines] == [["GET", "/", "200"]] * clients
                # It lives, and says what there is to say.
                assert curl("-o", os.devnull, "-w", "%{http_code}", program.url).stdout == b"502"
                assert program.end() == (0, "")
        finally:
            server.kill()


@pytest.mark.needs("nginx", "curl")
def test_nginx_that_is_killed_in_the_middle_of_an_upload_and_comes_back(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "nginx"
    (place / "www").mkdir(parents=True)
    (place / "www" / "hello").write_bytes(b"hello")
    with nginx(place) as port:
        program = proxy(port)
        with program:
            assert curl(f"{program.url}/hello").stdout == b"hello"
            with subprocess.Popen(
                ["curl", "-sS", "--max-time", str(PATIENCE), "-T", "-", f"{program.url}/up/x"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as upload:
                assert upload.stdin is not None
                upload.stdin.write(bytes(MIB))
                upload.stdin.flush()
                assert eventually(lambda: any((place / "body").iterdir()))
                pid = int((place / "pid").read_text())
                os.kill(pid, signal.SIGKILL)
                got, _ = upload.communicate(timeout=PATIENCE)
            assert got.startswith(b"502 Bad Gateway: the server behind")
            assert not any((place / "www" / "up").iterdir())
            assert program.process.poll() is None


# -- the end ---------------------------------------------------------------------------------------------------


class Load:
    """Asks in a thread, over and over, until it is told that its connection ends, or it does between two answers."""

    def __init__(self, port: int, size: int) -> None:
        self.answers = 0
        self._fault = ""
        self._size = size
        self._sock = socket.create_connection((HOST, port), timeout=PATIENCE)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._sock:
            while not self._fault:
                got = b""
                try:
                    self._sock.sendall(get(f"/{self._size}.bin"))
                    while (left := self._size - len(got.partition(b"\r\n\r\n")[2])) or b"\r\n\r\n" not in got:
                        part = self._sock.recv(left + 1000)
                        if not part:
                            break
                        got += part
                except ConnectionError:
                    pass  # the proxy had gone before it saw the request
                if not got:
                    return
                head, _, body = got.partition(b"\r\n\r\n")
                if not head.startswith(b"HTTP/1.1 200 OK") or len(body) != self._size:
                    self._fault = f"{len(body)} bytes behind {head!r}"
                self.answers += 1
                if b"\r\nConnection: close" in head:
                    return

    def end(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert not self._fault


@pytest.mark.needs("nginx", "wrk")
@pytest.mark.parametrize("size", [1, 64 * KIB + 1])
def test_sigterm_under_load_cuts_no_answer(behind: int, size: int) -> None:
    with proxy(behind) as program:
        load = [Load(program.port, size) for _ in range(16)]
        with subprocess.Popen(
            ["wrk", "-t1", "-c32", "-d20s", f"{program.url}/{size}.bin"], stdout=subprocess.DEVNULL
        ) as wrk:
            try:
                few = 3 if IS_QUICK else 10
                assert eventually(lambda: all(one.answers > few for one in load) and len(program.lines) > 20 * few)
                assert program.end() == (0, "")
            finally:
                wrk.kill()
        for one in load:
            one.end()
        assert {line.split()[2] for line in program.lines} == {"200"}


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_accepted_is_answered(behind: int, folder: Path, number: int) -> None:
    """Requests that have begun, those that have come, those of connections that wait with the system; not idle ones."""
    with proxy(behind) as program:
        slow = [socket.create_connection((HOST, program.port), timeout=PATIENCE) for _ in range(8)]
        for sock in slow:
            sock.sendall(get(f"/slow/{64 * KIB + 1}.bin"))
        idle = [socket.create_connection((HOST, program.port), timeout=PATIENCE) for _ in range(8)]
        for sock in idle[:4]:
            sock.sendall(get("/1.bin"))
            assert eventually(lambda: b"\r\n\r\n" in sock.recv(1000, socket.MSG_PEEK))  # noqa: B023
            sock.recv(1000)
        half = socket.create_connection((HOST, program.port), timeout=PATIENCE)
        half.sendall(get("/1.bin")[:-2])
        assert eventually(lambda: len(program.lines) >= 4)
        program.process.send_signal(signal.SIGSTOP)
        waiting = [socket.create_connection((HOST, program.port), timeout=PATIENCE) for _ in range(200)]
        for sock in waiting:
            sock.sendall(get("/1.bin"))
        program.process.send_signal(number)
        program.process.send_signal(signal.SIGCONT)
        for sock in waiting:
            assert len(body_to_the_end(sock)) == 1
        for sock in idle:
            assert sock.recv(1000) == b""
            sock.close()
        half.sendall(b"\r\n")
        assert len(body_to_the_end(half)) == 1
        for sock in slow:
            assert len(body_to_the_end(sock)) == 64 * KIB + 1
        assert program.end(None) == (0, "")


def body_to_the_end(sock: socket.socket) -> bytes:
    """Read an answer until its connection ends, and return its body."""
    with sock:
        head, _, body = b"".join(iter(lambda: sock.recv(64 * KIB), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    return body


@pytest.mark.needs("nginx", "curl")
def test_what_takes_longer_than_its_deadline_is_cut(behind: int) -> None:
    with proxy(behind, "--grace-time", "0.2") as program:
        command = ["curl", "-sS", "--max-time", str(PATIENCE), f"{program.url}/slow/{5 * MIB}.bin"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as slow:
            assert slow.stdout is not None
            slow.stdout.read(1)
            assert program.end() == (0, "")
            slow.communicate(timeout=PATIENCE)
            assert slow.returncode in (18, 56)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--listen", "nowhere", "--to", "127.0.0.1:1"), "'nowhere' is no [HOST:]PORT"),
        (("--listen", "127.0.0.1:0"), "required: --to"),
        (("--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--window", "10"), "a window of 10"),
    ],
)
def test_arguments_that_are_wrong_are_complained_of(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        sys.exit(main(arguments))
    assert ended.value.code == 2
    output, errors = capsys.readouterr()
    assert complaint in errors
    assert not output


def test_the_program_says_what_it_cannot_do() -> None:
    command = [sys.executable, "-m", "examples.http_proxy", "--listen", "192.0.2.1:0", "--to", "127.0.0.1:1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True, timeout=PATIENCE)
    assert run.returncode == 2
    assert "http_proxy: " in run.stderr
    assert not run.stdout


@pytest.mark.needs("nginx", "curl")
def test_nobody_has_to_read_what_it_says(behind: int) -> None:
    command = [sys.executable, "-m", "examples.http_proxy", "--listen", f"{HOST}:0", "--to", f"{HOST}:{behind}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        url = f"http://{program.stdout.readline().split()[-1]}"
        program.stdout.close()
        for _ in range(3):
            assert curl("-o", os.devnull, "-w", "%{http_code}", f"{url}/1.bin").stdout == b"200"
        program.terminate()
        assert program.wait(PATIENCE) == 0
        assert not program.stderr.read()
