"""Answers as Erlang terms (`application/bert`): what RabbitMQ encodes as JSON, before that (rabbit_mgmt_util:reply).

Erlang has more kinds of values than JSON: an object is a list of pairs or a map, and its names and texts are atoms or
binaries. `bert_kinds` lists which kind a field has in RabbitMQ. The octets are those of `term_to_binary/1` (Erlang's
external term format, version 131).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from leveret.json_portions import dismantled
from leveret.management.bert_kinds import INSIDE, Kind, Kinds, kinds_of
from leveret.management.call import BERT, Pieces, Reply
from leveret.management.json_pieces import decode_steps
from leveret.management.pagination import PIECE_BYTES

_VERSION = b"\x83"
_NIL = b"j"

#: The head of a tuple of two.
_PAIR = b"h\x02"

_BOOLEANS = {True: "true", False: "false"}
_NULLS = {Kind.TABLE: "undefined", Kind.JSON: "null", Kind.DOCUMENT: "null"}

#: Kinds of objects that are lists of pairs, and kinds whose names are binaries.
_PAIRED = (Kind.PAIRS, Kind.DOCUMENT, Kind.ATOM)
_BINARY = (Kind.BINARIES, Kind.TABLE, Kind.JSON, Kind.DOCUMENT)

#: Octets of an atom and of a large integer, and elements of a tuple, in their short forms.
_SHORT = 255

#: Elements of a list of octets that is written as a string.
_STRING = 65535

#: A value that is still to be encoded, its kind, and the name of its field; octets are written as they are.
_Part = tuple[object, Kind, str]


def shown(answer: Reply | Pieces, path: Sequence[str], *, older: bool) -> Reply | Pieces:
    """An answer as an Erlang term, in pieces if it was in pieces. `path`: segments below /api. `older`: of versions
    before 4.1."""
    held = [_decoded(answer)]
    if isinstance(answer, Pieces):
        status, headers = 200, {}
    else:
        status, headers = answer.status, answer.headers
    headers = {**headers, "Content-Type": BERT}
    if "ETag" in headers:  # another representation has another one
        headers["ETag"] = f'{headers["ETag"][:-1]}-bert"'
    body = encode(held[0], kinds_of(path, older=older))
    for _ in dismantled(held):
        pass
    if isinstance(answer, Pieces):
        return Pieces([body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)], headers)
    return Reply(status, body, headers, shown=True)


def _decoded(answer: Reply | Pieces) -> object:
    """What an answer says. Decoding all of a long one would keep the interpreter from the event loop."""
    if isinstance(answer, Reply):
        return msgspec.json.decode(answer.body)
    if answer.whole:
        return [row for piece in answer.json[:-1] for row in msgspec.json.decode(b"[" + piece[1:] + b"]")]
    found: list[object] = []
    for _ in _into(found, b"".join(answer.json).decode()):
        pass
    return found[0]


def _into(found: list[object], text: str) -> Iterator[None]:
    found.append((yield from decode_steps(text, [])))


def encode(answer: object, kinds: Kinds) -> bytes:
    """Encode a JSON value as a term. `kinds`: of fields, see `bert_kinds`."""
    found = bytearray(_VERSION)
    todo: list[_Part] = [(answer, kinds.get("", Kind.PAIRS), "")]
    while todo:  # no recursion, since a client can store what is nested deeply
        octets, parts = _opened(*todo.pop(), kinds)
        found += octets
        todo += reversed(parts)
    return bytes(found)


def document(sections: Mapping[str, object]) -> bytes:
    """Definitions as RabbitMQ writes them into a file: a compressed map, whose names are atoms."""
    found = bytearray(b"t" + struct.pack(">I", len(sections)))
    for name, section in sections.items():
        found += _atom(name) + encode(section, {"": Kind.BINARIES})[1:]
    return _VERSION + b"P" + struct.pack(">I", len(found)) + zlib.compress(bytes(found))


def _opened(value: object, kind: Kind, name: str, kinds: Kinds) -> tuple[bytes, list[_Part]]:
    """The first octets of a value, and the parts that follow them."""
    if isinstance(value, bytes):
        return value, []
    if isinstance(value, dict):
        return _object(value, kind, name, kinds)
    if isinstance(value, list):
        return _list(value, kind, name)
    return _scalar(value, kind), []


def _object(value: Mapping[str, object], kind: Kind, name: str, kinds: Kinds) -> tuple[bytes, list[_Part]]:
    """An object: a map, or a list of pairs. An empty list of pairs would be `[]` in JSON."""
    parts: list[_Part] = []
    for key, inner in value.items():
        if kind in _PAIRED:
            parts.append((_PAIR, kind, ""))
        parts += [(_key(key, kind), kind, ""), (inner, _below(kind, name, key, kinds), key)]
    size = struct.pack(">I", len(value))
    if kind in _PAIRED and value:
        return b"l" + size, [*parts, (_NIL, kind, "")]
    return b"t" + size, parts


def _below(kind: Kind, name: str, key: str, kinds: Kinds) -> Kind:
    """The kind of a field. `kind`, `name`: those of the object that it is in."""
    if name == "items":  # of a page
        name = ""
    return kinds.get(f"{name}.{key}") or INSIDE.get(kind) or kinds.get(key, Kind.PAIRS)


def _key(name: str, kind: Kind) -> bytes:
    if kind is Kind.NUMBERED:
        return _integer(int(name))
    return _binary(name) if kind in _BINARY else _atom(name)


def _list(value: list[object], kind: Kind, name: str) -> tuple[bytes, list[_Part]]:
    """A list; one of octets only is written as a string."""
    if not value:
        return _NIL, []
    octets = [item for item in value if type(item) is int and 0 <= item <= _SHORT]
    if len(octets) == len(value) <= _STRING:
        return b"k" + struct.pack(">H", len(octets)) + bytes(octets), []
    below = Kind.JSON if kind is Kind.DOCUMENT and name not in ("", "items") else kind
    parts: list[_Part] = [(item, below, name) for item in value]
    return b"l" + struct.pack(">I", len(value)), [*parts, (_NIL, kind, "")]


def _scalar(value: object, kind: Kind) -> bytes:
    if value is None:
        return _atom(_NULLS.get(kind, ""))
    if isinstance(value, bool):
        return _atom(_BOOLEANS[value])
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return b"F" + struct.pack(">d", value)
    text = str(value)
    if kind is Kind.ATOM or (kind is Kind.BLANK and not text) or (kind is Kind.TABLE and text == "undefined"):
        return _atom(text)
    return _binary(text)


def _integer(value: int) -> bytes:
    if 0 <= value <= _SHORT:
        return b"a" + bytes([value])
    if -(1 << 31) <= value < 1 << 31:
        return b"b" + struct.pack(">i", value)
    size = (abs(value).bit_length() + 7) // 8
    head = b"n" + bytes([size]) if size <= _SHORT else b"o" + struct.pack(">I", size)
    return head + bytes([value < 0]) + abs(value).to_bytes(size, "little")


def _binary(text: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    return b"m" + struct.pack(">I", len(octets)) + octets


def _atom(text: str) -> bytes:
    octets = text.encode("utf-8", "surrogateescape")
    head = b"w" + bytes([len(octets)]) if len(octets) <= _SHORT else b"v" + struct.pack(">H", len(octets))
    return head + octets
