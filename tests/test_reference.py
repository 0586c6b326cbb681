"""docs/reference: all that is public stands on its pages, and docstrings are text that help() and pages can show."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, get_args

import griffe
import pytest

import bytebufs
from bytebufs import aio, testing
from bytebufs._core.audit import ASKED, HIDDEN
from bytebufs.aio import State
from bytebufs.files.mapped import Access, Advice
from bytebufs.framing import OnError
from bytebufs.reader import ByteOrder
from docs.docstrings import as_markdown

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = sorted((ROOT / "docs" / "reference").glob("*.md"))

_SHOWN: Final = re.compile(r"^::: bytebufs\.([\w.]+)\n(?:    options:\n((?:      .*\n)*))?", re.MULTILINE)


def _shown() -> list[str]:
    """Return what the pages show, by name; the members of a class too, unless it is shown without them."""
    names = []
    for page in PAGES:
        for name, options in _SHOWN.findall(page.read_text(encoding="utf-8") + "\n"):
            names.append(name)
            package, _, short = name.rpartition(".")
            thing = getattr({"aio": aio, "testing": testing}.get(package, bytebufs), short, None)
            if isinstance(thing, type) and "members: false" not in options:
                names += [f"{name}.{member}" for member in _members(thing) if f"!^{member}$" not in options]
    return names


def _members(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


def _public(package: ModuleType, prefix: str = "") -> list[str]:
    """Return what is public, each member below the class that explains it."""
    names = []
    for name in package.__all__:
        names.append(prefix + name)
        thing = getattr(package, name)
        if isinstance(thing, type):
            bases = [base for base in thing.__mro__[1:] if base.__name__ in package.__all__]
            inherited = {member for base in bases for member in _members(base)}
            names += [f"{prefix}{name}.{member}" for member in _members(thing) if member not in inherited]
    return names


WANTED_OF_ARGUMENTS: Final = (
    *("sending.channels.Writer", "sending.channels.Sender"),
    *("receiving.inbox.Readable", "receiving.inbox.Receiver"),
)
"""Protocols: what an object has to have that is sent to, or received from."""


def test_whatever_is_public_stands_on_one_page_once() -> None:
    public = [*_public(bytebufs), *_public(aio, "aio."), *_public(testing, "testing.")]
    assert Counter(_shown()) == Counter([*public, *WANTED_OF_ARGUMENTS])


def test_what_a_user_of_a_composite_meets_first_is_append() -> None:
    page = (ROOT / "docs" / "reference" / "composite.md").read_text(encoding="utf-8")
    methods = [name for name, _ in _SHOWN.findall(page) if name.startswith("CompositeBuffer.")]
    assert methods[:2] == ["CompositeBuffer.append", "CompositeBuffer.extend"]
    assert page.index("CompositeBuffer.append]") < page.index("::: ")


@pytest.mark.parametrize(
    ("name", "alias"),
    [("ByteOrder", ByteOrder), ("OnError", OnError), ("Access", Access), ("Advice", Advice), ("State", State)],
)
def test_the_words_that_a_signature_takes_are_named(name: str, alias: Any) -> None:
    page = (ROOT / "docs" / "reference" / "rest.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}` \| (.*) \|$", page, re.MULTILINE)
    assert row is not None
    assert re.findall(r'`"(\w+)"`', row[1]) == list(get_args(alias))


def test_the_reasons_of_copies_are_named() -> None:
    page = (ROOT / "docs" / "reference" / "rest.md").read_text(encoding="utf-8")
    for kind, reasons in ("asked", ASKED), ("hidden", HIDDEN):
        row = re.search(rf"^\| {kind} \| (.*) \|$", page, re.MULTILINE)
        assert row is not None
        assert set(re.findall(r'"(\w+)"', row[1])) == reasons


# -- docstrings


def _docstrings(*folders: str, raw: str = "") -> list[tuple[str, str]]:
    """Return the docstrings of all modules whose source has something in it that matches a pattern."""
    return [
        (f"{path.name}:{getattr(node, 'name', '')}", ast.get_docstring(node) or "")
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for source in [path.read_text(encoding="utf-8")]
        if re.search(raw, source)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.checkout
def test_no_docstring_has_a_role_that_help_would_print_raw() -> None:
    folders = ("bytebufs", "tests", "examples", "benchmarks", "docs")
    role = r":[a-z]+:`"
    assert [where for where, text in _docstrings(*folders, raw=role) if re.search(role, text)] == []


@pytest.mark.checkout
def test_no_docstring_has_the_characters_that_its_doctest_means() -> None:
    """A doctest that shows escapes is in a raw docstring, or help() prints what they stand for."""
    assert [where for where, text in _docstrings("bytebufs") if re.search(r"[\x00-\x09\x0b-\x1f]", text)] == []


def _markdown(text: str) -> str:
    return as_markdown(text, {"take": "bytebufs.CompositeBuffer.take", "Reader.u8": "bytebufs.Reader.u8"}.get)


def test_a_doctest_becomes_a_block_of_code() -> None:
    assert (
        _markdown("Do it.\n\n>>> 1\n1\n>>> 2\n2\n\nAnd more.")
        == "Do it.\n\n```pycon\n>>> 1\n1\n>>> 2\n2\n```\n\nAnd more."
    )


def test_a_drawing_stays_as_it_is() -> None:
    assert _markdown("Of memory:\n\n    |a|``b``|\n     <>") == "Of memory:\n\n    |a|``b``|\n     <>"


def test_names_become_links_where_a_page_explains_them() -> None:
    assert _markdown("As ``take()``, ``take`` or ``Reader.u8()``.") == (
        "As [`take()`][bytebufs.CompositeBuffer.take], [`take`][bytebufs.CompositeBuffer.take] "
        "or [`Reader.u8()`][bytebufs.Reader.u8]."
    )
    assert _markdown("Of ``n``, ``a\nb`` and ``take(n)``") == "Of `n`, `a b` and `take(n)`"


def test_what_means_something_in_markdown_is_meant_as_it_is_written() -> None:
    assert _markdown("At [0] and <here>, ``[start, end)``") == r"At \[0\] and \<here\>, `[start, end)`".replace(
        r"\>", ">"
    )


def test_what_is_raised_costs_and_is_copied_stands_apart() -> None:
    assert _markdown("Do it. Complexity: O(1). Copies: nothing.") == (
        "Do it.\n\n**Complexity:** O(1). **Copies:** nothing."
    )
    assert _markdown("Raises Busy: at once.\nRaises X, too.") == "**Raises** Busy: at once. **Raises** X, too."
    assert _markdown("Whatever it Raises, ``x. Copies: y``") == "Whatever it Raises, `x. Copies: y`"


@pytest.mark.checkout
def test_the_docstrings_of_the_package_are_rewritten() -> None:
    extensions = griffe.load_extensions(str(ROOT / "docs" / "docstrings.py"))
    package = griffe.load("bytebufs", search_paths=[str(ROOT)], extensions=extensions)

    def said(name: str) -> str:
        docstring = package[name].docstring
        assert docstring is not None
        text: str = docstring.value
        return text

    assert "```pycon\n>>> b = CompositeBuffer(" in said("CompositeBuffer")
    assert "[`splice()`][bytebufs.CompositeBuffer.splice]" in said("CompositeBuffer.insert")
    assert "[`find()`][bytebufs.BaseBuffer.find]" in said("CompositeBuffer.take_until")  # inherited
    assert "[`feed()`][bytebufs.Framer.feed]" in said("Framer.detach")
    assert "[`transfer()`]" not in said("transfer")
    assert "[`flush()`][bytebufs.flush]" in said("transfer")
    assert "[`bytebufs.flush()`][bytebufs.flush]" in said("Outbox.flush")
    assert "[`Delimited`][bytebufs.Delimited]" in said("Lines.encode")
    assert "the `limit` in bytes" in said("LimitExceeded")  # no page has its fields
    assert [str(parameter.default) for parameter in package["CompositeBuffer.__init__"].parameters][1] == "()"
    assert str(package["Reader.varint"].parameters["max_bytes"].default) == "10"
    assert str(package["Outbox.__init__"].parameters["on_pause"].default) == "None"
    assert "[`flush()`][bytebufs.aio.Stream.flush]" in said("aio.Stream.send")
    assert "[`CompositeBuffer.parse()`][bytebufs.CompositeBuffer.parse]" in said("aio.Stream.parse")
    assert "[`start_server`][bytebufs.aio.start_server]" in said("aio.start_unix_server")
    assert "`write`" in said("sending.channels.Writer")  # which is not that of aio
    assert str(package["aio.start_server"].parameters["limit"].default) == "256 << 10"
    links = set(re.findall(r"`\]\[bytebufs\.([\w.]+)\]", "".join(_docstrings_below(package))))
    assert "CompositeBuffer.splice" in links
    assert links - set(_shown()) == set()


def _docstrings_below(scope: griffe.Object | griffe.Alias) -> Iterator[str]:
    if scope.docstring is not None:
        yield scope.docstring.value
    for member in scope.members.values():
        if isinstance(member, griffe.Object):
            yield from _docstrings_below(member)
