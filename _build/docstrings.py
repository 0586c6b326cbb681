"""Docstrings and signatures for the compiled build: mypyc leaves most of them out, so they are written into its C.

Where they go, in the form that CPython gives to its own functions ("name($self, part, /)\\n--\\n\\nThe docstring."):

    PyModuleDef                       the module's
    .tp_doc of a type's template      the class's, with the signature of its constructor
    PyMethodDef                       functions and methods
    PyGetSetDef                       properties

All that has a docstring and no underscore gets it; what finds no place, or a place of another form, fails the build.
What stands behind a slot of its type (``__len__``, ``__eq__``) is in the table of methods, too, but there CPython's own
wrapper of the slot, with CPython's words, comes before it. METH_COEXIST turns that round. The slot stays as it is: how
fast ``len(b)`` is does not change.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["documented"]

_NO_PLACE = "mypyc has no place, or not in the form that is known, for the docstring of "
_TEXT = r'(?:NULL|"(?:[^"\\]|\\.)*")'
_TABLE = re.compile(
    r"^ *static ((?:struct PyModuleDef|PyTypeObject|PyMethodDef|PyGetSetDef) \w+)(?:\[\])? = \{\n(.*?)^ *\};$",
    re.DOTALL | re.MULTILINE,
)
_COMPARISONS = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_BEHIND = {".tp_richcompare": _COMPARISONS, ".tp_hash": ("__hash__",)}
"""Slots that mypyc gives to a class anew which inherits what is behind them: CPython then wraps them anew, too."""


@dataclass(frozen=True)
class _Class:
    """A class of the source: its module's name in the C, what it consists of, and its bases of ours, nearest first."""

    prefix: str
    node: ast.ClassDef
    bases: tuple[_Class, ...]

    @property
    def full_name(self) -> str:
        return f"{self.prefix}___{self.node.name}" if self.prefix else self.node.name

    def functions(self) -> dict[str, ast.FunctionDef]:
        return _functions(self.node)

    def inherited(self, name: str) -> tuple[_Class, ast.FunctionDef] | None:
        """Return a method and the class that defines it."""
        for cls in (self, *self.bases):
            if name in cls.functions():
                return cls, cls.functions()[name]
        return None


