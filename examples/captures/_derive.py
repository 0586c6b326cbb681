"""Two captures made out of a first one: its bytes in other segments, and without some of its segments.

Pure functions from segments to segments; the same capture always gives the same ones. Rules for `mangled`:

1. What one side sends until the other answers with bytes of its own is a run. A run is cut anew, wherever the
   old cuts were, but no segment moves out of its run: a response still follows the request that it answers.
2. Segments of a run may overlap their neighbours, change places with those nearby, and come again.
3. Bare acknowledgements within a run go, because they could name bytes that now come later.
4. No byte of any stream changes, and the last word of a run keeps its flags.
"""

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

from examples.captures._frames import (
    FIN,
    MODULUS,
    PSH,
    SYN,
    Flow,
    Segment,
    opposite,
    read_pcap,
    shifted,
    write_pcap,
    write_pcapng,
)

SEED = 20  # of every choice in `mangled`; any number would do
ETHERNET_MINIMUM = 60  # IEEE 802.3: shorter frames are padded, and the padding is not payload
MSS = 1448  # what Ethernet leaves for a segment with time stamps

Conversation = list[Segment]
Kind = Literal["request", "response"]
Where = Literal["head", "body"]


@dataclass(frozen=True, slots=True)
class Message:
    """What a manifest calls a message."""

    kind: Kind
    method: str
    target: str


@dataclass(frozen=True, slots=True)
class Span:
    """Where a message lies: the number of the conversation, the direction, and offsets in its stream."""

    stream: int
    flow: Flow
    head: int
    body: int
    stop: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes `start` to `stop` of a stream which are to be lost, and the message that they belong to."""

    message: Message
    where: Where
    span: Span
    start: int
    stop: int


# Sequence numbers pass 2**32 in the middle of these bodies.
WRAPPED = Message("response", "GET", "/files/300k.bin"), Message("request", "PUT", "/put/expected.bin")
# The streams of these travel in a VLAN, and with IPv4 options.
TAGGED = Message("request", "GET", "/pipelined/1k.bin")
WITH_OPTIONS = Message("request", "POST", "/post/plain")
VLAN = 42
ROUTER_ALERT = b"\x94\x04\x00\x00"  # RFC 2113
NO_OPERATION = b"\x01\x01\x01\x00"  # three times, and the end of the options: RFC 791
IP_OPTIONS = b"", ROUTER_ALERT, NO_OPERATION, ROUTER_ALERT + NO_OPERATION

# Bytes of these are lost.
LENGTH_BODY = Message("response", "GET", "/files/300k.bin")
CHUNKED_BODY = Message("response", "GET", "/chunked/48k.bin")
CLOSED_BODY = Message("response", "GET", "/unframed/24k.bin")
HEAD = Message("response", "GET", "/six/last.txt")
UPLOAD_BODY = Message("request", "POST", "/post/expected")


# Finding


def conversations(segments: Iterable[Segment]) -> list[Conversation]:
    """Sort segments by connection, connections by their first segment."""
    found: dict[Flow, Conversation] = {}
    for segment in segments:
        key = segment.flow if segment.flow in found else opposite(segment.flow)
        if key in found:
            found[key].append(segment)
        else:
            found[segment.flow] = [segment]
    return list(found.values())


def client_of(conversation: Conversation) -> Flow:
    """Return the direction from client to server."""
    first = conversation[0]
    if not first.flags & SYN:
        raise ValueError("the capture does not begin before its first connection; make it again")
    return first.flow


def closed(conversation: Conversation) -> bool:
    """Say whether both sides have ended."""
    return len({segment.flow for segment in conversation if segment.flags & FIN}) == 2


def origin(conversation: Conversation, flow: Flow) -> int:
    """Return the sequence number of the first byte of a direction."""
    return next(s.seq + 1 for s in conversation if s.flow == flow and s.flags & SYN) % MODULUS


def stream_of(conversation: Conversation, flow: Flow) -> bytes:
    """Return all bytes of a direction, of which the capture has each once and in order."""
    due = origin(conversation, flow)
    for segment in conversation:
        if segment.flow == flow and segment.payload:
            if segment.seq != due:
                raise ValueError(f"sequence number {segment.seq} where {due} is due; make the capture again")
            due = (due + len(segment.payload)) % MODULUS
    return b"".join(segment.payload for segment in conversation if segment.flow == flow)


def locate(talks: Sequence[Conversation], message: Message) -> Span:
    """Find a message by the line of its request, and a response by what that request acknowledges."""
    line = f"{message.method} {message.target} HTTP/1.".encode()
    for number, talk in enumerate(talks):
        flow = client_of(talk)
        head = stream_of(talk, flow).find(line)
        if head < 0:
            continue
        if message.kind == "response":
            head, flow = _answered(talk, flow, head), opposite(flow)
        return _span(number, flow, head, stream_of(talk, flow))
    raise ValueError(f"no {message} in the capture")


def _answered(conversation: Conversation, flow: Flow, offset: int) -> int:
    """Return where the answer to the byte at `offset` begins: after all that its segment acknowledges."""
    start = origin(conversation, flow)
    for segment in conversation:
        if segment.flow == flow and segment.payload and offset < (segment.seq - start) % MODULUS + len(segment.payload):
            return (segment.ack - origin(conversation, opposite(flow))) % MODULUS
    raise ValueError(f"the stream ends before its byte {offset}")


def _span(number: int, flow: Flow, head: int, stream: bytes) -> Span:
    body = stream.index(b"\r\n\r\n", head) + 4
    length = re.search(rb"\r\nContent-Length: (\d+)\r\n", stream[head:body])
    return Span(number, flow, head, body, body + int(length[1]) if length else len(stream))


# Cutting, moving, repeating


def mangled_pcapng(loopback: bytes) -> bytes:
    """Return the streams of a pcap as a pcapng in which their segments lie otherwise."""
    return write_pcapng(mangled(read_pcap(loopback)), minimum=ETHERNET_MINIMUM)


def mangled(segments: Sequence[Segment]) -> list[Segment]:
    """Return segments with the same streams, by the rules above."""
    choices = random.Random(SEED)
    talks = conversations(segments)
    for message in WRAPPED:
        span = locate(talks, message)
        talks[span.stream] = wrapped(talks[span.stream], span.flow, (span.body + span.stop) // 2)
    disordered = [disorder(talk, choices) for talk in talks]
    in_vlan, with_options = (locate(talks, message).stream for message in (TAGGED, WITH_OPTIONS))
    disordered[in_vlan] = [replace(segment, vlan=VLAN) for segment in disordered[in_vlan]]
    disordered[with_options] = [
        replace(segment, ip_options=IP_OPTIONS[place % len(IP_OPTIONS)])
        for place, segment in enumerate(disordered[with_options])
    ]
    return sorted((segment for talk in disordered for segment in talk), key=lambda segment: segment.time)


def wrapped(conversation: Conversation, flow: Flow, offset: int) -> Conversation:
    """Move the sequence numbers of `flow` so that the byte at `offset` of its stream has number 0."""
    by = -(origin(conversation, flow) + offset)
    return [shifted(segment, flow, by) for segment in conversation]


def disorder(conversation: Conversation, choices: random.Random) -> Conversation:
    """Cut, reorder and repeat every run of a conversation."""
    groups = runs(conversation)
    ends = [group[0].time for group in groups[1:]] + [conversation[-1].time]
    return [
        segment
        for group, end in zip(groups, ends, strict=True)
        for segment in (disorder_run(group, end, choices) if group[0].payload else group)
    ]


def runs(conversation: Conversation) -> list[Conversation]:
    """Group the data of one direction up to the other's next, without bare segments; others stand alone."""
    groups: list[Conversation] = []
    bare: list[Segment] = []
    for segment in conversation:
        if segment.bare:
            bare.append(segment)
        elif segment.payload and groups and groups[-1][0].payload and groups[-1][0].flow == segment.flow:
            groups[-1].append(segment)
            bare = []
        else:
            groups += [[one] for one in bare] + [[segment]]
            bare = []
    return groups + [[one] for one in bare]


