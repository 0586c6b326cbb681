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
    failed: list[tuple[_T, Exception, list[str]]] = []

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
            notes = list(getattr(error, "__notes__", ()))
            failed[:] = [(case, error, notes)]  # hypothesis ends with the smallest
            raise

    try:
        attempt()
    except Exception:  # what `run` raised, or that it is flaky
        if not failed:
            raise
        case, error, notes = failed[0]
        error.__notes__ = notes  # without the call of our own that hypothesis has added
        return case, error
    return None
