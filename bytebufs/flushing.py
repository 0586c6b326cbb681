"""Handing a message to a sink: a descriptor, a file, a socket, or anything with ``send`` or ``write``.

Two halves. :class:`Plan` is pure: it knows which bytes come next and nothing of descriptors. The rest
makes the calls, by these rules:

1. Peek, call, advance by what the sink took. ``gather`` changes nothing, so a call that was refused
   is made again with the same bytes.
2. A kind of sink has a ladder of calls, the gathering one first. A rung that the platform lacks, or that
   refuses before any byte went out, gives way to the next; after a byte it never does.
3. "Not now" is waited for on the sink's descriptor, any other error is raised as it came, with the number
   of bytes that went before it.
"""

from __future__ import annotations

import errno
import io
import os
import selectors
import socket
import sys
import time
from bisect import bisect_right
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

from ._parts import byte_view
from .base_buffer import BaseBuffer, BytesLike
from .errors import BrokenSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["CALL_MAX", "IOV_MAX", "Piece", "Plan", "Sender", "Sink", "Writer", "flush"]

IOV_MAX: Final = 1024
"""Entries a call: UIO_MAXIOV of Linux, IOV_MAX of macOS and the BSDs. One more is EINVAL or EMSGSIZE."""

CALL_MAX: Final = 1 << 30
"""Bytes a call. Linux silently takes no more than 0x7ffff000, macOS and the BSDs refuse more than INT_MAX."""

# The answers of a call that is not there, or takes fewer entries (16 on some systems): a simpler one will do.
_REFUSED: Final = frozenset([errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EMSGSIZE])

# poll where there is one: select takes no descriptor above 1 023. (subprocess chooses alike.)
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)

_T = TypeVar("_T")


class Writer(Protocol):
    """What ``flush`` wants of a file: a ``write`` that says how many bytes it took, or None for all."""

    def write(self, data: memoryview, /) -> int | None:
        """Take bytes from the front of ``data`` and return how many, or None for all."""


class Sender(Protocol):
    """What ``flush`` wants of a connection: a ``send`` that says how many bytes it took, or None for all."""

    def send(self, data: memoryview, /) -> int | None:
        """Take bytes from the front of ``data`` and return how many, or None for all."""


Sink: TypeAlias = "int | Writer | Sender"

# Whole bytes objects go to the kernel as they are: making a view of one costs several times its iovec entry.
Piece: TypeAlias = "bytes | memoryview"

# One rung of a ladder: offered a batch, it says how many bytes of its front were taken.
_Call: TypeAlias = "Callable[[list[Piece]], int]"


class Plan:
    """Which bytes of a message go next: at most ``iov_max`` pieces and ``call_max`` bytes a call.

    Pieces are taken from the iterable as they are needed, empty ones left out, and let go of once they went:

        pieces   |abc|defgh|ij|...        position 4: "abcd" went
        window       |defgh|ij|           at most iov_max pieces
        bounds       3     8  10          where they begin, and where the last one ends
        gather()      |efgh|ij|           clipped at both ends, no gaps

    A sink that takes a few bytes a call must not cost a whole batch each time. So a call offers at most
    twice the pieces that the last one finished, and ``SLACK``: those offered in all are at most twice the
    pieces there are, plus ``iov_max``, plus ``SLACK`` a call.
    """

    SLACK: Final = 8

    def __init__(self, pieces: Iterable[Piece], *, iov_max: int = IOV_MAX, call_max: int = CALL_MAX) -> None:
        self.position = 0  # bytes that went
        self._iov_max = iov_max
        self._call_max = call_max
        self._width = iov_max
        self._coming: Iterator[Piece] = filter(None, pieces)
        self._window: list[Piece] = []
        self._bounds = [0]

    def gather(self) -> list[Piece]:
        """Return the pieces to offer next, none at the end; the same ones until ``advance`` is called."""
        self._fill()
        width = min(self._width, len(self._window))
        stop = bisect_right(self._bounds, self.position + self._call_max, 1, width + 1) - 1
        batch = self._window[: stop or 1]  # a first piece that is too long for a call is cut below
        if batch:
            start = self.position - self._bounds[0]
            batch[0] = memoryview(batch[0])[start : start + self._call_max]
        return batch

    def advance(self, taken: int) -> None:
        """Move past the first ``taken`` bytes of what ``gather`` returned: any number of them."""
        self.position += taken
        gone = bisect_right(self._bounds, self.position) - 1
        del self._window[:gone], self._bounds[:gone]
        self._width = min(self._iov_max, 2 * gone + self.SLACK)

    def _fill(self) -> None:
        fresh = list(islice(self._coming, max(0, self._width - len(self._window))))
        if fresh:
            self._window += fresh
            self._bounds += accumulate(map(len, fresh), initial=self._bounds.pop())


