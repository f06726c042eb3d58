"""Source packages of the registries, fetched by the registries' own clients and unpacked in the cache."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from conformance.rabbitmq import mirror
from conformance.suites.suite import Suite

#: The Debian releases asked for the source of a package.
RELEASES = "bookworm trixie forky"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


class SourceError(Exception):
    """A package could not be fetched."""


def unpacked(suite: Suite, cache: Path) -> Path:
    """Return the folder of the suite's unchanged sources, fetched if they are missing. Raises SourceError."""
    place = cache / "sources" / f"{suite.name}-{suite.version}"
    if not place.exists():
        archive = fetched(suite, cache)
        fresh = place.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(fresh, filter="data")
        fresh.rename(place)
    (inner,) = place.iterdir()
    return inner


def fetched(suite: Suite, cache: Path) -> Path:
    """The suite's source package as a tar file."""
    into = cache / "archives" / f"{suite.name}-{suite.version}"
    into.mkdir(parents=True, exist_ok=True)
    wanted = "*.orig.tar.*" if suite.registry == "debian" else "*.t*gz"
    if not list(into.glob(wanted)):
        {"pypi": _pypi, "npm": _npm, "debian": _debian}[suite.registry](suite, into)
    found = sorted(into.glob(wanted))
    if not found:
        raise SourceError(f"{suite.carrier} {suite.version}: no source package came")
    return found[0]


def _pypi(suite: Suite, into: Path) -> None:
    what = f"{suite.carrier}=={suite.version}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _said([*pip, "--no-binary", suite.carrier, "--dest", str(into), what], into)


def _npm(suite: Suite, into: Path) -> None:
    _said(["npm", "pack", "--silent", f"{suite.carrier}@{suite.version}"], into)


def _debian(suite: Suite, into: Path) -> None:
    """Get only the upstream archive of the Debian source package, with separate package lists."""
    lists = into.parent / "debian"
    (lists / "lists/partial").mkdir(parents=True, exist_ok=True)
    (lists / "cache/archives/partial").mkdir(parents=True, exist_ok=True)
    (lists / "debian.sources").write_text(
        f"Types: deb-src\nURIs: {mirror()}\nSuites: {RELEASES}\nComponents: main\nSigned-By: {KEYS}\n"
    )
    options = {
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::SourceList": str(lists / "debian.sources"),
        "Dir::State::Lists": str(lists / "lists"),
        "Dir::Cache": str(lists / "cache"),
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
    _said([*apt, "update"], into)
    _said([*apt, "source", "--tar-only", "--download-only", f"{suite.carrier}={suite.version}-1"], into)


def _said(command: list[str], cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise SourceError(f"{command[0]} is missing") from None
    if done.returncode != 0:
        raise SourceError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-600:]}")
