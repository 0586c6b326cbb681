"""Reader: every read equals what struct, int.from_bytes and bytes say of the same bytes, however they are laid out."""

from __future__ import annotations

import codecs
import contextlib
import copy
import gc
import pickle
import random
import re
import struct
import sys
import tracemalloc
import weakref
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from operator import methodcaller
from types import FrameType
from typing import Any, Final, cast

import numpy as np
import pytest
from google.protobuf.internal import decoder, encoder, wire_format
from google.protobuf.message import DecodeError
from hypothesis import example, given, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bytebufs import (
    COMPILED,
    BaseBuffer,
    ClosedError,
    CompositeBuffer,
    CopyForbidden,
    FrameError,
    LimitExceeded,
    Reader,
    SliceBuffer,
    TextError,
    TruncatedFile,
    Underrun,
    copy_audit,
    no_copy,
)
from bytebufs._core.parts import LazyOwner, Memory
from bytebufs.reader import ByteOrder, Lease, layout_of

from .counting import counted
from .layouts import LAYOUTS, MAKERS, SHAPES, FakeFile, Layout, addresses, chunks, hidden

READ_AHEAD: Final = 256
"""What the documentation says is read ahead over memory that is not bytes."""

ORDERS: Final[Sequence[ByteOrder]] = ("big", "little")
MARKS: Final[Mapping[str, str]] = {"big": ">", "little": "<"}

# -- the same, over plain bytes ------------------------------------------------------------------------------

CODES: Final = {
    "u8": "B", "u16": "H", "u32": "I", "u64": "Q",
    "i8": "b", "i16": "h", "i32": "i", "i64": "q", "f32": "f", "f64": "d",
}  # fmt: skip
WHOLE: Final = {"u24": (3, False), "i24": (3, True)}
SIZES: Final = {**{name: struct.calcsize(f"<{code}") for name, code in CODES.items()}, "u24": 3, "i24": 3}
SUFFIXES: Final[Mapping[str, ByteOrder]] = {"_be": "big", "_le": "little"}
NUMBERS: Final = tuple(
    name + suffix for name in SIZES for suffix in ("", *SUFFIXES) if not (suffix and name in {"u8", "i8"})
)
"""Every number that a reader reads by name, and looks at by that name behind "peek_"."""

PEEKS: Final = tuple(f"peek_{name}" for name in NUMBERS)

ARRAY_CODES: Final = "bBhHiIlLqQfd"


def decoded(name: str, raw: bytes, byteorder: ByteOrder) -> Any:
    """Return what struct or int.from_bytes make of the bytes of a number, in the order that its name fixes."""
    kind, order = name[:3].rstrip("_"), SUFFIXES.get(name[-3:], byteorder)
    if kind in WHOLE:
        size, signed = WHOLE[kind]
        return int.from_bytes(raw[:size], order, signed=signed)
    return struct.unpack(MARKS[order] + CODES[kind], raw)[0]


def size_of_number(name: str) -> int:
    return SIZES[name.removeprefix("peek_")[:3].rstrip("_")]


class Model:
    """A Reader over plain bytes, written down from its documentation."""

    def __init__(self, data: bytes, byteorder: ByteOrder, base: int = 0) -> None:
        self.data = data
        self.byteorder = byteorder
        self.position = 0
        self.base = base  # where it begins in the message

    @property
    def remaining(self) -> int:
        return len(self.data) - self.position

    @property
    def place(self) -> int:
        return self.base + self.position

    def underrun(self, requested: int, separator: bytes | None = None, position: int | None = None) -> Underrun:
        position = self.position if position is None else position
        return Underrun(requested, len(self.data) - position, separator, self.base + position)

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        if name in NUMBERS:
            return decoded(name, self.take(size_of_number(name)), self.byteorder)
        if name in PEEKS:
            return decoded(name.removeprefix("peek_"), self.peek(size_of_number(name)), self.byteorder)
        return getattr(self, name)(*args, **options)

    def peek(self, n: int) -> bytes:
        if n > self.remaining:
            raise self.underrun(n)
        return self.data[self.position : self.position + n]

    def take(self, n: int) -> bytes:
        taken = self.peek(n)
        self.position += n
        return taken

    take_bytes = take

    def skip(self, n: int) -> None:
        self.take(n)

    def seek(self, position: int) -> None:
        if position > len(self.data):
            raise self.underrun(position, position=0)
        self.position = position

    def sub(self, n: int) -> Model:
        base = self.place
        return Model(self.take(n), self.byteorder, base)

    def limited(self, n: int) -> Model:
        if n < self.position:
            raise ValueError
        self.peek(n - self.position)
        child = Model(self.data[:n], self.byteorder, self.base)
        child.position = self.position
        return child

    def uint(self, n: int) -> int:
        return int.from_bytes(self.take(n), self.byteorder)

    def sint(self, n: int) -> int:
        return int.from_bytes(self.take(n), self.byteorder, signed=True)

    def varint(self, *, max_bytes: int = 10, minimal: bool = False) -> int:
        raw = b""
        value = 0
        while not raw or raw[-1] >= 0x80:
            if len(raw) == max_bytes:
                raise FrameError("too many bytes", self.place)
            raw = self.peek(len(raw) + 1)
            value |= (raw[-1] & 0x7F) << 7 * (len(raw) - 1)
            if value >> 64:
                raise FrameError("too many bits", self.place)
        if minimal and len(raw) > 1 and raw[-1] == 0:
            raise FrameError("padded", self.place)
        self.take(len(raw))
        return value

    def zigzag(self) -> int:
        return int(wire_format.ZigZagDecode(self.varint()))

    def text(self, n: int, encoding: str = "utf-8") -> str:
        raw = self.peek(n)
        try:
            text = str(raw, encoding)
        except UnicodeDecodeError as error:
            place = self.place + error.start
            raise TextError(error.encoding, raw, error.start, error.end, error.reason, place) from None
        self.take(n)
        return text

    def array(self, typecode: str, n: int) -> array[Any]:
        return numbers(typecode, self.take(n * struct.calcsize(f"={typecode}")), self.byteorder)

    def unpack(self, fmt: str) -> tuple[Any, ...]:
        return struct.unpack(fmt, self.take(struct.calcsize(fmt)))

    def expect(self, literal: bytes) -> None:
        seen = self.data[self.position : self.position + len(literal)]
        for k, (got, wanted) in enumerate(zip(seen, literal, strict=False)):
            if got != wanted:
                raise FrameError("differs", self.place + k)
        self.take(len(literal))

    def until(self, *seps: bytes, limit: int) -> bytes:
        rest = self.data[self.position :]
        for begin in range(len(rest) + 1):
            ahead = rest[begin:]
            if any(len(ahead) < len(sep) and sep.startswith(ahead) for sep in seps):
                if begin > limit:
                    raise LimitExceeded(limit, None, self.place)
                ends = [begin + len(sep) for sep in seps if ahead.startswith(sep)]  # while a longer one may still come
                raise self.underrun(min(ends + [self._could_end(rest, begin, sep) for sep in seps]), seps[0])
            found = [sep for sep in seps if ahead.startswith(sep)]
            if found:
                if begin > limit:
                    raise LimitExceeded(limit, None, self.place)
                self.position += begin + len(max(found, key=len))
                return rest[:begin]
        raise AssertionError("at the end of the bytes anything may come")

    @staticmethod
    def _could_end(rest: bytes, begin: int, sep: bytes) -> int:
        """Return where one separator may end that has not come, at the earliest."""
        return next(k for k in range(begin, len(rest) + 1) if sep.startswith(rest[k : k + len(sep)])) + len(sep)

    def cstring(self, *, limit: int) -> bytes:
        return self.until(b"\0", limit=limit)

    def take_rest(self) -> bytes:
        return self.take(self.remaining)

    @property
    def at_end(self) -> bool:
        return self.position == len(self.data)

    def line(self, *, limit: int) -> bytes:
        rest = self.data[self.position :]
        end = rest.find(b"\n")
        content = rest[:end] if end >= 0 else rest
        content = content[:-1] if content.endswith(b"\r") else content
        if len(content) > limit:
            raise LimitExceeded(limit, None, self.place)
        if end < 0:
            raise self.underrun(len(rest) + 1, b"\n")
        self.position += end + 1
        return content


Outcome = tuple[Any, ...]


def outcome(call: Callable[..., Any], *args: Any, **options: Any) -> Outcome:
    """Return what a call gives, or the facts of its error, in a form that compares."""
    try:
        value = call(*args, **options)
    except Underrun as error:
        return Underrun, error.requested, error.available, error.separator, error.at
    except LimitExceeded as error:
        return LimitExceeded, error.limit, error.announced, error.at
    except TextError as error:
        return TextError, error.at, error.start, error.end, error.reason, bytes(error.object)
    except FrameError as error:
        return FrameError, error.at
    except ValueError:
        return (ValueError,)
    if isinstance(value, (float, tuple, array)):
        return type(value), repr(value) if isinstance(value, tuple) else bits(value)
    if isinstance(value, BaseBuffer):
        return bytes, bytes(value)
    if isinstance(value, (Reader, Model)):
        return "another reader", value.position, value.remaining
    return type(value), value


def bits(value: float | array[Any]) -> Any:
    """Return a float as its bytes: NaNs have payloads, and zeros have signs."""
    return struct.pack(">d", value) if isinstance(value, float) else (value.typecode, value.tobytes())


def numbers(typecode: str, raw: bytes, byteorder: ByteOrder) -> array[Any]:
    """Return raw as numbers of standard sizes. A float is not made of each: that makes a signaling NaN quiet."""
    size = struct.calcsize(f"={typecode}")
    if array(typecode).itemsize != size:
        return array(typecode, struct.unpack(f"{MARKS[byteorder]}{len(raw) // size}{typecode}", raw))
    found = array(typecode, raw)
    if byteorder != sys.byteorder:
        found.byteswap()
    return found


def read(reader: Reader, name: str, *args: Any, **options: Any) -> Any:
    return getattr(reader, name)(*args, **options)


# -- buffers in any layout -----------------------------------------------------------------------------------

KINDS: Final = (
    "bytes", "piece of bytes", "bytearray", "read-only view of a bytearray", "map", "array", "lazy",
    "lazy, not searchable", "piece of a lazy owner", "slice", "composite",
)  # fmt: skip
WAYS: Final = ("CompositeBuffer", "frozen", "drained", "prepended", "clipped slice", "used before")

ANY_BYTES: Final = st.binary(max_size=40) | st.lists(st.sampled_from(b"\r\n\0\x80\xffab"), max_size=40).map(bytes)


@st.composite
def buffers(draw: st.DrawFn, data: bytes) -> BaseBuffer:
    """Draw a buffer that shows the data in some layout."""
    sizes = draw(st.lists(st.integers(1, 9), max_size=12))
    pieces = list(chunks(data, sizes))
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=len(pieces), max_size=len(pieces)))
    note(f"{[*zip(pieces, kinds, strict=True)]}")
    parts = [MAKERS[kind](piece) for piece, kind in zip(pieces, kinds, strict=True)]
    return SHAPES[draw(st.sampled_from(WAYS))](parts)


def in_halves(data: bytes, cut: int, kind: str = "bytes") -> CompositeBuffer:
    make = MAKERS[kind]
    return CompositeBuffer([make(piece) for piece in (data[:cut], data[cut:]) if piece])


# -- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("kind", ["bytes", "bytearray", "lazy"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_equals_struct_wherever_the_seam_lies(name: str, kind: str, byteorder: ByteOrder) -> None:
    data = b"\x81\xf2\x03\x84\xe5\x06\x97\xf8\x09\x8a\xcb"
    size = size_of_number(name)
    for at in range(len(data) - size + 1):
        for cut in range(len(data) + 1):
            r = in_halves(data, cut, kind).reader(byteorder)
            r.skip(at)
            wanted = decoded(name, data[at : at + size], byteorder)
            assert outcome(read, r, name) == outcome(lambda value: value, wanted)
            assert (r.position, r.remaining) == (at + size, len(data) - at - size)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "lazy"])
def test_every_number_has_its_size_its_sign_and_its_order(kind: str) -> None:
    data = b"\x91\xf2\x03\x84\xe5\x06\x97\xf8\x09\x8a\xcb"
    for byteorder in ORDERS:
        for name in NUMBERS:
            for cut in range(1, size_of_number(name) + 1):
                r = in_halves(data, cut, kind).reader(byteorder)
                wanted = outcome(decoded, name, data[: size_of_number(name)], byteorder)
                assert outcome(read, r, f"peek_{name}") == wanted
                assert r.position == 0
                assert outcome(read, r, name) == wanted
                assert r.position == size_of_number(name)


@given(data=st.data(), raw=ANY_BYTES, byteorder=st.sampled_from(ORDERS), names=st.lists(st.sampled_from(NUMBERS)))
def test_numbers_in_turn_equal_struct_in_any_layout(
    data: st.DataObject, raw: bytes, byteorder: ByteOrder, names: list[str]
) -> None:
    buffer = data.draw(buffers(raw))
    r, model = buffer.reader(byteorder), Model(raw, byteorder)
    with no_copy(strict=True):
        for name in names:
            found, wanted = outcome(read, r, name), outcome(model.call, name)
            assert (found, r.position) == (wanted, model.position)
    assert buffer == raw, "reading never drains"


