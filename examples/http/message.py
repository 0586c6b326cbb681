"""A message of HTTP/1.x, whole or not, and the bytes between messages that are none."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bytebufs import CompositeBuffer

from .syntax import Field, Kind

__all__ = ["Kind", "Leftover", "Message"]


class Leftover(NamedTuple):
    """Bytes of one side that no message took."""

    nbytes: int
    missing: int
    """And bytes among them that the capture does not hold."""
    text: str
    """How they begin: what was refused as a start line."""


@dataclass(slots=True, eq=False)
class Message:
    """A request or a response, whole or not. Head and body are slices of what was fed."""

    kind: Kind
    method: str | None = None
    status: int | None = None
    target: str | None = None
    """Of a response: the target of its request, if that is known."""
    version: str = ""
    headers: list[Field] = field(default_factory=list)
    trailers: list[Field] = field(default_factory=list)
    head: CompositeBuffer = field(default_factory=CompositeBuffer)
    body: CompositeBuffer = field(default_factory=CompositeBuffer)
    """Without the framing of chunks; a content coding is left as it is."""
    has_head: bool = False
    """Whether the head is all there."""
    request: Message | None = None
    """Of a response: what it answers, if that is known."""
    switched: bool | None = None
    """Of a request: whether another protocol follows, once that is known."""
    missing: int = 0
    """Bytes of the body that the capture does not hold."""
    hole: int | None = None
    """The offset in the body where the first of them is missing."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with it."""
    is_done: bool = False
    copied: int = 0
    """Payload bytes copied to put it together without having been asked for."""

    @property
    def error(self) -> str | None:
        """What is missing, and what is wrong, in a line."""
        holes = [] if self.hole is None else [f"{self.missing} bytes missing from byte {self.hole} of the body on"]
        return "; ".join(dict.fromkeys([*holes, *self.faults])) or None

    @property
    def complete(self) -> bool:
        """Whether all of it is there, and right."""
        return self.hole is None and not self.faults

    @property
    def is_final(self) -> bool:
        """Whether a response is the last one to its request."""
        return not 100 <= (self.status or 0) < 200 or self.status == 101

    @property
    def switches(self) -> bool:
        """Whether other bytes than HTTP/1 follow on a response: after 101, and after a success of CONNECT."""
        tunnel = self.request is not None and self.request.method == "CONNECT" and (self.status or 0) // 100 == 2
        return tunnel or self.status == 101

    def lose(self, nbytes: int) -> None:
        """Note that bytes are missing where the body ends now."""
        if self.hole is None:
            self.hole = len(self.body)
        self.missing += nbytes

    def where(self) -> str:
        """Say how far the message has come."""
        if self.has_head:
            return f"at byte {len(self.body) + self.missing} of the body"
        return "inside the head" if self.head else f"where a {self.kind} should begin"
