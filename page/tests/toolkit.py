"""A broker for tests, with a life of messages in it: what the tests of the testing views look at.

Prints its ports as a node does, and ends when its standard input is closed.
"""

from __future__ import annotations

import sys

import pika

from leveret.testing import Broker


def main() -> None:
    with Broker(http=True) as broker:
        connection = pika.BlockingConnection(pika.URLParameters(broker.url))
        channel = connection.channel()
        channel.queue_declare(
            "late",
            durable=True,
            arguments={
                "x-dead-letter-exchange": "",
                "x-message-ttl": 60_000,
                "x-dead-letter-routing-key": "dead",
            },
        )
        channel.queue_declare("dead", durable=True)
        channel.basic_publish("", "late", b"soon dead")
        channel.basic_publish("amq.topic", "nobody", b"nowhere")
        channel.queue_declare("late", passive=True)
        print(
            f"Management plugin: HTTP listener started on port {broker.http_url.rpartition(':')[2].strip('/')}"
        )
        print("Server startup complete", flush=True)
        sys.stdin.read()
        connection.close()


if __name__ == "__main__":
    main()
