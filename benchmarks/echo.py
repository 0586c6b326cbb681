"""Servers: echo frames, with many in flight, one at a time, and from many connections; memory when idle; send files.

Each contender is a server in a process of its own (``_servers``), and costs what that uses.
"""

from __future__ import annotations

import atexit
import resource
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from ._harness import MIB, OURS, TOLD, Action, Cell, Contender, Goal, by_build, cost_of, size_name
from ._servers import FRAMES, JOINING, PARSE, PROTOCOL, STREAMS, Server, close_servers, loops, running

__all__ = ["plan"]

SIZES: Final = (64, 1 << 10, 64 << 10)
MANY: Final = "many"
ONE: Final = "one"
BUSY: Final = "100 busy, 1 000 idle"

IDLE: Final = (("resident", 1_000), ("resident", 10_000), ("allocated", 1_000))
"""What is told of the memory of so many connections."""

_BATCH: Final = 4 * MIB
"""Bytes that are sent without waiting for an answer."""
_CHUNK: Final = 64 << 10
_ONES: Final = 50
_FILE: Final = MIB
_PATIENCE: Final = 10

WAYS: Final[Mapping[str, str]] = {
    FRAMES: OURS,
    PARSE: OURS,
    STREAMS: "asyncio",
    PROTOCOL: "asyncio",
    JOINING: "asyncio",
}


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    cells: list[Callable[[], Cell]] = []
    for loop in loops():
        sizes = SIZES[: 1 if quick else None]
        echoing = [partial(_many, loop, size, _CHUNK if quick else _BATCH) for size in sizes]
        if quick and loop != loops()[0]:
            cells += echoing  # that the servers run on it is seen
            continue
        echoing.append(partial(_one, loop, 64))
        echoing.append(partial(_busy, loop, *((2, 3) if quick else (100, 1000))))
        cells += echoing if quick else [partial(_anew, make) for make in echoing]
        cells.append(partial(_file, loop, 64 << 10 if quick else _FILE))
        idle = [("resident", 10), ("allocated", 10)] if quick else IDLE
        cells += [partial(_idle, loop, told, count) for told, count in idle]
    return cells


def _anew(make: Callable[[], Cell]) -> Cell:
    """Return a cell whose servers have done nothing before: to begin them takes longer than a toy cell."""
    close_servers()
    return make()


def _cell(loop: str, size: int, flight: str, count: int, act: Callable[[Server], Action], goals: list[Goal]) -> Cell:
    contenders = []
    for way, group in WAYS.items():
        server = running(loop, "echo", way)
        action = act(server)
        contenders.append(Contender(way, group, partial(_same, action), server.clock))
    at = {"loop": loop, "frame": size_name(size), "in flight": flight}
    return Cell("echo", at, "frame", count, contenders, goals, patience=_PATIENCE)


def _same(action: Action) -> Action:
    return action


def _frame(size: int) -> bytes:
    return struct.pack(">I", size) + bytes(size)


