"""examples/http/fragments.py: datagrams out of fragments in every order, with overlaps, doubles and holes."""

from __future__ import annotations

import itertools
import pickle
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import SliceBuffer, no_copy
from examples.http.capture import Packet
from examples.http.fragments import MAX_DATAGRAM, MAX_KEPT, TIMEOUT, Datagram, Fragments
from examples.http.layers import Fragment
from examples.http.packets import Segment, SegmentReader, Skipped

from .conftest import IS_QUICK
from .example_layers import ethernet, outer_ipv4, udp
from .example_wire import CLIENT, CLIENT6, SERVER, SERVER6, Tcp, ipv4, ipv6, pcap

GIVEN_UP: Final = Skipped("in IP fragments that do not make a datagram")
FOUR, SIX = CLIENT + SERVER, CLIENT6 + SERVER6


def piece(
    offset: int,
    data: bytes,
    *,
    more: bool = True,
    six: bool = False,
    ident: bytes = b"id",
    time: float = 0.0,
    cut: int = 0,
) -> Fragment:
    kept = SliceBuffer(data[: len(data) - cut])
    return Fragment(1, time, b"", SIX if six else FOUR, ident, 6, offset, more, len(data), kept)


def pieces_of(data: bytes, *borders: int, six: bool = False) -> list[Fragment]:
    edges = [0, *borders, len(data)]
    return [piece(a, data[a:b], more=b < len(data), six=six) for a, b in itertools.pairwise(edges)]


def add(fragments: Fragments, *those: Fragment) -> list[Datagram]:
    found = [fragments.add(fragment) for fragment in those]
    return [datagram for datagram in found if datagram is not None]


DATA: Final = bytes(range(40))


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_any_order(order: tuple[int, ...], six: bool) -> None:
    those = pieces_of(DATA, 8, 16, 32, six=six)
    fragments = Fragments()
    with no_copy(strict=True):
        (whole,) = add(fragments, *(those[i] for i in order))
        data = whole.data()
    assert data == DATA
    assert data.part_count == 4
    assert (whole.complete, whole.reach, whole.protocol) == (True, 40, 6)
    assert (fragments.left(), fragments.given_up) == ([], 0)


def test_what_tells_datagrams_apart() -> None:
    first, last = pieces_of(DATA, 16)
    others = [
        first._replace(ident=b"xx"),
        first._replace(addresses=SERVER + CLIENT),
        first._replace(network=b"\1\0\0\5"),
    ]
    fragments = Fragments()
    assert add(fragments, *others, last) == []
    assert len(fragments.left()) == 4


def test_the_first_piece_says_what_is_inside() -> None:
    first, last = pieces_of(DATA, 16, six=True)
    (whole,) = add(Fragments(), last._replace(protocol=0), first._replace(protocol=17))
    assert whole.protocol == 17


# -- overlaps


@given(st.integers(0, 2**32))
def test_in_ipv4_the_first_bytes_win(seed: int) -> None:
    """Beside a model that fills in what is still unknown, byte by byte."""
    rng = random.Random(seed)
    size = rng.randrange(1, 12) * 8 + rng.randrange(8)
    model: list[int | None] = [None] * size
    fragments = Fragments()
    whole: list[Datagram] = []
    ended = False
    while not whole:
        start = rng.randrange(0, size, 8)
        stop = min(start + rng.randrange(1, 8) * 8, size)
        data = rng.randbytes(stop - start)
        whole = add(fragments, piece(start, data, more=stop < size))
        ended = ended or stop == size
        model[start:stop] = [old if old is not None else new for old, new in zip(model[start:stop], data, strict=True)]
        assert bool(whole) == (ended and None not in model)
    assert whole[0].data() == bytes(byte for byte in model if byte is not None)
    assert fragments.given_up == 0


def test_an_overlap_in_ipv6_drops_the_datagram_and_what_comes_of_it() -> None:
    first, middle, last = pieces_of(DATA, 16, 32, six=True)
    fragments = Fragments()
    assert add(fragments, first, last, piece(8, bytes(16), six=True), middle, first, last) == []
    assert (fragments.given_up, fragments.left()) == (6, [])
    assert len(add(fragments, *pieces_of(DATA, 16, six=True))) == 1


def test_a_fragment_of_ipv6_that_comes_again_changes_nothing() -> None:
    first, last = pieces_of(DATA, 16, six=True)
    fragments = Fragments()
    (whole,) = add(fragments, first, first, first, last)
    assert whole.data() == DATA
    assert fragments.given_up == 0
    assert add(fragments, first, first._replace(data=SliceBuffer(bytes(16))), last) == []
    assert fragments.given_up == 3


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_two_ends_contradict_each_other(six: bool) -> None:
    first, last = pieces_of(DATA, 16, six=six)
    for bad in (
        piece(24, bytes(8), more=False, six=six),
        piece(40, bytes(8), six=six),
        piece(40, bytes(8), more=False, six=six),
    ):
        fragments = Fragments()
        found = add(fragments, last, bad, first)
        assert [bytes(whole.data()) for whole in found] == ([] if six else [DATA])
        assert fragments.given_up == (3 if six else 1)


