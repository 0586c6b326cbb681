"""Layers: 802.11, and what capturing hosts put before it.

Sources: IEEE 802.11, section 9.2 and 9.3; radiotap.org; the descriptions of PPI (CACE), Prism and AVS headers that the
tcpdump group's registry of link types names; the TaZmen Sniffer Protocol as Wireshark reads it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from .layers import AGGREGATE, LINK, LLC, U8, WITHIN_ETHERNET, Damaged, Key, Layer, Place
from .names import Skipped, skipped

__all__ = ["LAYERS"]

CHECK: Final = 4
"""Bytes of the frame check sequence."""

# -- frames --------------------------------------------------------------------------------------------------

_FRAME: Final = Struct("<BB20xH")
_KINDS: Final[list[Skipped]] = [
    Skipped("of 802.11 management"),
    Skipped("of 802.11 control"),
    Skipped("of 802.11 without data"),
    Skipped("of 802.11 extensions"),
]
_DATA: Final = 2
_NO_DATA: Final = 0x40
_QOS: Final = 0x80
_BOTH_WAYS: Final = 0x03
_MORE_FRAGMENTS: Final = 0x04
_PROTECTED: Final = 0x40
_ORDER: Final = 0x80
_SEVERAL: Final = 0x80
_ENCRYPTED: Final = Skipped("of encrypted 802.11")
_IN_PIECES: Final = Skipped("of 802.11 in fragments")


def _wlan(place: Place) -> Key | Skipped:
    return _frame(place, padded=False)


def _frame(place: Place, *, padded: bool) -> Key | Skipped:
    """Read the header of a data frame; what is before its body may be padded to a multiple of 4."""
    start = place.at
    control, flags, sequence = place.take(_FRAME)
    kind: int = control >> 2 & 3
    if control & 3:
        raise Damaged
    if kind != _DATA or control & _NO_DATA:
        return _KINDS[kind]
    if flags & _BOTH_WAYS == _BOTH_WAYS:
        place.at += 6  # a fourth address
    several = 0
    if control & _QOS:
        several = place.look(U8)[0] & _SEVERAL
        place.at += 6 if flags & _ORDER else 2  # with HT control
    if flags & _PROTECTED:
        return _ENCRYPTED
    if flags & _MORE_FRAGMENTS or sequence & 15:
        return _IN_PIECES
    if padded:
        place.at += (start - place.at) % 4
    return AGGREGATE if several else LLC


_SUBFRAME: Final = Struct("!12xH")


def _aggregate(place: Place) -> Key:
    """Read the first of several frames, and leave the rest for later. All but the last are padded."""
    start = place.at
    (size,) = place.take(_SUBFRAME)
    stop = place.at + size
    following = stop + (start - stop) % 4
    if following + _SUBFRAME.size <= place.stop:
        rest = Place(place.data, following, place.stop, place.network)
        place.later.append((AGGREGATE, rest))
    place.narrow(min(stop, place.stop))
    return LLC


# -- headers before frames -----------------------------------------------------------------------------------

_RADIOTAP: Final = Struct("<BxH")
_PRESENT: Final = Struct("<I")
_MORE_WORDS: Final = 1 << 31
_HAS_TIME: Final = 1
_HAS_FLAGS: Final = 2
_CHECKED: Final = 0x10
_PADDED: Final = 0x20


def _radiotap(place: Place) -> Key | Skipped:
    start = place.at
    version, size = place.take(_RADIOTAP)
    if version or size < 8:
        raise Damaged
    (present,) = place.take(_PRESENT)
    more = present
    while more & _MORE_WORDS:
        (more,) = place.take(_PRESENT)
    flags = 0
    if present & _HAS_TIME:
        place.at += (start - place.at) % 8 + 8
    if present & _HAS_FLAGS:
        (flags,) = place.look(U8)
    if flags & _CHECKED:
        place.narrow(place.stop - CHECK)
    place.at = start + size
    return _frame(place, padded=bool(flags & _PADDED))


_AVS: Final = Struct("!II")
_AVS_MAGIC: Final = 0x80211000  # and the version in the last four bits
_PRISM_SIZE: Final = 144


def _avs(place: Place) -> Key:
    magic, size = place.look(_AVS)
    if magic & ~15 != _AVS_MAGIC:
        raise Damaged
    place.at += max(size, _AVS.size)
    return LINK, 105


def _prism(place: Place) -> Key:
    """Some drivers put an AVS header where a Prism header is announced."""
    if place.look(_AVS)[0] & ~15 == _AVS_MAGIC:
        return LINK, 163
    place.at += _PRISM_SIZE
    return LINK, 105


_PPI: Final = Struct("<BBHI")
_PPI_FIELD: Final = Struct("<HH")
_PPI_WLAN: Final = 2
_PPI_WLAN_FLAGS: Final = Struct("<8xH")


def _ppi(place: Place) -> Key:
    """Fields of which one may say that there is a check sequence, and the link type of what is behind them."""
    start = place.at
    version, _, size, link = place.take(_PPI)
    stop = start + size
    if version or size < _PPI.size:
        raise Damaged
    while place.at + _PPI_FIELD.size <= stop:
        kind, length = place.take(_PPI_FIELD)
        if kind == _PPI_WLAN and link == 105 and place.look(_PPI_WLAN_FLAGS)[0] & 1:
            place.narrow(place.stop - CHECK)
        place.at += length
    place.at = stop
    return LINK, link


# -- frames of any kind, sent to another host ----------------------------------------------------------------

_TZSP: Final = Struct("!BBH")
_TZSP_KINDS: Final = {1: WITHIN_ETHERNET, 18: (LINK, 105), 119: (LINK, 119), 127: (LINK, 163)}
_PAD, _END = 0, 1


def _tzsp(place: Place) -> Key | Skipped:
    """Tags of a kind, a length and so many bytes, up to an end; pads and the end are of one byte."""
    version, kind, inner = place.take(_TZSP)
    if version != 1 or kind > 1:
        raise Damaged
    while (tag := place.take(U8)[0]) != _END:
        if tag != _PAD:
            (size,) = place.take(U8)
            place.at += size
    return _TZSP_KINDS.get(inner) or skipped("TZSP encapsulation", inner)


LAYERS: Final[dict[Key, Layer]] = {
    (LINK, 105): _wlan,
    (LINK, 119): _prism,
    (LINK, 127): _radiotap,
    (LINK, 128): _tzsp,
    (LINK, 163): _avs,
    (LINK, 192): _ppi,
    AGGREGATE: _aggregate,
}
