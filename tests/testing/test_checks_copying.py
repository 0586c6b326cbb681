"""The checks of what copies and writes let right buffers pass; what is wrong is found in test_conformance.py."""

from __future__ import annotations

import pytest

from bytebufs import SliceBuffer
from bytebufs.testing import check_buffer
from bytebufs.testing.alike import Argument, Unlike
from bytebufs.testing.checks_copying import COPYING

from ..conftest import IS_QUICK
from .mutants import RIGHT, Wrapped


class WritesNothing(Wrapped):
    def write_at(self, at: int, data: bytes) -> None:
        pass


def test_right_buffers_pass() -> None:
    check_buffer(*RIGHT, checks=COPYING, max_examples=3 if IS_QUICK else 30)


def test_what_is_readonly_is_not_written_to() -> None:
    COPYING["writing"].run(SliceBuffer, b"ab", 0, Argument(b"x", b"x"))
    with pytest.raises(Unlike):
        COPYING["writing"].run(lambda data: WritesNothing([data]), b"ab", 0, Argument(b"x", b"x"))