@pytest.mark.parametrize(
    "bad",
    [
        piece(0, b"", more=False),
        piece(8, b""),
        piece(0, b"1234567"),
        piece(MAX_DATAGRAM - 7, bytes(8), more=False),
        piece(65_528, bytes(16)),
    ],
    ids=["empty", "empty with more", "no multiple of 8", "beyond a datagram", "far beyond"],
)
def test_impossible_fragments(bad: Fragment) -> None:
    fragments = Fragments()
    assert add(fragments, bad) == []
    assert (fragments.given_up, fragments.left()) == (1, [])


def test_the_largest_datagram() -> None:
    data = bytes(MAX_DATAGRAM)
    (whole,) = add(Fragments(), *pieces_of(data, *range(8, len(data), 8)))
    assert whole.reach == MAX_DATAGRAM


# -- what was cut, limits


@pytest.mark.parametrize("cut", [1, 8, 15, 16])
def test_a_snapshot_length_cuts_all_that_is_behind(cut: int) -> None:
    first, last = pieces_of(DATA, 16)
    (whole,) = add(Fragments(), piece(0, DATA[:16], cut=cut), last)
    assert (bytes(whole.data()), whole.reach) == (DATA[: 16 - cut], 40)
    (whole,) = add(Fragments(), piece(16, DATA[16:], more=False, cut=cut), first)
    assert (bytes(whole.data()), whole.reach) == (DATA[: 40 - cut], 40)


def test_what_was_cut_of_an_overlap() -> None:
    """The second fragment was cut before the bytes that are new in it."""
    (whole,) = add(Fragments(), piece(0, DATA[:16]), piece(8, DATA[8:], more=False, cut=30))
    assert (bytes(whole.data()), whole.reach) == (DATA[:16], 40)


def test_fragments_that_come_late() -> None:
    first, last = pieces_of(DATA, 16)
    fragments = Fragments()
    assert len(add(fragments, first, last._replace(time=TIMEOUT))) == 1
    assert add(fragments, first, last._replace(time=TIMEOUT + 0.001)) == []
    assert (fragments.given_up, len(fragments.left())) == (1, 1)


def test_a_dropped_datagram_is_forgotten_in_time() -> None:
    first, last = (one._replace(time=TIMEOUT + 1) for one in pieces_of(DATA, 16, six=True))
    fragments = Fragments()
    assert add(fragments, piece(0, bytes(16), six=True), piece(0, bytes(8), six=True)) == []
    assert len(add(fragments, first, last)) == 1


def test_the_oldest_are_given_up() -> None:
    fragments = Fragments()
    first, last = pieces_of(DATA, 16)
    for number in range(MAX_KEPT + 5):
        assert add(fragments, first._replace(ident=number.to_bytes(4, "big"))) == []
    assert fragments.given_up == 5
    assert add(fragments, last._replace(ident=bytes(4))) == []
    assert len(add(fragments, last._replace(ident=(9).to_bytes(4, "big")))) == 1
    assert (fragments.given_up, len(fragments.left())) == (6, MAX_KEPT - 1)


def test_dropped_datagrams_take_a_place_too() -> None:
    fragments = Fragments()
    for number in range(MAX_KEPT + 5):
        ident = number.to_bytes(4, "big")
        add(fragments, piece(0, bytes(16), six=True, ident=ident), piece(8, bytes(8), six=True, ident=ident))
    assert (fragments.given_up, fragments.left()) == (2 * (MAX_KEPT + 5), [])
    assert len(add(fragments, *pieces_of(DATA, 16))) == 1
    ident = bytes(4)
    assert add(fragments, piece(0, bytes(16), six=True, ident=ident)) == []
    assert len(fragments.left()) == 1


# -- work


