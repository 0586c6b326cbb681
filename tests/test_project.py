"""The rules of the project: its layers, its surface, its copies, its papers."""

from __future__ import annotations

import ast
import asyncio
import getpass
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import bytebufs
import bytebufs.aio
import bytebufs.testing

pytestmark = pytest.mark.checkout

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "bytebufs"

DESIGN: Final = ROOT / "docs" / "design.md"

COUNTED: Final[Mapping[str, frozenset[str]]] = {
    "_core.parts": frozenset({"join"}),
    "_core.pickling": frozenset({"own"}),
    "_core.search": frozenset({"_block", "_last"}),
    "aio.links": frozenset({"_TransportSink._hand_over_pieces"}),
    "aio.writing": frozenset({"_write_file"}),
    "sending.plan": frozenset({"_join", "_whole_batch"}),
    "base_buffer": frozenset({"BaseBuffer._copied", "BaseBuffer.copy_into", "BaseBuffer.decode", "BaseBuffer.hex"}),
    "composite_buffer": frozenset(
        {"CompositeBuffer._coalesced", "CompositeBuffer._poured_out", "CompositeBuffer.take_bytes", "_joined"}
    ),
    "sending.channels": frozenset({"_read"}),
    "receiving.inbox": frozenset({"_read"}),
    "reader": frozenset({"Reader.array", "Reader.take_bytes", "Reader.text"}),
    "sending.transferring": frozenset({"_Transfer._copy"}),
}
"""The functions that call `count_copy`, by module: the only ones that may copy payload."""

NOT_PAYLOAD: Final[Mapping[str, Mapping[str, str]]] = {
    "_core.foreign": {
        "_joined": "windows of at most 64 KiB, where nobody knows where in memory they lie",
    },
    "_core.parts": {
        "Block.__init__": "a new block of zeros; what is put into it is counted where that is done",
    },
    "_core.search": {
        "scratch": "a bounded window that only a search or a decoder looks at",
        "piece": "a bounded window, as of scratch",
    },
    "base_buffer": {
        "<module>": "the 256 needles of one byte",
        "_byte_set": "at most 256 bytes: each that occurs, once",
    },
    "buffer_file": {
        "BufferFile._read_to": "what SliceBuffer.tobytes counts",
    },
    "composite_buffer": {
        "CompositeBuffer._poured_out": "the zeros that are copied over",
    },
    "framing": {
        "LengthPrefixed.encode": "the header of a frame",
    },
    "sending.plan": {
        "_joined": "what _whole_batch counts",
    },
    "receiving.pool": {
        "_Block.__init__": "a new block of zeros, which is received into",
    },
    "reader": {
        "Reader._fail_expected": "a literal, for the sentence of an error",
        "Reader._uint": "the bytes of one number",
        "decoded": "text that Reader.text and BaseBuffer.decode have counted",
    },
}
"""What looks like a copy of payload and is none, and why."""


# -- reading the source


def _sources(package: Path) -> dict[str, Path]:
    """Map each module's dotted name below the package to its file; a package is its `__init__`."""
    return {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in sorted(package.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


SOURCES: Final = _sources(PACKAGE)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk the tree, inside functions too, but not into `if TYPE_CHECKING:`."""
    yield node
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        children: Sequence[ast.AST] = node.orelse
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from _executed(child)


def _qualified(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Walk the tree, giving each node with the qualified name of the function or class that it stands in."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}" if prefix else child.name
            yield name, child
            yield from _qualified(child, name)
        else:
            yield prefix or "<module>", child
            yield from _qualified(child, prefix)


# -- layers


def _imported(name: str, tree: ast.Module, package: str, modules: Mapping[str, Path]) -> Iterator[tuple[int, str]]:
    """Yield line and module for each import of the package's own modules, and of strangers as `!name`."""

    def own(dotted: str) -> str:
        inside = dotted.removeprefix(package).removeprefix(".")
        while inside and inside not in modules and f"{inside}.__init__" not in modules:
            inside = inside.rpartition(".")[0]
        return inside or "__init__"

    here = [package, *name.split(".")][:-1]
    for node in _executed(tree):
        wanted: list[str] = []
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) - node.level + 1], node.module or ""]).rstrip(".")
            if not node.level:
                base = node.module or ""
            wanted = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                target = node.args[0].value
                wanted = [".".join([*here, target.lstrip(".")]) if target.startswith(".") else target]
        for dotted in wanted:
            top = dotted.partition(".")[0]
            if top == package:
                yield node.lineno, own(dotted)  # type: ignore[attr-defined]  # all three kinds have a line
            elif top not in sys.stdlib_module_names:
                yield node.lineno, f"!{top}"  # type: ignore[attr-defined]


