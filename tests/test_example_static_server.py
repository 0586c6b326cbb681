"""examples/static_server.py: real clients, slow and rude ones, files that change, and what all of that costs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import random
import re
import resource
import select
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import h11
import pytest

from bytebufs import copy_audit
from examples import static_server
from examples.static_server import Limits, StaticServer, main
from examples.web.connection import MOST_QUEUED, Connection
from examples.web.files import Site

from .conftest import IS_QUICK
from .sinks import PATIENCE, eventually, tcp_pair

ROOT: Final = Path(__file__).parent.parent
KIB: Final = 1 << 10
MIB: Final = 1 << 20

SIZES: Final = (0, 1, 4 * KIB - 1, 4 * KIB, 4 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB)
CONTENT: Final = random.Random(11).randbytes(5 * MIB)
DIGEST: Final = hashlib.sha256(CONTENT).hexdigest()
FAR: Final = (6 << 30) + 17
"""Bytes of a sparse file: beyond 32 bits."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file of each size, last changed long ago."""
    folder = tmp_path_factory.mktemp("www")
    for size in SIZES:
        (folder / f"{size}.bin").write_bytes(CONTENT[:size])
    (folder / "index.html").write_bytes(b"<p>hello")
    (folder / "sub").mkdir()
    with (folder / "far.bin").open("wb") as file:
        file.seek(FAR - 10)
        file.write(b"0123456789")
    for path in folder.iterdir():
        os.utime(path, (10**9, 10**9))
    return folder


# -- servers ---------------------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, **options: object) -> Iterator[tuple[str, int]]:
    """Serve a folder in a thread, and give the address."""
    with StaticServer(folder, **options) as server:  # type: ignore[arg-type]  # its own options
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield server.address
        finally:
            server.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[tuple[str, int]]:
    """Give the address of a server of the folder, and one that waits as long as tests do."""
    with serving(folder, limits=Limits(head=PATIENCE, send=PATIENCE, idle=PATIENCE, linger=PATIENCE)) as address:
        yield address


