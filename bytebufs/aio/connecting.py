"""Connecting: sockets as asyncio's own functions make them, and streams over those."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, Final, final

from ..receiving import Pool
from .links import TCP, SocketLink, TransportLink
from .stream import HIGH, LIMIT, Stream

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Sequence
    from os import PathLike
    from typing import TypeAlias

    SSL: TypeAlias = tls.SSLContext | bool | None

__all__ = ["open_connection", "open_unix_connection"]

_BLOCK: Final = 128 << 10
"""Bytes received at a time at most. With half of that, frames of 64 KiB cost a fifteenth more; with twice as much, no
less, and what a connection keeps of a message that waits is twice as much."""
CLOSE_TIMEOUT: Final = 30.0
"""Seconds that closing a stream may take."""

_UNIX: Final = getattr(socket, "AF_UNIX", None)

_OF_THREAD: Final = threading.local()


def _own_pool() -> Pool:
    """Return the pool that all streams of this thread share, if they are given no other."""
    pool: Pool | None = getattr(_OF_THREAD, "pool", None)
    if pool is None:
        pool = _OF_THREAD.pool = Pool(_BLOCK)
    return pool


@final
class Options:
    """What streams are made with, and how they are attached to their sockets."""

    def __init__(
        self, *, limit: int, high: int, low: int | None, close_timeout: float, pool: Pool | None, ssl: SSL,
        handshake_timeout: float | None, shutdown_timeout: float | None,
    ) -> None:  # fmt: skip
        self._pool = _own_pool() if pool is None else pool
        self._limit = limit
        self._high = high
        self._low = high // 4 if low is None else low
        self._close_timeout = close_timeout
        self.ssl = ssl
        self.timeouts: dict[str, Any] = {
            "ssl_handshake_timeout": handshake_timeout,
            "ssl_shutdown_timeout": shutdown_timeout,
        }
        if not ssl:
            for name in self.timeouts:
                if self.timeouts[name] is not None:
                    raise ValueError(f"{name} is for ssl")
            self.timeouts = {}
        Stream(
            asyncio.get_running_loop(), self._pool, limit, high, self._low, close_timeout
        )  # or it says what is wrong

    def stream(self, sock: socket.socket) -> Stream:
        """Return a stream that has a socket, and closes it, but does not read from it yet."""
        loop = asyncio.get_running_loop()
        stream = Stream(loop, self._pool, self._limit, self._high, self._low, self._close_timeout)
        sock.settimeout(0)
        stream._link = SocketLink(stream, sock, loop)
        return stream


async def open_connection(
    host: str | None = None,
    port: str | int | None = None,
    *,
    limit: int = LIMIT,
    high: int = HIGH,
    low: int | None = None,
    close_timeout: float = CLOSE_TIMEOUT,
    pool: Pool | None = None,
    ssl: SSL = None,
    sock: socket.socket | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
) -> Stream:
    """Connect, and return a Stream. The arguments are those of ``asyncio.open_connection``.

    But: ``limit`` is how many bytes are received and not taken before receiving pauses, exactly; ``high`` and ``low``
    are the watermarks of what is sent, ``low`` a quarter of ``high`` if it is not given; ``close_timeout`` are the
    seconds that closing may take; ``pool`` is where memory comes from, one for all streams of the thread if none is
    given. Addresses are tried in their order, each after the one before it has failed, or ``happy_eyeballs_delay``
    seconds after it was begun (RFC 8305).

    Raises OSError if no address can be connected to: that of the last one, with notes of the others. ValueError for
    arguments that contradict each other; then ``sock`` is as it was, and else it is the stream's, or closed.
    """
    options = Options(
        limit=limit, high=high, low=low, close_timeout=close_timeout, pool=pool, ssl=ssl,
        handshake_timeout=ssl_handshake_timeout, shutdown_timeout=ssl_shutdown_timeout,
    )  # fmt: skip
    server_hostname = _name_to_match(ssl, server_hostname, host)
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host and port, or sock: not both")
        is_stream_socket(sock)
    elif host is None and port is None:
        raise ValueError("host and port are wanted, or a sock")
    else:
        if happy_eyeballs_delay is not None and interleave is None:
            interleave = 1
        sock = await _connected(host, port, family, proto, flags, local_addr, happy_eyeballs_delay, interleave or 0)
    stream = options.stream(sock)
    await _attach(stream, sock, options, server_hostname)
    return stream


async def open_unix_connection(
    path: str | bytes | PathLike[str] | None = None,
    *,
    limit: int = LIMIT,
    high: int = HIGH,
    low: int | None = None,
    close_timeout: float = CLOSE_TIMEOUT,
    pool: Pool | None = None,
    ssl: SSL = None,
    sock: socket.socket | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> Stream:
    """Connect to a UNIX socket, and return a Stream. The arguments are as those of ``open_connection``."""
    options = Options(
        limit=limit, high=high, low=low, close_timeout=close_timeout, pool=pool, ssl=ssl,
        handshake_timeout=ssl_handshake_timeout, shutdown_timeout=ssl_shutdown_timeout,
    )  # fmt: skip
    server_hostname = _name_to_match(ssl, server_hostname, None)
    if sock is not None:
        if path is not None:
            raise ValueError("a path, or sock: not both")
        is_stream_socket(sock)
    elif path is None:
        raise ValueError("a path is wanted, or a sock")
    else:
        sock = await _connect((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", os.fspath(path)), None)
    stream = options.stream(sock)
    await _attach(stream, sock, options, server_hostname)
    return stream


def _name_to_match(ssl: SSL, server_hostname: str | None, host: str | None) -> str | None:
    """Return the name that a certificate has to be for."""
    if not ssl:
        if server_hostname is not None:
            raise ValueError("server_hostname is for ssl")
        return None
    if server_hostname is None and not host:
        raise ValueError("with ssl, and no host, server_hostname is wanted: '' to match none")
    name = host if server_hostname is None else server_hostname
    try_context(ssl, name or None)
    return name


def try_context(ssl: SSL, server_hostname: str | None = None, *, server_side: bool = False) -> None:
    """Refuse what no handshake can begin with. Some loops do so too late: uvloop keeps the socket then, for good."""
    if not ssl:
        return
    import ssl as tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT) if isinstance(ssl, bool) else ssl
    if context.check_hostname and not (server_hostname or server_side):  # before 3.14, nothing would be checked then
        raise ValueError("a context that checks host names wants a server_hostname, not ''")
    context.wrap_bio(tls.MemoryBIO(), tls.MemoryBIO(), server_side, server_hostname)


async def _attach(stream: Stream, sock: socket.socket, options: Options, server_hostname: str | None) -> None:
    """Have a stream move its bytes by its socket, which is connected. Closed if that fails."""
    loop = asyncio.get_running_loop()
    try:
        if options.ssl or not _attach_directly(stream, sock):
            link = TransportLink(stream, sock, loop)
            # uvloop takes UNIX sockets in ``create_connection``, too, but forgets the timeouts then.
            create: Any = loop.create_unix_connection if sock.family == _UNIX else loop.create_connection
            await create(
                lambda: link, sock=sock, ssl=options.ssl or None, server_hostname=server_hostname, **options.timeouts
            )
    except BaseException:
        stream.abort()
        raise


async def attach_accepted(stream: Stream, sock: socket.socket, options: Options) -> None:
    """As ``_attach()``, on the side that was connected to."""
    loop = asyncio.get_running_loop()
    try:
        if options.ssl or not _attach_directly(stream, sock):
            link = TransportLink(stream, sock, loop)
            await loop.connect_accepted_socket(lambda: link, sock, ssl=options.ssl or None, **options.timeouts)
    except BaseException:
        stream.abort()
        raise


def _attach_directly(stream: Stream, sock: socket.socket) -> bool:
    """Whether the loop watches descriptors: then the stream moves its bytes itself."""
    try:
        stream._link.resume()
    except NotImplementedError:
        return False
    if sock.family in TCP:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return True


def is_stream_socket(sock: socket.socket) -> None:
    """Refuse what is no stream socket."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"a stream socket is wanted, not {sock!r}")


