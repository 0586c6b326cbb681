"""Writing: a buffer through one of asyncio's own StreamWriters or transports."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from .._core.audit import count_copy
from .._core.parts import LazyOwner, Run, memory_view
from ..errors import ClosedError, TruncatedFile
from ..files.opening import name_of
from ..slice_buffer import SliceBuffer

if TYPE_CHECKING:
    from ..base_buffer import Part

__all__ = ["write"]

_CHUNK: Final = 64 << 10
_MOST: Final = 256 << 10
"""Bytes that wait in a transport before the next ones of a file are read."""
_LOOK: Final = 0.005
"""Seconds between two looks at a transport."""


async def write(target: asyncio.StreamWriter | asyncio.WriteTransport, part: Part) -> None:
    """Send a part through a StreamWriter, whose ``drain()`` is awaited at the end, or through a transport.

    A part is bytes-like, a buffer as it is now, or a range of a file: what lies in files goes by ``loop.sendfile``, and
    by reading 64 KiB at a time where that is not to be had (uvloop, TLS). Each piece of memory is one ``write``: so
    backpressure holds on every version of asyncio, and no piece is empty or of another format than "B". Transports
    copy what they cannot send at once, or keep views of it: mutable memory is not to be changed before it has gone.

    One task may do this at a time. If it is cancelled, or raises, a part of it may have been sent: close the connection
    then. Raises TypeError for what is no part, TruncatedFile if a file has become shorter, ClosedError if the transport
    is closing, and ConnectionResetError from ``drain()``. Copies: what is read of files ("fallback").
    """
    writer = target if isinstance(target, asyncio.StreamWriter) else None
    transport = target.transport if isinstance(target, asyncio.StreamWriter) else target
    whole = SliceBuffer(part)
    for entry in whole._entries():
        _refuse_closing(transport)
        if isinstance(entry, Run) and isinstance(entry.owner, LazyOwner) and entry.owner._fd >= 0:
            await _write_file(transport, writer, entry, entry.owner)
        else:
            transport.write(memory_view(entry))
    if writer is not None:
        await writer.drain()


def _refuse_closing(transport: asyncio.WriteTransport) -> None:
    """Raise if what is written would vanish."""
    # That of TLS does not say so once the connection is lost, but then it has no socket any more.
    is_tls = not transport.is_closing() and transport.get_extra_info("sslcontext") is not None
    if transport.is_closing() or (is_tls and transport.get_extra_info("socket") is None):
        raise ClosedError("the transport")


async def _write_file(
    transport: asyncio.WriteTransport, writer: asyncio.StreamWriter | None, run: Run, owner: LazyOwner
) -> None:
    at = owner.offset + run.start
    stop = owner.offset + run.stop
    owner._assert_whole(run.stop)
    if not owner.stable:
        at += await _send_file(transport, owner._fd, at, stop - at)
    while at < stop:
        _refuse_closing(transport)
        data = os.pread(owner._fd, min(_CHUNK, stop - at), at)
        if not data:
            owner._assert_whole(run.stop)
            raise TruncatedFile(name_of(owner), stop, at)
        count_copy("stable" if owner.stable else "fallback", len(data))
        transport.write(data)
        at += len(data)
        await asyncio.sleep(0)  # others have their turn, and a lost connection is told of
        if writer is None:
            await _until_written(transport, _MOST)
        else:
            await writer.drain()


async def _until_written(transport: asyncio.WriteTransport, most: int) -> None:
    """Wait until a transport, which tells nobody but its protocol, has at most so many bytes left."""
    while transport.get_write_buffer_size() > most:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK)


async def _send_file(transport: asyncio.WriteTransport, fd: int, at: int, size: int) -> int:
    """Return how many bytes the system has sent by itself."""
    try:
        # Opened anew: asyncio moves the position, which a duplicate would share with the file of the user.
        file = open(f"/proc/self/fd/{fd}", "rb", buffering=0)  # noqa: ASYNC230, PTH123, SIM115
    except OSError:
        return 0  # no such place on this system, or no right to read: whoever gave the descriptor had one
    with file:
        # That of asyncio, cancelled while it waits for this itself, leaves a transport that is of no use.
        await _until_written(transport, 0)
        try:
            return await asyncio.get_running_loop().sendfile(transport, file, at, size, fallback=False)
        except (NotImplementedError, RuntimeError, asyncio.SendfileNotAvailableError):
            return 0
