"""What both brokers have before the calls: users, virtual hosts, topology, connections, consumers and messages.

Areas of calls leave it as it is: what they make has names of its own and is deleted by the area's last calls.
"""

import contextlib
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from conformance import wire
from conformance.api.call import ROLES
from conformance.api.client import Client

EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}

#: How often statistics are asked for until they are complete, in seconds.
POLL_S = 0.2

#: The virtual hosts.
SHOP, ODD = "shop", "a/b ü"

#: Queue -> its messages, once all has settled.
MESSAGES = {
    "classic": 4,
    "quorum": 3,
    "stream": 3,
    "priority": 2,
    "sac": 0,
    "spare": 0,
    "a/b+c ü": 1,
    "mine": 0,
}


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return urllib.parse.quote(name, safe="")


class Setting:
    """Makes all of it on one broker. `connections`: open AMQP connections by name."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.connections: dict[str, pika.BlockingConnection] = {}

    def make(self) -> None:
        """Make all of it, and wait until the statistics show it."""
        self._users()
        self._topology()
        self._traffic()
        self._settle()

    def close(self) -> None:
        """Close the connections that the calls have not closed."""
        for connection in self.connections.values():
            with contextlib.suppress(AMQPError):
                connection.close()

    def _put(self, path: str, body: object) -> None:
        self.client.ask("PUT", path, body)

    def _users(self) -> None:
        for name in (SHOP, ODD):
            self._put(f"vhosts/{quoted(name)}", {"description": f"{name} orders", "tags": "a,b"})
        for role in ROLES[:-2]:
            tags = {"none": "", "stranger": "management"}.get(role, role)
            self._put(f"users/{role}", {"password": "pw", "tags": tags})
            if role != "stranger":
                self._put(f"permissions/{SHOP}/{role}", EVERYTHING)
        self._put(f"vhost-limits/{SHOP}/max-queues", {"value": 1000})
        self._put("user-limits/management/max-connections", {"value": 500})

    def _topology(self) -> None:
        exchange, queue = f"exchanges/{SHOP}", f"queues/{SHOP}"
        for kind in ("direct", "topic", "fanout", "headers"):
            self._put(f"{exchange}/{kind}", {"type": kind, "durable": True})
        self._put(f"topic-permissions/{SHOP}/management", {"exchange": "topic", "write": "^a", "read": ".*"})
        self._put(f"{exchange}/inner", {"type": "fanout", "internal": True, "auto_delete": True})
        self._put(
            f"{exchange}/{quoted('a/b+c ü')}",
            {"type": "x-consistent-hash", "arguments": {"hash-header": "h"}},
        )
        self._put(
            f"policies/{SHOP}/limits",
            {"pattern": "^(classic|quorum|direct)$", "definition": {"max-length": 100}},
        )
        self._put(
            f"operator-policies/{SHOP}/age", {"pattern": "^classic$", "definition": {"expires": 3600000}}
        )
        self._put(f"{queue}/classic", {"durable": True, "arguments": {"x-max-length-bytes": 100000}})
        self._put(
            f"{queue}/quorum",
            {"durable": True, "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 7}},
        )
        self._put(f"{queue}/stream", {"durable": True, "arguments": {"x-queue-type": "stream"}})
        self._put(f"{queue}/priority", {"durable": True, "arguments": {"x-max-priority": 3}})
        self._put(f"{queue}/sac", {"durable": True, "arguments": {"x-single-active-consumer": True}})
        self._put(f"{queue}/spare", {"durable": True})
        self._put(f"{queue}/{quoted('a/b+c ü')}", {"durable": True})
        with pika.BlockingConnection(self._parameters("maker")) as connection:
            channel = connection.channel()
            channel.queue_bind("classic", "direct", "k")
            channel.queue_bind("classic", "topic", "a.#", {"x": 1, "y": "z"})
            channel.queue_bind("quorum", "topic", "a.*.b")
            channel.queue_bind("a/b+c ü", "direct", "k/ey +ü")
            channel.queue_bind("a/b+c ü", "a/b+c ü", "1")
            channel.exchange_bind("fanout", "topic", "")
            channel.exchange_bind("inner", "fanout", "", {"n": None})

    def _parameters(self, name: str, user: str = "guest") -> pika.ConnectionParameters:
        host, port = self.client.target.address
        password = "guest" if user == "guest" else "pw"
        return pika.ConnectionParameters(
            host, port, SHOP, pika.PlainCredentials(user, password), heartbeat=0,
            client_properties={"connection_name": name, "information": "conformance"},
        )  # fmt: skip

    def _connect(self, name: str, user: str = "guest") -> pika.BlockingConnection:
        connection = pika.BlockingConnection(self._parameters(name, user))
        self.connections[name] = connection
        local = connection._impl._transport._sock.getsockname()
        full = f"{local[0]}:{local[1]} -> 127.0.0.1:{self.client.target.address[1]}"
        self.client.names[f"{{connection:{name}}}"] = full
        self.client.names[f"{{channel:{name}}}"] = f"{full} (1)"
        self.client.names[f"{{port:{name}}}"] = str(local[1])
        return connection

    def _traffic(self) -> None:
        """One connection that publishes, confirms and holds a transaction, one that consumes, one of another user."""
        publisher = self._connect("publisher")
        channel = publisher.channel()
        channel.confirm_delivery()
        for number in range(3):
            self._publish(channel, "direct", "k", number)
            self._publish(channel, "", "quorum", number)
            self._publish(channel, "", "stream", number)
        self._publish(channel, "", "classic", 9)
        self._publish(channel, "", "priority", 1, priority=2)
        self._publish(channel, "", "priority", 2)
        self._publish(channel, "", "a/b+c ü", 3)
        self._publish(channel, "fanout", "", 1)
        transaction = publisher.channel()
        transaction.tx_select()
        transaction.basic_publish("", "classic", b"uncommitted")
        consumer = self._connect("consumer")
        channel = consumer.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("classic", lambda *given: None, consumer_tag="c", arguments={"x-priority": 5})
        channel.basic_consume("sac", lambda *given: None, consumer_tag="s1", auto_ack=True)
        channel.basic_consume("sac", lambda *given: None, consumer_tag="s2", auto_ack=True)
        channel.basic_get("priority", auto_ack=False)
        channel.basic_get("spare")
        other = self._connect("other", "management")
        channel = other.channel()
        channel.queue_declare("mine", exclusive=True)
        channel.basic_consume("mine", lambda *given: None, consumer_tag="m", exclusive=True)
        channel.basic_qos(prefetch_count=10)
        channel.basic_consume("quorum", lambda *given: None, consumer_tag="q")
        for connection in self.connections.values():
            connection.process_data_events(0.2)

    @staticmethod
    def _publish(
        channel: BlockingChannel, exchange: str, key: str, number: int, priority: int | None = None
    ) -> None:
        properties = pika.BasicProperties(
            delivery_mode=2, priority=priority, timestamp=1_700_000_000 + number
        )
        channel.basic_publish(exchange, key, f"number {number}".encode(), properties)

    def _settle(self) -> None:
        """Wait until queues, connections and channels have all their statistics: RabbitMQ emits them every 5 s."""
        deadline = time.monotonic() + wire.TIMEOUT_S
        while not self._settled():
            if time.monotonic() > deadline:
                raise TimeoutError("the statistics are not complete")
            time.sleep(POLL_S)

    def _settled(self) -> bool:
        queues = self.client.ask("GET", f"queues/{SHOP}")
        connections = self.client.ask("GET", f"vhosts/{SHOP}/connections")
        assert isinstance(queues, list) and isinstance(connections, list)
        counts = {queue["name"]: queue.get("messages") for queue in queues}
        consumers = {queue["name"]: queue.get("consumers") for queue in queues}
        opened = {one.get("user_provided_name"): one.get("channels") for one in connections}
        return (
            counts == MESSAGES
            and (consumers["classic"], consumers["sac"], consumers["quorum"]) == (1, 2, 1)
            and opened == {"publisher": 2, "consumer": 1, "other": 1}
            and all(self._channels_settled())
        )

    def _channels_settled(self) -> Iterator[bool]:
        for path in ("channels", f"vhosts/{SHOP}/channels"):
            channels = self.client.ask("GET", path)
            if not isinstance(channels, list):  # not served yet
                continue
            yield len(channels) == 4
            for one in channels:
                yield ("consumer_count" in one and "message_stats" in one) or one.get("transactional", False)


@contextmanager
def made(client: Client) -> Iterator[Setting]:
    """A setting, whose connections are closed in the end."""
    setting = Setting(client)
    try:
        setting.make()
        yield setting
    finally:
        setting.close()
