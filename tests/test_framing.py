"""Framers: the same frames, errors and remainder however the input is cut, and in every case what plain rules say."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bytebufs import (
    BaseBuffer,
    Busy,
    ClosedError,
    CompositeBuffer,
    Delimited,
    FixedLength,
    FrameError,
    Framer,
    LengthPrefixed,
    LimitExceeded,
    Lines,
    Part,
    SliceBuffer,
    Underrun,
    VarintPrefixed,
    copy_audit,
    no_copy,
)
from bytebufs._core.search import BLOCK, FEW, find
from bytebufs.framing import OnError
from bytebufs.reader import ByteOrder

from .changes import FORMATS
from .conftest import IS_SHORT
from .disturbed import Interrupt, at_each_step
from .layouts import LAYOUTS, MAKERS, FakeFile, addresses, chunks, hidden
from .memory import peak_while

COMPILED: Final = type(CompositeBuffer.append).__name__ != "function"
ORDERS: Final[Sequence[ByteOrder]] = ("big", "little")
KINDS: Final = ("bytes", "piece of bytes", "bytearray", "lazy", "slice", "composite")

# -- what a framer makes of a stream -------------------------------------------------------------------------


@dataclass
class Result:
    """What came out of a stream: frames, the error that ended it, bytes left in a framer that is open, bad frames."""

    frames: list[bytes] = field(default_factory=list)
    error: tuple[Any, ...] | None = None
    left: int | None = None
    skipped: int = 0
    wanted: tuple[int, int, bytes | None] | None = None

    def without_what_is_wanted(self) -> Result:
        return Result(self.frames, self.error, self.left, self.skipped)


def facts(error: Exception) -> tuple[Any, ...]:
    if isinstance(error, LimitExceeded):
        return LimitExceeded, error.limit, error.announced, error.at
    assert isinstance(error, FrameError)
    return FrameError, error.at, error.reason


def run(framer: Framer, parts: Iterable[Part]) -> Result:
    """Feed parts until an error, and say that this is the end."""
    result = Result()
    for part in parts:
        try:
            result.frames.extend(bytes(frame) for frame in framer.feed(part))
        except (FrameError, LimitExceeded) as error:
            result.error = facts(error)
            with pytest.raises(ClosedError):
                framer.end()
            break
    else:
        result.left = framer.pending
        try:
            framer.end()
        except Underrun as error:
            result.wanted = (error.requested, error.available, error.separator)
        wanted, left, _ = result.wanted or (1, 0, None)
        assert wanted > left == framer.pending
    result.skipped = framer.skipped
    return result


def cuttings(stream: bytes) -> Iterator[list[Part]]:
    """Yield every single cut, 200 random ones, one byte at a time, and that with empties between."""
    yield [stream]
    for cut in range(1, len(stream)):
        yield [stream[:cut], stream[cut:]]
    yield list(chunks(stream, [1] * len(stream)))
    yield [part for byte in chunks(stream, [1] * len(stream)) for part in (b"", byte, bytearray())]
    rng = random.Random(len(stream))
    for _ in range(200):
        cuts = sorted(rng.choices(range(len(stream) + 1), k=rng.randrange(2, 8)))
        yield [stream[start:stop] for start, stop in pairwise([0, *cuts, len(stream)])]


@st.composite
def cut_up(draw: st.DrawFn, stream: bytes) -> list[Part]:
    """Draw parts of any kind that show the stream."""
    pieces = list(chunks(stream, draw(st.lists(st.integers(1, 6), max_size=30))))
    return [MAKERS[draw(st.sampled_from(KINDS))](piece) for piece in pieces]


# -- the rules, over a whole stream of plain bytes -----------------------------------------------------------


def fixed_model(stream: bytes, n: int) -> Result:
    whole = len(stream) // n * n
    return Result([stream[at : at + n] for at in range(0, whole, n)], left=len(stream) - whole)


def next_separator(stream: bytes, start: int, seps: Sequence[bytes]) -> tuple[int, bytes | None]:
    """Return the first place where a separator stands or may still come, and which it is, if that is decided."""
    for at in range(start, len(stream) + 1):
        rest = stream[at:]
        if any(len(rest) < len(sep) and sep.startswith(rest) for sep in seps):
            return at, None
        whole = [sep for sep in seps if rest.startswith(sep)]
        if whole:
            return at, max(whole, key=len)
    raise AssertionError("at the end of the stream anything may come")


def delimited_model(stream: bytes, seps: Sequence[bytes], limit: int, *, keepends: bool, skip: bool) -> Result:
    result = Result()
    start, overlong = 0, False
    while True:
        at, sep = next_separator(stream, start, seps)
        if at - start > limit and not overlong:
            if not skip:
                result.error = (LimitExceeded, limit, None, start)
                return result
            result.skipped += 1
            overlong = True
        if sep is None:
            result.left = len(stream) - (at if overlong else start)
            return result
        if not overlong:
            result.frames.append(stream[start : at + len(sep) if keepends else at])
        start, overlong = at + len(sep), False


@dataclass(frozen=True)
class Prefix:
    """The options of LengthPrefixed: what Netty's LengthFieldBasedFrameDecoder takes, under the names used here."""

    size: int
    byteorder: ByteOrder = "big"
    offset: int = 0
    adjust: int = 0
    includes_header: bool = False
    strip: int | None = None
    limit: int = 100
    skip: bool = False

    @property
    def header(self) -> int:
        return self.offset + self.size

    @property
    def stripped(self) -> int:
        return self.header if self.strip is None else self.strip

    def framer(self) -> LengthPrefixed:
        return LengthPrefixed(
            self.size, byteorder=self.byteorder, offset=self.offset, adjust=self.adjust,
            includes_header=self.includes_header, strip=self.strip, limit=self.limit,
            on_error="skip" if self.skip else "raise",
        )  # fmt: skip

    def length(self, header: bytes) -> int:
        """Return the length of the frame that begins with this header."""
        declared = int.from_bytes(header[self.offset : self.header], self.byteorder)
        return declared + self.adjust + (0 if self.includes_header else self.header)

    def model(self, stream: bytes) -> Result:
        result = Result()
        at = 0
        while len(stream) - at >= self.header:
            length = self.length(stream[at : at + self.header])
            if length < self.header:
                reason = f"the frame is {length} bytes long, its header alone {self.header}"
                result.error = (FrameError, at, reason)
            elif length > self.limit:
                result.error = (LimitExceeded, self.limit, length, at)
            elif self.stripped > length:
                reason = f"{self.stripped} bytes cannot be stripped from a frame of {length}"
                result.error = (FrameError, at, reason)
            elif length > len(stream) - at:
                break
            else:
                result.frames.append(stream[at + self.stripped : at + length])
            if result.error is not None:
                if not self.skip or length < self.header:
                    return result
                result.error = None
                result.skipped += 1
            at += length
        result.left = max(0, len(stream) - at)
        return result


def varint_model(stream: bytes, limit: int, *, skip: bool) -> Result:
    result = Result()
    at = 0
    while True:
        end = next((k + 1 for k in range(at, min(at + 10, len(stream))) if stream[k] < 0x80), None)
        value = sum((byte & 0x7F) << 7 * k for k, byte in enumerate(stream[at : at + 10 if end is None else end]))
        if value >> 64 or (end is None and len(stream) - at >= 10):
            result.error = (FrameError, at, "the varint has more than 64 bits")
            return result
        if end is None:
            break
        if value > limit:
            if not skip:
                result.error = (LimitExceeded, limit, value, at)
                return result
            result.skipped += 1
        elif value > len(stream) - end:
            break
        else:
            result.frames.append(stream[end : end + value])
        at = end + value
    result.left = max(0, len(stream) - at)
    return result


# -- any cut, and the rules ----------------------------------------------------------------------------------


@given(n=st.integers(1, 9), stream=st.binary(max_size=40), data=st.data())
def test_fixed_frames_are_cut_by_the_rule(n: int, stream: bytes, data: st.DataObject) -> None:
    found = run(FixedLength(n), data.draw(cut_up(stream)))
    assert found.without_what_is_wanted() == fixed_model(stream, n)


SEPARATORS: Final = st.lists(
    st.lists(st.sampled_from(b"ab\r\n"), min_size=1, max_size=3).map(bytes), min_size=1, max_size=3
)
TEXT: Final = st.lists(st.sampled_from(b"ab\r\n"), max_size=40).map(bytes)


@given(
    seps=SEPARATORS, stream=TEXT, limit=st.integers(0, 6), keepends=st.booleans(), skip=st.booleans(), data=st.data()
)
@example(seps=[b"\r\n"], stream=b"aaaaaa\r\nab\r\n", limit=2, keepends=False, skip=True, data=None)
@example(seps=[b"a", b"ab", b"abb"], stream=b"\raab\nabb", limit=1, keepends=True, skip=True, data=None)
def test_delimited_frames_are_cut_by_the_rule(
    seps: list[bytes], stream: bytes, limit: int, keepends: bool, skip: bool, data: st.DataObject | None
) -> None:
    """defects.md N8, N9: limits and skipping are exact, wherever the input is cut."""
    wanted = delimited_model(stream, seps, limit, keepends=keepends, skip=skip)
    for parts in [[stream], list(chunks(stream, [1] * len(stream)))] if data is None else [data.draw(cut_up(stream))]:
        framer = Delimited(*seps, limit=limit, keepends=keepends, on_error="skip" if skip else "raise")
        assert run(framer, parts).without_what_is_wanted() == wanted


