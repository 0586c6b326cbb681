"""HTTP: both directions of a connection, a server's requests, and heads that a proxy takes."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from examples.http.message import Leftover, Message
from examples.http_proxy.heads import Answer, Request, read_answer, read_request
from examples.http_proxy.limits import Limits
from examples.web import request as web
from examples.web.range import Unsatisfiable, ranges_in
from examples.web.refused import Refused

from ..example_wire import Event, Gap, Talk, facts
from .inputs import Program, answered, cut

_LIMITS: Final = Limits()
_METHODS: Final = ("GET", "HEAD", "CONNECT", "POST")


def _told(talk: Talk) -> list[object]:
    return [(side, facts(what) if isinstance(what, Message) else what) for side, what in talk.told]


def exchanges(data: bytes) -> None:
    """Parse what two sides said, one after the other: whole, in pieces, and with gaps, where that has to end, too."""
    program = Program(data)
    options, share = program.byte(), program.byte()
    joins = (bool(options & 1), bool(options & 2))
    whole, pieces, _ = cut(program)
    middle = share * (len(whole) + 1) // 256
    said: list[list[Event]] = [[], []]
    at = 0
    for piece in pieces:
        front = max(middle - at, 0)
        said[0].append(piece[:front])
        said[1].append(piece[front:])
        at += len(piece)
    expected = Talk(joins=joins).say(whole[:middle]).hear(whole[middle:]).end()
    found = Talk(joins=joins).say(*said[0]).hear(*said[1]).end()
    if all(isinstance(what, Message) and what.complete for _, what in expected.told):
        assert _told(found) == _told(expected)  # behind what is wrong, the next part may be where a message begins
    turns = Talk(joins=joins)
    for number, piece in enumerate(pieces):
        gap = [Gap(options >> 2)] if options & 4 and number & 1 else []
        turns.say(*gap, piece, side=(number + options) & 1)
        if options & 8:
            turns.exchange.overdue()
    turns.end(first=options >> 4 & 1)
    assert all(isinstance(what, (Message, Leftover)) for _, what in turns.told)


def _requests(pieces: list[bytes]) -> tuple[list[web.Request], object]:
    requests = web.Requests()
    found = []
    try:
        for piece in pieces:
            requests.buffer.append(piece)
            while (request := requests.take()) is not None:
                found.append(request)
    except Refused as error:
        return found, (error.status, error.why)
    return found, len(requests.buffer)


def requests(data: bytes) -> None:
    """Take a server's requests, whole and in pieces; what a proxy would pass on is one request to the server behind."""
    whole, pieces, _ = cut(Program(data))
    expected = _requests([whole])
    assert _requests(pieces) == expected
    for request in expected[0]:
        for value in request.values("range"):
            _check_ranges(value)
    head = whole.decode("latin-1")
    end = head.find("\r\n\r\n") + 4
    passed = answered(partial(read_request, head[:end], _LIMITS), Refused)
    if isinstance(passed, Request):
        found, refused = _requests([head[:end].encode("latin-1")])
        assert len(found) == 1 or not isinstance(refused, int), "one request to a proxy, and not to the server behind"
        assert all(request.method == passed.method for request in found)
    for method in _METHODS:
        answer = answered(partial(read_answer, head[:end], _LIMITS, method), Refused)
        assert not isinstance(answer, Answer) or 100 <= answer.status < 600


def _check_ranges(value: str) -> None:
    for size in (0, 1, 1000):
        with suppress(Unsatisfiable):
            found = ranges_in(value, size)
            assert sum(map(len, found)) <= size
            assert all(0 <= one.start < one.stop <= size for one in found)
