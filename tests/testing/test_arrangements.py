"""Every layout shows the bytes that it is given, and lays them out as its name says."""

from __future__ import annotations

import pytest

from bytebufs import BaseBuffer
from bytebufs.testing import LAYOUTS, Layout
from bytebufs.testing.arrangements import COMPOSITES, MAKERS, SLICES

DATA = b"hello, world: this is a line\r\n"


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, len(DATA)])
def test_every_layout_shows_its_bytes(size: int) -> None:
    for layout in LAYOUTS:
        buffer = layout.make(DATA[:size])
        buffer._check()
        assert buffer == DATA[:size], layout


def test_names_tell_layouts_apart() -> None:
    names = [repr(layout) for layout in LAYOUTS]
    assert len(set(names)) == len(names)
    assert {name.partition(": ")[0] for name in names} == {"SliceBuffer", *COMPOSITES, *SLICES}
    assert {f"SliceBuffer: {kind}" for kind in MAKERS} <= set(names)


def parts_of(name: str) -> int:
    [layout] = [layout for layout in LAYOUTS if layout.name == name]
    buffer: BaseBuffer = layout.make(DATA)
    return buffer.part_count


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("SliceBuffer: pooled", 1),
        ("SliceBuffer: mapped file", 1),
        ("CompositeBuffer: halves", 2),
        ("CompositeBuffer: neighbours", 1),
        ("CompositeBuffer: back to front", 2),
        ("CompositeBuffer: one-byte parts", len(DATA)),
    ],
)
def test_parts_are_as_many_as_the_name_says(name: str, parts: int) -> None:
    assert parts_of(name) == parts


def test_a_layout_is_a_value() -> None:
    assert Layout("a", bytes) == Layout("a", bytes)  # type: ignore[arg-type]
