"""Packets in layers, for the tests of examples/http: what stands around a segment, written with struct.

A packet is bytes and what kind of thing they are: "ipv4", "ethernet", "ppp". A wrapper takes some kinds and makes
another, so that wrappers can be put around each other at random; a link type, at last, takes a kind, too.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from .example_wire import CLIENT, CLIENT6, SERVER, SERVER6, Tcp, ipv4, ipv6

SEGMENT: Final = Tcp(7, b"payload", 0x18)


class Wrapped(NamedTuple):
    """A packet that has a segment inside."""

    kind: str
    data: bytes
    network: bytes = b""


def four(segment: Tcp = SEGMENT) -> Wrapped:
    return Wrapped("ipv4", ipv4(segment))


def six(segment: Tcp = SEGMENT) -> Wrapped:
    return Wrapped("ipv6", ipv6(segment))


class Wrapper(NamedTuple):
    """A layer: which kinds it takes and by which numbers it names them, what it makes, and how."""

    name: str
    takes: Mapping[str, int]
    makes: str
    write: Callable[[int, bytes], bytes]
    tag: bytes = b""

    def around(self, inner: Wrapped) -> Wrapped:
        return Wrapped(self.makes, self.write(self.takes[inner.kind], inner.data), self.tag + inner.network)


ETHERTYPES: Final = {
    "ipv4": 0x0800,
    "ipv6": 0x86DD,
    "ethernet": 0x6558,
    "mpls": 0x8847,
    "vlan": 0x8100,
    "qinq": 0x88A8,
    "pppoe": 0x8864,
    "backbone": 0x88E7,
    "nsh": 0x894F,
    "length of llc": 0x8870,
    "metadata": 0x8909,
    "vn-tag": 0x8926,
    "e-tag": 0x893F,
    "hsr": 0x892F,
    "r-tag": 0xF1C1,
}
PPP: Final = {"ipv4": 0x21, "ipv6": 0x57, "mpls": 0x281, "bridged ppp": 0x31}
PROTOCOLS: Final = {
    "ipv4": 4,
    "ipv6": 41,
    "gre": 47,
    "udp": 17,
    "ethernet": 143,
    "mpls": 137,
    "ethernet in ip": 97,
    "extension": 60,
    "hop by hop": 0,
    "authentication": 51,
}
PORTS: Final = {
    "vxlan": 4789,
    "vxlan-gpe": 4790,
    "geneve": 6081,
    "gtp": 2152,
    "teredo": 3544,
    "l2tp": 1701,
    "lisp": 4341,
    "gre": 4754,
    "mpls": 6635,
    "tzsp": 37008,
}
NEXT: Final = {"ipv4": 1, "ipv6": 2, "ethernet": 3, "nsh": 4, "mpls": 5}
IP: Final = {"ipv4": 4, "ipv6": 6}
OUTER: Final = bytes([198, 51, 100, 1, 198, 51, 100, 2])
OUTER6: Final = CLIENT6[:15] + b"\x11" + SERVER6[:15] + b"\x12"
MACS: Final = bytes.fromhex("020000000002020000000001")


def just(*kinds: str) -> dict[str, int]:
    return dict.fromkeys(kinds, 0)


def outer_ipv4(protocol: int, data: bytes) -> bytes:
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, 0, 64, protocol, 0) + OUTER + data


def outer_ipv6(protocol: int, data: bytes) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(data), protocol, 64) + OUTER6 + data


def ethernet(kind: int, data: bytes) -> bytes:
    return MACS + struct.pack("!H", kind) + data


def erspan_2(_kind: int, data: bytes) -> bytes:
    return struct.pack("!HHIII", 0x1000, 0x88BE, 9, 0x1000_0000, 0) + data


def erspan_3(_kind: int, data: bytes) -> bytes:
    return struct.pack("!HHI", 0x1000, 0x22EB, 9) + struct.pack("!IIHH", 0x2000_0000, 1, 0, 1) + bytes(8) + data


def pptp(_kind: int, data: bytes) -> bytes:
    return struct.pack("!HHHHII", 0x3081, 0x880B, len(data), 5, 1, 2) + data


def udp(port: int, data: bytes) -> bytes:
    return struct.pack("!HHHH", 50_000, port, 8 + len(data), 0) + data


def gtp(_kind: int, data: bytes) -> bytes:
    """With a sequence number, and an extension header of 8 bytes."""
    return struct.pack("!BBHIHBB", 0x36, 255, len(data) + 12, 77, 1, 0, 0x85) + b"\x02" + bytes(6) + b"\0" + data


def teredo(_kind: int, data: bytes) -> bytes:
    return b"\0\1\2\3" + bytes(2 + 3 + 9) + bytes(8) + data


def snap(kind: int, data: bytes) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + struct.pack("!H", kind) + data


def extension(number: int, data: bytes) -> bytes:
    return bytes([number, 1]) + bytes(14) + data


WRAPPERS: Final = [
    Wrapper("Ethernet", ETHERTYPES, "ethernet", ethernet),
    Wrapper("802.1Q", ETHERTYPES, "vlan", lambda kind, data: struct.pack("!HH", 0x6005, kind) + data, b"\x01\0\0\x05"),
    Wrapper("priority", ETHERTYPES, "vlan", lambda kind, data: struct.pack("!HH", 0x6000, kind) + data),
    Wrapper(
        "802.1ad", ETHERTYPES, "qinq", lambda kind, data: struct.pack("!HH", 0x0ABC, kind) + data, b"\x01\0\x0a\xbc"
    ),
    Wrapper("802.1ah", just("ethernet"), "backbone", lambda _, data: b"\0\1\2\3" + data, b"\2\1\2\3"),
    Wrapper("CMD", ETHERTYPES, "metadata", lambda kind, data: struct.pack("!BBHHH", 1, 1, 1, 5, kind) + data),
    Wrapper("VN-Tag", ETHERTYPES, "vn-tag", lambda kind, data: struct.pack("!IH", 0x0001_0002, kind) + data),
    Wrapper("E-TAG", ETHERTYPES, "e-tag", lambda kind, data: struct.pack("!IHH", 0x0001_0002, 0, kind) + data),
    Wrapper("HSR", ETHERTYPES, "hsr", lambda kind, data: struct.pack("!HHH", 6 + len(data), 1, kind) + data),
    Wrapper("R-TAG", ETHERTYPES, "r-tag", lambda kind, data: struct.pack("!HHH", 0, 1, kind) + data),
    Wrapper("802.3", just("llc"), "ethernet", lambda _, data: ethernet(len(data), data)),
    Wrapper("802.3 in a tag", just("llc"), "vlan", lambda _, data: struct.pack("!HH", 0, len(data)) + data),
    Wrapper("long 802.3", just("llc"), "length of llc", lambda _, data: data),
    Wrapper("SNAP", ETHERTYPES, "llc", snap),
    Wrapper("802.1H", ETHERTYPES, "llc", lambda kind, data: b"\xaa\xaa\x03\0\0\xf8" + struct.pack("!H", kind) + data),
    Wrapper("bridged", just("ethernet"), "llc", lambda _, data: b"\xaa\xaa\x03\0\x80\xc2\0\7\0\0" + data),
    Wrapper("LLC", just("ipv4"), "llc", lambda _, data: b"\6\6\3" + data),
    Wrapper("LLC with numbers", just("ipv4"), "llc", lambda _, data: b"\6\6\0\0" + data),
    Wrapper(
        "OSI", {"ipv4": 0xCC, "ipv6": 0x8E, "ppp": 0xCF}, "llc", lambda n, data: b"\xfe\xfe\x03" + bytes([n]) + data
    ),
    Wrapper("MPLS", just(*IP), "mpls", lambda _, data: bytes.fromhex("0006404000065140") + data),
    Wrapper("MPLS control word", just("ethernet"), "mpls", lambda _, data: b"\0\6\x51\x40\0\0\0\1" + data),
    Wrapper("PPP, short", PPP, "ppp", lambda kind, data: struct.pack("!H", kind) + data),
    Wrapper("PPP", PPP, "ppp", lambda kind, data: struct.pack("!HH", 0xFF03, kind) + data),
    Wrapper("PPP, compressed", {"ipv4": 0x21, "ipv6": 0x57}, "ppp", lambda kind, data: bytes([kind]) + data),
    Wrapper("bridging in PPP", just("ethernet"), "bridged ppp", lambda _, data: b"\0\1" + data),
    Wrapper("bridging of a LAN", just("ethernet"), "bridged ppp", lambda _, data: b"\x40\1" + bytes(4) + data),
    Wrapper("PPPoE", just("ppp"), "pppoe", lambda _, data: struct.pack("!BBHH", 0x11, 0, 5, len(data)) + data),
    Wrapper("NSH", NEXT, "nsh", lambda kind, data: struct.pack("!HBB", 0x0FC6, 1, kind) + bytes(20) + data),
    Wrapper("GRE", ETHERTYPES, "gre", lambda kind, data: struct.pack("!HH", 0, kind) + data),
    Wrapper("GRE with all", ETHERTYPES, "gre", lambda kind, data: struct.pack("!HH", 0xB000, kind) + bytes(12) + data),
    Wrapper(
        *("GRE with routes", ETHERTYPES, "gre"),
        lambda kind, data: struct.pack("!HH", 0x4000, kind) + bytes(4) + b"\x08\0\0\4abcd" + bytes(4) + data,
    ),
    Wrapper("PPTP", just("ppp"), "gre", pptp),
    Wrapper("ERSPAN I", just("ethernet"), "gre", lambda _, data: struct.pack("!HH", 0, 0x88BE) + data),
    Wrapper("ERSPAN II", just("ethernet"), "gre", erspan_2),
    Wrapper("ERSPAN III", just("ethernet"), "gre", erspan_3),
    Wrapper(
        *("ERSPAN III of IP", just(*IP), "gre"),
        lambda _, data: struct.pack("!HHIIIHH", 0x1000, 0x22EB, 9, 0x2000_0000, 1, 0, 2 << 10) + data,
    ),
    Wrapper("WCCP 1", just("ipv4"), "gre", lambda _, data: struct.pack("!HH", 0, 0x883E) + data),
    Wrapper("WCCP 2", just("ipv4"), "gre", lambda _, data: struct.pack("!HHI", 0, 0x883E, 0) + data),
    Wrapper("IPv4", PROTOCOLS, "ipv4", outer_ipv4),
    Wrapper("IPv6", PROTOCOLS, "ipv6", outer_ipv6),
    Wrapper("EtherIP", just("ethernet"), "ethernet in ip", lambda _, data: b"\x30\0" + data),
    Wrapper("destination options", PROTOCOLS, "extension", extension),
    Wrapper("hop-by-hop options", PROTOCOLS, "hop by hop", extension),
    Wrapper("AH", PROTOCOLS, "authentication", lambda n, data: bytes([n, 4]) + bytes(22) + data),
    Wrapper("UDP", PORTS, "udp", udp),
    Wrapper("VXLAN", just("ethernet"), "vxlan", lambda _, data: b"\x08\0\0\0\1\2\3\0" + data, b"\3\1\2\3"),
    Wrapper("VXLAN-GPE", NEXT, "vxlan-gpe", lambda n, data: b"\x0c\0\0" + bytes([n]) + b"\1\2\3\0" + data, b"\3\1\2\3"),
    Wrapper(
        "VXLAN-GPE, plain", just("ethernet"), "vxlan-gpe", lambda _, data: b"\x08\0\0\0\1\2\3\0" + data, b"\3\1\2\3"
    ),
    Wrapper(
        *("Geneve", ETHERTYPES, "geneve"),
        lambda kind, data: struct.pack("!BBHI", 2, 0, kind, 0x0102_0300) + bytes(8) + data,
        b"\4\1\2\3",
    ),
    Wrapper("GTP-U", just(*IP), "gtp", gtp),
    Wrapper("GTP-U, plain", just(*IP), "gtp", lambda _, data: struct.pack("!BBHI", 0x30, 255, len(data), 77) + data),
    Wrapper("Teredo", just("ipv6"), "teredo", lambda _, data: data),
    Wrapper("Teredo with all", just("ipv6"), "teredo", teredo),
    Wrapper("L2TP", just("ppp"), "l2tp", lambda _, data: b"\0\2" + bytes(4) + data),
    Wrapper(
        "L2TP with all",
        just("ppp"),
        "l2tp",
        lambda _, data: struct.pack("!HHIIH", 0x4A02, 16 + len(data), 1, 1, 2) + b"ab" + data,
    ),
    Wrapper("LISP", just(*IP), "lisp", lambda _, data: bytes(8) + data),
    Wrapper(
        "TZSP", {"ethernet": 1, "wlan": 18}, "tzsp", lambda n, data: b"\1\0\0" + bytes([n]) + b"\0\x0a\1x\1" + data
    ),
    Wrapper("802.11", just("llc"), "wlan", lambda _, data: b"\x08\1\0\0" + bytes(20) + data),
    Wrapper("802.11 QoS", just("llc"), "wlan", lambda _, data: b"\x88\1\0\0" + bytes(22) + data),
    Wrapper("802.11 HT", just("llc"), "wlan", lambda _, data: b"\x88\x81\0\0" + bytes(20 + 6) + data),
    Wrapper("802.11 bridge", just("llc"), "wlan", lambda _, data: b"\x88\3\0\0" + bytes(26 + 2) + data),
    Wrapper(
        *("A-MSDU", just("llc"), "wlan"),
        lambda _, data: b"\x88\1\0\0" + bytes(20) + b"\x80\0" + MACS + struct.pack("!H", len(data)) + data,
    ),
    Wrapper("Prism", just("wlan"), "prism", lambda _, data: b"\x44\0\0\0\x90\0\0\0" + bytes(136) + data),
    Wrapper("AVS", just("wlan"), "avs", lambda _, data: b"\x80\x21\x10\x01\0\0\0\x40" + bytes(56) + data),
]


class Link(NamedTuple):
    """A link type: its number, which kinds it takes, and how it writes them."""

    number: int
    takes: Mapping[str, int]
    write: Callable[[int, bytes], bytes]
    name: str = ""


def plain(_kind: int, data: bytes) -> bytes:
    return data


def nflog(order: str) -> Callable[[int, bytes], bytes]:
    def write(_kind: int, data: bytes) -> bytes:
        return (
            b"\x02\0\0\0"
            + struct.pack(f"{order}HH5sxxx", 9, 10, b"nflog"[:5])
            + struct.pack(f"{order}HH", 4 + len(data), 9)
            + data
        )

    return write


def ppi(_kind: int, data: bytes) -> bytes:
    """802.11 with a field that says that a check sequence is there."""
    return struct.pack("<BBHIHHQH10x", 0, 0, 32, 105, 2, 20, 0, 1) + data + bytes(4)


def radiotap(_kind: int, data: bytes) -> bytes:
    """Time, flags (a check sequence, and padding to 4 bytes) and a second word of what is present."""
    size = 24 + (6 if data[1] & 3 == 3 else 0) + (2 if data[0] & 0x80 else 0) + (4 if data[1] & 0x80 else 0)
    header = data[:size]
    pad = -size % 4
    return (
        struct.pack("<BBHII4xQBx", 0, 0, 26, 0x8000_0003, 0, 1, 0x30)
        + header
        + bytes(pad)
        + data[len(header) :]
        + bytes(4)
    )


def erf(kind: int, data: bytes) -> bytes:
    pad = 2 if kind == 2 else 0
    check = 4 if kind == 2 else 0
    size = 16 + 8 + pad + len(data) + check
    return struct.pack("!8xBBHHH", kind | 0x80, 4, size, 0, len(data) + check) + bytes(8 + pad) + data + bytes(check)


FAMILIES: Final = {"ipv4": 2, "ipv6": 30}
LINKS: Final = [
    Link(0, FAMILIES, lambda n, data: struct.pack("<I", n) + data),
    Link(0, {"ipv4": 2, "ipv6": 24}, lambda n, data: struct.pack(">I", n) + data, "big-endian"),
    Link(1, just("ethernet"), plain),
    Link(6, just("llc"), lambda _, data: b"\x10\x40" + MACS + data),
    Link(
        6,
        just("llc"),
        lambda _, data: b"\x10\x40" + MACS[:6] + b"\x82" + MACS[7:] + b"\x06\x30\0\x12\0\x20" + data,
        "route",
    ),
    Link(8, just(*IP), lambda _, data: b"\0\x45" + bytes(14) + data),
    Link(9, just("ppp"), plain),
    Link(9, just("ppp"), lambda _, data: b"\xff\x03" + data.removeprefix(b"\xff\x03"), "address"),
    Link(10, just("llc"), lambda _, data: b"\x50" + MACS + data),
    Link(11, just("llc"), plain),
    Link(12, just(*IP), plain),
    Link(14, just(*IP), plain),
    Link(19, just("llc"), plain),
    Link(50, just("ppp"), plain),
    Link(50, just("ppp"), lambda _, data: b"\xff\x03" + data.removeprefix(b"\xff\x03"), "address"),
    Link(50, ETHERTYPES, lambda kind, data: b"\x0f\0" + struct.pack("!H", kind) + data, "Cisco"),
    Link(51, just("pppoe"), plain),
    Link(100, just("llc"), plain),
    Link(101, just(*IP), plain),
    Link(104, ETHERTYPES, lambda kind, data: b"\x8f\0" + struct.pack("!H", kind) + data),
    Link(105, just("wlan"), plain),
    Link(106, just(*IP, "llc"), plain),
    Link(107, {"ipv4": 0xCC, "ipv6": 0x8E}, lambda n, data: b"\x18\x41\x03" + bytes([n]) + data),
    Link(107, ETHERTYPES, lambda n, data: b"\x18\x41\x03\0\x80\0\0\0" + struct.pack("!H", n) + data, "SNAP"),
    Link(107, just("ethernet"), lambda _, data: b"\x18\x41\x03\0\x80\0\x80\xc2\0\7" + data, "bridged"),
    Link(107, ETHERTYPES, lambda n, data: b"\x18\x41" + struct.pack("!H", n) + data, "Cisco"),
    Link(108, FAMILIES, lambda n, data: struct.pack(">I", n) + data),
    Link(109, {"ipv4": 2, "ipv6": 24}, lambda n, data: struct.pack("<III", n, 0x1234, 3) + data),
    Link(113, ETHERTYPES, lambda n, data: struct.pack("!HHHQH", 0, 1, 6, 0, n) + data),
    Link(113, just("llc"), lambda _, data: struct.pack("!HHHQH", 0, 1, 6, 0, 4) + data, "LLC"),
    Link(113, just("wlan"), lambda _, data: struct.pack("!HHHQH", 0, 801, 6, 0, 0x19) + data, "802.11"),
    Link(117, FAMILIES, lambda n, data: bytes([61, n]) + bytes(62) + data),
    Link(119, just("prism", "avs"), plain),
    Link(122, just("llc"), lambda _, data: bytes(16) + data),
    Link(123, just("llc"), lambda _, data: b"\x82\0\0\x20" + data),
    Link(123, just("ethernet"), lambda _, data: b"\x81\0\0\x20\0\0" + data, "LAN emulation"),
    Link(127, just("wlan"), lambda _, data: struct.pack("<BBHI", 0, 0, 8, 0) + data),
    Link(127, just("wlan"), lambda _, data: struct.pack("<BBHIBx", 0, 0, 10, 2, 0x10) + data + bytes(4), "check"),
    Link(127, just("wlan"), radiotap, "padding"),
    Link(128, just("tzsp"), plain),
    Link(138, {"ipv4": 0x0800, "ipv6": 0x86DD}, lambda n, data: bytes(16) + struct.pack("!H", n) + data),
    Link(163, just("avs"), plain),
    Link(166, just("ppp"), lambda _, data: b"\0\3" + data.removeprefix(b"\xff\3"), "control"),
    Link(166, just("ppp"), lambda _, data: b"\0" + data.removeprefix(b"\xff")),
    Link(175, {"ethernet": 2}, erf),
    Link(176, {"ppp": 1}, erf),
    Link(192, just("wlan"), ppi),
    Link(192, just("ethernet"), lambda _, data: struct.pack("<BBHI", 0, 0, 8, 1) + data, "Ethernet"),
    Link(197, {"ethernet": 2, "ppp": 1, "ipv4": 22, "ipv6": 23}, erf),
    Link(204, just("ppp"), lambda _, data: b"\1" + data),
    Link(205, ETHERTYPES, lambda kind, data: b"\0\x0f\0" + struct.pack("!H", kind) + data),
    Link(206, {"ipv4": 0xCC, "ipv6": 0x8E}, lambda n, data: b"\0\x18\x41\x03" + bytes([n]) + data),
    Link(219, just("mpls"), plain),
    Link(226, {"ipv4": 2, "ipv6": 26}, lambda n, data: struct.pack("!BBHI16x", 1, n, 1, len(data)) + data),
    Link(228, just("ipv4"), plain),
    Link(229, just("ipv6"), plain),
    Link(239, just(*IP), nflog("<")),
    Link(239, just(*IP), nflog(">"), "big-endian"),
    Link(240, just("ethernet"), lambda _, data: bytes(4) + data + bytes(4)),
    Link(241, just("ethernet"), lambda _, data: bytes(4) + b"\x55" * 7 + b"\xd5" + data + bytes(4)),
    Link(242, {"ipv4": 0x0800, "ipv6": 0x86DD}, lambda n, data: bytes(40) + struct.pack("!HH", n, 0) + data),
    Link(258, just("ethernet"), lambda _, data: struct.pack("<III", 108, 1, 1) + bytes(96) + data),
    Link(276, ETHERTYPES, lambda n, data: struct.pack("!HHIHBBQ", n, 0, 1, 1, 0, 6, 0) + data),
    Link(281, ETHERTYPES, lambda n, data: MACS + bytes(4) + struct.pack("!H", n) + data),
    Link(282, just("ethernet"), lambda _, data: bytes(4) + data),
    Link(284, ETHERTYPES, lambda n, data: MACS + bytes(4) + struct.pack("!H", n) + data),
    Link(285, ETHERTYPES, lambda n, data: MACS + bytes(8) + struct.pack("!H", n) + data),
]


class Frame(NamedTuple):
    """A packet as a capture has it, and how it came about."""

    name: str
    link: int
    data: bytes
    network: bytes


def within(link: Link, inner: Wrapped, path: str) -> Frame:
    name = f"{path}, {link.number}" + (f" ({link.name})" if link.name else "")
    return Frame(name, link.number, link.write(link.takes[inner.kind], inner.data), inner.network)


def shortest(inner: Wrapped, kinds: Mapping[str, int], path: str) -> tuple[Wrapped, str]:
    """Put as few layers as possible around a packet, so that it is one of some kinds."""
    ways = [(inner, path)]
    seen = set[str]()
    while ways:
        more = []
        for packet, way in ways:
            if packet.kind in kinds:
                return packet, way
            for wrapper in WRAPPERS:
                if packet.kind in wrapper.takes and wrapper.makes not in seen:
                    seen.add(wrapper.makes)
                    more.append((wrapper.around(packet), f"{way}, {wrapper.name}"))
        ways = more
    raise LookupError(f"no way from {inner.kind} to {' or '.join(kinds)}")


OUTERMOST: Final = {"prism", "avs"}
"""What is nothing but a link type's."""


