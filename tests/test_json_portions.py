"""Large JSON values are encoded and freed in portions."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from leveret.json_portions import (
    COMPACT_BYTES,
    MOST_SHOWN,
    TOGETHER,
    abridged,
    compact,
    dismantled,
    encoded,
    plain,
    text_of,
)
from tests.json_values import some_value
from tests.steps import ended

MANY = 10 * TOGETHER


class Watched(dict[str, object]):
    """An object that tells when it is freed."""


def portions(steps: Iterator[None]) -> int:
    return sum(1 for _ in steps)


PLAIN = [None, True, -12.5e7, 1 << 40, "", 'a"\\]}\n', "\u00e9\U0001f407" * 40_000]


@pytest.mark.parametrize("seed", range(30))
def test_a_value_in_portions_is_encoded_as_at_once(seed: int) -> None:
    value = some_value(Random(seed), PLAIN, [700, 700, 7, 7])
    text, _ = ended(encoded(value))
    assert isinstance(text, bytearray)
    assert bytes(text) == msgspec.json.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        list(range(MANY)),
        [{"a": [number]} for number in range(MANY)],
        {f"k{number}": [1] for number in range(MANY)},
        {f"k{number}": number for number in range(MANY)},
        "x" * 1_000_000,
        [["x" * 1_000_000]],
    ],
)
def test_a_large_value_takes_many_portions(value: object) -> None:
    assert ended(encoded(value))[1] >= 9


def test_only_a_large_value_is_kept_as_text() -> None:
    assert ended(compact([1, 2]))[0] == [1, 2]
    large = ["x" * 1000] * (COMPACT_BYTES // 1000 + 1)
    kept, _ = ended(compact(large))
    assert isinstance(kept, msgspec.Raw)
    assert json.loads(text_of({"value": kept})) == {"value": large}
    assert json.loads(json.dumps({"value": kept}, default=plain)) == {"value": large}


@pytest.mark.parametrize("value", [["\udc80"], {"\udc80": "x" * COMPACT_BYTES}])
def test_a_value_that_is_not_utf_8_is_kept_as_it_is(value: object) -> None:
    assert ended(compact(value))[0] is value


def test_names_that_are_not_utf_8_are_encoded() -> None:
    assert json.loads(text_of({"user": "\udc80"})) == {"user": "\udc80"}


def test_what_is_no_json_is_not_taken_for_a_kept_value() -> None:
    with pytest.raises(TypeError):
        json.dumps(object(), default=plain)


@pytest.mark.parametrize("nested", [False, True])
def test_a_long_list_is_freed_in_portions(nested: bool) -> None:
    first, last = Watched(), Watched()
    ends = weakref.ref(first), weakref.ref(last)
    items: list[object] = [first, *([[None]] * MANY if nested else range(MANY)), last]
    held: list[object] = [{"value": {"inside": items}}]
    del items, first, last
    steps = dismantled(held)
    seen = [tuple(end() is None for end in ends) for _ in steps]
    assert len(seen) >= 10
    assert (False, True) in seen  # not both at once
    assert [end() for end in ends] == [None, None]


def test_many_fields_are_freed_in_portions() -> None:
    held: list[object] = [{f"k{number}": [number] for number in range(MANY)}]
    assert portions(dismantled(held)) >= 10


def test_what_somebody_refers_to_stays() -> None:
    inner = {"a": [1, 2, [3]]}
    kept = [inner]
    held: list[object] = [{"inner": inner, "kept": kept, "other": [1]}, "text", 5]
    assert portions(dismantled(held)) == 0
    assert not held
    assert kept == [{"a": [1, 2, [3]]}]


def test_a_refused_value_is_shown_from_its_beginning() -> None:
    short = ["wrong", {"a": [1, 2], "b": "x"}]
    assert abridged(short) == short
    assert abridged("x" * 100_000) == "x" * 100_000
    shown = abridged(["wrong", [[]] * 100_000])
    assert isinstance(shown, list)
    assert shown[1][-1] == "..."
    assert len(shown[1]) <= MOST_SHOWN + 1
    shown = abridged({f"k{number}": 1 for number in range(100_000)})
    assert isinstance(shown, dict)
    assert len(shown) <= MOST_SHOWN + 1
