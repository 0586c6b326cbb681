"""A protocol of asyncio's as a parser: a transport without a socket, a loop that runs until nothing is left to do."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from .outcomes import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextvars import Context
    from types import TracebackType
    from typing import Self

    from typing_extensions import Buffer

__all__ = ["Calls", "Connected"]


class Calls:
    """Stands for the application that a protocol calls: takes note of every call of any method, as a plain tuple.

    >>> app = Calls()
    >>> app.request_received("GET", b"/")
    >>> list(app)
    [('request_received', 'GET', b'/')]
    """

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: list[tuple[object, ...]] = []

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(self._made)

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return a method that takes note of its call."""
        if name.startswith("__"):  # what Python asks of any object
            raise AttributeError(name)

        def called(*args: object, **options: object) -> None:
            named = (plain(options),) if options else ()
            self._made.append((name, *map(plain, args), *named))

        return called


class _Loop(asyncio.SelectorEventLoop):
    """Counts the callbacks that are to run at once: as long as that grows, something goes on."""

    soon = 0

    def call_soon(  # type: ignore[override]  # the types of the arguments are the callback's matter
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        self.soon += 1
        return super().call_soon(callback, *args, context=context)


async def _until_nothing_goes_on(loop: _Loop) -> None:
    """Let callbacks and tasks run. What waits for a time or for another connection is not waited for."""
    before = -1
    while loop.soon > before + 1:  # our own coming back is one
        before = loop.soon
        await asyncio.sleep(0)


class _Transport(asyncio.Transport):
    """Delivers pieces to a protocol, and keeps what that writes."""

    def __init__(self, loop: _Loop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)})  # RFC 5737: nobody has these
        self._loop = loop
        self._protocol: Any = protocol
        self._arrived: deque[bytes] = deque()
        self._is_reading = True
        self._is_closing = False
        self.written = bytearray()
        self.has_written_eof = False
        self.error: Exception | None = None

    def arrive(self, piece: bytes) -> None:
        """Deliver a piece, or keep it until the protocol reads again."""
        self._arrived.append(piece)
        self._deliver()

    def _deliver(self) -> None:
        try:
            while self._arrived and self._is_reading and not self._is_closing:
                self._give(self._arrived.popleft())
        except Exception as error:  # noqa: BLE001  # as the loops do it: the connection is lost, the loop goes on
            self.lose(error)

    def _give(self, piece: bytes) -> None:
        """Give the protocol what its class says how to give."""
        if isinstance(self._protocol, asyncio.BufferedProtocol):
            while piece:
                room = memoryview(self._protocol.get_buffer(len(piece))).cast("B")
                count = min(len(room), len(piece))
                room[:count] = piece[:count]
                self._protocol.buffer_updated(count)
                piece = piece[count:]
        else:
            self._protocol.data_received(piece)

    def end(self) -> None:
        """Say that the peer sends nothing more, and close unless the protocol wants to go on writing."""
        try:
            goes_on = self._protocol.eof_received()
        except Exception as error:  # noqa: BLE001  # as in _deliver
            self.lose(error)
        else:
            if not goes_on:
                self.close()

    def lose(self, error: Exception | None) -> None:
        """Close at once, with an error if there is one."""
        self.error = self.error or error
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._protocol.connection_lost, error)

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return self._is_reading

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._loop.call_soon(self._deliver)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def write(self, data: Buffer) -> None:
        if not self._is_closing:
            self.written += data

    def writelines(self, pieces: Any) -> None:
        for piece in pieces:
            self.write(piece)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_written_eof = True

    def get_write_buffer_size(self) -> int:
        return 0  # the peer reads at once

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the buffer is always empty."""


class Connected:
    """A protocol of asyncio's as a parser for ``check_fragmentation``: connected to a peer that sends the pieces.

    ``make_protocol`` is called on a running loop. Results are the calls that the protocol makes to its application, as
    they come into ``calls``, then all bytes that it wrote, and whether it closed the connection itself. An exception of
    one of its methods is the error, as is what is reported to the loop's exception handler. After each piece the loop
    runs until nothing is left to do; timers do not ring. After the last piece comes ``eof_received``.

    A protocol may also be given as it is: then it is connected, and has no ``calls``. Raises RuntimeError where a loop
    is running already.
    """

    def __init__(self, make_protocol: Callable[[], asyncio.BaseProtocol], *, calls: Iterable[object] = ()) -> None:
        self._make_protocol = make_protocol
        self._calls = calls
        self._seen = 0
        self._reported: list[Exception] = []

    def __enter__(self) -> Self:
        """Start a loop, and connect."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a loop is running already: check in a thread, by asyncio.to_thread")
        self._runner = asyncio.Runner(loop_factory=_Loop)
        self._runner.run(self._connect())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all tasks, and the loop."""
        self._runner.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _Loop)
        loop.set_exception_handler(lambda _, context: self._report(context))
        protocol = self._make_protocol()
        self._transport = _Transport(loop, protocol)
        self._loop = loop
        protocol.connection_made(self._transport)
        await _until_nothing_goes_on(loop)

    def _report(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._reported.append(error if isinstance(error, Exception) else RuntimeError(context["message"]))

    def feed(self, piece: bytes) -> list[object]:
        """Deliver a piece, unless it is empty, and return the calls that were made meanwhile.

        Raises TypeError for what is not bytes: that is what loops deliver.
        """
        if not isinstance(piece, bytes):
            raise TypeError(f"a transport delivers bytes, not {type(piece).__name__}")
        if piece:
            self._run(self._transport.arrive, piece)
        return self._new_calls()

    def end(self) -> Iterator[object]:
        """Say that nothing more comes, and yield the last calls, what was written, and how it ended."""
        has_closed = self._transport.is_closing()
        if not has_closed:
            self._run(self._transport.end)
        self._run(self._transport.lose, None)
        yield from self._new_calls()
        yield "written", bytes(self._transport.written)
        if has_closed:
            yield ("closed",)
        for error in filter(None, [self._transport.error, *self._reported]):
            raise error

    def _run(self, call: Callable[..., None], *args: object) -> None:
        async def run() -> None:
            call(*args)
            await _until_nothing_goes_on(self._loop)

        self._runner.run(run())

    def _new_calls(self) -> list[object]:
        new = list(islice(self._calls, self._seen, None))
        self._seen += len(new)
        return new
