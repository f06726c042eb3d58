"""Reads Erlang's external term format: definitions that `rabbitmqctl export_definitions --format erlang` has written.

Terms become JSON values: binaries, strings and atoms are texts, `true`, `false`, `null` and `undefined` what they are
in JSON, lists of pairs are objects.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

_VERSION = 0x83
_COMPRESSED = 0x50

#: Terms inside of each other, at most.
DEEPEST = 200

_WORDS: dict[str, object] = {"true": True, "false": False, "null": None, "undefined": None}


class TermDecodeError(ValueError):
    """The octets are no term, or one that has no place in JSON."""


def decode(octets: bytes) -> object:
    """Return the term as a JSON value. Raises TermDecodeError."""
    try:
        if octets[0] != _VERSION:
            raise TermDecodeError("not a term")
        body = octets[1:]
        if body[0] == _COMPRESSED:
            (size,) = struct.unpack_from(">I", body, 1)
            body = zlib.decompressobj().decompress(body[5:], max(size, 1))
        return _Reader(body).term(0)
    except (IndexError, struct.error, zlib.error, UnicodeDecodeError) as error:
        raise TermDecodeError(str(error)) from error


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.at = 0
        self.kinds: dict[int, Callable[[int], object]] = {
            ord("t"): self._map,
            ord("l"): self._list,
            ord("j"): lambda depth: [],
            ord("m"): lambda depth: self._text(">I"),
            ord("w"): lambda depth: self._atom("B"),
            ord("s"): lambda depth: self._atom("B"),
            ord("v"): lambda depth: self._atom(">H"),
            ord("d"): lambda depth: self._atom(">H"),
            ord("a"): lambda depth: self._number("B"),
            ord("b"): lambda depth: self._number(">i"),
            ord("n"): lambda depth: self._big("B"),
            ord("o"): lambda depth: self._big(">I"),
            ord("F"): lambda depth: self._float(),
            ord("h"): lambda depth: [self.term(depth) for _ in range(self._number("B"))],
            ord("i"): lambda depth: [self.term(depth) for _ in range(self._number(">I"))],
            ord("k"): lambda depth: list(self._take(self._number(">H"))),
        }

    def term(self, depth: int) -> object:
        """Read a term. Raises TermDecodeError."""
        if depth > DEEPEST:
            raise TermDecodeError("nested too deeply")
        kind = self.octets[self.at]
        self.at += 1
        read = self.kinds.get(kind)
        if read is None:
            raise TermDecodeError(f"a term of kind {kind}")
        return read(depth + 1)

    def _take(self, count: int) -> bytes:
        found = self.octets[self.at : self.at + count]
        if len(found) < count:
            raise TermDecodeError("it ends too early")
        self.at += count
        return found

    def _number(self, layout: str) -> int:
        (found,) = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return int(found)

    def _float(self) -> float:
        (found,) = struct.unpack(">d", self._take(8))
        return float(found)

    def _big(self, layout: str) -> int:
        size = self._number(layout)
        negative = self._number("B")
        value = int.from_bytes(self._take(size), "little")
        return -value if negative else value

    def _text(self, layout: str) -> str:
        return self._take(self._number(layout)).decode("utf-8", "surrogateescape")

    def _atom(self, layout: str) -> object:
        name = self._text(layout)
        return _WORDS.get(name, name)

    def _map(self, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for _ in range(self._number(">I")):
            key = self.term(depth)
            found[str(key)] = self.term(depth)
        return found

    def _list(self, depth: int) -> object:
        count = self._number(">I")
        pairs = self.at < len(self.octets) and self.octets[self.at : self.at + 2] == b"h\x02"
        found = [self.term(depth) for _ in range(count)]
        if self.term(depth) != []:
            raise TermDecodeError("a list that does not end")
        if pairs and all(
            isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in found
        ):
            return {str(one[0]): one[1] for one in found if isinstance(one, list)}
        return found
