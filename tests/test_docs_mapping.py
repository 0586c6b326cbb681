"""The pages for who comes from Netty or NIO: every row of their tables runs, and every method of Java's has one.

A table's first header names the class. In a row the first cell names methods, with the types of their parameters where
overloads differ. The second has code, whose pieces are run in order: behind ` → ` stands the value that it has, behind
` raises ` the exception; else it is a statement, or None. Or it begins with "none", and the third says why. Each row
begins anew, in an empty folder, from what two blocks of its page make: the first, and the last before its table.
"""

from __future__ import annotations

import ast
import io
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.java_methods import CLASSES, JavaClass, declared, load, parameters_of
from tests.test_docs import Block, blocks

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGES: Final = ("from-netty", "from-nio")
ERRORS: Final = "Java throws"
"""What the table is headed by that names exceptions, and no class's methods."""
JAVA: Final = load()

_SPAN: Final = re.compile(r"`([^`]+)`")
_CODE: Final = re.compile(r"`(?P<code>[^`]+)`(?: → `(?P<value>[^`]+)`| raises `(?P<error>[\w.]+)`)?")


@dataclass(frozen=True)
class Row:
    """A row of a table: the line where it stands, what it names, its code, and what is said of it."""

    line: int
    names: list[str]
    here: str
    note: str

    @property
    def is_none(self) -> bool:
        return self.here.startswith("none")


@dataclass(frozen=True)
class Table:
    """A table of a page, for one class, and the blocks that its rows begin with."""

    page: str
    java: str
    line: int
    blocks: Sequence[Block]
    rows: list[Row] = field(default_factory=list)


def tables(page: str, text: str) -> Iterator[Table]:
    """Yield the tables of a page whose second header is "here"."""
    made = [block for block in blocks(text) if block.is_python and not block.is_session]
    table: Table | None = None
    for number, line in enumerate([*text.splitlines(), ""], 1):
        cells = [cell.strip() for cell in line.strip().split("|")[1:-1]]
        if len(cells) != 3:
            if table is not None:
                yield table
            table = None
        elif table is None:
            if cells[1] == "here":
                before = [block for block in made if block.line < number]
                table = Table(page, cells[0], number, list(dict.fromkeys([*before[:1], *before[-1:]])))
        elif not line.startswith("|---"):
            table.rows.append(Row(number, _SPAN.findall(cells[0]), cells[1], cells[2]))


def run(row: Row, names: dict[str, Any]) -> None:
    """Run a row's code, and raise AssertionError where it does not do what the row says."""
    pieces = list(_CODE.finditer(row.here))
    if row.is_none:
        assert row.note, "there is none: why?"
        assert not pieces, "there is none, and code"
        return
    assert pieces, "no code, and no 'none'"
    for piece in pieces:
        if piece["error"]:
            try:
                evaluate(piece["code"], names)
            except eval(piece["error"], names):
                continue
            raise AssertionError(f"{piece['code']} raises no {piece['error']}")
        value = evaluate(piece["code"], names)
        if piece["value"]:
            wanted = eval(piece["value"], names)
            assert value == wanted, f"{piece['code']} is {value!r}, not {wanted!r}"
        else:
            assert value is None, f"{piece['code']} is {value!r}: say so"


def evaluate(code: str, names: dict[str, Any]) -> Any:
    """Run statements, and return the value of the last, if that is an expression."""
    tree = ast.parse(code)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        exec(code, names)
        return None
    exec(compile(ast.Module(tree.body[:-1], []), "<row>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<row>", "eval"), names)


def close(names: dict[str, Any]) -> None:
    """Close what a row has left open."""
    for value in names.values():
        if isinstance(value, (io.IOBase, socket.socket)):
            value.close()


ALL: Final = [table for page in PAGES for table in tables(page, (DOCS / f"{page}.md").read_text(encoding="utf-8"))]


ROWS: Final = [(table.java, row) for table in ALL for row in table.rows]


@pytest.mark.parametrize("page", PAGES)
def test_every_row_does_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[str] = []
    for table in ALL:
        for row in table.rows if table.page == page else ():
            folder = tmp_path / str(row.line)
            folder.mkdir()
            monkeypatch.chdir(folder)
            wrong += faults(table, row)
    assert not wrong, "\n".join(wrong)


def faults(table: Table, row: Row) -> Iterator[str]:
    """Yield what is wrong with a row."""
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        for block in table.blocks:
            exec(block.source, names)
        run(row, names)
    except Exception as error:  # noqa: BLE001  # whatever it is: the other rows are looked at, too
        yield f"docs/{table.page}.md:{row.line}: {type(error).__name__}: {error}"
    finally:
        close(names)


@pytest.mark.parametrize("page", PAGES)
def test_every_method_of_javas_has_a_row(page: str) -> None:
    missing = {name: without_a_row(name, JAVA, ROWS) for name, java in JAVA.items() if java.page == page}
    assert len(missing) > 5
    assert {name: members for name, members in missing.items() if members} == {}


