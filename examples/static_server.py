"""Serve the files below a folder over HTTP/1.1: one thread, many connections, and no file's bytes in the process.

    python -m examples.static_server DIR [--listen [HOST:]PORT] [--stable]

A header and a range of a file are one message. It goes into the connection's Outbox, which sends it by sendmsg and
sendfile as fast as the client reads. While more than its watermark waits, no further request is read; a turn sends no
more than 2 MiB. So a slow client costs a few KiB and a descriptor, and keeps nobody waiting.
One that takes less of an answer than Limits.rate is hung up on, by what its system acknowledges.

    web.request       requests, from lines
    web.target        whom they are for: Host fields and targets
    web.refused       that one is not answered as it wants
    web.range         the ranges that are asked for
    web.date          the dates in conditions
    web.files         the files, and what may be served
    web.answer        the answer: conditions, ranges, the message
    web.pace          whether a client reads fast enough
    web.connection    a connection: who waits for whom, and how long

A request is for one host, said validly, or it is refused; which one makes no difference, as there is one site.

A client gets what a file holds when it *reads*: files that are replaced (written beside, then renamed) are safe,
files that are overwritten in place arrive mixed. For those there is --stable, which sends copies. A file that is cut
short while it is sent ends its connection: its length has been announced.

Its first line is "listening on HOST:PORT"; port 0 is one that is free. It ends on SIGTERM and SIGINT, with status 0: it
lets nobody in any more, answers what has come, says with the last answer that it is the last, and sends all of them,
for at most 10 seconds.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self, final

from .addresses import HERE, Address, listening_address
from .web.connection import Connection, Limits
from .web.files import Site

__all__ = ["Limits", "StaticServer", "main"]

NOTSENT: Final = 128 << 10
"""Bytes that the system holds for a client beyond those under way; without it, it takes some MB for each."""
SWEEP: Final = 1.0
"""Seconds between looks at the clock."""

_NO_ROOM: Final = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])


@final
class StaticServer:
    """A listening socket and its connections. ``run`` serves until ``stop`` is called."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        address: tuple[str, int] = (HERE, 0),
        *,
        stable: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._limits = Limits() if limits is None else limits
        self._site = Site(folder, stable=stable)
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._listener = socket.create_server(address, family=family, backlog=512)
        except OSError:
            self._site.close()
            raise
        self._listener.settimeout(0)
        # What is accepted takes these over.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT)
        self.address = Address(*self._listener.getsockname()[:2])
        self._connections: set[Connection] = set()
        self._is_listening = False
        self._is_stopping = False
        self._stop_at = float("inf")
        self._sweep_at = 0.0
        self._listen_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._alarm, self._wake = socket.socketpair()
        self._wake.settimeout(0)
        self._selector.register(self._alarm, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def stop(self) -> None:
        """Let ``run`` end once what has begun is sent. May be called by signal handlers and other threads."""
        self._is_stopping = True
        try:
            self._wake.send(b"\0")
        except BlockingIOError:
            pass  # it has been woken often enough

    def close(self) -> None:
        """Close everything."""
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        for sock in (self._listener, self._alarm, self._wake):
            sock.close()
        self._site.close()

    def run(self) -> None:
        """Serve until ``stop`` is called."""
        while not self._is_over():
            self._listen()
            for key, events in self._selector.select(SWEEP if self._connections or not self._is_listening else None):
                if isinstance(key.data, Connection):
                    self._do(key.data, partial(key.data.turn, events))
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._alarm.recv(64)
            self._sweep()

    def _is_over(self) -> bool:
        if not self._is_stopping:
            return False
        if self._stop_at == float("inf"):
            self._stop_at = time.monotonic() + self._limits.grace
            self._listen()
            self._accept()  # the system has done so already
            self._listener.close()
            for connection in list(self._connections):
                self._do(connection, connection.stop)
        return not self._connections or time.monotonic() > self._stop_at

    def _listen(self) -> None:
        """Take no more clients than are allowed: others wait with the system."""
        wanted = (
            not self._is_stopping
            and len(self._connections) < self._limits.connections
            and time.monotonic() >= self._listen_at
        )
        if wanted and not self._is_listening:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._is_listening and not wanted:
            self._selector.unregister(self._listener)
        self._is_listening = wanted

    def _accept(self) -> None:
        while len(self._connections) < self._limits.connections:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:  # it would say so over and over
                    self._listen_at = time.monotonic() + SWEEP
                return  # others: that client has gone again
            sock.settimeout(0)
            connection = Connection(sock, self._site, self._limits)
            self._connections.add(connection)
            self._selector.register(sock, connection.events, connection)

    def _do(self, connection: Connection, what: Callable[[], None]) -> None:
        try:
            what()
        except OSError:  # the client has gone, or the file was cut short: nothing more can be said
            self._drop(connection)
        else:
            self._look_after(connection)

    def _look_after(self, connection: Connection) -> None:
        if connection.is_done:
            self._drop(connection)
        elif self._selector.get_key(connection.sock).events != (events := connection.events):
            self._selector.modify(connection.sock, events, connection)

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.sock)
        connection.close()

    def _sweep(self) -> None:
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP
            for connection in [c for c in self._connections if now >= c.deadline and c.is_late(now)]:
                self._drop(connection)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    parser = argparse.ArgumentParser(prog="static_server", description="Serve the files below a folder over HTTP/1.1.")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument(
        "--listen", metavar="[HOST:]PORT", type=listening_address, default=Address(HERE, 8000), help="port 0: any"
    )
    parser.add_argument("--stable", action="store_true", help="send copies: for files that are overwritten in place")
    options = parser.parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        server = StaticServer(options.folder, options.listen, stable=options.stable)
    except OSError as error:
        print(f"static_server: {error}", file=sys.stderr)
        return 2
    with server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        print(f"listening on {server.address}", flush=True)
        server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
