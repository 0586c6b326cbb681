"""Proof that a framer keeps what framers promise: `check_framer`, for those of the library and of anybody's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from .._core.parts import shown
from .fragmentation import DependsOnCuts, check_fragmentation
from .least import least_failing
from .outcomes import plain
from .pictures import picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["BreaksPromise", "check_framer"]

_BLOCK: Final = 4096
"""Bytes of an endless stream that are fed at a time: as many as an Inbox receives first."""

_ENDLESS: Final = (b"\x00", b"a", b"\xff", b"\x80")
"""What is sent over and over, unless somebody knows better: lengths of nothing and of a lot, text, endless varints."""

_ROUNDS: Final = 4
"""How often more than the limit is sent, before a framer that keeps little passes."""


class BreaksPromise(AssertionError):
    """A framer does not do what framers promise.

    ``promise`` says what that is, ``pieces`` are what it was fed, ``detail`` says what came.
    """

    def __init__(self, promise: str, pieces: Sequence[bytes], detail: str) -> None:
        super().__init__(promise, pieces, detail)
        self.promise = promise
        self.pieces: tuple[bytes, ...] = tuple(pieces)
        self.detail = detail

    def __str__(self) -> str:
        """Name the promise, and draw what was fed."""
        return f"{self.promise}\n{picture(self.pieces)}\n  -> {self.detail}"


@dataclass(frozen=True)
class _Case:
    """Frames in a row, and where the stream of them breaks off: how many bytes of it come."""

    payloads: list[Any]
    frames: list[bytes]
    cut: int

    @property
    def stream(self) -> bytes:
        return b"".join(self.frames)

    def whole(self) -> int:
        """Return how many frames have come whole."""
        return sum(self.end_of(i) <= self.cut for i in range(1, len(self.frames) + 1))

    def end_of(self, number: int) -> int:
        return len(b"".join(self.frames[:number]))


def check_framer(
    make: Callable[[], Any],
    *,
    payloads: st.SearchStrategy[Any] | Iterable[Any] | None = None,
    bad: Iterable[bytes] = (),
    limit: int | None = None,
    endless: Iterable[bytes] = _ENDLESS,
    max_examples: int = 50,
    random_seed: int = 0,
) -> None:
    r"""See to it that a framer keeps what framers promise.

    >>> from bytebufs import Lines
    >>> check_framer(lambda: Lines(limit=80), bad=[b"a" * 81], limit=80, max_examples=10)

    ``make`` returns a new framer, with ``feed(part)``, which returns an iterable of frames, and ``encode(payload)``,
    which returns the frame as bytes-like or refuses by ValueError; where it has ``pending``, ``end()`` and
    ``detach()``, as a Framer does, these are held to their promises, too:

    1. What ``encode`` returned gives the payload back, however many frames stand in a row.
    2. Frames, errors, and what is pending never depend on how the input was cut (by ``check_fragmentation``).
    3. Of a stream that breaks off, the whole frames come; ``pending`` are the bytes behind them; ``end()`` raises if
       there are any, and keeps them.
    4. ``detach()`` gives back what lies behind the last frame that was taken, and closes the framer.
    5. ``bad`` bytes, which can never become a frame, raise an error; good frames before them come first, and the error
       is final: the next ``feed`` raises, too.
    6. With ``limit``, the most bytes of a frame with all that stands around it: of an ``endless`` stream of some bytes
       no more is kept than that and a block of 4 KiB.

    ``payloads`` are a strategy, or examples; by default bytes. Frames are compared with them as by ``plain``.

    Raises BreaksPromise with the smallest example that was found to fail, DependsOnCuts for the second promise,
    ValueError if no payload at all could be encoded.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not ours
    for name, several in (("payloads", payloads), ("bad", bad), ("endless", endless)):
        if isinstance(several, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"{name}= are several: write [{shown(several)}]")
    if limit is not None and limit < 1:
        raise ValueError(f"the limit of a frame is at least 1 byte, not {limit}")
    check = _Check(make)
    for unit in endless if limit is not None else ():
        check.keeps_within(limit, unit)
    examples = st.binary(max_size=12) if payloads is None else payloads
    drawn = examples if isinstance(examples, st.SearchStrategy) else st.sampled_from(list(examples))
    cases = st.tuples(st.lists(drawn, max_size=4), st.integers(0, 64), st.sampled_from([None, *bad]))
    if failed := least_failing(cases, check.run, max_examples=max_examples, random_seed=random_seed):
        _, error = failed
        is_ours = isinstance(error, (BreaksPromise, DependsOnCuts))
        raise error.with_traceback(None) if is_ours else error  # where we have raised it is of no use to anybody
    if not check.has_encoded:
        raise ValueError("encode() refused all payloads: give some that have a frame, by payloads=")


