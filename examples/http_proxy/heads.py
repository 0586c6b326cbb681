"""Heads: requests and answers as they are understood. What two readers could understand as two things is not passed on.

Stricter than RFC 9112 lets a server be, as what is forwarded has two readers (request smuggling, section 11.2):

1. A line ends with CR LF, and holds no other control character but tabs (sections 2.2 and 5.5).
2. No line is a continuation of the one before (section 5.2).
3. There is one Content-Length, of one number, or ``Transfer-Encoding: chunked``, not both (section 6.3).
4. There is one Host, and the target has the form that goes with the method (section 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, final

from bytebufs import FrameError

from ..http.syntax import (
    Field,
    Framing,
    add_field,
    field_values,
    request_body,
    request_line,
    response_body,
    status_line,
)
from ..web.refused import Refused
from ..web.target import check_host, check_target, origin_form
from .limits import Limits
from .waiting import Side, nothing

__all__ = ["Answer", "Request", "read_answer", "read_fields", "read_request", "take_head"]

IDEMPOTENT: Final = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
"""Methods that may be repeated (RFC 9110, section 9.2.2), of those that are forwarded."""
_NOT_FORWARDED: Final = frozenset(["CONNECT", "TRACE"])
"""There is one server behind, and what it would see of a request is nobody else's (RFC 9110, section 9.3.8)."""

_OTHER_VERSION: Final = re.compile(r"[^ ]+ [^ ]+ HTTP/(?!1\.)[0-9]\.[0-9]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST_OF: Final = re.compile(r"https?://([^/?]*)", re.IGNORECASE)


@dataclass(slots=True)
class _Head:
    version: str
    fields: list[Field] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Return the value of each line of a field, named in lower case."""
        return [value for found, value in self.fields if found.lower() == name]

    @property
    def options(self) -> list[str]:
        """What is said of the connection."""
        return [option.lower() for option in field_values(self.fields, "connection")]

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection stays (RFC 9112, section 9.3)."""
        options = self.options
        return "close" not in options and (self.version != "HTTP/1.0" or "keep-alive" in options)


@final
@dataclass(slots=True)
class Request(_Head):
    """A request that can be forwarded."""

    method: str = ""
    target: str = ""
    framing: Framing = 0

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be sent once more, and can be: a body is not kept."""
        return self.framing == 0 and self.method in IDEMPOTENT

    @property
    def expects(self) -> bool:
        """Whether the client waits for 100 before it sends the body (RFC 9110, section 10.1.1)."""
        return self.version != "HTTP/1.0" and any(value.lower() == "100-continue" for value in self.values("expect"))

    @property
    def upgrade(self) -> str | None:
        """The protocols that may be switched to. HTTP/2 is none of them: its requests would go by unseen."""
        protocols = field_values(self.fields, "upgrade")
        if self.version == "HTTP/1.0" or self.framing or "upgrade" not in self.options or not protocols:
            return None
        return None if any(protocol.lower().startswith("h2") for protocol in protocols) else ", ".join(protocols)


@final
@dataclass(slots=True)
class Answer(_Head):
    """The head of an answer."""

    status: int = 0
    line: str = ""
    """Status and reason, as they were sent."""
    framing: Framing = 0


async def take_head(side: Side, limit: int, *, seconds: float, moved: Callable[[], object] = nothing) -> str | None:
    """Take a head, the empty line at its end included. None: the side has ended before its first byte.

    Raises LimitExceeded, and Failed as the side does.
    """
    buffer = side.stream.buffer
    while (head := buffer.take_until(b"\n\r\n", b"\n\n", limit=limit, keepends=True)) is None:
        if not await side.more(seconds=seconds, moved=moved):
            if buffer:
                raise side.cut_off("in the middle of a head")
            return None
    return head.decode("latin-1")


def read_request(head: str, limits: Limits) -> Request:
    """Understand a request. Raises Refused."""
    line, fields = _read(head, limits, 400)
    try:
        method, target, version = request_line(line)
    except FrameError:
        raise Refused(505 if _OTHER_VERSION.fullmatch(line) else 400, why="not a request line") from None
    request = Request(version, fields, method, target)
    check_host(request.values("host"), version)
    check_target(method, target)
    if method in _NOT_FORWARDED:
        raise Refused(501, why=f"{method} is not forwarded")
    request.framing, fault = request_body(version, fields)
    if fault is not None:
        raise Refused(400, why=fault)
    _check_framing(request, Refused(400, why="a Content-Length that is a list"), 501)
    if 0 < limits.body < request.framing:
        raise Refused(413, why=f"more than {limits.body} bytes")
    _find_host(request)
    return request


def read_answer(head: str, limits: Limits, method: str) -> Answer:
    """Understand an answer to a method. Raises Refused: what is wrong with it is not the client's to see."""
    line, fields = _read(head, limits, 502)
    try:
        version, status = status_line(line)
    except FrameError:
        raise Refused(502, why="the answer has no status line") from None
    if not 100 <= status < 600:
        raise Refused(502, why=f"the answer has a status of {status}")
    answer = Answer(version, fields, status, line.partition(" ")[2])
    answer.framing, fault = response_body(version, fields, status, method)
    if fault is not None:
        raise Refused(502, why=f"the answer has {fault}")
    _check_framing(answer, Refused(502, why="the answer has a Content-Length that is a list"), 502)
    return answer


def read_fields(text: str, most: int, status: int) -> list[Field]:
    """Read the lines of fields. Raises Refused with this status, or 431."""
    lines = text.split("\r\n") if text else []
    if len(lines) > most:
        raise Refused(431 if status < 500 else status, why=f"more than {most} fields")
    fields: list[Field] = []
    for line in lines:
        try:
            if _CONTROL.search(line):
                raise FrameError("a control character, or a line that does not end with CR LF")
            if line[:1] in ("", " ", "\t"):
                raise FrameError("a line that continues the one before")
            add_field(fields, line)
        except FrameError as error:
            raise Refused(status, why=error.reason) from None
    return fields


def _read(head: str, limits: Limits, status: int) -> tuple[str, list[Field]]:
    """Return the start line, and the fields."""
    if not head.endswith("\r\n\r\n"):
        raise Refused(status, why="a line that does not end with CR LF")
    line, _, rest = head[:-4].partition("\r\n")
    if _CONTROL.search(line):
        raise Refused(status, why="a control character, or a line that does not end with CR LF")
    return line, read_fields(rest, limits.fields, status)


def _check_framing(head: Request | Answer, several: Refused, status: int) -> None:
    """Refuse what is right, but could be read otherwise, or cannot be read here."""
    lengths = head.values("content-length")
    if len(lengths) > 1 or (lengths and not lengths[0].isdecimal()):
        raise several
    codings = head.values("transfer-encoding")
    if codings and [coding.lower() for coding in codings] != ["chunked"]:
        raise Refused(status, why="a transfer coding that is not chunked alone")


def _find_host(request: Request) -> None:
    """Have a request for its host, in the form for a server (RFC 9112, sections 3.2.1 and 3.2.2)."""
    match = _HOST_OF.match(request.target)
    if match is None:
        return
    request.fields = [("Host", match[1]), *(one for one in request.fields if one[0].lower() != "host")]
    path = origin_form(request.target)
    if request.method == "OPTIONS" and not path:
        request.target = "*"
    else:
        request.target = path if path.startswith("/") else f"/{path}"
