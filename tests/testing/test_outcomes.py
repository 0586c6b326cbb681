"""Outcomes: what parsers give is kept as plain values."""

from __future__ import annotations

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
