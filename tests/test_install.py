"""What is built where: compiled with a C compiler, pure without, never a failure for want of one, nor a silent one.

The build backend is run as pip runs it, in processes of their own and in a copy made from the sdist, but with this
environment's setuptools and mypy. One module stands for all that are compiled, unoptimised: the whole package takes a
minute, and the gate does that, and what needs a network: pip in an environment without a compiler.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import pytest

pytestmark = pytest.mark.checkout

ROOT: Final = Path(__file__).parent.parent
INTO_AN_SDIST: Final = ("_build", "bytebufs", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
CALL: Final = """
import sys
sys.path.insert(0, "_build")
import backend
print(getattr(backend, sys.argv[1])(*sys.argv[2:]))
"""
LOADED: Final = """
import json, os, signal, sys
import setuptools.build_meta
for line in sys.stdin:
    if not os.fork():
        break
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
else:
    sys.exit()
signal.alarm(300)
folder, environ, output, sys.argv[1:] = json.loads(line)
os.chdir(folder)
os.environ.clear()
os.environ.update(environ)
for number, path in enumerate([os.devnull, *output]):
    os.dup2(os.open(path, os.O_RDWR), number)
"""
"""Has loaded setuptools, which takes longer than most hooks do, and forks for each call that a line describes."""
NATIVE: Final = Path("bytebufs", "_core", "_native.c")
"""What is written in C: it belongs to the source distribution, and its shared object to the wheel."""

PURE: Final = "bytebufs-{version}-py3-none-any.whl"


@dataclass(frozen=True)
class Run:
    """What a hook of the backend answered, and what it said meanwhile."""

    answer: str
    said: str

    @property
    def lines(self) -> list[str]:
        """The lines that are about this package."""
        return [line for line in self.said.splitlines() if line.startswith("bytebufs:")]


def call(folder: Path, hook: str, *arguments: str, environ: Mapping[str, str] | None = None) -> Run:
    """Call a hook in a folder as pip does: in a process of its own."""
    status, out, err = _process(folder, [hook, *arguments], environ or {})
    assert status == 0, out + err
    return Run(out.splitlines()[-1], out + err)


def fails(folder: Path, hook: str, *arguments: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Call a hook that does not do it, and return the lines it says, of which pip shows all."""
    status, out, err = _process(folder, [hook, *arguments], environ or {})
    assert status == 1, out + err
    return [*out.splitlines(), *err.splitlines()]


def _process(folder: Path, command: list[str], environ: Mapping[str, str]) -> tuple[int, str, str]:
    """Return what a process ended with, and what it wrote."""
    clean = {key: value for key, value in os.environ.items() if key not in {"BYTEBUFS_PURE", "CC", "CFLAGS"}}
    if "PYTHONPATH" in environ:  # which an interpreter looks at when it begins
        run = subprocess.run(
            [sys.executable, "-c", CALL, *command],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            cwd=folder,
            env={**clean, **environ},
        )
        return run.returncode, run.stdout, run.stderr
    loaded = _loaded()
    assert loaded.stdin
    assert loaded.stdout
    with NamedTemporaryFile("r") as out, NamedTemporaryFile("r") as err:
        loaded.stdin.write(json.dumps([str(folder), {**clean, **environ}, [out.name, err.name], command]) + "\n")
        loaded.stdin.flush()
        return int(loaded.stdout.readline()), out.read(), err.read()


@cache
def _loaded() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOADED + CALL]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    """End what is forked for each call."""
    yield
    _loaded().communicate()
    _loaded.cache_clear()


def members(wheel: Path) -> set[str]:
    """Return what a wheel holds, its own papers left out."""
    with zipfile.ZipFile(wheel) as packed:
        return {name for name in packed.namelist() if ".dist-info/" not in name}


