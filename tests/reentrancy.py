"""Code of the caller's that runs inside a change, in every combination: a program, so that a crash stays in it.

    python -m tests.reentrancy TRIGGER [FIRST]

Prints a line before each case, beginning with its number; a case that broke a promise gets a line that begins with
FAIL. FIRST is the number of the case to begin with: behind one that crashed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import sys
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, SupportsIndex

from bytebufs import CompositeBuffer, Outbox, Part

from .bytecodes import Bytecodes, in_the_middle_of
from .changes import (
    ACTS,
    CHANGES,
    COMPOSITES,
    CONTENT,
    DETACHED,
    FORMATS,
    INBOX_OPS,
    NOTHING_YET,
    OUTBOX_OPS,
    Box,
    Caller,
    Letters,
    Maker,
    Op,
    Outcome,
    Receiving,
    Sending,
    Sink,
    State,
    explained,
    framer_ops,
    in_steps,
    numpy_array,
    outcome,
)

PROFILE: Final = os.environ.get("BYTEBUFS_PROFILE", "quick")
THOROUGH: Final = PROFILE in {"ci", "long"}
STEP: Final = 5 if PROFILE == "quick" else 1
"""Of so many cases one is tried. There are not as many acts, so that each call meets others."""

MOMENTS: Final = 1000 if THOROUGH else 4
"""How many of the moments at which a trigger could act inside one call it does act at."""


class Intruder:
    """Does something to the subject, at one of the moments that it gets while a call runs."""

    _is_on = False  # of the class, too: a finalizer may come when the collector has emptied us

    def __init__(self, act: Op) -> None:
        self.act = act
        self.subject: Any = None
        self.at = 0
        self.moments = 0
        self.done: list[tuple[Op, Outcome]] = []
        self._is_on = False

    def __call__(self, *_: object) -> None:
        if self._is_on:
            self.moments += 1
            if self.moments == self.at + 1:
                self._is_on = False
                self.done.append((self.act, outcome(self.act, self.subject)))
                self._is_on = True

    @contextlib.contextmanager
    def watching(self, subject: object) -> Iterator[None]:
        self.subject = subject
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False


# -- triggers ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def eager_collector() -> Iterator[None]:
    """Let the collector run at every allocation that it counts, over what is made from here on. Elsewhere it is off."""
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(1, 1, 1000)
    gc.enable()
    try:
        yield
    finally:
        gc.disable()
        gc.set_threshold(*threshold)


class Trigger:
    """A way for an intruder to run inside a call. `may_refuse`: it may come when the change is half done."""

    may_refuse = True
    needs_parts = False

    def __init__(self, intruder: Intruder) -> None:
        self.intruder = intruder

    def part(self, data: bytes) -> Part:
        return bytearray(data)

    def caller(self) -> Caller:
        return Caller()

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        yield


class Finalizer(Trigger):
    """An owner that is finalized when the last reference to it goes: behind the change, so that nothing is refused."""

    may_refuse = False
    needs_parts = True

    def part(self, data: bytes) -> Part:
        owner = numpy_array(data)
        weakref.finalize(owner, self.intruder).atexit = False
        return owner  # type: ignore[no-any-return]

    def caller(self) -> Caller:
        return _WithPart(self.part)


class ArrayFinalizer(Finalizer):
    """The same, of an owner that is not numpy's."""

    def part(self, data: bytes) -> Part:
        owner = array("B", data)
        weakref.finalize(owner, self.intruder).atexit = False
        return owner


class WeakCallback(Finalizer):
    """A weak reference with a callback."""

    kept: Final[list[object]] = []

    def part(self, data: bytes) -> Part:
        owner = array("B", data)
        self.kept.append(weakref.ref(owner, self.intruder))
        return owner

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        yield
        self.kept.clear()