# -- addresses -----------------------------------------------------------------------------------------------

_Address = tuple[int, int, int, str, Any]


async def _connected(
    host: str | None,
    port: str | int | None,
    family: int,
    proto: int,
    flags: int,
    local: tuple[str, int] | None,
    delay: float | None,
    interleave: int,
) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:  # what is written in numbers need not be looked up, which takes a thread
        numeric = flags | socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, proto, numeric)
    except (socket.gaierror, UnicodeError):
        infos = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags)
    if not infos:
        raise OSError(f"{host!r} has no address")
    locals_: list[_Address] = []
    if local is not None:
        locals_ = list(await loop.getaddrinfo(*local, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags))
    addresses: list[_Address] = _interleaved(list(infos), interleave) if interleave else list(infos)
    errors: list[OSError] = []
    found = await _first(addresses, locals_ if local is not None else None, delay, errors)
    if found is not None:
        return found
    last = errors[-1]
    for other in errors[:-1]:
        last.add_note(f"before that: {other}")
    raise last


def _interleaved(addresses: list[_Address], first: int) -> list[_Address]:
    """Return addresses with their families in turn, after ``first`` of the first family (RFC 8305, section 4)."""
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    lists = list(families.values())
    begun, lists[0] = lists[0][: first - 1], lists[0][first - 1 :]
    return begun + [a for turn in itertools.zip_longest(*lists) for a in turn if a is not None]


async def _first(
    addresses: list[_Address], local: Sequence[_Address] | None, delay: float | None, errors: list[OSError]
) -> socket.socket | None:
    """Return a socket that is connected to one of the addresses, the first that answers."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    waiting = list(addresses)
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect(waiting.pop(0), local)))
            done, attempts = await asyncio.wait(
                attempts, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            errors += [error for attempt in done if isinstance(error := attempt.exception(), OSError)]
            for attempt in done:
                if not isinstance(attempt.exception(), OSError):
                    done.remove(attempt)
                    attempts |= done
                    return attempt.result()
        return None
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_result)
        if attempts:
            await asyncio.wait(attempts)


def _close_result(attempt: asyncio.Task[socket.socket]) -> None:
    """Close what came too late."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect(address: _Address, local: Sequence[_Address] | None) -> socket.socket:
    family, kind, proto, _, where = address
    sock = socket.socket(family, kind, proto)
    try:
        sock.settimeout(0)
        if local is not None:
            _bind(sock, family, local)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, family: int, local: Sequence[_Address]) -> None:
    error: OSError = OSError(errno.EADDRNOTAVAIL, "no local address is of the same family")
    for local_family, *_, where in local:
        if local_family == family:
            try:
                sock.bind(where)
            except OSError as failed:
                error = failed
            else:
                return
    raise error
