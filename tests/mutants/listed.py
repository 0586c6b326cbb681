"""The list of the mutants that survive, what is said of each, and the page that tells how many there are."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ..cover_by_module import ROOT

LIST: Final = Path(__file__).parent / "survivors.tsv"
"""A line each: kind, module, and what is changed, as a mutant tells it but without the number of its line."""

PAGE: Final = ROOT / "docs" / "mutants.md"

BEGIN, END = "<!-- figures: `make mutants ARGS=--table` writes them -->\n", "<!-- end of figures -->\n"

OPEN: Final = "open"

KINDS: Final[Mapping[str, str]] = {
    "slower": "The same answer in more time, or less: a way that is quicker where it can be taken is taken less often, "
    "or a search, a block or a comparison begins elsewhere. Tests count work by the bytes, not each step.",
    "bound": "`<` and `<=` lead to the same where the two are equal: what is moved, clipped, joined or looked at is "
    "then nothing, or all of it.",
    "same": "Another value for the same: None for False, another first value of what is set before it is read or only "
    "has to differ, None for the end of a list, what is set to the same once more or checked where it cannot be "
    "otherwise.",
    "tuned": "How much is joined, tidied or looked at ahead: another number costs other time or memory, within the "
    "bounds that are tested.",
    "compiled": "Mutants run interpreted. A branch of `COMPILED`, and what holds a reference until the end of a "
    "function, do nothing there.",
    "text": "Words of an error or a `repr` that nobody should rely on.",
    OPEN: "No test of the module's own notices it in the profile `quick`, and it changes something, or nobody has "
    "shown that it does not.",
}
"""What a survivor may be, and why nobody could tell, or could."""


class Line(NamedTuple):
    """A line of the list. One that stands there n times may survive n times, as its change may be made in n places."""

    kind: str
    module: str
    change: str


class Figures(NamedTuple):
    """How many mutants of a module there are, and what became of them."""

    mutants: int
    killed: int
    late: int
    equivalent: int
    open: int

    def row(self, name: str) -> str:
        noticed = self.killed + self.late
        scores = (100 * noticed / (of or 1) for of in (self.mutants, self.mutants - self.equivalent))
        cells = [*(f"{number:,}".replace(",", " ") for number in self), *(f"{score:.1f} %" for score in scores)]
        return f"| {' | '.join([name, *cells])} |\n"


class Listing:
    """What is listed of a module. Each survivor takes a line, as long as there are some that tell its change."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.taken: Counter[str] = Counter()
        self._kinds: dict[str, list[str]] = defaultdict(list)
        for line in lines:
            self._kinds[line.change].append(line.kind)

    def take(self, change: str) -> bool:
        """Say whether a survivor is listed, and count it by its kind."""
        is_listed = bool(self._kinds[change])
        if is_listed:
            self.taken[self._kinds[change].pop(0)] += 1
        return is_listed

    def left(self, mutants: Iterable[str]) -> list[str]:
        """Return what is listed and has not survived, of the changes that a whole module's mutants make."""
        known = set(mutants)
        return [
            f"listed, but {'killed' if change in known else 'no such mutant'}: {change}"
            for change, kinds in self._kinds.items()
            for _ in kinds
        ]

    @property
    def equivalent(self) -> int:
        return self.taken.total() - self.taken[OPEN]


def read_list(path: Path = LIST) -> list[Line]:
    return [Line(*line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]


def write_list(lines: Iterable[Line], path: Path = LIST) -> None:
    text = "".join("\t".join(line) + "\n" for line in in_order(lines))
    path.write_text(text, encoding="utf-8")


def in_order(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line.module, line.change, line.kind))


def change_of(mutant: str) -> str:
    """Return what a mutant changes, wherever that stands by now."""
    return mutant.partition(": ")[2]


def last_outcomes(file: Path, changes: Iterable[str]) -> dict[str, list[str]]:
    """Return how the mutants that make some changes fared last, by the results of one run and of any ``--again``."""
    fared: dict[str, list[str]] = defaultdict(list)
    for line in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        fared[change_of(line["mutant"])].append(line["outcome"])
    return {change: fared[change][-times:] for change, times in Counter(changes).items()}


def page_with(page: str, figures: Mapping[str, Figures], lines: Iterable[Line]) -> str:
    """Return the page with the figures of each module, and how many of each kind are listed."""
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{PAGE} does not say where its figures are")
    kinds = Counter(line.kind for line in lines)
    total = Figures(*map(sum, zip(*figures.values(), strict=True)))
    made = [
        "\n| module | mutants | killed | timed out | equivalent | open | score | without the equivalent |\n",
        f"|{'---|' * 8}\n",
        *(one.row(f"`{module.removeprefix('bytebufs/')}`") for module, one in figures.items()),
        total.row("all"),
        "\n| survivors | how many | |\n|---|---|---|\n",
        *(f"| {kind} | {kinds[kind]} | {why} |\n" for kind, why in KINDS.items()),
        "\n",
    ]
    return "".join([before, BEGIN, *made, END, after])
