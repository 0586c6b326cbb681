"""examples/rocketmq with a client that others wrote: ali-ons, of npm, sends and consumes, with tags, and goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from .conftest import IS_QUICK, PROFILE
from .example_rocketmq import Broker, broker, lines_of, node

MESSAGES: Final = 100_000 if PROFILE == "long" else 300 if IS_QUICK else 3000
LONG: Final = 60 + MESSAGES / 100
"""Seconds for all of them on a busy machine."""


def produced(address: str, topic: str, first: int, count: int, *tags: str) -> dict[int, tuple[int, int]]:
    """Send messages, and return where each is: its queue, and its offset there."""
    lines = lines_of(node("produce.js", address, topic, first, count, *tags), LONG)
    places = {int(number): (int(queue), int(offset)) for number, queue, offset in lines}
    assert sorted(places) == [*range(first, first + count)]
    return places


def consumed(
    address: str, topic: str, group: str, tags: str, count: int, *failing: int
) -> list[tuple[int, str, int, int, int]]:
    """Consume so many messages: number, tag, queue, offset, times before."""
    lines = lines_of(node("consume.js", address, topic, group, tags, count, *failing), LONG)
    return [(int(number), tag, int(queue), int(offset), int(times)) for number, tag, queue, offset, times in lines]


def assert_well(running: Broker) -> None:
    """Have a broker end that has not complained, but of a client's way to end: in the middle of an answer."""
    assert [line for line in running.end().splitlines() if "reset by peer" not in line] == []


@pytest.mark.needs("node")
@pytest.mark.parametrize("flush", ["sync", "async"])
def test_a_second_run_goes_on_where_the_first_has_stopped(tmp_path: Path, flush: str) -> None:
    """Over a restart of the broker, too: nothing is lost, and nothing comes twice."""
    with broker(tmp_path / "data", "--flush", flush) as first:
        places = produced(first.address, "T", 0, MESSAGES, "A", "B", "C")
        before = consumed(first.address, "T", "G", "*", MESSAGES // 3)
        assert_well(first)
    with broker(tmp_path / "data", "--flush", flush) as again:
        places |= produced(again.address, "T", MESSAGES, 10, "A", "B", "C")
        after = consumed(again.address, "T", "G", "*", len(places) - len(before))
        assert_well(again)
    both = before + after
    assert sorted(number for number, *_ in both) == [*range(len(places))]
    for number, tag, queue, offset, times in both:
        assert (places[number], tag, times) == ((queue, offset), "ABC"[number % 3], 0)
    for queue in range(4):  # in the order of each queue
        offsets = [offset for _, _, its, offset, _ in both if its == queue]
        assert offsets == [*range(len(offsets))]


@pytest.mark.needs("node")
def test_consumers_get_the_tags_that_they_ask_for(tmp_path: Path) -> None:
    count = MESSAGES // 3 // 3 * 3
    with broker(tmp_path / "data") as running:
        produced(running.address, "T", 0, count, "A", "B", "C")
        one = consumed(running.address, "T", "G1", "B", count // 3)
        two = consumed(running.address, "T", "G2", "A || C", count // 3 * 2)
        assert_well(running)
    assert sorted(number for number, *_ in one) == [*range(1, count, 3)]
    assert sorted(number for number, *_ in two) == [number for number in range(count) if number % 3 != 1]


@pytest.mark.needs("node")
def test_what_a_consumer_fails_on_comes_again(tmp_path: Path) -> None:
    count = min(MESSAGES, 3000)
    with broker(tmp_path / "data") as running:
        produced(running.address, "T", 0, count, "A")
        got = consumed(running.address, "T", "G", "*", count, 10)
        assert_well(running)
    assert Counter(number for number, *_ in got) == Counter(range(count))
    assert {times for number, *_, times in got if number % 10} == {0}
    assert {times for number, *_, times in got if not number % 10} == {1}


@pytest.mark.needs("node")
def test_a_topic_that_may_not_be_made_is_an_error_to_the_client(tmp_path: Path) -> None:
    with broker(tmp_path / "data", "--no-auto-create") as running:
        with node("produce.js", running.address, "T", 0, 1, "A") as process:
            _, errors = process.communicate(timeout=LONG)
        assert process.returncode == 1
        assert "there is no topic T" in errors
        assert_well(running)
