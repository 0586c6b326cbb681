"""A hook of mkdocs: draws the plots on performance before the pages are built. They are not committed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # mkdocs loads a hook by its file name, and knows no package

from benchmarks import _figures, _page  # what stands above finds it

__all__ = ["on_startup"]


def on_startup(**_: object) -> None:
    """Draw them, once, also where pages are built again and again as they change."""
    _figures.plot(_page.kept(_page.RESULTS), _page.ROOT / "docs" / _page.FOLDER)
