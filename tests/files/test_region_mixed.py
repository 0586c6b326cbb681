"""Files among other parts: whatever is done to a mixture gives what it gives with bytes."""

from __future__ import annotations

import mmap
import random
import tempfile
from typing import IO, Final

from hypothesis import given
from hypothesis import strategies as st

from bytebufs import CompositeBuffer, FileRegion, MappedFile, Part

PAGE: Final = mmap.ALLOCATIONGRANULARITY
DATA: Final = bytes(random.Random(8).choices(b"ab\r\n", k=PAGE + 700))


def _file() -> IO[bytes]:
    file = tempfile.TemporaryFile()
    file.write(DATA)
    file.flush()
    return file


FILE: Final = _file()
REGIONS: Final = [FileRegion(FILE), FileRegion(FILE, 3), FileRegion(FILE, PAGE), FileRegion(FILE, PAGE - 2)]
MAPS: Final = [MappedFile(FILE, offset=at, access=how) for at, how in ((0, "read"), (5, "copy"), (PAGE - 3, "read"))]  # type: ignore[arg-type]
STARTS: Final = [0, 3, PAGE, PAGE - 2, 0, 5, PAGE - 3]


@st.composite
def parts(draw: st.DrawFn) -> tuple[Part, bytes]:
    """A part and the bytes that it shows: of a region, of a map, or of the heap."""
    which = draw(st.integers(0, len(STARTS) + 1))
    if which >= len(STARTS):
        data = bytes(draw(st.lists(st.sampled_from(b"ab\r\n"), max_size=12)))
        return (data if which == len(STARTS) else bytearray(data)), data
    owner: FileRegion | MappedFile = REGIONS[which] if which < len(REGIONS) else MAPS[which - len(REGIONS)]
    start = draw(st.integers(0, len(owner)))
    size = draw(st.one_of(st.integers(0, 12), st.integers(0, PAGE)))
    data = DATA[STARTS[which] :][start : start + size]
    return owner[start : start + size], data


@given(
    first=st.lists(parts(), max_size=6),
    changes=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), parts()), max_size=4),
    drained=st.floats(0, 1),
    needles=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9)), min_size=1, max_size=4),
)
def test_a_mixture_is_what_bytes_are(
    first: list[tuple[Part, bytes]],
    changes: list[tuple[float, float, tuple[Part, bytes]]],
    drained: float,
    needles: list[tuple[float, int]],
) -> None:
    b = CompositeBuffer([part for part, _ in first])
    model = b"".join(data for _, data in first)
    for low, high, (part, data) in changes:
        start, stop = sorted((round(low * len(model)), round(high * len(model))))
        b.splice(start, stop, part)
        model = model[:start] + data + model[stop:]
        b._check()
    n = round(drained * len(model))
    assert b.take(n) == model[:n]
    model = model[n:]
    b._check()
    assert b == model
    assert bytes(b) == model
    assert b[1:-1] == model[1:-1]
    assert b.split(b"\r\n") == model.split(b"\r\n")
    for place, size in needles:
        at = round(place * len(model))
        for needle in (model[at : at + size], b"aXb"):
            assert b.find(needle) == model.find(needle)
            assert b.find(b[at : at + size], at) == model.find(model[at : at + size], at)
            assert b.rfind(needle) == model.rfind(needle)
            assert b.count(needle, at) == model.count(needle, at)
