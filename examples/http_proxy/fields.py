"""Fields: what concerns one connection only is taken out before a head is sent on, and what a proxy adds is put in."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from ipaddress import IPv6Address
from typing import Final

from ..http.syntax import CHUNKED, UNTIL_CLOSE, Field, Framing, field_values
from ..web.refused import Refused
from .heads import Answer, Request

__all__ = ["answer_head", "end_to_end", "lines_of", "request_head"]

NAME: Final = "bytebufs"
"""What the proxy calls itself in Via (RFC 9110, section 7.6.3)."""

_HOP_BY_HOP: Final = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "http2-settings"]
)
"""RFC 9110, section 7.6.1. What frames the body is put in again."""
_FRAMING: Final = frozenset(["content-length", "transfer-encoding"])
_NEVER_DROPPED: Final = frozenset(["host"])
"""A Connection field that names this would have another request arrive (RFC 9110, section 7.6.1)."""
_NOT_IN_TRAILERS: Final = _FRAMING | {"host", "trailer", "content-encoding", "content-type", "content-range"}
"""RFC 9110, section 6.5.1: who puts trailers to the other fields would frame, or route, by them."""


def end_to_end(fields: Sequence[Field], *, trailers: bool = False) -> list[Field]:
    """Return the fields that are for more than one connection, without the length of the body."""
    dropped = _HOP_BY_HOP | _FRAMING
    named = {option.lower() for option in field_values(fields, "connection")}
    dropped |= named - _NEVER_DROPPED
    if trailers:
        dropped |= _NOT_IN_TRAILERS
    return [one for one in fields if one[0].lower() not in dropped]


def lines_of(fields: Sequence[Field], start: str | None = None) -> bytes:
    """Return a head, or trailers: a start line, if there is one, fields, an empty line."""
    lines = [] if start is None else [start]
    lines += [f"{name}: {value}" for name, value in fields]
    return "".join([f"{line}\r\n" for line in [*lines, ""]]).encode("latin-1")


def request_head(request: Request, client: str, upstream: str) -> bytes:
    """Return the head of a request as the server behind gets it. ``client`` is an address, ``upstream`` a host.

    Raises Refused if it may not go on (Max-Forwards).
    """
    fields = end_to_end(request.fields)
    hosts = [value for name, value in fields if name.lower() == "host"]
    if not hosts:
        fields.insert(0, ("Host", upstream))  # HTTP/1.0 need not have it
    if request.version == "HTTP/1.0":
        fields = [one for one in fields if one[0].lower() != "expect"]  # nothing to it there (RFC 9110, section 10.1.1)
    if request.method == "OPTIONS":
        fields = _one_hop_less(fields)
    fields += _framed(request.framing, request.values("content-length"))
    if request.upgrade is not None:
        fields += [("Connection", "upgrade"), ("Upgrade", request.upgrade)]
    fields = _appended(fields, "X-Forwarded-For", client)
    host = (hosts or [upstream])[0]
    fields = _appended(fields, "Forwarded", f'for={_node(client)};host="{host}";proto=http')
    fields = _appended(fields, "Via", f"{request.version.removeprefix('HTTP/')} {NAME}")
    return lines_of(fields, f"{request.method} {request.target} HTTP/1.1")


def answer_head(answer: Answer, request: Request, *, keeps: bool) -> bytes:
    """Return the head of an answer as the client gets it, who keeps the connection or does not."""
    fields = end_to_end(answer.fields)
    lengths = answer.values("content-length")
    if answer.framing == 0 and (answer.status < 200 or answer.status == 204):
        lengths = []  # RFC 9110, section 8.6
    if not (answer.framing == CHUNKED and request.version == "HTTP/1.0"):
        fields += _framed(answer.framing, lengths)
    if answer.status == 101:
        fields += [("Connection", "upgrade"), ("Upgrade", ", ".join(answer.values("upgrade")))]
    elif answer.status >= 200:
        if not answer.values("date"):
            fields.append(("Date", formatdate(usegmt=True)))  # RFC 9110, section 6.6.1
        if not keeps:
            fields.append(("Connection", "close"))
        elif request.version == "HTTP/1.0":
            fields.append(("Connection", "keep-alive"))
    fields = _appended(fields, "Via", f"{answer.version.removeprefix('HTTP/')} {NAME}")
    return lines_of(fields, f"HTTP/1.1 {answer.line}")


def _framed(framing: Framing, lengths: list[str]) -> list[Field]:
    """Return the field that frames a body. A length is told also where there is no body: as to HEAD."""
    if framing == CHUNKED:
        return [("Transfer-Encoding", "chunked")]
    if framing == UNTIL_CLOSE:
        return []
    return [("Content-Length", length.lstrip("0") or "0") for length in lengths[:1]]


def _appended(fields: list[Field], name: str, member: str) -> list[Field]:
    """Return fields with a member behind those of a list, which then is one line."""
    lower = name.lower()
    members = [value for found, value in fields if found.lower() == lower and value]
    return [*(one for one in fields if one[0].lower() != lower), (name, ", ".join([*members, member]))]


def _node(client: str) -> str:
    """Return an address as Forwarded wants it (RFC 7239, section 6)."""
    return f'"[{IPv6Address(client)}]"' if ":" in client else client


def _one_hop_less(fields: list[Field]) -> list[Field]:
    """Return fields that allow for this hop (RFC 9110, section 7.6.2). Raises Refused: it was the last one."""
    found: list[Field] = []
    for name, value in fields:
        if name.lower() == "max-forwards" and value.isdecimal():
            hops = value.lstrip("0")[:9]
            if not hops:
                raise Refused(200, why="this is the proxy")
            value = str(int(hops) - 1)  # noqa: PLW2901
        found.append((name, value))
    return found
