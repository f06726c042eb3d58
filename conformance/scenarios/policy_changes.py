"""Policies that are set, changed and deleted while queues are in use."""

import time
from typing import Any

from conformance.scenarios.limits import drained
from conformance.scenarios.policies import OPERATOR, PAGE, PATH, policy
from conformance.scenarios.ttl import with_grave
from conformance.stage import Stage, family, scenario
from conformance.wire import Peer

OTHER = "/api/policies/%2F/cf2"
#: What of a queue is known at once, without statistics.
BRIEF = "?disable_stats=true&enable_queue_totals=true"


def filled(s: Stage, count: int = 3, **arguments: Any) -> Peer:
    """A peer whose queue cf.q holds `count` messages; channel 2 consumes its dead letters."""
    a = with_grave(s, **arguments)
    a.ask("confirm.select", 3)
    for number in range(count):
        a.publish("", "cf.q", b"%d" % number, 3)
    a.confirms(count, 3)
    return a


@scenario("policies/ttl-comes-later", PAGE + "; rabbitmq.com/docs/ttl: what is there keeps its own")
def ttl_later(s: Stage) -> None:
    a = filled(s, 1)
    policy(s, {"message-ttl": 20})
    a.eventually("message_count=1", "queue.declare", queue="cf.q", passive=True)
    a.publish("", "cf.q", b"new", 3)
    a.confirms(1, 3)
    s.elapse(80)
    a.ask("queue.declare", queue="cf.q", passive=True)
    drained(a)
    a.idle(2)


@scenario("policies/ttl-goes", PAGE + "; rabbitmq.com/docs/ttl")
def ttl_goes(s: Stage) -> None:
    policy(s, {"message-ttl": 300})
    a = filled(s, 1)
    s.http("DELETE", PATH)
    a.publish("", "cf.q", b"new", 3)
    a.confirms(1, 3)
    a.expect(1, 2)
    drained(a)


@scenario("policies/expires-lowered", PAGE + "; rabbitmq.com/docs/ttl#queue-ttl")
def expires_lowered(s: Stage) -> None:
    policy(s, {"expires": 3600000})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    policy(s, {"expires": 50})
    s.gone("cf.q")


@scenario("policies/expires-argument-lowered", PAGE + "; rabbitmq.com/docs/ttl#queue-ttl")
def expires_argument_lowered(s: Stage) -> None:
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", arguments={"x-expires": 3600000})
    policy(s, {"expires": 50})
    s.gone("cf.q")


@scenario("policies/expires-raised", PAGE + "; rabbitmq.com/docs/ttl#queue-ttl")
def expires_raised(s: Stage) -> None:
    policy(s, {"expires": 300})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    policy(s, {"expires": 3600000})
    s.elapse(600)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("policies/expires-cleared", PAGE + "; rabbitmq.com/docs/ttl#queue-ttl")
def expires_cleared(s: Stage) -> None:
    policy(s, {"expires": 300})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q")
    s.http("DELETE", PATH)
    s.elapse(600)
    a.ask("queue.declare", queue="cf.q", passive=True)


@scenario("policies/max-length-lowered-dead-letters", PAGE + "; rabbitmq.com/docs/dlx")
def lowered(s: Stage) -> None:
    a = filled(s)
    policy(s, {"max-length": 1})
    a.expect(2, 2)
    drained(a)


@scenario("policies/max-length-bytes-lowered", PAGE)
def bytes_lowered(s: Stage) -> None:
    a = filled(s)
    policy(s, {"max-length-bytes": 2})
    a.expect(1, 2)
    drained(a)


@scenario("policies/max-length-lowered-reject-publish", PAGE + ": lengths hold before overflow does")
def lowered_reject(s: Stage) -> None:
    a = filled(s)
    policy(s, {"max-length": 1, "overflow": "reject-publish"})
    a.expect(2, 2)
    a.publish("", "cf.q", b"refused", 3)
    a.confirms(1, 3)
    s.http("DELETE", PATH)
    a.publish("", "cf.q", b"taken", 3)
    a.confirms(1, 3)
    drained(a)


@scenario("policies/overflow-then-max-length", PAGE + ": with reject-publish what is there stays")
def reject_then_length(s: Stage) -> None:
    policy(s, {"overflow": "reject-publish"})
    a = filled(s)
    policy(s, {"max-length": 1, "overflow": "reject-publish"})
    a.publish("", "cf.q", b"refused", 3)
    a.confirms(1, 3)
    policy(s, {"max-length": 1})
    a.expect(2, 2)
    drained(a)


