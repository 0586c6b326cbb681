"""Where one side of a TCP connection is: places in its stream, and what its receiver asks of a segment.

Sequence numbers are unwrapped to places that count on beyond 4 GiB: each is the one nearest to where numbers are.
"""

from __future__ import annotations

from typing import Final

from .packets import SYN, Segment

__all__ = ["LEAST_WINDOW", "MASK", "MOST_WINDOW", "UNKNOWN_SCALE", "Numbers"]

LEAST_WINDOW: Final = 65_535
"""Bytes: a window that was seen closed or small may have been larger when nobody looked."""
MOST_WINDOW: Final = 65_535 << 14
"""Bytes: there is no larger window (RFC 7323, section 2.3)."""
UNKNOWN_SCALE: Final = 8
"""The shift of windows whose handshake is not in the capture (RFC 7323): Linux uses 7, and grows."""
MASK: Final = (1 << 32) - 1
"""Of the bits of a sequence number."""

_HALF: Final = 1 << 31


class Numbers:
    """What is known of the numbers of one side."""

    __slots__ = (
        *("_top", "ack", "at", "begun", "first", "offered", "plain", "scale", "shift", "start", "trusts", "window"),
    )

    def __init__(self) -> None:
        self.begun = False
        self.start: int | None = None
        """The place of the first byte, if the SYN before it was seen."""
        self.first = 0
        """The place where it began."""
        self.at = 0
        """The place of the next byte; until it has begun, of the first that was seen."""
        self._top: int | None = None
        self.plain = False
        """Whether the next segment in order has only to be handed on."""
        self.ack: int | None = None
        """The number that the other side acknowledged last."""
        self.trusts = False
        """Whether this side has ever acknowledged just what was seen of the other, so that what it says counts."""
        self.window = LEAST_WINDOW
        """Bytes that the other side has offered, at most."""
        self.offered = 0
        """The largest window that this side has offered, as it stood in its segments."""
        self.scale: int | None = None
        self.shift = UNKNOWN_SCALE
        """Of the windows that this side offers."""

    @property
    def top(self) -> int | None:
        """The place behind the last byte that was seen; None before the first."""
        return self.at if self.plain else self._top

    def place(self, seq: int) -> int:
        """Unwrap a sequence number: of the places it may mean, the one nearest to where numbers are."""
        top = self.top
        return seq if top is None else top + ((seq - top + _HALF) & MASK) - _HALF

    def fits(self, segment: Segment) -> bool:
        """Whether a segment lies in the window, or behind it as far as one that was sent again does."""
        top = self.top
        if top is None:
            return True
        ahead = self.place(segment.seq) - self.window
        if ahead <= top:
            return ahead >= self.at - 2 * self.window
        acked = self.acked
        return acked is not None and ahead <= acked

    def can_have_sent(self, seq: int, *, unseen: int = 0) -> bool:
        """Whether the other side may acknowledge a number, if so many bytes more may be missing in the capture."""
        first = self.first if self.begun else self.at  # what comes late acknowledges what was true before
        return self.top is None or first - self.window <= self.place(seq) <= self.top + max(self.window, unseen)

    @property
    def acked(self) -> int | None:
        """The place up to which the other side has acknowledged, if it said what can be."""
        if self.ack is None or self.top is None or not self.can_have_sent(self.ack):
            return None
        return self.place(self.ack)

    @property
    def is_bare(self) -> bool:
        """Whether nothing came but a SYN."""
        return self.top is None or self.top == self.start

    def has_had(self, seq: int) -> bool:
        """Whether a number lies among those that have been."""
        first = self.first if self.begun else self.at
        return self.top is not None and first <= self.place(seq) < self.top

    def offer(self, segment: Segment, peer: Numbers) -> None:
        """Take in the window that a segment of this side offers to the other."""
        if segment.flags & SYN:
            self.scale = segment.scale
            if peer.start is not None:  # both have to say so (RFC 7323, section 2.2)
                both = self.scale is not None and peer.scale is not None
                self.shift, peer.shift = (self.scale or 0, peer.scale or 0) if both else (0, 0)
        else:
            self.offered = max(self.offered, segment.window)
        # That of a SYN is as it stands.
        peer.window = max(peer.window, segment.window << (0 if segment.flags & SYN else self.shift))
