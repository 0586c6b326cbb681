"""What is in the captures, as the clients saw it: contents of loopback.json and lossy.json."""

import gzip
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from examples.captures import _site
from examples.captures._derive import Conversation, Message, client_of, conversations, stream_of
from examples.captures._frames import endpoint, opposite, read_pcap
from examples.captures._lose import Hole
from examples.captures._site import Exchange

Json = dict[str, object]

_HEAD = re.compile(rb"HTTP/1\.[01] (?:.+\r\n)+\r\n")


@dataclass(frozen=True, slots=True)
class Outcome:
    """An exchange as the client saw it: its port, the heads and trailers it got, and the de-chunked body."""

    exchange: Exchange
    port: int
    heads: bytes
    body: bytes

    @property
    def head(self) -> bytes:
        """The last head: that of the final response."""
        return bytes(_HEAD.findall(self.heads)[-1])

    @property
    def status(self) -> int:
        """The final status."""
        return _status(self.head)

    @property
    def interim(self) -> list[int]:
        """The status of each response before the final one."""
        return [_status(head) for head in _HEAD.findall(self.heads)[:-1]]

    @property
    def trailers(self) -> list[list[str]]:
        """The fields after the last chunk."""
        lines = self.heads.rpartition(self.head)[2].decode().splitlines()
        return [line.split(": ", 1) for line in lines if line]

    @property
    def sent(self) -> bytes:
        """The body of the request."""
        return _site.contents()[self.exchange.upload] if self.exchange.upload else b""


def _status(head: bytes) -> int:
    return int(head.split()[1])


def manifest(outcomes: Iterable[Outcome], capture: bytes, *, made_with: Mapping[str, str]) -> Json:
    """Describe every connection and every exchange."""
    talks = conversations(read_pcap(capture))
    return {
        "capture": "loopback.pcap",
        "made_with": dict(made_with),
        "streams": [_stream(number, talk) for number, talk in enumerate(talks)],
        "exchanges": [_exchange(number, outcome) for number, outcome in _ordered(outcomes, talks)],
    }


def lossy_manifest(outcomes: Iterable[Outcome], capture: bytes, holes: Iterable[Hole]) -> Json:
    """Sort the messages of `capture` into those that holes damage and those that they leave whole."""
    damaged = {hole.message: _damaged(hole) for hole in holes}
    whole: list[Json] = []
    for number, outcome in _ordered(outcomes, conversations(read_pcap(capture))):
        whole += [entry for message, entry in _messages(number, outcome).items() if message not in damaged]
    return {
        "capture": "lossy.pcap",
        "derived_from": "loopback.pcap",
        "damaged": list(damaged.values()),
        "whole": whole,
    }


def _ordered(outcomes: Iterable[Outcome], talks: Iterable[Conversation]) -> list[tuple[int, Outcome]]:
    """Put outcomes in the order of their streams, and give each the number of its stream."""
    numbers = {client_of(talk)[1]: number for number, talk in enumerate(talks)}
    return sorted(((numbers[outcome.port], outcome) for outcome in outcomes), key=lambda pair: pair[0])


def _stream(number: int, talk: Conversation) -> Json:
    """Describe a connection; to read its streams shows that the capture has all of them."""
    flow = client_of(talk)
    return {
        "stream": number,
        "client": endpoint(*flow[:2]),
        "server": endpoint(*flow[2:]),
        "client_bytes": len(stream_of(talk, flow)),
        "server_bytes": len(stream_of(talk, opposite(flow))),
    }


def _exchange(number: int, outcome: Outcome) -> Json:
    response: Json = {"framing": response_framing(outcome), **_digest(outcome.body)}
    if b"\r\nContent-Encoding: gzip\r\n" in outcome.head and outcome.body:
        response |= {"coding": "gzip", "decoded": _digest(gzip.decompress(outcome.body))}
    return {
        "stream": number,
        "method": outcome.exchange.method,
        "target": outcome.exchange.target,
        "request": {"framing": request_framing(outcome.exchange), **_digest(outcome.sent)},
        "interim": outcome.interim,
        "status": outcome.status,
        "response": {**response, "trailers": outcome.trailers},
    }


def _messages(number: int, outcome: Outcome) -> dict[Message, Json]:
    request = Message("request", outcome.exchange.method, outcome.exchange.target)
    response = Message("response", outcome.exchange.method, outcome.exchange.target)
    return {
        request: {**_name(number, request), **_digest(outcome.sent)},
        response: {**_name(number, response), "status": outcome.status, **_digest(outcome.body)},
    }


def _damaged(hole: Hole) -> Json:
    start = hole.span.body if hole.where == "body" else hole.span.head
    place = {"where": hole.where, "offset": hole.start - start, "lost": hole.stop - hole.start}
    return {**_name(hole.span.stream, hole.message), **place}


def _name(number: int, message: Message) -> Json:
    return {"stream": number, "kind": message.kind, "method": message.method, "target": message.target}


def _digest(body: bytes) -> Json:
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def request_framing(exchange: Exchange) -> str:
    """Say what ends a request's body."""
    if exchange.upload is None:
        return "none"
    return "chunked" if exchange.stdin or "Transfer-Encoding: chunked" in exchange.options else "length"


def response_framing(outcome: Outcome) -> str:
    """Say what ends a response's body (RFC 9112, section 6.3)."""
    if outcome.exchange.method == "HEAD" or outcome.status in (204, 304):
        return "none"
    if b"\r\nTransfer-Encoding: chunked\r\n" in outcome.head:
        return "chunked"
    return "length" if b"\r\nContent-Length: " in outcome.head else "close"
