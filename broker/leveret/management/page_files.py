"""The management page: the files of `page/`, served at `/` of the management port.

The files are built from `page/` of the source tree (`npm run build` there) and committed. They are read at the first
request. The page may load its own origin only, and ask it and the configured OpenID providers; its
Content-Security-Policy says so to the browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from zlib import crc32

from leveret.management.call import Call, Reply, Resource, Shows, missing

#: Path below the prefix -> file of the package, and its content type.
FILES: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("",): ("index.html", "text/html; charset=utf-8"),
    ("index.html",): ("index.html", "text/html; charset=utf-8"),
    ("page.js",): ("page.js", "text/javascript; charset=utf-8"),
    ("page.css",): ("page.css", "text/css; charset=utf-8"),
    ("icon.svg",): ("icon.svg", "image/svg+xml"),
    ("favicon.ico",): ("icon.svg", "image/svg+xml"),
    ("licences.txt",): ("licences.txt", "text/plain; charset=utf-8"),
}

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src {asked}; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page_files(configured_policy: str, providers: Iterable[str]) -> dict[tuple[str, ...], Resource]:
    """The resources of the page. `configured_policy`: replaces its own Content-Security-Policy unless empty;
    `providers`: origins that the page may ask besides its own."""
    policy = configured_policy or CONTENT_SECURITY_POLICY.format(asked=" ".join(("'self'", *providers)))
    return {path: _file(name, kind, policy) for path, (name, kind) in FILES.items()}


def _file(name: str, kind: str, policy: str) -> Resource:
    def read(call: Call) -> Reply:
        """GET: a file of the page."""
        body = _content(name)
        headers = {
            "Content-Type": kind,
            "ETag": f'"{crc32(body)}"',
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return Reply(200, body, headers, shown=True)

    return Resource({"GET": read}, public=True, shows=Shows.FILE)


@cache
def _content(name: str) -> bytes:
    """The octets of a file. Raises `Refusal` if it was not installed."""
    try:
        return (files("leveret.management") / "page" / name).read_bytes()
    except OSError:
        raise missing() from None
