"""The exceptions: the sentence, the facts, the builtin one would guess, and that nothing is lost on the way."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from bytebufs import errors
from bytebufs.errors import (
    BrokenSink,
    BrokenSource,
    Busy,
    BytebufsError,
    ClosedError,
    CopyForbidden,
    Fragmented,
    FrameError,
    LimitExceeded,
    TextError,
    TruncatedFile,
    Underrun,
)

EVERY_ERROR = [
    (
        Underrun(8, 3),
        EOFError,
        "8 bytes were asked for, 3 are there",
        {"requested": 8, "available": 3, "separator": None, "at": None},
    ),
    (
        Underrun(8, 3, None, 12),
        EOFError,
        "8 bytes were asked for, 3 are there (at byte 12)",
        {"requested": 8, "available": 3, "separator": None, "at": 12},
    ),
    (
        Underrun(6, 5, b"\r\n"),
        EOFError,
        r"b'\r\n' is not in the 5 bytes that are there",
        {"requested": 6, "available": 5, "separator": b"\r\n", "at": None},
    ),
    (
        LimitExceeded(1000),
        ValueError,
        "the limit of 1000 bytes is exceeded",
        {"limit": 1000, "announced": None, "at": None},
    ),
    (
        LimitExceeded(1000, None, 52),
        ValueError,
        "the limit of 1000 bytes is exceeded (at byte 52)",
        {"limit": 1000, "announced": None, "at": 52},
    ),
    (
        LimitExceeded(1000, 2**32 - 1, 0),
        ValueError,
        "the limit of 1000 bytes is exceeded by the 4294967295 that are announced (at byte 0)",
        {"limit": 1000, "announced": 2**32 - 1, "at": 0},
    ),
    (FrameError("no such type"), ValueError, "no such type", {"reason": "no such type", "at": None}),
    (FrameError("no such type", 0), ValueError, "no such type (at byte 0)", {"reason": "no such type", "at": 0}),
    (
        TextError("utf-8", b"ab\xff", 2, 3, "invalid start byte", 12),
        UnicodeDecodeError,
        "'utf-8' codec can't decode byte 0xff in position 2: invalid start byte (at byte 12)",
        {"at": 12},
    ),
    (
        Fragmented(3),
        BufferError,
        "the bytes lie in 3 parts: loop with 'for v in b.views()', or pay for one copy with b.contiguous()",
        {"parts": 3},
    ),
    (
        CopyForbidden("needle", 70_000),
        RuntimeError,
        "a copy of 70000 bytes (needle) inside no_copy()",
        {"reason": "needle", "nbytes": 70_000},
    ),
    (
        TruncatedFile("log.0", 4096, 100),
        OSError,
        "log.0 ends at byte 100, expected at least 4096",
        {"file": "log.0", "expected": 4096, "found": 100},
    ),
    (
        BrokenSink("a signal came in between"),
        OSError,
        "a signal came in between",
        {"reason": "a signal came in between"},
    ),
    (
        BrokenSource("a signal came in between"),
        OSError,
        "a signal came in between",
        {"reason": "a signal came in between"},
    ),
    (Busy("the outbox"), RuntimeError, "the outbox is in use", {"what": "the outbox"}),
    (ClosedError("the map"), ValueError, "the map is closed", {"what": "the map"}),
]
NAMES = [f"{type(row[0]).__name__}-{i}" for i, row in enumerate(EVERY_ERROR)]

WAYS = [copy.copy, copy.deepcopy] + [
    lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
]
WAY_NAMES = ["copy", "deepcopy", *(f"pickle{protocol}" for protocol in range(pickle.HIGHEST_PROTOCOL + 1))]

each_error = pytest.mark.parametrize(("error", "builtin", "sentence", "facts"), EVERY_ERROR, ids=NAMES)
each_way = pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)


@each_error
def test_it_writes_the_sentence_and_keeps_the_facts(
    error: BytebufsError, builtin: type[Exception], sentence: str, facts: dict[str, object]
) -> None:
    assert str(error) == sentence
    assert {name: getattr(error, name) for name in facts} == facts
    assert vars(error).keys() <= facts.keys()
    assert repr(error).startswith(f"{type(error).__name__}(")


@each_error
def test_it_is_also_the_builtin_that_one_would_guess(
    error: BytebufsError, builtin: type[Exception], sentence: str, facts: dict[str, object]
) -> None:
    assert isinstance(error, BytebufsError)
    assert isinstance(error, builtin)


@each_way
@each_error
def test_it_survives_pickle_and_copy(
    error: BytebufsError, builtin: type[Exception], sentence: str, facts: dict[str, object], way: Any
) -> None:
    twin = way(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert (str(twin), vars(twin), twin.args) == (sentence, vars(error), error.args)
    assert {name: getattr(twin, name) for name in facts} == facts


@each_way
def test_what_was_added_later_survives_too(way: Any) -> None:
    """Notes, and what flushing sets on an error that it lets pass."""
    error = BrokenSink("unknown progress")
    error.bytes_flushed = 17  # type: ignore[attr-defined]
    error.add_note("while sending the index")
    twin = way(error)
    assert twin.bytes_flushed == 17
    assert twin.__notes__ == ["while sending the index"]


class BadChecksum(FrameError):
    """What a user may derive: with a constructor of its own, and fewer arguments than the base."""

    def __init__(self, found: int) -> None:
        super().__init__(f"the checksum is {found}", 4)
        self.found = found


@each_way
def test_an_error_of_the_users_own_survives_with_its_own_constructor(way: Any) -> None:
    twin = way(BadChecksum(99))
    assert type(twin) is BadChecksum
    assert str(twin) == "the checksum is 99 (at byte 4)"
    assert vars(twin) == {"reason": "the checksum is 99", "at": 4, "found": 99}


class Incomplete(Underrun):
    """The same of what writes its sentence only when somebody reads it."""

    def __init__(self, kind: str) -> None:
        Underrun.__init__(self, available=1, requested=4)
        self.kind = kind


@each_way
def test_an_underrun_shows_its_sentence_however_it_was_made(way: Any) -> None:
    for error in (Underrun(4, 1), Underrun(available=1, requested=4), Incomplete("SETUP")):
        twin = way(error)
        assert (str(twin), vars(twin)) == ("4 bytes were asked for, 1 are there", vars(error))
        assert repr(twin) == f"{type(error).__name__}('4 bytes were asked for, 1 are there')"


@each_way
def test_the_root_itself_keeps_what_it_was_given(way: Any) -> None:
    assert way(BytebufsError("anything", 1)).args == ("anything", 1)


def test_a_deep_copy_shares_nothing_that_can_change() -> None:
    name = ["log", 0]
    twin = copy.deepcopy(TruncatedFile(name, 2, 1))
    assert twin.file == name
    assert twin.file is not name


def test_the_limit_does_not_tell_how_much_was_seen() -> None:
    """That depends on how the input was cut, and a parser's answer must not."""
    assert list(inspect.signature(LimitExceeded).parameters) == ["limit", "announced", "at"]


