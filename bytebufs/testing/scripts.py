"""Scripts: what a fake does at each call, so that whoever uses it meets the day on which the network is bad.

A step says what one call does:

- a number: it passes so many bytes at most (0: none, which is the end of a stream for who reads);
- None: it passes all that it is given room for;
- STALL, RESET, INTERRUPT, TIMEOUT, or an exception of one's own: it is raised, and nothing has passed;
- a function without arguments: it is called, and the next step follows. For what happens just then: a file shrinks.

A script is one step, for every call; or steps in turn, after which all passes; or a function that is given the
number of bytes that have passed so far, and returns the step.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, TypeAlias, cast, final

from .._core.parts import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["INTERRUPT", "RESET", "STALL", "TIMEOUT", "Fault", "Script", "Step", "until"]


@final
class Fault:
    """An error of the system's, made anew each time that it is raised."""

    def __init__(self, name: str, *args: object) -> None:
        self._name = name
        self._args = args

    def __repr__(self) -> str:
        """Return its name."""
        return self._name

    def error(self) -> OSError:
        """Return a new exception."""
        return OSError(*self._args) if len(self._args) > 1 else TimeoutError(*self._args)


def _fault(name: str, number: int) -> Fault:
    return Fault(name, number, os.strerror(number))  # OSError chooses its subclass by the number


STALL: Final = _fault("STALL", errno.EAGAIN)
"""Not now: BlockingIOError."""

RESET: Final = _fault("RESET", errno.ECONNRESET)
"""The peer has gone: ConnectionResetError."""

INTERRUPT: Final = _fault("INTERRUPT", errno.EINTR)
"""A signal came first: InterruptedError. Python's own sockets go on by themselves; other code may let it through."""

TIMEOUT: Final = Fault("TIMEOUT", "timed out")
"""The socket's time limit is over: TimeoutError, with the words of a socket's own, and no number."""

_Plain: TypeAlias = "int | Fault | BaseException | type[BaseException] | None"

Step: TypeAlias = "_Plain | Callable[[], object]"
"""What one call does."""

Steps: TypeAlias = "Step | Iterable[Step] | Callable[[int], _Plain]"


@final
class Script:
    """What a fake does at each call. ``calls`` counts them, ``passed`` the bytes."""

    def __init__(self, steps: Steps = None) -> None:
        self.calls: int = 0
        self.passed: int = 0
        self._choose = _chooser(steps)

    def allow(self, wanted: int) -> int:
        """Return how many of so many bytes the next call passes, or raise what it raises."""
        self.calls += 1
        step = self._choose(self.passed)
        if isinstance(step, Fault):
            raise step.error()
        if isinstance(step, BaseException) or (isinstance(step, type) and issubclass(step, BaseException)):
            raise step
        if step is None:
            return wanted
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"a step is a number of bytes, None, a fault or an exception, not {shown(step)}")
        return min(step, wanted)


def until(n: int, step: _Plain, *, each: int | None = None) -> Callable[[int], _Plain]:
    """Return a script that passes n bytes, at most ``each`` a call, and then does this ``step`` for ever.

    >>> from bytebufs import flush
    >>> from bytebufs.testing import RESET, FakeSocket, until
    >>> sock = FakeSocket(send=until(5, RESET, each=2))
    >>> flush(b"hello, world", sock)
    Traceback (most recent call last):
    ConnectionResetError: ...
    >>> bytes(sock.sent)
    b'hello'
    """

    def choose(passed: int) -> _Plain:
        left = n - passed
        if left <= 0:
            return step
        return left if each is None else min(left, each)

    return choose


def _chooser(steps: Steps) -> Callable[[int], object]:
    if isinstance(steps, (int, Fault, BaseException, type)) or steps is None:
        return lambda _: steps
    if callable(steps):
        return cast("Callable[[int], object]", steps)
    return _in_turn(iter(steps))


def _in_turn(steps: Iterator[Step]) -> Callable[[int], object]:
    def choose(_: int) -> object:
        for step in steps:
            if not callable(step) or isinstance(step, type):
                return step
            step()
        return None

    return choose
