"""Forms that clients send before they have logged in."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote_plus

#: Octets of such a body (cowboy_req:read_urlencoded_body).
FORM_BYTES = 64_000


def form_fields(body: bytes, names: Collection[str]) -> dict[str, str]:
    """Return the first values of these fields. Others are not decoded: a body may have thirty thousand."""
    longest = 3 * max(map(len, names))
    found: dict[str, str] = {}
    for pair in body.decode("utf-8", "replace").split("&"):
        name, _, value = pair.partition("=")
        if len(name) <= longest and (name := _text(name)) in names and name not in found:
            found[name] = _text(value)
    return found


def _text(quoted: str) -> str:
    return unquote_plus(quoted) if "%" in quoted or "+" in quoted else quoted
