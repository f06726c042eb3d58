"""Who may do what: changes asked for by each kind of user, with bodies that change nothing."""

from conformance.api.call import by_all, delete, put

_READ = (
    "definitions", "definitions/shop", "definitions/nosuch", "all-configuration",
    "parameters", "parameters/operator_policy", "parameters/operator_policy/shop",
    "parameters/operator_policy/shop/age", "global-parameters", "global-parameters/cluster_name",
    "policies", "policies/shop", "policies/shop/limits", "operator-policies", "operator-policies/shop",
    "operator-policies/shop/age", "vhost-limits", "vhost-limits/shop", "user-limits", "user-limits/management",
    "topic-permissions", "topic-permissions/shop/management", "topic-permissions/shop/management/topic",
    "permissions", "permissions/shop", "permissions/shop/management", "users", "users/guest", "users/management",
    "users/without-permissions", "users/management/permissions", "users/management/topic-permissions",
    "vhosts/shop/deletion/protection", "feature-flags", "deprecated-features", "deprecated-features/used",
    "config/effective", "auth/hash_password/x", "auth/attempts/{node}", "auth/attempts/{node}/source", "extensions",
    "aliveness-test/shop", "aliveness-test/nosuch", "queues/quorum/shop/quorum/status", "rebalance/queues",
    "health/checks/alarms", "health/checks/local-alarms", "health/checks/metadata-store/initialized",
    "health/checks/metadata-store/initialized/with-data", "health/checks/certificate-expiration/1/weeks",
    "health/checks/port-listener/1", "health/checks/protocol-listener/amqp", "health/checks/virtual-hosts",
    "health/checks/quorum-queues-without-elected-leaders/all-vhosts/",
    "health/checks/quorum-queues-without-elected-leaders/vhost/shop",
    "health/checks/node-is-quorum-critical", "health/checks/is-in-service",
    "health/checks/below-node-connection-limit", "health/checks/ready-to-serve-clients", "healthchecks/node",
)  # fmt: skip

#: Refused for its body, if the user may make the call at all.
_CHANGES = (
    ("POST", "definitions"), ("POST", "definitions/shop"), ("POST", "all-configuration"),
    ("PUT", "parameters/operator_policy/shop/x"), ("PUT", "global-parameters/x"), ("PUT", "cluster-name"),
    ("PUT", "policies/shop/x"), ("PUT", "policies/nosuch/x"), ("PUT", "operator-policies/shop/x"),
    ("PUT", "vhost-limits/shop/max-queues"), ("PUT", "user-limits/management/max-channels"),
    ("PUT", "permissions/shop/none"), ("PUT", "topic-permissions/shop/none"), ("PUT", "users/x"),
    ("POST", "users/bulk-delete"), ("PUT", "vhosts/shop"), ("PUT", "queues/shop/x"), ("PUT", "exchanges/shop/x"),
    ("POST", "bindings/shop/e/direct/q/spare"), ("POST", "queues/shop/spare/get"),
    ("POST", "queues/shop/spare/actions"), ("POST", "exchanges/shop/direct/publish"),
    ("POST", "queues/quorum/shop/quorum/replicas/add"), ("PUT", "feature-flags/nosuch/enable"),
)  # fmt: skip

#: Deletions of what is not there.
_DELETED = (
    "parameters/operator_policy/shop/nosuch", "global-parameters/nosuch", "policies/shop/nosuch",
    "operator-policies/shop/nosuch", "user-limits/management/max-channels", "permissions/shop/nosuch",
    "topic-permissions/shop/nosuch", "topic-permissions/shop/none/topic", "users/nosuch", "vhosts/nosuch",
    "queues/shop/nosuch", "queues/shop/nosuch/contents", "exchanges/shop/nosuch", "connections/nosuch",
    "connections/username/nosuch", "vhosts/nosuch/deletion/protection", "reset/nosuch",
    "bindings/shop/e/direct/q/spare/nosuch",
)  # fmt: skip

CALLS = [
    *[call for path in _READ for call in by_all(path)],
    *[call for method, path in _CHANGES for call in by_all(path, method, b"junk")],
    *[call for path in _DELETED for call in by_all(path, "DELETE")],
    # changes that are made, by those who may
    *by_all("policies/shop/by", "PUT", {"pattern": "^nosuch$", "definition": {"max-length": 1}}),
    *by_all("policies/shop/by", "DELETE"),
    *by_all("operator-policies/shop/by", "PUT", {"pattern": "^nosuch$", "definition": {"max-length": 1}}),
    *by_all("operator-policies/shop/by", "DELETE"),
    *by_all("global-parameters/by", "PUT", {"value": 1}), *by_all("global-parameters/by", "DELETE"),
    *by_all("vhosts/made", "PUT", {}), *by_all("vhosts/made", "DELETE"),
    *by_all("users/made", "PUT", {"tags": "", "password": "pw"}), *by_all("users/made", "DELETE"),
    *by_all("queues/shop/made", "PUT", {"durable": True}), *by_all("queues/shop/made", "DELETE"),
    *by_all("exchanges/shop/made", "PUT", {"type": "fanout"}), *by_all("exchanges/shop/made", "DELETE"),
    # permissions in a virtual host, and nothing more
    put("users/reader", {"tags": "management", "password": "pw"}),
    put("permissions/shop/reader", {"configure": "^own", "write": "^own|^topic$", "read": "^own"}),
    *[put(path, body, user="reader") for path, body in (
        ("queues/shop/own", {"durable": True}), ("queues/shop/other", {"durable": True}),
        ("exchanges/shop/own", {"type": "fanout"}), ("exchanges/shop/other", {"type": "fanout"}),
        ("queues/shop/own2", {"durable": True, "arguments": {"x-dead-letter-exchange": "direct"}}),
        ("exchanges/shop/own2", {"type": "fanout", "arguments": {"alternate-exchange": "direct"}}),
        ("queues/nosuch/own", {}),
    )],
    *delete("queues/shop/spare", "queues/shop/own", "exchanges/shop/direct", "exchanges/shop/own",
            "queues/shop/own/contents", "queues/shop/spare/contents", "exchanges/shop/own2", user="reader"),
    *delete("queues/shop/own", "exchanges/shop/own", "exchanges/shop/own2", "queues/shop/own2",
            "users/reader"),
]  # fmt: skip
