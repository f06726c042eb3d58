"""Answers as Erlang terms: the octets of term_to_binary/1, and which content type a client prefers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conformance.api import bert as decoder
from leveret.management import negotiation
from leveret.management.bert import document, encode, shown
from leveret.management.bert_decoding import TermDecodeError, decode
from leveret.management.bert_kinds import Kind
from leveret.management.call import BERT, Pieces, Reply
from leveret.management.negotiation import chosen
from leveret.management.pagination import PIECE_BYTES, rows_in_slices
from leveret.management.slices import Slices

JSON = "application/json"


@pytest.mark.parametrize(
    ("value", "kind", "octets"),
    [
        (0, Kind.PAIRS, b"a\x00"),
        (255, Kind.PAIRS, b"a\xff"),
        (256, Kind.PAIRS, b"b\x00\x00\x01\x00"),
        (-1, Kind.PAIRS, b"b\xff\xff\xff\xff"),
        (2**31, Kind.PAIRS, b"n\x04\x00\x00\x00\x00\x80"),
        (-(2**64), Kind.PAIRS, b"n\x09\x01" + bytes(8) + b"\x01"),
        (1 << 2040, Kind.PAIRS, b"o\x00\x00\x01\x00\x00" + bytes(255) + b"\x01"),
        (1.5, Kind.PAIRS, b"F?\xf8\x00\x00\x00\x00\x00\x00"),
        (True, Kind.PAIRS, b"w\x04true"),
        ("\u00fc", Kind.PAIRS, b"m\x00\x00\x00\x02\xc3\xbc"),
        ("\u00fc", Kind.ATOM, b"w\x02\xc3\xbc"),
        ("a" * 256, Kind.ATOM, b"v\x01\x00" + b"a" * 256),
        (None, Kind.PAIRS, b"w\x00"),
        (None, Kind.TABLE, b"w\x09undefined"),
        (None, Kind.JSON, b"w\x04null"),
        ([], Kind.PAIRS, b"j"),
        ([1, 255], Kind.PAIRS, b"k\x00\x02\x01\xff"),
        ([1, 256], Kind.PAIRS, b"l\x00\x00\x00\x02a\x01b\x00\x00\x01\x00j"),
        ([True], Kind.PAIRS, b"l\x00\x00\x00\x01w\x04truej"),
        (["a"], Kind.ATOM, b"l\x00\x00\x00\x01w\x01aj"),
        ({}, Kind.PAIRS, b"t\x00\x00\x00\x00"),
        ({"a": 1}, Kind.PAIRS, b"l\x00\x00\x00\x01h\x02w\x01aa\x01j"),
        ({"a": "b"}, Kind.MAP, b"t\x00\x00\x00\x01w\x01am\x00\x00\x00\x01b"),
        ({"a": {"b": 1}}, Kind.TABLE, b"t\x00\x00\x00\x01m\x00\x00\x00\x01at\x00\x00\x00\x01m\x00\x00\x00\x01ba\x01"),
        ({"a": 1}, Kind.DOCUMENT, b"l\x00\x00\x00\x01h\x02m\x00\x00\x00\x01aa\x01j"),
        ({"4": 1}, Kind.NUMBERED, b"t\x00\x00\x00\x01a\x04a\x01"),
    ],
)  # fmt: skip
def test_a_value_has_the_octets_of_term_to_binary(value: object, kind: Kind, octets: bytes) -> None:
    assert encode(value, {"": kind}) == b"\x83" + octets


def test_fields_have_their_kinds() -> None:
    kinds = {"node": Kind.ATOM, "arguments": Kind.TABLE}
    found = decoder.decode(encode([{"node": "n", "arguments": {"node": "n"}}], kinds))
    assert found == [{"node": "'n'", "arguments": {"node": "n", "#": "map binary"}}]


def test_values_can_be_nested_deeply() -> None:
    value: object = 1000
    for _ in range(5000):
        value = [value]
    assert encode(value, {}).endswith(b"j" * 5000)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        (BERT, BERT),
        ("Application/BERT", BERT),
        (f"{BERT};q=0", BERT),
        (f"{JSON};q=0.5, {BERT}", BERT),
        (f"{BERT};q=0.5, {JSON}", JSON),
        (f"{BERT}, */*", BERT),
        (f"*/*, {BERT}", BERT),
        (f"{BERT};q=0.5, */*", JSON),
        (f"{BERT};v=1, {JSON}", JSON),
        (f"text/html, {BERT}", BERT),
        (f"{JSON}, {BERT}", BERT),
        (f"{BERT}, {JSON}", JSON),
        ("text/html", None),
        (f"{BERT};v=1", None),
    ],
)
def test_the_preferred_content_type_is_chosen(accept: str, expected: str | None) -> None:
    assert chosen(accept, (JSON, BERT)) == expected


def test_a_range_that_is_repeated_is_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[object, ...]] = []
    suited = negotiation._suited

    def counted(*groups: Any, parameters: bool) -> Any:
        compared.append(groups[:2])
        return suited(*groups, parameters=parameters)

    monkeypatch.setattr(negotiation, "_suited", counted)
    assert chosen("*/*," * 2000 + BERT, (JSON, BERT)) == BERT
    assert compared == [("*", "*"), ("application", "bert")]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, Kind.BINARIES), (-1, Kind.BINARIES), (2**31, Kind.BINARIES), (-(2**64), Kind.BINARIES),
        (1 << 2040, Kind.BINARIES), (1.5, Kind.BINARIES), (True, Kind.BINARIES), ("\u00fc", Kind.ATOM),
        ("a" * 256, Kind.ATOM), (None, Kind.JSON), ([], Kind.BINARIES), ([1, 255], Kind.BINARIES),
        ([["a"], [1, 256, True]], Kind.BINARIES), ({"a": {"b": [{}]}}, Kind.BINARIES), ({"a": 1}, Kind.PAIRS),
    ],
)  # fmt: skip
def test_terms_are_read_as_the_json_that_they_were_made_of(value: object, kind: Kind) -> None:
    assert decode(encode(value, {"": kind})) == value


def body_of(answer: Reply | Pieces) -> bytes:
    return b"".join(answer.json) if isinstance(answer, Pieces) else answer.body


@pytest.mark.parametrize("count", [0, 1, 3000])
async def test_a_long_list_is_the_same_in_pieces(count: int) -> None:
    rows = [{"name": f"q{number}", "arguments": {"x": [[1], []]}} for number in range(count)]
    pieces = await rows_in_slices(Slices(), rows)
    assert pieces.whole
    assert len(pieces.json) > 2 or count < 3000
    found = shown(pieces, ["queues"], older=False)
    assert body_of(found) == body_of(shown(Reply(200, msgspec.json.encode(rows)), ["queues"], older=False))
    assert isinstance(found, Pieces)
    assert max(map(len, found.json), default=0) <= PIECE_BYTES


def test_a_document_is_the_same_in_pieces() -> None:
    rows = {"queues": [{"name": f"q{number}"} for number in range(3000)], "users": []}
    text = msgspec.json.encode(rows)
    pieces = Pieces([text[:1000], text[1000:]])
    assert body_of(shown(pieces, ["definitions"], older=False)) == body_of(
        shown(Reply(200, text), ["definitions"], older=False)
    )


def test_definitions_are_a_compressed_map() -> None:
    sections = {"vhosts": [{"name": "gr\u00f6\u00dfe", "metadata": {"tags": []}}], "rabbit_version": "4.3.6"}
    octets = document(sections)
    assert octets[:2] == b"\x83P"
    assert decode(octets) == sections


@pytest.mark.parametrize(
    "octets",
    [
        b"", b"{}", b"\x83", b"\x83Q", b"\x83m\x00\x00\x00\x05abc", b"\x83l\x00\x00\x00\x01a\x01",
        b"\x83l\x00\x00\x00\x01a\x01a\x02", b"\x83P\x00\x00\x00\x05nonsense", b"\x83" + b"h\x01" * 1000 + b"j",
        b"\x83o\xff\xff\xff\xff\x00\x01", b"\x83t\x00\x00\x00\x01j", b"\x83i\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_octets_that_are_no_term_are_refused(octets: bytes) -> None:
    with pytest.raises(TermDecodeError):
        decode(octets)
