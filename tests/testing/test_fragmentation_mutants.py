"""25 and more wrong parsers, each one edit away from a right one: the kit catches all, in few bytes and parts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from bytebufs.testing import DependsOnCuts, check_fragmentation

from . import commands
from .commands import TOO_LONG, Commands

KINDS: Final = ("bytes", "bytearray", "memoryview", "reused")

INPUTS: Final = {
    "commands": b"ab\r\n$3\r\nx\r\n\r\n\r\nabcdefg\r\ncd\r\n$0\r\n\r\nabcd\r\n\nefgh",
    "a bad size": b"ab\r\n$2\r\nxy\r\n$q\r\nno\r\n",
    "a payload that is too long": b"ab\r\n$2\r\nxyz\r\nno\r\n",
    "a long end": b"a\r\nlonger than it may be",
}

SOURCE: Final = inspect.getsource(commands)

MUTANTS: Final = {
    # what becomes of a piece
    "first byte lost at a seam": ("+= chunk", "+= chunk[1:] if self.buffer else chunk"),
    "buffer replaced by the piece": ("self.buffer += chunk", "self.buffer = bytearray(chunk)"),
    "pieces stripped": ("+= chunk", "+= bytes(chunk).strip(b' \\n')"),
    "newline of the last piece's CR dropped": ("+= chunk", "+= bytes(chunk).removeprefix(b'\\n')"),
    "an empty piece is the end": ("+= chunk", "+= chunk\n        if not chunk:\n            self.end()"),
    "an empty piece starts over": ("+= chunk", "+= chunk\n        if not chunk:\n            self.__init__()"),
    "nothing looked for unless the piece has a line": (
        "return self.results()",
        "return self.results() if b'\\r\\n' in bytes(chunk) else []",
    ),
    "nothing looked for unless the piece has a newline": (
        "return self.results()",
        "return self.results() if b'\\n' in bytes(chunk) else []",
    ),
    "pieces shorter than a terminator kept back": (
        "return self.results()",
        "return self.results() if len(chunk) > 1 else []",
    ),
    "results of a piece lost with its error": ("return self.results()", "return list(self.results())"),
    "one result a piece": ("yield result", "yield result\n            break"),
    "what is left after a result dropped": ("yield result", "yield result\n        self.buffer.clear()"),
    "what is left of a piece dropped": (
        "                break\n",
        "                self.buffer.clear()\n                break\n",
    ),
    # state between pieces
    "the size forgotten": ("self.buffer += chunk", "self.buffer += chunk\n        self.wanted = None"),
    "the skipping forgotten": ("self.buffer += chunk", "self.buffer += chunk\n        self.is_skipping = False"),
    "places in a message counted by piece": ("self.buffer += chunk", "self.buffer += chunk\n        self.position = 0"),
    # the end of a line
    "CR at the end of a piece missed": ("max(len(self.buffer) - 1, 0)", "len(self.buffer)"),
    "searched from before the front": ("max(len(self.buffer) - 1, 0)", "len(self.buffer) - 1"),
    "searched on where the last line ended": (
        "        self.searched = 0\n        if self.is_sk",
        "        if self.is_sk",
    ),
    "CR at the end taken for CRLF": (
        "        if stop < 0:\n",
        "        if self.buffer[-1:] == b'\\r' != stop < 0:\n            stop = self.searched\n        if stop < 0:\n",
    ),
    # limits
    "the limit forgets that CR may come": (' and self.buffer[4] != ord("\\r")', ""),
    "the limit counts the CR": ("self.searched > 4", "self.searched > 3"),
    "the limit holds for unfinished lines alone": ("if len(line) > 4", "if len(line) > 40"),
    "an error reported for each piece": (
        "            self.take(self.searched)\n            self.searched = 0\n",
        "            if self.take(self.searched):\n                return TOO_LONG\n            self.searched = 0\n",
    ),
    "skipped to the end of the piece": ("self.take(self.searched)", "self.take(len(self.buffer))"),
    "skipped without the search beginning anew": (
        "            self.take(self.searched)\n            self.searched = 0\n",
        "            self.take(self.searched)\n",
    ),
    # payloads
    "the payload's CRLF not waited for": ("< size + 2", "< size"),
    "half of the payload's CRLF waited for": ("< size + 2", "< size + 1"),
    "what has come of a payload given": (
        "            return None\n        payload",
        "            return self.take(len(self.buffer)) or None\n        payload",
    ),
    # what it tells of itself
    "what is pending told by piece": ("return len(self.buffer)\n", "return min(len(self.buffer), 2)\n"),
    "what is left given back but for a CR": (
        "return self.take(len(self.buffer))\n",
        "return self.take(self.searched)\n",
    ),
}
"""What is edited, and what stands there instead. The edit is to be found once."""


def mutated(old: str, new: str) -> Callable[[], Any]:
    assert SOURCE.count(old) == 1, old
    names: dict[str, Any] = {"__name__": "mutant"}
    exec(compile(SOURCE.replace(old, new), "mutant", "exec"), names)
    kind: Callable[[], Any] = names["Commands"]
    return kind


def check_all(make: Callable[[], Any]) -> None:
    for data in INPUTS.values():
        check_fragmentation(make, data, kinds=KINDS)


@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS)
def test_the_right_parser_passes(data: bytes) -> None:
    check_fragmentation(Commands, data, kinds=KINDS)


def test_the_right_parser_is_right() -> None:
    outcome = check_fragmentation(Commands, INPUTS["commands"])
    assert outcome.results == [b"ab", b"x\r\n", b"", TOO_LONG, b"cd", b"", b"abcd", TOO_LONG]
    assert outcome.error == (EOFError, "in the middle of something at byte 44")


@pytest.mark.checkout
def test_what_the_tutorial_shows_is_as_small() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "testing.md").read_text(encoding="utf-8")
    sizes = re.findall(r"^(\d+) bytes? in (\d+) pieces?$", page, re.MULTILINE)
    assert len(sizes) >= 6
    assert all(int(size) <= 8 and int(pieces) <= 4 for size, pieces in sizes)


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 25


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_in_few_bytes_and_parts(name: str) -> None:
    make = mutated(*MUTANTS[name])
    with pytest.raises(DependsOnCuts) as caught:
        check_all(make)
    assert len(b"".join(caught.value.pieces)) <= 8, caught.value
    assert len(caught.value.pieces) <= 4, caught.value
