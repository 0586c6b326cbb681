"""Outbox: what is still to be sent, with watermarks, for sinks that take it bit by bit."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NoReturn, Self, SupportsIndex, final

from .._core.numbers import COMPILED
from .._core.parts import shown, size_of
from .._core.table import let_go
from ..base_buffer import BaseBuffer
from ..composite_buffer import CompositeBuffer
from ..errors import BrokenSink, Busy, ClosedError, CopyForbidden, TruncatedFile
from ..slice_buffer import SliceBuffer
from .channels import Ahead, Channel, Sink, channel_to
from .flushing import offer, send_some, tell_flushed
from .plan import IOV_MAX, Plan, in_one_batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..base_buffer import Part

__all__ = ["Outbox"]

_TURN: Final = 2 << 20
"""Bytes a turn. Pages of a file that are not in memory block whoever sends them, and all connections of his loop:
2 MiB is what nginx sends at a time (sendfile_max_chunk), and what a disk gives in some milliseconds."""


@final
class _Waiter:
    """Who is called once the queue has been drained to a position."""

    __slots__ = ("call", "due")

    def __init__(self, due: int, call: Callable[[], object]) -> None:
        self.due = due
        self.call = call


_CUT: Final = "an exception ended what was sent"


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
    be larger than ``high``. Up to that mark what waits keeps at most twice ``high``, a page of 4 KiB, and what the
    first part and the last hold, however small the parts are. Belongs to one thread, and to one sink.

    ``on_pause`` is called by ``put`` and ``on_resume`` by ``flush``, each as its last act; both may put parts in.
    Raises ValueError if ``low`` is above ``high``, or one is negative.

    After whatever exception, MemoryError and interrupts too, what is ``pending`` is what has not gone, and goes with
    the next call. Where it is not known how much went, the outbox is broken, and says so at each use.
    """

    __slots__ = (
        "_ahead", "_broken", "_callbacks", "_high", "_is_busy", "_is_closed", "_is_cut", "_late", "_low", "_on_pause",
        "_on_resume", "_queue", "_went", "_width", "paused",
    )  # fmt: skip

    def __init__(
        self,
        high: SupportsIndex = 65536,
        low: SupportsIndex = 32768,
        *,
        on_pause: Callable[[], object] | None = None,
        on_resume: Callable[[], object] | None = None,
    ) -> None:
        if not COMPILED and hasattr(self, "_queue"):
            return  # called a second time, which the compiled build ignores
        for mark in (high, low):
            if not isinstance(mark, int) and not hasattr(mark, "__index__"):
                raise TypeError(
                    f"a watermark in bytes is wanted, not {shown(mark)}: write Outbox(), then put(part) and flush(sink)"
                )
        self._high = size_of(high)
        self._low = size_of(low)
        if self._low > self._high:
            raise ValueError(f"the low watermark is above the high one: {self._low} > {self._high}")
        self._on_pause: Callable[[], object] = _nothing if on_pause is None else on_pause
        self._on_resume: Callable[[], object] = _nothing if on_resume is None else on_resume
        self.paused: bool = False
        """Whether more than ``high`` bytes were pending, and no fewer than ``low`` have been since."""
        self._queue = self._new_queue()
        self._late: CompositeBuffer | None = None  # put in while the queue was being sent
        self._ahead: Ahead | None = None  # what was read of a file, and not taken
        self._went = 0  # bytes of the queue that it still holds
        self._callbacks: deque[_Waiter] | None = None  # as few have any, and it is larger than all else here
        self._width = IOV_MAX  # entries that the sink can be offered
        self._is_busy = False
        self._is_closed = False
        self._is_cut = False  # the fields are about to disagree: an exception in between leaves it set, and breaks us
        self._broken = ""  # why nothing may be sent any more

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: two outboxes would share what waits."""
        raise TypeError("an Outbox is not copied or pickled: make another one")

    def _new_queue(self) -> CompositeBuffer:
        queue = CompositeBuffer()
        queue._keep_within(self._high)
        return queue

    @property
    def pending(self) -> int:
        """Bytes that were put in and have not been sent."""
        late = self._late
        if self._is_closed and not self._is_busy:
            return 0
        return self._queue._size() if late is None else self._queue._size() + late._size()

    def __repr__(self) -> str:
        """Say how many bytes wait."""
        state = "closed, " if self._is_closed else "broken, " if self._reason() else "paused, " if self.paused else ""
        return f"<Outbox: {state}{self.pending} bytes pending>"

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _is_as_new(self) -> bool:
        """Whether nothing is left of what was put in and sent, nor is known of the sink."""
        return (
            not self._queue._size()
            and self._late is None
            and self._ahead is None
            and not self._callbacks
            and not (self.paused or self._is_busy or self._is_closed or self._is_cut or self._broken)
            and self._width == IOV_MAX
        )

    def _end(self) -> int:
        """Return the position in the queue where all that was put in ends, or will."""
        return self._queue._stop if self._late is None else self._queue._stop + self._late._size()

    def put(self, part: Part, *, on_sent: Callable[[], object] | None = None) -> None:
        """Add a part: bytes-like, a buffer as it is now, or a FileRegion. Never sends anything.

        ``on_sent`` is called by the ``flush`` that hands the last of its bytes to the sink; for an empty part by the
        first one that has sent all that was put in before. It is not called if that never comes: the outbox lets go
        of it, as of the part, when it is closed.

        Raises TypeError for what is no part, ClosedError once closed, BrokenSink once the sink is broken, Busy in the
        middle of another ``put`` (for a signal handler, another thread), CopyForbidden inside ``no_copy()`` if tiny
        parts had to be joined; then nothing was added. Complexity: amortised O(parts of the part). Copies: nothing, but
        what would keep more memory than twice ``high`` and a page ("coalesce"; a snapshot, if that is mutable): parts
        that are tiny and many, or of which each shows little of something large.
        """
        self._assert_usable()
        if type(part) is not bytes and not isinstance(part, BaseBuffer):
            part = SliceBuffer(part)  # here its own code runs, if it has any
            self._assert_usable()
        if self._is_busy and self._late is None:
            self._late = self._new_queue()
        queue = self._queue if self._late is None else self._late
        queue._make_room()
        stop = queue._stop
        waiter = None if on_sent is None else _Waiter(self._end(), on_sent)
        try:
            if waiter is not None:
                if self._callbacks is None:
                    self._callbacks = deque()
                self._callbacks.append(waiter)
            queue._append_within(part)
            pending = self.pending
            if waiter is not None:
                waiter.due = self._end()
        except BaseException:
            if waiter is not None:
                waiter.due += queue._stop - stop
                if queue._stop == stop and self._callbacks is not None and waiter in self._callbacks:
                    self._callbacks.remove(waiter)
            raise
        if pending > self._high and not self.paused and not self._is_closed:
            self.paused = True
            self._on_pause()
        if self._is_closed:  # by somebody who came in between
            self.close()

    def flush(self, sink: Sink) -> int:
        """Send what ``sink`` takes without blocking, one turn of about 2 MiB, and return how many bytes that were.

        The sinks are those of ``bytebufs.flush()``, and all that is said there holds. Make them non-blocking: one
        that blocks does so here. While ``pending`` is not 0, wait until the sink can be written to and call again, be
        it that it is full or that the turn is over. Goes on at any byte.

        Errors of the system and of the sink come as they are, with ``bytes_flushed`` set: what went is no longer
        pending, and calling again goes on behind it. But it raises BrokenSink for ever after if it is not known how
        much went (an error of a TLS socket or of an object with ``write``; a signal handler that raised while it sent),
        and after TruncatedFile, since bytes that announce the file may be out. ssl.SSLWantReadError says to wait until
        the sink can be *read*. Where bytes of a file were read and not taken, TruncatedFile may come a call later.

        An error of a callback comes as it is, too, and leaves the other callbacks to the next call. But if sending
        failed, all are called whose bytes went, and that error is raised; what theirs were is noted on it. Once broken,
        it is not ``paused`` and calls no ``on_resume``, for nothing may be put in.

        Raises TypeError for what is no sink, Busy if called while it runs: by a callback, the sink or another thread;
        ClosedError once closed. Then nothing was sent.
        """
        self._assert_usable()
        if self._is_busy:
            raise Busy("the outbox")
        try:
            try:
                self._is_busy = True
                sent = self._flush(sink)
                self._is_busy = False
            except BaseException:
                self._is_busy = False
                raise
        except BaseException:
            self._is_busy = False  # again: an interrupt may have come between an error and that
            raise
        return sent

    def _flush(self, sink: Sink) -> int:
        try:
            self._assert_usable()  # again: now nobody comes in between
        except ClosedError:
            self._tidy()  # who closed it meanwhile has left that to us
            raise
        self._queue._refuse_if_locked()  # or what went could not be dropped
        try:
            if self._late is not None:
                self._take_late(self._late)
            sent = self._send(sink) if self._queue._size() else 0
        except BaseException as error:
            self._tell_after(error)
            raise
        else:
            self._tell()
            return sent
        finally:
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
        if self._is_cut or self._broken:
            reason = self._reason()
            if reason:
                raise BrokenSink(reason)

    def _reason(self) -> str:
        """Return why nothing may be sent any more, or "" if it may."""
        return self._broken or (_CUT if self._is_cut and not self._is_busy else "")

    def _send(self, sink: Sink) -> int:
        channel = channel_to(sink)
        channel.ahead = self._ahead
        self._went = 0
        self._is_cut = True
        try:
            plan = self._send_turn(channel)
        except BaseException as error:
            tell_flushed(error, self._went)
            if isinstance(error, TruncatedFile) or not channel.is_exact_after(error):
                self._break(error)
            self._let_go(None, channel)
            raise
        self._let_go(plan, channel)
        return self._went

    def _let_go(self, plan: Plan | None, channel: Channel) -> None:
        """Drop what went from the queue. A plan that came to its end knows the place: then it need not be found."""
        ahead = self._ahead
        try:
            self._ahead = channel.ahead
            if plan is None:
                self._queue.skip(self._went)
            else:
                i, within = plan.place
                self._queue._drain_to(i, within, self._went)
        except BaseException as error:  # whatever it is: it came from outside
            tell_flushed(error, self._went)
            self._break(error)
            raise
        self._is_cut = bool(self._broken)
        let_go(ahead)

    def _break(self, error: BaseException) -> None:
        self._broken = f"{type(error).__name__} ended what was sent: {error}"

    def _send_turn(self, channel: Channel) -> Plan | None:
        """Send from the front of the queue. How many bytes went is in ``_went``, whatever happens.

        Returns the plan by which they went, None if it took none.
        """
        size = self._queue._size()
        start = self._queue._start
        edits = self._queue._edit_count()
        batch = in_one_batch(self._queue, 0, size) if self._width == IOV_MAX and size <= _TURN else []
        taken = offer(batch, channel) if batch else 0
        if taken < 0:
            return None
        self._went = taken
        if taken == size:
            return None
        plan = Plan(self._queue, iov_max=channel.iov_max, call_max=_TURN)
        plan.width = min(self._width, channel.iov_max)
        try:
            if taken:
                plan.resume(batch, taken, start, edits)
            send_some(plan, channel, _TURN)
        finally:
            self._went = max(plan.position, taken)
            self._width = plan.width
        return plan

    def _tell(self) -> None:
        """Call whoever waits for what has been sent."""
        callbacks = self._callbacks
        while callbacks and callbacks[0].due <= self._queue._start:
            callbacks.popleft().call()
        if self.paused and not self._is_closed and (self._is_cut or self.pending <= self._low):
            self.paused = False
            if not self._is_cut:
                self._on_resume()

    def _tell_after(self, error: BaseException) -> None:
        """Call everybody who waits, though sending failed: there may be no other call. What they raise is noted."""
        while True:
            try:
                self._tell()
            except Exception as other:  # noqa: BLE001  # whatever it is, another error is under way
                try:
                    error.add_note(f"a callback of the outbox raised {other!r}")
                except Exception:  # noqa: BLE001  # it takes no notes, or there is no memory for one
                    pass
            else:
                return

    def _tidy(self) -> None:
        """Do what could not be done while the queue was being sent."""
        if self._is_closed:
            gone = (self._late, self._ahead)
            self._late = None
            self._ahead = None
            if self._callbacks is not None:
                self._callbacks.clear()
            self.paused = False
            self._queue.clear()
            let_go(gone)
        elif self._late is not None and not self._is_cut:
            try:
                self._take_late(self._late)
            except MemoryError:
                pass  # then it waits for the next flush

    def _take_late(self, late: CompositeBuffer) -> None:
        """Add what was put in meanwhile to the queue: where copies are forbidden as it is, since it was accepted."""
        queue = self._queue
        stop = queue._stop
        self._is_cut = True
        try:
            try:
                queue._make_room()
                queue._append_within(late)
            except CopyForbidden:
                queue.append(late)
            self._late = None
        except BaseException:
            if queue._stop != stop:
                self._late = None
            self._is_cut = False
            raise
        self._is_cut = False
