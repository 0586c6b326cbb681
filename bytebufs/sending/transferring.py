"""From descriptor to descriptor, by the kernel where it can: ``FileChannel.transferTo``.

The ladder, each rung tried in turn until one serves:

    sendfile          a regular file to anything but a file opened with O_APPEND
    copy_file_range   a regular file to a regular file
    splice            anything to or from a pipe
    copy              anything: 64 KiB at a time through the process (counted as "fallback")

A rung that the platform lacks, or that refuses before any byte moved, gives way to the next; after a byte it never
does. If it was not the call that was wrong, the last rung meets the error, too, and raises it. A regular file is read
at an explicit offset, never at the position that others may share.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import stat
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, SupportsIndex, TypeAlias, TypeVar, cast

from .._core.audit import count_copy
from .._core.parts import size_of
from ..errors import TruncatedFile
from ..files.opening import descriptor_of, is_plain_file, kind_of, name_of, read_at, retried
from ..files.region import FileRegion
from ..slice_buffer import SliceBuffer
from .channels import REFUSED_BY_REFERENCE, channel_to, is_plain_socket
from .flushing import flush, send_all, tell_flushed
from .plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..files.opening import BinaryFile, File
    from .channels import Sink

__all__ = ["How", "Transferred", "transfer"]

How: TypeAlias = Literal["sendfile", "copy_file_range", "splice", "copy", "nothing"]
"""The call that moved the bytes; "nothing" if there were none."""

_CALL_MAX: Final = 1 << 30
_BLOCK: Final = 65536
"""Bytes a turn of the last rung: what a pipe holds, and what the second-level cache keeps."""

# The answers of a call that is not there, or not for these two files. copy_file_range(2) adds EBADF, for O_APPEND,
# EXDEV, for two file systems, and ETXTBSY. Go's library and the GNU coreutils fall back on much the same.
_REFUSED: Final = REFUSED_BY_REFERENCE | {errno.EBADF, errno.EXDEV, errno.ETXTBSY}

# poll where there is one: select takes no descriptor above 1 023.
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)

_T = TypeVar("_T")
_Rung: TypeAlias = "tuple[How, Callable[[int], int]]"


class Transferred(NamedTuple):
    """What ``transfer()`` did: so many bytes, by that call."""

    nbytes: int
    """How many bytes went."""
    how: How
    """The call that they went by: "sendfile", "copy_file_range", "splice" or "copy"."""


def transfer(
    src: File | FileRegion, dst: Sink, offset: SupportsIndex = 0, count: SupportsIndex | None = None
) -> Transferred:
    """Move ``count`` bytes of ``src`` from ``offset`` on, or all up to its end, to ``dst``, blocking.

    ``src`` is a path, a descriptor, a file opened in binary mode, or a FileRegion, in which the offset counts. A
    regular file is read there and keeps its position. A pipe, socket or terminal is read from where it stands, up to
    its end if no count is given, and has no offset. ``dst`` is what ``flush()`` takes: written at its own position,
    and waited for if it is in non-blocking mode; a socket's timeout is the total.

    The result says how many bytes went and by which call, the first of ``sendfile``, ``copy_file_range``, ``splice``
    and ``copy`` that serves. By ``sendfile`` a peer gets what the file holds when it reads; a ``stable`` region is
    copied.

    Raises TruncatedFile if the source ends before ``count`` bytes: at once where its size tells, else when it is
    found out. ValueError for an offset into a pipe, IndexError for a range beyond a region, TypeError for what is no
    source or sink, FileNotFoundError and its like for what cannot be opened. An error that comes later has
    ``bytes_flushed`` set as that of ``flush()``: so many bytes went. If copying from a pipe fails, up to 64 KiB more
    were taken from it. Without a count a file of /sys ends where its bytes do, though it says that it is longer.

    Copies: nothing, but by ``copy`` everything ("fallback", or "stable" of a region). Sources: sendfile(2),
    copy_file_range(2), splice(2).
    """
    start = size_of(offset)
    wanted = None if count is None else size_of(count)
    flush(b"", dst)  # refuses what is no sink, in its own words
    fd, name, is_ours = _opened(src)
    try:  # no context manager of contextlib's: those set attributes on errors, and not all errors take them
        job = _Transfer(fd, name, dst)
        try:
            if isinstance(src, FileRegion):
                job.measure_region(src, start, wanted)
            else:
                job.measure(start, wanted)
            how = job.run()
        except BaseException as error:
            tell_flushed(error, job.moved)
            raise
    finally:
        if is_ours:
            os.close(fd)
    return Transferred(job.moved, how)


def _opened(src: File | FileRegion) -> tuple[int, str, bool]:
    """Return the descriptor to read from, what to call it, and whether it is ours to close, being a path's."""
    if isinstance(src, FileRegion):
        return src._fd, src.name, False
    name = name_of(src)
    if not isinstance(src, (str, bytes, os.PathLike)):
        return _stream_or_file(src, name), name, False
    return retried(lambda: os.open(src, os.O_RDONLY | getattr(os, "O_BINARY", 0))), name, True


