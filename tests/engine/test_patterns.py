"""Patterns match what Erlang's `re` matches, and are refused in its words (seen on RabbitMQ 4.3.6)."""

from __future__ import annotations

import pytest

from leveret.engine.patterns import PatternError, compile_pattern


def matches(pattern: str, name: str) -> bool:
    return compile_pattern(pattern).search(name.encode()) is not None


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("", ["", "a"], []),
        ("^$", [""], ["a"]),
        (".*", ["", "x"], []),
        (r"^(?!amq\.).*", ["", "q"], ["amq.x"]),
        ("a$", ["a", "a\n"], ["ab", "a\n\n"]),
        (r"\Aabc\z", ["abc"], ["abc\n", "xabc"]),
        (r"abc\Z", ["abc", "abc\n"], ["abcd"]),
        (r"\Gb", ["bc"], ["ab"]),
        (r"a\Kb", ["ab"], ["b"]),
        ("(?i)ABC", ["abc", "aBc"], ["ab"]),
        ("a(?i)b|c", ["aB", "C", "ab"], ["Ab", "A"]),
        ("(a(?i)b)c|d", ["abc", "aBc", "d"], ["aBC", "D"]),
        ("(?i)a(?-i)b", ["Ab", "ab"], ["aB"]),
        ("(?x) a b # both", ["ab"], ["a b"]),
        ("(?#comment)a", ["a"], ["b"]),
        ("[[:alpha:]]+$", ["ab"], ["1"]),
        ("[[:^alpha:]]", ["a1"], ["ab"]),
        ("^[]a]$", ["]", "a"], ["b"]),
        ("^[^]a]$", ["b"], ["]", "a"]),
        ("[a&&b]", ["&", "a", "b"], ["c"]),
        (r"^[\d.-]+$", ["1.2-3"], ["a"]),
        (r"\Qa.c\E$", ["a.c"], ["abc"]),
        (r"\Qa.c", ["a.c"], ["abc"]),
        (r"^(?<n>a)\k<n>$", ["aa"], ["a"]),
        (r"^(?'n'a)$", ["a"], ["b"]),
        (r"^(a)\g1$", ["aa"], ["a"]),
        (r"\h", ["a b", "a\tb"], ["ab"]),
        (r"[\h]", [" "], ["a"]),
        (r"\R", ["a\nb"], ["ab"]),
        (r"\x{41}", ["A"], ["a"]),
        (r"\o{101}", ["A"], ["a"]),
        (r"\cA", ["\x01"], ["A"]),
        (r"\e", ["\x1b"], ["e"]),
        ("(?>a+)b", ["aab"], ["aa"]),
        ("a++a", [], ["aa"]),
        # Bytes, not characters: no `unicode` option in RabbitMQ's calls.
        ("^.$", ["a"], ["é"]),
        ("^..$", ["é", "ab"], ["a"]),
        (r"^\w+$", ["abc_1"], ["é"]),
        ("é", ["café"], ["cafe"]),
    ],
)
def test_matches_as_pcre(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [name for name in yes if not matches(pattern, name)] == []
    assert [name for name in no if matches(pattern, name)] == []


@pytest.mark.parametrize(
    ("pattern", "reason", "position"),
    [
        ("[", "missing terminating ] for character class", 1),
        ("[a", "missing terminating ] for character class", 2),
        ("(", "missing closing parenthesis", 1),
        ("(?:", "missing closing parenthesis", 3),
        ("(?", "missing closing parenthesis", 2),
        (")", "unmatched closing parenthesis", 1),
        ("a)", "unmatched closing parenthesis", 2),
        ("*", "quantifier does not follow a repeatable item", 1),
        ("a**", "quantifier does not follow a repeatable item", 3),
        ("x{1,2}{3}", "quantifier does not follow a repeatable item", 9),
        ("a{3,1}", "numbers out of order in {} quantifier", 5),
        ("\\", "\\ at end of pattern", 1),
        ("\\y", "unrecognized character follows \\", 2),
        ("[z-a]", "range out of order in character class", 4),
        ("[[:foo:]]", "unknown POSIX class name", 8),
        ("(?P<", "subpattern name expected", 4),
        ("(?z)", "unrecognized character after (? or (?-", 3),
        ("\\1", "reference to non-existent subpattern", 2),
    ],
)
def test_refuses_as_pcre(pattern: str, reason: str, position: int) -> None:
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert (refused.value.pattern, refused.value.reason, refused.value.position) == (
        pattern,
        reason,
        position,
    )


@pytest.mark.parametrize("pattern", [r"\p{L}", "(?R)", "(?1)(a)", "(*FAIL)", r"\X"])
def test_refuses_what_it_could_only_match_wrongly(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)