def each_wrapper() -> list[Frame]:
    """Return for each wrapper and each kind that it takes a frame of Ethernet."""
    frames = []
    for wrapper in WRAPPERS:
        for kind in wrapper.takes:
            start = six() if kind == "ipv6" or wrapper.name.startswith("Teredo") else four()
            packet, path = shortest(start, {kind: 0}, start.kind)
            packet, path = wrapper.around(packet), f"{path}, {wrapper.name}"
            if wrapper.makes not in OUTERMOST:
                packet, path = shortest(packet, just("ethernet"), path)
                frames.append(within(LINKS[2], packet, path))
    return frames


def each_link() -> list[Frame]:
    """Return for each link type and each kind that it takes a frame."""
    frames = []
    for link in LINKS:
        for kind in link.takes:
            start = six() if kind == "ipv6" else four()
            packet, path = shortest(start, {kind: 0}, start.kind)
            frames.append(within(link, packet, path))
    return frames


def nested(rng: random.Random, depth: int) -> Frame:
    """Return a frame with up to so many random layers."""
    packet = rng.choice([four, six])()
    path = packet.kind
    for _ in range(depth):
        wrapper = rng.choice([wrapper for wrapper in WRAPPERS if packet.kind in wrapper.takes] or WRAPPERS[:1])
        if packet.kind not in wrapper.takes or len(packet.data) > 1000:
            break
        packet = wrapper.around(packet)
        path += f", {wrapper.name}"
    links = [link for link in LINKS if packet.kind in link.takes]
    if not links:  # as of UDP
        packet, path = shortest(packet, just("ethernet"), path)
        links = [LINKS[2]]
    return within(rng.choice(links), packet, path)


FLOW: Final = CLIENT + SERVER + struct.pack("!HH", 40_000, 80)
FLOW6: Final = CLIENT6 + SERVER6 + struct.pack("!HH", 40_000, 80)
