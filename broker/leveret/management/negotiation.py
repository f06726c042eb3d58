"""Content types of requests and responses, as Cowboy compares them (cow_http_hd, cowboy_rest)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cmp_to_key
from typing import NamedTuple

#: A token of HTTP (RFC 9110 5.6.2).
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_TOKEN = re.compile(TOKEN)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = rf"[ \t]*;[ \t]*(?![qQ]=){TOKEN}=(?:{TOKEN}|{_QUOTED})"
_EXTENSION = rf"[ \t]*;[ \t]*{TOKEN}(?:=(?:{TOKEN}|{_QUOTED}))?"
_WEIGHT = r"0(?:\.\d{0,3})?|\.\d{1,3}|1(?:\.0{0,3})?"
_MEDIA_TYPE = re.compile(rf"({TOKEN})/({TOKEN})((?:[ \t]*;[ \t]*{TOKEN}=(?:{TOKEN}|{_QUOTED}))*)[ \t]*")
_RANGE = re.compile(
    rf"({TOKEN})/({TOKEN})((?:{_PARAMETER})*)(?:[ \t]*;[ \t]*[qQ]=({_WEIGHT})(?:{_EXTENSION})*)?[ \t]*(?=,|\Z)"
)
_SEPARATOR = re.compile(r"[ \t,]*")
_NAME_AND_VALUE = re.compile(rf";[ \t]*({TOKEN})=({TOKEN}|{_QUOTED})")

_ENTITY_TAG = re.compile(r'(?:W/)?"[^"\s]*"')


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


def chosen(header: str, offered: Sequence[str], *, parameters: bool = False) -> str | None:
    """The content type of those that are offered that a client prefers; None if it accepts none of them.

    A weight of 0 counts as acceptance, as in Cowboy, and a type with parameters is another type, unless those that are
    offered can have any `parameters`. Raises `MalformedHeader`.
    """
    ranges = _ranges(header)
    ranges.reverse()
    for wanted in sorted(ranges, key=cmp_to_key(_compare)):
        for content_type in offered:
            if (parameters or wanted.bare) and wanted.matches(content_type):
                return content_type
    return None


class _Range(NamedTuple):
    """What a client accepts. `bare`: without parameters before the weight."""

    kind: str
    subtype: str
    bare: bool
    weight: float

    def matches(self, content_type: str) -> bool:
        kind, _, subtype = content_type.partition("/")
        wanted = (self.kind, self.subtype)
        return wanted in (("*", "*"), (kind, "*"), (kind, subtype))

    def precedes(self, other: _Range) -> bool:
        """Whether this one is preferred: by its weight, or because it is more specific."""
        if self.weight != other.weight:
            return self.weight > other.weight
        if self.kind != other.kind:
            return other.kind == "*"
        if self.subtype != other.subtype:
            return other.subtype == "*"
        return other.bare and not self.bare


def _compare(one: _Range, other: _Range) -> int:
    """Compare ranges. Of two that nothing prefers the one that is written later comes first, which Erlang's sort makes
    of cowboy_rest:prioritize_accept/1."""
    return -1 if one.precedes(other) else 1


def _ranges(header: str) -> list[_Range]:
    """What the header Accept lists. Raises `MalformedHeader`."""
    ranges: list[_Range] = []
    at = 0
    while True:
        separator = _SEPARATOR.match(header, at)
        assert separator is not None  # it can be empty
        if separator.end() == len(header):
            return ranges
        found = _RANGE.match(header, separator.end())
        if found is None:
            raise MalformedHeader(header)
        kind, subtype, parameters, weight = found.groups()
        ranges.append(_Range(kind.lower(), subtype.lower(), not parameters, float(weight or 1)))
        at = found.end()


def _parameters(text: str) -> dict[str, str]:
    return {name.lower(): _unquoted(value) for name, value in _NAME_AND_VALUE.findall(text)}


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
