"""IP datagrams out of fragments.

Sources: RFC 791 (section 3.2), RFC 815, RFC 8200 (section 4.5), RFC 5722.

1. Fragments with the same addresses and identification (in IPv4 protocol, too) on the same network make a datagram.
2. In IPv4 the bytes that came first win where fragments overlap. In IPv6 an overlap drops the datagram, with what
   comes of it later; a fragment that comes again as it was changes nothing.
3. What a snapshot length cut off a fragment, and all behind that, counts as cut off the datagram.
4. What is not complete is given up when it is `TIMEOUT` old by the clock of the capture and another fragment of the
   same identification comes, or when more than `MAX_KEPT` fragments are kept, the oldest datagrams first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import Any, Final, final

from bytebufs import CompositeBuffer, SliceBuffer

from .layers import Fragment

__all__ = ["Datagram", "Fragments"]

TIMEOUT: Final = 60.0
"""Seconds in which the fragments of a datagram come: RFC 8200 has a receiver wait 60 (RFC 1122, section 3.3.2: 60 to
120)."""
MAX_KEPT: Final = 8192
"""Fragments kept: as many as one datagram of 64 KiB can have. Linux allows 4 MiB of them (ip-sysctl,
ipfrag_high_thresh), and ordinary ones are of 1,480 bytes."""
MAX_DATAGRAM: Final = 65_535
"""Bytes of a datagram, inclusive; RFC 791 and 8200 have a field of 16 bits."""


@final
class Datagram:
    """The fragments of one datagram, and the holes between them (RFC 815)."""

    def __init__(self, since: float) -> None:
        self.since = since
        """When the first of them came."""
        self.kept: list[Fragment] = []
        self.dropped = False
        """Whether nothing can come of it any more."""
        self._holes: list[tuple[int, int]] = [(0, MAX_DATAGRAM)]  # in order; as are the pieces, which do not overlap
        self._pieces: list[tuple[int, int, Fragment]] = []
        self._end = MAX_DATAGRAM  # of the whole, once the last piece is there

    @property
    def complete(self) -> bool:
        """Whether all of it is there."""
        return not self._holes

    @property
    def reach(self) -> int:
        """Bytes up to the end of the last piece that is there."""
        return self._pieces[-1][1] if self._pieces else 0

    @property
    def protocol(self) -> int:
        """What the first piece says that the whole carries."""
        return self._pieces[0][2].protocol

    def add(self, fragment: Fragment) -> bool:
        """Take in what is new of a fragment. Say whether it goes with the others; if not, nothing is changed.

        Complexity: O(log n), and the holes that it fills.
        """
        start, stop = fragment.offset, fragment.offset + fragment.size
        if stop > self._end or (not fragment.more and (stop < self.reach or self._end not in (stop, MAX_DATAGRAM))):
            return False
        i = _at_or_before(self._holes, start)
        while i < len(self._holes) and self._holes[i][0] < stop:
            low, high = self._holes[i]
            first, last = max(low, start), min(high, stop)
            if first < last:
                rest = [hole for hole in ((low, first), (last, high)) if hole[0] < hole[1]]
                self._holes[i : i + 1] = rest
                insort(self._pieces, (first, last, fragment), key=_low)
                i += len(rest)
            else:
                i += 1
        if not fragment.more:
            self._end = stop
            del self._holes[bisect_left(self._holes, stop, key=_low) :]
        self.kept.append(fragment)
        return True

    def overlaps(self, fragment: Fragment) -> bool:
        """Say whether some of its bytes are there, or beyond the end."""
        i = _at_or_before(self._holes, fragment.offset)
        low, high = self._holes[i]
        return fragment.offset < low or fragment.offset + fragment.size > high

    def repeats(self, fragment: Fragment) -> bool:
        """Say whether it is there already; for fragments that do not overlap."""
        piece = self._pieces[_at_or_before(self._pieces, fragment.offset)][2]
        return piece[_SHAPE:] == fragment[_SHAPE:]

    def data(self) -> SliceBuffer:
        """Return what was captured of the whole, up to where some was not. Copies: nothing."""
        whole = CompositeBuffer()
        for low, high, fragment in self._pieces:
            captured = min(high - fragment.offset, len(fragment.data))
            whole.append(fragment.data[min(low - fragment.offset, captured) : captured])
            if captured < high - fragment.offset:
                break
        return whole.freeze()


_SHAPE: Final = Fragment._fields.index("offset")
"""The fields from here on say what a fragment brings; those before, where it is from."""


def _low(ranged: tuple[Any, ...]) -> int:
    """Return where a hole or a piece begins."""
    low: int = ranged[0]
    return low


def _at_or_before(ranges: Sequence[tuple[Any, ...]], offset: int) -> int:
    """Return which hole or piece is the last that begins at an offset or before; the first if none does."""
    return max(bisect_right(ranges, offset, key=_low) - 1, 0)


@final
class Fragments:
    """Keeps fragments until they make a datagram. Memory: in proportion to `MAX_KEPT`, at most."""

    def __init__(self) -> None:
        self.given_up = 0
        """How many fragments are not kept, and made no datagram; whoever counts them sets this back."""
        self._count = 0
        self._datagrams: dict[tuple[bytes, bytes, bytes], Datagram] = {}  # the oldest first

    def add(self, fragment: Fragment) -> Datagram | None:
        """Take a fragment in; return the datagram that it completes. Complexity: O(log n) in the datagram's."""
        key = fragment.network, fragment.addresses, fragment.ident
        datagram = self._datagrams.get(key)
        if datagram is not None and fragment.time - datagram.since > TIMEOUT:
            self._forget(key)
            datagram = None
        if not _is_sound(fragment) or (datagram is not None and datagram.dropped):
            self.given_up += 1
            return None
        if datagram is None:
            datagram = self._datagrams[key] = Datagram(fragment.time)
        six = len(fragment.addresses) == _IPV6
        overlaps = six and datagram.overlaps(fragment)
        if overlaps and datagram.repeats(fragment):
            return None
        if overlaps or not datagram.add(fragment):
            self.given_up += 1
            if six:
                self._drop(datagram)
            return None
        self._count += 1
        if datagram.complete:
            self._count -= len(datagram.kept)
            return self._datagrams.pop(key)
        while self._count > MAX_KEPT:
            self._forget(next(iter(self._datagrams)))
        return None

    def left(self) -> list[Fragment]:
        """Return what is kept, which then is kept no more."""
        left = [fragment for datagram in self._datagrams.values() for fragment in datagram.kept]
        self._datagrams.clear()
        self._count = 0
        return left

    def _drop(self, datagram: Datagram) -> None:
        """Give up what is there of a datagram, and what will come; that it was dropped takes a place, too."""
        self.given_up += len(datagram.kept)
        self._count += 1 - len(datagram.kept)
        datagram.kept.clear()
        datagram.dropped = True

    def _forget(self, key: tuple[bytes, bytes, bytes]) -> None:
        datagram = self._datagrams.pop(key)
        self.given_up += len(datagram.kept)
        self._count -= len(datagram.kept) or 1


_IPV6: Final = 32  # bytes of two addresses


def _is_sound(fragment: Fragment) -> bool:
    if fragment.more and fragment.size % 8:
        return False
    return 0 < fragment.size <= MAX_DATAGRAM - fragment.offset
