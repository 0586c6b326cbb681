"""Dates of HTTP, read as strictly as RFC 9110, section 5.6.7, writes them.

A condition whose date is none must be ignored (sections 13.1.3 to 13.1.5). So nothing is guessed, as readers of mail
dates do: a zone that is left out or another than GMT, seconds that are left out, text behind the date.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from typing import Final

__all__ = ["http_date"]

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_LONG: Final = f"(?P<name>{'|'.join(_DAYS)})"
_SHORT: Final = f"(?P<name>{'|'.join(name[:3] for name in _DAYS)})"
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = "(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"  # 60: a leap second

_FORMATS: Final = tuple(
    map(
        re.compile,
        (
            rf"{_SHORT}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",  # IMF-fixdate
            rf"{_LONG}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",  # RFC 850
            rf"{_SHORT} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",  # asctime() of C
        ),
    )
)


def http_date(value: str, now: datetime) -> int | None:
    """Return the seconds since the epoch, None if that is no date of HTTP. ``now`` is in UTC.

    The day must have been on the calendar and have had that name: a date means what it means in mail (RFC 9110, section
    5.6.7), where it must be valid (RFC 5322, section 3.3). A leap second is the first one of the next minute, as of
    POSIX.

    >>> http_date("Sun, 06 Nov 1994 08:49:37 GMT", datetime.now(UTC))
    784111777
    """
    match = next((match for form in _FORMATS if (match := form.fullmatch(value))), None)
    if match is None:
        return None
    month = _MONTHS.index(match["month"]) + 1
    day, hour, minute, second = (int(match[name]) for name in ("day", "hour", "minute", "second"))
    year = int(match["year"])
    if len(match["year"]) == 2:
        year = _whole(year, (month, day, hour, minute, second), now)
    try:
        date = datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None
    if not _DAYS[date.weekday()].startswith(match["name"]):
        return None
    return timegm(date.timetuple()) + second


def _whole(year: int, moment: tuple[int, ...], now: datetime) -> int:
    """Return the last year with these two digits whose moment is no more than 50 years ahead."""
    last = now.year + 50
    found = last - (last - year) % 100
    is_beyond = found == last and moment > (now.month, now.day, now.hour, now.minute, now.second)
    return found - 100 if is_beyond else found
