"""Definitions: what is exported, and documents that are imported, well-formed and not."""

from conformance.api.call import Call, delete, get, post, put

_HASH = "HroPQqaXgCDfqFOIFOQamO87ugqHW8rqivHkabTh2J7yq8Hj"
_QUEUE = {"name": "q", "vhost": "moved", "durable": True, "auto_delete": False, "arguments": {}}
_EXCHANGE = {**_QUEUE, "name": "x", "type": "direct", "internal": False}
_BINDING = {"source": "amq.direct", "vhost": "moved", "destination": "q", "destination_type": "queue",
            "routing_key": "k", "arguments": {}}  # fmt: skip
_POLICY = {"vhost": "moved", "name": "p", "pattern": "x", "apply-to": "all", "definition": {"max-length": 1},
           "priority": 0}  # fmt: skip
_PERMISSION = {"user": "guest", "vhost": "moved", "configure": ".*", "write": ".*", "read": ".*"}
_TOPIC = {"user": "guest", "vhost": "moved", "exchange": "amq.topic", "write": ".*", "read": ".*"}
_USER = {"name": "moved", "password_hash": _HASH, "hashing_algorithm": "rabbit_password_hashing_sha256",
         "tags": ["management"], "limits": {}}  # fmt: skip
_LIMIT = {"vhost": "moved", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 50}}

#: Section -> an entry of it, keys that are left out one at a time, and values that are put in instead.
_ENTRIES: dict[str, tuple[dict[str, object], tuple[str, ...], tuple[dict[str, object], ...]]] = {
    "queues": (_QUEUE, ("vhost", "name", "durable", "auto_delete", "arguments"), (
        {"name": 7}, {"vhost": "nosuch"}, {"vhost": 7}, {"durable": "true"}, {"durable": 1, "name": "q1"},
        {"auto_delete": "x"}, {"arguments": 7}, {"arguments": []}, {"name": "q2", "arguments": {"x-max-length": -1}},
        {"name": "q3", "arguments": {"x-queue-type": "nosuch"}}, {"name": "q4", "arguments": {"x-message-ttl": "x"}},
        {"name": "q5", "durable": False, "arguments": {"x-queue-type": "quorum"}}, {"name": "amq.q"}, {"name": ""},
        {"name": "q6", "type": "quorum"}, {"name": "q7", "exclusive": True}, {"name": "q8", "arguments": None},
        {"name": "q9", "arguments": {"nosuch": [1, {"a": None}]}},
    )),
    "exchanges": (_EXCHANGE, ("vhost", "name", "type", "durable", "arguments"), (
        {"name": 7}, {"type": "nosuch"}, {"type": 7}, {"durable": "true"}, {"internal": "true"}, {"arguments": 7},
        {"name": "amq.x"}, {"name": ""}, {"vhost": "nosuch"}, {"name": "x2", "arguments": {"alternate-exchange": 7}},
        {"name": "x3", "type": "x-delayed-message"}, {"name": "amq.direct"}, {"name": "x", "type": "fanout"},
    )),
    "bindings": (_BINDING, (*_BINDING,), (
        {"destination": "nosuch"}, {"source": "nosuch"}, {"destination_type": "x"}, {"destination_type": 7},
        {"routing_key": 7}, {"vhost": "nosuch"}, {"source": "", "routing_key": "q"}, {"arguments": 7},
        {"destination_type": "exchange", "destination": "nosuch"},
        {"source": "amq.headers", "arguments": {"x-match": "nosuch"}},
    )),
    "policies": (_POLICY, (*_POLICY,), (
        {"pattern": "("}, {"definition": {}}, {"definition": {"nosuch": 1}}, {"definition": {"max-length": "x"}},
        {"definition": 7}, {"priority": "x"}, {"vhost": "nosuch"}, {"name": 7}, {"apply-to": "nosuch"},
        {"apply-to": 7}, {"pattern": 7},
    )),
    "parameters": (_LIMIT, (*_LIMIT,), (
        {"component": "nosuch"}, {"vhost": "nosuch"}, {"value": {"max-queues": "x"}}, {"value": 7},
        {"component": "operator_policy", "name": "op", "value": {"pattern": "x"}}, {"component": 7},
        {"component": "policy", "name": "op", "value": {"pattern": "x"}}, {"component": "shovel", "name": "op"},
        {"component": "operator_policy", "name": "op",
         "value": {"pattern": "x", "definition": {"max-length": 1}, "priority": 0, "apply-to": "all"}},
    )),
    "permissions": (_PERMISSION, (*_PERMISSION,), (
        {"user": "nosuch"}, {"vhost": "nosuch"}, {"configure": "("}, {"configure": 7}, {"user": 7},
        {"user": "nosuch", "vhost": "nosuch"},
    )),
    "topic_permissions": (_TOPIC, (*_TOPIC,), (
        {"exchange": "nosuch"}, {"user": "nosuch"}, {"vhost": "nosuch"}, {"write": "("}, {"exchange": "amq.direct"},
    )),
    "users": (_USER, ("name", "tags", "password_hash", "hashing_algorithm", "limits"), (
        {"tags": 7}, {"tags": "a,b"}, {"password_hash": "!!"}, {"password_hash": 7}, {"password": "x"},
        {"hashing_algorithm": "nosuch"}, {"limits": 7}, {"limits": {"max-channels": "x"}}, {"limits": {"nosuch": 1}},
    )),
    "vhosts": ({"name": "moved2"}, ("name",), (
        {"tags": 7}, {"tags": ["a"]}, {"description": 7}, {"metadata": 7}, {"tracing": "x"},
        {"metadata": {"default_queue_type": "nosuch"}}, {"limits": {"max-queues": 3}}, {"metadata": {"nosuch": 1}},
        {"metadata": {"default_queue_type": "quorum", "description": "d", "tags": ["t"]}},
        {"tags": ["y"], "default_queue_type": "stream"}, {"metadata": {"description": "m"}, "description": "n"},
    )),
    "global_parameters": ({"name": "moved", "value": {"a": 1}}, ("name", "value"), ()),
}  # fmt: skip

