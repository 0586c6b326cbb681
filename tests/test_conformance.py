"""Every buffer, however its bytes are laid out, answers as `bytes` do: the checks over all of tests/layouts.py.

That the checks bite is shown by the mutants of tests/testing/mutants.py.
"""

from __future__ import annotations

import operator
from itertools import cycle
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, SliceBuffer, no_copy
from bytebufs.testing import CHECKS, check_buffer
from bytebufs.testing.alike import same

from .conftest import PROFILE
from .layouts import LAYOUTS, MAKERS, Layout, addresses, chunks, hidden

EXAMPLES: Final = {"quick": 3, "short": 13, "ci": 40, "long": 10_000}[PROFILE]
"""Each is tried with every layout."""


@pytest.mark.parametrize("check", CHECKS)
def test_every_layout_behaves_as_bytes_do(check: str) -> None:
    check_buffer(*[layout.make for layout in LAYOUTS], checks=[check], max_examples=EXAMPLES)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_numbers_may_be_those_of_numpy(layout: Layout) -> None:
    data = b"abcab\n"
    b = layout.make(data)
    for number in (np.int64(3), np.int8(-2), np.uint8(97)):
        same(b, data, operator.getitem, number)
        same(b, data, operator.getitem, slice(number, None))
        same(b, data, "find", number)
        same(b, data, operator.contains, number)
        same(b, data, "find", b"a", np.float64(1))
    for stranger in (np.float32, np.int64(256), np.float64(1)):
        same(b, data, operator.contains, stranger)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_the_layouts_are_what_they_say(layout: Layout) -> None:
    """The suite runs over different things: each layout passes the table's own check, whatever was asked before."""
    for data in (b"", b"a", b"ab\r\n", b"hello,\r\nworld\n" * 3):
        b = layout.make(data)
        b._check()
        assert type(b) in {SliceBuffer, CompositeBuffer}
        assert bytes(b) == data
        for name, args in (("find", (b"\n",)), ("rfind", (b"h",)), ("split", (b"\n",)), ("index", (data[:1],))):
            getattr(b, name)(*args) if data else None
        b._check()
    assert layout.make(b"")._check() is None  # type: ignore[func-returns-value]


def test_every_cut_is_a_slice_that_lies_where_it_was_cut() -> None:
    """The kit's check asks whether pieces lie in the buffer, in their order; here also at which place."""
    for layout in LAYOUTS:
        b = layout.make(b" abab\nab a\n")
        places = addresses(b)
        with no_copy(strict=True):
            cuts = {
                "a slice": ([b[2:9]], [places[2:9]]),
                "a slice of a slice": ([b[2:][:5]], [places[2:7]]),
                "partition": (b.partition(b"\n"), [places[:5], places[5:6], places[6:]]),
                "rpartition": (b.rpartition(b"a"), [places[:9], places[9:10], places[10:]]),
                "split": (b.split(b"ab"), [places[:1], [], places[5:6], places[8:]]),
                "splitlines": (b.splitlines(), [places[:5], places[6:10]]),
                "strip": ([b.strip(), b.lstrip(b" a"), b.rstrip()], [places[1:10], places[2:], places[:10]]),
                "remove": ([b.removeprefix(b" a"), b.removesuffix(b"a\n")], [places[2:], places[:9]]),
                "read-only": ([SliceBuffer(b), SliceBuffer(b).toreadonly()], [places, places]),
            }
        for name, (pieces, wanted) in cuts.items():
            assert [addresses(piece) for piece in pieces] == wanted, (layout, name)
            assert {type(piece) for piece in pieces} == {SliceBuffer}, (layout, name)
        assert addresses(CompositeBuffer([b, b])) == places + places


# -- parts that are large enough to be searched where they lie ------------------------------------------------

SIZES: Final = st.lists(st.sampled_from([1, 2, 3, 60, 70, 900, 4095, 4096, 4097, 9000]), min_size=1, max_size=6)


@st.composite
def large_messages(draw: st.DrawFn) -> tuple[bytes, list[int], list[bytes]]:
    """Draw a message of mostly one byte with needles planted at its seams, the sizes of its parts, and needles."""
    sizes = draw(SIZES)
    message = bytearray(b"a" * sum(sizes))
    seams = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.sampled_from(seams)) + draw(st.integers(-6, 6))
        if 0 <= at < len(message):
            message[at] = ord("b")
    size = draw(st.sampled_from([1, 2, 5, 100, 4096, 5000]))
    return bytes(message), sizes, [b"b", b"ab", b"ba", b"aab", b"bab", b"a" * size + b"b", b"b" + b"a" * size]


KINDS: Final = ["bytes", "piece of bytes", "bytearray", "piece of a bytearray", "map", "array", "lazy", "slice"]


@given(
    case=large_messages(),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    low=st.integers(-7, 7),
    high=st.integers(-7, 7),
    at=st.integers(0, 6),
)
def test_large_parts_are_searched_as_bytes_are(
    case: tuple[bytes, list[int], list[bytes]], kinds: list[str], low: int, high: int, at: int
) -> None:  # defects.md N1, O17
    message, sizes, needles = case
    parts = [MAKERS[kind](chunk) for kind, chunk in zip(cycle(kinds), chunks(message, sizes), strict=False)]
    composite = CompositeBuffer([b"bb", *parts, hidden(b"baab")])
    composite.skip(2)
    composite.truncate(len(message))
    seam = sum(sizes[:at])
    bounds = [(None, None), (seam + low, None), (None, seam + high), (seam + low, len(message) + min(high, 0))]
    clipped = CompositeBuffer([hidden(b"baba"), *parts, b"ab" * 3000]).freeze()[4 : 4 + len(message)]
    for b in (composite, composite.freeze(), clipped):
        with no_copy(strict=True):
            for needle in needles:
                for start, end in bounds:
                    assert b.find(needle, start, end) == message.find(needle, start, end)
                    assert b.rfind(needle, start, end) == message.rfind(needle, start, end)
                    assert b.count(needle, start, end) == message.count(needle, start, end)
                assert list(map(len, b.split(needle))) == list(map(len, message.split(needle)))
                assert b.startswith(needle) == message.startswith(needle)
                assert b.endswith(needle) == message.endswith(needle)
            assert [len(piece) for piece in b.splitlines()] == [len(message)]
            assert (len(b.strip(b"a")), len(b.lstrip(b"a"))) == (len(message.strip(b"a")), len(message.lstrip(b"a")))
            for k in (seam - 1, seam, len(message) - 1):
                if 0 <= k < len(message):
                    other = bytearray(message)
                    other[k] ^= 3  # an a for a b, or the other way round
                    assert b != other
                    assert (b < other, b > other) == (message < other, message > other)
            assert b == message
        b._check()