def disorder_run(run: Sequence[Segment], end: int, choices: random.Random) -> Conversation:
    """Return the bytes of a run in other segments, evenly between its first one's time and `end`."""
    first, data = run[0], b"".join(segment.payload for segment in run)
    pieces = schedule(cuts(data, choices), choices)
    step = (end - first.time) // (len(pieces) + 1)
    return [
        replace(
            first,
            time=first.time + place * step,
            seq=(first.seq + start) % MODULUS,
            flags=run[-1].flags if stop == len(data) else first.flags & ~PSH,
            payload=data[start:stop],
        )
        for place, (start, stop) in enumerate(pieces)
    ]


# A chunk's size with the line ends around it, and the end of a head.
_FRAMING = re.compile(rb"\r\n[0-9a-f]{1,6}\r\n|\r\n\r\n")


def cuts(data: bytes, choices: random.Random) -> list[int]:
    """Return offsets to cut at, with 0 and the end: some pieces of one byte, some cuts within the framing."""
    points = {0, len(data)}
    at = 0
    while (at := at + _length(choices)) < len(data):
        points.add(at)
    for match in _FRAMING.finditer(data):
        points.update(point for point in range(match.start() + 1, match.end()) if choices.random() < 0.5)
    return sorted(points)


def _length(choices: random.Random) -> int:
    """Draw a length: one byte, a few, up to one Ethernet frame, or up to a jumbo frame."""
    longest = (1, 40, MSS, MSS, MSS, MSS, 8960)[int(choices.random() * 7)]
    return 1 + int(choices.random() * longest)


def schedule(points: Sequence[int], choices: random.Random) -> list[tuple[int, int]]:
    """Return the pieces between `points` in the order to send them: some wider, some late, some twice."""
    planned: list[tuple[float, int, int]] = []
    for place, (start, stop) in enumerate(pairwise(points)):
        late = choices.random() * 5 if choices.random() < 0.2 else 0.0
        planned.append((place + late, *_widened(start, stop, points[-1], choices)))
        if choices.random() < 0.08:
            planned.append((place + 2 + choices.random() * 10, *_widened(start, stop, points[-1], choices)))
    return [(start, stop) for _, start, stop in sorted(planned)]


def _widened(start: int, stop: int, size: int, choices: random.Random) -> tuple[int, int]:
    """Let one piece in six reach into its neighbours, before or after."""
    reach = int(choices.random() * 300)
    side = choices.random() * 12
    return max(start - reach, 0) if side < 1 else start, min(stop + reach, size) if side > 11 else stop


# Losing


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
    match = _FRAMING.search(stream, (span.body + span.stop) // 2)
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
