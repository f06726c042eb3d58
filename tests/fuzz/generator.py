"""Generates random conversations: those of `conformance.conversations`, and what RabbitMQ would not answer twice in the
same way.

An operation is made as for the conformance tests. Then its arguments can be made invalid, its content can be split
oddly, and its octets mutated. The next event depends on what the broker has answered: delivered tags are settled, and
closed channels are opened again, so that most conversations are long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from conformance import codec
from conformance.codec import Typed
from conformance.conversations.steps import EXCHANGES, KINDS, NO_TAG, QUEUES, REPLY, Maker, Step
from leveret.engine.arguments import QUEUE_ARGUMENTS
from leveret.profiles import profile
from leveret.routing.types import EXCHANGE_TYPES
from tests.fuzz.conversation import Play
from tests.fuzz.events import Event

VERSIONS = ("4.3", "4.2", "4.0", "3.13", "3.10")

EXCHANGE_KINDS = (*EXCHANGE_TYPES, "x-nonesuch")
#: Arguments of queues, consumers, bindings and exchanges.
ARGUMENTS = (
    "x-queue-type", *QUEUE_ARGUMENTS, "x-priority", "x-stream-offset", "x-stream-filter", "x-match", "x-delayed-type",
    "hash-header", "hash-property", "x-recent-history-length", "alternate-exchange",
)  # fmt: skip
HEADERS = (
    "x-death", "x-delay", "CC", "BCC", "x-delivery-count", "x-acquired-count", "x-stream-offset", "x-first-death-queue",
    "x-first-death-reason", "x-stream-filter-value", "x-opt-rabbitmq-delivery-time", "h", "k", "", "\u00e9", "n" * 128,
)  # fmt: skip
REASONS = ("rejected", "expired", "maxlen", "delivery_limit", "none")
TIMES_MS = (0, 1, 3, 10, 100, 1000, 60_000, 1_900_000, 90_000_000)
PATHS = (
    "/api/overview", "/api/queues", "/api/queues/%2F/q0", "/api/exchanges/%2F/x0", "/api/bindings", "/api/connections",
    "/api/exchanges", "/api/lint", "/api/definitions", "/api/policies", "/metrics", "/metrics/per-object",
    "/api/queues/%2F?page=1&page_size=2", "/metrics/detailed?family=queue_coarse_metrics",
)  # fmt: skip
POLICIES: tuple[dict[str, object], ...] = (
    {"max-length": 2}, {"message-ttl": 3}, {"dead-letter-exchange": "x0"}, {"overflow": "reject-publish"},
    {"delivery-limit": 1}, {"expires": 50}, {"max-age": "1s"}, {"alternate-exchange": "x1"}, {"max-length": "no"},
)  # fmt: skip


class FuzzMaker(Maker):
    """Makes the events of one conversation, one after another."""

    def __init__(self, seed: int) -> None:
        version = VERSIONS[seed % len(VERSIONS)] if seed % 2 else VERSIONS[0]
        super().__init__(seed, version, streams=True)
        self.length = self._one((10, 30, 60, 120))
        self.noise = self._one((0, 0, 4, 12))  # one operation in so many has octets mutated; 0: none
        makers = [(maker, weight) for maker, weight in self._weights() for _ in range(weight)]
        self.makers = [maker for maker, _ in makers]

    def _weights(self) -> list[tuple[Callable[[], tuple[str, dict[str, Any]]], int]]:
        return [
            *super()._weights(),
            (self._plugin_exchange, 3),
            (self._publish_odd, 8),
            (self._consume, 8),
            (self._consume_odd, 2),
        ]

    def next(self, play: Play) -> Event:
        """Return the next event of a play."""
        roll = self.random.randrange(100)
        if roll < 5:
            return Event("advance", milliseconds=self._one(TIMES_MS))
        if roll < 7:
            return Event("disk", text=self._one(("fails", "works")))
        if roll < 8 and self._chance(2):
            return Event("restart", text=self._one(("stop", "kill")))
        if roll < 10:
            return self._request()
        step = self._sensible(self._step(self._one(self.makers)), play)
        client = play.clients.get(step.peer)
        if client is None or client.closing or step.peer in play.ended:
            return Event("dial" if self._chance(30) else "connect", step.peer)
        if roll < 13:
            return Event(self._one(("pause", "resume", "resume")), step.peer)
        if step.op in ("drop", "connection.close") or (step.peer, step.channel) not in play.channels:
            return self._opening(step) if self._chance(2) else Event("hang-up", step.peer)
        return self._sent(step, play)

    def _sensible(self, step: Step, play: Play) -> Step:
        """Make most steps refer to something that exists: what is missing is declared, and what exists is used."""
        if self._chance(12):
            return step
        vhost, given = play.world.broker.vhosts["/"], step.arguments
        if step.op == "publish":
            _plain(given)
        if step.op == "exchange.declare" and given["exchange"] in vhost.exchanges:
            return Step(
                "publish", step.peer, step.channel, self._publish()[1] | {"exchange": given["exchange"]}
            )
        if step.op == "queue.declare" and given["queue"] in vhost.queues:
            return Step("publish", step.peer, step.channel, self._to_queue(given["queue"]))
        if step.op in ("tx.commit", "tx.rollback"):
            state = play.channels.get((step.peer, step.channel))
            return step if state is None or state.mode == "tx" else Step("tx.select", step.peer, step.channel)
        queue = given.get("queue") or (not given.get("exchange") and given.get("routing_key"))
        if step.op != "queue.declare" and queue in QUEUES and queue not in vhost.queues:
            return Step("queue.declare", step.peer, step.channel, self._queue_to_use(queue))
        for name in (given.get(argument) for argument in ("exchange", "source", "destination")):
            if step.op != "exchange.declare" and name in EXCHANGES and name not in vhost.exchanges:
                _, declared = self._plugin_exchange() if self._chance(2) else self._exchange_declare()
                return Step("exchange.declare", step.peer, step.channel, declared | {"exchange": name})
        return step

    def _to_queue(self, queue: str) -> dict[str, Any]:
        _, given = self._publish_odd() if self._chance(3) else self._publish()
        return given | {"exchange": "", "routing_key": queue, "immediate": False}

    def _queue_to_use(self, queue: str) -> dict[str, Any]:
        """queue.declare with arguments that the queue type accepts."""
        kind = self._one(("classic", "classic", "quorum", "quorum", "stream"))
        arguments = self._queue_arguments(kind)
        version = profile(self.profile)
        accepted = {row.name for row in QUEUE_ARGUMENTS.values() if kind in row.kinds_in(version)} | {
            "x-queue-type"
        }
        arguments = {name: value for name, value in arguments.items() if name in accepted}
        return {"queue": queue, "durable": kind != "classic" or self._chance(2), "arguments": arguments}

    def _opening(self, step: Step) -> Event:
        """Return what a client may send before its connection is open."""
        octets = self._one(
            (b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\x08\0", b"AMQP\0\x01\0\0", b"GET / HTTP/1.1\r\n")
        )
        start = {
            "client_properties": {"capabilities": {"basic.nack": True}, "odd": self._field()},
            "mechanism": self._one(("PLAIN", "AMQPLAIN", "EXTERNAL", "ANONYMOUS", "RABBIT-CR-DEMO")),
            "response": self._one((b"\0guest\0guest", b"\0\0", b"", self.random.randbytes(9))),
            "locale": "en_US",
        }
        tune = {
            "channel_max": self._one((0, 1, 2047)),
            "frame_max": self._one((0, 8192, 131072)),
            "heartbeat": 0,
        }
        for op, arguments in (
            ("connection.start-ok", start),
            ("connection.tune-ok", tune),
            ("connection.open", {"virtual_host": self._one(("/", "none"))}),
            ("channel.open", {}),
        ):
            octets += codec.frame(1, int(op == "channel.open"), codec.method_payload(op, arguments))
        return self._pieces(step.peer, octets)

    def _sent(self, step: Step, play: Play) -> Event:
        channel = play.channels[step.peer, step.channel]
        octets = b""
        if channel.closed:
            if channel.close_ok_due:
                octets = self._method(step.channel, "channel.close-ok", {})
            octets += self._method(step.channel, "channel.open", {})
            channel.closed = channel.close_ok_due = False
        if step.op == "publish":
            octets += self._content(step, play) * (self._one((2, 5, 40)) if self._chance(6) else 1)
        elif step.op == "settle":
            octets += self._settlement(step, channel.tags)
        else:
            arguments = self._broken(dict(step.arguments))
            octets += self._method(step.channel, step.op, arguments)
            if step.op == "basic.recover":
                channel.tags.clear()
        if self.noise and self._chance(self.noise):
            octets = mutated(octets, self.random)
        return self._pieces(step.peer, octets)

    def _method(self, channel: int, op: str, arguments: dict[str, Any]) -> bytes:
        return codec.frame(1, channel, codec.method_payload(op, arguments))

    def _settlement(self, step: Step, tags: list[int]) -> bytes:
        given = dict(step.arguments)
        how, pick = given.pop("how"), given.pop("pick")
        if not tags and not self._chance(20):
            return codec.frame(8, 0, b"")
        tag = NO_TAG if pick == NO_TAG or not tags else tags[pick % len(tags)]
        tags[:] = [one for one in tags if one != tag and not (given.get("multiple") and one < tag)]
        return self._method(step.channel, how, {"delivery_tag": tag, **given})

    # --- contents

    def _content(self, step: Step, play: Play) -> bytes:
        given = step.arguments
        key = given["routing_key"]
        if key == REPLY and play.reply_to:
            key = play.reply_to
        names = ("exchange", "mandatory", "immediate")
        method = {"routing_key": key} | {name: given.get(name) for name in names}
        body = given["body"].encode() * self._one((1, 300, 300, 5000) if self._chance(4) else (1,))
        size = len(body) if not self._chance(60) else self._one((0, len(body) + 1, 2**63, 2**64 - 1))
        header = codec.header_payload(size, given["properties"])
        parts = [codec.frame(2, step.channel, header), *self._bodies(step.channel, body)]
        if self._chance(30):  # another channel, or a heartbeat, in the middle
            other = (
                codec.frame(8, 0, b"") if self._chance(2) else self._method(3 - step.channel, "basic.qos", {})
            )
            parts.insert(self.random.randrange(len(parts) + 1), other)
        if self._chance(120):
            parts.pop()
        return self._method(step.channel, "basic.publish", method) + b"".join(parts)

    def _bodies(self, channel: int, body: bytes) -> list[bytes]:
        if not body:
            return []
        most = (
            self._one((100_000, 100_000, 1, 3, 4096))
            if len(body) < 1000
            else self._one((100_000, 4096, 1009))
        )
        parts = [body[at : at + most] for at in range(0, len(body), most)]
        if self._chance(8):
            parts.insert(self.random.randrange(len(parts)), b"")
        return [codec.frame(3, channel, part) for part in parts]

    def _publish_odd(self) -> tuple[str, dict[str, Any]]:
        op, given = self._publish()
        headers: dict[str, Any] = dict(given["properties"].get("headers", {}))
        for _ in range(self._one((0, 1, 1, 3))):
            headers[self._one(HEADERS)] = self._field()
        if self._chance(3):
            headers["x-delay"] = self._one(
                (0, 1, 50, 5000, -1, 2**32, 2**40, Typed("s", 7), Typed("S", "9"), 1.5)
            )
        if self._chance(4):
            headers["x-death"] = self._deaths()
        properties: dict[str, Any] = given["properties"] | {"headers": headers}
        texts = ("content_type", "correlation_id", "reply_to", "message_id", "type", "app_id", "cluster_id")
        for name in self.random.sample(texts, self._one((0, 0, 1, 3))):
            properties[name] = self._one(("", "t", "\u00e9", b"\xff\xfe", "x" * 255))
        if self._chance(6):
            properties["timestamp"] = self._one((0, 1_600_000_000, 2**63, 2**64 - 1))
        if self._chance(6):
            properties["delivery_mode"], properties["priority"] = (
                self._one((0, 2, 3, 255)),
                self._one((0, 9, 255)),
            )
        return op, given | {"properties": properties}

    def _deaths(self) -> Any:
        if self._chance(6):
            return self._field()
        deaths = []
        for _ in range(self._one((0, 1, 1, 2, 5))):
            death: dict[str, Any] = {
                "queue": self._one(QUEUES), "reason": self._one(REASONS), "exchange": self._one(("", *EXCHANGES)),
                "count": self._one((1, 2, 2**62, Typed("L", 2**64 - 1))), "time": Typed("T", 1_600_000_000),
                "routing-keys": ["k", self._one(QUEUES)],
            }  # fmt: skip
            for name in self.random.sample(sorted(death), self._one((0, 0, 1, 2))):
                if self._chance(2):
                    death[name] = self._field()
                else:
                    del death[name]
            deaths.append(death)
        return deaths

    # --- arguments

    def _queue_arguments(self, kind: str) -> dict[str, Any]:
        arguments = super()._queue_arguments(kind)
        more: list[tuple[str, tuple[Any, ...]]] = [
            ("x-expires", (1, 5, 1000)),
            ("x-message-ttl", (0, 1, 5, 1000)),
            ("x-dead-letter-strategy", ("at-least-once", "at-most-once")),
            ("x-max-priority", (1, 2, 5, 255)),
            ("x-consumer-timeout", (1, 1000, 60_000)),
            ("x-delayed-retry-type", ("all", "failed", "returned", "disabled")),
            ("x-delayed-retry-min", (1, 10, 1000)),
            ("x-delayed-retry-max", (1, 20, 5000)),
            ("x-max-age", ("1s", "1h", "0s")),
            ("x-stream-max-segment-size-bytes", (1, 100, 4000, 10**6)),
            ("x-stream-filter-size-bytes", (16, 255)),
        ]
        for name, values in self.random.sample(more, self._one((0, 0, 1, 2))):
            arguments[name] = self._one(values)
        if arguments.get("x-dead-letter-strategy") == "at-least-once":
            arguments |= {
                "x-overflow": "reject-publish",
                "x-dead-letter-exchange": self._one(("", *EXCHANGES)),
            }
        return arguments

    def _plugin_exchange(self) -> tuple[str, dict[str, Any]]:
        op, given = self._exchange_declare()
        kind = self._one(EXCHANGE_KINDS)
        arguments: dict[str, Any] = dict(given.get("arguments", {}))
        if kind == "x-delayed-message":
            arguments["x-delayed-type"] = self._one((*KINDS, "x-delayed-message"))
        elif kind == "x-consistent-hash":
            arguments[self._one(("hash-header", "hash-property"))] = self._one(
                ("h", "message_id", "timestamp")
            )
        elif kind == "x-recent-history":
            arguments["x-recent-history-length"] = self._one((0, 1, 3, -1))
        return op, given | {"exchange_type": kind, "arguments": arguments}

    def _consume_odd(self) -> tuple[str, dict[str, Any]]:
        op, given = self._consume()
        offset = self._one(
            ("first", "first", "last", "next", "1h", 0, 1, 3, 10**9, Typed("T", 1_600_000_000))
            if not self._chance(6)
            else ("", -1, Typed("T", 2**64 - 1), 1.5)
        )
        arguments: dict[str, Any] = {"x-stream-offset": offset}
        if self._chance(3):
            arguments["x-stream-filter"] = self._one(("a", ["a", "b"], 5, []))
            arguments["x-stream-match-unfiltered"] = self._chance(2)
        if self._chance(4):
            arguments["x-consumer-timeout"] = self._one((1, 1000, 60_000))
        return op, given | {"arguments": arguments, "no_ack": False}

    def _broken(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Sometimes give a table a value of any type, or an argument an odd name."""
        if "arguments" in arguments and self._chance(8):
            arguments["arguments"] = {**arguments["arguments"], self._one(ARGUMENTS): self._field()}
        if self._chance(60):
            texts = [name for name, value in arguments.items() if isinstance(value, str)]
            if texts:
                odd = (
                    "",
                    "x" * 255,
                    b"\xff\xfe",
                    "\u00e9\r\n",
                    "amq.rabbitmq.reply-to",
                    "amq.rabbitmq.trace",
                )
                arguments[self._one(texts)] = self._one(odd)
        return arguments

    def _field(self, depth: int = 0) -> Typed:
        """Return a field value of any type."""
        kind = self._one("tbBsuIilLfdTSxDFAV" if depth < 3 else "tbBsuIilLfdTSxDV")
        bits = {"b": 8, "B": 8, "s": 16, "u": 16, "I": 32, "i": 32, "l": 64, "L": 64, "T": 64}.get(kind)
        if bits:
            signed = kind in "bsIl"
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
            return Typed(kind, self._one((low, high, 0, 1, self.random.randint(low, high))))
        if kind == "F":
            return Typed(
                kind, [(self._one(HEADERS), self._field(depth + 1)) for _ in range(self._one((0, 1, 1, 3)))]
            )
        if kind == "A":
            return Typed(kind, [self._field(depth + 1) for _ in range(self._one((0, 1, 1, 3)))])
        odd: dict[str, tuple[Any, ...]] = {
            "t": (0, 1, 2), "f": (0.0, 1.5, float("nan"), float("inf")), "d": (0.0, -1.5, float("nan"), 1e308),
            "S": ("", "a", "\u00e9", b"\xff\0", "s" * 300, *QUEUES), "x": (b"", b"\0", b"\xff" * 9),
            "D": ((0, 0), (2, 314), (255, -(2**31))), "V": (None,),
        }  # fmt: skip
        return Typed(kind, self._one(odd[kind]))

    # --- octets

    def _pieces(self, by: str, octets: bytes) -> Event:
        sizes: tuple[int, ...] = ()
        if self._chance(3):
            sizes = tuple(
                self.random.randint(1, self._one((3, 40, 300))) for _ in range(self._one((1, 2, 8)))
            )
        return Event("octets", by, octets, sizes)

    def _request(self) -> Event:
        if self._chance(2):
            return Event("http", text=f"GET {self._one(PATHS)}")
        name = self._one(("p0", "p1"))
        if self._chance(3):
            return Event("http", text=f"DELETE /api/policies/%2F/{name}")
        kinds = ("queues", "exchanges", "all", "quorum_queues", "streams")
        policy = {
            "pattern": self._one(("^q", "^x", "^q0$", "^(q")), "definition": self._one(POLICIES),
            "apply-to": self._one(kinds), "priority": self._one((0, 1)),
        }  # fmt: skip
        return Event("http", octets=json.dumps(policy).encode(), text=f"PUT /api/policies/%2F/{name}")


