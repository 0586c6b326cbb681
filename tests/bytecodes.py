"""Something is told before each bytecode of the package, where it is interpreted, and may raise there."""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable, Iterator
from inspect import CO_GENERATOR
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

import bytebufs

PACKAGE: Final = str(Path(bytebufs.__file__).parent)

TOOL: Final = 4
"""One of the numbers that nobody has reserved in sys.monitoring."""


def is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(PACKAGE)


def in_the_middle_of(name: str) -> bool:
    """Whether it is this function of the package that something is told in.

    Handlers run where calls are made and loops turn: a function that only stores is none of theirs.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_ours(frame.f_code):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name == name


if sys.version_info >= (3, 12):
    # sys.settrace misses opcodes from 3.12 on: code that was run without it is not always instrumented anew.
    from sys import monitoring

    def _nested(code: CodeType) -> Iterator[CodeType]:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from _nested(constant)

    def _codes() -> Iterator[CodeType]:
        """Yield all of the package's that is loaded."""
        gc.unfreeze()  # or what is frozen is not among them
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and is_ours(one.__code__):
                yield from _nested(one.__code__)
        gc.freeze()

    def _watch_the_package() -> None:
        """Have each bytecode reported, to nobody yet."""
        if not _CODES:
            _CODES.extend(_codes())
            _QUIET.update((id(code), frozenset(_where_nobody_raises(code))) for code in _CODES)
        monitoring.use_tool_id(TOOL, "tests.bytecodes")
        _report(monitoring.events.INSTRUCTION)

    def leave_the_package() -> None:
        """Have nothing reported any more: what is, if to nobody, takes five times as long."""
        if monitoring.get_tool(TOOL) is not None:
            _report(monitoring.events.NO_EVENTS)
            monitoring.free_tool_id(TOOL)

    def _report(events: int) -> None:
        for code in _CODES:
            monitoring.set_local_events(TOOL, code, events)

    _CODES: Final[list[CodeType]] = []
    """The package's, once somebody has watched it."""

    _QUIET: Final[dict[int, frozenset[int]]] = {}
    """By code: the bytecodes that nobody is told of."""

    def _where_nobody_raises(code: CodeType) -> Iterator[int]:
        # A generator that is let go of ends in bytecodes of no line, where nothing can be raised.
        if code.co_flags & CO_GENERATOR:
            for start, stop, line in code.co_lines():
                if line is None:
                    yield from range(start, stop, 2)
        # What does nothing, or only tells tools of a branch, may be left out of the `try` that it stands in:
        # on 3.13 what a `try` ends with, on 3.15 a branch.
        bytecode, marks = code.co_code, {dis.opmap["NOP"], dis.opmap.get("NOT_TAKEN")}
        yield from (offset for offset in range(0, len(bytecode), 2) if bytecode[offset] in marks)

    class Bytecodes:
        """Between `start` and `stop`, `tell` is called before each bytecode of the package."""

        def __init__(self, tell: Callable[[], object]) -> None:
            if monitoring.get_tool(TOOL) is None:
                _watch_the_package()
            self._tell = tell

        def start(self) -> None:
            assert monitoring.get_tool(TOOL), "a test has ended since this was made: nothing is watched any more"
            monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, self._step)

        def stop(self) -> None:
            monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, None)

        def _step(self, code: CodeType, offset: int) -> None:
            if offset not in _QUIET[id(code)]:
                self._tell()

else:

    def leave_the_package() -> None:
        """What is told of bytecodes here ends with ``stop``."""

    class Bytecodes:
        """Between `start` and `stop`, `tell` is called before each bytecode of the package."""

        def __init__(self, tell: Callable[[], object]) -> None:
            self._tell = tell
            self._before = sys.gettrace()

        def start(self) -> None:
            sys.settrace(self._enter)

        def stop(self) -> None:
            sys.settrace(self._before)

        def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
            if not is_ours(frame.f_code):
                return None
            frame.f_trace_opcodes = True
            return self._step

        def _step(self, frame: FrameType, event: str, argument: object) -> Any:
            if event == "opcode":
                self._tell()
            return self._step
