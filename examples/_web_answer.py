"""Where dates of conditions were read before examples/web/ was there: for programs that look for it here."""

from .web.answer import _date

__all__ = ["_date"]
