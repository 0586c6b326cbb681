"""The channels: by which calls each kind of sink takes bytes, and what is known of them.

1. Each kind of sink is a Channel, with a gathering call and, if it can, one that sends a range of a file. One that the
   platform lacks, or that is refused before it has ever been accepted, gives way to a simpler one; later it never does.
2. A file that ends too early is TruncatedFile: nothing is padded, and nothing is tried again.
3. On TCP what stands before a file is held back for it (MSG_MORE), and if something follows the file, everything is
   (TCP_CORK). Whatever happens, it is let go at the end: held back, it would wait for 200 ms.

Sources: sendmsg(2), writev(2), sendfile(2), tcp(7).
"""

from __future__ import annotations

import errno
import io
import os
import selectors
import socket
import sys
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast, final

from mypy_extensions import mypyc_attr

from .._core.audit import count_copy
from .._core.parts import LazyOwner, Run, memory_view
from ..errors import BrokenSink, BytebufsError, TruncatedFile
from ..files.opening import name_of
from .plan import IOV_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from .plan import Piece

__all__ = ["Sender", "Sink", "Writer"]

# The answers of a call that is not there, that a filter of the sandbox (seccomp: EPERM, some EACCES) or the policy of a
# file system does not let through, cannot take this kind of descriptor, or takes fewer entries (16 on some systems):
# a simpler one will do. sendfile(2) says to fall back on EINVAL and ENOSYS. Where the reason was another, the simpler
# call is told it once more.
_REFUSED: Final = frozenset([
    errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.EMSGSIZE, errno.ENOTSOCK, errno.EPERM,
    errno.EACCES,
])  # fmt: skip

REFUSED_BY_REFERENCE: Final = _REFUSED | {errno.EIO, errno.ENOMEM, errno.EOVERFLOW}
"""As above, of a call that moves bytes which the process does not see: some network file systems say EIO to what they
cannot do so; the pipe that the kernel makes for it may be one too many (ENOMEM, pipe(7)); and its offsets may be
narrower than those of reads (EOVERFLOW). A disk that is broken says EIO to the read that comes then, too.
"""

_CHUNK: Final = 1 << 16
"""Bytes of a file read at a time where it cannot be sent from where it lies (Python's own sendfile reads 8 KiB)."""

# As numbers: joining the members of an enum costs a microsecond.
_NOSIGNAL: Final = int(getattr(socket, "MSG_NOSIGNAL", 0))
_MORE: Final = int(getattr(socket, "MSG_MORE", 0))
_CORK: Final = int(getattr(socket, "TCP_CORK", -1))

# The number itself: socket.type makes an enum of it, which costs more than all else here.
_TYPE_OF: Final = socket.SocketType.__dict__["type"].__get__
_STREAM: Final = int(socket.SOCK_STREAM)

_SOCKET: Final = socket.socket  # bound here, since compiled code looks up at each use what others define

_FILES: Final = (io.FileIO, io.BufferedWriter, io.BufferedRandom)


class Writer(Protocol):
    """What ``flush`` wants of a file: a ``write`` that says how many bytes it took, or None for all."""

    def write(self, data: memoryview, /) -> int | None:
        """Take bytes from the front of ``data`` and return how many, or None for all."""


class Sender(Protocol):
    """What ``flush`` wants of a connection: a ``send`` that says how many bytes it took, or None for all."""

    def send(self, data: memoryview, /) -> int | None:
        """Take bytes from the front of ``data`` and return how many, or None for all."""


Sink: TypeAlias = "int | Writer | Sender"


@final
class Ahead:
    """What was read of a file and has not gone.

    It is offered again as it was: TLS insists on that. A sink may keep what it was given: it is not written to again.
    """

    __slots__ = ("data", "owner", "start")

    def __init__(self, owner: LazyOwner, start: int, data: memoryview) -> None:
        self.owner: LazyOwner = owner
        self.start: int = start
        self.data: memoryview = data


