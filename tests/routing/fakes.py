"""Destinations, exchanges and messages for the tests of routing."""

from __future__ import annotations

import os
from typing import Any

from leveret.profiles import PROFILES
from leveret.routing.exchanges import Declaration, Exchange
from leveret.routing.types import make_exchange
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field, Table


class Queue:
    """The part of a queue that routing reads."""

    def __init__(self, name: str, kind: str = "classic") -> None:
        self.name = name
        self.kind = kind

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Message:
    """The part of a message that routing reads."""

    def __init__(self, **properties: Any) -> None:
        self.header = encode_properties(Properties(**properties), 0)


def table(**values: Any) -> Table:
    """A table of Python values; `_` in a name stands for `-`."""
    return {name.replace("_", "-"): field(value) for name, value in values.items()}


def field(value: Any) -> Field:
    if isinstance(value, Field):
        return value
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        return Field("I", value)
    if isinstance(value, float):
        return Field("d", value)
    if value is None:
        return Field("V", None)
    return Field("S", value.encode())


def exchange(kind: str, name: str = "x", **arguments: Any) -> Exchange:
    declaration = Declaration(name, kind, arguments=table(**arguments), user="guest")
    return make_exchange(declaration, PROFILES["4.3"], os.urandom)


def bind(source: Exchange, destination: Any, key: str = "", **arguments: Any) -> bool:
    return source.add(source.binding(destination, key.encode(), table(**arguments)))


def unbind(source: Exchange, destination: Any, key: str = "", **arguments: Any) -> bool:
    return source.remove(source.binding(destination, key.encode(), table(**arguments))) is not None


def reached(source: Exchange, key: str = "", *more: str, **properties: Any) -> list[Any]:
    """The destinations that an exchange matches, each once."""
    found: list[Any] = []
    others = [other.encode() for other in more] or None
    source.matches(key.encode(), others, Properties(**properties), found)
    return list(dict.fromkeys(found))
