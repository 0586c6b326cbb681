"""Sockets and files that take or give as few bytes as a script says, stall, reset, time out.

Where the kernel can do it, it does: `tiny_pair` are real sockets whose buffers hold as little as the kernel lets them.
`scripted_pair` is a real connection, with a descriptor to wait for, one end of which follows a script. `FakeSocket` and
`FakeFile` have no descriptor: they keep what they are sent, and give what they were given.
"""

from __future__ import annotations

import errno
import io
import os
import socket
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from .scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from typing_extensions import Buffer

    from .scripts import Steps

__all__ = ["FakeFile", "FakeSocket", "ScriptedSocket", "scripted_pair", "tiny_pair"]


def _flat(data: Buffer) -> memoryview:
    return memoryview(data).cast("B")


def _scattered(data: bytes, buffers: Iterable[memoryview]) -> None:
    """Write data to the front of some buffers, one after the other."""
    at = 0
    for view in buffers:
        few = data[at : at + len(view)]
        view[: len(few)] = few
        at += len(few)


class _Scripted(ABC):
    """The calls of a stream socket by two simple ones, as many bytes at a time as two scripts allow."""

    sends: Script
    receives: Script

    @abstractmethod
    def _put(self, data: bytes, flags: int) -> int:
        """Send some of the data, and return how many bytes."""

    @abstractmethod
    def _get(self, size: int, flags: int) -> bytes:
        """Return up to so many bytes, none at the end."""

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Take as much as the script says, and return how many bytes that was."""
        view = _flat(data)
        allowed = self.sends.allow(len(view))
        taken = self._put(bytes(view[:allowed]), flags) if allowed else 0
        self.sends.passed += taken
        return taken

    def sendmsg(self, buffers: Iterable[Buffer], ancdata: Any = (), flags: int = 0, address: Any = None, /) -> int:
        """As ``send``, of several pieces."""
        return self.send(b"".join(map(_flat, buffers)), flags)

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        """Call ``send`` until all has gone, or that raises."""
        view = _flat(data)
        while len(view):
            view = view[self.send(view, flags) :]

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return as much as the script says, b"" at the end of the stream."""
        if size < 0:
            raise ValueError("negative buffersize in recv")  # as sockets say it
        allowed = self.receives.allow(size)
        data = self._get(allowed, flags) if allowed else b""
        self.receives.passed += len(data)
        return data

    def recv_into(self, buffer: Buffer, size: int = 0, flags: int = 0) -> int:
        """As ``recv``, into the front of ``buffer``; return how many bytes."""
        view = _flat(buffer)
        if size > len(view):
            raise ValueError("buffer too small for requested bytes")  # as sockets say it
        data = self.recv(size or len(view), flags)
        _scattered(data, [view])
        return len(data)

    def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[Any], int, Any]:
        """As ``recv_into``, into several pieces of memory."""
        views = [_flat(buffer) for buffer in buffers]
        data = self.recv(sum(map(len, views)), flags)
        _scattered(data, views)
        return len(data), [], 0, None


