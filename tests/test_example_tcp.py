"""examples/http/tcp.py: what a half-stream brings, out of segments in every order, with holes, overlaps and doubles."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import SliceBuffer, no_copy
from examples.http.packets import ACK, FIN, RST, SYN, Segment, turned
from examples.http.stream import Stream
from examples.http.tcp import MOST_FINS, MOST_PENDING, Ending, HalfStream

from .conftest import IS_QUICK
from .example_segments import FLOW, Event, OneHalf, Recorder, Talk, play, streams_of

CUT = Ending.CUT
CLOSED = Ending.CLOSED
RESET = Ending.RESET


def sent(seq: int, payload: bytes = b"", flags: int = ACK, *, cut: int = 0, window: int = 65_535) -> Segment:
    return Segment(0, FLOW, b"", seq % 2**32, 0, flags, window, None, SliceBuffer(payload), cut)


def stream(*segments: Segment) -> list[Event]:
    """Return what one side brings of which nobody acknowledges anything, without how it ends."""
    *events, ending = OneHalf().add(segments).end()
    assert isinstance(ending, Ending)
    return events


def ending(*segments: Segment) -> Event:
    return OneHalf().add(segments).end()[-1]


OPEN = sent(99, b"", SYN)


def test_in_order() -> None:
    whole = OneHalf().add([OPEN, sent(100, b"abc"), sent(103, b"de"), sent(105, b"f", FIN | ACK)])
    assert whole.half.start == 100
    assert whole.end() == [b"abcdef", CLOSED]
    whole.half.stream.finish()
    assert whole.sink.events == [b"abcdef", CLOSED]


def test_who_speaks_to_whom() -> None:
    half = OneHalf().half
    assert str(half.sender) == "10.0.0.1:40000"
    assert str(half.receiver) == "10.0.0.2:80"
    assert half.peer.sender == half.receiver
    assert half.top is None
    assert half.acked is None


def test_bytes_need_nobody_who_takes_them() -> None:
    one = OneHalf()
    one.half.sink = None
    one.add([OPEN, sent(100), sent(100, b"abc"), sent(110, b"de", cut=5), sent(120, b"", FIN)])
    one.half.stream.finish()
    assert one.half.at == 120
    assert one.half.ended


def test_out_of_order() -> None:
    assert stream(OPEN, sent(105, b"f"), sent(103, b"de"), sent(100, b"abc")) == [b"abcdef"]


def test_data_before_the_syn_in_the_capture() -> None:
    assert stream(sent(100, b"abc"), OPEN, sent(103, b"de")) == [b"abcde"]
    assert stream(sent(103, b"de"), sent(100, b"abc"), OPEN) == [b"abcde"]


def test_data_in_a_syn() -> None:
    assert stream(sent(99, b"abc", SYN), sent(103, b"de")) == [b"abcde"]


def test_a_retransmitted_syn_with_and_without_data() -> None:
    assert stream(sent(99, b"abc", SYN), sent(99, b"abc", SYN), OPEN, sent(100, b"abc"), sent(103, b"de")) == [b"abcde"]
    assert stream(OPEN, sent(99, b"abc", SYN), sent(103, b"de")) == [b"abcde"]


@pytest.mark.parametrize("nbytes", [1 << 20, 3 << 30, 9 << 30], ids=["1 MiB", "3 GiB", "9 GiB"])
def test_a_syn_that_comes_again_changes_nothing_however_late(nbytes: int) -> None:
    block = SliceBuffer(bytes(1 << 20))
    one = OneHalf().add([OPEN])
    one.add(sent(100 + at)._replace(payload=block) for at in range(0, nbytes, 1 << 20))
    top = one.half.top
    one.half.add(sent(99, b"abc", SYN), 0)
    assert one.half.top == top
    one.add([sent(100 + nbytes, b"end")])
    assert one.half.at == 103 + nbytes
    assert sum(map(len, one.sink.parts)) == nbytes + 3


def test_retransmissions() -> None:
    assert stream(OPEN, sent(100, b"abc"), sent(100, b"abc"), sent(103, b"de"), sent(100, b"abcde")) == [b"abcde"]


def test_of_overlapping_bytes_the_first_to_come_win() -> None:
    assert stream(OPEN, sent(102, b"CDE"), sent(100, b"abcdefg")) == [b"abCDEfg"]
    assert stream(OPEN, sent(100, b"abc"), sent(101, b"XYZ")) == [b"abcZ"]


def test_a_keep_alive_probe_changes_nothing() -> None:
    """Its byte, if it has one, is garbage that the receiver has had (RFC 1122, section 4.2.3.6)."""
    for probe in sent(102, b"\0"), sent(102, b"c"), sent(102):
        assert stream(OPEN, sent(100, b"abc"), probe, probe, sent(103, b"de")) == [b"abcde"]
    assert stream(OPEN, sent(99, b"\0"), sent(100, b"abc")) == [b"abc"]
    assert stream(OPEN, sent(99), sent(100, b"abc")) == [b"abc"]
    assert stream(sent(100, b"abc"), sent(102, b"\0"), sent(103, b"de")) == [b"abcde"]


def test_a_keep_alive_probe_as_the_first_thing_stands_alone() -> None:
    """Nobody can know that its byte is none, but it does not stick to what follows."""
    one = OneHalf().add([sent(99, b"\0"), sent(100, b"abc")])
    one.half.stream.finish()
    assert [bytes(part) for part in one.sink.parts] == [b"\0", b"abc"]
    assert stream(sent(99), sent(100, b"abc")) == [b"abc"]
    assert stream(sent(99), sent(100), sent(100, b"abc"), sent(99)) == [b"abc"]


@pytest.mark.parametrize("start", [2**32 - 1, 2**32 - 3, 2**32, 2**31 - 2, 2**31, 1, 0])
def test_sequence_numbers_wrap(start: int) -> None:
    syn = sent(start - 1, b"", SYN)
    assert stream(syn, sent(start, b"abc"), sent(start + 5, b"f"), sent(start + 3, b"de")) == [b"abcdef"]
    assert stream(sent(start + 5, b"f"), syn, sent(start + 3, b"de"), sent(start, b"abc")) == [b"abcdef"]
    assert stream(sent(start + 5, b"f"), sent(start, b"abc"), sent(start + 3, b"de")) == [b"abcdef"]
    assert ending(syn, sent(start, b"abc"), sent(start + 3, b"", FIN)) is CLOSED


def test_a_stream_longer_than_the_sequence_space() -> None:
    """Without 4 GiB of memory: one slice is shown again and again."""
    size = 4 << 20
    block = SliceBuffer(bytes(size))
    one = OneHalf().add([OPEN])
    parts = 0
    for at in range(0, 9 << 30, size):
        pair = sent(101 + at)._replace(payload=block[1:]), sent(100 + at)._replace(payload=block[:1])
        one.add(pair if at % (3 * size) else reversed(pair))
        parts += 2
    one.add([sent(100 + (9 << 30), b"", FIN)])
    one.half.stream.finish()
    assert sum(map(len, one.sink.parts)) == 9 << 30
    assert len(one.sink.parts) == parts
    assert one.sink.told[parts:] == [CLOSED]


def test_without_a_syn_the_lowest_number_is_the_start() -> None:
    one = OneHalf().add([sent(103, b"de"), sent(100, b"abc"), sent(105, b"f")])
    assert one.half.waits
    assert one.end() == [b"abcdef", CUT]
    assert one.half.start is None
    assert stream(sent(2**32 + 1, b"de"), sent(2**32 - 2, b"abc")) == [b"abcde"]


def test_lost_segments_are_gaps() -> None:
    assert stream(OPEN, sent(103, b"de"), sent(110, b"k")) == [3, b"de", 5, b"k"]


def test_what_is_lost_before_the_fin_is_a_gap() -> None:
    assert stream(OPEN, sent(100, b"ab"), sent(110, b"", FIN)) == [b"ab", 8]
    assert stream(OPEN, sent(110, b"", FIN)) == [10]
    assert stream(OPEN, sent(110, b"k", FIN)) == [10, b"k"]


def test_of_several_fins_that_one_counts_behind_which_there_is_nothing() -> None:
    assert stream(OPEN, sent(100, b"ab", FIN), sent(102, b"cd"), sent(104, b"", FIN)) == [b"abcd"]
    assert stream(OPEN, sent(100, b"abcdef"), sent(102, b"", FIN)) == [b"abcdef"]
    assert ending(OPEN, sent(100, b"abcdef"), sent(102, b"", FIN)) is CUT
    assert ending(OPEN, sent(100, b"ab", FIN), sent(102, b"cd"), sent(104, b"", FIN)) is CLOSED
    assert ending(OPEN, sent(100, b"ab", FIN), sent(102, b"cd")) is CUT
    assert stream(OPEN, sent(100, b"ab", FIN), sent(100, b"ab", FIN), sent(107, b"", FIN)) == [b"ab"]
    assert stream(sent(100, b"", FIN)) == []


def test_wrong_fins_do_not_add_up() -> None:
    one = OneHalf().add([OPEN])
    one.add(sent(100 + 10 * n, b"", FIN) for n in range(5_000 if IS_QUICK else 100_000))
    assert len(one.half._fins) == MOST_FINS
    one.add([sent(100, bytes(500)), sent(600, b"z", FIN)])
    assert one.end() == [bytes(500) + b"z", CLOSED]


def test_a_snapshot_length_leaves_gaps() -> None:
    assert stream(OPEN, sent(100, b"ab", cut=8), sent(110, b"k", cut=2)) == [b"ab", 8, b"k", 2]
    assert stream(OPEN, sent(100, b"", cut=10), sent(110, b"k")) == [10, b"k"]
    assert stream(OPEN, sent(110, b"k"), sent(100, b"ab", cut=8)) == [b"ab", 8, b"k"]
    assert stream(OPEN, sent(100, b"ab", FIN, cut=8)) == [b"ab", 8]
    assert ending(OPEN, sent(100, b"ab", FIN, cut=8)) is CLOSED


def test_what_was_cut_off_is_no_hole_that_is_awaited() -> None:
    one = OneHalf().add([OPEN, sent(100, b"ab", cut=8), sent(110, b"k")])
    assert one.sink.events == [b"ab", 8, b"k"]
    assert not one.half.waits


def test_nothing_but_acknowledgements() -> None:
    assert stream(sent(100), sent(100)) == []
    assert stream() == []
    assert stream(OPEN) == []


def test_a_reset_carries_no_data() -> None:
    """What it carries is a note for people (RFC 9293, section 3.5.3)."""
    assert OneHalf().add([OPEN, sent(100, b"ab"), sent(102, b"because", RST)]).end() == [b"ab", RESET]


def test_a_reset_behind_which_its_side_goes_on_is_none() -> None:
    assert OneHalf().add([OPEN, sent(100, b"ab"), sent(102, b"", RST), sent(102, b"cd")]).end() == [b"abcd", CUT]
    assert OneHalf().add([OPEN, sent(100, b"ab"), sent(100, b"", RST), sent(102, b"cd")]).end() == [b"abcd", CUT]


def test_behind_the_acknowledged_fin_nothing_comes() -> None:
    talk = Talk().open().c(b"ask").c(b"", FIN | ACK).s().c(b"more").c(b"", FIN | ACK).s(b"answer")
    played = play(talk.segments)
    assert played.events == [[[b"ask", CLOSED], [b"answer", CUT]]]
    assert played.strays == (1, 4)
    again = play([*talk.segments[:6], talk.segment(0, b"k", at=2), talk.segment(0, b"ask", at=0)])
    assert again.strays == (0, 0)


def test_a_fin_ends_its_half_stream_when_it_is_acknowledged() -> None:
    talk = Talk().open().c(b"ask").c(b"", FIN | ACK)
    one = Recorder()
    stream_ = Stream(0, FLOW, turned(FLOW))
    stream_.halves[0].sink = one
    for segment in talk.segments:
        stream_.halves[segment.flow != FLOW].add(segment, 0)
    assert one.events == [b"ask"]
    stream_.halves[1].add(talk.segment(1, ack=3), 0)
    assert one.events == [b"ask"]
    stream_.halves[1].add(talk.segment(1, ack=4), 0)
    assert one.events == [b"ask", CLOSED]


# -- what others decide


def pair() -> tuple[HalfStream, HalfStream, Recorder]:
    """Return both sides of a connection, and what the first brings."""
    half, other = Stream(0, FLOW, turned(FLOW)).halves
    half.sink = recorder = Recorder()
    return half, other, recorder


def test_it_can_be_told_to_wait_no_longer() -> None:
    half, other, recorder = pair()
    half.add(sent(105, b"f"), 1)
    assert half.waits
    assert half.since == 1
    half.stream.wait_no_longer(7, 7)
    assert recorder.events == [b"f"]
    half.add(sent(108, b"i"), 9)
    half.stream.wait_no_longer(20, 20)
    assert recorder.events == [b"f"]  # nobody has acknowledged more
    other.add(sent(900)._replace(flow=turned(FLOW), ack=109), 21)
    other.stream.wait_no_longer(29, 29)
    assert not other.begun
    half.stream.wait_no_longer(30, 30)
    assert recorder.events == [b"f", 2, b"i"]


def test_since_when_it_waits_is_of_what_it_waits_for() -> None:
    half, _, _ = pair()
    half.add(OPEN, 1)
    half.add(sent(101, b"b"), 5)
    assert half.since == 5
    half.add(sent(103, b"d"), 6)
    assert half.since == 5
    half.add(sent(100, b"a"), 7)
    assert half.since == 7
    half.add(sent(102, b"c"), 8)
    assert not half.waits
    half.add(sent(105, b"f"), 12)
    assert half.since == 12


def test_it_can_go_on_far_ahead() -> None:
    half, _, recorder = pair()
    half.add(OPEN, 1)
    half.add(sent(100, b"abc"), 2)
    assert half.move(5000) == 0
    assert half.top == 5000
    assert half.move(4000) == 0
    assert half.top == 5000
    half.add(sent(5000, b"z"), 3)
    half.stream.finish()
    assert recorder.events == [b"abc", 4897, b"z", CUT]


def test_it_can_begin_elsewhere_as_long_as_nothing_was_handed_on() -> None:
    half, _, recorder = pair()
    half.add(sent(100, b"stray", FIN), 1)
    assert half.move(5_000_000) == 5
    half.add(sent(5_000_000, b"abc"), 2)
    half.stream.finish()
    assert recorder.events == [b"abc", CUT]
    half, _, recorder = pair()
    half.add(OPEN, 1)
    assert half.is_bare
    half.move(777)
    assert half.start is None
    half.add(sent(776, b"", SYN), 2)
    half.add(sent(777, b"abc"), 3)
    half.stream.finish()
    assert recorder.events == [b"abc", CUT]


def test_whose_word_counts() -> None:
    """Once it has acknowledged just what was seen, and until several segments speak against it."""
    half, other, _ = pair()
    half.add(OPEN, 1)
    half.add(sent(100, b"abc"), 2)
    seen = []
    for ack in 0, 99, 100, 102, 104, 103, 50:
        other.add(sent(900, b"")._replace(flow=turned(FLOW), ack=ack), 3)
        seen.append(other.trusts)
    assert seen == [False] * 5 + [True] * 2
    other.move(1_000_000)
    assert not other.trusts


def test_what_shows_that_it_is_none_astray() -> None:
    half, other, _ = pair()
    assert not half.is_shown(1)
    half.add(sent(100, b"a"), 1)
    half.add(sent(102, b"c"), 1)
    assert half.is_shown(2)
    assert not half.is_shown(3)
    other.add(sent(900)._replace(flow=turned(FLOW), ack=103), 2)
    assert half.is_shown(3)


def test_a_fin_before_all_numbers_are_known() -> None:
    """It counts if it lies in the window, once there is one."""
    for start in 100, 2**32 - 2:
        assert OneHalf().add([sent(start + 3, b"", FIN), sent(start, b"abc")]).end() == [b"abc", CLOSED]
        assert OneHalf().add([sent(start + 3, b"", FIN), sent(start - 1, b"abc", SYN)]).end() == [b"abc", CLOSED]
        assert OneHalf().add([sent(start + 9_000_000, b"", FIN), sent(start, b"abc")]).end() == [b"abc", CUT]


def test_a_stream_is_its_halves() -> None:
    stream_ = Stream(0, FLOW, turned(FLOW))
    half, other = stream_.halves
    finished = sent(899, b"", SYN | FIN)._replace(flow=turned(FLOW))
    seen = []
    for side, segment in [
        (half, OPEN),
        (half, sent(101, b"b")),
        (half, sent(100, b"a")),
        (half, sent(102, b"", FIN)),
        (other, finished),
        (half, sent(102, b"", RST)),
    ]:
        side.add(segment, 1)
        seen.append((stream_.is_bare, stream_.waits, stream_.is_over, stream_.is_reset))
    assert seen == [
        (True, False, False, False),
        (False, True, False, False),
        (False, False, False, False),
        (False, True, False, False),
        (False, True, True, False),
        (False, True, True, True),
    ]


def test_a_side_that_talks_to_itself() -> None:
    own = FLOW[:4] * 2 + FLOW[8:10] * 2
    stream_ = Stream(0, own, own)
    assert stream_.by_flow() == {own: stream_.halves[0]}
    assert len(Stream(0, FLOW, turned(FLOW)).by_flow()) == 2


# -- the hot path


def test_what_is_plain_is_only_handed_on() -> None:
    talk = Talk().open()
    halves = Stream(0, FLOW, turned(FLOW)).halves
    for segment in talk.segments:
        halves[segment.flow != FLOW].add(segment, 0)
    for _ in range(3):
        talk.c(b"ask").s(b"answer").c().s()
    for segment in talk.segments[3:]:
        half = halves[segment.flow != FLOW]
        if not half.take(segment):
            half.add(segment, 0)
    assert halves[0].plain
    assert halves[1].plain
    for side, fields in [
        (0, {"at": 8}),
        (0, {"cut": 1}),
        (0, {"window": 65_535 + 1}),
        (1, {"ack": 10}),
        (0, {"ack": 0}),
    ]:
        segment = talk.segment(side, b"x", **fields)
        assert halves[side].take(segment) is (fields == {"ack": 0}), fields
        if fields == {"ack": 0}:
            talk.places[0] += 1
    for flags in SYN, FIN | ACK, RST:
        assert not halves[0].take(talk.segment(0, b"", flags))
    assert not halves[0].take(talk.segment(0)._replace(network=b"\0\0\0\7"))
    assert halves[1].take(talk.segment(1))
    halves[0].add(talk.segment(0, b"y", at=20), 0)
    assert not halves[1].take(talk.segment(1))


@given(st.data())
def test_the_hot_path_changes_nothing(data: st.DataObject) -> None:
    """Whether a segment is taken or added, the same comes out."""
    talk = Talk().open()
    for _ in range(data.draw(st.integers(1, 12))):
        say = data.draw(st.sampled_from([talk.c, talk.s]))
        say(b"x" * data.draw(st.integers(0, 3)), at=max(-1, talk.places[say == talk.s] - data.draw(st.integers(-2, 2))))
    outcomes = []
    for takes in True, False:
        halves = Stream(0, FLOW, turned(FLOW)).halves
        sinks = Recorder(), Recorder()
        for half, sink in zip(halves, sinks, strict=True):
            half.sink = sink
        for number, segment in enumerate(talk.segments):
            half = halves[segment.flow != FLOW]
            if not (takes and half.take(segment)):
                half.add(segment, number)
        for half in halves:
            half.stream.finish()
        outcomes.append([sink.events for sink in sinks] + [[half.at, half.acked] for half in halves])
    assert outcomes[0] == outcomes[1]


# -- everything


@given(st.data())
def test_any_order_of_any_pieces_gives_the_stream(data: st.DataObject) -> None:
    """All pieces are there at least once; some are there twice, and some overlap. The SYN is anywhere, or nowhere."""
    whole = bytes(range(256)) * 4
    edges = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=20))})
    pieces = list(pairwise(edges))
    more = data.draw(st.lists(st.tuples(st.integers(0, 1023), st.integers(1, 300)), max_size=10))
    pieces += [(start, min(start + size, len(whole))) for start, size in more]
    start = data.draw(st.sampled_from([0, 7, 2**32 - 1, 2**32 - 500, 2**31]))
    segments = [sent(start + a, whole[a:b]) for a, b in data.draw(st.permutations(pieces))]
    for _ in range(data.draw(st.integers(0, 2))):
        segments.insert(data.draw(st.integers(0, len(segments))), sent(start - 1, b"", SYN))
    segments.insert(data.draw(st.integers(0, len(segments))), sent(start + len(whole), b"", FIN))
    assert OneHalf().add(segments).end() == [whole, CLOSED]


def first_wins(size: int, pieces: Sequence[tuple[int, bytes]]) -> list[Event]:
    """The oracle, byte by byte."""
    cells: list[bytes | None] = [None] * size
    for at, payload in pieces:
        for offset, byte in enumerate(payload, at):
            cells[offset] = cells[offset] or bytes([byte])
    while cells and cells[-1] is None:
        cells.pop()
    events: list[Event] = []
    for cell in cells:
        last = events[-1] if events else None
        if cell is None:
            events[-1:] = [last + 1] if isinstance(last, int) else [*events[-1:], 1]
        else:
            events[-1:] = [last + cell] if isinstance(last, bytes) else [*events[-1:], cell]
    return events


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=12)), max_size=25))
@example([(0, b"a"), (2, b"c"), (0, b"xyz")])
def test_overlaps_and_holes_are_those_of_the_oracle(pieces: list[tuple[int, bytes]]) -> None:
    assert stream(OPEN, *(sent(100 + at, payload) for at, payload in pieces)) == first_wins(80, pieces)


def test_nothing_is_copied() -> None:
    owner = SliceBuffer(b"abcdefgh")
    with no_copy(strict=True):
        one = OneHalf().add([OPEN, sent(102)._replace(payload=owner[2:4]), sent(100)._replace(payload=owner)])
    assert {id(part.view().obj) for part in one.sink.parts} == {id(owner.view().obj)}
    assert one.end() == [b"abcdefgh", CUT]


# -- limits


def behind_a_hole(count: int) -> Iterable[Segment]:
    return (sent(101 + n, b"x") for n in range(count))


def test_a_hole_behind_which_too_much_waits_is_given_up() -> None:
    one = OneHalf().add([OPEN, *behind_a_hole(MOST_PENDING)])
    assert one.sink.events == []
    one.add([sent(101 + MOST_PENDING, b"x")])
    assert one.sink.events == [1, b"x" * (MOST_PENDING + 1)]


def test_hundreds_of_thousands_behind_a_hole_wait_in_bounds() -> None:
    one = OneHalf().add([OPEN])
    number = MOST_PENDING * 5 // 4 if IS_QUICK else 20 * MOST_PENDING
    most = 0
    for n in range(number):
        one.add([sent(101 + 2 * n, b"x")])  # a hole before each
        most = max(most, len(one.half._arrivals))
    assert most == MOST_PENDING
    events = one.end()
    assert events[:-1] == [1, b"x"] * number


def test_random_segments_never_break_it() -> None:
    choices = random.Random(4)
    for _ in range(300):
        one = OneHalf()
        for _ in range(choices.randrange(30)):
            seq = choices.choice([choices.randrange(2**32), 100 + choices.randrange(50)])
            segment = sent(seq, bytes(choices.randrange(20)), choices.randrange(64), cut=choices.choice([0, 0, 5]))
            if one.half.fits(segment):
                one.add([segment])
        one.half.stream.finish()
        assert isinstance(one.sink.events[-1], Ending)


def test_both_sides_are_put_together() -> None:
    talk = Talk().open().c(b"ask").s(b"answer").close()
    assert streams_of(talk.segments) == [[[b"ask"], [b"answer"]]]