def rows_of(page: str) -> list[str]:
    """Return the modules that a page's table of layers lists, from the lowest up.

    A line names a file; one that ends in a slash names a folder, and what is indented below it stands in that.
    """
    [table] = re.findall(r"^## Layers$.*?^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    rows, folder = [], ""
    for line in table.splitlines():
        name = line.split()[0]
        if name.endswith("/"):
            folder = name.rstrip("/") + "."
        else:
            folder = folder if line.startswith(" ") else ""
            rows.append(folder + name.removesuffix(".py").removesuffix(".c"))
    return rows


def breaches(package: Path, rows: Sequence[str]) -> list[str]:
    """Return one sentence for each import in the package that does not go down the rows, and for each stale row."""
    row_of = {module: number for number, module in enumerate(rows)}
    modules = _sources(package)
    # What is written in C imports nothing of ours.
    below = modules | {".".join(path.relative_to(package).with_suffix("").parts): path for path in package.rglob("*.c")}
    found = [f"{name} stands in a row, and is not there" for name in rows if name not in below]
    found += [f"{name} stands in no row" for name in below if name not in modules and name not in row_of]
    for name, path in modules.items():
        if name not in row_of:
            found.append(f"{name} stands in no row")
            continue
        for line, target in _imported(name, _parsed(path), package.name, below):
            lower = target if target in row_of else f"{target}.__init__"
            if target.startswith("!"):
                if target[1:] != "mypy_extensions" and (name.partition(".")[0], target[1:]) != (
                    "testing",
                    "hypothesis",
                ):
                    found.append(f"{name}:{line} imports {target[1:]}, which is not in the standard library")
            elif lower not in row_of:
                found.append(f"{name}:{line} imports {target}, which stands in no row")
            elif row_of[lower] >= row_of[name]:
                found.append(f"{name}:{line} imports {target}, which is not below it")
    return found


def test_modules_import_only_downwards() -> None:
    assert breaches(PACKAGE, rows_of(DESIGN.read_text(encoding="utf-8"))) == []


def test_what_is_written_in_c_stands_in_a_row_too(tmp_path: Path) -> None:
    package = _fake_package(tmp_path, {"high": "from ._fast import x", "low": "from ._fast import x"})
    (package / "_fast.c").write_text("")
    assert "_fast stands in no row" in breaches(package, FAKE_ROWS)
    low, *others = FAKE_ROWS
    assert breaches(package, [low, "_fast", *others]) == ["low:1 imports _fast, which is not below it"]


FAKE_ROWS: Final = ("low", "left", "right", "high", "sub.other", "sub.deep", "sub.__init__", "__init__")


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("low", "import fake.high", "low:1 imports high, which is not below it"),
        ("low", "from .high import x", "low:1 imports high, which is not below it"),
        ("low", "from . import high", "low:1 imports high, which is not below it"),
        ("low", "from fake import high as h", "low:1 imports high, which is not below it"),
        ("low", "from fake import anything", "low:1 imports __init__, which is not below it"),
        ("low", "import fake", "low:1 imports __init__, which is not below it"),
        ("low", "def f():\n    from fake.high import x", "low:2 imports high, which is not below it"),
        (
            "low",
            "class A:\n  def f(self):\n    import fake.sub.deep",
            "low:3 imports sub.deep, which is not below it",
        ),
        ("low", "importlib.import_module('fake.high')", "low:1 imports high, which is not below it"),
        ("low", "importlib.import_module('.high', __package__)", "low:1 imports high, which is not below it"),
        ("low", "__import__('fake.high')", "low:1 imports high, which is not below it"),
        (
            "low",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import fake.high",
            "low:4 imports high, which is not below it",
        ),
        ("left", "from .right import x", "left:1 imports right, which is not below it"),
        ("sub.deep", "from .. import x", "sub.deep:1 imports __init__, which is not below it"),
        ("sub.deep", "from fake.sub import y", "sub.deep:1 imports sub, which is not below it"),
        ("sub.other", "from .deep import y", "sub.other:1 imports sub.deep, which is not below it"),
        ("low", "import requests", "low:1 imports requests, which is not in the standard library"),
        ("stranger", "", "stranger stands in no row"),
        ("low", "from .stranger import x", "low:1 imports stranger, which stands in no row"),
    ],
    ids=str,
)
def test_the_layer_check_bites(tmp_path: Path, module: str, source: str, breach: str) -> None:
    package = _fake_package(tmp_path, {"stranger": ""} if "stranger" in source else {})
    (package / f"{module.replace('.', '/')}.py").write_text(source)
    assert breach in breaches(package, FAKE_ROWS)


