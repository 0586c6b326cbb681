"""What the text of an HTTP/1.x message means: start lines, fields, and which rule frames the body (RFC 9112).

Strict where leniency lets two readers see different messages (request smuggling, RFC 9112, section 11.2): each such
trap is a FrameError. Text is latin-1 that was cut from its line end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bytebufs import FrameError

__all__ = [
    "CHUNKED",
    "UNTIL_CLOSE",
    "Field",
    "Framing",
    "add_field",
    "chunk_size",
    "field_values",
    "is_request_line",
    "is_status_line",
    "request_framing",
    "request_line",
    "response_framing",
    "status_line",
]

Field = tuple[str, str]
"""A name as it was sent, and a value."""

Framing = int
"""A length in bytes, or one of the two below."""

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME: Final = re.compile(_TOKEN)
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) ([^\x00-\x20\x7f]+) (HTTP/1\.[0-9])")
# The space before a reason phrase that is empty is often left out.
_STATUS_LINE: Final = re.compile(r"(HTTP/1\.[0-9]) ([1-9][0-9]{2})(?: [^\x00\r]*)?")
# 20 digits are enough for 64 bits, and far too few for int() to take long.
_LENGTH: Final = re.compile(r"[0-9]{1,20}")
_CHUNK_LINE: Final = re.compile(r"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00\r\n]*)?")


def request_line(line: str) -> tuple[str, str, str]:
    """Return method, target and version (RFC 9112, section 3)."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise FrameError("not a request line")
    return match[1], match[2], match[3]


def status_line(line: str) -> tuple[str, int]:
    """Return version and status (RFC 9112, section 4)."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise FrameError("not a status line")
    return match[1], int(match[2])


def is_request_line(line: str) -> bool:
    """Say whether a request may begin with this line."""
    return _REQUEST_LINE.fullmatch(line) is not None


def is_status_line(line: str) -> bool:
    """Say whether a response may begin with this line."""
    return _STATUS_LINE.fullmatch(line) is not None


def add_field(fields: list[Field], line: str) -> None:
    """Add a field line to those before it, or the continuation of the last one (obsolete folding, section 5.2)."""
    if "\0" in line or "\r" in line:
        raise FrameError("NUL or CR in a field")
    if line[0] in " \t":
        if not fields:
            raise FrameError("white space before the first field")
        name, value = fields.pop()
        fields.append((name, " ".join([value, line.strip(" \t")]).strip(" ")))
        return
    name, colon, value = line.partition(":")
    if not colon:
        raise FrameError("a field without a colon")
    if name[-1:] in (" ", "\t"):
        raise FrameError("white space before the colon of a field")
    if not _NAME.fullmatch(name):
        raise FrameError("a field with an invalid name")
    fields.append((name, value.strip(" \t")))


def field_values(fields: Sequence[Field], name: str) -> list[str]:
    """Return the members of a field that is a list, all its lines taken together; ``name`` is in lower case."""
    lines = [value for found, value in fields if found.lower() == name]
    return [member.strip(" \t") for line in lines for member in line.split(",")]


def request_framing(version: str, fields: Sequence[Field]) -> Framing:
    """Return what ends the body of a request: without a word it has none (RFC 9112, section 6.3)."""
    framing = _declared(version, fields)
    if framing == UNTIL_CLOSE:
        raise FrameError("a request whose last transfer coding is not chunked")
    return 0 if framing is None else framing


def response_framing(version: str, fields: Sequence[Field], status: int, method: str | None) -> Framing:
    """Return what ends the body of a response to a method (RFC 9112, section 6.3)."""
    if method == "HEAD" or status < 200 or status in (204, 304):
        return 0
    framing = _declared(version, fields)
    return UNTIL_CLOSE if framing is None else framing


def chunk_size(line: str) -> int:
    """Return the size that a chunk's first line gives; extensions are passed over (RFC 9112, section 7.1)."""
    match = _CHUNK_LINE.fullmatch(line)
    if match is None:
        raise FrameError("a bad chunk size")
    return int(match[1], 16)


def _declared(version: str, fields: Sequence[Field]) -> Framing | None:
    """Return what the fields say, or None if they say nothing."""
    codings = [coding.lower() for coding in field_values(fields, "transfer-encoding")]
    lengths = field_values(fields, "content-length")
    if not codings:
        return _one_length(lengths) if lengths else None
    if lengths:
        raise FrameError("Content-Length together with Transfer-Encoding")
    if version == "HTTP/1.0":
        raise FrameError("Transfer-Encoding in HTTP/1.0, which has none")  # section 6.1
    if "chunked" not in codings:
        return UNTIL_CLOSE
    if codings.index("chunked") < len(codings) - 1:
        raise FrameError("chunked is not the last transfer coding, or comes twice")
    return CHUNKED


def _one_length(lengths: Sequence[str]) -> int:
    """Return the length on which all agree (RFC 9110, section 8.6)."""
    if not all(map(_LENGTH.fullmatch, lengths)):
        raise FrameError("a Content-Length that is no number")
    if len(set(map(int, lengths))) > 1:
        raise FrameError("Content-Lengths that differ")
    return int(lengths[0])
