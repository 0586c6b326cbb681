"""The PEP 517 backend: setuptools', with mypyc asked for only where it will be used.

The package is compiled when a C compiler works here and nobody said otherwise; else it is installed as it is, which one
line of the build's output tells. ``BYTEBUFS_PURE=1`` asks for that. Where a compiler works and compiling fails, the build
does, too: a line that pip hides would leave people with the slow build, who believe that they have the fast one.
Editable installs are always pure: a compiled module beside its source would shadow it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setuptools import build_meta

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_wheel",
    "why_pure",
]

_MYPYC = "mypy~=2.4.0"
"""The compiler's output and the language it accepts change with its minor versions."""

_INSTEAD = (
    "What was wrong stands above: please report it. With BYTEBUFS_PURE=1 in the environment the pure build is installed, "
    "which does the same and is slower."
)

get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist
get_requires_for_build_editable = build_meta.get_requires_for_build_editable
prepare_metadata_for_build_wheel = build_meta.prepare_metadata_for_build_wheel
build_sdist = build_meta.build_sdist


_decided: str | None = None
"""Why this process builds a pure wheel, once something other than the machine has decided that."""


def why_pure() -> str | None:
    """Return why the package will not be compiled here, or None if it will be."""
    if _decided:
        return _decided
    if os.environ.get("BYTEBUFS_PURE", "0") not in ("", "0"):
        return "BYTEBUFS_PURE is set"
    # The same compiler and flags that setuptools will take.
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    include = sysconfig.get_paths()["include"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\n", encoding="ascii")
        command = [*compiler, *flags, "-c", str(source), "-o", str(source.with_suffix(".o")), f"-I{include}"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the C compiler {compiler[0]!r} does not run: {error}"
    return None if done.returncode == 0 else f"the C compiler {compiler[0]!r} cannot compile against Python.h"


def get_requires_for_build_wheel(config_settings: Mapping[str, Any] | None = None) -> list[str]:
    """Return what setuptools wants, and the compiler if it will be used. The first that pip asks for a wheel."""
    if sys.implementation.name != "cpython":
        raise SystemExit(f"bytebufs: this is {sys.implementation.name}, and the package works on CPython alone")
    wanted = build_meta.get_requires_for_build_wheel(config_settings)
    return wanted if why_pure() else [*wanted, _MYPYC]


def build_wheel(
    wheel_directory: str, config_settings: Mapping[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build a wheel, compiled where a C compiler works, else pure. SystemExit if that compiler, or mypyc, fails."""
    try:
        return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    except (Exception, SystemExit) as error:
        if why_pure():
            raise
        if not isinstance(error, SystemExit):  # which those raise who have said what is wrong
            traceback.print_exception(error)
        raise SystemExit(f"bytebufs: compiling failed ({type(error).__name__}: {error}). {_INSTEAD}") from None


def build_editable(
    wheel_directory: str, config_settings: Mapping[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build an editable wheel, which is never compiled."""
    _stay_pure("an editable install stays so")
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def _stay_pure(reason: str) -> None:
    global _decided  # noqa: PLW0603  # setup.py asks this module, and is run by it
    _decided = " ".join(reason.split())
