"""Payloads of messages in portions: to encode ten megabytes as JSON holds the event loop for 200 ms, if each octet is
escaped, and base64 takes 30 ms."""

from __future__ import annotations

import base64
import codecs
from collections.abc import Generator, Iterable

import msgspec

from leveret.management.call import Pieces
from leveret.management.json import Json
from leveret.management.pagination import PIECE_BYTES
from leveret.management.slices import Slices
from leveret.management.views.messages import payload

#: Octets that are encoded, or characters that are decoded, at once; base64 takes three of the octets, four characters.
PORTION = 48 * 1024

_encode = msgspec.json.encode

#: The pieces of a message as JSON, in steps.
Steps = Generator[None, None, list[bytes]]


async def messages_in_slices(slices: Slices, rows: Iterable[tuple[Json, bytes]], *, as_text: bool) -> Pieces:
    """A JSON array of messages: what is shown of each besides its payload, and that. `as_text`: see `payload`."""
    pieces: list[bytes] = []
    part: list[bytes] = []
    size, before, whole = 0, b"[", True
    async for fields, body in slices.walk(rows):
        if len(body) <= PORTION:
            shown = [_encode(fields | payload(body, as_text))]
        else:
            shown = await slices.run(message_steps(fields, body, as_text=as_text))
            whole = False
        part += [before, *shown]
        before = b","
        size += sum(map(len, shown))
        if len(body) > PORTION:
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


def message_steps(fields: Json, body: bytes, *, as_text: bool) -> Steps:
    """Encode a message in portions. `fields`: what is shown of it besides its payload, not empty."""
    encoding, pieces = b"string", ((yield from _text_steps(body)) if as_text else [])
    if not pieces:
        encoding, pieces = b"base64", (yield from _base64_steps(body))
    return [_encode(fields)[:-1], b',"payload":"', *pieces, b'","payload_encoding":"', encoding, b'"}']


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
