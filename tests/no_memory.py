"""Each allocation of each change made to fail in turn: a program, since the interpreter itself may give up.

    python -m tests.no_memory KIND

Prints a line for what went wrong, beginning with FAIL; for each time that the process ended itself, with ABORT; and at
the end how many cases there were, and how many of them raised MemoryError.
"""

from __future__ import annotations

import _testcapi  # type: ignore[import-not-found]  # the interpreter's own tests have it
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from bytebufs import CompositeBuffer, flush

from .changes import CHANGES, COMPOSITES, CONTENT, PLAIN, Op, could_be
from .disturbed import ACTIONS, CALM, MAIL, SOURCES, Disturbance, Mail, Post, Run, assert_whole, go_on, under

WIDTHS: Final = (1, 6, 30)
"""How many allocations in a row fail: one, some, many. (Where all do, from there on, CPython itself may never end.)"""

MOST: Final = 400
"""Allocations of a call at most."""

ENOUGH: Final = 5
"""Failures of a case, after which it is given up."""

SECONDS: Final = 30
"""How long a case may take: where it never ends, the alarm ends it."""

PROFILE: Final = os.environ.get("BYTEBUFS_PROFILE", "quick")
THOROUGH: Final = PROFILE in {"ci", "long"}
STEP: Final = 9 if PROFILE == "quick" else 3


class NoMemory:
    """Fail the allocations from this one on, counted from 1, so many of them."""

    def __init__(self, first: int, width: int) -> None:
        self.start: Callable[[], object] = CALM.start
        if width:
            self.start = partial(_testcapi.set_nomemory, first, first + width)
        self.stop: Callable[[], object] = _testcapi.remove_mem_hooks


@dataclass
class Case:
    """Something to try with each allocation failing. `run` returns whether anything was raised."""

    name: str
    run: Callable[[Disturbance], bool]


def is_of_memory(error: BaseException) -> bool:
    """Whether an error says so: in the words of ctypes, if that was asked for an address; or in those that the
    interpreter has where an error itself found no memory."""
    return isinstance(error, (MemoryError, ctypes.ArgumentError)) or (
        isinstance(error, SystemError)
        and ("without setting an exception" in str(error) or "without exception" in str(error))
    )


def composite_case(op: Op, layout: str) -> Case:
    def run(disturbance: Disturbance) -> bool:
        b = COMPOSITES[layout](bytearray)
        found = under(disturbance, partial(op.run, b, PLAIN))
        content = assert_whole(b)
        after = op.model(CONTENT)[0]
        if found.error is None:
            assert could_be(op, CONTENT, found) == content, (content, found)
        else:
            assert is_of_memory(found.error), found
            assert content == CONTENT or (content == after and not op.consumes), content
        go_on(b, content)
        return found.error is not None

    return Case(f"{op.name} of {layout}", run)


def much_case() -> Case:
    """Take so much that each part is let go of when it is copied: from there on nothing may fail."""
    parts = [bytes([65 + k]) * 30_000 for k in range(4)]

    def run(disturbance: Disturbance) -> bool:
        b = CompositeBuffer(map(bytearray, parts))
        found = under(disturbance, partial(b.take_bytes, 100_000))
        content = b"".join(parts)
        if found.error is None:
            assert found.answer == content[:100_000]
            content = content[100_000:]
        else:
            assert is_of_memory(found.error), found
        assert assert_whole(b) == content
        b.append(b"next")
        assert assert_whole(b) == content + b"next"
        return found.error is not None

    return Case("take_bytes of much", run)


def flush_case(layout: str) -> Case:
    def run(disturbance: Disturbance) -> bool:
        b = COMPOSITES[layout](bytearray)
        far, near = os.pipe()
        found = under(disturbance, partial(flush, b, near))
        os.close(near)
        with os.fdopen(far, "rb") as pipe:
            came = pipe.read()
        assert assert_whole(b) == CONTENT
        assert CONTENT.startswith(came)
        if found.error is None:
            assert (found.answer, came) == (len(CONTENT), CONTENT)
        else:
            assert getattr(found.error, "bytes_flushed", 0) <= len(came)
        go_on(b, CONTENT)
        return found.error is not None

    return Case(f"flush of {layout}", run)


