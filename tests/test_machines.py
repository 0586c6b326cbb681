"""State machines: composites and slices that pass parts to one another, against a model made of plain bytes.

The model knows of memory (a shadow of it, in cells that several buffers may show), of runs of it, and of one rule:
a run that goes on where the last one stops, in the same owner and with the same writability, extends that. From this
follows all that a buffer shows: its bytes, its parts, where they lie, and what they keep alive. After each step every
live buffer is compared with the model, byte by byte and part by part, without touching what it has cached.
"""

from __future__ import annotations

import contextlib
import copy
import mmap
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bytebufs import BaseBuffer, CompositeBuffer, LimitExceeded, Reader, SliceBuffer, Underrun, copy_audit, no_copy
from bytebufs._core.table import Table

from .conftest import MACHINE_EXAMPLES, PROFILE
from .layouts import FakeFile, address, anonymous_map

T = TypeVar("T")

# -- the model -----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Storage:
    """An object that holds memory, and a shadow of its content. A copy that the library made has no `real`."""

    real: Any
    shadow: bytearray
    mapped: bool = False
    place: int | None = None
    reserved: memoryview | None = None  # what `reserve` gave out: as long as it is held, the bytes stay here

    def __post_init__(self) -> None:
        if self.real is not None and not isinstance(self.real, FakeFile):
            self.place = address(self.real)

    @property
    def writable(self) -> bool:
        return isinstance(self.real, (bytearray, mmap.mmap, array))

    @property
    def searchable(self) -> bool:
        """Whether two exports of it are one owner."""
        return not isinstance(self.real, array)


@dataclass(frozen=True)
class Run:
    """Bytes `start` to `stop` of a storage. Runs with the same `owner` may merge."""

    storage: Storage
    owner: object
    writable: bool
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Run:
        return Run(self.storage, self.owner, self.writable, self.start + start, self.start + stop)

    def goes_on(self, left: Run) -> bool:
        return left.owner is self.owner and left.writable == self.writable and left.stop == self.start


def run_of(storage: Storage, start: int = 0, stop: int | None = None, *, writable: bool | None = None) -> Run:
    owner = storage if storage.searchable else object()
    end = len(storage.shadow) if stop is None else stop
    return Run(storage, owner, storage.writable if writable is None else writable, start, end)


def merge(runs: Sequence[Run]) -> list[Run]:
    """Apply the one rule. Empty runs are dropped."""
    merged: list[Run] = []
    for run in runs:
        if merged and run.goes_on(merged[-1]):
            merged[-1] = Run(run.storage, run.owner, run.writable, merged[-1].start, run.stop)
        elif len(run):
            merged.append(run)
    return merged


def cut(runs: Sequence[Run], start: int, stop: int) -> list[Run]:
    found, at = [], 0
    for run in runs:
        low, high = max(start - at, 0), min(stop - at, len(run))
        if low < high:
            found.append(run.part(low, high))
        at += len(run)
    return found


def size_of(runs: Sequence[Run]) -> int:
    return sum(map(len, runs))


def content(runs: Sequence[Run]) -> bytes:
    return b"".join([run.storage.shadow[run.start : run.stop] for run in runs])


def cells(runs: Sequence[Run]) -> list[tuple[Storage, int]]:
    return [(run.storage, at) for run in runs for at in range(run.start, run.stop)]


def held(runs: Sequence[Run], *, mapped: bool) -> int:
    storages = {identity(run.storage): run.storage for run in runs if run.storage.mapped == mapped}
    return sum(len(storage.shadow) for storage in storages.values())


def identity(storage: Storage) -> object:
    """What tells a storage from others: the real object, or, of a single byte, where it lies.

    CPython mostly has only one ``bytes`` object for each, but not always: ``int.to_bytes`` makes a new one before 3.15.
    """
    if len(storage.shadow) == 1 and storage.reserved is None and isinstance(storage.real, bytes | None):
        return "byte", storage.place
    return id(storage if storage.real is None else storage.real)


def snapshot(runs: Sequence[Run]) -> Run:
    return run_of(Storage(None, bytearray(content(runs))))


