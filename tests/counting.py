"""Counting what a call does, so that growth is a fact and not a measurement: for the pure build."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest

import bytebufs
from bytebufs._core import search
from bytebufs._core.parts import searcher_of
from bytebufs._core.table import Table

PACKAGE: Final = str(Path(bytebufs.__file__).parent)

TOOL: Final = 5
"""One of the numbers of sys.monitoring. (`tests.bytecodes` has 4, `tests.mutants` 3.)"""


class Work:
    """Lines of the package that ran, and bytes that C functions looked at or copied on its behalf."""

    def __init__(self) -> None:
        self.lines = 0
        self.nbytes = 0

    @property
    def total(self) -> int:
        """All of it. A line takes about as long as some ten bytes, which is nothing to growth."""
        return self.lines + self.nbytes


class _Finder:
    """Searches as what it stands for, and counts what CPython may do.

    Forwards that is m bytes and the window, by its two-way algorithm; backwards it has none: m bytes at each place.
    """

    def __init__(self, finder: Any, work: Work) -> None:
        self._finder = finder
        self._work = work

    def find(self, needle: Any, start: int, stop: int) -> int:
        found: int = self._finder.find(needle, start, stop)
        self._work.nbytes += len(needle) + (stop if found < 0 else found + len(needle)) - start
        return found

    def rfind(self, needle: Any, start: int, stop: int) -> int:
        found: int = self._finder.rfind(needle, start, stop)
        self._work.nbytes += len(needle) * (stop - max(start, found))
        return found


class _Scratch(bytes):
    """What was joined for a search, which counts as ``_Finder`` does."""

    work: Work

    def find(self, needle: Any, start: Any = 0, stop: Any = None) -> int:
        return _Finder(bytes(self), self.work).find(needle, start, len(self) if stop is None else stop)

    def rfind(self, needle: Any, start: Any = 0, stop: Any = None) -> int:
        return _Finder(bytes(self), self.work).rfind(needle, start, len(self) if stop is None else stop)


def _first_searched(table: Table, start: int, stop: int, needle: Any, at: int) -> tuple[int, int]:
    """Return which part of a window is searched in the entry at a position, where a search begins.

    There it asks the entry itself, if that can search, and nobody whom it could be told of.
    """
    if stop - start < len(needle):
        return at, at
    i = bisect_right(table.ends, at, table.head)
    entry, begin, end = table.parts[i], max(table.begin(i), start), min(table.ends[i], stop)
    can_search = isinstance(entry, bytes) or (
        stop - start > search.FEW and searcher_of(entry.owner, end - begin) is not None
    )
    return (begin, end) if can_search and end - begin >= len(needle) else (at, at)


def _patch(patch: pytest.MonkeyPatch, work: Work) -> None:
    real_scratch, real_direct = search.scratch, search._direct
    real_find, real_rfind = search.find, search.rfind
    same_entries, equal_entries = search._same_entries, search._equal_entries

    def scratch(table: Table, start: int, stop: int) -> bytes:
        work.nbytes += stop - start
        made = _Scratch(real_scratch(table, start, stop))
        made.work = work
        return made

    def find(table: Table, start: int, stop: int, needle: Any) -> int:
        found = real_find(table, start, stop, needle)
        lines = work.lines
        begin, end = _first_searched(table, start, stop, needle, start)
        work.lines = lines
        work.nbytes += (end if found < 0 else min(end, start + found + len(needle))) - begin
        return found

    def rfind(table: Table, start: int, stop: int, needle: Any) -> int:
        found = real_rfind(table, start, stop, needle)
        if len(needle) <= search.SHORT:
            lines = work.lines
            begin, end = _first_searched(table, start, stop, needle, stop - 1)
            work.lines = lines
            work.nbytes += len(needle) * (end - max(begin, min(end, start + found)))
        return found

    def direct(*arguments: Any) -> Any:
        finder = real_direct(*arguments)
        return None if finder is None else _Finder(finder, work)

    def same(x: Any, x_skip: int, y: Any, y_skip: int, n: int) -> bool:
        x_owner, y_owner = getattr(x, "owner", x), getattr(y, "owner", y)
        shared = x_owner is y_owner and getattr(x, "start", 0) + x_skip == getattr(y, "start", 0) + y_skip
        work.nbytes += 0 if shared else n
        return same_entries(x, x_skip, y, y_skip, n)

    def equal(x: Table, i: int, y: Table, j: int, last: int) -> int:
        k = equal_entries(x, i, y, j, last)
        work.nbytes += x.begin(x.locate(last)) - x.begin(i)
        return k

    for name in ("_core.search", "_core.seeker", "base_buffer", "reader"):
        module = sys.modules[f"bytebufs.{name}"]
        for replacement in (scratch, find, rfind):
            if hasattr(module, replacement.__name__):
                patch.setattr(module, replacement.__name__, replacement)
    patch.setattr(search, "_direct", direct)
    patch.setattr(search, "_same_entries", same)
    patch.setattr(search, "_equal_entries", equal)


if sys.version_info >= (3, 12):
    from sys import monitoring

    class _Whose(dict[str, bool]):
        """Whether a file lies below some folders."""

        def __init__(self, folders: tuple[str, ...]) -> None:
            super().__init__()
            self._folders = folders

        def __missing__(self, filename: str) -> bool:
            self[filename] = filename.startswith(self._folders)
            return self[filename]

    def _line_of(code: CodeType, offset: int) -> int | None:
        return next(line for start, stop, line in code.co_lines() if start <= offset < stop)

    @contextmanager
    def _lines_counted(work: Work, folders: tuple[str, ...]) -> Iterator[None]:
        """Half as slow as a trace function, and counts the same: each turn of a loop on one line is a line."""
        is_counted = _Whose(folders)
        on_one_line: dict[tuple[int, int], CodeType] = {}

        def count(code: CodeType, _: int) -> object:
            if is_counted[code.co_filename]:
                work.lines += 1
                return None
            return monitoring.DISABLE

        def turn(code: CodeType, offset: int, to: int) -> object:
            key = id(code), offset
            if key not in on_one_line:
                is_turn = to < offset and is_counted[code.co_filename] and _line_of(code, to) == _line_of(code, offset)
                if not is_turn:
                    return monitoring.DISABLE
                on_one_line[key] = code
            work.lines += 1
            return None

        monitoring.use_tool_id(TOOL, __name__)
        monitoring.register_callback(TOOL, monitoring.events.LINE, count)
        monitoring.register_callback(TOOL, monitoring.events.JUMP, turn)
        monitoring.restart_events()  # others may have counted in other folders
        monitoring.set_events(TOOL, monitoring.events.LINE | monitoring.events.JUMP)
        try:
            yield
        finally:
            monitoring.set_events(TOOL, monitoring.events.NO_EVENTS)
            monitoring.register_callback(TOOL, monitoring.events.LINE, None)
            monitoring.register_callback(TOOL, monitoring.events.JUMP, None)
            monitoring.free_tool_id(TOOL)

else:

    @contextmanager
    def _lines_counted(work: Work, folders: tuple[str, ...]) -> Iterator[None]:
        def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
            if event == "line":
                work.lines += 1
            return trace if frame.f_code.co_filename.startswith(folders) else None

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            yield
        finally:
            sys.settrace(before)


@contextmanager
def counted(*also: str) -> Iterator[Work]:
    """Count what is done inside the block: in the package, and in files below other folders."""
    work = Work()
    with pytest.MonkeyPatch.context() as patch:
        _patch(patch, work)
        with _lines_counted(work, (PACKAGE, *also)):
            yield work