class Release(Finalizer):
    """The method that an owner written in Python is called by when its buffer is let go of (from 3.12 on)."""

    def part(self, data: bytes) -> Part:
        intruder = self.intruder

        class Owner:
            def __buffer__(self, flags: int) -> memoryview:
                return memoryview(data)

            def __release_buffer__(self, view: memoryview) -> None:
                intruder()

        return Owner()


class Cycle(Trigger):
    """An owner in a cycle that somebody has dropped: its ``__del__`` is run by the collector, at some allocation."""

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        with eager_collector():
            _InCycle(self.intruder)
            yield


class _InCycle(bytearray):
    """Has another one made in its place, so that each run of the collector finds one."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__(b"owner")
        self._tell = tell
        self._view = memoryview(self)
        self._self = self

    def __del__(self) -> None:
        self._tell()
        if gc.isenabled():
            _InCycle(self._tell)


class Collector(Trigger):
    """A callback of the collector, which runs at every allocation."""

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        gc.callbacks.append(self.intruder)
        try:
            with eager_collector():
                yield
        finally:
            gc.callbacks.remove(self.intruder)


class Signal(Trigger):
    """A signal handler that returns: where the pure build runs one, and between any other two bytecodes."""

    @contextlib.contextmanager
    def around(self) -> Iterator[None]:
        bytecodes = Bytecodes(lambda: None if in_the_middle_of("_exchange") else self.intruder())
        bytecodes.start()
        try:
            yield
        finally:
            bytecodes.stop()


class Index(Trigger):
    """A size or position that is asked for its number."""

    def caller(self) -> Caller:
        return _WithIndex(self.intruder)


class Exporting(Trigger):
    """A part that is asked for its buffer (from 3.12 on)."""

    def caller(self) -> Caller:
        return _WithPart(lambda data: _Exporter(self.intruder, data))


class Iterating(Trigger):
    """An iterable of parts that acts between them."""

    def caller(self) -> Caller:
        return _WithParts(self.intruder)


class Sending_(Trigger):  # noqa: N801  # the subject has the name without
    """A sink that acts before and behind taking a piece."""

    def caller(self) -> Caller:
        return _WithSink(self.intruder)


class Receiving_(Trigger):  # noqa: N801  # the subject has the name without
    """A source that acts before and behind giving a piece."""


class _WithPart(Caller):
    def __init__(self, make: Maker) -> None:
        self._make = make

    def part(self, data: bytes) -> Part:
        return self._make(data)


class _WithIndex(Caller):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def size(self, n: int) -> SupportsIndex:
        return _Number(self._tell, n)


class _WithParts(Caller):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def parts(self, parts: list[Part]) -> Iterable[Part]:
        for part in parts:
            self._tell()
            yield part
        self._tell()


class _WithSink(Caller):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def sink(self) -> Any:
        return Sink(self._tell)


@dataclass
class _Number:
    tell: Callable[[], None]
    n: int

    def __index__(self) -> int:
        self.tell()
        return self.n


@dataclass
class _Exporter:
    tell: Callable[[], None]
    data: bytes

    def __buffer__(self, flags: int) -> memoryview:
        self.tell()
        return memoryview(self.data)


TRIGGERS: Final[dict[str, type[Trigger]]] = {
    "finalizer": Finalizer,
    "array finalizer": ArrayFinalizer,
    "weakref callback": WeakCallback,
    "release buffer": Release,
    "cycle": Cycle,
    "collector callback": Collector,
    "signal handler": Signal,
    "index": Index,
    "buffer": Exporting,
    "iterable": Iterating,
    "sink": Sending_,
    "source": Receiving_,
    "outbox callback": Trigger,
}


# -- subjects ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One call on one subject, and one thing that is done to it meanwhile."""

    name: str
    trigger: type[Trigger]
    make: Callable[[Trigger], Any]
    before: State
    outer: Op
    act: Op
    is_final: Callable[[Any, State], bool]
    may_refuse: bool

    def run(self) -> tuple[int, list[str]]:
        """Try it at several of the moments that there are. Returns how often the intruder came, and what failed."""
        at = came = 0
        failures = []
        steps: Iterator[int] | None = None
        while True:
            intruder = Intruder(self.act)
            intruder.at = at
            failure = self._run_once(intruder)
            came += len(intruder.done)
            if failure:
                done = ", ".join(f"{op.name}: {found.error!r} {found.answer!r:.70}" for op, found in intruder.done)
                failures.append(f"{self.name} at {at} of {intruder.moments} [{done}]: {failure}")
            if steps is None:
                steps = in_steps(intruder.moments, MOMENTS, hash_of(self.name))
            at = next(steps, -1)
            if at < 0:
                return came, failures

    def _run_once(self, intruder: Intruder) -> str:
        trigger = self.trigger(intruder)
        subject = self.make(trigger)
        caller = trigger.caller()
        with trigger.around(), intruder.watching(subject):
            found = outcome(self.outer, subject, caller)
        try:
            for error in [found.error, *[inner.error for _, inner in intruder.done]]:
                if type(error) in {AttributeError, AssertionError, SystemError, KeyError, UnboundLocalError}:
                    return f"{error!r} came out"
            if not explained(
                self.before,
                (self.outer, found),
                intruder.done,
                lambda state: self.is_final(subject, state),
                may_refuse=self.may_refuse,
            ):
                return f"no order explains {found.error!r} {found.answer!r:.70}, and now {shown(subject)}"
        except Exception as error:  # noqa: BLE001  # whatever it is, it came out of a subject that is broken
            return f"broken: {error!r}"
        return ""