def test_a_row_without_a_module_is_stale(tmp_path: Path) -> None:
    assert breaches(_fake_package(tmp_path, {}), [*FAKE_ROWS, "gone"]) == ["gone stands in a row, and is not there"]


def test_the_table_of_layers_is_read_with_its_folders() -> None:
    table = "low.py  a leaf\nsub/\n    other.py  x\n    __init__.py\nhigh.py\n"
    page = f"## Layers\n\n```text\n{table}```\n\n```text\nno.py\n```\n"
    assert rows_of(page) == ["low", "sub.other", "sub.__init__", "high"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("high", "import fake.low, struct, collections.abc\nfrom .left import x\nfrom . import right"),
        ("low", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .high import x"),
        ("low", "import typing\nif typing.TYPE_CHECKING:\n    from fake import high"),
        (
            "sub.deep",
            "from . import other\nfrom .other import x\nfrom ..high import x",
        ),
        ("__init__", "from .low import x\nfrom fake import sub"),
    ],
    ids=str,
)
def test_the_layer_check_lets_pass_what_goes_down(tmp_path: Path, module: str, source: str) -> None:
    package = _fake_package(tmp_path, {})
    (package / f"{module.replace('.', '/')}.py").write_text(source)
    assert breaches(package, FAKE_ROWS) == []


def _fake_package(tmp_path: Path, more: Mapping[str, str]) -> Path:
    package = tmp_path / "fake"
    (package / "sub").mkdir(parents=True)
    names = ["__init__", "low", "left", "right", "high", "sub/__init__", "sub/deep", "sub/other"]
    for name, source in {**dict.fromkeys(names, ""), **more}.items():
        (package / f"{name}.py").write_text(source)
    return package


# -- what an import costs


def test_importing_the_package_is_light() -> None:
    """It loads neither asyncio nor hypothesis, nothing slow, and nothing that is not Python's own."""
    command = "import sys; before = set(sys.modules); import bytebufs; print(*(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-c", command],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    tops = {module.partition(".")[0] for module in run.stdout.split()}
    assert "bytebufs" in tops
    assert tops & {"asyncio", "hypothesis", "ctypes", "ssl"} == set()
    strangers = {top for top in tops if top not in sys.stdlib_module_names and not top.endswith("__mypyc")}
    assert strangers <= {"bytebufs", "mypy_extensions"}


# -- the public surface


def _modules() -> list[str]:
    return [name for name in SOURCES if not name.endswith("__main__")]


def _public_modules() -> list[str]:
    return [name for name in _modules() if name == "__init__" or not any(p.startswith("_") for p in name.split("."))]


def _exported(name: str) -> list[str] | None:
    """Return the module's `__all__`, or None if it has none that can be read off."""
    for node in _parsed(SOURCES[name]).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = ast.literal_eval(node.value)  # type: ignore[attr-defined]  # both kinds have a value
            return list(value)
    return None


