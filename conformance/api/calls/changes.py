"""Virtual hosts, users, permissions, exchanges, queues, policies, parameters and limits.

They are made, changed and deleted, with good and bad bodies, by those who may.
"""

from conformance.api.call import Call, delete, get, post, put


def _bad(path: str, method: str = "PUT") -> list[Call]:
    """Bodies that are not a JSON object."""
    return [Call(method, path, body=body) for body in (b"junk", b"[]", b'"{}"', b"7", b"\xff", b"null", b"")]


def _role(role: str, *calls: Call) -> list[Call]:
    """The same calls by another user."""
    return [Call(call.method, call.path, role, call.body, call.headers) for call in calls]


_VHOSTS = [
    *_bad("vhosts/v1"), *get("vhosts/v1?disable_stats=true"), *delete("vhosts/v1"), *delete("vhosts/v1"),
    put("vhosts/v1", {"description": "d", "tags": "x, y", "default_queue_type": "quorum", "tracing": True}),
    *get("vhosts/v1?disable_stats=true", "vhosts/v1/permissions"),
    *[put("vhosts/v1", body) for body in ({"tags": ["a"]}, {"default_queue_type": "nosuch"}, {"tracing": "maybe"},
      {"description": 7}, {"default_queue_type": "undefined"}, {"metadata": {"tags": ["m"], "description": "md"}})],
    *get("vhosts/v1?disable_stats=true"),
    post("vhosts/v1/deletion/protection"), *delete("vhosts/v1"), *get("vhosts/v1?disable_stats=true"),
    *delete("vhosts/v1/deletion/protection"),
    post("vhosts/v1/start/{node}"), post("vhosts/v1/start/nosuch"), post("vhosts/nosuch/start/{node}"),
    post("vhosts/nosuch/deletion/protection"), *delete("vhosts/nosuch/deletion/protection"),
    *delete("vhosts/v1"), put("vhosts/a%2Fb%20c%2Bd%25"), *get("vhosts/a%2Fb%20c%2Bd%25?disable_stats=true"),
    *delete("vhosts/a%2Fb%20c%2Bd%25", "vhosts/nosuch"),
]  # fmt: skip

_USERS = [
    *_bad("users/u1"),
    *[put("users/u1", body) for body in (
        {"password": "p"}, {"tags": "management"}, {"password": "p", "tags": "management,x"},
        {"password": "p", "tags": ["a", "b"]}, {"password_hash": "", "tags": ""}, {"password_hash": "!", "tags": ""},
        {"password": "p", "password_hash": "x", "tags": ""}, {"password": "", "tags": ""},
        {"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": ""},
        {"password": "p", "tags": "", "hashing_algorithm": "rabbit_password_hashing_sha512"},
        {"password": "p", "tags": "", "hashing_algorithm": "nosuch"},
    )],
    *get("users/u1", "users/u1/permissions", "users/u1/topic-permissions", "users/u1/queues", "users/nosuch"),
    *_bad("permissions/shop/u1"),
    *[put("permissions/shop/u1", body) for body in (
        {"configure": "", "write": "", "read": ".*"}, {"configure": ".*", "write": ".*"}, {"configure": "("},
        {"configure": "(", "write": "", "read": ""}, {"configure": ".*", "write": ".*", "read": ".*"},
    )],
    *get("permissions/shop/u1"), put("permissions/nosuch/u1", {"configure": "", "write": "", "read": ""}),
    put("permissions/shop/nosuch", {"configure": "", "write": "", "read": ""}),
    *[put("topic-permissions/shop/u1", body) for body in (
        {"exchange": "topic", "write": "^a", "read": ".*"}, {"exchange": "nosuch", "write": "", "read": ""},
        {"exchange": "topic", "write": "(", "read": ""}, {"exchange": "topic"}, {},
    )],
    *get("topic-permissions/shop/u1", "topic-permissions/shop/u1/topic", "topic-permissions/shop/u1/nosuch"),
    *delete("topic-permissions/shop/u1/topic", "topic-permissions/shop/u1", "permissions/shop/u1",
    "permissions/shop/u1"),
    *[put(f"user-limits/u1/{name}", body) for name, body in (
        ("max-connections", {"value": 5}), ("max-channels", {"value": -1}), ("nosuch", {"value": 1}),
        ("max-connections", {"value": "x"}), ("max-connections", {}), ("max-connections", {"value": 1.5}),
    )],
    *get("user-limits/u1"), *delete("user-limits/u1/max-connections", "user-limits/u1/nosuch"),
    *get("user-limits/u1"),
    put("user-limits/nosuch/max-connections", {"value": 5}),
    put("users/u2", {"password": "p", "tags": ""}), post("users/bulk-delete", {"users": ["u1", "u2", "nosuch"]}),
    *[post("users/bulk-delete", body) for body in ({}, {"users": []}, {"users": "u"}, {"users": [7]}, b"junk")],
    *delete("users/u1", "users/nosuch"), put("users/a%2Fb%20%C3%BC", {"password": "p", "tags": ""}),
    *get("users/a%2Fb%20%C3%BC"), *delete("users/a%2Fb%20%C3%BC"),
]  # fmt: skip

