"""examples/http/: layers.py, ethernet.py, links.py, wireless.py, tunnels.py, ip.py: what stands around a segment."""

from __future__ import annotations

import pickle
import random
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import SliceBuffer, no_copy
from examples.http.capture import Packet
from examples.http.packets import FRAGMENTS, Segment, SegmentReader, Skipped

from .example_layers import (
    FLOW,
    FLOW6,
    MACS,
    Frame,
    each_link,
    each_wrapper,
    ethernet,
    extension,
    four,
    nested,
    outer_ipv4,
    outer_ipv6,
    six,
    snap,
    udp,
)
from .example_wire import Tcp, enhanced, interface, section


def read(data: bytes, link: int = 1, *, original: int | None = None) -> Segment | Skipped | None:
    reader = SegmentReader()
    packet = Packet(1, link, SliceBuffer(data), len(data) if original is None else original, 0, 0.0)
    with no_copy(strict=True):
        found = reader.read(packet)
    assert reader.waiting == []
    return found


def why(data: bytes, link: int = 1) -> str:
    found = read(data, link)
    assert isinstance(found, Skipped)
    return found.value


def assert_segment(frame: Frame) -> None:
    segment = read(frame.data, frame.link)
    assert isinstance(segment, Segment), (frame.name, segment)
    assert segment.flow in (FLOW, FLOW6)
    assert (segment.seq, segment.cut) == (7, 0), frame.name
    assert segment.payload == b"payload", frame.name
    assert segment.network == frame.network


EVERY = list({frame.name: frame for frame in [*each_wrapper(), *each_link()]}.values())


@pytest.mark.parametrize("frame", EVERY, ids=lambda frame: frame.name)
def test_every_layer_and_link_type(frame: Frame) -> None:
    assert_segment(frame)


@given(st.integers(0, 2**32), st.integers(0, 8))
def test_layers_in_any_order(seed: int, depth: int) -> None:
    assert_segment(nested(random.Random(seed), depth))


@given(st.integers(0, 2**32), st.integers(0, 8), st.data())
def test_a_packet_cut_anywhere_gives_less_or_a_reason(seed: int, depth: int, data: st.DataObject) -> None:
    frame = nested(random.Random(seed), depth)
    size = data.draw(st.integers(0, len(frame.data)))
    found = read(frame.data[:size], frame.link, original=len(frame.data))
    if isinstance(found, Segment):
        assert (found.seq, len(found.payload) + found.cut) == (7, 7)
        assert found.payload == b"payload"[: len(found.payload)]
    else:
        assert found == Skipped("with cut or damaged headers")


@given(st.integers(0, 2**32), st.integers(0, 6))
def test_nothing_that_a_packet_holds_raises(seed: int, depth: int) -> None:
    rng = random.Random(seed)
    frame = nested(rng, depth)
    data = bytearray(frame.data)
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(min(len(data), 100))] = rng.choice([0, 1, 255, rng.randrange(256)])
    reader = SegmentReader()
    link = frame.link if rng.random() < 0.9 else rng.randrange(300)
    found = reader.read(Packet(1, link, SliceBuffer(bytes(data)), len(data) + rng.choice([0, 9]), 0, 0.0))
    for one in [found, *reader.waiting]:
        if isinstance(one, Segment):
            assert len(one.flow) in (12, 36)
            assert one.cut >= 0
        elif isinstance(one, Skipped):
            assert one.value
        else:  # a fragment that is kept, or was given up at once
            assert len(reader.left()) + reader.waiting.count(FRAGMENTS) == 1


# -- what tshark reads

UNREAD = {8, 166, 175, 176, 197, 205, 206, 219, 240, 241, 281, 282, 284, 285}
"""Link types that tshark does not read, or not from pcapng, or not without a device's own header in full."""
TAGS = r"(802\.1Q|802\.1ad|PPPoE|802\.1ah|long 802\.3|NSH|CMD|VN-Tag|E-TAG|HSR|R-TAG)"
UNFOLLOWED = re.compile(
    rf"{TAGS}, GRE"
    rf"|{TAGS}, (50 \(Cisco\)|104|107 \(Cisco\))$"
    r"|PPP, OSI|bridging of a LAN|MPLS control word|ERSPAN III of IP|VXLAN-GPE, plain"
    r"|SNAP, (19|106)$|113 \(802\.11\)|239 \(big-endian\)"
)
"""What tshark does not follow: some EtherTypes in GRE and on lines, and layers that it reads in another way."""


