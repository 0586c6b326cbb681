"""Packets out of a capture file: pcap and pcapng, both byte orders, as slices of the mapped file.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, pcap-savefile(5). Nothing is read ahead and nothing is
allocated from a length in the file: a packet is a slice, a block that is not a packet is stepped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from bytebufs import SliceBuffer

__all__ = ["CaptureError", "Packet", "read_packets"]

MAX_PACKET: Final = 1 << 27
"""Bytes of one packet, inclusive: libpcap's largest maximum of any link type (pcap-common.c, USB and D-Bus)."""


class CaptureError(Exception):
    """The file is no capture, is damaged, or ends too early. ``at`` is the file offset of what cannot be read."""

    def __init__(self, reason: str, at: int | None = None) -> None:
        super().__init__(reason if at is None else f"{reason} (at byte {at} of the file)")
        self.reason = reason
        self.at = at


class Packet(NamedTuple):
    """What one packet of the capture holds."""

    number: int
    """1 for the first packet of the file, as Wireshark counts."""
    link_type: int
    """A LINKTYPE_ value of the tcpdump group's registry."""
    data: SliceBuffer
    """What was captured: a slice of the file."""
    original_length: int
    """Bytes the packet had on the wire, which a snapshot length may have cut."""
    stop: int
    """File offset behind the packet's data."""


def read_packets(file: SliceBuffer) -> Iterator[Packet]:
    """Yield the packets of a capture in the order of the file.

    Raises CaptureError where the file cannot be read on; the whole packets before that place come first.

    Copies: nothing.
    """
    if len(file) < 4:
        raise CaptureError("too short for a capture")
    (magic,) = file.unpack_from("<I")
    if magic == _SECTION:
        yield from _read_pcapng(file)
    elif magic in _PCAP_ORDERS:
        yield from _read_pcap(file, _PCAP_ORDERS[magic])
    else:
        raise CaptureError(f"neither pcap nor pcapng: magic number {magic:#010x}")


# -- pcap ----------------------------------------------------------------------------------------------------

# The magic number as a little-endian reader sees it; 3C4D marks nanoseconds, and time stamps are of no use here.
_PCAP_ORDERS: Final = {0xA1B2C3D4: "<", 0xA1B23C4D: "<", 0xD4C3B2A1: ">", 0x4D3CB2A1: ">"}
_PCAP_HEADER: Final = 24
_PCAP_RECORD: Final = 16


def _read_pcap(file: SliceBuffer, order: str) -> Iterator[Packet]:
    size = len(file)
    if size < _PCAP_HEADER:
        raise CaptureError("the file header is cut", 0)
    major, minor, link = file.unpack_from(f"{order}4xHH12xI", 0)
    if (major, minor) != (2, 4):
        raise CaptureError(f"pcap version {major}.{minor}, where only 2.4 is known", 4)
    link_type = link & 0xFFFF  # above: the length of a frame check sequence
    record = Struct(f"{order}8xII")
    at = _PCAP_HEADER
    number = 1
    while at < size:
        if size - at < _PCAP_RECORD:
            raise CaptureError(f"the file ends in the header of packet {number}", at)
        captured, original = file.unpack_from(record, at)
        stop = at + _PCAP_RECORD + captured
        if captured > MAX_PACKET:
            raise CaptureError(f"packet {number} claims {captured} bytes", at)
        if stop > size:
            raise CaptureError(f"the file ends in packet {number}", at)
        yield Packet(number, link_type, file[at + _PCAP_RECORD : stop], original, stop)
        at = stop
        number += 1


# -- pcapng --------------------------------------------------------------------------------------------------

_SECTION: Final = 0x0A0D0D0A  # reads the same in both byte orders
_INTERFACE: Final = 1
_OLD_PACKET: Final = 2
_SIMPLE_PACKET: Final = 3
_ENHANCED_PACKET: Final = 6

# Smallest total length of the blocks that are looked into: type, length, fixed fields, length again.
_SMALLEST: Final = {_SECTION: 28, _INTERFACE: 20, _OLD_PACKET: 32, _SIMPLE_PACKET: 16, _ENHANCED_PACKET: 32}


