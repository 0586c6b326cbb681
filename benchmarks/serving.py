"""Serve a header and a file to a TCP connection within this machine: the ways there are, old and new.

All have the file open and the header ready, and what is ours its message; nobody pays for that. Who maps, maps for each
serving. What is said of a contender besides its processor time was counted while it ran, not thought out:

    wall     the time that passed in the same rounds
    calls    of the system, of those that CPython does not make by itself: seen by standing in for them (see _Watch)
    copied   bytes of the file that were read into memory of the process, and bytes that were sent from there
"""

from __future__ import annotations

import atexit
import mmap
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache, partial
from typing import IO, Any, Final, Self, TypeAlias
from unittest import mock

from bytebufs import CompositeBuffer, FileRegion, MappedFile, Outbox, flush

from . import _sinks
from ._harness import CPU, MIB, OURS, TOLD, Action, Cell, Contender, cost_of, size_name

__all__ = ["plan"]

SIZES: Final = (4 << 10, 64 << 10, MIB, 64 * MIB, 1024 * MIB)
QUICK_SIZES: Final = (4 << 10, 256 << 10)

HEADER: Final = b"HTTP/1.1 200 OK\r\n".ljust(196, b"x") + b"\r\n\r\n"

REGION: Final = "FileRegion"
MAPPED: Final = "MappedFile"
STABLE: Final = "stable region"
OUTBOX: Final = "FileRegion, Outbox"
READ_8: Final = "read 8 KiB, send"
MOST_BY_8: Final = 64 * MIB
"""Beyond, that takes seconds, and everybody knows how it ends."""
READ_64: Final = "read 64 KiB, send"
MMAP_SEND: Final = "mmap, send"
MMAP_WRITEV: Final = "mmap, writev"
SENDFILE: Final = "sendfile"
GATHERED: Final = "sendfile with gather"
SOCKET: Final = "socket.sendfile"

_MORE: Final[int] = getattr(socket, "MSG_MORE", 0)
_CALL_MAX: Final = 1 << 30

Served: TypeAlias = "Callable[[socket.socket, IO[bytes], int], Action]"
"""Takes a connection, a file and a size, and returns what serves them."""


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    cells: list[Callable[[], Cell]] = []
    for receiver in _sinks.receivers():
        for size in QUICK_SIZES if quick else SIZES:
            place = _Place(size, receiver)
            cells += [place.cost, place.wall, place.calls, place.copied]
    return cells


class _Place:
    """The cells of a size: the first measures the time, and the second tells how much of it passed."""

    def __init__(self, size: int, receiver: str) -> None:
        self._size = size
        self._receiver = receiver
        self._at = {"receiver": receiver, "size": size_name(size)}
        self._contenders = {n: c for n, c in CONTENDERS.items() if n != READ_8 or size <= MOST_BY_8}
        self._walls: dict[str, list[float]] = {name: [] for name in self._contenders}
        self._watched: dict[str, _Watch] = {}

    def cost(self) -> Cell:
        contenders = [
            Contender(name, group, partial(self._prepare, serve), partial(self._clock, name))
            for name, (group, serve) in self._contenders.items()
        ]
        read, sendfile = (0.6, 1.03) if self._receiver == _sinks.receivers()[0] else (None, None)
        goals = [cost_of(REGION, READ_64, read), cost_of(REGION, GATHERED, sendfile), cost_of(OUTBOX, REGION, None)]
        return Cell("serve", self._at, "file", 1, contenders, goals, patience=_sinks.PATIENCE)

    def _prepare(self, serve: Served) -> Action:
        return serve(_sinks.connection(self._receiver), _file_of(self._size), self._size)

    def _clock(self, name: str, action: Action, repeats: int) -> tuple[float, object]:
        with _sinks.apart():
            wall = time.perf_counter_ns()
            cost, answer = CPU(action, repeats)
            self._walls[name].append((time.perf_counter_ns() - wall) / repeats)
        return cost, answer

    def wall(self) -> Cell:
        for walls in self._walls.values():
            del walls[:2]  # those that found out how often to repeat
        return self._told("serve, wall", lambda name: float(self._walls[name].pop(0)), READ_64, GATHERED)

    def calls(self) -> Cell:
        return self._told("serve, calls", lambda name: float(self._watch(name).calls), READ_64, GATHERED, unit="calls")

    def copied(self) -> Cell:
        return self._told("serve, copied", lambda name: float(self._watch(name).copied), READ_64, unit="bytes")

    def _told(self, measure: str, tell: Callable[[str], float], *rivals: str, unit: str = "ns") -> Cell:
        contenders = [
            Contender(name, group, partial(partial, tell, name), TOLD) for name, (group, _) in self._contenders.items()
        ]
        return Cell(measure, self._at, "file", 1, contenders, [cost_of(REGION, rival, None) for rival in rivals], unit)

    def _watch(self, name: str) -> _Watch:
        if name not in self._watched:
            self._watched[name] = watch = _Watch()
            action = self._prepare(CONTENDERS[name][1])
            with watch:
                action()
            watch.copied -= len(HEADER)
        return self._watched[name]


