"""What Debian's archive has: its package indices, as apt reads them."""

import gzip
import lzma
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

#: Seconds in which the archive has to say something; without an answer the golden files are compared with alone.
PATIENCE_SECONDS = 60

_FORMS: dict[str, Callable[[bytes], bytes]] = {".xz": lzma.decompress, ".gz": gzip.decompress}


class ArchiveError(Exception):
    """The archive cannot be reached, or has no such index or package."""


def carried(mirror: str, suite: str, package: str, architecture: str) -> str:
    """Return the version of a package in a suite, such as "4.3.6-1". Raises ArchiveError."""
    index = _index(f"{mirror.rstrip('/')}/dists/{suite}/main/binary-{architecture}/Packages")
    for stanza in stanzas(index):
        if stanza.get("Package") == package:
            return stanza["Version"]
    raise ArchiveError(f"Debian {suite} carries no {package}")


def stanzas(index: str) -> Iterator[dict[str, str]]:
    """The packages of an index, or of dpkg's status file: field -> first line of its value."""
    for paragraph in re.split(r"\n\s*\n", index):
        fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.MULTILINE))
        if fields:
            yield fields


def upstream(version: str) -> str:
    """Return the release in a version without epoch, repackaging and revision: 4.3.6 of "1:4.3.6+dfsg-1"."""
    return re.split(r"[-+~]", version.partition(":")[2] or version)[0]


def architecture() -> str:
    """Return Debian's name of this machine's architecture. Raises ArchiveError."""
    try:
        said = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ArchiveError(f"dpkg does not say what machine this is: {error}") from error
    return said.stdout.strip()


def _index(url: str) -> str:
    problem: object = None
    for ending, unpacked in _FORMS.items():
        try:
            with urllib.request.urlopen(url + ending, timeout=PATIENCE_SECONDS) as answer:
                return unpacked(answer.read()).decode()
        except (OSError, lzma.LZMAError, ValueError) as error:
            problem = error
    raise ArchiveError(f"{url} cannot be read: {problem}")
