"""Every Python block in README and docs runs: sessions through doctest, the rest as it is.

The blocks of one file share one namespace, in order, so a page reads like one session. A fence says
`python` for both kinds; `pycon` is as good for sessions. They run in an empty folder.
"""

from __future__ import annotations

import asyncio
import doctest
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from bytebufs import aio

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# A fence may be indented (in a list, in an admonition) and ends with as many marks as it began with, or more.
_FENCE: Final = re.compile(
    r"^(?P<indent>[ \t]*)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)\n"
    r"(?P<body>.*?)^(?P=indent)(?P=mark)[`~]*[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line of the page where the text begins."""

    language: str
    source: str
    line: int

    @property
    def is_session(self) -> bool:
        return re.search(r"^\s*>>> ", self.source, re.MULTILINE) is not None

    @property
    def is_python(self) -> bool:
        return self.language in {"python", "py", "python3", "pycon"}


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for match in _FENCE.finditer(text):
        language = match["info"].split()[0].strip("{}.").lower() if match["info"].strip() else ""
        yield Block(language, textwrap.dedent(match["body"]), text.count("\n", 0, match.start("body")) + 1)


def run_page(page: Path) -> None:
    """Run the page's blocks; raise what they raise, or AssertionError with doctest's report."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.is_session:
            assert block.is_python, f"{page.name}:{block.line}: a session in a block that is not Python is not run"
            run_session(block, names, page)
        elif block.is_python:
            padding = "\n" * (block.line - 1)  # so that a traceback shows the line of the page
            exec(compile(padding + block.source, str(page), "exec"), names)


def run_session(block: Block, names: dict[str, Any], page: Path) -> None:
    """Run one session in `names`, which it changes."""
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(block.source, {}, page.name, str(page), block.line - 1)
    test.globs = names  # get_doctest copies what it is given
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=report.append, clear_globs=False)
    if report:
        raise AssertionError("".join(report))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page)


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "howto").glob("*.md")), ids=lambda page: page.stem)
def test_a_how_to_says_first_what_it_assumes(page: Path) -> None:
    title, _, rest = page.read_text(encoding="utf-8").partition("\n\n")
    assert title.startswith("# ")
    assert rest.startswith("**This page assumes** ")


MIGRATING: Final = ROOT / "docs" / "howto" / "migrating.md"


@pytest.mark.parametrize(
    ("word", "kind"),
    [("reader", asyncio.StreamReader), ("writer", asyncio.StreamWriter), ("server", asyncio.Server)],
    ids=["reader", "writer", "server"],
)
def test_who_migrates_finds_every_name_of_asyncios_streams(word: str, kind: type) -> None:
    page = MIGRATING.read_text(encoding="utf-8")
    names = [name for name in vars(kind) if not name.startswith("_")]
    assert len(names) > 6
    assert [name for name in names if not re.search(rf"`[^`|]*\b{word}\.{name}\b[^`|]*`", page)] == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (asyncio.BaseEventLoop.create_connection, aio.open_connection),
        (asyncio.BaseEventLoop.create_server, aio.start_server),
        (asyncio.SelectorEventLoop.create_unix_connection, aio.open_unix_connection),
        (asyncio.SelectorEventLoop.create_unix_server, aio.start_unix_server),
    ],
    ids=["open_connection", "start_server", "open_unix_connection", "start_unix_server"],
)
def test_who_migrates_is_told_which_arguments_are_not_taken(theirs: Any, ours: Any) -> None:
    missing = {*inspect.signature(theirs).parameters} - {*inspect.signature(ours).parameters}
    told = {*re.findall(r"`(\w+)=[^`]*`", MIGRATING.read_text(encoding="utf-8"))}
    assert missing - told == {"self", "protocol_factory"}


def test_readme_has_code_that_runs() -> None:
    assert any(block.is_session for block in blocks((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.checkout
def test_every_page_is_in_the_navigation_once() -> None:
    nav = re.findall(r"^ *- [^#\n]*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert sorted(nav) == sorted(pages)


# -- the check itself

PAGE: Final = """
# A page

```python
x = 1
```

- in a list:

  ```pycon
  >>> x += 1; x
  2
  ```

~~~~ python title="more"
assert x == 2
~~~~

```console
$ make test
```
"""


def _written(tmp_path: Path, text: str) -> Path:
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


def test_blocks_share_a_namespace_in_order(tmp_path: Path) -> None:
    assert [(block.language, block.line) for block in blocks(PAGE)] == [
        ("python", 5),
        ("pycon", 11),
        ("python", 16),
        ("console", 20),
    ]
    run_page(_written(tmp_path, PAGE))


def test_a_wrong_session_is_reported_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r'page\.md", line 11'):
        run_page(_written(tmp_path, PAGE.replace("  2\n", "  3\n")))


def test_a_failing_block_is_reported_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        run_page(_written(tmp_path, PAGE.replace("x == 2", "x == 3")))
    assert caught.traceback[-1].lineno == 16 - 1  # pytest counts from 0


def test_a_session_that_would_not_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:2"):
        run_page(_written(tmp_path, "```text\n>>> 1\n1\n```\n"))
