"""Policies and operator policies: settings for all objects whose names match (docs: parameters#policies).

Of the policies that match an object, the one with the highest priority applies; among equal priorities, the one whose
name sorts first. The same holds for operator policies. A policy with a key that the queue type does not support does
not apply to such queues. Both definitions are merged: of two numbers the smaller one, otherwise the operator's value.
`policy_values.py` checks definitions.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, NamedTuple, cast

from msgspec import Struct

from leveret.engine.actor import INTERNAL, Actor
from leveret.engine.catalogue import Changed, Document, Kind, unrecorded
from leveret.engine.patterns import Budget, Pattern, compile_pattern
from leveret.engine.policy_values import TARGETS, PolicyCrash, PolicyError, lacks, refused
from leveret.profiles import Features, Profile
from leveret.shrinking import shrink

if TYPE_CHECKING:
    from leveret.queues.queue import Queue
    from leveret.routing.exchanges import Exchange
    from leveret.work import Steps

__all__ = ["Effective", "Policies", "Policy", "PolicyCrash", "PolicyError", "policy_of"]


class Policy(Struct, frozen=True):
    """One policy or operator policy of a virtual host."""

    vhost: str
    name: str
    pattern: str
    definition: Document
    priority: int = 0
    apply_to: str = "all"

    def to_json(self) -> Document:
        """Return it as JSON, for definitions and the HTTP API."""
        return {
            "vhost": self.vhost,
            "name": self.name,
            "pattern": self.pattern,
            "apply-to": self.apply_to,
            "definition": self.definition,
            "priority": self.priority,
        }


class Effective(Struct, frozen=True):
    """What applies to one object: the policy, the operator policy, and both definitions merged."""

    policy: Policy | None
    operator_policy: Policy | None
    definition: Document


#: Policies that an object is compared with in one portion: about a millisecond.
TOGETHER = 1024

#: Objects that are about to be declared, for which policies were found.
MAX_PREPARED = 1024

NOTHING = Effective(None, None, {})


def policy_of(subject: Queue | Exchange) -> Effective:
    """Return the policies that apply to a queue or exchange. The object stores them, only the engine reads them."""
    return cast(Effective, subject.policy or NOTHING)


class _Ranked(NamedTuple):
    """A policy in its place among those of its virtual host. `rank`: different for all of them, so that nothing else is
    compared. `pattern`: compiled; thousands of policies would drive each other out of a cache."""

    rank: tuple[float, bytes]
    pattern: Pattern
    targets: tuple[str, ...]
    policy: Policy


class Policies:
    """All policies of a broker. After a change, the caller calls `VirtualHost.apply_policies`. `permitted`:
    configuration of deprecated features. `noticed`: called with each policy that is set; `changed`: called after each
    change."""

    def __init__(self, profile: Profile, permitted: Features | None = None) -> None:
        self.profile = profile
        self.permitted: Features = permitted or {}
        self.policies: dict[tuple[str, str], Policy] = {}
        self.operator_policies: dict[tuple[str, str], Policy] = {}
        self.noticed: Callable[[Actor, Policy], None] | None = None
        self.changed: Changed = unrecorded
        #: Virtual host, and whether they are operator policies -> those that count more come first.
        self._ranked: dict[tuple[str, bool], list[_Ranked]] = {}
        self._effects: dict[tuple[int, int], Effective] = {}
        self._revision = 0
        self._prepared: dict[tuple[str, str, str], Effective] = {}

    # --- changing

    def set(self, policy: Policy, operator: bool = False, actor: Actor = INTERNAL) -> bool:
        """Add or replace a policy. Returns True if it is new. Raises `PolicyError`."""
        self.validate(policy, operator)
        registry = self.operator_policies if operator else self.policies
        old = registry.get((policy.vhost, policy.name))
        if old is not None:
            self._remove_rank(old, operator)
        registry[policy.vhost, policy.name] = policy
        insort(self._ranked.setdefault((policy.vhost, operator), []), _ranked(policy))
        self._forget_found()
        self.changed(_kind(operator), (policy.vhost, policy.name))
        if self.noticed is not None:
            self.noticed(actor, policy)
        return old is None

    def clear(self, vhost: str, name: str, operator: bool = False) -> bool:
        """Delete a policy. Returns False if there is none."""
        registry = self.operator_policies if operator else self.policies
        old = registry.pop((vhost, name), None)
        if old is None:
            return False
        shrink(registry)
        self._remove_rank(old, operator)
        self._forget_found()
        self.changed(_kind(operator), (vhost, name))
        return True

    def forget_vhost(self, vhost: str) -> None:
        """Delete all policies of a deleted virtual host."""
        for operator, registry in ((False, self.policies), (True, self.operator_policies)):
            for policy in self.each(vhost, operator):
                del registry[vhost, policy.name]
                self.changed(_kind(operator), (vhost, policy.name))
            self._ranked.pop((vhost, operator), None)
        self._forget_found()

    def forget_vhost_steps(self, vhost: str) -> Steps:
        """The same while the virtual host is being deleted. Yields after each policy."""
        for operator in (False, True):
            for policy in self.each(vhost, operator):
                self.clear(vhost, policy.name, operator)
                yield None

    def get(self, vhost: str, name: str, operator: bool = False) -> Policy | None:
        """Return the policy of that name, or None."""
        return (self.operator_policies if operator else self.policies).get((vhost, name))

    def list(self, vhost: str | None = None, operator: bool = False) -> list[Policy]:
        """Return policies sorted by virtual host and name."""
        return sorted(self.each(vhost, operator), key=place)

    def each(self, vhost: str | None = None, operator: bool = False) -> Iterable[Policy]:
        """Return all policies, or those of a virtual host, in any order: a snapshot."""
        if vhost is None:
            return [*(self.operator_policies if operator else self.policies).values()]
        return [one.policy for one in self._ranked.get((vhost, operator), ())]

    # --- matching

    def for_queue(self, vhost: str, name: str, kind: str) -> Effective:
        """Return what applies to a queue of this type (`kind`)."""
        return self._found(vhost, name, kind, "queue")

    def for_exchange(self, vhost: str, name: str) -> Effective:
        """Return what applies to an exchange."""
        return self._found(vhost, name, "exchange", "exchange")

    def prepared(self, vhost: str, name: str, kind: str, target: str) -> Steps | None:
        """Return the steps after which the next `for_queue` or `for_exchange` for this object is fast; None if it is.
        `target`: "queue" or "exchange"."""
        many = sum(len(self._ranked.get((vhost, operator), ())) for operator in (False, True)) > TOGETHER
        return (
            self._prepare(vhost, name, kind, target)
            if many and (vhost, name, kind) not in self._prepared
            else None
        )

    def _prepare(self, vhost: str, name: str, kind: str, target: str) -> Steps:
        found = yield from self.search(vhost, name, kind, target, Budget())
        if len(self._prepared) >= MAX_PREPARED:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[vhost, name, kind] = found

    def _found(self, vhost: str, name: str, kind: str, target: str) -> Effective:
        found = self._prepared.pop((vhost, name, kind), None)
        if found is not None:
            return found
        steps = self.search(vhost, name, kind, target, Budget())
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast(Effective, end.value)

    def search(
        self, vhost: str, name: str, kind: str, target: str, budget: Budget
    ) -> Generator[None, None, Effective]:
        """Return what applies to an object of this type (`kind`). Yields after each portion, and begins again if
        policies are changed meanwhile. `target`: "queue" or "exchange"; `budget`: limits the total cost of pattern
        matching in all calls with it."""
        while True:
            revision = self._revision
            budget.begin_object()
            policy = yield from self._best(False, vhost, name, kind, target, budget)
            operator = yield from self._best(True, vhost, name, kind, target, budget)
            if revision == self._revision:
                return self._effective(policy, operator)

    def _effective(self, policy: Policy | None, operator: Policy | None) -> Effective:
        if policy is None and operator is None:
            return NOTHING
        known = self._effects.get((id(policy), id(operator)))
        if known is None:
            known = self._effects[id(policy), id(operator)] = _combined(policy, operator)
        return known

    def _best(
        self, operator: bool, vhost: str, name: str, kind: str, target: str, budget: Budget
    ) -> Generator[None, None, Policy | None]:
        ranked = self._ranked.get((vhost, operator))
        if not ranked:
            return None
        raw = name.encode("utf-8", "surrogateescape")
        for start in range(0, len(ranked), TOGETHER):
            for _, pattern, targets, policy in ranked[start : start + TOGETHER]:
                if (
                    (target in targets or kind in targets)
                    and pattern.search(raw, budget)
                    and not any(lacks(kind, key, self.profile) for key in policy.definition)
                ):
                    return policy
            if start + TOGETHER < len(ranked):
                yield None
        return None

    def _forget_found(self) -> None:
        """Forget what was found before a change."""
        self._revision += 1
        self._effects.clear()
        self._prepared.clear()

    def _remove_rank(self, policy: Policy, operator: bool) -> None:
        """Take a policy out of the order of its virtual host."""
        ranked = self._ranked[policy.vhost, operator]
        del ranked[bisect_left(ranked, _rank(policy), key=lambda one: one.rank)]
        if not ranked:
            del self._ranked[policy.vhost, operator]

    # --- validating

    def validate(self, policy: Policy, operator: bool = False) -> None:
        """Raise `PolicyError` with RabbitMQ's text."""
        self.check(policy.to_json(), operator)

    def check(self, given: Document, operator: bool) -> None:
        """The same for fields of a policy, of any type. Raises `PolicyError`."""
        texts = refused(given, operator, self.profile, self.permitted)
        if texts:
            raise PolicyError("".join(f"{text}\n" for text in texts))


