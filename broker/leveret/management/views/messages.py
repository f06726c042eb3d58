"""Messages that were got from a queue."""

from __future__ import annotations

import base64

from leveret.engine.operations import Got
from leveret.management.json import Json
from leveret.wire.erlang import chars
from leveret.wire.properties import Properties
from leveret.wire.tables import plain, utf8_safe


def got(one: Got) -> Json:
    """Show a message without its properties and payload."""
    message = one.message
    return {
        "payload_bytes": message.size,
        "redelivered": one.redelivered,
        "exchange": chars(message.exchange),
        "routing_key": chars(message.routing_key),
        "message_count": one.left,
    }


def properties(found: Properties) -> object:
    """Show the properties that are there, the last one first; an empty list if there are none, as RabbitMQ does. Those
    that are not UTF-8 are shown as header values are; RabbitMQ 4.3.6 answers 500 then, without a body."""
    shown: Json = {}
    for name in reversed(found.__struct_fields__):
        value = getattr(found, name)
        if isinstance(value, str):
            shown[name] = utf8_safe(value.encode("utf-8", "surrogateescape"))
        elif value is not None:
            shown[name] = plain(value) if name == "headers" else value
    return shown or []


def payload(body: bytes, as_text: bool) -> Json:
    """Show a payload as text where it is UTF-8 and that is wanted, else in base64."""
    if as_text:
        try:
            return {"payload": body.decode(), "payload_encoding": "string"}
        except UnicodeDecodeError:
            pass
    return {"payload": base64.b64encode(body).decode(), "payload_encoding": "base64"}
