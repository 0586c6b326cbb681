"""The connections of examples/captures, with losses, disorder, doubles and strays: nothing whole is lost or invented.

What stands in the mutated segments is computed from the streams of loopback.pcap, which are known byte by byte, by
code that shares none with the program. A message has to be found if all its bytes are there and it begins at the front
of a part, at the known beginning of a stream, or behind a message that was found, as far as that ends for certain.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from functools import cache
from itertools import chain, dropwhile, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from bytebufs import SliceBuffer
from examples.http.capture import read_packets
from examples.http.message import Message
from examples.http.numbers import LEAST_WINDOW
from examples.http.packets import ACK, FIN, RST, SYN, Segment, SegmentReader, turned
from examples.http.reassembly import Found, Reassembly
from examples.http.tcp import PATIENCE, Ending

from .conftest import PROFILE
from .example_segments import Event, Played

CAPTURES: Final = Path(__file__).parent.parent / "examples" / "captures"
NAMES: Final = ["loopback.pcap", "mangled.pcapng", "lossy.pcap"]
RUNS: Final = {"quick": 50, "short": 300, "ci": 2_000, "long": 100_000}[PROFILE]
"""Of each capture."""
LEAST_FAR: Final = 100_000_000
"""Beyond all windows in the captures, which are of 65 495 bytes shifted by 10."""
STRAY: Final = b"GET /stray HTTP/1.1\r\n\r\n"
SHUFFLED: Final = 60_000
"""Bytes of a stream that may come in any order: there is no window so small."""


What = tuple[str, bytes, bytes]
"""Of which kind a message is, its head, its body."""


# -- what there is


class Known(NamedTuple):
    """A message of a stream."""

    kind: str
    head: bytes
    body: bytes
    start: int
    stop: int
    needs_end: bool
    """Whether the end of the connection ends it."""
    is_to_head: bool

    @property
    def what(self) -> What:
        return self.kind, self.head, self.body


class Talk(NamedTuple):
    """A connection of a capture, from its client on."""

    flow: bytes
    segments: Sequence[Segment]
    isns: tuple[int, int]
    streams: tuple[bytes, bytes]
    messages: tuple[list[Known], list[Known]]

    def side(self, segment: Segment) -> int:
        return int(segment.flow != self.flow)

    def at(self, segment: Segment) -> int:
        """Return the place in the stream at which its bytes stand."""
        return (segment.seq + bool(segment.flags & SYN) - self.isns[self.side(segment)] - 1) % 2**32


def message_at(stream: bytes, at: int, kind: str, method: bytes) -> Known:
    """Read one message, of which all is right."""
    stop = stream.index(b"\r\n\r\n", at) + 4
    head = stream[at:stop]
    line, *fields = head[:-4].split(b"\r\n")
    named = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
    body = b""
    status = line.split(b" ")[1] if kind == "response" else b""
    needs_end = False
    if method == b"HEAD" or status[:1] == b"1" or status in (b"204", b"304"):
        pass
    elif b"transfer-encoding" in named:
        size = 1
        while size:
            data = stream.index(b"\r\n", stop) + 2
            size = int(stream[stop:data].partition(b";")[0], 16)
            body += stream[data : data + size]
            stop = data + size + 2 if size else data
        while stream[stop : stop + 2] != b"\r\n":
            stop = stream.index(b"\r\n", stop) + 2
        stop += 2
    elif b"content-length" in named or kind == "request":
        body = stream[stop : stop + int(named.get(b"content-length", b"0"))]
        stop += len(body)
    else:
        needs_end, body, stop = True, stream[stop:], len(stream)
    return Known(kind, head, body, at, stop, needs_end, method == b"HEAD")


def messages_of(streams: tuple[bytes, bytes]) -> tuple[list[Known], list[Known]]:
    requests: list[Known] = []
    while not requests or requests[-1].stop < len(streams[0]):
        requests.append(message_at(streams[0], requests[-1].stop if requests else 0, "request", b""))
    responses: list[Known] = []
    for request in requests:
        while True:
            at = responses[-1].stop if responses else 0
            responses.append(message_at(streams[1], at, "response", request.head.split(b" ")[0]))
            if not responses[-1].head.split(b" ")[1].startswith(b"1"):
                break
    assert responses[-1].stop == len(streams[1])
    return requests, responses


def connections_in(name: str) -> dict[bytes, list[Segment]]:
    reader = SegmentReader()
    found: dict[bytes, list[Segment]] = {}
    for packet in read_packets(SliceBuffer((CAPTURES / name).read_bytes())):
        segment = reader.read(packet)
        assert isinstance(segment, Segment)
        found.setdefault(segment.flow if turned(segment.flow) not in found else turned(segment.flow), []).append(
            segment
        )
    return found


@cache
def talks(name: str) -> list[Talk]:
    whole = connections_in(NAMES[0])
    made = []
    for flow, segments in connections_in(name).items():
        streams = tuple(
            b"".join(bytes(segment.payload) for segment in whole[flow] if segment.flow == side)
            for side in (flow, turned(flow))
        )
        isns = tuple(
            next(segment.seq for segment in segments if segment.flags & SYN and segment.flow == side)
            for side in (flow, turned(flow))
        )
        assert len(streams) == len(isns) == 2
        made.append(Talk(flow, segments, isns, streams, messages_of(streams)))
    return made


# -- what is done to it


class Mutated(NamedTuple):
    """A talk of which some is missing, and some is more."""

    talk: Talk
    segments: list[Segment]
    strays: list[Segment]
    is_in_order: bool


def stray(talk: Talk, choices: random.Random) -> Segment:
    """Return a segment that lies outside of every window."""
    side = choices.randrange(2)
    flags = choices.choice([ACK, ACK, FIN | ACK, SYN, SYN | ACK, RST, RST | ACK])
    payload = b"" if flags & (SYN | RST) else choices.choice([b"", b"\0", STRAY, bytes(1000)])
    return Segment(
        0,
        talk.flow if side == 0 else turned(talk.flow),
        talk.segments[0].network,
        (talk.isns[side] + choices.choice([-1, 1]) * choices.randrange(LEAST_FAR, 1 << 31)) % 2**32,
        (talk.isns[1 - side] + choices.randrange(LEAST_FAR, (1 << 32) - LEAST_FAR)) % 2**32,
        flags,
        choices.randrange(65_536),
        None,
        SliceBuffer(payload),
        0,
    )


def probe(talk: Talk, segment: Segment, choices: random.Random) -> Segment:
    """Return a keep-alive probe of a side that has sent a segment and nothing behind it."""
    end = segment.seq + len(segment.payload) + bool(segment.flags & SYN)
    byte = b"\0" if segment.payload and choices.random() < 0.5 else b""
    return segment._replace(seq=(end - 1) % 2**32, flags=ACK, payload=SliceBuffer(byte), scale=None)


def wrong_fin(segment: Segment, choices: random.Random, segments: Sequence[Segment]) -> Segment:
    """Return a FIN inside the window, behind which there are bytes, and of which no acknowledgement tells."""
    ends = {(one.seq + len(one.payload)) % 2**32 for one in segments if one.flow == segment.flow}
    places = [(segment.seq + at) % 2**32 for at in range(len(segment.payload))]
    places = [place for place in places if (place + 1) % 2**32 not in ends] or [(segment.seq - 10**9) % 2**32]
    return segment._replace(seq=choices.choice(places), flags=FIN | ACK, payload=SliceBuffer(b""))


def mutate(talk: Talk, choices: random.Random, *, keeps_handshake: bool) -> Mutated:
    """Lose, double, disorder and add segments, but lose no more at once than any window allows."""
    while True:
        mutated = mutate_once(talk, choices, keeps_handshake=keeps_handshake)
        pieces = [[(0, 0), *pieces_of(mutated, side)] for side in range(2)]
        if all(start - stop < LEAST_WINDOW for spans in pieces for (_, stop), (start, _) in pairwise(spans)):
            return mutated


def mutate_once(talk: Talk, choices: random.Random, *, keeps_handshake: bool) -> Mutated:
    segments = list(talk.segments)
    head = segments[:3] if keeps_handshake else []
    rate = choices.choice([0, 0, 0, 0.02, 0.1, 0.4])
    segments = head + [segment for segment in segments[len(head) :] if choices.random() >= rate]
    if choices.random() < 0.2 and not keeps_handshake:
        del segments[: choices.randrange(len(segments) // 2 + 1)]
    if choices.random() < 0.2:
        lost_side = choices.randrange(2)
        only = choices.choice([FIN, SYN, 0])
        segments = head + [
            s for s in segments[len(head) :] if talk.side(s) != lost_side or (only and not s.flags & only)
        ]
    segments = segments or [talk.segments[0]]
    doubles = [choices.choice(segments) for _ in range(choices.choice([0, 0, 1, 5, 40]))]
    disorder = choices.choice(["none", "none", "near", "all"])
    if disorder == "all" and (keeps_handshake or max(map(len, talk.streams)) > SHUFFLED):
        disorder = "near"
    order = [(float(n), segment) for n, segment in enumerate(segments)]
    if disorder == "all":
        order = [(choices.random(), segment) for segment in [*segments, *doubles]]
    else:
        places = {id(segment): n for n, segment in enumerate(segments)}
        order += [
            (places[id(segment)] + choices.random() * choices.choice([2, 9, 1e9]), segment) for segment in doubles
        ]
        if disorder == "near":
            order = [(place + (choices.random() * 6 if place >= 3 else 0), segment) for place, segment in order]
    order.sort(key=lambda pair: pair[0])
    mutated = [segment for _, segment in order]
    strays = [stray(talk, choices) for _ in range(choices.choice([0, 0, 1, 3, 12]))]
    opens = [(segment.flags & SYN, talk.side(segment)) for segment in mutated[:2]] == [(SYN, 0), (SYN, 1)]
    known = 0 if opens else where_both_are_known(talk, mutated)
    for one in strays:
        mutated.insert(choices.randrange(known, len(mutated) + 1), one)
    if disorder == "none" and not doubles:
        for _ in range(choices.choice([0, 0, 2])):
            place = choices.randrange(len(mutated))
            before = mutated[place]
            if before in strays or before.flags & (FIN | RST):
                continue
            mutated.insert(place + 1, probe(talk, before, choices))
    for _ in range(choices.choice([0, 0, 2])):
        with_bytes = [segment for segment in segments if segment.payload]
        if with_bytes:
            mutated.insert(
                choices.randrange(len(mutated) + 1), wrong_fin(choices.choice(with_bytes), choices, talk.segments)
            )
    return Mutated(talk, mutated, strays, disorder == "none" and not doubles)


def where_both_are_known(talk: Talk, segments: Sequence[Segment], strays: Container[int] = ()) -> int:
    """Return the place behind the first number of either side: before, a stray may be taken for the connection."""
    sides: set[int] = set()
    for place, segment in enumerate(segments):
        if len(sides) == 2:
            return place
        if (segment.payload or segment.flags & SYN) and id(segment) not in strays:
            sides.add(talk.side(segment))
    return len(segments)


def moved(talk: Talk, onto: Talk, network: bytes, choices: random.Random) -> Talk:
    """Return a connection with the addresses and ports of another, and other numbers."""
    shifts = [choices.randrange(2**32) for _ in range(2)]
    while any(
        min((isn + shift - other) % 2**32, (other - isn - shift) % 2**32) < LEAST_FAR
        for isn, shift, other in zip(talk.isns, shifts, onto.isns, strict=True)
    ):
        shifts = [choices.randrange(2**32) for _ in range(2)]
    segments = [
        segment._replace(
            flow=onto.flow if talk.side(segment) == 0 else turned(onto.flow),
            network=network,
            seq=(segment.seq + shifts[talk.side(segment)]) % 2**32,
            ack=(segment.ack + shifts[1 - talk.side(segment)]) % 2**32 if segment.flags & ACK else 0,
        )
        for segment in talk.segments
    ]
    isns = (talk.isns[0] + shifts[0]) % 2**32, (talk.isns[1] + shifts[1]) % 2**32
    return Talk(onto.flow, segments, isns, talk.streams, talk.messages)


# -- what has to come of it


def pieces_of(mutated: Mutated, side: int) -> list[tuple[int, int]]:
    """Return the places in a stream whose bytes are there, in order and joined."""
    talk = mutated.talk
    strays = {id(one) for one in mutated.strays}
    spans = sorted(
        (talk.at(segment), talk.at(segment) + len(segment.payload))
        for segment in mutated.segments
        if id(segment) not in strays and talk.side(segment) == side and segment.payload and talk.at(segment) < 2**31
    )
    joined: list[tuple[int, int]] = []
    for start, stop in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def events_for(mutated: Mutated, side: int) -> list[list[Event]]:
    """Return what a half-stream may bring: from its beginning on, if that is known, or from the first byte there is."""
    stream = mutated.talk.streams[side]
    pieces = pieces_of(mutated, side)
    if not pieces:
        return [[]]
    events: list[Event] = [stream[slice(*pieces[0])]]
    for (_, before), (start, stop) in pairwise(pieces):
        events += [start - before, stream[start:stop]]
    return [events, [pieces[0][0], *events]] if pieces[0][0] else [events]


def has_end(mutated: Mutated, side: int) -> bool:
    """Whether the FIN is there that the side has sent, and not before all that shows that there is a connection."""
    talk = mutated.talk
    shown = dropwhile(lambda segment: not segment.payload and not segment.flags & SYN, mutated.segments)
    return any(
        segment.flags & FIN
        and talk.side(segment) == side
        and talk.at(segment) + len(segment.payload) == len(talk.streams[side])
        for segment in shown
    )


def is_whole(mutated: Mutated) -> bool:
    """Whether all bytes are there, and it is known that they are."""
    talk = mutated.talk
    syns = {segment.flow for segment in mutated.segments if segment.flags & SYN and talk.at(segment) == 0}
    return len(syns) == 2 and all(pieces_of(mutated, side) == [(0, len(talk.streams[side]))] for side in range(2))


def is_uncertain(mutated: Mutated) -> bool:
    """Whether a response may be taken for one to HEAD, or the reverse: without its request that cannot be told."""
    return any(message.is_to_head for message in mutated.talk.messages[1]) and not is_whole(mutated)


def demanded(mutated: Mutated, side: int, fronts: set[int]) -> list[Known]:
    """Return the messages that have to be found."""
    if side and is_uncertain(mutated):
        return []
    pieces = pieces_of(mutated, side)
    messages: list[Known] = []
    for message in mutated.talk.messages[side]:
        is_there = any(start <= message.start and message.stop <= stop for start, stop in pieces)
        follows = bool(messages) and messages[-1].stop == message.start
        if is_there and (message.start in fronts or follows) and (not message.needs_end or has_end(mutated, side)):
            messages.append(message)
    return messages


# -- what comes of it


class Outcome(NamedTuple):
    played: Played
    found: list[Found]
    reassembly: Reassembly


def outcome_of(segments: Sequence[Segment], jump: int | None) -> Outcome:
    """Read segments, once without HTTP, and once with; before one of them many other packets come."""
    numbered = [
        segment._replace(number=number + (0 if jump is None or number <= jump else 3 * PATIENCE))
        for number, segment in enumerate(segments, 1)
    ]
    played = Played()
    reassembly = Reassembly()
    found: list[Found] = []
    for segment in numbered:
        played.connections.add(segment)
        reassembly.connections.add(segment)
        found += reassembly.taken()
    played.end()
    found += reassembly.end()
    return Outcome(played, found, reassembly)


def what_of(message: Message) -> What:
    return message.kind, bytes(message.head), bytes(message.body)


def check_streams(outcome: Outcome, all_mutated: Sequence[Mutated]) -> dict[tuple[int, int], set[int]]:
    """See that each side has brought what is there, and nothing else; return the places where parts begin."""
    halves = [
        (half.flow, sink)
        for stream, sinks in zip(outcome.played.streams, outcome.played.sinks, strict=True)
        for half, sink in zip(stream.halves, sinks, strict=True)
        if sink.parts
    ]
    fronts: dict[tuple[int, int], set[int]] = {}
    for number, mutated in enumerate(all_mutated):
        for side, flow in enumerate((mutated.talk.flow, turned(mutated.talk.flow))):
            allowed = events_for(mutated, side)
            if not allowed[0]:
                fronts[number, side] = set()
                continue
            is_closed = has_end(mutated, side) and pieces_of(mutated, side)[-1][1] == len(mutated.talk.streams[side])
            found = [
                sink
                for other, sink in halves
                if other == flow
                and bytes_and_gaps(sink.events) in allowed
                and (not is_closed or sink.events[-1] is Ending.CLOSED)
            ]
            found.sort(key=lambda sink: (sink.events[-1] is Ending.CLOSED) is not is_closed)  # two may be alike
            assert found, (side, allowed[0][:1], [(sink.events) for other, sink in halves if other == flow])
            halves.remove((flow, found[0]))
            at = 0 if isinstance(found[0].told[0], int) else pieces_of(mutated, side)[0][0]
            places = set()
            for told in found[0].told:
                if isinstance(told, SliceBuffer):
                    places.add(at)
                at += told if isinstance(told, int) else 0 if isinstance(told, Ending) else len(told)
            fronts[number, side] = places
    others = {bytes(one.payload) for mutated in all_mutated for one in mutated.strays}
    for _, sink in halves:
        assert {event for event in sink.events if isinstance(event, bytes)} <= others, sink.events
    return fronts


def bytes_and_gaps(events: Sequence[Event]) -> list[Event]:
    """Return events up to the last bytes."""
    kept: list[Event] = [event for event in events if not isinstance(event, Ending)]
    return kept[:-1] if kept and isinstance(kept[-1], int) else kept


def is_some_of(some: bytes, whole: bytes) -> bool:
    """Whether bytes can be had by leaving some out."""
    if whole.startswith(some):
        return True
    rest = iter(whole)
    return all(byte in rest for byte in some)


def check_messages(outcome: Outcome, all_mutated: Sequence[Mutated], fronts: dict[tuple[int, int], set[int]]) -> None:
    """See that nothing whole is missing, and nothing invented."""
    complete: Counter[What] = Counter()
    for found in outcome.found:
        if isinstance(found.what, Message):
            if found.what.complete:
                complete[what_of(found.what)] += 1
            elif found.what.body and not (found.what.kind == "response" and any(map(is_uncertain, all_mutated))):
                assert any(
                    message.head.endswith(what_of(found.what)[1]) and is_some_of(bytes(found.what.body), message.body)
                    for mutated in all_mutated
                    for message in chain(*mutated.talk.messages)
                )
    known: Counter[What] = Counter()
    wanted: Counter[What] = Counter()
    for number, mutated in enumerate(all_mutated):
        known.update(message.what for message in chain(*mutated.talk.messages))
        for side in range(2):
            wanted.update(message.what for message in demanded(mutated, side, fronts[number, side]))
    assert not wanted - complete, wanted - complete
    invented = complete - known
    for what in list(invented):
        if what[1] == STRAY or (what[0] == "response" and any(map(is_uncertain, all_mutated))):
            del invented[what]
        elif any(message.head.endswith(what[1]) for mutated in all_mutated for message in mutated.talk.messages[0]):
            del invented[what]  # a segment began inside of a start line: ET is a method, too
    assert not invented, invented


def check_counts(outcome: Outcome, all_mutated: Sequence[Mutated]) -> None:
    """See that all bytes are accounted for."""
    counts = outcome.reassembly.counts
    told = [one for sinks in outcome.played.sinks for sink in sinks for one in sink.told]
    assert counts.fed == sum(len(one) for one in told if isinstance(one, SliceBuffer))
    assert counts.missing == sum(one for one in told if isinstance(one, int))
    assert (counts.strays, counts.stray_bytes) == outcome.played.strays
    sizes = {
        message.what: message.stop - message.start
        for mutated in all_mutated
        for message in chain(*mutated.talk.messages)
    }
    taken = 0
    is_exact = True
    for found in outcome.found:
        if isinstance(message := found.what, Message):
            is_chunked = any(name.lower() == "transfer-encoding" for name, _ in message.headers)
            # (Without bytes in its body it may have been read as the answer to a HEAD, and its chunks as no message.)
            if is_chunked and message.complete and message.body and what_of(message) in sizes:
                taken += sizes[what_of(message)]
            else:
                is_exact = is_exact and not is_chunked
                taken += len(message.head) + len(message.body)
    rest = counts.fed - counts.other - counts.unparsed - taken
    assert rest == 0 if is_exact else rest >= 0, rest


def check(segments: Sequence[Segment], all_mutated: Sequence[Mutated], jump: int | None = None) -> None:
    outcome = outcome_of(segments, jump)
    fronts = check_streams(outcome, all_mutated)
    check_messages(outcome, all_mutated, fronts)
    check_counts(outcome, all_mutated)


# -- the properties


def seeds(name: str, count: int) -> Iterable[tuple[int, random.Random, Talk]]:
    """Yield choices and a connection; small ones more often."""
    known = talks(name)
    weights = [1 / (20 + len(talk.segments)) for talk in known]
    for seed in range(count):
        choices = random.Random(f"{name} {seed}")
        yield seed, choices, choices.choices(known, weights)[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_right_about_what_nothing_is_done_to(name: str) -> None:
    for talk in talks(name):
        mutated = Mutated(talk, list(talk.segments), [], True)
        check(mutated.segments, [mutated])
        if name != "lossy.pcap":
            assert is_whole(mutated)
            found = [each.message for each in outcome_of(mutated.segments, None).found]
            assert sorted(map(what_of, found)) == sorted(message.what for message in chain(*talk.messages))


@pytest.mark.parametrize("name", NAMES)
def test_one_connection(name: str) -> None:
    for seed, choices, talk in seeds(name, RUNS):
        mutated = mutate(talk, choices, keeps_handshake=False)
        jump = None
        if mutated.is_in_order and name != "mangled.pcapng":
            strays = {id(one) for one in mutated.strays}
            known = where_both_are_known(talk, mutated.segments, strays)
            jump = choices.randrange(known, len(mutated.segments) + 1)
        try:
            check(mutated.segments, [mutated], jump)
        except AssertionError as error:
            error.add_note(f"{name}, seed {seed}, connection {talks(name).index(talk)}")
            raise


@pytest.mark.parametrize("name", NAMES)
def test_two_connections_with_the_same_addresses(name: str) -> None:
    """In two networks at the same time, or on the same ports one after the other."""
    for seed, choices, talk in seeds(name, RUNS // 3):
        one = mutate(moved(talk, talk, b"\0\0\0\1", choices), choices, keeps_handshake=True)
        other_network = choices.choice([b"\0\0\0\1", b"\0\0\0\2"])
        other = moved(choices.choice(talks(name)[3:]), one.talk, other_network, choices)
        two = mutate(other, choices, keeps_handshake=True)
        if other_network == b"\0\0\0\1":
            segments = one.segments + two.segments
        else:
            order = [0] * len(one.segments) + [1] * len(two.segments)
            choices.shuffle(order)
            each = iter(one.segments), iter(two.segments)
            segments = [next(each[which]) for which in order]
        try:
            check(segments, [one, two])
        except AssertionError as error:
            error.add_note(f"{name}, seed {seed}")
            raise
