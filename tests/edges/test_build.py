"""The build compiles all modules or none, names the one that cannot be compiled, and leaves nothing old.

A package of two small modules takes the place of Leveret's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from sysconfig import get_config_var

import pytest

from leveret.cli import serve

pytest.importorskip("Cython")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

PROJECT = Path(__file__).resolve().parents[2]
PYPROJECT = """
[project]
name = "leveret"
version = "1"
[tool.setuptools]
package-dir = { "" = "broker" }
packages = ["leveret"]
"""

#: A compiler that refuses one module.
REFUSES = """#!/bin/sh
case "$*" in
  *two.c*) echo "two.c:7:1: error: no such register" >&2; exit 1 ;;
esac
exec cc "$@"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with the project's setup.py."""
    package = tmp_path / "broker" / "leveret"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("one", "two"):
        (package / f"{name}.py").write_text("def number(x):\n    return x + 1\n")
        (package / f"{name}.pxd").write_text("cpdef long number(long x)\n")
    shutil.copy(PROJECT / "setup.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path


def build(
    tree: Path, *command: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run setup.py, in place unless another command is given; its output is in `stdout`."""
    return subprocess.run(
        [sys.executable, "setup.py", "--quiet", *(command or ("build_ext", "--inplace"))],
        cwd=tree,
        env={**os.environ, "LEVERET_PURE": "0", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def compiled(tree: Path) -> list[str]:
    """Names of the modules that are compiled in the source tree."""
    suffix = get_config_var("EXT_SUFFIX")
    return sorted(path.name.removesuffix(suffix) for path in (tree / "broker/leveret").glob(f"*{suffix}"))


def refusing(tree: Path) -> dict[str, str]:
    """An environment with a compiler that refuses the module `two`."""
    compiler = tree / "compiler"
    compiler.write_text(REFUSES)
    compiler.chmod(0o755)
    return {"CC": str(compiler)}


def test_progress_is_shown_and_only_what_has_changed_is_compiled(tree: Path) -> None:
    first = build(tree)
    assert first.returncode == 0, first.stdout
    assert "[1/3] compiled leveret." in first.stdout and "[3/3] compiled leveret." in first.stdout
    assert compiled(tree) == ["_cython", "one", "two"]
    times = {path: path.stat().st_mtime_ns for path in (tree / "broker/leveret").glob("*.so")}
    (tree / "broker/leveret/two.py").write_text("def number(x):\n    return x + 2\n")
    assert build(tree).returncode == 0
    again = {path: path.stat().st_mtime_ns for path in times}
    assert [path.name.partition(".")[0] for path in times if times[path] != again[path]] == ["two"]


def test_a_module_that_cannot_be_translated_is_named_and_nothing_old_is_left(tree: Path) -> None:
    assert build(tree).returncode == 0
    (tree / "broker/leveret/two.py").write_text("def number(x):\n    return x +\n")
    failed = build(tree)
    assert failed.returncode == 1
    assert "THE HOT PATH IS NOT COMPILED. Cython does not translate" in failed.stdout
    assert "broker/leveret/two.py" in failed.stdout
    assert compiled(tree) == []


def test_a_module_that_the_compiler_refuses_is_named_with_the_reason(tree: Path) -> None:
    failed = build(tree, environment=refusing(tree))
    assert failed.returncode == 1
    assert "THE HOT PATH IS NOT COMPILED. leveret.two: two.c:7:1: error: no such register" in failed.stdout
    assert compiled(tree) == []


def test_without_a_compiler_the_build_says_so_and_leaves_nothing_old(tree: Path) -> None:
    assert build(tree).returncode == 0
    (tree / "broker/leveret/two.py").write_text("def number(x):\n    return x + 2\n")
    done = build(tree, environment={"CC": "no-such-compiler"})
    assert done.returncode == 0
    assert "NOT COMPILED. no-such-compiler: No such file or directory" in done.stdout
    assert compiled(tree) == []
    assert build(tree).returncode == 0
    assert compiled(tree) == ["_cython", "one", "two"]
    assert not (tree / "broker/leveret/not_compiled.txt").exists()


@pytest.mark.parametrize("compiler", ["no-such-compiler", "refusing"])
def test_a_wheel_that_is_not_compiled_has_the_reason(tree: Path, compiler: str) -> None:
    environment = refusing(tree) if compiler == "refusing" else {"CC": compiler}
    done = build(tree, "bdist_wheel", environment=environment)
    assert done.returncode == 0, done.stdout
    (wheel,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        reason = archive.read("leveret/not_compiled.txt").decode()
        assert not [name for name in archive.namelist() if name.endswith(".so")]
    assert reason in (
        "no-such-compiler: No such file or directory\n",
        "leveret.two: two.c:7:1: error: no such register\n",
    )


def test_the_modules_with_most_optimization_are_compiled_ones() -> None:
    code = "import runpy; print(*runpy.run_path('setup.py')['HOTTEST'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    modules = [PROJECT / "broker" / name.replace(".", "/") for name in done.stdout.split()]
    assert modules
    assert all(module.with_suffix(".pxd").exists() for module in modules)


def test_the_reason_is_shown_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_PACKAGE", str(tmp_path))
    assert serve.why_not_compiled() == ""
    (tmp_path / "not_compiled.txt").write_text("cc: No such file or directory\n")
    assert serve.why_not_compiled() == " (cc: No such file or directory)"
