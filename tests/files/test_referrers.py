"""Who still shows a map, as far as the garbage collector knows."""

from __future__ import annotations

import mmap
import sys
from typing import Any

import pytest

from bytebufs import CompositeBuffer, SliceBuffer
from bytebufs._core.parts import Memory
from bytebufs.files.referrers import count_views, holders
from bytebufs.slice_buffer import cut

of_the_module = pytest.mark.usefixtures("nothing_hidden")
"""For variables of what was loaded before: that is hidden from the collector."""

held: Any = None


def memory() -> Memory:
    mapped = mmap.mmap(-1, 100)
    return Memory(mapped, memoryview(mapped), mapped)


def test_views_are_counted() -> None:
    mapped = mmap.mmap(-1, 100)
    assert count_views(mapped) == 0
    views = [memoryview(mapped), memoryview(mapped)[5:6]]
    views.append(views[1][:0])
    assert count_views(mapped) == 3


def test_nobody_holds_it() -> None:
    assert holders(memory()) == ""


@of_the_module
def test_a_global_variable_is_named() -> None:
    global held  # noqa: PLW0603 - that is what is looked for
    shown = memory()
    held = cut(shown, 1, 5)
    try:
        assert holders(shown) == f"{__name__}.held"
    finally:
        held = None


@of_the_module
def test_a_part_of_a_composite_is_found() -> None:
    global held  # noqa: PLW0603
    shown = memory()
    held = CompositeBuffer([b"abc", cut(shown, 1, 5)])
    try:
        assert holders(shown) == f"{__name__}.held"
    finally:
        held = None


class Connection:
    """Keeps a slice as an attribute."""

    def __init__(self, body: SliceBuffer) -> None:
        self.body = body


def test_containers_are_named_by_kind() -> None:
    shown = memory()
    keeps = [[cut(shown, 1, 5)], (cut(shown, 2, 5),), {7: cut(shown, 3, 5)}, Connection(cut(shown, 1, 2))]
    found = holders(shown).split(", ")
    assert {"a list", "a tuple", "a dict"} <= set(found)
    # A dict of attributes may be found as itself or, on newer interpreters, as its object.
    assert {"body", "a Connection"} & set(found)
    del keeps


def test_a_kind_of_dict_is_asked_without_its_own_methods() -> None:
    class Loud(dict[str, Any]):
        def items(self) -> Any:
            raise AssertionError("code of others ran")

        get: Any = items

    shown = memory()
    keeper = Loud(body=cut(shown, 1, 5))
    assert holders(shown) == "body"
    del keeper


def test_no_more_than_five_are_named() -> None:
    shown = memory()
    kinds = [type(f"Keeper{i}", (), {"__slots__": ("body",)}) for i in range(8)]
    keepers = [kind() for kind in kinds]
    for keeper in keepers:
        keeper.body = cut(shown, 1, 5)
    text = holders(shown)
    assert text.startswith("a Keeper0, a Keeper1, ")
    assert text.endswith(", 3 more")


def test_looking_keeps_nothing_alive() -> None:
    shown = memory()
    idle = sys.getrefcount(shown)
    kept = [cut(shown, 1, 5)]
    assert holders(shown) == "a list"
    kept.clear()
    assert sys.getrefcount(shown) == idle
