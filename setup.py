"""Which modules are compiled. Whether they are, and what if that fails, is the matter of _build/backend.py."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "_build"))
from backend import why_pure

# Everything that runs once a byte, a part or a frame. errors.py stays interpreted: a native class cannot derive from a
# builtin exception; _core/exporter.py must, to fill the buffer slot.
COMPILED = [
    "_core/audit", "_core/holding", "_core/numbers", "_core/parts", "_core/search", "_core/seeker", "_core/table",
    "base_buffer", "composite_buffer", "framing", "layout", "reader", "slice_buffer",
    "sending/channels", "sending/flushing", "sending/outbox", "sending/plan",
]  # fmt: skip


CALLS_INLINE = ["-fvisibility=hidden", "-fno-semantic-interposition"]
"""Nobody outside replaces our functions, so calls among them may be inlined: a fifth of what a short method costs."""


def extensions(folder: str) -> list[Any]:
    """Return the compiled modules, or none where they are not to be had; one line says which."""
    if not {"bdist_wheel", "build", "build_ext", "editable_wheel"} & set(sys.argv):
        return []  # setuptools is only asked what it needs, or for metadata
    reason = why_pure()
    if reason is None:
        print(f"bytebufs: compiling {len(COMPILED)} modules", file=sys.stderr)
        return compiled(folder)
    print(f"bytebufs: building pure Python, {reason}", file=sys.stderr)
    return []


def compiled(folder: str) -> list[Any]:
    """Translate the modules to C and return the extensions that hold them."""
    from mypyc.build import mypycify

    # Its own settings, not pyproject's: those are for the whole tree, with more packages than a build has.
    names = [f"bytebufs/{name}.py" for name in COMPILED]
    made = mypycify(["--config-file", os.devnull, *names], opt_level="3", target_dir=folder)
    say_that_the_gil_is_used(Path(folder))
    for extension in made:
        # A warning of a compiler that nobody tried is no reason to fail.
        extension.extra_compile_args = [arg for arg in extension.extra_compile_args if arg != "-Werror"] + CALLS_INLINE
    return list(made)


def say_that_the_gil_is_used(folder: Path) -> None:
    """Have the interpreter of a free-threaded build switch its lock on when it loads us.

    mypyc declares that it is not needed, to let people try; our own rules count on nobody running between two stores.
    """
    for source in folder.rglob("*.c"):
        text = source.read_text(encoding="utf-8")
        if "Py_MOD_GIL_NOT_USED" in text:
            source.write_text(text.replace("Py_MOD_GIL_NOT_USED", "Py_MOD_GIL_USED"), encoding="utf-8")


# Outside the source tree: no shared object is ever left in it.
scratch = tempfile.mkdtemp(prefix="bytebufs-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(ext_modules=extensions(scratch), options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}})