@given(
    raw=st.binary(max_size=40), size=st.integers(1, 40), at=st.integers(0, 40), byteorder=st.sampled_from(ORDERS),
    data=st.data(),
)  # fmt: skip
def test_a_number_of_any_width_equals_int_from_bytes(
    raw: bytes, size: int, at: int, byteorder: ByteOrder, data: st.DataObject
) -> None:
    for name in ("uint", "sint"):
        r, model = data.draw(buffers(raw)).reader(byteorder), Model(raw, byteorder)
        at = min(at, len(raw))
        r.seek(at)
        model.seek(at)
        assert outcome(read, r, name, size) == outcome(model.call, name, size)
        assert r.position == model.position


@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("width", [9, 12])
def test_a_number_may_have_more_bytes_than_any_with_a_name(width: int, byteorder: ByteOrder) -> None:
    raw = bytes(range(250, 256)) * 2
    for cut in range(width):
        r = in_halves(raw, cut).reader(byteorder)
        assert r.uint(width) == int.from_bytes(raw[:width], byteorder)
        r.seek(0)
        assert r.sint(width) == int.from_bytes(raw[:width], byteorder, signed=True)


@pytest.mark.parametrize("name", ["uint", "sint"])
def test_a_number_has_at_least_one_byte(name: str) -> None:
    r = SliceBuffer(b"ab").reader()
    with pytest.raises(ValueError, match=r"^a number has at least one byte$"):
        read(r, name, 0)
    assert r.position == 0


DOUBLES: Final = (
    "0000000000000000", "8000000000000000", "7ff0000000000000", "fff0000000000000", "7ff8000000000000",
    "fff8000000000001", "7ff8deadbeefcafe", "7ff0000000000001", "fff4000000000000", "0000000000000001",
    "800fffffffffffff", "7fefffffffffffff", "3ff0000000000000",
)  # fmt: skip
SINGLES: Final = (
    "00000000", "80000000", "7f800000", "ff800000", "7fc00000", "ffc00001", "7fc0beef", "7f800001", "ffa00000",
    "00000001", "807fffff", "7f7fffff", "3f800000",
)  # fmt: skip


@pytest.mark.parametrize("cut", range(9))
@pytest.mark.parametrize("digits", DOUBLES)
def test_a_double_keeps_every_bit(digits: str, cut: int) -> None:
    raw = bytes.fromhex(digits)
    for name, stored in (("f64_be", raw), ("f64_le", raw[::-1])):
        assert bits(read(in_halves(stored, cut).reader(), name)) == raw
    for byteorder in ORDERS:
        value = in_halves(raw if byteorder == "big" else raw[::-1], cut).reader(byteorder).f64()
        assert bits(value) == raw


@pytest.mark.parametrize("cut", range(5))
@pytest.mark.parametrize("digits", SINGLES)
def test_a_single_is_the_double_that_struct_makes_of_it(digits: str, cut: int) -> None:
    """In either order by itself: of a signalling NaN the processor may make a quiet one, in its own order alone."""
    raw = bytes.fromhex(digits)
    for byteorder in ORDERS:
        stored = raw if byteorder == "big" else raw[::-1]
        (wanted,) = struct.unpack(f"{MARKS[byteorder]}f", stored)
        assert bits(read(in_halves(stored, cut).reader(), f"f32_{byteorder[0]}e")) == bits(wanted)
        assert bits(in_halves(stored, cut).reader(byteorder).f32()) == bits(wanted)


def test_the_byte_order_is_big_unless_said_otherwise_and_nothing_else() -> None:
    b = SliceBuffer(b"\x01\x02")
    assert (b.reader().byteorder, b.reader().u16()) == ("big", 0x0102)
    assert (b.reader("little").byteorder, b.reader("little").u16()) == ("little", 0x0201)
    assert b.reader("little").sub(2).byteorder == "little"
    for wrong in ("BIG", "", "network", None):
        with pytest.raises(ValueError if isinstance(wrong, str) else (ValueError, TypeError)):
            b.reader(wrong)  # type: ignore[arg-type]


# -- varints -------------------------------------------------------------------------------------------------

PROTOBUF_ENCODER: Final[Any] = encoder  # their stubs leave the functions out
PROTOBUF_DECODER: Final[Any] = decoder

VARINTS: Final = st.integers(0, 2**64 - 1) | st.integers(0, 64).map(lambda k: min(2**k, 2**64 - 1))


def protobuf_varint(value: int) -> bytes:
    """Return what protobuf's own encoder writes."""
    return cast("bytes", PROTOBUF_ENCODER._VarintBytes(value))


