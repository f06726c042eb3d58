"""Erlang's external term format, as `application/bert` has it, decoded to what JSON can express.

A binary is its text, and an atom is `'its name'`; `true` and `false` are booleans. A list of pairs is an object whose
names are the keys, and so is a map. Unless the keys of a list of pairs are atoms, the entry `#` says what it is: `map`,
`map binary`, `pairs binary`. A list of octets is an object with the entry `$`.
"""

import struct
from collections.abc import Callable
from typing import TypeGuard

CONTENT_TYPE = "application/bert"

#: The first octet of a term.
VERSION = 131

_BOOLEANS = {"true": True, "false": False}


class BertError(ValueError):
    """The octets are no term."""


class _Atom(str):
    __slots__ = ()


def decode(octets: bytes) -> object:
    """The term as JSON. Raises `BertError`."""
    try:
        reader = _Reader(octets)
        if reader.number(">B") != VERSION:
            raise BertError("no version")
        term = reader.term()
    except (struct.error, KeyError) as error:
        raise BertError(f"{error!r} at {reader.at}") from error
    if reader.at != len(octets):
        raise BertError(f"{len(octets) - reader.at} octets too many")
    return _plain(term)


class _Map(list[tuple[object, object]]):
    """The pairs of a map."""


class _Reader:
    """Reads terms one after another. `at`: the next octet."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0
        self._kinds: dict[int, Callable[[], object]] = {
            70: lambda: self.number(">d"),
            97: lambda: self.number(">B"),
            98: lambda: self.number(">i"),
            100: lambda: _Atom(self.text(">H")),
            104: lambda: tuple(self._terms(">B")),
            105: lambda: tuple(self._terms(">I")),
            106: list,
            107: lambda: {"$": self.text(">H")},
            108: self._list,
            109: lambda: self.text(">I"),
            110: lambda: self._big(">B"),
            111: lambda: self._big(">I"),
            116: self._map,
            118: lambda: _Atom(self.text(">H")),
            119: lambda: _Atom(self.text(">B")),
        }

    def term(self) -> object:
        """The next term. Raises `struct.error`, `KeyError` (one that no answer has: a process, a function)."""
        return self._kinds[self.number(">B")]()

    def number(self, form: str) -> int:
        """The next number."""
        found = struct.unpack_from(form, self.octets, self.at)[0]
        self.at += struct.calcsize(form)
        return found  # type: ignore[no-any-return]

    def text(self, form: str) -> str:
        """The next octets, after their number."""
        size = self.number(form)
        self.at += size
        return self.octets[self.at - size : self.at].decode("utf-8", "replace")

    def _terms(self, form: str) -> list[object]:
        return [self.term() for _ in range(self.number(form))]

    def _list(self) -> list[object]:
        found = self._terms(">I")
        if self.term() != []:
            raise BertError("an improper list")
        return found

    def _big(self, form: str) -> int:
        size, negative = self.number(form), self.number(">B")
        self.at += size
        found = int.from_bytes(self.octets[self.at - size : self.at], "little")
        return -found if negative else found

    def _map(self) -> _Map:
        pairs = [(self.term(), self.term()) for _ in range(self.number(">I"))]
        return _Map(pairs)


def _plain(term: object) -> object:
    if isinstance(term, _Atom):
        return _BOOLEANS.get(term, f"'{term}'")
    if isinstance(term, _Map) or _is_pairs(term):
        return _object(term)
    if isinstance(term, list | tuple):
        items = [_plain(item) for item in term]
        return items if isinstance(term, list) else {"{}": items}
    return term


def _is_pairs(term: object) -> TypeGuard[list[tuple[object, object]]]:
    return (
        isinstance(term, list)
        and bool(term)
        and all(isinstance(item, tuple) and len(item) == 2 for item in term)
    )


def _object(pairs: list[tuple[object, object]]) -> dict[str, object]:
    """The pairs of a map, or of a list. Keys are of one kind."""
    found = {str(key): _plain(value) for key, value in pairs}
    words = ["map"] if isinstance(pairs, _Map) else ["pairs"]
    words += sorted({type(key).__name__ for key, _ in pairs if not isinstance(key, _Atom)})
    return found if words == ["pairs"] else {**found, "#": " ".join(words).replace("str", "binary")}
