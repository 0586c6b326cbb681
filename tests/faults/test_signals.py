"""Signals in calls that wait: a handler that returns costs nothing, and one that raises gets through at once.

At each bytecode, and in calls that wait by a selector, they come in `tests.test_interrupts` and `tests.sending`.
"""

from __future__ import annotations

import os
import select
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final, TypeAlias

import pytest

from bytebufs import BrokenSink, CompositeBuffer, FileRegion, Inbox, Outbox, flush, transfer

from ..sinks import PATIENCE
from .disturbed_trials import told_of
from .trials import TRIALS, connected

WAITS: Final = [name for name in TRIALS if name.startswith(("receive", "flush", "outbox", "transfer"))]

MUCH: Final = CompositeBuffer([b"ab" * 500_000, bytearray(1_000_000)] * 4)
"""More than any system holds for a peer that takes nothing."""


def test_a_handler_that_returns_costs_nothing() -> None:
    told = told_of("signals")
    assert {told[name] for name in WAITS if name in told} == {"interrupted"}


def test_a_handler_that_raises_is_told_the_least_or_that_it_is_unknown() -> None:
    told = told_of("exceptions")
    for name in told:
        if name in WAITS:
            assert told[name] in {"is told the least", "is broken", "went on", "is broken and went on"}, (name, told)


class Interrupt(Exception):
    """What the handler raises."""


Interrupted: TypeAlias = Callable[[Any, Callable[[], object]], None]


@pytest.fixture
def interrupted() -> Iterator[Interrupted]:
    """Give what makes a call and has one signal come, whose handler raises: soon, or once something came to an end."""
    far: Any = None

    def interrupt(*_: object) -> None:
        if far is None or select.select([far], [], [], 0)[0]:
            raise Interrupt
        signal.setitimer(signal.ITIMER_REAL, 0.02)

    def begin(end: Any, call: Callable[[], object]) -> None:
        nonlocal far
        far = end
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        call()

    before = signal.signal(signal.SIGALRM, interrupt)
    yield begin
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Two ends, of which the second one does nothing; after a minute it is closed, so that no failure hangs."""
    with ExitStack() as stack:
        if request.param == "pipe":
            there, here = os.pipe()
            far: Any = stack.enter_context(os.fdopen(there, "rb", 0))
            near: Any = stack.enter_context(os.fdopen(here, "wb", 0))
        else:
            near, far = map(stack.enter_context, connected(request.param))
        giving_up = threading.Timer(PATIENCE, far.close)
        giving_up.start()
        stack.callback(giving_up.join)
        stack.callback(giving_up.cancel)
        yield near, far


def came_to(far: Any) -> bytes:
    """Return what lies in the system."""
    os.set_blocking(far.fileno(), False)
    pieces = []
    try:
        while piece := os.read(far.fileno(), 1 << 20):
            pieces.append(piece)
    except BlockingIOError:
        pass
    return b"".join(pieces)


@pytest.fixture(scope="module")
def file() -> Iterator[Any]:
    with tempfile.TemporaryFile() as much:
        flush(MUCH, much)
        yield much


SENDS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "flush": lambda _, near: flush(MUCH, near),
    "flush a descriptor": lambda _, near: flush(MUCH, near.fileno()),
    "flush one part": lambda _, near: flush(bytes(MUCH), near),
    "flush a region": lambda file, near: flush(FileRegion(file)[:], near),
    "transfer": transfer,
}


@pytest.mark.parametrize("ends", ["unix", "tcp", "pipe"], indirect=True)
@pytest.mark.parametrize("name", SENDS)
def test_one_signal_gets_through_to_a_peer_that_takes_nothing(
    name: str, ends: tuple[Any, Any], file: Any, interrupted: Interrupted
) -> None:
    """The call has sent a part when it is interrupted, and says so: the next one would wait for ever."""
    near, far = ends
    before = bytes(MUCH)
    with pytest.raises(Interrupt) as caught:
        interrupted(far, lambda: SENDS[name](file, near))
    MUCH._check()
    near.close()
    came = came_to(far)
    assert before == MUCH
    assert 0 < len(came) < len(before)
    assert before.startswith(came)
    assert getattr(caught.value, "bytes_flushed", 0) <= len(came)


@pytest.mark.parametrize("ends", ["unix", "tcp", "pipe"], indirect=True)
def test_an_outbox_that_blocks_lets_one_signal_through_and_knows_what_went(
    ends: tuple[Any, Any], interrupted: Interrupted
) -> None:
    near, far = ends
    outbox = Outbox()
    outbox.put(MUCH)
    with pytest.raises(Interrupt):
        interrupted(far, lambda: outbox.flush(near))
    outbox._queue._check()
    came = came_to(far)
    assert bytes(MUCH).startswith(came)
    os.set_blocking(near.fileno(), False)
    try:
        outbox.flush(near)
    except BrokenSink:
        return
    while outbox.pending:
        came += came_to(far)
        outbox.flush(near)
    assert came + came_to(far) == MUCH


@pytest.mark.parametrize("ends", ["unix", "tcp", "pipe"], indirect=True)
def test_one_signal_ends_a_wait_for_a_peer_that_sends_nothing(ends: tuple[Any, Any], interrupted: Interrupted) -> None:
    _, far = ends
    inbox = Inbox()
    with pytest.raises(Interrupt):
        interrupted(None, lambda: inbox.receive(far))
    assert not inbox.buffer
    inbox.buffer._check()
