"""Publishing and getting messages."""

from conformance.api.call import by_all, delete, get, post, put

_PUBLISH, _GET = "exchanges/shop/amq.default/publish", "queues/shop/m1/get"
_GOOD = {"properties": {}, "routing_key": "m1", "payload": "hello", "payload_encoding": "string"}
_ALL = {"count": 10, "ackmode": "ack_requeue_false", "encoding": "auto"}
_PROPERTIES = {
    "content_type": "text/plain", "content_encoding": "utf-8", "delivery_mode": 2, "priority": 3,
    "correlation_id": "c", "reply_to": "r", "expiration": "60000", "message_id": "m", "timestamp": 1700000000,
    "type": "t", "user_id": "guest", "app_id": "a", "cluster_id": "z",
    "headers": {"a": 1, "b": "x", "c": [1, "y"], "d": {"e": True}, "f": 1.5},
}  # fmt: skip

CALLS = [
    put("queues/shop/m1", {"durable": True}),
    *by_all(_PUBLISH, "POST", _GOOD), *by_all(_GET, "POST", {**_ALL, "ackmode": "ack_requeue_true"}),
    post(_GET, _ALL),
    *[post(_PUBLISH, {**_GOOD, **more}) for more in (
        {"payload": "aGk=", "payload_encoding": "base64"}, {"payload": "!", "payload_encoding": "base64"},
        {"payload_encoding": "nosuch"}, {"payload": "ü\x00"}, {"payload": 7}, {"payload": ""},
        {"properties": _PROPERTIES}, {"properties": {"nosuch": 1}}, {"properties": {"delivery_mode": "x"}},
        {"properties": {"user_id": "nosuch"}}, {"properties": []}, {"properties": "x"},
        {"properties": {"headers": []}},
        {"properties": {"expiration": "x"}}, {"properties": {"priority": 300}}, {"routing_key": "nosuch"},
        {"routing_key": 7},
        {"props": {}},
    )],
    post("exchanges/shop/nosuch/publish", _GOOD), post("exchanges/nosuch/amq.default/publish", _GOOD),
    post("exchanges/shop/inner/publish", _GOOD), post("exchanges/shop/fanout/publish", _GOOD),
    *[post(_PUBLISH, body) for body in ({}, {"payload": "x"}, b"junk", b"[]", b"", b"null")],
    *[post(_GET, {**_ALL, "ackmode": mode, "count": 2}) for mode in (
        "ack_requeue_true", "reject_requeue_true", "reject_requeue_false", "nosuch", 7)],
    *[post(_GET, {**_ALL, **more}) for more in (
        {"encoding": "base64", "count": 1}, {"encoding": "nosuch"}, {"truncate": 2, "count": 1}, {"truncate": "x"},
        {"count": 0}, {"count": -1}, {"count": "2"}, {"count": "x"}, {"count": 1.5},
    )],
    *[post(_GET, body) for body in ({}, {"count": 1}, {"count": 1, "requeue": True, "encoding": "auto"}, b"junk",
    b"", b"[]")],
    post(_GET, _ALL), post(_GET, _ALL),
    post("queues/shop/nosuch/get", _ALL), post("queues/nosuch/m1/get", _ALL), post("queues/shop/mine/get", _ALL),
    post("queues/shop/stream/get", _ALL), post("queues/shop/spare/get", _ALL),
    *get("queues/shop/m1/get", _PUBLISH), *delete("queues/shop/m1"),
]  # fmt: skip
