"""Handing a message to a sink: a descriptor, a file, a socket, or anything with ``send`` or ``write``.

``Plan`` knows which bytes come next, a ``Channel`` how its sink takes them. These are the loops between them:

1. "Not now" is waited for on the sink's descriptor, any other error is raised as it came, with the number
   of bytes that went before it.
2. A file is asked whether it is whole before memory is sent that may announce it.
"""

from __future__ import annotations

import io
import os
import selectors
import time
from typing import TYPE_CHECKING, Final, SupportsIndex

from .._core.handlers import run_handlers
from .._core.parts import size_of
from ..base_buffer import BaseBuffer, Part
from ..slice_buffer import SliceBuffer
from .channels import Channel, Sink, SystemChannel, channel_to, event_wanted, lazy_owner
from .plan import CALL_MAX, CHANGED, Plan, assert_whole, in_one_batch

if TYPE_CHECKING:
    from .plan import Piece

__all__ = ["flush"]

# poll where there is one: select takes no descriptor above 1 023. (subprocess chooses alike.)
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


def flush(buffer: Part, sink: Sink, *, coalesce_below: SupportsIndex = 0) -> int:
    """Send all of ``buffer`` to ``sink``, blocking, and return its length in bytes. Consumes nothing.

    ``sink`` is one of

    - a descriptor, a ``FileIO``, or a buffered file over one: by ``writev``, after the file's own ``flush()``
      so that order is kept; the file knows its position afterwards;
    - a stream socket: by ``sendmsg``. Its timeout is the total, as in ``sendall``;
    - anything else with ``send`` or ``write``, such as TLS sockets and gzip files: a call for each part, over
      TLS a record for each. What such a sink buffers stays with it until its own ``flush``.

    A FileRegion goes by ``sendfile``, so that its bytes never enter the process; into TLS and other objects, and where
    the system refuses (files opened for appending), it is read 64 KiB at a time (counted as "fallback"), and if it is
    ``stable`` everywhere (counted as "stable"). Over TCP what stands before and behind a file shares its segments. A
    descriptor is written to without such care: where it is a socket's, give the socket.

    ``coalesce_below`` joins neighbours that are smaller on the average before they go (counted as "coalesce"): where
    parts have a few hundred bytes, one copy costs less than an entry for each. That is all of a message of up to 1 MiB
    and 16 384 parts if they are that small, else what fits into blocks of 64 KiB, for a call two of them.

    A sink in non-blocking mode is waited for. A call takes at most 1 024 parts and 1 GiB; the message may
    have any number of parts, of any size. An empty buffer makes no call at all.

    Raises TypeError for a text file, for a socket that is not a stream, and for what is no sink. Errors of
    the system and of the sink (TimeoutError, BrokenPipeError, ...) pass as they come, with ``bytes_flushed``
    set, unless they take no attributes: so many bytes from the front went. Send ``buffer[error.bytes_flushed:]``
    to go on. Where an exception cuts a call short (KeyboardInterrupt, or any error over TLS) it is the least that
    went: the position of the sink is then unknown. BrokenSink if a sink says that it took nothing, or more than it
    was given. TruncatedFile if a file has shrunk: before the memory in front of it is sent, as far as that goes in
    the same call (1 024 parts, of them 512 that are not whole ``bytes``), else where it ends. A mapped file is asked
    before each call that sends of it. RuntimeError if the buffer is changed meanwhile.

    A broken connection ends the process if SIGPIPE is at its default action, which Python changes at its
    start; what goes by ``sendmsg`` never does.

    Complexity: linear in parts and calls, however little a call takes. Copies: nothing but what is said above.
    Sources: writev(2), sendmsg(2), sendfile(2), tcp(7), PEP 475.
    """
    channel = channel_to(sink)
    source = buffer if isinstance(buffer, BaseBuffer) else SliceBuffer(buffer)
    below = size_of(coalesce_below)
    size = source._stop - source._start
    if not size:
        return 0
    taken = 0
    plan: Plan | None = None
    start = source._start
    edits = source._edit_count()
    try:
        batch = in_one_batch(source, below, size)
        if batch:
            taken = max(offer(batch, channel), 0)
            if taken == size:
                return size
        plan = Plan(source, iov_max=channel.iov_max, coalesce_below=below)
        if plan.left != size:
            raise RuntimeError(CHANGED)
        if batch:
            plan.resume(batch, taken, start, edits)
        send_all(plan, channel)
    except BaseException as error:
        tell_flushed(error, taken if plan is None else max(plan.position, taken))
        raise
    return size


