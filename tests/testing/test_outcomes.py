"""Outcomes: what parsers give is kept as plain values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from bytebufs import CompositeBuffer
from bytebufs.testing import joined, plain
from bytebufs.testing.cuts import Way
from bytebufs.testing.outcomes import Outcome, driven


class Slotted:
    __slots__ = ("body", "missing")

    def __init__(self) -> None:
        self.body = memoryview(b"ab")


class Fields(Slotted):
    def __init__(self) -> None:
        super().__init__()
        self.more = [bytearray(b"c")]


@dataclass
class Comparable:
    number: int


class Bare:
    pass


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (CompositeBuffer([b"a", b"b"]), b"ab"),
        ((memoryview(b"a"), [bytearray(b"b")], {"k": memoryview(b"c")}), (b"a", [b"b"], {"k": b"c"})),
        (float("nan"), "nan"),
        (1.5, 1.5),
        (ValueError("wrong"), (ValueError, "wrong")),
        (ValueError, ValueError),
        (Slotted(), (Slotted, {"body": b"ab"})),
        (Fields(), (Fields, {"body": b"ab", "more": [b"c"]})),
        (Comparable(1), Comparable(1)),
        (None, None),
    ],
    ids=["buffer", "containers", "nan", "float", "error", "class", "slots", "fields", "comparable", "none"],
)
def test_a_plain_value_can_be_compared(value: Any, result: object) -> None:
    assert plain(value) == result


def test_what_has_nothing_to_compare_stays() -> None:
    bare = Bare()
    assert plain(bare) is bare


class Node:
    def __init__(self, parent: Node | None = None) -> None:
        self.parent = parent
        self.children: list[Node] = []


def test_what_leads_back_to_where_it_stands_ends_there() -> None:
    parent = Node()
    parent.children.append(Node(parent))
    child = (Node, {"parent": ..., "children": []})
    assert plain(parent) == (Node, {"parent": None, "children": [child]})


def test_what_stands_in_two_places_is_there_twice() -> None:
    both = [bytearray(b"a")]
    assert plain([both, both]) == [[b"a"], [b"a"]]


def test_a_view_is_made_plain_before_its_memory_changes() -> None:
    memory = bytearray(b"?")

    def feed(piece: bytes) -> list[memoryview]:
        memory[:] = piece
        return [memoryview(memory)]

    assert driven(feed, Way((b"a", b"b"), ("bytes", "bytes")), plain) == Outcome([b"a", b"b"])


def test_pending_that_is_no_number_tells_nothing() -> None:
    class Odd:
        pending = None

        def feed(self, piece: bytes) -> None:
            """Take it."""

    assert driven(Odd(), Way((b"a",), ("bytes",)), plain).taken is None


def test_what_is_left_is_none_where_the_parser_has_ended() -> None:
    class Ended:
        def feed(self, piece: bytes) -> str:
            return ""

        def detach(self) -> bytes:
            raise RuntimeError("closed")

    assert driven(Ended(), Way((b"a",), ("bytes",)), plain) == Outcome([])


class Whole:
    """Gives back what it was fed, in many ways."""

    def __init__(self, *given: object) -> None:
        self.given = list(given)
        self.kept = b""

    def feed(self, piece: bytes) -> object:
        self.kept += piece
        given = self.given.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    def end(self) -> list[str]:
        return ["end"]

    def pending(self) -> int:
        return len(self.kept)

    def detach(self) -> bytearray:
        return bytearray(self.kept)


def of(*given: object) -> Outcome:
    return driven(Whole(*given), Way((b"a",) * len(given), ("bytes",) * len(given)), plain)


@pytest.mark.parametrize(
    ("given", "results"),
    [
        ([None, None], []),
        ([b"ab", bytearray(b"cd")], [b"abcd"]),
        (["ab", "", "cd"], ["abcd"]),
        (["ab", b"cd"], ["ab", b"cd"]),
        ([[b"ab"], [b"cd"]], [b"ab", b"cd"]),
        ([iter([1, 2]), 3], [1, 2, 3]),
        ([{"a": 1}], [{"a": 1}]),
    ],
    ids=["none", "bytes", "text", "both", "lists", "iterators and one", "a mapping"],
)
def test_results_come_in_many_ways(given: list[object], results: list[object]) -> None:
    assert of(*given).results == [*results, "end"]


def test_what_is_pending_and_left_belongs_to_the_outcome() -> None:
    outcome = of(None, ValueError("no"), None)
    assert outcome == Outcome([], (ValueError, "no"), 0, b"aaa")
    assert isinstance(outcome.cause, ValueError)


def test_memory_that_is_used_again_is_overwritten() -> None:
    kept: list[memoryview] = []
    driven(kept.append, Way((b"ab",), ("reused",)), plain)
    assert bytes(kept[0]) == b"\xdd\xdd"


def test_a_message_of_an_outcome_says_all_of_it() -> None:
    error = (ValueError, "wrong")
    assert str(Outcome([1], error, 3, b"ab")).splitlines() == [
        "result     1",
        "error      ValueError: wrong",
        "taken      3",
        "remainder  b'ab'",
    ]
    assert str(Outcome([])) == "nothing"
    assert str(Outcome(list(range(40)))).splitlines()[-1] == "...        8 results left out"
    assert str(Outcome([b"a" * 300])).endswith("... (303 characters)")


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([], []),
        ([b"a", b"", b"b", "end", b"c"], [b"ab", "end", b"c"]),
        ([(b"a",), (b"b",)], [(b"ab",)]),
        ([("text", 1, "a"), ("text", 1, "b"), ("text", 2, "c")], [("text", 1, "ab"), ("text", 2, "c")]),
        (["begin", "begin"], ["begin", "begin"]),
        ([("n", 1), ("n", 1)], [("n", 1), ("n", 1)]),
        ([("n", "a"), ("n", b"a")], [("n", "a"), ("n", b"a")]),
        ([(b"a",), (), (), b"a"], [(b"a",), (), (), b"a"]),
        ([[b"a"], [b"b"]], [[b"a"], [b"b"]]),
    ],
    ids=["none", "bytes", "one", "named", "text", "numbers", "mixed", "empty", "lists"],
)
def test_pieces_of_one_stream_are_joined(pieces: list[object], whole: list[object]) -> None:
    assert joined(pieces) == whole


def test_an_error_without_a_text_ends_with_its_name() -> None:
    assert str(Outcome([], error=(EOFError, ""))) == "error      EOFError"
    assert str(Outcome([], error=(EOFError, "early"))) == "error      EOFError: early"


def test_what_is_no_parser_is_refused() -> None:
    with pytest.raises(TypeError, match="a function, or has a method feed: not NoneType"):
        driven(None, Way((b"a",), ("bytes",)), plain)


def test_a_parser_that_has_to_be_awaited_ends_in_an_error() -> None:
    async def answers(piece: bytes) -> list[bytes]:
        return [piece]

    async def yields(piece: bytes) -> AsyncIterator[bytes]:
        yield piece

    for parser in (answers, yields):
        outcome = driven(parser, Way((b"a",), ("bytes",)), plain)
        assert outcome.error == (TypeError, "the parser is asynchronous: give a function that runs it in a loop")