@each_way
def test_what_is_no_text_has_the_facts_of_both_errors_that_it_is(way: Any) -> None:
    twin = way(TextError("utf-8", b"ab\xff", 2, 3, "invalid start byte", 12))
    assert isinstance(twin, FrameError)
    assert isinstance(twin, UnicodeDecodeError)
    assert (twin.encoding, twin.object, twin.start, twin.end) == ("utf-8", b"ab\xff", 2, 3)
    assert (twin.reason, twin.at) == ("invalid start byte", 12)


def test_every_error_stands_in_the_tree_and_is_exported() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert defined == set(errors.__all__) - {"underrun"}
    assert {type(row[0]).__name__ for row in EVERY_ERROR} | {"BytebufsError"} == defined
    assert errors.__doc__ is not None
    for error, builtin, _, _ in EVERY_ERROR:
        assert f"{type(error).__name__} ({builtin.__name__})" in errors.__doc__, "the drawing of the tree"


@pytest.mark.parametrize("guessed", [EOFError, ValueError, BufferError, RuntimeError, OSError])
def test_the_builtin_catches_it(guessed: type[Exception]) -> None:
    for error in [row[0] for row in EVERY_ERROR if row[1] is guessed]:
        with pytest.raises(guessed, match=r"\w+"):
            raise error


def test_an_underrun_that_is_made_in_less_time_is_the_same() -> None:
    for facts in ((8, 3), (8, 3, None, 12), (6, 5, b"\r\n")):
        made, other = errors.underrun(*facts), Underrun(*facts)
        assert (type(made), made.args, str(made), vars(made)) == (Underrun, other.args, str(other), vars(other))