#: Documents that are wrong as a whole.
_DOCUMENTS = (
    b"junk", b"", b"null", b"[]", b'"x"', b"7", {}, b"\xef\xbb\xbf{}", b"\xff",
    {"queues": 7}, {"queues": "x"}, {"queues": None}, {"queues": {}}, {"queues": [7, "x", None]}, {"users": 7},
    {"nosuch": [1]},
)  # fmt: skip


def _documents() -> list[Call]:
    """Import each entry: as it is, without each of its keys, and with each of the other values."""
    bodies: list[object] = list(_DOCUMENTS)
    for section, (entry, left_out, others) in _ENTRIES.items():
        entries = [
            entry,
            *[{name: value for name, value in entry.items() if name != key} for key in left_out],
            *[{**entry, **other} for other in others],
        ]
        bodies += [{section: [each]} for each in entries]
    return [post("definitions", body) for body in bodies]


def _without_vhost(entry: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in entry.items() if key != "vhost"}


_ONE_VHOST = (
    b"junk", b"", {"queues": 7}, {"queues": [_without_vhost(_QUEUE)]}, {"queues": [{"durable": True}]},
    {"queues": [{**_QUEUE, "name": "q20", "vhost": "nosuch"}]}, {"exchanges": [_without_vhost(_EXCHANGE)]},
    {"bindings": [_without_vhost(_BINDING)]}, {"bindings": [_without_vhost({**_BINDING, "destination": "nosuch"})]},
    {"policies": [_without_vhost(_POLICY)]}, {"policies": [_without_vhost({**_POLICY, "pattern": "("})]},
    {"parameters": [_without_vhost(_LIMIT)]}, {"parameters": [_without_vhost({**_LIMIT, "component": "nosuch"})]},
    {"users": [_USER], "vhosts": [{"name": "moved9"}], "permissions": [{**_PERMISSION, "user": "nosuch"}]},
    {"metadata": {"description": "x"}, "description": "y", "limits": {"max-queues": 1},
     "queues": [_without_vhost({**_QUEUE, "name": "q21"})]},
)  # fmt: skip

_SEEN = (
    "queues/moved?columns=name,type,durable,auto_delete,arguments&disable_stats=true",
    "exchanges/moved?columns=name,type,durable,auto_delete,internal", "bindings/moved", "policies/moved",
    "operator-policies/moved", "parameters/vhost-limits/moved", "permissions/moved", "topic-permissions/moved/guest",
    "vhosts/moved?disable_stats=true", "vhosts/moved2?disable_stats=true", "users/moved", "user-limits/moved",
    "global-parameters/moved", "definitions/moved",
)  # fmt: skip

CALLS = [
    *get("definitions", "definitions/shop", "definitions/%2F", "definitions/nosuch", "all-configuration",
         "definitions/a%2Fb%20%C3%BC", "definitions?download=x.json", "definitions/shop?download=a%22b.json",
         "definitions?columns=users"),
    put("vhosts/moved", {"description": "d", "tags": "t", "default_queue_type": "quorum"}),
    *_documents(), *get(*_SEEN),
    *[post("definitions/moved", body) for body in _ONE_VHOST], post("definitions/nosuch", {}),
    post("definitions/moved", {"parameters": [{**_LIMIT, "value": {"max-queues": 1}}]}),
    post("definitions/moved", {"queues": [{**_QUEUE, "name": f"l{number}"} for number in range(3)]}),
    post("definitions", {"queues": [{**_QUEUE, "name": f"l{number}"} for number in range(3)]}),
    *get(*_SEEN),
    # as the management page sends it
    *[Call("POST", f"definitions?auth_redirect=x&{query}", body=(
        f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n{document}\r\n--b--\r\n'.encode()
    ), headers={"Content-Type": "multipart/form-data; boundary=b"}) for query, name, document in (
        ("", "file", "{}"), ("redirect=../%23/import-succeeded", "file", "{}"), ("", "file", "junk"),
        ("", "other", "{}"),
    )],
    *delete("users/moved", "global-parameters/moved", "vhosts/moved", "vhosts/moved2", "vhosts/moved9", "vhosts/7",
            "users/7", "global-parameters/7", "global-parameters/undefined"),
]  # fmt: skip
