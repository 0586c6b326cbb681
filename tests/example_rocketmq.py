"""What the tests of examples/rocketmq share: a broker as a process of its own, and the client of npm."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import pytest

from bytebufs import CompositeBuffer
from examples.rocketmq.broker import serving
from examples.rocketmq.client import records_of
from examples.rocketmq.codes import Request
from examples.rocketmq.limits import Limits
from examples.rocketmq.remoting import Command, decode, encode
from examples.rocketmq.settings import Flush, Settings
from examples.rocketmq.store import Store

from .conftest import do_without
from .forked import Program
from .sinks import PATIENCE

ROOT: Final = Path(__file__).parent.parent
HOST: Final = "127.0.0.1"
NODE: Final = Path(os.environ.get("BYTEBUFS_NODE", ROOT / ".ci-cache" / "node"))
"""Where ``npm ci`` was run on tests/node/package-lock.json."""


class Talk:
    """A connection to a broker, on which one waits for each answer."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._numbers = itertools.count(1)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, code: int, body: bytes = b"", flag: int = 0, **fields: Any) -> int:
        """Send a request, and return its number."""
        number = next(self._numbers)
        texts = {name: str(value) for name, value in fields.items()}
        self.sock.sendall(encode(Command(code, number, flag, fields=texts, body=body)).tobytes())
        return number

    def receive(self) -> Command:
        """Receive an answer."""
        [length] = struct.unpack(">I", self._exactly(4))
        return decode(CompositeBuffer([self._exactly(length)])[:])

    def ask(self, code: int, body: bytes = b"", **fields: Any) -> Command:
        """Send a request, and return its answer."""
        number = self.send(code, body, **fields)
        answer = self.receive()
        assert (answer.opaque, answer.flag) == (number, 1)
        return answer

    def put(self, topic: str, queue: int, body: bytes, properties: str = "", **fields: Any) -> Command:
        """Send a message."""
        fields = {"a": "P", "b": topic, "e": queue, "f": 0, "g": 1, "h": 0, "i": properties, **fields}
        return self.ask(Request.SEND_MESSAGE_V2, body, **fields)

    def pull(self, topic: str, queue: int, offset: int, **fields: Any) -> Command:
        """Ask for messages."""
        return self.ask(Request.PULL_MESSAGE, **pulling(topic, queue, offset, **fields))

    def _exactly(self, nbytes: int) -> bytes:
        data = bytearray()
        while len(data) < nbytes:
            got = self.sock.recv(nbytes - len(data))
            if not got:
                raise EOFError
            data += got
        return bytes(data)

    def is_closed(self) -> bool:
        """Wait until the broker hangs up. Whether it has sent nothing before."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def pulling(topic: str, queue: int, offset: int, **fields: Any) -> dict[str, Any]:
    """Return the fields of a pull that does not wait."""
    return {
        "consumerGroup": "G", "topic": topic, "queueId": queue, "queueOffset": offset, "maxMsgNums": 32,
        "sysFlag": 4, "commitOffset": 0, "suspendTimeoutMillis": 0, "subscription": "*", "subVersion": 0, **fields,
    }  # fmt: skip


def bodies(answer: Command) -> list[bytes]:
    """Return the bodies of the messages in an answer."""
    assert not isinstance(answer.body, bytes)
    return [message.body.tobytes() for message in records_of(answer.body)]


class Broker:
    """A broker that runs as a program, until it is told to end or killed."""

    def __init__(self, folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> None:
        self._complaints = folder.parent / f"{folder.name}.stderr"
        serve = ["serve", "--data", str(folder), "--listen", f"{HOST}:0", *options]
        with self._complaints.open("w") as errors:
            self.process: subprocess.Popen[str] | Program
            if prefix:
                self.process = _under(prefix, serve, errors)
            else:
                self.process = Program("examples.rocketmq.__main__", *serve, errors=errors.fileno())
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)
        if match is None:
            self.close()
            pytest.fail(f"{line!r}, {self.errors()}")
        self.port = int(match[1])
        self.address = f"{HOST}:{self.port}"

    def memory(self) -> int:
        """Return how much memory is its own: what of files is mapped there is not."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        match = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
        assert match is not None
        return int(match[1]) << 10

    def connect(self) -> Talk:
        """Connect to it."""
        return Talk(socket.create_connection((HOST, self.port), timeout=PATIENCE))

    def errors(self) -> str:
        """Return what it has complained of."""
        return self._complaints.read_text()

    def end(self) -> str:
        """Tell it to end, and return its complaints: it has to end well."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.errors()
        return self.errors()

    def close(self) -> None:
        """Kill it, if it still runs."""
        with self.process:
            self.process.kill()


def _under(prefix: Sequence[str], arguments: Sequence[str], errors: IO[str]) -> subprocess.Popen[str]:
    """Start a program by another one."""
    command = [*prefix, sys.executable, "-m", "examples.rocketmq", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)


@contextlib.contextmanager
def broker(folder: Path, *options: str, prefix: tuple[str, ...] = ()) -> Iterator[Broker]:
    """Have a broker for a while."""
    running = Broker(folder, *options, prefix=prefix)
    try:
        yield running
    finally:
        running.close()


class Here:
    """A broker in a thread of this process."""

    def __init__(self, folder: Path, limits: Limits, *, auto_create: bool, flush: Flush) -> None:
        self._folder = folder
        self._limits = limits
        self._auto_create = auto_create
        self._settings = Settings(flush=flush)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        self.address = f"{HOST}:{self.port}"

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        with contextlib.closing(Store(self._folder, self._settings)) as store:
            create = self._auto_create
            async with serving(store, self._folder, self._limits, HOST, 0, auto_create=create) as server:
                self.port: int = server.sockets[0].getsockname()[1]
                self._ready.set()
                await self._told.wait()

    def connect(self) -> Talk:
        """Connect to it."""
        return Talk(socket.create_connection((HOST, self.port), timeout=PATIENCE))

    def end(self) -> None:
        """Have it end, as SIGTERM has a program."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._told.set)
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


@contextlib.contextmanager
def here(folder: Path, *, auto_create: bool = True, flush: Flush = "async", **limits: Any) -> Iterator[Here]:
    """Have a broker in this process for a while."""
    running = Here(folder, Limits(**limits), auto_create=auto_create, flush=flush)
    try:
        yield running
    finally:
        running.end()


def node(program: str, *arguments: object, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start a program of tests/node."""
    if not (NODE / "node_modules" / "ali-ons").is_dir():
        do_without(f"ali-ons is not in {NODE}: copy tests/node/*.json there, and run npm ci, as .ci/run does")
    return subprocess.Popen(
        ["node", str(ROOT / "tests" / "node" / program), *map(str, arguments)],
        env={**os.environ, "NODE_PATH": str(NODE / "node_modules")},
        stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def lines_of(process: subprocess.Popen[str], patience: float = PATIENCE) -> list[list[str]]:
    """Wait for a program of tests/node, and return what it has written, in words."""
    with process:
        try:
            out, errors = process.communicate(timeout=patience)
        finally:
            process.kill()
    assert process.returncode == 0, f"{process.args!r}: {errors}"
    return [line.split() for line in out.splitlines()]
