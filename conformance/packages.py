"""Programs of Debian packages: installed if they are needed and missing, which needs root."""

import os
import shutil
import subprocess


class PackageError(Exception):
    """A program is missing and cannot be installed."""


def need(program: str, package: str = "") -> str:
    """Return the path of a program; its package (by default of the same name) is installed if it is missing. Raises
    PackageError."""
    package = package or program
    found = shutil.which(program)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(package)
        found = shutil.which(program)
    if found is None:
        raise PackageError(f"{program} is missing (apt-get install {package})")
    return found


def _install(package: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise PackageError(f"apt-get {command[0]} failed for {package}: {done.stderr.strip()[-300:]}")