def _defined(name: str) -> set[str]:
    """Return the names that the module itself defines at its top level, constants too."""
    names: set[str] = set()
    for node in _parsed(SOURCES[name]).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.If | ast.Try):
            names.update(deep.name for deep in ast.walk(node) if isinstance(deep, ast.FunctionDef | ast.ClassDef))
    return names


def test_the_package_exports_what_all_says_and_nothing_else() -> None:
    shown = {
        name
        for name, value in vars(bytebufs).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert shown == {name for name in bytebufs.__all__ if not name.startswith("_")}
    assert len(set(bytebufs.__all__)) == len(bytebufs.__all__)
    assert [name for name in bytebufs.__all__ if not hasattr(bytebufs, name)] == []


_FOR_USERS: Final = {
    *bytebufs.__all__,
    *bytebufs.aio.__all__,
    *bytebufs.files.__all__,
    *bytebufs.receiving.__all__,
    *bytebufs.sending.__all__,
    *bytebufs.testing.__all__,
    "ByteOrder",
    "How",
    "OnError",
    "Readable",
    "Receiver",
}
"""What the package and its folders export, and the types of arguments."""


@pytest.mark.parametrize("name", [name for name in _public_modules() if not name.endswith("__init__")])
def test_a_module_names_what_is_for_users_or_is_for_none_of_them(name: str) -> None:
    exported = _exported(name)
    assert exported is not None, f"{name} has no __all__"
    assert set(exported) <= _defined(name) - {defined for defined in _defined(name) if defined.startswith("_")}
    assert set(exported) <= _FOR_USERS or not _FOR_USERS & set(exported)


@cache
def _imported_from(name: str) -> Mapping[str, set[str]]:
    """Return what a module imports by name, by the last part of the name of where that is from."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(_parsed(SOURCES[name])):
        if isinstance(node, ast.ImportFrom):
            found.setdefault((node.module or "").rpartition(".")[2], set()).update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("name", [name for name in _public_modules() if not name.endswith("__init__")])
def test_what_another_module_needs_has_no_underscore_and_all_else_has_one(name: str) -> None:
    leaf = name.rpartition(".")[2]
    imported = {wanted for other in _modules() if other != name for wanted in _imported_from(other).get(leaf, ())}
    shared = {defined for defined in _defined(name) if not defined.startswith("_")}
    assert shared - set(_exported(name) or ()) <= imported | _FROM_OUTSIDE
    assert {alias for alias in imported if alias.startswith("_")} == set()


_FROM_OUTSIDE: Final = {
    *("load_composite", "load_slice"),
    *("PARTS", "anonymous_map", "hidden_in_bytearray", "layouts_of", "mixed", "unaligned_file_map"),
}
"""Names in pickles, and what the project's own tests share with the kit."""


def _undocumented(names: Sequence[str]) -> list[str]:
    """Return what is public and has no docstring; a method may have inherited its own."""
    documented: set[str] = set()  # Class.method, over all modules: an override inherits the words
    bases: dict[str, list[str]] = {}
    for name in _modules():
        for node in ast.walk(_parsed(SOURCES[name])):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base) for base in node.bases]
                documented |= {f"{node.name}.{m.name}" for m in _methods(node) if ast.get_docstring(m)}

    def inherits(owner: str, method: str) -> bool:
        if owner.startswith("asyncio."):
            return bool(inspect.getdoc(getattr(getattr(asyncio, owner.partition(".")[2]), method, None)))
        return any(f"{base}.{method}" in documented or inherits(base, method) for base in bases.get(owner, []))

    missing = []
    for name in names:
        tree = _parsed(SOURCES[name])
        if not ast.get_docstring(tree):
            missing.append(name)
        private = any(part.startswith("_") and part != "__init__" for part in name.split("."))
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_") or (private and node.name not in bytebufs.__all__):
                continue
            if not ast.get_docstring(node) and not _is_overload(node):
                missing.append(f"{name}.{node.name}")
            if isinstance(node, ast.ClassDef):
                missing += [
                    f"{name}.{node.name}.{method.name}"
                    for method in _methods(node)
                    if not method.name.startswith("_")
                    and f"{node.name}.{method.name}" not in documented
                    and not inherits(node.name, method.name)
                ]
    return missing


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        method
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_overload(method)
    ]


