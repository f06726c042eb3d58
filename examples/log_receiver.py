"""Print the log lines whose keys match, until interrupted.

    python log_receiver.py [--url amqp://...] [--exchange logs] PATTERN...

In a pattern ``*`` stands for one word and ``#`` for any number of words: "kern.*", "*.critical", "#".
"""

import argparse
import os

import pika
from pika.adapters.blocking_connection import BlockingChannel


def show(
    _channel: BlockingChannel, method: pika.spec.Basic.Deliver, _properties: object, body: bytes
) -> None:
    print(f"{method.routing_key}: {body.decode()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"))
    parser.add_argument("--exchange", default="logs")
    parser.add_argument("patterns", nargs="+", metavar="PATTERN")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(options.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare(options.exchange, "topic", durable=True)
        queue = channel.queue_declare("", exclusive=True).method.queue
        for pattern in options.patterns:
            channel.queue_bind(queue, options.exchange, pattern)
        try:
            channel.basic_consume(queue, show, auto_ack=True)
            print(f"waiting for {' '.join(options.patterns)}", flush=True)
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
