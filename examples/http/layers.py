"""What the layers of a packet have in common: where the reading of it has got to, and how a layer names the next.

A layer is a function: it reads its header at a `Place`, moves on to what the header is in front of, and returns the key
of that, a kind of number and a value: `(ETHERTYPE, 0x0800)`, `(PROTOCOL, 6)`. One table, in `packets`, has the function
of each key that is known. A layer that is the last one returns why, a `Skipped`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from bytebufs import SliceBuffer

from .names import Skipped

__all__ = ["Damaged", "Fragment", "Key", "Layer", "Place", "ip_version", "network_tag", "skip", "typed"]

# Kinds of numbers that say what comes next, as `names` writes them.
LINK: Final = "link type"
ETHERTYPE: Final = "EtherType"
SAP: Final = "LLC service access point"
SNAP: Final = "SNAP organization"
NLPID: Final = "NLPID"
PPP: Final = "PPP protocol"
PROTOCOL: Final = "IP protocol"
PORT: Final = "UDP port"
NEXT: Final = "NSH protocol"
INNER: Final = "inner layer"
"""Of no registry: the numbers are given out here."""

WITHIN_ETHERNET: Final = (LINK, 1)
WITHIN_IPV4: Final = (ETHERTYPE, 0x0800)
WITHIN_IPV6: Final = (ETHERTYPE, 0x86DD)
WITHIN_MPLS: Final = (ETHERTYPE, 0x8847)
WITHIN_GRE: Final = (PROTOCOL, 47)
LLC: Final = (INNER, 0)
WITHIN_PPP: Final = (INNER, 1)
AGGREGATE: Final = (INNER, 2)
"""Several frames of 802.11 in one."""
A_FRAGMENT: Final = (INNER, 3)
"""Of IP; there is no layer for it."""

# What has numbers of its own in `Segment.network`.
VLAN: Final = 1
SERVICE: Final = 2
VXLAN: Final = 3
GENEVE: Final = 4

Key = tuple[str, int]


class Damaged(Exception):
    """A header contradicts itself."""


class Fragment(NamedTuple):
    """A piece of an IP datagram. It can be pickled."""

    number: int
    """Of the packet in the capture."""
    time: float
    network: bytes
    addresses: bytes
    """Source and destination."""
    ident: bytes
    """The identification; in IPv4 with the protocol."""
    protocol: int
    """Of what the datagram carries; in IPv6 only the first piece's counts."""
    offset: int
    more: bool
    """Whether others follow."""
    size: int
    """Bytes on the wire."""
    data: SliceBuffer
    """What was captured of them."""


class Place:
    """How far the reading of a packet has got."""

    __slots__ = ("addresses", "at", "data", "fragment", "later", "network", "stop")

    def __init__(self, data: SliceBuffer, at: int, stop: int, network: bytes = b"", addresses: bytes = b"") -> None:
        self.data = data
        """What was captured, up to the end of the layer."""
        self.at = at
        """Where the next header begins."""
        self.stop = stop
        """Where the layer stopped on the wire, which may lie beyond what was captured."""
        self.network = network
        """What tells apart networks with the same addresses."""
        self.addresses = addresses
        """Source and destination of the innermost IP header."""
        self.fragment: tuple[bytes, int, int, bool] = b"", 0, 0, False
        """Of a fragment: identification, protocol, offset, and whether more follow."""
        self.later: list[tuple[Key, Place]] = []
        """What else the packet has, to be read when this is through."""

    def take(self, form: Struct) -> tuple[Any, ...]:
        """Unpack what is here, and move behind it. Raises Underrun if the layer is shorter."""
        values = self.data.unpack_from(form, self.at)
        self.at += form.size
        return values

    def look(self, form: Struct) -> tuple[Any, ...]:
        """Unpack what is here."""
        return self.data.unpack_from(form, self.at)

    def narrow(self, stop: int) -> None:
        """End the layer at an offset, which may be beyond what was captured."""
        self.stop = stop
        if stop < len(self.data):
            self.data = self.data[: max(stop, 0)]

    def tag(self, kind: int, number: int) -> None:
        """Remember a number that tells networks apart."""
        self.network += network_tag(kind, number)


@lru_cache(maxsize=1 << 13)  # VLANs are 4,094
def network_tag(kind: int, number: int) -> bytes:
    """Return what `Segment.network` has of a number of up to 24 bits. VLAN 0 is none: the tag has a priority alone."""
    return (kind << 24 | number).to_bytes(4, "big") if number or kind != VLAN else b""


Layer = Callable[[Place], Key | Skipped]

U8: Final = Struct("!B")
U16: Final = Struct("!H")
U32: Final = Struct("!I")


def skip(size: int, following: Key) -> Layer:
    """Return a layer of a header that has nothing of use, `size` bytes long."""

    def layer(place: Place) -> Key:
        place.at += size
        return following

    return layer


def typed(before: int, after: int = 0) -> Layer:
    """Return a layer of which no more than an EtherType is of use, behind and before so many bytes."""

    def layer(place: Place) -> Key:
        (kind,) = place.data.unpack_from(U16, place.at + before)
        place.at += before + 2 + after
        return ETHERTYPE, kind

    return layer


def ip_version(place: Place) -> Key | None:
    """Tell IPv4 from IPv6, or from neither, by the first bits, where nothing else does."""
    (first,) = place.look(U8)
    return _VERSIONS.get(first >> 4)


_VERSIONS: Final = {4: WITHIN_IPV4, 6: WITHIN_IPV6}
