"""Values that policies may have, and what an operator policy may set."""

from typing import Any

from conformance.scenarios.policies import OPERATOR, PAGE, PATH
from conformance.stage import Stage, family

#: Key -> values that are tried, one policy each.
VALUES: dict[str, tuple[Any, ...]] = {
    "expires": (1, "1", 1.5, -1, True, None, [], {}),
    "message-ttl": (0, 315360000001, 1.5, False, None),
    "max-length": (0, 2**70, 1.5, True, None, [1]),
    "max-length-bytes": (0, "5", -5),
    "max-in-memory-length": (0, "x", -1),
    "max-in-memory-bytes": (0, "x", -1),
    "overflow": ("drop-head", "reject-publish-dlx", "", 1, None, ["drop-head"]),
    "dead-letter-exchange": ("", "cf.none", None, True, ["a"], {"a": 1}),
    "dead-letter-routing-key": ("", None, 5),
    "dead-letter-strategy": ("at-least-once", "foo", 1, ""),
    "delivery-limit": (0, -1, -7, 1.5, "5", True),
    "queue-leader-locator": ("balanced", "client-local", "random", "foo", 1, ""),
    "queue-mode": ("default", "lazy", 1, ""),
    "queue-version": (1, 2, 3, "2", 0),
    "max-age": ("1D", "0s", "5", "", "x", "1X", 5, "-1D", "1D1h", " 1D"),
    "stream-max-segment-size-bytes": (0, 1000, 3000000001, -1, "x", 1.5),
    "stream-filter-size-bytes": (15, 16, 255, 256, "x"),
    "initial-cluster-size": (0, 1, -1, "x"),
    "target-group-size": (0, 1, -1, "x"),
    "alternate-exchange": ("", None, True, ["a"]),
    "consumer-timeout": (0, 1, -1, "x"),
    "federation-upstream": ("x", 1),
    "federation-upstream-set": ("all", 1),
    "federation-upstream-pattern": ("x", 1),
    "single-active-consumer": (True,),
    "x-max-length": (1,),
    "Max-Length": (1,),
    "": (1,),
    "foo": ('a"b', "a\\b", "a\nb", "<b>&"),
}
ROWS = {f"{key or 'nothing'}-{value!r}": (key, value) for key, values in VALUES.items() for value in values}


@family("policies/value", PAGE, ROWS)
def values(s: Stage, key: str, value: Any) -> None:
    s.http("PUT", PATH, {"pattern": "^cf", "definition": {key: value}})


@family("policies/operator-value", "rabbitmq.com/docs/parameters#operator-policies", ROWS)
def operator_values(s: Stage, key: str, value: Any) -> None:
    s.http("PUT", OPERATOR, {"pattern": "^cf", "definition": {key: value}})


DEFINITIONS: dict[str, dict[str, Any]] = {
    "bad-and-unknown": {"max-length": -1, "foo": 1},
    "two-bad": {"max-length": -1, "expires": 0},
    "three-bad": {"overflow": "x", "message-ttl": -1, "alternate-exchange": 1},
    "unknown-nested": {"foo": {"a": [1, "b", None, 1.5, True]}},
    "unknown-float": {"foo": 1.5, "bar": -0.25},
    "unknown-empty": {"foo": "", "bar": [], "baz": {}},
    "retry-all-alone": {"delayed-retry-type": "all"},
    "retry-disabled-alone": {"delayed-retry-type": "disabled"},
    "retry-min-above-max": {
        "delayed-retry-type": "all",
        "delayed-retry-min": 10,
        "delayed-retry-max": 5,
    },
    "retry-min-only": {"delayed-retry-min": 10},
    "retry-max-only": {"delayed-retry-max": 10},
    "retry-max-without-min": {"delayed-retry-type": "failed", "delayed-retry-max": 10},
    "bad-in-two-modules": {"max-length": -1, "target-group-size": 0, "delayed-retry-min": 0},
    "bad-in-late-module-and-unknown": {"target-group-size": 0, "foo": 1},
    "retry-bad-and-incomplete": {"delayed-retry-type": "all", "delayed-retry-max": 0},
    "dlrk-alone": {"dead-letter-routing-key": "k"},
    "queue-and-exchange": {"max-length": 1, "alternate-exchange": "a"},
}


@family("policies/definition", PAGE, DEFINITIONS)
def definitions(s: Stage, definition: dict[str, Any]) -> None:
    s.http("PUT", PATH, {"pattern": "^cf", "definition": definition})


BODIES: dict[str, Any] = {
    "pattern-int": {"pattern": 1, "definition": {"max-length": 1}},
    "pattern-empty": {"pattern": "", "definition": {"max-length": 1}},
    "pattern-null": {"pattern": None, "definition": {"max-length": 1}},
    "pattern-bracket": {"pattern": "[a", "definition": {"max-length": 1}},
    "pattern-star": {"pattern": "*", "definition": {"max-length": 1}},
    "pattern-lookbehind": {"pattern": "(?<!x)cf", "definition": {"max-length": 1}},
    "pattern-escape": {"pattern": "\\", "definition": {"max-length": 1}},
    "definition-list": {"pattern": "^cf", "definition": [1]},
    "definition-string": {"pattern": "^cf", "definition": "{}"},
    "definition-null": {"pattern": "^cf", "definition": None},
    "priority-float": {"pattern": "^cf", "definition": {"max-length": 1}, "priority": 1.5},
    "priority-negative": {"pattern": "^cf", "definition": {"max-length": 1}, "priority": -1},
    "priority-null": {"pattern": "^cf", "definition": {"max-length": 1}, "priority": None},
    "priority-text": {"pattern": "^cf", "definition": {"max-length": 1}, "priority": "1"},
    "priority-bool": {"pattern": "^cf", "definition": {"max-length": 1}, "priority": True},
    "apply-to-int": {"pattern": "^cf", "definition": {"max-length": 1}, "apply-to": 1},
    "apply-to-null": {"pattern": "^cf", "definition": {"max-length": 1}, "apply-to": None},
    "apply-to-empty": {"pattern": "^cf", "definition": {"max-length": 1}, "apply-to": ""},
    "name-differs": {"pattern": "^cf", "definition": {"max-length": 1}, "name": "other"},
    "several-wrong": {"pattern": "(", "definition": {"foo": 1}, "priority": "x", "apply-to": "foo"},
    "two-wrong": {"pattern": 1, "definition": {}},
    "list": [],
    "string": "x",
}


@family("policies/body", PAGE, BODIES)
def bodies(s: Stage, body: Any) -> None:
    s.http("PUT", PATH, body)
