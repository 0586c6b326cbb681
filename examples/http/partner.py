"""What the parser of one direction asks of, and tells, who knows both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .message import Kind, Leftover, Message
from .syntax import Framing

if TYPE_CHECKING:
    from .half import HalfParser

__all__ = ["Partner"]


class Partner(Protocol):
    """What a parser asks of, and tells, who knows both directions."""

    def joins(self, half: HalfParser) -> bool:
        """Whether the capture begins inside of this direction."""

    def decide(self, half: HalfParser, kind: Kind) -> None:
        """Take in what this direction consists of, which then is in ``half.kind``."""

    def lose(self, half: HalfParser) -> None:
        """Take in that messages may be missing from here on."""

    def headed(self, half: HalfParser, message: Message) -> bool:
        """Take in a message whose head is there. False: ask again, the request of this response may still come."""

    def framing(self, message: Message) -> tuple[Framing, str | None]:
        """Return what ends the body, and what is wrong."""

    def is_sure(self, message: Message) -> bool:
        """Whether the body can be framed as `framing` says: it is a request's, or it is known which one is answered."""

    def done(self, half: HalfParser, message: Message) -> None:
        """Take in a message of which no more comes."""

    def goes_on(self, half: HalfParser, message: Message) -> bool | None:
        """Whether HTTP/1 follows on a complete message; None: ask again."""

    def left(self, half: HalfParser, leftover: Leftover) -> None:
        """Take in what lies before the next message, or before the end."""

    def ended(self, half: HalfParser) -> None:
        """Take in that nothing follows."""