def without_a_row(name: str, java: dict[str, JavaClass], rows: Sequence[tuple[str, Row]]) -> list[str]:
    """Return what a class declares beyond its bases, and no row of its tables names."""
    inherited = {member for base in java[name].bases for member in java[base].members}
    told = {told for owner, row in rows if owner == name for told in row.names}
    return [
        member
        for member in java[name].members
        if member not in inherited and member not in told and member.partition("(")[0] not in told
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_what_java_has(page: str) -> None:
    assert [told for table in ALL if table.page == page for told in unknown(table)] == []


def unknown(table: Table) -> Iterator[str]:
    """Yield where a table names what Java has not, or nothing."""
    if table.java == ERRORS:
        return
    assert table.java in JAVA, f"docs/{table.page}.md:{table.line}: no class {table.java}"
    java = JAVA[table.java]
    assert java.page == table.page, f"docs/{table.page}.md:{table.line}: {table.java} belongs to {java.page}"
    names = {name for one in (java, *(JAVA[base] for base in java.bases)) for name in one.names}
    for row in table.rows:
        for name in row.names or ["nothing"]:
            if name not in names:
                yield f"docs/{table.page}.md:{row.line}: {name}"


def test_no_method_has_two_answers() -> None:
    told = sorted((java, name) for java, row in ROWS for name in row.names if java in JAVA)
    assert [one for one, other in pairwise(told) if one == other] == []


# -- the check itself

PAGE: Final = """
```python
x = 1
```

| Thing | here | |
|---|---|---|
| `one`, `two(int)` | `x + 1` → `2` | |
| `wrong` | `x += 1` `x` → `3` | |
| `raising` | `1 / 0` raises `ZeroDivisionError` | |
| `not_raising` | `1 / 1` raises `ZeroDivisionError` | |
| `broken` | `1 / 0` → `0` | |
| `silent` | `x + 1` | |
| `none` | none | because |
| `unexplained` | none | |
| `prose` | somehow | |

```python
x = 5
```

| not a table | of ours | |
|---|---|---|
| `x` | `0 / 0` | |

| Other | here | |
|---|---|---|
| `five` | `x` → `5` | |
"""


def test_a_row_that_does_otherwise_is_found() -> None:
    thing, other = tables("page", PAGE)
    assert (thing.java, thing.line, other.java, len(other.rows)) == ("Thing", 6, "Other", 1)
    found = [fault for table in (thing, other) for row in table.rows for fault in faults(table, row)]
    assert [re.sub(r"\nassert.*", "", fault, flags=re.DOTALL) for fault in found] == [
        "docs/page.md:9: AssertionError: x is 2, not 3",
        "docs/page.md:11: AssertionError: 1 / 1 raises no ZeroDivisionError",
        "docs/page.md:12: ZeroDivisionError: division by zero",
        "docs/page.md:13: AssertionError: x + 1 is 2: say so",
        "docs/page.md:15: AssertionError: there is none: why?",
        "docs/page.md:16: AssertionError: no code, and no 'none'",
    ]


def test_a_method_without_a_row_is_found() -> None:
    java = {
        "Base": JavaClass("page", [], ["one()"]),
        "Thing": JavaClass("page", ["Base"], ["one()", "two(int)", "two(long)", "wrong()", "three()"]),
    }
    rows = [("Thing", row) for row in next(tables("page", PAGE)).rows]
    assert without_a_row("Thing", java, rows) == ["two(long)", "three()"]
    assert without_a_row("Base", java, rows) == ["one()"]
    assert java["Thing"].names >= {"two", "two(int)", "three()"}


JAVAP: Final = """\
Compiled from "Thing.java"
public abstract class io.netty.Thing<T> extends io.netty.Base<T> implements java.util.Map<java.lang.String, T> {
  public static final io.netty.Thing$Kind FIRST;
  protected io.netty.Thing();
    LineNumberTable:
      line 7: 0

  public io.netty.Thing(int, java.util.Map<java.lang.String, java.util.List<T>>);
    LineNumberTable:
      line 9: 0
    LocalVariableTable:
      Start  Length  Slot  Name   Signature
         10       3     3     i   I
          0      13     0  this   Lio/netty/Thing;
          0      13     1  size   I
          0      13     2  rest   Ljava/util/Map;

  public int read(byte[], java.nio.ByteBuffer...) throws java.io.IOException;
  public static <S> java.util.List<S> of(S, long);
}
"""


def test_what_javap_says_is_read() -> None:
    assert list(declared(JAVAP, "Thing")) == ["FIRST", "Thing(int, Map)", "read(byte[], ByteBuffer...)", "of(S, long)"]
    assert list(parameters_of(JAVAP, "Thing")) == ["size", "rest"]


def test_the_data_has_each_class_that_is_wanted_and_no_other() -> None:
    assert [*JAVA] == [wanted.name.rpartition("$")[2] for wanted in CLASSES]
    assert all(java.members for java in JAVA.values())
