"""Type checkers accept and refuse what the files beside this one say."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bytebufs import CompositeBuffer

from .rejected import REJECTED

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

_MARK = re.compile(r"  # type: ignore\[(.*?)\].*")
_ERROR = re.compile(r"^(.*?):(\d+): error: .*  \[([\w-]+)\]$", re.MULTILINE)


@pytest.mark.parametrize("line", REJECTED, ids=lambda line: line.__name__)
def test_what_type_checkers_refuse_is_a_type_error_when_it_is_run(line: Callable[[CompositeBuffer], Any]) -> None:
    b = CompositeBuffer([b"ab,", b"cd\n"])
    with pytest.raises(TypeError):
        line(b)
    assert b == b"ab,cd\n"


@pytest.mark.checkout
def test_mypy_reports_exactly_the_errors_that_are_marked(tmp_path: Path, cache: pytest.Cache) -> None:
    pytest.importorskip("mypy")
    seen = cache.mkdir(f"mypy-{sys.implementation.cache_tag}")  # what it knows of others' packages takes it seconds
    source = (HERE / "rejected.py").read_text(encoding="utf-8")
    marked = {
        (number, code)
        for number, line in enumerate(source.splitlines(), 1)
        for mark in _MARK.findall(line)
        for code in mark.split(", ")
    }
    bare = tmp_path / "bare.py"
    bare.write_text(_MARK.sub("", source), encoding="utf-8")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy"),
            *("--config-file", "pyproject.toml", "--cache-dir", str(seen)),
            *("--no-pretty", "--hide-error-context", "--show-error-codes"),
            *(str(bare), str(HERE / "test_accepted.py")),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    found = _ERROR.findall(run.stdout)
    assert [error for error in found if not error[0].endswith("bare.py")] == [], run.stdout
    assert {(int(number), code) for _, number, code in found} == marked, run.stdout
    assert len(marked) > len(REJECTED)