@given(values=st.lists(VARINTS, max_size=6), data=st.data())
@example(values=[0, 127, 128, 16383, 16384, 2**63 - 1, 2**63, 2**64 - 1], data=None)
def test_a_varint_is_what_protobuf_encodes(values: list[int], data: st.DataObject | None) -> None:
    raw = b"".join(map(protobuf_varint, values))
    buffer = in_halves(raw, len(raw) // 2) if data is None else data.draw(buffers(raw))
    r = buffer.reader()
    with no_copy(strict=True):
        for value in values:
            assert r.varint(minimal=True) == value
    assert r.remaining == 0


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6), data=st.data())
@example(values=[0, -1, 1, -2, 2**63 - 1, -(2**63)], data=None)
def test_a_zigzag_is_what_protobuf_encodes(values: list[int], data: st.DataObject | None) -> None:
    raw = b"".join(protobuf_varint(wire_format.ZigZagEncode(value)) for value in values)
    buffer = in_halves(raw, len(raw) // 2) if data is None else data.draw(buffers(raw))
    r = buffer.reader()
    assert [r.zigzag() for _ in values] == values


@given(raw=st.lists(st.sampled_from(b"\x80\xff\x81\x00\x01\x7f"), max_size=13).map(bytes), data=st.data())
@example(raw=b"\xff" * 9 + b"\x01", data=None)
@example(raw=b"\xff" * 9 + b"\x02", data=None)
@example(raw=b"\x80" * 9 + b"\x80\x00", data=None)
def test_whatever_protobuf_reads_within_64_bits_is_read_alike(raw: bytes, data: st.DataObject | None) -> None:
    buffer = in_halves(raw, 1) if data is None else data.draw(buffers(raw))
    r = buffer.reader()
    try:
        value, end = PROTOBUF_DECODER._DecodeVarint(raw, 0)
    except IndexError:
        with pytest.raises(Underrun) as short:
            r.varint()
        assert (short.value.requested, short.value.available) == (len(raw) + 1, len(raw))
        assert r.position == 0
    except DecodeError:  # more than ten bytes
        with pytest.raises(FrameError):
            r.varint()
        assert r.position == 0
    else:
        if sum((byte & 0x7F) << 7 * k for k, byte in enumerate(raw[:end])) >> 64:  # protobuf cuts those off
            with pytest.raises(FrameError, match="64 bits"):
                r.varint()
            assert r.position == 0
        else:
            assert (r.varint(), r.position) == (value, end)


@pytest.mark.parametrize(
    ("raw", "options", "reason"),
    [
        (b"\xff" * 9 + b"\x02", {}, "has more than 64 bits"),
        (b"\xff" * 9 + b"\x82\x00", {}, "has more than 64 bits"),
        (b"\x80" * 10 + b"\x01", {}, "has more than 10 bytes"),
        (b"\x80" * 9 + b"\x02", {}, "has more than 64 bits"),
        (b"\x80" * 10 + b"\x01", {"max_bytes": 12}, "has more than 64 bits"),
        (b"\x80\x80\x01", {"max_bytes": 2}, "has more than 2 bytes"),
        (b"\x80\x80", {"max_bytes": 2}, "has more than 2 bytes"),
        (b"\x80\x00", {"minimal": True}, "is padded to 2 bytes"),
        (b"\xac\x82\x00", {"minimal": True}, "is padded to 3 bytes"),
        (b"\x80\x00", {"max_bytes": 1, "minimal": True}, "has more than 1 bytes"),
        (b"\x01", {"max_bytes": 0}, "has more than 0 bytes"),
    ],
)
def test_a_varint_that_is_too_long_is_a_frame_error_and_is_not_passed(
    raw: bytes, options: dict[str, Any], reason: str
) -> None:
    for cut in range(len(raw) + 1):
        r = CompositeBuffer([b"xyz", raw[:cut], raw[cut:]]).reader()
        r.skip(3)
        with pytest.raises(FrameError) as error:
            r.varint(**options)
        assert (error.value.reason, error.value.at, r.position) == (f"the varint {reason}", 3, 3)


@pytest.mark.parametrize(
    ("raw", "options", "value"),
    [
        (b"\x80\x00", {}, 0),
        (b"\x00", {"minimal": True}, 0),
        (b"\x80\x01", {"minimal": True}, 128),
        (b"\x80" * 10 + b"\x00", {"max_bytes": 11}, 0),
        (b"\x80\x80\x01", {"max_bytes": 3}, 1 << 14),
        (b"\xff" * 9 + b"\x01", {}, 2**64 - 1),
    ],
)
def test_a_varint_at_its_bounds_is_read(raw: bytes, options: dict[str, Any], value: int) -> None:
    for cut in range(len(raw) + 1):
        r = in_halves(raw, cut).reader()
        assert (r.varint(**options), r.remaining) == (value, 0)


# -- against the model, in any layout ------------------------------------------------------------------------

SHORT: Final = st.integers(0, 12) | st.sampled_from([40, 2**31, 2**70])  # defects.md O20: never allocated
LITERALS: Final = st.lists(st.sampled_from(b"\r\n\0\x80\xffab"), max_size=4).map(bytes)
SEPARATORS: Final = LITERALS.filter(bool)
FORMATS: Final = st.sampled_from(["<H", ">I", "!3s", "=b", "<bHq", ">", ">0s", "<f", ">2d", "<?", "=5x"])
ENCODINGS: Final = st.sampled_from(["utf-8", "utf-16", "utf-16-le", "shift_jis", "latin-1", "ascii"])


def calls(name: str, *args: st.SearchStrategy[Any], **options: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(name), st.tuples(*args), st.fixed_dictionaries(options))


CALLS: Final = st.one_of(
    st.sampled_from(NUMBERS + PEEKS).map(lambda name: (name, (), {})),
    calls("uint", st.integers(1, 12)),
    calls("sint", st.integers(1, 12)),
    calls("varint", max_bytes=st.integers(0, 12), minimal=st.booleans()),
    calls("varint"),
    calls("zigzag"),
    calls("take", SHORT),
    calls("take_bytes", SHORT),
    calls("peek", SHORT),
    calls("skip", SHORT),
    calls("seek", SHORT),
    calls("sub", SHORT),
    calls("limited", SHORT),
    calls("text", SHORT, ENCODINGS),
    calls("array", st.sampled_from(ARRAY_CODES), st.integers(0, 4) | st.sampled_from([2**60, 2**70])),
    calls("unpack", FORMATS),
    calls("expect", LITERALS),
    calls("until", SEPARATORS, limit=SHORT),
    calls("until", SEPARATORS, SEPARATORS, limit=SHORT),
    calls("until", SEPARATORS, SEPARATORS, SEPARATORS, limit=SHORT),
    calls("line", limit=SHORT),
    calls("cstring", limit=SHORT),
    calls("take_rest"),
)
"""Any call of a reader that may work: its name and its arguments."""


def same_outcome(r: Reader, model: Model, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> tuple[Any, Any]:
    """Make a call on a reader and its model, assert that they agree, and return what both gave."""
    name, args, options = call
    given: list[Any] = [None, None]

    def of_reader() -> Any:
        given[0] = read(r, name, *args, **options)
        return given[0]

    def of_model() -> Any:
        given[1] = model.call(name, *args, **options)
        return given[1]

    before = r.position
    found, wanted = outcome(of_reader), outcome(of_model)
    assert found == wanted, call
    assert (r.position, r.remaining, r.at_end) == (model.position, model.remaining, model.at_end), call
    if isinstance(found[0], type) and issubclass(found[0], Exception):
        assert r.position == before, "a failed read leaves the position where it was"
    return given[0], given[1]


@given(raw=ANY_BYTES, data=st.data(), byteorder=st.sampled_from(ORDERS), sequence=st.lists(CALLS, max_size=12))
def test_any_calls_in_turn_give_what_plain_bytes_give(
    raw: bytes, data: st.DataObject, byteorder: ByteOrder, sequence: list[Any]
) -> None:
    r, model = data.draw(buffers(raw)).reader(byteorder), Model(raw, byteorder)
    for call in sequence:
        child, child_model = same_outcome(r, model, call)
        if isinstance(child, Reader):
            for inner in sequence:
                same_outcome(child, child_model, inner)


def some_call(dice: random.Random) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """As `CALLS`, of numbers that are thrown."""

    def few() -> int:
        return dice.choice([0, 1, 1, 2, 2, 3, 4, 5, 8, 12, 40, 2**70])

    def some_bytes(least: int) -> bytes:
        return bytes(dice.choice(b"\r\n\0\x80\xffab") for _ in range(dice.randint(least, 3)))

    names = (
        "uint sint varint zigzag take take_bytes peek skip seek sub limited text array unpack expect until until line "
        "cstring take_rest"
    )
    name = dice.choice([dice.choice(NUMBERS + PEEKS), *names.split()])
    if name in {"uint", "sint"}:
        return name, (dice.randint(1, 12),), {}
    if name == "varint" and dice.random() < 0.7:
        return name, (), {"max_bytes": dice.randint(0, 12), "minimal": dice.random() < 0.5}
    if name in {"take", "take_bytes", "peek", "skip", "seek", "sub", "limited"}:
        return name, (few(),), {}
    if name == "text":
        return name, (few(), dice.choice(["utf-8", "utf-16", "utf-16-le", "shift_jis", "latin-1", "ascii"])), {}
    if name == "array":
        return name, (dice.choice(ARRAY_CODES), dice.choice([0, 1, 2, 3, 2**60])), {}
    if name == "unpack":
        return name, (dice.choice(["<H", ">I", "!3s", "=b", "<bHq", ">", ">0s", "<f", ">2d", "<?", "=5x"]),), {}
    if name == "expect":
        return name, (some_bytes(0),), {}
    if name == "until":
        return name, tuple(some_bytes(1) for _ in range(dice.choice([1, 1, 2, 3]))), {"limit": few()}
    if name in {"line", "cstring"}:
        return name, (), {"limit": few()}
    return name, (), {}


@pytest.mark.parametrize("seed", range(4))
def test_many_calls_in_turn_give_what_plain_bytes_give(seed: int) -> None:
    """Always the same ones, and so many that each of them meets a seam."""
    dice = random.Random(seed)
    for _ in range(250):
        raw = bytes(dice.choice(b"\r\n\0\x80\xffab\x7f\x01") for _ in range(dice.randrange(dice.choice([4, 16, 48]))))
        pieces = chunks(raw, [dice.randint(1, 9) for _ in range(dice.choice([0, 1, 3, 12]))])
        shape = SHAPES[dice.choice(WAYS)]
        byteorder = dice.choice(ORDERS)
        r = shape([MAKERS[dice.choice(["bytes", *KINDS])](piece) for piece in pieces]).reader(byteorder)
        model = Model(raw, byteorder)
        for _ in range(12):
            child, child_model = same_outcome(r, model, some_call(dice))
            if isinstance(child, Reader):
                for _ in range(4):
                    same_outcome(child, child_model, some_call(dice))


class LiveReaders(RuleBasedStateMachine):
    """Readers and their children over a composite that grows, against plain bytes; other changes end them."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = CompositeBuffer()
        self.data = b""
        self.live: list[tuple[Reader, Model]] = []
        self.children: list[tuple[Reader, Model]] = []

    @initialize()
    def begin_with_one(self) -> None:
        self.begin_another("big")

    @rule(byteorder=st.sampled_from(ORDERS))
    def begin_another(self, byteorder: ByteOrder) -> None:
        self.live.append((self.buffer.reader(byteorder), Model(self.data, byteorder)))

    @rule(raw=ANY_BYTES, kind=st.sampled_from(KINDS))
    def append(self, raw: bytes, kind: str) -> None:
        if raw:
            self.buffer.append(MAKERS[kind](raw))
        self._grow(raw)

    @rule(value=st.integers(0, 2**64 - 1))
    def pack(self, value: int) -> None:
        self.buffer.pack_varint(value)
        self._grow(protobuf_varint(value))

    @rule(raw=st.binary(min_size=1, max_size=9))
    def reserve(self, raw: bytes) -> None:
        self.buffer.reserve(len(raw))[:] = raw
        self._grow(raw)

    def _grow(self, raw: bytes) -> None:
        self.data += raw
        for _, model in self.live:
            model.data = self.data

    @precondition(lambda self: self.live)
    @rule(call=CALLS, data=st.data())
    def read(self, call: Any, data: st.DataObject) -> None:
        child, child_model = same_outcome(*data.draw(st.sampled_from([*self.live, *self.children])), call)
        if isinstance(child, Reader):
            self.children.append((child, child_model))

    @rule(n=st.integers(1, 20), how=st.sampled_from(["skip", "appendleft", "truncate"]))
    def change(self, n: int, how: str) -> None:
        size = len(self.data)
        if how == "skip":
            n = min(n, size)
            self.buffer.skip(n)
            self.data = self.data[n:]
        elif how == "appendleft":
            self.buffer.appendleft(bytes(n))
            self.data = bytes(n) + self.data
        elif size:
            n = min(n, size - 1)
            self.buffer.truncate(n)
            self.data = self.data[:n]
        else:
            return
        for r, _ in [*self.live, *self.children]:
            with pytest.raises(RuntimeError):
                r.u8()
        self.live.clear()
        self.children.clear()

    @invariant()
    def the_buffer_is_sound(self) -> None:
        self.buffer._check()
        assert self.buffer == self.data
        for r, model in [*self.live, *self.children]:
            assert (r.position, r.remaining) == (model.position, model.remaining)


TestLiveReaders = LiveReaders.TestCase


# -- text ----------------------------------------------------------------------------------------------------

WORDS: Final = "a é € 𝄞 日本語 ｶﾀｶﾅ"
TEXTS: Final = {
    "utf-8": WORDS.encode(),
    "utf-16": WORDS.encode("utf-16"),
    "utf-16-be": WORDS.encode("utf-16-be"),
    "utf-32": WORDS.encode("utf-32"),
    "shift_jis": "日本語 ｶﾀｶﾅ abc 表示".encode("shift_jis"),
    "iso2022_jp": "日本語 abc".encode("iso2022_jp"),
    "utf-7": WORDS.encode("utf-7"),
    "utf-8-sig": WORDS.encode("utf-8-sig"),
}


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "lazy"])
@pytest.mark.parametrize("encoding", TEXTS)
def test_a_character_may_lie_across_a_seam(encoding: str, kind: str) -> None:
    raw = TEXTS[encoding]
    layouts = [in_halves(raw, cut, kind) for cut in range(len(raw) + 1)]
    layouts.append(CompositeBuffer([MAKERS[kind](bytes([byte])) for byte in raw]))
    for buffer in layouts:
        r = buffer.reader()
        assert r.text(len(raw), encoding) == raw.decode(encoding)
        assert r.remaining == 0


def test_text_is_utf_8_unless_said_otherwise_and_may_be_empty() -> None:
    r = SliceBuffer("é".encode()).reader()
    assert (r.text(0), r.text(2), r.text(0), r.remaining) == ("", "é", "", 0)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis"])
def test_text_that_ends_inside_a_character_is_refused_and_not_passed(encoding: str) -> None:
    raw = "日".encode(encoding)
    for cut in range(len(raw)):
        r = in_halves(raw, cut).reader()
        with pytest.raises(UnicodeDecodeError) as wanted:
            str(raw[:-1], encoding)
        with pytest.raises(UnicodeDecodeError) as error:
            r.text(len(raw) - 1, encoding)
        assert error.value.args == wanted.value.args
        assert r.position == 0
        assert r.text(len(raw), encoding) == "日"


def test_what_is_no_text_is_a_frame_error_at_its_place_in_the_message() -> None:
    raw = b"\x02ok" + b"\x08" + b"\x06ab" + b"\xff" + b"cd" + b"rest"
    for cut in range(len(raw)):

        def message(r: Reader) -> str:
            r.text(r.u8())
            inner = r.sub(r.u8())
            with pytest.raises(TextError, match=r"byte 0xff in position 2: invalid start byte \(at byte 7\)") as error:
                inner.text(inner.u8())
            assert isinstance(error.value, FrameError)
            assert (error.value.start, error.value.at) == (2, 7)
            assert inner.position == 1
            return inner.text(2)

        assert in_halves(raw, cut).parse(message, limit=99) == "ab"
    for size in (8, 5_000):  # what is read at once, and what is not
        raw = b"." + b"x" * (size - 1) + b"\xff"
        r = in_halves(raw, size // 2).reader()
        r.skip(1)
        with pytest.raises(TextError) as caught:
            r.text(size)
        assert (caught.value.start, caught.value.at, r.position) == (size - 1, size, 1)


def test_what_a_codec_finds_wrong_without_saying_where_is_wrong_as_a_whole() -> None:
    """Those of older Pythons do so: idna, punycode."""

    def vague(data: Any, errors: str = "strict", /) -> tuple[str, int]:
        raise UnicodeError("it is wrong somehow")

    def look_up(name: str) -> codecs.CodecInfo | None:
        return codecs.CodecInfo(codecs.ascii_encode, vague, name=name) if name == "bytebufsvague" else None

    codecs.register(look_up)
    try:
        for cut in range(5):
            r = in_halves(b".abcd", cut).reader()
            r.skip(1)
            with pytest.raises(TextError, match="it is wrong somehow") as error:
                r.text(4, "bytebufsvague")
            assert (error.value.object, error.value.start, error.value.end) == (b"abcd", 0, 4)
            assert (error.value.encoding, error.value.at, r.position) == ("bytebufsvague", 1, 1)
        raw = b"." + b"abcd" * 2_000
        r = in_halves(raw, 5_000).reader()
        r.skip(1)
        with pytest.raises(TextError, match="it is wrong somehow") as error:
            r.text(8_000, "bytebufsvague")
        assert (error.value.object, error.value.start, error.value.end) == (raw[1:], 0, 8_000)
        assert (error.value.encoding, error.value.at, r.position) == ("bytebufsvague", 1, 1)
    finally:
        codecs.unregister(look_up)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_without_a_byte_order_mark_the_order_is_the_machine_s_in_any_layout(encoding: str) -> None:
    """The incremental decoders of the standard library give up where bytes.decode() does not."""
    raw = WORDS.encode(f"{encoding}-{'le' if sys.byteorder == 'little' else 'be'}")
    for cut in range(len(raw) + 1):
        with copy_audit() as audit:
            assert in_halves(raw, cut).reader().text(len(raw), encoding) == raw.decode(encoding) == WORDS
        assert audit.by_reason == {"text": len(raw)}


@pytest.mark.parametrize("encoding", ["no-such-encoding", "hex", "rot13", "base64"])
@pytest.mark.parametrize("cut", [0, 2])
def test_what_is_no_text_encoding_is_a_lookup_error_in_any_layout(encoding: str, cut: int) -> None:
    r = in_halves(b"6162", cut).reader()
    with pytest.raises(LookupError):
        r.text(4, encoding)
    assert r.position == 0


# -- arrays and formats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("byteorder", ORDERS)
@pytest.mark.parametrize("typecode", ARRAY_CODES)
def test_an_array_has_standard_sizes_and_the_reader_s_order(typecode: str, byteorder: ByteOrder) -> None:
    fmt = f"{MARKS[byteorder]}5{typecode}"
    raw = bytes((37 * k + 11) % 256 for k in range(struct.calcsize(fmt)))
    wanted = numbers(typecode, raw, byteorder)
    for cut in range(len(raw) + 1):
        r = CompositeBuffer([b"?", raw[:cut], hidden(raw[cut:]), b"!"]).reader(byteorder)
        r.skip(1)
        found = r.array(typecode, 5)
        assert (found.typecode, bits(found)) == (typecode, bits(wanted))
        assert r.remaining == 1
    assert SliceBuffer(raw).reader(byteorder).array(typecode, 0) == array(typecode)


@pytest.mark.parametrize("typecode", ["u", "w", "x", "", "BB", "?"])
def test_other_typecodes_are_refused(typecode: str) -> None:
    r = SliceBuffer(bytes(64)).reader()
    with pytest.raises(ValueError, match="the typecode is one of b B h H i I l L q Q f d"):
        r.array(typecode, 1)
    assert r.position == 0


def test_an_array_is_a_copy() -> None:
    memory = bytearray(8)
    numbers = SliceBuffer(memory).reader().array("B", 8)
    memory[0] = 1
    assert numbers[0] == 0


@given(raw=st.binary(max_size=40), fmt=FORMATS, at=st.integers(0, 40), data=st.data())
def test_unpack_equals_struct_in_any_layout(raw: bytes, fmt: str, at: int, data: st.DataObject) -> None:
    at = min(at, len(raw))
    for given_as in (fmt, fmt.encode(), struct.Struct(fmt)):
        r, model = data.draw(buffers(raw)).reader(), Model(raw, "big")
        r.skip(at)
        model.skip(at)
        assert outcome(r.unpack, given_as) == outcome(model.unpack, fmt)
        assert r.position == model.position


def test_a_format_of_no_size_is_read_anywhere() -> None:
    for buffer in (SliceBuffer(b""), SliceBuffer(b"abc"), CompositeBuffer(), CompositeBuffer([b"a", bytearray(b"bc")])):
        r = buffer.reader()
        r.skip(len(buffer))
        assert r.unpack(">0s") == (b"",)
        assert r.unpack(">") == ()
        assert r.position == len(buffer)


def test_a_format_without_a_byte_order_is_refused() -> None:
    r = SliceBuffer(bytes(8)).reader()
    formats: list[str | bytes | struct.Struct] = ["H", "@H", "4sH", b"I", struct.Struct("2xd"), "n"]
    for fmt in formats:
        with pytest.raises(ValueError, match=r"has no byte order: begin it with '<' or '>'$"):
            r.unpack(fmt)
        assert r.position == 0


def test_a_format_in_which_nothing_has_an_order_needs_none() -> None:
    raw = b"\x02\x01\x00\x01\xff\x03ab"
    for fmt in ("4s", "BBB", "@2c", "b?x 3s", "", "3p", "xx"):
        size = struct.calcsize(fmt)
        for cut in range(len(raw)):
            b = in_halves(raw, cut)
            r = b.reader()
            assert r.unpack(fmt) == b.unpack_from(fmt) == struct.unpack_from(fmt, raw)
            assert r.position == size
        packed = CompositeBuffer()
        packed.pack(fmt, *struct.unpack_from(fmt, raw))
        assert packed == struct.pack(fmt, *struct.unpack_from(fmt, raw))


def test_a_format_of_one_unsigned_number_is_known_as_that() -> None:
    """The compiled build reads those without struct."""
    for order in "<>!=":
        for code in "bBhHiIlLqQefds?cx":
            layout = layout_of(order + code)
            assert layout.is_uint == (code in "BHILQ"), (order, code)
            assert layout.little == (struct.pack(order + "H", 1) == b"\1\0"), (order, code)
            assert layout.size == struct.calcsize(order + code)
        assert not any(layout_of(order + codes).is_uint for codes in ("", "BB", "2H"))
    assert not any(layout_of(fmt).is_uint for fmt in ("B", "@B", "", "BB"))


def test_a_format_that_is_none_is_struct_s_own_error() -> None:
    with pytest.raises(struct.error):
        layout_of(">Z")
    assert layout_of("<H") is layout_of("<H"), "compiled once"


# -- slices --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_slices_show_the_memory_itself_and_no_payload_is_copied(layout: Layout) -> None:
    raw = b"\x00\x05hello;\x81\x01line\r\n" + bytes(range(40, 54)) + b"rest"
    buffer = layout.make(raw)
    where = addresses(buffer)
    with no_copy(strict=True):
        r = buffer.reader("little")
        assert r.u16_be() == 5
        for slices in (r.peek(5), r.take(5)):
            assert (addresses(slices), slices == b"hello") == (where[2:7], True)
        r.seek(2)
        assert addresses(r.until(b";", limit=5)) == where[2:7]
        assert r.varint() == 0x81
        assert addresses(r.line(limit=4)) == where[10:14]
        child = r.sub(14)
        assert (child.u64(), child.uint(2), *child.unpack("<I")) == struct.unpack("<QHI", raw[16:30])
        assert addresses(r.take(0)) == []
        r.expect(b"re")
        assert addresses(r.peek(2)) == where[32:]
        r.skip(2)
        assert r.remaining == 0


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_copies_that_are_asked_for_are_counted_and_may_be_forbidden(layout: Layout) -> None:
    raw = b"hello, world, hello, all"
    copies: list[tuple[str, Callable[[Reader], Any], Any]] = [
        ("take_bytes", lambda r: r.take_bytes(20), raw[1:21]),
        ("text", lambda r: r.text(20), raw[1:21].decode()),
        ("array", lambda r: r.array("B", 20), array("B", raw[1:21])),
    ]
    for reason, copying, wanted in copies:
        r = layout.make(raw).reader()
        r.skip(1)
        with no_copy(strict=True), pytest.raises(CopyForbidden) as error:
            copying(r)
        assert (error.value.reason, error.value.nbytes, r.position) == (reason, 20, 1)
        with copy_audit() as audit, no_copy():
            assert copying(r) == wanted
        assert (audit.by_reason, audit.hidden) == ({reason: 20}, 0)


def test_a_whole_bytes_object_is_taken_as_it_is_but_text_and_arrays_are_made() -> None:
    raw = b"hello, all of you"
    with no_copy(strict=True):
        assert CompositeBuffer([b"-", raw, b"-"]).reader().sub(18).peek(18).part_count == 2
        r = CompositeBuffer([b"-", raw, b"-"]).reader()
        r.skip(1)
        assert r.take_bytes(len(raw)) is raw
    makers: list[Callable[[Reader], Any]] = [lambda r: r.text(len(raw)), lambda r: r.array("b", len(raw))]
    for make in makers:
        r = SliceBuffer(raw).reader()
        with no_copy(strict=True), pytest.raises(CopyForbidden):
            make(r)
        with copy_audit() as audit:
            make(r)
        assert (audit.nbytes, audit.count) == (len(raw), 1)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    kinds=st.lists(st.sampled_from(["bytes", "piece of bytes", "bytearray"]), min_size=6, max_size=6),
    reads=st.lists(st.tuples(st.sampled_from(["take_bytes", "text", "u8", "peek_u8"]), st.integers(0, 6)), max_size=9),
)
def test_few_bytes_are_read_as_many_are_and_counted_once_where_they_are_copied(
    sizes: list[int], kinds: list[str], reads: list[tuple[str, int]]
) -> None:
    raw = bytes(range(97, 97 + sum(sizes)))
    parts = [MAKERS[kind](piece) for kind, piece in zip(kinds, chunks(raw, sizes), strict=False)]
    starts = {raw.index(bytes(part)): part for part in parts if isinstance(part, bytes)}
    b = CompositeBuffer(parts)
    for r, end in ((b.reader(), len(raw)), (b.freeze().reader(), len(raw)), (b[:-1].reader(), len(raw) - 1)):
        at = 0
        for name, n in reads:
            wanted = raw[at : at + n]
            if name in {"u8", "peek_u8"}:
                if at < end:
                    assert getattr(r, name)() == raw[at]
                    at += name == "u8"
            elif at + n > end:
                with pytest.raises(Underrun) as error, no_copy(strict=True):
                    getattr(r, name)(n)
                assert (error.value.requested, error.value.available) == (n, end - at)
            else:
                # A part that was read ahead together with what is no bytes object is a copy already.
                owner = starts.get(at)
                is_part = name == "take_bytes" and owner is not None and len(owner) == n
                if n and not is_part:
                    with no_copy(strict=True), pytest.raises(CopyForbidden):
                        getattr(r, name)(n)
                    assert r.position == at
                with copy_audit() as audit:
                    found = getattr(r, name)(n)
                assert found == (wanted if name == "take_bytes" else wanted.decode())
                if is_part and (audit.count == 0 or "bytearray" not in kinds[: len(parts)]):
                    assert found is owner
                    assert audit.by_reason == {}
                else:
                    assert audit.by_reason == ({name: n} if n else {})
                at += n
            assert r.position == at


@pytest.mark.parametrize("kind", ["bytes", "piece of bytes", "bytearray", "array"])
@pytest.mark.parametrize("n", [255, 257, 4095, 4096, 4097])
def test_around_the_size_that_is_read_at_once_nothing_differs(kind: str, n: int) -> None:
    raw = bytes(range(65, 91)) * 400
    for parts in ([raw], [raw[:1], raw[1:]], [raw[: n - 1], raw[n - 1 :]], [raw[:n], raw[n:]]):
        r = CompositeBuffer([MAKERS[kind](part) for part in parts]).reader()
        with no_copy(), copy_audit() as audit:
            assert r.peek_u8() == raw[0]
            assert r.sub(n).take_bytes(n) == raw[:n]
            r.seek(0)
            assert (r.text(n), r.take_bytes(n)) == (raw[:n].decode(), raw[n : 2 * n])
        whole = kind == "bytes" and len(parts[0]) == n
        assert audit.by_reason == {"text": n, "take_bytes": n if whole else 2 * n}
        for name in ("take_bytes", "text"):
            b = CompositeBuffer([MAKERS[kind](part) for part in parts])
            with pytest.raises(LimitExceeded) as error:
                b.parse(methodcaller(name, n), limit=n - 1)
            assert error.value.announced == n
            assert b.parse(methodcaller(name, n), limit=n) is not None
            assert b == raw[n:]


MEDDLING: Final[Mapping[str, Callable[[Reader, CompositeBuffer], object]]] = {
    "nothing": lambda r, b: None,
    "to the front": lambda r, b: r.seek(0),
    "to the end": lambda r, b: r.seek(len(b)),
    "on": lambda r, b: r.u32(),
    "append": lambda r, b: b.append(b"more"),
    "clear": lambda r, b: b.clear(),
}


@pytest.mark.parametrize("name", MEDDLING)
@pytest.mark.parametrize("n", [5, 5000])
def test_a_codec_that_uses_the_reader_does_not_change_what_was_read(name: str, n: int) -> None:
    """Codecs are found by name, and may be the user's own code, in the middle of a read."""
    raw = b"abcdefgh" * 1000
    now: list[tuple[Reader, CompositeBuffer]] = []

    def decode(data: Any, errors: str = "strict") -> tuple[str, int]:
        MEDDLING[name](*now[-1])
        return str(data, "ascii"), len(data)

    def search(wanted: str) -> codecs.CodecInfo | None:
        return codecs.CodecInfo(codecs.ascii_encode, decode, name=wanted) if wanted == "meddling" else None

    codecs.register(search)
    try:
        for parts in ([raw], [raw[:3], raw[3:]], [bytearray(raw)]):
            b = CompositeBuffer(parts)
            r = b.reader()
            r.skip(1)
            now.append((r, b))
            assert r.text(n, "meddling") == raw[1 : 1 + n].decode()
            if name == "clear":
                with pytest.raises(RuntimeError, match="changed under its reader"):
                    r.u8()
            else:
                assert r.position == 1 + n
                assert r.u8() == raw[1 + n]
    finally:
        codecs.unregister(search)


def test_a_slice_outlives_what_it_was_read_from() -> None:
    b = CompositeBuffer([b"abc", bytearray(b"def")])
    r = b.reader()
    r.skip(1)
    taken, seen = r.take(3), r.peek(2)
    b.clear()
    b.append(b"something else")
    assert taken == b"bcd"
    assert seen == b"ef"


# -- where it is ---------------------------------------------------------------------------------------------


def test_seek_goes_anywhere_there_are_bytes() -> None:
    b = CompositeBuffer([b"ab", bytearray(b"cd"), b"ef"])
    b.skip(1)
    r = b.reader()
    for position in (5, 0, 3, 1, 4, 2, 5):
        r.seek(position)
        assert (r.position, r.remaining) == (position, 5 - position)
        assert bytes(r.peek(5 - position)) == b"bcdef"[position:]
    with pytest.raises(Underrun) as error:
        r.seek(6)
    assert (error.value.requested, error.value.available, r.position) == (6, 5, 5)
    r.seek(1)
    assert (r.u8(), r.u16()) == (ord("c"), int.from_bytes(b"de"))
    with pytest.raises(ValueError, match="not negative"):
        r.seek(-1)
    assert r.position == 4


def test_seek_goes_back_from_a_piece_of_a_larger_owner_to_the_parts_before_it() -> None:
    for kind in ("bytes", "piece of bytes", "bytearray", "slice"):
        for drained in (0, 2):
            b = CompositeBuffer([MAKERS[kind](b"..abcd"[2 - drained :]), SliceBuffer(b"01234567890efgh")[11:]])
            b.skip(drained)
            for name, start, stop in product(("reader", "sub", "limited"), range(8), range(9)):
                r = b.reader() if name == "reader" else read(b.reader(), name, 8)
                r.seek(start)
                assert r.u8() == b"abcdefgh"[start]
                r.seek(stop)
                assert (r.position, r.take_bytes(8 - stop)) == (stop, b"abcdefgh"[stop:])


def test_peek_stays_and_skip_passes() -> None:
    r = CompositeBuffer([b"ab", b"cd"]).reader()
    assert (bytes(r.peek(3)), r.position) == (b"abc", 0)
    r.skip(3)
    assert (bytes(r.peek(1)), r.position) == (b"d", 3)
    for move in (r.peek, r.skip, r.take, r.take_bytes, r.sub, r.text):
        with pytest.raises(Underrun) as error:
            move(2)
        assert (error.value.requested, error.value.available, r.position) == (2, 1, 3)


def test_a_child_reads_its_own_bytes_and_no_more() -> None:
    b = CompositeBuffer([b"ab\x00", b"\x01cd", bytearray(b"efgh")])
    r = b.reader("little")
    r.skip(1)
    child = r.sub(5)
    assert (r.position, child.position, child.remaining) == (6, 0, 5)
    assert (child.u8(), child.u16(), child.position) == (ord("b"), 0x0100, 3)
    b.append(b"more")
    assert (child.remaining, r.remaining) == (2, 8)
    for beyond in (child.u32, lambda: child.take(3), lambda: child.expect(b"cde"), child.u24):
        with pytest.raises(Underrun) as error:
            beyond()
        assert (error.value.available, child.position) == (2, 3)
    with pytest.raises(Underrun, match=r"b'e' is not in the 2 bytes that are there \(at byte 4\)") as error:
        child.until(b"e", limit=100)
    assert (error.value.requested, error.value.available, error.value.separator) == (3, 2, b"e")
    assert error.value.at == 4
    with pytest.raises(Underrun):
        child.seek(6)
    grandchild = child.sub(2)
    assert (grandchild.take_bytes(2), child.remaining, grandchild.byteorder) == (b"cd", 0, "little")
    assert (r.take_bytes(2), r.position) == (b"ef", 8)


def test_numbers_in_a_child_are_not_read_across_its_end() -> None:
    """The bytes behind it are in the very memory that the child has at hand."""
    r = SliceBuffer(b"\x01\x02\x03\x04\x05\x06\x07\x08\x09").reader()
    child = r.sub(3)
    assert child.u16() == 0x0102
    for name in ("u16", "u24", "u32", "f64"):
        with pytest.raises(Underrun) as error:
            read(child, name)
        assert (error.value.requested, error.value.available) == (size_of_number(name), 1)
    assert child.u8() == 3
    with pytest.raises(Underrun):
        child.u8()
    with pytest.raises(Underrun):
        child.varint()


def test_a_limited_reader_keeps_the_positions_and_may_go_back() -> None:
    raw = b"0123456789"
    for cut in range(len(raw)):
        b = in_halves(raw, cut)
        outer = b.reader("little")
        outer.skip(1)
        r = outer.sub(8)
        r.skip(3)
        inner = r.limited(5)
        assert (inner.position, inner.remaining, r.position, inner.byteorder) == (3, 2, 3, "little")
        assert (inner.take_bytes(2), inner.at_end, r.at_end) == (b"45", True, False)
        with pytest.raises(Underrun, match=r"1 bytes were asked for, 0 are there \(at byte 6\)") as error:
            inner.u8()
        assert (error.value.requested, error.value.available, error.value.at) == (1, 0, 6)
        inner.seek(0)
        assert inner.take_rest() == b"12345"
        assert inner.position == 5
        with pytest.raises(Underrun):
            inner.seek(6)
        with pytest.raises(Underrun) as error:
            r.limited(9)
        assert (error.value.requested, error.value.available, error.value.at) == (6, 5, 4)
        with pytest.raises(ValueError, match="the end 2 lies before the position 3"):
            r.limited(2)
        assert r.limited(3).at_end
        assert r.limited(8).limited(4).take_rest() == b"4"
        assert r.position == 3
        assert r.take_rest() == b"45678"
        assert r.at_end
        assert r.take_rest() == b""


def test_a_name_of_dns_is_followed_backwards_in_a_message_of_a_stream() -> None:
    """RFC 1035, 4.1.4: a pointer counts from the front of its message, and stands inside of a record with a length."""

    def message(r: Reader) -> tuple[bytes, int]:
        inner = r.sub(r.u16())
        inner.skip(5)
        size = inner.u8()
        record = inner.limited(inner.position + size)
        record.seek(record.u16() & 0x3FFF)
        name = record.take_bytes(record.u8())
        inner.skip(size)
        assert inner.at_end
        return name, r.position

    raw = b"\x00\x08" + b"\x04name" + b"\x02\xc0\x00"
    for cut in range(len(raw)):
        b = CompositeBuffer([raw[:cut]])
        assert b.parse(message, limit=99) is None
        b.append(raw[cut:])
        b.append(b"next")
        assert b.parse(message, limit=99) == (b"name", 10)
        assert b == b"next"


# -- literals and separators ---------------------------------------------------------------------------------


def test_expect_says_which_byte_differs() -> None:
    for cut in range(8):
        r = CompositeBuffer([b"..", b"RIFX\0\1\2"[:cut], b"RIFX\0\1\2"[cut:]]).reader()
        r.skip(2)
        with pytest.raises(FrameError, match="b'RIFF' is expected, not b'RIFX'") as error:
            r.expect(b"RIFF")
        assert (error.value.at, r.position) == (5, 2)
        r.expect(b"")
        r.expect(b"RIFX")
        assert r.position == 6


def test_expect_waits_for_the_rest_of_what_has_begun_right() -> None:
    b = CompositeBuffer([b"R"])
    r = b.reader()
    for more, available in ((b"", 1), (b"I", 2), (b"F", 3)):
        b.append(more)
        with pytest.raises(Underrun) as error:
            r.expect(b"RIFF")
        assert (error.value.requested, error.value.available, r.position) == (4, available, 0)
    b.append(b"F")
    r.expect(b"RIFF")
    b.append(b"X")
    with pytest.raises(FrameError) as wrong:
        r.expect(b"much longer than what is there")
    assert wrong.value.at == 4, "what differs already never becomes right, so nobody waits for the rest"


@pytest.mark.parametrize(
    ("wrong", "kind"), [("RIFF", TypeError), (None, TypeError), ([82], TypeError), (256, ValueError)]
)
def test_literals_and_separators_are_what_find_takes(wrong: Any, kind: type[Exception]) -> None:
    for data in (b"RIFF", b""):
        r = SliceBuffer(data).reader()
        with pytest.raises(kind):
            r.expect(wrong)
        with pytest.raises(kind):
            r.until(wrong, limit=3)
        assert r.position == 0


LITERAL_KINDS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "view": memoryview,
    "slice": SliceBuffer,
    "one part": lambda data: CompositeBuffer([data]),
    "parts": lambda data: CompositeBuffer([data[:1], data[1:]]),
    "int": lambda data: data[0],
}


@pytest.mark.parametrize("kind", LITERAL_KINDS)
def test_literals_and_separators_may_be_anything_bytes_like_or_a_byte(kind: str) -> None:
    literal = b";" if kind == "int" else b";-)"
    given = LITERAL_KINDS[kind](literal)
    raw = b"ab" + literal + literal + b"cd"
    for cut in range(len(raw)):
        b = in_halves(raw, cut)
        r = b.reader()
        with copy_audit() as audit:
            assert r.until(given, limit=2) == b"ab"
            r.expect(given)
        owned = 0 if kind in {"bytes", "int"} else len(literal)
        assert audit.by_reason.get("needle", 0) == owned * (2 if kind == "parts" else 1)
        assert r.peek(2) == b"cd"
        with pytest.raises(FrameError, match=re.escape(f"{literal!r} is expected, not b'c'")) as error:
            r.expect(given)
        assert error.value.at == len(raw) - 2


def test_a_separator_is_never_empty() -> None:
    for seps in ((b"",), (b"b", b""), (bytearray(),)):
        with pytest.raises(ValueError, match=r"^empty separator$"):
            SliceBuffer(b"abc").reader().until(*seps, limit=3)


def test_of_several_separators_the_first_ends_it_and_of_those_the_longest() -> None:
    raw = b"a;b\r\nc\n"
    for cut in range(len(raw)):
        r = in_halves(raw, cut).reader()
        seps = (b"\r", ord(";"), bytearray(b"\r\n"), b"\n")
        assert [bytes(r.until(*seps, limit=1)) for _ in range(3)] == [b"a", b"b", b"c"]
    r = CompositeBuffer([b"ab\r"]).reader()
    with pytest.raises(Underrun) as error:
        r.until(b"\r", b"\r\n", limit=9)
    assert (error.value.separator, error.value.requested) == (b"\r", 3)


@pytest.mark.parametrize("sep", [b";", b"\r\n", b"aab", b"\0\0\0\0"])
def test_until_holds_its_limit_to_the_byte(sep: bytes) -> None:
    for size in range(7):
        for limit in range(7):
            raw = b"b" * size + sep + b"rest"
            for cut in range(len(raw) + 1):
                r = in_halves(raw, cut).reader()
                if size <= limit:  # defects.md N8
                    assert r.until(sep, limit=limit) == b"b" * size
                    assert r.peek(4) == b"rest"
                else:
                    with pytest.raises(LimitExceeded) as error:
                        r.until(sep, limit=limit)
                    assert (error.value.limit, r.position) == (limit, 0)


def test_until_sees_a_separator_that_another_buffer_wrote_meanwhile() -> None:
    memory = bytearray(b"aaaaaaaaaa")
    reader = CompositeBuffer([b"bb", memory]).reader()
    with pytest.raises(Underrun):
        reader.until(b";", limit=100)
    CompositeBuffer([memory]).write_at(3, b";")
    assert reader.until(b";", limit=100) == b"bbaaa"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_holds_its_limit_to_the_byte_and_leaves_the_end_out(end: bytes) -> None:
    for size in range(5):
        for limit in range(5):
            raw = b"b" * size + end + b"rest"
            for cut in range(len(raw) + 1):
                r = in_halves(raw, cut).reader()
                if size <= limit:
                    assert r.line(limit=limit) == b"b" * size
                    assert r.peek(4) == b"rest"
                else:
                    with pytest.raises(LimitExceeded):
                        r.line(limit=limit)
                    assert r.position == 0


def test_only_one_carriage_return_before_a_line_feed_is_part_of_the_end() -> None:
    r = CompositeBuffer([b"a\rb\r", b"\r\n", b"\r\n", b"\n\r", b"x\n"]).reader()
    assert [bytes(r.line(limit=9)) for _ in range(4)] == [b"a\rb\r", b"", b"", b"\rx"]
    assert r.remaining == 0


def test_lines_and_strings_that_are_alike_end_each_by_itself() -> None:
    names = [b"XX", b"XX", b"", b"XX", b"XXI"]
    for end, name in ((b"\n", "line"), (b"\r\n", "line"), (b"\0", "cstring")):
        raw = b"".join(one + end for one in names)
        for cut in range(len(raw)):
            r = in_halves(raw, cut).reader()
            assert [bytes(read(r, name, limit=3)) for _ in names] == names


def test_a_separator_that_has_not_come_says_how_many_bytes_could_hold_it() -> None:
    b = CompositeBuffer([b"ab\r"])
    r = b.reader()
    b.append(b"cd\r")
    with pytest.raises(Underrun, match=r"b'\\r\\n' is not in the 6 bytes") as error:
        r.until(b"\r\n", limit=5)
    assert (error.value.requested, error.value.available, error.value.separator) == (7, 6, b"\r\n")
    with pytest.raises(Underrun) as error:
        r.line(limit=5)
    assert (error.value.requested, error.value.available, error.value.separator) == (7, 6, b"\n")
    b.append(b"e")
    with pytest.raises(LimitExceeded):
        r.until(b"\r\n", limit=5)
    assert r.position == 0


# -- sizes and their errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["take", "take_bytes", "peek", "skip", "sub", "text", "uint", "sint", "seek", "limited"]
)
def test_sizes_are_integers_and_not_negative(name: str) -> None:
    r = CompositeBuffer([b"ab", b"cd"]).reader()
    r.skip(1)
    with pytest.raises(ValueError, match="not negative"):
        read(r, name, -1)
    for wrong in (1.0, "1", b"1", None):
        with pytest.raises(TypeError):
            read(r, name, wrong)
    assert r.position == 1
    with pytest.raises(Underrun) as error:
        read(r, name, 2**70)
    assert error.value.requested == 2**70 - (name == "limited")  # which counts from the front
    assert r.position == 1

    class Two:
        def __index__(self) -> int:
            return 2

    read(r, name, Two())
    read(r, name, True)


