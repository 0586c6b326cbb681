"""Code of the caller's that runs inside a change meets a whole buffer, or is told that it is busy; it breaks nothing.

The cases are those of `tests.reentrancy`: each call that changes a composite, framer, outbox or inbox, by each way in
which foreign code can run inside it, with each thing that it may do there. They run in a child, so that a crash has a
name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from bytebufs import COMPILED

from .children import Child, run_child
from .reentrancy import TRIGGERS

MOST_CRASHES: Final = 5
"""Crashes behind which a matrix is gone on with: enough to see of what kind they are."""

NEW_IN_3_12: Final = {"release buffer", "buffer"}

_BETWEEN_BYTECODES: Final = COMPILED and sys.version_info >= (3, 12)
_SELDOM_COLLECTED: Final = COMPILED and sys.version_info >= (3, 14)

COME: Final = {
    "finalizer": {"skip few", "skip many", "splice the middle", "truncate", "clear", "consolidate", "compact", "close"},
    "array finalizer": {"skip few", "splice the front", "truncate", "clear", "consolidate", "parse", "flush"},
    "weakref callback": {"skip many", "splice the end", "cut the middle", "clear", "consolidate", "close"},
    "release buffer": {"skip many", "splice the middle", "clear", "consolidate", "take_until", "close"},
    # From 3.12 on the collector runs between bytecodes alone.
    "cycle": {"append a buffer", "reserve", *([] if _BETWEEN_BYTECODES else ["take many", "consolidate", "next"])},
    "collector callback": {
        "append a buffer", "reserve",
        *([] if _SELDOM_COLLECTED else ["take many", "splice the middle", "consolidate", "next"]),
    },
    "signal handler": {
        "append", "take few", "skip many", "insert", "reserve", "parse", "feed", "next", "put", "flush",
        "receive", "filled", "rest",
    },
    "index": {
        "insert", "splice the middle", "pack", "pack_varint", "pack_uint", "reserve", "take few", "take_at_most",
        "skip few", "truncate", "take_until", "parse", "consolidate the middle", "filled",
    },
    "buffer": {"append", "+=", "appendleft", "extend", "insert", "splice the middle", "feed", "put"},
    "iterable": {"extend"},
    "sink": {"flush"},
    "source": {"receive"},
    "outbox callback": {"put", "put a buffer", "flush"},
}  # fmt: skip
"""Calls inside which each trigger acts in either build: if it did not, nothing would be tested."""


@dataclass
class Report:
    """What a matrix came to."""

    cases: int = 0
    came: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)

    def add(self, child: Child) -> int:
        """Read what a child printed. Returns the number of its last case."""
        last = "-1 the beginning"
        for line in child.output.splitlines():
            if line.startswith("FAIL "):
                self.failures.append(line)
            elif line.startswith("CAME "):
                _, often, call = line.split(" ", 2)
                self.came |= {call} if int(often) else set()
            else:
                last = line
                self.cases += 1
        if child.status:
            self.failures.append(f"CRASH {child.status} in {last}: {child.errors[-600:]}")
        elif child.errors and "__release_buffer__" not in child.errors:
            # Where it lets go of a buffer with an error on its way, the interpreter finds neither method nor name.
            self.failures.append(f"SAID {child.errors[-600:]}")
        return int(last.split()[0])


def run_matrix(trigger: str) -> Report:
    report = Report()
    first = 0
    for _ in range(MOST_CRASHES):
        child = run_child("tests.reentrancy", trigger, str(first))
        first = report.add(child) + 1
        if not child.status:
            break
    return report


def triggers() -> Iterator[object]:
    for name in TRIGGERS:
        marks = []
        if name in NEW_IN_3_12:
            marks.append(pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12"))
        if name == "signal handler":
            marks.append(pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code"))
        yield pytest.param(name, marks=marks)


@pytest.mark.parametrize("trigger", list(triggers()))
def test_foreign_code_inside_a_change_breaks_nothing(trigger: str) -> None:
    report = run_matrix(trigger)
    if report.failures:
        shown = "\n".join(report.failures[:: max(1, len(report.failures) // 20)])
        pytest.fail(f"{len(report.failures)} failures in {report.cases} cases, of which some:\n{shown}", pytrace=False)
    assert report.came >= COME[trigger], COME[trigger] - report.came
