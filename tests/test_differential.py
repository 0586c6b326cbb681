"""The differential loop finds nothing, and would if there were something. By hand: `python -m tests.differential`."""

from __future__ import annotations

import pytest

from bytebufs import COMPILED, CompositeBuffer, SliceBuffer

from . import differential
from .children import run_child
from .conftest import PROFILE

STEPS = {"quick": 5_000, "long": 1_000_000}.get(PROFILE, 50_000)


def test_many_random_steps_come_to_what_the_model_says() -> None:
    child = run_child("tests.differential", "--steps", str(STEPS))
    assert child.status == 0, child.errors[-3000:]
    assert child.output.startswith(f"{STEPS} steps from seed 0 on, {'compiled' if COMPILED else 'pure'}")


def lose_a_byte(b: CompositeBuffer, n: int) -> None:
    b.splice(0, min(int(n) + 1, len(b)))


def keep_a_byte(b: CompositeBuffer, start: int = 0, stop: int | None = None) -> None:
    b.splice(0, len(b), bytes(b))


def take_a_copy(b: CompositeBuffer, n: int) -> SliceBuffer:
    b.skip(n)
    return SliceBuffer(bytearray(int(n)))


@pytest.mark.skipif(COMPILED, reason="the methods of a compiled class cannot be replaced by broken ones")
@pytest.mark.parametrize(
    ("name", "broken"), [("skip", lose_a_byte), ("consolidate", keep_a_byte), ("take", take_a_copy)]
)
def test_it_finds_what_is_wrong(name: str, broken: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CompositeBuffer, name, broken)
    with pytest.raises(AssertionError, match=r"^seed \d, step \d+, \w+: "):
        differential.run(3_000, 0, lambda line: None)
