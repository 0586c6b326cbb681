"""Captures and packets: what comes of a file is the same wherever its memory is cut, and errors are documented ones."""

from __future__ import annotations

from typing import Final

from bytebufs import SliceBuffer
from examples.http.capture import CaptureError, Packet, read_packets
from examples.http.message import Leftover, Message
from examples.http.packets import Segment, SegmentReader
from examples.http.reassembly import Found, Reassembly

from ..example_layers import LINKS
from ..example_wire import facts
from .inputs import Program, cut, joined, said

LINK_TYPES: Final = sorted({link.number for link in LINKS})
"""Link types with a layer of their own."""


def _packets(file: SliceBuffer) -> tuple[list[Packet], object]:
    packets = []
    try:
        for packet in read_packets(file):
            packets.append(packet)
            assert packet.start + len(packet.data) <= len(file)
    except CaptureError as error:
        return packets, said(error)
    return packets, None


def _spelled(found: Segment | object) -> object:
    """Return what a packet holds, its payload as bytes."""
    return (*found[:-2], found.payload.tobytes(), found.cut) if isinstance(found, Segment) else found


def _segments(packets: list[Packet]) -> list[object]:
    reader = SegmentReader()
    found = []
    for packet in packets:
        found.append(_spelled(reader.read(packet)))
        found += map(_spelled, reader.waiting)
        reader.waiting.clear()
    return [*found, reader.joined, len(reader.left())]


def _told(found: Found) -> object:
    what = found.what
    told = facts(what) if isinstance(what, Message) else what
    return told, found.stream, found.flow, found.src, found.dst, found.moment, found.before


def _messages(packets: list[Packet]) -> tuple[list[object], object]:
    reassembly = Reassembly()
    found = [*reassembly.read(packets), *reassembly.end()]
    counts = reassembly.counts
    assert counts.packets == len(packets)
    kept = sum(len(one.what.head) + len(one.what.body) for one in found if isinstance(one.what, Message))
    left = sum(one.what.nbytes for one in found if isinstance(one.what, Leftover))
    assert kept + left <= counts.fed + counts.other
    return [_told(one) for one in found], counts


def captures(data: bytes) -> None:
    """Read a capture file, in one piece and in several, and all that is in it."""
    whole, pieces, _ = cut(Program(data))
    packets, error = _packets(SliceBuffer(whole))
    others, other_error = _packets(joined(pieces))
    assert (others, other_error) == (packets, error)
    assert _segments(others) == _segments(packets)
    assert _messages(others) == _messages(packets)


def packets(data: bytes) -> None:
    """Read the layers of some packets, each behind its size, in one piece and in several."""
    program = Program(data)
    link, extra = LINK_TYPES[program.below(len(LINK_TYPES))], program.byte()
    _, pieces, _ = cut(program)
    file = joined(pieces)
    found: list[Packet] = []
    others: list[Packet] = []
    at = 0
    while at < len(file):
        start, stop = at + 1, min(at + 1 + file[at], len(file))
        number = len(found) + 1
        found.append(Packet(number, link, file[start:stop], stop - start + extra, start, float(number)))
        piece = SliceBuffer(file[start:stop].tobytes())
        others.append(Packet(number, link, piece, stop - start + extra, start, float(number)))
        at = stop
    assert _segments(found) == _segments(others)
