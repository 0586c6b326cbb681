"""Mutants of a module: its source with one small mistake each, as mutmut makes them.

mutmut decides what is changed and into what. It is not what runs them: it would put a trampoline in front of each
function, which tests that count bytecodes, lines or memory would measure too, and it leaves out whatever has a
decorator, which is every property. Left out here, as there: what runs when a module is imported, calls of `len` and
`isinstance`, annotations, what is cast to, and docstrings.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

import libcst as cst
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

_NO_BODY = {"overload", "abstractmethod"}


@dataclass(frozen=True)
class Mutant:
    """One of a module's mutants. ``number`` is its place among them, which is the same as long as the source is."""

    number: int
    function: str
    lines: tuple[int, int]
    old: str
    new: str
    source: Callable[[], str] = field(repr=False, compare=False)

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.lines[0]}: {self.function}: {old}  ->  {new}"


class _Visitor(MutationVisitor):
    """mutmut's, which looks into decorated functions too."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return any(_name(decorator.decorator) in _NO_BODY for decorator in node.decorators)
        if isinstance(node, cst.Call) and _name(node.func) == "cast":
            node.args[1].visit(self)  # the other one is a type
            return True
        return bool(super()._skip_node_and_children(node))


def _name(node: cst.CSTNode) -> str:
    return node.value if isinstance(node, cst.Name) else ""


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module. A few of them are no Python."""
    module, found = _mutations(source)
    places = MetadataWrapper(module, unsafe_skip_copy=True).resolve(WhitespaceInclusivePositionProvider)
    starts = [0, *accumulate(len(line) for line in source.splitlines(keepends=True))]
    functions = _functions(source)
    number = 0
    for node, changed in found:
        span = places[node]
        lines = span.start.line, span.end.line
        function = next((name for name, (first, last) in functions.items() if first <= lines[0] <= last), None)
        if function is None:
            continue
        begin = starts[lines[0] - 1] + span.start.column
        end = starts[lines[1] - 1] + span.end.column
        new = module.code_for_node(changed)
        if isinstance(node, cst.BaseCompoundStatement):  # its lines are indented by what is around it
            made = partial(_replaced, module, node, changed)
        else:
            made = partial("{}{}{}".format, source[:begin], new, source[end:])
        yield Mutant(number, function, lines, source[begin:end], new, made)
        number += 1


def _replaced(module: cst.Module, node: cst.CSTNode, changed: cst.CSTNode) -> str:
    tree = deep_replace(module, node, changed)
    assert isinstance(tree, cst.Module)
    return str(tree.code)


def _mutations(source: str) -> tuple[cst.Module, list[tuple[cst.CSTNode, cst.CSTNode]]]:
    wrapper = MetadataWrapper(cst.parse_module(source))
    visitor = _Visitor(mutation_operators, IgnoredCode(set(), set(), set()))
    module = wrapper.visit(visitor)
    return module, [(mutation.original_node, mutation.mutated_node) for mutation in visitor.mutations]


def _functions(source: str) -> dict[str, tuple[int, int]]:
    """Return the first and the last line of each function that is in no other one."""
    found: dict[str, tuple[int, int]] = {}

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{prefix}{node.name}"
                while name in found:  # a setter, or one of several overloads
                    name += "'"
                found[name] = node.lineno, node.end_lineno or node.lineno
            elif isinstance(node, ast.If | ast.Try):
                look([*node.body, *node.orelse], prefix)

    look(ast.parse(source).body, "")
    return found