class _Check:
    """Asks new framers of one kind."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.has_encoded = False

    def run(self, drawn: tuple[list[Any], int, bytes | None]) -> None:
        payloads, cut, bad = drawn
        case = self._encoded(payloads, cut)
        self._gives_back(case)
        self._keeps_the_rest(case)
        self._detaches(case)
        self._is_cut_anyhow(case.stream[: case.cut])
        if bad is not None:
            self._refuses(case, bad)

    def _encoded(self, payloads: list[Any], cut: int) -> _Case:
        """Encode payloads, but for those that are refused."""
        kept, frames = [], []
        for payload in payloads:
            try:
                frame = self._make().encode(payload)
            except ValueError:
                continue
            kept.append(plain(payload))
            frames.append(bytes(plain(frame)))  # type: ignore[call-overload]  # what encode returns is bytes-like
        self.has_encoded |= bool(frames)
        return _Case(kept, frames, min(cut, len(b"".join(frames))))

    def _gives_back(self, case: _Case) -> None:
        _expect_frames("frames give their payloads back", self._make(), case.frames, case.payloads)

    def _keeps_the_rest(self, case: _Case) -> None:
        framer = self._make()
        number = case.whole()
        piece = case.stream[: case.cut]
        _expect_frames("whole frames come at once", framer, [piece], case.payloads[:number])
        left = case.cut - case.end_of(number)
        _expect_pending(framer, left, [piece])
        if hasattr(framer, "end"):
            error = _error_of(framer.end)
            if (error is None) == bool(left):
                raise BreaksPromise("end() raises if bytes are left, only then", [piece], f"{left} left, {error!r}")
            _expect_pending(framer, left, [piece])

    def _detaches(self, case: _Case) -> None:
        for number in range(len(case.frames) + 1):
            framer = self._make()
            if not hasattr(framer, "detach"):
                return
            frames = framer.feed(case.stream)
            taken = sum(1 for _ in islice(frames, number)) if isinstance(frames, Iterator) else len(case.frames)
            found, rest = plain(framer.detach()), case.stream[case.end_of(taken) :]
            if found != rest:
                raise BreaksPromise(
                    "detach() gives back what lies behind the last frame that was taken",
                    case.frames,
                    f"{found!r}, not {rest!r}, after {taken} frames",
                )
            more = case.stream or b"a"
            if _error_of(partial(_fed, framer, more)) is None:
                raise BreaksPromise("detach() closes the framer", [case.stream, more], "it takes more")

    def _is_cut_anyhow(self, stream: bytes) -> None:
        check_fragmentation(self._make, stream, random_cuts=5, shrink=False)

    def _refuses(self, case: _Case, bad: bytes) -> None:
        framer = self._make()
        found: list[object] = []
        pieces = [*case.frames, bad]
        error = _error_of(partial(_fed, framer, case.stream + bad, found))
        more = case.stream or b"a"  # good frames, if there are any: other bytes may be an error of their own
        if error is not None and _error_of(partial(_fed, framer, more)) is None:
            raise BreaksPromise("an error is final", [*pieces, more], f"{error!r}, and then it takes more")
        if error is None:
            error = _error_of(getattr(framer, "end", lambda: None))
        if error is None:
            raise BreaksPromise("what can never become a frame is refused", pieces, f"{found!r}, and no error")
        if found != case.payloads:
            raise BreaksPromise("good frames come before the error", pieces, f"{found!r}, not {case.payloads!r}")
        check_fragmentation(self._make, case.stream + bad, errors=(type(error),), random_cuts=5, shrink=False)

    def keeps_within(self, limit: int | None, unit: bytes) -> None:
        """Feed so much that an honest framer has refused it, or made frames of it, and see what it keeps."""
        assert limit is not None
        if not unit:
            raise ValueError("endless= are bytes that come over and over, at least one: not b''")
        framer = self._make()
        block = unit * -(-_BLOCK // len(unit))
        for number in range(1, _ROUNDS * (limit // len(block) + 1) + 1):
            if _error_of(partial(_fed, framer, block)) is not None:
                return
            if _pending(framer) > limit + len(block):
                raise BreaksPromise(
                    f"no more is kept than the limit of {limit} bytes and a block",
                    [unit] * 2,
                    f"{_pending(framer)} bytes pending after {number} blocks of {len(block)} of these, and no error",
                )


def _fed(framer: Any, piece: bytes, found: list[object] | None = None) -> list[object]:
    """Return frames as plain values, and put each into ``found`` as it comes."""
    kept = [] if found is None else found
    for frame in framer.feed(piece):
        kept.append(plain(frame))  # those before an error are wanted
    return kept


def _expect_frames(promise: str, framer: Any, pieces: Sequence[bytes], wanted: list[Any]) -> None:
    found: list[object] = []
    try:
        _fed(framer, b"".join(pieces), found)
    except Exception as error:
        raise BreaksPromise(promise, pieces, f"{found!r} and {error!r}, not {wanted!r}") from error
    if found != wanted:
        raise BreaksPromise(promise, pieces, f"{found!r}, not {wanted!r}")


def _error_of(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001  # whatever it raises is how it refuses
        return error
    return None


def _pending(framer: Any) -> int:
    pending = getattr(framer, "pending", 0)
    return int(pending() if callable(pending) else pending)


def _expect_pending(framer: Any, wanted: int, pieces: Sequence[bytes]) -> None:
    if hasattr(framer, "pending") and (found := _pending(framer)) != wanted:
        raise BreaksPromise("pending tells the bytes behind the last frame", pieces, f"{found}, not {wanted}")