def shared_objects(folder: Path) -> list[Path]:
    left = [path for path in folder.rglob("*") if path.suffix in {".so", ".pyd", ".c", ".o"} or path.name == "build"]
    return [path for path in left if path.relative_to(folder) != NATIVE]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, made from a copy of the tree."""
    folder = tmp_path_factory.mktemp("tree")
    for name in INTO_AN_SDIST:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    out = tmp_path_factory.mktemp("sdist")
    made = out / call(folder, "build_sdist", str(out)).answer
    assert shared_objects(folder) == []
    return made


@pytest.fixture
def source(sdist: Path, tmp_path: Path) -> Path:
    """The unpacked source distribution, with one module left to compile."""
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    [folder] = (tmp_path / "source").iterdir()
    setup = folder / "setup.py"
    whole = setup.read_text(encoding="utf-8")
    first = re.search(r'COMPILED = \[\s*("[\w/]+")', whole)
    assert first
    setup.write_text(re.sub(r"COMPILED = \[.*?\]", f"COMPILED = [{first[1]}]", whole, flags=re.DOTALL))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def pure_name(sdist: Path) -> str:
    return PURE.format(version=sdist.name.removeprefix("bytebufs-").removesuffix(".tar.gz"))


def wants_mypy(run: Run) -> bool:
    return "mypy" in run.answer


def assert_builds_pure(source: Path, sdist: Path, out: Path, environ: Mapping[str, str], why: str) -> None:
    """Demand a pure wheel, nothing left behind, and one line that says why."""
    run = call(source, "build_wheel", str(out), environ=environ)
    assert run.answer == pure_name(sdist)
    assert [path.name for path in out.iterdir()] == [run.answer]
    [line] = [line for line in run.lines if "pure" in line]
    assert line.startswith("bytebufs: building pure Python, ")
    assert why in line
    assert shared_objects(source) == []
    assert members(out / run.answer) == package_files(source) - {str(NATIVE)}


def package_files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in (folder / "bytebufs").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


# -- without a compiler


def test_without_a_compiler_it_is_pure_and_says_so(source: Path, sdist: Path, out: Path, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    environ = {"PATH": str(empty)}
    assert not wants_mypy(call(source, "get_requires_for_build_wheel", environ=environ))
    assert_builds_pure(source, sdist, out, environ, "does not run")


def test_pure_is_what_one_gets_who_asks_for_it(source: Path, sdist: Path, out: Path) -> None:
    environ = {"BYTEBUFS_PURE": "1"}
    assert not wants_mypy(call(source, "get_requires_for_build_wheel", environ=environ))
    assert_builds_pure(source, sdist, out, environ, "BYTEBUFS_PURE is set")


@pytest.mark.parametrize("environ", [{"CFLAGS": "--no-such-flag"}, {"CC": "false"}], ids=["CFLAGS", "CC"])
def test_a_compiler_that_fails_is_none(source: Path, sdist: Path, out: Path, environ: dict[str, str]) -> None:
    assert not wants_mypy(call(source, "get_requires_for_build_wheel", environ=environ))
    assert_builds_pure(source, sdist, out, environ, "cannot compile against Python.h")


def test_pypy_is_refused_before_anything_is_built(source: Path, tmp_path: Path) -> None:
    """Its name is all that is asked for, so a Python of that name stands for it."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.implementation.name = 'pypy'\n")
    said = fails(source, "get_requires_for_build_wheel", environ={"PYTHONPATH": str(tmp_path)})
    assert said == ["bytebufs: this is pypy, and the package works on CPython alone"]


# -- with one that works, and a build that fails


@pytest.fixture
def alone(source: Path) -> Path:
    """The same, where the module that is compiled is all that mypyc reads: its package imports no other."""
    (source / "bytebufs" / "__init__.py").write_text("", encoding="utf-8")
    return source


def compiler_at(path: Path, program: str) -> dict[str, str]:
    """Write a compiler that is a shell program, and return the environment in which it is used."""
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)
    return {"CC": str(path)}


def assert_refused(source: Path, out: Path, environ: Mapping[str, str], why: str, shown: str) -> None:
    """Demand no wheel, nothing left behind, what was wrong, and last a sentence that says what to do."""
    said = fails(source, "build_wheel", str(out), environ=environ)
    assert said[-1].startswith(f"bytebufs: compiling failed ({why}")
    assert "With BYTEBUFS_PURE=1 in the environment the pure build is installed" in said[-1]
    assert [line for line in said[:-1] if shown in line]
    assert list(out.iterdir()) == []
    assert shared_objects(source) == []


