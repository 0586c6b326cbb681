"""Links: how the bytes of one stream move, beside what a Stream knows.

SocketLink      a plain socket, read and written as the loop says that it is ready
TransportLink   one of asyncio's transports: TLS, and loops that watch no descriptors

A link is told to read, to send from an outbox, to end and to close, and tells its stream what happened: ``_came``,
``_failed_receiving``, ``_flush``, ``_lost``. It decides nothing. A stream has a link as long as it has a descriptor: a
SocketLink from the start, which a TransportLink replaces once that is connected, and a PartedLink once it is closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast, final

from .._core.audit import count_copy
from ..errors import LimitExceeded

if TYPE_CHECKING:
    from ..receiving import Inbox
    from ..sending import Outbox
    from .stream import Stream

__all__ = ["TCP", "UNLINKED", "Link", "PartedLink", "SocketLink", "TransportLink", "wake"]

TCP: Final = (socket.AF_INET, socket.AF_INET6)

_READS: Final = 4
"""Reads in one turn, while each fills all that it was given: then others are to have their turn."""
_LINGER: Final = 2.0
"""Seconds in which a peer may read what was sent to it. Closed with bytes unread, or if others come, the system resets
a connection, and what is on its way is lost (RFC 9112, section 9.6)."""
_QUIET: Final = 0.2
"""Seconds without a byte after which a TLS peer is taken to be waiting for the end."""
_DISCARD: Final = 65536
_SYSTEM: Final = 64 << 20
"""More bytes than a system keeps for a socket (tcp(7), tcp_rmem: 6 MiB)."""

_RECORD: Final = 16384
"""Bytes of a TLS record (RFC 8446, section 5.1): smaller pieces are joined up to that, as each costs one of its own."""
_TURN: Final = 256 << 10
"""Bytes that a transport is given in one turn."""


class Link:
    """What a Stream asks of whatever moves its bytes."""

    is_reading: bool
    """Whether it receives."""

    def resume(self) -> None:
        """Begin to receive, if that is not so already."""
        raise NotImplementedError

    def pause(self) -> None:
        """Receive nothing for now."""
        raise NotImplementedError

    def is_readable(self) -> bool:
        """Whether there is something to receive, and be it the end. Raises an error if that is what there is."""
        raise NotImplementedError

    def send(self, outbox: Outbox) -> None:
        """Send what goes now; for the rest, call the stream's ``_flush`` when more does."""
        raise NotImplementedError

    def is_drained(self) -> bool:
        """Whether all that was sent has been handed on."""
        return True

    def is_full(self) -> bool:
        """Whether nothing more goes before the stream's ``_flush`` is called."""
        return False

    def send_eof(self) -> None:
        """Say that nothing more is sent."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close, once the peer has what was sent."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once. Again: nothing."""

    def get_extra_info(self, name: str, default: Any) -> Any:
        """Return what asyncio's transports call by that name."""
        return default


UNLINKED: Final = Link()
"""Of a stream that is being made."""


_NAMES: Final = ("peername", "sockname")


@final
class PartedLink(Link):
    """Of a stream that is closed: what a log may want to know of it."""

    def __init__(self, link: Link) -> None:
        self._names = {name: link.get_extra_info(name, None) for name in _NAMES}

    def pause(self) -> None:
        """Nothing comes any more."""

    def get_extra_info(self, name: str, default: Any) -> Any:
        known = self._names.get(name)
        return default if known is None else known