def tell_flushed(error: BaseException, nbytes: int) -> None:
    """Set ``bytes_flushed`` on an exception. One that takes no attributes stays as it is: it is what is to be seen.

    Where the attribute is there, no memory is needed: the interpreter has one MemoryError for when nothing is left,
    and that keeps what was set on it the last time.
    """
    try:
        error.bytes_flushed = nbytes  # type: ignore[attr-defined]  # the documented way to resume
    except Exception:  # noqa: BLE001  # whatever it is, the first one is under way
        pass


def offer(batch: list[Piece], channel: Channel) -> int:
    """Make the one call that most messages take, where it needs no more than that.

    Return how many bytes were taken, -1 for "not now".
    """
    if not isinstance(channel, SystemChannel):
        return 0
    try:
        if channel.open():
            return 0  # all that follows needs to know how long that takes
        return channel.write(batch, more=False)
    except BlockingIOError:
        return -1


# -- the loops -----------------------------------------------------------------------------------------------


def send_all(plan: Plan, channel: Channel) -> None:
    """Send all of a plan, and wait where that takes time. How far it came is the plan's position, whatever happens."""
    timeout = _open(channel)
    deadline = time.monotonic() + timeout if timeout else None  # 0 is non-blocking, None blocks for ever
    try:
        _take_all_steps(plan, channel, deadline)
    finally:
        channel.let_go()


# The loops stand on their own: on 3.13 an exception at the end of a round passes by the handlers of its function.


def _take_all_steps(plan: Plan, channel: Channel, deadline: float | None) -> None:
    while True:
        try:
            _step(plan, channel, CALL_MAX)
        except OSError as error:
            event = event_wanted(error)
            if not event or not _wait(channel.sink, event, deadline):
                raise
        if not plan.left:
            return
        if deadline is not None and plan.position:
            _wait(channel.sink, selectors.EVENT_WRITE, deadline)  # the call itself waits a whole timeout anew


def _take_steps(plan: Plan, channel: Channel, most: int) -> None:
    while plan.left and plan.position < most:
        _step(plan, channel, most - plan.position)


def _open(channel: Channel) -> float | None:
    while True:
        try:
            return channel.open()
        except BlockingIOError:
            if not _wait(channel.sink, selectors.EVENT_WRITE, None):
                raise


def send_some(plan: Plan, channel: Channel, most: int) -> None:
    """Send what a sink takes without blocking, and not much more than ``most`` bytes: of files no more than that.

    Returns at the first "not now". What raises ssl.SSLWantReadError waits for the other side. As for all errors,
    ``plan.position`` says how far it came.
    """
    try:
        channel.open()
        _take_steps(plan, channel, most)
    except OSError as error:
        if event_wanted(error) != selectors.EVENT_WRITE:
            raise
    finally:
        channel.let_go()


def _step(plan: Plan, channel: Channel, most: int) -> None:
    """Make one call, and move the plan by what it took. Handlers of signals have their turn before it."""
    run_handlers()
    batch = plan.gather()
    file = plan.file
    if batch:
        if plan.mapped:
            assert_whole(plan.mapped)
        if file is not None:
            lazy_owner(file)._assert_whole(file.stop)
        plan.advance(channel.write(batch, more=file is not None))
    else:
        assert file is not None
        plan.advance(channel.send_file(file, most, more=plan.left > len(file)))


def _wait(sink: object, event: int, deadline: float | None) -> bool:
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
