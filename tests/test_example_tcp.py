"""examples/_tcp.py: streams out of segments in every order, with holes, overlaps and doubles."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bytebufs import SliceBuffer, no_copy
from examples._packets import Endpoint, Segment
from examples._tcp import Connections, Ending, Gap, HalfStream

from .example_wire import ACK, FIN, PSH, RST, SYN

CLIENT = Endpoint(b"\x0a\0\0\1", 40_000)
SERVER = Endpoint(b"\x0a\0\0\2", 80)


def sent(seq: int, payload: bytes = b"", flags: int = ACK, *, cut: int = 0) -> Segment:
    return Segment(CLIENT, SERVER, seq % 2**32, flags, SliceBuffer(payload), cut)


def replied(seq: int, payload: bytes = b"", flags: int = ACK) -> Segment:
    return Segment(SERVER, CLIENT, seq % 2**32, flags, SliceBuffer(payload), 0)


def half_of(segments: Iterable[Segment]) -> HalfStream:
    half = HalfStream(CLIENT, SERVER)
    for segment in segments:
        half.add(segment)
    return half


def events_of(half: HalfStream) -> list[bytes | int]:
    """Return the bytes between the gaps, and the lengths of these."""
    found: list[bytes | int] = []
    for event in half.events():
        if isinstance(event, Gap):
            assert event.nbytes > 0
            found.append(event.nbytes)
        elif found and isinstance(found[-1], bytes):
            found[-1] += bytes(event)
        else:
            found.append(bytes(event))
    return found


def stream(*segments: Segment) -> list[bytes | int]:
    return events_of(half_of(segments))


OPEN = sent(99, b"", SYN)


def test_in_order() -> None:
    half = half_of([OPEN, sent(100, b"abc"), sent(103, b"de"), sent(105, b"f", FIN | ACK)])
    assert events_of(half) == [b"abcdef"]
    assert half.ending is Ending.CLOSED
    assert half.begins_with_syn


def test_out_of_order() -> None:
    assert stream(OPEN, sent(105, b"f"), sent(103, b"de"), sent(100, b"abc")) == [b"abcdef"]


def test_data_before_the_syn_in_the_capture() -> None:
    assert stream(sent(100, b"abc"), OPEN, sent(103, b"de")) == [b"abcde"]


def test_data_in_a_syn() -> None:
    assert stream(sent(99, b"abc", SYN), sent(103, b"de")) == [b"abcde"]


def test_a_retransmitted_syn_with_and_without_data() -> None:
    assert stream(sent(99, b"abc", SYN), sent(99, b"abc", SYN), OPEN, sent(100, b"abc"), sent(103, b"de")) == [b"abcde"]


def test_retransmissions() -> None:
    assert stream(OPEN, sent(100, b"abc"), sent(100, b"abc"), sent(103, b"de"), sent(100, b"abcde")) == [b"abcde"]


def test_of_overlapping_bytes_the_first_to_come_win() -> None:
    assert stream(OPEN, sent(102, b"CDE"), sent(100, b"abcdefg")) == [b"abCDEfg"]
    assert stream(OPEN, sent(100, b"abc"), sent(101, b"XYZ")) == [b"abcZ"]
    assert stream(OPEN, sent(101, b"BC"), sent(104, b"E"), sent(100, b"abcdef"), sent(100, b"uvwxyz!")) == [b"aBCdEf!"]


def test_a_keep_alive_probe_changes_nothing() -> None:
    probe = sent(102, b"\0")
    assert stream(OPEN, sent(100, b"abc"), probe, probe, sent(103, b"de")) == [b"abcde"]
    assert stream(OPEN, sent(99, b"\0"), sent(100, b"abc")) == [b"abc"]
    assert stream(OPEN, sent(100, b"abc"), sent(102), sent(103, b"de")) == [b"abcde"]


@pytest.mark.parametrize("start", [2**32 - 1, 2**32 - 3, 2**32, 2**31 - 2, 2**31])
def test_sequence_numbers_wrap(start: int) -> None:
    syn = sent(start - 1, b"", SYN)
    assert stream(syn, sent(start, b"abc"), sent(start + 5, b"f"), sent(start + 3, b"de")) == [b"abcdef"]


def test_a_stream_longer_than_the_sequence_space() -> None:
    """Without 4 GiB of memory: one slice is shown again and again."""
    block = SliceBuffer(bytes(1 << 20))
    half = half_of([OPEN])
    for at in range(0, 5 << 30, 1 << 20):
        half.add(sent(100 + at)._replace(payload=block))
    half.add(sent(100 + (5 << 30), b"", FIN))
    assert sum(len(event) for event in half.events() if isinstance(event, SliceBuffer)) == 5 << 30
    assert not any(isinstance(event, Gap) for event in half.events())


def test_without_a_syn_the_lowest_number_is_the_start() -> None:
    half = half_of([sent(103, b"de"), sent(100, b"abc"), sent(105, b"f")])
    assert events_of(half) == [b"abcdef"]
    assert not half.begins_with_syn
    assert stream(sent(2**32 + 1, b"de"), sent(2**32 - 2, b"abc")) == [b"abcde"]


def test_lost_segments_are_gaps() -> None:
    assert stream(OPEN, sent(103, b"de"), sent(110, b"k")) == [3, b"de", 5, b"k"]


def test_what_is_lost_before_the_fin_is_a_gap() -> None:
    assert stream(OPEN, sent(100, b"ab"), sent(110, b"", FIN)) == [b"ab", 8]
    assert stream(OPEN, sent(110, b"", FIN)) == [10]


def test_behind_the_fin_there_is_nothing() -> None:
    assert stream(OPEN, sent(100, b"ab", FIN), sent(102, b"cd"), sent(103, b"xy", FIN)) == [b"ab"]
    assert stream(OPEN, sent(100, b"abcdef"), sent(102, b"", FIN)) == [b"ab"]
    assert stream(sent(100, b"", FIN)) == []


def test_a_snapshot_length_leaves_gaps() -> None:
    assert stream(OPEN, sent(100, b"ab", cut=8), sent(110, b"k", cut=2)) == [b"ab", 8, b"k", 2]
    assert stream(OPEN, sent(100, b"", cut=10), sent(110, b"k")) == [10, b"k"]
    assert stream(OPEN, sent(100, b"ab", cut=8), sent(102, b"cdefghij")) == [b"abcdefghij"]


def test_nothing_but_acknowledgements() -> None:
    assert stream(sent(100), sent(100)) == []
    assert stream() == []
    assert stream(OPEN) == []


def test_a_reset_carries_no_data() -> None:
    half = half_of([OPEN, sent(100, b"ab"), sent(102, b"because", RST)])
    assert events_of(half) == [b"ab"]


def test_a_segment_far_off_moves_no_other() -> None:
    far = sent(100 + 3 * 2**29, b"?")
    farther = sent(100 + 6 * 2**29, b"?")
    events = stream(OPEN, sent(100, b"ab"), far, farther, far, sent(102, b"cd"))
    assert events[0] == b"abcd"


@given(st.data())
def test_any_order_of_any_pieces_gives_the_stream(data: st.DataObject) -> None:
    """All pieces are there at least once; some are there twice, and some overlap."""
    whole = bytes(range(256)) * 4
    edges = sorted({0, len(whole), *data.draw(st.lists(st.integers(0, len(whole)), max_size=20))})
    pieces = list(pairwise(edges))
    more = data.draw(st.lists(st.tuples(st.integers(0, 1023), st.integers(1, 300)), max_size=10))
    pieces += [(start, min(start + size, len(whole))) for start, size in more]
    pieces = data.draw(st.permutations(pieces))
    start = data.draw(st.sampled_from([0, 7, 2**32 - 1, 2**32 - 500, 2**31]))
    segments = [sent(start - 1, b"", SYN), *(sent(start + a, whole[a:b]) for a, b in pieces)]
    assert stream(*segments) == [whole]


def first_wins(size: int, pieces: Sequence[tuple[int, bytes]]) -> list[bytes | int]:
    """The oracle, byte by byte."""
    cells: list[int | None] = [None] * size
    for at, payload in pieces:
        for offset, byte in enumerate(payload):
            if cells[at + offset] is None:
                cells[at + offset] = byte
    while cells and cells[-1] is None:
        cells.pop()
    events: list[bytes | int] = []
    for cell in cells:
        last = events[-1] if events else None
        if cell is None:
            events[-1:] = [last + 1] if isinstance(last, int) else [*events[-1:], 1]
        else:
            events[-1:] = [last + bytes([cell])] if isinstance(last, bytes) else [*events[-1:], bytes([cell])]
    return events


@given(st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=12)), max_size=25))
@example([(0, b"a"), (2, b"c"), (0, b"xyz")])
def test_overlaps_and_holes_are_those_of_the_oracle(pieces: list[tuple[int, bytes]]) -> None:
    segments = [OPEN, *(sent(100 + at, payload) for at, payload in pieces)]
    assert stream(*segments) == first_wins(80, pieces)


def test_adjacent_pieces_of_one_owner_are_cut_and_merge_again() -> None:
    owner = SliceBuffer(b"abcdefgh")
    with no_copy(strict=True):
        half = half_of([OPEN, sent(100)._replace(payload=owner), sent(102, b"xx"), sent(105, b"y")])
        parts = [event for event in half.events() if isinstance(event, SliceBuffer)]
    assert len(parts) == 3
    assert {id(part.view().obj) for part in parts} == {id(owner.view().obj)}


def test_many_segments_in_reverse_take_time_in_proportion() -> None:
    """Insertion one by one would take minutes for what sorting does at once."""
    segments = [sent(100 + n, b"x") for n in range(100_000)]
    assert stream(OPEN, *reversed(segments)) == [b"x" * 100_000]


# -- connections


def sorted_streams(segments: Iterable[Segment]) -> list[list[list[bytes | int]]]:
    connections = Connections()
    for segment in segments:
        connections.add(segment)
    assert [stream.number for stream in connections.streams] == list(range(len(connections.streams)))
    return [[events_of(half) for half in stream.halves] for stream in connections.streams]


def test_both_directions_are_one_stream() -> None:
    segments = [OPEN, replied(499, b"", SYN | ACK), sent(100, b"ask"), replied(500, b"answer")]
    assert sorted_streams(segments) == [[[b"ask"], [b"answer"]]]


def test_streams_are_numbered_by_first_packet() -> None:
    others = [segment._replace(src=Endpoint(CLIENT.address, 40_001)) for segment in (OPEN, sent(100, b"other"))]
    assert sorted_streams([others[0], OPEN, sent(100, b"one"), others[1]]) == [[[b"other"], []], [[b"one"], []]]


@pytest.mark.parametrize("close", [FIN | ACK, RST, ACK], ids=["closed", "reset", "end not seen"])
def test_the_same_ports_again_are_another_stream(close: int) -> None:
    first = [OPEN, replied(499, b"", SYN | ACK), sent(100, b"one"), replied(500, b"eins"), sent(103, b"", close)]
    second = [sent(7000, b"", SYN), replied(8000, b"", SYN | ACK), sent(7001, b"two"), replied(8001, b"zwei")]
    assert sorted_streams(first + second) == [[[b"one"], [b"eins"]], [[b"two"], [b"zwei"]]]


def test_the_same_ports_again_with_the_first_syn_lost() -> None:
    first = [sent(100, b"one"), replied(500, b"eins")]
    second = [sent(7000, b"", SYN), sent(7001, b"two")]
    assert sorted_streams(first + second) == [[[b"one"], [b"eins"]], [[b"two"], []]]


def test_the_same_ports_again_with_the_second_syn_lost() -> None:
    first = [OPEN, replied(499, b"", SYN | ACK), sent(100, b"one"), replied(500, b"eins")]
    second = [replied(8000, b"", SYN | ACK), sent(7001, b"two"), replied(8001, b"zwei")]
    assert sorted_streams(first + second) == [[[b"one"], [b"eins"]], [[b"zwei"], [b"two"]]]


def test_a_repeated_handshake_is_the_same_stream() -> None:
    shake = [OPEN, OPEN, replied(499, b"", SYN | ACK), OPEN, replied(499, b"", SYN | ACK)]
    assert sorted_streams([*shake, sent(100, b"ask"), OPEN, replied(500, b"answer")]) == [[[b"ask"], [b"answer"]]]


def test_a_reset_ends_both_halves_unless_they_were_closed() -> None:
    connections = Connections()
    for segment in [OPEN, sent(100, b"ask", FIN), replied(500, b"ans"), sent(104, b"", RST)]:
        connections.add(segment)
    assert [half.ending for half in connections.streams[0].halves] == [Ending.CLOSED, Ending.RESET]


def test_the_capture_may_end_before_the_connection() -> None:
    assert half_of([OPEN, sent(100, b"ask", PSH | ACK)]).ending is Ending.CUT


def test_a_connection_of_an_endpoint_with_itself() -> None:
    segments = [segment._replace(src=CLIENT, dst=CLIENT) for segment in (OPEN, sent(100, b"echo"))]
    assert sorted_streams(segments) == [[[b"echo"], []]]


def test_who_spoke_first() -> None:
    connections = Connections()
    for segment in [sent(100), replied(500), replied(500, b"220"), sent(100, b"HELO")]:
        connections.add(segment)
    (found,) = connections.streams
    assert found.spoke_first is found.halves[1]


def test_random_segments_never_break_it() -> None:
    choices = random.Random(4)
    for _ in range(300):
        connections = Connections()
        for _ in range(choices.randrange(30)):
            seq = choices.choice([choices.randrange(2**32), 100 + choices.randrange(50)])
            payload = bytes(choices.randrange(20))
            segment = choices.choice([sent, replied])(seq, payload, choices.randrange(64))
            connections.add(segment._replace(cut=choices.choice([0, 0, 5])))
        for stream_ in connections.streams:
            for half in stream_.halves:
                events_of(half)