def lines_run(call: Callable[[], object]) -> int:
    """Count the lines of the examples that a call runs."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if "examples" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def every_other(n: int) -> list[Fragment]:
    """As many holes as can be, then fragments over all of them, of which the first has all that is new."""
    large = piece(0, bytes(n * 16))
    return [*(piece(at * 16, bytes(8)) for at in range(n)), *[large] * n]


def backwards(n: int) -> list[Fragment]:
    return [piece(at * 8, bytes(8)) for at in range(n, 0, -1)]


def doubles(n: int) -> list[Fragment]:
    return [piece(at % n * 8, bytes(8), six=True) for at in range(2 * n)]


def many_datagrams(n: int) -> list[Fragment]:
    """In the end more than are kept."""
    return [piece(0, bytes(8), ident=number.to_bytes(4, "big")) for number in range(n * 5)]


@pytest.mark.parametrize("make", [every_other, backwards, doubles, many_datagrams])
def test_work_is_in_proportion_to_fragments(make: Callable[[int], list[Fragment]]) -> None:
    """Up to a logarithm: twice as many fragments take less than 2.3 times as many lines."""
    totals = []
    for n in (250, 500, 1_000) if IS_QUICK else (250, 500, 1_000, 2_000):
        fragments = Fragments()
        those = make(n)
        totals.append(lines_run(partial(add, fragments, *those)))
    assert totals[0] > 250
    assert all(second < 2.3 * first for first, second in itertools.pairwise(totals)), totals


# -- in packets


def split_ipv4(packet: bytes, size: int, ident: int) -> list[bytes]:
    body = packet[20:]
    made = []
    for at in range(0, len(body), size):
        data = body[at : at + size]
        more = 0x2000 if at + size < len(body) else 0
        made.append(packet[:2] + struct.pack("!HHH", 20 + len(data), ident, more | at // 8) + packet[8:20] + data)
    return made


def split_ipv6(packet: bytes, size: int, ident: int) -> list[bytes]:
    body = packet[40:]
    made = []
    for at in range(0, len(body), size):
        data = struct.pack("!BxHI", packet[6], at | (at + size < len(body)), ident) + body[at : at + size]
        made.append(packet[:4] + struct.pack("!HB", len(data), 44) + packet[7:40] + data)
    return made


def read(reader: SegmentReader, packets: list[bytes], link: int = 101) -> list[Segment | Skipped | None]:
    with no_copy(strict=True):
        return [
            reader.read(Packet(number, link, SliceBuffer(data), len(data), 0, 0.0))
            for number, data in enumerate(packets, 1)
        ]


LONG: Final = Tcp(7, bytes(range(100)), 0x18)


def assert_long(found: Segment | Skipped | None, number: int) -> None:
    assert isinstance(found, Segment)
    assert (found.number, found.seq, bytes(found.payload), found.cut) == (number, 7, bytes(range(100)), 0)


@pytest.mark.parametrize("size", [8, 24, 56, 96])
@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "backwards"])
def test_segments_in_fragments(size: int, six: bool, backwards: bool) -> None:
    packets = split_ipv6(ipv6(LONG), size, 9) if six else split_ipv4(ipv4(LONG), size, 9)
    reader = SegmentReader()
    *before, found = read(reader, packets[::-1] if backwards else packets)
    assert before == [None] * (len(packets) - 1)
    assert_long(found, len(packets))
    assert (reader.waiting, reader.left()) == ([], [])


def test_the_payload_is_of_slices_of_the_capture() -> None:
    packets = split_ipv4(ipv4(LONG), 48, 9)
    (found,) = [one for one in read(SegmentReader(), packets) if one]
    assert isinstance(found, Segment)
    assert found.payload.part_count == 3


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_fragments_of_a_tunnel_and_inside_it(six: bool) -> None:
    """Each of an inner datagram's fragments is in a tunnel whose packets are fragments themselves."""
    rng = random.Random(1)
    inner = split_ipv6(ipv6(LONG), 40, 9) if six else split_ipv4(ipv4(LONG), 40, 9)
    outer = []
    for ident, one in enumerate(inner):
        frame = ethernet(0x86DD if six else 0x0800, one)
        tunnel = outer_ipv4(17, udp(4789, b"\x08\0\0\0\0\0\7\0" + frame))
        outer += split_ipv4(tunnel, 32, ident)
    rng.shuffle(outer)
    reader = SegmentReader()
    found = [one for one in read(reader, outer) if one is not None]
    assert len(found) == 1
    assert_long(found[0], len(outer))
    assert isinstance(found[0], Segment)
    assert found[0].network == b"\3\0\0\7"


