"""Inbox: what one source has sent, received into a pool's memory and shown as one buffer.

    block   [ others' |  shown  |  come  |       free       | others' ]
                      ^         ^        ^                  ^
                      (start)   shown    at                 end

The piece of a block from ``start`` to ``end`` is this inbox's alone. What has come and is not shown yet goes into the
buffer as the first thing that any call does: it is there only if memory had run out, or an exception came.

Each call that changes something is alone, or is told Busy. After an exception all is as before, or as after, or the
inbox is broken and says so at each use. In the order of the stores that means: what is asked of foreign code is asked
first; bytes are ours from the moment that ``at`` has passed them; a piece is there once ``end`` says so, which is last.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, SupportsIndex, TypeAlias, cast, final

from .._core.audit import count_copy
from .._core.numbers import COMPILED
from .._core.parts import Memory, shown, size_of
from ..composite_buffer import CompositeBuffer
from ..errors import BrokenSource, Busy, LimitExceeded
from .pool import SLIVER, Pool

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inbox", "Readable", "Receiver", "Source"]

_FIRST: Final = 4096
_LEAST: Final = 1024
_GROWTH: Final = 4
"""A piece is so many times what waits, at least. By 4, three blocks at most are shared with others: 4, 16, 64 KiB."""
_SMALL: Final = 4
"""A read is small that fills less than a quarter of what is taken of a block at a time."""
_RECORD: Final = 16384
"""Bytes of a TLS record at most (RFC 8446, section 5.1)."""

_CUT: Final = "an exception ended what was received"


class Readable(Protocol):
    """What ``receive`` wants of a file: ``readinto``, which says how many bytes it read, or None for "not now"."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into the front of ``buffer`` and return how many bytes that were, 0 at the end."""


class Receiver(Protocol):
    """What ``receive`` wants of a connection: ``recv_into``, which says how many bytes it received."""

    def recv_into(self, buffer: memoryview, /) -> int | None:
        """Receive into the front of ``buffer`` and return how many bytes that were, 0 at the end."""


Source: TypeAlias = "int | Readable | Receiver"


