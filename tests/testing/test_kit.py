"""What the kit needs, and what it says without that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bytebufs import testing

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parents[2]


def test_without_hypothesis_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['hypothesis'] = None\nimport bytebufs.testing"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.stderr.splitlines()[-1] == "ImportError: bytebufs.testing needs hypothesis: pip install hypothesis"


def test_names_stand_in_order() -> None:
    assert len(set(testing.__all__)) == len(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)
