"""check_framer lets every framer of the library pass, and none of those that break one promise each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from hypothesis import strategies as st

from bytebufs import Delimited, FixedLength, Framer, LengthPrefixed, Lines, VarintPrefixed
from bytebufs.testing import BreaksPromise, DependsOnCuts, check_framer

from ..conftest import IS_QUICK, IS_SHORT

EXAMPLES: Final = 5 if IS_QUICK else 10 if IS_SHORT else 50

FRAMERS: Final[dict[str, tuple[Callable[[], Framer], dict[str, Any]]]] = {
    "Lines": (lambda: Lines(limit=80), {"bad": [b"a" * 81], "limit": 82}),
    "Lines, ends kept": (
        lambda: Lines(limit=80, keepends=True),
        {"payloads": st.binary(max_size=8).map(lambda line: line + b"\n"), "bad": [b"a" * 81], "limit": 82},
    ),
    "Delimited": (lambda: Delimited(b"a", b"ab", limit=10), {"bad": [b"x" * 13], "limit": 12}),
    "Delimited, skipping": (lambda: Delimited(b";", limit=10, on_error="skip"), {"limit": 11}),
    "FixedLength": (lambda: FixedLength(3), {"payloads": st.binary(min_size=3, max_size=3), "limit": 3}),
    "LengthPrefixed": (lambda: LengthPrefixed(2, limit=100), {"bad": [b"\x01\x00"], "limit": 100}),
    "VarintPrefixed": (lambda: VarintPrefixed(100), {"bad": [b"\x80" * 10, b"\xff\x01"], "limit": 110}),
}


@pytest.mark.parametrize("name", FRAMERS)
def test_the_librarys_own_pass(name: str) -> None:
    make, options = FRAMERS[name]
    check_framer(make, max_examples=EXAMPLES, **options)


class Semicolons:
    """A right framer as people write them: frames of at most 8 bytes that end at a semicolon."""

    limit = 8

    def __init__(self) -> None:
        self.left = b""
        self.error = ""

    def encode(self, payload: bytes) -> bytes:
        if b";" in payload or len(payload) > self.limit:
            raise ValueError(payload)
        return payload + b";"

    def feed(self, part: bytes) -> Iterator[bytes]:
        self.left += bytes(part)
        return self.frames()

    def frames(self) -> Iterator[bytes]:
        self.refuse_if_closed()
        while b";" in self.left[: self.limit + 1]:
            frame, _, self.left = self.left.partition(b";")
            yield frame
        if len(self.left) > self.limit:
            self.error = "too long"
            self.refuse_if_closed()

    def refuse_if_closed(self) -> None:
        if self.error:
            raise RuntimeError(self.error)

    def pending(self) -> int:
        return len(self.left)

    def end(self) -> None:
        if self.left:
            raise EOFError(self.left)

    def detach(self) -> bytes:
        left, self.left, self.error = self.left, b"", "detached"
        return left


class Spartan:
    """Has feed and encode alone, and what it frames is text."""

    def __init__(self) -> None:
        self._inner = Semicolons()

    def encode(self, payload: str) -> bytes:
        return self._inner.encode(payload.encode("ascii"))

    def feed(self, part: bytes) -> list[str]:
        return [frame.decode("ascii") for frame in self._inner.feed(part)]


BAD: Final = [b"a" * 9]


def test_a_framer_of_somebodys_own_passes() -> None:
    check_framer(Semicolons, bad=BAD, limit=9, max_examples=EXAMPLES)
    check_framer(Spartan, payloads=["", "a", "bc"], max_examples=EXAMPLES)


class DropsEmptyFrames(Semicolons):
    def frames(self) -> Iterator[bytes]:
        return filter(None, super().frames())


class StripsFrames(Semicolons):
    def frames(self) -> Iterator[bytes]:
        return map(bytes.strip, super().frames())


class FramesTheUnfinished(Semicolons):
    def frames(self) -> Iterator[bytes]:
        yield from super().frames()
        if len(self.left) > 2:
            yield self.left
            self.left = b""


class ForgetsTheUnfinished(Semicolons):
    def feed(self, part: bytes) -> Iterator[bytes]:
        self.left = b""
        return super().feed(part)


class LooksIntoEachPieceAlone(Semicolons):
    def feed(self, part: bytes) -> Iterator[bytes]:
        if self.left and bytes(part).startswith(b";"):
            part = bytes(part[1:])
        return super().feed(part)


class CountsSeparators(Semicolons):
    fed = 0

    def feed(self, part: bytes) -> Iterator[bytes]:
        self.fed += len(part)
        return super().feed(part)

    def pending(self) -> int:
        return self.fed


class EndsInSilence(Semicolons):
    def end(self) -> None:
        self.left = b""


class ForgetsAtTheEnd(Semicolons):
    def end(self) -> None:
        left, self.left = self.left, b""
        if left:
            raise EOFError(left)


class RefusesEveryEnd(Semicolons):
    def end(self) -> None:
        raise EOFError


class DetachesNothing(Semicolons):
    def detach(self) -> bytes:
        super().detach()
        return b""


class GoesOnWhenDetached(Semicolons):
    def detach(self) -> bytes:
        left, self.left = self.left, b""
        return left


class GoesOnAfterAnError(Semicolons):
    def frames(self) -> Iterator[bytes]:
        try:
            yield from super().frames()
        except RuntimeError:
            if self.error == "too long":
                self.left, self.error = b"", ""
            raise


class RefusesNothing(Semicolons):
    def frames(self) -> Iterator[bytes]:
        self.refuse_if_closed()
        while b";" in self.left:
            frame, _, self.left = self.left.partition(b";")
            yield frame

    def end(self) -> None:
        pass


class LosesFramesBeforeAnError(Semicolons):
    def frames(self) -> Iterator[bytes]:
        if len(self.left.rpartition(b";")[2]) > self.limit:
            self.error = "too long"
        return super().frames()


class RefusesLate(Semicolons):
    """Its limit holds only once the separator has come."""

    def frames(self) -> Iterator[bytes]:
        return super().frames() if b";" in self.left else iter(())


MUTANTS: Final[dict[type[Semicolons], str]] = {
    DropsEmptyFrames: "frames give their payloads back",
    StripsFrames: "frames give their payloads back",
    FramesTheUnfinished: "whole frames come at once",
    CountsSeparators: "pending tells the bytes behind the last frame",
    EndsInSilence: "end() raises if bytes are left, only then",
    ForgetsAtTheEnd: "pending tells the bytes behind the last frame",
    RefusesEveryEnd: "end() raises if bytes are left, only then",
    DetachesNothing: "detach() gives back what lies behind",
    GoesOnWhenDetached: "detach() closes the framer",
    GoesOnAfterAnError: "an error is final",
    RefusesNothing: "what can never become a frame is refused",
    LosesFramesBeforeAnError: "good frames come before the error",
    RefusesLate: "no more is kept than the limit of 9 bytes and a block",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_who_breaks_a_promise_is_caught(mutant: type[Semicolons]) -> None:
    options: dict[str, Any] = {"limit": 9} if "is kept" in MUTANTS[mutant] else {}
    if MUTANTS[mutant].endswith(("final", "refused", "error")):
        options["bad"] = BAD
    with pytest.raises(BreaksPromise) as caught:
        check_framer(mutant, max_examples=500, **options)
    assert caught.value.promise.startswith(MUTANTS[mutant])
    assert len(b"".join(caught.value.pieces)) <= 18
    assert str(caught.value).startswith(f"{caught.value.promise}\n")
    assert caught.value.detail in str(caught.value)


@pytest.mark.parametrize("mutant", [ForgetsTheUnfinished, LooksIntoEachPieceAlone], ids=lambda mutant: mutant.__name__)
def test_who_depends_on_cuts_is_caught(mutant: type[Semicolons]) -> None:
    with pytest.raises(DependsOnCuts) as caught:
        check_framer(mutant, max_examples=500)
    assert len(b"".join(caught.value.pieces)) <= 8


def test_bad_bytes_that_are_taken_for_good_ones_are_a_broken_promise() -> None:
    with pytest.raises(BreaksPromise, match="what can never become a frame is refused"):
        check_framer(partial(Spartan), payloads=["a"], bad=[b"ab"])


class Quotes(Semicolons):
    """Frames begin with a quote: an ``a`` alone is an error, whether the framer is closed or not."""

    def encode(self, payload: bytes) -> bytes:
        return b"'" + super().encode(payload)

    def frames(self) -> Iterator[bytes]:
        self.refuse_if_closed()
        while self.left:
            if self.left[:1] != b"'":
                self.error = "no quote"
                raise RuntimeError(self.error)
            if b";" not in self.left:
                return
            frame, _, self.left = self.left.partition(b";")
            yield frame[1:]


class QuotesGoOnWhenDetached(Quotes):
    def detach(self) -> bytes:
        left, self.left = self.left, b""
        return left


class QuotesGoOnAfterAnError(Quotes):
    def feed(self, part: bytes) -> Iterator[bytes]:
        if self.error == "no quote":
            self.left, self.error = b"", ""
        return super().feed(part)


@pytest.mark.parametrize(
    ("make", "promise"),
    [(QuotesGoOnWhenDetached, "detach() closes the framer"), (QuotesGoOnAfterAnError, "an error is final")],
)
def test_who_goes_on_is_found_out_by_good_frames(make: type[Quotes], promise: str) -> None:
    check_framer(Quotes, payloads=[b"", b"b"], bad=[b"x;"], max_examples=EXAMPLES)
    with pytest.raises(BreaksPromise) as caught:
        check_framer(make, payloads=[b"", b"b"], bad=[b"x;"])
    assert caught.value.promise == promise


def test_an_error_of_a_good_frame_is_a_broken_promise() -> None:
    class RefusesAll(Semicolons):
        def frames(self) -> Iterator[bytes]:
            if self.left:
                raise RuntimeError("no")
            return iter(())

    with pytest.raises(BreaksPromise, match="frames give their payloads back") as caught:
        check_framer(RefusesAll)
    assert caught.value.pieces == (b";",)
    assert caught.value.detail == "[] and RuntimeError('no'), not [b'']"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_some_payload_has_to_have_a_frame() -> None:
    with pytest.raises(ValueError, match="refused all payloads"):
        check_framer(lambda: FixedLength(3), payloads=[b"ab"], max_examples=5)


@pytest.mark.parametrize("name", ["payloads", "bad", "endless"])
def test_one_of_what_should_be_several_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}= are several: write \[b'ab'\]"):
        check_framer(Semicolons, **{name: b"ab"})  # type: ignore[arg-type]  # any of them


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"limit": 9, "endless": [b""]}], ids=str)
def test_limits_that_nothing_could_exceed_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        check_framer(Semicolons, **options)