def test_limits_and_counts_are_integers_and_not_negative() -> None:
    r = SliceBuffer(b"ab;cd\n").reader()
    uses: list[Callable[[Any], Any]] = [
        lambda n: r.until(b";", limit=n),
        lambda n: r.line(limit=n),
        lambda n: r.array("B", n),
        lambda n: r.varint(max_bytes=n),
    ]
    for use in uses:
        for wrong, error in ((-1, ValueError), (1.0, TypeError), (10.0, TypeError), ("1", TypeError)):
            with pytest.raises(error):
                use(wrong)
            assert r.position == 0


# -- leases --------------------------------------------------------------------------------------------------

EVERY_CALL: Final[Mapping[str, Callable[[Reader], Any]]] = {
    **{name: methodcaller(name) for name in NUMBERS + PEEKS},
    "uint": lambda r: r.uint(1),
    "sint": lambda r: r.sint(2),
    "varint": lambda r: r.varint(),
    "zigzag": lambda r: r.zigzag(),
    "take": lambda r: r.take(1),
    "take nothing": lambda r: r.take(0),
    "take_bytes": lambda r: r.take_bytes(1),
    "peek": lambda r: r.peek(1),
    "skip": lambda r: r.skip(1),
    "text": lambda r: r.text(1),
    "array": lambda r: r.array("B", 1),
    "unpack": lambda r: r.unpack("<H"),
    "expect": lambda r: r.expect(b"x"),
    "until": lambda r: r.until(b"\n", limit=99),
    "until one of two": lambda r: r.until(b"\r", b"\n", limit=99),
    "line": lambda r: r.line(limit=99),
    "cstring": lambda r: r.cstring(limit=99),
    "sub": lambda r: r.sub(1),
    "limited": lambda r: r.limited(10),
    "take_rest": lambda r: r.take_rest(),
    "seek": lambda r: r.seek(0),
    "position": lambda r: r.position,
    "remaining": lambda r: r.remaining,
    "at_end": lambda r: r.at_end,
}
"""One call of everything that a reader does; all work at the front of a line of x."""


