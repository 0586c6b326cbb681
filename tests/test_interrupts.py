"""An exception at any bytecode of a change leaves it undone, done, or broken and saying so; never a fourth thing.

Something raises at step k of the package's own code, for every k: more often than a signal handler can. What
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
from collections.abc import Iterator
from typing import Final

import pytest

from bytebufs import (
    COMPILED,
    BrokenSink,
    ClosedError,
    CompositeBuffer,
    Delimited,
    Framer,
    LengthPrefixed,
    LimitExceeded,
    Outbox,
    flush,
)

from .bytecodes import TOOL
from .changes import (
    CHANGES,
    COMPOSITES,
    CONTENT,
    FORMATS,
    OUTBOX_OPS,
    PLAIN,
    Outcome,
    Sending,
    Sink,
    in_steps,
)
from .conftest import IS_QUICK, IS_SHORT, pytest_runtest_teardown
from .disturbed import (
    ACTIONS,
    MAIL,
    MOST,
    SOURCES,
    STRIDE,
    Interrupt,
    Mail,
    Post,
    Run,
    assert_whole,
    go_on,
    interrupted,
    says_that_it_is_broken,
    steps_of,
    under,
)

pytestmark = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")

EVERY: Final = 1_000_000
SOME: Final = 3 if IS_QUICK else 6 if IS_SHORT else EVERY
"""How many bytecodes of a call are interrupted, evenly spread, where all of them would take long."""

SECONDS: Final = 1.5 if IS_SHORT else 10
"""How long real signals come."""


@contextlib.contextmanager
def told(where: str) -> Iterator[None]:
    """Say where it was. (The chain of tracebacks would be long: each interrupt has one.)"""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever went wrong, it is told
        place = traceback.extract_tb(error.__traceback__)[-1]
        pytest.fail(f"{where}: {error!r} in line {place.lineno} of {place.filename}", pytrace=False)


# -- composites ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layout", COMPOSITES)
@pytest.mark.parametrize("name", [name for name in CHANGES if name != "flush"])
def test_an_interrupted_change_of_a_composite_is_undone_or_done(name: str, layout: str) -> None:
    op = CHANGES[name]
    total = steps_of(lambda: op.run(COMPOSITES[layout](bytearray), PLAIN)) - steps_of(
        lambda: COMPOSITES[layout](bytearray)
    )
    # Each change at each bytecode in one layout, and in the others at some.
    turn = list(CHANGES).index(name) + list(COMPOSITES).index(layout)
    for at in in_steps(total, SOME if turn % len(COMPOSITES) else EVERY, turn):
        with told(f"interrupted at {at} of {total}"):
            b = COMPOSITES[layout](bytearray)
            found = under(interrupted(at), lambda b=b: op.run(b, PLAIN))  # type: ignore[misc]
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


@pytest.mark.parametrize("kind", SOURCES)
def test_an_interrupted_source_of_frames_gives_the_others_in_order(kind: str) -> None:
    source = SOURCES[kind]
    calls = source.calls()
    for which in range(len(calls)):
        watch = interrupted(-1)
        Run(source, which, watch).play()
        total = watch.steps
        for at in in_steps(total, SOME * 2, which):
            with told(f"call {which} ({calls[which]!r}) interrupted at {at} of {total}"):
                Run(source, which, interrupted(at)).play()


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
        assert under(interrupted(at), lambda framer=framer: next(framer.feed(b""))).error  # type: ignore[misc]
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
        under(interrupted(at), lambda framer=framer: look(framer))  # type: ignore[misc]
        assert framer.pending == len(form.stream) - 1
        framer._buffer._check()
        frames = [bytes(frame) for frame in framer.feed(form.stream[-1:])]
        assert frames == list(form.frames), (at, total)


# -- outboxes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", range(len(ACTIONS) + 1))
def test_an_interrupted_outbox_sends_what_it_says_and_in_order(which: int) -> None:
    actions = ACTIONS if which < len(ACTIONS) else [*ACTIONS[:-1], "close"]
    which = min(which, len(actions) - 1)

    def play(at: int) -> int:
        post, watch = Post(), interrupted(at)
        try:
            post.play(actions, which, watch)
        finally:
            post.close()
        return watch.steps

    total = play(-1)
    assert total > 5
    for at in in_steps(total, SOME * 12, which):
        with told(f"{actions[which]} interrupted at {at} of {total}"):
            play(at)


def test_an_interrupted_outbox_over_an_object_is_right_or_broken() -> None:
    put, send = OUTBOX_OPS["put a buffer"], OUTBOX_OPS["flush"]
    total = 0
    for at in range(-1, 2000, STRIDE):
        sink, outbox = Sink(), Outbox()
        sending = Sending(sink, outbox)
        put.run(sending, PLAIN)
        watch = interrupted(at)
        found = under(watch, lambda sending=sending: send.run(sending, PLAIN))  # type: ignore[misc]
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


# -- inboxes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [number for number, name in enumerate(MAIL) if name != "take"])
def test_an_interrupted_inbox_gives_all_that_came_in_order_or_is_broken(which: int) -> None:
    def play(at: int) -> int:
        mail, watch = Mail(), interrupted(at)
        try:
            mail.play(which, watch)
        finally:
            mail.close()
        return watch.steps

    total = play(-1)
    assert total > 5
    for at in in_steps(total, SOME * 12, which):
        with told(f"{MAIL[which]}, {which}, interrupted at {at} of {total}"):
            play(at)


# -- flush ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["descriptor", "object"])
@pytest.mark.parametrize("layout", ["one part", "mixed", "clipped", "many dead"])
def test_an_interrupted_flush_says_at_most_what_went(layout: str, kind: str) -> None:
    b = COMPOSITES[layout](bytearray)

    def flushed(at: int) -> tuple[int, bytes, Outcome]:
        """Return the steps, what came in the end, and what the call came to."""
        far, near = os.pipe()
        sink = Sink()
        watch = interrupted(at)
        try:
            found = under(watch, lambda: flush(b, near if kind == "descriptor" else sink))
        finally:
            os.close(near)
            with os.fdopen(far, "rb") as pipe:
                came = sink.got + pipe.read()
        return watch.steps, came, found

    total = flushed(-1)[0]
    assert total > 50
    for at in in_steps(total, SOME * 20, len(layout)):
        _, came, (size, error) = flushed(at)
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


class alarm:  # noqa: N801  # a disturbance, read as the thing it is
    """Raise out of a real signal handler, after so many microseconds."""

    def __init__(self, after: int) -> None:
        self._after = after * 1e-6

    def start(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._after)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture
def handler() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# A handler that raises while a generator is closed or an object dies is told as unraisable.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [*SOURCES, "outbox", "inbox"])
def test_real_signals_leave_nothing_half_done(kind: str, handler: None) -> None:
    chance = random.Random(kind)
    cut = played = 0
    end = time.monotonic() + SECONDS / (len(SOURCES) + 2)
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
            elif kind == "inbox":
                mail = Mail()
                try:
                    mail.play(chance.randrange(len(MAIL)), alarm(after))
                finally:
                    mail.close()
            else:
                run = Run(SOURCES[kind], chance.randrange(len(SOURCES[kind].calls())), alarm(after))
                run.play()
                cut += run.was_cut
        except Interrupt:
            pass  # it came outside of the call: between it and the end of the block
        cut += kind in {"outbox", "inbox"}


# -- and afterwards


if sys.version_info >= (3, 12):

    def test_nobody_watches_the_package_behind_a_test() -> None:
        """All tests behind it would take five times as long."""
        code = CompositeBuffer.take.__code__
        assert steps_of(lambda: CompositeBuffer([b"ab"]).take(1)) > 10
        assert sys.monitoring.get_local_events(TOOL, code) == sys.monitoring.events.INSTRUCTION
        pytest_runtest_teardown()
        sys.monitoring.use_tool_id(TOOL, "whoever comes next")
        try:
            assert sys.monitoring.get_local_events(TOOL, code) == sys.monitoring.events.NO_EVENTS
        finally:
            sys.monitoring.free_tool_id(TOOL)
