"""TCP segments in Ethernet frames in capture files: pcap in, pcap and pcapng out.

Only what `tcpdump -i lo` writes is read here, and without bytebufs: captures and the code that is tried on
them share nothing.
"""

import ipaddress
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
MODULUS = 1 << 32  # of sequence numbers

_ETHERNET = 1  # LINKTYPE_ETHERNET; Linux gives it to the loopback device too, with zeros for addresses
_SNAPLEN = 262_144  # tcpdump's own default
_IPV4, _IPV6, _VLAN = 0x0800, 0x86DD, 0x8100
_TCP = 6
_DONT_FRAGMENT = 0x4000

Flow = tuple[bytes, int, bytes, int]
"""Source address and port, destination address and port: one direction of a connection."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A TCP segment, and what it travels in."""

    time: int  # nanoseconds since 1970
    src: bytes
    sport: int
    dst: bytes
    dport: int
    seq: int
    ack: int
    flags: int
    window: int
    options: bytes
    payload: bytes
    vlan: int | None = None
    ip_options: bytes = b""

    @property
    def flow(self) -> Flow:
        """The direction this segment goes."""
        return self.src, self.sport, self.dst, self.dport

    @property
    def bare(self) -> bool:
        """Whether this only acknowledges: neither bytes nor a place in the sequence."""
        return not self.payload and not self.flags & (SYN | FIN | RST)


def opposite(flow: Flow) -> Flow:
    """Return the other direction of the same connection."""
    src, sport, dst, dport = flow
    return dst, dport, src, sport


def endpoint(address: bytes, port: int) -> str:
    """Write an address and a port as in a URL."""
    host = ipaddress.ip_address(address)
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


# Reading


def read_pcap(data: bytes) -> list[Segment]:
    """Return the segments of a classic Ethernet pcap; a record still being written at its end is left out."""
    if len(data) < 24:
        return []
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    magic, *_, link = struct.unpack_from(f"{order}IHHiIII", data)
    if (magic, link) != (0xA1B2C3D4, _ETHERNET):
        raise ValueError(f"not an Ethernet pcap in microseconds: magic {magic:#x}, link type {link}")
    segments = []
    at = 24
    while at + 16 <= len(data):
        seconds, micros, length, original = struct.unpack_from(f"{order}IIII", data, at)
        if length != original:
            raise ValueError(f"the frame at byte {at} was cut from {original} bytes to {length}")
        frame = data[at + 16 : at + 16 + length]
        if len(frame) == length:
            segments.append(_read_frame(seconds * 10**9 + micros * 1000, frame))
        at += 16 + length
    return segments


def _read_frame(time: int, frame: bytes) -> Segment:
    (kind,) = struct.unpack_from("!H", frame, 12)
    if kind == _IPV4:
        header, total = (frame[14] & 0x0F) * 4, struct.unpack_from("!H", frame, 16)[0]
        return _read_tcp(time, frame[26:30], frame[30:34], frame[14 + header : 14 + total])
    if kind == _IPV6:
        (length,) = struct.unpack_from("!H", frame, 18)
        return _read_tcp(time, frame[22:38], frame[38:54], frame[54 : 54 + length])
    raise ValueError(f"neither IPv4 nor IPv6: EtherType {kind:#06x}")


def _read_tcp(time: int, src: bytes, dst: bytes, data: bytes) -> Segment:
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", data)
    start = (offset >> 4) * 4
    return Segment(time, src, sport, dst, dport, seq, ack, flags, window, data[20:start], data[start:])


# Writing


def checksum(data: bytes) -> int:
    """Return the Internet checksum of `data` (RFC 1071)."""
    # 2**16 is 1 modulo 2**16 - 1, so the remainder is the sum of the words.
    padded = data + bytes(len(data) % 2)
    return 0xFFFF - int.from_bytes(padded) % 0xFFFF


def frame_of(segment: Segment, *, minimum: int = 0) -> bytes:
    """Return an Ethernet frame with right checksums, padded with zeros to `minimum` bytes."""
    tcp = _tcp_of(segment)
    ip = _ipv4_of(segment, len(tcp)) if len(segment.src) == 4 else _ipv6_of(segment, len(tcp))
    tag = b"" if segment.vlan is None else struct.pack("!HH", _VLAN, segment.vlan)
    kind = struct.pack("!H", _IPV4 if len(segment.src) == 4 else _IPV6)
    return (bytes(12) + tag + kind + ip + tcp).ljust(minimum, b"\0")


def _tcp_of(segment: Segment) -> bytes:
    offset = (20 + len(segment.options)) // 4 << 4
    places = segment.sport, segment.dport, segment.seq, segment.ack
    head = struct.pack("!HHIIBBHHH", *places, offset, segment.flags, segment.window, 0, 0)
    body = head + segment.options + segment.payload
    pseudo = segment.src + segment.dst + struct.pack("!IHH", len(body), 0, _TCP)
    return body[:16] + struct.pack("!H", checksum(pseudo + body)) + body[18:]


def _ipv4_of(segment: Segment, length: int) -> bytes:
    size = 20 + len(segment.ip_options)
    fields = 0x40 | size // 4, 0, size + length, 0, _DONT_FRAGMENT, 64, _TCP, 0
    head = struct.pack("!BBHHHBBH", *fields) + segment.src + segment.dst + segment.ip_options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def _ipv6_of(segment: Segment, length: int) -> bytes:
    return struct.pack("!IHBB", 0x6000_0000, length, _TCP, 64) + segment.src + segment.dst


def write_pcap(segments: Iterable[Segment]) -> bytes:
    """Return a classic pcap, little-endian, in microseconds."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAPLEN, _ETHERNET)]
    for segment in segments:
        frame = frame_of(segment)
        seconds, rest = divmod(segment.time, 10**9)
        out.append(struct.pack("<IIII", seconds, rest // 1000, len(frame), len(frame)) + frame)
    return b"".join(out)


def write_pcapng(segments: Iterable[Segment], *, minimum: int) -> bytes:
    """Return a pcapng section, little-endian, in nanoseconds, its frames padded to `minimum` bytes."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(4, b"bytebufs examples")  # shb_userappl
    interface = struct.pack("<HHI", _ETHERNET, 0, _SNAPLEN) + _option(2, b"lo") + _option(9, b"\x09")  # if_tsresol
    out = [_block(0x0A0D0D0A, section + _option(0)), _block(1, interface + _option(0))]
    for segment in segments:
        frame = frame_of(segment, minimum=minimum)
        high, low = divmod(segment.time, MODULUS)
        out.append(_block(6, struct.pack("<IIIII", 0, high, low, len(frame), len(frame)) + _aligned(frame)))
    return b"".join(out)


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + _aligned(value)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def shifted(segment: Segment, flow: Flow, by: int) -> Segment:
    """Return `segment` with the sequence numbers of `flow` moved on: its own, or those it acknowledges."""
    if segment.flow == flow:
        return replace(segment, seq=(segment.seq + by) % MODULUS)
    if segment.flow == opposite(flow) and segment.flags & ACK:
        return replace(segment, ack=(segment.ack + by) % MODULUS)
    return segment
