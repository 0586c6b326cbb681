"""What tests of parsers need: inputs in pieces, buffers of every kind, and checks that show the least that fails.

Needs hypothesis, and no framework that runs tests: a check raises AssertionError. `import bytebufs` does not load this.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401  # so that who has it not is told so, before anything else is loaded
except ModuleNotFoundError as _error:
    raise ImportError("bytebufs.testing needs hypothesis: pip install hypothesis") from _error

from .arrangements import LAYOUTS, Layout
from .fragmentation import DependsOnCuts, check_fragmentation, outcome_of
from .outcomes import Outcome, joined, plain
from .pictures import picture
from .protocols import Calls, Connected
from .servers import Connection, serving
from .strategies import buffers, composites, fragmentations, layouts

__all__ = [
    "LAYOUTS",
    "Calls",
    "Connected",
    "Connection",
    "DependsOnCuts",
    "Layout",
    "Outcome",
    "buffers",
    "check_fragmentation",
    "composites",
    "fragmentations",
    "joined",
    "layouts",
    "outcome_of",
    "picture",
    "plain",
    "serving",
]
