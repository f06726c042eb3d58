"""Every other route that is read, by each kind of user, and the methods that it has not."""

from conformance.api.call import ROLES, by_all, methods

_PATHS = (
    "definitions/shop", "definitions/nosuch", "all-configuration",
    "parameters", "parameters/operator_policy", "parameters/operator_policy/shop",
    "parameters/operator_policy/shop/age",
    "parameters/vhost-limits/shop/limits", "parameters/nosuch", "parameters/nosuch/shop", "parameters/nosuch/shop/x",
    "parameters/operator_policy/nosuch", "global-parameters", "global-parameters/cluster_name",
    "global-parameters/nosuch",
    "policies", "policies/shop", "policies/nosuch", "policies/shop/limits", "policies/shop/nosuch",
    "operator-policies", "operator-policies/shop", "operator-policies/shop/age", "operator-policies/nosuch",
    "vhost-limits", "vhost-limits/shop", "vhost-limits/%2F", "vhost-limits/nosuch",
    "user-limits", "user-limits/management", "user-limits/guest", "user-limits/nosuch",
    "permissions", "permissions/shop/management", "permissions/shop/nosuch", "permissions/nosuch/guest",
    "topic-permissions", "topic-permissions/shop/management", "topic-permissions/shop/management/topic",
    "topic-permissions/shop/guest", "topic-permissions/nosuch/guest",
    "users", "users/without-permissions", "users/management", "users/nosuch", "users/management/permissions",
    "users/management/topic-permissions", "users/nosuch/permissions", "vhosts/shop/deletion/protection",
    "feature-flags", "deprecated-features", "deprecated-features/used",
    "queues/quorum/shop/quorum/status", "queues/quorum/shop/classic/status", "queues/quorum/shop/nosuch/status",
    "auth/attempts/{node}", "auth/attempts/{node}/source", "auth/attempts/nosuch", "auth/hash_password/secret",
    "config/effective", "aliveness-test/shop", "aliveness-test/%2F", "aliveness-test/nosuch",
    "healthchecks/node", "healthchecks/node/{node}", "healthchecks/node/nosuch",
    "federation-links", "federation-links/shop", "shovels", "shovels/shop", "stream/connections", "stream/publishers",
    "stream/consumers", "traces", "traces/shop", "top/{node}", "nosuch", "queues/shop/classic/nosuch", "",
)  # fmt: skip

_CHECKS = (
    "alarms", "local-alarms", "metadata-store/initialized", "metadata-store/initialized/with-data",
    "certificate-expiration/1/months", "certificate-expiration/1/nosuch", "certificate-expiration/x/days",
    "port-listener/{amqp}", "port-listener/1", "port-listener/x", "protocol-listener/amqp", "protocol-listener/mqtt",
    "protocol-listener/amqp,http", "protocol-listener/amqp,mqtt,stomp", "protocol-listener/AMQP091", "virtual-hosts",
    "quorum-queues-without-elected-leaders/all-vhosts", "quorum-queues-without-elected-leaders/vhost/shop",
    "quorum-queues-without-elected-leaders/vhost/nosuch",
    "quorum-queues-without-elected-leaders/all-vhosts/pattern/.*",
    "quorum-queues-without-elected-leaders/vhost/shop/pattern/%5Eq", "node-is-quorum-critical",
    "node-is-mirror-sync-critical", "is-in-service", "below-node-connection-limit", "ready-to-serve-clients",
    "reached-target-cluster-size", "nosuch",
)  # fmt: skip

#: Routes that only change something: what they answer to users who may not, and to other methods.
_CHANGES = (
    ("DELETE", "reset"), ("DELETE", "reset/{node}"), ("POST", "rebalance/queues"), ("POST", "users/bulk-delete"),
    ("POST", "exchanges/shop/direct/publish"), ("POST", "queues/shop/spare/get"), ("POST",
    "queues/shop/spare/actions"),
    ("PUT", "feature-flags/nosuch/enable"), ("POST", "vhosts/shop/start/{node}"), ("DELETE",
    "queues/shop/spare/contents"),
    ("PUT", "vhosts/nosuch"), ("DELETE", "vhosts/shop"), ("PUT", "users/nosuch"), ("DELETE", "users/guest"),
    ("PUT", "permissions/shop/guest"), ("DELETE", "permissions/shop/guest"), ("PUT", "topic-permissions/shop/guest"),
    ("DELETE", "topic-permissions/shop/guest"), ("PUT", "policies/shop/nosuch"), ("DELETE", "policies/shop/nosuch"),
    ("PUT", "operator-policies/shop/nosuch"), ("DELETE", "operator-policies/shop/nosuch"),
    ("PUT", "parameters/nosuch/shop/x"), ("DELETE", "parameters/nosuch/shop/x"), ("PUT", "global-parameters/nosuch"),
    ("DELETE", "global-parameters/nosuch"), ("PUT", "vhost-limits/shop/max-queues"), ("PUT", "cluster-name"),
    ("DELETE", "vhost-limits/shop/max-connections"), ("PUT", "user-limits/guest/max-channels"),
    ("DELETE", "user-limits/guest/max-channels"), ("POST", "definitions"), ("POST", "definitions/shop"),
    ("POST", "vhosts/shop/deletion/protection"), ("DELETE", "vhosts/shop/deletion/protection"),
    ("POST", "queues/quorum/shop/quorum/replicas/add"), ("DELETE", "queues/quorum/shop/quorum/replicas/delete"),
    ("POST", "queues/quorum/replicas/on/{node}/grow"), ("DELETE", "queues/quorum/replicas/on/{node}/shrink"),
    ("DELETE", "auth/attempts/{node}"), ("DELETE", "auth/attempts/{node}/source"),
    ("PUT", "queues/shop/new"), ("DELETE", "queues/shop/nosuch"), ("PUT", "exchanges/shop/new"),
    ("DELETE", "exchanges/shop/nosuch"), ("DELETE", "connections/nosuch"), ("DELETE", "connections/username/nosuch"),
)  # fmt: skip

#: Users who may not change anything; administrators, policymakers and management users may.
_POWERLESS = tuple(role for role in ROLES if role in ("impersonator", "none", "stranger", "wrong", ""))

CALLS = [
    *[call for path in _PATHS for call in by_all(path)],
    *[call for check in _CHECKS for call in by_all(f"health/checks/{check}", roles=("administrator", "management",
    ""))],
    *[call for method, path in _CHANGES for call in by_all(path, method, {}, _POWERLESS)],
    *[
        call
        for path in ("users", "users/guest", "permissions", "permissions/shop/guest", "definitions", "vhost-limits",
                     "policies/shop/limits", "global-parameters/cluster_name", "feature-flags", "config/effective",
                     "health/checks/alarms", "users/bulk-delete", "exchanges/shop/direct/publish",
                     "queues/shop/spare/get",
                     "aliveness-test/shop", "nosuch", "whoami", "vhosts/shop/deletion/protection", "login")
        for call in methods(path, "HEAD", "OPTIONS", "PATCH", "TRACE")
    ],
    *[call for path in ("users", "permissions", "vhost-limits", "feature-flags", "whoami", "health/checks/alarms")
      for call in methods(path, "PUT", "POST", "DELETE")],
]  # fmt: skip
