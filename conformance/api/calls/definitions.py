"""Definitions: exported whole and for one virtual host, imported, and documents that cannot be."""

from conformance.api.call import Call, delete, get, post

_USER = {
    "name": "d1",
    "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
    "tags": ["management"],
}
_VHOST = {"name": "dv"}
_PERMISSION = {"user": "d1", "vhost": "dv", "configure": ".*", "write": ".*", "read": ".*"}
_EXCHANGE = {"name": "x", "vhost": "dv", "type": "topic", "durable": True}
_QUEUE = {"name": "q", "vhost": "dv", "durable": True, "arguments": {"x-queue-type": "quorum"}}
_BINDING = {"source": "x", "vhost": "dv", "destination": "q", "destination_type": "queue", "routing_key": "k",
            "arguments": {"a": 1}}  # fmt: skip
_POLICY = {
    "name": "p",
    "vhost": "dv",
    "pattern": "^q",
    "definition": {"max-length": 3},
    "priority": 1,
    "apply-to": "all",
}

_WHOLE = {
    "users": [_USER], "vhosts": [_VHOST], "permissions": [_PERMISSION], "exchanges": [_EXCHANGE], "queues": [_QUEUE],
    "bindings": [_BINDING], "policies": [_POLICY],
    "parameters": [{"component": "vhost-limits", "name": "limits", "vhost": "dv", "value": {"max-queues": 9}}],
    "global_parameters": [{"name": "dg", "value": {"a": 1}}],
    "topic_permissions": [{"user": "d1", "vhost": "dv", "exchange": "x", "write": "^a", "read": ""}],
}  # fmt: skip

_BAD = (
    b"junk", b"[]", b"", b"null", b'"{}"',
    {"users": 7}, {"users": [{}]}, {"users": [{"name": "d2"}]}, {"users": [{"name": "d2", "password_hash": "!",
    "tags": ""}]},
    {"vhosts": [{}]}, {"permissions": [{"user": "nosuch", "vhost": "shop", "configure": "", "write": "",
    "read": ""}]},
    {"permissions": [{"user": "guest", "vhost": "nosuch", "configure": "", "write": "", "read": ""}]},
    {"exchanges": [{"name": "x", "vhost": "shop"}]}, {"exchanges": [{**_EXCHANGE, "vhost": "nosuch"}]},
    {"exchanges": [{**_EXCHANGE, "vhost": "shop", "type": "nosuch"}]},
    {"queues": [{**_QUEUE, "vhost": "shop", "name": "classic"}]}, {"queues": [{**_QUEUE, "vhost": "nosuch"}]},
    {"bindings": [{**_BINDING, "vhost": "shop", "source": "nosuch"}]}, {"policies": [{**_POLICY, "vhost": "nosuch"}]},
    {"policies": [{**_POLICY, "vhost": "shop", "definition": {"nosuch": 1}}]},
    {"parameters": [{"component": "nosuch", "name": "x", "vhost": "shop", "value": 1}]}, {"nosuch": []}, {},
    {"rabbit_version": "99.0.0"},
)  # fmt: skip

CALLS = [
    *get("definitions/shop", "definitions/a%2Fb%20%C3%BC", "definitions/nosuch", "definitions/shop?download=f.json"),
    *get("definitions/shop", user="management"), *get("definitions", user="monitoring"),
    post("definitions", _WHOLE), post("definitions", _WHOLE),
    *get("users/d1", "vhosts/dv?disable_stats=true", "permissions/dv/d1", "exchanges/dv/x?disable_stats=true",
         "queues/dv/q?disable_stats=true", "bindings/dv/e/x/q/q", "policies/dv", "vhost-limits/dv",
         "topic-permissions/dv/d1",
         "global-parameters/dg", "definitions/dv"),
    *[post("definitions", body) for body in _BAD], *[post("definitions/shop", body) for body in _BAD[:8]],
    post("definitions/dv", {"queues": [{"name": "q3", "durable": True}], "exchanges": [], "bindings": [],
    "policies": []}),
    post("definitions/dv", {"queues": [{"name": "q4", "durable": True}]}, "management"),
    post("definitions", {"queues": []}, "policymaker"), post("definitions/nosuch", {"queues": []}),
    *get("queues/dv?disable_stats=true&columns=name,arguments,durable"),
    *delete("vhosts/dv", "users/d1", "global-parameters/dg"),
    Call("GET", "definitions?columns=vhosts"),
]  # fmt: skip