def source_case(kind: str, which: int) -> Case:
    def run(disturbance: Disturbance) -> bool:
        played = Run(SOURCES[kind], which, disturbance)
        played.play()
        return played.was_cut

    return Case(f"call {which} of {kind}", run)


def outbox_case(which: int, actions: list[str]) -> Case:
    def run(disturbance: Disturbance) -> bool:
        post = Post()
        try:
            post.play(actions, which, disturbance)
        finally:
            post.close()
        return post.was_cut

    return Case(f"{actions[which]}, action {which} of an outbox", run)


def inbox_case(which: int) -> Case:
    def run(disturbance: Disturbance) -> bool:
        mail = Mail()
        try:
            mail.play(which, disturbance)
        finally:
            mail.close()
        return mail.was_cut

    return Case(f"{MAIL[which]}, action {which} of an inbox", run)


def composite_cases() -> Iterator[Case]:
    layouts = list(COMPOSITES)
    for turn, op in enumerate(CHANGES.values()):
        for number, layout in enumerate(layouts):
            if op.name != "flush" and (THOROUGH or (turn + number) % STEP == 0):
                yield composite_case(op, layout)
    for layout in layouts:
        yield flush_case(layout)
    yield much_case()


def source_cases() -> Iterator[Case]:
    for kind, source in SOURCES.items():
        for which in range(len(source.calls())):
            if THOROUGH or which % STEP < 2:
                yield source_case(kind, which)


def outbox_cases() -> Iterator[Case]:
    for which in range(len(ACTIONS)):
        yield outbox_case(which, ACTIONS)
    yield outbox_case(len(ACTIONS) - 1, [*ACTIONS[:-1], "close"])


def inbox_cases() -> Iterator[Case]:
    for which, name in enumerate(MAIL):
        if name != "take":
            yield inbox_case(which)


KINDS: Final[dict[str, Callable[[], Iterator[Case]]]] = {
    "composites": composite_cases,
    "sources": source_cases,
    "outboxes": outbox_cases,
    "inboxes": inbox_cases,
}


def moments() -> Iterator[tuple[int, int]]:
    return ((first, width) for first in range(MOST) for width in WIDTHS)


def try_all(case: Case, begin: int, tell: Callable[[str], None]) -> None:
    """Fail one allocation after the other, until the call needs no more of them."""
    case.run(NoMemory(1, 0))
    failures = 0
    for number, (first, width) in enumerate(moments()):
        if number < begin:
            continue
        tell(f"AT {number}")
        try:
            raised = case.run(NoMemory(first + 1, width))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            tell(f"FAIL {case.name}, allocation {first + 1}, {width} in a row: {error!r:.300}")
            raised = True
            failures += 1
        tell(f"RAISED {int(raised)}")
        if (width == WIDTHS[-1] and not raised) or failures == ENOUGH:
            return


def in_child(case: Case, begin: int) -> tuple[int, list[str], str]:
    """Try it in a child. Returns how that ended, what it told, and what it said on its standard error."""
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.dup2(errors.fileno(), 2)
                signal.alarm(SECONDS)
                try_all(case, begin, partial(say, to=told.fileno()))
                status = 0
            except Exception as error:  # noqa: BLE001  # it goes no further than this process
                os.write(errors.fileno(), f"{error!r}".encode())
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        told.seek(0)
        errors.seek(0)
        return status, told.read().decode().splitlines(), errors.read().decode(errors="replace")


def main(kind: str) -> None:
    cases = raised = 0
    for case in KINDS[kind]():
        begin = crashes = 0
        while begin >= 0:
            status, lines, errors = in_child(case, begin)
            last = begin
            for line in lines:
                word, _, rest = line.partition(" ")
                if word == "AT":
                    last = int(rest)
                    cases += 1
                elif word == "RAISED":
                    raised += int(rest)
                else:
                    say(line)
            if status:
                first, width = list(moments())[last]
                say(f"ABORT {status} {case.name}, allocation {first + 1}, {width} in a row: {errors.strip()[:300]!r}")
                crashes += status != -signal.SIGABRT
            begin = last + 1 if status and crashes < ENOUGH and last + 1 < MOST * len(WIDTHS) else -1
    say(f"CASES {cases} {raised}")


def say(line: str, to: int = 1) -> None:
    os.write(to, f"{line}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
