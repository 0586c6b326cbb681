"""An exception at any bytecode of a change leaves it undone, done, or broken and saying so; never a fourth thing.

A tracing function raises at step k of the package's own code, for every k: more often than a signal handler can. What
was interrupted is then used to the end, beside a model. What a call was about to return may be lost at its return.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

import bytebufs
from bytebufs import (
    COMPILED,
    BrokenSink,
    Busy,
    ClosedError,
    CompositeBuffer,
    Delimited,
    Framer,
    LengthPrefixed,
    LimitExceeded,
    Outbox,
    Part,
    Reader,
    SliceBuffer,
    flush,
)

from .changes import (
    CHANGES,
    COMPOSITES,
    CONTENT,
    FORMATS,
    OUTBOX_OPS,
    PLAIN,
    READS,
    Outcome,
    Sink,
    could_be,
    in_steps,
    outcome,
    plainly,
)
from .conftest import PROFILE

pytestmark = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")

PACKAGE: Final = str(Path(bytebufs.__file__).parent)

MOST_STEPS: Final = 40 if PROFILE == "short" else 1_000_000
"""So many bytecodes of a call are interrupted at most, evenly spread: different ones in each layout."""

SECONDS: Final = 1.5 if PROFILE == "short" else 10
"""How long real signals come."""


class Interrupt(BaseException):
    """What a signal handler raises."""


class interrupted:  # noqa: N801  # a context manager, read as a participle
    """Raise at the bytecode of the package with this number, counted from 0."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    def __enter__(self) -> interrupted:
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self.steps += 1
            if self.steps == self.at + 1:
                raise Interrupt  # which ends the tracing, too
        return self._step


def steps_of(call: Callable[[], object]) -> int:
    """Return how many bytecodes a call has."""
    with interrupted(-1) as watch:
        try:
            call()
        except bytebufs.BytebufsError:
            pass
    return watch.steps


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """Say where it was. (The chain of tracebacks would be long: each interrupt has one.)"""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever went wrong, it is told
        place = traceback.extract_tb(error.__traceback__)[-1]
        pytest.fail(f"{where}: {error!r} in line {place.lineno} of {place.filename}", pytrace=False)


# -- composites ----------------------------------------------------------------------------------------------

AFTERWARDS: Final = [
    *READS.values(),
    *(CHANGES[name] for name in ("append", "take five", "appendleft a buffer", "skip few", "pack_uint", "take few")),
    *(CHANGES[name] for name in ("splice the middle", "reserve", "take_until", "consolidate", "insert", "truncate")),
    *(CHANGES[name] for name in ("append a buffer", "parse", "skip few", "take_until what is not there", "take_all")),
]
"""What is done to a composite that was interrupted: it has to come to what the model says."""


def assert_whole(b: CompositeBuffer) -> bytes:
    """Return what a composite shows; it has to agree with itself."""
    b._check()
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
        assert assert_whole(b) == after, op.name
        state = after


@pytest.mark.parametrize("layout", COMPOSITES)
@pytest.mark.parametrize("name", [name for name in CHANGES if name != "flush"])
def test_an_interrupted_change_of_a_composite_is_undone_or_done(name: str, layout: str) -> None:
    op = CHANGES[name]
    total = steps_of(lambda: op.run(COMPOSITES[layout](bytearray), PLAIN)) - steps_of(
        lambda: COMPOSITES[layout](bytearray)
    )
    for at in in_steps(total, MOST_STEPS, len(layout)):
        with told(f"interrupted at {at} of {total}"):
            b = COMPOSITES[layout](bytearray)
            with interrupted(at):
                found = outcome(op, b)
            content = assert_whole(b)
            after, answer = op.model(CONTENT)
            if found.error is None:
                assert (content, found.answer) == (after, answer)
            else:
                assert isinstance(found.error, (Interrupt, RuntimeError))
                assert content in {CONTENT, after}
            if not says_that_it_is_broken(b):
                go_on(b, content)


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


