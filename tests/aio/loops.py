"""Loops, connections and certificates for tests of `bytebufs.aio`, and what has to be gone at the end of each."""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
import ssl
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import uvloop

from bytebufs import aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    import trustme

_T = TypeVar("_T")

SECONDS: Final = 30
"""No test takes longer."""
_TURNS: Final = 10
"""Turns of the loop after which asyncio has closed what was to be closed."""


class UnwatchedLoop(asyncio.SelectorEventLoop):
    """A loop that watches no descriptors for others, as that of Windows that has the best transports."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        raise NotImplementedError

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


def _debugging() -> asyncio.AbstractEventLoop:
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(True)
    loop.slow_callback_duration = SECONDS  # or it reports the machine
    return loop


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.SelectorEventLoop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop


LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
    "unwatched": UnwatchedLoop,
    "eager": _eager,
    "debugging": _debugging,
}
KINDS: Final = ("tcp", "unix", "tls")
WAYS: Final = [f"{kind}-{loop}" for kind in KINDS for loop in LOOPS if kind != "unix" or loop in ("asyncio", "uvloop")]
"""Kinds of connections on loops. (To a stream, UNIX and TCP are the same but for resets.)"""


def descriptors() -> set[str]:
    """Return the open descriptors, each with what it is."""
    found = set()
    for path in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add(f"{path.name} {path.readlink()}")
    return found


def run(main: Callable[[], Coroutine[Any, Any, _T]], loop: str = "asyncio", *, reports: int = 0) -> _T:
    """Run a test on a loop, and show that it leaves nothing: no task, callback, watched or open descriptor.

    `reports` is how many errors are told to the loop's exception handler.
    """
    _warmed(loop)
    before = descriptors()
    reported: list[dict[str, Any]] = []
    with collecting():
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            running = runner.get_loop()
            running.set_exception_handler(lambda _, context: reported.append(context))
            watched = _watched(running)
            result = runner.run(_bounded(main, running))
            assert _watched(running) == watched
        assert len(reported) == reports, reported
        reported.clear()
    assert descriptors() <= before
    return result


@contextmanager
def collecting() -> Iterator[None]:
    """Collect what the block has left, and that alone: all that a suite has made would take a tenth of a second."""
    gc.freeze()
    yield
    gc.collect()  # what nobody awaited, or closed, says so now


@functools.cache
def _warmed(loop: str) -> None:
    """Have a loop open what it shares with all others of its kind."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.sleep(0))


async def _bounded(main: Callable[[], Coroutine[Any, Any, _T]], loop: asyncio.AbstractEventLoop) -> _T:
    async with asyncio.timeout(SECONDS):
        result = await main()
    for _ in range(_TURNS):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    scheduled = [handle for handle in getattr(loop, "_scheduled", ()) if not handle.cancelled()]
    assert scheduled == []
    assert [*getattr(loop, "_ready", ())] == []
    return result


def _watched(loop: asyncio.AbstractEventLoop) -> dict[int, object]:
    """Return what the loop's selector watches, by descriptor. (That of uvloop tells nobody.)"""
    selector = getattr(loop, "_selector", None)
    return {} if selector is None else {fd: key.events for fd, key in selector.get_map().items()}


@functools.cache
def _authority() -> tuple[trustme.CA, ssl.SSLContext, ssl.SSLContext]:
    import trustme  # which takes longer than all others together, and not every process needs

    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return authority, server, client


def server_context() -> ssl.SSLContext:
    return _authority()[1]


def client_context() -> ssl.SSLContext:
    return _authority()[2]


@asynccontextmanager
async def serving(
    handler: Callable[[aio.Stream], Coroutine[Any, Any, object]], kind: str, **options: Any
) -> AsyncIterator[tuple[aio.Server, Callable[..., Coroutine[Any, Any, aio.Stream]]]]:
    """Serve at a place of a kind. Also gives what connects to it."""
    if kind == "unix":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "socket")
            async with await aio.start_unix_server(handler, path, **options) as server:
                yield server, functools.partial(aio.open_unix_connection, path)
        return
    connecting: dict[str, Any] = {}
    if kind == "tls":
        options["ssl"] = server_context()
        connecting = {"ssl": client_context(), "server_hostname": "localhost"}
    async with await aio.start_server(handler, "127.0.0.1", 0, **options) as server:
        host, port = server.sockets[0].getsockname()
        yield server, functools.partial(aio.open_connection, host, port, **connecting)


@asynccontextmanager
async def connected(kind: str, **options: Any) -> AsyncIterator[tuple[aio.Stream, aio.Stream]]:
    """Give two streams that are connected to each other; each is aborted at the end, if it is still open."""
    accepted: asyncio.Future[aio.Stream] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def handler(stream: aio.Stream) -> None:
        accepted.set_result(stream)
        await done.wait()
        stream.abort()

    async with serving(handler, kind, **options) as (_, connect):
        ours = await connect(**options)
        theirs = await accepted
        try:
            yield ours, theirs
        finally:
            done.set()
            ours.abort()


def raw(stream: aio.Stream) -> socket.socket:
    """Return the socket of a stream."""
    sock = stream.get_extra_info("socket")
    assert isinstance(sock, socket.socket)
    return sock


def reset(stream: aio.Stream) -> None:
    """Have the peer of a stream see a reset (a TCP stream, by SO_LINGER of 0 seconds)."""
    raw(stream).setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.abort()
