"""What the kit needs, what it says without that, and that a failure points to the test, not into the kit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bytebufs import SliceBuffer, testing

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parents[2]


def test_without_hypothesis_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['hypothesis'] = None\nimport bytebufs.testing"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert ran.stderr.splitlines()[-1] == "ImportError: bytebufs.testing needs hypothesis: pip install hypothesis"


def test_names_stand_in_order() -> None:
    assert len(set(testing.__all__)) == len(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)


@pytest.mark.parametrize(
    "check",
    [
        lambda: testing.check_fragmentation(lambda: lambda piece: [piece], b"ab", empties=False),
        lambda: testing.check_framer(lambda: SimpleNamespace(feed=lambda part: [], encode=lambda payload: payload)),
        lambda: testing.check_framer(lambda: SimpleNamespace(feed=lambda part: [], encode=lambda payload: 1 / 0)),
        lambda: testing.check_buffer(lambda data: SliceBuffer(data[:1])),
    ],
    ids=["fragmentation", "framer", "a framer's mistake", "buffer"],
)
def test_a_failure_points_to_the_test(check: Callable[[], object]) -> None:
    with pytest.raises((AssertionError, ZeroDivisionError)) as caught:
        check()
    shown = caught.traceback.filter(caught)
    if isinstance(caught.value, AssertionError):
        assert Path(shown[-1].path) == Path(__file__)
    else:
        assert "1 / 0" in str(shown[-1].statement)