class _C:
    """mypyc's C, and what is to be written into it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._tables = {table[1]: table.span(2) for table in _TABLE.finditer(source)}
        self._changes: list[tuple[int, int, str]] = []

    def table(self, declaration: str, what: str) -> tuple[int, int]:
        """Return where a table begins and ends."""
        if declaration not in self._tables:
            raise RuntimeError(f"{_NO_PLACE}{what}: there is no {declaration}")
        return self._tables[declaration]

    def holds(self, table: tuple[int, int], text: str) -> bool:
        return self.source.find(text, *table) >= 0

    def change(self, table: tuple[int, int], entry: str, what: str, *texts: str) -> None:
        """Put texts in place of the groups of a pattern, which fits once in a table."""
        found = list(re.compile(entry).finditer(self.source, *table))
        if len(found) != 1:
            raise RuntimeError(f"{_NO_PLACE}{what}: {len(found)} fit")
        for k, text in enumerate(texts, 1):
            self._changes.append((*found[0].span(k), text))

    def insert(self, table: tuple[int, int], text: str) -> None:
        self._changes.append((table[0], table[0], text))

    def changed(self) -> str:
        pieces, at = [], 0
        for start, stop, text in sorted(self._changes):
            pieces += [self.source[at:start], text]
            at = stop
        return "".join([*pieces, self.source[at:]])


def documented(source: str, modules: Mapping[str, str]) -> str:
    """Return mypyc's C with the docstrings and signatures of these modules: their Python, by dotted name.

    RuntimeError if one finds no place.
    """
    c = _C(source)
    classes: dict[str, _Class] = {}
    for name, text in modules.items():
        tree = _parsed(text)
        prefix = _module(c, name, tree)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
                lineage = tuple(cls for base in bases for cls in (base, *base.bases))
                classes[node.name] = _Class(prefix, node, lineage)
    for cls in classes.values():
        if not cls.node.name.startswith("_"):
            _document_class(c, cls)
    return c.changed()


def _module(c: _C, name: str, tree: ast.Module) -> str:
    """Document a module and its functions; return what its names begin with in the C: nothing if it is the only one."""
    heads = re.findall(rf'struct PyModuleDef (\w*)module = {{\s*PyModuleDef_HEAD_INIT,\s*"{re.escape(name)}",', c.source)
    if len(heads) != 1:
        raise RuntimeError(f"{_NO_PLACE}{name}: it is defined {len(heads)} times")
    prefix: str = heads[0]
    if text := _docstring(tree):
        table = c.table(f"struct PyModuleDef {prefix}module", name)
        c.change(table, r"\n *(NULL), /\* docstring \*/\n", name, _literal(text))
    functions = {key: function for key, function in _functions(tree).items() if not key.startswith("_")}
    if functions:
        table = c.table(f"PyMethodDef {prefix}module_methods", name)
        for key, function in functions.items():
            _document_function(c, table, f"{name}.{key}", function, "")
    return prefix


def _document_class(c: _C, cls: _Class) -> None:
    name, full = cls.node.name, cls.full_name
    template = c.table(f"PyTypeObject CPyType_{full}_template_", name)
    made = cls.inherited("__init__")
    signature = "()" if made is None else _signature(made[1], name)
    text = _literal(_internal(name, signature, _docstring(cls.node)))
    c.change(template, rf"\.tp_doc = PyDoc_STR\(({_TEXT})\),", name, text)
    methods = c.table(f"PyMethodDef {full}_methods", name)
    for key, function in cls.functions().items():
        what = f"{name}.{key}"
        if key == "__init__" and _docstring(function):
            raise RuntimeError(f"{_NO_PLACE}{what}: say it in that of the class")
        if not _is_public(key):
            continue
        if _is_property(function):
            if text := _docstring(function):
                table = c.table(f"PyGetSetDef {full}_getseters", name)
                entry = rf'{{"{key}",\s*\(getter\)\w+,\s*(?:NULL|\(setter\)\w+),\s*(NULL), NULL}}'
                c.change(table, entry, what, _literal(text))
        else:
            _document_function(c, methods, what, function, "$")
    for slot, keys in _BEHIND.items():
        if c.holds(template, f"{slot} ="):
            for key in keys:
                _show_inherited(c, methods, cls, key)


def _document_function(c: _C, table: tuple[int, int], what: str, function: ast.FunctionDef, mark: str) -> None:
    name = function.name
    text = _docstring(function)
    coexist = " | METH_COEXIST" if text and name.startswith("__") else ""
    entry = rf'{{"{name}",\s*\(PyCFunction\)\w+,\s*METH_FASTCALL \| METH_KEYWORDS(), PyDoc_STR\(({_TEXT})\)'
    c.change(table, entry, what, coexist, _literal(_internal(name, _signature(function, what, mark), text)))


def _show_inherited(c: _C, methods: tuple[int, int], cls: _Class, name: str) -> None:
    """Have a class answer with the method that it inherits, where a slot of its own would hide that."""
    found = cls.inherited(name)
    if found is None or found[0] is cls or not (text := _docstring(found[1])):
        return
    function = f"CPyPy_{found[0].full_name}___{name}"
    if f"PyObject *{function}(PyObject *self, PyObject *const *args, size_t nargs, PyObject *kwnames);" not in c.source:
        raise RuntimeError(f"{_NO_PLACE}{name}: there is no {function}")
    text = _literal(_internal(name, _signature(found[1], name, "$"), text))
    flags = "METH_FASTCALL | METH_KEYWORDS | METH_COEXIST"
    c.insert(methods, f'{{"{name}", (PyCFunction){function}, {flags}, PyDoc_STR({text})}},\n')


# -- what the source says


def _parsed(text: str) -> ast.Module:
    """Return a module whose functions have values for defaults where the source has the names of its constants."""
    tree = ast.parse(text)
    constants = {ast.unparse(node.target): node.value for node in tree.body if isinstance(node, ast.AnnAssign)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            given = node.args
            given.defaults = [constants.get(ast.unparse(each)) or each for each in given.defaults]
            given.kw_defaults = [each and (constants.get(ast.unparse(each)) or each) for each in given.kw_defaults]
    return tree


def _functions(node: ast.Module | ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """Return functions by name: of overloads the last, which has the docstring, of a property the getter."""
    found: dict[str, ast.FunctionDef] = {}
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and not any(ast.unparse(on).endswith(".setter") for on in each.decorator_list):
            found[each.name] = each
    return found


def _is_public(name: str) -> bool:
    """Whether a user may meet a member. A constructor is met by the name of its class."""
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__") and name != "__init__")


def _is_property(function: ast.FunctionDef) -> bool:
    decorators = [ast.unparse(on) for on in function.decorator_list]
    if decorators not in ([], ["property"], ["final"]):
        raise RuntimeError(f"{_NO_PLACE}{function.name}: nobody has looked at {decorators}")
    return decorators == ["property"]


def _docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> str:
    """Return a docstring as this Python stores it: from 3.13 on without the indentation."""
    text = ast.get_docstring(node, clean=False)
    if not text:
        return ""
    stored: dict[str, str] = {}
    module = ast.Module([ast.Expr(ast.Constant(text))], [])
    exec(compile(ast.fix_missing_locations(module), "<docstring>", "exec", optimize=0), stored)
    return stored["__doc__"]


def _signature(function: ast.FunctionDef, what: str, mark: str | None = None) -> str:
    """Return the parameters in parentheses, as inspect reads them: defaults, but no types.

    ``mark`` stands before the first, which is the object of a method; None leaves that one out.
    """
    given = function.args
    ordinary = [*given.posonlyargs, *given.args]
    defaults = dict(zip([each.arg for each in ordinary][::-1], given.defaults[::-1], strict=False))
    only = {each.arg: default for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if default}
    names = list(_parameters(given, {**defaults, **only}, what))
    if mark is None:
        del names[0]
    elif mark:
        names[0] = mark + names[0]
    return f"({', '.join(names)})"


def _parameters(given: ast.arguments, defaults: Mapping[str, ast.expr], what: str) -> Iterator[str]:
    def shown(each: ast.arg) -> str:
        return f"{each.arg}={_value(defaults[each.arg], what)}" if each.arg in defaults else each.arg

    yield from map(shown, given.posonlyargs)
    if given.posonlyargs:
        yield "/"
    yield from map(shown, given.args)
    if given.vararg:
        yield f"*{given.vararg.arg}"
    elif given.kwonlyargs:
        yield "*"
    yield from map(shown, given.kwonlyargs)
    if given.kwarg:
        yield f"**{given.kwarg.arg}"


def _value(default: ast.expr, what: str) -> str:
    try:
        value = eval(compile(ast.Expression(default), "<default>", "eval"), {"__builtins__": {}})
        if ast.literal_eval(repr(value)) == value:
            return repr(value)
    except (NameError, ValueError, SyntaxError):
        pass
    raise RuntimeError(f"a signature cannot tell the default {ast.unparse(default)} of {what}")


def _internal(name: str, signature: str, text: str) -> str:
    return f"{name}{signature}\n--\n\n{text}"


def _literal(text: str) -> str:
    """Return a string of C, a line of text in each of its lines."""
    if "\0" in text:
        raise RuntimeError("a string of C ends at a NUL")
    lines = ["".join(map(_character, line.encode())) for line in text.splitlines(keepends=True)]
    return " ".join(f'"{line}"' for line in lines)


def _character(byte: int) -> str:
    is_plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
    return chr(byte) if is_plain else f"\\{byte:03o}"