def flush(buffer: BytesLike, sink: Sink) -> int:
    """Send all of ``buffer`` to ``sink``, blocking, and return its length in bytes. Consumes nothing.

    ``sink`` is one of

    - a descriptor, a ``FileIO``, or a buffered file over one: by ``writev``, after the file's own ``flush()``
      so that order is kept; the file knows its position afterwards;
    - a stream socket: by ``sendmsg``. Its timeout is the total, as in ``sendall``;
    - anything else with ``send`` or ``write``, such as TLS sockets and gzip files: a call for each part, over
      TLS a record for each. What such a sink buffers stays with it until its own ``flush``.

    A sink in non-blocking mode is waited for. A call takes at most 1 024 parts and 1 GiB; the message may
    have any number of parts, of any size. An empty buffer makes no call at all.

    Raises TypeError for a text file, for a socket that is not a stream, and for what is no sink. Errors of
    the system and of the sink (TimeoutError, BrokenPipeError, ...) pass as they come, with ``bytes_flushed``
    set: so many bytes from the front went. Send ``buffer[error.bytes_flushed:]`` to go on. Where an exception
    cuts a call short (KeyboardInterrupt, or any error over TLS) it is the least that went: the position of
    the sink is then unknown. BrokenSink if a sink says that it took nothing, or more than it was given.

    A broken connection ends the process if SIGPIPE is at its default action, which Python changes at its
    start; not so on the sockets that go by ``sendmsg``.

    Complexity: linear in parts and calls, however little a call takes. Copies: nothing.
    Sources: writev(2), sendmsg(2), PEP 475.
    """
    send_by = _kind_of(sink)
    pieces = buffer._pieces() if isinstance(buffer, BaseBuffer) else [byte_view(buffer)]
    plan = Plan(pieces)
    try:
        if any(pieces):
            send_by(plan)
    except BaseException as error:
        error.bytes_flushed = plan.position  # type: ignore[attr-defined]  # the documented way to resume
        raise
    return plan.position


def _kind_of(sink: Sink) -> Callable[[Plan], None]:
    """Choose how ``sink`` takes bytes, without calling it. A subclass that changes the calls gets its own."""
    if isinstance(sink, int):
        return lambda plan: _to_descriptor(sink, plan)
    if type(sink) is io.FileIO:
        return lambda plan: _to_descriptor(sink.fileno(), plan)
    if isinstance(sink, io.BufferedWriter | io.BufferedRandom) and _is_plain_file(sink):
        return lambda plan: _to_buffered_file(sink, plan)
    if isinstance(sink, io.TextIOBase):
        raise TypeError(f"flush sends bytes, and {sink!r} takes text: open it in binary mode, or give its .buffer")
    if isinstance(sink, socket.socket):
        if sink.type != socket.SOCK_STREAM:
            raise TypeError(
                f"flush wants a stream socket, not {sink!r}: send it a message with sock.sendmsg(buffer.views())"
            )
        if _is_plain_socket(sink):
            return lambda plan: _to_socket(sink, plan)
    call = getattr(sink, "send", None) or getattr(sink, "write", None)
    if call is None:
        raise TypeError(
            "flush wants a descriptor, a binary file, a stream socket or an object with send or write, "
            f"not {type(sink).__name__}"
        )
    return lambda plan: _to_object(sink, call, plan)


def _is_plain_file(file: io.BufferedWriter | io.BufferedRandom) -> bool:
    return type(file) in {io.BufferedWriter, io.BufferedRandom} and type(file.raw) is io.FileIO


def _is_plain_socket(sock: socket.socket) -> bool:
    """Whether the system's own calls are behind it: TLS sockets and others override them."""
    return all(getattr(type(sock), name, None) is getattr(socket.socket, name, None) for name in ("send", "sendmsg"))


def _to_descriptor(fd: int, plan: Plan) -> None:
    ladder: list[_Call] = [lambda batch: os.write(fd, batch[0])]
    if hasattr(os, "writev"):
        ladder.insert(0, lambda batch: os.writev(fd, batch))
    _send_all(plan, fd, ladder)


