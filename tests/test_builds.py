"""The compiled build does what the pure one does: both answer the same probes, and what differs is documented.

The wheels of both builds come from the folder that BYTEBUFS_WHEELS names (`make wheels`; `make test BUILD=...` sets
it). Each is unpacked and asked in processes of its own, so the comparison is the same whichever build runs this.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

import bytebufs
from bytebufs import Framer

from . import build_probes

PROBES: Final = Path(build_probes.__file__)
PAGE: Final = Path(__file__).parent.parent / "docs" / "howto" / "installing.md"

Outcome: TypeAlias = list[Any]


# -- the two builds


def _wheels() -> dict[str, Path]:
    """Return the wheels that this interpreter can use, by build."""
    folder = Path(os.environ.get("BYTEBUFS_WHEELS", os.devnull))
    found = sorted(folder.glob("bytebufs-*.whl")) if folder.is_dir() else []
    ours = f"-cp{sys.version_info.major}{sys.version_info.minor}-"
    return {
        "pure" if path.name.endswith("-py3-none-any.whl") else "compiled": path
        for path in found
        if path.name.endswith("-py3-none-any.whl") or ours in path.name
    }


def _ask(wheel: Path, folder: Path) -> Mapping[str, Any]:
    """Unpack a wheel and have a new process of this interpreter answer the probes with it."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(PROBES), str(folder)],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert run.returncode == 0, run.stderr
    answers: dict[str, Any] = json.loads(run.stdout)
    return answers


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """What each build answers."""
    wheels = _wheels()
    missing = sorted({"compiled", "pure"} - wheels.keys())
    if missing:
        reason = f"no {' and no '.join(missing)} wheel in BYTEBUFS_WHEELS: run `make test BUILD=compiled`"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason} (under CI=true both builds have to be there)", pytrace=False)
        pytest.skip(reason)
    return {build: _ask(wheel, tmp_path_factory.mktemp(build)) for build, wheel in wheels.items()}


# -- what differs

_ARGUMENTS: Final = re.compile(
    r"missing required|takes (at most|exactly|at least|no) |is an invalid keyword argument"
    r"|argument for .* given by name|keywords must be strings"
)
_EXACT: Final = re.compile(r" object expected; got ")


@dataclass(frozen=True)
class Difference:
    """One line of the page's list: the words that it begins with, and what it covers."""

    words: str
    covers: Callable[[str, Outcome, Outcome], bool]


def _both_raise(pure: Outcome, compiled: Outcome, kind: str) -> bool:
    return pure[:2] == compiled[:2] == ["raised", kind]


def _raises(outcome: Outcome, kind: str) -> bool:
    return outcome[:2] == ["raised", kind]


def _numbered(outcome: Outcome) -> Outcome:
    """Say 1 and 0 for the True and False of a sentence."""
    sentence = re.sub(r"\bTrue\b", "1", re.sub(r"\bFalse\b", "0", outcome[2]))
    return [*outcome[:2], sentence, *outcome[3:]]


DIFFERENCES: Final = (
    Difference(
        "Wrong calls",
        lambda name, pure, compiled: _both_raise(pure, compiled, "TypeError") and bool(_ARGUMENTS.search(compiled[2])),
    ),
    Difference(
        "Flags, names and formats",
        lambda name, pure, compiled: _raises(compiled, "TypeError") and bool(_EXACT.search(compiled[2])),
    ),
    Difference(
        "True and False as sizes",
        lambda name, pure, compiled: pure[0] == "raised" and pure != _numbered(pure) == compiled,
    ),
    Difference(
        "Methods called on another type",
        lambda name, pure, compiled: name.endswith(" of another") and _raises(compiled, "TypeError"),
    ),
    Difference(
        "Setting a property",
        lambda name, pure, compiled: (
            bool(re.search(r"^del | = 1$", name)) and _both_raise(pure, compiled, "AttributeError")
        ),
    ),
    Difference(
        "Documentation at run time",
        lambda name, pure, compiled: bool(re.search(r" (is annotated|is a function)$", name)),
    ),
    Difference(
        "Iterators",
        lambda name, pure, compiled: name.startswith("isgenerator"),
    ),
    Difference(
        "Bare objects",
        lambda name, pure, compiled: name.endswith((".__new__", ".__init__ again")),
    ),
)


