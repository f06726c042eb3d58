"""Long JSON documents are encoded and decoded in slices, with the same outcome as at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from leveret.management.json import NotJsonError
from leveret.management.json_pieces import (
    AT_ONCE_BYTES,
    STRING_WINDOW,
    WINDOW,
    decode_steps,
    decoded,
    encoded,
)
from leveret.management.pagination import Columns
from leveret.management.slices import Slices
from tests.json_values import some_value
from tests.steps import ended

PLAIN = [None, True, False, -12.5e7, 0, 1 << 40, "", 'a"\\]}\n', "x" * 3000, "\u00e9\U0001f407"]


@pytest.mark.parametrize("seed", range(20))
def test_values_in_steps_are_those_at_once(seed: int) -> None:
    value = some_value(Random(seed), PLAIN, [40] * 4)
    for layout in ({"separators": (",", ":")}, {"indent": 3}, {"ensure_ascii": False}):
        text = json.dumps(value, **layout)  # type: ignore[arg-type]
        assert ended(decode_steps(f" \n{text}\t", [])) == (value, ended(decode_steps(text, []))[1])


def test_a_long_document_takes_many_steps() -> None:
    document = {"queues": [{"name": f"q{number}", "arguments": {}} for number in range(1000)]}
    value, steps = ended(decode_steps(json.dumps(document), []))
    assert value == document
    assert steps >= 1000


def test_no_step_is_long_however_long_things_are_nested() -> None:
    text = json.dumps({"a": {"b": [[list(range(2000)) for _ in range(3)]]}})
    value, steps = ended(decode_steps(text, []))
    assert value == json.loads(text)
    assert steps > 3 * 2000, "each element of an array that is longer than the window"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "[1,]",
        "[1 2]",
        "[,1]",
        '{"a":1,}',
        '{"a" 1}',
        "{1:2}",
        '{"a":}',
        "nul",
        "NaN",
        "[-Infinity]",
        "01",
        "1.",
        "'a'",
        '"a',
        '["a\n"]',
        "[1]]",
        "{}{}",
        "[1}",
        '{"a":1]',
    ],
)
@pytest.mark.parametrize("filled", [False, True])
def test_what_is_no_json_is_refused(text: str, filled: bool) -> None:
    """Also behind something that is longer than what is decoded at once."""
    if filled and text[:1] in ("[", "{"):
        entry = f'"{"x" * WINDOW}"'
        text = f"[{entry},{text[1:]}" if text[0] == "[" else f'{{"long":{entry},{text[1:]}'
    with pytest.raises(NotJsonError):
        ended(decode_steps(text, []))


@pytest.mark.parametrize("character", ["a", '"', "\\", "\n", "\u00e9", "\U0001f407", "\u20ac"])
@pytest.mark.parametrize("begin", range(12))
@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_a_long_string_is_decoded_in_pieces(character: str, begin: int, ensure_ascii: bool) -> None:
    """`begin`: what is escaped is at any place when a piece ends."""
    document = {"x" * begin + character * 3 * STRING_WINDOW: "x" * begin + character * 3 * STRING_WINDOW}
    value, steps = ended(decode_steps(json.dumps(document, ensure_ascii=ensure_ascii), []))
    assert value == document
    assert steps >= 6


@pytest.mark.parametrize(
    "wrong", ["\\ud83d", "\\ude00", "\\ud83d\\u0041", "\\x", "\\u12", "\x00", "\n", "\\"]
)
@pytest.mark.parametrize("before", [0, STRING_WINDOW - 3, 2 * STRING_WINDOW])
def test_a_long_string_that_is_wrong_is_refused(wrong: str, before: int) -> None:
    with pytest.raises(NotJsonError):
        ended(decode_steps(f'"{"x" * before}{wrong}{"x" * STRING_WINDOW}"', []))


def test_numbers_of_very_many_digits_are_refused() -> None:
    with pytest.raises(NotJsonError, match="too many digits"):
        ended(decode_steps(f"[0.{'1' * WINDOW}]", []))


def test_nesting_is_limited() -> None:
    long = f'"{"x" * WINDOW}"'
    assert ended(decode_steps("[" * 120 + long + "]" * 120, []))[1] == 121
    with pytest.raises(NotJsonError, match="deep"):
        ended(decode_steps("[" * 2000 + long + "]" * 2000, []))
    with pytest.raises(NotJsonError, match="deep"):
        ended(decode_steps("[" * 1_000_000, []))


def test_escaped_characters_are_decoded_in_steps() -> None:
    """Also where a character needs two: no body is decoded at once because of them."""
    document = [{"name": f"\U0001f407{number}", "long": "\u00e9\U0001f407" * 1000} for number in range(20)]
    value, steps = ended(decode_steps(json.dumps(document), []))
    assert value == document and steps >= 60
    with pytest.raises(NotJsonError):
        ended(decode_steps(json.dumps(["x" * WINDOW, "\ud83d"]), []))


@pytest.mark.parametrize("size", [1, AT_ONCE_BYTES])
@pytest.mark.parametrize("body", [b'{"a": 1}', b'["\\ud83d\\udc07"]', b'["\\ud83d"]', b"\xff", b"[}"])
async def test_bodies_of_any_length_are_decoded_alike(size: int, body: bytes) -> None:
    body += b" " * size
    found = await decoded(Slices(), body)
    try:
        assert found == msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        assert isinstance(found, ValueError)


@pytest.mark.parametrize("count", [0, 1, 5000])
async def test_documents_are_encoded_in_pieces(count: int) -> None:
    def entries() -> Iterator[dict[str, object] | None]:
        for number in range(count):
            yield None
            yield {"name": f"q{number}", "durable": True}

    pieces = await encoded(Slices(), {"version": "4", "queues": entries(), "users": []}, Columns({}))
    assert msgspec.json.decode(b"".join(pieces)) == {
        "version": "4",
        "queues": [{"name": f"q{number}", "durable": True} for number in range(count)],
        "users": [],
    }
    assert (len(pieces) > 1) == (count > 100)


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ("users.name", {"users": [{"name": "guest"}]}),
        ("queues.name,v", {"v": 1, "queues": [{"name": "q"}]}),
        ("queues.nothing", {"queues": [[]]}),
        ("nothing", []),
    ],
)
async def test_columns_of_documents(columns: str, shown: object) -> None:
    """As of a document that is encoded at once."""
    document = {"v": 1, "users": [{"name": "guest", "tags": []}], "queues": [{"name": "q", "durable": True}]}
    chosen = Columns({"columns": columns})
    pieces = await encoded(Slices(), {**document, "queues": iter([{"name": "q", "durable": True}])}, chosen)
    assert msgspec.json.decode(b"".join(pieces)) == shown == chosen.pick(document)