class Program:
    """The server as a process of its own."""

    def __init__(self, folder: Path, *arguments: str, through: Sequence[str] = ()) -> None:
        command = [*through, sys.executable, "-m", "examples.static_server", str(folder), "--listen", "0", *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        match = re.fullmatch(r"listening on (127\.0\.0\.1):(\d+)\n", self.process.stdout.readline())
        assert match is not None
        self.url = f"http://{match[1]}:{match[2]}/"
        self.address = match[1], int(match[2])
        self.pid = self.process.pid
        if through:
            self.pid = int(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text())

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def memory(self, key: str) -> int:
        """Return the bytes that a line of its status tells."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(f"{key}:"))) * KIB

    def restart_peak(self) -> None:
        """Forget the peak of its memory (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """Return how many it has but for this question's, after it has done all that came before.

        The connection is still open then: when the server gets round to closing it, nobody knows. A method it does not
        know opens no file.
        """
        with connect(self.address) as sock:
            sock.sendall(get("/", method="BREW"))
            assert receive_head(sock)[0] == 501
            return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()) - 1

    def assert_descriptors(self, expected: int) -> None:
        """Wait until it has so many."""
        assert eventually(lambda: self.descriptors() == expected), (self.descriptors(), expected)


@pytest.fixture(scope="module")
def program(folder: Path) -> Iterator[Program]:
    """Give a program, for tests that do not end it."""
    with Program(folder) as program:
        yield program


# -- clients ---------------------------------------------------------------------------------------------------


def connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.create_connection(address, timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def get(target: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: h", *fields, "", ""]).encode("latin-1")


def head(address: tuple[str, int], target: str) -> bytes:
    """Ask in a connection of its own, and return all that comes."""
    with connect(address) as sock:
        sock.sendall(get(target, "Connection: close", method="HEAD"))
        return rest(sock)


def rest(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(MIB), b""))


def receive(sock: socket.socket, nbytes: int) -> bytes:
    data = bytearray()
    while len(data) < nbytes:
        data += sock.recv(min(MIB, nbytes - len(data))) or pytest.fail("the connection ended")
    return bytes(data)


def receive_head(sock: socket.socket) -> tuple[int, int]:
    """Take the head of an answer, and return its status and the length of its body."""
    assert eventually(lambda: b"\r\n\r\n" in sock.recv(1000, socket.MSG_PEEK))
    data = receive(sock, sock.recv(1000, socket.MSG_PEEK).index(b"\r\n\r\n") + 4)
    length = re.search(rb"\r\nContent-Length: (\d+)\r\n", data)
    return int(data[9:12]), int(length[1]) if length else 0


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def curl(address: tuple[str, int], *arguments: str, stdin: bytes | None = None) -> bytes:
    """Run curl. The last argument is the path."""
    *options, target = arguments
    url = f"http://{address[0]}:{address[1]}{target}"
    command = ["curl", "-sS", "--max-time", str(PATIENCE), "--path-as-is", *options, url]
    return subprocess.run(command, check=True, input=stdin, stdout=subprocess.PIPE, timeout=PATIENCE).stdout


def all_of(sock: socket.socket) -> bytes:
    """Let a slow client hurry, and return the body of its answer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
    return receive(sock, 5 * MIB)


# -- right bytes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_every_size_arrives_over_one_connection(address: tuple[str, int], size: int) -> None:
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    with contextlib.closing(connection):
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, f"/{size}.bin")
            response = connection.getresponse()
            body = response.read()
            assert response.status == 200
            assert response.getheader("Content-Length") == str(size)
            assert sha256(body) == sha256(CONTENT[:size] if method == "GET" else b"")


@pytest.mark.parametrize("start", [0, 1, 4 * KIB - 1, 4 * KIB, 64 * KIB, 5 * MIB - 1])
def test_every_range_arrives(address: tuple[str, int], start: int) -> None:
    connection = http.client.HTTPConnection(*address, timeout=PATIENCE)
    size = 5 * MIB
    with contextlib.closing(connection):
        for length in (1, 2, 4 * KIB - 1, 4 * KIB, 64 * KIB + 1, 2 * MIB + 1, size):
            span = CONTENT[start : start + length]
            connection.request("GET", f"/{size}.bin", headers={"Range": f"bytes={start}-{start + length - 1}"})
            response = connection.getresponse()
            assert response.status == 206
            assert response.getheader("Content-Range") == f"bytes {start}-{start + len(span) - 1}/{size}"
            assert sha256(response.read()) == sha256(span)


@pytest.mark.needs("curl")
@pytest.mark.parametrize("size", SIZES)
def test_curl_gets_every_size(address: tuple[str, int], size: int) -> None:
    assert sha256(curl(address, f"/{size}.bin")) == sha256(CONTENT[:size])
    assert f"Content-Length: {size}\r\n".encode() in curl(address, "-I", f"/{size}.bin")


@pytest.mark.needs("curl")
@pytest.mark.parametrize("size", [size for size in SIZES if size])
def test_curl_gets_ranges_of_every_size(address: tuple[str, int], size: int) -> None:
    content = CONTENT[:size]
    middle = size // 2
    for value, expected in {
        "0-0": content[:1],
        f"{size - 1}-": content[-1:],
        f"{middle}-": content[middle:],
        f"-{middle + 1}": content[-(middle + 1) :],
        f"{size // 3}-{middle}": content[size // 3 : middle + 1],
        "0-99999999999": content,
    }.items():
        assert sha256(curl(address, "-r", value, f"/{size}.bin")) == sha256(expected), value
    assert b"HTTP/1.1 416 " in curl(address, "-i", "-r", f"{size}-", f"/{size}.bin")


@pytest.mark.needs("curl")
def test_curl_resumes_and_asks_again_only_for_what_has_changed(address: tuple[str, int], tmp_path: Path) -> None:
    name = f"/{5 * MIB}.bin"
    part = tmp_path / "part"
    part.write_bytes(CONTENT[:MIB])
    curl(address, "-C", "-", "-o", str(part), name)
    assert sha256(part.read_bytes()) == DIGEST
    tag = tmp_path / "tag"
    curl(address, "--etag-save", str(tag), "-o", os.devnull, name)
    status = ["-o", os.devnull, "-w", "%{http_code} %{size_download}"]
    assert curl(address, "--etag-compare", str(tag), *status, name) == b"304 0"
    assert curl(address, "-z", "Sun, 09 Sep 2001 01:46:40 GMT", *status, name) == b"304 0"
    assert curl(address, "-z", "Sun, 09 Sep 2001 01:46:39 GMT", *status, name) == f"200 {5 * MIB}".encode()


@pytest.mark.needs("curl")
def test_curl_finds_nothing_else(address: tuple[str, int], tmp_path: Path) -> None:
    status = ["-o", os.devnull, "-w", "%{http_code}"]
    for target, expected in {
        "/../../../../etc/passwd": b"404",
        "/%2e%2e/%2e%2e/etc/passwd": b"404",
        "/missing": b"404",
        "/sub": b"301",
        "/sub/": b"404",
        "/%00": b"400",
        f"/{'a' * 9000}": b"414",
    }.items():
        assert curl(address, *status, target) == expected, target
    assert curl(address, *status, "-X", "DELETE", "/") == b"405"
    assert curl(address, *status, "-H", f"X: {'a' * 9000}", "/") == b"431"
    # The answer arrives although the body of the request is never read.
    assert curl(address, *status, "--data-binary", "@-", "/", stdin=bytes(3 * MIB)) == b"405"


STATUS: Final = ("-o", os.devnull, "-w", "%{http_code}")


@pytest.mark.needs("curl")
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-H", "Host;"], 200),  # an empty one
        (["-H", "Host:"], 400),  # none
        (["-0", "-H", "Host:"], 200),
        (["-H", "Host: [2001:db8::1]:8080"], 200),
        (["-H", "Host: [2001:db8::1"], 400),
        (["-H", "Host: user@example.org"], 400),
        (["-H", "Host: example.org:http"], 400),
        (["-H", "Host: example.org/1.bin"], 400),
        (["-0", "-H", "Host: example org"], 400),
        (["--request-target", "http://example.org/1.bin"], 200),
        (["--request-target", "http://user@example.org/1.bin"], 400),
        (["--request-target", "http:///1.bin"], 400),
        (["--request-target", "https://example.org/1.bin"], 421),
        (["--request-target", "1.bin"], 400),
        (["-X", "OPTIONS", "--request-target", "*"], 405),
    ],
)
def test_curl_is_served_for_one_host(address: tuple[str, int], arguments: list[str], status: int) -> None:
    assert curl(address, *STATUS, *arguments, "/1.bin") == str(status).encode()


@pytest.mark.needs("curl")
def test_curl_is_served_as_through_a_proxy(address: tuple[str, int]) -> None:
    """The target has the host then."""
    options = ["-sS", "--max-time", str(PATIENCE), "--noproxy", "", "-x", f"http://{address[0]}:{address[1]}"]
    body = subprocess.run(
        ["curl", *options, "http://example.org:81/4096.bin"], check=True, stdout=subprocess.PIPE, timeout=PATIENCE
    ).stdout
    assert sha256(body) == sha256(CONTENT[: 4 * KIB])


WHEN: Final = {
    "Sun, 09 Sep 2001 01:46:40 GMT": True,
    "Sunday, 09-Sep-01 01:46:40 GMT": True,
    "Sun Sep  9 01:46:40 2001": True,
    "Sun, 09 Sep 2001 01:46:40": False,
    "Sun, 09 Sep 2001 01:46:40 UTC": False,
    "Mon, 09 Sep 2001 01:46:40 GMT": False,
    "Sun, 9 Sep 2001 01:46:40 GMT": False,
    "Sun Sep 9 01:46:40 2001": False,
}
"""When the files were changed, and whether it is said in HTTP's words."""


@pytest.mark.needs("curl")
@pytest.mark.parametrize(("date", "is_one"), WHEN.items())
def test_curl_has_its_dates_read_to_the_letter(address: tuple[str, int], date: str, is_one: bool) -> None:
    since = curl(address, *STATUS, "-H", f"If-Modified-Since: {date}", "/4096.bin")
    assert since == (b"304" if is_one else b"200")
    rest_of = curl(address, "-r", "4095-", "-H", f"If-Range: {date}", "/4096.bin")
    assert rest_of == (CONTENT[4 * KIB - 1 : 4 * KIB] if is_one else CONTENT[: 4 * KIB])


@pytest.mark.needs("curl")
def test_curl_notices_a_file_that_has_the_size_and_time_of_the_one_before(tmp_path: Path) -> None:
    path = changing(tmp_path, b"before")
    os.utime(path, (10**9, 10**9))
    tag = tmp_path / "tag"
    with serving(path.parent) as address:
        assert curl(address, "--etag-save", str(tag), "/file") == b"before"
        assert curl(address, *STATUS, "--etag-compare", str(tag), "/file") == b"304"
        changed = path.stat().st_ctime_ns
        while path.stat().st_ctime_ns == changed:  # the clock of files may be coarse
            path.write_bytes(b"behind")
        os.utime(path, (10**9, 10**9))
        assert curl(address, "--etag-compare", str(tag), "/file") == b"behind"


@pytest.mark.needs("curl")
def test_the_far_end_of_a_file_of_more_than_4_gib(address: tuple[str, int]) -> None:
    assert curl(address, "-r", "-10", "/far.bin") == b"0123456789"
    assert curl(address, "-r", f"{FAR - 5}-{FAR}", "/far.bin") == b"56789"
    assert curl(address, "-r", f"{(4 << 30) - 3}-{(4 << 30) + 2}", "/far.bin") == bytes(6)
    several = curl(address, "-r", f"0-1,{4 << 30}-{4 << 30},-3", "/far.bin")
    assert f"bytes {FAR - 3}-{FAR - 1}/{FAR}\r\n\r\n789\r\n".encode() in several
    assert f"Content-Length: {FAR}\r\n".encode() in curl(address, "-I", "/far.bin")


MOST_ANSWERS: Final = 500 if IS_QUICK else 1 << 30
"""After so many wrk lets the processor rest for what is left of its time, which it counts in whole seconds."""

WRK: Final = """
local sizes = {%s}
local file = io.open("%s", "rb")
local content = file:read("*a")
file:close()
local threads = {}
local counter = 0
checked, wrong = 0, 0 -- global: done() asks each thread for them

function setup(thread) table.insert(threads, thread) end

function request()
  counter = counter + 1
  local size = sizes[counter %% #sizes + 1]
  local headers = {}
  if counter %% 3 > 0 then
    headers["Range"] = "bytes=" .. (counter * 7919) %% size .. "-" .. (counter * 7919 + counter * 104729) %% (2 * size)
  end
  return wrk.format("GET", "/" .. size .. ".bin", headers)
end

function response(status, headers, body)
  local first, last = 0, #body - 1
  if status == 206 then
    first, last = string.match(headers["Content-Range"], "bytes (%%d+)-(%%d+)/")
  elseif status ~= 200 then
    return
  end
  if body ~= string.sub(content, first + 1, last + 1) then wrong = wrong + 1 end
  checked = checked + 1
  if checked == %d then wrk.thread:stop() end
end

function done(summary)
  local checked, wrong = 0, 0
  for _, thread in ipairs(threads) do
    checked = checked + thread:get("checked")
    wrong = wrong + thread:get("wrong")
  end
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %%d %%d %%d %%d\\n", checked, wrong, failed, errors.status))
end
"""


def results_of_wrk(program: Program, script: Path, *, connections: int) -> list[int]:
    """Return the numbers that a script of wrk tells at its end, which leaves no descriptor open."""
    before = program.descriptors()
    run = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", "-d1s", "--timeout", "30s", "-s", script, program.url],
        check=True, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    program.assert_descriptors(before)
    match = re.search(r"^RESULT (\d+(?: \d+)*)$", run.stdout, re.MULTILINE)
    assert match is not None, run.stdout
    return [int(number) for number in match[1].split()]


@pytest.mark.needs("wrk")
def test_wrk_gets_the_right_bytes_over_many_connections(program: Program, folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "check.lua"
    sizes = [size for size in SIZES if 0 < size < MIB]
    script.write_text(WRK % (", ".join(map(str, sizes)), folder / f"{5 * MIB}.bin", MOST_ANSWERS))
    checked, wrong, failed, refused = results_of_wrk(program, script, connections=64)
    assert checked > 64
    assert (wrong, failed, refused) == (0, 0, 0)


ASK: Final = """
local cases = {%s}
local asked, expected = 0, 0
local threads = {}
checked, wrong = 0, 0 -- global: done() asks the thread for them

function setup(thread) table.insert(threads, thread) end

function request()
  asked = asked + 1
  local case = cases[asked %% #cases + 1]
  expected = case[3]
  return wrk.format("GET", "/4096.bin", {[case[1]] = case[2], ["Host"] = case[1] == "Host" and case[2] or "h"})
end

function response(status)
  checked = checked + 1
  if status ~= expected then wrong = wrong + 1 end
  if checked == %d then wrk.thread:stop() end
end

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %%d %%d %%d\\n", threads[1]:get("checked"), threads[1]:get("wrong"), failed))
end
"""


@pytest.mark.needs("wrk")
def test_wrk_is_refused_and_answered_in_turn(program: Program, tmp_path: Path) -> None:
    """One connection, so that an answer is that to the last request. After each refusal it is a new one."""
    cases = [("If-Modified-Since", date, 304 if is_one else 200) for date, is_one in WHEN.items()]
    cases += [("Host", host, 200) for host in ("a,b", "[::1]:80", "h:", "%41")]
    cases += [("Host", host, 400) for host in ("a b", "[::1", "h:x", "u@h", "%4")]
    script = tmp_path / "ask.lua"
    listed = ", ".join(f'{{"{name}", "{value}", {status}}}' for name, value, status in cases)
    script.write_text(ASK % (listed, MOST_ANSWERS))
    checked, wrong, failed = results_of_wrk(program, script, connections=1)
    assert checked > len(cases)
    assert (wrong, failed) == (0, 0)


# -- many requests in one connection ---------------------------------------------------------------------------


Asked = tuple[str, str, list[tuple[str, str]]]
"""A method, a target, and fields."""


def judged(address: tuple[str, int], requests: Sequence[Asked]) -> list[tuple[int, str]]:
    """Send requests all at once, and return what h11 makes of the answers: status and body of each."""
    judge = h11.Connection(h11.CLIENT)
    with connect(address) as sock:
        sock.sendall(b"".join(get(t, *(f"{n}: {v}" for n, v in fields), method=m) for m, t, fields in requests))
        sock.shutdown(socket.SHUT_WR)
        answers: list[tuple[int, str]] = []
        for method, target, fields in requests:
            judge.send(h11.Request(method=method, target=target, headers=[("Host", "h"), *fields]))
            judge.send(h11.EndOfMessage())
            status, body = 0, b""
            while True:
                event = judge.next_event()
                if event is h11.NEED_DATA:
                    judge.receive_data(sock.recv(MIB))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    assert isinstance(event, h11.EndOfMessage)
                    break
            answers.append((status, sha256(body)))
            if judge.their_state is h11.DONE:
                judge.start_next_cycle()
        assert sock.recv(1) == b""
    return answers


def test_pipelined_requests_are_answered_in_order_as_h11_reads_them(address: tuple[str, int]) -> None:
    kinds: list[tuple[Asked, int, bytes]] = [
        (("GET", "/1.bin", []), 200, CONTENT[:1]),
        (("GET", "/0.bin", []), 200, b""),
        (("HEAD", f"/{5 * MIB}.bin", []), 200, b""),
        (("GET", "/missing", []), 404, b"404 Not Found\n"),
        (("GET", "/4096.bin", [("If-None-Match", "*")]), 304, b""),
        (("GET", "/65537.bin", [("Range", "bytes=-65536")]), 206, CONTENT[1:65537]),
        (("GET", "/sub", []), 301, b"301 Moved Permanently\n"),
        (("GET", "/1.bin", [("Range", "bytes=1-")]), 416, f"416 {HTTPStatus(416).phrase}\n".encode()),
        (("GET", "/1.bin", [("If-Match", '"x"')]), 412, b"412 Precondition Failed\n"),
        (("GET", f"/{5 * MIB}.bin", []), 200, CONTENT),
        (("GET", "/", []), 200, b"<p>hello"),
    ]
    chosen = random.Random(5).choices(kinds, k=100)
    answers = judged(address, [request for request, _, _ in chosen])
    assert answers == [(status, sha256(body)) for _, status, body in chosen]


def test_a_request_that_comes_byte_by_byte_is_answered(address: tuple[str, int]) -> None:
    with connect(address) as sock:
        for byte in get("/1.bin"):
            sock.sendall(bytes([byte]))
        assert receive_head(sock) == (200, 1)


@pytest.mark.parametrize(
    "data",
    [b"nonsense\r\n", b"GET / HTTP/1.1\r\n\r\n", get("/", "Content-Length: 9"), get("/", "Connection: close")],
)
def test_the_last_answer_arrives_and_then_the_end(address: tuple[str, int], data: bytes) -> None:
    with connect(address) as sock:
        sock.sendall(data + b"x" * 100_000 + get("/"))
        assert rest(sock).count(b"HTTP/1.1 ") == 1


def test_who_only_connects_and_goes_is_no_trouble(address: tuple[str, int]) -> None:
    for data in (b"", b"GET", b"\r\n", get("/missing")):
        with connect(address) as sock:
            sock.sendall(data)
    assert head(address, "/").startswith(b"HTTP/1.1 200 ")


def test_it_can_be_reached_over_ipv6(folder: Path) -> None:
    if not socket.has_ipv6 or not _can_bind("::1"):
        pytest.skip("this machine has no IPv6")
    with serving(folder, address=("::1", 0)) as address:
        assert head(address, "/").startswith(b"HTTP/1.1 200 ")


def _can_bind(host: str) -> bool:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


# -- clients that are slow, rude or greedy -----------------------------------------------------------------------


def slow_client(address: tuple[str, int], target: str) -> socket.socket:
    """Ask for a file and take no more than the head of the answer. The system's own buffer is made small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(PATIENCE)
    sock.connect(address)
    sock.sendall(get(target))
    assert receive_head(sock)[0] == 200
    return sock


def test_many_slow_readers_do_not_stall_a_fast_one_and_cost_little(program: Program) -> None:
    target = f"/{5 * MIB}.bin"
    with ExitStack() as stack:
        start = program.descriptors()
        program.restart_peak()
        before = program.memory("VmRSS")
        slow = [stack.enter_context(slow_client(program.address, target)) for _ in range(64)]
        for _ in range(3):
            with connect(program.address) as fast:
                fast.sendall(get(target))
                assert receive_head(fast) == (200, 5 * MIB)
                assert sha256(receive(fast, 5 * MIB)) == DIGEST
        assert program.memory("VmHWM") - before < 4 * MIB  # 64 times 5 MiB wait
        program.assert_descriptors(start + 2 * 64)
        for sock in slow[:: 32 if IS_QUICK else 8]:
            assert sha256(all_of(sock)) == DIGEST
        stack.close()
        program.assert_descriptors(start)


@pytest.mark.parametrize(("size", "most"), [(65536, 2), (1, MOST_QUEUED)])
def test_requests_are_not_read_while_their_answers_wait(program: Program, size: int, most: int) -> None:
    """Large ones until fewer bytes wait, small ones until fewer answers do: each has its file open."""
    start = program.descriptors()
    before = program.memory("VmRSS")
    program.restart_peak()
    with connect(program.address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.settimeout(0)
        request = get(f"/{size}.bin", f"Long: {'x' * 450}")  # so that few fill what the system holds
        sent = 0
        while select.select([], [sock], [], 0.5)[1]:  # until the server has read nothing for a while
            sent += sock.send((request * 1000)[sent % len(request) :])
        assert sent > 100 * len(request)
        assert eventually(lambda: program.descriptors() <= start + 1 + most)
        assert program.memory("VmHWM") - before < 4 * MIB
        sock.settimeout(PATIENCE)
        for _ in range(sent // len(request)):
            assert receive_head(sock) == (200, size)
            assert receive(sock, size) == CONTENT[:size]
    program.assert_descriptors(start)


def test_half_of_the_clients_reset_in_the_middle(program: Program) -> None:
    target = f"/{5 * MIB}.bin"
    start = program.descriptors()
    for _ in range(1 if IS_QUICK else 3):
        with ExitStack() as stack:
            socks = [stack.enter_context(slow_client(program.address, target)) for _ in range(16)]
            for sock in socks[::2]:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            for sock in socks[1::2]:
                assert sha256(all_of(sock)) == DIGEST
    program.assert_descriptors(start)


def test_clients_beyond_the_limit_wait_for_their_turn(folder: Path) -> None:
    with serving(folder, limits=Limits(connections=2)) as address, ExitStack() as stack:
        first, second, third = (stack.enter_context(connect(address)) for _ in range(3))
        for sock in (first, second, third):
            sock.sendall(get("/1.bin"))
        for sock in (first, second):
            assert receive_head(sock) == (200, 1)
            receive(sock, 1)
        assert not select.select([third], [], [], 0.1)[0]
        first.close()
        assert receive_head(third) == (200, 1)


def test_it_goes_on_when_descriptors_have_run_out(folder: Path) -> None:
    with Program(folder) as program, ExitStack() as stack:
        used = program.descriptors()
        resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (used + 3, used + 3))
        socks = [stack.enter_context(connect(program.address)) for _ in range(10)]
        statuses = set()
        for sock in socks[:2]:
            sock.sendall(get("/1.bin"))
            statuses.add(receive_head(sock)[0])
        assert statuses <= {200, 503}
        for sock in socks[:8]:
            sock.close()
        for sock in socks[8:]:
            sock.sendall(get("/1.bin"))
            assert receive_head(sock)[0] in {200, 503}


def test_it_goes_on_when_clients_cannot_be_accepted(
    quick_sweeps: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One has gone again, then there is no room for a while."""
    errors = [errno.EMFILE, errno.ECONNABORTED, errno.ENOMEM]
    accept = socket.socket.accept

    def failing(sock: socket.socket) -> tuple[socket.socket, object]:
        if errors:
            number = errors.pop()
            raise OSError(number, os.strerror(number))
        return accept(sock)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with serving(folder) as address:
        assert head(address, "/").startswith(b"HTTP/1.1 200 ")
    assert errors == []


# -- patience --------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let servers look at the clock often."""
    monkeypatch.setattr(static_server, "SWEEP", 0.02)


def ends(sock: socket.socket) -> bool:
    """Read to the end; a reset is one, too."""
    try:
        rest(sock)
    except ConnectionResetError:
        pass
    return True


def has_hung_up(sock: socket.socket, more: bytes) -> bool:
    """Send more, wait a moment for what comes of that, and tell whether nobody takes it."""
    try:
        sock.sendall(more)
        select.select([sock], [], [], 0.01)
        sock.sendall(more)
    except OSError:
        return True
    return False


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(head=0.05), b""),
        (Limits(head=0.05), get("/")[:-1]),
        (Limits(head=0.05, idle=60), get("/") + b"GET"),
        (Limits(idle=0.05), get("/")),
        (Limits(idle=0.05), b"\r\n"),
        (Limits(linger=0.05), b"nonsense\r\n"),
    ],
)
def test_who_takes_too_long_is_hung_up_on(quick_sweeps: None, folder: Path, limits: Limits, data: bytes) -> None:
    with serving(folder, limits=limits) as address, connect(address) as sock:
        sock.sendall(data)
        assert ends(sock)