@scenario("policies/max-length-lowered-reject-publish-quorum", PAGE)
def lowered_quorum(s: Stage) -> None:
    a = with_grave(s)
    a.ask("queue.declare", queue="cf.qq", durable=True, arguments={"x-queue-type": "quorum"})
    a.ask("confirm.select", 3)
    for number in range(3):
        a.publish("", "cf.qq", b"%d" % number, 3)
    a.confirms(3, 3)
    policy(s, {"max-length": 1, "overflow": "reject-publish"})
    s.elapse(50)
    a.ask("queue.purge", queue="cf.qq")


@scenario("policies/overflow-becomes-drop-head", PAGE + "; rabbitmq.com/docs/maxlength")
def becomes_drop_head(s: Stage) -> None:
    policy(s, {"overflow": "reject-publish"})
    a = filled(s, 2, **{"x-max-length": 2})
    a.publish("", "cf.q", b"refused", 3)
    a.confirms(1, 3)
    policy(s, {"overflow": "drop-head"})
    a.publish("", "cf.q", b"taken", 3)
    a.confirms(1, 3)
    drained(a)


OVERFLOWS = {
    f"{argument}-{given}": (argument, given)
    for argument in ("drop-head", "reject-publish", "reject-publish-dlx")
    for given in ("drop-head", "reject-publish", "reject-publish-dlx")
}


@family("policies/overflow-argument-and-policy", PAGE + ": overflow: the argument", OVERFLOWS)
def overflows(s: Stage, argument: str, given: str) -> None:
    policy(s, {"overflow": given})
    a = filled(s, 2, **{"x-max-length": 1, "x-overflow": argument})
    s.elapse(20)
    a.idle(2)
    drained(a)


@family("policies/overflow-policy-and-operator", PAGE, OVERFLOWS, profiles=("4.3", "4.0"))
def operator_overflows(s: Stage, given: str, operator: str) -> None:
    policy(s, {"overflow": given, "max-length": 1})
    policy(s, {"overflow": operator}, path=OPERATOR)
    a = filled(s, 2)
    s.elapse(20)
    a.idle(2)
    drained(a)


@scenario("policies/dead-letter-exchange-at-death", PAGE + ": read when a message dies")
def dlx_at_death(s: Stage) -> None:
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.declare", queue="cf.q")
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    a.ask("basic.get", queue="cf.q")
    policy(s, {"dead-letter-exchange": "", "dead-letter-routing-key": "cf.dlq"})
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.send("basic.reject", delivery_tag=1)
    a.expect(1, 2)
    a.ask("basic.get", queue="cf.q")
    s.http("DELETE", PATH)
    a.ask("queue.declare", queue="cf.q", passive=True)
    a.send("basic.reject", delivery_tag=2)
    a.idle(1)
    a.idle(2)


DEAD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "key-of-policy": ({"x-dead-letter-exchange": ""}, {"dead-letter-routing-key": "cf.dlq"}),
    "exchange-of-policy": ({}, {"dead-letter-exchange": "amq.fanout"}),
    "exchange-of-argument": (
        {"x-dead-letter-exchange": ""},
        {"dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": "cf.dlq"},
    ),
    "key-alone": ({}, {"dead-letter-routing-key": "cf.dlq"}),
    "empty-exchange-of-policy": ({}, {"dead-letter-exchange": "", "dead-letter-routing-key": "cf.dlq"}),
    "empty-key-of-policy": ({}, {"dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": ""}),
}


@family("policies/dead-letter-mixed", PAGE + ": exchange and key each on their own", DEAD)
def dead_mixed(s: Stage, arguments: dict[str, Any], definition: dict[str, Any]) -> None:
    policy(s, definition)
    a = s.connect(channels=(1, 2))
    a.ask("queue.declare", queue="cf.dlq")
    a.ask("queue.bind", queue="cf.dlq", exchange="amq.fanout")
    a.ask("queue.declare", queue="cf.q", arguments=arguments)
    a.ask("basic.consume", 2, queue="cf.dlq", consumer_tag="dead", no_ack=True)
    a.publish("", "cf.q", b"0")
    a.ask("basic.get", queue="cf.q")
    a.send("basic.reject", delivery_tag=1)
    a.idle(1)
    s.elapse(20)
    a.idle(2)


LIMITS = {"2-then-4": (2, 4), "4-then-2": (4, 2)}


