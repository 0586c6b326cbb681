"""check_fragmentation: right parsers pass, wrong ones fail with the smallest input and cut."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from bytebufs import (
    CompositeBuffer,
    Delimited,
    FixedLength,
    LengthPrefixed,
    Lines,
    SliceBuffer,
    Underrun,
    VarintPrefixed,
)
from bytebufs.testing import DependsOnCuts, Outcome, check_fragmentation, outcome_of


def failure(make_parser: Callable[[], Any], data: bytes, **options: Any) -> DependsOnCuts:
    with pytest.raises(DependsOnCuts) as caught:
        check_fragmentation(make_parser, data, **options)
    return caught.value


# -- what passes


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda: Lines(limit=4), b"one\r\ntwo\nth"),
        (lambda: Lines(limit=4), b"one\r\nfours\nth"),
        (lambda: Lines(limit=4, on_error="skip"), b"one\r\nfours\nth\r\n"),
        (lambda: Delimited(b"ab", b"abc", limit=4), b"xababcabx"),
        (lambda: FixedLength(3), b"abcdefgh"),
        (lambda: LengthPrefixed(1, limit=4), b"\2ab\0\4abcd\5abcde"),
        (lambda: VarintPrefixed(4), b"\2ab\x84\0abcd\5"),
    ],
    ids=["lines", "a line too long", "skipping", "delimited", "fixed", "prefixed", "varint"],
)
def test_our_framers_pass(make: Callable[[], Any], data: bytes) -> None:
    check_fragmentation(make, data)


def test_the_outcome_is_returned() -> None:
    outcome = check_fragmentation(lambda: Lines(limit=8), b"one\r\ntwo\nth")
    assert outcome == Outcome([b"one", b"two"], (Underrun, "3 bytes were asked for, 2 are there (at byte 9)"), 9, b"th")
    assert isinstance(outcome.cause, Underrun)


def test_what_was_not_fed_after_an_error_remains() -> None:
    def make() -> Any:
        left = bytearray()

        def feed(chunk: bytes) -> Iterator[str]:
            left.extend(chunk)
            while left:
                if left[0] > 127:
                    raise ValueError("not ASCII")
                yield chr(left.pop(0))

        return SimpleNamespace(feed=feed, detach=lambda: left)

    outcome = check_fragmentation(make, b"ab\xffcd", key=lambda results: ["".join(map(str, results))])
    assert outcome.results == ["ab"]
    assert outcome.error == (ValueError, "not ASCII")
    assert outcome.remainder == b"\xffcd"


@pytest.mark.parametrize(
    ("make", "data", "result"),
    [
        (lambda: codecs.getincrementaldecoder("utf-8")().decode, "aé€😀".encode(), "aé€😀"),
        (lambda: zlib.decompressobj().decompress, zlib.compress(b"abcabc"), b"abcabc"),
    ],
    ids=["text", "bytes"],
)
def test_text_and_bytes_that_are_returned_are_a_stream(make: Callable[[], Any], data: bytes, result: object) -> None:
    assert check_fragmentation(make, data).results == [result]


def test_text_and_bytes_do_not_join() -> None:
    alternating = lambda: lambda chunk: chunk.decode() if chunk.isalpha() else chunk
    assert failure(alternating, b"a1", shrink=False).apart.results == ["a", b"1"]


def test_a_parser_may_give_one_result_or_none() -> None:
    def make() -> Any:
        seen: list[int] = []

        def feed(chunk: bytes) -> int | dict[str, int] | None:
            seen.extend(chunk)
            return None

        return SimpleNamespace(feed=feed, end=lambda: {"sum": sum(seen)}, pending=lambda: len(seen))

    outcome = check_fragmentation(make, b"\1\2\3")
    assert outcome == Outcome([{"sum": 6}], None, 0)


def test_no_bytes_are_an_input_too() -> None:
    assert check_fragmentation(lambda: Lines(limit=4), b"").results == []
    assert failure(lambda: lambda chunk: ["fed"], b"").pieces == (b"",)


@pytest.mark.parametrize(
    "data", [bytearray(b"a\nb\n"), memoryview(b"a\nb\n"), CompositeBuffer([b"a\n", b"b\n"])], ids=type
)
def test_data_may_be_whatever_is_like_bytes(data: Any) -> None:
    assert check_fragmentation(lambda: Lines(limit=4), data).results == [b"a", b"b"]


# -- what fails


def test_a_parser_without_memory_fails_at_a_seam() -> None:
    assert failure(lambda: bytes.split, b"one two").pieces == (b"a", b"a")


def test_without_shrinking_the_data_stay() -> None:
    error = failure(lambda: bytes.split, b"one two", shrink=False)
    assert b"".join(error.pieces) == b"one two"
    assert len(error.pieces) == 2


def test_a_message_shows_both_ways_and_what_came() -> None:
    assert str(failure(lambda: bytes.split, b"one two")).splitlines() == [
        "what comes of the input depends on how it is cut",
        "2 bytes in 1 piece",
        "         0          2  b'aa'",
        "  -> result     b'aa'",
        "2 bytes in 2 pieces",
        "         0          1  b'a'",
        "         1          2  b'a'",
        "  -> result     b'a'",
        "  -> result     b'a'",
    ]


def test_a_piece_that_is_kept_fails_where_memory_is_used_again() -> None:
    def make() -> Any:
        kept: list[Any] = []
        return SimpleNamespace(feed=kept.append, end=lambda: [b"".join(kept)])

    check_fragmentation(make, b"abc", kinds=["bytes", "memoryview"])
    error = failure(make, b"abc", kinds=["bytes", "reused"])
    assert error.pieces == (b"a",)
    assert error.kinds == ("reused",)
    assert "memoryview" in str(error)


def test_the_kinds_are_those_that_the_parser_takes() -> None:
    seen: set[type] = set()

    def make() -> Any:
        def feed(chunk: Any) -> None:
            if isinstance(chunk, SliceBuffer | CompositeBuffer):
                raise TypeError("no buffers")
            seen.add(type(chunk))

        return feed

    check_fragmentation(make, b"abc")
    assert seen == {bytes, bytearray, memoryview}


@pytest.mark.parametrize("kinds", [[], ["bites"]], ids=["none", "unknown"])
def test_kinds_that_are_none_are_refused(kinds: list[str]) -> None:
    with pytest.raises(ValueError, match="the kinds of pieces are bytes, bytearray"):
        check_fragmentation(lambda: Lines(limit=4), b"a", kinds=kinds)


def test_a_parser_that_is_wrong_for_one_kind_of_piece_alone() -> None:
    only_bytes = lambda: lambda chunk: bytes(chunk) if isinstance(chunk, bytes) else b"?" * len(chunk)
    error = failure(only_bytes, b"abc", kinds=["bytes", "bytearray"])
    assert (error.pieces, error.kinds) == ((b"a",), ("bytearray",))


def test_whoever_cuts_for_himself_gets_what_comes() -> None:
    assert outcome_of(Lines(limit=4), [b"ab\r", b"\ncd"]).results == [b"ab"]
    assert outcome_of(lambda piece: [piece], [b"ab", b""], plain=len) == Outcome([2, 0])


# -- what is raised as it is


def test_a_mistake_in_a_parser_is_no_outcome() -> None:
    with pytest.raises(AttributeError, match="no attribute") as caught:
        check_fragmentation(lambda: lambda chunk: chunk.spilt(), b"ab")
    assert "name it in errors=" in caught.value.__notes__[0]


def test_unless_it_is_named() -> None:
    def feed(chunk: bytes) -> None:
        raise TypeError("no text")

    assert check_fragmentation(lambda: feed, b"ab", errors=(TypeError,)).error == (TypeError, "no text")


def test_recursion_without_end_is_a_mistake() -> None:
    def feed(chunk: bytes) -> object:
        return feed(chunk)

    with pytest.raises(RecursionError):
        check_fragmentation(lambda: feed, b"ab")


def test_a_parser_that_does_not_repeat_itself_is_refused() -> None:
    counter = iter(range(1_000_000))
    with pytest.raises(ValueError, match="another outcome the second time: b'ab'") as caught:
        check_fragmentation(lambda: lambda chunk: [next(counter)], b"ab")
    assert str(caught.value).splitlines()[1:4] == ["  -> result     0", "the second time", "  -> result     1"]


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"random_cuts": -1}], ids=str)
def test_fewer_cuts_than_none_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 place is cut"):
        check_fragmentation(lambda: Lines(limit=4), b"one", **options)  # type: ignore[arg-type]  # any option


def test_a_key_that_returns_no_list_is_refused() -> None:
    with pytest.raises(TypeError, match=r"as sorted does, not list\.sort: not None"):
        check_fragmentation(lambda: lambda chunk: [chunk], b"ab", key=list.sort)  # type: ignore[arg-type]


@pytest.mark.parametrize("parser", [None, (piece for piece in b"ab")], ids=["none", "a generator"])
def test_what_is_no_parser_is_refused(parser: object) -> None:
    with pytest.raises(TypeError, match=r"a function, or has a method feed: not (NoneType|generator)"):
        check_fragmentation(lambda: parser, b"ab")


def test_a_parser_that_has_to_be_awaited_is_refused() -> None:
    async def answers(chunk: bytes) -> list[bytes]:
        return [chunk]

    async def yields(chunk: bytes) -> AsyncIterator[bytes]:
        yield chunk

    for parser in (answers, yields):
        with pytest.raises(TypeError, match="the parser is asynchronous"):
            check_fragmentation(partial(SimpleNamespace, feed=parser), b"ab")


def test_an_interrupt_goes_through() -> None:
    def feed(chunk: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_fragmentation(lambda: feed, b"ab")


# -- what is tried


def tried(data: bytes, **options: Any) -> list[tuple[bytes, ...]]:
    """Return the cuts of all runs."""
    runs: list[list[bytes]] = []

    def make() -> Any:
        pieces: list[bytes] = []
        runs.append(pieces)
        return lambda chunk: pieces.append(bytes(chunk))

    check_fragmentation(make, data, **options)
    return [tuple(run) for run in runs]


def test_every_cut_in_two_is_tried_single_bytes_too_and_empties() -> None:
    runs = set(tried(b"abcd"))
    assert {(b"abcd"[:k], b"abcd"[k:]) for k in range(5)} <= runs
    assert (b"a", b"b", b"c", b"d") in runs
    assert (b"ab", b"", b"cd") in runs
    assert (b"a", b"b", b"cd") in runs
    assert any(run.count(b"") > 8 for run in runs)


def test_who_takes_an_empty_piece_for_the_end_gets_none() -> None:
    assert not any(b"" in run for run in tried(b"abcd", empties=False))
    assert failure(lambda: lambda chunk: [chunk], b"abcd", empties=False).pieces == (b"a", b"a")


def test_the_same_is_tried_every_time_and_another_seed_tries_other_cuts() -> None:
    data = bytes(range(50))
    assert tried(data) == tried(data)
    assert tried(data, random_cuts=0) != tried(data)
    assert set(tried(data, seed=1)) - set(tried(data))


def test_long_data_are_cut_at_so_many_places() -> None:
    runs = tried(bytes(1000), limit=10, random_cuts=0, kinds=["bytes"])
    assert sorted(len(run[0]) for run in runs if len(run) == 2) == [*range(0, 1000, 100), 1000]
    assert len(runs) < 50


def test_of_an_errors_text_as_much_is_compared_as_the_caller_says() -> None:
    def feed(piece: bytes) -> None:
        if b"?" in piece:
            raise ValueError(f"bad byte at {piece.index(b'?')}")

    assert failure(lambda: feed, b"a?", kinds=["bytes"]).apart.error == (ValueError, "bad byte at 0")
    told = check_fragmentation(
        lambda: feed, b"a?", kinds=["bytes"], error_text=lambda error: str(error).partition(" at ")[0]
    )
    assert told.error == (ValueError, "bad byte")
