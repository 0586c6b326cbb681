"""What tests of parsers need: inputs in pieces, buffers of every kind, and checks that show the least that fails.

Needs hypothesis, and no framework that runs tests: a check raises AssertionError. `import bytebufs` does not load this.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401  # so that who has it not is told so, before anything else is loaded
except ModuleNotFoundError as _error:
    raise ImportError("bytebufs.testing needs hypothesis: pip install hypothesis") from _error

from .arrangements import LAYOUTS, Layout
from .clocks import FakeClock
from .conformance import CHECKS, DiffersFromBytes, check_buffer
from .fakes import FakeFile, FakeSocket, ScriptedSocket, scripted_pair, tiny_pair
from .files import ShrinkingFile
from .fragmentation import DependsOnCuts, check_fragmentation, outcome_of
from .framers import BreaksPromise, check_framer
from .hostile import HOSTILE, HostileStream
from .outcomes import Outcome, joined, plain
from .pictures import picture
from .protocols import Calls, Connected
from .scripts import INTERRUPT, RESET, STALL, TIMEOUT, Fault, Script, Step, until
from .servers import Connection, serving
from .strategies import buffers, composites, fragmentations, layouts

__all__ = [
    "CHECKS",
    "HOSTILE",
    "INTERRUPT",
    "LAYOUTS",
    "RESET",
    "STALL",
    "TIMEOUT",
    "BreaksPromise",
    "Calls",
    "Connected",
    "Connection",
    "DependsOnCuts",
    "DiffersFromBytes",
    "FakeClock",
    "FakeFile",
    "FakeSocket",
    "Fault",
    "HostileStream",
    "Layout",
    "Outcome",
    "Script",
    "ScriptedSocket",
    "ShrinkingFile",
    "Step",
    "buffers",
    "check_buffer",
    "check_fragmentation",
    "check_framer",
    "composites",
    "fragmentations",
    "joined",
    "layouts",
    "outcome_of",
    "picture",
    "plain",
    "scripted_pair",
    "serving",
    "tiny_pair",
    "until",
]