@pytest.mark.needs("tshark")
def test_tshark_finds_the_same_payloads(tmp_path: Path) -> None:
    frames = [frame for frame in EVERY if frame.link not in UNREAD and not UNFOLLOWED.search(frame.name)]
    assert len(frames) > 200
    capture = [section(), *[interface(frame.link) for frame in frames]]
    capture += [enhanced(frame.data, index=i) for i, frame in enumerate(frames)]
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"".join(capture))
    command = ["tshark", "-r", str(path), "-T", "fields", "-e", "frame.number", "-e", "tcp.payload"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(frames)
    for line, frame in zip(lines, frames, strict=True):
        assert line.partition("\t")[2] == b"payload".hex(), frame.name


# -- what is skipped, and why

ASKED = four().data


def in_ip(protocol: int, data: bytes) -> bytes:
    return ethernet(0x0800, outer_ipv4(protocol, data))


def in_udp(port: int, data: bytes) -> bytes:
    return in_ip(17, udp(port, data))


REASONS = [
    (ethernet(0x0806, bytes(28)), "of ARP"),
    (ethernet(0x88CC, b""), "of LLDP"),
    (ethernet(0x1234, b""), "of EtherType 0x1234"),
    (ethernet(3, b"\x42\x42\x03"), "of spanning tree"),
    (ethernet(3, b"\xff\xff\0" + bytes(9)), "of IPX without LLC"),
    (ethernet(3, b"\x10\x10\x03"), "of LLC service access point 16"),
    (ethernet(8, b"\xaa\xaa\x03\0\0\x0c\x20\0"), "of Cisco's SNAP (CDP and the like)"),
    (ethernet(8, b"\xaa\xaa\x03\1\2\3\x20\0"), "of an unknown SNAP organization"),
    (ethernet(8, b"\xaa\xaa\x03\0\x80\xc2\0\x0e"), "of SNAP organization 0x0080c2"),
    (ethernet(8, b"\xaa\xaa\x03\0\x09\x0d\x20\0"), "of SNAP organization 0x00090d"),
    (ethernet(4, b"\xfe\xfe\x03\x83"), "of IS-IS"),
    (in_ip(50, b""), "of ESP"),
    (in_ip(17, udp(53, b"")), "of UDP"),
    (in_ip(200, b""), "of IP protocol 200"),
    (ethernet(0x86DD, outer_ipv6(58, b"")), "of ICMPv6"),
    (ethernet(0x86DD, outer_ipv6(59, b"")), "of IPv6 without a payload"),
    (ethernet(0x8864, b"\x11\0\0\5\0\2\xc0\x21"), "of PPP LCP"),
    (ethernet(0x8864, b"\x11\0\0\5\0\2\x40\x21"), "of PPP protocol 0x4021"),
    (ethernet(0x8864, b"\x11\0\0\5\0\4\0\x31\0\7"), "of bridged frames of kind 7 in PPP"),
    (ethernet(0x8864, b"\x12\0\0\5\0\0" + bytes(20)), "with cut or damaged headers"),
    (ethernet(0x8864, b"\x11\x09\0\5\0\0" + bytes(20)), "with cut or damaged headers"),
    (ethernet(0x8847, b"\0\6\x51\x40\x10\0\0\x21"), "of MPLS payload with first bits 1"),
    (ethernet(0x894F, b"\x0f\xc1\1\3" + bytes(20)), "with cut or damaged headers"),
    (ethernet(0x894F, b"\x0f\xc2\1\x0c" + bytes(4)), "of NSH protocol 12"),
    (in_ip(47, b"\0\2\x08\0" + ASKED), "of GRE version 2"),
    (in_ip(47, b"\0\0\0\0"), "of GRE without a payload"),
    (in_ip(47, b"\x20\x81\x88\x0b\0\0\0\1" + bytes(4)), "of GRE without a payload"),
    (in_ip(47, b"\0\0\x90\0x"), "of Ethernet loopback"),
    (in_ip(47, b"\0\0\x22\xeb" + bytes(10) + b"\x08\0" + bytes(40)), "of ERSPAN frame type 2"),
    (in_ip(47, b"\0\0\x88\x3e" + bytes(40)), "of WCCP without IP"),
    (in_udp(4789, bytes(60)), "of UDP"),
    (in_udp(4790, bytes(60)), "of UDP"),
    (in_udp(6081, b"\x40" + bytes(60)), "of UDP"),
    (in_udp(2152, bytes(60)), "of UDP"),
    (in_udp(2152, b"\x30\1" + bytes(60)), "of GTP-U signalling"),
    (in_udp(2152, b"\x30\xff\0\x10" + bytes(60)), "of GTP-U without IP"),
    (in_udp(2152, b"\x34\xff\0\x20" + bytes(7) + b"\x85" + bytes(60)), "with cut or damaged headers"),
    (in_udp(3544, ASKED), "of UDP"),
    (in_udp(1701, bytes(60)), "of UDP"),
    (in_udp(1701, b"\xc8\2" + bytes(60)), "of L2TP control messages"),
    (in_udp(4341, bytes(60)), "of LISP without IP"),
    (in_udp(37008, b"\2\0\0\1\1"), "with cut or damaged headers"),
    (in_udp(37008, b"\1\2\0\1\1"), "with cut or damaged headers"),
    (in_udp(37008, b"\1\0\0\5\1"), "of TZSP encapsulation 5"),
]


@pytest.mark.parametrize(("data", "clause"), REASONS, ids=[f"{n} {clause}" for n, (_, clause) in enumerate(REASONS)])
def test_what_is_not_read_is_named(data: bytes, clause: str) -> None:
    assert why(data) == clause


WLAN = bytes(20)


LINK_REASONS = [
    (3, b"", "of link type 3 (AX25)"),
    (299, b"", "of link type 299 (FIRA_UCI)"),
    (147, b"", "of link type 147"),
    (0, b"\7\0\0\0", "of address family 7"),
    (0, b"\7\0\0\7", "of an unknown address family"),
    (192, b"\0\0\x08\0\1\0\1\0", "of an unknown link type"),
    (226, bytes(24), "of address family 0"),
    (101, b"\x50", "of IP version 5"),
    (10, b"\x41" + bytes(20), "of FDDI frame control 65"),
    (107, b"\x18\x41\x03\xb1", "of NLPID 177"),
    (123, b"\x86\0\0\0", "of ATM traffic 6"),
    (197, bytes(8) + b"\x15" + bytes(7), "of ERF type 21"),
    (258, bytes(12), "with cut or damaged headers"),
    (239, b"\2\0\0\0\0\0\0\0", "with cut or damaged headers"),
    (239, b"\2\0\0\0\4\0\1\0", "with cut or damaged headers"),
    (105, b"\x80\0\0\0" + WLAN, "of 802.11 management"),
    (105, b"\xd4\0\0\0" + WLAN, "of 802.11 control"),
    (105, b"\x48\1\0\0" + WLAN, "of 802.11 without data"),
    (105, b"\x0c\1\0\0" + WLAN, "of 802.11 extensions"),
    (105, b"\x08\x41\0\0" + WLAN, "of encrypted 802.11"),
    (105, b"\x08\5\0\0" + WLAN, "of 802.11 in fragments"),
    (105, b"\x08\1\0\0" + WLAN[:18] + b"\1\0", "of 802.11 in fragments"),
    (105, b"\x09\1\0\0" + WLAN, "with cut or damaged headers"),
    (127, b"\1\0\x08\0\0\0\0\0", "with cut or damaged headers"),
    (127, b"\0\0\x07\0\0\0\0\0", "with cut or damaged headers"),
    (163, bytes(64), "with cut or damaged headers"),
    (192, b"\1\0\x08\0\1\0\0\0", "with cut or damaged headers"),
    (192, b"\0\0\x07\0\1\0\0\0", "with cut or damaged headers"),
    (192, struct.pack("<BBHIHHH", 0, 0, 14, 1, 9, 2, 0) + ethernet(0x0806, b""), "of ARP"),
]


@pytest.mark.parametrize(
    ("link", "data", "clause"), LINK_REASONS, ids=[f"{n} {each[2]}" for n, each in enumerate(LINK_REASONS)]
)
def test_what_is_not_read_of_other_link_types_is_named(link: int, data: bytes, clause: str) -> None:
    assert why(data, link) == clause


def test_mpls_tells_a_control_word_from_an_address_that_begins_with_zeros() -> None:
    frame = bytes.fromhex("00000000000200000000000108 00") + ASKED
    label = b"\0\6\x51\x40"
    assert_segment(Frame("without", 1, ethernet(0x8847, label + frame), b""))
    assert_segment(Frame("with", 1, ethernet(0x8847, label + bytes(4) + frame), b""))
    assert_segment(Frame("another address", 1, ethernet(0x8847, label + b"\x90" + frame[1:]), b""))
    assert why(ethernet(0x8847, label + bytes(4) + frame[:12] + b"\x12\x34" + ASKED)) == "of EtherType 0x1234"


def test_teredo_answers_from_its_port() -> None:
    data = in_udp(50_001, six().data)
    at = data.index(struct.pack("!HH", 50_000, 50_001))
    found = read(data[:at] + struct.pack("!H", 3544) + data[at + 2 :])
    assert isinstance(found, Segment)


def test_udp_without_a_length_goes_to_the_end() -> None:
    data = bytearray(in_udp(6635, b"\0\6\x51\x40" + ASKED))
    data[14 + 20 + 4 : 14 + 20 + 6] = b"\0\0"
    assert_segment(Frame("UDP", 1, bytes(data), b""))


def test_padding_and_check_sequences_of_any_layer_are_no_payload() -> None:
    """TSO leaves IP's length 0: only the layer around it says where the payload stops."""
    packet = ASKED[:2] + b"\0\0" + ASKED[4:]
    wlan = b"\x08\1" + bytes(22) + snap(0x0800, packet) + b"fcs!"
    frames = [
        Frame("802.3", 1, ethernet(len(packet) + 8, snap(0x0800, packet)) + bytes(9), b""),
        Frame("PPPoE", 1, ethernet(0x8864, b"\x11\0\0\5\0\x31\0\x21" + packet) + bytes(9), b""),
        Frame("netANALYZER", 240, bytes(4) + ethernet(0x0800, packet) + b"fcs!", b""),
        Frame("radiotap", 127, struct.pack("<BBHIBx", 0, 0, 10, 2, 0x10) + wlan, b""),
        Frame("PPI", 192, struct.pack("<BBHIHHQH10x", 0, 0, 32, 105, 2, 20, 0, 1) + wlan, b""),
    ]
    for frame in frames:
        assert_segment(frame)


def test_several_frames_in_one_of_80211() -> None:
    """An A-MSDU has frames of their own length, all but the last padded to a multiple of four."""

    def body(seq: int) -> bytes:
        inner = snap(0x0800, four(Tcp(seq, b"x" * seq)).data)
        return MACS + struct.pack("!H", len(inner)) + inner

    frames = [body(1), MACS + struct.pack("!H", 8) + snap(0x0806, b""), body(2), body(3)]
    head = b"\x88\1\0\0" + bytes(20) + b"\x80\0"
    data = head + b"".join(one + bytes(-len(one) % 4) for one in frames)
    reader = SegmentReader()
    found = [reader.read(Packet(5, 105, SliceBuffer(data), len(data), 0, 0.0)), *reader.waiting]
    assert [one and one[:1] for one in found] == [(5,), ("of ARP",), (5,), (5,)]
    segments = [one for one in found if isinstance(one, Segment)]
    assert [(one.seq, bytes(one.payload)) for one in segments] == [(1, b"x"), (2, b"xx"), (3, b"xxx")]


@pytest.mark.parametrize("write", [ethernet, extension], ids=["VLAN tags", "extensions"])
def test_layers_without_end(write: object) -> None:
    if write is ethernet:
        data = MACS + b"\x81\0\0\5" * 100 + b"\x08\0" + ASKED
    else:
        data = ethernet(0x86DD, outer_ipv6(60, extension(60, b"") * 100))
    assert why(data) == "with too many headers inside each other"


LABEL = b"\0\6\x51\x40"
VXLAN = b"\x08" + bytes(7) + ethernet(0x0800, ASKED)
ALIKE = {
    **{f"extension {n}": ethernet(0x86DD, outer_ipv6(n, extension(4, ASKED))) for n in (0, 43, 60, 135, 139, 140)},
    **{f"VLAN tag {n:#x}": ethernet(n, b"\0\0\x08\0" + ASKED) for n in (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)},
    **{f"MPLS {n:#x}": ethernet(n, LABEL + ASKED) for n in (0x8847, 0x8848)},
    **{f"MPLS in PPP {n:#x}": in_ip(47, struct.pack("!HHH", 0, 0x880B, n) + LABEL + ASKED) for n in (0x281, 0x283)},
    **{f"IP in IP {n}": in_ip(n, ASKED) for n in (4, 94)},
}


@pytest.mark.parametrize("name", list(ALIKE))
def test_numbers_that_mean_the_same(name: str) -> None:
    assert_segment(Frame(name, 1, ALIKE[name], b""))


@pytest.mark.parametrize("port", [4789, 8472])
def test_ports_of_vxlan(port: int) -> None:
    assert_segment(Frame("", 1, in_udp(port, VXLAN), b"\3\0\0\0"))


@pytest.mark.parametrize("sequence", [8, 16])
def test_fragments_are_kept(sequence: int) -> None:
    reader = SegmentReader()
    four_of = ASKED[:6] + struct.pack("!H", 0x2000 | sequence) + ASKED[8:36]
    six_of = outer_ipv6(44, struct.pack("!BxHI", 6, sequence << 3 | 1, 9) + bytes(16))
    for data in (four_of, six_of):
        data = data[:2] + struct.pack("!H", len(data)) + data[4:] if data is four_of else data
        assert reader.read(Packet(1, 101, SliceBuffer(data), len(data), 0, 0.0)) is None
    assert [(one.offset, one.size, one.more) for one in reader.left()] == [(sequence * 8, 16, True)] * 2


def test_an_atomic_fragment_is_whole() -> None:
    data = six().data
    length = struct.pack("!H", len(data) - 40 + 8)
    assert_segment(Frame("", 229, data[:4] + length + b"\x2c" + data[7:40] + b"\6" + bytes(7) + data[40:], b""))


@pytest.mark.parametrize("data", [b"\x45" + bytes(19), b"\x44" + ASKED[1:], b"\x60" + ASKED[1:]])
def test_headers_of_ipv4_that_contradict_themselves(data: bytes) -> None:
    assert why(data, 228) == "with cut or damaged headers"
    assert why(six().data, 228) == "with cut or damaged headers"
    assert why(ASKED + bytes(20), 229) == "with cut or damaged headers"


def test_a_reason_is_one_object() -> None:
    assert read(ethernet(0x1235, b"")) is read(ethernet(0x1235, b""))
    assert read(in_udp(2152, b"\x30\1" + bytes(60))) is read(in_udp(2152, b"\x30\1" + bytes(60)))
    assert pickle.loads(pickle.dumps(read(ethernet(0x1235, b"")))) == Skipped("of EtherType 0x1235")


def test_reasons_are_no_more_than_can_be_kept() -> None:
    """Whatever 32-bit numbers a hostile file has: of families, of link types in PPI and PKTAP, of organizations."""
    rng = random.Random(3)
    found = set()
    for _ in range(2000):
        number = rng.randrange(1 << 16, 1 << 32)
        found.add(why(struct.pack("<I", number | 1 << 24 | 1), 0))
        found.add(why(struct.pack("<BBHI", 0, 0, 8, number), 192))
        found.add(why(struct.pack("<III", 12, 1, number), 258))
        found.add(why(ethernet(8, b"\xaa\xaa\x03" + rng.randbytes(3) + b"\x20\0")))
    assert len(found) < 50
