"""examples/web/date.py: dates of HTTP, and nothing else."""

from __future__ import annotations

import time
from calendar import timegm
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.web.date import http_date

NOW: Final = datetime(2026, 11, 27, 12, 30, 45, tzinfo=UTC)
DAYS: Final = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


def rfc850(date: datetime) -> str:
    _, day, month, year, moment, _ = format_datetime(date, usegmt=True).split(" ")
    return f"{DAYS[date.weekday()]}, {day}-{month}-{year[2:]} {moment} GMT"


def asctime(date: datetime) -> str:
    """As the C library writes it, but for the year: that has four digits here."""
    return f"{time.asctime(date.timetuple()).rpartition(' ')[0]} {date.year:04}"


def spellings(date: datetime) -> list[str]:
    two_digits = asctime(date)
    return [
        format_datetime(date, usegmt=True),
        rfc850(date),
        two_digits,
        two_digits[:8] + two_digits[8:10].replace(" ", "0") + two_digits[10:],
    ]


def moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Return whole seconds, from the beginning of one year to that of another."""
    zeros = [timegm((year, 1, 1, 0, 0, 0)) for year in (first, last)]
    return st.integers(*zeros).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


MOMENTS: Final = moments(1, 9999)


@given(MOMENTS)
def test_every_moment_is_read_in_every_format(date: datetime) -> None:
    imf, _, *asctimes = spellings(date)
    for text in (imf, *asctimes):
        assert http_date(text, NOW) == timegm(date.timetuple())


@given(date=MOMENTS, now=moments(1950, 9000))
def test_two_digits_of_a_year_mean_the_last_that_is_not_50_years_ahead(date: datetime, now: datetime) -> None:
    """Whatever century the date is from, it is read as of that one, if its day has the same name there."""
    value = http_date(rfc850(date), now)
    ahead = [
        year
        for year in range(now.year - 60, now.year + 61)
        if year % 100 == date.year % 100 and (year - 50, *date.timetuple()[1:6]) <= now.timetuple()[:6]
    ]
    try:
        expected = date.replace(year=ahead[-1])
    except ValueError:  # 29 February
        assert value is None
        return
    assert value == (timegm(expected.timetuple()) if expected.weekday() == date.weekday() else None)


@pytest.mark.parametrize(
    ("now", "year", "expected"),
    [
        ("2026-11-27 12:30:45", "76", 2076),  # to the second 50 years
        ("2026-11-27 12:30:44", "76", 1976),
        ("2026-11-28 00:00:00", "76", 2076),
        ("2026-11-27 12:30:45", "77", 1977),
        ("2026-11-27 12:30:45", "26", 2026),
        ("2026-11-27 12:30:45", "00", 2000),
        ("1999-12-31 23:59:59", "00", 2000),
        ("2000-01-01 00:00:00", "99", 1999),
        ("2080-06-01 00:00:00", "10", 2110),
        ("2049-12-31 00:00:00", "99", 2099),
        ("2048-12-31 00:00:00", "99", 1999),
    ],
)
def test_the_century_of_two_digits(now: str, year: str, expected: int) -> None:
    date = datetime(expected, 11, 27, 12, 30, 45, tzinfo=UTC)
    assert rfc850(date)[10:].endswith(f"Nov-{year} 12:30:45 GMT")
    assert http_date(rfc850(date), datetime.fromisoformat(now).replace(tzinfo=UTC)) == timegm(date.timetuple())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800),
        ("Saturday, 31-Dec-16 23:59:60 GMT", 1483228800),
        ("Sat Dec 31 23:59:60 2016", 1483228800),
        ("Tue, 29 Feb 2000 00:00:00 GMT", 951782400),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
        ("Fri, 31 Dec 9999 23:59:60 GMT", 253402300800),
        ("Thu Jan  1 00:00:01 1970", 1),
        ("Thu Jan 01 00:00:01 1970", 1),
    ],
)
def test_dates_at_their_borders(value: str, seconds: int) -> None:
    assert http_date(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "0", "now", "784111777", "1994-11-06T08:49:37Z",
        # the wrong day, or none of the calendar
        "Mon, 06 Nov 1994 08:49:37 GMT", "Monday, 06-Nov-94 08:49:37 GMT", "Mon Nov  6 08:49:37 1994",
        "Tue, 30 Feb 1999 00:00:00 GMT", "Mon, 29 Feb 1999 00:00:00 GMT", "Wed, 29 Feb 1900 00:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 32 Nov 1994 08:49:37 GMT", "Sat, 01 Jan 0000 00:00:00 GMT",
        "Sun Nov 00 08:49:37 1994", "Sun Nov  0 08:49:37 1994",
        # no time of a day
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 08:49:37.0 GMT",
        "Sun, 06 Nov 1994 08.49.37 GMT",
        # another zone, or none, or one where none belongs
        "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000", "Sun, 06 Nov 1994 08:49:37 Z",
        "Sun, 06 Nov 1994 08:49:37 EST", "Sun, 06 Nov 1994 08:49:37 gmt", "Sun, 06 Nov 1994 08:49:37GMT",
        "Sunday, 06-Nov-94 08:49:37", "Sun Nov  6 08:49:37 1994 GMT", "Sun Nov  6 08:49:37 GMT 1994",
        # letters count
        "SUN, 06 NOV 1994 08:49:37 GMT", "sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        # of one format this, of the other that
        "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 06-Nov-1994 08:49:37 GMT", "Sunday Nov  6 08:49:37 1994",
        "Sun, Nov  6 08:49:37 1994", "Sun Nov  6 08:49:37 94", "Sun, 06 November 1994 08:49:37 GMT",
        # as many digits as there are, and each one of ASCII's
        "Sun, 6 Nov 1994 08:49:37 GMT", "Sun,  6 Nov 1994 08:49:37 GMT", "Sunday,  6-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994", "Sun Nov  06 08:49:37 1994", "Sun, 06 Nov 01994 08:49:37 GMT",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:\u00b3\u00b7 GMT",
        # white space and other company
        " Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 Nov 1994 08:49:37 GMT\n",
        "Sun,06 Nov 1994 08:49:37 GMT", "Sun, 06  Nov 1994 08:49:37 GMT", "Sun,\t06 Nov 1994 08:49:37 GMT",
        '"Sun, 06 Nov 1994 08:49:37 GMT"', "Sun, 06 Nov 1994 08:49:37 GMT (mild)", "06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 -GMT",
    ],
)  # fmt: skip
def test_what_is_no_date(value: str) -> None:
    assert http_date(value, NOW) is None


LETTERS: Final = st.sampled_from([*"0123456789 :,-+", "GMT", "Sun", "Sunday", "Nov", "Z", "\n", "\t", "\u0663", ""])


@given(date=MOMENTS, data=st.data())
def test_what_is_read_is_written_like_that(date: datetime, data: st.DataObject) -> None:
    """Change a date somewhere: if it is one still, it is the spelling of what was read."""
    text = data.draw(st.sampled_from(spellings(date)))
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 3)))
    changed = text[:start] + data.draw(LETTERS) + text[stop:]
    value = http_date(changed, NOW)
    if value is not None:
        is_leap = ":60" in changed
        read = datetime.fromtimestamp(value - is_leap, UTC)
        assert changed.replace(":60", ":59") in spellings(read)
