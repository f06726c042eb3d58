"""The tables that a queue argument or a policy key has to be in agree with one another."""

from __future__ import annotations

import pytest

from leveret.engine import merge_policy
from leveret.engine.arguments import ALL, QUEUE_ARGUMENTS
from leveret.engine.equivalence import COMPARED
from leveret.engine.policy_values import KEYS
from leveret.profiles import profile
from leveret.queues.options import QueueOptions

OPTIONS = set(QueueOptions.__struct_fields__)

#: Policy keys of arguments whose option has a rule of its own in `merge`.
MERGED_SPECIALLY = {"overflow", "max-age", "delayed-retry-type"}

#: The size of RabbitMQ's Bloom filters, which a broker of one node does not need.
WITHOUT_EFFECT = {"stream-filter-size-bytes"}


def test_every_argument_fills_a_field_of_the_options() -> None:
    assert {row.option for row in QUEUE_ARGUMENTS.values()} - {""} <= OPTIONS


@pytest.mark.parametrize("kind", ALL)
def test_equivalence_compares_every_argument_of_a_queue_type(kind: str) -> None:
    newest = profile("4.3")
    known = {row.name for row in QUEUE_ARGUMENTS.values() if kind in row.kinds_in(newest)}
    assert {"x-queue-type", *known} == set(COMPARED[kind])


def test_every_policy_key_of_an_argument_is_merged_with_it() -> None:
    merged = {**merge_policy.SMALLER, **merge_policy.ARGUMENT_FIRST}
    assert merged.keys() <= KEYS.keys()
    for key in KEYS.keys() - MERGED_SPECIALLY - WITHOUT_EFFECT:
        row = QUEUE_ARGUMENTS.get(f"x-{key}")
        if row is not None and row.option:
            assert merged[key] == row.option
