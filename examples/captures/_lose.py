"""A capture made out of a first one: without some of its segments."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

from examples.captures._derive import (
    FRAMING,
    MSS,
    Conversation,
    Message,
    Span,
    Where,
    conversations,
    locate,
    origin,
    stream_of,
)
from examples.captures._frames import FIN, MODULUS, PSH, Segment, read_pcap, write_pcap

# Bytes of these are lost.
LENGTH_BODY = Message("response", "GET", "/files/300k.bin")
CHUNKED_BODY = Message("response", "GET", "/chunked/48k.bin")
CLOSED_BODY = Message("response", "GET", "/unframed/24k.bin")
HEAD = Message("response", "GET", "/six/last.txt")
UPLOAD_BODY = Message("request", "POST", "/post/expected")


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes `start` to `stop` of a stream which are to be lost, and the message that they belong to."""

    message: Message
    where: Where
    span: Span
    start: int
    stop: int


def lossy_pcap(loopback: bytes) -> tuple[bytes, list[Hole]]:
    """Return a pcap in segments of Ethernet's size without some of them, and what is missing."""
    talks = conversations(read_pcap(loopback))
    holes = plan_holes(talks)
    kept: list[Segment] = []
    for number, talk in enumerate(talks):
        kept += lose(talk, [hole for hole in holes if hole.span.stream == number])
    return write_pcap(sorted(kept, key=lambda segment: segment.time)), holes


def plan_holes(talks: Sequence[Conversation]) -> list[Hole]:
    """Choose holes after which there is one answer only to what is whole.

    A body with a length: its end is known, so what follows on the connection is whole. A chunked body whose
    hole takes a chunk's size, one that the end of the connection ends, and a head: where they end is lost, so
    each is the last of its connection.
    """
    return [
        _hole(talks, LENGTH_BODY, "body", MSS * 3),
        _hole(talks, UPLOAD_BODY, "body", MSS),
        _hole(talks, CLOSED_BODY, "body", 1000),
        _hole_in_framing(talks, CHUNKED_BODY),
        _hole(talks, HEAD, "head", 40),
    ]


def _hole(talks: Sequence[Conversation], message: Message, where: Where, length: int) -> Hole:
    span = locate(talks, message)
    first, last = (span.head, span.body) if where == "head" else (span.body, span.stop)
    start = (first + last - length) // 2
    return Hole(message, where, span, start, start + length)


def _hole_in_framing(talks: Sequence[Conversation], message: Message) -> Hole:
    """Choose a hole around the first chunk's size in the second half of a body."""
    span = locate(talks, message)
    stream = stream_of(talks[span.stream], span.flow)
    match = FRAMING.search(stream, (span.body + span.stop) // 2)
    if match is None:
        raise ValueError(f"{message} has no chunk in its second half")
    return Hole(message, "body", span, match.start() - MSS // 2, match.end() + MSS // 2)


def lose(conversation: Conversation, holes: Sequence[Hole]) -> Conversation:
    """Cut a conversation at every `MSS` and at the edges of the holes, and leave out what lies in a hole."""
    starts = {flow: origin(conversation, flow) for flow in {segment.flow for segment in conversation}}
    kept = []
    for segment in conversation:
        offset = (segment.seq - starts[segment.flow]) % MODULUS
        mine = [(hole.start - offset, hole.stop - offset) for hole in holes if hole.span.flow == segment.flow]
        pieces = recut(segment, [edge for hole in mine for edge in hole])
        inside = partial(_inside, mine)
        kept += [piece for at, piece in pieces if not (piece.payload and inside(at))]
    return kept


def _inside(holes: Sequence[tuple[int, int]], at: int) -> bool:
    return any(start <= at < stop for start, stop in holes)


def recut(segment: Segment, edges: Iterable[int]) -> list[tuple[int, Segment]]:
    """Cut a segment at every `MSS` and at `edges`; each piece comes with its offset."""
    size = len(segment.payload)
    points = sorted({0, size, *range(0, size, MSS), *(edge for edge in edges if 0 < edge < size)})
    return [
        (
            start,
            replace(
                segment,
                seq=(segment.seq + start) % MODULUS,
                flags=segment.flags if stop == size else segment.flags & ~(PSH | FIN),
                payload=segment.payload[start:stop],
            ),
        )
        for start, stop in pairwise(points)
    ] or [(0, segment)]
