"""Which policies are accepted, and which policy applies."""

from __future__ import annotations

from typing import Any

import pytest

from leveret.engine import policies as module
from leveret.engine.patterns import OBJECT_LONG_MATCHES, Budget, compile_pattern
from leveret.engine.policies import Policies, Policy, PolicyError
from leveret.profiles import profile


def policy(**definition: Any) -> Policy:
    return Policy("/", "p", "^q", {key.replace("_", "-"): value for key, value in definition.items()})


def test_the_master_locator_is_deprecated() -> None:
    """Seen on 4.3.6."""
    with pytest.raises(PolicyError) as caught:
        Policies(profile("4.3")).set(policy(queue_master_locator="min-masters"))
    assert str(caught.value) == "use of deprecated queue-master-locator argument is not permitted\n"
    assert Policies(profile("4.3"), {"queue_master_locator": True}).set(policy(queue_master_locator="random"))
    assert Policies(profile("4.2")).set(policy(queue_master_locator="random"))


@pytest.mark.parametrize(
    ("definition", "text"),
    [
        ({"max_length": -1, "foo": 1}, "-1 is not a valid maximum length"),
        ({"max_length": -1, "expires": 0}, "0 is not a valid queue expiry"),
        ({"target_group_size": 0, "max_length": -1}, "-1 is not a valid maximum length"),
        ({"overflow": ""}, "<<>> is not a valid overflow value"),
        ({"dead_letter_exchange": {"a": [1, None]}}, '#{<<"a">> => [1,null]} is not a valid dead letter exchange name'),
        ({"foo": {}, "bar": "x"}, '[{<<"bar">>,<<"x">>},{<<"foo">>,#{}}] are not recognised policy settings'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_reported_before_an_unknown_key(definition: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policies(profile("4.3")).set(policy(**definition))
    assert str(caught.value) == text + "\n"


def test_all_errors_of_a_policy_are_reported() -> None:
    wrong = Policy("/", "p", "(", {}, 0, "foo")
    with pytest.raises(PolicyError) as caught:
        Policies(profile("3.10")).set(wrong)
    assert str(caught.value) == (
        "no policy provided\n"
        "apply-to 'foo' unrecognised; should be 'queues', 'exchanges' or 'all'\n"
        'pattern should be regular expression but is invalid: {"missing )",1}\n'
    )


def test_of_equal_priority_the_policy_with_the_first_name_applies() -> None:
    policies = Policies(profile("4.3"))
    for name, limit in (("b", 1), ("a", 2), ("c", 3)):
        policies.set(Policy("/", name, "^q", {"max-length": limit}))
    assert policies.for_queue("/", "q", "classic").definition == {"max-length": 2}


def test_a_policy_may_have_keys_for_other_kinds_of_object() -> None:
    policies = Policies(profile("4.3"))
    policies.set(Policy("/", "both", "", {"max-length": 1, "alternate-exchange": "x"}))
    for found in (policies.for_queue("/", "q", "classic"), policies.for_exchange("/", "q")):
        assert found.policy is not None
    policies.set(Policy("/", "stream", "", {"max-age": "1D"}, 1))
    found = policies.for_queue("/", "q", "classic")
    assert found.policy is not None and found.policy.name == "both"


def test_patterns_stay_compiled_however_many_policies_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = Policies(profile("4.3"))
    for number in range(5):
        policies.set(Policy("/", f"p{number}", f"^{number}", {"max-length": number}))
    monkeypatch.setattr(module, "compile_pattern", None)
    for number in range(5):
        assert policies.for_queue("/", f"{number}", "classic").definition == {"max-length": number}


def test_a_policy_that_is_replaced_takes_another_place() -> None:
    policies = Policies(profile("4.3"))
    for name, priority in (("a", 1), ("b", 2.5), ("a", 3), ("c", 3), ("c", 0)):
        policies.set(Policy("/", name, "^q", {"alternate-exchange": name}, priority))  # type: ignore[arg-type]
        policies.set(Policy("other", name, "", {"alternate-exchange": "x"}, 9))
    found = []
    while (policy := policies.for_queue("/", "q", "classic").policy) is not None:
        found.append((policy.name, policy.priority))
        policies.clear("/", policy.name)
    assert found == [("a", 3), ("b", 2.5), ("c", 0)]


def test_few_patterns_may_take_long_to_match_one_name() -> None:
    policies = Policies(profile("4.3"))
    patterns = [f"(a+)+(?#{number})$" for number in range(OBJECT_LONG_MATCHES + 5)]
    for number, pattern in enumerate(patterns):
        policies.set(Policy("/", f"p{number:02}", pattern, {"max-length": 1}))
    assert policies.for_queue("/", "a" * 60 + "b", "classic").policy is None
    assert sum(compile_pattern(pattern).exhausted for pattern in patterns) == OBJECT_LONG_MATCHES


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Policies:
    """Policies of which only the last one applies to q99."""
    monkeypatch.setattr(module, "TOGETHER", 10)
    policies = Policies(profile("4.3"))
    for number in range(100):
        policies.set(Policy("/", f"p{number:02}", f"^q{number:02}$", {"max-length": number}))
    return policies


def test_an_object_is_compared_with_many_policies_in_portions(many: Policies) -> None:
    steps = many.search("/", "q99", "classic", "queue", Budget())
    assert sum(1 for _ in steps) == 9
    steps = many.search("/", "q05", "classic", "queue", Budget())
    assert sum(1 for _ in steps) == 0


def test_what_was_prepared_is_used_once(many: Policies) -> None:
    assert many.prepared("other", "q99", "classic", "queue") is None  # few are fast
    steps = many.prepared("/", "q99", "classic", "queue")
    assert steps is not None
    assert sum(1 for _ in steps) == 9
    assert many.prepared("/", "q99", "classic", "queue") is None
    assert many.for_queue("/", "q99", "classic").definition == {"max-length": 99}
    assert many.prepared("/", "q99", "classic", "queue") is not None


def test_a_change_undoes_what_was_prepared(many: Policies) -> None:
    for _ in many.prepared("/", "q99", "classic", "queue") or ():
        pass
    many.clear("/", "p99")
    assert many.for_queue("/", "q99", "classic").policy is None


def test_a_change_begins_the_search_again(many: Policies) -> None:
    steps = many.search("/", "q99", "classic", "queue", Budget())
    next(steps)
    many.set(Policy("/", "p00", "^q99$", {"max-length": 7}))
    with pytest.raises(StopIteration) as end:
        while True:
            next(steps)
    assert end.value.value.definition == {"max-length": 7}


def test_no_more_is_prepared_than_there_may_be(many: Policies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PREPARED", 2)
    for name in ("a", "b", "c"):
        for _ in many.prepared("/", name, "classic", "queue") or ():
            pass
    assert [many.prepared("/", name, "classic", "queue") is None for name in ("a", "b", "c")] == [
        False,
        True,
        True,
    ]