def chained(ident: int, offset: int, data: bytes, protocol: int = 4) -> bytes:
    """A fragment with 4 bytes of options, so that its header fills the 24 bytes of another fragment."""
    more = 0x2000 if offset == 0 else 0
    total = 24 + len(data)
    return (
        struct.pack("!BBHHHBBH4s4s4x", 0x46, 0, total, ident, more | offset // 8, 64, protocol, 0, CLIENT, SERVER)
        + data
    )


@pytest.mark.parametrize("links", [20, 2000])
def test_a_chain_of_fragments_that_complete_each_other(links: int) -> None:
    """Each datagram holds the last fragment of the next: that takes no recursion, and beyond a number has an end."""
    segment = ipv4(LONG)[20:]
    last = segment[24:]
    packets = [chained(ident, 0, chained(ident + 1, 24, last)[:24]) for ident in range(links - 1)]
    packets[-1] = chained(links - 2, 0, chained(links - 1, 24, last, protocol=6)[:24])
    packets.append(chained(links - 1, 0, segment[:24], protocol=6))
    reader = SegmentReader()
    *before, found = read(reader, [*packets, chained(0, 24, last)])
    assert set(before) == {None}
    if links == 20:
        assert_long(found, links + 1)
        assert reader.left() == []
    else:
        assert found == Skipped("with too many headers inside each other")


def test_given_up_fragments_are_counted() -> None:
    first, *_, last = split_ipv6(ipv6(LONG), 40, 9)
    reader = SegmentReader()
    assert read(reader, [first, first[:-1] + b"x", last]) == [None, None, None]
    assert reader.waiting == [GIVEN_UP] * 3


def test_fragments_that_are_left_go_on_in_another_reader() -> None:
    packets = split_ipv4(ipv4(LONG), 24, 9)
    one, two = SegmentReader(), SegmentReader()
    assert set(read(one, packets[:2] + split_ipv4(ipv4(LONG), 24, 10)[:1])) == {None}
    left = pickle.loads(pickle.dumps(one.left()))
    assert one.left() == []
    assert len(left) == 3
    assert set(read(two, packets[3:])) == {None}
    assert two.take(left) == []
    (found,) = read(two, packets[2:3])
    assert_long(found, 1)
    assert len(two.left()) == 1
    three = SegmentReader(left)
    assert_long(read(three, packets[2:])[-1], len(packets) - 2)
    assert three.waiting == []


def test_fragments_that_are_left_complete_what_is_kept() -> None:
    packets = split_ipv4(ipv4(LONG), 64, 9)
    one, two = SegmentReader(), SegmentReader()
    assert read(one, packets[:1]) == [None]
    assert read(two, packets[1:]) == [None]
    (found,) = two.take(one.left())
    assert_long(found, 1)
    assert two.left() == []


def test_left_fragments_that_contradict_each_other_are_counted() -> None:
    first, *_ = split_ipv6(ipv6(LONG), 40, 9)
    one, two = SegmentReader(), SegmentReader()
    read(one, [first])
    read(two, [first[:-1] + b"x"])
    assert two.take(one.left()) == []
    assert two.waiting == [GIVEN_UP] * 2


def test_what_a_datagram_holds_is_named_as_ever() -> None:
    packets = split_ipv4(outer_ipv4(17, udp(53, bytes(100))), 64, 9)
    assert read(SegmentReader(), packets) == [None, Skipped("of UDP")]
    packets = split_ipv4(outer_ipv4(6, bytes(100)), 64, 9)
    assert read(SegmentReader(), packets) == [None, Skipped("with cut or damaged headers")]


@pytest.mark.needs("tshark")
def test_tshark_puts_the_same_together(tmp_path: Path) -> None:
    """Fragments of IPv4 and IPv6, in and around tunnels, shuffled among those of other datagrams; some are missing."""
    rng = random.Random(5)
    frames = []
    for number in range(120):
        segment = Tcp(number * 1000, rng.randbytes(rng.randrange(1, 300)), 0x18)
        size = rng.randrange(3, 20) * 8
        six = number % 2
        kind = 0x86DD if six else 0x0800
        packets = split_ipv6(ipv6(segment), size, number) if six else split_ipv4(ipv4(segment), size, number)
        around = number % 6 // 2
        if around == 1:
            packets = [outer_ipv4(47, struct.pack("!HH", 0, kind) + packet) for packet in packets]
        elif around == 2:
            tunnels = [outer_ipv4(17, udp(4789, b"\x08" + bytes(7) + ethernet(kind, packet))) for packet in packets]
            pieces = [split_ipv4(tunnel, 80, number * 100 + i) for i, tunnel in enumerate(tunnels)]
            packets = list(itertools.chain.from_iterable(pieces))
        rng.shuffle(packets)
        lost = number % 10 == 9 and len(packets) > 1
        frames.append([ethernet(0x0800 if around else kind, packet) for packet in packets[lost:]])
    mixed = []
    while frames:
        those = frames[min(rng.randrange(5), len(frames) - 1)]
        mixed.append(those.pop())
        if not those:
            frames.remove(those)
    path = tmp_path / "x.pcap"
    path.write_bytes(pcap(mixed))
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.number", "-e", "tcp.payload"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seen = {number: payload for number, _, payload in (line.partition("\t") for line in lines) if payload}
    reader = SegmentReader()
    found = [one for one in read(reader, mixed, 1) if isinstance(one, Segment)]
    assert {str(one.number): one.payload.hex() for one in found} == seen
    assert len(found) > 80
    assert reader.left()
