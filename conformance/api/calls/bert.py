"""Everything that can be shown as Erlang terms, and which content type is chosen of several."""

from conformance.api.call import Call, get

_BERT = "application/bert"

#: Lists and objects of each kind, also errors.
_PATHS = (
    "overview", "whoami", "version", "extensions", "cluster-name", "auth", "login", "nosuch",
    "nodes", "nodes/{node}", "nodes/nosuch@host", "nodes/{node}/memory", "nodes/{node}/memory/relative",
    "connections", "connections/{connection:publisher}", "connections/nosuch", "connections/username/guest",
    "connections/{connection:consumer}/channels", "connections/{connection:consumer}/sessions",
    "vhosts/shop/connections", "channels", "channels/{channel:consumer}", "vhosts/shop/channels",
    "consumers", "consumers/shop", "exchanges", "exchanges/shop", "exchanges/shop/topic", "exchanges/shop/nosuch",
    "exchanges/shop/topic/bindings/source", "exchanges/shop/inner/bindings/destination",
    "queues", "queues/detailed", "queues/shop", "queues/shop?page=1&page_size=3", "queues/shop?page=9",
    "queues/shop?columns=name,state", "queues/shop?columns=nosuch",
    "queues/shop/classic", "queues/shop/quorum", "queues/shop/stream", "queues/shop/priority", "queues/shop/sac",
    "queues/shop/mine", "queues/shop/a%2Fb%2Bc%20%C3%BC", "queues/shop/classic?disable_stats=true",
    "queues/shop/classic?lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5",
    "queues/shop/classic/bindings", "queues/quorum/shop/quorum/status",
    "bindings", "bindings/shop", "bindings/shop/e/direct/q/classic", "bindings/shop/e/direct/q/classic/k",
    "bindings/shop/e/topic/e/fanout",
    "vhosts", "vhosts/shop", "vhosts/shop/permissions", "vhosts/shop/topic-permissions",
    "users", "users/guest", "users/without-permissions", "users/management/permissions",
    "users/management/topic-permissions", "users/management/queues",
    "permissions", "permissions/shop/management", "topic-permissions", "topic-permissions/shop/management",
    "parameters", "parameters/operator_policy", "parameters/operator_policy/shop/age",
    "global-parameters", "global-parameters/cluster_name", "policies", "policies/shop", "policies/shop/limits",
    "operator-policies", "vhost-limits", "user-limits", "vhosts/shop/deletion/protection",
    "feature-flags", "deprecated-features", "deprecated-features/used", "config/effective",
    "auth/attempts/{node}", "auth/attempts/{node}/source", "auth/hash_password/x",
    "definitions", "definitions/shop", "definitions/nosuch", "all-configuration",
    "aliveness-test/nosuch", "healthchecks/node",
    "health/checks/alarms", "health/checks/local-alarms", "health/checks/metadata-store/initialized",
    "health/checks/certificate-expiration/1/weeks", "health/checks/certificate-expiration/1/eons",
    "health/checks/port-listener/1", "health/checks/port-listener/{amqp}", "health/checks/protocol-listener/amqp",
    "health/checks/protocol-listener/nosuch", "health/checks/virtual-hosts",
    "health/checks/quorum-queues-without-elected-leaders/vhost/shop",
    "health/checks/node-is-quorum-critical", "health/checks/is-in-service",
    "health/checks/below-node-connection-limit", "health/checks/ready-to-serve-clients",
    "/", "/api/index.html",
)  # fmt: skip

_ACCEPTED = (
    "application/json, application/bert", "application/bert, application/json",
    "application/json;q=0.5, application/bert", "application/bert;q=0.5, application/json",
    "application/*", "*/*, application/bert", "application/bert, */*", "application/bert;q=0.5, */*",
    "application/*, application/bert", "text/html, application/bert, application/json",
    "application/json, text/html, application/bert", "application/bert;v=1, application/json",
    "application/bert;q=0", "Application/BERT",
)  # fmt: skip

_PUBLISHED = {
    "properties": {"headers": {"n": 1, "t": "x", "f": 1.5, "l": [1, 2], "o": {"a": True}}, "priority": 3},
    "routing_key": "bert",
    "payload": "one",
    "payload_encoding": "string",
}
_GOT = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}


def _changed(method: str, path: str, body: object = b"", user: str = "guest") -> Call:
    return Call(method, path, user, body, {"Accept": _BERT})


CALLS = [
    *get(*_PATHS, accept=_BERT),
    *(call for accepted in _ACCEPTED for call in get("whoami", accept=accepted)),
    *(Call("HEAD", path, headers={"Accept": _BERT}) for path in ("whoami", "queues/shop", "definitions")),
    *(call for user in ("none", "wrong", "", "stranger") for call in get("queues/shop", user=user, accept=_BERT)),
    # values of all types
    *(
        _changed("PUT", f"global-parameters/{name}", {"value": value})
        for name, value in (
            ("bert-n", 7), ("bert-b", 300), ("bert-i", -1), ("bert-l", 2**40), ("bert-m", -(2**70)),
            ("bert-f", 1.5), ("bert-t", "x"), ("bert-v", None), ("bert-y", True), ("bert-a", [1, 2, 255]),
            ("bert-c", [1, 256]), ("bert-e", []), ("bert-o", {}), ("bert-p", {"a": {"b": [{}]}, "1": "\u00fc"}),
            ("bert-s", [["x", 1], {"y": 2}]),
        )
    ),
    *get("global-parameters", accept=_BERT),
    *(
        call
        for name in "nbilmftvyaceops"
        for call in (
            *get(f"global-parameters/bert-{name}", accept=_BERT),
            _changed("DELETE", f"global-parameters/bert-{name}"),
        )
    ),
    # what changes something
    _changed("PUT", "queues/shop/bert", {"durable": True, "arguments": {"x-expires": 100000000000}}),
    *get("queues/shop/bert?disable_stats=true", accept=_BERT),
    _changed("PUT", "queues/shop/bert", {"durable": False}),
    _changed("POST", "exchanges/shop/amq.default/publish", _PUBLISHED),
    _changed("POST", "exchanges/shop/amq.default/publish", {**_PUBLISHED, "routing_key": "nosuch"}),
    _changed("POST", "exchanges/shop/amq.default/publish", {}),
    _changed("POST", "queues/shop/bert/get", _GOT),
    _changed("POST", "queues/shop/bert/get", _GOT),
    _changed("POST", "bindings/shop/e/direct/q/bert", {"routing_key": "k", "arguments": {"x": 1}}),
    *get("queues/shop/bert/bindings", accept=_BERT),
    _changed("DELETE", "queues/shop/bert/contents"),
    _changed("DELETE", "queues/shop/bert"),
    _changed("DELETE", "queues/shop/bert"),
]  # fmt: skip