def test_a_head_that_trickles_gets_no_more_time(quick_sweeps: None, folder: Path) -> None:
    with serving(folder, limits=Limits(head=0.2)) as address, connect(address) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        assert eventually(lambda: has_hung_up(sock, b"a"))
        with contextlib.suppress(ConnectionResetError):
            assert rest(sock) == b""  # it was not for the length


def test_who_does_not_read_is_hung_up_on(quick_sweeps: None, folder: Path) -> None:
    with serving(folder, limits=Limits(send=0.1)) as address:
        sock = slow_client(address, f"/{5 * MIB}.bin")
        with sock:
            poll = select.poll()
            poll.register(sock, 0)
            assert poll.poll(PATIENCE * 1000)  # told of the reset although it does not read


def test_who_lingers_after_the_last_answer_has_a_while_and_is_hung_up_on(quick_sweeps: None, folder: Path) -> None:
    with serving(folder, limits=Limits(linger=PATIENCE)) as address, connect(address) as sock:
        sock.sendall(get("/", "Connection: close"))
        assert rest(sock).endswith(b"<p>hello")
        assert not has_hung_up(sock, b"more")
    with serving(folder, limits=Limits(linger=0.1)) as address, connect(address) as sock:
        sock.sendall(get("/", "Connection: close"))
        assert eventually(lambda: has_hung_up(sock, b"more"))


