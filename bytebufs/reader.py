"""Reader: the typed cursor over any buffer.

The bytes around the position lie in ``_data``, and reads that stay inside it touch nothing else:

    _data   |........|XXXXXXXXXXXX|....|      the owner of the current part, or read-ahead
                     _at          _end
    position of a byte in the table = its index in _data + _shift

Over a bytes object ``_data`` is that object itself. At a seam it is a copy of the few bytes that a read spans, and
over other memory a read-ahead of at most 256 bytes. None of them is a payload copy: nothing refers to them later.
"""

from __future__ import annotations

import sys
from array import array
from codecs import lookup
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, SupportsIndex, TypeAlias, final

from mypy_extensions import mypyc_attr

from ._core.audit import count_copy
from ._core.layout import preview
from ._core.numbers import COMPILED, uint
from ._core.parts import int_of, join, pour, size_of
from ._core.search import BLOCK, scratch
from ._core.seeker import Looks, Seeker
from ._core.table import Table
from .errors import ClosedError, FrameError, LimitExceeded, TextError, Underrun, underrun

if TYPE_CHECKING:
    from codecs import IncrementalDecoder
    from collections.abc import Callable, Iterator

    from mypy_extensions import i64

    from ._core.parts import Owner
    from .base_buffer import BaseBuffer, BytesLike
    from .slice_buffer import SliceBuffer

__all__ = ["ByteOrder", "Reader"]

ByteOrder: TypeAlias = Literal["big", "little"]
_UnpackFrom: TypeAlias = "Callable[[bytes | memoryview, int], tuple[Any, ...]]"

_FEW: Final = 4096
"""Bytes up to which a value is read out of the bytes that are at hand, like a number."""

_READ_AHEAD: Final = 256
"""Bytes copied ahead over memory that is not ``bytes``: enough for most headers, far less than a page."""

_ANYWHERE: Final = 1 << 80
"""A position that nothing reaches: the end of a reader that no limit was set for."""

_NO_BYTES: Final = b""

_underrun: Final = underrun  # bound here, since compiled code looks up at each use what others define

_U16_BE: Final = Struct(">H").unpack_from
_U16_LE: Final = Struct("<H").unpack_from
_U32_BE: Final = Struct(">I").unpack_from
_U32_LE: Final = Struct("<I").unpack_from
_U64_BE: Final = Struct(">Q").unpack_from
_U64_LE: Final = Struct("<Q").unpack_from
_F32_BE: Final = Struct(">f").unpack_from
_F32_LE: Final = Struct("<f").unpack_from
_F64_BE: Final = Struct(">d").unpack_from
_F64_LE: Final = Struct("<d").unpack_from

_LINE_ENDS: Final = (b"\n", b"\r\n")
_NUL: Final = (b"\0",)
_CR: Final = 13
_MAX_VARINT: Final = 1 << 64
_MOST_VARINT_BYTES: Final = 10
_LONG_VARINT: Final = 63
"""Bits that an i64 has room for."""

_ARRAY_SIZES: Final = {
    "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "l": 4, "L": 4, "q": 8, "Q": 8, "f": 4, "d": 8,
}  # fmt: skip
"""The standard sizes of the struct module, which those of this machine's C compiler may differ from ("l")."""

MOST_BLOCKS: Final = 64
"""Blocks that a long text is made of, so that it is never copied more than 32 times over."""

_OF_FOUR_BYTES: Final = {"l": "i", "L": "I"}
"""What has the size that struct gives to a type, where this machine's own is another."""

