"""What the text of an HTTP/1.x message means: start lines, fields, and which rule frames the body (RFC 9112).

Where leniency lets two readers see different messages (request smuggling, RFC 9112, section 11.2) there is a fault to
tell: a server refuses such a message, and who only looks on goes on by the rule that the RFC names. Text is latin-1
that was cut from its line end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from bytebufs import FrameError

__all__ = [
    "CHUNKED",
    "MAX_METHOD",
    "METHODS",
    "UNKNOWN",
    "UNTIL_CLOSE",
    "Field",
    "Framing",
    "Kind",
    "add_field",
    "can_begin",
    "chunk_size",
    "field_values",
    "kind_of",
    "read_field",
    "request_body",
    "request_framing",
    "request_line",
    "response_body",
    "shape_of",
    "status_line",
]

Field = tuple[str, str]
"""A name as it was sent, and a value."""

Framing = int
"""A length in bytes, or one of the three below."""

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
UNKNOWN: Final = -3
"""No rule tells where the message ends."""

Kind: TypeAlias = Literal["request", "response"]

MAX_METHOD: Final = 64
"""Characters of a method; the longest that is registered has 17."""
METHODS: Final = frozenset(
    (
        *("ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD"),
        *("LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE"),
        *("MOVE", "OPTIONS", "ORDERPATCH", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PUT", "REBIND", "REPORT"),
        *("SEARCH", "TRACE", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF"),
        *("VERSION-CONTROL"),
    )
)
"""Those that are registered with IANA (RFC 9110, section 16.1)."""


def _begun(word: str) -> str:
    """Return a pattern for each beginning of a word."""
    return "|".join(re.escape(word[:size]) for size in range(len(word) + 1))


_TOKEN_CHARACTERS = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
_TOKEN = rf"[{_TOKEN_CHARACTERS}]+"
_NAME: Final = re.compile(_TOKEN)
_METHOD: Final = rf"[{_TOKEN_CHARACTERS}]{{1,{MAX_METHOD}}}"
_REQUEST_LINE: Final = re.compile(rf"({_METHOD}) ([^\x00-\x20\x7f]+) (HTTP/1\.[0-9])")
# The space before a reason phrase that is empty is often left out.
_STATUS_LINE: Final = re.compile(r"(HTTP/1\.[0-9]) ([0-9]{3})(?: .*)?")
# 20 digits that count are enough for 64 bits, and far too few for int() to take long.
_LENGTH: Final = re.compile(r"0*[0-9]{1,20}")
_CHUNK_LINE: Final = re.compile(r"0*([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\x00\r\n]*)?")

# What start lines look like, right or not.
_SHAPES: Final[dict[Kind, re.Pattern[str]]] = {
    "request": re.compile(r"[!-~]+ .* ?HTTP/[0-9].*"),
    "response": re.compile(r"HTTP/[0-9].*"),
}
# How those that are right go on, letter by letter.
_VERSION = rf"{_begun('HTTP/1')}|HTTP/1\.[0-9]?"
_REQUEST_FRONT: Final = re.compile(rf"{_METHOD}(?: (?:[^\x00-\x20\x7f]+(?: (?:{_VERSION}|HTTP/1\.[0-9]\r))?)?)?")
_STATUS_FRONT: Final = re.compile(rf"{_VERSION}|HTTP/1\.[0-9] (?:[0-9]{{0,2}}|[0-9]{{3}}(?:\r| [^\x00]*)?)")


def request_line(line: str) -> tuple[str, str, str]:
    """Return method, target and version (RFC 9112, section 3)."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise FrameError("not a request line")
    return match[1], match[2], match[3]


def status_line(line: str) -> tuple[str, int]:
    """Return version and status (RFC 9112, section 4)."""
    match = _status(line)
    if match is None:
        raise FrameError("not a status line")
    return match[1], int(match[2])


def kind_of(line: str) -> Kind | None:
    """Return which kind of message may begin with a line."""
    if line.startswith("HTTP/"):
        return "response" if _status(line) else None
    return "request" if _REQUEST_LINE.fullmatch(line) else None


def shape_of(line: str) -> Kind | None:
    """Return which kind of message a line was meant to begin, if only by its looks."""
    return next((kind for kind, shape in _SHAPES.items() if shape.fullmatch(line)), None)


def can_begin(front: str, kind: Kind | None) -> bool:
    """Say whether a line that goes on like this can be a start line: `front` is all of it that is there, or enough."""
    if kind != "response" and _REQUEST_FRONT.fullmatch(front):
        return True
    return kind != "request" and _STATUS_FRONT.fullmatch(front) is not None


def add_field(fields: list[Field], line: str) -> None:
    """Add a field line to those before it. Raises FrameError for what `read_field` finds wrong."""
    fault = read_field(fields, line)
    if fault is not None:
        raise FrameError(fault)


