"""Messages as JSON in portions: to encode a payload of ten megabytes holds the event loop for 200 ms, if each octet is
escaped, base64 takes 30 ms, and so do thousands of headers."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Generator, Iterable
from typing import NamedTuple

import msgspec

from leveret.json_portions import encoded
from leveret.management.call import Pieces
from leveret.management.json import Json
from leveret.management.pagination import PIECE_BYTES
from leveret.management.slices import Slices
from leveret.management.views.messages import payload, properties
from leveret.wire.properties import decode_properties

#: Octets that are encoded, or characters that are decoded, at once; base64 takes three of the octets, four characters.
PORTION = 48 * 1024

#: Octets of properties that are shown at once: of thousands of headers, each of three steps takes milliseconds.
PROPERTIES_AT_ONCE = 4 * 1024

_encode = msgspec.json.encode

#: The pieces of a message as JSON, in steps.
Steps = Generator[None, None, list[bytes]]


class Row(NamedTuple):
    """A message of a list. `fields`: what is shown of it besides its properties and payload, not empty. `header`: the
    payload of its header frame; `body`: as much of it as is shown."""

    fields: Json
    header: bytes
    body: bytes

    @property
    def short(self) -> bool:
        """Whether it is encoded at once."""
        return len(self.body) <= PORTION and len(self.header) <= PROPERTIES_AT_ONCE


async def messages_in_slices(slices: Slices, rows: Iterable[Row], *, as_text: bool) -> Pieces:
    """A JSON array of messages. `as_text`: see `payload`."""
    pieces: list[bytes] = []
    part: list[bytes] = []
    size, before, whole = 0, b"[", True
    async for row in slices.walk(rows):
        if row.short:
            found = {"properties": properties(decode_properties(row.header))}
            shown = [_encode(row.fields | found | payload(row.body, as_text))]
        else:
            shown = await slices.run(message_steps(row, as_text=as_text))
            whole = False
        part += [before, *shown]
        before = b","
        size += sum(map(len, shown))
        if not row.short:
            pieces += part
        elif size >= PIECE_BYTES:
            pieces.append(b"".join(part))
        else:
            continue
        part, size = [], 0
    if part:
        pieces.append(b"".join(part))
    pieces.append(b"[]" if before == b"[" else b"]")
    return Pieces(pieces, whole=whole)


def message_steps(row: Row, *, as_text: bool) -> Steps:
    """Encode a message in portions."""
    found = yield from _properties_steps(row.header)
    body = row.body
    encoding, pieces = b"string", ((yield from _text_steps(body)) if as_text else [])
    if not pieces:
        encoding, pieces = b"base64", (yield from _base64_steps(body))
    fields = _encode(row.fields)[:-1]
    return [
        *(fields, b',"properties":', *found),
        *(b',"payload":"', *pieces, b'","payload_encoding":"', encoding, b'"}'),
    ]


def _properties_steps(header: bytes) -> Steps:
    """Encode the properties in the payload of a header frame."""
    found = decode_properties(header)
    yield
    shown = properties(found)
    yield
    text = yield from encoded(shown)
    pieces: list[bytes] = []
    for start in range(0, len(text), PORTION):
        pieces.append(bytes(text[start : start + PORTION]))
        yield
    return pieces


def _text_steps(body: bytes) -> Steps:
    """Encode a body as the inside of a JSON string; nothing if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces: list[bytes] = []
    for start in range(0, len(body), PORTION):
        end = start + PORTION
        try:
            text = decoder.decode(body[start:end], final=end >= len(body))
        except UnicodeDecodeError:
            return []
        pieces.append(_encode(text)[1:-1])
        yield
    return pieces


def _base64_steps(body: bytes) -> Steps:
    pieces: list[bytes] = []
    for start in range(0, len(body), PORTION):
        pieces.append(base64.b64encode(body[start : start + PORTION]))
        yield
    return pieces


def base64_steps(text: str) -> Generator[None, None, bytes]:
    """Decode base64, with white space anywhere, in portions. Raises `ValueError`."""
    found: list[bytes] = []
    rest = ""
    for start in range(0, len(text), PORTION):
        rest += "".join(text[start : start + PORTION].split())
        usable = max(0, len(rest) - 1) // 4 * 4  # only the last four characters may be padded
        if "=" in rest[:usable]:
            raise ValueError("padding inside")
        found.append(base64.b64decode(rest[:usable], validate=True))
        rest = rest[usable:]
        yield
    found.append(base64.b64decode(rest, validate=True))
    return b"".join(found)
