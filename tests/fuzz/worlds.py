"""Composites over shared memory of all kinds, which is written to: `tests.differential`, steered by an input."""

from __future__ import annotations

import random
from functools import cache
from typing import final

from ..differential import Files, World
from .inputs import Program

_MOST_STEPS = 60


@final
class _Chosen(random.Random):
    """Chance that is none: each choice takes bytes of an input."""

    def __init__(self, program: Program) -> None:
        super().__init__(0)
        self._program = program

    def __new__(cls, *_: object) -> _Chosen:
        return super().__new__(cls)  # the base class would have its argument for a seed

    def getrandbits(self, k: int, /) -> int:
        number = 0
        for _ in range(-(-k // 8)):
            number = number << 8 | self._program.byte()
        return number & ((1 << k) - 1)

    def random(self) -> float:
        return self._program.byte() / 256


@cache
def _files() -> Files:
    """Return the files that all worlds use, for as long as the process lives."""
    return Files()


def worlds(data: bytes) -> None:
    """Take the steps that an input says."""
    program = Program(data)
    world = World(_Chosen(program), _files())
    number = 0
    while program.has_more and number < _MOST_STEPS:
        world.move(number)
        number += 1
    world.check_all()
