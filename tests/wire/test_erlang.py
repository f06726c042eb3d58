"""Erlang terms are printed as by RabbitMQ; the expected texts were printed by Erlang/OTP with `+pc unicode`."""

import pytest

from leveret.wire import erlang


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (0.1, "0.1"),
        (100.0, "100.0"),
        (1000.0, "1.0e3"),
        (5000.0, "5.0e3"),
        (123456.0, "123456.0"),
        (100000.0, "1.0e5"),
        (0.001, "0.001"),
        (0.0001, "0.0001"),
        (0.00001, "1.0e-5"),
        (1e22, "1.0e22"),
        (1e300, "1.0e300"),
        (-5e-324, "-5.0e-324"),
        (2.0**53, "9.007199254740992e15"),
        (2.0**53 - 1, "9007199254740991.0"),
        (0.10000000149011612, "0.10000000149011612"),
    ],
)
def test_floats_are_printed_as_erlang_does(value: float, text: str) -> None:
    assert erlang.pretty(value) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "<<>>"),
        (b"abc", '<<"abc">>'),
        ("é€".encode(), '<<"é€"/utf8>>'),
        (b"\xff", '<<"ÿ">>'),
        (b'a\n"q\\\x1b', '<<"a\\n\\"q\\\\\\e">>'),
        (b"a\0", "<<97,0>>"),
        (b"\x80", "<<128>>"),
        ("\ufffe".encode(), "<<239,191,190>>"),
        (b"it's", '<<"it\'s">>'),
    ],
)
def test_binaries_are_printed_as_erlang_does(raw: bytes, text: str) -> None:
    assert erlang.pretty(raw) == text


def test_terms_are_printed_as_erlang_does() -> None:
    assert erlang.pretty((erlang.Atom("error"), [None, True, False, 1, b"x"])) == (
        '{error,[undefined,true,false,1,<<"x">>]}'
    )
    assert erlang.pretty([]) == "[]"
    assert erlang.octets(b"\0\xff") == "<<0,255>>"
    assert erlang.octets(b"") == "<<>>"


def test_text_prints_binaries_without_quotes() -> None:
    assert erlang.text("é".encode()) == "é"
    assert erlang.text(b"\xff") == "ÿ"
    assert erlang.text(5) == "5"


def test_binaries_of_latin_1_are_characters_whatever_they_were_meant_to_be() -> None:
    raw = "jürgen".encode()
    assert erlang.pretty(erlang.Latin1(raw)) == '<<"jÃ¼rgen">>'
    assert erlang.pretty(raw) == '<<"jürgen"/utf8>>'
    assert erlang.pretty(erlang.Latin1("größe".encode())) == "<<103,114,195,182,195,159,101>>"


def test_atoms_of_latin_1_letters_need_no_quotes() -> None:
    assert erlang.pretty(erlang.Atom("größe")) == "größe"
    assert erlang.pretty(erlang.Atom("it's")) == r"'it\'s'"


def test_octets_fill_lines() -> None:
    text = erlang.wrapped([[(erlang.Atom("definition"), erlang.Latin1(b"\x00" * 60))]])
    first, second = text.split("\n")
    assert len(first) <= erlang.LINE_COLUMNS
    assert first.startswith("[[{definition,<<0,0,") and first.endswith("0,")
    assert second == " " * 16 + "0," * 29 + "0>>}]]"
