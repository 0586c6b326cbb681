"""Which way memory is looked at where it lies. That all ways answer alike is the matter of `test_foreign.py`."""

from __future__ import annotations

import sys
from importlib import import_module

from bytebufs import COMPILED
from bytebufs._core import foreign, memory


def test_the_compiled_build_has_its_file_of_c() -> None:
    assert (COMPILED and sys.platform == "linux") == memory.NATIVE


def test_what_it_gives_is_all_of_one_way() -> None:
    way = import_module("bytebufs._core._native") if memory.NATIVE else foreign
    names = set(memory.__all__) - {"NATIVE", "Place"}
    assert len(names) == 9
    assert all(getattr(memory, name) is getattr(way, name) for name in names)
