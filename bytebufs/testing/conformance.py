"""Proof that a buffer answers as bytes do, however it lays them out: `check_buffer`, and what it says if not.

The checks stand in modules by theme: what a buffer shows (`checks_reading`), searches and comparisons
(`checks_finding`), what cuts it (`checks_cutting`), what copies and writes (`checks_copying`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._core.parts import shown
from .alike import Unlike
from .checks_copying import COPYING
from .checks_cutting import CUTTING
from .checks_finding import FINDING
from .checks_reading import READING
from .least import least_failing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .alike import Check, Make

__all__ = ["CHECKS", "DiffersFromBytes", "check_buffer"]

_ALL: Final[dict[str, Check]] = READING | FINDING | CUTTING | COPYING

CHECKS: Final = tuple(_ALL)
"""The names of the checks that ``check_buffer`` makes, in their order."""


class DiffersFromBytes(AssertionError):
    """What a buffer answers is not what bytes answer.

    ``check`` is the name of the check. ``data`` are the fewest bytes that were found to fail, and ``arguments`` what
    the check was given beside them. ``call`` is what the buffer was asked, ``found`` what came, ``wanted`` what bytes
    say: values, or types of exceptions; these three are None where the check ended in an error of the buffer's own,
    which is the cause. ``layout`` shows where the buffer has its bytes.
    """

    def __init__(self, check: str, data: bytes, arguments: dict[str, Any], error: Exception, layout: str) -> None:
        super().__init__(check, data, arguments, error, layout)
        self.check = check
        self.data = data
        self.arguments = arguments
        self.call: str | None = error.call if isinstance(error, Unlike) else None
        self.found: object = error.found if isinstance(error, Unlike) else None
        self.wanted: object = error.wanted if isinstance(error, Unlike) else None
        self.layout = layout
        self._error = error

    def __str__(self) -> str:
        """Say what was asked of which bytes, what came, and what bytes say."""
        lines = [f"{self.check}: the buffer does not answer as bytes do", f"data       {self.data!r}"]
        if self.call is None:
            lines += [f"{key:<10} {value!r}" for key, value in self.arguments.items()]
            lines.append(f"raised     {self._error!r}")
        else:
            lines += [f"asked      {self.call}", f"came       {_said(self.found)}", f"expected   {_said(self.wanted)}"]
        return "\n".join([*lines, self.layout])


def _said(value: object) -> str:
    return value.__name__ if isinstance(value, type) else repr(value)


def check_buffer(
    make: Make, *more: Make, checks: Iterable[str] = CHECKS, max_examples: int = 100, random_seed: int = 0
) -> None:
    """See to it that a buffer of given bytes answers everything as these bytes do.

    >>> from bytebufs import CompositeBuffer
    >>> check_buffer(lambda data: CompositeBuffer([data[:2], data[2:]]), max_examples=10)

    ``make`` is given bytes, also none, and returns a buffer that shows them: one of the library's, over an owner or a
    layout of your own, or an object with the methods of BaseBuffer. ``checks`` are those of ``CHECKS`` that are made,
    by default all, each with ``max_examples`` examples that hypothesis draws. Whatever is drawn depends on
    ``random_seed`` alone. With ``more`` such functions each example is tried with all, which takes less time than a
    call for each.

    Raises DiffersFromBytes with the smallest example that was found to fail. ValueError for checks that there are not.
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not ours
    names = list(checks)
    if unknown := set(names) - set(_ALL):
        raise ValueError(f"there is no check {shown(min(unknown))}; there are {', '.join(CHECKS)}")
    for name in names:
        _run(_ALL[name], (make, *more), max_examples, random_seed)


def _run(check: Check, makes: Sequence[Make], max_examples: int, random_seed: int) -> None:
    """Draw examples for a check, and raise the smallest that fails."""
    __tracebackhide__ = True
    tried: list[Make] = []

    def run(case: dict[str, Any]) -> None:
        for make in makes:
            tried[:] = [make]
            check.run(make, **case)

    if failed := least_failing(check.cases, run, max_examples=max_examples, random_seed=random_seed):
        case, error = failed
        data = case.pop("data")
        cause = None if isinstance(error, Unlike) else error
        raise DiffersFromBytes(check.name, data, case, error, _layout(tried[0], data)) from cause


def _layout(make: Make, data: bytes) -> str:
    """Return how the buffer lays out its bytes, or what it says instead."""
    try:
        return str(make(data).layout())
    except Exception as error:  # noqa: BLE001  # it is broken somehow: this may be how
        return f"layout() raised {error!r}"
