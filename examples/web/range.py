"""Which bytes a Range field asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MOST_RANGES", "Unsatisfiable", "ranges_in"]

MOST_RANGES: Final = 16
"""Ranges in one answer; who asks for more gets everything (section 14.2: many small ones are an attack, or a bug)."""

_SET: Final = re.compile(r"bytes=(.*)", re.IGNORECASE | re.DOTALL)
# 19 digits: beyond any file, and far too few for int() to take long.
_RANGE: Final = re.compile(r"([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19})")


class Unsatisfiable(ValueError):
    """No range that was asked for has a byte in common with the file."""


def ranges_in(value: str, size: int) -> list[range]:
    """Return the ranges that a field asks for, in its order, cut to ``size`` bytes; none if all is to be sent.

    That is so for other units, for what is no valid set of ranges, for many of them, and for those that overlap so
    that more would be sent than there is. Raises Unsatisfiable.
    """
    match = _SET.fullmatch(value)
    specs = match[1].split(",") if match else []
    found = []
    wanted = 0
    for spec in specs:
        match = _RANGE.fullmatch(spec.strip(" \t"))
        if match is None:
            if spec.strip(" \t"):
                return []
            continue  # empty members of a list are passed over
        wanted += 1
        first, last, suffix = match.groups()
        if first is None:
            start, stop = max(0, size - int(suffix)), size
            if not size and int(suffix):
                return []  # all of nothing: satisfiable, but no Content-Range can say so
        else:
            start, stop = int(first), min(size, int(last) + 1) if last else size
            if last and int(last) < start:
                return []
        if start < stop:
            found.append(range(start, stop))
    if wanted and not found:
        raise Unsatisfiable
    if wanted > MOST_RANGES or sum(map(len, found)) > size:
        return []
    return found
