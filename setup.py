"""Which modules are compiled. Whether they are, and what if that fails, is the matter of _build/backend.py."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent / "_build"))
from backend import why_pure
from docstrings import documented

# Everything that runs once a byte, a part or a frame. errors.py stays interpreted: a native class cannot derive from a
# builtin exception; _core/exporter.py must, to fill the buffer slot, _core/handlers.py, to run handlers of signals.
COMPILED = [
    "_core/audit", "_core/holding", "_core/layout", "_core/numbers", "_core/packed", "_core/parts", "_core/search",
    "_core/seeker", "_core/table", "base_buffer", "composite_buffer", "framing", "reader", "receiving/inbox",
    "receiving/pool", "slice_buffer", "sending/channels", "sending/flushing", "sending/outbox", "sending/plan",
]  # fmt: skip

TRACEBACKS = (Path(__file__).parent / "_build" / "tracebacks.h").read_text(encoding="utf-8")

NATIVE = "_core/_native"
"""One file of C: what no Python can say. Without it the ctypes way of _core/foreign.py stays, compiled or not."""

CALLS_INLINE = ["-fvisibility=hidden", "-fno-semantic-interposition"]
"""Nobody outside replaces our functions, so calls among them may be inlined: a fifth of what a short method costs."""


def extensions(folder: str) -> list[Any]:
    """Return the compiled modules, or none where they are not to be had; one line says which."""
    if not {"bdist_wheel", "build", "build_ext", "editable_wheel"} & set(sys.argv):
        return []  # setuptools is only asked what it needs, or for metadata
    reason = why_pure()
    if reason is None:
        print(f"bytebufs: compiling {len(COMPILED)} modules", file=sys.stderr)
        return [*compiled(folder), *native()]
    print(f"bytebufs: building pure Python, {reason}", file=sys.stderr)
    return []


def compiled(folder: str) -> list[Any]:
    """Translate the modules to C and return the extensions that hold them."""
    from mypyc.build import mypycify

    # Its own settings, not pyproject's: those are for the whole tree, with more packages than a build has.
    names = [f"bytebufs/{name}.py" for name in COMPILED]
    made = mypycify(["--config-file", os.devnull, *names], opt_level="3", target_dir=folder)
    for source in Path(folder).rglob("*.c"):
        source.write_text(amend(source.read_text(encoding="utf-8")), encoding="utf-8")
    [whole] = Path(folder).rglob("__native*.c")  # of all modules: beside it each has only its door
    modules = {name[:-3].replace("/", "."): Path(name).read_text(encoding="utf-8") for name in names}
    whole.write_text(documented(whole.read_text(encoding="utf-8"), modules), encoding="utf-8")
    for extension in made:
        # A warning of a compiler that nobody tried is no reason to fail.
        extension.extra_compile_args = [arg for arg in extension.extra_compile_args if arg != "-Werror"] + CALLS_INLINE
    return list(made)


def native() -> list[Extension]:
    """Return the extension that is written in C, where the C library has a ``memmem`` that is linear."""
    if not sys.platform.startswith("linux"):
        return []
    name = f"bytebufs.{NATIVE.replace('/', '.')}"
    return [Extension(name, [f"bytebufs/{NATIVE}.c"], extra_compile_args=["-O3", "-fvisibility=hidden"])]


def amend(source: str) -> str:
    """Return the C that mypyc wrote, with what our rules ask of it beyond what mypyc promises.

    1. A free-threaded interpreter has its lock switched on when it loads us. mypyc declares that it need not, to let
       people try; but we count on nobody running between two stores.
    2. An object that is kept for the next one is emptied before it is offered. mypyc offers it first: a finalizer of
       what it held, which makes another such object, would be given the very one that is being emptied.
    3. What a traceback costs is bounded (_build/tracebacks.h): a message that is not whole yet is an error on its way.
    """
    source = source.replace("Py_MOD_GIL_NOT_USED", "Py_MOD_GIL_USED")
    offered = source.count("_free_instance = self;")
    emptied_first = r"\2if (\1 == NULL) {\n\1 = self;\nreturn;\n}\n"
    source = source.replace("#include <exc_ops.c>\n", TRACEBACKS)
    source, amended = re.subn(r"(\w+_free_instance) = self;\n(.*?)\breturn;\n", emptied_first, source, flags=re.DOTALL)
    if amended != offered:
        raise RuntimeError(f"{offered - amended} kinds of objects are kept in a way that nobody has looked at")
    return source


# Outside the source tree: no shared object is ever left in it.
scratch = tempfile.mkdtemp(prefix="bytebufs-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(ext_modules=extensions(scratch), options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}})