def _stream_or_file(src: object, name: str) -> int:
    fd = descriptor_of(src)
    if hasattr(src, "peek") and not stat.S_ISREG(os.fstat(fd).st_mode):
        raise TypeError(f"{name} may have been read ahead, and its buffer would be left out: give its fileno()")
    return fd


class _Transfer:
    """One transfer: where it stands, and the calls that take it on."""

    def __init__(self, fd: int, name: str, sink: Sink) -> None:
        self.moved = 0
        self._fd = fd
        self._name = name
        self._sink = sink
        self._sink_fd = -1
        self._regular = True
        self._sized = True
        self._reason = "fallback"
        self._start = 0
        self._count: int | None = None
        self._to_the_end = False
        timeout = sink.gettimeout() if isinstance(sink, socket.socket) else None
        self._deadline = time.monotonic() + timeout if timeout else None  # 0 is non-blocking, None blocks for ever

    # -- how much there is

    def measure_region(self, region: FileRegion, start: int, wanted: int | None) -> None:
        stop = max(start, region.nbytes) if wanted is None else start + wanted
        if stop > region.nbytes:
            raise IndexError(f"[{start}:{stop}] reaches beyond the {region.nbytes} bytes of {region!r}")
        region._assert_whole(stop)
        self._start = region.offset + start
        self._count = stop - start
        if region.stable:
            self._reason = "stable"

    def measure(self, start: int, wanted: int | None) -> None:
        status = os.fstat(self._fd)
        self._regular = stat.S_ISREG(status.st_mode)
        if not self._regular and start:
            raise ValueError(f"{self._name} is {kind_of(status.st_mode)}, which has no offset {start}")
        self._start = start
        self._count = wanted
        # Files of /proc say that they are empty, and are read like pipes.
        self._sized = self._regular and status.st_size > 0
        if not self._sized:
            return
        expected = start if wanted is None else start + wanted
        if expected > status.st_size:
            raise TruncatedFile(self._name, expected, status.st_size)
        self._count = status.st_size - start if wanted is None else wanted
        self._to_the_end = wanted is None

    def _left(self, most: int) -> int:
        return most if self._count is None else min(most, self._count - self.moved)

    # -- moving

    def run(self) -> How:
        """Move everything and return by which call."""
        ladder = self._ladder()
        while most := self._left(_CALL_MAX):
            if self.moved and self._deadline is not None and time.monotonic() > self._deadline:
                raise TimeoutError("timed out")
            taken = self._try(ladder[0][1], most, last=len(ladder) == 1)
            if taken:
                self.moved += taken
            elif self.moved or len(ladder) == 1:
                self._assert_ended()
                break
            else:
                del ladder[0]
        return ladder[0][0] if self.moved else "nothing"

    def _try(self, call: Callable[[int], int], most: int, *, last: bool) -> int:
        """Return how many bytes a rung moved; 0 at the end, and where the rung does not serve.

        A file without a size is at its end at once for some calls: only reading tells.
        """
        try:
            return call(most)
        except OSError as error:
            if self.moved or last or error.errno not in _REFUSED:
                raise
            return 0

    def _ladder(self) -> list[_Rung]:
        ladder: list[_Rung] = [("copy", self._copy)]
        if self._reason == "stable" or not self._reach():
            return ladder
        if hasattr(os, "splice"):
            ladder.insert(0, ("splice", self._splice))
        if self._regular and hasattr(os, "copy_file_range"):
            ladder.insert(0, ("copy_file_range", self._copy_file_range))
        if self._regular and hasattr(os, "sendfile"):
            ladder.insert(0, ("sendfile", self._sendfile))
        return ladder

    def _reach(self) -> bool:
        """Find the sink's descriptor. False where its bytes go another way: over TLS, into memory."""
        sink = self._sink
        if isinstance(sink, int):
            self._sink_fd = sink
        elif isinstance(sink, socket.socket) and is_plain_socket(sink):
            self._sink_fd = sink.fileno()
        elif is_plain_file(sink):
            self._sink_fd = cast("BinaryFile", sink).fileno()
            self._patiently(cast("BinaryFile", sink).flush)
        return self._sink_fd >= 0

    def _sendfile(self, most: int) -> int:
        return self._patiently(lambda: os.sendfile(self._sink_fd, self._fd, self._start + self.moved, most))

    def _copy_file_range(self, most: int) -> int:
        return self._patiently(
            lambda: os.copy_file_range(self._fd, self._sink_fd, most, offset_src=self._start + self.moved)
        )

    def _splice(self, most: int) -> int:
        at = self._start + self.moved if self._regular else None
        return self._patiently(lambda: os.splice(self._fd, self._sink_fd, most, offset_src=at))

    def _copy(self, most: int) -> int:
        data = self._patiently(lambda: self._read(min(most, _BLOCK)))
        count_copy(self._reason, len(data))
        if not data:
            return 0
        channel = channel_to(self._sink)
        plan = Plan(SliceBuffer(data), iov_max=channel.iov_max)
        try:
            send_all(plan, channel)
        except BaseException:
            self.moved += plan.position
            raise
        return len(data)

    def _read(self, most: int) -> bytes:
        return read_at(self._fd, most, self._start + self.moved) if self._regular else os.read(self._fd, most)

    def _assert_ended(self) -> None:
        """Raise TruncatedFile if the source ended too early."""
        at = self._start + self.moved
        expected = self._start if self._count is None else self._start + self._count
        if at < expected or (not self.moved and expected):
            size = os.fstat(self._fd).st_size
            if self._to_the_end and size >= expected:
                return  # it has not shrunk: files of /sys hold less than they say
            found = min(at, size) if self._sized or not self.moved else at
            raise TruncatedFile(self._name, expected, found)

    # -- waiting

    def _patiently(self, call: Callable[[], _T]) -> _T:
        """Return ``call()``. While that says "not now", wait until both ends are ready and call again."""
        while True:
            try:
                return call()
            except BlockingIOError:
                if not self._wait():
                    raise

    def _wait(self) -> bool:
        """Wait for the ends that may say "not now"; which one did, nobody knows. False if none does."""
        ends = [] if self._regular else [(self._fd, selectors.EVENT_READ)]
        if self._sink_fd >= 0:
            ends.append((self._sink_fd, selectors.EVENT_WRITE))
        waiting = [(fd, event) for fd, event in ends if not os.get_blocking(fd)]
        for fd, event in waiting:
            remaining = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            with _Selector() as selector:
                selector.register(fd, event)
                if remaining == 0 or not selector.select(remaining):
                    raise TimeoutError("timed out")
        return bool(waiting)
