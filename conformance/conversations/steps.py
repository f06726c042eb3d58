"""Random conversations: sequences of valid and invalid operations, made from a seed.

There are few names, so that operations refer to the same objects: four queues, three exchanges, three consumer tags,
two connections with two channels each. A step is plain data. Deliveries are settled by their index among the
unacknowledged ones, because the broker chooses the tags.

Left out is what RabbitMQ does not do twice in the same way: TTLs that end during the conversation (except 0), random
exchanges, and several consumers of one queue on different channels.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: Operations in one conversation, one in four is longer.
LENGTH, LONG = 24, 60

QUEUES = ("q0", "q1", "q2", "q3")
EXCHANGES = ("x0", "x1", "x2")
PREDECLARED = ("", "amq.direct", "amq.fanout", "amq.topic", "amq.headers")
KEYS = ("k", "a.b", "a.b.c", "", *QUEUES)
KINDS = ("direct", "fanout", "topic", "topic", "headers")
PLUGIN_KINDS = ("x-consistent-hash", "x-recent-history", "x-nonesuch")
PATTERNS = ("k", "a.*", "a.#", "#", "*.b", "a.b", "", *QUEUES)
TAGS = ("t0", "t1", "t2")
#: A delivery tag that nothing has.
NO_TAG = 999
#: The queue that replies come from, and the key that stands for the last address somebody was given to answer to.
DIRECT = "amq.rabbitmq.reply-to"
REPLY = f"{DIRECT}.none"
#: Milliseconds over before a step is, even where nothing but Leveret is heard.
SOON_MS = 2


@dataclass(frozen=True)
class Step:
    """One operation: `op` is a method name, or one of `publish`, `settle`, `drop`."""

    op: str
    peer: str
    channel: int
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        stated = " ".join(
            f"{name}={value!r}" for name, value in self.arguments.items() if value not in (False, {})
        )
        return f"{self.peer}.{self.channel} {self.op} {stated}".rstrip()


class Maker:
    """Makes the steps of one conversation."""

    def __init__(self, seed: int, profile: str, streams: bool) -> None:
        self.random = random.Random(f"{profile}/{seed}")
        self.profile = profile
        kinds = ["classic"] * 6 + ["quorum"] * 3 + ["stream"] * streams
        # Most conversations are about one kind of queue.
        self.kinds = [self.random.choice(kinds)] * 4 + [self.random.choice(kinds)]
        self.bodies = 0

    def steps(self, length: int) -> list[Step]:
        """Return a conversation: queues and bindings first, then anything."""
        made = [self._step(self._queue_declare) for _ in range(2)]
        made += [self._step(self._exchange_declare), self._step(self._queue_bind)]
        makers = [maker for maker, weight in self._weights() for _ in range(weight)]
        while len(made) < length:
            made.append(self._step(self.random.choice(makers)))
        return made

    def _weights(self) -> list[tuple[Callable[[], tuple[str, dict[str, Any]]], int]]:
        return [
            (self._queue_declare, 4),
            (self._queue_bind, 4),
            (self._publish, 16),
            (self._get, 6),
            (self._consume, 7),
            (self._settle, 13),
            (self._cancel, 2),
            (self._qos, 2),
            (self._exchange_declare, 2),
            (self._exchange_bind, 2),
            (self._unbind, 1),
            (self._recover, 1),
            (self._purge, 1),
            (self._queue_delete, 2),
            (self._exchange_delete, 1),
            (self._mode, 2),
            (self._end, 2),
            (self._direct, 2),
            (self._odd, 1),
        ]

    def _step(self, maker: Callable[[], tuple[str, dict[str, Any]]]) -> Step:
        op, arguments = maker()
        return Step(op, self._one("aaab"), self._one((1, 1, 2)), arguments)

    def _one(self, of: Any) -> Any:
        return self.random.choice(of)

    def _chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    # --- declarations

    def _queue_declare(self) -> tuple[str, dict[str, Any]]:
        name = self._one(QUEUES) if not self._chance(25) else ""
        if self._chance(10):
            return "queue.declare", {"queue": name, "passive": True}
        kind = self._one(self.kinds)
        plain = kind == "classic"
        given = {
            "queue": name,
            "durable": not plain or not self._chance(3),
            "exclusive": self._chance(8 if plain else 40),
            "auto_delete": self._chance(8 if plain else 40),
            "arguments": self._queue_arguments(kind),
        }
        return "queue.declare", given

    def _queue_arguments(self, kind: str) -> dict[str, Any]:
        arguments: dict[str, Any] = {} if kind == "classic" else {"x-queue-type": kind}
        choices: list[tuple[str, Callable[[], Any]]] = [
            ("x-max-length", lambda: self._one((0, 1, 2, 3))),
            ("x-max-length-bytes", lambda: self._one((0, 2, 5, 1000))),
            ("x-overflow", lambda: self._one(("drop-head", "reject-publish", "reject-publish-dlx"))),
            ("x-message-ttl", lambda: self._one((0, SOON_MS, 600000))),
            ("x-dead-letter-exchange", lambda: self._one(("", "", *EXCHANGES, "amq.fanout", "none"))),
            ("x-dead-letter-routing-key", lambda: self._one((*QUEUES, "k", ""))),
            ("x-max-priority", lambda: self._one((1, 3, 10))),
            ("x-single-active-consumer", lambda: self._one((True, True, False))),
            ("x-delivery-limit", lambda: self._one((0, 1, 2))),
            ("x-expires", lambda: 600000),
            ("x-unknown", lambda: 1),
        ]
        for name, value in self.random.sample(choices, self._one((0, 0, 1, 1, 2, 3))):
            arguments[name] = value()
            if name == "x-dead-letter-routing-key":
                arguments.setdefault("x-dead-letter-exchange", "")
        if self._chance(20):
            bad: list[Any] = [
                ("x-max-length", -1),
                ("x-message-ttl", "abc"),
                ("x-overflow", "drop"),
                ("x-expires", 0),
            ]
            name, value = self._one(bad)
            arguments[name] = value
        return arguments

    def _exchange_declare(self) -> tuple[str, dict[str, Any]]:
        given: dict[str, Any] = {
            "exchange": self._one(EXCHANGES),
            "exchange_type": self._one(KINDS if not self._chance(6) else PLUGIN_KINDS),
            "durable": not self._chance(3),
            "auto_delete": self._chance(8),
            "internal": self._chance(12),
        }
        if self._chance(4):
            given["arguments"] = {"alternate-exchange": self._one((*EXCHANGES, "amq.fanout", "none"))}
        return "exchange.declare", given

    def _exchange(self) -> str:
        return str(self._one((*EXCHANGES, *EXCHANGES, *PREDECLARED)) if not self._chance(30) else "none")

    def _headers(self) -> dict[str, Any]:
        if self._chance(3):
            return {}
        found: dict[str, Any] = {"x-match": self._one(("all", "any"))} if self._chance(2) else {}
        return found | {"h": self._one((1, 2, "1"))}

    def _queue_bind(self) -> tuple[str, dict[str, Any]]:
        given: dict[str, Any] = {
            "queue": self._one(QUEUES),
            "exchange": self._exchange(),
            "routing_key": self._one(PATTERNS) if not self._chance(12) else self._one(("1", "2", "0")),
        }
        return "queue.bind", given | {"arguments": self._headers() if self._chance(3) else {}}

    def _unbind(self) -> tuple[str, dict[str, Any]]:
        _, given = self._queue_bind()
        return "queue.unbind", given

    def _exchange_bind(self) -> tuple[str, dict[str, Any]]:
        given = {
            "destination": self._one(EXCHANGES),
            "source": self._exchange(),
            "routing_key": self._one(PATTERNS),
        }
        return self._one(("exchange.bind", "exchange.bind", "exchange.unbind")), given

    def _purge(self) -> tuple[str, dict[str, Any]]:
        return "queue.purge", {"queue": self._one(QUEUES)}

    def _queue_delete(self) -> tuple[str, dict[str, Any]]:
        given = {"queue": self._one(QUEUES), "if_unused": self._chance(4), "if_empty": self._chance(4)}
        return "queue.delete", given

    def _exchange_delete(self) -> tuple[str, dict[str, Any]]:
        return "exchange.delete", {"exchange": self._one(EXCHANGES), "if_unused": self._chance(3)}

    # --- messages

    def _publish(self) -> tuple[str, dict[str, Any]]:
        self.bodies += 1
        properties: dict[str, Any] = {"delivery_mode": self._one((1, 2))} if self._chance(2) else {}
        headers: dict[str, Any] = {}
        for name, value in (
            ("h", (1, 2, "1")),
            ("CC", ([*QUEUES[:2]], ["k"], "bad")),
            ("BCC", ([QUEUES[2]],)),
        ):
            if self._chance(5 if name == "h" else 15):
                headers[name] = self._one(value)
        if headers:
            properties["headers"] = headers
        if self._chance(4):
            properties["priority"] = self._one((0, 1, 2, 4, 5, 9))
        if self._chance(8):
            properties["expiration"] = self._one(("0", str(SOON_MS), "600000", "abc"))
        if self._chance(30):
            properties["user_id"] = self._one(("guest", "other"))
        exchange = self._exchange() if self._chance(2) else ""
        given = {
            "exchange": exchange,
            "routing_key": self._one(KEYS if exchange else QUEUES),
            "mandatory": self._chance(4),
            "immediate": self._chance(80),
            "body": str(self.bodies) * self._one((1, 1, 2)),
            "properties": properties,
        }
        return "publish", given

    def _get(self) -> tuple[str, dict[str, Any]]:
        return "basic.get", {"queue": self._one(QUEUES), "no_ack": self._chance(3)}

    def _consume(self) -> tuple[str, dict[str, Any]]:
        given: dict[str, Any] = {
            "queue": self._one(QUEUES),
            "consumer_tag": self._one(TAGS),
            "no_ack": self._chance(4),
            "exclusive": self._chance(12),
        }
        if self._chance(5):
            given["arguments"] = {"x-priority": self._one((-1, 1, 5))}
        return "basic.consume", given

    def _cancel(self) -> tuple[str, dict[str, Any]]:
        return "basic.cancel", {"consumer_tag": self._one(TAGS)}

    def _settle(self) -> tuple[str, dict[str, Any]]:
        how = self._one(("basic.ack", "basic.ack", "basic.nack", "basic.reject"))
        given: dict[str, Any] = {
            "how": how,
            "pick": self.random.randrange(6) if not self._chance(25) else NO_TAG,
        }
        if how != "basic.reject":
            given["multiple"] = self._chance(5)
        if how != "basic.ack":
            given["requeue"] = not self._chance(2)
        return "settle", given

    def _recover(self) -> tuple[str, dict[str, Any]]:
        return "basic.recover", {"requeue": not self._chance(8)}

    def _qos(self) -> tuple[str, dict[str, Any]]:
        return "basic.qos", {"prefetch_count": self._one((0, 1, 2, 3)), "global_": self._chance(4)}

    # --- direct reply-to, and what is seldom said

    def _direct(self) -> tuple[str, dict[str, Any]]:
        if self._chance(3):
            given = {"queue": DIRECT, "consumer_tag": self._one(TAGS), "no_ack": not self._chance(8)}
            return "basic.consume", given
        if self._chance(6):
            return "queue.declare", {"queue": self._one((DIRECT, REPLY)), "passive": not self._chance(4)}
        _, given = self._publish()
        if self._chance(2):
            given |= {"exchange": "", "routing_key": self._one((REPLY, REPLY, DIRECT))}
        else:
            given["properties"]["reply_to"] = DIRECT
        return "publish", given

    def _odd(self) -> tuple[str, dict[str, Any]]:
        odd: list[tuple[str, dict[str, Any]]] = [
            ("exchange.declare", {"exchange": self._one((*EXCHANGES, "none", "amq.none")), "passive": True}),
            ("exchange.declare", {"exchange": "amq.mine", "exchange_type": "direct"}),
            ("exchange.declare", {"exchange": "", "exchange_type": "direct"}),
            ("exchange.delete", {"exchange": self._one(PREDECLARED)}),
            ("queue.declare", {"queue": "amq.mine"}),
            ("queue.bind", {"queue": "", "exchange": self._exchange(), "routing_key": self._one(PATTERNS)}),
            ("queue.purge", {"queue": ""}),
            ("queue.delete", {"queue": ""}),
            ("basic.get", {"queue": "", "no_ack": self._chance(2)}),
            ("basic.consume", {"queue": "", "consumer_tag": self._one(TAGS), "no_ack": self._chance(2)}),
            ("basic.consume", {"queue": self._one(QUEUES), "consumer_tag": self._one(TAGS), "no_ack": False}
             | {"arguments": self._one(({"x-priority": "high"}, {"x-priority": 1.5}, {"x-stream-offset": "next"}))}),
            ("basic.qos", {"prefetch_size": 1, "prefetch_count": 1}),
            ("channel.flow", {"active": self._chance(2)}),
            ("channel.open", {}),
            ("access.request", {"realm": "/data"}),
        ]  # fmt: skip
        return self.random.choice(odd)

    # --- channels

    def _mode(self) -> tuple[str, dict[str, Any]]:
        ops = ("confirm.select", "confirm.select", "tx.select", "tx.commit", "tx.commit", "tx.rollback")
        return self._one(ops), {}

    def _end(self) -> tuple[str, dict[str, Any]]:
        if self._chance(3):
            return self._one(("drop", "connection.close")), {}
        return "channel.close", {}


def conversation(seed: int, profile: str, streams: bool = False) -> list[Step]:
    """Return the steps of a seed; they never change unless this file does."""
    return Maker(seed, profile, streams).steps(LONG if seed % 4 == 3 else LENGTH)