@family("policies/equal-priority", PAGE + ": the name that comes first", LIMITS, profiles=("4.3",))
def equal(s: Stage, first: int, second: int) -> None:
    policy(s, {"max-length": first}, path=PATH)
    policy(s, {"max-length": second}, path=OTHER)
    a = filled(s, 6)
    drained(a)


@family("policies/equal-priority-set-later", PAGE + ": the name that comes first", LIMITS, profiles=("4.3",))
def equal_names(s: Stage, first: int, second: int) -> None:
    policy(s, {"max-length": first}, path=OTHER)
    policy(s, {"max-length": second}, path=PATH)
    a = filled(s, 6)
    drained(a)


@scenario("policies/priority-changes", PAGE)
def priority_changes(s: Stage) -> None:
    policy(s, {"max-length": 2}, priority=1)
    policy(s, {"message-ttl": 60000}, path=OTHER, priority=0)
    a = filled(s, 3)
    policy(s, {"message-ttl": 60000}, path=OTHER, priority=2)
    a.publish("", "cf.q", b"3", 3)
    a.publish("", "cf.q", b"4", 3)
    a.confirms(2, 3)
    s.http("DELETE", OTHER)
    a.publish("", "cf.q", b"5", 3)
    a.confirms(1, 3)
    drained(a)


@scenario(
    "policies/unsupported-key-then-lower-priority", PAGE + ": one that does not fit is passed over for it"
)
def unsupported_then_lower(s: Stage) -> None:
    policy(s, {"max-length": 2}, priority=1)
    policy(s, {"max-length": 1, "max-age": "1D"}, path=OTHER, priority=5)
    a = filled(s, 4)
    drained(a)


@scenario("policies/pattern-unanchored", PAGE + "#how-policies-work: a search")
def unanchored(s: Stage) -> None:
    s.http("PUT", PATH, {"pattern": "q$", "definition": {"max-length": 1}, "apply-to": "queues"})
    a = filled(s, 2)
    drained(a)


@scenario("policies/pattern-case", PAGE)
def case(s: Stage) -> None:
    s.http("PUT", PATH, {"pattern": "(?i)^CF\\.Q$", "definition": {"max-length": 1}, "apply-to": "queues"})
    a = filled(s, 2)
    drained(a)


@scenario("policies/pattern-changes", PAGE + ": a queue that no longer matches loses what was set")
def pattern_changes(s: Stage) -> None:
    policy(s, {"max-length": 1})
    a = filled(s, 2)
    s.http("PUT", PATH, {"pattern": "^other$", "definition": {"max-length": 1}, "apply-to": "queues"})
    a.publish("", "cf.q", b"2", 3)
    a.confirms(1, 3)
    drained(a)


@scenario("policies/operator-alone", "rabbitmq.com/docs/parameters#operator-policies")
def operator_alone(s: Stage) -> None:
    policy(s, {"max-length": 1}, path=OPERATOR)
    a = filled(s, 2)
    s.http("DELETE", OPERATOR)
    a.publish("", "cf.q", b"2", 3)
    a.confirms(1, 3)
    drained(a)


@scenario("policies/operator-argument-minimum", "rabbitmq.com/docs/parameters#operator-policies")
def operator_argument(s: Stage) -> None:
    policy(s, {"max-length": 2}, path=OPERATOR)
    a = filled(s, 4, **{"x-max-length": 3})
    drained(a)


@scenario("policies/operator-ttl-of-message", "rabbitmq.com/docs/parameters#operator-policies")
def operator_ttl(s: Stage) -> None:
    policy(s, {"message-ttl": 20}, path=OPERATOR)
    a = with_grave(s)
    a.publish("", "cf.q", b"0", expiration="60000")
    a.expect(1, 2)


@scenario("policies/alternate-exchange-live", PAGE + "; rabbitmq.com/docs/ae")
def alternate_live(s: Stage) -> None:
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.ask("queue.declare", queue="cf.ae")
    a.ask("queue.bind", queue="cf.ae", exchange="amq.fanout")
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.expect()
    policy(s, {"alternate-exchange": "amq.fanout"}, "exchanges")
    a.publish("cf.x", "k", b"1", mandatory=True)
    a.idle()
    s.http("DELETE", PATH)
    a.publish("cf.x", "k", b"2", mandatory=True)
    a.expect()
    a.ask("queue.purge", queue="cf.ae")


