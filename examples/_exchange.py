"""The HTTP messages of one TCP stream, in the order in which they belong together."""

from __future__ import annotations

from collections.abc import Iterator

from bytebufs import copy_audit

from ._http1 import RequestParser, ResponseParser
from ._http1_half import HalfParser, Message
from ._tcp import Gap, HalfStream, Stream

__all__ = ["read_messages"]


def read_messages(stream: Stream) -> list[tuple[HalfStream, Message]]:
    """Return the messages of a stream with the half-stream that sent each; a response comes after its request.

    Which side asks is told by what it says. Empty if neither side ever begins a message: not HTTP/1.
    Copies: nothing but the text of heads; what else was copied stands in ``Message.copied``.
    """
    one, other = stream.halves
    return _read_as(stream, one, other) or _read_as(stream, other, one)


def _read_as(stream: Stream, asking: HalfStream, answering: HalfStream) -> list[tuple[HalfStream, Message]]:
    # If the capture begins in mid-stream and the first bytes are an answer, its request is not in the capture.
    unseen = stream.spoke_first is answering and not asking.begins_with_syn
    requests = RequestParser(mid_stream=not asking.begins_with_syn)
    responses = ResponseParser(requests, mid_stream=not answering.begins_with_syn, first=-1 if unseen else 0)
    _feed(requests, asking)
    _feed(responses, answering)
    if not any(message.version for message in (*requests.messages, *responses.messages)):
        return []
    return list(_in_order(asking, requests.messages, answering, responses.messages))


def _feed(parser: HalfParser, half: HalfStream) -> None:
    """Feed all of a half-stream. Copies are charged to the message that is finished next."""
    copied = 0
    for event in half.events():
        finished = len(parser.messages)
        with copy_audit() as audit:
            if isinstance(event, Gap):
                parser.gap(event.nbytes)
            else:
                parser.feed(event)
        copied += audit.hidden
        if len(parser.messages) > finished:
            parser.messages[finished].copied += copied
            copied = 0
    parser.end(half.ending)
    if parser.messages:
        parser.messages[-1].copied += copied


def _in_order(
    asking: HalfStream, requests: list[Message], answering: HalfStream, responses: list[Message]
) -> Iterator[tuple[HalfStream, Message]]:
    done = 0
    for response in responses:
        due = len(requests) if response.answers is None else response.answers + 1
        for request in requests[done:due]:
            yield asking, request
        done = max(done, due)
        yield answering, response
    for request in requests[done:]:
        yield asking, request
