"""A message of HTTP/1.x, whole or not, and the bytes between messages that are none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bytebufs import CompositeBuffer, flush

from .syntax import Field, Kind

__all__ = ["Kind", "Leftover", "Message", "Shed"]


class Leftover(NamedTuple):
    """Bytes of one side that no message took."""

    nbytes: int
    missing: int
    """And bytes among them that the capture does not hold."""
    text: str
    """How they begin: what was refused as a start line."""


class Shed:
    """The front of a body, which is not kept: what is known of it, and the file that has it, if one was wanted."""

    def __init__(self, path: Path | None = None, *, digests: bool = True) -> None:
        self.nbytes = 0
        self.parts = 0
        self.sha256 = hashlib.sha256() if digests else None
        self._path = path
        self._file = None if path is None else path.open("wb")

    def take(self, body: CompositeBuffer) -> None:
        """Take all that there is of a body. Copies: nothing."""
        self.nbytes += len(body)
        self.parts += body.part_count
        if self.sha256 is not None:
            for view in body.views():
                self.sha256.update(view)
        if self._file is not None:
            flush(body, self._file)
        body.clear()

    def move(self, path: Path) -> None:
        """Give the file its name."""
        assert self._file is not None
        assert self._path is not None
        self._file.close()
        self._path.replace(path)

    def discard(self) -> None:
        """Remove the file, if it has not been given a name."""
        if self._file is not None and self._path is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


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
    shed: Shed | None = None
    """What came of the body before that which is there, and is not kept."""
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

    @property
    def size(self) -> int:
        """Bytes of the body that came."""
        return len(self.body) + (self.shed.nbytes if self.shed else 0)

    @property
    def parts(self) -> int:
        """In how many parts they came."""
        return self.body.part_count + (self.shed.parts if self.shed else 0)

    def lose(self, nbytes: int) -> None:
        """Note that bytes are missing where the body ends now."""
        if self.hole is None:
            self.hole = self.size
        self.missing += nbytes

    def where(self) -> str:
        """Say how far the message has come."""
        if self.has_head:
            return f"at byte {self.size + self.missing} of the body"
        return "inside the head" if self.head else f"where a {self.kind} should begin"