def read_field(fields: list[Field], line: str) -> str | None:
    """Add a field line to those before it, or the continuation of the last one (obsolete folding, section 5.2).

    Returns what is wrong with it; then what can be kept is (RFC 9110, section 5.5; RFC 9112, sections 2.2 and 5.1).
    """
    fault = None
    if "\0" in line or "\r" in line:
        fault = "NUL or CR in a field"
        line = line.replace("\0", " ").replace("\r", " ")
    if line[0] in " \t":
        if not fields:
            return "white space before the first field"
        name, value = fields.pop()
        fields.append((name, " ".join([value, line.strip(" \t")]).strip(" ")))
        return fault
    name, colon, value = line.partition(":")
    if not colon:
        return "a field without a colon"
    if name[-1:] in (" ", "\t"):
        fault = "white space before the colon of a field"
        name = name.rstrip(" \t")
    if not _NAME.fullmatch(name):
        return "a field with an invalid name"
    fields.append((name, value.strip(" \t")))
    return fault


def field_values(fields: Sequence[Field], name: str) -> list[str]:
    """Return the members of a field that is a list, all its lines taken together; ``name`` is in lower case."""
    lines = [value for found, value in fields if found.lower() == name]
    members = [member.strip(" \t") for line in lines for member in line.split(",")]
    return [member for member in members if member]  # empty ones are to be ignored (RFC 9110, section 5.6.1.2)


def request_framing(version: str, fields: Sequence[Field]) -> Framing:
    """Return what ends the body of a request. Raises FrameError for what `request_body` finds wrong."""
    framing, fault = request_body(version, fields)
    if fault is not None:
        raise FrameError(fault)
    return framing


def request_body(version: str, fields: Sequence[Field]) -> tuple[Framing, str | None]:
    """Return what ends the body of a request, and what is wrong: without a word it has none (RFC 9112, section 6.3)."""
    framing, fault = _declared(version, fields)
    if framing == UNTIL_CLOSE:
        return UNKNOWN, fault or "a request whose last transfer coding is not chunked"
    return (0 if framing is None else framing), fault


def response_body(version: str, fields: Sequence[Field], status: int, method: str | None) -> tuple[Framing, str | None]:
    """Return what ends the body of a response to a method, and what is wrong (RFC 9112, section 6.3).

    A status outside of 100 to 599 is as 5xx (RFC 9110, section 15).
    """
    if method == "HEAD" or 100 <= status < 200 or status in (204, 304):
        return 0, None
    framing, fault = _declared(version, fields)
    return (UNTIL_CLOSE if framing is None else framing), fault


def chunk_size(line: str) -> int:
    """Return the size that a chunk's first line gives; extensions are passed over (RFC 9112, section 7.1)."""
    match = _CHUNK_LINE.fullmatch(line)
    if match is None:
        raise FrameError("a bad chunk size")
    return int(match[1], 16)


def _status(line: str) -> re.Match[str] | None:
    return None if "\0" in line or "\r" in line else _STATUS_LINE.fullmatch(line)


def _declared(version: str, fields: Sequence[Field]) -> tuple[Framing | None, str | None]:
    """Return what the fields say, or None if they say nothing, and what is wrong with them."""
    codings = [coding.lower() for coding in field_values(fields, "transfer-encoding")]
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    if not codings:
        return _one_length(lengths) if lengths else (None, None)
    fault = None
    if lengths:
        fault = "Content-Length together with Transfer-Encoding"  # which overrides it (section 6.3)
    elif version == "HTTP/1.0":
        fault = "Transfer-Encoding in HTTP/1.0, which has none"  # section 6.1
    elif "chunked" in codings[:-1]:
        fault = "chunked is not the last transfer coding, or comes twice"
    return (CHUNKED if codings[-1] == "chunked" else UNTIL_CLOSE), fault


def _one_length(fields: Sequence[str]) -> tuple[Framing, str | None]:
    """Return the length on which all agree (RFC 9110, section 8.6), or that nobody knows (RFC 9112, section 6.3)."""
    members = [member.strip(" \t") for value in fields for member in value.split(",")]
    lengths = [member for member in members if member]
    if not lengths or not all(map(_LENGTH.fullmatch, lengths)):
        return UNKNOWN, "a Content-Length that is no number"
    # Leading zeros count for int(), which refuses more than 4 300 digits.
    counts = [int(length.lstrip("0") or "0") for length in lengths]
    if len(set(counts)) > 1:
        return UNKNOWN, "Content-Lengths that differ"
    # Empty members of lists are to be ignored, but this field is a list by mistake only.
    return counts[0], (None if len(lengths) == len(members) else "a Content-Length with an empty member")
