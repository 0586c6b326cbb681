"""Servers in processes of their own: what is measured is their processor time, and no client's.

``python -m benchmarks._servers LOOP TASK WAY ARGUMENT`` is one. It listens, does one task in one way on one loop, and
tells on its standard output what a ``Server``, on the other side, asks on its input. Each
way is written as those write it who know it well:

    frames, parse       a stream of ours, by a framer or by a function
    streams             StreamReader and StreamWriter
    protocol            a Protocol over a bytearray with an offset, which writes each answer
    protocol, joining   the same, but what is due for a chunk is joined, and written once

Linux only: a process's clock is asked for by its number.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, cast

import bytebufs
from bytebufs import FileRegion, LengthPrefixed, Reader, SliceBuffer, aio

from . import _sinks
from ._harness import MIB, Action

__all__ = [
    "FRAMES",
    "JOINING",
    "PARSE",
    "PROTOCOL",
    "STREAMS",
    "TASKS",
    "Listening",
    "Server",
    "close_servers",
    "loop_factory",
    "loops",
    "main",
    "running",
]

FRAMES: Final = "frames"
PARSE: Final = "parse"
STREAMS: Final = "streams"
PROTOCOL: Final = "protocol"
JOINING: Final = "protocol, joining"

ASYNCIO: Final = "asyncio"
UVLOOP: Final = "uvloop"

LIMIT: Final = 4 * MIB
_HEADER: Final = 4
_PAGE: Final = 4096


def loops() -> list[str]:
    """Return the loops that are there."""
    return [ASYNCIO, *([UVLOOP] if find_spec(UVLOOP) else [])] if sys.platform == "linux" else []


def loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop."""
    if loop == ASYNCIO:
        return None
    import uvloop

    return uvloop.new_event_loop


# -- on the side of the client -------------------------------------------------------------------------------


class Server:
    """A server that runs, on a processor of its own where there are two."""

    def __init__(self, loop: str, task: str, way: str, argument: object = "") -> None:
        self.does = loop, task, way, str(argument)
        command = [sys.executable, "-P", "-m", "benchmarks._servers", *self.does]
        with _sinks.apart(reader=True):
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
            )
        _RUNNING.append(self)
        self._connections: list[socket.socket] = []
        self.port = self._answer()
        # The clock of another process (clock_getcpuclockid(3)): all of its threads, in nanoseconds.
        self._clock = (~self._process.pid << 3) | 2

    def _answer(self) -> int:
        line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"a server has ended: {self._process.args!r}")
        return int(line)

    def used(self) -> int:
        """Return the nanoseconds of processor time that it has used."""
        return time.clock_gettime_ns(self._clock)

    def clock(self, action: Action, repeats: int) -> tuple[float, object]:
        """Do an action, which has this server do something, and return what that cost it: a ``Meter``."""
        answer: object = None
        with _sinks.apart():
            self._rest()
            before = self.used()
            for _ in range(repeats):
                answer = action()
            self._rest()
            return self.used() - before, answer

    def _rest(self) -> None:
        """Wait until it waits itself: what it runs is added to its clock when it stops."""
        path = Path(f"/proc/{self._process.pid}/stat")
        while path.read_bytes().rpartition(b") ")[2][:1] == b"R":
            pass

    def memory(self) -> int:
        """Return the bytes that are resident of its memory, or that Python has allocated if it was told to count."""
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write("\n")
        stdin.flush()
        return self._answer()

    def connection(self) -> socket.socket:
        """Return a connection to it, which holds nothing back."""
        return self.owns(socket.create_connection(("127.0.0.1", self.port)))

    def owns(self, connection: socket.socket) -> socket.socket:
        """Take a connection over, to be closed with it."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append(connection)
        return connection

    def close(self) -> None:
        """End it, and all connections to it."""
        for connection in self._connections:
            connection.close()
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


_RUNNING: Final[list[Server]] = []


def running(loop: str, task: str, way: str) -> Server:
    """Return a server that runs and does this, or begin one."""
    return next((server for server in _RUNNING if server.does == (loop, task, way, "")), None) or Server(
        loop, task, way
    )


@atexit.register
def close_servers() -> None:
    """End all that run."""
    while _RUNNING:
        _RUNNING.pop().close()


def _environment() -> dict[str, str]:
    """Return one in which these modules are found, and the package of this process, whichever build that is."""
    paths = [Path(bytebufs.__file__).parent.parent, Path(__file__).parent.parent]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


# -- on the side of the server -------------------------------------------------------------------------------

Listening: TypeAlias = "Callable[[socket.socket], Awaitable[object]]"


def main(arguments: list[str]) -> None:
    """Be a server until killed."""
    loop, task, way, argument = arguments
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(_serve(TASKS[task][way](argument), argument))


async def _serve(start: Listening, argument: str) -> None:
    sock = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = sock.getsockname()[1]
    held = await start(sock)  # asyncio's own hold no reference to what serves
    print(port, flush=True)
    if argument == "allocated":
        tracemalloc.start()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _tell, argument)
    await asyncio.get_running_loop().create_future()
    del held


def _tell(argument: str) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        os._exit(0)  # nobody asks any more
    gc.collect()
    if argument == "allocated":
        print(tracemalloc.get_traced_memory()[0], flush=True)
    else:
        print(int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE, flush=True)


def _message(r: Reader) -> SliceBuffer:
    return r.take(_HEADER + r.peek_u32())


def _echo_frames(_: str) -> Listening:
    async def handler(stream: aio.Stream) -> None:
        async for frame in stream.frames(LengthPrefixed(_HEADER, limit=LIMIT, strip=0)):
            await stream.send(frame)

    return lambda sock: aio.start_server(handler, sock=sock, backlog=1024)


def _echo_parse(_: str) -> Listening:
    async def handler(stream: aio.Stream) -> None:
        async for frame in stream.messages(_message, limit=LIMIT):
            await stream.send(frame)

    return lambda sock: aio.start_server(handler, sock=sock, backlog=1024)


def _echo_streams(_: str) -> Listening:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(_HEADER)
                body = await reader.readexactly(int.from_bytes(head, "big"))
                writer.write(head + body)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    return lambda sock: asyncio.start_server(handler, sock=sock, backlog=1024)


class _Framed(asyncio.Protocol):
    """What a Protocol does to have frames: it keeps what came in a bytearray."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        at = 0
        end = len(buffer)
        while end - at >= _HEADER:
            stop = at + _HEADER + int.from_bytes(buffer[at : at + _HEADER], "big")
            if stop > end:
                break
            self.came(buffer[at:stop])
            at = stop
        if at:
            del buffer[:at]
            self.done()

    def came(self, frame: bytearray) -> None:
        raise NotImplementedError

    def done(self) -> None:
        """All that was whole has come."""


