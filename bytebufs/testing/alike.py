"""How a buffer and the bytes that it should show are asked the same, and what is drawn for that.

A check is a function of a factory and some arguments: it makes a buffer of given bytes and compares what that says
with what the bytes say. `check` registers it.
"""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from ..composite_buffer import CompositeBuffer
from ..slice_buffer import SliceBuffer
from .arrangements import PARTS
from .cuts import hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeAlias

__all__ = [
    "BOUNDS", "BYTES", "DATA", "FAR", "NEEDLES", "NO_BYTES", "NO_NUMBERS", "NUMBERS", "WRAPPERS", "Argument", "Check",
    "Make", "Unlike", "arguments", "as_they_are", "check", "equal", "raises", "same",
]  # fmt: skip

Make: TypeAlias = "Callable[[bytes], Any]"

# -- what is drawn -------------------------------------------------------------------------------------------


class _Index:
    """A number of a class of somebody's own, as those of numpy are."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value

    def __repr__(self) -> str:
        return f"Index({self._value})"


_ANY: Final = st.sampled_from(b"aab\r\n ")
DATA: Final = (st.lists(_ANY, max_size=24) | st.lists(_ANY, min_size=9, max_size=24)).map(bytes)
"""Half of them are long: left alone, hypothesis draws few of more than 8 bytes, and a fault may lie behind that."""
NEEDLES: Final = st.lists(st.sampled_from(b"aab\r\n"), max_size=5).map(bytes)
FAR: Final = st.sampled_from([2**70, -(2**70), sys.maxsize, -sys.maxsize - 1, True, False, _Index(3), _Index(-2)])
NUMBERS: Final[st.SearchStrategy[Any]] = st.integers(-28, 28) | FAR
BOUNDS: Final[st.SearchStrategy[Any]] = st.none() | NUMBERS
NO_NUMBERS: Final = st.sampled_from([1.0, "1", b"1", [1]])
NO_BYTES: Final = st.sampled_from([None, "a", "", 1.0, float, [97], (97,), object()])
BYTES: Final[st.SearchStrategy[Any]] = st.sampled_from([97, 10, 0, 255, 256, -1, True, 2**70, -(2**70), _Index(97)])

WRAPPERS: Final[Sequence[Callable[[bytes], Any]]] = (
    bytes,
    bytearray,
    memoryview,
    hidden,
    SliceBuffer,
    lambda data: SliceBuffer(b"a" + data + b"\n", 1, 1 + len(data)),
    lambda data: CompositeBuffer(PARTS["one-byte parts"](data)),
    lambda data: CompositeBuffer(PARTS["halves"](b"\r" + data))[1:],
)
"""What bytes-like arguments come as; a search that goes by offsets gets those wrong that begin at one."""


@dataclass(frozen=True)
class Argument:
    """Some bytes, and what the buffer is given in their place."""

    data: Any
    given: Any

    def __repr__(self) -> str:
        """Show what the buffer is given."""
        return _shown(self.given)


def arguments(data: st.SearchStrategy[bytes]) -> st.SearchStrategy[Argument]:
    """Draw bytes, in all that is bytes-like."""
    return st.builds(lambda plain, wrap: Argument(plain, wrap(plain)), data, st.sampled_from(WRAPPERS))


def as_they_are(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Argument]:
    """Draw what bytes are given, too."""
    return values.map(lambda value: Argument(value, value))


# -- what is compared ----------------------------------------------------------------------------------------


class Unlike(AssertionError):
    """What a buffer answers is not what bytes answer."""

    def __init__(self, call: str, found: object, wanted: object) -> None:
        super().__init__(call, found, wanted)
        self.call = call
        self.found = found
        self.wanted = wanted


def _as_bytes(value: object) -> object:
    """Return buffers as bytes, also those in a list or tuple."""
    if isinstance(value, (list, tuple)):
        return [_as_bytes(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    views = getattr(value, "views", None)
    return value if views is None else b"".join(views())


def _outcome(call: Callable[[], object]) -> object:
    """Return what a call returns, buffers as bytes, or the type of the exception that it raises."""
    try:
        return _as_bytes(call())
    except Exception as error:  # noqa: BLE001  # whatever it is, the other side has to raise the same
        return type(error)


def _shown(value: object) -> str:
    kind = type(value).__name__
    if isinstance(value, (bytearray, memoryview)) or hasattr(value, "views"):
        return f"{kind}({_as_bytes(value)!r})"
    return repr(value)


def _call_of(what: str | Callable[..., object], args: Iterable[object], options: dict[str, object]) -> str:
    if isinstance(what, operator.itemgetter):
        items: Any = what.__reduce__()[1]
        return f"b[{_slice_shown(*items)}]"
    name = what if isinstance(what, str) else getattr(what, "__name__", repr(what))
    told = [*map(_argument_shown, args), *(f"{key}={_argument_shown(value)}" for key, value in options.items())]
    if not isinstance(what, str):
        told.insert(0, "b")
    return f"{'b.' if isinstance(what, str) else ''}{name}({', '.join(told)})"


def _slice_shown(index: slice) -> str:
    """Return a slice as one writes it."""
    bounds = [index.start, index.stop] + [index.step] * (index.step is not None)
    return ":".join("" if bound is None else repr(bound) for bound in bounds)


def _argument_shown(value: object) -> str:
    if type(value) is tuple:
        return f"({', '.join(map(_argument_shown, value))}{',' * (len(value) == 1)})"
    return _shown(value)


def _side(value: object, side: str) -> Any:
    """Return an argument as one side gets it."""
    if type(value) is tuple:
        return tuple(_side(item, side) for item in value)
    return getattr(value, side) if isinstance(value, Argument) else value


def _asked(target: object, what: str | Callable[..., object], side: str, args: Any, options: Any) -> object:
    taken = [_side(arg, side) for arg in args]
    named = {key: _side(value, side) for key, value in options.items()}
    return getattr(target, what)(*taken, **named) if isinstance(what, str) else what(target, *taken, **named)


def same(b: Any, data: bytes, what: str | Callable[..., object], *args: object, **options: object) -> None:
    """See to it that a method, or a function of the buffer, answers as that of bytes, also if that is an exception."""
    wanted = _outcome(lambda: _asked(data, what, "data", args, options))
    _compare(b, wanted, what, args, options)


def equal(b: Any, wanted: object, what: str | Callable[..., object], *args: object, **options: object) -> None:
    """See to it that a method, or a function of the buffer, has this answer: where bytes have no such method."""
    _compare(b, _as_bytes(wanted), what, args, options)


def raises(b: Any, error: type[Exception], what: str | Callable[..., object], *args: object) -> None:
    """See to it that a method, or a function of the buffer, refuses."""
    _compare(b, error, what, args, {})


def _compare(b: Any, wanted: object, what: str | Callable[..., object], args: Any, options: Any) -> None:
    found = _outcome(lambda: _asked(b, what, "given", args, options))
    if not (type(found) is type(wanted) and found == wanted):
        raise Unlike(_call_of(what, args, options), found, wanted)


# -- the checks ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """A check, and what it is drawn: ``data`` is the bytes that the buffer shows."""

    name: str
    cases: st.SearchStrategy[dict[str, Any]]
    run: Callable[..., None]


def check(
    registry: dict[str, Check], **cases: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a check with what it is drawn."""

    def register(run: Callable[..., None]) -> Callable[..., None]:
        name = run.__name__.removeprefix("_")
        registry[name] = Check(name, st.fixed_dictionaries(cases), run)
        return run

    return register


def sliced(start: object, stop: object, step: object = None) -> operator.itemgetter[Any]:
    """Return what takes a slice."""
    return operator.itemgetter(slice(start, stop, step))
