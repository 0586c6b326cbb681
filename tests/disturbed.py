"""Composites, sources of frames, outboxes and inboxes, used to their end, beside a model, with one call disturbed.

What was disturbed by an exception is as before, as after, or broken and says so at each use; and then it goes on.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from bytebufs import (
    BrokenSink,
    BrokenSource,
    Busy,
    ClosedError,
    CompositeBuffer,
    Delimited,
    Framer,
    Inbox,
    LengthPrefixed,
    Outbox,
    Part,
    Pool,
    Reader,
    SliceBuffer,
)

from .bytecodes import Bytecodes
from .changes import CHANGES, FORMATS, READS, Outcome, could_be, outcome, plainly

_T = TypeVar("_T")


class Interrupt(BaseException):
    """What a signal handler raises."""


class Disturbance(Protocol):
    """What makes a call fail. Nothing is allocated between the call and `stop`: there may be no memory."""

    def start(self) -> object: ...

    def stop(self) -> object: ...


class Calm:
    """No disturbance."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


CALM: Final = Calm()


def under(disturbance: Disturbance, call: Callable[[], object]) -> Outcome:
    """Return what a call came to while it was disturbed."""
    answer: object = None
    error: BaseException | None = None
    try:
        disturbance.start()
        answer = call()
    except BaseException as caught:  # noqa: BLE001  # whatever it is, it is what is judged
        error = caught
    finally:
        disturbance.stop()
    return Outcome(plainly(answer), _own(error) if type(error) is MemoryError else error)


def _own(error: MemoryError) -> MemoryError:
    """Take what is set on an error off it: the interpreter has one for when nothing is left, which would keep it."""
    own = MemoryError(*error.args)
    own.__dict__.update(error.__dict__)
    error.__dict__.clear()
    return own


