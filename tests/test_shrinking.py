"""The tables of dicts get smaller when their keys go."""

from __future__ import annotations

import sys

import pytest

from leveret.engine.by_user import ByUser
from leveret.routing.topic import Trie
from leveret.shrinking import MOST_BYTES, shrink

#: Keys, of which a table has at least 20 octets each.
MANY = 30_000

#: Still enough that a table is made smaller while some are left.
FEW = 6000

#: A table for a few keys.
SMALL = 64 * MOST_BYTES


def full() -> dict[int, int]:
    return {number: -number for number in range(MANY)}


@pytest.mark.parametrize("left", [0, 1, 63, 64, 200])
def test_what_is_left_is_kept_in_order(left: int) -> None:
    index = full()
    for number in range(MANY - left):
        del index[number]
        shrink(index)
    assert list(index.items()) == [(number, -number) for number in range(MANY - left, MANY)]
    assert sys.getsizeof(index) <= SMALL


def test_a_table_that_is_used_stays_as_it_is() -> None:
    index = full()
    size = sys.getsizeof(index)
    for number in range(MANY // 2):
        del index[number]
        shrink(index)
    assert sys.getsizeof(index) == size


def test_a_small_table_is_left_alone() -> None:
    index = {number: number for number in range(300)}
    size = sys.getsizeof(index)
    for number in range(300):
        del index[number]
        shrink(index)
    assert sys.getsizeof(index) == size


def test_words_of_topic_patterns_shrink() -> None:
    trie = Trie()
    patterns = [b"a.%d.b" % number for number in range(FEW)]
    for pattern in patterns:
        trie.add(pattern, "q")
    (below,) = trie.root.words.values()
    assert sys.getsizeof(below.words) > SMALL
    for pattern in patterns[:-1]:
        assert trie.remove(pattern, "q")
    assert sys.getsizeof(below.words) <= SMALL
    assert list(below.words) == [b"%d" % (FEW - 1)]


def test_values_of_users_shrink() -> None:
    values = ByUser[int]()
    for number in range(FEW):
        values[f"u{number}", "/"] = number
    for number in range(1, FEW):
        assert values.pop((f"u{number}", "/")) == number
    assert list(values.each(vhost="/")) == [(("u0", "/"), 0)]
    tables = [values._values, values._of_user, values._of_vhost["/"]]
    assert max(map(sys.getsizeof, tables)) <= SMALL