@given(stream=TEXT, limit=st.integers(0, 6), keepends=st.booleans(), skip=st.booleans(), data=st.data())
def test_lines_are_cut_by_the_rule(stream: bytes, limit: int, keepends: bool, skip: bool, data: st.DataObject) -> None:
    framer = Lines(limit, keepends=keepends, on_error="skip" if skip else "raise")
    found = run(framer, data.draw(cut_up(stream)))
    assert found.without_what_is_wanted() == delimited_model(
        stream, [b"\n", b"\r\n"], limit, keepends=keepends, skip=skip
    )
    if limit == 6 and not skip and not keepends and found.error is None:
        assert found.frames == [line.removesuffix(b"\r") for line in stream.split(b"\n")[:-1]]


PREFIXES: Final = st.builds(
    Prefix,
    size=st.sampled_from([1, 2, 3, 4, 8]),
    byteorder=st.sampled_from(ORDERS),
    offset=st.integers(0, 3),
    adjust=st.integers(-12, 6),
    includes_header=st.booleans(),
    strip=st.none() | st.integers(0, 14),
    limit=st.integers(1, 30),
    skip=st.booleans(),
)


@st.composite
def prefixed_streams(draw: st.DrawFn, prefix: Prefix) -> bytes:
    """Draw frames whose lengths mostly, but not always, make sense, and some garbage at the end."""
    stream = b""
    for declared in draw(st.lists(st.integers(0, 40) | st.sampled_from([2**63, 2**64 - 1, 255]), max_size=5)):
        number = (declared % (1 << 8 * prefix.size)).to_bytes(prefix.size, prefix.byteorder)
        header = bytes(0xA0 + k for k in range(prefix.offset)) + number
        body = prefix.length(header) - prefix.header
        stream += header + bytes(k % 251 for k in range(max(0, min(body, 60))))
    return stream + draw(st.binary(max_size=5))


@given(prefix=PREFIXES, data=st.data())
def test_length_prefixed_frames_are_cut_by_netty_s_rule(prefix: Prefix, data: st.DataObject) -> None:
    stream = data.draw(prefixed_streams(prefix))
    found = run(prefix.framer(), data.draw(cut_up(stream)))
    assert found.without_what_is_wanted() == prefix.model(stream)


@given(
    sizes=st.lists(st.integers(0, 12) | st.sampled_from([300, 2**63, 2**64 - 1]), max_size=4),
    padded=st.booleans(), tail=st.lists(st.sampled_from(b"\xff\x80\x02\x01"), max_size=12).map(bytes),
    limit=st.integers(0, 10), skip=st.booleans(), data=st.data(),
)  # fmt: skip
def test_varint_prefixed_frames_are_cut_by_the_rule(
    sizes: list[int], padded: bool, tail: bytes, limit: int, skip: bool, data: st.DataObject
) -> None:
    stream = b"".join(varint(size, padded=padded) + bytes(min(size, 320)) for size in sizes) + tail
    framer = VarintPrefixed(limit, on_error="skip" if skip else "raise")
    found = run(framer, data.draw(cut_up(stream)))
    assert found.without_what_is_wanted() == varint_model(stream, limit, skip=skip)


def varint(value: int, *, padded: bool = False) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    groups += [0] * (padded and len(groups) < 9)
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


# -- every cut of some streams -------------------------------------------------------------------------------


def u(size: int, value: int) -> bytes:
    return value.to_bytes(size)