# -- files that change -----------------------------------------------------------------------------------------


def changing(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "www" / "file"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def test_a_file_that_is_cut_short_ends_its_connection_and_no_other(tmp_path: Path) -> None:
    path = changing(tmp_path, CONTENT)
    (path.parent / "other").write_bytes(b"other")
    with serving(path.parent) as address, slow_client(address, "/file") as sock, connect(address) as other:
        other.sendall(get("/other"))
        assert receive_head(other) == (200, 5)
        os.truncate(path, 1000)
        assert len(rest(sock)) < len(CONTENT)  # nothing is made up to get to the length
        assert receive(other, 5) == b"other"
        other.sendall(get("/file"))
        assert receive_head(other) == (200, 1000)
        assert receive(other, 1000) == CONTENT[:1000]


def test_a_file_that_is_replaced_arrives_as_it_was(tmp_path: Path) -> None:
    path = changing(tmp_path, CONTENT)
    with serving(path.parent) as address, slow_client(address, "/file") as sock:
        (tmp_path / "new").write_bytes(bytes(5 * MIB))
        (tmp_path / "new").replace(path)
        assert sha256(all_of(sock)) == DIGEST
        sock.sendall(get("/file"))
        assert receive_head(sock) == (200, 5 * MIB)
        assert all_of(sock) == bytes(5 * MIB)


def test_what_stable_has_sent_stays_as_it_was(tmp_path: Path) -> None:
    """By reference the client would get the new bytes from the first one on."""
    path = changing(tmp_path, b"a" * 32 * KIB)
    with serving(path.parent, stable=True) as address, connect(address) as sock:
        sock.sendall(get("/file"))
        assert receive_head(sock) == (200, 32 * KIB)
        assert eventually(lambda: len(sock.recv(MIB, socket.MSG_PEEK)) == 32 * KIB)
        with path.open("rb+") as file:
            file.write(b"b" * 32 * KIB)
        assert receive(sock, 32 * KIB) == b"a" * 32 * KIB


# -- its end ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_after_what_it_has_begun(folder: Path, number: signal.Signals) -> None:
    with Program(folder) as program, connect(program.address) as idle:
        idle.sendall(get("/1.bin"))
        assert receive_head(idle) == (200, 1)
        with slow_client(program.address, f"/{5 * MIB}.bin") as sock:
            os.kill(program.pid, number)
            assert receive(idle, 1) == CONTENT[:1]
            assert idle.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                connect(program.address)
            assert sha256(all_of(sock)) == DIGEST
            assert sock.recv(1) == b""
        assert program.process.wait(PATIENCE) == 0


def answers(data: bytes) -> list[tuple[int, bool, bytes]]:
    """Return status, whether it is said to be the last one, and body of each answer, all of which are to be whole."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        size = int(re.search(rb"Content-Length: (\d+)", head)[1])  # type: ignore[index]  # it has one
        assert len(data) >= size
        found.append((int(head.split()[1]), b"\r\nConnection: close" in head, data[:size]))
        data = data[size:]
    return found


def test_what_the_system_has_accepted_is_answered_at_the_end(folder: Path) -> None:
    small = (200, False, CONTENT[:1])
    with Program(folder) as program, ExitStack() as stack:
        started = stack.enter_context(connect(program.address))
        started.sendall(get("/1.bin"))
        assert receive_head(started) == (200, 1)
        receive(started, 1)
        started.sendall(get("/1.bin")[:-1])
        os.kill(program.pid, signal.SIGSTOP)
        waiting = [stack.enter_context(connect(program.address)) for _ in range(20)]
        for sock in waiting:
            sock.sendall(get("/1.bin") * 3)
        os.kill(program.pid, signal.SIGTERM)
        os.kill(program.pid, signal.SIGCONT)
        for sock in waiting:
            assert answers(rest(sock)) == [small, small, (200, True, CONTENT[:1])]
        started.sendall(get("/1.bin")[-1:])
        assert answers(rest(started)) == [(200, True, CONTENT[:1])]
        assert program.process.wait(PATIENCE) == 0


def test_more_than_its_queue_takes_is_answered_at_the_end(folder: Path) -> None:
    with Program(folder) as program, slow_client(program.address, f"/{5 * MIB}.bin") as sock:
        sock.sendall(get("/1.bin") * 3 * MOST_QUEUED)
        os.kill(program.pid, signal.SIGTERM)
        assert sha256(all_of(sock)) == DIGEST
        *others, last = answers(rest(sock))
        assert others == [(200, False, CONTENT[:1])] * (3 * MOST_QUEUED - 1)
        assert last == (200, True, CONTENT[:1])
        assert program.process.wait(PATIENCE) == 0


def test_who_says_nothing_is_not_waited_for_at_the_end(folder: Path, quick_sweeps: None) -> None:
    with ExitStack() as stack:
        with serving(folder, limits=Limits(first=0.05, linger=PATIENCE, grace=PATIENCE)) as address:
            silent = stack.enter_context(connect(address))
            assert head(address, "/").startswith(b"HTTP/1.1 200 ")  # it has been accepted, too
        assert rest(silent) == b""


def test_the_end_under_load(folder: Path) -> None:
    """Whatever is answered is answered wholly, and what is not was sent after an answer that said it is the last."""
    asked = threading.Event()
    wrong: list[object] = []
    last: list[bool] = []
    unanswered: list[bytes] = []

    def ask(address: tuple[str, int]) -> None:
        with connect(address) as sock:
            for number in range(1 << 20):
                if number == 20:
                    asked.set()
                sock.sendall(get(f"/{4 * KIB}.bin"))
                data = b""
                while b"\r\n\r\n" not in data or not data.endswith(CONTENT[4 * KIB - 20 : 4 * KIB]):
                    piece = sock.recv(MIB)
                    if not piece:
                        unanswered.append(data)
                        return
                    data += piece
                [(status, is_last, body)] = answers(data)
                if (status, body) != (200, CONTENT[: 4 * KIB]):
                    wrong.append(data)
                if is_last:
                    last.append(is_last)
                    assert sock.recv(1) == b""
                    return

    with Program(folder) as program:
        clients = [threading.Thread(target=ask, args=(program.address,), daemon=True) for _ in range(16)]
        for client in clients:
            client.start()
        assert asked.wait(PATIENCE)
        os.kill(program.pid, signal.SIGTERM)
        assert program.process.wait(PATIENCE) == 0
        for client in clients:
            client.join(PATIENCE)
    assert wrong == []
    assert len(last) + len(unanswered) == len(clients)
    assert set(unanswered) <= {b""}  # sent when the answer before was the last, which nobody knew when it was made


def test_it_runs_until_a_signal_comes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)]

    def end() -> None:
        assert eventually(lambda: signal.getsignal(signal.SIGINT) != before[1][1])
        os.kill(os.getpid(), signal.SIGTERM)

    ending = threading.Thread(target=end)
    ending.start()
    try:
        assert main([str(folder), "--listen", "0"]) == 0
    finally:
        ending.join()
        for number, handler in before:
            signal.signal(number, handler)
    assert re.fullmatch(r"listening on 127\.0\.0\.1:\d+\n", capsys.readouterr().out)


def test_it_may_be_told_to_stop_over_and_over(folder: Path) -> None:
    with StaticServer(folder) as server:
        for _ in range(10_000):  # more than its alarm holds
            server.stop()
        server.run()


def test_it_does_not_wait_for_ever(folder: Path) -> None:
    with serving(folder, limits=Limits(grace=0.1)) as address:
        sock = slow_client(address, f"/{5 * MIB}.bin")
    with sock:
        assert ends(sock)


def test_it_says_what_is_wrong_with_its_arguments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder / "1.bin")]) == 2
    assert capsys.readouterr().err.startswith("static_server: [Errno 20] Not a directory")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([str(folder), "--listen", str(taken.getsockname()[1])]) == 2
    assert "Address already in use" in capsys.readouterr().err


def open_files() -> Counter[str]:
    """Count what this process has open, by name: sockets have numbers of their own."""
    names = Counter[str]()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was that of the listing itself
            names[str(path.readlink())] += 1
    return names


def test_all_is_closed_at_the_end(folder: Path) -> None:
    """What other tests have left may be closed meanwhile, and does not make up for what is open now."""
    before = open_files()
    for _ in range(10):
        with serving(folder) as address, connect(address) as sock:
            sock.sendall(get("/1.bin"))
            assert receive_head(sock) == (200, 1)
    assert open_files() - before == Counter()


# -- calls and copies ------------------------------------------------------------------------------------------


def test_no_byte_of_a_file_is_copied(folder: Path) -> None:
    site = Site(folder)
    server, client = tcp_pair()
    with server, client:
        server.settimeout(0)
        client.settimeout(PATIENCE)
        connection = Connection(server, site, Limits())
        client.sendall(get(f"/{5 * MIB}.bin", "Range: bytes=0-99,1000-2000000") + get("/65536.bin"))
        received: list[bytes] = []
        reading = threading.Thread(target=lambda: received.append(rest(client)), daemon=True)
        reading.start()
        assert select.select([server], [], [], PATIENCE)[0]
        with copy_audit() as audit, selectors.DefaultSelector() as selector:
            connection.turn(selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_WRITE)
            while connection.events & selectors.EVENT_WRITE and selector.select(PATIENCE):
                connection.turn(selectors.EVENT_WRITE)
        connection.close()
        reading.join(PATIENCE)
    [answers] = received
    assert answers.endswith(b"\r\n\r\n" + CONTENT[:65536])
    assert len(answers) > 100 + 1_999_001 + 65536
    assert set(audit.by_reason) <= {"coalesce", "decode"}  # the requests' heads
    assert audit.nbytes < 4 * KIB
    site.close()


@pytest.mark.needs("strace")
def test_a_header_and_a_file_are_one_sendmsg_and_sendfile(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    trial = subprocess.run(["strace", "-o", log, "true"], check=False, capture_output=True, timeout=PATIENCE)
    if trial.returncode and b"ptrace" in trial.stderr:
        pytest.skip("this machine forbids tracing")
    through = [str(shutil.which("strace")), "-f", "-y", "-o", str(log)]
    with Program(folder, through=through) as program, connect(program.address) as sock:
        for name, size in (("65536.bin", 65536), (f"{5 * MIB}.bin", 5 * MIB)):
            sock.sendall(get(f"/{name}"))
            assert receive_head(sock) == (200, size)
            assert sha256(receive(sock, size)) == sha256(CONTENT[:size])
    lines = [line.split(maxsplit=1)[1] for line in log.read_text(errors="replace").splitlines()]
    for name, size in (("65536.bin", 65536), (f"{5 * MIB}.bin", 5 * MIB)):
        # That it may be read is found out by reading nothing.
        about_it = [line for line in lines if f"/{name}>" in line and not line.endswith(', "", 0) = 0')]
        calls = {line.partition("(")[0] for line in about_it}
        allowed = {"open", "openat", "fstat", "newfstatat", "statx", "sendfile", "fcntl", "dup", "close", "lseek"}
        assert calls <= allowed, [line for line in about_it if line.partition("(")[0] not in allowed]
        sent = [int(line.rpartition(" = ")[2]) for line in about_it if re.match(r"sendfile\(.* = \d+$", line)]
        assert sum(sent) == size
    answers = [line for line in lines if line.startswith("sendmsg(") and "HTTP/1.1 200" in line]
    assert len(answers) == 2
    assert all("MSG_MORE" in line and "MSG_NOSIGNAL" in line for line in answers)
    small = next(i for i, line in enumerate(lines) if line == answers[0])
    # Between them the file may be asked for its size, and memory for Python's own objects be had from the system.
    following = next(line for line in lines[small + 1 :] if not re.match(r"fstat|brk|mmap|munmap|madvise", line))
    assert re.match(r"sendfile\(\d+<.*, 65536\) = 65536$", following), following
