"""Framers: feed what comes in, get whole frames out, and encode payloads in the same format.

One core, ``Framer``, takes parts in, gives frames out, and decides what an error does. A format only says where
its next frame ends, how it gets past a bad one, and what stands around a payload.

Rules for every format:

1. The frames, the errors and what is left never depend on how the input was cut.
2. Limits are inclusive and mandatory. A length that is only declared allocates nothing.
3. Good frames come before the error of a bad one behind them.
4. The work is linear in the bytes that are fed. Nothing is copied, but for tiny parts in such a flood that they cost
   more memory than the limit.
5. What a framer knows beside its bytes are positions, each in one field, so that one store is a change: an exception
   that comes between two of them leaves it as before, or as after.
"""

from __future__ import annotations

import sys
from operator import index
from typing import TYPE_CHECKING, Final, Literal, NoReturn, SupportsIndex, TypeAlias, final

from ._core.layout import counted
from ._core.packed import packed_varint
from ._core.parts import shown, size_of
from ._core.search import FEW
from ._core.seeker import Seeker
from .base_buffer import own_separator
from .composite_buffer import CompositeBuffer
from .errors import Busy, ClosedError, FrameError, LimitExceeded, Underrun
from .slice_buffer import SliceBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base_buffer import BytesLike, Part
    from .reader import ByteOrder

__all__ = ["Delimited", "FixedLength", "Framer", "LengthPrefixed", "Lines", "OnError", "VarintPrefixed"]

OnError: TypeAlias = Literal["raise", "skip"]

_MAX_VARINT_BYTES: Final = 10
_MAX_VARINT: Final = 1 << 64
_FOREVER: Final = 1 << 62
"""A limit that nothing reaches, while an overlong frame is thrown away."""
_UNKNOWN: Final = 1 << 80
"""Where a bad frame ends that only its bytes can tell."""
_NOWHERE: Final = -1
"""Where a bad frame ends behind which nobody can go on."""

_MOST_SHOWN: Final = 3
"""Separators that a framer shows of itself."""

_NO_FRAMES: Final[Iterator[SliceBuffer]] = iter(())