LONG: Final = b"x" * 30
STREAMS: Final[Mapping[str, tuple[Callable[[], Framer], bytes, Result]]] = {
    "fixed": (lambda: FixedLength(3), b"abcdefgh", Result([b"abc", b"def"], left=2)),
    "delimited": (lambda: Delimited(b";", limit=5), b"a;;bcd;e", Result([b"a", b"", b"bcd"], left=1)),
    "at the limit": (
        lambda: Delimited(b"\r\n", limit=3), b"abc\r\n\r\nabc\r\nab\r", Result([b"abc", b"", b"abc"], left=3)
    ),  # defects.md N8
    "beyond the limit": (
        lambda: Delimited(b"\r\n", limit=3), b"abc\r\nabcd\r\nab\r\n", Result([b"abc"], (LimitExceeded, 3, None, 5))
    ),
    "beyond the limit by what looks like the end": (
        lambda: Delimited(b"\r\n", limit=3), b"abc\r\nabc\rd\r\n", Result([b"abc"], (LimitExceeded, 3, None, 5))
    ),
    "skipped": (
        lambda: Delimited(b"\r\n", limit=3, on_error="skip"),
        b"abc\r\n" + LONG + b"\r\nde\r\nabcd\r\n\r\n" + LONG + b"\r",
        Result([b"abc", b"de", b""], left=1, skipped=3),
    ),  # defects.md N9
    "several separators": (
        lambda: Delimited(b"\n", b"\r\n", b";", limit=9, keepends=True),
        b"a\r\nb\nc;d\r;\r",
        Result([b"a\r\n", b"b\n", b"c;", b"d\r;"], left=1),
    ),
    "a separator that begins another": (
        lambda: Delimited(b"\n", b"\n\n", limit=4), b"a\n\nb\nc\n\n\nd\n", Result([b"a", b"b", b"c", b""], left=2)
    ),
    "a separator inside another": (
        lambda: Delimited(b"b", b"abc", limit=4), b"xabcyabdbabab", Result([b"x", b"ya", b"d", b"a"], left=2)
    ),
    "lines": (lambda: Lines(4), b"a\r\n\n\rb\r\r\nabcd\r\nx\r", Result([b"a", b"", b"\rb\r", b"abcd"], left=2)),
    "a line too long": (lambda: Lines(4), b"abcd\nabcd\re\n", Result([b"abcd"], (LimitExceeded, 4, None, 5))),
    "long lines skipped": (
        lambda: Lines(4, on_error="skip"),
        LONG + b"\r\nok\n" + LONG + b"\n\nok",
        Result([b"ok", b""], left=2, skipped=2),
    ),
    "prefixed": (
        lambda: LengthPrefixed(2, limit=9), b"\0\3abc\0\0\0\1d\0\4efg", Result([b"abc", b"", b"d"], left=5)
    ),
    "prefixed at the limit": (
        lambda: LengthPrefixed(1, limit=4, strip=0), b"\3abc\4abcd", Result([b"\3abc"], (LimitExceeded, 4, 5, 4))
    ),
    "prefixed, skipped": (
        lambda: LengthPrefixed(1, limit=5, on_error="skip"),
        b"\4abcd\5abcde\1f\xff" + bytes(255) + b"\1g\x14" + bytes(10),
        Result([b"abcd", b"f", b"g"], left=0, skipped=3),
    ),
    "strip beyond the frame": (
        lambda: LengthPrefixed(1, strip=4, limit=9),
        b"\5abcde\2ab\1a",
        Result([b"de"], (FrameError, 6, "4 bytes cannot be stripped from a frame of 3")),
    ),
    "strip beyond the frame, skipped": (
        lambda: LengthPrefixed(1, strip=4, limit=9, on_error="skip"),
        b"\5abcde\2ab\1a\4defg\0\3ab",
        Result([b"de", b"g"], left=3, skipped=3),
    ),  # defects.md N10
    "negative": (
        lambda: LengthPrefixed(2, includes_header=True, limit=9, on_error="skip"),
        b"\0\4ab\0\2\0\1\0\4cd",
        Result([b"ab", b""], (FrameError, 6, "the frame is 1 bytes long, its header alone 2")),
    ),
    "varint": (
        lambda: VarintPrefixed(200),
        b"\3abc\0\x81\1" + bytes(129) + b"\x02a",
        Result([b"abc", b"", bytes(129)], left=2),
    ),
    "varint at the limit": (lambda: VarintPrefixed(3), b"\3abc\4", Result([b"abc"], (LimitExceeded, 3, 4, 4))),
    "varint, skipped": (
        lambda: VarintPrefixed(3, on_error="skip"),
        b"\3abc\x81\1" + bytes(129) + b"\4abcd\1e\xff",
        Result([b"abc", b"e"], left=1, skipped=2),
    ),
    "varint too long": (
        lambda: VarintPrefixed(3, on_error="skip"),
        b"\1a" + b"\xff" * 9 + b"\2a",
        Result([b"a"], (FrameError, 2, "the varint has more than 64 bits")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_any_cut_gives_the_same_frames_errors_and_remainder(name: str) -> None:
    make, stream, wanted = STREAMS[name]
    whole = run(make(), [stream])
    assert whole.without_what_is_wanted() == wanted
    for parts in cuttings(stream):
        assert run(make(), parts) == whole, parts


@pytest.mark.parametrize("name", STREAMS)
def test_asking_for_the_end_in_between_changes_nothing(name: str) -> None:
    make, stream, wanted = STREAMS[name]
    framer = make()
    found: list[bytes] = []
    error = None
    for byte in chunks(stream, [1] * len(stream)):
        try:
            found += [bytes(frame) for frame in framer.feed(byte)]
        except (FrameError, LimitExceeded) as raised:
            error = facts(raised)
            break
        with contextlib.suppress(Underrun):
            framer.end()
    assert (found, error, framer.skipped) == (wanted.frames, wanted.error, wanted.skipped)


@pytest.mark.parametrize("name", STREAMS)
def test_any_prefix_of_a_stream_gives_a_prefix_of_its_frames_and_then_the_rest(name: str) -> None:
    make, stream, wanted = STREAMS[name]
    for cut in range(len(stream) + 1):
        found = run(make(), [stream[:cut]])
        assert found.frames == wanted.frames[: len(found.frames)]
        assert found.error in {None, wanted.error}
        for parts in ([stream[:cut][k : k + 1] for k in range(cut)], [stream[: cut // 2], stream[cut // 2 : cut]]):
            assert run(make(), parts) == found


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("kind", KINDS)
def test_frames_show_the_memory_that_was_fed(name: str, kind: str) -> None:
    make, stream, wanted = STREAMS[name]
    parts = CompositeBuffer([MAKERS[kind](piece) for piece in chunks(stream, [3, 1, 5] * len(stream))])
    where, framer, at = addresses(parts), make(), 0
    with no_copy(strict=True):
        frames = framer.feed(parts)
        for expected in wanted.frames:
            frame = next(frames)
            assert frame == expected
            at = stream.index(expected, at)
            assert addresses(frame) == where[at : at + len(frame)]
            at += len(frame)


# -- what end() says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("framer", "stream", "requested"),
    [
        (FixedLength(5), b"abcdefg", 5),
        (Delimited(b"--", limit=9), b"a--bc-", 4),
        (Delimited(b"--", limit=9), b"a--bc", 4),
        (Delimited(b"\n", b"\n\n", limit=9), b"a\n\nbc\n", 4),
        (Lines(9), b"a\nbc\r", 4),
        (LengthPrefixed(4, limit=9), b"\0\0\0", 4),
        (LengthPrefixed(2, offset=1, limit=9), b"-\0\5abc", 8),
        (LengthPrefixed(2, limit=9, on_error="skip"), b"\0\x50abc", 0x50 + 2 - 5),
        (VarintPrefixed(999), b"\x80", 2),
        (VarintPrefixed(999), b"\x80\1abc", 130),
        (VarintPrefixed(2, on_error="skip"), b"\x80\1abc", 125),
    ],
    ids=[
        "fixed", "half a separator", "no separator", "a longer separator", "half a line end", "half a header",
        "half a body", "a body to skip", "half a varint", "half a body behind a varint", "a body to skip behind one",
    ],
)  # fmt: skip
def test_the_end_says_how_many_bytes_an_unfinished_frame_has_at_least(
    framer: Framer, stream: bytes, requested: int
) -> None:
    list(framer.feed(stream))
    for _ in range(2):
        with pytest.raises(Underrun) as error:
            framer.end()
        assert (error.value.requested, error.value.available) == (requested, framer.pending)


def test_the_end_says_the_same_before_anybody_asked_for_frames() -> None:
    for framer, stream, requested in (
        (FixedLength(9), b"abc", 9),
        (Delimited(b"---", limit=9), b"abc-", 6),
        (LengthPrefixed(1, limit=9), b"\5abc", 6),
        (VarintPrefixed(9), b"\5abc", 6),
    ):
        framer.feed(stream)
        with pytest.raises(Underrun) as error:
            framer.end()
        assert (error.value.requested, error.value.available) == (requested, len(stream))


def test_errors_say_where_the_bad_frame_begins() -> None:
    """In all that was fed, however much of it is gone."""
    for framer, good, bad, sentence in (
        (Lines(3), b"abc\n", b"abcd\n", "the limit of 3 bytes is exceeded (at byte 4000)"),
        (
            LengthPrefixed(2, limit=9),
            b"\0\2ab",
            b"\xff\xff",
            "the limit of 9 bytes is exceeded by the 65537 that are announced (at byte 4000)",
        ),
        (
            LengthPrefixed(2, limit=9, includes_header=True),
            b"\0\4ab",
            b"\0\1",
            "the frame is 1 bytes long, its header alone 2 (at byte 4000)",
        ),
        (
            VarintPrefixed(3),
            b"\3abc",
            b"\x80\1",
            "the limit of 3 bytes is exceeded by the 128 that are announced (at byte 4000)",
        ),
        (VarintPrefixed(3), b"\3abc", b"\xff" * 11, "the varint has more than 64 bits (at byte 4000)"),
    ):
        for _ in range(1000):
            assert len(list(framer.feed(good))) == 1
        with pytest.raises((FrameError, LimitExceeded)) as error:
            list(framer.feed(bad))
        assert (str(error.value), getattr(error.value, "at", None)) == (sentence, 4000)
    fixed = FixedLength(4)
    assert len(list(fixed.feed(b"12341234123"))) == 2
    with pytest.raises(Underrun, match=r"^4 bytes were asked for, 3 are there \(at byte 8\)$"):
        fixed.end()


def test_the_end_is_quiet_where_nothing_is_left() -> None:
    for make, _, _ in STREAMS.values():
        make().end()
        framer = make()
        list(framer.feed(b""))
        framer.end()
    framer = Delimited(b";", limit=1, on_error="skip")
    assert list(framer.feed(b"abcde")) == []
    with pytest.raises(Underrun) as error:
        framer.end()
    assert (error.value.available, framer.pending) == (0, 0)
    assert list(framer.feed(b";")) == []
    framer.end()


def test_the_end_counts_frames_that_nobody_took() -> None:
    framers = (FixedLength(2), Delimited(b";", limit=9), LengthPrefixed(1, limit=9), VarintPrefixed(9))
    for framer in framers:
        framer.feed(b"\1;" * 5)
        with pytest.raises(Underrun) as error:
            framer.end()
        assert (error.value.available, framer.pending) == (10, 10)
        assert error.value.requested > 10
        assert len(list(framer.feed(b""))) == 5
        framer.end()


# -- what feed() promises ------------------------------------------------------------------------------------


def test_a_part_is_taken_in_at_the_call_and_frames_come_when_asked_for() -> None:
    framer = Lines(9)
    b = CompositeBuffer([b"a\nb", b"\nc"])
    frames = framer.feed(b)
    assert framer.pending == 5
    b.clear()
    b.append(b"something else")
    assert (bytes(next(frames)), framer.pending) == (b"a", 3)
    assert [bytes(frame) for frame in frames] == [b"b"]
    assert framer.pending == 1


def test_frames_that_are_not_taken_come_first_next_time() -> None:
    framer = LengthPrefixed(1, limit=9)
    first = framer.feed(b"\1a\1b\1c")
    assert next(first) == b"a"
    second = framer.feed(b"\1d\1e")
    assert next(second) == b"b"
    assert next(first) == b"c", "whichever iterator is asked gives the next one"
    assert [bytes(frame) for frame in framer.feed(b"\1f")] == [b"d", b"e", b"f"]
    assert list(first) == list(second) == []
    framer.end()


@pytest.mark.parametrize(
    ("make", "stream", "good"),
    [
        (lambda: Delimited(b";", limit=2), b"a;b;cde;f;", [b"a", b"b"]),
        (lambda: LengthPrefixed(1, limit=3), b"\1a\1b\5abcde\1f", [b"a", b"b"]),
        (lambda: LengthPrefixed(1, includes_header=True, limit=3), b"\2a\2b\0\2c", [b"a", b"b"]),
        (lambda: VarintPrefixed(3), b"\1a\1b\5abcde\1f", [b"a", b"b"]),
    ],
    ids=["delimited", "too long", "negative", "varint"],
)
def test_good_frames_come_before_the_error_and_then_the_framer_is_closed(
    make: Callable[[], Framer], stream: bytes, good: list[bytes]
) -> None:
    framer = make()
    earlier = framer.feed(b"")
    frames = framer.feed(stream)
    assert [bytes(next(frames)) for _ in good] == good
    framer.feed(b"")  # the error has not come up yet
    with pytest.raises((FrameError, LimitExceeded)):
        next(frames)
    held = framer.pending
    for use in (lambda: framer.feed(b"x"), lambda: list(earlier), framer.end):
        with pytest.raises(ClosedError, match=type(framer).__name__):
            use()
    assert (framer.pending, framer.skipped) == (held, 0)
    assert list(frames) == []


@pytest.mark.parametrize("wrong", ["abc", 3, None, [b"abc"], memoryview(b"abcd")[::2]], ids=lambda x: type(x).__name__)
def test_what_is_no_part_is_refused_and_nothing_is_taken_in(wrong: Any) -> None:
    for framer in (FixedLength(2), Lines(9), LengthPrefixed(1, limit=9), VarintPrefixed(9)):
        with pytest.raises(TypeError):
            framer.feed(wrong)
        with pytest.raises(TypeError):
            framer.encode(wrong)
        assert framer.pending == 0


def test_every_kind_of_part_can_be_fed() -> None:
    stream = b"\5hello\5world"
    for make in MAKERS.values():
        framer = LengthPrefixed(1, limit=9)
        assert [bytes(frame) for frame in framer.feed(make(stream))] == [b"hello", b"world"]


def test_frames_outlive_their_framer_and_its_errors() -> None:
    framer = Lines(3)
    frames = framer.feed(b"abc\nabcd\n")
    kept = next(frames)
    with pytest.raises(LimitExceeded):
        next(frames)
    del framer, frames
    assert kept == b"abc"
    assert type(kept) is SliceBuffer


def test_the_core_is_no_format() -> None:
    make: Any = Framer
    for wrong in {}, {"limit": 9}, {"on_error": "raise", "limit": 9}:
        with pytest.raises(
            TypeError, match=r"^a Framer is not made directly: write FixedLength\(n\), .*, Lines\(n\), "
        ):
            make(**wrong)
    assert (Framer._wanted(Lines(9)), Framer._bad_end(Lines(9))) == (1, -1)
    with pytest.raises(NotImplementedError):
        Framer._next(Lines(9))
    with pytest.raises(NotImplementedError):
        Framer.encode(Lines(9), b"abc")


@pytest.mark.skipif(COMPILED, reason="the methods of a compiled class cannot be replaced")
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_format_that_does_not_say_where_bad_frames_end_closes_at_the_first(
    on_error: OnError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def next_of_three(framer: Framer) -> SliceBuffer | None:
        if bytes(framer._buffer[:3]) == b"bad":
            raise FrameError("it is bad")
        return framer._buffer.take(3)

    monkeypatch.setattr(VarintPrefixed, "_next", next_of_three)
    monkeypatch.setattr(VarintPrefixed, "_bad_end", Framer._bad_end)
    framer = VarintPrefixed(10, on_error=on_error)
    frames = framer.feed(b"onetwobadnotseen")
    assert [next(frames), next(frames)] == [b"one", b"two"]
    with pytest.raises(FrameError, match="it is bad"):
        next(frames)
    with pytest.raises(ClosedError):
        framer.feed(b"more")
    assert framer.skipped == 0


def test_a_framer_shows_what_it_holds() -> None:
    framer = Lines(3, on_error="skip")
    assert repr(framer) == "<Lines(3, on_error='skip'): 0 bytes pending>"
    list(framer.feed(b"one\nmuch too long\nx"))
    assert repr(framer) == "<Lines(3, on_error='skip'): 1 byte pending, 1 skipped>"
    framer.detach()
    assert repr(framer) == "<Lines(3, on_error='skip'): closed, 0 bytes pending, 1 skipped>"


def test_a_framer_shows_how_it_cuts() -> None:
    rules: list[tuple[Framer, str]] = [
        (FixedLength(8), "FixedLength(8)"),
        (Lines(80), "Lines(80)"),
        (Lines(80, keepends=True), "Lines(80, keepends=True)"),
        (Delimited(b";", limit=9), "Delimited(b';', limit=9)"),
        (Delimited(b"\r\n", b"\n", limit=9, keepends=True), r"Delimited(b'\r\n', b'\n', limit=9, keepends=True)"),
        (Delimited(*b"\0 \1 \2".split(), limit=9), r"Delimited(b'\x00', b'\x01', b'\x02', limit=9)"),
        (Delimited(*b"\0 \1 \2 \3".split(), limit=9), r"Delimited(b'\x00', b'\x01', b'\x02', ..., limit=9)"),
        (LengthPrefixed(2, limit=9), "LengthPrefixed(2, limit=9)"),
        (LengthPrefixed(2, adjust=3, limit=9), "LengthPrefixed(2, adjust=3, limit=9)"),
        (
            LengthPrefixed(4, byteorder="little", offset=3, includes_header=True, strip=0, limit=9),
            "LengthPrefixed(4, byteorder='little', offset=3, adjust=-7, strip=0, limit=9)",
        ),
        (VarintPrefixed(9), "VarintPrefixed(9)"),
        (VarintPrefixed(9, on_error="skip"), "VarintPrefixed(9, on_error='skip')"),
    ]
    for framer, rule in rules:
        assert repr(framer) == f"<{rule}: 0 bytes pending>"
        with pytest.raises(NotImplementedError):
            Framer._rule(framer)


def closed(framer: Framer) -> Framer:
    with contextlib.suppress(FrameError):
        list(framer.feed(b"\xff" * 99))
    return framer


LONGER: Final = "no frame of at most 3 bytes holds b'abcd'"

SENTENCES: list[tuple[Callable[[], object], str]] = [
    (
        Framer,
        (
            "a Framer is not made directly: write FixedLength(n), Delimited(sep, limit=n), Lines(n), "
            "LengthPrefixed(size, limit=n) or VarintPrefixed(n)"
        ),
    ),
    (lambda: Lines(9, on_error="stop"), "on_error is 'raise' or 'skip', not 'stop'"),  # type: ignore[arg-type]
    (lambda: Delimited(limit=9), "at least one separator is wanted"),
    (lambda: FixedLength(0), "the length of a frame is at least 1 byte"),
    (lambda: LengthPrefixed(2, limit=0), "the limit is at least 1 byte"),
    (lambda: LengthPrefixed(5, limit=9), "the length has 1, 2, 3, 4 or 8 bytes, not 5"),
    (lambda: LengthPrefixed(2, byteorder="middle", limit=9), "the byte order is 'big' or 'little', not 'middle'"),  # type: ignore[arg-type]
    (
        lambda: FixedLength(b"data"),  # type: ignore[arg-type]
        "the length of a frame in bytes is wanted, not b'data': a framer takes bytes by its feed(part)",
    ),
    (
        lambda: LengthPrefixed(b"data", limit=9),  # type: ignore[arg-type]
        "the size of a length in bytes is wanted, not b'data': a framer takes bytes by its feed(part)",
    ),
    (
        lambda: Lines(b"data"),  # type: ignore[arg-type]
        "the limit in bytes is wanted, not b'data': a framer takes bytes by its feed(part)",
    ),
    (lambda: FixedLength(3).encode(b"abcd"), "a frame has 3 bytes, this payload 4"),
    (lambda: Lines(3).encode(b"abcd"), LONGER),
    (lambda: Lines(4).encode(b"a\nb"), r"no frame of at most 4 bytes holds b'a\nb'"),
    (lambda: VarintPrefixed(3).encode(b"abcd"), LONGER),
    (lambda: LengthPrefixed(1, limit=3).encode(b"abcd"), LONGER),
    (
        lambda: LengthPrefixed(1, strip=0, limit=9).encode(b"\1abc"),
        "the payload begins with a part of the header that declares other than 3 bytes",
    ),
    (lambda: closed(VarintPrefixed(9)).feed(b"x"), "the VarintPrefixed framer, after an error, is closed"),
    (lambda: copy.copy(Lines(9)), "a Lines framer is not copied or pickled: make another one"),
    (lambda: list(VarintPrefixed(9).feed(b"\xff" * 10 + b"\1")), "the varint has more than 64 bits (at byte 0)"),
    (
        lambda: list(LengthPrefixed(1, includes_header=True, limit=9).feed(b"\0")),
        "the frame is 0 bytes long, its header alone 1 (at byte 0)",
    ),
    (
        lambda: list(LengthPrefixed(1, strip=3, limit=9).feed(b"\1a")),
        "3 bytes cannot be stripped from a frame of 2 (at byte 0)",
    ),
]


def test_a_refusal_is_a_whole_sentence() -> None:
    for refused, expected in SENTENCES:
        with pytest.raises((TypeError, ValueError, ClosedError)) as caught:
            refused()
        assert str(caught.value) == expected


def test_a_framer_shows_little_of_a_long_separator() -> None:
    assert len(repr(Delimited(*[b"x" * 10_000] * 10_000, limit=9))) < 200


@pytest.mark.parametrize("wrong", [b"data", "80", 1.5, None, [9]], ids=repr)
def test_what_is_no_size_is_told_where_bytes_go(wrong: Any) -> None:
    for make in (
        FixedLength,
        Lines,
        VarintPrefixed,
        lambda n: LengthPrefixed(n, limit=9),
        lambda n: LengthPrefixed(2, limit=n),
        lambda n: Delimited(b";", limit=n),
    ):
        with pytest.raises(TypeError, match=r" in bytes is wanted, not .*: a framer takes bytes by its feed\(part\)$"):
            make(wrong)


def test_so_many_bytes_are_always_enough_to_decide() -> None:
    """What a stream reads at most while it waits for a frame: beyond the limit, what is looked at for a separator."""
    for make in (Lines, VarintPrefixed, lambda n: Delimited(b"--", limit=n), lambda n: LengthPrefixed(4, limit=n)):
        framer = make(5000)
        assert 5000 < framer._most < 5000 + 2 * FEW
        with pytest.raises((LimitExceeded, FrameError)):
            for _ in framer.feed(b"\xfe" * framer._most):
                pass


# -- going on as another protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_behind_the_last_frame_that_was_taken_is_detached(name: str) -> None:
    make, stream, _ = STREAMS[name]
    for cut in range(len(stream) + 1):
        framer = make()
        size = 0
        try:
            taken = next(framer.feed(stream[:cut]), None)
            held = framer.pending
            framer.feed(memoryview(stream)[cut:])
        except (FrameError, LimitExceeded):
            with pytest.raises(ClosedError, match=f"the {type(framer).__name__} framer, after an error, is closed"):
                framer.detach()
            continue
        size = held + len(stream) - cut
        with no_copy(strict=True):
            left = framer.detach()
        assert type(left) is CompositeBuffer
        assert left == stream[len(stream) - size :]
        assert taken is not None or size == len(stream) or framer.skipped
        left._check()
        left.append(b"goes on")
        assert left == stream[len(stream) - size :] + b"goes on"


def test_a_framer_that_was_detached_is_closed_and_holds_nothing() -> None:
    framer = Lines(9)
    frames = framer.feed(b"one\ntwo\nthr")
    assert next(frames) == b"one"
    earlier = framer.feed(b"")
    left = framer.detach()
    assert left == b"two\nthr"
    assert framer.pending == 0
    for use in (lambda: framer.feed(b"x"), lambda: list(earlier), lambda: list(frames), framer.end, framer.detach):
        with pytest.raises(ClosedError, match=r"the Lines framer, after detach\(\), is closed"):
            use()
    assert left == b"two\nthr"
    assert framer.encode(b"three") == b"three\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="PEP 688")
def test_a_part_whose_own_code_detaches_the_framer_is_not_taken_in() -> None:
    class Detaching:
        def __buffer__(self, flags: int) -> memoryview:
            left.append(framer.detach())
            return memoryview(b"late")

    left: list[CompositeBuffer] = []
    framer = Lines(9)
    framer.feed(b"abc")
    detaching: Any = Detaching()
    with pytest.raises(ClosedError):
        framer.feed(detaching)
    assert left == [b"abc"]


class Feeding(FakeFile):
    """A file that uses the framer which looks at it."""

    framer: Framer | None

    def _look(self) -> Any:
        framer, self.framer = self.framer, None
        if framer is not None:
            for use in (lambda: framer.feed(b"x"), framer.end, framer.detach):
                with pytest.raises(Busy, match="the framer is in use"):
                    use()
        return super()._look()


def test_who_comes_into_the_middle_of_a_call_is_told_that_the_framer_is_busy() -> None:
    framer = Lines(9)
    file = Feeding(b"one\nt")
    file.framer = framer
    assert next(framer.feed(file)) == b"one"
    assert getattr(file, "framer") is None  # noqa: B009  # mypy takes it for what it was
    assert framer.detach() == b"t"


@pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")
@pytest.mark.parametrize("kind", FORMATS)
def test_a_framer_that_is_interrupted_while_it_is_detached_holds_everything_or_nothing(kind: str) -> None:
    form = FORMATS[kind]
    content = form.stream[:-1]

    def made() -> Framer:
        framer = form.make()
        framer.feed(content)
        return framer

    for framer, found in at_each_step(made, lambda framer: framer.detach()):
        if found.error is None or framer._closed:
            assert framer._is_detached
            assert framer.pending == 0
        else:
            assert not framer._is_detached
            assert framer.pending == len(content)
            assert framer.detach() == content


# -- skipping ------------------------------------------------------------------------------------------------


def test_skipping_counts_bad_frames_and_loses_no_good_one() -> None:
    framer = Lines(3, on_error="skip")
    lines = [b"abc", b"abcd", b"", LONG * 9, b"x", b"abcdef\rg", b"yz", b"\r\r\r\r", b"end"]
    taken = [bytes(frame) for line in lines for frame in framer.feed(line + b"\r\n")]
    assert taken == [line for line in lines if len(line) <= 3]
    assert framer.skipped == 4


def test_a_separator_that_is_split_while_skipping_loses_nothing() -> None:  # defects.md N9
    for sep in (b"\r\n", b"--", b"aab", b"\0\0\0\0"):
        for bad in range(4, 9):
            framer = Delimited(sep, limit=3, on_error="skip")
            stream = b"z" * bad + sep + b"ok" + sep
            assert [bytes(frame) for byte in stream for frame in framer.feed(bytes([byte]))] == [b"ok"]
            framer.end()


def test_a_bad_length_is_skipped_without_its_bytes_being_kept() -> None:
    for framer in (LengthPrefixed(4, limit=100, on_error="skip"), VarintPrefixed(100, on_error="skip")):
        size = 3 << 30
        header = u(4, size) if isinstance(framer, LengthPrefixed) else varint(size)
        block = bytes(1 << 20)
        assert list(framer.feed(header)) == []
        for _ in range(size >> 20):
            assert list(framer.feed(block)) == []
            assert framer.pending == 0
        assert [bytes(frame) for frame in framer.feed(framer.encode(b"good"))] == [b"good"]
        assert framer.skipped == 1
        framer.end()


def test_a_frame_shorter_than_its_header_closes_even_when_skipping() -> None:
    """Nobody knows where the next one begins."""
    framer = LengthPrefixed(2, adjust=-4, limit=100, on_error="skip")
    frames = framer.feed(b"\0\x06ab" + b"\0\x03" + b"\0\x05abc")
    assert next(frames) == b"ab"
    with pytest.raises(FrameError, match="the frame is 1 bytes long, its header alone 2") as error:
        list(frames)
    assert error.value.at == 4
    with pytest.raises(ClosedError):
        framer.feed(b"")


def test_an_error_says_where_its_frame_began_in_all_that_was_fed() -> None:
    for on_error in ("raise", "skip"):
        framer = LengthPrefixed(1, includes_header=True, limit=100, on_error=on_error)
        for _ in range(1000):
            assert list(framer.feed(b"\x03ab")) == [b"ab"]
        with pytest.raises(FrameError) as error:
            list(framer.feed(b"\0"))
        assert error.value.at == 3000


SKIPPING: Final[dict[str, tuple[Callable[[], Framer], bytes]]] = {
    "LengthPrefixed": (
        lambda: LengthPrefixed(1, limit=6, on_error="skip"),
        b"\x03one\x0dmuch too long\x08nineteen\x03two\x05three",
    ),
    "VarintPrefixed": (
        lambda: VarintPrefixed(6, on_error="skip"),
        b"\x03one\x0dmuch too long\x08nineteen\x03two\x05three",
    ),
    "Delimited": (lambda: Delimited(b";", limit=6, on_error="skip"), b"one;much too long;nineteen;two;three;"),
}


@pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")
@pytest.mark.parametrize("fed", ["at once", "in two"])
@pytest.mark.parametrize("kind", SKIPPING)
def test_a_bad_frame_counts_once_and_goes_wholly_however_the_call_is_interrupted(kind: str, fed: str) -> None:
    make, stream = SKIPPING[kind]
    first, second = (stream, b"") if fed == "at once" else (stream[:9], stream[9:])

    def after_one_frame() -> Framer:
        framer = make()
        assert next(framer.feed(first)) == b"one"
        return framer

    counts = set()
    for framer, found in at_each_step(after_one_frame, lambda framer: next(framer.feed(b""), None)):
        counts.add(framer.skipped)
        frames = [bytes(frame) for frame in framer.feed(second)]
        if isinstance(found.answer, bytes):
            frames.insert(0, found.answer)
        framer._buffer._check()
        # What was about to be returned may be lost, and no other.
        assert frames in ([b"two", b"three"], [b"three"])
        assert frames[0] == b"two" or isinstance(found.error, Interrupt)
        assert (framer.skipped, framer.pending) == (2, 0)
    assert counts == {0, 1, 2} if fed == "at once" else {0, 1}


# -- Netty's decoder -----------------------------------------------------------------------------------------

HELLO: Final = b"HELLO, WORLD"


@pytest.mark.parametrize(
    ("options", "stream", "frame"),
    [
        ({"size": 2, "strip": 0}, b"\x00\x0c" + HELLO, b"\x00\x0c" + HELLO),
        ({"size": 2}, b"\x00\x0c" + HELLO, HELLO),
        ({"size": 2, "strip": 2}, b"\x00\x0c" + HELLO, HELLO),
        ({"size": 2, "adjust": -2, "strip": 0}, b"\x00\x0e" + HELLO, b"\x00\x0e" + HELLO),
        ({"size": 2, "includes_header": True, "strip": 0}, b"\x00\x0e" + HELLO, b"\x00\x0e" + HELLO),
        ({"size": 3, "offset": 2, "strip": 0}, b"\xca\xfe\0\0\x0c" + HELLO, b"\xca\xfe\0\0\x0c" + HELLO),
        ({"size": 3, "adjust": 2, "strip": 0}, b"\0\0\x0c\xca\xfe" + HELLO, b"\0\0\x0c\xca\xfe" + HELLO),
        ({"size": 2, "offset": 1, "adjust": 1, "strip": 3}, b"\xca\0\x0c\xfe" + HELLO, b"\xfe" + HELLO),
        ({"size": 2, "offset": 1, "adjust": -3, "strip": 3}, b"\xca\0\x10\xfe" + HELLO, b"\xfe" + HELLO),
        ({"size": 2, "offset": 1, "includes_header": True}, b"\xca\0\x10\xfe" + HELLO, b"\xfe" + HELLO),
        ({"size": 8, "byteorder": "little"}, b"\x0c\0\0\0\0\0\0\0" + HELLO, HELLO),
        ({"size": 3, "byteorder": "little", "offset": 1}, b"-\x0c\0\0" + HELLO, HELLO),
    ],
    ids=str,
)
def test_the_examples_in_netty_s_documentation(options: dict[str, Any], stream: bytes, frame: bytes) -> None:
    for parts in cuttings(stream * 2):
        assert run(LengthPrefixed(limit=100, **options), parts).frames == [frame, frame]
        assert run(LengthPrefixed(limit=len(stream), **options), parts).frames == [frame, frame]
        assert run(LengthPrefixed(limit=len(stream) - 1, **options), parts).error == (
            LimitExceeded,
            len(stream) - 1,
            len(stream),
            0,
        )


@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8])
def test_lengths_at_their_bounds(size: int, byteorder: ByteOrder) -> None:  # defects.md O20
    """0, the largest that fits the limit, one more, and the largest that fits the field: never allocated."""
    most = (1 << 8 * size) - 1
    prefix = Prefix(size, byteorder, limit=min(1000, most) + size)
    for declared in {0, 1, min(1000, most), min(1001, most), most}:
        header = declared.to_bytes(size, byteorder)
        stream = header + bytes(min(declared, 1000)) + b"\xff\xff trailing garbage \xff"
        found = run(prefix.framer(), [stream])
        assert found.without_what_is_wanted() == prefix.model(stream)
        assert found.frames[:1] == ([bytes(declared)] if declared <= 1000 else [])

        def work(stream: bytes = stream) -> None:
            run(prefix.framer(), [stream])

        assert peak_while(work, 100_000) < 100_000
        for payload in (bytes(min(declared, 1000)), memoryview(bytes(min(declared, 1000)))):
            assert prefix.framer().encode(payload) == min(declared, 1000).to_bytes(size, byteorder) + payload


# -- encode --------------------------------------------------------------------------------------------------

PAYLOADS: Final = TEXT | st.binary(max_size=40)
FRAMERS: Final[st.SearchStrategy[Callable[[], Framer]]] = st.one_of(
    st.integers(1, 12).map(lambda n: lambda: FixedLength(n)),
    st.tuples(SEPARATORS, st.integers(0, 30), st.booleans()).map(
        lambda options: lambda: Delimited(*options[0], limit=options[1], keepends=options[2])
    ),
    st.tuples(st.integers(0, 30), st.booleans()).map(lambda options: lambda: Lines(options[0], keepends=options[1])),
    PREFIXES.map(lambda prefix: prefix.framer),
    st.integers(0, 30).map(lambda limit: lambda: VarintPrefixed(limit)),
)


def encoded(framer: Framer, payload: Part) -> CompositeBuffer | None:
    try:
        return framer.encode(payload)
    except ValueError:
        return None


@given(make=FRAMERS, payloads=st.lists(PAYLOADS, max_size=3), kind=st.sampled_from(KINDS), data=st.data())
def test_what_is_encoded_comes_back(
    make: Callable[[], Framer], payloads: list[bytes], kind: str, data: st.DataObject
) -> None:
    framer = make()
    stream, sent = CompositeBuffer(), []
    for payload in payloads:
        frame = encoded(framer, MAKERS[kind](payload) if payload else payload)
        if frame is not None:
            stream.append(frame)
            sent.append(payload)
            found = run(make(), [frame])
            assert (found.frames, found.left, found.wanted) == ([payload], 0, None)
    assume(sent)
    assert run(make(), [stream]).frames == sent
    assert run(make(), data.draw(cut_up(bytes(stream)))).frames == sent


@given(prefix=PREFIXES, payload=st.binary(max_size=24), like_a_header=st.booleans())
def test_a_payload_is_refused_only_where_no_header_could_give_it_back(
    prefix: Prefix, payload: bytes, like_a_header: bool
) -> None:
    if like_a_header:  # with strip below the header's size the payload begins with a part of it
        declared = prefix.stripped + len(payload) - prefix.length(bytes(prefix.header))
        number = (declared % (1 << 8 * prefix.size)).to_bytes(prefix.size, prefix.byteorder)
        begin = (bytes(prefix.offset) + number)[prefix.stripped :]
        payload = (begin + payload[len(begin) :])[: len(payload)]
    frame = encoded(prefix.framer(), payload)
    total = prefix.stripped + len(payload)
    declared = total - prefix.length(bytes(prefix.header))
    possible = prefix.header <= total <= prefix.limit and 0 <= declared < 1 << 8 * prefix.size
    if possible:
        # Where the payload leaves the header to us, any would do; where it has a part of it, that has to fit.
        number = declared.to_bytes(prefix.size, prefix.byteorder)
        whole = bytes(prefix.stripped) + payload
        fixed = whole[max(prefix.stripped, prefix.offset) : prefix.header]
        possible = number.endswith(fixed) if fixed else True
    assert (frame is not None) == possible
    if frame is not None:
        assert prefix.model(bytes(frame)) == Result([payload], left=0)


@given(seps=SEPARATORS, payload=TEXT, limit=st.integers(0, 8), keepends=st.booleans())
def test_a_payload_is_refused_only_where_no_separator_could_give_it_back(
    seps: list[bytes], payload: bytes, limit: int, keepends: bool
) -> None:
    frame = encoded(Delimited(*seps, limit=limit, keepends=keepends), payload)
    wanted = Result([payload], left=0)
    possible = any(
        delimited_model(payload + end, seps, limit, keepends=keepends, skip=False) == wanted
        for end in ([b""] if keepends else seps)
    )
    assert (frame is not None) == possible


ENCODERS: Final[Mapping[str, Callable[[], Framer]]] = {
    "fixed": lambda: FixedLength(40),
    "delimited": lambda: Delimited(b"\0", b"\0\0", limit=40),
    "keepends": lambda: Delimited(b"#", limit=40, keepends=True),
    "lines": lambda: Lines(40),
    "prefixed": lambda: LengthPrefixed(4, limit=44),
    "prefixed, with all options": lambda: LengthPrefixed(2, byteorder="little", offset=3, adjust=-7, strip=9, limit=49),
    "varint": lambda: VarintPrefixed(40),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_payloads_of_any_layout_go_and_come_without_a_copy(name: str) -> None:
    raw = bytes(range(60, 99)) + b"#"
    for layout in LAYOUTS:
        payload = layout.make(raw)
        where = addresses(payload)
        with no_copy(strict=True), copy_audit() as audit:
            framer = ENCODERS[name]()
            frame = framer.encode(payload)
            [back] = framer.feed(frame)
            framer.end()
        assert addresses(back) == where, layout
        assert audit.count == 0
        assert back == raw
        assert payload == raw


def test_an_empty_payload_has_a_frame_where_the_format_has_one() -> None:
    for framer in (Delimited(b";", limit=0), Lines(0), LengthPrefixed(4, limit=4), VarintPrefixed(0)):
        for empty in (b"", bytearray(), SliceBuffer(b"x", 1), CompositeBuffer()):
            assert [bytes(frame) for frame in framer.feed(framer.encode(empty))] == [b""]
        framer.end()


class Lying(bytes):
    """Bytes whose methods say anything: a payload is what they hold."""

    def __len__(self) -> int:
        return 1

    def __add__(self, other: Any) -> bytes:
        return b"other"

    def find(self, *_: Any) -> int:
        return 0


@pytest.mark.parametrize("name", ENCODERS)
def test_a_payload_is_what_it_holds_whatever_its_methods_say(name: str) -> None:
    raw = bytes(range(60, 99)) + b"#"
    for payload in (Lying(raw), array("I", raw)):
        framer = ENCODERS[name]()
        frame = framer.encode(payload)
        assert frame == ENCODERS[name]().encode(raw)
        assert [bytes(back) for back in framer.feed(frame)] == [raw]


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1])
def test_payloads_around_the_size_that_is_looked_through_at_once(size: int) -> None:
    for payload in (b"a" * size, b"a" * (size - 1) + b"-", b"--" + b"a" * (size - 2), b"a" * (size - 2) + b"--"):
        for limit in (size - 1, size):
            framer = Delimited(b"--", limit=limit)
            if limit == size and b"-" not in payload:
                assert framer.encode(payload) == payload + b"--"
            else:
                with pytest.raises(ValueError, match=f"no frame of at most {limit} bytes"):
                    framer.encode(payload)


REFUSED: Final[Sequence[tuple[Framer, bytes, str]]] = (
    (FixedLength(3), b"ab", "a frame has 3 bytes, this payload 2"),
    (FixedLength(3), b"abcd", "a frame has 3 bytes, this payload 4"),
    (Delimited(b";", limit=9), b"a;b", "no frame of at most 9 bytes holds b'a;b'"),
    (Delimited(b";", limit=2), b"abc", "no frame of at most 2 bytes"),
    (Delimited(b"--", limit=9), b"a-", "no frame"),
    (Delimited(b";", limit=9, keepends=True), b"abc", "no frame"),
    (Delimited(b";", limit=9, keepends=True), b"a;b;", "no frame"),
    (Lines(9), b"a\nb", "no frame"),
    (Lines(9), b"a\n", "no frame"),
    (LengthPrefixed(1, limit=999), bytes(256), "no frame"),
    (LengthPrefixed(1, limit=9), bytes(9), "no frame"),
    (LengthPrefixed(1, adjust=4, limit=99), bytes(3), "no frame"),
    (LengthPrefixed(2, strip=0, limit=99), b"a", "no frame"),
    (LengthPrefixed(2, strip=0, limit=99), b"\0\5abc", "declares other than 3"),
    (LengthPrefixed(2, strip=1, limit=99), b"\5abc", "declares other than 3"),
    (VarintPrefixed(3), b"abcd", "no frame of at most 3 bytes"),
)


def test_what_could_not_come_back_is_a_value_error() -> None:
    for framer, payload, sentence in REFUSED:
        with pytest.raises(ValueError, match=sentence):
            framer.encode(payload)


def test_what_is_encoded_is_an_ordinary_buffer() -> None:
    frame = LengthPrefixed(2, offset=1, strip=4, limit=99).encode(b"payload")
    assert type(frame) is CompositeBuffer
    assert frame == b"\0\0\x08\0payload"
    assert Lines(9).encode(b"ab") == b"ab\n"
    assert Lines(9).encode(b"ab\r") == b"ab\r\r\n", "by LF alone the CR would be lost"
    assert Lines(9, keepends=True).encode(b"ab\r\n") == b"ab\r\n"
    assert Delimited(b"\n", b"\n\n", limit=9).encode(b"ab") == b"ab\n\n", "the short one would wait for the long one"
    assert VarintPrefixed(300).encode(bytes(300)) == b"\xac\x02" + bytes(300)
    assert LengthPrefixed(1, strip=0, limit=9).encode(b"\3abc") == b"\3abc"


# -- options -------------------------------------------------------------------------------------------------


WRONG_OPTIONS: Final[Sequence[tuple[Callable[..., Framer], tuple[Any, ...], dict[str, Any], type[Exception]]]] = (
    (FixedLength, (0,), {}, ValueError),
    (FixedLength, (-1,), {}, ValueError),
    (FixedLength, (1.0,), {}, TypeError),
    (Delimited, (), {"limit": 3}, ValueError),
    (Delimited, (b"",), {"limit": 3}, ValueError),
    (Delimited, (b";", b""), {"limit": 3}, ValueError),
    (Delimited, (";",), {"limit": 3}, TypeError),
    (Delimited, (10,), {"limit": 3}, TypeError),
    (Delimited, (b";",), {}, TypeError),
    (Delimited, (b";",), {"limit": -1}, ValueError),
    (Delimited, (b";",), {"limit": 3.0}, TypeError),
    (Delimited, (b";",), {"limit": None}, TypeError),
    (Delimited, (b";",), {"limit": 3, "on_error": "ignore"}, ValueError),
    (Lines, (), {}, TypeError),
    (Lines, (-1,), {}, ValueError),
    (Lines, (3,), {"on_error": "SKIP"}, ValueError),
    (LengthPrefixed, (2,), {}, TypeError),
    (LengthPrefixed, (2,), {"limit": 0}, ValueError),
    (LengthPrefixed, (2,), {"limit": -1}, ValueError),
    (LengthPrefixed, (0,), {"limit": 9}, ValueError),
    (LengthPrefixed, (5,), {"limit": 9}, ValueError),
    (LengthPrefixed, (-1,), {"limit": 9}, ValueError),
    (LengthPrefixed, ("2",), {"limit": 9}, TypeError),
    (LengthPrefixed, (2,), {"limit": 9, "byteorder": "BIG"}, ValueError),
    (LengthPrefixed, (2,), {"limit": 9, "offset": -1}, ValueError),
    (LengthPrefixed, (2,), {"limit": 9, "strip": -1}, ValueError),
    (LengthPrefixed, (2,), {"limit": 9, "adjust": 1.5}, TypeError),
    (LengthPrefixed, (2,), {"limit": 9, "on_error": ""}, ValueError),
    (VarintPrefixed, (), {}, TypeError),
    (VarintPrefixed, (-1,), {}, ValueError),
    (VarintPrefixed, (9,), {"on_error": "drop"}, ValueError),
)


def test_options_are_checked_and_limits_are_mandatory() -> None:
    for make, args, options, error in WRONG_OPTIONS:
        with pytest.raises(error):
            make(*args, **options)


def test_a_separator_may_be_anything_bytes_like_and_is_remembered_as_it_was() -> None:
    memory = bytearray(b"--")
    seps: list[Any] = [memory, memoryview(b"--"), SliceBuffer(b"-----", 1, 3), CompositeBuffer([b"-", b"-"])]
    for sep in seps:
        framer = Delimited(sep, limit=9)
        memory[:] = b";;"
        assert [bytes(frame) for frame in framer.feed(b"a;;b--c")] == [b"a;;b"]
        memory[:] = b"--"


# -- hostile streams -----------------------------------------------------------------------------------------

CHUNK: Final = 1 << 16


@pytest.mark.parametrize(
    ("make", "header"),
    [
        (lambda: LengthPrefixed(4, limit=5000), u(4, 5001)),
        (lambda: LengthPrefixed(4, limit=5000), b"\xff" * 4),
        (lambda: LengthPrefixed(8, limit=5000), b"\xff" * 8),
        (lambda: LengthPrefixed(8, adjust=-(2**64), includes_header=True, limit=5000), b"\xff" * 8),
        (lambda: VarintPrefixed(5000), varint(5001)),
        (lambda: VarintPrefixed(5000), varint(2**64 - 1)),
        (lambda: VarintPrefixed(5000), b"\xff" * 10),
    ],
    ids=["one too many", "4 GiB", "16 EiB", "negative", "varint", "the largest varint", "an endless varint"],
)
def test_a_hostile_length_is_refused_as_soon_as_it_is_known(make: Callable[[], Framer], header: bytes) -> None:
    framer = make()
    for byte in header[:-1]:
        assert list(framer.feed(bytes([byte]))) == []
    with pytest.raises((LimitExceeded, FrameError)) as error:
        list(framer.feed(header[-1:]))
    assert facts(error.value)[:2] in {(LimitExceeded, 5000), (FrameError, 0)}
    assert framer.pending <= len(header)


@pytest.mark.parametrize("size", [1, 100, CHUNK])
def test_an_endless_line_is_refused_at_the_limit(size: int) -> None:
    framers = (Lines(5000), Delimited(b"\r\n", b"--", limit=5000))
    for framer in framers:
        for _ in range(5000 // size):
            assert list(framer.feed(b"x" * size)) == []
        frames = framer.feed(b"x" * size)
        assert framer.pending <= 5000 + size
        with pytest.raises(LimitExceeded, match="the limit of 5000 bytes is exceeded"):
            next(frames)


@pytest.mark.parametrize("size", [7, CHUNK])
@pytest.mark.parametrize(
    ("make", "endless", "good"),
    [
        (lambda: Lines(5000, on_error="skip"), b"x\r", b"\ngood\n"),
        (lambda: Delimited(b"\0\0\0", b";", limit=5000, on_error="skip"), b"\0\0x", b";good;"),
        (lambda: LengthPrefixed(4, limit=5000, on_error="skip"), b"\0\0\x20\0" + bytes(0x2000), b"\0\0\0\4good"),
        (lambda: LengthPrefixed(4, limit=5000, strip=9, on_error="skip"), b"\0\0\0\1x", b"\0\0\0\x09\0\0\0\0\0good"),
        (lambda: VarintPrefixed(5000, on_error="skip"), b"\x80\x40" + bytes(0x2000), b"\4good"),
    ],
    ids=["line", "delimited", "length", "strip", "varint"],
)
def test_skipping_a_hostile_stream_takes_little_memory_and_then_finds_the_next_good_frame(
    make: Callable[[], Framer], endless: bytes, good: bytes, size: int
) -> None:
    stream = memoryview(endless * ((3 * CHUNK if size > 100 else 20_000) // len(endless)))

    def work() -> None:
        framer = make()
        for at in range(0, len(stream), size):
            assert list(framer.feed(bytes(stream[at : at + size]))) == []
            assert framer.pending <= 5000 + size
        assert [bytes(frame) for frame in framer.feed(good)] == [b"good"]
        assert framer.skipped >= 1
        framer.end()

    # Beside the bytes: a part's object and its place in the table, 100 to 200 bytes for each of some parts.
    most = 5000 + 2 * size + 200 * (5000 // size) + 20_000
    assert peak_while(work, most) < most


# -- the work is linear --------------------------------------------------------------------------------------

FED: Final = 10_000 if IS_SHORT else 100_000

WORK: Final[Mapping[str, tuple[Callable[[], Framer], bytes, int]]] = {
    "fixed": (lambda: FixedLength(FED), b"x" * FED, 1),
    "delimited": (lambda: Delimited(b";", limit=FED), b"x" * (FED - 1) + b";", 1),
    "two bytes": (lambda: Delimited(b"\r\n", limit=FED), b"\r" * (FED - 1) + b"\n", 1),
    "four bytes": (lambda: Delimited(b"\r\n\r\n", limit=FED), (b"x" * 48 + b"\r\n") * (FED // 50) + b"\r\n", 1),
    "line": (lambda: Lines(FED), b"x" * (FED - 1) + b"\n", 1),
    "lines": (lambda: Lines(80), (b"x" * 48 + b"\r\n") * (FED // 50), FED // 50),
    "skipped": (lambda: Lines(80, on_error="skip"), b"x" * (FED - 4) + b"\nab\n", 1),
    "prefixed": (lambda: LengthPrefixed(4, limit=FED), u(4, FED - 4) + bytes(FED - 4), 1),
    "prefixed, short": (lambda: LengthPrefixed(1, limit=FED), (b"\x09" + bytes(9)) * (FED // 10), FED // 10),
    "prefixed, skipped": (
        lambda: LengthPrefixed(4, limit=99, on_error="skip"), u(4, FED - 9) + bytes(FED - 9) + u(4, 1) + b"x", 1
    ),
    "varint": (lambda: VarintPrefixed(FED), varint(FED) + bytes(FED), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
def test_100_000_feeds_of_one_byte_search_each_byte_three_times_at_most(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """defects.md N11, O10."""
    make, stream, frames = WORK[name]
    searched = 0

    def counting(table: Any, start: int, stop: int, needle: bytes) -> int:
        nonlocal searched
        searched += max(0, stop - start)
        return find(table, start, stop, needle)

    if not COMPILED:  # compiled modules call each other directly: nothing can be counted in between
        monkeypatch.setattr("bytebufs._core.seeker.find", counting)
    framer = make()
    taken = sum(1 for k in range(len(stream)) for _ in framer.feed(stream[k : k + 1]))
    framer.end()
    assert (len(stream) >= FED, taken) == (True, frames)
    assert searched <= 3 * len(stream)


@pytest.mark.parametrize("name", WORK)
def test_every_byte_is_looked_at_a_few_times_whoever_looks(name: str) -> None:
    """In both builds: each byte is a part of its own that counts the looks, those of decoding a header too."""
    make, stream, _ = WORK[name]
    parts = [FakeFile(stream[k : k + 1]) for k in range(FED // 10)]
    framer = make()
    for part in parts:
        for frame in framer.feed(part):
            assert isinstance(frame, BaseBuffer)
    assert sum(part.looks for part in parts) <= 5 * len(parts)


def test_many_frames_in_one_chunk_are_taken_without_moving_the_rest() -> None:  # defects.md O22
    count = 5_000
    framers: list[tuple[Framer, bytes]] = [
        (FixedLength(4), b"abcd"),
        (Lines(9), b"abc\n"),
        (LengthPrefixed(1, limit=9), b"\3abc"),
        (VarintPrefixed(9), b"\3abc"),
    ]
    for framer, frame in framers:
        chunk = hidden(frame * count)
        with no_copy(strict=True):
            frames = list(framer.feed(chunk))
        assert len(frames) == count
        assert all(other == frames[0] for other in frames[:: count // 50])
        assert framer.pending == 0


def test_a_stream_that_ends_in_what_no_frame_begins_with_closes_the_framer() -> None:
    framer = VarintPrefixed(limit=10)
    framer.feed(b"\xff" * 10)  # and nobody asks for frames
    with pytest.raises(FrameError, match="more than 64 bits"):
        framer.end()
    with pytest.raises(ClosedError):
        framer.end()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_framer_is_not_copied(again: Callable[[Framer], object]) -> None:
    with pytest.raises(TypeError, match="a Lines framer is not copied or pickled"):
        again(Lines(9))


@pytest.mark.skipif(COMPILED, reason="compiled code is not patched, and nobody comes in between in it")
def test_a_framer_that_is_used_while_it_is_detached_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    framer = Lines(limit=100)
    framer.feed(b"abc")
    twin = CompositeBuffer.__copy__
    met = []

    def meet(b: CompositeBuffer) -> CompositeBuffer:
        for use in (lambda: framer.feed(b"d"), framer.detach, framer.end):
            with pytest.raises(Busy, match=r"^the framer is in use$"):
                use()
        met.append(bytes(b))
        return twin(b)

    monkeypatch.setattr(CompositeBuffer, "__copy__", meet)
    assert framer.detach() == b"abc"
    assert met == [b"abc"]


@pytest.mark.skipif(COMPILED, reason="compiled code is not patched, and nobody comes in between in it")
def test_bytes_that_somebody_takes_while_they_are_looked_at_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread may by mistake, interpreted."""

    def taken(self: FixedLength) -> None:
        raise IndexError("list index out of range")

    framer = FixedLength(2)
    with monkeypatch.context() as patch:
        patch.setattr(FixedLength, "_next", taken)
        with pytest.raises(Busy):
            next(framer.feed(b"ab"))
    assert [bytes(frame) for frame in framer.feed(b"cd")] == [b"ab", b"cd"]


@pytest.mark.skipif(COMPILED, reason="compiled code is not patched, and nobody comes in between in it")
def test_who_comes_into_the_middle_of_a_framer_is_told_that_it_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a signal handler may that raises in the end."""
    framer = FixedLength(2)
    framer.feed(b"abc")

    def handled(*_: object) -> int:
        for use in (framer.end, lambda: framer.feed(b"d"), lambda: next(frames)):
            with pytest.raises(Busy):
                use()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FixedLength, "_wanted", handled)
        patch.setattr(FixedLength, "_next", handled)
        frames = framer._frames()
        with pytest.raises(KeyboardInterrupt):
            framer.end()
        frames = framer._frames()
        with pytest.raises(KeyboardInterrupt):
            next(framer._frames())
    assert [bytes(frame) for frame in framer.feed(b"d")] == [b"ab", b"cd"]


# -- in a buffer that somebody else fills --------------------------------------------------------------------


def test_a_framer_cuts_what_somebody_else_fills_and_takes_from() -> None:
    buffer = CompositeBuffer([b"\1a\2b"])
    framer = LengthPrefixed(1, limit=9)
    framer._cut_from(buffer)
    assert list(framer._frames()) == [b"a"]
    buffer.append(b"c\1d+OK")
    assert next(framer._frames()) == b"bc"
    framer._cut_from(buffer)  # which it does already
    assert next(framer._frames()) == b"d"
    assert buffer.take(3) == b"+OK"


def test_a_framer_that_has_begun_cuts_nothing_else() -> None:
    framer = LengthPrefixed(1, limit=9)
    framer.feed(b"\2a")
    with pytest.raises(ValueError, match="make a new one"):
        framer._cut_from(CompositeBuffer())
    framer.detach()
    with pytest.raises(ClosedError):
        framer._cut_from(CompositeBuffer())


def test_what_parts_may_cost_beside_their_bytes_is_told_from_the_limit() -> None:
    most = 1 << 20
    makers = (
        FixedLength,
        partial(Delimited, b"\n", limit=most),
        Lines,
        partial(LengthPrefixed, 4, limit=most),
        VarintPrefixed,
    )
    for make in makers:
        framer = make(most) if isinstance(make, type) else make()
        with no_copy(strict=True):
            assert not list(framer.feed(b"\0\x0f\xff\0" if type(framer) is LengthPrefixed else b"\xff\xff\x3f"))
            for _ in range(600):
                framer.feed(bytearray(b"x" * 600))
        for k in range(40):
            framer.feed(memoryview(bytearray(most))[k : k + 5000])
        buffer = framer.detach()
        assert len(buffer) > 560_000, framer
        assert buffer.pinned_nbytes < len(buffer) + 4 * most, framer


def test_bounds_of_frames_are_those_that_are_told() -> None:
    for body in (b"x" * 5000, SliceBuffer(b"x" * 5000), b"x"):
        for keepends in (False, True):
            line = bytes(SliceBuffer(body)) + (b"\n" if keepends else b"")
            assert bytes(Lines(6000, keepends=keepends).encode(line)) == bytes(SliceBuffer(body)) + b"\n"
    with pytest.raises(
        LimitExceeded
    ):  # a header alone is too long, and nothing that would be wrong with it comes first
        list(LengthPrefixed(4, limit=3).feed(bytes(4)))
    with pytest.raises(FrameError):
        list(LengthPrefixed(1, strip=9, limit=3).feed(b"\2xx"))
    skipping = LengthPrefixed(4, limit=3, on_error="skip")
    assert not list(skipping.feed(bytes(8)))
    assert (skipping.skipped, skipping.pending) == (2, 0)
    for bad, error in ((b"\x80" * 9 + b"\x02", FrameError), (b"\xff" * 9 + b"\x01", LimitExceeded)):
        with pytest.raises(error):
            list(VarintPrefixed(9).feed(bad))


def test_an_end_in_the_middle_says_what_is_missing_wherever_it_is() -> None:
    for framer, fed, wanted, left in (
        (LengthPrefixed(2, limit=99), b"\0\1x\0\5", 7, 2),
        (LengthPrefixed(2, limit=5, on_error="skip"), b"\0\1x\0\x09yy", 7, 0),
        (VarintPrefixed(5, on_error="skip"), b"\1x\x09yy", 7, 0),
        (VarintPrefixed(1 << 20), b"\1x\x80", 2, 1),
        (VarintPrefixed(1 << 20), b"\1x\x80\x80", 3, 2),
        (VarintPrefixed(1 << 20), b"\1x\x05yy", 6, 3),
    ):
        for cut in range(len(fed)):
            again = copy_of(framer)
            frames = list(again.feed(fed[:cut])) + list(again.feed(fed[cut:]))
            assert frames == [b"x"]
            with pytest.raises(Underrun) as caught:
                again.end()
            assert (caught.value.requested, caught.value.available) == (wanted, left), framer


def copy_of(framer: Framer) -> Framer:
    """Return another framer as one that was fed nothing."""
    if isinstance(framer, LengthPrefixed):
        return LengthPrefixed(2, limit=framer._limit, on_error=framer._on_error)
    assert isinstance(framer, VarintPrefixed)
    return VarintPrefixed(framer._limit, on_error=framer._on_error)


def test_numbers_of_other_classes_are_limits_too() -> None:
    for number in (np.int64(5), np.uint8(5)):
        assert list(FixedLength(number).feed(b"frame")) == [b"frame"]
        for framer in (Lines(number), Delimited(b"\n", limit=number), VarintPrefixed(number)):
            assert not list(framer.feed(b"\x05x"))