def _differing(answers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Outcome, Outcome]]:
    pure, compiled = answers["pure"]["outcomes"], answers["compiled"]["outcomes"]
    for name in pure:
        if pure[name] != compiled[name]:
            yield name, pure[name], compiled[name]


def test_each_wheel_is_the_build_that_it_says(answers: Mapping[str, Mapping[str, Any]]) -> None:
    assert {build: answer["compiled"] for build, answer in answers.items()} == {"compiled": True, "pure": False}


def test_both_builds_are_asked_the_same(answers: Mapping[str, Mapping[str, Any]]) -> None:
    asked = {build: set(answer["outcomes"]) for build, answer in answers.items()}
    assert asked["pure"] == asked["compiled"]
    assert len(asked["pure"]) > 20_000


def test_whatever_differs_is_documented(answers: Mapping[str, Mapping[str, Any]]) -> None:
    unknown = [
        f"{name}\n    pure:     {pure}\n    compiled: {compiled}"
        for name, pure, compiled in _differing(answers)
        if not any(difference.covers(name, pure, compiled) for difference in DIFFERENCES)
    ]
    assert not unknown, f"{len(unknown)} differences, such as\n" + "\n".join(unknown[:10])


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.words)
def test_what_is_documented_differs(answers: Mapping[str, Mapping[str, Any]], difference: Difference) -> None:
    assert any(difference.covers(*found) for found in _differing(answers))


def test_what_must_never_be_raised_is_not(answers: Mapping[str, Mapping[str, Any]]) -> None:
    never = {"OverflowError", "SystemError", "AssertionError", "RecursionError", "NotImplementedError"}
    abstract = ("BaseBuffer.__new__", "NotImplementedError")  # made past its constructor, and looked at
    raised = [
        (build, name, outcome)
        for build, answer in answers.items()
        for name, outcome in answer["outcomes"].items()
        if (outcome[0] == "raised" and outcome[1] in never and (name, outcome[1]) != abstract)
        or "broken" in str(outcome[-1])
    ]
    assert raised == []


