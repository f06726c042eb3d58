"""Large JSON documents in slices: encoding and decoding ten megabytes at once holds the event loop for 100 ms, and
would in a thread, too, because the codec keeps the interpreter.

`encoded` writes an object whose long fields are iterators. `decoded` reads a body: a short one at once, a long one in
steps of at most `WINDOW` characters, which are decoded by the C library; of a long string, `STRING_WINDOW`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Generator, Iterator, Mapping

import msgspec

from leveret.json_portions import dismantled
from leveret.management.call import Call, Pieces
from leveret.management.json import UNDECODED, NotJsonError, decoded_at_once
from leveret.management.pagination import PIECE_BYTES, Columns
from leveret.management.slices import Slices

#: Octets of a body that are decoded at once, in less than a millisecond.
AT_ONCE_BYTES = 128 * 1024

#: Characters of a long body that are decoded at once.
WINDOW = 2048

#: Characters of a long string that are decoded at once.
STRING_WINDOW = 32 * 1024

#: How deep arrays and objects of more than `WINDOW` characters may be nested, as in field tables.
_MOST_NESTED = 128

_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")

#: Whole characters of a string. Both halves of a surrogate pair belong together.
_CHARACTERS = re.compile(
    r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+"
)


def _refuse(constant: str) -> object:
    raise NotJsonError(constant)


_decoder = json.JSONDecoder(parse_constant=_refuse)
_encode = msgspec.json.encode

#: A decoder in steps: yields after each, and returns the value.
Steps = Generator[None, None, "tuple[object, int]"]


# --- encoding


async def encoded(slices: Slices, fields: Mapping[str, object], columns: Columns) -> list[bytes]:
    """A JSON object in pieces. A field that is an iterator is an array of what it yields, without None. `columns`: what
    is kept of each field and entry."""
    pieces: list[bytes] = []
    part: list[bytes] = []
    size = 0
    async for token in _tokens(slices, fields, columns):
        part.append(token)
        size += len(token)
        if size >= PIECE_BYTES:
            pieces.append(b"".join(part))
            part, size = [], 0
    pieces.append(b"".join(part))
    return pieces


async def document(slices: Slices, fields: Mapping[str, object], columns: Columns) -> Pieces:
    """`encoded` as an answer."""
    return Pieces(await encoded(slices, fields, columns))


async def _tokens(slices: Slices, fields: Mapping[str, object], columns: Columns) -> AsyncIterator[bytes]:
    """The object in short pieces. Without any field left it is an empty array, as an Erlang list without pairs is."""
    before = b"{"
    for name, value in fields.items():
        entries: Iterator[object] | None = value if isinstance(value, Iterator) else None
        kept = columns.pick({name: value if entries is None else []})
        if not isinstance(kept, dict):
            continue
        yield before + _encode(name) + b":"
        before = b","
        if entries is None:
            yield _encode(kept[name])
            continue
        inside = b"["
        async for entry in slices.walk(entries):
            if entry is not None:
                yield inside + _encode(_picked(columns, name, entry))
                inside = b","
        yield b"[]" if inside == b"[" else b"]"
    yield b"[]" if before == b"{" else b"}"


def _picked(columns: Columns, name: str, entry: object) -> object:
    """What is kept of an entry of a field."""
    kept = columns.pick({name: [entry]})
    assert isinstance(kept, dict)
    return kept[name][0]


# --- decoding


async def decode_body(call: Call, body: bytes) -> None:
    """Decode a long body of a call, in `Call.decoded`."""
    if call.held is None:
        call.held = []
    call.decoded = await decoded(call.site.slices, body, call.held)
    call.held.append(call.decoded)


def forget_body(call: Call) -> None:
    """Free what a long body said, in portions."""
    if call.held is not None:
        held, call.held, call.decoded = call.held, None, UNDECODED
        call.broker.work.begin(dismantled(held), "body")


async def decoded(slices: Slices, body: bytes, opened: list[object] | None = None) -> object:
    """Decode a body; returns a `NotJsonError` if it is no JSON. `opened`: see `decode_steps`."""
    if len(body) <= AT_ONCE_BYTES:
        return decoded_at_once(body)
    try:
        return await decoded_text(slices, body.decode(), opened)
    except UnicodeDecodeError as error:
        return error


async def decoded_text(slices: Slices, text: str, opened: list[object] | None = None) -> object:
    """Decode a long text; returns a `NotJsonError` if it is no JSON. `opened`: see `decode_steps`."""
    try:
        return await slices.run(decode_steps(text, [] if opened is None else opened))
    except NotJsonError as error:
        return NotJsonError(str(error))  # without a traceback, which would keep what was decoded


def decode_steps(text: str, opened: list[object]) -> Generator[None, None, object]:
    """Decode text in steps: yields after each one, and returns the value. `opened`: gets the arrays and objects that
    have not ended, the outermost first; where decoding ends early, they have what was decoded. Raises `NotJsonError`.
    """
    value, end = yield from _value(text, _skip(text, 0), opened)
    if _skip(text, end) != len(text):
        opened.append(value)
        raise NotJsonError("something follows the value")
    return value


def _value(text: str, at: int, opened: list[object]) -> Steps:
    """Decode the value at an offset; returns it and its end."""
    first = text[at : at + 1]
    if first not in ("[", "{"):
        return (yield from _scalar(text, at))
    try:
        value, size = _decoder.raw_decode(text[at : at + WINDOW])
    except (ValueError, RecursionError):
        pass  # it is longer, or wrong, which is found out below
    else:
        return _checked(text, at, at + size, value), at + size
    if len(opened) > _MOST_NESTED:
        raise NotJsonError("nested too deeply")
    return (yield from (_array if first == "[" else _object)(text, at, opened))


def _array(text: str, at: int, opened: list[object]) -> Steps:
    items: list[object] = []
    opened.append(items)
    at = _skip(text, at + 1)
    while text[at : at + 1] != "]":
        item, at = yield from _value(text, at, opened)
        items.append(item)
        at = _after(text, at, "]")
        yield
    opened.pop()
    return items, at + 1


def _object(text: str, at: int, opened: list[object]) -> Steps:
    fields: dict[str, object] = {}
    opened.append(fields)
    at = _skip(text, at + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            raise NotJsonError("no name of a field")
        name, at = yield from _scalar(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise NotJsonError("no value of a field")
        value, at = yield from _value(text, _skip(text, at + 1), opened)
        fields[str(name)] = value
        at = _after(text, at, "}")
        yield
    opened.pop()
    return fields, at + 1


def _after(text: str, at: int, end: str) -> int:
    """The offset of the next entry after one that ends at `at`, or of the end of its array or object."""
    at = _skip(text, at)
    if text[at : at + 1] == end:
        return at
    following = _skip(text, at + 1)
    if text[at : at + 1] != "," or text[following : following + 1] == end:
        raise NotJsonError("no comma, or nothing after it")
    return following


def _scalar(text: str, at: int) -> Steps:
    """Decode a string, a number, true, false or null."""
    if text[at : at + 1] == '"':
        return (yield from _string(text, at))
    found = _SCALAR.match(text, at, at + WINDOW)
    if found is None or found.end() == at + WINDOW:
        raise NotJsonError("no value, or a number of too many digits")
    try:
        return _decoder.decode(found.group()), found.end()
    except ValueError as error:
        raise NotJsonError(str(error)) from None


def _string(text: str, at: int) -> Steps:
    """Decode a string that may be long."""
    pieces: list[str] = []
    at += 1
    while text[at : at + 1] != '"':
        found = _CHARACTERS.match(text, at, at + STRING_WINDOW)
        if found is None or found.end() == at:
            raise NotJsonError("no character of a string")
        piece = decoded_at_once(f'"{found.group()}"'.encode())
        if isinstance(piece, NotJsonError):
            raise piece
        pieces.append(str(piece))
        at = found.end()
        yield
    return "".join(pieces), at + 1


def _checked(text: str, at: int, end: int, value: object) -> object:
    """Return a decoded value. Raises `NotJsonError` for half of a surrogate pair, which a short body may not have,
    either."""
    if text.find("\\u", at, end) < 0:
        return value
    found = decoded_at_once(text[at:end].encode("utf-8", "surrogatepass"))
    if isinstance(found, NotJsonError):
        raise found
    return found


def _skip(text: str, at: int) -> int:
    """The offset of what follows white space."""
    space = _SPACE.match(text, at)
    assert space is not None
    return space.end()
