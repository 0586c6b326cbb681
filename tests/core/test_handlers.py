"""Handlers of signals have their turn: that it matters is shown by `tests.faults.test_signals`."""

from __future__ import annotations

import signal
import threading
import types

import pytest

from bytebufs._core.handlers import run_handlers


def test_it_is_interpreted_in_every_build() -> None:
    assert type(run_handlers) is types.FunctionType


def test_a_handler_that_raises_is_heard() -> None:
    def interrupt(*_: object) -> None:
        raise InterruptedError

    def wait_for_it() -> None:
        signalling = threading.Thread(target=signal.raise_signal, args=[signal.SIGUSR1])
        signalling.start()
        signalling.join()
        while True:
            run_handlers()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(InterruptedError):
            wait_for_it()
    finally:
        signal.signal(signal.SIGUSR1, before)
