"""Proof that a parser does not depend on how its input was cut: results, errors and remainder are those of the whole.

Whatever reads a stream gets it in pieces that nobody chose: a segment, a TLS record, what a buffer had
room for. A parser that is right for one cut and wrong for another is what tests with whole messages never find.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._core.parts import shown
from ..base_buffer import BaseBuffer
from .cuts import KINDS, REUSED, Way, at_once, made, ways, without_empties
from .outcomes import Outcome, driven
from .outcomes import plain as as_plain
from .pictures import picture
from .protocols import Connected
from .shrinking import shrunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..base_buffer import BytesLike

__all__ = ["DependsOnCuts", "check_fragmentation", "outcome_of"]

_MISTAKES = (AssertionError, AttributeError, NameError, RecursionError, TimeoutError, TypeError)
"""Errors by which no parser means to say that bytes are bad."""


class DependsOnCuts(AssertionError):
    """What a parser made of an input in pieces is not what it made of the whole.

    ``pieces`` is the smallest input that was found, as it was cut, and ``kinds`` says what each piece was; ``together``
    is the outcome of the whole, ``apart`` that of the pieces.
    """

    def __init__(self, pieces: Sequence[bytes], kinds: Sequence[str], together: Outcome, apart: Outcome) -> None:
        super().__init__(pieces, kinds, together, apart)
        self.pieces: tuple[bytes, ...] = tuple(pieces)
        self.kinds: tuple[str, ...] = tuple(kinds)
        self.together = together
        self.apart = apart

    def __str__(self) -> str:
        """Draw both ways, and what came of each."""
        whole = at_once(b"".join(self.pieces), self.kinds[0])
        return "\n".join(
            [
                "what comes of the input depends on how it is cut",
                picture(made(whole)),
                *_indented(self.together),
                picture(made(Way(self.pieces, self.kinds))),
                *_indented(self.apart),
            ]
        )


def _indented(outcome: Outcome) -> list[str]:
    return [f"  -> {line}" for line in str(outcome).splitlines()]


def check_fragmentation(
    make_parser: Callable[[], Any],
    data: BytesLike,
    *,
    plain: Callable[[Any], object] = as_plain,
    key: Callable[[list[object]], list[object]] | None = None,
    kinds: Iterable[str] | None = None,
    empties: bool = True,
    errors: tuple[type[Exception], ...] = (),
    error_text: Callable[[Exception], str] = str,
    random_cuts: int = 100,
    limit: int = 500,
    seed: int = 0,
    shrink: bool = True,
) -> Outcome:
    r"""Feed data to one parser at once, to others in all kinds of pieces; return the outcome if it is always the same.

    >>> from bytebufs import Lines
    >>> check_fragmentation(lambda: Lines(limit=80), b"one\r\ntwo\nth").results
    [b'one', b'two']

    ``make_parser`` gives a new parser each time: a function from a piece to results, or an object with such a ``feed``
    and, where it has them, ``end()`` (called after the last piece; may give results), ``pending`` (the number of
    bytes not yet done with, after an error too; an attribute or a method) and ``detach()`` (gives what is left). Of a
    parser that throws away what it holds when something is wrong, give ``feed`` alone. Results are an iterable, one
    object, or None: of a parser that calls back, return what it has called, else there is nothing to compare.
    Bytes and text that are returned, and do not stand in a list, are a stream: what comes in two pieces equals what
    comes in one.

    ``plain`` makes a result a value that can be compared, at once, before the parser goes on; ``key`` is given the list
    of all at the end, and returns what is compared: ``joined`` is for results that may come in any number of pieces. An
    Exception is compared by type and text; ``error_text`` gives what is compared instead of the text, which may tell of
    places in the last piece. Those by which no parser means to say that bytes are bad (AssertionError, AttributeError,
    NameError, RecursionError, TimeoutError, TypeError) are raised if they come of the whole, but for those named in
    ``errors``.

    ``kinds`` are those of the pieces: bytes, bytearray, memoryview, slice, composite; by default those that the parser
    takes. ``reused`` is for parsers that have to be done with a piece when they return: its memory is overwritten.
    ``empties=False`` is for parsers to which an empty piece says that nothing more comes.

    Raises DependsOnCuts with the smallest input and cut that fail, as a picture; with ``shrink=False`` the data are
    left as they are. ValueError if the whole gives another outcome the second time. What is tried depends on the
    arguments alone. Complexity: O(n²) for n bytes, as each place is cut; over ``limit`` bytes it is O(n · limit), with
    cuts at so many places.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not ours
    if limit < 1 or random_cuts < 0:
        raise ValueError(
            f"at least 1 place is cut, and no fewer than 0 random cuts are made: not {limit}, {random_cuts}"
        )
    content = _bytes_of(data)
    check = _Check(make_parser, plain, key, errors, error_text)
    if kinds is not None:
        check.kinds = _known(kinds)
    expected = check.whole(content)
    check.refuse_mistakes(expected, content)
    if (again := check.whole(content)) != expected:
        raise ValueError(_unlike(content, expected, again))
    if kinds is None:
        check.kinds = tuple(
            kind for kind in KINDS if kind == "bytes" or (kind != REUSED and check.takes(kind, content))
        )
    allowed = _as_it_is if empties else without_empties
    for way in ways(content, kinds=check.kinds, random_cuts=random_cuts, limit=limit, seed=seed):
        if check.run(allowed(way)) != expected:
            smallest = shrunk(allowed(way), check.fails, plainest=check.kinds[0], data_too=shrink, allowed=allowed)
            raise check.failure(smallest)
    return expected