def _plain(given: dict[str, Any]) -> None:
    """Remove from a publish what is refused."""
    properties = given["properties"]
    if properties.get("expiration") == "abc":
        del properties["expiration"]
    if properties.get("user_id") == "other":
        del properties["user_id"]
    headers = properties.get("headers", {})
    if headers.get("CC") == "bad":
        del headers["CC"]
    given["immediate"] = False


def mutated(octets: bytes, random: Random) -> bytes:
    """Change octets at some places: flip a bit, set a length, delete, insert or repeat some."""
    data = bytearray(octets)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        at = random.randrange(len(data) + 1)
        how = random.randrange(6)
        if how == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif how == 1 and at < len(data):
            data[at] = random.choice((0, 1, 0x7F, 0x80, 0xCE, 0xFF))
        elif how == 2:
            del data[at : at + random.choice((1, 2, 8, 100))]
        elif how == 3:
            data[at:at] = random.randbytes(random.choice((1, 2, 8)))
        elif how == 4:
            data[at:at] = data[at : at + random.choice((1, 8, 40))]
        elif len(data) > 11:  # a length, of a string or a table
            at = random.randrange(7, len(data) - 3)
            data[at : at + 4] = random.choice((0, 1, 255, 65536, 2**31, 2**32 - 1)).to_bytes(4, "big")
    return bytes(data)
