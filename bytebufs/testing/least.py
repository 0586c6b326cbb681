"""The smallest example that fails, by hypothesis: what a check reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis import strategies as st

__all__ = ["least_failing"]

_T = TypeVar("_T")


def least_failing(
    cases: st.SearchStrategy[_T], run: Callable[[_T], None], *, max_examples: int, random_seed: int
) -> tuple[_T, Exception] | None:
    """Draw examples, and return the smallest that was found for which ``run`` raises, and what it raises."""
    failed: list[tuple[_T, Exception]] = []

    @seed(random_seed)
    @settings(
        max_examples=max_examples,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def attempt(case: _T) -> None:
        try:
            run(case)
        except Exception as error:
            failed[:] = [(case, error)]  # hypothesis ends with the smallest
            raise

    try:
        attempt()
    except Exception:  # what `run` raised, or that it is flaky
        if not failed:
            raise
        return failed[0]
    return None
