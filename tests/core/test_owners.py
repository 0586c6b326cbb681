"""Memory of our own making: what tells it from everybody else's, and that it is otherwise what it derives from."""

from __future__ import annotations

import mmap

from bytebufs import SliceBuffer
from bytebufs._core.owners import Map, Reserved
from bytebufs._core.parts import Memory, zeros


def test_a_map_knows_what_it_shows_and_searches_itself() -> None:
    made = Map(-1, 10)
    made.file, made.is_private = (1, 2, 3), True
    assert isinstance(made, mmap.mmap)
    made[:5] = b"hello"
    s = SliceBuffer(memoryview(made)[1:4])
    assert (s.find(b"l"), made.file, made.is_private) == (1, (1, 2, 3), True)
    assert s.layout().endswith("[1:4] of mmap of 10, writable")
    source = s._source
    assert isinstance(source, Memory)
    assert source.finder is made


def test_reserved_bytes_are_a_bytearray_for_everybody() -> None:
    owner = zeros(4)
    assert type(owner.holder) is Reserved
    assert (owner.holder, owner.view.readonly) == (bytearray(4), True)
    view = owner.reserve()
    view[1] = 7
    s = SliceBuffer(view)
    assert (s.find(7), s.layout().splitlines()[1].split(maxsplit=2)[2]) == (1, "[0:4] of bytearray of 4, writable")
