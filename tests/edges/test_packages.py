"""The package can be built, installed and started: a wheel and a source distribution, uncompiled.

`.ci/packages` installs compiled ones in new environments. Compiled wheels for others are built by cibuildwheel
(pyproject.toml).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SOURCES = ("broker", "pyproject.toml", "setup.py", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is made of, without compiled modules."""
    copy = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info")
    for name in SOURCES:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, copy / name, ignore=ignored)
        else:
            shutil.copy(PROJECT / name, copy / name)
    return copy


def build(source: Path, kind: str) -> Path:
    """Run the build backend as pip does; returns the wheel or the source distribution."""
    made = source / "dist"
    made.mkdir(exist_ok=True)
    code = f"import setuptools.build_meta as backend; print(backend.build_{kind}({str(made)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=source,
        env=os.environ | {"LEVERET_PURE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return made / done.stdout.strip().splitlines()[-1]


def test_a_wheel_is_installed_and_runs(source: Path, tmp_path: Path) -> None:
    wheel = build(source, "wheel")
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    subprocess.run([*install, "--disable-pip-version-check", str(wheel)], check=True)
    conf = tmp_path / "rabbitmq.conf"
    conf.write_text("heartbeat = 30\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(target),
        "RABBITMQ_CONFIG_FILE": str(conf),
    }
    done = subprocess.run(
        [sys.executable, "-m", "leveret", "config", "check"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "The configuration is valid."
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "leveret/cuttlefish/schema.txt" in names
    assert "leveret/py.typed" in names
    assert any(name.endswith("entry_points.txt") for name in names)


def test_a_source_distribution_has_what_is_compiled(source: Path) -> None:
    with tarfile.open(build(source, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    declared = {str(path.relative_to(source)) for path in (source / "broker").rglob("*.pxd")}
    assert declared <= names
    assert {"setup.py", "pyproject.toml", "broker/leveret/cuttlefish/schema.txt"} <= names


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_the_systemd_unit_is_valid(tmp_path: Path) -> None:
    unit = (PROJECT / "container/leveret.service").read_text()
    unit = unit.replace("/opt/leveret/bin/leveret", "/bin/true").replace("User=leveret", "User=root")
    file = tmp_path / "leveret.service"
    file.write_text(unit.replace("Group=leveret", "Group=root"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)], capture_output=True, text=True, check=False
    )
    assert "leveret.service" not in done.stderr, done.stderr
