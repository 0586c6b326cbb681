"""Handlers of signals have their turn: that it matters is shown by `tests.faults.test_signals`."""

from __future__ import annotations

import signal
import types
from collections import deque
from itertools import repeat, starmap

import pytest

from bytebufs._core.handlers import run_handlers


def test_it_is_interpreted_in_every_build() -> None:
    assert type(run_handlers) is types.FunctionType


def test_a_handler_that_raises_is_heard() -> None:
    """Called over and over by C, which gives handlers no turn."""

    def interrupt(_: int, frame: types.FrameType | None) -> None:
        if frame is not None and frame.f_code is run_handlers.__code__:
            raise InterruptedError
        signal.setitimer(signal.ITIMER_REAL, 0.005)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    try:
        with pytest.raises(InterruptedError):
            deque(starmap(run_handlers, repeat((), 10_000_000)), maxlen=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
