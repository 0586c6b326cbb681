"""A whole server as a parser: pieces go to it through a socket, each when it has read the one before.

A stream has no borders that a sender could set: what is sent while the receiver is busy is read together with what came
before. So each piece is sent once the server has taken the last one out of its socket: on Linux, from a server on the
same machine, each piece comes as one. Elsewhere pieces may be read together: a check may try fewer cuts than it says,
and never finds a difference that is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .unread import Unread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType
    from typing import Self

__all__ = ["Connection", "serving"]

_Address: TypeAlias = "str | tuple[str, int] | tuple[str, int, int, int]"
"""Of a unix socket, of IPv4, of IPv6: as a socket's getsockname() tells it."""

_PAUSE: Final = 0.0005
"""Seconds between two looks at whether a server has read: it is woken within a tenth of that if it is idle."""

_LOOKS_AT_ONCE: Final = 20
"""Looks without such a pause: a server that waits in another thread reads during the first few."""


_GRACE: Final = 1.0
"""Seconds in which a handler may end, of whose server no more is wanted; then it is cancelled."""


class Connection:
    """A connection to a server as a parser for ``check_fragmentation``: its result is the server's whole answer.

    ``address`` is what the server's socket tells as its ``getsockname()``. Each piece is sent once the server has read
    the one before: on Linux, from a server on this machine. After the last piece the sending side is shut down, and the
    answer ends where the server closes the connection. With ``until``, a function from the answer so far to whether it
    is whole, nothing is shut down, and the answer ends there. A server that resets the connection has ended its answer.
    Raises TimeoutError after ``patience`` seconds in which nothing came.
    """

    def __init__(
        self, address: _Address, *, until: Callable[[bytes], bool] | None = None, patience: float = 10
    ) -> None:
        self._address = address
        self._until = until
        self._patience = patience
        self._answer = bytearray()
        self._has_ended = False

    def __enter__(self) -> Self:
        """Connect."""
        if isinstance(self._address, str):
            self._sock = socket.socket(socket.AF_UNIX)
            self._sock.connect(self._address)
        else:
            self._sock = socket.create_connection(self._address[:2])
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = Unread(self._sock)
        self._sent = 0
        self._sock.settimeout(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._has_ended and self._sock.family != socket.AF_UNIX:
            # Both are done with it: no need for a port that waits a minute, of which a check would leave thousands.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._unread.close()
        self._sock.close()

    def feed(self, piece: bytes) -> None:
        """Send a piece, unless it is empty, and wait until the server has read it, or has closed the connection.

        Raises TypeError for what is not bytes: a socket makes the same of all.
        """
        if not isinstance(piece, bytes):
            raise TypeError(f"bytes are sent, not {type(piece).__name__}")
        self._left = memoryview(piece)
        self._turn_until(self._is_taken, "take what was sent")

    def _is_taken(self) -> bool:
        """Send some of what is left of a piece; then say whether the server has read all."""
        if self._left and not self._has_ended:
            self._left = self._left[self._send() :]
            return False
        return self._has_ended or self._unread.is_none(self._sent)

    def end(self) -> bytes:
        """Shut the sending side down, unless the answer tells where it ends, and return the answer."""
        if self._until is None:
            with contextlib.suppress(OSError):  # the server has closed it
                self._sock.shutdown(socket.SHUT_WR)
        self._turn_until(self._is_whole, "end its answer")
        return bytes(self._answer)

    def _is_whole(self) -> bool:
        return self._has_ended or (self._until is not None and self._until(bytes(self._answer)))

    def _turn_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Receive what comes, until it is so."""
        looks, since = 0, time.monotonic()
        while not is_so():
            pause = _PAUSE if looks > _LOOKS_AT_ONCE else 0
            readable, _, _ = select.select([self._sock], [], [], pause)
            if readable:
                self._receive()
                since = time.monotonic()
            elif time.monotonic() - since > self._patience:
                raise TimeoutError(f"the server did not {what} within {self._patience} seconds")
            looks += 1

    def _send(self) -> int:
        try:
            count = self._sock.send(self._left)
        except BlockingIOError:
            return 0
        except OSError:  # reset, or a broken pipe
            self._has_ended = True
            return 0
        self._sent += count
        return count

    def _receive(self) -> None:
        try:
            received = self._sock.recv(1 << 16)
        except OSError:
            received = b""
        self._answer += received
        self._has_ended = not received


@contextlib.contextmanager
def serving(start: Callable[[], Awaitable[Any]]) -> Iterator[Any]:
    """Run a server of asyncio's in a thread of its own, and yield its address.

    ``start`` is a coroutine function that returns the server: of ``asyncio.start_server``, one of this library, or
    whatever has ``sockets`` and is an asynchronous context manager that closes it.
    """
    started: Future[Any] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(start, started)), daemon=True)
    thread.start()
    address, stop = started.result()
    try:
        yield address
    finally:
        stop()
        thread.join()


async def _serve(start: Callable[[], Awaitable[Any]], started: Future[Any]) -> None:
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    try:
        server = await start()
    except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
        started.set_exception(error)
        return
    async with server:
        started.set_result((server.sockets[0].getsockname(), lambda: loop.call_soon_threadsafe(end.set)))
        await end.wait()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    one = asyncio.create_task(asyncio.sleep(0))  # as one at least has to be waited for
    await asyncio.wait({one, *others}, timeout=_GRACE)  # their clients have closed: that they are told so