class _Watch(ExitStack):
    """Counts calls while it is entered, and the bytes that they copy between the process and the system."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.copied = 0

    def __enter__(self) -> Self:
        """Stand in for all of them."""
        for place, names in _CALLS:
            for name in names:
                self._stand_in(place, name)
        watch = self

        class Map(mmap.mmap):
            def __new__(cls, *arguments: Any, **options: Any) -> Self:
                watch.calls += 2  # it is unmapped, too
                return super().__new__(cls, *arguments, **options)

        self.enter_context(mock.patch.object(mmap, "mmap", Map))
        return self

    def _stand_in(self, place: object, name: str) -> None:
        real = getattr(place, name, None)
        if real is None:
            return

        def counted(*arguments: Any, **options: Any) -> Any:
            answer = real(*arguments, **options)
            self.calls += 1
            if isinstance(answer, bytes):
                self.copied += len(answer)
            elif name == "sendall":
                self.copied += len(arguments[1])
            elif name in _SENDING:
                self.copied += answer
            return answer

        self.enter_context(mock.patch.object(place, name, counted))


_SENDING: Final = ("send", "sendmsg", "write", "writev")
_CALLS: Final = (
    (os, ("pread", "read", "write", "writev", "sendfile", "fstat", "dup", "close", "lseek")),
    (socket.socket, ("send", "sendall", "sendmsg", "setsockopt", "getsockopt")),
)


@cache
def _file() -> IO[bytes]:
    place = _sinks.MEMORY
    has_room = place.is_dir() and shutil.disk_usage(place).free > 2 * max(SIZES)
    file = tempfile.TemporaryFile(dir=place if has_room else None, buffering=0)  # noqa: SIM115  # as long as the process
    atexit.register(file.close)
    return file


def _file_of(size: int) -> IO[bytes]:
    """Return a file of at least ``size`` bytes: without holes, in memory, without a name, gone when we are."""
    file = _file()
    block = os.urandom(min(size, MIB))
    while (missing := size - file.seek(0, os.SEEK_END)) > 0:
        file.write(block[:missing])
    return file


# -- the ways --------------------------------------------------------------------------------------------------


def _by_reading(sink: socket.socket, file: IO[bytes], size: int, *, block: int) -> Action:
    fd = file.fileno()

    def serve() -> int:
        sink.sendmsg([HEADER], (), _MORE)
        at = 0
        while at < size:
            data = os.pread(fd, min(block, size - at), at)
            sink.sendall(data)
            at += len(data)
        return len(HEADER) + at

    return serve


def _by_map_and_send(sink: socket.socket, file: IO[bytes], size: int) -> Action:

    def serve() -> int:
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped:
            sink.sendmsg([HEADER], (), _MORE)
            sink.sendall(mapped)
        return len(HEADER) + size

    return serve


def _by_map_and_writev(sink: socket.socket, file: IO[bytes], size: int) -> Action:
    fd = sink.fileno()

    def serve() -> int:
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
            total = os.writev(fd, [HEADER, view])
            while total < len(HEADER) + size:
                total += os.write(fd, view[total - len(HEADER) :])
        return total

    return serve


def _by_sendfile(sink: socket.socket, file: IO[bytes], size: int, *, flags: int) -> Action:
    source = file.fileno()

    def serve() -> int:
        sink.sendmsg([HEADER], (), flags)
        fd = sink.fileno()
        at = 0
        while at < size:
            taken = os.sendfile(fd, source, at, min(_CALL_MAX, size - at))
            if not taken:
                raise EOFError
            at += taken
        return len(HEADER) + at

    return serve


def _by_socket(sink: socket.socket, file: IO[bytes], size: int) -> Action:

    def serve() -> int:
        sink.sendmsg([HEADER], (), _MORE)
        return len(HEADER) + sink.sendfile(file, 0, size)

    return serve


def _by_region(sink: socket.socket, file: IO[bytes], size: int, *, stable: bool = False) -> Action:
    message = CompositeBuffer([HEADER, FileRegion(file, 0, size, stable=stable)])
    return lambda: flush(message, sink)


def _by_mapped_file(sink: socket.socket, file: IO[bytes], size: int) -> Action:

    def serve() -> int:
        with MappedFile(file, length=size) as mapped:
            return flush(CompositeBuffer([HEADER, mapped[:]]), sink)

    return serve


def _by_outbox(sink: socket.socket, file: IO[bytes], size: int) -> Action:
    message = CompositeBuffer([HEADER, FileRegion(file, 0, size)])
    outbox = Outbox()

    def serve() -> int:
        outbox.put(message)
        total = 0
        while outbox.pending:
            total += outbox.flush(sink)
        return total

    return serve


CONTENDERS: Final[Mapping[str, tuple[str, Served]]] = {
    REGION: (OURS, _by_region),
    OUTBOX: (OURS, _by_outbox),
    MAPPED: (OURS, _by_mapped_file),
    STABLE: (OURS, partial(_by_region, stable=True)),
    READ_8: ("read", partial(_by_reading, block=8 << 10)),
    READ_64: ("read", partial(_by_reading, block=64 << 10)),
    MMAP_SEND: ("mmap", _by_map_and_send),
    MMAP_WRITEV: ("mmap", _by_map_and_writev),
    SENDFILE: ("sendfile", partial(_by_sendfile, flags=0)),
    GATHERED: ("sendfile", partial(_by_sendfile, flags=_MORE)),
    SOCKET: ("sendfile", _by_socket),
}