def call(source: Source, subject: Any, part: bytes | None, number: int) -> Outcome:
    try:
        if part is None:
            return Outcome(plainly(source.next(subject)))
        source.feed(subject, _kept_as(part, number))
    except (Interrupt, RuntimeError, bytebufs.BytebufsError) as error:
        return Outcome(None, error)
    return Outcome(None)


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
    """A source, fed to its end, of which one call is interrupted."""

    source: Source
    which: int
    at: int
    alarm: Callable[[int], Any] = interrupted
    was_cut: bool = False

    def play(self) -> int:
        """Compare every answer with the model's. Returns how many bytecodes the interrupted call had before it was."""
        source = self.source
        subject, state = source.make(), source.start
        steps = 0
        for number, part in enumerate(source.calls()):
            states, answer = ([state, source.fed(state, part)], None) if part is not None else source.next_steps(state)
            if number != self.which:
                found = call(source, subject, part, number)
            else:
                watch = self.alarm(self.at)
                with watch:
                    found = call(source, subject, part, number)
                steps = watch.steps
            assert found.error is None or isinstance(found.error, (Interrupt, RuntimeError)), found
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
                return steps
            state = possible[0]
            if part is not None and state != states[-1]:  # it was not taken in, so that it comes again
                source.feed(subject, part)
                state = states[-1]
        return steps

    def _is_broken(self, subject: Any) -> bool:
        buffer = subject if isinstance(subject, CompositeBuffer) else subject._buffer
        buffer._check()
        try:
            self.source.feed(subject, b"")
        except (RuntimeError, ClosedError):
            return is_refused(self.source, subject)
        return False


@pytest.mark.parametrize("kind", SOURCES)
def test_an_interrupted_source_of_frames_gives_the_others_in_order(kind: str) -> None:
    source = SOURCES[kind]
    calls = source.calls()
    assert Run(source, -1, -1).play() == 0, "without an interrupt the model is right"
    for which in range(len(calls)):
        total = Run(source, which, -1).play()
        for at in in_steps(total, MOST_STEPS, which):
            with told(f"call {which} ({calls[which]!r}) interrupted at {at} of {total}"):
                Run(source, which, at).play()


@pytest.mark.parametrize("kind", ["LengthPrefixed", "Delimited"])
def test_an_error_that_is_interrupted_comes_again_or_has_closed_the_framer(kind: str) -> None:
    def bad() -> Framer:
        framer = LengthPrefixed(1, limit=MOST) if kind == "LengthPrefixed" else Delimited(b";", limit=MOST)
        framer.feed(b"\x03one\x09" if kind == "LengthPrefixed" else b"\x03one;much too long")
        next(framer.feed(b""))
        return framer

    with pytest.raises(LimitExceeded):
        next(bad().feed(b""))
    framer = bad()
    total = steps_of(lambda: next(framer.feed(b""), None))
    assert total > 20
    for at in range(total):
        framer = bad()
        with pytest.raises((Interrupt, LimitExceeded)), interrupted(at):
            next(framer.feed(b""))
        with pytest.raises((LimitExceeded, ClosedError)):
            next(framer.feed(b""))
        with pytest.raises(ClosedError):
            framer.feed(b"")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["end", "encode"])
def test_what_only_looks_at_a_framer_changes_nothing_when_it_is_interrupted(kind: str, name: str) -> None:
    form = FORMATS[kind]
    payload = form.frames[0]

    def look(framer: Framer) -> None:
        if name == "end":
            framer.end()
        else:
            framer.encode(payload)

    def fed() -> Framer:
        framer = form.make()
        framer.feed(form.stream[:-1])
        return framer

    framer = fed()
    total = steps_of(lambda: look(framer))
    for at in range(total):
        framer = fed()
        try:
            with interrupted(at):
                look(framer)
        except (Interrupt, bytebufs.Underrun):
            pass
        assert framer.pending == len(form.stream) - 1
        framer._buffer._check()
        frames = [bytes(frame) for frame in framer.feed(form.stream[-1:])]
        assert frames == list(form.frames), (at, total)


# -- outboxes ------------------------------------------------------------------------------------------------


@dataclass
class Post:
    """An outbox over a pipe that takes 4 096 bytes at a time, and what it says of itself."""

    def __post_init__(self) -> None:
        self.far, self.near = os.pipe()
        os.set_blocking(self.near, False)
        os.set_blocking(self.far, False)
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

    def act(self, name: str, number: int) -> None:
        if name == "put":
            self.outbox.put(self.part(number)[0], on_sent=lambda: self.told.append(number))
        elif name == "flush":
            self.outbox.flush(self.near)
        else:
            self.outbox.close()

    def play(self, actions: list[str], which: int, alarm: Any) -> int:
        """Do all of it, one interrupted, and compare what came. Returns the bytecodes of that one."""
        steps = 0
        lost = 0
        for number, name in enumerate(actions):
            pending = self.outbox.pending
            error: BaseException | None = None
            try:
                if number == which:
                    with alarm:
                        self.act(name, number)
                else:
                    self.act(name, number)
            except (Interrupt, RuntimeError) as cut:
                error = cut
            if number == which:
                steps = alarm.steps
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
                assert number == which
                assert getattr(error, "bytes_flushed", 0) <= went
                if self.is_broken(name):
                    return steps
                if name == "flush":
                    lost = 1
            if name == "flush":
                assert -added == went
            if name == "close" and error and not self.is_closed():
                assert added == 0
        if actions[-1] == "close":
            assert not self.told or self.told == sorted(set(self.told))
            return steps
        self.finish(lost)
        return steps

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
                with pytest.raises((BrokenSink, Busy)):
                    use()
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


