"""The answer to a request for a file: RFC 9110, sections 13 and 14. The body is made of ranges of the file."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, NamedTuple

from bytebufs import CompositeBuffer

from ..http.syntax import Field
from .date import http_date
from .files import Resource, Site
from .range import Unsatisfiable, ranges_in
from .refused import Refused
from .request import Request

__all__ = ["Answer", "answer_to", "refusal_of"]

METHODS: Final = ("GET", "HEAD")
_OTHER_METHODS: Final = ("CONNECT", "DELETE", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_ETAG: Final = re.compile(r'[ \t]*(?:,[ \t]*)*(W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,|$)')


class Answer(NamedTuple):
    """A message to send, and whether the connection ends with it."""

    message: CompositeBuffer
    closes: bool


def answer_to(request: Request, site: Site) -> Answer:
    """Return the answer to a request. The body stays in its file."""
    try:
        if request.method not in METHODS:
            known = request.method in _OTHER_METHODS
            raise Refused(405, ("Allow", ", ".join(METHODS))) if known else Refused(501)
        resource = site.open(request.target)
        status = precondition(request, resource)
        if status == HTTPStatus.OK:
            return _content(request, resource)
        if status == HTTPStatus.NOT_MODIFIED:
            return _made(request, status, _validators(resource))
        raise Refused(status)
    except Refused as refused:
        return refusal_of(refused, request)


def refusal_of(refused: Refused, request: Request | None = None) -> Answer:
    """Return an error, or a redirection, in words. Without a request it is the last answer of the connection."""
    reason = f": {refused.why}" if refused.why else ""
    text = f"{refused.status} {HTTPStatus(refused.status).phrase}{reason}\n".encode()
    fields = [*refused.fields, ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(text)))]
    return _made(request, refused.status, fields, CompositeBuffer([text]))


def _content(request: Request, resource: Resource) -> Answer:
    """Answer with the file, or with the ranges of it that were asked for."""
    region = resource.region
    size = len(region)
    try:
        ranges = _ranges(request, resource)
    except Unsatisfiable:
        raise Refused(416, ("Content-Range", f"bytes */{size}"), ("Accept-Ranges", "bytes")) from None
    fields = [*_validators(resource), ("Accept-Ranges", "bytes")]
    if len(ranges) > 1:
        boundary = secrets.token_hex(16)
        kind = f"multipart/byteranges; boundary={boundary}"
        body = _multipart(resource, ranges, boundary)
    else:
        kind = resource.type
        body = CompositeBuffer([region[ranges[0].start : ranges[0].stop] if ranges else region])
        if ranges:
            fields.append(_content_range(ranges[0], size))
    fields += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    return _made(request, HTTPStatus.PARTIAL_CONTENT if ranges else HTTPStatus.OK, fields, body)


def _made(request: Request | None, status: int, fields: Sequence[Field], body: CompositeBuffer | None = None) -> Answer:
    closes = request is None or not request.keeps_alive
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if closes or (request is not None and request.version == "HTTP/1.0"):
        lines.append(f"Connection: {'close' if closes else 'keep-alive'}")
    message = CompositeBuffer(["\r\n".join([*lines, "", ""]).encode("latin-1")])
    if body is not None and (request is None or request.method != "HEAD"):
        message.append(body)
    return Answer(message, closes)


def _validators(resource: Resource) -> list[Field]:
    return [("Last-Modified", resource.last_modified), ("ETag", resource.etag)]


# -- conditions (RFC 9110, section 13.2.2) ---------------------------------------------------------------------


def precondition(request: Request, resource: Resource) -> int:
    """Return 200, 304 or 412, as the conditions of a request ask for."""
    if (tags := request.joined("if-match")) is not None:
        if not _matches(tags, resource.etag, weakly=False):
            return HTTPStatus.PRECONDITION_FAILED
    elif (since := _date(request.only("if-unmodified-since"))) is not None and resource.modified > since:
        return HTTPStatus.PRECONDITION_FAILED
    if (tags := request.joined("if-none-match")) is not None:
        if _matches(tags, resource.etag, weakly=True):
            return HTTPStatus.NOT_MODIFIED
    elif (since := _date(request.only("if-modified-since"))) is not None and resource.modified <= since:
        return HTTPStatus.NOT_MODIFIED
    return HTTPStatus.OK


def _matches(tags: str, etag: str, *, weakly: bool) -> bool:
    """Whether one of a list of tags is that of the resource; what cannot be read matches nothing."""
    if tags == "*":
        return True
    opaque = etag.removeprefix("W/")
    strong = opaque == etag
    place = 0
    while match := _ETAG.match(tags, place):
        if match[2] == opaque and (weakly or (strong and not match[1])):
            return True
        place = match.end()
    return False


def _date(value: str | None) -> int | None:
    """Return the seconds since the epoch of a date in one of the three formats; None if it is no date."""
    return None if value is None else http_date(value, datetime.now(UTC))


# -- ranges (RFC 9110, section 14) -----------------------------------------------------------------------------


def _ranges(request: Request, resource: Resource) -> list[range]:
    value = request.joined("range")
    if value is None or request.method != "GET" or not _is_same(request, resource):
        return []
    return ranges_in(value, len(resource.region))


def _is_same(request: Request, resource: Resource) -> bool:
    """Whether the ranges belong to what the client has the rest of (If-Range, RFC 9110, section 13.1.5)."""
    condition = request.only("if-range")
    if condition is None:
        return request.joined("if-range") is None
    if condition.startswith(('"', "W/")):
        return condition == resource.etag and not condition.startswith("W/")
    # A date is strong only if the file has not changed in the second that it names.
    recent = datetime.now(UTC).timestamp() - resource.modified < 2
    return _date(condition) == resource.modified and not recent


def _content_range(span: range, size: int) -> Field:
    return "Content-Range", f"bytes {span.start}-{span.stop - 1}/{size}"


def _multipart(resource: Resource, ranges: Sequence[range], boundary: str) -> CompositeBuffer:
    """Put several ranges together, each behind a head of its own (RFC 9110, section 14.6)."""
    body = CompositeBuffer()
    for span in ranges:
        name, value = _content_range(span, len(resource.region))
        head = f"\r\n--{boundary}\r\nContent-Type: {resource.type}\r\n{name}: {value}\r\n\r\n"
        body.extend([head.encode("latin-1"), resource.region[span.start : span.stop]])
    body.append(f"\r\n--{boundary}--\r\n".encode("ascii"))
    return body
