"""Publishing and fetching messages, purging, actions and replicas of queues."""

from conformance.api.call import Call, delete, get, post, put

_BASE64 = "base64"
_ALL = {
    "delivery_mode": 2, "priority": 5, "content_type": "text/plain", "content_encoding": "utf-8",
    "correlation_id": "c", "reply_to": "r", "expiration": "60000", "message_id": "m", "timestamp": 1234567890,
    "type": "t", "app_id": "a", "cluster_id": "cl",
    "headers": {"a": 1, "b": "x", "c": True, "d": 1.5, "e": [1, "y"], "f": {"g": 2}},
}  # fmt: skip

#: Properties, good and bad.
_PROPERTIES = (
    {"user_id": "guest"}, {"user_id": "x"}, {"expiration": "x"}, {"expiration": 7}, {"expiration": "-1"},
    {"headers": 7}, {"headers": []}, {"headers": {"a": None}}, {"delivery_mode": "2"}, {"delivery_mode": "x"},
    {"priority": "3"}, {"priority": 256}, {"priority": -1}, {"priority": 1.5}, {"timestamp": "7"},
    {"timestamp": -1}, {"content_type": 7}, {"content_type": "x" * 300}, {"nosuch": 1}, {"headers": {"CC": ["sent"]}},
    {"headers": {"CC": "sent"}}, {"headers": {"BCC": ["sent"]}}, {"reply_to": "amq.rabbitmq.reply-to"},
    {"delivery_mode": 7}, {"delivery_mode": True}, {"headers": {"big": 2**40, "huge": 2**70}}, {"message_id": None},
    7, [], "x", None,
)  # fmt: skip


def _publish(
    exchange: str, key: object, payload: object = "hello", properties: object = None, encoding: object = "string",
    user: str = "guest",
) -> Call:  # fmt: skip
    body = {"properties": {} if properties is None else properties, "routing_key": key, "payload": payload,
            "payload_encoding": encoding}  # fmt: skip
    return post(f"exchanges/shop/{exchange}/publish", body, user)


def _get(
    queue: str, count: object = 1, ackmode: object = "ack_requeue_false", encoding: object = "auto",
    user: str = "guest", **more: object,
) -> Call:  # fmt: skip
    body = {"count": count, "ackmode": ackmode, "encoding": encoding, **more}
    return post(f"queues/shop/{queue}/get", body, user)


_PUT_BACK = "ack_requeue_true"