def test_every_call_of_a_reader_is_in_the_list() -> None:
    public = {name for name in dir(Reader) if not name.startswith("_")}
    assert public - {"byteorder"} <= {name.partition(" ")[0] for name in EVERY_CALL}


@pytest.mark.parametrize("primed", [False, True])
def test_no_call_works_after_a_change_or_a_close(primed: bool) -> None:
    for name, call in EVERY_CALL.items():
        assert_ended(name, call, primed=primed)


def assert_ended(name: str, call: Callable[[Reader], object], *, primed: bool) -> None:

    def ready(b: CompositeBuffer) -> tuple[Reader, Reader]:
        r = b.reader()
        child = b.reader().sub(20)
        if primed:  # the next bytes are at hand
            r.u8()
            child.u8()
        return r, child

    b = CompositeBuffer([b"x" * 30, b"x" * 10 + b"\n"])
    for r in ready(b):
        if not name.startswith(("until", "line", "cstring")):
            call(r)
    readers = ready(b)
    b.skip(1)
    for r in readers:
        with pytest.raises(RuntimeError, match="changed under its reader"):
            call(r)
    kept: list[Reader] = []

    def parser(r: Reader) -> bool:
        kept.append(r)
        kept.append(r.sub(20))
        if primed:
            for reader in kept:
                reader.u8()
        return True

    assert b.parse(parser, limit=99)
    for r in kept:
        with pytest.raises(ClosedError, match="the reader is closed"):
            call(r)


