"""phash2 and the jump hash, compared with the values of Erlang/OTP 28."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.routing.hashing import RANGE, jump, phash2
from leveret.wire.erlang import Atom

ANSWERS: list[tuple[Any, int]] = [
    ([], 3468870702),
    (0, 3175731469),
    (1, 539485162),
    (-1, 1117813597),
    (5, 676967202),
    (134217727, 4273352567),
    (134217728, 2562491755),
    (-134217728, 874979335),
    (-134217729, 1418916782),
    (1099511627776, 282329375),
    (9223372036854775808, 710941318),
    (18446744073709551615, 321870806),
    (-9223372036854775808, 1736826119),
    (Atom("longstr"), 56945346),
    (Atom("signedint"), 239851428),
    (True, 506293),
    (1.5, 2023646235),
    (0.0, 423528920),
    (-2.25, 2254282282),
    (b"", 147926629),
    (b"a", 1589197455),
    (b"hello world!", 965223795),
    (b"hello world!x", 1871732765),
    ([b"a"], 3543352798),
    ([b"a", b"b"], 3761191278),
    ((b"k", Atom("longstr"), b"v"), 3392527777),
    ([(b"k", Atom("longstr"), b"v")], 4035300420),
    ([(b"k", Atom("signedint"), 5)], 4171260051),
    ([(b"a", Atom("array"), []), (b"b", Atom("table"), [(b"x", Atom("long"), 1099511627776)])], 3637860078),
    ([(b"x", Atom("float"), 1.5), (b"y", Atom("bool"), True), (b"z", Atom("void"), None)], 1159137517),
    ([(b"a", Atom("array"), [(Atom("signedint"), 1), (Atom("longstr"), b"q")])], 1413727806),
    ([(b"d", Atom("decimal"), (2, 314))], 1625245386),
    ([b""], 440873397),
    ([(b"x", Atom("signedint"), -5)], 461289966),
    ((), 221703996),
    ([0, 1, 2, 3, 4, 5], 3291593010),
]

#: (key, buckets) -> bucket
JUMPS = {
    (0, 2): 0,
    (0, 3): 0,
    (0, 10): 4,
    (0, 1000): 807,
    (1, 2): 0,
    (1, 3): 2,
    (1, 10): 3,
    (1, 1000): 856,
    (12345, 2): 0,
    (12345, 3): 0,
    (12345, 10): 0,
    (12345, 1000): 485,
    (99999999, 2): 1,
    (99999999, 3): 2,
    (99999999, 10): 9,
    (99999999, 1000): 603,
    (134217727, 2): 0,
    (134217727, 3): 2,
    (134217727, 10): 6,
    (134217727, 1000): 220,
}


@pytest.mark.parametrize(("term", "answer"), ANSWERS)
def test_phash2_gives_the_values_of_erlang(term: Any, answer: int) -> None:
    assert phash2(term, 1 << 32) == answer
    assert phash2(term) == answer % RANGE


@pytest.mark.parametrize(("key", "buckets"), JUMPS)
def test_the_jump_hash_gives_the_values_of_erlang(key: int, buckets: int) -> None:
    assert jump(key, buckets) == JUMPS[key, buckets]


def test_a_key_that_is_not_an_integer_is_hashed_first() -> None:
    assert jump(b"key", 1000) == jump(phash2(b"key"), 1000)
    assert jump([b"key", b"cc"], 1000) == jump(b"key", 1000)
    assert jump(None, 1000) == jump(phash2(Atom("undefined")), 1000)


@given(st.binary(), st.integers(1, 200))
def test_one_more_bucket_moves_keys_only_to_it(key: bytes, buckets: int) -> None:
    """All other keys stay in their bucket."""
    here = jump(key, buckets)
    assert 0 <= here < buckets
    assert jump(key, buckets + 1) in (here, buckets)
