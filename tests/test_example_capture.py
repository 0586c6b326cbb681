"""examples/http/capture.py: every format that is read, and the ways in which one can be broken."""

from __future__ import annotations

import bz2
import gzip
import lzma
import mmap
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, wrpcap

from bytebufs import SliceBuffer, no_copy
from examples.http.capture import MAX_PACKET, CaptureError, Packet, read_packets

from .example_wire import block, enhanced, interface, old_packet, pcap, pcapng, section, simple

PACKETS = [b"one", b"", b"three bytes more", bytes(100)]


def read(capture: bytes) -> list[Packet]:
    return list(read_packets(SliceBuffer(capture)))


def data_of(capture: bytes) -> list[bytes]:
    return [bytes(packet.data) for packet in read(capture)]


def captured(capture: bytes) -> list[tuple[bytes, int]]:
    """Return what was captured of each packet, and how long it was."""
    return [(bytes(packet.data), packet.original_length) for packet in read(capture)]


def read_until_error(capture: bytes) -> tuple[list[bytes], CaptureError | None]:
    found: list[bytes] = []
    try:
        found.extend(bytes(packet.data) for packet in read_packets(SliceBuffer(capture)))
    except CaptureError as error:
        return found, error
    return found, None


def data_until_error(capture: bytes) -> list[bytes]:
    return read_until_error(capture)[0]


# -- pcap


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D], ids=["microseconds", "nanoseconds"])
def test_pcap(order: str, magic: int) -> None:
    packets = read(pcap(PACKETS, order=order, magic=magic, link=101))
    assert [bytes(packet.data) for packet in packets] == PACKETS
    assert [packet.number for packet in packets] == [1, 2, 3, 4]
    assert {packet.link_type for packet in packets} == {101}


def test_pcap_link_type_says_how_long_check_sequences_are() -> None:
    """In units of two bytes, if the bit for it is set; what was captured of them is left out."""
    whole = b"data" + b"fcs!"
    assert {packet.link_type for link in (0x2400_0001, 0x5000_0001) for packet in read(pcap([whole], link=link))} == {1}
    assert captured(pcap([whole], link=0x5000_0001)) == [(whole, 8)]
    assert captured(pcap([whole], link=0x2400_0001)) == [(b"data", 4)]
    assert captured(pcap([whole], link=0x2400_0001, snap=6)) == [(b"data", 4)]
    assert captured(pcap([whole], link=0x2400_0001, snap=3)) == [(b"dat", 4)]
    assert captured(pcap([b"abc"], link=0x2400_0001)) == [(b"", 0)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("magic", "extra", "time"),
    [(0xA1B2C3D4, 0, 5.000001), (0xA1B23C4D, 0, 5.000000001), (0xA1B2CD34, 8, 5.000001)],
    ids=["microseconds", "nanoseconds", "modified"],
)
def test_pcap_records(order: str, magic: int, extra: int, time: float) -> None:
    capture = struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for packet in PACKETS:
        capture += struct.pack(f"{order}IIII", 5, 1, len(packet), len(packet)) + b"\xff" * extra + packet
    packets = read(capture)
    assert [bytes(packet.data) for packet in packets] == PACKETS
    assert [packet.time for packet in packets] == [pytest.approx(time, abs=1e-10)] * 4
    for size in range(24, len(capture)):
        assert data_until_error(capture[:size]) == PACKETS[: len(data_until_error(capture[:size]))]


@pytest.mark.parametrize(
    ("version", "lengths"),
    [
        ((2, 0), [(9, 4), (4, 4)]),
        ((2, 2), [(9, 4), (4, 4)]),
        ((543, 0), [(9, 4), (4, 4)]),
        ((2, 3), [(9, 4), (4, 9), (4, 4)]),
        ((2, 4), [(4, 9), (4, 4)]),
    ],
)
def test_pcap_lengths_of_each_version(version: tuple[int, int], lengths: list[tuple[int, int]]) -> None:
    """In the order of the record; four bytes were captured of each packet."""
    capture = struct.pack(">IHHiIII", 0xA1B2C3D4, *version, 0, 0, 65535, 1)
    for pair in lengths:
        capture += struct.pack(">IIII", 5, 1, *pair) + b"data"
    assert captured(capture) == [(b"data", max(pair)) for pair in lengths]


COMPRESSED = [
    (gzip.compress, "gzip", "gunzip"),
    (bz2.compress, "bzip2", "bunzip2"),
    (lzma.compress, "xz", "unxz"),
    (lambda data: b"\x28\xb5\x2f\xfd" + data, "zstd", "unzstd"),
    (lambda data: b"\x04\x22\x4d\x18" + data, "lz4", "unlz4"),
    (lambda data: b"\x1f\x9d\x90" + data, "compress", "uncompress"),
]


@pytest.mark.parametrize(("compress", "name", "program"), COMPRESSED, ids=[name for _, name, _ in COMPRESSED])
def test_compressed_files_are_named(compress: Callable[[bytes], bytes], name: str, program: str) -> None:
    with pytest.raises(CaptureError, match=f"^compressed with {name}: {program} it first$"):
        read(compress(pcap(PACKETS)))


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


@pytest.mark.parametrize("version", [(2, 5), (1, 4), (3, 0), (543, 1)])
def test_pcap_of_another_version(version: tuple[int, int]) -> None:
    capture = bytearray(pcap([b"x"]))
    capture[4:8] = struct.pack("<HH", *version)
    with pytest.raises(CaptureError, match=rf"pcap version {version[0]}\.{version[1]}, where only"):
        read(bytes(capture))


@pytest.mark.parametrize("capture", [b"", b"\xd4", b"\xd4\xc3\xb2"])
def test_too_short_for_a_magic_number(capture: bytes) -> None:
    with pytest.raises(CaptureError, match="too short"):
        read(capture)