def compacted(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """Return the runs with mostly wasted storages rewritten, and the bytes that this lets go of."""
    shown: dict[int, int] = {}
    for run in runs:
        shown[id(run.storage)] = shown.get(id(run.storage), 0) + len(run)
    wasteful = {
        id(run.storage): len(run.storage.shadow)
        for run in runs
        if not run.storage.mapped
        and run.storage.reserved is None
        and len(run.storage.shadow) > 2 * shown[id(run.storage)] + 512
    }
    rewritten: list[Run] = []
    for waste, group in groupby(runs, lambda run: id(run.storage) in wasteful):
        neighbours = list(group)
        rewritten += [snapshot(neighbours)] if waste else neighbours
    return rewritten, sum(wasteful.values()) - sum(shown[key] for key in wasteful)


def consolidated(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """Return the runs with neighbours joined, and how many bytes are copied. What is reserved stays apart."""
    joined: list[Run] = []
    copied = 0
    for apart, group in groupby(runs, lambda run: run.storage.reserved is not None):
        neighbours = list(group)
        if apart or len(neighbours) == 1:
            joined += neighbours
        else:
            joined.append(snapshot(neighbours))
            copied += size_of(neighbours)
    return joined, copied


def sealed(runs: Sequence[Run]) -> list[Run]:
    """Make every run read-only."""
    return merge(
        [
            Run(run.storage, run.owner if run.storage.searchable else object(), False, run.start, run.stop)
            if run.writable
            else run
            for run in runs
        ]
    )


@dataclass(eq=False)
class Shown:
    """A buffer and what it should show."""

    real: Any
    runs: list[Run]
    below: int = 0
    block: Storage | None = None
    used: int = 0
    packed: Storage | None = None

    def __len__(self) -> int:
        return size_of(self.runs)

    def append(self, runs: Sequence[Run]) -> int:
        """Add runs at the end and return how many bytes are copied for it."""
        if not self.below:
            self.runs = merge([*self.runs, *runs])
            return 0
        added: list[Run] = []
        copied = 0
        left = self.runs[-1] if self.runs else None
        for run in runs:
            if len(run) < self.below and (left is None or not run.goes_on(left)):
                added.append(self.into_block(content([run])))
                copied += len(run)
                left = None
            else:
                added.append(run)
                left = run
        self.runs = merge([*self.runs, *added])
        return copied

    def into_block(self, data: bytes) -> Run:
        if self.block is None or len(data) > len(self.block.shadow) - self.used:
            self.block = Storage(None, bytearray(max(4096, 4 * self.below)))
            self.used = 0
        start = self.used
        self.used += len(data)
        self.block.shadow[start : self.used] = data
        return run_of(self.block, start, self.used)

    def pack(self, data: bytes) -> None:
        """Add few bytes: as a `bytes` object of their own, which grows to a header's size, then in the block."""
        last = self.runs[-1] if self.runs else None
        if last is not None and last.storage is self.packed and self.is_whole(last):
            if len(last.storage.shadow) + len(data) <= HEADER:
                self.packed = Storage(None, last.storage.shadow + data)
                self.runs[-1] = run_of(self.packed, last.start)
                return
        elif last is None or last.storage is not self.block:
            self.packed = Storage(None, bytearray(data))
            self.runs = [*self.runs, run_of(self.packed)]
            return
        self.runs = merge([*self.runs, self.into_block(data)])

    def is_whole(self, last: Run) -> bool:
        """Whether the last entry is all of its owner. Where the front is inside of it, that is the table's choice."""
        is_shown = last.start == 0 and last.stop == len(last.storage.shadow)
        return is_shown or isinstance(self.real._index.last_entry(), bytes)

    def replace(self, start: int, stop: int, runs: Sequence[Run]) -> None:
        self.runs = merge([*cut(self.runs, 0, start), *runs, *cut(self.runs, stop, len(self))])


# -- what is drawn -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FromEnd:
    """A position that is only known once the buffer is: so many bytes before its end."""

    back: int


Errors = set[type[Exception]]

POSITIONS: Final[st.SearchStrategy[Any]] = st.one_of(
    st.integers(0, 12),
    st.builds(FromEnd, st.integers(-2, 4)),
    st.integers(-2, 300),
    st.sampled_from([np.int64(2), np.uint8(5), True, 2**70, -(2**70), 2**31, 1.0, 2.5, "1", None, np.float32(1)]),
)
"""Mostly right, sometimes beyond the limits, sometimes no number at all."""

DATA: Final = st.lists(st.sampled_from(b"aabb\r\n"), max_size=14).map(bytes)
LETTERS: Final = st.lists(st.sampled_from(b"abc"), max_size=6).map(bytes)
"""What is written over memory: it never makes a separator out of bytes that `take_until` has already looked at."""

KINDS: Final = ("bytes", "bytearray", "map", "array", "lazy")
PARTS: Final = st.tuples(
    st.sampled_from(["whole", "piece", "piece", "slice", "slice", "composite", "bytes", "bad"]),
    st.integers(0, 30),
    st.integers(0, 20),
    st.integers(0, 20),
    st.booleans(),
)
"""What may be put into a composite: kind, which one, two bounds, and whether read-only."""

BAD_PARTS: Final = ("a str", "", 5, None, 1.5, [b"a"], memoryview(b"abcdef")[::2], np.arange(9).reshape(3, 3).T)

WHICH: Final = st.integers(0, 30)
SEPARATORS: Final = st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b"a\nb"])