CALLS = [
    *[put(f"queues/shop/sent{name}", {"durable": True, "arguments": arguments}) for name, arguments in (
        ("", {}), ("-quorum", {"x-queue-type": "quorum"}), ("-stream", {"x-queue-type": "stream"}),
        ("-full", {"x-max-length": 0, "x-overflow": "reject-publish"}),
    )],
    put("exchanges/shop/sent-inside", {"type": "fanout", "internal": True}),
    put("users/sender", {"tags": "management", "password": "pw"}),
    put("permissions/shop/sender", {"configure": "", "write": "^w", "read": "^r"}),
    _publish("amq.default", "sent"), _get("sent"), _get("sent"),
    *[_publish(exchange, key) for exchange, key in (
        ("amq.default", "nosuch"), ("direct", "sent"), ("nosuch", "sent"), ("sent-inside", "sent"),
        ("amq.default", "sent-full"), ("amq.rabbitmq.trace", "sent"),
    )],
    _publish("amq.default", "sent", properties=_ALL), _get("sent", ackmode=_PUT_BACK), _get("sent"),
    *[call for properties in _PROPERTIES
      for call in (_publish("amq.default", "sent", properties=properties), _get("sent", 5))],
    # bodies
    *[post("exchanges/shop/amq.default/publish", body) for body in (
        {}, b"junk", b"[]", {"properties": {}, "payload": "x", "payload_encoding": "string"},
        {"properties": {}, "routing_key": "sent", "payload_encoding": "string"},
        {"properties": {}, "routing_key": "sent", "payload": "x"},
        {"routing_key": "sent", "payload": "x", "payload_encoding": "string"},
    )],
    _publish("amq.default", "sent", 7), _publish("amq.default", 7), _publish("amq.default", "k" * 300),
    *[_publish("amq.default", "sent", payload, encoding=_BASE64) for payload in (
        "!!!", "eA==", "eA", "e A==", "/w==", 7,
    )],
    *[_publish("amq.default", "sent", payload, encoding=encoding) for payload, encoding in (
        ("x", "foo"), ("x", 7), ("", "string"), ("ä", "string"), ({"a": 1}, "string"),
    )],
    _get("sent", 20),
    # how messages are fetched
    *[_publish("amq.default", "sent", payload, encoding=encoding) for payload, encoding in (
        ("/w==", _BASE64), ("abcdef", "string"), ("x" * 10, "string"),
    )],
    _get("sent", 20, _PUT_BACK, truncate=3), _get("sent", 20, "reject_requeue_true", _BASE64),
    *[_get("sent", 1, _PUT_BACK, truncate=length) for length in ("3", "x", -1, 0, 100, None, 1.5)],
    _get("sent", 2, "reject_requeue_false"), _get("sent", -1, _PUT_BACK),
    *[_get("sent", count) for count in (0, "2", "x", 1.5, None)],
    _get("sent", ackmode="x"), _get("sent", ackmode=7), _get("sent", encoding="x"), _get("sent", encoding=7),
    *[post(path, body) for path, body in (
        ("queues/shop/sent/get", {"count": 1, "requeue": True, "encoding": "auto"}), ("queues/shop/sent/get", {}),
        ("queues/shop/sent/get", b"junk"), ("queues/shop/nosuch/get", {}), ("queues/nosuch/sent/get", {}),
        ("exchanges/nosuch/direct/publish", {}),
    )],
    _get("nosuch"), _get("mine"),
    _get("sent-stream"), _publish("amq.default", "sent-quorum"),
    *[_get("sent-quorum", ackmode=ackmode) for ackmode in (
        _PUT_BACK, "reject_requeue_true", "reject_requeue_false", "ack_requeue_false",
    )],
    # permissions
    _publish("amq.default", "sent", user="sender"), _publish("direct", "sent", user="sender"),
    _publish("w", "sent", user="sender"), _get("sent", user="sender"), _get("r", user="sender"),
    _publish("amq.default", "sent", user="stranger"), _get("sent", user="stranger"),
    # actions, contents, replicas
    *[post("queues/shop/sent/actions", body) for body in (
        {"action": "sync"}, {"action": "cancel_sync"}, {}, {"action": 7}, {"action": "nosuch"},
    )],
    post("queues/shop/nosuch/actions", {"action": "sync"}),
    *get("queues/quorum/shop/sent/status", "queues/quorum/shop/sent-stream/status",
         "queues/quorum/shop/nosuch/status", "queues/quorum/nosuch/sent/status"),
    *[Call(method, f"queues/quorum/shop/{path}", body=body) for method, path, body in (
        ("POST", "sent-quorum/replicas/add", {"node": "nosuch@x"}), ("POST", "sent-quorum/replicas/add", {}),
        ("POST", "nosuch/replicas/add", {"node": "nosuch@x"}),
        ("POST", "sent-quorum/replicas/add", {"node": "{node}"}), ("POST", "sent/replicas/add", {"node": "{node}"}),
        ("DELETE", "sent-quorum/replicas/delete", {"node": "nosuch@x"}), ("DELETE", "sent-quorum/replicas/delete", {}),
        ("DELETE", "sent/replicas/delete", {"node": "{node}"}), ("DELETE", "nosuch/replicas/delete", {}),
    )],
    post("queues/quorum/replicas/on/nosuch/grow", {}),
    post("queues/quorum/replicas/on/{node}/grow",
         {"strategy": "all", "queue_pattern": "^nosuch$", "vhost_pattern": ".*"}),
    *delete("queues/quorum/replicas/on/nosuch/shrink"),
    post("rebalance/queues", {}),
    _publish("amq.default", "sent"),
    *delete("queues/shop/sent/contents", "queues/shop/sent-stream/contents", "queues/shop/nosuch/contents",
            "queues/shop/mine/contents"),
    *delete("queues/shop/sent/contents", user="sender"), _get("sent"),
    *delete("queues/shop/sent", "queues/shop/sent-quorum", "queues/shop/sent-stream", "queues/shop/sent-full",
            "exchanges/shop/sent-inside", "users/sender"),
]  # fmt: skip
