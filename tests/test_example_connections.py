"""examples/http/connections.py: which connection a segment belongs to, whatever stands between."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import SliceBuffer
from examples.http import tcp
from examples.http.connections import ENOUGH, MOST_ALIKE, MOST_STRAYS, Connections
from examples.http.packets import ACK, FIN, RST, SYN, Segment, turned
from examples.http.tcp import PATIENCE, Ending

from .conftest import IS_QUICK, IS_SHORT
from .example_segments import FLOW, ISNS, Event, Played, Talk, numbered, play, streams_of

CUT = Ending.CUT
CLOSED = Ending.CLOSED
RESET = Ending.RESET

Events = list[list[list[Event]]]

ASKS: Final = [b"ask %d, " % n * 20 for n in range(3)]
ANSWERS: Final = [b"answer %d, " % n * 70 for n in range(3)]


def talk(isns: tuple[int, int] = ISNS, *, opens: bool = True, closes: bool = True, **kind: object) -> Talk:
    """Return a connection in which all is said in segments of 100 bytes."""
    made = Talk(isns, **kind)  # type: ignore[arg-type]
    if opens:
        made.open()
    else:
        made.places = [0, 0]
    for ask, answer in zip(ASKS, ANSWERS, strict=True):
        for say, text in (made.c, ask), (made.s, answer):
            for at in range(0, len(text), 100):
                say(text[at : at + 100])
    return made.close() if closes else made


SAID: Final = [b"".join(ASKS)], [b"".join(ANSWERS)]
ALL: Final[Events] = [[[*said, CLOSED] for said in SAID]]


def sides(events: Events) -> Events:
    """Order the halves of each stream, whichever was seen first."""
    return [sorted(stream, key=lambda half: b"ans" in str(half).encode()) for stream in events]


def everywhere(segments: Sequence[Segment], stray: Callable[[int], Sequence[Segment]]) -> Iterator[tuple[int, Played]]:
    """Put strays before each of the segments, and behind the last."""
    for place in range(len(segments) + 1):
        yield place, play([*segments[:place], *stray(place), *segments[place:]])


def test_the_conversation_itself() -> None:
    assert play(talk().segments).events == ALL
    assert play(talk(opens=False).segments).events == ALL
    assert play(talk(closes=False).segments).events == [[[*said, CUT] for said in SAID]]
    assert play(talk().segments).strays == (0, 0)


# -- strays

FAR: Final = [-2_000_000_000, -100_000_007, -100_000_000, -70_007, 80_007, 1_000_000, 1_500_000_007, 2_100_000_000]
"""Numbers outside of every window here, on either side."""
KINDS: Final = {
    "FIN": (b"", FIN | ACK),
    "FIN with data": (b"tail", FIN | ACK),
    "SYN": (b"", SYN),
    "SYN ACK": (b"", SYN | ACK),
    "SYN with data": (b"fast", SYN),
    "RST": (b"", RST),
    "RST ACK": (b"", RST | ACK),
    "data": (b"other bytes", ACK),
    "one byte": (b"\0", ACK),
    "nothing": (b"", ACK),
    "all flags": (b"?", SYN | FIN | RST | ACK),
}


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 1], ids=["client", "server"])
def test_a_stray_changes_nothing_wherever_it_comes(side: int, kind: str, far: int) -> None:
    """As the first thing it may be all that is known, and then what follows is another connection: whole, too."""
    payload, flags = KINDS[kind]
    made = talk(ISNS if far % 100_000 else (3, 2**32 - 3))
    stray = made.segment(side, payload, flags, at=far)
    for place, played in everywhere(made.segments, lambda _: [stray]):
        if place < 2 and kind == "SYN with data" and side == 1:
            continue  # its bytes were handed on before anything spoke against it
        found = sides(played.events)
        if place < 2 and len(found) > 1:
            assert {event for half in found.pop(0) for event in half if isinstance(event, bytes)} <= {payload}
        if flags & (SYN | RST) == SYN and place >= len(made.segments) - 1:
            assert found.pop()[0][-1] is CUT  # where all is over it may be the next connection
        assert found == ALL, place
        if 2 <= place < len(made.segments) - 1:
            assert played.strays == ((1, len(payload)) if payload else (0, 0)), place


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [0, 1], ids=["client", "server"])
def test_a_stray_changes_nothing_where_the_handshake_is_not_in_the_capture(side: int, kind: str) -> None:
    """From the second segment of either side on: before, nobody knows where it is."""
    payload, flags = KINDS[kind]
    made = talk(opens=False)
    for far in (-100_000_000, -20_000_000, 30_000_000, 2_000_000_000):  # windows may be scaled
        stray = made.segment(side, payload, flags, at=far, ack=0)
        for place, played in everywhere(made.segments, lambda _, stray=stray: [stray]):  # type: ignore[misc]
            if place > 3:
                assert played.events == ALL, (place, far)


@pytest.mark.parametrize("kind", ["FIN", "RST", "data", "nothing", "SYN ACK"])
def test_a_stray_in_the_window_that_acknowledges_what_cannot_be(kind: str) -> None:
    """RFC 5961, section 5.2."""
    payload, flags = KINDS[kind]
    made = talk()
    for side in 0, 1:
        for at in 0, 500, 3000:
            stray = made.segment(side, payload, flags, at=at, ack=2_000_000_000)
            for place, played in everywhere(made.segments, lambda _, stray=stray: [stray]):  # type: ignore[misc]
                if 2 < place < len(made.segments) - 1:
                    assert played.events == ALL, (place, side, at)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stray_that_acknowledges_all_that_was_sent(kind: str) -> None:
    """A SYN ACK, too, once another has answered."""
    payload, flags = KINDS[kind]
    made = talk()
    for side in 0, 1:
        for place, ack in enumerate(behind(made.segments, 1 - side)):
            if ack is not None and 2 <= place < len(made.segments) - 1:
                stray = made.segment(side, payload, flags, at=1_500_000_007)._replace(ack=ack)
                played = play([*made.segments[:place], stray, *made.segments[place:]])
                assert played.events == ALL, (side, place)


def behind(segments: Sequence[Segment], side: int) -> Iterator[int | None]:
    """Yield before each segment the number behind all that a side has sent."""
    number = None
    for segment in segments:
        yield number
        if (segment.flow == FLOW) == (side == 0):
            number = segment.seq + len(segment.payload) + bool(segment.flags & (SYN | FIN))


def test_several_strays_at_once() -> None:
    made = talk()
    choices = random.Random(7)
    for count in 2, 5, 40:
        strays = [
            made.segment(choices.randrange(2), *KINDS[choices.choice([*KINDS])], at=choices.choice(FAR) + 11 * n)
            for n in range(count)
        ]
        for place, played in everywhere(made.segments, lambda _, strays=strays: strays):  # type: ignore[misc]
            if place > 2:
                assert played.events[:1] == ALL, place
                assert len(played.events) == 1 or place >= len(made.segments) - 1  # where it is over, another may begin


def test_strays_are_counted() -> None:
    made = talk()
    strays = [made.segment(0, b"12345", at=10_000_000 * n) for n in range(1, 30)]
    played = play([*made.segments[:8], *strays, *made.segments[8:]])
    assert played.strays == (29, 29 * 5)
    assert all(len(stream.strays) <= MOST_STRAYS for stream in played.streams)


@pytest.mark.parametrize("at", [-1, 0, 100, 250, 1000])
def test_a_syn_in_the_window_changes_nothing(at: int) -> None:
    """Its receiver answers with a challenge ACK (RFC 5961, section 4)."""
    made = talk()
    for side in 0, 1:
        for flags in SYN, SYN | ACK:
            stray = made.segment(side, b"", flags, at=at + 7)
            for place, played in everywhere(made.segments, lambda _, stray=stray: [stray]):  # type: ignore[misc]
                if place > 2:
                    assert played.events[:1] == ALL, (place, side, flags)
                    assert len(played.events) == 1 or place >= len(made.segments) - 1


def test_a_fin_in_the_window_that_is_wrong() -> None:
    """What counts is that bytes lie behind it, or that nobody ever acknowledged it."""
    made = talk()
    for side in 0, 1:
        for at in range(0, 1500, 110 if IS_QUICK else 50):
            stray = made.segment(side, b"", FIN | ACK, at=at)
            for place, played in everywhere(made.segments, lambda _, stray=stray: [stray]):  # type: ignore[misc]
                if 2 < place < len(made.segments) - 3:
                    bytes_of = [[e for e in half if not isinstance(e, Ending)] for half in played.events[0]]
                    assert bytes_of == [*SAID], (place, at)


def test_a_wrong_fin_ahead_invents_no_gap() -> None:
    made = talk(closes=False)
    for at in 900, 5000:
        stray = made.segment(1, b"", FIN | ACK, at=at + len(SAID[1][0]))
        for place, played in everywhere(made.segments, lambda _, stray=stray: [stray]):  # type: ignore[misc]
            if place > 2:
                assert played.events == [[[*said, CUT] for said in SAID]], place


def test_keep_alives() -> None:
    """With and without a byte, and their answers (RFC 1122, section 4.2.3.6)."""
    for opens in True, False:
        made = talk(opens=opens)
        for payload in b"", b"\0", b"x":
            for side in 0, 1:
                for place, segment in enumerate(made.segments):
                    places = [segment.seq, segment.ack] if segment.flow == FLOW else [segment.ack, segment.seq]
                    at = places[side] - made.isns[side] - 2
                    probes = [made.segment(side, payload, at=at), made.segment(1 - side)] * 3
                    probes = [one._replace(ack=(places[one.flow == FLOW]) % 2**32) for one in probes]
                    probes[1::2] = [p._replace(seq=places[1 - side] % 2**32) for p in probes[1::2]]
                    if 2 < place < len(made.segments) - 2:  # nobody probes between a FIN and its acknowledgement
                        played = play([*made.segments[:place], *probes, *made.segments[place:]])
                        assert played.events == ALL, (place, side, payload)


def test_keep_alives_as_the_first_thing() -> None:
    made = talk(opens=False)
    probe = made.segment(0, b"", at=-1, ack=0), made.segment(1, b"", at=0, ack=0)
    assert play([*probe, *made.segments]).events == ALL
    with_byte = made.segment(0, b"\0", at=-1, ack=0), made.segment(1, b"", at=0, ack=0)
    played = play([*with_byte, *with_byte, *made.segments])
    assert played.events == [[[b"\0" + SAID[0][0], CLOSED], ALL[0][1]]]
    assert bytes(played.sinks[0][0].parts[1]) == ASKS[0][:100]


def test_a_syn_later_in_the_file_than_data() -> None:
    made = talk()
    for place in range(1, len(made.segments) + 1):
        moved = [*made.segments[1:place], made.segments[0], *made.segments[place:]]
        assert sides(play(moved).events) == ALL, place
        both = made.segments[2:place] + made.segments[:2] + made.segments[max(place, 2) :]
        assert sides(play(both).events) == ALL, place


def test_a_syn_that_comes_again_late_opens_nothing() -> None:
    """Both of the handshake, far behind the window, and what was said first as well."""
    for ending in CLOSED, CUT:
        made = Talk().open()
        for _ in range(100):
            made.c(b"x" * 1000).s(b"y" * 1400)
        again = made.segments[:9]
        if ending is CLOSED:
            made.close()
        played = play([*made.segments, *again, *again, *made.segments[-2:]])
        assert played.events == [[[b"x" * 100_000, ending], [b"y" * 140_000, ending]]]


def test_a_reset_of_the_side_that_has_said_nothing() -> None:
    refused = Talk().c(b"", SYN).s(b"", RST | ACK, at=12345)
    assert play(refused.segments).events == [[[RESET], [RESET]]]
    made = Talk(opens := ISNS).c(b"", SYN)
    stray = made.segment(1, b"", RST | ACK, at=777, ack=70_000_000)
    assert play([*made.segments, stray]).events == [[[CUT], [CUT]]]
    half = talk(opens, opens=False).segments
    asked = [segment for segment in half if segment.flow == FLOW]
    right = made.segment(1, b"", RST)._replace(seq=asked[2].ack)
    assert play([*asked[:3], right]).events[0][0][-1] is RESET
    assert play([*asked[:3], right._replace(seq=right.seq + 1)]).events[0][0][-1] is CUT


def test_a_reset_ends_both_halves_unless_they_were_closed() -> None:
    made = Talk().open().c(b"ask").c(b"", FIN | ACK).s(b"ans").c(b"", RST)
    assert play(made.segments).events == [[[b"ask", CLOSED], [b"ans", RESET]]]


# -- ports that are used again

ENDS: Final = {
    "FIN": lambda made: made.close(),
    "RST": lambda made: made.c(b"", RST),
    "RST of the server": lambda made: made.s(b"", RST | ACK),
    "neither": lambda made: made,
}
LOST: Final = {"nothing": [], "SYN": [0], "SYN ACK": [1], "both": [0, 1], "all three": [0, 1, 2], "last": [2]}


@pytest.mark.parametrize("far", [70_000, 200_000_000, -200_000_000, 2_000_000_000])
@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("end", ENDS)
def test_ports_that_are_used_again(end: str, lost: str, far: int) -> None:
    first = ENDS[end](talk(closes=False))
    second = talk((ISNS[0] + far, (ISNS[1] + far) % 2**32))
    kept = [segment for n, segment in enumerate(second.segments) if n not in LOST[lost]]
    found = play(first.segments + kept).events
    assert [half[:-1] for half in found[0]] == [*SAID]
    assert sides(found[1:]) == ALL


def test_ports_that_are_used_again_and_again() -> None:
    made = [talk((1000 + 100_000 * n, 5000 + 300_000 * n)) for n in range(30)]
    assert play(chain.from_iterable(one.segments for one in made)).events == ALL * 30


def test_a_short_exchange_on_ports_used_again_of_which_the_syn_is_lost() -> None:
    """One segment each: that the other side acknowledges it shows that it is none astray."""
    first = talk()
    second = Talk((900_000_000, 800_000_000))
    second.places = [0, 0]
    second.c(b"ask").s(b"answer").close()
    assert play(first.segments + second.segments).events == [*ALL, [[b"ask", CLOSED], [b"answer", CLOSED]]]


def test_late_segments_of_the_connection_before() -> None:
    first, second = talk(), talk((500_000_000, 700_000_000))
    for late in first.segments[3:]:
        for place, played in everywhere(second.segments, lambda _, late=late: [late]):  # type: ignore[misc]
            assert played.events or place
        played = play([*first.segments, *second.segments[:6], late, *second.segments[6:]])
        assert played.events == ALL * 2


def test_a_syn_whose_answer_comes_is_another_connection_though_the_old_is_open() -> None:
    first, second = talk(closes=False), talk((500_000_000, 700_000_000))
    assert play(first.segments + second.segments).events == [[[*said, CUT] for said in SAID], *ALL]


def test_syns_with_other_numbers_before_the_one_that_is_answered() -> None:
    made = talk()
    wrong = [made.segment(0, b"", SYN, at=-1 + 100_000 * n) for n in (1, 2, 3)]
    assert play(wrong + made.segments).events == [[[CUT], [CUT]], *ALL]


def test_a_connection_of_an_endpoint_with_itself() -> None:
    own = FLOW[:4] * 2 + FLOW[8:10] * 2
    made = Talk().c(b"", SYN).c(b"echo").c(b"more", at=90_000_000).c(b"", FIN, at=8)
    played = play([segment._replace(flow=own) for segment in made.segments])
    assert played.events == [[[b"echo", 4, CLOSED], [CUT]]]
    far = [made.segment(0, b"x" * 10, at=2_000_000 + 10 * n)._replace(flow=own) for n in range(3)]
    played = play([segment._replace(flow=own) for segment in made.segments[:2]] + far)
    assert played.events == [[[b"echo", 2_000_000 - 4, b"x" * 30, CUT], [CUT]]]


# -- much lost


@pytest.mark.parametrize("far", [100_000, 30_000_000, 1_900_000_000])
@pytest.mark.parametrize("opens", [True, False])
def test_a_capture_that_lost_much_goes_on_farther_on(far: int, opens: bool) -> None:
    made = talk(opens=opens, closes=False)
    made.places[1] += far
    for n in range(ENOUGH + 2):
        made.s(b"%05d" % n * 20)
    for segments in made.segments, [s for s in made.segments if s.flow != FLOW]:
        events = play(segments).events[0][len(segments) == len(made.segments)]
        assert events == [*SAID[1], far, b"".join(b"%05d" % n * 20 for n in range(ENOUGH + 2)), CUT]


def test_what_the_other_side_acknowledges_is_none_astray() -> None:
    made = talk(closes=False)
    made.places[1] += 1_000_000
    made.s(b"one alone").c().s(b", and what follows")
    played = play(made.segments)
    assert played.events[0][1] == [*SAID[1], 1_000_000, b"one alone, and what follows", CUT]
    assert played.strays == (0, 0)


def test_what_was_acknowledged_before_it_came_is_none_astray() -> None:
    """Up to where it stops, and up to where it begins."""
    for ack in 1_000_009, 1_000_000:
        made = talk(closes=False)
        at = made.places[1]
        made.c(ack=at + ack).s(b"one alone", at=at + 1_000_000)
        played = play(made.segments)
        assert played.events[0][1] == [*SAID[1], 1_000_000, b"one alone", CUT]
        assert played.strays == (0, 0)


def test_what_one_side_says_counts_though_the_capture_lost_the_other() -> None:
    """What it acknowledges is far ahead of all that was seen."""
    made = Talk().open()
    for _ in range(20):
        made.c(b"ask").s(bytes(60_000))
    kept = [segment for segment in made.segments if len(segment.payload) != 60_000]
    played = play([*kept[:7], *kept[8:]])  # and no three of them go on in each other, at first
    assert played.strays == (0, 0)
    assert played.events[0][0] == [b"ask" * 4, 3, b"ask" * 15, CUT]


def test_acknowledgements_that_become_garbage() -> None:
    made = talk(closes=False)
    for n in range(12):
        made.segments.append(made.segment(0, b"%03d" % n, at=made.places[0] + 3 * n, ack=-2_000_000_000))
    played = play(made.segments)
    assert played.strays == (0, 0)
    assert played.events[0][0][0] == SAID[0][0] + b"".join(b"%03d" % n for n in range(12))


def test_too_few_are_strays() -> None:
    made = talk(closes=False)
    for count in range(1, ENOUGH):
        far = [made.segment(1, b"x" * 10, at=5_000_000 + 10 * n) for n in range(count)]
        apart = [made.segment(1, b"x" * 10, at=5_000_000 + 11 * n) for n in range(ENOUGH)]
        for strays in far, apart:
            played = play(made.segments + strays)
            assert played.events == [[[*said, CUT] for said in SAID]]
            assert played.strays == (len(strays), 10 * len(strays))


def test_strays_between_which_the_stream_catches_up() -> None:
    """What lay outside of the window lies inside later."""
    made = talk(closes=False)
    at = made.places[0]
    early = made.segment(0, b"early", at=at + 100_000)
    between = [made.segment(0, b"x" * 50_000, at=at), made.segment(0, b"x" * 50_000, at=at + 50_000)]
    played = play([*made.segments, early, *between])
    assert played.events[0][0][0] == SAID[0][0] + b"x" * 100_000 + b"early"
    assert played.strays == (0, 0)


def test_where_a_stray_was_all_that_was_known_the_rest_shows_it() -> None:
    made = talk(opens=False)
    stray = made.segment(0, b"stray", at=900_000_000, ack=0)
    played = play([stray, *made.segments])
    assert played.events == ALL
    assert played.strays[1] == 5
    stray = made.segment(1, b"stray", at=900_000_000, ack=0)
    played = play([made.segments[0], stray, *made.segments[1:]])
    assert played.events == ALL


# -- networks

TEN, TWENTY = b"\0\0\0\x0a", b"\0\0\0\x14"


def test_the_same_addresses_in_two_networks() -> None:
    one, two = talk(networks=(TEN, TEN)), talk((123, 456), networks=(TWENTY, TWENTY))
    pairs = zip(one.segments, two.segments, strict=True)
    assert play(chain.from_iterable(pairs)).events == ALL * 2
    same = talk(networks=(TWENTY, TWENTY))  # even the numbers
    assert play(chain.from_iterable(zip(one.segments, same.segments, strict=True))).events == ALL * 2


def test_many_networks() -> None:
    made = [talk(networks=(bytes([0, 0, 1, n]),) * 2).segments for n in range(MOST_ALIKE)]
    assert play(chain.from_iterable(zip(*made, strict=True))).events == ALL * MOST_ALIKE


@pytest.mark.parametrize("tags", [(TEN, b""), (b"", TEN)], ids=["of the client", "of the server"])
def test_tags_in_one_direction_only(tags: tuple[bytes, bytes]) -> None:
    assert play(talk(networks=tags).segments).events == ALL
    two = talk((999_000_000, 77), networks=tuple(TWENTY if tag else b"" for tag in tags))
    pairs = zip(talk(networks=tags).segments, two.segments, strict=True)
    assert play(chain.from_iterable(pairs)).events == ALL * 2


@given(st.lists(st.booleans(), min_size=33, max_size=33))
def test_tags_on_some_packets_only(tagged: list[bool]) -> None:
    one, two = talk(), talk((999_000_000, 77))
    segments = [
        segment._replace(network=tag if has_tag or n < 2 else b"")
        for n, (pair, has_tag) in enumerate(zip(zip(one.segments, two.segments, strict=True), tagged, strict=True))
        for segment, tag in zip(pair, (TEN, TWENTY), strict=True)
    ]
    assert len(segments) == 66
    assert streams_of(segments) == [[*SAID]] * 2


# -- acknowledgements

GARBAGE: Final[dict[str, Callable[[int], int]]] = {
    "always 0": lambda ack: 0,
    "always the same": lambda ack: 3_123_456_789,
    "scrambled": lambda ack: ack * 2_654_435_761 % 2**32,
    "near": lambda ack: (ack + 1000) % 2**32,
}


@pytest.mark.parametrize("isns", [ISNS, (1000, 5000), (2**32 - 2, 2**32 - 50), (0, 0)], ids=repr)
@pytest.mark.parametrize("acks", GARBAGE)
def test_acknowledgements_that_are_garbage(acks: str, isns: tuple[int, int]) -> None:
    made = talk(isns, acks=GARBAGE[acks])
    assert [half[:-1] for half in play(made.segments).events[0]] == [*SAID]
    assert streams_of(talk(isns, opens=False, acks=GARBAGE[acks]).segments) == [[*SAID]]


@pytest.mark.parametrize("isns", [ISNS, (1000, 5000), (2**32 - 2, 2**32 - 50), (0, 0)], ids=repr)
@pytest.mark.parametrize("acks", GARBAGE)
def test_much_with_acknowledgements_that_are_garbage(acks: str, isns: tuple[int, int]) -> None:
    """Many windows, and in both directions."""
    made = Talk(isns, acks=GARBAGE[acks]).open()
    for n in range(300):
        made.c(b"%04d" % n * 200).s(b"%04d" % n * 300)
    played = play(made.close().segments)
    assert played.strays == (0, 0)
    assert [half[0] for half in played.events[0]] == [
        b"".join(b"%04d" % n * size for n in range(300)) for size in (200, 300)
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_one_direction_alone(side: int) -> None:
    made = [segment for segment in talk().segments if (segment.flow == FLOW) == (side == 0)]
    assert play(made).events == [[[*SAID[side], CLOSED], [CUT]]]
    lossy = made[:3] + made[4:]
    lost = len(made[3].payload)
    kept = len(b"".join(bytes(segment.payload) for segment in made[:3]))
    assert play(lossy).events[0][0] == [SAID[side][0][:kept], lost, SAID[side][0][kept + lost :], CLOSED]


# -- time


def at_packets(segments: Sequence[Segment], *numbers: int) -> list[Segment]:
    return [segment._replace(number=number) for segment, number in zip(segments, numbers, strict=True)]


def run(segments: Sequence[Segment]) -> Played:
    played = Played()
    for segment in segments:
        played.connections.add(segment)
    return played


def test_a_hole_that_was_acknowledged_is_given_up_after_a_while() -> None:
    made = talk(closes=False)
    made.places[1] += 100
    made.s(b"behind").c()
    segments = numbered(made.segments)
    played = run(segments)
    when = len(segments) - 1 + PATIENCE
    played.connections.wait_until(when)
    assert played.events[0][1] == SAID[1]
    played.connections.wait_until(when + 1)
    assert played.events[0][1] == [*SAID[1], 100, b"behind"]


def test_a_hole_that_was_not_acknowledged_is_awaited() -> None:
    made = talk(closes=False)
    at = made.places[1]
    ahead, lost = made.segment(1, b"behind", at=at + 4), made.segment(1, b"lost", at=at)
    start = len(made.segments)
    played = run(numbered([*made.segments, ahead]))
    played.connections.wait_until(start + 50 * PATIENCE)
    played.connections.add(lost._replace(number=start + 60 * PATIENCE))
    assert played.events[0][1] == [SAID[1][0] + b"lostbehind"]


def test_each_hole_has_its_own_time() -> None:
    """A small disorder just when another has been awaited for long enough costs nothing."""
    for late in range(PATIENCE - 3, PATIENCE + 3):
        made = Talk().open()
        made.c(b"2", at=1).c(b"1", at=0).s()
        made.c(b"4", at=3).s(ack=4).c(b"3", at=2)
        numbers = [1, 2, 3, 10, 11, 12, 10 + late, 11 + late, 12 + late]
        played = run(at_packets(made.segments, *numbers))
        assert played.events[0][0] == [b"1234"], late


def test_a_request_is_awaited_for_as_long_as_was_asked() -> None:
    made = Talk().open().c(b"2", at=1).c(b"1", at=0)
    played = run(at_packets(made.segments, 1, 2, 3, 10, 11))
    told: list[float] = []
    stream = played.streams[0]
    connections = played.connections
    connections.wait_until(1000)
    stream.overdue = lambda: told.append(connections.now)
    connections.watch(stream)
    connections.wait_until(1000 + PATIENCE)
    assert told == []
    connections.wait_until(2000 + PATIENCE)
    assert told == [1000 + PATIENCE]


def test_without_a_syn_the_lowest_is_awaited_for_a_while() -> None:
    made = talk(opens=False, closes=False)
    first = made.segments[0]._replace(number=2)
    second = made.segments[1]._replace(number=1)
    played = run([second, first])
    assert played.events[0][0] == []
    played.connections.wait_until(PATIENCE + 3)
    assert played.events[0][0] == [ASKS[0][:200]]


def test_what_is_over_is_forgotten() -> None:
    for end in "FIN", "RST", "RST of the server":
        made = ENDS[end](talk(closes=False))
        played = run(numbered(made.segments))
        played.connections.wait_until(len(made.segments) + PATIENCE)
        assert not played.over
        played.connections.wait_until(len(made.segments) + PATIENCE + 1)
        assert played.over == played.streams
        assert is_empty(played.connections)


def test_what_is_over_but_goes_on_is_not_forgotten() -> None:
    made = talk()
    played = run(numbered(made.segments))
    again = made.segments[-3]
    for n in range(1, 6):
        played.connections.add(again._replace(number=n * PATIENCE // 2))
    assert not played.over


def is_empty(connections: Connections) -> bool:
    return not connections._routes and not connections._timers


def test_many_connections_that_come_and_go_leave_nothing() -> None:
    payload = Talk(port=1).open().c(b"ask").s(b"answer").close().segments
    connections = Connections(lambda stream: None, lambda stream: None)
    number = most = 0
    count = 2_500 if IS_QUICK else 20_000 if IS_SHORT else 100_000
    for n in range(count):
        flow = FLOW[:8] + bytes([n >> 8 & 255, n & 255, n >> 16, 80])
        for segment in payload:
            number += 1
            there = segment.flow == payload[0].flow
            connections.add(segment._replace(number=number, flow=flow if there else turned(flow)))
        most = max(most, len(connections._routes) + len(connections._timers))
    assert connections.opened == count
    assert most < PATIENCE  # half as many connections are awaited at a time, with two directions and a timer each
    connections.wait_until(number + 2 * PATIENCE)
    assert is_empty(connections)


# -- bounds, and work in proportion


def chain_of(connections: Connections) -> int:
    """Return how many connections are looked at for a segment of FLOW."""
    half = connections._routes.get(FLOW)
    count = 0
    while half is not None:
        count, half = count + 1, half.next
    return count


def test_of_ever_more_networks_the_oldest_connections_end() -> None:
    played = Played()
    for n in range(1000):
        opened = Talk((n, n), networks=(n.to_bytes(4, "big"),) * 2).open().segments[0]
        played.connections.add(opened._replace(number=n))
        assert chain_of(played.connections) <= MOST_ALIKE + 1
    assert played.over == played.streams[: len(played.over)]
    played.connections.wait_until(10 * PATIENCE)
    assert len(played.end().over) == 1000


def test_of_ever_more_connections_on_the_same_ports_the_oldest_end() -> None:
    played = Played()
    number = 0
    for n in range(500):
        for segment in Talk((100_000_000 * n % 2**32, 7)).open().c(b"ask").c(b"", RST).segments:
            number += 1
            played.connections.add(segment._replace(number=number))
        assert chain_of(played.connections) <= MOST_ALIKE + 1
    assert played.end().events == [[[b"ask", RESET], [RESET]]] * 500


def lines_run(segments: Sequence[Segment]) -> int:
    """Return how many lines of the example run for segments."""
    connections = Connections(lambda stream: None, lambda stream: None)
    lines = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename.startswith(SOURCE) else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for segment in segments:
            connections.add(segment)
        connections.end()
    finally:
        sys.settrace(before)
    return lines


SOURCE: Final = str(Path(tcp.__file__).parent)


def in_order(n: int) -> list[Segment]:
    made = Talk().open()
    for _ in range(n):
        made.c(b"x").s(b"y")
    return made.segments


def syns(n: int, *, network: bool) -> list[Segment]:
    return [
        Talk((7919 * 65_536 * k % 2**32, 7), networks=(k.to_bytes(4, "big") if network else b"",) * 2)
        .c(b"", SYN)
        .segments[0]
        for k in range(n)
    ]


def among_strays(n: int, flags: int, *, before: int) -> list[Segment]:
    made = Talk().open()
    made.segments += [made.segment(k % 2, b"x", flags, at=10**8 + 977 * k) for k in range(before)]
    for k in range(n):
        made.c(b"x").s(b"y")
        made.segments.append(made.segment(k % 2, b"x", flags, at=10**8 + 977 * k))
    return made.segments


GROWING: Final[dict[str, Callable[[int], list[Segment]]]] = {
    "in order": in_order,
    "in reverse": lambda n: in_order(n)[::-1],
    "holes": lambda n: in_order(2 * n)[::4],
    "everything twice": lambda n: [segment for segment in in_order(n) for _ in range(2)],
    "much overlap": lambda n: [Talk().segment(0, b"x" * 1000, at=k // 2) for k in range(n)],
    "SYNs with ever new numbers": lambda n: syns(n, network=False),
    "SYNs in ever new networks": lambda n: syns(n, network=True),
    "stray data": lambda n: among_strays(n, ACK, before=0),
    "stray SYNs": lambda n: among_strays(n, SYN, before=100),
    "stray FINs": lambda n: among_strays(n, FIN | ACK, before=100),
    "FINs ahead": lambda n: [*Talk().open().segments, *(Talk().segment(0, b"", FIN | ACK, at=k) for k in range(n))],
    "acknowledgements that are garbage": lambda n: [
        segment._replace(ack=k * 2_654_435_761 % 2**32) for k, segment in enumerate(in_order(n))
    ],
    "ports used again and again": lambda n: [
        segment
        for k in range(n // 5)
        for segment in Talk((7919 * 65_536 * k % 2**32, 7)).open().c(b"ask").c(b"", RST).segments
    ],
}


@pytest.mark.parametrize("kind", GROWING)
def test_twice_as_many_segments_are_twice_the_work(kind: str) -> None:
    """Once there are as many connections, strays and timers as there may be."""
    sizes = [MOST_ALIKE << k for k in ((1, 2, 3) if IS_QUICK else (2, 3, 4, 5))]
    work = [lines_run(numbered(GROWING[kind](n))) for n in sizes]
    grown = [second - first for first, second in pairwise(work)]
    assert all(second <= 2.3 * first + 500 for first, second in pairwise(grown)), work


# -- what others do not change


def disturbed(choices: random.Random) -> list[Segment]:
    """Return several connections, some on the same ports, with losses, disorder, doubles, strays and long silence."""
    made = [
        talk(
            (choices.randrange(2**32), choices.randrange(2**32)),
            port=40_000 + choices.randrange(2),
            opens=choices.random() < 0.7,
            closes=choices.random() < 0.7,
            acks=choices.choice([*GARBAGE.values(), lambda ack: ack, lambda ack: ack]),
            networks=choices.choice([(b"", b""), (TEN, TEN), (TEN, b""), (TWENTY, TWENTY)]),
        )
        for _ in range(choices.randrange(1, 4))
    ]
    segments = list(chain.from_iterable(one.segments for one in made))
    for _ in range(choices.randrange(12)):
        side, kind, at = choices.randrange(2), choices.choice([*KINDS]), choices.choice([*FAR, 0, 200, -1, 5000])
        segments.insert(choices.randrange(len(segments)), choices.choice(made).segment(side, *KINDS[kind], at=at))
    for _ in range(choices.randrange(12)):
        a, b = choices.randrange(len(segments)), choices.randrange(len(segments))
        segments[a], segments[b] = segments[b], segments[a]
    for _ in range(choices.randrange(6)):
        del segments[choices.randrange(len(segments))]
    number = 0
    return [
        segment._replace(number=(number := number + choices.choice([1, 1, 1, 1, 2, 50, PATIENCE - 1, PATIENCE, 9000])))
        for segment in segments
    ]


@given(st.integers(0, 2**32))
def test_what_happens_does_not_depend_on_who_else_is_there(seed: int) -> None:
    """Nor on when it is told that time has passed: alone, a connection's segments give the same, at the same time."""
    segments = disturbed(random.Random(seed))
    end = segments[-1].number + 1
    flows = {min(segment.flow, turned(segment.flow)) for segment in segments}

    def told(which: Sequence[Segment], *, always: bool) -> dict[bytes, list[tuple[object, ...]]]:
        log: dict[bytes, list[tuple[object, ...]]] = {}
        numbers: dict[bytes, int] = {}

        class Sink:
            def __init__(self, flow: bytes, name: tuple[int, int]) -> None:
                self._log = log.setdefault(min(flow, turned(flow)), [])
                self._name = name

            def _tell(self, what: object) -> None:
                self._log.append((connections.now, connections.is_timer, self._name, what))

            def feed(self, part: SliceBuffer, /) -> None:
                self._tell(bytes(part))

            gap = end = _tell

        def open_(stream: object) -> None:
            halves = stream.halves  # type: ignore[attr-defined]
            flow = min(halves[0].flow, halves[1].flow)
            numbers[flow] = number = numbers.get(flow, -1) + 1
            for side, half in enumerate(halves):
                half.sink = Sink(half.flow, (number, side))

        connections = Connections(open_, lambda stream: None)
        for segment in which:
            if always:
                for number in range(max(segment.number - 3, 0), segment.number + 1):
                    connections.wait_until(number)
            connections.add(segment)
        connections.wait_until(end)
        connections.end()
        return log

    together = told(segments, always=False)
    assert together == told(segments, always=True)
    for flow in flows:
        alone = told([s for s in segments if min(s.flow, turned(s.flow)) == flow], always=False)
        assert alone.get(flow) == together.get(flow)


