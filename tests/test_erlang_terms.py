"""Erlang terms in configuration files are parsed, and anything else is refused with its line."""

import pytest

from leveret.erlang_terms import Atom, TermError, parse


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("[].", []),
        ("a", Atom("a")),
        ("'A b'", Atom("A b")),
        ('"a" "b".', "ab"),
        (r'"a\"\n"', 'a"\n'),
        ("{a, -1, +2, 1.5e3, 16#ff, $a, 1_000}", (Atom("a"), -1, 2, 1500.0, 255, 97, 1000)),
        ('<<"x">>', "x"),
        ("<<>>", ""),
        ("<<97,98>>", "ab"),
        ('#{a => [1], <<"b">> => c}', {Atom("a"): [1], "b": Atom("c")}),
        ("% first\n[ % second\n1].\n% last", [1]),
    ],
)
def test_terms_are_parsed(text: str, term: object) -> None:
    assert parse(text) == term


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("[1", 1),
        ("[1,\n2\n}", 3),
        ("[1,]", 1),
        ("{a", 1),
        ("a b", 1),
        ("[].\n[].", 2),
        ("fun() -> ok end", 1),
        ('"open', 1),
        ("#{a, b}", 1),
        ("<<a>>", 1),
        ("X", 1),
        ("\n\n~", 3),
    ],
)
def test_what_is_no_term_is_refused(text: str, line: int) -> None:
    with pytest.raises(TermError) as refused:
        parse(text)
    assert refused.value.line == line
