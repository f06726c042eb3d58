"""Work through the tasks of a durable queue, one at a time, until interrupted.

    python work_consumer.py [--url amqp://...] [--queue tasks]

A task is acknowledged when it is done; one that a stopped consumer had in hand goes to the next.
"""

import argparse
import os
import time

import pika
from pika.adapters.blocking_connection import BlockingChannel


def work(channel: BlockingChannel, method: pika.spec.Basic.Deliver, _properties: object, body: bytes) -> None:
    time.sleep(body.count(b".") / 10)
    channel.basic_ack(method.delivery_tag)
    print(f"done {body.decode()!r}{' (again)' if method.redelivered else ''}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default=os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"))
    parser.add_argument("--queue", default="tasks")
    options = parser.parse_args()

    with pika.BlockingConnection(pika.URLParameters(options.url)) as connection:
        channel = connection.channel()
        channel.queue_declare(options.queue, durable=True)
        channel.basic_qos(prefetch_count=1)  # the next task only when this one is acknowledged
        try:
            channel.basic_consume(options.queue, work)
            print("waiting for tasks", flush=True)
            channel.start_consuming()
        except KeyboardInterrupt:
            channel.stop_consuming()


if __name__ == "__main__":
    main()
