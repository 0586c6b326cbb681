"""Serving: listening sockets, a task for each connection, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, final

from ..errors import BytebufsError
from .connecting import CLOSE_TIMEOUT, Options, attach_accepted, is_stream_socket, try_context
from .links import wake
from .stream import HIGH, LIMIT, Stream

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Awaitable, Callable, Sequence
    from os import PathLike
    from types import TracebackType

    from ..receiving import Pool

__all__ = ["Handler", "Server", "start_server", "start_unix_server"]

Handler: TypeAlias = "Callable[[Stream], Awaitable[object]]"
"""What a server runs for each connection: a coroutine function of its stream."""

_CONNECTIONS: Final = 10_000
"""Connections at a time. Others wait with the system, up to ``backlog``."""
_GRACE: Final = 10.0
_ACCEPTS: Final = 64
"""Connections that are accepted in one turn."""
_PAUSE: Final = 1.0
"""Seconds for which nothing is accepted when there are no descriptors, or no memory in the system."""
_NEW: Final = 1.0
"""Seconds in which a connection that has sent nothing yet may do so when its server closes."""
_NO_ROOM: Final = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])


@final
class Server:
    """Listening sockets, and the connections that were accepted. ``start_server`` makes one.

    Each connection has a task, in which the handler runs; its stream is closed when that ends, and no task outlives the
    server. An exception of a handler closes its connection, and is reported once, to the loop's exception handler.
    ``async with`` closes the server: with ``close()``, and at once if it is left by an exception.
    """

    def __init__(self, handler: Handler, sockets: Sequence[socket.socket], most: int, options: Options) -> None:
        self._handler = handler
        self._sockets: list[socket.socket] = list(sockets)
        self._most = most
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._connections: dict[asyncio.Task[None], Stream] = {}
        # Made once: else each connection has a bound method and a context of its own for as long as it lasts.
        self._when_ended = self._ended
        self._context = copy_context()
        self._handshakes: set[asyncio.Task[None] | None] = set()
        self._accepting: list[asyncio.Task[None]] = []  # where the loop watches no descriptors
        self._watched: list[socket.socket] = []  # all, or none for a while
        self._pause: asyncio.TimerHandle | None = None
        self._is_closing = False
        self._closed = self._loop.create_future()
        self._paths: list[tuple[str | bytes, int]] = []

    def __repr__(self) -> str:
        """Say where it listens, and to how many it is connected."""
        where = ", ".join(str(sock.getsockname()) for sock in self._sockets) or "closed"
        return f"<Server: {where}, {len(self._connections)} connections>"

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Where it listens; none once it is closing."""
        return tuple(self._sockets)

    @property
    def connections(self) -> int:
        """Connections whose handlers have not ended."""
        return len(self._connections)

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return bool(self._sockets)

    async def serve_forever(self) -> None:
        """Wait until ``close()`` has ended. If cancelled, close at once."""
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            await self.close(grace=0)
            raise

    async def close(self, *, grace: float = _GRACE) -> None:
        """Accept no more, have the handlers end, and wait for that: they are cancelled after ``grace`` seconds.

        What has been accepted is served. ``messages()`` and ``frames()`` end at the next message that has not begun to
        come, so that a handler with such a loop answers what it has got, and ends by itself. Who has sent nothing yet
        has a second for that, and for the handshake of TLS. Cancelled, this goes on at once to cancelling the handlers.
        A handler that calls it waits for all others. Again: waits for the first call.
        """
        if self._is_closing:
            await asyncio.shield(self._closed)
            return
        self._is_closing = True
        try:
            try:
                await self._stop_listening()
                await self._until_ended(grace)
            finally:
                await self._cancel_all()
        finally:
            wake(self._closed)

    async def _until_ended(self, grace: float) -> None:
        end = self._loop.time() + grace
        for stream in self._connections.values():
            if stream.buffer._stop:
                stream._finish()
        await self._wait(min(grace, _NEW))
        for task in self._connections:
            self._connections[task]._finish()
            if task in self._handshakes:
                task.cancel()
        await self._wait(end - self._loop.time())

    async def _wait(self, seconds: float) -> None:
        others = self._others()
        if others and seconds > 0:
            await asyncio.wait(others, timeout=seconds)

    def _others(self) -> list[asyncio.Task[None]]:
        return [task for task in self._connections if task is not asyncio.current_task()]

    async def _cancel_all(self) -> None:
        """Cancel handlers until all have ended: one may catch it once, to say good-bye."""
        cancelled: asyncio.CancelledError | None = None
        while others := self._others():
            for task in others:
                task.cancel()
            try:
                await asyncio.wait(others, timeout=_PAUSE)
            except asyncio.CancelledError as error:
                cancelled = error  # it is what is being done
        if cancelled is not None:
            raise cancelled

    async def __aenter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it: at once if there was an exception."""
        await self.close(grace=_GRACE if error is None else 0)

    def _owns(self, path: str | bytes) -> None:
        """Remove a socket of the file system at the end."""
        if _is_path(path):
            self._paths.append((path, Path(os.fsdecode(path)).stat().st_ino))

    # -- accepting

    def _listen(self, backlog: int) -> None:
        try:
            for sock in self._sockets:
                sock.listen(backlog)
        except BaseException:
            self._close_sockets()
            raise
        self._watch()

    def _watch(self) -> None:
        """Wait for connections, as many as there may be."""
        self._pause = None
        for sock in self._sockets:
            try:
                self._loop.add_reader(sock, self._accept, sock)
            except NotImplementedError:
                self._accepting.append(self._loop.create_task(self._accept_slowly(sock)))
            else:
                self._watched.append(sock)

    def _unwatch(self) -> None:
        for sock in self._watched:
            self._loop.remove_reader(sock)
        self._watched.clear()

    def _accept(self, listener: socket.socket) -> bool:
        """Accept for a turn. Whether there may be more."""
        for _ in range(_ACCEPTS):
            if len(self._connections) >= self._most:
                self._unwatch()
                return False
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._report("nothing is accepted for a while", error)
                    self._unwatch()
                    self._pause = self._loop.call_later(_PAUSE, self._watch)
                    return False
                return error.errno == errno.ECONNABORTED  # that client has gone again (accept(2))
            self._begin(sock)
        return True

    async def _accept_slowly(self, listener: socket.socket) -> None:
        while True:
            if len(self._connections) >= self._most:
                await asyncio.wait(list(self._connections), return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                sock, _ = await self._loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._report("nothing is accepted for a while", error)
                    await asyncio.sleep(_PAUSE)
            else:
                self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        stream = self._options.stream(sock)
        task = self._loop.create_task(self._serve(stream, sock))
        self._connections[task] = stream
        task.add_done_callback(self._when_ended, context=self._context)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).abort()  # it may have been cancelled before it began
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report("a connection has failed", error)
        if not (self._watched or self._accepting or self._pause or self._is_closing):
            self._watch()

    async def _serve(self, stream: Stream, sock: socket.socket) -> None:
        if self._options.ssl:
            self._handshakes.add(asyncio.current_task())
        try:
            await attach_accepted(stream, sock, self._options)
        except OSError:
            return  # a client that fails its handshake is no fault of ours
        finally:
            self._handshakes.discard(asyncio.current_task())
        try:
            await self._handler(stream)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told of
            self._report("the handler of a connection has failed", error, stream)
        except BaseException:
            stream.abort()
            raise
        try:
            await stream.aclose()
        except BytebufsError as error:
            self._report("what a handler has sent cannot be sent", error, stream)
        except OSError:
            pass  # the client has gone, or takes nothing any more

    def _report(self, message: str, error: BaseException, stream: Stream | None = None) -> None:
        context: dict[str, Any] = {"message": f"bytebufs.aio: {message}", "exception": error}
        if stream is not None:
            context["stream"] = stream
        self._loop.call_exception_handler(context)

    async def _stop_listening(self) -> None:
        """Take what the system has accepted already, and close the listening sockets."""
        try:
            if self._accepting:
                for task in self._accepting:
                    task.cancel()
                await asyncio.wait(self._accepting)
            for sock in self._sockets:
                while self._accept(sock):
                    pass
        finally:
            self._close_sockets()

    def _close_sockets(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._unwatch()
        for path, inode in self._paths:
            with suppress(OSError):
                if Path(os.fsdecode(path)).stat().st_ino == inode:
                    Path(os.fsdecode(path)).unlink()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


async def start_server(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: str | int | None = None,
    *,
    limit: int = LIMIT,
    high: int = HIGH,
    low: int | None = None,
    close_timeout: float = CLOSE_TIMEOUT,
    connections: int = _CONNECTIONS,
    pool: Pool | None = None,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: tls.SSLContext | None = None,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Server:
    """Listen, and run ``handler(stream)``, a coroutine function, for each connection. Returns a Server, which serves.

    The arguments are those of ``asyncio.start_server``; ``limit``, ``high``, ``low``, ``close_timeout`` and ``pool``
    are those of ``open_connection``, for each stream; ``connections`` is how many there may be at a time: others wait
    with the system. It serves at once: there is no ``start_serving``.
    """
    _refuse_no_function(handler)
    _refuse_none(connections)
    options = Options(
        limit=limit, high=high, low=low, close_timeout=close_timeout, pool=pool, ssl=_context_of(ssl),
        handshake_timeout=ssl_handshake_timeout, shutdown_timeout=ssl_shutdown_timeout,
    )  # fmt: skip
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host and port, or sock: not both")
        is_stream_socket(sock)
        sock.settimeout(0)
        sockets = [sock]
    elif host is None and port is None:
        raise ValueError("host and port are wanted, or a sock")
    else:
        hosts = [host or None] if host is None or isinstance(host, str) else [one or None for one in host]
        sockets = await _bound(
            hosts, port, family, flags, reuse_address=reuse_address is not False, reuse_port=bool(reuse_port)
        )
    server = Server(handler, sockets, connections, options)
    server._listen(backlog)
    return server


async def start_unix_server(
    handler: Handler,
    path: str | bytes | PathLike[str] | None = None,
    *,
    limit: int = LIMIT,
    high: int = HIGH,
    low: int | None = None,
    close_timeout: float = CLOSE_TIMEOUT,
    connections: int = _CONNECTIONS,
    pool: Pool | None = None,
    sock: socket.socket | None = None,
    backlog: int = 100,
    ssl: tls.SSLContext | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Server:
    """Listen on a UNIX socket: else as ``start_server``. A socket that somebody left at ``path`` is removed before.

    Its own is removed when the server closes, unless another one has taken its place.
    """
    _refuse_no_function(handler)
    _refuse_none(connections)
    if (path is None) == (sock is None):
        raise ValueError("a path, or sock: one of them")
    options = Options(
        limit=limit, high=high, low=low, close_timeout=close_timeout, pool=pool, ssl=_context_of(ssl),
        handshake_timeout=ssl_handshake_timeout, shutdown_timeout=ssl_shutdown_timeout,
    )  # fmt: skip
    where: str | bytes | None = None
    if sock is None:
        assert path is not None
        where = os.fspath(path)
        sock = _bound_to(where)
    else:
        is_stream_socket(sock)
    sock.settimeout(0)
    server = Server(handler, [sock], connections, options)
    if where is not None:
        server._owns(where)
    server._listen(backlog)
    return server


def _refuse_no_function(handler: object) -> None:
    if not callable(handler):
        raise TypeError(f"a handler is a coroutine function, not {handler!r}: async def handler(stream)")


def _refuse_none(connections: int) -> None:
    if connections < 1:
        raise ValueError(f"a server has at least 1 connection, not {connections!r}")


def _context_of(ssl: tls.SSLContext | None) -> tls.SSLContext | None:
    if isinstance(ssl, bool):
        raise TypeError(f"a server wants an ssl.SSLContext, with its certificate, or None: not {ssl!r}")
    try_context(ssl, server_side=True)
    return ssl


def _is_path(path: str | bytes) -> bool:
    """Whether this is a place in the file system, and no abstract name (unix(7))."""
    return bool(path) and path[:1] not in (b"\0", "\0")


def _bound_to(path: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        if _is_path(path):
            with suppress(FileNotFoundError):
                if stat.S_ISSOCK(Path(os.fsdecode(path)).stat().st_mode):
                    Path(os.fsdecode(path)).unlink()
        sock.bind(path)
    except OSError as error:
        sock.close()
        error.add_note(f"while binding to {path!r}")
        raise
    return sock


async def _bound(
    hosts: Sequence[str | None],
    port: str | int | None,
    family: int,
    flags: int,
    *,
    reuse_address: bool,
    reuse_port: bool,
) -> list[socket.socket]:
    """Return sockets that are bound to every address of these hosts."""
    loop = asyncio.get_running_loop()
    found: dict[Any, None] = {}
    for host in hosts:
        infos = await loop.getaddrinfo(host, port or 0, family=family, type=socket.SOCK_STREAM, flags=flags)
        if not infos:
            raise OSError(f"{host!r} has no address")
        found.update(dict.fromkeys(infos))
    sockets: list[socket.socket] = []
    try:
        for kind, type_, proto, _, address in found:
            try:
                sock = socket.socket(kind, type_, proto)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    raise
                continue  # a family that is switched off
            sockets.append(sock)
            sock.settimeout(0)
            if reuse_address and os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if kind == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and kind == socket.AF_INET6:
                    sockets.pop().close()  # likewise
                    continue
                error.add_note(f"while binding to {address!r}")
                raise
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, f"no address of {list(hosts)!r} can be listened on")
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets
