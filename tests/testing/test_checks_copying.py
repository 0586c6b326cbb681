"""The checks of what copies and writes let right buffers pass; what is wrong is found in test_conformance.py."""

from __future__ import annotations

from bytebufs.testing import check_buffer
from bytebufs.testing.checks_copying import COPYING

from ..conftest import IS_QUICK
from .mutants import RIGHT


def test_right_buffers_pass() -> None:
    check_buffer(*RIGHT, checks=COPYING, max_examples=3 if IS_QUICK else 30)