@pytest.mark.parametrize("capture", [b"GET / HTTP/1.1\r\n", bytes(100), b"\xa1\xb2\xcd\x35" + bytes(100)])
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
    assert captured(capture) == [(b"abcd", 10), (b"xyz", 3)]


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


def option(code: int, value: bytes, order: str) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def described(order: str, *options: tuple[int, bytes], link: int = 1) -> bytes:
    written = b"".join(option(code, value, order) for code, value in options)
    return block(1, struct.pack(f"{order}HHI", link, 0, 0) + written, order=order)


def stamped(order: str, time: int, data: bytes = b"x") -> bytes:
    fields = struct.pack(f"{order}IIIII", 0, time >> 32, time & 0xFFFF_FFFF, len(data), len(data))
    return block(6, fields + data, order=order)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("options", "stamp", "time"),
    [
        ([], 1_700_000_000_000_001, 1_700_000_000.000001),
        ([(9, b"\x09")], 1_700_000_000_500_000_000, 1_700_000_000.5),
        ([(9, b"\x00")], 1_700_000_000, 1_700_000_000.0),
        ([(9, b"\x8a")], 1_700_000_000 << 10 | 512, 1_700_000_000.5),
        ([(2, b"name"), (9, b"\x03"), (0, b""), (9, b"\x00")], 1_500, 1.5),
        ([(2, b"odd"), (14, "seconds"), (9, b"\x03")], 1_500, 1_001.5),
        ([(9, b"\x03\0"), (14, b"\0"), (13, b"\0\0\0\0")], 1_500_000, 1.5),
    ],
    ids=["default", "nanoseconds", "seconds", "binary", "behind the end", "offset", "of another length"],
)
def test_pcapng_times(order: str, options: list[tuple[int, bytes | str]], stamp: int, time: float) -> None:
    offset = struct.pack(f"{order}q", 1_000)
    written = [(code, offset if isinstance(value, str) else value) for code, value in options]
    (packet,) = read(section(order) + described(order, *written) + stamped(order, stamp))
    assert packet.time == pytest.approx(time, abs=1e-6)


def test_pcapng_times_of_old_and_of_simple_packets() -> None:
    old = block(2, struct.pack("<HHIIII", 0, 0, 0, 1_500_000, 1, 1) + b"x")
    assert [packet.time for packet in read(section() + interface() + old + simple(b"x"))] == [1.5, 0.0]


def test_pcapng_option_longer_than_its_block_ends_the_list() -> None:
    bad = described("<", (2, b"name"), (9, b"\x00"))
    for length in (9, 200, 0xFFFF):
        cut = bad.replace(struct.pack("<HH", 2, 4), struct.pack("<HH", 2, length))
        assert read(section() + cut + stamped("<", 1_500_000))[0].time == 1.5


@pytest.mark.parametrize(("length", "data"), [(4, b"data"), (32, b"data"), (0, b"datafcs!"), (16, b"datafc")])
def test_pcapng_check_sequences_are_left_out(length: int, data: bytes) -> None:
    """In bytes, as Wireshark writes the length, or in bits, as the draft says."""
    capture = section() + described("<", (13, bytes([length]))) + stamped("<", 0, b"datafcs!")
    assert captured(capture) == [(data, len(data))]


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


# -- what tshark reads


def records(
    order: str, *, magic: int, version: tuple[int, int] = (2, 4), extra: int = 0, swapped: bool = False
) -> bytes:
    """Write packets of which a few bytes are cut, at different times."""
    out = struct.pack(f"{order}IHHiIII", magic, *version, 0, 0, 65535, 1)
    for number, packet in enumerate(PACKETS):
        lengths = (len(packet), len(packet) + number)
        out += struct.pack(f"{order}IIII", 1_000_000_000 + number, 123_456, *(lengths[::-1] if swapped else lengths))
        out += bytes(extra) + packet
    return out


TIMES = [1_700_000_000_123_456_789, 1_700_000_001_000_000_000]
FILES = {
    "pcap": records("<", magic=0xA1B2C3D4),
    "nanoseconds": records(">", magic=0xA1B23C4D),
    "modified": records("<", magic=0xA1B2CD34, extra=8),
    "2.1": records("<", magic=0xA1B2C3D4, version=(2, 1), swapped=True),
    "2.3": records(">", magic=0xA1B2C3D4, version=(2, 3)),
    "2.3 swapped": records(">", magic=0xA1B2C3D4, version=(2, 3), swapped=True),
    "pcapng": section() + described("<", (9, b"\x09")) + b"".join(stamped("<", time) for time in TIMES),
    "pcapng offset": section(">")
    + described(">", (9, b"\x09"), (14, struct.pack(">q", -5)))
    + b"".join(stamped(">", time) for time in TIMES),
    "pcapng binary": section() + described("<", (9, b"\x94")) + stamped("<", (1_700_000_000 << 20) + 77),
}


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", list(FILES))
def test_tshark_reads_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cap"
    path.write_bytes(FILES[name])
    fields = [part for field in ("time_epoch", "len", "cap_len") for part in ("-e", f"frame.{field}")]
    done = subprocess.run(["tshark", "-r", path, "-T", "fields", *fields], check=True, capture_output=True, text=True)
    seen = [tuple(map(float, line.split("\t"))) for line in done.stdout.splitlines()]
    found = [(packet.time, packet.original_length, len(packet.data)) for packet in read(FILES[name])]
    assert [packet[1:] for packet in seen] == [packet[1:] for packet in found]
    assert [packet[0] for packet in seen] == pytest.approx([packet[0] for packet in found], abs=1e-6)
