"""examples/http/numbers.py: places, and what a receiver asks of a segment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import SliceBuffer
from examples.http.numbers import LEAST_WINDOW, MASK, MOST_WINDOW, UNKNOWN_SCALE, Numbers
from examples.http.packets import ACK, SYN, Segment

from .example_segments import FLOW


def segment(seq: int, flags: int = ACK, *, window: int = 1000, scale: int | None = None) -> Segment:
    return Segment(0, FLOW, b"", seq & MASK, 0, flags, window, scale, SliceBuffer(b""), 0)


def known(at: int, top: int | None = None, *, begun: bool = True) -> Numbers:
    """Return the numbers of a side that goes on at a place, and of which bytes were seen up to another."""
    side = Numbers()
    side.begun = begun
    side.first = side.at = at
    side._top = at if top is None else top
    return side


def test_nothing_is_known() -> None:
    side = Numbers()
    assert side.top is None
    assert side.place(2**32 - 1) == 2**32 - 1
    assert side.fits(segment(77))
    assert side.can_have_sent(77)
    assert side.is_bare
    assert not side.has_had(0)
    side.ack = 77
    assert side.acked is None


@given(st.integers(-(1 << 40), 1 << 40), st.integers(-(1 << 31), (1 << 31) - 1))
def test_a_number_means_the_nearest_place(top: int, distance: int) -> None:
    assert known(top).place((top + distance) & MASK) == top + distance


def test_what_is_plain_has_been_seen_up_to_where_it_goes_on() -> None:
    side = known(100)
    side.plain, side.at = True, 200
    assert side.top == 200


@pytest.mark.parametrize("at", [-5, 0, 5, 1 << 31, (1 << 32) - 5, 5 << 32])
def test_the_window(at: int) -> None:
    side = known(at, at + 500)
    inside = [at - LEAST_WINDOW, at, at + 500, at + 500 + LEAST_WINDOW]
    assert [side.fits(segment(place)) for place in inside] == [True] * 4
    assert [side.fits(segment(place)) for place in (inside[0] - 1, inside[3] + 1)] == [False] * 2
    side.ack = (at + 700) & MASK  # the other side has more than the capture holds
    assert side.fits(segment(at + 700 + LEAST_WINDOW))
    assert not side.fits(segment(at + 701 + LEAST_WINDOW))
    side.ack = (at + 300) & MASK
    assert not side.fits(segment(inside[3] + 1))


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("at", [-5, 0, 5, 1 << 31, (1 << 32) - 5])
def test_what_the_other_side_may_acknowledge(at: int, begun: bool) -> None:
    side = known(at, at + 10, begun=begun)
    assert side.can_have_sent((at - LEAST_WINDOW) & MASK)
    assert not side.can_have_sent((at - LEAST_WINDOW - 1) & MASK)
    assert side.can_have_sent((at + 10 + LEAST_WINDOW) & MASK)
    assert not side.can_have_sent((at + 11 + LEAST_WINDOW) & MASK)
    assert side.can_have_sent((at + 10 + MOST_WINDOW) & MASK, unseen=MOST_WINDOW)
    assert not side.can_have_sent((at + 11 + MOST_WINDOW) & MASK, unseen=MOST_WINDOW)


def test_what_was_acknowledged_long_ago_may_come_late() -> None:
    side = known(1000)
    side.at = side._top = 1_000_000_000
    assert side.can_have_sent(1000 - LEAST_WINDOW)
    assert not side.can_have_sent(999 - LEAST_WINDOW)


def test_how_far_it_was_acknowledged() -> None:
    side = known(1 << 32)
    for ack, place in (None, None), (MASK, MASK), (1 << 31, None):
        side.ack = ack
        assert side.acked == place


def test_what_it_has_had() -> None:
    side = known(100, 300)
    side.at = 200
    assert [side.has_had(place) for place in (99, 100, 250, 299, 300)] == [False, True, True, True, False]
    side = known(100, 300, begun=False)
    side.first = 0
    assert [side.has_had(place) for place in (99, 100, 299, 300)] == [False, True, True, False]


def test_it_is_bare_when_only_a_syn_came() -> None:
    for start, top, is_bare in (None, 100, False), (100, 100, True), (100, 101, False):
        side = known(100, top)
        side.start = start
        assert side.is_bare is is_bare


@pytest.mark.parametrize(
    ("scales", "shift"),
    [((7, 7), 7), ((14, 2), 14), ((2, 14), 2), ((0, 0), 0), ((7, None), 0), ((None, 7), 0), ((None, None), 0)],
)
def test_windows_are_scaled_if_both_say_so(scales: tuple[int | None, int | None], shift: int) -> None:
    """RFC 7323, section 2.2: and never those of the SYNs."""
    one, other = Numbers(), Numbers()
    one.offer(segment(99, SYN, window=65_535, scale=scales[0]), other)
    one.start = 100
    other.offer(segment(899, SYN | ACK, window=65_535, scale=scales[1]), one)
    assert one.window == other.window == LEAST_WINDOW
    one.offer(segment(100, window=60_000), other)
    assert other.window == max(60_000 << shift, LEAST_WINDOW)
    one.offer(segment(100, window=0), other)
    assert other.window == max(60_000 << shift, LEAST_WINDOW)
    assert one.offered == 60_000


def test_without_the_handshake_windows_may_be_scaled() -> None:
    one, other = Numbers(), Numbers()
    one.offer(segment(100, window=5000), other)
    assert other.window == 5000 << UNKNOWN_SCALE
