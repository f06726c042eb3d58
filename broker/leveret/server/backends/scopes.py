"""Scopes of a token as permissions (rabbit_oauth2_scope): `read:VHOST/NAME` or `write:VHOST/NAME/KEY`, with `*` for any
characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

#: What scopes that are tags begin with.
TAG = "tag:"

#: More scopes than this are refused (rabbit_auth_backend_oauth2: MAX_SCOPE_COUNT).
MAX_SCOPES = 2048

_PERMISSIONS = ("configure", "write", "read")


class Scope(NamedTuple):
    """One permission. `key`: a pattern of routing keys, None if there is none."""

    permission: str
    vhost: str
    name: str
    key: str | None


def permissions(scopes: Iterable[str]) -> list[Scope]:
    """Return the permissions in scopes; others are skipped."""
    found = []
    for scope in scopes:
        permission, colon, resource = scope.partition(":")
        parts = resource.split("/")
        if colon and permission in _PERMISSIONS and len(parts) in (2, 3):
            found.append(Scope(permission, parts[0], parts[1], parts[2] if len(parts) == 3 else None))
    return found


def matches(pattern: str, subject: str) -> bool:
    """Return whether a name matches a pattern as a whole (wildcard.erl)."""
    parts = _parts(pattern)
    if not subject.startswith(parts[0]):
        return False
    at = len(parts[0])
    if len(parts) == 1:
        return at == len(subject)
    for part in parts[1:-1]:
        found = subject.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return subject.endswith(parts[-1]) and len(subject) - len(parts[-1]) >= at


@lru_cache(4096)
def _parts(pattern: str) -> tuple[str, ...]:
    """Return what stands between the wildcards, percent-decoded."""
    return tuple(unquote_plus(part, errors="surrogateescape") for part in pattern.split("*"))


def expanded(scope: str, vhost: str, claims: Mapping[str, object]) -> str:
    """Replace `{vhost}` and `{claim}` in a scope; one that is malformed allows nothing (parse_scope)."""
    out, opened, named = "", False, False
    for part in re.split(r"([{}.*])", scope):
        if named:
            if part != "}":
                return ""
            opened = named = False
        elif opened:
            value = vhost if part == "vhost" else claims.get(part, part)
            out += value if isinstance(value, str) else part
            named = True
        elif part == "{":
            opened = True
        else:
            out += part
    return out


def values_at(claims: object, path: Sequence[str], resource_server: str) -> list[str]:
    """Return the scopes at a path in a token: in objects, and in lists of objects (extract_token_value)."""
    if isinstance(claims, list):
        return [scope for one in claims for scope in values_at(one, path, resource_server)]
    if path:
        if isinstance(claims, Mapping) and path[0] in claims:
            return values_at(claims[path[0]], path[1:], resource_server)
        return []
    if isinstance(claims, str):
        return claims.split()
    if isinstance(claims, Mapping):  # by resource server, without its name
        own = claims.get(resource_server)
        words = own.split() if isinstance(own, str) else own if isinstance(own, list) else []
        return [f"{resource_server}.{word}" for word in words]
    return []
