"""Outcomes: what parsers give is kept as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from bytebufs import CompositeBuffer
from bytebufs.testing import plain
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
