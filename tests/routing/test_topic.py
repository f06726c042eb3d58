"""Topic patterns, compared with RabbitMQ's own tables and with a simple model."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.routing.topic import Trie, split, wildcards

#: Patterns as in the suite of the topic exchange in rabbitmq-server: every kind of word in every place.
PATTERNS = [
    "a.b.c",
    "a.*.c",
    "a.#.b",
    "a.b.b.c",
    "#",
    "#.#",
    "*.*.*",
    "*.#",
    "*.#.*",
    "#.b.#",
    "#.*.b",
    "#.b.c",
    "a.#.#.c",
    "*.*.a",
    "#.a",
    "a.#",
    "#.*.#",
    "*.b",
    "*.",
    ".*",
    ".#",
    "#.",
    "*",
    "a*.b.c",
    "*b",
    "a",
]

#: key -> patterns, as RabbitMQ 4.3.6 routes it.
OBSERVED = {
    "": ["", "#", "#.#"],
    "a": ["*", "#", "a.#", "#.#"],
    "a.b": ["a.*", "a.#", "#", "#.b", "a.#.b", "*.*", "#.#"],
    "a..b": ["a.#", "#", "#.b", "a.#.b", "a..b", "a.*.b", "#.#"],
    "a.": ["a.*", "a.#", "#", "*.*", "*.", "#.#"],
    ".": ["#", "*.*", ".", "*.", "#.#"],
}
AMONG = ["", "*", "#", "a.*", "a.#", "#.b", "a.#.b", "*.*", "a..b", "a.*.b", ".", "*.", "#.#", "##", "a*"]

#: More steps than any search here needs.
LARGE = 1 << 40

words = st.sampled_from(["a", "b", "", "*", "#", "##", "a*"])
patterns = st.lists(words, max_size=5).map(".".join)
keys = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=6).map(".".join)


def trie_of(*bound: str) -> Trie:
    trie = Trie()
    for pattern in bound:
        trie.add(pattern.encode(), pattern)
    return trie


def matched(trie: Trie, key: str) -> set[str]:
    found: list[str] = []
    trie.match([key.encode()], found)
    return set(found)


def fits(pattern: str, key: str) -> bool:
    """The model: try every number of words for every `#`."""

    @cache
    def below(have: tuple[bytes, ...], want: tuple[bytes, ...]) -> bool:
        if not want:
            return not have
        if want[0] == b"#":
            return any(below(have[skip:], want[1:]) for skip in range(len(have) + 1))
        return bool(have) and want[0] in (b"*", have[0]) and below(have[1:], want[1:])

    return below(tuple(split(key.encode())), tuple(split(pattern.encode())))


@pytest.mark.parametrize("key", OBSERVED)
def test_patterns_match_as_observed_on_rabbitmq(key: str) -> None:
    assert matched(trie_of(*AMONG), key) == set(OBSERVED[key])


@pytest.mark.parametrize(
    "key", ["a.b.c", "a.b", "a.b.b", "", "b.c.c", "a.a.a.a.a", "vodka.gin", "vodka.gin.martini", "*.#", "#"]
)
def test_patterns_of_the_table_match_as_in_the_model(key: str) -> None:
    assert matched(trie_of(*PATTERNS), key) == {pattern for pattern in PATTERNS if fits(pattern, key)}


def test_patterns_of_the_table_match_as_listed_by_hand() -> None:
    trie = trie_of(*PATTERNS)
    assert matched(trie, "a.b.c") == {
        "a.b.c", "a.*.c", "#", "#.#", "*.*.*", "*.#", "*.#.*", "#.b.#", "#.b.c", "a.#.#.c", "a.#", "#.*.#"
    }  # fmt: skip
    assert matched(trie, "") == {"#", "#.#"}
    assert matched(trie, "a.b.b") == {
        "a.#.b", "#", "#.#", "*.*.*", "*.#", "*.#.*", "#.b.#", "#.*.b", "a.#", "#.*.#"
    }  # fmt: skip


@given(st.lists(patterns, max_size=12), keys)
def test_random_patterns_match_as_in_the_model(bound: list[str], key: str) -> None:
    assert matched(trie_of(*bound), key) == {pattern for pattern in bound if fits(pattern, key)}


@given(
    st.lists(st.tuples(st.booleans(), patterns, st.integers(0, 2)), max_size=40), st.lists(keys, max_size=4)
)
def test_added_and_removed_patterns_match_as_in_the_model(
    steps: list[tuple[bool, str, int]], asked: list[str]
) -> None:
    trie = Trie()
    counts: dict[tuple[str, int], int] = {}
    for adds, pattern, destination in steps:
        there = counts.get((pattern, destination), 0)
        if adds:
            trie.add(pattern.encode(), destination)
            counts[pattern, destination] = there + 1
        else:
            assert trie.remove(pattern.encode(), destination) == (there > 0)
            counts[pattern, destination] = max(there - 1, 0)
    for key in asked:
        found: list[int] = []
        trie.match([key.encode()], found)
        assert set(found) == {to for (pattern, to), count in counts.items() if count and fits(pattern, key)}
    for (pattern, destination), count in counts.items():
        for _ in range(count):
            assert trie.remove(pattern.encode(), destination)
    root = trie.root
    assert (root.words, root.star, root.hash, root.destinations) == ({}, None, None, {})


def test_a_pattern_matches_until_its_last_binding_is_removed() -> None:
    trie = trie_of("a.*", "a.*")
    assert trie.remove(b"a.*", "a.*")
    assert matched(trie, "a.b") == {"a.*"}
    assert trie.remove(b"a.*", "a.*")
    assert not trie.remove(b"a.*", "a.*")
    assert matched(trie, "a.b") == set()


def test_many_wildcards_do_not_take_exponential_time() -> None:
    """They would if every `#` tried every number of words."""
    trie = trie_of(".".join(["#", "a"] * 30))
    assert matched(trie, ".".join("a" * 100)) == {".".join(["#", "a"] * 30)}
    assert matched(trie, ".".join("a" * 99 + "b")) == set()


def test_wildcards_of_a_pattern_are_counted() -> None:
    assert [wildcards(key) for key in (b"", b"#", b"#.a.#", b"##.#a", b"#.#.#")] == [0, 1, 2, 0, 3]


def steps_of(trie: Trie, key: str) -> int:
    """How many branches the search for a key follows."""
    trie.match([key.encode()], [], LARGE)
    return LARGE - trie.left


def test_a_search_visits_each_node_once() -> None:
    """2 ** 8 patterns that all match the end of a key of 120 words, and branch at every word."""
    trie = trie_of(*(f"#.{'.'.join(words)}" for words in product("*a", repeat=8)))
    nodes = 2 + 2**9 - 2
    assert steps_of(trie, ".".join("a" * 120)) <= nodes
    assert matched(trie, ".".join("a" * 119 + "b")) == {
        f"#.{'.'.join(words)}" for words in product("*a", repeat=8) if words[-1] == "*"
    }


@given(st.lists(patterns, max_size=12), st.lists(keys, min_size=1, max_size=3), st.integers(1, 5))
def test_an_interrupted_search_finds_the_same(bound: list[str], asked: list[str], steps: int) -> None:
    trie = trie_of(*bound)
    found: list[str] = []
    search = trie.match([key.encode() for key in asked], found, steps)
    while search is not None and search.advance(steps) == 0:
        pass
    wanted = [pattern for pattern in set(bound) if any(fits(pattern, key) for key in asked)]
    assert sorted(found) == sorted(wanted), "each once, for all keys"
