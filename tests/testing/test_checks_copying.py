"""The checks of what copies and writes let right buffers pass, and find some that are wrong."""

from __future__ import annotations

from bytebufs.testing import check_buffer
from bytebufs.testing.checks_copying import COPYING

from ..conftest import IS_QUICK
from .mutants import RIGHT, CopiesWhatFits, WritesBeforeItChecks, failure


def test_right_buffers_pass() -> None:
    check_buffer(*RIGHT, checks=COPYING, max_examples=3 if IS_QUICK else 30)


def test_wrong_ones_do_not() -> None:
    for mutant in (CopiesWhatFits, WritesBeforeItChecks):
        assert failure(mutant).check in COPYING
