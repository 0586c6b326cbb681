"""BufferFile: a buffer as a binary file, for what only reads files."""

from __future__ import annotations

import io
from operator import index
from typing import TYPE_CHECKING, SupportsIndex, final

from .base_buffer import writable_view
from .errors import ClosedError
from .slice_buffer import SliceBuffer

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .base_buffer import Part

__all__ = ["BufferFile"]


@final
class BufferFile(io.BufferedIOBase):
    r"""A read-only binary file over the bytes of a buffer as it is now, in however many parts they lie.

    >>> import csv, io
    >>> from bytebufs import CompositeBuffer
    >>> file = BufferFile(CompositeBuffer([b"a,b\r\nc", b",d\r\n"]))
    >>> list(csv.reader(io.TextIOWrapper(file, newline="")))
    [['a', 'b'], ['c', 'd']]

    For what takes nothing but files: ``zipfile``, ``tarfile``, ``json.load``, ``pickle.load``. It answers as an
    ``io.BufferedReader`` over the same bytes would, and copies no more than what is read. Nothing is let go of before
    it is closed. Belongs to one thread.
    """

    if TYPE_CHECKING:
        name: object  # it has none: typeshed says this of io.BytesIO, too, and wants it for a TextIOWrapper

    def __init__(self, buffer: Part) -> None:
        """Open what is bytes-like, a buffer, or a range of a file, at its front. Copies: nothing."""
        self._whole = buffer if isinstance(buffer, SliceBuffer) else SliceBuffer(buffer)
        self._at = 0

    def close(self) -> None:
        """Let go of the bytes. Every later call is a ClosedError, but ``close`` itself."""
        super().close()
        self._whole = SliceBuffer(b"")

    def _refuse_if_closed(self) -> None:
        if self.closed:
            raise ClosedError("the file")

    def readable(self) -> bool:
        """Return True."""
        self._refuse_if_closed()
        return True

    def seekable(self) -> bool:
        """Return True."""
        self._refuse_if_closed()
        return True

    def tell(self) -> int:
        """Return the position, in bytes from the front."""
        self._refuse_if_closed()
        return self._at

    def seek(self, offset: SupportsIndex, whence: SupportsIndex = io.SEEK_SET, /) -> int:
        """Go to a position counted from the front, from here (``whence`` 1) or from the end (2), and return it.

        It may lie behind the end, where nothing is read. Raises ValueError for a negative one, and an unknown whence.
        """
        self._refuse_if_closed()
        at, origin = index(offset), index(whence)
        if origin == io.SEEK_CUR:
            at = max(0, at + self._at)
        elif origin == io.SEEK_END:
            at = max(0, at + self._whole._size())
        elif origin != io.SEEK_SET:
            raise ValueError(f"whence is 0, 1 or 2, not {origin}")
        if at < 0:
            raise ValueError(f"a position is not negative: {at}")
        self._at = at
        return at

    def _stop(self, size: SupportsIndex | None) -> int:
        """Return where a read of that many bytes ends; of all that is left for None and negative ones."""
        self._refuse_if_closed()
        wanted = -1 if size is None else index(size)
        end = max(self._at, self._whole._size())
        return end if wanted < 0 else min(end, self._at + wanted)

    def _read_to(self, stop: int) -> bytes:
        data = self._whole[self._at : stop].tobytes()
        self._at = stop
        return data

    def read(self, size: SupportsIndex | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, all that is left for None or a negative number; b"" at the end.

        Copies: them ("tobytes"), or nothing if they are exactly one ``bytes`` object.
        """
        return self._read_to(self._stop(size))

    def read1(self, size: SupportsIndex | None = -1, /) -> bytes:
        """Read as ``read()`` does: nothing has to be waited for."""
        return self._read_to(self._stop(size))

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill writable memory with what comes next, and return the number of bytes. Copies: them ("copy_into")."""
        target = writable_view(buffer)
        stop = self._stop(target.nbytes)
        self._whole.copy_into(target, self._at, stop)
        size = max(0, stop - self._at)
        self._at = stop
        return size

    def readinto1(self, buffer: Buffer, /) -> int:
        """Read as ``readinto()`` does."""
        return self.readinto(buffer)

    def readline(self, size: SupportsIndex | None = -1, /) -> bytes:
        r"""Read up to and with the next ``b"\n"``, and no more than ``size`` bytes; the rest if there is none.

        Complexity: linear in the line. Copies: it ("tobytes").
        """
        stop = self._stop(size)
        found = self._whole.find(b"\n", self._at, stop)
        return self._read_to(stop if found < 0 else found + 1)

    def __repr__(self) -> str:
        """Say where it stands, of how many bytes."""
        return f"<BufferFile: {'closed' if self.closed else f'at byte {self._at} of {self._whole._size()}'}>"