class Framer:
    """What all framers do; not made directly.

    After a FrameError or LimitExceeded a framer is closed, unless ``on_error="skip"``: then the bad frame is thrown
    away as its bytes come in, counted in ``skipped``, and the next one is looked for. ``detach()`` closes it, too.
    Any other exception, MemoryError and interrupts too, leaves each step undone or done; a frame that was about to be
    returned may be lost.

    Its limit bounds memory, too: what it keeps is at most twice the limit, a page of 4 KiB, and what its first part and
    its last one hold, however small the pieces are that come. Belongs to one thread at a time; who comes into the
    middle of a call that changes it gets Busy.
    """

    __slots__ = (
        "_bad_stop",
        "_buffer",
        "_closed",
        "_due",
        "_is_busy",
        "_is_detached",
        "_most",
        "_on_error",
        "_skipped",
    )

    def __init__(self, on_error: OnError = "raise", limit: int = 0) -> None:
        if type(self) is Framer:
            raise TypeError(
                "a Framer is not made directly: write FixedLength(n), Delimited(sep, limit=n), Lines(n), "
                "LengthPrefixed(size, limit=n) or VarintPrefixed(n)"
            )
        if on_error not in ("raise", "skip"):
            raise ValueError(f"on_error is 'raise' or 'skip', not {on_error!r}")
        self._buffer = CompositeBuffer()
        self._buffer._keep_within(limit, sys.maxsize)
        self._most = limit + FEW  # bytes that are looked at, at most, for a frame or for what is wrong with it
        self._on_error = on_error
        self._closed = False
        self._is_detached = False  # that is why
        self._is_busy = False  # a frame is being looked for, or what is left: nothing else is done meanwhile
        self._skipped = 0
        # Where the bad frame ends that is being thrown away, or one that has gone.
        self._bad_stop = 0
        # A position before which no frame can end: what does not reach it need not be looked at.
        self._due = 0

    def __repr__(self) -> str:
        """Say how it cuts, how many bytes it holds, whether it is closed, and how many bad frames it threw away."""
        options = "" if self._on_error == "raise" else f", on_error={self._on_error!r}"
        state = "closed, " if self._closed else ""
        skipped = f", {self._skipped} skipped" if self._skipped else ""
        what = f"{type(self).__name__}({self._rule()}{options})"
        return f"<{what}: {state}{counted(self.pending, 'byte')} pending{skipped}>"

    def _rule(self) -> str:
        """Return the arguments that say how it cuts."""
        raise NotImplementedError

    @property
    def skipped(self) -> int:
        """The number of bad frames that were thrown away."""
        return self._skipped

    @property
    def pending(self) -> int:
        """Bytes that are held: of an unfinished frame, and of frames that nobody took."""
        return self._buffer._size()

    def feed(self, part: Part) -> Iterator[SliceBuffer]:
        """Take a part in, now, and return an iterator over the frames that are whole.

        Frames that are not taken from it come first next time; those that a later part completes come from the iterator
        of that call. The iterator raises FrameError for bytes that can never become right and LimitExceeded for a frame
        that is too long, after the good frames before it. Raises ClosedError after that, TypeError for what is not
        bytes-like, and CopyForbidden inside ``no_copy()`` if tiny parts had to be joined; then nothing was taken in.
        Complexity: linear in what is fed. Copies: nothing, but what would keep more memory than twice the limit and a
        page ("coalesce"; a snapshot, if that is mutable): parts that are tiny and many, or of which each shows less
        than half of something large.
        """
        buffer = self._buffer
        self._refuse_if_closed()
        self._refuse_if_busy()
        buffer._make_room()
        buffer._append_within(part)
        if self._closed:
            self._refuse_if_closed()  # somebody has detached it meanwhile, and nobody has that buffer any more
        return _NO_FRAMES if buffer._stop < self._due else self._frames()

    def _cut_from(self, buffer: CompositeBuffer) -> None:
        """Look for frames in a buffer that somebody else fills, and may take from between two frames."""
        if self._buffer is buffer:
            return
        self._refuse_if_busy()
        self._refuse_if_closed()
        if self._buffer._stop:
            raise ValueError(f"a framer that was fed already, {self!r}: make a new one for a stream")
        self._buffer = buffer

    def _frames(self) -> Iterator[SliceBuffer]:
        while (frame := self._advance()) is not None:
            yield frame

    def _advance(self) -> SliceBuffer | None:
        """Take the next good frame, or return None if it is not whole."""
        self._refuse_if_busy()
        try:
            self._is_busy = True
            self._refuse_if_closed()  # now, that nobody comes in who might
            frame = self._find()
            self._is_busy = False
        except IndexError:
            # Interpreted, another thread may have come in before it saw that.
            self._is_busy = False
            raise Busy("the framer")  # noqa: B904  # mypyc knows no `from None`
        except BaseException:
            self._is_busy = False
            raise
        return frame

    def _find(self) -> SliceBuffer | None:
        while True:
            if self._bad_stop > self._buffer._start and not self._is_past_the_bad():
                return None
            try:
                return self._next()
            except (FrameError, LimitExceeded):
                bad_stop = self._bad_end() if self._on_error == "skip" else _NOWHERE
                if bad_stop == _NOWHERE:
                    self._closed = True
                    raise
                self._skip_to(bad_stop)

    def _skip_to(self, bad_stop: int) -> None:
        """Take note of a bad frame at the front, and where it ends."""
        count = self._skipped
        try:
            self._skipped = count + 1
            self._bad_stop = bad_stop
        except BaseException:  # between the two comes only a tracer
            self._bad_stop = self._buffer._start
            self._skipped = count
            raise

    def end(self) -> None:
        """Say that nothing more comes. Raises Underrun if bytes are left; they are kept.

        FrameError, which closes the framer, if those cannot become a frame: nobody had asked for them yet.
        """
        self._refuse_if_busy()
        try:
            self._is_busy = True
            self._refuse_if_closed()
            left = self._buffer._size()
            # Where bytes are left of more than one frame, or of one that only waits for a longer separator, what is
            # missing is not the end of the first.
            wanted = 0
            at = self._buffer._start
            if left or self._bad_stop > self._buffer._start:
                wanted = max(self._wanted(), left + 1)
            self._is_busy = False
        except FrameError:
            self._closed = True
            self._is_busy = False
            raise
        except BaseException:
            self._is_busy = False
            raise
        if wanted:
            raise Underrun(wanted, left, None, at)

    def detach(self) -> CompositeBuffer:
        r"""Return the bytes behind the last frame that was taken, and close the framer, which holds nothing any more.

        For a protocol that goes on as another one, as after STARTTLS or an Upgrade:

        >>> lines = Lines(limit=100)
        >>> next(lines.feed(b"STARTTLS\r\n\x16\x03\x01")) == b"STARTTLS"
        True
        >>> bytes(lines.detach())
        b'\x16\x03\x01'

        Frames that nobody took are among them. Every later call but this framer's properties is a ClosedError, that of
        an iterator from ``feed()`` too. Complexity: O(parts). Copies: nothing.
        """
        self._refuse_if_busy()
        try:
            self._is_busy = True
            self._refuse_if_closed()
            left = self._buffer.__copy__()
            self._close_with(CompositeBuffer())
            self._is_busy = False
        except BaseException:
            self._is_busy = False
            raise
        return left

    def _close_with(self, buffer: CompositeBuffer) -> None:
        """Close the framer for good, and have it hold another buffer."""
        held = self._buffer
        try:
            self._is_detached = True
            self._closed = True
            self._buffer = buffer
        except BaseException:  # between these comes only a tracer
            self._buffer = held
            self._closed = False
            self._is_detached = False
            raise

    def encode(self, payload: Part) -> CompositeBuffer:
        """Return the frame whose payload this is: feeding it gives the payload back. Copies: nothing.

        Raises ValueError where no frame could give this payload back.
        """
        raise NotImplementedError

    def _refuse_if_closed(self) -> None:
        """Raise if an error or ``detach()`` has closed the framer."""
        if self._closed:
            reason = "detach()" if self._is_detached else "an error"
            raise ClosedError(f"the {type(self).__name__} framer, after {reason},")

    def _refuse_if_busy(self) -> None:
        """Raise if a call of the framer's own is under way below us or in another thread."""
        if self._is_busy:
            raise Busy("the framer")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: two framers would share what came in."""
        raise TypeError(f"a {type(self).__name__} framer is not copied or pickled: make another one")

    # -- what a format defines

    def _next(self) -> SliceBuffer | None:
        """Take the next frame, or return None if it is not whole. Raises what is wrong with it; then nothing moved."""
        raise NotImplementedError

    def _bad_end(self) -> int:
        """Return where the frame at the front ends, with which something is wrong: _UNKNOWN or _NOWHERE may be."""
        return _NOWHERE

    def _wanted(self) -> int:
        """Return how many bytes the unfinished frame has at least."""
        return self._buffer._size() + 1

    def _is_past_the_bad(self) -> bool:
        """Throw away what has come of a bad frame. False if more of it is still to come."""
        buffer = self._buffer
        here = min(self._bad_stop, buffer._stop)
        buffer._drain(buffer._start, here)
        return here == self._bad_stop


@final
class FixedLength(Framer):
    """Frames of ``n`` bytes each, at least one.

    >>> for frame in FixedLength(2).feed(b"abcde"):
    ...     print(bytes(frame))
    b'ab'
    b'cd'
    """

    __slots__ = ("_size",)

    def __init__(self, n: SupportsIndex) -> None:
        self._size = _positive(n, "the length of a frame")
        super().__init__("raise", self._size)

    def _rule(self) -> str:
        return str(self._size)

    def _next(self) -> SliceBuffer | None:
        buffer = self._buffer
        stop = buffer._start + self._size
        if buffer._stop < stop:
            self._due = stop
            return None
        return buffer._detach(buffer._start, buffer._start, stop, stop)

    def _wanted(self) -> int:
        return self._size

    def encode(self, payload: Part) -> CompositeBuffer:
        """Return the payload, which has the length of a frame, else ValueError. Copies: nothing."""
        frame = CompositeBuffer()
        frame.append(payload)
        if frame._size() != self._size:
            raise ValueError(f"a frame has {self._size} bytes, this payload {frame._size()}")
        return frame


class Delimited(Framer):
    r"""Frames that end in one of some separators, of which none is empty.

    >>> for frame in Delimited(b";", limit=10).feed(b"a=1;b=2;c"):
    ...     print(bytes(frame))
    b'a=1'
    b'b=2'

    The separator that begins first ends the frame, and of those that begin together the longest; a frame waits while a
    longer one may still match. ``limit`` counts the bytes before the separator. With ``keepends`` a frame has its
    separator. Skipping goes on behind the next separator.
    """

    __slots__ = ("_keepends", "_limit", "_seeker", "_separators")

    def __init__(
        self, *seps: BytesLike, limit: SupportsIndex, keepends: bool = False, on_error: OnError = "raise"
    ) -> None:
        if not seps:
            raise ValueError("at least one separator is wanted")
        self._separators = tuple([own_separator(sep) for sep in seps])
        self._limit = _limit_of(limit)
        super().__init__(on_error, self._limit)
        self._keepends = keepends
        self._seeker = Seeker(self._separators, 0)

    def _rule(self) -> str:
        seps = [shown(sep) for sep in self._separators[:_MOST_SHOWN]]
        if len(self._separators) > _MOST_SHOWN:
            seps.append("...")
        return f"{', '.join(seps)}, limit={self._limit}{', keepends=True' if self._keepends else ''}"

    def _next(self) -> SliceBuffer | None:
        buffer = self._buffer
        start = buffer._start
        found = self._seeker.seek(buffer._table(), start, buffer._stop, self._limit)
        if self._seeker.begin - start > self._limit:
            raise LimitExceeded(self._limit, None, start)
        if not found:
            return None
        end = self._seeker.end
        return buffer._detach(start, start, end if self._keepends else self._seeker.begin, end)

    def _wanted(self) -> int:
        start = self._buffer._start
        self._seeker.seek(self._buffer._table(), start, self._buffer._stop, _FOREVER)
        return self._seeker.end - start

    def _bad_end(self) -> int:
        return _UNKNOWN

    def _is_past_the_bad(self) -> bool:
        if self._bad_stop == _UNKNOWN:
            buffer = self._buffer
            start = buffer._start
            if not self._seeker.seek(buffer._table(), start, buffer._stop, _FOREVER):
                buffer._drain(start, self._seeker.begin)  # what may be the beginning of a separator stays
                return False
            self._bad_stop = self._seeker.end
        return Framer._is_past_the_bad(self)

    def encode(self, payload: Part) -> CompositeBuffer:
        """Return the payload with a separator behind it; with ``keepends`` the payload has it already. Copies: nothing.

        Raises ValueError if a separator, or the beginning of one across the end, would end the frame elsewhere, or if
        the payload is longer than the limit.
        """
        body = _body(payload)
        few = _few_of(body)
        if few is not None and len(self._separators) == 1 and not self._keepends:
            sep = self._separators[0]
            if len(few) <= self._limit and (few + sep).find(sep) == len(few):
                return _framed(body, sep)
            raise ValueError(f"no frame of at most {self._limit} bytes holds {shown(payload)}")
        for sep in (b"",) if self._keepends else self._separators:
            frame = CompositeBuffer([body, sep])
            seeker = Seeker(self._separators, 0)
            whole = seeker.seek(frame._table(), 0, frame._size(), self._limit)
            payload_ends = self._keepends or seeker.begin == frame._size() - len(sep)
            if whole and payload_ends and seeker.end == frame._size() and seeker.begin <= self._limit:
                return frame
        raise ValueError(f"no frame of at most {self._limit} bytes holds {shown(payload)}")


@final
class Lines(Delimited):
    r"""Lines: they end at LF, and one CR before it is part of the end; a lone CR is data.

    >>> for line in Lines(limit=80).feed(b"one\r\ntwo\nthr"):
    ...     print(bytes(line))
    b'one'
    b'two'

    ``limit`` counts the bytes of a line without its end.
    """

    __slots__ = ()

    def __init__(self, limit: SupportsIndex, *, keepends: bool = False, on_error: OnError = "raise") -> None:
        super().__init__(b"\n", b"\r\n", limit=limit, keepends=keepends, on_error=on_error)

    def _rule(self) -> str:
        return f"{self._limit}{', keepends=True' if self._keepends else ''}"

    def encode(self, payload: Part) -> CompositeBuffer:
        """Return the payload with a line end behind it. As that of ``Delimited``."""
        body = _body(payload)
        few = _few_of(body)
        if few is None or self._keepends or b"\n" in few or len(few) > self._limit:
            return Delimited.encode(self, body)
        # Behind a CR, LF alone would take that with it.
        return _framed(body, b"\r\n" if few.endswith(b"\r") else b"\n")


@final
class LengthPrefixed(Framer):
    r"""Frames whose header tells their length.

    >>> for frame in LengthPrefixed(2, limit=100).feed(b"\x00\x03abc\x00\x01"):
    ...     print(bytes(frame))
    b'abc'

    | ``offset`` bytes | ``size`` bytes: the length | the rest |

    The length is an unsigned number of ``size`` bytes (1, 2, 3, 4 or 8). The whole frame is ``offset + size`` (or 0,
    if it ``includes_header``) plus that number plus ``adjust`` bytes long: at least ``offset + size``, else FrameError,
    and at most ``limit``. The first ``strip`` bytes of a frame are left out of what is returned: the header, if None.

    Skipping goes on behind the bad frame; a frame shorter than its header closes the framer even so: nobody knows
    where the next one begins.
    """

    __slots__ = ("_byteorder", "_extra", "_header", "_limit", "_little", "_offset", "_size", "_strip")

    def __init__(
        self,
        size: SupportsIndex,
        *,
        byteorder: ByteOrder = "big",
        offset: SupportsIndex = 0,
        adjust: SupportsIndex = 0,
        includes_header: bool = False,
        strip: SupportsIndex | None = None,
        limit: SupportsIndex,
        on_error: OnError = "raise",
    ) -> None:
        self._limit = _positive(limit, "the limit")
        super().__init__(on_error, self._limit)
        self._size = _limit_of(size, "the size of a length")
        if self._size not in (1, 2, 3, 4, 8):
            raise ValueError(f"the length has 1, 2, 3, 4 or 8 bytes, not {self._size}")
        if byteorder not in ("big", "little"):
            raise ValueError(f"the byte order is 'big' or 'little', not {byteorder!r}")
        self._byteorder: ByteOrder = byteorder
        self._little = byteorder == "little"
        self._offset = size_of(offset)
        self._header = self._offset + self._size
        self._extra = index(adjust) + (0 if includes_header else self._header)
        self._strip = self._header if strip is None else size_of(strip)

    def _rule(self) -> str:
        options = [f"{self._size}"]
        if self._little:
            options.append("byteorder='little'")
        if self._offset:
            options.append(f"offset={self._offset}")
        if self._extra != self._header:
            options.append(f"adjust={self._extra - self._header}")  # as which includes_header amounts to
        if self._strip != self._header:
            options.append(f"strip={self._strip}")
        return ", ".join([*options, f"limit={self._limit}"])

    def _total(self) -> int:
        """Return how long the frame at the front is, as its header has it."""
        return self._buffer._peek_uint(self._offset, self._size, little=self._little) + self._extra

    def _next(self) -> SliceBuffer | None:
        buffer = self._buffer
        start = buffer._start
        here = buffer._stop - start
        if here < self._header:
            self._due = start + self._header
            return None
        total = self._total()
        if not self._strip <= total <= self._limit or total < self._header:
            self._refuse(total)
        if here < total:
            self._due = start + total
            return None
        return buffer._detach(start, start + self._strip, start + total, start + total)

    def _refuse(self, total: int) -> None:
        at = self._buffer._start  # nothing else moves this buffer: the bytes that were fed before it
        if total < self._header:
            raise FrameError(f"the frame is {total} bytes long, its header alone {self._header}", at)
        if total > self._limit:
            raise LimitExceeded(self._limit, total, at)
        raise FrameError(f"{self._strip} bytes cannot be stripped from a frame of {total}", at)

    def _bad_end(self) -> int:
        total = self._total()
        return self._buffer._start + total if total >= self._header else _NOWHERE

    def _wanted(self) -> int:
        if self._bad_stop > self._buffer._start:
            return self._bad_stop - self._buffer._start
        return self._header if self._buffer._size() < self._header else self._total()

    def encode(self, payload: Part) -> CompositeBuffer:
        """Return the payload behind its header. Copies: nothing.

        Bytes before the length, and any that ``strip`` takes beyond it, are zeros. Where ``strip`` leaves a part of the
        header in the frame, the payload begins with that part. Raises ValueError if the length does not fit or does not
        match, or if the frame is longer than the limit.
        """
        body = _body(payload)
        total = self._strip + _length(body)
        declared = total - self._extra
        if total < self._header or not 0 <= declared < 1 << (8 * self._size) or total > self._limit:
            raise ValueError(f"no frame of at most {self._limit} bytes holds {shown(payload)}")
        prefix = declared.to_bytes(self._size, self._byteorder)
        if self._offset:
            prefix = bytes(self._offset) + prefix
        if self._strip > self._header:
            prefix += bytes(self._strip - self._header)
        elif self._strip < self._header:
            prefix = prefix[: self._strip]
        frame = _framed(prefix, body)
        if self._strip < self._header and frame._uint(self._offset, self._size, little=self._little) != declared:
            raise ValueError(f"the payload begins with a part of the header that declares other than {declared} bytes")
        return frame


@final
class VarintPrefixed(Framer):
    r"""Frames behind their length as a varint, as protobuf streams have them ("length-delimited").

    >>> for frame in VarintPrefixed(limit=100).feed(b"\x03abc\x00\x05de"):
    ...     print(bytes(frame))
    b'abc'
    b''

    ``limit`` counts the bytes of a frame without its length. A length of more than 10 bytes or 64 bits is a FrameError
    that closes the framer even when skipping.
    """

    __slots__ = ("_limit",)

    def __init__(self, limit: SupportsIndex, *, on_error: OnError = "raise") -> None:
        self._limit = _limit_of(limit)
        super().__init__(on_error, self._limit + _MAX_VARINT_BYTES)

    def _rule(self) -> str:
        return str(self._limit)

    def _header(self) -> tuple[int, int] | None:
        """Return the payload's length and the number of bytes that say so, or None if they have not all come."""
        buffer = self._buffer
        size = 0
        for k in range(min(buffer._size(), _MAX_VARINT_BYTES)):
            byte = buffer._byte(buffer._start + k)
            size |= (byte & 0x7F) << (7 * k)
            if byte < 0x80 and size < _MAX_VARINT:
                return size, k + 1
        if buffer._size() >= _MAX_VARINT_BYTES:
            raise FrameError("the varint has more than 64 bits", buffer._start)
        return None

    def _next(self) -> SliceBuffer | None:
        header = self._header()
        if header is None:
            self._due = 0
            return None
        size, prefix = header
        if size > self._limit:
            raise LimitExceeded(self._limit, size, self._buffer._start)
        start = self._buffer._start
        stop = start + prefix + size
        if self._buffer._stop < stop:
            self._due = stop
            return None
        return self._buffer._detach(start, start + prefix, stop, stop)

    def _bad_end(self) -> int:
        try:
            header = self._header()
        except FrameError:
            return _NOWHERE
        return _NOWHERE if header is None else self._buffer._start + sum(header)

    def _wanted(self) -> int:
        if self._bad_stop > self._buffer._start:
            return self._bad_stop - self._buffer._start
        header = self._header()
        return self._buffer._size() + 1 if header is None else sum(header)

    def encode(self, payload: Part) -> CompositeBuffer:
        """Return the payload behind its length. ValueError if it is longer than the limit. Copies: nothing."""
        body = _body(payload)
        size = _length(body)
        if size > self._limit:
            raise ValueError(f"no frame of at most {self._limit} bytes holds {shown(payload)}")
        return _framed(packed_varint(size), body)