class _Interface(NamedTuple):
    link_type: int
    snap_length: int
    """Bytes kept of a packet; 0 is no limit."""


class _Section:
    """What the blocks of one section share: a byte order, and the interfaces described so far."""

    def __init__(self, order: str) -> None:
        self.header = Struct(f"{order}II")  # of a block: its type and total length
        self.number = Struct(f"{order}I")
        self.description = Struct(f"{order}H2xI")
        self.packet = {_ENHANCED_PACKET: Struct(f"{order}I8xII"), _OLD_PACKET: Struct(f"{order}H10xII")}
        self.interfaces: list[_Interface] = []


def _read_pcapng(file: SliceBuffer) -> Iterator[Packet]:
    size = len(file)
    section = _Section("<")  # until the first block, which is a section header, tells
    at = 0
    number = 1
    while at < size:
        kind, stop = _block_at(file, section, at)
        if kind == _SECTION:
            section = _section_at(file, at)
            kind, stop = _block_at(file, section, at)
        _check_block(file, section, at, stop, kind)
        if kind == _INTERFACE:
            section.interfaces.append(_Interface(*file.unpack_from(section.description, at + 8)))
        elif kind in (_ENHANCED_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
            yield _packet_at(file, section, at, stop, kind, number)
            number += 1
        at = stop


def _block_at(file: SliceBuffer, section: _Section, at: int) -> tuple[int, int]:
    """Return a block's type and the offset behind it, as it claims."""
    if len(file) - at < 12:
        raise CaptureError("the file ends in the header of a block", at)
    kind, length = file.unpack_from(section.header, at)
    return kind, at + length


def _section_at(file: SliceBuffer, at: int) -> _Section:
    """Return a new section in the byte order that its header block shows."""
    if len(file) - at < _SMALLEST[_SECTION]:
        raise CaptureError("the file ends in a section header", at)
    (magic,) = file.unpack_from("<I", at + 8)
    if magic not in (0x1A2B3C4D, 0x4D3C2B1A):
        raise CaptureError(f"a section with byte-order magic {magic:#010x}", at)
    order = "<" if magic == 0x1A2B3C4D else ">"
    major, minor = file.unpack_from(f"{order}HH", at + 12)
    if major != 1:
        raise CaptureError(f"pcapng version {major}.{minor}, where only 1.x is known", at)
    return _Section(order)


def _check_block(file: SliceBuffer, section: _Section, at: int, stop: int, kind: int) -> None:
    """Hold a block's length against the smallest it can be, the end of the file, and the length's repetition."""
    length = stop - at
    if length < _SMALLEST.get(kind, 12) or length % 4:
        raise CaptureError(f"a block of type {kind:#x} claims {length} bytes", at)
    if stop > len(file):
        raise CaptureError(f"the file ends in a block of {length} bytes", at)
    (again,) = file.unpack_from(section.number, stop - 4)
    if again != length:
        raise CaptureError(f"a block claims {length} bytes in front and {again} at its end", at)


def _packet_at(file: SliceBuffer, section: _Section, at: int, stop: int, kind: int, number: int) -> Packet:
    """Return the packet in a block; a simple one has as much of its bytes as the first interface keeps."""
    if kind == _SIMPLE_PACKET:
        index, start = 0, at + 12
        (original,) = file.unpack_from(section.number, at + 8)
        captured = None
    else:
        start = at + 28
        index, captured, original = file.unpack_from(section.packet[kind], at + 8)
    if index >= len(section.interfaces):
        raise CaptureError(f"packet {number} is of interface {index}, which is not described", at)
    interface = section.interfaces[index]
    if captured is None:
        captured = min(original, interface.snap_length or original)
    if captured > min(stop - 4 - start, MAX_PACKET):
        raise CaptureError(f"packet {number} claims {captured} bytes in a block of {stop - at}", at)
    return Packet(number, interface.link_type, file[start : start + captured], original, stop)
