"""Whom a request is for: the Host field, and the four forms of a target (RFC 9112, section 3.2).

Strict, where two readers of one request could find two hosts or two paths in it: each such trap is Refused.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from .refused import Refused

__all__ = ["check_host", "check_target", "origin_form"]

_SAFE: Final = r"0-9A-Za-z\-._~!$&'()*+,;="  # unreserved and sub-delims of RFC 3986, section 2
_REG_NAME: Final = rf"(?:[{_SAFE}]|%[0-9A-Fa-f]{{2}})*"  # an IPv4 address is one by its letters
_IP_FUTURE: Final = rf"[vV][0-9A-Fa-f]+\.[{_SAFE}:]+"
# Nobody's zone: "%eth0" means something on the client's machine alone, and is not of RFC 3986.
_AUTHORITY: Final = re.compile(
    rf"(?P<host>{_REG_NAME}|\[(?:{_IP_FUTURE}|(?P<ip6>[0-9A-Fa-f:.]+))\])(?::(?P<port>[0-9]*))?"
)
_ABSOLUTE: Final = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE)
# A fragment is never sent, and what is half an octet is read as one, as text, or not at all (RFC 3986, section 2.1).
_UNCLEAR: Final = re.compile(r"#|%(?![0-9A-Fa-f]{2})")
_SHOWN: Final = 100
"""Characters of a bad value that its refusal shows."""


def check_host(values: list[str], version: str) -> None:
    """Demand one valid Host field; HTTP/1.0 need not have it (RFC 9112, section 3.2). Raises Refused.

    It may be empty, for targets without an authority (RFC 9110, section 7.2).
    """
    if not values and version != "HTTP/1.0":
        raise Refused(400, why="no Host field")
    if len(values) > 1:
        raise Refused(400, why=f"{len(values)} Host fields")
    if values and _authority(values[0]) is None:
        raise _bad("Host field", values[0])


def check_target(method: str, target: str) -> None:
    """Demand the form of a target that goes with the method. Raises Refused."""
    if method == "CONNECT":
        host, port = _authority(target) or ("", "")
        if not (host and port):
            raise _bad("target", target)  # it needs a port, too (RFC 9110, section 9.3.6)
    elif (method, target) != ("OPTIONS", "*"):
        origin_form(target)


def origin_form(target: str) -> str:
    """Return path and query of a target. Raises Refused.

    An authority before them counts, whatever the Host field says (RFC 9112, section 3.2.2): that makes no difference
    here, as there is one site for all hosts. It has a host, and no user (RFC 9110, sections 4.2.1 and 4.2.4).
    """
    if target.startswith("/"):
        path = target
    else:
        match = _ABSOLUTE.fullmatch(target)
        host, _ = (match and _authority(match[2])) or ("", "")
        if not match or not host:
            raise _bad("target", target)
        if match[1].lower() == "https":  # nothing here is secured (RFC 9110, section 7.4)
            raise Refused(421, why="https is not spoken here")
        path = match[3]
    if _UNCLEAR.search(path):
        raise _bad("target", target)
    return path


def _authority(value: str) -> tuple[str, str] | None:
    """Return host and port, as they are written and empty if they are left out; None if that is not what it is."""
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return None
    if match["ip6"] is not None:
        try:
            IPv6Address(match["ip6"])
        except AddressValueError:
            return None
    return match["host"], match["port"] or ""


def _bad(what: str, value: str) -> Refused:
    return Refused(400, why=f"bad {what} {value[:_SHOWN]!a}{'...' if len(value) > _SHOWN else ''}")
