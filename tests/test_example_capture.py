"""examples/_capture.py and examples/_packets.py: every format that is read, and the ways in which one can be broken."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, wrpcap

from bytebufs import SliceBuffer, no_copy
from examples._capture import MAX_PACKET, CaptureError, Packet, read_packets
from examples._packets import Endpoint, Segment, Skipped, read_segment

from .example_wire import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    Tcp,
    block,
    enhanced,
    ethernet,
    interface,
    ipv4,
    ipv6,
    old_packet,
    pcap,
    pcapng,
    section,
    simple,
)

PACKETS = [b"one", b"", b"three bytes more", bytes(100)]


def read(capture: bytes) -> list[Packet]:
    return list(read_packets(SliceBuffer(capture)))


def data_of(capture: bytes) -> list[bytes]:
    return [bytes(packet.data) for packet in read(capture)]


def read_until_error(capture: bytes) -> tuple[list[bytes], CaptureError | None]:
    found: list[bytes] = []
    try:
        found.extend(bytes(packet.data) for packet in read_packets(SliceBuffer(capture)))
    except CaptureError as error:
        return found, error
    return found, None


# -- pcap


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D], ids=["microseconds", "nanoseconds"])
def test_pcap(order: str, magic: int) -> None:
    packets = read(pcap(PACKETS, order=order, magic=magic, link=101))
    assert [bytes(packet.data) for packet in packets] == PACKETS
    assert [packet.number for packet in packets] == [1, 2, 3, 4]
    assert {packet.link_type for packet in packets} == {101}


def test_pcap_link_type_leaves_out_the_length_of_a_check_sequence() -> None:
    assert read(pcap([b"x"], link=0x5000_0001))[0].link_type == 1


def test_pcap_snapshot_length() -> None:
    (packet,) = read(pcap([bytes(100)], snap=60))
    assert (len(packet.data), packet.original_length) == (60, 100)


def test_pcap_without_packets() -> None:
    assert read(pcap([])) == []


def test_pcap_cut_anywhere_gives_the_whole_packets_and_an_error() -> None:
    capture = pcap(PACKETS)
    ends = [24]
    for packet in PACKETS:
        ends.append(ends[-1] + 16 + len(packet))
    for size in range(len(capture)):
        found, error = read_until_error(capture[:size])
        assert found == PACKETS[: max(0, sum(end <= size for end in ends) - 1)]
        assert (error is None) == (size in ends)


@pytest.mark.parametrize("length", [MAX_PACKET, MAX_PACKET + 1, 2**31, 2**32 - 1])
def test_pcap_absurd_length(length: int) -> None:
    capture = pcap([b"good"]) + struct.pack("<IIII", 0, 0, length, length) + b"x"
    found, error = read_until_error(capture)
    assert found == [b"good"]
    assert isinstance(error, CaptureError)
    assert error.at == 24 + 16 + 4


def test_pcap_of_another_version() -> None:
    capture = bytearray(pcap([b"x"]))
    capture[4:8] = struct.pack("<HH", 2, 2)
    with pytest.raises(CaptureError, match=r"pcap version 2\.2"):
        read(bytes(capture))


@pytest.mark.parametrize("capture", [b"", b"\xd4", b"\xd4\xc3\xb2"])
def test_too_short_for_a_magic_number(capture: bytes) -> None:
    with pytest.raises(CaptureError, match="too short"):
        read(capture)


@pytest.mark.parametrize("capture", [b"GET / HTTP/1.1\r\n", bytes(100), b"\xa1\xb2\xcd\x34" + bytes(100)])
def test_neither_pcap_nor_pcapng(capture: bytes) -> None:
    with pytest.raises(CaptureError, match="neither pcap nor pcapng"):
        read(capture)


# -- pcapng


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("write", [enhanced, old_packet, simple])
def test_pcapng(order: str, write: Callable[..., bytes]) -> None:
    blocks = b"".join(write(packet, order=order) for packet in PACKETS)
    packets = read(section(order) + interface(101, order=order) + blocks)
    assert [bytes(packet.data) for packet in packets] == PACKETS
    assert [packet.number for packet in packets] == [1, 2, 3, 4]
    assert {packet.link_type for packet in packets} == {101}


def test_pcapng_skips_other_blocks() -> None:
    other = block(4, bytes(40)) + block(5, b"") + block(0xBAD, bytes(100)) + block(0x80000001, b"\xff" * 8)
    capture = section(options=bytes(20)) + other + interface() + other + enhanced(b"x") + other
    assert data_of(capture) == [b"x"]


def test_pcapng_sections_have_their_own_order_and_interfaces() -> None:
    capture = b"".join(
        [
            *(section("<"), interface(1), interface(101), enhanced(b"a", index=1), enhanced(b"b", index=0)),
            *(section(">"), interface(113, order=">"), enhanced(b"c", order=">")),
            *(section("<"), interface(228), simple(b"d")),
        ]
    )
    assert [(bytes(p.data), p.link_type) for p in read(capture)] == [(b"a", 101), (b"b", 1), (b"c", 113), (b"d", 228)]


def test_pcapng_interface_of_an_earlier_section_is_gone() -> None:
    with pytest.raises(CaptureError, match="interface 0, which is not described"):
        read(section() + interface() + section() + enhanced(b"x"))


@pytest.mark.parametrize("write", [enhanced, old_packet, simple])
def test_pcapng_packet_of_an_interface_that_is_not_described(write: Callable[..., bytes]) -> None:
    with pytest.raises(CaptureError, match="packet 1 is of interface 0, which is not described"):
        read(section() + write(b"x"))


def test_pcapng_simple_packets_are_cut_by_the_first_interface() -> None:
    capture = section() + interface(snap=4) + interface(snap=2) + simple(b"abcd", original=10) + simple(b"xyz")
    assert [(bytes(p.data), p.original_length) for p in read(capture)] == [(b"abcd", 10), (b"xyz", 3)]


def test_pcapng_cut_anywhere_gives_the_whole_packets_and_an_error() -> None:
    pieces = [section(), interface(), *map(enhanced, PACKETS)]
    capture = b"".join(pieces)
    ends = [sum(map(len, pieces[:n])) for n in range(len(pieces) + 1)]
    for size in range(4, len(capture)):
        found, error = read_until_error(capture[:size])
        assert found == PACKETS[: max(0, sum(end <= size for end in ends) - 3)]
        assert (error is None) == (size in ends)


@pytest.mark.parametrize("length", [0, 8, 11, 28, 33, 2**31, 2**32 - 4])
def test_pcapng_absurd_block_length(length: int) -> None:
    start = section() + interface() + enhanced(b"good")
    bad = bytearray(enhanced(b"bad!"))
    bad[4:8] = struct.pack("<I", length)
    found, error = read_until_error(start + bad)
    assert found == [b"good"]
    assert isinstance(error, CaptureError)
    assert error.at == len(start)


def test_pcapng_lengths_that_contradict_each_other() -> None:
    bad = bytearray(enhanced(b"x"))
    bad[-4:] = struct.pack("<I", 40)
    with pytest.raises(CaptureError, match="claims 36 bytes in front and 40 at its end"):
        read(section() + interface() + bad)


@pytest.mark.parametrize("captured", [5, 2**31, 2**32 - 1])
def test_pcapng_packet_longer_than_its_block(captured: int) -> None:
    bad = bytearray(enhanced(b"1234"))
    bad[20:24] = struct.pack("<I", captured)
    with pytest.raises(CaptureError, match=f"packet 1 claims {captured} bytes in a block of 36"):
        read(section() + interface() + bad)


def test_pcapng_of_another_version() -> None:
    with pytest.raises(CaptureError, match=r"pcapng version 2\.0"):
        read(section(version=2))


def test_pcapng_with_another_byte_order_magic() -> None:
    bad = bytearray(section())
    bad[8] = 0
    with pytest.raises(CaptureError, match="byte-order magic"):
        read(bytes(bad))


@pytest.mark.parametrize("write", [section, interface])
def test_pcapng_block_shorter_than_its_kind(write: Callable[..., bytes]) -> None:
    kind = struct.unpack("<I", write()[:4])[0]
    with pytest.raises(CaptureError):
        read(section() + block(kind, b"1234"))


def test_what_is_read_lies_in_the_map(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(pcapng([b"first", b"second"]))
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with no_copy(strict=True):
        packets = list(read_packets(SliceBuffer(mapped)))
    assert all(packet.data.view().obj is mapped for packet in packets)
    assert [packet.data for packet in packets] == [b"first", b"second"]


def test_what_scapy_writes(tmp_path: Path) -> None:
    packets = [Ether() / IP() / TCP() / Raw(bytes([n]) * n) for n in range(10)]
    written = [bytes(packet) for packet in packets]
    wrpcap(str(tmp_path / "x.pcap"), packets)
    assert data_of((tmp_path / "x.pcap").read_bytes()) == written
    writer = PcapNgWriter(str(tmp_path / "x.pcapng"))
    writer.write(packets)
    writer.close()
    assert data_of((tmp_path / "x.pcapng").read_bytes()) == written


# -- packets


def segment_of(data: bytes, link_type: int = 1, *, original: int | None = None) -> Segment | Skipped:
    size = len(data) if original is None else original
    return read_segment(Packet(1, link_type, SliceBuffer(data), size, 0))


def seen(data: bytes, link_type: int = 1, *, original: int | None = None) -> tuple[int, bytes, int]:
    """Return sequence number, payload, and how much of it was cut off."""
    segment = segment_of(data, link_type, original=original)
    assert isinstance(segment, Segment)
    return segment.seq, bytes(segment.payload), segment.cut


ASKED = Tcp(7, b"payload")
ANSWERED = Tcp(2**32 - 1, b"answer", 0x19, from_client=False, options=b"\x01" * 12)


def test_a_segment_and_all_of_its_facts() -> None:
    segment = segment_of(ethernet(ipv4(ANSWERED)))
    assert isinstance(segment, Segment)
    assert segment.src == Endpoint(SERVER, 80)
    assert segment.dst == Endpoint(CLIENT, 40_000)
    assert (segment.seq, segment.flags, bytes(segment.payload), segment.cut) == (2**32 - 1, 0x19, b"answer", 0)


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
    flags = start - 8 - 6  # where the header's fields that are needed stop
    for size in range(flags, len(whole) + 1):
        payload = whole[start:size]
        assert seen(whole[:size], original=len(whole)) == (5, payload, 8 - len(payload))
    for size in range(flags):
        assert segment_of(whole[:size], original=len(whole)) is Skipped.DAMAGED


DESTINATION = 60, bytes([0]) + bytes(6)
HOP_BY_HOP = 0, bytes([2]) + bytes(22)
ROUTING = 43, bytes([1]) + bytes(14)
ATOMIC = 44, bytes(7)
FIRST_FRAGMENT = 44, struct.pack("!BHI", 0, 1, 9)
LATER_FRAGMENT = 44, struct.pack("!BHI", 0, 8, 9)


@pytest.mark.parametrize("extensions", [[DESTINATION], [HOP_BY_HOP, ROUTING, DESTINATION], [ATOMIC], [ROUTING, ATOMIC]])
def test_extension_headers(extensions: list[tuple[int, bytes]]) -> None:
    assert seen(ethernet(ipv6(ASKED, extensions=extensions))) == (7, b"payload", 0)


@pytest.mark.parametrize(
    ("link_type", "data", "why"),
    [
        (147, ethernet(ipv4(ASKED)), Skipped.LINK_TYPE),
        (1, ethernet(ipv4(ASKED), kind=0x0806), Skipped.NOT_IP),
        (0, struct.pack("<I", 7) + ipv4(ASKED), Skipped.NOT_IP),
        (101, b"\x50" + ipv4(ASKED)[1:], Skipped.NOT_IP),
        (1, ethernet(ipv4(ASKED, protocol=17)), Skipped.NOT_TCP),
        (1, ethernet(ipv6(ASKED, extensions=[(59, bytes(7))])), Skipped.NOT_TCP),
        (1, ethernet(ipv4(ASKED, fragment=0x2000)), Skipped.FRAGMENT),
        (1, ethernet(ipv4(ASKED, fragment=0x0001)), Skipped.FRAGMENT),
        (1, ethernet(ipv6(ASKED, extensions=[FIRST_FRAGMENT])), Skipped.FRAGMENT),
        (1, ethernet(ipv6(ASKED, extensions=[LATER_FRAGMENT])), Skipped.FRAGMENT),
        (1, b"", Skipped.DAMAGED),
        (1, ethernet(ipv4(ASKED))[:13], Skipped.DAMAGED),
        (1, ethernet(ipv4(ASKED))[:33], Skipped.DAMAGED),
        (1, ethernet(b"", kind=0x8100), Skipped.DAMAGED),
        (228, ipv6(ASKED), Skipped.DAMAGED),
        (229, ipv4(ASKED), Skipped.DAMAGED),
        (228, b"\x44" + ipv4(ASKED)[1:], Skipped.DAMAGED),
        (228, ipv4(ASKED, total=19), Skipped.DAMAGED),
        (228, ipv4(ASKED, total=39), Skipped.DAMAGED),
        (228, ipv4(ASKED)[:32] + b"\x40" + ipv4(ASKED)[33:], Skipped.DAMAGED),
        (228, ipv4(ASKED)[:32] + b"\xf0" + ipv4(ASKED)[33:], Skipped.DAMAGED),
    ],
)
def test_packets_that_give_no_segment(link_type: int, data: bytes, why: Skipped) -> None:
    assert segment_of(data, link_type) is why


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
    assert (segment.src.address, segment.dst.address) == (SERVER6, CLIENT6)
