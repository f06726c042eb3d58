"""The list of all paths as a web page, /api/index.html, in place of RabbitMQ's reference."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from html import escape
from zlib import crc32

from leveret.management.call import Call, Handler, Reply, Resource, Routes, Shows
from leveret.management.paths import serves

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<p>Paths are below <code>/api</code>. Names in braces stand for names of objects, percent-encoded: the virtual host
<code>/</code> is <code>%2F</code>. Bodies are JSON; log in by HTTP Basic.</p>
<table>
<tr><th>Method</th><th>Path</th><th>What it does</th></tr>
{rows}
</table>
</body>
</html>
"""


def reference(routes: Routes, absent: tuple[str, ...], version: str, *, public: bool) -> Resource:
    """The resource of the page. `absent`: paths that the version does not have. `public`: it needs no login."""
    served = {path: methods for path, methods in routes.items() if serves(path, absent)}
    title = f"HTTP API of Leveret, as in RabbitMQ {version}"
    body = _PAGE.format(title=escape(title), rows="\n".join(_rows(served))).encode()
    headers = {"Content-Type": "text/html", "ETag": f'"{crc32(body)}"'}

    def page(call: Call) -> Reply:
        """GET: this list."""
        return Reply(200, body, dict(headers))

    return Resource({"GET": page}, public=public, shows=Shows.FILE)


def _rows(routes: Routes) -> Iterator[str]:
    for path, methods in sorted(routes.items()):
        for method, handler in methods.items():
            cells = (method, f"<code>{escape(path)}</code>", escape(purpose(method, handler)))
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def purpose(method: str, handler: Handler) -> str:
    """What a handler does, from its docstring without the method: "PUT {value}: set it."."""
    paragraph = (inspect.getdoc(handler) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).removeprefix(method).removeprefix(":").strip()