class _EchoEach(_Framed):
    def came(self, frame: bytearray) -> None:
        self.transport.write(frame)


class _EchoJoined(_Framed):
    def __init__(self) -> None:
        super().__init__()
        self.due: list[bytearray] = []

    def came(self, frame: bytearray) -> None:
        self.due.append(frame)

    def done(self) -> None:
        self.transport.write(b"".join(self.due))
        self.due.clear()


def _listen_with(make: Callable[[], asyncio.Protocol]) -> Listening:
    return lambda sock: asyncio.get_running_loop().create_server(make, sock=sock, backlog=1024)


# -- frames that are received and dropped; a byte is sent when so many have come


def _drop_frames(argument: str) -> Listening:
    count = int(argument)

    async def handle(stream: aio.Stream) -> None:
        left = count
        async for frame in stream.frames(LengthPrefixed(_HEADER, limit=LIMIT)):
            left -= 1
            if not left:
                left = count
                await stream.send(b"%d" % (len(frame) % 10))

    return _taking_over(handle)


def _drop_parse(argument: str) -> Listening:
    count = int(argument)

    def message(r: Reader) -> SliceBuffer:
        return r.take(r.u32())

    async def handle(stream: aio.Stream) -> None:
        left = count
        async for frame in stream.messages(message, limit=LIMIT):
            left -= 1
            if not left:
                left = count
                await stream.send(b"%d" % (len(frame) % 10))

    return _taking_over(handle)


def _taking_over(handle: Callable[[aio.Stream], Coroutine[Any, Any, None]]) -> Listening:
    async def run(stream: aio.Stream) -> None:
        async with stream:
            await handle(stream)

    async def start(sock: socket.socket) -> object:
        return asyncio.get_running_loop().create_task(run(await aio.open_unix_connection(sock=sock)))

    return start


def _drop_streams(argument: str) -> Listening:
    count = int(argument)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = count
        try:
            while True:
                head = await reader.readexactly(_HEADER)
                frame = await reader.readexactly(int.from_bytes(head, "big"))
                left -= 1
                if not left:
                    left = count
                    writer.write(b"%d" % (len(frame) % 10))
        except asyncio.IncompleteReadError:
            writer.close()

    async def start(sock: socket.socket) -> object:
        return asyncio.get_running_loop().create_task(handle(*await asyncio.open_unix_connection(sock=sock)))

    return start


class _Dropped(_Framed):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = self.left = count

    def came(self, frame: bytearray) -> None:
        self.left -= 1
        if not self.left:
            self.left = self.count
            self.transport.write(b"%d" % ((len(frame) - _HEADER) % 10))


def _drop_protocol(argument: str) -> Listening:
    count = int(argument)
    return lambda sock: asyncio.get_running_loop().create_unix_connection(lambda: _Dropped(count), sock=sock)


# -- a file for each byte that comes


def _file_region(argument: str) -> Listening:
    region = FileRegion(argument)

    async def handler(stream: aio.Stream) -> None:
        while await stream.receive():
            stream.buffer.clear()
            await stream.send(region)

    return lambda sock: aio.start_server(handler, sock=sock)


def _file_by_hand(argument: str) -> Listening:
    """As the documentation of asyncio has it, in its own fallback's way where a loop has no sendfile."""
    file = Path(argument).open("rb")  # noqa: SIM115  # as long as the process

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while await reader.read(1):
            try:
                await loop.sendfile(writer.transport, file, 0)
            except NotImplementedError:
                file.seek(0)
                while data := file.read(64 << 10):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    return lambda sock: asyncio.start_server(handler, sock=sock)


TASKS: Final[Mapping[str, Mapping[str, Callable[[str], Listening]]]] = {
    "echo": {
        FRAMES: _echo_frames,
        PARSE: _echo_parse,
        STREAMS: _echo_streams,
        PROTOCOL: lambda _: _listen_with(_EchoEach),
        JOINING: lambda _: _listen_with(_EchoJoined),
    },
    "drop": {FRAMES: _drop_frames, PARSE: _drop_parse, STREAMS: _drop_streams, PROTOCOL: _drop_protocol},
    "file": {"FileRegion": _file_region, "loop.sendfile": _file_by_hand},
}


if __name__ == "__main__":
    main(sys.argv[1:])