def _is_overload(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(getattr(decorator, "id", getattr(decorator, "attr", "")) == "overload" for decorator in decorators)


def test_whatever_is_public_has_a_docstring() -> None:
    assert _undocumented(_modules()) == []


# -- copies

_COPYING_METHODS: Final = frozenset({"tobytes", "getvalue"})
_COPYING_TYPES: Final = frozenset({"bytes", "bytearray"})


def _is_copy(node: ast.AST) -> bool:
    """Say whether a call makes bytes out of other bytes: `bytes(x)`, `x.tobytes()`, `b"".join(...)`.

    `bytes()` and `bytes(8)` make new ones.
    """
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Name) and called.id in _COPYING_TYPES:
        return bool(node.args) and not (isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, int))
    if not isinstance(called, ast.Attribute):
        return False
    joins = called.attr == "join" and isinstance(called.value, ast.Constant) and isinstance(called.value.value, bytes)
    return joins or called.attr in _COPYING_METHODS


@cache
def _places(source: str | ast.Module) -> tuple[set[str], set[str]]:
    """Return the qualified names in a module that copy, and those that call `count_copy`."""
    tree = ast.parse(source) if isinstance(source, str) else source
    copying, counting = set(), set()
    for name, node in _qualified(tree):
        if _is_copy(node):
            copying.add(name)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "count_copy":
            counting.add(name)
    return copying, counting


def test_payload_is_copied_only_where_it_is_counted() -> None:
    uncounted = [
        f"{name}.{place}"
        for name, path in SOURCES.items()
        if not name.startswith("testing.")  # a test's model of payload is bytes
        for place in sorted(_places(_parsed(path))[0])
        if place not in COUNTED.get(name, ()) and place not in NOT_PAYLOAD.get(name, ())
    ]
    assert uncounted == []


def test_the_list_of_counting_places_is_complete() -> None:
    found = {name: _places(_parsed(path))[1] for name, path in SOURCES.items()}
    assert {name: places for name, places in found.items() if places} == COUNTED


def test_what_is_said_to_be_no_payload_is_there() -> None:
    stale = [
        f"{name}.{place}"
        for name, places in NOT_PAYLOAD.items()
        for place in places
        if place not in _places(_parsed(SOURCES[name]))[0]
    ]
    assert stale == []


@pytest.mark.parametrize(
    ("source", "copying"),
    [
        ("def f(x): return bytes(x)", {"f"}),
        ("def f(x): return bytearray(x)", {"f"}),
        ("class A:\n  def f(self, x): return x[1:].tobytes()", {"A.f"}),
        ("class A:\n  def f(self, x):\n    return b'' if not x else b''.join(y for y in x)", {"A.f"}),
        ("def f():\n  def g(x): return bytes(x)\n  return g", {"f.g"}),
        ("x = bytes(y)", {"<module>"}),
        ("def f(x): return bytes(), bytes(8), ', '.join(x), x.join()", set()),
    ],
)
def test_the_copy_check_bites(source: str, copying: set[str]) -> None:
    assert _places(source)[0] == copying


# -- changes

TABLE_FIELDS: Final = frozenset({"parts", "ends", "head", "base"})
WINDOW_FIELDS: Final = frozenset({"_source", "_index", "_start", "_stop"})

CHANGES: Final[Mapping[str, frozenset[str]]] = {
    "_core.table": frozenset(
        {
            "Table.__init__",
            "Table._begin_anew",
            "Table._bury",
            "Table._grow",
            "Table._lay",
            "Table.cut",
            "Table.drop_first",
            "Table.drop_to",
            "Table.extend",
            "Table.lengthen",
            "Table.push",
            "Table.put_front",
            "Table.show_instead",
            "Table.trim",
            "Table.with_front",
        }
    ),
    "composite_buffer": frozenset(
        {
            "CompositeBuffer.__init__",
            "CompositeBuffer._goes_on",
            "CompositeBuffer._detach",
            "CompositeBuffer._drain_to",
            "CompositeBuffer._end_at",
            "CompositeBuffer._exchange",
            "CompositeBuffer._grow",
            "CompositeBuffer._grow_by_packed",
            "CompositeBuffer._leave",
            "CompositeBuffer._leave_first",
            "CompositeBuffer._put_front",
            "CompositeBuffer.append",
        }
    ),
    "slice_buffer": frozenset({"SliceBuffer.__init__", "window_on"}),
}
"""The functions that change a table or a window, by module: the rules in _core/table.py are kept by them alone."""

