"""Each trial under one kind of fault: a program, as its process is what is disturbed.

    python -m tests.faults.disturbing KIND [TRIAL ...]

Prints a line for each trial, which begins with FAIL if something was lost, doubled or half-changed.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Final

from ..memory import address_space_for
from .trials import TRIALS, Trial, content_of

MEMORY: Final = 6 << 20

ATTEMPTS: Final = {"ci": 12, "long": 40}.get(os.environ.get("BYTEBUFS_PROFILE", "quick"), 6)


def short_of_memory(make: Callable[[bytes], Trial]) -> str:
    """Let the process have little more address space than it has, then more again."""
    trial = make(content_of(MEMORY))
    if not trial.needs_memory:
        trial.close()
        return "needs none"
    trial.released.set()
    trial.begin()
    error: Exception | None = None
    with address_space_for(MEMORY // 3):
        try:
            trial.go()
        except trial.error as caught:
            error = caught
    assert error is not None, "memory was not missed"
    trial.assert_whole()
    trial.go()
    trial.assert_done()
    trial.close()
    return repr(error)


class Interrupt(BaseException):
    """What a signal handler raises."""


def handled_signals(make: Callable[[bytes], Trial]) -> str:
    """Interrupt every call over and over by a handler that returns."""
    rung = 0
    trial: Trial | None = None

    def count(*_: object) -> None:
        nonlocal rung
        rung += 1
        if rung == 1 and trial is not None:  # not in the middle of itself: it takes a lock
            trial.released.set()

    signal.signal(signal.SIGALRM, count)
    for _ in range(20):
        rung = 0
        trial = make(content_of(1 << 20))
        trial.begin()
        signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
        try:
            trial.go()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        trial.released.set()
        trial.assert_done()
        trial.close()
        if rung:
            break
    return "interrupted" if rung else "too quick to be interrupted"


def raising_signals(make: Callable[[bytes], Trial]) -> str:
    """Have a handler raise: in a call that waits for the other side, and in those that do not."""
    ends: Counter[str] = Counter()
    for number in range(ATTEMPTS):
        trial = make(content_of(1 << 20))

        def interrupt(*_: object, trial: Trial = trial) -> None:
            trial.released.set()
            if trial.is_calling:
                trial.is_calling = False
                raise Interrupt
            signal.setitimer(signal.ITIMER_REAL, 0.001 * (not trial.is_over))

        signal.signal(signal.SIGALRM, interrupt)
        if number % 2:
            trial.released.set()
        trial.begin()
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.005 if not number % 2 else 0.0002 * number)
            trial.go()
            trial.is_over = True
            trial.assert_done()
        except Interrupt:
            trial.assert_whole()
            ends[trial.go_on()] += 1
        trial.is_over = True
        signal.setitimer(signal.ITIMER_REAL, 0)  # or it rings in the middle of the next one's preparations
        trial.close()
    return " and ".join(sorted(ends)) or "too quick to be interrupted"


def eager_collector(make: Callable[[bytes], Trial]) -> str:
    """Collect at each allocation, garbage that has something to say about it too."""

    found = 0

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            nonlocal found
            found += 1
            if found < 2000:
                Garbage()

    trial = make(content_of(200_000))
    trial.released.set()
    trial.begin()
    Garbage()
    gc.set_threshold(1, 1, 1)
    try:
        trial.go()
    finally:
        gc.set_threshold(700, 10, 10)
    trial.assert_done()
    trial.close()
    return "collected" if found else "too short to be collected in"


def forked(make: Callable[[bytes], Trial]) -> str:
    """Fork before the call: the child uses its copy up where that has no descriptor of its parent's, and ends."""
    trial = make(content_of(100_000))
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            trial.assert_whole()
            if not trial.blocks:
                trial.go()
                trial.assert_done()
            trial.close()
            status = 0
        except BaseException:  # noqa: BLE001  # it goes no further than this process
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child failed"
    trial.assert_whole()
    trial.released.set()
    trial.begin()
    trial.go()
    trial.assert_done()
    trial.close()
    return "forked"


KINDS: Final[dict[str, Callable[[Callable[[bytes], Trial]], str]]] = {
    "memory": short_of_memory,
    "signals": handled_signals,
    "exceptions": raising_signals,
    "collector": eager_collector,
    "forks": forked,
}


def main(kind: str, *names: str) -> None:
    sys.setswitchinterval(0.0005)  # as there are threads that take turns
    for name in names or TRIALS:
        try:
            told = KINDS[kind](TRIALS[name])
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            place = traceback.extract_tb(error.__traceback__)[-1]
            told = f"FAIL {error!r:.300} in line {place.lineno} of {place.filename}"
        print(f"{name}: {told}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
