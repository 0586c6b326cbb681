"""Stream: a connection whose bytes are received into buffers, parsed there, and sent from buffers.

    open ------ send_eof() ------> receiving
      |                                |
      | peer ends                      | peer ends        aclose()             all sent, or the deadline
      v                                v                (from all four)
    sending ----- send_eof() ------> ended           --------------> closing ----------------> closed

    From each of them to closed, at once: abort(), or an aclose() that is cancelled.

    calls                open         receiving    sending      ended        closing      closed
    those that receive   wait         wait         end          end          ClosedError  ClosedError
    send                 takes        ClosedError  takes        ClosedError  ClosedError  ClosedError
    flush                waits        waits        waits        waits        ClosedError  ClosedError
    send_eof             receiving    waits        ended        waits        ClosedError  ClosedError
    aclose               closing      closing      closing      closing      nothing      nothing
    abort                closed       closed       closed       closed       closed       nothing

What has come may be taken in every state; "wait" and "end" are about what has not come. "end" is False, None, the end
of an iteration, or Underrun. An error of the system changes no state: whatever call needs that side raises it. Over
TLS, asyncio ends both ways at once: send_eof is NotImplementedError, and after the peer's end sending is an error.

Who reads is one task, who sends is one task; both may be the same. What a call has to do with the network happens in
callbacks of the loop, and a waiting call only waits for a future: cancelling it takes back nothing and loses nothing.
"""

from __future__ import annotations

import asyncio
import warnings
from contextvars import Context
from types import coroutine
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NoReturn, Self, SupportsIndex, TypeAlias, TypeVar, final

from .._core.parts import size_of
from ..base_buffer import own_separator
from ..errors import Busy, ClosedError, LimitExceeded, Underrun
from ..receiving import Inbox, Pool
from ..sending import Outbox
from .links import UNLINKED, PartedLink, wake
from .waiting import Waiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator
    from types import TracebackType

    from ..base_buffer import BytesLike, Part
    from ..composite_buffer import CompositeBuffer
    from ..framing import Framer
    from ..reader import ByteOrder, Reader
    from ..slice_buffer import SliceBuffer
    from .links import Link

__all__ = ["State", "Stream"]

_T = TypeVar("_T")

State: TypeAlias = Literal["open", "receiving", "sending", "ended", "closing", "closed"]
"""What a stream may still be used for."""

LIMIT: Final = 256 << 10
"""Bytes that are received and not taken before receiving pauses."""
HIGH: Final = 64 << 10
"""Bytes that may be pending before ``send()`` waits: as many as asyncio's transports take."""

_SPARES: Final = 64
"""Outboxes that are kept for the next stream that sends: as many as are likely to be busy at a time."""


@final
class _Spare(list[Outbox]):
    """Outboxes that streams have put aside. A connection that waits is in no need of one, nor of its watermarks."""

    __slots__ = ("high", "low")

    def __init__(self, high: int, low: int) -> None:
        super().__init__()
        self.high = high
        self.low = low


_SPARE: Final[dict[tuple[int, int], _Spare]] = {}
"""By their watermarks."""


def _spare_of(high: SupportsIndex, low: SupportsIndex) -> _Spare:
    marks = size_of(high), size_of(low)
    if marks[1] > marks[0]:
        raise ValueError(f"the low watermark is above the high one: {marks[1]} > {marks[0]}")
    spare = _SPARE.get(marks)
    if spare is None:
        spare = _SPARE[marks] = _Spare(*marks)
    return spare


_NOTHING_LEFT: Final = iter(())


