"""The list of the mutants that survive, and the page that counts them. `make mutants` runs them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from .mutants.__main__ import MODULES
from .mutants.listed import (
    KINDS,
    PAGE,
    Figures,
    Line,
    Listing,
    in_order,
    last_outcomes,
    page_with,
    read_list,
    write_list,
)

pytestmark = pytest.mark.checkout

_ROW: Final = re.compile(r"^\| `(.+\.py)` \|((?: [\d ]+ \|){5})", re.MULTILINE)


def test_the_list_is_in_order_and_names_what_there_is() -> None:
    lines = read_list()
    assert lines == in_order(lines)
    assert {line.kind for line in lines} <= set(KINDS)
    assert {line.module for line in lines} <= set(MODULES)
    assert all(re.fullmatch(r"\S+: .*  ->  .*", line.change) for line in lines)


def test_the_page_has_the_figures_of_the_list() -> None:
    page, lines = PAGE.read_text(encoding="utf-8"), read_list()
    listed = Counter((line.module, line.kind == "open") for line in lines)
    figures = {}
    for name, cells in _ROW.findall(page):
        mutants, killed, late, *_ = (int(cell.replace(" ", "")) for cell in cells.strip("| ").split("|"))
        module = f"bytebufs/{name}"
        figures[module] = Figures(mutants, killed, late, listed[module, False], listed[module, True])
    assert figures
    assert all(one.mutants == sum(one[1:]) for one in figures.values())
    assert page_with(page, figures, lines) == page


def test_a_page_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="where its figures are"):
        page_with("# Mutants\n", {}, [])


def test_scores_are_of_all_mutants_and_of_those_that_are_not_equivalent() -> None:
    assert Figures(1010, 900, 9, 91, 10).row("all") == "| all | 1 010 | 900 | 9 | 91 | 10 | 90.0 % | 98.9 % |\n"


def test_each_survivor_takes_one_line_of_those_that_tell_its_change() -> None:
    told = [("same", "f: 0  ->  1"), ("open", "f: 0  ->  1"), ("bound", "g: <  ->  <=")]
    listing = Listing(Line(kind, "m.py", change) for kind, change in told)
    assert [listing.take("f: 0  ->  1") for _ in range(3)] == [True, True, False]
    assert not listing.take("g: 1  ->  2")
    assert (listing.equivalent, listing.taken["open"]) == (1, 1)


def test_what_is_listed_and_has_not_survived_is_told() -> None:
    listing = Listing([Line("same", "m.py", change) for change in ("f: 0  ->  1", "f: 0  ->  1", "g: 1  ->  2")])
    listing.take("f: 0  ->  1")
    assert listing.left(["f: 0  ->  1", "f: 0  ->  1", "f: 2  ->  3"]) == [
        "listed, but killed: f: 0  ->  1",
        "listed, but no such mutant: g: 1  ->  2",
    ]


def test_a_change_fared_as_the_last_mutants_that_made_it(tmp_path: Path) -> None:
    told = [("1: f: a  ->  b", "SURVIVED"), ("2: f: a  ->  b", "KILLED"), ("3: g: c  ->  d", "KILLED")]
    again = [("11: f: a  ->  b", "KILLED"), ("12: f: a  ->  b", "TIMED_OUT")]
    file = tmp_path / "m.jsonl"
    lines = [json.dumps({"mutant": mutant, "outcome": outcome}) for mutant, outcome in told + again]
    file.write_text("\n".join(lines))
    assert last_outcomes(file, ["f: a  ->  b", "f: a  ->  b", "h: e  ->  f"]) == {
        "f: a  ->  b": ["KILLED", "TIMED_OUT"],
        "h: e  ->  f": [],
    }


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    lines = [Line("same", "b.py", "f: 0  ->  1"), Line("open", "a.py", "g: ''  ->  'é'")]
    write_list(lines, tmp_path / "list.tsv")
    assert read_list(tmp_path / "list.tsv") == [lines[1], lines[0]]
