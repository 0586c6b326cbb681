"""One target, with libFuzzer: `python -m tests.fuzz.searching TARGET [libFuzzer's options and folders]`.

Beside crashes and what takes too long it looks for growth: of what the interpreter has allocated, which a run of a
target leaves as it was. It says so from time to time, for `tests.fuzz` to read.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Final, final

_EVERY: Final = 10_000
"""Runs between two looks."""
WARM: Final = 2
"""Looks after which all is there that is kept on purpose: caches of patterns, of formats, of what was imported late."""
_MOST_BLOCKS: Final = 5_000
"""Blocks of the interpreter's own allocator, and pages of memory below, that may come after that: caches are filled by
and by, and libFuzzer keeps the inputs that it found. What every second run leaves is seen at the next look."""
_MOST_PAGES: Final = 16_384


@final
class Watched:
    """A target, and how much memory there was when it was warm."""

    def __init__(self, name: str) -> None:
        import atheris

        with atheris.instrument_imports(include=["bytebufs", "examples", "tests.fuzz", "tests.differential"]):
            from .targets import TARGETS
        self._run = TARGETS[name].run
        self._count = 0
        self._blocks = 0
        self._pages = 0

    def __call__(self, data: bytes) -> None:
        """Run it once, and look now and then."""
        self._run(data)
        self._count += 1
        if self._count % _EVERY == 0:
            self._look()

    def _look(self) -> None:
        gc.collect()
        blocks, pages = sys.getallocatedblocks(), _resident()
        sys.stderr.write(f"look: {self._count} runs, {blocks} blocks, {pages} pages\n")
        if self._count == WARM * _EVERY:
            self._blocks, self._pages = blocks, pages
        elif self._blocks:
            assert blocks < self._blocks + _MOST_BLOCKS, "memory grows: blocks"
            assert pages < self._pages + _MOST_PAGES, "memory grows: pages"


def _resident() -> int:
    """Return how many pages of memory the process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def main() -> None:
    """Search until libFuzzer ends the process."""
    import atheris

    watched = Watched(sys.argv.pop(1))
    gc.collect()
    gc.freeze()
    atheris.Setup(sys.argv, watched)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