@pytest.mark.needs("cc")
def test_a_compiler_that_fails_only_at_work_fails_the_build(alone: Path, out: Path, tmp_path: Path) -> None:
    program = 'case "$*" in *probe.c*) exec cc "$@";; esac; echo "no space left" >&2; exit 1'
    environ = compiler_at(tmp_path / "cc", program)
    assert wants_mypy(call(alone, "get_requires_for_build_wheel", environ=environ))
    assert_refused(alone, out, environ, "SystemExit: error: ", "no space left")


@pytest.mark.needs("cc")
def test_without_mypyc_the_build_fails(source: Path, out: Path, tmp_path: Path) -> None:
    """Where requirements are not installed for the build (`--no-build-isolation`)."""
    (tmp_path / "mypyc.py").write_text('raise ImportError("no mypyc here")\n')
    environ = {"PYTHONPATH": str(tmp_path)}
    assert_refused(source, out, environ, "ImportError: no mypyc here).", "ImportError: no mypyc here")


@pytest.mark.needs("cc")
def test_what_mypyc_refuses_fails_the_build(alone: Path, sdist: Path, out: Path) -> None:
    package = alone / "bytebufs"
    for module in package.rglob("*.py"):
        if f'"{module.relative_to(package).with_suffix("")}"' in (alone / "setup.py").read_text(encoding="utf-8"):
            module.write_text(module.read_text(encoding="utf-8") + "\n_wrong: int = 'text'\n", encoding="utf-8")
    assert_refused(alone, out, {}, "SystemExit: 1).", "Incompatible types in assignment")
    assert_builds_pure(alone, sdist, out, {"BYTEBUFS_PURE": "1"}, "BYTEBUFS_PURE is set")


# -- with one


@pytest.mark.needs("cc")
def test_with_a_compiler_it_is_compiled(alone: Path, out: Path, tmp_path: Path) -> None:
    assert wants_mypy(call(alone, "get_requires_for_build_wheel"))
    run = call(alone, "build_wheel", str(out), environ=compiler_at(tmp_path / "cc", 'exec cc "$@" -O0 -g0'))
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    assert run.answer.endswith(f"-{tag}-{tag}-{platform}.whl")
    assert run.lines == ["bytebufs: compiling 1 modules"]
    held = members(out / run.answer)
    ours = package_files(alone) - {str(NATIVE)}
    assert ours < held
    assert all(name.endswith((".so", ".pyd")) for name in held - ours)
    assert [name for name in held if name.startswith("bytebufs/_core/_native.") and name.endswith(".so")]
    assert shared_objects(alone) == []


# -- whatever there is


@pytest.mark.parametrize("hook", ["get_requires_for_build_editable", "get_requires_for_build_sdist"])
def test_only_a_wheel_wants_mypy(source: Path, hook: str) -> None:
    assert not wants_mypy(call(source, hook))


def test_an_editable_install_is_pure(source: Path, out: Path) -> None:
    run = call(source, "build_editable", str(out))
    assert run.lines == ["bytebufs: building pure Python, an editable install stays so"]
    assert not [name for name in members(out / run.answer) if name.endswith((".so", ".pyd"))]
    assert shared_objects(source) == []


def test_an_sdist_has_all_that_building_takes(sdist: Path) -> None:
    with tarfile.open(sdist) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    assert {"setup.py", "_build/backend.py", "_build/tracebacks.h", "pyproject.toml", "LICENSE", "README.md"} <= held
    assert package_files(ROOT) <= held
    assert [name for name in held if name.endswith((".so", ".pyd", ".c"))] == [str(NATIVE)]


def test_the_pure_wheel_works_by_itself(sdist: Path, source: Path, out: Path) -> None:
    name = call(source, "build_wheel", str(out), environ={"BYTEBUFS_PURE": "1"}).answer
    assert name == pure_name(sdist)
    with zipfile.ZipFile(out / name) as packed:
        packed.extractall(out)
    program = "import bytebufs; print(bytebufs.__file__, bytebufs.COMPILED, bytebufs.SliceBuffer(b'abc')[1:])"
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(out)},
    )
    where = out / "bytebufs" / "__init__.py"
    assert run.stdout.strip() == f"{where} False <SliceBuffer: 2 bytes in 1 part: b'bc'>"