def test_a_separator_that_is_at_hand_is_not_found_after_a_change() -> None:
    searches = (methodcaller("until", b"\n", limit=9), methodcaller("line", limit=9), methodcaller("cstring", limit=9))
    for search in searches:
        b = CompositeBuffer([b"abc\n\0"])
        r = b.reader()
        assert r.u8() == ord("a")
        b.skip(1)
        with pytest.raises(RuntimeError, match="changed under its reader"):
            search(r)


def test_a_reader_is_made_by_a_buffer_and_with_an_order() -> None:
    with pytest.raises(ValueError, match=r"^the byte order is 'big' or 'little', not 'middle'$"):
        SliceBuffer(b"abc").reader("middle")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^a Reader is made by a buffer: write SliceBuffer\(data\)\.reader\(\)$"):
        Reader(SliceBuffer(b"abc"), None, "big")


def test_limits_are_told_with_the_place_of_what_exceeds_them() -> None:
    for cut in range(9):
        for limit in (4, 7):
            b = in_halves(b".abcdefg\nxyz", cut)
            b.skip(1)
            told: list[tuple[Any, ...]] = []

            def fn(r: Reader) -> bool:
                r.skip(2)
                calls = (partial(r.until, b"\n", limit=9), partial(r.expect, b"cdefgX"), partial(r.take, 7))
                told.extend([outcome(call) for call in calls])  # noqa: B023
                return True

            assert b.parse(fn, limit=limit)
            assert told == [(LimitExceeded, limit, None, 2), (LimitExceeded, limit, 8, 2), (LimitExceeded, limit, 9, 2)]


def test_of_a_varint_nobody_has_told_how_long_it_will_be() -> None:
    for cut in range(5):
        told: list[tuple[Any, ...]] = []

        def fn(r: Reader) -> bool:
            r.u8()
            told.append(outcome(r.varint))  # noqa: B023
            return True

        assert in_halves(b"x\x80\x80\x80\x01", cut).parse(fn, limit=3)
        assert told == [(LimitExceeded, 3, None, 1)]


CHANGES: Final[Mapping[str, Callable[[CompositeBuffer], Any]]] = {
    "take": lambda b: b.take(1),
    "take_all": lambda b: b.take_all(),
    "take_at_most": lambda b: b.take_at_most(2),
    "take_until": lambda b: b.take_until(b"c", limit=9),
    "skip": lambda b: b.skip(2),
    "appendleft": lambda b: b.appendleft(b"x"),
    "insert": lambda b: b.insert(1, b"x"),
    "insert in front": lambda b: b.insert(0, b"x"),
    "splice": lambda b: b.splice(1, 2),
    "splice in place": lambda b: b.splice(1, 2, b"b"),
    "truncate": lambda b: b.truncate(3),
    "clear": lambda b: b.clear(),
    "consolidate": lambda b: b.consolidate(),
    "compact": lambda b: b.compact(),
    "parse": lambda b: b.parse(lambda r: r.u8(), limit=9),
}
GROWTHS: Final[Mapping[str, Callable[[CompositeBuffer], Any]]] = {
    "append": lambda b: b.append(b"x"),
    "+=": lambda b: b.__iadd__(b"x"),
    "extend": lambda b: b.extend([b"", b"x", b"yz"]),
    "insert at the end": lambda b: b.insert(len(b), b"x"),
    "splice at the end": lambda b: b.splice(len(b), len(b), b"x"),
    "pack": lambda b: b.pack(">B", 0x78),
    "pack_varint": lambda b: b.pack_varint(0x78),
    "pack_uint": lambda b: b.pack_uint(0x78, 1),
    "reserve": lambda b: b.reserve(1).__setitem__(0, 0x78),
    "itself": lambda b: b.append(SliceBuffer(b"x")),
}
LOOKS: Final[Mapping[str, Callable[[CompositeBuffer], Any]]] = {
    "freeze": lambda b: b.freeze(),
    "copy": copy.copy,
    "find": lambda b: b.find(b"e"),
    "another reader": lambda b: b.reader().u32(),
    "take too many": lambda b: outcome(b.take, 100),
    "truncate to all": lambda b: b.truncate(len(b)),
    "consolidate one part": lambda b: b.consolidate(0, 2),
    "a parse that waits": lambda b: b.parse(lambda r: r.u64(), limit=9),
}


def waste() -> CompositeBuffer:
    """Return a composite of six bytes in two parts, of which the second pins much more."""
    return CompositeBuffer([b"abc", memoryview(b"def" + bytes(9000))[:3]])


@pytest.mark.parametrize("change", CHANGES)
def test_any_other_change_makes_the_next_call_a_runtime_error(change: str) -> None:
    b = waste()
    r = b.reader()
    assert r.u8() == ord("a")
    CHANGES[change](b)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="changed under its reader"):
            r.u8()
    assert b.reader().position == 0


@pytest.mark.parametrize("growth", GROWTHS)
def test_what_is_appended_becomes_readable(growth: str) -> None:
    b = waste()
    r = b.reader()
    r.skip(5)
    with pytest.raises(Underrun):
        r.u16()
    GROWTHS[growth](b)
    assert (r.u16(), r.position) == (int.from_bytes(b"fx"), 7)


@pytest.mark.parametrize("look", LOOKS)
def test_what_changes_nothing_leaves_readers_alone(look: str) -> None:
    b = waste()
    r = b.reader()
    r.u8()
    LOOKS[look](b)
    assert (r.u8(), r.position) == (ord("b"), 2)


def test_a_reader_of_a_slice_is_never_ended() -> None:
    b = CompositeBuffer([b"abc", b"def"])
    s = b.freeze()
    r = s.reader()
    b.clear()
    assert (r.u8(), bytes(r.take(5))) == (ord("a"), b"bcdef")
    assert SliceBuffer(b).reader().remaining == 0


def test_a_lease_tells_a_change_from_a_close() -> None:
    lease = Lease()
    lease.refuse()
    lease.revoke()
    with pytest.raises(RuntimeError, match=r"^the buffer changed under its reader$"):
        lease.refuse()
    lease.close()
    with pytest.raises(ClosedError):
        lease.refuse()


def test_appending_goes_on_in_the_part_that_a_reader_stands_in() -> None:
    """Neighbours in one owner merge: the entry that the reader found is replaced by a longer one."""
    for owner in (memoryview(b"<abcdef>"), memoryview(bytearray(b"<abcdef>"))):
        b = CompositeBuffer([owner[1:3]])
        r = b.reader()
        assert r.u8() == ord("a")
        b.append(owner[3:5])
        assert b.part_count == 1
        assert r.u16() == int.from_bytes(b"bc")
        b.append(owner[5:7])
        assert r.u24() == int.from_bytes(b"def")
        assert r.remaining == 0


# -- changes of the memory itself ----------------------------------------------------------------------------


def test_a_change_of_memory_may_be_seen_late_within_256_bytes() -> None:
    memory = bytearray(2 * READ_AHEAD)
    r = SliceBuffer(memory).reader()
    assert r.u8() == 0
    memory[1] = memory[READ_AHEAD - 1] = memory[READ_AHEAD] = 7
    ahead = r.peek(1)
    assert ahead == b"\x07", "a slice shows the memory itself"
    assert r.u8() == 0, "the documented price of reading ahead: this change is seen late"
    r.skip(READ_AHEAD - 3)
    assert r.u8() in {0, 7}
    assert r.u8() == 7, "nothing is read further ahead than that"
    r.seek(1)
    assert r.u8() == 7, "whoever seeks looks anew"


def test_a_change_of_memory_is_seen_at_once_where_nothing_was_read() -> None:
    memory = bytearray(8)
    b = CompositeBuffer([b"ab", memory])
    r = b.reader()
    assert r.u16() == int.from_bytes(b"ab")
    memory[0] = 1
    assert r.u8() == 1
    assert b.reader().remaining == 10


def test_reading_ahead_stops_at_what_has_come() -> None:
    memory = bytearray(b"abcd")
    b = CompositeBuffer([memoryview(memory)[:2]])
    r = b.reader()
    assert r.u8() == ord("a")
    b.append(memoryview(memory)[2:3])
    memory[2] = ord("X")
    assert r.u16() == int.from_bytes(b"bX")
    with pytest.raises(Underrun):
        r.u8()


class Gone(LazyOwner):
    """An owner whose bytes cannot be had any more."""

    def _look(self) -> Memory:
        raise TruncatedFile("a file", self.nbytes, 0)


@pytest.mark.parametrize("name", [name for name in EVERY_CALL if name not in {"position", "remaining", "seek"}])
def test_a_read_that_fails_below_leaves_the_position_where_it_was(name: str) -> None:
    needs_no_look = {"take", "take nothing", "peek", "skip", "sub", "limited", "take_rest", "at_end"}
    b = CompositeBuffer([b"x", Gone(9)])
    r = b.reader()
    r.skip(1)
    if name in needs_no_look:
        EVERY_CALL[name](r)
        return
    with pytest.raises(TruncatedFile):
        EVERY_CALL[name](r)
    assert r.position == 1
    r.seek(0)
    assert r.u8() == ord("x")


def test_a_varint_that_fails_below_leaves_the_position_where_it_began() -> None:
    r = CompositeBuffer([b"\x80", b"\x80", Gone(9)]).reader()
    with pytest.raises(TruncatedFile):
        r.varint()
    assert r.position == 0
    assert r.u16() == 0x8080


# -- the limit of parse() ------------------------------------------------------------------------------------


def limited(buffer: CompositeBuffer, limit: int, use: Callable[[Reader], Any]) -> Any:
    """Use a reader that has a limit: parse() makes those."""
    return buffer.parse(lambda r: (use(r),), limit=limit)


LIMITED: Final[Mapping[str, tuple[bytes, Callable[[Reader], Any]]]] = {
    **{name: (bytes(size_of_number(name)), methodcaller(name)) for name in NUMBERS + PEEKS},
    "uint": (bytes(5), lambda r: r.uint(5)),
    "sint": (bytes(5), lambda r: r.sint(5)),
    "varint": (b"\x80\x80\x01", lambda r: r.varint()),
    "zigzag": (b"\x80\x01", lambda r: r.zigzag()),
    "take": (b"abc", lambda r: r.take(3)),
    "take_bytes": (b"abc", lambda r: r.take_bytes(3)),
    "peek": (b"abc", lambda r: r.peek(3)),
    "skip": (b"abc", lambda r: r.skip(3)),
    "seek": (b"abc", lambda r: r.seek(r.position + 3)),
    "text": (b"abc", lambda r: r.text(3)),
    "array": (bytes(6), lambda r: r.array("H", 3)),
    "unpack": (bytes(6), lambda r: r.unpack(">HI")),
    "expect": (b"abc", lambda r: r.expect(b"abc")),
    "until": (b"ab--", lambda r: r.until(b"--", limit=9)),
    "until one of two": (b"ab--", lambda r: r.until(b"::", b"--", limit=9)),
    "line": (b"ab\r\n", lambda r: r.line(limit=9)),
    "cstring": (b"ab\0", lambda r: r.cstring(limit=9)),
    "sub": (b"abc", lambda r: r.sub(3)),
    "limited": (b"abc", lambda r: r.limited(r.position + 3)),
}
"""Reads and the bytes that they pass, or look at."""

UNTOLD: Final = {"until", "until one of two", "line", "cstring", "varint", "zigzag"}
"""Those whose length nobody tells beforehand."""


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("kind", ["bytes", "bytearray"])
def test_a_read_may_end_at_the_limit_of_its_reader_and_not_beyond(name: str, kind: str) -> None:
    raw, use = LIMITED[name]

    def behind_two(r: Reader) -> Any:
        r.u16()
        before = r.position
        try:
            return use(r)
        except (LimitExceeded, Underrun):
            assert r.position == before
            raise

    end = 2 + len(raw)
    for cut in range(len(raw)):
        whole = b"--" + raw + b"more of it, more than enough to read ahead"
        b = in_halves(whole, 2 + cut, kind)
        copied = copy.copy(b)
        assert limited(b, end, behind_two) is not None
        with pytest.raises(LimitExceeded) as error:
            limited(copied, end - 1, behind_two)
        assert error.value.limit == end - 1
        told = None if name in UNTOLD else end
        assert error.value.announced == told
        # It fails alike when the bytes have not come: what they are makes no difference any more.
        waiting = CompositeBuffer([whole[: 2 + cut]])
        assert limited(waiting, end, behind_two) is None
        if name not in UNTOLD:
            with pytest.raises(LimitExceeded) as error:
                limited(waiting, end - 1, behind_two)
            assert error.value.announced == told
        assert (len(waiting), len(copied)) == (2 + cut, len(whole))