LINE_LIMIT: Final = 20
TAKES: Final = [lambda r, n=n: r.take(n) for n in range(31)]
"""Parsers that are the same each time, so that what they wait for is remembered."""


def take_a_line(r: Reader) -> SliceBuffer:
    return r.until(b"\n", limit=LINE_LIMIT)


MOST_BYTES: Final = 3000
HEADER: Final = 64
"""Up to which what is packed is a `bytes` object of its own."""
MOST_SLICES: Final = 10


def resolved(position: Any, size: int) -> Any:
    return size - position.back if isinstance(position, FromEnd) else position


def number_errors(*positions: Any) -> Errors:
    """Return what sizes and positions by themselves are refused with."""
    errors: Errors = set()
    for position in positions:
        if not isinstance(position, (int, np.integer)):
            errors.add(TypeError)
        elif position < 0:
            errors.add(ValueError)
    return errors


def range_errors(start: Any, stop: Any, size: int) -> Errors:
    """Return what a range that does not clamp is refused with."""
    errors = number_errors(start, stop)
    if not errors:
        if start > size or stop > size:
            errors.add(IndexError)
        elif start > stop:
            errors.add(ValueError)
    return errors


@contextlib.contextmanager
def undisturbed(buffer: BaseBuffer) -> Iterator[None]:
    """Put back what looking things up has cached, so that the next step meets what the last one left."""
    table = buffer._source
    if not isinstance(table, Table):
        yield
        return
    ends, known, last = table.ends, len(table.ends), table.last
    yield
    assert table.ends is ends
    del ends[known:]
    table.last = last


# -- the machine ---------------------------------------------------------------------------------------------


