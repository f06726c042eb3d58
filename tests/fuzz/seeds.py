"""Valid inputs of each target, from which fuzzing makes others."""

from __future__ import annotations

import json

from conformance import codec
from conformance.codec import Typed
from leveret.testing.playbook import Connect, handshake

_EVERYTHING = {
    "t": True, "b": Typed("b", -1), "B": Typed("B", 1), "s": Typed("s", 1), "u": Typed("u", 1), "I": 1,
    "i": Typed("i", 1), "l": 2**40, "L": Typed("L", 1), "f": Typed("f", 1.5), "d": 1.5, "D": Typed("D", (2, 3)),
    "T": Typed("T", 1), "S": "text", "x": b"octets", "V": None, "A": [1, "a", [2]], "F": {"a": {"b": 1}},
}  # fmt: skip
_PROPERTIES = {
    "content_type": "t", "headers": {"CC": ["q"], "x-delay": 1, **_EVERYTHING}, "delivery_mode": 2, "priority": 3,
    "expiration": "100", "timestamp": 1, "user_id": "guest", "reply_to": "amq.rabbitmq.reply-to",
}  # fmt: skip


def _method(op: str, **arguments: object) -> bytes:
    return codec.frame(1, 1, codec.method_payload(op, arguments))


_PUBLISH = (
    _method("basic.publish", routing_key="q", mandatory=True)
    + codec.frame(2, 1, codec.header_payload(5, _PROPERTIES))
    + codec.frame(3, 1, b"hello")
)
_DOCUMENT = {
    "users": [{"name": "u", "password": "p", "tags": ["administrator"]}],
    "vhosts": [{"name": "v", "metadata": {"default_queue_type": "quorum"}}],
    "permissions": [{"user": "u", "vhost": "v", "configure": ".*", "write": ".*", "read": ".*"}],
    "policies": [{"vhost": "v", "name": "p", "pattern": "^q", "definition": {"max-length": 1}, "apply-to": "queues"}],
    "queues": [{"name": "q", "vhost": "v", "durable": True, "arguments": {"x-queue-type": "quorum"}}],
    "exchanges": [{"name": "x", "vhost": "v", "type": "topic", "durable": True, "arguments": {}}],
    "bindings": [{"source": "x", "vhost": "v", "destination": "q", "destination_type": "queue", "routing_key": "a.#"}],
    "parameters": [{"component": "vhost-limits", "vhost": "v", "name": "limits", "value": {"max-queues": 10}}],
    "global_parameters": [{"name": "cluster_name", "value": "c"}],
}  # fmt: skip

SEEDS: dict[str, tuple[bytes, ...]] = {
    "frames": (
        b"\x01\xff" + _method("queue.declare", queue="q") + _PUBLISH + _method("basic.get", queue="q"),
        b"\x01\x07"
        + _method("queue.declare", queue="q", durable=True, arguments={"x-queue-type": "stream"})
        + _method("basic.qos", prefetch_count=1)
        + _method("basic.consume", queue="q", arguments={"x-stream-offset": "first"})
        + _PUBLISH,
        b"\x01\xff" + _method("tx.select") + _PUBLISH + _method("tx.commit"),
        b"\x00\xff" + b"".join(handshake(Connect("a", channels=(1,)))),
        b"\x02\x05" + b"".join(handshake(Connect("a", channels=(1,)))[1:]) + _PUBLISH,
    ),
    "tables": (codec.table(_EVERYTHING), codec.table({})),
    "content": (codec.header_payload(0, _PROPERTIES)[12:], b"\0\0"),
    "store": (b"\0\0\0\0", b"\x01\0\x10\xffabc", b"\x03\0\x20\0" + bytes(20)),
    "conf": (
        b"listeners.tcp.default = 5672\nvm_memory_high_watermark.relative = 0.4\n# comment\nlog.file.level = info\n",
        b"default_user = $(HOME)\ninclude *.conf\nheartbeat = 60\nload_definitions = a.json\n",
    ),
    "definitions": (json.dumps(_DOCUMENT).encode(), b"{}"),
}