def test_whatever_exceeds_the_limit_says_where_in_the_message_it_begins() -> None:
    """The message begins behind bytes that were drained, and the read behind a byte of it."""
    for name, (raw, use) in LIMITED.items():
        for kind in ("bytes", "bytearray"):
            for cut in (4, 6, 4 + len(raw)):
                told: list[Outcome] = []

                def behind_one(r: Reader, use: Callable[[Reader], Any] = use, told: list[Outcome] = told) -> int:
                    before = r.u8()
                    told.append(outcome(use, r))
                    assert r.position == 1 or told[-1][0] is not LimitExceeded
                    return before

                for limit in (1, len(raw)):
                    b = in_halves(b"ab" + b"-" + raw + bytes(300), cut, kind)
                    b.skip(2)
                    assert b.parse(behind_one, limit=limit) == ord("-")
                    announced = None if name in UNTOLD else 1 + len(raw)
                    at = 0 if name == "seek" else 1  # which goes somewhere from the front
                    assert told.pop() == (LimitExceeded, limit, announced, at), (name, kind, cut, limit)
                b = in_halves(b"ab" + b"-" + raw + bytes(300), cut, kind)
                b.skip(2)
                assert b.parse(behind_one, limit=1 + len(raw))
                assert told.pop()[0] is not LimitExceeded, "as long as the limit is"


def test_a_parser_is_told_no_place_of_what_only_makes_parse_wait() -> None:
    def parser(r: Reader) -> int:
        r.u8()
        child = r.sub(1)
        for wanting in (r, child):
            for call in (partial(wanting.take, 9), partial(wanting.until, b"\n", limit=90)):
                with pytest.raises(Underrun) as error:
                    call()
                assert error.value.at == (None if wanting is r else 1)
        return 1

    assert CompositeBuffer([b"abcd"]).parse(parser, limit=99) == 1


def test_of_a_varint_that_comes_byte_by_byte_only_its_last_byte_wakes_the_parser() -> None:
    for raw, options, most in (
        (b"\x80" * 9 + b"\x01", {}, 10),
        (b"\xff" * 2 + b"\x01", {}, 10),
        (b"\x80" * 4 + b"\x01", {"max_bytes": 5}, 5),
        (b"\x80" * 5, {"max_bytes": 5}, 5),
        (b"\x80" * 10, {"max_bytes": 12}, 10),
    ):
        runs: list[int] = []

        def parser(r: Reader, runs: list[int] = runs, options: dict[str, Any] = options) -> tuple[int, int]:
            runs.append(1)
            return r.u8(), r.varint(**options)

        b = CompositeBuffer([b"before"])
        b.skip(5)
        for byte in raw[:-1]:
            assert b.parse(parser, limit=99) is None
            b.append(bytes([byte]))
        assert b.parse(parser, limit=99) is None
        assert len(runs) == 1, "what came was not the end"
        b.append(raw[-1:])
        if raw[-1] < 0x80:
            assert b.parse(parser, limit=99) == (ord("e"), sum((c & 127) << 7 * k for k, c in enumerate(raw)))
        elif options.get("max_bytes") == most:
            with pytest.raises(FrameError, match="more than 5 bytes"):
                b.parse(parser, limit=99)
        else:
            assert b.parse(parser, limit=99) is None, "it has not more than 64 bits yet"
        assert len(runs) == 2


def test_a_literal_that_goes_beyond_the_limit_is_not_even_compared() -> None:
    for raw in (b"ab", b"abcd", b"abXd", b"Xbcd"):
        with pytest.raises(LimitExceeded):
            limited(CompositeBuffer([raw]), 3, methodcaller("expect", b"abcd"))


def test_of_two_limits_the_one_is_named_that_is_exceeded_first() -> None:
    b = CompositeBuffer([b"xxxxxxxxxx\n"])
    for of_message, of_line, named in ((5, 9, 5), (9, 5, 5), (5, 5, 5), (4, 5, 4), (6, 5, 5), (5, 4, 4)):
        for size in (of_message + 1, 11):
            some = CompositeBuffer([b[:size]])
            with pytest.raises(LimitExceeded) as error:
                limited(some, of_message, methodcaller("until", b"\n", limit=of_line))
            assert (error.value.limit, size) == (named, size)


def test_of_two_limits_that_are_exceeded_by_separators_of_two_lengths_one_is_named_whatever_has_come() -> None:
    """With two bytes there is room in the message for a LF alone, and none on the line; with three for nothing."""
    for size in (2, 3, 4):
        with pytest.raises(LimitExceeded) as error:
            limited(CompositeBuffer([b"xxxx"[:size]]), 3, methodcaller("until", b"\n", b"aab", limit=1))
        assert error.value.limit == 3


@given(
    raw=st.lists(st.sampled_from(b"\r\nab"), max_size=14).map(bytes),
    of_message=st.integers(0, 12), of_line=st.integers(0, 12), seps=st.lists(SEPARATORS, max_size=3),
)  # fmt: skip
def test_the_limit_that_is_named_does_not_depend_on_how_much_has_come(
    raw: bytes, of_message: int, of_line: int, seps: list[bytes]
) -> None:
    def use(r: Reader) -> SliceBuffer:
        return r.until(*seps, limit=of_line) if seps else r.line(limit=of_line)

    seen: list[Outcome] = []
    for size in range(len(raw) + 1):
        found = outcome(limited, CompositeBuffer([raw[:size]]), of_message, use)
        if found != (type(None), None):
            seen.append((LimitExceeded, found[1]) if found[0] is LimitExceeded else ("passed",))
    assert len(set(seen)) <= 1, "once it is decided, more bytes change nothing"


def test_every_underrun_of_a_reader_is_known_as_its_own_and_no_other() -> None:
    def parser(r: Reader) -> int:
        try:
            return r.u64()
        except Underrun as first:
            with pytest.raises(Underrun):
                r.u32()
            with pytest.raises(Underrun):
                r.sub(1).u16()
            raise first  # not the last one that failed

    def stranger(r: Reader) -> int:
        with pytest.raises(Underrun):
            r.u32()
        return r.sub(1).u16()

    b = CompositeBuffer([b"ab"])
    assert b.parse(parser, limit=8) is None
    with pytest.raises(FrameError, match="2 bytes were asked for, 1 are there"):
        b.parse(stranger, limit=8)
    b.append(b"cdefgh")
    assert b.parse(parser, limit=8) == int.from_bytes(b"abcdefgh")


SECOND_RUNS: Final[Sequence[tuple[Callable[[Reader], Any], bytes]]] = (
    (lambda r: r.until(b"\n", limit=9), b"a;b,c"),
    (lambda r: r.until(b";", limit=9), b"a"),
    (lambda r: r.line(limit=9), b"a;b,c"),
    (lambda r: r.sub(8).until(b",", limit=9), b"a;b"),
    (lambda r: (r.skip(2), r.until(b"\n", limit=9))[1], b"b,c"),  # type: ignore[func-returns-value]
    (lambda r: (r.u8(), r.seek(0), r.until(b"\n", limit=5))[2], b"a;b,c"),  # type: ignore[func-returns-value]
    (lambda r: (r.take(6), r.until(b",", limit=9))[1], b";"),
)


def test_what_parse_found_out_by_looking_on_is_used_for_the_same_search_alone() -> None:
    waiting: list[Callable[[Reader], Any]] = [
        lambda r: r.until(b"\n", limit=9),
        lambda r: r.take(6),
        lambda r: (r.skip(2), r.until(b";", limit=9)),  # type: ignore[func-returns-value]
    ]
    for (second, wanted), waits in product(SECOND_RUNS, waiting):
        runs = [waits, second]
        b = CompositeBuffer([b"a;b"])

        def parser(r: Reader, runs: list[Callable[[Reader], Any]] = runs) -> Any:
            return runs.pop(0)(r)

        assert b.parse(parser, limit=99) is None
        b.append(b",c")
        assert b.parse(parser, limit=99) is None
        b.append(b"\n;,")
        assert b.parse(parser, limit=99) == wanted


def test_a_child_is_bounded_by_itself_and_needs_no_limit() -> None:
    def parser(r: Reader) -> tuple[int, bytes]:
        child = r.sub(r.u8())
        with pytest.raises(Underrun):
            child.take(20)
        return child.varint(), child.take_bytes(child.remaining)

    b = CompositeBuffer([b"\x04\x81\x01", b"ab", b"more"])
    assert b.parse(parser, limit=5) == (0x81, b"ab")
    assert b == b"more"


class Watched(bytearray):
    """A bytearray of which one can tell whether it is still there."""


@pytest.mark.parametrize("name", ["u32", "uint", "varint", "take", "text", "expect", "until", "line", "seek", "sub"])
def test_an_error_that_was_dealt_with_keeps_no_memory_alive(name: str) -> None:
    """Its traceback has the frames of the read: an error in one of those would be a cycle, until gc runs."""
    failing: dict[str, tuple[Any, ...]] = {"expect": (b"\x80\x80\x80",), "until": (b"\n",)}
    gc.disable()
    try:
        memory = Watched(b"\x80\x80")
        watch = weakref.ref(memory)
        r = SliceBuffer(memory).reader()
        del memory
        r.peek(1)
        with contextlib.suppress(Underrun):
            if name in {"until", "line"}:
                read(r, name, *failing.get(name, ()), limit=9)
            elif name in {"u32", "varint"}:
                read(r, name)
            else:
                read(r, name, *failing.get(name, (3,)))
        assert watch() is not None
        del r
        assert watch() is None
    finally:
        gc.enable()


# -- many parts ----------------------------------------------------------------------------------------------


def test_reads_over_10_000_one_byte_parts_copy_nothing_and_lose_nothing() -> None:
    raw = bytes(k * 7 % 256 for k in range(10_000))
    for kind in ("bytes", "bytearray"):
        r = CompositeBuffer([MAKERS[kind](bytes([byte])) for byte in raw]).reader()
        with no_copy(strict=True):
            assert [r.u32() for _ in range(2_500)] == [value for (value,) in struct.iter_unpack(">I", raw)]


# -- the ways of the compiled build, which are in the source of both -----------------------------------------