class Buffers(RuleBasedStateMachine):
    """Three composites (one coalesces), some slices, and the memory they show."""

    def __init__(self) -> None:
        super().__init__()
        self.storages: list[Storage] = []
        self.composites = [
            Shown(CompositeBuffer(), []),
            Shown(CompositeBuffer(), []),
            Shown(CompositeBuffer(coalesce_below=3), [], below=3),
        ]
        self.slices: list[Shown] = []
        self.reserved: list[Storage] = []

    @initialize(data=DATA)
    def begin(self, data: bytes) -> None:
        for kind in KINDS:
            self.new_memory(data + b"ab\n", kind, 1)

    # -- making what the steps work on

    @rule(data=DATA.filter(bool), kind=st.sampled_from(KINDS), times=st.sampled_from([1, 1, 1, 300]))
    def new_memory(self, data: bytes, kind: str, times: int) -> None:
        """Own some memory; some of it is large enough that showing little of it is waste."""
        data = data * times if len(data) * times < MOST_BYTES else data
        make: dict[str, Callable[[bytes], Any]] = {
            "bytes": lambda data: bytes(bytearray(data)),  # a new object, even of one byte
            "bytearray": bytearray,
            "map": anonymous_map,
            "array": lambda data: array("B", data),
            "lazy": lambda data: FakeFile(data, searchable=len(data) % 2 == 0),
        }
        self.storages.append(Storage(make[kind](data), bytearray(data), mapped=kind in {"map", "lazy"}))

    def composite(self, which: int) -> Shown:
        return self.composites[which % len(self.composites)]

    def buffer(self, which: int) -> Shown:
        everything = [*self.composites, *self.slices]
        return everything[which % len(everything)]

    def keep(self, real: object, runs: Sequence[Run]) -> None:
        assert type(real) is SliceBuffer
        self.slices.append(Shown(real, list(runs)))
        if len(self.slices) > MOST_SLICES:
            del self.slices[0]

    def part(self, drawn: tuple[str, int, int, int, bool]) -> tuple[Any, list[Run], Errors]:
        """Return something to put into a composite, what it shows, and the errors it gives."""
        kind, which, low, high, readonly = drawn
        storage = self.storages[which % len(self.storages)]
        if kind == "slice" and self.slices:
            shown = self.slices[which % len(self.slices)]
            return shown.real, shown.runs, set()
        if kind == "composite":
            shown = self.composite(which)
            return shown.real, shown.runs, set()
        if kind == "bytes":
            data = b"abcdefgh"[low % 8 : high % 8]
            return data, [run_of(Storage(data, bytearray(data)))] if data else [], set()
        if kind == "bad":
            return BAD_PARTS[which % len(BAD_PARTS)], [], {TypeError}
        if kind == "piece" and isinstance(storage.real, (bytes, bytearray, mmap.mmap)):
            view = memoryview(storage.real)[low:high]
            writable = storage.writable and not readonly
            run = run_of(storage, min(low, len(storage.shadow)), 0, writable=writable)
            run = Run(storage, run.owner, writable, run.start, run.start + len(view))
            return view.toreadonly() if readonly else view, [run] if len(run) else [], set()
        return storage.real, [run_of(storage)], set()

    def attempt(self, call: Callable[[], T], errors: Errors) -> T | None:
        """Make a call that copies nothing, or is refused with one of the errors."""
        with no_copy(strict=True):
            if not errors:
                return call()
            with pytest.raises(tuple(errors)) as caught:
                call()
        assert type(caught.value) in errors
        return None

    # -- building

    def added(self, target: Shown, call: Callable[[], object], runs: Sequence[Run], errors: Errors) -> None:
        """Append in the model and for real, and compare what was copied into a tail block."""
        if errors:
            self.attempt(call, errors)
            return
        with copy_audit() as audit:
            call()
        assert audit.by_reason == ({"coalesce": copied} if (copied := target.append(runs)) else {})

    @rule(which=WHICH, drawn=PARTS, add=st.booleans())
    def append(self, which: int, drawn: tuple[str, int, int, int, bool], add: bool) -> None:
        target = self.composite(which)
        part, runs, errors = self.part(drawn)
        if len(target) + size_of(runs) <= MOST_BYTES:
            call = target.real.__iadd__ if add else target.real.append
            self.added(target, lambda: call(part), runs, errors)

    @rule(which=WHICH, several=st.lists(PARTS, max_size=4))
    def extend(self, which: int, several: list[tuple[str, int, int, int, bool]]) -> None:
        """Every part is looked at before the first is added."""
        target = self.composite(which)
        found = [self.part(drawn) for drawn in several]
        runs = [run for _, runs, _ in found for run in runs]
        errors = {error for _, _, errors in found for error in errors}
        if len(target) + size_of(runs) <= MOST_BYTES:
            self.added(target, lambda: target.real.extend(part for part, _, _ in found), runs, errors)

    @rule(which=WHICH, drawn=PARTS)
    def appendleft(self, which: int, drawn: tuple[str, int, int, int, bool]) -> None:
        target = self.composite(which)
        part, runs, errors = self.part(drawn)
        if len(target) + size_of(runs) <= MOST_BYTES:
            self.attempt(lambda: target.real.appendleft(part), errors)
            target.replace(0, 0, runs)

    @rule(which=WHICH, start=POSITIONS, stop=POSITIONS, drawn=PARTS, insert=st.booleans(), cut_out=st.booleans())
    def splice(
        self, which: int, start: Any, stop: Any, drawn: tuple[str, int, int, int, bool], insert: bool, cut_out: bool
    ) -> None:
        target = self.composite(which)
        start = resolved(start, len(target))
        stop = start if insert else resolved(stop, len(target))
        part, runs, errors = (b"", list[Run](), set[type[Exception]]()) if cut_out else self.part(drawn)
        if len(target) + size_of(runs) > MOST_BYTES:
            return
        errors = errors | range_errors(start, stop, len(target))
        if cut_out:
            call = lambda: target.real.splice(start, stop)
        elif insert:
            call = lambda: target.real.insert(start, part)
        else:
            call = lambda: target.real.splice(start, stop, part)
        if not errors and start == len(target):
            self.added(target, call, runs, errors)
        else:
            self.attempt(call, errors)
            if not errors:
                target.replace(int(start), int(stop), runs)

    @rule(which=WHICH, data=LETTERS, times=st.sampled_from([1, 1, 300]))
    def pack(self, which: int, data: bytes, times: int) -> None:
        """What is longer than a header shares the block that small parts are copied to."""
        target = self.composite(which)
        data *= times
        if len(target) + len(data) <= MOST_BYTES:
            if len(data) > 1024:
                target.runs = merge([*target.runs, run_of(Storage(None, bytearray(data)))])
            elif data:
                target.pack(data)
            self.attempt(lambda: target.real.pack(f">{len(data)}s", data), set())

    @rule(which=WHICH, at=POSITIONS, value=st.sampled_from([0, 127, 300, 2**40]))
    def insert_varint(self, which: int, at: Any, value: int) -> None:
        target = self.composite(which)
        at = resolved(at, len(target))
        data = bytearray()
        while value > 127:
            data.append(value & 127 | 128)
            value >>= 7
        data.append(value)
        number = sum((byte & 127) << 7 * i for i, byte in enumerate(data))
        errors = range_errors(at, at, len(target))
        if len(target) + len(data) <= MOST_BYTES:
            call = lambda: target.real.insert_varint(at, number)
            if not errors and at == len(target):
                self.added(target, call, [run_of(Storage(None, data))], errors)
            else:
                self.attempt(call, errors)
                if not errors:
                    target.replace(int(at), int(at), [run_of(Storage(None, data))])

    @rule(which=WHICH, n=POSITIONS)
    def reserve(self, which: int, n: Any) -> None:
        target = self.composite(which)
        n = resolved(n, 9)
        errors = number_errors(n)
        if errors or n <= 1000:
            view = self.attempt(lambda: target.real.reserve(n), errors)
            if view is not None and len(view):
                self.reserved.append(Storage(None, bytearray(len(view)), place=address(view), reserved=view))
                target.runs = merge([*target.runs, run_of(self.reserved[-1])])

    @rule(which=WHICH, at=WHICH, data=LETTERS)
    def fill_in(self, which: int, at: int, data: bytes) -> None:
        """Write to a reserved place, wherever its bytes have gone since."""
        if self.reserved:
            storage = self.reserved[which % len(self.reserved)]
            assert storage.reserved is not None
            data = data[: max(0, len(storage.shadow) - at)]
            storage.reserved[at : at + len(data)] = data
            storage.shadow[at : at + len(data)] = data

    @rule(which=WHICH)
    def release(self, which: int) -> None:
        if self.reserved:
            self.reserved.pop(which % len(self.reserved)).reserved = None

    # -- consuming

    @rule(which=WHICH, n=POSITIONS, how=st.sampled_from(["take", "take", "take_at_most", "skip"]))
    def take(self, which: int, n: Any, how: str) -> None:
        target = self.composite(which)
        n = resolved(n, len(target))
        errors = number_errors(n)
        if not errors and how != "take_at_most" and n > len(target):
            errors.add(Underrun)
        taken = self.attempt(lambda: getattr(target.real, how)(n), errors)
        if not errors:
            front = cut(target.runs, 0, int(n))
            target.replace(0, size_of(front), [])
            if how != "skip":
                self.keep(taken, front)

    @rule(which=WHICH, n=st.integers(0, 30))
    def take_bytes(self, which: int, n: int) -> None:
        target = self.composite(which)
        if n > len(target):
            self.attempt(lambda: target.real.take_bytes(n), {Underrun})
            return
        front = cut(target.runs, 0, n)
        with no_copy():
            taken = target.real.take_bytes(n)
        assert taken == content(front)
        target.replace(0, n, [])

    @rule(which=WHICH)
    def take_part(self, which: int) -> None:
        target = self.composite(which)
        shown = target.real.first()
        assert shown.part_count == min(1, len(target))
        taken = self.attempt(target.real.take_part, set())
        front = cut(target.runs, 0, len(shown))
        self.keep(shown, front)
        self.keep(taken, front)
        target.replace(0, len(shown), [])

    @rule(which=WHICH, sep=SEPARATORS)
    def skip_until(self, which: int, sep: bytes) -> None:
        target = self.composite(which)
        data = content(target.runs)
        found = data.find(sep)
        assert self.attempt(lambda: target.real.skip_until(sep), set()) == (found >= 0)
        starts = range(max(0, len(data) - len(sep) + 1), len(data))
        end = next((k for k in starts if sep.startswith(data[k:])), len(data)) if found < 0 else found + len(sep)
        target.replace(0, end, [])

    @rule(which=WHICH)
    def take_all(self, which: int) -> None:
        target = self.composite(which)
        self.keep(self.attempt(target.real.take_all, set()), target.runs)
        target.runs = []

    @rule(which=WHICH, n=POSITIONS)
    def truncate(self, which: int, n: Any) -> None:
        target = self.composite(which)
        n = resolved(n, len(target))
        errors = number_errors(n) or ({ValueError} if n > len(target) else set())
        self.attempt(lambda: target.real.truncate(n), errors)
        if not errors:
            target.replace(int(n), len(target), [])

    @rule(which=WHICH)
    def clear(self, which: int) -> None:
        target = self.composite(which)
        self.attempt(target.real.clear, set())
        target.runs = []

    @rule(which=WHICH, sep=SEPARATORS, limit=POSITIONS, keepends=st.booleans())
    def take_until(self, which: int, sep: bytes, limit: Any, keepends: bool) -> None:
        target = self.composite(which)
        limit = resolved(limit, len(target))
        errors = number_errors(limit)
        data = content(target.runs)
        found = data.find(sep)
        before = found
        if found < 0:
            starts = range(max(0, len(data) - len(sep) + 1), len(data))
            before = next((k for k in starts if sep.startswith(data[k:])), len(data))
        if not errors and before > limit:
            errors.add(LimitExceeded)
        taken = self.attempt(lambda: target.real.take_until(sep, limit=limit, keepends=keepends), errors)
        if found < 0 or errors:
            assert taken is None
        else:
            self.keep(taken, cut(target.runs, 0, found + keepends * len(sep)))
            target.replace(0, found + len(sep), [])

    @rule(which=WHICH, n=st.integers(0, 30), limit=st.integers(0, 40))
    def parse(self, which: int, n: int, limit: int) -> None:
        target = self.composite(which)
        empty = not len(target)  # then no parser runs
        errors: Errors = {LimitExceeded} if n > limit and not empty else set()
        taken = self.attempt(lambda: target.real.parse(TAKES[n], limit=limit), errors)
        if errors or empty or n > len(target):
            assert taken is None
        else:
            self.keep(taken, cut(target.runs, 0, n))
            target.replace(0, n, [])

    @rule(which=WHICH)
    def parse_a_line(self, which: int) -> None:
        target = self.composite(which)
        data = content(target.runs)
        found = data.find(b"\n")
        errors: Errors = {LimitExceeded} if (found if found >= 0 else len(data)) > LINE_LIMIT else set()
        taken = self.attempt(lambda: target.real.parse(take_a_line, limit=2 * LINE_LIMIT), errors)
        if errors or found < 0:
            assert taken is None
        else:
            self.keep(taken, cut(target.runs, 0, found))
            target.replace(0, found + 1, [])

    # -- arranging

    @rule(which=WHICH, start=POSITIONS, stop=POSITIONS)
    def consolidate(self, which: int, start: Any, stop: Any) -> None:
        target = self.composite(which)
        start, stop = resolved(start, len(target)), resolved(stop, len(target))
        end = len(target) if stop is None else stop
        errors = range_errors(start, end, len(target))
        if errors:
            self.attempt(lambda: target.real.consolidate(start, stop), errors)
            return
        runs, copied = consolidated(cut(target.runs, int(start), int(end)))
        with copy_audit() as audit:
            target.real.consolidate(start, stop)
        assert audit.by_reason == ({"consolidate": copied} if copied else {})
        target.replace(int(start), int(end), runs)

    @rule(which=WHICH)
    def compact(self, which: int) -> None:
        target = self.buffer(which)
        runs, freed = compacted(target.runs)
        with copy_audit() as audit:
            answer = target.real.compact()
        assert audit.nbytes == audit.by_reason.get("compact", 0)
        assert (audit.nbytes > 0) == (freed > 0)
        if isinstance(target.real, CompositeBuffer):
            assert answer == freed
            target.runs = runs
        elif freed:
            self.keep(answer, runs)
        else:
            assert answer is target.real

    @rule(which=WHICH, place=WHICH)
    def copy_it(self, which: int, place: int) -> None:
        original = self.buffer(which)
        twin = self.attempt(lambda: copy.copy(original.real), set())
        if type(twin) is CompositeBuffer:
            self.composites[place % len(self.composites)] = Shown(twin, list(original.runs), below=original.below)
        else:
            assert twin is original.real

    @rule(which=WHICH, several=st.lists(PARTS, max_size=3), below=st.sampled_from([0, 0, 2, 5]))
    def begin_anew(self, which: int, several: list[tuple[str, int, int, int, bool]], below: int) -> None:
        found = [self.part(drawn) for drawn in several]
        parts = [part for part, _, errors in found if not errors]
        fresh = Shown(CompositeBuffer(parts, coalesce_below=below), [], below=below)
        fresh.append([run for _, runs, errors in found if not errors for run in runs])
        self.composites[which % len(self.composites)] = fresh

    # -- cutting

    @rule(which=WHICH)
    def freeze(self, which: int) -> None:
        source = self.composite(which)
        self.keep(self.attempt(source.real.freeze, set()), source.runs)

    @rule(which=WHICH, start=POSITIONS, stop=POSITIONS)
    def slice_it(self, which: int, start: Any, stop: Any) -> None:
        source = self.buffer(which)
        start, stop = resolved(start, len(source)), resolved(stop, len(source))
        errors: Errors = set()
        if not all(bound is None or isinstance(bound, (int, np.integer)) for bound in (start, stop)):
            errors = {TypeError}
        piece = self.attempt(lambda: source.real[start:stop], errors)
        if not errors:
            at = range(len(source))[start:stop]
            self.keep(piece, cut(source.runs, at.start, max(at.start, at.stop)))

    @rule(drawn=PARTS, start=POSITIONS, stop=POSITIONS)
    def wrap(self, drawn: tuple[str, int, int, int, bool], start: Any, stop: Any) -> None:
        obj, runs, errors = self.part(drawn)
        size = size_of(runs)
        start, stop = resolved(start, size), resolved(stop, size)
        end = size if stop is None else stop
        errors = errors or range_errors(start, end, size)
        made = self.attempt(lambda: SliceBuffer(obj, start, stop), errors)
        if not errors:
            self.keep(made, cut(runs, int(start), int(end)))

    @rule(which=WHICH, sep=SEPARATORS, piece=st.integers(0, 3))
    def split(self, which: int, sep: bytes, piece: int) -> None:
        source = self.buffer(which)
        pieces = self.attempt(lambda: source.real.split(sep), set())
        data = content(source.runs)
        expected = data.split(sep)
        assert pieces is not None
        assert len(pieces) == len(expected)
        piece %= len(pieces)
        at = sum(len(before) + len(sep) for before in expected[:piece])
        self.keep(pieces[piece], cut(source.runs, at, at + len(expected[piece])))

    @rule(which=WHICH)
    def toreadonly(self, which: int) -> None:
        if self.slices:
            source = self.slices[which % len(self.slices)]
            self.keep(self.attempt(source.real.toreadonly, set()), sealed(source.runs))

    @rule(which=WHICH)
    def drop(self, which: int) -> None:
        if self.slices:
            del self.slices[which % len(self.slices)]

    # -- writing to memory, seen by whoever shows it

    @rule(which=WHICH, at=WHICH, value=st.sampled_from(b"abc"))
    def write_to_the_owner(self, which: int, at: int, value: int) -> None:
        storage = self.storages[which % len(self.storages)]
        if storage.writable:
            at %= len(storage.shadow)
            storage.real[at] = value
            storage.shadow[at] = value

    @rule(which=WHICH, at=POSITIONS, data=LETTERS, source=st.none() | WHICH)
    def write_at(self, which: int, at: Any, data: bytes, source: int | None) -> None:
        """Write bytes, or what another buffer shows: maybe the very memory that is written to."""
        target = self.buffer(which)
        new: Any = data
        if source is not None:
            other = self.buffer(source)
            letters = content(other.runs)
            if b"\n" not in letters and b"\r" not in letters:
                data, new = letters, other.real
        at = resolved(at, len(target))
        errors = number_errors(at)
        if not errors and len(data) > len(target) - int(at):
            errors.add(IndexError)
        over = [] if errors else cut(target.runs, int(at), int(at) + len(data))
        if not all(run.writable for run in over):
            errors.add(TypeError)
        self.attempt(lambda: target.real.write_at(at, new), errors)
        if not errors:
            for (storage, offset), byte in zip(cells(over), data, strict=True):
                storage.shadow[offset] = byte

    # -- reading, which changes nothing but what is cached

    @rule(which=WHICH, at=POSITIONS, low=POSITIONS, high=POSITIONS)
    def look(self, which: int, at: Any, low: Any, high: Any) -> None:
        source = self.buffer(which)
        data = content(source.runs)
        at, low, high = (resolved(position, len(data)) for position in (at, low, high))
        errors: Errors = set()
        if not isinstance(at, (int, np.integer)):
            errors.add(TypeError)
        elif not -len(data) <= at < len(data):
            errors.add(IndexError)
        assert self.attempt(lambda: source.real[at], errors) == (None if errors else data[at])
        if all(bound is None or isinstance(bound, (int, np.integer)) for bound in (low, high)):
            for needle in (b"\n", b"ab", data[3:7]):
                assert source.real.find(needle, low, high) == data.find(needle, low, high)
                assert source.real.rfind(needle, low, high) == data.rfind(needle, low, high)
                assert source.real.count(needle, low, high) == data.count(needle, low, high)
        else:
            self.attempt(lambda: source.real.find(b"a", low, high), {TypeError})

    @rule(which=WHICH, other=WHICH)
    def compare(self, which: int, other: int) -> None:
        left, right = self.buffer(which), self.buffer(other)
        x, y = content(left.runs), content(right.runs)
        assert (left.real == right.real, left.real < right.real) == (x == y, x < y)
        assert (left.real.startswith(right.real), left.real.endswith(right.real)) == (x.startswith(y), x.endswith(y))

    # -- after each step

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        for shown in (*self.composites, *self.slices):
            check(shown)


def check(shown: Shown) -> None:
    """Compare a buffer with its model, and leave it as it was."""
    real, runs = shown.real, shown.runs
    real._check()
    table = real._source
    if type(real) is SliceBuffer and isinstance(table, Table):
        assert len(table.ends) == len(table.parts) > 1  # whole, so that no thread that reads ever changes it
    with undisturbed(real):
        assert len(real) == size_of(runs)
        views = real.views()
        assert b"".join(views) == content(runs)
        assert [len(view) for view in views] == [len(run) for run in runs]
        assert [view.readonly for view in views] == [not run.writable for run in runs]
        for view, run in zip(views, runs, strict=True):
            storage = run.storage
            if storage.place is None:
                storage.place = address(view) - run.start
            assert address(view) == storage.place + run.start
        assert real.part_count == len(runs)
        assert real.readonly == (not all(run.writable for run in runs) or not runs)
        assert real.pinned_nbytes == held(runs, mapped=False)
        assert real.mapped_nbytes == held(runs, mapped=True)


TestBuffers = Buffers.TestCase


def test_the_profile_says_how_often_the_machine_runs() -> None:
    assert TestBuffers.settings.max_examples == MACHINE_EXAMPLES[PROFILE]
