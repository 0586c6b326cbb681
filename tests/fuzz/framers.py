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

_SEPARATORS: Final = (b"\n", b"\r\n", b";", b";;", b"ab", b"aab", b"\x00", b"aaaaaaaa")
_SIZES: Final = (1, 2, 3, 4, 8)
_ORDERS: Final[tuple[Literal["big", "little"], ...]] = ("big", "little")
_ON_ERROR: Final[tuple[OnError, ...]] = ("raise", "skip")
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


def framer_of(program: Program) -> tuple[Callable[[], Framer], int]:
    """Return what makes a framer that an input asks for, and its limit."""
    kind = program.byte()
    options = program.byte()
    limit = program.below(40)
    on_error = _ON_ERROR[options & 1]
    keepends = bool(options & 2)
    if kind % 5 == 0:
        return lambda: FixedLength(limit + 1), limit + 1
    if kind % 5 == 1:
        return lambda: Lines(limit, keepends=keepends, on_error=on_error), limit
    if kind % 5 == 2:
        return lambda: VarintPrefixed(limit, on_error=on_error), limit
    if kind % 5 == 3:
        chosen = program.byte()
        seps = [sep for number, sep in enumerate(_SEPARATORS) if chosen >> number & 1] or [b"\r"]
        return lambda: Delimited(*seps, limit=limit, keepends=keepends, on_error=on_error), limit
    offset, adjust, strip = program.below(4), program.below(16) - 8, program.below(13)
    return (
        lambda: LengthPrefixed(
            _SIZES[kind // 5 % 5], byteorder=_ORDERS[options >> 2 & 1], offset=offset, adjust=adjust,
            includes_header=bool(options & 2), strip=None if strip == 12 else strip, limit=limit + 1,
            on_error=on_error,
        ),
        limit + 1,
    )  # fmt: skip


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
    """Feed an input whole, and in pieces; then encode a frame, and find it."""
    program = Program(data)
    make, limit = framer_of(program)
    whole, pieces, kinds = cut(program)
    most = limit + _MOST_BESIDE
    expected = _fed(make(), [whole], most)
    found = _fed(make(), parts_of(pieces, kinds), most)
    assert found == expected, (found, expected, pieces)
    for payload in (*expected.frames[:1], whole):
        framer = make()
        try:
            encoded = framer.encode(payload)
        except ValueError:
            continue
        assert [frame.tobytes() for frame in framer.feed(encoded)] == [payload]
        framer.end()
