"""Addresses as programs are given them and write them: HOST:PORT, and of IPv6 [HOST]:PORT."""

from __future__ import annotations

import argparse
import re
from typing import Final, NamedTuple

__all__ = ["HERE", "Address", "address_of", "listening_address"]

HERE: Final = "127.0.0.1"
"""Where programs listen that are told a port alone: others on the network are not let in unasked."""
_ADDRESS: Final = re.compile(r"(?:(?:\[([^\[\]]+)\]|([^:\[\]]+)):)?([0-9]{1,5})", re.ASCII)


class Address(NamedTuple):
    """Where to listen, or whom to connect to."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address_of(text: str) -> Address:
    """Read HOST:PORT. An option's type, for argparse."""
    host, port = _parts_of(text)
    if not host:
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, not {text!r}")
    if not port:
        raise argparse.ArgumentTypeError(f"nobody can be connected to at port 0: {text!r}")
    return Address(host, port)


def listening_address(text: str) -> Address:
    """Read [HOST:]PORT, where port 0 is one that is free. An option's type, for argparse."""
    host, port = _parts_of(text)
    return Address(host or HERE, port)


def _parts_of(text: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text)
    if found is None or (port := int(found[3])) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is no [HOST:]PORT, with [HOST] in brackets if it has colons")
    return found[1] or found[2] or "", port
