"""`/cli/`: where `rabbitmqadmin` is, and for versions that serve it the program itself.

RabbitMQ served its Python script until 4.0. Here it is the package `leveret.admin` as one file that Python runs
(`zipapp`), without anything but Python 3.11.
"""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib.resources import files
from zlib import crc32

from leveret import __version__
from leveret.management.call import Call, Reply, Resource, Shows

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>rabbitmqadmin</title></head>
<body>
<h1>rabbitmqadmin</h1>
<p><code>rabbitmqadmin</code> is a command line tool for the HTTP API.</p>
<p>{place}</p>
</body>
</html>
"""
_SERVED = (
    '<a href="rabbitmqadmin">Download it</a> from this node, make it executable and put it into your '
    "<code>PATH</code>. It needs Python 3.11 or later. <code>rabbitmqadmin --help</code> lists its commands."
)
_INSTALLED = (
    "Leveret has it as <code>leveret admin</code>, in its image also as <code>rabbitmqadmin</code>. RabbitMQ's own "
    "<code>rabbitmqadmin</code> works with this node, too."
)

_MAIN = b"import sys\n\nfrom leveret.admin.main import main\n\nsys.exit(main(sys.argv[1:]))\n"
_INTERPRETER = b"#!/usr/bin/env python3\n"


def cli_files(*, program_served: bool) -> dict[tuple[str, ...], Resource]:
    """The resources below /cli."""
    page = _PAGE.format(place=_SERVED if program_served else _INSTALLED).encode()

    def index(call: Call) -> Reply:
        """GET: where the program is."""
        return _file(page, "text/html")

    def program(call: Call) -> Reply:
        """GET: the program."""
        return _file(archive(), "application/octet-stream")

    found: dict[tuple[str, ...], Resource] = {}
    found["cli", "index.html"] = Resource({"GET": index}, public=True, shows=Shows.FILE)
    if program_served:
        found["cli", "rabbitmqadmin"] = Resource({"GET": program}, public=True, shows=Shows.FILE)
    return found


def _file(body: bytes, content_type: str) -> Reply:
    return Reply(200, body, {"Content-Type": content_type, "ETag": f'"{crc32(body)}"'})


@cache
def archive() -> bytes:
    """The program: an archive of the package's sources that Python runs."""
    content = io.BytesIO(_INTERPRETER)
    content.seek(0, io.SEEK_END)
    sources = sorted((files("leveret") / "admin").iterdir(), key=lambda each: each.name)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED) as program:
        program.writestr(_entry("__main__.py"), _MAIN)
        program.writestr(_entry("leveret/__init__.py"), f"__version__ = {__version__!r}\n")
        for source in sources:
            if source.name.endswith(".py"):
                program.writestr(_entry(f"leveret/admin/{source.name}"), source.read_bytes())
    return content.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """A file of the archive. All have the same date, so that the archive of a version is always the same."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
