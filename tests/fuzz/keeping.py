"""Choose what the suite keeps of what was found: `python -m tests.fuzz.keeping FOLDER [TARGET...]`, of the pure build.

Of each target's folder the input is taken that makes the most new steps, from one line to the next in the package and
the examples, and then again, as long as there are some: at most 20 inputs, each of less than a kibibyte. The rest can
be found again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any, Final

import bytebufs
import examples

from .targets import HERE, TARGETS, Target

MOST_INPUTS: Final = 20
MOST_BYTES: Final = 1024

_FOLDERS: Final = tuple(str(Path(str(package.__file__)).parent) for package in (bytebufs, examples))

Step = tuple[str, int, int]
"""A file, a line in it, and the line of the same call before."""


def steps_of(target: Target, data: bytes) -> set[Step]:
    """Return the steps that an input makes."""
    steps = set[Step]()

    def enter(frame: FrameType, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        before = 0

        def line(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal before
            if event == "line":
                steps.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line if name.startswith(_FOLDERS) else None

    traced = sys.gettrace()
    sys.settrace(enter)
    try:
        target.run(data)
    finally:
        sys.settrace(traced)
    return steps


def chosen(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """Return the inputs that make the most steps between them, of those that make as many the shortest."""
    left = {data: steps_of(target, data) for data in inputs if len(data) < MOST_BYTES}
    found: list[bytes] = []
    while left and len(found) < MOST_INPUTS:
        best = max(left, key=lambda data: (len(left[data]), -len(data), data))
        if not (made := left.pop(best)):
            break
        found.append(best)
        for steps in left.values():
            steps -= made
    return found


def keep(target: Target, inputs: Iterable[bytes]) -> None:
    """Have a target's corpus consist of what is chosen of these inputs, and of what was there."""
    folder = HERE / "corpus" / target.name
    folder.mkdir(parents=True, exist_ok=True)
    before = target.inputs("corpus")
    kept = chosen(target, {*inputs, *(path.read_bytes() for path in before)})
    for path in before:
        path.unlink()
    for data in kept:
        (folder / sha256(data).hexdigest()[:12]).write_bytes(data)
    sys.stdout.write(f"{target.name}: {len(kept)} inputs\n")


def main() -> None:
    """Choose for all targets, or some."""
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or TARGETS:
        keep(TARGETS[name], [path.read_bytes() for path in (folder / name).iterdir()])


if __name__ == "__main__":
    main()
