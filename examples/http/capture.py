"""Packets out of a capture file: pcap and pcapng, both byte orders, as slices of the mapped file.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, pcap-savefile(5); libpcap's sf-pcap.c for the old versions of
pcap, Wireshark's wiretap/libpcap.c for the modified magic number. Nothing is read ahead and nothing is allocated from a
length in the file: a packet is a slice, a block that is not a packet is stepped over.
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
    """What one packet of the capture holds; a frame check sequence that the file tells of is left out."""

    number: int
    """1 for the first packet of the file, as Wireshark counts."""
    link_type: int
    """A LINKTYPE_ value of the tcpdump group's registry."""
    data: SliceBuffer
    """What was captured: a slice of the file."""
    original_length: int
    """Bytes the packet had on the wire, which a snapshot length may have cut."""
    start: int
    """File offset of the packet's data."""
    time: float
    """Seconds since 1970, UTC; 0.0 where the file has no time for it."""


_new: Final = tuple.__new__  # half the cost of Packet(...), which is made once a packet

_COMPRESSED: Final = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"\x1f\x9d": ("compress", "uncompress"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\x04\x22\x4d\x18": ("lz4", "unlz4"),
}


def read_packets(file: SliceBuffer, before: int = 0) -> Iterator[Packet]:
    """Yield the packets of a capture in the order of the file, numbered on behind those `before`.

    Raises CaptureError where the file cannot be read on; the whole packets before that place come first.

    Copies: nothing.
    """
    for start, (name, program) in _COMPRESSED.items():
        if file.startswith(start):
            raise CaptureError(f"compressed with {name}: {program} it first")
    if len(file) < 4:
        raise CaptureError("too short for a capture")
    (magic,) = file.unpack_from("<I")
    if magic == _SECTION:
        yield from _read_pcapng(file, before)
    elif magic in _PCAP_FORMS:
        yield from _read_pcap(file, before, *_PCAP_FORMS[magic])
    else:
        raise CaptureError(f"neither pcap nor pcapng: magic number {magic:#010x}")


def _checked(data: SliceBuffer, original: int, check: int) -> tuple[SliceBuffer, int]:
    """Leave out a frame check sequence of so many bytes, as far as it was captured."""
    original = max(original - check, 0)
    return data[: min(len(data), original)], original


# -- pcap ----------------------------------------------------------------------------------------------------