def test_both_builds_are_documented_alike(answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Docstrings, parameters, and what help() makes of them, to the letter: but for `self`, types and constructors."""
    pure, compiled = (answers[build]["documentation"] for build in ("pure", "compiled"))
    special = [name for name in answers["pure"]["special"] if not name.endswith(".__init__")]
    names = [name for name in pure if ".__" not in name] + special
    differing = [
        f"{name}\n    pure:     {pure[name]}\n    compiled: {compiled.get(name)}"
        for name in names
        if pure[name] != compiled.get(name)
    ]
    assert not differing, f"{len(differing)} are told otherwise, such as\n" + "\n".join(differing[:5])
    assert len(special) > 80
    assert {"CompositeBuffer.__len__", "SliceBuffer.__eq__", "Lines.encode", "Reader.position", "flush"} <= {*names}


@pytest.mark.parametrize("build", ["compiled", "pure"])
def test_all_that_is_public_is_documented(answers: Mapping[str, Mapping[str, Any]], build: str) -> None:
    told = answers[build]["documentation"]
    silent = [name for name, (text, parameters, _) in told.items() if parameters is not None and not text]
    assert [name for name in silent if ".__" not in name] == []
    bare = [name for name, (text, _, page) in told.items() if page and page[0] != text.strip().splitlines()[0].strip()]
    assert bare == []
    text, parameters, page = told["CompositeBuffer.append"]
    assert text.startswith("Add a part at the end. Complexity: ")
    assert parameters == ["self", "POSITIONAL_OR_KEYWORD part: <class 'inspect._empty'>"]
    assert page[0] == text.splitlines()[0]


@pytest.mark.parametrize("build", ["compiled", "pure"])
@pytest.mark.parametrize("name", ["SliceBuffer", "CompositeBuffer", "Reader", "Lines", "BaseBuffer", "Framer"])
def test_nobody_derives_from_a_final_class(answers: Mapping[str, Mapping[str, Any]], build: str, name: str) -> None:
    outcome = answers[build]["outcomes"][f"subclass {name}"]
    assert outcome[:3] == ["raised", "TypeError", f"{name} is final: hold one, do not derive from it"]


@pytest.mark.parametrize("build", ["compiled", "pure"])
@pytest.mark.skipif(sys.version_info < (3, 12), reason="memoryview() asks for __buffer__ from 3.12 on")
@pytest.mark.parametrize(
    "protocol", ["memoryview", "join", "sha256", "crc32", "compress", "frombuffer", "sendall", "os.write", "BytesIO"]
)
def test_a_buffer_goes_where_bytes_go(answers: Mapping[str, Mapping[str, Any]], build: str, protocol: str) -> None:
    outcomes = answers[build]["outcomes"]
    for kind in ("one part", "many parts", "composite"):
        assert outcomes[f"{kind}: {protocol}"][0] == "returned"


# -- the probes themselves

_MARKS: Final = {"KEYWORD_ONLY": "*", "VAR_POSITIONAL": "+"}


def _public(subject: object) -> set[str]:
    return {name for name in dir(subject) if not name.startswith("_") and callable(getattr(subject, name))}


@pytest.mark.parametrize("kind", build_probes.SUBJECTS)
def test_every_public_method_is_probed(kind: str) -> None:
    if kind != "writable":
        assert set(build_probes.METHODS[kind]) == _public(build_probes.SUBJECTS[kind]())


@pytest.mark.parametrize("kind", build_probes.SUBJECTS)
def test_every_parameter_is_probed(kind: str) -> None:
    subject = build_probes.SUBJECTS[kind]()
    for method, wanted in build_probes.METHODS[kind].items():
        parameters = inspect.signature(getattr(subject, method)).parameters.values()
        named = [_MARKS.get(parameter.kind.name, "") + parameter.name for parameter in parameters]
        assert [name for name in wanted if name != "+more"] == named, f"{kind}.{method}"


def test_every_class_is_probed() -> None:
    classes = {
        value
        for name in bytebufs.__all__
        if isinstance(value := getattr(bytebufs, name), type) and not issubclass(value, Exception)
    }
    compiled = {cls.__module__ for cls in build_probes.CLASSES}
    assert {cls for cls in classes if cls.__module__ in compiled} == set(build_probes.CLASSES)
    made = {type(make()) for make in build_probes.SUBJECTS.values()}
    assert {cls for cls in classes if issubclass(cls, Framer) and cls is not Framer} <= made


def test_the_page_lists_what_differs() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Where the two builds differ")[2].partition("\n## ")[0]
    assert re.findall(r"^- \*\*(.+?)\.?\*\*", section, re.MULTILINE) == [each.words for each in DIFFERENCES]


# -- how docstrings get into the compiled build

MODULE: Final = '''"""A module."""
_SOME: Final = 1 << 4

def put(part: bytes, *, most: int = _SOME) -> int:
    """Put, e.g. "\\\\0".

    Ü?
    """

class Base:
    """A base."""

    def __eq__(self, other: object) -> bool:
        """Compare."""

class Box(Base):
    """A box."""

    def __init__(self, size: int, /, *more: int, name: str = "x") -> None: ...

    def __len__(self) -> int:
        """Count."""

    @property
    def size(self) -> int:
        """The size."""

    def _hidden(self) -> None:
        """Nobody's business."""
'''

METHOD: Final = '(PyCFunction)CPyPy_box___Box_____len__,\n METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("__len__($self)")},'
C: Final = f"""
PyObject *CPyPy_box___Base_____eq__(PyObject *self, PyObject *const *args, size_t nargs, PyObject *kwnames);
static PyMethodDef boxmodule_methods[] = {{
 {{"put", (PyCFunction)CPyPy_box___put, METH_FASTCALL | METH_KEYWORDS, PyDoc_STR(NULL) /* docstring */}},
}};
static struct PyModuleDef boxmodule = {{
    PyModuleDef_HEAD_INIT,
    "pack.box",
    NULL, /* docstring */
}};
static PyMethodDef box___Base_methods[] = {{
 {{"__eq__",
  (PyCFunction)CPyPy_box___Base_____eq__,
  METH_FASTCALL | METH_KEYWORDS, PyDoc_STR("__eq__($self, other, /)")}},
}};
static PyTypeObject CPyType_box___Base_template_ = {{
    .tp_richcompare = x,
    .tp_doc = PyDoc_STR("Base()"),
}};
static PyGetSetDef box___Box_getseters[] = {{
 {{"size",
  (getter)box___Box_get_size,
 NULL, NULL, NULL}},
}};
static PyMethodDef box___Box_methods[] = {{
 {{"__len__",
  {METHOD}
}};
static PyTypeObject CPyType_box___Box_template_ = {{
    .tp_richcompare = y,
    .tp_doc = PyDoc_STR(NULL),
}};
"""


def _documented(c: str, module: str) -> str:
    """Call what the build calls, out of the checkout."""
    at = Path(__file__).parent.parent / "_build" / "docstrings.py"
    spec = importlib.util.spec_from_file_location("docstrings", at)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["docstrings"] = found  # where dataclasses look
    try:
        spec.loader.exec_module(found)
        text: str = found.documented(c, {"pack.box": module})
        return text
    finally:
        del sys.modules["docstrings"]


@pytest.mark.checkout
def test_docstrings_and_signatures_are_put_where_cpython_looks() -> None:
    text = re.sub(r'" "', "", _documented(C, MODULE))
    for wanted in (
        '"pack.box",\n    "A module.", /* docstring */',
        r'PyDoc_STR("put(part, *, most=16)\012--\012\012Put, e.g. \042\1340\042.\012\012',
        r"\303\234\077\012",
        r""".tp_doc = PyDoc_STR("Box(size, /, *more, name='x')\012--\012\012A box."),""",
        r'METH_FASTCALL | METH_KEYWORDS | METH_COEXIST, PyDoc_STR("__len__($self)\012--\012\012Count.")',
        r'NULL, "The size.", NULL},',
    ):
        assert wanted in text
    # What Box has a slot for, and inherits.
    inherited = r'{"__eq__", (PyCFunction)CPyPy_box___Base_____eq__, METH_FASTCALL | METH_KEYWORDS | METH_COEXIST, '
    assert text.count(inherited + r'PyDoc_STR("__eq__($self, other)\012--\012\012Compare.")}') == 1
    assert "business" not in text


@pytest.mark.checkout
@pytest.mark.parametrize(
    ("c", "module", "sentence"),
    [
        (C.replace(METHOD, ""), MODULE, "no place, .* of Box.__len__: 0 fit"),
        (C.replace("METH_FASTCALL | METH_KEYWORDS, PyDoc_STR(NULL)", "METH_O, NULL"), MODULE, "of pack.box.put: 0 fit"),
        (C.replace("NULL, /* docstring */", "doc"), MODULE, "of pack.box: 0 fit"),
        (C.replace("PyGetSetDef", "Other"), MODULE, "of Box: there is no PyGetSetDef box___Box_getseters"),
        (C.replace("tp_doc", "tp_text"), MODULE, "of Base: 0 fit"),
        (C.replace("pack.box", "box"), MODULE, "of pack.box: it is defined 0 times"),
        (C.replace("PyObject *CPyPy", "int CPyPy"), MODULE, "there is no CPyPy_box___Base_____eq__"),
        (C, MODULE.replace("1 << 4", "sys.maxsize"), "cannot tell the default sys.maxsize of pack.box.put"),
        (
            C,
            MODULE.replace("-> None: ...", '-> None:\n        "A maker."'),
            "Box.__init__: say it in that of the class",
        ),
        (C, MODULE.replace("@property", "@cache"), "nobody has looked at"),
        (C, MODULE.replace("A box.", "A\\0box."), "ends at a NUL"),
    ],
    ids=["method", "function", "module", "property", "class", "name", "slot", "default", "maker", "decorator", "nul"],
)
def test_what_finds_no_place_fails_the_build(c: str, module: str, sentence: str) -> None:
    with pytest.raises(RuntimeError, match=sentence):
        _documented(c, module)
