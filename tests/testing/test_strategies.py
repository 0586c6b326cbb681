"""The strategies draw what they say, in every kind, and shrink payload and layout alike."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from bytebufs import BaseBuffer, SliceBuffer
from bytebufs.testing import Layout, buffers, composites, fragmentations, layouts

# Nobody reads an explanation, for which each line that runs would be traced.
_HARD: Final = settings(max_examples=500, database=None, derandomize=True, phases=[Phase.generate, Phase.shrink])

LINES: Final = b"a\r\n"


def least(strategy: st.SearchStrategy[Any], condition: Callable[[Any], bool]) -> Any:
    return find(strategy, condition, settings=_HARD)


def parts_of(buffer: BaseBuffer) -> list[bytes]:
    return [bytes(view) for view in buffer.views()]


@given(st.data(), st.binary(max_size=20))
def test_what_is_drawn_shows_the_data(draws: st.DataObject, data: bytes) -> None:
    assert b"".join(draws.draw(fragmentations(data))) == data
    for strategy in (buffers(data), composites(data)):
        buffer = draws.draw(strategy)
        buffer._check()
        assert buffer == data
    assert draws.draw(layouts()).make(data) == data


@given(st.data())
def test_payload_may_be_a_strategy(draws: st.DataObject) -> None:
    vowels = st.lists(st.sampled_from(b"aeiou"), min_size=1, max_size=5).map(bytes)
    assert set(b"".join(draws.draw(fragmentations(vowels)))) <= set(b"aeiou")
    assert set(bytes(draws.draw(buffers(vowels)))) <= set(b"aeiou")


@given(fragmentations(b"abcdef", max_pieces=3))
def test_there_are_no_more_pieces_than_wanted(pieces: list[bytes]) -> None:
    assert len(pieces) <= 3


@pytest.mark.parametrize(
    ("condition", "smallest"),
    [
        (lambda pieces: True, []),
        (lambda pieces: len(pieces) > 1, [b"", b""]),
        (lambda pieces: b"" in pieces[1:-1], [b"", b"", b""]),
        (lambda pieces: len(b"".join(pieces)) > 2, [b"aaa"]),
        (lambda pieces: any(b"\n" in piece[:1] for piece in pieces[1:]), [b"", b"\n"]),
        (
            lambda pieces: any(a[-1:] == b"\r" and b[:1] == b"\n" for a, b in pairwise(pieces)),
            [b"\r", b"\n"],
        ),
    ],
    ids=["anything", "two pieces", "an empty between", "three bytes", "begins with a newline", "cut in CRLF"],
)
def test_fragmentations_shrink(condition: Callable[[list[bytes]], bool], smallest: list[bytes]) -> None:
    assert least(fragmentations(alphabet=LINES), condition) == smallest


def test_given_bytes_keep_their_length_and_lose_their_seams() -> None:
    assert least(fragmentations(b"abcdef"), lambda pieces: True) == [b"abcdef"]
    assert least(fragmentations(b"abcdef"), lambda pieces: b"cd" in pieces) == [b"ab", b"cd", b"ef"]


def test_a_buffer_shrinks_to_a_slice_of_one_bytes_object() -> None:
    buffer = least(buffers(), lambda buffer: len(buffer) > 3)
    assert isinstance(buffer, SliceBuffer)
    assert "bytes of 4" in buffer.layout()
    assert parts_of(buffer) == [bytes(4)]


def test_a_composite_shrinks_to_few_bytes_in_few_parts() -> None:
    assert parts_of(least(composites(), lambda buffer: True)) == []
    assert parts_of(least(composites(), lambda buffer: buffer.part_count > 2)) == [b"\0", b"\0", b"\0"]
    assert parts_of(least(composites(alphabet=LINES), lambda buffer: buffer.find(b"\r\n") >= 0)) == [b"\r\n"]


@pytest.mark.parametrize("owner", ["bytearray", "mmap", "FileRegion", "array"])
def test_every_kind_of_owner_is_drawn(owner: str) -> None:
    assert owner in least(buffers(), lambda buffer: owner in buffer.layout()).layout()


def test_a_layout_shrinks_to_one_part() -> None:
    layout = least(layouts(), lambda layout: True)
    assert isinstance(layout, Layout)
    assert repr(layout) == "SliceBuffer: bytes"
