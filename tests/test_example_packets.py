"""examples/http/packets.py: segments out of packets, the common ones in one look and all others by their layers."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from bytebufs import SliceBuffer, no_copy
from examples.http.capture import Packet
from examples.http.packets import Endpoint, Segment, SegmentReader, Skipped, endpoints, turned

from .example_wire import CLIENT, CLIENT6, SERVER, SERVER6, Tcp, ethernet, ipv4, ipv6


def read_alone(data: bytes, link_type: int = 1, *, original: int | None = None) -> Segment | Skipped | None:
    """Return what a packet holds, None if it is a fragment whose others are to come."""
    size = len(data) if original is None else original
    with no_copy(strict=True):
        return SegmentReader().read(Packet(1, link_type, SliceBuffer(data), size, 0, 0.0))


def segment_of(data: bytes, link_type: int = 1, *, original: int | None = None) -> Segment | Skipped:
    found = read_alone(data, link_type, original=original)
    assert found is not None
    return found


def seen(data: bytes, link_type: int = 1, *, original: int | None = None) -> tuple[int, bytes, int]:
    """Return sequence number, payload, and how much of it was cut off."""
    segment = segment_of(data, link_type, original=original)
    assert isinstance(segment, Segment)
    return segment.seq, bytes(segment.payload), segment.cut


DAMAGED = Skipped("with cut or damaged headers")
ASKED = Tcp(7, b"payload")
ANSWERED = Tcp(2**32 - 1, b"answer", 0x19, from_client=False, options=b"\x01" * 12)


def test_a_segment_and_all_of_its_facts() -> None:
    segment = segment_of(ethernet(ipv4(ANSWERED)))
    assert isinstance(segment, Segment)
    assert endpoints(segment.flow) == (Endpoint(SERVER, 80), Endpoint(CLIENT, 40_000))
    assert segment[:-2] == (1, segment.flow, b"", 2**32 - 1, 0, 0x19, 65535, None)
    assert (bytes(segment.payload), segment.cut) == (b"answer", 0)


def test_endpoints_are_written_as_in_a_url() -> None:
    assert str(Endpoint(CLIENT, 80)) == "10.0.0.1:80"
    assert str(Endpoint(CLIENT6, 80)) == "[2001:db8::1]:80"


COOKED = struct.pack("!HHH8sH", 0, 772, 6, bytes(8), 0x0800)
COOKED_V2 = struct.pack("!HHIHBB8s", 0x86DD, 0, 1, 772, 0, 6, bytes(8))


@pytest.mark.parametrize(
    ("link_type", "data"),
    [
        pytest.param(1, ethernet(ipv4(ASKED)), id="ethernet"),
        pytest.param(1, ethernet(ipv6(ASKED)), id="ethernet, IPv6"),
        pytest.param(1, ethernet(ipv4(ASKED), tags=[0x8100]), id="802.1Q"),
        pytest.param(1, ethernet(ipv6(ASKED), tags=[0x88A8, 0x8100]), id="802.1ad"),
        pytest.param(1, ethernet(ipv4(ASKED), tags=[0x9100, 0x8100, 0x8100]), id="tags upon tags"),
        pytest.param(113, COOKED + ipv4(ASKED), id="Linux cooked"),
        pytest.param(113, COOKED[:-2] + b"\x81\x00\x00\x05\x08\x00" + ipv4(ASKED), id="Linux cooked, tagged"),
        pytest.param(276, COOKED_V2 + ipv6(ASKED), id="Linux cooked v2"),
        pytest.param(0, struct.pack("<I", 2) + ipv4(ASKED), id="null, little-endian"),
        pytest.param(0, struct.pack(">I", 2) + ipv4(ASKED), id="null, big-endian"),
        *[pytest.param(0, struct.pack("<I", n) + ipv6(ASKED), id=f"null, IPv6 as {n}") for n in (10, 24, 28, 30)],
        pytest.param(108, struct.pack(">I", 2) + ipv4(ASKED), id="loop"),
        *[pytest.param(link, ipv4(ASKED), id=f"raw {link}") for link in (12, 14, 101, 228)],
        *[pytest.param(link, ipv6(ASKED), id=f"raw {link}, IPv6") for link in (12, 14, 101, 229)],
    ],
)
def test_link_types(link_type: int, data: bytes) -> None:
    assert seen(data, link_type) == (7, b"payload", 0)


def test_ethernet_padding_is_no_payload() -> None:
    assert seen(ethernet(ipv4(Tcp(1, b"abc")), pad=3)) == (1, b"abc", 0)
    assert seen(ethernet(ipv6(Tcp(1, b"")), pad=9)) == (1, b"", 0)


def test_options_of_ipv4_and_of_tcp() -> None:
    assert seen(ethernet(ipv4(Tcp(1, b"abc", options=bytes(40)), options=bytes(40)))) == (1, b"abc", 0)


def test_offloaded_segments_have_no_length() -> None:
    assert seen(ethernet(ipv4(ASKED, total=0))) == (7, b"payload", 0)
    assert seen(ethernet(ipv6(ASKED, length=0))) == (7, b"payload", 0)
    assert seen(ethernet(ipv4(ASKED, total=0)), original=14 + 40 + 7 + 100) == (7, b"payload", 100)


@pytest.mark.parametrize("make", [ipv4, ipv6])
def test_a_snapshot_length_cuts_payload_and_options(make: Callable[[Tcp], bytes]) -> None:
    whole = ethernet(make(Tcp(5, b"abcdefgh", options=bytes(8))))
    start = len(whole) - 8
    flags = start - 8 - 4  # where the header's fields that are needed stop
    for size in range(flags, len(whole) + 1):
        payload = whole[start:size]
        assert seen(whole[:size], original=len(whole)) == (5, payload, 8 - len(payload))
    for size in range(flags):
        assert segment_of(whole[:size], original=len(whole)) == DAMAGED


DESTINATION = 60, bytes([0]) + bytes(6)
HOP_BY_HOP = 0, bytes([2]) + bytes(22)
ROUTING = 43, bytes([1]) + bytes(14)
ATOMIC = 44, bytes(7)


@pytest.mark.parametrize("extensions", [[DESTINATION], [HOP_BY_HOP, ROUTING, DESTINATION], [ATOMIC], [ROUTING, ATOMIC]])
def test_extension_headers(extensions: list[tuple[int, bytes]]) -> None:
    assert seen(ethernet(ipv6(ASKED, extensions=extensions))) == (7, b"payload", 0)


@pytest.mark.parametrize(
    ("link_type", "data", "why"),
    [
        (147, ethernet(ipv4(ASKED)), Skipped("of link type 147")),
        (1, ethernet(ipv4(ASKED), kind=0x0806), Skipped("of ARP")),
        (0, struct.pack("<I", 7) + ipv4(ASKED), Skipped("of address family 7")),
        (101, b"\x50" + ipv4(ASKED)[1:], Skipped("of IP version 5")),
        (1, ethernet(ipv4(ASKED, protocol=50)), Skipped("of ESP")),
        (1, ethernet(ipv6(ASKED, extensions=[(59, bytes(7))])), Skipped("of IPv6 without a payload")),
        (1, b"", DAMAGED),
        (1, ethernet(ipv4(ASKED))[:13], DAMAGED),
        (1, ethernet(ipv4(ASKED))[:33], DAMAGED),
        (1, ethernet(b"", kind=0x8100), DAMAGED),
        (228, ipv6(ASKED), DAMAGED),
        (229, ipv4(ASKED), DAMAGED),
        (228, b"\x44" + ipv4(ASKED)[1:], DAMAGED),
        (228, ipv4(ASKED, total=19), DAMAGED),
        (228, ipv4(ASKED, total=39), DAMAGED),
        (228, ipv4(ASKED)[:32] + b"\x40" + ipv4(ASKED)[33:], DAMAGED),
        (228, ipv4(ASKED)[:32] + b"\xf0" + ipv4(ASKED)[33:], DAMAGED),
    ],
)
def test_packets_that_give_no_segment(link_type: int, data: bytes, why: Skipped) -> None:
    assert segment_of(data, link_type) == why


@pytest.mark.parametrize(
    "packet",
    [
        Ether() / IP(options=[IPOption_Router_Alert()]) / TCP(seq=9, options=[("MSS", 1460), ("SAckOK", b"")]),
        Ether() / Dot1AD(vlan=3) / Dot1Q(vlan=4) / IP() / TCP(seq=9),
        Ether() / IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=["::1"]) / TCP(seq=9),
        Ether() / IPv6() / IPv6ExtHdrFragment(id=1) / IPv6ExtHdrDestOpt() / TCP(seq=9),
    ],
    ids=["options", "tags", "extensions", "atomic fragment"],
)
def test_what_scapy_makes(packet: ScapyPacket) -> None:
    assert seen(bytes(packet / Raw(b"payload"))) == (9, b"payload", 0)


def test_ipv6_addresses() -> None:
    segment = segment_of(ethernet(ipv6(ANSWERED)))
    assert isinstance(segment, Segment)
    assert endpoints(segment.flow) == (Endpoint(SERVER6, 80), Endpoint(CLIENT6, 40_000))


@pytest.mark.parametrize("make", [ipv4, ipv6])
def test_a_flow_turned_is_that_of_the_other_direction(make: Callable[[Tcp], bytes]) -> None:
    asked, answered = segment_of(ethernet(make(ASKED))), segment_of(ethernet(make(ANSWERED)))
    assert isinstance(asked, Segment)
    assert isinstance(answered, Segment)
    assert turned(asked.flow) == answered.flow
    assert turned(answered.flow) == asked.flow


def header(flags: int, options: bytes = b"", *, ack: int = 0, window: int = 0) -> bytes:
    options += bytes(-len(options) % 4)
    fields = (40_000, 80, 7, ack, (20 + len(options)) // 4 << 4, flags, window, 0, 0)
    return struct.pack("!HHIIBBHHH", *fields) + options


def in_ipv4(tcp: bytes) -> bytes:
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, CLIENT, SERVER) + tcp


@pytest.mark.parametrize("link", [1, 228], ids=["in one look", "by layers"])
def test_acknowledgement_window_and_all_flags(link: int) -> None:
    data = in_ipv4(header(0xD8, ack=2**32 - 2, window=0xABCD) + b"x")
    segment = segment_of(ethernet(data) if link == 1 else data, link)
    assert isinstance(segment, Segment)
    assert (segment.seq, segment.ack, segment.flags, segment.window, segment.scale) == (
        7,
        2**32 - 2,
        0xD8,
        0xABCD,
        None,
    )
    assert segment.network == b""


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        (b"", None),
        (b"\2\4\5\xb4", None),
        (b"\3\3\7\0", 7),
        (b"\3\3\0\0", 0),
        (b"\3\3\xff\0", 14),
        (b"\2\4\5\xb4\4\2\x08\x0a" + bytes(8) + b"\1\3\3\x0e", 14),
        (b"\1\1\1\3\3\5\0\0", 5),
        (b"\0\3\3\5", None),
        (b"\3\2\3\3\4\0\0\0", 4),
        (b"\7\0\3\3\4\0\0\0", None),
        (b"\7\1\3\3\4\0\0\0", None),
        (b"\7\x28\3\3\4\0\0\0", None),
        (b"\1\1\3\3", None),
    ],
)
def test_window_scale(options: bytes, scale: int | None) -> None:
    for flags, expected in ((0x02, scale), (0x12, scale), (0x10, None)):
        segment = segment_of(ethernet(in_ipv4(header(flags, options))))
        assert isinstance(segment, Segment)
        assert segment.scale == expected


def test_window_scale_of_options_that_were_cut() -> None:
    data = ethernet(in_ipv4(header(0x02, b"\2\4\5\xb4\1\3\3\6")))
    found = [segment_of(data[:size], original=len(data)) for size in range(50, len(data) + 1)]
    assert [one.scale for one in found if isinstance(one, Segment)] == [None] * 12 + [6]


@example(b"", [7], False, 0, 40).via("a fragment: others are to come")
@given(
    st.binary(max_size=60),
    st.lists(st.integers(0, 60), max_size=3),
    st.booleans(),
    st.integers(0, 10),
    st.integers(0, 140),
)
def test_one_look_sees_what_layers_see(payload: bytes, flips: list[int], six: bool, words: int, size: int) -> None:
    """Ethernet goes the short way, if the packet is as most are, and a capture of bare IP never does."""
    segment = Tcp(5, payload, 0x18, options=b"\1\1\1\1" * words)
    packet = bytearray(ipv6(segment) if six else ipv4(segment))
    for at in flips:
        if at < len(packet):
            packet[at] ^= 1 << at % 8
    wire = 14 + len(packet)
    cut = bytes(packet[:size])
    short = read_alone(bytes(12) + (b"\x86\xdd" if six else b"\x08\0") + cut, original=wire)
    long = read_alone(cut, 229 if six else 228, original=len(packet))
    assert short == long
    tagged = read_alone(bytes(12) + b"\x81\0\0\5" + (b"\x86\xdd" if six else b"\x08\0") + cut, original=wire + 4)
    if isinstance(long, Segment):
        assert tagged == long._replace(network=b"\1\0\0\5")
    else:
        assert tagged == long


def test_segments_can_be_pickled() -> None:
    segment = segment_of(ethernet(ipv4(ASKED)))
    assert pickle.loads(pickle.dumps(segment)) == segment


# -- what takes more than one packet, or gives more than one segment


def packet(number: int, data: bytes, link: int = 228) -> Packet:
    return Packet(number, link, SliceBuffer(data), len(data), 0, 0.0)


def halves(segment: Tcp, ident: int) -> list[bytes]:
    whole = ipv4(segment)
    return [
        whole[:2] + struct.pack("!HHH", 20 + len(data), ident, where) + whole[8:20] + data
        for data, where in ((whole[20:44], 0x2000), (whole[44:], 3))
    ]


def test_fragments_are_kept_until_they_are_whole() -> None:
    reader = SegmentReader()
    first, last = halves(ASKED, 1)
    assert reader.read(packet(1, first)) is None
    assert reader.read(packet(2, ethernet(ipv4(ANSWERED)), 1))
    segment = reader.read(packet(3, last))
    assert isinstance(segment, Segment)
    assert (segment.number, bytes(segment.payload), segment.payload.part_count) == (3, b"payload", 2)
    assert (reader.left(), reader.waiting) == ([], [])


def test_fragments_go_on_from_one_reader_to_another() -> None:
    one, two = SegmentReader(), SegmentReader()
    (first, last), (lost, _) = halves(ASKED, 1), halves(ASKED, 2)
    assert (one.read(packet(1, first)), one.read(packet(2, lost)), two.read(packet(1, last))) == (None, None, None)
    (segment,) = two.take(one.left())
    assert isinstance(segment, Segment)
    assert segment.payload == b"payload"
    assert [fragment.ident for fragment in two.left()] == [b"\0\2\6"]


def test_fragments_are_given_up_and_counted() -> None:
    reader = SegmentReader()
    first, last = halves(ASKED, 1)
    assert reader.read(packet(1, first)) is None
    assert reader.read(packet(2, last)._replace(time=1e9)) is None
    assert reader.waiting == [Skipped("in IP fragments that do not make a datagram")]
    assert len(reader.left()) == 1


def test_all_of_an_aggregate_is_read() -> None:
    """Three frames in one of 802.11, the last of them a fragment."""
    bodies = [b"\xaa\xaa\3\0\0\0\x08\0" + data for data in (ipv4(ASKED), ipv4(ANSWERED), halves(ASKED, 1)[0])]
    frames = [bytes(12) + struct.pack("!H", len(body)) + body for body in bodies]
    padded = b"".join(frame + bytes(-len(frame) % 4) for frame in frames)
    reader = SegmentReader()
    asked = reader.read(packet(1, b"\x88\1" + bytes(22) + b"\x80\0" + padded, 105))
    (answered,) = reader.waiting
    assert isinstance(asked, Segment)
    assert isinstance(answered, Segment)
    assert (asked.payload, answered.payload) == (SliceBuffer(b"payload"), SliceBuffer(b"answer"))
    assert len(reader.left()) == 1


@pytest.mark.parametrize("tags", [0, 1, 2, 60, 62])
def test_layers_have_a_limit(tags: int) -> None:
    found = segment_of(ethernet(ipv4(ASKED), tags=[0x9100] * tags))
    assert isinstance(found, Segment) == (tags <= 61)
    if isinstance(found, Segment):
        assert found.network == b"\1\0\0\7" * tags
    else:
        assert found.value == "with too many headers inside each other"
