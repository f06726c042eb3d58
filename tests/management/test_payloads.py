"""Payloads are encoded and decoded in portions, with the same outcome as at once."""

from __future__ import annotations

import base64

import msgspec
import pytest

from leveret.management.payloads import PORTION, Row, base64_steps, message_steps, messages_in_slices
from leveret.management.slices import Slices
from leveret.management.views.messages import payload, properties
from leveret.wire.properties import Properties, encode_properties
from leveret.wire.tables import Field, Table
from tests.steps import ended

BODIES = [
    b"",
    b"short",
    b'"\n\\\x01\x7f' * PORTION,
    "\u00e4\u20ac\U0001f407".encode() * PORTION,
    b"x" * 2 * PORTION + b"\xff",
    b"x" * 2 * PORTION + "\u20ac".encode()[:2],
    b"\xff" * (2 * PORTION + 1),
]

#: The payload of a header frame without properties.
PLAIN = encode_properties(Properties(), 0)

MANY = {f"{number:04}": Field("I", number) for number in range(8192)}

NESTED = dict(list(MANY.items())[1:])

LONG = {"a": Field("S", b"\n" * 9_000_000), "b": Field("F", {"c": Field("A", [Field("V", None)])})}


@pytest.mark.parametrize("headers", [MANY, LONG, {"a": Field("F", NESTED)}])
def test_properties_are_shown_in_steps(headers: Table) -> None:
    given = Properties(content_type="text/plain", headers=headers)
    pieces, steps = ended(message_steps(Row({"a": 1}, encode_properties(given, 1), b"x"), as_text=True))
    assert msgspec.json.decode(b"".join(pieces)) == {
        "a": 1,
        "properties": properties(given),
        **payload(b"x", True),
    }
    assert steps >= 4
    assert max(map(len, pieces)) <= 6 * PORTION


@pytest.mark.parametrize("as_text", [True, False])
async def test_messages_are_shown_as_at_once(as_text: bool) -> None:
    rows = [Row({"number": number}, PLAIN, body) for number, body in enumerate(BODIES)]
    shown = await messages_in_slices(Slices(), rows, as_text=as_text)
    assert msgspec.json.decode(b"".join(shown.json)) == [
        row.fields | {"properties": []} | payload(row.body, as_text) for row in rows
    ]
    assert not shown.whole


async def test_pieces_of_short_messages_are_whole() -> None:
    rows = [Row({"number": number}, PLAIN, b"x" * 40_000) for number in range(5)]
    shown = await messages_in_slices(Slices(), rows, as_text=True)
    assert shown.whole
    assert [piece[:1] for piece in shown.json] == [b"[", b",", b",", b"]"]
    assert (await messages_in_slices(Slices(), [], as_text=True)).json == [b"[]"]


@pytest.mark.parametrize("body", BODIES[2:])
def test_no_piece_of_a_message_is_long(body: bytes) -> None:
    pieces, steps = ended(message_steps(Row({"a": 1}, PLAIN, body), as_text=True))
    assert steps >= len(body) // PORTION
    assert max(map(len, pieces)) <= 6 * PORTION


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, PORTION, 3 * PORTION - 1, 3 * PORTION, 3 * PORTION + 1])
@pytest.mark.parametrize("lines", [False, True])
def test_base64_is_decoded_in_portions(size: int, lines: bool) -> None:
    octets = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    text = (base64.encodebytes if lines else base64.b64encode)(octets).decode()
    found, steps = ended(base64_steps(text))
    assert found == octets
    assert steps == -(-len(text) // PORTION)


@pytest.mark.parametrize("start", ["", "AAAA" * PORTION])
@pytest.mark.parametrize(
    "end", ["A", "AA", "AA=", "AA==AAAA", "AA==" + " " * PORTION + "AAAA", "!AAA", "\u00e4AAA"]
)
def test_what_is_no_base64_is_refused(start: str, end: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        ended(base64_steps(start + end))


def test_padding_may_be_split() -> None:
    assert ended(base64_steps("eA=" + " " * 3 * PORTION + "=\n"))[0] == b"x"
