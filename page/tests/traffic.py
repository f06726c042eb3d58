"""A small shop on a broker, with its clients: what the browser tests and the screenshots look at.

Usage: python traffic.py AMQP_PORT. Prints `ready`, and ends when its standard input is closed.
"""

from __future__ import annotations

import json
import sys
import threading
from random import Random

import pika
from pika.adapters.blocking_connection import BlockingChannel

STOP = threading.Event()
CHANCE = Random(7)

EXCHANGES = {
    "orders": ("topic", {"alternate-exchange": "unrouted"}),
    "orders.audit": ("fanout", {}),
    "notifications": ("direct", {}),
    "dead-letters": ("topic", {}),
    "retry": ("direct", {}),
    "unrouted": ("fanout", {}),
}

QUEUES = {
    "orders.new": {"x-queue-type": "quorum", "x-dead-letter-exchange": "dead-letters", "x-delivery-limit": 5},
    "orders.invoices": {"x-dead-letter-exchange": "dead-letters"},
    "orders.shipping": {"x-single-active-consumer": True},
    "audit.log": {"x-queue-type": "stream", "x-max-age": "7D"},
    "emails": {"x-dead-letter-exchange": "retry", "x-dead-letter-routing-key": "emails.wait"},
    "emails.wait": {
        "x-message-ttl": 30_000,
        "x-dead-letter-exchange": "notifications",
        "x-dead-letter-routing-key": "email",
    },
    "sms": {"x-max-length": 10_000, "x-overflow": "reject-publish"},
    "dead-letters": {},
    "reports": {"x-max-priority": 5},
    "unrouted": {},
}

BINDINGS = (
    ("orders", "orders.new", "order.created.#"),
    ("orders", "orders.invoices", "order.paid"),
    ("orders", "orders.shipping", "order.paid"),
    ("orders.audit", "audit.log", ""),
    ("notifications", "emails", "email"),
    ("notifications", "sms", "sms"),
    ("dead-letters", "dead-letters", "#"),
    ("retry", "emails.wait", "emails.wait"),
    ("unrouted", "unrouted", ""),
)


def connect(port: int, name: str) -> BlockingChannel:
    """Open a named connection and a channel."""
    parameters = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{port}/")
    parameters.client_properties = {"connection_name": name}
    return pika.BlockingConnection(parameters).channel()


def declare(channel: BlockingChannel) -> None:
    """Declare the shop."""
    for name, (kind, arguments) in EXCHANGES.items():
        channel.exchange_declare(name, kind, durable=True, arguments=arguments)
    for name, arguments in QUEUES.items():
        channel.queue_declare(name, durable=True, arguments=arguments)
    for exchange, queue, key in BINDINGS:
        channel.queue_bind(queue, exchange, key)
    channel.exchange_bind("orders.audit", "orders", "#")


def order(number: int) -> bytes:
    """The body of an order."""
    items = [{"sku": f"TEA-{CHANCE.randrange(100):03}", "quantity": CHANCE.randrange(1, 5)}]
    return json.dumps({"order": number, "customer": f"c{number % 97}", "items": items}).encode()


def fill(channel: BlockingChannel) -> None:
    """Publish what waits, with dead letters among it."""
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, app_id="shop")
    for number in range(40):
        channel.basic_publish("", "orders.invoices", order(number), properties)
    for _ in range(12):
        method, _, _ = channel.basic_get("orders.invoices")
        channel.basic_nack(method.delivery_tag, requeue=False)
    for number in range(1284):
        channel.basic_publish(
            "", "reports", b'{"report": "daily"}', pika.BasicProperties(priority=number % 5)
        )
    channel.basic_publish("orders", "something.else", b"not routed by anyone", properties)


def publish(port: int) -> None:
    """Publish orders at an uneven rate."""
    channel = connect(port, "checkout")
    channel.confirm_delivery()
    number = 1000
    while not STOP.wait(0.02 + 0.03 * CHANCE.random()):
        for key in ("order.created.web", "order.paid"):
            properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, app_id="shop")
            channel.basic_publish("orders", key, order(number), properties)
        channel.basic_publish("notifications", "email" if number % 3 else "sms", b"Thank you for your order.")
        number += 1
        channel.connection.process_data_events()
    channel.connection.close()


def consume(port: int, name: str, queues: tuple[str, ...], prefetch: int, held: int) -> None:
    """Consume queues, and leave up to `held` messages unacknowledged."""
    channel = connect(port, name)
    channel.basic_qos(prefetch_count=prefetch)
    tags: list[int] = []

    def delivered(channel: BlockingChannel, method: object, _properties: object, _body: bytes) -> None:
        tags.append(method.delivery_tag)  # type: ignore[attr-defined]
        if len(tags) > held:
            channel.basic_ack(tags.pop(0))

    for queue in queues:
        channel.basic_consume(queue, delivered)
    while not STOP.is_set():
        channel.connection.process_data_events(0.2)
    channel.connection.close()


def main() -> None:
    port = int(sys.argv[1])
    setup = connect(port, "setup")
    declare(setup)
    fill(setup)
    setup.connection.close()
    threads = [
        threading.Thread(target=publish, args=(port,)),
        threading.Thread(target=consume, args=(port, "order-worker", ("orders.new",), 50, 6)),
        threading.Thread(target=consume, args=(port, "billing", ("orders.invoices",), 20, 20)),
        threading.Thread(target=consume, args=(port, "warehouse", ("orders.shipping", "sms"), 10, 2)),
        threading.Thread(target=consume, args=(port, "mailer", ("emails",), 10, 0)),
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    STOP.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
