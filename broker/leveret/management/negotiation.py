"""Content types of requests and responses, as Cowboy compares them (cow_http_hd, cowboy_rest)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: A token of HTTP (RFC 9110 5.6.2).
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_TOKEN = re.compile(TOKEN)
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = rf"[ \t]*;[ \t]*(?![qQ]=){TOKEN}=(?:{TOKEN}|{_QUOTED})"
_EXTENSION = rf"[ \t]*;[ \t]*{TOKEN}(?:=(?:{TOKEN}|{_QUOTED}))?"
_WEIGHT = r"0(?:\.\d{0,3})?|\.\d{1,3}|1(?:\.0{0,3})?"
_MEDIA_TYPE = re.compile(rf"({TOKEN})/({TOKEN})((?:[ \t]*;[ \t]*{TOKEN}=(?:{TOKEN}|{_QUOTED}))*)[ \t]*")
_RANGE = re.compile(
    rf"({TOKEN})/({TOKEN})((?:{_PARAMETER})*)(?:[ \t]*;[ \t]*[qQ]=({_WEIGHT})(?:{_EXTENSION})*)?[ \t]*(?:,[ \t,]*|\Z)"
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
    best: tuple[_Rank, str] | None = None
    known: dict[tuple[str | None, ...], tuple[_Rank, str] | None] = {}
    for groups in _ranges(header):
        if groups not in known:
            known[groups] = _suited(*groups, offered, parameters=parameters)
        found = known[groups]
        # Of two that nothing prefers, the one that is written later comes first, as Erlang's sort has it in
        # cowboy_rest:prioritize_accept/1.
        if found is not None and (best is None or found[0] >= best[0]):
            best = found
    return best[1] if best is not None else None


#: What is larger for a range that is preferred: its weight, and how specific it is. It orders ranges that stand for
#: something that is offered, which is all of one kind.
_Rank = tuple[float, bool, bool, bool]


def _suited(
    kind: str, subtype: str, given: str, weight: str | None, offered: Sequence[str], *, parameters: bool
) -> tuple[_Rank, str] | None:
    """The rank of a range, and the first content type that it stands for; None if it stands for none. `given`: its
    parameters."""
    if given and not parameters:
        return None
    wanted = f"{kind}/{subtype}".lower()
    start = "" if wanted == "*/*" else wanted.removesuffix("*")
    for each in offered:
        if each == wanted or (subtype == "*" and each.startswith(start)):
            return (float(weight or 1), kind != "*", subtype != "*", not given), each
    return None


def _ranges(header: str) -> Iterator[tuple[str, str, str, str | None]]:
    """What the header Accept lists: kind, subtype, parameters and weight of each range. Raises `MalformedHeader`."""
    at = _SEPARATOR.match(header).end()  # type: ignore[union-attr]  # it can be empty
    while at < len(header):
        found = _RANGE.match(header, at)
        if found is None:
            raise MalformedHeader(header)
        kind, subtype, parameters, weight = found.groups()
        yield kind, subtype, parameters, weight
        at = found.end()


def _parameters(text: str) -> dict[str, str]:
    return {name.lower(): _unquoted(value) for name, value in _NAME_AND_VALUE.findall(text)}


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
