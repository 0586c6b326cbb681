"""The plots of the pages on performance: what each contender costs, and how far each place is from its goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._harness import OURS, Verdict
from ._report import MEASURES, Outcome, Run

__all__ = ["drawn", "newest", "plot"]

_LINES: Final = cycler(linestyle=["-", "--", ":"]) * cycler(
    color=["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#999999"]
)
"""Eighteen lines that can be told apart."""


def plot(runs: Sequence[Run], folder: Path) -> None:
    """Draw every plot into a folder as SVG, and remove those that were there."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.svg"):
        stale.unlink()
    # The same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "bytebufs", "svg.fonttype": "none", "font.size": 8, "axes.grid": True}):
        _save(_goals_figure(runs), folder / "goals.svg")
        for measure, draw in _DRAWN.items():
            for run in drawn(measure, runs):
                _save(draw(run, run.of(measure)), folder / f"{measure}-{run.name}.svg")


def drawn(measure: str, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that a measure is drawn of."""
    return newest(runs, measure) if measure in _DRAWN else []


def newest(runs: Sequence[Run], measure: str) -> list[Run]:
    """Return the last run of each build that has a measure: those before look much alike."""
    return list({run.build: run for run in runs if run.of(measure)}.values())


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})


def _lines_figure(panel: Sequence[str], x: str, run: Run, outcomes: Sequence[Outcome]) -> Figure:
    """Draw what each contender costs against ours along one axis of the grid; a panel for each place on the others."""
    panels: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        panels.setdefault(", ".join(f"{key} {outcome.at[key]}" for key in panel), []).append(outcome)
    figure, all_axes = _grid(len(panels))
    for axes, (title, places) in zip(all_axes, panels.items(), strict=False):
        axes.set_prop_cycle(_LINES)
        for name in dict.fromkeys(sample.name for outcome in places for sample in outcome.costs):
            points = [(o.at[x], s.median / o.ours.median) for o in places for s in o.costs if s.name == name]
            labels, costs = [label for label, _ in points], [cost for _, cost in points]
            axes.plot(labels, costs, label=name, linewidth=2.5 if name == places[0].ours.name else 1)
        axes.set(title=title, xlabel=x, ylabel="times our cost", yscale="log")
    return _titled(figure, all_axes[0], f"{MEASURES[outcomes[0].measure]}: {run.name}; above 1 costs more than ours")


def _growth_figure(run: Run, outcomes: Sequence[Outcome]) -> Figure:
    figure, (axes,) = _grid(1)
    for outcome in outcomes:
        ours = [sample for sample in outcome.costs if sample.group == OURS]
        costs = [sample.median for sample in ours]
        axes.plot([sample.name for sample in ours], costs, marker=".", label=outcome.at["operation"])
    axes.set(ylabel="nanoseconds", yscale="log")
    return _titled(figure, axes, f"{MEASURES['growth']}: {run.name}; flat is good")


_DRAWN: Final[dict[str, Callable[[Run, Sequence[Outcome]], Figure]]] = {
    "cut": partial(_lines_figure, ["chunk"], "frame"),
    "feed": partial(_lines_figure, ["chunk"], "frame"),
    "flush": partial(_lines_figure, ["sink", "total"], "part"),
    "growth": _growth_figure,
}
"""The measures that have plots."""


_FAR: Final = 100.0
"""What is farther from its goal than this is drawn here: an amount may be 0, and nobody minds how far it is."""


def _goals_figure(runs: Sequence[Run]) -> Figure:
    """Draw for every place how far it is from its goal: to the right of 1 it was reached."""
    figure, (axes,) = _grid(1)
    measures = [m for m in MEASURES if any(_margin(v) for run in runs for o in run.of(m) for v in o.verdicts)]
    for k, run in enumerate(runs):
        points = [
            (margin, measures.index(outcome.measure) + 0.7 * (k + 0.5) / len(runs) - 0.35)
            for outcome in run.outcomes
            for margin in map(_margin, outcome.verdicts)
            if margin is not None
        ]
        margins, rows = [margin for margin, _ in points], [row for _, row in points]
        axes.scatter(margins, rows, s=6, alpha=0.6, label=run.name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(
        xscale="log", xlabel="how many times better than the goal", yticks=range(len(measures)), yticklabels=measures
    )
    axes.invert_yaxis()
    return _titled(figure, axes, "Goals: reached to the right of the line")


def _margin(verdict: Verdict) -> float | None:
    if verdict.bound is None:
        return None
    if verdict.sense == "at least":
        return min(_FAR, verdict.ratio / verdict.bound)
    return min(_FAR, verdict.bound / verdict.ratio) if verdict.ratio else _FAR


def _grid(panels: int) -> tuple[Figure, list[Axes]]:
    columns = min(panels, 2)
    rows = -(-panels // columns)
    figure = Figure(figsize=(8, 4 if panels == 1 else 2.6 * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def _titled(figure: Figure, axes: Axes, title: str) -> Figure:
    figure.suptitle(title)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return figure
