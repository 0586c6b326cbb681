"""The checks of what a buffer shows let right buffers pass; what is wrong is found in test_conformance.py."""

from __future__ import annotations

from bytebufs.testing import check_buffer
from bytebufs.testing.checks_reading import READING

from ..conftest import IS_QUICK
from .mutants import RIGHT


def test_right_buffers_pass() -> None:
    check_buffer(*RIGHT, checks=READING, max_examples=3 if IS_QUICK else 30)
