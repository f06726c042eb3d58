"""JSON values in the HTTP API: their names, and short bodies."""

from __future__ import annotations

import msgspec

#: A JSON object. What a field is, its reader checks: bodies come from clients, and views are only encoded.
Json = dict[str, object]

#: The value of a body that was not decoded yet.
UNDECODED = object()


class NotJsonError(ValueError):
    """A body is no JSON."""


def decoded_at_once(body: bytes) -> object:
    """Decode a body; returns the error if it is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return NotJsonError(str(error))
