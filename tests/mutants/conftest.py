"""Nothing in this folder is a test, and what it imports is installed by `make mutants` alone."""

from __future__ import annotations

from typing import Final

collect_ignore_glob: Final = ["*.py"]
