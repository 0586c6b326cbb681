"""Outbox: what is still to be sent, with watermarks, for sinks that take it bit by bit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Self, SupportsIndex, final

from ._parts import size_of
from ._plan import IOV_MAX, Piece, Plan, in_one_batch
from .composite_buffer import CompositeBuffer
from .errors import BrokenSink, Busy, ClosedError, TruncatedFile
from .flushing import Channel, Sink, channel_to, offer, send_some

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .base_buffer import Part

__all__ = ["TURN", "Outbox"]

TURN: Final = 2 << 20
"""Bytes a turn. Pages of a file that are not in memory block whoever sends them, and all connections of his loop:
2 MiB is what nginx sends at a time (sendfile_max_chunk), and what a disk gives in some milliseconds."""


def _nothing() -> None:
    """Stand for a callback that was not given."""


@final
class Outbox:
    """A queue of parts on their way into one sink. Bytes of files count like all others.

    >>> import io
    >>> outbox, sink = Outbox(), io.BytesIO()
    >>> outbox.put(b"header, ")
    >>> outbox.put(b"body", on_sent=lambda: print("sent"))
    >>> outbox.flush(sink)
    sent
    12
    >>> outbox.pending
    0

    Put more than ``high`` bytes in and it is ``paused``, until flushing brings it down to ``low``: a producer that
    looks at ``paused``, or is told by ``on_pause`` and ``on_resume``, bounds what waits. Nothing is refused: a part may
    be larger than ``high``. Belongs to one thread, and to one sink.
    """

    __slots__ = (
        "_broken", "_callbacks", "_high", "_is_busy", "_is_closed", "_late", "_low", "_on_pause", "_on_resume",
        "_queue", "_sent", "_total", "_width", "paused",
    )  # fmt: skip

    def __init__(
        self,
        high: SupportsIndex = 65536,
        low: SupportsIndex = 32768,
        *,
        on_pause: Callable[[], object] = _nothing,
        on_resume: Callable[[], object] = _nothing,
    ) -> None:
        """Begin empty. ``on_pause`` is called by ``put`` and ``on_resume`` by ``flush``, each as its last act.

        Both may put parts in. Raises ValueError if ``low`` is above ``high``, or one is negative.
        """
        self._high = size_of(high)
        self._low = size_of(low)
        if self._low > self._high:
            raise ValueError(f"the low watermark is above the high one: {self._low} > {self._high}")
        self._on_pause = on_pause
        self._on_resume = on_resume
        self.paused = False
        self._queue = CompositeBuffer()
        self._late = CompositeBuffer()  # put in while the queue was being sent
        self._sent = 0  # bytes, since the beginning
        self._total = 0  # bytes put in, since the beginning
        self._callbacks: deque[tuple[int, Callable[[], object]]] = deque()  # with what has to be sent before
        self._width = IOV_MAX  # entries that the sink can be offered
        self._is_busy = False
        self._is_closed = False
        self._broken = ""  # why nothing may be sent any more

    @property
    def pending(self) -> int:
        """Bytes that were put in and have not been sent."""
        return self._total - self._sent

    def __repr__(self) -> str:
        """Say how many bytes wait."""
        state = "closed, " if self._is_closed else "broken, " if self._broken else "paused, " if self.paused else ""
        return f"<Outbox: {state}{self.pending} bytes pending>"

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def put(self, part: Part, *, on_sent: Callable[[], object] | None = None) -> None:
        """Add a part: bytes-like, a buffer as it is now, or a FileRegion. Never sends anything.

        ``on_sent`` is called by the ``flush`` that hands the last of its bytes to the sink; for an empty part by the
        first one that has sent all that was put in before. It is not called if that never comes.

        Raises TypeError for what is no part, ClosedError once closed, BrokenSink once the sink is broken; then nothing
        was added. Complexity: O(parts of the part). Copies: nothing.
        """
        self._assert_usable()
        target = self._late if self._is_busy else self._queue
        before = len(target)
        target.append(part)
        self._total += len(target) - before
        if on_sent is not None:
            self._callbacks.append((self._total, on_sent))
        if not self.paused and self.pending > self._high:
            self.paused = True
            self._on_pause()

    def flush(self, sink: Sink) -> int:
        """Send what ``sink`` takes without blocking, one turn of about 2 MiB, and return how many bytes that were.

        The sinks are those of :func:`bytebufs.flush`, and all that is said there holds. Make them non-blocking: one
        that blocks does so here. While ``pending`` is not 0, wait until the sink can be written to and call again, be
        it that it is full or that the turn is over. Goes on at any byte.

        Errors come as they are, with ``bytes_flushed`` set: what went is no longer pending, and calling again goes on
        behind it. But it raises BrokenSink for ever after if it is not known how much went (an error of a TLS socket or
        of an object with ``write``; a signal handler that raised in a call), and after TruncatedFile, since bytes that
        announce the file may be out. ssl.SSLWantReadError says to wait until the sink can be *read*. An error of a
        callback leaves the other callbacks to the next call.

        Raises Busy if called while it runs: by a callback, the sink or another thread; ClosedError once closed.
        """
        self._assert_usable()
        if self._is_busy:
            raise Busy("the outbox")
        self._is_busy = True
        try:
            return self._send(sink) if self._queue else 0
        finally:
            try:
                self._tell()
            finally:
                self._is_busy = False
                self._tidy()

    def close(self) -> None:
        """Let go of all that is pending, without a call of ``on_sent``. Again: nothing. Sinks are not closed.

        During a flush, what that has begun to send still goes.
        """
        self._is_closed = True
        if not self._is_busy:
            self._tidy()

    def _assert_usable(self) -> None:
        if self._is_closed:
            raise ClosedError("the outbox")
        if self._broken:
            raise BrokenSink(self._broken)

    def _send(self, sink: Sink) -> int:
        channel = channel_to(sink)
        size = len(self._queue)
        batch = in_one_batch(self._queue, 0) if self._width == IOV_MAX and size <= TURN else []
        taken = 0
        try:
            taken = offer(batch, channel) if batch else 0
            if taken < size:
                taken = self._send_more(channel, batch, taken)
        except BaseException as error:
            taken = error.bytes_flushed  # type: ignore[attr-defined]  # as of flush()
            if isinstance(error, TruncatedFile) or not channel.is_exact_after(error):
                self._broken = f"{type(error).__name__} ended what was sent: {error}"
            raise
        finally:
            self._queue.skip(taken)
            self._sent += taken
        return taken

    def _send_more(self, channel: Channel, batch: list[Piece], taken: int) -> int:
        """Go on behind a first call that took so many bytes of a batch, and return how many went in all."""
        plan = Plan(self._queue, iov_max=channel.iov_max, call_max=TURN)
        plan.width = min(self._width, channel.iov_max)
        try:
            if taken:
                plan.resume(batch, taken)
            send_some(plan, channel, TURN)
        except BaseException as error:
            error.bytes_flushed = max(plan.position, taken)  # type: ignore[attr-defined]
            raise
        finally:
            self._width = plan.width
        return plan.position

    def _tell(self) -> None:
        """Call whoever waits for what has been sent."""
        callbacks = self._callbacks
        while callbacks and callbacks[0][0] <= self._sent:
            callbacks.popleft()[1]()
        if self.paused and self.pending <= self._low and not self._is_closed:
            self.paused = False
            self._on_resume()

    def _tidy(self) -> None:
        """Do what could not be done while the queue was being sent."""
        if self._is_closed:
            self._queue.clear()
            self._late.clear()
            self._callbacks.clear()
            self._sent = self._total
            self.paused = False
        elif self._late:
            self._queue.append(self._late)
            self._late.clear()
