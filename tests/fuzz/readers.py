"""Readers: a program of reads over a buffer in pieces gives what struct and bytes give, and never half a step."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from bytebufs import BytebufsError, FrameError, Reader, Underrun

from .inputs import Program, cut, joined
from .models import Model

_NUMBERS: Final = [
    (getattr(Reader, front + name + back), struct.Struct(order + code), front == "peek_")
    for name, code in zip(["u16", "u32", "u64", "i16", "i32", "i64", "f32", "f64"], "HIQhiqfd", strict=True)
    for back, order in (("_be", ">"), ("_le", "<"), ("", ">"))
    for front in ("", "peek_")
] + [(getattr(Reader, name), struct.Struct(code), False) for name, code in (("u8", "B"), ("i8", "b"))]
_SEPARATORS: Final = (b"\n", b"\r\n", b";", b"aab", b"\x00", b"aaaaaaaa")
_FORMATS: Final = ("", "<h", ">BH", "!3s", "<I2xb", ">d", "!BQ", "4s")
_ENCODINGS: Final = ("utf-8", "ascii", "latin-1", "utf-16-le")
_CODES: Final = "bBhHiIqQfd"


def _number(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    read, form, is_peek = _NUMBERS[program.below(len(_NUMBERS))]

    def wanted() -> Any:
        at = model.at
        [value] = form.unpack(model.take(form.size))
        model.at = at if is_peek else model.at
        return value

    return lambda: read(r), wanted


def _odd_number(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    choice = program.byte()
    size, is_signed = choice % 9 + 1, bool(choice & 64)
    if size == 3 and choice & 128:
        read = r.i24_le if is_signed else r.u24_le
        return read, lambda: int.from_bytes(model.take(3), "little", signed=is_signed)
    return (
        lambda: r.sint(size) if is_signed else r.uint(size),
        lambda: int.from_bytes(model.take(size), "big", signed=is_signed),
    )


def _bytes(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    size, kind = program.byte() % 40, program.below(5)

    def peeked() -> bytes:
        at = model.at
        try:
            return model.take(size)
        finally:
            model.at = at

    reads: list[Callable[[], bytes]] = [
        lambda: r.take_bytes(size),
        lambda: r.take(size).tobytes(),
        lambda: r.sub(size).take_rest().tobytes(),
        lambda: b"passed" * (r.skip(size) is None),  # type: ignore[func-returns-value]
        lambda: r.peek(size).tobytes(),
    ]
    if kind == 3:
        return reads[3], lambda: b"passed" * (len(model.take(size)) == size)
    return reads[kind], peeked if kind == 4 else lambda: model.take(size)


def _varint(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    options = program.byte()
    most, minimal = options % 10 + 1, bool(options & 64)
    if options & 128:
        return r.zigzag, lambda: _zigzag(model.varint())
    return lambda: r.varint(max_bytes=most, minimal=minimal), lambda: model.varint(most, minimal=minimal)


def _zigzag(value: int) -> int:
    return value // 2 if value % 2 == 0 else -(value + 1) // 2


def _until(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    kind, limit = program.byte(), program.byte() % 40
    if kind & 3 == 0:
        return lambda: r.line(limit=limit).tobytes(), lambda: model.until([b"\n", b"\r\n"], limit)
    if kind & 3 == 1:
        return lambda: r.cstring(limit=limit).tobytes(), lambda: model.until([b"\0"], limit)
    seps = [sep for number, sep in enumerate(_SEPARATORS) if kind >> number + 2 & 1] or [b"ab"]
    return lambda: r.until(*seps, limit=limit).tobytes(), lambda: model.until(seps, limit)


def _literal(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    literal = program.some(program.below(4))
    if program.byte() & 1:
        literal = model.left[: len(literal)]

    def wanted() -> None:
        left = model.left[: len(literal)]
        if not literal.startswith(left):
            raise FrameError("")
        model.take(len(literal))

    return lambda: r.expect(literal), wanted


def _struct(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    form = _FORMATS[program.below(len(_FORMATS))]
    return lambda: r.unpack(form), lambda: struct.unpack(form, model.take(struct.calcsize(form)))


def _array(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    code, count = _CODES[program.below(len(_CODES))], program.below(6)
    form = f">{count}{code}"
    return lambda: list(r.array(code, count)), lambda: list(struct.unpack(form, model.take(struct.calcsize(form))))


def _text(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    encoding, size = _ENCODINGS[program.below(len(_ENCODINGS))], program.byte() % 40

    def wanted() -> str:
        at = model.at
        try:
            return model.take(size).decode(encoding)
        except UnicodeDecodeError:
            model.at = at
            raise

    return lambda: r.text(size, encoding), wanted


def _seek(r: Reader, model: Model, program: Program) -> tuple[Callable[[], Any], Callable[[], Any]]:
    place = program.byte() % 80

    def wanted() -> None:
        if place > len(model.content):
            raise Underrun(place, len(model.content))
        model.at = place

    return lambda: r.seek(place), wanted


_STEPS: Final = (_number, _number, _odd_number, _bytes, _varint, _until, _literal, _struct, _array, _text, _seek)


def _result(call: Callable[[], Any]) -> object:
    """Return what a read gives, so that it compares, a NaN too, or the kind of error."""
    try:
        value = call()
        return value if type(value) is bytes or type(value) is int else repr(value)
    except Underrun as error:
        return Underrun, error.available
    except (BytebufsError, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError):
            return UnicodeDecodeError, error.start, error.end
        return type(error)


def readers(data: bytes) -> None:
    """Read the second part of an input by the first, with the model beside it; sometimes in what only a part shows."""
    program = Program(data)
    steps = program.some(program.below(32))
    content, pieces, kinds = cut(program)
    reader = joined(pieces).reader()
    model = Model(content)
    if kinds & 1:
        skipped = kinds * 3 % (len(content) + 1)
        reader.skip(skipped)
        reader = reader.sub(len(content) - skipped)
        model = Model(content[skipped:])
    program = Program(steps)
    while program.has_more:
        step = _STEPS[program.below(len(_STEPS))]
        read, wanted = step(reader, model, program)
        found, expected = _result(read), _result(wanted)
        assert found == expected, (step.__name__, found, expected, reader.position)
        assert reader.position == model.at, (step.__name__, reader.position, model.at)
        assert reader.remaining == len(model.left)