_SEAMLESS: Final = frozenset(
    ["ascii", "cp1252", "iso8859-1", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le", "utf-8"]
)
"""Encodings whose decoders give the same text in pieces. Not all do: that of punycode takes each piece for a whole.

Whose decoder is not known to, it is given all bytes at once: those that programs register among them.
"""


@final
@mypyc_attr(free_list_len=1)
class Lease:
    """What a reader and its buffer share: whether what the reader has seen of the buffer still holds.

    ``writes`` tells by a change that bytes were written to, which ends no reader: what was looked for may be there now.
    """

    __slots__ = ("closed", "valid", "writes")

    def __init__(self) -> None:
        self.valid: bool = True
        self.closed: bool = False
        self.writes: int = 0

    def revoke(self) -> None:
        """The buffer changed: its readers' next call is an error."""
        self.valid = False

    def close(self) -> None:
        """The reader is not to be used any more."""
        self.valid = False
        self.closed = True

    def refuse(self) -> None:
        """Raise what a call on a reader without a valid lease deserves."""
        if self.closed:
            raise ClosedError("the reader")
        if not self.valid:
            raise RuntimeError("the buffer changed under its reader")


@final
@mypyc_attr(free_list_len=1)
class Wait:
    """What a failed read waits for: the bytes in front of an absolute position, or a separator.

    A varint that is not whole waits for its next byte, but nobody needs to hear of that one if it is not the last:
    ``varint_stop`` is where the longest that is allowed would end, and 0 for everything else.
    """

    __slots__ = ("before", "byteorder", "error", "fn", "front", "limit", "position", "seeker", "varint_stop")

    def __init__(self, position: int, seeker: Seeker | None = None, limit: int = 0, *, varint_stop: int = 0) -> None:
        self.position: int = position
        self.seeker: Seeker | None = seeker
        self.limit: int = limit
        self.varint_stop: int = varint_stop
        # While the parser runs: what the read raised, and what another waits for that failed before it.
        self.error: Underrun | None = None
        self.before: Wait | None = None
        # Afterwards: which parser it is that waits, and where the front was.
        self.fn: object = None
        self.byteorder: ByteOrder = "big"
        self.front: int = 0


@final
@mypyc_attr(free_list_len=1)
class Reader:
    r"""A cursor that decodes numbers, text and slices, in one byte order unless a call fixes its own.

    >>> from bytebufs import SliceBuffer
    >>> r = SliceBuffer(b"\x00\x05hello, world").reader()
    >>> r.take_bytes(r.u16())
    b'hello'
    >>> r.remaining
    7

    Made by ``buffer.reader()``; never drains the buffer. On a CompositeBuffer it is live: bytes that are appended
    become readable, any other change makes the next call a RuntimeError. A read that wants more than there is raises
    Underrun and leaves the position where it was; so does every other failed read. Over memory that is not ``bytes``,
    up to 256 bytes are read ahead, so that a change made to them under a live reader may be seen late.

    Reading copies no payload, but for ``take_bytes``, ``text`` and ``array``, which are counted. Belongs to one thread.
    """

    __slots__ = (
        "_at", "_base", "_begin", "_bounded", "_buffer", "_data", "_end", "_failed", "_front", "_hint", "_known_table",
        "_lease", "_limit", "_little", "_looks", "_shift", "_stop",
    )  # fmt: skip

    # Indexes in _data: what a read does with them is most of what it costs, and i64 makes that a third less.
    _begin: i64
    _at: i64
    _end: i64

    # For buffers alone. The package's __init__.py has others told so: defaults here would cost each reader 4 ns in the
    # compiled build.
    def __init__(self, buffer: BaseBuffer, lease: Lease | None, byteorder: ByteOrder, limit: int | None = None) -> None:
        little = byteorder != "big"
        if lease is None or (little and byteorder != "little"):
            _refuse(lease, byteorder)
        self._little = little
        self._buffer = buffer
        self._lease = lease
        self._known_table: Table | None = None
        self._front = buffer._start
        # The front of the whole, from which `limit` and the places in errors count. A child's own lies behind it.
        self._base = buffer._start
        self._limit = limit
        self._bounded = False
        self._stop = 0
        source = buffer._source
        if isinstance(source, bytes) and limit is None:
            self._data = source
            self._begin = self._at = buffer._start
            self._end = buffer._stop
            self._shift = 0
        elif limit is None or not self._begin_in_first(source, limit):
            self._move(buffer._start)
        # What failed last under parse(), which may be told of any of them, and what it waited for since the last time.
        self._failed: Wait | None = None
        self._hint: Wait | None = None
        # The searches that failed, and the position and the state of the bytes for which that is true.
        self._looks: tuple[int, int, Looks] | None = None

    def _begin_in_first(self, source: Owner | Table, limit: int) -> bool:
        """Have the first part of a composite at hand, where most messages lie, if it is a bytes object."""
        buffer = self._buffer
        if isinstance(source, Table) and buffer._start < buffer._stop:
            try:
                entry = source.parts[source.head]
            except IndexError:
                return False  # interpreted, others may come between looking up and looking
            at = buffer._start - source.base
            if isinstance(entry, bytes) and 0 <= at < len(entry):
                self._data = entry
                self._begin = self._at = at
                self._end = min(len(entry), at + min(limit, buffer._stop - buffer._start))
                self._shift = source.base
                return True
        return False

    def _table(self) -> Table:
        """Return the buffer's table, in which a slice of one part puts itself only when it is asked to."""
        table = self._known_table
        if table is None:
            table = self._known_table = self._buffer._table()
        return table

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: a reader belongs to its buffer."""
        raise TypeError("a Reader is not copied or pickled: make another with buffer.reader()")

    def __repr__(self) -> str:
        """Say where it stands and what comes next. Never looks at the bytes of a file."""
        lease = self._lease
        if not lease.valid:
            return f"<Reader: {'closed' if lease.closed else 'the buffer changed under it'}>"
        here, last = self._here(), self._last()
        place = f"at byte {here - self._front} of {last - self._front}, {self.byteorder}-endian"
        sample = preview(self._table(), here, last)
        return f"<Reader: {place}{': ' if sample else ''}{sample}>"

    # -- where it is

    @property
    def byteorder(self) -> ByteOrder:
        """The byte order of the reads that do not fix their own."""
        return "little" if self._little else "big"

    @property
    def position(self) -> int:
        """Bytes between the reader's front and the next byte that it reads."""
        self._lease.refuse()
        return self._here() - self._front

    @property
    def remaining(self) -> int:
        """Bytes between the position and the end of what is there now.

        RuntimeError on the very reader that ``parse`` gives: what is there now depends on how the bytes were cut. What
        is read as a whole has an end: a ``sub(n)`` or ``limited(n)``, and a reader over a slice.
        """
        return self._end_of_all() - self._here()

    @property
    def at_end(self) -> bool:
        """Whether nothing is left. RuntimeError as for ``remaining``."""
        return self._end_of_all() <= self._here()

    def _end_of_all(self) -> int:
        """Return the table position of the end, if there is one."""
        self._lease.refuse()
        if self._limit is not None:
            raise RuntimeError(
                "how much is there depends on how the bytes were cut: read what the message says, or sub(n)"
            )
        return self._last()

    def seek(self, position: SupportsIndex) -> None:
        """Go to a position, counted from the reader's front. Underrun beyond the bytes that are there."""
        target = size_of(position)
        at = self._front + target - self._shift
        first: int = self._begin  # what is held against an i64 has to be one, as in _here()
        last: int = self._end
        if first <= at <= last and self._lease.valid:
            self._at = at
            return
        self._lease.refuse()
        self._reach(self._front, target)
        self._move(self._front + target)

    def _here(self) -> int:
        """Return the table position of the next byte."""
        at: int = self._at  # what is added to an i64 has to be one, and a message may be longer than that
        return at + self._shift

    def _pass(self, size: int) -> None:
        """Go on by ``size`` bytes, which are there."""
        known: int = self._end - self._at
        if size <= known:
            self._at += size
        else:
            self._move(self._here() + size)

    def _last(self) -> int:
        return self._stop if self._bounded else self._buffer._stop

    def _move(self, position: int) -> None:
        """Go to a table position and forget what is known of the bytes there."""
        self._data = _NO_BYTES
        self._begin = 0
        self._at = 0
        self._end = 0
        self._shift = position

    def _reach(self, start: int, size: int, *, varint_stop: int = 0) -> None:
        """Raise what is due if a read of ``size`` bytes from table position ``start`` cannot be had.

        Of a varint nobody has said how many they will be.
        """
        self._allow(start, size, is_told=varint_stop == 0)
        if size > self._last() - start:
            raise self._underrun(start, size, varint_stop)

    def _place(self, position: int) -> int | None:
        """Return where a read is in the message, for an underrun: none that only makes parse() wait needs it."""
        return None if self._limit is not None else position - self._base

    def _allow(self, start: int, size: int, *, is_told: bool) -> None:
        if self._limit is not None and size > self._base + self._limit - start:
            at = start - self._base
            raise LimitExceeded(self._limit, at + size if is_told else None, at)

    def _underrun(self, start: int, size: int, varint_stop: int = 0) -> Underrun:
        """Return the error of a read that wants more than there is, which parse() may be told of."""
        error = _underrun(size, self._last() - start, None, self._place(start))
        return error if self._limit is None else self._noted(error, Wait(start + size, varint_stop=varint_stop))

    def _noted(self, error: Underrun, wait: Wait) -> Underrun:
        if self._limit is not None:
            wait.error = error
            wait.before = self._failed
            self._failed = wait
        return error

    def _wait_for(self, error: Underrun) -> Wait | None:
        """Return what a failed read of this very reader waits for; None if another one raised the error."""
        wait = self._failed
        while wait is not None and wait.error is not error:
            wait = wait.before
        if wait is not None:
            wait.error = wait.before = None
        return wait

    def _fill(self, size: int) -> i64:
        """See to it that the next ``size`` bytes, one or more, stand in ``_data``, from ``_at`` on; return that."""
        lease = self._lease
        if not lease.valid:
            lease.refuse()
        position = self._here()
        last = self._last()
        if self._limit is not None:
            most = self._base + self._limit
            if size > most - position:
                at = position - self._base
                raise LimitExceeded(self._limit, at + size, at)
            if size > last - position:
                raise self._underrun(position, size)  # from here: each call that it leaves by costs 150 ns
            if most < last:
                last = most
        elif size > last - position:
            raise self._underrun(position, size)
        table = self._table()
        i = table.locate(position)
        entry = table.parts[i]
        begin = table.begin(i)
        stop = min(table.ends[i], last)
        owner = entry if isinstance(entry, bytes) else entry.owner
        if isinstance(owner, bytes) and size <= stop - position:
            self._data = owner
            self._shift = begin if isinstance(entry, bytes) else begin - entry.start
            self._begin = begin - self._shift
        else:
            stop = min(last, position + (size if isinstance(owner, bytes) else max(size, _READ_AHEAD)))
            self._data = scratch(table, position, stop)
            self._shift = position
            self._begin = 0
        at = position - self._shift
        self._at = at
        self._end = stop - self._shift
        return at

    # -- numbers

    def u8(self) -> int:
        """Read an unsigned byte."""
        at = self._at
        if at >= self._end or not self._lease.valid:
            at = self._fill(1)
        self._at = at + 1
        return self._data[at]

    def u16(self) -> int:
        """Read an unsigned 16-bit number in the reader's order."""
        at = self._at
        stop = at + 2
        if stop > self._end or not self._lease.valid:
            at = self._fill(2)
            stop = at + 2
        self._at = stop
        if COMPILED:
            return uint(self._data, at, 2, little=self._little)
        value: int = (_U16_LE if self._little else _U16_BE)(self._data, at)[0]
        return value

    def u32(self) -> int:
        """Read an unsigned 32-bit number in the reader's order."""
        at = self._at
        stop = at + 4
        if stop > self._end or not self._lease.valid:
            at = self._fill(4)
            stop = at + 4
        self._at = stop
        if COMPILED:
            return uint(self._data, at, 4, little=self._little)
        value: int = (_U32_LE if self._little else _U32_BE)(self._data, at)[0]
        return value

    def u64(self) -> int:
        """Read an unsigned 64-bit number in the reader's order."""
        at = self._at
        stop = at + 8
        if stop > self._end or not self._lease.valid:
            at = self._fill(8)
            stop = at + 8
        self._at = stop
        if COMPILED:
            return uint(self._data, at, 8, little=self._little)
        value: int = (_U64_LE if self._little else _U64_BE)(self._data, at)[0]
        return value

    def _uint(self, size: int, *, little: bool) -> int:
        if size > 8:
            pieces = self._next(size)
            self._pass(size)
            return int.from_bytes(b"".join(pieces), "little" if little else "big")
        at = self._at
        if size > self._end - at or not self._lease.valid:
            at = self._fill(size)
        self._at = at + size
        return uint(self._data, at, size, little=little)

    def _sint(self, size: int, *, little: bool) -> int:
        value = self._uint(size, little=little)
        return value - (1 << 8 * size) if value >> (8 * size - 1) else value

    def _ahead(self, size: int) -> i64:
        """See to it that the next ``size`` bytes stand in ``_data``, and return where."""
        at = self._at
        return self._fill(size) if size > self._end - at or not self._lease.valid else at

    def _peek_uint(self, size: int, *, little: bool) -> int:
        at = self._ahead(size)
        return uint(self._data, at, size, little=little)

    def _peek_sint(self, size: int, *, little: bool) -> int:
        value = self._peek_uint(size, little=little)
        return value - (1 << 8 * size) if value >> (8 * size - 1) else value

    def _peek_float(self, unpack_from: _UnpackFrom, size: int) -> float:
        at = self._ahead(size)
        value: float = unpack_from(self._data, at)[0]
        return value

    def _float(self, unpack_from: _UnpackFrom, size: int) -> float:
        at = self._at
        if size > self._end - at or not self._lease.valid:
            at = self._fill(size)
        self._at = at + size
        value: float = unpack_from(self._data, at)[0]
        return value

    def i8(self) -> int:
        """Read a signed byte."""
        return self._sint(1, little=False)

    def u16_be(self) -> int:
        """Read an unsigned 16-bit number, big-endian."""
        return self._uint(2, little=False)

    def u16_le(self) -> int:
        """Read an unsigned 16-bit number, little-endian."""
        return self._uint(2, little=True)

    def u24(self) -> int:
        """Read an unsigned 24-bit number in the reader's order."""
        return self._uint(3, little=self._little)

    def u24_be(self) -> int:
        """Read an unsigned 24-bit number, big-endian."""
        return self._uint(3, little=False)

    def u24_le(self) -> int:
        """Read an unsigned 24-bit number, little-endian."""
        return self._uint(3, little=True)

    def u32_be(self) -> int:
        """Read an unsigned 32-bit number, big-endian."""
        return self._uint(4, little=False)

    def u32_le(self) -> int:
        """Read an unsigned 32-bit number, little-endian."""
        return self._uint(4, little=True)

    def u64_be(self) -> int:
        """Read an unsigned 64-bit number, big-endian."""
        return self._uint(8, little=False)

    def u64_le(self) -> int:
        """Read an unsigned 64-bit number, little-endian."""
        return self._uint(8, little=True)

    def i16(self) -> int:
        """Read a signed 16-bit number in the reader's order."""
        return self._sint(2, little=self._little)

    def i16_be(self) -> int:
        """Read a signed 16-bit number, big-endian."""
        return self._sint(2, little=False)

    def i16_le(self) -> int:
        """Read a signed 16-bit number, little-endian."""
        return self._sint(2, little=True)

    def i24(self) -> int:
        """Read a signed 24-bit number in the reader's order."""
        return self._sint(3, little=self._little)

    def i24_be(self) -> int:
        """Read a signed 24-bit number, big-endian."""
        return self._sint(3, little=False)

    def i24_le(self) -> int:
        """Read a signed 24-bit number, little-endian."""
        return self._sint(3, little=True)

    def i32(self) -> int:
        """Read a signed 32-bit number in the reader's order."""
        return self._sint(4, little=self._little)

    def i32_be(self) -> int:
        """Read a signed 32-bit number, big-endian."""
        return self._sint(4, little=False)

    def i32_le(self) -> int:
        """Read a signed 32-bit number, little-endian."""
        return self._sint(4, little=True)

    def i64(self) -> int:
        """Read a signed 64-bit number in the reader's order."""
        return self._sint(8, little=self._little)

    def i64_be(self) -> int:
        """Read a signed 64-bit number, big-endian."""
        return self._sint(8, little=False)

    def i64_le(self) -> int:
        """Read a signed 64-bit number, little-endian."""
        return self._sint(8, little=True)

    def f32(self) -> float:
        """Read an IEEE 754 32-bit number in the reader's order."""
        return self._float(_F32_LE if self._little else _F32_BE, 4)

    def f32_be(self) -> float:
        """Read an IEEE 754 32-bit number, big-endian."""
        return self._float(_F32_BE, 4)

    def f32_le(self) -> float:
        """Read an IEEE 754 32-bit number, little-endian."""
        return self._float(_F32_LE, 4)

    def f64(self) -> float:
        """Read an IEEE 754 64-bit number in the reader's order."""
        return self._float(_F64_LE if self._little else _F64_BE, 8)

    def f64_be(self) -> float:
        """Read an IEEE 754 64-bit number, big-endian."""
        return self._float(_F64_BE, 8)

    def f64_le(self) -> float:
        """Read an IEEE 754 64-bit number, little-endian."""
        return self._float(_F64_LE, 8)

    def uint(self, n: SupportsIndex) -> int:
        """Read an unsigned number of ``n`` bytes, at least one, in the reader's order."""
        return self._uint(_width(n), little=self._little)

    def sint(self, n: SupportsIndex) -> int:
        """Read a signed number of ``n`` bytes (two's complement), at least one, in the reader's order."""
        return self._sint(_width(n), little=self._little)

    def varint(self, *, max_bytes: SupportsIndex = _MOST_VARINT_BYTES, minimal: bool = False) -> int:
        """Read an unsigned LEB128 number, the varint of protobuf: 7 bits a byte, the lowest first.

        Raises FrameError if it has more than ``max_bytes`` bytes or 64 bits, or, if ``minimal``, is padded with zeros.
        Source: the encoding page of the Protocol Buffers documentation.
        """
        most = max_bytes if isinstance(max_bytes, int) else int_of(max_bytes)
        if most == _MOST_VARINT_BYTES and self._lease.valid:
            # Mostly all of it is here, and has at most 63 bits.
            at = self._at
            end = self._end
            data = self._data
            value: i64 = 0
            shift: i64 = 0
            while at < end:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                if byte < 0x80:
                    if minimal and byte == 0 and shift:
                        break
                    self._at = at
                    return value
                shift += 7
                if shift == _LONG_VARINT:
                    break
        return self._long_varint(size_of(most), minimal=minimal)

    def _long_varint(self, most: int, *, minimal: bool) -> int:
        """Read a varint byte by byte, wherever they are, and with every error that there is."""
        start = self._here()
        value = 0
        for k in range(most):
            byte = self._varint_byte(start, k, most)
            value |= (byte & 0x7F) << (7 * k)
            if value >= _MAX_VARINT:
                break
            if byte < 0x80:
                if minimal and byte == 0 and k:
                    self._fail(f"the varint is padded to {k + 1} bytes", start)
                return value
        if value >= _MAX_VARINT:
            self._fail("the varint has more than 64 bits", start)
        return self._fail(f"the varint has more than {most} bytes", start)

    def _varint_byte(self, start: int, k: int, most: int) -> int:
        """Read byte ``k`` of a number that began at a table position; go back there if it has not come."""
        at = self._at
        if at >= self._end or not self._lease.valid:
            self._lease.refuse()
            try:
                self._reach(start, k + 1, varint_stop=start + min(most, _MOST_VARINT_BYTES))
                at = self._fill(1)
            except BaseException:
                self._move(start)
                raise
        self._at = at + 1
        return self._data[at]

    def _fail(self, reason: str, start: int) -> NoReturn:
        self._move(start)
        raise FrameError(reason, start - self._base)

    def zigzag(self) -> int:
        """Read a signed number as protobuf's sint64 encodes it: 0, -1, 1, -2, ... as the varints 0, 1, 2, 3, ..."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def unpack(self, fmt: str | bytes | Struct) -> tuple[Any, ...]:
        """Read the values of a struct format.

        It begins with its own byte order (``<``, ``>``, ``!`` or ``=``), else ValueError, unless nothing in it has one:
        ``"4s"``, ``"BBB"``.
        """
        layout = layout_of(fmt)
        size = layout.size
        at = self._at
        if size > self._end - at or not self._lease.valid:
            at = self._fill(size)
        self._at = at + size
        return layout.unpack_from(self._data, at)

    def array(self, typecode: str, n: SupportsIndex) -> array[Any]:
        """Read ``n`` numbers as an ``array.array``: standard sizes as in struct, in the reader's order.

        Copies: the numbers ("array").
        """
        size = _ARRAY_SIZES.get(typecode)
        if size is None:
            raise ValueError(f"the typecode is one of {' '.join(_ARRAY_SIZES)}, not {typecode!r}")
        count = size_of(n)
        nbytes = size * count
        self._lease.refuse()
        start = self._here()
        self._reach(start, nbytes)
        count_copy("array", nbytes)
        if 0 < nbytes <= _FEW and typecode not in _OF_FOUR_BYTES:
            at = self._ahead(nbytes)
            few = array(typecode, self._data[at : at + nbytes])
            if self._little != (sys.byteorder == "little"):
                few.byteswap()
            self._at = at + nbytes
            return few
        numbers = array(typecode, (0,)) * count
        swapped = self._little != (sys.byteorder == "little")
        table = self._table()
        if numbers.itemsize == size:
            if nbytes:
                pour([memoryview(numbers).cast("B")], table.pieces(start, start + nbytes))
            if swapped:
                numbers.byteswap()
        else:
            # The machine's own size is another: a block of numbers of the standard one at a time.
            step = BLOCK // size
            for at in range(0, count, step):
                low = start + at * size
                block = array(_OF_FOUR_BYTES[typecode], scratch(table, low, min(low + BLOCK, start + nbytes)))
                if swapped:
                    block.byteswap()
                numbers[at : at + step] = array(typecode, block)
        self._pass(nbytes)
        return numbers

    # -- numbers that are looked at and not passed

    def peek_u8(self) -> int:
        """Return what u8() would read, and stay. So do all whose names begin with peek."""
        return self._peek_uint(1, little=False)

    def peek_i8(self) -> int:
        """Return what i8() would read, and stay."""
        return self._peek_sint(1, little=False)

    def peek_u16(self) -> int:
        """Return what u16() would read, and stay."""
        return self._peek_uint(2, little=self._little)

    def peek_u16_be(self) -> int:
        """Return what u16_be() would read, and stay."""
        return self._peek_uint(2, little=False)

    def peek_u16_le(self) -> int:
        """Return what u16_le() would read, and stay."""
        return self._peek_uint(2, little=True)

    def peek_u24(self) -> int:
        """Return what u24() would read, and stay."""
        return self._peek_uint(3, little=self._little)

    def peek_u24_be(self) -> int:
        """Return what u24_be() would read, and stay."""
        return self._peek_uint(3, little=False)

    def peek_u24_le(self) -> int:
        """Return what u24_le() would read, and stay."""
        return self._peek_uint(3, little=True)

    def peek_u32(self) -> int:
        """Return what u32() would read, and stay."""
        return self._peek_uint(4, little=self._little)

    def peek_u32_be(self) -> int:
        """Return what u32_be() would read, and stay."""
        return self._peek_uint(4, little=False)

    def peek_u32_le(self) -> int:
        """Return what u32_le() would read, and stay."""
        return self._peek_uint(4, little=True)

    def peek_u64(self) -> int:
        """Return what u64() would read, and stay."""
        return self._peek_uint(8, little=self._little)

    def peek_u64_be(self) -> int:
        """Return what u64_be() would read, and stay."""
        return self._peek_uint(8, little=False)

    def peek_u64_le(self) -> int:
        """Return what u64_le() would read, and stay."""
        return self._peek_uint(8, little=True)

    def peek_i16(self) -> int:
        """Return what i16() would read, and stay."""
        return self._peek_sint(2, little=self._little)

    def peek_i16_be(self) -> int:
        """Return what i16_be() would read, and stay."""
        return self._peek_sint(2, little=False)

    def peek_i16_le(self) -> int:
        """Return what i16_le() would read, and stay."""
        return self._peek_sint(2, little=True)

    def peek_i24(self) -> int:
        """Return what i24() would read, and stay."""
        return self._peek_sint(3, little=self._little)

    def peek_i24_be(self) -> int:
        """Return what i24_be() would read, and stay."""
        return self._peek_sint(3, little=False)

    def peek_i24_le(self) -> int:
        """Return what i24_le() would read, and stay."""
        return self._peek_sint(3, little=True)

    def peek_i32(self) -> int:
        """Return what i32() would read, and stay."""
        return self._peek_sint(4, little=self._little)

    def peek_i32_be(self) -> int:
        """Return what i32_be() would read, and stay."""
        return self._peek_sint(4, little=False)

    def peek_i32_le(self) -> int:
        """Return what i32_le() would read, and stay."""
        return self._peek_sint(4, little=True)

    def peek_i64(self) -> int:
        """Return what i64() would read, and stay."""
        return self._peek_sint(8, little=self._little)

    def peek_i64_be(self) -> int:
        """Return what i64_be() would read, and stay."""
        return self._peek_sint(8, little=False)

    def peek_i64_le(self) -> int:
        """Return what i64_le() would read, and stay."""
        return self._peek_sint(8, little=True)

    def peek_f32(self) -> float:
        """Return what f32() would read, and stay."""
        return self._peek_float(_F32_LE if self._little else _F32_BE, 4)

    def peek_f32_be(self) -> float:
        """Return what f32_be() would read, and stay."""
        return self._peek_float(_F32_BE, 4)

    def peek_f32_le(self) -> float:
        """Return what f32_le() would read, and stay."""
        return self._peek_float(_F32_LE, 4)

    def peek_f64(self) -> float:
        """Return what f64() would read, and stay."""
        return self._peek_float(_F64_LE if self._little else _F64_BE, 8)

    def peek_f64_be(self) -> float:
        """Return what f64_be() would read, and stay."""
        return self._peek_float(_F64_BE, 8)

    def peek_f64_le(self) -> float:
        """Return what f64_le() would read, and stay."""
        return self._peek_float(_F64_LE, 8)

    # -- bytes

    def _next(self, size: int) -> list[bytes | memoryview]:
        """Return the next bytes in pieces, without moving."""
        self._lease.refuse()
        position = self._here()
        self._reach(position, size)
        return self._table().pieces(position, position + size)

    def _slice(self, size: int) -> SliceBuffer:
        position = self._here()
        known: int = self._end - self._at
        if size > known or not self._lease.valid:
            self._lease.refuse()
            self._reach(position, size)
        return self._buffer._window(position, position + size)

    def take(self, n: SupportsIndex) -> SliceBuffer:
        """Read ``n`` bytes as a slice. Complexity: O(parts spanned). Copies: nothing."""
        size = size_of(n)
        taken = self._slice(size)
        self._pass(size)
        return taken

    def take_rest(self) -> SliceBuffer:
        """Read all that is left as a slice. RuntimeError as for ``remaining``. Copies: nothing."""
        last = self._end_of_all()
        start = self._here()
        taken = self._buffer._window(start, last)
        self._pass(last - start)
        return taken

    def peek(self, n: SupportsIndex) -> SliceBuffer:
        """Return the next ``n`` bytes as a slice and stay. Copies: nothing."""
        return self._slice(size_of(n))

    def take_bytes(self, n: SupportsIndex) -> bytes:
        """Read ``n`` bytes as ``bytes``. Copies: them ("take_bytes")."""
        size = size_of(n)
        if 0 < size <= _FEW:
            at = self._ahead(size)
            data = self._data
            if size == len(data):
                if not self._is_part(data):
                    count_copy("take_bytes", size)
                self._at = at + size
                return data
            count_copy("take_bytes", size)
            self._at = at + size
            return data[at : at + size]
        taken = join("take_bytes", self._next(size))
        self._pass(size)
        return taken

    def _is_part(self, data: bytes) -> bool:
        """Whether what is at hand is the part that comes next itself, and not a copy that was made to read it."""
        table = self._table()
        return table.parts[table.locate(self._here())] is data

    def text(self, n: SupportsIndex, encoding: str = "utf-8") -> str:
        """Read ``n`` bytes as text, what ``str(bytes, encoding)`` gives. A character may lie across a seam.

        Raises TextError, which is a FrameError with its place and the UnicodeDecodeError of ``bytes``, and LookupError
        for an unknown encoding. Copies: the text ("text").
        """
        size = size_of(n)
        if 0 < size <= _FEW:
            at = self._ahead(size)
            start = self._here()
            data = self._data
            count_copy("text", size)
            try:
                text = (data if size == len(data) else data[at : at + size]).decode(encoding)
            except UnicodeError as error:
                raise self._text_error(error, encoding, start, size)  # noqa: B904  # mypyc knows no `from None`
            self._pass_from(start, size)
            return text
        self._lease.refuse()
        start = self._here()
        self._reach(start, size)
        count_copy("text", size)
        try:
            text = decoded(self._table(), start, start + size, encoding, "strict")
        except UnicodeError as error:
            raise self._text_error(error, encoding, start, size)  # noqa: B904  # mypyc knows no `from None`
        self._pass_from(start, size)
        return text

    def _pass_from(self, start: int, size: int) -> None:
        """Go on from there by ``size`` bytes, wherever somebody else's code, as a codec is, has brought this reader."""
        if self._here() != start:
            self._move(start)
        self._pass(size)

    def _text_error(self, error: UnicodeError, encoding: str, start: int, size: int) -> TextError:
        at = start - self._base
        if isinstance(error, UnicodeDecodeError):
            # What some codecs call wrong is only a piece of what they were given, and its place is one in there.
            place = at + error.start if len(error.object) == size else at
            return TextError(error.encoding, error.object, error.start, error.end, error.reason, place)
        # Some codecs (idna, punycode) do not say where.
        return TextError(encoding, scratch(self._table(), start, start + size), 0, size, str(error), at)

    def skip(self, n: SupportsIndex) -> None:
        """Pass ``n`` bytes."""
        size = size_of(n)
        known: int = self._end - self._at
        if size <= known and self._lease.valid:
            self._at += size
            return
        self._lease.refuse()
        self._reach(self._here(), size)
        self._pass(size)

    def expect(self, literal: BytesLike | SupportsIndex) -> None:
        """Pass exactly these bytes. FrameError at the first that differs, Underrun if only more are missing.

        ``literal`` is bytes-like, or an int from 0 to 255. Copies: one that lies in several parts ("needle").
        """
        wanted = literal if isinstance(literal, bytes) else self._buffer._needle(literal)
        size = len(wanted)
        if size <= self._end - self._at and self._lease.valid and size <= _FEW:
            at = self._at
            if self._data[at : at + size] == wanted:
                self._at = at + size
                return
        self._lease.refuse()
        position = self._here()
        self._allow(position, size, is_told=True)
        here = min(size, self._last() - position)
        for at in range(0, here, BLOCK):
            end = min(at + BLOCK, here)
            seen = scratch(self._table(), position + at, position + end)
            if seen != wanted[at:end]:
                self._fail_expected(wanted, position, at + _first_difference(seen, wanted[at:end]))
        self._reach(position, size)
        self._pass(size)

    def _fail_expected(self, wanted: bytes | memoryview, position: int, k: int) -> NoReturn:
        seen = scratch(self._table(), position, position + k + 1)
        raise FrameError(f"{bytes(wanted)!r} is expected, not {seen!r}", position + k - self._base)

    def sub(self, n: SupportsIndex) -> Reader:
        """Read ``n`` bytes as a reader of their own, with the same byte order; this one passes them.

        Its positions count from its own front, but the places in its errors (``at``) from the front of the whole
        message. What underruns in it can never become right: its bytes are all there.
        """
        size = size_of(n)
        self._lease.refuse()
        position = self._here()
        self._reach(position, size)
        child = self._child(position, position + size)
        self._pass(size)
        return child

    def limited(self, n: SupportsIndex) -> Reader:
        r"""Return a reader with the positions of this one, which stands where this does and ends at position ``n``.

        >>> from bytebufs import SliceBuffer
        >>> r = SliceBuffer(b"\x03www\x00\xc0\x00...").reader()
        >>> r.skip(5)
        >>> record = r.limited(7)  # the two bytes in front of the dots, which point back to byte 0
        >>> record.seek(record.u16() & 0x3FFF)
        >>> record.take_bytes(record.u8())
        b'www'

        For formats that point backwards, such as DNS, TIFF and ELF: it may seek to whatever this one may, up to there.
        This one stays where it is. Raises Underrun if the bytes up to ``n`` are not there, ValueError if ``n`` lies
        before the position.
        """
        end = size_of(n)
        self._lease.refuse()
        position = self._here()
        stop = self._front + end
        if stop < position:
            raise ValueError(f"the end {end} lies before the position {position - self._front}")
        self._reach(position, stop - position)
        return self._child(self._front, stop)

    def _child(self, front: int, stop: int) -> Reader:
        """Return a reader of positions ``front`` to ``stop`` that stands where this one does, with the same at hand."""
        child = Reader(self._buffer, self._lease, self.byteorder)
        child._front = front
        child._bounded = True
        child._stop = stop
        shift = self._shift
        last: int = self._end
        child._data = self._data
        child._shift = shift
        child._begin = self._begin  # it may lie before the front, where no position is
        child._at = self._at
        child._end = min(last, stop - shift)
        return child

    # -- separators

    def until(
        self, sep: BytesLike | SupportsIndex, *seps: BytesLike | SupportsIndex, limit: SupportsIndex
    ) -> SliceBuffer:
        """Read the bytes before a separator as a slice, and pass that, too.

        A separator is bytes-like, or an int from 0 to 255. Of several, the one that begins first ends what is read, and
        of those that begin together the longest: while a longer one may still come, nothing is read.

        Raises LimitExceeded if more than ``limit`` bytes stand before it, as soon as that is certain; Underrun with the
        first separator if none has come; ValueError if one is empty. Complexity: linear, also where a live reader is
        asked again and again at one position while bytes come in: it goes on where it stopped, for the last four sets
        of separators. Copies: a separator that is not ``bytes`` ("needle").
        """
        if not seps and isinstance(sep, bytes) and sep:
            most = size_of(limit)
            found = self._find_at_hand(sep, most)
            return self._until((sep,), most) if found < 0 else self._cut_before(found, found + len(sep))
        return self._until(tuple([self._separator(one) for one in (sep, *seps)]), size_of(limit))

    def _separator(self, sep: BytesLike | SupportsIndex) -> bytes:
        wanted = sep if isinstance(sep, bytes) else self._buffer._own_needle(sep)
        if not wanted:
            raise ValueError("empty separator")
        return wanted

    def line(self, *, limit: SupportsIndex) -> SliceBuffer:
        """Read a line without its end, as a slice: it ends at LF, and one CR before that is part of the end.

        ``limit`` counts the bytes of the line without its end. A lone CR is data. Errors as ``until()``.
        """
        most = size_of(limit)
        found = self._find_at_hand(b"\n", most)
        if found < 0:
            return self._until(_LINE_ENDS, most)
        stop = found
        if found > self._at and self._data[found - 1] == _CR:
            stop -= 1
        return self._cut_before(stop, found + 1)

    def cstring(self, *, limit: SupportsIndex) -> SliceBuffer:
        """Read the bytes before a NUL as a slice, and pass that, too. Errors as ``until()``. Copies: nothing."""
        most = size_of(limit)
        found = self._find_at_hand(b"\0", most)
        return self._until(_NUL, most) if found < 0 else self._cut_before(found, found + 1)

    def _find_at_hand(self, sep: bytes, limit: int) -> int:
        """Return where a separator begins in the bytes at hand, if that is all there is to it; else -1.

        Mostly it is. Where a search has begun before, that is gone on with instead.
        """
        if self._hint is not None or self._looks is not None or not self._lease.valid:
            return -1
        at = self._at
        if at >= self._end:
            if self._last() <= self._here() or (self._limit is not None and self._here() >= self._base + self._limit):
                return -1
            at = self._fill(1)
        reach: int = self._end
        begin: int = at
        if limit < reach - begin - len(sep):
            reach = begin + limit + len(sep)
        return self._data.find(sep, begin, reach)

    def _cut_before(self, stop: int, end: int) -> SliceBuffer:
        """Return a slice up to ``stop`` in ``_data``, and pass all up to ``end``."""
        shift = self._shift
        start = self._here()
        self._at = end
        return self._buffer._window(start, stop + shift)

    def _until(self, separators: tuple[bytes, ...], limit: int) -> SliceBuffer:
        self._lease.refuse()
        start = self._here()
        last = self._last()
        seeker = self._seeker_for(separators, start)
        found = seeker.seek(self._table(), start, last, limit)
        self._allow_separator(seeker, start, limit)
        if not found:
            self._remember(seeker, start)
            # Not by a variable: an error whose traceback has the frame that has the error lives until gc runs.
            raise self._noted(
                _underrun(seeker.end - start, last - start, separators[0], self._place(start)),
                Wait(start, seeker, limit),
            )
        self._move(seeker.end)
        return self._buffer._window(start, seeker.begin)

    def _seeker_for(self, separators: tuple[bytes, ...], start: int) -> Seeker:
        """Return a seeker that looked for the same from the same place, here or on behalf of parse(), or a new one."""
        hint = self._hint
        if hint is not None and hint.position == start:
            seeker = hint.seeker
            if seeker is not None and seeker.separators == separators:
                return seeker
        if self._looks is not None:
            self._buffer._forget_if_written()
            position, writes, looks = self._looks
            if position == start and writes == self._lease.writes:
                known = looks.known(separators)
                if known is not None:
                    return known
        return Seeker(separators, start)

    def _remember(self, seeker: Seeker, start: int) -> None:
        """Keep a seeker that found nothing, to go on with it when more has come, if more can come at all."""
        if self._bounded or self._buffer._changes() is None:
            return
        writes = self._lease.writes
        if self._looks is None or self._looks[0] != start or self._looks[1] != writes:
            self._looks = (start, writes, Looks())
        self._looks[2].keep(seeker)

    def _allow_separator(self, seeker: Seeker, start: int, limit: int) -> None:
        """Hold what was found, or may still come, against this read's limit and the reader's own.

        Of two that may be exceeded, the one is named that fewer bytes exceed, and the reader's own where it depends on
        the separators which that is: the same for every cut.
        """
        is_late = seeker.begin - start > limit
        if self._limit is not None:
            last = self._base + self._limit
            if (is_late or seeker.end > last) and start + limit + seeker.longest > last:
                raise LimitExceeded(self._limit, None, start - self._base)
        if is_late:
            raise LimitExceeded(limit, None, start - self._base)


def _refuse(lease: object, byteorder: str) -> NoReturn:
    """Raise what is due if a reader is made in a wrong way."""
    if isinstance(lease, Lease):
        raise ValueError(f"the byte order is 'big' or 'little', not {byteorder!r}")
    raise TypeError("a Reader is made by a buffer: write SliceBuffer(data).reader()")


_ORDERS: Final = ("<", ">", "!", "=")
_ORDERLESS: Final = frozenset("xcbB?sp0123456789 \t\n\r\v\f")
"""What is the same in every order, and never padded."""


@final
class Layout:
    """A struct format, looked at once."""

    __slots__ = ("is_uint", "little", "pack", "size", "unpack_from")

    def __init__(self, struct: Struct) -> None:
        self.size: int = struct.size
        self.pack: Callable[..., bytes] = struct.pack
        self.unpack_from: _UnpackFrom = struct.unpack_from
        order, codes = struct.format[:1], struct.format[1:]
        self.is_uint: bool = order in _ORDERS and codes in ("B", "H", "I", "L", "Q")
        self.little: bool = order == "<" or (order == "=" and sys.byteorder == "little")


_layouts: Final[dict[object, Layout]] = {}
_MOST_LAYOUTS: Final = 256
"""Formats that are remembered; then all are forgotten, as the struct module does with its own hundred."""


def layout_of(fmt: str | bytes | Struct) -> Layout:
    """Return a format, compiled. Raises ValueError where it leaves a byte order or padding to the machine."""
    layout = _layouts.get(fmt)
    if layout is None:
        struct = fmt if isinstance(fmt, Struct) else Struct(fmt)
        if struct.format[:1] not in _ORDERS and not _ORDERLESS.issuperset(struct.format.removeprefix("@")):
            raise ValueError(f"the format {struct.format!r} has no byte order: begin it with '<' or '>'")
        layout = Layout(struct)
        if len(_layouts) >= _MOST_LAYOUTS:
            _layouts.clear()
        _layouts[fmt] = layout
    return layout


def decoded(table: Table, start: int, stop: int, encoding: str, errors: str) -> str:
    """Return the text in a window: what ``str(bytes, encoding, errors)`` gives, or raises.

    Of several parts no more than 64 KiB are joined at a time, but where an encoding or a way with errors has to see all
    of it, and where something is wrong: the error of the whole says where in it.
    """
    if start < stop <= table.ends[table.locate(start)]:
        return str(table.pieces(start, stop)[0], encoding, errors)
    if stop - start <= BLOCK:
        return str(scratch(table, start, stop), encoding, errors)
    decoder = _seamless_decoder(encoding) if errors == "strict" else None
    if decoder is not None:
        try:
            text = ""
            for more in _texts(decoder, table.window(start, stop), start, stop):
                text += more  # as in BaseBuffer.hex
            return text
        except UnicodeError:
            # UTF-16 and UTF-32 without a byte order mark are right, too: str() takes the order of the machine, where
            # the decoders give up.
            pass
    return str(b"".join(table.pieces(start, stop)), encoding, errors)


def _seamless_decoder(encoding: str) -> IncrementalDecoder | None:
    """Return a decoder that gives the same text in pieces; None where that is not known.

    The name that a codec bears is not enough: a program may give its own one of the standard library's, or none.
    """
    codec: Any = lookup(encoding)
    name = getattr(codec, "name", None)  # a codec may be a plain tuple
    if type(name) is not str or name not in _SEAMLESS:
        return None
    known: Any = lookup(name)
    # Methods are bound to an object of their own each time that a codec is looked up by another name.
    decode, known_decode = (getattr(one.decode, "__func__", one.decode) for one in (codec, known))
    return known.incrementaldecoder() if decode is known_decode else None


def _texts(decoder: IncrementalDecoder, table: Table, start: int, stop: int) -> Iterator[str]:
    """Yield the text in a window, a block at a time."""
    block = max(BLOCK, (stop - start) // MOST_BLOCKS)
    for at in range(start, stop, block):
        end = min(at + block, stop)
        yield decoder.decode(scratch(table, at, end), end == stop)


def _first_difference(some: bytes, others: bytes | memoryview) -> int:
    """Return the first index where two runs of bytes of one length, which are not equal, differ."""
    return next(k for k in range(len(some)) if some[k] != others[k])


def _width(n: SupportsIndex) -> int:
    size = size_of(n)
    if size == 0:
        raise ValueError("a number has at least one byte")
    return size
