"""Content types of requests and responses, as Cowboy compares them (cow_http_hd, cowboy_rest)."""

from __future__ import annotations

import re

#: A token of HTTP (RFC 9110 5.6.2).
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_TOKEN = re.compile(TOKEN)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = rf"[ \t]*;[ \t]*{TOKEN}(?:=(?:{TOKEN}|{_QUOTED}))?"
_MEDIA_TYPE = re.compile(rf"({TOKEN})/({TOKEN})((?:{_PARAMETER})*)[ \t]*")
_NAME_AND_VALUE = re.compile(rf";[ \t]*({TOKEN})(?:=({TOKEN}|{_QUOTED}))?")

_ENTITY_TAG = re.compile(r'(?:W/)?"[^"\s]*"')
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


class MalformedHeader(ValueError):  # noqa: N818  named by what was sent
    """A header that is not as HTTP defines it."""


def is_token(text: str) -> bool:
    """Whether a text can stand in a header without quotes."""
    return _TOKEN.fullmatch(text) is not None


def content_type(header: str) -> tuple[str, dict[str, str]]:
    """The content type of a body in lower case, and its parameters. Raises `MalformedHeader`."""
    found = _MEDIA_TYPE.fullmatch(header.strip())
    if found is None:
        raise MalformedHeader(header)
    return f"{found[1]}/{found[2]}".lower(), _parameters(found[3])


def entity_tags(header: str) -> frozenset[str]:
    """The entity tags of If-Match or If-None-Match, weak ones as well. Raises `MalformedHeader`."""
    words = [word.strip() for word in header.split(",")]
    if not all(_ENTITY_TAG.fullmatch(word) for word in words):
        raise MalformedHeader(header)
    return frozenset(word.removeprefix("W/") for word in words)


def acceptable(header: str, shown: str) -> bool:
    """Whether a client accepts a content type. Raises `MalformedHeader`.

    A weight of 0 counts as acceptance, and a type with parameters is another type, as in Cowboy.
    """
    ranges = [_media_range(part) for part in header.split(",") if part.strip()]
    kind, _, subtype = shown.partition("/")
    wanted = {("*", "*"), (kind, "*"), (kind, subtype)}
    return any(one in wanted and bare for one, bare in ranges)


def _media_range(text: str) -> tuple[tuple[str, str], bool]:
    """Type and subtype, and whether there are no parameters before the weight. Raises `MalformedHeader`."""
    found = _MEDIA_TYPE.fullmatch(text.strip())
    if found is None:
        raise MalformedHeader(text)
    parameters = _parameters(found[3])
    names = list(parameters)
    if "q" in names:
        if _WEIGHT.fullmatch(parameters["q"]) is None:
            raise MalformedHeader(text)
        names = names[: names.index("q")]
    return (found[1].lower(), found[2].lower()), not names


def _parameters(text: str) -> dict[str, str]:
    return {name.lower(): _unquoted(value) for name, value in _NAME_AND_VALUE.findall(text)}


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
