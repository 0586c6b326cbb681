"""What came of an input: a parser is fed pieces, and all that it says is kept as plain values that can be compared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..base_buffer import BaseBuffer
from .cuts import REUSED, made

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cuts import Way

__all__ = ["Outcome", "joined", "plain"]


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    ``results`` are the parser's results as plain values. ``error`` is the type and the text of the exception that ended
    it, or None. ``taken`` is the number of bytes that the parser is done with, or None if it does not tell what is
    pending; ``remainder`` are the bytes that ``detach()`` gave back, if the parser has that. ``cause`` is the exception
    itself, which is not compared.
    """

    results: list[object]
    error: tuple[type[BaseException], str] | None = None
    taken: int | None = None
    remainder: bytes | None = None
    cause: Exception | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        """Say what came, a line each."""
        lines = [f"result     {_bounded(result)}" for result in self.results[:_MOST_RESULTS]]
        if len(self.results) > _MOST_RESULTS:
            lines.append(f"...        {len(self.results) - _MOST_RESULTS} results left out")
        if self.error is not None:
            kind, text = self.error
            lines.append(f"error      {kind.__name__}" + (f": {text}" if text else ""))
        if self.taken is not None:
            lines.append(f"taken      {self.taken}")
        if self.remainder is not None:
            lines.append(f"remainder  {_bounded(self.remainder)}")
        return "\n".join(lines) or "nothing"


_MOST_RESULTS: Final = 32
"""Results that a failure shows of one outcome."""

_MOST_TEXT: Final = 200
"""Characters that a failure shows of one result: two lines of a terminal."""


def _bounded(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}... ({len(text)} characters)"


def plain(value: Any) -> object:
    """Return a value that stays as it is and can be compared: bytes for a buffer or a view, also in containers.

    >>> from bytebufs import SliceBuffer
    >>> plain([SliceBuffer(b"abc"), {"n": memoryview(b"d")}])
    [b'abc', {'n': b'd'}]

    An object whose class compares by identity becomes its class and its fields. NaN becomes text: it does not equal
    itself. What leads back to where it stands in, as a child to its parent, becomes ``...`` there.
    """
    return _plain(value, ())


def _plain(value: Any, outer: tuple[int, ...]) -> object:
    """Return a value as a plain one; ``outer`` are the identities of those that it stands in."""
    if id(value) in outer:
        return ...
    inner = (*outer, id(value))
    match value:  # what is no container stays
        case BaseBuffer() | memoryview() | bytearray():
            return bytes(value)
        case tuple() if type(value) is tuple:
            return tuple(_plain(item, inner) for item in value)
        case list():
            return [_plain(item, inner) for item in value]
        case dict():
            return {_plain(key, inner): _plain(item, inner) for key, item in value.items()}
        case float() if value != value:  # noqa: PLR0124  # NaN
            return "nan"
        case BaseException():
            return type(value), str(value)
        case _ if _compares_by_identity(value) and (fields := _fields(value)):
            return type(value), _plain(fields, inner)
        case _:
            return value


def _compares_by_identity(value: object) -> bool:
    return not isinstance(value, type) and getattr(type(value), "__eq__") is object.__eq__  # noqa: B009  # else mypy knows better


def _fields(value: object) -> dict[str, object]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()) if hasattr(value, name)]
    return {name: getattr(value, name) for name in slots} | dict(getattr(value, "__dict__", {}))


def joined(results: list[object]) -> list[object]:
    """Join neighbours that are pieces of one stream: the ``key`` of checks for parsers whose bodies come as they come.

    >>> joined(["begin", ("body", b"a"), ("body", b"b"), "end", b"c", b"d"])
    ['begin', ('body', b'ab'), 'end', b'cd']

    Pieces are bytes, and tuples that end with bytes or text and are alike before that; ``plain`` makes such tuples of a
    parser's own events. Give what is whole another form: a list, or a tuple that ends with something else.
    """
    found: list[object] = []
    for result in results:
        both = _both(found[-1], result) if found else None
        if both is None:
            found.append(result)
        else:
            found[-1] = both
    return found


def _both(last: object, more: object) -> object:
    """Return two pieces of one stream as one, or None if they are not that."""
    if isinstance(last, bytes) and isinstance(more, bytes):
        return last + more
    if not (isinstance(last, tuple) and isinstance(more, tuple) and last and more):
        return None
    one, two = last[-1], more[-1]
    is_piece = isinstance(one, (bytes, str)) and type(one) is type(two) and last[:-1] == more[:-1]
    return (*last[:-1], one + two) if is_piece else None


class _Driver:
    """Feeds one parser, and remembers."""

    def __init__(self, parser: Any, plain: Callable[[Any], object]) -> None:
        self._parser = parser
        self._plain = plain
        self._feed = parser.feed if hasattr(parser, "feed") else parser
        if not callable(self._feed):
            raise TypeError(f"a parser is a function, or has a method feed: not {type(parser).__name__}")
        self.results: list[object] = []
        self.fed = 0

    def run(self, way: Way) -> None:
        """Feed all the pieces, then say that nothing more comes."""
        for piece, size, kind in zip(made(way), map(len, way.pieces), way.kinds):
            self.fed += size
            self._keep(self._feed(piece))
            if kind == REUSED:
                piece[:] = b"\xdd" * size  # type: ignore[index]  # a memoryview
        if hasattr(self._parser, "end"):
            self._keep(self._parser.end())

    def _keep(self, given: object) -> None:
        """Take note of results, those too that come before an error."""
        match given:
            case None:
                pass
            case Coroutine() | AsyncIterator():
                if isinstance(given, Coroutine):
                    given.close()  # else Python warns that nobody has awaited it
                raise TypeError("the parser is asynchronous: give a function that runs it in a loop")
            case str() | bytes() | bytearray() | memoryview() | BaseBuffer():
                self._flow(self._plain(given))
            case Iterable() if not isinstance(given, Mapping):
                for result in given:
                    self.results.append(self._plain(result))
            case _:
                self.results.append(self._plain(given))

    def _flow(self, piece: object) -> None:
        """Join text or bytes to those before: what is given so is a stream, which has no borders of its own."""
        last = self.results[-1] if self.results else None
        if not piece:
            return
        if type(last) is type(piece):
            self.results[-1] = last + piece  # type: ignore[operator]  # both are bytes, or both text
        else:
            self.results.append(piece)

    def taken(self) -> int | None:
        pending = getattr(self._parser, "pending", None)
        if callable(pending):
            pending = pending()
        return self.fed - pending if isinstance(pending, int) else None

    def remainder(self, data: bytes) -> bytes | None:
        """Return what the parser gives back, and what it was not fed after an error; None if it gives nothing back."""
        if not hasattr(self._parser, "detach"):
            return None
        try:
            left = plain(self._parser.detach())
        except Exception:  # noqa: BLE001  # it has ended: an error closes most parsers
            return None
        assert isinstance(left, bytes), f"detach() gives bytes back, not {left!r}"
        return left + data[self.fed :]


def driven(
    parser: Any, way: Way, plain: Callable[[Any], object], error_text: Callable[[Exception], str] = str
) -> Outcome:
    """Return what comes of the pieces. Any Exception is a part of that."""
    driver = _Driver(parser, plain)
    cause = None
    try:
        driver.run(way)
    except Exception as caught:  # noqa: BLE001  # it is what the caller compares
        cause = caught
    error = None if cause is None else (type(cause), error_text(cause))
    taken = driver.taken()
    return Outcome(driver.results, error, taken, driver.remainder(b"".join(way.pieces)), cause)
