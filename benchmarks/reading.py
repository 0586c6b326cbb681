"""Read numbers one after the other, against ``struct.unpack_from`` on bytes that lie flat in memory.

The parts are cut so that some numbers lie across a seam. The rival always has flat bytes: what it would cost him to get
them is left out.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache, partial
from struct import Struct
from typing import Final

from bytebufs import CompositeBuffer, Reader

from . import _layouts
from ._harness import OURS, Cell, Contender, Goal, by_build, cost_of, size_name

__all__ = ["plan"]

FORMATS: Final = {"u8": Struct("B"), "u16": Struct(">H"), "u32": Struct(">I"), "u64": Struct(">Q")}
READS: Final[dict[str, Callable[[Reader], Callable[[], int]]]] = {
    "u8": lambda reader: reader.u8,
    "u16": lambda reader: reader.u16,
    "u32": lambda reader: reader.u32,
    "u64": lambda reader: reader.u64,
    "varint": lambda reader: reader.varint,
}
PART: Final = 16 << 10

FLAT: Final = "struct.unpack_from"
LOOP: Final = "written-out loop"
REFERENCE: Final = "reference"

_COMPILED_BOUNDS: Final = {"u8": (0.5, 0.5), "u16": (0.6, 0.6), "u32": (0.6, 0.6), "u64": (1.0, 1.2)}
"""The most that a read may cost against the rival, over bytes and over other memory."""


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    part, count = (256, 2) if quick else (PART, 16)
    return [
        partial(_cell, kind, memory, size, part * count)
        for memory in _layouts.KINDS
        for size in (part * count, part)
        for kind in READS
    ]


def _cell(kind: str, memory: str, part: int, nbytes: int) -> Cell:
    values, data = _numbers(kind, nbytes)
    is_whole = part == nbytes
    buffer = _layouts.build(memory, [data] if is_whole else _layouts.split(data, part, first=part - 1))
    contenders = [Contender("Reader", OURS, partial(_by_reader, buffer, READS[kind], len(values)))]
    contenders += _varint_rivals(data) if kind == "varint" else _fixed_rivals(FORMATS[kind], data)
    return Cell(
        "read",
        {"number": kind, "memory": memory, "layout": "1 part" if is_whole else f"{size_name(part)} parts"},
        "number",
        len(values),
        contenders,
        [_goal(kind, memory)],
        check=partial(_check, buffer, READS[kind], values),
    )


def _goal(kind: str, memory: str) -> Goal:
    elsewhere = memory != "bytes"
    pure = 4.5 if elsewhere else 2
    if kind == "varint":
        return cost_of("Reader", LOOP, by_build(compiled=0.25, pure=pure))
    return cost_of("Reader", FLAT, by_build(compiled=_COMPILED_BOUNDS[kind][elsewhere], pure=pure))


def _check(buffer: CompositeBuffer, read_of: Callable[[Reader], Callable[[], int]], values: list[int]) -> None:
    reader = buffer.reader()
    read = read_of(reader)
    assert [read() for _ in values] == values
    assert reader.remaining == 0


@lru_cache(maxsize=len(READS))
def _numbers(kind: str, nbytes: int) -> tuple[list[int], bytes]:
    """Return numbers and the bytes that hold them."""
    noise = random.Random(3)
    if kind == "varint":
        # Of 1 to 32 bits, each as likely: lengths, tags and counters of 1 to 5 bytes.
        values = [noise.getrandbits(noise.randint(1, 32)) for _ in range(nbytes // 4)]
        return values, b"".join(map(_varint, values))
    layout = FORMATS[kind]
    data = noise.randbytes(nbytes)
    return [value for (value,) in layout.iter_unpack(data)], data


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


# -- ours ----------------------------------------------------------------------------------------------------


def _by_reader(
    buffer: CompositeBuffer, read_of: Callable[[Reader], Callable[[], int]], count: int
) -> Callable[[], None]:
    def action() -> None:
        read = read_of(buffer.reader())
        for _ in range(count):
            read()

    return action


# -- rivals --------------------------------------------------------------------------------------------------


def _fixed_rivals(layout: Struct, data: bytes) -> list[Contender]:
    rivals = [Contender(FLAT, "rival", lambda: partial(_by_struct, layout, data))]
    if layout.size == 1:
        rivals.append(Contender("data[at]", REFERENCE, lambda: partial(_by_index, data)))
    else:
        rivals.append(Contender("int.from_bytes", REFERENCE, lambda: partial(_by_int, layout.size, data)))
    return rivals


def _by_struct(layout: Struct, data: bytes) -> None:
    unpack = layout.unpack_from
    size = layout.size
    at = 0
    end = len(data)
    while at < end:
        (_,) = unpack(data, at)
        at += size


def _by_index(data: bytes) -> None:
    at = 0
    end = len(data)
    while at < end:
        _ = data[at]
        at += 1


def _by_int(size: int, data: bytes) -> None:
    at = 0
    end = len(data)
    while at < end:
        stop = at + size
        int.from_bytes(data[at:stop], "big")
        at = stop


def _varint_rivals(data: bytes) -> list[Contender]:
    return [
        Contender(LOOP, "rival", lambda: partial(_by_loop, data)),
        Contender("function", REFERENCE, lambda: partial(_by_function, data)),
    ]


def _by_loop(data: bytes) -> None:
    at = 0
    end = len(data)
    while at < end:
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7


def _by_function(data: bytes) -> None:
    at = 0
    end = len(data)
    while at < end:
        _, at = _decode(data, at)


def _decode(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