_OTHERS: Final = frozenset(
    {"errors", "files.mapped", "reader", "sending.channels", "sending.plan", "sending.transferring"}
)
"""Modules whose own classes have fields of those names, which stand for something else."""

_LIST_CHANGES: Final = frozenset({"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"})


def _changing(tree: ast.Module) -> set[str]:
    """Return the qualified names of functions that store to a field of a table or window, or change its lists."""
    fields = TABLE_FIELDS | WINDOW_FIELDS
    found = set()
    lists: dict[str, set[str]] = {}  # local names for a table's own lists, by function

    def stores(target: ast.expr) -> Iterator[ast.expr]:
        if isinstance(target, ast.Tuple):
            for element in target.elts:
                yield from stores(element)
        else:
            yield target

    def is_list(place: str, node: ast.expr) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr in {"parts", "ends"}
        return isinstance(node, ast.Name) and node.id in lists.get(place, ())

    nodes = list(_qualified(tree))
    for place, node in nodes:
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
            for target, value in list(pairs):
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    pairs += zip(target.elts, value.elts, strict=True)
            for target, value in pairs:
                if isinstance(target, ast.Name) and is_list(place, value):
                    lists.setdefault(place, set()).add(target.id)
    for place, node in nodes:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target] if isinstance(node, ast.AugAssign) or node.value else []
        elif isinstance(node, ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called = node.func
            if called.attr in _LIST_CHANGES and is_list(place, called.value):
                found.add(place)
        for one in [one for target in targets for one in stores(target)]:
            is_field = isinstance(one, ast.Attribute) and one.attr in fields
            if is_field or (isinstance(one, ast.Subscript) and is_list(place, one.value)):
                found.add(place)
    return found


def test_a_table_and_a_window_change_by_their_primitives_alone() -> None:
    found = {name: _changing(_parsed(path)) for name, path in SOURCES.items() if name not in _OTHERS}
    assert {name: places for name, places in found.items() if places} == {
        name: set(places) for name, places in CHANGES.items() if places
    }


@pytest.mark.parametrize(
    "source",
    [
        "def f(table): table.parts = []",
        "def f(table): table.head += 1",
        "def f(table): del table.ends[3:]",
        "def f(table): table.parts[0] = b''",
        "def f(table): table.parts.append(b'')",
        "def f(table):\n  parts, ends = table.parts, table.ends\n  ends.extend([1])",
        "def f(table):\n  parts = table.parts\n  parts[2:3] = [b'x']",
        "def f(self): self._start, self._stop = 1, 2",
        "def f(self): self._index = self._source",
    ],
)
def test_the_check_of_changes_bites(source: str) -> None:
    assert _changing(ast.parse(source)) == {"f"}


@pytest.mark.parametrize(
    "source",
    ["def f(table): parts = table.parts[1:]; parts.append(b'')", "def f(self): start = self._start; start += 1"],
)
def test_the_check_of_changes_lets_pass_what_reads(source: str) -> None:
    assert _changing(ast.parse(source)) == set()


# -- the tree and its papers


def _project_files(pattern: str) -> list[Path]:
    folders = [ROOT / name for name in ("bytebufs", "tests", "examples", "benchmarks", "docs")]
    return [path for folder in folders if folder.is_dir() for path in folder.rglob(pattern)]


def test_no_dictionary_is_asked_for_its_items() -> None:
    """CPython crashes where it has no memory for the iterator's tuple: seen on 3.11, interpreted (dictiter_new)."""
    asking = [
        f"{name}:{node.lineno}"
        for name, path in _sources(PACKAGE).items()
        if not name.startswith("testing.")
        for node in ast.walk(_parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "items"
    ]
    assert asking == []


def test_nothing_is_called_utils() -> None:
    assert _project_files("utils.py") == []


def test_no_compiled_module_stands_in_the_source_tree() -> None:
    """It would shadow its .py, stale or not."""
    assert _project_files("*.so") + _project_files("*.pyd") == []


def test_readme_begins_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:console|sh|shell|bash)\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    commands = [line.removeprefix("$ ").partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert [command for command in commands if command][:2] == ["make demo", "make test"]


def test_the_changelog_is_about_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = [title.split()[0] for title in re.findall(r"^## (.+)$", changelog, re.MULTILINE)]
    assert versions[0] in {"Unreleased", version}
    assert "Unreleased" not in versions[1:]
    kinds = re.findall(r"^### (.+)$", changelog, re.MULTILINE)
    assert set(kinds) <= {"Breaking", "Added", "Changed", "Fixed"}


# -- the tests themselves


def _run_pytest(folder: Path, source: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a test file in a folder of its own under this project's conftest."""
    (folder / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    (folder / "test_it.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *arguments, "."],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environ},  # which nobody needs here
    )


def test_the_profile_sets_how_often_a_state_machine_runs(tmp_path: Path) -> None:
    source = """
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, rule

class Machine(RuleBasedStateMachine):
    @rule()
    def step(self): pass

TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=3, stateful_step_count=7)

def test_settings():
    found = TestMachine.settings
    print(found.max_examples, found.stateful_step_count, settings().max_examples)
"""
    run = _run_pytest(tmp_path, source, "-k", "test_settings", BYTEBUFS_PROFILE="ci")
    assert "1000 7 150" in run.stdout.splitlines()


TABLES_AND_NEEDS: Final = """
import pytest

@pytest.mark.parametrize("number", range(50))
def test_long(number): pass

@pytest.mark.parametrize("number", range(4))
def test_short(number): pass

@pytest.mark.needs("sh")
def test_present(): pass

@pytest.mark.needs("sh", "bytebufs-no-such-program")
def test_absent(): pass
"""


@pytest.mark.parametrize(
    ("profile", "taken", "ci", "outcome"), [("quick", 4, "true", "error"), ("short", 50, "", "skipped")]
)
def test_a_long_table_is_whole_but_in_quick_and_what_needs_an_absent_program_fails_only_under_ci(
    tmp_path: Path, profile: str, taken: int, ci: str, outcome: str
) -> None:
    markers = ("-v", "-o", "markers=needs: programs")
    run = _run_pytest(tmp_path, TABLES_AND_NEEDS, *markers, BYTEBUFS_PROFILE=profile, CI=ci, PYTHONPATH=str(ROOT))
    counts = run.stdout.splitlines()[-1]
    assert f" {taken + 4 + 1} passed, " in counts
    assert f", 1 {outcome}" in counts
    numbers = [int(n) for n in re.findall(r"^PASSED test_it\.py::test_long\[(\d+)\]", run.stdout, re.MULTILINE)]
    assert [n * 4 // 50 for n in sorted(numbers)] == [k * 4 // taken for k in range(taken)], "some of each quarter"
    assert "not installed: bytebufs-no-such-program" in run.stdout


def test_runs_side_by_side_may_clear_away_the_same_folder(tmp_path: Path) -> None:
    """Of earlier runs; as where another one puts a file into a folder that this one has just emptied."""
    source = """
import errno, os

def test_nothing(tmp_path):
    rmdir = os.rmdir

    def refuse(path, **options):
        if "garbage-" in os.fspath(path):
            print("refused")
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        rmdir(path, **options)

    os.rmdir = refuse
"""
    (tmp_path / "root" / f"pytest-of-{getpass.getuser()}" / "garbage-1").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    run = _run_pytest(tmp_path, source, "-s", PYTEST_DEBUG_TEMPROOT=str(tmp_path / "root"))
    assert "refused" in run.stdout
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_unknown_profile_is_refused(tmp_path: Path) -> None:
    run = _run_pytest(tmp_path, "", BYTEBUFS_PROFILE="thorough")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "choose from quick, short, ci, long" in run.stderr