def _many(loop: str, size: int, batch: int) -> Cell:
    chunk = _frame(size) * max(1, _CHUNK // size)
    rounds = max(1, batch // len(chunk))

    def act(server: Server) -> Action:
        connection = server.connection()
        room = bytearray(MIB)

        def send() -> None:
            for _ in range(rounds):
                connection.sendall(chunk)

        def echo() -> int:
            sending = threading.Thread(target=send)
            sending.start()
            left = rounds * len(chunk)
            while left:
                left -= _received(connection, room)
            sending.join()
            return rounds

        return echo

    streams, protocol = (1.0, 1.0) if size >= _CHUNK else (0.35, 0.8)
    return _cell(loop, size, MANY, rounds * max(1, _CHUNK // size), act, _goals(streams, protocol))


def _goals(streams: float | None, protocol: float | None) -> list[Goal]:
    return [
        cost_of(FRAMES, STREAMS, by_build(compiled=streams, pure=None)),
        cost_of(FRAMES, PROTOCOL, by_build(compiled=protocol, pure=None)),
        cost_of(FRAMES, JOINING, None),
        cost_of(PARSE, STREAMS, None),
    ]


def _one(loop: str, size: int) -> Cell:
    frame = _frame(size)

    def act(server: Server) -> Action:
        connection = server.connection()
        room = bytearray(_CHUNK)

        def echo() -> int:
            for _ in range(_ONES):
                connection.sendall(frame)
                left = len(frame)
                while left:
                    left -= _received(connection, room)
            return _ONES

        return echo

    return _cell(loop, size, ONE, _ONES, act, _goals(1.0, None))


def _busy(loop: str, busy: int, idle: int) -> Cell:
    frame = _frame(64)

    def act(server: Server) -> Action:
        _allow(2 * len(WAYS) * (busy + idle))
        waiting = [server.connection() for _ in range(idle)]
        connections = [server.connection() for _ in range(busy)]
        room = bytearray(_CHUNK)
        for connection in waiting:
            _echo_once(connection, frame, room)

        def echo() -> int:
            for connection in connections:
                connection.sendall(frame)
            for connection in connections:
                left = len(frame)
                while left:
                    left -= _received(connection, room)
            return len(waiting)

        return echo

    return _cell(loop, 64, f"{busy} busy, {idle} idle", busy, act, _goals(1.0, None))


def _received(connection: socket.socket, room: bytearray) -> int:
    count = connection.recv_into(room)
    if not count:
        raise ConnectionError("a server has closed")
    return count


def _echo_once(connection: socket.socket, frame: bytes, room: bytearray) -> None:
    connection.sendall(frame)
    left = len(frame)
    while left:
        left -= _received(connection, room)


def _allow(descriptors: int) -> None:
    """Have as many files open as may be, if so many are wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# -- memory ----------------------------------------------------------------------------------------------------


def _idle(loop: str, told: str, count: int) -> Cell:
    close_servers()
    contenders = [
        Contender(way, WAYS[way], partial(partial, _memory_of, loop, way, told, count), TOLD)
        for way in (FRAMES, STREAMS, PROTOCOL)
    ]
    at = {"loop": loop, "connections": f"{count:,}".replace(",", " "), "memory": told}
    goals = [cost_of(FRAMES, STREAMS, 0.5), cost_of(FRAMES, PROTOCOL, None)]
    return Cell("echo, idle", at, "connection", 1, contenders, goals, unit="bytes")


def _memory_of(loop: str, way: str, told: str, count: int) -> float:
    """Return the bytes that a connection takes which has had its answer and waits."""
    _allow(2 * count)
    server = Server(loop, "echo", way, told)
    frame = _frame(64)
    room = bytearray(_CHUNK)
    _echo_once(server.connection(), frame, room)  # what all share is there now
    before = server.memory()
    for _ in range(count - 1):
        _echo_once(server.connection(), frame, room)
    used = max(1, server.memory() - before)  # a few fit into pages that were there
    close_servers()
    return used / (count - 1)


# -- files -----------------------------------------------------------------------------------------------------


def _file(loop: str, size: int) -> Cell:
    close_servers()
    path = _file_of(size)
    contenders = []
    for way, group in (("FileRegion", OURS), ("loop.sendfile", "asyncio")):
        server = Server(loop, "file", way, path)
        connection = server.connection()
        contenders.append(Contender(way, group, partial(partial, _fetch, connection, size), server.clock))
    goals = [cost_of("FileRegion", "loop.sendfile", by_build(compiled=1.05, pure=None))]
    return Cell("send a file", {"loop": loop, "file": size_name(size)}, "request", 1, contenders, goals, patience=4)


def _fetch(connection: socket.socket, size: int) -> int:
    room = bytearray(MIB)
    connection.sendall(b"?")
    left = size
    while left:
        left -= _received(connection, room)
    return size


def _file_of(size: int) -> Path:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(bytes(size))
    path = Path(file.name)
    atexit.register(path.unlink)
    return path