@final
class Inbox:
    r"""What one source has sent, as one buffer. Nothing is copied behind the system's own copy, nothing allocated.

    >>> import socket
    >>> ours, theirs = socket.socketpair()
    >>> inbox = Inbox(limit=65536)
    >>> theirs.send(b"\x05hello")
    6
    >>> inbox.receive(ours)
    6
    >>> inbox.buffer.parse(lambda r: r.take_bytes(r.u8()), limit=256)
    b'hello'
    >>> ours.close(); theirs.close()

    ``limit`` is how many bytes may wait in ``buffer``: no more is received before some are taken. ``pool`` is where the
    memory comes from, one of its own if none is given: share one among the connections of a thread. What many small
    reads bring is one part. A slice that is taken from ``buffer`` stays as it is, as long as it is kept, and keeps its
    block: ``pinned_nbytes`` tells, ``compact()`` mends.

    Belongs to one thread, and to one source; a call that comes into the middle of another one is Busy. After whatever
    exception, what was received is in ``buffer``, or will be with the next call, if there was no memory for that; where
    it is not known how much that was, the inbox is broken, and says so at each use. Raises ValueError for a limit of no
    byte.
    """

    __slots__ = (
        "_at", "_end", "_granted", "_is_busy", "_is_small", "_limit", "_memory", "_owner", "_pool", "_room", "_shown",
        "_size", "_trouble", "_whole", "buffer", "ended",
    )  # fmt: skip

    def __init__(self, pool: Pool | None = None, *, limit: SupportsIndex = 1 << 20) -> None:
        if not COMPILED and hasattr(self, "buffer"):
            return  # called a second time, which the compiled build ignores
        if pool is not None and not isinstance(pool, Pool):
            raise TypeError(f"a Pool is wanted, not {shown(pool)}: write Inbox(Pool(), limit=n)")
        self._limit = size_of(limit)
        if not self._limit:
            raise ValueError(f"a limit has at least 1 byte, not {shown(limit)}")
        self._pool = Pool() if pool is None else pool
        self.ended: bool = False
        """Whether the source has said that nothing more comes."""
        # Our piece of a block.
        self._memory: bytearray | None = None
        self._whole: memoryview | None = None  # of that
        self._owner: Memory | None = None
        self._shown = 0
        self._at = 0
        self._end = 0
        self._granted = 0  # bytes of the room that was given out
        self._room: memoryview | None = None  # that
        self._size = min(_FIRST, self._pool._block)  # bytes to take of a block at a time
        self._is_small = False  # the last read
        self._is_busy = False
        self._trouble = ""  # while it is not known how much was received: why
        self.buffer: CompositeBuffer = CompositeBuffer()
        """What has come and has not been taken."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: two inboxes would receive into the same memory."""
        raise TypeError("an Inbox is not copied or pickled: make another one")

    def __repr__(self) -> str:
        """Say how many bytes wait, and of how many that may."""
        state = "broken, " if self._trouble and not self._is_busy else "ended, " if self.ended else ""
        return f"<Inbox: {state}{self.buffer._size()} of {self._limit} bytes waiting>"

    @property
    def limit(self) -> int:
        """Bytes that may wait in ``buffer``."""
        return self._limit

    def room(self) -> memoryview:
        """Return memory to receive into, at least 1 byte, at most what the limit still allows.

        Write to its front, from wherever the bytes come, and say how many by ``filled(n)``: until then it is yours, and
        afterwards no more. That releases the view, and so does any other call that takes memory; views that were made
        of it are not to be written to any more. Calling this again gives the same memory.

        Raises LimitExceeded while ``limit`` bytes wait, BrokenSource once the inbox is broken, RuntimeError inside of
        a parser of ``buffer``. Complexity: O(1).
        """
        if self._is_busy or self._trouble:
            self._refuse()
        try:
            self._is_busy = True
            size = self._prepare()
            room = self._free(size)
            self._room = room
            self._granted = size
            self._is_busy = False
        except BaseException:
            self._is_busy = False
            raise
        return room

    def filled(self, n: SupportsIndex) -> None:
        """Make the first ``n`` bytes of the room the end of ``buffer``; 0 says that the source has ended.

        Raises ValueError for more bytes than ``room()`` gave, BrokenSource once the inbox is broken; whatever is
        raised, nothing was done. Complexity: O(1). Copies: nothing.
        """
        count = size_of(n)
        if self._is_busy or self._trouble:
            self._refuse()
        try:
            self._is_busy = True
            if count > self._granted:
                raise ValueError(f"{count} bytes do not lie in a room of {self._granted}")
            if count:
                self._show(self._at + count)
            else:
                self.ended = True
            self._revoke()
            self._adapt(count)
            self._is_busy = False
        except BaseException:
            self._is_busy = False
            raise

    def receive(self, source: Source) -> int:
        """Receive once, what is there, and return how many bytes that were; 0: the source has ended, see ``ended``.

        ``source`` is a stream socket, blocking or not, of TLS too (what that holds decrypted is received as well, be
        it up to a record of 16 KiB more than the limit), a descriptor, a binary file, or an object with ``recv_into``
        or ``readinto``, of which 0 bytes are the end and None is "not now". How much is asked for adapts to what comes,
        from 1 KiB to a block.

        Errors of the system, of a source's time limit, and BlockingIOError come as they are, ssl.SSLWantReadError among
        them: then nothing was received. Raises LimitExceeded, before reading, while ``limit`` bytes wait; RuntimeError,
        before reading, inside of a parser of ``buffer``; BrokenSource for ever once it is not known how much was
        received: after any other exception, from a signal handler or an object's own code, or if that says it read more
        than it was given. TypeError for what is no source. Complexity: O(1). Copies: nothing.

        Sources: recv(2), readv(2).
        """
        if self._is_busy or self._trouble:
            self._refuse()
        try:
            self._is_busy = True
            count = self._receive(source, self._prepare())
            if type(source) is not _SOCKET and count:
                count += self._receive_decrypted(source)
            self._is_busy = False
        except BaseException:
            self._is_busy = False
            raise
        return count

    def rest(self) -> None:
        """Give back the memory that this inbox has taken for itself and that nothing has come into, until more comes.

        For a connection that waits. Does nothing while something is in ``buffer``, so that what completes it comes to
        lie behind it, or while a ``room()`` is out. Never necessary: it saves up to a block. Complexity: O(1).
        """
        if self._is_busy:
            self._refuse()
        try:
            self._is_busy = True
            memory = self._memory
            if memory is not None and not self._granted and self._shown == self._at and not self.buffer._size():
                at = self._at
                end = self._end
                self._let_go()
                if not self._trouble:  # else nobody knows who still writes to it
                    self._pool._give_back(memory, at, end)
            self._is_busy = False
        except BaseException:
            self._is_busy = False
            raise

    def _refuse(self) -> NoReturn:
        """Say why nothing more is done, or nothing now."""
        if self._is_busy:
            raise Busy("the inbox")
        raise BrokenSource(self._trouble)

    def _allow(self, limit: int) -> bool:
        """Set the limit, and rest while nothing waits. False if so many bytes wait already."""
        self._limit = limit
        size = self.buffer._size()
        if not size:
            self.rest()
        return size < limit

    def _is_full(self) -> bool:
        """Whether so many bytes wait that no more is received."""
        return self.buffer._size() >= self._limit

    def _wants_more(self) -> bool:
        """Whether the last read filled all that it was given, and more may wait."""
        return self._at == self._end and self.buffer._size() < self._limit

    def _prepare(self) -> int:
        """See to it that there is room, and return how much of that may be filled."""
        buffer = self.buffer
        if buffer._locked:
            buffer._refuse_if_locked()
        if self._shown != self._at:
            self._show(self._at)
        waiting = buffer._size()
        may = self._limit - waiting
        if may <= 0:
            raise LimitExceeded(self._limit)
        if self._room is not None:
            self._revoke()
        is_there = self._end - self._at
        if is_there <= self._size // SLIVER:
            self._reserve(waiting)
            is_there = self._end - self._at
        return is_there if is_there < may else may

    def _revoke(self) -> None:
        """Take back the room that was given out. What was made of it, nobody can take back."""
        if self._room is not None:
            _release(self._room)
        self._room = None
        self._granted = 0

    def _free(self, size: int) -> memoryview:
        whole = self._whole
        assert whole is not None
        at = self._at
        return whole[at : at + size]

    def _let_go(self) -> None:
        """Have no piece any more. All of it has been shown."""
        self._end = 0
        self._owner = None
        self._whole = None
        self._memory = None

    def _reserve(self, waiting: int) -> None:
        """Take a piece of a block: what lies behind the last one, if nobody has that.

        The more waits, the larger: so that what a slow source fills by and by lies in few pieces, and soon in blocks
        that it shares with nobody. Else what others have dropped long ago would stay as long as that.
        """
        pool = self._pool
        if not pool._goes_on_in(self._memory):
            self._let_go()  # so that the very block may be lent again, if all of it has been dropped
        block = pool._take()
        try:
            start = block.used
            is_next = start == self._end and block.memory is self._memory
            room = block.room
            size = _GROWTH * waiting
            if size < self._size:
                size = self._size
            if room - size <= pool._block // SLIVER:
                size = room
            stop = start + size
            if is_next:
                block.used = stop
            else:
                owner = block.show()
                whole = memoryview(block.memory)
                block.used = stop
                self._let_go()
                self._at = start
                self._shown = start
                self._memory = block.memory
                self._whole = whole
                self._owner = owner
            self._end = stop
        finally:
            pool._put(block)

    def _show(self, stop: int) -> None:
        """Add what was received, up to ``stop``, to the buffer."""
        owner = self._owner
        if owner is None:
            self._shown = self._at = 0  # an exception came while a piece was taken; all of the last one was shown
            return
        buffer = self.buffer
        before = buffer._stop
        try:
            buffer._append_run(owner, self._shown, stop)
            self._granted = 0
            self._at = stop
            self._shown = stop
        except BaseException:
            if buffer._stop != before:
                self._granted = 0
                self._at = stop
                self._shown = stop
            raise

    def _adapt(self, count: int) -> None:
        """Take more of a block next time if what was taken is full, and less after two small reads."""
        size = self._size
        if self._at == self._end:
            most = self._pool._block
            self._size = 2 * size if 2 * size < most else most
            self._is_small = False
        elif count * _SMALL < size:
            if self._is_small and size > _LEAST:
                self._size = size // 2
            self._is_small = not self._is_small
        else:
            self._is_small = False

    def _receive(self, source: Source, size: int) -> int:
        """Receive into what is free, at most so much, and show that."""
        view = self._free(size)
        kind = type(source)
        is_foreign = not (kind is _SOCKET or kind is int or kind is _FILE)
        call = None if kind is _SOCKET and _TYPE_OF(source) == _STREAM else _call_of(source)
        self._trouble = _CUT
        try:
            # To make a bound method costs as much as a part of the call.
            count = cast("socket.socket", source).recv_into(view) if call is None else call(view)
            if is_foreign:
                _release(view)
        except BaseException as error:
            if _has_received_nothing(error, is_foreign=is_foreign):
                self._trouble = ""
            if is_foreign:
                _release(view)
            raise
        if type(count) is not int or not 0 <= count <= size:
            if count is None:
                self._trouble = ""
                raise BlockingIOError(errno.EAGAIN, "the source is not ready")
            self._trouble = f"a {type(source).__name__} says that it read {shown(count)} bytes into {size}"
            raise BrokenSource(self._trouble)
        self._at += count
        self._trouble = ""
        if count:
            self._show(self._at)
            self._adapt(count)
        else:
            self.ended = True
        return count

    def _receive_decrypted(self, source: Source) -> int:
        """Receive what a TLS socket has decrypted: no selector tells of it any more."""
        pending = getattr(source, "pending", None)
        if not callable(pending):
            return 0
        due = pending()
        if type(due) is not int or due > _RECORD:
            due = _RECORD if type(due) is int else 0
        total = 0
        while total < due:
            if self._at == self._end:
                self._reserve(self.buffer._size())
            room = self._end - self._at
            try:
                count = self._receive(source, room if room < due - total else due - total)
            except BlockingIOError:
                break
            if not count:
                break
            total += count
        return total