@final
class _Done:
    """The answer of a call that has nothing to wait for: it may be awaited, and made a task of, as a coroutine."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return _NOTHING_LEFT  # type: ignore[return-value]  # as good as a generator that has ended, and never made

    def send(self, value: None, /) -> NoReturn:
        raise StopIteration

    def throw(self, kind: Any, value: Any = None, traceback: Any = None, /) -> NoReturn:
        raise kind if value is None else value

    def close(self) -> None:
        """Nothing is open."""


_DONE: Final = _Done()


@final
class Stream:
    """A connection. ``open_connection`` makes one, and ``start_server`` one for each that it accepts.

    One task receives (``receive``, ``parse``, ``messages``, ``frames``, ``take``, ``take_until``) and one sends
    (``send``, ``flush``, ``send_eof``): a second one in the middle of that is Busy. Every call may be cancelled, so
    that ``asyncio.timeout()`` may stand around it: what receives has then taken nothing, and what ``send`` was given
    goes out whole. Errors of the system come as they are, on each side once it is used: a reset is
    ConnectionResetError.

    ``async with`` closes it: after an ordinary end, or an Exception, as ``aclose()``; when cancelled, by ``abort()``.
    """

    __slots__ = (
        "__weakref__", "_close_timeout", "_closed", "_closer", "_context", "_has_news", "_inbox", "_is_called",
        "_is_closing", "_is_due", "_is_last", "_is_receiving", "_is_untold", "_limit", "_link", "_loop", "_outbox",
        "_reader", "_receiving_error", "_sending", "_sending_error", "_spare", "_until", "_writer",
        "_writer_wants_all", "buffer",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
        limit: SupportsIndex,
        high: SupportsIndex,
        low: SupportsIndex,
        close_timeout: float,
    ) -> None:
        self._link: Link = UNLINKED
        self._loop = loop
        self._inbox = Inbox(pool, limit=limit)
        self.buffer: CompositeBuffer = self._inbox.buffer
        """What has come and has not been taken. The task that receives may take from it."""
        self._limit = limit if type(limit) is int else self._inbox.limit  # the number that all have, not one of its own
        self._outbox: Outbox | None = None  # while something is sent
        self._spare = _spare_of(high, low)
        self._close_timeout = close_timeout
        self._context = Context()  # of callbacks: nothing of those who call is theirs, audits neither
        self._reader = Waiter(loop)
        self._is_receiving = False  # a task waits by that, or is about to go on
        self._until = 0  # where the buffer has to end before it is of use to wake it
        self._writer: asyncio.Future[None] | None = None
        self._writer_wants_all = False
        self._closer: asyncio.Future[None] | None = None
        self._has_news = False  # something has come that receive() has not told of
        self._is_due = False  # something is to be sent at the end of this turn
        self._is_called = False  # by a callback, which sends it
        self._sending: Literal["open", "ending", "ended"] = "open"
        self._is_last = False  # no further message is taken
        self._is_closing = False
        self._closed = False
        self._receiving_error: Exception | None = None
        self._sending_error: Exception | None = None
        self._is_untold = False  # something was lost by that error, and nobody has been told yet

    def __del__(self) -> None:
        """Close what nobody closed, with a ResourceWarning, as asyncio's transports do."""
        if self._link is not UNLINKED and not self._closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self._link.abort()

    def __repr__(self) -> str:
        """Say in which state it is, and how many bytes wait on each side."""
        peer = self.get_extra_info("peername")
        return f"<Stream: {self.state}, with {peer!r}, {len(self.buffer)} bytes received, {self.pending} to be sent>"

    # -- what it is

    @property
    def state(self) -> State:
        """Which calls make sense: "receiving" is after ``send_eof()``, "sending" after the peer's end."""
        if self._closed:
            return "closed"
        if self._is_closing:
            return "closing"
        if self._sending != "open":
            return "ended" if self._inbox.ended else "receiving"
        return "sending" if self._inbox.ended else "open"

    @property
    def pending(self) -> int:
        """Bytes that were given to ``send`` and have not gone to the system."""
        return 0 if self._outbox is None else self._outbox.pending

    @property
    def limit(self) -> int:
        """Bytes that may be received and not taken."""
        return self._limit

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what asyncio's transports know by that name: "socket", "sockname", "peername", "ssl_object", …"""
        return self._link.get_extra_info(name, default)

    # -- receiving

    async def receive(self) -> bool:
        """Wait until ``buffer`` has bytes that this has not told of yet: True. False: the peer has ended.

        Raises LimitExceeded while ``limit`` bytes wait in ``buffer``.
        """
        self._refuse_second_reader()
        buffer = self.buffer
        if (not self._has_news or not buffer) and not await self._more(self._limit):
            return False
        self._has_news = False
        return True

    async def parse(
        self, fn: Callable[[Reader], _T], *, limit: SupportsIndex | None = None, byteorder: ByteOrder = "big"
    ) -> _T | None:
        """Take one message as soon as it is whole, as ``CompositeBuffer.parse()``. None: the peer has ended.

        ``limit`` is that of a message, the stream's if none is given; it may be larger than that. Raises what ``fn``
        raises, LimitExceeded, and Underrun if the peer has ended inside of a message; in each case nothing was taken.
        """
        most = self._limit if limit is None else size_of(limit)
        self._refuse_second_reader()
        buffer = self.buffer
        while (message := buffer.parse(fn, limit=most, byteorder=byteorder)) is None:
            if not await self._more(most, buffer._due()):
                self._assert_at_boundary()
                return None
        return message

    def messages(
        self, fn: Callable[[Reader], _T], *, limit: SupportsIndex | None = None, byteorder: ByteOrder = "big"
    ) -> AsyncIterator[_T]:
        """Return an asynchronous iterator over what ``parse()`` would give, until the peer has ended.

        It also ends, between two messages, when the server is closing. May be left, and begun anew, at any message.
        """
        return _Messages(self, fn, self._limit if limit is None else size_of(limit), byteorder)

    def frames(self, framer: Framer) -> AsyncIterator[SliceBuffer]:
        """Return an asynchronous iterator over the frames that a framer finds in ``buffer``, until the peer has ended.

        The framer has to be a new one, and looks at ``buffer`` itself: what lies behind the last frame that was taken
        is there, so it may be left at any frame for another kind of message. Raises what the framer raises, and
        Underrun at an end inside of a frame. It also ends, between two frames, when the server is closing.
        """
        framer._cut_from(self.buffer)
        return _Frames(self, framer)

    async def take(self, n: SupportsIndex) -> SliceBuffer:
        """Take exactly ``n`` bytes. Raises Underrun if the peer has ended before; then they are still in ``buffer``."""
        size = size_of(n)
        self._refuse_second_reader()
        buffer = self.buffer
        while len(buffer) < size:
            if not await self._more(size, buffer._start + size):
                raise self._cut_off(size)
        return buffer.take(size)

    async def take_until(self, sep: BytesLike, *, limit: SupportsIndex | None = None) -> SliceBuffer:
        """Take the bytes before a separator, and drop that, as ``CompositeBuffer.take_until()``.

        ``limit`` is of the bytes before it, the stream's if none is given. Raises LimitExceeded, and Underrun if the
        peer has ended before the separator came.
        """
        most = self._limit if limit is None else size_of(limit)
        separator = own_separator(sep)
        self._refuse_second_reader()
        buffer = self.buffer
        while (found := buffer.take_until(separator, limit=most)) is None:
            if not await self._more(most + len(separator)):
                here = len(buffer)
                raise Underrun(here + 1, here, separator)
        return found

    def _refuse_second_reader(self) -> None:
        if self._is_receiving:
            raise Busy("the receiving side of the stream")

    def _assert_at_boundary(self) -> None:
        if self.buffer:
            awaited = self.buffer._awaited
            raise self._cut_off(0 if awaited is None else awaited.position - awaited.front)

    def _cut_off(self, wanted: int) -> Underrun:
        here = len(self.buffer)
        return Underrun(max(wanted, here + 1), here)

    async def _more(self, most: int, until: int = 0) -> bool:
        """Wait until more has come than there is now, and as much as ends at ``until``. False at the end."""
        buffer = self.buffer
        until = max(until, buffer._stop + 1)
        while buffer._stop < until:
            if not self._begins_to_wait(most, until):
                return False
            await self._wait()
        return True

    def _begins_to_wait(self, most: int, until: int, *, at_boundary: bool = False) -> bool:
        """Prepare for ``await self._wait()``, until so much has come, or anything else happens. False at the end."""
        if self._closed or self._is_closing:
            raise ClosedError("the stream")
        inbox = self._inbox
        if inbox.ended:
            return False
        if self._receiving_error is not None:
            raise self._receiving_error
        if not self._is_called:
            if self._is_due:
                self._flush_now()
            self._put_outbox_aside()
        if at_boundary and self._is_last and not self.buffer and not self._link.is_readable():
            return False
        if most < self._limit:
            most = self._limit
        if not inbox._allow(most):
            inbox._limit = self._limit
            raise LimitExceeded(most)
        if not self._link.is_reading:
            self._link.resume()
        self._until = until
        return True

    @coroutine
    def _wait(self) -> Generator[Waiter, None, None]:
        """Wait, after ``_begins_to_wait()``."""
        reader = self._reader
        self._is_receiving = True
        reader.begin()
        try:
            yield reader
        except BaseException:
            reader.end()
            self._is_receiving = False
            self._inbox._limit = self._limit
            self._pause_if_full()  # nobody takes now what has come meanwhile
            raise
        self._is_receiving = False
        self._inbox._limit = self._limit

    def _came(self) -> None:
        """Something has come, or the end."""
        self._has_news = True
        if self._pause_if_full() or self.buffer._stop >= self._until or self._inbox.ended:
            self._reader.wake_soon()

    def _came_in_callback(self) -> None:
        """As ``_came``, from a callback of the loop: who waits for it has his turn now, and what he sends goes then."""
        self._has_news = True
        inbox = self._inbox
        try:
            if self._is_receiving and (self.buffer._stop >= self._until or inbox.ended or inbox._is_full()):
                self._is_due = self._is_called = True
                try:
                    self._reader.wake_now()
                finally:
                    self._is_called = False
                    if self._is_due:
                        self._flush()
                    if self._is_receiving:
                        self._put_outbox_aside()
        finally:
            if inbox._is_full() and not self._is_closing:
                self._link.pause()  # only now: what he has taken makes room

    def _pause_if_full(self) -> bool:
        if not self._inbox._is_full():
            return False
        self._link.pause()
        return True

    def _failed_receiving(self, error: Exception) -> None:
        self._receiving_error = error
        self._reader.wake_soon()

    # -- sending

    def send(self, part: Part) -> Awaitable[None]:
        """Send a part: bytes-like, a buffer as it is now, or a range of a file.

        What is sent in one turn of the loop goes out together, at its end or when a call waits for more. The part is
        taken by the call itself, whole, whatever happens to the task; awaiting it waits, while more than the high
        watermark is pending, until that has fallen to the low one. Parts of files go by ``sendfile``, over TLS by
        ``pread``. Mutable memory is not to be changed before it has gone: see ``flush()``.

        Raises TypeError for what is no part, ClosedError after ``send_eof()`` and ``aclose()``, Busy while another task
        waits to send, and the system's error once sending has failed; then nothing was taken.
        """
        outbox = self._outbox
        if outbox is None or self._writer is not None or self._sending != "open" or self._sending_error is not None:
            outbox = self._sendable()
        outbox.put(part)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush_due, context=self._context)
        return self._drained(all_of_it=False) if outbox.paused else _DONE

    def _sendable(self) -> Outbox:
        """Return the outbox if something may be put in."""
        if self._closed or self._is_closing:
            raise ClosedError("the stream")
        if self._sending_error is not None:
            raise self._told(self._sending_error)
        if self._sending != "open":
            raise ClosedError("the sending side of the stream")
        if self._writer is not None:
            raise Busy("the sending side of the stream")
        if self._outbox is None:
            spare = self._spare
            self._outbox = spare.pop() if spare else Outbox(spare.high, spare.low)
        return self._outbox

    def _put_outbox_aside(self) -> None:
        """Let go of the outbox, if it is as if it were new, before a wait that may be a long one."""
        outbox = self._outbox
        if (
            outbox is not None
            and not self.buffer
            and self._sending == "open"
            and self._sending_error is None
            and outbox._is_as_new()
        ):
            self._outbox = None
            if len(self._spare) < _SPARES:
                self._spare.append(outbox)

    def _assert_open(self) -> None:
        if self._closed or self._is_closing:
            raise ClosedError("the stream")

    def _told(self, error: Exception) -> Exception:
        self._is_untold = False
        return error

    async def flush(self) -> None:
        """Wait until all that was sent has gone to the system (over TLS: to asyncio's transport).

        Raises the system's error if it cannot go, ClosedError after ``aclose()``, and Busy while another task waits to
        send.
        """
        self._assert_open()
        if self._is_due:
            self._flush_now()
        await self._drained(all_of_it=True)

    async def send_eof(self) -> None:
        """Say that nothing more is sent, once all that was has gone, and wait for that. The peer may still send.

        Again: waits, or nothing. Cancelled, it is said all the same. Raises what ``flush()`` does, and
        NotImplementedError over TLS, which asyncio ends both ways at once: there, ``aclose()``.
        """
        self._assert_open()
        if self._sending == "open":
            self._sendable()
            if self.get_extra_info("sslcontext") is not None:
                raise NotImplementedError("TLS ends both ways at once: write await stream.aclose()")
            self._sending = "ending"
            self._flush_now()
        await self._drained(all_of_it=True)

    async def _drained(self, *, all_of_it: bool) -> None:
        """Wait until what is pending has fallen to the low watermark, or all has gone."""
        if self._writer is not None:
            raise Busy("the sending side of the stream")
        self._writer_wants_all = all_of_it
        if self._is_due and not self._link.is_full():
            self._flush_now()  # what is more than may be pending need not wait for the turn's end
        if self._sending_error is None and not self._closed and not self._is_enough():
            waiter = self._writer = self._loop.create_future()
            try:
                await waiter
            finally:
                self._writer = None
        if self._sending_error is not None:
            raise self._told(self._sending_error)
        if self._closed:
            raise ClosedError("the stream")

    def _is_enough(self) -> bool:
        """Whether the task that sends need not wait any longer."""
        outbox = self._outbox
        return self._is_gone() if self._writer_wants_all else outbox is None or not outbox.paused

    def _is_gone(self) -> bool:
        outbox = self._outbox
        return (outbox is None or not outbox.pending) and self._link.is_drained()

    def _flush_due(self) -> None:
        """End a turn."""
        if self._is_due:
            self._flush()

    def _flush_now(self) -> None:
        self._context.run(self._flush)

    def _flush(self) -> None:
        """Send what goes. Called by the loop, too, when more does."""
        self._is_due = False
        outbox = self._outbox
        if outbox is not None and not self._closed and self._sending_error is None:
            try:
                self._link.send(outbox)
            except Exception as error:  # noqa: BLE001  # whatever it is, who sends is told
                self._fail_sending(error)
        if self._sending == "ending" and self._sending_error is None and self._is_gone():
            self._sending = "ended"
            try:
                self._link.send_eof()
            except OSError as error:
                self._fail_sending(error)
        waiter = self._writer
        if waiter is not None and (self._sending_error is not None or self._is_enough()):
            wake(waiter)
        waiter = self._closer
        if waiter is not None and (self._sending_error is not None or self._is_gone()):
            wake(waiter)

    def _fail_sending(self, error: Exception) -> None:
        """Nothing more can be sent: what is pending is let go of."""
        self._is_untold = not self._is_gone()
        self._sending_error = error
        if self._outbox is not None:
            self._outbox.close()

    def _lost(self, error: Exception | None) -> None:
        """The transport has ended."""
        if self._closed:
            return
        if error is None:
            self._inbox.ended = True
        elif self._receiving_error is None and not self._inbox.ended:
            self._receiving_error = error
        if self._sending_error is None:
            self._fail_sending(ConnectionResetError("the connection has ended") if error is None else error)
        self._wake_all()

    def _wake_all(self) -> None:
        self._reader.wake_soon()
        wake(self._writer)
        wake(self._closer)

    # -- the end

    def _finish(self) -> None:
        """Take no further message: who waits for one is told that the peer has ended."""
        self._is_last = True
        if not self.buffer:
            self._reader.wake_soon()

    async def aclose(self) -> None:
        """Send what is pending, and close. Never waits longer than the close timeout. Again: nothing.

        A call that waits to receive gets ClosedError. Raises TimeoutError if the peer did not take all in that time,
        and the system's error if something could not be sent and no call has said so; it is closed all the same.
        Cancelled, it aborts.
        """
        if self._closed or self._is_closing:
            return
        self._is_closing = True
        self._reader.wake_soon()
        try:
            if self._is_due:
                self._flush_now()
            self._sending = "ended"
            await self._until_closed()
            if self._is_untold and self._sending_error is not None:
                raise self._sending_error
        finally:
            self.abort()

    async def _until_closed(self) -> None:
        """Wait until all has gone, and the peer knows."""
        try:
            async with asyncio.timeout(self._close_timeout):
                if self._sending_error is None and not self._is_gone():
                    waiter = self._closer = self._loop.create_future()
                    await waiter
                    if self._closed:
                        raise ClosedError("the stream")
                if self._sending_error is None:
                    await self._link.aclose()
        except TimeoutError:
            if not self._is_gone():
                raise TimeoutError(f"{self.pending} bytes were not taken in {self._close_timeout} seconds") from None

    def abort(self) -> None:
        """Close at once: what is pending is let go of. Who waits gets ClosedError. Again: nothing."""
        if self._closed:
            return
        self._closed = True
        self._is_closing = False
        self._is_due = False
        self._sending = "ended"
        # Their tracebacks refer to this stream: they would keep each other.
        self._receiving_error = None
        self._sending_error = None
        if self._outbox is not None:
            self._outbox.close()
        link = self._link
        self._link = PartedLink(link)
        link.abort()
        self._wake_all()

    async def __aenter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it: at once if cancelled."""
        if error is None:
            await self.aclose()
        elif isinstance(error, Exception):
            try:
                await self.aclose()
            except (OSError, ClosedError):
                pass  # another error is under way
        else:
            self.abort()


@final
class _Messages(Generic[_T]):
    """The messages of a stream."""

    __slots__ = ("_byteorder", "_fn", "_limit", "_stream")

    def __init__(self, stream: Stream, fn: Callable[[Reader], _T], limit: int, byteorder: ByteOrder) -> None:
        self._stream = stream
        self._fn = fn
        self._limit = limit
        self._byteorder = byteorder

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        stream = self._stream
        if stream._is_receiving:
            stream._refuse_second_reader()
        buffer = stream.buffer
        while (message := buffer.parse(self._fn, limit=self._limit, byteorder=self._byteorder)) is None:
            until = max(buffer._due(), buffer._stop + 1)
            if not stream._begins_to_wait(self._limit, until, at_boundary=True):
                stream._assert_at_boundary()
                raise StopAsyncIteration
            await stream._wait()
        return message


@final
class _Frames:
    """The frames of a stream."""

    __slots__ = ("_framer", "_stream")

    def __init__(self, stream: Stream, framer: Framer) -> None:
        self._stream = stream
        self._framer = framer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SliceBuffer:
        stream = self._stream
        if stream._is_receiving:
            stream._refuse_second_reader()
        framer = self._framer
        while (frame := framer._advance()) is None:
            until = max(framer._due, stream.buffer._stop + 1)
            if not stream._begins_to_wait(framer._most, until, at_boundary=True):
                framer.end()
                raise StopAsyncIteration
            await stream._wait()
        return frame
