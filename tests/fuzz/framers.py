"""Framers: frames, errors and what is left are the same however the input was cut, and what is kept is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple

from bytebufs import (
    ClosedError,
    Delimited,
    FixedLength,
    FrameError,
    Framer,
    LengthPrefixed,
    LimitExceeded,
    Lines,
    Underrun,
    VarintPrefixed,
)
from bytebufs.framing import OnError

from .inputs import Piece, Program, cut, parts_of, said
from .models import Model

_SEPARATORS: Final = (b"\n", b"\r\n", b";", b";;", b"ab", b"aab", b"\x00", b"aaaaaaaa")
_SIZES: Final = (1, 2, 3, 4, 8)
_ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_ON_ERROR: Final[tuple[OnError, ...]] = ("raise", "skip")
_HEADER: Final = 12
"""What stands for ``strip=None``."""
_MOST_BESIDE: Final = 10
"""Bytes that a framer may hold beyond its limit: those of a separator or a varint."""


class Outcome(NamedTuple):
    """All that may not depend on the cuts."""

    frames: list[bytes]
    error: tuple[type[BaseException], str] | None
    taken: int
    skipped: int
    end: object
    left: bytes


class Format(NamedTuple):
    """A framer, made anew; its limit; and how the next frame is read of a model."""

    make: Callable[[], Framer]
    limit: int
    read: Callable[[Model], bytes]


def format_of(program: Program) -> Format:
    """Return the format that an input asks for."""
    kind, options, limit = program.byte(), program.byte(), program.below(40)
    on_error = _ON_ERROR[options & 1]
    if kind % 5 == 0:
        return Format(lambda: FixedLength(limit + 1), limit + 1, lambda model: model.take(limit + 1))
    if kind % 5 == 1:
        return _delimited([b"\n", b"\r\n"], limit, on_error, keepends=bool(options & 2), is_lines=True)
    if kind % 5 == 2:
        return Format(lambda: VarintPrefixed(limit, on_error=on_error), limit, lambda model: _prefixed(model, limit))
    if kind % 5 == 3:
        chosen = program.byte()
        seps = [sep for number, sep in enumerate(_SEPARATORS) if chosen >> number & 1] or [b"\r"]
        return _delimited(seps, limit, on_error, keepends=bool(options & 2))
    return _counted(program, _SIZES[kind // 5 % 5], options, limit + 1)


def _delimited(seps: list[bytes], limit: int, on_error: OnError, *, keepends: bool, is_lines: bool = False) -> Format:
    def read(model: Model) -> bytes:
        start = model.at
        frame = model.until(seps, limit)
        return model.content[start : model.at] if keepends else frame

    if is_lines:
        return Format(lambda: Lines(limit, keepends=keepends, on_error=on_error), limit, read)
    return Format(lambda: Delimited(*seps, limit=limit, keepends=keepends, on_error=on_error), limit, read)


def _prefixed(model: Model, limit: int) -> bytes:
    start = model.at
    size = model.varint()
    if size > limit:
        raise LimitExceeded(limit, size, start)
    return model.take(size)


def _counted(program: Program, size: int, options: int, limit: int) -> Format:
    offset, adjust, strip = program.below(4), program.below(16) - 8, program.below(13)
    byteorder, includes = _ORDERS[options >> 2 & 1], bool(options & 2)
    header = offset + size
    stripped = header if strip == _HEADER else strip

    def make() -> Framer:
        return LengthPrefixed(
            size, byteorder=byteorder, offset=offset, adjust=adjust, includes_header=includes,
            strip=None if strip == _HEADER else strip, limit=limit, on_error=_ON_ERROR[options & 1],
        )  # fmt: skip

    def read(model: Model) -> bytes:
        front = model.take(header)
        total = int.from_bytes(front[offset:], byteorder) + adjust + header * (not includes)
        if total < header:
            raise FrameError("shorter than its header")
        if total > limit:
            raise LimitExceeded(limit, total)
        if total < stripped:
            raise FrameError("shorter than what is stripped")
        return (front + model.take(total - header))[stripped:]

    return Format(make, limit, read)


def _modelled(data: bytes, read: Callable[[Model], bytes]) -> tuple[list[bytes], type[BaseException] | None]:
    """Return the frames of a stream, and the kind of error that ends it."""
    model = Model(data)
    frames: list[bytes] = []
    while True:
        try:
            frames.append(read(model))
        except Underrun:
            return frames, None
        except (FrameError, LimitExceeded) as error:
            return frames, type(error)


def _fed(framer: Framer, parts: Iterable[Piece], most: int) -> Outcome:
    frames: list[bytes] = []
    fed = 0
    try:
        for part in parts:
            fed += len(part)
            frames.extend(frame.tobytes() for frame in framer.feed(part))
            assert framer.pending <= most, "more is kept than the limit"
    except (FrameError, LimitExceeded) as error:
        _assert_closed(framer)
        return Outcome(frames, said(error), fed - framer.pending, framer.skipped, None, b"")
    pending = framer.pending
    end: object = None
    try:
        framer.end()
    except Underrun as error:
        assert error.requested > error.available
        end = said(error)
    except FrameError as error:
        _assert_closed(framer)
        return Outcome(frames, None, fed - pending, framer.skipped, said(error), b"")
    framer._buffer._check()
    left = framer.detach().tobytes()
    assert len(left) == pending
    _assert_closed(framer)
    return Outcome(frames, None, fed - pending, framer.skipped, end, left)


def _assert_closed(framer: Framer) -> None:
    try:
        framer.feed(b"x")
    except ClosedError:
        return
    raise AssertionError("a framer went on after its end")


def framers(data: bytes) -> None:
    """Feed an input whole, in pieces, and to a model, unless errors are skipped; then encode a frame, and find it."""
    program = Program(data)
    form = format_of(program)
    whole, pieces, kinds = cut(program)
    most = form.limit + _MOST_BESIDE
    expected = _fed(form.make(), [whole], most)
    found = _fed(form.make(), parts_of(pieces, kinds), most)
    assert found == expected, (found, expected, pieces)
    if not expected.skipped:
        assert _modelled(whole, form.read) == (expected.frames, expected.error and expected.error[0])
    for payload in (*expected.frames[:1], whole):
        framer = form.make()
        try:
            encoded = framer.encode(payload)
        except ValueError:
            continue
        assert [frame.tobytes() for frame in framer.feed(encoded)] == [payload]
        framer.end()
