"""No producer gets an id that another one has had."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.kafka.producer_ids import BLOCK, ProducerIds


def test_ids_are_new_after_each_restart(tmp_path: Path) -> None:
    seen: list[int] = []
    for count in (1, BLOCK, BLOCK + 1, 0, 2):
        ids = ProducerIds(tmp_path / "ids")
        seen += [ids.take() for _ in range(count)]
    assert len(set(seen)) == len(seen)
    assert sorted(seen) == seen
    assert seen[-1] < 6 * BLOCK, "a start alone reserves none"


def test_an_id_that_cannot_be_remembered_is_not_given(tmp_path: Path) -> None:
    ids = ProducerIds(tmp_path / "folder" / "ids")
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            ids.take()
    (tmp_path / "folder").mkdir()
    assert ids.take() == 0