_EXCHANGES = [
    *_bad("exchanges/shop/e1"), *delete("exchanges/shop/e1"),
    *[put("exchanges/shop/e1", body) for body in (
        {"type": "topic", "durable": True}, {"type": "topic", "durable": True}, {"type": "direct", "durable": True},
        {"type": "topic", "durable": "true"}, {"type": "topic", "durable": "maybe"}, {"type": "topic",
        "auto_delete": 7},
    )],
    *get("exchanges/shop/e1?disable_stats=true"), *delete("exchanges/shop/e1"),
    *[put("exchanges/shop/e1", body) for body in (
        {"type": "nosuch"}, {"type": 7}, {"arguments": "x"}, {"arguments": {"alternate-exchange": 7}},
        {"type": "fanout", "arguments": {"alternate-exchange": "direct", "n": None}}, {"arguments": []},
        {"type": "headers", "internal": True, "auto_delete": True, "arguments": {"a": [1, "b", True, {"c": 1.5}]}},
    )],
    *get("exchanges/shop/e1?disable_stats=true"), put("exchanges/shop/amq.e"), put("exchanges/shop/amq.default"),
    *delete("exchanges/shop/amq.default", "exchanges/shop/amq.direct", "exchanges/shop/topic?if-unused=true"),
    put("exchanges/nosuch/e1", {}), *delete("exchanges/nosuch/e1"), *delete("exchanges/shop/e1?if-unused=true"),
    *_role("management", put("exchanges/shop/e2", {"type": "topic"}), *delete("exchanges/shop/e2")),
    *_role("stranger", put("exchanges/shop/e2", {"type": "topic"}), *delete("exchanges/shop/e2")),
    put("exchanges/shop/a%2Fb%20c%2Bd%25%C3%BC", {}),
    *get("exchanges/shop/a%2Fb%20c%2Bd%25%C3%BC?disable_stats=true"),
    *delete("exchanges/shop/a%2Fb%20c%2Bd%25%C3%BC"),
]  # fmt: skip

_QUEUES = [
    *_bad("queues/shop/q1"), *delete("queues/shop/q1"), put("queues/shop/q1", {"durable": True}),
    *[put("queues/shop/q1", body) for body in (
        {"durable": True}, {"durable": "true"}, {"durable": False}, {"durable": True, "auto_delete": True},
        {"durable": True, "arguments": {"x-max-length": 1}}, {"durable": "maybe"}, {"durable": True,
        "node": "nosuch"},
        {"durable": True, "node": "{node}"}, {"durable": True, "exclusive": True},
    )],
    *get("queues/shop/q1?disable_stats=true"), *delete("queues/shop/q1?if-empty=true&if-unused=true"),
    *[put("queues/shop/q1", body) for body in (
        {"durable": True, "arguments": {"x-queue-type": "nosuch"}}, {"durable": True,
        "arguments": {"x-max-length": "x"}},
        {"durable": True, "arguments": {"x-message-ttl": -1}}, {"durable": True, "arguments": "x"},
        {"durable": True, "arguments": {"x-nosuch": None}}, {"arguments": {"x-queue-type": "quorum"}},
        {"durable": True, "arguments": {"x-dead-letter-exchange": "direct", "x-overflow": "reject-publish"}},
    )],
    *get("queues/shop/q1?disable_stats=true"), put("queues/shop/amq.q1", {"durable": True}),
    put("queues/nosuch/q1", {}),
    *delete("queues/shop/classic?if-empty=true", "queues/shop/classic?if-unused=true", "queues/shop/mine",
            "queues/shop/q1", "queues/shop/q1", "queues/nosuch/q1", "queues/shop/nosuch/contents",
            "queues/shop/mine/contents",
            "queues/shop/stream/contents", "queues/shop/spare/contents"),
    *_role("management", put("queues/shop/q2", {"durable": True}), *delete("queues/shop/q2")),
    *_role("stranger", put("queues/shop/q2", {"durable": True}), *delete("queues/shop/q2")),
    *[post("queues/shop/spare/actions", body) for body in ({"action": "sync"}, {"action": "nosuch"}, {}, b"junk")],
    put("queues/shop/a%2Fb%20c%2Bd%25", {"durable": True}), *get("queues/shop/a%2Fb%20c%2Bd%25?disable_stats=true"),
    *delete("queues/shop/a%2Fb%20c%2Bd%25"),
]  # fmt: skip