@pytest.mark.skipif(COMPILED, reason="sets the interpreted build on the ways that the compiled one always goes")
@pytest.mark.parametrize("order", ORDERS)
def test_numbers_that_are_decoded_by_hand_are_the_same(order: ByteOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = bytes(range(200, 246))
    names = ["u16", "u32", "u64", "u16", "u32", "u64", "u16_le", "i32_be", "u24", "i64"]

    def numbers() -> list[int]:
        r = CompositeBuffer([raw[:3], raw[3:]]).reader(order)
        return [getattr(r, name)() for name in names]

    expected = numbers()
    monkeypatch.setattr("bytebufs.reader.COMPILED", True)
    assert numbers() == expected


def test_a_padded_varint_inside_one_part_is_an_error_only_if_it_must_be_minimal() -> None:
    r = SliceBuffer(b"\x81\x80\x00!").reader()
    with pytest.raises(FrameError, match="the varint is padded to 3 bytes"):
        r.varint(minimal=True)
    assert r.position == 0
    assert (r.varint(), r.position) == (1, 3)


def test_no_more_than_some_hundred_formats_are_remembered() -> None:
    for k in range(600):
        assert layout_of(f">{k}s").size == k
    assert layout_of("<H") is layout_of("<H")


def test_a_reader_shows_where_it_stands_and_what_comes_next() -> None:
    b = CompositeBuffer([b"abc", FakeFile(b"de"), b"x" * 50])
    r = b.reader("little")
    r.skip(1)
    assert repr(r) == "<Reader: at byte 1 of 55, little-endian>", "a file is not looked at"
    assert repr(r.sub(2)) == "<Reader: at byte 0 of 2, big-endian: b'bc'>".replace("big", "little")
    r.skip(2)
    assert repr(r) == f"<Reader: at byte 5 of 55, little-endian: {b'x' * 24!r}...>"
    child = r.limited(7)
    child.skip(2)
    assert repr(child) == "<Reader: at byte 7 of 7, little-endian>"
    closed: Reader = cast("Reader", b.parse(lambda r: r, limit=9))
    assert repr(closed) == "<Reader: closed>"
    b.skip(1)
    assert repr(r) == "<Reader: the buffer changed under it>"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_a_reader_is_not_copied(again: Callable[[Reader], object]) -> None:
    with pytest.raises(TypeError, match=r"^a Reader is not copied or pickled: make another with buffer\.reader\(\)$"):
        again(SliceBuffer(b"abc").reader())


# -- going on where a search stopped -------------------------------------------------------------------------

SEARCHES: Final[Mapping[str, Callable[[Reader], Any]]] = {
    "line": lambda r: r.line(limit=1 << 40),
    "until": lambda r: r.until(b"\r\n\r\n", limit=1 << 40),
    "until what is nearly there": lambda r: r.until(b"x" * 50 + b"!", limit=1 << 40),
}
"""What a live reader may be asked again and again, while no end comes."""

interpreted = pytest.mark.skipif(COMPILED, reason="counts lines, and compiled code has none: run on the pure build")


@interpreted
@pytest.mark.parametrize("names", [*[(name,) for name in SEARCHES], tuple(SEARCHES)], ids=" and ".join)
def test_a_live_reader_looks_at_each_byte_a_bounded_number_of_times(names: Sequence[str]) -> None:
    """By counted lines and bytes: as much for the last hundred bytes as for the first."""
    b = CompositeBuffer([b"."])
    r = b.reader()
    r.skip(1)
    works = []
    for _ in range(8):
        with counted() as work:
            for _ in range(100):
                b.append(b"x")
                for name in names:
                    with pytest.raises(Underrun):
                        SEARCHES[name](r)
        works.append(work.total)
    assert max(works[1:]) <= 1.1 * works[1]


@interpreted
@pytest.mark.parametrize("name", ["line", "until", "cstring"])
def test_bytes_that_were_at_hand_are_not_searched_each_time_that_more_come(name: str) -> None:
    part = b"x" * 5_000
    call = methodcaller(name, *([b"\n"] if name == "until" else []), limit=1 << 40)
    searched: list[str] = []

    def watch(frame: FrameType, event: str, callee: Any) -> None:
        if event == "c_call" and getattr(callee, "__self__", None) is part:
            searched.append(callee.__name__)

    live = CompositeBuffer([part])
    r = live.reader()
    parsed = CompositeBuffer([part])
    asks: list[Callable[[], Any]] = [lambda: outcome(call, r)[1], lambda: parsed.parse(call, limit=1 << 40)]
    before = sys.getprofile()
    for b, ask in zip((live, parsed), asks, strict=True):
        sys.setprofile(watch)
        try:
            for _ in range(2):  # what was written before, to whatever, has it looked at once more
                ask()
                b.append(b"x")
            assert "find" in searched
            searched.clear()
            for _ in range(3):
                b.append(b"x")
                ask()
            assert searched == []
            b.append(b"\n\0")
            assert bytes(ask()).rstrip(b"\n") == b"x" * 5_005
            assert searched == []
        finally:
            sys.setprofile(before)


def test_searches_in_turn_find_what_they_look_for() -> None:
    b = CompositeBuffer()
    r = b.reader()
    for byte in b"abc;def\r":
        b.append(bytes([byte]))
        for sep in (b"\r\n", b"\n", b"f\r\n"):
            with pytest.raises(Underrun):
                r.until(sep, limit=100)
    assert r.until(b";", limit=100) == b"abc"
    b.append(b"\n;xyz\r")
    b.append(b"\n")
    assert r.until(b"f\r\n", limit=100) == b"de"
    r.seek(2)
    assert r.until(b";", limit=100) == b"c"
    r.seek(0)
    assert r.until(b"\r\n", limit=100) == b"abc;def"
    assert r.until(b"\n", limit=100) == b";xyz\r"


@given(
    raw=st.lists(st.sampled_from(b"ab\r\n"), max_size=20).map(bytes),
    steps=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.booleans(), st.integers(0, 20)), max_size=20),
)
def test_a_search_that_goes_on_finds_what_a_new_one_does(raw: bytes, steps: list[tuple[int, int, bool, int]]) -> None:
    b = CompositeBuffer()
    r = b.reader()
    fed = 0
    for grow, which, goes_back, limit in steps:
        b.append(raw[fed : fed + grow])
        fed = min(len(raw), fed + grow)
        position = r.position
        new = b.reader()
        new.seek(position)
        sep = (b"\r\n", b"\n", b"aab", b"b", b"ab", b"bb\n")[which]
        for call in (methodcaller("until", sep, limit=limit), methodcaller("line", limit=limit)):
            assert outcome(call, r) == outcome(call, new)
            assert r.position == new.position
            if goes_back:
                r.seek(position)
                new.seek(position)


def test_a_search_that_failed_at_one_place_says_nothing_of_another() -> None:
    """Wherever it looked before, and whatever was written to since, a live reader finds what a new one does."""
    for writes, first, second in product(range(3), range(3), range(3)):
        b = CompositeBuffer([bytearray(b"....abc")])
        r = b.reader()
        r.seek(first)
        for _ in range(writes):
            with pytest.raises(Underrun):
                r.until(b"!", limit=99)
            b.write_at(3, b".")
        for at in (first, second):
            b.write_at(at, b"x")
        for at, sep in ((first, b"!"), (first, b"!"), (second + 1, b"x"), (first, b"x"), (0, b"x")):
            r.seek(at)
            new = b.reader()
            new.seek(at)
            call = methodcaller("until", sep, limit=99)
            assert outcome(call, r) == outcome(call, new), (writes, first, second, at, sep)


def test_a_write_through_the_buffer_is_seen_by_a_search_that_goes_on() -> None:
    """The buffer says so through the lease; a slice has no bytes to come, and is searched from the start each time."""
    memory = bytearray(b"abcd")
    b = CompositeBuffer([memory])
    r = b.reader()
    of_slice = SliceBuffer(memory).reader()
    for reader in (r, of_slice):
        with pytest.raises(Underrun):
            reader.until(b"c!", limit=9)
    memory[3:] = b"!"
    r._lease.writes += 1
    assert r.until(b"c!", limit=9) == b"ab"
    assert of_slice.until(b"c!", limit=9) == b"ab"


def test_a_literal_of_many_blocks_is_compared_block_by_block() -> None:
    literal = bytes(range(256)) * 1_000
    b = CompositeBuffer([literal[:100_000], literal[100_000:], b"rest"])
    r = b.reader()
    tracemalloc.start()
    try:
        with no_copy(strict=True):
            r.expect(literal)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert r.take_bytes(4) == b"rest"
    for at in (0, 65_535, 65_536, 255_999):
        wrong = bytearray(literal)
        wrong[at] ^= 1
        with pytest.raises(FrameError) as caught:
            SliceBuffer(bytes(wrong)).reader().expect(literal)
        assert caught.value.at == at
        assert repr(bytes(wrong[: at + 1])) in str(caught.value)


# -- numbers of others, and what a cut decides ----------------------------------------------------------------


def test_sizes_may_be_numbers_of_numpy() -> None:
    r = CompositeBuffer([b"\x05abc", b"defgh\n"]).reader()
    n: Any = np.int64
    assert r.varint(max_bytes=n(10)) == 5
    assert r.varint(max_bytes=n(1)) == ord("a")
    assert (bytes(r.take(n(1))), r.take_bytes(n(1)), r.text(n(1)), bytes(r.peek(n(1)))) == (b"b", b"c", "d", b"e")
    r.skip(n(1))
    assert (r.uint(n(1)), r.sub(n(1)).remaining, r.array("B", n(1)).tolist()) == (ord("f"), 1, [ord("h")])
    r.seek(n(9))
    assert r.line(limit=n(4)) == b""


def test_a_number_that_changes_the_buffer_is_noticed() -> None:
    class Meddling:
        def __index__(self) -> int:
            b.skip(1)
            return 1

    calls: dict[str, Callable[[Reader], object]] = {
        name: methodcaller(name, Meddling())
        for name in ("take", "peek", "take_bytes", "text", "skip", "seek", "sub", "uint")
    }
    calls["array"] = lambda r: r.array("B", Meddling())
    calls["varint"] = lambda r: r.varint(max_bytes=Meddling())
    for name, call in calls.items():
        b = CompositeBuffer([b"abc", b"def"])
        with pytest.raises(RuntimeError, match="changed under its reader"):
            call(b.reader())
        assert b == b"bcdef", name


def test_how_much_is_there_is_not_told_where_the_cut_decides() -> None:
    """On the very reader that parse gives. What is read as a whole has an end."""

    def parser(r: Reader) -> tuple[int, int, int]:
        sentence = r"^how much is there depends on how the bytes were cut: read what the message says, or sub\(n\)$"
        for _ in range(2):
            with pytest.raises(RuntimeError, match=sentence):
                _ = r.remaining
            with pytest.raises(RuntimeError, match=sentence):
                _ = r.at_end
            with pytest.raises(RuntimeError, match=sentence):
                r.take_rest()
        assert (r.position, r.limited(2).remaining) == (0, 2)
        child = r.sub(3)
        grandchild = child.sub(2)
        return child.remaining, grandchild.remaining, r.take(2).reader().remaining

    assert CompositeBuffer([b"abc", b"def"]).parse(parser, limit=10) == (1, 2, 2)
    assert CompositeBuffer([b"abc", b"def"]).reader().remaining == 6


# -- long ones ------------------------------------------------------------------------------------------------

LONG: Final = "naïve €𝄞 text, " * 20_000


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "gb18030", "punycode"]
)
@pytest.mark.parametrize("bom", [True, False])
def test_long_text_in_parts_is_that_of_bytes(encoding: str, bom: bool) -> None:
    raw = ("naïve" * 20_000 if encoding == "punycode" else LONG).encode(encoding)[
        0 if bom else 4 * (len(encoding) == 6) :
    ]
    b = CompositeBuffer([raw[at : at + 10_007] for at in range(0, len(raw), 10_007)])
    assert b.part_count > 2
    expected = str(raw, encoding)
    assert b.reader().text(len(raw), encoding) == expected
    assert b.decode(encoding) == expected


def test_errors_in_long_text_are_those_of_bytes() -> None:
    raw = bytearray(LONG.encode() * 2)
    raw[200_000:200_003] = b"\xff\xfe\xfd"
    b = CompositeBuffer([bytes(raw[:150_001]), bytes(raw[150_001:])])
    with pytest.raises(UnicodeDecodeError) as expected:
        str(raw, "utf-8")
    calls: list[Callable[[], str]] = [b.decode, lambda: b.reader().text(len(raw))]
    for call in calls:
        with pytest.raises(UnicodeDecodeError) as caught:
            call()
        assert str(caught.value).startswith(str(expected.value))
        assert caught.value.object == raw
    for errors in ("replace", "ignore", "backslashreplace", "surrogateescape"):
        assert b.decode(errors=errors) == str(raw, "utf-8", errors)
    for encoding in ("hex", "no such encoding"):
        with pytest.raises(LookupError):
            b.decode(encoding)


@pytest.mark.parametrize("typecode", "bBhHiIlLqQfd")
@pytest.mark.parametrize("order", ["big", "little"])
def test_long_arrays_in_parts_are_what_struct_unpacks(typecode: str, order: ByteOrder) -> None:
    count = 40_000
    sign = ">" if order == "big" else "<"
    values = [k % 100 for k in range(count)]
    raw = b"x" + struct.pack(f"{sign}{count}{typecode}", *values)
    b = CompositeBuffer(
        [raw[:70_001], bytearray(raw[70_001:])] if len(raw) > 70_001 else [raw[:99], bytearray(raw[99:])]
    )
    r = b.reader(order)
    r.u8()
    found = r.array(typecode, count)
    assert (found.typecode, found.tolist(), r.remaining) == (typecode, values, 0)
    assert r.array(typecode, 0) == array(typecode)


def test_a_long_literal_is_compared_block_by_block() -> None:
    literal = bytes(range(256)) * 1000
    b = CompositeBuffer([literal[:100_001], bytearray(literal[100_001:])])
    r = b.reader()
    r.expect(literal)
    assert r.remaining == 0
    for at in (0, 65_535, 65_536, 255_999):
        other = bytearray(literal)
        other[at] ^= 1
        r = CompositeBuffer([bytes(other[:99]), other[99:]]).reader()
        with pytest.raises(FrameError) as caught:
            r.expect(literal)
        assert (caught.value.at, r.position) == (at, 0)
        assert f"is expected, not {bytes(other[: at + 1])!r}" in str(caught.value)


def test_what_is_expected_is_held_against_what_is_at_hand() -> None:
    r = SliceBuffer(b"abcdef").reader()
    with pytest.raises(FrameError, match="'abd' is expected, not b'abc'"):
        r.expect(b"abd")
    r.expect(memoryview(b"abc"))
    assert r.position == 3


@pytest.mark.skipif(COMPILED, reason="compiled, Reader cannot be called, and parse() makes none over an empty buffer")
def test_a_reader_of_an_empty_composite_has_nothing_at_hand() -> None:
    r = Reader(CompositeBuffer(), Lease(), "big", 9)
    with pytest.raises(Underrun):
        r.u8()


def test_a_reader_is_made_by_a_buffer() -> None:
    make: Any = Reader
    sentence = r"^a Reader is made by a buffer: write SliceBuffer\(data\)\.reader\(\)$"
    for wrong in (), (b"x",), (SliceBuffer(b"x"),), (b"x", "little"), (b"x", None, "big", 9):
        with pytest.raises(TypeError, match=sentence):
            make(*wrong)
    with pytest.raises(TypeError, match=sentence):
        make(b"x", byteorder="little")


def test_a_reader_that_is_made_while_another_thread_drains_begins_nowhere() -> None:
    b = CompositeBuffer([b"abc", b"de"])
    b._index.head = 2  # and the window is not there yet
    assert b.reader()._begin_in_first(b._index, 9) is False
