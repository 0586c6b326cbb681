"""The base that wires `__buffer__` into compiled heirs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from bytebufs._core.exporter import Exporter

pep_688 = pytest.mark.skipif(sys.version_info < (3, 12), reason="memoryview() asks for __buffer__ from 3.12 on")


class Heir(Exporter):
    __slots__ = ("memory",)

    def __init__(self, memory: bytes) -> None:
        self.memory = memory

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.memory)


def test_by_itself_it_exports_nothing() -> None:
    exporter: Any = Exporter()
    with pytest.raises(NotImplementedError):
        exporter.__buffer__(0)


def test_it_gives_its_heirs_no_dict() -> None:
    heir: Any = Heir(b"abc")
    with pytest.raises(AttributeError):
        heir.other = 1
    assert not hasattr(heir, "__dict__")


@pep_688
def test_it_has_the_slot_and_an_heir_fills_it() -> None:
    heir: Any = Heir(b"abc")
    assert bytes(memoryview(heir)) == b"abc"
    assert b"-".join([heir, heir]) == b"abc-abc"
    exporter: Any = Exporter()
    with pytest.raises(NotImplementedError):
        memoryview(exporter)


@pep_688
def test_an_export_has_to_be_released() -> None:
    """Which the slot tells: numpy keeps a memoryview of what has it, and of anything else the object alone."""
    heir: Any = Heir(b"abc")
    base: object = np.frombuffer(heir, np.uint8).base
    assert isinstance(base, memoryview)
    heir.__release_buffer__(memoryview(b"abc"))


def test_numpy_is_told_what_to_write() -> None:
    exporter: Any = Exporter()
    with pytest.raises(TypeError, match=r"numpy takes no Exporter here: write numpy\.frombuffer"):
        np.array(exporter)
    with pytest.raises(TypeError, match="unsupported operand"):
        np.arange(3) - exporter