def says(call: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether a call raises one of some errors. (Of pytest's ways to ask, children would load all.)"""
    try:
        call()
    except errors:
        return True
    return False


class meanwhile(Bytecodes):  # noqa: N801  # a disturbance, read as the time that it comes at
    """Do something before the bytecode of the package with this number, counted from 0; with -1 at none."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        super().__init__(self._count)
        self._at = at
        self._act = act
        self.steps = 0

    def _count(self) -> None:
        self.steps += 1
        if self.steps == self._at + 1:
            self.stop()  # nobody counts any further
            self._act()


def _interrupt() -> None:
    raise Interrupt


class interrupted(meanwhile):  # noqa: N801  # a disturbance, read as a participle
    """Raise at the bytecode of the package with this number, counted from 0; with -1 at none."""

    def __init__(self, at: int) -> None:
        super().__init__(at, _interrupt)


def steps_of(call: Callable[[], object]) -> int:
    """Return how many bytecodes a call has."""
    watch = interrupted(-1)
    under(watch, call)
    return watch.steps


STRIDE: Final = 3 if os.environ.get("BYTEBUFS_PROFILE", "quick") == "quick" else 1


def at_each_step(
    make: Callable[[], _T], call: Callable[[_T], object], act: Callable[[_T], object] | None = None
) -> Iterator[tuple[_T, Outcome]]:
    """Make something and call with it, interrupted at the first bytecode, the second, and so on; and at none.

    In the profile `quick` at each third bytecode only.
    Or something else is done there with what was made: what a signal handler, a finalizer or a collector might.
    """
    under(CALM, partial(call, make()))  # from here on what is cached is there
    total = steps_of(partial(call, make()))
    assert total > 0
    for at in range(total % STRIDE, total + 1, STRIDE):
        subject = make()
        disturbance = meanwhile(at, partial(act, subject)) if act else interrupted(at)
        found = under(disturbance, partial(call, subject))
        assert act or (found.error is None) == (at == total), found
        yield subject, found


# -- composites ----------------------------------------------------------------------------------------------

AFTERWARDS: Final = [
    *READS.values(),
    *(CHANGES[name] for name in ("append", "take five", "appendleft a buffer", "skip few", "pack_uint", "take few")),
    *(CHANGES[name] for name in ("splice the middle", "reserve", "take_until", "consolidate", "insert", "truncate")),
    *(CHANGES[name] for name in ("append a buffer", "parse", "skip few", "take_until what is not there", "take_all")),
]
"""What is done to a composite that was interrupted: it has to come to what the model says."""


def assert_whole(b: CompositeBuffer) -> bytes:
    """Return what a composite shows; it has to agree with itself, and nobody is at work on it."""
    b._check()
    assert b._locked is False
    content = bytes(b)
    assert len(b) == len(content)
    assert b"".join(b.views()) == content
    return content


def says_that_it_is_broken(b: CompositeBuffer) -> bool:
    """Whether it refuses a change; then it has to refuse every one that would change something."""
    try:
        b.append(b"")
        b.skip(0)
    except RuntimeError:
        content = bytes(b)
        for op in CHANGES.values():
            if op.changes:
                found = outcome(op, b)
                assert isinstance(found.error, RuntimeError) or could_be(op, content, found) == content, op.name
                assert assert_whole(b) == content, op.name
        return True
    return False


def go_on(b: CompositeBuffer, state: bytes) -> None:
    for op in AFTERWARDS:
        found = outcome(op, b)
        after = could_be(op, state, found)
        assert after is not None, (op.name, state, found)
        state = after
    assert assert_whole(b) == state == b""


# -- what frames come out of: framers, `parse` and `take_until` ------------------------------------------------


@dataclass(frozen=True)
class Source:
    """What takes parts in and gives frames out. Its model goes from state to state, in steps that are each whole.

    `next_steps` returns the states that a call of `next` goes through, and what it answers in the last; the first
    is the one before. What a state looks like from outside is its `look`.
    """

    make: Callable[[], Any]
    feed: Callable[[Any, Part], object]
    next: Callable[[Any], SliceBuffer | None]
    look: Callable[[Any], tuple[int, ...]]
    start: tuple[Any, ...]
    fed: Callable[[Any, bytes], Any]
    looks: Callable[[Any], tuple[int, ...]]
    next_steps: Callable[[Any], tuple[list[Any], object]]
    stream: bytes

    def calls(self) -> list[bytes | None]:
        """Return what is done with it: a part is fed, None asks for the next frame."""
        calls: list[bytes | None] = []
        for at in range(0, len(self.stream), 7):
            calls += [self.stream[at : at + 7], None, None]
        return [*calls, None, None, None, None, None, None]


def _kept_as(data: bytes, number: int) -> Part:
    return bytearray(data) if number % 2 else data


def _framer(make: Callable[[], Framer], stream: bytes, next_steps: Callable[[Any], tuple[list[Any], object]]) -> Source:
    return Source(
        make,
        lambda framer, part: framer.feed(part),
        lambda framer: next(framer.feed(b""), None),
        lambda framer: (framer.pending, framer.skipped),
        (b"", 0, 0),
        lambda state, part: (state[0] + part, *state[1:]),
        lambda state: (len(state[0]), state[2]),
        next_steps,
        stream,
    )


def _plain(first: Callable[[bytes], tuple[bytes, int] | None]) -> Callable[[Any], tuple[list[Any], object]]:
    """Frames of which none is bad."""

    def next_steps(state: Any) -> tuple[list[Any], object]:
        found = first(state[0])
        if found is None:
            return [state], None
        return [state, (state[0][found[1] :], *state[1:])], found[0]

    return next_steps


MOST: Final = 6
"""Bytes of a frame: longer ones are thrown away."""


def _skipping(bad: Callable[[bytes], int], first: Callable[[bytes], tuple[bytes, int] | None]) -> Any:
    """Bad frames are counted, and thrown away as their bytes come. `bad` returns the bytes of one at the front, or 0.

    A state is (the bytes that are held, how many are still to be thrown away, the bad frames so far).
    """

    def next_steps(state: Any) -> tuple[list[Any], object]:
        states = [state]
        while True:
            data, discard, skipped = states[-1]
            here = min(discard, len(data))
            if here:
                states.append((data[here:], discard - here, skipped))
            elif discard:
                return states, None
            elif size := bad(data):
                states.append((data, size, skipped + 1))
            elif found := first(data):
                states.append((data[found[1] :], 0, skipped))
                return states, found[0]
            else:
                return states, None

    return next_steps


def _overlong_by_length(data: bytes) -> int:
    return 1 + data[0] if data and 1 + data[0] > MOST else 0


def _counted_by_one(data: bytes) -> tuple[bytes, int] | None:
    return (data[1 : 1 + data[0]], 1 + data[0]) if data and len(data) > data[0] else None


def _overlong_line(state: Any) -> tuple[list[Any], object]:
    """Until its separator has come nobody knows how much is to be thrown away: the second number is only a mark."""
    states = [state]
    while True:
        data, overlong, skipped = states[-1]
        at = data.find(b";")
        if overlong:
            states.append((data[at + 1 :] if at >= 0 else b"", int(at < 0), skipped))
            if at < 0:
                return states, None
        elif (at if at >= 0 else len(data)) > MOST:
            states.append((data, 1, skipped + 1))
        elif at >= 0:
            states.append((data[at + 1 :], 0, skipped))
            return states, data[:at]
        else:
            return states, None


def _composite(next_of: Callable[[CompositeBuffer], SliceBuffer | None], form: str) -> Source:
    return Source(
        CompositeBuffer,
        lambda b, part: b.append(part),
        next_of,
        lambda b: (len(b),),
        (b"",),
        lambda state, part: (state[0] + part,),
        lambda state: (len(state[0]),),
        _plain(FORMATS[form].first),
        FORMATS[form].stream,
    )


def _length_prefixed(reader: Reader) -> SliceBuffer:
    return reader.take(reader.u16())


_WORDS: Final = (b"one", b"", b"much too long", b"two", b"sixsix", b"longer still, longer", b"also long", b"end")

SOURCES: Final = {
    **{kind: _framer(form.make, form.stream, _plain(form.first)) for kind, form in FORMATS.items()},
    "LengthPrefixed, skipping": _framer(
        lambda: LengthPrefixed(1, limit=MOST, on_error="skip"),
        b"".join([bytes([len(word)]) + word for word in _WORDS]),
        _skipping(_overlong_by_length, _counted_by_one),
    ),
    "Delimited, skipping": _framer(
        lambda: Delimited(b";", limit=MOST, on_error="skip"), b"".join([word + b";" for word in _WORDS]), _overlong_line
    ),
    "parse": _composite(lambda b: b.parse(_length_prefixed, limit=100), "LengthPrefixed"),
    "take_until": _composite(lambda b: b.take_until(b"; ", limit=50), "Delimited"),
}


def call(source: Source, subject: Any, part: bytes | None, number: int, disturbance: Disturbance = CALM) -> Outcome:
    if part is None:
        return under(disturbance, lambda: source.next(subject))
    given = _kept_as(part, number)
    found = under(disturbance, lambda: source.feed(subject, given))
    return Outcome(None, found.error)


def is_refused(source: Source, subject: Any) -> bool:
    """Whether it says that it is broken, at each use."""
    uses: list[Callable[[], object]] = [lambda: source.feed(subject, b"x"), lambda: source.next(subject)]
    refused = []
    for use in uses:
        try:
            use()
        except (RuntimeError, ClosedError):
            refused.append(True)
        else:
            refused.append(False)
    assert refused[0] or not refused[1], "broken, but takes more in"
    return all(refused)


@dataclass
class Run:
    """A source, fed to its end, of which one call is disturbed."""

    source: Source
    which: int
    disturbance: Disturbance = CALM
    was_cut: bool = False

    def play(self) -> None:
        """Compare every answer with the model's."""
        source = self.source
        subject, state = source.make(), source.start
        for number, part in enumerate(source.calls()):
            states, answer = ([state, source.fed(state, part)], None) if part is not None else source.next_steps(state)
            found = call(source, subject, part, number, self.disturbance if number == self.which else CALM)
            if found.error is None:
                assert (found.answer, source.look(subject)) == (answer, source.looks(states[-1])), (number, part)
                state = states[-1]
                continue
            self.was_cut = True
            assert number == self.which, found
            look = source.look(subject)
            possible = [one for one in states if source.looks(one) == look]
            assert possible, f"{look} is none of {[source.looks(one) for one in states]}"
            if isinstance(found.error, RuntimeError) or self._is_broken(subject):
                return
            state = possible[0]
            if part is not None and state != states[-1]:  # it was not taken in, so that it comes again
                source.feed(subject, part)
                state = states[-1]

    def _is_broken(self, subject: Any) -> bool:
        buffer = subject if isinstance(subject, CompositeBuffer) else subject._buffer
        buffer._check()
        try:
            self.source.feed(subject, b"")
        except (RuntimeError, ClosedError):
            return is_refused(self.source, subject)
        return False


# -- outboxes ------------------------------------------------------------------------------------------------


@dataclass
class Post:
    """An outbox over a pipe that takes 4 096 bytes at a time, and what it says of itself."""

    def __post_init__(self) -> None:
        self.far, self.near = os.pipe()
        os.set_blocking(self.near, False)
        os.set_blocking(self.far, False)
        self.was_cut = False
        self.told: list[int] = []
        self.outbox = Outbox(high=3000, low=1000)
        self.put: list[tuple[int, int]] = []  # where each part ends, and the number of its callback
        self.accounted = b""
        self.came = b""

    def close(self) -> None:
        os.close(self.far)
        os.close(self.near)

    def read(self) -> int:
        """Take out of the pipe what came, and return how much that was."""
        got = b""
        while True:
            try:
                got += os.read(self.far, 1 << 20)
            except BlockingIOError:
                self.came += got
                return len(got)

    def part(self, number: int) -> tuple[Part, bytes]:
        data = bytes([65 + number]) * (1 + 700 * (number % 4)) + b"."
        kinds: list[Callable[[], Part]] = [
            lambda: data,
            lambda: bytearray(data),
            lambda: CompositeBuffer([data[:9], bytearray(data[9:])]),
        ]
        return kinds[number % 3](), data

    def act(self, name: str, number: int) -> Callable[[], object]:
        if name == "put":
            part = self.part(number)[0]
            tell = partial(self.told.append, number)
            return lambda: self.outbox.put(part, on_sent=tell)
        return self.outbox.close if name == "close" else lambda: self.outbox.flush(self.near)

    def play(self, actions: list[str], which: int, disturbance: Disturbance = CALM) -> None:
        """Do all of it, one disturbed, and compare what came."""
        lost = 0
        for number, name in enumerate(actions):
            pending = self.outbox.pending
            error = under(disturbance if number == which else CALM, self.act(name, number)).error
            went = self.read()
            added = self.outbox.pending - pending
            if name == "put":
                data = self.part(number)[1]
                assert went == 0
                assert added in {0, len(data)} if error else added == len(data), (added, len(data))
                if added:
                    self.accounted += data
                    self.put.append((len(self.accounted), number))
            if error:
                self.was_cut = True
                assert number == which
                assert getattr(error, "bytes_flushed", 0) <= went
                if self.is_broken(name):
                    return
                if name == "flush":
                    lost = 1
            if name == "flush":
                assert -added == went
            if name == "close" and error and not self.is_closed():
                assert added == 0
        if actions[-1] == "close":
            assert not self.told or self.told == sorted(set(self.told))
            return
        self.finish(lost)

    def is_closed(self) -> bool:
        try:
            self.outbox.put(b"")
        except ClosedError:
            assert self.outbox.pending == 0
            return True
        except (BrokenSink, Busy):
            pass
        return False

    def is_broken(self, name: str) -> bool:
        """Whether it says that it is broken: then at each use; and what came is the beginning of what was put in."""
        if self.is_closed():
            return name == "close"
        try:
            self.outbox.flush(self.near)
        except (BrokenSink, Busy):
            for use in (lambda: self.outbox.flush(self.near), lambda: self.outbox.put(b"more")):
                assert says(use, BrokenSink, Busy)
            data = self.accounted + self.part(0)[1]
            assert self.came == data[: len(self.came)] or self.accounted.startswith(self.came)
            return True
        self.read()
        return False

    def finish(self, lost: int) -> None:
        while self.outbox.pending:
            assert self.outbox.flush(self.near)
            self.read()
        self.outbox.flush(self.near)
        assert self.came == self.accounted
        assert self.told == sorted(set(self.told)), "none twice, and in order"
        missing = [number for _, number in self.put if number not in self.told]
        assert len(missing) <= lost, f"the callbacks of {missing} never came"
        assert not self.outbox.paused


ACTIONS: Final = ["put", "put", "flush", "put", "put", "put", "put", "flush", "put", "flush", "put", "flush"]


# -- inboxes -------------------------------------------------------------------------------------------------


@dataclass
class Mail:
    """An inbox over a pipe, another one that takes turns on the same pool, and what was taken of both and is kept."""

    def __post_init__(self) -> None:
        self.far, self.near = os.pipe()
        os.set_blocking(self.far, False)
        self.was_cut = False
        self.pool = Pool(600, idle=2)
        self.inbox = Inbox(self.pool, limit=3000)
        self.other = Inbox(self.pool, limit=3000)
        self.came = b""
        self.taken = b""
        self.kept: list[tuple[bytes, SliceBuffer]] = []

    def close(self) -> None:
        os.close(self.far)
        os.close(self.near)

    def act(self, name: str, data: bytes) -> Callable[[], object]:
        inbox = self.inbox
        if name == "receive":
            os.write(self.near, data)
            self.came += data
            return partial(inbox.receive, self.far)
        if name == "filled":
            inbox.room()[: len(data)] = data
            return partial(inbox.filled, len(data))
        return inbox.rest if name == "rest" else inbox.room

    def receive_all(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self.inbox.receive(self.far):
                pass

    def take(self) -> None:
        piece = self.inbox.buffer.take_all()
        self.taken += bytes(piece)
        self.kept.append((bytes(piece), piece))

    def let_the_other_go_on(self, data: bytes) -> None:
        room = self.other.room()
        size = min(len(room), len(data))
        room[:size] = data[:size]
        self.other.filled(size)
        piece = self.other.buffer.take_all()
        assert piece == data[:size]
        self.kept.append((data[:size], piece))

    def play(self, which: int, disturbance: Disturbance = CALM) -> None:
        """Do all of it, one disturbed, and compare what came."""
        for number, name in enumerate(MAIL):
            data = bytes([65 + number]) * (1 + 90 * (number % 3)) + b"."
            if name == "take":
                self.take()
                continue
            if name == "filled":
                self.receive_all()
                data = data[: len(self.inbox.room())]
            call = self.act(name, data)
            before = len(self.inbox.buffer)
            error = under(disturbance if number == which else CALM, call).error
            self.let_the_other_go_on(data)
            if name == "filled":
                grown = len(self.inbox.buffer) - before
                assert grown in {0, len(data)} if error else grown == len(data)
                self.came += data[:grown]
            if error:
                self.was_cut = True
                assert number == which, error
                if self.is_broken():
                    break
        else:
            self.receive_all()
            self.take()
            assert self.taken == self.came
        for was, piece in self.kept:
            assert piece == was

    def is_broken(self) -> bool:
        """Whether it says that it is broken: then at each use; and what is there is the beginning of what came."""
        try:
            self.inbox.room()
        except (BrokenSource, Busy):
            for use in (self.inbox.room, partial(self.inbox.filled, 0), partial(self.inbox.receive, self.far)):
                assert says(use, BrokenSource, Busy)
            self.take()
            assert self.came.startswith(self.taken)
            return True
        return False


MAIL: Final = [
    *("receive", "receive", "take", "rest", "receive", "filled", "rest", "room", "receive", "take", "filled", "take"),
    *("rest", "receive", "filled", "filled", "take", "receive", "room", "filled", "rest", "receive", "take"),
]