class FakeSocket(_Scripted):
    r"""A connection without a descriptor: gives ``data``, then the end; keeps what it is sent in ``sent``.

    >>> from bytebufs.testing import STALL, FakeSocket
    >>> sock = FakeSocket(b"hello", recv=[STALL, 2])
    >>> sock.recv(10)
    Traceback (most recent call last):
    BlockingIOError: ...
    >>> sock.recv(10), sock.recv(10), sock.recv(10)
    (b'he', b'llo', b'')

    ``send`` and ``recv`` are scripts: see ``Script``. Has the calls that move bytes (``send``, ``sendmsg``,
    ``sendall``, ``recv``, ``recv_into``, ``recvmsg_into``), a time limit that nobody keeps, and ``close``, behind which
    all these raise OSError. What waits for a descriptor needs ``scripted_pair``.
    """

    def __init__(self, data: Buffer = b"", *, send: Steps = None, recv: Steps = None) -> None:
        self.sends: Script = Script(send)
        self.receives: Script = Script(recv)
        self.sent: bytearray = bytearray()
        self.closed: bool = False
        self._data = io.BytesIO(data)
        self._timeout: float | None = None

    def _put(self, data: bytes, flags: int) -> int:
        self._refuse_if_closed()
        self.sent += data
        return len(data)

    def _get(self, size: int, flags: int) -> bytes:
        self._refuse_if_closed()
        return self._data.read(size)

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def gettimeout(self) -> float | None:
        """Return what was set."""
        return self._timeout

    def settimeout(self, timeout: float | None) -> None:
        """Take note of a time limit."""
        self._timeout = timeout

    def close(self) -> None:
        """Close it: nothing is sent or received any more."""
        self.closed = True

    def __enter__(self) -> Self:
        """Return the socket itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


class ScriptedSocket(_Scripted, socket.socket):
    """A real socket whose calls that move bytes follow two scripts. `scripted_pair` makes one.

    Selectors, asyncio, ``settimeout``, ``makefile`` work as with any other: it has a descriptor. What writes to that by
    itself (``os.write``, TLS) goes past the script.
    """

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002  # as the base has it
        proto: int = -1,
        fileno: int | None = None,
        *,
        send: Steps = None,
        recv: Steps = None,
    ) -> None:
        self.sends: Script = Script(send)
        self.receives: Script = Script(recv)
        super().__init__(family, type, proto, fileno)

    def _put(self, data: bytes, flags: int) -> int:
        return socket.socket.send(self, data, flags)

    def _get(self, size: int, flags: int) -> bytes:
        return socket.socket.recv(self, size, flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file by ``send``, as where the system cannot send files."""
        return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined,no-any-return]  # socket.py's


def scripted_pair(*, send: Steps = None, recv: Steps = None) -> tuple[ScriptedSocket, socket.socket]:
    r"""Return two ends of a connection, of which the first follows scripts: see ``Script``.

    >>> from bytebufs import Outbox
    >>> from bytebufs.testing import STALL, scripted_pair
    >>> ours, theirs = scripted_pair(send=[2, STALL])
    >>> outbox = Outbox()
    >>> outbox.put(b"hello")
    >>> outbox.flush(ours)
    2
    >>> theirs.recv(10)
    b'he'
    >>> ours.close(); theirs.close()
    """
    here, there = socket.socketpair()
    return ScriptedSocket(fileno=here.detach(), send=send, recv=recv), there


def tiny_pair() -> tuple[socket.socket, socket.socket]:
    """Return two ends of a connection for which the kernel holds as little as it can: writes stop half-way.

    Both are plain sockets, so all is as with any other: gathered writes, files by reference, waiting.
    """
    pair = socket.socketpair()
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel raises that to its least
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    return pair


class FakeFile(io.RawIOBase):
    r"""A raw file without a descriptor: gives ``data``, then the end; keeps what it is sent in ``sent``.

    >>> import io
    >>> from bytebufs.testing import STALL, FakeFile
    >>> file = FakeFile(b"hello", read=[STALL, 2])
    >>> file.read(10) is None  # a raw file's "not now"
    True
    >>> io.BufferedReader(file).read()
    b'hello'

    ``write`` and ``read`` are scripts: see ``Script``. STALL is None, as raw files say it; others are raised.
    """

    def __init__(self, data: Buffer = b"", *, write: Steps = None, read: Steps = None) -> None:
        self._socket = FakeSocket(data, send=write, recv=read)

    @property
    def sent(self) -> bytearray:
        """What was written."""
        return self._socket.sent

    def writable(self) -> bool:
        """Say that it takes bytes."""
        return True

    def readable(self) -> bool:
        """Say that it gives bytes."""
        return True

    def write(self, data: Buffer, /) -> int | None:
        """Take as much as the script says, and return how many bytes that was."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return None

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Give as much as the script says, and return how many bytes that was."""
        try:
            return self._socket.recv_into(buffer)
        except BlockingIOError:
            return None
