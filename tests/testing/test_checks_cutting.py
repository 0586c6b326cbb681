"""The checks of what cuts a buffer let right buffers pass, and find some that are wrong."""

from __future__ import annotations

from bytebufs.testing import check_buffer
from bytebufs.testing.checks_cutting import CUTTING

from ..conftest import IS_QUICK
from .mutants import RIGHT, CopiesAcrossSeams, DropsTheLastPiece, failure


def test_right_buffers_pass() -> None:
    check_buffer(*RIGHT, checks=CUTTING, max_examples=3 if IS_QUICK else 30)


def test_wrong_ones_do_not() -> None:
    for mutant in (CopiesAcrossSeams, DropsTheLastPiece):
        assert failure(mutant).check in CUTTING