class Channel:
    """The calls by which a sink takes bytes, and what is known of them."""

    # Most sinks need nothing but themselves, and are asked once: what begins alike for all is not set for each.
    iov_max: int = IOV_MAX
    ahead: Ahead | None = None

    def __init__(self, sink: object) -> None:
        self.sink = sink

    def open(self) -> float | None:
        """Prepare for the first byte. Return the seconds that all may take, None for ever, 0 for non-blocking."""
        return None

    def let_go(self) -> None:
        """Hold nothing back any more."""

    def write(self, batch: list[Piece], *, more: bool) -> int:
        """Send from the front of ``batch`` and return how many bytes were taken. ``more``: a file comes next."""
        raise NotImplementedError

    def send_file(self, file: Run, most: int, *, more: bool) -> int:
        """Send up to ``most`` bytes of a file from where ``file`` starts, and return how many were taken.

        Copies: what is sent, 64 KiB at a time ("fallback", or "stable").
        """
        owner = lazy_owner(file)
        ahead = self.ahead
        if ahead is None or ahead.owner is not owner or ahead.start != file.start:
            ahead = self.ahead = Ahead(owner, file.start, _read(file, most))
        data = ahead.data
        taken = self.write([data], more=more or len(data) < len(file))
        self.ahead = Ahead(owner, file.start + taken, data[taken:]) if taken < len(data) else None
        return taken

    def _forget_ahead(self) -> None:
        self.ahead = None

    def is_exact_after(self, error: BaseException) -> bool:
        """Whether the plan still says how many bytes went, now that a call has raised ``error``."""
        # The system's errors have a number. Others come from signal handlers, in the middle of a call.
        return isinstance(error, BytebufsError) or (isinstance(error, OSError) and error.errno is not None)


class SystemChannel(Channel):
    """What the system itself writes to. A call that is refused before it was ever accepted is not made again."""

    _gathers: bool = True
    _has_gathered: bool = False
    _sends_files: bool = True
    _sent_of: LazyOwner | None = None  # what was sent by reference last
    _refused_of: LazyOwner | None = None  # what was refused last, though the sink took others

    def _fileno(self) -> int:
        raise NotImplementedError

    def send_file(self, file: Run, most: int, *, more: bool) -> int:
        """Send up to ``most`` bytes of a file by reference, or as its base does where that is refused.

        Copies: nothing, else as its base.
        """
        owner = lazy_owner(file)
        if self._sends_files and not owner.stable and owner is not self._refused_of:
            try:
                # Always with a place: the position of a descriptor is shared with whoever else has the open file.
                taken: int = os.sendfile(self._fileno(), owner._fd, owner.offset + file.start, min(most, len(file)))
            except (OSError, AttributeError) as error:
                if owner is self._sent_of or not _is_refused(error, os, "sendfile", REFUSED_BY_REFERENCE):
                    raise
                # Not every file system can send. One that cannot says nothing of files on others.
                self._refused_of = owner
                self._sends_files = self._sent_of is not None
            else:
                if not taken:
                    raise _truncated(file)
                self._sent_of = owner
                self._forget_ahead()
                return taken
        return super().send_file(file, most, more=more)


@mypyc_attr(free_list_len=1)
class _DescriptorChannel(SystemChannel):
    def __init__(self, sink: object, fd: int) -> None:
        self.sink = sink
        self._fd = fd

    def _fileno(self) -> int:
        return self._fd

    def write(self, batch: list[Piece], *, more: bool) -> int:
        if self._gathers and len(batch) > 1:
            try:
                taken: int = os.writev(self._fd, batch)
            except (OSError, AttributeError) as error:
                if self._has_gathered or not _is_refused(error, os, "writev"):
                    raise
                self._gathers = False
            else:
                self._has_gathered = True
                return taken
        return os.write(self._fd, batch[0])