def outcome_of(parser: Any, pieces: Iterable[bytes], *, plain: Callable[[Any], object] = as_plain) -> Outcome:
    r"""Feed pieces to a parser, and return what comes of them: for tests that cut for themselves.

    >>> from bytebufs import Lines
    >>> print(outcome_of(Lines(limit=80), [b"one\r", b"\ntwo"]))
    result     b'one'
    error      Underrun: 4 bytes were asked for, 3 are there (at byte 5)
    taken      5
    remainder  b'two'

    The parser is as for ``check_fragmentation``, and so is ``plain``.
    """
    cut = tuple(pieces)
    return _of(parser, Way(cut, ("bytes",) * len(cut)), plain)


def _of(parser: Any, way: Way, plain: Callable[[Any], object], error_text: Callable[[Exception], str] = str) -> Outcome:
    fed = Connected(lambda: parser) if isinstance(parser, asyncio.BaseProtocol) else parser
    with fed if hasattr(type(fed), "__enter__") else nullcontext(fed) as entered:
        return driven(entered, way, plain, error_text)


def _as_it_is(way: Way) -> Way:
    return way


def _unlike(data: bytes, first: Outcome, second: Outcome) -> str:
    """Say that a parser does not repeat itself, and what to do about that."""
    return "\n".join(
        [
            f"the whole gives another outcome the second time: {shown(data)}",
            *_indented(first),
            "the second time",
            *_indented(second),
            "make_parser is to make a new parser each time; what is never twice the same is for plain= to leave out",
        ]
    )


def _known(kinds: Iterable[str]) -> tuple[str, ...]:
    names = tuple(kinds)
    if not names or not set(names) <= set(KINDS):
        raise ValueError(f"the kinds of pieces are {', '.join(KINDS)}, and at least one is needed: not {names}")
    return names


def _bytes_of(data: BytesLike) -> bytes:
    return bytes(data) if isinstance(data, BaseBuffer) else bytes(memoryview(data))


class _Check:
    """One parser's outcomes."""

    kinds: tuple[str, ...] = ("bytes",)

    def __init__(
        self,
        make_parser: Callable[[], Any],
        plain: Callable[[Any], object],
        key: Callable[[list[object]], list[object]] | None,
        errors: tuple[type[Exception], ...],
        error_text: Callable[[Exception], str],
    ) -> None:
        self._make_parser = make_parser
        self._plain = plain
        self._key = key
        self._errors = errors
        self._error_text = error_text

    def run(self, way: Way) -> Outcome:
        outcome = _of(self._make_parser(), way, self._plain, self._error_text)
        if self._key is None:
            return outcome
        results = self._key(outcome.results)
        if not isinstance(results, list):
            raise TypeError(
                f"key= gives the list that is compared, as sorted does, not list.sort: not {shown(results)}"
            )
        return replace(outcome, results=results)

    def whole(self, data: bytes) -> Outcome:
        return self.run(at_once(data, self.kinds[0]))

    def takes(self, kind: str, data: bytes) -> bool:
        """Say whether the parser takes pieces of this kind."""
        return not self._is_mistake(self.run(Way((data,), (kind,))))

    def _is_mistake(self, outcome: Outcome) -> bool:
        kind = outcome.error[0] if outcome.error else Exception
        return issubclass(kind, _MISTAKES) and not issubclass(kind, self._errors)

    def refuse_mistakes(self, outcome: Outcome, data: bytes) -> None:
        """Raise the error of the whole, if it says that something is wrong with the parser or how it is called."""
        if self._is_mistake(outcome):
            assert outcome.cause is not None
            outcome.cause.add_note(
                f"of {shown(data)} at once; if that is how the parser refuses bytes, name it in errors="
            )
            raise outcome.cause

    def fails(self, way: Way) -> bool:
        return self.run(way) != self.whole(b"".join(way.pieces))

    def failure(self, way: Way) -> DependsOnCuts:
        data = b"".join(way.pieces)
        return DependsOnCuts(way.pieces, way.kinds, self.whole(data), self.run(way))