def _to_buffered_file(file: io.BufferedWriter | io.BufferedRandom, plan: Plan) -> None:
    # Emptied, such a file asks the descriptor where it stands before it goes on: what comes now does no harm.
    _patiently(file, file.flush)
    _to_descriptor(file.fileno(), plan)


def _to_socket(sock: socket.socket, plan: Plan) -> None:
    flags = getattr(socket, "MSG_NOSIGNAL", 0)
    ladder: list[_Call] = [lambda batch: sock.send(batch[0], flags)]
    if hasattr(sock, "sendmsg"):
        ladder.insert(0, lambda batch: sock.sendmsg(batch, (), flags))
    _send_all(plan, sock, ladder, timeout=sock.gettimeout())


def _to_object(sink: object, call: Callable[[memoryview], object], plan: Plan) -> None:
    timeout = sink.gettimeout() if isinstance(sink, socket.socket) else None
    _send_all(plan, sink, [lambda batch: _offer(sink, call, memoryview(batch[0]))], timeout=timeout)


def _offer(sink: object, call: Callable[[memoryview], object], view: memoryview) -> int:
    """Give ``view`` to a sink that may be written by anyone; return how many bytes it took, at least 1."""
    try:
        taken: object = call(view)
    except BlockingIOError as error:
        # A buffered file took what found room in its buffer. Others set nothing, and took nothing.
        taken = getattr(error, "characters_written", 0)
        if taken == 0:
            raise
    if taken is None:
        if isinstance(sink, io.RawIOBase):  # its None is EAGAIN; from others it is a write without an answer
            raise BlockingIOError(errno.EAGAIN, "the sink is not ready")
        return len(view)
    if type(taken) is not int or not 0 < taken <= len(view):
        raise BrokenSink(f"a {type(sink).__name__} says that it took {taken!r} of {len(view)} bytes")
    return taken


def _send_all(plan: Plan, sink: object, ladder: list[_Call], *, timeout: float | None = None) -> None:
    deadline = time.monotonic() + timeout if timeout else None  # 0 is non-blocking, None blocks for ever
    while batch := plan.gather():
        if deadline is not None and plan.position:
            _wait(sink, selectors.EVENT_WRITE, deadline)  # the call by itself waits a whole timeout anew
        try:
            taken = _patiently(sink, ladder[0], batch)
        except OSError as error:
            if plan.position or len(ladder) == 1 or error.errno not in _REFUSED:
                raise
            del ladder[0]
        else:
            plan.advance(taken)


def _patiently(sink: object, call: Callable[..., _T], *args: object) -> _T:
    """Return ``call(*args)``. While that says "not now", wait until ``sink`` is ready and call again."""
    while True:
        try:
            return call(*args)
        except OSError as error:
            event = _event_wanted(error)
            if not event or not _wait(sink, event):
                raise


def _event_wanted(error: OSError) -> int:
    """Return what the sink waits for, 0 if ``error`` is not "not now"."""
    if isinstance(error, BlockingIOError):
        return selectors.EVENT_WRITE
    if "ssl" in sys.modules:  # its errors exist only where somebody loaded it, and loading it is slow
        import ssl

        if isinstance(error, ssl.SSLWantWriteError):
            return selectors.EVENT_WRITE
        if isinstance(error, ssl.SSLWantReadError):
            return selectors.EVENT_READ
    return 0


def _wait(sink: object, event: int, deadline: float | None = None) -> bool:
    """Wait until ``sink`` is ready or has failed, which the next call will tell.

    TimeoutError once ``deadline`` has passed, even if it is ready. False at once where waiting makes no
    sense: there is no descriptor, or it blocks by itself, so that its "not now" is SO_SNDTIMEO's.
    """
    fd = _descriptor(sink)
    if fd is None or (os.name == "posix" and os.get_blocking(fd)):
        return False
    remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
    with _Selector() as selector:
        selector.register(fd, event)
        if remaining == 0 or not selector.select(remaining):
            raise TimeoutError("timed out")
    return True


def _descriptor(sink: object) -> int | None:
    if isinstance(sink, int):
        return sink
    try:
        fd: int = sink.fileno()  # type: ignore[attr-defined]  # that it may lack one is what is asked
    except (AttributeError, io.UnsupportedOperation):
        return None
    return fd
