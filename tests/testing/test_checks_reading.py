"""The checks of what a buffer shows let right buffers pass, and find some that are wrong."""

from __future__ import annotations

from bytebufs.testing import check_buffer
from bytebufs.testing.checks_reading import READING

from ..conftest import IS_QUICK
from .mutants import RIGHT, DumpsPastTheEnd, HasUnclippedViews, failure


def test_right_buffers_pass() -> None:
    check_buffer(*RIGHT, checks=READING, max_examples=3 if IS_QUICK else 30)


def test_wrong_ones_do_not() -> None:
    for mutant in (HasUnclippedViews, DumpsPastTheEnd):
        assert failure(mutant).check in READING