def _body(payload: Part) -> bytes | SliceBuffer:
    """Return a payload as what has a length that stays, and no methods of the caller's."""
    return payload if type(payload) is bytes or isinstance(payload, SliceBuffer) else SliceBuffer(payload)


def _length(body: bytes | SliceBuffer) -> int:
    return len(body) if isinstance(body, bytes) else body._size()


def _few_of(body: bytes | SliceBuffer) -> bytes | None:
    """Return a payload as bytes to look at, if it has few."""
    if isinstance(body, bytes):
        return body if len(body) <= FEW else None
    return body._few(body._start, body._stop)


def _framed(front: bytes | SliceBuffer, back: bytes | SliceBuffer) -> CompositeBuffer:
    """Return a frame of two pieces, of which either may be empty."""
    frame = CompositeBuffer()
    if _length(front):
        frame.append(front)
    frame.append(back)
    return frame


def _limit_of(value: SupportsIndex, what: str = "the limit") -> int:
    """Return a size, or say where bytes go, which somebody may have given to a constructor."""
    if not isinstance(value, int) and not hasattr(value, "__index__"):
        raise TypeError(f"{what} in bytes is wanted, not {shown(value)}: a framer takes bytes by its feed(part)")
    return size_of(value)


def _positive(value: SupportsIndex, what: str) -> int:
    size = _limit_of(value, what)
    if size == 0:
        raise ValueError(f"{what} is at least 1 byte")
    return size
