"""A mixed load on a served broker: in each round everything is declared, used and deleted again.

Nothing is left after a round, so the broker should be as large as after the round before.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections import Counter
from typing import cast

from pamqp import base, commands, frame

from benchmarks.link import Link, publish_bytes
from conformance.stage import Target
from tests.hang import HANG_SECONDS

#: Messages of each kind in one round.
MESSAGES = 200
BODY = b"x" * 500
PATHS = ("/api/overview", "/api/queues", "/api/exchanges", "/api/connections", "/api/policies")
SCRAPES = ("/metrics", "/metrics/per-object")

#: Queues of a round: name -> arguments.
QUEUES: dict[str, dict[str, object]] = {
    "classic": {},
    "quorum": {"x-queue-type": "quorum"},
    "priority": {"x-max-priority": 5},
    "stream": {
        "x-queue-type": "stream",
        "x-max-length-bytes": 100_000,
        "x-stream-max-segment-size-bytes": 50_000,
    },
    "dead": {},
    "short": {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
    "limited": {"x-max-length": 10, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"},
}


class Client(Link):
    """A connection that counts what it receives. `acked`: confirmed publishes; `delivered`: deliveries by consumer."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.acked = 0
        self.delivered: Counter[str] = Counter()
        self.last_tag = 0

    def call(self, method: base.Frame) -> base.Frame:
        """Send a method and return its answer; everything else that arrives is counted."""
        self._send(1, method)
        while True:
            answer = self._read()
            if answer is not None:
                assert answer.name == method.name + "Ok", f"{answer.name}: {dict(answer)}"
                return answer

    def read_until(self, delivered: dict[str, int], acked: int = 0) -> None:
        """Read until so many deliveries of each consumer and so many confirms have arrived."""
        while self.acked < acked or any(self.delivered[tag] < count for tag, count in delivered.items()):
            answer = self._read()
            assert answer is None, f"{answer.name} was not expected: {dict(answer)}"

    def _read(self) -> base.Frame | None:
        """Read a frame; returns it if it is a method that is not counted here."""
        channel, raw = next(self._frames())
        if raw[0] != 1:
            return None
        method = cast(base.Frame, frame.unmarshal(self._whole(channel, raw))[2])
        if isinstance(method, commands.Basic.Ack):
            self.acked = cast(int, method.delivery_tag)
        elif isinstance(method, commands.Basic.Deliver):
            self.delivered[method.consumer_tag] += 1
            self.last_tag = cast(int, method.delivery_tag)
        else:
            return method
        return None

    def send(self, *methods: base.Frame) -> None:
        """Send methods that have no answer."""
        self.sock.sendall(b"".join(frame.marshal(method, 1) for method in methods))


class Load:
    """The load on one broker. `metrics`: host and port of its scrapes; `rounds`: how many there were."""

    def __init__(self, target: Target, metrics: str) -> None:
        self.url = target.amqp_url
        self.http = target.http_url.removeprefix("http://")
        self.metrics = metrics
        self.rounds = 0
        self.messages = 0

    def round(self) -> None:
        """Do everything once."""
        self._declare()
        self._publish_and_consume()
        self._others()
        self._delete()
        self.rounds += 1

    def _declare(self) -> None:
        link = Link(self.url)
        link.call(commands.Exchange.Declare(exchange="all", exchange_type="topic", durable=True))
        for name, arguments in QUEUES.items():
            link.call(commands.Queue.Declare(queue=name, durable=True, arguments=arguments))
            if name != "dead":
                link.call(commands.Queue.Bind(queue=name, exchange="all", routing_key="a.*"))
        self._request(
            "PUT", "/api/policies/%2F/soak", {"pattern": "^classic$", "definition": {"max-length": 10_000}}
        )
        link.close()

    def _publish_and_consume(self) -> None:
        publisher, consumer = Client(self.url), Client(self.url)
        publisher.call(commands.Confirm.Select())
        consumer.call(commands.Basic.Qos(prefetch_count=2 * MESSAGES))
        wanted = dict.fromkeys(("classic", "quorum", "priority", "stream"), MESSAGES)
        for name in wanted:
            consumer.call(commands.Basic.Consume(queue=name, consumer_tag=name))
        publisher.sock.sendall(publish_bytes("all", "a.b", BODY, persistent=True) * MESSAGES)
        publisher.read_until({}, acked=MESSAGES)
        consumer.read_until(wanted)
        consumer.send(commands.Basic.Ack(consumer.last_tag, multiple=True))
        # Dead letters: all that expired, and all but ten of those that were too many.
        consumer.call(commands.Basic.Consume(queue="dead", consumer_tag="dead", no_ack=True))
        consumer.read_until({"dead": 2 * MESSAGES - 10})
        publisher.close()
        consumer.close()
        self.messages += len(wanted) * MESSAGES

    def _others(self) -> None:
        for path in PATHS:
            self._request("GET", path)
        for path in SCRAPES:
            self._request("GET", path, host=self.metrics)
        self._request("DELETE", "/api/policies/%2F/soak")
        for _ in range(5):
            Link(self.url).close()
        Link(self.url).sock.close()

    def _delete(self) -> None:
        link = Link(self.url)
        for name in QUEUES:
            link.call(commands.Queue.Delete(queue=name))
        link.call(commands.Exchange.Delete(exchange="all"))
        link.close()

    def _request(self, method: str, path: str, body: object = None, host: str = "") -> None:
        connection = http.client.HTTPConnection(host or self.http, timeout=HANG_SECONDS)
        login = base64.b64encode(b"guest:guest").decode()
        connection.request(
            method, path, json.dumps(body) if body is not None else None, {"Authorization": f"Basic {login}"}
        )
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status < 300, f"{method} {path}: {answer.status}"