# The magic number as a little-endian reader sees it: byte order, a second's fractions, bytes of a record's header.
# Beside A1B2C3D4 there are 3C4D for nanoseconds, and CD34, "modified", with an interface and the like in the records.
_PCAP_FORMS: Final = {
    0xA1B2C3D4: ("<", 1e-6, 16),
    0xD4C3B2A1: (">", 1e-6, 16),
    0xA1B23C4D: ("<", 1e-9, 16),
    0x4D3CB2A1: (">", 1e-9, 16),
    0xA1B2CD34: ("<", 1e-6, 24),
    0x34CDB2A1: (">", 1e-6, 24),
}
_PCAP_HEADER: Final = 24
_PCAP_VERSIONS: Final = {(2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (543, 0)}  # the last is DG/UX tcpdump's


def _read_pcap(file: SliceBuffer, before: int, order: str, unit: float, header: int) -> Iterator[Packet]:
    size = len(file)
    if size < _PCAP_HEADER:
        raise CaptureError("the file header is cut", 0)
    major, minor, link = file.unpack_from(f"{order}4xHH12xI", 0)
    if (major, minor) not in _PCAP_VERSIONS:
        raise CaptureError(f"pcap version {major}.{minor}, where only 2.0 to 2.4 are known", 4)
    old = (major, minor) != (2, 4)
    maybe = (major, minor) == (2, 3)
    link_type = link & 0xFFFF
    check = (link >> 28) * 2 if link & 0x0400_0000 else 0
    record = Struct(f"{order}IIII")
    unpack = file.unpack_from
    at = _PCAP_HEADER
    number = 1
    while at < size:
        start = at + header
        if start > size:
            raise CaptureError(f"the file ends in the header of packet {number}", at)
        seconds, fraction, captured, original = unpack(record, at)
        if old and (not maybe or captured > original):
            captured, original = original, captured  # below 2.3 the lengths are swapped, in 2.3 they may be
        stop = start + captured
        if captured > MAX_PACKET:
            raise CaptureError(f"packet {number} claims {captured} bytes", at)
        if stop > size:
            raise CaptureError(f"the file ends in packet {number}", at)
        data = file[start:stop]
        if check:
            data, original = _checked(data, original, check)
        yield _new(Packet, (before + number, link_type, data, original, start, seconds + fraction * unit))
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
_SMALLEST_BLOCK: Final = 12

# Options of an interface.
_END: Final = 0
_RESOLUTION: Final = 9
_CHECK_LENGTH: Final = 13
_OFFSET: Final = 14


class _Interface:
    """What an interface's description says of its packets."""

    def __init__(self, link_type: int, snap_length: int) -> None:
        self.link_type = link_type
        self.snap_length = snap_length
        """Bytes kept of a packet; 0 is no limit."""
        self.unit = 1e-6
        """Seconds of a time stamp's unit."""
        self.offset = 0
        """Seconds to add to time stamps."""
        self.check = 0
        """Bytes of the frame check sequence at a packet's end."""


class _Section:
    """What the blocks of one section share: a byte order, and the interfaces described so far."""

    def __init__(self, order: str) -> None:
        self.header = Struct(f"{order}II")  # of a block: its type and total length
        self.number = Struct(f"{order}I")
        self.description = Struct(f"{order}H2xI")
        self.option = Struct(f"{order}HH")
        self.seconds = Struct(f"{order}q")
        self.packets = {_ENHANCED_PACKET: Struct(f"{order}IIIII"), _OLD_PACKET: Struct(f"{order}H2xIIII")}
        self.interfaces: list[_Interface] = []

    def interface(self, index: int, number: int, at: int) -> _Interface:
        """Return the interface of a packet in the block at an offset."""
        if index >= len(self.interfaces):
            raise CaptureError(f"packet {number} is of interface {index}, which is not described", at)
        return self.interfaces[index]


def _read_pcapng(file: SliceBuffer, before: int) -> Iterator[Packet]:
    size = len(file)
    unpack = file.unpack_from
    section = _section_at(file, 0)
    at = 0
    number = 1
    while at < size:
        if size - at < _SMALLEST_BLOCK:
            raise CaptureError("the file ends in the header of a block", at)
        kind, length = unpack(section.header, at)
        if kind == _SECTION and at:
            section = _section_at(file, at)
            kind, length = unpack(section.header, at)
        stop = at + length
        if (
            length < _SMALLEST.get(kind, _SMALLEST_BLOCK)
            or length % 4
            or stop > size
            or unpack(section.number, stop - 4)[0] != length
        ):
            raise _broken(file, section, at)
        if kind in section.packets:
            index, high, low, captured, original = unpack(section.packets[kind], at + 8)
            interface = section.interface(index, number, at)
            start = at + 28
            time = (high << 32 | low) * interface.unit + interface.offset
        elif kind == _SIMPLE_PACKET:
            interface = section.interface(0, number, at)
            (original,) = unpack(section.number, at + 8)
            captured = min(original, interface.snap_length or original)
            start = at + 12
            time = 0.0
        else:
            if kind == _INTERFACE:
                section.interfaces.append(_interface_at(file, section, at, stop))
            at = stop
            continue
        if captured > min(stop - 4 - start, MAX_PACKET):
            raise CaptureError(f"packet {number} claims {captured} bytes in a block of {length}", at)
        data = file[start : start + captured]
        if interface.check:
            data, original = _checked(data, original, interface.check)
        yield _new(Packet, (before + number, interface.link_type, data, original, start, time))
        at = stop
        number += 1


def _broken(file: SliceBuffer, section: _Section, at: int) -> CaptureError:
    """Say what is wrong with a block's length: too small, beyond the end of the file, or repeated as another."""
    kind, length = file.unpack_from(section.header, at)
    if length < _SMALLEST.get(kind, _SMALLEST_BLOCK) or length % 4:
        return CaptureError(f"a block of type {kind:#x} claims {length} bytes", at)
    if at + length > len(file):
        return CaptureError(f"the file ends in a block of {length} bytes", at)
    (again,) = file.unpack_from(section.number, at + length - 4)
    return CaptureError(f"a block claims {length} bytes in front and {again} at its end", at)


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


def _interface_at(file: SliceBuffer, section: _Section, at: int, stop: int) -> _Interface:
    """Return the interface that a block describes; options that do not fit their block end the list."""
    found = _Interface(*file.unpack_from(section.description, at + 8))
    at += 16
    while at + 8 <= stop:
        code, length = file.unpack_from(section.option, at)
        at += 4
        if code == _END or at + length > stop - 4:
            break
        if code == _RESOLUTION and length == 1:
            found.unit = (2.0 if file[at] & 0x80 else 10.0) ** -(file[at] & 0x7F)
        elif code == _CHECK_LENGTH and length == 1:
            found.check = file[at] if file[at] < 16 else file[at] // 8  # in bits, says the draft; Wireshark has bytes
        elif code == _OFFSET and length == 8:
            (found.offset,) = file.unpack_from(section.seconds, at)
        at += length + -length % 4
    return found