def hash_of(name: str) -> int:
    """Return the same number in each process."""
    return sum(name.encode())


def shown(subject: Any) -> str:
    return repr(bytes(subject)) if isinstance(subject, CompositeBuffer) else repr(subject)


def composite_is(b: CompositeBuffer, state: bytes) -> bool:
    b._check()
    if bytes(b) != state or len(b) != len(state) or b"".join(b.views()) != state:
        return False
    twin = b.freeze()
    b.append(b"and on")
    on = bytes(b) == state + b"and on" and bytes(twin) == state
    b.truncate(len(state))
    b._check()
    return on


def composite_cases(trigger: type[Trigger]) -> Iterator[Case]:
    layouts = COMPOSITES if trigger.needs_parts or THOROUGH else {k: COMPOSITES[k] for k in ("mixed", "looked at")}
    for layout, make in layouts.items():
        for outer in CHANGES.values():
            if (outer.name == "flush") != (trigger is Sending_) and trigger is Sending_:
                continue
            for act in ACTS.values():
                yield Case(
                    f"{outer.name} / {act.name} / {layout}",
                    trigger,
                    lambda t, make=make: make(t.part),  # type: ignore[misc]  # mypy infers no default's type
                    CONTENT,
                    outer,
                    act,
                    composite_is,
                    trigger.may_refuse,
                )


def framer_cases(trigger: type[Trigger]) -> Iterator[Case]:
    for kind, form in FORMATS.items():
        ops = framer_ops(form)

        def make(t: Trigger, form: Any = form) -> Any:
            framer = form.make()
            half = len(form.stream) // 2 + 1
            framer.feed(t.part(form.stream[:3]))
            framer.feed(t.part(form.stream[3:half]))
            framer.feed(t.part(form.stream[half:-1]))
            return framer

        def is_final(framer: Any, state: State, form: Any = form) -> bool:
            framer._buffer._check()
            if state == DETACHED:
                return bool(framer._is_detached and framer._closed and framer.pending == 0)
            if framer.pending != len(state):
                return False
            left = [bytes(frame) for frame in framer.feed(form.stream[-1:])]
            state += form.stream[-1:]
            while (found := form.first(state)) is not None:
                if not left or left.pop(0) != found[0]:
                    return False
                state = state[found[1] :]
            return not left and framer.pending == len(state)

        for outer in ops.values():
            for act in ops.values():
                name = f"{kind} {outer.name} / {act.name}"
                yield Case(name, trigger, make, form.stream[:-1], outer, act, is_final, may_refuse=True)


