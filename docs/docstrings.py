"""An extension of griffe, which reads the docstrings for the pages of reference: makes Markdown of them.

A docstring is plain text, as ``help()`` shows it. In Markdown a doctest would be a quotation in one line, so it becomes
a block of code; a name of this package in backquotes becomes a link to where that is explained; what is raised, costs
and is copied stands in a paragraph of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from griffe import Alias, Attribute, Class, Extension, Function, Module, Object

if TYPE_CHECKING:
    from collections.abc import Callable

    from griffe import GriffeLoader

__all__ = ["Docstrings", "as_markdown"]

_CODE: Final = re.compile(r"``(.+?)``", re.DOTALL)

_MARKS: Final = re.compile(r"([<\[\]])")
"""What means something in Markdown, and is meant as it is written in a docstring. Stars are emphasis in both."""

_FACTS: Final = re.compile(r"(?:^|(?<=[.:;]))\s*\b(Raises(?= )|Complexity:|Copies:|Sources:)")
"""The words that begin a sentence about what is raised, costs or is copied."""

_NAME: Final = re.compile(r"(\w+(?:\.\w+)?)(?:\(\))?")


def as_markdown(text: str, path_of: Callable[[str], str | None]) -> str:
    """Return a docstring as Markdown. ``path_of`` gives the full path of a name that the pages explain, or None."""
    blocks = []
    for block in re.split(r"\n[ ]*\n", text):
        if block.startswith(">>>"):
            blocks.append(f"```pycon\n{block}\n```")
        elif block.startswith("    "):
            blocks.append(block)  # drawn, not written
        else:
            blocks.append(_prose(block, path_of))
    return "\n\n".join(blocks)


def _prose(block: str, path_of: Callable[[str], str | None]) -> str:
    # Code is put aside first: its stars are no emphasis, and its full stops end no sentence.
    codes: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        code = " ".join(match[1].split())
        name = _NAME.fullmatch(code)
        path = path_of(name[1]) if name else None
        codes.append(f"`{code}`" if path is None else f"[`{code}`][{path}]")
        return f"\0{len(codes) - 1}\0"

    prose = _MARKS.sub(r"\\\1", _CODE.sub(put_aside, block))
    said, *facts = _FACTS.split(prose)
    if facts:
        labelled = [f"**{label}**{fact}" for label, fact in zip(facts[::2], facts[1::2], strict=True)]
        prose = "\n\n".join(filter(None, [said, " ".join(labelled)]))
    return re.sub("\0(\\d+)\0", lambda match: codes[int(match[1])], prose)


class Docstrings(Extension):
    """Rewrites the docstrings of the package once it is loaded."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **kwargs: Any) -> None:
        """Rewrite them all, those that no page shows too."""
        if pkg.name == "bytebufs":
            _rewrite(pkg, pkg)


def _rewrite(scope: Object, package: Module) -> None:
    if scope.docstring is not None:
        scope.docstring.value = as_markdown(scope.docstring.value, lambda name: _path_of(name, scope, package))
    if isinstance(scope, Function):
        for parameter in scope.parameters:
            name = str(parameter.default)
            constant = scope.module.members.get(name)
            if constant is not None and name not in (scope.module.exports or ()):  # it says nothing to a reader
                if isinstance(constant, Alias):  # of a constant in another module
                    constant = constant.final_target
                parameter.default = constant.value if isinstance(constant, Attribute) else "..."
    for member in scope.members.values():
        if isinstance(member, Object):  # and no alias of one
            _rewrite(member, package)


def _path_of(name: str, scope: Object, package: Module) -> str | None:
    """Return the path by which the pages know a name in the docstring of ``scope``; None for its own name."""
    owner, _, member = name.rpartition(".")
    around = scope if scope.is_class else scope.parent
    if owner == package.name:
        return name if member in (package.exports or ()) else None
    found = None
    home = _home_of(owner or name, scope, package)
    if owner and home is not None:  # else a module, as sys is
        found = _member_of(home.members[owner], member, scope, package)
    elif not owner and isinstance(around, Class):
        found = _member_of(around, member, scope, package)
    if found is None and not owner and home is not None:
        found = f"{home.path}.{name}"
    return None if found is not None and package[found.partition(".")[2]].canonical_path == scope.path else found


def _home_of(name: str, scope: Object, package: Module) -> Any:
    """Return what a name is imported from: the package, or ``aio``, of whose names only its own docstrings speak."""
    if name in (package.exports or ()):
        return package
    aio = package.members.get("aio")
    is_of_aio = isinstance(aio, Module) and name in (aio.exports or ()) and scope.path.startswith(f"{aio.path}.")
    return aio if is_of_aio else None


def _member_of(kind: Any, name: str, scope: Object, package: Module) -> str | None:
    """Return the path of what the pages show of a class: below the public class that defines it, if it is explained."""
    if kind is None or name.startswith("_"):
        return None
    for owner in (kind, *kind.mro()):
        home = _home_of(owner.name, scope, package)
        if home is not None and name in owner.members and owner.members[name].has_docstring:
            return f"{home.path}.{owner.name}.{name}"
    return None
