"""What clients do between command lines: the actions of `lines/*.txt`, the same on both brokers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from conformance.commands.players import Player
from conformance.wire import TIMEOUT_S

#: How often a broker is asked for a state that is awaited, seconds.
POLL_S = 0.1

#: The virtual host of all of it.
SHOP = "shop"

#: Queue -> messages, once all has settled.
MESSAGES = {"classic": 4, "full": 2, "mine": 0, "priority": 1, "quorum": 3, "spare": 0, "stream": 3}


class Setting:
    """The clients. `names`: what command lines call `{pid:other}` and the like."""

    def __init__(self, player: Player, port: int, names: dict[str, str]) -> None:
        self.player = player
        self.port = port
        self.names = names
        self.connections: dict[str, pika.BlockingConnection] = {}

    def perform(self, action: str) -> None:
        """Do what a line asks for."""
        {"topology": self.topology, "closed": self.close}[action]()

    def close(self) -> None:
        """Close the clients, which the broker may have done already, and wait until it has none."""
        for connection in self.connections.values():
            with suppress(pika.exceptions.AMQPError):
                connection.close()
        self.connections.clear()
        self._until(["list_connections", "-s", "name"], lambda out: not out.strip())

    def topology(self) -> None:
        """Queues of all types, exchanges, bindings and policies; three clients that publish and consume."""
        self._ctl("add_vhost", SHOP)
        self._ctl("set_permissions", "-p", SHOP, "guest", ".*", ".*", ".*")
        self._ctl("add_user", "other", "pw")
        self._ctl("set_permissions", "-p", SHOP, "other", ".*", ".*", ".*")
        self._ctl("set_policy", "-p", SHOP, "limits", "^(classic|direct)$", '{"max-length": 100}')
        self._ctl("set_policy", "-p", SHOP, "low", "^classic$", '{"max-length": 7}', "--priority", "-1")
        self._ctl("set_operator_policy", "-p", SHOP, "age", "^classic$", '{"message-ttl": 3600000}')
        channel = self._connect("publisher").channel()
        self._declare(channel)
        self._publish(channel)
        transaction = self.connections["publisher"].channel()
        transaction.tx_select()
        transaction.basic_publish("", "classic", b"uncommitted")
        consumer = self._connect("consumer").channel()
        consumer.basic_qos(prefetch_count=1)
        consumer.basic_consume("classic", _ignore, consumer_tag="c", arguments={"x-priority": 5})
        consumer.basic_consume("spare", _ignore, consumer_tag="s", auto_ack=True)
        other = self._connect("other", "other").channel()
        other.queue_declare("mine", exclusive=True)
        other.basic_consume("mine", _ignore, consumer_tag="m", exclusive=True)
        for connection in self.connections.values():
            connection.process_data_events(0.2)
        self._settle()

    def _declare(self, channel: BlockingChannel) -> None:
        channel.queue_declare("classic", durable=True, arguments={"x-max-length-bytes": 100000})
        channel.queue_declare("quorum", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_declare("stream", durable=True, arguments={"x-queue-type": "stream"})
        channel.queue_declare("priority", durable=True, arguments={"x-max-priority": 3})
        channel.queue_declare("spare", durable=True)
        channel.queue_declare("full", durable=True)
        channel.exchange_declare("direct", "direct", durable=True)
        channel.exchange_declare("topic", "topic", durable=True, arguments={"alternate-exchange": "direct"})
        channel.exchange_declare("inner", "fanout", internal=True, auto_delete=True)
        channel.queue_bind("classic", "direct", "k")
        channel.queue_bind("quorum", "topic", "a.#", {"x": 1, "y": "z"})
        channel.exchange_bind("inner", "topic", "")

    @staticmethod
    def _publish(channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        counts = {name: count for name, count in MESSAGES.items() if count}
        for queue, count in counts.items():
            for number in range(count):
                properties = pika.BasicProperties(
                    content_type="text/plain", delivery_mode=2, timestamp=1_700_000_000
                )
                channel.basic_publish("", queue, f"number {number}".encode(), properties)

    def _connect(self, name: str, user: str = "guest") -> pika.BlockingConnection:
        password = "guest" if user == "guest" else "pw"
        parameters = pika.ConnectionParameters(
            "127.0.0.1", self.port, SHOP, pika.PlainCredentials(user, password), heartbeat=0,
            client_properties={"connection_name": name},
        )  # fmt: skip
        self.connections[name] = pika.BlockingConnection(parameters)
        return self.connections[name]

    def _settle(self) -> None:
        """Wait until the lists show all of it: RabbitMQ's queues report what they count now and then."""
        shown = "".join(f"{name}\t{count}\n" for name, count in MESSAGES.items())
        command = ["list_queues", "-q", "-p", SHOP, "-s", "name", "messages"]
        self._until(command, lambda out: "".join(sorted(out.splitlines(True))) == shown)
        self._until(["list_channels", "-s", "user"], lambda out: len(out.split()) == 4)
        found = self._ctl("list_connections", "-s", "pid", "user")
        for pid, user in re.findall(r"^(\S+)\t(\S+)$", found, re.MULTILINE):
            self.names[f"{{pid:{user}}}"] = pid

    def _until(self, command: Sequence[str], holds: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not holds(self._ctl(*command)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{' '.join(command)}: {self._ctl(*command)}")
            time.sleep(POLL_S)

    def _ctl(self, *arguments: str) -> str:
        return self.player.play(["rabbitmqctl", *arguments], "").stdout


def _ignore(*given: object) -> None:
    """Take a delivery."""