def outbox_is(sending: Sending, box: Box) -> bool:
    """Whether it holds what the model does. Looks only: it may be asked of several models."""
    outbox = sending.outbox
    waiting = bytes(outbox._queue) + bytes(outbox._late or b"")
    return (outbox.pending, waiting, sending.sink.got, outbox._is_closed) == (
        len(box.waiting),
        box.waiting,
        box.came,
        box.is_closed,
    )


def outbox_cases(trigger: type[Trigger]) -> Iterator[Case]:
    before = Box(CONTENT + b"small", b"")

    def make(t: Trigger) -> Sending:
        intruder = t.intruder
        callback = intruder if trigger is Trigger else lambda: None
        sending = Sending(
            Sink(intruder if trigger is Sending_ else lambda: None),
            Outbox(high=1 if trigger is Trigger else 10, low=1, on_pause=callback, on_resume=callback),
        )
        sending.outbox.put(t.part(CONTENT), on_sent=callback)
        sending.outbox.put(t.part(b"small"))
        if trigger is Trigger:
            sending.outbox.paused = False
        return sending

    for outer in OUTBOX_OPS.values():
        for act in OUTBOX_OPS.values():
            name = f"Outbox {outer.name} / {act.name}"
            may_refuse = trigger.may_refuse or act.name == "flush"
            yield Case(name, trigger, make, before, outer, act, outbox_is, may_refuse)


def inbox_is(receiving: Receiving, letters: Letters) -> bool:
    """Whether it holds what the model does. Looks only, but that what has come is shown."""
    inbox = receiving.inbox
    inbox.buffer._check()
    if (receiving.coming, inbox._granted > 0, inbox.ended) != (letters.coming, bool(letters.room), False):
        return False
    if inbox._trouble or inbox._is_busy or inbox._shown != inbox._at or bytes(inbox.buffer) != letters.waiting:
        return False
    return letters.room in {b"", NOTHING_YET, bytes(inbox.room()[:4])}


def inbox_cases(trigger: type[Trigger]) -> Iterator[Case]:
    befores = {
        "with a room": Letters(b"first", b"second and third", b"room"),
        "without": Letters(b"", b"second and third"),
    }

    def make(t: Trigger, before: Letters) -> Receiving:
        receiving = Receiving(t.intruder if trigger is Receiving_ else lambda: None)
        inbox = receiving.inbox
        inbox.room()[:5] = b"first"
        inbox.filled(5)
        if before.room:
            inbox.room()[:4] = before.room
        else:
            inbox.buffer.clear()
        receiving.coming = before.coming
        return receiving

    for layout, before in befores.items():
        for outer in INBOX_OPS.values():
            for act in INBOX_OPS.values():
                name = f"Inbox {outer.name} / {act.name} / {layout}"
                make_it = partial(make, before=before)
                yield Case(name, trigger, make_it, before, outer, act, inbox_is, may_refuse=True)


def cases(trigger: type[Trigger]) -> Iterator[Case]:
    if trigger is Receiving_:
        yield from inbox_cases(trigger)
        return
    if trigger is not Trigger:
        yield from composite_cases(trigger)
    if trigger not in {Trigger, Sending_}:
        yield from framer_cases(trigger)
        yield from inbox_cases(trigger)
    yield from outbox_cases(trigger)


def main(name: str, first: int = 0) -> None:
    faulthandler.enable()
    gc.disable()
    came: dict[str, int] = {}
    for number, case in enumerate(cases(TRIGGERS[name])):
        if number < first or number % STEP:
            continue
        os.write(1, f"{number} {case.name}\n".encode())
        often, failures = case.run()
        came[case.outer.name] = came.get(case.outer.name, 0) + often
        for failure in failures:
            os.write(1, f"FAIL {failure}\n".encode())
    for call, often in came.items():
        os.write(1, f"CAME {often} {call}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
