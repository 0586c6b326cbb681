"""Requests of HTTP/1.1 as a server takes them in, line by line and within limits, sans I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, final

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, Reader

from ..http.syntax import Field, add_field, field_values, request_framing, request_line
from .refused import Refused
from .target import check_host, check_target

__all__ = ["Refused", "Request", "Requests"]

MAX_LINE: Final = 8192
"""Bytes of a line: what nginx takes (large_client_header_buffers), and the least that RFC 9112 asks for."""
MAX_HEAD: Final = 32768
MAX_FIELDS: Final = 100
"""Of a head: Apache's LimitRequestFields. A field of 5 bytes would cost more than ten times that in memory."""

_FRAMING: Final = ("content-length", "transfer-encoding")
_OTHER_VERSION: Final = re.compile(r"[^\x00-\x20]+ [^\x00-\x20]+ HTTP/[0-9]\.[0-9]")


@dataclass(slots=True)
class Request:
    """The head of a request."""

    method: str
    target: str
    version: str
    fields: list[Field] = field(default_factory=list)
    has_body: bool = False
    is_last: bool = False
    """Whether the server takes no more of this client."""

    def values(self, name: str) -> list[str]:
        """Return the value of each line of a field."""
        return [value for found, value in self.fields if found.lower() == name]

    def only(self, name: str) -> str | None:
        """Return the value of a field that may stand there once; None if it does not, or does more often."""
        values = self.values(name)
        return values[0] if len(values) == 1 else None

    def joined(self, name: str) -> str | None:
        """Return the value of a field that is a list, its lines put together (RFC 9110, section 5.3)."""
        values = self.values(name)
        return ", ".join(values) if values else None

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection can stay (RFC 9112, section 9.3). A body is never read: it ends the connection."""
        options = [option.lower() for option in field_values(self.fields, "connection")]
        if self.has_body or self.is_last or "close" in options:
            return False
        return self.version != "HTTP/1.0" or "keep-alive" in options


@final
class Requests:
    """Append what comes in to ``buffer``, and take the requests."""

    def __init__(self) -> None:
        self.buffer = CompositeBuffer(coalesce_below=256)  # a part for each byte of a slow sender would be dear
        self._request: Request | None = None
        self._left = MAX_HEAD

    @property
    def is_within_one(self) -> bool:
        """Whether some of a request has come, but not all."""
        return self._request is not None or bool(self.buffer)

    def take(self) -> Request | None:
        """Return the next request, None if it has not come wholly. Raises Refused: then nothing more can be read."""
        while (line := self._take_line()) is not None:
            request = self._request
            if request is None:
                self._request = _started(line) if line else None  # empty lines before it are passed over
            elif line:
                try:
                    add_field(request.fields, line)
                except FrameError:
                    raise Refused(400) from None
                if len(request.fields) > MAX_FIELDS:
                    raise Refused(431)
            else:
                self._request = None
                self._left = MAX_HEAD
                return _checked(request)
        return None

    def _take_line(self) -> str | None:
        # A line at a time: a head that trickles in is not read over and over from its beginning.
        before = len(self.buffer)
        try:
            line = self.buffer.parse(_read_line, limit=min(MAX_LINE, self._left))
        except LimitExceeded:
            raise Refused(414 if self._request is None else 431) from None
        self._left -= before - len(self.buffer)
        return line


def _read_line(r: Reader) -> str:
    return r.line(limit=MAX_LINE).decode("latin-1")


def _started(line: str) -> Request:
    try:
        return Request(*request_line(line))
    except FrameError:
        raise Refused(505 if _OTHER_VERSION.fullmatch(line) else 400) from None


def _checked(request: Request) -> Request:
    """Refuse what two readers could take for different requests (RFC 9112, sections 3.2 and 6.3)."""
    check_host(request.values("host"), request.version)
    check_target(request.method, request.target)
    told = [(name, value) for found, value in request.fields if (name := found.lower()) in _FRAMING]
    if told:
        try:
            request_framing(request.version, request.fields)
        except FrameError:
            raise Refused(400) from None
        # Whatever anybody may take for a body is one: it ends the connection, and what follows is no request.
        request.has_body = any(name != "content-length" or set(value) != {"0"} for name, value in told)
    return request