@final
class SocketLink(Link):
    """A connected stream socket that does not block."""

    __slots__ = (
        "_fd", "_gone", "_has_sent", "_inbox", "_is_told_again", "_is_writing", "_loop", "_peer", "_sock", "_stream",
        "is_reading",
    )  # fmt: skip

    def __init__(self, stream: Stream, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._inbox: Inbox = stream._inbox
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self.is_reading: bool = False
        self._is_writing = False
        self._has_sent = False  # something, when that was tried last
        # libuv, which uvloop stands on, stops looking at a socket once it has an error (uv__poll_io).
        self._is_told_again = isinstance(loop, asyncio.BaseEventLoop)
        self._gone: asyncio.Future[None] | None = None  # the peer, for whom closing waits
        self._peer: Any = None
        with suppress(OSError):  # now: after a reset nobody can tell
            self._peer = sock.getpeername()

    def resume(self) -> None:
        if not self.is_reading and self._fd >= 0:
            callback = self._on_readable if self._is_told_again else self._on_polled
            self._stream._context.run(self._loop.add_reader, self._fd, callback)
            self.is_reading = True

    def pause(self) -> None:
        if self.is_reading:
            self.is_reading = False
            self._loop.remove_reader(self._fd)

    def _on_readable(self) -> None:
        inbox = self._inbox
        sock = self._sock
        try:
            reads = _READS
            while inbox.receive(sock):
                if not inbox._wants_more() or not (reads := reads - 1):
                    break
            else:
                self.pause()
        except (BlockingIOError, InterruptedError):
            pass
        except LimitExceeded:  # a call that allowed more was cancelled, or something was put back
            self.pause()
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, who reads is told
            self.pause()
            self._stream._failed_receiving(error)
            return
        self._stream._came_in_callback()

    def _on_polled(self) -> None:
        """As ``_on_readable()``, where the loop tells of an error only once, be it before what has come is read."""
        self._has_sent = False
        self._on_readable()
        if self._has_sent or not self.is_reading or self._gone is not None:
            return  # what went, went without an error; and who begins to read again is told again
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.pause()
            _receive_rest(self._inbox, self._sock)
            self._stream._failed_receiving(OSError(number, os.strerror(number)))
        elif self._stream._sending_error is not None:  # it may be that one, which the system tells once, too
            self.pause()
            self.resume()

    def is_readable(self) -> bool:
        return _has_come(self._sock)

    def send(self, outbox: Outbox) -> None:
        try:
            self._has_sent = outbox.flush(self._sock) > 0
        except BaseException:
            self._watch_for_room(wants=False)
            raise
        wants = outbox.pending > 0
        if wants != self._is_writing:
            self._watch_for_room(wants=wants)

    def _watch_for_room(self, *, wants: bool) -> None:
        if wants:
            self._loop.add_writer(self._fd, self._stream._flush)
        elif self._is_writing:
            self._loop.remove_writer(self._fd)
        self._is_writing = wants

    def is_full(self) -> bool:
        return self._is_writing

    def send_eof(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        self.pause()
        try:
            is_heard = not _is_on_its_way(self._sock)
            self._sock.shutdown(socket.SHUT_WR)
            if self._inbox.ended or (is_heard and not self.is_readable()):
                return
        except OSError:
            return  # it has gone itself
        gone = self._gone = self._loop.create_future()
        self._stream._context.run(self._loop.add_reader, self._fd, self._on_leftover)
        self.is_reading = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                await gone

    def _on_leftover(self) -> None:
        if not self._discard():
            self.pause()
            wake(self._gone)

    def _discard(self) -> bool:
        """Throw away some of what has come. False at the end."""
        try:
            return len(self._sock.recv(_DISCARD)) > 0
        except BlockingIOError:
            return True
        except OSError:
            return False

    def abort(self) -> None:
        if self._fd < 0:
            return
        if not self._loop.is_closed():
            self.pause()
            self._watch_for_room(wants=False)
        self._fd = -1
        self._sock.close()
        wake(self._gone)

    def get_extra_info(self, name: str, default: Any) -> Any:
        known: Any = None
        if name == "socket":
            known = self._sock
        elif name == "peername":
            known = self._peer
        elif name == "sockname":
            with suppress(OSError):
                known = self._sock.getsockname()
        return default if known is None else known


def _has_come(sock: socket.socket) -> bool:
    """Whether there is something to receive, and be it the end. Takes nothing, but raises an error."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def _is_on_its_way(sock: socket.socket) -> bool:
    """Whether the system of the peer has not acknowledged all (tcp(7), SIOCOUTQ). Other sockets lose nothing."""
    if sock.family not in TCP:
        return False
    try:
        import fcntl  # not on Windows
        import termios
    except ImportError:
        return False
    return any(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))


def _receive_rest(inbox: Inbox, sock: socket.socket) -> None:
    """Receive what the system holds of a connection that has failed, whatever the limit."""
    inbox._limit += _SYSTEM
    with suppress(OSError, LimitExceeded):
        while inbox.receive(sock):
            pass
    inbox._limit -= _SYSTEM
    inbox.ended = False  # so says the system once the error has been told


def wake(waiter: asyncio.Future[None] | None) -> None:
    """Have a task go on, if one waits."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


@final
class TransportLink(Link, asyncio.BufferedProtocol):
    """A transport of asyncio's, whose protocol this is. What it has not sent yet is kept short."""

    def __init__(self, stream: Stream, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._inbox: Inbox = stream._inbox
        self._sock = sock
        # As the link before this one: for some of these names asyncio and uvloop have objects of their own.
        self._names = {name: stream.get_extra_info(name) for name in ("socket", *_NAMES)}
        self._loop = loop
        self._sink: _TransportSink | None = None
        self.is_reading: bool = True
        self._is_discarding = False
        self._discarded = 0
        self._is_tls = False
        self._ended = loop.create_future()  # the peer, or all
        self._lost = loop.create_future()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Replace the link that the stream had until now."""
        self._transport = cast("asyncio.Transport", transport)
        if self._stream._closed:  # whoever wanted it has been cancelled meanwhile
            self._transport.abort()
            return
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        # So that it says when all is gone. TLS calls itself full at that size, and others above it.
        self._transport.set_write_buffer_limits(int(self._is_tls), 0)
        self._sink = _TransportSink(self._transport)
        self._stream._link = self

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to receive to. Does nothing else: asyncio is in the middle of something (cpython #156275)."""
        if self._is_discarding:
            return memoryview(bytearray(65536))
        inbox = self._inbox
        try:
            return inbox.room()
        except LimitExceeded:  # something was put back: what has come already has to go somewhere
            limit = inbox._limit
            inbox._limit = len(inbox.buffer) + _RECORD
            room = inbox.room()
            inbox._limit = limit
            return room

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has come, or throw it away."""
        if self._is_discarding:
            self._discarded += nbytes
        else:
            self._inbox.filled(nbytes)
            self._stream._came()

    def eof_received(self) -> bool:
        """Tell of the peer's end. Whether sending may go on."""
        self._inbox.ended = True
        self._stream._came()
        wake(self._ended)
        return not self._is_tls  # TLS ends both ways at once, in asyncio

    def pause_writing(self) -> None:
        """Hand over nothing for now."""
        if self._sink is not None:
            self._sink.is_paused = True

    def resume_writing(self) -> None:
        """Go on sending: all has gone."""
        if self._sink is not None:
            self._sink.is_paused = False
            self._flush_soon()  # not now: asyncio is in the middle of sending

    def _flush_soon(self) -> None:
        self._loop.call_soon(self._stream._flush, context=self._stream._context)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of the end of everything."""
        if exc is not None and not self._is_tls and not self._inbox.ended:
            _receive_rest(self._inbox, self._sock)  # asyncio gives up both sides if one fails, and closes now
        wake(self._ended)
        wake(self._lost)
        self._stream._lost(exc)
        del self._stream  # or asyncio, and uvloop, keep it as long as their own cycles

    # -- what a stream calls

    def resume(self) -> None:
        if not self.is_reading:
            self.is_reading = True
            self._transport.resume_reading()

    def pause(self) -> None:
        if self.is_reading:
            self.is_reading = False
            self._transport.pause_reading()

    def is_readable(self) -> bool:
        return _has_come(self._sock)

    def send(self, outbox: Outbox) -> None:
        sink = self._sink
        if sink is None or sink.is_paused:
            return
        try:
            outbox.flush(sink)
        finally:
            sink.hand_over()
        if self._transport.is_closing():
            sink.is_paused = True  # what it was given is lost: connection_lost() will say why
        elif outbox.pending and not sink.is_paused:
            self._flush_soon()

    def is_drained(self) -> bool:
        return self._sink is None or not self._sink.is_paused

    def is_full(self) -> bool:
        return self._sink is None or self._sink.is_paused

    def send_eof(self) -> None:
        self._transport.write_eof()

    async def aclose(self) -> None:
        is_busy = not self._inbox.ended
        if self.is_reading and is_busy:
            with suppress(OSError):
                is_busy = self.is_readable() or (not self._is_tls and _is_on_its_way(self._sock))
        self._is_discarding = True
        with suppress(RuntimeError):
            self.resume()  # what the peer says at the end is part of TLS
        if not self._is_tls:
            with suppress(OSError):
                self._transport.write_eof()
        if is_busy:
            await self._discard()
        if not self._transport.is_closing():  # asyncio's of TLS forgets what it was, at another close()
            self._transport.close()
        await self._lost

    async def _discard(self) -> None:
        """Throw away what the peer still sends, until it ends. Over TLS it has not been told that we do."""
        end = self._loop.time() + _LINGER
        discarded = -1
        while not self._ended.done() and discarded < self._discarded and self._loop.time() < end:
            discarded = self._discarded
            await asyncio.wait((self._ended,), timeout=_QUIET if self._is_tls else _LINGER)

    def abort(self) -> None:
        if not self._loop.is_closed():
            self._transport.abort()

    def get_extra_info(self, name: str, default: Any) -> Any:
        known = self._names.get(name)
        return self._transport.get_extra_info(name, default) if known is None else known


@final
class _TransportSink:
    """What an Outbox flushes into: pieces are gathered, and given to the transport as few larger ones."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.is_paused = False
        self._pieces: list[memoryview] = []
        self._size = 0
        self._total = 0

    def write(self, data: memoryview) -> int:
        if self.is_paused or self._total >= _TURN:
            raise BlockingIOError
        data = data[: _TURN - self._total]
        if self._size and self._size + len(data) > _RECORD:
            self._hand_over_pieces()
        self._pieces.append(data)
        self._size += len(data)
        self._total += len(data)
        return len(data)

    def hand_over(self) -> None:
        self._total = 0
        if self._pieces:
            self._hand_over_pieces()

    def _hand_over_pieces(self) -> None:
        pieces = self._pieces
        size = self._size
        self._pieces = []
        self._size = 0
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            count_copy("coalesce", size)
            self._transport.write(b"".join(pieces))