@scenario("policies/exchange-with-queue-keys", PAGE + ": each takes what it knows")
def exchange_with_queue_keys(s: Stage) -> None:
    policy(s, {"alternate-exchange": "amq.fanout", "max-length": 1}, "all")
    a = s.connect()
    a.ask("exchange.declare", exchange="cf.x", exchange_type="direct")
    a.ask("queue.declare", queue="cf.ae")
    a.ask("queue.bind", queue="cf.ae", exchange="amq.fanout")
    a.publish("cf.x", "k", b"0", mandatory=True)
    a.ask("basic.get", queue="cf.ae", no_ack=True)
    a.ask("queue.declare", queue="cf.q")
    a.publish("", "cf.q", b"0")
    a.publish("", "cf.q", b"1")
    drained(a)


KINDS = {
    f"{kind}-{key}": (kind, key, value)
    for kind in ("classic", "quorum", "stream")
    for key, value in {
        "max-age": "1D",
        "delivery-limit": 3,
        "queue-mode": "lazy",
        "queue-version": 2,
        "dead-letter-strategy": "at-most-once",
        "max-in-memory-length": 5,
        "queue-leader-locator": "balanced",
        "stream-max-segment-size-bytes": 1000000,
        "stream-filter-size-bytes": 16,
        "initial-cluster-size": 1,
        "target-group-size": 1,
        "message-ttl": 60000,
        "expires": 3600000,
        "overflow": "drop-head",
        "consumer-timeout": 60000,
        "delayed-retry-min": 10,
        "consumer-disconnected-timeout": 1000,
        "max-length-bytes": 100000,
    }.items()
}


@family("policies/kind", PAGE + ": a policy with a key that the kind of queue lacks is passed over", KINDS)
def kinds(s: Stage, kind: str, key: str, value: Any) -> None:
    s.http("PUT", PATH, {"pattern": "^cf", "definition": {key: value}, "apply-to": "all"})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": kind})
    s.note_value("policy", s.http("GET", f"/api/queues/%2F/cf.q{BRIEF}").get("policy"))


def combination(s: Stage) -> dict[str, Any]:
    """The queue, after its statistics were collected, which takes seconds."""
    lines = s.lines[:]
    deadline = time.monotonic() + 10
    found: dict[str, Any] = {}
    while "effective_policy_definition" not in found and time.monotonic() < deadline:
        found = s.http("GET", "/api/queues/%2F/cf.q") or {}
    s.lines = lines
    return found


BOTH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max-length": ({"max-length": 5}, {"max-length": 3}),
    "max-length-greater": ({"max-length": 3}, {"max-length": 5}),
    "delivery-limit": ({"delivery-limit": 5}, {"delivery-limit": 3}),
    "delivery-limit-none": ({"delivery-limit": -1}, {"delivery-limit": 3}),
    "delivery-limit-none-of-operator": ({"delivery-limit": 3}, {"delivery-limit": -1}),
    "delivery-limit-none-of-both": ({"delivery-limit": -3}, {"delivery-limit": -1}),
    "overflow": ({"overflow": "drop-head"}, {"overflow": "reject-publish"}),
    "queue-version": ({"queue-version": 1}, {"queue-version": 2}),
    "target-group-size": ({"target-group-size": 3}, {"target-group-size": 1}),
    "target-group-size-greater": ({"target-group-size": 1}, {"target-group-size": 3}),
    "different-keys": ({"max-length": 5}, {"message-ttl": 3}),
    "unsupported-of-operator": ({"max-length": 5}, {"max-length": 3, "queue-version": 2}),
    "unsupported-of-policy": ({"max-length": 5, "queue-mode": "lazy"}, {"max-length": 3}),
    "retry": (
        {"delayed-retry-type": "all", "delayed-retry-min": 10, "delayed-retry-max": 50},
        {"delayed-retry-type": "failed", "delayed-retry-min": 20, "delayed-retry-max": 40},
    ),
}


@family("policies/combined", "rabbitmq.com/docs/parameters#combining-policy-definitions", BOTH)
def combined(s: Stage, given: dict[str, Any], operator: dict[str, Any]) -> None:
    for path, definition in ((PATH, given), (OPERATOR, operator)):
        s.http("PUT", path, {"pattern": "^cf", "definition": definition, "apply-to": "queues"})
    a = s.connect()
    a.ask("queue.declare", queue="cf.q", durable=True, arguments={"x-queue-type": "quorum"})
    found = combination(s)
    for key in ("policy", "operator_policy", "effective_policy_definition"):
        s.note_value(key, found.get(key))