@pytest.mark.parametrize("which", range(len(ACTIONS) + 1))
def test_an_interrupted_outbox_sends_what_it_says_and_in_order(which: int) -> None:
    actions = ACTIONS if which < len(ACTIONS) else [*ACTIONS[:-1], "close"]
    which = min(which, len(actions) - 1)

    def play(at: int) -> int:
        post = Post()
        try:
            return post.play(actions, which, interrupted(at))
        finally:
            post.close()

    total = play(-1)
    assert total > 5
    for at in in_steps(total, 3 * MOST_STEPS, which):
        with told(f"{actions[which]} interrupted at {at} of {total}"):
            play(at)


def test_an_interrupted_outbox_over_an_object_is_right_or_broken() -> None:
    put, send = OUTBOX_OPS["put a buffer"], OUTBOX_OPS["flush"]
    total = 0
    for at in range(-1, 2000):
        sink, outbox = Sink(), Outbox()
        sending: Any = type("Sending", (), {"sink": sink, "outbox": outbox})()
        put.run(sending, PLAIN)
        with interrupted(at) as watch:
            found = outcome(send, sending)
        total = max(total, watch.steps)
        if at > total:
            break
        assert b"<one><two><three>".startswith(sink.got)
        if isinstance(found.error, Interrupt):
            assert getattr(found.error, "bytes_flushed", 0) <= len(sink.got)
        try:
            outbox.put(b"<four>")
            outbox.flush(sink)
        except BrokenSink:
            with pytest.raises(BrokenSink):
                outbox.put(b"")
            assert b"<one><two><three>".startswith(sink.got)
        else:
            assert sink.got == b"<one><two><three><four>"
    assert total > 100


# -- flush ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["descriptor", "object"])
@pytest.mark.parametrize("layout", ["one part", "mixed", "clipped", "many dead"])
def test_an_interrupted_flush_says_at_most_what_went(layout: str, kind: str) -> None:
    b = COMPOSITES[layout](bytearray)

    def flushed(at: int) -> tuple[int, bytes, int | None, BaseException | None]:
        """Return the steps, what came, what was returned, and what was raised."""
        far, near = os.pipe()
        sink = Sink()
        watch = interrupted(at)
        error, size = None, None
        try:
            with watch:
                size = flush(b, near if kind == "descriptor" else sink)
        except Interrupt as cut:
            error = cut
        finally:
            os.close(near)
            with os.fdopen(far, "rb") as pipe:
                came = sink.got + pipe.read()
        return watch.steps, came, size, error

    total = flushed(-1)[0]
    assert total > 50
    for at in in_steps(total, 4 * MOST_STEPS, len(layout)):
        _, came, size, error = flushed(at)
        assert CONTENT.startswith(came)
        if error is None:
            assert (size, came) == (len(CONTENT), CONTENT)
        else:
            said = getattr(error, "bytes_flushed", None)
            if said is None:  # it came before the first call, or at the return
                assert came in {b"", CONTENT}
            else:
                assert said <= len(came)
                # One call at most is not known of: of an object a piece, of a descriptor all.
                assert kind == "descriptor" or len(came) - said <= max(map(len, b.views()))
        assert assert_whole(b) == CONTENT


# -- real signals --------------------------------------------------------------------------------------------


class alarm:  # noqa: N801  # a context manager, read as the thing it is
    """Raise out of a real signal handler, after so many microseconds."""

    steps = 0

    def __init__(self, after: int) -> None:
        self._after = after * 1e-6

    def __enter__(self) -> alarm:
        signal.setitimer(signal.ITIMER_REAL, self._after)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def handler() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("kind", [*SOURCES, "outbox"])
def test_real_signals_leave_nothing_half_done(kind: str, handler: None) -> None:
    chance = random.Random(kind)
    cut = played = 0
    end = time.monotonic() + SECONDS / (len(SOURCES) + 1)
    while time.monotonic() < end or not cut:
        played += 1
        assert played < 100_000
        after = chance.randint(1, 40)
        try:
            if kind == "outbox":
                post = Post()
                try:
                    post.play(ACTIONS, chance.randrange(len(ACTIONS)), alarm(after))
                finally:
                    post.close()
            else:
                run = Run(SOURCES[kind], chance.randrange(len(SOURCES[kind].calls())), after, alarm)
                run.play()
                cut += run.was_cut
        except Interrupt:
            pass  # it came outside of the call: between it and the end of the block
        cut += kind == "outbox"
