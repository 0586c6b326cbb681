"""Composites that share their parts do what an input says, each step compared with what bytes do."""

from __future__ import annotations

import copy
import pickle
import struct
from collections.abc import Callable
from typing import Final, final

from bytebufs import BaseBuffer, CompositeBuffer, LimitExceeded, SliceBuffer, Underrun

from .inputs import Piece, Program, as_part

_MOST: Final = 300
"""Bytes that a composite is not let grow far beyond."""
_MOST_SLICES: Final = 6
_COALESCES_BELOW: Final = 8


@final
class State:
    """Three composites, the last of which joins small parts, slices that were taken of them, and what all should show.

    What is written to memory that several show is the matter of ``worlds``: here each byte stays what it was.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.buffers = [CompositeBuffer(), CompositeBuffer(), CompositeBuffer(coalesce_below=_COALESCES_BELOW)]
        self.wanted = [b"", b"", b""]
        self.slices: list[tuple[SliceBuffer, bytes]] = []

    def keep(self, taken: SliceBuffer, wanted: bytes) -> None:
        """Keep a slice, to see that it stays what it is."""
        assert taken.tobytes() == wanted, (taken, wanted)
        self.slices.append((taken, wanted))
        del self.slices[:-_MOST_SLICES]

    def window(self, size: int) -> tuple[int, int]:
        """Choose a range of so many bytes."""
        low, high = self.program.below(size + 1), self.program.below(size + 1)
        return min(low, high), max(low, high)

    def part(self) -> tuple[Piece, bytes]:
        """Choose something to put in, and what it shows."""
        kind = self.program.byte()
        if kind < 96 or (kind < 192 and not self.slices):
            piece = self.program.some(kind & 15)
            return as_part(piece, kind >> 4 & 3), piece
        if kind < 192:
            whole, content = self.slices[kind % len(self.slices)]
            low, high = self.window(len(content))
            return whole[low:high], content[low:high]
        number = kind % 3
        return self.buffers[number], self.wanted[number]

    def check(self, number: int) -> None:
        """Compare a composite with what it should show."""
        buffer, wanted = self.buffers[number], self.wanted[number]
        buffer._check()
        assert len(buffer) == len(wanted)
        assert buffer.tobytes() == wanted, (buffer.tobytes(), wanted)
        assert buffer.part_count == len(buffer.views())

    def check_all(self) -> None:
        """Compare all that there is."""
        for number in range(len(self.buffers)):
            self.check(number)
        for taken, wanted in self.slices:
            taken._check()
            assert taken.tobytes() == wanted


Step = Callable[[State, int], None]
"""A change of a composite, by its number; or a look at it."""


def _append(state: State, number: int) -> None:
    part, content = state.part()
    state.buffers[number].append(part)
    state.wanted[number] += content


def _append_left(state: State, number: int) -> None:
    part, content = state.part()
    state.buffers[number].appendleft(part)
    state.wanted[number] = content + state.wanted[number]


def _extend(state: State, number: int) -> None:
    found = [state.part() for _ in range(state.program.below(4))]
    state.buffers[number].extend(part for part, _ in found)
    state.wanted[number] += b"".join(content for _, content in found)  # all are looked at before the first is added


def _splice(state: State, number: int) -> None:
    low, high = state.window(len(state.wanted[number]))
    part, content = state.part()
    wanted = state.wanted[number]
    if low == high:
        state.buffers[number].insert(low, part)
    else:
        state.buffers[number].splice(low, high, part)
    state.wanted[number] = wanted[:low] + content + wanted[high:]


def _pack(state: State, number: int) -> None:
    buffer, value = state.buffers[number], state.program.byte() << 8 | state.program.byte()
    match state.program.below(6):
        case 0:
            buffer.pack("<HB", value, 7)
            state.wanted[number] += struct.pack("<HB", value, 7)
        case 1:
            buffer.pack_varint(value)
            state.wanted[number] += _varint(value)
        case 2:
            at = state.program.below(len(buffer) + 1)
            buffer.insert_varint(at, value)
            wanted = state.wanted[number]
            state.wanted[number] = wanted[:at] + _varint(value) + wanted[at:]
        case 3:
            buffer.pack_u24_le(value)
            state.wanted[number] += value.to_bytes(3, "little")
        case 4:
            buffer.pack_text("é;")
            state.wanted[number] += "é;".encode()
        case _:
            size = value % 9
            view = buffer.reserve(size)
            view[:] = bytes(range(size))
            state.wanted[number] += bytes(range(size))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _take(state: State, number: int) -> None:
    buffer, wanted = state.buffers[number], state.wanted[number]
    kind, size = state.program.byte(), state.program.byte()
    if size > len(wanted) and kind % 8 < 3:
        _assert_refused(buffer, kind % 8, size)
        return
    size = min(size, len(wanted)) if kind & 128 else size % (len(wanted) + 1)
    match kind % 8:
        case 0:
            state.keep(buffer.take(size), wanted[:size])
        case 1:
            assert buffer.take_bytes(size) == wanted[:size]
        case 2:
            buffer.skip(size)
        case 3:
            state.keep(buffer.take_at_most(size), wanted[:size])
        case 4:
            taken = buffer.take_part() if wanted else buffer.take_at_most(1)
            size = len(taken)
            assert bool(size) == bool(wanted)
            state.keep(taken, wanted[:size])
        case 5:
            buffer.truncate(size)
            state.wanted[number] = wanted[:size]
            return
        case 6:
            size = len(wanted)
            state.keep(buffer.take_all(), wanted)
        case _:
            size = len(wanted)
            buffer.clear()
    state.wanted[number] = wanted[size:]


def _assert_refused(buffer: CompositeBuffer, kind: int, size: int) -> None:
    try:
        (buffer.take, buffer.take_bytes, buffer.skip)[kind](size)
    except Underrun as error:
        assert (error.requested, error.available) == (size, len(buffer))
        return
    raise AssertionError("more was taken than there is")


def _take_until(state: State, number: int) -> None:
    buffer, wanted = state.buffers[number], state.wanted[number]
    sep = state.program.some(state.program.below(3) + 1) or b";"
    limit, keepends = state.program.byte(), bool(state.program.byte() & 1)
    at = wanted.find(sep)
    try:
        taken = buffer.take_until(sep, limit=limit, keepends=keepends)
    except LimitExceeded:
        assert at > limit or (at < 0 and len(wanted) > limit)
        return
    if taken is None:
        assert at < 0
        return
    assert 0 <= at <= limit
    end = at + len(sep)
    state.keep(taken, wanted[: end if keepends else at])
    state.wanted[number] = wanted[end:]


def _rearrange(state: State, number: int) -> None:
    buffer, wanted = state.buffers[number], state.wanted[number]
    match state.program.below(6):
        case 0:
            low, high = state.window(len(wanted))
            buffer.consolidate(low, high)
        case 1:
            buffer.compact()
        case 2:
            state.keep(buffer.freeze(), wanted)
        case 3:
            state.buffers[(number + 1) % 2] = copy.copy(buffer)
            state.wanted[(number + 1) % 2] = wanted
        case 4:
            restored = pickle.loads(pickle.dumps(buffer))
            assert restored == wanted
        case _:
            other = (number + state.program.byte()) % 3
            state.buffers[number], state.buffers[other] = state.buffers[other], buffer
            state.wanted[number], state.wanted[other] = state.wanted[other], wanted


def _slice(state: State, number: int) -> None:
    low, high = state.window(len(state.wanted[number]))
    state.keep(state.buffers[number][low:high], state.wanted[number][low:high])


def _search(state: State, number: int) -> None:
    buffer, wanted = _shown(state, number)
    needle = state.program.some(state.program.below(4))
    if state.program.byte() & 1:
        low, high = state.window(len(wanted))
        needle = wanted[low:high][:9]
    low, high = state.window(len(wanted))
    assert buffer.find(needle, low, high) == wanted.find(needle, low, high)
    assert buffer.rfind(needle, low, high) == wanted.rfind(needle, low, high)
    assert buffer.startswith(needle, low) == wanted.startswith(needle, low)
    assert buffer.endswith(needle) == wanted.endswith(needle)
    if needle:
        assert buffer.count(needle, low, high) == wanted.count(needle, low, high)
        assert [one.tobytes() for one in buffer.split(needle)] == wanted.split(needle)
        assert [one.tobytes() for one in buffer.rpartition(needle)] == list(wanted.rpartition(needle))
        assert buffer.strip(needle).tobytes() == wanted.strip(needle)
    assert [one.tobytes() for one in buffer.splitlines()] == wanted.splitlines()


def _compare(state: State, number: int) -> None:
    buffer, wanted = _shown(state, number)
    other, content = _shown(state, state.program.below(3))
    assert (buffer == other) == (wanted == content)
    assert (buffer < content) == (wanted < content)
    assert (buffer >= other) == (wanted >= content)
    if wanted:
        at = state.program.below(len(wanted))
        assert buffer[at] == wanted[at]
        assert buffer[at - len(wanted)] == wanted[at]
    assert buffer.hex() == wanted.hex()
    low, high = state.window(len(wanted))
    into = bytearray(high - low)
    assert buffer.copy_into(into, low, high) == high - low
    assert into == wanted[low:high]


def _shown(state: State, number: int) -> tuple[BaseBuffer, bytes]:
    """Return a composite, or sometimes a slice, and what it shows."""
    if state.slices and state.program.byte() & 1:
        return state.slices[number % len(state.slices)]
    return state.buffers[number], state.wanted[number]


_STEPS: Final[tuple[Step, ...]] = (
    _append, _append, _append, _append_left, _extend, _splice, _splice, _pack, _take, _take, _take_until, _rearrange,
    _slice, _slice, _search, _compare,
)  # fmt: skip


def tables(data: bytes) -> None:
    """Do what an input says: its bytes are steps and what these are to do."""
    program = Program(data)
    state = State(program)
    while program.has_more:
        code = program.byte()
        number = code // len(_STEPS) % 3
        if len(state.wanted[number]) > _MOST:
            state.buffers[number].truncate(_MOST // 4)
            state.wanted[number] = state.wanted[number][: _MOST // 4]
        _STEPS[code % len(_STEPS)](state, number)
        state.check(number)
    state.check_all()
