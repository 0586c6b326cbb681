"""A capture file that is read as if it were alone, in parts that can be put together with those of other files."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import inf
from pathlib import Path
from typing import Final

from bytebufs import SliceBuffer

from .capture import CaptureError, Packet, read_packets
from .captures import map_file, seldom_collected
from .layers import Fragment
from .packets import SYN, Segment, SegmentReader, Skipped, turned
from .reassembly import Counts, Found, Reassembly
from .report import Row, Wanted, row_of

__all__ = ["FileRead", "Part", "pair_of", "read_file", "segments_of"]

_PLACE: Final = 5
"""Numbers that tell where a packet is: its own, link type, offset in the file, captured and original length."""


@dataclass(slots=True)
class Part:
    """What is between two endpoints in a file, from one time when no connection was there to the next."""

    pair: bytes
    """A name of its endpoints."""
    begins: bool
    """Whether its first packet is a SYN."""
    packets: list[Packet | Segment] = field(default_factory=list)
    places: array[int] = field(default_factory=partial(array, "q"))
    """Where they are, _PLACE numbers each, of a part that may have begun in another file, or go on in one."""
    segments: list[Segment] = field(default_factory=list)
    """Those of them that are not in one packet, or not alone."""
    first: int = 0
    last: float = inf
    """The numbers of the first packet and of the one at which it was over."""
    rows: list[Row] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    openings: list[tuple[float, int]] = field(default_factory=list)
    """What tells its streams apart, and orders them."""

    def keep(self) -> None:
        """Note where the packets are."""
        for packet in self.packets:
            if isinstance(packet, Segment):
                self.segments.append(packet)
            else:
                self.places.extend(_place(packet))

    def holds(self, segment: Segment, before: int) -> bool:
        """Whether a segment is of this part, whose numbers go on behind those `before`."""
        return pair_of(segment.flow) == self.pair and self.first <= segment.number - before <= self.last

    @property
    def is_open(self) -> bool:
        """Whether more may follow in another file."""
        return self.last == inf


@dataclass(slots=True)
class FileRead:
    """What is in a file. Packets are numbered from 1."""

    counts: Counts
    parts: dict[bytes, list[Part]]
    """By their endpoints, in order."""
    left: list[Fragment]
    error: CaptureError | OSError | None


def read_file(path: Path, wanted: Wanted) -> FileRead:
    """Read a file as if it were alone."""
    reader = _FileReader(wanted)
    error: CaptureError | OSError | None = None
    try:
        with seldom_collected():
            reader.read(map_file(path))
    except (CaptureError, OSError) as reason:
        error = reason
    left = reader.finish()
    return FileRead(reader.reassembly.counts, reader.parts, left, error)


class _FileReader:
    """Sorts what is found in a file into parts, and notes where the packets of those are that others may go on with."""

    def __init__(self, wanted: Wanted) -> None:
        self.parts: dict[bytes, list[Part]] = {}
        self.reassembly = Reassembly(self._over)
        self._wanted = wanted
        self._current: dict[bytes, Part] = {}
        self._ended: list[bytes] = []

    def read(self, file: SliceBuffer) -> None:
        """Read all packets. Raises CaptureError."""
        reassembly = self.reassembly
        reader, connections, ready = reassembly.reader, reassembly.connections, reassembly.ready
        current, add, is_due, waiting = self._current, connections.add, connections.is_due, reader.waiting
        number = joined = 0
        try:
            for packet in read_packets(file):
                number = packet.number
                one = reader.read(packet)
                if type(one) is Segment:
                    if is_due(number):
                        self._keep(reassembly.wait_until(number))
                    part = current.get(one.flow) or self._begun(one)
                    if reader.joined == joined:
                        part.packets.append(packet)
                    else:
                        joined = reader.joined
                        part.packets.append(one)
                    add(one)
                    if ready:
                        self._keep(reassembly.taken())
                elif one is not None:
                    reassembly.skip(one)
                if waiting:
                    self._take_from(waiting)
        finally:
            reassembly.counts.packets = number

    def _take_from(self, waiting: list[Segment | Skipped]) -> None:
        for one in waiting:
            if isinstance(one, Segment):
                (self._current.get(one.flow) or self._begun(one)).packets.append(one)
                self.reassembly.connections.add(one)
                self._keep(self.reassembly.taken())
            else:
                self.reassembly.skip(one)
        waiting.clear()

    def _begun(self, segment: Segment) -> Part:
        pair = pair_of(segment.flow)
        part = Part(pair, begins=bool(segment.flags & SYN), first=segment.number)
        self._current[segment.flow] = self._current[turned(segment.flow)] = part
        self.parts.setdefault(pair, []).append(part)
        return part

    def finish(self) -> list[Fragment]:
        """Take in that the file ends, and return the fragments that are left."""
        reassembly = self.reassembly
        left = reassembly.reader.left()
        still_open = list({id(part): part for part in self._current.values()}.values())
        for part in still_open:
            part.keep()
        self._keep(reassembly.wait_until(inf))  # as it would be if nothing followed
        self._keep(reassembly.end())
        for part in still_open:
            part.last = inf
        for first, *_ in self.parts.values():
            if not first.begins and not first.is_open:
                first.keep()
        for part in chain.from_iterable(self.parts.values()):
            part.packets.clear()
        return left

    def _keep(self, found: Iterable[Found]) -> None:
        """Give what was found to its part, and close those of which nothing is left."""
        for one in found:
            self._current[one.flow].rows.append(row_of(one, self._wanted))
        for flow in self._ended:
            part = self._current.get(flow)
            if part is not None and not self.reassembly.connections.is_live(flow):
                part.last = self.reassembly.connections.now
                del self._current[flow], self._current[turned(flow)]
                if part.begins or self.parts[part.pair][0] is not part:
                    part.packets.clear()
        self._ended.clear()

    def _over(self, flow: bytes, opened: tuple[float, int], counts: Counts) -> None:
        part = self._current[flow]
        part.counts.add(counts)
        part.openings.append(opened)
        self._ended.append(flow)


def segments_of(file: SliceBuffer, part: Part, before: int) -> Iterator[Segment]:
    """Read the segments of a part again, whose numbers go on behind those `before`. Raises no error: it was told."""
    for segment in part.segments:
        yield segment._replace(number=segment.number + before)
    reader = SegmentReader()
    if not part.places:  # it seemed to be complete
        yield from _between(file, part, before)
    for at in range(0, len(part.places), _PLACE):
        number, link_type, start, size, original = part.places[at : at + _PLACE]
        found = reader.read(Packet(number + before, link_type, file[start : start + size], original, start, 0.0))
        if isinstance(found, Segment):
            yield found
        reader.waiting.clear()  # it is among the segments


def _between(file: SliceBuffer, part: Part, before: int) -> Iterator[Segment]:
    reader = SegmentReader()
    with suppress(CaptureError):
        for packet in read_packets(file, before):
            for one in (reader.read(packet), *reader.waiting):
                if isinstance(one, Segment) and part.holds(one, before):
                    yield one
            reader.waiting.clear()


def pair_of(flow: bytes) -> bytes:
    """Return a name of the two endpoints that is the same in both directions."""
    return min(flow, turned(flow))


def _place(packet: Packet) -> tuple[int, ...]:
    return packet.number, packet.link_type, packet.start, len(packet.data), packet.original_length