def test_random_segments_never_break_it() -> None:
    choices = random.Random(4)
    for _ in range(150 if IS_QUICK else 300):
        segments = []
        number = 0
        for _ in range(choices.randrange(60)):
            number += choices.choice([1, 1, 1, PATIENCE])
            seq, ack = (
                choices.choice([choices.randrange(2**32), 100 + choices.randrange(50), 1 << 31]) for _ in range(2)
            )
            payload = SliceBuffer(bytes(choices.randrange(20)))
            flow = choices.choice([FLOW, turned(FLOW), FLOW[:4] * 2 + FLOW[8:10] * 2])
            network = choices.choice([b"", b"", TEN, TWENTY])
            scale = choices.choice([None, 3, 14])
            cut = choices.choice([0, 0, 5])
            segments.append(
                Segment(
                    number,
                    flow,
                    network,
                    seq,
                    ack,
                    choices.randrange(64),
                    choices.randrange(65536),
                    scale,
                    payload,
                    cut,
                )
            )
        played = run(segments).end()
        fed = sum(len(part) for pair in played.sinks for sink in pair for part in sink.parts)
        assert fed + played.strays[1] <= sum(len(segment.payload) for segment in segments)


def test_what_is_live_and_due_is_told() -> None:
    played = Played()
    connections = played.connections
    for segment in numbered(talk(closes=False).segments[:3]):
        connections.add(segment)
    assert connections.is_live(FLOW)
    assert not connections.is_live(b"")
    assert not connections.is_due(PATIENCE)
    connections.end()
    assert not connections.is_live(FLOW)
