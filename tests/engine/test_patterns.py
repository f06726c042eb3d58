"""Patterns match as in Erlang's `re`, and are refused with its texts (seen on RabbitMQ 4.3.6)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pcre2
import pytest

from leveret.engine.literal_patterns import literal_pattern
from leveret.engine.patterns import Budget, Pattern, PatternError, compile_pattern
from leveret.engine.pcre2_code import CHEAP_STEPS, MAX_STEPS, Code, MatchLimitError


def matches(pattern: str, name: str) -> bool:
    return compile_pattern(pattern).search(name.encode())


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
def test_patterns_match_as_in_pcre(pattern: str, yes: list[str], no: list[str]) -> None:
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
def test_invalid_patterns_are_refused_as_in_pcre(pattern: str, reason: str, position: int) -> None:
    with pytest.raises(PatternError) as refused:
        compile_pattern(pattern)
    assert (refused.value.pattern, refused.value.reason, refused.value.position) == (
        pattern,
        reason,
        position,
    )


ERLANG = json.loads(Path(__file__).with_name("erlang_patterns.json").read_text())

#: RabbitMQ finds these with more steps than Leveret takes.
COSTLY = ("(.*a){20}", "(a?){30}a{30}")

#: The package pcre2 is built without it.
LACKING = (r"\C",)


@pytest.mark.parametrize(
    "row",
    [row for row in ERLANG["patterns"] if row["pattern"] not in LACKING],
    ids=lambda row: row["pattern"],
)
def test_patterns_give_the_results_recorded_from_erlang(row: dict[str, Any]) -> None:
    try:
        pattern = Pattern(row["pattern"])
    except PatternError as error:
        assert [error.reason, error.position] == row["error"]
        if "before" in row and row["pattern"] not in ("(?(1)a|b)", r"\N{U+41}", r"(?n)(a)\1"):
            assert [*error.before] == row["before"]
        return
    for name, answer in zip(ERLANG["names"], row["matches"], strict=True):
        if row["pattern"] in COSTLY and answer == "1" and len(name) >= 20:
            assert not pattern.search(name.encode())
            assert pattern.stopped
        else:
            assert pattern.search(name.encode()) is (answer == "1"), name


def test_a_disabled_feature_of_pcre_is_refused() -> None:
    with pytest.raises(PatternError, match=r"using \\C is disabled"):
        Pattern(r"\C")


PLAIN = [
    "", ".*", "^.*", "^", "$", "^$", "^.*$", "^a", "a$", "a", r"^amq\.", r"\.dlq$", "^(a|b)", "^(?:a|ab)$",
    "(a|b)", "a|^b|c$", "^(?!a)", r"^(?!amq\.).*", "^(?!a|b).*$", "^(?!a).*", r"a\|b|c",
    "(|a)$", "^a.*$", "^.*a", ".*a.*", "|a",
]  # fmt: skip
NAMES = [
    "",
    "a",
    "b",
    "ab",
    "ba",
    "c",
    "A",
    "a|b",
    "amq.x",
    "x.dlq",
    "dlq",
    "é",
    "a\n",
    "a\nb",
    "\n",
    "\na",
    "b\na",
]


@pytest.mark.parametrize("caseless", [False, True])
@pytest.mark.parametrize("text", PLAIN)
def test_plain_patterns_give_the_results_of_the_engine(text: str, caseless: bool) -> None:
    pattern, code = Pattern(text, caseless), Code(text.encode(), caseless)
    assert literal_pattern(text.encode()) is not None
    assert [pattern.search(name.encode()) for name in NAMES] == [
        code.search(name.encode(), MAX_STEPS) for name in NAMES
    ]


def test_plain_patterns_do_not_load_the_engine() -> None:
    script = (
        "import sys; from leveret.engine.patterns import compile_pattern as c; "
        "c('.*').search(b'q'); c('^amq\\\\.').search(b'q'); sys.exit('pcre2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


EVIL = [
    ("(a+)+$", "a" * 40 + "!"),
    ("^(a+)+$", "a" * 254 + "!"),
    ("(a|aa)+$", "a" * 254 + "!"),
    ("(a|a?)+$", "a" * 254 + "!"),
    (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 254),
    (r"(?=(a+))(?:a|\1)+b", "a" * 254),
    (r"^((a|\2b)+)+$", "a" * 254 + "!"),
    ("(?:(?:a*)+(?:a*)+)+!", "a" * 254 + "b!c"[:1]),
    ("(?1)!|((?:a|a)+)", "b" + "a" * 250),
    ("(*NO_START_OPT)(?:a|a)*!", "a" * 254),
    ("(?x) (a+)+ $ # comment", "a" * 254 + "!"),
    ("(*LIMIT_MATCH=4000000000)(a+)+$", "a" * 254 + "!"),
    ("()" * 2000 + "(?:a|a)+$", "a" * 254 + "!"),
]


@pytest.mark.parametrize(("text", "name"), EVIL, ids=[text[:30] for text, _ in EVIL])
def test_a_match_ends_at_the_limit_and_the_pattern_is_remembered(text: str, name: str) -> None:
    pattern = Pattern(text)
    tried: list[int] = []
    if pattern._code is not None:
        pattern._code = Counted(pattern._code, tried)
    pattern.search(name.encode())
    if pattern.stopped:
        assert pattern.exhausted
        assert tried == [CHEAP_STEPS, MAX_STEPS]
        assert not pattern.search(name.encode())
        assert tried == [CHEAP_STEPS, MAX_STEPS, CHEAP_STEPS]
        assert pattern.stopped == 2
    else:  # PCRE2 saw at once that there is no match
        assert tried[-1] in (CHEAP_STEPS, MAX_STEPS)


class Counted(Code):
    """A compiled pattern that records the limits of its searches."""

    def __init__(self, code: Code, tried: list[int]) -> None:
        self.code, self.tried = code, tried

    def search(self, name: bytes, steps: int) -> bool:
        self.tried.append(steps)
        return self.code.search(name, steps)


def test_an_exhausted_pattern_still_matches_what_is_cheap() -> None:
    pattern = Pattern("^(a+)+$")
    assert not pattern.search(b"a" * 40 + b"!")
    assert pattern.exhausted
    assert pattern.search(b"aaa")


def test_an_operation_has_a_budget() -> None:
    pattern, budget = Pattern(r"^(?:a|a)*[bc]$"), Budget(long_matches=2)
    names = [b"a" * 12 + b"!%d" % number for number in range(5)]
    assert not any(pattern.search(name, budget) for name in names)
    assert pattern.stopped == 3
    assert not pattern.exhausted
    assert pattern.search(b"ab", budget)


def test_a_large_pattern_uses_up_the_budget() -> None:
    pattern, budget = Pattern("a*b*" * 1000), Budget(scanned_bytes=500_000)
    assert [pattern.search(b"x" * 99, budget) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a*" * 4097, "regular expression is too large"),
        ("(?:(?:(?:a{1,100}){1,100}){1,100})", "regular expression is too large"),
        ("a{65536}", "number too big in {} quantifier"),
        ("(" * 251 + ")" * 251, "parentheses are too deeply nested"),
        ("[" * 5000, "missing terminating ] for character class"),
    ],
)
def test_a_pattern_that_is_too_large_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PatternError) as refused:
        Pattern(text)
    assert refused.value.reason == reason


def test_the_library_has_the_version_of_erlang() -> None:
    assert pcre2.__libpcre2_version__ == "10.47"


def test_a_pattern_cannot_raise_the_limits_of_a_match() -> None:
    costly = "(?:a?){17}a{17}$"
    for settings in ("", "(*LIMIT_MATCH=4000000000)", "(*UTF)(*LIMIT_HEAP=4000000)(*LIMIT_MATCH=9999999)"):
        pattern = Pattern(settings + costly)
        assert not pattern.search(b"a" * 17)
        assert pattern.exhausted


def test_one_step_in_a_long_text_counts_as_many() -> None:
    code = Code(b"a*b")
    with pytest.raises(MatchLimitError):
        code.search(b"a" * 100_000, MAX_STEPS)
    assert [*code._codes] == [MAX_STEPS >> 9]
