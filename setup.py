"""What pyproject.toml cannot say: which modules are compiled, and that a failure to do so is none of the install."""

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
# builtin exception; _exporter.py must, to fill the buffer slot; flushing.py spends its time in the kernel.
COMPILED = [
    "_audit", "_holding", "_numbers", "_parts", "_search", "_seeker", "_table",
    "base_buffer", "composite_buffer", "framing", "layout", "reader", "slice_buffer",
]  # fmt: skip


def extensions(folder: str) -> list[Any]:
    """Return the compiled modules, or none where they cannot be had; one line says which."""
    if not {"bdist_wheel", "build", "build_ext"} & set(sys.argv):
        return []  # setuptools is only asked what it needs, or for metadata
    reason = why_pure()
    if reason is None:
        try:
            return compiled(folder)
        except (ImportError, SystemExit) as error:
            reason = f"mypyc failed: {error}"
    print(f"bytebufs: building pure Python, {reason}", file=sys.stderr)
    return []


def compiled(folder: str) -> list[Any]:
    """Translate the modules to C and return the extensions that hold them."""
    from mypyc.build import mypycify

    # Its own settings, not pyproject's: those are for the whole tree, with more packages than a build has.
    names = [f"bytebufs/{name}.py" for name in COMPILED]
    made = mypycify(["--config-file", os.devnull, *names], opt_level="3", target_dir=folder)
    for extension in made:
        # A warning of a compiler that nobody tried is no reason to fail.
        extension.extra_compile_args = [arg for arg in extension.extra_compile_args if arg != "-Werror"]
    print(f"bytebufs: compiling {len(COMPILED)} modules", file=sys.stderr)
    return list(made)


# Outside the source tree: no shared object is ever left in it.
scratch = tempfile.mkdtemp(prefix="bytebufs-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(ext_modules=extensions(scratch), options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}})
