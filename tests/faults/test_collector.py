"""Whole operations while the collector runs at each allocation, and finds garbage that has a ``__del__``."""

from __future__ import annotations

from .disturbed_trials import told_of


def test_an_eager_collector_changes_nothing() -> None:
    assert set(told_of("collector").values()) == {"collected"}
