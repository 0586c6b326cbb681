"""What `import bytebufs` does, and where it refuses to: in interpreters of their own, of whichever build this is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import bytebufs

PUBLIC: Final = "import bytebufs, {0}; [getattr({0}, name) for name in {0}.__all__]; print(bytebufs.COMPILED)"


def _python(*arguments: str) -> str:
    """Run an interpreter that has this build, and return the last line that it says."""
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(bytebufs.__file__).parent.parent)},
    )
    return run.stdout.strip().rpartition("\n")[2]


PEP_810: Final = sys.version_info >= (3, 15)
WAYS: Final = ["plain", *(["lazy_imports=all"] if PEP_810 else [])]


def _options(way: str) -> list[str]:
    return [] if way == "plain" else ["-X", way]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["bytebufs", "bytebufs.aio"])
def test_all_that_is_public_is_imported(name: str, way: str) -> None:
    assert _python(*_options(way), "-c", PUBLIC.format(name)) == str(bytebufs.COMPILED)


@pytest.mark.parametrize("way", WAYS)
def test_asyncio_is_loaded_by_those_who_ask_for_aio(way: str) -> None:
    loaded = "print([name in sys.modules for name in ('asyncio', 'ssl')])"
    assert _python(*_options(way), "-c", f"import sys, bytebufs; bytebufs.Inbox(limit=1); {loaded}") == "[False, False]"
    assert _python("-c", f"import sys, bytebufs.aio; {loaded}") == "[True, True]"


@pytest.mark.skipif(not PEP_810, reason="`lazy import` is syntax of Python 3.15 and newer (PEP 810)")
@pytest.mark.parametrize(
    "name",
    [
        *("bytebufs", "bytebufs.framing", "bytebufs.sending.outbox", "bytebufs.files.mapped"),
        *("bytebufs.receiving.inbox", "bytebufs.aio", "bytebufs.aio.serving"),
    ],
)
def test_a_module_that_is_imported_lazily_works(name: str) -> None:
    program = f"lazy import {name}; print({name}.__name__, bytebufs.CompositeBuffer([b'ab', b'c']).find(b'bc'))"
    assert _python("-c", program) == f"{name} 1"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "base", ["BaseBuffer", "SliceBuffer", "Framer", "Lines", "Reader", "CopyAudit", "Pool", "Inbox"]
)
def test_nobody_derives_from_what_is_final(base: str, way: str) -> None:
    said = _python(*_options(way), "-c", f"import bytebufs\nclass Heir(bytebufs.{base}): pass")
    assert said == f"TypeError: {base} is final: hold one, do not derive from it"


def test_pypy_is_refused_in_words() -> None:
    """Its name is all that is asked for, so a Python of that name stands for it."""
    assert _python("-c", "import sys; sys.implementation.name = 'pypy'; import bytebufs") == (
        "ImportError: bytebufs works on CPython alone: pypy does not tell who else holds an object, nor where its "
        "memory lies"
    )