_SOCKET: Final = socket.socket
_FILE: Final = io.FileIO
_TYPE_OF: Final = socket.SocketType.__dict__["type"].__get__
_STREAM: Final = int(socket.SOCK_STREAM)


def _call_of(source: Source) -> Callable[[memoryview], object]:
    """Return what receives into a view."""
    if isinstance(source, _SOCKET):
        if _TYPE_OF(source) != _STREAM:
            raise TypeError(f"a source is a stream socket, and {source!r} is none: each recv_into is a message")
        return source.recv_into
    if isinstance(source, int) and not isinstance(source, bool):
        return partial(_read, source)
    call: Callable[[memoryview], object] | None = (
        getattr(source, "recv_into", None) or getattr(source, "readinto1", None) or getattr(source, "readinto", None)
    )
    if call is None:
        raise TypeError(
            "a source is a stream socket, a descriptor, a file opened in binary mode or an object with recv_into or "
            f"readinto, not {type(source).__name__}"
        )
    return call


def _read(descriptor: int, view: memoryview) -> int:
    if hasattr(os, "readv"):
        return os.readv(descriptor, [view])
    data = os.read(descriptor, len(view))  # Windows
    count_copy("fallback", len(data))
    view[: len(data)] = data
    return len(data)


def _release(view: memoryview) -> None:
    """See to it that nobody writes through a view any more. What was made of it stays."""
    try:
        view.release()
    except BufferError:
        pass


_TIMED_OUT: Final = (("timed out",), ("The read operation timed out",))
"""What a socket, and one of TLS, says when its time limit is over: the only errors of theirs that have no number."""


def _has_received_nothing(error: BaseException, *, is_foreign: bool) -> bool:
    """Whether that is certain of a call that raised this.

    The system's errors have a number. Others come from signal handlers or an object's own code, behind a call that has
    received something or in the middle of one.
    """
    if not isinstance(error, OSError):
        return False
    if isinstance(error, (BlockingIOError, InterruptedError)) or error.errno is not None or error.args in _TIMED_OUT:
        return is_foreign or _is_raised_here(error)
    return False


def _is_raised_here(error: BaseException) -> bool:
    """Whether it was raised by what this module called, and not by a signal handler that is written in Python."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is None or at.tb_frame.f_globals.get("__name__") == __name__
