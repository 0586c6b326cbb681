"""A capture made out of a first one: its bytes in other segments.

Pure functions from segments to segments; the same capture always gives the same ones. The rules:

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


# Sequence numbers pass 2**32 in the middle of these bodies.
WRAPPED = Message("response", "GET", "/files/300k.bin"), Message("request", "PUT", "/put/expected.bin")
# The streams of these travel in a VLAN, and with IPv4 options.
TAGGED = Message("request", "GET", "/pipelined/1k.bin")
WITH_OPTIONS = Message("request", "POST", "/post/plain")
VLAN = 42
ROUTER_ALERT = b"\x94\x04\x00\x00"  # RFC 2113
NO_OPERATION = b"\x01\x01\x01\x00"  # three times, and the end of the options: RFC 791
IP_OPTIONS = b"", ROUTER_ALERT, NO_OPERATION, ROUTER_ALERT + NO_OPERATION


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
FRAMING = re.compile(rb"\r\n[0-9a-f]{1,6}\r\n|\r\n\r\n")


def cuts(data: bytes, choices: random.Random) -> list[int]:
    """Return offsets to cut at, with 0 and the end: some pieces of one byte, some cuts within the framing."""
    points = {0, len(data)}
    at = 0
    while (at := at + _length(choices)) < len(data):
        points.add(at)
    for match in FRAMING.finditer(data):
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
