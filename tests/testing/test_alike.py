"""What is asked of a buffer and of bytes is compared by value and type, and shown as a call."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, SliceBuffer
from bytebufs.testing.alike import (
    BYTES,
    FAR,
    NEEDLES,
    Argument,
    Check,
    Unlike,
    arguments,
    as_they_are,
    check,
    equal,
    raises,
    same,
    sliced,
)


class Liar(bytes):
    """Bytes that know no ``find``, and one that raises."""

    def find(self, *args: Any) -> Any:
        return -7

    def index(self, *args: Any, **options: Any) -> Any:
        raise KeyError


def told(call: Callable[[], None]) -> tuple[str, object, object]:
    with pytest.raises(Unlike) as caught:
        call()
    return caught.value.call, caught.value.found, caught.value.wanted


def test_what_is_the_same_passes() -> None:
    b = CompositeBuffer([b"ab", b"c"])
    same(b, b"abc", "find", Argument(b"bc", bytearray(b"bc")), 1)
    same(b, b"abc", "split", sep=b"b", maxsplit=1)
    same(b, b"abc", "startswith", (Argument(b"x", SliceBuffer(b"x")), b"ab"))
    same(b, b"abc", "index", b"x")  # both raise ValueError
    same(b, b"abc", sliced(1, None))
    equal(b, [b"ab", b"c"], "views")
    raises(b, IndexError, operator.getitem, 3)


def test_what_is_not_is_shown_as_a_call() -> None:
    b = Liar(b"abc")
    assert told(lambda: same(b, b"abc", "find", Argument(b"c", bytearray(b"c")), 1)) == (
        "b.find(bytearray(b'c'), 1)", -7, 2,
    )  # fmt: skip
    assert told(lambda: same(b, b"abc", "index", b"c", start=(1,))) == (
        "b.index(b'c', start=(1,))", KeyError, TypeError,
    )  # fmt: skip
    assert told(lambda: equal(b, 4, len)) == ("len(b)", 3, 4)
    assert told(lambda: equal(b, b"b", operator.getitem, 0)) == ("getitem(b, 0)", 97, b"b")
    assert told(lambda: raises(b, ValueError, operator.getitem, 0))[2] is ValueError
    assert told(lambda: same(b, b"ab", "startswith", (Argument(b"", SliceBuffer(b"ab")), b"abcd"), 1))[0] == (
        "b.startswith((SliceBuffer(b'ab'), b'abcd'), 1)"
    )
    assert told(lambda: equal(b, 3, sliced(0, 1)))[0] == "b[0:1]"
    assert told(lambda: equal(b, 3, sliced(None, -1, 2)))[0] == "b[:-1:2]"


def test_a_number_is_not_the_truth_though_they_are_equal() -> None:
    assert told(lambda: equal([1], 1, bool)) == ("bool(b)", True, 1)


@given(arguments(NEEDLES), as_they_are(BYTES | FAR))
def test_arguments_are_what_they_say(bytes_like: Argument, number: Argument) -> None:
    assert bytes(memoryview(bytes_like.data)) == bytes(bytes_like.given)
    assert repr(bytes_like.data) in repr(bytes_like)
    assert number.data is number.given
    assert isinstance(operator.index(number.given), int)
    assert repr(number) == repr(number.given)


def test_a_check_is_registered_by_its_name() -> None:
    registry: dict[str, Check] = {}

    @check(registry, data=st.just(b"a"))
    def some(make: Callable[[bytes], Any], data: bytes) -> None:
        same(make(data), data, len)

    assert registry["some"].name == "some"
    registry["some"].run(SliceBuffer, b"a")
