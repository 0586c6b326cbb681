"""Pictures of inputs: every piece is seen, long ones in part."""

from __future__ import annotations

from bytebufs import CompositeBuffer, Part, SliceBuffer
from bytebufs.testing import picture


def test_each_piece_has_its_line() -> None:
    pieces: list[Part] = [b"ab", b"", bytearray(b"c"), memoryview(b"de")[1:], SliceBuffer(b"<f>", 1, 2)]
    assert picture(pieces).splitlines() == [
        "5 bytes in 5 pieces",
        "         0          2  b'ab'",
        "         2          2  b''",
        "         2          3  bytearray(b'c')",
        "         3          4  memoryview(b'e')",
        "         4          5  SliceBuffer(b'f')",
    ]


def test_the_seams_of_a_buffer_are_shown() -> None:
    assert picture([CompositeBuffer([b"ab", b"c"])]).endswith("CompositeBuffer(b'ab' | b'c')")
    assert picture([CompositeBuffer()]).endswith("CompositeBuffer(b'')")


def test_nothing_is_a_line() -> None:
    assert picture([]) == "0 bytes in 0 pieces"


def test_a_long_piece_is_shown_in_part() -> None:
    [_, line] = picture([bytes(range(65, 91)) * 4]).splitlines()
    assert line == "         0        104  b'ABCDEFGHIJKLMNOPQRSTUVWX' ... 56 more ... b'CDEFGHIJKLMNOPQRSTUVWXYZ'"
    assert "more" not in picture([bytes(48)])
    assert "1 more" in picture([bytes(49)])


def test_of_many_pieces_the_first_and_last_are_shown() -> None:
    lines = picture([b"%d" % (i % 10) for i in range(66)]).splitlines()
    assert lines[0] == "66 bytes in 66 pieces"
    assert len(lines) == 66
    assert lines[33].split() == ["...", "...", "2", "pieces", "left", "out"]
    assert lines[32].split() == ["31", "32", "b'1'"]
    assert lines[34].split() == ["34", "35", "b'4'"]
    assert len(picture([b"a"] * 64).splitlines()) == 65