@final
class _FileChannel(_DescriptorChannel):
    def __init__(self, file: io.FileIO | io.BufferedWriter | io.BufferedRandom) -> None:
        super().__init__(file, -1)
        self._file = file

    def open(self) -> float | None:
        # Emptied, such a file asks the descriptor where it stands before it goes on: what comes now does no harm.
        self._file.flush()
        self._fd = self._file.fileno()
        return None


@final
@mypyc_attr(free_list_len=1)
class _SocketChannel(SystemChannel):
    _is_held: bool = False  # something waits for a file
    _is_corked: bool = False  # by us
    _may_cork: bool = True

    def __init__(self, sock: socket.socket) -> None:
        self.sink = sock
        self._sock = sock

    def _fileno(self) -> int:
        return self._sock.fileno()

    def open(self) -> float | None:
        return self._sock.gettimeout()

    def write(self, batch: list[Piece], *, more: bool) -> int:
        flags = _NOSIGNAL
        if more:
            flags = _NOSIGNAL | _MORE
            self._is_held = True
        taken = self._send(batch, flags)
        if not more:
            self._is_held = False
        return taken

    def _send(self, batch: list[Piece], flags: int) -> int:
        if self._gathers and (len(batch) > 1 or flags != _NOSIGNAL):
            try:
                taken: int = self._sock.sendmsg(batch, (), flags)
            except (OSError, AttributeError) as error:
                if self._has_gathered or not _is_refused(error, self._sock, "sendmsg"):
                    raise
                self._gathers = False
            else:
                self._has_gathered = True
                return taken
        return self._sock.send(batch[0], flags)

    def send_file(self, file: Run, most: int, *, more: bool) -> int:
        if more and self._may_cork:
            self._cork()
        self._is_held = True  # older kernels hold back the end of a file that was too short
        taken = super().send_file(file, most, more=more)
        self._is_held = False
        return taken

    def is_exact_after(self, error: BaseException) -> bool:
        # That a socket's own timeout has passed is found before a call, and has no number. An alarm's has other words.
        if isinstance(error, TimeoutError) and error.args == ("timed out",):
            return bool(self._sock.gettimeout())
        return super().is_exact_after(error)

    def _cork(self) -> None:
        self._may_cork = False
        try:
            if not self._sock.getsockopt(socket.IPPROTO_TCP, _CORK):  # else it is the caller's, who will take it out
                self._is_corked = True  # before the call: a signal handler may raise at its end
                self._sock.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
        except OSError:
            self._is_corked = False  # not TCP

    def let_go(self) -> None:
        if self._is_held or self._is_corked:
            try:
                # To take out the cork pushes what MSG_MORE held, too; sending nothing does not.
                if self._is_corked or not self._sock.getsockopt(socket.IPPROTO_TCP, _CORK):
                    self._sock.setsockopt(socket.IPPROTO_TCP, _CORK, 0)
            except OSError:
                pass  # not TCP, or closed


@final
class _ObjectChannel(Channel):
    """Anything with ``send`` or ``write``: it takes one piece at a time, and says what it likes."""

    iov_max: int = 1
    _is_in_call: bool = False

    def __init__(self, sink: object, call: Callable[[memoryview], object]) -> None:
        self.sink = sink
        self._call = call

    def open(self) -> float | None:
        return self.sink.gettimeout() if isinstance(self.sink, socket.socket) else None

    def write(self, batch: list[Piece], *, more: bool) -> int:
        view = memoryview(batch[0])
        self._is_in_call = True
        taken = self._offer(view)
        self._is_in_call = False
        return taken

    def _offer(self, view: memoryview) -> int:
        try:
            taken = self._call(view)
        except BlockingIOError as error:
            # A buffered file took what found room in its buffer. Others set nothing, and took nothing.
            taken = getattr(error, "characters_written", 0)
            if taken == 0:
                raise
        if taken is None:
            if isinstance(self.sink, io.RawIOBase):  # its None is EAGAIN; from others it is a write without an answer
                raise BlockingIOError(errno.EAGAIN, "the sink is not ready")
            return len(view)
        if type(taken) is not int or not 0 < taken <= len(view):
            raise BrokenSink(f"a {type(self.sink).__name__} says that it took {taken!r} of {len(view)} bytes")
        return taken

    def is_exact_after(self, error: BaseException) -> bool:
        if isinstance(error, OSError) and event_wanted(error):
            return True
        return not self._is_in_call and super().is_exact_after(error)