def place(policy: Policy) -> tuple[str, str]:
    """The place of a policy in a list."""
    return policy.vhost, policy.name


def _rank(policy: Policy) -> tuple[float, bytes]:
    """Policies that count more come first."""
    return -policy.priority, policy.name.encode("utf-8", "surrogateescape")


def _ranked(policy: Policy) -> _Ranked:
    return _Ranked(_rank(policy), compile_pattern(policy.pattern), TARGETS[policy.apply_to], policy)


def _combined(policy: Policy | None, operator: Policy | None) -> Effective:
    definition = dict(policy.definition) if policy is not None else {}
    for key, value in (operator.definition if operator is not None else {}).items():
        definition[key] = _stricter(key, definition[key], value) if key in definition else value
    return Effective(policy, operator, definition)


def _kind(operator: bool) -> Kind:
    return Kind.OPERATOR_POLICY if operator else Kind.POLICY


def _stricter(key: str, policy: object, operator: object) -> object:
    """Merge one value of a policy and an operator policy: the smaller of two numbers (for a few keys the greater),
    otherwise the operator's value."""
    if not isinstance(policy, int) or not isinstance(operator, int) or isinstance(policy, bool):
        return operator
    if key == "queue-version":
        return operator
    if key in ("delayed-retry-min", "target-group-size"):
        return max(policy, operator)
    if key == "delivery-limit" and min(policy, operator) < 0:
        return max(policy, operator)
    return min(policy, operator)