def _policies(path: str) -> list[Call]:
    good = {"pattern": "^q", "definition": {"max-length": 5}, "priority": 1, "apply-to": "queues"}
    return [
        *_bad(f"{path}/p1"),
        *[put(f"{path}/p1", body) for body in (
            good, good, {**good, "priority": "x"}, {**good, "priority": "3"}, {**good, "apply-to": "nosuch"},
            {**good, "apply-to": "quorum_queues"}, {**good, "pattern": "("}, {**good, "definition": {}},
            {**good, "definition": {"nosuch": 1}}, {**good, "definition": {"max-length": "x"}}, {**good,
            "definition": 7},
            {"pattern": "^q"}, {"definition": {"max-length": 1}}, {"pattern": "^q", "definition": {"max-length": 9}},
        )],
        *get(f"{path}/p1", path, f"{path}/nosuch"), *delete(f"{path}/p1", f"{path}/p1"),
        *_role("policymaker", put(f"{path}/p2", good), *delete(f"{path}/p2")),
        *_role("management", put(f"{path}/p2", good), *delete(f"{path}/p2")),
    ]  # fmt: skip


_PARAMETERS = [
    *[put(path, {"value": value}) for path, value in (
        ("parameters/nosuch/shop/x", 1), ("parameters/vhost-limits/shop/limits", {"max-queues": 1000}),
        ("parameters/vhost-limits/shop/limits", {"nosuch": 1}),
        ("parameters/vhost-limits/shop/x", {"max-queues": 1000}),
        ("parameters/shovel/shop/s", {"src-uri": "amqp://"}), ("parameters/federation-upstream/shop/f",
        {"uri": "amqp://"}),
        ("parameters/operator_policy/shop/age2", {"pattern": "^z", "definition": {"expires": 3600000}}),
        ("parameters/policy/shop/x", {"pattern": "^z", "definition": {"max-length": 1}}),
    )],
    *_bad("parameters/nosuch/shop/x"), put("parameters/nosuch/nosuch/x", {"value": 1}),
    put("parameters/nosuch/shop/x", {}),
    *get("parameters", "parameters/operator_policy/shop/age2", "parameters/vhost-limits"),
    *delete("parameters/vhost-limits/shop/x"),
    *delete("parameters/operator_policy/shop/age2", "parameters/nosuch/shop/x", "parameters/policy/shop/x"),
    *[put("global-parameters/g1", {"value": value}) for value in (1, "x", {"a": [1, None]}, [], None, True)],
    *_bad("global-parameters/g1"), put("global-parameters/g1", {}), *get("global-parameters", "global-parameters/g1"),
    *_role("policymaker", put("global-parameters/g2", {"value": 1}), *delete("global-parameters/g2")),
    *_role("management", put("global-parameters/g2", {"value": 1}), *delete("global-parameters/g2")),
    *delete("global-parameters/g1", "global-parameters/g1"),
    *_bad("cluster-name"), put("cluster-name", {"name": "c1"}), *get("cluster-name"), put("cluster-name",
    {"name": 7}),
    put("cluster-name", {}), put("cluster-name", {"name": "{cluster}"}),
    *delete("global-parameters/cluster_name"),
    *[put(f"vhost-limits/shop/{name}", body) for name, body in (
        ("max-connections", {"value": 5}), ("max-queues", {"value": -1}), ("nosuch", {"value": 1}),
        ("max-connections", {"value": "x"}), ("max-connections", {}), ("max-queues", {"value": 1000}),
    )],
    *get("vhost-limits/shop"), *delete("vhost-limits/shop/max-connections", "vhost-limits/shop/nosuch"),
    put("vhost-limits/shop/max-queues", {"value": 1000}),
    put("vhost-limits/nosuch/max-queues", {"value": 1}), *get("vhost-limits/shop"),
    put("vhosts/v2"), put("vhost-limits/v2/max-queues", {"value": 1}), *delete("vhost-limits/v2/max-queues"),
    *get("vhost-limits/v2"), *delete("vhosts/v2"),
]  # fmt: skip

CALLS = [
    *_VHOSTS, *_USERS, *_EXCHANGES, *_QUEUES, *_policies("policies/shop"), *_policies("operator-policies/shop"),
    *_PARAMETERS,
]  # fmt: skip
