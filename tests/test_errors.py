"""Every reply text: its code and scope, and that it fits into a close method."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from pamqp.commands import Channel, Connection

from leveret import errors
from leveret.errors import CODES, AmqpError
from leveret.wire.methods import decode_method, encode_method

#: Arguments for the constructors, by the name of the parameter.
VALUES: dict[str, Any] = {
    "kind": "configure",
    "octets": "all octets = <<>>",
    "name": "q",
    "vhost": "/",
    "state": "running",
    "reason": "why",
    "mechanism": "PLAIN",
    "value": "v",
    "claimed": "bob",
    "actual": "guest",
    "user": "guest",
    "rendered": "queue 'q' in vhost '/'",
    "queue": "q",
    "exchange": "e",
    "routing_key": "k",
    "current": "tx",
    "wanted": "confirm",
    "detail": "<<0>>",
    "key": b"k",
    "text": "text",
    "argument": "x-arg",
    "type_name": "longstr",
}


def constructors() -> list[Any]:
    return [
        one
        for name, one in sorted(vars(errors).items())
        if inspect.isfunction(one) and inspect.signature(one).return_annotation == "AmqpError"
    ]


def made(constructor: Any) -> AmqpError:
    arguments = []
    for parameter in inspect.signature(constructor).parameters.values():
        annotation = str(parameter.annotation)
        if annotation == "bytes":
            arguments.append(b"k")
        elif annotation in ("int", "bool"):
            arguments.append(7)
        else:
            arguments.append(VALUES.get(parameter.name, "x"))
    error: AmqpError = constructor(*arguments)
    return error


@pytest.mark.parametrize("constructor", constructors(), ids=lambda one: str(one.__name__))
def test_every_error_fits_into_a_close(constructor: Any) -> None:
    error = made(constructor)
    name, scope = CODES[error.code]
    assert error.text == name or error.text.startswith(f"{name} - ")
    assert error.scope in ("channel", "connection")
    assert constructor.__doc__
    command = Channel.Close if error.scope == "channel" else Connection.Close
    payload = encode_method(command, reply_code=error.code, reply_text=error.text, class_id=0, method_id=0)
    assert decode_method(payload).reply_text == error.text
    if scope == "connection":
        assert error.scope == "connection"


def test_every_code_has_its_scope() -> None:
    """AMQP 0-9-1 1.1, with RabbitMQ's choice of scope."""
    hard = {320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541}
    assert {code for code, (_, scope) in CODES.items() if scope == "connection"} == hard
    assert AmqpError(403, "x", scope="connection").scope == "connection"
    assert str(AmqpError(541)) == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("x" * 243, "NOT_FOUND - " + "x" * 243),
        ("x" * 244, "NOT_FOUND - " + "x" * 240 + "..."),
        ("é" * 121, "NOT_FOUND - " + "é" * 121),
        ("é" * 122, "NOT_FOUND - " + "é" * 120 + "..."),
        ("x" + "é" * 122, "NOT_FOUND - x" + "é" * 119 + "..."),
    ],
)
def test_long_texts_are_cut_to_a_short_string(text: str, cut: str) -> None:
    error = AmqpError(404, text)
    assert error.text == cut
    assert len(error.text.encode()) <= 255