def channel_to(sink: Sink) -> Channel:
    """Choose how ``sink`` takes bytes, without calling it. A subclass that changes the calls gets its own.

    Raises TypeError for a text file, for a socket that is not a stream, and for what is no sink.
    """
    kind = type(sink)
    if kind is int:
        return _DescriptorChannel(sink, cast("int", sink))
    if isinstance(sink, _SOCKET):
        if _TYPE_OF(sink) != _STREAM:
            raise TypeError(
                f"a sink is a stream socket, and {sink!r} is none: send it a message with sock.sendmsg(buffer.views())"
            )
        if kind is _SOCKET or is_plain_socket(sink):
            return _SocketChannel(sink)
    return _other_channel_to(sink)


def _other_channel_to(sink: Sink) -> Channel:
    if isinstance(sink, int) and not isinstance(sink, bool):
        return _DescriptorChannel(sink, sink)
    if isinstance(sink, io.FileIO | io.BufferedWriter | io.BufferedRandom) and _is_plain_file(sink):
        return _FileChannel(sink)
    if isinstance(sink, io.TextIOBase):
        raise TypeError(f"what is sent is bytes, and {sink!r} takes text: open it in binary mode, or give its .buffer")
    call = getattr(sink, "send", None) or getattr(sink, "write", None)
    if call is None:
        raise TypeError(
            "a sink is a descriptor, a file opened in binary mode, a stream socket or an object with send or write, "
            f"not {type(sink).__name__}"
        )
    return _ObjectChannel(sink, call)


def _is_plain_file(file: io.FileIO | io.BufferedWriter | io.BufferedRandom) -> bool:
    """Whether the system's own calls are behind it, and nothing that changes what is written."""
    raw = file if isinstance(file, io.FileIO) else file.raw
    return type(file) in _FILES and type(raw) is io.FileIO


def is_plain_socket(sock: socket.socket) -> bool:
    """Whether the system's own calls are behind it: TLS sockets and others override them."""
    return all(getattr(type(sock), name, None) is getattr(socket.socket, name, None) for name in ("send", "sendmsg"))


def _is_refused(error: Exception, place: object, name: str, refused: frozenset[int] = _REFUSED) -> bool:
    """Whether a call is not there, or will not do what it was asked: then it has sent nothing."""
    return error.errno in refused if isinstance(error, OSError) else not hasattr(place, name)


def event_wanted(error: OSError) -> int:
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


# -- files ---------------------------------------------------------------------------------------------------


def lazy_owner(file: Run) -> LazyOwner:
    """Return whose bytes a range of a file shows."""
    owner = file.owner
    assert isinstance(owner, LazyOwner)
    return owner


def _read(file: Run, most: int) -> memoryview:
    """Return bytes from the front of a range of a file, at least one, at most 64 KiB and ``most``."""
    owner = lazy_owner(file)
    size = min(len(file), _CHUNK, most)
    if not hasattr(os, "pread"):  # Windows
        return memory_view(Run(owner, file.start, file.start + size))
    count_copy("stable" if owner.stable else "fallback", size)
    data = os.pread(owner._fd, size, owner.offset + file.start)
    if not data:
        raise _truncated(file)
    return memoryview(data)


def _truncated(file: Run) -> TruncatedFile:
    """Return the error of a file that has no bytes where ``file`` starts. Raises it if the owner knows better."""
    owner = lazy_owner(file)
    owner._assert_whole(file.stop)
    # It has grown again, but not before somebody read past its end: what it holds now is something else.
    return TruncatedFile(name_of(owner), owner.offset + file.stop, owner.offset + file.start)
