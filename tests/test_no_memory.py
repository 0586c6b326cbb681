"""A change for which there is no memory has not happened, or has; nothing is lost, and the next one works.

Each allocation of each call fails in turn, in children (see `tests.no_memory`): mypyc and CPython end the process where
an allocation of their own fails, as that of an int. That is counted and let pass; a crash is not.
"""

from __future__ import annotations

import importlib.util

import pytest

from bytebufs import COMPILED

from .children import run_child

pytestmark = pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="_testcapi is not installed")

GIVEN_UP = ("fatal: out of memory", "Fatal Python error")
"""What is said by a process that ends itself."""


def is_let_pass(line: str) -> bool:
    return COMPILED and line.startswith("ABORT -6 ") and any(words in line for words in GIVEN_UP)


@pytest.mark.parametrize("kind", ["composites", "sources", "outboxes", "inboxes"])
def test_a_call_without_memory_is_undone_or_done(kind: str) -> None:
    child = run_child("tests.no_memory", kind)
    assert child.status == 0, child.errors[-2000:]
    *lines, last = child.output.splitlines()
    wrong = [line for line in lines if not is_let_pass(line)]
    if wrong:
        shown = "\n".join(wrong[:: max(1, len(wrong) // 20)])
        pytest.fail(f"{len(wrong)} failures ({last}), of which some:\n{shown}", pytrace=False)
    word, cases, raised = last.split()
    assert word == "CASES"
    assert int(raised) > int(cases) // 10 > 10, "memory was not missed"
